/* label: long */
/*
 * Under encryption, with secure parameters: the 29 dosing cases against NONMEM's own output, and two of the runs with
 * NONMEM's etas: an encrypted lag, and covariates that change at every record.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "encrypted_test.h"
#include "map_events.h"
#include "nonmem_events.h"

static const double target_error = 2e-4;
static const double bar = 1e-3; /* of each case's maximum */

/* Fills, plans, encrypts, runs and decrypts: p->values. */
static void run_encrypted(problem *p, const char *name) {
    ddt_plan *plan = NULL;
    encrypted_keys k = {0};
    ddt_plan_info info;
    ddt_plan_request request = {.target_error = target_error};
    assert_ok(p->ctx, ddt_plan_create(p->ctx, ddt_solution_circuit(p->solution), &request, &plan));
    ddt_plan_get_info(plan, &info);
    assert_int_equal(info.security_bits, 128);
    encrypted_make_keys(p, plan, &k);
    assert_ok(p->ctx, ddt_solution_fill(p->ctx, p->solution, p->model, p->events, p->inputs));
    double seconds = encrypted_run(p, plan, &k);
    ddt_solution_collect(p->solution, (const double *const *)p->outputs, p->values);
    print_message("%s: depth %u, ring degree 2^%u, log2(QP) %.0f, %zu batches, %.2f s\n", name, info.depth,
                  info.literal.log_n, info.log2_qp, info.batches, seconds);
    encrypted_destroy(&k);
    ddt_plan_destroy(plan);
}

static void test_dosing_cases(void **state) {
    (void)state;
    problem p;
    double worst[NONMEM_CASES];
    double all = 0.0;
    nonmem_open(&p);
    problem_solve(&p, &(ddt_solve_options){.tolerance = 1e-4, .draws = 60});
    run_encrypted(&p, "29 dosing cases");
    nonmem_compare(&p, worst);
    for (size_t s = 0; s < NONMEM_CASES; s++) {
        print_message("case %s: error %.1e\n", p.events->subjects[s].id, worst[s]);
        all = worst[s] <= all ? all : worst[s];
    }
    assert_true(all <= bar);
    problem_free(&p);
}

static void check_map(const char *run) {
    problem p;
    map_open(&p, run);
    problem_solve(&p, &(ddt_solve_options){.tolerance = 5e-5});
    run_encrypted(&p, run);
    double error = map_compare(&p, run);
    print_message("%s: error %.1e\n", run, error);
    assert_true(error <= bar);
    problem_free(&p);
}

static void test_lag(void **state) {
    (void)state;
    check_map("run003");
}

static void test_changing_covariates(void **state) {
    (void)state;
    check_map("run301");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dosing_cases), cmocka_unit_test(test_lag),
                                       cmocka_unit_test(test_changing_covariates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
