/*
 * What the custodian makes of levels: deviations from the population's prediction and their polynomials for the first
 * guess, 1 / level for the model's predictions, and the score's polynomial of each level.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_surrogate.h"

#include <string.h>

static size_t block_of(const solve_layout *layout) {
    return layout->lane_slots != 0 ? layout->lane_slots : fit_copy_slots(layout);
}

/* What the model reads lies in the first copy: the same in all others. */
void fit_repeat_copies(const solve_layout *layout, const solve_fit *fit, size_t lane, double *const *inputs) {
    size_t copy_slots = fit_copy_slots(layout);
    for (size_t i = 0; i < layout->input_count; i++) {
        double *slots = inputs[i] + lane * block_of(layout);
        for (size_t c = 1; c < fit->copies && layout->inputs[i].kind != SOLVE_INPUT_FIT; c++) {
            memcpy(slots + c * copy_slots, slots, copy_slots * sizeof *slots);
        }
    }
}

/* The largest top of the levels that share a column. */
static double column_top(const fit_lane *l, const fit_level_value *levels, size_t k) {
    double top = 0.0;
    for (size_t m = 0; m < l->level_count; m++) {
        bool is_shared = l->levels[m].column == l->levels[k].column && l->levels[m].output == l->levels[k].output;
        top = is_shared ? fmax(top, fit_residual_top(levels[m].residual, levels[m].y)) : top;
    }
    return top;
}

/* Levels of one output at one time share a column: their scores add up. */
static void fill_level(const ddt_solution *solution, size_t lane, const fit_level_value *levels, size_t k,
                       double *const *inputs) {
    const solve_layout *layout = &solution->layout;
    const solve_fit *fit = solution->fit;
    const fit_level *level = &fit->lanes[lane].levels[k];
    const fit_residual *r = &fit->residuals[level->output];
    size_t at = lane * block_of(layout) + level->column;
    double top = column_top(&fit->lanes[lane], levels, k);
    if (!(top > 0.0) || fit->inverse_input[level->output] == SOLVE_NONE) {
        return;
    }
    for (size_t c = 0; c < fit->copies; c++) {
        inputs[fit->inverse_input[level->output]][at + c * fit_copy_slots(layout)] =
            fit->score_scale[level->output] / top;
    }
    if (!r->is_public) {
        double coefficients[FIT_SCORE_MAX + 1];
        fit_level_polynomial(&levels[k], top, coefficients);
        for (unsigned d = 0; d <= r->degree; d++) {
            inputs[fit->score_input[level->output][d]][at] += coefficients[d];
        }
    }
}

void fit_fill_lane(const ddt_solution *solution, size_t lane, const fit_seen *seen, double *const *inputs) {
    const solve_layout *layout = &solution->layout;
    const solve_fit *fit = solution->fit;
    const fit_lane *l = &fit->lanes[lane];
    double facts[FIT_FACTS_MAX] = {0};
    size_t block = block_of(layout);
    for (size_t i = fit->feature_input; i < layout->input_count; i++) {
        memset(inputs[i] + lane * block, 0, block * sizeof(double));
    }
    fit_repeat_copies(layout, fit, lane, inputs);
    for (size_t k = 0; k < l->level_count; k++) {
        fill_level(solution, lane, seen->levels, k, inputs);
    }
    double *features = inputs[fit->feature_input] + lane * block;
    fit_facts(fit, l, seen, facts);
    fit_features(fit, l, facts, features);
    for (size_t s = fit->feature_count; s < block; s++) {
        features[s] = features[s - fit->feature_count];
    }
}

void fit_fill_gain(const ddt_solution *solution, size_t lane, const double *factor, double *const *inputs) {
    const solve_fit *fit = solution->fit;
    size_t block = block_of(&solution->layout);
    double *features = inputs[fit->feature_input] + lane * block;
    for (size_t i = 0; i < fit->eta_count; i++) {
        for (size_t j = 0; j <= i; j++) {
            double entry = factor[i * fit->eta_count + j] / fit->gain_unit;
            for (size_t s = fit_gain_feature(fit, i, j); s < block; s += fit->feature_count) {
                features[s] = fmin(fmax(entry, -1.0), 1.0);
            }
        }
    }
}

/* ------------------------------------------------------------------ a data set */

typedef struct filler {
    ddt_context *ctx;
    const ddt_solution *solution;
    const ddt_model *model;
    const ddt_events *events;
    double *const *inputs;
} filler;

/* The reference solver's outputs at all observation records; etas NULL: 0. */
static ddt_status simulate(const filler *f, size_t subject, const double *etas, double *symbols, ddt_expr *expressions,
                           double *values) {
    const ddt_model *model = f->model;
    ddt_events_symbols(model, f->events, subject, 0, symbols);
    for (size_t i = 0, k = 0; i < model->eta_count; i++) {
        bool varies = model->symbols[model->etas[i]].omega2 > 0.0;
        symbols[model->etas[i]] = varies && etas != NULL ? etas[k] : 0.0;
        k += varies;
    }
    for (size_t o = 0; o < model->output_count; o++) {
        expressions[o] = model->outputs[o].value;
    }
    return ddt_reference_simulate_to(f->ctx, model, f->events, subject, symbols, fit_rtol, expressions,
                                     model->output_count, values);
}

/* Predictions of a lane's levels by the reference solver. */
static ddt_status predict(const filler *f, size_t lane, const double *etas, double *predictions) {
    const fit_lane *l = &f->solution->fit->lanes[lane];
    size_t subject = f->solution->layout.lanes[lane].subject;
    const ddt_subject *s = &f->events->subjects[subject];
    size_t outputs = f->model->output_count;
    double *symbols = ddt_calloc(f->model->symbol_count, sizeof *symbols);
    ddt_expr *expressions = ddt_calloc(outputs, sizeof *expressions);
    double *values = ddt_calloc(s->record_count * outputs, sizeof *values);
    bool has_memory = symbols != NULL && expressions != NULL && values != NULL;
    ddt_status status = has_memory ? simulate(f, subject, etas, symbols, expressions, values) : solve_no_memory(f->ctx);
    memset(predictions, 0, FIT_LEVELS_MAX * sizeof *predictions);
    for (size_t r = 0, observation = 0, k = 0; has_memory && status == DDT_OK && k < l->level_count; r++) {
        if (r == l->levels[k].record) {
            predictions[k] = values[observation * outputs + l->levels[k].output];
            k++;
        }
        observation += ddt_record_is_observation(&s->records[r]);
    }
    ddt_free(symbols);
    ddt_free(expressions);
    ddt_free(values);
    return status;
}

static ddt_status check_level(const filler *f, size_t subject, const fit_level *level) {
    const ddt_record *record = &f->events->subjects[subject].records[level->record];
    const solve_range *range = &f->solution->layout.ranges[f->solution->fit->level_range[level->output]];
    if (!record->has_dv) {
        return ddt_fail(f->ctx, DDT_ERR_MISMATCH,
                        "'%s', line %u: the subject %s has no DV where the plan was made for a level.", f->events->path,
                        record->line, f->events->subjects[subject].id);
    }
    if (!(record->dv >= range->low && record->dv <= range->high)) {
        return ddt_fail(
            f->ctx, DDT_ERR_RANGE, "'%s', line %u: DV of the subject %s is %.15g, outside its range %.15g to %.15g.",
            f->events->path, record->line, f->events->subjects[subject].id, record->dv, range->low, range->high);
    }
    return DDT_OK;
}

/* Levels below a limit have polynomials and virtual patients only where the template has them. */
static ddt_status check_censored(const filler *f, size_t subject, const fit_level *level,
                                 const fit_level_value *value) {
    const ddt_subject *s = &f->events->subjects[subject];
    return !value->is_censored || value->residual->limit > 0.0
               ? DDT_OK
               : ddt_fail(f->ctx, DDT_ERR_MISMATCH,
                          "'%s', line %u: the level of the subject %s lies below a limit of quantification; the plan's "
                          "template has no such level.",
                          f->events->path, s->records[level->record].line, s->id);
}

static size_t count_levels(const ddt_subject *subject) {
    size_t count = 0;
    for (size_t r = 0; r < subject->record_count; r++) {
        count += subject->records[r].has_dv;
    }
    return count;
}

/* Which doses have begun at each level, by the guess. */
static ddt_status fill_begun(const filler *f, size_t lane, const double *etas) {
    const solve_layout *layout = &f->solution->layout;
    solve_given *givens = ddt_calloc(layout->rows, sizeof *givens);
    if (givens == NULL) {
        return solve_no_memory(f->ctx);
    }
    ddt_status status = solve_fill_data_doses(f->ctx, layout, f->model, f->events, lane, etas, givens, f->inputs);
    if (status == DDT_OK) {
        fit_lag_mark(layout, lane, givens, f->inputs);
        fit_repeat_copies(layout, f->solution->fit, lane, f->inputs);
    }
    ddt_free(givens);
    return status;
}

typedef struct lane_of {
    const filler *f;
    size_t lane;
} lane_of;

static ddt_status predict_lane(void *user, const double *etas, double *predictions) {
    const lane_of *of = user;
    return predict(of->f, of->lane, etas, predictions);
}

/* The gain's factor at the guess. */
static ddt_status fill_gain(const filler *f, size_t lane, const fit_level_value *levels, const double *etas) {
    const solve_fit *fit = f->solution->fit;
    const fit_lane *l = &fit->lanes[lane];
    size_t n = fit->eta_count;
    lane_of user = {f, lane};
    double prior[FIT_ETAS_MAX * FIT_ETAS_MAX];
    double factor[FIT_ETAS_MAX * FIT_ETAS_MAX];
    for (size_t i = 0; i < n * n; i++) {
        prior[i] = fit->prior[i] / (fit->eta_sd[i / n] * fit->eta_sd[i % n]);
    }
    const fit_problem problem = {.ctx = f->ctx,
                                 .eta_count = n,
                                 .level_count = l->level_count,
                                 .levels = levels,
                                 .prior = prior,
                                 .sd = fit->eta_sd,
                                 .step = FIT_GAIN_STEP,
                                 .has_scores = fit->surrogate == NULL,
                                 .has_kinks = fit_lag_input(&f->solution->layout) != SOLVE_NONE,
                                 .predict = predict_lane,
                                 .user = &user};
    double left = 0.0;
    SOLVE_TRY(fit_gain(&problem, etas, factor, &left));
    fit_fill_gain(f->solution, lane, factor, f->inputs);
    const ddt_subject *s = &f->events->subjects[f->solution->layout.lanes[lane].subject];
    return left <= FIT_LEFT_SERVED
               ? DDT_OK
               : ddt_fail(
                     f->ctx, DDT_ERR_RANGE,
                     "'%s': the plan's step would end %s%.2g posterior standard deviations from the estimate of the "
                     "subject %s, where %g are allowed: its levels let the posterior bend too much.",
                     f->events->path, left > FIT_LEFT_MAX ? "more than " : "", fmin(left, FIT_LEFT_MAX), s->id,
                     FIT_LEFT_SERVED);
}

/* The circuit's polynomials hold where the guess predicts a level well enough; other levels would spoil the results of
 * all subjects that share a ciphertext. */
static ddt_status check_guess(const filler *f, size_t lane, const fit_level_value *levels, const double *slopes) {
    const ddt_solution *solution = f->solution;
    const fit_lane *l = &solution->fit->lanes[lane];
    const ddt_subject *s = &f->events->subjects[solution->layout.lanes[lane].subject];
    double etas[FIT_ETAS_MAX];
    double predictions[FIT_LEVELS_MAX];
    const double *features = f->inputs[solution->fit->feature_input] + lane * block_of(&solution->layout);
    if (!fit_guess(solution->fit, l, features, etas)) {
        return ddt_fail(f->ctx, DDT_ERR_RANGE, "'%s': the levels of the subject %s ask for etas outside their ranges.",
                        f->events->path, s->id);
    }
    SOLVE_TRY(fit_lag_input(&solution->layout) == SOLVE_NONE ? DDT_OK : fill_begun(f, lane, etas));
    SOLVE_TRY(predict(f, lane, etas, predictions));
    bool is_surrogate = solution->fit->surrogate != NULL;
    double guess_slopes[FIT_LEVELS_MAX * FIT_ETAS_MAX] = {0};
    lane_of user = {f, lane};
    SOLVE_TRY(is_surrogate ? surrogate_slopes(solution->fit, l, predict_lane, &user, etas, guess_slopes) : DDT_OK);
    const surrogate_seen seen = {
        .levels = levels, .slopes = slopes, .guess = etas, .guess_slopes = guess_slopes, .at_guess = predictions};
    size_t k = is_surrogate ? surrogate_uncovered(solution->fit, lane, &seen) : fit_uncovered(l, levels, predictions);
    if (is_surrogate && k == l->level_count) {
        surrogate_fill(solution, lane, &seen, f->inputs);
    }
    return k == l->level_count
               ? fill_gain(f, lane, levels, etas)
               : ddt_fail(f->ctx, DDT_ERR_RANGE,
                          "'%s', line %u: DV of the subject %s is %.6g, too far from the %.4g that all "
                          "levels together let expect.",
                          f->events->path, s->records[l->levels[k].record].line, s->id, levels[k].y, predictions[k]);
}

/* A guess for levels far from all virtual patients' would be none. */
static ddt_status check_facts(const filler *f, size_t lane, const fit_seen *seen) {
    const double limit = 1.5; /* times the widest virtual patient */
    const solve_fit *fit = f->solution->fit;
    const fit_lane *l = &fit->lanes[lane];
    const ddt_subject *s = &f->events->subjects[f->solution->layout.lanes[lane].subject];
    double facts[FIT_FACTS_MAX] = {0};
    fit_facts(fit, l, seen, facts);
    for (size_t v = 0; v < l->variable_count; v++) {
        if (fabs(fit_variable(fit, l, v, facts)) > limit) {
            size_t k = v < l->level_count ? v : 0;
            return ddt_fail(f->ctx, DDT_ERR_RANGE,
                            "'%s': DV of the subject %s lies further from what the model expects than any virtual "
                            "patient's (line %u on: %.6g where the population's prediction is %.6g).",
                            f->events->path, s->id, s->records[l->levels[k].record].line, seen->levels[k].y,
                            seen->predicted[k]);
        }
    }
    return DDT_OK;
}

static ddt_status find_slopes(const filler *f, size_t lane, double *slopes) {
    const solve_fit *fit = f->solution->fit;
    lane_of user = {f, lane};
    bool is_seen = fit->has_slopes || fit->surrogate != NULL;
    return is_seen ? fit_find_slopes(fit, &fit->lanes[lane], predict_lane, &user, slopes) : DDT_OK;
}

static ddt_status fill_lane(const filler *f, size_t lane) {
    const fit_lane *l = &f->solution->fit->lanes[lane];
    size_t subject = f->solution->layout.lanes[lane].subject;
    const ddt_subject *s = &f->events->subjects[subject];
    fit_level_value levels[FIT_LEVELS_MAX] = {0};
    double predicted[FIT_LEVELS_MAX];
    for (size_t k = 0; k < l->level_count; k++) {
        SOLVE_TRY(check_level(f, subject, &l->levels[k]));
        SOLVE_TRY(fit_level_of(f->ctx, f->events, &s->records[l->levels[k].record],
                               &f->solution->fit->residuals[l->levels[k].output], &levels[k]));
        SOLVE_TRY(check_censored(f, subject, &l->levels[k], &levels[k]));
    }
    if (count_levels(s) != l->level_count) {
        return ddt_fail(f->ctx, DDT_ERR_MISMATCH,
                        "'%s': the subject %s has %zu levels where the plan was made for %zu.", f->events->path, s->id,
                        count_levels(s), l->level_count);
    }
    double slopes[FIT_LEVELS_MAX * FIT_ETAS_MAX] = {0};
    if (f->solution->fit->surrogate != NULL) {
        SOLVE_TRY(surrogate_check_amounts(f->ctx, f->solution, f->events, subject));
    }
    SOLVE_TRY(predict(f, lane, NULL, predicted));
    SOLVE_TRY(find_slopes(f, lane, slopes));
    double *symbols = ddt_calloc(f->model->symbol_count, sizeof *symbols);
    if (symbols == NULL) {
        return solve_no_memory(f->ctx);
    }
    ddt_events_symbols(f->model, f->events, subject, 0, symbols);
    const fit_seen seen = {levels, predicted, slopes, symbols};
    ddt_status status = check_facts(f, lane, &seen);
    if (status == DDT_OK) {
        fit_fill_lane(f->solution, lane, &seen, f->inputs);
    }
    ddt_free(symbols);
    return status == DDT_OK ? check_guess(f, lane, levels, slopes) : status;
}

/* Whether the model is of the plan's shape. */
static ddt_status check_model(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model) {
    if (model->output_count != solution->fit->output_count) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "'%s' has %zu outputs where the plan was made for %zu.", model->path,
                        model->output_count, solution->fit->output_count);
    }
    for (size_t c = 0; c < solution->fit->covariate_count; c++) {
        if (solution->fit->covariates[c] >= model->symbol_count) {
            return ddt_fail(ctx, DDT_ERR_MISMATCH, "'%s' is not the model that the plan was made for.", model->path);
        }
    }
    return DDT_OK;
}

ddt_status solve_fit_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                          const ddt_events *events, double *const *inputs, ddt_left_out *left_out) {
    filler f = {ctx, solution, model, events, inputs};
    ddt_status status = check_model(ctx, solution, model);
    for (size_t l = 0; l < solution->fit->lane_count && status == DDT_OK; l++) {
        const size_t subject = solution->layout.lanes[l].subject;
        if (!solve_is_left_out(left_out, subject)) {
            status = solve_leave_out(ctx, left_out, events, subject, fill_lane(&f, l));
        }
    }
    return status;
}
