/*
 * Base conversion with AVX2; the method is in ../baseconv.c.
 *
 * Second half: a factor is kept as the double w, centred, and the terms y w mod p, each at most 3/4 p, are added up;
 * the sum is centred after four terms. First half: the fixed-point share of the quotient, floor(y' r / 2^52) with y' <
 * 2^50 and r < 2^52, comes from the exact product h + l: the floor of h / 2^52, less 1 where the rest of h and l
 * together are negative.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "avx2_kernels.h"
#include "vector.h"

#include "ddt/ring.h"

#include <string.h>

enum { BLOCK_WORDS = 512, TERMS_BEFORE_CENTRE = 4 };

/* ------------------------------------------------------------------ first half */

DDT_INLINE vec quotient_share(vec y, vec reciprocal) {
    const vec scale = splat(1 / TWO_52);
    vec h = mul(y, reciprocal);
    vec l = mul_sub(y, reciprocal, h);
    vec share = _mm256_floor_pd(mul(h, scale));
    vec rest = add(sub_mul(h, share, splat(TWO_52)), l);
    return sub(share, _mm256_and_pd(splat(1), _mm256_cmp_pd(rest, _mm256_setzero_pd(), _CMP_LT_OQ)));
}

static void prepare_limb(const ddt_baseconv_source *source, const uint64_t *in, uint64_t *y, uint64_t *sums,
                         size_t count) {
    const ddt_modulus *modulus = source->modulus;
    const double q_double = (double)modulus->q;
    const vec q = splat(q_double);
    const double centred =
        source->factor > modulus->q / 2 ? -(double)(modulus->q - source->factor) : (double)source->factor;
    const vec w = splat(centred);
    const vec ratio = splat(centred / q_double);
    const vec reciprocal = splat((double)modulus->reciprocal_52);
    const vec shift = splat((double)(UINT64_C(1) << (DDT_RING_MODULUS_BITS_MAX - modulus->bits)));
    for (size_t j = 0; j < count; j += LANES) {
        vec residue = lift(multiply(from_words(load_words(in + j)), w, ratio, q), q);
        store_words(y + j, to_words(residue));
        words share = to_words(quotient_share(mul(residue, shift), reciprocal));
        store_words(sums + j, _mm256_add_epi64(load_words(sums + j), share));
    }
}

void ddt_avx2_baseconv_prepare(const ddt_baseconv_source *sources, size_t count, const uint64_t *const *in,
                               uint64_t *const *y, uint64_t *quotient, size_t begin, size_t end) {
    for (size_t from = begin; from < end; from += BLOCK_WORDS) {
        size_t size = end - from > BLOCK_WORDS ? BLOCK_WORDS : end - from;
        for (size_t j = 0; j < size; j += LANES) {
            store_words(quotient + from + j, splat_words(UINT64_C(1) << (DDT_BASECONV_FRACTION_BITS - 1)));
        }
        for (size_t k = 0; k < count; k++) {
            prepare_limb(&sources[k], in[k] + from, y[k] + from, quotient + from, size);
        }
        for (size_t j = 0; j < size; j += LANES) {
            store_words(quotient + from + j,
                        _mm256_srli_epi64(load_words(quotient + from + j), DDT_BASECONV_FRACTION_BITS));
        }
    }
}

/* ------------------------------------------------------------------ second half */

/* The bits of the double. */
uint64_t ddt_avx2_baseconv_factor(const ddt_modulus *to, uint64_t factor) {
    double centred = factor > to->q / 2 ? -(double)(to->q - factor) : (double)factor;
    uint64_t bits = 0;
    memcpy(&bits, &centred, sizeof bits);
    return bits;
}

typedef struct target_constants {
    vec q;
    vec inverse;
} target_constants;

DDT_INLINE void convert_vector(const ddt_baseconv_target *targets, const target_constants *c, size_t target_count,
                               size_t count, uint64_t *const *out, const uint64_t *const *y, const uint64_t *quotient,
                               size_t j) {
    vec sums[DDT_BASECONV_TARGETS] = {_mm256_setzero_pd(), _mm256_setzero_pd()};
    for (size_t k = 0; k <= count; k++) {
        const vec term = from_words(load_words((k < count ? y[k] : quotient) + j));
        DDT_UNROLL
        for (size_t t = 0; t < target_count; t++) {
            vec w = _mm256_broadcast_sd((const double *)(const void *)(targets[t].factors + k));
            if (k % TERMS_BEFORE_CENTRE == 0) {
                sums[t] = centre(sums[t], c[t].q, c[t].inverse);
            }
            /* w / p, rounded twice: its error of at most 2^-53 adds to the bound of multiply, |y| <= 2^50, no more than
             * 1/8 */
            sums[t] = add(sums[t], multiply(term, w, mul(w, c[t].inverse), c[t].q));
        }
    }
    DDT_UNROLL
    for (size_t t = 0; t < target_count; t++) {
        store_words(out[t] + j, to_words(lift(centre(sums[t], c[t].q, c[t].inverse), c[t].q)));
    }
}

void ddt_avx2_baseconv_limbs(const ddt_baseconv_target *targets, size_t target_count, size_t count,
                             uint64_t *const *out, const uint64_t *const *y, const uint64_t *quotient, size_t begin,
                             size_t end) {
    target_constants c[DDT_BASECONV_TARGETS];
    for (size_t t = 0; t < DDT_BASECONV_TARGETS; t++) {
        double q = (double)targets[t < target_count ? t : 0].modulus->q;
        c[t] = (target_constants){splat(q), splat(1 / q)};
    }
    for (size_t j = begin; j < end; j += LANES) {
        if (target_count == DDT_BASECONV_TARGETS) {
            convert_vector(targets, c, DDT_BASECONV_TARGETS, count, out, y, quotient, j);
        } else {
            convert_vector(targets, c, 1, count, out, y, quotient, j);
        }
    }
}
