/*
 * What tests of living twins share: a virtual patient whose doses and levels come one after the other.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_UPDATE_TEST_H
#define DDT_UPDATE_TEST_H

#include "solve_test.h"

#include "ddt/solve/fit.h"
#include "ddt/solve/update.h"

enum { UPDATE_TEST_LEVELS = 20 };

static inline double update_normal(uint64_t *random) {
    double sum = 0.0;
    for (int i = 0; i < 12; i++) {
        sum += test_uniform(random, -0.5, 0.5);
    }
    return sum;
}

/*
 * Vancomycin every 12 h, a level at the end of each interval or, each third time, an hour after the infusion;
 * creatinine clearance drifts. Rows as text: header, then row[i] = dose and level i.
 */
typedef struct update_patient {
    char header[64];
    char row[UPDATE_TEST_LEVELS][160];
    text all; /* the whole table */
} update_patient;

static const char *const update_patient_model = DDT_SOURCE_DIR "/models/vancomycin_thomson2009.R";

static inline void update_patient_rows(update_patient *p, const double *levels) {
    (void)snprintf(p->header, sizeof p->header, "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL\n");
    p->all.length = 0;
    text_add(&p->all, "%s", p->header);
    for (int i = 0; i < UPDATE_TEST_LEVELS; i++) {
        double start = 12.0 * i;
        double at = i % 3 == 2 ? start + 2.5 : start + 11.5;
        double crcl = 80.0 - 1.5 * i;
        (void)snprintf(p->row[i], sizeof p->row[i], "p,%g,1000,1000,1,1,.,75,%g\np,%g,.,.,1,0,%.4f,75,%g\n", start,
                       crcl, at, levels[i], crcl);
        text_add(&p->all, "%s", p->row[i]);
    }
}

/* Draws etas and levels of patient `seed`. */
static inline void update_patient_draw(update_patient *p, const ddt_model *model, uint64_t seed, double *symbols) {
    double levels[UPDATE_TEST_LEVELS];
    ddt_context *ctx = NULL;
    ddt_events *events = NULL;
    uint64_t random = seed;
    for (int i = 0; i < UPDATE_TEST_LEVELS; i++) {
        levels[i] = 10.0;
    }
    *p = (update_patient){0};
    assert_ok(NULL, ddt_context_create(&ctx));
    update_patient_rows(p, levels);
    assert_ok(ctx, ddt_events_parse(ctx, p->all.data, p->all.length, "patient.csv", model, &events));
    assert_ok(ctx, ddt_population_draw(ctx, model, seed, symbols));
    ddt_expr value = model->outputs[0].value;
    assert_ok(ctx, ddt_reference_simulate_with(ctx, model, events, 0, symbols, true, &value, 1, levels));
    for (int i = 0; i < UPDATE_TEST_LEVELS; i++) {
        double sd = hypot(model->outputs[0].additive_sd, model->outputs[0].proportional_sd * levels[i]);
        levels[i] = fmax(levels[i] + sd * update_normal(&random), 0.3 * levels[i]);
    }
    update_patient_rows(p, levels);
    ddt_events_destroy(events);
    ddt_context_destroy(ctx);
}

/* The first `count` rows from `first` as a table. */
static inline ddt_events *update_patient_events(ddt_context *ctx, const update_patient *p, const ddt_model *model,
                                                int first, int count) {
    text table = {0};
    ddt_events *events = NULL;
    text_add(&table, "%s", p->header);
    for (int i = first; i < first + count; i++) {
        text_add(&table, "%s", p->row[i]);
    }
    assert_ok(ctx, ddt_events_parse(ctx, table.data, table.length, "patient.csv", model, &events));
    text_free(&table);
    return events;
}

/* ------------------------------------------------------------------ a twin in the clear */

typedef struct clear_life {
    ddt_context *ctx;
    ddt_model *model;
    ddt_update *update;
    double *twin;
    double clock_h;
} clear_life;

/* A plan for a model that has been read; a twin begins. */
static inline void clear_life_plan(clear_life *l, const char *table, const ddt_update_options *options) {
    ddt_events *events = NULL;
    assert_ok(l->ctx, ddt_events_parse(l->ctx, table, strlen(table), "t.csv", l->model, &events));
    assert_ok(l->ctx, ddt_update_create(l->ctx, l->model, events, options, &l->update));
    l->twin = calloc(ddt_update_block(l->update), sizeof *l->twin);
    l->clock_h = NAN;
    ddt_events_destroy(events);
}

static inline void clear_life_close(clear_life *l) {
    free(l->twin);
    ddt_update_destroy(l->update);
    ddt_model_destroy(l->model);
    ddt_context_destroy(l->ctx);
}

static inline void clear_life_begin(clear_life *l) {
    memset(l->twin, 0, ddt_update_block(l->update) * sizeof *l->twin);
    l->clock_h = NAN;
}

/* The events through the circuit, in the clear. Returns the number of steps. */
static inline size_t clear_life_step(clear_life *l, const ddt_events *events) {
    ddt_update_steps steps;
    double *next = calloc(ddt_update_block(l->update), sizeof *next);
    assert_ok(l->ctx, ddt_update_fill(l->ctx, l->update, l->model, events, 0, l->clock_h, &steps));
    for (size_t s = 0; s < steps.count; s++) {
        double **inputs = steps.inputs + s * steps.input_count;
        inputs[0] = l->twin;
        assert_ok(l->ctx, ddt_circuit_run_clear(l->ctx, ddt_update_circuit(l->update), (const double *const *)inputs,
                                                false, &next));
        inputs[0] = NULL;
        memcpy(l->twin, next, ddt_update_block(l->update) * sizeof *next);
    }
    l->clock_h = steps.to_h;
    size_t count = steps.count;
    ddt_update_steps_destroy(&steps);
    free(next);
    return count;
}

static inline size_t clear_life_step_text(clear_life *l, const char *table) {
    ddt_events *events = NULL;
    assert_ok(l->ctx, ddt_events_parse(l->ctx, table, strlen(table), "news.csv", l->model, &events));
    size_t steps = clear_life_step(l, events);
    ddt_events_destroy(events);
    return steps;
}

#endif
