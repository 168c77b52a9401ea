/*
 * The grid of each subject: its own records, the times at which something starts or ends, and as many further nodes as
 * the lane has columns, closer together where less time has passed since a dose.
 *
 * The nodes go into a copy of the event table as records without meaning (EVID 2), so that the layout of the linear
 * solver gives each of them a column; afterwards the copy's record numbers are turned back into the table's own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "newton.h"

#include <stdlib.h>
#include <string.h>

static const double grading = 0.08;     /* nodes thicken towards a dose until this part of the time to the next event */
static const double before_dose = 1e-7; /* of the horizon: the node just before a dose */

typedef struct times {
    double *items;
    size_t count;
} times;

static int compare_times(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double horizon(const ddt_subject *subject) {
    return subject->record_count == 0 ? 0.0
                                      : subject->records[subject->record_count - 1].time_h - subject->records[0].time_h;
}

/* ------------------------------------------------------------------ the augmented table */

/* Inserts records at the given times, each behind the records of its time. */
static ddt_status augment_subject(solve_work *work, const ddt_subject *from, const times *extra, ddt_subject *to,
                                  uint32_t **origin) {
    size_t total = from->record_count + extra->count;
    *to = *from;
    to->records = solve_alloc(work, total, sizeof *to->records);
    *origin = solve_alloc(work, total, sizeof **origin);
    if (to->records == NULL || *origin == NULL) {
        return DDT_ERR_MEMORY;
    }
    size_t at = 0;
    size_t next = 0;
    for (size_t r = 0; r <= from->record_count; r++) {
        double until = r < from->record_count ? from->records[r].time_h : INFINITY;
        for (; next < extra->count && extra->items[next] < until; next++) {
            ddt_record record = {.time_h = extra->items[next], .evid = 2};
            record.covariates = at > 0 ? to->records[at - 1].covariates : 0;
            (*origin)[at] = SOLVE_NONE;
            to->records[at++] = record;
        }
        if (r < from->record_count) {
            (*origin)[at] = (uint32_t)r;
            to->records[at++] = from->records[r];
        }
    }
    to->record_count = at;
    return DDT_OK;
}

static ddt_status augment(solve_work *work, const times *extra) {
    solve_newton *nw = work->newton;
    const ddt_events *own = nw->own_events;
    ddt_events *copy = solve_alloc(work, 1, sizeof *copy);
    ddt_subject *subjects = solve_alloc(work, own->subject_count, sizeof *subjects);
    nw->origin = solve_alloc(work, own->subject_count, sizeof *nw->origin);
    if (copy == NULL || subjects == NULL || nw->origin == NULL) {
        return DDT_ERR_MEMORY;
    }
    *copy = *own;
    copy->subjects = subjects;
    for (size_t s = 0; s < own->subject_count; s++) {
        SOLVE_TRY(augment_subject(work, &own->subjects[s], &extra[s], &subjects[s], &nw->origin[s]));
    }
    for (size_t s = 0; s < own->subject_count; s++) {
        ddt_schedule_destroy(&work->schedules[s]);
    }
    work->events = copy;
    return solve_schedules_create(work);
}

/* The layout of the augmented table, one lane a subject. */
static ddt_status lay_out(solve_work *work, const times *extra) {
    SOLVE_TRY(augment(work, extra));
    solve_layout_clear(&work->solution->layout);
    work->dosings = NULL;
    work->dosing_count = 0;
    work->times = (solve_times){0};
    work->solution->info.observations = 0;
    work->solution->info.sources = 0;
    return solve_layout_create(work);
}

/* ------------------------------------------------------------------ times that must be nodes */

static ddt_status refuse_steady(const solve_work *work, size_t s, const ddt_dose *dose) {
    return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                    "'%s', line %u: a dose at steady state (SS) is not supported for models that are not linear.",
                    work->events->path, work->events->subjects[s].records[dose->record].line);
}

typedef struct span {
    double from_h, to_h;
} span;

/* Nodes on both sides of where the equations jump after a dose (or the start of an epoch), so that each step has one
 * right-hand side. */
static ddt_status add_breaks(solve_work *work, uint32_t compartment, span within, double start_h, double gap,
                             times *out) {
    size_t count = work->newton->break_count;
    double *breaks_h = solve_alloc(work, count + 1, sizeof *breaks_h);
    if (breaks_h == NULL) {
        return DDT_ERR_MEMORY;
    }
    newton_breaks_after(work, compartment, start_h, breaks_h);
    for (size_t i = 0; i < count; i++) {
        if (breaks_h[i] - gap > within.from_h && breaks_h[i] + gap < within.to_h) {
            out->items[out->count++] = breaks_h[i] - gap;
            out->items[out->count++] = breaks_h[i] + gap;
        }
    }
    return DDT_OK;
}

static ddt_status base_times(solve_work *work, size_t s, times *out) {
    const ddt_subject *subject = &work->newton->own_events->subjects[s];
    const ddt_schedule *schedule = &work->schedules[s];
    const double rate_modelled = -1.0;
    double last = subject->record_count > 0 ? subject->records[subject->record_count - 1].time_h : 0.0;
    double gap = before_dose * horizon(subject);
    out->count = 0;
    size_t own = 3 + 2 * work->newton->break_count; /* times of each dose and epoch at most */
    out->items = solve_alloc(work, own * (schedule->dose_count + schedule->epoch_count) + 1, sizeof *out->items);
    if (out->items == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t e = 0; e < schedule->epoch_count; e++) {
        double start = schedule->epoch_start_h[e];
        out->items[out->count++] = start;
        SOLVE_TRY(add_breaks(work, UINT32_MAX, (span){start, last}, start, gap, out));
    }
    for (size_t d = 0; d < schedule->dose_count; d++) {
        const ddt_dose *dose = &schedule->doses[d];
        size_t c = dose->compartment;
        if (dose->steady_state != 0) {
            return refuse_steady(work, s, dose);
        }
        double start = dose->time_h + work->linear.lag_h[c];
        double duration = dose->rate > 0.0              ? dose->duration_h
                          : dose->rate == rate_modelled ? dose->amount / work->linear.modelled_rate[c]
                          : dose->rate != 0.0           ? work->linear.modelled_duration_h[c]
                                                        : 0.0;
        double f = 1.0;
        if (dose->rate > 0.0 || dose->rate == rate_modelled) {
            (void)ddt_expr_is_const(work->pool, work->linear.bioavailability[c], &f);
        }
        bool is_jump = (work->newton->reads_dosed && duration == 0.0) || work->newton->history_count > 0;
        const double candidates[] = {start, start + f * duration, is_jump ? start - gap : start};
        for (size_t k = 0; k < sizeof candidates / sizeof *candidates; k++) {
            if (candidates[k] >= schedule->epoch_start_h[dose->epoch] && candidates[k] <= last) {
                out->items[out->count++] = candidates[k];
            }
        }
        span within = {schedule->epoch_start_h[dose->epoch], last};
        SOLVE_TRY(add_breaks(work, (uint32_t)c, within, start, gap, out));
    }
    qsort(out->items, out->count, sizeof *out->items, compare_times);
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++) {
        if (kept == 0 || out->items[i] - out->items[kept - 1] > 0.1 * gap) {
            out->items[kept++] = out->items[i];
        }
    }
    out->count = kept;
    return DDT_OK;
}

/* ------------------------------------------------------------------ what the layout made of them */

static ddt_status read_grids(solve_work *work, const times *base) {
    solve_newton *nw = work->newton;
    const solve_layout *layout = &work->solution->layout;
    nw->columns = layout->columns;
    nw->lanes = layout->lane_count;
    nw->grids = solve_alloc(work, layout->lane_count, sizeof *nw->grids);
    if (nw->grids == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t s = 0; s < layout->subject_count; s++) {
        const solve_layout_subject *subject = &layout->subjects[s];
        if (subject->observation_count == 0) {
            continue;
        }
        newton_grid *g = &nw->grids[subject->observations[0].lane];
        g->time = solve_alloc(work, layout->columns, sizeof *g->time);
        g->step = solve_alloc(work, layout->columns, sizeof *g->step);
        g->is_start = solve_alloc(work, layout->columns, sizeof *g->is_start);
        g->is_kink = solve_alloc(work, layout->columns, sizeof *g->is_kink);
        if (g->time == NULL || g->step == NULL || g->is_start == NULL || g->is_kink == NULL) {
            return DDT_ERR_MEMORY;
        }
        size_t epoch = SIZE_MAX;
        for (size_t o = 0; o < subject->observation_count; o++) {
            size_t k = subject->observations[o].column;
            if (k < g->count) {
                continue;
            }
            g->time[k] = subject->observations[o].time_h;
            g->is_start[k] = work->schedules[s].observation_epoch[o] != epoch;
            g->step[k] = g->is_start[k] ? 0.0 : g->time[k] - g->time[k - 1];
            epoch = work->schedules[s].observation_epoch[o];
            for (size_t i = 0; i < base[s].count; i++) {
                g->is_kink[k] |= base[s].items[i] == g->time[k];
            }
            g->count = k + 1;
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ further nodes */

/* The last of the times at or before t. */
static double time_before(const times *base, double t) {
    double found = base->count > 0 ? base->items[0] : t;
    for (size_t i = 0; i < base->count && base->items[i] <= t; i++) {
        found = base->items[i];
    }
    return found;
}

static double time_after(const times *base, double t, double last) {
    for (size_t i = 0; i < base->count; i++) {
        if (base->items[i] > t) {
            return base->items[i];
        }
    }
    return last;
}

/* Error of a step of the trapezoidal rule: h^3 times the curvature of dz/dt, where that is known. */
static double gap_error(const solve_newton *nw, size_t lane, double from, double to) {
    const newton_grid *g = &nw->monitor_grids[lane];
    double curvature = 0.0;
    for (size_t k = 1; k < g->count; k++) {
        if (g->time[k] > from && g->time[k - 1] < to) {
            curvature = fmax(curvature, nw->monitor[lane][k]);
        }
    }
    return pow(to - from, 3.0) * (curvature + 1e-300);
}

static double gap_weight(const solve_newton *nw, size_t lane, const times *base, double from, double to, double last) {
    if (nw->monitor != NULL) {
        return gap_error(nw, lane, from, to);
    }
    double before = time_before(base, from);
    double unit = grading * fmax(time_after(base, from, last) - before, 1e-3 * last);
    return (to - from) / (unit + from - before);
}

/* Halves the gap of greatest weight until there are `columns` nodes. */
static ddt_status refine(solve_work *work, size_t lane, const times *base, size_t columns, times *out) {
    const newton_grid *g = &work->newton->grids[lane];
    double *nodes = solve_alloc(work, columns + g->count, sizeof *nodes);
    double *weights = solve_alloc(work, columns + g->count, sizeof *weights);
    out->items = solve_alloc(work, columns + base->count, sizeof *out->items);
    if (nodes == NULL || weights == NULL || out->items == NULL) {
        return DDT_ERR_MEMORY;
    }
    memcpy(nodes, g->time, g->count * sizeof *nodes);
    memcpy(out->items, base->items, base->count * sizeof *nodes);
    out->count = base->count;
    double last = nodes[g->count - 1];
    for (size_t k = 0; k < g->count; k++) {
        weights[k] = g->step[k] > 0.0 ? gap_weight(work->newton, lane, base, nodes[k - 1], nodes[k], last) : 0.0;
    }
    for (size_t count = g->count; count < columns; count++) {
        size_t widest = 0;
        for (size_t k = 1; k < count; k++) {
            widest = weights[k] > weights[widest] ? k : widest;
        }
        if (!(weights[widest] > 0.0)) {
            break; /* a subject at one time only */
        }
        double middle = 0.5 * (nodes[widest - 1] + nodes[widest]);
        memmove(nodes + widest + 1, nodes + widest, (count - widest) * sizeof *nodes);
        memmove(weights + widest + 1, weights + widest, (count - widest) * sizeof *weights);
        nodes[widest] = middle;
        weights[widest] = gap_weight(work->newton, lane, base, nodes[widest - 1], middle, last);
        weights[widest + 1] = gap_weight(work->newton, lane, base, middle, nodes[widest + 1], last);
        out->items[out->count++] = middle;
    }
    qsort(out->items, out->count, sizeof *out->items, compare_times);
    return DDT_OK;
}

ddt_status newton_grid_create(solve_work *work, size_t columns) {
    solve_newton *nw = work->newton;
    size_t subjects = nw->own_events->subject_count;
    times *base = solve_alloc(work, subjects, sizeof *base);
    times *all = solve_alloc(work, subjects, sizeof *all);
    if (base == NULL || all == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t s = 0; s < subjects; s++) {
        SOLVE_TRY(base_times(work, s, &base[s]));
    }
    SOLVE_TRY(lay_out(work, base));
    SOLVE_TRY(read_grids(work, base));
    columns = nw->columns > columns ? nw->columns : columns;
    for (size_t l = 0; l < nw->lanes; l++) {
        size_t s = work->solution->layout.lanes[l].subject;
        SOLVE_TRY(refine(work, l, &base[s], columns, &all[s]));
    }
    SOLVE_TRY(lay_out(work, all));
    SOLVE_TRY(read_grids(work, base));
    for (size_t l = 0; l < nw->lanes; l++) {
        SOLVE_TRY(newton_history_of_grid(work, l));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ back to the table as it was given */

/* The given record whose covariates hold at one of ours: itself, or the next that was given, or else the last. */
static uint32_t given_record(const solve_work *work, size_t subject, uint32_t record) {
    const uint32_t *origin = work->newton->origin[subject];
    const size_t count = work->solution->layout.subjects[subject].record_count;
    for (size_t r = record; r < count; r++) {
        if (origin[r] != SOLVE_NONE) {
            return origin[r];
        }
    }
    while (record > 0 && origin[record] == SOLVE_NONE) {
        record--;
    }
    return origin[record] == SOLVE_NONE ? 0 : origin[record];
}

static void give_back_lane(solve_work *work, solve_lane *lane) {
    for (size_t row = 0; row < lane->source_count; row++) {
        solve_lane_source *source = &lane->sources[row];
        if (source->record != SOLVE_NONE) {
            source->record = work->newton->origin[lane->subject][source->record];
        }
        source->covariate_record = given_record(work, lane->subject, source->covariate_record);
    }
    for (size_t k = 0; k < lane->column_count; k++) {
        lane->columns[k].record = given_record(work, lane->subject, lane->columns[k].record);
    }
}

void newton_layout_finish(solve_work *work) {
    solve_newton *nw = work->newton;
    solve_layout *layout = &work->solution->layout;
    for (size_t l = 0; l < layout->lane_count; l++) {
        give_back_lane(work, &layout->lanes[l]);
    }
    for (size_t s = 0; s < layout->subject_count; s++) {
        for (size_t j = 0; j < layout->subjects[s].segment_count; j++) {
            solve_segment *segment = &layout->subjects[s].segments[j];
            segment->record = given_record(work, s, segment->record);
        }
    }
    work->solution->info.observations = 0;
    for (size_t s = 0; s < layout->subject_count; s++) {
        solve_layout_subject *subject = &layout->subjects[s];
        const ddt_schedule *schedule = &work->schedules[s];
        size_t records = 0;
        for (size_t r = 0; r < subject->record_count; r++) {
            if (nw->origin[s][r] != SOLVE_NONE) {
                subject->records[records++] = subject->records[r];
            }
        }
        subject->record_count = records;
        size_t kept = 0;
        for (size_t o = 0; o < subject->observation_count; o++) {
            if (nw->origin[s][schedule->observations[o]] != SOLVE_NONE) {
                subject->observations[kept++] = subject->observations[o];
            }
        }
        subject->observation_count = kept;
        work->solution->info.observations += kept;
    }
}
