/*
 * tad(), tlast(), podo() and transit(): what the language makes of them, and the solver's answer against a chain of
 * compartments. SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "context_test.h"
#include <stdlib.h>

#include "ddt/pharma.h"
#include "model_text.h"

static ddt_model *model(const char *block) {
    ddt_model *m = NULL;
    ddt_context_clear(ctx);
    if (model_from(ctx, "", block, &m) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(ctx));
    }
    return m;
}

static const ddt_symbol *find(const ddt_model *m, const char *name) {
    int64_t at = ddt_model_find_symbol(m, name);
    if (at < 0) {
        fail_msg("no symbol %s", name);
    }
    return &m->symbols[at];
}

static void symbols_of_the_last_dose(void **state) {
    (void)state;
    ddt_model *m = model("d/dt(depot) <- -depot; d/dt(central) <- depot - central\n"
                         "a <- tad(); b <- tad(central) + podo(depot); c <- tlast() + podo; e <- tad - tad()\n"
                         "if (tad(depot) > 2) k <- 1 else k <- 2\ny <- k + a + b + c + e");
    assert_true(m->uses_dose_history);
    assert_int_equal(find(m, "tlast()")->kind, DDT_SYMBOL_LAST_DOSE_TIME);
    assert_int_equal(find(m, "tlast()")->compartment, UINT32_MAX);
    assert_int_equal(find(m, "tlast(central)")->compartment, 1);
    assert_int_equal(find(m, "podo(depot)")->kind, DDT_SYMBOL_LAST_DOSE_AMOUNT);
    assert_int_equal(find(m, "podo(depot)")->compartment, 0);
    double values[64];
    default_values(m, values);
    set_value(m, values, "t", 10);
    set_value(m, values, "tlast()", 7);
    set_value(m, values, "tlast(central)", 4);
    set_value(m, values, "tlast(depot)", 9);
    set_value(m, values, "podo(depot)", 100);
    set_value(m, values, "podo()", 30);
    assert_true(value_of(m, variable_of(m, "a"), values) == 3);
    assert_true(value_of(m, variable_of(m, "b"), values) == 106);
    assert_true(value_of(m, variable_of(m, "c"), values) == 37);
    assert_true(value_of(m, variable_of(m, "e"), values) == 0);
    assert_true(value_of(m, variable_of(m, "k"), values) == 2);
    assert_int_equal(m->break_count, 1);
    assert_true(value_of(m, m->breaks[0], values) == 11); /* two hours after the dose into the depot */
    ddt_model_destroy(m);
}

static void transit_is_a_gamma_density(void **state) {
    (void)state;
    ddt_model *m = model("d/dt(depot) <- transit(3, 2, 0.5) - depot; f(depot) <- 0");
    double values[64];
    default_values(m, values);
    set_value(m, values, "podo(depot)", 80);
    set_value(m, values, "tlast(depot)", 1);
    const double ktr = 2;
    for (int i = 0; i <= 8; i++) {
        double s = 0.5 * i;
        set_value(m, values, "t", 1 + s);
        double expected = 0.5 * 80 * ktr * pow(ktr * s, 3) * exp(-ktr * s) / 6;
        assert_true(fabs(value_of(m, m->compartments[0].derivative, values) - expected) <= 1e-12 * (1 + expected));
    }
    ddt_model_destroy(m);
}

/* Values of "central" at each observation. */
static void simulate(const char *block, const char *table, double *values) {
    ddt_model *m = model(block);
    ddt_events *events = NULL;
    if (ddt_events_parse(ctx, table, strlen(table), "t.csv", m, &events) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(ctx));
    }
    ddt_expr central = ddt_expr_symbol(m->pool, (uint32_t)ddt_model_find_symbol(m, "central"));
    if (ddt_reference_simulate(ctx, m, events, 0, &central, 1, values) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(ctx));
    }
    ddt_events_destroy(events);
    ddt_model_destroy(m);
}

/* n transit compartments behind the one that is dosed are transit(n, (n + 1) / ktr): while one dose is out before the
 * next comes. */
static void transit_equals_its_chain(void **state) {
    (void)state;
    static const char chain[] = "d/dt(a0) <- -4 * a0; d/dt(a1) <- 4 * (a0 - a1); d/dt(a2) <- 4 * (a1 - a2)\n"
                                "d/dt(depot) <- 4 * a2 - 0.7 * depot; d/dt(central) <- 0.7 * depot - 0.2 * central";
    static const char savic[] = "d/dt(depot) <- transit(2, 3 / 4) - 0.7 * depot\n"
                                "d/dt(central) <- 0.7 * depot - 0.2 * central; f(depot) <- 0";
    static const char table[] =
        "ID,TIME,EVID,AMT,CMT\n1,0,1,100,1\n1,0.25,0,.,.\n1,1,0,.,.\n1,3,0,.,.\n1,24,1,50,1\n1,25,0,.,.\n"
        "1,40,0,.,.\n";
    double one[5];
    double other[5];
    simulate(chain, table, one);
    simulate(savic, table, other);
    for (int i = 0; i < 5; i++) {
        if (!(fabs(one[i] - other[i]) < 1e-7 * 60)) {
            fail_msg("observation %d: %.12g in the chain, %.12g by transit()", i, one[i], other[i]);
        }
    }
    assert_true(one[2] > 10);
}

/* A zero-order input that the model itself ends 3 h after each dose. */
static void input_ends_after_the_dose(void **state) {
    (void)state;
    static const char by_model[] = "kin <- podo(central) / 3; if (tad(central) > 3) kin <- 0\n"
                                   "d/dt(central) <- kin - 0.2 * central; f(central) <- 0";
    static const char by_table[] = "d/dt(central) <- -0.2 * central";
    static const char dose[] =
        "ID,TIME,EVID,AMT,CMT\n1,1,1,60,1\n1,2,0,.,.\n1,5,0,.,.\n1,13,1,30,1\n1,15,0,.,.\n1,20,0,.,.\n";
    static const char infusion[] =
        "ID,TIME,EVID,AMT,CMT,RATE\n1,1,1,60,1,20\n1,2,0,.,.,.\n1,5,0,.,.,.\n1,13,1,30,1,10\n"
        "1,15,0,.,.,.\n1,20,0,.,.,.\n";
    double one[4];
    double other[4];
    simulate(by_model, dose, one);
    simulate(by_table, infusion, other);
    for (int i = 0; i < 4; i++) {
        if (!(fabs(one[i] - other[i]) < 1e-7 * 60)) {
            fail_msg("observation %d: %.12g by the model, %.12g by the table", i, one[i], other[i]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(symbols_of_the_last_dose),
        cmocka_unit_test(transit_is_a_gamma_density),
        cmocka_unit_test(transit_equals_its_chain),
        cmocka_unit_test(input_ends_after_the_dose),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
