/*
 * What the tests of this room share: a model and a table become a solution, its circuit runs in the clear, CVODE says
 * what is right.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_TEST_H
#define DDT_SOLVE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ddt/pharma/reference.h"
#include "ddt/solve.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_ok(ctx, call)                                                                                           \
    do {                                                                                                               \
        ddt_status assert_ok_status = (call);                                                                          \
        if (assert_ok_status != DDT_OK) {                                                                              \
            fail_msg("%s: %s", ddt_status_name(assert_ok_status), ddt_error_detail(ctx));                              \
        }                                                                                                              \
    } while (0)

/* A growing text: models and tables are written line by line. */
typedef struct text {
    char *data;
    size_t length, capacity;
} text;

static inline void text_add(text *t, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (t->capacity - t->length < 4096) {
        t->capacity = 2 * t->capacity + 65536;
        t->data = realloc(t->data, t->capacity);
        assert_non_null(t->data);
    }
    int added = vsnprintf(t->data + t->length, t->capacity - t->length, format, arguments);
    va_end(arguments);
    assert_true(added >= 0 && (size_t)added < t->capacity - t->length);
    t->length += (size_t)added;
}

static inline void text_free(text *t) {
    free(t->data);
    *t = (text){0};
}

static inline uint64_t test_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static inline double test_uniform(uint64_t *state, double low, double high) {
    return low + (high - low) * ((double)(test_random(state) >> 11) * 0x1p-53);
}

typedef struct problem {
    ddt_context *ctx;
    ddt_model *model;
    ddt_events *events;
    ddt_solution *solution;
    double **inputs, **outputs;
    double **values; /* per subject: observations x outputs */
} problem;

static inline double **test_rows(size_t count, size_t length) {
    double **rows = calloc(count + 1, sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        rows[i] = calloc(length + 1, sizeof **rows);
    }
    return rows;
}

static inline void test_free_rows(double **rows) {
    for (size_t i = 0; rows != NULL && rows[i] != NULL; i++) {
        free(rows[i]);
    }
    free(rows);
}

static inline void problem_rows(problem *p) {
    const ddt_circuit *circuit = ddt_solution_circuit(p->solution);
    size_t slots = ddt_circuit_lanes(circuit) * ddt_circuit_block(circuit);
    size_t outputs = ddt_solution_output_count(p->solution);
    p->inputs = test_rows(ddt_circuit_input_count(circuit), slots);
    p->outputs = test_rows(outputs, slots);
    p->values = calloc(ddt_solution_subject_count(p->solution) + 1, sizeof *p->values);
    for (size_t s = 0; s < ddt_solution_subject_count(p->solution); s++) {
        p->values[s] = calloc(ddt_solution_observation_count(p->solution, s) * outputs + 1, sizeof **p->values);
    }
}

static inline void problem_solve(problem *p, const ddt_solve_options *options) {
    assert_ok(p->ctx, ddt_solve(p->ctx, p->model, p->events, options, &p->solution));
    problem_rows(p);
}

static inline void problem_read(problem *p, const char *model, const char *data) {
    *p = (problem){0};
    assert_ok(NULL, ddt_context_create(&p->ctx));
    assert_ok(p->ctx, ddt_model_read(p->ctx, model, &p->model));
    assert_ok(p->ctx, ddt_events_read(p->ctx, data, p->model, &p->events));
}

static inline void problem_parse(problem *p, const char *model, const char *data) {
    *p = (problem){0};
    assert_ok(NULL, ddt_context_create(&p->ctx));
    assert_ok(p->ctx, ddt_model_parse(p->ctx, model, strlen(model), "test.R", &p->model));
    assert_ok(p->ctx, ddt_events_parse(p->ctx, data, strlen(data), "test.csv", p->model, &p->events));
}

typedef ddt_status (*problem_solver)(problem *p, const void *options);

/* Solves again and again, each time with a later allocation failing: no solution, and no other error than memory's. */
static inline void problem_solve_without_memory(problem *p, problem_solver solve, const void *options) {
    int failures = 0;
    for (uint64_t n = 0; n < 4000000; n = n + 1 + n / 2) {
        ddt_alloc_fail_after(n);
        const ddt_status status = solve(p, options);
        ddt_alloc_fail_after(UINT64_MAX);
        if (status == DDT_OK) {
            break;
        }
        assert_int_equal(status, DDT_ERR_MEMORY);
        assert_null(p->solution);
        ddt_context_clear(p->ctx);
        failures++;
    }
    assert_true(failures > 10);
    assert_non_null(p->solution);
}

static inline void problem_free(problem *p) {
    test_free_rows(p->inputs);
    test_free_rows(p->outputs);
    test_free_rows(p->values);
    ddt_solution_destroy(p->solution);
    ddt_events_destroy(p->events);
    ddt_model_destroy(p->model);
    ddt_context_destroy(p->ctx);
}

static inline void problem_run(problem *p, bool exact) {
    assert_ok(p->ctx, ddt_solution_fill(p->ctx, p->solution, p->model, p->events, p->inputs));
    assert_ok(p->ctx, ddt_circuit_run_clear(p->ctx, ddt_solution_circuit(p->solution), (const double *const *)p->inputs,
                                            exact, p->outputs));
    ddt_solution_collect(p->solution, (const double *const *)p->outputs, p->values);
}

/* The largest difference from CVODE, relative to each output's maximum over all subjects. */
static inline double problem_error(problem *p) {
    size_t count = p->model->output_count;
    double *largest = calloc(count, sizeof *largest);
    double *worst = calloc(count, sizeof *worst);
    ddt_expr *expressions = calloc(count, sizeof *expressions);
    for (size_t o = 0; o < count; o++) {
        expressions[o] = p->model->outputs[o].value;
    }
    for (size_t s = 0; s < p->events->subject_count; s++) {
        size_t entries = ddt_solution_observation_count(p->solution, s) * count;
        double *right = calloc(entries + 1, sizeof *right);
        assert_ok(p->ctx, ddt_reference_simulate(p->ctx, p->model, p->events, s, expressions, count, right));
        for (size_t i = 0; i < entries; i++) {
            largest[i % count] = fmax(largest[i % count], fabs(right[i]));
            double error = fabs(right[i] - p->values[s][i]);
            worst[i % count] = error <= worst[i % count] ? worst[i % count] : error;
        }
        free(right);
    }
    double relative = 0.0;
    for (size_t o = 0; o < count; o++) {
        double error = largest[o] > 0.0 ? worst[o] / largest[o] : worst[o];
        relative = error <= relative ? relative : error;
    }
    free(largest);
    free(worst);
    free(expressions);
    return relative;
}

#endif
