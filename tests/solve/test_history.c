/*
 * Equations that read the last dose (tad(), tlast(), podo(), transit()) or jump at given times (mtime()): the circuit
 * in the clear against CVODE.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
/* label: long */
#include "newton_test.h"

static const double bar = 3e-3;

static const char *const doses = "ID,TIME,AMT,EVID,CMT,eta.k\n1,0,100,1,1,0.1\n1,1,.,0,2,0.1\n1,2,.,0,2,0.1\n"
                                 "1,6,80,1,1,0.1\n1,6.5,.,0,2,0.1\n1,10,.,0,2,0.1\n1,24,.,0,2,0.1\n"
                                 "2,0,.,0,2,-0.2\n2,1,60,1,1,-0.2\n2,3,.,0,2,-0.2\n2,5,110,1,1,-0.2\n2,7,.,0,2,-0.2\n"
                                 "2,20,.,0,2,-0.2\n";

/* Zero-order absorption of what the last dose was, with records at the very times of jumps. */
static void test_zero_order(void **state) {
    (void)state;
    const char *ini = "    k <- 0.2\n    eta.k ~ 0.04\n";
    check_text(ini,
               "    tau <- 2\n    k0 <- podo(gut) / tau\n    if (tad(gut) > tau) k0 <- 0\n    d/dt(gut) <- -k0\n"
               "    d/dt(a) <- k0 - k * exp(eta.k) * a\n    C <- a\n    C ~ prop(0.1)\n",
               doses, bar);
    /* With a lag, and doses whose compartment reaches the output through podo() only. */
    check_text(ini,
               "    k0 <- podo(gut) / 1.5\n    if (tad(gut) > 1.5) k0 <- 0\n    d/dt(gut) <- 0\n    alag(gut) <- 0.25\n"
               "    d/dt(a) <- k0 - k * exp(eta.k) * a\n    C <- a\n    C ~ prop(0.1)\n",
               doses, bar);
}

/* A rate that begins at a time of the model's own. */
static void test_model_time(void **state) {
    (void)state;
    check_text("    k <- 0.2\n    eta.k ~ 0.04\n",
               "    mtime(on) <- 2.5\n    ka <- 0.1\n    if (t > on) ka <- 1.3\n    d/dt(gut) <- -ka * gut\n"
               "    d/dt(a) <- ka * gut - k * exp(eta.k) * a\n    C <- a\n    C ~ prop(0.1)\n",
               doses, bar);
}

static void test_transit(void **state) {
    (void)state;
    /* The input alone, mean transit time and number of steps encrypted. */
    check_text("    k <- 0.2\n    eta.k ~ 0.04\n",
               "    d/dt(gut) <- transit(3.5, 1.2 * exp(eta.k)) - 0.9 * gut\n    f(gut) <- 0\n"
               "    d/dt(a) <- 0.9 * gut - k * a\n    C <- a\n    C ~ prop(0.1)\n",
               doses, bar);
    check_text("    eta.k ~ 0.04\n    eta.n ~ 0.01\n    eta.v ~ 0.09\n",
               "    d/dt(gut) <- transit(4 * exp(eta.n), 1.2 * exp(eta.k), 0.8) - 0.9 * gut\n    f(gut) <- 0\n"
               "    d/dt(a) <- 0.9 * gut - 0.2 * exp(eta.v) * a\n    C <- a\n    C ~ prop(0.1)\n",
               doses, bar);
}

/* What depends on doses of other subjects, of other epochs or of the future would show here. */
static void test_reset(void **state) {
    (void)state;
    check_text("    k <- 0.2\n    eta.k ~ 0.04\n",
               "    w <- podo(gut) * (1 + 0.1 * tlast(gut)) / (1 + tad(gut))\n    d/dt(gut) <- -0.3 * gut\n"
               "    d/dt(a) <- 0.3 * gut + 0.05 * w - k * exp(eta.k) * a\n    C <- a\n    C ~ prop(0.1)\n",
               "ID,TIME,AMT,EVID,CMT,eta.k\n1,0,100,1,1,0.1\n1,2,.,0,2,0.1\n1,3,.,3,2,0.1\n1,4,.,0,2,0.1\n"
               "1,5,90,1,1,0.1\n1,9,.,0,2,0.1\n2,0,60,1,1,-0.2\n2,4,70,4,1,-0.2\n2,9,.,0,2,-0.2\n",
               bar);
}

/* Weibull's absorption, and a metabolism that the drug inhibits: four states, the patient's own Jacobian, long steps.
 */
static void test_inhibition(void **state) {
    (void)state;
    check_text("    eta.k ~ 0.04\n",
               "    ka <- 1 * exp(eta.k) * (0.5 * exp(eta.k) * tad(gut))^1.3\n    C <- a / 2\n"
               "    cl <- 0.8 * (0.1 + 0.9 / (1 + e / 8))\n    d/dt(gut) <- -ka * gut\n"
               "    d/dt(a) <- ka * gut - cl * C\n    d/dt(e) <- 2 * (C - e)\n    d/dt(m) <- cl * C - 0.4 * m\n"
               "    M <- m / 3\n    C ~ add(0.1)\n    M ~ add(0.1)\n",
               doses, 8e-3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_order), cmocka_unit_test(test_model_time), cmocka_unit_test(test_transit),
        cmocka_unit_test(test_reset),      cmocka_unit_test(test_inhibition),
    };
    cmocka_set_test_filter(getenv("DDT_TEST_FILTER")); /* one of them, where time matters */
    return cmocka_run_group_tests(tests, setup, teardown);
}
