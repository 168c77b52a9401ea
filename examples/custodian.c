/*
 * The custodian's half of examples/engine_alone.c.
 *
 *   custodian prepare DIR    makes a secret key, evaluation keys and one encrypted message in DIR
 *   custodian open DIR       decrypts DIR/result.ddt and compares it with the same computation in the clear
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ddt/custody.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_MAX_BYTES = 4096 };

/* 128-bit security at ring degree 2^13: one multiplication. */
static const ddt_ckks_literal literal = {
    .log_n = 13, .levels = 1, .first_bits = 50, .scale_bits = 45, .p_count = 1, .boot_levels = 0, .scale_primes = 1};

static const char *path_in(const char *folder, const char *name) {
    static char path[PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* The message: a concentration falling over the slots, between 0 and 1. */
static double message_at(size_t slot, size_t slots) { return exp(-5.0 * (double)slot / (double)slots); }

static ddt_status write_keys(ddt_context *ctx, const char *folder, const ddt_ckks_params *params,
                             const ddt_secret_key *secret) {
    const uint64_t galois[] = {0, ddt_ring_galois_rotation(ddt_ckks_params_ring(params), 1)};
    ddt_writer *writer = NULL;
    ddt_status status = ddt_writer_open(ctx, path_in(folder, "eval.ddt"), DDT_WIRE_EVAL_KEYS, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    ddt_writer_begin(writer, "PRMS");
    ddt_ckks_write_literal(writer, &literal);
    status = ddt_writer_end(writer);
    /* One key at a time: they never lie in memory together. */
    for (size_t g = 0; g < sizeof galois / sizeof galois[0] && status == DDT_OK; g++) {
        ddt_switch_key key;
        status = ddt_switch_key_generate(ctx, secret, galois[g], literal.levels, &key);
        if (status == DDT_OK) {
            status = ddt_switch_key_write(writer, params, &key);
            ddt_switch_key_destroy(&key);
        }
    }
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    return ddt_writer_commit(writer, NULL);
}

static ddt_status write_twin(ddt_context *ctx, const char *folder, const ddt_ckks_params *params,
                             const ddt_secret_key *secret) {
    const size_t slots = ddt_ckks_slots(params);
    ddt_plaintext plain = {0};
    ddt_ciphertext x = {0};
    ddt_writer *writer = NULL;
    double *message = ddt_calloc(slots, sizeof *message);
    if (message == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for the message.");
    }
    for (size_t j = 0; j < slots; j++) {
        message[j] = message_at(j, slots);
    }
    ddt_status status = ddt_ckks_encode_real(ctx, params, message, slots, literal.levels,
                                             ddt_ckks_canonical_scale(params, literal.levels), &plain);
    if (status == DDT_OK) {
        status = ddt_encrypt_secret(ctx, secret, &plain, &x);
    }
    if (status == DDT_OK) {
        status = ddt_writer_open(ctx, path_in(folder, "twin.ddt"), DDT_WIRE_TWIN, false, &writer);
    }
    if (status == DDT_OK) {
        status = ddt_ciphertext_write(writer, params, &x);
        if (status == DDT_OK) {
            status = ddt_writer_commit(writer, NULL);
        } else {
            ddt_writer_abort(writer);
        }
    }
    ddt_ciphertext_destroy(&x);
    ddt_plaintext_destroy(&plain);
    ddt_free(message);
    return status;
}

static ddt_status prepare(ddt_context *ctx, const char *folder, const ddt_ckks_params *params) {
    ddt_secret_key *secret = NULL;
    ddt_digest plan;
    ddt_digest_of("examples/engine_alone", strlen("examples/engine_alone"), &plan);
    ddt_status status = ddt_secret_key_generate(ctx, params, &secret);
    if (status == DDT_OK) {
        status = ddt_secret_key_save(ctx, path_in(folder, "secret.ddt"), secret, &plan, NULL);
    }
    if (status == DDT_OK) {
        status = write_keys(ctx, folder, params, secret);
    }
    if (status == DDT_OK) {
        status = write_twin(ctx, folder, params, secret);
    }
    ddt_secret_key_destroy(secret);
    return status;
}

static ddt_status read_result(ddt_context *ctx, const char *folder, const ddt_ckks_params *params,
                              ddt_ciphertext *out) {
    ddt_reader *reader = NULL;
    ddt_status status = ddt_reader_open(ctx, path_in(folder, "result.ddt"), DDT_WIRE_RESULT, &reader);
    if (status == DDT_OK) {
        status = ddt_ciphertext_read(ctx, reader, params, out);
    }
    if (status == DDT_OK) {
        status = ddt_reader_finish(reader);
    }
    ddt_reader_close(reader);
    return status;
}

/* The largest difference from the computation in the clear. */
static double compare(const double complex *values, size_t slots) {
    double worst = 0.0;
    for (size_t j = 0; j < slots; j++) {
        const double expected = message_at(j, slots) * message_at((j + 1) % slots, slots) + 1.0;
        worst = fmax(worst, cabs(values[j] - expected));
    }
    return worst;
}

static ddt_status open_result(ddt_context *ctx, const char *folder, const ddt_ckks_params *params) {
    const size_t slots = ddt_ckks_slots(params);
    ddt_secret_key *secret = NULL;
    ddt_ciphertext result = {0};
    ddt_plaintext plain = {0};
    double complex *values = ddt_calloc(slots, sizeof *values);
    ddt_status status = values == NULL ? ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for the result.") : DDT_OK;
    if (status == DDT_OK) {
        status = ddt_secret_key_load(ctx, path_in(folder, "secret.ddt"), params, NULL, &secret, NULL);
    }
    if (status == DDT_OK) {
        status = read_result(ctx, folder, params, &result);
    }
    if (status == DDT_OK) {
        status = ddt_decrypt(ctx, secret, &result, &plain);
    }
    if (status == DDT_OK) {
        status = ddt_ckks_decode(ctx, params, &plain, values);
    }
    if (status == DDT_OK) {
        const double worst = compare(values, slots);
        printf("largest error %.3g in %zu slots\n", worst, slots);
        if (!(worst < 1e-6)) {
            status = ddt_fail(ctx, DDT_ERR_RANGE, "The result differs from the computation in the clear.");
        }
    }
    ddt_plaintext_destroy(&plain);
    ddt_ciphertext_destroy(&result);
    ddt_secret_key_destroy(secret);
    ddt_free(values);
    return status;
}

int main(int argc, char **argv) {
    ddt_context *ctx = NULL;
    ddt_ckks_params *params = NULL;
    const bool prepares = argc == 3 && strcmp(argv[1], "prepare") == 0;
    if (!prepares && !(argc == 3 && strcmp(argv[1], "open") == 0)) {
        (void)fprintf(stderr, "usage: custodian prepare|open DIR\n");
        return 2;
    }
    ddt_status status = ddt_context_create(&ctx);
    if (status == DDT_OK) {
        status = ddt_ckks_params_create(ctx, &literal, &params);
    }
    if (status == DDT_OK) {
        status = prepares ? prepare(ctx, argv[2], params) : open_result(ctx, argv[2], params);
    }
    if (status != DDT_OK) {
        (void)fprintf(stderr, "custodian: %s\n", ddt_error_detail(ctx));
    }
    ddt_ckks_params_destroy(params);
    ddt_context_destroy(ctx);
    return ddt_status_exit_code(status);
}
