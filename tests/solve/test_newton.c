/*
 * Models that are not linear, in the clear: an interaction against CVODE at every observation; refusals name the
 * reason. The larger models are in test_newton_models.c.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "newton_test.h"

/* Two of the example's patients at some of its times; test_newton_models.c has them all. */
static void test_interaction(void **state) {
    (void)state;
    check_table("ddi_midazolam",
                "ID,TIME,AMT,EVID,CMT,eta.cl,eta.v,eta.clm\n1,0,5,1,inhibitor,0,0,0\n1,0,1000,1,midazolam,0,0,0\n"
                "1,1,.,0,midazolam,0,0,0\n1,4,.,0,midazolam,0,0,0\n1,12,.,0,midazolam,0,0,0\n"
                "2,0,5,1,inhibitor,0.3,-0.2,0.2\n2,0,1000,1,midazolam,0.3,-0.2,0.2\n"
                "2,0.5,.,0,midazolam,0.3,-0.2,0.2\n2,3,.,0,midazolam,0.3,-0.2,0.2\n2,12,.,0,midazolam,0.3,-0.2,0.2\n",
                2e-3);
}

static const char *const two_subjects = "ID,TIME,AMT,EVID,CMT,eta.k\n1,0,100,1,a,0.1\n1,1,.,0,a,0.1\n1,5,.,0,a,0.1\n"
                                        "1,6,80,1,a,0.1\n1,10,.,0,a,0.1\n1,24,.,0,a,0.1\n2,0,60,1,a,-0.2\n"
                                        "2,3,.,0,a,-0.2\n2,20,.,0,a,-0.2\n";

/* A coefficient, an input and an output that change with time; a condition on time. */
static void test_time(void **state) {
    (void)state;
    const char *ini = "    k <- 0.2\n    eta.k ~ 0.04\n";
    check_text(ini, "    d/dt(a) <- -k * exp(eta.k) * (1 + 0.5 * cos(0.26 * t)) * a\n    C <- a\n    C ~ prop(0.1)\n",
               two_subjects, 3e-3);
    check_text(ini,
               "    d/dt(a) <- -k * exp(eta.k) * a + 3 * (1 + sin(0.3 * t))\n    C <- a * (1 + 0.01 * t)\n"
               "    C ~ prop(0.1)\n",
               two_subjects, 3e-3);
}

/* A power of a state that stays positive; a saturation whose constant is 0. */
static void test_powers(void **state) {
    (void)state;
    check_text("    k <- 0.1\n    eta.k ~ 0.04\n    eta.t ~ 0.04\n",
               "    d/dt(a) <- -0.5 * a\n    d/dt(w) <- k * exp(eta.k) * w^0.7 - 0.002 * a * w\n"
               "    w(0) <- 2 * exp(eta.t)\n    W <- w\n    W ~ prop(0.1)\n",
               two_subjects, 3e-3);
    check_text("    k <- 0.2\n    ic50 <- 1e-16\n    eta.k ~ 0.04\n",
               "    d/dt(a) <- -k * exp(eta.k) * a\n    d/dt(e) <- 2 * (1 - 0.5 * a / (a + ic50)) - 0.3 * e\n"
               "    E <- e\n    E ~ prop(0.1)\n",
               two_subjects, 3e-3);
}

/* A linear model whose output is the logarithm of a viral load, which falls by orders of magnitude (Neumann 1998). */
static void test_log_output(void **state) {
    (void)state;
    check_text("    c <- 6\n    eta.k ~ 0.04\n",
               "    eps <- 0.95\n    delta <- 0.14 * exp(eta.k)\n    d/dt(a) <- 0.01 * c * V - delta * a\n"
               "    d/dt(V) <- (1 - eps) * 14 * a - c * V\n    a(0) <- 1e5 / 14 * c\n    V(0) <- 1e6\n"
               "    L <- log10(V)\n    L ~ add(0.1)\n",
               "ID,TIME,AMT,EVID,eta.k\n1,0,.,0,0.1\n1,0.3,.,0,0.1\n1,2,.,0,0.1\n1,10,.,0,0.1\n2,0.5,.,0,-0.3\n"
               "2,7,.,0,-0.3\n",
               3e-3);
}

/* What cannot be solved is refused, not solved badly. */
static void refused(const char *text, const char *table, ddt_status expected, const char *words) {
    ddt_model *model = NULL;
    ddt_events *events = NULL;
    ddt_solution *solution = NULL;
    require(ddt_model_parse(ctx, text, strlen(text), "m.R", &model));
    require(ddt_events_parse(ctx, table, strlen(table), "m.csv", model, &events));
    assert_int_equal(ddt_solve(ctx, model, events, NULL, &solution), expected);
    assert_null(solution);
    if (strstr(ddt_error_detail(ctx), words) == NULL) {
        fail_msg("'%s' is not in: %s", words, ddt_error_detail(ctx));
    }
    ddt_context_clear(ctx);
    ddt_events_destroy(events);
    ddt_model_destroy(model);
}

static void test_refusals(void **state) {
    (void)state;
    static const char saturable[] = "m <- function() {\n ini({\n lvm <- log(5)\n eta.vm ~ 0.04\n })\n model({\n"
                                    " d/dt(a) <- -exp(lvm + eta.vm) * a / (10 + a)\n C <- a\n C ~ prop(0.1)\n })\n}\n";
    static const char root[] = "m <- function() {\n ini({\n k <- 0.5\n eta.k ~ 0.04\n })\n model({\n"
                               " d/dt(a) <- -a\n d/dt(b) <- a - k * exp(eta.k) * sqrt(b)\n"
                               " C <- b\n C ~ prop(0.1)\n })\n}\n";
    refused(root, "ID,TIME,AMT,EVID,CMT\n1,0,100,1,a\n1,4,.,0,b\n", DDT_ERR_UNSUPPORTED,
            "at time 0 the slope of d/dt(b) in b is not finite");
    refused(saturable, "ID,TIME,AMT,EVID,CMT,II,SS\n1,0,100,1,a,12,1\n1,6,.,0,a,.,.\n", DDT_ERR_UNSUPPORTED,
            "steady state");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interaction), cmocka_unit_test(test_time),     cmocka_unit_test(test_powers),
        cmocka_unit_test(test_log_output),  cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
