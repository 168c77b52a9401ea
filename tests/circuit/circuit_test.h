/*
 * What the tests of this room share: random numbers, keys for a plan, and a whole run from inputs to decrypted outputs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CIRCUIT_TEST_H
#define DDT_CIRCUIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ddt/circuit.h"
#include "ddt/custody.h"
#include "plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define assert_ok(ctx, call)                                                                                           \
    do {                                                                                                               \
        ddt_status assert_ok_status = (call);                                                                          \
        if (assert_ok_status != DDT_OK) {                                                                              \
            fail_msg("%s: %s", ddt_status_name(assert_ok_status), ddt_error_detail(ctx));                              \
        }                                                                                                              \
    } while (0)

/* The one file of a test program; in memory where there is such a place, for thousands of files are synced. */
static char path[64];

static inline int setup(void **state) {
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(path, sizeof path, "%s/ddt_circuit_%ld.ddt", folder, (long)getpid());
    return ddt_context_create((ddt_context **)state) == DDT_OK ? 0 : -1;
}

static inline int clear_errors(void **state) {
    ddt_context_clear(*state);
    return 0;
}

static inline int teardown(void **state) {
    (void)unlink(path);
    ddt_context_destroy(*state);
    return 0;
}

static inline uint64_t test_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static inline double test_uniform(uint64_t *state, double low, double high) {
    return low + (high - low) * ((double)(test_random(state) >> 11) * 0x1p-53);
}

static inline double **test_rows(size_t count, size_t slots) {
    double **rows = calloc(count + 1, sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        rows[i] = calloc(slots, sizeof **rows);
    }
    return rows;
}

static inline void test_free_rows(double **rows) {
    for (size_t i = 0; rows != NULL && rows[i] != NULL; i++) {
        free(rows[i]);
    }
    free(rows);
}

/* Rows of uniform values in [-bound, bound]. */
static inline double **test_random_rows(uint64_t *state, size_t count, size_t slots, double bound) {
    double **rows = test_rows(count, slots);
    for (size_t i = 0; i < count; i++) {
        for (size_t s = 0; s < slots; s++) {
            rows[i][s] = test_uniform(state, -bound, bound);
        }
    }
    return rows;
}

#define TEST_CONST(rows) ((const double *const *)(rows))

/* Keys of one plan. */
typedef struct test_keys {
    ddt_secret_key *secret;
    ddt_eval_keys *eval;
} test_keys;

static inline void test_keys_make(ddt_context *ctx, ddt_plan *plan, test_keys *keys) {
    const ddt_ckks_params *params = NULL;
    assert_ok(ctx, ddt_plan_params(ctx, plan, &params));
    assert_ok(ctx, ddt_secret_key_generate(ctx, params, &keys->secret));
    assert_ok(ctx, ddt_eval_keys_create(ctx, params, &keys->eval));
    for (size_t k = 0; k < ddt_plan_key_count(plan); k++) {
        ddt_plan_key wanted = ddt_plan_get_key(plan, k);
        ddt_switch_key key;
        assert_ok(ctx, ddt_switch_key_generate(ctx, keys->secret, wanted.galois, wanted.top_level, &key));
        assert_ok(ctx, ddt_eval_keys_add(ctx, keys->eval, &key));
    }
    if (ddt_ckks_params_literal(params)->boot_levels > 0) {
        ddt_encapsulation encapsulation;
        assert_ok(ctx, ddt_encapsulation_generate(ctx, keys->secret, &encapsulation));
        assert_ok(ctx, ddt_eval_keys_set_encapsulation(ctx, keys->eval, &encapsulation));
    }
}

static inline void test_keys_free(test_keys *keys) {
    ddt_eval_keys_destroy(keys->eval);
    ddt_secret_key_destroy(keys->secret);
}

/* One upload, encrypted and taken apart: out[inputs[k]], of `from` the values of all inputs. */
static inline void test_upload(ddt_context *ctx, ddt_plan *plan, const test_keys *keys, size_t batch,
                               double *const *from, const size_t *inputs, size_t count, ddt_ciphertext *out) {
    const double *values[DDT_CKKS_PACK_MAX] = {0};
    ddt_ciphertext piece[DDT_CKKS_PACK_MAX] = {0};
    ddt_plaintext plain = {0};
    ddt_ciphertext upload = {0};
    for (size_t k = 0; k < count; k++) {
        values[k] = from[inputs[k]];
    }
    assert_ok(ctx, ddt_plan_encode_upload(ctx, plan, batch, inputs, values, count, &plain));
    assert_int_equal(plain.level, ddt_plan_upload_level(plan, inputs, count));
    assert_ok(ctx, ddt_encrypt_secret(ctx, keys->secret, &plain, &upload));
    assert_ok(ctx, ddt_plan_open_upload(ctx, plan, keys->eval, &upload, inputs, count, piece));
    for (size_t k = 0; k < count; k++) {
        out[inputs[k]] = piece[k];
    }
    ddt_plaintext_destroy(&plain);
    ddt_ciphertext_destroy(&upload);
}

/* As commands do it: by uploads, which the engine takes apart. */
static inline ddt_ciphertext *test_encrypt(ddt_context *ctx, ddt_plan *plan, const test_keys *keys, size_t batch,
                                           double *const *inputs) {
    const ddt_ckks_params *params = NULL;
    const size_t count = ddt_plan_input_count(plan);
    const size_t pack = ddt_plan_pack_count(plan);
    assert_ok(ctx, ddt_plan_params(ctx, plan, &params));
    size_t *order = calloc(count + 1, sizeof *order);
    ddt_ciphertext *out = calloc(count + 1, sizeof *out);
    ddt_plan_upload_order(plan, 0, order);
    for (size_t first = 0; first < count; first += pack) {
        size_t left = count - first;
        test_upload(ctx, plan, keys, batch, inputs, order + first, left < pack ? left : pack, out);
    }
    free(order);
    return out;
}

static inline void test_decrypt(ddt_context *ctx, ddt_plan *plan, const test_keys *keys, size_t batch,
                                const ddt_ciphertext *results, double *const *outputs) {
    const ddt_ckks_params *params = NULL;
    assert_ok(ctx, ddt_plan_params(ctx, plan, &params));
    size_t slots = ddt_ckks_slots(params);
    double complex *values = calloc(slots, sizeof *values);
    double *real = calloc(slots, sizeof *real);
    for (size_t o = 0; o < ddt_plan_output_count(plan); o++) {
        ddt_plaintext plain = {0};
        assert_ok(ctx, ddt_decrypt(ctx, keys->secret, &results[o], &plain));
        assert_ok(ctx, ddt_ckks_decode(ctx, params, &plain, values));
        for (size_t s = 0; s < slots; s++) {
            real[s] = creal(values[s]);
        }
        ddt_plan_unpack(plan, batch, real, outputs[o]);
        ddt_plaintext_destroy(&plain);
    }
    free(values);
    free(real);
}

static inline void test_free_ciphertexts(ddt_ciphertext *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ddt_ciphertext_destroy(&list[i]);
    }
    free(list);
}

/* All batches, encrypted, run and decrypted. */
static inline void test_run(ddt_context *ctx, ddt_plan *plan, const test_keys *keys, double *const *inputs,
                            double *const *outputs) {
    ddt_plan_info info;
    ddt_plan_get_info(plan, &info);
    size_t output_count = ddt_plan_output_count(plan);
    for (size_t b = 0; b < info.batches; b++) {
        ddt_ciphertext *in = test_encrypt(ctx, plan, keys, b, inputs);
        ddt_ciphertext *out = calloc(output_count, sizeof *out);
        assert_ok(ctx, ddt_plan_run(ctx, plan, keys->eval, b, in, out));
        const ddt_ckks_params *params = NULL;
        assert_ok(ctx, ddt_plan_params(ctx, plan, &params));
        for (size_t o = 0; o < output_count; o++) {
            assert_int_equal(out[o].parts, 2);
            assert_int_equal(out[o].level, ddt_plan_get_output(plan, o).level);
            assert_true(out[o].scale == ddt_ckks_canonical_scale(params, out[o].level));
        }
        test_decrypt(ctx, plan, keys, b, out, outputs);
        test_free_ciphertexts(in, ddt_plan_input_count(plan));
        test_free_ciphertexts(out, output_count);
    }
}

static inline double test_max_difference(double *const *a, double *const *b, size_t rows, size_t slots) {
    double worst = 0.0;
    for (size_t r = 0; r < rows; r++) {
        for (size_t s = 0; s < slots; s++) {
            double difference = fabs(a[r][s] - b[r][s]);
            worst = difference <= worst ? worst : difference;
        }
    }
    return worst;
}

#endif
