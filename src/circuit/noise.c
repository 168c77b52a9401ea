/*
 * How much noise each operation adds, for uniform ternary secrets and centred binomial errors of variance 10.5.
 *
 * A polynomial whose coefficients have variance v gives slots whose real part has variance v N / 2. Rounding to
 * integers has variance 1/12; what is rounded in c1 meets the secret, whose squared norm is 2 N / 3. A key switch adds
 * sum_d N (D_d^2 / 12) sigma^2 / P^2, D_d the modulus of digit d, and the rounding of its division by P; a rescale
 * divides whatever came before by a prime, and only its own rounding counts.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <math.h>

static const double error_variance = 10.5;
static const double rounding_variance = 1.0 / 12.0;

/* sum over digits of (D_d / P)^2 at a level. */
static double digit_ratio(const ddt_ckks_literal *literal, unsigned level) {
    double sum = 0.0;
    double log2_p = literal->p_count * ddt_ckks_special_bits(literal);
    for (unsigned begin = 0; begin <= level; begin += literal->p_count) {
        double log2_digit = 0.0;
        for (unsigned i = begin; i <= level && i < begin + literal->p_count; i++) {
            log2_digit += i == 0 ? literal->first_bits : literal->scale_bits;
        }
        sum += exp2(2.0 * (log2_digit - log2_p));
    }
    return sum;
}

void noise_model_fill(const ddt_ckks_literal *literal, bool public_key, noise_model *model) {
    double n = ldexp(1.0, (int)literal->log_n);
    double scale = ldexp(1.0, (int)(literal->scale_bits * plan_scale_primes(literal)));
    double secret_norm = 2.0 * n / 3.0;
    double rounded_pair = rounding_variance * (1.0 + secret_norm);
    double fresh = error_variance + rounding_variance;
    if (public_key) {
        /* u e + e0 + e1 s with u ternary too, divided by a special prime and rounded. */
        double divided = exp2(-2.0 * ddt_ckks_special_bits(literal));
        fresh = error_variance * (1.0 + 2.0 * secret_norm) * divided + rounded_pair + rounding_variance;
    }
    *model =
        (noise_model){.fresh = sqrt(0.5 * n * fresh) / scale,
                      .rescale = sqrt(0.5 * n * rounded_pair) / scale,
                      .plain = sqrt(0.5 * n * rounding_variance) / scale,
                      .constant = sqrt(rounding_variance) / scale,
                      .refresh = sqrt(0.5) * ddt_bootstrap_noise_at(literal->log_n, sqrt(n * rounded_pair) / scale)};
    for (unsigned l = 0; l <= DDT_CKKS_LEVELS_MAX; l++) {
        double ratio = digit_ratio(literal, plan_prime_level(literal, l));
        double switching = n * rounding_variance * error_variance * ratio;
        model->switching[l] = sqrt(0.5 * n * (switching + rounded_pair)) / scale;
    }
}

/* Stages that rotate keep half of the coefficients of an error and double them; the conjugation doubles the real part.
 */
double noise_model_input(const noise_model *model, const ddt_plan *plan, size_t input) {
    const unsigned stages = plan_is_carried(plan, input) ? 0 : plan->pack_stages;
    const double switching = stages == 0 ? 0.0 : model->switching[plan_upload_level(plan)];
    double variance = model->fresh * model->fresh;
    for (unsigned stage = 1; stage <= stages; stage++) {
        variance = (stage < stages ? 2.0 : 4.0) * variance + switching * switching;
    }
    return sqrt(variance);
}
