/*
 * Models that are not linear under encryption, with secure parameters, against CVODE: growth with a power of the state
 * and an inhibited turnover, both small.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "encrypted_test.h"

/* What the project asks for. */
static const double bar = 1e-2;

static void check(const char *name, const char *model, const char *table) {
    problem p = {0};
    ddt_plan *plan = NULL;
    encrypted_keys k = {0};
    ddt_plan_info info;
    ddt_solve_info solved;
    problem_parse(&p, model, table);
    problem_solve(&p, NULL);
    ddt_solution_get_info(p.solution, &solved);
    assert_string_equal(solved.method, "newton");
    ddt_plan_request request = {.target_error = 1e-4};
    assert_ok(p.ctx, ddt_plan_create(p.ctx, ddt_solution_circuit(p.solution), &request, &plan));
    ddt_plan_get_info(plan, &info);
    assert_int_equal(info.security_bits, 128);
    encrypted_make_keys(&p, plan, &k);
    problem_run(&p, false);
    double clear_error = problem_error(&p);
    double seconds = encrypted_run(&p, plan, &k);
    ddt_solution_collect(p.solution, (const double *const *)p.outputs, p.values);
    double error = problem_error(&p);
    print_message("%s: depth %u, ring degree 2^%u, %.2f s; error %.1e (%.1e in the clear)\n", name, info.depth,
                  info.literal.log_n, seconds, error, clear_error);
    assert_true(error <= bar);
    encrypted_destroy(&k);
    ddt_plan_destroy(plan);
    problem_free(&p);
}

static void test_growth(void **state) {
    (void)state;
    check("growth",
          "m <- function() {\n  ini({\n    k <- 0.1\n    eta.k ~ 0.04\n    eta.t ~ 0.04\n  })\n  model({\n"
          "    d/dt(a) <- -0.5 * a\n    d/dt(w) <- k * exp(eta.k) * w^0.7 - 0.002 * a * w\n"
          "    w(0) <- 2 * exp(eta.t)\n    W <- w\n    W ~ prop(0.1)\n  })\n}\n",
          "ID,TIME,AMT,EVID,CMT,eta.k,eta.t\n1,0,100,1,a,0.1,0.2\n1,1,.,0,a,0.1,0.2\n1,10,.,0,a,0.1,0.2\n"
          "1,24,.,0,a,0.1,0.2\n2,0,60,1,a,-0.2,-0.1\n2,3,.,0,a,-0.2,-0.1\n2,20,.,0,a,-0.2,-0.1\n");
}

static void test_turnover(void **state) {
    (void)state;
    check("turnover",
          "m <- function() {\n  ini({\n    k <- 0.2\n    eta.k ~ 0.04\n  })\n  model({\n"
          "    d/dt(a) <- -k * exp(eta.k) * a\n    d/dt(e) <- 2 * (1 - a / (a + 20)) - 0.3 * e\n"
          "    e(0) <- 2 / 0.3\n    E <- e\n    E ~ prop(0.1)\n  })\n}\n",
          "ID,TIME,AMT,EVID,CMT,eta.k\n1,0,100,1,a,0.1\n1,1,.,0,a,0.1\n1,10,.,0,a,0.1\n1,24,.,0,a,0.1\n"
          "2,0,60,1,a,-0.2\n2,3,.,0,a,-0.2\n2,20,.,0,a,-0.2\n");
}

/* Zero-order absorption of the last dose: its amount is one more ciphertext, its time is public. */
static void test_last_dose(void **state) {
    (void)state;
    check("last dose",
          "m <- function() {\n  ini({\n    k <- 0.2\n    eta.k ~ 0.04\n  })\n  model({\n"
          "    k0 <- podo(gut) / 2\n    if (tad(gut) > 2) k0 <- 0\n    d/dt(gut) <- -k0\n"
          "    d/dt(a) <- k0 - k * exp(eta.k) * a\n    C <- a\n    C ~ prop(0.1)\n  })\n}\n",
          "ID,TIME,AMT,EVID,CMT,eta.k\n1,0,100,1,1,0.1\n1,1,.,0,2,0.1\n1,6,80,1,1,0.1\n1,10,.,0,2,0.1\n1,24,.,0,2,0.1\n"
          "2,0,60,1,1,-0.2\n2,3,.,0,2,-0.2\n2,20,.,0,2,-0.2\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_turnover),
        cmocka_unit_test(test_last_dose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
