/*
 * The graph behind a circuit: public values, nodes, hash-consing. The builder makes one graph, the planner's optimiser
 * makes another from it.
 *
 * There are four kinds of encrypted node: input, combination, rotation and polynomial. A combination is the one
 * arithmetic node: sum_i k_i a_i b_i + sum_j c_j d_j + offset, with small integers k, public coefficients c and a
 * public offset; additions, products, dot products and affine maps are all of this form, so that sharing one
 * relinearisation and one rescale needs no pattern matching later.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CIRCUIT_GRAPH_H
#define DDT_CIRCUIT_GRAPH_H

#include "ddt/circuit.h"

#define CIRCUIT_NONE UINT32_MAX

enum {
    CIRCUIT_BLOCK_MAX = 1 << 16,
    CIRCUIT_LANES_MAX = 1 << 24,
    CIRCUIT_DEGREE_MAX = 255,
    /* Integers up to this magnitude multiply exactly, without a level: they cost log2(64) bits of headroom at most. */
    CIRCUIT_INTEGER_MAX = 64,
    CIRCUIT_NAME_MAX = 255,
    CIRCUIT_REFRESH_MAX = 64, /* bounds of refreshed values */
    CIRCUIT_ORDER_MAX = 2     /* derivatives of functions beyond this are those of their polynomials */
};

/* ------------------------------------------------------------------ growing arrays */

/* Makes room for one more element; false when memory is short. */
bool circuit_grow(void **items, size_t count, size_t *capacity, size_t size);
#define CIRCUIT_GROW(items, count, capacity) circuit_grow((void **)&(items), count, &(capacity), sizeof *(items))

/* ------------------------------------------------------------------ public values */

/* Values of the first lanes, after which they repeat: one block that all lanes share, up to one for each lane. */
typedef struct circuit_vector {
    double *values;
    size_t count; /* a multiple of block that divides lanes * block */
    uint64_t hash;
} circuit_vector;

typedef struct circuit_pool {
    size_t lanes;
    size_t block;
    circuit_vector *vectors;
    size_t count;
    size_t capacity;
} circuit_pool;

/* A public number in every slot (vector == CIRCUIT_NONE) or a vector of the pool. */
typedef struct circuit_public {
    double constant;
    uint32_t vector;
} circuit_public;

static inline circuit_public circuit_public_constant(double value) {
    return (circuit_public){.constant = value, .vector = CIRCUIT_NONE};
}
static inline bool circuit_public_is(circuit_public p, double value) {
    return p.vector == CIRCUIT_NONE && p.constant == value;
}
/* True for integers small enough to multiply without a level. */
bool circuit_is_small_integer(circuit_public p);

void circuit_pool_destroy(circuit_pool *pool);
/* True where values may repeat after `count` slots. */
static inline bool circuit_is_period(size_t count, size_t lanes, size_t block) {
    return count >= block && count % block == 0 && lanes % (count / block) == 0;
}
/* Copies values (count: circuit_is_period), shrinks them to the lanes after which they repeat or to one number, and
 * finds equal vectors. */
DDT_MUST_CHECK ddt_status circuit_pool_intern(ddt_context *ctx, circuit_pool *pool, const double *values, size_t count,
                                              circuit_public *out);
DDT_MUST_CHECK ddt_status circuit_pool_add(ddt_context *ctx, circuit_pool *pool, circuit_public a, circuit_public b,
                                           circuit_public *out);
DDT_MUST_CHECK ddt_status circuit_pool_mul(ddt_context *ctx, circuit_pool *pool, circuit_public a, circuit_public b,
                                           circuit_public *out);
/* Blocks become `copies` of themselves. On failure the pool can only be destroyed. */
DDT_MUST_CHECK ddt_status circuit_pool_tile(ddt_context *ctx, circuit_pool *pool, size_t copies);
/* out[0..lane_count * block): the values of p for consecutive lanes. */
void circuit_public_expand(const circuit_vector *vectors, size_t block, circuit_public p, size_t lane_begin,
                           size_t lane_count, double *out);
double circuit_public_max(const circuit_vector *vectors, circuit_public p);

/* ------------------------------------------------------------------ nodes */

typedef enum circuit_kind {
    NODE_PUBLIC,
    NODE_INPUT,
    NODE_COMBINATION,
    NODE_ROTATION,
    NODE_POLYNOMIAL,
    NODE_REFRESH
} circuit_kind;

typedef struct circuit_product {
    ddt_node a;
    ddt_node b;
    int32_t k;
} circuit_product;

typedef struct circuit_linear {
    ddt_node a;
    circuit_public c;
} circuit_linear;

typedef struct circuit_polynomial {
    double *coefficients; /* degree + 1, Chebyshev basis */
    unsigned degree;
    /* The function it stands for (or its derivative of that order), on [low, high] mapped to [-1, 1]; NULL for a plain
     * polynomial. */
    ddt_function function;
    const void *user;
    double low;
    double high;
    unsigned order;
} circuit_polynomial;

typedef struct circuit_node {
    circuit_kind kind;
    circuit_public value; /* NODE_PUBLIC: the value; NODE_COMBINATION: the offset; NODE_REFRESH: the bound */
    ddt_node operand;     /* NODE_ROTATION, NODE_POLYNOMIAL, NODE_REFRESH */
    int64_t steps;        /* NODE_ROTATION */
    uint32_t index; /* NODE_INPUT: input; NODE_POLYNOMIAL: polynomial; NODE_REFRESH: the node of the builder's graph */
    size_t product_begin, product_count;
    size_t linear_begin, linear_count;
    uint64_t hash;
    /* Calibration: largest magnitude and sum of squares over `samples` slots. */
    double max;
    double square_sum;
} circuit_node;

typedef struct circuit_graph {
    ddt_context *ctx;
    ddt_status status; /* the first failure; every later builder call returns DDT_NODE_NONE */
    circuit_pool pool;
    circuit_node *nodes;
    size_t node_count, node_capacity;
    circuit_product *products;
    size_t product_count, product_capacity;
    circuit_linear *linears;
    size_t linear_count, linear_capacity;
    circuit_polynomial *polynomials;
    size_t polynomial_count, polynomial_capacity;
    uint32_t *table; /* open addressing, node + 1 */
    size_t table_size;
    size_t input_count;
} circuit_graph;

void circuit_graph_init(circuit_graph *graph, ddt_context *ctx, size_t lanes, size_t block);
void circuit_graph_clear(circuit_graph *graph);
/* Records the first failure and returns DDT_NODE_NONE. */
ddt_node circuit_graph_fail(circuit_graph *graph, ddt_status status);

ddt_node circuit_graph_public(circuit_graph *graph, circuit_public value);
ddt_node circuit_graph_input(circuit_graph *graph);
ddt_node circuit_graph_rotation(circuit_graph *graph, ddt_node operand, int64_t steps);
/* A place where the operand may be refreshed, |operand| <= bound. */
ddt_node circuit_graph_refresh(circuit_graph *graph, ddt_node operand, double bound, uint32_t index);
/* Copies the coefficients; equal polynomials of one operand are one node. */
ddt_node circuit_graph_polynomial(circuit_graph *graph, ddt_node operand, const circuit_polynomial *polynomial);

/* A combination in the making. Failures are kept in graph->status. */
typedef struct circuit_combination {
    circuit_graph *graph;
    circuit_product *products;
    size_t product_count, product_capacity;
    circuit_linear *linears;
    size_t linear_count, linear_capacity;
    circuit_public offset;
} circuit_combination;

void circuit_combination_begin(circuit_combination *sum, circuit_graph *graph);
/* += c */
void circuit_combination_add_public(circuit_combination *sum, circuit_public c);
/* += c * a; a may be public. A one-term affine operand is looked through. */
void circuit_combination_add_linear(circuit_combination *sum, circuit_public c, ddt_node a);
/* += k * a * b; either may be public. */
void circuit_combination_add_product(circuit_combination *sum, int32_t k, ddt_node a, ddt_node b);
/* Sorts, merges equal terms, drops zeros, finds an equal node or makes one, and frees the combination's memory. */
ddt_node circuit_combination_end(circuit_combination *sum);

/* True when the combination needs a rescale: it has products or coefficients that are not small integers. */
bool circuit_node_is_leveled(const circuit_graph *graph, const circuit_node *node);
static inline bool circuit_node_is_linear(const circuit_node *node) {
    return node->kind == NODE_COMBINATION && node->product_count == 0;
}

/* Calls visit(user, operand) for every operand of a node. */
void circuit_node_operands(const circuit_graph *graph, ddt_node node, void (*visit)(void *user, ddt_node operand),
                           void *user);
/* live[n] = used by an output, for all nodes. roots may contain duplicates. live has room for node_count. */
void circuit_graph_live(const circuit_graph *graph, const ddt_node *roots, size_t root_count, bool *live);

/* ------------------------------------------------------------------ evaluation in the clear */

/* values[i] = p(x[i]), Chebyshev basis, Clenshaw's recurrence. out may alias x. */
void circuit_polynomial_clear(const double *coefficients, unsigned degree, const double *x, size_t count, double *out);
/* The same with the function that the polynomial stands for, if any, or with its derivative with respect to x. */
void circuit_polynomial_exact(const circuit_polynomial *polynomial, const double *x, size_t count, double *out);
/* The coefficients of p', `degree` of them, then two zeros: out has room for degree + 2. */
void circuit_polynomial_derivative(const double *coefficients, unsigned degree, double *out);

enum {
    CIRCUIT_TILE = 512, /* slots of a sum worked on at a time */
    CIRCUIT_WORKERS_MAX = 64
};

/* out[i] += k a[i] b[i] */
void circuit_add_product(double k, const double *a, const double *b, size_t count, double *out);

/* Threads that circuit_evaluate uses. */
unsigned circuit_evaluation_workers(const ddt_context *ctx);

/* Sees the values of a node, `count` slots of some lanes; called from several workers at once,
 * 0..circuit_evaluation_workers - 1. */
typedef void (*circuit_visitor)(void *user, unsigned worker, ddt_node node, const double *values, size_t count);

typedef struct circuit_evaluation {
    const circuit_graph *graph;
    const bool *live;
    const ddt_node *outputs;
    size_t output_count;
    bool exact;
    circuit_visitor visit;
    void *user;
} circuit_evaluation;

/*
 * inputs[i], outputs[o]: lanes x block values. Runs over groups of lanes that fit the cache; a rotation wraps around
 * within such a group.
 */
DDT_MUST_CHECK ddt_status circuit_evaluate(ddt_context *ctx, const circuit_evaluation *evaluation,
                                           const double *const *inputs, double *const *outputs);

/* ------------------------------------------------------------------ a circuit */

enum { CIRCUIT_DRAWS_MAX = 3, CIRCUIT_SAMPLE_SLOTS = 4096 };

typedef struct circuit_input {
    char *name;
    double bound;
    ddt_node node;
} circuit_input;

typedef struct circuit_output {
    char *name;
    ddt_node node;
    uint32_t carried; /* the input that it becomes in the next run, CIRCUIT_NONE: none */
} circuit_output;

struct ddt_circuit {
    circuit_graph graph;
    circuit_input *inputs;
    size_t input_count, input_capacity;
    circuit_output *outputs;
    size_t output_count, output_capacity;
    /* Calibration. `draws` keeps the inputs of the first calibrations for a sample of the lanes: the planner simulates
     * noise on them. */
    uint64_t samples;
    double **draws[CIRCUIT_DRAWS_MAX];
    size_t draw_count;
};

/* True when the circuit is sound and the node is one of its own; the failure is recorded. */
bool circuit_node_usable(ddt_circuit *circuit, ddt_node node);
/* The lanes that calibration keeps: `count` of them, evenly spaced. */
size_t circuit_sample_lanes(size_t lanes, size_t block);
size_t circuit_sample_lane(size_t lanes, size_t sample_count, size_t sample);
/* The output nodes; the caller frees the array. NULL when memory is short. */
ddt_node *circuit_output_nodes(const ddt_circuit *circuit);

#endif
