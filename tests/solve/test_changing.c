/*
 * A covariate that changes with time, by hand: one compartment, rate WT / 100, a bolus of 100. Both conventions, also
 * with a grid between the records; and data that change where the plan's template does not.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_test.h"

static const char model_text[] =
    "m <- function() {\n  ini({\n    eta.k ~ 0.01\n  })\n  model({\n"
    "    d/dt(x) <- -WT / 100 * exp(eta.k) * x\n    C <- x / SIZE\n    C ~ add(1)\n  })\n}\n";
/* Rates 0.2, 0.5, 0.5, 0.1; sizes of the observations 1, 2, 4. */
static const char table_text[] = "ID,TIME,AMT,EVID,WT,SIZE\n1,0,100,1,20,9\n1,1,.,0,50,1\n1,2,.,0,50,2\n1,4,.,0,10,4\n";

static void check(problem *p, size_t observation, double exponent, double size) {
    double right = 100.0 * exp(-exponent) / size;
    double bar = 2e-5 * 100.0;
    assert_true(fabs(p->values[0][observation] - right) <= bar);
}

static void open_with(problem *p, bool carries_forward) {
    problem_parse(p, model_text, table_text);
    p->events->carries_forward = carries_forward;
}

static void run_all(problem *p) {
    problem_solve(p, NULL);
    problem_run(p, false);
    assert_true(problem_error(p) <= 2e-5);
}

static void test_interval_ends_at_record(void **state) {
    (void)state;
    problem p;
    open_with(&p, false);
    run_all(&p);
    check(&p, 0, 0.5, 1.0);
    check(&p, 1, 1.0, 2.0);
    check(&p, 2, 1.2, 4.0);
    problem_free(&p);
}

static void test_carried_forward(void **state) {
    (void)state;
    problem p;
    open_with(&p, true);
    run_all(&p);
    check(&p, 0, 0.2, 1.0);
    check(&p, 1, 0.7, 2.0);
    check(&p, 2, 1.7, 4.0);
    problem_free(&p);
}

/* Every half hour: the observations at 1, 2 and 4 h are numbers 2, 4 and 8 behind those at 0 and 0.5 h. */
static void test_grid(void **state) {
    (void)state;
    problem p;
    open_with(&p, false);
    assert_ok(p.ctx, ddt_events_add_grid(p.ctx, p.events, 0.5));
    run_all(&p);
    check(&p, 2, 0.5, 1.0);
    check(&p, 7, 1.15, 4.0);
    check(&p, 8, 1.2, 4.0);
    problem_free(&p);
    open_with(&p, true);
    assert_ok(p.ctx, ddt_events_add_grid(p.ctx, p.events, 0.5));
    run_all(&p);
    check(&p, 2, 0.2, 1.0);
    check(&p, 7, 1.45, 2.0);
    check(&p, 8, 1.7, 4.0);
    problem_free(&p);
}

static void expect_fill(const char *table, ddt_status expected, const char *word) {
    problem p;
    ddt_events *events = NULL;
    problem_parse(&p, model_text, table_text);
    problem_solve(&p, NULL);
    assert_ok(p.ctx, ddt_events_parse(p.ctx, table, strlen(table), "other.csv", p.model, &events));
    ddt_status status = ddt_solution_fill(p.ctx, p.solution, p.model, events, p.inputs);
    assert_int_equal(status, expected);
    assert_true(expected == DDT_OK || strstr(ddt_error_detail(p.ctx), word) != NULL);
    ddt_events_destroy(events);
    problem_free(&p);
}

static void test_other_data(void **state) {
    (void)state;
    expect_fill("ID,TIME,AMT,EVID,WT,SIZE\n1,0,90,1,20,3\n1,1,.,0,40,2\n1,2,.,0,40,1\n1,4,.,0,15,4\n", DDT_OK, "");
    /* A change between the second and the third record, where the template has none. */
    expect_fill("ID,TIME,AMT,EVID,WT,SIZE\n1,0,90,1,20,3\n1,1,.,0,40,2\n1,2,.,0,30,1\n1,4,.,0,15,4\n", DDT_ERR_MISMATCH,
                "line 4");
    expect_fill("ID,TIME,AMT,EVID,WT,SIZE\n1,0,90,1,20,3\n1,1,.,0,40,2\n1,2,.,0,40,1\n1,4,.,0,15,99\n", DDT_ERR_RANGE,
                "SIZE");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interval_ends_at_record),
        cmocka_unit_test(test_carried_forward),
        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_other_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
