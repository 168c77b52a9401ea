/*
 * One modulus and what every kernel set needs to know about it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_RING_MODULUS_H
#define DDT_RING_MODULUS_H

#include <stddef.h>
#include <stdint.h>

typedef struct ddt_modulus {
    uint64_t q;
    unsigned bits; /* 2^(bits-1) < q < 2^bits */
    unsigned log_n;
    size_t n;
    uint64_t reciprocal;    /* floor(2^(bits+63) / q): reduction of wide products, see arith.h */
    uint64_t reciprocal_64; /* floor(2^64 / q): reduction of one word */
    uint64_t reciprocal_52; /* floor(2^(bits+51) / q), in (2^51, 2^52): the same for 52-bit multipliers */
    uint64_t inverse_64;    /* q^-1 mod 2^64 */
    uint64_t inverse_52;    /* q^-1 mod 2^52: Montgomery reduction */
    uint64_t montgomery_52; /* 2^52 mod q */
    uint64_t power_64;      /* 2^64 mod q */
    uint64_t signed_offset; /* the smallest multiple of q that is at least 2^62 */
    uint64_t psi;           /* the smallest primitive 2N-th root of unity */
    uint64_t n_inverse;     /* 1/N mod q */
    const uint64_t *tables; /* twiddle factors in the layout of the ring's kernel set */
} ddt_modulus;

/* a * b mod q, a and b in [0, q). */
uint64_t ddt_modulus_mul(const ddt_modulus *modulus, uint64_t a, uint64_t b);
uint64_t ddt_modulus_pow(const ddt_modulus *modulus, uint64_t a, uint64_t exponent);
/* floor(w * 2^shift / q) for w < q, shift 52 or 64: the precomputed quotient of a multiplication by w. */
uint64_t ddt_modulus_quotient(const ddt_modulus *modulus, uint64_t w, unsigned shift);

/* Fills the arithmetic constants of a modulus (everything but psi, n_inverse and tables). q odd, 2 < q < 2^50. */
void ddt_modulus_init(ddt_modulus *modulus, uint64_t q, unsigned log_n);

/* Deterministic primality for q < 2^64. */
int ddt_is_prime(uint64_t q);

/* The index i with its `bits` lowest bits in reverse order. */
static inline size_t ddt_bit_reverse(size_t i, unsigned bits) {
    size_t reversed = 0;
    for (unsigned b = 0; b < bits; b++) {
        reversed |= ((i >> b) & 1U) << (bits - 1 - b);
    }
    return reversed;
}

#endif
