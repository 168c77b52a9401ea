/*
 * Exponentials of matrices in numbers, and the choice of the approximation that the circuit will evaluate.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

#include <string.h>

/* ------------------------------------------------------------------ dense matrices */

/* The row of the largest pivot of column p comes to row p. */
static void exchange_rows(double *a, double *x, size_t n, size_t p) {
    size_t best = p;
    for (size_t i = p + 1; i < n; i++) {
        best = fabs(a[i * n + p]) > fabs(a[best * n + p]) ? i : best;
    }
    for (size_t j = 0; j < n && best != p; j++) {
        double kept = a[p * n + j];
        a[p * n + j] = a[best * n + j];
        a[best * n + j] = kept;
    }
    double kept = x[p];
    x[p] = x[best];
    x[best] = kept;
}

bool solve_eliminate(double *a, double *x, size_t n) {
    for (size_t p = 0; p < n; p++) {
        exchange_rows(a, x, n, p);
        if (!(fabs(a[p * n + p]) > 0.0)) {
            return false;
        }
        for (size_t i = p + 1; i < n; i++) {
            double factor = a[i * n + p] / a[p * n + p];
            for (size_t j = p; j < n && factor != 0.0; j++) {
                a[i * n + j] -= factor * a[p * n + j];
            }
            x[i] -= factor * x[p];
        }
    }
    for (size_t p = n; p-- > 0;) {
        for (size_t j = p + 1; j < n; j++) {
            x[p] -= a[p * n + j] * x[j];
        }
        x[p] /= a[p * n + p];
    }
    return true;
}

static inline void multiply_inline(const double *a, const double *b, size_t n, double *out) {
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = 0.0;
            for (size_t k = 0; k < n; k++) {
                sum += a[i * n + k] * b[k * n + j];
            }
            out[i * n + j] = sum;
        }
    }
}

static void multiply_sparse(const double *a, const double *b, size_t n, double *out) {
    memset(out, 0, n * n * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            double factor = a[i * n + k];
            for (size_t j = 0; factor != 0.0 && j < n; j++) {
                out[i * n + j] += factor * b[k * n + j];
            }
        }
    }
}

/* Small systems are most of the work of a calibration: loops of known length. */
static void multiply(const double *a, const double *b, size_t n, double *out) {
    switch (n) {
    case 1:
        out[0] = a[0] * b[0];
        break;
    case 2:
        multiply_inline(a, b, 2, out);
        break;
    case 3:
        multiply_inline(a, b, 3, out);
        break;
    case 4:
        multiply_inline(a, b, 4, out);
        break;
    default:
        multiply_sparse(a, b, n, out);
    }
}

static double norm1(const double *a, size_t n) {
    double largest = 0.0;
    for (size_t j = 0; j < n; j++) {
        double sum = 0.0;
        for (size_t i = 0; i < n; i++) {
            sum += fabs(a[i * n + j]);
        }
        largest = fmax(largest, sum);
    }
    return largest;
}

/* out = product + linear z + constant */
static void add_terms(const double *product, const double *z, double linear, double constant, size_t n, double *out) {
    for (size_t i = 0; i < n * n; i++) {
        out[i] = product[i] + linear * z[i];
    }
    for (size_t i = 0; i < n; i++) {
        out[i * n + i] += constant;
    }
}

/*
 * Taylor's series of degree 14 where the norm is below 1/2, then squarings: 1e-16 relative before the squarings. The
 * series times 14!, by Horner's rule in z^2: (z^2 + 14 z + 14 13) z^2 + 14 13 12 z + ...
 */
void solve_expm(const double *a, size_t n, double t, double *scratch, double *out) {
    enum { DEGREE = 14, SQUARINGS_MAX = 60 };
    double *z = scratch;
    double *square = scratch + n * n;
    double *from = scratch + 2 * n * n;
    double *to = out;
    double norm = norm1(a, n) * fabs(t);
    double scale = t;
    double last = DEGREE * (DEGREE - 1.0); /* DEGREE! / k!, k the lowest power gathered so far */
    int squarings = 0;
    while (norm > 0.5 && squarings < SQUARINGS_MAX) {
        norm *= 0.5;
        scale *= 0.5;
        squarings++;
    }
    for (size_t i = 0; i < n * n; i++) {
        z[i] = a[i] * scale;
    }
    multiply(z, z, n, square);
    add_terms(square, z, DEGREE, last, n, out);
    for (int k = DEGREE - 2; k >= 2; k -= 2) {
        multiply(out, square, n, from);
        add_terms(from, z, last * k, last * k * (k - 1), n, out);
        last *= k * (k - 1.0);
    }
    for (size_t i = 0; i < n * n; i++) {
        out[i] /= last;
    }
    for (int s = 0; s < squarings; s++) {
        double *swap = to == out ? from : out;
        multiply(to, to, n, swap);
        to = swap;
    }
    if (to != out) {
        memcpy(out, to, n * n * sizeof *out);
    }
}

/* One term of the series from the one before; it joins x. */
static void next_term(const double *a, size_t n, double factor, const double *term, double *next, double *x) {
    for (size_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < n; j++) {
            sum += a[i * n + j] * term[j];
        }
        next[i] = factor * sum;
        x[i] += next[i];
    }
}

bool solve_expm_on(const double *a, size_t n, double t, double *scratch, double *x) {
    enum { DEGREE = 14 }; /* as above */
    double *term = scratch;
    double *next = scratch + n;
    const double parts = fmax(1.0, ceil(2.0 * norm1(a, n) * fabs(t))); /* each of a norm of 1/2 at most */
    if (!(parts <= 0.5 * (double)n)) {                                 /* some 20 products of matrices are less work */
        return false;
    }
    for (int part = 0; part < (int)parts; part++) {
        memcpy(term, x, n * sizeof *x);
        for (int k = 1; k <= DEGREE; k++) {
            double *swap = term;
            next_term(a, n, t / (parts * k), term, next, x);
            term = next;
            next = swap;
        }
    }
    return true;
}

/* ------------------------------------------------------------------ schemes */

void solve_scheme_run(const solve_exponential *exponential, const double *a, size_t n, double t, double *scratch,
                      double *out) {
    const solve_scheme *scheme = exponential->scheme;
    double *product = scratch;
    double *earlier = scratch + n * n; /* P_1, P_2, P_3 */
    double step = ldexp(t, -(int)exponential->squarings);
    for (size_t i = 0; i < n * n; i++) {
        out[i] = scheme->first * step * a[i] + (i % (n + 1) == 0 ? scheme->shift : 0.0);
    }
    for (unsigned level = 1; level <= scheme->steps + exponential->squarings; level++) {
        multiply(out, out, n, product);
        for (size_t i = 0; i < n * n && level <= scheme->steps; i++) {
            product[i] +=
                scheme->linear[level - 1] * step * a[i] + (i % (n + 1) == 0 ? scheme->constant[level - 1] : 0.0);
            for (size_t k = 1; k <= SOLVE_SCHEME_MIX_MAX && k + 1 < level; k++) {
                product[i] += scheme->mix[level - 1][k - 1] * earlier[(k - 1) * n * n + i];
            }
        }
        memcpy(out, product, n * n * sizeof *out);
        if (level <= SOLVE_SCHEME_MIX_MAX) {
            memcpy(earlier + (level - 1) * n * n, out, n * n * sizeof *out);
        }
    }
}

/* ------------------------------------------------------------------ choice */

enum { CHECK_TIMES = 20 };

/* Matrices of every virtual patient in scaled states, and their exponentials at the times of the check. */
typedef struct check_set {
    size_t n, count;
    double *a; /* count x n x n */
    double *scratch;
    double *approximation, *exact;
    double t_max;
    unsigned refinements; /* each doubles the times of the check */
} check_set;

/*
 * Rates x time span many decades: times fall geometrically from the longest. Between two of them a polynomial may
 * exceed 1 a little, which squarings blow up: where the circuit in the clear shows that, more times are looked at.
 */
static double check_time(const check_set *set, size_t index) {
    const double ratio = 1.7;
    return set->t_max * pow(ratio, -ldexp((double)index, -(int)set->refinements));
}

static double difference(const check_set *set, const solve_exponential *e, size_t sample, double t) {
    const double *a = set->a + sample * set->n * set->n;
    solve_scheme_run(e, a, set->n, t, set->scratch, set->approximation);
    solve_expm(a, set->n, t, set->scratch, set->exact);
    double worst = 0.0;
    for (size_t i = 0; i < set->n * set->n; i++) {
        double error = fabs(set->approximation[i] - set->exact[i]);
        worst = error <= worst ? worst : error; /* NaN counts as worse */
    }
    return isfinite(worst) ? worst : INFINITY;
}

/* The largest error over patients and times; stops early once above `limit`. *hint: a patient that is likely to fail.
 */
static double scheme_error(const check_set *set, const solve_exponential *e, double limit, size_t *hint) {
    double worst = 0.0;
    for (size_t s = 0; s < set->count && worst <= limit; s++) {
        size_t sample = (s + *hint) % set->count;
        for (size_t k = 0; k < (size_t)CHECK_TIMES << set->refinements && worst <= limit; k++) {
            double error = difference(set, e, sample, check_time(set, k));
            if (error > worst) {
                worst = error;
            }
        }
        if (worst > limit) {
            *hint = sample;
        }
    }
    return worst;
}

static ddt_status choose(solve_work *work, const check_set *set, double tolerance, solve_exponential *best) {
    unsigned best_levels = UINT32_MAX;
    for (size_t k = 0; k < solve_scheme_count; k++) {
        size_t hint = 0;
        solve_exponential e = {.scheme = solve_schemes[k]};
        for (e.squarings = 0; e.squarings <= SOLVE_SQUARINGS_MAX && e.scheme->steps + e.squarings < best_levels;
             e.squarings++) {
            e.error = scheme_error(set, &e, tolerance, &hint);
            if (e.error <= tolerance) {
                best_levels = e.scheme->steps + e.squarings;
                *best = e;
                break;
            }
        }
    }
    if (best_levels == UINT32_MAX && work->rate_max * set->t_max < (double)(1U << SOLVE_SQUARINGS_MAX)) {
        return ddt_fail(
            work->ctx, DDT_ERR_CAPACITY,
            "'%s': what is linear in the model grows at rates up to %g per time unit, without end within %g "
            "time units, so that no exponential of it is accurate: follow it for a shorter time.",
            work->model->path, work->rate_max, set->t_max);
    }
    if (best_levels == UINT32_MAX) {
        return ddt_fail(
            work->ctx, DDT_ERR_CAPACITY,
            "'%s': rates up to %g per time unit over %g time units are too stiff: the exponential would need over "
            "%d squarings.",
            work->model->path, work->rate_max, set->t_max, SOLVE_SQUARINGS_MAX);
    }
    return DDT_OK;
}

/* Columns of the augmented matrix: the compartments that receive infusions, scaled so that their entries are at most 1.
 */
static ddt_status make_set(solve_work *work, bool with_infusions, check_set *set) {
    const solve_linear *linear = &work->linear;
    size_t n = linear->n;
    size_t m = n;
    for (size_t i = 0; with_infusions && i < work->dosing_count; i++) {
        m += work->dosings[i].is_infusion;
    }
    set->n = m;
    set->count = work->sample_count;
    set->refinements = work->exponential_checks;
    set->t_max = with_infusions ? work->times.during_max : work->times.t2_max;
    size_t entries = 0;
    if (!ddt_size_mul(m * m, set->count, &entries)) {
        (void)solve_no_memory(work->ctx);
        return DDT_ERR_MEMORY;
    }
    set->a = solve_alloc(work, entries, sizeof *set->a);
    set->scratch = solve_alloc(work, (1 + SOLVE_SCHEME_MIX_MAX) * m * m, sizeof *set->scratch);
    set->approximation = solve_alloc(work, m * m, sizeof *set->approximation);
    set->exact = solve_alloc(work, m * m, sizeof *set->exact);
    solve_numbers numbers;
    if (set->a == NULL || set->scratch == NULL || set->approximation == NULL || set->exact == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(solve_numbers_create(work, &numbers));
    for (size_t s = 0; s < set->count; s++) {
        solve_numbers_of(work, work->samples + s * work->symbol_count, &numbers);
        SOLVE_TRY(solve_numbers_check(work, &numbers));
        double *a = set->a + s * m * m;
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++) {
                a[i * m + j] = numbers.a[i * n + j] * work->state_scale[j] / work->state_scale[i];
            }
        }
        for (size_t i = 0, column = n; column < m; i++) {
            if (work->dosings[i].is_infusion) {
                a[linear->state[work->dosings[i].compartment] * m + column++] = 1.0 / set->t_max;
            }
        }
    }
    return DDT_OK;
}

ddt_status solve_exponential_choose(solve_work *work) {
    check_set set = {0};
    SOLVE_TRY(make_set(work, false, &set));
    SOLVE_TRY(choose(work, &set, work->exponential_tolerance, &work->decay));
    if (work->times.during_max > 0.0) {
        SOLVE_TRY(make_set(work, true, &set));
        SOLVE_TRY(choose(work, &set, work->exponential_tolerance, &work->infusion));
    }
    return DDT_OK;
}
