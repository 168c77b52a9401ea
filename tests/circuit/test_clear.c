/*
 * Building and running in the clear: known answers, folding, sharing, errors, and random circuits against direct
 * arithmetic.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "circuit_random.h"

static void test_random_circuits(void **state) {
    ddt_context *ctx = *state;
    static const size_t shapes[][2] = {{1, 1}, {1, 64}, {7, 8}, {3, 1}, {300, 16}};
    for (uint64_t seed = 1; seed <= 200; seed++) {
        const size_t *shape = shapes[seed % (sizeof shapes / sizeof *shapes)];
        random_circuit r;
        random_circuit_make(ctx, &r, seed, shape[0], shape[1], 30, 30);
        double **got = test_rows(r.output_count, r.slots);
        assert_ok(ctx, ddt_circuit_run_clear(ctx, r.circuit, TEST_CONST(r.inputs), true, got));
        double error = random_error(&r, got);
        if (!(error <= 1e-9)) {
            fail_msg("seed %llu: %g", (unsigned long long)seed, error);
        }
        test_free_rows(got);
        random_circuit_free(&r);
    }
}

static void test_folding_and_sharing(void **state) {
    ddt_context *ctx = *state;
    ddt_circuit *c = NULL;
    assert_ok(ctx, ddt_circuit_create(ctx, 2, 4, &c));
    ddt_node x = ddt_circuit_input(c, "x", 1.0);
    ddt_node y = ddt_circuit_input(c, "y", 1.0);
    const double values[8] = {1, 2, 3, 4, 1, 2, 3, 4};
    const double per_lane[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    ddt_node v = ddt_circuit_public(c, values);
    ddt_node u = ddt_circuit_public(c, per_lane);
    ddt_node two = ddt_circuit_constant(c, 2.0);
    assert_int_equal(ddt_circuit_constant(c, 2.0), two);
    assert_int_equal(ddt_circuit_public(c, values), v);
    assert_int_equal(ddt_circuit_public(c, (double[8]){2, 2, 2, 2, 2, 2, 2, 2}), two);
    assert_true(ddt_circuit_is_public(c, ddt_circuit_mul(c, u, v)));
    assert_true(ddt_circuit_is_public(c, ddt_circuit_rotate(c, v, 1)));
    assert_true(ddt_circuit_is_public(c, ddt_circuit_sum(c, u, 1, 4)));
    assert_false(ddt_circuit_is_public(c, ddt_circuit_mul(c, x, v)));
    assert_int_equal(ddt_circuit_mul(c, x, y), ddt_circuit_mul(c, y, x));
    assert_int_equal(ddt_circuit_add(c, x, y), ddt_circuit_add(c, y, x));
    assert_int_equal(ddt_circuit_sub(c, ddt_circuit_add(c, x, y), y), ddt_circuit_sub(c, ddt_circuit_add(c, x, y), y));
    assert_int_equal(ddt_circuit_neg(c, ddt_circuit_neg(c, x)), x);
    assert_int_equal(ddt_circuit_mul(c, x, ddt_circuit_constant(c, 1.0)), x);
    assert_int_equal(ddt_circuit_rotate(c, x, 0), x);
    assert_int_equal(ddt_circuit_dot(c, NULL, NULL, 0), ddt_circuit_constant(c, 0.0));
    assert_int_equal(ddt_circuit_sub(c, x, x), ddt_circuit_constant(c, 0.0));
    assert_int_equal(ddt_circuit_mul(c, ddt_circuit_neg(c, x), ddt_circuit_neg(c, y)), ddt_circuit_mul(c, x, y));
    /* 2 (3 x + 1) = 6 x + 2 is one node over x. */
    ddt_node inner = ddt_circuit_affine(c, &x, (double[]){3.0}, 1, 1.0);
    ddt_node outer = ddt_circuit_affine(c, &inner, (double[]){2.0}, 1, 0.0);
    assert_int_equal(outer, ddt_circuit_affine(c, &x, (double[]){6.0}, 1, 2.0));
    assert_ok(ctx, ddt_circuit_status(c));
    ddt_circuit_destroy(c);
}

static double square(double x, const void *user) {
    (void)user;
    return x * x;
}
static double saturate(double x, const void *user) { return x / (*(const double *)user + x); }
static double line(double x, const void *user) {
    (void)user;
    return 3.0 - 2.0 * x;
}
static double pole(double x, const void *user) {
    (void)user;
    return 1.0 / x;
}
static double steep(double x, const void *user) {
    (void)user;
    return tanh(1e4 * x);
}

/* The error that is reported is the error there is, and the exact run has none. */
static void test_functions(void **state) {
    ddt_context *ctx = *state;
    ddt_circuit *c = NULL;
    enum { BLOCK = 1024 };
    const double k = 0.7;
    assert_ok(ctx, ddt_circuit_create(ctx, 1, BLOCK, &c));
    ddt_node x = ddt_circuit_input(c, "x", 5.0);
    double errors[4];
    ddt_circuit_output(c, "square", ddt_circuit_function(c, x, 0.0, 5.0, square, NULL, 1e-9, &errors[0]));
    ddt_circuit_output(c, "coarse", ddt_circuit_function(c, x, 0.0, 5.0, saturate, &k, 1e-2, &errors[1]));
    ddt_circuit_output(c, "fine", ddt_circuit_function(c, x, 0.0, 5.0, saturate, &k, 1e-7, &errors[2]));
    ddt_circuit_output(c, "line", ddt_circuit_function(c, x, 0.0, 5.0, line, NULL, 1e-9, &errors[3]));
    double fold_error = 1.0;
    ddt_node folded = ddt_circuit_function(c, ddt_circuit_constant(c, 2.0), 0.0, 5.0, saturate, &k, 1e-2, &fold_error);
    assert_true(ddt_circuit_is_public(c, folded) && fold_error == 0.0);
    ddt_circuit_output(c, "folded", folded);
    assert_ok(ctx, ddt_circuit_status(c));
    double **in = test_rows(1, BLOCK);
    double **approximate = test_rows(5, BLOCK);
    double **exact = test_rows(5, BLOCK);
    for (size_t s = 0; s < BLOCK; s++) {
        in[0][s] = 5.0 * (double)s / (BLOCK - 1);
    }
    assert_ok(ctx, ddt_circuit_run_clear(ctx, c, TEST_CONST(in), false, approximate));
    assert_ok(ctx, ddt_circuit_run_clear(ctx, c, TEST_CONST(in), true, exact));
    for (size_t o = 0; o < 4; o++) {
        double worst = test_max_difference(&approximate[o], &exact[o], 1, BLOCK);
        assert_true(worst <= errors[o] * 1.0001 + 1e-12);
        assert_true(worst >= errors[o] * 0.5 - 1e-12);
    }
    assert_true(errors[1] <= 1e-2 && errors[1] > 1e-5);
    assert_true(errors[2] <= 1e-7);
    assert_true(fabs(exact[2][BLOCK - 1] - 5.0 / 5.7) < 1e-14);
    assert_true(fabs(approximate[4][3] - 2.0 / 2.7) < 1e-14);
    uint64_t violations = 1;
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), &violations));
    assert_int_equal(violations, 0);
    in[0][10] = 5.1;
    in[0][20] = -0.1;
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), &violations));
    assert_int_equal(violations, 2);
    assert_true(ddt_circuit_node_max(c, x) == 5.1);
    test_free_rows(in);
    test_free_rows(approximate);
    test_free_rows(exact);
    ddt_circuit_destroy(c);
}

/* Each bad call leaves its own cause, and nothing works after it. */
static void bad_operand(ddt_circuit *c, ddt_node x) { (void)ddt_circuit_add(c, x, DDT_NODE_NONE); }
static void bad_rotation(ddt_circuit *c, ddt_node x) { (void)ddt_circuit_rotate(c, x, 8); }
static void bad_sum(ddt_circuit *c, ddt_node x) { (void)ddt_circuit_sum(c, x, 1, 3); }
static void bad_degree(ddt_circuit *c, ddt_node x) {
    double zero[300] = {0};
    (void)ddt_circuit_chebyshev(c, x, zero, 256);
}
static void bad_constant(ddt_circuit *c, ddt_node x) { (void)ddt_circuit_affine(c, &x, (double[]){NAN}, 1, 0.0); }
static void bad_public(ddt_circuit *c, ddt_node x) {
    (void)x;
    double values[16] = {INFINITY};
    (void)ddt_circuit_public(c, values);
}
static void bad_range(ddt_circuit *c, ddt_node x) {
    (void)ddt_circuit_function(c, x, 1.0, 1.0, square, NULL, 1e-3, NULL);
}
static void bad_pole(ddt_circuit *c, ddt_node x) { (void)ddt_circuit_function(c, x, 0.0, 1.0, pole, NULL, 1e-3, NULL); }
static void bad_steep(ddt_circuit *c, ddt_node x) {
    (void)ddt_circuit_function(c, x, -1.0, 1.0, steep, NULL, 1e-6, NULL);
}
static void bad_name(ddt_circuit *c, ddt_node x) {
    (void)x;
    (void)ddt_circuit_input(c, "x", 1.0);
}
static void bad_output(ddt_circuit *c, ddt_node x) {
    ddt_circuit_output(c, "o", x);
    ddt_circuit_output(c, "o", x);
}
static void bad_bound(ddt_circuit *c, ddt_node x) {
    (void)x;
    (void)ddt_circuit_input(c, "z", 0.0);
}

static void test_errors(void **state) {
    ddt_context *ctx = *state;
    static const struct {
        void (*call)(ddt_circuit *c, ddt_node x);
        ddt_status status;
    } cases[] = {
        {bad_operand, DDT_ERR_ARGUMENT}, {bad_rotation, DDT_ERR_ARGUMENT}, {bad_sum, DDT_ERR_ARGUMENT},
        {bad_degree, DDT_ERR_ARGUMENT},  {bad_constant, DDT_ERR_RANGE},    {bad_public, DDT_ERR_RANGE},
        {bad_range, DDT_ERR_ARGUMENT},   {bad_pole, DDT_ERR_UNSUPPORTED},  {bad_steep, DDT_ERR_UNSUPPORTED},
        {bad_name, DDT_ERR_ARGUMENT},    {bad_output, DDT_ERR_ARGUMENT},   {bad_bound, DDT_ERR_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ddt_circuit *c = NULL;
        ddt_context_clear(ctx);
        assert_ok(ctx, ddt_circuit_create(ctx, 2, 8, &c));
        ddt_node x = ddt_circuit_input(c, "x", 1.0);
        assert_ok(ctx, ddt_circuit_status(c));
        cases[i].call(c, x);
        assert_int_equal(ddt_circuit_status(c), cases[i].status);
        assert_int_equal(ddt_error_status(ctx), cases[i].status);
        assert_true(strlen(ddt_error_detail(ctx)) > 20);
        assert_int_equal(ddt_circuit_add(c, x, x), DDT_NODE_NONE);
        double *rows[1] = {NULL};
        assert_int_equal(ddt_circuit_run_clear(ctx, c, TEST_CONST(rows), false, rows), cases[i].status);
        ddt_circuit_destroy(c);
    }
    ddt_circuit *none = NULL;
    assert_int_equal(ddt_circuit_create(ctx, 1, 3, &none), DDT_ERR_ARGUMENT);
    assert_int_equal(ddt_circuit_create(ctx, 0, 4, &none), DDT_ERR_ARGUMENT);
    assert_int_equal(ddt_circuit_create(ctx, 1, (size_t)1 << 17, &none), DDT_ERR_ARGUMENT);
    assert_null(none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_random_circuits, clear_errors),
        cmocka_unit_test_setup(test_folding_and_sharing, clear_errors),
        cmocka_unit_test_setup(test_functions, clear_errors),
        cmocka_unit_test_setup(test_errors, clear_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
