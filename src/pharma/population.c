/* Virtual patients. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/pharma/reference.h"

#include <math.h>
#include <string.h>

/* Standard deviations at which etas are clipped: 0.27 % of draws, and the ranges stay what approximations can cover. */
static const double clip_sd = 3.0;

/* ------------------------------------------------------------------ generator */

typedef struct generator {
    uint64_t state;
    bool has_spare;
    double spare;
} generator;

/* SplitMix64: Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014. */
static uint64_t next_u64(generator *g) {
    g->state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = g->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* In [0, 1), 53 bits. */
static double next_uniform(generator *g) { return (double)(next_u64(g) >> 11) * 0x1p-53; }

/* Marsaglia and Bray, A convenient method for generating normal variables, SIAM Review 1964. */
static double next_normal(generator *g) {
    if (g->has_spare) {
        g->has_spare = false;
        return g->spare;
    }
    double u = 0.0;
    double v = 0.0;
    double square = 0.0;
    do {
        u = 2.0 * next_uniform(g) - 1.0;
        v = 2.0 * next_uniform(g) - 1.0;
        square = u * u + v * v;
    } while (square >= 1.0 || square == 0.0);
    double factor = sqrt(-2.0 * log(square) / square);
    g->spare = v * factor;
    g->has_spare = true;
    return u * factor;
}

/* Streams of neighbouring indices start far apart: the index goes through the mixing function first. */
static generator generator_of(uint64_t index) {
    generator g = {.state = index};
    g.state = next_u64(&g);
    return g;
}

/* ------------------------------------------------------------------ draws */

static ddt_status draw_covariate(ddt_context *ctx, const ddt_model *model, uint32_t symbol, uint64_t index,
                                 generator *g, double *value) {
    const ddt_population_range range = ddt_population_range_of(model, symbol);
    if (!isfinite(range.low) || !isfinite(range.high) || range.low > range.high) {
        return ddt_fail(ctx, DDT_ERR_MODEL, "The range of the covariate %s, %.15g to %.15g, is not a range.",
                        model->symbols[symbol].name, range.low, range.high);
    }
    double fraction = index == 0 ? 0.5 : next_uniform(g);
    *value = range.low + fraction * (range.high - range.low);
    return DDT_OK;
}

/* L with L L' = omega, in place of a copy of omega; a variance of 0 is allowed (its row is 0). */
static ddt_status factorise(ddt_context *ctx, const ddt_model *model, double *l) {
    size_t n = model->eta_count;
    const double rounding = 1e-12;
    memcpy(l, model->omega, n * n * sizeof *l);
    for (size_t j = 0; j < n; j++) {
        double variance = l[j * n + j];
        double left = variance;
        for (size_t k = 0; k < j; k++) {
            left -= l[j * n + k] * l[j * n + k];
        }
        if (!(variance >= 0.0) || !(left >= -rounding * variance)) {
            return ddt_fail(ctx, DDT_ERR_MODEL, "The covariance matrix of the etas of %s is not one: see %s.",
                            model->name, model->symbols[model->etas[j]].name);
        }
        double root = left > rounding * variance ? sqrt(left) : 0.0;
        l[j * n + j] = root;
        for (size_t i = j + 1; i < n; i++) {
            double sum = l[i * n + j];
            for (size_t k = 0; k < j; k++) {
                sum -= l[i * n + k] * l[j * n + k];
            }
            l[i * n + j] = root > 0.0 ? sum / root : 0.0;
        }
    }
    return DDT_OK;
}

static ddt_status draw_etas(ddt_context *ctx, const ddt_model *model, generator *g, double *symbols) {
    size_t n = model->eta_count;
    size_t entries = 0;
    double *l = ddt_size_mul(n, n, &entries) ? ddt_alloc(entries, sizeof *l) : NULL;
    double *z = ddt_alloc(n, sizeof *z);
    ddt_status status = DDT_OK;
    if (l == NULL || z == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a virtual patient of %s.", model->name);
    } else {
        status = factorise(ctx, model, l);
    }
    for (size_t i = 0; status == DDT_OK && i < n; i++) {
        z[i] = next_normal(g);
        double eta = 0.0;
        for (size_t k = 0; k <= i; k++) {
            eta += l[i * n + k] * z[k];
        }
        double limit = clip_sd * sqrt(model->omega[i * n + i]);
        symbols[model->etas[i]] = fmax(-limit, fmin(limit, eta));
    }
    ddt_free(l);
    ddt_free(z);
    return status;
}

ddt_status ddt_population_draw(ddt_context *ctx, const ddt_model *model, uint64_t index, double *symbols) {
    generator g = generator_of(index);
    ddt_status status = DDT_OK;
    for (size_t i = 0; i < model->symbol_count && status == DDT_OK; i++) {
        const ddt_symbol *symbol = &model->symbols[i];
        symbols[i] = symbol->kind == DDT_SYMBOL_THETA ? symbol->value : 0.0;
        if (symbol->kind == DDT_SYMBOL_COVARIATE) {
            status = draw_covariate(ctx, model, (uint32_t)i, index, &g, &symbols[i]);
        }
    }
    if (status == DDT_OK && index > 0 && model->eta_count > 0) {
        status = draw_etas(ctx, model, &g, symbols);
    }
    if (status != DDT_OK) {
        memset(symbols, 0, model->symbol_count * sizeof *symbols);
    }
    return status;
}

ddt_status ddt_population_patient(ddt_context *ctx, const ddt_model *model, uint64_t index, double *symbols) {
    ddt_status status = ddt_population_draw(ctx, model, index, symbols);
    for (uint32_t i = 0; status == DDT_OK && i < model->symbol_count; i++) {
        if (model->symbols[i].kind != DDT_SYMBOL_COVARIATE) {
            continue;
        }
        const ddt_population_range range = ddt_population_range_of(model, i);
        const double first = ceil(range.low);
        const double choices = floor(range.high) - first + 1.0;
        if (range.is_discrete && choices >= 1.0) {
            const double part = (symbols[i] - range.low) / (range.high - range.low); /* NAN where there is one choice */
            symbols[i] = first + (choices > 1.0 ? fmin(floor(part * choices), choices - 1.0) : 0.0);
        }
    }
    return status;
}
