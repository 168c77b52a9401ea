/* label: long */
/*
 * Fits under encryption with secure parameters: 20 of NONMEM's subjects in one batch.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "encrypted_test.h"
#include "fit_test.h"

/* Plans, runs, and tells; values are those of the clear run in clear[], of the encrypted one in p->values. */
static double run_both(problem *p, const char *name, double **clear) {
    ddt_plan *plan = NULL;
    encrypted_keys k = {0};
    ddt_plan_info info;
    size_t outputs = ddt_solution_output_count(p->solution);
    const ddt_plan_request request = {.target_error = DDT_FIT_TARGET_ERROR};
    assert_ok(p->ctx, ddt_plan_create(p->ctx, ddt_solution_circuit(p->solution), &request, &plan));
    ddt_plan_get_info(plan, &info);
    assert_int_equal(info.security_bits, 128);
    encrypted_make_keys(p, plan, &k);
    problem_run(p, false);
    for (size_t s = 0; s < p->events->subject_count; s++) {
        memcpy(clear[s], p->values[s], outputs * sizeof **clear);
    }
    double seconds = encrypted_run(p, plan, &k);
    ddt_solution_collect(p->solution, (const double *const *)p->outputs, p->values);
    double noise = 0.0;
    for (size_t s = 0; s < p->events->subject_count; s++) {
        for (size_t i = 0; i < outputs; i++) {
            noise = fmax(noise, fabs(p->values[s][i] - clear[s][i]));
        }
    }
    print_message("%s: %zu subjects, depth %u, ring degree 2^%u, scale 2^%u, log2(QP) %.0f, %zu batches, keys %.0f MB, "
                  "twin %.0f MB, engine %.1f s, noise %.1e\n",
                  name, p->events->subject_count, info.depth, info.literal.log_n, info.literal.scale_bits, info.log2_qp,
                  info.batches, (double)info.eval_key_bytes / 1e6, (double)info.twin_bytes / 1e6, seconds, noise);
    encrypted_destroy(&k);
    ddt_plan_destroy(plan);
    return noise;
}

static void check(const nonmem_run *what, size_t subjects, size_t wanted) {
    problem p = {0};
    run_read(&p, what, subjects);
    assert_ok(p.ctx, ddt_solve_fit(p.ctx, p.model, p.events, NULL, &p.solution));
    problem_rows(&p);
    double **clear = test_rows(subjects, 2 * FIT_TEST_ETAS);
    double noise = run_both(&p, what->name, clear);
    agreement in_the_clear = run_compare(what, clear, subjects);
    agreement a = run_compare(what, p.values, subjects);
    print_message("%s: %zu of %zu subjects within 0.01 of NONMEM, worst %.4f, clearance %.2f %%\n", what->name, a.close,
                  subjects, a.worst, 100.0 * a.worst_clearance);
    assert_true(a.close >= wanted);
    assert_true(a.close >= in_the_clear.close);
    if (in_the_clear.close == subjects) { /* a step that leads nowhere magnifies noise, too */
        assert_true(noise <= DDT_FIT_TARGET_ERROR);
    }
    test_free_rows(clear);
    problem_free(&p);
}

static void test_one_compartment(void **state) {
    (void)state;
    check(&nonmem_001, 20, 19);
}

static void test_metabolite(void **state) {
    (void)state;
    check(&nonmem_401, 20, 19);
}

/* A lag of exp(eta): the aim is 88 of 100. */
static void test_lag(void **state) {
    (void)state;
    check(&nonmem_003, 20, 18);
}

/* Weight and sex that change at every record. */
static void test_changing_covariates(void **state) {
    (void)state;
    check(&nonmem_301, 12, 11);
}

/* Two compartments, infusions, combined error, correlated etas, covariates. */
static void test_vancomycin(void **state) {
    const double bar = 0.01;
    const size_t etas = 4;
    problem p = {0};
    (void)state;
    problem_read(&p, DDT_SOURCE_DIR "/models/vancomycin_thomson2009.R", DDT_SOURCE_DIR "/data/vancomycin_levels.csv");
    assert_ok(p.ctx, ddt_solve_fit(p.ctx, p.model, p.events, NULL, &p.solution));
    problem_rows(&p);
    double **clear = test_rows(p.events->subject_count, 2 * etas);
    assert_true(run_both(&p, "vancomycin", clear) <= DDT_FIT_TARGET_ERROR);
    for (size_t s = 0; s < p.events->subject_count; s++) {
        double exact[8];
        double covariance[64];
        assert_ok(p.ctx, ddt_fit_exact(p.ctx, p.model, p.events, s, 0.0, exact, covariance, NULL));
        for (size_t i = 0; i < etas; i++) {
            assert_true(fabs(p.values[s][i] - exact[i]) <= bar);
            assert_true(fabs(p.values[s][etas + i] / sqrt(covariance[i * etas + i]) - 1.0) <= 0.05);
        }
    }
    test_free_rows(clear);
    problem_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vancomycin),          cmocka_unit_test(test_one_compartment),
        cmocka_unit_test(test_metabolite),          cmocka_unit_test(test_lag),
        cmocka_unit_test(test_changing_covariates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
