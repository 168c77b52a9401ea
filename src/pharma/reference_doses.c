/* What lag, bioavailability, rate and duration make of a schedule's doses. SPDX-License-Identifier: Apache-2.0 */
#include "reference_private.h"

#include <math.h>
#include <string.h>

static const double rate_modelled = -1.0;
static const double duration_modelled = -2.0;

const ddt_subject *ddt_reference_subject(const ddt_reference *r) { return &r->events->subjects[r->subject]; }

void ddt_reference_set_symbols(const ddt_reference *r, size_t record) {
    const ddt_subject *subject = ddt_reference_subject(r);
    ddt_events_symbols(r->model, r->events, r->subject, record, r->symbols);
    if (r->base == NULL) {
        return;
    }
    for (size_t i = 0; i < r->model->symbol_count; i++) {
        ddt_symbol_kind kind = r->model->symbols[i].kind;
        if (kind != DDT_SYMBOL_STATE && kind != DDT_SYMBOL_TIME) {
            r->symbols[i] = r->base[i];
        }
    }
    if (!r->data_covariates) {
        return;
    }
    const double *covariates = subject->covariate_values + subject->records[record].covariates;
    for (size_t i = 0; i < r->events->covariate_count; i++) {
        uint32_t symbol = r->events->covariate_symbols[i];
        if (r->model->symbols[symbol].kind == DDT_SYMBOL_COVARIATE) {
            r->symbols[symbol] = covariates[i];
        }
    }
}

bool ddt_reference_depends_on(const ddt_model *model, ddt_expr e, ddt_symbol_kind kind) {
    if (e == DDT_EXPR_NONE) {
        return false;
    }
    for (size_t i = 0; i < model->symbol_count; i++) {
        if (model->symbols[i].kind == kind && ddt_expr_depends_on(model->pool, e, (uint32_t)i)) {
            return true;
        }
    }
    return false;
}

ddt_status ddt_reference_initial(const ddt_reference *r, double *state) {
    for (size_t i = 0; i < r->model->compartment_count; i++) {
        const ddt_compartment *compartment = &r->model->compartments[i];
        state[i] = compartment->initial == DDT_EXPR_NONE
                       ? 0.0
                       : ddt_expr_eval(r->model->pool, compartment->initial, r->symbols, NULL);
        if (!isfinite(state[i])) {
            return ddt_fail(r->ctx, DDT_ERR_MODEL, "The initial value of %s is not finite for the subject %s.",
                            compartment->name, ddt_reference_subject(r)->id);
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ one dose */

static unsigned dose_line(const ddt_reference *r, const ddt_dose *dose) {
    return ddt_reference_subject(r)->records[dose->record].line;
}

static ddt_status fail_dose(const ddt_reference *r, const ddt_dose *dose, const char *what, double value) {
    return ddt_fail(r->ctx, DDT_ERR_DATA, "'%s', line %u: the %s of compartment %s is %.15g for the subject %s.",
                    r->events->path, dose_line(r, dose), what, r->model->compartments[dose->compartment].name, value,
                    ddt_reference_subject(r)->id);
}

/* One of f(), alag(), rate(), dur() with the symbols as set; `absent` where the model has none. */
static ddt_status evaluate(const ddt_reference *r, const ddt_dose *dose, const char *what, ddt_expr e, double absent,
                           double *value) {
    if (e == DDT_EXPR_NONE) {
        *value = absent;
        return DDT_OK;
    }
    if (ddt_reference_depends_on(r->model, e, DDT_SYMBOL_STATE)) {
        return ddt_fail(r->ctx, DDT_ERR_UNSUPPORTED,
                        "The %s of compartment %s depends on a state; that is not supported.", what,
                        r->model->compartments[dose->compartment].name);
    }
    *value = ddt_expr_eval(r->model->pool, e, r->symbols, NULL);
    if (!isfinite(*value) || *value < 0.0) {
        return fail_dose(r, dose, what, *value);
    }
    return DDT_OK;
}

static ddt_status set_infusion(const ddt_reference *r, const ddt_dose *dose, double amount, ddt_given_dose *given) {
    const ddt_compartment *compartment = &r->model->compartments[dose->compartment];
    ddt_status status = DDT_OK;
    if (dose->rate == duration_modelled) {
        status = evaluate(r, dose, "duration", compartment->duration, 0.0, &given->duration_h);
        if (status == DDT_OK && given->duration_h == 0.0) {
            status = fail_dose(r, dose, "duration", given->duration_h);
        }
        given->rate = amount / given->duration_h;
        return status;
    }
    given->rate = dose->rate;
    if (dose->rate == rate_modelled) {
        status = evaluate(r, dose, "rate", compartment->rate, 0.0, &given->rate);
        if (status == DDT_OK && given->rate == 0.0) {
            status = fail_dose(r, dose, "rate", given->rate);
        }
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
    const ddt_compartment *compartment = &r->model->compartments[dose->compartment];
    double bioavailability = 1.0;
    *given = (ddt_given_dose){0};
    ddt_status status = evaluate(r, dose, "lag", compartment->lag_h, 0.0, &given->lag_h);
    if (status == DDT_OK) {
        status = evaluate(r, dose, "bioavailability", compartment->bioavailability, 1.0, &bioavailability);
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
                        r->events->path, dose_line(r, dose), given->lag_h, compartment->name, dose->interval_h);
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
