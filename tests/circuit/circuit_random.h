/*
 * Random circuits together with what they should compute, worked out slot by slot while they are built.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CIRCUIT_RANDOM_H
#define DDT_CIRCUIT_RANDOM_H

#include "circuit_test.h"

enum { RANDOM_NODES_MAX = 96, RANDOM_INPUTS = 3, RANDOM_OUTPUTS_MAX = 8 };

typedef struct random_node {
    ddt_node node;
    double *values; /* lanes * block */
    bool *valid;    /* false where a rotation brought in another block */
    unsigned depth; /* at most: as written, before any optimisation */
    double bound;   /* of the magnitude in any slot, garbage included: polynomials must not meet more */
    bool is_public;
} random_node;

typedef struct random_circuit {
    ddt_context *ctx;
    ddt_circuit *circuit;
    size_t lanes, block, slots;
    uint64_t random;
    random_node nodes[RANDOM_NODES_MAX];
    size_t count;
    double **inputs;
    size_t outputs[RANDOM_OUTPUTS_MAX];
    size_t output_count;
    unsigned depth_max;
} random_circuit;

static double random_exp(double x, const void *user) {
    (void)user;
    return exp(-x);
}

static inline size_t random_below(random_circuit *r, size_t n) { return (size_t)(test_random(&r->random) % n); }

static inline random_node *random_append(random_circuit *r, ddt_node node, unsigned depth, double bound) {
    random_node *n = &r->nodes[r->count++];
    assert_ok(r->ctx, ddt_circuit_status(r->circuit));
    assert_true(node != DDT_NODE_NONE);
    *n = (random_node){.node = node,
                       .depth = depth,
                       .bound = bound,
                       .values = calloc(r->slots, sizeof(double)),
                       .valid = calloc(r->slots, sizeof(bool)),
                       .is_public = ddt_circuit_is_public(r->circuit, node)};
    for (size_t s = 0; s < r->slots; s++) {
        n->valid[s] = true;
    }
    return n;
}

static inline void random_take_valid(const random_circuit *r, random_node *to, const random_node *from) {
    for (size_t s = 0; s < r->slots; s++) {
        to->valid[s] = to->valid[s] && from->valid[s];
    }
}

/* Constants biased to corners: small integers, halves, numbers near them. */
static inline double random_constant(random_circuit *r) {
    static const double corners[] = {1.0, -1.0, 2.0, -3.0, 0.5, -0.5, 0.25, 1e-3};
    return random_below(r, 2) == 0 ? corners[random_below(r, sizeof corners / sizeof *corners)]
                                   : test_uniform(&r->random, -1.0, 1.0);
}

static inline unsigned random_deeper(const random_node *a, const random_node *b) {
    return a->depth > b->depth ? a->depth : b->depth;
}

static inline void random_affine(random_circuit *r) {
    enum { TERMS_MAX = 4 };
    ddt_node a[TERMS_MAX];
    double c[TERMS_MAX];
    size_t from[TERMS_MAX];
    size_t terms = 1 + random_below(r, TERMS_MAX);
    double offset = random_below(r, 2) == 0 ? 0.0 : random_constant(r);
    unsigned depth = 0;
    double bound = fabs(offset);
    for (size_t t = 0; t < terms; t++) {
        from[t] = random_below(r, r->count);
        a[t] = r->nodes[from[t]].node;
        c[t] = random_constant(r);
        bound += fabs(c[t]) * r->nodes[from[t]].bound;
        depth = r->nodes[from[t]].depth > depth ? r->nodes[from[t]].depth : depth;
    }
    random_node *n = random_append(r, ddt_circuit_affine(r->circuit, a, c, terms, offset), depth + 1, bound);
    for (size_t s = 0; s < r->slots; s++) {
        n->values[s] = offset;
        for (size_t t = 0; t < terms; t++) {
            n->values[s] += c[t] * r->nodes[from[t]].values[s];
        }
    }
    for (size_t t = 0; t < terms; t++) {
        random_take_valid(r, n, &r->nodes[from[t]]);
    }
}

static inline void random_dot(random_circuit *r) {
    enum { TERMS_MAX = 3 };
    ddt_node a[TERMS_MAX];
    ddt_node b[TERMS_MAX];
    size_t from_a[TERMS_MAX];
    size_t from_b[TERMS_MAX];
    size_t terms = 1 + random_below(r, TERMS_MAX);
    unsigned depth = 0;
    double bound = 0.0;
    for (size_t t = 0; t < terms; t++) {
        from_a[t] = random_below(r, r->count);
        from_b[t] = random_below(r, r->count);
        bound += r->nodes[from_a[t]].bound * r->nodes[from_b[t]].bound;
        a[t] = r->nodes[from_a[t]].node;
        b[t] = r->nodes[from_b[t]].node;
        unsigned deeper = random_deeper(&r->nodes[from_a[t]], &r->nodes[from_b[t]]);
        depth = deeper > depth ? deeper : depth;
    }
    random_node *n = random_append(r, ddt_circuit_dot(r->circuit, a, b, terms), depth + 1, bound);
    for (size_t t = 0; t < terms; t++) {
        for (size_t s = 0; s < r->slots; s++) {
            n->values[s] += r->nodes[from_a[t]].values[s] * r->nodes[from_b[t]].values[s];
        }
        random_take_valid(r, n, &r->nodes[from_a[t]]);
        random_take_valid(r, n, &r->nodes[from_b[t]]);
    }
}

static inline void random_sum(random_circuit *r) {
    size_t a = random_below(r, r->count);
    size_t b = random_below(r, r->count);
    size_t kind = random_below(r, 3);
    ddt_node node = kind == 0   ? ddt_circuit_add(r->circuit, r->nodes[a].node, r->nodes[b].node)
                    : kind == 1 ? ddt_circuit_sub(r->circuit, r->nodes[a].node, r->nodes[b].node)
                                : ddt_circuit_neg(r->circuit, r->nodes[a].node);
    double bound = r->nodes[a].bound + (kind == 2 ? 0.0 : r->nodes[b].bound);
    random_node *n = random_append(r, node, random_deeper(&r->nodes[a], &r->nodes[b]), bound);
    for (size_t s = 0; s < r->slots; s++) {
        double x = r->nodes[a].values[s];
        double y = r->nodes[b].values[s];
        n->values[s] = kind == 0 ? x + y : kind == 1 ? x - y : -x;
    }
    random_take_valid(r, n, &r->nodes[a]);
    if (kind != 2) {
        random_take_valid(r, n, &r->nodes[b]);
    }
}

static inline void random_rotation(random_circuit *r) {
    size_t a = random_below(r, r->count);
    int64_t block = (int64_t)r->block;
    int64_t steps = (int64_t)random_below(r, (size_t)(2 * block - 1)) - (block - 1);
    if (block > 1 && random_below(r, 2) == 0) {
        steps = steps < 0 ? -1 : 1;
    }
    random_node *n =
        random_append(r, ddt_circuit_rotate(r->circuit, r->nodes[a].node, steps), r->nodes[a].depth, r->nodes[a].bound);
    for (size_t s = 0; s < r->slots; s++) {
        int64_t within = (int64_t)(s % r->block) + steps;
        bool inside = within >= 0 && within < block;
        size_t from = s - s % r->block + (size_t)((within + block) % block);
        n->values[s] = r->nodes[a].values[from];
        n->valid[s] = inside && r->nodes[a].valid[from];
    }
}

static inline void random_function(random_circuit *r) {
    const double range_max = 3.0;
    size_t a = random_below(r, r->count);
    double range = r->nodes[a].bound * 1.001 + 0.01;
    double error = 0.0;
    if (range > range_max) {
        random_sum(r);
        return;
    }
    ddt_node node =
        ddt_circuit_function(r->circuit, r->nodes[a].node, -range, range, random_exp, NULL, 1e-2 * exp(range), &error);
    random_node *n = random_append(r, node, r->nodes[a].depth + 5, 1.02 * exp(range));
    for (size_t s = 0; s < r->slots; s++) {
        n->values[s] = exp(-r->nodes[a].values[s]);
    }
    random_take_valid(r, n, &r->nodes[a]);
}

static inline void random_polynomial(random_circuit *r) {
    enum { DEGREE_MAX = 20 };
    size_t a = random_below(r, r->count);
    double coefficients[DEGREE_MAX + 1];
    unsigned degree = 1 + (unsigned)random_below(r, DEGREE_MAX);
    double range = r->nodes[a].bound * 1.001 + 0.01;
    double bound = 0.0;
    for (unsigned k = 0; k <= degree; k++) {
        coefficients[k] = random_below(r, 4) == 0 ? 0.0 : test_uniform(&r->random, -0.3, 0.3);
        bound += fabs(coefficients[k]);
    }
    double scale = 1.0 / range;
    ddt_node x = ddt_circuit_affine(r->circuit, &r->nodes[a].node, &scale, 1, 0.0);
    random_node *n =
        random_append(r, ddt_circuit_chebyshev(r->circuit, x, coefficients, degree), r->nodes[a].depth + 6, bound);
    for (size_t s = 0; s < r->slots; s++) {
        double y = scale * r->nodes[a].values[s];
        for (unsigned k = 0; k <= degree; k++) {
            n->values[s] += coefficients[k] * cos(k * acos(y));
        }
    }
    random_take_valid(r, n, &r->nodes[a]);
}

/* Keeps values near 1, as a sensible author would. */
static inline void random_tame(random_circuit *r) {
    random_node *n = &r->nodes[r->count - 1];
    if (n->bound <= 2.0 || r->count == RANDOM_NODES_MAX) {
        return;
    }
    double c = 1.0 / n->bound;
    random_node *tamed = random_append(r, ddt_circuit_affine(r->circuit, &n->node, &c, 1, 0.0), n->depth + 1, 1.0);
    for (size_t s = 0; s < r->slots; s++) {
        tamed->values[s] = c * n->values[s];
    }
    random_take_valid(r, tamed, n);
}

static inline bool random_is_usable(const random_circuit *r, const random_node *n) {
    const double largest_bound = 50.0;
    return n->depth <= r->depth_max && n->bound <= largest_bound;
}

static inline void random_step(random_circuit *r) {
    size_t before = r->count;
    switch (random_below(r, 10)) {
    case 0:
        random_function(r);
        break;
    case 1:
        random_polynomial(r);
        break;
    case 2:
    case 3:
        random_rotation(r);
        break;
    case 4:
    case 5:
        random_sum(r);
        break;
    case 6:
    case 7:
        random_affine(r);
        break;
    default:
        random_dot(r);
    }
    if (random_is_usable(r, &r->nodes[r->count - 1])) {
        random_tame(r);
    }
    /* Nodes that are too deep or too large stay in the graph, unused. */
    while (r->count > before && !random_is_usable(r, &r->nodes[r->count - 1])) {
        r->count--;
        free(r->nodes[r->count].values);
        free(r->nodes[r->count].valid);
    }
}

static inline size_t random_divisor(random_circuit *r, size_t n) {
    size_t divisor = 1 + random_below(r, n);
    while (n % divisor != 0) {
        divisor--;
    }
    return divisor;
}

/* Polynomials on arguments with functions use exp itself as the expectation: compare with exact = true there. */
static inline void random_circuit_make(ddt_context *ctx, random_circuit *r, uint64_t seed, size_t lanes, size_t block,
                                       size_t steps, unsigned depth_max) {
    static const char *const names[RANDOM_INPUTS] = {"a", "b", "c"};
    *r = (random_circuit){
        .ctx = ctx, .lanes = lanes, .block = block, .slots = lanes * block, .random = seed, .depth_max = depth_max};
    assert_ok(ctx, ddt_circuit_create(ctx, lanes, block, &r->circuit));
    r->inputs = test_random_rows(&r->random, RANDOM_INPUTS, r->slots, 1.0);
    for (size_t i = 0; i < RANDOM_INPUTS; i++) {
        random_node *n = random_append(r, ddt_circuit_input(r->circuit, names[i], 1.0), 0, 1.0);
        memcpy(n->values, r->inputs[i], r->slots * sizeof(double));
    }
    /* Of their own in each lane, alike in all lanes, or alike after some. */
    const size_t periods[] = {random_divisor(r, r->lanes), random_divisor(r, r->lanes)};
    enum { PUBLICS = sizeof periods / sizeof periods[0] };
    double **publics = test_random_rows(&r->random, PUBLICS, r->slots, 1.0);
    for (size_t i = 0; i < PUBLICS; i++) {
        for (size_t s = periods[i] * r->block; s < r->slots; s++) {
            publics[i][s] = publics[i][s - periods[i] * r->block];
        }
    }
    for (size_t i = 0; i < PUBLICS; i++) {
        random_node *n = random_append(r, ddt_circuit_public(r->circuit, publics[i]), 0, 1.0);
        memcpy(n->values, publics[i], r->slots * sizeof(double));
    }
    test_free_rows(publics);
    for (size_t i = 0; i < steps && r->count + 2 < RANDOM_NODES_MAX; i++) {
        random_step(r);
    }
    /* The last nodes, and some others. */
    r->output_count = 1 + random_below(r, RANDOM_OUTPUTS_MAX - 1);
    for (size_t o = 0; o < r->output_count; o++) {
        char name[32];
        (void)snprintf(name, sizeof name, "out%zu", o);
        r->outputs[o] = o < 2 ? r->count - 1 - o : random_below(r, r->count);
        ddt_circuit_output(r->circuit, name, r->nodes[r->outputs[o]].node);
    }
    assert_ok(ctx, ddt_circuit_status(r->circuit));
}

static inline void random_circuit_free(random_circuit *r) {
    for (size_t i = 0; i < r->count; i++) {
        free(r->nodes[i].values);
        free(r->nodes[i].valid);
    }
    test_free_rows(r->inputs);
    ddt_circuit_destroy(r->circuit);
}

/* The largest difference of outputs over the slots that have a meaning. */
static inline double random_difference(const random_circuit *r, double *const *got, double *const *expected) {
    double worst = 0.0;
    for (size_t o = 0; o < r->output_count; o++) {
        const random_node *n = &r->nodes[r->outputs[o]];
        for (size_t s = 0; s < r->slots; s++) {
            double difference = n->valid[s] ? fabs(got[o][s] - expected[o][s]) : 0.0;
            worst = difference <= worst ? worst : difference;
        }
    }
    return worst;
}

/* The same against the values worked out while building. */
static inline double random_error(const random_circuit *r, double *const *got) {
    double *expected[RANDOM_OUTPUTS_MAX];
    for (size_t o = 0; o < r->output_count; o++) {
        expected[o] = r->nodes[r->outputs[o]].values;
    }
    return random_difference(r, got, expected);
}

#endif
