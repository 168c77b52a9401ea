/* The plaintext solver: one subject, record by record. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/pharma/reference.h"

#include "reference_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Something that happens between records: a dose that acts, or an infusion that ends. */
typedef struct action {
    double time_h;
    size_t epoch;
    size_t dose;
    double rate_change; /* of the infusion that ends */
    bool starts;        /* the dose acts, or its infusion begins */
} action;

typedef struct run {
    ddt_reference *r;
    action *actions; /* by time */
    size_t action_count;
    size_t next_action;
    double *stop_h; /* of each record: when the next record at or after it changes something */
    size_t epoch;
    const ddt_expr_program *program;
    size_t expression_count;
} run;

static size_t state_count(const run *s) { return s->r->model->compartment_count; }

static ddt_status fail_memory(const ddt_reference *r) {
    return ddt_fail(r->ctx, DDT_ERR_MEMORY, "Memory is short for the reference solution of '%s'.", r->events->path);
}

/* ------------------------------------------------------------------ actions */

/* The dose acts when its record does, and not between records. */
static bool acts_at_record(const ddt_reference *r, size_t d) {
    const ddt_dose *dose = &r->schedule.doses[d];
    return dose->additional == 0 && r->doses[d].act_h <= dose->time_h;
}

/* Infusions of the regimen still running when a steady-state record has been reached. */
static size_t residual_count(const ddt_reference *r, size_t d) {
    const ddt_dose *dose = &r->schedule.doses[d];
    if (dose->steady_state == 0 || r->doses[d].rate == 0.0 || r->doses[d].is_constant) {
        return 0;
    }
    size_t k = 0;
    for (;;) {
        double end_h = ddt_reference_residual_end_h(r, d, k + 1);
        if (end_h <= dose->time_h || ddt_events_same_time(end_h, dose->time_h)) {
            return k;
        }
        k++;
    }
}

static void add_actions(run *s, size_t d, action **next) {
    const ddt_reference *r = s->r;
    const ddt_dose *dose = &r->schedule.doses[d];
    const ddt_given_dose *given = &r->doses[d];
    action what = {.epoch = dose->epoch, .dose = d};
    for (size_t k = residual_count(r, d); k > 0; k--) {
        what.time_h = ddt_reference_residual_end_h(r, d, k);
        what.rate_change = -given->rate;
        *(*next)++ = what;
    }
    if (given->is_constant) {
        return;
    }
    if (!acts_at_record(r, d)) {
        what.time_h = given->act_h;
        what.starts = true;
        *(*next)++ = what;
        what.starts = false;
    }
    if (given->rate != 0.0) {
        what.time_h = given->act_h + given->duration_h;
        what.rate_change = -given->rate;
        *(*next)++ = what;
    }
}

static int compare_actions(const void *a, const void *b) {
    const action *first = a;
    const action *second = b;
    if (first->time_h != second->time_h) {
        return first->time_h < second->time_h ? -1 : 1;
    }
    return (first->dose > second->dose) - (first->dose < second->dose);
}

static ddt_status list_actions(run *s) {
    /* At most a start and an end of each dose, and the ends of the infusions that run at a steady state. */
    const size_t of_dose = 2;
    size_t capacity = 0;
    for (size_t d = 0; d < s->r->schedule.dose_count; d++) {
        capacity += of_dose + residual_count(s->r, d);
    }
    s->actions = ddt_alloc(capacity, sizeof *s->actions);
    if (s->actions == NULL) {
        return fail_memory(s->r);
    }
    action *end = s->actions;
    for (size_t d = 0; d < s->r->schedule.dose_count; d++) {
        add_actions(s, d, &end);
    }
    s->action_count = (size_t)(end - s->actions);
    qsort(s->actions, s->action_count, sizeof *s->actions, compare_actions);
    return DDT_OK;
}

/* ------------------------------------------------------------------ records */

static bool same_covariates(const run *s, size_t a, size_t b) {
    const ddt_subject *subject = ddt_reference_subject(s->r);
    return memcmp(subject->covariate_values + subject->records[a].covariates,
                  subject->covariate_values + subject->records[b].covariates,
                  s->r->events->covariate_count * sizeof(double)) == 0;
}

/* The same covariates are in force before both records. */
static bool same_interval(const run *s, size_t a, size_t b) {
    return same_covariates(s, ddt_events_in_force(s->r->events, a), ddt_events_in_force(s->r->events, b));
}

static ddt_status list_stops(run *s) {
    const ddt_subject *subject = ddt_reference_subject(s->r);
    s->stop_h = ddt_alloc(subject->record_count, sizeof *s->stop_h);
    if (s->stop_h == NULL) {
        return fail_memory(s->r);
    }
    for (size_t i = subject->record_count; i-- > 0;) {
        bool is_last = i + 1 == subject->record_count;
        bool acts = !ddt_record_is_observation(&subject->records[i]);
        s->stop_h[i] = is_last || acts || !same_interval(s, i, i + 1) ? subject->records[i].time_h : s->stop_h[i + 1];
    }
    return DDT_OK;
}

static ddt_status advance(run *s, double time_h, double stop_h) {
    double reached_h = 0.0;
    ddt_status status = ddt_reference_advance(s->r, time_h, stop_h, &reached_h);
    if (status != DDT_OK) {
        return ddt_fail(s->r->ctx, status,
                        "The model %s cannot be integrated beyond time %.15g for the subject %s of '%s'.",
                        s->r->model->name, reached_h, ddt_reference_subject(s->r)->id, s->r->events->path);
    }
    return DDT_OK;
}

static void change_input(run *s, size_t dose, double rate_change) {
    double *input = &ddt_integrator_input(s->r->integrator)[s->r->schedule.doses[dose].compartment];
    double before = fabs(*input);
    /* When the last infusion ends, what is left of the sum is rounding. */
    const double rounding = 1e-13;
    *input += rate_change;
    if (fabs(*input) < rounding * before) {
        *input = 0.0;
    }
}

static void start_dose(run *s, size_t d) {
    const ddt_given_dose *given = &s->r->doses[d];
    const ddt_dose *dose = &s->r->schedule.doses[d];
    ddt_reference_note_dose(s->r, dose->compartment, given->act_h, dose->amount);
    ddt_reference_set_breaks(s->r);
    if (given->rate != 0.0) {
        change_input(s, d, given->rate);
    } else {
        ddt_integrator_state(s->r->integrator)[dose->compartment] += given->amount;
    }
}

/* Everything between the last record and this one. Actions of an earlier epoch were cancelled by its reset. */
static ddt_status reach_record(run *s, size_t record) {
    double time_h = ddt_reference_subject(s->r)->records[record].time_h;
    for (; s->next_action < s->action_count && s->actions[s->next_action].time_h <= time_h; s->next_action++) {
        const action *now = &s->actions[s->next_action];
        if (now->epoch != s->epoch) {
            continue;
        }
        ddt_status status = advance(s, now->time_h, now->time_h);
        if (status != DDT_OK) {
            return status;
        }
        if (now->starts) {
            start_dose(s, now->dose);
        } else {
            change_input(s, now->dose, now->rate_change);
        }
        ddt_integrator_restart(s->r->integrator, now->time_h);
    }
    double stop_h = s->stop_h[record];
    for (size_t i = s->next_action; i < s->action_count && s->actions[i].time_h < stop_h; i++) {
        if (s->actions[i].epoch == s->epoch) {
            stop_h = s->actions[i].time_h;
        }
    }
    return advance(s, time_h, stop_h);
}

static void clear_input(run *s) { memset(ddt_integrator_input(s->r->integrator), 0, state_count(s) * sizeof(double)); }

static ddt_status reset(run *s, double time_h) {
    clear_input(s);
    ddt_reference_forget_doses(s->r, time_h);
    ddt_reference_set_breaks(s->r);
    ddt_integrator_restart(s->r->integrator, time_h);
    return ddt_reference_initial(s->r, ddt_integrator_state(s->r->integrator));
}

/* A record's own dose, after the reset that it may bring. */
static void give_dose(run *s, size_t d) {
    const ddt_reference *r = s->r;
    const ddt_dose *dose = &r->schedule.doses[d];
    double *state = ddt_integrator_state(r->integrator);
    const double *steady = r->steady + d * state_count(s);
    if (dose->steady_state == 1) {
        clear_input(s);
        memcpy(state, steady, state_count(s) * sizeof *state);
    } else if (dose->steady_state != 0) {
        for (size_t i = 0; i < state_count(s); i++) {
            state[i] += steady[i];
        }
    }
    if (dose->steady_state != 0 && !r->doses[d].is_constant) {
        ddt_reference_note_dose(r, dose->compartment, r->doses[d].act_h - dose->interval_h, dose->amount);
    }
    size_t residual = residual_count(r, d);
    if (residual > 0) {
        change_input(s, d, (double)residual * r->doses[d].rate);
    }
    if (acts_at_record(r, d) && !r->doses[d].is_constant) {
        start_dose(s, d);
    }
    ddt_integrator_restart(r->integrator, dose->time_h);
}

/* ------------------------------------------------------------------ walk */

/* Position in the schedule of what comes next. */
typedef struct cursor {
    size_t dose;
    size_t observation;
} cursor;

static ddt_status step_record(run *s, size_t record, cursor *at, double *values) {
    const ddt_reference *r = s->r;
    const ddt_subject *subject = ddt_reference_subject(r);
    double time_h = subject->records[record].time_h;
    bool resets = s->epoch + 1 < r->schedule.epoch_count && r->schedule.epoch_record[s->epoch + 1] == record;
    ddt_status status = DDT_OK;
    if (record > 0 && !same_interval(s, record - 1, record)) {
        ddt_integrator_restart(r->integrator, ddt_integrator_time(r->integrator));
    }
    ddt_reference_set_symbols(r, record == 0 || resets ? record : ddt_events_in_force(r->events, record));
    ddt_reference_set_breaks(r);
    if (record == 0) {
        status = reset(s, time_h);
    } else if (resets) {
        s->epoch++;
        status = reset(s, time_h);
    } else {
        status = reach_record(s, record);
    }
    if (status != DDT_OK) {
        return status;
    }
    for (; at->dose < r->schedule.dose_count && r->schedule.doses[at->dose].record == record; at->dose++) {
        if (r->schedule.doses[at->dose].additional == 0) {
            give_dose(s, at->dose);
        }
    }
    if (at->observation < r->schedule.observation_count && r->schedule.observations[at->observation] == record) {
        if (values != NULL) {
            /* The integrator leaves the symbols at its own last step. */
            ddt_reference_set_symbols(r, record);
            for (size_t i = 0; i < state_count(s); i++) {
                r->symbols[r->model->compartments[i].symbol] = ddt_integrator_state(r->integrator)[i];
            }
            ddt_expr_program_run(s->program, r->symbols, values + at->observation * s->expression_count);
        }
        at->observation++;
    }
    return DDT_OK;
}

static ddt_status walk(run *s, double *values) {
    cursor at = {0};
    ddt_status status = DDT_OK;
    s->next_action = 0;
    s->epoch = 0;
    for (size_t i = 0; i < ddt_reference_subject(s->r)->record_count && status == DDT_OK; i++) {
        status = step_record(s, i, &at, values);
    }
    return status;
}

/*
 * A coarse pass shows how large each state becomes; the fine one takes its absolute tolerances from that, so that a
 * receptor in nmol is solved as accurately as a drug in mg.
 */
static ddt_status walk_twice(run *s, double *values) {
    const double coarse_rtol = 1e-4;
    const double coarse_fraction = 1e-12;
    const ddt_reference *r = s->r;
    double *sizes = ddt_alloc(state_count(s), sizeof *sizes);
    if (sizes == NULL) {
        return fail_memory(r);
    }
    ddt_reference_set_symbols(r, 0);
    ddt_status status = ddt_reference_initial(r, sizes);
    double largest = 0.0;
    for (size_t d = 0; d < r->schedule.dose_count; d++) {
        largest = fmax(largest, r->doses[d].amount);
    }
    for (size_t i = 0; i < state_count(s) && status == DDT_OK; i++) {
        sizes[i] = fmax(fabs(sizes[i]), largest);
    }
    if (status == DDT_OK) {
        status = ddt_integrator_set_tolerance(r->integrator, coarse_rtol, coarse_fraction, sizes);
    }
    if (status == DDT_OK) {
        ddt_integrator_sizes(r->integrator, sizes, true);
        status = walk(s, NULL);
    }
    if (status == DDT_OK) {
        ddt_integrator_sizes(r->integrator, sizes, true);
        const double rtol = r->rtol > 0.0 ? r->rtol : ddt_reference_rtol;
        const double loosening = rtol / ddt_reference_rtol;
        status = ddt_integrator_set_tolerance(r->integrator, rtol, loosening * ddt_reference_atol_fraction, sizes);
    }
    ddt_free(sizes);
    return status == DDT_OK ? walk(s, values) : status;
}

/* ------------------------------------------------------------------ public */

static ddt_status prepare(ddt_reference *r) {
    size_t states = r->model->compartment_count;
    ddt_status status = ddt_schedule_create(r->ctx, r->model, r->events, r->subject, &r->schedule);
    if (status != DDT_OK) {
        return status;
    }
    size_t entries = 0;
    r->symbols = ddt_calloc(r->model->symbol_count, sizeof *r->symbols);
    r->history = ddt_calloc(r->model->symbol_count, sizeof *r->history);
    r->doses = ddt_alloc(r->schedule.dose_count, sizeof *r->doses);
    r->steady = ddt_size_mul(r->schedule.dose_count, states, &entries) ? ddt_calloc(entries, sizeof *r->steady) : NULL;
    if (r->symbols == NULL || r->history == NULL || r->doses == NULL || r->steady == NULL) {
        return fail_memory(r);
    }
    status = ddt_integrator_create(r->ctx, r->model, r->symbols, &r->integrator);
    if (status == DDT_OK && r->rtol > 0.0) {
        status = ddt_integrator_prefer_explicit(r->integrator);
    }
    if (status == DDT_OK) {
        status = ddt_reference_compile_parts(r);
    }
    if (status == DDT_OK) {
        status = ddt_reference_prepare_doses(r);
    }
    return status == DDT_OK ? ddt_reference_prepare_steady(r) : status;
}

static ddt_status simulate(ddt_reference *r, const ddt_expr *expressions, size_t count, double *values,
                           size_t *value_count) {
    ddt_status status = prepare(r);
    if (status != DDT_OK) {
        return status;
    }
    *value_count = r->schedule.observation_count * count;
    ddt_expr_program *program = NULL;
    status = ddt_expr_compile(r->ctx, r->model->pool, expressions, count, &program);
    if (status != DDT_OK) {
        return status;
    }
    run s = {.r = r, .program = program, .expression_count = count};
    status = list_actions(&s);
    if (status == DDT_OK) {
        status = list_stops(&s);
    }
    if (status == DDT_OK) {
        status = walk_twice(&s, values);
    }
    ddt_free(s.actions);
    ddt_free(s.stop_h);
    ddt_expr_program_destroy(program);
    return status;
}

static size_t count_observations(const ddt_events *events, size_t subject) {
    size_t count = 0;
    for (size_t i = 0; i < events->subjects[subject].record_count; i++) {
        count += ddt_record_is_observation(&events->subjects[subject].records[i]);
    }
    return count;
}

/* What the three public forms share; the reference's own parts are freed at the end. */
static ddt_status simulate_and_free(ddt_reference *r, const ddt_expr *expressions, size_t count, double *values) {
    if (r->subject >= r->events->subject_count) {
        return ddt_fail(r->ctx, DDT_ERR_ARGUMENT, "There is no subject %zu in '%s'.", r->subject, r->events->path);
    }
    size_t value_count = 0;
    ddt_status status = simulate(r, expressions, count, values, &value_count);
    if (status != DDT_OK) {
        memset(values, 0, count_observations(r->events, r->subject) * count * sizeof *values);
    }
    ddt_integrator_destroy(r->integrator);
    ddt_schedule_destroy(&r->schedule);
    ddt_expr_program_destroy(r->parts);
    ddt_free(r->part_values);
    ddt_free(r->part_places);
    ddt_free(r->break_h);
    ddt_free(r->symbols);
    ddt_free(r->history);
    ddt_free(r->doses);
    ddt_free(r->steady);
    return status;
}

ddt_status ddt_reference_simulate_to(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t subject,
                                     const double *symbols, double rtol, const ddt_expr *expressions, size_t count,
                                     double *values) {
    ddt_reference r = {.ctx = ctx,
                       .model = model,
                       .events = events,
                       .subject = subject,
                       .base = symbols,
                       .data_covariates = true,
                       .rtol = rtol};
    return simulate_and_free(&r, expressions, count, values);
}

ddt_status ddt_reference_simulate_with(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                       size_t subject, const double *symbols, bool data_covariates,
                                       const ddt_expr *expressions, size_t count, double *values) {
    ddt_reference r = {.ctx = ctx,
                       .model = model,
                       .events = events,
                       .subject = subject,
                       .base = symbols,
                       .data_covariates = data_covariates};
    return simulate_and_free(&r, expressions, count, values);
}

ddt_status ddt_reference_simulate(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t subject,
                                  const ddt_expr *expressions, size_t count, double *values) {
    return ddt_reference_simulate_with(ctx, model, events, subject, NULL, false, expressions, count, values);
}
