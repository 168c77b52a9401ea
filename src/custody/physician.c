/* A physician's key pair and grants sealed for it. SPDX-License-Identifier: Apache-2.0 */
#include "custody_internal.h"

#include "ddt/custody/physician.h"

#include <sodium.h>
#include <string.h>
#include <unistd.h>

enum {
    PUBLIC_BYTES = crypto_box_PUBLICKEYBYTES,
    SECRET_BYTES = crypto_box_SECRETKEYBYTES,
    SEAL_BYTES = crypto_box_SEALBYTES,
    KEY_SECTION_BYTES = 256
};

/* A pair in protected memory. */
typedef struct pair {
    uint8_t public[PUBLIC_BYTES];
    uint8_t *secret; /* SECRET_BYTES */
} pair;

static ddt_status pair_create(ddt_context *ctx, pair *out) {
    memset(out->public, 0, sizeof out->public);
    out->secret = sodium_malloc(SECRET_BYTES);
    return out->secret != NULL ? DDT_OK : ddt_fail(ctx, DDT_ERR_MEMORY, "Protected memory is short for a key.");
}

static void pair_destroy(pair *keys) { sodium_free(keys->secret); }

static void id_of(const uint8_t public[PUBLIC_BYTES], ddt_physician_id *id) { ddt_digest_of(public, PUBLIC_BYTES, id); }

/* ------------------------------------------------------------------ writing keys */

static ddt_status write_public(ddt_context *ctx, const char *path, const pair *keys) {
    ddt_writer *writer = NULL;
    ddt_status status = ddt_writer_open(ctx, path, DDT_WIRE_PHYSICIAN_PUBLIC, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    ddt_writer_begin(writer, "PHPK");
    ddt_writer_bytes(writer, keys->public, PUBLIC_BYTES);
    const ddt_status end = ddt_writer_end(writer);
    const ddt_status commit = ddt_writer_commit(writer, NULL);
    return end == DDT_OK ? commit : end;
}

static ddt_status write_secret(ddt_context *ctx, const char *path, const pair *keys, const char *passphrase) {
    custody_wrapping wrap = {0};
    uint8_t sealed[SECRET_BYTES + CUSTODY_WRAP_TAG_BYTES] = {0};
    ddt_writer *writer = NULL;
    ddt_status status = DDT_OK;
    if (passphrase != NULL) {
        status = custody_wrap(ctx, passphrase, keys->public, PUBLIC_BYTES, keys->secret, SECRET_BYTES, &wrap, sealed);
    }
    if (status == DDT_OK) {
        status = ddt_writer_open(ctx, path, DDT_WIRE_PHYSICIAN_KEY, true, &writer);
    }
    if (status != DDT_OK) {
        return status;
    }
    ddt_writer_begin(writer, "PHSK");
    ddt_writer_bytes(writer, keys->public, PUBLIC_BYTES);
    ddt_writer_u8(writer, passphrase != NULL ? 1 : 0);
    if (passphrase != NULL) {
        custody_wrapping_write(writer, &wrap);
        ddt_writer_bytes(writer, sealed, sizeof sealed);
    } else {
        ddt_writer_bytes(writer, keys->secret, SECRET_BYTES);
    }
    const ddt_status end = ddt_writer_end(writer);
    const ddt_status commit = ddt_writer_commit(writer, NULL);
    return end == DDT_OK ? commit : end;
}

static ddt_status refuse_existing(ddt_context *ctx, const char *path) {
    return access(path, F_OK) == 0
               ? ddt_fail(ctx, DDT_ERR_SECURITY, "'%s' is there already, and keys are never overwritten.", path)
               : DDT_OK;
}

/* The secret key is the seed's image: libsodium derives the public one from it. */
static ddt_status make_pair(ddt_context *ctx, pair *keys) {
    ddt_status status = ddt_entropy(ctx, keys->secret, SECRET_BYTES);
    if (status == DDT_OK && crypto_scalarmult_base(keys->public, keys->secret) != 0) {
        status = ddt_fail(ctx, DDT_ERR_INTERNAL, "A key pair could not be derived.");
    }
    return status;
}

ddt_status ddt_physician_keys_generate(ddt_context *ctx, const char *secret_path, const char *public_path,
                                       const char *passphrase, ddt_physician_id *id) {
    pair keys;
    ddt_status status = refuse_existing(ctx, secret_path);
    if (status == DDT_OK) {
        status = refuse_existing(ctx, public_path);
    }
    if (status == DDT_OK) {
        status = pair_create(ctx, &keys);
    }
    if (status != DDT_OK) {
        return status;
    }
    status = make_pair(ctx, &keys);
    if (status == DDT_OK) {
        status = write_public(ctx, public_path, &keys);
    }
    if (status == DDT_OK) {
        status = write_secret(ctx, secret_path, &keys, passphrase);
        if (status != DDT_OK) {
            (void)unlink(public_path);
        }
    }
    if (status == DDT_OK && id != NULL) {
        id_of(keys.public, id);
    }
    pair_destroy(&keys);
    return status;
}

/* ------------------------------------------------------------------ reading keys */

/* The public key of either file: a secret key's begins with the public half, which needs no passphrase. */
static ddt_status read_public(ddt_context *ctx, const char *path, ddt_wire_kind kind, uint8_t public[PUBLIC_BYTES]) {
    const bool is_half = kind == DDT_WIRE_PHYSICIAN_KEY;
    ddt_reader *reader = NULL;
    ddt_status status = ddt_reader_open(ctx, path, kind, &reader);
    if (status == DDT_OK) {
        status = ddt_reader_begin(reader, is_half ? "PHSK" : "PHPK", KEY_SECTION_BYTES);
    }
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, public, PUBLIC_BYTES);
    }
    if (status == DDT_OK && !is_half) {
        status = ddt_reader_end(reader);
    }
    if (status == DDT_OK && !is_half) {
        status = ddt_reader_finish(reader);
    }
    ddt_reader_close(reader);
    return status;
}

static ddt_status read_wrapped(ddt_context *ctx, ddt_reader *reader, const char *passphrase, pair *keys) {
    custody_wrapping wrap;
    uint8_t sealed[SECRET_BYTES + CUSTODY_WRAP_TAG_BYTES];
    ddt_status status = custody_wrapping_read(ctx, reader, passphrase, &wrap);
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, sealed, sizeof sealed);
    }
    if (status == DDT_OK) {
        status = custody_unwrap(ctx, passphrase, &wrap, keys->public, PUBLIC_BYTES, ddt_reader_path(reader), sealed,
                                SECRET_BYTES, keys->secret);
    }
    return status;
}

static ddt_status read_secret_fields(ddt_context *ctx, ddt_reader *reader, const char *passphrase, pair *keys) {
    uint8_t wrapped = 0;
    ddt_status status = ddt_reader_begin(reader, "PHSK", KEY_SECTION_BYTES);
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, keys->public, PUBLIC_BYTES);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u8(reader, &wrapped);
    }
    if (status == DDT_OK && wrapped > 1) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' protects its key in an unknown way (%u).", ddt_reader_path(reader),
                        wrapped);
    }
    if (status == DDT_OK) {
        status = wrapped == 1 ? read_wrapped(ctx, reader, passphrase, keys)
                              : ddt_reader_bytes(reader, keys->secret, SECRET_BYTES);
    }
    if (status == DDT_OK) {
        status = ddt_reader_end(reader);
    }
    return status == DDT_OK ? ddt_reader_finish(reader) : status;
}

/* keys: from pair_create. The reader refuses a file that group or others may open. */
static ddt_status read_secret(ddt_context *ctx, const char *path, const char *passphrase, pair *keys) {
    uint8_t derived[PUBLIC_BYTES];
    ddt_reader *reader = NULL;
    ddt_status status = ddt_reader_open(ctx, path, DDT_WIRE_PHYSICIAN_KEY, &reader);
    if (status == DDT_OK) {
        status = read_secret_fields(ctx, reader, passphrase, keys);
    }
    if (status == DDT_OK && (crypto_scalarmult_base(derived, keys->secret) != 0 ||
                             sodium_memcmp(derived, keys->public, PUBLIC_BYTES) != 0)) {
        status = ddt_fail(ctx, DDT_ERR_CORRUPT, "'%s' holds two keys that are not a pair.", path);
    }
    ddt_reader_close(reader);
    return status;
}

ddt_status ddt_physician_id_read(ddt_context *ctx, const char *path, ddt_physician_id *id) {
    uint8_t public[PUBLIC_BYTES] = {0};
    ddt_wire_kind kind = DDT_WIRE_PHYSICIAN_PUBLIC;
    ddt_status status = ddt_wire_probe(ctx, path, &kind);
    if (status == DDT_OK) {
        status = read_public(ctx, path, kind == DDT_WIRE_PHYSICIAN_KEY ? kind : DDT_WIRE_PHYSICIAN_PUBLIC, public);
    }
    if (status == DDT_OK) {
        id_of(public, id);
    }
    return status;
}

/* ------------------------------------------------------------------ grants */

static ddt_status write_grant(ddt_context *ctx, const char *path, const ddt_physician_id *id, const uint8_t *sealed,
                              size_t length) {
    ddt_writer *writer = NULL;
    ddt_status status = ddt_writer_open(ctx, path, DDT_WIRE_GRANT, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    ddt_writer_begin(writer, "GRNT");
    ddt_writer_bytes(writer, id->bytes, sizeof id->bytes);
    ddt_writer_u32(writer, (uint32_t)length);
    ddt_writer_bytes(writer, sealed, length);
    const ddt_status end = ddt_writer_end(writer);
    const ddt_status commit = ddt_writer_commit(writer, NULL);
    return end == DDT_OK ? commit : end;
}

ddt_status ddt_grant_write(ddt_context *ctx, const char *public_path, const char *text, size_t length,
                           const char *grant_path) {
    uint8_t public[PUBLIC_BYTES] = {0};
    ddt_physician_id id;
    if (length > DDT_GRANT_TEXT_MAX) {
        return ddt_fail(ctx, DDT_ERR_CAPACITY, "A grant of %zu bytes is longer than %d.", length, DDT_GRANT_TEXT_MAX);
    }
    ddt_status status = read_public(ctx, public_path, DDT_WIRE_PHYSICIAN_PUBLIC, public);
    if (status != DDT_OK) {
        return status;
    }
    uint8_t *sealed = ddt_alloc(length + SEAL_BYTES, 1);
    if (sealed == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a grant.");
    }
    /* libsodium refuses points of small order, whose boxes anyone could open. */
    if (crypto_box_seal(sealed, (const uint8_t *)text, length, public) != 0) {
        status = ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' does not hold a usable public key.", public_path);
    }
    if (status == DDT_OK) {
        id_of(public, &id);
        status = write_grant(ctx, grant_path, &id, sealed, length + SEAL_BYTES);
    }
    ddt_free(sealed);
    return status;
}

void ddt_grant_text_free(char *text, size_t length) {
    if (text != NULL) {
        sodium_memzero(text, length);
        ddt_free(text);
    }
}

static ddt_status open_box(ddt_context *ctx, const char *path, const pair *keys, const uint8_t *sealed, size_t length,
                           char **text) {
    char *opened = ddt_calloc(length - SEAL_BYTES + 1, 1);
    if (opened == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for the grant '%s'.", path);
    }
    if (crypto_box_seal_open((uint8_t *)opened, sealed, length, keys->public, keys->secret) != 0) {
        ddt_free(opened);
        return ddt_fail(ctx, DDT_ERR_CORRUPT, "'%s' does not open with this key: it was changed.", path);
    }
    *text = opened;
    return DDT_OK;
}

/* Section "GRNT"; *sealed belongs to the caller. */
static ddt_status read_box(ddt_context *ctx, ddt_reader *reader, const pair *keys, uint8_t **sealed, size_t *length) {
    ddt_physician_id id;
    ddt_physician_id own;
    ddt_status status = ddt_reader_begin(reader, "GRNT", DDT_GRANT_TEXT_MAX + KEY_SECTION_BYTES);
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, id.bytes, sizeof id.bytes);
    }
    if (status == DDT_OK) {
        status = ddt_reader_count(reader, 1, DDT_GRANT_TEXT_MAX + SEAL_BYTES, length);
    }
    if (status != DDT_OK) {
        return status;
    }
    id_of(keys->public, &own);
    if (!ddt_digest_equal(&id, &own)) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "'%s' was granted to another physician's key.", ddt_reader_path(reader));
    }
    if (*length < SEAL_BYTES) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' holds a sealed box that is too short.", ddt_reader_path(reader));
    }
    *sealed = ddt_alloc(*length, 1);
    if (*sealed == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for the grant '%s'.", ddt_reader_path(reader));
    }
    status = ddt_reader_bytes(reader, *sealed, *length);
    if (status == DDT_OK) {
        status = ddt_reader_end(reader);
    }
    return status == DDT_OK ? ddt_reader_finish(reader) : status;
}

ddt_status ddt_grant_read(ddt_context *ctx, const char *secret_path, const char *passphrase, const char *grant_path,
                          char **text, size_t *length) {
    pair keys;
    ddt_reader *reader = NULL;
    uint8_t *sealed = NULL;
    size_t sealed_length = 0;
    ddt_status status = pair_create(ctx, &keys);
    if (status != DDT_OK) {
        return status;
    }
    status = read_secret(ctx, secret_path, passphrase, &keys);
    if (status == DDT_OK) {
        status = ddt_reader_open(ctx, grant_path, DDT_WIRE_GRANT, &reader);
    }
    if (status == DDT_OK) {
        status = read_box(ctx, reader, &keys, &sealed, &sealed_length);
    }
    if (status == DDT_OK) {
        status = open_box(ctx, grant_path, &keys, sealed, sealed_length, text);
    }
    if (status == DDT_OK) {
        *length = sealed_length - SEAL_BYTES;
    }
    ddt_free(sealed);
    ddt_reader_close(reader);
    pair_destroy(&keys);
    return status;
}
