/*
 * The builder: checks arguments, names inputs and outputs, and hands the arithmetic to the graph.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "approximate.h"

#include <math.h>
#include <string.h>

ddt_status ddt_circuit_create(ddt_context *ctx, size_t lanes, size_t block, ddt_circuit **out) {
    if (block < 1 || block > CIRCUIT_BLOCK_MAX || (block & (block - 1)) != 0) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A circuit's block must be a power of two of at most %d, not %zu.",
                        CIRCUIT_BLOCK_MAX, block);
    }
    if (lanes < 1 || lanes > CIRCUIT_LANES_MAX) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A circuit must have 1 to %d lanes, not %zu.", CIRCUIT_LANES_MAX, lanes);
    }
    ddt_circuit *circuit = ddt_calloc(1, sizeof *circuit);
    if (circuit == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a circuit.");
    }
    circuit_graph_init(&circuit->graph, ctx, lanes, block);
    *out = circuit;
    return DDT_OK;
}

static void forget_draws(ddt_circuit *circuit) {
    for (size_t d = 0; d < circuit->draw_count; d++) {
        for (size_t i = 0; i < circuit->input_count; i++) {
            ddt_free(circuit->draws[d][i]);
        }
        ddt_free(circuit->draws[d]);
    }
    circuit->draw_count = 0;
}

static void forget_outputs(ddt_circuit *circuit) {
    for (size_t o = 0; o < circuit->output_count; o++) {
        ddt_free(circuit->outputs[o].name);
    }
    circuit->output_count = 0;
}

void ddt_circuit_destroy(ddt_circuit *circuit) {
    if (circuit == NULL) {
        return;
    }
    forget_draws(circuit);
    for (size_t i = 0; i < circuit->input_count; i++) {
        ddt_free(circuit->inputs[i].name);
    }
    forget_outputs(circuit);
    ddt_free(circuit->inputs);
    ddt_free(circuit->outputs);
    circuit_graph_clear(&circuit->graph);
    ddt_free(circuit);
}

size_t ddt_circuit_lanes(const ddt_circuit *circuit) { return circuit->graph.pool.lanes; }
size_t ddt_circuit_block(const ddt_circuit *circuit) { return circuit->graph.pool.block; }
size_t ddt_circuit_node_count(const ddt_circuit *circuit) { return circuit->graph.node_count; }
ddt_status ddt_circuit_status(const ddt_circuit *circuit) { return circuit->graph.status; }
size_t ddt_circuit_input_count(const ddt_circuit *circuit) { return circuit->input_count; }
size_t ddt_circuit_output_count(const ddt_circuit *circuit) { return circuit->output_count; }

const char *ddt_circuit_input_name(const ddt_circuit *circuit, size_t input) {
    return input < circuit->input_count ? circuit->inputs[input].name : "";
}

const char *ddt_circuit_output_name(const ddt_circuit *circuit, size_t output) {
    return output < circuit->output_count ? circuit->outputs[output].name : "";
}

bool circuit_node_usable(ddt_circuit *circuit, ddt_node node) {
    circuit_graph *graph = &circuit->graph;
    if (graph->status != DDT_OK) {
        return false;
    }
    if (node >= graph->node_count) {
        (void)circuit_graph_fail(graph,
                                 ddt_fail(graph->ctx, DDT_ERR_ARGUMENT,
                                          "An operand of node %zu of the circuit does not exist.", graph->node_count));
        return false;
    }
    return true;
}

static bool usable_number(ddt_circuit *circuit, double value) {
    circuit_graph *graph = &circuit->graph;
    if (graph->status == DDT_OK && !isfinite(value)) {
        (void)circuit_graph_fail(graph, ddt_fail(graph->ctx, DDT_ERR_RANGE,
                                                 "A constant of node %zu of the circuit is not a finite number.",
                                                 graph->node_count));
    }
    return graph->status == DDT_OK;
}

bool ddt_circuit_is_public(const ddt_circuit *circuit, ddt_node node) {
    return node < circuit->graph.node_count && circuit->graph.nodes[node].kind == NODE_PUBLIC;
}

double ddt_circuit_node_max(const ddt_circuit *circuit, ddt_node node) {
    return node < circuit->graph.node_count ? circuit->graph.nodes[node].max : 0.0;
}

double ddt_circuit_node_rms(const ddt_circuit *circuit, ddt_node node) {
    if (node >= circuit->graph.node_count || circuit->samples == 0) {
        return 0.0;
    }
    return sqrt(circuit->graph.nodes[node].square_sum / (double)circuit->samples);
}

/* ------------------------------------------------------------------ copies */

ddt_status ddt_circuit_tile(ddt_context *ctx, ddt_circuit *circuit, size_t copies) {
    circuit_graph *graph = &circuit->graph;
    if (graph->status != DDT_OK) {
        return graph->status;
    }
    if (copies < 1 || (copies & (copies - 1)) != 0 || copies > CIRCUIT_BLOCK_MAX / graph->pool.block) {
        return ddt_fail(ctx, DDT_ERR_CAPACITY,
                        "A block of %zu slots can be had a power of two of times within %d slots, not %zu times.",
                        graph->pool.block, CIRCUIT_BLOCK_MAX, copies);
    }
    forget_draws(circuit); /* they are of the narrower blocks */
    circuit->samples = 0;
    for (size_t n = 0; n < graph->node_count; n++) {
        graph->nodes[n].square_sum = 0.0;
    }
    const ddt_status status = circuit_pool_tile(ctx, &graph->pool, copies);
    if (status != DDT_OK) {
        (void)circuit_graph_fail(graph, status);
    }
    return status;
}

void ddt_circuit_take_outputs(ddt_circuit *circuit, ddt_node *out) {
    for (size_t o = 0; o < circuit->output_count; o++) {
        out[o] = circuit->outputs[o].node;
    }
    forget_outputs(circuit);
}

/* ------------------------------------------------------------------ leaves */

static bool usable_name(ddt_circuit *circuit, const char *name, bool taken) {
    circuit_graph *graph = &circuit->graph;
    if (graph->status != DDT_OK) {
        return false;
    }
    if (name == NULL || name[0] == '\0' || strlen(name) > CIRCUIT_NAME_MAX) {
        (void)circuit_graph_fail(graph, ddt_fail(graph->ctx, DDT_ERR_ARGUMENT,
                                                 "An input or output of the circuit needs a name of 1 to %d bytes.",
                                                 CIRCUIT_NAME_MAX));
        return false;
    }
    if (taken) {
        (void)circuit_graph_fail(
            graph, ddt_fail(graph->ctx, DDT_ERR_ARGUMENT, "The circuit has two inputs or outputs named '%s'.", name));
        return false;
    }
    return true;
}

static bool input_exists(const ddt_circuit *circuit, const char *name) {
    for (size_t i = 0; name != NULL && i < circuit->input_count; i++) {
        if (strcmp(circuit->inputs[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool output_exists(const ddt_circuit *circuit, const char *name) {
    for (size_t o = 0; name != NULL && o < circuit->output_count; o++) {
        if (strcmp(circuit->outputs[o].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static ddt_node fail_memory(ddt_circuit *circuit) {
    return circuit_graph_fail(
        &circuit->graph, ddt_fail(circuit->graph.ctx, DDT_ERR_MEMORY, "Memory is short while building a circuit."));
}

ddt_node ddt_circuit_input(ddt_circuit *circuit, const char *name, double bound) {
    circuit_graph *graph = &circuit->graph;
    if (!usable_name(circuit, name, input_exists(circuit, name)) || !usable_number(circuit, bound)) {
        return DDT_NODE_NONE;
    }
    if (bound <= 0.0 || circuit->draw_count > 0) {
        return circuit_graph_fail(
            graph,
            ddt_fail(graph->ctx, DDT_ERR_ARGUMENT,
                     "Input '%s' of the circuit needs a positive bound and must come before calibration.", name));
    }
    char *copy = NULL;
    if (!CIRCUIT_GROW(circuit->inputs, circuit->input_count, circuit->input_capacity) ||
        (copy = ddt_strdup(name)) == NULL) {
        return fail_memory(circuit);
    }
    ddt_node node = circuit_graph_input(graph);
    if (node == DDT_NODE_NONE) {
        ddt_free(copy);
        return node;
    }
    circuit->inputs[circuit->input_count++] = (circuit_input){.name = copy, .bound = bound, .node = node};
    return node;
}

ddt_node ddt_circuit_constant(ddt_circuit *circuit, double value) {
    if (!usable_number(circuit, value)) {
        return DDT_NODE_NONE;
    }
    return circuit_graph_public(&circuit->graph, circuit_public_constant(value));
}

ddt_node ddt_circuit_public(ddt_circuit *circuit, const double *values) {
    circuit_graph *graph = &circuit->graph;
    if (graph->status != DDT_OK) {
        return DDT_NODE_NONE;
    }
    circuit_public value;
    ddt_status status =
        circuit_pool_intern(graph->ctx, &graph->pool, values, graph->pool.lanes * graph->pool.block, &value);
    return status == DDT_OK ? circuit_graph_public(graph, value) : circuit_graph_fail(graph, status);
}

void ddt_circuit_output(ddt_circuit *circuit, const char *name, ddt_node node) {
    char *copy = NULL;
    if (!circuit_node_usable(circuit, node) || !usable_name(circuit, name, output_exists(circuit, name))) {
        return;
    }
    if (!CIRCUIT_GROW(circuit->outputs, circuit->output_count, circuit->output_capacity) ||
        (copy = ddt_strdup(name)) == NULL) {
        (void)fail_memory(circuit);
        return;
    }
    circuit->outputs[circuit->output_count++] = (circuit_output){.name = copy, .node = node, .carried = CIRCUIT_NONE};
}

static ddt_node fail_argument(circuit_graph *graph, const char *what, const char *name) {
    return circuit_graph_fail(graph, ddt_fail(graph->ctx, DDT_ERR_ARGUMENT, what, name));
}

void ddt_circuit_carry(ddt_circuit *circuit, const char *output, const char *input) {
    size_t o = 0;
    size_t i = 0;
    while (o < circuit->output_count && strcmp(circuit->outputs[o].name, output) != 0) {
        o++;
    }
    while (i < circuit->input_count && strcmp(circuit->inputs[i].name, input) != 0) {
        i++;
    }
    if (circuit->graph.status != DDT_OK) {
        return;
    }
    if (o == circuit->output_count) {
        (void)fail_argument(&circuit->graph, "The circuit has no output '%s' that could be carried.", output);
    } else if (i == circuit->input_count) {
        (void)fail_argument(&circuit->graph, "The circuit has no input '%s' that an output could become.", input);
    } else {
        circuit->outputs[o].carried = (uint32_t)i;
    }
}

/* ------------------------------------------------------------------ arithmetic */

ddt_node ddt_circuit_affine(ddt_circuit *circuit, const ddt_node *a, const double *c, size_t count, double offset) {
    circuit_combination sum;
    circuit_combination_begin(&sum, &circuit->graph);
    if (usable_number(circuit, offset)) {
        circuit_combination_add_public(&sum, circuit_public_constant(offset));
    }
    for (size_t i = 0; i < count && circuit_node_usable(circuit, a[i]) && usable_number(circuit, c[i]); i++) {
        circuit_combination_add_linear(&sum, circuit_public_constant(c[i]), a[i]);
    }
    return circuit_combination_end(&sum);
}

ddt_node ddt_circuit_dot(ddt_circuit *circuit, const ddt_node *a, const ddt_node *b, size_t count) {
    circuit_combination sum;
    circuit_combination_begin(&sum, &circuit->graph);
    for (size_t i = 0; i < count && circuit_node_usable(circuit, a[i]) && circuit_node_usable(circuit, b[i]); i++) {
        circuit_combination_add_product(&sum, 1, a[i], b[i]);
    }
    return circuit_combination_end(&sum);
}

ddt_node ddt_circuit_add(ddt_circuit *circuit, ddt_node a, ddt_node b) {
    return ddt_circuit_affine(circuit, (ddt_node[]){a, b}, (double[]){1.0, 1.0}, 2, 0.0);
}

ddt_node ddt_circuit_sub(ddt_circuit *circuit, ddt_node a, ddt_node b) {
    return ddt_circuit_affine(circuit, (ddt_node[]){a, b}, (double[]){1.0, -1.0}, 2, 0.0);
}

ddt_node ddt_circuit_neg(ddt_circuit *circuit, ddt_node a) {
    return ddt_circuit_affine(circuit, &a, (double[]){-1.0}, 1, 0.0);
}

ddt_node ddt_circuit_mul(ddt_circuit *circuit, ddt_node a, ddt_node b) { return ddt_circuit_dot(circuit, &a, &b, 1); }

static ddt_node rotate(ddt_circuit *circuit, ddt_node a, int64_t steps) {
    circuit_graph *graph = &circuit->graph;
    int64_t block = (int64_t)graph->pool.block;
    if (!circuit_node_usable(circuit, a)) {
        return DDT_NODE_NONE;
    }
    if (steps <= -block || steps >= block) {
        return circuit_graph_fail(graph, ddt_fail(graph->ctx, DDT_ERR_ARGUMENT,
                                                  "A rotation by %lld slots leaves the block of %lld slots.",
                                                  (long long)steps, (long long)block));
    }
    return circuit_graph_rotation(graph, a, steps);
}

ddt_node ddt_circuit_rotate(ddt_circuit *circuit, ddt_node a, int64_t steps) { return rotate(circuit, a, steps); }

ddt_node ddt_circuit_sum(ddt_circuit *circuit, ddt_node a, int64_t stride, size_t count) {
    circuit_graph *graph = &circuit->graph;
    if (!circuit_node_usable(circuit, a)) {
        return DDT_NODE_NONE;
    }
    if (count < 1 || count > CIRCUIT_BLOCK_MAX || (count & (count - 1)) != 0) {
        return circuit_graph_fail(
            graph, ddt_fail(graph->ctx, DDT_ERR_ARGUMENT,
                            "A sum over slots needs a power of two of terms within a block, not %zu.", count));
    }
    if (stride <= -CIRCUIT_BLOCK_MAX || stride >= CIRCUIT_BLOCK_MAX) {
        return rotate(circuit, a, stride); /* fails and says why */
    }
    for (size_t width = 1; width < count; width *= 2) {
        a = ddt_circuit_add(circuit, a, rotate(circuit, a, stride * (int64_t)width));
    }
    return a;
}

ddt_node ddt_circuit_refresh(ddt_circuit *circuit, ddt_node a, double bound) {
    circuit_graph *graph = &circuit->graph;
    if (!circuit_node_usable(circuit, a) || !usable_number(circuit, bound)) {
        return DDT_NODE_NONE;
    }
    if (bound <= 0.0 || bound > CIRCUIT_REFRESH_MAX) {
        return circuit_graph_fail(
            graph, ddt_fail(graph->ctx, DDT_ERR_ARGUMENT,
                            "A value can be refreshed where its bound is positive and at most %d, not %g; scale it.",
                            CIRCUIT_REFRESH_MAX, bound));
    }
    return circuit_graph_refresh(graph, a, bound, 0);
}

/* ------------------------------------------------------------------ polynomials */

static bool usable_coefficients(ddt_circuit *circuit, const double *coefficients, unsigned degree) {
    circuit_graph *graph = &circuit->graph;
    if (degree < 1 || degree > CIRCUIT_DEGREE_MAX) {
        (void)circuit_graph_fail(graph, ddt_fail(graph->ctx, DDT_ERR_ARGUMENT,
                                                 "A polynomial of the circuit must have degree 1 to %d, not %u.",
                                                 CIRCUIT_DEGREE_MAX, degree));
        return false;
    }
    for (unsigned k = 0; k <= degree; k++) {
        if (!usable_number(circuit, coefficients[k])) {
            return false;
        }
    }
    return true;
}

/* Trailing zeros would cost levels; a line costs none of a polynomial's machinery. */
ddt_node circuit_build_polynomial(ddt_circuit *circuit, ddt_node x, const circuit_polynomial *polynomial) {
    circuit_polynomial p = *polynomial;
    while (p.degree > 1 && p.coefficients[p.degree] == 0.0) {
        p.degree--;
    }
    /* A function stays what it is, so that an exact run can tell it from its polynomial; the planner sees to lines. */
    if (p.degree > 1 || p.function != NULL) {
        return circuit_graph_polynomial(&circuit->graph, x, &p);
    }
    return ddt_circuit_affine(circuit, &x, &p.coefficients[1], 1, p.coefficients[0]);
}

ddt_node ddt_circuit_chebyshev(ddt_circuit *circuit, ddt_node x, const double *coefficients, unsigned degree) {
    if (!circuit_node_usable(circuit, x) || !usable_coefficients(circuit, coefficients, degree)) {
        return DDT_NODE_NONE;
    }
    double copy[CIRCUIT_DEGREE_MAX + 1];
    memcpy(copy, coefficients, ((size_t)degree + 1) * sizeof *copy);
    circuit_polynomial polynomial = {.coefficients = copy, .degree = degree};
    return circuit_build_polynomial(circuit, x, &polynomial);
}
