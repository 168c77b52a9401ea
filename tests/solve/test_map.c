/*
 * NONMEM's predictions of data/reference/map at its own etas: an encrypted lag (run003) and covariates that change at
 * every record (run301), 100 subjects each, in the clear.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "map_events.h"

static void check(const char *run, bool has_private_times, size_t segments) {
    problem p;
    map_open(&p, run);
    problem_solve(&p, NULL);
    ddt_solve_info info;
    ddt_solution_get_info(p.solution, &info);
    assert_int_equal(info.has_private_times, has_private_times);
    assert_int_equal(info.segments, segments);
    problem_run(&p, false);
    double error = map_compare(&p, run);
    print_message("%s: %zu slots, error %.1e\n", run, ddt_circuit_block(ddt_solution_circuit(p.solution)), error);
    assert_true(error <= 2e-5);
    problem_free(&p);
}

static void test_lag(void **state) {
    (void)state;
    check("run003", true, 1);
}

static void test_changing_covariates(void **state) {
    (void)state;
    check("run301", false, 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lag), cmocka_unit_test(test_changing_covariates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
