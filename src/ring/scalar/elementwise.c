/* Element-wise limb functions, portable. SPDX-License-Identifier: Apache-2.0 */
#include "scalar_kernels.h"

#include "../arith.h"

static inline uint64_t reduce(const ddt_modulus *modulus, ddt_wide x) {
    return ddt_reduce_wide(x, modulus->q, modulus->bits, modulus->reciprocal);
}

static inline ddt_wide widen(uint64_t x) { return (ddt_wide){x, 0}; }

void ddt_scalar_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    for (size_t j = 0; j < modulus->n; j++) {
        out[j] = ddt_reduce_once(a[j] + b[j], modulus->q);
    }
}

void ddt_scalar_sub(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    for (size_t j = 0; j < modulus->n; j++) {
        out[j] = ddt_reduce_once(a[j] + modulus->q - b[j], modulus->q);
    }
}

void ddt_scalar_neg(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a) {
    for (size_t j = 0; j < modulus->n; j++) {
        out[j] = ddt_reduce_once(modulus->q - a[j], modulus->q);
    }
}

void ddt_scalar_mul(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    const ddt_modulus copy = *modulus; /* the compiler cannot know that out does not alias the constants */
    for (size_t j = 0; j < copy.n; j++) {
        out[j] = reduce(&copy, ddt_wide_mul(a[j], b[j]));
    }
}

void ddt_scalar_mul_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                        const uint64_t *b) {
    const ddt_modulus copy = *modulus;
    for (size_t j = 0; j < copy.n; j++) {
        out[j] = reduce(&copy, ddt_wide_add(ddt_wide_mul(a[j], b[j]), widen(acc[j])));
    }
}

void ddt_scalar_add_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, uint64_t s) {
    for (size_t j = 0; j < modulus->n; j++) {
        out[j] = ddt_reduce_once(a[j] + s, modulus->q);
    }
}

void ddt_scalar_mul_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, uint64_t s) {
    const uint64_t q = modulus->q;
    const uint64_t quotient = ddt_modulus_quotient(modulus, s, 64);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j++) {
        out[j] = ddt_reduce_once(ddt_shoup_lazy(a[j], s, quotient, q), q);
    }
}

void ddt_scalar_mul_scalar_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                               uint64_t s) {
    const uint64_t q = modulus->q;
    const uint64_t quotient = ddt_modulus_quotient(modulus, s, 64);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j++) {
        uint64_t sum = acc[j] + ddt_shoup_lazy(a[j], s, quotient, q);
        out[j] = ddt_reduce_once(ddt_reduce_once(sum, 2 * q), q);
    }
}

void ddt_scalar_sub_mul_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b,
                               uint64_t s) {
    const uint64_t q = modulus->q;
    const uint64_t quotient = ddt_modulus_quotient(modulus, s, 64);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j++) {
        out[j] = ddt_reduce_once(ddt_shoup_lazy(a[j] + q - b[j], s, quotient, q), q);
    }
}

void ddt_scalar_sub_mul_scalar_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b,
                                   uint64_t s, const uint64_t *acc) {
    const uint64_t q = modulus->q;
    const uint64_t quotient = ddt_modulus_quotient(modulus, s, 64);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j++) {
        uint64_t sum = acc[j] + ddt_shoup_lazy(a[j] + q - b[j], s, quotient, q);
        out[j] = ddt_reduce_once(ddt_reduce_once(sum, 2 * q), q);
    }
}

void ddt_scalar_tensor(const ddt_modulus *modulus, uint64_t *const d[3], const uint64_t *const a[2],
                       const uint64_t *const b[2], bool accumulate) {
    const ddt_modulus copy = *modulus;
    for (size_t j = 0; j < copy.n; j++) {
        ddt_wide p0 = ddt_wide_mul(a[0][j], b[0][j]);
        ddt_wide p1 = ddt_wide_add(ddt_wide_mul(a[0][j], b[1][j]), ddt_wide_mul(a[1][j], b[0][j]));
        ddt_wide p2 = ddt_wide_mul(a[1][j], b[1][j]);
        if (accumulate) {
            p0 = ddt_wide_add(p0, widen(d[0][j]));
            p1 = ddt_wide_add(p1, widen(d[1][j]));
            p2 = ddt_wide_add(p2, widen(d[2][j]));
        }
        d[0][j] = reduce(&copy, p0);
        d[1][j] = reduce(&copy, p1);
        d[2][j] = reduce(&copy, p2);
    }
}

void ddt_scalar_dot2(const ddt_modulus *modulus, uint64_t *out0, uint64_t *out1, const uint64_t *const *a,
                     const uint64_t *const *b0, const uint64_t *const *b1, size_t count) {
    const ddt_modulus copy = *modulus;
    for (size_t j = 0; j < copy.n; j++) {
        ddt_wide sum0 = widen(0);
        ddt_wide sum1 = widen(0);
        for (size_t k = 0; k < count; k++) {
            sum0 = ddt_wide_add(sum0, ddt_wide_mul(a[k][j], b0[k][j]));
            sum1 = ddt_wide_add(sum1, ddt_wide_mul(a[k][j], b1[k][j]));
        }
        out0[j] = reduce(&copy, sum0);
        out1[j] = reduce(&copy, sum1);
    }
}

void ddt_scalar_change_modulus(const ddt_modulus *from, const ddt_modulus *to, uint64_t *out, const uint64_t *in) {
    const uint64_t half = from->q / 2;
    const uint64_t q = to->q;
    const uint64_t minus_from =
        q - from->q % q; /* -q_from mod q, not 0 unless the moduli are equal, and then q does as well */
    const uint64_t reciprocal = to->reciprocal_64;
    size_t n = from->n;
    for (size_t j = 0; j < n; j++) {
        uint64_t above_half = 0 - ((half - in[j]) >> 63); /* all ones when the representative is negative */
        out[j] = ddt_reduce_64(in[j] + (minus_from & above_half), q, reciprocal);
    }
}

void ddt_scalar_from_signed(const ddt_modulus *modulus, uint64_t *out, const int64_t *values) {
    const uint64_t q = modulus->q;
    const uint64_t reciprocal = modulus->reciprocal_64;
    const uint64_t offset = modulus->signed_offset; /* makes every value positive: below 2^62 + 2^62 + q */
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j++) {
        out[j] = ddt_reduce_64((uint64_t)values[j] + offset, q, reciprocal);
    }
}

void ddt_scalar_permute(size_t n, uint64_t *out, const uint64_t *in, const uint32_t *permutation) {
    for (size_t j = 0; j < n; j++) {
        out[j] = in[permutation[j]];
    }
}
