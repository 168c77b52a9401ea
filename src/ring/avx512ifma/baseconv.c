/*
 * Base conversion with IFMA; the method is in ../baseconv.c.
 *
 * First half. y = x factor is a Montgomery product by a constant; one more multiplication adds y's share of the
 * quotient to a sum in registers.
 *
 * Second half. The sums of the low and of the high words of y_k F_k, F_k = factor 2^52 mod p, are kept apart. Because p
 * and q_k are at most 2^50 - 31 a high word is at most 2^48 - 16, and sixteen of them stay below 2^52. After sixteen
 * terms, and after every eighth from then on, the high sum is reduced to [0, 2p), which changes the whole by a multiple
 * of p: 2p + 8 (2^48 - 16) <= 2^52 - 190 leaves room for the carry from the low sum, at most 129. One Montgomery step
 * at the end takes the factor 2^52 away again, one Barrett step makes the residue canonical.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "avx512ifma_kernels.h"
#include "vector.h"

#include "ddt/ring.h"

enum {
    SUM_VECTORS = 8,  /* of a block of the first half, whose sums stay in registers */
    TILE_VECTORS = 4, /* of the second half, for each of two targets */
    SAFE_TERMS = 16,  /* before the high sum is reduced for the first time */
    MORE_TERMS = 8    /* between reductions after that */
};

/* ------------------------------------------------------------------ first half */

typedef struct source_constants {
    vec q;
    vec w;
    vec w_inverse;
    vec reciprocal;
    vec shift;
} source_constants;

static source_constants make_source(const ddt_baseconv_source *source) {
    const ddt_modulus *modulus = source->modulus;
    uint64_t w = ddt_modulus_mul(modulus, source->factor, modulus->montgomery_52);
    return (source_constants){.q = splat(modulus->q),
                              .w = splat(w),
                              .w_inverse = splat(w * modulus->inverse_52 & WORD_MASK),
                              .reciprocal = splat(modulus->reciprocal_52),
                              .shift = splat(DDT_RING_MODULUS_BITS_MAX - modulus->bits)};
}

/* `vectors` vectors of every source from coefficient j on. */
DDT_INLINE void prepare_block(const ddt_baseconv_source *sources, size_t count, const uint64_t *const *in,
                              uint64_t *const *y, uint64_t *quotient, size_t j, size_t vectors) {
    vec sums[SUM_VECTORS];
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        sums[i] = splat(UINT64_C(1) << (DDT_BASECONV_FRACTION_BITS - 1));
    }
    for (size_t k = 0; k < count; k++) {
        const source_constants c = make_source(&sources[k]);
        DDT_UNROLL
        for (size_t i = 0; i < vectors; i++) {
            vec x = load(in[k] + j + i * LANES);
            vec m = add_low(zero(), x, c.w_inverse);
            vec product = sub(add_high(zero(), x, c.w), add_high(zero(), m, c.q));
            product = min(product, add(product, c.q)); /* (-q, q) to [0, q) */
            store(y[k] + j + i * LANES, product);
            sums[i] = add_high(sums[i], _mm512_sllv_epi64(product, c.shift), c.reciprocal);
        }
    }
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        store(quotient + j + i * LANES, _mm512_srli_epi64(sums[i], DDT_BASECONV_FRACTION_BITS));
    }
}

void ddt_avx512ifma_baseconv_prepare(const ddt_baseconv_source *sources, size_t count, const uint64_t *const *in,
                                     uint64_t *const *y, uint64_t *quotient, size_t begin, size_t end) {
    size_t j = begin;
    for (; end - j >= SUM_VECTORS * LANES; j += SUM_VECTORS * LANES) {
        prepare_block(sources, count, in, y, quotient, j, SUM_VECTORS);
    }
    for (; j < end; j += LANES) {
        prepare_block(sources, count, in, y, quotient, j, 1);
    }
}

/* ------------------------------------------------------------------ second half */

uint64_t ddt_avx512ifma_baseconv_factor(const ddt_modulus *to, uint64_t factor) {
    return ddt_modulus_mul(to, factor, to->montgomery_52);
}

/* The sums of one target over a tile. */
typedef struct tile {
    vec low[TILE_VECTORS];
    vec high[TILE_VECTORS];
} tile;

DDT_INLINE void start_tile(tile *sums, size_t vectors) {
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        sums->low[i] = zero();
        sums->high[i] = zero();
    }
}

DDT_INLINE void add_term(tile *sums, const vec *y, uint64_t factor, size_t vectors) {
    const vec f = splat(factor);
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        sums->low[i] = add_low(sums->low[i], y[i], f);
    }
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        sums->high[i] = add_high(sums->high[i], y[i], f);
    }
}

/* x - floor(x quotient / 2^52) q: in [0, 2q) for x < 2^52, quotient = floor(2^52 / q). */
DDT_INLINE vec reduce_lazily(vec x, vec quotient, vec q) {
    return sub(x, add_low(zero(), add_high(zero(), x, quotient), q));
}

DDT_INLINE void shrink_tile(tile *sums, const ddt_modulus *modulus, size_t vectors) {
    const vec q = splat(modulus->q);
    const vec quotient = splat((UINT64_C(1) << WORD_BITS) / modulus->q);
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        sums->high[i] = reduce_lazily(sums->high[i], quotient, q);
    }
}

DDT_INLINE void finish_tile(const tile *sums, const ddt_modulus *modulus, uint64_t *out, size_t vectors) {
    const vec q = splat(modulus->q);
    const vec inverse = splat(modulus->inverse_52);
    const vec quotient = splat((UINT64_C(1) << WORD_BITS) / modulus->q);
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        vec m = add_low(zero(), sums->low[i], inverse);
        vec high = add(sums->high[i], _mm512_srli_epi64(sums->low[i], WORD_BITS));
        vec r = sub(high, add_high(zero(), m, q));
        r = min(r, add(r, q)); /* (-q, 2^52) to [0, 2^52) */
        store(out + i * LANES, reduce_once(reduce_lazily(r, quotient, q), q));
    }
}

DDT_INLINE void convert_tile(const ddt_baseconv_target *targets, size_t target_count, size_t count,
                             uint64_t *const *out, const uint64_t *const *y, const uint64_t *quotient, size_t j,
                             size_t vectors) {
    tile sums[DDT_BASECONV_TARGETS];
    vec terms[TILE_VECTORS];
    DDT_UNROLL
    for (size_t t = 0; t < target_count; t++) {
        start_tile(&sums[t], vectors);
    }
    for (size_t k = 0; k <= count; k++) {
        const uint64_t *source = k < count ? y[k] : quotient;
        DDT_UNROLL
        for (size_t i = 0; i < vectors; i++) {
            terms[i] = load(source + j + i * LANES);
        }
        DDT_UNROLL
        for (size_t t = 0; t < target_count; t++) {
            add_term(&sums[t], terms, targets[t].factors[k], vectors);
        }
        if (k + 1 >= SAFE_TERMS && (k + 1 - SAFE_TERMS) % MORE_TERMS == 0) {
            DDT_UNROLL
            for (size_t t = 0; t < target_count; t++) {
                shrink_tile(&sums[t], targets[t].modulus, vectors);
            }
        }
    }
    DDT_UNROLL
    for (size_t t = 0; t < target_count; t++) {
        finish_tile(&sums[t], targets[t].modulus, out[t] + j, vectors);
    }
}

void ddt_avx512ifma_baseconv_limbs(const ddt_baseconv_target *targets, size_t target_count, size_t count,
                                   uint64_t *const *out, const uint64_t *const *y, const uint64_t *quotient,
                                   size_t begin, size_t end) {
    size_t j = begin;
    for (; end - j >= TILE_VECTORS * LANES; j += TILE_VECTORS * LANES) {
        if (target_count == 2) {
            convert_tile(targets, 2, count, out, y, quotient, j, TILE_VECTORS);
        } else {
            convert_tile(targets, 1, count, out, y, quotient, j, TILE_VECTORS);
        }
    }
    for (; j < end; j += LANES) {
        if (target_count == 2) {
            convert_tile(targets, 2, count, out, y, quotient, j, 1);
        } else {
            convert_tile(targets, 1, count, out, y, quotient, j, 1);
        }
    }
}
