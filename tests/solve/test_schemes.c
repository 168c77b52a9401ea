/*
 * The approximations of the exponential: accurate on the interval they were made for, for numbers and for matrices with
 * clustered and defective eigenvalues.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"
#include "solve_test.h"

/* Best possible is 1e-6 by construction, but for the Taylor polynomial, which is only stable over its reach. */
static double scheme_bar(const solve_scheme *scheme) { return scheme->steps == 2 ? 1.0 : 1.1e-6; }

static void test_numbers(void **state) {
    (void)state;
    enum { POINTS = 20001 };
    for (size_t k = 0; k < solve_scheme_count; k++) {
        const solve_scheme *scheme = solve_schemes[k];
        solve_exponential e = {.scheme = scheme};
        double scratch[4];
        double worst = 0.0;
        for (int j = 0; j < POINTS; j++) {
            double z = -scheme->reach * pow((double)j / (POINTS - 1), 3.0);
            double found = 0.0;
            solve_scheme_run(&e, &z, 1, 1.0, scratch, &found);
            worst = fmax(worst, fabs(found - exp(z)));
        }
        print_message("%u products: reach %g, error %.2e\n", scheme->steps, scheme->reach, worst);
        assert_true(worst <= scheme_bar(scheme));
    }
}

static void test_taylor(void **state) {
    (void)state;
    double scratch[4];
    double found = 0.0;
    for (double z = -0.5; z < 0.5; z += 0.01) {
        solve_exponential e = {.scheme = solve_schemes[0], .squarings = 6};
        solve_scheme_run(&e, &z, 1, 1.0, scratch, &found);
        assert_true(fabs(found - exp(z)) < 1e-10);
    }
}

/* Chains of equal rates are defective: the exponential has entries (k t)^j exp(-k t) / j!. */
static void test_chain(void **state) {
    (void)state;
    enum { N = 4 };
    double a[N * N] = {0};
    double scratch[4 * N * N];
    double found[N * N];
    double exact[N * N];
    for (size_t i = 0; i < N; i++) {
        a[i * N + i] = -1.0;
        if (i > 0) {
            a[i * N + i - 1] = 1.0;
        }
    }
    for (double t = 0.01; t < 500.0; t *= 1.5) {
        solve_expm(a, N, t, scratch, exact);
        double power = exp(-t);
        for (size_t j = 0; j < N; j++) {
            assert_true(fabs(exact[j * N] - power) <= 1e-13);
            power *= t / (double)(j + 1);
        }
        solve_exponential e = {.scheme = solve_schemes[0], .squarings = 10};
        solve_scheme_run(&e, a, N, t, scratch, found);
        for (size_t i = 0; i < N * N; i++) {
            assert_true(fabs(found[i] - exact[i]) < 1e-7);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_taylor),
        cmocka_unit_test(test_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
