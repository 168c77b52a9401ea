/*
 * What the tests of the fit share: NONMEM's runs (data/reference/map) and the comparison with its estimates.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_FIT_TEST_H
#define DDT_FIT_TEST_H

#include "solve_test.h"

#include "ddt/solve/fit.h"

enum { FIT_TEST_ETAS = 5 };

typedef struct nonmem_run {
    const char *name;
    size_t etas;
    const char *model;
} nonmem_run;

#define RUN_ETAS3 "eta1 ~ 0.2; eta2 ~ 0.2; eta3 ~ 0.2"
#define RUN_ERROR "b <- 0.223606797749979\n"
#define RUN_ORAL                                                                                                       \
    "d/dt(depot) <- -exp(eta3) * depot\n"                                                                              \
    "d/dt(central) <- exp(eta3) * depot - cl / v * central\n"                                                          \
    "cp <- central / v\ncp ~ prop(b)\n"

static const nonmem_run nonmem_001 = {"run001", 3,
                                      "m <- function() { ini({" RUN_ETAS3 "; " RUN_ERROR
                                      "})\nmodel({\ncl <- 4 * exp(eta1)\nv <- 70 * exp(eta2)\n" RUN_ORAL "}) }"};
static const nonmem_run nonmem_003 = {"run003", 4,
                                      "m <- function() { ini({" RUN_ETAS3 "; eta4 ~ 0.2; " RUN_ERROR
                                      "})\nmodel({\ncl <- 4 * exp(eta1)\nv <- 70 * exp(eta2)\n" RUN_ORAL
                                      "alag(depot) <- exp(eta4)\n}) }"};
static const nonmem_run nonmem_301 = {
    "run301", 3,
    "m <- function() { ini({" RUN_ETAS3 "; " RUN_ERROR
    "})\nmodel({\ncl <- 4 * exp(eta1) * (BW / 75)^1.5 * 0.75^SEX\nv <- 70 * exp(eta2)\n" RUN_ORAL "}) }"};
static const nonmem_run nonmem_401 = {
    "run401", 5,
    "m <- function() { ini({" RUN_ETAS3 "; eta4 ~ 0.2; eta5 ~ 0.2; " RUN_ERROR
    "})\nmodel({\ncl <- 4 * exp(eta1)\nv <- 70 * exp(eta2)\n" RUN_ORAL
    "vm <- 60 * exp(eta5)\nd/dt(metabolite) <- 0.7 * cl / v * central - 2.5 * exp(eta4) / vm * metabolite\n"
    "cm <- metabolite / vm\ncm ~ prop(b)\n}) }"};

/* The first `subjects` of a run's table. */
static inline void run_read(problem *p, const nonmem_run *run, size_t subjects) {
    char path[512];
    char line[512];
    text table = {0};
    double last = -1.0;
    size_t count = 0;
    (void)snprintf(path, sizeof path, "%s/data/reference/map/data_%s.csv", DDT_SOURCE_DIR, run->name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    text_add(&table, "%s", line);
    while (fgets(line, sizeof line, file) != NULL) {
        double id = atof(line);
        count += id != last;
        last = id;
        if (count > subjects) {
            break;
        }
        text_add(&table, "%s", line);
    }
    (void)fclose(file);
    problem_parse(p, run->model, table.data);
    text_free(&table);
}

/* NONMEM's estimates: etas[subject * FIT_TEST_ETAS + eta]. */
static inline double *run_estimates(const nonmem_run *run, size_t subjects) {
    char path[512];
    char line[512];
    double *etas = calloc(subjects * FIT_TEST_ETAS, sizeof *etas);
    (void)snprintf(path, sizeof path, "%s/data/reference/map/nonmem_eta_%s.csv", DDT_SOURCE_DIR, run->name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    for (size_t s = 0; s < subjects; s++) {
        assert_non_null(fgets(line, sizeof line, file));
        char *end = strchr(line, ',') + 1;
        for (size_t i = 0; i < run->etas; i++) {
            etas[s * FIT_TEST_ETAS + i] = strtod(end, &end);
            end++;
        }
    }
    (void)fclose(file);
    return etas;
}

typedef struct agreement {
    size_t close; /* subjects with all etas within 0.01 */
    double worst, worst_clearance;
} agreement;

/* values[subject]: etas first. */
static inline agreement run_compare(const nonmem_run *run, double *const *values, size_t subjects) {
    agreement a = {0};
    double *etas = run_estimates(run, subjects);
    for (size_t s = 0; s < subjects; s++) {
        double worst = 0.0;
        for (size_t i = 0; i < run->etas; i++) {
            worst = fmax(worst, fabs(values[s][i] - etas[s * FIT_TEST_ETAS + i]));
        }
        if (worst > 0.01) {
            print_message("%s, subject %zu: off by %.4f:", run->name, s + 1, worst);
            for (size_t i = 0; i < run->etas; i++) {
                print_message(" %.4f (%.4f)", values[s][i], etas[s * FIT_TEST_ETAS + i]);
            }
            print_message("\n");
        }
        a.close += worst <= 0.01;
        a.worst = fmax(a.worst, worst);
        a.worst_clearance = fmax(a.worst_clearance, fabs(exp(values[s][0] - etas[s * FIT_TEST_ETAS]) - 1.0));
    }
    free(etas);
    return a;
}

#endif
