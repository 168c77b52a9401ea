/*
 * Forms of published linear models, in the clear against CVODE: conditions, min and max of continuous covariates,
 * outputs that read the time, a sigmoid effect of an effect compartment, functions of covariates with wide ranges,
 * effects of concentrations far above their constants.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_test.h"

static const double bar = 1e-4;

static void check(const char *name, const char *model, const char *table) {
    problem p;
    ddt_solve_info info;
    problem_parse(&p, model, table);
    problem_solve(&p, NULL);
    ddt_solution_get_info(p.solution, &info);
    assert_string_equal(info.method, "superposition");
    problem_run(&p, false);
    double error = problem_error(&p);
    print_message("%s: %.1e of the maximum (virtual population %.1e)\n", name, error, info.surrogate_error);
    assert_true(error <= bar);
    problem_free(&p);
}

/* Values at the threshold itself, below and above it. */
static void test_thresholds(void **state) {
    (void)state;
    check("thresholds",
          "m <- function() {\n  covariateData <- list(CRCL = list(range = c(15, 160)), AGE = list(range = c(18, 90)))\n"
          "  ini({\n    ecl ~ 0.09\n  })\n  model({\n    cl <- 4 * exp(ecl) * (min(CRCL, 120) / 100)^0.6\n"
          "    if (AGE > 65 & CRCL < 60) {\n      cl <- cl * 0.8\n    }\n    v <- 20 * ifelse(AGE >= 75, 1.2, 1)\n"
          "    d/dt(a) <- -cl / v * a\n    f(a) <- 1 - 0.002 * abs(AGE - 50)\n    C <- a / v\n    C ~ prop(0.1)\n"
          "  })\n}\n",
          "ID,TIME,AMT,EVID,ecl,CRCL,AGE\n1,0,100,1,0.1,120,65\n1,1,.,0,0.1,120,65\n1,9,.,0,0.1,120,65\n"
          "2,0,100,1,-0.1,59,66\n2,2,.,0,-0.1,59,66\n3,0,100,1,0,130,75\n3,3,.,0,0,130,75\n4,0,100,1,0,60,80\n"
          "4,3,.,0,0,60,80\n5,0,100,1,0,90,55\n5,3,.,0,0,90,55\n");
}

/* Renal function that changes and crosses thresholds: in rates, under an infusion, in f() and in an output. */
static void test_changing_thresholds(void **state) {
    (void)state;
    check("thresholds of covariates that change",
          "m <- function() {\n  covariateData <- list(CR = list(range = c(10, 160)))\n"
          "  ini({\n    ecl ~ 0.09\n  })\n  model({\n    cl <- 4 * exp(ecl) * (min(CR, 120) / 100)^0.6\n"
          "    if (CR < 30) cl <- cl * 0.7\n    v <- 20\n    d/dt(a) <- -cl / v * a\n"
          "    f(a) <- ifelse(CR > 90, 0.9, 1)\n    C <- a / v * ifelse(CR < 30, 1.1, 1)\n    C ~ prop(0.1)\n  })\n}\n",
          "ID,TIME,AMT,RATE,EVID,ecl,CR\n1,0,100,0,1,0.1,95\n1,2,.,.,0,0.1,130\n1,6,.,.,0,0.1,30\n1,8,80,10,1,0.1,25\n"
          "1,12,.,.,0,0.1,29.9\n1,18,.,.,0,0.1,60\n1,24,90,0,1,0.1,91\n1,30,.,.,0,0.1,20\n"
          "2,0,120,30,1,-0.3,20\n2,3,.,.,0,-0.3,29\n2,5,.,.,0,-0.3,119\n2,20,.,.,0,-0.3,121\n");
}

/* The race-free estimate of GFR from creatinine: each sex has its own threshold and exponent. */
static void test_thresholds_by_category(void **state) {
    (void)state;
    check("a threshold for each sex",
          "m <- function() {\n  covariateData <- list(SCR = list(range = c(0.4, 4)), AGE = list(range = c(18, 90)),\n"
          "    SEXF = list(type = \"binary\", range = c(0, 1)))\n  ini({\n    ecl ~ 0.09\n  })\n  model({\n"
          "    kap <- ifelse(SEXF == 1, 0.7, 0.9)\n    al <- ifelse(SEXF == 1, -0.241, -0.302)\n"
          "    egfr <- 142 * min(SCR / kap, 1)^al * max(SCR / kap, 1)^-1.2 * 0.9938^AGE * 1.012^SEXF\n"
          "    cl <- 4 * exp(ecl) * (egfr / 90)\n    d/dt(a) <- -cl / 20 * a\n    C <- a / 20\n    C ~ prop(0.1)\n"
          "  })\n}\n",
          "ID,TIME,AMT,EVID,ecl,SCR,AGE,SEXF\n1,0,100,1,0.1,0.7,65,1\n1,1,.,0,0.1,0.7,65,1\n1,9,.,0,0.1,0.7,65,1\n"
          "2,0,100,1,-0.1,0.8,66,0\n2,2,.,0,-0.1,0.8,66,0\n3,0,100,1,0,0.8,40,1\n3,3,.,0,0,0.8,40,1\n"
          "4,0,100,1,0,2.5,80,0\n4,3,.,0,0,2.5,80,0\n");
}

static void test_time_in_output(void **state) {
    (void)state;
    check("time in an output",
          "m <- function() {\n  ini({\n    ecl ~ 0.09\n    es ~ 0.0004\n  })\n  model({\n    k <- 0.2 * exp(ecl)\n"
          "    d/dt(a) <- -k * a\n    S <- 20 + (0.1 + es) * t - 0.1 * a\n    S ~ add(1)\n  })\n}\n",
          "ID,TIME,AMT,EVID,ecl,es\n1,0,100,1,0.1,0.01\n1,1,.,0,0.1,0.01\n1,6,50,1,0.1,0.01\n1,9,.,0,0.1,0.01\n"
          "2,0,60,1,-0.2,-0.02\n2,2,.,0,-0.2,-0.02\n2,24,.,0,-0.2,-0.02\n");
}

/* Powers of an amount that is 0 at first; rows of sums that no function may see. */
static void test_effect(void **state) {
    (void)state;
    check("effect compartment",
          "m <- function() {\n  ini({\n    ecl ~ 0.09\n    eec ~ 0.09\n  })\n  model({\n    k <- 0.2 * exp(ecl)\n"
          "    C <- a / 10\n    d/dt(a) <- -k * a\n    d/dt(e) <- 0.5 * (C - e)\n    ec50 <- 6 * exp(eec)\n"
          "    E <- 90 * (1 - 0.6 * e^1.6 / (ec50^1.6 + e^1.6))\n    E ~ add(3)\n  })\n}\n",
          "ID,TIME,AMT,EVID,CMT,ecl,eec\n1,0,100,1,a,0.1,-0.3\n1,1,.,0,a,0.1,-0.3\n1,6,50,1,a,0.1,-0.3\n1,9,.,0,a,0.1,-"
          "0.3\n"
          "2,0,60,1,a,-0.2,0.2\n2,2,.,0,a,-0.2,0.2\n2,24,.,0,a,-0.2,0.2\n");
}

/* Maturation from the preterm newborn on: over two decades of age. */
static void test_maturation(void **state) {
    (void)state;
    check("maturation",
          "m <- function() {\n  covariateData <- list(WT = list(range = c(1, 130)), PMA = list(range = c(0.55, 95)))\n"
          "  ini({\n    ecl ~ 0.07\n  })\n  model({\n"
          "    cl <- 5 * exp(ecl) * (WT / 70)^0.75 * PMA^2.9 / (PMA^2.9 + 0.72) / (1 + (PMA / 62)^2.2)\n"
          "    v <- 40 * (WT / 70)\n    d/dt(a) <- -cl / v * a\n    C <- a / v\n    C ~ prop(0.1)\n  })\n}\n",
          "ID,TIME,AMT,EVID,ecl,WT,PMA\n1,0,10,1,0.1,1.1,0.6\n1,1,.,0,0.1,1.1,0.6\n1,9,.,0,0.1,1.1,0.6\n"
          "2,0,1000,1,-0.2,75,40\n2,2,.,0,-0.2,75,40\n2,24,.,0,-0.2,75,40\n3,0,800,1,0,60,85\n3,12,.,0,0,60,85\n");
}

/* Up to thousands of times EC50: no polynomial of degree 127 follows 1 / (1 + C / EC50) there. */
static void test_steep(void **state) {
    (void)state;
    const char *const doses =
        "ID,TIME,AMT,EVID,ek,ev\n1,0,1000,1,0.1,-0.1\n1,0.5,.,0,0.1,-0.1\n1,12,800,1,0.1,-0.1\n1,13,.,0,0.1,-0.1\n"
        "1,36,.,0,0.1,-0.1\n2,0,900,1,-0.2,0.05\n2,3,.,0,-0.2,0.05\n2,30,.,0,-0.2,0.05\n";
    check("sigmoid far above EC50",
          "m <- function() {\n  ini({\n    ek ~ 0.04\n    ev ~ 0.09\n  })\n  model({\n    d/dt(a) <- -0.3 * exp(ek) * "
          "a\n    C <- a / 20\n    ec50 <- 0.05 * exp(ev)\n"
          "    E <- 100 * (1 - 0.9 * C^1.6 / (ec50^1.6 + C^1.6))\n    E ~ add(1)\n  })\n}\n",
          doses);
    check("sigmoid of power 3 in one compartment, far above EC50",
          "m <- function() {\n  ini({\n    ek ~ 0.04\n    ev ~ 0.01\n  })\n  model({\n    d/dt(a) <- -0.3 * exp(ek) * "
          "a\n    C <- a / (20 * exp(ev))\n"
          "    E <- 5 + 8 * C^3 / (0.4^3 + C^3)\n    E ~ add(1)\n  })\n}\n",
          doses);
    check("far above EC50",
          "m <- function() {\n  ini({\n    ek ~ 0.04\n    ev ~ 0.01\n  })\n  model({\n    d/dt(a) <- -0.3 * exp(ek) * "
          "a\n    C <- a / (20 * exp(ev))\n"
          "    E <- 100 * (1 - 0.9 * C / (0.02 + C))\n    E ~ add(1)\n  })\n}\n",
          doses);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_changing_thresholds),
        cmocka_unit_test(test_thresholds_by_category),
        cmocka_unit_test(test_time_in_output),
        cmocka_unit_test(test_effect),
        cmocka_unit_test(test_maturation),
        cmocka_unit_test(test_steep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
