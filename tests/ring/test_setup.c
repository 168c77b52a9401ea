/* Primes, creation, refused inputs, allocation failures, kernel selection. SPDX-License-Identifier: Apache-2.0 */
#include "ring_test.h"

#include <math.h>
#include <stdlib.h>

static bool trial_prime(uint64_t q) {
    for (uint64_t d = 3; d * d <= q; d += 2) {
        if (q % d == 0) {
            return false;
        }
    }
    return q % 2 == 1 && q > 1;
}

/* Six primes nearest to 2^bits, alternately above and below, none skipped, and the exclusion list obeyed. */
static void check_primes(unsigned order, double bits) {
    enum { COUNT = 6 };
    const uint64_t step = UINT64_C(1) << order;
    const double target = exp2(bits);
    uint64_t primes[COUNT];
    uint64_t others[2];
    assert_int_equal(ddt_ring_find_primes(ctx, order, bits, COUNT, NULL, 0, primes), DDT_OK);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(trial_prime(primes[i]));
        assert_int_equal(primes[i] % step, 1);
        assert_true(i % 2 == 0 ? (double)primes[i] > target - 1 : (double)primes[i] < target + 1);
        assert_true(i < 2 || (i % 2 == 0 ? primes[i] > primes[i - 2] : primes[i] < primes[i - 2]));
    }
    for (uint64_t c = primes[1] + step; c < primes[0]; c += step) {
        assert_false(trial_prime(c));
    }
    assert_int_equal(ddt_ring_find_primes(ctx, order, bits, 2, primes, 2, others), DDT_OK);
    assert_true(others[0] == primes[2] && others[1] == primes[3]);
}

static void test_primes(void **state) {
    (void)state;
    for (unsigned order = 5; order <= 18; order++) {
        const double sizes[] = {28, 31.7, 35.4, 39.1};
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            check_primes(order, sizes[i]);
        }
    }
}

static void test_prime_limits(void **state) {
    (void)state;
    enum { COUNT = 24 };
    uint64_t primes[COUNT];
    /* At the limit every prime lies below. */
    assert_int_equal(ddt_ring_find_primes(ctx, 17, 50, COUNT, NULL, 0, primes), DDT_OK);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(primes[i] < UINT64_C(1) << 50 && primes[i] > UINT64_C(1) << 49);
        assert_true(i == 0 || primes[i] < primes[i - 1]);
    }
    assert_int_equal(ddt_ring_find_primes(ctx, 17, 50.5, 1, NULL, 0, primes), DDT_ERR_ARGUMENT);
    assert_int_equal(ddt_ring_find_primes(ctx, 17, NAN, 1, NULL, 0, primes), DDT_ERR_ARGUMENT);
    assert_int_equal(ddt_ring_find_primes(ctx, 0, 40, 1, NULL, 0, primes), DDT_ERR_ARGUMENT);
    assert_int_equal(ddt_ring_find_primes(ctx, 50, 40, 1, NULL, 0, primes), DDT_ERR_ARGUMENT);
    assert_int_equal(ddt_ring_find_primes(ctx, 48, 40, COUNT, NULL, 0, primes), DDT_ERR_CAPACITY);
    ddt_context_clear(ctx);
}

static void expect_refusal(unsigned log_n, const uint64_t *moduli, size_t count) {
    ddt_ring *ring = NULL;
    assert_int_equal(ddt_ring_create(ctx, log_n, moduli, count, &ring), DDT_ERR_ARGUMENT);
    assert_null(ring);
    assert_true(strlen(ddt_error_detail(ctx)) > 0);
    ddt_context_clear(ctx);
}

static void test_refused(void **state) {
    (void)state;
    uint64_t good[2];
    assert_int_equal(ddt_ring_find_primes(ctx, 11, 45, 2, NULL, 0, good), DDT_OK);
    /* 97 * 193 = 1 mod 32 and composite; 1 and 0 are no primes; a Carmichael number: 1729 = 1 mod 64 */
    const uint64_t bad[][2] = {
        {good[0], UINT64_C(97) * 193},      {good[0], good[0]},   {good[0], 0}, {1, good[0]}, {1729, good[0]},
        {good[0], (UINT64_C(1) << 50) + 1}, {UINT64_MAX, good[0]}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_refusal(4, bad[i], 2);
    }
    expect_refusal(3, good, 2);
    expect_refusal(18, good, 2);
    expect_refusal(4, good, 0);
    expect_refusal(4, NULL, 1);
    /* not 1 mod 2N */
    uint64_t small = 97;
    expect_refusal(5, &small, 1);
    ddt_ring *ring = NULL;
    assert_int_equal(ddt_ring_create(ctx, 4, &small, 1, &ring), DDT_OK);
    assert_int_equal(ddt_ring_modulus(ring, 0), 97);
    ddt_ring_destroy(ring);
    ddt_ring_destroy(NULL);
}

static void test_accessors(void **state) {
    (void)state;
    ddt_ring *ring = make_ring(9);
    assert_int_equal(ddt_ring_log_n(ring), 9);
    assert_int_equal(ddt_ring_n(ring), 512);
    assert_int_equal(ddt_ring_count(ring), MODULI);
    uint64_t seed = 9;
    for (size_t m = 0; m < MODULI; m++) {
        uint64_t q = ddt_ring_modulus(ring, m);
        for (int i = 0; i < 200; i++) {
            uint64_t a = random_residue(&seed, q);
            uint64_t b = random_residue(&seed, q);
            assert_true(ddt_ring_scalar_mul(ring, m, a, b) == mul_mod(a, b, q));
            assert_true(ddt_ring_scalar_pow(ring, m, a, b) == pow_mod(a, b, q));
            if (a != 0) {
                assert_int_equal(mul_mod(a, ddt_ring_scalar_inverse(ring, m, a), q), 1);
            }
        }
    }
    ddt_ring_destroy(ring);
}

static void test_allocation_failures(void **state) {
    (void)state;
    uint64_t moduli[MODULI];
    make_moduli(5, moduli);
    for (uint64_t n = 0;; n++) {
        ddt_ring *ring = NULL;
        ddt_alloc_fail_after(n);
        ddt_status status = ddt_ring_create(ctx, 5, moduli, MODULI, &ring);
        ddt_alloc_fail_after(UINT64_MAX);
        if (status == DDT_OK) {
            assert_true(n >= 4);
            ddt_ring_destroy(ring);
            break;
        }
        assert_int_equal(status, DDT_ERR_MEMORY);
        assert_null(ring);
        ddt_context_clear(ctx);
    }
}

static void test_selection(void **state) {
    (void)state;
    assert_int_equal(ddt_ring_select_kernels(ctx, "scalar"), DDT_OK);
    assert_string_equal(ddt_ring_kernels(), "scalar");
    assert_int_equal(ddt_ring_select_kernels(ctx, "neon"), DDT_ERR_USAGE);
    assert_string_equal(ddt_ring_kernels(), "scalar");
    ddt_context_clear(ctx);
    assert_int_equal(setenv("DDT_KERNELS", "sse9", 1), 0);
    assert_int_equal(ddt_ring_select_kernels(ctx, NULL), DDT_ERR_USAGE);
    assert_non_null(strstr(ddt_error_detail(ctx), "sse9"));
    ddt_context_clear(ctx);
    assert_int_equal(setenv("DDT_KERNELS", "scalar", 1), 0);
    assert_int_equal(ddt_ring_select_kernels(ctx, NULL), DDT_OK);
    assert_string_equal(ddt_ring_kernels(), "scalar");
    assert_int_equal(unsetenv("DDT_KERNELS"), 0);
    assert_int_equal(ddt_ring_select_kernels(ctx, NULL), DDT_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_primes),    cmocka_unit_test(test_prime_limits),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_accessors), cmocka_unit_test(test_allocation_failures), cmocka_unit_test(test_selection),
    };
    return cmocka_run_group_tests(tests, make_context, free_context);
}
