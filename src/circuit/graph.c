/*
 * Nodes and combinations, hash-consed: equal nodes are built once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void circuit_graph_init(circuit_graph *graph, ddt_context *ctx, size_t lanes, size_t block) {
    *graph = (circuit_graph){.ctx = ctx, .pool = {.lanes = lanes, .block = block}};
}

void circuit_graph_clear(circuit_graph *graph) {
    for (size_t i = 0; i < graph->polynomial_count; i++) {
        ddt_free(graph->polynomials[i].coefficients);
    }
    circuit_pool_destroy(&graph->pool);
    ddt_free(graph->nodes);
    ddt_free(graph->products);
    ddt_free(graph->linears);
    ddt_free(graph->polynomials);
    ddt_free(graph->table);
    *graph = (circuit_graph){0};
}

ddt_node circuit_graph_fail(circuit_graph *graph, ddt_status status) {
    if (graph->status == DDT_OK) {
        graph->status = status;
    }
    return DDT_NODE_NONE;
}

static ddt_node fail_memory(circuit_graph *graph) {
    return circuit_graph_fail(graph,
                              ddt_fail(graph->ctx, DDT_ERR_MEMORY,
                                       "Memory is short while building a circuit of %zu nodes.", graph->node_count));
}

/* ------------------------------------------------------------------ hash-consing */

static uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0xff51afd7ed558ccdU;
    return hash ^ (hash >> 29);
}

static uint64_t mix_double(uint64_t hash, double value) {
    uint64_t bits = 0;
    double positive_zero = value + 0.0;
    memcpy(&bits, &positive_zero, sizeof bits);
    return mix(hash, bits);
}

static uint64_t mix_public(uint64_t hash, circuit_public p) { return mix_double(mix(hash, p.vector), p.constant); }

static bool same_public(circuit_public a, circuit_public b) { return a.vector == b.vector && a.constant == b.constant; }

static bool same_polynomial(const circuit_polynomial *a, const circuit_polynomial *b) {
    if (a->degree != b->degree || a->function != b->function || a->user != b->user || a->low != b->low ||
        a->high != b->high || a->order != b->order) {
        return false;
    }
    for (unsigned k = 0; k <= a->degree; k++) {
        if (a->coefficients[k] != b->coefficients[k]) {
            return false;
        }
    }
    return true;
}

/* A node that may become part of the graph, with its terms still outside. */
typedef struct candidate {
    circuit_node node;
    const circuit_product *products;
    const circuit_linear *linears;
    const circuit_polynomial *polynomial;
} candidate;

static uint64_t candidate_hash(const candidate *c) {
    uint64_t hash = mix((uint64_t)c->node.kind, c->node.operand);
    hash = mix(mix_public(hash, c->node.value), (uint64_t)c->node.steps);
    if (c->node.kind == NODE_INPUT || c->node.kind == NODE_REFRESH) {
        hash = mix(hash, c->node.index);
    }
    for (size_t i = 0; i < c->node.product_count; i++) {
        hash = mix(mix(mix(hash, c->products[i].a), c->products[i].b), (uint64_t)c->products[i].k);
    }
    for (size_t i = 0; i < c->node.linear_count; i++) {
        hash = mix_public(mix(hash, c->linears[i].a), c->linears[i].c);
    }
    if (c->polynomial != NULL) {
        for (unsigned k = 0; k <= c->polynomial->degree; k++) {
            hash = mix_double(hash, c->polynomial->coefficients[k]);
        }
    }
    return hash;
}

static bool candidate_equals(const circuit_graph *graph, const candidate *c, const circuit_node *node) {
    const circuit_node *n = &c->node;
    if (n->hash != node->hash || n->kind != node->kind || n->operand != node->operand || n->steps != node->steps ||
        !same_public(n->value, node->value) || n->product_count != node->product_count ||
        n->linear_count != node->linear_count ||
        ((n->kind == NODE_INPUT || n->kind == NODE_REFRESH) && n->index != node->index)) {
        return false;
    }
    for (size_t i = 0; i < n->product_count; i++) {
        const circuit_product *p = &graph->products[node->product_begin + i];
        if (p->a != c->products[i].a || p->b != c->products[i].b || p->k != c->products[i].k) {
            return false;
        }
    }
    for (size_t i = 0; i < n->linear_count; i++) {
        const circuit_linear *l = &graph->linears[node->linear_begin + i];
        if (l->a != c->linears[i].a || !same_public(l->c, c->linears[i].c)) {
            return false;
        }
    }
    return c->polynomial == NULL || same_polynomial(c->polynomial, &graph->polynomials[node->index]);
}

static bool rehash(circuit_graph *graph, size_t size) {
    uint32_t *table = ddt_calloc(size, sizeof *table);
    if (table == NULL) {
        return false;
    }
    for (size_t n = 0; n < graph->node_count; n++) {
        size_t slot = (size_t)graph->nodes[n].hash & (size - 1);
        while (table[slot] != 0) {
            slot = (slot + 1) & (size - 1);
        }
        table[slot] = (uint32_t)n + 1;
    }
    ddt_free(graph->table);
    graph->table = table;
    graph->table_size = size;
    return true;
}

/* Copies the candidate's terms behind the graph's arrays. */
static bool append_terms(circuit_graph *graph, candidate *c) {
    c->node.product_begin = graph->product_count;
    for (size_t i = 0; i < c->node.product_count; i++) {
        if (!CIRCUIT_GROW(graph->products, graph->product_count, graph->product_capacity)) {
            return false;
        }
        graph->products[graph->product_count++] = c->products[i];
    }
    c->node.linear_begin = graph->linear_count;
    for (size_t i = 0; i < c->node.linear_count; i++) {
        if (!CIRCUIT_GROW(graph->linears, graph->linear_count, graph->linear_capacity)) {
            return false;
        }
        graph->linears[graph->linear_count++] = c->linears[i];
    }
    if (c->polynomial == NULL) {
        return true;
    }
    size_t count = (size_t)c->polynomial->degree + 1;
    double *copy = NULL;
    if (!CIRCUIT_GROW(graph->polynomials, graph->polynomial_count, graph->polynomial_capacity) ||
        (copy = ddt_alloc(count, sizeof *copy)) == NULL) {
        return false;
    }
    memcpy(copy, c->polynomial->coefficients, count * sizeof *copy);
    c->node.index = (uint32_t)graph->polynomial_count;
    graph->polynomials[graph->polynomial_count] = *c->polynomial;
    graph->polynomials[graph->polynomial_count++].coefficients = copy;
    return true;
}

static ddt_node intern(circuit_graph *graph, candidate *c) {
    if (graph->status != DDT_OK) {
        return DDT_NODE_NONE;
    }
    c->node.hash = candidate_hash(c);
    if (2 * (graph->node_count + 1) > graph->table_size &&
        !rehash(graph, graph->table_size == 0 ? 64 : 2 * graph->table_size)) {
        return fail_memory(graph);
    }
    size_t slot = (size_t)c->node.hash & (graph->table_size - 1);
    while (graph->table[slot] != 0) {
        ddt_node found = graph->table[slot] - 1;
        if (candidate_equals(graph, c, &graph->nodes[found])) {
            return found;
        }
        slot = (slot + 1) & (graph->table_size - 1);
    }
    if (graph->node_count >= DDT_NODE_NONE - 1 ||
        !CIRCUIT_GROW(graph->nodes, graph->node_count, graph->node_capacity) || !append_terms(graph, c)) {
        return fail_memory(graph);
    }
    graph->table[slot] = (uint32_t)graph->node_count + 1;
    graph->nodes[graph->node_count] = c->node;
    return (ddt_node)graph->node_count++;
}

/* ------------------------------------------------------------------ simple nodes */

static circuit_node blank(circuit_kind kind) {
    return (circuit_node){.kind = kind, .value = circuit_public_constant(0.0), .operand = DDT_NODE_NONE};
}

ddt_node circuit_graph_public(circuit_graph *graph, circuit_public value) {
    candidate c = {.node = blank(NODE_PUBLIC)};
    c.node.value = value;
    return intern(graph, &c);
}

ddt_node circuit_graph_input(circuit_graph *graph) {
    candidate c = {.node = blank(NODE_INPUT)};
    c.node.index = (uint32_t)graph->input_count;
    ddt_node node = intern(graph, &c);
    graph->input_count += node != DDT_NODE_NONE;
    return node;
}

/* Rotates each lane's block by itself: what leaves a block is garbage by contract. */
static ddt_node rotate_public(circuit_graph *graph, circuit_public value, int64_t steps) {
    if (value.vector == CIRCUIT_NONE) {
        return circuit_graph_public(graph, value);
    }
    size_t block = graph->pool.block;
    const circuit_vector *vector = &graph->pool.vectors[value.vector];
    double *values = ddt_alloc(vector->count, sizeof *values);
    if (values == NULL) {
        return fail_memory(graph);
    }
    size_t shift = (size_t)(steps & (int64_t)(block - 1));
    for (size_t i = 0; i < vector->count; i++) {
        values[i] = vector->values[i - i % block + ((i + shift) & (block - 1))];
    }
    circuit_public rotated;
    ddt_status status = circuit_pool_intern(graph->ctx, &graph->pool, values, vector->count, &rotated);
    ddt_free(values);
    return status == DDT_OK ? circuit_graph_public(graph, rotated) : circuit_graph_fail(graph, status);
}

ddt_node circuit_graph_rotation(circuit_graph *graph, ddt_node operand, int64_t steps) {
    if (graph->status != DDT_OK) {
        return DDT_NODE_NONE;
    }
    if (graph->nodes[operand].kind == NODE_PUBLIC) {
        return rotate_public(graph, graph->nodes[operand].value, steps);
    }
    if (steps == 0) {
        return operand;
    }
    candidate c = {.node = blank(NODE_ROTATION)};
    c.node.operand = operand;
    c.node.steps = steps;
    return intern(graph, &c);
}

ddt_node circuit_graph_refresh(circuit_graph *graph, ddt_node operand, double bound, uint32_t index) {
    if (graph->status != DDT_OK || graph->nodes[operand].kind == NODE_PUBLIC) {
        return graph->status == DDT_OK ? operand : DDT_NODE_NONE;
    }
    candidate c = {.node = blank(NODE_REFRESH)};
    c.node.operand = operand;
    c.node.value = circuit_public_constant(bound);
    c.node.index = index;
    return intern(graph, &c);
}

static ddt_node polynomial_public(circuit_graph *graph, circuit_public x, const circuit_polynomial *polynomial) {
    size_t count = x.vector == CIRCUIT_NONE ? 1 : graph->pool.vectors[x.vector].count;
    const double *in = x.vector == CIRCUIT_NONE ? &x.constant : graph->pool.vectors[x.vector].values;
    double *values = ddt_alloc(count, sizeof *values);
    if (values == NULL) {
        return fail_memory(graph);
    }
    circuit_polynomial_exact(polynomial, in, count, values);
    circuit_public result;
    ddt_status status = circuit_pool_intern(graph->ctx, &graph->pool, values, count, &result);
    ddt_free(values);
    return status == DDT_OK ? circuit_graph_public(graph, result) : circuit_graph_fail(graph, status);
}

ddt_node circuit_graph_polynomial(circuit_graph *graph, ddt_node operand, const circuit_polynomial *polynomial) {
    if (graph->status != DDT_OK) {
        return DDT_NODE_NONE;
    }
    if (graph->nodes[operand].kind == NODE_PUBLIC) {
        return polynomial_public(graph, graph->nodes[operand].value, polynomial);
    }
    candidate c = {.node = blank(NODE_POLYNOMIAL), .polynomial = polynomial};
    c.node.operand = operand;
    return intern(graph, &c);
}

/* ------------------------------------------------------------------ combinations */

void circuit_combination_begin(circuit_combination *sum, circuit_graph *graph) {
    *sum = (circuit_combination){.graph = graph, .offset = circuit_public_constant(0.0)};
}

static circuit_public checked(circuit_graph *graph, ddt_status status, circuit_public value) {
    if (status != DDT_OK) {
        (void)circuit_graph_fail(graph, status);
        return circuit_public_constant(0.0);
    }
    return value;
}

static circuit_public times(circuit_graph *graph, circuit_public a, circuit_public b) {
    circuit_public product = circuit_public_constant(0.0);
    return checked(graph, circuit_pool_mul(graph->ctx, &graph->pool, a, b, &product), product);
}

static circuit_public plus(circuit_graph *graph, circuit_public a, circuit_public b) {
    circuit_public total = circuit_public_constant(0.0);
    return checked(graph, circuit_pool_add(graph->ctx, &graph->pool, a, b, &total), total);
}

void circuit_combination_add_public(circuit_combination *sum, circuit_public c) {
    if (sum->graph->status == DDT_OK) {
        sum->offset = plus(sum->graph, sum->offset, c);
    }
}

void circuit_combination_add_linear(circuit_combination *sum, circuit_public c, ddt_node a) {
    circuit_graph *graph = sum->graph;
    if (graph->status != DDT_OK) {
        return;
    }
    const circuit_node *node = &graph->nodes[a];
    if (node->kind == NODE_PUBLIC) {
        circuit_combination_add_public(sum, times(graph, c, node->value));
        return;
    }
    if (circuit_node_is_linear(node) && node->linear_count == 1) {
        circuit_linear inner = graph->linears[node->linear_begin];
        circuit_public offset = node->value;
        circuit_combination_add_public(sum, times(graph, c, offset));
        c = times(graph, c, inner.c);
        a = inner.a;
    }
    if (!CIRCUIT_GROW(sum->linears, sum->linear_count, sum->linear_capacity)) {
        (void)fail_memory(graph);
        return;
    }
    sum->linears[sum->linear_count++] = (circuit_linear){.a = a, .c = c};
}

/* Takes the sign out of -x, so that (-x) y, x (-y) and -(x y) are one product. */
static ddt_node strip_sign(const circuit_graph *graph, ddt_node a, int32_t *k) {
    const circuit_node *node = &graph->nodes[a];
    if (circuit_node_is_linear(node) && node->linear_count == 1 && circuit_public_is(node->value, 0.0) &&
        circuit_public_is(graph->linears[node->linear_begin].c, -1.0)) {
        *k = -*k;
        return graph->linears[node->linear_begin].a;
    }
    return a;
}

void circuit_combination_add_product(circuit_combination *sum, int32_t k, ddt_node a, ddt_node b) {
    circuit_graph *graph = sum->graph;
    if (graph->status != DDT_OK) {
        return;
    }
    if (graph->nodes[a].kind == NODE_PUBLIC || graph->nodes[b].kind == NODE_PUBLIC) {
        bool a_is_public = graph->nodes[a].kind == NODE_PUBLIC;
        circuit_public c = graph->nodes[a_is_public ? a : b].value;
        c = times(graph, circuit_public_constant(k), c);
        circuit_combination_add_linear(sum, c, a_is_public ? b : a);
        return;
    }
    a = strip_sign(graph, a, &k);
    b = strip_sign(graph, b, &k);
    if (!CIRCUIT_GROW(sum->products, sum->product_count, sum->product_capacity)) {
        (void)fail_memory(graph);
        return;
    }
    sum->products[sum->product_count++] = (circuit_product){.a = a < b ? a : b, .b = a < b ? b : a, .k = k};
}

static int compare_linear(const void *left, const void *right) {
    const circuit_linear *a = left;
    const circuit_linear *b = right;
    return (a->a > b->a) - (a->a < b->a);
}

static int compare_product(const void *left, const void *right) {
    const circuit_product *a = left;
    const circuit_product *b = right;
    if (a->a != b->a) {
        return a->a < b->a ? -1 : 1;
    }
    return (a->b > b->b) - (a->b < b->b);
}

static void merge_linears(circuit_combination *sum) {
    if (sum->linear_count > 1) {
        qsort(sum->linears, sum->linear_count, sizeof *sum->linears, compare_linear);
    }
    size_t kept = 0;
    for (size_t i = 0; i < sum->linear_count;) {
        circuit_linear term = sum->linears[i++];
        while (i < sum->linear_count && sum->linears[i].a == term.a) {
            term.c = plus(sum->graph, term.c, sum->linears[i++].c);
        }
        if (!circuit_public_is(term.c, 0.0)) {
            sum->linears[kept++] = term;
        }
    }
    sum->linear_count = kept;
}

static void merge_products(circuit_combination *sum) {
    if (sum->product_count > 1) {
        qsort(sum->products, sum->product_count, sizeof *sum->products, compare_product);
    }
    size_t kept = 0;
    for (size_t i = 0; i < sum->product_count; i++) {
        circuit_product term = sum->products[i];
        circuit_product *last = kept > 0 ? &sum->products[kept - 1] : NULL;
        if (last != NULL && last->a == term.a && last->b == term.b && abs(last->k + term.k) <= CIRCUIT_INTEGER_MAX) {
            last->k += term.k;
        } else {
            sum->products[kept++] = term;
        }
    }
    sum->product_count = kept;
    kept = 0;
    for (size_t i = 0; i < sum->product_count; i++) {
        if (sum->products[i].k != 0) {
            sum->products[kept++] = sum->products[i];
        }
    }
    sum->product_count = kept;
}

static ddt_node combination_node(circuit_combination *sum) {
    if (sum->graph->status != DDT_OK) {
        return DDT_NODE_NONE;
    }
    if (sum->product_count == 0 && sum->linear_count == 0) {
        return circuit_graph_public(sum->graph, sum->offset);
    }
    if (sum->product_count == 0 && sum->linear_count == 1 && circuit_public_is(sum->linears[0].c, 1.0) &&
        circuit_public_is(sum->offset, 0.0)) {
        return sum->linears[0].a;
    }
    candidate c = {.node = blank(NODE_COMBINATION), .products = sum->products, .linears = sum->linears};
    c.node.value = sum->offset;
    c.node.product_count = sum->product_count;
    c.node.linear_count = sum->linear_count;
    return intern(sum->graph, &c);
}

ddt_node circuit_combination_end(circuit_combination *sum) {
    merge_linears(sum);
    merge_products(sum);
    ddt_node node = combination_node(sum);
    ddt_free(sum->products);
    ddt_free(sum->linears);
    *sum = (circuit_combination){.graph = sum->graph};
    return node;
}

/* ------------------------------------------------------------------ walking */

bool circuit_node_is_leveled(const circuit_graph *graph, const circuit_node *node) {
    if (node->product_count > 0) {
        return true;
    }
    for (size_t i = 0; i < node->linear_count; i++) {
        if (!circuit_is_small_integer(graph->linears[node->linear_begin + i].c)) {
            return true;
        }
    }
    return false;
}

void circuit_node_operands(const circuit_graph *graph, ddt_node node, void (*visit)(void *user, ddt_node operand),
                           void *user) {
    const circuit_node *n = &graph->nodes[node];
    if (n->operand != DDT_NODE_NONE) {
        visit(user, n->operand);
    }
    for (size_t i = 0; i < n->product_count; i++) {
        visit(user, graph->products[n->product_begin + i].a);
        visit(user, graph->products[n->product_begin + i].b);
    }
    for (size_t i = 0; i < n->linear_count; i++) {
        visit(user, graph->linears[n->linear_begin + i].a);
    }
}

static void mark(void *user, ddt_node operand) { ((bool *)user)[operand] = true; }

void circuit_graph_live(const circuit_graph *graph, const ddt_node *roots, size_t root_count, bool *live) {
    memset(live, 0, graph->node_count * sizeof *live);
    for (size_t i = 0; i < root_count; i++) {
        live[roots[i]] = true;
    }
    for (size_t n = graph->node_count; n-- > 0;) {
        if (live[n]) {
            circuit_node_operands(graph, (ddt_node)n, mark, live);
        }
    }
}
