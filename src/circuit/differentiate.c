/*
 * Differentiation on the graph: tangents (forward) and gradients (reverse). Derivatives are nodes like all others.
 *
 * A derivative that is identically zero is DDT_NODE_NONE here and makes no node. Nodes of x are cut: they count as
 * independent of everything, each other included, in both directions, so that the two are transposes of each other.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "approximate.h"

#include <string.h>

typedef struct differentiation {
    ddt_circuit *circuit;
    circuit_graph *graph;
    size_t count;              /* nodes that existed before; derivatives come after them */
    bool *chosen;              /* of each: it is one of x */
    bool *active;              /* of each: it depends on one of x, and a y depends on it */
    ddt_node *derivatives;     /* of each: its tangent or adjoint; DDT_NODE_NONE: zero */
    circuit_combination *sums; /* reverse: of each: its adjoint in the making; graph == NULL: none yet */
} differentiation;

/* ------------------------------------------------------------------ what matters */

static void begin(differentiation *d, ddt_circuit *circuit, bool reverse) {
    *d = (differentiation){.circuit = circuit, .graph = &circuit->graph, .count = circuit->graph.node_count};
    d->chosen = ddt_calloc(d->count, sizeof *d->chosen);
    d->active = ddt_calloc(d->count, sizeof *d->active);
    d->derivatives = ddt_alloc(d->count, sizeof *d->derivatives);
    d->sums = reverse ? ddt_calloc(d->count, sizeof *d->sums) : NULL;
    if (d->chosen == NULL || d->active == NULL || d->derivatives == NULL || (reverse && d->sums == NULL)) {
        (void)circuit_graph_fail(d->graph,
                                 ddt_fail(d->graph->ctx, DDT_ERR_MEMORY,
                                          "Memory is short while differentiating a circuit of %zu nodes.", d->count));
        return;
    }
    memset(d->derivatives, 0xff, d->count * sizeof *d->derivatives);
}

static void end(differentiation *d) {
    for (size_t n = 0; d->sums != NULL && n < d->count; n++) {
        if (d->sums[n].graph != NULL) {
            (void)circuit_combination_end(&d->sums[n]); /* left over after a failure */
        }
    }
    ddt_free(d->chosen);
    ddt_free(d->active);
    ddt_free(d->derivatives);
    ddt_free(d->sums);
}

typedef struct dependence {
    const bool *active;
    bool found;
} dependence;

static void look(void *user, ddt_node operand) {
    dependence *state = user;
    state->found |= state->active[operand];
}

static bool healthy(const differentiation *d) { return d->graph->status == DDT_OK; }

static void find_active(differentiation *d, const ddt_node *x, size_t count, const ddt_node *y, size_t y_count) {
    bool *live = healthy(d) ? ddt_alloc(d->count, sizeof *live) : NULL;
    if (live == NULL) {
        (void)circuit_graph_fail(
            d->graph, ddt_fail(d->graph->ctx, DDT_ERR_MEMORY, "Memory is short while differentiating a circuit."));
        return;
    }
    circuit_graph_live(d->graph, y, y_count, live);
    for (size_t i = 0; i < count; i++) {
        d->chosen[x[i]] = true;
    }
    for (size_t n = 0; n < d->count; n++) {
        dependence state = {.active = d->active, .found = d->chosen[n]};
        circuit_node_operands(d->graph, (ddt_node)n, look, &state);
        d->active[n] = state.found && live[n];
    }
    ddt_free(live);
}

static bool is_zero(const circuit_graph *graph, ddt_node node) {
    return node == DDT_NODE_NONE ||
           (graph->nodes[node].kind == NODE_PUBLIC && circuit_public_is(graph->nodes[node].value, 0.0));
}

static ddt_node or_zero(differentiation *d, ddt_node derivative) {
    return derivative == DDT_NODE_NONE && healthy(d) ? circuit_graph_public(d->graph, circuit_public_constant(0.0))
                                                     : derivative;
}

/* ------------------------------------------------------------------ polynomials */

/*
 * p'(x) at the node's operand. What stands for a function stands for the function's derivative then, as far as finite
 * differences carry.
 */
static ddt_node polynomial_derivative(differentiation *d, const circuit_node *node) {
    circuit_graph *graph = d->graph;
    circuit_polynomial p = graph->polynomials[node->index];
    double coefficients[CIRCUIT_DEGREE_MAX + 2];
    circuit_polynomial_derivative(p.coefficients, p.degree, coefficients);
    if (p.degree == 1) {
        return circuit_graph_public(graph, circuit_public_constant(coefficients[0]));
    }
    circuit_polynomial derivative = {.coefficients = coefficients, .degree = p.degree - 1};
    if (p.function != NULL && p.order < CIRCUIT_ORDER_MAX) {
        derivative.function = p.function;
        derivative.user = p.user;
        derivative.low = p.low;
        derivative.high = p.high;
        derivative.order = p.order + 1;
    }
    return circuit_build_polynomial(d->circuit, node->operand, &derivative);
}

/* ------------------------------------------------------------------ forward */

/* sum += k a db, where db is not zero */
static void add_tangent(circuit_combination *sum, int32_t k, ddt_node a, ddt_node db) {
    if (db != DDT_NODE_NONE) {
        circuit_combination_add_product(sum, k, a, db);
    }
}

static ddt_node tangent_of_combination(differentiation *d, const circuit_node *node) {
    circuit_combination sum;
    circuit_combination_begin(&sum, d->graph);
    for (size_t i = 0; i < node->product_count && healthy(d); i++) {
        circuit_product p = d->graph->products[node->product_begin + i];
        add_tangent(&sum, p.k, p.a, d->derivatives[p.b]);
        add_tangent(&sum, p.k, p.b, d->derivatives[p.a]);
    }
    for (size_t i = 0; i < node->linear_count && healthy(d); i++) {
        circuit_linear l = d->graph->linears[node->linear_begin + i];
        if (d->derivatives[l.a] != DDT_NODE_NONE) {
            circuit_combination_add_linear(&sum, l.c, d->derivatives[l.a]);
        }
    }
    return circuit_combination_end(&sum);
}

static ddt_node product(circuit_graph *graph, ddt_node a, ddt_node b) {
    circuit_combination sum;
    circuit_combination_begin(&sum, graph);
    if (a != DDT_NODE_NONE && b != DDT_NODE_NONE) {
        circuit_combination_add_product(&sum, 1, a, b);
    }
    return circuit_combination_end(&sum);
}

static ddt_node tangent(differentiation *d, ddt_node n) {
    circuit_node node = d->graph->nodes[n]; /* a copy: the array moves as it grows */
    ddt_node inner = node.operand == DDT_NODE_NONE ? DDT_NODE_NONE : d->derivatives[node.operand];
    switch (node.kind) {
    case NODE_COMBINATION:
        return tangent_of_combination(d, &node);
    case NODE_ROTATION:
        return inner == DDT_NODE_NONE ? inner : circuit_graph_rotation(d->graph, inner, node.steps);
    case NODE_POLYNOMIAL:
        return inner == DDT_NODE_NONE ? inner : product(d->graph, polynomial_derivative(d, &node), inner);
    case NODE_REFRESH: /* the identity; nobody has bounded the derivative */
        return inner;
    case NODE_PUBLIC:
    case NODE_INPUT:
        break;
    }
    return DDT_NODE_NONE;
}

static void seed_directions(differentiation *d, const ddt_node *x, const ddt_node *direction, size_t count) {
    for (size_t i = 0; i < count && healthy(d); i++) {
        ddt_node *sum = &d->derivatives[x[i]];
        circuit_combination both;
        circuit_combination_begin(&both, d->graph);
        circuit_combination_add_linear(&both, circuit_public_constant(1.0), direction[i]);
        if (*sum != DDT_NODE_NONE) {
            circuit_combination_add_linear(&both, circuit_public_constant(1.0), *sum);
        }
        *sum = circuit_combination_end(&both);
        *sum = is_zero(d->graph, *sum) ? DDT_NODE_NONE : *sum;
    }
}

static bool all_usable(ddt_circuit *circuit, const ddt_node *nodes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!circuit_node_usable(circuit, nodes[i])) {
            return false;
        }
    }
    return circuit->graph.status == DDT_OK;
}

void ddt_circuit_tangents(ddt_circuit *circuit, const ddt_node *x, const ddt_node *direction, size_t count,
                          const ddt_node *y, size_t y_count, ddt_node *out) {
    differentiation d;
    for (size_t o = 0; o < y_count; o++) {
        out[o] = DDT_NODE_NONE;
    }
    if (!all_usable(circuit, x, count) || !all_usable(circuit, direction, count) || !all_usable(circuit, y, y_count)) {
        return;
    }
    begin(&d, circuit, false);
    find_active(&d, x, count, y, y_count);
    seed_directions(&d, x, direction, count);
    for (size_t n = 0; n < d.count && healthy(&d); n++) {
        if (d.active[n] && !d.chosen[n]) {
            ddt_node derivative = tangent(&d, (ddt_node)n);
            d.derivatives[n] = healthy(&d) && is_zero(d.graph, derivative) ? DDT_NODE_NONE : derivative;
        }
    }
    for (size_t o = 0; o < y_count && healthy(&d); o++) {
        out[o] = or_zero(&d, d.derivatives[y[o]]);
    }
    end(&d);
}

/* ------------------------------------------------------------------ reverse */

/* The sum that becomes the adjoint of a node; NULL where nothing depends on it. */
static circuit_combination *adjoint_of(differentiation *d, ddt_node node) {
    if (!d->active[node]) {
        return NULL;
    }
    if (d->sums[node].graph == NULL) {
        circuit_combination_begin(&d->sums[node], d->graph);
    }
    return &d->sums[node];
}

static void add_adjoint_product(differentiation *d, ddt_node to, int32_t k, ddt_node w, ddt_node factor) {
    circuit_combination *sum = adjoint_of(d, to);
    if (sum != NULL && factor != DDT_NODE_NONE) {
        circuit_combination_add_product(sum, k, w, factor);
    }
}

static void add_adjoint_linear(differentiation *d, ddt_node to, circuit_public c, ddt_node w) {
    circuit_combination *sum = adjoint_of(d, to);
    if (sum != NULL && w != DDT_NODE_NONE) {
        circuit_combination_add_linear(sum, c, w);
    }
}

static void propagate_combination(differentiation *d, const circuit_node *node, ddt_node w) {
    for (size_t i = 0; i < node->product_count && healthy(d); i++) {
        circuit_product p = d->graph->products[node->product_begin + i];
        add_adjoint_product(d, p.a, p.k, w, p.b);
        add_adjoint_product(d, p.b, p.k, w, p.a);
    }
    for (size_t i = 0; i < node->linear_count && healthy(d); i++) {
        circuit_linear l = d->graph->linears[node->linear_begin + i];
        add_adjoint_linear(d, l.a, l.c, w);
    }
}

/* Hands the adjoint w of a node to its operands. */
static void propagate(differentiation *d, ddt_node n, ddt_node w) {
    circuit_node node = d->graph->nodes[n];
    switch (node.kind) {
    case NODE_COMBINATION:
        propagate_combination(d, &node, w);
        break;
    case NODE_ROTATION:
        add_adjoint_linear(d, node.operand, circuit_public_constant(1.0),
                           circuit_graph_rotation(d->graph, w, -node.steps));
        break;
    case NODE_POLYNOMIAL:
        add_adjoint_product(d, node.operand, 1, w, polynomial_derivative(d, &node));
        break;
    case NODE_REFRESH:
        add_adjoint_linear(d, node.operand, circuit_public_constant(1.0), w);
        break;
    case NODE_PUBLIC:
    case NODE_INPUT:
        break;
    }
}

static void walk_back(differentiation *d, ddt_node y, ddt_node seed) {
    add_adjoint_linear(d, y, circuit_public_constant(1.0), seed);
    for (size_t n = d->count; n-- > 0 && healthy(d);) {
        if (d->sums[n].graph == NULL) {
            continue;
        }
        ddt_node w = circuit_combination_end(&d->sums[n]);
        d->sums[n].graph = NULL;
        if (healthy(d) && !is_zero(d->graph, w)) {
            d->derivatives[n] = w;
            if (!d->chosen[n]) {
                propagate(d, (ddt_node)n, w);
            }
        }
    }
}

void ddt_circuit_gradient(ddt_circuit *circuit, ddt_node y, ddt_node seed, const ddt_node *x, size_t count,
                          ddt_node *out) {
    differentiation d;
    for (size_t i = 0; i < count; i++) {
        out[i] = DDT_NODE_NONE;
    }
    if (!all_usable(circuit, x, count) || !all_usable(circuit, (ddt_node[]){y, seed}, 2)) {
        return;
    }
    begin(&d, circuit, true);
    find_active(&d, x, count, &y, 1);
    if (healthy(&d)) {
        walk_back(&d, y, seed);
    }
    for (size_t i = 0; i < count && healthy(&d); i++) {
        out[i] = or_zero(&d, d.derivatives[x[i]]);
    }
    end(&d);
}
