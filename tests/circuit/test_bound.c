/*
 * The worst case of a plan: never exceeded, of use for releases, and met by composite scaling where one prime a level
 * is too coarse.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "circuit_random.h"

enum { LANES = 3, BLOCK = 8, SLOTS = LANES * BLOCK };

/* The largest error of a run over slots that have a meaning. */
static double run_error(ddt_context *ctx, const random_circuit *r, ddt_plan *plan) {
    double **expected = test_rows(r->output_count, SLOTS);
    double **got = test_rows(r->output_count, SLOTS);
    test_keys keys;
    test_keys_make(ctx, plan, &keys);
    assert_ok(ctx, ddt_circuit_run_clear(ctx, r->circuit, TEST_CONST(r->inputs), false, expected));
    test_run(ctx, plan, &keys, r->inputs, got);
    double error = random_difference(r, got, expected);
    test_keys_free(&keys);
    test_free_rows(expected);
    test_free_rows(got);
    return error;
}

static void make_circuit(ddt_context *ctx, uint64_t seed, random_circuit *r) {
    random_circuit_make(ctx, r, seed, LANES, BLOCK, 12, 6);
    assert_ok(ctx, ddt_circuit_calibrate(ctx, r->circuit, TEST_CONST(r->inputs), NULL));
}

static void test_never_exceeded(void **state) {
    ddt_context *ctx = *state;
    for (uint64_t seed = 1; seed <= 25; seed++) {
        random_circuit r;
        ddt_plan *plan = NULL;
        ddt_plan_info info;
        ddt_plan_request request = {.target_error = 1e-4, .accept_error = 1.0, .insecure_for_testing = true};
        make_circuit(ctx, seed, &r);
        assert_ok(ctx, ddt_plan_create(ctx, r.circuit, &request, &plan));
        ddt_plan_get_info(plan, &info);
        double error = run_error(ctx, &r, plan);
        if (!(error <= info.noise_bound && info.predicted_error <= info.noise_bound &&
              info.noise_bound <= 0x1p24 * (error + 0x1p-48))) {
            fail_msg("seed %llu: error %.3g, predicted %.3g, bound %.3g", (unsigned long long)seed, error,
                     info.predicted_error, info.noise_bound);
        }
        ddt_plan_destroy(plan);
        random_circuit_free(&r);
    }
}

/* One prime a level where that will do, else two; and results to the last bits of doubles. */
static void test_targets(void **state) {
    ddt_context *ctx = *state;
    unsigned composite = 0;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        random_circuit r;
        ddt_plan *plan = NULL;
        ddt_plan_info info;
        double target = exp2(-10.0 - 1.5 * (double)seed);
        ddt_plan_request request = {.target_error = 1e-3, .insecure_for_testing = true, .bound_target = target};
        make_circuit(ctx, 100 + seed, &r);
        assert_ok(ctx, ddt_plan_create(ctx, r.circuit, &request, &plan));
        ddt_plan_get_info(plan, &info);
        assert_true(info.noise_bound <= target);
        double error = run_error(ctx, &r, plan);
        if (!(error <= info.noise_bound + 0x1p-44)) {
            fail_msg("seed %llu: error %.3g, bound %.3g", (unsigned long long)seed, error, info.noise_bound);
        }
        composite += info.literal.scale_primes == 2;
        if (info.literal.scale_primes == 2) {
            assert_int_equal(info.literal.levels, 2 * info.depth + 1);
            assert_int_equal(ddt_plan_get_output(plan, 0).level, 1);
        }
        ddt_plan_destroy(plan);
        random_circuit_free(&r);
    }
    assert_true(composite >= 8 && composite <= 20);
}

/* Secure plans of both kinds, batches and keys included; what cannot be met is said. */
static void test_secure(void **state) {
    ddt_context *ctx = *state;
    static const double targets[] = {1e-3, 1e-12, 1e-60};
    for (size_t i = 0; i < 3; i++) {
        random_circuit r;
        ddt_plan *plan = NULL;
        ddt_plan_request request = {.bound_target = targets[i]};
        make_circuit(ctx, 300, &r);
        ddt_status status = ddt_plan_create(ctx, r.circuit, &request, &plan);
        if (i == 2) {
            assert_int_equal(status, DDT_ERR_CAPACITY);
            assert_non_null(strstr(ddt_error_detail(ctx), "bounded"));
            assert_null(plan);
        } else {
            assert_ok(ctx, status);
            assert_int_equal(plan->literal.scale_primes == 2, i == 1);
            assert_true(ddt_plan_get_key(plan, 0).top_level <= plan->literal.levels);
        }
        ddt_plan_destroy(plan);
        random_circuit_free(&r);
        ddt_context_clear(ctx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_never_exceeded, clear_errors),
        cmocka_unit_test_setup(test_targets, clear_errors),
        cmocka_unit_test_setup(test_secure, clear_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
