/*
 * The kernel table: one implementation of every limb function for one instruction set. The public functions of
 * ddt/ring.h state the contracts; a kernel gets the modulus instead of the ring and an index. Files of the same name in
 * scalar/, avx2/ and avx512ifma/ implement the same entries, and every entry returns the same bytes in each.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_RING_KERNELS_H
#define DDT_RING_KERNELS_H

#include <stdbool.h>

#include "ddt/ring.h"

#include "modulus.h"

enum {
    /* Fraction bits of the base-conversion quotient, see baseconv.c. */
    DDT_BASECONV_FRACTION_BITS = 49,
    /* Most source moduli of a base conversion: 128 products of 2^100 stay within reach of ddt_reduce_wide. */
    DDT_BASECONV_FROM_MAX = 128,
    /* Positions of a part of a limb, see ddt_ring_part: a few of them fit the level-1 cache. */
    DDT_RING_LOG_PART = 9,
    DDT_RING_PART = 1 << DDT_RING_LOG_PART,
    DDT_RING_STEPS_FROM = 8 * DDT_RING_PART,
    /* Terms of an inner product that are read side by side; more streams are more than processors fetch ahead of. */
    DDT_RING_DOT_SHORT = 6,
    /* Target limbs that one pass of the second half over the sources makes. */
    DDT_BASECONV_TARGETS = 2,
    DDT_BASECONV_TOGETHER = 8
};

/* One source limb of the first half of a base conversion. */
typedef struct ddt_baseconv_source {
    const ddt_modulus *modulus;
    uint64_t factor; /* (Q / q)^-1 mod q */
} ddt_baseconv_source;

/* One target limb of the second half; factors[0..count): Q / q_k mod q, factors[count]: -Q mod q, in the kernel set's
 * form. */
typedef struct ddt_baseconv_target {
    const ddt_modulus *modulus;
    const uint64_t *factors;
} ddt_baseconv_target;

/* The sources of the second half. */
typedef struct ddt_baseconv_inputs {
    size_t count;
    const uint64_t *const *y;
    const uint64_t *quotient;
    bool narrow; /* the sum of their moduli is at most 3 2^50 */
} ddt_baseconv_inputs;

typedef struct ddt_kernels {
    const char *name;
    bool (*supported)(void);

    /* Words of twiddle tables a modulus needs; fill writes them. roots[i] = psi^bitrev(i), i < N. */
    size_t (*table_words)(unsigned log_n);
    void (*fill_tables)(const ddt_modulus *modulus, const uint64_t *roots, uint64_t *tables);

    void (*ntt)(const ddt_modulus *modulus, uint64_t *a);
    void (*intt)(const ddt_modulus *modulus, uint64_t *a);
    /* Several limbs of one modulus; NULL: one after another. */
    void (*ntt_many)(const ddt_modulus *modulus, uint64_t *const *limbs, size_t count);
    void (*intt_many)(const ddt_modulus *modulus, uint64_t *const *limbs, size_t count);
    /* intt_many times a constant in [0, q); NULL: not for free. */
    void (*intt_scaled)(const ddt_modulus *modulus, uint64_t *const *limbs, size_t count, uint64_t factor);
    /*
     * The transform in two steps, for at least DDT_RING_STEPS_FROM positions; visitor may be NULL. NULL: the first step
     * does nothing, the second is ntt_many. The second makes pieces [first, end) of ntt_pieces.
     */
    void (*ntt_begin)(const ddt_modulus *modulus, uint64_t *a);
    size_t (*ntt_pieces)(const ddt_modulus *modulus);
    void (*ntt_finish)(const ddt_modulus *modulus, uint64_t *const *limbs, size_t count,
                       const ddt_ring_visitor *visitor, size_t first, size_t end);

    void (*add)(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b);
    void (*sub)(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b);
    void (*neg)(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a);
    void (*mul)(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b);
    void (*mul_add)(const ddt_modulus *modulus, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                    const uint64_t *b);
    void (*add_scalar)(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, uint64_t s);
    void (*mul_scalar)(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, uint64_t s);
    void (*mul_scalar_add)(const ddt_modulus *modulus, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                           uint64_t s);
    void (*sub_mul_scalar)(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b, uint64_t s);
    void (*sub_mul_scalar_add)(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b,
                               uint64_t s, const uint64_t *acc);
    /* d = {d0, d1, d2}, a = {a0, a1}, b = {b0, b1}; added to d where accumulate is set. */
    void (*tensor)(const ddt_modulus *modulus, uint64_t *const d[3], const uint64_t *const a[2],
                   const uint64_t *const b[2], bool accumulate);
    void (*dot2)(const ddt_modulus *modulus, uint64_t *out0, uint64_t *out1, const uint64_t *const *a,
                 const uint64_t *const *b0, const uint64_t *const *b1, size_t count);
    /* NULL: one after the other. Otherwise for DDT_RING_DOT_SHORT terms at most. */
    void (*dot2_end)(const ddt_modulus *modulus, uint64_t *const out[2], const uint64_t *const *a,
                     const uint64_t *const *b0, const uint64_t *const *b1, size_t count, const ddt_ring_dot_end *end);
    void (*change_modulus)(const ddt_modulus *from, const ddt_modulus *to, uint64_t *out, const uint64_t *in);
    /* The same and ntt_begin in one; wanted where ntt_begin is not NULL. */
    void (*change_begin)(const ddt_modulus *from, const ddt_modulus *to, uint64_t *out, const uint64_t *in);
    void (*from_signed)(const ddt_modulus *modulus, uint64_t *out, const int64_t *values);
    /* NULL: one after the other. */
    void (*from_signed_mul)(const ddt_modulus *modulus, uint64_t *out, const int64_t *values, uint64_t s);
    void (*permute)(size_t n, uint64_t *out, const uint64_t *in, const uint32_t *permutation);
    /* A copy past the caches, of whole cache lines; NULL: there is none. */
    void (*publish)(uint64_t *out, const uint64_t *in, size_t count);

    void (*baseconv_prepare)(const ddt_baseconv_source *sources, size_t count, const uint64_t *const *in,
                             uint64_t *const *y, uint64_t *quotient, size_t begin, size_t end);
    /* The same when y is scaled already; wanted where intt_scaled is not NULL. */
    void (*baseconv_quotients)(const ddt_baseconv_source *sources, size_t count, const uint64_t *const *y,
                               uint64_t *quotient, size_t begin, size_t end);
    /* The form in which a factor of the second half is stored. */
    uint64_t (*baseconv_factor)(const ddt_modulus *to, uint64_t factor);
    /* out[i] gets the residues modulo targets[i]; target_count is 1 or 2. */
    void (*baseconv_limbs)(const ddt_baseconv_target *targets, size_t target_count, size_t count, uint64_t *const *out,
                           const uint64_t *const *y, const uint64_t *quotient, size_t begin, size_t end);
    /* baseconv_limbs of whole limbs and ntt_begin in one, for at most DDT_BASECONV_TOGETHER targets; wanted where
     * ntt_begin is not NULL. */
    void (*baseconv_begin)(const ddt_baseconv_target *targets, size_t target_count, const ddt_baseconv_inputs *in,
                           uint64_t *const *out);
} ddt_kernels;

extern const ddt_kernels ddt_kernels_scalar;
#ifdef DDT_HAVE_X86_KERNELS
extern const ddt_kernels ddt_kernels_avx2;
extern const ddt_kernels ddt_kernels_avx512ifma;
#endif

/* The kernel set in force, chosen on first use. NULL, with the reason in ctx, when DDT_KERNELS asks for one that cannot
 * run. */
const ddt_kernels *ddt_kernels_active(ddt_context *ctx);

#endif
