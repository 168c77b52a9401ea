/*
 * ddt/ckks.h - RNS-CKKS without secrets: parameters, encoding, evaluation, key switching.
 *
 * Scheme: Cheon, Kim, Kim, Song 2017; full RNS: Cheon, Han, Kim, Kim, Song 2018; hybrid key switching: Han, Ki 2020;
 * exact scales: Kim, Papadimitriou, Polyakov 2022. Slots are complex, N/2 of them. A ciphertext (c0, c1) at level l has
 * l+1 limbs q_0..q_l in NTT domain and decrypts to c0 + c1 s = scale * message + noise (mod q_0...q_l).
 *
 * Levels are indices of primes, 0 is the lowest. Rescaling divides by q_l and goes to level l-1; with composite scaling
 * (literal.scale_primes 2) it divides by q_l q_{l-1} and goes to level l-2, and only the odd levels are used. Scales
 * are tracked exactly as doubles; nothing is rounded to a "nominal" scale. Functions that combine two ciphertexts want
 * equal levels, and additions want scales equal within a relative 2^-40 (checked: DDT_ERR_ARGUMENT).
 *
 * Nothing here knows a secret key: those live in ddt/custody.h, a library that the untrusted engine does not link.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CKKS_H
#define DDT_CKKS_H

#include "ddt/base.h"
#include "ddt/ring.h"
#include "ddt/wire.h"

/* A slot's number; in C++ the type of the same layout. */
#ifdef __cplusplus
#include <complex>
typedef std::complex<double> ddt_complex;
#else
#include <complex.h>
typedef double complex ddt_complex;
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum { DDT_CKKS_SEED_BYTES = 32, DDT_CKKS_LEVELS_MAX = 60, DDT_CKKS_P_MAX = 16, DDT_CKKS_WIDE_BITS = 54 };

/* ------------------------------------------------------------------ parameters */

/*
 * The literal from which everything else follows deterministically (primes included).
 *   log_n       10..17
 *   levels      number of rescaling primes; the chain has levels+1 primes q_0..q_levels
 *   first_bits  size of q_0, at most 50: holds the result, so first_bits - scale_bits is the headroom for |message|
 *   scale_bits  size of q_1..q_levels, and of the default scale; 20..49 (primes are below 2^50, and the canonical
 *               scales stay near 2^scale_bits only with primes on both sides of it). With scale_primes 2 the default
 *               scale is 2^(2 scale_bits), the result lies in q_0 q_1, and the headroom is the same
 *   p_count     number of special primes of hybrid key switching: digits have p_count limbs each
 *   boot_levels levels of bootstrapping (primes near 2^50) above `levels`; 0: none (ddt/ckks/bootstrap.h)
 *   scale_primes  primes that one rescale divides by: 0 or 1 one; 2 two (composite scaling): scales up to 2^98 for
 *               results that need more precision than one prime gives. levels is odd then, 2 depth + 1, and boot_levels
 *               0: bootstrapping's own error is far above such scales' (iterate it instead, ddt/ckks/bootstrap.h)
 */
typedef struct ddt_ckks_literal {
    unsigned log_n;
    unsigned levels;
    unsigned first_bits;
    unsigned scale_bits;
    unsigned p_count;
    unsigned boot_levels;
    unsigned scale_primes;
} ddt_ckks_literal;

typedef struct ddt_ckks_params ddt_ckks_params;

/*
 * The largest log2(QP) that gives 128 bits of classical security with uniform ternary secrets and sigma = 3.2 (Security
 * Guidelines for Implementing Homomorphic Encryption, ePrint 2024/463): 2^12: 106, 2^13: 214, 2^14: 430, 2^15: 868,
 * 2^16: 1747, 2^17: 3523; 2^11: 52, 2^10: 25. 0 outside.
 */
unsigned ddt_ckks_max_log_qp(unsigned log_n);

/*
 * Bits of each special prime (a fraction: log2): 50 for a single one and in sets with levels of bootstrapping;
 * otherwise just so many that P, the product of all, exceeds the largest digit by 2.75 bits.
 */
double ddt_ckks_special_bits(const ddt_ckks_literal *literal);

/* Checks the literal against the security table: DDT_ERR_SECURITY above it. The caller owns *out. */
DDT_MUST_CHECK ddt_status ddt_ckks_params_create(ddt_context *ctx, const ddt_ckks_literal *literal,
                                                 ddt_ckks_params **out);
/* The same without the security check, for tests at small N. Never use it for data. */
DDT_MUST_CHECK ddt_status ddt_ckks_params_create_insecure_for_testing(ddt_context *ctx, const ddt_ckks_literal *literal,
                                                                      ddt_ckks_params **out);
void ddt_ckks_params_destroy(ddt_ckks_params *params);

/* What the parameters were created from, and whether the security check was made. */
const ddt_ckks_literal *ddt_ckks_params_literal(const ddt_ckks_params *params);
bool ddt_ckks_params_is_secure(const ddt_ckks_params *params);
/*
 * The ring over q_0..q_top, p_0..p_{p_count-1}, top = levels + boot_levels: modulus index i <= top is q_i, top + 1 + j
 * is p_j.
 */
const ddt_ring *ddt_ckks_params_ring(const ddt_ckks_params *params);
size_t ddt_ckks_n(const ddt_ckks_params *params);
size_t ddt_ckks_slots(const ddt_ckks_params *params);
unsigned ddt_ckks_levels(const ddt_ckks_params *params);
/* levels + boot_levels: only the steps of bootstrapping work above `levels`. */
unsigned ddt_ckks_top_level(const ddt_ckks_params *params);
uint64_t ddt_ckks_prime(const ddt_ckks_params *params, unsigned level);
double ddt_ckks_log2_qp(const ddt_ckks_params *params);
/* Levels that a rescale goes down: 1, or 2 with composite scaling. */
unsigned ddt_ckks_step(const ddt_ckks_params *params);
/* What a rescale from `level` (at least ddt_ckks_step) divides by, q_l or q_l q_{l-1}, rounded to a double. */
double ddt_ckks_step_modulus(const ddt_ckks_params *params, unsigned level);
/*
 * The canonical scale of a level: S_L = 2^scale_bits at the top, S_{l-1} = S_l^2 / q_l. A product of two ciphertexts
 * with canonical scale, rescaled, has the canonical scale of the level below. Above `levels` (bootstrapping) the same
 * rule starts anew from 2^50 at the top. Composite: S_L = 2^(2 scale_bits), S_{l-2} = S_l^2 / (q_l q_{l-1}); an even
 * level, where only limbs were dropped, has the scale of the one above.
 */
double ddt_ckks_canonical_scale(const ddt_ckks_params *params, unsigned level);
/* Number of key-switching digits at a level: ceil((level+1) / p_count). */
unsigned ddt_ckks_digits(const ddt_ckks_params *params, unsigned level);
/* A digest of the literal and the primes: keys, ciphertexts and plans carry it. */
const ddt_digest *ddt_ckks_params_digest(const ddt_ckks_params *params);

/*
 * Five u32: log_n, levels, first_bits, scale_bits, and p_count + 2^8 boot_levels + 2^16 scale_primes (0 where it is
 * one). Reading refuses sets that cannot exist (DDT_ERR_FORMAT).
 */
void ddt_ckks_write_literal(ddt_writer *writer, const ddt_ckks_literal *literal);
DDT_MUST_CHECK ddt_status ddt_ckks_read_literal(ddt_reader *reader, ddt_ckks_literal *literal);

/* ------------------------------------------------------------------ plaintexts and ciphertexts */

/* A plaintext polynomial in NTT domain: level+1 limbs of N residues, contiguous. */
typedef struct ddt_plaintext {
    uint64_t *limbs; /* (level_capacity + 1) * N */
    unsigned level_capacity;
    unsigned level;
    double scale;
} ddt_plaintext;

/*
 * A ciphertext: parts 2 (c0, c1) or 3 (c0, c1, c2: a product before relinearisation), NTT domain. Limb i of part p
 * starts at limbs + (p * (level_capacity + 1) + i) * N; level <= level_capacity limbs above `level` are unused.
 * has_seed: c1 is the expansion of `seed` (fresh secret-key encryption), so that only c0 is written to files; any
 * operation clears it.
 */
typedef struct ddt_ciphertext {
    uint64_t *limbs;
    unsigned level_capacity;
    unsigned parts_capacity;
    unsigned parts;
    unsigned level;
    double scale;
    bool has_seed;
    uint8_t seed[DDT_CKKS_SEED_BYTES];
} ddt_ciphertext;

/* Allocates room for a plaintext at `level`; contents are undefined, level is set, scale is 0. *out is zero on failure:
 * DDT_ERR_ARGUMENT above the top level, DDT_ERR_MEMORY. */
DDT_MUST_CHECK ddt_status ddt_plaintext_create(ddt_context *ctx, const ddt_ckks_params *params, unsigned level,
                                               ddt_plaintext *out);
/* Frees the limbs and zeroes *plaintext. NULL is allowed. */
void ddt_plaintext_destroy(ddt_plaintext *plaintext);
/* Allocates room for `parts` parts at `level`; contents are undefined, parts and level are set, scale is 0. */
DDT_MUST_CHECK ddt_status ddt_ciphertext_create(ddt_context *ctx, const ddt_ckks_params *params, unsigned level,
                                                unsigned parts, ddt_ciphertext *out);
void ddt_ciphertext_destroy(ddt_ciphertext *ciphertext);
DDT_MUST_CHECK ddt_status ddt_ciphertext_copy(ddt_context *ctx, const ddt_ckks_params *params,
                                              const ddt_ciphertext *from, ddt_ciphertext *out);
static inline uint64_t *ddt_ciphertext_limb(const ddt_ciphertext *ct, size_t n, unsigned part, unsigned limb) {
    return ct->limbs + ((size_t)part * (ct->level_capacity + 1) + limb) * n;
}

/*
 * One section "CTXT":
 *   bytes[32] digest of the parameters, u32 level, u32 parts (2 or 3), f64 scale, u8 has_seed (0 or 1),
 *   bytes[32] seed where has_seed is 1 (parts is 2 then),
 *   packed(N, bits of q_i - 1) limb i = 0..level of c0; then of c1 (and c2), unless there is a seed: c1 is its stream
 * 0.
 */
DDT_MUST_CHECK ddt_status ddt_ciphertext_write(ddt_writer *writer, const ddt_ckks_params *params,
                                               const ddt_ciphertext *ciphertext);
/* Residues are checked against the primes. Allocates *out. */
DDT_MUST_CHECK ddt_status ddt_ciphertext_read(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params,
                                              ddt_ciphertext *out);

/* ------------------------------------------------------------------ encoding */

/*
 * Slot j of the message is the polynomial at zeta^(5^j), zeta = exp(i pi / N). values: `count` complex numbers, count a
 * power of two <= N/2; fewer than N/2 are repeated cyclically over all slots (and cost less to encode). |value| * scale
 * < 2^120. At scales of 2^DDT_CKKS_WIDE_BITS and above the transforms of encoding and decoding run in double-double
 * arithmetic, so that they are exact to the last bit of the doubles that go in and come out (about ten times slower).
 * *out: made by ddt_plaintext_create with room for `level`, or all zero: then it is created here. The bytes are the
 * same on every machine. Errors: DDT_ERR_RANGE (too large or not finite).
 */
DDT_MUST_CHECK ddt_status ddt_ckks_encode(ddt_context *ctx, const ddt_ckks_params *params, const ddt_complex *values,
                                          size_t count, unsigned level, double scale, ddt_plaintext *out);
/* The same for real values. */
DDT_MUST_CHECK ddt_status ddt_ckks_encode_real(ddt_context *ctx, const ddt_ckks_params *params, const double *values,
                                               size_t count, unsigned level, double scale, ddt_plaintext *out);
/* All N/2 slots. Exact CRT over all limbs in use; the plaintext is not changed. Scratch memory is wiped. */
DDT_MUST_CHECK ddt_status ddt_ckks_decode(ddt_context *ctx, const ddt_ckks_params *params,
                                          const ddt_plaintext *plaintext, ddt_complex *values);

/*
 * Expands a seed into the uniform limb of modulus index m and stream number `stream` (NTT domain). Words w of 64 bits,
 * little-endian, come from ChaCha20 (RFC 8439) under the seed, nonce u32 stream, u32 m, u32 0, block counter from 0;
 * those below q floor((2^64 - 1) / q) give w mod q, the others are skipped.
 */
void ddt_ckks_expand_seed(const ddt_ckks_params *params, const uint8_t seed[DDT_CKKS_SEED_BYTES], uint32_t stream,
                          size_t m, uint64_t *limb);

/* ------------------------------------------------------------------ evaluation keys */

/*
 * Key-switching key from s' to s'', hybrid, digits of p_count limbs. Digit d holds (b_d, a_d) over q_0..q_top_level,
 * p_0..p_{p_count-1}, limb i of digit d at (d * (top_level + 1 + p_count) + i) * N, NTT domain: b_d = -a_d s'' + e_d +
 * P g_d s', g_d = 1 modulo the primes of digit d and 0 modulo the other q. a_d is expanded from the seed (stream d,
 * modulus index of the ring). Relinearisation: s' = s^2, s'' = s. Galois element g: s' = s, s'' = g^-1(s), since the
 * automorphism is applied after the switch. `top_level`: the highest level at which it can be used (keys for lower
 * levels are smaller).
 */
typedef struct ddt_switch_key {
    uint64_t galois; /* Galois element; 0 for the relinearisation key */
    unsigned top_level;
    unsigned digits;
    uint8_t seed[DDT_CKKS_SEED_BYTES];
    uint64_t *b; /* digits * (top_level + 1 + p_count) * N */
    uint64_t *a; /* the same shape, expanded */
} ddt_switch_key;

typedef struct ddt_eval_keys ddt_eval_keys;
/* An empty set of keys; params must live as long as it does. *out is NULL on failure. */
DDT_MUST_CHECK ddt_status ddt_eval_keys_create(ddt_context *ctx, const ddt_ckks_params *params, ddt_eval_keys **out);
/* Frees the set and its keys. NULL is allowed. */
void ddt_eval_keys_destroy(ddt_eval_keys *keys);
/* Takes ownership of the key's memory. A second key for one Galois element replaces the first. */
DDT_MUST_CHECK ddt_status ddt_eval_keys_add(ddt_context *ctx, ddt_eval_keys *keys, ddt_switch_key *key);
/* NULL when absent. galois 0: relinearisation. */
const ddt_switch_key *ddt_eval_keys_find(const ddt_eval_keys *keys, uint64_t galois);
void ddt_switch_key_destroy(ddt_switch_key *key);
/* Memory of the expanded keys, bytes. */
size_t ddt_eval_keys_bytes(const ddt_eval_keys *keys);
/*
 * One section "SKEY" a key. Reading checks residues and shape and expands the seed.
 *   bytes[32] digest of the parameters, u64 galois, u32 top_level, u32 digits, bytes[32] seed,
 *   for each digit: packed(N, bits of q - 1) limbs q_0..q_top_level, p_0..p_{p_count-1} of b.
 */
DDT_MUST_CHECK ddt_status ddt_switch_key_write(ddt_writer *writer, const ddt_ckks_params *params,
                                               const ddt_switch_key *key);
DDT_MUST_CHECK ddt_status ddt_switch_key_read(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params,
                                              ddt_switch_key *out);

/* ------------------------------------------------------------------ evaluation */

/*
 * An evaluator: parameters, keys (may be NULL where no operation needs one) and scratch memory. One evaluator is used
 * by one thread at a time; make one per worker (they share params and keys). `threads`: how many threads one operation
 * may use over limbs. Hot paths do not allocate. Outputs may alias inputs unless said otherwise; an output ciphertext
 * must have room (ddt_ciphertext_create) for the result's level and parts. Scratch memory grows on the first use of an
 * operation at a level and stays until the evaluator is destroyed. Errors of all operations: DDT_ERR_ARGUMENT (levels,
 * scales, parts, room), DDT_ERR_KEY_MISSING, DDT_ERR_MEMORY (first use only), DDT_ERR_RANGE (constants).
 */
typedef struct ddt_evaluator ddt_evaluator;
DDT_MUST_CHECK ddt_status ddt_evaluator_create(ddt_context *ctx, const ddt_ckks_params *params,
                                               const ddt_eval_keys *keys, int threads, ddt_evaluator **out);
void ddt_evaluator_destroy(ddt_evaluator *evaluator);

/* Operands of 2 and 3 parts may be mixed in sums. */
DDT_MUST_CHECK ddt_status ddt_eval_add(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_ciphertext *b,
                                       ddt_ciphertext *out);
DDT_MUST_CHECK ddt_status ddt_eval_sub(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_ciphertext *b,
                                       ddt_ciphertext *out);
DDT_MUST_CHECK ddt_status ddt_eval_neg(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_ciphertext *out);
DDT_MUST_CHECK ddt_status ddt_eval_add_plain(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_plaintext *p,
                                             ddt_ciphertext *out);
/* Adds the complex constant c to every slot. */
DDT_MUST_CHECK ddt_status ddt_eval_add_constant(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_complex c,
                                                ddt_ciphertext *out);
/* Product with a plaintext (level >= a's); scale multiplies, no rescale. */
DDT_MUST_CHECK ddt_status ddt_eval_mul_plain(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_plaintext *p,
                                             ddt_ciphertext *out);
/*
 * Product with the complex constant c encoded at constant_scale (a constant polynomial for real c: no transform at
 * all); scale multiplies, no rescale. constant_scale 1 with an integer c multiplies the message exactly without using
 * any modulus.
 */
DDT_MUST_CHECK ddt_status ddt_eval_mul_constant(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_complex c,
                                                double constant_scale, ddt_ciphertext *out);
/* out (3 parts) = a * b, not relinearised, not rescaled. out aliases nothing. */
DDT_MUST_CHECK ddt_status ddt_eval_tensor(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_ciphertext *b,
                                          ddt_ciphertext *out);
/* out += a * b, out having 3 parts, equal level and scale: sums of products share one relinearisation. */
DDT_MUST_CHECK ddt_status ddt_eval_tensor_add(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_ciphertext *b,
                                              ddt_ciphertext *out);
/* 3 parts -> 2 parts with the relinearisation key. */
DDT_MUST_CHECK ddt_status ddt_eval_relinearise(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_ciphertext *out);
/* Relinearise and rescale in one pass (mod-down merged with the rescale). */
DDT_MUST_CHECK ddt_status ddt_eval_relinearise_rescale(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_ciphertext *out);
/* tensor + relinearise_rescale. */
DDT_MUST_CHECK ddt_status ddt_eval_mul(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_ciphertext *b,
                                       ddt_ciphertext *out);
/* Divides by the top prime (the two top primes), rounding; level - ddt_ckks_step, scale / q. 2 or 3 parts. */
DDT_MUST_CHECK ddt_status ddt_eval_rescale(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_ciphertext *out);
/* Forgets the limbs above `level`; the message and the scale stay. */
DDT_MUST_CHECK ddt_status ddt_eval_drop_level(ddt_evaluator *ev, const ddt_ciphertext *a, unsigned level,
                                              ddt_ciphertext *out);
/*
 * Brings a to (level, scale) exactly, level + ddt_ckks_step at most a's: drops to that level, multiplies by one at the
 * right scale, rescales. That constant must have at least scale_bits - 7 bits (for each prime; else DDT_ERR_ARGUMENT),
 * so that its rounding vanishes in the rescaling error; between canonical scales it has scale_bits.
 */
DDT_MUST_CHECK ddt_status ddt_eval_adjust(ddt_evaluator *ev, const ddt_ciphertext *a, unsigned level, double scale,
                                          ddt_ciphertext *out);
/* Slot j of the result is slot j + steps of a. */
DDT_MUST_CHECK ddt_status ddt_eval_rotate(ddt_evaluator *ev, const ddt_ciphertext *a, int64_t steps,
                                          ddt_ciphertext *out);
DDT_MUST_CHECK ddt_status ddt_eval_conjugate(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_ciphertext *out);
/* Several rotations of one ciphertext: the decomposition is done once. out[i] alias neither a nor each other. */
DDT_MUST_CHECK ddt_status ddt_eval_rotate_hoisted(ddt_evaluator *ev, const ddt_ciphertext *a, const int64_t *steps,
                                                  size_t count, ddt_ciphertext *const *out);

/* ------------------------------------------------------------------ polynomials */

/*
 * out = sum_k coefficients[k] T_k(x) for x in [-1, 1] (basis Chebyshev), by Paterson-Stockmeyer with exact scales. Uses
 * ddt_ckks_polynomial_depth rescales; the result has level a's - depth (2 depth where composite) and exactly the
 * canonical scale of that level when a has its own. degree 1..255. Several polynomials on one input (count > 1) share
 * the powers: coefficients[i][0..degrees[i]], out[i] as many levels below as its own degree takes, always of the
 * canonical scale. a's own scale should be canonical: a relative deviation d of it costs about d * degree bits. out[i]
 * may alias a only where count is 1.
 */
unsigned ddt_ckks_polynomial_depth(unsigned degree);
DDT_MUST_CHECK ddt_status ddt_eval_chebyshev(ddt_evaluator *ev, const ddt_ciphertext *a,
                                             const double *const *coefficients, const unsigned *degrees, size_t count,
                                             ddt_ciphertext *const *out);

/* ------------------------------------------------------------------ noise */

/*
 * What each step adds, on average: the root mean square of |error| over the slots (the real part alone has 1/sqrt(2) of
 * it), relative to the scale given. Errors of different steps are independent, so squares add; a product of messages a,
 * b with errors e_a, e_b has error a e_b + b e_a, plus the steps' own. The worst of n slots is about sqrt(ln n) times
 * the root mean square. docs/precision.md gives the formulas and measured against predicted values.
 */
/* Rounding of an encoded message (also each plaintext factor's own error). */
double ddt_ckks_noise_encode(const ddt_ckks_params *params, double scale);
/* A fresh ciphertext, its encoding included. */
double ddt_ckks_noise_fresh_secret(const ddt_ckks_params *params, double scale);
double ddt_ckks_noise_fresh_public(const ddt_ckks_params *params, double scale);
/* ddt_eval_rescale, ddt_eval_adjust: rounding of 2 or 3 parts; scale_after: of the result. */
double ddt_ckks_noise_rescale(const ddt_ckks_params *params, unsigned parts, double scale_after);
/* ddt_eval_rotate, _conjugate, _relinearise at `level`, rounding included. */
double ddt_ckks_noise_key_switch(const ddt_ckks_params *params, unsigned level, double scale);
/* ddt_eval_relinearise_rescale and ddt_eval_mul of factors at `level`; scale_after: of the result, at level - 1. */
double ddt_ckks_noise_relinearise_rescale(const ddt_ckks_params *params, unsigned level, double scale_after);

/* What every slot of a ciphertext obeys in the worst case (ddt/ckks/bound.h): |exact message| <= message, |decrypted -
 * exact| <= error. */
typedef struct ddt_ckks_bound {
    double message;
    double error;
} ddt_ckks_bound;

#ifdef __cplusplus
}
#endif
/* Parts of this room with headers of their own. */
#include "ddt/ckks/bootstrap.h"
#include "ddt/ckks/bound.h"
#include "ddt/ckks/matrix.h"
#include "ddt/ckks/transform.h"

#endif
