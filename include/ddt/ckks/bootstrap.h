/*
 * ddt/ckks/bootstrap.h - bootstrapping: a ciphertext at a low level becomes one of the same message at `levels`.
 *
 * Cheon, Han, Kim, Kim, Song 2018; Bossuat, Mouchet, Troncoso-Pastoriza, Hubaux 2021; encapsulation in a sparse secret:
 * Bossuat, Troncoso-Pastoriza, Hubaux 2022 (ePrint 2022/024). Slots-to-coefficients comes first, at the bottom of the
 * chain; then the ciphertext is switched to a secret of 32 non-zero coefficients modulo q_0 only, raised to the top,
 * switched back, and coefficients-to-slots and the modular reduction (sine and arcsine) follow.
 *
 * Parameters: first_bits 50 and boot_levels = DDT_BOOTSTRAP_MOD_LEVELS + the levels of coefficients-to-slots (2 to 5).
 * The lowest slots_levels of the user's levels are spent on slots-to-coefficients: a ciphertext can be bootstrapped at
 * slots_levels or above. docs/bootstrapping.md holds the analysis of the error and of the failure probability (below
 * 2^-128 a bootstrap).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CKKS_BOOTSTRAP_H
#define DDT_CKKS_BOOTSTRAP_H

#include "ddt/ckks.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DDT_BOOTSTRAP_MOD_LEVELS = 11,    /* exponential 4, squarings 5, arcsine 2 */
    DDT_BOOTSTRAP_SPARSE_WEIGHT = 32, /* non-zero coefficients of the sparse secret */
    DDT_BOOTSTRAP_RANGE = 15,         /* multiples of q_0 up to this are removed; more have probability < 2^-137 */
    DDT_BOOTSTRAP_SPARSE_MODULUS_BITS_MAX = 2 * DDT_RING_MODULUS_BITS_MAX /* of keys under the sparse secret */
};

/* ------------------------------------------------------------------ keys */

/*
 * The two keys of the encapsulation. to_sparse: from the secret s to the sparse secret s', over q_0 p_0 only:
 * b = -a s' + e + p_0 s, limbs q_0, p_0. to_dense: back, over q_0..q_top p_0: b = -a s + e + p_0 s', limbs q_0..q_top,
 * p_0. NTT domain; a is expanded from the seed (streams 0 and 1, modulus index of the ring).
 */
typedef struct ddt_encapsulation {
    uint8_t seed[DDT_CKKS_SEED_BYTES];
    uint64_t *to_sparse_b; /* 2 N */
    uint64_t *to_sparse_a;
    uint64_t *to_dense_b; /* (top + 2) N */
    uint64_t *to_dense_a;
} ddt_encapsulation;

/* Allocates the four arrays; contents undefined. */
DDT_MUST_CHECK ddt_status ddt_encapsulation_create(ddt_context *ctx, const ddt_ckks_params *params,
                                                   ddt_encapsulation *out);
void ddt_encapsulation_destroy(ddt_encapsulation *encapsulation);
/* Takes ownership of the memory; replaces what was there. */
DDT_MUST_CHECK ddt_status ddt_eval_keys_set_encapsulation(ddt_context *ctx, ddt_eval_keys *keys,
                                                          ddt_encapsulation *encapsulation);
/* NULL when absent. */
const ddt_encapsulation *ddt_eval_keys_encapsulation(const ddt_eval_keys *keys);
/* One section "ENCP". Reading checks residues and expands the seed. */
DDT_MUST_CHECK ddt_status ddt_encapsulation_write(ddt_writer *writer, const ddt_ckks_params *params,
                                                  const ddt_encapsulation *encapsulation);
DDT_MUST_CHECK ddt_status ddt_encapsulation_read(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params,
                                                 ddt_encapsulation *out);

/* ------------------------------------------------------------------ bootstrapper */

/*
 * log_slots     messages have 2^log_slots slots, repeated over all; 0: all N/2
 * slots_levels  of slots-to-coefficients, 1 to 4; 0: 3
 * baby          baby steps of each matrix, a power of two up to 32; fewer need fewer keys and more time; 0: 8 or 4
 */
typedef struct ddt_bootstrap_literal {
    unsigned log_slots;
    unsigned slots_levels;
    unsigned baby;
} ddt_bootstrap_literal;

typedef struct ddt_bootstrapper ddt_bootstrapper;

/* Encodes the matrices and polynomials. params must outlive it. Errors: DDT_ERR_ARGUMENT, DDT_ERR_MEMORY. */
DDT_MUST_CHECK ddt_status ddt_bootstrapper_create(ddt_context *ctx, const ddt_ckks_params *params,
                                                  const ddt_bootstrap_literal *literal, ddt_bootstrapper **out);
void ddt_bootstrapper_destroy(ddt_bootstrapper *bootstrapper);
/* Memory of the encoded matrices. */
size_t ddt_bootstrapper_bytes(const ddt_bootstrapper *bootstrapper);
/* The lowest level of an input, and the level of the result. */
unsigned ddt_bootstrap_input_level(const ddt_bootstrapper *bootstrapper);
unsigned ddt_bootstrap_output_level(const ddt_bootstrapper *bootstrapper);

/* A switching key that is needed: galois 0 is relinearisation. */
typedef struct ddt_key_request {
    uint64_t galois;
    unsigned top_level;
} ddt_key_request;

/* Writes up to `capacity` requests, returns how many there are. The encapsulation is needed besides. */
size_t ddt_bootstrap_key_requests(const ddt_bootstrapper *bootstrapper, ddt_key_request *requests, size_t capacity);

/*
 * For planners, from the literals alone: whether such a bootstrapper can be made, and the keys it will request (in any
 * order; 0 where it cannot be made).
 */
bool ddt_bootstrap_is_possible(const ddt_ckks_literal *params, const ddt_bootstrap_literal *literal);
size_t ddt_bootstrap_wanted_keys(const ddt_ckks_literal *params, const ddt_bootstrap_literal *literal,
                                 ddt_key_request *requests, size_t capacity);

/*
 * The error of one bootstrap of messages with real and imaginary parts in [-1, 1]: root mean square over the slots of
 * |error|, on average (docs/bootstrapping.md). For planning.
 */
double ddt_ckks_noise_bootstrap(const ddt_ckks_params *params);
/*
 * Of that, what does not depend on the scale, for a ring degree 2^log_n; and all of it, where a rounding at the user's
 * scale has this root mean square error (ddt_ckks_noise_rescale): below 40 bits that is what counts.
 */
double ddt_bootstrap_noise(unsigned log_n);
double ddt_bootstrap_noise_at(unsigned log_n, double rounding);

/*
 * out = a at the output level, canonical scale. a: 2 parts, at the input level with its canonical scale, or above with
 * any scale that ddt_eval_adjust takes. Real and imaginary parts of the message must lie in [-1, 1] (a little more does
 * no harm: the error grows with the fifth power). out needs room for the output level and may alias a. Errors: those of
 * the evaluator.
 */
DDT_MUST_CHECK ddt_status ddt_eval_bootstrap(ddt_evaluator *ev, const ddt_bootstrapper *bootstrapper,
                                             const ddt_ciphertext *a, ddt_ciphertext *out);
/*
 * The same for a real message, in little more than half the time. Whatever the imaginary part holds is lost (it must
 * lie in [-1, 1] all the same).
 */
DDT_MUST_CHECK ddt_status ddt_eval_bootstrap_real(ddt_evaluator *ev, const ddt_bootstrapper *bootstrapper,
                                                  const ddt_ciphertext *a, ddt_ciphertext *out);
/*
 * Two ciphertexts with real messages in the time of one: a and b must have equal level and scale. The imaginary parts
 * of their messages must be zero up to noise: they are lost to each other's real parts.
 */
DDT_MUST_CHECK ddt_status ddt_eval_bootstrap_pair(ddt_evaluator *ev, const ddt_bootstrapper *bootstrapper,
                                                  const ddt_ciphertext *a, const ddt_ciphertext *b,
                                                  ddt_ciphertext *out_a, ddt_ciphertext *out_b);

/*
 * Two bootstraps for twice the work: the second refreshes the error of the first, magnified. What is left is the
 * rounding of the scales in use, so scale_bits should be large (at 2^16 and 49 bits 2^-34, at 45 bits 2^-30). The
 * result is one level lower, at ddt_bootstrap_output_level - 1, which must not be below the input level. The real one
 * wants, and gives, a real message.
 */
DDT_MUST_CHECK ddt_status ddt_eval_bootstrap_iterated(ddt_evaluator *ev, const ddt_bootstrapper *bootstrapper,
                                                      const ddt_ciphertext *a, ddt_ciphertext *out);
DDT_MUST_CHECK ddt_status ddt_eval_bootstrap_iterated_real(ddt_evaluator *ev, const ddt_bootstrapper *bootstrapper,
                                                           const ddt_ciphertext *a, ddt_ciphertext *out);
/* Their error, as ddt_ckks_noise_bootstrap. */
double ddt_ckks_noise_bootstrap_iterated(const ddt_ckks_params *params);

#ifdef __cplusplus
}
#endif
#endif
