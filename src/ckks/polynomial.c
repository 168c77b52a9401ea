/*
 * Polynomials in the Chebyshev basis by Paterson and Stockmeyer's method, recursively: p = q T_m + r with m the largest
 * power of two not above the degree. Every sub-polynomial is asked for a level and a scale from above, and its
 * constants are encoded at whatever scale makes that come out, so no addition ever joins two scales. Products that are
 * added share one relinearisation. SPDX-License-Identifier: Apache-2.0
 */
#include "ckks_internal.h"
#include "ddt/ckks/bound.h"

#include <math.h>
#include <string.h>

enum { DEGREE_MAX = 255 };

typedef struct chebyshev {
    ddt_evaluator *ev; /* NULL while only bounds are wanted */
    const ddt_ckks_params *params;
    unsigned level; /* of x */
    const ddt_ciphertext *x;
    unsigned baby; /* degrees below this are sums of T_j */
    bool turned;   /* x and all T_j of odd j are multiplied by i */
    const ddt_ciphertext *powers[DEGREE_MAX + 1];
    bool planning; /* only count the work and bound the errors */
    double cost;
    bool needed[DEGREE_MAX + 1];
    /* Of what is needed, and of the last sub-polynomial (with its sum of absolute coefficients): */
    unsigned tail_bits;
    double reach;    /* |x|, 0: at most 1 */
    double constant; /* 1: rounding of constants counts, 0: it does not */
    double scales[DEGREE_MAX + 1];
    double errors[DEGREE_MAX + 1];
    double error;
} chebyshev;

/* What the steps cost, in relinearisations. */
static const double relinearise_cost = 1.0;
static const double rescale_cost = 0.3;
static const double tensor_cost = 0.05;

/* Of a number that was computed and rounded to a double. */
static const double double_error = 0x1p-52;

static unsigned ceil_log2(unsigned n) { return n <= 1 ? 0 : 32 - (unsigned)__builtin_clz(n - 1); }

unsigned ddt_ckks_polynomial_depth(unsigned degree) { return ceil_log2(degree + 1); }

static unsigned trim(const double *c, unsigned degree) {
    while (degree > 0 && c[degree] == 0.0) {
        degree--;
    }
    return degree;
}

/* ------------------------------------------------------------------ powers */

static ddt_status get_power(chebyshev *c, unsigned i, const ddt_ciphertext **out);

/*
 * product = 2 a b - T_{i mod 2} (-2 a b - T where both factors are turned), before relinearisation: the subtraction
 * takes place at the product's scale, where 1 and T_1 need only an integer factor.
 */
static void power_limb(const chebyshev *c, const ddt_ciphertext *a, const ddt_ciphertext *b, unsigned i, unsigned limb,
                       const ddt_ciphertext *product) {
    const bool odd = i % 2 == 1;
    const bool negate = c->turned && !odd && i / 2 % 2 == 1;
    const ddt_ckks_params *params = c->ev->params;
    const ddt_ring *ring = params->ring;
    const size_t n = params->n;
    ckks_tensor_limb(params, a, b, limb, false, product);
    for (unsigned p = 0; p < 3; p++) {
        uint64_t *d = ddt_ciphertext_limb(product, n, p, limb);
        ddt_ring_add(ring, limb, d, d, d);
        if (negate) {
            ddt_ring_neg(ring, limb, d, d);
        }
    }
    const double scale = a->scale * b->scale;
    if (!odd) {
        uint64_t *d0 = ddt_ciphertext_limb(product, n, 0, limb);
        ddt_ring_add_scalar(ring, limb, d0, d0, ckks_double_residue(ring, limb, -rint(scale)));
        return;
    }
    const uint64_t factor = ckks_double_residue(ring, limb, -rint(scale / c->x->scale));
    for (unsigned p = 0; p < 2; p++) {
        uint64_t *d = ddt_ciphertext_limb(product, n, p, limb);
        ddt_ring_mul_scalar_add(ring, limb, d, d, ddt_ciphertext_limb(c->x, n, p, limb), factor);
    }
}

static ddt_status make_power(chebyshev *c, unsigned i) {
    ddt_evaluator *ev = c->ev;
    const ddt_ciphertext *a = NULL;
    const ddt_ciphertext *b = NULL;
    ddt_ciphertext *product = NULL;
    ddt_status status = get_power(c, i / 2, &a);
    if (status == DDT_OK) {
        status = get_power(c, i - i / 2, &b);
    }
    if (status == DDT_OK) {
        status = ckks_pool_take(ev, b->level, &product);
    }
    if (status != DDT_OK) {
        return status;
    }
    const unsigned level = b->level; /* never above a's */
#pragma omp parallel for num_threads(ev->threads) if (ev->threads > 1) schedule(static)
    for (unsigned limb = 0; limb <= level; limb++) {
        power_limb(c, a, b, i, limb, product);
    }
    ckks_set_result(product, level, 3, a->scale * b->scale);
    c->powers[i] = product;
    return ddt_eval_relinearise_rescale(ev, product, product);
}

static ddt_status get_power(chebyshev *c, unsigned i, const ddt_ciphertext **out) {
    ddt_status status = DDT_OK;
    if (c->powers[i] == NULL) {
        status = make_power(c, i);
    }
    *out = c->powers[i];
    return status;
}

/* |T_k| */
static double power_size(const chebyshev *c, unsigned k) { return c->reach > 1.0 ? cosh(k * acosh(c->reach)) : 1.0; }

/* 2 T_a T_b - T_{b-a}; the subtrahend's factor is rounded to an integer and to a double. */
static void bound_power(chebyshev *c, unsigned i) {
    const ddt_ckks_params *params = c->params;
    const unsigned a = i / 2;
    const unsigned b = i - a;
    const unsigned before = c->level - (ceil_log2(i) - 1) * ddt_ckks_step(params);
    c->scales[i] = c->scales[a] * c->scales[b] / ddt_ckks_step_modulus(params, before);
    const double products =
        power_size(c, a) * c->errors[b] + power_size(c, b) * c->errors[a] + c->errors[a] * c->errors[b];
    c->errors[i] =
        2.0 * products + (a == b ? 0.0 : c->errors[1]) +
        c->constant * (0.5 * c->scales[1] / (c->scales[a] * c->scales[b]) + double_error) * power_size(c, 1) +
        ddt_ckks_bound_relinearise_rescale(params, before, c->scales[i], c->tail_bits);
}

/* Counts T_i and what it is made of. */
static void plan_power(chebyshev *c, unsigned i) {
    if (i > 1 && !c->needed[i]) {
        c->needed[i] = true;
        c->cost += relinearise_cost + tensor_cost;
        plan_power(c, i / 2);
        plan_power(c, i - i / 2);
        bound_power(c, i);
    }
}

/* ------------------------------------------------------------------ sums */

/* The state of one sum at `level`, all of it at `scale`: linear terms first collected, products added as they come. */
typedef struct sum_state {
    unsigned level;
    double scale;
    double linear[DEGREE_MAX + 1];
    unsigned linear_degree;
    bool has_products;
    double error; /* while planning */
    ddt_ciphertext *sum;
} sum_state;

static void linear_limb(const chebyshev *c, const sum_state *s, unsigned limb) {
    const ddt_ring *ring = c->ev->params->ring;
    const size_t n = c->ev->params->n;
    bool started = s->has_products;
    uint64_t *sums[2] = {ddt_ciphertext_limb(s->sum, n, 0, limb), ddt_ciphertext_limb(s->sum, n, 1, limb)};
    for (unsigned j = 1; j <= s->linear_degree; j++) {
        if (s->linear[j] == 0.0) {
            continue;
        }
        const ddt_ciphertext *power = c->powers[j];
        const uint64_t factor = ckks_double_residue(ring, limb, rint(s->linear[j] * (s->scale / power->scale)));
        for (unsigned p = 0; p < 2; p++) {
            const uint64_t *from = ddt_ciphertext_limb(power, n, p, limb);
            if (started) {
                ddt_ring_mul_scalar_add(ring, limb, sums[p], sums[p], from, factor);
            } else {
                ddt_ring_mul_scalar(ring, limb, sums[p], from, factor);
            }
        }
        started = true;
    }
    for (unsigned p = 0; p < 2 && !started; p++) {
        memset(sums[p], 0, n * sizeof(uint64_t));
    }
    ddt_ring_add_scalar(ring, limb, sums[0], sums[0], ckks_double_residue(ring, limb, rint(s->linear[0] * s->scale)));
}

static ddt_status add_linear(chebyshev *c, sum_state *s) {
    ddt_evaluator *ev = c->ev;
    for (unsigned j = 1; j <= s->linear_degree; j++) {
        if (s->linear[j] == 0.0) {
            continue;
        }
        const ddt_ciphertext *power = NULL;
        ddt_status status = DDT_OK;
        if (c->planning) {
            plan_power(c, j);
            s->error +=
                fabs(s->linear[j]) * c->errors[j] +
                c->constant * (fabs(s->linear[j]) * double_error + 0.5 * c->scales[j] / s->scale) * power_size(c, j);
        } else {
            status = get_power(c, j, &power);
        }
        if (status != DDT_OK) {
            return status;
        }
    }
    if (c->planning) {
        s->error += c->constant * (fabs(s->linear[0]) * double_error + 0.5 / s->scale);
        return DDT_OK;
    }
#pragma omp parallel for num_threads(ev->threads) if (ev->threads > 1) schedule(static)
    for (unsigned limb = 0; limb <= s->level; limb++) {
        linear_limb(c, s, limb);
    }
    ckks_set_result(s->sum, s->level, s->has_products ? 3 : 2, s->scale);
    return DDT_OK;
}

static ddt_status evaluate(chebyshev *c, const double *coefficients, unsigned degree, unsigned level, double scale,
                           ddt_ciphertext *out);

/* sum += q(x) T_m */
static ddt_status add_product(chebyshev *c, sum_state *s, const double *q, unsigned degree, unsigned m) {
    ddt_evaluator *ev = c->ev;
    if (c->planning) {
        double largest = 0.0;
        for (unsigned k = 0; k <= degree; k++) {
            largest += fabs(q[k]) * power_size(c, k);
        }
        plan_power(c, m);
        c->cost += tensor_cost;
        s->has_products = true;
        const ddt_status planned = evaluate(c, q, degree, s->level, s->scale / c->scales[m], NULL);
        s->error += c->error * power_size(c, m) + (largest + c->error) * c->errors[m];
        return planned;
    }
    const ddt_ciphertext *power = NULL;
    ddt_ciphertext *factor = NULL;
    ddt_status status = get_power(c, m, &power);
    if (status == DDT_OK) {
        status = ckks_pool_take(ev, s->level, &factor);
    }
    if (status != DDT_OK) {
        return status;
    }
    status = evaluate(c, q, degree, s->level, s->scale / power->scale, factor);
#pragma omp parallel for num_threads(ev->threads) if (ev->threads > 1) schedule(static)
    for (unsigned limb = 0; limb <= s->level; limb++) {
        if (status == DDT_OK) {
            ckks_tensor_limb(ev->params, factor, power, limb, s->has_products, s->sum);
        }
    }
    s->has_products = true;
    ckks_pool_give(ev, factor);
    return status;
}

/* T_j = 2 T_m T_{j-m} - T_{2m-j} for m < j < 2m: rest loses its terms from m on, quotient gets them. */
static unsigned split(double *rest, unsigned degree, unsigned m, double *quotient) {
    quotient[0] = rest[m];
    for (unsigned j = m + 1; j <= degree; j++) {
        quotient[j - m] = 2.0 * rest[j];
        rest[2 * m - j] -= rest[j];
    }
    return trim(rest, m - 1);
}

static ddt_status build_sum(chebyshev *c, const double *coefficients, unsigned degree, sum_state *s) {
    double rest[DEGREE_MAX + 1];
    double quotient[DEGREE_MAX + 1];
    const unsigned depth = (c->level - s->level) / ddt_ckks_step(c->params);
    memcpy(rest, coefficients, (degree + 1) * sizeof *rest);
    degree = trim(rest, degree);
    while (degree > 0 && (degree >= c->baby || ceil_log2(degree) > depth)) {
        const unsigned m = 1U << (31 - (unsigned)__builtin_clz(degree));
        if (degree == m) {
            s->linear[m] = rest[m];
            s->linear_degree = m > s->linear_degree ? m : s->linear_degree;
            degree = trim(rest, m - 1);
            continue;
        }
        const unsigned quotient_degree = degree - m;
        degree = split(rest, degree, m, quotient);
        ddt_status status = add_product(c, s, quotient, quotient_degree, m);
        if (status != DDT_OK) {
            return status;
        }
    }
    memcpy(s->linear, rest, (degree + 1) * sizeof *rest);
    s->linear_degree = degree > s->linear_degree ? degree : s->linear_degree;
    return add_linear(c, s);
}

/* out = the polynomial at exactly (level, scale); NULL while planning. */
static ddt_status evaluate(chebyshev *c, const double *coefficients, unsigned degree, unsigned level, double scale,
                           ddt_ciphertext *out) {
    ddt_evaluator *ev = c->ev;
    const unsigned above = level + ddt_ckks_step(c->params);
    sum_state s = {.level = above, .scale = scale * ddt_ckks_step_modulus(c->params, above)};
    const bool planning = out == NULL;
    ddt_status status = planning ? DDT_OK : ckks_pool_take(ev, s.level, &s.sum);
    if (status == DDT_OK) {
        status = build_sum(c, coefficients, degree, &s);
    }
    if (planning) {
        c->cost += s.has_products ? relinearise_cost : rescale_cost;
        c->error = s.error + (s.has_products ? ddt_ckks_bound_relinearise_rescale(c->params, above, scale, c->tail_bits)
                                             : ddt_ckks_bound_rescale(c->params, 2, scale, c->tail_bits));
        return status;
    }
    if (status == DDT_OK) {
        status = s.has_products ? ddt_eval_relinearise_rescale(ev, s.sum, out) : ddt_eval_rescale(ev, s.sum, out);
    }
    if (status == DDT_OK) {
        out->scale = scale;
    }
    ckks_pool_give(ev, s.sum);
    return status;
}

/* ------------------------------------------------------------------ the whole */

static ddt_status check_polynomials(ddt_evaluator *ev, const ddt_ciphertext *a, const double *const *coefficients,
                                    const unsigned *degrees, size_t count, ddt_ciphertext *const *out) {
    ddt_status status = ckks_check_input(ev, "chebyshev", a);
    if (status == DDT_OK && a->parts != 2) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "chebyshev: relinearise the argument first.");
    }
    for (size_t i = 0; i < count && status == DDT_OK; i++) {
        const unsigned depth = ddt_ckks_polynomial_depth(degrees[i]) * ddt_ckks_step(ev->params);
        if (degrees[i] < 1 || degrees[i] > DEGREE_MAX || depth > a->level) {
            return ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "chebyshev: degree %u cannot be evaluated at level %u.",
                            degrees[i], a->level);
        }
        for (unsigned j = 0; j <= degrees[i]; j++) {
            if (!isfinite(coefficients[i][j])) {
                return ddt_fail(ev->ctx, DDT_ERR_RANGE, "chebyshev: coefficient %u of polynomial %zu is not finite.", j,
                                i);
            }
        }
        status = ckks_check_room(ev, "chebyshev", out[i], a->level - depth, 2);
    }
    return status;
}

static ddt_status evaluate_all(chebyshev *c, const double *const *coefficients, const unsigned *degrees, size_t count,
                               ddt_ciphertext *const *out) {
    ddt_status status = DDT_OK;
    for (size_t i = 0; i < count && status == DDT_OK; i++) {
        const unsigned level = c->level - ddt_ckks_polynomial_depth(degrees[i]) * ddt_ckks_step(c->params);
        status = evaluate(c, coefficients[i], degrees[i], level, c->params->scales[level], out == NULL ? NULL : out[i]);
    }
    return status;
}

/* The power of two below which terms are summed directly that gives the least work. */
static unsigned choose_baby(const chebyshev *like, const double *const *coefficients, const unsigned *degrees,
                            size_t count) {
    unsigned best = 2;
    double best_cost = INFINITY;
    for (unsigned baby = 2; baby <= DEGREE_MAX + 1; baby *= 2) {
        chebyshev trial = *like;
        trial.planning = true;
        trial.baby = baby;
        (void)evaluate_all(&trial, coefficients, degrees, count, NULL);
        if (trial.cost < best_cost) {
            best_cost = trial.cost;
            best = baby;
        }
    }
    return best;
}

static ddt_status chebyshev_sums(ddt_evaluator *ev, bool turned, const ddt_ciphertext *a,
                                 const double *const *coefficients, const unsigned *degrees, size_t count,
                                 ddt_ciphertext *const *out) {
    ddt_status status = check_polynomials(ev, a, coefficients, degrees, count, out);
    if (status != DDT_OK) {
        return status;
    }
    chebyshev c = {.ev = ev, .params = ev->params, .level = a->level, .x = a, .turned = turned};
    c.powers[1] = a;
    c.scales[1] = a->scale;
    c.baby = choose_baby(&c, coefficients, degrees, count);
    status = evaluate_all(&c, coefficients, degrees, count, out);
    for (unsigned i = 2; i <= DEGREE_MAX; i++) {
        if (c.powers[i] != NULL) {
            ckks_pool_give(ev, c.powers[i]);
        }
    }
    return status;
}

double ckks_bound_chebyshev(const ddt_ckks_params *params, const ckks_chebyshev_argument *x, const double *coefficients,
                            unsigned degree, unsigned tail_bits) {
    double largest = 0.0;
    if (degree < 1 || degree > DEGREE_MAX || ddt_ckks_polynomial_depth(degree) * ddt_ckks_step(params) > x->level) {
        return INFINITY;
    }
    /* Which way it will be evaluated depends on the other polynomials of the same call. */
    for (unsigned baby = 2; baby <= DEGREE_MAX + 1; baby *= 2) {
        chebyshev c = {.params = params, .level = x->level, .planning = true, .baby = baby, .tail_bits = tail_bits};
        c.reach = x->reach;
        c.constant = x->exact_constants ? 0.0 : 1.0;
        c.scales[1] = x->scale;
        c.errors[1] = x->error;
        (void)evaluate_all(&c, &coefficients, &degree, 1, NULL);
        largest = fmax(largest, c.error);
    }
    return largest;
}

double ddt_ckks_bound_chebyshev(const ddt_ckks_params *params, unsigned level, double scale, const double *coefficients,
                                unsigned degree, double error, unsigned tail_bits) {
    const ckks_chebyshev_argument x = {level, scale, 1.0, error, false};
    return ckks_bound_chebyshev(params, &x, coefficients, degree, tail_bits);
}

double ddt_ckks_bound_chebyshev_noise(const ddt_ckks_params *params, unsigned level, double scale,
                                      const double *coefficients, unsigned degree, unsigned tail_bits) {
    const ckks_chebyshev_argument x = {level, scale, 1.0, 0.0, true};
    return ckks_bound_chebyshev(params, &x, coefficients, degree, tail_bits);
}

ddt_status ddt_eval_chebyshev(ddt_evaluator *ev, const ddt_ciphertext *a, const double *const *coefficients,
                              const unsigned *degrees, size_t count, ddt_ciphertext *const *out) {
    return chebyshev_sums(ev, false, a, coefficients, degrees, count, out);
}

ddt_status ckks_chebyshev_turned(ddt_evaluator *ev, const ddt_ciphertext *a, const double *coefficients,
                                 unsigned degree, ddt_ciphertext *out) {
    return chebyshev_sums(ev, true, a, &coefficients, &degree, 1, &out);
}
