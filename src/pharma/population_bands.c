/* Bands of virtual patients. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/pharma/population.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENTS_USUAL = 200 };

static const double usual_probabilities[] = {0.05, 0.5, 0.95};

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

void ddt_percentiles(double *values, size_t count, const double *probabilities, size_t n, double *out) {
    qsort(values, count, sizeof *values, compare);
    for (size_t i = 0; i < n; i++) {
        const double position = probabilities[i] * (double)(count - 1);
        const size_t below = (size_t)position;
        const size_t above = below + 1 < count ? below + 1 : below;
        out[i] = values[below] + (position - (double)below) * (values[above] - values[below]);
    }
}

typedef struct run {
    ddt_context *ctx;
    const ddt_model *model; /* with the covariance of the options */
    const ddt_events *events;
    size_t subject;
    ddt_population_options options;
    const ddt_expr *expressions;
    size_t count;
    size_t points;   /* observations x expressions */
    double *symbols; /* of one patient */
    double *course;  /* points: its values */
    double *values;  /* points x patients */
} run;

static size_t observations_of(const ddt_subject *subject) {
    size_t n = 0;
    for (size_t r = 0; r < subject->record_count; r++) {
        n += subject->records[r].evid == 0 || subject->records[r].evid == 2;
    }
    return n;
}

static ddt_status draw_patient(const run *r, size_t patient) {
    const uint64_t first = r->options.first == 0 ? 1 : r->options.first;
    const ddt_status status = ddt_population_draw(r->ctx, r->model, first + patient, r->symbols);
    for (size_t i = 0; status == DDT_OK && r->options.centre != NULL && i < r->model->symbol_count; i++) {
        const ddt_symbol_kind kind = r->model->symbols[i].kind;
        if (kind == DDT_SYMBOL_ETA) {
            r->symbols[i] += r->options.centre[i];
        } else if (kind == DDT_SYMBOL_COVARIATE) {
            r->symbols[i] = r->options.centre[i];
        }
    }
    return status;
}

static ddt_status simulate_patients(const run *r) {
    ddt_status status = DDT_OK;
    for (size_t p = 0; status == DDT_OK && p < r->options.patients; p++) {
        status = draw_patient(r, p);
        if (status == DDT_OK) {
            status = ddt_reference_simulate_with(r->ctx, r->model, r->events, r->subject, r->symbols,
                                                 r->options.data_covariates, r->expressions, r->count, r->course);
        }
        for (size_t i = 0; status == DDT_OK && i < r->points; i++) {
            r->values[i * r->options.patients + p] = r->course[i];
        }
    }
    return status;
}

static ddt_status no_memory(ddt_context *ctx, const ddt_model *model) {
    return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a population of %s.", model->name);
}

static ddt_status run_all(run *r, double *bands) {
    const size_t n = r->options.probability_count;
    size_t entries = 0;
    r->symbols = ddt_calloc(r->model->symbol_count, sizeof *r->symbols);
    r->course = ddt_calloc(r->points, sizeof *r->course);
    r->values = ddt_size_mul(r->points, r->options.patients, &entries) ? ddt_calloc(entries, sizeof *r->values) : NULL;
    ddt_status status = DDT_OK;
    if (r->symbols == NULL || r->course == NULL || r->values == NULL) {
        status = no_memory(r->ctx, r->model);
    } else {
        status = simulate_patients(r);
    }
    for (size_t i = 0; status == DDT_OK && i < r->points; i++) {
        ddt_percentiles(r->values + i * r->options.patients, r->options.patients, r->options.probabilities, n,
                        bands + i * n);
    }
    ddt_free(r->symbols);
    ddt_free(r->course);
    ddt_free(r->values);
    return status;
}

static ddt_status check(ddt_context *ctx, const run *r) {
    if (r->options.patients > DDT_POPULATION_MAX) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A population has at most %d patients, not %zu.", DDT_POPULATION_MAX,
                        r->options.patients);
    }
    for (size_t i = 0; i < r->options.probability_count; i++) {
        if (!(r->options.probabilities[i] >= 0 && r->options.probabilities[i] <= 1)) {
            return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The probability %g of a band is not within 0 and 1.",
                            r->options.probabilities[i]);
        }
    }
    return DDT_OK;
}

ddt_status ddt_population_bands(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t subject,
                                const ddt_population_options *options, const ddt_expr *expressions, size_t count,
                                double *bands) {
    run r = {.ctx = ctx, .events = events, .subject = subject, .expressions = expressions, .count = count};
    r.options = options != NULL ? *options : (ddt_population_options){0};
    r.options.patients = r.options.patients == 0 ? PATIENTS_USUAL : r.options.patients;
    if (r.options.probabilities == NULL) {
        r.options.probabilities = usual_probabilities;
        r.options.probability_count = sizeof usual_probabilities / sizeof *usual_probabilities;
    }
    r.points = observations_of(&events->subjects[subject]) * count;
    memset(bands, 0, r.points * r.options.probability_count * sizeof *bands);
    ddt_status status = check(ctx, &r);
    if (status != DDT_OK) {
        return status;
    }
    /* The same model with another covariance: the copy owns nothing but that. */
    ddt_model copy = *model;
    size_t entries = 0;
    copy.omega =
        ddt_size_mul(model->eta_count, model->eta_count, &entries) ? ddt_alloc(entries, sizeof *copy.omega) : NULL;
    if (copy.omega == NULL) {
        return no_memory(ctx, model);
    }
    memcpy(copy.omega, r.options.covariance != NULL ? r.options.covariance : model->omega,
           entries * sizeof *copy.omega);
    r.model = &copy;
    status = run_all(&r, bands);
    ddt_free(copy.omega);
    return status;
}
