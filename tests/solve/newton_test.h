/*
 * What the tests of models that are not linear share: the circuit in the clear against CVODE.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_NEWTON_TEST_H
#define DDT_NEWTON_TEST_H

#include "ddt/solve.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context_test.h"

static inline double **vectors(size_t count, size_t length) {
    double **all = calloc(count + 1, sizeof *all);
    assert_non_null(all);
    for (size_t i = 0; i < count; i++) {
        all[i] = calloc(length + 1, sizeof **all);
        assert_non_null(all[i]);
    }
    return all;
}

static inline void free_vectors(double **all, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(all[i]);
    }
    free(all);
}

/* Outputs of the circuit in the clear: values[subject][observation * outputs + output]. */
static inline void run(const ddt_solution *solution, const ddt_model *model, const ddt_events *events,
                       double **values) {
    const ddt_circuit *circuit = ddt_solution_circuit(solution);
    size_t slots = ddt_circuit_lanes(circuit) * ddt_circuit_block(circuit);
    size_t input_count = ddt_circuit_input_count(circuit);
    size_t output_count = ddt_circuit_output_count(circuit);
    double **inputs = vectors(input_count, slots);
    double **outputs = vectors(output_count, slots);
    require(ddt_solution_fill(ctx, solution, model, events, inputs));
    require(ddt_circuit_run_clear(ctx, circuit, (const double *const *)inputs, false, outputs));
    ddt_solution_collect(solution, (const double *const *)outputs, values);
    free_vectors(inputs, input_count);
    free_vectors(outputs, output_count);
}

static inline double worst_error(const ddt_model *model, const ddt_events *events, size_t subject, const double *values,
                                 size_t observations) {
    size_t outputs = model->output_count;
    ddt_expr expressions[4];
    double *exact = calloc(observations * outputs + 1, sizeof *exact);
    assert_non_null(exact);
    assert_in_range(outputs, 1, 4);
    for (size_t o = 0; o < outputs; o++) {
        expressions[o] = model->outputs[o].value;
    }
    require(ddt_reference_simulate(ctx, model, events, subject, expressions, outputs, exact));
    double worst = 0.0;
    for (size_t o = 0; o < outputs; o++) {
        double largest = 0.0;
        double error = 0.0;
        for (size_t k = 0; k < observations; k++) {
            largest = fmax(largest, fabs(exact[k * outputs + o]));
            double difference = fabs(values[k * outputs + o] - exact[k * outputs + o]);
            error = difference <= error ? error : difference; /* NaN sticks */
        }
        assert_true(largest > 0.0);
        worst = error / largest <= worst ? worst : error / largest;
    }
    free(exact);
    return worst;
}

/* Takes the model and the events. */
static inline void check_problem(const char *name, ddt_model *model, ddt_events *events, double bar) {
    ddt_solution *solution = NULL;
    ddt_solve_info info;
    require(ddt_solve(ctx, model, events, NULL, &solution));
    ddt_solution_get_info(solution, &info);
    assert_string_equal(info.method, "newton");
    size_t subjects = ddt_solution_subject_count(solution);
    assert_int_equal(subjects, events->subject_count);
    double **values = calloc(subjects + 1, sizeof *values);
    assert_non_null(values);
    for (size_t s = 0; s < subjects; s++) {
        values[s] = calloc(ddt_solution_observation_count(solution, s) * model->output_count + 1, sizeof **values);
        assert_non_null(values[s]);
    }
    run(solution, model, events, values);
    for (size_t s = 0; s < subjects; s++) {
        double error = worst_error(model, events, s, values[s], ddt_solution_observation_count(solution, s));
        print_message("%s, subject %zu: %.2e of the maximum\n", name, s + 1, error);
        assert_true(error <= bar);
    }
    free_vectors(values, subjects);
    ddt_solution_destroy(solution);
    ddt_events_destroy(events);
    ddt_model_destroy(model);
}

static inline void check(const char *model_name, const char *data_name, double bar) {
    char path[1024];
    ddt_model *model = NULL;
    ddt_events *events = NULL;
    (void)snprintf(path, sizeof path, "%s/models/%s.R", DDT_SOURCE_DIR, model_name);
    require(ddt_model_read(ctx, path, &model));
    (void)snprintf(path, sizeof path, "%s/data/%s.csv", DDT_SOURCE_DIR, data_name);
    require(ddt_events_read(ctx, path, model, &events));
    check_problem(model_name, model, events, bar);
}

/* A model of models/ on a table given as text. */
static inline void check_table(const char *model_name, const char *table, double bar) {
    char path[1024];
    ddt_model *model = NULL;
    ddt_events *events = NULL;
    (void)snprintf(path, sizeof path, "%s/models/%s.R", DDT_SOURCE_DIR, model_name);
    require(ddt_model_read(ctx, path, &model));
    require(ddt_events_parse(ctx, table, strlen(table), "table.csv", model, &events));
    check_problem(model_name, model, events, bar);
}

/* ini: lines of the block; body: lines of model. */
static inline void check_text(const char *ini, const char *body, const char *table, double bar) {
    char text[4096];
    ddt_model *model = NULL;
    ddt_events *events = NULL;
    (void)snprintf(text, sizeof text, "m <- function() {\n  ini({\n%s  })\n  model({\n%s  })\n}\n", ini, body);
    require(ddt_model_parse(ctx, text, strlen(text), "m.R", &model));
    require(ddt_events_parse(ctx, table, strlen(table), "m.csv", model, &events));
    check_problem(body, model, events, bar);
}

#endif
