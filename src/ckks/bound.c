/*
 * Worst-case errors. A polynomial with independent, strictly sub-Gaussian coefficients of variance V has, as real and
 * as imaginary part of each slot, a sum with weights of squared norm N/2: beyond x with probability at most
 * 2 exp(-x^2 / (N V)). docs/precision.md. SPDX-License-Identifier: Apache-2.0
 */
#include "ddt/ckks/bound.h"

#include "ckks_internal.h"

#include <math.h>

/* Largest size and variance of a coefficient. */
typedef struct coefficient {
    double largest;
    double variance;
} coefficient;

static const coefficient error_coefficient = {21.0, 10.5}; /* centred binomial, 21 pairs of bits */
static const coefficient ternary_coefficient = {1.0, 2.0 / 3.0};
static const coefficient rounding_coefficient = {0.5, 1.0 / 12.0};

/* Transforms in double precision: relative to the largest slot (test ckks.encode), and the last bit of a double. */
static const double narrow_error = 0x1p-48;
static const double double_error = 0x1p-53;

static double n_of(const ddt_ckks_params *params) { return (double)params->n; }

/* |slot| of a random polynomial. */
static double slot_bound(const ddt_ckks_params *params, coefficient c, unsigned tail_bits) {
    const double n = n_of(params);
    const double absolute = n * c.largest;
    const double logarithm = log(2.0 * n) + tail_bits * log(2.0);
    const double tail = sqrt(2.0 * n * c.variance * logarithm);
    return tail_bits == 0 ? absolute : fmin(tail, absolute);
}

static double secret_slot(const ddt_ckks_params *params, unsigned tail_bits) {
    return slot_bound(params, ternary_coefficient, tail_bits);
}

/*
 * r_0 + r_1 s (+ r_2 s^2). r_0 may depend on the message in any way; r_1 and r_2 round polynomials that hide it. With
 * composite scaling the first of two roundings is divided by a prime of 20 bits at least.
 */
static double rounding_slot(const ddt_ckks_params *params, unsigned parts, unsigned tail_bits) {
    const double s = secret_slot(params, tail_bits);
    const double r = slot_bound(params, rounding_coefficient, tail_bits);
    const double one = n_of(params) * rounding_coefficient.largest + r * s + (parts > 2 ? r * s * s : 0.0);
    return ddt_ckks_step(params) == 1 ? one : one * (1.0 + 0x1p-19);
}

/* A key switch at `level` before the rounding: digits times the key's errors, divided by P. */
static double switch_slot(const ddt_ckks_params *params, unsigned level, unsigned tail_bits) {
    const unsigned k = params->literal.p_count;
    const double log2_p = params->log2_qp - params->log2_q[params->top];
    double digits = 0.0;
    for (unsigned begin = 0; begin <= level; begin += k) {
        const unsigned last = begin + k - 1 < level ? begin + k - 1 : level;
        const double log2_digit = params->log2_q[last] - (begin == 0 ? 0.0 : params->log2_q[begin - 1]);
        digits += exp2(log2_digit - log2_p);
    }
    /* A centred digit over its modulus is a rounding. */
    return digits * slot_bound(params, rounding_coefficient, tail_bits) *
           slot_bound(params, error_coefficient, tail_bits);
}

static bool is_wide(double scale) { return scale >= ldexp(1.0, DDT_CKKS_WIDE_BITS); }

double ddt_ckks_bound_encode(const ddt_ckks_params *params, double message, double scale) {
    return n_of(params) * rounding_coefficient.largest / scale +
           (is_wide(scale) ? double_error : narrow_error) * message;
}

double ddt_ckks_bound_constant(double constant, double scale) {
    /* Real and imaginary part are rounded, their product with the scale before that. */
    return sqrt(0.5) / scale + 2.0 * double_error * constant;
}

double ddt_ckks_bound_decode(double message, double scale) {
    return (is_wide(scale) ? 2.0 * double_error : narrow_error) * message;
}

double ddt_ckks_bound_fresh_secret(const ddt_ckks_params *params, double message, double scale, unsigned tail_bits) {
    return ddt_ckks_bound_encode(params, message, scale) + slot_bound(params, error_coefficient, tail_bits) / scale;
}

double ddt_ckks_bound_fresh_public(const ddt_ckks_params *params, double message, double scale, unsigned tail_bits) {
    /* v e + e_0 + e_1 s, v ternary like s, divided by p_0 and rounded. */
    const double e = slot_bound(params, error_coefficient, tail_bits);
    const double p = (double)ddt_ring_modulus(params->ring, (size_t)params->top + 1);
    const double divided = e * (1.0 + 2.0 * secret_slot(params, tail_bits)) / p;
    return ddt_ckks_bound_encode(params, message, scale) + (divided + rounding_slot(params, 2, tail_bits)) / scale;
}

double ddt_ckks_bound_rescale(const ddt_ckks_params *params, unsigned parts, double scale_after, unsigned tail_bits) {
    return rounding_slot(params, parts, tail_bits) / scale_after;
}

double ddt_ckks_bound_key_switch(const ddt_ckks_params *params, unsigned level, double scale, unsigned tail_bits) {
    return (switch_slot(params, level, tail_bits) + rounding_slot(params, 2, tail_bits)) / scale;
}

double ddt_ckks_bound_relinearise_rescale(const ddt_ckks_params *params, unsigned level, double scale_after,
                                          unsigned tail_bits) {
    const double q = ddt_ckks_step_modulus(params, level);
    return (switch_slot(params, level, tail_bits) / q + rounding_slot(params, 2, tail_bits)) / scale_after;
}
