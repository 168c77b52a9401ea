/*
 * ddt/ckks/bound.h - worst-case bounds of the error of every operation.
 *
 * Where ddt_ckks_noise_* say what an error is on average, these say what it does not exceed, in any slot, whatever the
 * messages are: errors are added, never their squares, so that ciphertexts may depend on each other in any way. That is
 * what a release must be flooded for (ddt/custody/release.h).
 *
 * tail_bits 0: never exceeded, whatever the random choices (coefficients of errors are at most 21, of secrets 1, of
 * roundings 1/2). tail_bits k > 0: exceeded with probability at most 2^-k an operation, over the choice of secret,
 * errors and seeds, in any of the slots; roundings and digits of ciphertext polynomials are taken as uniform, which
 * they are as far as anyone can tell without the secret. docs/precision.md derives the formulas.
 *
 * All errors are moduli of complex numbers relative to the scale given; a real part is no larger. Doubles in, doubles
 * out: the rounding of numbers to 53 bits is counted by _encode, _decode and the bounds of constants.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CKKS_BOUND_H
#define DDT_CKKS_BOUND_H

#include "ddt/ckks.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ddt_bootstrap_literal ddt_bootstrap_literal; /* ddt/ckks/bootstrap.h */

/* Sums and products of bounded values, before the operation's own error is added. */
static inline ddt_ckks_bound ddt_ckks_bound_sum(ddt_ckks_bound a, ddt_ckks_bound b) {
    const ddt_ckks_bound sum = {a.message + b.message, a.error + b.error};
    return sum;
}
static inline ddt_ckks_bound ddt_ckks_bound_product(ddt_ckks_bound a, ddt_ckks_bound b) {
    const ddt_ckks_bound product = {a.message * b.message,
                                    a.message * b.error + b.message * a.error + a.error * b.error};
    return product;
}

/* An encoded message with |slot| <= message; also each plaintext factor's own error. */
double ddt_ckks_bound_encode(const ddt_ckks_params *params, double message, double scale);
/* A complex constant of that modulus, encoded at that scale (ddt_eval_mul_constant, ddt_eval_add_constant). */
double ddt_ckks_bound_constant(double constant, double scale);
/* What decoding adds to slots of which the largest is `message`. */
double ddt_ckks_bound_decode(double message, double scale);
/* A fresh ciphertext, its encoding included. */
double ddt_ckks_bound_fresh_secret(const ddt_ckks_params *params, double message, double scale, unsigned tail_bits);
double ddt_ckks_bound_fresh_public(const ddt_ckks_params *params, double message, double scale, unsigned tail_bits);
/* ddt_eval_rescale of 2 or 3 parts, ddt_eval_adjust (2; ddt_ckks_bound_constant comes on top); scale_after: the
 * result's. */
double ddt_ckks_bound_rescale(const ddt_ckks_params *params, unsigned parts, double scale_after, unsigned tail_bits);
/* ddt_eval_rotate, _rotate_hoisted, _conjugate, _relinearise at `level`. */
double ddt_ckks_bound_key_switch(const ddt_ckks_params *params, unsigned level, double scale, unsigned tail_bits);
/* ddt_eval_relinearise_rescale and ddt_eval_mul of factors at `level`; scale_after: the result's. */
double ddt_ckks_bound_relinearise_rescale(const ddt_ckks_params *params, unsigned level, double scale_after,
                                          unsigned tail_bits);

/*
 * ddt_eval_chebyshev on an argument at (level, scale) that lies in [-1, 1] and has this error: of one polynomial's
 * result, alone or with others. INFINITY where the level is too low.
 */
double ddt_ckks_bound_chebyshev(const ddt_ckks_params *params, unsigned level, double scale, const double *coefficients,
                                unsigned degree, double error, unsigned tail_bits);
/* What it adds of its own to an argument without error, but for the rounding of its constants: that depends on no key.
 */
double ddt_ckks_bound_chebyshev_noise(const ddt_ckks_params *params, unsigned level, double scale,
                                      const double *coefficients, unsigned degree, unsigned tail_bits);

/*
 * ddt_eval_bootstrap, _real and _pair of messages with real and imaginary parts in [-1, 1]: what the bootstrap adds to
 * the real or the imaginary part of a slot. Exceeded with probability at most 2^-tail_bits in any slot of one bootstrap
 * (quotients included: with many tail bits rare large quotients count, whose error is larger); INFINITY for 0, for more
 * tail bits than the range of quotients gives (137), and where no such bootstrapper can be made.
 * docs/bootstrapping.md has the derivation.
 */
double ddt_ckks_bound_bootstrap(const ddt_ckks_params *params, const ddt_bootstrap_literal *literal,
                                unsigned tail_bits);

#ifdef __cplusplus
}
#endif
#endif
