/* label: long */
/*
 * Fits under encryption with secure parameters: 20 of NONMEM's subjects in one batch.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "encrypted_test.h"
#include "fit_test.h"

static void check(const nonmem_run *what, size_t subjects, size_t wanted) {
    problem p = {0};
    ddt_plan *plan = NULL;
    encrypted_keys k = {0};
    ddt_plan_info info;
    run_read(&p, what, subjects);
    assert_ok(p.ctx, ddt_solve_fit(p.ctx, p.model, p.events, NULL, &p.solution));
    problem_rows(&p);
    ddt_plan_request request = {.target_error = 4e-3};
    assert_ok(p.ctx, ddt_plan_create(p.ctx, ddt_solution_circuit(p.solution), &request, &plan));
    ddt_plan_get_info(plan, &info);
    assert_int_equal(info.security_bits, 128);
    encrypted_make_keys(&p, plan, &k);
    problem_run(&p, false);
    double **clear = test_rows(subjects, 2 * FIT_TEST_ETAS);
    for (size_t s = 0; s < subjects; s++) {
        memcpy(clear[s], p.values[s], 2 * what->etas * sizeof **clear);
    }
    double seconds = encrypted_run(&p, plan, &k);
    ddt_solution_collect(p.solution, (const double *const *)p.outputs, p.values);
    double noise = 0.0;
    for (size_t s = 0; s < subjects; s++) {
        for (size_t i = 0; i < what->etas; i++) {
            noise = fmax(noise, fabs(p.values[s][i] - clear[s][i]));
        }
    }
    agreement a = run_compare(what, p.values, subjects);
    print_message("%s: depth %u, ring degree 2^%u, scale 2^%u, log2(QP) %.0f, %zu batches, keys %.0f MB, twin %.0f MB, "
                  "%.1f s; %zu of %zu subjects within 0.01 of NONMEM, worst %.4f, clearance %.2f %%; noise %.1e\n",
                  what->name, info.depth, info.literal.log_n, info.literal.scale_bits, info.log2_qp, info.batches,
                  (double)info.eval_key_bytes / 1e6, (double)info.twin_bytes / 1e6, seconds, a.close, subjects, a.worst,
                  100.0 * a.worst_clearance, noise);
    assert_true(a.close >= wanted);
    assert_true(noise <= 4e-3);
    test_free_rows(clear);
    encrypted_destroy(&k);
    ddt_plan_destroy(plan);
    problem_free(&p);
}

static void test_one_compartment(void **state) {
    (void)state;
    check(&nonmem_001, 20, 19);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_compartment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
