/* Ciphertexts and evaluation keys behind matching digests: what is accepted has the shape and the residues that it
 * claims. SPDX-License-Identifier: Apache-2.0 */
#include "forge.h"

#include "ddt/ckks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The smallest parameters there are: nothing is encrypted here. */
static const ddt_ckks_literal literal = {.log_n = 10, .levels = 1, .first_bits = 40, .scale_bits = 30, .p_count = 1};

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

static void require_reduced(const uint64_t *limb, size_t n, uint64_t q) {
    for (size_t i = 0; i < n; i++) {
        require(limb[i] < q);
    }
}

static ddt_status read_ciphertext(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params) {
    ddt_ciphertext ct = {0};
    ddt_status status = ddt_ciphertext_read(ctx, reader, params, &ct);
    if (status != DDT_OK) {
        require(ct.limbs == NULL);
        return status;
    }
    require(ct.level <= literal.levels && ct.parts >= 2 && ct.parts <= 3 && isfinite(ct.scale) && ct.scale > 0);
    for (unsigned part = 0; part < ct.parts; part++) {
        for (unsigned level = 0; level <= ct.level; level++) {
            size_t n = ddt_ckks_n(params);
            require_reduced(ddt_ciphertext_limb(&ct, n, part, level), n, ddt_ckks_prime(params, level));
        }
    }
    ddt_ciphertext_destroy(&ct);
    return DDT_OK;
}

static ddt_status read_key(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params) {
    ddt_switch_key key = {0};
    ddt_status status = ddt_switch_key_read(ctx, reader, params, &key);
    if (status != DDT_OK) {
        require(key.a == NULL && key.b == NULL);
        return status;
    }
    require(key.top_level <= literal.levels && key.digits == ddt_ckks_digits(params, key.top_level));
    require(key.galois == 0 || key.galois % 2 == 1);
    for (unsigned digit = 0; digit < key.digits; digit++) {
        for (unsigned level = 0; level <= key.top_level; level++) {
            size_t n = ddt_ckks_n(params);
            size_t limb = (size_t)digit * (key.top_level + 1 + literal.p_count) + level;
            require_reduced(key.b + limb * n, n, ddt_ckks_prime(params, level));
        }
    }
    ddt_switch_key_destroy(&key);
    return DDT_OK;
}

static ddt_status read_encapsulation(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params) {
    ddt_encapsulation keys = {0};
    ddt_status status = ddt_encapsulation_read(ctx, reader, params, &keys);
    if (status != DDT_OK) {
        require(keys.to_sparse_b == NULL && keys.to_sparse_a == NULL && keys.to_dense_b == NULL &&
                keys.to_dense_a == NULL);
        return status;
    }
    size_t n = ddt_ckks_n(params);
    require_reduced(keys.to_sparse_b, n, ddt_ckks_prime(params, 0));
    for (unsigned level = 0; level <= ddt_ckks_top_level(params); level++) {
        require_reduced(keys.to_dense_b + level * n, n, ddt_ckks_prime(params, level));
    }
    ddt_encapsulation_destroy(&keys);
    return DDT_OK;
}

static ddt_status read_literal(ddt_reader *reader) {
    ddt_ckks_literal found;
    ddt_status status = ddt_reader_begin(reader, "PRMS", 64);
    if (status == DDT_OK) {
        status = ddt_ckks_read_literal(reader, &found);
    }
    return status == DDT_OK ? ddt_reader_end(reader) : status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const ddt_ckks_params *params = shared_params();
    ddt_context *ctx = forge_context();
    ddt_reader *reader = NULL;
    char tag[4];
    size_t length = 0;
    uint8_t *file = forge_repair(data, size, DDT_WIRE_RESULT, &length);
    if (file == NULL) {
        return 0;
    }
    require(ddt_reader_open_memory(ctx, file, length, DDT_WIRE_RESULT, &reader) == DDT_OK);
    ddt_status status = DDT_OK;
    while (status == DDT_OK && ddt_reader_peek(reader, tag) == DDT_OK && memcmp(tag, "END ", sizeof tag) != 0) {
        if (memcmp(tag, "SKEY", sizeof tag) == 0) {
            status = read_key(ctx, reader, params);
        } else if (memcmp(tag, "ENCP", sizeof tag) == 0) {
            status = read_encapsulation(ctx, reader, params);
        } else if (memcmp(tag, "PRMS", sizeof tag) == 0) {
            status = read_literal(reader);
        } else {
            status = read_ciphertext(ctx, reader, params);
        }
    }
    ddt_reader_close(reader);
    free(file);
    return 0;
}
