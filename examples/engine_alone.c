/*
 * The engine's half of a computation: it links the scheme without custody, so that it has no function that touches a
 * secret key. "engine_alone KEYS TWIN RESULT" computes x * rot(x, 1) + 1, rotating by one slot to the left: KEYS (the
 * parameters and evaluation keys) and TWIN (x) come from examples/custodian.c.  SPDX-License-Identifier: Apache-2.0
 */
#include <ddt/ckks.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ddt_context *ctx;
static void check(ddt_status status) {
    if (status != DDT_OK) {
        (void)fprintf(stderr, "engine_alone: %s\n", ddt_error_detail(ctx));
        exit(ddt_status_exit_code(status));
    }
}

int main(int argc, char **argv) {
    ddt_ckks_literal literal;
    ddt_ckks_params *params;
    ddt_eval_keys *keys;
    ddt_evaluator *evaluator;
    ddt_reader *reader;
    ddt_writer *writer;
    ddt_switch_key key;
    ddt_ciphertext x, out;
    char tag[4];
    if (argc != 4 || ddt_context_create(&ctx) != DDT_OK) {
        return EXIT_FAILURE;
    }
    check(ddt_reader_open(ctx, argv[1], DDT_WIRE_EVAL_KEYS, &reader));
    check(ddt_reader_begin(reader, "PRMS", 64));
    check(ddt_ckks_read_literal(reader, &literal));
    check(ddt_reader_end(reader));
    check(ddt_ckks_params_create(ctx, &literal, &params)); /* refuses what is not secure */
    check(ddt_eval_keys_create(ctx, params, &keys));
    for (check(ddt_reader_peek(reader, tag)); memcmp(tag, "SKEY", 4) == 0; check(ddt_reader_peek(reader, tag))) {
        check(ddt_switch_key_read(ctx, reader, params, &key));
        check(ddt_eval_keys_add(ctx, keys, &key));
    }
    check(ddt_reader_finish(reader));
    ddt_reader_close(reader);
    check(ddt_reader_open(ctx, argv[2], DDT_WIRE_TWIN, &reader));
    check(ddt_ciphertext_read(ctx, reader, params, &x));
    check(ddt_reader_finish(reader));
    ddt_reader_close(reader);
    check(ddt_evaluator_create(ctx, params, keys, ddt_context_threads(ctx), &evaluator));
    check(ddt_ciphertext_create(ctx, params, x.level, 2, &out));
    check(ddt_eval_rotate(evaluator, &x, 1, &out));
    check(ddt_eval_mul(evaluator, &x, &out, &out));
    check(ddt_eval_add_constant(evaluator, &out, 1.0, &out));
    check(ddt_writer_open(ctx, argv[3], DDT_WIRE_RESULT, false, &writer));
    check(ddt_ciphertext_write(writer, params, &out));
    check(ddt_writer_commit(writer, NULL));
    ddt_evaluator_destroy(evaluator);
    ddt_eval_keys_destroy(keys);
    ddt_ciphertext_destroy(&x);
    ddt_ciphertext_destroy(&out);
    ddt_ckks_params_destroy(params);
    ddt_context_destroy(ctx);
    return EXIT_SUCCESS;
}
