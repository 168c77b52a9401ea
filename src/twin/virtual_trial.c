/* A virtual trial: what `check` runs when no data set is given. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/twin/trial.h"
#include "twin_internal.h"

#include <math.h>
#include <string.h>

enum {
    TRIAL_DOSES = 4,         /* one and three additional ones */
    TRIAL_OBSERVATIONS = 48, /* evenly over all dosing intervals */
    TRIAL_AMOUNT = 100,      /* in the model's dose unit, where the model names no product */
    TRIAL_SHORTENINGS = 12   /* halvings of the interval, or of the amount, that are tried */
};

/* A compartment that grows by more than this from the first half of the trial to the second explodes. */
static const double explosion = 20;

/* Who gets what. */
typedef struct regimen {
    bool has_doses;
    unsigned compartment; /* 1-based */
    double amount;
    double rate; /* as in an event table: 0 a bolus, -1 and -2 as the model says */
    double interval;
} regimen;

/* Dosing interval in the model's time unit: 12 h, 1 day or 1 week, by what the unit suggests. */
static double usual_interval(const ddt_model *model) {
    const char *unit = twin_time_unit(model);
    if (unit[0] == 'd' || unit[0] == 'D') {
        return 1;
    }
    return strncmp(unit, "min", 3) == 0 ? 12 * 60 : 12;
}

/* How the model's product is usually given: the middle of its doses and intervals. */
static regimen product_regimen(const ddt_model *model, const ddt_product *product) {
    regimen r = {.has_doses = true, .compartment = product->compartment + 1, .interval = usual_interval(model)};
    r.amount = ddt_product_round(product, (product->dose_low + product->dose_high) / 2);
    if (product->interval_count > 0) {
        r.interval = product->intervals[product->interval_count / 2];
    }
    const double infusion = product->infusion_count > 0 ? product->infusions[product->infusion_count / 2] : 0;
    r.rate = infusion > 0 ? fmin(r.amount / infusion, product->rate_max) : 0;
    return r;
}

/* Whether a compartment is empty before the first dose, as one that takes doses is. */
static bool starts_empty(const ddt_model *model, size_t compartment, const double *typical) {
    const ddt_expr initial = model->compartments[compartment].initial;
    return initial == DDT_EXPR_NONE || ddt_expr_eval(model->pool, initial, typical, NULL) == 0;
}

static size_t find_compartment(const ddt_model *model, const char *name) {
    size_t c = 0;
    while (c < model->compartment_count && strcmp(model->compartments[c].name, name) != 0) {
        c++;
    }
    return c;
}

/* Doses go where tables without a CMT column put them, `depot` or the first compartment. If that one holds something
 * already (a tumour, a response), they go to `central`, and where there is none, nobody gets any. */
static regimen usual_regimen(const ddt_model *model, const double *typical) {
    const size_t depot = find_compartment(model, "depot");
    const size_t central = find_compartment(model, "central");
    size_t c = depot < model->compartment_count ? depot : 0;
    if (c < model->compartment_count && !starts_empty(model, c, typical)) {
        c = central;
    }
    return (regimen){.has_doses = c < model->compartment_count,
                     .compartment = (unsigned)c + 1,
                     .amount = TRIAL_AMOUNT,
                     .interval = usual_interval(model)};
}

/* A compartment of which the model says how doses are taken up gets such doses: RATE -1 or -2. */
static void modelled_rate(const ddt_model *model, regimen *r) {
    if (!r->has_doses || r->rate != 0) {
        return;
    }
    const ddt_compartment *c = &model->compartments[r->compartment - 1];
    if (c->duration != DDT_EXPR_NONE) {
        r->rate = -2;
    } else if (c->rate != DDT_EXPR_NONE) {
        r->rate = -1;
    }
}

/* Of a discrete covariate one of its whole numbers, in turn, so that eight subjects have them all; else the draw. */
static double trial_value(const ddt_model *model, uint32_t symbol, double drawn, unsigned subject) {
    if (model->symbols[symbol].kind != DDT_SYMBOL_COVARIATE) {
        return drawn;
    }
    const ddt_population_range range = ddt_population_range_of(model, symbol);
    if (!range.is_discrete) {
        return drawn;
    }
    const double choices = floor(range.high) - ceil(range.low) + 1;
    return ceil(range.low) + (choices > 1 ? fmod(subject, choices) : 0);
}

static void trial_subject(twin_text *text, const ddt_model *model, const regimen *r, const double *symbols,
                          unsigned subject) {
    ddt_record record = {.evid = 2};
    if (r->has_doses) {
        record = (ddt_record){.evid = 1,
                              .amount = r->amount,
                              .rate = r->rate,
                              .interval_h = r->interval,
                              .additional = TRIAL_DOSES - 1,
                              .compartment = r->compartment};
    }
    twin_table_row(text, model, (size_t)subject + 1, &record, symbols);
    record = (ddt_record){.evid = 2};
    for (int k = 1; k <= TRIAL_OBSERVATIONS; k++) {
        record.time_h = r->interval * TRIAL_DOSES * k / TRIAL_OBSERVATIONS;
        twin_table_row(text, model, (size_t)subject + 1, &record, symbols);
    }
}

static ddt_status trial_text(ddt_context *ctx, const ddt_model *model, const regimen *r, unsigned subjects,
                             twin_text *text) {
    double *symbols = ddt_calloc(model->symbol_count, sizeof *symbols);
    if (symbols == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_status status = DDT_OK;
    twin_table_header(text, model);
    for (unsigned s = 0; status == DDT_OK && s < subjects; s++) {
        status = ddt_population_draw(ctx, model, s, symbols);
        for (uint32_t i = 0; status == DDT_OK && i < model->symbol_count; i++) {
            symbols[i] = trial_value(model, i, symbols[i], s);
        }
        if (status == DDT_OK) {
            trial_subject(text, model, r, symbols, s);
        }
    }
    ddt_free(symbols);
    return status == DDT_OK && text->failed ? twin_no_memory(ctx) : status;
}

/* ------------------------------------------------------------------ a span that the model's own values survive */

/* What is watched along the typical patient's course: all states, then the denominators of the equations. */
typedef struct watch {
    ddt_expr *expressions;
    size_t count;
    size_t states;
} watch;

/* Every denominator in the equations that is not a number. */
static ddt_status watch_create(ddt_context *ctx, const ddt_model *model, watch *out) {
    ddt_expr *order = NULL;
    size_t count = 0;
    ddt_expr *derivatives = ddt_alloc(model->compartment_count, sizeof *derivatives);
    if (derivatives == NULL) {
        return twin_no_memory(ctx);
    }
    for (size_t c = 0; c < model->compartment_count; c++) {
        derivatives[c] = model->compartments[c].derivative;
    }
    ddt_status status = ddt_expr_topological(ctx, model->pool, derivatives, model->compartment_count, &order, &count);
    ddt_free(derivatives);
    out->states = model->compartment_count;
    out->expressions = status == DDT_OK ? ddt_alloc(out->states + count, sizeof *out->expressions) : NULL;
    if (out->expressions == NULL) {
        ddt_free(order);
        return status == DDT_OK ? twin_no_memory(ctx) : status;
    }
    for (size_t c = 0; c < out->states; c++) {
        out->expressions[out->count++] = ddt_expr_symbol(model->pool, model->compartments[c].symbol);
    }
    for (size_t i = 0; i < count; i++) {
        const ddt_expr_node node = *ddt_expr_get(model->pool, order[i]);
        if (node.op == DDT_EXPR_DIV && !ddt_expr_is_const(model->pool, node.b, NULL)) {
            out->expressions[out->count++] = node.b;
        }
    }
    ddt_free(order);
    return DDT_OK;
}

typedef enum course { COURSE_FINE, COURSE_EXPLODES, COURSE_MEETS_A_POLE } course;

/* A denominator that changes its sign, or a state that grows beyond measure or is not a number. */
static course judge(const watch *w, const double *values, size_t rows) {
    for (size_t c = 0; c < w->count; c++) {
        double half[2] = {0, 0};
        bool above = false;
        bool below = false;
        for (size_t r = 0; r < rows; r++) {
            const double value = values[r * w->count + c];
            if (!isfinite(value)) {
                return COURSE_EXPLODES;
            }
            half[2 * r >= rows] = fmax(half[2 * r >= rows], fabs(value));
            above |= value > 0;
            below |= value < 0;
        }
        if (c >= w->states && above && below) {
            return COURSE_MEETS_A_POLE;
        }
        if (c < w->states && half[1] > explosion * half[0] && half[0] > 0) {
            return COURSE_EXPLODES;
        }
    }
    return COURSE_FINE;
}

/* How the typical patient fares in the trial. */
static ddt_status follow(ddt_context *ctx, const ddt_model *model, const regimen *r, const watch *w, course *out) {
    twin_text text = {0};
    ddt_events *events = NULL;
    /* The row of a subject without doses is an observation, too. */
    const size_t rows = TRIAL_OBSERVATIONS + (r->has_doses ? 0 : 1);
    double *values = ddt_calloc(rows * w->count, sizeof *values);
    ddt_status status = values == NULL ? twin_no_memory(ctx) : trial_text(ctx, model, r, 1, &text);
    if (status == DDT_OK) {
        status = ddt_events_parse(ctx, text.data, text.length, "the virtual trial", model, &events);
    }
    if (status == DDT_OK) {
        status = ddt_reference_simulate(ctx, model, events, 0, w->expressions, w->count, values);
        *out = status == DDT_OK ? judge(w, values, rows) : COURSE_EXPLODES;
        if (status == DDT_ERR_MODEL) {
            ddt_context_clear(ctx);
            status = DDT_OK;
        }
    }
    ddt_events_destroy(events);
    twin_text_destroy(&text);
    ddt_free(values);
    return status;
}

/* A dose too small to matter. */
static const double trace_of_dose = 1e-6;

/*
 * Published values need not suit a usual regimen: a tumour that grows for ever, a concentration at which an effect is
 * infinite. Amounts are halved where the typical patient would fare well without doses (and once more, for the others'
 * sake), otherwise intervals. What never gets fine stays as it was, and whatever computes it will say why it cannot.
 */
static ddt_status soften(ddt_context *ctx, const ddt_model *model, const watch *w, regimen *r) {
    course now = COURSE_FINE;
    course without = COURSE_EXPLODES;
    regimen softer = *r;
    ddt_status status = follow(ctx, model, r, w, &now);
    if (status == DDT_OK && now != COURSE_FINE && r->has_doses) {
        softer.amount *= trace_of_dose;
        status = follow(ctx, model, &softer, w, &without);
        softer = *r;
    }
    const bool dose_matters = without == COURSE_FINE;
    for (int k = 0; status == DDT_OK && now != COURSE_FINE && k < TRIAL_SHORTENINGS; k++) {
        *(dose_matters ? &softer.amount : &softer.interval) /= 2;
        status = follow(ctx, model, &softer, w, &now);
    }
    if (status == DDT_OK && now == COURSE_FINE) {
        const bool was_lowered = softer.amount < r->amount;
        *r = softer;
        r->amount /= was_lowered ? 2 : 1;
    }
    return status == DDT_ERR_MEMORY ? status : DDT_OK;
}

static ddt_status trial_regimen(ddt_context *ctx, const ddt_model *model, regimen *out) {
    const ddt_product *product = ddt_model_product(model, NULL);
    double *typical = ddt_calloc(model->symbol_count, sizeof *typical);
    if (typical == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_status status = ddt_population_draw(ctx, model, 0, typical);
    if (status == DDT_OK) {
        *out = product != NULL ? product_regimen(model, product) : usual_regimen(model, typical);
        modelled_rate(model, out);
    }
    ddt_free(typical);
    watch w = {0};
    if (status == DDT_OK && model->compartment_count > 0) {
        status = watch_create(ctx, model, &w);
    }
    if (status == DDT_OK && w.count > 0) {
        status = soften(ctx, model, &w, out);
    }
    ddt_free(w.expressions);
    return status;
}

ddt_status twin_virtual_trial(ddt_context *ctx, const ddt_model *model, unsigned subjects, char **out, size_t *length) {
    twin_text text = {0};
    regimen r = {0};
    ddt_status status = trial_regimen(ctx, model, &r);
    if (status == DDT_OK) {
        status = trial_text(ctx, model, &r, subjects, &text);
    }
    if (status != DDT_OK) {
        twin_text_destroy(&text);
        return status;
    }
    *out = text.data;
    *length = text.length;
    return DDT_OK;
}

ddt_status ddt_twin_virtual_trial(ddt_context *ctx, const ddt_model *model, char **text, size_t *length) {
    return twin_virtual_trial(ctx, model, TWIN_TRIAL_SUBJECTS, text, length);
}
