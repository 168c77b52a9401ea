/*
 * Every allocation of a whole life made to fail once: a clean DDT_ERR_MEMORY, nothing leaked, outputs untouched.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "circuit_test.h"

#include <unistd.h>

static double decay(double x, const void *user) {
    (void)user;
    return exp(-x);
}

static ddt_status build(ddt_context *ctx, ddt_circuit **out) {
    ddt_circuit *c = NULL;
    ddt_status status = ddt_circuit_create(ctx, 2, 4, &c);
    if (status != DDT_OK) {
        return status;
    }
    const double weights[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    ddt_node x = ddt_circuit_input(c, "x", 1.0);
    ddt_node y = ddt_circuit_input(c, "y", 1.0);
    ddt_node w = ddt_circuit_public(c, weights);
    ddt_node f = ddt_circuit_function(c, x, -1.0, 1.0, decay, NULL, 1e-2, NULL);
    ddt_node d = ddt_circuit_dot(c, (ddt_node[]){f, x, w}, (ddt_node[]){y, x, y}, 3);
    ddt_node g = ddt_circuit_affine(c, (ddt_node[]){d, f}, (double[]){0.5, 0.25}, 2, 0.125);
    ddt_circuit_output(c, "rotated", ddt_circuit_rotate(c, d, 1));
    ddt_circuit_output(c, "g", g);
    ddt_circuit_output(c, "w", w);
    status = ddt_circuit_status(c);
    if (status != DDT_OK) {
        ddt_circuit_destroy(c);
        return status;
    }
    *out = c;
    return DDT_OK;
}

static ddt_status write_and_read(ddt_context *ctx, const ddt_plan *plan, ddt_plan **out) {
    ddt_writer *writer = NULL;
    ddt_reader *reader = NULL;
    ddt_status status = ddt_writer_open(ctx, path, DDT_WIRE_PLAN, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_plan_write(writer, plan);
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    status = ddt_writer_commit(writer, NULL);
    if (status == DDT_OK) {
        status = ddt_reader_open(ctx, path, DDT_WIRE_PLAN, &reader);
    }
    if (status == DDT_OK) {
        status = ddt_plan_read(ctx, reader, out);
        ddt_reader_close(reader);
    }
    return status;
}

static ddt_status plan_life(ddt_context *ctx, ddt_plan **plan) {
    ddt_circuit *circuit = NULL;
    ddt_plan *made = NULL;
    double values[2][8] = {{0.1, 0.2, 0.3, 0.4, -0.1, -0.2, -0.3, -0.4}, {1, 0.5, 0.25, 0, 1, 0.5, 0.25, 0}};
    const double *inputs[2] = {values[0], values[1]};
    double results[3][8];
    double *outputs[3] = {results[0], results[1], results[2]};
    ddt_plan_request request = {.target_error = 1e-3, .insecure_for_testing = true};
    ddt_status status = build(ctx, &circuit);
    if (status == DDT_OK) {
        status = ddt_circuit_run_clear(ctx, circuit, inputs, true, outputs);
    }
    if (status == DDT_OK) {
        status = ddt_circuit_calibrate(ctx, circuit, inputs, NULL);
    }
    if (status == DDT_OK) {
        status = ddt_plan_create(ctx, circuit, &request, &made);
    }
    if (status == DDT_OK) {
        status = write_and_read(ctx, made, plan);
    }
    ddt_plan_destroy(made);
    ddt_circuit_destroy(circuit);
    return status;
}

/* Allocation i fails, for i = 0, 1, ... until the work succeeds. */
static void test_planning(void **state) {
    ddt_context *ctx = *state;
    bool finished = false;
    for (uint64_t i = 0; !finished; i++) {
        ddt_plan *plan = NULL;
        ddt_context_clear(ctx);
        (void)ddt_alloc_fail_after(i);
        ddt_status status = plan_life(ctx, &plan);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        finished = status == DDT_OK;
        if (!finished && (status != DDT_ERR_MEMORY || plan != NULL)) {
            fail_msg("allocation %llu: %s: %s", (unsigned long long)i, ddt_status_name(status), ddt_error_detail(ctx));
        }
        ddt_plan_destroy(plan);
        assert_true(i < 100000);
    }
}

static void test_running(void **state) {
    ddt_context *ctx = *state;
    ddt_plan *plan = NULL;
    test_keys keys;
    double values[2][8] = {{0.1, 0.2, 0.3, 0.4, -0.1, -0.2, -0.3, -0.4}, {1, 0.5, 0.25, 0, 1, 0.5, 0.25, 0}};
    double *inputs[2] = {values[0], values[1]};
    assert_ok(ctx, plan_life(ctx, &plan));
    test_keys_make(ctx, plan, &keys);
    ddt_ciphertext *in = test_encrypt(ctx, plan, &keys, 0, inputs);
    for (int threads = 1; threads <= 2; threads++) {
        bool finished = false;
        ddt_context_set_threads(ctx, threads);
        for (uint64_t i = 0; !finished; i++) {
            ddt_ciphertext out[3];
            ddt_context_clear(ctx);
            (void)ddt_alloc_fail_after(i);
            ddt_status status = ddt_plan_run(ctx, plan, keys.eval, 0, in, out);
            (void)ddt_alloc_fail_after(UINT64_MAX);
            finished = status == DDT_OK;
            for (size_t o = 0; o < 3; o++) {
                assert_true((out[o].limbs != NULL) == finished);
                ddt_ciphertext_destroy(&out[o]);
            }
            if (!finished && status != DDT_ERR_MEMORY) {
                fail_msg("allocation %llu: %s: %s", (unsigned long long)i, ddt_status_name(status),
                         ddt_error_detail(ctx));
            }
            assert_true(i < 10000);
        }
    }
    test_free_ciphertexts(in, 2);
    test_keys_free(&keys);
    ddt_plan_destroy(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_planning, clear_errors),
        cmocka_unit_test_setup(test_running, clear_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
