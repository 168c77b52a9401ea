/*
 * A secure plan that refreshes, from end to end at ring degree 2^16. It takes a minute and 4 GiB.
 *
 * label: long
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "refresh_circuits.h"

static void test_secure_run(void **state) {
    enum { STEPS = 60, CHAINS = 2 };
    ddt_context *ctx = *state;
    ddt_circuit *c = refresh_chains(ctx, STEPS, CHAINS, 1.0);
    double **in = refresh_inputs(CHAINS);
    double **expected = test_rows(CHAINS, REFRESH_SLOTS);
    double **got = test_rows(CHAINS, REFRESH_SLOTS);
    ddt_plan_request request = {.target_error = 1e-4, .log_n = 16};
    ddt_plan *plan = NULL;
    assert_ok(ctx, ddt_circuit_run_clear(ctx, c, TEST_CONST(in), false, expected));
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
    assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
    ddt_plan_info info;
    ddt_plan_get_info(plan, &info);
    assert_int_equal(info.security_bits, 128);
    assert_true(info.bootstraps > 0);
    test_keys keys;
    double start = ddt_clock_s();
    test_keys_make(ctx, plan, &keys);
    double made = ddt_clock_s();
    test_run(ctx, plan, &keys, in, got);
    double ran = ddt_clock_s();
    double error = test_max_difference(got, expected, CHAINS, REFRESH_SLOTS);
    print_message("2^%u, %u levels of %u bits, %u bootstraps: keys %.1f s, run %.1f s on %d threads (predicted %.1f on "
                  "one), error %.2g, predicted %.2g\n",
                  info.literal.log_n, info.depth, info.literal.scale_bits, info.bootstraps, made - start, ran - made,
                  ddt_context_threads(ctx), info.predicted_seconds, error, info.predicted_error);
    assert_true(error <= info.predicted_error);
    test_keys_free(&keys);
    test_free_rows(in);
    test_free_rows(expected);
    test_free_rows(got);
    ddt_plan_destroy(plan);
    ddt_circuit_destroy(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_secure_run)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
