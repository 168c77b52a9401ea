/*
 * The engine's half of a computation, alone: it links the scheme without custody, so this program contains no function
 * that touches a secret key.
 *
 *   engine_alone KEYS TWIN RESULT
 *
 * KEYS holds the parameters and evaluation keys, TWIN one ciphertext x, both written by examples/custodian.c. RESULT
 * gets x * rot(x, 1) + 1, rot
 * by one slot to the left. SPDX-License-Identifier: Apache-2.0
 */
#include "ddt/ckks.h"

#include <stdio.h>

static ddt_status read_keys(ddt_context *ctx, const char *path, ddt_ckks_params **params, ddt_eval_keys **keys) {
    ddt_reader *reader = NULL;
    ddt_ckks_literal literal;
    char tag[4] = "";
    ddt_status status = ddt_reader_open(ctx, path, DDT_WIRE_EVAL_KEYS, &reader);
    if (status == DDT_OK) {
        status = ddt_reader_begin(reader, "PRMS", 64);
    }
    if (status == DDT_OK) {
        status = ddt_ckks_read_literal(reader, &literal);
    }
    if (status == DDT_OK) {
        status = ddt_reader_end(reader);
    }
    if (status == DDT_OK) {
        status = ddt_ckks_params_create(ctx, &literal, params);
    }
    if (status == DDT_OK) {
        status = ddt_eval_keys_create(ctx, *params, keys);
    }
    while (status == DDT_OK && (status = ddt_reader_peek(reader, tag)) == DDT_OK && tag[0] == 'S') {
        ddt_switch_key key;
        status = ddt_switch_key_read(ctx, reader, *params, &key);
        if (status == DDT_OK) {
            status = ddt_eval_keys_add(ctx, *keys, &key);
            ddt_switch_key_destroy(&key); /* empty once the keys own it */
        }
    }
    if (status == DDT_OK) {
        status = ddt_reader_finish(reader);
    }
    ddt_reader_close(reader);
    return status;
}

static ddt_status read_twin(ddt_context *ctx, const char *path, const ddt_ckks_params *params, ddt_ciphertext *x) {
    ddt_reader *reader = NULL;
    ddt_status status = ddt_reader_open(ctx, path, DDT_WIRE_TWIN, &reader);
    if (status == DDT_OK) {
        status = ddt_ciphertext_read(ctx, reader, params, x);
    }
    if (status == DDT_OK) {
        status = ddt_reader_finish(reader);
    }
    ddt_reader_close(reader);
    return status;
}

static ddt_status compute(ddt_context *ctx, const ddt_ckks_params *params, const ddt_eval_keys *keys,
                          const ddt_ciphertext *x, ddt_ciphertext *out) {
    ddt_evaluator *evaluator = NULL;
    ddt_status status = ddt_evaluator_create(ctx, params, keys, ddt_context_threads(ctx), &evaluator);
    if (status == DDT_OK) {
        status = ddt_ciphertext_create(ctx, params, x->level, 2, out);
    }
    if (status == DDT_OK) {
        status = ddt_eval_rotate(evaluator, x, 1, out);
    }
    if (status == DDT_OK) {
        status = ddt_eval_mul(evaluator, x, out, out);
    }
    if (status == DDT_OK) {
        status = ddt_eval_add_constant(evaluator, out, 1.0, out);
    }
    ddt_evaluator_destroy(evaluator);
    return status;
}

static ddt_status write_result(ddt_context *ctx, const char *path, const ddt_ckks_params *params,
                               const ddt_ciphertext *out) {
    ddt_writer *writer = NULL;
    ddt_status status = ddt_writer_open(ctx, path, DDT_WIRE_RESULT, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_ciphertext_write(writer, params, out);
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    return ddt_writer_commit(writer, NULL);
}

int main(int argc, char **argv) {
    ddt_context *ctx = NULL;
    ddt_ckks_params *params = NULL;
    ddt_eval_keys *keys = NULL;
    ddt_ciphertext x = {0};
    ddt_ciphertext out = {0};
    if (argc != 4) {
        (void)fprintf(stderr, "usage: engine_alone KEYS TWIN RESULT\n");
        return 2;
    }
    ddt_status status = ddt_context_create(&ctx);
    if (status == DDT_OK) {
        status = read_keys(ctx, argv[1], &params, &keys);
    }
    if (status == DDT_OK) {
        status = read_twin(ctx, argv[2], params, &x);
    }
    if (status == DDT_OK) {
        status = compute(ctx, params, keys, &x, &out);
    }
    if (status == DDT_OK) {
        status = write_result(ctx, argv[3], params, &out);
    }
    if (status != DDT_OK) {
        (void)fprintf(stderr, "engine_alone: %s\n", ddt_error_detail(ctx));
    }
    ddt_ciphertext_destroy(&x);
    ddt_ciphertext_destroy(&out);
    ddt_eval_keys_destroy(keys);
    ddt_ckks_params_destroy(params);
    ddt_context_destroy(ctx);
    return ddt_status_exit_code(status);
}
