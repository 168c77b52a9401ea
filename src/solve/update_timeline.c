/*
 * One subject's records in the order in which they act: stretches of constant covariates and infusions, boluses,
 * levels.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "update_internal.h"

#include <stdlib.h>
#include <string.h>

/* A moment at which something begins, ends or is looked at. */
typedef enum moment_kind { MOMENT_INFUSION_END, MOMENT_RESET, MOMENT_DOSE, MOMENT_RECORD } moment_kind;

typedef struct moment {
    double time_h;
    size_t rank; /* among moments of one time */
    moment_kind kind;
    size_t index; /* of the dose or record */
} moment;

typedef struct drafter {
    ddt_context *ctx;
    const ddt_update *u;
    const ddt_model *model;
    const ddt_events *events;
    const ddt_subject *subject;
    ddt_schedule schedule;
    moment *moments;
    size_t moment_count;
    double *rates; /* current, a compartment each */
    size_t reset;  /* the last record that reset; what earlier ones gave is over */
    update_timeline *out;
} drafter;

static unsigned line_of(const drafter *d, size_t record) { return d->subject->records[record].line; }

/* ------------------------------------------------------------------ checks */

ddt_status update_fail_range(ddt_context *ctx, const ddt_events *events, unsigned line, const update_range *range,
                             double value) {
    return ddt_fail(ctx, DDT_ERR_RANGE, "'%s', line %u: %s is %.15g, outside its declared range %.15g to %.15g.",
                    events->path, line, range->name, value, range->low, range->high);
}

static ddt_status check_covariates(const drafter *d, size_t record) {
    const double *values = d->subject->covariate_values + d->subject->records[record].covariates;
    for (size_t c = 0; c < d->events->covariate_count; c++) {
        const char *name = d->model->symbols[d->events->covariate_symbols[c]].name;
        for (size_t r = 0; r < d->u->range_count; r++) {
            const update_range *range = &d->u->ranges[r];
            if (strcmp(range->name, name) == 0 && !(values[c] >= range->low && values[c] <= range->high)) {
                return update_fail_range(d->ctx, d->events, line_of(d, record), range, values[c]);
            }
        }
    }
    return DDT_OK;
}

static ddt_status check_record(const drafter *d, size_t index, double since_h) {
    const ddt_record *record = &d->subject->records[index];
    if (record->time_h < since_h) {
        return ddt_fail(d->ctx, DDT_ERR_RANGE,
                        "'%s', line %u: the record of time %.15g lies before the twin's clock, which stands at %.15g.",
                        d->events->path, record->line, record->time_h, since_h);
    }
    if (record->steady_state > 1) {
        return ddt_fail(
            d->ctx, DDT_ERR_UNSUPPORTED,
            "'%s', line %u: SS %d, a steady state on top of what is there, is not for a twin that is updated.",
            d->events->path, record->line, record->steady_state);
    }
    return check_covariates(d, index);
}

static ddt_status check_dose(const drafter *d, const ddt_dose *dose) {
    if (dose->rate < 0.0) {
        return ddt_fail(d->ctx, DDT_ERR_UNSUPPORTED, "'%s', line %u: RATE %g is not for a twin that is updated.",
                        d->events->path, line_of(d, dose->record), dose->rate);
    }
    ddt_expr f = d->model->compartments[dose->compartment].bioavailability;
    double part = 1.0;
    if (dose->duration_h > 0.0 && f != DDT_EXPR_NONE && !(ddt_expr_is_const(d->model->pool, f, &part) && part == 1.0)) {
        return ddt_fail(
            d->ctx, DDT_ERR_UNSUPPORTED,
            "'%s', line %u: an infusion into a compartment with a bioavailability is not for a twin that is "
            "updated.",
            d->events->path, line_of(d, dose->record));
    }
    if (!(dose->amount <= d->u->dose_max[dose->compartment])) {
        return ddt_fail(d->ctx, DDT_ERR_RANGE,
                        "'%s', line %u: AMT is %.15g; the plan was made for doses of at most %.15g into %s.",
                        d->events->path, line_of(d, dose->record), dose->amount, d->u->dose_max[dose->compartment],
                        d->model->compartments[dose->compartment].name);
    }
    return DDT_OK;
}

/* A steady state within what is planned for on average. */
static ddt_status check_steady(const drafter *d, const ddt_dose *dose) {
    const size_t c = dose->compartment;
    if (dose->steady_state == 0) {
        return DDT_OK;
    }
    if (!(dose->interval_h > 0.0) || dose->duration_h > dose->interval_h) {
        return ddt_fail(
            d->ctx, DDT_ERR_UNSUPPORTED,
            "'%s', line %u: a steady state of infusions without end or longer than their interval is not for "
            "a twin that is updated.",
            d->events->path, line_of(d, dose->record));
    }
    if (!(dose->amount <= d->u->dose_rate_max[c] * dose->interval_h)) {
        return ddt_fail(d->ctx, DDT_ERR_RANGE,
                        "'%s', line %u: AMT is %.15g every %.15g; the plan was made for at most %.6g in that time into "
                        "%s.",
                        d->events->path, line_of(d, dose->record), dose->amount, dose->interval_h,
                        d->u->dose_rate_max[c] * dose->interval_h, d->model->compartments[c].name);
    }
    return DDT_OK;
}

/* All doses of the table against what is planned for on average, one dose in advance. */
static ddt_status check_total(const drafter *d, double span_h) {
    for (size_t c = 0; c < d->model->compartment_count; c++) {
        double total = 0.0;
        double allowed = d->u->dose_max[c] + d->u->dose_rate_max[c] * span_h;
        for (size_t i = 0; i < d->schedule.dose_count; i++) {
            total += d->schedule.doses[i].compartment == c ? d->schedule.doses[i].amount : 0.0;
        }
        if (!(total <= allowed)) {
            return ddt_fail(d->ctx, DDT_ERR_RANGE,
                            "'%s': the doses of %s into %s come to %.6g within %.6g %s; the plan was made for at most "
                            "%.6g.",
                            d->events->path, d->subject->id, d->model->compartments[c].name, total, span_h,
                            d->model->time_unit == NULL ? "h" : d->model->time_unit, allowed);
        }
    }
    return DDT_OK;
}

static ddt_status check_all(drafter *d, double since_h) {
    for (size_t i = 0; i < d->subject->record_count; i++) {
        SOLVE_TRY(check_record(d, i, since_h));
    }
    for (size_t i = 0; i < d->schedule.dose_count; i++) {
        SOLVE_TRY(check_dose(d, &d->schedule.doses[i]));
        SOLVE_TRY(check_steady(d, &d->schedule.doses[i]));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ moments */

static int compare_moments(const void *left, const void *right) {
    const moment *a = left;
    const moment *b = right;
    if (a->time_h != b->time_h) {
        return a->time_h < b->time_h ? -1 : 1;
    }
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

static void add_moment(drafter *d, double time_h, size_t rank, moment_kind kind, size_t index) {
    d->moments[d->moment_count++] = (moment){time_h, rank, kind, index};
}

static bool resets(const ddt_record *record) {
    return record->evid == DDT_EVID_RESET || record->evid == DDT_EVID_RESET_DOSE ||
           (record->evid == DDT_EVID_DOSE && record->steady_state == 1);
}

/* At one time: ends of infusions, additional doses, then records, each after what it resets and the dose that it
 * gives. */
static ddt_status find_moments(drafter *d) {
    enum { FIRST = 2, EACH = 3 }; /* ranks of records */
    const size_t most = 2 * (d->schedule.dose_count + d->subject->record_count);
    d->moments = ddt_calloc(most, sizeof *d->moments);
    if (d->moments == NULL) {
        return solve_no_memory(d->ctx);
    }
    for (size_t i = 0; i < d->schedule.dose_count; i++) {
        const ddt_dose *dose = &d->schedule.doses[i];
        add_moment(d, dose->time_h, dose->additional > 0 ? 1 : FIRST + 1 + EACH * dose->record, MOMENT_DOSE, i);
        if (dose->duration_h > 0.0) {
            add_moment(d, dose->time_h + dose->duration_h, 0, MOMENT_INFUSION_END, i);
        }
    }
    for (size_t r = 0; r < d->subject->record_count; r++) {
        const ddt_record *record = &d->subject->records[r];
        add_moment(d, record->time_h, FIRST + 2 + EACH * r, MOMENT_RECORD, r);
        if (resets(record)) {
            add_moment(d, record->time_h, FIRST + EACH * r, MOMENT_RESET, r);
        }
    }
    qsort(d->moments, d->moment_count, sizeof *d->moments, compare_moments);
    return DDT_OK;
}

/* ------------------------------------------------------------------ acts */

/* Whose covariates hold over a stretch that ends at time_h. */
static size_t record_in_force(const drafter *d, double time_h) {
    size_t r = 0;
    while (r + 1 < d->subject->record_count && d->subject->records[r].time_h < time_h) {
        r++;
    }
    return d->subject->records[r].time_h < time_h ? r : ddt_events_in_force(d->events, r);
}

static void add_move(drafter *d, double *now_h, double time_h, size_t stretch) {
    const size_t n = d->model->compartment_count;
    double *rates = d->out->rates + stretch * n;
    memcpy(rates, d->rates, n * sizeof *rates);
    d->out->acts[d->out->count++] = (update_act){.kind = UPDATE_MOVE,
                                                 .time_h = time_h,
                                                 .span_h = time_h - *now_h,
                                                 .record = record_in_force(d, time_h),
                                                 .rates = rates};
    *now_h = time_h;
}

static void add_reset(drafter *d, size_t record) {
    memset(d->rates, 0, d->model->compartment_count * sizeof *d->rates);
    d->reset = record;
    d->out->acts[d->out->count++] = (update_act){.kind = UPDATE_RESET, .record = record};
}

static void end_infusion(drafter *d, const ddt_dose *dose) {
    if (dose->record >= d->reset) {
        d->rates[dose->compartment] -= dose->amount / dose->duration_h;
    }
}

/* The steady state that the dose's own record begins with. */
static void add_steady(drafter *d, const ddt_dose *dose, size_t stretch) {
    double *rates = d->out->rates + stretch * d->model->compartment_count;
    if (dose->duration_h > 0.0) {
        rates[dose->compartment] = dose->amount / dose->duration_h;
    }
    d->out->acts[d->out->count++] = (update_act){.kind = UPDATE_STEADY,
                                                 .record = dose->covariate_record,
                                                 .compartment = dose->compartment,
                                                 .span_h = dose->interval_h,
                                                 .amount = dose->amount,
                                                 .infusion_h = dose->duration_h,
                                                 .rates = rates};
}

static void add_dose(drafter *d, const ddt_dose *dose, size_t stretch) {
    if (dose->steady_state == 1) {
        add_steady(d, dose, stretch);
    }
    if (dose->duration_h > 0.0) {
        d->rates[dose->compartment] += dose->amount / dose->duration_h;
        return;
    }
    d->out->acts[d->out->count++] = (update_act){.kind = UPDATE_BOLUS,
                                                 .record = dose->covariate_record,
                                                 .compartment = dose->compartment,
                                                 .amount = dose->amount};
}

static void add_record(drafter *d, size_t index) {
    const ddt_record *record = &d->subject->records[index];
    if (!ddt_record_is_observation(record)) {
        return;
    }
    d->out->acts[d->out->count++] =
        (update_act){.kind = record->has_dv ? UPDATE_LEVEL : UPDATE_LOOK, .time_h = record->time_h, .record = index};
    d->out->level_count += record->has_dv;
    d->out->look_count++;
}

static ddt_status draft(drafter *d, double since_h) {
    const size_t n = d->model->compartment_count;
    d->out->acts = ddt_calloc(3 * d->moment_count + 1, sizeof *d->out->acts); /* a stretch, a steady state, a dose */
    d->out->rates = ddt_calloc((2 * d->moment_count + 1) * n, sizeof *d->out->rates);
    d->rates = ddt_calloc(n, sizeof *d->rates);
    if (d->out->acts == NULL || d->out->rates == NULL || d->rates == NULL) {
        return solve_no_memory(d->ctx);
    }
    double now_h = isnan(since_h) ? d->moments[0].time_h : since_h;
    d->out->from_h = now_h;
    for (size_t m = 0; m < d->moment_count; m++) {
        const moment *at = &d->moments[m];
        if (at->time_h > now_h) {
            add_move(d, &now_h, at->time_h, m);
        }
        if (at->kind == MOMENT_RECORD) {
            add_record(d, at->index);
        } else if (at->kind == MOMENT_DOSE) {
            /* stretches come first, then the rates of steady states */
            add_dose(d, &d->schedule.doses[at->index], d->moment_count + m);
        } else if (at->kind == MOMENT_RESET) {
            add_reset(d, at->index);
        } else {
            end_infusion(d, &d->schedule.doses[at->index]);
        }
    }
    d->out->to_h = now_h;
    return check_total(d, now_h - d->out->from_h);
}

static ddt_status timeline_create(ddt_context *ctx, const ddt_update *u, const ddt_model *model,
                                  const ddt_events *events, size_t subject, double since_h, update_timeline *out) {
    drafter d = {
        .ctx = ctx, .u = u, .model = model, .events = events, .subject = &events->subjects[subject], .out = out};
    *out = (update_timeline){0};
    ddt_status status = ddt_schedule_create(ctx, model, events, subject, &d.schedule);
    if (status == DDT_OK) {
        status = check_all(&d, since_h);
    }
    if (status == DDT_OK) {
        status = find_moments(&d);
    }
    if (status == DDT_OK) {
        status = draft(&d, since_h);
    }
    ddt_schedule_destroy(&d.schedule);
    ddt_free(d.moments);
    ddt_free(d.rates);
    if (status != DDT_OK) {
        update_timeline_destroy(out);
    }
    return status;
}

ddt_status update_timeline_open(ddt_context *ctx, const ddt_update *u, const ddt_model *model, const ddt_events *events,
                                size_t subject, double since_h, update_system *system, update_timeline *out) {
    ddt_status status = update_check_model(ctx, u, model);
    if (status == DDT_OK) {
        status = update_system_create(ctx, model, system);
    }
    return status == DDT_OK ? timeline_create(ctx, u, model, events, subject, since_h, out) : status;
}

void update_timeline_destroy(update_timeline *timeline) {
    ddt_free(timeline->acts);
    ddt_free(timeline->rates);
    *timeline = (update_timeline){0};
}
