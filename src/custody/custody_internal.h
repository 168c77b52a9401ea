/* Private to custody: secret memory, randomness, the key itself. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_CUSTODY_INTERNAL_H
#define DDT_CUSTODY_INTERNAL_H

#include "ddt/custody.h"

struct ddt_secret_key {
    const ddt_ckks_params *params;
    int8_t *ternary; /* N coefficients in {-1, 0, 1}: guarded, locked, read-only memory of libsodium */
};

/*
 * Scratch for secrets: guarded, locked where the limit on locked memory allows, wiped when freed. Blocks are handed out
 * 64-byte aligned; the total is fixed at creation.
 */
typedef struct custody_scratch {
    uint8_t *block;
    size_t capacity;
    size_t used;
} custody_scratch;

ddt_status custody_scratch_create(ddt_context *ctx, size_t words, custody_scratch **out);
void custody_scratch_destroy(custody_scratch *scratch);
uint64_t *custody_scratch_take(custody_scratch *scratch, size_t words);

/* Randomness that must stay secret: ChaCha20 under a key of the operating system's entropy. The state lies in scratch.
 */
typedef struct custody_random {
    uint8_t key[32];
    uint64_t next_stream;
} custody_random;

enum { CUSTODY_RANDOM_WORDS = (sizeof(custody_random) + 63) / 64 * 8 };

ddt_status custody_random_create(ddt_context *ctx, custody_scratch *scratch, custody_random **out);
/* Fills out with the next stream. */
void custody_random_words(custody_random *random, size_t n, int64_t *out);
/* Centred binomial with 21 pairs of bits: variance 10.5, sigma 3.24. Constant time. */
void custody_sample_error(custody_random *random, size_t n, int64_t *out);
/* Uniform in {-1, 0, 1}. Constant time. */
void custody_sample_ternary(custody_random *random, size_t n, int64_t *out);

/* The secret key as signed coefficients. */
void custody_secret_values(const ddt_secret_key *key, int64_t *out);
/* An empty key whose ternary is writable until custody_key_seal. */
ddt_status custody_key_create(ddt_context *ctx, const ddt_ckks_params *params, ddt_secret_key **out);
ddt_status custody_key_seal(ddt_context *ctx, ddt_secret_key *key);
/* Signed coefficients -> NTT domain of one limb. */
void custody_to_ntt(const ddt_ckks_params *params, size_t m, const int64_t *values, uint64_t *limb);

#endif
