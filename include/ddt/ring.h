/*
 * ddt/ring.h - arithmetic in Z_q[X]/(X^N + 1) for NTT primes q of at most 50 bits.
 *
 * A ring holds N and a list of moduli with their tables. The unit of work is one limb: N residues of one modulus in a
 * 64-byte aligned array of uint64_t, each fully reduced to [0, q) at every function boundary. RNS polynomials are
 * arrays of limbs; which limb belongs to which modulus is the caller's affair, given as a modulus index. Limb functions
 * are single-threaded, never allocate and never fail; the caller runs limbs in parallel. Contracts (aliasing, ranges,
 * domains) are stated on each.
 *
 * Results are the same bytes whichever kernel set runs (scalar, avx2, avx512ifma).
 * Timing of limb functions does not depend on the residues, except where a comment says otherwise.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_RING_H
#define DDT_RING_H

#include "ddt/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DDT_RING_LOG_N_MIN = 4,
    DDT_RING_LOG_N_MAX = 17,
    DDT_RING_MODULUS_BITS_MAX = 50,
    DDT_RING_DOT_MAX = 16 /* most terms of one lazily reduced inner product */
};

typedef struct ddt_ring ddt_ring;

/* ------------------------------------------------------------------ kernels */

/*
 * Forces a kernel set: "scalar", "avx2" or "avx512ifma"; NULL takes the environment variable DDT_KERNELS or, without
 * it, the best that the processor runs. Call before creating rings. Errors: DDT_ERR_UNSUPPORTED (processor lacks it),
 * DDT_ERR_USAGE (unknown).
 */
DDT_MUST_CHECK ddt_status ddt_ring_select_kernels(ddt_context *ctx, const char *name);
const char *ddt_ring_kernels(void);

/* ------------------------------------------------------------------ set-up */

/*
 * Finds `count` distinct primes q = 1 mod 2^order_log2, q < 2^50, nearest to 2^bits (bits may be fractional),
 * alternately above and below, none of them in exclude[0..exclude_count). Deterministic. Errors: DDT_ERR_ARGUMENT,
 * DDT_ERR_CAPACITY (not enough such primes).
 */
DDT_MUST_CHECK ddt_status ddt_ring_find_primes(ddt_context *ctx, unsigned order_log2, double bits, size_t count,
                                               const uint64_t *exclude, size_t exclude_count, uint64_t *primes);

/* moduli: distinct primes below 2^50, each 1 mod 2^(log_n+1) (checked, primality included). The caller owns *out. */
DDT_MUST_CHECK ddt_status ddt_ring_create(ddt_context *ctx, unsigned log_n, const uint64_t *moduli, size_t count,
                                          ddt_ring **out);
void ddt_ring_destroy(ddt_ring *ring);

/* The degree N and its logarithm, the number of moduli, and modulus m < count: as created. */
unsigned ddt_ring_log_n(const ddt_ring *ring);
size_t ddt_ring_n(const ddt_ring *ring);
size_t ddt_ring_count(const ddt_ring *ring);
uint64_t ddt_ring_modulus(const ddt_ring *ring, size_t m);

/* Scalars mod the modulus of index m, for set-up work. Inputs in [0, q). ddt_ring_scalar_inverse wants a != 0. */
uint64_t ddt_ring_scalar_mul(const ddt_ring *ring, size_t m, uint64_t a, uint64_t b);
uint64_t ddt_ring_scalar_pow(const ddt_ring *ring, size_t m, uint64_t a, uint64_t exponent);
uint64_t ddt_ring_scalar_inverse(const ddt_ring *ring, size_t m, uint64_t a);

/* ------------------------------------------------------------------ one limb; m is the modulus index */

/*
 * Negacyclic NTT in place: coefficient domain -> NTT domain. Position j of the NTT domain holds the value at psi^(2
 * bitrev(j) + 1), psi the ring's primitive 2N-th root of modulus m (the smallest one, so that files stay the same).
 */
void ddt_ring_ntt(const ddt_ring *ring, size_t m, uint64_t *a);
/* The inverse, scaled by 1/N. */
void ddt_ring_intt(const ddt_ring *ring, size_t m, uint64_t *a);

/* The same for `count` limbs of one modulus, which share what is read of its tables. The limbs alias nothing. */
void ddt_ring_ntt_many(const ddt_ring *ring, size_t m, uint64_t *const *limbs, size_t count);
void ddt_ring_intt_many(const ddt_ring *ring, size_t m, uint64_t *const *limbs, size_t count);

/*
 * Element-wise work on a part of a limb: a ring of the same moduli whose limbs are the parts, ddt_ring_n(part) aligned
 * positions each (a divisor of N). For element-wise functions, inner products and ddt_ring_permute only. It belongs to
 * `ring`.
 */
const ddt_ring *ddt_ring_part(const ddt_ring *ring);
/*
 * What to do with each part of the NTT domain as soon as a transform has finished it, while it is in the nearest cache.
 * visit(work, from) gets the parts [from, from + ddt_ring_n(part)) in increasing order, each once. It may write to the
 * part of the transformed limbs that it is given.
 */
typedef struct ddt_ring_visitor {
    void (*visit)(void *work, size_t from);
    void *work;
    const uint64_t *const *ahead; /* limbs that visit reads: fetched into the caches while transforms compute */
    size_t ahead_count;
    /* visit hands the transformed limbs to ddt_ring_dot2_end and nothing else, as up to DDT_RING_DOT_LAZY terms a[k]
     * and as rest: that takes residues that are not reduced yet, in a form of the kernels' own. */
    bool lazy;
} ddt_ring_visitor;
/*
 * The NTT in two steps. Between them a limb is in a form of its own, which depends on the kernels. begin: from the
 * coefficient domain, in place; ddt_baseconv_begin() makes such limbs, too. finish: `count` limbs of one modulus, which
 * may be none; visitor may be NULL.
 */
void ddt_ring_ntt_begin(const ddt_ring *ring, size_t m, uint64_t *a);
void ddt_ring_ntt_finish(const ddt_ring *ring, size_t m, uint64_t *const *limbs, size_t count,
                         const ddt_ring_visitor *visitor);
/*
 * The second step of pieces [first, end) of the NTT domain alone, so that threads can share a limb: there are
 * ddt_ring_pieces() of them, of the same size, in order; 1 where the kernels have no steps.
 */
size_t ddt_ring_pieces(const ddt_ring *ring);
void ddt_ring_ntt_finish_pieces(const ddt_ring *ring, size_t m, uint64_t *const *limbs, size_t count,
                                const ddt_ring_visitor *visitor, size_t first, size_t end);

/* Element-wise, either domain; out may alias any input. */
void ddt_ring_add(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, const uint64_t *b);
void ddt_ring_sub(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, const uint64_t *b);
void ddt_ring_neg(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a);
void ddt_ring_mul(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, const uint64_t *b);
/* out = acc + a * b */
void ddt_ring_mul_add(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                      const uint64_t *b);
/* out = a + s, s added to every residue (a constant polynomial in NTT domain); s in [0, q). */
void ddt_ring_add_scalar(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, uint64_t s);
/* out = a * s; s in [0, q). */
void ddt_ring_mul_scalar(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, uint64_t s);
/* out = acc + a * s */
void ddt_ring_mul_scalar_add(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                             uint64_t s);
/* out = (a - b) * s: the last step of rescale and mod-down. */
void ddt_ring_sub_mul_scalar(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, const uint64_t *b,
                             uint64_t s);

/* out = (a - b) * s + acc: the same before something is added. */
void ddt_ring_sub_mul_scalar_add(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, const uint64_t *b,
                                 uint64_t s, const uint64_t *acc);

/* The tensor product of two degree-1 ciphertexts: d0 = a0 b0, d1 = a0 b1 + a1 b0, d2 = a1 b1. Outputs alias nothing. */
void ddt_ring_tensor(const ddt_ring *ring, size_t m, uint64_t *d0, uint64_t *d1, uint64_t *d2, const uint64_t *a0,
                     const uint64_t *a1, const uint64_t *b0, const uint64_t *b1);
/* The same, added to d0, d1, d2: sums of products before one relinearisation. */
void ddt_ring_tensor_add(const ddt_ring *ring, size_t m, uint64_t *d0, uint64_t *d1, uint64_t *d2, const uint64_t *a0,
                         const uint64_t *a1, const uint64_t *b0, const uint64_t *b1);

/*
 * out0 = sum_k a[k] * b0[k], out1 = sum_k a[k] * b1[k], count in [1, DDT_RING_DOT_MAX], reduced once at the end: the
 * inner product of key switching. Outputs alias nothing.
 */
void ddt_ring_dot2(const ddt_ring *ring, size_t m, uint64_t *out0, uint64_t *out1, const uint64_t *const *a,
                   const uint64_t *const *b0, const uint64_t *const *b1, size_t count);

/*
 * The same and more in one: ddt_ring_dot2_end leaves for part p = 0, 1
 *
 *     S_p = sum_k a[k] b_p[k] + sum[p] + factor addend[p] + factor T_p,   T_0 = left[0] right[0],
 *                                                                         T_1 = left[0] right[1] + left[1] right[0],
 *
 * or, where something is divided, (S_p - rest[p]) divisor + then[p]. Whatever is NULL is left out: sum, addend, left
 * and rest by their first entry, then by each. Not addend and left at once. count below DDT_RING_DOT_MAX. An output may
 * alias limbs of sum, addend, left, right, then and its own rest, which are read at a position before anything is
 * written there. room: DDT_RING_DOT_ROOM limbs of scratch, needed with sum, left or rest. passing: the outputs go past
 * the caches to memory, for those that are not read soon; not with rest.
 */
enum { DDT_RING_DOT_ROOM = 5, DDT_RING_DOT_LAZY = 4 };
typedef struct ddt_ring_dot_end {
    const uint64_t *sum[2];
    const uint64_t *addend[2];
    const uint64_t *left[2];
    const uint64_t *right[2];
    uint64_t factor;
    const uint64_t *rest[2];
    uint64_t divisor;
    const uint64_t *then[2];
    uint64_t *room;
    bool passing;
} ddt_ring_dot_end;
/* Whether left and right cost less in there than a product that is made first: so it is where the kernels do all at
 * once. */
bool ddt_ring_dot_takes_products(const ddt_ring *ring);
void ddt_ring_dot2_end(const ddt_ring *ring, size_t m, uint64_t *out0, uint64_t *out1, const uint64_t *const *a,
                       const uint64_t *const *b0, const uint64_t *const *b1, size_t count, const ddt_ring_dot_end *end);

/*
 * out = the centred representative of in (mod modulus `from`, coefficient domain, as an integer in (-q/2, q/2]) reduced
 * modulo modulus `to`. out may alias in.
 */
void ddt_ring_change_modulus(const ddt_ring *ring, size_t from, size_t to, uint64_t *out, const uint64_t *in);
/* The same and ddt_ring_ntt_begin() of the result in one. */
void ddt_ring_change_begin(const ddt_ring *ring, size_t from, size_t to, uint64_t *out, const uint64_t *in);

/* Signed integers (|value| < 2^62), coefficient domain -> residues. */
void ddt_ring_from_signed(const ddt_ring *ring, size_t m, uint64_t *out, const int64_t *values);
/* The same times s, in [0, q), for |value| <= 2^50: no more work than without s. */
void ddt_ring_from_signed_mul(const ddt_ring *ring, size_t m, uint64_t *out, const int64_t *values, uint64_t s);

/* ------------------------------------------------------------------ Galois automorphisms */

/* The Galois element 5^steps mod 2N of a rotation by `steps` slots to the left (any sign), or 2N-1 for conjugation. */
uint64_t ddt_ring_galois_rotation(const ddt_ring *ring, int64_t steps);
uint64_t ddt_ring_galois_conjugation(const ddt_ring *ring);
/* Fills permutation[0..N): automorphism X -> X^galois in NTT domain is out[j] = in[permutation[j]]. galois odd, below
 * 2N. */
void ddt_ring_galois_permutation(const ddt_ring *ring, uint64_t galois, uint32_t *permutation);
/* out[j] = in[permutation[j]], permutation from ddt_ring_galois_permutation (it keeps aligned blocks of 8 together);
 * out does not alias in. */
void ddt_ring_permute(const ddt_ring *ring, uint64_t *out, const uint64_t *in, const uint32_t *permutation);

/*
 * A copy of `count` words for other threads to read, past the caches: to write a cache line that another core has read
 * takes as long as ten of these stores, or one or two if the cores share a cache.
 */
void ddt_ring_publish(const ddt_ring *ring, uint64_t *out, const uint64_t *in, size_t count);

/* ------------------------------------------------------------------ RNS base conversion */

/*
 * Converts from moduli `from` (product Q) to moduli `to`, centred: the integer that is converted is the representative
 * of x mod Q in
 * [-Q/2, Q/2) (a tie or near-tie within 2^-40 Q of the border may go either way; the result is then off by Q, as always
 * in approximate conversion). The quotient is found in fixed-point integer arithmetic, so that all kernels agree.
 * Halevi, Polyakov, Shoup 2019.
 */
typedef struct ddt_baseconv ddt_baseconv;
DDT_MUST_CHECK ddt_status ddt_baseconv_create(ddt_context *ctx, const ddt_ring *ring, const uint32_t *from,
                                              size_t from_count, const uint32_t *to, size_t to_count,
                                              ddt_baseconv **out);
void ddt_baseconv_destroy(ddt_baseconv *conversion);
/*
 * First half. in[k]: limb of modulus from[k], coefficient domain; y[k]: scaled limb (may alias in[k]); quotient: N
 * values. Works on coefficients [begin, end), multiples of 8, so that callers can split the work.
 */
void ddt_baseconv_prepare(const ddt_baseconv *conversion, const uint64_t *const *in, uint64_t *const *y,
                          uint64_t *quotient, size_t begin, size_t end);
/*
 * The first half of limbs in NTT domain, for less: the inverse transforms of `count` limbs of source k, in place, into
 * a form that depends on the kernels; then, in place, what is left of the first half: y and quotient are those of
 * ddt_baseconv_prepare.
 */
void ddt_baseconv_intt(const ddt_baseconv *conversion, size_t k, uint64_t *const *limbs, size_t count);
void ddt_baseconv_quotients(const ddt_baseconv *conversion, uint64_t *const *y, uint64_t *quotient, size_t begin,
                            size_t end);
/* Second half, once for each target limb j: out gets the residues modulo to[j]. Aliases nothing. */
void ddt_baseconv_limb(const ddt_baseconv *conversion, size_t j, uint64_t *out, const uint64_t *const *y,
                       const uint64_t *quotient);
/*
 * The same for several target limbs at once, which reads y from memory once instead of `count` times: out[i] gets the
 * residues modulo to[targets[i]] of coefficients [begin, end), multiples of 8. The outputs alias neither each other nor
 * an input.
 */
void ddt_baseconv_limbs(const ddt_baseconv *conversion, const uint32_t *targets, size_t count, uint64_t *const *out,
                        const uint64_t *const *y, const uint64_t *quotient, size_t begin, size_t end);
/*
 * The second half and ddt_ring_ntt_begin() of its results in one: out[i] is ready for ddt_ring_ntt_finish() with
 * modulus to[targets[i]]. The targets share one reading of y.
 */
void ddt_baseconv_begin(const ddt_baseconv *conversion, const uint32_t *targets, size_t count, uint64_t *const *out,
                        const uint64_t *const *y, const uint64_t *quotient);

#ifdef __cplusplus
}
#endif
#endif
