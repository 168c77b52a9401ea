/* The keys of the encapsulation in a sparse secret: memory and files. SPDX-License-Identifier: Apache-2.0 */
#include "bootstrap_internal.h"

#include <string.h>

enum { SPARSE_LIMBS = 2, SPARSE_STREAM = 0, DENSE_STREAM = 1 };

static size_t dense_limbs(const ddt_ckks_params *params) { return (size_t)params->top + 2; }

ddt_status ddt_encapsulation_create(ddt_context *ctx, const ddt_ckks_params *params, ddt_encapsulation *out) {
    memset(out, 0, sizeof *out);
    out->to_sparse_b = ddt_alloc(SPARSE_LIMBS * params->n, sizeof(uint64_t));
    out->to_sparse_a = ddt_alloc(SPARSE_LIMBS * params->n, sizeof(uint64_t));
    out->to_dense_b = ddt_alloc(dense_limbs(params) * params->n, sizeof(uint64_t));
    out->to_dense_a = ddt_alloc(dense_limbs(params) * params->n, sizeof(uint64_t));
    if (out->to_sparse_b == NULL || out->to_sparse_a == NULL || out->to_dense_b == NULL || out->to_dense_a == NULL) {
        ddt_encapsulation_destroy(out);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for the keys of an encapsulation.");
    }
    return DDT_OK;
}

void ddt_encapsulation_destroy(ddt_encapsulation *encapsulation) {
    if (encapsulation != NULL) {
        ddt_free(encapsulation->to_sparse_b);
        ddt_free(encapsulation->to_sparse_a);
        ddt_free(encapsulation->to_dense_b);
        ddt_free(encapsulation->to_dense_a);
        memset(encapsulation, 0, sizeof *encapsulation);
    }
}

ddt_status ddt_eval_keys_set_encapsulation(ddt_context *ctx, ddt_eval_keys *keys, ddt_encapsulation *encapsulation) {
    if (encapsulation->to_sparse_b == NULL || encapsulation->to_sparse_a == NULL || encapsulation->to_dense_b == NULL ||
        encapsulation->to_dense_a == NULL) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "An encapsulation without its expanded halves cannot be used.");
    }
    ddt_encapsulation_destroy(&keys->encapsulation);
    keys->encapsulation = *encapsulation;
    memset(encapsulation, 0, sizeof *encapsulation);
    return DDT_OK;
}

const ddt_encapsulation *ddt_eval_keys_encapsulation(const ddt_eval_keys *keys) {
    return keys == NULL || keys->encapsulation.to_dense_b == NULL ? NULL : &keys->encapsulation;
}

size_t ckks_encapsulation_bytes(const ddt_eval_keys *keys) {
    return keys->encapsulation.to_dense_b == NULL
               ? 0
               : 2 * (SPARSE_LIMBS + dense_limbs(keys->params)) * keys->params->n * sizeof(uint64_t);
}

/* ------------------------------------------------------------------ files */

/* The modulus index of limb i of either key, the last limb being p_0. */
static size_t limb_modulus(const ddt_ckks_params *params, size_t i, size_t limbs) {
    return i + 1 < limbs ? i : (size_t)params->top + 1;
}

static void write_limbs(ddt_writer *writer, const ddt_ckks_params *params, const uint64_t *b, size_t limbs) {
    for (size_t i = 0; i < limbs; i++) {
        const uint64_t q = ddt_ring_modulus(params->ring, limb_modulus(params, i, limbs));
        ddt_writer_packed(writer, b + i * params->n, params->n, ckks_modulus_bits(q));
    }
}

ddt_status ddt_encapsulation_write(ddt_writer *writer, const ddt_ckks_params *params,
                                   const ddt_encapsulation *encapsulation) {
    ddt_writer_begin(writer, "ENCP");
    ddt_writer_bytes(writer, params->digest.bytes, sizeof params->digest.bytes);
    ddt_writer_bytes(writer, encapsulation->seed, sizeof encapsulation->seed);
    write_limbs(writer, params, encapsulation->to_sparse_b, SPARSE_LIMBS);
    write_limbs(writer, params, encapsulation->to_dense_b, dense_limbs(params));
    return ddt_writer_end(writer);
}

static ddt_status read_limbs(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params,
                             const uint8_t seed[DDT_CKKS_SEED_BYTES], uint32_t stream, size_t limbs, uint64_t *b,
                             uint64_t *a) {
    ddt_status status = DDT_OK;
    for (size_t i = 0; i < limbs && status == DDT_OK; i++) {
        const size_t m = limb_modulus(params, i, limbs);
        status = ckks_read_limb(ctx, reader, params, m, b + i * params->n);
        if (status == DDT_OK) {
            ddt_ckks_expand_seed(params, seed, stream, m, a + i * params->n);
        }
    }
    return status;
}

ddt_status ddt_encapsulation_read(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params,
                                  ddt_encapsulation *out) {
    enum { HEAD_BYTES_MAX = 128 };
    memset(out, 0, sizeof *out);
    const size_t bytes = (SPARSE_LIMBS + dense_limbs(params)) * params->n * sizeof(uint64_t);
    ddt_status status = ddt_reader_begin(reader, "ENCP", HEAD_BYTES_MAX + bytes);
    if (status == DDT_OK) {
        status = ckks_read_digest(ctx, reader, params, "encapsulation");
    }
    if (status == DDT_OK) {
        status = ddt_encapsulation_create(ctx, params, out);
    }
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, out->seed, sizeof out->seed);
    }
    if (status == DDT_OK) {
        status =
            read_limbs(ctx, reader, params, out->seed, SPARSE_STREAM, SPARSE_LIMBS, out->to_sparse_b, out->to_sparse_a);
    }
    if (status == DDT_OK) {
        status = read_limbs(ctx, reader, params, out->seed, DENSE_STREAM, dense_limbs(params), out->to_dense_b,
                            out->to_dense_a);
    }
    if (status == DDT_OK) {
        status = ddt_reader_end(reader);
    }
    if (status != DDT_OK) {
        ddt_encapsulation_destroy(out);
    }
    return status;
}
