/*
 * ddt/custody.h - everything that touches a secret key: key generation, encryption, decryption.
 *
 * The untrusted engine does not link this library. Secret keys live in locked, guarded, zeroised memory (libsodium);
 * all functions that touch one run in time independent of its value. Key files are written with mode 0600 and, on
 * request, wrapped with a passphrase (Argon2id, XChaCha20-Poly1305); a key file that others can read is refused.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CUSTODY_H
#define DDT_CUSTODY_H

#include "ddt/ckks.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ddt_secret_key ddt_secret_key;

/*
 * A public encryption key: (b, a) over q_0..q_levels and the special prime p_0, a expanded from the seed. Encryption
 * divides by p_0, and with it its own noise: what is left is one rounding.
 */
typedef struct ddt_public_key {
    uint8_t seed[DDT_CKKS_SEED_BYTES];
    unsigned level;
    uint64_t *b; /* (level + 2) * N, NTT domain, p_0 last */
    uint64_t *a;
} ddt_public_key;

/* Uniform ternary secret. The caller owns *out. params must outlive the key. Errors: DDT_ERR_ENTROPY, DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status ddt_secret_key_generate(ddt_context *ctx, const ddt_ckks_params *params,
                                                  ddt_secret_key **out);
void ddt_secret_key_destroy(ddt_secret_key *key);
DDT_MUST_CHECK ddt_status ddt_public_key_generate(ddt_context *ctx, const ddt_secret_key *secret, ddt_public_key *out);
void ddt_public_key_destroy(ddt_public_key *key);
/* galois 0: relinearisation key; else the key for that Galois element. top_level: the highest level of use. */
DDT_MUST_CHECK ddt_status ddt_switch_key_generate(ddt_context *ctx, const ddt_secret_key *secret, uint64_t galois,
                                                  unsigned top_level, ddt_switch_key *out);

/*
 * The keys to a fresh sparse secret of DDT_BOOTSTRAP_SPARSE_WEIGHT coefficients and back, for bootstrapping. The sparse
 * secret lives in protected memory for the time of this call only; the one key under it has the modulus q_0 p_0. *out
 * is created here.
 */
DDT_MUST_CHECK ddt_status ddt_encapsulation_generate(ddt_context *ctx, const ddt_secret_key *secret,
                                                     ddt_encapsulation *out);
/*
 * All keys that a bootstrapper asks for, added to `keys`: the encapsulation, and the switching keys of
 * ddt_bootstrap_key_requests (those that are there already for a high enough level are kept). Reports progress. On
 * failure `keys` keeps what it got so far.
 */
DDT_MUST_CHECK ddt_status ddt_bootstrap_keys_generate(ddt_context *ctx, const ddt_secret_key *secret,
                                                      const ddt_bootstrapper *bootstrapper, ddt_eval_keys *keys);

/* Fresh encryptions at the plaintext's level and scale. *out is created here. Secret-key encryption is seeded (half the
 * size). */
DDT_MUST_CHECK ddt_status ddt_encrypt_secret(ddt_context *ctx, const ddt_secret_key *secret,
                                             const ddt_plaintext *plaintext, ddt_ciphertext *out);
DDT_MUST_CHECK ddt_status ddt_encrypt_public(ddt_context *ctx, const ddt_ckks_params *params, const ddt_public_key *key,
                                             const ddt_plaintext *plaintext, ddt_ciphertext *out);
/* 2 or 3 parts. *out is created here at the ciphertext's level. */
DDT_MUST_CHECK ddt_status ddt_decrypt(ddt_context *ctx, const ddt_secret_key *secret, const ddt_ciphertext *ciphertext,
                                      ddt_plaintext *out);

/*
 * Sections of the two files, both of which begin with
 *   "PRMS": the literal of the parameters (five u32), bytes[32] their digest, bytes[32] digest of the plan.
 * Secret key:
 *   "SECR": u8 wrapped. 0: bytes[N/4], coefficient j + 1 in bits 2 (j mod 4) of byte j / 4. 1: u64 opslimit, u64
 * memlimit, bytes[16] salt of Argon2id version 1.3 (libsodium's crypto_pwhash), bytes[24] nonce, bytes[N/4 + 16] the
 * same coefficients under XChaCha20-Poly1305, associated data: the payload of "PRMS". Public key: "PUBK": bytes[32]
 * seed, packed(N, bits of q - 1) limbs q_0..q_levels, p_0 of b; a is stream 0 of the seed.
 */
/*
 * Key files. `plan` is the digest of the plan the key was made for. passphrase NULL: not wrapped. Reading refuses a
 * file whose mode gives group or others any right (DDT_ERR_PERMISSION) and needs the passphrase of a wrapped one
 * (DDT_ERR_PASSPHRASE).
 */
DDT_MUST_CHECK ddt_status ddt_secret_key_save(ddt_context *ctx, const char *path, const ddt_secret_key *key,
                                              const ddt_digest *plan, const char *passphrase);
DDT_MUST_CHECK ddt_status ddt_secret_key_load(ddt_context *ctx, const char *path, const ddt_ckks_params *params,
                                              const char *passphrase, ddt_secret_key **out, ddt_digest *plan);
DDT_MUST_CHECK ddt_status ddt_public_key_save(ddt_context *ctx, const char *path, const ddt_ckks_params *params,
                                              const ddt_public_key *key, const ddt_digest *plan);
DDT_MUST_CHECK ddt_status ddt_public_key_load(ddt_context *ctx, const char *path, const ddt_ckks_params *params,
                                              ddt_public_key *out, ddt_digest *plan);

/*
 * Notes: a few bytes that the key's owner sends himself through a stranger's hands, such as whose twin a ciphertext is.
 * XChaCha20-Poly1305 under a key that BLAKE2b derives from the secret key; `context` (a plan's digest) is authenticated
 * with it. sealed: length + DDT_NOTE_EXTRA_BYTES bytes. Errors: DDT_ERR_ENTROPY, DDT_ERR_MEMORY; sealed is zero then.
 */
enum { DDT_NOTE_EXTRA_BYTES = 40 };
DDT_MUST_CHECK ddt_status ddt_note_seal(ddt_context *ctx, const ddt_secret_key *secret, const ddt_digest *context,
                                        const void *data, size_t length, uint8_t *sealed);
/* data: sealed_length - DDT_NOTE_EXTRA_BYTES bytes, zero on failure. DDT_ERR_CORRUPT: another key, another context, or
 * changed. */
DDT_MUST_CHECK ddt_status ddt_note_open(ddt_context *ctx, const ddt_secret_key *secret, const ddt_digest *context,
                                        const uint8_t *sealed, size_t sealed_length, void *data);

#ifdef __cplusplus
}
#endif
#endif
