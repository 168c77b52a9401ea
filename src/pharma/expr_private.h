/* Inside of an expression pool. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_PHARMA_EXPR_PRIVATE_H
#define DDT_PHARMA_EXPR_PRIVATE_H

#include "ddt/pharma/expr.h"

struct ddt_expr_pool {
    ddt_context *ctx;
    ddt_expr_node *nodes;
    size_t count;
    size_t capacity;
    ddt_expr *table;   /* open addressing; DDT_EXPR_NONE is an empty place */
    size_t table_size; /* a power of two, at least twice the capacity */
    ddt_status status;
};

/* Operands of a node as an array; the number of them is returned. */
static inline unsigned expr_operands(const ddt_expr_node *node, ddt_expr operands[3]) {
    operands[0] = node->a;
    operands[1] = node->b;
    operands[2] = node->c;
    return ddt_expr_arity(node->op);
}

static inline bool expr_valid(const ddt_expr_pool *pool, ddt_expr e) { return e < pool->count; }

/*
 * Marks the nodes that `count` roots need. Returns an array of *limit flags (ddt_free), *limit being 1 + the largest
 * root; NULL when memory is short or a root is not in the pool.
 */
uint8_t *expr_mark(const ddt_expr_pool *pool, const ddt_expr *roots, size_t count, size_t *limit);

/* psi^(order)(x). */
double expr_polygamma(double order, double x);

/*
 * A program where only the symbols that is_varying names (one entry per symbol of the model) change between most runs:
 * what depends on the others alone is worked out once by ddt_expr_program_fix, into `fixed` (fixed_count values, the
 * caller's), for all runs until one of the others changes. ddt_expr_program_run does not take such a program.
 */
DDT_MUST_CHECK ddt_status ddt_expr_compile_varying(ddt_context *ctx, const ddt_expr_pool *pool,
                                                   const ddt_expr *expressions, size_t count, const bool *is_varying,
                                                   ddt_expr_program **out);
size_t ddt_expr_program_fixed_count(const ddt_expr_program *program);
void ddt_expr_program_fix(const ddt_expr_program *program, const double *symbols, double *fixed);
void ddt_expr_program_run_fixed(const ddt_expr_program *program, const double *symbols, const double *fixed,
                                double *out);

#endif
