/*
 * What bootstrapping's parameters rest on, in the clear: how probable a quotient beyond the range is, and what the
 * polynomials leave. SPDX-License-Identifier: Apache-2.0
 */
#include "ckks/support.h"

#include "bootstrap_internal.h"

/* boot_log2_tail by sampling, where the probability is not too small. */
static double log2_sampled_tail(unsigned n, double bound, unsigned trials) {
    unsigned hits = 0;
    for (unsigned i = 0; i < trials; i++) {
        double sum = 0.0;
        for (unsigned k = 0; k < n; k++) {
            sum += 0.5 * test_uniform();
        }
        hits += sum > bound ? 1 : 0;
    }
    return log2((double)hits / trials);
}

/*
 * A coefficient of c0 + c1 s', divided by q_0, is a sum of 1 + 32 numbers of [-1/2, 1/2]; with c uniform they are
 * uniform and independent. The modular reduction works while the nearest integer is at most DDT_BOOTSTRAP_RANGE. A
 * bootstrap of 2^16 has 2^16 coefficients; both tails count.
 */
static void failure_probability(void **state) {
    (void)state;
    const unsigned terms = DDT_BOOTSTRAP_SPARSE_WEIGHT + 1;
    for (double bound = 1.0; bound <= 4.5; bound += 0.5) {
        const double exact = boot_log2_tail(terms, bound);
        const double sampled = log2_sampled_tail(terms, bound, 200000);
        if (fabs(exact - sampled) > 0.2) {
            fail_msg("P(sum > %.1f): 2^%.3f by the formula, 2^%.3f by sampling", bound, exact, sampled);
        }
    }
    /* All of a message's value at the edge: |x| of the message is below 2^-7. */
    const double bound = DDT_BOOTSTRAP_RANGE + 1.0 - 0x1p-7;
    for (unsigned log_n = 10; log_n <= 17; log_n++) {
        const double log2_failure = boot_log2_tail(terms, bound) + log_n + 1.0;
        assert_true(log2_failure <= -128.0);
        print_message("log2 N %u: a bootstrap fails with probability 2^%.1f\n", log_n, log2_failure);
    }
    /* One step less would not do. */
    assert_true(boot_log2_tail(terms, bound - 1.0) + 17.0 > -128.0);
}

/* ------------------------------------------------------------------ polynomials */

/* sum over even k of c_k T_k(t) + i sum over odd k, by the recursion. */
static double complex chebyshev(const double *c, unsigned degree, double t) {
    double complex sum = 0.0;
    double before = 1.0;
    double power = t;
    for (unsigned k = 0; k <= degree; k++) {
        const double value = k == 0 ? 1.0 : power;
        sum += k % 2 == 0 ? test_complex(c[k] * value, 0.0) : test_complex(0.0, c[k] * value);
        if (k > 0) {
            const double next = 2.0 * t * power - before;
            before = power;
            power = next;
        }
    }
    return sum;
}

/* The modular reduction in doubles, as bootstrap_eval.c does it. */
static double reduce(const ddt_bootstrapper *b, double message, int quotient) {
    const double x = message / b->ratio + quotient;
    double complex e = chebyshev(b->exponential, BOOT_EXPONENTIAL_DEGREE, x / b->range);
    for (unsigned i = 0; i < BOOT_SQUARINGS; i++) {
        e *= e;
    }
    const double y = 2.0 * cimag(e);
    return b->arcsine[1] * y + b->arcsine[3] * (4.0 * y * y * y - 3.0 * y);
}

static void polynomials(void **state) {
    (void)state;
    static const ddt_ckks_literal literal = {10, 3, 50, 45, 4, 14};
    test_scheme t;
    ddt_bootstrapper *b = NULL;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    assert_ok(t.ctx, ddt_bootstrapper_create(t.ctx, t.params, &(ddt_bootstrap_literal){0}, &b));
    assert_true(1.0 / b->ratio < 0x1p-7);
    /* The error allowed for each quotient: beyond 12 lie 2^-56 of them. */
    for (int quotient = 0; quotient <= DDT_BOOTSTRAP_RANGE; quotient++) {
        const double allowed = quotient <= 12 ? 0x1p-26 : 0x1p-16;
        double worst = 0.0;
        for (int i = -1000; i <= 1000; i++) {
            const double message = i / 1000.0;
            worst = fmax(worst, fabs(reduce(b, message, quotient) - message));
            worst = fmax(worst, fabs(reduce(b, message, -quotient) - message));
        }
        print_message("quotient %2d: the polynomials leave 2^%.1f\n", quotient, log2(worst));
        if (!(worst <= allowed)) {
            fail_msg("quotient %d: 2^%.2f is more than 2^%.2f", quotient, log2(worst), log2(allowed));
        }
    }
    /* Messages a little beyond 1: no cliff. */
    assert_true(fabs(reduce(b, 1.25, 2) - 1.25) < 0x1p-21 && fabs(reduce(b, 2.0, 2) - 2.0) < 0x1p-17);
    ddt_bootstrapper_destroy(b);
    test_scheme_destroy(&t);
}

/* ------------------------------------------------------------------ matrices */

/* The factors, one after the other, are the transform of the encoding. */
static void matrices(void **state) {
    (void)state;
    static const ddt_ckks_literal literal = {10, 3, 50, 45, 4};
    static const unsigned cuts[] = {0, 2, 5, 9};
    test_scheme t;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    double complex *in = test_slots(&t);
    double complex *out = test_slots(&t);
    double *re = ddt_calloc(2 * t.slots, sizeof *re);
    double *im = re + t.slots;
    for (int forward = 0; forward <= 1; forward++) {
        test_message(0, t.slots, in);
        for (size_t j = 0; j < t.slots; j++) {
            re[j] = creal(in[j]);
            im[j] = cimag(in[j]);
        }
        for (unsigned i = 0; i < 3; i++) {
            const unsigned stage = forward ? i : 2 - i;
            boot_matrix m;
            assert_ok(t.ctx, boot_matrix_create(t.ctx, &t.params->fft, 9, cuts[stage], cuts[stage + 1], forward, &m));
            for (size_t j = 0; j < t.slots; j++) {
                out[j] = 0.0;
                for (size_t k = 0; k < m.count; k++) {
                    const int64_t from = (int64_t)j + (m.least + (int64_t)k) * ((int64_t)1 << m.low);
                    out[j] += m.values[k * m.period + j % m.period] * in[(size_t)(from + (int64_t)t.slots) % t.slots];
                }
            }
            memcpy(in, out, t.slots * sizeof *in);
            boot_matrix_destroy(&m);
        }
        if (forward) {
            ckks_fft_forward(&t.params->fft, re, im, t.slots);
        } else {
            ckks_fft_inverse(&t.params->fft, re, im, t.slots);
        }
        const double factor = forward ? 1.0 : 1.0 / (double)t.slots;
        for (size_t j = 0; j < t.slots; j++) {
            assert_true(cabs(in[j] - factor * test_complex(re[j], im[j])) < 1e-11);
        }
    }
    ddt_free(in);
    ddt_free(out);
    ddt_free(re);
    test_scheme_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(failure_probability), cmocka_unit_test(polynomials),
                                       cmocka_unit_test(matrices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
