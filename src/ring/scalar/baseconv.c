/* Base conversion, portable; the method is in ../baseconv.c. SPDX-License-Identifier: Apache-2.0 */
#include "scalar_kernels.h"

#include "../arith.h"

#include "ddt/ring.h"

/* Scales one source limb and adds its share of the quotient, in fixed point. */
static void prepare_limb(const ddt_baseconv_source *source, const uint64_t *in, uint64_t *y, uint64_t *sums,
                         size_t count) {
    const uint64_t q = source->modulus->q;
    const uint64_t factor = source->factor;
    const uint64_t quotient = ddt_modulus_quotient(source->modulus, factor, 64);
    const uint64_t reciprocal = source->modulus->reciprocal_52;
    const unsigned shift = DDT_RING_MODULUS_BITS_MAX - source->modulus->bits;
    for (size_t j = 0; j < count; j++) {
        y[j] = ddt_reduce_once(ddt_shoup_lazy(in[j], factor, quotient, q), q);
        ddt_wide product = ddt_wide_mul(y[j] << shift, reciprocal);
        sums[j] += (product.lo >> 52) | (product.hi << 12);
    }
}

void ddt_scalar_baseconv_prepare(const ddt_baseconv_source *sources, size_t count, const uint64_t *const *in,
                                 uint64_t *const *y, uint64_t *quotient, size_t begin, size_t end) {
    for (size_t j = begin; j < end; j++) {
        quotient[j] = UINT64_C(1) << (DDT_BASECONV_FRACTION_BITS - 1);
    }
    for (size_t k = 0; k < count; k++) {
        prepare_limb(&sources[k], in[k] + begin, y[k] + begin, quotient + begin, end - begin);
    }
    for (size_t j = begin; j < end; j++) {
        quotient[j] >>= DDT_BASECONV_FRACTION_BITS;
    }
}

uint64_t ddt_scalar_baseconv_factor(const ddt_modulus *to, uint64_t factor) {
    (void)to;
    return factor;
}

static void convert_limb(const ddt_baseconv_target *target, size_t count, uint64_t *out, const uint64_t *const *y,
                         const uint64_t *quotient, size_t begin, size_t end) {
    const ddt_modulus modulus = *target->modulus;
    const uint64_t *factors = target->factors;
    for (size_t j = begin; j < end; j++) {
        ddt_wide sum = ddt_wide_mul(quotient[j], factors[count]);
        for (size_t k = 0; k < count; k++) {
            sum = ddt_wide_add(sum, ddt_wide_mul(y[k][j], factors[k]));
        }
        out[j] = ddt_reduce_wide(sum, modulus.q, modulus.bits, modulus.reciprocal);
    }
}

void ddt_scalar_baseconv_limbs(const ddt_baseconv_target *targets, size_t target_count, size_t count,
                               uint64_t *const *out, const uint64_t *const *y, const uint64_t *quotient, size_t begin,
                               size_t end) {
    for (size_t t = 0; t < target_count; t++) {
        convert_limb(&targets[t], count, out[t], y, quotient, begin, end);
    }
}
