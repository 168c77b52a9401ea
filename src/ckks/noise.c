/*
 * Average-case noise. Errors are treated as independent random polynomials: one with coefficient variance V has
 * variance N V in every slot, and a product of two has the product of their slot variances. docs/precision.md holds the
 * formulas and their check against measurement. SPDX-License-Identifier: Apache-2.0
 */
#include "ckks_internal.h"

#include <math.h>

/* Centred binomial errors of custody: 21 pairs of bits. */
static const double error_variance = 10.5;
static const double ternary_variance = 2.0 / 3.0;
static const double rounding_variance = 1.0 / 12.0;

static double n_of(const ddt_ckks_params *params) { return (double)params->n; }

/* Slot variance of the secret, and of a rounding of (c0, c1): r0 + r1 s. */
static double secret_slot(const ddt_ckks_params *params) { return n_of(params) * ternary_variance; }

static double rounding_slot(const ddt_ckks_params *params, unsigned parts) {
    const double s = secret_slot(params);
    /* The fourth moment of a slot of s, a complex Gaussian, is twice the square of its second. */
    const double third = parts > 2 ? 2.0 * s * s : 0.0;
    return n_of(params) * rounding_variance * (1.0 + s + third);
}

/* Slot variance of a key switch at `level` before the rounding: digits times the key's errors, divided by P. */
static double switch_slot(const ddt_ckks_params *params, unsigned level) {
    const unsigned k = params->literal.p_count;
    double log2_p = 0.0;
    for (unsigned j = 0; j < k; j++) {
        log2_p += log2((double)ddt_ring_modulus(params->ring, (size_t)params->top + 1 + j));
    }
    double variance = 0.0;
    for (unsigned begin = 0; begin <= level; begin += k) {
        const unsigned last = begin + k - 1 < level ? begin + k - 1 : level;
        const double log2_digit = params->log2_q[last] - (begin == 0 ? 0.0 : params->log2_q[begin - 1]);
        variance += exp2(2.0 * (log2_digit - log2_p));
    }
    return variance * n_of(params) * rounding_variance * n_of(params) * error_variance;
}

double ddt_ckks_noise_encode(const ddt_ckks_params *params, double scale) {
    return sqrt(n_of(params) * rounding_variance) / scale;
}

double ddt_ckks_noise_fresh_secret(const ddt_ckks_params *params, double scale) {
    return sqrt(n_of(params) * (error_variance + rounding_variance)) / scale;
}

double ddt_ckks_noise_fresh_public(const ddt_ckks_params *params, double scale) {
    /* v e + e0 + e1 s divided by p_0, the rounding of that division, and the rounding of the message. */
    const double s = secret_slot(params);
    const double p = (double)ddt_ring_modulus(params->ring, (size_t)params->top + 1);
    const double divided = n_of(params) * error_variance * (1.0 + 2.0 * s) / (p * p);
    return sqrt(divided + rounding_slot(params, 2) + n_of(params) * rounding_variance) / scale;
}

double ddt_ckks_noise_rescale(const ddt_ckks_params *params, unsigned parts, double scale_after) {
    return sqrt(rounding_slot(params, parts)) / scale_after;
}

double ddt_ckks_noise_key_switch(const ddt_ckks_params *params, unsigned level, double scale) {
    return sqrt(switch_slot(params, level) + rounding_slot(params, 2)) / scale;
}

double ddt_ckks_noise_relinearise_rescale(const ddt_ckks_params *params, unsigned level, double scale_after) {
    const double q = ddt_ckks_step_modulus(params, level);
    return sqrt(switch_slot(params, level) / (q * q) + rounding_slot(params, 2)) / scale_after;
}
