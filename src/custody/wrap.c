/* Keys wrapped with a passphrase. SPDX-License-Identifier: Apache-2.0 */
#include "custody_internal.h"

#include <sodium.h>
#include <string.h>

enum { WRAP_KEY_BYTES = crypto_aead_xchacha20poly1305_ietf_KEYBYTES };

_Static_assert(CUSTODY_WRAP_SALT_BYTES == crypto_pwhash_SALTBYTES &&
                   CUSTODY_WRAP_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES &&
                   CUSTODY_WRAP_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES,
               "sizes of Argon2id and XChaCha20-Poly1305");

/* What a hostile file may ask of Argon2id. */
static const uint64_t ops_limit_max = 16;
static const uint64_t mem_limit_max = (uint64_t)1 << 30;

/* The key in protected memory, to be freed with sodium_free. */
static ddt_status derive(ddt_context *ctx, const char *passphrase, const custody_wrapping *wrap, uint8_t **key) {
    *key = sodium_malloc(WRAP_KEY_BYTES);
    if (*key != NULL && crypto_pwhash(*key, WRAP_KEY_BYTES, passphrase, strlen(passphrase), wrap->salt, wrap->ops_limit,
                                      (size_t)wrap->mem_limit, crypto_pwhash_ALG_ARGON2ID13) == 0) {
        return DDT_OK;
    }
    sodium_free(*key);
    *key = NULL;
    return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short to derive a key from the passphrase (%llu MiB needed).",
                    (unsigned long long)(wrap->mem_limit >> 20));
}

ddt_status custody_wrap(ddt_context *ctx, const char *passphrase, const uint8_t *head, size_t head_length,
                        const uint8_t *data, size_t length, custody_wrapping *wrap, uint8_t *sealed) {
    uint8_t *key = NULL;
    wrap->ops_limit = crypto_pwhash_OPSLIMIT_MODERATE;
    wrap->mem_limit = crypto_pwhash_MEMLIMIT_MODERATE;
    ddt_status status = ddt_entropy(ctx, wrap->salt, sizeof wrap->salt);
    if (status == DDT_OK) {
        status = ddt_entropy(ctx, wrap->nonce, sizeof wrap->nonce);
    }
    if (status == DDT_OK) {
        status = derive(ctx, passphrase, wrap, &key);
    }
    if (status == DDT_OK) {
        (void)crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, NULL, data, length, head, head_length, NULL,
                                                         wrap->nonce, key);
    }
    sodium_free(key);
    return status;
}

ddt_status custody_unwrap(ddt_context *ctx, const char *passphrase, const custody_wrapping *wrap, const uint8_t *head,
                          size_t head_length, const char *path, const uint8_t *sealed, size_t length, uint8_t *data) {
    uint8_t *key = NULL;
    ddt_status status = derive(ctx, passphrase, wrap, &key);
    if (status == DDT_OK &&
        crypto_aead_xchacha20poly1305_ietf_decrypt(data, NULL, NULL, sealed, length + CUSTODY_WRAP_TAG_BYTES, head,
                                                   head_length, wrap->nonce, key) != 0) {
        status = ddt_fail(ctx, DDT_ERR_PASSPHRASE, "The passphrase does not open '%s'.", path);
    }
    sodium_free(key);
    return status;
}

void custody_wrapping_write(ddt_writer *writer, const custody_wrapping *wrap) {
    ddt_writer_u64(writer, wrap->ops_limit);
    ddt_writer_u64(writer, wrap->mem_limit);
    ddt_writer_bytes(writer, wrap->salt, sizeof wrap->salt);
    ddt_writer_bytes(writer, wrap->nonce, sizeof wrap->nonce);
}

ddt_status custody_wrapping_read(ddt_context *ctx, ddt_reader *reader, const char *passphrase, custody_wrapping *wrap) {
    if (passphrase == NULL) {
        return ddt_fail(ctx, DDT_ERR_PASSPHRASE, "The secret key in '%s' is protected: its passphrase is needed.",
                        ddt_reader_path(reader));
    }
    ddt_status status = ddt_reader_u64(reader, &wrap->ops_limit);
    if (status == DDT_OK) {
        status = ddt_reader_u64(reader, &wrap->mem_limit);
    }
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, wrap->salt, sizeof wrap->salt);
    }
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, wrap->nonce, sizeof wrap->nonce);
    }
    if (status == DDT_OK && (wrap->ops_limit < crypto_pwhash_OPSLIMIT_MIN || wrap->ops_limit > ops_limit_max ||
                             wrap->mem_limit < crypto_pwhash_MEMLIMIT_MIN || wrap->mem_limit > mem_limit_max)) {
        status =
            ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' asks for %llu passes over %llu bytes to open it.",
                     ddt_reader_path(reader), (unsigned long long)wrap->ops_limit, (unsigned long long)wrap->mem_limit);
    }
    return status;
}
