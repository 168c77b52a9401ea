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

/* In the Chebyshev basis c'_{k-1} = c'_{k+1} + 2 k c_k, with c'_0 halved. */
void circuit_polynomial_derivative(const double *coefficients, unsigned degree, double *out) {
    out[degree] = 0.0;
    out[degree + 1] = 0.0;
    for (unsigned k = degree; k > 0; k--) {
        out[k - 1] = out[k + 1] + 2.0 * k * coefficients[k];
    }
    out[0] *= 0.5;
}

/*
 * Derivative of order 1 or 2 at x, from the polynomial through five neighbouring values. The neighbours stay within
 * [low, high] where x does: a function need not exist beyond.
 */
static double numerical_derivative(const circuit_polynomial *p, double x) {
    /* A power of two: truncation and rounding are both small for functions that a polynomial of degree 127 can follow.
     */
    const double step = 0x1p-11 * (p->high - p->low);
    bool inside = x >= p->low && x <= p->high;
    double centre = inside ? fmin(fmax(x, p->low + 2.0 * step), p->high - 2.0 * step) : x;
    double t = (x - centre) / step;
    double f[5];
    for (int i = 0; i < 5; i++) {
        f[i] = p->function(centre + (i - 2) * step, p->user);
    }
    double a1 = (f[0] - 8.0 * f[1] + 8.0 * f[3] - f[4]) / 12.0;
    double a2 = (-f[0] + 16.0 * f[1] - 30.0 * f[2] + 16.0 * f[3] - f[4]) / 24.0;
    double a3 = (-f[0] + 2.0 * f[1] - 2.0 * f[3] + f[4]) / 12.0;
    double a4 = (f[0] - 4.0 * f[1] + 6.0 * f[2] - 4.0 * f[3] + f[4]) / 24.0;
    if (p->order == 1) {
        return (a1 + t * (2.0 * a2 + t * (3.0 * a3 + t * 4.0 * a4))) / step;
    }
    return (2.0 * a2 + t * (6.0 * a3 + t * 12.0 * a4)) / (step * step);
}

void circuit_polynomial_exact(const circuit_polynomial *polynomial, const double *x, size_t count, double *out) {
    if (polynomial->function == NULL) {
        circuit_polynomial_clear(polynomial->coefficients, polynomial->degree, x, count, out);
        return;
    }
    double half = 0.5 * (polynomial->high - polynomial->low);
    /* x lies in [-1, 1]: each derivative brings a factor half. */
    double factor = polynomial->order == 0 ? 1.0 : polynomial->order == 1 ? half : half * half;
    for (size_t i = 0; i < count; i++) {
        double argument = polynomial->low + half * (x[i] + 1.0);
        double value = polynomial->order == 0 ? polynomial->function(argument, polynomial->user)
                                              : numerical_derivative(polynomial, argument);
        out[i] = factor * value;
    }
}

/* One group of lanes on its way through the graph. */
typedef struct chunk {
    const circuit_evaluation *evaluation;
    unsigned worker;
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

static void add_linear(const circuit_linear *term, const double *a, const double *c, size_t count, double *out) {
    if (term->c.vector == CIRCUIT_NONE) {
        double k = term->c.constant;
        for (size_t i = 0; i < count; i++) {
            out[i] += k * a[i];
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        out[i] += c[i] * a[i];
    }
}

void circuit_add_product(double k, const double *a, const double *b, size_t count, double *out) {
    if (k == 1.0) {
        for (size_t i = 0; i < count; i++) {
            out[i] += a[i] * b[i];
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        out[i] += k * a[i] * b[i];
    }
}

/* In tiles, so that the sum stays in the first-level cache while the operands stream past. */
static void evaluate_combination(chunk *c, const circuit_node *node, double *out) {
    const circuit_graph *graph = c->evaluation->graph;
    circuit_public_expand(graph->pool.vectors, graph->pool.block, node->value, c->lane_begin, c->lanes, out);
    for (size_t t = 0; t < node->linear_count; t++) {
        const circuit_linear *term = &graph->linears[node->linear_begin + t];
        if (term->c.vector != CIRCUIT_NONE) {
            circuit_public_expand(graph->pool.vectors, graph->pool.block, term->c, c->lane_begin, c->lanes, c->scratch);
        }
        add_linear(term, c->values[term->a], c->scratch, c->slots, out);
    }
    for (size_t begin = 0; begin < c->slots && node->product_count > 0; begin += CIRCUIT_TILE) {
        size_t count = c->slots - begin < CIRCUIT_TILE ? c->slots - begin : CIRCUIT_TILE;
        for (size_t t = 0; t < node->product_count; t++) {
            const circuit_product *product = &graph->products[node->product_begin + t];
            circuit_add_product(product->k, c->values[product->a] + begin, c->values[product->b] + begin, count,
                                out + begin);
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
    if (c->evaluation->exact) {
        circuit_polynomial_exact(p, x, c->slots, out);
    } else {
        circuit_polynomial_clear(p->coefficients, p->degree, x, c->slots, out);
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
    case NODE_REFRESH:
        memcpy(out, c->values[node->operand], c->slots * sizeof *out);
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
            evaluation->visit(evaluation->user, c->worker, (ddt_node)n, out, c->slots);
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

static ddt_status make_chunk(ddt_context *ctx, const circuit_evaluation *evaluation, const uint32_t *last_use,
                             size_t capacity_slots, chunk *c) {
    size_t count = evaluation->graph->node_count;
    *c = (chunk){.evaluation = evaluation, .last_use = last_use};
    c->values = ddt_calloc(count, sizeof *c->values);
    c->spare = ddt_calloc(count, sizeof *c->spare);
    c->scratch = ddt_alloc(capacity_slots, sizeof *c->scratch);
    if (c->values == NULL || c->spare == NULL || c->scratch == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while running a circuit in the clear.");
    }
    return DDT_OK;
}

static void free_chunk(chunk *c) {
    for (size_t i = 0; c->spare != NULL && i < c->spare_count; i++) {
        ddt_free(c->spare[i]);
    }
    for (size_t n = 0; c->values != NULL && n < c->evaluation->graph->node_count; n++) {
        ddt_free(c->values[n]);
    }
    ddt_free(c->values);
    ddt_free(c->spare);
    ddt_free(c->scratch);
}

/* The groups of lanes `first`, `first` + `step`, ... */
static ddt_status evaluate_groups(ddt_context *ctx, const circuit_evaluation *evaluation, const uint32_t *last_use,
                                  size_t group, unsigned first, unsigned step, const double *const *inputs,
                                  double *const *outputs) {
    size_t lanes = evaluation->graph->pool.lanes;
    size_t block = evaluation->graph->pool.block;
    chunk c;
    ddt_status status = make_chunk(ctx, evaluation, last_use, group * block, &c);
    c.worker = first;
    for (size_t lane = first * group; status == DDT_OK && lane < lanes; lane += step * group) {
        c.lane_begin = lane;
        c.lanes = lanes - lane < group ? lanes - lane : group;
        c.slots = c.lanes * block;
        status = evaluate_chunk(ctx, &c, group * block, inputs, outputs);
    }
    free_chunk(&c);
    return status;
}

unsigned circuit_evaluation_workers(const ddt_context *ctx) {
    int threads = ddt_context_threads(ctx);
    return threads < CIRCUIT_WORKERS_MAX ? (unsigned)threads : CIRCUIT_WORKERS_MAX;
}

ddt_status circuit_evaluate(ddt_context *ctx, const circuit_evaluation *evaluation, const double *const *inputs,
                            double *const *outputs) {
    const circuit_graph *graph = evaluation->graph;
    size_t block = graph->pool.block;
    size_t group = block >= CHUNK_SLOTS ? 1 : CHUNK_SLOTS / block;
    group = group < graph->pool.lanes ? group : graph->pool.lanes;
    uint32_t *last_use = ddt_alloc(graph->node_count, sizeof *last_use);
    if (last_use == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while running a circuit in the clear.");
    }
    find_last_uses(evaluation, last_use);
    unsigned workers = circuit_evaluation_workers(ctx);
    ddt_status statuses[CIRCUIT_WORKERS_MAX] = {DDT_OK};
#pragma omp parallel for num_threads(workers) if (workers > 1) schedule(static, 1)
    for (unsigned w = 0; w < workers; w++) {
        statuses[w] = evaluate_groups(ctx, evaluation, last_use, group, w, workers, inputs, outputs);
    }
    ddt_free(last_use);
    for (unsigned w = 0; w < workers; w++) {
        if (statuses[w] != DDT_OK) {
            return statuses[w];
        }
    }
    return DDT_OK;
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

/* What one worker has seen; workers are joined in order. */
typedef struct calibration {
    const double
        *limits; /* of each node: the magnitude that an argument of a polynomial, or what is refreshed, may have */
    double *max[CIRCUIT_WORKERS_MAX];
    double *square_sum[CIRCUIT_WORKERS_MAX];
    uint64_t violations[CIRCUIT_WORKERS_MAX];
} calibration;

static void calibrate_node(void *user, unsigned worker, ddt_node n, const double *values, size_t count) {
    /* Rounding in the affine map to [-1, 1] must not count as a violation. */
    const double margin = 1.0 + 1e-9;
    calibration *state = user;
    double border = margin * state->limits[n];
    double largest = state->max[worker][n];
    double squares = 0.0;
    uint64_t outside = 0;
    for (size_t i = 0; i < count; i++) {
        double magnitude = fabs(values[i]);
        largest = magnitude <= largest ? largest : magnitude; /* NaN sticks */
        squares += magnitude * magnitude;
        outside += !(magnitude <= border);
    }
    state->max[worker][n] = largest;
    state->square_sum[worker][n] += squares;
    if (isfinite(border)) {
        state->violations[worker] += outside;
    }
}

static bool make_calibration(const circuit_graph *graph, unsigned workers, double *limits, calibration *state) {
    bool complete = limits != NULL;
    *state = (calibration){.limits = limits};
    for (unsigned w = 0; w < workers && complete; w++) {
        state->max[w] = ddt_calloc(graph->node_count, sizeof(double));
        state->square_sum[w] = ddt_calloc(graph->node_count, sizeof(double));
        complete = state->max[w] != NULL && state->square_sum[w] != NULL;
    }
    for (size_t n = 0; n < graph->node_count && complete; n++) {
        const circuit_node *node = &graph->nodes[n];
        limits[n] = INFINITY;
        if (node->kind == NODE_POLYNOMIAL) {
            limits[node->operand] = fmin(limits[node->operand], 1.0);
        } else if (node->kind == NODE_REFRESH) {
            limits[node->operand] = fmin(limits[node->operand], node->value.constant);
        }
    }
    return complete;
}

static uint64_t join_calibration(ddt_circuit *circuit, unsigned workers, const calibration *state) {
    uint64_t violations = 0;
    for (unsigned w = 0; w < workers; w++) {
        for (size_t n = 0; n < circuit->graph.node_count; n++) {
            circuit_node *node = &circuit->graph.nodes[n];
            node->max = state->max[w][n] <= node->max ? node->max : state->max[w][n];
            node->square_sum += state->square_sum[w][n];
        }
        violations += state->violations[w];
    }
    circuit->samples += (uint64_t)circuit->graph.pool.lanes * circuit->graph.pool.block;
    return violations;
}

ddt_status ddt_circuit_calibrate(ddt_context *ctx, ddt_circuit *circuit, const double *const *inputs,
                                 uint64_t *violations) {
    calibration state;
    unsigned workers = circuit_evaluation_workers(ctx);
    double *limits = ddt_alloc(circuit->graph.node_count, sizeof *limits);
    ddt_status status = DDT_OK;
    if (!make_calibration(&circuit->graph, workers, limits, &state)) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while calibrating a circuit.");
    }
    if (status == DDT_OK) {
        status = run(ctx, circuit, inputs, false, NULL, calibrate_node, &state);
    }
    if (status == DDT_OK) {
        status = keep_draw(ctx, circuit, inputs);
    }
    if (status == DDT_OK) {
        uint64_t found = join_calibration(circuit, workers, &state);
        if (violations != NULL) {
            *violations = found;
        }
    }
    for (unsigned w = 0; w < workers; w++) {
        ddt_free(state.max[w]);
        ddt_free(state.square_sum[w]);
    }
    ddt_free(limits);
    return status;
}
