/* Plaintexts and ciphertexts: memory and files. SPDX-License-Identifier: Apache-2.0 */
#include "ckks_internal.h"

#include <math.h>
#include <string.h>

static uint64_t *alloc_limbs(size_t limbs, size_t n) {
    size_t words = 0;
    return ddt_size_mul(limbs, n, &words) ? ddt_alloc(words, sizeof(uint64_t)) : NULL;
}

ddt_status ddt_plaintext_create(ddt_context *ctx, const ddt_ckks_params *params, unsigned level, ddt_plaintext *out) {
    memset(out, 0, sizeof *out);
    if (level > params->top) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "Level %u is above the top level %u.", level, params->top);
    }
    out->limbs = alloc_limbs((size_t)level + 1, params->n);
    if (out->limbs == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a plaintext of %u limbs.", level + 1);
    }
    out->level_capacity = level;
    out->level = level;
    return DDT_OK;
}

void ddt_plaintext_destroy(ddt_plaintext *plaintext) {
    if (plaintext != NULL) {
        ddt_free(plaintext->limbs);
        memset(plaintext, 0, sizeof *plaintext);
    }
}

ddt_status ddt_ciphertext_create(ddt_context *ctx, const ddt_ckks_params *params, unsigned level, unsigned parts,
                                 ddt_ciphertext *out) {
    memset(out, 0, sizeof *out);
    if (level > params->top || parts < 2 || parts > 3) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A ciphertext of %u parts at level %u does not exist (top level %u).",
                        parts, level, params->top);
    }
    out->limbs = alloc_limbs(((size_t)level + 1) * parts, params->n);
    if (out->limbs == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a ciphertext of %u limbs.", parts * (level + 1));
    }
    out->level_capacity = level;
    out->parts_capacity = parts;
    out->parts = parts;
    out->level = level;
    return DDT_OK;
}

void ddt_ciphertext_destroy(ddt_ciphertext *ciphertext) {
    if (ciphertext != NULL) {
        ddt_free(ciphertext->limbs);
        memset(ciphertext, 0, sizeof *ciphertext);
    }
}

ddt_status ddt_ciphertext_copy(ddt_context *ctx, const ddt_ckks_params *params, const ddt_ciphertext *from,
                               ddt_ciphertext *out) {
    ddt_status status = ddt_ciphertext_create(ctx, params, from->level, from->parts, out);
    if (status != DDT_OK) {
        return status;
    }
    const size_t bytes = ((size_t)from->level + 1) * params->n * sizeof(uint64_t);
    for (unsigned p = 0; p < from->parts; p++) {
        memcpy(ddt_ciphertext_limb(out, params->n, p, 0), ddt_ciphertext_limb(from, params->n, p, 0), bytes);
    }
    out->scale = from->scale;
    out->has_seed = from->has_seed;
    memcpy(out->seed, from->seed, sizeof out->seed);
    return DDT_OK;
}

/* ------------------------------------------------------------------ files */

unsigned ckks_modulus_bits(uint64_t q) { return 64 - (unsigned)__builtin_clzll(q - 1); }

ddt_status ckks_read_limb(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params, size_t m,
                          uint64_t *limb) {
    const uint64_t q = ddt_ring_modulus(params->ring, m);
    ddt_status status = ddt_reader_packed(reader, limb, params->n, ckks_modulus_bits(q));
    if (status != DDT_OK) {
        return status;
    }
    uint64_t largest = 0;
    for (size_t j = 0; j < params->n; j++) {
        largest = limb[j] > largest ? limb[j] : largest;
    }
    if (largest >= q) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' holds a residue that is not below its prime.",
                        ddt_reader_path(reader));
    }
    return DDT_OK;
}

ddt_status ckks_read_digest(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params, const char *what) {
    ddt_digest digest;
    ddt_status status = ddt_reader_bytes(reader, digest.bytes, sizeof digest.bytes);
    if (status == DDT_OK && !ddt_digest_equal(&digest, &params->digest)) {
        status = ddt_fail(ctx, DDT_ERR_MISMATCH, "The %s in '%s' was made for other parameters.", what,
                          ddt_reader_path(reader));
    }
    return status;
}

ddt_status ddt_ciphertext_write(ddt_writer *writer, const ddt_ckks_params *params, const ddt_ciphertext *ciphertext) {
    ddt_writer_begin(writer, "CTXT");
    ddt_writer_bytes(writer, params->digest.bytes, sizeof params->digest.bytes);
    ddt_writer_u32(writer, ciphertext->level);
    ddt_writer_u32(writer, ciphertext->parts);
    ddt_writer_f64(writer, ciphertext->scale);
    ddt_writer_u8(writer, ciphertext->has_seed ? 1 : 0);
    if (ciphertext->has_seed) {
        ddt_writer_bytes(writer, ciphertext->seed, sizeof ciphertext->seed);
    }
    const unsigned stored = ciphertext->has_seed ? 1 : ciphertext->parts;
    for (unsigned p = 0; p < stored; p++) {
        for (unsigned i = 0; i <= ciphertext->level; i++) {
            ddt_writer_packed(writer, ddt_ciphertext_limb(ciphertext, params->n, p, i), params->n,
                              ckks_modulus_bits(ddt_ring_modulus(params->ring, i)));
        }
    }
    return ddt_writer_end(writer);
}

typedef struct ctxt_head {
    uint32_t level;
    uint32_t parts;
    double scale;
    uint8_t has_seed;
} ctxt_head;

static ddt_status read_head(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params, ctxt_head *head) {
    ddt_status status = ckks_read_digest(ctx, reader, params, "ciphertext");
    if (status == DDT_OK) {
        status = ddt_reader_u32(reader, &head->level);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u32(reader, &head->parts);
    }
    if (status == DDT_OK) {
        status = ddt_reader_f64(reader, &head->scale);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u8(reader, &head->has_seed);
    }
    if (status != DDT_OK) {
        return status;
    }
    const bool seeded_ok = head->has_seed == 0 || (head->has_seed == 1 && head->parts == 2);
    if (head->level > params->literal.levels || head->parts < 2 || head->parts > 3 || !seeded_ok ||
        !(head->scale > 0.0)) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' holds a ciphertext with level %u, %u parts and scale %g.",
                        ddt_reader_path(reader), head->level, head->parts, head->scale);
    }
    return DDT_OK;
}

static ddt_status read_parts(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params, ddt_ciphertext *out) {
    ddt_status status = DDT_OK;
    const unsigned stored = out->has_seed ? 1 : out->parts;
    for (unsigned p = 0; p < stored; p++) {
        for (unsigned i = 0; i <= out->level && status == DDT_OK; i++) {
            status = ckks_read_limb(ctx, reader, params, i, ddt_ciphertext_limb(out, params->n, p, i));
        }
    }
    return status == DDT_OK ? ddt_reader_end(reader) : status;
}

static ddt_status read_body(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params, const ctxt_head *head,
                            ddt_ciphertext *out) {
    ddt_status status = DDT_OK;
    out->scale = head->scale;
    if (head->has_seed == 0) {
        return read_parts(ctx, reader, params, out);
    }
    out->has_seed = true;
    status = ddt_reader_bytes(reader, out->seed, sizeof out->seed);
    if (status != DDT_OK) {
        return status;
    }
    /* One thread unpacks the half that stands in the file, the others begin to expand the half that does not. */
    const int threads = ddt_context_threads(ctx);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp single nowait
        status = read_parts(ctx, reader, params, out);
#pragma omp for schedule(dynamic, 1)
        for (unsigned i = 0; i <= out->level; i++) {
            ddt_ckks_expand_seed(params, out->seed, 0, i, ddt_ciphertext_limb(out, params->n, 1, i));
        }
    }
    return status;
}

ddt_status ddt_ciphertext_read(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params,
                               ddt_ciphertext *out) {
    enum { HEAD_BYTES_MAX = 128 };
    memset(out, 0, sizeof *out);
    const size_t limbs = 3 * ((size_t)params->literal.levels + 1);
    ctxt_head head = {0};
    ddt_status status = ddt_reader_begin(reader, "CTXT", HEAD_BYTES_MAX + limbs * params->n * sizeof(uint64_t));
    if (status == DDT_OK) {
        status = read_head(ctx, reader, params, &head);
    }
    if (status == DDT_OK) {
        status = ddt_ciphertext_create(ctx, params, head.level, head.parts, out);
    }
    if (status == DDT_OK) {
        status = read_body(ctx, reader, params, &head, out);
    }
    if (status != DDT_OK) {
        ddt_ciphertext_destroy(out);
    }
    return status;
}
