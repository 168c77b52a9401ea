/*
 * Eight residues at a time with the 52-bit multiply-add instructions (AVX-512 IFMA).
 *
 * The multipliers read the low 52 bits of each factor and add the low or the high 52 bits of the 104-bit product to a
 * 64-bit lane.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_RING_AVX512IFMA_VECTOR_H
#define DDT_RING_AVX512IFMA_VECTOR_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define DDT_INLINE static inline __attribute__((always_inline))

/* Before a loop of constant length over an array of vectors, which must end up in registers. */
#ifdef __clang__
#define DDT_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__SANITIZE_ADDRESS__) /* built without the passes that would read the annotation */
#define DDT_UNROLL
#else
#define DDT_UNROLL _Pragma("GCC unroll 16")
#endif

typedef __m512i vec;

enum { LANES = 8, WORD_BITS = 52 };

#define WORD_MASK ((UINT64_C(1) << WORD_BITS) - 1)

DDT_INLINE vec load(const uint64_t *p) { return _mm512_loadu_si512(p); }
DDT_INLINE void store(uint64_t *p, vec v) { _mm512_storeu_si512(p, v); }
DDT_INLINE vec splat(uint64_t x) { return _mm512_set1_epi64((long long)x); }
DDT_INLINE vec add(vec a, vec b) { return _mm512_add_epi64(a, b); }
DDT_INLINE vec sub(vec a, vec b) { return _mm512_sub_epi64(a, b); }
DDT_INLINE vec min(vec a, vec b) { return _mm512_min_epu64(a, b); }
DDT_INLINE vec zero(void) { return _mm512_setzero_si512(); }
/* accumulator + the low or the high 52 bits of a * b */
DDT_INLINE vec add_low(vec accumulator, vec a, vec b) { return _mm512_madd52lo_epu64(accumulator, a, b); }
DDT_INLINE vec add_high(vec accumulator, vec a, vec b) { return _mm512_madd52hi_epu64(accumulator, a, b); }

/*
 * Makes a pointer opaque. In a loop this keeps the compiler from computing addresses and loading constants beforehand,
 * more of them than there are registers, where a displacement from one register or a load in its place does.
 */
DDT_INLINE const void *opaque(const void *p) {
    __asm__("" : "+r"(p));
    return p;
}

/* x mod s for x in [0, 2s): x - s wraps to a huge number exactly when x < s. */
DDT_INLINE vec reduce_once(vec x, vec s) { return min(x, sub(x, s)); }

#endif
