/*
 * The worst-case error of a bootstrap, from the literals alone: docs/bootstrapping.md ("The worst case") has the
 * derivation. SPDX-License-Identifier: Apache-2.0
 */
#include "bootstrap_internal.h"
#include "ddt/ckks/bound.h"

#include <math.h>

static const double pi = 3.14159265358979323846;
/* Variance of a coefficient of the quotient: 1 + 32 uniform numbers of [-1/2, 1/2]. */
static const double quotient_variance = (1.0 + DDT_BOOTSTRAP_SPARSE_WEIGHT) / 12.0;
/* |message / ratio|, which is what a quotient is off an integer by. */
static const double message_edge = 0x1p-7;

typedef struct boot_bound {
    const ddt_ckks_params *params;
    unsigned log_slots;
    unsigned slots_levels;
    unsigned coefficients_levels;
    unsigned tail_bits;
    double ratio;
    double range;
    double q0;
} boot_bound;

/*
 * P(sum > bound) = 1/n! sum_k (-1)^k C(n,k) (n/2 - bound - k)^n over positive bases (Irwin, Hall 1927). Far out there
 * are few terms, of falling size.
 */
double boot_log2_tail(unsigned n, double bound) {
    const double reach = 0.5 * n - bound;
    double sum = 0.0;
    double binomial = 1.0;
    for (unsigned k = 0; reach - k > 0.0; k++) {
        sum += (k % 2 == 0 ? 1.0 : -1.0) * binomial * pow((reach - k) / reach, n);
        binomial *= (double)(n - k) / (k + 1.0);
    }
    return n * log2(reach) - lgamma(n + 1.0) / log(2.0) + log2(sum);
}

unsigned boot_largest_quotient(unsigned log_n, unsigned tail_bits) {
    const unsigned terms = DDT_BOOTSTRAP_SPARSE_WEIGHT + 1;
    unsigned quotient = 1;
    while (quotient <= DDT_BOOTSTRAP_RANGE &&
           boot_log2_tail(terms, quotient + 1.0 - message_edge) + log_n + 1.0 > -(double)tail_bits) {
        quotient++;
    }
    return quotient;
}

/* |slot| of a polynomial with random coefficients of that variance, as in bound.c. */
static double slot_bound(const boot_bound *b, double variance) {
    const double n = (double)b->params->n;
    return sqrt(2.0 * n * variance * (log(2.0 * n) + b->tail_bits * log(2.0)));
}

static double rounding(const boot_bound *b) { return ddt_ckks_bound_rescale(b->params, 2, 1.0, b->tail_bits); }

/* A switch of what is below q_0, with one special prime and before its rounding: in integers. */
static double single_switch(const boot_bound *b) {
    const double error_variance = 10.5;
    const double p = (double)ddt_ring_modulus(b->params->ring, (size_t)b->params->top + 1);
    return slot_bound(b, 1.0 / 12.0) * slot_bound(b, error_variance) * b->q0 / p;
}

/* A stage of the transforms. */
typedef struct stage_bound {
    unsigned level;
    unsigned layers;
    double weight; /* largest sum of the moduli of a row */
    double entry;  /* scale that its diagonals are encoded at */
    double before; /* scales of the ciphertext */
    double after;
    double message; /* of the slots before */
} stage_bound;

/*
 * Errors of one matrix's own. Its diagonals' roundings are those of fixed numbers and taken as uniform and independent.
 */
static double stage_error(const boot_bound *b, const stage_bound *stage, bool rescaled) {
    const double diagonals = (2U << stage->layers) - 1;
    const double baby = ddt_ckks_bound_key_switch(b->params, stage->level, stage->before, b->tail_bits);
    const double giant = ddt_ckks_bound_key_switch(b->params, stage->level, stage->before * stage->entry, b->tail_bits);
    const double diagonal = slot_bound(b, 1.0 / 12.0) / stage->entry;
    return diagonal * sqrt(diagonals) * stage->message + (stage->weight + diagonal * diagonals) * baby +
           diagonals * giant + (rescaled ? rounding(b) / stage->after : 0.0);
}

/*
 * Slots to coefficients, and the switch to the sparse secret: relative to the message. An error of a slot is one of at
 * most its size in the coefficients, as the rest of the inverse transform averages.
 */
static double to_coefficients(const boot_bound *b) {
    const ddt_ckks_params *params = b->params;
    unsigned sizes[BOOT_STAGES_MAX];
    double message = 1.0;
    double error = rounding(b) / params->scales[b->slots_levels] + 0x1p-48; /* where the input lies above */
    boot_split_layers(b->log_slots, b->slots_levels, false, sizes);
    for (unsigned i = 0; i < b->slots_levels; i++) {
        const unsigned level = b->slots_levels - i;
        const double weight = ldexp(1.0, (int)sizes[i]);
        stage_bound stage = {.level = level, .layers = sizes[i], .weight = weight, .before = params->scales[level]};
        stage.after = level == 1 ? b->q0 / b->ratio : params->scales[level - 1];
        stage.entry = stage.after * (double)ddt_ring_modulus(params->ring, level) / stage.before;
        stage.message = message;
        error += stage_error(b, &stage, true);
        message *= weight;
    }
    const double sparse = 0.5 * (double)params->n + slot_bound(b, 1.0 / 12.0) * DDT_BOOTSTRAP_SPARSE_WEIGHT;
    return error + (single_switch(b) + sparse) * b->ratio / b->q0;
}

/*
 * From the raised modulus to the argument of the exponential, in units of the range. The matrices average: an error is
 * nowhere magnified, but for the sum over repeated slots, which the scales take into account.
 */
static double to_slots(const boot_bound *b) {
    const ddt_ckks_params *params = b->params;
    const unsigned mod_level = params->top - b->coefficients_levels;
    const double copies = (double)(params->n / 2 >> b->log_slots);
    const double first = b->q0 * b->range;
    const double whole = 0.5 * params->scales[mod_level] / (first * copies);
    const double share = exp2((log2(whole) - b->log_slots) / b->coefficients_levels);
    unsigned sizes[BOOT_STAGES_MAX];
    double error = (single_switch(b) + rounding(b)) / first;
    double scale = first;
    boot_split_layers(b->log_slots, b->coefficients_levels, true, sizes);
    for (unsigned i = 0; i < b->coefficients_levels; i++) {
        const unsigned layers = sizes[b->coefficients_levels - 1 - i];
        stage_bound stage = {.level = params->top - i, .layers = layers, .weight = 1.0, .before = scale};
        const double q = (double)ddt_ring_modulus(params->ring, stage.level);
        stage.entry = q * share * ldexp(1.0, (int)layers);
        stage.after = scale * stage.entry / q;
        stage.message = (slot_bound(b, quotient_variance) + (double)params->n / b->ratio) / b->range;
        error += stage_error(b, &stage, i + 1 < b->coefficients_levels);
        scale = stage.after;
    }
    /* Sums over repeated slots and the conjugation take place at the scale before the last rescale. */
    const double q = (double)ddt_ring_modulus(params->ring, mod_level + 1);
    const double switches = copies * (b->params->literal.log_n - b->log_slots);
    error += switches * ddt_ckks_bound_key_switch(params, mod_level + 1, scale * q, b->tail_bits);
    return error + rounding(b) / params->scales[mod_level];
}

/* |polynomial - exp(i frequency t)| for |t| <= reach: the tail of the Chebyshev series, twice for the interpolation. */
static double exponential_remainder(double frequency, double reach) {
    enum { TERMS = 48 };
    double error = 0.0;
    double bessel = 1.0; /* (frequency / 2)^k / k!, above J_k(frequency) */
    for (unsigned k = 1; k < TERMS; k++) {
        bessel *= 0.5 * frequency / k;
        error += k > BOOT_EXPONENTIAL_DEGREE ? 4.0 * bessel * cosh(k * acosh(reach)) : 0.0;
    }
    return error;
}

/* exp(2 pi i x / 2^5) of an argument with that error, then its squarings: of exp(2 pi i x). */
static double exponential(const boot_bound *b, double argument, double reach) {
    const ddt_ckks_params *params = b->params;
    const double frequency = 2.0 * pi * b->range / (1 << BOOT_SQUARINGS);
    double coefficients[BOOT_EXPONENTIAL_DEGREE + 1];
    unsigned level = params->top - b->coefficients_levels;
    boot_fill_exponential(b->range, coefficients);
    const ckks_chebyshev_argument x = {level, params->scales[level], reach, 0.0, false};
    double error = frequency * argument + exponential_remainder(frequency, reach) +
                   ckks_bound_chebyshev(params, &x, coefficients, BOOT_EXPONENTIAL_DEGREE, b->tail_bits);
    level -= ddt_ckks_polynomial_depth(BOOT_EXPONENTIAL_DEGREE);
    for (unsigned i = 0; i < BOOT_SQUARINGS; i++, level--) {
        error = 2.0 * error + error * error +
                ddt_ckks_bound_relinearise_rescale(params, level, params->scales[level - 1], b->tail_bits);
    }
    return error;
}

/* The message from y = 2 sin(2 pi x): slope, curvature, what the polynomial leaves of the arcsine, and its own noise.
 */
static double arcsine(const boot_bound *b, double error) {
    const ddt_ckks_params *params = b->params;
    const unsigned level = params->literal.levels + ddt_ckks_polynomial_depth(BOOT_ARCSINE_DEGREE);
    const double y = 2.0 * sin(2.0 * pi / b->ratio);
    double c[BOOT_ARCSINE_DEGREE + 1];
    boot_fill_arcsine(b->ratio, c);
    const double slope = fabs(c[1] - 3.0 * c[3]) + 12.0 * fabs(c[3]) * (y + error) * (y + error);
    return slope * error + boot_arcsine_remainder(b->ratio) +
           ddt_ckks_bound_chebyshev(params, level, params->scales[level], c, BOOT_ARCSINE_DEGREE, 0.0, b->tail_bits);
}

double ddt_ckks_bound_bootstrap(const ddt_ckks_params *params, const ddt_bootstrap_literal *literal,
                                unsigned tail_bits) {
    const unsigned quotient = boot_largest_quotient(params->literal.log_n, tail_bits);
    if (tail_bits == 0 || quotient > DDT_BOOTSTRAP_RANGE || !ddt_bootstrap_is_possible(&params->literal, literal)) {
        return INFINITY;
    }
    boot_bound b = {.params = params, .tail_bits = tail_bits, .q0 = (double)ddt_ring_modulus(params->ring, 0)};
    b.log_slots = literal->log_slots == 0 ? params->literal.log_n - 1 : literal->log_slots;
    b.slots_levels = literal->slots_levels == 0 ? BOOT_SLOTS_LEVELS : literal->slots_levels;
    b.coefficients_levels = params->literal.boot_levels - DDT_BOOTSTRAP_MOD_LEVELS;
    b.ratio = BOOT_MESSAGE_RATIO;
    b.range = BOOT_INTERPOLATED_RANGE;
    const double argument = to_coefficients(&b) / (b.ratio * b.range) + to_slots(&b);
    const double reach = fmax(1.0, (quotient + message_edge) / b.range);
    const unsigned level = params->literal.levels + ddt_ckks_polynomial_depth(BOOT_ARCSINE_DEGREE);
    const double switched = ddt_ckks_bound_key_switch(params, level, params->scales[level], tail_bits);
    /* 2 sin from the exponential and its conjugate; then two parts, one of which may be the other's imaginary part. */
    return 2.0 * arcsine(&b, 2.0 * exponential(&b, argument, reach) + switched);
}
