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
/*
 * Wrapping with a passphrase (wrap.c): Argon2id version 1.3, then XChaCha20-Poly1305 with `head` as associated data. In
 * files: u64 opslimit, u64 memlimit, bytes[16] salt, bytes[24] nonce, then the sealed bytes.
 */
enum { CUSTODY_WRAP_SALT_BYTES = 16, CUSTODY_WRAP_NONCE_BYTES = 24, CUSTODY_WRAP_TAG_BYTES = 16 };
typedef struct custody_wrapping {
    uint64_t ops_limit;
    uint64_t mem_limit;
    uint8_t salt[CUSTODY_WRAP_SALT_BYTES];
    uint8_t nonce[CUSTODY_WRAP_NONCE_BYTES];
} custody_wrapping;

/* sealed: length + CUSTODY_WRAP_TAG_BYTES. Errors: DDT_ERR_ENTROPY, DDT_ERR_MEMORY. */
DDT_MUST_CHECK ddt_status custody_wrap(ddt_context *ctx, const char *passphrase, const uint8_t *head,
                                       size_t head_length, const uint8_t *data, size_t length, custody_wrapping *wrap,
                                       uint8_t *sealed);
/* data: length bytes. DDT_ERR_PASSPHRASE, naming path, where the passphrase does not open it. */
DDT_MUST_CHECK ddt_status custody_unwrap(ddt_context *ctx, const char *passphrase, const custody_wrapping *wrap,
                                         const uint8_t *head, size_t head_length, const char *path,
                                         const uint8_t *sealed, size_t length, uint8_t *data);
void custody_wrapping_write(ddt_writer *writer, const custody_wrapping *wrap);
/* DDT_ERR_PASSPHRASE without a passphrase, DDT_ERR_FORMAT for a file that asks for more work than is sensible. */
DDT_MUST_CHECK ddt_status custody_wrapping_read(ddt_context *ctx, ddt_reader *reader, const char *passphrase,
                                                custody_wrapping *wrap);

/* The limbs of a public key, q_0..q_levels and p_0, and the modulus of one of them. */
static inline size_t custody_public_limbs(const ddt_ckks_params *params) { return (size_t)ddt_ckks_levels(params) + 2; }
static inline size_t custody_public_modulus(const ddt_ckks_params *params, size_t limb) {
    return limb <= ddt_ckks_levels(params) ? limb : (size_t)ddt_ckks_top_level(params) + 1;
}

/* Signed coefficients -> NTT domain of one limb. */
void custody_to_ntt(const ddt_ckks_params *params, size_t m, const int64_t *values, uint64_t *limb);

#endif
