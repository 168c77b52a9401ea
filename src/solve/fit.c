/*
 * ddt_solve_fit from beginning to end: which levels, which copies, inputs and outputs; training, the circuit, and as
 * many steps as the virtual population needs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_surrogate.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ etas and their prior */

static size_t find_etas(const ddt_model *model, size_t *positions) {
    size_t count = 0;
    for (size_t i = 0; i < model->eta_count; i++) {
        if (model->symbols[model->etas[i]].omega2 > 0.0) {
            if (count < FIT_ETAS_MAX) {
                positions[count] = i;
            }
            count++;
        }
    }
    return count;
}

/* Cholesky factor of omega. */
void fit_factorise(const double *omega, size_t n, double *l) {
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = omega[i * n + j];
            for (size_t k = 0; k < j; k++) {
                sum -= l[i * n + k] * l[j * n + k];
            }
            double root = l[j * n + j];
            l[i * n + j] = i == j ? sqrt(fmax(sum, 0.0)) : root > 0.0 ? sum / root : 0.0;
        }
    }
}

ddt_status fit_prior(ddt_context *ctx, const ddt_model *model, double weight, uint32_t *symbols, size_t *count,
                     double *sd, double *prior, double *factor) {
    size_t positions[FIT_ETAS_MAX];
    size_t n = find_etas(model, positions);
    if (n == 0 || n > FIT_ETAS_MAX) {
        return ddt_fail(ctx, DDT_ERR_UNSUPPORTED, "'%s' has %zu etas that vary; a fit takes 1 to %d.", model->path, n,
                        FIT_ETAS_MAX);
    }
    *count = n;
    for (size_t i = 0; i < n; i++) {
        symbols[i] = model->etas[positions[i]];
        sd[i] = sqrt(model->symbols[symbols[i]].omega2);
        for (size_t j = 0; j < n; j++) {
            prior[i * n + j] = model->omega[positions[i] * model->eta_count + positions[j]];
        }
    }
    fit_factorise(prior, n, factor);
    if (!fit_invert(prior, n)) {
        return ddt_fail(ctx, DDT_ERR_MODEL, "'%s': the covariance of the etas is not positive definite.", model->path);
    }
    for (size_t i = 0; i < n * n; i++) {
        prior[i] *= weight;
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ levels */

/* The output that a record of a compartment measures. */
ddt_status fit_output_of(ddt_context *ctx, const ddt_model *model, const ddt_events *events, const ddt_record *record,
                         uint32_t *out) {
    uint32_t found = SOLVE_NONE;
    if (model->output_count == 1) {
        *out = 0;
        return DDT_OK;
    }
    for (uint32_t o = 0; record->compartment > 0 && o < model->output_count; o++) {
        uint32_t state = model->compartments[record->compartment - 1].symbol;
        if (ddt_expr_depends_on(model->pool, model->outputs[o].value, state)) {
            found = found == SOLVE_NONE ? o : SOLVE_MANY;
        }
    }
    if (found >= model->output_count) {
        return ddt_fail(ctx, DDT_ERR_DATA, "'%s', line %u: CMT %u does not tell which output of '%s' was measured.",
                        events->path, record->line, record->compartment, model->path);
    }
    *out = found;
    return DDT_OK;
}

static ddt_status lane_levels(fit_work *fw, size_t lane) {
    solve_work *work = fw->work;
    const solve_layout *layout = &work->solution->layout;
    uint32_t subject = layout->lanes[lane].subject;
    const ddt_schedule *schedule = &work->schedules[subject];
    fit_lane *l = &fw->fit->lanes[lane];
    l->levels = ddt_calloc(schedule->observation_count + 1, sizeof *l->levels);
    if (l->levels == NULL) {
        return solve_no_memory(work->ctx);
    }
    for (size_t k = 0; k < schedule->observation_count; k++) {
        const ddt_record *record = &work->events->subjects[subject].records[schedule->observations[k]];
        if (!record->has_dv) {
            continue;
        }
        fit_level *level = &l->levels[l->level_count];
        level->record = (uint32_t)schedule->observations[k];
        level->column = layout->subjects[subject].observations[k].column;
        SOLVE_TRY(fit_output_of(work->ctx, work->model, work->events, record, &level->output));
        size_t same = 1;
        for (size_t m = 0; m < l->level_count; m++) {
            same += l->levels[m].column == level->column && l->levels[m].output == level->output;
        }
        fw->repeats = same > fw->repeats ? same : fw->repeats;
        fw->fit->residuals[level->output].is_public = fw->fit->residuals[level->output].is_public && same == 1;
        if (++l->level_count > FIT_LEVELS_MAX) {
            return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s': the subject %s has more than %d levels.",
                            work->events->path, work->events->subjects[subject].id, FIT_LEVELS_MAX);
        }
    }
    return DDT_OK;
}

static ddt_status find_levels(fit_work *fw) {
    const solve_layout *layout = &fw->work->solution->layout;
    fw->fit->lanes = ddt_calloc(layout->lane_count, sizeof *fw->fit->lanes);
    if (fw->fit->lanes == NULL) {
        return solve_no_memory(fw->work->ctx);
    }
    fw->fit->lane_count = layout->lane_count;
    for (size_t l = 0; l < layout->lane_count; l++) {
        SOLVE_TRY(lane_levels(fw, l));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ copies */

static size_t feature_room(const fit_work *fw) {
    size_t most = 0;
    for (size_t l = 0; l < fw->fit->lane_count; l++) {
        size_t facts = fit_fact_count(fw->fit, &fw->fit->lanes[l]);
        most = facts > most ? facts : most;
    }
    /* degree 5 of four levels, 4 of eight: what half a lane usually has room for */
    return most <= 4 ? 256 : 512;
}

static ddt_status widen_times(fit_work *fw, const double *times, size_t block, double **out) {
    const solve_layout *layout = &fw->work->solution->layout;
    size_t copy_slots = fit_copy_slots(layout);
    if (times == NULL) {
        return DDT_OK;
    }
    double *wide = solve_alloc(fw->work, layout->lane_count * block, sizeof *wide);
    if (wide == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t l = 0; l < layout->lane_count; l++) {
        for (size_t c = 0; c < fw->fit->copies; c++) {
            memcpy(wide + l * block + c * copy_slots, times + l * copy_slots, copy_slots * sizeof *wide);
        }
    }
    *out = wide;
    return DDT_OK;
}

double fit_copy_move(size_t eta_count, size_t copy, size_t eta) {
    if (copy == 0) {
        return 0.0;
    }
    if (copy <= 2 * eta_count) {
        double sign = copy % 2 == 1 ? 1.0 : -1.0;
        return (copy - 1) / 2 == eta ? sign : 0.0;
    }
    size_t at = 1 + 2 * eta_count;
    for (size_t i = 0; i < eta_count; i++) {
        for (size_t j = i + 1; j < eta_count; j++, at++) {
            if (at == copy) {
                return i == eta || j == eta ? 1.0 : 0.0;
            }
        }
    }
    return 0.0; /* behind the last copy */
}

static ddt_status choose_block(fit_work *fw) {
    enum { BLOCK_MAX = 1 << 15 };
    size_t copy_slots = fit_copy_slots(&fw->work->solution->layout);
    for (size_t i = 0; i < fw->eta_count; i++) {
        fw->fit->eta_limit[i] = fw->work->symbols[fw->eta_symbols[i]].high - FIT_STEP * fw->sd[i];
    }
    fw->fit->copies = fit_copy_count(fw->eta_count);
    fw->fit->feature_count = feature_room(fw);
    size_t *block = &fw->least_block;
    *block = 2 * fw->fit->feature_count; /* one half for the windows of the regressions' sums */
    size_t inputs = fw->iterations > 0 ? fw->work->solution->layout.input_count : 0;
    while (*block < fit_pack_regions(&fw->work->solution->layout, fw->fit, inputs) * copy_slots) {
        *block *= 2;
    }
    return *block <= BLOCK_MAX
               ? DDT_OK
               : ddt_fail(fw->work->ctx, DDT_ERR_CAPACITY,
                          "'%s': a subject's doses times levels take %zu slots, in a fit %zu times as many: too many.",
                          fw->work->events->path, copy_slots, fw->fit->copies);
}

ddt_status fit_make_copies(fit_work *fw, size_t block) {
    solve_work *work = fw->work;
    SOLVE_TRY(widen_times(fw, fw->times.t2, block, &work->times.t2));
    SOLVE_TRY(widen_times(fw, fw->times.during, block, &work->times.during));
    SOLVE_TRY(widen_times(fw, fw->times.start, block, &work->times.start));
    SOLVE_TRY(widen_times(fw, fw->times.unit, block, &work->times.unit));
    work->solution->layout.lane_slots = block;
    work->has_nodes = true;
    work->slots = solve_alloc(work, work->solution->layout.lane_count * block, sizeof *work->slots);
    return work->slots == NULL ? DDT_ERR_MEMORY : DDT_OK;
}

/* ------------------------------------------------------------------ inputs */

/* Takes the etas out of inputs and ranges. */
static void drop_etas(fit_work *fw) {
    solve_work *work = fw->work;
    solve_layout *layout = &work->solution->layout;
    size_t kept = 0;
    for (size_t i = 0; i < layout->input_count; i++) {
        bool is_eta = i >= work->dosing_count && i < work->dosing_count + work->encoding_count &&
                      work->model->symbols[work->encodings[i - work->dosing_count].symbol].kind == DDT_SYMBOL_ETA;
        if (is_eta) {
            ddt_free(layout->inputs[i].name);
        } else {
            layout->inputs[kept++] = layout->inputs[i];
        }
    }
    layout->input_count = kept;
    kept = 0;
    for (size_t r = 0; r < layout->range_count; r++) {
        int64_t symbol = r < work->dosing_count ? -1 : ddt_model_find_symbol(work->model, layout->ranges[r].name);
        if (symbol >= 0 && work->model->symbols[symbol].kind == DDT_SYMBOL_ETA) {
            ddt_free(layout->ranges[r].name);
            continue;
        }
        for (size_t i = 0; i < layout->input_count; i++) {
            layout->inputs[i].range = layout->inputs[i].range == r ? (uint32_t)kept : layout->inputs[i].range;
        }
        layout->ranges[kept++] = layout->ranges[r];
    }
    layout->range_count = kept;
}

ddt_status fit_add_input(fit_work *fw, const char *name, uint32_t range, double bound, uint32_t *index) {
    solve_layout *layout = &fw->work->solution->layout;
    solve_input *inputs = ddt_realloc(layout->inputs, layout->input_count, layout->input_count + 1, sizeof *inputs);
    if (inputs == NULL) {
        return solve_no_memory(fw->work->ctx);
    }
    layout->inputs = inputs;
    solve_input input = {
        .name = ddt_strdup(name), .kind = SOLVE_INPUT_FIT, .range = range, .half = 1.0, .bound = bound};
    if (input.name == NULL) {
        return solve_no_memory(fw->work->ctx);
    }
    *index = (uint32_t)layout->input_count;
    layout->inputs[layout->input_count++] = input;
    return DDT_OK;
}

static void widen_extremes(const fit_lane *lane, const fit_sample *sample, size_t output, double *low, double *high) {
    for (size_t k = 0; k < lane->level_count; k++) {
        if (lane->levels[k].output == output) {
            *low = fmin(*low, sample->levels[k].y);
            *high = fmax(*high, sample->levels[k].y);
        }
    }
}

void fit_level_extremes(const fit_work *fw, size_t output, double *low, double *high) {
    const double margin = 3.0;
    *low = INFINITY;
    *high = 0.0;
    for (size_t i = 0; i < fw->fit->lane_count * fw->held_out; i++) {
        widen_extremes(&fw->fit->lanes[i / fw->held_out], &fw->samples[i], output, low, high);
    }
    *low = isfinite(*low) && fit_is_relative(&fw->fit->residuals[output]) ? *low / margin : 0.0;
    *high = *high > 0.0 ? *high * margin : 1.0;
}

ddt_status fit_add_range(fit_work *fw, const char *name, double low, double high, uint32_t *index) {
    solve_layout *layout = &fw->work->solution->layout;
    solve_range *ranges = ddt_realloc(layout->ranges, layout->range_count, layout->range_count + 1, sizeof *ranges);
    if (ranges == NULL) {
        return solve_no_memory(fw->work->ctx);
    }
    layout->ranges = ranges;
    layout->ranges[layout->range_count] = (solve_range){.name = ddt_strdup(name), .low = low, .high = high};
    if (ranges[layout->range_count].name == NULL) {
        return solve_no_memory(fw->work->ctx);
    }
    *index = (uint32_t)layout->range_count++;
    return DDT_OK;
}

static ddt_status add_level_range(fit_work *fw, size_t output, double low, double high) {
    char name[256];
    const ddt_model *model = fw->work->model;
    (void)snprintf(name, sizeof name, model->output_count == 1 ? "DV" : "DV(%.200s)", model->outputs[output].name);
    return fit_add_range(fw, name, low, high, &fw->fit->level_range[output]);
}

/* Largest coefficient of each degree over the range of levels. */
static void coefficient_bounds(const fit_residual *r, double low, double high, double *bounds) {
    enum { POINTS = 200 };
    const double margin = 1.05;
    double coefficients[FIT_SCORE_MAX + 1];
    memset(bounds, 0, (FIT_SCORE_MAX + 1) * sizeof *bounds);
    for (int i = 0; i <= POINTS; i++) {
        double part = (double)i / POINTS;
        fit_level_value level = {low + (high - low) * part * part, r, false};
        for (int censored = 0; censored <= (r->limit > 0.0 ? 1 : 0); censored++) {
            level.is_censored = censored == 1;
            fit_level_polynomial(&level, fit_residual_top(r, level.y), coefficients);
            for (unsigned k = 0; k <= r->degree; k++) {
                bounds[k] = fmax(bounds[k], margin * fabs(coefficients[k]));
            }
        }
    }
}

/* Scores of levels of all sizes want the higher degree. */
static void choose_degree(fit_residual *r, double low, double high) {
    enum { POINTS = 24 };
    const double largest = 0.01;
    double worst = 0.0;
    for (int i = 0; i <= POINTS && r->degree > 1; i++) {
        double part = (double)i / POINTS;
        fit_level_value level = {low + (high - low) * part * part, r, false};
        worst = fmax(worst, fit_level_polynomial_error(&level));
    }
    r->degree = worst > largest ? FIT_SCORE_MAX : r->degree;
}

static ddt_status add_output_inputs(fit_work *fw, size_t o) {
    solve_fit *fit = fw->fit;
    fit_residual *r = &fit->residuals[o];
    const char *output = fw->work->model->outputs[o].name;
    const double margin = 1.0 + 1e-9;
    char name[256];
    double low = 0.0;
    double high = 0.0;
    double bounds[FIT_SCORE_MAX + 1];
    fit_level_extremes(fw, o, &low, &high);
    SOLVE_TRY(add_level_range(fw, o, low, high));
    fit->inverse_input[o] = SOLVE_NONE;
    if (fw->iterations == 0) {
        return DDT_OK;
    }
    fit->score_scale[o] = fw->work->output_scale[o];
    double top = fit_residual_top(r, low);
    double bound = top > 0.0 ? margin * fit->score_scale[o] / top : 1.0;
    (void)snprintf(name, sizeof name, "1/level(%.200s)", output);
    SOLVE_TRY(fit_add_input(fw, name, fit->level_range[o], bound, &fit->inverse_input[o]));
    if (!r->is_public) {
        choose_degree(r, low, high);
        coefficient_bounds(r, low, high, bounds);
    }
    /* Sums, each for the largest level of its column. */
    double several = fw->repeats > 1 ? (double)(fw->repeats * fw->repeats) : 1.0;
    for (unsigned k = 0; k <= r->degree && !r->is_public; k++) {
        (void)snprintf(name, sizeof name, "score %u(%.200s)", k, output);
        SOLVE_TRY(
            fit_add_input(fw, name, fit->level_range[o], fmax(several * bounds[k], 1e-9), &fit->score_input[o][k]));
    }
    return DDT_OK;
}

/* The guess alone reads features: no doses, no covariates. After training, which needs to know doses. */
static void drop_model_inputs(fit_work *fw) {
    solve_layout *layout = &fw->work->solution->layout;
    for (size_t l = 0; l < layout->lane_count; l++) {
        for (size_t s = 0; s < layout->lanes[l].source_count; s++) {
            layout->lanes[l].sources[s].input = SOLVE_NONE;
        }
    }
    for (size_t i = 0; i < layout->input_count; i++) {
        ddt_free(layout->inputs[i].name);
    }
    layout->input_count = 0;
    size_t amounts = fw->work->dosing_count;
    for (size_t r = 0; r < layout->range_count; r++) {
        if (r < amounts) {
            ddt_free(layout->ranges[r].name);
        } else {
            layout->ranges[r - amounts] = layout->ranges[r];
        }
    }
    layout->range_count -= amounts;
}

static ddt_status add_inputs(fit_work *fw) {
    SOLVE_TRY(fit_add_input(fw, "features", 0, 1.0 + 1e-9, &fw->fit->feature_input));
    for (size_t o = 0; o < fw->fit->output_count; o++) {
        SOLVE_TRY(add_output_inputs(fw, o));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ the circuit on virtual patients */

typedef struct trial {
    fit_work *fw;
    double **inputs, **outputs;
    double **vectors; /* the inputs in ciphertexts */
    double *errors;   /* of all patients that have been looked at */
    size_t count;
} trial;

/* Which doses have begun at each level, by the guess: as the custodian does it. */
static void fill_begun(fit_work *fw, size_t lane, const fit_sample *sample, double *const *inputs) {
    const solve_work *work = fw->work;
    const solve_layout *layout = &work->solution->layout;
    double etas[FIT_ETAS_MAX];
    double t2_h = 0.0;
    (void)fit_guess(fw->fit, &fw->fit->lanes[lane], inputs[fw->fit->feature_input] + lane * layout->lane_slots, etas);
    for (size_t i = 0; i < fw->eta_count; i++) {
        sample->symbols[fw->eta_symbols[i]] = etas[i];
    }
    fit_vary_numbers(fw, lane, sample->symbols, sample->changes);
    solve_lane_givens(work, lane, &fw->numbers, sample->amounts, fw->buffers.givens);
    solve_fill_doses(layout, lane, fw->buffers.givens, &t2_h, inputs);
    fit_lag_mark(layout, lane, fw->buffers.givens, inputs);
    fit_repeat_copies(layout, fw->fit, lane, inputs);
}

static void fill_patient(fit_work *fw, size_t lane, const fit_sample *sample, double *const *inputs) {
    const solve_work *work = fw->work;
    const solve_layout *layout = &work->solution->layout;
    solve_fill_amounts(layout, lane, sample->amounts, inputs);
    size_t at = work->dosing_count;
    for (size_t e = 0; e < work->encoding_count; e++) {
        uint32_t symbol = work->encodings[e].symbol;
        if (fw->iterations == 0 || work->model->symbols[symbol].kind == DDT_SYMBOL_ETA) {
            continue;
        }
        if (work->symbols[symbol].changes) {
            fit_vary_fill(fw, lane, at, symbol, sample->changes, inputs[at]);
        } else {
            solve_fill_constant(layout, lane, solve_encode_value(&layout->inputs[at], sample->symbols[symbol]),
                                inputs[at]);
        }
        at++;
    }
    const fit_seen seen = {sample->levels, sample->predicted, sample->slopes, sample->symbols};
    fit_fill_lane(work->solution, lane, &seen, inputs);
    fit_fill_gain(work->solution, lane, sample->gain, inputs);
    if (fw->fit->surrogate != NULL) {
        const surrogate_seen guessed = surrogate_seen_of(sample);
        surrogate_fill(work->solution, lane, &guessed, inputs);
    }
    if (fit_lag_input(layout) != SOLVE_NONE) {
        fill_begun(fw, lane, sample, inputs);
    }
}

/* Largest error of an eta, in standard deviations. */
static double lane_error(const trial *t, size_t lane, const fit_sample *sample) {
    size_t block = ddt_circuit_block(t->fw->work->circuit);
    double worst = 0.0;
    for (size_t i = 0; i < t->fw->eta_count; i++) {
        double error = fabs(t->outputs[i][lane * block] - sample->etas[i] / t->fw->sd[i]);
        worst = error <= worst ? worst : error;
    }
    return worst;
}

/* The patient of a round, or another one of the lane where the circuit cannot serve it. */
static fit_sample *patient_of(const fit_work *fw, size_t lane, size_t round) {
    fit_sample *samples = fw->samples + lane * fw->held_out;
    for (size_t s = 0; s < fw->held_out; s++) {
        fit_sample *sample = &samples[(round + s) % fw->held_out];
        if (sample->is_covered) {
            return sample;
        }
    }
    return &samples[round];
}

const fit_sample *fit_fill_virtual(fit_work *fw, size_t lane, size_t round, double *const *inputs) {
    const fit_sample *sample = patient_of(fw, lane, round);
    fill_patient(fw, lane, sample, inputs);
    return sample;
}

static void fill_round(const trial *t, size_t round) {
    for (size_t l = 0; l < t->fw->work->solution->layout.lane_count; l++) {
        (void)fit_fill_virtual(t->fw, l, round, t->inputs);
    }
    if (t->vectors != t->inputs) {
        fit_pack(&t->fw->work->solution->layout, t->fw->fit, (const double *const *)t->inputs, t->vectors);
    }
}

/* Errors of a round. Patients so unlikely that the step leads nowhere take no part in what follows: what their slots
 * hold would decide the precision of all others. */
static ddt_status look_at_round(trial *t, size_t round) {
    const double hopeless = 0.25; /* standard deviations */
    solve_work *work = t->fw->work;
    fill_round(t, round);
    SOLVE_TRY(ddt_circuit_run_clear(work->ctx, work->circuit, (const double *const *)t->vectors, false, t->outputs));
    for (size_t l = 0; l < work->solution->layout.lane_count; l++) {
        fit_sample *sample = patient_of(t->fw, l, round);
        double error = lane_error(t, l, sample);
        sample->is_covered = sample->is_covered && error <= hopeless;
        t->errors[t->count++] = isfinite(error) ? error : INFINITY; /* sorted: no NaN */
    }
    return ddt_progress(work->ctx, "solve", round + 1, 2 * t->fw->held_out);
}

static ddt_status calibrate_round(trial *t, size_t round) {
    solve_work *work = t->fw->work;
    uint64_t violations = 0;
    fill_round(t, round);
    SOLVE_TRY(ddt_circuit_calibrate(work->ctx, work->circuit, (const double *const *)t->vectors, &violations));
    return ddt_progress(work->ctx, "solve", t->fw->held_out + round + 1, 2 * t->fw->held_out);
}

static int compare_doubles(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Builds the circuit; *is_scaled false when the predictions came in other units than the inputs were made for. */
static ddt_status build(fit_work *fw, bool *is_scaled) {
    solve_work *work = fw->work;
    solve_layout *layout = &work->solution->layout;
    ddt_circuit_destroy(work->solution->circuit);
    solve_functions_destroy(work->solution->functions);
    work->solution->circuit = NULL;
    work->solution->functions = NULL;
    SOLVE_TRY(ddt_circuit_create(work->ctx, layout->lane_count, layout->lane_slots, &work->solution->circuit));
    work->circuit = work->solution->circuit;
    SOLVE_TRY(fit_build(fw, NULL));
    *is_scaled = true;
    for (size_t o = 0; o < fw->fit->output_count && fw->iterations > 0 && fw->fit->surrogate == NULL; o++) {
        double ratio = layout->outputs[o].scale / fw->fit->score_scale[o];
        *is_scaled = *is_scaled && ratio == 1.0;
        fw->fit->score_scale[o] = layout->outputs[o].scale;
        layout->inputs[fw->fit->inverse_input[o]].bound *= ratio;
    }
    return DDT_OK;
}

static ddt_status try_patients(fit_work *fw) {
    solve_work *work = fw->work;
    const solve_layout *layout = &work->solution->layout;
    bool is_scaled = false;
    SOLVE_TRY(build(fw, &is_scaled));
    SOLVE_TRY(is_scaled ? DDT_OK : build(fw, &is_scaled));
    const double quantile = 0.95;
    trial t = {.fw = fw};
    t.errors = solve_alloc(work, fw->held_out * layout->lane_count, sizeof *t.errors);
    SOLVE_TRY(t.errors == NULL ? DDT_ERR_MEMORY : DDT_OK);
    SOLVE_TRY(solve_vectors_create(work, layout->input_count, &t.inputs));
    t.vectors = t.inputs;
    if (layout->packed == SOLVE_PACKED_FIT) {
        SOLVE_TRY(solve_vectors_create(work, SOLVE_FIT_VECTORS, &t.vectors));
    }
    SOLVE_TRY(solve_vectors_create(work, 2 * fw->eta_count, &t.outputs));
    for (size_t r = 0; r < fw->held_out; r++) {
        SOLVE_TRY(look_at_round(&t, r));
    }
    for (size_t r = 0; r < fw->held_out; r++) {
        SOLVE_TRY(calibrate_round(&t, r));
    }
    qsort(t.errors, t.count, sizeof *t.errors, compare_doubles);
    work->solution->info.surrogate_error = t.errors[(size_t)(quantile * (double)(t.count - 1))];
    return DDT_OK;
}

/* ------------------------------------------------------------------ outputs */

static ddt_status name_outputs(fit_work *fw) {
    solve_layout *layout = &fw->work->solution->layout;
    size_t n = fw->eta_count;
    char name[256];
    solve_output *outputs = ddt_calloc(2 * n, sizeof *outputs);
    if (outputs == NULL) {
        return solve_no_memory(fw->work->ctx);
    }
    for (size_t o = 0; o < layout->output_count; o++) {
        ddt_free(layout->outputs[o].name);
    }
    ddt_free(layout->outputs);
    layout->outputs = outputs;
    layout->output_count = 2 * n;
    for (size_t o = 0; o < 2 * n; o++) {
        const size_t eta = o < n ? o : o - n;
        (void)snprintf(name, sizeof name, o < n ? "%.200s" : "sd.%.200s",
                       fw->work->model->symbols[fw->eta_symbols[eta]].name);
        outputs[o].scale = fw->sd[eta];
        outputs[o].name = ddt_strdup(name);
        if (outputs[o].name == NULL) {
            return solve_no_memory(fw->work->ctx);
        }
    }
    return DDT_OK;
}

/* One row for each subject: slot 0 of its lane. */
static void one_row_each(fit_work *fw) {
    solve_layout *layout = &fw->work->solution->layout;
    for (size_t s = 0; s < layout->subject_count; s++) {
        solve_layout_subject *subject = &layout->subjects[s];
        if (subject->observation_count > 0) {
            subject->observations[0].column = 0;
            subject->observations[0].time_h = subject->observations[subject->observation_count - 1].time_h;
            subject->observation_count = 1;
        }
    }
}

/* ------------------------------------------------------------------ all */

/* A record's part in the limit of quantification of an output. */
static ddt_status widen_limit(fit_work *fw, uint32_t o, const ddt_record *record) {
    const solve_work *work = fw->work;
    fit_residual *r = &fw->fit->residuals[o];
    uint32_t output = 0;
    fit_level_value level;
    if (!record->has_dv || record->censored == 0) {
        return DDT_OK;
    }
    SOLVE_TRY(fit_output_of(work->ctx, work->model, work->events, record, &output));
    SOLVE_TRY(fit_level_of(work->ctx, work->events, record, r, &level));
    r->limit = output == o ? fmax(r->limit, record->dv) : r->limit;
    return DDT_OK;
}

static ddt_status subject_limit(fit_work *fw, uint32_t o, const ddt_subject *subject) {
    ddt_status status = DDT_OK;
    for (size_t k = 0; k < subject->record_count && status == DDT_OK; k++) {
        status = widen_limit(fw, o, &subject->records[k]);
    }
    return status;
}

/* Where some level is below a limit, scores are each level's own, and not as simple as additive errors make them. */
static ddt_status find_limit(fit_work *fw, uint32_t o) {
    const unsigned least_degree = 15;
    const ddt_events *events = fw->work->events;
    fit_residual *r = &fw->fit->residuals[o];
    for (size_t s = 0; s < events->subject_count; s++) {
        SOLVE_TRY(subject_limit(fw, o, &events->subjects[s]));
    }
    if (r->limit > 0.0) {
        r->is_public = false;
        r->degree = r->degree > least_degree ? r->degree : least_degree;
    }
    return DDT_OK;
}

static void keep_prior(fit_work *fw) {
    solve_fit *fit = fw->fit;
    size_t n = fw->eta_count;
    double covariance[FIT_ETAS_MAX * FIT_ETAS_MAX];
    for (size_t i = 0; i < n * n; i++) {
        fit->prior[i] = fw->prior[i] * fw->sd[i / n] * fw->sd[i % n];
        covariance[i] = fit->prior[i];
    }
    (void)fit_invert(covariance, n); /* it is an inverse */
    fit->eta_count = n;
    fit->gain_unit = 0.0;
    for (size_t i = 0; i < n; i++) {
        fit->eta_sd[i] = fw->sd[i];
        fit->gain_unit = fmax(fit->gain_unit, 1.05 * sqrt(covariance[i * (n + 1)] / FIT_GAIN_LEAST));
    }
}

/* A matrix that is not positive for a prior that counts for next to nothing: the sentence says so. */
static ddt_status name_prior(ddt_context *ctx, double prior_weight, ddt_status status) {
    char detail[512];
    if (status != DDT_ERR_MODEL || !(prior_weight > 0.0 && prior_weight < 1.0)) {
        return status;
    }
    (void)snprintf(detail, sizeof detail, "%s", ddt_error_detail(ctx));
    ddt_context_clear(ctx);
    return ddt_fail(ctx, status, "%s The prior's weight is %g; a larger one may help.", detail, prior_weight);
}

static ddt_status prepare(fit_work *fw, const ddt_fit_options *options) {
    solve_work *work = fw->work;
    const ddt_model *model = work->model;
    if (model->output_count > FIT_OUTPUTS_MAX) {
        return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s' has more than %d outputs.", model->path, FIT_OUTPUTS_MAX);
    }
    double weight = options->prior_weight == 0.0 ? 1.0 : options->prior_weight;
    SOLVE_TRY(
        fit_prior(work->ctx, model, weight, fw->eta_symbols, &fw->eta_count, fw->sd, fw->prior, fw->prior_factor));
    fw->fit->output_count = model->output_count;
    for (uint32_t o = 0; o < model->output_count; o++) {
        SOLVE_TRY(fit_residual_of(work->ctx, model, &model->outputs[o], &fw->fit->residuals[o]));
        SOLVE_TRY(find_limit(fw, o));
        fw->fit->sees_size =
            fw->fit->sees_size || !fit_is_relative(&fw->fit->residuals[o]) || fw->fit->residuals[o].limit > 0.0;
    }
    for (uint32_t i = 0; i < model->symbol_count; i++) {
        bool is_constant = work->symbols[i].is_encrypted && !work->symbols[i].changes;
        if (model->symbols[i].kind == DDT_SYMBOL_COVARIATE && is_constant && !work->symbols[i].is_threshold &&
            fw->fit->covariate_count < FIT_COVARIATES_MAX) {
            fw->fit->covariates[fw->fit->covariate_count++] = i;
        }
    }
    keep_prior(fw);
    if (work->newton != NULL || work->by_surrogates) {
        return surrogate_prepare(fw);
    }
    SOLVE_TRY(fit_vary_create(fw));
    fw->fit->has_slopes = fw->changing_count > 0;
    SOLVE_TRY(find_levels(fw));
    if (work->times.is_private) {
        fit_lag_times(work);
    }
    drop_etas(fw);
    SOLVE_TRY(choose_block(fw));
    SOLVE_TRY(name_prior(work->ctx, options->prior_weight, fit_train(fw)));
    fw->times = work->times; /* training knows nothing of copies */
    SOLVE_TRY(fit_make_copies(fw, fw->least_block));
    if (fw->iterations == 0) {
        drop_model_inputs(fw);
    }
    work->solution->layout.packed = fw->iterations > 0 ? SOLVE_PACKED_FIT : 0;
    return add_inputs(fw);
}

ddt_status fit_work_create(solve_work *work, fit_work **out) {
    enum { HELD_OUT = 10 };
    fit_work *fw = solve_alloc(work, 1, sizeof *fw);
    work->solution->fit = ddt_calloc(1, sizeof *work->solution->fit);
    if (fw == NULL || work->solution->fit == NULL) {
        return solve_no_memory(work->ctx);
    }
    fw->work = work;
    fw->fit = work->solution->fit;
    fw->held_out = HELD_OUT;
    *out = fw;
    return DDT_OK;
}

/* Whether the step serves the virtual population. */
static ddt_status verdict(const fit_work *fw, double prior_weight) {
    const double most = 0.25; /* standard deviations of an eta: the guess alone is as good */
    double error = fw->work->solution->info.surrogate_error;
    char prior[64] = "";
    char size[64] = "beyond measure";
    if (fw->iterations == 0 || error <= most) {
        return DDT_OK;
    }
    if (isfinite(error)) {
        (void)snprintf(size, sizeof size, "by %.2g of their standard deviation", error);
    }
    if (prior_weight > 0.0 && prior_weight < 1.0) {
        (void)snprintf(prior, sizeof prior, ", or a prior weight above %g", prior_weight);
    }
    return ddt_fail(fw->work->ctx, DDT_ERR_UNSUPPORTED,
                    "'%s': a fit would leave etas of virtual patients wrong %s, where %g is wanted; narrower ranges, a "
                    "template whose doses are like the data's%s would help.",
                    fw->work->model->path, size, most, prior);
}

ddt_status fit_work_make(fit_work *fw, const ddt_fit_options *options) {
    fw->iterations = options->iterations;
    SOLVE_TRY(prepare(fw, options));
    SOLVE_TRY(try_patients(fw));
    SOLVE_TRY(verdict(fw, options->prior_weight));
    one_row_each(fw);
    return name_outputs(fw);
}

static ddt_status finish(solve_work *work, void *user) {
    fit_work *fw = NULL;
    SOLVE_TRY(fit_work_create(work, &fw));
    return fw == NULL ? DDT_ERR_MEMORY : fit_work_make(fw, user);
}

ddt_status fit_options_set(ddt_context *ctx, const ddt_fit_options *options, ddt_fit_options *out) {
    const double default_tolerance = 1e-4;
    *out = options == NULL ? (ddt_fit_options){0} : *options;
    out->solve.tolerance = out->solve.tolerance == 0.0 ? default_tolerance : out->solve.tolerance;
    if (out->iterations > 3 || !(out->prior_weight >= 0.0) || !isfinite(out->prior_weight)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A fit takes 0 to 3 iterations and a prior weight of 0 or more.");
    }
    out->iterations = out->iterations == 0 ? 1 : out->iterations;
    return DDT_OK;
}

ddt_status ddt_solve_fit(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                         const ddt_fit_options *options, ddt_solution **out) {
    ddt_fit_options own;
    SOLVE_TRY(fit_options_set(ctx, options, &own));
    solve_work work = {
        .ctx = ctx, .model = model, .events = events, .finish = finish, .finish_user = &own, .fits = true};
    SOLVE_TRY(solve_set_options(ctx, &own.solve, &work.options));
    solve_work again = work;
    ddt_status status = solve_work_solution(&work, out);
    if (status != DDT_ERR_CAPACITY || own.iterations > 1) {
        return status;
    }
    ddt_context_clear(ctx); /* slots for doses times levels: surrogates need none */
    again.by_surrogates = true;
    return solve_work_solution(&again, out);
}

bool ddt_solution_is_fit(const ddt_solution *solution) { return solution->fit != NULL; }

void solve_fit_destroy(solve_fit *fit) {
    for (size_t l = 0; fit != NULL && l < fit->lane_count; l++) {
        ddt_free(fit->lanes[l].levels);
        ddt_free(fit->lanes[l].projection);
        ddt_free(fit->lanes[l].guess);
        ddt_free(fit->lanes[l].centre);
    }
    if (fit != NULL) {
        fit_surrogate_destroy(fit->surrogate);
        ddt_free(fit->lanes);
        ddt_free(fit);
    }
}
