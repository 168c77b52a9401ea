/* Base conversion, eight residues at a time; the arithmetic is that of scalar/baseconv.c. SPDX-License-Identifier: Apache-2.0 */
#include "avx512ifma_kernels.h"
#include "reduce.h"

enum {
    LIMB_TERMS = 15, /* products of one lazy sum: with the rest so far they stay below 2^104 */
    UNROLLED = 4     /* vectors at once: as many independent chains as hide the multipliers' latency */
};

/* y = x factor mod q, and floor(2^49 y / q) (see ../baseconv.c) added to the fixed-point sum. */
typedef struct source_constants {
    uint64_t q, factor, shoup, reciprocal, shift;
} source_constants;

static source_constants make_source(const ddt_baseconv_source *source) {
    enum { BITS_MAX = 50 };
    const ddt_modulus *m = source->modulus;
    return (source_constants){m->q, source->factor, ddt_modulus_quotient(m, source->factor, WORD_BITS),
                              m->reciprocal_52, BITS_MAX - m->bits};
}

void ddt_avx512ifma_baseconv_prepare(const ddt_baseconv_source *sources, size_t count, const uint64_t *const *in,
                                     uint64_t *const *y, uint64_t *quotient, size_t begin, size_t end) {
    source_constants constants[DDT_BASECONV_FROM_MAX];
    const vec mask = splat(WORD_MASK);
    const vec half = splat(UINT64_C(1) << (DDT_BASECONV_FRACTION_BITS - 1));
    for (size_t k = 0; k < count; k++) {
        constants[k] = make_source(&sources[k]);
    }
    for (size_t j = begin; j < end; j += LANES) {
        vec sum = half;
        for (size_t k = 0; k < count; k++) {
            const source_constants *c = &constants[k];
            const vec q = splat(c->q);
            const vec lazy = shoup_lazy(load(in[k] + j), splat(c->factor), splat(c->shoup), q, mask);
            const vec scaled = reduce_once(lazy, q);
            store(y[k] + j, scaled);
            sum = add_high(sum, _mm512_sll_epi64(scaled, _mm_cvtsi64_si128((long long)c->shift)), splat(c->reciprocal));
        }
        store(quotient + j, _mm512_srli_epi64(sum, DDT_BASECONV_FRACTION_BITS));
    }
}

DDT_INLINE void limb_vectors(const reducer *r, const uint64_t *factors, size_t count, uint64_t *out,
                             const uint64_t *const *y, const uint64_t *quotient, size_t j, size_t vectors) {
    wide sum[UNROLLED];
    const vec last = splat(factors[count]);
    DDT_UNROLL
    for (size_t v = 0; v < vectors; v++) {
        sum[v] = wide_add_product(wide_zero(), load(quotient + j + v * LANES), last);
    }
    for (size_t done = 0; done < count;) {
        const size_t stop = count - done > LIMB_TERMS ? done + LIMB_TERMS : count;
        for (; done < stop; done++) {
            const vec f = splat(factors[done]);
            DDT_UNROLL
            for (size_t v = 0; v < vectors; v++) {
                sum[v] = wide_add_product(sum[v], load(y[done] + j + v * LANES), f);
            }
        }
        DDT_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            sum[v] = wide_of(reduce_long(sum[v], r));
        }
    }
    DDT_UNROLL
    for (size_t v = 0; v < vectors; v++) {
        store(out + j + v * LANES, sum[v].lo);
    }
}

void ddt_avx512ifma_baseconv_limb(const ddt_modulus *to, const uint64_t *factors, size_t count, uint64_t *out,
                                  const uint64_t *const *y, const uint64_t *quotient) {
    const reducer r = make_reducer(to);
    const size_t n = to->n;
    size_t j = 0;
    for (; j + UNROLLED * LANES <= n; j += UNROLLED * LANES) {
        limb_vectors(&r, factors, count, out, y, quotient, j, UNROLLED);
    }
    for (; j < n; j += LANES) {
        limb_vectors(&r, factors, count, out, y, quotient, j, 1);
    }
}
