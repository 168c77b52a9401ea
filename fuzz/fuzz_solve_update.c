/*
 * Living twins. The first byte says what the others are: 't' a table that has come since (any content, for one plan),
 * 'v' values of a decrypted twin, 's' a container with the section of a plan file, after which both are tried on what
 * was read. What is accepted has the shape that was promised and is finite. SPDX-License-Identifier: Apache-2.0
 */
#include "forge.h"

#include "ddt/solve/update.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char model_text[] = "m <- function() {\n"
                                 "  ini({ lcl <- 0; lv <- 2; eta.cl ~ 0.1; eta.v ~ 0.05; sd <- 0.3; part <- 0.1 })\n"
                                 "  model({\n"
                                 "    cl <- exp(lcl + eta.cl) * (WT / 70)\n"
                                 "    v <- exp(lv + eta.v)\n"
                                 "    d/dt(depot) <- -depot\n"
                                 "    d/dt(central) <- depot - cl / v * central\n"
                                 "    cp <- central / v\n"
                                 "    cp ~ add(sd) + prop(part)\n"
                                 "  })\n"
                                 "}\n";
static const char template_text[] = "ID,TIME,AMT,RATE,CMT,EVID,DV,WT\n"
                                    "1,0,100,.,1,1,.,60\n"
                                    "1,6,.,.,2,0,5,60\n"
                                    "1,12,100,50,2,1,.,80\n"
                                    "1,20,.,.,2,0,6,80\n";

enum { TABLE_MAX_BYTES = 4096, POINTS = 64 };

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

typedef struct shared {
    ddt_model *model;
    ddt_update *update;
    ddt_plan *plan;
    ddt_events *events;
} shared;

static const shared *make_shared(void) {
    static shared s;
    ddt_context *ctx = forge_context();
    const ddt_update_options options = {.points = POINTS, .draws = 1};
    const ddt_plan_request request = {.target_error = 1e-2, .insecure_for_testing = true};
    if (s.plan == NULL) {
        require(ddt_model_parse(ctx, model_text, strlen(model_text), "fuzz.R", &s.model) == DDT_OK &&
                ddt_events_parse(ctx, template_text, strlen(template_text), "fuzz.csv", s.model, &s.events) == DDT_OK &&
                ddt_update_create(ctx, s.model, s.events, &options, &s.update) == DDT_OK &&
                ddt_plan_create(ctx, ddt_update_circuit(s.update), &request, &s.plan) == DDT_OK);
    }
    return &s;
}

static void fill(ddt_context *ctx, const ddt_update *update, const ddt_model *model, const ddt_events *events,
                 double since_h) {
    for (size_t subject = 0; subject < events->subject_count; subject++) {
        ddt_update_steps steps;
        if (ddt_update_fill(ctx, update, model, events, subject, since_h, &steps) != DDT_OK) {
            require(steps.inputs == NULL && ddt_error_detail(ctx)[0] != '\0');
            ddt_context_clear(ctx);
            continue;
        }
        require(steps.count >= 1 && steps.count <= DDT_UPDATE_STEPS_MAX && steps.to_h >= steps.from_h);
        require(steps.input_count == ddt_update_input_count(update) && steps.block == ddt_update_block(update));
        for (size_t i = 0; i < steps.count * steps.input_count; i++) {
            require((steps.inputs[i] == NULL) == (i % steps.input_count == 0));
        }
        for (size_t i = 1; steps.rests && i < steps.input_count; i++) {
            const double *values = steps.inputs[(steps.count - 1) * steps.input_count + i];
            for (size_t k = 0; ddt_update_is_of_level(update, i) && k < steps.block; k++) {
                require(values[k] == 0.0);
            }
        }
        ddt_update_steps_destroy(&steps);
    }
}

static void read_table(ddt_context *ctx, const uint8_t *data, size_t size) {
    const shared *s = make_shared();
    ddt_events *events = NULL;
    if (size > TABLE_MAX_BYTES ||
        ddt_events_parse(ctx, (const char *)data, size, "fuzz.csv", s->model, &events) != DDT_OK) {
        return;
    }
    fill(ctx, s->update, s->model, events, NAN);
    fill(ctx, s->update, s->model, events, 1.0);
    ddt_events_destroy(events);
}

/* The bytes as numbers, again and again until the block is full. */
static void read_values(ddt_context *ctx, const ddt_update *update, const ddt_model *model, const uint8_t *data,
                        size_t size) {
    const size_t block = ddt_update_block(update);
    double *values = calloc(block, sizeof *values);
    ddt_update_estimate estimate;
    require(values != NULL);
    for (size_t i = 0; size >= sizeof *values && i < block; i++) {
        memcpy(&values[i], data + i % (size / sizeof *values) * sizeof *values, sizeof *values);
    }
    if (ddt_update_read_state(ctx, update, model, values, &estimate) == DDT_OK) {
        for (size_t i = 0; i < estimate.eta_count; i++) {
            require(isfinite(estimate.eta[i]) && estimate.sd[i] > 0.0);
        }
        ddt_update_estimate_destroy(&estimate);
    }
    require(estimate.samples == NULL);
    ddt_context_clear(ctx);
    free(values);
}

static void read_section(ddt_context *ctx, const uint8_t *data, size_t size) {
    const shared *s = make_shared();
    size_t length = 0;
    uint8_t *bytes = forge_repair(data, size, DDT_WIRE_PLAN, &length);
    ddt_reader *reader = NULL;
    ddt_update *update = NULL;
    if (bytes != NULL && ddt_reader_open_memory(ctx, bytes, length, DDT_WIRE_PLAN, &reader) == DDT_OK &&
        ddt_update_read(ctx, reader, s->plan, &update) == DDT_OK) {
        fill(ctx, update, s->model, s->events, NAN);
        read_values(ctx, update, s->model, data, size);
    }
    ddt_update_destroy(update);
    ddt_reader_close(reader);
    ddt_context_clear(ctx);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ddt_context *ctx = forge_context();
    if (size == 0) {
        return 0;
    }
    if (data[0] == 't') {
        read_table(ctx, data + 1, size - 1);
    } else if (data[0] == 'v') {
        const shared *s = make_shared();
        read_values(ctx, s->update, s->model, data + 1, size - 1);
    } else if (data[0] == 's') {
        read_section(ctx, data + 1, size - 1);
    }
    ddt_context_clear(ctx);
    return 0;
}
