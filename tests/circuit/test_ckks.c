/*
 * Circuits under CKKS: decrypted values against the clear run, within the predicted error.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "circuit_test.h"

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
    ddt_node affine =
        ddt_circuit_affine(circuit, (ddt_node[]){x, y, product}, (double[]){0.5, -2.0, 0.25}, 3, 0.75);
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

static int setup(void **state) { return ddt_context_create((ddt_context **)state) == DDT_OK ? 0 : -1; }
static int clear_errors(void **state) {
    ddt_context_clear(*state);
    return 0;
}
static int teardown(void **state) {
    ddt_context_destroy(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one_of_each, clear_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
