/* Chebyshev polynomials of every degree against direct evaluation. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"

enum { DEGREE_MAX = 255 };

static double clenshaw(const double *c, unsigned degree, double x) {
    double b1 = 0.0;
    double b2 = 0.0;
    for (unsigned k = degree; k > 0; k--) {
        const double b = c[k] + 2.0 * x * b1 - b2;
        b2 = b1;
        b1 = b;
    }
    return c[0] + x * b1 - b2;
}

static void real_message(size_t count, double complex *out) {
    for (size_t j = 0; j < count; j++) {
        out[j] = test_uniform();
    }
    out[0] = -1.0;
    out[1] = 1.0;
    out[2] = 0.0;
}

static void expected_values(const test_scheme *t, const double *c, unsigned degree, const double complex *x,
                            double complex *out) {
    for (size_t j = 0; j < t->slots; j++) {
        out[j] = clenshaw(c, degree, creal(x[j]));
    }
}

/* kind 0: random; 1: odd terms only; 2: even terms only; 3: one term; 4: zero beyond the constant. Sum of magnitudes at
 * most 1. */
static void random_coefficients(unsigned kind, unsigned degree, double *c) {
    for (unsigned k = 0; k <= degree; k++) {
        const bool keep = kind == 0 || (kind == 1 && k % 2 == 1) || (kind == 2 && k % 2 == 0) ||
                          (kind == 3 && k == degree) || (kind == 4 && k == 0);
        c[k] = keep ? test_uniform() / (double)(degree + 1) : 0.0;
    }
}

/* The argument's noise grows with the derivative of T_k, up to k^2 at the ends, weighted by coefficients near 1 / k. */
static double bound_at(const ddt_ciphertext *out, unsigned degree) { return ldexp(degree + 3, 12) / out->scale; }

static double tightest;
static double loosest;

static void check(test_scheme *t, const ddt_ciphertext *cx, const double complex *x, unsigned degree, unsigned kind) {
    double c[DEGREE_MAX + 1];
    double complex *expected = test_slots(t);
    const double *coefficients = c;
    const unsigned depth = ddt_ckks_polynomial_depth(degree);
    ddt_ciphertext out;
    ddt_ciphertext *outs = &out;
    random_coefficients(kind, degree, c);
    assert_ok(t->ctx, ddt_ciphertext_create(t->ctx, t->params, cx->level - depth, 2, &out));
    assert_ok(t->ctx, ddt_eval_chebyshev(t->ev, cx, &coefficients, &degree, 1, &outs));
    assert_int_equal(out.level, cx->level - depth);
    assert_true(out.scale == ddt_ckks_canonical_scale(t->params, out.level));
    expected_values(t, c, degree, x, expected);
    const double error = test_error(t, &out, expected);
    assert_error_below(error, bound_at(&out, degree));
    /* The worst case, and not by far: errors of powers are added with all their weights. */
    enum { TAIL_BITS = 40 };
    const double fresh = ddt_ckks_bound_fresh_secret(t->params, 1.0, cx->scale, TAIL_BITS);
    const double bound = ddt_ckks_bound_chebyshev(t->params, cx->level, cx->scale, c, degree, fresh, TAIL_BITS);
    assert_error_below(error, bound);
    tightest = fmax(tightest, error / bound);
    loosest = fmax(loosest, bound / (bound_at(&out, degree)));
    ddt_ciphertext_destroy(&out);
    ddt_free(expected);
}

static void every_degree(void **state) {
    (void)state;
    const ddt_ckks_literal literal = {10, 8, 50, 45, 3};
    test_scheme t;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    double complex *x = test_slots(&t);
    ddt_ciphertext cx;
    real_message(t.slots, x);
    test_encrypt(&t, x, 8, &cx);
    for (unsigned degree = 1; degree <= 63; degree++) {
        check(&t, &cx, x, degree, degree % 5);
        check(&t, &cx, x, degree, 0);
    }
    const unsigned large[] = {64, 100, 127, 128, 200, 255};
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
        check(&t, &cx, x, large[i], (unsigned)i % 3);
    }
    /* Exactly as many levels as the depth. */
    ddt_ciphertext_destroy(&cx);
    test_encrypt(&t, x, 5, &cx);
    check(&t, &cx, x, 31, 0);
    ddt_ciphertext out;
    ddt_ciphertext *outs = &out;
    const double zero[64] = {0};
    const double *coefficients = zero;
    const unsigned degree = 63;
    assert_ok(t.ctx, ddt_ciphertext_create(t.ctx, t.params, 5, 2, &out));
    print_message("largest error 2^%.1f of its worst case; worst cases up to 2^%.1f of the usual error\n",
                  log2(tightest), log2(loosest));
    assert_true(isinf(ddt_ckks_bound_chebyshev(t.params, 5, cx.scale, zero, 63, 0.0, 0)));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_eval_chebyshev(t.ev, &cx, &coefficients, &degree, 1, &outs));
    ddt_ciphertext_destroy(&out);
    ddt_ciphertext_destroy(&cx);
    ddt_free(x);
    test_scheme_destroy(&t);
}

static void several_at_once(void **state) {
    (void)state;
    enum { COUNT = 3 };
    const ddt_ckks_literal literal = {11, 7, 50, 40, 2};
    const unsigned degrees[COUNT] = {15, 7, 40};
    double c[COUNT][DEGREE_MAX + 1];
    const double *coefficients[COUNT] = {c[0], c[1], c[2]};
    ddt_ciphertext out[COUNT];
    ddt_ciphertext *outs[COUNT] = {&out[0], &out[1], &out[2]};
    ddt_ciphertext cx;
    test_scheme t;
    test_scheme_create(&t, &literal, NULL, 0, 2);
    double complex *x = test_slots(&t);
    double complex *expected = test_slots(&t);
    real_message(t.slots, x);
    /* A scale near the canonical one is allowed. */
    test_encrypt_at(&t, x, 7, 1.01 * ddt_ckks_canonical_scale(t.params, 7), &cx);
    for (size_t i = 0; i < COUNT; i++) {
        random_coefficients(0, degrees[i], c[i]);
        assert_ok(t.ctx, ddt_ciphertext_create(t.ctx, t.params, 7, 2, &out[i]));
    }
    assert_ok(t.ctx, ddt_eval_chebyshev(t.ev, &cx, coefficients, degrees, COUNT, outs));
    for (size_t i = 0; i < COUNT; i++) {
        expected_values(&t, c[i], degrees[i], x, expected);
        assert_int_equal(out[i].level, 7 - ddt_ckks_polynomial_depth(degrees[i]));
        assert_true(out[i].scale == ddt_ckks_canonical_scale(t.params, out[i].level));
        assert_error_below(test_error(&t, &out[i], expected), bound_at(&out[i], degrees[i]));
        ddt_ciphertext_destroy(&out[i]);
    }
    ddt_ciphertext_destroy(&cx);
    ddt_free(x);
    ddt_free(expected);
    test_scheme_destroy(&t);
}

static void depths(void **state) {
    (void)state;
    const unsigned expected[][2] = {{1, 1}, {2, 2},  {3, 2},  {4, 3},  {7, 3},
                                    {8, 4}, {15, 4}, {31, 5}, {63, 6}, {255, 8}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_int_equal(ddt_ckks_polynomial_depth(expected[i][0]), expected[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_degree),
        cmocka_unit_test(several_at_once),
        cmocka_unit_test(depths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
