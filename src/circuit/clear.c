/*
 * Running a graph in double precision, over groups of lanes that fit the cache.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "graph.h"

#include <math.h>
#include <string.h>

/* Slots worked on at a time: some tens of live values of this size stay in a second-level cache. */
enum { CHUNK_SLOTS = 2048 };

void circuit_polynomial_clear(const double *coefficients, unsigned degree, const double *x, size_t count, double *out) {
    enum { GROUP = 64 };
    double b1[GROUP];
    double b2[GROUP];
    double argument[GROUP];
    for (size_t begin = 0; begin < count; begin += GROUP) {
        size_t n = count - begin < GROUP ? count - begin : GROUP;
        for (size_t i = 0; i < n; i++) {
            argument[i] = x[begin + i];
            b1[i] = 0.0;
            b2[i] = 0.0;
        }
        for (unsigned k = degree; k > 0; k--) {
            for (size_t i = 0; i < n; i++) {
                double next = 2.0 * argument[i] * b1[i] - b2[i] + coefficients[k];
                b2[i] = b1[i];
                b1[i] = next;
            }
        }
        for (size_t i = 0; i < n; i++) {
            out[begin + i] = argument[i] * b1[i] - b2[i] + coefficients[0];
        }
    }
}

/* One group of lanes on its way through the graph. */
typedef struct chunk {
    const circuit_evaluation *evaluation;
    size_t lane_begin;
    size_t lanes;
    size_t slots;
    double **values;          /* of each node, NULL when not computed or no longer needed */
    const uint32_t *last_use; /* of each node */
    double **spare;           /* buffers to reuse */
    size_t spare_count;
    double *scratch;
} chunk;

static double *take_buffer(chunk *c, size_t capacity_slots) {
    return c->spare_count > 0 ? c->spare[--c->spare_count] : ddt_alloc(capacity_slots, sizeof(double));
}

static void add_linear(chunk *c, const circuit_linear *term, double *out) {
    const circuit_graph *graph = c->evaluation->graph;
    const double *a = c->values[term->a];
    if (term->c.vector == CIRCUIT_NONE) {
        double k = term->c.constant;
        for (size_t i = 0; i < c->slots; i++) {
            out[i] += k * a[i];
        }
        return;
    }
    circuit_public_expand(graph->pool.vectors, graph->pool.block, term->c, c->lane_begin, c->lanes, c->scratch);
    for (size_t i = 0; i < c->slots; i++) {
        out[i] += c->scratch[i] * a[i];
    }
}

static void evaluate_combination(chunk *c, const circuit_node *node, double *out) {
    const circuit_graph *graph = c->evaluation->graph;
    circuit_public_expand(graph->pool.vectors, graph->pool.block, node->value, c->lane_begin, c->lanes, out);
    for (size_t t = 0; t < node->linear_count; t++) {
        add_linear(c, &graph->linears[node->linear_begin + t], out);
    }
    for (size_t t = 0; t < node->product_count; t++) {
        const circuit_product *product = &graph->products[node->product_begin + t];
        const double *a = c->values[product->a];
        const double *b = c->values[product->b];
        double k = product->k;
        for (size_t i = 0; i < c->slots; i++) {
            out[i] += k * a[i] * b[i];
        }
    }
}

static void evaluate_rotation(const chunk *c, const circuit_node *node, double *out) {
    const double *a = c->values[node->operand];
    int64_t slots = (int64_t)c->slots;
    size_t shift = (size_t)(((node->steps % slots) + slots) % slots);
    memcpy(out, a + shift, (c->slots - shift) * sizeof *out);
    memcpy(out + (c->slots - shift), a, shift * sizeof *out);
}

static void evaluate_polynomial(const chunk *c, const circuit_node *node, double *out) {
    const circuit_polynomial *p = &c->evaluation->graph->polynomials[node->index];
    const double *x = c->values[node->operand];
    if (!c->evaluation->exact || p->function == NULL) {
        circuit_polynomial_clear(p->coefficients, p->degree, x, c->slots, out);
        return;
    }
    double half = 0.5 * (p->high - p->low);
    for (size_t i = 0; i < c->slots; i++) {
        out[i] = p->function(p->low + half * (x[i] + 1.0), p->user);
    }
}

static void evaluate_node(chunk *c, ddt_node n, const double *const *inputs, double *out) {
    const circuit_graph *graph = c->evaluation->graph;
    const circuit_node *node = &graph->nodes[n];
    switch (node->kind) {
    case NODE_PUBLIC:
        circuit_public_expand(graph->pool.vectors, graph->pool.block, node->value, c->lane_begin, c->lanes, out);
        break;
    case NODE_INPUT:
        memcpy(out, inputs[node->index] + c->lane_begin * graph->pool.block, c->slots * sizeof *out);
        break;
    case NODE_COMBINATION:
        evaluate_combination(c, node, out);
        break;
    case NODE_ROTATION:
        evaluate_rotation(c, node, out);
        break;
    case NODE_POLYNOMIAL:
        evaluate_polynomial(c, node, out);
        break;
    }
}

/* Gives back the buffers of operands that node n used last. */
typedef struct release_state {
    chunk *c;
    ddt_node node;
} release_state;

static void release_operand(void *user, ddt_node operand) {
    release_state *state = user;
    chunk *c = state->c;
    if (c->last_use[operand] == state->node && c->values[operand] != NULL) {
        c->spare[c->spare_count++] = c->values[operand];
        c->values[operand] = NULL;
    }
}

static ddt_status evaluate_chunk(ddt_context *ctx, chunk *c, size_t capacity_slots, const double *const *inputs,
                                 double *const *outputs) {
    const circuit_evaluation *evaluation = c->evaluation;
    const circuit_graph *graph = evaluation->graph;
    for (size_t n = 0; n < graph->node_count; n++) {
        if (!evaluation->live[n]) {
            continue;
        }
        double *out = take_buffer(c, capacity_slots);
        if (out == NULL) {
            return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while running a circuit in the clear.");
        }
        evaluate_node(c, (ddt_node)n, inputs, out);
        c->values[n] = out;
        if (evaluation->visit != NULL) {
            evaluation->visit(evaluation->user, (ddt_node)n, out, c->slots);
        }
        release_state state = {.c = c, .node = (ddt_node)n};
        circuit_node_operands(graph, (ddt_node)n, release_operand, &state);
    }
    for (size_t o = 0; outputs != NULL && o < evaluation->output_count; o++) {
        memcpy(outputs[o] + c->lane_begin * graph->pool.block, c->values[evaluation->outputs[o]],
               c->slots * sizeof(double));
    }
    for (size_t n = 0; n < graph->node_count; n++) {
        if (c->values[n] != NULL) {
            c->spare[c->spare_count++] = c->values[n];
            c->values[n] = NULL;
        }
    }
    return DDT_OK;
}

typedef struct last_use_state {
    uint32_t *last_use;
    uint32_t node;
} last_use_state;

static void note_use(void *user, ddt_node operand) {
    last_use_state *state = user;
    state->last_use[operand] = state->node;
}

static void find_last_uses(const circuit_evaluation *evaluation, uint32_t *last_use) {
    const circuit_graph *graph = evaluation->graph;
    for (size_t n = 0; n < graph->node_count; n++) {
        last_use[n] = DDT_NODE_NONE;
        if (evaluation->live[n]) {
            last_use_state state = {.last_use = last_use, .node = (uint32_t)n};
            circuit_node_operands(graph, (ddt_node)n, note_use, &state);
        }
    }
    for (size_t o = 0; o < evaluation->output_count; o++) {
        last_use[evaluation->outputs[o]] = DDT_NODE_NONE; /* outputs stay to the end */
    }
}

ddt_status circuit_evaluate(ddt_context *ctx, const circuit_evaluation *evaluation, const double *const *inputs,
                            double *const *outputs) {
    const circuit_graph *graph = evaluation->graph;
    size_t block = graph->pool.block;
    size_t lanes = graph->pool.lanes;
    size_t group = block >= CHUNK_SLOTS ? 1 : CHUNK_SLOTS / block;
    group = group < lanes ? group : lanes;
    chunk c = {.evaluation = evaluation};
    uint32_t *last_use = ddt_alloc(graph->node_count, sizeof *last_use);
    c.values = ddt_calloc(graph->node_count, sizeof *c.values);
    c.spare = ddt_calloc(graph->node_count, sizeof *c.spare);
    c.scratch = ddt_alloc(group * block, sizeof *c.scratch);
    ddt_status status = DDT_OK;
    if (last_use == NULL || c.values == NULL || c.spare == NULL || c.scratch == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while running a circuit in the clear.");
    } else {
        find_last_uses(evaluation, last_use);
        c.last_use = last_use;
    }
    for (size_t lane = 0; status == DDT_OK && lane < lanes; lane += group) {
        c.lane_begin = lane;
        c.lanes = lanes - lane < group ? lanes - lane : group;
        c.slots = c.lanes * block;
        status = evaluate_chunk(ctx, &c, group * block, inputs, outputs);
    }
    for (size_t i = 0; c.spare != NULL && i < c.spare_count; i++) {
        ddt_free(c.spare[i]);
    }
    for (size_t n = 0; c.values != NULL && n < graph->node_count; n++) {
        ddt_free(c.values[n]);
    }
    ddt_free(last_use);
    ddt_free(c.values);
    ddt_free(c.spare);
    ddt_free(c.scratch);
    return status;
}

/* ------------------------------------------------------------------ the public functions */

ddt_node *circuit_output_nodes(const ddt_circuit *circuit) {
    ddt_node *nodes = ddt_alloc(circuit->output_count, sizeof *nodes);
    for (size_t o = 0; nodes != NULL && o < circuit->output_count; o++) {
        nodes[o] = circuit->outputs[o].node;
    }
    return nodes;
}

static ddt_status run(ddt_context *ctx, const ddt_circuit *circuit, const double *const *inputs, bool exact,
                      double *const *outputs, circuit_visitor visit, void *user) {
    if (circuit->graph.status != DDT_OK) {
        return ddt_fail(ctx, circuit->graph.status, "The circuit was not built without errors and cannot be run.");
    }
    ddt_node *nodes = circuit_output_nodes(circuit);
    bool *live = ddt_alloc(circuit->graph.node_count, sizeof *live);
    ddt_status status = DDT_OK;
    if (nodes == NULL || live == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while running a circuit in the clear.");
    } else {
        circuit_graph_live(&circuit->graph, nodes, circuit->output_count, live);
        circuit_evaluation evaluation = {.graph = &circuit->graph,
                                         .live = live,
                                         .outputs = nodes,
                                         .output_count = circuit->output_count,
                                         .exact = exact,
                                         .visit = visit,
                                         .user = user};
        status = circuit_evaluate(ctx, &evaluation, inputs, outputs);
    }
    ddt_free(nodes);
    ddt_free(live);
    return status;
}

ddt_status ddt_circuit_run_clear(ddt_context *ctx, const ddt_circuit *circuit, const double *const *inputs, bool exact,
                                 double *const *outputs) {
    return run(ctx, circuit, inputs, exact, outputs, NULL, NULL);
}

size_t circuit_sample_lanes(size_t lanes, size_t block) {
    size_t wanted = block >= CIRCUIT_SAMPLE_SLOTS ? 1 : CIRCUIT_SAMPLE_SLOTS / block;
    return wanted < lanes ? wanted : lanes;
}

size_t circuit_sample_lane(size_t lanes, size_t sample_count, size_t sample) { return sample * lanes / sample_count; }

/* Keeps the inputs of a sample of the lanes. */
static ddt_status keep_draw(ddt_context *ctx, ddt_circuit *circuit, const double *const *inputs) {
    if (circuit->draw_count == CIRCUIT_DRAWS_MAX || circuit->input_count == 0) {
        return DDT_OK;
    }
    size_t block = circuit->graph.pool.block;
    size_t lanes = circuit->graph.pool.lanes;
    size_t samples = circuit_sample_lanes(lanes, block);
    double **draw = ddt_calloc(circuit->input_count, sizeof *draw);
    bool complete = draw != NULL;
    for (size_t i = 0; complete && i < circuit->input_count; i++) {
        draw[i] = ddt_alloc(samples * block, sizeof **draw);
        complete = draw[i] != NULL;
        for (size_t s = 0; complete && s < samples; s++) {
            memcpy(draw[i] + s * block, inputs[i] + circuit_sample_lane(lanes, samples, s) * block,
                   block * sizeof **draw);
        }
    }
    if (!complete) {
        for (size_t i = 0; draw != NULL && i < circuit->input_count; i++) {
            ddt_free(draw[i]);
        }
        ddt_free(draw);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while calibrating a circuit.");
    }
    circuit->draws[circuit->draw_count++] = draw;
    return DDT_OK;
}

typedef struct calibration {
    circuit_graph *graph;
    const uint8_t *domain; /* for each node: it is the argument of a polynomial */
    double *max;
    double *square_sum;
    uint64_t violations;
} calibration;

static void calibrate_node(void *user, ddt_node n, const double *values, size_t count) {
    /* Rounding in the affine map to [-1, 1] must not count as a violation. */
    const double border = 1.0 + 1e-9;
    calibration *state = user;
    double largest = state->max[n];
    double squares = 0.0;
    uint64_t outside = 0;
    for (size_t i = 0; i < count; i++) {
        double magnitude = fabs(values[i]);
        largest = magnitude <= largest ? largest : magnitude; /* NaN sticks */
        squares += magnitude * magnitude;
        outside += !(magnitude <= border);
    }
    state->max[n] = largest;
    state->square_sum[n] += squares;
    if (state->domain[n]) {
        state->violations += outside;
    }
}

ddt_status ddt_circuit_calibrate(ddt_context *ctx, ddt_circuit *circuit, const double *const *inputs,
                                 uint64_t *violations) {
    size_t count = circuit->graph.node_count;
    uint8_t *domain = ddt_calloc(count, 1);
    double *max = ddt_calloc(count, sizeof *max);
    double *square_sum = ddt_calloc(count, sizeof *square_sum);
    calibration state = {.graph = &circuit->graph, .domain = domain, .max = max, .square_sum = square_sum};
    ddt_status status = DDT_OK;
    if (domain == NULL || max == NULL || square_sum == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while calibrating a circuit.");
    } else {
        for (size_t n = 0; n < count; n++) {
            if (circuit->graph.nodes[n].kind == NODE_POLYNOMIAL) {
                domain[circuit->graph.nodes[n].operand] = 1;
            }
        }
        status = run(ctx, circuit, inputs, false, NULL, calibrate_node, &state);
    }
    if (status == DDT_OK) {
        status = keep_draw(ctx, circuit, inputs);
    }
    if (status == DDT_OK) {
        for (size_t n = 0; n < count; n++) {
            circuit_node *node = &circuit->graph.nodes[n];
            node->max = max[n] <= node->max ? node->max : max[n];
            node->square_sum += square_sum[n];
        }
        circuit->samples += (uint64_t)circuit->graph.pool.lanes * circuit->graph.pool.block;
        if (violations != NULL) {
            *violations = state.violations;
        }
    }
    ddt_free(domain);
    ddt_free(max);
    ddt_free(square_sum);
    return status;
}
