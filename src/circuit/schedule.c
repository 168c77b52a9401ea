/*
 * The order of a run. Four lists are tried, and the one with the fewest limbs alive at once is taken: the order of the
 * program, the program depth-first from its outputs, first operands first or last operands first, and a greedy one: of
 * all instructions that could come next, the one that frees the most or takes the least. The next few instructions of
 * the list that depend on nothing unfinished form a wave and may run side by side; a wave reaches no further ahead, so
 * that what comes later waits until it is needed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <string.h>

enum {
    WAVE_MAX = 16,  /* instructions of a wave */
    AHEAD_MAX = 48, /* instructions looked at for one wave */
    /* From this ring on limbs keep many threads busy, and each value weighs: waves are short. */
    LARGE_LOG_N = 16,
    WAVE_LARGE = 2,
    AHEAD_LARGE = 4,
};
/* Marks of instructions on their way into a list. */
static const uint32_t ENTERED = CIRCUIT_NONE - 1;
static const uint32_t LISTED = CIRCUIT_NONE - 2;

typedef struct scheduler {
    ddt_plan *plan;
    uint32_t *makers; /* of each value: its instruction, CIRCUIT_NONE for inputs */
    uint32_t *uses;   /* room for each value */
    uint32_t *list;   /* the instructions in the order of the best list */
    uint32_t *trial;  /* another such list */
    uint32_t *stack;  /* of instructions, as many as there are operands and instructions */
    size_t depth;     /* of the stack */
    uint32_t *waves;  /* of each instruction, CIRCUIT_NONE: not placed yet */
    uint32_t wave;    /* the one that is being filled */
    size_t placed;
    bool ready;
    int64_t freed;  /* limbs, by the instruction that is looked at */
    size_t missing; /* its operands that are not there yet */
} scheduler;

/* ------------------------------------------------------------------ lists */

static void push(void *user, uint32_t value) {
    scheduler *s = user;
    uint32_t maker = s->makers[value];
    if (maker != CIRCUIT_NONE && s->waves[maker] != LISTED) {
        s->stack[s->depth++] = maker;
    }
}

static void reverse(uint32_t *items, size_t count) {
    for (size_t i = 0; i < count / 2; i++) {
        uint32_t item = items[i];
        items[i] = items[count - 1 - i];
        items[count - 1 - i] = item;
    }
}

/* trial = what an instruction needs, then itself. Waves serve as marks: an instruction is entered, then listed. */
static void list_from(scheduler *s, uint32_t root, bool last_first, size_t *count) {
    s->depth = 0;
    push(s, root);
    while (s->depth > 0) {
        uint32_t top = s->stack[s->depth - 1];
        if (s->waves[top] == CIRCUIT_NONE) {
            size_t begin = s->depth;
            s->waves[top] = ENTERED;
            plan_operands(s->plan, &s->plan->instructions[top], push, s);
            if (!last_first) {
                reverse(s->stack + begin, s->depth - begin);
            }
            continue;
        }
        s->depth--;
        if (s->waves[top] == ENTERED) {
            s->waves[top] = LISTED;
            s->trial[(*count)++] = top;
        }
    }
}

static void list_depth_first(scheduler *s, bool last_first) {
    const ddt_plan *plan = s->plan;
    size_t count = 0;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        s->waves[i] = CIRCUIT_NONE;
    }
    for (size_t o = 0; o < plan->output_count; o++) {
        list_from(s, plan->outputs[o].value, last_first, &count);
    }
    for (size_t i = 0; i < plan->instruction_count; i++) { /* what no output uses */
        list_from(s, plan->instructions[i].first, last_first, &count);
    }
}

/* ------------------------------------------------------------------ the greedy list */

static int64_t limbs_of(const ddt_plan *plan, uint32_t value) {
    return 2 * ((int64_t)plan_prime_level(&plan->literal, plan->levels[value]) + 1);
}

static void use(void *user, uint32_t value) {
    scheduler *s = user;
    s->uses[value]--;
    s->freed += s->uses[value] == 0 ? limbs_of(s->plan, value) : 0;
}

static void give_back(void *user, uint32_t value) {
    scheduler *s = user;
    s->uses[value]++;
}

/* How many limbs fewer are alive after an instruction than before it. */
static int64_t gain_of(scheduler *s, uint32_t instruction) {
    const plan_instruction *in = &s->plan->instructions[instruction];
    s->freed = 0;
    for (uint32_t r = 0; r < in->results; r++) {
        s->freed -= s->plan->use_counts[in->first + r] == 0 ? 0 : limbs_of(s->plan, in->first + r);
    }
    plan_operands(s->plan, in, use, s);
    plan_operands(s->plan, in, give_back, s);
    return s->freed;
}

static void wait_for(void *user, uint32_t value) {
    scheduler *s = user;
    s->missing += s->makers[value] != CIRCUIT_NONE && s->waves[s->makers[value]] != LISTED;
}

/* Whether all operands of an instruction are there and it is not listed yet. */
static bool may_come(scheduler *s, uint32_t instruction) {
    s->missing = 0;
    if (s->waves[instruction] == LISTED) {
        return false;
    }
    plan_operands(s->plan, &s->plan->instructions[instruction], wait_for, s);
    return s->missing == 0;
}

/* The best next instruction of the list so far (a depth-first one: the first of equals), among the first few that may
 * come. */
static uint32_t best_next(scheduler *s, size_t *begin) {
    enum { LOOKED_AT = 256 };
    const size_t count = s->plan->instruction_count;
    uint32_t best = CIRCUIT_NONE;
    int64_t most = INT64_MIN;
    size_t seen = 0;
    while (*begin < count && s->waves[s->list[*begin]] == LISTED) {
        (*begin)++;
    }
    for (size_t i = *begin; i < count && seen < LOOKED_AT; i++) {
        if (may_come(s, s->list[i])) {
            int64_t gain = gain_of(s, s->list[i]);
            best = gain > most ? s->list[i] : best;
            most = gain > most ? gain : most;
            seen++;
        }
    }
    return best;
}

static void list_greedily(scheduler *s) {
    const ddt_plan *plan = s->plan;
    size_t begin = 0;
    memcpy(s->uses, plan->use_counts, plan->value_count * sizeof *s->uses);
    for (size_t i = 0; i < plan->instruction_count; i++) {
        s->waves[i] = CIRCUIT_NONE;
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        uint32_t next = best_next(s, &begin);
        plan_operands(plan, &plan->instructions[next], use, s);
        s->waves[next] = LISTED;
        s->trial[i] = next;
    }
}

/* ------------------------------------------------------------------ the best list */

static void take_better(scheduler *s, uint64_t *best) {
    uint64_t peak = plan_peak_limbs(s->plan, s->trial, s->uses);
    if (peak < *best) {
        uint32_t *list = s->list;
        s->list = s->trial;
        s->trial = list;
        *best = peak;
    }
}

static void choose_list(scheduler *s) {
    for (size_t i = 0; i < s->plan->instruction_count; i++) {
        s->list[i] = (uint32_t)i;
    }
    uint64_t best = plan_peak_limbs(s->plan, s->list, s->uses);
    for (int last_first = 0; last_first < 2; last_first++) {
        list_depth_first(s, last_first != 0);
        take_better(s, &best);
    }
    list_greedily(s);
    take_better(s, &best);
}

/* ------------------------------------------------------------------ waves */

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

/* Fills one wave; `first` is the place in the list of the first instruction that has no wave yet, and is ready. A
 * bootstrap runs alone: it takes all threads. */
static void fill_wave(scheduler *s, size_t first) {
    const ddt_plan *plan = s->plan;
    bool is_large = plan->literal.log_n >= LARGE_LOG_N;
    size_t ahead = is_large ? AHEAD_LARGE : AHEAD_MAX;
    size_t most = is_large ? WAVE_LARGE : WAVE_MAX;
    size_t end = first + ahead < plan->instruction_count ? first + ahead : plan->instruction_count;
    size_t begin = s->placed;
    bool alone = plan->instructions[s->list[first]].opcode == PLAN_REFRESH;
    place(s, s->list[first]);
    for (size_t i = first + 1; i < end && !alone && s->placed - begin < most; i++) {
        const plan_instruction *instruction = &plan->instructions[s->list[i]];
        if (s->waves[s->list[i]] == CIRCUIT_NONE && instruction->opcode != PLAN_REFRESH && is_ready(s, instruction)) {
            place(s, s->list[i]);
        }
    }
}

static void find_makers(scheduler *s) {
    const ddt_plan *plan = s->plan;
    for (size_t v = 0; v < plan->input_count; v++) {
        s->makers[v] = CIRCUIT_NONE;
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        for (uint32_t r = 0; r < plan->instructions[i].results; r++) {
            s->makers[plan->instructions[i].first + r] = (uint32_t)i;
        }
    }
}

static void schedule(scheduler *s) {
    ddt_plan *plan = s->plan;
    find_makers(s);
    choose_list(s);
    for (size_t i = 0; i < plan->instruction_count; i++) {
        s->waves[i] = CIRCUIT_NONE;
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        if (s->waves[s->list[i]] == CIRCUIT_NONE) {
            plan->wave_begin[s->wave] = s->placed;
            fill_wave(s, i);
            s->wave++;
        }
    }
    plan->wave_begin[s->wave] = s->placed;
    plan->wave_count = s->wave;
}

static size_t count_operands(const ddt_plan *plan) {
    size_t count = plan->output_count;
    for (size_t v = 0; v < plan->value_count; v++) {
        count += plan->use_counts[v];
    }
    return count + plan->instruction_count;
}

bool plan_schedule(ddt_plan *plan) {
    size_t count = plan->instruction_count;
    scheduler s = {.plan = plan};
    s.makers = ddt_alloc(plan->value_count, sizeof *s.makers);
    s.uses = ddt_alloc(plan->value_count, sizeof *s.uses);
    s.list = ddt_alloc(count, sizeof *s.list);
    s.trial = ddt_alloc(count, sizeof *s.trial);
    s.stack = ddt_alloc(count_operands(plan), sizeof *s.stack);
    s.waves = ddt_alloc(count, sizeof *s.waves);
    plan->order = ddt_alloc(count, sizeof *plan->order);
    plan->wave_begin = ddt_calloc(count + 1, sizeof *plan->wave_begin);
    bool complete = s.makers != NULL && s.uses != NULL && s.list != NULL && s.trial != NULL && s.stack != NULL &&
                    s.waves != NULL && plan->order != NULL && plan->wave_begin != NULL;
    if (complete) {
        schedule(&s);
    }
    ddt_free(s.makers);
    ddt_free(s.uses);
    ddt_free(s.list);
    ddt_free(s.trial);
    ddt_free(s.stack);
    ddt_free(s.waves);
    return complete;
}
