/* Analysis, substitution and derivatives of expressions. SPDX-License-Identifier: Apache-2.0 */
#include "expr_private.h"

#include <math.h>

uint8_t *expr_mark(const ddt_expr_pool *pool, const ddt_expr *roots, size_t count, size_t *limit) {
    size_t top = 0;
    for (size_t i = 0; i < count; i++) {
        if (!expr_valid(pool, roots[i])) {
            return NULL;
        }
        top = roots[i] >= top ? (size_t)roots[i] + 1 : top;
    }
    uint8_t *marks = ddt_calloc(top, 1);
    if (marks == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        marks[roots[i]] = 1;
    }
    for (size_t i = top; i-- > 0;) {
        if (marks[i] != 0) {
            ddt_expr operands[3] = {0};
            unsigned arity = expr_operands(&pool->nodes[i], operands);
            for (unsigned k = 0; k < arity; k++) {
                marks[operands[k]] = 1;
            }
        }
    }
    *limit = top;
    return marks;
}

static ddt_status mark_failure(ddt_context *ctx, const ddt_expr_pool *pool, const ddt_expr *roots, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!expr_valid(pool, roots[i])) {
            return ddt_fail(ctx, DDT_ERR_ARGUMENT, "Expression %zu of a list is not in its pool.", i);
        }
    }
    return ddt_fail(ctx, DDT_ERR_MEMORY, "No memory to walk through %zu expressions.", pool->count);
}

ddt_status ddt_expr_symbols(ddt_context *ctx, const ddt_expr_pool *pool, const ddt_expr *expressions,
                            size_t expression_count, bool *used, size_t count) {
    size_t limit = 0;
    uint8_t *marks = expr_mark(pool, expressions, expression_count, &limit);
    if (marks == NULL) {
        return mark_failure(ctx, pool, expressions, expression_count);
    }
    for (size_t i = 0; i < limit; i++) {
        const ddt_expr_node *node = &pool->nodes[i];
        if (marks[i] != 0 && node->op == DDT_EXPR_SYMBOL && node->symbol < count) {
            used[node->symbol] = true;
        }
    }
    ddt_free(marks);
    return DDT_OK;
}

ddt_status ddt_expr_topological(ddt_context *ctx, const ddt_expr_pool *pool, const ddt_expr *expressions,
                                size_t expression_count, ddt_expr **order, size_t *order_count) {
    size_t limit = 0;
    uint8_t *marks = expr_mark(pool, expressions, expression_count, &limit);
    if (marks == NULL) {
        return mark_failure(ctx, pool, expressions, expression_count);
    }
    size_t found = 0;
    for (size_t i = 0; i < limit; i++) {
        found += marks[i];
    }
    ddt_expr *list = ddt_alloc(found, sizeof *list);
    if (list == NULL) {
        ddt_free(marks);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "No memory to walk through %zu expressions.", found);
    }
    size_t at = 0;
    for (size_t i = 0; i < limit; i++) {
        if (marks[i] != 0) {
            list[at++] = (ddt_expr)i;
        }
    }
    ddt_free(marks);
    *order = list;
    *order_count = found;
    return DDT_OK;
}

bool ddt_expr_depends_on(const ddt_expr_pool *pool, ddt_expr e, uint32_t symbol) {
    size_t limit = 0;
    uint8_t *marks = expr_mark(pool, &e, 1, &limit);
    if (marks == NULL) {
        return true; /* the cautious answer when memory is short */
    }
    bool found = false;
    for (size_t i = 0; i < limit && !found; i++) {
        found = marks[i] != 0 && pool->nodes[i].op == DDT_EXPR_SYMBOL && pool->nodes[i].symbol == symbol;
    }
    ddt_free(marks);
    return found;
}

/* ------------------------------------------------------------------ degree */

static uint32_t degree_add(uint32_t a, uint32_t b) {
    return a > DDT_EXPR_NOT_POLYNOMIAL - 1 - b || a == DDT_EXPR_NOT_POLYNOMIAL || b == DDT_EXPR_NOT_POLYNOMIAL
               ? DDT_EXPR_NOT_POLYNOMIAL
               : a + b;
}

static uint32_t degree_pow(const ddt_expr_pool *pool, const ddt_expr_node *node, uint32_t base, uint32_t exponent) {
    const double highest = 64; /* powers beyond this are no polynomials that anyone would want to expand */
    double value = 0;
    if (base == 0 && exponent == 0) {
        return 0;
    }
    if (base == DDT_EXPR_NOT_POLYNOMIAL || !ddt_expr_is_const(pool, node->b, &value) || value < 0 || value > highest ||
        floor(value) < value || base > (uint32_t)highest) {
        return DDT_EXPR_NOT_POLYNOMIAL;
    }
    return base * (uint32_t)value;
}

static uint32_t node_degree(const ddt_expr_pool *pool, const ddt_expr_node *node, const uint32_t *degrees) {
    uint32_t a = node->a == DDT_EXPR_NONE ? 0 : degrees[node->a];
    uint32_t b = node->b == DDT_EXPR_NONE ? 0 : degrees[node->b];
    uint32_t c = node->c == DDT_EXPR_NONE ? 0 : degrees[node->c];
    switch (node->op) {
    case DDT_EXPR_NEG:
        return a;
    case DDT_EXPR_ADD:
    case DDT_EXPR_SUB:
        return a > b ? a : b;
    case DDT_EXPR_MUL:
        return degree_add(a, b);
    case DDT_EXPR_DIV:
        return b == 0 ? a : DDT_EXPR_NOT_POLYNOMIAL;
    case DDT_EXPR_POW:
        return degree_pow(pool, node, a, b);
    case DDT_EXPR_IF:
        return a != 0 ? DDT_EXPR_NOT_POLYNOMIAL : (b > c ? b : c);
    default:
        return a == 0 && b == 0 ? 0 : DDT_EXPR_NOT_POLYNOMIAL;
    }
}

uint32_t ddt_expr_degree(const ddt_expr_pool *pool, ddt_expr e, const bool *in_set, size_t count) {
    size_t limit = 0;
    uint8_t *marks = expr_mark(pool, &e, 1, &limit);
    uint32_t *degrees = ddt_alloc(limit, sizeof *degrees);
    uint32_t result = DDT_EXPR_NOT_POLYNOMIAL;
    if (marks != NULL && degrees != NULL) {
        for (size_t i = 0; i < limit; i++) {
            const ddt_expr_node *node = &pool->nodes[i];
            if (marks[i] == 0 || node->op == DDT_EXPR_CONST) {
                degrees[i] = 0;
            } else if (node->op == DDT_EXPR_SYMBOL) {
                degrees[i] = node->symbol < count && in_set[node->symbol] ? 1 : 0;
            } else {
                degrees[i] = node_degree(pool, node, degrees);
            }
        }
        result = degrees[e];
    }
    ddt_free(marks);
    ddt_free(degrees);
    return result;
}

bool ddt_expr_is_affine(const ddt_expr_pool *pool, ddt_expr e, const bool *in_set, size_t count) {
    return ddt_expr_degree(pool, e, in_set, count) <= 1;
}

/* ------------------------------------------------------------------ substitution */

static ddt_expr rebuild(ddt_expr_pool *pool, ddt_expr_node node, ddt_expr a, ddt_expr b, ddt_expr c) {
    switch (ddt_expr_arity(node.op)) {
    case 1:
        return ddt_expr_unary(pool, node.op, a);
    case 2:
        return ddt_expr_binary(pool, node.op, a, b);
    default:
        return ddt_expr_if(pool, a, b, c);
    }
}

/* What node i becomes, its operands having become images[]. */
static ddt_expr image_of(ddt_expr_pool *pool, ddt_expr i, const ddt_expr *images, const ddt_expr *replacements,
                         size_t count) {
    ddt_expr_node node = pool->nodes[i]; /* a copy: building moves the pool */
    if (node.op == DDT_EXPR_CONST) {
        return i;
    }
    if (node.op == DDT_EXPR_SYMBOL) {
        bool replaced = node.symbol < count && replacements[node.symbol] != DDT_EXPR_NONE;
        return replaced ? replacements[node.symbol] : i;
    }
    ddt_expr a = images[node.a];
    ddt_expr b = node.b == DDT_EXPR_NONE ? DDT_EXPR_NONE : images[node.b];
    ddt_expr c = node.c == DDT_EXPR_NONE ? DDT_EXPR_NONE : images[node.c];
    return a == node.a && b == node.b && c == node.c ? i : rebuild(pool, node, a, b, c);
}

ddt_expr ddt_expr_substitute_all(ddt_expr_pool *pool, ddt_expr e, const ddt_expr *replacements, size_t count) {
    size_t limit = 0;
    uint8_t *marks = expr_mark(pool, &e, 1, &limit);
    ddt_expr *images = ddt_alloc(limit, sizeof *images);
    ddt_expr result = DDT_EXPR_NONE;
    if (marks != NULL && images != NULL) {
        for (size_t i = 0; i < limit; i++) {
            images[i] = marks[i] == 0 ? (ddt_expr)i : image_of(pool, (ddt_expr)i, images, replacements, count);
        }
        result = images[e];
    }
    ddt_free(marks);
    ddt_free(images);
    return result;
}

ddt_expr ddt_expr_substitute(ddt_expr_pool *pool, ddt_expr e, uint32_t symbol, ddt_expr replacement) {
    if (!expr_valid(pool, e) || !expr_valid(pool, replacement)) {
        return DDT_EXPR_NONE;
    }
    size_t count = (size_t)symbol + 1;
    ddt_expr *replacements = ddt_alloc(count, sizeof *replacements);
    if (replacements == NULL) {
        pool->status = DDT_ERR_MEMORY;
        return DDT_EXPR_NONE;
    }
    for (size_t i = 0; i < count; i++) {
        replacements[i] = DDT_EXPR_NONE;
    }
    replacements[symbol] = replacement;
    ddt_expr result = ddt_expr_substitute_all(pool, e, replacements, count);
    ddt_free(replacements);
    return result;
}

/* ------------------------------------------------------------------ derivative */

static ddt_expr mul(ddt_expr_pool *pool, ddt_expr a, ddt_expr b) { return ddt_expr_binary(pool, DDT_EXPR_MUL, a, b); }
static ddt_expr divide(ddt_expr_pool *pool, ddt_expr a, ddt_expr b) {
    return ddt_expr_binary(pool, DDT_EXPR_DIV, a, b);
}
static ddt_expr add(ddt_expr_pool *pool, ddt_expr a, ddt_expr b) { return ddt_expr_binary(pool, DDT_EXPR_ADD, a, b); }
static ddt_expr sub(ddt_expr_pool *pool, ddt_expr a, ddt_expr b) { return ddt_expr_binary(pool, DDT_EXPR_SUB, a, b); }

/* f'(a) for a function of one operand; e is f(a) itself. */
static ddt_expr outer_derivative(ddt_expr_pool *pool, ddt_expr e, ddt_expr_node node) {
    ddt_expr zero = ddt_expr_const(pool, 0);
    ddt_expr one = ddt_expr_const(pool, 1);
    switch (node.op) {
    case DDT_EXPR_NEG:
        return ddt_expr_const(pool, -1);
    case DDT_EXPR_EXP:
        return e;
    case DDT_EXPR_LOG:
        return divide(pool, one, node.a);
    case DDT_EXPR_SQRT:
        return divide(pool, ddt_expr_const(pool, 0.5), e); /* 1 / (2 sqrt a) */
    case DDT_EXPR_ABS:
        return ddt_expr_if(pool, ddt_expr_binary(pool, DDT_EXPR_LT, node.a, zero), ddt_expr_const(pool, -1), one);
    case DDT_EXPR_GAMMA:
        return mul(pool, e, ddt_expr_binary(pool, DDT_EXPR_POLYGAMMA, zero, node.a));
    case DDT_EXPR_LGAMMA:
        return ddt_expr_binary(pool, DDT_EXPR_POLYGAMMA, zero, node.a);
    case DDT_EXPR_SIN:
        return ddt_expr_unary(pool, DDT_EXPR_COS, node.a);
    case DDT_EXPR_COS:
        return ddt_expr_unary(pool, DDT_EXPR_NEG, ddt_expr_unary(pool, DDT_EXPR_SIN, node.a));
    case DDT_EXPR_TANH:
        return sub(pool, one, mul(pool, e, e));
    default:
        return zero; /* floor, not */
    }
}

static ddt_expr power_derivative(ddt_expr_pool *pool, ddt_expr e, ddt_expr_node node, ddt_expr da, ddt_expr db) {
    ddt_expr lower = ddt_expr_binary(pool, DDT_EXPR_POW, node.a, sub(pool, node.b, ddt_expr_const(pool, 1)));
    ddt_expr by_base = mul(pool, mul(pool, node.b, lower), da);
    if (ddt_expr_is_const(pool, db, NULL)) {
        double value = 1;
        (void)ddt_expr_is_const(pool, db, &value);
        if (value == 0) {
            return by_base;
        }
    }
    return add(pool, by_base, mul(pool, mul(pool, e, ddt_expr_unary(pool, DDT_EXPR_LOG, node.a)), db));
}

static ddt_expr binary_derivative(ddt_expr_pool *pool, ddt_expr e, ddt_expr_node node, ddt_expr da, ddt_expr db) {
    switch (node.op) {
    case DDT_EXPR_ADD:
        return add(pool, da, db);
    case DDT_EXPR_SUB:
        return sub(pool, da, db);
    case DDT_EXPR_MUL:
        return add(pool, mul(pool, da, node.b), mul(pool, node.a, db));
    case DDT_EXPR_DIV: /* a'/b - (a/b) b'/b: no b^2, and a/b is shared */
        return sub(pool, divide(pool, da, node.b), divide(pool, mul(pool, e, db), node.b));
    case DDT_EXPR_POW:
        return power_derivative(pool, e, node, da, db);
    case DDT_EXPR_MIN:
        return ddt_expr_if(pool, ddt_expr_binary(pool, DDT_EXPR_LE, node.a, node.b), da, db);
    case DDT_EXPR_MAX:
        return ddt_expr_if(pool, ddt_expr_binary(pool, DDT_EXPR_LE, node.b, node.a), da, db);
    case DDT_EXPR_POLYGAMMA: {
        ddt_expr order = add(pool, node.a, ddt_expr_const(pool, 1));
        return mul(pool, ddt_expr_binary(pool, DDT_EXPR_POLYGAMMA, order, node.b), db);
    }
    default:
        return ddt_expr_const(pool, 0); /* comparisons and logic */
    }
}

static ddt_expr node_derivative(ddt_expr_pool *pool, ddt_expr e, const ddt_expr *slopes) {
    ddt_expr_node node = pool->nodes[e];
    ddt_expr da = slopes[node.a];
    switch (ddt_expr_arity(node.op)) {
    case 1: {
        double value = 1;
        if (ddt_expr_is_const(pool, da, &value) && value == 0) {
            return da;
        }
        return mul(pool, outer_derivative(pool, e, node), da);
    }
    case 2:
        return binary_derivative(pool, e, node, da, slopes[node.b]);
    default:
        return ddt_expr_if(pool, node.a, slopes[node.b], slopes[node.c]);
    }
}

ddt_expr ddt_expr_derivative(ddt_expr_pool *pool, ddt_expr e, uint32_t symbol) {
    size_t limit = 0;
    uint8_t *marks = expr_mark(pool, &e, 1, &limit);
    ddt_expr *slopes = ddt_alloc(limit, sizeof *slopes);
    ddt_expr zero = ddt_expr_const(pool, 0);
    ddt_expr one = ddt_expr_const(pool, 1);
    ddt_expr result = DDT_EXPR_NONE;
    if (marks != NULL && slopes != NULL) {
        for (size_t i = 0; i < limit; i++) {
            slopes[i] = zero;
            if (marks[i] == 0 || pool->nodes[i].op == DDT_EXPR_CONST) {
                continue;
            }
            if (pool->nodes[i].op == DDT_EXPR_SYMBOL) {
                slopes[i] = pool->nodes[i].symbol == symbol ? one : zero;
            } else {
                slopes[i] = node_derivative(pool, (ddt_expr)i, slopes);
            }
        }
        result = slopes[e];
    }
    ddt_free(marks);
    ddt_free(slopes);
    return result;
}
