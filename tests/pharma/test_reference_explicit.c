/*
 * ddt_reference_simulate_to, which prefers an explicit method, against CVODE at its own tolerance: published models,
 * infusions, steady states, resets, equations that jump in time, stiff ones, and whatever runs out of memory.
 *
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
#include "model_text.h"

enum { VALUES = 64, SYMBOLS = 64, PATH = 512 };

typedef struct both {
    double exact[VALUES], fast[VALUES];
    size_t count;
} both;

/* All outputs at all observations, in both ways. */
static void solve(const ddt_model *model, const char *table, double rtol, both *out) {
    ddt_events *events = NULL;
    ddt_expr outputs[VALUES];
    double symbols[SYMBOLS];
    assert_true(model->symbol_count <= SYMBOLS);
    require(ddt_events_parse(ctx, table, strlen(table), "table", model, &events));
    ddt_events_symbols(model, events, 0, 0, symbols);
    for (size_t o = 0; o < model->output_count; o++) {
        outputs[o] = model->outputs[o].value;
    }
    size_t observations = 0;
    for (size_t r = 0; r < events->subjects[0].record_count; r++) {
        observations += events->subjects[0].records[r].evid == 0;
    }
    out->count = observations * model->output_count;
    assert_true(out->count > 0 && out->count <= VALUES);
    require(
        ddt_reference_simulate_with(ctx, model, events, 0, symbols, true, outputs, model->output_count, out->exact));
    require(ddt_reference_simulate_to(ctx, model, events, 0, symbols, rtol, outputs, model->output_count, out->fast));
    ddt_events_destroy(events);
}

/* What decays to nothing has errors of what it was. */
static void check_values(const ddt_model *model, double rtol, const both *values) {
    const double margin = 300.0; /* errors add up over hundreds of steps */
    const double small = 1e-3;
    double largest = 0.0;
    for (size_t i = 0; i < values->count; i++) {
        largest = fmax(largest, fabs(values->exact[i]));
    }
    for (size_t i = 0; i < values->count; i++) {
        double allowed = margin * rtol * fmax(fabs(values->exact[i]), small * largest);
        if (!(fabs(values->fast[i] - values->exact[i]) <= allowed)) {
            fail_msg("%s, rtol %g, value %zu: %.12g for %.12g", model->name, rtol, i, values->fast[i],
                     values->exact[i]);
        }
    }
}

static void check(const ddt_model *model, const char *table) {
    static const double rtol[] = {1e-9, 1e-6};
    for (size_t k = 0; k < sizeof rtol / sizeof *rtol; k++) {
        both values;
        solve(model, table, rtol[k], &values);
        check_values(model, rtol[k], &values);
    }
}

static void check_text(const char *equations, const char *table) {
    ddt_model *model = NULL;
    require(model_from(ctx, "k <- 1", equations, &model));
    check(model, table);
    ddt_model_destroy(model);
}

static void check_shipped(const char *name, const char *table) {
    char path[PATH];
    ddt_model *model = NULL;
    (void)snprintf(path, sizeof path, "%s/models/%s.R", DDT_SOURCE_DIR, name);
    require(ddt_model_read(ctx, path, &model));
    check(model, table);
    ddt_model_destroy(model);
}

static void test_published_models(void **state) {
    (void)state;
    check_shipped("phenytoin_yukawa1990", "ID,TIME,AMT,ADDL,II,CMT,EVID,WT\n1,0,150,20,0.5,1,1,60\n1,0.1,.,.,.,.,0,60\n"
                                          "1,4.9,.,.,.,.,0,60\n1,12,.,.,.,.,0,60\n");
    check_shipped("warfarin", "ID,TIME,AMT,CMT,EVID\n1,0,100,1,1\n1,0.5,.,3,0\n1,24,.,3,0\n1,96,.,3,0\n");
    check_shipped("vancomycin_thomson2009", "ID,TIME,AMT,RATE,EVID,WT,CRCL\n1,0,1000,1000,1,70,66\n1,0.5,.,.,0,70,66\n"
                                            "1,1,.,.,0,70,66\n1,12,1000,1000,1,70,66\n1,23,.,.,0,70,66\n");
}

static void test_events(void **state) {
    (void)state;
    const char *saturable = "d/dt(a) <- -2 * a\nd/dt(b) <- 2 * a - 9 * b / (3 + b)\nb ~ add(k)";
    check_text(saturable, "ID,TIME,AMT,CMT,EVID\n1,0,40,1,1\n1,1,.,2,0\n1,1,40,1,4\n1,1.5,.,2,0\n1,9,.,2,0\n");
    check_text(saturable, "ID,TIME,AMT,RATE,SS,II,CMT,EVID\n1,0,40,20,1,12,2,1\n1,0,.,.,.,.,2,0\n1,1,.,.,.,.,2,0\n"
                          "1,11,.,.,.,.,2,0\n");
    /* input that starts and ends at times of its own */
    check_text("d/dt(a) <- ifelse(t < 3, 2, 0) - k * a\na ~ add(k)",
               "ID,TIME,EVID\n1,0,0\n1,2.9,0\n1,3,0\n1,3.1,0\n1,8,0\n");
}

/* The explicit method gives up in the midst of an interval, and CVODE goes on. */
static void test_stiff(void **state) {
    (void)state;
    check_text("d/dt(a) <- -5000 * a + 5000 * b\nd/dt(b) <- 5000 * a - 5001 * b\nb ~ add(k)",
               "ID,TIME,AMT,CMT,EVID\n1,0,40,1,1\n1,0.001,.,2,0\n1,0.5,.,2,0\n1,1,.,2,0\n1,1,40,1,1\n1,2.5,.,2,0\n");
}

static void test_no_memory(void **state) {
    (void)state;
    ddt_model *model = NULL;
    ddt_events *events = NULL;
    double symbols[SYMBOLS];
    double value = 1.0;
    const char *table = "ID,TIME,AMT,CMT,EVID\n1,0,40,1,1\n1,1,.,1,0\n";
    require(model_from(ctx, "k <- 1", "d/dt(a) <- -k * a\na ~ add(k)", &model));
    require(ddt_events_parse(ctx, table, strlen(table), "table", model, &events));
    ddt_events_symbols(model, events, 0, 0, symbols);
    ddt_status status = DDT_ERR_MEMORY;
    for (uint64_t n = 0; status != DDT_OK; n++) {
        (void)ddt_alloc_fail_after(n);
        status = ddt_reference_simulate_to(ctx, model, events, 0, symbols, 1e-6, &model->outputs[0].value, 1, &value);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_true(status == DDT_OK || (status == DDT_ERR_MEMORY && value == 0.0));
        ddt_context_clear(ctx);
    }
    assert_true(fabs(value - 40.0 * exp(-1.0)) <= 1e-4);
    ddt_events_destroy(events);
    ddt_model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_published_models), cmocka_unit_test(test_events),
                                       cmocka_unit_test(test_stiff), cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
