/*
 * What a custodian or a physician reads from disk or is sent: key files, ledgers, grants, notes. Which it is follows
 * from the first bytes. SPDX-License-Identifier: Apache-2.0
 */
#include "forge.h"

#include "custody_internal.h"

#include "ddt/custody/physician.h"
#include "ddt/custody/release.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const ddt_ckks_literal literal = {.log_n = 10, .levels = 1, .first_bits = 40, .scale_bits = 30, .p_count = 1};
static const ddt_digest plan = {{7}};

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static const ddt_ckks_params *shared_params(void) {
    static ddt_ckks_params *params = NULL;
    if (params == NULL) {
        require(ddt_ckks_params_create_insecure_for_testing(forge_context(), &literal, &params) == DDT_OK);
    }
    return params;
}

/* Always the same key: ledgers and notes of the corpus are sealed with it. */
static const ddt_secret_key *shared_key(void) {
    static ddt_secret_key *key = NULL;
    if (key == NULL) {
        require(custody_key_create(forge_context(), shared_params(), &key) == DDT_OK);
        for (size_t i = 0; i < ddt_ckks_n(shared_params()); i++) {
            key->ternary[i] = (int8_t)((int)(i * i % 7 % 3) - 1);
        }
        require(custody_key_seal(forge_context(), key) == DDT_OK);
    }
    return key;
}

/* The physician's secret key, in file 1. */
static const char *physician_path(void) {
    static const char *path = NULL;
    if (path == NULL) {
        const uint8_t zeros[1] = {0};
        uint8_t secret[crypto_box_SECRETKEYBYTES] = {9, 8, 7};
        uint8_t public[crypto_box_PUBLICKEYBYTES];
        ddt_writer *writer = NULL;
        path = forge_file(1, zeros, 0);
        require(crypto_scalarmult_base(public, secret) == 0);
        require(ddt_writer_open(forge_context(), path, DDT_WIRE_PHYSICIAN_KEY, true, &writer) == DDT_OK);
        ddt_writer_begin(writer, "PHSK");
        ddt_writer_bytes(writer, public, sizeof public);
        ddt_writer_u8(writer, 0);
        ddt_writer_bytes(writer, secret, sizeof secret);
        require(ddt_writer_end(writer) == DDT_OK && ddt_writer_commit(writer, NULL) == DDT_OK);
    }
    return path;
}

static void read_secret(ddt_context *ctx, const char *path) {
    ddt_secret_key *key = NULL;
    ddt_digest found;
    if (ddt_secret_key_load(ctx, path, shared_params(), NULL, &key, &found) != DDT_OK) {
        require(key == NULL);
        return;
    }
    for (size_t i = 0; i < ddt_ckks_n(shared_params()); i++) {
        require(key->ternary[i] >= -1 && key->ternary[i] <= 1);
    }
    ddt_secret_key_destroy(key);
}

static void read_public(ddt_context *ctx, const char *path) {
    ddt_public_key key;
    ddt_digest found;
    if (ddt_public_key_load(ctx, path, shared_params(), &key, &found) != DDT_OK) {
        return;
    }
    require(key.level == literal.levels);
    for (unsigned l = 0; l <= key.level; l++) {
        for (size_t i = 0; i < ddt_ckks_n(shared_params()); i++) {
            require(key.b[l * ddt_ckks_n(shared_params()) + i] < ddt_ckks_prime(shared_params(), l));
        }
    }
    ddt_public_key_destroy(&key);
}

static void read_grant(ddt_context *ctx, const char *path) {
    char *text = NULL;
    size_t length = 0;
    if (ddt_grant_read(ctx, physician_path(), NULL, path, &text, &length) != DDT_OK) {
        require(text == NULL);
        return;
    }
    require(text != NULL && strlen(text) <= length && length <= DDT_GRANT_TEXT_MAX);
    ddt_grant_text_free(text, length);
}

static void read_container(ddt_context *ctx, const uint8_t *data, size_t size) {
    enum { KIND_AT = 12 };
    const ddt_wire_kind kind = (ddt_wire_kind)data[KIND_AT];
    ddt_physician_id id;
    size_t length = 0;
    uint8_t *bytes = forge_repair(data, size, kind, &length);
    require(bytes != NULL);
    const char *path = forge_file(0, bytes, length);
    switch (kind) {
    case DDT_WIRE_SECRET_KEY:
        read_secret(ctx, path);
        break;
    case DDT_WIRE_PUBLIC_KEY:
        read_public(ctx, path);
        break;
    case DDT_WIRE_GRANT:
        read_grant(ctx, path);
        break;
    default:
        require(ddt_physician_id_read(ctx, path, &id) == DDT_OK || ddt_error_detail(ctx)[0] != '\0');
    }
    free(bytes);
}

static void read_ledger(ddt_context *ctx, const uint8_t *data, size_t size) {
    ddt_ledger_state state;
    if (ddt_ledger_read(ctx, forge_file(0, data, size), shared_key(), &plan, &state) == DDT_OK) {
        require(state.limit >= 1 && state.limit <= DDT_LEDGER_LIMIT_MAX && state.made <= state.limit);
    } else {
        require(ddt_error_detail(ctx)[0] != '\0');
    }
}

static void read_note(ddt_context *ctx, const uint8_t *data, size_t size) {
    uint8_t *text = malloc(size + 1);
    require(text != NULL);
    memset(text, 1, size + 1);
    const size_t room = size < DDT_NOTE_EXTRA_BYTES ? 0 : size - DDT_NOTE_EXTRA_BYTES;
    if (ddt_note_open(ctx, shared_key(), &plan, data, size, text) != DDT_OK) {
        require(sodium_is_zero(text, room) == 1);
    }
    require(text[room] == 1); /* nothing is written behind it */
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { HEADER_BYTES = 32, SIGNATURE = 0x89 };
    static const char ledger[] = "ddtwin";
    ddt_context *ctx = forge_context();
    if (size >= HEADER_BYTES && data[0] == SIGNATURE) {
        read_container(ctx, data, size);
    } else if (size >= sizeof ledger && memcmp(data, ledger, sizeof ledger - 1) == 0) {
        read_ledger(ctx, data, size);
    } else {
        read_note(ctx, data, size);
    }
    ddt_context_clear(ctx);
    return 0;
}
