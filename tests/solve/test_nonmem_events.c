/*
 * The 29 dosing cases of data/reference/nonmem-events as one table: every record of the circuit in the clear, with
 * functions and with their polynomials, against NONMEM's own output. Lags, bioavailabilities, modelled rates and
 * durations are columns, so that times are encrypted throughout.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nonmem_events.h"

static void check(problem *p, double tolerance) {
    double worst[NONMEM_CASES];
    nonmem_compare(p, worst);
    for (size_t s = 0; s < NONMEM_CASES; s++) {
        if (!(worst[s] <= tolerance)) {
            fail_msg("case %s: error %g of its maximum", p->events->subjects[s].id, worst[s]);
        }
    }
}

static void test_clear(void **state) {
    (void)state;
    problem p;
    nonmem_open(&p);
    ddt_solve_options options = {.draws = 60};
    problem_solve(&p, &options);
    ddt_solve_info info;
    ddt_solution_get_info(p.solution, &info);
    assert_true(info.has_private_times);
    assert_string_equal(info.method, "superposition");
    problem_run(&p, true);
    check(&p, 2e-5 + NONMEM_ROUNDING);
    problem_run(&p, false);
    check(&p, 2e-5 + NONMEM_ROUNDING);
    problem_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_clear)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
