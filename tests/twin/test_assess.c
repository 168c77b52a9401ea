/* The error budget: known differences come out where they belong. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static ddt_context *ctx;
static ddt_twin_problem *problem;

static int setup(void **state) {
    (void)state;
    const ddt_twin_options options = {.model_path = DDT_SOURCE_DIR "/models/theophylline.R",
                                      .data_path = DDT_SOURCE_DIR "/data/theophylline_events.csv"};
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    if (ddt_twin_problem_create(ctx, &options, &problem) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(ctx));
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    ddt_twin_problem_destroy(problem);
    ddt_context_destroy(ctx);
    return 0;
}

static void test_prediction(void **state) {
    (void)state;
    ddt_assessment a;
    assert_int_equal(ddt_twin_assess(ctx, problem, NULL, NULL, &a), DDT_OK);
    assert_false(a.measured);
    assert_int_equal(a.output_count, 1);
    assert_true(a.error_bar == 1e-3);
    assert_true(a.output_maximum[0] > 9 && a.output_maximum[0] < 11);
    assert_true(a.worst.surrogate > 0 && a.worst.surrogate < 1e-4);
    assert_true(a.worst.discretisation < 1e-4);
    assert_true(a.worst.ckks > 0 && a.worst.ckks < 2e-4);
    assert_true(a.worst.total >= a.worst.ckks && a.worst.total < a.error_bar);
    ddt_assessment_destroy(&a);
}

/* The reference, moved at one point by a known amount, as if it had been decrypted. */
static void test_known_difference(void **state) {
    (void)state;
    ddt_assessment a;
    ddt_assessment b;
    assert_int_equal(ddt_twin_assess(ctx, problem, NULL, NULL, &a), DDT_OK);
    a.reference.values[3][5] += 0.25;
    assert_int_equal(ddt_twin_assess(ctx, problem, &a.reference, NULL, &b), DDT_OK);
    /* A clear run that is at hand takes the place of another one. */
    ddt_profile clear;
    ddt_assessment same;
    assert_int_equal(ddt_twin_run_clear(ctx, problem, false, &clear), DDT_OK);
    assert_int_equal(ddt_twin_assess(ctx, problem, NULL, &clear, &same), DDT_OK);
    assert_true(same.worst.total == a.worst.total && same.worst.surrogate == a.worst.surrogate);
    ddt_assessment_destroy(&same);
    ddt_profile_destroy(&clear);
    assert_true(b.measured);
    const double expected = 0.25 / b.output_maximum[0];
    assert_true(fabs(b.worst.total - expected) < 1e-9);
    assert_true(fabs(b.worst.ckks - expected) < 1e-4);
    assert_true(b.worst.surrogate == a.worst.surrogate && b.worst.discretisation == a.worst.discretisation);
    assert_true(b.per_output[0].total == b.worst.total);
    ddt_assessment_destroy(&b);
    /* A value that is not a number never looks good. */
    a.reference.values[3][5] = NAN;
    assert_int_equal(ddt_twin_assess(ctx, problem, &a.reference, NULL, &b), DDT_OK);
    assert_true(isinf(b.worst.total));
    assert_false(b.worst.total <= b.error_bar);
    ddt_assessment_destroy(&b);
    a.reference.observation_counts[2]--;
    assert_int_equal(ddt_twin_assess(ctx, problem, &a.reference, NULL, &b), DDT_ERR_MISMATCH);
    a.reference.observation_counts[2]++;
    ddt_assessment_destroy(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prediction),
        cmocka_unit_test(test_known_difference),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
