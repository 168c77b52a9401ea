/*
 * ddt/pharma/expr.h - symbolic expressions of drug models.
 *
 * Expressions live in a pool and are named by index; equal expressions have equal indices (hash-consing), so that
 * common sub-expressions are found by construction. Building an expression folds constants and applies the identities
 * that are exact (x+0, x*1, x*0, exp(log x), ...).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_PHARMA_EXPR_H
#define DDT_PHARMA_EXPR_H

#include "ddt/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef uint32_t ddt_expr; /* index into a pool */
#define DDT_EXPR_NONE UINT32_MAX

typedef enum ddt_expr_op {
    DDT_EXPR_CONST,  /* value */
    DDT_EXPR_SYMBOL, /* symbol index, see ddt_model */
    DDT_EXPR_ADD,
    DDT_EXPR_SUB,
    DDT_EXPR_MUL,
    DDT_EXPR_DIV,
    DDT_EXPR_NEG,
    DDT_EXPR_POW,
    DDT_EXPR_EXP,
    DDT_EXPR_LOG,
    DDT_EXPR_SQRT,
    DDT_EXPR_ABS,
    DDT_EXPR_MIN,
    DDT_EXPR_MAX,
    DDT_EXPR_GAMMA,
    DDT_EXPR_LGAMMA,
    DDT_EXPR_SIN,
    DDT_EXPR_COS,
    DDT_EXPR_TANH,
    DDT_EXPR_FLOOR,
    DDT_EXPR_LT, /* comparisons and logic: 1 or 0 */
    DDT_EXPR_LE,
    DDT_EXPR_EQ,
    DDT_EXPR_AND,
    DDT_EXPR_OR,
    DDT_EXPR_NOT,
    DDT_EXPR_IF,       /* a != 0 ? b : c */
    DDT_EXPR_POLYGAMMA /* a: order (a constant >= 0), b: argument; order 0 is digamma. Appears when lgamma() is
                          differentiated */
} ddt_expr_op;

typedef struct ddt_expr_node {
    ddt_expr_op op;
    ddt_expr a, b, c; /* operands, DDT_EXPR_NONE where absent */
    double value;     /* CONST */
    uint32_t symbol;  /* SYMBOL */
} ddt_expr_node;

/* Nodes that one pool holds at most: hostile models end here, not in swap. */
#define DDT_EXPR_POOL_MAX ((size_t)1 << 20)

typedef struct ddt_expr_pool ddt_expr_pool;
/* An empty pool; the caller owns *out, NULL on failure. */
DDT_MUST_CHECK ddt_status ddt_expr_pool_create(ddt_context *ctx, ddt_expr_pool **out);
/* Frees all nodes: no ddt_expr of the pool means anything then. NULL is allowed. */
void ddt_expr_pool_destroy(ddt_expr_pool *pool);
/* Nodes so far. */
size_t ddt_expr_pool_count(const ddt_expr_pool *pool);
/* Why a builder returned DDT_EXPR_NONE: DDT_OK, DDT_ERR_MEMORY or DDT_ERR_CAPACITY (DDT_EXPR_POOL_MAX reached). Sticky.
 */
ddt_status ddt_expr_pool_status(const ddt_expr_pool *pool);
/* Operands of an operation: 0 (CONST, SYMBOL) to 3. The operands of a node have smaller indices than the node itself.
 */
unsigned ddt_expr_arity(ddt_expr_op op);
/* Valid until the next expression is built. */
const ddt_expr_node *ddt_expr_get(const ddt_expr_pool *pool, ddt_expr e);

/* Builders return DDT_EXPR_NONE when memory is short or an operand is DDT_EXPR_NONE: check once at the end. */
ddt_expr ddt_expr_const(ddt_expr_pool *pool, double value);
ddt_expr ddt_expr_symbol(ddt_expr_pool *pool, uint32_t symbol);
ddt_expr ddt_expr_unary(ddt_expr_pool *pool, ddt_expr_op op, ddt_expr a);
ddt_expr ddt_expr_binary(ddt_expr_pool *pool, ddt_expr_op op, ddt_expr a, ddt_expr b);
ddt_expr ddt_expr_if(ddt_expr_pool *pool, ddt_expr condition, ddt_expr then_value, ddt_expr else_value);
/* a > b, a >= b and a != b are written with LT, LE, NOT and EQ; log10 and the like with LOG. */
bool ddt_expr_is_const(const ddt_expr_pool *pool, ddt_expr e, double *value);

/* d e / d symbol, simplified. Comparisons, floor and conditions have derivative 0; abs, min, max differentiate
 * piecewise. */
ddt_expr ddt_expr_derivative(ddt_expr_pool *pool, ddt_expr e, uint32_t symbol);
/* e with symbol replaced by an expression. */
ddt_expr ddt_expr_substitute(ddt_expr_pool *pool, ddt_expr e, uint32_t symbol, ddt_expr replacement);
/* e with every symbol i < count whose replacements[i] is not DDT_EXPR_NONE replaced, all at once. */
ddt_expr ddt_expr_substitute_all(ddt_expr_pool *pool, ddt_expr e, const ddt_expr *replacements, size_t count);
/*
 * The symbols that a list of expressions reads: used[i] is set to true for each symbol i < count found, and left alone
 * otherwise. Errors: DDT_ERR_MEMORY, DDT_ERR_ARGUMENT (an expression is DDT_EXPR_NONE).
 */
DDT_MUST_CHECK ddt_status ddt_expr_symbols(ddt_context *ctx, const ddt_expr_pool *pool, const ddt_expr *expressions,
                                           size_t expression_count, bool *used, size_t count);
/*
 * The nodes that a list of expressions needs, operands before users, each once: *order (ddt_free) has *order_count
 * indices. Errors: DDT_ERR_MEMORY, DDT_ERR_ARGUMENT.
 */
DDT_MUST_CHECK ddt_status ddt_expr_topological(ddt_context *ctx, const ddt_expr_pool *pool, const ddt_expr *expressions,
                                               size_t expression_count, ddt_expr **order, size_t *order_count);
/*
 * Degree of e as a polynomial in the symbols i < count with in_set[i] true: 0 when it does not depend on them, 1 when
 * it is affine in them (coefficients may be any expression of the other symbols), and so on; DDT_EXPR_NOT_POLYNOMIAL
 * when it is not a polynomial, or when memory is short. Syntactic: never too small, but too large where terms would
 * cancel. A condition on the set makes it not a polynomial.
 */
#define DDT_EXPR_NOT_POLYNOMIAL UINT32_MAX
uint32_t ddt_expr_degree(const ddt_expr_pool *pool, ddt_expr e, const bool *in_set, size_t count);
/* ddt_expr_degree <= 1. The coefficient of a symbol is then its derivative, the rest is e with all of them replaced by
 * 0. */
bool ddt_expr_is_affine(const ddt_expr_pool *pool, ddt_expr e, const bool *in_set, size_t count);
bool ddt_expr_depends_on(const ddt_expr_pool *pool, ddt_expr e, uint32_t symbol);
/*
 * Value with symbols[i] = value of symbol i; IEEE rules (may be NaN or infinite; NaN also when memory is short), but
 * for 0 / 0, which is 0. scratch: NULL, or ddt_expr_pool_count doubles of a caller that evaluates often: then every
 * node up to e is evaluated (quick where most of the pool belongs to e).
 */
double ddt_expr_eval(const ddt_expr_pool *pool, ddt_expr e, const double *symbols, double *scratch);
/*
 * Compiles a list of expressions into a straight-line program for fast repeated evaluation (right-hand sides). out[i] =
 * value of expressions[i].
 */
typedef struct ddt_expr_program ddt_expr_program;
DDT_MUST_CHECK ddt_status ddt_expr_compile(ddt_context *ctx, const ddt_expr_pool *pool, const ddt_expr *expressions,
                                           size_t count, ddt_expr_program **out);
/* Thread-safe: a program is only read. Everything is NaN when a program of over 1024 live values finds no memory. */
void ddt_expr_program_run(const ddt_expr_program *program, const double *symbols, double *out);
void ddt_expr_program_destroy(ddt_expr_program *program);
/* Operations that one run of a program executes. */
size_t ddt_expr_program_length(const ddt_expr_program *program);
/* The value of one operation; operands that the operation does not have are ignored. Not for CONST and SYMBOL (NaN). */
double ddt_expr_apply(ddt_expr_op op, double a, double b, double c);
/*
 * The expression as text in the model language, so that reading it back gives the same expression; symbol names from
 * `names`. Text beyond 1 MiB is cut and ends in "...". Caller frees with ddt_free; NULL when memory is short.
 */
char *ddt_expr_print(const ddt_expr_pool *pool, ddt_expr e, const char *const *names);

#ifdef __cplusplus
}
#endif
#endif
