/*
 * Simulations through plan, keys, twin and result in files, against the same problem's clear run that never saw a file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
/* label: long */
#include "files.h"

static int setup_linear(void **state) { return files_setup(state, &files_linear); }
static int setup_newton(void **state) { return files_setup(state, &files_newton); }

static void run_chain(chain *c, ddt_profile *out) {
    const char *model = c->model;
    assert_int_equal(ddt_twin_keygen(c->ctx, c->plan, c->keys, NULL, NULL), DDT_OK);
    assert_int_equal(ddt_twin_encrypt(c->ctx, c->plan, c->keys, NULL, model, c->table, c->twin, NULL), DDT_OK);
    chain_engine(c);
    assert_int_equal(ddt_twin_decrypt(c->ctx, c->keys, NULL, c->result, out), DDT_OK);
}

/* Every subject, row and output; the error that the plan predicts is of the least output. */
static void compare(const ddt_profile *decrypted, const ddt_profile *clear, double bar) {
    assert_int_equal(decrypted->subject_count, clear->subject_count);
    assert_int_equal(decrypted->output_count, clear->output_count);
    double largest = 0;
    double worst = 0;
    for (size_t s = 0; s < clear->subject_count; s++) {
        assert_string_equal(decrypted->subject_ids[s], clear->subject_ids[s]);
        assert_int_equal(decrypted->observation_counts[s], clear->observation_counts[s]);
        double of_subject = 0;
        for (size_t i = 0; i < clear->observation_counts[s] * clear->output_count; i++) {
            of_subject = fmax(of_subject, fabs(clear->values[s][i]));
            worst = fmax(worst, fabs(decrypted->values[s][i] - clear->values[s][i]));
        }
        assert_true(of_subject > 0); /* someone without drug would hide a mistake */
        largest = fmax(largest, of_subject);
    }
    print_message("%zu subjects, error %.2g of the largest value\n", clear->subject_count, worst / largest);
    assert_true(worst <= bar * largest);
}

static void simulate(void **state, const file_case *one) {
    const double ckks_bar = 1e-4; /* what plans aim at */
    chain *c = *state;
    const ddt_twin_options options = files_options(c, one);
    ddt_twin_problem *problem = NULL;
    ddt_profile decrypted = {0};
    ddt_profile clear = {0};
    ddt_assessment assessment = {0};
    assert_int_equal(ddt_twin_problem_create(c->ctx, &options, &problem), DDT_OK);
    assert_int_equal(ddt_twin_problem_write(c->ctx, problem, c->plan, NULL), DDT_OK);
    assert_int_equal(ddt_twin_run_clear(c->ctx, problem, false, &clear), DDT_OK);
    run_chain(c, &decrypted);
    compare(&decrypted, &clear, ckks_bar);
    /* And neither is a consistent mistake: CVODE knows nothing of circuits. */
    assert_int_equal(ddt_twin_assess(c->ctx, problem, &decrypted, &clear, &assessment), DDT_OK);
    assert_true(assessment.worst.total <= assessment.error_bar);
    ddt_assessment_destroy(&assessment);
    ddt_profile_destroy(&decrypted);
    ddt_profile_destroy(&clear);
    ddt_twin_problem_destroy(problem);
}

static void test_linear(void **state) { simulate(state, &files_linear); }
static void test_newton(void **state) { simulate(state, &files_newton); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_linear, setup_linear, chain_teardown),
        cmocka_unit_test_setup_teardown(test_newton, setup_newton, chain_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
