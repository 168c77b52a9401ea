/* Notes of the key's owner to himself, carried by strangers. SPDX-License-Identifier: Apache-2.0 */
#include "custody_internal.h"

#include <sodium.h>
#include <string.h>

enum {
    NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    KEY_BYTES = crypto_aead_xchacha20poly1305_ietf_KEYBYTES
};

_Static_assert(DDT_NOTE_EXTRA_BYTES == NONCE_BYTES + TAG_BYTES, "a sealed note is a nonce, the text and a tag");

/* The note's key: a hash of the secret under a name of its own, so that it says nothing about any other use. */
static void note_key(const ddt_secret_key *secret, uint8_t key[KEY_BYTES]) {
    static const uint8_t name[] = "DDT secret key -> note key";
    (void)crypto_generichash(key, KEY_BYTES, (const uint8_t *)secret->ternary, ddt_ckks_n(secret->params), name,
                             sizeof name);
}

ddt_status ddt_note_seal(ddt_context *ctx, const ddt_secret_key *secret, const ddt_digest *context, const void *data,
                         size_t length, uint8_t *sealed) {
    uint8_t *key = sodium_malloc(KEY_BYTES);
    if (key == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Protected memory is short for a note.");
    }
    ddt_status status = ddt_entropy(ctx, sealed, NONCE_BYTES);
    if (status == DDT_OK) {
        note_key(secret, key);
        (void)crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + NONCE_BYTES, NULL, data, length, context->bytes,
                                                         sizeof context->bytes, NULL, sealed, key);
    } else {
        memset(sealed, 0, length + DDT_NOTE_EXTRA_BYTES);
    }
    sodium_free(key);
    return status;
}

ddt_status ddt_note_open(ddt_context *ctx, const ddt_secret_key *secret, const ddt_digest *context,
                         const uint8_t *sealed, size_t sealed_length, void *data) {
    if (sealed_length < DDT_NOTE_EXTRA_BYTES) {
        return ddt_fail(ctx, DDT_ERR_CORRUPT, "A sealed note of %zu bytes is too short to be one.", sealed_length);
    }
    uint8_t *key = sodium_malloc(KEY_BYTES);
    if (key == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Protected memory is short for a note.");
    }
    note_key(secret, key);
    const int failed =
        crypto_aead_xchacha20poly1305_ietf_decrypt(data, NULL, NULL, sealed + NONCE_BYTES, sealed_length - NONCE_BYTES,
                                                   context->bytes, sizeof context->bytes, sealed, key);
    sodium_free(key);
    if (failed != 0) {
        memset(data, 0, sealed_length - DDT_NOTE_EXTRA_BYTES);
        return ddt_fail(ctx, DDT_ERR_CORRUPT,
                        "A note was not sealed with this secret key for this plan, or was changed.");
    }
    return DDT_OK;
}
