/*
 * The circuit of one step, and its calibration on virtual patients who live through the template again and again.
 *
 *   p     = gain . x + offset               the prediction of the level, at every point
 *   t     = 2 g(p) - 1
 *   twin' = keep twin - (c0 + c1 t + c2 t^2 + c3 t^3)^2   likelihoods
 *         = M x + shift                                 amounts after what has happened
 *
 * A block holds rows of support points: one for each compartment's amounts, one for the likelihoods, and where the
 * power of two leaves one to spare, ones, whose gain is the offset. An input is sent at the level where it is used: the
 * gains at the top, the matrix at the bottom. M is given by columns, `keep` stands in the likelihoods' row of the
 * first; what describes a level stands in four rows of one input.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "update_internal.h"

#include <string.h>

enum { DRAWS_DEFAULT = 4, STEPS_PER_DRAW = 8 };

/* ------------------------------------------------------------------ the circuit */

static void name_input(const ddt_update *u, size_t input, char *name, size_t bytes) {
    static const char *const others[] = {"shift", "gain", "level", "offset"};
    if (input == 0) {
        (void)snprintf(name, bytes, "twin");
    } else if (input <= u->states) {
        (void)snprintf(name, bytes, "column %zu", input - 1);
    } else {
        (void)snprintf(name, bytes, "%s", others[input - update_shift(u)]);
    }
}

/* 1 in some rows, else 0; vector is room for a block. */
static ddt_node ones(const ddt_update *u, size_t first, size_t count, double *vector) {
    for (size_t s = 0; s < u->rows * u->points; s++) {
        vector[s] = s / u->points >= first && s / u->points < first + count ? 1.0 : 0.0;
    }
    return ddt_circuit_public(u->circuit, vector);
}

/* The sum of all rows, in each row. */
static ddt_node row_sum(const ddt_update *u, ddt_node a) {
    return ddt_circuit_sum(u->circuit, a, (int64_t)u->points, u->rows);
}

static ddt_node predicted(const ddt_update *u, const ddt_node *inputs, ddt_node twin, double *vector) {
    ddt_circuit *c = u->circuit;
    if (update_has_spare(u)) {
        ddt_node with_ones = ddt_circuit_add(c, twin, ones(u, u->states + 1, 1, vector));
        return row_sum(u, ddt_circuit_mul(c, with_ones, inputs[update_gain(u)]));
    }
    ddt_node product = ddt_circuit_mul(c, twin, inputs[update_gain(u)]);
    return row_sum(u, ddt_circuit_add(c, product, inputs[update_offset(u)]));
}

/* The coefficients of a level's root, each in the likelihoods' row; 0 in the others. Rotated by powers of two. */
static void coefficients(const ddt_update *u, ddt_node level, double *vector, ddt_node *out) {
    ddt_circuit *c = u->circuit;
    const int64_t row = (int64_t)u->points;
    ddt_node own = ones(u, u->states, 1, vector);
    ddt_node first = ddt_circuit_rotate(c, level, row);
    const ddt_node rows[UPDATE_COEFFICIENTS] = {level, first, ddt_circuit_rotate(c, level, 2 * row),
                                                ddt_circuit_rotate(c, first, 2 * row)};
    for (size_t k = 0; k < UPDATE_COEFFICIENTS; k++) {
        out[k] = ddt_circuit_mul(c, rows[k], own);
    }
}

/* The root of what the level takes, in the likelihoods' row; 0 in the others. */
static ddt_node taken(const ddt_update *u, const ddt_node *inputs, ddt_node twin, double *vector) {
    ddt_circuit *c = u->circuit;
    ddt_node k[UPDATE_COEFFICIENTS];
    double centred[UPDATE_DEGREE_MAX + 1];
    for (unsigned i = 0; i <= u->degree; i++) {
        centred[i] = 2.0 * u->transform[i] - (i == 0 ? 1.0 : 0.0);
    }
    coefficients(u, inputs[update_root_input(u)], vector, k);
    ddt_node t = ddt_circuit_chebyshev(c, predicted(u, inputs, twin, vector), centred, u->degree);
    /* (c2 t + c1) t + (c3 t) t^2 + c0: two levels */
    const ddt_node left[] = {ddt_circuit_add(c, ddt_circuit_mul(c, t, k[2]), k[1]), ddt_circuit_mul(c, t, k[3])};
    const ddt_node right[] = {t, ddt_circuit_mul(c, t, t)};
    return ddt_circuit_add(c, ddt_circuit_dot(c, left, right, 2), k[0]);
}

/* What the first column meets: the first amounts in all rows of amounts, the likelihoods in theirs. */
static ddt_node first_operand(const ddt_update *u, ddt_node spread, ddt_node twin, double *vector) {
    const ddt_node left[] = {spread, twin};
    const ddt_node right[] = {ones(u, 0, u->states, vector), ones(u, u->states, 1, vector)};
    return ddt_circuit_dot(u->circuit, left, right, 2);
}

static ddt_node next_twin(const ddt_update *u, const ddt_node *inputs, ddt_node twin, double *vector) {
    ddt_circuit *c = u->circuit;
    ddt_node left[DDT_UPDATE_STATES_MAX + 1] = {0};
    ddt_node right[DDT_UPDATE_STATES_MAX + 1] = {0};
    for (size_t k = 0; k < u->states; k++) {
        ddt_node spread = row_sum(u, ddt_circuit_mul(c, twin, ones(u, k, 1, vector)));
        left[k] = k == 0 ? first_operand(u, spread, twin, vector) : spread;
        right[k] = inputs[update_column(k)];
    }
    left[u->states] = taken(u, inputs, twin, vector);
    right[u->states] = ddt_circuit_neg(c, left[u->states]);
    return ddt_circuit_add(c, ddt_circuit_dot(c, left, right, u->states + 1), inputs[update_shift(u)]);
}

static ddt_status build(ddt_context *ctx, ddt_update *u, const double *bounds) {
    ddt_node inputs[UPDATE_INPUTS_MAX] = {0};
    SOLVE_TRY(ddt_circuit_create(ctx, 1, ddt_update_block(u), &u->circuit));
    double *vector = ddt_calloc(ddt_update_block(u), sizeof *vector);
    if (vector == NULL) {
        return solve_no_memory(ctx);
    }
    ddt_circuit *c = u->circuit;
    for (size_t i = 0; i < ddt_update_input_count(u); i++) {
        char name[64];
        name_input(u, i, name, sizeof name);
        inputs[i] = ddt_circuit_input(c, name, bounds[i]);
    }
    ddt_node twin = ddt_circuit_refresh(c, inputs[0], 1.0);
    ddt_circuit_output(c, "twin", next_twin(u, inputs, twin, vector));
    ddt_circuit_carry(c, "twin", "twin");
    ddt_free(vector);
    return ddt_circuit_status(c);
}

/* ------------------------------------------------------------------ ranges */

static ddt_status add_range(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t column,
                            ddt_update *u) {
    const double widened = 0.2;
    const ddt_symbol *symbol = &model->symbols[events->covariate_symbols[column]];
    if (symbol->kind != DDT_SYMBOL_COVARIATE) {
        return DDT_OK;
    }
    if (u->range_count >= UPDATE_COVARIATES_MAX || strlen(symbol->name) >= UPDATE_RANGE_NAME_MAX) {
        return ddt_fail(ctx, DDT_ERR_UNSUPPORTED,
                        "'%s' has more than %d covariates; a twin that is updated takes no "
                        "more.",
                        model->path, UPDATE_COVARIATES_MAX);
    }
    update_range *range = &u->ranges[u->range_count++];
    (void)snprintf(range->name, sizeof range->name, "%s", symbol->name);
    range->low = symbol->range_low;
    range->high = symbol->range_high;
    if (!symbol->has_range) {
        range->low = INFINITY;
        range->high = -INFINITY;
    }
    for (size_t s = 0; s < events->subject_count; s++) {
        const ddt_subject *subject = &events->subjects[s];
        for (size_t r = 0; r < subject->record_count; r++) {
            double value = subject->covariate_values[subject->records[r].covariates + column];
            if (symbol->has_range && !(value >= range->low && value <= range->high)) {
                return update_fail_range(ctx, events, subject->records[r].line, range, value);
            }
            range->low = fmin(range->low, value);
            range->high = fmax(range->high, value);
        }
    }
    if (symbol->has_range) {
        return DDT_OK;
    }
    double margin = widened * fmax(range->high - range->low, fabs(range->high));
    range->low = range->low >= 0.0 ? fmax(range->low - margin, 0.0) : range->low - margin;
    range->high += margin;
    return DDT_OK;
}

/* What one compartment gets of one subject's doses. */
static bool take_doses(const ddt_schedule *schedule, size_t compartment, double span_h, ddt_update *u) {
    const double allowance = 2.0;
    double total = 0.0;
    double steady = 0.0;
    double first_h = INFINITY;
    double last_h = -INFINITY;
    size_t count = 0;
    for (size_t i = 0; i < schedule->dose_count; i++) {
        const ddt_dose *dose = &schedule->doses[i];
        if (dose->compartment == compartment && dose->amount > 0.0) {
            u->dose_max[compartment] = fmax(u->dose_max[compartment], allowance * dose->amount);
            total += dose->amount;
            if (dose->steady_state != 0 && dose->interval_h > 0.0) {
                steady = fmax(steady, allowance * dose->amount / dose->interval_h);
            }
            first_h = fmin(first_h, dose->time_h);
            last_h = fmax(last_h, dose->time_h);
            count++;
        }
    }
    /* n doses over their span and one interval more; one dose: over the table's span */
    double over_h = count > 1 && last_h > first_h ? (last_h - first_h) * (double)count / (double)(count - 1) : span_h;
    u->dose_rate_max[compartment] = fmax(u->dose_rate_max[compartment], steady);
    if (count > 0 && over_h > 0.0) {
        u->dose_rate_max[compartment] = fmax(u->dose_rate_max[compartment], allowance * total / over_h);
    }
    return count > 0;
}

/* Twice the template's largest dose, and twice what the subject who gets most gets on average. */
static ddt_status find_doses(ddt_context *ctx, const ddt_model *model, const ddt_events *events, ddt_update *u) {
    bool any = false;
    for (size_t s = 0; s < events->subject_count; s++) {
        const ddt_subject *subject = &events->subjects[s];
        const double span_h = subject->records[subject->record_count - 1].time_h - subject->records[0].time_h;
        ddt_schedule schedule;
        SOLVE_TRY(ddt_schedule_create(ctx, model, events, s, &schedule));
        for (size_t c = 0; c < model->compartment_count; c++) {
            any |= take_doses(&schedule, c, span_h, u);
        }
        ddt_schedule_destroy(&schedule);
    }
    return any ? DDT_OK
               : ddt_fail(ctx, DDT_ERR_DATA, "'%s' has no dose; the template shows what the twin will be given.",
                          events->path);
}

/* ------------------------------------------------------------------ calibration */

typedef struct calibration {
    ddt_context *ctx;
    const ddt_model *model;
    const ddt_events *events;
    ddt_update *u;
    ddt_update_steps *draws; /* draw_count */
    size_t draw_count, level_count;
    double *symbols, *values;
    ddt_expr *expressions;
} calibration;

/* Which records get levels: the template's own; all observations of a model with one output where it has none. */
static bool is_level(const calibration *k, const ddt_subject *subject, size_t r) {
    bool any = false;
    for (size_t i = 0; i < subject->record_count; i++) {
        any |= subject->records[i].has_dv;
    }
    const ddt_record *record = &subject->records[r];
    bool is_observation = ddt_record_is_observation(record);
    return any ? record->has_dv : is_observation && k->model->output_count == 1;
}

/* A level of a virtual patient: the prediction, or one standard deviation beside it. */
static ddt_status virtual_level(calibration *k, uint64_t pattern, const double *predicted, ddt_record *record) {
    const double least = 0.05; /* of its prediction */
    const unsigned patterns = 3;
    uint32_t o = 0;
    fit_residual residual;
    SOLVE_TRY(fit_output_of(k->ctx, k->model, k->events, record, &o));
    SOLVE_TRY(fit_residual_of(k->ctx, k->model, &k->model->outputs[o], &residual));
    double f = fmax(predicted[o], 0.0);
    double deviations = (double)(pattern % patterns) - 1.0;
    record->dv = fmax(f + deviations * fit_residual_sd(&residual, f), least * f);
    record->has_dv = record->dv > 0.0;
    return DDT_OK;
}

/* The template's subject with levels as this virtual patient would have them, limits of quantification where it has
 * them: the records are a copy. */
static ddt_status virtual_levels(calibration *k, size_t subject, uint64_t draw, ddt_record *records) {
    const ddt_subject *from = &k->events->subjects[subject];
    const size_t outputs = k->model->output_count;
    size_t candidates = 0;
    size_t observation = 0;
    size_t next = 0;
    SOLVE_TRY(ddt_population_draw(k->ctx, k->model, draw, k->symbols));
    SOLVE_TRY(ddt_reference_simulate_with(k->ctx, k->model, k->events, subject, k->symbols, true, k->expressions,
                                          outputs, k->values));
    for (size_t r = 0; r < from->record_count; r++) {
        candidates += is_level(k, from, r);
    }
    const size_t stride = candidates / STEPS_PER_DRAW + 1;
    ddt_status status = DDT_OK;
    for (size_t r = 0; r < from->record_count && status == DDT_OK; r++) {
        records[r] = from->records[r];
        const bool is_next = is_level(k, from, r) && next++ % stride == 0;
        const bool is_limit = is_next && from->records[r].censored > 0;
        records[r].has_dv = is_limit;
        records[r].censored = is_limit ? 1 : 0;
        if (is_next && !is_limit) {
            status = virtual_level(k, next + draw, k->values + observation * outputs, &records[r]);
        }
        k->level_count += records[r].has_dv;
        observation += ddt_record_is_observation(&records[r]);
    }
    return status;
}

static ddt_status draw_steps(calibration *k, size_t subject, uint64_t draw, ddt_update_steps *out) {
    ddt_subject copy = k->events->subjects[subject];
    ddt_events events = *k->events;
    events.subjects = &copy;
    events.subject_count = 1;
    copy.records = ddt_calloc(copy.record_count, sizeof *copy.records);
    if (copy.records == NULL) {
        return solve_no_memory(k->ctx);
    }
    ddt_status status = virtual_levels(k, subject, draw, copy.records);
    if (status == DDT_OK) {
        status = ddt_update_fill(k->ctx, k->u, k->model, &events, 0, NAN, out);
    }
    ddt_free(copy.records);
    return status;
}

static ddt_status draw_all(calibration *k) {
    size_t most = 0;
    for (size_t s = 0; s < k->events->subject_count; s++) {
        most = k->events->subjects[s].record_count > most ? k->events->subjects[s].record_count : most;
    }
    k->symbols = ddt_calloc(k->model->symbol_count, sizeof *k->symbols);
    k->values = ddt_calloc(most * k->model->output_count, sizeof *k->values);
    k->expressions = ddt_calloc(k->model->output_count, sizeof *k->expressions);
    k->draws = ddt_calloc(k->draw_count, sizeof *k->draws);
    if (k->symbols == NULL || k->values == NULL || k->expressions == NULL || k->draws == NULL) {
        return solve_no_memory(k->ctx);
    }
    for (size_t o = 0; o < k->model->output_count; o++) {
        k->expressions[o] = k->model->outputs[o].value;
    }
    size_t subject = 0;
    for (size_t i = 0; i < k->draw_count; i++) {
        SOLVE_TRY(ddt_progress(k->ctx, "solve", i, k->draw_count));
        SOLVE_TRY(draw_steps(k, subject, i, &k->draws[i]));
        subject = subject + 1 < k->events->subject_count ? subject + 1 : 0;
    }
    if (k->level_count == 0) {
        return ddt_fail(k->ctx, DDT_ERR_DATA, "'%s' has no level; the template shows what will be measured.",
                        k->events->path);
    }
    return ddt_progress(k->ctx, "solve", k->draw_count, k->draw_count);
}

/* Log likelihoods from now on in units of `scale`; steps that are there already change with it. */
static void set_log_scale(calibration *k, double scale) {
    ddt_update *u = k->u;
    const double factor = sqrt(u->log_scale / scale);
    for (size_t i = 0; i < k->draw_count; i++) {
        for (size_t step = 0; step < k->draws[i].count; step++) {
            double *root = k->draws[i].inputs[step * k->draws[i].input_count + update_root_input(u)];
            for (size_t s = 0; s < k->draws[i].block; s++) {
                root[s] *= factor;
            }
        }
    }
    u->log_scale = scale;
}

/* The most that a level could take from a point, were its prediction anywhere within its reach. */
static double largest_penalty(const calibration *k) {
    const ddt_update *u = k->u;
    double most = 1.0;
    for (size_t i = 0; i < k->draw_count; i++) {
        for (size_t step = 0; step < k->draws[i].count; step++) {
            const double *root = k->draws[i].inputs[step * k->draws[i].input_count + update_root_input(u)];
            for (size_t j = 0; j < u->points; j++) {
                const update_root p = update_root_at(u, root, j);
                most = fmax(most, update_root_most(&p) * u->log_scale);
            }
        }
    }
    return most;
}

static void find_bounds(const calibration *k, double *bounds) {
    const double margin = 1.5;
    const size_t count = ddt_update_input_count(k->u);
    for (size_t i = 0; i < count; i++) {
        bounds[i] = 1.0; /* the twin, and what is at most 1 in itself */
    }
    for (size_t d = 0; d < k->draw_count; d++) {
        for (size_t at = 0; at < k->draws[d].count * count; at++) {
            const double *values = k->draws[d].inputs[at];
            for (size_t s = 0; values != NULL && s < k->draws[d].block; s++) {
                bounds[at % count] = fmax(bounds[at % count], margin * fabs(values[s]));
            }
        }
    }
}

/* One virtual patient's steps. *drop: the most that one of them took from a likelihood. */
static ddt_status live_draw(calibration *k, const ddt_update_steps *steps, bool calibrates, double *twin, double *next,
                            double *drop) {
    const ddt_update *u = k->u;
    uint64_t violations = 0;
    memset(twin, 0, ddt_update_block(u) * sizeof *twin);
    for (size_t step = 0; step < steps->count; step++) {
        uint64_t outside = 0;
        double **own = steps->inputs + step * steps->input_count;
        own[0] = twin;
        const double *const *inputs = (const double *const *)own;
        ddt_status status = calibrates ? ddt_circuit_calibrate(k->ctx, u->circuit, inputs, &outside) : DDT_OK;
        if (status == DDT_OK) {
            status = ddt_circuit_run_clear(k->ctx, u->circuit, inputs, false, &next);
        }
        own[0] = NULL;
        SOLVE_TRY(status);
        for (size_t s = u->states * u->points; s < (u->states + 1) * u->points; s++) {
            *drop = fmax(*drop, twin[s] - next[s]);
        }
        memcpy(twin, next, ddt_update_block(u) * sizeof *twin);
        violations += outside;
    }
    return violations == 0
               ? DDT_OK
               : ddt_fail(k->ctx, DDT_ERR_UNSUPPORTED,
                          "'%s': virtual patients leave the ranges that a twin is refreshed in (%llu values).",
                          k->model->path, (unsigned long long)violations);
}

static ddt_status live(calibration *k, bool calibrates, double *drop) {
    double *twin = ddt_calloc(ddt_update_block(k->u), sizeof *twin);
    double *next = ddt_calloc(ddt_update_block(k->u), sizeof *next);
    ddt_status status = twin == NULL || next == NULL ? solve_no_memory(k->ctx) : DDT_OK;
    for (size_t i = 0; i < k->draw_count && status == DDT_OK; i++) {
        status = live_draw(k, &k->draws[i], calibrates, twin, next, drop);
    }
    ddt_free(twin);
    ddt_free(next);
    return status;
}

/* A refresh adds an error of about 2^-25 of the scale: where levels can take very much, old ones are forgotten sooner.
 */
static ddt_status choose_log_scale(calibration *k, double drop) {
    const double largest = 0x1p20;
    const double memory_least = 2.0;
    ddt_update *u = k->u;
    if (drop * memory_least > largest) {
        return ddt_fail(
            k->ctx, DDT_ERR_UNSUPPORTED,
            "'%s': a level excludes some patients by %.2g in log likelihood, more than a refreshed twin can "
            "hold; its residual error is too small.",
            k->model->path, drop);
    }
    u->memory = fmin(u->memory, largest / drop);
    set_log_scale(k, exp2(ceil(log2(u->memory * drop))));
    return DDT_OK;
}

/*
 * Likelihoods are kept in units of what levels like those of virtual patients can take from the worst point before it
 * is forgotten. A level of another kind may drive some points beyond 1: they are lost anyway, and a few large slots do
 * no harm to a refresh, which works on the coefficients.
 */
static ddt_status calibrate(calibration *k) {
    const double margin = 2.0; /* of penalties: levels unlike any virtual patient's */
    double bounds[UPDATE_INPUTS_MAX] = {0};
    double drop = 0.0;
    SOLVE_TRY(draw_all(k));
    k->u->penalty_max = margin * largest_penalty(k);
    set_log_scale(k, k->u->memory * k->u->penalty_max);
    find_bounds(k, bounds);
    SOLVE_TRY(build(k->ctx, k->u, bounds));
    SOLVE_TRY(live(k, false, &drop));
    SOLVE_TRY(choose_log_scale(k, fmax(drop * k->u->log_scale, 1.0)));
    find_bounds(k, bounds);
    ddt_circuit_destroy(k->u->circuit);
    k->u->circuit = NULL;
    SOLVE_TRY(build(k->ctx, k->u, bounds));
    return live(k, true, &drop);
}

/* ------------------------------------------------------------------ from beginning to end */

static ddt_status set_options(ddt_context *ctx, const ddt_update_options *options, size_t states, ddt_update *u) {
    enum { SLOTS = 1 << 15, POINTS_DEFAULT = 8192 };
    const double memory_default = 64.0;
    const double memory_least = 2.0;
    const double memory_most = 4096.0;
    static const ddt_update_options none;
    const ddt_update_options *o = options == NULL ? &none : options;
    u->states = states;
    u->rows = update_rows(states);
    u->points = o->points != 0 ? o->points : SLOTS / u->rows < POINTS_DEFAULT ? SLOTS / u->rows : POINTS_DEFAULT;
    u->memory = o->memory != 0.0 ? o->memory : memory_default;
    u->half_life_h = o->half_life_h;
    u->log_scale = 1.0;
    u->spread = 1.15; /* the prior's tails are worth some points */
    if (u->points < UPDATE_POINTS_MIN || u->points > UPDATE_POINTS_MAX || (u->points & (u->points - 1)) != 0) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "A twin has a power of two from %d to %d of support points, not %zu.",
                        UPDATE_POINTS_MIN, UPDATE_POINTS_MAX, u->points);
    }
    if (!(u->memory >= memory_least && u->memory <= memory_most) || !(u->half_life_h >= 0.0) ||
        !isfinite(u->half_life_h)) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "A twin remembers %g to %g levels, and a half-life is a time above 0.",
                        memory_least, memory_most);
    }
    return DDT_OK;
}

static ddt_status check_outputs(ddt_context *ctx, const ddt_model *model) {
    fit_residual residual;
    for (size_t o = 0; o < model->output_count; o++) {
        SOLVE_TRY(fit_residual_of(ctx, model, &model->outputs[o], &residual));
    }
    return model->output_count > 0 && model->output_count <= FIT_OUTPUTS_MAX
               ? DDT_OK
               : ddt_fail(ctx, DDT_ERR_UNSUPPORTED, "'%s' has %zu outputs; a twin that is updated has 1 to %d.",
                          model->path, model->output_count, FIT_OUTPUTS_MAX);
}

static ddt_status create(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                         const ddt_update_options *options, ddt_update *u) {
    update_system system = {0};
    SOLVE_TRY(set_options(ctx, options, model->compartment_count, u));
    SOLVE_TRY(check_outputs(ctx, model));
    u->outputs = model->output_count;
    ddt_status status = update_system_create(ctx, model, &system);
    if (status == DDT_OK) {
        status = update_points_create(ctx, model, u);
    }
    for (size_t c = 0; c < events->covariate_count && status == DDT_OK; c++) {
        status = add_range(ctx, model, events, c, u);
    }
    if (status == DDT_OK) {
        status = find_doses(ctx, model, events, u);
    }
    if (status == DDT_OK) {
        status = update_reaches(ctx, model, &system, u);
    }
    update_system_destroy(&system);
    if (status != DDT_OK) {
        return status;
    }
    update_transform_create(u);
    calibration k = {.ctx = ctx, .model = model, .events = events, .u = u};
    k.draw_count = options != NULL && options->draws != 0 ? options->draws : DRAWS_DEFAULT;
    status = calibrate(&k);
    for (size_t i = 0; k.draws != NULL && i < k.draw_count; i++) {
        ddt_update_steps_destroy(&k.draws[i]);
    }
    ddt_free(k.draws);
    ddt_free(k.symbols);
    ddt_free(k.values);
    ddt_free(k.expressions);
    return status;
}

ddt_status ddt_update_create(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                             const ddt_update_options *options, ddt_update **out) {
    ddt_update *u = ddt_calloc(1, sizeof *u);
    if (u == NULL) {
        return solve_no_memory(ctx);
    }
    ddt_status status = create(ctx, model, events, options, u);
    if (status != DDT_OK) {
        ddt_update_destroy(u);
        return status;
    }
    *out = u;
    return DDT_OK;
}

void ddt_update_destroy(ddt_update *update) {
    if (update == NULL) {
        return;
    }
    ddt_circuit_destroy(update->circuit);
    for (size_t i = 0; i < DDT_UPDATE_ETAS_MAX; i++) {
        ddt_free(update->eta_names[i]);
    }
    ddt_free(update->etas_of);
    ddt_free(update->scale);
    ddt_free(update->reach);
    ddt_free(update);
}

const ddt_circuit *ddt_update_circuit(const ddt_update *update) { return update->circuit; }

void ddt_update_get_info(const ddt_update *u, ddt_update_info *info) {
    *info = (ddt_update_info){.points = u->points,
                              .states = u->states,
                              .etas = u->etas,
                              .memory = u->memory,
                              .half_life_h = u->half_life_h,
                              .log_scale = u->log_scale};
}

/* Amounts are to be right to 1e-4 of what a patient has, who may have a hundredth of what the plan allows for. */
ddt_plan_request ddt_update_request(void) {
    const uint64_t key_limit = UINT64_C(1) << 30;
    return (ddt_plan_request){.target_error = 1e-6,
                              .accept_error = 2e-5,
                              .public_key_inputs = true,
                              .key_limit = key_limit,
                              .pack_log_n = DDT_PLAN_PACK_LOG_N};
}

size_t ddt_update_range_count(const ddt_update *update) { return update->range_count; }

ddt_declared_range ddt_update_range(const ddt_update *update, size_t range) {
    const update_range *r = &update->ranges[range];
    return (ddt_declared_range){r->name, r->low, r->high};
}

const char *ddt_update_eta_name(const ddt_update *update, size_t eta) { return update->eta_names[eta]; }

size_t ddt_update_input_count(const ddt_update *update) { return 4 + update->states + !update_has_spare(update); }

size_t ddt_update_block(const ddt_update *update) { return update->rows * update->points; }

ddt_status update_check_model(ddt_context *ctx, const ddt_update *u, const ddt_model *model) {
    bool is_same = model->compartment_count == u->states && model->output_count == u->outputs;
    for (size_t i = 0; is_same && i < u->etas; i++) {
        int64_t symbol = ddt_model_find_symbol(model, u->eta_names[i]);
        is_same = symbol >= 0 && (uint32_t)symbol == u->eta_symbols[i];
    }
    return is_same ? DDT_OK
                   : ddt_fail(ctx, DDT_ERR_MISMATCH, "'%s' is not the model that the plan of the twin was made for.",
                              model->path);
}
