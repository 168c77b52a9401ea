/*
 * The plaintext counterpart of the encrypted fit: the same objective, predictions by the reference solver.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_internal.h"

#include <string.h>

typedef struct exact {
    ddt_context *ctx;
    const ddt_model *model;
    const ddt_events *events;
    size_t subject;
    double *symbols, *values;
    ddt_expr outputs[FIT_OUTPUTS_MAX];
    size_t eta_count, level_count;
    uint32_t etas[FIT_ETAS_MAX];
    size_t place[FIT_LEVELS_MAX]; /* in values */
    fit_residual residuals[FIT_OUTPUTS_MAX];
    fit_level_value levels[FIT_LEVELS_MAX];
    double sd[FIT_ETAS_MAX], prior[FIT_ETAS_MAX * FIT_ETAS_MAX];
    bool may_fail; /* predictions of etas that no patient has: a step to them is not taken */
} exact;

static ddt_status predict(void *user, const double *etas, double *predictions) {
    exact *e = user;
    for (size_t i = 0; i < e->eta_count; i++) {
        e->symbols[e->etas[i]] = etas[i];
    }
    ddt_status status = ddt_reference_simulate_to(e->ctx, e->model, e->events, e->subject, e->symbols, fit_rtol,
                                                  e->outputs, e->model->output_count, e->values);
    if (status != DDT_OK && !(e->may_fail && status == DDT_ERR_MODEL)) {
        return status;
    }
    for (size_t k = 0; k < e->level_count; k++) {
        predictions[k] = status == DDT_OK ? e->values[e->place[k]] : INFINITY;
    }
    return DDT_OK;
}

static ddt_status add_level(exact *e, const ddt_record *record, size_t observation) {
    uint32_t output = 0;
    SOLVE_TRY(fit_output_of(e->ctx, e->model, e->events, record, &output));
    if (e->level_count == FIT_LEVELS_MAX) {
        return ddt_fail(e->ctx, DDT_ERR_UNSUPPORTED, "'%s': the subject %s has more than %d levels.", e->events->path,
                        e->events->subjects[e->subject].id, FIT_LEVELS_MAX);
    }
    SOLVE_TRY(fit_level_of(e->ctx, e->events, record, &e->residuals[output], &e->levels[e->level_count]));
    e->place[e->level_count++] = observation * e->model->output_count + output;
    return DDT_OK;
}

static ddt_status find_levels(exact *e) {
    const ddt_subject *subject = &e->events->subjects[e->subject];
    size_t observation = 0;
    for (size_t r = 0; r < subject->record_count; r++) {
        const ddt_record *record = &subject->records[r];
        SOLVE_TRY(record->has_dv ? add_level(e, record, observation) : DDT_OK);
        observation += ddt_record_is_observation(record);
    }
    return DDT_OK;
}

static ddt_status prepare(exact *e, double weight) {
    const ddt_model *model = e->model;
    double factor[FIT_ETAS_MAX * FIT_ETAS_MAX];
    SOLVE_TRY(fit_prior(e->ctx, model, weight, e->etas, &e->eta_count, e->sd, e->prior, factor));
    if (model->output_count > FIT_OUTPUTS_MAX) {
        return ddt_fail(e->ctx, DDT_ERR_UNSUPPORTED, "'%s' has more than %d outputs.", model->path, FIT_OUTPUTS_MAX);
    }
    for (size_t o = 0; o < model->output_count; o++) {
        SOLVE_TRY(fit_residual_of(e->ctx, model, &model->outputs[o], &e->residuals[o]));
        e->outputs[o] = model->outputs[o].value;
    }
    ddt_events_symbols(model, e->events, e->subject, 0, e->symbols);
    for (size_t i = 0; i < model->eta_count; i++) {
        e->symbols[model->etas[i]] = 0.0;
    }
    return find_levels(e);
}

static ddt_status create(exact *e) {
    size_t records = e->events->subjects[e->subject].record_count;
    e->symbols = ddt_calloc(e->model->symbol_count, sizeof *e->symbols);
    e->values = ddt_calloc(records * e->model->output_count, sizeof *e->values);
    return e->symbols == NULL || e->values == NULL ? solve_no_memory(e->ctx) : DDT_OK;
}

static ddt_status estimate(exact *e, double weight, double *etas, double *covariance, double *objective) {
    SOLVE_TRY(create(e));
    SOLVE_TRY(prepare(e, weight));
    fit_problem problem = {.ctx = e->ctx,
                           .eta_count = e->eta_count,
                           .level_count = e->level_count,
                           .levels = e->levels,
                           .prior = e->prior,
                           .sd = e->sd,
                           .predict = predict,
                           .user = e};
    double typical[FIT_LEVELS_MAX];
    memset(etas, 0, e->eta_count * sizeof *etas);
    SOLVE_TRY(predict(e, etas, typical));
    e->may_fail = true;
    return fit_map(&problem, etas, covariance, objective);
}

/* What a level's residual is. */
static double residual_of(const fit_level_value *level, double f) {
    const fit_residual *r = level->residual;
    if (level->is_censored && f <= level->y) {
        return 0.0;
    }
    return r->kind == DDT_RESIDUAL_LOG ? log(level->y / f) / r->additive : (level->y - f) / fit_residual_sd(r, f);
}

static ddt_status find_residuals(exact *e, const double *etas, ddt_fit_residual *residuals, size_t *count) {
    double predictions[FIT_LEVELS_MAX] = {0};
    const ddt_subject *subject = &e->events->subjects[e->subject];
    SOLVE_TRY(create(e));
    SOLVE_TRY(prepare(e, 1.0));
    SOLVE_TRY(predict(e, etas, predictions));
    *count = 0;
    for (size_t r = 0; r < subject->record_count; r++) {
        if (subject->records[r].has_dv) {
            size_t k = *count;
            residuals[(*count)++] = (ddt_fit_residual){.record = r,
                                                       .output = e->place[k] % e->model->output_count,
                                                       .prediction = predictions[k],
                                                       .residual = residual_of(&e->levels[k], predictions[k])};
        }
    }
    return DDT_OK;
}

static void destroy(exact *e) {
    ddt_free(e->symbols);
    ddt_free(e->values);
    ddt_free(e);
}

ddt_status ddt_fit_residuals(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t subject,
                             const double *etas, ddt_fit_residual *residuals, size_t *count) {
    exact *e = ddt_calloc(1, sizeof *e);
    if (e == NULL) {
        return solve_no_memory(ctx);
    }
    *e = (exact){.ctx = ctx, .model = model, .events = events, .subject = subject};
    ddt_status status = find_residuals(e, etas, residuals, count);
    destroy(e);
    return status;
}

ddt_status ddt_fit_exact(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t subject,
                         double prior_weight, double *etas, double *covariance, double *objective) {
    exact *e = ddt_calloc(1, sizeof *e);
    if (e == NULL) {
        return solve_no_memory(ctx);
    }
    *e = (exact){.ctx = ctx, .model = model, .events = events, .subject = subject};
    ddt_status status = estimate(e, prior_weight == 0.0 ? 1.0 : prior_weight, etas, covariance, objective);
    destroy(e);
    return status;
}
