/*
 * Four residues at a time in double precision (AVX2 and FMA).
 *
 * AVX2 multiplies no 64-bit integers, but a fused multiply-add gives both halves of a product of doubles: h = a b
 * rounded, l = a b - h exactly. Residues below 2^50 and their small multiples are integers that a double holds exactly,
 * so with c an integer near a b / q the remainder a b - c q = (h - c q) + l comes out exactly: h - c q is an integer of
 * less than 53 bits, and FMA rounds once.
 *
 * Everything here needs the rounding mode "to nearest", the one that C programs start in.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_RING_AVX2_VECTOR_H
#define DDT_RING_AVX2_VECTOR_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define DDT_INLINE static inline __attribute__((always_inline))

#ifdef __clang__
#define DDT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define DDT_UNROLL _Pragma("GCC unroll 8")
#endif

typedef __m256d vec;
typedef __m256i words;

enum { LANES = 4 };

/* 2^52: its sum with an integer below 2^52 has the integer as its mantissa. */
#define TWO_52 4503599627370496.0
/* 3 * 2^51: adding and subtracting it rounds a number below 2^51 to the nearest integer. */
#define ROUNDER 6755399441055744.0

DDT_INLINE words load_words(const uint64_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
DDT_INLINE void store_words(uint64_t *p, words v) { _mm256_storeu_si256((__m256i *)(void *)p, v); }
DDT_INLINE words splat_words(uint64_t x) { return _mm256_set1_epi64x((long long)x); }
DDT_INLINE vec splat(double x) { return _mm256_set1_pd(x); }
/* Doubles kept in the memory of a limb between passes. */
DDT_INLINE vec load(const uint64_t *p) { return _mm256_castsi256_pd(load_words(p)); }
DDT_INLINE void store(uint64_t *p, vec v) { store_words(p, _mm256_castpd_si256(v)); }

DDT_INLINE vec add(vec a, vec b) { return _mm256_add_pd(a, b); }
DDT_INLINE vec sub(vec a, vec b) { return _mm256_sub_pd(a, b); }
DDT_INLINE vec mul(vec a, vec b) { return _mm256_mul_pd(a, b); }
/* a b + c, a b - c, c - a b, each rounded once */
DDT_INLINE vec mul_add(vec a, vec b, vec c) { return _mm256_fmadd_pd(a, b, c); }
DDT_INLINE vec mul_sub(vec a, vec b, vec c) { return _mm256_fmsub_pd(a, b, c); }
DDT_INLINE vec sub_mul(vec c, vec a, vec b) { return _mm256_fnmadd_pd(a, b, c); }

/* The integer nearest to a b, for |a b| < 2^51. */
DDT_INLINE vec round_product(vec a, vec b) { return sub(mul_add(a, b, splat(ROUNDER)), splat(ROUNDER)); }

/* Integers in [0, 2^52) to doubles and back. */
DDT_INLINE vec from_words(words x) {
    return sub(_mm256_castsi256_pd(_mm256_or_si256(x, _mm256_castpd_si256(splat(TWO_52)))), splat(TWO_52));
}
DDT_INLINE words to_words(vec x) {
    return _mm256_xor_si256(_mm256_castpd_si256(add(x, splat(TWO_52))), _mm256_castpd_si256(splat(TWO_52)));
}

/* x + q where x < 0: (-q, q) to [0, q). The sign bit is the mask: no sum or fused product here ends in -0. */
DDT_INLINE vec lift(vec x, vec q) { return add(x, _mm256_blendv_pd(_mm256_setzero_pd(), q, x)); }

/* x minus the nearest multiple of q, for |x| < 2^52: |result| <= (1/2 + 2^-53 |x| / q + rounding) q < 0.51 q. inverse =
 * 1 / q rounded. */
DDT_INLINE vec centre(vec x, vec q, vec inverse) { return sub_mul(x, round_product(x, inverse), q); }

/* A constant factor w, |w| <= q / 2, with w / q rounded. */
typedef struct multiplier {
    vec w;
    vec ratio;
} multiplier;

/*
 * y w mod q for |y| <= 2^52: c differs from y w / q by at most 1/2 + 2^-54 |y|, so |result| <= (1/2 + 2^-54 |y|) q <=
 * 3/4 q, exactly (h - c q is an integer below 2^51 + 2^48).
 */
DDT_INLINE vec multiply(vec y, vec w, vec ratio, vec q) {
    vec h = mul(y, w);
    vec l = mul_sub(y, w, h);
    vec c = round_product(y, ratio);
    return add(sub_mul(h, c, q), l);
}

/*
 * a b mod q for 0 <= a, b < q: c is off by at most 1/2 + 3 * 2^-53 a b / q < 0.875 as a b / q < 2^50, so |result| <
 * 0.875 q.
 */
DDT_INLINE vec product(vec a, vec b, vec q, vec inverse) {
    vec h = mul(a, b);
    vec l = mul_sub(a, b, h);
    vec c = round_product(h, inverse);
    return add(sub_mul(h, c, q), l);
}

#endif
