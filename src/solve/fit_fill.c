/*
 * What the custodian makes of levels: deviations from the population's prediction and their polynomials for the first
 * guess, 1 / level for the model's predictions, and the score's polynomial of each level.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_internal.h"

#include <string.h>

static size_t block_of(const solve_layout *layout) {
    return layout->lane_slots != 0 ? layout->lane_slots : fit_copy_slots(layout);
}

/* What the model reads lies in the first copy: the same in all others. */
static void repeat_copies(const solve_layout *layout, const solve_fit *fit, size_t lane, double *const *inputs) {
    size_t copy_slots = fit_copy_slots(layout);
    for (size_t i = 0; i < layout->input_count; i++) {
        double *slots = inputs[i] + lane * block_of(layout);
        for (size_t c = 1; c < fit->copies && layout->inputs[i].kind != SOLVE_INPUT_FIT; c++) {
            memcpy(slots + c * copy_slots, slots, copy_slots * sizeof *slots);
        }
    }
}

static void fill_level(const ddt_solution *solution, const fit_level *level, size_t lane, double y,
                       double *const *inputs) {
    const solve_layout *layout = &solution->layout;
    const solve_fit *fit = solution->fit;
    const fit_residual *r = &fit->residuals[level->output];
    size_t at = lane * block_of(layout) + level->column;
    double top = fit_residual_top(r, y);
    if (!(top > 0.0)) {
        return;
    }
    for (size_t c = 0; c < fit->copies; c++) {
        inputs[fit->inverse_input[level->output]][at + c * fit_copy_slots(layout)] =
            fit->score_scale[level->output] / top;
    }
    if (!r->is_public) {
        double coefficients[FIT_SCORE_MAX + 1];
        fit_residual_polynomial(r, y, coefficients);
        for (unsigned k = 0; k <= r->degree; k++) {
            inputs[fit->score_input[level->output][k]][at] = coefficients[k] / FIT_DIFFERENCE;
        }
    }
}

void fit_fill_lane(const ddt_solution *solution, size_t lane, const double *levels, const double *predicted,
                   double *const *inputs) {
    const solve_layout *layout = &solution->layout;
    const solve_fit *fit = solution->fit;
    const fit_lane *l = &fit->lanes[lane];
    double deviations[FIT_LEVELS_MAX];
    size_t block = block_of(layout);
    for (size_t i = fit->feature_input; i < layout->input_count; i++) {
        memset(inputs[i] + lane * block, 0, block * sizeof(double));
    }
    repeat_copies(layout, fit, lane, inputs);
    for (size_t k = 0; k < l->level_count; k++) {
        const fit_residual *r = &fit->residuals[l->levels[k].output];
        deviations[k] = fit_residual_deviation(r, levels[k], predicted[k]);
        fill_level(solution, &l->levels[k], lane, levels[k], inputs);
    }
    double *features = inputs[fit->feature_input] + lane * block;
    fit_features(fit, l, deviations, features);
    for (size_t s = fit->feature_count; s < block; s++) {
        features[s] = features[s - fit->feature_count];
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

/* Predictions for etas of 0 at every observation record. */
static ddt_status predict_typical(const filler *f, size_t subject, double **out) {
    const ddt_model *model = f->model;
    const ddt_subject *s = &f->events->subjects[subject];
    size_t outputs = model->output_count;
    double *symbols = ddt_calloc(model->symbol_count, sizeof *symbols);
    ddt_expr *expressions = ddt_calloc(outputs, sizeof *expressions);
    double *values = ddt_calloc(s->record_count * outputs, sizeof *values);
    ddt_status status = DDT_OK;
    if (symbols == NULL || expressions == NULL || values == NULL) {
        status = solve_no_memory(f->ctx);
    } else {
        ddt_events_symbols(model, f->events, subject, 0, symbols);
        for (size_t i = 0; i < model->eta_count; i++) {
            symbols[model->etas[i]] = 0.0;
        }
        for (size_t o = 0; o < outputs; o++) {
            expressions[o] = model->outputs[o].value;
        }
        status = ddt_reference_simulate_with(f->ctx, model, f->events, subject, symbols, true, expressions, outputs,
                                             values);
    }
    ddt_free(symbols);
    ddt_free(expressions);
    if (status != DDT_OK) {
        ddt_free(values);
        return status;
    }
    *out = values;
    return DDT_OK;
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
        return ddt_fail(f->ctx, DDT_ERR_RANGE,
                        "'%s', line %u: DV of the subject %s is %.15g, outside its range %.15g to %.15g.",
                        f->events->path, record->line, f->events->subjects[subject].id, record->dv, range->low,
                        range->high);
    }
    return DDT_OK;
}

static size_t count_levels(const ddt_subject *subject) {
    size_t count = 0;
    for (size_t r = 0; r < subject->record_count; r++) {
        count += subject->records[r].has_dv;
    }
    return count;
}

static ddt_status fill_lane(const filler *f, size_t lane) {
    const fit_lane *l = &f->solution->fit->lanes[lane];
    size_t subject = f->solution->layout.lanes[lane].subject;
    const ddt_subject *s = &f->events->subjects[subject];
    double levels[FIT_LEVELS_MAX];
    double predicted[FIT_LEVELS_MAX];
    double *typical = NULL;
    for (size_t k = 0; k < l->level_count; k++) {
        SOLVE_TRY(check_level(f, subject, &l->levels[k]));
    }
    if (count_levels(s) != l->level_count) {
        return ddt_fail(f->ctx, DDT_ERR_MISMATCH, "'%s': the subject %s has %zu levels where the plan was made for %zu.",
                        f->events->path, s->id, count_levels(s), l->level_count);
    }
    SOLVE_TRY(predict_typical(f, subject, &typical));
    for (size_t r = 0, observation = 0, k = 0; r < s->record_count && k < l->level_count; r++) {
        if (r == l->levels[k].record) {
            levels[k] = s->records[r].dv;
            predicted[k] = typical[observation * f->model->output_count + l->levels[k].output];
            k++;
        }
        observation += s->records[r].evid == 0 || s->records[r].evid == 2;
    }
    ddt_free(typical);
    fit_fill_lane(f->solution, lane, levels, predicted, f->inputs);
    return DDT_OK;
}

ddt_status solve_fit_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                          const ddt_events *events, double *const *inputs) {
    filler f = {ctx, solution, model, events, inputs};
    if (model->output_count != solution->fit->output_count) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "'%s' has %zu outputs where the plan was made for %zu.", model->path,
                        model->output_count, solution->fit->output_count);
    }
    for (size_t l = 0; l < solution->fit->lane_count; l++) {
        SOLVE_TRY(fill_lane(&f, l));
    }
    return DDT_OK;
}
