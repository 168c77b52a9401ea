/*
 * The trajectories of data/reference/trajectories, computed elsewhere by two other solvers from equations written by
 * hand, against the models in models/: this tests the language, the models and the reference solver at once. Every
 * state or output is within 1e-8 of its largest value (1e-6 is asked). SPDX-License-Identifier: Apache-2.0
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

enum { COLUMNS_MAX = 20, ROWS_MAX = 600, LINE = 1024, DOSES_MAX = 2, PARAMETERS_MAX = 4 };

typedef struct dose {
    const char *compartment;
    double amount;
    double rate;
    unsigned count;
    double interval;
} dose;

typedef struct parameter {
    const char *name;
    double value;
} parameter;

typedef struct trajectory {
    const char *file;
    const char *model;
    const char *covariates; /* ",NAME..." */
    const char *values;     /* ",VALUE..." */
    dose doses[DOSES_MAX];
    /* Where the trajectory has more digits than the model. */
    parameter parameters[PARAMETERS_MAX];
    /* Name in the model of each column after t. */
    const char *names[COLUMNS_MAX];
} trajectory;

static const trajectory trajectories[] = {
    {"theophylline_1cpt_oral",
     "theophylline",
     "",
     "",
     {{"depot", 4.02, 0, 1, 0}},
     {{"lke", -2.454645}, {"lka", 0.4655015}, {"lcl", -3.227198}},
     {"depot", "conc"}},
    {"vancomycin_thomson2009",
     "vancomycin_thomson2009",
     ",WT,CRCL",
     ",70,66",
     {{"central", 1000, 1000, 7, 12}},
     {{NULL, 0}},
     {"central", "peripheral"}},
    {"warfarin_turnover_emax",
     "warfarin",
     "",
     "",
     {{"depot", 100, 0, 1, 0}},
     {{NULL, 0}},
     {"depot", "gut", "center", "pca"}},
    {"tacrolimus_woillard2011",
     "tacrolimus_woillard2011",
     ",HCT,CYP3A5,FORMULATION",
     ",35,0,1",
     {{"depot", 4, 0, 1, 0}},
     {{NULL, 0}},
     {"depot", "transit1", "transit2", "central", "peripheral"}},
    {"phenytoin_mm_yukawa1990",
     "phenytoin_yukawa1990",
     ",WT",
     ",60",
     {{"depot", 150, 0, 60, 0.5}},
     {{NULL, 0}},
     {"depot", "central"}},
    {"friberg_paclitaxel",
     "friberg_paclitaxel",
     "",
     "",
     {{"central", 350, 350.0 / 3.0, 1, 0}},
     {{NULL, 0}},
     {"central", "peripheral", "circ", "prol", "transit1", "transit2", "transit3"}},
    {"tmdd_qss_2cpt",
     "tmdd_qss",
     "",
     "",
     {{"depot", 100, 0, 1, 0}},
     {{NULL, 0}},
     {"depot", "central", "peripheral", "target"}},
    {"wbpbpk_jones2013_caffeine",
     "wbpbpk_jones2013",
     ",WT",
     ",70",
     {{"depot", 100, 0, 1, 0}},
     {{NULL, 0}},
     {"depot", "adipose", "bone", "brain", "gut", "heart", "kidney", "liver", "lung", "muscle", "skin", "spleen",
      "testes", "rest", "venous", "arterial"}},
    {"ddi_midazolam_competitive_I5",
     "ddi_midazolam",
     "",
     "",
     {{"midazolam", 1000, 0, 1, 0}, {"inhibitor", 5, 0, 1, 0}},
     {{NULL, 0}},
     {"midazolam", "hydroxy", "inhibitor"}},
};

typedef struct table {
    double time[ROWS_MAX];
    double value[ROWS_MAX][COLUMNS_MAX];
    size_t rows;
    size_t columns; /* after t */
} table;

static void read_table(const char *name, table *t) {
    char path[LINE];
    char line[LINE];
    (void)snprintf(path, sizeof path, "%s/data/reference/trajectories/%s.csv", DDT_SOURCE_DIR, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    t->columns = 0;
    for (const char *p = line; *p != '\0'; p++) {
        t->columns += *p == ',';
    }
    assert_in_range(t->columns, 1, COLUMNS_MAX);
    for (t->rows = 0; fgets(line, sizeof line, file) != NULL; t->rows++) {
        assert_true(t->rows < ROWS_MAX);
        char *end = line;
        t->time[t->rows] = strtod(line, &end);
        for (size_t i = 0; i < t->columns; i++) {
            assert_int_equal(*end, ',');
            t->value[t->rows][i] = strtod(end + 1, &end);
        }
    }
    (void)fclose(file);
}

/* Doses at the start act before its observation; later ones after that of their time, as the trajectories have it. */
static char *event_table(const trajectory *what, const table *t) {
    size_t room = (t->rows + 512) * 96;
    char *text = malloc(room);
    if (text == NULL) {
        abort();
    }
    size_t used = (size_t)snprintf(text, room, "ID,TIME,EVID,AMT,RATE,CMT%s\n", what->covariates);
    for (size_t i = 0; i < t->rows; i++) {
        for (int late = 0; late < 2; late++) {
            for (size_t d = 0; d < DOSES_MAX; d++) {
                for (unsigned k = 0; k < what->doses[d].count; k++) {
                    if (k * what->doses[d].interval == t->time[i] && (k > 0) == (late == 1)) {
                        used += (size_t)snprintf(text + used, room - used, "1,%.15g,1,%.15g,%.15g,%s%s\n", t->time[i],
                                                 what->doses[d].amount, what->doses[d].rate, what->doses[d].compartment,
                                                 what->values);
                    }
                }
            }
            if (late == 0) {
                used += (size_t)snprintf(text + used, room - used, "1,%.15g,0,.,.,.%s\n", t->time[i], what->values);
            }
        }
    }
    assert_true(used < room);
    return text;
}

static ddt_expr find(const ddt_model *model, const char *name) {
    for (size_t i = 0; i < model->variable_count; i++) {
        if (strcmp(model->variable_names[i], name) == 0) {
            return model->variables[i];
        }
    }
    int64_t symbol = ddt_model_find_symbol(model, name);
    if (symbol < 0) {
        fail_msg("the model %s has no %s", model->name, name);
    }
    return ddt_expr_symbol(model->pool, (uint32_t)symbol);
}

static void compare(const trajectory *what, const table *t, const double *values) {
    const double bar = 1e-8;
    for (size_t c = 0; c < t->columns; c++) {
        double largest = 0.0;
        double error = 0.0;
        for (size_t i = 0; i < t->rows; i++) {
            largest = fmax(largest, fabs(t->value[i][c]));
            error = fmax(error, fabs(values[i * t->columns + c] - t->value[i][c]));
        }
        print_message("%s %s: %.1e of the maximum %.6g\n", what->file, what->names[c], error / largest, largest);
        assert_true(largest > 0.0);
        assert_true(error <= bar * largest);
    }
}

static void check(const trajectory *what) {
    static table t;
    char path[LINE];
    read_table(what->file, &t);
    (void)snprintf(path, sizeof path, "%s/models/%s.R", DDT_SOURCE_DIR, what->model);
    ddt_model *model = NULL;
    ddt_events *events = NULL;
    ddt_context_clear(ctx);
    if (ddt_model_read(ctx, path, &model) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(ctx));
    }
    for (size_t i = 0; i < PARAMETERS_MAX && what->parameters[i].name != NULL; i++) {
        assert_int_equal(ddt_model_set_param(ctx, model, what->parameters[i].name, what->parameters[i].value), DDT_OK);
    }
    char *text = event_table(what, &t);
    if (ddt_events_parse(ctx, text, strlen(text), what->file, model, &events) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(ctx));
    }
    free(text);
    ddt_expr expressions[COLUMNS_MAX];
    for (size_t i = 0; i < t.columns; i++) {
        assert_non_null(what->names[i]);
        expressions[i] = find(model, what->names[i]);
    }
    double *values = calloc(t.rows * t.columns, sizeof *values);
    assert_non_null(values);
    if (ddt_reference_simulate(ctx, model, events, 0, expressions, t.columns, values) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(ctx));
    }
    compare(what, &t, values);
    free(values);
    ddt_events_destroy(events);
    ddt_model_destroy(model);
}

static void test_trajectories(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof trajectories / sizeof *trajectories; i++) {
        check(&trajectories[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_trajectories)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
