/*
 * The checker of plans: what the planner makes and what a file holds pass the same one. After it, no index is out of
 * bounds, every operand comes before its user, and every level is what the instruction wants; what remains can only
 * fail by a clean error.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct checker {
    ddt_context *ctx;
    const ddt_plan *plan;
    size_t instruction;
    uint32_t known; /* values that exist before this instruction */
} checker;

static ddt_status refuse(const checker *c, const char *what) {
    return ddt_fail(c->ctx, DDT_ERR_FORMAT, "The plan is not valid: instruction %zu %s.", c->instruction, what);
}

static ddt_status refuse_plan(ddt_context *ctx, const char *what) {
    return ddt_fail(ctx, DDT_ERR_FORMAT, "The plan is not valid: %s.", what);
}

static bool in_range(size_t begin, size_t count, size_t total) { return begin <= total && count <= total - begin; }

/* The value exists and has a level of at least `least` and at most `most`. */
static bool operand_ok(const checker *c, uint32_t value, unsigned least, unsigned most) {
    return value < c->known && c->plan->levels[value] >= least && c->plan->levels[value] <= most;
}

static bool public_ok(const ddt_plan *plan, circuit_public p) {
    return isfinite(p.constant) && (p.vector == CIRCUIT_NONE || p.vector < plan->pool.count);
}

static bool small_integer(int32_t k) { return k != 0 && k >= -CIRCUIT_INTEGER_MAX && k <= CIRCUIT_INTEGER_MAX; }

/* ------------------------------------------------------------------ instructions */

static ddt_status check_products(const checker *c, const plan_instruction *i, unsigned level) {
    if (!in_range(i->product_begin, i->product_count, c->plan->product_count)) {
        return refuse(c, "has products that do not exist");
    }
    for (size_t t = 0; t < i->product_count; t++) {
        const plan_product *p = &c->plan->products[i->product_begin + t];
        if (!operand_ok(c, p->a, level + 1, level + 1) || !operand_ok(c, p->b, level + 1, level + 1) ||
            !small_integer(p->k)) {
            return refuse(c, "has a product of values that do not exist or have the wrong level");
        }
    }
    return DDT_OK;
}

static ddt_status check_combination(const checker *c, const plan_instruction *i) {
    const ddt_plan *plan = c->plan;
    unsigned level = plan_result_level(plan, i);
    if (i->results != 1 || !public_ok(plan, i->offset) ||
        !in_range(i->scaled_begin, i->scaled_count, plan->scaled_count) ||
        !in_range(i->exact_begin, i->exact_count, plan->exact_count)) {
        return refuse(c, "has terms that do not exist");
    }
    ddt_status status = check_products(c, i, level);
    for (size_t t = 0; t < i->scaled_count && status == DDT_OK; t++) {
        const plan_scaled *s = &plan->scaleds[i->scaled_begin + t];
        if (!operand_ok(c, s->a, level + 1, plan_top_level(&plan->literal)) || !public_ok(plan, s->c)) {
            status = refuse(c, "scales a value that does not exist or has the wrong level");
        }
    }
    for (size_t t = 0; t < i->exact_count && status == DDT_OK; t++) {
        const plan_exact *e = &plan->exacts[i->exact_begin + t];
        if (!operand_ok(c, e->a, level, level) || !small_integer(e->k)) {
            status = refuse(c, "adds a value that does not exist or has the wrong level");
        }
    }
    return status;
}

static ddt_status check_rotation(const checker *c, const plan_instruction *i) {
    const ddt_plan *plan = c->plan;
    if (i->results > PLAN_ROTATIONS_MAX || !in_range(i->detail_begin, i->results, plan->step_count) ||
        !operand_ok(c, i->operand, 0, plan_top_level(&plan->literal))) {
        return refuse(c, "rotates a value that does not exist");
    }
    int64_t block = (int64_t)plan->pool.block;
    for (size_t r = 0; r < i->results; r++) {
        int64_t steps = plan->steps[i->detail_begin + r];
        if (steps == 0 || steps <= -block || steps >= block || plan->levels[i->first + r] != plan->levels[i->operand]) {
            return refuse(c, "rotates by steps or to a level that it cannot");
        }
    }
    return DDT_OK;
}

static ddt_status check_polynomial(const checker *c, const plan_instruction *i) {
    const ddt_plan *plan = c->plan;
    if (i->results > PLAN_ROTATIONS_MAX || !in_range(i->detail_begin, i->results, plan->polynomial_count) ||
        !operand_ok(c, i->operand, 0, plan_top_level(&plan->literal))) {
        return refuse(c, "takes a polynomial of a value that does not exist");
    }
    for (size_t r = 0; r < i->results; r++) {
        const plan_polynomial *p = &plan->polynomials[i->detail_begin + r];
        if (p->degree < 1 || p->degree > CIRCUIT_DEGREE_MAX ||
            !in_range(p->begin, (size_t)p->degree + 1, plan->coefficient_count) ||
            plan->levels[i->operand] != plan->levels[i->first + r] + ddt_ckks_polynomial_depth(p->degree)) {
            return refuse(c, "takes a polynomial whose degree, coefficients or level do not fit");
        }
    }
    return DDT_OK;
}

static ddt_status check_refresh(const checker *c, const plan_instruction *i) {
    const ddt_plan *plan = c->plan;
    unsigned level = plan->boot.slots_levels;
    if (plan->literal.boot_levels == 0 || !operand_ok(c, i->operand, level, level) ||
        i->results != (i->partner == CIRCUIT_NONE ? 1U : 2U) ||
        (i->partner != CIRCUIT_NONE && !operand_ok(c, i->partner, level, level))) {
        return refuse(c, "refreshes a value that does not exist or has the wrong level");
    }
    for (size_t r = 0; r < i->results; r++) {
        if (plan->levels[i->first + r] != plan->literal.levels) {
            return refuse(c, "refreshes a value to another level than the top");
        }
    }
    return DDT_OK;
}

static ddt_status check_instruction(const checker *c, const plan_instruction *i) {
    const ddt_plan *plan = c->plan;
    if (i->first != c->known || i->results < 1 || i->results > plan->value_count - c->known) {
        return refuse(c, "does not make the next values");
    }
    switch (i->opcode) {
    case PLAN_ADJUST:
        if (i->results != 1 ||
            !operand_ok(c, i->operand, plan_result_level(plan, i) + 1, plan_top_level(&plan->literal))) {
            return refuse(c, "adjusts a value that does not exist or is not above");
        }
        return DDT_OK;
    case PLAN_COMBINATION:
        return check_combination(c, i);
    case PLAN_ROTATION:
        return check_rotation(c, i);
    case PLAN_POLYNOMIAL:
        return check_polynomial(c, i);
    case PLAN_REFRESH:
        return check_refresh(c, i);
    }
    return refuse(c, "has an unknown operation");
}

static ddt_status check_instructions(ddt_context *ctx, const ddt_plan *plan) {
    checker c = {.ctx = ctx, .plan = plan, .known = (uint32_t)plan->input_count};
    ddt_status status = DDT_OK;
    for (; c.instruction < plan->instruction_count && status == DDT_OK; c.instruction++) {
        const plan_instruction *i = &plan->instructions[c.instruction];
        status = check_instruction(&c, i);
        c.known += i->results;
    }
    if (status == DDT_OK && c.known != plan->value_count) {
        status = refuse_plan(ctx, "it names values that no instruction makes");
    }
    return status;
}

/* ------------------------------------------------------------------ everything else */

static int compare_names(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static ddt_status check_unique(ddt_context *ctx, const char **names, size_t count) {
    if (count > 1) {
        qsort(names, count, sizeof *names, compare_names);
    }
    for (size_t i = 0; i < count; i++) {
        if (names[i] == NULL || names[i][0] == '\0' || strlen(names[i]) > CIRCUIT_NAME_MAX ||
            (i > 0 && strcmp(names[i], names[i - 1]) == 0)) {
            return refuse_plan(ctx, "the names of its inputs or outputs are missing, too long or not unique");
        }
    }
    return DDT_OK;
}

static ddt_status check_names(ddt_context *ctx, const ddt_plan *plan) {
    size_t most = plan->input_count > plan->output_count ? plan->input_count : plan->output_count;
    const char **names = ddt_alloc(most, sizeof *names);
    if (names == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while checking a plan.");
    }
    for (size_t i = 0; i < plan->input_count; i++) {
        names[i] = plan->inputs[i].name;
    }
    ddt_status status = check_unique(ctx, names, plan->input_count);
    for (size_t o = 0; o < plan->output_count; o++) {
        names[o] = plan->outputs[o].name;
    }
    if (status == DDT_OK) {
        status = check_unique(ctx, names, plan->output_count);
    }
    ddt_free(names);
    return status;
}

static ddt_status check_shape(ddt_context *ctx, const ddt_plan *plan) {
    size_t block = plan->pool.block;
    size_t lanes = plan->pool.lanes;
    if (block < 1 || block > CIRCUIT_BLOCK_MAX || (block & (block - 1)) != 0 || lanes < 1 ||
        lanes > CIRCUIT_LANES_MAX || block > plan_slots(plan)) {
        return refuse_plan(ctx, "its lanes and block do not fit the ring degree");
    }
    if (plan->input_count > PLAN_NAMES_MAX || plan->output_count < 1 || plan->output_count > PLAN_NAMES_MAX ||
        plan->value_count > PLAN_VALUES_MAX || plan->value_count < plan->input_count ||
        plan->pool.count > PLAN_VECTORS_MAX || plan->product_count > PLAN_TERMS_MAX ||
        plan->scaled_count > PLAN_TERMS_MAX || plan->exact_count > PLAN_TERMS_MAX) {
        return refuse_plan(ctx, "it has no outputs, or too many parts");
    }
    if (plan->literal.boot_levels == 0
            ? plan->boot.log_slots != 0 || plan->boot.slots_levels != 0 || plan->boot.baby != 0
            : plan->boot.slots_levels == 0 || !ddt_bootstrap_is_possible(&plan->literal, &plan->boot)) {
        return refuse_plan(ctx, "its shape of bootstrapping is not possible");
    }
    if (plan->output_level > plan_top_level(&plan->literal) || !(plan->predicted_error >= 0.0) ||
        !isfinite(plan->predicted_error) || !(plan->noise_bound >= 0.0)) {
        return refuse_plan(ctx, "its output level, predicted error or bound of the noise is out of range");
    }
    for (size_t v = 0; v < plan->pool.count; v++) {
        if (!circuit_is_period(plan->pool.vectors[v].count, lanes, block)) {
            return refuse_plan(ctx, "a public vector has the wrong length");
        }
    }
    return DDT_OK;
}

static ddt_status check_ends(ddt_context *ctx, const ddt_plan *plan) {
    if (plan->pack_stages > plan_pack_stages_most(plan, plan->literal.log_n)) {
        return refuse_plan(ctx, "more inputs share a ciphertext than it holds");
    }
    for (size_t v = 0; v < plan->value_count; v++) {
        if (plan->levels[v] > plan_top_level(&plan->literal)) {
            return refuse_plan(ctx, "a value lies above the top level");
        }
    }
    for (size_t i = 0; i < plan->input_count; i++) {
        if (!(plan->inputs[i].bound > 0.0) || !isfinite(plan->inputs[i].bound)) {
            return refuse_plan(ctx, "an input has no positive bound");
        }
    }
    for (size_t o = 0; o < plan->output_count; o++) {
        uint32_t value = plan->outputs[o].value;
        uint32_t carried = plan->outputs[o].carried;
        if (value >= plan->value_count || (carried != CIRCUIT_NONE && carried >= plan->input_count)) {
            return refuse_plan(ctx, "an output, or the input that it becomes, does not exist");
        }
        if (plan->levels[value] != (carried == CIRCUIT_NONE ? plan->output_level : plan->levels[carried])) {
            return refuse_plan(ctx, "an output has the wrong level");
        }
    }
    return DDT_OK;
}

/* The table on the nominal sizes; the exact primes are checked when the parameters are made. */
static ddt_status check_security(ddt_context *ctx, const ddt_plan *plan) {
    const ddt_ckks_literal *p = &plan->literal;
    unsigned bits = (unsigned)ceil(plan_nominal_bits(p));
    unsigned most = ddt_ckks_max_log_qp(p->log_n);
    if (!plan->insecure && bits > most) {
        return ddt_fail(ctx, DDT_ERR_SECURITY,
                        "The plan is refused: its modulus has %u bits; ring degree 2^%u is 128-bit secure up to %u.",
                        bits, p->log_n, most);
    }
    return DDT_OK;
}

ddt_status plan_check(ddt_context *ctx, const ddt_plan *plan) {
    ddt_status status = check_shape(ctx, plan);
    if (status == DDT_OK) {
        status = check_names(ctx, plan);
    }
    if (status == DDT_OK) {
        status = check_ends(ctx, plan);
    }
    if (status == DDT_OK) {
        status = check_instructions(ctx, plan);
    }
    return status == DDT_OK ? check_security(ctx, plan) : status;
}
