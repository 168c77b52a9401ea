/*
 * Circuits under CKKS: decrypted values against the clear run, within the predicted error.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "circuit_random.h"

#include <unistd.h>

static double hill(double x, const void *user) {
    double k = *(const double *)user;
    return x / (k + x);
}

static void test_one_of_each(void **state) {
    ddt_context *ctx = *state;
    ddt_circuit *circuit = NULL;
    const size_t lanes = 5;
    const size_t block = 16;
    const size_t slots = lanes * block;
    const double k = 0.5;
    uint64_t random = 7;
    assert_ok(ctx, ddt_circuit_create(ctx, lanes, block, &circuit));
    ddt_node x = ddt_circuit_input(circuit, "x", 1.0);
    ddt_node y = ddt_circuit_input(circuit, "y", 1.0);
    double **weights = test_random_rows(&random, 1, slots, 1.0);
    ddt_node w = ddt_circuit_public(circuit, weights[0]);
    ddt_node product = ddt_circuit_mul(circuit, x, y);
    ddt_node affine = ddt_circuit_affine(circuit, (ddt_node[]){x, y, product}, (double[]){0.5, -2.0, 0.25}, 3, 0.75);
    ddt_node dot = ddt_circuit_dot(circuit, (ddt_node[]){x, affine, w}, (ddt_node[]){affine, affine, y}, 3);
    double error = 0.0;
    ddt_node f = ddt_circuit_function(circuit, ddt_circuit_mul(circuit, x, x), 0.0, 1.0, hill, &k, 1e-6, &error);
    ddt_node rotated = ddt_circuit_rotate(circuit, f, 3);
    ddt_node sum = ddt_circuit_sum(circuit, y, 1, 8);
    ddt_circuit_output(circuit, "dot", dot);
    ddt_circuit_output(circuit, "f", f);
    ddt_circuit_output(circuit, "rotated", rotated);
    ddt_circuit_output(circuit, "sum", sum);
    ddt_circuit_output(circuit, "public", w);
    ddt_circuit_output(circuit, "input", x);
    assert_ok(ctx, ddt_circuit_status(circuit));
    double **inputs = test_random_rows(&random, 2, slots, 1.0);
    uint64_t violations = 1;
    assert_ok(ctx, ddt_circuit_calibrate(ctx, circuit, TEST_CONST(inputs), &violations));
    assert_int_equal(violations, 0);
    double **clear = test_rows(6, slots);
    double **got = test_rows(6, slots);
    assert_ok(ctx, ddt_circuit_run_clear(ctx, circuit, TEST_CONST(inputs), false, clear));

    ddt_plan_request request = {.target_error = 1e-4, .insecure_for_testing = true};
    ddt_plan *plan = NULL;
    assert_ok(ctx, ddt_plan_create(ctx, circuit, &request, &plan));
    ddt_plan_info info;
    ddt_plan_get_info(plan, &info);
    print_message("log_n %u levels %u scale %u p %u, %zu instructions, error %g, %g s\n", info.literal.log_n,
                  info.literal.levels, info.literal.scale_bits, info.literal.p_count, info.instructions,
                  info.predicted_error, info.predicted_seconds);
    test_keys keys;
    test_keys_make(ctx, plan, &keys);
    test_run(ctx, plan, &keys, inputs, got);
    for (size_t o = 0; o < 6; o++) {
        for (size_t lane = 0; lane < lanes; lane++) {
            for (size_t s = 0; s < 8; s++) {
                size_t i = lane * block + s;
                if (!(fabs(got[o][i] - clear[o][i]) <= info.predicted_error)) {
                    fail_msg("output %zu lane %zu slot %zu: %.9g, %.9g in the clear", o, lane, s, got[o][i],
                             clear[o][i]);
                }
            }
        }
    }
    test_keys_free(&keys);
    test_free_rows(weights);
    test_free_rows(inputs);
    test_free_rows(clear);
    test_free_rows(got);
    ddt_plan_destroy(plan);
    ddt_circuit_destroy(circuit);
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/*
 * Random circuits: every decrypted value lies within the predicted error of the clear run, and the prediction is not
 * much larger than what is measured.
 */
static void test_random_circuits(void **state) {
    ddt_context *ctx = *state;
    enum { CIRCUITS = 30 };
    static const size_t shapes[][2] = {{1, 512}, {7, 8}, {3, 1}, {40, 32}, {1, 1}};
    double ratios[CIRCUITS];
    for (uint64_t i = 0; i < CIRCUITS; i++) {
        const size_t *shape = shapes[i % (sizeof shapes / sizeof *shapes)];
        random_circuit r;
        random_circuit_make(ctx, &r, 5000 + i, shape[0], shape[1], 20, 12);
        double **clear = test_rows(r.output_count, r.slots);
        double **got = test_rows(r.output_count, r.slots);
        assert_ok(ctx, ddt_circuit_run_clear(ctx, r.circuit, TEST_CONST(r.inputs), false, clear));
        assert_ok(ctx, ddt_circuit_calibrate(ctx, r.circuit, TEST_CONST(r.inputs), NULL));
        ddt_plan_request request = {.target_error = i % 2 == 0 ? 1e-3 : 1e-6, .insecure_for_testing = true};
        ddt_plan *plan = NULL;
        test_keys keys;
        assert_ok(ctx, ddt_plan_create(ctx, r.circuit, &request, &plan));
        test_keys_make(ctx, plan, &keys);
        ddt_context_set_threads(ctx, 1 + (int)(i % 2));
        test_run(ctx, plan, &keys, r.inputs, got);
        ddt_plan_info info;
        ddt_plan_get_info(plan, &info);
        double error = random_difference(&r, got, clear);
        ratios[i] = info.predicted_error / error;
        if (getenv("DDT_TEST_VERBOSE") != NULL) {
            print_message("circuit %u: depth %u, 2^%u, scale 2^%u, %zu batches, predicted %.2g, measured %.2g\n",
                          (unsigned)i, info.depth, info.literal.log_n, info.literal.scale_bits, info.batches,
                          info.predicted_error, error);
        }
        if (!(error <= info.predicted_error) || !(info.predicted_error <= request.target_error)) {
            fail_msg("circuit %u: error %g, predicted %g", (unsigned)i, error, info.predicted_error);
        }
        test_keys_free(&keys);
        ddt_plan_destroy(plan);
        test_free_rows(clear);
        test_free_rows(got);
        random_circuit_free(&r);
    }
    qsort(ratios, CIRCUITS, sizeof *ratios, compare_doubles);
    print_message("predicted / measured error: least %.2f, median %.2f, largest %.2f\n", ratios[0],
                  ratios[CIRCUITS / 2], ratios[CIRCUITS - 1]);
    assert_true(ratios[CIRCUITS / 2] <= 64.0);
}

/* All slots of a ring of secure size: errors have exponential tails, and the prediction covers them. */
static void test_tails(void **state) {
    ddt_context *ctx = *state;
    enum { BLOCK = 4096, REPETITIONS = 6 };
    uint64_t random = 31;
    ddt_circuit *c = NULL;
    assert_ok(ctx, ddt_circuit_create(ctx, 1, BLOCK, &c));
    ddt_node x = ddt_circuit_input(c, "x", 1.0);
    ddt_node y = ddt_circuit_input(c, "y", 1.0);
    ddt_node xy = ddt_circuit_mul(c, x, y);
    ddt_circuit_output(c, "shallow", xy);
    ddt_circuit_output(c, "deep", ddt_circuit_mul(c, ddt_circuit_mul(c, xy, y), ddt_circuit_mul(c, y, y)));
    double **inputs = test_random_rows(&random, 2, BLOCK, 1.0);
    double **clear = test_rows(2, BLOCK);
    double **got = test_rows(2, BLOCK);
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(inputs), NULL));
    assert_ok(ctx, ddt_circuit_run_clear(ctx, c, TEST_CONST(inputs), false, clear));
    ddt_plan_request request = {.target_error = 1e-3, .log_n = 13};
    ddt_plan *plan = NULL;
    ddt_plan_info info;
    assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
    ddt_plan_get_info(plan, &info);
    for (unsigned i = 0; i < REPETITIONS; i++) {
        test_keys keys;
        test_keys_make(ctx, plan, &keys);
        test_run(ctx, plan, &keys, inputs, got);
        double error = test_max_difference(got, clear, 2, BLOCK);
        assert_true(error <= info.predicted_error);
        assert_true(error >= info.predicted_error / 64.0);
        test_keys_free(&keys);
    }
    test_free_rows(inputs);
    test_free_rows(clear);
    test_free_rows(got);
    ddt_plan_destroy(plan);
    ddt_circuit_destroy(c);
}

/* ------------------------------------------------------------------ a small plan and its keys, for what can go wrong
 */

typedef struct bench {
    ddt_plan *plan;
    test_keys keys;
    double **inputs;
    ddt_ciphertext *in;
    ddt_ciphertext out[2];
} bench;

static void bench_begin(ddt_context *ctx, bench *b) {
    ddt_circuit *c = NULL;
    uint64_t random = 11;
    memset(b, 0, sizeof *b);
    ddt_context_set_threads(ctx, 2);
    assert_ok(ctx, ddt_circuit_create(ctx, 600, 2, &c));
    ddt_node x = ddt_circuit_input(c, "x", 1.0);
    ddt_node y = ddt_circuit_input(c, "y", 1.0);
    double **weights = test_random_rows(&random, 1, 1200, 1.0);
    ddt_node w = ddt_circuit_public(c, weights[0]);
    ddt_node xy = ddt_circuit_mul(c, x, y);
    ddt_circuit_output(c, "a", ddt_circuit_mul(c, ddt_circuit_rotate(c, xy, 1), ddt_circuit_mul(c, w, x)));
    ddt_circuit_output(c, "b", ddt_circuit_mul(c, xy, ddt_circuit_add(c, w, y)));
    b->inputs = test_random_rows(&random, 2, 1200, 1.0);
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(b->inputs), NULL));
    ddt_plan_request request = {.target_error = 1e-4, .log_n = 10, .insecure_for_testing = true};
    assert_ok(ctx, ddt_plan_create(ctx, c, &request, &b->plan));
    test_keys_make(ctx, b->plan, &b->keys);
    b->in = test_encrypt(ctx, b->plan, &b->keys, 1, b->inputs);
    test_free_rows(weights);
    ddt_circuit_destroy(c);
}

static void bench_end(bench *b) {
    test_free_ciphertexts(b->in, 2);
    test_free_rows(b->inputs);
    test_keys_free(&b->keys);
    ddt_plan_destroy(b->plan);
}

static void expect_refusal(ddt_context *ctx, bench *b, const ddt_eval_keys *keys, size_t batch, ddt_status wanted) {
    ddt_context_clear(ctx);
    memset(b->out, 0xff, sizeof b->out);
    assert_int_equal(ddt_plan_run(ctx, b->plan, keys, batch, b->in, b->out), wanted);
    assert_true(strlen(ddt_error_detail(ctx)) > 10);
    assert_null(b->out[0].limbs);
    assert_null(b->out[1].limbs);
}

static bool cancel_at(void *user, const char *stage, uint64_t done, uint64_t total) {
    assert_string_equal(stage, "engine");
    assert_true(done <= total);
    return done < *(uint64_t *)user;
}

static void test_refusals(void **state) {
    ddt_context *ctx = *state;
    bench b;
    bench_begin(ctx, &b);
    ddt_plan_info info;
    ddt_plan_get_info(b.plan, &info);
    assert_int_equal(info.batches, 3);
    expect_refusal(ctx, &b, b.keys.eval, 3, DDT_ERR_ARGUMENT);
    expect_refusal(ctx, &b, NULL, 1, DDT_ERR_KEY_MISSING);
    /* One key after the other left out, or made for a lower level. */
    const ddt_ckks_params *params = NULL;
    assert_ok(ctx, ddt_plan_params(ctx, b.plan, &params));
    for (size_t missing = 0; missing < 2 * ddt_plan_key_count(b.plan); missing++) {
        ddt_eval_keys *some = NULL;
        assert_ok(ctx, ddt_eval_keys_create(ctx, params, &some));
        for (size_t k = 0; k < ddt_plan_key_count(b.plan); k++) {
            ddt_plan_key wanted = ddt_plan_get_key(b.plan, k);
            bool lowered = missing == k + ddt_plan_key_count(b.plan) && wanted.top_level > 0;
            ddt_switch_key key;
            if (k != missing) {
                assert_ok(ctx,
                          ddt_switch_key_generate(ctx, b.keys.secret, wanted.galois, wanted.top_level - lowered, &key));
                assert_ok(ctx, ddt_eval_keys_add(ctx, some, &key));
            }
        }
        expect_refusal(ctx, &b, some, 1, DDT_ERR_KEY_MISSING);
        ddt_eval_keys_destroy(some);
    }
    /* Inputs that are not what the plan wants. */
    ddt_ciphertext sound = b.in[1];
    b.in[1].level -= 1;
    expect_refusal(ctx, &b, b.keys.eval, 1, DDT_ERR_MISMATCH);
    b.in[1] = sound;
    b.in[1].scale *= 1.0 + 0x1p-30;
    expect_refusal(ctx, &b, b.keys.eval, 1, DDT_ERR_MISMATCH);
    b.in[1].scale = NAN;
    expect_refusal(ctx, &b, b.keys.eval, 1, DDT_ERR_MISMATCH);
    b.in[1] = sound;
    b.in[1].parts = 3;
    expect_refusal(ctx, &b, b.keys.eval, 1, DDT_ERR_MISMATCH);
    b.in[1] = sound;
    b.in[1].limbs = NULL;
    expect_refusal(ctx, &b, b.keys.eval, 1, DDT_ERR_MISMATCH);
    b.in[1] = sound;
    /* Cancelled after each instruction in turn. */
    for (uint64_t at = info.instructions + 1; at <= 2 * info.instructions; at++) {
        ddt_context_set_progress(ctx, cancel_at, &at);
        expect_refusal(ctx, &b, b.keys.eval, 1, DDT_ERR_CANCELLED);
    }
    ddt_context_set_progress(ctx, NULL, NULL);
    ddt_context_clear(ctx);
    assert_ok(ctx, ddt_plan_run(ctx, b.plan, b.keys.eval, 1, b.in, b.out));
    ddt_ciphertext_destroy(&b.out[0]);
    ddt_ciphertext_destroy(&b.out[1]);
    bench_end(&b);
}

/* The engine adds no randomness: any number of threads, and a second run with a warm cache, give the same bytes. */
static void test_deterministic(void **state) {
    ddt_context *ctx = *state;
    bench b;
    bench_begin(ctx, &b);
    ddt_ciphertext first[2];
    ddt_context_set_threads(ctx, 1);
    assert_ok(ctx, ddt_plan_run(ctx, b.plan, b.keys.eval, 1, b.in, first));
    for (int threads = 1; threads <= 3; threads++) {
        ddt_context_set_threads(ctx, threads);
        assert_ok(ctx, ddt_plan_run(ctx, b.plan, b.keys.eval, 1, b.in, b.out));
        for (size_t o = 0; o < 2; o++) {
            size_t words = 2 * ((size_t)first[o].level + 1) << 10;
            assert_int_equal(first[o].level, b.out[o].level);
            assert_memory_equal(first[o].limbs, b.out[o].limbs, words * sizeof(uint64_t));
            ddt_ciphertext_destroy(&b.out[o]);
        }
    }
    ddt_ciphertext_destroy(&first[0]);
    ddt_ciphertext_destroy(&first[1]);
    bench_end(&b);
}

static void check_size(ddt_context *ctx, ddt_writer *writer, uint64_t predicted) {
    uint64_t written = 0;
    assert_ok(ctx, ddt_writer_commit(writer, &written));
    assert_true(fabs((double)written / (double)predicted - 1.0) < 0.05);
}

/* Key and twin files have the sizes that the plan predicts. */
static void check_sizes(ddt_context *ctx, ddt_plan *plan, const test_keys *keys, double *const *inputs) {
    ddt_plan_info info;
    ddt_writer *writer = NULL;
    const ddt_ckks_params *params = NULL;
    ddt_plan_get_info(plan, &info);
    assert_ok(ctx, ddt_plan_params(ctx, plan, &params));
    assert_ok(ctx, ddt_writer_open(ctx, path, DDT_WIRE_EVAL_KEYS, false, &writer));
    for (size_t k = 0; k < ddt_plan_key_count(plan); k++) {
        const ddt_switch_key *key = ddt_eval_keys_find(keys->eval, ddt_plan_get_key(plan, k).galois);
        assert_ok(ctx, ddt_switch_key_write(writer, params, key));
    }
    check_size(ctx, writer, info.eval_key_bytes);
    assert_ok(ctx, ddt_writer_open(ctx, path, DDT_WIRE_TWIN, false, &writer));
    for (size_t b = 0; b < info.batches; b++) {
        ddt_ciphertext *in = test_encrypt(ctx, plan, keys, b, inputs);
        for (size_t i = 0; i < ddt_plan_input_count(plan); i++) {
            assert_ok(ctx, ddt_ciphertext_write(writer, params, &in[i]));
        }
        test_free_ciphertexts(in, ddt_plan_input_count(plan));
    }
    check_size(ctx, writer, info.twin_bytes);
    (void)unlink(path);
}

/* A secure plan end to end: a saturable elimination rate, scaled and summed over a block, for 20 lanes. */
static void test_secure(void **state) {
    ddt_context *ctx = *state;
    enum { LANES = 20, BLOCK = 16, SLOTS = LANES * BLOCK };
    ddt_circuit *c = NULL;
    uint64_t random = 21;
    const double km = 0.5;
    assert_ok(ctx, ddt_circuit_create(ctx, LANES, BLOCK, &c));
    ddt_node x = ddt_circuit_input(c, "concentration", 4.0);
    ddt_node v = ddt_circuit_input(c, "vmax", 2.0);
    ddt_node rate = ddt_circuit_function(c, x, 0.0, 4.0, hill, &km, 1e-2, NULL);
    ddt_circuit_output(c, "sum", ddt_circuit_sum(c, ddt_circuit_mul(c, v, rate), 1, BLOCK));
    double **inputs = test_random_rows(&random, 2, SLOTS, 2.0);
    for (size_t s = 0; s < SLOTS; s++) {
        inputs[0][s] += 2.0;
    }
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(inputs), NULL));
    ddt_plan_request request = {.target_error = 1e-3};
    ddt_plan *plan = NULL;
    test_keys keys;
    ddt_plan_info info;
    assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
    ddt_plan_get_info(plan, &info);
    assert_int_equal(info.security_bits, 128);
    assert_in_range(info.literal.log_n, 13, 14);
    double **clear = test_rows(1, SLOTS);
    double **got = test_rows(1, SLOTS);
    assert_ok(ctx, ddt_circuit_run_clear(ctx, c, TEST_CONST(inputs), false, clear));
    test_keys_make(ctx, plan, &keys);
    check_sizes(ctx, plan, &keys, inputs);
    test_run(ctx, plan, &keys, inputs, got);
    for (size_t lane = 0; lane < LANES; lane++) {
        assert_true(fabs(got[0][lane * BLOCK] - clear[0][lane * BLOCK]) <= info.predicted_error);
    }
    assert_true(info.predicted_error <= 1e-3);
    test_keys_free(&keys);
    test_free_rows(inputs);
    test_free_rows(clear);
    test_free_rows(got);
    ddt_plan_destroy(plan);
    ddt_circuit_destroy(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one_of_each, clear_errors),
        cmocka_unit_test_setup(test_random_circuits, clear_errors),
        cmocka_unit_test_setup(test_tails, clear_errors),
        cmocka_unit_test_setup(test_refusals, clear_errors),
        cmocka_unit_test_setup(test_deterministic, clear_errors),
        cmocka_unit_test_setup(test_secure, clear_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
