/* What the planner says where nothing fits: the cause, with numbers that show it. SPDX-License-Identifier: Apache-2.0 */
#include "circuit_test.h"
#include "obstacle.h"
#include "refresh_circuits.h"

/* Of two obstacles the nearer one stays, in whatever order they come. */
static void test_nearest(void **state) {
    (void)state;
    static const obstacle ordered[] = {
        {.kind = OBSTACLE_NONE},
        {.kind = OBSTACLE_BLOCK, .amount = 4096},
        {.kind = OBSTACLE_CUTS, .depth = 4, .amount = -4},
        {.kind = OBSTACLE_CUTS, .depth = 9, .amount = -9},
        {.kind = OBSTACLE_PRIMES, .amount = 70},
        {.kind = OBSTACLE_PRIMES, .amount = 62},
        {.kind = OBSTACLE_MODULUS, .amount = 2000, .allowed = 868},
        {.kind = OBSTACLE_MODULUS, .amount = 2200, .allowed = 1747},
        {.kind = OBSTACLE_HEADROOM, .amount = 60},
        {.kind = OBSTACLE_CUTS, .refreshes = true, .depth = 3, .amount = -3},
        {.kind = OBSTACLE_MODULUS, .refreshes = true, .amount = 1800, .allowed = 1747},
        {.kind = OBSTACLE_KEYS, .refreshes = true, .amount = 0x1p34},
        {.kind = OBSTACLE_KEYS, .refreshes = true, .amount = 0x1p33 + 1.0},
    };
    const size_t count = sizeof ordered / sizeof ordered[0];
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            obstacle nearest = ordered[i];
            obstacle_note(&nearest, &ordered[j]);
            const obstacle *wanted = &ordered[i > j ? i : j];
            assert_int_equal(nearest.kind, wanted->kind);
            assert_true(nearest.amount == wanted->amount && nearest.refreshes == wanted->refreshes);
        }
    }
}

/* Each cause has its own sentence, and it names the number that is too large. */
static void test_sentences(void **state) {
    ddt_context *ctx = *state;
    static const struct {
        obstacle o;
        const char *says;
    } cases[] = {
        {{.kind = OBSTACLE_BLOCK, .log_n = 12, .amount = 4096}, "4096 slots"},
        {{.kind = OBSTACLE_PRIMES, .depth = 47, .boot = 15, .amount = 63}, "63 primes"},
        {{.kind = OBSTACLE_CUTS, .log_n = 16, .depth = 11}, "at most 11 levels"},
        {{.kind = OBSTACLE_HEADROOM, .scale = 45, .amount = 30}, "30 bits above"},
        {{.kind = OBSTACLE_MODULUS, .depth = 6, .log_n = 12, .scale = 30, .amount = 300, .allowed = 106}, "300 bits"},
        {{.kind = OBSTACLE_KEYS, .depth = 20, .log_n = 17, .scale = 40, .amount = 0x1.2p33}, "9.0 GiB"},
        {{.kind = OBSTACLE_NONE}, "no parameters"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(obstacle_fail(ctx, &cases[i].o, 7.0, 0x1p33), DDT_ERR_CAPACITY);
        if (strstr(ddt_error_detail(ctx), cases[i].says) == NULL) {
            fail_msg("'%s' does not say '%s'", ddt_error_detail(ctx), cases[i].says);
        }
        ddt_context_clear(ctx);
    }
}

/* Plans of chains of squarings that do not fit: the modulus that is wanted is above the one that is allowed. */
static void test_modulus(void **state) {
    ddt_context *ctx = *state;
    for (unsigned log_n = 12; log_n <= 14; log_n++) {
        ddt_circuit *c = refresh_chains(ctx, 20, 1, 0.0);
        double **in = refresh_inputs(1);
        ddt_plan *plan = NULL;
        unsigned wanted = 0;
        unsigned allowed = 0;
        assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
        assert_int_equal(ddt_plan_create(ctx, c, &(ddt_plan_request){.log_n = log_n, .target_error = 1e-2}, &plan),
                         DDT_ERR_CAPACITY);
        const char *bits = strstr(ddt_error_detail(ctx), "about ");
        const char *most = strstr(ddt_error_detail(ctx), "secure up to ");
        assert_true(bits != NULL && sscanf(bits, "about %u bits", &wanted) == 1);
        assert_true(most != NULL && sscanf(most, "secure up to %u", &allowed) == 1);
        assert_int_equal(allowed, ddt_ckks_max_log_qp(log_n));
        assert_true(wanted > allowed);
        ddt_context_clear(ctx);
        test_free_rows(in);
        ddt_circuit_destroy(c);
    }
}

/* Outputs that no prime holds are the cause, not the modulus. */
static void test_headroom(void **state) {
    ddt_context *ctx = *state;
    ddt_circuit *c = NULL;
    double values[1] = {1e29};
    const double *inputs[1] = {values};
    ddt_plan *plan = NULL;
    assert_ok(ctx, ddt_circuit_create(ctx, 1, 1, &c));
    ddt_circuit_output(c, "large", ddt_circuit_input(c, "x", 1e30));
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, inputs, NULL));
    assert_int_equal(ddt_plan_create(ctx, c, &(ddt_plan_request){.scale_bits = 40}, &plan), DDT_ERR_CAPACITY);
    if (strstr(ddt_error_detail(ctx), "lowest primes") == NULL) {
        fail_msg("%s", ddt_error_detail(ctx));
    }
    ddt_circuit_destroy(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nearest, clear_errors),
        cmocka_unit_test_setup(test_sentences, clear_errors),
        cmocka_unit_test_setup(test_modulus, clear_errors),
        cmocka_unit_test_setup(test_headroom, clear_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
