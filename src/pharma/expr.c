/* Pool and builders of expressions. SPDX-License-Identifier: Apache-2.0 */
#include "expr_private.h"

#include <math.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

ddt_status ddt_expr_pool_create(ddt_context *ctx, ddt_expr_pool **out) {
    ddt_expr_pool *pool = ddt_calloc(1, sizeof *pool);
    if (pool == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "No memory for the expressions of a model.");
    }
    pool->ctx = ctx;
    *out = pool;
    return DDT_OK;
}

void ddt_expr_pool_destroy(ddt_expr_pool *pool) {
    if (pool != NULL) {
        ddt_free(pool->nodes);
        ddt_free(pool->table);
        ddt_free(pool);
    }
}

size_t ddt_expr_pool_count(const ddt_expr_pool *pool) { return pool->count; }

ddt_status ddt_expr_pool_status(const ddt_expr_pool *pool) { return pool->status; }

const ddt_expr_node *ddt_expr_get(const ddt_expr_pool *pool, ddt_expr e) {
    return expr_valid(pool, e) ? &pool->nodes[e] : NULL;
}

unsigned ddt_expr_arity(ddt_expr_op op) {
    switch (op) {
    case DDT_EXPR_CONST:
    case DDT_EXPR_SYMBOL:
        return 0;
    case DDT_EXPR_NEG:
    case DDT_EXPR_EXP:
    case DDT_EXPR_LOG:
    case DDT_EXPR_SQRT:
    case DDT_EXPR_ABS:
    case DDT_EXPR_GAMMA:
    case DDT_EXPR_LGAMMA:
    case DDT_EXPR_SIN:
    case DDT_EXPR_COS:
    case DDT_EXPR_TANH:
    case DDT_EXPR_FLOOR:
    case DDT_EXPR_NOT:
        return 1;
    case DDT_EXPR_ADD:
    case DDT_EXPR_SUB:
    case DDT_EXPR_MUL:
    case DDT_EXPR_DIV:
    case DDT_EXPR_POW:
    case DDT_EXPR_MIN:
    case DDT_EXPR_MAX:
    case DDT_EXPR_LT:
    case DDT_EXPR_LE:
    case DDT_EXPR_EQ:
    case DDT_EXPR_AND:
    case DDT_EXPR_OR:
    case DDT_EXPR_POLYGAMMA:
        return 2;
    case DDT_EXPR_IF:
        return 3;
    }
    return 0;
}

/* ------------------------------------------------------------------ hash-consing */

static uint64_t bits_of(double value) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint64_t mix(uint64_t h, uint64_t v) {
    /* The finaliser of splitmix64: every input bit reaches every output bit. */
    h ^= v + 0x9E3779B97F4A7C15U + (h << 6) + (h >> 2);
    h ^= h >> 30;
    h *= 0xBF58476D1CE4E5B9U;
    h ^= h >> 27;
    h *= 0x94D049BB133111EBU;
    return h ^ (h >> 31);
}

static uint64_t node_hash(const ddt_expr_node *node) {
    uint64_t h = mix((uint64_t)node->op, ((uint64_t)node->a << 32) | node->b);
    return mix(mix(h, ((uint64_t)node->c << 32) | node->symbol), bits_of(node->value));
}

static bool same_node(const ddt_expr_node *x, const ddt_expr_node *y) {
    return x->op == y->op && x->a == y->a && x->b == y->b && x->c == y->c && x->symbol == y->symbol &&
           bits_of(x->value) == bits_of(y->value);
}

static void table_insert(ddt_expr *table, size_t size, const ddt_expr_node *nodes, ddt_expr e) {
    size_t place = node_hash(&nodes[e]) & (size - 1);
    while (table[place] != DDT_EXPR_NONE) {
        place = (place + 1) & (size - 1);
    }
    table[place] = e;
}

static bool pool_grow(ddt_expr_pool *pool) {
    size_t capacity = pool->capacity == 0 ? FIRST_CAPACITY : 2 * pool->capacity;
    if (pool->count >= DDT_EXPR_POOL_MAX) {
        pool->status = DDT_ERR_CAPACITY;
        return false;
    }
    size_t table_size = 2 * capacity;
    ddt_expr *table = ddt_alloc(table_size, sizeof *table);
    if (table == NULL) {
        pool->status = DDT_ERR_MEMORY;
        return false;
    }
    ddt_expr_node *nodes = ddt_realloc(pool->nodes, pool->count, capacity, sizeof *nodes);
    if (nodes == NULL) {
        ddt_free(table);
        pool->status = DDT_ERR_MEMORY;
        return false;
    }
    for (size_t i = 0; i < table_size; i++) {
        table[i] = DDT_EXPR_NONE;
    }
    for (size_t i = 0; i < pool->count; i++) {
        table_insert(table, table_size, nodes, (ddt_expr)i);
    }
    ddt_free(pool->table);
    pool->nodes = nodes;
    pool->capacity = capacity;
    pool->table = table;
    pool->table_size = table_size;
    return true;
}

static ddt_expr intern(ddt_expr_pool *pool, ddt_expr_node node) {
    if (pool->table_size > 0) {
        size_t place = node_hash(&node) & (pool->table_size - 1);
        while (pool->table[place] != DDT_EXPR_NONE) {
            if (same_node(&pool->nodes[pool->table[place]], &node)) {
                return pool->table[place];
            }
            place = (place + 1) & (pool->table_size - 1);
        }
    }
    if (pool->count == pool->capacity && !pool_grow(pool)) {
        return DDT_EXPR_NONE;
    }
    ddt_expr e = (ddt_expr)pool->count;
    pool->nodes[e] = node;
    pool->count++;
    table_insert(pool->table, pool->table_size, pool->nodes, e);
    return e;
}

ddt_expr ddt_expr_const(ddt_expr_pool *pool, double value) {
    if (isnan(value)) {
        value = NAN; /* one NaN, so that equal constants have equal indices */
    }
    return intern(pool, (ddt_expr_node){.op = DDT_EXPR_CONST,
                                        .a = DDT_EXPR_NONE,
                                        .b = DDT_EXPR_NONE,
                                        .c = DDT_EXPR_NONE,
                                        .value = value == 0 ? 0.0 : value});
}

ddt_expr ddt_expr_symbol(ddt_expr_pool *pool, uint32_t symbol) {
    return intern(
        pool, (ddt_expr_node){
                  .op = DDT_EXPR_SYMBOL, .a = DDT_EXPR_NONE, .b = DDT_EXPR_NONE, .c = DDT_EXPR_NONE, .symbol = symbol});
}

static ddt_expr make(ddt_expr_pool *pool, ddt_expr_op op, ddt_expr a, ddt_expr b, ddt_expr c) {
    return intern(pool, (ddt_expr_node){.op = op, .a = a, .b = b, .c = c});
}

bool ddt_expr_is_const(const ddt_expr_pool *pool, ddt_expr e, double *value) {
    if (!expr_valid(pool, e) || pool->nodes[e].op != DDT_EXPR_CONST) {
        return false;
    }
    if (value != NULL) {
        *value = pool->nodes[e].value;
    }
    return true;
}

static bool is_value(const ddt_expr_pool *pool, ddt_expr e, double value) {
    return pool->nodes[e].op == DDT_EXPR_CONST && pool->nodes[e].value == value;
}

static bool is_op(const ddt_expr_pool *pool, ddt_expr e, ddt_expr_op op) { return pool->nodes[e].op == op; }

/* True for expressions whose only values are 0 and 1. */
static bool is_boolean(const ddt_expr_pool *pool, ddt_expr e) {
    ddt_expr_op op = pool->nodes[e].op;
    return (op >= DDT_EXPR_LT && op <= DDT_EXPR_NOT) || is_value(pool, e, 0) || is_value(pool, e, 1);
}

/* ------------------------------------------------------------------ builders */

static ddt_expr as_boolean(ddt_expr_pool *pool, ddt_expr e) {
    if (is_boolean(pool, e)) {
        return e;
    }
    return ddt_expr_unary(pool, DDT_EXPR_NOT, ddt_expr_unary(pool, DDT_EXPR_NOT, e));
}

ddt_expr ddt_expr_unary(ddt_expr_pool *pool, ddt_expr_op op, ddt_expr a) {
    if (!expr_valid(pool, a) || ddt_expr_arity(op) != 1) {
        return DDT_EXPR_NONE;
    }
    ddt_expr_node node = pool->nodes[a];
    if (node.op == DDT_EXPR_CONST) {
        return ddt_expr_const(pool, ddt_expr_apply(op, node.value, 0, 0));
    }
    if (op == DDT_EXPR_NEG && node.op == DDT_EXPR_NEG) {
        return node.a;
    }
    if (op == DDT_EXPR_NEG && node.op == DDT_EXPR_SUB) {
        return ddt_expr_binary(pool, DDT_EXPR_SUB, node.b, node.a);
    }
    if ((op == DDT_EXPR_EXP && node.op == DDT_EXPR_LOG) || (op == DDT_EXPR_LOG && node.op == DDT_EXPR_EXP)) {
        return node.a;
    }
    if (op == DDT_EXPR_NOT && node.op == DDT_EXPR_NOT && is_boolean(pool, node.a)) {
        return node.a;
    }
    if (op == DDT_EXPR_ABS && (node.op == DDT_EXPR_ABS || node.op == DDT_EXPR_EXP || node.op == DDT_EXPR_SQRT)) {
        return a;
    }
    return make(pool, op, a, DDT_EXPR_NONE, DDT_EXPR_NONE);
}

static ddt_expr negate(ddt_expr_pool *pool, ddt_expr e) { return ddt_expr_unary(pool, DDT_EXPR_NEG, e); }

static ddt_expr build_add(ddt_expr_pool *pool, ddt_expr a, ddt_expr b) {
    if (is_value(pool, a, 0)) {
        return b;
    }
    if (is_value(pool, b, 0)) {
        return a;
    }
    if (is_op(pool, b, DDT_EXPR_NEG)) {
        return ddt_expr_binary(pool, DDT_EXPR_SUB, a, pool->nodes[b].a);
    }
    if (is_op(pool, a, DDT_EXPR_NEG)) {
        return ddt_expr_binary(pool, DDT_EXPR_SUB, b, pool->nodes[a].a);
    }
    return make(pool, DDT_EXPR_ADD, a < b ? a : b, a < b ? b : a, DDT_EXPR_NONE);
}

static ddt_expr build_sub(ddt_expr_pool *pool, ddt_expr a, ddt_expr b) {
    if (is_value(pool, b, 0)) {
        return a;
    }
    if (is_value(pool, a, 0)) {
        return negate(pool, b);
    }
    if (a == b) {
        return ddt_expr_const(pool, 0);
    }
    if (is_op(pool, b, DDT_EXPR_NEG)) {
        return ddt_expr_binary(pool, DDT_EXPR_ADD, a, pool->nodes[b].a);
    }
    return make(pool, DDT_EXPR_SUB, a, b, DDT_EXPR_NONE);
}

static ddt_expr build_mul(ddt_expr_pool *pool, ddt_expr a, ddt_expr b) {
    if (is_value(pool, a, 0) || is_value(pool, b, 0)) {
        return ddt_expr_const(pool, 0);
    }
    if (is_value(pool, a, 1)) {
        return b;
    }
    if (is_value(pool, b, 1)) {
        return a;
    }
    if (is_value(pool, a, -1)) {
        return negate(pool, b);
    }
    if (is_value(pool, b, -1)) {
        return negate(pool, a);
    }
    if (is_op(pool, a, DDT_EXPR_NEG)) {
        return negate(pool, ddt_expr_binary(pool, DDT_EXPR_MUL, pool->nodes[a].a, b));
    }
    if (is_op(pool, b, DDT_EXPR_NEG)) {
        return negate(pool, ddt_expr_binary(pool, DDT_EXPR_MUL, a, pool->nodes[b].a));
    }
    return make(pool, DDT_EXPR_MUL, a < b ? a : b, a < b ? b : a, DDT_EXPR_NONE);
}

/* a / b where b is a factor of a, DDT_EXPR_NONE where it is not: the limit also where b is 0, as in C / (C + K) with K
 * = 0.
 */
static ddt_expr cancel(ddt_expr_pool *pool, ddt_expr a, ddt_expr b) {
    if (is_op(pool, b, DDT_EXPR_CONST)) {
        return DDT_EXPR_NONE;
    }
    if (a == b) {
        return ddt_expr_const(pool, 1);
    }
    if (is_op(pool, a, DDT_EXPR_MUL) && pool->nodes[a].b == b) {
        return pool->nodes[a].a;
    }
    if (is_op(pool, a, DDT_EXPR_MUL) && pool->nodes[a].a == b) {
        return pool->nodes[a].b;
    }
    return DDT_EXPR_NONE;
}

static ddt_expr build_div(ddt_expr_pool *pool, ddt_expr a, ddt_expr b) {
    const ddt_expr cancelled = cancel(pool, a, b);
    if (cancelled != DDT_EXPR_NONE) {
        return cancelled;
    }
    if (is_value(pool, b, 1)) {
        return a;
    }
    if (is_value(pool, a, 0) && !is_op(pool, b, DDT_EXPR_CONST)) {
        return a;
    }
    if (is_value(pool, b, -1)) {
        return negate(pool, a);
    }
    if (is_op(pool, a, DDT_EXPR_NEG)) {
        return negate(pool, ddt_expr_binary(pool, DDT_EXPR_DIV, pool->nodes[a].a, b));
    }
    if (is_op(pool, b, DDT_EXPR_NEG)) {
        return negate(pool, ddt_expr_binary(pool, DDT_EXPR_DIV, a, pool->nodes[b].a));
    }
    return make(pool, DDT_EXPR_DIV, a, b, DDT_EXPR_NONE);
}

static ddt_expr build_pow(ddt_expr_pool *pool, ddt_expr a, ddt_expr b) {
    const double half = 0.5;
    if (is_value(pool, b, 0) || is_value(pool, a, 1)) {
        return ddt_expr_const(pool, 1);
    }
    if (is_value(pool, b, 1)) {
        return a;
    }
    if (is_value(pool, b, 2)) {
        return ddt_expr_binary(pool, DDT_EXPR_MUL, a, a);
    }
    if (is_value(pool, b, -1)) {
        return ddt_expr_binary(pool, DDT_EXPR_DIV, ddt_expr_const(pool, 1), a);
    }
    if (is_value(pool, b, half)) {
        return ddt_expr_unary(pool, DDT_EXPR_SQRT, a);
    }
    return make(pool, DDT_EXPR_POW, a, b, DDT_EXPR_NONE);
}

/* AND and OR; `absorbing` is the value that decides alone: 0 for AND, 1 for OR. */
static ddt_expr build_logic(ddt_expr_pool *pool, ddt_expr_op op, ddt_expr a, ddt_expr b) {
    bool absorbing = op == DDT_EXPR_OR;
    for (int side = 0; side < 2; side++) {
        ddt_expr here = side == 0 ? a : b;
        double value = 0;
        if (ddt_expr_is_const(pool, here, &value)) {
            bool truth = value != 0;
            return truth == absorbing ? ddt_expr_const(pool, absorbing ? 1 : 0) : as_boolean(pool, side == 0 ? b : a);
        }
    }
    if (a == b) {
        return as_boolean(pool, a);
    }
    return make(pool, op, a < b ? a : b, a < b ? b : a, DDT_EXPR_NONE);
}

static ddt_expr build_compare(ddt_expr_pool *pool, ddt_expr_op op, ddt_expr a, ddt_expr b) {
    if (a == b) {
        return ddt_expr_const(pool, op == DDT_EXPR_LT ? 0 : 1);
    }
    if (op == DDT_EXPR_EQ && a > b) {
        return make(pool, op, b, a, DDT_EXPR_NONE);
    }
    return make(pool, op, a, b, DDT_EXPR_NONE);
}

ddt_expr ddt_expr_binary(ddt_expr_pool *pool, ddt_expr_op op, ddt_expr a, ddt_expr b) {
    if (!expr_valid(pool, a) || !expr_valid(pool, b) || ddt_expr_arity(op) != 2) {
        return DDT_EXPR_NONE;
    }
    if (is_op(pool, a, DDT_EXPR_CONST) && is_op(pool, b, DDT_EXPR_CONST)) {
        return ddt_expr_const(pool, ddt_expr_apply(op, pool->nodes[a].value, pool->nodes[b].value, 0));
    }
    switch (op) {
    case DDT_EXPR_ADD:
        return build_add(pool, a, b);
    case DDT_EXPR_SUB:
        return build_sub(pool, a, b);
    case DDT_EXPR_MUL:
        return build_mul(pool, a, b);
    case DDT_EXPR_DIV:
        return build_div(pool, a, b);
    case DDT_EXPR_POW:
        return build_pow(pool, a, b);
    case DDT_EXPR_AND:
    case DDT_EXPR_OR:
        return build_logic(pool, op, a, b);
    case DDT_EXPR_LT:
    case DDT_EXPR_LE:
    case DDT_EXPR_EQ:
        return build_compare(pool, op, a, b);
    case DDT_EXPR_MIN:
    case DDT_EXPR_MAX:
        return a == b ? a : make(pool, op, a < b ? a : b, a < b ? b : a, DDT_EXPR_NONE);
    default:
        return make(pool, op, a, b, DDT_EXPR_NONE);
    }
}

ddt_expr ddt_expr_if(ddt_expr_pool *pool, ddt_expr condition, ddt_expr then_value, ddt_expr else_value) {
    if (!expr_valid(pool, condition) || !expr_valid(pool, then_value) || !expr_valid(pool, else_value)) {
        return DDT_EXPR_NONE;
    }
    double value = 0;
    if (ddt_expr_is_const(pool, condition, &value)) {
        return value != 0 ? then_value : else_value;
    }
    if (then_value == else_value) {
        return then_value;
    }
    if (is_op(pool, condition, DDT_EXPR_NOT)) {
        return ddt_expr_if(pool, pool->nodes[condition].a, else_value, then_value);
    }
    if (is_boolean(pool, condition) && is_value(pool, then_value, 1) && is_value(pool, else_value, 0)) {
        return condition;
    }
    return make(pool, DDT_EXPR_IF, condition, then_value, else_value);
}
