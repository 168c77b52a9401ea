/*
 * ddt/custody/physician.h - who may read what is released: a physician's own key pair, and grants sealed for it.
 *
 * A physician makes a pair of X25519 keys; the public half goes to whoever holds patients' keys. A grant is the text of
 * a released result (ddt_release: masked, flooded, rounded, counted), sealed for that public key: libsodium's sealed
 * box (X25519, XSalsa20-Poly1305, an ephemeral sender key that is destroyed). Nothing turns a ciphertext of the patient
 * into one of the physician: there is no re-encryption key.
 *
 * A sealed box says nothing about who sealed it. Grants travel over a channel that tells (the hospital's own).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CUSTODY_PHYSICIAN_H
#define DDT_CUSTODY_PHYSICIAN_H

#include "ddt/custody.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DDT_GRANT_TEXT_MAX = 1 << 24 }; /* bytes of a granted text */

/* Names a key pair: BLAKE2b-256 of the public key. Compare it over the telephone. */
typedef ddt_digest ddt_physician_id;

/*
 * Makes a pair and writes both files: secret_path (mode 0600, wrapped with the passphrase unless that is NULL) and
 * public_path. Files that are there already are not replaced (DDT_ERR_SECURITY). *id (may be NULL). Errors also:
 * DDT_ERR_IO, DDT_ERR_NO_SPACE, DDT_ERR_ENTROPY, DDT_ERR_MEMORY; neither file is left behind then.
 *
 * Sections. Public: "PHPK": bytes[32] X25519 public key. Secret: "PHSK": bytes[32] public key, u8 wrapped; 0: bytes[32]
 * secret key; 1: u64 opslimit, u64 memlimit, bytes[16] salt, bytes[24] nonce, bytes[48] the key under
 * XChaCha20-Poly1305 with the public key as associated data.
 */
DDT_MUST_CHECK ddt_status ddt_physician_keys_generate(ddt_context *ctx, const char *secret_path,
                                                      const char *public_path, const char *passphrase,
                                                      ddt_physician_id *id);

/* The id of a public or secret key's file. Errors: those of ddt_reader, DDT_ERR_FORMAT. */
DDT_MUST_CHECK ddt_status ddt_physician_id_read(ddt_context *ctx, const char *path, ddt_physician_id *id);

/*
 * Seals a text (without NUL) for a physician and writes the grant file. Section "GRNT": bytes[32] the physician's id,
 * u32 length, the sealed box (length = text + 48 bytes). Errors: DDT_ERR_CAPACITY above DDT_GRANT_TEXT_MAX, DDT_ERR_IO,
 * DDT_ERR_NO_SPACE, DDT_ERR_FORMAT (a public key that is none), DDT_ERR_ENTROPY, DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status ddt_grant_write(ddt_context *ctx, const char *public_path, const char *text, size_t length,
                                          const char *grant_path);
/*
 * Opens a grant: *text, NUL-terminated, belongs to the caller, who wipes and frees it with ddt_grant_text_free. Errors:
 * DDT_ERR_MISMATCH (sealed for somebody else), DDT_ERR_PASSPHRASE, DDT_ERR_CORRUPT, DDT_ERR_PERMISSION (a secret key
 * others may open), DDT_ERR_IO, DDT_ERR_FORMAT, DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status ddt_grant_read(ddt_context *ctx, const char *secret_path, const char *passphrase,
                                         const char *grant_path, char **text, size_t *length);
void ddt_grant_text_free(char *text, size_t length);

#ifdef __cplusplus
}
#endif
#endif
