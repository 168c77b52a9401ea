/*
 * The reference solver and the virtual population: closed forms, limits reached by brute force, conventions, refusals.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "context_test.h"
#include "hand_model.h"

#include <math.h>

/* Values here are below 100; many restarts at a relative tolerance of 1e-10 add up to about 1e-8 of that. */
static const double TOLERANCE = 1e-6;

enum { VALUES = 512 };

static void simulate(hand *h, const char *text, ddt_expr what, double *values) {
    ddt_events *events = hand_events(h, text);
    ddt_context_clear(ctx);
    if (ddt_reference_simulate(ctx, &h->model, events, 0, &what, 1, values) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(ctx));
    }
    ddt_events_destroy(events);
}

static void refuse(hand *h, const char *text, ddt_status expected, const char *part) {
    double values[VALUES];
    memset(values, 1, sizeof values);
    ddt_events *events = hand_events(h, text);
    ddt_expr what = ddt_expr_symbol(h->model.pool, h->compartments[0].symbol);
    ddt_context_clear(ctx);
    ddt_status status = ddt_reference_simulate(ctx, &h->model, events, 0, &what, 1, values);
    if (status != expected || strstr(ddt_error_detail(ctx), part) == NULL) {
        fail_msg("status %d: '%s' is not in: %s", (int)status, part, ddt_error_detail(ctx));
    }
    size_t observation = 0;
    for (size_t i = 0; i < events->subjects[0].record_count; i++) {
        if (events->subjects[0].records[i].evid == 0) {
            assert_true(values[observation++] == 0.0);
        }
    }
    ddt_events_destroy(events);
}

static void near(double value, double expected, double tolerance) {
    if (!(fabs(value - expected) <= tolerance)) {
        fail_msg("%.15g is not %.15g within %g", value, expected, tolerance);
    }
}

/* ------------------------------------------------------------------ closed forms */

static const double KA = 1.3, KE = 0.21;

static double bateman(double dose, double t) { return dose * KA / (KA - KE) * (exp(-KE * t) - exp(-KA * t)); }

static double infusion(double rate, double duration, double t) {
    double end = fmin(t, duration);
    return t <= 0.0 ? 0.0 : rate / KE * (1.0 - exp(-KE * end)) * exp(-KE * (t - end));
}

static void test_closed_forms(void **state) {
    (void)state;
    hand h;
    double values[VALUES];
    hand_open(&h, ctx);
    ddt_expr central = hand_oral(&h, hand_theta(&h, "ka", KA), hand_theta(&h, "ke", KE));
    simulate(&h,
             "ID,TIME,AMT,RATE,II,ADDL,CMT,EVID\n1,0,.,.,.,.,.,0\n1,0,100,.,.,.,.,1\n1,0,.,.,.,.,.,0\n1,1,.,.,.,.,.,0\n"
             "1,5,.,.,.,.,.,0\n1,6,50,25,.,.,central,1\n1,7,.,.,.,.,.,0\n1,30,.,.,.,.,.,2\n1,80,.,.,.,.,.,0\n",
             central, values);
    near(values[0], 0.0, 0.0);
    near(values[1], 0.0, 0.0);
    near(values[2], bateman(100, 1), TOLERANCE);
    near(values[3], bateman(100, 5), TOLERANCE);
    near(values[4], bateman(100, 7) + infusion(25, 2, 1), TOLERANCE);
    near(values[5], bateman(100, 30) + infusion(25, 2, 24), TOLERANCE);
    near(values[6], bateman(100, 80) + infusion(25, 2, 74), TOLERANCE);
    /* Times before 0 and a first record that is not at 0: the clock is the patient's own. */
    simulate(&h, "ID,TIME,AMT,EVID\n1,-7,100,1\n1,-2,.,0\n1,3,.,0\n", central, values);
    near(values[0], bateman(100, 5), TOLERANCE);
    near(values[1], bateman(100, 10), TOLERANCE);
    hand_close(&h);
}

static void test_record_order(void **state) {
    (void)state;
    hand h;
    double values[VALUES];
    hand_open(&h, ctx);
    (void)hand_oral(&h, hand_theta(&h, "ka", KA), hand_theta(&h, "ke", KE));
    ddt_expr depot = ddt_expr_symbol(h.model.pool, h.compartments[0].symbol);
    simulate(&h,
             "ID,TIME,AMT,II,ADDL,EVID\n1,0,.,.,.,0\n1,0,64,10,1,1\n1,0,.,.,.,0\n1,0,32,.,.,1\n1,0,.,.,.,2\n"
             "1,10,.,.,.,0\n1,10,1,.,.,1\n1,10,.,.,.,0\n1,10,.,.,.,3\n1,10,.,.,.,0\n",
             depot, values);
    double left = 96 * exp(-KA * 10);
    near(values[0], 0.0, 0.0);
    near(values[1], 64.0, 0.0);
    near(values[2], 96.0, 0.0);
    near(values[3], 64 + left, TOLERANCE); /* the additional dose acts before the records of its time */
    near(values[4], 65 + left, TOLERANCE);
    near(values[5], 0.0, 0.0);
    hand_close(&h);
}

static void test_modelled_dosing(void **state) {
    (void)state;
    hand h;
    double values[VALUES];
    hand_open(&h, ctx);
    ddt_expr central = hand_oral(&h, hand_theta(&h, "ka", KA), hand_theta(&h, "ke", KE));
    ddt_compartment *c = &h.compartments[1];
    c->rate = hand_const(&h, 20.0);
    c->duration = hand_const(&h, 4.0);
    c->lag_h = hand_const(&h, 0.5);
    c->bioavailability = hand_const(&h, 0.8);
    /* F lengthens a given rate; it raises the rate of a given duration. */
    simulate(&h, "ID,TIME,AMT,RATE,CMT,EVID\n1,0,100,10,2,1\n1,3,.,.,.,0\n1,9,.,.,.,0\n1,20,.,.,.,0\n", central,
             values);
    near(values[0], infusion(10, 8, 2.5), TOLERANCE);
    near(values[1], infusion(10, 8, 8.5), TOLERANCE);
    near(values[2], infusion(10, 8, 19.5), TOLERANCE);
    simulate(&h, "ID,TIME,AMT,RATE,CMT,EVID\n1,0,100,-1,2,1\n1,3,.,.,.,0\n1,9,.,.,.,0\n", central, values);
    near(values[0], infusion(20, 4, 2.5), TOLERANCE);
    near(values[1], infusion(20, 4, 8.5), TOLERANCE);
    c->duration = hand_const(&h, 5.0);
    simulate(&h, "ID,TIME,AMT,RATE,CMT,EVID\n1,0,100,-2,2,1\n1,3,.,.,.,0\n1,9,.,.,.,0\n", central, values);
    near(values[0], infusion(16, 5, 2.5), TOLERANCE);
    near(values[1], infusion(16, 5, 8.5), TOLERANCE);
    /* A lagged dose acts before the record at its time. */
    simulate(&h, "ID,TIME,AMT,CMT,EVID\n1,0.1,100,2,1\n1,0.5,.,.,0\n1,0.6,.,.,0\n1,1.6,.,.,0\n", central, values);
    near(values[0], 0.0, 0.0);
    near(values[1], 80.0, 1e-9);
    near(values[2], 80.0 * exp(-KE), TOLERANCE);
    /* Nothing infused, or in no time at all. */
    simulate(&h, "ID,TIME,AMT,RATE,CMT,EVID\n1,0,0,10,2,1\n1,1,100,1e15,2,1\n1,2.5,.,.,.,0\n", central, values);
    near(values[0], 80.0 * exp(-KE), TOLERANCE);
    hand_close(&h);
}

static void test_initial_values_and_resets(void **state) {
    (void)state;
    hand h;
    double values[VALUES];
    hand_open(&h, ctx);
    ddt_expr kout = hand_theta(&h, "kout", 0.1);
    ddt_expr base = hand_covariate(&h, "base");
    ddt_expr level = hand_state(&h, "level");
    h.compartments[0].initial = base;
    h.compartments[0].derivative = hand_mul(&h, kout, hand_sub(&h, hand_const(&h, 2.0), level));
    simulate(&h, "ID,TIME,EVID,AMT,base\n1,5,0,.,10\n1,6,0,.,10\n1,7,4,3,20\n1,7,0,.,20\n1,9,0,.,20\n", level, values);
    near(values[0], 10.0, 0.0);
    near(values[1], 2 + 8 * exp(-0.1), TOLERANCE);
    near(values[2], 23.0, 0.0);
    near(values[3], 2 + 21 * exp(-0.2), TOLERANCE);
    hand_close(&h);
}

static void test_time_varying_covariates(void **state) {
    (void)state;
    hand h;
    double values[VALUES];
    hand_open(&h, ctx);
    ddt_expr rate = hand_covariate(&h, "k");
    ddt_expr x = hand_state(&h, "x");
    h.compartments[0].derivative = hand_neg(&h, hand_mul(&h, rate, x));
    h.compartments[0].bioavailability = rate;
    /* A record's value holds over the interval that ends at it; a dose takes its own record's, an additional one the
     * first at or after it. */
    simulate(&h, "ID,TIME,AMT,II,ADDL,EVID,k\n1,0,100,5,1,1,0.5\n1,2,.,.,.,0,0.1\n1,3,.,.,.,0,0.4\n1,6,.,.,.,0,0.2\n",
             x, values);
    double at2 = 50 * exp(-0.2);
    double at3 = at2 * exp(-0.4);
    near(values[0], at2, TOLERANCE);
    near(values[1], at3, TOLERANCE);
    near(values[2], (at3 * exp(-0.4) + 20) * exp(-0.2), TOLERANCE);
    /* The output at a record sees the record's own value. */
    ddt_expr product = hand_mul(&h, rate, x);
    simulate(&h, "ID,TIME,AMT,EVID,k\n1,0,100,1,1\n1,0,.,0,3\n1,1,.,0,2\n", product, values);
    near(values[0], 300.0, 1e-9);
    near(values[1], 200 * exp(-2.0), TOLERANCE);
    /* A grid changes nothing at the records. */
    static const char text[] = "ID,TIME,AMT,II,ADDL,EVID,k\n1,0,100,5,1,1,0.5\n1,2,.,.,.,0,0.1\n1,6,.,.,.,0,0.2\n";
    ddt_events *events = hand_events(&h, text);
    assert_int_equal(ddt_events_add_grid(ctx, events, 0.75), DDT_OK);
    double dense[VALUES];
    assert_int_equal(ddt_reference_simulate(ctx, &h.model, events, 0, &x, 1, dense), DDT_OK);
    simulate(&h, text, x, values);
    const ddt_subject *subject = &events->subjects[0];
    size_t observation = 0;
    size_t compared = 0;
    for (size_t i = 0; i < subject->record_count; i++) {
        if (subject->records[i].evid == 0) {
            near(dense[observation], values[compared++], TOLERANCE);
        }
        observation += subject->records[i].evid != 1;
    }
    assert_int_equal(compared, 2);
    assert_int_equal(observation, 10);
    ddt_events_destroy(events);
    hand_close(&h);
}

static void test_equations_in_time(void **state) {
    (void)state;
    hand h;
    double values[VALUES];
    hand_open(&h, ctx);
    ddt_expr t = hand_symbol(&h, "t", DDT_SYMBOL_TIME, 0.0);
    ddt_expr x = hand_state(&h, "x");
    h.compartments[0].derivative = hand_mul(&h, hand_const(&h, 2.0), t);
    simulate(&h, "ID,TIME\n1,3\n1,4\n1,7\n", hand_add(&h, x, t), values);
    near(values[0], 3.0, 0.0);
    near(values[1], 16 - 9 + 4, TOLERANCE);
    near(values[2], 49 - 9 + 7, TOLERANCE);
    refuse(&h, "ID,TIME,AMT,SS,II\n1,0,1,1,12\n1,1,.,.,.\n", DDT_ERR_UNSUPPORTED, "depends on time");
    hand_close(&h);
}

static void test_breaks(void **state) {
    (void)state;
    /* A slope that jumps from 1 to 1e6 for a thousandth of an hour, at a time that depends on the patient. */
    enum { PULSE_COMPARISONS = 2 };
    static const ddt_expr_op less[PULSE_COMPARISONS] = {DDT_EXPR_LT, DDT_EXPR_LE};
    for (int i = 0; i < PULSE_COMPARISONS; i++) {
        hand h;
        double values[VALUES];
        hand_open(&h, ctx);
        ddt_expr t = hand_symbol(&h, "t", DDT_SYMBOL_TIME, 0.0);
        ddt_expr start = hand_covariate(&h, "start");
        ddt_expr end = hand_add(&h, start, hand_const(&h, 0.001));
        ddt_expr x = hand_state(&h, "x");
        ddt_expr in_pulse = ddt_expr_if(h.model.pool, ddt_expr_binary(h.model.pool, less[i], t, end),
                                        hand_const(&h, 1e6), hand_const(&h, 1.0));
        h.compartments[0].derivative =
            ddt_expr_if(h.model.pool, ddt_expr_binary(h.model.pool, less[i], t, start), hand_const(&h, 1.0), in_pulse);
        ddt_expr breaks[] = {end, start};
        h.model.breaks = breaks;
        h.model.break_count = 2;
        simulate(&h, "ID,TIME,start\n1,0,50\n1,49,50\n1,50,50\n1,50.0005,50\n1,50.001,50\n1,90,50\n", x, values);
        static const double expected[] = {0, 49, 50, 550, 1050, 1050 + 39.999};
        for (int k = 0; k < 6; k++) {
            near(values[k], expected[k], TOLERANCE);
        }
        /* Far from any record, between two doses. */
        simulate(&h, "ID,TIME,start,AMT,EVID\n1,0,70,5,1\n1,100,70,7,1\n1,101,70,.,0\n", x, values);
        near(values[0], 5 + 7 + 1000 + 101 - 0.001, TOLERANCE);
        hand_close(&h);
    }
}

/* Absorption through transit steps, n = 1: ktr D (ktr s) exp(-ktr s), s the time since the last dose into the depot, D
 * its amount. */
static ddt_expr build_transit(hand *h, double ktr) {
    ddt_expr t = hand_symbol(h, "t", DDT_SYMBOL_TIME, 0.0);
    ddt_expr last = hand_symbol(h, "tlast", DDT_SYMBOL_LAST_DOSE_TIME, 0.0);
    ddt_expr amount = hand_symbol(h, "podo", DDT_SYMBOL_LAST_DOSE_AMOUNT, 0.0);
    h->model.uses_dose_history = true;
    ddt_expr depot = hand_state(h, "depot");
    ddt_expr x = hand_mul(h, hand_const(h, ktr), hand_sub(h, t, last));
    ddt_expr decay = ddt_expr_unary(h->model.pool, DDT_EXPR_EXP, hand_neg(h, x));
    ddt_expr rate = hand_mul(h, hand_mul(h, hand_const(h, ktr), amount), hand_mul(h, x, decay));
    h->compartments[0].derivative = hand_sub(h, rate, hand_mul(h, hand_theta(h, "ke", KE), depot));
    h->compartments[0].bioavailability = hand_const(h, 0.0);
    return depot;
}

static void test_dose_history(void **state) {
    (void)state;
    hand h;
    double values[VALUES];
    hand_open(&h, ctx);
    ddt_expr depot = build_transit(&h, 0.7);
    h.compartments[0].lag_h = hand_const(&h, 0.5);
    /* integral of ktr^2 s exp(-ktr s) exp(-ke (t - s)), with k = ktr - ke: ktr^2 / k^2 (exp(-ke t) - (1 + k t) exp(-ktr
     * t)) */
    double k = 0.7 - KE;
    double t = 6.5;
    double exact = 100 * 0.49 / (k * k) * (exp(-KE * t) - (1 + k * t) * exp(-0.7 * t));
    simulate(&h, "ID,TIME,AMT,EVID\n1,0,.,0\n1,3,100,1\n1,10,.,0\n", depot, values);
    near(values[0], 0.0, 0.0);
    near(values[1], exact, TOLERANCE);
    /* Nothing seen until long after. */
    t = 30;
    exact = 100 * 0.49 / (k * k) * (exp(-KE * t) - (1 + k * t) * exp(-0.7 * t));
    simulate(&h, "ID,TIME,AMT,EVID\n1,-1000,.,0\n1,0,100,1\n1,30.5,.,0\n", depot, values);
    near(values[1], exact, TOLERANCE);
    /* What the symbols hold: nothing, then each dose from when it acts; a reset forgets. */
    ddt_expr shown = hand_add(&h, ddt_expr_symbol(h.model.pool, 1),
                              hand_mul(&h, hand_const(&h, 1000.0), ddt_expr_symbol(h.model.pool, 2)));
    simulate(&h,
             "ID,TIME,AMT,II,ADDL,EVID\n1,2,.,.,.,0\n1,4,7,10,3,1\n1,4.25,.,.,.,0\n1,4.5,.,.,.,0\n1,14,.,.,.,0\n"
             "1,20,9,.,.,1\n1,20.5,.,.,.,0\n1,24.5,.,.,.,0\n1,30,.,.,.,3\n1,50,.,.,.,0\n",
             shown, values);
    static const double expected[] = {2, 2, 7004.5, 7004.5, 9020.5, 7024.5, 30};
    for (int i = 0; i < 7; i++) {
        near(values[i], expected[i], TOLERANCE);
    }
    /* Other compartments' doses do not count where one is named. */
    (void)hand_state(&h, "other");
    h.compartments[1].derivative = hand_const(&h, 0.0);
    simulate(&h, "ID,TIME,AMT,CMT,EVID\n1,0,7,1,1\n1,1,8,2,1\n1,2,.,.,0\n", shown, values);
    near(values[0], 7000.5, TOLERANCE);
    h.symbols[1].compartment = h.symbols[2].compartment = UINT32_MAX;
    simulate(&h, "ID,TIME,AMT,CMT,EVID\n1,0,7,1,1\n1,1,8,2,1\n1,2,.,.,0\n", shown, values);
    near(values[0], 8001, TOLERANCE);
    hand_close(&h);
}

static void test_breaks_after_doses(void **state) {
    (void)state;
    /* A slope of 1e6 for a thousandth of an hour, from one hour after each dose on. */
    hand h;
    double values[VALUES];
    hand_open(&h, ctx);
    ddt_expr t = hand_symbol(&h, "t", DDT_SYMBOL_TIME, 0.0);
    ddt_expr last = hand_symbol(&h, "tlast", DDT_SYMBOL_LAST_DOSE_TIME, 0.0);
    h.model.uses_dose_history = true;
    ddt_expr x = hand_state(&h, "x");
    ddt_expr since = hand_sub(&h, t, last);
    ddt_expr started = ddt_expr_binary(h.model.pool, DDT_EXPR_LT, hand_const(&h, 1.0), since);
    ddt_expr ended = ddt_expr_binary(h.model.pool, DDT_EXPR_LT, hand_const(&h, 1.001), since);
    h.compartments[0].derivative = hand_mul(&h, hand_const(&h, 1e6), hand_sub(&h, started, ended));
    ddt_expr breaks[] = {hand_add(&h, last, hand_const(&h, 1.0)), hand_add(&h, last, hand_const(&h, 1.001))};
    h.model.breaks = breaks;
    h.model.break_count = 2;
    simulate(&h, "ID,TIME,AMT,II,ADDL,EVID\n1,0,0,100,4,1\n1,450,.,.,.,0\n1,500.5,0,.,.,1\n1,600,.,.,.,0\n", x, values);
    near(values[0], 5000, 1e-3);
    near(values[1], 6000, 1e-3);
    hand_close(&h);
}

/* ------------------------------------------------------------------ steady state */

/* A regimen written out for so long that nothing of its start is left. */
static void by_brute_force(hand *h, const char *dose_fields, double interval_h, int doses, double read_h, ddt_expr what,
                           double *value) {
    char *text = malloc((size_t)doses * 64 + 256);
    if (text == NULL) {
        abort();
    }
    int used = sprintf(text, "ID,TIME,AMT,RATE,CMT,EVID\n");
    for (int i = 0; i < doses; i++) {
        used += sprintf(text + used, "1,%.15g,%s,1\n", i * interval_h, dose_fields);
    }
    (void)sprintf(text + used, "1,%.15g,.,.,.,0\n", (doses - 1) * interval_h + read_h);
    simulate(h, text, what, value);
    free(text);
}

static void check_steady(hand *h, const char *dose_fields, double interval_h, int doses, double read_h, ddt_expr what,
                         double tolerance) {
    char text[256];
    double brute = 0.0;
    double values[VALUES];
    by_brute_force(h, dose_fields, interval_h, doses, read_h, what, &brute);
    (void)sprintf(text, "ID,TIME,AMT,RATE,CMT,EVID,SS,II\n1,3,%s,1,1,%.15g\n1,%.15g,.,.,.,0,.,.\n", dose_fields,
                  interval_h, 3 + read_h);
    simulate(h, text, what, values);
    near(values[0], brute, tolerance * fmax(1.0, fabs(brute)));
}

static void test_steady_state_linear(void **state) {
    (void)state;
    hand h;
    hand_open(&h, ctx);
    ddt_expr central = hand_oral(&h, hand_theta(&h, "ka", KA), hand_theta(&h, "ke", KE));
    check_steady(&h, "100,.,1", 12, 40, 4, central, TOLERANCE);
    check_steady(&h, "100,.,2", 6, 60, 5.5, central, TOLERANCE);
    check_steady(&h, "100,20,2", 12, 40, 4, central, TOLERANCE);
    check_steady(&h, "100,20,2", 12, 40, 9, central, TOLERANCE);
    check_steady(&h, "100,20,2", 5, 60, 3, central, TOLERANCE);    /* as long as the interval */
    check_steady(&h, "100,20,2", 2, 150, 1.5, central, TOLERANCE); /* two and a half at once */
    check_steady(&h, "100,10,1", 3, 100, 2, central, TOLERANCE);
    /* With lags, of which the longest is the interval itself. */
    static const double lags[] = {0.25, 1.0, 5.75, 6.0};
    for (size_t i = 0; i < sizeof lags / sizeof *lags; i++) {
        h.compartments[1].lag_h = hand_const(&h, lags[i]);
        check_steady(&h, "100,.,2", 6, 60, 5.5, central, TOLERANCE);
        check_steady(&h, "100,20,2", 6, 60, 0.1, central, TOLERANCE);
        check_steady(&h, "100,10,2", 6, 60, 5.9, central, TOLERANCE);
    }
    h.compartments[1].lag_h = hand_const(&h, 6.0001);
    refuse(&h, "ID,TIME,AMT,CMT,SS,II\n1,0,1,2,1,6\n1,1,.,.,.,.\n", DDT_ERR_DATA, "lag");
    hand_close(&h);
}

static void test_steady_state_nonlinear(void **state) {
    (void)state;
    /* Michaelis-Menten elimination, and a slow effect compartment with its own baseline, which nothing but the drug
     * lowers. */
    hand h;
    hand_open(&h, ctx);
    ddt_expr gut = hand_state(&h, "gut");
    ddt_expr blood = hand_state(&h, "blood");
    ddt_expr effect = hand_state(&h, "effect");
    ddt_expr constant = hand_state(&h, "constant");
    ddt_expr absorbed = hand_mul(&h, hand_const(&h, 1.2), gut);
    ddt_expr concentration = hand_div(&h, blood, hand_const(&h, 36.0));
    ddt_expr eliminated = hand_div(&h, hand_mul(&h, hand_const(&h, 14.0), concentration),
                                   hand_add(&h, hand_const(&h, 2.4), concentration));
    h.compartments[0].derivative = hand_neg(&h, absorbed);
    h.compartments[1].derivative = hand_sub(&h, absorbed, eliminated);
    h.compartments[2].derivative =
        hand_sub(&h, hand_div(&h, hand_const(&h, 0.5), hand_add(&h, hand_const(&h, 1.0), concentration)),
                 hand_mul(&h, hand_const(&h, 0.05), effect));
    h.compartments[2].initial = hand_const(&h, 10.0);
    h.compartments[3].derivative = hand_const(&h, 0.0);
    h.compartments[3].initial = hand_const(&h, 7.0);
    check_steady(&h, "100,.,1", 12, 300, 4, blood, 1e-6);
    check_steady(&h, "150,.,1", 12, 800, 4, blood, 1e-5); /* 12.5 of 14 per hour: slow to settle */
    check_steady(&h, "100,.,1", 12, 300, 4, effect, 1e-6);
    check_steady(&h, "100,10,2", 12, 300, 11, blood, 1e-6);
    check_steady(&h, "100,.,1", 12, 300, 4, constant, 1e-9);
    /* From far above, where the slope says little about where the steady state lies. */
    h.compartments[1].initial = hand_const(&h, 20000.0);
    check_steady(&h, "20,.,1", 12, 600, 4, blood, 1e-6);
    h.compartments[1].initial = DDT_EXPR_NONE;
    refuse(&h, "ID,TIME,AMT,CMT,SS,II\n1,0,180,1,1,12\n1,1,.,.,.,.\n", DDT_ERR_MODEL, "no steady state");
    refuse(&h, "ID,TIME,AMT,CMT,SS,II\n1,0,100,1,2,12\n1,1,.,.,.,.\n", DDT_ERR_UNSUPPORTED, "SS 2");
    /* A constant infusion: 0.5 x 14 = Vmax C / (Km + C) at C = Km. */
    double values[VALUES];
    simulate(&h, "ID,TIME,EVID,AMT,RATE,CMT,SS\n1,0,1,0,7,2,1\n1,0,0,.,.,.,.\n", blood, values);
    near(values[0], 2.4 * 36, TOLERANCE);
    simulate(&h, "ID,TIME,EVID,AMT,RATE,CMT,SS\n1,0,1,0,7,2,1\n1,0,0,.,.,.,.\n", effect, values);
    near(values[0], 0.5 / 3.4 / 0.05, TOLERANCE);
    refuse(&h, "ID,TIME,EVID,AMT,RATE,CMT,SS\n1,0,1,0,15,2,1\n1,1,0,.,.,.,.\n", DDT_ERR_MODEL, "no steady state");
    hand_close(&h);
}

static void test_steady_state_of_dose_history(void **state) {
    (void)state;
    hand h;
    hand_open(&h, ctx);
    ddt_expr depot = build_transit(&h, 0.7);
    static const double lags[] = {0, 2.5, 8};
    for (size_t i = 0; i < sizeof lags / sizeof *lags; i++) {
        h.compartments[0].lag_h = hand_const(&h, lags[i]);
        check_steady(&h, "100,.,1", 8, 40, 1.5, depot, TOLERANCE);
        check_steady(&h, "100,.,1", 8, 40, 7, depot, TOLERANCE);
    }
    /* Any other use of time has no steady state. */
    ddt_expr t = ddt_expr_symbol(h.model.pool, 0);
    h.compartments[0].derivative = hand_add(&h, h.compartments[0].derivative, hand_mul(&h, hand_const(&h, 1e-3), t));
    refuse(&h, "ID,TIME,AMT,SS,II\n1,0,1,1,12\n1,1,.,.,.\n", DDT_ERR_UNSUPPORTED, "depends on time");
    h.compartments[0].bioavailability = ddt_expr_symbol(h.model.pool, 2);
    refuse(&h, "ID,TIME,AMT\n1,0,1\n1,1,.\n", DDT_ERR_UNSUPPORTED, "depends on the amount of a dose");
    hand_close(&h);
}

static void test_steady_state_refusals(void **state) {
    (void)state;
    hand h;
    hand_open(&h, ctx);
    ddt_expr central = hand_oral(&h, hand_theta(&h, "ka", KA), hand_theta(&h, "ke", KE));
    (void)hand_state(&h, "auc");
    h.compartments[2].derivative = central;
    refuse(&h, "ID,TIME,AMT,SS,II\n1,0,1,1,12\n1,1,.,.,.\n", DDT_ERR_MODEL, "no steady state");
    refuse(&h, "ID,TIME,EVID,AMT,RATE,SS\n1,0,1,0,5,1\n1,1,0,.,.,.\n", DDT_ERR_MODEL, "no steady state");
    h.compartments[2].derivative = hand_const(&h, 0.0);
    /* A lag shifts the end of a constant infusion past its record: longer than its interval of 0. */
    h.compartments[0].lag_h = hand_const(&h, 1.0);
    refuse(&h, "ID,TIME,EVID,AMT,RATE,SS\n1,0,1,0,5,1\n1,1,0,.,.,.\n", DDT_ERR_DATA, "lag");
    h.compartments[0].lag_h = hand_const(&h, -1.0);
    refuse(&h, "ID,TIME,EVID,AMT\n1,0,1,5\n1,1,0,.\n", DDT_ERR_DATA, "lag of compartment depot is -1");
    h.compartments[0].lag_h = DDT_EXPR_NONE;
    h.compartments[0].bioavailability = central;
    refuse(&h, "ID,TIME,EVID,AMT\n1,0,1,5\n1,1,0,.\n", DDT_ERR_UNSUPPORTED, "depends on a state");
    h.compartments[0].bioavailability = hand_const(&h, NAN);
    refuse(&h, "ID,TIME,EVID,AMT\n1,0,1,5\n1,1,0,.\n", DDT_ERR_DATA, "bioavailability of compartment depot is nan");
    h.compartments[0].bioavailability = DDT_EXPR_NONE;
    h.compartments[0].rate = hand_const(&h, 0.0);
    refuse(&h, "ID,TIME,EVID,AMT,RATE\n1,0,1,5,-1\n1,1,0,.,.\n", DDT_ERR_DATA, "line 2: the rate");
    h.compartments[0].duration = hand_const(&h, 0.0);
    refuse(&h, "ID,TIME,EVID,AMT,RATE\n1,0,1,5,-2\n1,1,0,.,.\n", DDT_ERR_DATA, "line 2: the duration");
    h.compartments[0].initial = hand_div(&h, hand_const(&h, 1.0), hand_theta(&h, "zero", 0.0));
    refuse(&h, "ID,TIME\n1,0\n", DDT_ERR_MODEL, "initial value of depot");
    hand_close(&h);
}

/* SS 1 again and again, with what is still pending: it must all be forgotten; SS 2 must forget nothing. */
static void test_steady_state_forgets_or_adds(void **state) {
    (void)state;
    hand h;
    double first[VALUES];
    double second[VALUES];
    hand_open(&h, ctx);
    ddt_expr central = hand_oral(&h, hand_theta(&h, "ka", KA), hand_theta(&h, "ke", KE));
    simulate(&h, "ID,TIME,AMT,RATE,II,ADDL,SS,CMT,EVID\n1,10,50,.,12,.,1,1,1\n1,13,.,.,.,.,.,.,0\n1,19,.,.,.,.,.,.,0\n",
             central, first);
    simulate(&h,
             "ID,TIME,AMT,RATE,II,ADDL,SS,CMT,EVID\n1,0,200,10,9,5,.,2,1\n1,0,70,.,11,5,.,1,1\n1,8,100,50,2,9,.,2,1\n"
             "1,10,50,.,12,.,1,1,1\n1,13,.,.,.,.,.,.,0\n1,19,.,.,.,.,.,.,0\n",
             central, second);
    near(second[0], first[0], TOLERANCE);
    near(second[1], first[1], TOLERANCE);
    /* Superposition: SS 2 on top of doses still running equals the sum of both alone. */
    double sum[VALUES];
    simulate(&h, "ID,TIME,AMT,RATE,II,ADDL,SS,CMT,EVID\n1,0,200,10,9,5,.,2,1\n1,13,.,.,.,.,.,.,0\n1,19,.,.,.,.,.,.,0\n",
             central, second);
    simulate(&h,
             "ID,TIME,AMT,RATE,II,ADDL,SS,CMT,EVID\n1,0,200,10,9,5,.,2,1\n1,10,50,.,12,.,2,1,1\n1,13,.,.,.,.,.,.,0\n"
             "1,19,.,.,.,.,.,.,0\n",
             central, sum);
    near(sum[0], first[0] + second[0], TOLERANCE);
    near(sum[1], first[1] + second[1], TOLERANCE);
    /* Infusions of an SS 2 regimen longer than their interval go on and end in time. */
    simulate(&h, "ID,TIME,AMT,RATE,II,SS,CMT,EVID\n1,10,50,5,4,1,2,1\n1,13,.,.,.,.,.,0\n1,19,.,.,.,.,.,0\n", central,
             first);
    simulate(&h,
             "ID,TIME,AMT,RATE,II,SS,CMT,EVID\n1,0,200,10,.,.,2,1\n1,10,50,5,4,2,2,1\n1,13,.,.,.,.,.,0\n"
             "1,19,.,.,.,.,.,0\n",
             central, sum);
    near(sum[0], first[0] + second[0] - infusion(10, 20, 4), TOLERANCE);
    hand_close(&h);
}

/* ------------------------------------------------------------------ robustness */

static void test_sizes_far_apart(void **state) {
    (void)state;
    /* A receptor a million million times smaller than the dose is solved as accurately. */
    hand h;
    double values[VALUES];
    hand_open(&h, ctx);
    ddt_expr big = hand_state(&h, "big");
    ddt_expr small = hand_state(&h, "small");
    h.compartments[0].derivative = hand_neg(&h, hand_mul(&h, hand_const(&h, 0.3), big));
    h.compartments[1].derivative =
        hand_sub(&h, hand_mul(&h, hand_const(&h, 1e-12), big), hand_mul(&h, hand_const(&h, 2.0), small));
    simulate(&h, "ID,TIME,AMT,EVID\n1,0,1000,1\n1,0.5,.,0\n1,4,.,0\n", small, values);
    for (int i = 0; i < 2; i++) {
        double t = i == 0 ? 0.5 : 4;
        double exact = 1e-9 / 1.7 * (exp(-0.3 * t) - exp(-2 * t));
        near(values[i], exact, 1e-8 * exact);
    }
    hand_close(&h);
}

static void test_edges_of_powers(void **state) {
    (void)state;
    /* dx/dt = -sqrt(x): reaches 0, where rounding would make it negative and the root undefined. */
    hand h;
    double values[VALUES];
    hand_open(&h, ctx);
    ddt_expr x = hand_state(&h, "x");
    h.compartments[0].derivative = hand_neg(&h, ddt_expr_unary(h.model.pool, DDT_EXPR_SQRT, x));
    simulate(&h, "ID,TIME,AMT,EVID\n1,0,4,1\n1,2,.,0\n1,5,.,0\n", x, values);
    near(values[0], 1.0, TOLERANCE);
    near(values[1], 0.0, TOLERANCE);
    /* dx/dt = x^2 is infinite at t = 1. */
    h.compartments[0].derivative = hand_mul(&h, x, x);
    refuse(&h, "ID,TIME,AMT,EVID\n1,0,1,1\n1,0.5,.,0\n1,2,.,0\n", DDT_ERR_MODEL, "cannot be integrated beyond time");
    hand_close(&h);
}

static void test_small_models(void **state) {
    (void)state;
    /* No compartment at all; a compartment without equation; several outputs. */
    hand h;
    double values[VALUES];
    hand_open(&h, ctx);
    ddt_expr t = hand_symbol(&h, "t", DDT_SYMBOL_TIME, 0.0);
    ddt_expr weight = hand_covariate(&h, "WT");
    simulate(&h, "ID,TIME,WT\n1,2,3\n1,4,5\n", hand_mul(&h, t, weight), values);
    near(values[0], 6, 0);
    near(values[1], 20, 0);
    hand_close(&h);
    hand_open(&h, ctx);
    ddt_expr pool = hand_state(&h, "pool");
    ddt_events *events = hand_events(&h, "ID,TIME,AMT,II,ADDL\n1,0,2,1,9\n1,4.5,.,.,.\n1,20,.,.,.\n");
    ddt_expr two[] = {pool, hand_mul(&h, pool, pool)};
    assert_int_equal(ddt_reference_simulate(ctx, &h.model, events, 0, two, 2, values), DDT_OK);
    near(values[0], 10, 1e-12);
    near(values[1], 100, 1e-12);
    near(values[2], 20, 1e-12);
    near(values[3], 400, 1e-12);
    ddt_context_clear(ctx);
    assert_int_equal(ddt_reference_simulate(ctx, &h.model, events, 1, two, 2, values), DDT_ERR_ARGUMENT);
    ddt_events_destroy(events);
    hand_close(&h);
}

static void test_other_symbols(void **state) {
    (void)state;
    hand h;
    double values[VALUES];
    hand_open(&h, ctx);
    ddt_expr eta = hand_symbol(&h, "eta", DDT_SYMBOL_ETA, 0.0);
    ddt_expr k = hand_covariate(&h, "k");
    ddt_expr theta = hand_theta(&h, "theta", 2.0);
    ddt_expr x = hand_state(&h, "x");
    h.compartments[0].derivative = hand_const(&h, 0.0);
    h.compartments[0].initial = hand_add(&h, hand_mul(&h, hand_const(&h, 100.0), eta), hand_mul(&h, theta, k));
    ddt_events *events = hand_events(&h, "ID,TIME,k,eta\n1,0,5,0.5\n");
    assert_int_equal(ddt_reference_simulate(ctx, &h.model, events, 0, &x, 1, values), DDT_OK);
    near(values[0], 60, 1e-12);
    const double mine[] = {0.25, 7.0, 3.0, 999.0};
    assert_int_equal(ddt_reference_simulate_with(ctx, &h.model, events, 0, mine, false, &x, 1, values), DDT_OK);
    near(values[0], 46, 1e-12);
    assert_int_equal(ddt_reference_simulate_with(ctx, &h.model, events, 0, mine, true, &x, 1, values), DDT_OK);
    near(values[0], 40, 1e-12);
    ddt_events_destroy(events);
    hand_close(&h);
}

static void test_allocation_failures(void **state) {
    (void)state;
    hand h;
    double values[VALUES];
    hand_open(&h, ctx);
    ddt_expr central = hand_oral(&h, hand_theta(&h, "ka", KA), hand_theta(&h, "ke", KE));
    h.compartments[0].bioavailability = hand_const(&h, 0.7);
    ddt_events *events = hand_events(&h, "ID,TIME,AMT,RATE,SS,II\n1,0,100,5,1,12\n1,5,.,.,.,.\n");
    ddt_status status = DDT_ERR_MEMORY;
    uint64_t n = 0;
    for (; status != DDT_OK; n++) {
        ddt_context_clear(ctx);
        values[0] = 1.0;
        (void)ddt_alloc_fail_after(n);
        status = ddt_reference_simulate(ctx, &h.model, events, 0, &central, 1, values);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        if (status != DDT_OK) {
            assert_true(values[0] == 0.0);
            assert_int_equal(status, DDT_ERR_MEMORY);
        }
    }
    assert_true(n > 20);
    ddt_events_destroy(events);
    hand_close(&h);
}

/* ------------------------------------------------------------------ population */

static void hand_eta(hand *h, const char *name) {
    (void)hand_symbol(h, name, DDT_SYMBOL_ETA, 0.0);
    h->etas[h->model.eta_count++] = (uint32_t)(h->model.symbol_count - 1);
}

static void test_population(void **state) {
    (void)state;
    enum { SYMBOLS = 6, DRAWS = 20000 };
    hand h;
    hand_open(&h, ctx);
    (void)hand_theta(&h, "theta", 4.5);
    (void)hand_covariate(&h, "WT");
    h.symbols[1].has_range = true;
    h.symbols[1].range_low = 40;
    h.symbols[1].range_high = 100;
    hand_eta(&h, "eta.a");
    hand_eta(&h, "eta.b");
    hand_eta(&h, "eta.none");
    (void)hand_state(&h, "x");
    static const double omega[9] = {0.09, 0.048, 0, 0.048, 0.04, 0, 0, 0, 0};
    memcpy(h.omega, omega, sizeof omega);
    double draw[SYMBOLS];
    assert_int_equal(ddt_population_draw(ctx, &h.model, 0, draw), DDT_OK);
    static const double typical[SYMBOLS] = {4.5, 70, 0, 0, 0, 0};
    assert_memory_equal(draw, typical, sizeof typical);
    double mean[SYMBOLS] = {0};
    double square[3] = {0}; /* aa, ab, bb */
    double low = INFINITY, high = 0;
    for (uint64_t i = 1; i <= DRAWS; i++) {
        assert_int_equal(ddt_population_draw(ctx, &h.model, i, draw), DDT_OK);
        for (size_t s = 0; s < SYMBOLS; s++) {
            mean[s] += draw[s] / DRAWS;
        }
        square[0] += draw[2] * draw[2] / DRAWS;
        square[1] += draw[2] * draw[3] / DRAWS;
        square[2] += draw[3] * draw[3] / DRAWS;
        assert_true(fabs(draw[2]) <= 0.9 + 1e-12 && fabs(draw[3]) <= 0.6 + 1e-12 && draw[4] == 0);
        low = fmin(low, draw[1]);
        high = fmax(high, draw[1]);
    }
    assert_true(low >= 40 && low < 40.1 && high <= 100 && high > 99.9);
    near(mean[0], 4.5, 1e-9);
    near(mean[1], 70, 0.5);
    near(mean[2], 0, 0.01);
    near(mean[3], 0, 0.01);
    /* Clipping at 3 standard deviations takes 1.3 % of the variance. */
    near(square[0], 0.09, 0.003);
    near(square[1], 0.048, 0.002);
    near(square[2], 0.04, 0.0015);
    /* The same index, the same patient; here and everywhere. */
    double again[SYMBOLS];
    assert_int_equal(ddt_population_draw(ctx, &h.model, 12345, draw), DDT_OK);
    assert_int_equal(ddt_population_draw(ctx, &h.model, 12345, again), DDT_OK);
    assert_memory_equal(draw, again, sizeof draw);
    assert_int_equal(ddt_population_draw(ctx, &h.model, 12346, again), DDT_OK);
    assert_true(again[1] != draw[1] && again[2] != draw[2]);
    hand_close(&h);
}

static void test_population_refusals(void **state) {
    (void)state;
    hand h;
    double draw[3] = {1, 1, 1};
    hand_open(&h, ctx);
    hand_eta(&h, "eta.a");
    hand_eta(&h, "eta.b");
    h.omega[0] = h.omega[3] = 0.04;
    h.omega[1] = h.omega[2] = 0.05;
    ddt_context_clear(ctx);
    assert_int_equal(ddt_population_draw(ctx, &h.model, 1, draw), DDT_ERR_MODEL);
    assert_non_null(strstr(ddt_error_detail(ctx), "eta.b"));
    assert_true(draw[0] == 0 && draw[1] == 0);
    /* Perfectly correlated etas are a covariance matrix. */
    h.omega[1] = h.omega[2] = 0.04;
    assert_int_equal(ddt_population_draw(ctx, &h.model, 1, draw), DDT_OK);
    near(draw[0], draw[1], 1e-12);
    (void)ddt_alloc_fail_after(0);
    ddt_context_clear(ctx);
    assert_int_equal(ddt_population_draw(ctx, &h.model, 1, draw), DDT_ERR_MEMORY);
    (void)ddt_alloc_fail_after(UINT64_MAX);
    (void)hand_covariate(&h, "WT");
    ddt_symbol *weight = &h.model.symbols[ddt_model_find_symbol(&h.model, "WT")];
    weight->has_range = true;
    weight->range_low = 2;
    weight->range_high = 1;
    ddt_context_clear(ctx);
    assert_int_equal(ddt_population_draw(ctx, &h.model, 0, draw), DDT_ERR_MODEL);
    assert_non_null(strstr(ddt_error_detail(ctx), "WT"));
    hand_close(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_forms),
        cmocka_unit_test(test_record_order),
        cmocka_unit_test(test_modelled_dosing),
        cmocka_unit_test(test_initial_values_and_resets),
        cmocka_unit_test(test_time_varying_covariates),
        cmocka_unit_test(test_equations_in_time),
        cmocka_unit_test(test_breaks),
        cmocka_unit_test(test_breaks_after_doses),
        cmocka_unit_test(test_dose_history),
        cmocka_unit_test(test_steady_state_linear),
        cmocka_unit_test(test_steady_state_nonlinear),
        cmocka_unit_test(test_steady_state_of_dose_history),
        cmocka_unit_test(test_steady_state_refusals),
        cmocka_unit_test(test_steady_state_forgets_or_adds),
        cmocka_unit_test(test_sizes_far_apart),
        cmocka_unit_test(test_edges_of_powers),
        cmocka_unit_test(test_small_models),
        cmocka_unit_test(test_other_symbols),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_population),
        cmocka_unit_test(test_population_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
