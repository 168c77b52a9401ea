/*
 * From the graph as it was written to an equal graph that needs fewer levels and fewer relinearisations.
 *
 * Every node that an output uses is rebuilt in order. A combination looks into its operands:
 *   - an affine combination of an affine combination is one affine combination (one level instead of two);
 *   - a product used only in one sum joins that sum (one relinearisation for the whole sum);
 *   - c (a b) becomes (c a) b, so that a scaled product can still join a sum, and c may merge with what a is made of;
 *   - c p(x) is another polynomial of x, and a sum of polynomials of one x is one polynomial;
 *   - a place to refresh that is not used vanishes; one that is used is scaled to [-1, 1].
 * Values stay the same up to rounding; a test runs both graphs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MERGE_SINGLE = 64,      /* terms of an affine operand with one user that are copied into the user */
    MERGE_SHARED = 8,       /* the same where others use it too: work for a level */
    NEW_VECTORS_SINGLE = 4, /* extra public vectors that such a merge may make */
    NEW_VECTORS_SHARED = 2,
    PUSH_PRODUCTS = 8,        /* products into which one constant is moved */
    PUSH_VECTOR_PRODUCTS = 2, /* the same for a vector, which costs an encoding each */
    PENDING_MAX = 64
};

typedef struct optimiser {
    const circuit_graph *from;
    const bool *refreshed; /* of nodes of `from` */
    circuit_graph *to;
    ddt_node *map;     /* from -> to */
    uint32_t *uses;    /* of nodes of `from` */
    uint32_t *vectors; /* from -> to, CIRCUIT_NONE when not copied yet */
    circuit_public *vector_values;
    unsigned *heights; /* of nodes of `to`: levels between the inputs and the node */
    uint32_t *to_uses; /* of nodes of `to`, as far as known */
    size_t height_count, height_capacity, to_use_capacity;
} optimiser;

/* Polynomials of one operand on their way into a sum, already added up. */
typedef struct pending_polynomial {
    ddt_node operand;
    unsigned degree;
    double coefficients[CIRCUIT_DEGREE_MAX + 1];
} pending_polynomial;

typedef struct rebuilt_sum {
    circuit_combination sum;
    pending_polynomial *pending;
    size_t pending_count, pending_capacity;
} rebuilt_sum;

/* ------------------------------------------------------------------ small helpers */

static circuit_public import_public(optimiser *o, circuit_public p) {
    if (p.vector == CIRCUIT_NONE || o->to->status != DDT_OK) {
        return p.vector == CIRCUIT_NONE ? p : circuit_public_constant(0.0);
    }
    if (o->vectors[p.vector] == CIRCUIT_NONE) {
        const circuit_vector *vector = &o->from->pool.vectors[p.vector];
        ddt_status status =
            circuit_pool_intern(o->to->ctx, &o->to->pool, vector->values, vector->count, &o->vector_values[p.vector]);
        if (status != DDT_OK) {
            (void)circuit_graph_fail(o->to, status);
            return circuit_public_constant(0.0);
        }
        o->vectors[p.vector] = 0;
    }
    return o->vector_values[p.vector];
}

static circuit_public times(optimiser *o, circuit_public a, circuit_public b) {
    circuit_public product = circuit_public_constant(0.0);
    if (o->to->status == DDT_OK) {
        ddt_status status = circuit_pool_mul(o->to->ctx, &o->to->pool, a, b, &product);
        if (status != DDT_OK) {
            (void)circuit_graph_fail(o->to, status);
        }
    }
    return product;
}

static unsigned node_height(const optimiser *o, const circuit_node *node) {
    unsigned height = 0;
    if (node->kind == NODE_ROTATION || node->kind == NODE_POLYNOMIAL) {
        height = o->heights[node->operand]; /* what has been refreshed starts anew */
    }
    for (size_t i = 0; i < node->product_count; i++) {
        const circuit_product *p = &o->to->products[node->product_begin + i];
        unsigned both = o->heights[p->a] > o->heights[p->b] ? o->heights[p->a] : o->heights[p->b];
        height = both > height ? both : height;
    }
    unsigned exact = 0;
    for (size_t i = 0; i < node->linear_count; i++) {
        const circuit_linear *l = &o->to->linears[node->linear_begin + i];
        unsigned *reached = circuit_is_small_integer(l->c) ? &exact : &height;
        *reached = o->heights[l->a] > *reached ? o->heights[l->a] : *reached;
    }
    if (node->kind == NODE_POLYNOMIAL) {
        height += ddt_ckks_polynomial_depth(o->to->polynomials[node->index].degree);
    } else if (circuit_node_is_leveled(o->to, node)) {
        height += 1;
    }
    return exact > height ? exact : height;
}

/* Brings heights up to date after nodes were made. */
static void update_heights(optimiser *o) {
    while (o->to->status == DDT_OK && o->height_count < o->to->node_count) {
        if (!CIRCUIT_GROW(o->heights, o->height_count, o->height_capacity) ||
            !CIRCUIT_GROW(o->to_uses, o->height_count, o->to_use_capacity)) {
            (void)circuit_graph_fail(o->to, ddt_fail(o->to->ctx, DDT_ERR_MEMORY, "Memory is short while planning."));
            return;
        }
        o->heights[o->height_count] = node_height(o, &o->to->nodes[o->height_count]);
        o->to_uses[o->height_count++] = 0;
    }
}

static size_t vector_terms(const optimiser *o, const circuit_node *node) {
    size_t count = 0;
    for (size_t i = 0; i < node->linear_count; i++) {
        count += o->to->linears[node->linear_begin + i].c.vector != CIRCUIT_NONE;
    }
    return count;
}

/* ------------------------------------------------------------------ when to merge */

/* c * c_i stays a small integer for all terms. */
static bool stays_integer(const optimiser *o, circuit_public c, const circuit_node *inner) {
    for (size_t i = 0; i < inner->linear_count; i++) {
        circuit_public inner_c = o->to->linears[inner->linear_begin + i].c;
        if (inner_c.vector != CIRCUIT_NONE ||
            !circuit_is_small_integer(circuit_public_constant(c.constant * inner_c.constant))) {
            return false;
        }
    }
    return true;
}

static bool merge_linear(const optimiser *o, circuit_public c, const circuit_node *inner, bool single) {
    bool c_exact = circuit_is_small_integer(c);
    bool inner_leveled = circuit_node_is_leveled(o->to, inner);
    size_t terms = inner->linear_count;
    if (c_exact) {
        /* Saves a rescale or an addition, never a level: only where nothing is done twice. */
        return single && terms <= MERGE_SINGLE && (inner_leveled || stays_integer(o, c, inner));
    }
    if (!inner_leveled) {
        return false; /* c (x + y) is cheaper than c x + c y and as deep */
    }
    size_t vectors = vector_terms(o, inner);
    size_t made = c.vector != CIRCUIT_NONE ? terms : vectors;
    return single ? terms <= MERGE_SINGLE && made <= vectors + NEW_VECTORS_SINGLE
                  : terms <= MERGE_SHARED && made <= NEW_VECTORS_SHARED;
}

static bool products_stay_small(const optimiser *o, double c, const circuit_node *inner) {
    for (size_t i = 0; i < inner->product_count; i++) {
        if (fabs(c * o->to->products[inner->product_begin + i].k) > CIRCUIT_INTEGER_MAX) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------ scaling a factor */

static ddt_node scaled_polynomial(optimiser *o, double c, ddt_node node) {
    double coefficients[CIRCUIT_DEGREE_MAX + 1];
    const circuit_polynomial *p = &o->to->polynomials[o->to->nodes[node].index];
    circuit_polynomial scaled = {.coefficients = coefficients, .degree = p->degree};
    for (unsigned k = 0; k <= p->degree; k++) {
        coefficients[k] = c * p->coefficients[k];
    }
    return circuit_graph_polynomial(o->to, o->to->nodes[node].operand, &scaled);
}

/* c * a costs no level beyond those of a. */
static bool scales_for_free(const optimiser *o, circuit_public c, ddt_node a) {
    const circuit_node *node = &o->to->nodes[a];
    if (node->kind == NODE_POLYNOMIAL) {
        return c.vector == CIRCUIT_NONE && o->to_uses[a] <= 1;
    }
    return circuit_node_is_linear(node) && circuit_node_is_leveled(o->to, node) && merge_linear(o, c, node, false);
}

static void add_terms(optimiser *o, circuit_combination *sum, circuit_public c, const circuit_node *inner) {
    size_t begin = inner->linear_begin;
    size_t count = inner->linear_count;
    circuit_public offset = inner->value;
    for (size_t i = 0; i < count; i++) {
        circuit_linear term = o->to->linears[begin + i];
        circuit_combination_add_linear(sum, times(o, c, term.c), term.a);
    }
    circuit_combination_add_public(sum, times(o, c, offset));
}

static ddt_node scale(optimiser *o, circuit_public c, ddt_node a) {
    if (o->to->status != DDT_OK) {
        return DDT_NODE_NONE;
    }
    circuit_node node = o->to->nodes[a];
    if (node.kind == NODE_POLYNOMIAL && scales_for_free(o, c, a)) {
        return scaled_polynomial(o, c.constant, a);
    }
    circuit_combination sum;
    circuit_combination_begin(&sum, o->to);
    if (scales_for_free(o, c, a)) {
        add_terms(o, &sum, c, &node);
    } else {
        circuit_combination_add_linear(&sum, c, a);
    }
    return circuit_combination_end(&sum);
}

/* c a b as a product of two: c goes to the factor where it costs least. */
static void push_into_product(optimiser *o, circuit_combination *sum, circuit_public c, circuit_product product) {
    c = times(o, c, circuit_public_constant(product.k));
    if (o->to->status != DDT_OK) {
        return;
    }
    if (circuit_is_small_integer(c)) {
        circuit_combination_add_product(sum, (int32_t)c.constant, product.a, product.b);
        return;
    }
    bool a_free = scales_for_free(o, c, product.a);
    bool b_free = scales_for_free(o, c, product.b);
    bool take_b = a_free != b_free ? b_free : o->heights[product.b] < o->heights[product.a];
    ddt_node scaled = scale(o, c, take_b ? product.b : product.a);
    update_heights(o);
    if (o->to->status == DDT_OK) {
        circuit_combination_add_product(sum, 1, scaled, take_b ? product.a : product.b);
    }
}

/* ------------------------------------------------------------------ sums */

static void add_pending(optimiser *o, rebuilt_sum *r, double c, ddt_node node) {
    const circuit_polynomial *p = &o->to->polynomials[o->to->nodes[node].index];
    ddt_node operand = o->to->nodes[node].operand;
    size_t i = 0;
    while (i < r->pending_count && r->pending[i].operand != operand) {
        i++;
    }
    if (i == r->pending_count) {
        if (!CIRCUIT_GROW(r->pending, r->pending_count, r->pending_capacity)) {
            (void)circuit_graph_fail(o->to, ddt_fail(o->to->ctx, DDT_ERR_MEMORY, "Memory is short while planning."));
            return;
        }
        r->pending[r->pending_count++] = (pending_polynomial){.operand = operand};
    }
    pending_polynomial *pending = &r->pending[i];
    for (unsigned k = 0; k <= p->degree; k++) {
        pending->coefficients[k] += c * p->coefficients[k];
    }
    pending->degree = p->degree > pending->degree ? p->degree : pending->degree;
}

static void add_operand(optimiser *o, rebuilt_sum *r, circuit_public c, ddt_node old) {
    if (o->to->status != DDT_OK) {
        return;
    }
    ddt_node a = o->map[old];
    bool single = o->uses[old] == 1;
    circuit_node node = o->to->nodes[a];
    if (node.kind == NODE_POLYNOMIAL && single && c.vector == CIRCUIT_NONE && r->pending_count < PENDING_MAX) {
        add_pending(o, r, c.constant, a);
        return;
    }
    if (circuit_node_is_linear(&node) && merge_linear(o, c, &node, single)) {
        add_terms(o, &r->sum, c, &node);
        return;
    }
    bool exact = circuit_is_small_integer(c) && products_stay_small(o, c.constant, &node);
    size_t most = c.vector == CIRCUIT_NONE ? PUSH_PRODUCTS : PUSH_VECTOR_PRODUCTS;
    if (node.kind == NODE_COMBINATION && node.product_count > 0 && single && (exact || node.product_count <= most)) {
        for (size_t i = 0; i < node.product_count; i++) {
            push_into_product(o, &r->sum, c, o->to->products[node.product_begin + i]);
        }
        add_terms(o, &r->sum, c, &node);
        return;
    }
    circuit_combination_add_linear(&r->sum, c, a);
}

static void flush_pending(optimiser *o, rebuilt_sum *r) {
    if (r->pending_count > 0 && r->sum.offset.vector == CIRCUIT_NONE) {
        r->pending[0].coefficients[0] += r->sum.offset.constant;
        r->sum.offset = circuit_public_constant(0.0);
    }
    for (size_t i = 0; i < r->pending_count && o->to->status == DDT_OK; i++) {
        pending_polynomial *pending = &r->pending[i];
        while (pending->degree > 1 && pending->coefficients[pending->degree] == 0.0) {
            pending->degree--;
        }
        if (pending->degree == 1) {
            circuit_combination_add_public(&r->sum, circuit_public_constant(pending->coefficients[0]));
            circuit_combination_add_linear(&r->sum, circuit_public_constant(pending->coefficients[1]),
                                           pending->operand);
            continue;
        }
        circuit_polynomial polynomial = {.coefficients = pending->coefficients, .degree = pending->degree};
        ddt_node node = circuit_graph_polynomial(o->to, pending->operand, &polynomial);
        if (node != DDT_NODE_NONE) {
            circuit_combination_add_linear(&r->sum, circuit_public_constant(1.0), node);
        }
    }
    ddt_free(r->pending);
}

static ddt_node rebuild_combination(optimiser *o, const circuit_node *node) {
    rebuilt_sum r = {0};
    circuit_combination_begin(&r.sum, o->to);
    circuit_combination_add_public(&r.sum, import_public(o, node->value));
    for (size_t i = 0; i < node->linear_count; i++) {
        const circuit_linear *term = &o->from->linears[node->linear_begin + i];
        add_operand(o, &r, import_public(o, term->c), term->a);
    }
    for (size_t i = 0; i < node->product_count && o->to->status == DDT_OK; i++) {
        const circuit_product *product = &o->from->products[node->product_begin + i];
        circuit_combination_add_product(&r.sum, product->k, o->map[product->a], o->map[product->b]);
    }
    flush_pending(o, &r);
    return circuit_combination_end(&r.sum);
}

/*
 * bound refresh(a / bound) of what node `operand` was rebuilt to, bound a power of two: the product afterwards is exact
 * and takes no level. Values below 1 are left as they are, because a product before would have to be undone with a
 * level. n: the node of the circuit that asks for it.
 */
static ddt_node refresh(optimiser *o, ddt_node n, ddt_node operand) {
    double bound = circuit_refresh_bound(&o->from->nodes[n]);
    ddt_node scaled = o->map[operand];
    if (bound > 1.0) {
        rebuilt_sum r = {0};
        circuit_combination_begin(&r.sum, o->to);
        add_operand(o, &r, circuit_public_constant(1.0 / bound), operand);
        flush_pending(o, &r);
        scaled = circuit_combination_end(&r.sum);
    }
    if (o->to->status != DDT_OK) {
        return DDT_NODE_NONE;
    }
    ddt_node refreshed = circuit_graph_refresh(o->to, scaled, 1.0, n);
    circuit_combination sum;
    circuit_combination_begin(&sum, o->to);
    if (refreshed != DDT_NODE_NONE) {
        circuit_combination_add_linear(&sum, circuit_public_constant(bound), refreshed);
    }
    return circuit_combination_end(&sum);
}

static ddt_node rebuild_polynomial(optimiser *o, const circuit_node *node) {
    circuit_polynomial polynomial = o->from->polynomials[node->index];
    ddt_node operand = o->map[node->operand];
    polynomial.function = NULL;
    polynomial.user = NULL;
    if (polynomial.degree > 1 || o->to->status != DDT_OK) {
        return circuit_graph_polynomial(o->to, operand, &polynomial);
    }
    circuit_combination sum;
    circuit_combination_begin(&sum, o->to);
    circuit_combination_add_public(&sum, circuit_public_constant(polynomial.coefficients[0]));
    circuit_combination_add_linear(&sum, circuit_public_constant(polynomial.coefficients[1]), operand);
    return circuit_combination_end(&sum);
}

static ddt_node rebuild(optimiser *o, ddt_node n) {
    const circuit_node *node = &o->from->nodes[n];
    switch (node->kind) {
    case NODE_PUBLIC:
        return circuit_graph_public(o->to, import_public(o, node->value));
    case NODE_INPUT:
        return DDT_NODE_NONE; /* made before, in order */
    case NODE_COMBINATION:
        return rebuild_combination(o, node);
    case NODE_ROTATION:
        return circuit_graph_rotation(o->to, o->map[node->operand], node->steps);
    case NODE_POLYNOMIAL:
        return rebuild_polynomial(o, node);
    case NODE_REFRESH:
        return o->refreshed[n] ? refresh(o, n, node->operand) : o->map[node->operand];
    }
    return DDT_NODE_NONE;
}

/* ------------------------------------------------------------------ the whole */

static void count_use(void *user, ddt_node operand) { ((uint32_t *)user)[operand]++; }

/* A refresh that vanishes is no user: its own users are its operand's. */
static void count_uses(optimiser *o, const bool *live, const ddt_node *roots, size_t root_count) {
    for (size_t i = 0; i < root_count; i++) {
        o->uses[roots[i]] += 2; /* an output must stay a node of its own */
    }
    for (size_t n = o->from->node_count; n-- > 0;) {
        const circuit_node *node = &o->from->nodes[n];
        if (node->kind == NODE_REFRESH && !o->refreshed[n]) {
            o->uses[node->operand] += live[n] ? o->uses[n] : 0;
        } else if (live[n]) {
            circuit_node_operands(o->from, (ddt_node)n, count_use, o->uses);
        }
    }
    for (size_t n = 0; n < o->from->node_count; n++) {
        const circuit_node *node = &o->from->nodes[n];
        if (node->kind == NODE_REFRESH && !o->refreshed[n]) {
            o->uses[n] = o->uses[node->operand];
        }
    }
}

static void rebuild_all(optimiser *o, const bool *live) {
    for (size_t n = 0; n < o->from->node_count && o->to->status == DDT_OK; n++) {
        const circuit_node *node = &o->from->nodes[n];
        if (node->kind == NODE_INPUT) {
            o->map[n] = circuit_graph_input(o->to);
        } else if (live[n]) {
            o->map[n] = rebuild(o, (ddt_node)n);
        } else {
            continue;
        }
        update_heights(o);
        if (o->refreshed[n] && node->kind != NODE_REFRESH && o->to->status == DDT_OK) {
            o->map[n] = refresh(o, (ddt_node)n, (ddt_node)n);
            update_heights(o);
        }
        bool vanished = node->kind == NODE_REFRESH && !o->refreshed[n];
        if (o->to->status == DDT_OK && o->map[n] < o->height_count && !vanished) {
            o->to_uses[o->map[n]] += o->uses[n];
        }
    }
}

static void optimise(optimiser *o, const ddt_circuit *circuit, const ddt_node *roots, bool *live, ddt_node *outputs) {
    memset(o->vectors, 0xff, o->from->pool.count * sizeof *o->vectors);
    circuit_graph_live(o->from, roots, circuit->output_count, live);
    count_uses(o, live, roots, circuit->output_count);
    rebuild_all(o, live);
    for (size_t i = 0; o->to->status == DDT_OK && i < circuit->output_count; i++) {
        outputs[i] = o->map[roots[i]];
    }
}

ddt_status circuit_optimise(ddt_context *ctx, const ddt_circuit *circuit, const bool *refreshed, circuit_graph *to,
                            ddt_node *outputs) {
    const circuit_graph *from = &circuit->graph;
    optimiser o = {.from = from, .refreshed = refreshed, .to = to};
    ddt_node *roots = circuit_output_nodes(circuit);
    bool *live = ddt_alloc(from->node_count, sizeof *live);
    circuit_graph_init(to, ctx, from->pool.lanes, from->pool.block);
    o.map = ddt_calloc(from->node_count, sizeof *o.map);
    o.uses = ddt_calloc(from->node_count, sizeof *o.uses);
    o.vectors = ddt_alloc(from->pool.count, sizeof *o.vectors);
    o.vector_values = ddt_calloc(from->pool.count, sizeof *o.vector_values);
    if (roots == NULL || live == NULL || o.map == NULL || o.uses == NULL || o.vectors == NULL ||
        o.vector_values == NULL) {
        (void)circuit_graph_fail(to, ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while planning."));
    } else {
        optimise(&o, circuit, roots, live, outputs);
    }
    ddt_free(roots);
    ddt_free(live);
    ddt_free(o.map);
    ddt_free(o.uses);
    ddt_free(o.vectors);
    ddt_free(o.vector_values);
    ddt_free(o.heights);
    ddt_free(o.to_uses);
    return to->status;
}
