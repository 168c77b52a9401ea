/*
 * Facts about expressions: which symbols they depend on, and an interval that holds all their values (interval
 * arithmetic over the declared ranges).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

typedef struct interval {
    double low, high;
} interval;

static const interval everything = {-INFINITY, INFINITY};

static interval hull(double a, double b, double c, double d) {
    if (isnan(a) || isnan(b) || isnan(c) || isnan(d)) {
        return everything;
    }
    return (interval){fmin(fmin(a, b), fmin(c, d)), fmax(fmax(a, b), fmax(c, d))};
}

static interval times(interval x, interval y) {
    return hull(x.low * y.low, x.low * y.high, x.high * y.low, x.high * y.high);
}

static interval over(interval x, interval y) {
    if (y.low <= 0.0 && y.high >= 0.0) {
        return everything;
    }
    return times(x, (interval){1.0 / y.high, 1.0 / y.low});
}

static interval power(interval x, interval y) {
    if (x.low > 0.0) {
        return hull(pow(x.low, y.low), pow(x.low, y.high), pow(x.high, y.low), pow(x.high, y.high));
    }
    if (y.low != y.high || (x.low < 0.0 && y.low != floor(y.low)) || y.low < 0.0) {
        return everything;
    }
    interval ends = hull(pow(x.low, y.low), pow(x.high, y.low), pow(x.low, y.low), pow(x.high, y.low));
    if (x.low < 0.0 && x.high > 0.0) { /* 0 lies inside */
        ends.low = fmin(ends.low, 0.0);
    }
    return ends;
}

/* An increasing function, defined where x > low_end or x >= low_end. */
static interval increasing(ddt_expr_op op, interval x) {
    double low = ddt_expr_apply(op, x.low, 0, 0);
    double high = ddt_expr_apply(op, x.high, 0, 0);
    return isnan(low) || isnan(high) ? everything : (interval){low, high};
}

static interval magnitude(interval x) {
    double largest = fmax(fabs(x.low), fabs(x.high));
    if (x.low <= 0.0 && x.high >= 0.0) {
        return (interval){0.0, largest};
    }
    return (interval){fmin(fabs(x.low), fabs(x.high)), largest};
}

static interval truth(bool surely, bool never) { return (interval){surely ? 1.0 : 0.0, never ? 0.0 : 1.0}; }

static bool is_true(interval x) { return x.low > 0.0 || x.high < 0.0; }
static bool is_false(interval x) { return x.low == 0.0 && x.high == 0.0; }

static interval compare(ddt_expr_op op, interval x, interval y) {
    switch (op) {
    case DDT_EXPR_LT:
        return truth(x.high < y.low, x.low >= y.high);
    case DDT_EXPR_LE:
        return truth(x.high <= y.low, x.low > y.high);
    case DDT_EXPR_EQ:
        return truth(x.low == x.high && y.low == y.high && x.low == y.low, x.high < y.low || y.high < x.low);
    case DDT_EXPR_AND:
        return truth(is_true(x) && is_true(y), is_false(x) || is_false(y));
    case DDT_EXPR_OR:
        return truth(is_true(x) || is_true(y), is_false(x) && is_false(y));
    default: /* NOT */
        return truth(is_false(x), is_true(x));
    }
}

static interval apply(ddt_expr_op op, interval x, interval y, interval z) {
    switch (op) {
    case DDT_EXPR_ADD:
        return hull(x.low + y.low, x.high + y.high, x.low + y.low, x.high + y.high);
    case DDT_EXPR_SUB:
        return hull(x.low - y.high, x.high - y.low, x.low - y.high, x.high - y.low);
    case DDT_EXPR_MUL:
        return times(x, y);
    case DDT_EXPR_DIV:
        return over(x, y);
    case DDT_EXPR_NEG:
        return (interval){-x.high, -x.low};
    case DDT_EXPR_POW:
        return power(x, y);
    case DDT_EXPR_EXP:
    case DDT_EXPR_LOG:
    case DDT_EXPR_SQRT:
    case DDT_EXPR_TANH:
    case DDT_EXPR_FLOOR:
        return increasing(op, x);
    case DDT_EXPR_ABS:
        return magnitude(x);
    case DDT_EXPR_MIN:
        return (interval){fmin(x.low, y.low), fmin(x.high, y.high)};
    case DDT_EXPR_MAX:
        return (interval){fmax(x.low, y.low), fmax(x.high, y.high)};
    case DDT_EXPR_SIN:
    case DDT_EXPR_COS:
        return (interval){-1.0, 1.0};
    case DDT_EXPR_LT:
    case DDT_EXPR_LE:
    case DDT_EXPR_EQ:
    case DDT_EXPR_AND:
    case DDT_EXPR_OR:
    case DDT_EXPR_NOT:
        return compare(op, x, y);
    case DDT_EXPR_IF:
        if (is_true(x) || is_false(x)) {
            return is_true(x) ? y : z;
        }
        return hull(y.low, y.high, z.low, z.high);
    default:
        return everything;
    }
}

/* What x * x takes, tighter than the product of two independent intervals. */
static interval square(interval x) {
    interval m = magnitude(x);
    return (interval){m.low * m.low, m.high * m.high};
}

static uint32_t join(uint32_t a, uint32_t b) {
    if (a == SOLVE_NONE || a == b) {
        return b;
    }
    return b == SOLVE_NONE ? a : SOLVE_MANY;
}

static bool decides(ddt_expr_op op) {
    return (op >= DDT_EXPR_FLOOR && op <= DDT_EXPR_IF) || op == DDT_EXPR_MIN || op == DDT_EXPR_MAX ||
           op == DDT_EXPR_ABS;
}

static solve_fact symbol_fact(const solve_work *work, uint32_t index) {
    const solve_symbol *symbol = &work->symbols[index];
    solve_fact fact = {.symbol = SOLVE_NONE, .low = symbol->low, .high = symbol->high};
    fact.symbol = symbol->is_time ? work->time_symbol : index; /* functions of public times are public */
    fact.low = solve_is_floored(symbol) ? 0.0 : symbol->low;
    fact.has_state = symbol->is_state;
    fact.has_time = symbol->is_time || symbol->is_dose;
    return fact;
}

static solve_fact operation_fact(const solve_work *work, const ddt_expr_node *node) {
    enum { OPERANDS = 3 };
    const ddt_expr operands[OPERANDS] = {node->a, node->b, node->c};
    interval values[OPERANDS] = {everything, everything, everything};
    solve_fact fact = {.symbol = SOLVE_NONE};
    unsigned arity = ddt_expr_arity(node->op);
    for (unsigned k = 0; k < arity && k < OPERANDS; k++) {
        const solve_fact *operand = &work->facts[operands[k]];
        fact.symbol = join(fact.symbol, operand->symbol);
        fact.has_state |= operand->has_state;
        fact.has_time |= operand->has_time;
        fact.decides_on_state |= operand->decides_on_state;
        if (operand->has_state && decides(node->op) && (node->op != DDT_EXPR_IF || k == 0)) {
            fact.decides_on_state = true;
        }
        values[k] = (interval){operand->low, operand->high};
    }
    interval range = node->op == DDT_EXPR_MUL && node->a == node->b ? square(values[0])
                                                                    : apply(node->op, values[0], values[1], values[2]);
    fact.low = range.low;
    fact.high = range.high;
    return fact;
}

static solve_fact compute(const solve_work *work, ddt_expr e) {
    const ddt_expr_node *node = ddt_expr_get(work->pool, e);
    if (node->op == DDT_EXPR_CONST) {
        return (solve_fact){.symbol = SOLVE_NONE, .low = node->value, .high = node->value};
    }
    return node->op == DDT_EXPR_SYMBOL ? symbol_fact(work, node->symbol) : operation_fact(work, node);
}

void solve_facts_reset(solve_work *work) { work->fact_count = 0; }

ddt_status solve_fact_of(solve_work *work, ddt_expr e, solve_fact *out) {
    size_t count = ddt_expr_pool_count(work->pool);
    if (e >= count) {
        return solve_pool_failure(work);
    }
    if (count > work->fact_capacity) {
        size_t capacity = 2 * count;
        solve_fact *facts = ddt_realloc(work->facts, work->fact_count, capacity, sizeof *facts);
        if (facts == NULL) {
            return solve_no_memory(work->ctx);
        }
        work->facts = facts;
        work->fact_capacity = capacity;
    }
    for (; work->fact_count < count; work->fact_count++) {
        work->facts[work->fact_count] = compute(work, (ddt_expr)work->fact_count);
    }
    *out = work->facts[e];
    return DDT_OK;
}
