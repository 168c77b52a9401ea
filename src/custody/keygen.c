/* Public and evaluation keys. SPDX-License-Identifier: Apache-2.0 */
#include "custody_internal.h"

#include <omp.h>
#include <string.h>

/* ------------------------------------------------------------------ public key */

static ddt_status public_key_memory(ddt_context *ctx, const ddt_ckks_params *params, ddt_public_key *out) {
    const size_t limbs = custody_public_limbs(params);
    memset(out, 0, sizeof *out);
    out->level = ddt_ckks_levels(params);
    out->b = ddt_alloc(limbs * ddt_ckks_n(params), sizeof *out->b);
    out->a = out->b == NULL ? NULL : ddt_alloc(limbs * ddt_ckks_n(params), sizeof *out->a);
    if (out->a == NULL) {
        ddt_public_key_destroy(out);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a public key.");
    }
    return DDT_OK;
}

void ddt_public_key_destroy(ddt_public_key *key) {
    if (key != NULL) {
        ddt_free(key->b);
        ddt_free(key->a);
        memset(key, 0, sizeof *key);
    }
}

static void public_key_limbs(const ddt_ckks_params *params, int threads, const int64_t *secret, const int64_t *error,
                             uint64_t *thread_limbs, const ddt_public_key *out) {
    const ddt_ring *ring = ddt_ckks_params_ring(params);
    const size_t n = ddt_ckks_n(params);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 1)
    for (size_t i = 0; i < custody_public_limbs(params); i++) {
        const size_t m = custody_public_modulus(params, i);
        uint64_t *s = thread_limbs + 2 * (size_t)omp_get_thread_num() * n;
        uint64_t *b = s + n;
        ddt_ckks_expand_seed(params, out->seed, 0, m, out->a + i * n);
        custody_to_ntt(params, m, secret, s);
        custody_to_ntt(params, m, error, b);
        ddt_ring_mul(ring, m, s, s, out->a + i * n);
        ddt_ring_sub(ring, m, out->b + i * n, b, s);
    }
}

ddt_status ddt_public_key_generate(ddt_context *ctx, const ddt_secret_key *secret, ddt_public_key *out) {
    const ddt_ckks_params *params = secret->params;
    const size_t n = ddt_ckks_n(params);
    const int threads = ddt_context_threads(ctx);
    custody_scratch *scratch = NULL;
    custody_random *random = NULL;
    ddt_status status = public_key_memory(ctx, params, out);
    if (status == DDT_OK) {
        status = custody_scratch_create(ctx, CUSTODY_RANDOM_WORDS + (2 + 2 * (size_t)threads) * n, &scratch);
    }
    if (status == DDT_OK) {
        status = custody_random_create(ctx, scratch, &random);
    }
    if (status == DDT_OK) {
        status = ddt_entropy(ctx, out->seed, sizeof out->seed);
    }
    if (status == DDT_OK) {
        int64_t *values = (int64_t *)custody_scratch_take(scratch, n);
        int64_t *error = (int64_t *)custody_scratch_take(scratch, n);
        custody_secret_values(secret, values);
        custody_sample_error(random, n, error);
        public_key_limbs(params, threads, values, error, custody_scratch_take(scratch, 2 * (size_t)threads * n), out);
    }
    custody_scratch_destroy(scratch);
    if (status != DDT_OK) {
        ddt_public_key_destroy(out);
    }
    return status;
}

/* ------------------------------------------------------------------ switching keys */

enum { SWITCH_LIMBS = 3 }; /* of scratch a thread: the key's secret, what it carries, an error */

typedef struct switch_work {
    const ddt_ckks_params *params;
    ddt_switch_key *key;
    const int64_t *secret;
    const int64_t *errors;       /* a polynomial each digit */
    const uint32_t *permutation; /* of the inverse automorphism; NULL for relinearisation */
    size_t limbs;                /* top_level + 1 + p_count */
} switch_work;

static ddt_status switch_key_memory(ddt_context *ctx, const ddt_ckks_params *params, uint64_t galois,
                                    unsigned top_level, ddt_switch_key *out) {
    const size_t n = ddt_ckks_n(params);
    memset(out, 0, sizeof *out);
    if (top_level > ddt_ckks_top_level(params) || (galois != 0 && (galois % 2 == 0 || galois >= 2 * n))) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "No switching key exists for Galois element %llu and level %u.",
                        (unsigned long long)galois, top_level);
    }
    out->galois = galois;
    out->top_level = top_level;
    out->digits = ddt_ckks_digits(params, top_level);
    const size_t limbs = out->digits * ((size_t)top_level + 1 + ddt_ckks_params_literal(params)->p_count);
    out->b = ddt_alloc(limbs * n, sizeof *out->b);
    out->a = out->b == NULL ? NULL : ddt_alloc(limbs * n, sizeof *out->a);
    if (out->a == NULL) {
        ddt_switch_key_destroy(out);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a switching key of %zu limbs.", 2 * limbs);
    }
    return DDT_OK;
}

/* P mod q_m. */
static uint64_t special_product(const ddt_ckks_params *params, size_t m) {
    const ddt_ring *ring = ddt_ckks_params_ring(params);
    uint64_t product = 1;
    for (size_t j = (size_t)ddt_ckks_top_level(params) + 1; j < ddt_ring_count(ring); j++) {
        product = ddt_ring_scalar_mul(ring, m, product, ddt_ring_modulus(ring, j) % ddt_ring_modulus(ring, m));
    }
    return product;
}

/*
 * The two secrets of limb m in NTT domain. Relinearisation: under s, carrying s^2. Galois element g: under g^-1(s),
 * carrying s, because the evaluator applies the automorphism after the switch.
 */
static void switch_secrets(const switch_work *w, size_t m, uint64_t *under, uint64_t *carried) {
    const ddt_ring *ring = ddt_ckks_params_ring(w->params);
    if (w->permutation == NULL) {
        custody_to_ntt(w->params, m, w->secret, under);
        ddt_ring_mul(ring, m, carried, under, under);
    } else {
        custody_to_ntt(w->params, m, w->secret, carried);
        ddt_ring_permute(ring, under, carried, w->permutation);
    }
}

/* Limb i of every digit: b = e - a * under + [i in the digit] P * carried. */
static void switch_limb(const switch_work *w, size_t i, uint64_t *under, uint64_t *carried, uint64_t *error) {
    const ddt_ring *ring = ddt_ckks_params_ring(w->params);
    const size_t n = ddt_ckks_n(w->params);
    const unsigned p_count = ddt_ckks_params_literal(w->params)->p_count;
    const bool is_special = i > w->key->top_level;
    const size_t m = is_special ? i - w->key->top_level + ddt_ckks_top_level(w->params) : i;
    switch_secrets(w, m, under, carried);
    for (size_t d = 0; d < w->key->digits; d++) {
        uint64_t *a = w->key->a + (d * w->limbs + i) * n;
        uint64_t *b = w->key->b + (d * w->limbs + i) * n;
        ddt_ckks_expand_seed(w->params, w->key->seed, (uint32_t)d, m, a);
        custody_to_ntt(w->params, m, w->errors + d * n, error);
        ddt_ring_mul(ring, m, b, a, under);
        ddt_ring_sub(ring, m, b, error, b);
        if (!is_special && i / p_count == d) {
            ddt_ring_mul_scalar_add(ring, m, b, b, carried, special_product(w->params, m));
        }
    }
}

static void switch_limbs(const switch_work *w, int threads, uint64_t *thread_limbs) {
    const size_t n = ddt_ckks_n(w->params);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 1)
    for (size_t i = 0; i < w->limbs; i++) {
        uint64_t *limbs = thread_limbs + SWITCH_LIMBS * (size_t)omp_get_thread_num() * n;
        switch_limb(w, i, limbs, limbs + n, limbs + 2 * n);
    }
}

/* galois^-1 mod 2N: 2N is a power of two and x galois = 1 mod 2^k gives x (2 - x galois) for 2^2k. */
static uint64_t inverse_galois(const ddt_ckks_params *params, uint64_t galois) {
    uint64_t x = galois;
    for (unsigned i = 0; i < 5; i++) {
        x *= 2 - x * galois;
    }
    return x & (2 * ddt_ckks_n(params) - 1);
}

static ddt_status make_permutation(ddt_context *ctx, const ddt_ckks_params *params, uint64_t galois, uint32_t **out) {
    *out = NULL;
    if (galois == 0) {
        return DDT_OK;
    }
    *out = ddt_alloc(ddt_ckks_n(params), sizeof **out);
    if (*out == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a switching key.");
    }
    ddt_ring_galois_permutation(ddt_ckks_params_ring(params), inverse_galois(params, galois), *out);
    return DDT_OK;
}

ddt_status ddt_switch_key_generate(ddt_context *ctx, const ddt_secret_key *secret, uint64_t galois, unsigned top_level,
                                   ddt_switch_key *out) {
    const ddt_ckks_params *params = secret->params;
    const size_t n = ddt_ckks_n(params);
    const int threads = ddt_context_threads(ctx);
    custody_scratch *scratch = NULL;
    custody_random *random = NULL;
    uint32_t *permutation = NULL;
    ddt_status status = switch_key_memory(ctx, params, galois, top_level, out);
    const size_t polynomials = 1 + (size_t)out->digits + SWITCH_LIMBS * (size_t)threads;
    if (status == DDT_OK) {
        status = make_permutation(ctx, params, galois, &permutation);
    }
    if (status == DDT_OK) {
        status = custody_scratch_create(ctx, CUSTODY_RANDOM_WORDS + polynomials * n, &scratch);
    }
    if (status == DDT_OK) {
        status = custody_random_create(ctx, scratch, &random);
    }
    if (status == DDT_OK) {
        status = ddt_entropy(ctx, out->seed, sizeof out->seed);
    }
    if (status == DDT_OK) {
        int64_t *values = (int64_t *)custody_scratch_take(scratch, n);
        int64_t *errors = (int64_t *)custody_scratch_take(scratch, out->digits * n);
        custody_secret_values(secret, values);
        for (size_t d = 0; d < out->digits; d++) {
            custody_sample_error(random, n, errors + d * n);
        }
        const switch_work work = {
            params, out, values, errors, permutation, (size_t)top_level + 1 + ddt_ckks_params_literal(params)->p_count};
        switch_limbs(&work, threads, custody_scratch_take(scratch, SWITCH_LIMBS * (size_t)threads * n));
    }
    custody_scratch_destroy(scratch);
    ddt_free(permutation);
    if (status != DDT_OK) {
        ddt_switch_key_destroy(out);
    }
    return status;
}
