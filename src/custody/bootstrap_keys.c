/* The keys of bootstrapping, with the short-lived sparse secret. SPDX-License-Identifier: Apache-2.0 */
#include "custody_internal.h"

#include <omp.h>
#include <string.h>

enum { SPARSE_STREAM = 0, DENSE_STREAM = 1, TAG_BITS = 2, REQUESTS_MAX = 1024 };

/* ------------------------------------------------------------------ the sparse secret */

/* Orders two words in time independent of them. */
static void compare_exchange(uint64_t *a, uint64_t *b, uint64_t descending) {
    const uint64_t x = *a;
    const uint64_t y = *b;
    /* The borrow of y - x, without a branch: all ones where y < x. */
    const uint64_t less = ((~y & x) | ((~y | x) & (y - x))) >> 63;
    const uint64_t swap = 0 - (less ^ descending);
    const uint64_t difference = (x ^ y) & swap;
    *a = x ^ difference;
    *b = y ^ difference;
}

/* One pass of the network: each word with the one at `distance`, upwards or downwards by blocks. */
static void sort_pass(uint64_t *words, size_t n, size_t block, size_t distance) {
    for (size_t i = 0; i < n; i++) {
        const size_t other = i ^ distance;
        if (other > i) {
            compare_exchange(&words[i], &words[other], (i & block) != 0 ? 1 : 0);
        }
    }
}

/* Batcher's bitonic sorting network; n a power of two. Equal words may come out in either order. */
static void sort_words(uint64_t *words, size_t n) {
    for (size_t block = 2; block <= n; block *= 2) {
        for (size_t distance = block / 2; distance > 0; distance /= 2) {
            sort_pass(words, n, block, distance);
        }
    }
}

/*
 * `weight` signs and n - weight zeros in an order decided by sorting random keys of 62 bits. Two equal keys, of
 * probability below 2^-29, would only favour one order of the two. Constant time.
 */
static void sample_sparse(custody_random *random, size_t n, size_t weight, int64_t *out) {
    uint64_t *words = (uint64_t *)out;
    custody_random_words(random, n, out);
    for (size_t i = 0; i < n; i++) {
        /* Tags: 0 for zero, 1 for one, 2 for minus one. The sign is the lowest bit of the word, which is not part of
         * the key. */
        const uint64_t tag = i < weight ? 1 + (words[i] & 1) : 0;
        words[i] = (words[i] & ~(((uint64_t)1 << TAG_BITS) - 1)) | tag;
    }
    sort_words(words, n);
    for (size_t i = 0; i < n; i++) {
        const uint64_t tag = words[i] & (((uint64_t)1 << TAG_BITS) - 1);
        out[i] = (int64_t)(tag & 1) - (int64_t)(tag >> 1);
    }
}

/* ------------------------------------------------------------------ the encapsulation */

typedef struct encapsulation_work {
    const ddt_ckks_params *params;
    const int64_t *dense;
    const int64_t *sparse;
    const int64_t *errors[2]; /* of the key to the sparse secret, of the key back */
    const ddt_encapsulation *out;
    size_t special; /* modulus index of p_0 */
} encapsulation_work;

/* b = e - a under + p_0 carried, one limb; under is overwritten. */
static void encapsulation_limb(const encapsulation_work *w, size_t m, const int64_t *carried, const int64_t *error,
                               const uint64_t *a, uint64_t *under, uint64_t *b) {
    const ddt_ring *ring = ddt_ckks_params_ring(w->params);
    custody_to_ntt(w->params, m, error, b);
    ddt_ring_mul(ring, m, under, under, a);
    ddt_ring_sub(ring, m, b, b, under);
    if (m != w->special) {
        const uint64_t p = ddt_ring_modulus(ring, w->special) % ddt_ring_modulus(ring, m);
        custody_to_ntt(w->params, m, carried, under);
        ddt_ring_mul_scalar_add(ring, m, b, b, under, p);
    }
}

static void encapsulation_limbs(const encapsulation_work *w, int threads, uint64_t *thread_limbs) {
    const size_t n = ddt_ckks_n(w->params);
    const ddt_encapsulation *out = w->out;
    for (size_t i = 0; i < 2; i++) { /* q_0, p_0 */
        const size_t m = i == 0 ? 0 : w->special;
        ddt_ckks_expand_seed(w->params, out->seed, SPARSE_STREAM, m, out->to_sparse_a + i * n);
        custody_to_ntt(w->params, m, w->sparse, thread_limbs);
        encapsulation_limb(w, m, w->dense, w->errors[0], out->to_sparse_a + i * n, thread_limbs,
                           out->to_sparse_b + i * n);
    }
    /* q_0..q_top and p_0 lie side by side in the ring too. */
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 1)
    for (size_t m = 0; m <= w->special; m++) {
        uint64_t *under = thread_limbs + (size_t)omp_get_thread_num() * n;
        ddt_ckks_expand_seed(w->params, out->seed, DENSE_STREAM, m, out->to_dense_a + m * n);
        custody_to_ntt(w->params, m, w->dense, under);
        encapsulation_limb(w, m, w->sparse, w->errors[1], out->to_dense_a + m * n, under, out->to_dense_b + m * n);
    }
}

ddt_status ddt_encapsulation_generate(ddt_context *ctx, const ddt_secret_key *secret, ddt_encapsulation *out) {
    enum { POLYNOMIALS = 4 };
    const ddt_ckks_params *params = secret->params;
    const size_t n = ddt_ckks_n(params);
    const int threads = ddt_context_threads(ctx);
    custody_scratch *scratch = NULL;
    custody_random *random = NULL;
    ddt_status status = ddt_encapsulation_create(ctx, params, out);
    if (status == DDT_OK) {
        status = custody_scratch_create(ctx, CUSTODY_RANDOM_WORDS + (POLYNOMIALS + (size_t)threads) * n, &scratch);
    }
    if (status == DDT_OK) {
        status = custody_random_create(ctx, scratch, &random);
    }
    if (status == DDT_OK) {
        status = ddt_entropy(ctx, out->seed, sizeof out->seed);
    }
    if (status == DDT_OK) {
        int64_t *polynomials[POLYNOMIALS];
        for (size_t i = 0; i < POLYNOMIALS; i++) {
            polynomials[i] = (int64_t *)custody_scratch_take(scratch, n);
        }
        custody_secret_values(secret, polynomials[0]);
        sample_sparse(random, n, DDT_BOOTSTRAP_SPARSE_WEIGHT, polynomials[1]);
        custody_sample_error(random, n, polynomials[2]);
        custody_sample_error(random, n, polynomials[3]);
        const encapsulation_work work = {.params = params,
                                         .dense = polynomials[0],
                                         .sparse = polynomials[1],
                                         .errors = {polynomials[2], polynomials[3]},
                                         .out = out,
                                         .special = (size_t)ddt_ckks_top_level(params) + 1};
        encapsulation_limbs(&work, threads, custody_scratch_take(scratch, (size_t)threads * n));
    }
    custody_scratch_destroy(scratch);
    if (status != DDT_OK) {
        ddt_encapsulation_destroy(out);
    }
    return status;
}

/* ------------------------------------------------------------------ all keys */

static ddt_status add_key(ddt_context *ctx, const ddt_secret_key *secret, const ddt_key_request *request,
                          ddt_eval_keys *keys) {
    const ddt_switch_key *known = ddt_eval_keys_find(keys, request->galois);
    if (known != NULL && known->top_level >= request->top_level) {
        return DDT_OK;
    }
    ddt_switch_key key;
    ddt_status status = ddt_switch_key_generate(ctx, secret, request->galois, request->top_level, &key);
    if (status == DDT_OK) {
        status = ddt_eval_keys_add(ctx, keys, &key);
        ddt_switch_key_destroy(&key); /* emptied where it was added */
    }
    return status;
}

ddt_status ddt_bootstrap_keys_generate(ddt_context *ctx, const ddt_secret_key *secret,
                                       const ddt_bootstrapper *bootstrapper, ddt_eval_keys *keys) {
    ddt_key_request requests[REQUESTS_MAX];
    ddt_encapsulation encapsulation;
    const size_t count = ddt_bootstrap_key_requests(bootstrapper, requests, REQUESTS_MAX);
    if (count > REQUESTS_MAX) {
        return ddt_fail(ctx, DDT_ERR_INTERNAL, "Bootstrapping wants %zu keys.", count);
    }
    ddt_status status = ddt_encapsulation_generate(ctx, secret, &encapsulation);
    if (status == DDT_OK) {
        status = ddt_eval_keys_set_encapsulation(ctx, keys, &encapsulation);
        ddt_encapsulation_destroy(&encapsulation); /* emptied where it was taken */
    }
    for (size_t i = 0; i < count && status == DDT_OK; i++) {
        status = ddt_progress(ctx, "bootstrapping keys", i, count);
        if (status == DDT_OK) {
            status = add_key(ctx, secret, &requests[i], keys);
        }
    }
    return status == DDT_OK ? ddt_progress(ctx, "bootstrapping keys", count, count) : status;
}
