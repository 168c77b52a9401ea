/*
 * The order of a run. Instructions are taken in the order of the program; those of the next few that depend on nothing
 * unfinished form a wave and run side by side. A wave reaches no further ahead than that, so that few values are alive
 * at once: what comes later waits until it is needed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

enum {
    WAVE_MAX = 16,  /* instructions of a wave */
    AHEAD_MAX = 48, /* instructions looked at for one wave */
};

typedef struct scheduler {
    ddt_plan *plan;
    uint32_t *makers; /* of each value: its instruction, CIRCUIT_NONE for inputs */
    uint32_t *waves;  /* of each instruction, CIRCUIT_NONE: not placed yet */
    uint32_t wave;    /* the one that is being filled */
    size_t placed;
    bool ready;
} scheduler;

static void look(void *user, uint32_t value) {
    scheduler *s = user;
    uint32_t maker = s->makers[value];
    s->ready &= maker == CIRCUIT_NONE || s->waves[maker] < s->wave;
}

static bool is_ready(scheduler *s, const plan_instruction *instruction) {
    s->ready = true;
    plan_operands(s->plan, instruction, look, s);
    return s->ready;
}

static void place(scheduler *s, size_t instruction) {
    s->waves[instruction] = s->wave;
    s->plan->order[s->placed++] = (uint32_t)instruction;
}

/* Fills one wave; `first` is the first instruction that has no place yet, and ready. A bootstrap runs alone: it takes
 * all threads. */
static void fill_wave(scheduler *s, size_t first) {
    const ddt_plan *plan = s->plan;
    size_t end = first + AHEAD_MAX < plan->instruction_count ? first + AHEAD_MAX : plan->instruction_count;
    size_t begin = s->placed;
    bool alone = plan->instructions[first].opcode == PLAN_REFRESH;
    place(s, first);
    for (size_t i = first + 1; i < end && !alone && s->placed - begin < WAVE_MAX; i++) {
        const plan_instruction *instruction = &plan->instructions[i];
        if (s->waves[i] == CIRCUIT_NONE && instruction->opcode != PLAN_REFRESH && is_ready(s, instruction)) {
            place(s, i);
        }
    }
}

static void schedule(scheduler *s) {
    ddt_plan *plan = s->plan;
    for (size_t v = 0; v < plan->input_count; v++) {
        s->makers[v] = CIRCUIT_NONE;
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        s->waves[i] = CIRCUIT_NONE;
        for (uint32_t r = 0; r < plan->instructions[i].results; r++) {
            s->makers[plan->instructions[i].first + r] = (uint32_t)i;
        }
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        if (s->waves[i] == CIRCUIT_NONE) {
            plan->wave_begin[s->wave] = s->placed;
            fill_wave(s, i);
            s->wave++;
        }
    }
    plan->wave_begin[s->wave] = s->placed;
    plan->wave_count = s->wave;
}

bool plan_schedule(ddt_plan *plan) {
    size_t count = plan->instruction_count;
    scheduler s = {.plan = plan};
    s.makers = ddt_alloc(plan->value_count, sizeof *s.makers);
    s.waves = ddt_alloc(count, sizeof *s.waves);
    plan->order = ddt_alloc(count, sizeof *plan->order);
    plan->wave_begin = ddt_calloc(count + 1, sizeof *plan->wave_begin);
    bool complete = s.makers != NULL && s.waves != NULL && plan->order != NULL && plan->wave_begin != NULL;
    if (complete) {
        schedule(&s);
    }
    ddt_free(s.makers);
    ddt_free(s.waves);
    return complete;
}
