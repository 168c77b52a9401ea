/*
 * The worst case of a plan: never exceeded, of use for releases, and met by composite scaling where one prime a level
 * is too coarse.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "circuit_random.h"

#include "ddt/ckks/bound.h"

enum { LANES = 3, BLOCK = 8, SLOTS = LANES * BLOCK, PACK_LOG_N = 10 };

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
        ddt_plan_request request = {.target_error = 1e-4,
                                    .accept_error = 1.0,
                                    .insecure_for_testing = true,
                                    .pack_log_n = seed % 2 == 0 ? 0 : PACK_LOG_N};
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
        double target = exp2(-10.0 - 1.25 * (double)seed);
        ddt_plan_request request = {.target_error = 1e-3,
                                    .insecure_for_testing = true,
                                    .bound_target = target,
                                    .pack_log_n = seed % 3 == 0 ? 0 : PACK_LOG_N};
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

/*
 * Sensitivities that are known: a sum over the block has 64 times the input's noise, and that of each key switch
 * times the number of slots it reaches. The bound is an estimate from above, with a margin.
 */
static void test_sum(void **state) {
    ddt_context *ctx = *state;
    enum { COUNT = 64, VALUES = LANES * COUNT };
    const unsigned tail_bits = 128;
    uint64_t random = 5;
    double **in = test_random_rows(&random, 1, VALUES, 1.0);
    ddt_circuit *c = NULL;
    ddt_plan *plan = NULL;
    ddt_plan_info info;
    const ddt_ckks_params *params = NULL;
    assert_ok(ctx, ddt_circuit_create(ctx, LANES, COUNT, &c));
    ddt_circuit_output(c, "y", ddt_circuit_sum(c, ddt_circuit_input(c, "x", 1.0), 1, COUNT));
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
    assert_ok(ctx, ddt_plan_create(ctx, c, &(ddt_plan_request){.insecure_for_testing = true}, &plan));
    assert_ok(ctx, ddt_plan_params(ctx, plan, &params));
    ddt_plan_get_info(plan, &info);
    const double scale = ddt_ckks_canonical_scale(params, 0);
    const double exact = COUNT * ddt_ckks_bound_fresh_secret(params, 0.0, scale, tail_bits) +
                         (COUNT - 1) * ddt_ckks_bound_key_switch(params, 0, scale, tail_bits);
    const double ratio = info.noise_bound / exact;
    if (!(ratio >= 8.0 && ratio <= 48.0)) {
        fail_msg("bound %.3g, sensitivities times noise %.3g", info.noise_bound, exact);
    }
    ddt_plan_destroy(plan);
    ddt_circuit_destroy(c);
    test_free_rows(in);
}

/* A matrix whose columns sum to 1, squared ten times. */
static ddt_circuit *squarings(ddt_context *ctx) {
    enum { SQUARINGS = 10 };
    const double step = 1.0 / 512;
    ddt_circuit *c = NULL;
    ddt_node m[2][2];
    assert_ok(ctx, ddt_circuit_create(ctx, LANES, BLOCK, &c));
    const ddt_node rate[2] = {ddt_circuit_input(c, "out", 1.0), ddt_circuit_input(c, "back", 1.0)};
    for (size_t j = 0; j < 2; j++) {
        m[j][j] = ddt_circuit_affine(c, &rate[j], (double[]){-step}, 1, 1.0);
        m[1 - j][j] = ddt_circuit_affine(c, &rate[j], (double[]){step}, 1, 0.0);
    }
    for (size_t s = 0; s < SQUARINGS; s++) {
        ddt_node square[2][2];
        for (size_t i = 0; i < 4; i++) {
            const ddt_node left[2] = {m[i / 2][0], m[i / 2][1]};
            const ddt_node right[2] = {m[0][i % 2], m[1][i % 2]};
            square[i / 2][i % 2] = ddt_circuit_dot(c, left, right, 2);
        }
        memcpy(m, square, sizeof m);
    }
    ddt_circuit_output(c, "stays", m[0][0]);
    ddt_circuit_output(c, "goes", m[1][0]);
    return c;
}

/* It is stable, and so is the bound: absolute values step by step would grow by 2^20. */
static void test_squarings(void **state) {
    ddt_context *ctx = *state;
    uint64_t random = 6;
    double **in = test_random_rows(&random, 2, SLOTS, 1.0);
    double **expected = test_rows(2, SLOTS);
    double **got = test_rows(2, SLOTS);
    ddt_circuit *c = squarings(ctx);
    ddt_plan *plan = NULL;
    ddt_plan_info info;
    ddt_plan_request request = {.target_error = 1e-4, .insecure_for_testing = true};
    for (size_t i = 0; i < SLOTS; i++) {
        in[0][i] = 0.5 + 0.5 * fabs(in[0][i]);
        in[1][i] = 0.5 + 0.5 * fabs(in[1][i]);
    }
    assert_ok(ctx, ddt_circuit_run_clear(ctx, c, TEST_CONST(in), false, expected));
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
    assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
    ddt_plan_get_info(plan, &info);
    test_keys keys;
    test_keys_make(ctx, plan, &keys);
    test_run(ctx, plan, &keys, in, got);
    const double error = test_max_difference(got, expected, 2, SLOTS);
    if (!(error <= info.noise_bound && info.noise_bound <= 0x1p15 * info.predicted_error)) {
        fail_msg("error %.3g, predicted %.3g, bound %.3g", error, info.predicted_error, info.noise_bound);
    }
    test_keys_free(&keys);
    ddt_plan_destroy(plan);
    ddt_circuit_destroy(c);
    test_free_rows(in);
    test_free_rows(expected);
    test_free_rows(got);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_never_exceeded, clear_errors), cmocka_unit_test_setup(test_sum, clear_errors),
        cmocka_unit_test_setup(test_squarings, clear_errors),      cmocka_unit_test_setup(test_targets, clear_errors),
        cmocka_unit_test_setup(test_secure, clear_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
