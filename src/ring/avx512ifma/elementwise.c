/* Element-wise limb functions, eight residues at a time. N is a multiple of 16. SPDX-License-Identifier: Apache-2.0 */
#include "avx512ifma_kernels.h"
#include "reduce.h"

#include "../scalar/scalar_kernels.h"

void ddt_avx512ifma_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    const vec q = splat(modulus->q);
    const size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        store(out + j, reduce_once(add(load(a + j), load(b + j)), q));
    }
}

void ddt_avx512ifma_sub(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    const vec q = splat(modulus->q);
    const size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        /* a - b wraps to a huge number exactly when a < b. */
        const vec difference = sub(load(a + j), load(b + j));
        store(out + j, min(difference, add(difference, q)));
    }
}

void ddt_avx512ifma_neg(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a) {
    const vec q = splat(modulus->q);
    const size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        store(out + j, reduce_once(sub(q, load(a + j)), q));
    }
}

void ddt_avx512ifma_mul(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    const reducer r = make_reducer(modulus);
    const size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        store(out + j, reduce_short(wide_add_product(wide_zero(), load(a + j), load(b + j)), &r));
    }
}

void ddt_avx512ifma_mul_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                            const uint64_t *b) {
    const reducer r = make_reducer(modulus);
    const size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        store(out + j, reduce_short(wide_add_product(wide_of(load(acc + j)), load(a + j), load(b + j)), &r));
    }
}

void ddt_avx512ifma_add_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, uint64_t s) {
    const vec q = splat(modulus->q);
    const vec scalar = splat(s);
    const size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        store(out + j, reduce_once(add(load(a + j), scalar), q));
    }
}

/* A fixed factor with its quotient for Shoup's product. */
typedef struct factor {
    vec w;
    vec shoup;
    vec q;
    vec mask;
} factor;

DDT_INLINE factor make_factor(const ddt_modulus *modulus, uint64_t s) {
    return (factor){splat(s), splat(ddt_modulus_quotient(modulus, s, WORD_BITS)), splat(modulus->q), splat(WORD_MASK)};
}

DDT_INLINE vec times(vec x, const factor *f) { return shoup_lazy(x, f->w, f->shoup, f->q, f->mask); }

void ddt_avx512ifma_mul_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, uint64_t s) {
    const factor f = make_factor(modulus, s);
    const size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        store(out + j, reduce_once(times(load(a + j), &f), f.q));
    }
}

void ddt_avx512ifma_mul_scalar_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                                   uint64_t s) {
    const factor f = make_factor(modulus, s);
    const vec twice_q = splat(2 * modulus->q);
    const size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        const vec sum = add(load(acc + j), times(load(a + j), &f));
        store(out + j, reduce_once(reduce_once(sum, twice_q), f.q));
    }
}

void ddt_avx512ifma_sub_mul_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b,
                                   uint64_t s) {
    const factor f = make_factor(modulus, s);
    const size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        const vec difference = sub(add(load(a + j), f.q), load(b + j));
        store(out + j, reduce_once(times(difference, &f), f.q));
    }
}

DDT_INLINE void tensor_vector(const reducer *r, uint64_t *const d[3], const uint64_t *const a[2],
                              const uint64_t *const b[2], size_t j, wide p0, wide p1, wide p2) {
    const vec a0 = load(a[0] + j);
    const vec a1 = load(a[1] + j);
    const vec b0 = load(b[0] + j);
    const vec b1 = load(b[1] + j);
    p0 = wide_add_product(p0, a0, b0);
    p1 = wide_add_product(wide_add_product(p1, a0, b1), a1, b0);
    p2 = wide_add_product(p2, a1, b1);
    store(d[0] + j, reduce_short(p0, r));
    store(d[1] + j, reduce_short(p1, r));
    store(d[2] + j, reduce_short(p2, r));
}

void ddt_avx512ifma_tensor(const ddt_modulus *modulus, uint64_t *const d[3], const uint64_t *const a[2],
                           const uint64_t *const b[2], bool accumulate) {
    const reducer r = make_reducer(modulus);
    const size_t n = modulus->n;
    if (accumulate) {
        for (size_t j = 0; j < n; j += LANES) {
            tensor_vector(&r, d, a, b, j, wide_of(load(d[0] + j)), wide_of(load(d[1] + j)), wide_of(load(d[2] + j)));
        }
    } else {
        for (size_t j = 0; j < n; j += LANES) {
            tensor_vector(&r, d, a, b, j, wide_zero(), wide_zero(), wide_zero());
        }
    }
}

/* Two vectors at once, so that the sums' chains of multiply-adds do not wait for each other. */
void ddt_avx512ifma_dot2(const ddt_modulus *modulus, uint64_t *out0, uint64_t *out1, const uint64_t *const *a,
                         const uint64_t *const *b0, const uint64_t *const *b1, size_t count) {
    const reducer r = make_reducer(modulus);
    const size_t n = modulus->n;
    for (size_t j = 0; j < n; j += 2 * LANES) {
        wide sum0 = wide_zero();
        wide sum1 = wide_zero();
        wide next0 = wide_zero();
        wide next1 = wide_zero();
        for (size_t k = 0; k < count; k++) {
            const vec x = load(a[k] + j);
            const vec y = load(a[k] + j + LANES);
            sum0 = wide_add_product(sum0, x, load(b0[k] + j));
            sum1 = wide_add_product(sum1, x, load(b1[k] + j));
            next0 = wide_add_product(next0, y, load(b0[k] + j + LANES));
            next1 = wide_add_product(next1, y, load(b1[k] + j + LANES));
        }
        store(out0 + j, reduce_long(sum0, &r));
        store(out1 + j, reduce_long(sum1, &r));
        store(out0 + j + LANES, reduce_long(next0, &r));
        store(out1 + j + LANES, reduce_long(next1, &r));
    }
}

void ddt_avx512ifma_change_modulus(const ddt_modulus *from, const ddt_modulus *to, uint64_t *out, const uint64_t *in) {
    const reducer r = make_reducer(to);
    const vec half = splat(from->q / 2);
    const vec minus_from = splat(to->q - from->q % to->q);
    const size_t n = from->n;
    for (size_t j = 0; j < n; j += LANES) {
        const vec x = load(in + j);
        const __mmask8 negative = _mm512_cmpgt_epu64_mask(x, half);
        store(out + j, reduce_short(wide_of(_mm512_mask_add_epi64(x, negative, x, minus_from)), &r));
    }
}

void ddt_avx512ifma_from_signed(const ddt_modulus *modulus, uint64_t *out, const int64_t *values) {
    enum { SHORT_BITS = 12 }; /* below, 2^63 is beyond the reach of reduce_short */
    if (modulus->bits < SHORT_BITS) {
        ddt_scalar_from_signed(modulus, out, values);
        return;
    }
    const reducer r = make_reducer(modulus);
    const vec offset = splat(modulus->signed_offset);
    const size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        const vec x = add(_mm512_loadu_si512(values + j), offset);
        store(out + j, reduce_short(wide_of(x), &r));
    }
}

/*
 * A Galois permutation takes blocks of eight positions to blocks of eight (they are the values at one point times the
 * 8th roots of unity), so one load and one shuffle serve; any other permutation is gathered.
 */
void ddt_avx512ifma_permute(size_t n, uint64_t *out, const uint64_t *in, const uint32_t *permutation) {
    const vec lane_mask = splat(LANES - 1);
    for (size_t j = 0; j < n; j += LANES) {
        const vec index = _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)(permutation + j)));
        const size_t block = permutation[j] & ~(uint32_t)(LANES - 1);
        if (_mm512_cmpneq_epi64_mask(_mm512_andnot_si512(lane_mask, index), splat(block)) == 0) {
            store(out + j, _mm512_permutexvar_epi64(index, load(in + block)));
        } else {
            store(out + j, _mm512_i64gather_epi64(index, in, sizeof *in));
        }
    }
}
