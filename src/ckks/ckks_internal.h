/* Private to the ckks room (custody uses none of it). SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_CKKS_INTERNAL_H
#define DDT_CKKS_INTERNAL_H

#include "ddt/ckks.h"

/* re + im i, without a product; CMPLX is not among what Clang takes from the C library. */
static inline double complex ckks_complex_of(double re, double im) {
    double complex value = 0.0;
    ((double *)&value)[0] = re;
    ((double *)&value)[1] = im;
    return value;
}

/* Canonical embedding: twiddles of all stages, stage with half-length h at [h, 2h). */
typedef struct ckks_fft {
    size_t slots;
    double *re;
    double *im;
    double *re_low; /* what the roots have beyond a double */
    double *im_low;
    uint32_t *reversed; /* bit reversal of slot numbers */
} ckks_fft;

struct ddt_ckks_params {
    ddt_ckks_literal literal;
    bool secure;
    size_t n;
    unsigned top;         /* levels + boot_levels */
    size_t modulus_count; /* top + 1 + p_count */
    ddt_ring *ring;
    double log2_qp;
    double scales[DDT_CKKS_LEVELS_MAX + 1];
    double log2_q[DDT_CKKS_LEVELS_MAX + 1]; /* log2(q_0 ... q_l) */
    ddt_digest digest;
    ckks_fft fft;
    uint64_t p_mod_q[DDT_CKKS_LEVELS_MAX + 1];
    uint64_t p_inverse[DDT_CKKS_LEVELS_MAX + 1];
    uint64_t *q_inverse; /* [l * (top + 1) + i] = q_l^-1 mod q_i, i < l */
    uint64_t
        imaginary[DDT_CKKS_LEVELS_MAX + 1 + DDT_CKKS_P_MAX]; /* X^(N/2) at NTT positions below N/2; minus that above */
    /*
     * Digit extension. Complete digits: whole[d] converts digit d to every other prime of the ring, in ring order.
     * Where the last digit of level l is incomplete, part[l] converts its limbs to q_0 .. (the first limbs, not in it)
     * and the P primes.
     */
    ddt_baseconv *whole[DDT_CKKS_LEVELS_MAX + 1];
    ddt_baseconv *part[DDT_CKKS_LEVELS_MAX + 1];
    /* P -> q_0..q_top, and (P, q_l) -> q_0..q_{l-1}. */
    ddt_baseconv *down;
    ddt_baseconv *down_rescale[DDT_CKKS_LEVELS_MAX + 1];
};

/* Scratch in limbs of N words, taken from one block that grows on the first use of an operation and stays. */
typedef struct ckks_arena {
    uint64_t *block;
    size_t capacity; /* words */
    size_t used;
} ckks_arena;

/* Ciphertexts of 3 parts for intermediate results, kept from call to call. */
typedef struct ckks_pool_item {
    ddt_ciphertext ciphertext;
    bool taken;
} ckks_pool_item;

typedef struct ckks_pool {
    ckks_pool_item **items;
    size_t count;
} ckks_pool;

/* Whether the evaluator's threads have caches of their own: measured now and then, as systems move threads. */
typedef struct ckks_caches {
    bool apart;
    unsigned until; /* key switches before it is measured again */
} ckks_caches;

struct ddt_evaluator {
    ddt_context *ctx;
    const ddt_ckks_params *params;
    const ddt_eval_keys *keys;
    int threads;
    ckks_arena arena;
    ckks_pool pool;
    ckks_caches caches;
};

typedef struct ckks_key_entry {
    ddt_switch_key key;
    uint32_t *permutation; /* of the NTT domain; NULL for relinearisation */
} ckks_key_entry;

struct ddt_eval_keys {
    const ddt_ckks_params *params;
    ckks_key_entry **entries; /* sorted by Galois element */
    size_t count;
    ddt_encapsulation encapsulation; /* for bootstrapping; its arrays may be NULL */
};

/* fft.c */
ddt_status ckks_fft_create(ddt_context *ctx, size_t slots, ckks_fft *out);
void ckks_fft_destroy(ckks_fft *fft);
/* Coefficients (bit-reversed order) -> slots, and back (unscaled). count: a power of two <= fft->slots. */
void ckks_fft_forward(const ckks_fft *fft, double *re, double *im, size_t count);
void ckks_fft_inverse(const ckks_fft *fft, double *re, double *im, size_t count);

/* wide.c: the same transforms in double-double arithmetic. */
typedef struct ckks_wide {
    double *re;
    double *re_low;
    double *im;
    double *im_low;
} ckks_wide;
void ckks_wide_forward(const ckks_fft *fft, const ckks_wide *values, size_t count);
void ckks_wide_inverse(const ckks_fft *fft, const ckks_wide *values, size_t count);

/*
 * crt.c: centred value of each coefficient as a double, and in out_low (NULL: not wanted) what a double does not hold
 * of it. limbs: NTT domain, level + 1 of them, contiguous.
 */
ddt_status ckks_crt_centred(ddt_context *ctx, const ddt_ckks_params *params, const uint64_t *limbs, unsigned level,
                            double *out, double *out_low);

/* encode.c: an encoding over q_0..q_level and the P primes; limbs: level + 1 + p_count of them. */
ddt_status ckks_encode_extended(ddt_context *ctx, const ddt_ckks_params *params, const double complex *values,
                                size_t count, unsigned level, double scale, uint64_t *limbs);

/* A rounded double as a residue: exact for any magnitude. */
uint64_t ckks_double_residue(const ddt_ring *ring, size_t m, double integer);
/* Fills a limb with the NTT domain of the constant polynomial re + im X^(N/2), both integers. */
void ckks_fill_constant(const ddt_ckks_params *params, size_t m, double re, double im, uint64_t *limb);

/* keys.c */
const ckks_key_entry *ckks_keys_entry(const ddt_eval_keys *keys, uint64_t galois);
/* Bits of a residue modulo q. */
unsigned ckks_modulus_bits(uint64_t q);
/* The digest of the parameters, refused when it is not ours. */
ddt_status ckks_read_digest(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params, const char *what);
ddt_status ckks_read_limb(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params, size_t m,
                          uint64_t *limb);

/*
 * polynomial.c: a holds i x; out = sum over even k of c_k T_k(x) + i times the sum over odd k: the exponential function
 * of an imaginary argument costs no more than a real polynomial.
 */
ddt_status ckks_chebyshev_turned(ddt_evaluator *ev, const ddt_ciphertext *a, const double *coefficients,
                                 unsigned degree, ddt_ciphertext *out);
/*
 * ddt_ckks_bound_chebyshev for an argument that may lie outside of [-1, 1]: |x| <= reach, reach >= 1; and without the
 * rounding of constants, if so wanted.
 */
typedef struct ckks_chebyshev_argument {
    unsigned level;
    double scale;
    double reach;
    double error;
    bool exact_constants;
} ckks_chebyshev_argument;
double ckks_bound_chebyshev(const ddt_ckks_params *params, const ckks_chebyshev_argument *x, const double *coefficients,
                            unsigned degree, unsigned tail_bits);

/* bootstrap_keys.c */
size_t ckks_encapsulation_bytes(const ddt_eval_keys *keys);

/* evaluator.c */
/*
 * Words from one limb to the next in an arena: a page and a line more than N, because equal places of limbs a power of
 * two apart share one set of every cache, which holds eight lines.
 */
size_t ckks_limb_stride(size_t n);
ddt_status ckks_arena_begin(ddt_evaluator *ev, size_t limbs);
uint64_t *ckks_arena_take(ddt_evaluator *ev, size_t limbs);
/* A ciphertext of 3 parts from the pool, with room for `level`. */
ddt_status ckks_pool_take(ddt_evaluator *ev, unsigned level, ddt_ciphertext **out);
void ckks_pool_give(ddt_evaluator *ev, const ddt_ciphertext *ciphertext);
ddt_status ckks_check_input(ddt_evaluator *ev, const char *operation, const ddt_ciphertext *a);
ddt_status ckks_check_room(ddt_evaluator *ev, const char *operation, const ddt_ciphertext *out, unsigned level,
                           unsigned parts);
ddt_status ckks_check_pair(ddt_evaluator *ev, const char *operation, const ddt_ciphertext *a, const ddt_ciphertext *b);
ddt_status ckks_check_scales(ddt_evaluator *ev, const char *operation, double a, double b);
void ckks_set_result(ddt_ciphertext *out, unsigned level, unsigned parts, double scale);

/* linear.c: a divided by its top prime; a level of 1 or more. */
ddt_status ckks_divide_top(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_ciphertext *out);
/* linear.c: the limbs 0..level of a; no checks. */
void ckks_copy(const ddt_evaluator *ev, const ddt_ciphertext *a, unsigned level, ddt_ciphertext *out);

/*
 * relinearise.c: the product of two ciphertexts of two parts, relinearised and divided by its top prime, as if it were
 * made and handed to ddt_eval_relinearise_rescale; out may be a factor. The factors have been checked.
 */
ddt_status ckks_mul_rescale(ddt_evaluator *ev, const char *operation, const ddt_ciphertext *a, const ddt_ciphertext *b,
                            ddt_ciphertext *out);

/* multiply.c: one limb of a tensor product, optionally added to out. */
void ckks_tensor_limb(const ddt_ckks_params *params, const ddt_ciphertext *a, const ddt_ciphertext *b, unsigned limb,
                      bool accumulate, const ddt_ciphertext *out);

#endif
