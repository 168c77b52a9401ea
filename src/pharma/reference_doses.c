/* What lag, bioavailability, rate and duration make of a schedule's doses. SPDX-License-Identifier: Apache-2.0 */
#include "reference_private.h"

#include <math.h>
#include <string.h>

static const double rate_modelled = -1.0;
static const double duration_modelled = -2.0;

const ddt_subject *ddt_reference_subject(const ddt_reference *r) { return &r->events->subjects[r->subject]; }

static bool is_history(const ddt_symbol *symbol) {
    return symbol->kind == DDT_SYMBOL_LAST_DOSE_TIME || symbol->kind == DDT_SYMBOL_LAST_DOSE_AMOUNT;
}

void ddt_reference_forget_doses(const ddt_reference *r, double start_h) {
    for (size_t i = 0; i < r->model->symbol_count; i++) {
        if (is_history(&r->model->symbols[i])) {
            r->history[i] = r->model->symbols[i].kind == DDT_SYMBOL_LAST_DOSE_TIME ? start_h : 0.0;
            r->symbols[i] = r->history[i];
        }
    }
}

void ddt_reference_note_dose(const ddt_reference *r, unsigned compartment, double time_h, double amount) {
    for (size_t i = 0; i < r->model->symbol_count; i++) {
        const ddt_symbol *symbol = &r->model->symbols[i];
        if (is_history(symbol) && (symbol->compartment == compartment || symbol->compartment == UINT32_MAX)) {
            r->history[i] = symbol->kind == DDT_SYMBOL_LAST_DOSE_TIME ? time_h : amount;
            r->symbols[i] = r->history[i];
        }
    }
}

/* Values that stand for the model's and the data's: `base`, and over it the data's covariates where they are asked for.
 */
static void set_base_symbols(const ddt_reference *r, size_t record) {
    const ddt_subject *subject = ddt_reference_subject(r);
    for (size_t i = 0; i < r->model->symbol_count; i++) {
        ddt_symbol_kind kind = r->model->symbols[i].kind;
        if (kind == DDT_SYMBOL_THETA || kind == DDT_SYMBOL_ETA || kind == DDT_SYMBOL_COVARIATE) {
            r->symbols[i] = r->base[i];
        }
    }
    const double *covariates = subject->covariate_values + subject->records[record].covariates;
    for (size_t i = 0; r->data_covariates && i < r->events->covariate_count; i++) {
        uint32_t symbol = r->events->covariate_symbols[i];
        if (r->model->symbols[symbol].kind == DDT_SYMBOL_COVARIATE) {
            r->symbols[symbol] = covariates[i];
        }
    }
}

void ddt_reference_set_symbols(const ddt_reference *r, size_t record) {
    ddt_events_symbols(r->model, r->events, r->subject, record, r->symbols);
    if (r->base != NULL) {
        set_base_symbols(r, record);
    }
    for (size_t i = 0; i < r->model->symbol_count; i++) {
        if (is_history(&r->model->symbols[i])) {
            r->symbols[i] = r->history[i];
        }
    }
}

/* ------------------------------------------------------------------ parts of compartments */

/* Whether an expression depends on a state, on a dose... */
static ddt_status depends_on(const ddt_reference *r, ddt_expr e, ddt_symbol_kind kind, bool *depends) {
    *depends = false;
    ddt_expr *order = NULL;
    size_t count = 0;
    ddt_status status = ddt_expr_topological(r->ctx, r->model->pool, &e, 1, &order, &count);
    for (size_t i = 0; status == DDT_OK && i < count; i++) {
        const ddt_expr_node *node = ddt_expr_get(r->model->pool, order[i]);
        *depends = *depends || (node->op == DDT_EXPR_SYMBOL && r->model->symbols[node->symbol].kind == kind);
    }
    ddt_free(order);
    return status;
}

ddt_expr ddt_reference_part(const ddt_model *model, size_t compartment, ddt_part part) {
    const ddt_compartment *c = &model->compartments[compartment];
    switch (part) {
    case DDT_PART_INITIAL:
        return c->initial;
    case DDT_PART_BIOAVAILABILITY:
        return c->bioavailability;
    case DDT_PART_LAG:
        return c->lag_h;
    case DDT_PART_RATE:
        return c->rate;
    case DDT_PART_DURATION:
        return c->duration;
    case DDT_PART_COUNT:
        break;
    }
    return DDT_EXPR_NONE;
}

static const char *const part_names[DDT_PART_COUNT] = {"initial value", "bioavailability", "lag", "rate", "duration"};

/* Parts are evaluated before the integration: they cannot depend on what happens in it. */
static ddt_status check_part(const ddt_reference *r, size_t compartment, ddt_part part, ddt_expr e) {
    static const struct {
        ddt_symbol_kind kind;
        const char *name;
    } refused[] = {{DDT_SYMBOL_STATE, "a state"},
                   {DDT_SYMBOL_LAST_DOSE_TIME, "the time since a dose"},
                   {DDT_SYMBOL_LAST_DOSE_AMOUNT, "the amount of a dose"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        bool depends = false;
        ddt_status status = depends_on(r, e, refused[i].kind, &depends);
        if (status == DDT_OK && depends) {
            status =
                ddt_fail(r->ctx, DDT_ERR_UNSUPPORTED,
                         "The %s of compartment %s of the model %s depends on %s; that is not supported.",
                         part_names[part], r->model->compartments[compartment].name, r->model->name, refused[i].name);
        }
        if (status != DDT_OK) {
            return status;
        }
    }
    return DDT_OK;
}

ddt_status ddt_reference_compile_parts(ddt_reference *r) {
    size_t places = r->model->compartment_count * DDT_PART_COUNT;
    size_t capacity = places + r->model->break_count;
    ddt_expr *expressions = ddt_alloc(capacity, sizeof *expressions);
    r->part_places = ddt_alloc(places, sizeof *r->part_places);
    r->part_values = ddt_alloc(capacity, sizeof *r->part_values);
    r->break_h = ddt_alloc(r->model->break_count, sizeof *r->break_h);
    size_t count = 0;
    ddt_status status = DDT_OK;
    if (expressions == NULL || r->part_places == NULL || r->part_values == NULL || r->break_h == NULL) {
        status = ddt_fail(r->ctx, DDT_ERR_MEMORY, "Memory is short for the parts of the model %s.", r->model->name);
        ddt_free(expressions);
        return status;
    }
    for (size_t i = 0; status == DDT_OK && i < places; i++) {
        ddt_part part = (ddt_part)(i % DDT_PART_COUNT);
        ddt_expr e = ddt_reference_part(r->model, i / DDT_PART_COUNT, part);
        r->part_places[i] = e == DDT_EXPR_NONE ? SIZE_MAX : count;
        if (e != DDT_EXPR_NONE) {
            expressions[count++] = e;
            status = check_part(r, i / DDT_PART_COUNT, part, e);
        }
    }
    r->part_count = count;
    for (size_t i = 0; i < r->model->break_count; i++) {
        expressions[count++] = r->model->breaks[i];
    }
    if (status == DDT_OK) {
        status = ddt_expr_compile(r->ctx, r->model->pool, expressions, count, &r->parts);
    }
    ddt_free(expressions);
    return status;
}

void ddt_reference_set_breaks(const ddt_reference *r) {
    if (r->model->break_count > 0) {
        ddt_expr_program_run(r->parts, r->symbols, r->part_values);
        memcpy(r->break_h, r->part_values + r->part_count, r->model->break_count * sizeof *r->break_h);
    }
}

/* The first time after now_h and before limit_h at which the equations may jump; limit_h where there is none. */
static double next_break(const ddt_reference *r, double now_h, double limit_h) {
    double next_h = limit_h;
    for (size_t i = 0; i < r->model->break_count; i++) {
        double at_h = r->break_h[i];
        /* A break that is not a number is none. */
        if (at_h > now_h && at_h < next_h && !ddt_events_same_time(at_h, now_h) &&
            !ddt_events_same_time(at_h, limit_h)) {
            next_h = at_h;
        }
    }
    return next_h;
}

ddt_status ddt_reference_advance(const ddt_reference *r, double time_h, double stop_h, double *reached_h) {
    for (;;) {
        double break_h = next_break(r, ddt_integrator_time(r->integrator), stop_h);
        double target_h = fmin(time_h, break_h);
        ddt_status status = ddt_integrator_advance(r->integrator, target_h, break_h, reached_h);
        if (status != DDT_OK) {
            return status;
        }
        if (target_h >= break_h) {
            ddt_integrator_restart(r->integrator, target_h);
        }
        if (target_h >= time_h) {
            return DDT_OK;
        }
    }
}

/* The value of a part after the program has run. */
static double part_value(const ddt_reference *r, size_t compartment, ddt_part part, double absent) {
    size_t place = r->part_places[compartment * DDT_PART_COUNT + part];
    return place == SIZE_MAX ? absent : r->part_values[place];
}

ddt_status ddt_reference_initial(const ddt_reference *r, double *state) {
    ddt_expr_program_run(r->parts, r->symbols, r->part_values);
    for (size_t i = 0; i < r->model->compartment_count; i++) {
        state[i] = part_value(r, i, DDT_PART_INITIAL, 0.0);
        if (!isfinite(state[i])) {
            return ddt_fail(r->ctx, DDT_ERR_MODEL, "The initial value of %s is not finite for the subject %s.",
                            r->model->compartments[i].name, ddt_reference_subject(r)->id);
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ one dose */

static unsigned dose_line(const ddt_reference *r, const ddt_dose *dose) {
    return ddt_reference_subject(r)->records[dose->record].line;
}

static ddt_status fail_dose(const ddt_reference *r, const ddt_dose *dose, ddt_part part, double value) {
    return ddt_fail(r->ctx, DDT_ERR_DATA, "'%s', line %u: the %s of compartment %s is %.15g for the subject %s.",
                    r->events->path, dose_line(r, dose), part_names[part],
                    r->model->compartments[dose->compartment].name, value, ddt_reference_subject(r)->id);
}

/* A part of the dose's compartment for this dose, which must not be negative. */
static ddt_status evaluate(const ddt_reference *r, const ddt_dose *dose, ddt_part part, double absent, double *value) {
    *value = part_value(r, dose->compartment, part, absent);
    return isfinite(*value) && *value >= 0.0 ? DDT_OK : fail_dose(r, dose, part, *value);
}

/* The same for rates and durations, which must be positive: a quotient follows. */
static ddt_status evaluate_positive(const ddt_reference *r, const ddt_dose *dose, ddt_part part, double *value) {
    ddt_status status = evaluate(r, dose, part, 0.0, value);
    return status == DDT_OK && *value == 0.0 ? fail_dose(r, dose, part, *value) : status;
}

static ddt_status set_infusion(const ddt_reference *r, const ddt_dose *dose, double amount, ddt_given_dose *given) {
    ddt_status status = DDT_OK;
    if (dose->rate == duration_modelled) {
        status = evaluate_positive(r, dose, DDT_PART_DURATION, &given->duration_h);
        given->rate = amount / given->duration_h;
        return status;
    }
    given->rate = dose->rate;
    if (dose->rate == rate_modelled) {
        status = evaluate_positive(r, dose, DDT_PART_RATE, &given->rate);
    }
    given->is_constant = dose->steady_state != 0 && dose->amount == 0.0;
    given->duration_h = amount / given->rate;
    return status;
}

/* The record whose time a dose acts at, were it not for rounding; else the time itself. Searches from the dose's own
 * record on. */
static double snap(const ddt_subject *subject, size_t from, double time_h) {
    for (size_t i = from; i < subject->record_count; i++) {
        if (ddt_events_same_time(subject->records[i].time_h, time_h)) {
            return subject->records[i].time_h;
        }
        if (subject->records[i].time_h > time_h) {
            break;
        }
    }
    return time_h;
}

static ddt_status prepare(const ddt_reference *r, const ddt_dose *dose, ddt_given_dose *given) {
    double bioavailability = 1.0;
    *given = (ddt_given_dose){0};
    ddt_expr_program_run(r->parts, r->symbols, r->part_values);
    ddt_status status = evaluate(r, dose, DDT_PART_LAG, 0.0, &given->lag_h);
    if (status == DDT_OK) {
        status = evaluate(r, dose, DDT_PART_BIOAVAILABILITY, 1.0, &bioavailability);
    }
    given->amount = bioavailability * dose->amount;
    if (status == DDT_OK && dose->rate != 0.0) {
        status = set_infusion(r, dose, given->amount, given);
    }
    if (status != DDT_OK) {
        return status;
    }
    if (dose->steady_state != 0 && given->lag_h > dose->interval_h) {
        return ddt_fail(r->ctx, DDT_ERR_DATA,
                        "'%s', line %u: the lag %.15g of compartment %s is longer than the interval %.15g of the "
                        "steady-state dose.",
                        r->events->path, dose_line(r, dose), given->lag_h,
                        r->model->compartments[dose->compartment].name, dose->interval_h);
    }
    given->act_h = snap(ddt_reference_subject(r), dose->covariate_record, dose->time_h + given->lag_h);
    if (!given->is_constant && ddt_events_same_time(given->act_h + given->duration_h, given->act_h)) {
        /* Nothing to infuse, or in no time. */
        given->rate = 0.0;
        given->duration_h = 0.0;
    }
    return DDT_OK;
}

ddt_status ddt_reference_prepare_doses(const ddt_reference *r) {
    for (size_t d = 0; d < r->schedule.dose_count; d++) {
        const ddt_dose *dose = &r->schedule.doses[d];
        ddt_reference_set_symbols(r, dose->covariate_record);
        for (size_t i = 0; i < r->model->symbol_count; i++) {
            if (r->model->symbols[i].kind == DDT_SYMBOL_TIME) {
                r->symbols[i] = dose->time_h;
            }
        }
        ddt_status status = prepare(r, dose, &r->doses[d]);
        if (status != DDT_OK) {
            return status;
        }
    }
    return DDT_OK;
}

double ddt_reference_residual_end_h(const ddt_reference *r, size_t dose, size_t k) {
    const ddt_dose *planned = &r->schedule.doses[dose];
    const ddt_given_dose *given = &r->doses[dose];
    return given->act_h - (double)k * planned->interval_h + given->duration_h;
}
