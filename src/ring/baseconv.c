/*
 * RNS base conversion (Halevi, Polyakov, Shoup 2019).
 *
 * With y_k = x_k (Q/q_k)^-1 mod q_k, x = sum_k y_k Q/q_k - v Q, and v is the integer nearest to sum_k y_k/q_k when the
 * representative is centred. The sum is taken in fixed point with 49 fraction bits, exactly as every kernel does it:
 *
 *   v = floor((2^48 + sum_k floor(y_k 2^(50-bits_k) floor(2^(51+bits_k) / q_k) / 2^52)) / 2^49)
 *
 * A term falls short of 2^49 y_k/q_k by less than 1 (its own rounding) + 1/4 (the rounded reciprocal: y_k 2^(50-bits_k)
 * < 2^50), so the sum of at most 128 terms by less than 2^-41 Q: v is exact unless x lies that close to the border Q/2.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ring_internal.h"

#include "arith.h"

/* A block of every source limb stays in the level-2 cache while all targets are made from it. */
enum { BLOCK_WORDS = 512 };

struct ddt_baseconv {
    const ddt_ring *ring;
    size_t from_count;
    size_t to_count;
    bool narrow; /* see ddt_baseconv_inputs */
    uint32_t *to;
    ddt_baseconv_source *sources;
    uint64_t *factors; /* to_count rows of from_count + 1: Q/q_k mod p, then -Q mod p */
};

static ddt_status check_indices(ddt_context *ctx, const ddt_ring *ring, const uint32_t *from, size_t from_count,
                                const uint32_t *to, size_t to_count) {
    if (from == NULL || to == NULL || from_count == 0 || from_count > DDT_BASECONV_FROM_MAX || to_count == 0) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A base conversion from %zu to %zu moduli is not possible.", from_count,
                        to_count);
    }
    for (size_t k = 0; k < from_count; k++) {
        bool repeated = false;
        for (size_t i = 0; i < k; i++) {
            repeated = repeated || from[i] == from[k];
        }
        if (from[k] >= ring->count || repeated) {
            return ddt_fail(ctx, DDT_ERR_ARGUMENT, "Modulus %u cannot be converted from: it is unknown or repeated.",
                            (unsigned)from[k]);
        }
    }
    for (size_t j = 0; j < to_count; j++) {
        if (to[j] >= ring->count) {
            return ddt_fail(ctx, DDT_ERR_ARGUMENT, "Modulus %u cannot be converted to: it is unknown.",
                            (unsigned)to[j]);
        }
    }
    return DDT_OK;
}

/* The product of the source moduli but the one at `except`, modulo `modulus`. */
static uint64_t product_mod(const ddt_modulus *modulus, const ddt_baseconv_source *sources, size_t count,
                            size_t except) {
    uint64_t product = 1;
    for (size_t i = 0; i < count; i++) {
        if (i != except) {
            product = ddt_modulus_mul(modulus, product, sources[i].modulus->q % modulus->q);
        }
    }
    return product;
}

static void fill_factors(ddt_baseconv *conversion) {
    size_t count = conversion->from_count;
    uint64_t (*form)(const ddt_modulus *, uint64_t) = conversion->ring->kernels->baseconv_factor;
    for (size_t k = 0; k < count; k++) {
        ddt_baseconv_source *source = &conversion->sources[k];
        uint64_t cofactor = product_mod(source->modulus, conversion->sources, count, k);
        source->factor = ddt_modulus_pow(source->modulus, cofactor, source->modulus->q - 2);
    }
    for (size_t j = 0; j < conversion->to_count; j++) {
        const ddt_modulus *modulus = &conversion->ring->moduli[conversion->to[j]];
        uint64_t *row = conversion->factors + j * (count + 1);
        for (size_t k = 0; k < count; k++) {
            row[k] = form(modulus, product_mod(modulus, conversion->sources, count, k));
        }
        uint64_t whole = product_mod(modulus, conversion->sources, count, count);
        row[count] = form(modulus, ddt_reduce_once(modulus->q - whole, modulus->q));
    }
}

ddt_status ddt_baseconv_create(ddt_context *ctx, const ddt_ring *ring, const uint32_t *from, size_t from_count,
                               const uint32_t *to, size_t to_count, ddt_baseconv **out) {
    ddt_status status = check_indices(ctx, ring, from, from_count, to, to_count);
    if (status != DDT_OK) {
        return status;
    }
    size_t words = 0;
    ddt_baseconv *conversion = ddt_calloc(1, sizeof *conversion);
    if (conversion != NULL) {
        conversion->to = ddt_calloc(to_count, sizeof *conversion->to);
        conversion->sources = ddt_calloc(from_count, sizeof *conversion->sources);
        conversion->factors =
            ddt_size_mul(to_count, from_count + 1, &words) ? ddt_calloc(words, sizeof *conversion->factors) : NULL;
    }
    if (conversion == NULL || conversion->to == NULL || conversion->sources == NULL || conversion->factors == NULL) {
        ddt_baseconv_destroy(conversion);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "There is no memory for a base conversion from %zu to %zu moduli.",
                        from_count, to_count);
    }
    conversion->ring = ring;
    conversion->from_count = from_count;
    conversion->to_count = to_count;
    uint64_t sum = 0; /* of at most DDT_BASECONV_FROM_MAX moduli below 2^50 */
    for (size_t k = 0; k < from_count; k++) {
        conversion->sources[k].modulus = &ring->moduli[from[k]];
        sum += ring->moduli[from[k]].q;
    }
    conversion->narrow = sum <= UINT64_C(3) << DDT_RING_MODULUS_BITS_MAX;
    for (size_t j = 0; j < to_count; j++) {
        conversion->to[j] = to[j];
    }
    fill_factors(conversion);
    *out = conversion;
    return DDT_OK;
}

void ddt_baseconv_destroy(ddt_baseconv *conversion) {
    if (conversion != NULL) {
        ddt_free(conversion->to);
        ddt_free(conversion->sources);
        ddt_free(conversion->factors);
        ddt_free(conversion);
    }
}

void ddt_baseconv_prepare(const ddt_baseconv *conversion, const uint64_t *const *in, uint64_t *const *y,
                          uint64_t *quotient, size_t begin, size_t end) {
    conversion->ring->kernels->baseconv_prepare(conversion->sources, conversion->from_count, in, y, quotient, begin,
                                                end);
}

void ddt_baseconv_intt(const ddt_baseconv *conversion, size_t k, uint64_t *const *limbs, size_t count) {
    const ddt_baseconv_source *source = &conversion->sources[k];
    const ddt_kernels *kernels = conversion->ring->kernels;
    if (kernels->intt_scaled != NULL) {
        kernels->intt_scaled(source->modulus, limbs, count, source->factor);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        kernels->intt(source->modulus, limbs[i]);
    }
}

void ddt_baseconv_quotients(const ddt_baseconv *conversion, uint64_t *const *y, uint64_t *quotient, size_t begin,
                            size_t end) {
    const ddt_kernels *kernels = conversion->ring->kernels;
    const uint64_t *const *in = (const uint64_t *const *)y;
    if (kernels->intt_scaled != NULL) {
        kernels->baseconv_quotients(conversion->sources, conversion->from_count, in, quotient, begin, end);
        return;
    }
    kernels->baseconv_prepare(conversion->sources, conversion->from_count, in, y, quotient, begin, end);
}

static ddt_baseconv_target make_target(const ddt_baseconv *conversion, size_t j) {
    return (ddt_baseconv_target){&conversion->ring->moduli[conversion->to[j]],
                                 conversion->factors + j * (conversion->from_count + 1)};
}

void ddt_baseconv_limbs(const ddt_baseconv *conversion, const uint32_t *targets, size_t count, uint64_t *const *out,
                        const uint64_t *const *y, const uint64_t *quotient, size_t begin, size_t end) {
    for (size_t from = begin; from < end; from += BLOCK_WORDS) {
        size_t to = end - from > BLOCK_WORDS ? from + BLOCK_WORDS : end;
        for (size_t i = 0; i < count; i += DDT_BASECONV_TARGETS) {
            size_t together = count - i > DDT_BASECONV_TARGETS ? DDT_BASECONV_TARGETS : count - i;
            ddt_baseconv_target chosen[DDT_BASECONV_TARGETS] = {{NULL, NULL}};
            for (size_t t = 0; t < together; t++) {
                chosen[t] = make_target(conversion, targets[i + t]);
            }
            conversion->ring->kernels->baseconv_limbs(chosen, together, conversion->from_count, out + i, y, quotient,
                                                      from, to);
        }
    }
}

void ddt_baseconv_limb(const ddt_baseconv *conversion, size_t j, uint64_t *out, const uint64_t *const *y,
                       const uint64_t *quotient) {
    uint32_t target = (uint32_t)j;
    ddt_baseconv_limbs(conversion, &target, 1, &out, y, quotient, 0, conversion->ring->n);
}

void ddt_baseconv_begin(const ddt_baseconv *conversion, const uint32_t *targets, size_t count, uint64_t *const *out,
                        const uint64_t *const *y, const uint64_t *quotient) {
    const ddt_ring *ring = conversion->ring;
    if (!ring_has_steps(ring)) {
        ddt_baseconv_limbs(conversion, targets, count, out, y, quotient, 0, ring->n);
        for (size_t t = 0; t < count; t++) {
            ddt_ring_ntt_begin(ring, conversion->to[targets[t]], out[t]);
        }
        return;
    }
    const ddt_baseconv_inputs in = {conversion->from_count, y, quotient, conversion->narrow};
    for (size_t i = 0; i < count; i += DDT_BASECONV_TOGETHER) {
        size_t together = count - i > DDT_BASECONV_TOGETHER ? DDT_BASECONV_TOGETHER : count - i;
        ddt_baseconv_target chosen[DDT_BASECONV_TOGETHER];
        for (size_t t = 0; t < together; t++) {
            chosen[t] = make_target(conversion, targets[i + t]);
        }
        ring->kernels->baseconv_begin(chosen, together, &in, out + i);
    }
}
