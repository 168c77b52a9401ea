/* Element-wise limb functions, AVX2: sums in integers, products in doubles (see vector.h). SPDX-License-Identifier: Apache-2.0 */
#include "avx2_kernels.h"
#include "vector.h"

/* ------------------------------------------------------------------ sums */

/* x + q where x is negative: (-q, q) to [0, q). */
DDT_INLINE words lift_words(words x, words q) {
    return _mm256_add_epi64(x, _mm256_and_si256(q, _mm256_cmpgt_epi64(_mm256_setzero_si256(), x)));
}

void ddt_avx2_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    const words q = splat_words(modulus->q);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        words sum = _mm256_add_epi64(load_words(a + j), load_words(b + j));
        store_words(out + j, lift_words(_mm256_sub_epi64(sum, q), q));
    }
}

void ddt_avx2_sub(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    const words q = splat_words(modulus->q);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        store_words(out + j, lift_words(_mm256_sub_epi64(load_words(a + j), load_words(b + j)), q));
    }
}

void ddt_avx2_neg(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a) {
    const words q = splat_words(modulus->q);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        store_words(out + j, lift_words(_mm256_sub_epi64(_mm256_setzero_si256(), load_words(a + j)), q));
    }
}

void ddt_avx2_add_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, uint64_t s) {
    const words q = splat_words(modulus->q);
    const words addend = splat_words(s);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        words sum = _mm256_add_epi64(load_words(a + j), addend);
        store_words(out + j, lift_words(_mm256_sub_epi64(sum, q), q));
    }
}

/* ------------------------------------------------------------------ products with a scalar */

typedef struct scalar_factor {
    multiplier f;
    vec q;
} scalar_factor;

static scalar_factor make_scalar_factor(const ddt_modulus *modulus, uint64_t s) {
    double q = (double)modulus->q;
    double w = s > modulus->q / 2 ? -(double)(modulus->q - s) : (double)s;
    return (scalar_factor){{splat(w), splat(w / q)}, splat(q)};
}

/* y s mod q in [-3q/4, 3q/4] for |y| <= 2^52 */
DDT_INLINE vec scaled(vec y, const scalar_factor *s) { return multiply(y, s->f.w, s->f.ratio, s->q); }

void ddt_avx2_mul_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, uint64_t s) {
    const scalar_factor f = make_scalar_factor(modulus, s);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        store_words(out + j, to_words(lift(scaled(from_words(load_words(a + j)), &f), f.q)));
    }
}

void ddt_avx2_mul_scalar_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                             uint64_t s) {
    const scalar_factor f = make_scalar_factor(modulus, s);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        vec product_less = sub(lift(scaled(from_words(load_words(a + j)), &f), f.q), f.q); /* [-q, 0) */
        store_words(out + j, to_words(lift(add(product_less, from_words(load_words(acc + j))), f.q)));
    }
}

void ddt_avx2_sub_mul_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b,
                             uint64_t s) {
    const scalar_factor f = make_scalar_factor(modulus, s);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        vec difference = sub(from_words(load_words(a + j)), from_words(load_words(b + j)));
        store_words(out + j, to_words(lift(scaled(difference, &f), f.q)));
    }
}

void ddt_avx2_sub_mul_scalar_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b,
                                 uint64_t s, const uint64_t *acc) {
    const scalar_factor f = make_scalar_factor(modulus, s);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        vec difference = sub(from_words(load_words(a + j)), from_words(load_words(b + j)));
        vec product_less = sub(lift(scaled(difference, &f), f.q), f.q); /* [-q, 0) */
        store_words(out + j, to_words(lift(add(product_less, from_words(load_words(acc + j))), f.q)));
    }
}

/* ------------------------------------------------------------------ products of limbs */

typedef struct constants {
    vec q;
    vec inverse;
} constants;

static constants make_constants(const ddt_modulus *modulus) {
    double q = (double)modulus->q;
    return (constants){splat(q), splat(1 / q)};
}

DDT_INLINE vec load_residues(const uint64_t *p) { return from_words(load_words(p)); }

void ddt_avx2_mul(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    const constants c = make_constants(modulus);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        vec r = product(load_residues(a + j), load_residues(b + j), c.q, c.inverse);
        store_words(out + j, to_words(lift(r, c.q)));
    }
}

/* A sum of a few residues and products, |x| <= 2^52, to [0, q). */
DDT_INLINE void store_sum(uint64_t *out, vec x, const constants *c) {
    store_words(out, to_words(lift(centre(x, c->q, c->inverse), c->q)));
}

void ddt_avx2_mul_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                      const uint64_t *b) {
    const constants c = make_constants(modulus);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        vec r = product(load_residues(a + j), load_residues(b + j), c.q, c.inverse);
        store_sum(out + j, add(r, load_residues(acc + j)), &c);
    }
}

void ddt_avx2_tensor(const ddt_modulus *modulus, uint64_t *const d[3], const uint64_t *const a[2],
                     const uint64_t *const b[2], bool accumulate) {
    const constants c = make_constants(modulus);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        vec a0 = load_residues(a[0] + j);
        vec a1 = load_residues(a[1] + j);
        vec b0 = load_residues(b[0] + j);
        vec b1 = load_residues(b[1] + j);
        vec r0 = product(a0, b0, c.q, c.inverse);
        vec r1 = add(product(a0, b1, c.q, c.inverse), product(a1, b0, c.q, c.inverse));
        vec r2 = product(a1, b1, c.q, c.inverse);
        if (accumulate) {
            r0 = add(r0, load_residues(d[0] + j));
            r1 = add(r1, load_residues(d[1] + j));
            r2 = add(r2, load_residues(d[2] + j));
        }
        store_sum(d[0] + j, r0, &c);
        store_sum(d[1] + j, r1, &c);
        store_sum(d[2] + j, r2, &c);
    }
}

void ddt_avx2_dot2(const ddt_modulus *modulus, uint64_t *out0, uint64_t *out1, const uint64_t *const *a,
                   const uint64_t *const *b0, const uint64_t *const *b1, size_t count) {
    enum { TERMS_BEFORE_CENTRE = 4 }; /* 0.51 q + 4 * 0.76 q <= 4q */
    const constants c = make_constants(modulus);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        vec sum0 = _mm256_setzero_pd();
        vec sum1 = _mm256_setzero_pd();
        for (size_t k = 0; k < count; k++) {
            if (k % TERMS_BEFORE_CENTRE == 0 && k > 0) {
                sum0 = centre(sum0, c.q, c.inverse);
                sum1 = centre(sum1, c.q, c.inverse);
            }
            vec x = load_residues(a[k] + j);
            sum0 = add(sum0, product(x, load_residues(b0[k] + j), c.q, c.inverse));
            sum1 = add(sum1, product(x, load_residues(b1[k] + j), c.q, c.inverse));
        }
        store_sum(out0 + j, sum0, &c);
        store_sum(out1 + j, sum1, &c);
    }
}

/* ------------------------------------------------------------------ other moduli, other orders */

void ddt_avx2_change_modulus(const ddt_modulus *from, const ddt_modulus *to, uint64_t *out, const uint64_t *in) {
    const constants c = make_constants(to);
    const uint64_t half_word = from->q / 2;
    const vec half = splat((double)half_word);
    const vec q_from = splat((double)from->q);
    size_t n = from->n;
    for (size_t j = 0; j < n; j += LANES) {
        vec x = load_residues(in + j);
        x = sub(x, _mm256_and_pd(q_from, _mm256_cmp_pd(x, half, _CMP_GT_OQ)));
        store_sum(out + j, x, &c);
    }
}

void ddt_avx2_from_signed(const ddt_modulus *modulus, uint64_t *out, const int64_t *values) {
    /* value + offset is below 2^64: high half times 2^32 mod q plus low half */
    const uint64_t two_32 = UINT64_C(1) << 32;
    const scalar_factor weight = make_scalar_factor(modulus, two_32 % modulus->q);
    const constants c = make_constants(modulus);
    const words offset = splat_words(modulus->signed_offset);
    const words mask = splat_words(two_32 - 1);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += LANES) {
        words x = _mm256_add_epi64(load_words((const uint64_t *)values + j), offset);
        vec high = from_words(_mm256_srli_epi64(x, 32));
        vec low = from_words(_mm256_and_si256(x, mask));
        store_sum(out + j, add(scaled(high, &weight), low), &c);
    }
}

void ddt_avx2_permute(size_t n, uint64_t *out, const uint64_t *in, const uint32_t *permutation) {
    /* a Galois permutation keeps aligned blocks of four together: one load and one shuffle of pairs of 32-bit words
     * each */
    const words low_bits = splat_words(LANES - 1);
    const words odd = splat_words(UINT64_C(1) << 32);
    for (size_t j = 0; j < n; j += LANES) {
        words index = _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)(const void *)(permutation + j)));
        words even = _mm256_slli_epi64(_mm256_and_si256(index, low_bits), 1); /* word 2 i, and above it 2 i + 1 */
        words pair = _mm256_or_si256(_mm256_or_si256(even, _mm256_slli_epi64(even, 32)), odd);
        words block = load_words(in + (permutation[j] & ~(uint32_t)(LANES - 1)));
        store_words(out + j, _mm256_permutevar8x32_epi32(block, pair));
    }
}

void ddt_avx2_publish(uint64_t *out, const uint64_t *in, size_t count) {
    for (size_t j = 0; j < count; j += LANES) {
        _mm256_stream_si256((__m256i *)(void *)(out + j), load_words(in + j));
    }
    _mm_sfence();
}
