/*
 * Support points, and how far each can get: bounds of the amounts and predictions of a patient with these etas, for the
 * doses that are planned for and the worst covariates that are allowed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "update_internal.h"

#include <string.h>

/* ------------------------------------------------------------------ points */

/* The normal quantile: Tukey's lambda approximation, then Halley's steps. */
static double normal_quantile(double p) {
    enum { STEPS = 4 };
    const double sqrt_half = 0.70710678118654752440;
    const double sqrt_2pi = 2.50662827463100050242;
    double x = 4.91 * (pow(p, 0.14) - pow(1.0 - p, 0.14));
    for (int k = 0; k < STEPS; k++) {
        double step = (0.5 * erfc(-x * sqrt_half) - p) * sqrt_2pi * exp(0.5 * x * x);
        x -= step / (1.0 + 0.5 * x * step);
    }
    return x;
}

/* The positive root of x^(d + 1) = x + 1. */
static double golden_ratio(size_t dimension) {
    enum { STEPS = 60 };
    double x = 2.0;
    for (int k = 0; k < STEPS; k++) {
        x = pow(1.0 + x, 1.0 / (double)(dimension + 1));
    }
    return x;
}

void update_normal_points(size_t count, size_t dimension, double *out) {
    const double ratio = golden_ratio(dimension);
    for (size_t d = 0; d < dimension; d++) {
        const double step = pow(ratio, -(double)(d + 1));
        for (size_t j = 0; j < count; j++) {
            double u = 0.5 + step * (double)(j + 1);
            u -= floor(u);
            /* within 3.3 standard deviations for up to 16384 points */
            out[j * dimension + d] = normal_quantile(fmin(fmax(u, 5e-4), 1.0 - 5e-4));
        }
    }
}

ddt_status update_points_create(ddt_context *ctx, const ddt_model *model, ddt_update *u) {
    double sd[FIT_ETAS_MAX];
    double factor[FIT_ETAS_MAX * FIT_ETAS_MAX] = {0};
    uint32_t symbols[FIT_ETAS_MAX];
    double prior[FIT_ETAS_MAX * FIT_ETAS_MAX];
    size_t count = 0;
    SOLVE_TRY(fit_prior(ctx, model, 1.0, symbols, &count, sd, prior, factor));
    if (count > DDT_UPDATE_ETAS_MAX) {
        return ddt_fail(ctx, DDT_ERR_UNSUPPORTED, "'%s' has %zu etas that vary; a living twin takes 1 to %d.",
                        model->path, count, DDT_UPDATE_ETAS_MAX);
    }
    u->etas = count;
    memcpy(u->eta_symbols, symbols, count * sizeof *symbols);
    memcpy(u->prior, prior, count * count * sizeof *prior);
    for (size_t i = 0; i < u->etas; i++) {
        u->eta_names[i] = ddt_strdup(model->symbols[u->eta_symbols[i]].name);
        if (u->eta_names[i] == NULL) {
            return solve_no_memory(ctx);
        }
    }
    double *normal = ddt_calloc(u->points * u->etas, sizeof *normal);
    u->etas_of = ddt_calloc(u->points * u->etas, sizeof *u->etas_of);
    if (normal == NULL || u->etas_of == NULL) {
        ddt_free(normal);
        return solve_no_memory(ctx);
    }
    update_normal_points(u->points, u->etas, normal);
    for (size_t j = 0; j < u->points; j++) {
        for (size_t i = 0; i < u->etas; i++) {
            for (size_t k = 0; k <= i; k++) {
                u->etas_of[j * u->etas + i] += u->spread * factor[i * u->etas + k] * normal[j * u->etas + k];
            }
        }
    }
    ddt_free(normal);
    return DDT_OK;
}

void update_set_etas(const ddt_update *u, size_t point, double *symbols) {
    for (size_t i = 0; i < u->etas; i++) {
        symbols[u->eta_symbols[i]] = u->etas_of[point * u->etas + i];
    }
}

/* ------------------------------------------------------------------ bounds */

typedef struct bounder {
    ddt_context *ctx;
    const ddt_model *model;
    const update_system *system;
    ddt_update *u;
    double *symbols, *block;
    double a[DDT_UPDATE_STATES_MAX * DDT_UPDATE_STATES_MAX];
    double area[DDT_UPDATE_STATES_MAX];
    double bound[DDT_UPDATE_STATES_MAX];
} bounder;

/* area_i = the integral of amount i after 1 into compartment d (or, SIZE_MAX, the steady state of constant inputs). */
static ddt_status find_area(bounder *b, const update_numbers *numbers, size_t d) {
    const size_t n = b->system->n;
    for (size_t i = 0; i < n * n; i++) {
        b->a[i] = numbers->a[i];
        if (!isfinite(numbers->a[i])) {
            return ddt_fail(b->ctx, DDT_ERR_UNSUPPORTED,
                            "'%s': a rate is not finite within the declared ranges; narrow them.", b->model->path);
        }
    }
    for (size_t i = 0; i < n; i++) {
        b->area[i] = d == SIZE_MAX ? -numbers->c[i] : -(double)(i == d);
    }
    return solve_eliminate(b->a, b->area, n) ? DDT_OK
                                             : ddt_fail(b->ctx, DDT_ERR_UNSUPPORTED,
                                                        "'%s': drug never leaves a compartment; a twin that is updated "
                                                        "needs every amount to be bounded.",
                                                        b->model->path);
}

/*
 * Doses of at most D that come to at most R a unit of time: the steady state of R, plus one dose. Of a dose of 1 into d
 * compartment i never holds more than has flowed into it, |A_ii| area_i.
 */
static ddt_status find_bounds(bounder *b, const update_numbers *numbers) {
    const size_t n = b->system->n;
    SOLVE_TRY(find_area(b, numbers, SIZE_MAX));
    for (size_t i = 0; i < n; i++) {
        b->bound[i] = fabs(b->area[i]);
    }
    for (size_t d = 0; d < n; d++) {
        if (!(b->u->dose_max[d] > 0.0)) {
            continue;
        }
        SOLVE_TRY(find_area(b, numbers, d));
        double f = fabs(numbers->f[d]);
        for (size_t i = 0; i < n; i++) {
            double peak = i == d ? 1.0 : fabs(numbers->a[i * n + i] * b->area[i]);
            b->bound[i] += f * (b->u->dose_max[d] * peak + b->u->dose_rate_max[d] * fabs(b->area[i]));
        }
    }
    return DDT_OK;
}

static void widen(bounder *b, const update_numbers *numbers, size_t point) {
    const double margin = 1.5; /* of predictions: amounts were built up under other covariates */
    const size_t n = b->system->n;
    ddt_update *u = b->u;
    for (size_t i = 0; i < n; i++) {
        u->scale[i * u->points + point] = fmax(u->scale[i * u->points + point], b->bound[i]);
    }
    for (size_t o = 0; o < u->outputs; o++) {
        double most = fabs(numbers->offset[o]);
        for (size_t i = 0; i < n; i++) {
            most += fabs(numbers->gain[o * n + i]) * b->bound[i];
        }
        u->reach[o * u->points + point] = fmax(u->reach[o * u->points + point], margin * most);
    }
}

/* Corner `index` of the box of covariates. */
static void set_corner(bounder *b, uint64_t index) {
    for (size_t r = 0; r < b->u->range_count; r++) {
        int64_t symbol = ddt_model_find_symbol(b->model, b->u->ranges[r].name);
        if (symbol >= 0) {
            b->symbols[symbol] = (index >> r) & 1 ? b->u->ranges[r].high : b->u->ranges[r].low;
        }
    }
}

static ddt_status bound_corner(bounder *b, size_t point, uint64_t corner) {
    update_numbers numbers;
    set_corner(b, corner);
    update_system_numbers(b->system, b->symbols, b->block, &numbers);
    SOLVE_TRY(find_bounds(b, &numbers));
    widen(b, &numbers, point);
    return DDT_OK;
}

static ddt_status bound_points(bounder *b) {
    enum { CORNER_BITS_MAX = 6 };
    ddt_update *u = b->u;
    size_t corners = (size_t)1 << (u->range_count < CORNER_BITS_MAX ? u->range_count : CORNER_BITS_MAX);
    ddt_status status = DDT_OK;
    for (size_t i = 0; i < b->model->symbol_count; i++) {
        const ddt_symbol *symbol = &b->model->symbols[i];
        b->symbols[i] = symbol->kind == DDT_SYMBOL_THETA ? symbol->value : 0.0;
    }
    for (size_t j = 0; j < u->points; j++) {
        update_set_etas(u, j, b->symbols);
        for (size_t c = 0; c < corners && status == DDT_OK; c++) {
            /* of more than six covariates the others follow them in turn */
            status = bound_corner(b, j, c | c << CORNER_BITS_MAX | c << (2 * CORNER_BITS_MAX));
        }
    }
    return status;
}

ddt_status update_reaches(ddt_context *ctx, const ddt_model *model, const update_system *system, ddt_update *u) {
    bounder b = {.ctx = ctx, .model = model, .system = system, .u = u};
    u->scale = ddt_calloc(u->states * u->points, sizeof *u->scale);
    u->reach = ddt_calloc(u->outputs * u->points, sizeof *u->reach);
    b.symbols = ddt_calloc(model->symbol_count, sizeof *b.symbols);
    b.block = ddt_calloc(system->values, sizeof *b.block);
    if (u->scale == NULL || u->reach == NULL || b.symbols == NULL || b.block == NULL) {
        ddt_free(b.symbols);
        ddt_free(b.block);
        return solve_no_memory(ctx);
    }
    ddt_status status = bound_points(&b);
    ddt_free(b.symbols);
    ddt_free(b.block);
    if (status != DDT_OK) {
        return status;
    }
    /* What no dose reaches is 0: any scale will do. */
    for (size_t i = 0; i < u->states * u->points; i++) {
        u->scale[i] = u->scale[i] > 0.0 ? u->scale[i] : 1.0;
    }
    for (size_t i = 0; i < u->outputs * u->points; i++) {
        u->reach[i] = u->reach[i] > 0.0 ? u->reach[i] : 1.0;
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ the transform */

static double chebyshev(const double *coefficients, unsigned degree, double t) {
    double b1 = 0.0;
    double b2 = 0.0;
    for (unsigned k = degree; k > 0; k--) {
        double b0 = 2.0 * t * b1 - b2 + coefficients[k];
        b2 = b1;
        b1 = b0;
    }
    return t * b1 - b2 + coefficients[0];
}

double update_transform(const ddt_update *u, double part) {
    return chebyshev(u->transform, u->degree, 2.0 * part - 1.0);
}

/* Chebyshev interpolant of log(1 + steepness part) / log(1 + steepness). */
static void interpolate(ddt_update *u, double steepness) {
    const double pi = 3.14159265358979323846;
    const unsigned count = u->degree + 1;
    for (unsigned k = 0; k < count; k++) {
        double sum = 0.0;
        for (unsigned i = 0; i < count; i++) {
            double angle = pi * (i + 0.5) / count;
            sum += log1p(steepness * 0.5 * (cos(angle) + 1.0)) * cos(k * angle);
        }
        u->transform[k] = (k == 0 ? 1.0 : 2.0) * sum / count / log1p(steepness);
    }
}

/* Whether the polynomial grows like the function everywhere: it is the transform then, not an approximation of it. */
static bool is_monotone(const ddt_update *u, double steepness) {
    enum { POINTS = 1000 };
    const double least = 0.5;
    for (int i = 0; i < POINTS; i++) {
        double low = (double)i / POINTS;
        double high = (double)(i + 1) / POINTS;
        double rise = (log1p(steepness * high) - log1p(steepness * low)) / log1p(steepness);
        if (!(update_transform(u, high) - update_transform(u, low) > least * rise)) {
            return false;
        }
    }
    return true;
}

void update_transform_create(ddt_update *u) {
    const double steepest = 400.0;
    const double smaller = 0.9;
    u->degree = UPDATE_DEGREE;
    double steepness = steepest;
    interpolate(u, steepness);
    while (!is_monotone(u, steepness)) {
        steepness *= smaller;
        interpolate(u, steepness);
    }
}
