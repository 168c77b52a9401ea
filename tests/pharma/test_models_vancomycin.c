/*
 * The two vancomycin models against 60 regimens computed elsewhere: AUC over the first and the second day and at steady
 * state, and the trough at steady state. SPDX-License-Identifier: Apache-2.0
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

enum { LINE = 512, TEXT_MAX = 1 << 16, TABLE_MAX = 4096, FIGURES = 4 };

/* A shipped model; with_auc: with one more compartment, which integrates the concentration. */
static ddt_model *read_model(const char *name, bool with_auc) {
    static const char output[] = "    Cc ~ ";
    static char text[TEXT_MAX];
    char path[LINE];
    char *shipped = NULL;
    size_t length = 0;
    ddt_model *model = NULL;
    (void)snprintf(path, sizeof path, "%s/models/vancomycin_%s.R", DDT_SOURCE_DIR, name);
    require(ddt_read_text(ctx, path, TEXT_MAX / 2, &shipped, &length));
    const char *at = strstr(shipped, output);
    assert_non_null(at);
    int n = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - shipped), shipped,
                     with_auc ? "    d/dt(auc) <- Cc\n" : "", at);
    require(ddt_model_parse(ctx, text, (size_t)n, path, &model));
    ddt_free(shipped);
    return model;
}

typedef struct regimen {
    char model[32];
    double weight_kg;
    double crcl;
    double dose_mg;
    double interval_h;
    double infusion_h;
    double expected[FIGURES]; /* AUC 0-24, 24-48, steady state; trough at steady state */
} regimen;

/* Row of the file: model, WT, CRCL, CL, V1, Q, V2, dose, tau, tinf, and the figures. */
static bool read_regimen(FILE *file, regimen *out) {
    char line[LINE];
    double skipped[4];
    if (fgets(line, sizeof line, file) == NULL) {
        return false;
    }
    int n = sscanf(line, "%31[^,],%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf", out->model, &out->weight_kg,
                   &out->crcl, &skipped[0], &skipped[1], &skipped[2], &skipped[3], &out->dose_mg, &out->interval_h,
                   &out->infusion_h, &out->expected[0], &out->expected[1], &out->expected[2], &out->expected[3]);
    assert_int_equal(n, 14);
    return true;
}

static ddt_expr find(const ddt_model *model, const char *name) {
    for (size_t i = 0; i < model->variable_count; i++) {
        if (strcmp(model->variable_names[i], name) == 0) {
            return model->variables[i];
        }
    }
    int64_t symbol = ddt_model_find_symbol(model, name);
    assert_true(symbol >= 0);
    return ddt_expr_symbol(model->pool, (uint32_t)symbol);
}

/* A variable or compartment, and Cc, at every observation of one event table. */
static void simulate(const ddt_model *model, const char *table, const char *name, double *values) {
    ddt_events *events = NULL;
    require(ddt_events_parse(ctx, table, strlen(table), "regimen.csv", model, &events));
    ddt_expr list[2] = {find(model, name), model->outputs[0].value};
    require(ddt_reference_simulate(ctx, model, events, 0, list, 2, values));
    ddt_events_destroy(events);
}

static void check(const regimen *r, const ddt_model *with_auc, const ddt_model *shipped) {
    const double day_h = 24;
    char table[TABLE_MAX];
    double values[6];
    double rate = r->dose_mg / r->infusion_h;
    double doses = 2 * day_h / r->interval_h;
    (void)snprintf(table, sizeof table,
                   "ID,TIME,EVID,AMT,RATE,II,ADDL,CMT,WT,CRCL,DIAL\n"
                   "1,0,1,%.17g,%.17g,%.17g,%.0f,1,%.17g,%.17g,0\n"
                   "1,24,0,.,.,.,.,.,.,.,.\n1,48,0,.,.,.,.,.,.,.,.\n",
                   r->dose_mg, rate, r->interval_h, doses - 1, r->weight_kg, r->crcl);
    simulate(with_auc, table, "auc", values);
    double found[FIGURES] = {values[0], values[2] - values[0], 0, 0};
    /* The steady state comes from the solver itself (SS 1), of the model as shipped: AUC has none. */
    (void)snprintf(table, sizeof table,
                   "ID,TIME,EVID,AMT,RATE,II,SS,CMT,WT,CRCL,DIAL\n"
                   "1,0,1,%.17g,%.17g,%.17g,1,1,%.17g,%.17g,0\n"
                   "1,%.17g,0,.,.,.,.,.,.,.,.\n",
                   r->dose_mg, rate, r->interval_h, r->weight_kg, r->crcl, r->interval_h);
    simulate(shipped, table, "cl", values);
    found[2] = r->dose_mg * day_h / (r->interval_h * values[0]);
    found[3] = values[1];
    for (size_t i = 0; i < FIGURES; i++) {
        double relative = fabs(found[i] / r->expected[i] - 1);
        if (!(relative < 1e-6)) {
            fail_msg("%s, %g kg, %g mL/min, %g mg: figure %zu is %.9g, not %.9g", r->model, r->weight_kg, r->crcl,
                     r->dose_mg, i, found[i], r->expected[i]);
        }
    }
}

static void regimens_agree(void **state) {
    (void)state;
    static const char *const names[] = {"thomson2009", "goti2018"};
    ddt_model *models[2][2];
    for (size_t i = 0; i < 2; i++) {
        models[i][0] = read_model(names[i], true);
        models[i][1] = read_model(names[i], false);
    }
    char path[LINE];
    (void)snprintf(path, sizeof path, "%s/data/reference/vancomycin_auc24.csv", DDT_SOURCE_DIR);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char heading[LINE];
    assert_non_null(fgets(heading, sizeof heading, file));
    regimen r;
    size_t count = 0;
    for (; read_regimen(file, &r); count++) {
        ddt_model *const *pair = models[strcmp(r.model, names[0]) == 0 ? 0 : 1];
        check(&r, pair[0], pair[1]);
    }
    assert_int_equal(count, 60);
    (void)fclose(file);
    for (size_t i = 0; i < 2; i++) {
        ddt_model_destroy(models[i][0]);
        ddt_model_destroy(models[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(regimens_agree)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
