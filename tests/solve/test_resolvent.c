/*
 * Large linear systems by elimination instead of matrix exponentials: the rational approximations, and models of a
 * dozen compartments and more against CVODE. All models here are made up.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "resolvent.h"
#include "solve_test.h"

/* A tenth of what the project asks for. */
static const double bar = 1e-4;

static double fractions(const resolvent_poles *poles, double x) {
    double sum = poles->constant;
    for (size_t k = 0; k < poles->count; k++) {
        double complex pole = poles->pole[k][0] + poles->pole[k][1] * I;
        double complex residue = poles->residue[k][0] + poles->residue[k][1] * I;
        sum += 2.0 * creal(residue / (pole + x));
    }
    return sum;
}

static void test_poles(void **state) {
    (void)state;
    for (size_t k = 0; k < resolvent_table_count; k++) {
        double worst = fabs(fractions(&resolvent_tables[k], 0.0) - 1.0);
        for (double x = 1e-6; x < 1e9; x *= 1.01) {
            worst = fmax(worst, fabs(fractions(&resolvent_tables[k], x) - exp(-x)));
        }
        print_message("%zu pairs of poles: error %.2e\n", resolvent_tables[k].count, worst);
        assert_true(worst <= resolvent_tables[k].error);
        assert_true(worst > 0.2 * resolvent_tables[k].error);
    }
}

/*
 * Organs of three compartments (blood, tissue, cells) between an artery and a vein, rates over seven decades; what a
 * test wants besides is written into `extra`.
 */
static void write_body(text *t, size_t organs, const char *extra, const char *outputs) {
    static const double uptake_per_h[] = {20.0, 5.0, 0.5, 0.02, 1.0, 0.003};
    static const double release_per_h[] = {1e-3, 3e-4, 0.02, 5e-3, 0.01, 4e-4};
    enum { KINDS = 6 };
    text_add(t, "body <- function() {\n  covariateData <- list(WT = list(units = \"kg\", range = c(50, 100)))\n");
    text_add(t, "  ini({\n    eta.up ~ 0.04\n    eta.q ~ 0.02\n    eta.cl ~ 0.04\n  })\n  model({\n");
    text_add(t, "    up <- exp(eta.up)\n    q <- 350 * exp(eta.q) * (WT / 70)^0.75\n");
    text_add(t, "    lung <- q / (0.05 * WT) * vein\n");
    for (size_t o = 0; o < organs; o++) {
        double volume = 0.01 * (double)(1 + 3 * o);
        double flow = 1.0 / (double)organs;
        text_add(t, "    out%zu <- %.6g * q / (%.6g * WT) * b%zu\n", o, flow, 0.1 * volume, o);
        text_add(t, "    leak%zu <- %.6g * up * b%zu - %.6g * t%zu\n", o, 0.4 / volume, o, 0.05 / volume, o);
        text_add(t, "    take%zu <- %.6g * up * t%zu - %.6g * c%zu\n", o, uptake_per_h[o % KINDS], o,
                 release_per_h[o % KINDS], o);
        text_add(t, "    d/dt(b%zu) <- %.6g * q / (0.02 * WT) * artery - out%zu - leak%zu%s\n", o, flow, o, o,
                 o == 0 ? " - 40 * exp(eta.cl) * b0" : "");
        text_add(t, "    d/dt(t%zu) <- leak%zu - take%zu\n    d/dt(c%zu) <- take%zu\n", o, o, o, o, o);
    }
    text_add(t, "    d/dt(artery) <- lung - q / (0.02 * WT) * artery\n    d/dt(vein) <- -lung");
    for (size_t o = 0; o < organs; o++) {
        text_add(t, " + out%zu", o);
    }
    text_add(t, "%s\n%s  })\n}\n", extra, outputs);
}

static void write_patients(text *t, const char *dose) {
    static const double times_h[] = {0.0, 0.002, 0.02, 0.1, 0.5, 2.0, 8.0, 24.0, 24.5, 48.0, 120.0, 400.0};
    text_add(t, "ID,TIME,AMT,RATE,II,ADDL,SS,CMT,EVID,WT,eta.up,eta.q,eta.cl\n");
    for (int s = 1; s <= 3; s++) {
        double x = 0.1 * (s - 2);
        text_add(t, "%d,0,%s,1,%d,%g,%g,%g\n", s, dose, 60 + 10 * s, 3.0 * x, -2.0 * x, 4.0 * x * x);
        for (size_t k = 0; k < sizeof times_h / sizeof *times_h; k++) {
            text_add(t, "%d,%g,.,.,.,.,.,.,0,%d,%g,%g,%g\n", s, times_h[k], 60 + 10 * s, 3.0 * x, -2.0 * x,
                     4.0 * x * x);
        }
    }
}

/* Returns how many squarings the exponential takes: none where there is no exponential. */
static unsigned check(const char *model, const char *data) {
    problem p;
    ddt_solve_info info;
    problem_parse(&p, model, data);
    problem_solve(&p, NULL);
    problem_run(&p, false);
    ddt_solution_get_info(p.solution, &info);
    double error = problem_error(&p);
    print_message("%zu states, %u squarings, rates up to %.3g per h: error %.1e\n", info.states, info.squarings,
                  info.rate_max_per_h, error);
    assert_true(error <= bar);
    problem_free(&p);
    return info.squarings;
}

static unsigned check_body(size_t organs, const char *extra, const char *outputs, const char *dose) {
    text model = {0};
    text data = {0};
    write_body(&model, organs, extra, outputs);
    write_patients(&data, dose);
    unsigned squarings = check(model.data, data.data);
    text_free(&model);
    text_free(&data);
    return squarings;
}

static const char *const two_outputs = "    Cp <- vein / (0.05 * WT)\n    C0 <- (b0 + t0 + c0) / (0.02 * WT)\n"
                                       "    Cp ~ prop(0.1)\n    C0 ~ prop(0.1)\n";

static void test_body(void **state) {
    (void)state;
    assert_int_equal(check_body(5, "", two_outputs, "100,0,24,3,0,vein"), 0);
}

/* An absorbing compartment before, what is integrated behind, an output that is no sum of states. */
static void test_stream(void **state) {
    (void)state;
    const char *extra = " + 0.7 * depot\n    d/dt(depot) <- -0.7 * depot\n    d/dt(auc) <- vein / (0.05 * WT)";
    const char *outputs = "    exposure <- auc\n    effect <- 3 * vein / (40 + vein)\n"
                          "    exposure ~ prop(0.1)\n    effect ~ add(0.1)\n";
    assert_int_equal(check_body(5, extra, outputs, "100,0,0,0,0,depot"), 0);
}

/* A constant input, initial values, doses at steady state. */
static void test_steady(void **state) {
    (void)state;
    const char *extra = " + 2 * exp(eta.cl)\n    vein(0) <- 5 * exp(eta.up)";
    assert_int_equal(check_body(5, extra, two_outputs, "100,0,0,0,0,vein"), 0);
    text model = {0};
    text data = {0};
    /* Everything is lost within hours: a steady state is a few doses. */
    text_add(&model, "star <- function() {\n  ini({\n    eta.k ~ 0.04\n  })\n  model({\n    k <- exp(eta.k)\n");
    for (int i = 1; i < 18; i++) {
        text_add(&model, "    go%d <- k * (%d * x0 - %g * x%d)\n    d/dt(x%d) <- go%d - 0.2 * x%d\n", i, i, 1.2 + i, i,
                 i, i, i);
    }
    text_add(&model, "    d/dt(x0) <- -3 * k * x0");
    for (int i = 1; i < 18; i++) {
        text_add(&model, " - go%d", i);
    }
    text_add(&model, "\n    y <- x0 + 2 * x9 * k\n    y ~ add(1)\n  })\n}\n");
    text_add(&data, "ID,TIME,AMT,II,SS,CMT,EVID,eta.k\n1,0,10,12,1,x3,1,0.3\n");
    for (int t = 0; t < 12; t++) {
        text_add(&data, "1,%d,.,.,.,.,0,0.3\n", t);
    }
    assert_int_equal(check(model.data, data.data), 0);
    text_free(&model);
    text_free(&data);
}

/* What goes round in a circle varies too much for an elimination, and infusions are not for it: the exponential. */
static void test_others(void **state) {
    (void)state;
    static const char *const doses[] = {"10,.", "10,5"};
    for (size_t k = 0; k < sizeof doses / sizeof *doses; k++) {
        text model = {0};
        text data = {0};
        text_add(&model, "ring <- function() {\n  ini({\n    eta.k ~ 0.04\n  })\n  model({\n    k <- exp(eta.k)\n");
        for (int i = 0; i < 18; i++) {
            text_add(&model, "    d/dt(x%d) <- k * x%d - %g * k * x%d\n", i, (i + 17) % 18, 1.1, i);
        }
        text_add(&model, "    y <- x2\n    y ~ add(1)\n  })\n}\n");
        text_add(&data, "ID,TIME,AMT,RATE,CMT,EVID,eta.k\n1,0,%s,x0,1,0.3\n1,1,.,.,.,0,0.3\n1,4,.,.,.,0,0.3\n",
                 doses[k]);
        assert_true(check(model.data, data.data) > 0);
        text_free(&model);
        text_free(&data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_poles),  cmocka_unit_test(test_body),   cmocka_unit_test(test_stream),
        cmocka_unit_test(test_steady), cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
