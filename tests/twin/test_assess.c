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

static double phi(double deviations) { return 0.5 * erfc(-deviations / sqrt(2.0)); }

/* theophylline.R has three random effects; the ranges reach 4 deviations, the draws 3. Narrower omegas are inside all
 * the more; omegas that are (4 / 2)^2 as large put the same ranges at 2 of theirs. */
static void test_population(void **state) {
    (void)state;
    enum { PATIENTS = 4000 };
    ddt_model *model = problem->model;
    ddt_assessment a;
    double share = -1;
    assert_int_equal(ddt_twin_assess(ctx, problem, NULL, NULL, &a), DDT_OK);
    assert_int_equal(a.population_drawn, PATIENTS);
    assert_true(a.population_outside == 0);
    ddt_assessment_destroy(&a);

    const double factor = 4.0;
    const size_t entries = model->eta_count * model->eta_count;
    double inside = 1;
    for (size_t i = 0; i < model->eta_count; i++) {
        ddt_symbol *eta = &model->symbols[model->etas[i]];
        for (size_t r = 0; r < ddt_solution_range_count(problem->solution); r++) {
            const ddt_declared_range range = ddt_solution_range(problem->solution, r);
            if (strcmp(range.name, eta->name) == 0) {
                inside *= 2 * phi(range.high / sqrt(factor * eta->omega2)) - 1;
            }
        }
    }
    for (size_t i = 0; i < entries; i++) {
        model->omega[i] *= factor;
    }
    assert_int_equal(twin_population_outside(ctx, model, problem->solution, PATIENTS, &share), DDT_OK);
    for (size_t i = 0; i < entries; i++) {
        model->omega[i] /= factor;
    }
    print_message("outside: %g of the draws, %g expected\n", share, 1 - inside);
    assert_true(1 - inside > 0.05);
    assert_true(fabs(share - (1 - inside)) < 4 * sqrt(inside * (1 - inside) / PATIENTS));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prediction),
        cmocka_unit_test(test_known_difference),
        cmocka_unit_test(test_population),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
