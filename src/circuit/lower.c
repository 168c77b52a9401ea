/*
 * The lowering of the graph to instructions. A node is computed at the highest level that any user wants. Who wants
 * less takes a term of another scale where a rescale follows anyway, or an adjusted copy that all such users share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <string.h>

/* ------------------------------------------------------------------ lowering */

typedef struct adjusted {
    uint32_t result;
    uint32_t next; /* the next adjusted copy of the same value */
} adjusted;

typedef struct lowering {
    ddt_context *ctx;
    const circuit_graph *graph;
    int *needs;
    int depth;
    int refresh_level;
    ddt_node *order; /* in which nodes are lowered */
    size_t position; /* of the node that is being lowered */
    ddt_plan *plan;
    ddt_status status;
    uint32_t *values;  /* of each node, CIRCUIT_NONE before it is lowered */
    uint32_t *sibling; /* of each node: the next rotation or polynomial of the same operand */
    uint32_t *first_sibling;
    uint32_t *vectors;       /* graph pool -> plan pool */
    uint32_t *adjusted_head; /* of each value */
    size_t adjusted_head_capacity;
    adjusted *copies;
    size_t copy_count, copy_capacity;
} lowering;

static void fail_memory(lowering *l) {
    if (l->status == DDT_OK) {
        l->status = ddt_fail(l->ctx, DDT_ERR_MEMORY, "Memory is short while planning.");
    }
}

/* Makes a value; its number, 0 after a failure. */
static uint32_t new_value(lowering *l, int level) {
    ddt_plan *plan = l->plan;
    if (l->status == DDT_OK && (level < 0 || level > DDT_CKKS_LEVELS_MAX)) {
        l->status = ddt_fail(l->ctx, DDT_ERR_CAPACITY, "The circuit needs %d levels; at most %d are supported.", level,
                             DDT_CKKS_LEVELS_MAX);
    }
    if (l->status != DDT_OK || plan->value_count >= PLAN_VALUES_MAX ||
        !CIRCUIT_GROW(l->adjusted_head, plan->value_count, l->adjusted_head_capacity) ||
        !CIRCUIT_GROW(plan->levels, plan->value_count, plan->value_capacity)) {
        fail_memory(l);
        return 0;
    }
    l->adjusted_head[plan->value_count] = CIRCUIT_NONE;
    plan->levels[plan->value_count] = (uint8_t)level;
    return (uint32_t)plan->value_count++;
}

static void append(lowering *l, plan_instruction instruction) {
    ddt_plan *plan = l->plan;
    if (l->status != DDT_OK || !CIRCUIT_GROW(plan->instructions, plan->instruction_count, plan->instruction_capacity)) {
        fail_memory(l);
        return;
    }
    plan->instructions[plan->instruction_count++] = instruction;
}

static plan_instruction blank(plan_opcode opcode, uint32_t operand) {
    return (plan_instruction){.opcode = opcode,
                              .operand = operand,
                              .partner = CIRCUIT_NONE,
                              .results = 1,
                              .offset = circuit_public_constant(0.0)};
}

static uint32_t find_adjusted(const lowering *l, uint32_t value, int level) {
    uint32_t head = l->adjusted_head == NULL ? CIRCUIT_NONE : l->adjusted_head[value];
    for (uint32_t i = head; i != CIRCUIT_NONE; i = l->copies[i].next) {
        if (l->plan->levels[l->copies[i].result] == level) {
            return l->copies[i].result;
        }
    }
    return CIRCUIT_NONE;
}

/* The node's value at exactly this level. */
static uint32_t value_at(lowering *l, ddt_node node, int level) {
    uint32_t value = l->values[node];
    if (l->status != DDT_OK || l->plan->levels[value] == level) {
        return value;
    }
    uint32_t found = find_adjusted(l, value, level);
    if (found != CIRCUIT_NONE) {
        return found;
    }
    plan_instruction instruction = blank(PLAN_ADJUST, value);
    instruction.first = new_value(l, level);
    append(l, instruction);
    if (l->status != DDT_OK || !CIRCUIT_GROW(l->copies, l->copy_count, l->copy_capacity)) {
        fail_memory(l);
        return value;
    }
    l->copies[l->copy_count] = (adjusted){.result = instruction.first, .next = l->adjusted_head[value]};
    l->adjusted_head[value] = (uint32_t)l->copy_count++;
    return instruction.first;
}

/* The plan's name for a public value of the graph. The vector's memory moves. */
static circuit_public lower_public(lowering *l, circuit_public p) {
    if (p.vector == CIRCUIT_NONE || l->status != DDT_OK) {
        return p;
    }
    circuit_pool *pool = &l->plan->pool;
    if (l->vectors[p.vector] == CIRCUIT_NONE) {
        if (!CIRCUIT_GROW(pool->vectors, pool->count, pool->capacity)) {
            fail_memory(l);
            return circuit_public_constant(0.0);
        }
        l->vectors[p.vector] = (uint32_t)pool->count;
        circuit_vector *vector = &l->graph->pool.vectors[p.vector];
        pool->vectors[pool->count++] = *vector;
        vector->values = NULL;
    }
    return (circuit_public){.constant = 0.0, .vector = l->vectors[p.vector]};
}

static void lower_product(lowering *l, const circuit_product *product, int level) {
    ddt_plan *plan = l->plan;
    plan_product lowered = {
        .a = value_at(l, product->a, level + 1), .b = value_at(l, product->b, level + 1), .k = product->k};
    if (l->status != DDT_OK || !CIRCUIT_GROW(plan->products, plan->product_count, plan->product_capacity)) {
        fail_memory(l);
        return;
    }
    plan->products[plan->product_count++] = lowered;
}

/* Small integers are exact terms where the operand is at this level or can be brought there; other terms share the
 * rescale. */
static bool term_is_exact(const lowering *l, const circuit_linear *term, int level, bool leveled) {
    if (!circuit_is_small_integer(term->c)) {
        return false;
    }
    uint32_t value = l->values[term->a];
    return !leveled || l->plan->levels[value] == level || find_adjusted(l, value, level) != CIRCUIT_NONE;
}

static void lower_exact(lowering *l, const circuit_linear *term, int level) {
    ddt_plan *plan = l->plan;
    plan_exact lowered = {.a = value_at(l, term->a, level), .k = (int32_t)term->c.constant};
    if (l->status != DDT_OK || !CIRCUIT_GROW(plan->exacts, plan->exact_count, plan->exact_capacity)) {
        fail_memory(l);
        return;
    }
    plan->exacts[plan->exact_count++] = lowered;
}

static void lower_scaled(lowering *l, const circuit_linear *term) {
    ddt_plan *plan = l->plan;
    plan_scaled lowered = {.a = l->values[term->a], .c = lower_public(l, term->c)};
    if (l->status != DDT_OK || !CIRCUIT_GROW(plan->scaleds, plan->scaled_count, plan->scaled_capacity)) {
        fail_memory(l);
        return;
    }
    plan->scaleds[plan->scaled_count++] = lowered;
}

static void lower_combination(lowering *l, ddt_node n) {
    const circuit_graph *graph = l->graph;
    const circuit_node *node = &graph->nodes[n];
    int level = l->needs[n];
    bool leveled = circuit_node_is_leveled(graph, node);
    ddt_plan *plan = l->plan;
    plan_instruction instruction = blank(PLAN_COMBINATION, CIRCUIT_NONE);
    instruction.offset = lower_public(l, node->value);
    instruction.product_begin = plan->product_count;
    for (size_t i = 0; i < node->product_count && l->status == DDT_OK; i++) {
        lower_product(l, &graph->products[node->product_begin + i], level);
    }
    instruction.exact_begin = plan->exact_count;
    instruction.scaled_begin = plan->scaled_count;
    for (size_t i = 0; i < node->linear_count && l->status == DDT_OK; i++) {
        const circuit_linear *term = &graph->linears[node->linear_begin + i];
        if (term_is_exact(l, term, level, leveled)) {
            lower_exact(l, term, level);
        } else {
            lower_scaled(l, term);
        }
    }
    instruction.product_count = plan->product_count - instruction.product_begin;
    instruction.exact_count = plan->exact_count - instruction.exact_begin;
    instruction.scaled_count = plan->scaled_count - instruction.scaled_begin;
    instruction.first = new_value(l, level);
    l->values[n] = instruction.first;
    append(l, instruction);
}

static void append_step(lowering *l, int64_t step) {
    ddt_plan *plan = l->plan;
    if (!CIRCUIT_GROW(plan->steps, plan->step_count, plan->step_capacity)) {
        fail_memory(l);
        return;
    }
    plan->steps[plan->step_count++] = step;
}

static void append_polynomial(lowering *l, const circuit_polynomial *polynomial) {
    ddt_plan *plan = l->plan;
    if (!CIRCUIT_GROW(plan->polynomials, plan->polynomial_count, plan->polynomial_capacity)) {
        fail_memory(l);
        return;
    }
    plan->polynomials[plan->polynomial_count++] =
        (plan_polynomial){.begin = plan->coefficient_count, .degree = polynomial->degree};
    for (unsigned k = 0; k <= polynomial->degree; k++) {
        if (!CIRCUIT_GROW(plan->coefficients, plan->coefficient_count, plan->coefficient_capacity)) {
            fail_memory(l);
            return;
        }
        plan->coefficients[plan->coefficient_count++] = polynomial->coefficients[k];
    }
}

/* The level at which a rotation or polynomial reads its operand. */
static int operand_level(const lowering *l, ddt_node n) {
    const circuit_node *node = &l->graph->nodes[n];
    if (node->kind == NODE_ROTATION) {
        return l->needs[n];
    }
    return l->needs[n] + (int)ddt_ckks_polynomial_depth(l->graph->polynomials[node->index].degree);
}

/* One instruction for all rotations, or all polynomials, of one value at one level. */
static void lower_family(lowering *l, ddt_node n) {
    const circuit_graph *graph = l->graph;
    const circuit_node *node = &graph->nodes[n];
    int level = operand_level(l, n);
    plan_instruction instruction =
        blank(node->kind == NODE_ROTATION ? PLAN_ROTATION : PLAN_POLYNOMIAL, value_at(l, node->operand, level));
    instruction.first = (uint32_t)l->plan->value_count;
    instruction.results = 0;
    instruction.detail_begin = node->kind == NODE_ROTATION ? l->plan->step_count : l->plan->polynomial_count;
    for (uint32_t s = l->first_sibling[node->operand];
         s != CIRCUIT_NONE && l->status == DDT_OK && instruction.results < PLAN_ROTATIONS_MAX; s = l->sibling[s]) {
        if (graph->nodes[s].kind != node->kind || l->values[s] != CIRCUIT_NONE || operand_level(l, s) != level) {
            continue;
        }
        if (node->kind == NODE_ROTATION) {
            append_step(l, graph->nodes[s].steps);
        } else {
            append_polynomial(l, &graph->polynomials[graph->nodes[s].index]);
        }
        l->values[s] = new_value(l, l->needs[s]);
        instruction.results++;
    }
    append(l, instruction);
}

/* The next refresh of the same stage that is not lowered yet; DDT_NODE_NONE: there is none. */
static ddt_node find_partner(const lowering *l) {
    for (size_t i = l->position + 1; i < l->graph->node_count; i++) {
        ddt_node n = l->order[i];
        if (l->graph->nodes[n].kind != NODE_REFRESH) {
            break; /* later refreshes may need what comes first */
        }
        if (l->needs[n] != LEVEL_DEAD && l->values[n] == CIRCUIT_NONE) {
            return n;
        }
    }
    return DDT_NODE_NONE;
}

/* Two values are refreshed in the time of one. */
static void lower_refresh(lowering *l, ddt_node n) {
    const circuit_graph *graph = l->graph;
    ddt_node partner = find_partner(l);
    plan_instruction instruction = blank(PLAN_REFRESH, value_at(l, graph->nodes[n].operand, l->refresh_level));
    if (partner != DDT_NODE_NONE) {
        instruction.partner = value_at(l, graph->nodes[partner].operand, l->refresh_level);
        instruction.results = 2;
    }
    instruction.first = new_value(l, l->depth);
    l->values[n] = instruction.first;
    if (partner != DDT_NODE_NONE) {
        l->values[partner] = new_value(l, l->depth);
    }
    append(l, instruction);
}

/* A public output: an instruction without operands. */
static void lower_public_node(lowering *l, ddt_node n) {
    plan_instruction instruction = blank(PLAN_COMBINATION, CIRCUIT_NONE);
    instruction.offset = lower_public(l, l->graph->nodes[n].value);
    instruction.first = new_value(l, l->needs[n]);
    l->values[n] = instruction.first;
    append(l, instruction);
}

static void lower_node(lowering *l, ddt_node n) {
    switch (l->graph->nodes[n].kind) {
    case NODE_PUBLIC:
        lower_public_node(l, n);
        break;
    case NODE_INPUT:
        break;
    case NODE_COMBINATION:
        lower_combination(l, n);
        break;
    case NODE_ROTATION:
    case NODE_POLYNOMIAL:
        if (l->values[n] == CIRCUIT_NONE) {
            lower_family(l, n);
        }
        break;
    case NODE_REFRESH:
        if (l->values[n] == CIRCUIT_NONE) {
            lower_refresh(l, n);
        }
        break;
    }
}

/* Chains the live rotations and polynomials of each operand, in node order. */
static void link_siblings(lowering *l) {
    for (size_t n = 0; n < l->graph->node_count; n++) {
        l->first_sibling[n] = CIRCUIT_NONE;
        l->sibling[n] = CIRCUIT_NONE;
    }
    for (size_t n = l->graph->node_count; n-- > 0;) {
        const circuit_node *node = &l->graph->nodes[n];
        if (l->needs[n] != LEVEL_DEAD && (node->kind == NODE_ROTATION || node->kind == NODE_POLYNOMIAL)) {
            l->sibling[n] = l->first_sibling[node->operand];
            l->first_sibling[node->operand] = (uint32_t)n;
        }
    }
}

static void lower_inputs(lowering *l, const ddt_circuit *circuit) {
    ddt_plan *plan = l->plan;
    size_t next = 0;
    for (size_t n = 0; n < l->graph->node_count && l->status == DDT_OK; n++) {
        if (l->graph->nodes[n].kind != NODE_INPUT) {
            continue;
        }
        char *name = ddt_strdup(circuit->inputs[next].name);
        if (name == NULL || !CIRCUIT_GROW(plan->inputs, plan->input_count, plan->input_capacity)) {
            ddt_free(name);
            fail_memory(l);
            return;
        }
        plan->inputs[plan->input_count++] = (plan_input){.name = name, .bound = circuit->inputs[next++].bound};
        l->values[n] = new_value(l, l->needs[n]);
    }
}

static void lower_outputs(lowering *l, const circuit_demand *demand) {
    ddt_plan *plan = l->plan;
    for (size_t o = 0; o < demand->circuit->output_count && l->status == DDT_OK; o++) {
        const circuit_output *output = &demand->circuit->outputs[o];
        bool carried = output->carried != CIRCUIT_NONE;
        int level = carried ? plan->levels[output->carried] : (int)demand->output_level;
        uint32_t value = value_at(l, demand->outputs[o], level);
        char *name = ddt_strdup(output->name);
        if (name == NULL || !CIRCUIT_GROW(plan->outputs, plan->output_count, plan->output_capacity)) {
            ddt_free(name);
            fail_memory(l);
            return;
        }
        plan->outputs[plan->output_count++] = (plan_output){.name = name, .value = value, .carried = output->carried};
    }
}

/* ------------------------------------------------------------------ order */

typedef struct stage_state {
    const uint32_t *stages;
    uint32_t stage;
} stage_state;

static void raise_stage(void *user, ddt_node operand) {
    stage_state *state = user;
    state->stage = state->stages[operand] > state->stage ? state->stages[operand] : state->stage;
}

/*
 * order: the nodes by stages, as many as there are refreshes on a path; the refreshes that begin a stage first, so that
 * they can be paired. Without refreshes the order of the graph. `stages` and `begin` have room for all nodes and one
 * more.
 */
static void sort_nodes(const circuit_graph *graph, uint32_t *stages, uint32_t *begin, ddt_node *order) {
    memset(begin, 0, (graph->node_count + 1) * sizeof *begin);
    for (size_t n = 0; n < graph->node_count; n++) {
        stage_state state = {.stages = stages, .stage = 0};
        circuit_node_operands(graph, (ddt_node)n, raise_stage, &state);
        stages[n] = state.stage + (graph->nodes[n].kind == NODE_REFRESH ? 1 : 0);
        begin[stages[n] + 1]++;
    }
    for (size_t s = 1; s <= graph->node_count; s++) {
        begin[s] += begin[s - 1];
    }
    for (int refreshes = 1; refreshes >= 0; refreshes--) {
        for (size_t n = 0; n < graph->node_count; n++) {
            if ((graph->nodes[n].kind == NODE_REFRESH) == (refreshes == 1)) {
                order[begin[stages[n]]++] = (ddt_node)n;
            }
        }
    }
}

static bool make_order(lowering *l) {
    size_t count = l->graph->node_count;
    uint32_t *stages = ddt_alloc(count, sizeof *stages);
    uint32_t *begin = ddt_alloc(count + 1, sizeof *begin);
    l->order = ddt_alloc(count, sizeof *l->order);
    bool complete = stages != NULL && begin != NULL && l->order != NULL;
    if (complete) {
        sort_nodes(l->graph, stages, begin, l->order);
    }
    ddt_free(stages);
    ddt_free(begin);
    return complete;
}

/* ------------------------------------------------------------------ the whole */

static bool allocate(lowering *l) {
    const circuit_graph *graph = l->graph;
    size_t count = graph->node_count;
    l->needs = ddt_alloc(count, sizeof *l->needs);
    l->values = ddt_alloc(count, sizeof *l->values);
    l->sibling = ddt_alloc(count, sizeof *l->sibling);
    l->first_sibling = ddt_alloc(count, sizeof *l->first_sibling);
    l->vectors = ddt_alloc(graph->pool.count, sizeof *l->vectors);
    if (l->needs == NULL || l->values == NULL || l->sibling == NULL || l->first_sibling == NULL || l->vectors == NULL ||
        !make_order(l)) {
        return false;
    }
    memset(l->values, 0xff, count * sizeof *l->values);
    memset(l->vectors, 0xff, graph->pool.count * sizeof *l->vectors);
    return true;
}

static void lower_all(lowering *l, const circuit_demand *demand) {
    l->depth = circuit_assign_levels(demand, l->needs);
    link_siblings(l);
    lower_inputs(l, demand->circuit);
    for (size_t i = 0; i < l->graph->node_count && l->status == DDT_OK; i++) {
        if (l->needs[l->order[i]] != LEVEL_DEAD) {
            l->position = i;
            lower_node(l, l->order[i]);
        }
    }
    lower_outputs(l, demand);
}

ddt_status circuit_lower(ddt_context *ctx, const circuit_demand *demand, ddt_plan *plan) {
    lowering l = {.ctx = ctx, .graph = demand->graph, .plan = plan, .refresh_level = (int)demand->refresh_level};
    plan->pool.lanes = l.graph->pool.lanes;
    plan->pool.block = l.graph->pool.block;
    plan->output_level = demand->output_level;
    if (allocate(&l)) {
        lower_all(&l, demand);
    } else {
        fail_memory(&l);
    }
    ddt_free(l.needs);
    ddt_free(l.values);
    ddt_free(l.sibling);
    ddt_free(l.first_sibling);
    ddt_free(l.vectors);
    ddt_free(l.order);
    ddt_free(l.adjusted_head);
    ddt_free(l.copies);
    return l.status;
}
