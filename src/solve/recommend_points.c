/*
 * The points over which expectations run, and the rates that patients have.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_internal.h"

#include <string.h>

/* ------------------------------------------------------------------ normal points */

static double radical_inverse(size_t index, unsigned base) {
    double value = 0.0;
    double digit = 1.0 / base;
    for (; index > 0; index /= base, digit /= base) {
        value += digit * (double)(index % base);
    }
    return value;
}

/* The standard normal's quantile by bisection: only a table is made with it. */
static double normal_quantile(double p) {
    enum { STEPS = 60 };
    double low = -8.0;
    double high = 8.0;
    for (int k = 0; k < STEPS; k++) {
        double mid = 0.5 * (low + high);
        *(0.5 * erfc(-mid / sqrt(2.0)) < p ? &low : &high) = mid;
    }
    return 0.5 * (low + high);
}

/*
 * The first and the last point are the centre; the others come in pairs z, -z (every odd moment is right), from a
 * Halton sequence (Halton 1960), each coordinate scaled to variance 1. All weigh the same: a mean costs no level.
 */
void recommend_standard_points(size_t count, size_t dimensions, double *z) {
    static const unsigned primes[RECOMMEND_ETAS_MAX] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53};
    size_t pairs = (count - 1) / 2;
    memset(z, 0, count * dimensions * sizeof *z);
    for (size_t d = 0; d < dimensions && pairs > 0; d++) {
        double square = 0.0;
        for (size_t p = 0; p < pairs; p++) {
            /* Half-way into the sequence's cells, so that no point is 0. */
            double u = radical_inverse(p + 1, primes[d]) + 0.5 / (double)(pairs * primes[d]);
            double value = normal_quantile(u - floor(u));
            z[(1 + 2 * p) * dimensions + d] = value;
            square += 2.0 * value * value;
        }
        double scale = sqrt((double)count / square);
        for (size_t p = 0; p < pairs; p++) {
            z[(1 + 2 * p) * dimensions + d] *= scale;
            z[(2 + 2 * p) * dimensions + d] = -z[(1 + 2 * p) * dimensions + d];
        }
    }
}

ddt_status recommend_covariance_root(ddt_context *ctx, const ddt_model *model, const size_t *index, size_t n,
                                     double *root) {
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = model->omega[index[i] * model->eta_count + index[j]];
            for (size_t k = 0; k < j; k++) {
                sum -= root[i * n + k] * root[j * n + k];
            }
            if (i == j && !(sum > 0.0)) {
                return ddt_fail(ctx, DDT_ERR_MODEL, "'%s': omega is not a covariance matrix.", model->path);
            }
            root[i * n + j] = i == j ? sqrt(sum) : sum / root[j * n + j];
        }
    }
    return DDT_OK;
}

/* The points that each patient's own posterior is seen through. */
static ddt_status posterior_create(recommend_work *r) {
    solve_posterior *p = r->work.solution->layout.posterior;
    size_t n = p->eta_count;
    p->points = r->points;
    p->point_slots = r->row_slots * r->columns;
    p->z = ddt_calloc(p->points * n, sizeof *p->z);
    if (p->z == NULL) {
        return solve_no_memory(r->work.ctx);
    }
    recommend_standard_points(p->points, n, p->z);
    r->prior_root = solve_alloc(&r->work, n * n, sizeof *r->prior_root);
    r->scratch_symbols = solve_alloc(&r->work, r->work.symbol_count, sizeof *r->scratch_symbols);
    return r->prior_root == NULL || r->scratch_symbols == NULL
               ? DDT_ERR_MEMORY
               : recommend_covariance_root(r->work.ctx, r->work.model, r->free_index, n, r->prior_root);
}

ddt_status recommend_points_create(recommend_work *r) {
    if (r->has_posterior) {
        return posterior_create(r);
    }
    size_t n = r->free_count;
    double *root = solve_alloc(&r->work, n * n, sizeof *root);
    double *z = solve_alloc(&r->work, r->points * n, sizeof *z);
    r->point_eta = solve_alloc(&r->work, r->points * n, sizeof *r->point_eta);
    if (root == NULL || z == NULL || r->point_eta == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(recommend_covariance_root(r->work.ctx, r->work.model, r->free_index, n, root));
    recommend_standard_points(r->points, n, z);
    for (size_t p = 0; p < r->points; p++) {
        for (size_t i = 0; i < n; i++) {
            for (size_t k = 0; k <= i; k++) {
                r->point_eta[p * n + i] += root[i * n + k] * z[p * n + k];
            }
        }
    }
    for (size_t i = 0; i < n; i++) { /* their range is that of the points */
        solve_symbol *symbol = &r->work.symbols[r->free_symbol[i]];
        symbol->low = -symbol->sd;
        symbol->high = symbol->sd;
        for (size_t p = 0; p < r->points; p++) {
            symbol->low = fmin(symbol->low, r->point_eta[p * n + i]);
            symbol->high = fmax(symbol->high, r->point_eta[p * n + i]);
        }
    }
    return DDT_OK;
}

/* How much of the prior's spread is left behind a virtual patient's estimate: as levels may tell much or little. */
static double spread_of(size_t patient) {
    const double least = 0.25;
    const double most = 0.95;
    const double golden = 0.6180339887;
    double x = golden * (double)patient;
    return least + (most - least) * (x - floor(x));
}

void recommend_load(recommend_work *r, size_t patient, double *symbols) {
    const solve_work *work = &r->work;
    memcpy(symbols, work->samples + patient * r->patient_stride * work->symbol_count,
           work->symbol_count * sizeof *symbols);
    if (r->has_posterior) {
        r->spread = spread_of(patient);
        for (size_t i = 0; i < work->solution->layout.posterior->eta_count; i++) {
            r->base[i] = symbols[r->posterior_symbol[i]];
        }
    }
}

static void set_posterior_point(const recommend_work *r, size_t point, double *symbols) {
    const solve_posterior *p = r->work.solution->layout.posterior;
    size_t n = p->eta_count;
    double factor[RECOMMEND_POSTERIOR_MAX * RECOMMEND_POSTERIOR_MAX] = {0};
    double low[RECOMMEND_POSTERIOR_MAX] = {0};
    double high[RECOMMEND_POSTERIOR_MAX] = {0};
    double etas[RECOMMEND_POSTERIOR_MAX];
    for (size_t i = 0; i < n; i++) {
        low[i] = r->work.symbols[r->posterior_symbol[i]].low;
        high[i] = r->work.symbols[r->posterior_symbol[i]].high;
        for (size_t k = 0; k < n; k++) {
            factor[i * n + k] = r->spread * r->prior_root[i * n + k];
        }
    }
    solve_posterior_point(p, point, r->base, factor, low, high, etas);
    for (size_t i = 0; i < n; i++) {
        symbols[r->posterior_symbol[i]] = etas[i];
    }
}

void recommend_set_point(const recommend_work *r, size_t point, double *symbols) {
    if (r->has_posterior) {
        set_posterior_point(r, point, symbols);
    }
    for (size_t i = 0; i < r->free_count; i++) {
        symbols[r->free_symbol[i]] = r->point_eta[point * r->free_count + i];
    }
}

/* Corners of all ranges at once are behind the draws and the corners of each range. */
static size_t joint_corners_at(const solve_work *work) {
    size_t encrypted = 0;
    for (size_t i = 0; i < work->symbol_count; i++) {
        encrypted += work->symbols[i].is_encrypted;
    }
    return work->draw_count + 2 * encrypted;
}

/* The samples, with a milder copy of each joint corner before them: all etas at once lie nearer to 0. */
static ddt_status add_mild_corners(recommend_work *r) {
    const double mild = 0.4;
    solve_work *work = &r->work;
    size_t width = work->symbol_count;
    size_t first = joint_corners_at(work);
    size_t joint = work->sample_count - first;
    double *all = solve_alloc(work, (work->sample_count + joint) * width, sizeof *all);
    if (all == NULL) {
        return DDT_ERR_MEMORY;
    }
    memcpy(all, work->samples, first * width * sizeof *all);
    memcpy(all + first * width, work->samples + first * width, joint * width * sizeof *all);
    memcpy(all + (first + joint) * width, work->samples + first * width, joint * width * sizeof *all);
    for (size_t s = first; s < first + joint; s++) {
        for (size_t i = 0; i < work->model->eta_count; i++) {
            all[s * width + work->model->etas[i]] *= mild;
        }
    }
    r->likely_count = first + joint;
    r->patient_count = first + 2 * joint;
    work->samples = all;
    return DDT_OK;
}

/* The estimates of draws: what levels tell of the etas. */
static void shrink_estimates(recommend_work *r, size_t patient, double *symbols) {
    r->spread = spread_of(patient);
    for (size_t i = 0; r->has_posterior && i < r->work.solution->layout.posterior->eta_count; i++) {
        double told = patient < r->work.options.draws ? sqrt(1.0 - r->spread * r->spread) : 1.0;
        symbols[r->posterior_symbol[i]] *= told;
        r->base[i] = symbols[r->posterior_symbol[i]];
    }
}

/*
 * Virtual patients differ in what is encrypted; each of them comes with several of the points for its free etas. The
 * first of each has the centre.
 */
ddt_status recommend_samples_create(recommend_work *r) {
    enum { COPIES = 8 };
    const size_t stride = 7; /* prime to the number of points */
    solve_work *work = &r->work;
    for (size_t i = 0; i < r->free_count; i++) {
        work->symbols[r->free_symbol[i]].is_encrypted = false;
    }
    SOLVE_TRY(solve_samples_create(work));
    SOLVE_TRY(add_mild_corners(r));
    for (size_t i = 0; i < r->free_count; i++) {
        work->symbols[r->free_symbol[i]].is_encrypted = true;
    }
    size_t width = work->symbol_count;
    const double *patients = work->samples;
    r->patient_stride = r->points > 1 ? COPIES : 1;
    work->sample_count = r->patient_count * r->patient_stride;
    work->draw_count = work->sample_count;
    work->samples = solve_alloc(work, work->sample_count * width, sizeof *work->samples);
    if (work->samples == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t s = 0; s < work->sample_count; s++) {
        size_t copy = s % r->patient_stride;
        memcpy(work->samples + s * width, patients + s / r->patient_stride * width, width * sizeof *patients);
        shrink_estimates(r, s / r->patient_stride, work->samples + s * width);
        recommend_set_point(r, copy == 0 ? 0 : s * stride % r->points, work->samples + s * width);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ rates */

static void multiply(const double *a, size_t n, const double *x, double *y) {
    for (size_t i = 0; i < n; i++) {
        y[i] = 0.0;
        for (size_t j = 0; j < n; j++) {
            y[i] += a[i * n + j] * x[j];
        }
    }
}

/* Largest magnitude of an eigenvalue, by the growth of a vector under many products. */
static double spectral_radius(const double *a, size_t n, double *x) {
    enum { SETTLE = 24, MEASURE = 8 };
    double *y = x + n;
    double growth = 0.0;
    for (size_t i = 0; i < n; i++) {
        x[i] = 1.0 + 0.37 * (double)i; /* no symmetry that an eigenvector could have */
    }
    for (int k = 0; k < SETTLE + MEASURE; k++) {
        double size = 0.0;
        multiply(a, n, x, y);
        for (size_t i = 0; i < n; i++) {
            size = fmax(size, fabs(y[i]));
        }
        for (size_t i = 0; i < n && size > 0.0; i++) {
            x[i] = y[i] / size;
        }
        growth += k >= SETTLE ? log(fmax(size, 1e-300)) / MEASURE : 0.0;
    }
    return exp(growth);
}

/*
 * Range of the rates of the likely patients; with a margin for what iterations leave out. Corners of all ranges at once
 * may lie outside: sums of exponentials are tame there. So may points around estimates where results are released and
 * each level is dear: the range of estimates serves them but for extremes.
 */
ddt_status recommend_rates(recommend_work *r) {
    const double margin = 1.1;
    const double lasting_h = 1e9; /* over a lifetime: nothing is eliminated */
    solve_work *work = &r->work;
    size_t n = work->linear.n;
    double *scratch = solve_alloc(work, 4 * n * n + 2 * n, sizeof *scratch);
    double *symbols = solve_alloc(work, work->symbol_count, sizeof *symbols);
    solve_numbers numbers;
    if (scratch == NULL || symbols == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(solve_numbers_create(work, &numbers));
    r->rate_low = INFINITY;
    r->rate_high = 0.0;
    for (size_t s = 0; s < r->likely_count * r->points; s++) {
        recommend_load(r, s / r->points, symbols);
        const bool is_centre_enough = r->options->metrics_only && r->has_posterior;
        recommend_set_point(r, is_centre_enough ? 0 : s % r->points, symbols);
        solve_numbers_of(work, symbols, &numbers);
        SOLVE_TRY(solve_numbers_check(work, &numbers));
        double high = spectral_radius(numbers.a, n, scratch);
        /* exp(A t) decays with the smallest rate: its own largest eigenvalue tells it, at a time at which it matters.
         */
        double t = 1.0 / high;
        double largest = 1.0;
        double *e = scratch + 2 * n;
        for (int k = 0; k < 60 && largest > 0.5; k++, t *= 2.0) {
            solve_expm(numbers.a, n, t, e + n * n, e);
            largest = spectral_radius(e, n, scratch);
        }
        t *= 0.5;
        r->rate_high = fmax(r->rate_high, high);
        r->rate_low = fmin(r->rate_low, -log(largest) / t);
    }
    if (!(r->rate_low > 1.0 / lasting_h)) {
        return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                        "'%s': a part of the dose is never eliminated, so that no regimen has a steady state.",
                        work->model->path);
    }
    r->rate_low /= margin;
    r->rate_high *= margin;
    return DDT_OK;
}
