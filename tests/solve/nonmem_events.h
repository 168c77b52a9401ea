/*
 * The 29 dosing cases of data/reference/nonmem-events, for the tests in the clear and under encryption.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_NONMEM_EVENTS_H
#define DDT_NONMEM_EVENTS_H

#include "solve_test.h"

#define NONMEM_FOLDER DDT_SOURCE_DIR "/data/reference/nonmem-events/"
/* NONMEM prints five significant digits: half a unit of the last, of the largest value of a case. */
#define NONMEM_ROUNDING 5e-5

enum { NONMEM_CASES = 29, NONMEM_LINE = 256 };

static const char nonmem_model[] = "nonmem <- function() {\n"
                                   "  ini({ cl <- 1.1; v <- 20; ka <- 1.5 })\n"
                                   "  model({\n"
                                   "    d/dt(depot) <- -ka * depot\n"
                                   "    d/dt(central) <- ka * depot - cl / v * central\n"
                                   "    f(central) <- BIOAV\n"
                                   "    alag(central) <- LAGT\n"
                                   "    rate(central) <- RAT2\n"
                                   "    dur(central) <- DUR2\n"
                                   "    cp <- central / (v / 1000)\n"
                                   "    cp ~ add(0.1)\n"
                                   "  })\n"
                                   "}\n";

static inline void nonmem_open(problem *p) {
    *p = (problem){0};
    assert_ok(NULL, ddt_context_create(&p->ctx));
    assert_ok(p->ctx, ddt_model_parse(p->ctx, nonmem_model, strlen(nonmem_model), "nonmem.R", &p->model));
    assert_ok(p->ctx, ddt_events_read(p->ctx, NONMEM_FOLDER "nmtest1001_data.csv", p->model, &p->events));
    assert_int_equal(p->events->subject_count, NONMEM_CASES);
}

/* The largest difference of each case from what NONMEM printed, relative to the case's maximum. */
static inline void nonmem_compare(problem *p, double *worst) {
    FILE *file = fopen(NONMEM_FOLDER "nmtest1001_nonmem.csv", "r");
    char line[NONMEM_LINE];
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    for (size_t s = 0; s < NONMEM_CASES; s++) {
        const ddt_subject *subject = &p->events->subjects[s];
        size_t observation = 0;
        double largest = 0.0;
        worst[s] = 0.0;
        for (size_t i = 0; i < subject->record_count; i++) {
            double id = 0;
            double time_h = 0;
            double cp = 0;
            assert_non_null(fgets(line, sizeof line, file));
            assert_int_equal(sscanf(line, "%lf,%lf,%lf", &id, &time_h, &cp), 3);
            assert_true(id == atof(subject->id) && time_h == subject->records[i].time_h);
            if (subject->records[i].evid == 0 || subject->records[i].evid == 2) {
                double error = fabs(p->values[s][observation++] - cp);
                worst[s] = error <= worst[s] ? worst[s] : error;
                largest = fmax(largest, cp);
            }
        }
        assert_int_equal(observation, ddt_solution_observation_count(p->solution, s));
        assert_true(largest > 0.0);
        worst[s] /= largest;
    }
    (void)fclose(file);
}

#endif
