/*
 * Portable modular arithmetic on machine words: what set-up code and the scalar kernels are made of.
 *
 * Every modulus q is an odd prime with 2^(bits-1) < q < 2^bits and bits <= 50. Nothing here branches on residues.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_RING_ARITH_H
#define DDT_RING_ARITH_H

#include <stdint.h>

typedef struct ddt_wide {
    uint64_t lo;
    uint64_t hi;
} ddt_wide;

#ifdef __SIZEOF_INT128__

__extension__ typedef unsigned __int128 ddt_u128;

static inline ddt_wide ddt_wide_mul(uint64_t a, uint64_t b) {
    ddt_u128 product = (ddt_u128)a * b;
    return (ddt_wide){(uint64_t)product, (uint64_t)(product >> 64)};
}

static inline uint64_t ddt_mul_high(uint64_t a, uint64_t b) { return (uint64_t)(((ddt_u128)a * b) >> 64); }

static inline ddt_wide ddt_wide_add(ddt_wide a, ddt_wide b) {
    ddt_u128 sum = (((ddt_u128)a.hi << 64) | a.lo) + (((ddt_u128)b.hi << 64) | b.lo);
    return (ddt_wide){(uint64_t)sum, (uint64_t)(sum >> 64)};
}

#else /* four 32 x 32 products: WebAssembly and other machines without a 128-bit type */

static inline ddt_wide ddt_wide_mul(uint64_t a, uint64_t b) {
    const uint64_t low_half = UINT32_MAX;
    uint64_t a0 = a & low_half;
    uint64_t a1 = a >> 32;
    uint64_t b0 = b & low_half;
    uint64_t b1 = b >> 32;
    uint64_t p00 = a0 * b0;
    uint64_t p01 = a0 * b1;
    uint64_t p10 = a1 * b0;
    uint64_t p11 = a1 * b1;
    uint64_t middle = (p00 >> 32) + (p01 & low_half) + (p10 & low_half);
    return (ddt_wide){(middle << 32) | (p00 & low_half), p11 + (p01 >> 32) + (p10 >> 32) + (middle >> 32)};
}

static inline uint64_t ddt_mul_high(uint64_t a, uint64_t b) { return ddt_wide_mul(a, b).hi; }

static inline ddt_wide ddt_wide_add(ddt_wide a, ddt_wide b) {
    uint64_t lo = a.lo + b.lo;
    return (ddt_wide){lo, a.hi + b.hi + (lo < b.lo ? 1U : 0U)};
}

#endif

/* x mod s for x in [0, 2s), s < 2^63, without a branch: the wrapped difference is the larger one exactly when x < s. */
static inline uint64_t ddt_reduce_once(uint64_t x, uint64_t s) {
    uint64_t y = x - s;
    return y + (s & (uint64_t)((int64_t)y >> 63));
}

/* floor(2^shift / q) for shift <= bits + 63, by long division: set-up only. */
static inline uint64_t ddt_power_of_two_quotient(unsigned shift, uint64_t q) {
    uint64_t quotient = 0;
    uint64_t remainder = 1;
    for (unsigned i = 0; i < shift; i++) {
        remainder <<= 1;
        quotient <<= 1;
        if (remainder >= q) {
            remainder -= q;
            quotient |= 1;
        }
    }
    return quotient;
}

/*
 * x mod q for any x < 2^64; reciprocal = floor(2^64 / q). The estimate of the quotient is below x / q by less than
 * 1 (rounding of the product) + x / 2^64 (rounding of the reciprocal), so the remainder lies in [0, 2q).
 */
static inline uint64_t ddt_reduce_64(uint64_t x, uint64_t q, uint64_t reciprocal) {
    return ddt_reduce_once(x - ddt_mul_high(x, reciprocal) * q, q);
}

/*
 * x mod q for x < 2^(bits + 63); reciprocal = floor(2^(bits + 63) / q), in (2^63, 2^64). With t = floor(x / 2^(bits -
 * 1)) < 2^64 the estimate floor(t * reciprocal / 2^64) is below x / q by less than 1 (t) + 1 (reciprocal) + 1
 * (product): remainder in [0, 3q).
 */
static inline uint64_t ddt_reduce_wide(ddt_wide x, uint64_t q, unsigned bits, uint64_t reciprocal) {
    unsigned shift = bits - 1;
    uint64_t t = (x.lo >> shift) | (x.hi << (64 - shift));
    uint64_t r = x.lo - ddt_mul_high(t, reciprocal) * q;
    return ddt_reduce_once(ddt_reduce_once(r, 2 * q), q);
}

/* w * x mod q up to one multiple of q: the result lies in [0, 2q) for any x < 2^64. quotient = floor(w * 2^64 / q), w <
 * q (Shoup). */
static inline uint64_t ddt_shoup_lazy(uint64_t x, uint64_t w, uint64_t quotient, uint64_t q) {
    return w * x - ddt_mul_high(x, quotient) * q;
}

#endif
