/*
 * The reference solver on published models: their steady states are steady, and doses that act late and briefly are
 * met.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ddt/pharma.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "context_test.h"

enum { TEXT = 512 };

/* Values of one compartment for the first subject of a table. */
static void simulate(const ddt_model *model, const char *table, const char *compartment, double *values) {
    ddt_events *events = NULL;
    int64_t symbol = ddt_model_find_symbol(model, compartment);
    assert_true(symbol >= 0);
    ddt_expr what = ddt_expr_symbol(model->pool, (uint32_t)symbol);
    require(ddt_events_parse(ctx, table, strlen(table), "table", model, &events));
    require(ddt_reference_simulate(ctx, model, events, 0, &what, 1, values));
    ddt_events_destroy(events);
}

/* A compartment that the dose does not enter at once has the same value at the record and one interval later, and then
 * again. */
static void check_periodic(const char *name, const char *dosed, const char *read, double amount, double rate,
                           double interval) {
    char path[TEXT];
    char table[TEXT];
    double values[3];
    ddt_model *model = NULL;
    ddt_context_clear(ctx);
    (void)snprintf(path, sizeof path, "%s/models/%s.R", DDT_SOURCE_DIR, name);
    require(ddt_model_read(ctx, path, &model));
    (void)snprintf(table, sizeof table,
                   "ID,TIME,AMT,RATE,SS,II,ADDL,CMT,EVID,WT\n1,0,%g,%.15g,1,%g,1,%s,1,60\n1,0,.,.,.,.,.,.,0,60\n"
                   "1,%g,.,.,.,.,.,.,0,60\n1,%g,.,.,.,.,.,.,0,60\n",
                   amount, rate, interval, dosed, interval, 2 * interval);
    simulate(model, table, read, values);
    assert_true(values[0] > 0.0);
    for (int i = 1; i < 3; i++) {
        if (!(fabs(values[i] - values[0]) <= 2e-7 * values[0])) {
            fail_msg("%s, %s, dose %g: %.12g becomes %.12g", name, read, amount, values[0], values[i]);
        }
    }
    ddt_model_destroy(model);
}

static void test_steady_states_are_steady(void **state) {
    (void)state;
    for (double amount = 20; amount < 2000; amount *= 8) {
        check_periodic("friberg_paclitaxel", "central", "circ", amount, amount / 3, 504);
    }
    for (double amount = 1; amount < 5000; amount *= 30) {
        check_periodic("tmdd_qss", "depot", "target", amount, 0, 14);
        check_periodic("warfarin", "depot", "effect", amount, 0, 24);
    }
    /* Up to 154 of the 162.5 mg that 60 kg can eliminate in half a day. */
    for (double amount = 10; amount < 160; amount += 48) {
        check_periodic("phenytoin_yukawa1990", "depot", "central", amount, 0, 0.5);
    }
    check_periodic("wbpbpk_jones2013", "depot", "liver", 100, 0, 8);
}

static void test_late_and_brief_inputs_are_met(void **state) {
    (void)state;
    /* All of a dose arrives through its transit steps, though nothing at all is to be seen when it is given. */
    for (int steps = 1; steps < 60; steps += 8) {
        for (double until = 100; until < 2e5; until *= 10) {
            char text[TEXT];
            double value = 0.0;
            ddt_model *model = NULL;
            ddt_context_clear(ctx);
            (void)snprintf(
                text, sizeof text,
                "m <- function() { ini({k <- 0})\nmodel({\nd/dt(depot) <- transit(%d, 2)\nf(depot) <- 0\n}) }", steps);
            require(ddt_model_parse(ctx, text, strlen(text), "transit", &model));
            (void)snprintf(text, sizeof text, "ID,TIME,AMT,EVID\n1,0,100,1\n1,%g,.,0\n", until);
            simulate(model, text, "depot", &value);
            assert_true(fabs(value - 100.0) < 1e-5);
            ddt_model_destroy(model);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steady_states_are_steady),
        cmocka_unit_test(test_late_and_brief_inputs_are_met),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
