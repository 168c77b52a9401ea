/*
 * Reduction of sums of products, eight residues at a time.
 *
 * A product of two 52-bit factors comes as two halves of 52 bits. Sums of halves are kept in 64-bit lanes and carried
 * only once, when they are reduced; hi 2^52 + lo is the value.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_RING_AVX512IFMA_REDUCE_H
#define DDT_RING_AVX512IFMA_REDUCE_H

#include "../modulus.h"
#include "vector.h"

typedef struct wide {
    vec lo;
    vec hi;
} wide;

/* What the two reductions below need of a modulus, in registers. */
typedef struct reducer {
    vec q;
    vec twice_q;
    vec mask;
    vec reciprocal; /* floor(2^(bits + 51) / q) */
    vec inverse;    /* q^-1 mod 2^52 */
    vec power;      /* 2^52 mod q, and its quotient for Shoup's product */
    vec power_shoup;
    __m128i down; /* bits - 1 */
    __m128i up;   /* 52 - (bits - 1) */
} reducer;

DDT_INLINE reducer make_reducer(const ddt_modulus *m) {
    const uint64_t power = m->montgomery_52;
    return (reducer){.q = splat(m->q),
                     .twice_q = splat(2 * m->q),
                     .mask = splat(WORD_MASK),
                     .reciprocal = splat(m->reciprocal_52),
                     .inverse = splat(m->inverse_52),
                     .power = splat(power),
                     .power_shoup = splat(ddt_modulus_quotient(m, power, WORD_BITS)),
                     .down = _mm_cvtsi64_si128((long long)m->bits - 1),
                     .up = _mm_cvtsi64_si128(WORD_BITS + 1 - (long long)m->bits)};
}

DDT_INLINE wide wide_zero(void) { return (wide){zero(), zero()}; }
DDT_INLINE wide wide_of(vec lo) { return (wide){lo, zero()}; }
DDT_INLINE wide wide_add_product(wide x, vec a, vec b) { return (wide){add_low(x.lo, a, b), add_high(x.hi, a, b)}; }

/* w x mod q in [0, 2q) for any x < 2^52; w_shoup = floor(w 2^52 / q) (Shoup). */
DDT_INLINE vec shoup_lazy(vec x, vec w, vec w_shoup, vec q, vec mask) {
    const vec estimate = add_high(zero(), x, w_shoup);
    return _mm512_and_si512(sub(add_low(zero(), x, w), add_low(zero(), estimate, q)), mask);
}

/*
 * x mod q for x < 2^(bits + 51): up to two products of residues and a residue. With t = floor(x / 2^(bits-1)) < 2^52
 * the estimate floor(t reciprocal / 2^52) is below x / q by less than 1 (t) + 1 (reciprocal) + 1 (product), so the
 * remainder lies in [0, 3q) and its 52 low bits are all of it.
 */
DDT_INLINE vec reduce_short(wide x, const reducer *r) {
    const vec hi = add(x.hi, _mm512_srli_epi64(x.lo, WORD_BITS));
    const vec lo = _mm512_and_si512(x.lo, r->mask);
    const vec t = _mm512_or_si512(_mm512_sll_epi64(hi, r->up), _mm512_srl_epi64(lo, r->down));
    const vec estimate = add_high(zero(), t, r->reciprocal);
    const vec rest = _mm512_and_si512(sub(lo, add_low(zero(), estimate, r->q)), r->mask);
    return reduce_once(reduce_once(rest, r->twice_q), r->q);
}

/*
 * x mod q for x < 2^104: up to 16 products of residues. One Montgomery step leaves (x - m q) / 2^52 in (-q, 2^52),
 * whose product with 2^52 mod q is x again.
 */
DDT_INLINE vec reduce_long(wide x, const reducer *r) {
    const vec hi = add(x.hi, _mm512_srli_epi64(x.lo, WORD_BITS));
    const vec m = _mm512_and_si512(add_low(zero(), x.lo, r->inverse), r->mask);
    const vec difference = sub(hi, add_high(zero(), m, r->q));
    const vec positive = min(difference, add(difference, r->q));
    return reduce_once(shoup_lazy(positive, r->power, r->power_shoup, r->q, r->mask), r->q);
}

#endif
