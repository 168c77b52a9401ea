/*
 * States that stay positive, such as cell counts and tumour sizes, by their logarithms: u = log x has
 *     du/dt = f(x) / x,
 * in which powers and ratios of states become exponentials of differences, a state's own baseline drops out, and the
 * iterations cannot leave the domain of a power. Done where a right-hand side raises such a state to a power that is
 * not a small natural number, or an output takes its logarithm (viral loads); then for all states that are known to be
 * positive: not dosed, with a positive value at the start.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "newton.h"

#include <string.h>

typedef struct logarithms {
    solve_work *work;
    size_t count;
    bool *is_log;    /* per compartment */
    ddt_expr *image; /* per symbol: exp(symbol), DDT_EXPR_NONE where it stays */
} logarithms;

static uint32_t symbol_of(const logarithms *l, size_t i) { return l->work->model->compartments[i].symbol; }

/* ------------------------------------------------------------------ which */

/* Whether base^exponent is a power of a candidate that is no product. */
static bool is_power_of(const logarithms *l, ddt_expr base, double exponent) {
    const double largest = 3.0; /* natural powers up to it are products */
    if (exponent == floor(exponent) && exponent >= 0.0 && exponent <= largest) {
        return false;
    }
    for (size_t i = 0; i < l->count; i++) {
        if (l->is_log[i] && ddt_expr_depends_on(l->work->pool, base, symbol_of(l, i))) {
            return true;
        }
    }
    return false;
}

static ddt_status find_power(const logarithms *l, ddt_expr root, bool *found) {
    ddt_expr *order = NULL;
    size_t count = 0;
    SOLVE_TRY(ddt_expr_topological(l->work->ctx, l->work->pool, &root, 1, &order, &count));
    for (size_t k = 0; k < count && !*found; k++) {
        ddt_expr_node node = *ddt_expr_get(l->work->pool, order[k]);
        double exponent = 0.5;
        if (node.op == DDT_EXPR_POW) {
            (void)ddt_expr_is_const(l->work->pool, node.b, &exponent);
            *found = is_power_of(l, node.a, exponent);
        } else if (node.op == DDT_EXPR_SQRT) {
            *found = is_power_of(l, node.a, exponent);
        }
    }
    ddt_free(order);
    return DDT_OK;
}

/* Whether an output takes the logarithm of a candidate. */
static ddt_status find_logarithm(const logarithms *l, ddt_expr root, bool *found) {
    ddt_expr *order = NULL;
    size_t count = 0;
    SOLVE_TRY(ddt_expr_topological(l->work->ctx, l->work->pool, &root, 1, &order, &count));
    for (size_t k = 0; k < count && !*found; k++) {
        const double any = 0.5;
        ddt_expr_node node = *ddt_expr_get(l->work->pool, order[k]);
        *found = node.op == DDT_EXPR_LOG && is_power_of(l, node.a, any);
    }
    ddt_free(order);
    return DDT_OK;
}

static ddt_status find_candidates(logarithms *l, const ddt_expr *initial, const bool *is_needed) {
    for (size_t i = 0; i < l->count; i++) {
        solve_fact fact;
        SOLVE_TRY(solve_fact_of(l->work, initial[i], &fact));
        l->is_log[i] = is_needed[i] && !l->work->is_dosed[i] && fact.low > 0.0 && isfinite(fact.high) && !fact.has_time;
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ f(x) / x */

static ddt_expr quotient(logarithms *l, ddt_expr e, uint32_t x);

/* a * b / x for a sum b: term by term. */
static ddt_expr quotient_of_product(logarithms *l, ddt_expr factor, ddt_expr sum, uint32_t x) {
    ddt_expr_pool *pool = l->work->pool;
    ddt_expr_node node = *ddt_expr_get(pool, sum);
    return ddt_expr_binary(pool, node.op, quotient(l, ddt_expr_binary(pool, DDT_EXPR_MUL, factor, node.a), x),
                           quotient(l, ddt_expr_binary(pool, DDT_EXPR_MUL, factor, node.b), x));
}

static bool is_sum(const logarithms *l, ddt_expr e) {
    ddt_expr_op op = ddt_expr_get(l->work->pool, e)->op;
    return op == DDT_EXPR_ADD || op == DDT_EXPR_SUB;
}

static ddt_expr quotient(logarithms *l, ddt_expr e, uint32_t x) {
    ddt_expr_pool *pool = l->work->pool;
    if (e == DDT_EXPR_NONE) {
        return e;
    }
    ddt_expr_node node = *ddt_expr_get(pool, e);
    if (is_sum(l, e)) {
        return ddt_expr_binary(pool, node.op, quotient(l, node.a, x), quotient(l, node.b, x));
    }
    if (node.op == DDT_EXPR_NEG) {
        return ddt_expr_unary(pool, node.op, quotient(l, node.a, x));
    }
    /* A multiple of x. */
    ddt_expr slope = ddt_expr_derivative(pool, e, x);
    ddt_expr at_zero = ddt_expr_substitute(pool, e, x, ddt_expr_const(pool, 0.0));
    if (slope != DDT_EXPR_NONE && solve_is_constant(l->work, at_zero, 0.0) && !ddt_expr_depends_on(pool, slope, x)) {
        return slope;
    }
    if (node.op == DDT_EXPR_MUL && is_sum(l, node.b)) {
        return quotient_of_product(l, node.a, node.b, x);
    }
    if (node.op == DDT_EXPR_MUL && is_sum(l, node.a)) {
        return quotient_of_product(l, node.b, node.a, x);
    }
    return ddt_expr_binary(pool, DDT_EXPR_DIV, e, ddt_expr_symbol(pool, x));
}

/* ------------------------------------------------------------------ all together */

static ddt_expr with_exponentials(const logarithms *l, ddt_expr e) {
    return ddt_expr_substitute_all(l->work->pool, e, l->image, l->work->symbol_count);
}

static void rewrite_model(logarithms *l, ddt_expr *rhs, ddt_expr *initial, ddt_expr *outputs) {
    ddt_expr_pool *pool = l->work->pool;
    for (size_t i = 0; i < l->work->symbol_count; i++) {
        l->image[i] = DDT_EXPR_NONE;
    }
    for (size_t i = 0; i < l->count; i++) {
        if (l->is_log[i]) {
            l->image[symbol_of(l, i)] = ddt_expr_unary(pool, DDT_EXPR_EXP, ddt_expr_symbol(pool, symbol_of(l, i)));
            rhs[i] = quotient(l, rhs[i], symbol_of(l, i));
            initial[i] = ddt_expr_unary(pool, DDT_EXPR_LOG, initial[i]);
        }
    }
    for (size_t i = 0; i < l->count; i++) {
        rhs[i] = with_exponentials(l, rhs[i]);
    }
    for (size_t o = 0; o < l->work->model->output_count; o++) {
        outputs[o] = with_exponentials(l, outputs[o]);
    }
}

static ddt_status find_powers(const logarithms *l, const ddt_expr *rhs, const ddt_expr *outputs, const bool *is_needed,
                              bool *found) {
    *found = false;
    ddt_status status = DDT_OK;
    for (size_t i = 0; i < l->count && !*found && status == DDT_OK; i++) {
        status = is_needed[i] ? find_power(l, rhs[i], found) : DDT_OK;
    }
    for (size_t o = 0; o < l->work->model->output_count && !*found && status == DDT_OK; o++) {
        status = find_logarithm(l, outputs[o], found);
    }
    return status;
}

ddt_status solve_newton_logarithms(solve_work *work, size_t count, ddt_expr *rhs, ddt_expr *initial, ddt_expr *outputs,
                                   const bool *is_needed) {
    logarithms l = {.work = work, .count = count};
    l.is_log = solve_alloc(work, count, sizeof *l.is_log);
    l.image = solve_alloc(work, work->symbol_count, sizeof *l.image);
    if (l.is_log == NULL || l.image == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(find_candidates(&l, initial, is_needed));
    bool found = false;
    SOLVE_TRY(find_powers(&l, rhs, outputs, is_needed, &found));
    if (found) {
        rewrite_model(&l, rhs, initial, outputs);
        work->is_log = l.is_log;
    }
    return ddt_expr_pool_status(work->pool) == DDT_OK ? DDT_OK : solve_pool_failure(work);
}
