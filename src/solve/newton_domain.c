/*
 * Where the functions of a right-hand side have poles: an iterate that crosses one (a concentration below -Km) is of no
 * use, whatever the next iterate is, since no polynomial can follow it there.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "newton.h"

#include <string.h>

/* What e divides by, DDT_EXPR_NONE where it does not divide. */
static ddt_expr divisor_of(const solve_work *work, ddt_expr e) {
    const ddt_expr_node *node = ddt_expr_get(work->pool, e);
    double power = 0.0;
    if (node->op == DDT_EXPR_DIV) {
        return node->b;
    }
    bool divides = node->op == DDT_EXPR_POW && ddt_expr_is_const(work->pool, node->b, &power) && power < 0.0;
    return divides ? node->a : DDT_EXPR_NONE;
}

static void mark_operands(const ddt_expr_node *node, bool *used) {
    enum { OPERANDS = 3 };
    const ddt_expr operands[OPERANDS] = {node->a, node->b, node->c};
    for (unsigned k = 0; k < ddt_expr_arity(node->op) && k < OPERANDS; k++) {
        used[operands[k]] = true;
    }
}

/* Divisors in N that read states. Operands precede what they are part of, so one pass from the end finds all. */
static ddt_status find_divisors(solve_work *work, ddt_expr *out, size_t *found) {
    const solve_newton *nw = work->newton;
    size_t count = ddt_expr_pool_count(work->pool);
    bool *used = solve_alloc(work, count, sizeof *used);
    if (used == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t b = 0; b < nw->m; b++) {
        used[nw->n[b]] = true;
    }
    *found = 0;
    for (size_t e = count; e-- > 0 && *found < NEWTON_DIVISORS_MAX;) {
        if (!used[e]) {
            continue;
        }
        mark_operands(ddt_expr_get(work->pool, (ddt_expr)e), used);
        ddt_expr divisor = divisor_of(work, (ddt_expr)e);
        solve_fact fact = {0};
        SOLVE_TRY(divisor != DDT_EXPR_NONE ? solve_fact_of(work, divisor, &fact) : DDT_OK);
        if (fact.has_state) {
            out[(*found)++] = divisor;
        }
    }
    return DDT_OK;
}

ddt_status newton_domain_create(solve_work *work) {
    solve_newton *nw = work->newton;
    ddt_expr divisors[NEWTON_DIVISORS_MAX];
    SOLVE_TRY(find_divisors(work, divisors, &nw->divisor_count));
    return nw->divisor_count == 0 ? DDT_OK
                                  : ddt_expr_compile(work->ctx, work->pool, divisors, nw->divisor_count, &nw->divisors);
}

bool newton_same_side(const solve_newton *nw, const double *symbols, double *side) {
    double values[NEWTON_DIVISORS_MAX];
    bool same = true;
    if (nw->divisor_count == 0) {
        return true;
    }
    ddt_expr_program_run(nw->divisors, symbols, values);
    for (size_t i = 0; i < nw->divisor_count; i++) {
        same &= side[i] == 0.0 || values[i] * side[i] > 0.0;
        side[i] = side[i] == 0.0 ? values[i] : side[i];
    }
    return same;
}
