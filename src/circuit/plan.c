/*
 * Plans: life, what follows from their instructions, and questions about them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

ddt_plan *plan_new(void) { return ddt_calloc(1, sizeof(ddt_plan)); }

void ddt_plan_destroy(ddt_plan *plan) {
    if (plan == NULL) {
        return;
    }
    for (size_t i = 0; i < plan->input_count; i++) {
        ddt_free(plan->inputs[i].name);
    }
    for (size_t o = 0; o < plan->output_count; o++) {
        ddt_free(plan->outputs[o].name);
    }
    circuit_pool_destroy(&plan->pool);
    plan_cache_destroy(plan->cache);
    ddt_bootstrapper_destroy(plan->bootstrapper);
    ddt_ckks_params_destroy(plan->params);
    ddt_free(plan->inputs);
    ddt_free(plan->outputs);
    ddt_free(plan->levels);
    ddt_free(plan->instructions);
    ddt_free(plan->products);
    ddt_free(plan->scaleds);
    ddt_free(plan->exacts);
    ddt_free(plan->steps);
    ddt_free(plan->polynomials);
    ddt_free(plan->coefficients);
    ddt_free(plan->keys);
    ddt_free(plan->order);
    ddt_free(plan->wave_begin);
    ddt_free(plan->use_counts);
    ddt_free(plan);
}

void plan_operands(const ddt_plan *plan, const plan_instruction *instruction, void (*visit)(void *user, uint32_t value),
                   void *user) {
    if (instruction->opcode != PLAN_COMBINATION) {
        visit(user, instruction->operand);
        if (instruction->opcode == PLAN_REFRESH && instruction->partner != CIRCUIT_NONE) {
            visit(user, instruction->partner);
        }
        return;
    }
    for (size_t i = 0; i < instruction->product_count; i++) {
        visit(user, plan->products[instruction->product_begin + i].a);
        visit(user, plan->products[instruction->product_begin + i].b);
    }
    for (size_t i = 0; i < instruction->scaled_count; i++) {
        visit(user, plan->scaleds[instruction->scaled_begin + i].a);
    }
    for (size_t i = 0; i < instruction->exact_count; i++) {
        visit(user, plan->exacts[instruction->exact_begin + i].a);
    }
}

unsigned plan_depth(const ddt_plan *plan) {
    unsigned depth = 0;
    for (size_t v = 0; v < plan->value_count; v++) {
        depth = plan->levels[v] > depth ? plan->levels[v] : depth;
    }
    return depth;
}

/* ------------------------------------------------------------------ derived */

size_t plan_lanes_per_batch(const ddt_plan *plan, unsigned log_n) {
    size_t most = ((size_t)1 << (log_n - 1)) / plan->pool.block;
    size_t lanes = 1;
    while (lanes < plan->pool.lanes && lanes < most) {
        lanes *= 2;
    }
    return lanes;
}

static void derive_batches(ddt_plan *plan) {
    plan->lanes_per_batch = plan_lanes_per_batch(plan, plan->literal.log_n);
    plan->batches = (plan->pool.lanes + plan->lanes_per_batch - 1) / plan->lanes_per_batch;
}

int64_t plan_rotation(const ddt_plan *plan, int64_t steps) {
    /* The slots repeat with this period, so that steps that differ by it need one key. */
    int64_t period = (int64_t)(plan->lanes_per_batch * plan->pool.block);
    return ((steps % period) + period) % period;
}

/* 5^steps mod 2N, as the ring computes it; here without a ring. */
static uint64_t galois_element(const ddt_plan *plan, int64_t steps) {
    uint64_t mask = ((uint64_t)2 << plan->literal.log_n) - 1;
    uint64_t result = 1;
    uint64_t base = 5;
    for (uint64_t e = (uint64_t)plan_rotation(plan, steps); e > 0; e >>= 1) {
        if (e & 1) {
            result = result * base & mask;
        }
        base = base * base & mask;
    }
    return result;
}

static bool add_key(ddt_plan *plan, uint64_t galois, unsigned level) {
    if (!CIRCUIT_GROW(plan->keys, plan->key_count, plan->key_capacity)) {
        return false;
    }
    plan->keys[plan->key_count++] = (ddt_plan_key){.galois = galois, .top_level = level};
    return true;
}

static int compare_keys(const void *left, const void *right) {
    const ddt_plan_key *a = left;
    const ddt_plan_key *b = right;
    if (a->galois != b->galois) {
        return a->galois < b->galois ? -1 : 1;
    }
    return (a->top_level < b->top_level) - (a->top_level > b->top_level);
}

static bool add_bootstrap_keys(ddt_plan *plan) {
    enum { REQUESTS_MAX = 1024 };
    ddt_key_request requests[REQUESTS_MAX];
    size_t count = ddt_bootstrap_wanted_keys(&plan->literal, &plan->boot, requests, REQUESTS_MAX);
    bool complete = count <= REQUESTS_MAX;
    for (size_t i = 0; i < count && complete; i++) {
        complete = add_key(plan, requests[i].galois, requests[i].top_level);
    }
    return complete;
}

/* What takes uploads apart. */
static bool add_upload_keys(ddt_plan *plan) {
    const unsigned log_n = plan->literal.log_n;
    const unsigned stages = plan->pack_stages;
    bool complete = true;
    for (unsigned stage = 1; stage <= stages && complete; stage++) {
        complete = add_key(plan, ddt_ckks_pack_galois(log_n, stages, stage),
                           plan_prime_level(&plan->literal, plan_upload_level(plan)));
    }
    return complete;
}

static bool derive_keys(ddt_plan *plan) {
    plan->key_count = 0;
    bool complete = plan->literal.boot_levels == 0 || add_bootstrap_keys(plan);
    complete = complete && add_upload_keys(plan);
    for (size_t i = 0; i < plan->instruction_count && complete; i++) {
        const plan_instruction *instruction = &plan->instructions[i];
        if (instruction->opcode == PLAN_COMBINATION && instruction->product_count > 0) {
            complete = add_key(plan, 0, plan_prime_level(&plan->literal, plan_result_level(plan, instruction) + 1));
        } else if (instruction->opcode == PLAN_POLYNOMIAL) {
            complete = add_key(plan, 0, plan_prime_level(&plan->literal, plan->levels[instruction->operand]));
        }
        for (size_t r = 0; instruction->opcode == PLAN_ROTATION && r < instruction->results && complete; r++) {
            uint64_t galois = galois_element(plan, plan->steps[instruction->detail_begin + r]);
            complete = add_key(plan, galois, plan_prime_level(&plan->literal, plan->levels[instruction->operand]));
        }
    }
    if (!complete || plan->key_count == 0) {
        return complete;
    }
    qsort(plan->keys, plan->key_count, sizeof *plan->keys, compare_keys);
    size_t kept = 1;
    for (size_t i = 1; i < plan->key_count; i++) {
        if (plan->keys[i].galois != plan->keys[kept - 1].galois) {
            plan->keys[kept++] = plan->keys[i];
        }
    }
    plan->key_count = kept;
    return true;
}

static void count_use(void *user, uint32_t value) { ((uint32_t *)user)[value]++; }

static bool derive_uses(ddt_plan *plan) {
    plan->use_counts = ddt_calloc(plan->value_count, sizeof *plan->use_counts);
    if (plan->use_counts == NULL) {
        return false;
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        plan_operands(plan, &plan->instructions[i], count_use, plan->use_counts);
    }
    for (size_t o = 0; o < plan->output_count; o++) {
        plan->use_counts[plan->outputs[o].value]++;
    }
    return true;
}

ddt_status plan_derive(ddt_context *ctx, ddt_plan *plan) {
    derive_batches(plan);
    ddt_free(plan->order);
    ddt_free(plan->wave_begin);
    ddt_free(plan->use_counts);
    plan->order = NULL;
    plan->wave_begin = NULL;
    plan->use_counts = NULL;
    if (!derive_keys(plan) || !derive_uses(plan) || !plan_schedule(plan) || !plan_measure_values(plan)) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a plan of %zu instructions.",
                        plan->instruction_count);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ questions */

size_t ddt_plan_input_count(const ddt_plan *plan) { return plan->input_count; }
size_t ddt_plan_output_count(const ddt_plan *plan) { return plan->output_count; }
size_t ddt_plan_key_count(const ddt_plan *plan) { return plan->key_count; }

ddt_plan_input ddt_plan_get_input(const ddt_plan *plan, size_t input) {
    if (input >= plan->input_count) {
        return (ddt_plan_input){.name = ""};
    }
    return (ddt_plan_input){.name = plan->inputs[input].name,
                            .bound = plan->inputs[input].bound,
                            .level = plan_prime_level(&plan->literal, plan->levels[input])};
}

const char *ddt_plan_output_name(const ddt_plan *plan, size_t output) {
    return output < plan->output_count ? plan->outputs[output].name : "";
}

ddt_plan_output ddt_plan_get_output(const ddt_plan *plan, size_t output) {
    if (output >= plan->output_count) {
        return (ddt_plan_output){.name = "", .carried = SIZE_MAX};
    }
    const plan_output *o = &plan->outputs[output];
    return (ddt_plan_output){.name = o->name,
                             .level = plan_prime_level(&plan->literal, plan->levels[o->value]),
                             .carried = o->carried == CIRCUIT_NONE ? SIZE_MAX : o->carried};
}

ddt_plan_key ddt_plan_get_key(const ddt_plan *plan, size_t key) {
    return key < plan->key_count ? plan->keys[key] : (ddt_plan_key){0};
}

ddt_status ddt_plan_params(ddt_context *ctx, ddt_plan *plan, const ddt_ckks_params **out) {
    ddt_status status = DDT_OK;
    if (plan->params == NULL) {
        status = plan->insecure ? ddt_ckks_params_create_insecure_for_testing(ctx, &plan->literal, &plan->params)
                                : ddt_ckks_params_create(ctx, &plan->literal, &plan->params);
    }
    *out = plan->params;
    return status;
}

ddt_status plan_bootstrapper(ddt_context *ctx, ddt_plan *plan, const ddt_bootstrapper **out) {
    ddt_status status = DDT_OK;
    if (plan->bootstrapper == NULL && plan->literal.boot_levels > 0) {
        status = ddt_bootstrapper_create(ctx, plan->params, &plan->boot, &plan->bootstrapper);
    }
    *out = plan->bootstrapper;
    return status;
}

/* Bits of all limbs 0..level of one polynomial of N residues, as files pack them. */
static uint64_t limb_bytes(const ddt_ckks_literal *p, unsigned level) {
    unsigned boot_levels = level > p->levels ? level - p->levels : 0;
    /* Primes lie on both sides of 2^scale_bits: the larger ones take a bit more. */
    uint64_t bits = p->first_bits + (uint64_t)(level - boot_levels) * (p->scale_bits + 1) +
                    (uint64_t)boot_levels * (DDT_RING_MODULUS_BITS_MAX + 1);
    return (bits << p->log_n) / 8;
}

static uint64_t key_bytes(const ddt_ckks_literal *p, unsigned level) {
    uint64_t digits = level / p->p_count + 1;
    const double special_bits = floor(ddt_ckks_special_bits(p)) + 1.0;
    const uint64_t bits = p->p_count * (uint64_t)fmin(special_bits, DDT_RING_MODULUS_BITS_MAX);
    return digits * (limb_bytes(p, level) + (bits << p->log_n) / 8);
}

static uint64_t all_key_bytes(const ddt_plan *plan) {
    const ddt_ckks_literal *p = &plan->literal;
    uint64_t bytes = 0;
    for (size_t k = 0; k < plan->key_count; k++) {
        bytes += key_bytes(p, plan->keys[k].top_level);
    }
    if (p->boot_levels > 0) {
        /* The two keys of the encapsulation: q_0 p_0, and all limbs with p_0. */
        uint64_t special = ((uint64_t)DDT_RING_MODULUS_BITS_MAX << p->log_n) / 8;
        bytes += limb_bytes(p, 0) + limb_bytes(p, p->levels + p->boot_levels) + 2 * special;
    }
    return bytes;
}

bool plan_eval_key_bytes(ddt_plan *plan, const ddt_ckks_literal *p, uint64_t *bytes) {
    plan->literal = *p;
    derive_batches(plan);
    bool complete = derive_keys(plan);
    *bytes = all_key_bytes(plan);
    return complete;
}

/* Of one batch. A list by levels: its pieces of ddt_plan_pack_count are as large as their first vectors. */
static uint64_t upload_bytes(const ddt_plan *plan) {
    const size_t pack = ddt_plan_pack_count(plan);
    size_t before = 0; /* vectors of higher levels */
    uint64_t bytes = 0;
    for (unsigned level = plan_top_level(&plan->literal) + 1; level-- > 0;) {
        size_t vectors = 0;
        for (size_t i = 0; i < plan->input_count; i++) {
            vectors += plan->levels[i] == level && !plan_is_carried(plan, i);
        }
        size_t uploads = (before + vectors + pack - 1) / pack - (before + pack - 1) / pack;
        bytes += uploads * limb_bytes(&plan->literal, plan_prime_level(&plan->literal, level));
        before += vectors;
    }
    return bytes;
}

static void count_work(const ddt_plan *plan, ddt_plan_info *info) {
    info->multiplications = plan_multiplications(plan);
    for (size_t i = 0; i < plan->instruction_count; i++) {
        if (plan->instructions[i].opcode == PLAN_ROTATION) {
            info->rotations += plan->instructions[i].results;
        }
    }
    info->eval_key_bytes = all_key_bytes(plan);
    for (size_t k = 0; k < plan->key_count; k++) {
        info->rotation_keys += plan->keys[k].galois != 0;
    }
    info->twin_bytes = plan->batches * upload_bytes(plan);
    for (size_t o = 0; o < plan->output_count; o++) {
        info->result_bytes +=
            2 * plan->batches *
            limb_bytes(&plan->literal, plan_prime_level(&plan->literal, plan->levels[plan->outputs[o].value]));
    }
}

double plan_nominal_bits(const ddt_ckks_literal *p) {
    return p->first_bits + (double)p->levels * p->scale_bits + (double)p->boot_levels * DDT_RING_MODULUS_BITS_MAX +
           p->p_count * ddt_ckks_special_bits(p);
}

void ddt_plan_get_info(const ddt_plan *plan, ddt_plan_info *info) {
    double nominal = plan_nominal_bits(&plan->literal);
    *info = (ddt_plan_info){.literal = plan->literal,
                            .log2_qp = plan->params == NULL ? nominal : ddt_ckks_log2_qp(plan->params),
                            .security_bits = plan->insecure ? 0 : 128,
                            .depth = plan_depth(plan),
                            .bootstraps = (unsigned)plan_bootstraps(plan),
                            .lanes = plan->pool.lanes,
                            .block = plan->pool.block,
                            .lanes_per_batch = plan->lanes_per_batch,
                            .batches = plan->batches,
                            .predicted_error = plan->predicted_error,
                            .noise_bound = plan->noise_bound,
                            .instructions = plan->instruction_count,
                            .engine_bytes = (uint64_t)plan_memory(plan, &plan->literal)};
    info->predicted_seconds = (double)plan->batches * plan_cost(plan, &plan->literal);
    count_work(plan, info);
}

/* ------------------------------------------------------------------ packing */

/* Lanes beyond the last repeat those of the batch: a polynomial must not meet values that no patient has. */
static size_t packed_lane(const ddt_plan *plan, size_t batch, size_t position) {
    size_t first = batch * plan->lanes_per_batch;
    size_t left = plan->pool.lanes - first;
    size_t lanes = left < plan->lanes_per_batch ? left : plan->lanes_per_batch;
    return first + position % lanes;
}

void ddt_plan_pack(const ddt_plan *plan, size_t batch, const double *values, double *slots) {
    size_t block = plan->pool.block;
    size_t period = plan->lanes_per_batch * block;
    for (size_t p = 0; p < plan->lanes_per_batch; p++) {
        memcpy(slots + p * block, values + packed_lane(plan, batch, p) * block, block * sizeof *slots);
    }
    for (size_t s = period; s < plan_slots(plan); s += period) {
        memcpy(slots + s, slots, period * sizeof *slots);
    }
}

void ddt_plan_unpack(const ddt_plan *plan, size_t batch, const double *slots, double *values) {
    size_t first = batch * plan->lanes_per_batch;
    size_t left = plan->pool.lanes - first;
    size_t lanes = left < plan->lanes_per_batch ? left : plan->lanes_per_batch;
    memcpy(values + first * plan->pool.block, slots, lanes * plan->pool.block * sizeof *values);
}

void plan_pack_public(const ddt_plan *plan, size_t batch, circuit_public p, double *slots) {
    size_t block = plan->pool.block;
    for (size_t position = 0; position < plan->lanes_per_batch; position++) {
        size_t lane = packed_lane(plan, batch, position);
        circuit_public_expand(plan->pool.vectors, block, p, lane, 1, slots + position * block);
    }
}
