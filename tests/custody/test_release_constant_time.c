/* label: valgrind */
/*
 * No branch and no address of the flooding depends on the noise or on the value it covers (as in test_constant_time.c:
 * secrets are marked undefined for Valgrind's memcheck). SPDX-License-Identifier: Apache-2.0
 */
#include "ckks/support.h"

#include "release_internal.h"

#include <valgrind/memcheck.h>

enum { COUNT = 64 };

static void no_secret_decides(void **unused) {
    (void)unused;
    const custody_flood flood = {.std = 1.0, .grid = 1.0 / custody_gaussian_std(30), .digits = 30, .released = COUNT};
    ddt_context *ctx = NULL;
    custody_scratch *scratch = NULL;
    custody_random *random = NULL;
    double values[COUNT];
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    assert_ok(ctx, custody_scratch_create(ctx, CUSTODY_RANDOM_WORDS + 3 * COUNT, &scratch));
    assert_ok(ctx, custody_random_create(ctx, scratch, &random));
    for (size_t j = 0; j < COUNT; j++) {
        values[j] = 3.0 * test_uniform(); /* beyond the magnitude too */
    }
    (void)VALGRIND_MAKE_MEM_UNDEFINED(random->key, sizeof random->key);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(values, sizeof values);
    int64_t *noise = (int64_t *)custody_scratch_take(scratch, COUNT);
    custody_sample_gaussian(random, flood.digits, COUNT, custody_scratch_take(scratch, 2 * (size_t)COUNT), noise);
    for (size_t j = 0; j < COUNT; j++) {
        noise[j] = custody_flood_add(&flood, 1.0, values[j], noise[j]);
    }
    if (RUNNING_ON_VALGRIND) {
        uint8_t bits = 0;
        (void)VALGRIND_GET_VBITS(noise, &bits, 1);
        assert_true(bits != 0); /* the taint arrived */
    }
    (void)VALGRIND_MAKE_MEM_DEFINED(noise, COUNT * sizeof *noise);
    (void)VALGRIND_MAKE_MEM_DEFINED(values, sizeof values);
    for (size_t j = 0; j < COUNT; j++) {
        const double clamped = fmax(-1.0, fmin(1.0, values[j]));
        assert_true(fabs((double)noise[j] * flood.grid - clamped) < 8.0);
    }
    custody_scratch_destroy(scratch);
    ddt_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_secret_decides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
