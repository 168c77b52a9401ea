/*
 * Key files. A secret key is two sections: "PRMS" (parameters and plan, public) and "SECR", two bits a coefficient, in
 * the clear or sealed under a passphrase with the first section as associated data. SPDX-License-Identifier: Apache-2.0
 */
#include "custody_internal.h"

#include <string.h>

enum {
    COEFFICIENTS_PER_BYTE = 4,
    HEAD_WORDS = 5,
    HEAD_BYTES = 4 * HEAD_WORDS + 2 * DDT_WIRE_DIGEST_BYTES,
    SEALED_BYTES_MAX = (1 << 17) / COEFFICIENTS_PER_BYTE + CUSTODY_WRAP_TAG_BYTES,
    SECTION_BYTES_MAX = SEALED_BYTES_MAX + 256
};

static size_t packed_bytes(const ddt_ckks_params *params) { return ddt_ckks_n(params) / COEFFICIENTS_PER_BYTE; }

/* ------------------------------------------------------------------ the head both kinds of keys share */

static void write_head(ddt_writer *writer, const ddt_ckks_params *params, const ddt_digest *plan) {
    ddt_writer_begin(writer, "PRMS");
    ddt_ckks_write_literal(writer, ddt_ckks_params_literal(params));
    ddt_writer_bytes(writer, ddt_ckks_params_digest(params)->bytes, DDT_WIRE_DIGEST_BYTES);
    ddt_writer_bytes(writer, plan->bytes, DDT_WIRE_DIGEST_BYTES);
}

static ddt_status read_head(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params, ddt_digest *plan) {
    ddt_ckks_literal literal;
    ddt_digest digest;
    ddt_status status = ddt_reader_begin(reader, "PRMS", HEAD_BYTES);
    if (status == DDT_OK && ddt_ckks_read_literal(reader, &literal) != DDT_OK) {
        status = ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' names parameters that do not exist.", ddt_reader_path(reader));
    }
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, digest.bytes, sizeof digest.bytes);
    }
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, plan->bytes, sizeof plan->bytes);
    }
    if (status == DDT_OK) {
        status = ddt_reader_end(reader);
    }
    if (status == DDT_OK && !ddt_digest_equal(&digest, ddt_ckks_params_digest(params))) {
        status =
            ddt_fail(ctx, DDT_ERR_MISMATCH, "The key in '%s' was made for other parameters.", ddt_reader_path(reader));
    }
    return status;
}

static void associated_data(const ddt_ckks_params *params, const ddt_digest *plan, uint8_t out[HEAD_BYTES]) {
    const ddt_ckks_literal *p = ddt_ckks_params_literal(params);
    const uint32_t words[HEAD_WORDS] = {p->log_n, p->levels, p->first_bits, p->scale_bits, p->p_count};
    for (size_t i = 0; i < sizeof words; i++) {
        out[i] = (uint8_t)(words[i / 4] >> (8 * (i % 4)));
    }
    memcpy(out + sizeof words, ddt_ckks_params_digest(params)->bytes, DDT_WIRE_DIGEST_BYTES);
    memcpy(out + sizeof words + DDT_WIRE_DIGEST_BYTES, plan->bytes, DDT_WIRE_DIGEST_BYTES);
}

/* ------------------------------------------------------------------ secret key */

static void pack(const ddt_secret_key *key, uint8_t *out) {
    for (size_t i = 0; i < packed_bytes(key->params); i++) {
        const int8_t *c = key->ternary + i * COEFFICIENTS_PER_BYTE;
        unsigned byte = 0;
        for (unsigned k = 0; k < COEFFICIENTS_PER_BYTE; k++) {
            byte |= (unsigned)(c[k] + 1) << (2 * k);
        }
        out[i] = (uint8_t)byte;
    }
}

/* Returns false when a coefficient is not ternary; looks at all of them either way. */
static bool unpack(const uint8_t *in, size_t bytes, int8_t *out) {
    unsigned invalid = 0;
    for (size_t i = 0; i < bytes; i++) {
        for (unsigned k = 0; k < COEFFICIENTS_PER_BYTE; k++) {
            const unsigned value = (in[i] >> (2 * k)) & 3U;
            invalid |= value & (value >> 1);
            out[i * COEFFICIENTS_PER_BYTE + k] = (int8_t)((int)value - 1);
        }
    }
    return invalid == 0;
}

static ddt_status write_secret(ddt_context *ctx, const char *path, const ddt_secret_key *key, const ddt_digest *plan,
                               const custody_wrapping *wrap, const uint8_t *payload, size_t length) {
    ddt_writer *writer = NULL;
    ddt_status status = ddt_writer_open(ctx, path, DDT_WIRE_SECRET_KEY, true, &writer);
    if (status != DDT_OK) {
        return status;
    }
    write_head(writer, key->params, plan);
    status = ddt_writer_end(writer);
    ddt_writer_begin(writer, "SECR");
    ddt_writer_u8(writer, wrap != NULL ? 1 : 0);
    if (wrap != NULL) {
        custody_wrapping_write(writer, wrap);
    }
    ddt_writer_bytes(writer, payload, length);
    const ddt_status end = ddt_writer_end(writer);
    status = status == DDT_OK ? end : status;
    const ddt_status commit = ddt_writer_commit(writer, NULL);
    return status == DDT_OK ? commit : status;
}

/* Protected memory of a save or a load: packed coefficients, sealed bytes. */
typedef struct file_work {
    custody_scratch *scratch;
    uint8_t *packed;
    uint8_t *sealed;
} file_work;

static ddt_status file_work_create(ddt_context *ctx, const ddt_ckks_params *params, file_work *work) {
    const size_t words = packed_bytes(params) / sizeof(uint64_t);
    ddt_status status = custody_scratch_create(ctx, 2 * words + 8, &work->scratch);
    if (status == DDT_OK) {
        work->packed = (uint8_t *)custody_scratch_take(work->scratch, words);
        work->sealed = (uint8_t *)custody_scratch_take(work->scratch, words + 8);
    }
    return status;
}

ddt_status ddt_secret_key_save(ddt_context *ctx, const char *path, const ddt_secret_key *key, const ddt_digest *plan,
                               const char *passphrase) {
    custody_wrapping wrap;
    uint8_t head[HEAD_BYTES];
    file_work work = {0};
    const size_t bytes = packed_bytes(key->params);
    ddt_status status = file_work_create(ctx, key->params, &work);
    if (status != DDT_OK) {
        return status;
    }
    pack(key, work.packed);
    if (passphrase == NULL) {
        status = write_secret(ctx, path, key, plan, NULL, work.packed, bytes);
    } else {
        associated_data(key->params, plan, head);
        status = custody_wrap(ctx, passphrase, head, sizeof head, work.packed, bytes, &wrap, work.sealed);
        if (status == DDT_OK) {
            status = write_secret(ctx, path, key, plan, &wrap, work.sealed, bytes + CUSTODY_WRAP_TAG_BYTES);
        }
    }
    custody_scratch_destroy(work.scratch);
    return status;
}

static ddt_status open_sealed(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params,
                              const ddt_digest *plan, const char *passphrase, const file_work *work) {
    const size_t bytes = packed_bytes(params);
    uint8_t head[HEAD_BYTES];
    custody_wrapping wrap;
    ddt_status status = custody_wrapping_read(ctx, reader, passphrase, &wrap);
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, work->sealed, bytes + CUSTODY_WRAP_TAG_BYTES);
    }
    if (status == DDT_OK) {
        associated_data(params, plan, head);
        status = custody_unwrap(ctx, passphrase, &wrap, head, sizeof head, ddt_reader_path(reader), work->sealed, bytes,
                                work->packed);
    }
    return status;
}

static ddt_status read_secret(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params,
                              const char *passphrase, const file_work *work, ddt_digest *plan) {
    uint8_t wrapped = 0;
    ddt_status status = read_head(ctx, reader, params, plan);
    if (status == DDT_OK) {
        status = ddt_reader_begin(reader, "SECR", SECTION_BYTES_MAX);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u8(reader, &wrapped);
    }
    if (status == DDT_OK && wrapped > 1) {
        status = ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' protects its key in an unknown way (%u).", ddt_reader_path(reader),
                          wrapped);
    }
    if (status == DDT_OK) {
        status = wrapped == 1 ? open_sealed(ctx, reader, params, plan, passphrase, work)
                              : ddt_reader_bytes(reader, work->packed, packed_bytes(params));
    }
    if (status == DDT_OK) {
        status = ddt_reader_end(reader);
    }
    return status == DDT_OK ? ddt_reader_finish(reader) : status;
}

static ddt_status key_from_packed(ddt_context *ctx, const char *path, const ddt_ckks_params *params,
                                  const uint8_t *packed, ddt_secret_key **out) {
    ddt_secret_key *key = NULL;
    ddt_status status = custody_key_create(ctx, params, &key);
    if (status == DDT_OK && !unpack(packed, packed_bytes(params), key->ternary)) {
        status = ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' holds a coefficient that is not ternary.", path);
    }
    if (status == DDT_OK) {
        status = custody_key_seal(ctx, key);
    }
    if (status != DDT_OK) {
        ddt_secret_key_destroy(key);
        return status;
    }
    *out = key;
    return DDT_OK;
}

ddt_status ddt_secret_key_load(ddt_context *ctx, const char *path, const ddt_ckks_params *params,
                               const char *passphrase, ddt_secret_key **out, ddt_digest *plan) {
    ddt_reader *reader = NULL;
    file_work work = {0};
    ddt_digest read_plan;
    *out = NULL;
    /* The reader refuses a secret key's file that group or others may open, and wipes its buffer. */
    ddt_status status = ddt_reader_open(ctx, path, DDT_WIRE_SECRET_KEY, &reader);
    if (status != DDT_OK) {
        return status;
    }
    status = file_work_create(ctx, params, &work);
    if (status == DDT_OK) {
        status = read_secret(ctx, reader, params, passphrase, &work, &read_plan);
    }
    if (status == DDT_OK) {
        status = key_from_packed(ctx, path, params, work.packed, out);
    }
    if (status == DDT_OK && plan != NULL) {
        *plan = read_plan;
    }
    custody_scratch_destroy(work.scratch);
    ddt_reader_close(reader);
    return status;
}

/* ------------------------------------------------------------------ public key */

static unsigned modulus_bits(const ddt_ckks_params *params, size_t m) {
    return 64 - (unsigned)__builtin_clzll(ddt_ring_modulus(ddt_ckks_params_ring(params), m) - 1);
}

ddt_status ddt_public_key_save(ddt_context *ctx, const char *path, const ddt_ckks_params *params,
                               const ddt_public_key *key, const ddt_digest *plan) {
    const size_t n = ddt_ckks_n(params);
    ddt_writer *writer = NULL;
    ddt_status status = ddt_writer_open(ctx, path, DDT_WIRE_PUBLIC_KEY, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    write_head(writer, params, plan);
    status = ddt_writer_end(writer);
    ddt_writer_begin(writer, "PUBK");
    ddt_writer_bytes(writer, key->seed, sizeof key->seed);
    for (size_t i = 0; i < custody_public_limbs(params); i++) {
        ddt_writer_packed(writer, key->b + i * n, n, modulus_bits(params, custody_public_modulus(params, i)));
    }
    const ddt_status end = ddt_writer_end(writer);
    status = status == DDT_OK ? end : status;
    const ddt_status commit = ddt_writer_commit(writer, NULL);
    return status == DDT_OK ? commit : status;
}

static ddt_status read_public(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params, ddt_public_key *out,
                              ddt_digest *plan) {
    const size_t n = ddt_ckks_n(params);
    const size_t limbs = custody_public_limbs(params);
    ddt_status status = read_head(ctx, reader, params, plan);
    if (status == DDT_OK) {
        status = ddt_reader_begin(reader, "PUBK", sizeof out->seed + limbs * n * sizeof(uint64_t));
    }
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, out->seed, sizeof out->seed);
    }
    for (size_t i = 0; i < limbs && status == DDT_OK; i++) {
        const size_t m = custody_public_modulus(params, i);
        uint64_t largest = 0;
        status = ddt_reader_packed(reader, out->b + i * n, n, modulus_bits(params, m));
        for (size_t j = 0; j < n && status == DDT_OK; j++) {
            largest = out->b[i * n + j] > largest ? out->b[i * n + j] : largest;
        }
        if (largest >= ddt_ring_modulus(ddt_ckks_params_ring(params), m)) {
            status = ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' holds a residue that is not below its prime.",
                              ddt_reader_path(reader));
        }
    }
    if (status == DDT_OK) {
        status = ddt_reader_end(reader);
    }
    return status == DDT_OK ? ddt_reader_finish(reader) : status;
}

ddt_status ddt_public_key_load(ddt_context *ctx, const char *path, const ddt_ckks_params *params, ddt_public_key *out,
                               ddt_digest *plan) {
    const size_t n = ddt_ckks_n(params);
    const size_t limbs = custody_public_limbs(params);
    ddt_reader *reader = NULL;
    ddt_digest read_plan;
    memset(out, 0, sizeof *out);
    ddt_status status = ddt_reader_open(ctx, path, DDT_WIRE_PUBLIC_KEY, &reader);
    if (status != DDT_OK) {
        return status;
    }
    out->level = ddt_ckks_levels(params);
    out->b = ddt_alloc(limbs * n, sizeof *out->b);
    out->a = out->b == NULL ? NULL : ddt_alloc(limbs * n, sizeof *out->a);
    if (out->a == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for the public key in '%s'.", path);
    }
    if (status == DDT_OK) {
        status = read_public(ctx, reader, params, out, &read_plan);
    }
    for (size_t i = 0; i < limbs && status == DDT_OK; i++) {
        ddt_ckks_expand_seed(params, out->seed, 0, custody_public_modulus(params, i), out->a + i * n);
    }
    if (status == DDT_OK && plan != NULL) {
        *plan = read_plan;
    }
    ddt_reader_close(reader);
    if (status != DDT_OK) {
        ddt_public_key_destroy(out);
    }
    return status;
}
