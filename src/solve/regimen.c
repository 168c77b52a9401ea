/*
 * What a metric asks of a regimen, as a function of one rate, and that function as a short sum of exponentials.
 *
 * A linear system's response to doses at public times is C F(-A) B with F(rate) the same response of one compartment
 * with that rate: sums over doses, means over infusions, areas and steady states are all in F. On the rates that occur
 * F is a sum of few exponentials exp(-rate t_i) with public times and weights, so that the metric is a weighted sum of
 * responses to a bolus at t_i, C exp(A t_i) B: no integral, no matrix of an infusion and no inverse is computed on
 * encrypted numbers, and an infinite steady state costs as many slots as a few doses.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_internal.h"

#include <string.h>

static const double same_time_h = 1e-9;

/* ------------------------------------------------------------------ one dose */

/* (1 - exp(-x)) / x */
static double mean_decay(double x) { return x < 1e-8 ? 1.0 - 0.5 * x : -expm1(-x) / x; }

/* (1 - mean_decay(x)) / x */
static double mean_growth(double x) {
    const double series_below = 1e-3;
    return x < series_below ? 0.5 - x / 6.0 + x * x / 24.0 : (1.0 - mean_decay(x)) / x;
}

/* Concentration t after a unit dose. */
static double after_dose(const regimen_functional *f, double rate, double t) {
    double u = t - f->lag_h;
    if (u < -same_time_h) {
        return 0.0;
    }
    u = fmax(u, 0.0);
    if (f->infusion_h <= 0.0) {
        return exp(-rate * u);
    }
    double during = fmin(u, f->infusion_h);
    return during / f->infusion_h * mean_decay(rate * during) * exp(-rate * (u - during));
}

/* Area from a unit dose until t after it. */
static double area_after_dose(const regimen_functional *f, double rate, double t) {
    double u = t - f->lag_h;
    if (u <= 0.0) {
        return 0.0;
    }
    if (f->infusion_h <= 0.0) {
        return u * mean_decay(rate * u);
    }
    double during = fmin(u, f->infusion_h);
    double rest = u - during;
    /* int_0^d s/T mean_decay(rate s) ds = d^2 / T mean_growth(rate d) */
    double area = during * during / f->infusion_h * mean_growth(rate * during);
    return area + rest * mean_decay(rate * rest) * during / f->infusion_h * mean_decay(rate * during);
}

/* ------------------------------------------------------------------ courses of doses */

static double loading_of(const regimen_functional *f, size_t dose) { return dose == 0 ? f->loading : 1.0; }

/* Concentration t after the regimen's start; a dose at that very time is not given yet. */
static double course(const regimen_functional *f, double rate, double t) {
    double sum = 0.0;
    for (size_t k = 0; (double)k * f->interval_h < t - same_time_h; k++) {
        sum += loading_of(f, k) * after_dose(f, rate, t - (double)k * f->interval_h);
    }
    return sum;
}

/* Between two times after a unit dose. */
static double area_between(const regimen_functional *f, double rate, double from, double to) {
    if (from < f->lag_h + f->infusion_h) {
        return area_after_dose(f, rate, to) - area_after_dose(f, rate, from);
    }
    return after_dose(f, rate, from) * (to - from) * mean_decay(rate * (to - from)); /* no cancellation */
}

static double area_of_course(const regimen_functional *f, double rate, double from, double to) {
    double sum = 0.0;
    for (size_t k = 0; (double)k * f->interval_h < to - same_time_h; k++) {
        double start = (double)k * f->interval_h;
        sum += loading_of(f, k) * area_between(f, rate, fmax(0.0, from - start), to - start);
    }
    return sum;
}

/* Concentration t after a dose at steady state, t in (0, interval]. */
static double steady(const regimen_functional *f, double rate, double t) {
    double late = f->lag_h + f->infusion_h; /* from then on a dose only decays */
    double sum = 0.0;
    while (t < late - same_time_h) {
        sum += after_dose(f, rate, t);
        t += f->interval_h;
    }
    return sum + after_dose(f, rate, t) / -expm1(-rate * f->interval_h);
}

static double steady_value(const regimen_functional *f, double rate) {
    switch (f->kind) {
    case DDT_METRIC_AUC24:
        return f->day / (f->interval_h * rate);
    case DDT_METRIC_AVERAGE:
        return 1.0 / (f->interval_h * rate);
    case DDT_METRIC_PEAK:
        return steady(f, rate, f->lag_h + f->infusion_h);
    case DDT_METRIC_TIME_ABOVE:
        return steady(f, rate, f->time_h);
    default:
        return steady(f, rate, f->interval_h);
    }
}

static double value_at_time(const regimen_functional *f, double rate) {
    double begin = f->at_h - f->interval_h;
    switch (f->kind) {
    case DDT_METRIC_AUC24:
        return area_of_course(f, rate, f->at_h - f->day, f->at_h);
    case DDT_METRIC_AUC_WINDOW:
        return area_of_course(f, rate, f->from_h, f->to_h);
    case DDT_METRIC_AVERAGE:
        return area_of_course(f, rate, begin, f->at_h) / f->interval_h;
    case DDT_METRIC_PEAK:
        return course(f, rate, begin + f->lag_h + f->infusion_h + 2.0 * same_time_h);
    case DDT_METRIC_TIME_ABOVE:
        return course(f, rate, begin + f->time_h);
    default:
        return course(f, rate, f->at_h);
    }
}

/* The same dose, given that much earlier. */
regimen_functional regimen_earlier(const regimen_functional *f, double by_h) {
    regimen_functional earlier = *f;
    earlier.at_h += by_h;
    earlier.from_h += by_h;
    earlier.to_h += by_h;
    earlier.repeat_h = 0.0;
    return earlier;
}

double regimen_of_rate(const regimen_functional *f, double rate) {
    if (f->is_steady) {
        return steady_value(f, rate);
    }
    double value = value_at_time(f, rate);
    if (f->repeat_h > 0.0) { /* doses of a steady state have only decayed since the next one */
        regimen_functional before = regimen_earlier(f, f->repeat_h);
        value += value_at_time(&before, rate) / -expm1(-rate * f->repeat_h);
    }
    return value;
}

/* ------------------------------------------------------------------ sums of exponentials */

enum { RATES = 160 };

/* Least squares of rows of a (m x n, row-major) against b by Householder reflections; b holds the solution. */
static void least_squares(double *a, double *b, size_t m, size_t n) {
    for (size_t k = 0; k < n; k++) {
        double norm = 0.0;
        for (size_t i = k; i < m; i++) {
            norm = hypot(norm, a[i * n + k]);
        }
        if (norm == 0.0) {
            continue;
        }
        double alpha = a[k * n + k] > 0.0 ? -norm : norm;
        double v0 = a[k * n + k] - alpha;
        double scale = -1.0 / (alpha * v0); /* 2 / |v|^2 */
        for (size_t j = k + 1; j <= n; j++) {
            double dot = v0 * (j < n ? a[k * n + j] : b[k]);
            for (size_t i = k + 1; i < m; i++) {
                dot += a[i * n + k] * (j < n ? a[i * n + j] : b[i]);
            }
            dot *= scale;
            for (size_t i = k; i < m; i++) {
                double v = i == k ? v0 : a[i * n + k];
                *(j < n ? &a[i * n + j] : &b[i]) -= dot * v;
            }
        }
        a[k * n + k] = alpha;
    }
    for (size_t k = n; k-- > 0;) {
        for (size_t j = k + 1; j < n; j++) {
            b[k] -= a[k * n + j] * b[j];
        }
        b[k] = a[k * n + k] == 0.0 ? 0.0 : b[k] / a[k * n + k];
    }
}

/* What one fit works with: rates from low to high, geometrically, and F there. */
typedef struct fit_set {
    double rate[RATES], value[RATES]; /* value: what errors are relative to */
    double wanted[RATES];             /* what the sum is to be */
    double matrix[(RATES + RECOMMEND_ROWS_MAX) * RECOMMEND_ROWS_MAX], right[RATES + RECOMMEND_ROWS_MAX];
} fit_set;

static double sum_error(const fit_set *set, const regimen_sum *sum) {
    double worst = 0.0;
    for (size_t r = 0; r < RATES; r++) {
        double found = 0.0;
        for (size_t i = 0; i < sum->count; i++) {
            found += sum->weight[i] * exp(-set->rate[r] * sum->time_h[i]);
        }
        double error = fabs(found - set->wanted[r]) / set->value[r];
        worst = error <= worst ? worst : error;
    }
    return worst;
}

/* Weights for given times: least relative squares, with a little of the weights' own size against cancellation. */
static void fit_weights(fit_set *set, regimen_sum *sum) {
    const double damping = 1e-6;
    size_t n = sum->count;
    for (size_t r = 0; r < RATES; r++) {
        for (size_t i = 0; i < n; i++) {
            set->matrix[r * n + i] = exp(-set->rate[r] * sum->time_h[i]) / set->value[r];
        }
        set->right[r] = set->wanted[r] / set->value[r];
    }
    for (size_t i = 0; i < n; i++) {
        double size = 0.0; /* the largest part that a unit of this weight has anywhere */
        for (size_t r = 0; r < RATES; r++) {
            size = fmax(size, set->matrix[r * n + i]);
        }
        memset(set->matrix + (RATES + i) * n, 0, n * sizeof *set->matrix);
        set->matrix[(RATES + i) * n + i] = damping * size * sqrt((double)RATES);
        set->right[RATES + i] = 0.0;
    }
    least_squares(set->matrix, set->right, RATES + n, n);
    memcpy(sum->weight, set->right, n * sizeof *sum->weight);
    sum->error = sum_error(set, sum);
}

/* Age at a time of the last dose of a course before `until`. */
static double youngest(const regimen_functional *f, double at, double until) {
    double doses = fmax(1.0, ceil((until - same_time_h) / f->interval_h));
    return at - (doses - 1.0) * f->interval_h;
}

/* Before this time nothing is felt: F decays as exp(-rate offset) for large rates. */
static double offset_of(const regimen_functional *f) {
    double late = f->lag_h + f->infusion_h;
    switch (f->kind) {
    case DDT_METRIC_TROUGH:
        return fmax(0.0, (f->is_steady ? f->interval_h : youngest(f, f->at_h, f->at_h)) - late);
    case DDT_METRIC_TIME_ABOVE: {
        double t = f->time_h < f->lag_h - same_time_h ? f->time_h + f->interval_h : f->time_h;
        return fmax(0.0, t - late);
    }
    case DDT_METRIC_AUC24:
        return f->is_steady ? 0.0 : fmax(0.0, youngest(f, f->at_h - f->day, f->at_h) - late);
    case DDT_METRIC_AUC_WINDOW:
        return fmax(0.0, youngest(f, f->from_h, f->to_h) - late);
    default:
        return 0.0;
    }
}

/* Times from first to last, geometrically, behind the offset. */
static void set_times(regimen_sum *sum, double offset, double first, double last) {
    sum->time_h[0] = offset;
    for (size_t i = 1; i < sum->count; i++) {
        sum->time_h[i] = offset + first * pow(last / first, (double)(i - 1) / (double)(sum->count - 2));
    }
}

/* Short times are cheap (the exponential's depth): the first last time that is good enough is taken. */
static void search_times(fit_set *set, double offset, size_t count, double tolerance, regimen_sum *out) {
    enum { FIRSTS = 10, LASTS = 16 };
    const double first_factor = 0.05; /* times 1 / the highest rate */
    const double first_ratio = 1.6;
    const double last_factor = 0.3; /* times 1 / the lowest rate */
    const double last_ratio = 1.45;
    *out = (regimen_sum){.error = INFINITY};
    for (int b = 0; b < LASTS && !(out->error <= tolerance); b++) {
        double last = last_factor / set->rate[0] * pow(last_ratio, b);
        for (int a = 0; a < FIRSTS; a++) {
            regimen_sum trial = {.count = count};
            double first = first_factor / set->rate[RATES - 1] * pow(first_ratio, a);
            if (last > first) {
                set_times(&trial, offset, first, last);
                fit_weights(set, &trial);
                *out = trial.error < out->error ? trial : *out;
            }
        }
    }
}

static fit_set *create_set(ddt_context *ctx, double rate_low, double rate_high) {
    fit_set *set = ddt_calloc(1, sizeof *set);
    if (set == NULL) {
        (void)solve_no_memory(ctx);
        return NULL;
    }
    for (size_t r = 0; r < RATES; r++) {
        set->rate[r] = rate_low * pow(rate_high / rate_low, (double)r / (RATES - 1));
    }
    return set;
}

ddt_status regimen_fit(ddt_context *ctx, const regimen_functional *f, double rate_low, double rate_high, size_t count,
                       double tolerance, regimen_sum *out) {
    fit_set *set = create_set(ctx, rate_low, rate_high);
    if (set == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t r = 0; r < RATES; r++) {
        set->value[r] = set->wanted[r] = regimen_of_rate(f, set->rate[r]);
    }
    search_times(set, offset_of(f), count, tolerance, out);
    ddt_free(set);
    return DDT_OK;
}

ddt_status regimen_fit_past(ddt_context *ctx, const regimen_past *past, double rate_low, double rate_high, size_t count,
                            double tolerance, regimen_sum *out, double *weights) {
    fit_set *set = create_set(ctx, rate_low, rate_high);
    double offset = INFINITY;
    if (set == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t r = 0; r < RATES; r++) {
        set->wanted[r] = 0.0;
        for (size_t i = 0; i < past->count; i++) {
            set->wanted[r] += past->amounts[i] * regimen_of_rate(&past->doses[i], set->rate[r]);
        }
        set->value[r] = set->wanted[r] + past->next_amount * regimen_of_rate(past->next, set->rate[r]);
    }
    for (size_t i = 0; i < past->count; i++) {
        offset = fmin(offset, offset_of(&past->doses[i]));
    }
    search_times(set, offset, count, tolerance, out);
    for (size_t i = 0; i < past->count; i++) {
        regimen_sum own = *out;
        for (size_t r = 0; r < RATES; r++) {
            set->wanted[r] = regimen_of_rate(&past->doses[i], set->rate[r]);
        }
        fit_weights(set, &own);
        memcpy(weights + i * count, own.weight, count * sizeof *weights);
    }
    ddt_free(set);
    return DDT_OK;
}
