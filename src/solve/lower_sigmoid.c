/*
 * Sigmoid effects far above their constant: 1 / (c + X), X = a w^g with thousands of times c among its values. Neither
 * the power nor the reciprocal of so wide a range is known well enough near 0. But with s = 1 / (1 + w'), w' = w scaled
 * so that X = c w'^g,
 *     1 / (c + X) = s^g / (s^g + (1 - s)^g) / c:
 * a reciprocal of a range as wide as that of w only, and a smooth function from 0 to 1.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

/* The power that a factor raises something of the compartments to, 0 where it does not. */
static double power_of_factor(const solve_work *work, const solve_factor *factor) {
    if (factor->inner != NULL) {
        return factor->op == DDT_EXPR_POW && factor->power > 0.0 ? factor->power : 0.0;
    }
    const ddt_expr_node *node = ddt_expr_get(work->pool, factor->expression);
    double power = 0.0;
    if (!work->symbols[factor->symbol].is_state) {
        return 0.0;
    }
    if (node->op == DDT_EXPR_MUL && node->a == node->b) {
        return 2.0;
    }
    return node->op == DDT_EXPR_POW && ddt_expr_is_const(work->pool, node->b, &power) ? fmax(power, 0.0) : 0.0;
}

/* Whether the argument is c + X, X one product with such a power: then share->constant and so on, else power is 0. */
static ddt_status take_apart(const solve_work *work, const solve_terms *argument, solve_share *share) {
    const solve_term *first = argument->first;
    const solve_term *second = argument->count == 2 ? first->next : NULL;
    share->power = 0.0;
    if (second == NULL) {
        return DDT_OK;
    }
    bool is_first = first->exponent_count + first->factor_count == 0;
    const solve_term *number = is_first ? first : second;
    const solve_term *x = is_first ? second : first;
    if (number->exponent_count + number->factor_count != 0 || !(number->coefficient > 0.0) || !(x->coefficient > 0.0)) {
        return DDT_OK;
    }
    size_t raised = 0;
    for (size_t i = 0; i < x->factor_count && share->power <= 1.0; i++) {
        share->power = power_of_factor(work, &x->factors[i]);
        raised = i;
    }
    if (!(share->power > 1.0)) {
        return DDT_OK;
    }
    share->constant = number->coefficient;
    *share->w.first = *x;
    share->w.first->next = NULL;
    share->w.first->coefficient /= number->coefficient;
    SOLVE_TRY(solve_term_raise(work, share->w.first, 1.0 / share->power));
    if (x->factors[raised].inner == NULL) { /* of one compartment: what was raised, a straight line below 0, too */
        share->w.first->factors[raised].expression = ddt_expr_get(work->pool, x->factors[raised].expression)->a;
    }
    return DDT_OK;
}

ddt_status solve_share_find(solve_work *work, solve_factor *factor) {
    const double steep = 300.0; /* ratio of the ends: below it the power and the reciprocal are polynomials */
    solve_fact fact;
    SOLVE_TRY(solve_fact_of(work, factor->expression, &fact));
    bool is_open = work->newton == NULL && factor->op == DDT_EXPR_POW && factor->power <= -1.0 && fact.has_state;
    factor->share = NULL;
    if (!is_open || !(fact.low > 0.0) || !isfinite(fact.high) || fact.high <= steep * fact.low) {
        return DDT_OK;
    }
    solve_share *share = solve_alloc(work, 1, sizeof *share);
    solve_term *w = solve_alloc(work, 1, sizeof *w);
    if (share == NULL || w == NULL) {
        return DDT_ERR_MEMORY;
    }
    share->w = (solve_terms){.first = w, .count = 1};
    SOLVE_TRY(take_apart(work, factor->inner, share));
    if (share->power > 1.0) {
        share->w_max = pow(fmax(0.0, fact.high / share->constant - 1.0), 1.0 / share->power);
        factor->share = share;
    }
    return DDT_OK;
}

typedef struct sigmoid_powers {
    double of_ratio, of_all; /* g and n */
} sigmoid_powers;

static double sigmoid(double s, const void *data) {
    const sigmoid_powers *powers = data;
    const double inside = fmin(fmax(s, 0.0), 1.0); /* where rounding or noise leaves it */
    const double up = pow(inside, powers->of_ratio);
    return pow(up / (up + pow(1.0 - inside, powers->of_ratio)), powers->of_all);
}

/* s = 1 / (1 + w), 0 <= w <= w_max, as its argument on [-1, 1]: s = mid + half x. */
static ddt_status share_node(solve_work *work, const solve_share *share, double *mid, double *half, solve_value *x) {
    const double room = 0.25;   /* w has errors: 1 / (1 + w) is made for 1 + w from here on */
    const double slack = 0.001; /* and its result may exceed 1 by this */
    const double top = 1.0 + share->w_max * (1.0 + slack);
    const double centre = 0.5 * (room + top);
    const double reach = 0.5 * (top - room);
    const double low = (1.0 - slack) / top;
    solve_sum sum = {0};
    solve_value inverse;
    solve_value argument;
    SOLVE_TRY(solve_lower(work, &share->w, &sum));
    SOLVE_TRY(solve_sum_node(work, &sum, 1.0 / reach, (1.0 - centre) / reach, &argument));
    SOLVE_TRY(solve_lower_inverse(work, argument, centre, reach, &inverse));
    *mid = 0.5 * (low + 1.0 + slack);
    *half = 0.5 * (1.0 + slack - low);
    x->node = ddt_circuit_affine(work->circuit, &inverse.node, (double[]){1.0 / *half}, 1, -*mid / *half);
    x->depth = inverse.depth + 1.0;
    return ddt_circuit_status(work->circuit);
}

ddt_status solve_share_lower(solve_work *work, const solve_factor *factor, solve_product *product) {
    const solve_share *share = factor->share;
    double mid = 0.0;
    double half = 0.0;
    solve_value x;
    SOLVE_TRY(share_node(work, share, &mid, &half, &x));
    solve_function *f = solve_function_create(work, SOLVE_FUNCTION_CALL);
    sigmoid_powers *powers = ddt_alloc(1, sizeof *powers);
    if (f == NULL || powers == NULL) {
        ddt_free(powers);
        return solve_no_memory(work->ctx);
    }
    *powers = (sigmoid_powers){share->power, -factor->power};
    f->call = sigmoid;
    f->data = powers;
    f->a = half;
    f->b = mid;
    product->coefficient *= pow(share->constant, factor->power);
    return solve_multiply_function(work, f, x, "a sigmoid effect", product);
}
