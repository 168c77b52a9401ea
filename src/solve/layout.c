/*
 * The layout: which source (dose, infusion, start of an epoch) and which observation meet in which slot of which lane,
 * and the times of each slot. This file: the columns of each subject, and all steps together.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "layout_plan.h"

#include <string.h>

static const double rate_modelled = -1.0;

const ddt_record *layout_record(const planner *p, size_t subject, size_t record) {
    return &p->work->events->subjects[subject].records[record];
}

size_t layout_stride(const planner *p, size_t subject) { return p->work->schedules[subject].observation_count; }

/* ------------------------------------------------------------------ columns */

static bool acts_before(const planner *p, size_t subject, const ddt_schedule *schedule, const source *s, size_t o) {
    if (schedule->observation_epoch[o] != s->epoch) {
        return false;
    }
    double time_h = layout_record(p, subject, schedule->observations[o])->time_h;
    double start_h = s->own.time_h + s->lag_low_h;
    bool has_started = (start_h <= time_h || solve_same_time(start_h, time_h)) && s->from_h < time_h;
    return has_started && (s->dose == SIZE_MAX || schedule->precedes[o * schedule->dose_count + s->dose]);
}

/* Same time, same epoch, same sources: the same values. */
static bool shares_column(const subject_plan *plan, size_t k, const uint8_t *acts, size_t stride, double time_h,
                          size_t epoch) {
    if (plan->columns[k].time_h != time_h || plan->epochs[k] != epoch) {
        return false;
    }
    for (size_t s = 0; s < plan->sources.count; s++) {
        if (plan->active[s * stride + k] != acts[s]) {
            return false;
        }
    }
    return true;
}

/* The part of the subject's segments that belongs to an epoch: those of records up to the next epoch's first. */
static void find_segments(const planner *p, size_t subject, size_t epoch, solve_lane_column *column) {
    const ddt_schedule *schedule = &p->work->schedules[subject];
    const solve_layout_subject *s = &p->work->solution->layout.subjects[subject];
    size_t last = epoch + 1 < schedule->epoch_count ? schedule->epoch_record[epoch + 1] : SIZE_MAX;
    for (size_t j = 0; j < s->segment_count; j++) {
        bool is_own = s->segments[j].record >= schedule->epoch_record[epoch] && s->segments[j].record < last;
        column->segment = is_own && column->segment_count == 0 ? (uint32_t)j : column->segment;
        column->segment_count += is_own;
    }
}

static size_t segments_before(const planner *p, size_t subject, const solve_lane_column *column) {
    const solve_segment *segments = p->work->solution->layout.subjects[subject].segments + column->segment;
    size_t count = 1;
    while (count < column->segment_count && segments[count - 1].end_h < column->time_h) {
        count++;
    }
    return count;
}

static void add_column(const planner *p, size_t subject, const ddt_schedule *schedule, size_t o, const uint8_t *acts) {
    subject_plan *plan = &p->subjects[subject];
    size_t k = plan->column_count++;
    solve_lane_column *column = &plan->columns[k];
    *column = (solve_lane_column){.time_h = layout_record(p, subject, schedule->observations[o])->time_h,
                                  .record = (uint32_t)schedule->observations[o]};
    plan->epochs[k] = schedule->observation_epoch[o];
    if (p->has_segments) {
        find_segments(p, subject, plan->epochs[k], column);
        size_t count = segments_before(p, subject, column);
        plan->segments = count > plan->segments ? count : plan->segments;
    }
    for (size_t s = 0; s < plan->sources.count; s++) {
        plan->active[s * schedule->observation_count + k] = acts[s];
    }
}

static ddt_status allocate_columns(planner *p, size_t subject, size_t stride, uint8_t **acts, solve_place **places) {
    subject_plan *plan = &p->subjects[subject];
    size_t entries = 0;
    if (!ddt_size_mul(stride, plan->sources.count, &entries)) {
        return solve_no_memory(p->work->ctx);
    }
    plan->columns = solve_alloc(p->work, stride, sizeof *plan->columns);
    plan->epochs = solve_alloc(p->work, stride, sizeof *plan->epochs);
    plan->active = solve_alloc(p->work, entries, 1);
    *acts = solve_alloc(p->work, plan->sources.count, 1);
    *places = ddt_calloc(stride, sizeof **places);
    p->work->solution->layout.subjects[subject].observations = *places;
    return plan->columns == NULL || plan->epochs == NULL || plan->active == NULL || *acts == NULL || *places == NULL
               ? solve_no_memory(p->work->ctx)
               : DDT_OK;
}

static bool has_levels(const planner *p, size_t subject) {
    const ddt_schedule *schedule = &p->work->schedules[subject];
    for (size_t k = 0; k < schedule->observation_count; k++) {
        if (layout_record(p, subject, schedule->observations[k])->has_dv) {
            return true;
        }
    }
    return false;
}

/* A fit looks at levels; without any its row stands for the first observation. */
static bool is_looked_at(const planner *p, size_t subject, bool has_any_level, size_t o) {
    const ddt_record *record = layout_record(p, subject, p->work->schedules[subject].observations[o]);
    bool is_plain = !p->work->fits || p->work->newton != NULL;
    return is_plain || (has_any_level ? record->has_dv : o == 0);
}

/* Observations become columns, in file order (times never decrease). */
static ddt_status make_columns(planner *p, size_t subject) {
    const ddt_schedule *schedule = &p->work->schedules[subject];
    subject_plan *plan = &p->subjects[subject];
    size_t stride = schedule->observation_count;
    uint8_t *acts = NULL;
    solve_place *places = NULL;
    const bool is_shared = !solve_role_is_used(p->work, SOLVE_ROLE_OBSERVATION);
    const bool has_any_level = has_levels(p, subject);
    SOLVE_TRY(allocate_columns(p, subject, stride, &acts, &places));
    if (acts == NULL || places == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t o = 0; o < stride; o++) {
        double time_h = layout_record(p, subject, schedule->observations[o])->time_h;
        for (size_t s = 0; s < plan->sources.count; s++) {
            acts[s] = acts_before(p, subject, schedule, &plan->sources.items[s], o);
        }
        size_t k = plan->column_count;
        if (!is_looked_at(p, subject, has_any_level, o)) {
            places[o] = (solve_place){.column = k == 0 ? 0 : (uint32_t)k - 1, .time_h = time_h};
            continue;
        }
        if (k == 0 || !is_shared || !shares_column(plan, k - 1, acts, stride, time_h, schedule->observation_epoch[o])) {
            add_column(p, subject, schedule, o, acts);
        }
        places[o] = (solve_place){.column = (uint32_t)(plan->column_count - 1), .time_h = time_h};
    }
    p->work->solution->layout.subjects[subject].observation_count = stride;
    return DDT_OK;
}

/* ------------------------------------------------------------------ records */

void solve_record_of(const ddt_record *from, solve_record *to) {
    *to = (solve_record){.time_h = from->time_h,
                         .interval_h = from->interval_h,
                         .duration_h = from->rate > 0.0 ? from->amount / from->rate : 0.0,
                         .fixed_amount = from->rate == rate_modelled ? from->amount : -1.0,
                         .evid = from->evid,
                         .rate_kind = from->rate > 0.0 ? 1 : (int32_t)from->rate,
                         .steady_state = from->steady_state,
                         .compartment = from->compartment,
                         .additional = from->additional};
}

ddt_status solve_keep_records(solve_work *work) {
    solve_layout *layout = &work->solution->layout;
    const ddt_events *events = work->events;
    layout->subjects = ddt_calloc(events->subject_count, sizeof *layout->subjects);
    if (layout->subjects == NULL) {
        return solve_no_memory(work->ctx);
    }
    layout->subject_count = events->subject_count;
    layout->carries_forward = events->carries_forward;
    for (size_t s = 0; s < events->subject_count; s++) {
        solve_layout_subject *subject = &layout->subjects[s];
        size_t count = events->subjects[s].record_count;
        subject->id = ddt_strdup(events->subjects[s].id);
        subject->records = ddt_calloc(count, sizeof *subject->records);
        if (subject->id == NULL || subject->records == NULL) {
            return solve_no_memory(work->ctx);
        }
        subject->record_count = count;
        for (size_t r = 0; r < count; r++) {
            solve_record_of(&events->subjects[s].records[r], &subject->records[r]);
            subject->records[r].fixed_amount = work->newton != NULL ? subject->records[r].fixed_amount : -1.0;
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ all */

ddt_status solve_schedules_create(solve_work *work) {
    size_t count = work->events->subject_count;
    work->schedules = solve_alloc(work, count, sizeof *work->schedules);
    work->is_dosed = solve_alloc(work, work->model->compartment_count, sizeof *work->is_dosed);
    if (work->schedules == NULL || work->is_dosed == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t s = 0; s < count; s++) {
        SOLVE_TRY(ddt_schedule_create(work->ctx, work->model, work->events, s, &work->schedules[s]));
        for (size_t d = 0; d < work->schedules[s].dose_count; d++) {
            work->is_dosed[work->schedules[s].doses[d].compartment] = true;
        }
    }
    return DDT_OK;
}

ddt_status solve_layout_create(solve_work *work) {
    planner p = {.work = work, .has_segments = work->newton == NULL && solve_role_is_used(work, SOLVE_ROLE_SEGMENT)};
    size_t count = work->events->subject_count;
    p.subjects = solve_alloc(work, count, sizeof *p.subjects);
    if (p.subjects == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(solve_keep_records(work));
    SOLVE_TRY(layout_measure_rates(&p));
    for (size_t s = 0; s < count; s++) {
        SOLVE_TRY(layout_sources(&p, s));
        SOLVE_TRY(make_columns(&p, s));
        work->solution->info.observations += work->schedules[s].observation_count;
        work->solution->info.sources += p.subjects[s].sources.count;
    }
    SOLVE_TRY(layout_lanes(&p));
    return layout_dosings(&p);
}

static void lane_clear(solve_lane *lane) {
    ddt_free(lane->sources);
    ddt_free(lane->columns);
    ddt_free(lane->active);
}

void solve_layout_clear(solve_layout *layout) {
    for (size_t i = 0; i < layout->range_count; i++) {
        ddt_free(layout->ranges[i].name);
    }
    for (size_t i = 0; i < layout->input_count; i++) {
        ddt_free(layout->inputs[i].name);
    }
    for (size_t i = 0; i < layout->output_count; i++) {
        ddt_free(layout->outputs[i].name);
    }
    for (size_t i = 0; i < layout->subject_count; i++) {
        ddt_free(layout->subjects[i].id);
        ddt_free(layout->subjects[i].records);
        ddt_free(layout->subjects[i].segments);
        ddt_free(layout->subjects[i].observations);
    }
    for (size_t i = 0; layout->lanes != NULL && i < layout->lane_count; i++) {
        lane_clear(&layout->lanes[i]);
    }
    ddt_free(layout->ranges);
    ddt_free(layout->inputs);
    ddt_free(layout->outputs);
    ddt_free(layout->subjects);
    ddt_free(layout->lanes);
    solve_history_destroy(layout->history);
    solve_posterior_destroy(layout->posterior);
    *layout = (solve_layout){0};
}
