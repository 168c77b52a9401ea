/* Secret memory, secret randomness, the secret key. SPDX-License-Identifier: Apache-2.0 */
#include "custody_internal.h"

#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

enum { LINE_BYTES = 64, ERROR_PAIRS = 21 };

_Static_assert(sizeof((custody_random *)0)->key == crypto_stream_chacha20_KEYBYTES, "a ChaCha20 key");

/* ------------------------------------------------------------------ memory */

/*
 * The scratch that was freed last, wiped, for the next one of about its size: to map, lock and unmap a few MiB costs 7
 * % of an encryption.
 */
enum { SCRATCH_KEPT_BYTES = 16 << 20 };
static _Atomic(custody_scratch *) kept_scratch;

static void free_scratch(custody_scratch *scratch) {
    if (scratch != NULL) {
        sodium_free(scratch->block); /* wipes */
        ddt_free(scratch);
    }
}

/* The kept block for a scratch of `bytes` bytes, if it is of about that size. */
static void reuse_block(custody_scratch *scratch, size_t bytes) {
    custody_scratch *kept = atomic_exchange(&kept_scratch, NULL);
    if (kept != NULL && kept->capacity >= bytes && kept->capacity / 2 <= bytes) {
        *scratch = *kept;
        ddt_free(kept);
    } else {
        free_scratch(kept);
    }
}

ddt_status custody_scratch_create(ddt_context *ctx, size_t words, custody_scratch **out) {
    size_t bytes = 0;
    custody_scratch *scratch = ddt_calloc(1, sizeof *scratch);
    *out = scratch;
    if (scratch != NULL && ddt_size_mul(words, sizeof(uint64_t), &bytes) && bytes % LINE_BYTES == 0) {
        reuse_block(scratch, bytes);
        if (scratch->block == NULL) {
            /* libsodium puts the block's end at a page's end: a multiple of 64 bytes is 64-byte aligned. */
            scratch->block = sodium_malloc(bytes);
            scratch->capacity = bytes;
        }
    }
    if (scratch == NULL || scratch->block == NULL) {
        ddt_free(scratch);
        *out = NULL;
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Protected memory is short (%zu words wanted).", words);
    }
    return DDT_OK;
}

void custody_scratch_destroy(custody_scratch *scratch) {
    if (scratch != NULL && scratch->capacity <= SCRATCH_KEPT_BYTES) {
        sodium_memzero(scratch->block, scratch->capacity);
        scratch->used = 0;
        scratch = atomic_exchange(&kept_scratch, scratch);
    }
    free_scratch(scratch);
}

uint64_t *custody_scratch_take(custody_scratch *scratch, size_t words) {
    uint8_t *taken = scratch->block + scratch->used;
    scratch->used += words * sizeof(uint64_t);
    return (uint64_t *)(void *)taken;
}

/* ------------------------------------------------------------------ randomness */

ddt_status custody_random_create(ddt_context *ctx, custody_scratch *scratch, custody_random **out) {
    custody_random *random = (custody_random *)(void *)custody_scratch_take(scratch, CUSTODY_RANDOM_WORDS);
    random->next_stream = 0;
    *out = random;
    return ddt_entropy(ctx, random->key, sizeof random->key);
}

/* Every call has a nonce of its own. */
void custody_random_words(custody_random *random, size_t n, int64_t *out) {
    uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    for (size_t i = 0; i < sizeof nonce; i++) {
        nonce[i] = (uint8_t)(random->next_stream >> (8 * i));
    }
    random->next_stream++;
    (void)crypto_stream_chacha20((unsigned char *)out, n * sizeof *out, nonce, random->key);
}

/* Bits set among the lowest 32 of x, without a table or a branch. */
static uint64_t popcount32(uint64_t x) {
    x = x - ((x >> 1) & 0x55555555U);
    x = (x & 0x33333333U) + ((x >> 2) & 0x33333333U);
    x = (x + (x >> 4)) & 0x0f0f0f0fU;
    x = x + (x >> 8);
    return (x + (x >> 16)) & 0x3fU;
}

void custody_sample_error(custody_random *random, size_t n, int64_t *out) {
    const uint64_t mask = ((uint64_t)1 << ERROR_PAIRS) - 1;
    custody_random_words(random, n, out);
    for (size_t j = 0; j < n; j++) {
        const uint64_t word = (uint64_t)out[j];
        out[j] = (int64_t)(popcount32(word & mask) - popcount32((word >> ERROR_PAIRS) & mask));
    }
}

/*
 * floor(3 w / 2^64) for a uniform 64-bit w: each value has probability 1/3 within 2^-64. Over 2^17 coefficients the
 * Renyi divergence of any order that matters from the uniform distribution stays below 1 + 2^-100.
 */
void custody_sample_ternary(custody_random *random, size_t n, int64_t *out) {
    custody_random_words(random, n, out);
    for (size_t j = 0; j < n; j++) {
        const uint64_t word = (uint64_t)out[j];
        out[j] = (int64_t)(uint64_t)(((unsigned __int128)word * 3) >> 64) - 1;
    }
}

/* ------------------------------------------------------------------ the key */

ddt_status custody_key_create(ddt_context *ctx, const ddt_ckks_params *params, ddt_secret_key **out) {
    ddt_secret_key *key = ddt_calloc(1, sizeof *key);
    *out = NULL;
    if (key != NULL) {
        key->params = params;
        key->ternary = sodium_malloc(ddt_ckks_n(params));
    }
    if (key == NULL || key->ternary == NULL) {
        ddt_secret_key_destroy(key);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Protected memory is short for a secret key.");
    }
    *out = key;
    return DDT_OK;
}

ddt_status custody_key_seal(ddt_context *ctx, ddt_secret_key *key) {
    if (sodium_mprotect_readonly(key->ternary) != 0) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "The secret key's memory could not be write-protected.");
    }
    return DDT_OK;
}

void ddt_secret_key_destroy(ddt_secret_key *key) {
    if (key != NULL) {
        sodium_free(key->ternary); /* wipes; NULL is allowed */
        ddt_free(key);
    }
}

void custody_secret_values(const ddt_secret_key *key, int64_t *out) {
    for (size_t j = 0; j < ddt_ckks_n(key->params); j++) {
        out[j] = (int64_t)(int)key->ternary[j];
    }
}

void custody_to_ntt(const ddt_ckks_params *params, size_t m, const int64_t *values, uint64_t *limb) {
    const ddt_ring *ring = ddt_ckks_params_ring(params);
    ddt_ring_from_signed(ring, m, limb, values);
    ddt_ring_ntt(ring, m, limb);
}

ddt_status ddt_secret_key_generate(ddt_context *ctx, const ddt_ckks_params *params, ddt_secret_key **out) {
    const size_t n = ddt_ckks_n(params);
    custody_scratch *scratch = NULL;
    custody_random *random = NULL;
    ddt_secret_key *key = NULL;
    *out = NULL;
    ddt_status status = custody_scratch_create(ctx, n + CUSTODY_RANDOM_WORDS, &scratch);
    if (status == DDT_OK) {
        status = custody_random_create(ctx, scratch, &random);
    }
    if (status == DDT_OK) {
        status = custody_key_create(ctx, params, &key);
    }
    if (status == DDT_OK) {
        int64_t *values = (int64_t *)custody_scratch_take(scratch, n);
        custody_sample_ternary(random, n, values);
        for (size_t j = 0; j < n; j++) {
            key->ternary[j] = (int8_t)values[j];
        }
        status = custody_key_seal(ctx, key);
    }
    custody_scratch_destroy(scratch);
    if (status != DDT_OK) {
        ddt_secret_key_destroy(key);
        return status;
    }
    *out = key;
    return DDT_OK;
}
