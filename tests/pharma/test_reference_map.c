/*
 * NONMEM's predictions of data/reference/map: 400 subjects, nine digits, with fitted etas and without; absorption lags,
 * covariates that change at every record, a metabolite.
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

enum {
    ETAS_MAX = 5,
    SUBJECTS = 100,
    RECORDS_MAX = 64,
    LINE = 512,
    SYMBOLS_MAX = 64,
    TYPICAL = 10 /* without etas subjects differ little: so many will do */
};

typedef struct fit {
    const char *name;
    size_t etas;
    const char *text;
    const char *outputs[2]; /* of compartments 2 and 3 */
} fit;

#define ETAS3 "eta1 ~ 0.2; eta2 ~ 0.2; eta3 ~ 0.2"
#define ORAL                                                                                                           \
    "d/dt(depot) <- -exp(eta3) * depot\n"                                                                              \
    "d/dt(central) <- exp(eta3) * depot - cl / v * central\n"                                                          \
    "cp <- central / v\n"

static const fit fits[] = {
    {"run001",
     3,
     "m <- function() { ini({" ETAS3 "})\nmodel({\ncl <- 4 * exp(eta1)\nv <- 70 * exp(eta2)\n" ORAL "}) }",
     {"cp"}},
    {"run003",
     4,
     "m <- function() { ini({" ETAS3 "; eta4 ~ 0.2})\nmodel({\ncl <- 4 * exp(eta1)\nv <- 70 * exp(eta2)\n" ORAL
     "alag(depot) <- exp(eta4)\n}) }",
     {"cp"}},
    {"run301",
     3,
     "m <- function() { ini({" ETAS3 "})\nmodel({\ncl <- 4 * exp(eta1) * (BW / 75)^1.5 * 0.75^SEX\n"
     "v <- 70 * exp(eta2)\n" ORAL "}) }",
     {"cp"}},
    {"run401",
     5,
     "m <- function() { ini({" ETAS3 "; eta4 ~ 0.2; eta5 ~ 0.2})\nmodel({\ncl <- 4 * exp(eta1)\n"
     "v <- 70 * exp(eta2)\n" ORAL "vm <- 60 * exp(eta5)\n"
     "d/dt(metabolite) <- 0.7 * cl / v * central - 2.5 * exp(eta4) / vm * metabolite\ncm <- metabolite / vm\n}) }",
     {"cp", "cm"}},
};

/* A table of the folder, its header skipped. */
static FILE *open_table(const char *what, const char *run) {
    char path[LINE];
    (void)snprintf(path, sizeof path, "%s/data/reference/map/%s_%s.csv", DDT_SOURCE_DIR, what, run);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(path, sizeof path, file));
    return file;
}

static void read_numbers(FILE *file, double *numbers, size_t count) {
    char line[LINE];
    assert_non_null(fgets(line, sizeof line, file));
    char *end = line;
    for (size_t i = 0; i < count; i++) {
        numbers[i] = strtod(end + (i > 0), &end);
        assert_true(*end == ',' || i + 1 == count);
    }
}

static void simulate(const ddt_model *model, const ddt_events *events, size_t subject, const double *etas,
                     const ddt_expr *outputs, size_t count, double *values) {
    double symbols[SYMBOLS_MAX];
    assert_true(model->symbol_count <= SYMBOLS_MAX);
    ddt_events_symbols(model, events, subject, 0, symbols);
    for (size_t i = 0; i < model->eta_count; i++) {
        symbols[model->etas[i]] = etas[i];
    }
    require(ddt_reference_simulate_with(ctx, model, events, subject, symbols, true, outputs, count, values));
}

/* NONMEM's numbers have nine digits; what it and CVODE lose is less than the bar. */
static void near(double ours, double nonmem, const char *run, const char *id, double time_h) {
    const double bar = 1e-7;
    if (!(fabs(ours - nonmem) <= bar * fmax(fabs(nonmem), 1.0))) {
        fail_msg("%s, subject %s, time %g: %.10g, NONMEM %.10g", run, id, time_h, ours, nonmem);
    }
}

static void check_subject(const fit *what, const ddt_model *model, const ddt_events *events, size_t s, FILE *eta_file,
                          FILE *prediction_file) {
    static const double none[ETAS_MAX] = {0};
    const ddt_subject *subject = &events->subjects[s];
    double etas[ETAS_MAX + 1];
    double fitted[2 * RECORDS_MAX];
    double typical[2 * RECORDS_MAX];
    ddt_expr outputs[2];
    size_t count = what->outputs[1] != NULL ? 2 : 1;
    for (size_t o = 0; o < count; o++) {
        for (size_t i = 0; i < model->variable_count; i++) {
            outputs[o] = strcmp(model->variable_names[i], what->outputs[o]) == 0 ? model->variables[i] : outputs[o];
        }
    }
    assert_true(subject->record_count <= RECORDS_MAX);
    read_numbers(eta_file, etas, what->etas + 1);
    assert_true(etas[0] == atof(subject->id));
    simulate(model, events, s, etas + 1, outputs, count, fitted);
    if (s < TYPICAL) {
        simulate(model, events, s, none, outputs, count, typical);
    }
    size_t observation = 0;
    for (size_t i = 0; i < subject->record_count; i++) {
        double row[7]; /* ID TIME EVID CMT DV PRED IPRED */
        read_numbers(prediction_file, row, 7);
        assert_true(row[0] == etas[0] && row[1] == subject->records[i].time_h);
        if (subject->records[i].evid == 0) {
            size_t at = observation++ * count + (row[3] == 3);
            if (s < TYPICAL) {
                near(typical[at], row[5], what->name, subject->id, row[1]);
            }
            near(fitted[at], row[6], what->name, subject->id, row[1]);
        }
    }
    assert_true(observation > 0);
}

static void check(const fit *what) {
    char path[LINE];
    ddt_model *model = NULL;
    ddt_events *events = NULL;
    ddt_context_clear(ctx);
    require(ddt_model_parse(ctx, what->text, strlen(what->text), what->name, &model));
    assert_int_equal(model->eta_count, what->etas);
    (void)snprintf(path, sizeof path, "%s/data/reference/map/data_%s.csv", DDT_SOURCE_DIR, what->name);
    require(ddt_events_read(ctx, path, model, &events));
    assert_int_equal(events->subject_count, SUBJECTS);
    FILE *etas = open_table("nonmem_eta", what->name);
    FILE *predictions = open_table("nonmem_pred", what->name);
    for (size_t s = 0; s < SUBJECTS; s++) {
        check_subject(what, model, events, s, etas, predictions);
    }
    (void)fclose(etas);
    (void)fclose(predictions);
    ddt_events_destroy(events);
    ddt_model_destroy(model);
}

static void test_absorption(void **state) {
    (void)state;
    check(&fits[0]);
}

static void test_lag(void **state) {
    (void)state;
    check(&fits[1]);
}

static void test_changing_covariates(void **state) {
    (void)state;
    check(&fits[2]);
}

static void test_metabolite(void **state) {
    (void)state;
    check(&fits[3]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absorption),
        cmocka_unit_test(test_lag),
        cmocka_unit_test(test_changing_covariates),
        cmocka_unit_test(test_metabolite),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
