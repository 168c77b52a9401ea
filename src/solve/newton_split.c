/*
 * What is linear in a model and what is not: the right-hand side of each compartment is taken apart into a sum; affine
 * terms form the linear part, the others N. Saturable terms x / (K + x) are written 1 - 1 / (1 + x / K): a function of
 * one well-scaled argument.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "newton.h"

#include <string.h>

/* ------------------------------------------------------------------ states in expressions */

static bool *state_set(solve_work *work) {
    bool *set = solve_alloc(work, work->symbol_count, sizeof *set);
    for (size_t i = 0; set != NULL && i < work->symbol_count; i++) {
        set[i] = work->symbols[i].is_state;
    }
    return set;
}

static ddt_status reads_state(solve_work *work, ddt_expr e, bool *yes) {
    solve_fact fact;
    SOLVE_TRY(solve_fact_of(work, e, &fact));
    *yes = fact.has_state;
    return DDT_OK;
}

/* ------------------------------------------------------------------ saturation */

/* Whether q is the same number wherever the states are: tried at three places. */
static ddt_status is_free_of_states(solve_work *work, ddt_expr q, bool *yes) {
    enum { PLACES = 3 };
    double values[PLACES];
    double *symbols = solve_alloc(work, work->symbol_count, sizeof *symbols);
    if (symbols == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (int k = 0; k < PLACES; k++) {
        for (size_t i = 0; i < work->symbol_count; i++) {
            /* Any numbers will do: different ones for each state and place, the same for all else. */
            symbols[i] = work->symbols[i].is_state ? 0.7 + 0.37 * (double)i + 1.9 * k * (1.0 + 0.11 * (double)i)
                                                   : 0.5 * (work->symbols[i].low + work->symbols[i].high);
        }
        values[k] = ddt_expr_eval(work->pool, q, symbols, NULL);
    }
    const double rounding = 1e-12;
    *yes = isfinite(values[0]) && fabs(values[1] - values[0]) <= rounding * fabs(values[0]) &&
           fabs(values[2] - values[0]) <= rounding * fabs(values[0]);
    return DDT_OK;
}

static ddt_expr fixed_states(solve_work *work, ddt_expr e) {
    ddt_expr one = ddt_expr_const(work->pool, 1.0);
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        e = work->symbols[i].is_state ? ddt_expr_substitute(work->pool, e, i, one) : e;
    }
    return e;
}

/* n / (a + b) with a = states, b = none: (n / b) / (1 + a / b), and where n is a multiple q of a: q - q / (1 + a / b).
 */
static ddt_status rewrite_quotient(solve_work *work, ddt_expr n, ddt_expr a, ddt_expr b, ddt_expr *out) {
    ddt_expr_pool *pool = work->pool;
    ddt_expr one = ddt_expr_const(pool, 1.0);
    ddt_expr sum = ddt_expr_binary(pool, DDT_EXPR_ADD, one, ddt_expr_binary(pool, DDT_EXPR_DIV, a, b));
    work->saturation = sum;
    ddt_expr inverse = ddt_expr_binary(pool, DDT_EXPR_POW, sum, ddt_expr_const(pool, -1.0));
    ddt_expr q = ddt_expr_binary(pool, DDT_EXPR_DIV, n, a);
    bool is_multiple = false;
    SOLVE_TRY(is_free_of_states(work, q, &is_multiple));
    if (is_multiple) {
        q = fixed_states(work, q);
        *out = ddt_expr_binary(pool, DDT_EXPR_SUB, q, ddt_expr_binary(pool, DDT_EXPR_MUL, q, inverse));
    } else {
        *out = ddt_expr_binary(pool, DDT_EXPR_MUL, ddt_expr_binary(pool, DDT_EXPR_DIV, n, b), inverse);
    }
    return *out == DDT_EXPR_NONE ? solve_pool_failure(work) : DDT_OK;
}

/*
 * a / (a + b) where b is 0 but for rounding: 1 from the first dose on. Before it a is 0 and the quotient, too, which is
 * not what the model says anywhere: so the first dose must be the start.
 */
static ddt_status rewrite_vanishing(solve_work *work, ddt_expr n, ddt_expr a, bool *done, ddt_expr *out) {
    ddt_expr q = ddt_expr_binary(work->pool, DDT_EXPR_DIV, n, a);
    *done = false;
    SOLVE_TRY(is_free_of_states(work, q, done));
    for (size_t s = 0; s < work->events->subject_count && *done; s++) {
        const ddt_schedule *schedule = &work->schedules[s];
        *done = schedule->epoch_count <= 1 &&
                (schedule->epoch_count == 0 ||
                 (schedule->dose_count > 0 && schedule->doses[0].time_h <= schedule->epoch_start_h[0]));
    }
    if (*done) {
        *out = fixed_states(work, q);
    }
    return *done && *out == DDT_EXPR_NONE ? solve_pool_failure(work) : DDT_OK;
}

/* n / (a + b) where one of a and b has states: *done where there is a better form. */
static ddt_status rewrite_saturation(solve_work *work, ddt_expr n, ddt_expr under, bool *done, ddt_expr *out) {
    const double rounding = 1e-9;
    const ddt_expr_node sum = *ddt_expr_get(work->pool, under);
    bool first = false;
    bool second = false;
    double b = 1.0;
    *done = false;
    if (sum.op != DDT_EXPR_ADD) {
        return DDT_OK;
    }
    SOLVE_TRY(reads_state(work, sum.a, &first));
    SOLVE_TRY(reads_state(work, sum.b, &second));
    if (first == second) {
        return DDT_OK;
    }
    ddt_expr with = first ? sum.a : sum.b;
    ddt_expr without = first ? sum.b : sum.a;
    bool is_constant = ddt_expr_is_const(work->pool, without, &b);
    if (is_constant && fabs(b) < rounding) {
        SOLVE_TRY(rewrite_vanishing(work, n, with, done, out));
    }
    if (!is_constant) {
        *done = true;
        SOLVE_TRY(rewrite_quotient(work, n, with, without, out));
    }
    return DDT_OK;
}

ddt_status solve_rewrite_saturations(solve_work *work, ddt_expr e, ddt_expr *out) {
    ddt_expr_node node = *ddt_expr_get(work->pool, e);
    enum { OPERANDS = 3 };
    ddt_expr operands[OPERANDS] = {node.a, node.b, node.c};
    unsigned arity = ddt_expr_arity(node.op);
    bool has_state = false;
    bool done = false;
    SOLVE_TRY(reads_state(work, e, &has_state));
    *out = e;
    if (!has_state || arity == 0) {
        return DDT_OK;
    }
    for (unsigned k = 0; k < arity && k < OPERANDS; k++) {
        SOLVE_TRY(solve_rewrite_saturations(work, operands[k], &operands[k]));
    }
    if (node.op == DDT_EXPR_DIV) { /* the divisor as the model has it */
        SOLVE_TRY(rewrite_saturation(work, operands[0], node.b, &done, out));
    }
    if (!done) {
        *out = arity == 1   ? ddt_expr_unary(work->pool, node.op, operands[0])
               : arity == 2 ? ddt_expr_binary(work->pool, node.op, operands[0], operands[1])
                            : ddt_expr_if(work->pool, operands[0], operands[1], operands[2]);
    }
    return *out == DDT_EXPR_NONE ? solve_pool_failure(work) : DDT_OK;
}

/* ------------------------------------------------------------------ splitting */

typedef struct splitter {
    solve_work *work;
    const bool *states;
    ddt_expr linear, rest;
    bool may_be_linear;
} splitter;

static bool is_sum(const solve_work *work, ddt_expr e) {
    ddt_expr_op op = ddt_expr_get(work->pool, e)->op;
    return op == DDT_EXPR_ADD || op == DDT_EXPR_SUB;
}

/* (a + b) c = a c + b c, so that what is linear in (a + b(x)) x is found; *out DDT_EXPR_NONE where there is no sum. */
static ddt_status distribute(solve_work *work, ddt_expr_node product, ddt_expr *out) {
    ddt_expr_pool *pool = work->pool;
    bool is_left = is_sum(work, product.a);
    *out = DDT_EXPR_NONE;
    if (!is_left && (product.op == DDT_EXPR_DIV || !is_sum(work, product.b))) {
        return DDT_OK;
    }
    ddt_expr_node sum = *ddt_expr_get(pool, is_left ? product.a : product.b);
    ddt_expr first = is_left ? ddt_expr_binary(pool, product.op, sum.a, product.b)
                             : ddt_expr_binary(pool, product.op, product.a, sum.a);
    ddt_expr second = is_left ? ddt_expr_binary(pool, product.op, sum.b, product.b)
                              : ddt_expr_binary(pool, product.op, product.a, sum.b);
    *out = ddt_expr_binary(pool, sum.op, first, second);
    return *out == DDT_EXPR_NONE ? solve_pool_failure(work) : DDT_OK;
}

static ddt_status split_term(splitter *s, ddt_expr e, double sign) {
    ddt_expr_pool *pool = s->work->pool;
    ddt_expr_node node = *ddt_expr_get(pool, e);
    solve_fact fact;
    SOLVE_TRY(solve_fact_of(s->work, e, &fact));
    if (s->may_be_linear && !fact.has_time && ddt_expr_is_affine(pool, e, s->states, s->work->symbol_count)) {
        s->linear = ddt_expr_binary(pool, sign > 0.0 ? DDT_EXPR_ADD : DDT_EXPR_SUB, s->linear, e);
        return DDT_OK;
    }
    if (node.op == DDT_EXPR_ADD || node.op == DDT_EXPR_SUB) {
        SOLVE_TRY(split_term(s, node.a, sign));
        return split_term(s, node.b, node.op == DDT_EXPR_ADD ? sign : -sign);
    }
    if (node.op == DDT_EXPR_NEG) {
        return split_term(s, node.a, -sign);
    }
    /* Of losses only: the linear part of growth with saturation, solved by itself, would grow without end. */
    if (s->may_be_linear && sign < 0.0 && (node.op == DDT_EXPR_MUL || node.op == DDT_EXPR_DIV)) {
        ddt_expr sum = DDT_EXPR_NONE;
        SOLVE_TRY(distribute(s->work, node, &sum));
        if (sum != DDT_EXPR_NONE) {
            return split_term(s, sum, sign);
        }
    }
    ddt_expr better = e;
    SOLVE_TRY(solve_rewrite_saturations(s->work, e, &better));
    s->rest = ddt_expr_binary(pool, sign > 0.0 ? DDT_EXPR_ADD : DDT_EXPR_SUB, s->rest, better);
    return DDT_OK;
}

ddt_status solve_newton_split(solve_work *work, size_t count, ddt_expr *rhs, const bool *is_needed) {
    const bool *states = state_set(work);
    ddt_expr *forcing = solve_alloc(work, count, sizeof *forcing);
    if (states == NULL || forcing == NULL) {
        return DDT_ERR_MEMORY;
    }
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        forcing[i] = DDT_EXPR_NONE;
        solve_fact fact;
        SOLVE_TRY(solve_fact_of(work, rhs[i], &fact));
        /* What decides on states stays where it is and is refused there. */
        bool is_log = work->is_log != NULL && work->is_log[i];
        bool is_linear =
            !is_log && !fact.has_time && ddt_expr_is_affine(work->pool, rhs[i], states, work->symbol_count);
        if (!is_needed[i] || fact.decides_on_state || is_linear) {
            continue;
        }
        ddt_expr zero = ddt_expr_const(work->pool, 0.0);
        splitter s = {.work = work, .states = states, .linear = zero, .rest = zero, .may_be_linear = !is_log};
        SOLVE_TRY(split_term(&s, rhs[i], 1.0));
        rhs[i] = s.linear;
        forcing[i] = s.rest;
        any = true;
    }
    if (any) {
        work->newton = solve_alloc(work, 1, sizeof *work->newton);
        if (work->newton == NULL) {
            return DDT_ERR_MEMORY;
        }
        work->newton->forcing = forcing;
    }
    return ddt_expr_pool_status(work->pool) == DDT_OK ? DDT_OK : solve_pool_failure(work);
}

bool solve_newton_forces(const solve_work *work, size_t compartment) {
    return work->newton != NULL && work->newton->forcing[compartment] != DDT_EXPR_NONE;
}

/* ------------------------------------------------------------------ the block */

/* States with N, and those that the linear part couples to them. */
static ddt_status find_block(solve_work *work) {
    solve_newton *nw = work->newton;
    size_t n = work->linear.n;
    nw->block = solve_alloc(work, n, sizeof *nw->block);
    nw->block_of = solve_alloc(work, n, sizeof *nw->block_of);
    nw->is_wanted = solve_alloc(work, n, sizeof *nw->is_wanted);
    bool *inside = solve_alloc(work, n, sizeof *inside);
    if (nw->block == NULL || nw->block_of == NULL || nw->is_wanted == NULL || inside == NULL) {
        return DDT_ERR_MEMORY;
    }
    bool grows = true;
    while (grows) {
        grows = false;
        for (size_t i = 0; i < n; i++) {
            size_t c = work->linear.compartment[i];
            bool now = c != SOLVE_UNIT && nw->forcing[c] != DDT_EXPR_NONE;
            for (size_t j = 0; j < n; j++) {
                now |= inside[j] && work->linear.is_nonzero[i * n + j];
            }
            grows |= now && !inside[i];
            inside[i] |= now;
        }
    }
    for (size_t i = 0; i < n; i++) {
        nw->block_of[i] = SIZE_MAX;
        if (inside[i]) {
            nw->block_of[i] = nw->m;
            nw->block[nw->m++] = i;
        }
    }
    return DDT_OK;
}

static uint32_t state_symbol(const solve_work *work, size_t state) {
    return work->model->compartments[work->linear.compartment[state]].symbol;
}

/* p is needed of the block's states and of what N and the outputs read. */
static void find_wanted(solve_work *work) {
    solve_newton *nw = work->newton;
    for (size_t i = 0; i < work->linear.n; i++) {
        if (work->linear.compartment[i] == SOLVE_UNIT) {
            continue;
        }
        nw->is_wanted[i] = nw->block_of[i] != SIZE_MAX;
        for (size_t b = 0; b < nw->m; b++) {
            bool reads = ddt_expr_depends_on(work->pool, nw->n[b], state_symbol(work, i));
            nw->is_wanted[i] |= reads;
            nw->reads_dosed |= reads && work->is_dosed[work->linear.compartment[i]];
        }
        for (size_t o = 0; o < work->model->output_count; o++) {
            nw->is_wanted[i] |= ddt_expr_depends_on(work->pool, work->linear.outputs[o].value, state_symbol(work, i));
        }
    }
}

/* 1 + slope x of the only state of the block. */
static void find_argument(solve_work *work) {
    solve_newton *nw = work->newton;
    nw->argument = DDT_EXPR_NONE;
    if (work->saturation == 0 || nw->m != 1) {
        return;
    }
    uint32_t symbol = state_symbol(work, nw->block[0]);
    ddt_expr slope = ddt_expr_derivative(work->pool, work->saturation, symbol);
    ddt_expr inverse = ddt_expr_binary(work->pool, DDT_EXPR_DIV, ddt_expr_const(work->pool, 1.0), slope);
    solve_fact fact = {.has_state = true};
    ddt_expr rest = ddt_expr_substitute(work->pool, work->saturation, symbol, ddt_expr_const(work->pool, 0.0));
    if (inverse != DDT_EXPR_NONE && solve_is_constant(work, rest, 1.0) && !solve_is_constant(work, slope, 0.0) &&
        solve_fact_of(work, slope, &fact) == DDT_OK && !fact.has_state) {
        nw->argument = work->saturation;
        nw->inverse_slope = inverse;
    }
}

ddt_status newton_block_create(solve_work *work) {
    solve_newton *nw = work->newton;
    SOLVE_TRY(find_block(work));
    size_t m = nw->m;
    ddt_expr *all = solve_alloc(work, m + m * m, sizeof *all);
    if (all == NULL) {
        return DDT_ERR_MEMORY;
    }
    nw->n = all;
    nw->jacobian = all + m;
    for (size_t b = 0; b < m; b++) {
        ddt_expr forcing = nw->forcing[work->linear.compartment[nw->block[b]]];
        nw->n[b] = forcing == DDT_EXPR_NONE ? ddt_expr_const(work->pool, 0.0) : forcing;
        for (size_t i = 0; i < work->model->compartment_count; i++) {
            if (work->linear.state[i] == SIZE_MAX) { /* nothing reaches it: it is 0 */
                nw->n[b] = ddt_expr_substitute(work->pool, nw->n[b], work->model->compartments[i].symbol,
                                               ddt_expr_const(work->pool, 0.0));
            }
        }
        for (size_t c = 0; c < m; c++) {
            nw->jacobian[b * m + c] = ddt_expr_derivative(work->pool, nw->n[b], state_symbol(work, nw->block[c]));
        }
    }
    if (ddt_expr_pool_status(work->pool) != DDT_OK) {
        return solve_pool_failure(work);
    }
    find_wanted(work);
    find_argument(work);
    SOLVE_TRY(newton_domain_create(work));
    return ddt_expr_compile(work->ctx, work->pool, all, m + m * m, &nw->program);
}
