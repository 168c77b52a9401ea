/* Compartments as a graph. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/pharma/graph.h"

#include <math.h>

#include "ddt/pharma/reference.h"

/* A loss below this share of a compartment's whole loss is rounding. */
static const double rounding = 1e-9;

typedef struct builder {
    ddt_context *ctx;
    const ddt_model *model;
    double *typical; /* values of all symbols */
    bool *used;      /* scratch: a flag for each symbol */
    size_t capacity;
    ddt_graph *graph;
} builder;

static ddt_status add_edge(builder *b, ddt_graph_edge edge) {
    if (b->graph->edge_count == b->capacity) {
        const size_t capacity = b->capacity == 0 ? 16 : 2 * b->capacity;
        ddt_graph_edge *edges = ddt_realloc(b->graph->edges, b->capacity, capacity, sizeof *edges);
        if (edges == NULL) {
            return ddt_fail(b->ctx, DDT_ERR_MEMORY, "Memory is short for the graph of %s.", b->model->name);
        }
        b->graph->edges = edges;
        b->capacity = capacity;
    }
    b->graph->edges[b->graph->edge_count++] = edge;
    return DDT_OK;
}

/* Sets used[] to the symbols of an expression. */
static ddt_status find_symbols(builder *b, ddt_expr e) {
    for (size_t i = 0; i < b->model->symbol_count; i++) {
        b->used[i] = false;
    }
    return ddt_expr_symbols(b->ctx, b->model->pool, &e, 1, b->used, b->model->symbol_count);
}

/* d f_to / d x_from: whether it is free of states and time, and its value in the typical patient. */
static ddt_status coefficient(builder *b, uint32_t from, uint32_t to, bool *is_linear, double *value) {
    const ddt_model *model = b->model;
    const ddt_expr d =
        ddt_expr_derivative(model->pool, model->compartments[to].derivative, model->compartments[from].symbol);
    if (d == DDT_EXPR_NONE) {
        return ddt_fail(b->ctx, ddt_expr_pool_status(model->pool), "The equations of %s are too large for a graph.",
                        model->name);
    }
    const ddt_status status = find_symbols(b, d);
    *is_linear = true;
    for (size_t i = 0; i < model->symbol_count; i++) {
        const ddt_symbol_kind kind = model->symbols[i].kind;
        const bool is_fixed = kind == DDT_SYMBOL_THETA || kind == DDT_SYMBOL_ETA || kind == DDT_SYMBOL_COVARIATE;
        *is_linear = *is_linear && (!b->used[i] || is_fixed);
    }
    *value = *is_linear ? ddt_expr_eval(model->pool, d, b->typical, NULL) : NAN;
    return status;
}

static ddt_status add_edges_from(builder *b, uint32_t from) {
    double given = 0;
    ddt_status status = DDT_OK;
    for (uint32_t to = 0; status == DDT_OK && to < b->model->compartment_count; to++) {
        if (to == from) {
            continue;
        }
        ddt_graph_edge edge = {.from = from, .to = to};
        status = coefficient(b, from, to, &edge.is_linear, &edge.rate);
        if (status == DDT_OK && edge.rate != 0) {
            given += edge.is_linear ? edge.rate : 0;
            status = add_edge(b, edge);
        }
    }
    ddt_graph_edge loss = {.from = from, .to = DDT_GRAPH_OUTSIDE};
    if (status == DDT_OK) {
        status = coefficient(b, from, from, &loss.is_linear, &loss.rate);
    }
    loss.rate = -loss.rate - given;
    if (status == DDT_OK && loss.is_linear && loss.rate > rounding * (loss.rate + given)) {
        status = add_edge(b, loss);
    }
    return status;
}

void ddt_graph_destroy(ddt_graph *graph) {
    ddt_free(graph->edges);
    *graph = (ddt_graph){0};
}

ddt_status ddt_graph_create(ddt_context *ctx, const ddt_model *model, ddt_graph *out) {
    *out = (ddt_graph){0};
    builder b = {.ctx = ctx, .model = model, .graph = out};
    b.typical = ddt_calloc(model->symbol_count, sizeof *b.typical);
    b.used = ddt_calloc(model->symbol_count, sizeof *b.used);
    ddt_status status = DDT_OK;
    if (b.typical == NULL || b.used == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for the graph of %s.", model->name);
    } else {
        status = ddt_population_draw(ctx, model, 0, b.typical);
    }
    for (uint32_t c = 0; status == DDT_OK && c < model->compartment_count; c++) {
        status = add_edges_from(&b, c);
    }
    ddt_free(b.typical);
    ddt_free(b.used);
    if (status != DDT_OK) {
        ddt_graph_destroy(out);
    }
    return status;
}
