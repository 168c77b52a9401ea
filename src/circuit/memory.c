/*
 * What memory a run takes: ciphertexts as the engine allocates and reuses them, evaluation keys, scratch of operations,
 * encoded vectors, tables. For one batch, and for few threads, which is when instructions run one after the other.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "encode_cache.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------ limbs in use */

typedef struct peak_state {
    const ddt_plan *plan;
    uint32_t *uses;
    uint64_t limbs;
} peak_state;

/* Of both parts. */
static uint64_t value_limbs(const ddt_plan *plan, uint32_t value) {
    return 2 * ((uint64_t)plan_prime_level(&plan->literal, plan->levels[value]) + 1);
}

static void release(void *user, uint32_t value) {
    peak_state *state = user;
    if (--state->uses[value] == 0) {
        state->limbs -= value_limbs(state->plan, value);
    }
}

uint64_t plan_peak_limbs(const ddt_plan *plan, const uint32_t *order, uint32_t *uses) {
    uint64_t peak = 0;
    peak_state state = {.plan = plan, .uses = uses};
    memcpy(uses, plan->use_counts, plan->value_count * sizeof *uses);
    for (size_t i = 0; i < plan->input_count; i++) {
        state.limbs += value_limbs(plan, (uint32_t)i);
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const plan_instruction *instruction = &plan->instructions[order[i]];
        for (uint32_t r = 0; r < instruction->results; r++) {
            state.limbs += value_limbs(plan, instruction->first + r);
        }
        peak = state.limbs > peak ? state.limbs : peak;
        plan_operands(plan, instruction, release, &state);
        for (uint32_t r = 0; r < instruction->results; r++) {
            bool unused = plan->use_counts[instruction->first + r] == 0;
            state.limbs -= unused ? value_limbs(plan, instruction->first + r) : 0;
        }
    }
    return peak;
}

/* ------------------------------------------------------------------ limbs allocated */

/* The engine's pool of ciphertexts, by levels: what is given back serves values of its level and below (engine_take).
 */
typedef struct pool_state {
    const ddt_plan *plan;
    uint32_t *uses;
    uint8_t *capacities; /* of values */
    uint32_t spare[DDT_CKKS_LEVELS_MAX + 1];
    uint32_t spare_count;
    uint64_t allocated; /* levels + 1, summed over ciphertexts */
} pool_state;

static void pool_take(pool_state *s, uint32_t value) {
    unsigned level = s->plan->levels[value];
    for (unsigned c = level; c <= DDT_CKKS_LEVELS_MAX; c++) {
        if (s->spare[c] > 0) {
            s->spare[c]--;
            s->spare_count--;
            s->capacities[value] = (uint8_t)c;
            return;
        }
    }
    for (unsigned c = level; c-- > 0;) {
        if (s->spare[c] > 0) { /* too small: makes room for a new one */
            s->spare[c]--;
            s->spare_count--;
            s->allocated -= c + 1;
            break;
        }
    }
    s->allocated += level + 1;
    s->capacities[value] = (uint8_t)level;
}

static void pool_give(pool_state *s, uint32_t value) {
    if (s->spare_count < PLAN_SPARE_MAX) {
        s->spare[s->capacities[value]]++;
        s->spare_count++;
    } else {
        s->allocated -= s->capacities[value] + 1U;
    }
}

static void pool_release(void *user, uint32_t value) {
    pool_state *s = user;
    if (--s->uses[value] == 0 && value >= s->plan->input_count) {
        pool_give(s, value);
    }
}

/* Inputs stay with the caller for the whole run. */
static uint64_t allocated_levels(pool_state *s) {
    const ddt_plan *plan = s->plan;
    uint64_t inputs = 0;
    uint64_t peak = 0;
    memcpy(s->uses, plan->use_counts, plan->value_count * sizeof *s->uses);
    for (size_t i = 0; i < plan->input_count; i++) {
        inputs += plan->levels[i] + 1U;
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const plan_instruction *instruction = &plan->instructions[plan->order[i]];
        for (uint32_t r = 0; r < instruction->results; r++) {
            pool_take(s, instruction->first + r);
        }
        peak = s->allocated > peak ? s->allocated : peak;
        plan_operands(plan, instruction, pool_release, s);
        for (uint32_t v = instruction->first; v < instruction->first + instruction->results; v++) {
            if (plan->use_counts[v] == 0) {
                pool_give(s, v);
            }
        }
    }
    return inputs + peak;
}

bool plan_measure_values(ddt_plan *plan) {
    pool_state s = {.plan = plan};
    s.uses = ddt_alloc(plan->value_count, sizeof *s.uses);
    s.capacities = ddt_calloc(plan->value_count, 1);
    bool complete = s.uses != NULL && s.capacities != NULL;
    plan->value_levels = complete ? allocated_levels(&s) : 0;
    ddt_free(s.uses);
    ddt_free(s.capacities);
    return complete;
}

/* ------------------------------------------------------------------ the rest, in limbs */

/* Of one switching key, both halves expanded. */
static double key_limbs(const ddt_ckks_literal *p, unsigned top_level) {
    unsigned digits = top_level / p->p_count + 1;
    return 2.0 * digits * (top_level + 1.0 + p->p_count);
}

/* A program that has no parameters yet knows its own keys by levels of its own, and none of bootstraps. */
static double keys_limbs(const ddt_plan *plan, const ddt_ckks_literal *p) {
    enum { REQUESTS_MAX = 1024 };
    ddt_key_request requests[REQUESTS_MAX];
    bool is_settled = plan->literal.p_count > 0;
    size_t boot =
        is_settled || p->boot_levels == 0 ? 0 : ddt_bootstrap_wanted_keys(p, &plan->boot, requests, REQUESTS_MAX);
    double limbs = 0.0;
    for (size_t i = 0; i < boot && i < REQUESTS_MAX; i++) {
        limbs += key_limbs(p, requests[i].top_level);
    }
    for (size_t k = 0; k < plan->key_count; k++) {
        unsigned level = plan->keys[k].top_level;
        limbs += key_limbs(p, is_settled ? level : plan_prime_level(p, level));
    }
    return limbs;
}

static double polynomial_ciphertexts(const ddt_plan *plan, const plan_instruction *instruction) {
    enum { SUMS = 3 }; /* of the recursion */
    polynomial_work work;
    double powers = SUMS;
    plan_count_polynomials(plan, instruction, &work);
    for (size_t i = 0; i <= CIRCUIT_DEGREE_MAX; i++) {
        powers += work.made[i];
    }
    return powers;
}

/* Ciphertexts of three parts that an operation keeps between its steps, at the top: of the largest one. */
static double pool_ciphertexts(const ddt_plan *plan) {
    double most = 1.0;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        if (plan->instructions[i].opcode == PLAN_POLYNOMIAL) {
            double count = polynomial_ciphertexts(plan, &plan->instructions[i]);
            most = count > most ? count : most;
        }
    }
    return most;
}

/* The accumulators of the special primes of rotations that are hoisted together. */
static double hoisted_limbs(const ddt_plan *plan, const ddt_ckks_literal *p) {
    enum { TOGETHER_MAX = 16, PARTS = 2 };
    double most = 0.0;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const plan_instruction *instruction = &plan->instructions[i];
        if (instruction->opcode == PLAN_ROTATION && instruction->results > 1) {
            most = fmax(most, fmin(instruction->results, TOGETHER_MAX));
        }
    }
    return most * PARTS * (p->p_count + 1.0);
}

/* Scratch of key switches, workers, and, with bootstraps, their ciphertexts and matrices. */
static double scratch_limbs(const ddt_plan *plan, const ddt_ckks_literal *p) {
    enum { WORKER_PARTS = 3 + 2 + 1, SWITCH_LIMBS = 24, MATRIX_DIAGONALS = 24, BOOT_PARTS = 3 * 4 };
    double limbs = p->levels + p->boot_levels + 1.0;
    double targets = limbs + p->p_count;
    double scratch = WORKER_PARTS * limbs + limbs + 2.0 * targets + SWITCH_LIMBS + hoisted_limbs(plan, p) +
                     pool_ciphertexts(plan) * 3.0 * (p->levels + 1.0);
    return p->boot_levels == 0 ? scratch : scratch + MATRIX_DIAGONALS * targets + BOOT_PARTS * limbs;
}

static bool is_vector(circuit_public p) { return p.vector != CIRCUIT_NONE; }

/* Limbs of encodings of vectors that are wanted more than once (encode_cache.c); each use counts. */
static double encoded_limbs(const ddt_plan *plan, const ddt_ckks_literal *p, const uint32_t *uses) {
    double limbs = 0.0;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const plan_instruction *instruction = &plan->instructions[i];
        double level = plan_prime_level(p, plan_result_level(plan, instruction));
        for (size_t t = 0; t < instruction->scaled_count; t++) {
            circuit_public c = plan->scaleds[instruction->scaled_begin + t].c;
            limbs += is_vector(c) && uses[c.vector] > 1 ? level + 1.0 + plan_scale_primes(p) : 0.0;
        }
        limbs += is_vector(instruction->offset) && uses[instruction->offset.vector] > 1 ? level + 1.0 : 0.0;
    }
    return limbs;
}

/* Encoded vectors that are kept, and the values that they are made from. */
static double vector_bytes(const ddt_plan *plan, const ddt_ckks_literal *p) {
    uint32_t *uses = ddt_calloc(plan->pool.count, sizeof *uses);
    double values = 0.0;
    for (size_t i = 0; i < plan->pool.count; i++) {
        values += (double)plan->pool.vectors[i].count * sizeof(double);
    }
    if (uses == NULL) {
        return values;
    }
    plan_count_vector_uses(plan, uses);
    double encoded = ldexp(encoded_limbs(plan, p, uses) * sizeof(uint64_t), (int)p->log_n);
    ddt_free(uses);
    return values + fmin(encoded, (double)PLAN_CACHE_BYTES_MAX);
}

double plan_memory(const ddt_plan *plan, const ddt_ckks_literal *p) {
    const double program_bytes = 0x1p25; /* code, tables of the encoder, the plan itself */
    const double table_limbs = 4.0;      /* of each prime: roots and their quotients, both ways */
    double primes = p->levels + p->boot_levels + 1.0 + p->p_count;
    double values = 2.0 * plan_scale_primes(p) * (double)plan->value_levels;
    double limbs = values + keys_limbs(plan, p) + scratch_limbs(plan, p) + table_limbs * primes;
    return program_bytes + vector_bytes(plan, p) + ldexp(limbs * sizeof(uint64_t), (int)p->log_n);
}
