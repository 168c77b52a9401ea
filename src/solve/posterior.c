/*
 * The posterior's points of each patient: data -> slots, and the section "POST" of a plan file. Files from outside are
 * hostile: every size is checked.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posterior.h"

#include "fit_internal.h"

#include <string.h>

enum { POINTS_MAX = 1 << 10, SECTION_MAX_BYTES = 1 << 20 };

void solve_posterior_destroy(solve_posterior *posterior) {
    if (posterior != NULL) {
        ddt_free(posterior->z);
        ddt_free(posterior);
    }
}

void solve_posterior_point(const solve_posterior *posterior, size_t point, const double *mean, const double *factor,
                           const double *low, const double *high, double *etas) {
    size_t n = posterior->eta_count;
    for (size_t i = 0; i < n; i++) {
        etas[i] = mean[i];
        for (size_t k = 0; k <= i; k++) {
            etas[i] += factor[i * n + k] * posterior->z[point * n + k];
        }
        etas[i] = fmin(fmax(etas[i], low[i]), high[i]);
    }
}

/* ------------------------------------------------------------------ a data set */

/* One patient: estimates, the root of their covariance, declared ranges. */
typedef struct estimate {
    uint32_t symbols[FIT_ETAS_MAX];
    double mean[FIT_ETAS_MAX], low[FIT_ETAS_MAX], high[FIT_ETAS_MAX];
    double factor[FIT_ETAS_MAX * FIT_ETAS_MAX];
} estimate;

static size_t eta_of(const estimate *e, size_t count, int64_t symbol) {
    size_t i = 0;
    while (i < count && (int64_t)e->symbols[i] != symbol) {
        i++;
    }
    return i;
}

/* The custodian's own sum: prior and expected information of the levels, by the reference solver. */
static ddt_status estimate_of(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                              const ddt_events *events, size_t subject, estimate *out) {
    const solve_layout *layout = &solution->layout;
    double ignored[FIT_ETAS_MAX * FIT_ETAS_MAX];
    double covariance[FIT_ETAS_MAX * FIT_ETAS_MAX];
    double sd[FIT_ETAS_MAX];
    double prior[FIT_ETAS_MAX * FIT_ETAS_MAX];
    size_t count = 0;
    *out = (estimate){0};
    SOLVE_TRY(fit_prior(ctx, model, 1.0, out->symbols, &count, sd, prior, ignored));
    if (count != layout->posterior->eta_count) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "'%s' is not the model that the plan was made for.", model->path);
    }
    SOLVE_TRY(ddt_fit_exact(ctx, model, events, subject, 1.0, ignored, covariance, NULL));
    fit_factorise(covariance, count, out->factor);
    const ddt_subject *s = &events->subjects[subject];
    for (size_t r = 0; r < layout->range_count; r++) {
        size_t i = eta_of(out, count, ddt_model_find_symbol(model, layout->ranges[r].name));
        size_t column = i < count ? solve_column(events, out->symbols[i]) : SIZE_MAX;
        if (column != SIZE_MAX && s->record_count > 0) {
            out->mean[i] = s->covariate_values[s->records[0].covariates + column];
            out->low[i] = layout->ranges[r].low;
            out->high[i] = layout->ranges[r].high;
        }
    }
    return DDT_OK;
}

void solve_posterior_slots(const solve_layout *layout, size_t index, size_t point, double y, double *slots) {
    const solve_posterior *p = layout->posterior;
    size_t step = layout->packed > 0 ? layout->packed : 1;
    size_t first = layout->packed > 0 ? index : 0;
    for (size_t s = first; s < p->point_slots; s += step) {
        slots[point * p->point_slots + s] = y;
    }
}

static void fill_lane(const ddt_solution *solution, const ddt_model *model, const estimate *e, size_t lane,
                      double *const *inputs) {
    const solve_layout *layout = &solution->layout;
    const solve_posterior *p = layout->posterior;
    double etas[FIT_ETAS_MAX];
    size_t block = p->points * p->point_slots;
    for (size_t point = 0; point < p->points; point++) {
        solve_posterior_point(p, point, e->mean, e->factor, e->low, e->high, etas);
        for (size_t i = 0; i < layout->input_count; i++) {
            const solve_input *input = &layout->inputs[i];
            size_t k = eta_of(e, p->eta_count, ddt_model_find_symbol(model, layout->ranges[input->range].name));
            if (input->kind == SOLVE_INPUT_LINEAR && k < p->eta_count) {
                double *vector = inputs[layout->packed > 0 ? 0 : i];
                solve_posterior_slots(layout, i, point, solve_encode_value(input, etas[k]), vector + lane * block);
            }
        }
    }
}

ddt_status solve_posterior_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                                const ddt_events *events, double *const *inputs) {
    const solve_layout *layout = &solution->layout;
    for (size_t l = 0; l < layout->lane_count; l++) {
        estimate e;
        SOLVE_TRY(estimate_of(ctx, solution, model, events, layout->lanes[l].subject, &e));
        fill_lane(solution, model, &e, l, inputs);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ the file */

ddt_status solve_posterior_write(ddt_writer *writer, const solve_posterior *posterior) {
    ddt_writer_begin(writer, "POST");
    ddt_writer_u32(writer, (uint32_t)posterior->points);
    ddt_writer_u32(writer, (uint32_t)posterior->point_slots);
    ddt_writer_u32(writer, (uint32_t)posterior->eta_count);
    for (size_t i = 0; i < posterior->points * posterior->eta_count; i++) {
        ddt_writer_f64(writer, posterior->z[i]);
    }
    return ddt_writer_end(writer);
}

ddt_status solve_posterior_read(ddt_context *ctx, ddt_reader *reader, size_t lane_slots, solve_posterior **out) {
    uint32_t sizes[3] = {0};
    solve_posterior *p = ddt_calloc(1, sizeof *p);
    if (p == NULL) {
        return solve_no_memory(ctx);
    }
    *out = p;
    SOLVE_TRY(ddt_reader_begin(reader, "POST", SECTION_MAX_BYTES));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        SOLVE_TRY(ddt_reader_u32(reader, &sizes[i]));
    }
    if (sizes[0] == 0 || sizes[0] > POINTS_MAX || sizes[2] == 0 || sizes[2] > FIT_ETAS_MAX ||
        (uint64_t)sizes[0] * sizes[1] != lane_slots) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "'%s': the plan's points of the posterior are inconsistent.",
                        ddt_reader_path(reader));
    }
    *p = (solve_posterior){.points = sizes[0], .point_slots = sizes[1], .eta_count = sizes[2]};
    p->z = ddt_calloc(p->points * p->eta_count, sizeof *p->z);
    if (p->z == NULL) {
        return solve_no_memory(ctx);
    }
    for (size_t i = 0; i < p->points * p->eta_count; i++) {
        SOLVE_TRY(ddt_reader_f64(reader, &p->z[i]));
    }
    return ddt_reader_end(reader);
}
