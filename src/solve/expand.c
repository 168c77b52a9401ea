/*
 * Expressions as sums of products: coefficient * exp(linear combination of symbols and logarithms of positive symbols)
 * * functions of one symbol * functions of sums. What depends on one encrypted symbol only becomes one function of it,
 * however complicated.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

#include <string.h>

static ddt_status expand(solve_work *work, ddt_expr e, solve_terms *out);

/* ------------------------------------------------------------------ terms */

static ddt_status too_large(const solve_work *work) {
    return ddt_fail(
        work->ctx, DDT_ERR_UNSUPPORTED,
        "'%s': an expression has too many terms or factors in encrypted symbols (%d terms, %d factors at most).",
        work->model->path, SOLVE_TERMS_MAX, SOLVE_FACTORS_MAX);
}

static ddt_status append(solve_work *work, solve_terms *terms, const solve_term *term) {
    if (term->coefficient == 0.0) {
        return DDT_OK;
    }
    if (terms->count >= SOLVE_TERMS_MAX) {
        return too_large(work);
    }
    solve_term *copy = solve_alloc(work, 1, sizeof *copy);
    if (copy == NULL) {
        return DDT_ERR_MEMORY;
    }
    *copy = *term;
    copy->next = NULL;
    solve_term **at = &terms->first;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = copy;
    terms->count++;
    return DDT_OK;
}

static solve_term constant_term(double value) { return (solve_term){.coefficient = value, .group = SOLVE_NONE}; }

static ddt_status append_constant(solve_work *work, solve_terms *out, double value) {
    solve_term term = constant_term(value);
    return append(work, out, &term);
}

static ddt_status add_exponent(const solve_work *work, solve_term *term, uint32_t symbol, bool is_log,
                               double coefficient) {
    for (size_t i = 0; i < term->exponent_count; i++) {
        solve_exponent *x = &term->exponents[i];
        if (x->symbol == symbol && x->is_log == is_log) {
            x->coefficient += coefficient;
            if (x->coefficient == 0.0) {
                *x = term->exponents[--term->exponent_count];
            }
            return DDT_OK;
        }
    }
    if (term->exponent_count == SOLVE_EXPONENTS_MAX) {
        return too_large(work);
    }
    term->exponents[term->exponent_count++] = (solve_exponent){symbol, is_log, coefficient};
    return DDT_OK;
}

/* Multiplies by a factor; functions of one symbol merge, equal arguments of outer functions add their powers. */
static ddt_status add_factor(const solve_work *work, solve_term *term, const solve_factor *factor) {
    for (size_t i = 0; i < term->factor_count; i++) {
        solve_factor *f = &term->factors[i];
        if (f->inner == NULL && factor->inner == NULL && f->symbol == factor->symbol) {
            f->expression = ddt_expr_binary(work->pool, DDT_EXPR_MUL, f->expression, factor->expression);
            return f->expression == DDT_EXPR_NONE ? solve_pool_failure(work) : DDT_OK;
        }
        if (f->inner != NULL && factor->inner != NULL && f->expression == factor->expression && f->op == factor->op &&
            (f->op == DDT_EXPR_POW || f->op == DDT_EXPR_EXP)) {
            f->power += factor->power;
            if (f->power == 0.0) {
                *f = term->factors[--term->factor_count];
            }
            return DDT_OK;
        }
    }
    if (term->factor_count == SOLVE_FACTORS_MAX) {
        return too_large(work);
    }
    term->factors[term->factor_count++] = *factor;
    return DDT_OK;
}

static ddt_status multiply_terms(const solve_work *work, solve_term *a, const solve_term *b) {
    a->coefficient *= b->coefficient;
    for (size_t i = 0; i < b->exponent_count; i++) {
        SOLVE_TRY(add_exponent(work, a, b->exponents[i].symbol, b->exponents[i].is_log, b->exponents[i].coefficient));
    }
    for (size_t i = 0; i < b->factor_count; i++) {
        SOLVE_TRY(add_factor(work, a, &b->factors[i]));
    }
    return DDT_OK;
}

static ddt_status append_function(solve_work *work, solve_terms *out, uint32_t symbol, ddt_expr e) {
    if (e == DDT_EXPR_NONE) {
        return solve_pool_failure(work);
    }
    solve_term term = constant_term(1.0);
    term.factors[0] = (solve_factor){.symbol = symbol, .expression = e, .power = 1.0};
    term.factor_count = 1;
    return append(work, out, &term);
}

/* An outer function of a sum that cannot be taken apart. */
static ddt_status append_outer(solve_work *work, solve_terms *out, ddt_expr_op op, ddt_expr argument, double power) {
    solve_term term = constant_term(1.0);
    solve_terms *inner = solve_alloc(work, 1, sizeof *inner);
    if (inner == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(expand(work, argument, inner));
    term.factors[0] =
        (solve_factor){.symbol = SOLVE_MANY, .expression = argument, .op = op, .power = power, .inner = inner};
    SOLVE_TRY(solve_share_find(work, &term.factors[0]));
    term.factor_count = 1;
    return append(work, out, &term);
}

/* ------------------------------------------------------------------ powers */

static bool is_integer(double x) { return x == floor(x) && fabs(x) < 1e9; }

/*
 * True when every factor of a term is positive on the declared ranges, so that powers distribute. One function of
 * public times may have any sign: the whole is negative, and its power undefined, exactly where that function is.
 */
static ddt_status is_positive(solve_work *work, const solve_term *term, bool *positive) {
    bool may_be_time = true;
    *positive = term->coefficient > 0.0;
    for (size_t i = 0; i < term->factor_count && *positive; i++) {
        const solve_factor *f = &term->factors[i];
        solve_fact fact;
        if (may_be_time && f->inner == NULL && f->symbol < work->symbol_count && work->symbols[f->symbol].is_time) {
            may_be_time = false;
            continue;
        }
        SOLVE_TRY(solve_fact_of(work, f->expression, &fact));
        *positive = (f->inner != NULL && f->op == DDT_EXPR_EXP) ||
                    (fact.low > 0.0 && (f->inner == NULL || f->op == DDT_EXPR_POW));
    }
    return DDT_OK;
}

/* Whether term^power can be written as a term. */
static ddt_status distributes(solve_work *work, const solve_term *term, double power, bool *yes) {
    SOLVE_TRY(is_positive(work, term, yes));
    if (*yes || !is_integer(power)) {
        return DDT_OK;
    }
    *yes = true;
    for (size_t i = 0; i < term->factor_count; i++) {
        const solve_factor *f = &term->factors[i];
        *yes &= f->inner == NULL || f->op == DDT_EXPR_POW || f->op == DDT_EXPR_EXP;
    }
    return DDT_OK;
}

ddt_status solve_term_raise(const solve_work *work, solve_term *term, double power) {
    term->coefficient = pow(term->coefficient, power);
    for (size_t i = 0; i < term->exponent_count; i++) {
        term->exponents[i].coefficient *= power;
    }
    for (size_t i = 0; i < term->factor_count; i++) {
        solve_factor *f = &term->factors[i];
        if (f->inner != NULL) {
            f->power *= power;
            continue;
        }
        f->expression = ddt_expr_binary(work->pool, DDT_EXPR_POW, f->expression, ddt_expr_const(work->pool, power));
        if (f->expression == DDT_EXPR_NONE) {
            return solve_pool_failure(work);
        }
    }
    return DDT_OK;
}

static ddt_status append_products(solve_work *work, const solve_term *x, const solve_terms *b, solve_terms *out) {
    for (const solve_term *y = b->first; y != NULL; y = y->next) {
        solve_term product = *x;
        SOLVE_TRY(multiply_terms(work, &product, y));
        SOLVE_TRY(append(work, out, &product));
    }
    return DDT_OK;
}

static ddt_status expand_product(solve_work *work, const solve_terms *a, const solve_terms *b, solve_terms *out) {
    for (const solve_term *x = a->first; x != NULL; x = x->next) {
        SOLVE_TRY(append_products(work, x, b, out));
    }
    return DDT_OK;
}

/* f(c ? a : b) = c ? f(a) : f(b): conditions come out of powers, exponentials and logarithms. */
static ddt_expr outside_condition(solve_work *work, ddt_expr_op op, ddt_expr argument, double power) {
    ddt_expr_node node = *ddt_expr_get(work->pool, argument);
    ddt_expr images[2] = {node.b, node.c};
    for (size_t k = 0; k < 2; k++) {
        images[k] = op == DDT_EXPR_POW ? ddt_expr_binary(work->pool, op, images[k], ddt_expr_const(work->pool, power))
                                       : ddt_expr_unary(work->pool, op, images[k]);
    }
    return ddt_expr_if(work->pool, node.a, images[0], images[1]);
}

static bool is_condition(const solve_work *work, ddt_expr e) { return ddt_expr_get(work->pool, e)->op == DDT_EXPR_IF; }

static ddt_status append_all(solve_work *work, const solve_terms *terms, solve_terms *out) {
    for (const solve_term *t = terms->first; t != NULL; t = t->next) {
        SOLVE_TRY(append(work, out, t));
    }
    return DDT_OK;
}

/* base^power, where base depends on several symbols or is a product. */
static ddt_status expand_power(solve_work *work, ddt_expr base, double power, solve_terms *out) {
    solve_terms inner = {0};
    if (power != 1.0 && is_condition(work, base)) {
        return expand(work, outside_condition(work, DDT_EXPR_POW, base, power), out);
    }
    SOLVE_TRY(expand(work, base, &inner));
    if (inner.count == 0) {
        return append_constant(work, out, pow(0.0, power));
    }
    bool yes = false;
    SOLVE_TRY(inner.count == 1 ? distributes(work, inner.first, power, &yes) : DDT_OK);
    if (yes) {
        solve_term term = *inner.first;
        SOLVE_TRY(solve_term_raise(work, &term, power));
        return append(work, out, &term);
    }
    if (power == 1.0) {
        return append_all(work, &inner, out);
    }
    return append_outer(work, out, DDT_EXPR_POW, base, power);
}

/* ------------------------------------------------------------------ exponentials and logarithms */

/* Whether e = offset + slope * symbol. */
static bool affine_in(const solve_work *work, ddt_expr e, uint32_t symbol, double *slope, double *offset) {
    ddt_expr derivative = ddt_expr_derivative(work->pool, e, symbol);
    ddt_expr rest = ddt_expr_substitute(work->pool, e, symbol, ddt_expr_const(work->pool, 0.0));
    return derivative != DDT_EXPR_NONE && rest != DDT_EXPR_NONE && ddt_expr_is_const(work->pool, derivative, slope) &&
           ddt_expr_is_const(work->pool, rest, offset);
}

/* The symbol of log(symbol) where that is what e is and the symbol is positive. */
static bool logarithm_of(const solve_work *work, ddt_expr e, uint32_t *symbol) {
    const ddt_expr_node *node = ddt_expr_get(work->pool, e);
    const ddt_expr_node *inside = node->op == DDT_EXPR_LOG ? ddt_expr_get(work->pool, node->a) : NULL;
    if (inside == NULL || inside->op != DDT_EXPR_SYMBOL || !(work->symbols[inside->symbol].low > 0.0)) {
        return false;
    }
    *symbol = inside->symbol;
    return true;
}

/* A term of an exponent that is constant + c * symbol or c * log(symbol). */
static bool exponent_of(const solve_work *work, const solve_term *term, solve_exponent *out, double *constant) {
    *constant = 0.0;
    if (term->exponent_count == 1 && term->factor_count == 0 && term->exponents[0].is_log &&
        term->exponents[0].coefficient == 1.0) {
        *out = (solve_exponent){term->exponents[0].symbol, false, term->coefficient};
        return true;
    }
    if (term->exponent_count != 0 || term->factor_count != 1 || term->factors[0].inner != NULL) {
        return false;
    }
    const solve_factor *factor = &term->factors[0];
    double slope = 0.0;
    if (affine_in(work, factor->expression, factor->symbol, &slope, constant)) {
        *out = (solve_exponent){factor->symbol, false, slope * term->coefficient};
        *constant *= term->coefficient;
        return true;
    }
    uint32_t symbol = SOLVE_NONE;
    if (!work->symbols[factor->symbol].is_state && logarithm_of(work, factor->expression, &symbol)) {
        *out = (solve_exponent){symbol, true, term->coefficient};
        return true;
    }
    return false;
}

/* The one symbol that a term depends on, SOLVE_NONE or SOLVE_MANY. */
static uint32_t symbol_of_term(const solve_term *term) {
    uint32_t symbol = SOLVE_NONE;
    for (size_t i = 0; i < term->exponent_count + term->factor_count; i++) {
        uint32_t next =
            i < term->exponent_count ? term->exponents[i].symbol : term->factors[i - term->exponent_count].symbol;
        if (symbol != SOLVE_NONE && symbol != next) {
            return SOLVE_MANY;
        }
        symbol = next;
    }
    return symbol;
}

/* x^a or exp(a x), as an expression. */
static ddt_expr power_of(const solve_work *work, const solve_exponent *x) {
    ddt_expr_pool *pool = work->pool;
    ddt_expr symbol = ddt_expr_symbol(pool, x->symbol);
    ddt_expr c = ddt_expr_const(pool, x->coefficient);
    return x->is_log ? ddt_expr_binary(pool, DDT_EXPR_POW, symbol, c)
                     : ddt_expr_unary(pool, DDT_EXPR_EXP, ddt_expr_binary(pool, DDT_EXPR_MUL, c, symbol));
}

/* A term in one symbol as an expression again. */
static ddt_expr expression_of(const solve_work *work, const solve_term *term) {
    ddt_expr_pool *pool = work->pool;
    ddt_expr e = ddt_expr_const(pool, term->coefficient);
    for (size_t i = 0; i < term->exponent_count; i++) {
        e = ddt_expr_binary(pool, DDT_EXPR_MUL, e, power_of(work, &term->exponents[i]));
    }
    for (size_t i = 0; i < term->factor_count; i++) {
        e = ddt_expr_binary(pool, DDT_EXPR_MUL, e, term->factors[i].expression);
    }
    return e;
}

/* exp(a term of one symbol, or a constant) as a part of result; *is_apart: it is of several symbols. */
static ddt_status multiply_exp(solve_work *work, const solve_term *t, solve_term *result, bool *is_apart) {
    solve_exponent x;
    double constant = 0.0;
    *is_apart = false;
    if (t->exponent_count + t->factor_count == 0) {
        result->coefficient *= exp(t->coefficient);
        return DDT_OK;
    }
    if (exponent_of(work, t, &x, &constant)) {
        result->coefficient *= exp(constant);
        return add_exponent(work, result, x.symbol, x.is_log, x.coefficient);
    }
    *is_apart = symbol_of_term(t) == SOLVE_MANY;
    if (*is_apart) {
        return DDT_OK;
    }
    ddt_expr e = ddt_expr_unary(work->pool, DDT_EXPR_EXP, expression_of(work, t));
    solve_factor factor = {.symbol = symbol_of_term(t), .expression = e, .power = 1.0};
    return e == DDT_EXPR_NONE ? solve_pool_failure(work) : add_factor(work, result, &factor);
}

/* exp(sum of terms). What is neither linear nor of one symbol stays together under one exponential. */
static ddt_status expand_exp(solve_work *work, ddt_expr argument, solve_terms *out) {
    solve_terms inner = {0};
    if (is_condition(work, argument)) {
        return expand(work, outside_condition(work, DDT_EXPR_EXP, argument, 1.0), out);
    }
    SOLVE_TRY(expand(work, argument, &inner));
    solve_term result = constant_term(1.0);
    for (const solve_term *t = inner.first; t != NULL; t = t->next) {
        bool is_apart = false;
        SOLVE_TRY(multiply_exp(work, t, &result, &is_apart));
        if (is_apart) {
            return append_outer(work, out, DDT_EXPR_EXP, argument, 1.0);
        }
    }
    return append(work, out, &result);
}

/* log(x^a) or log(exp(a x)) */
static ddt_status append_log_of_power(solve_work *work, const solve_exponent *x, solve_terms *out) {
    ddt_expr e = ddt_expr_symbol(work->pool, x->symbol);
    e = x->is_log ? ddt_expr_unary(work->pool, DDT_EXPR_LOG, e) : e;
    e = ddt_expr_binary(work->pool, DDT_EXPR_MUL, ddt_expr_const(work->pool, x->coefficient), e);
    return append_function(work, out, x->symbol, e);
}

static ddt_status append_log_of_factor(solve_work *work, const solve_factor *f, solve_terms *out) {
    if (f->inner == NULL) {
        return append_function(work, out, f->symbol, ddt_expr_unary(work->pool, DDT_EXPR_LOG, f->expression));
    }
    solve_terms part = {0};
    SOLVE_TRY(f->op == DDT_EXPR_EXP ? expand(work, f->expression, &part)
                                    : append_outer(work, &part, DDT_EXPR_LOG, f->expression, 1.0));
    for (solve_term *p = part.first; p != NULL; p = p->next) {
        p->coefficient *= f->power;
    }
    return append_all(work, &part, out);
}

/* log(product) = sum of logarithms, where every factor is positive. */
static ddt_status expand_log(solve_work *work, ddt_expr argument, solve_terms *out) {
    solve_terms inner = {0};
    if (is_condition(work, argument)) {
        return expand(work, outside_condition(work, DDT_EXPR_LOG, argument, 1.0), out);
    }
    SOLVE_TRY(expand(work, argument, &inner));
    bool positive = false;
    SOLVE_TRY(inner.count == 1 ? is_positive(work, inner.first, &positive) : DDT_OK);
    if (!positive) {
        return append_outer(work, out, DDT_EXPR_LOG, argument, 1.0);
    }
    const solve_term *t = inner.first;
    SOLVE_TRY(append_constant(work, out, log(t->coefficient)));
    for (size_t i = 0; i < t->exponent_count; i++) {
        SOLVE_TRY(append_log_of_power(work, &t->exponents[i], out));
    }
    for (size_t i = 0; i < t->factor_count; i++) {
        SOLVE_TRY(append_log_of_factor(work, &t->factors[i], out));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ conditions */

/* A discrete symbol among those that e depends on, SOLVE_NONE where there is none. */
static ddt_status find_discrete(solve_work *work, ddt_expr e, uint32_t *symbol) {
    bool *used = solve_alloc(work, work->symbol_count, sizeof *used);
    if (used == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(ddt_expr_symbols(work->ctx, work->pool, &e, 1, used, work->symbol_count));
    *symbol = SOLVE_NONE;
    for (size_t i = 0; i < work->symbol_count; i++) {
        if (used[i] && work->symbols[i].level_count > 0) {
            *symbol = (uint32_t)i;
            return DDT_OK;
        }
    }
    return DDT_OK;
}

/* [symbol is one of the levels at which e becomes `value`], as an expression. */
static ddt_expr level_indicator(solve_work *work, uint32_t symbol, const ddt_expr *values, ddt_expr value) {
    const solve_symbol *s = &work->symbols[symbol];
    ddt_expr sum = ddt_expr_const(work->pool, 0.0);
    for (size_t l = 0; l < s->level_count; l++) {
        if (values[l] == value) {
            ddt_expr is_level = ddt_expr_binary(work->pool, DDT_EXPR_EQ, ddt_expr_symbol(work->pool, symbol),
                                                ddt_expr_const(work->pool, s->levels[l]));
            sum = ddt_expr_binary(work->pool, DDT_EXPR_ADD, sum, is_level);
        }
    }
    return sum;
}

static ddt_status append_level(solve_work *work, uint32_t symbol, const ddt_expr *values, ddt_expr value,
                               solve_terms *out) {
    solve_terms indicator = {0};
    solve_terms inner = {0};
    SOLVE_TRY(append_function(work, &indicator, symbol, level_indicator(work, symbol, values, value)));
    SOLVE_TRY(expand(work, value, &inner));
    return expand_product(work, &inner, &indicator, out);
}

/* e = sum over the values of e at the levels of a discrete symbol of [symbol has such a level] value: exact. */
static ddt_status expand_levels(solve_work *work, ddt_expr e, uint32_t symbol, solve_terms *out) {
    const solve_symbol *s = &work->symbols[symbol];
    ddt_expr values[SOLVE_LEVELS_MAX] = {0};
    for (size_t l = 0; l < s->level_count; l++) {
        values[l] = ddt_expr_substitute(work->pool, e, symbol, ddt_expr_const(work->pool, s->levels[l]));
        if (values[l] == DDT_EXPR_NONE) {
            return solve_pool_failure(work);
        }
    }
    for (size_t l = 0; l < s->level_count; l++) {
        bool is_first = true;
        for (size_t k = 0; k < l; k++) {
            is_first &= values[k] != values[l];
        }
        SOLVE_TRY(is_first ? append_level(work, symbol, values, values[l], out) : DDT_OK);
    }
    return DDT_OK;
}

/* A condition on time only: [condition] b + [not condition] c. */
static ddt_status expand_when(solve_work *work, ddt_expr_node node, uint32_t time, solve_terms *out) {
    for (int side = 0; side < 2; side++) {
        ddt_expr one = ddt_expr_const(work->pool, 1.0);
        ddt_expr zero = ddt_expr_const(work->pool, 0.0);
        solve_terms indicator = {0};
        solve_terms inner = {0};
        ddt_expr is_side = ddt_expr_if(work->pool, node.a, side == 0 ? one : zero, side == 0 ? zero : one);
        SOLVE_TRY(append_function(work, &indicator, time, is_side));
        SOLVE_TRY(expand(work, side == 0 ? node.b : node.c, &inner));
        SOLVE_TRY(expand_product(work, &inner, &indicator, out));
    }
    return DDT_OK;
}

static ddt_status expand_condition(solve_work *work, ddt_expr e, ddt_expr condition, solve_terms *out) {
    uint32_t symbol = SOLVE_NONE;
    SOLVE_TRY(find_discrete(work, condition, &symbol));
    if (symbol != SOLVE_NONE) {
        return expand_levels(work, e, symbol, out);
    }
    solve_fact fact;
    SOLVE_TRY(solve_fact_of(work, condition, &fact));
    ddt_expr_node node = *ddt_expr_get(work->pool, e);
    if (node.op == DDT_EXPR_IF && fact.symbol < work->symbol_count && work->symbols[fact.symbol].is_time) {
        return expand_when(work, node, fact.symbol, out);
    }
    return ddt_fail(
        work->ctx, DDT_ERR_UNSUPPORTED,
        "'%s': %s decides on encrypted values that are not categories; conditions, min, max and abs must be "
        "decided by the declared ranges or by covariates with few values.",
        work->model->path, solve_print(work, e));
}

/* IF, MIN, MAX, ABS and comparisons of several symbols: decided by the ranges, or split by a discrete symbol. */
static ddt_status expand_choice(solve_work *work, ddt_expr e, solve_terms *out) {
    ddt_expr_node node = *ddt_expr_get(work->pool, e);
    solve_fact a = {0};
    solve_fact b = {0};
    solve_fact whole = {0};
    SOLVE_TRY(solve_fact_of(work, e, &whole));
    SOLVE_TRY(solve_fact_of(work, node.a, &a));
    if (node.b != DDT_EXPR_NONE) {
        SOLVE_TRY(solve_fact_of(work, node.b, &b));
    }
    if (whole.low == whole.high) {
        return append_constant(work, out, whole.low);
    }
    bool first = false;
    bool second = false;
    switch (node.op) {
    case DDT_EXPR_IF:
        if (a.low > 0.0 || a.high < 0.0 || (a.low == 0.0 && a.high == 0.0)) {
            return expand(work, a.low == 0.0 && a.high == 0.0 ? node.c : node.b, out);
        }
        return expand_condition(work, e, node.a, out);
    case DDT_EXPR_MIN:
    case DDT_EXPR_MAX:
        first = node.op == DDT_EXPR_MIN ? a.high <= b.low : a.low >= b.high;
        second = node.op == DDT_EXPR_MIN ? b.high <= a.low : b.low >= a.high;
        return first || second ? expand(work, first ? node.a : node.b, out) : expand_condition(work, e, e, out);
    case DDT_EXPR_ABS:
        if (a.low >= 0.0 || a.high <= 0.0) {
            return expand(work, a.low >= 0.0 ? node.a : ddt_expr_unary(work->pool, DDT_EXPR_NEG, node.a), out);
        }
        return expand_condition(work, e, e, out);
    default:
        return expand_condition(work, e, e, out);
    }
}

/* ------------------------------------------------------------------ all operations */

static ddt_status expand_sum(solve_work *work, ddt_expr a, ddt_expr b, double sign, solve_terms *out) {
    SOLVE_TRY(expand(work, a, out));
    solve_terms second = {0};
    SOLVE_TRY(expand(work, b, &second));
    for (solve_term *t = second.first; t != NULL; t = t->next) {
        t->coefficient *= sign;
        SOLVE_TRY(append(work, out, t));
    }
    return DDT_OK;
}

static ddt_status expand_times(solve_work *work, ddt_expr a, ddt_expr b, double power, solve_terms *out) {
    solve_terms left = {0};
    solve_terms right = {0};
    SOLVE_TRY(expand(work, a, &left));
    SOLVE_TRY(power == 1.0 ? expand(work, b, &right) : expand_power(work, b, power, &right));
    return expand_product(work, &left, &right, out);
}

static ddt_status expand_operation(solve_work *work, ddt_expr e, solve_terms *out) {
    ddt_expr_node node = *ddt_expr_get(work->pool, e);
    double constant = 0.0;
    solve_terms none = {0};
    switch (node.op) {
    case DDT_EXPR_ADD:
        return expand_sum(work, node.a, node.b, 1.0, out);
    case DDT_EXPR_SUB:
        return expand_sum(work, node.a, node.b, -1.0, out);
    case DDT_EXPR_NEG:
        SOLVE_TRY(append_constant(work, &none, 0.0));
        return expand_sum(work, ddt_expr_const(work->pool, 0.0), node.a, -1.0, out);
    case DDT_EXPR_MUL:
        return expand_times(work, node.a, node.b, 1.0, out);
    case DDT_EXPR_DIV:
        return expand_times(work, node.a, node.b, -1.0, out);
    case DDT_EXPR_SQRT:
        return expand_power(work, node.a, 0.5, out);
    case DDT_EXPR_EXP:
        return expand_exp(work, node.a, out);
    case DDT_EXPR_LOG:
        return expand_log(work, node.a, out);
    case DDT_EXPR_POW:
        if (ddt_expr_is_const(work->pool, node.b, &constant)) {
            return expand_power(work, node.a, constant, out);
        }
        /* a^b = exp(b log a) for positive a */
        return expand_exp(
            work, ddt_expr_binary(work->pool, DDT_EXPR_MUL, node.b, ddt_expr_unary(work->pool, DDT_EXPR_LOG, node.a)),
            out);
    case DDT_EXPR_GAMMA:
    case DDT_EXPR_LGAMMA:
    case DDT_EXPR_SIN:
    case DDT_EXPR_COS:
    case DDT_EXPR_TANH:
        return append_outer(work, out, node.op, node.a, 1.0);
    default:
        return expand_choice(work, e, out);
    }
}

/* Products and exponentials of one symbol are taken apart too, so that their parts can merge with others. */
static bool is_multiplicative(ddt_expr_op op) {
    return op == DDT_EXPR_MUL || op == DDT_EXPR_DIV || op == DDT_EXPR_NEG || op == DDT_EXPR_EXP || op == DDT_EXPR_POW ||
           op == DDT_EXPR_SQRT;
}

static ddt_status expand(solve_work *work, ddt_expr e, solve_terms *out) {
    solve_fact fact;
    double value = 0.0;
    SOLVE_TRY(solve_fact_of(work, e, &fact));
    if (ddt_expr_is_const(work->pool, e, &value)) {
        return append_constant(work, out, value);
    }
    if (fact.symbol == SOLVE_MANY) {
        return expand_operation(work, e, out);
    }
    ddt_expr_node node = *ddt_expr_get(work->pool, e);
    const solve_symbol *symbol = &work->symbols[fact.symbol];
    bool is_plain = symbol->level_count == 0 && !solve_is_varying(symbol);
    if (node.op == DDT_EXPR_SYMBOL && is_plain && symbol->low > 0.0) {
        solve_term term = constant_term(1.0);
        SOLVE_TRY(add_exponent(work, &term, fact.symbol, true, 1.0));
        return append(work, out, &term);
    }
    if ((is_plain && is_multiplicative(node.op)) || (symbol->is_state && node.op == DDT_EXPR_EXP)) {
        return expand_operation(work, e, out);
    }
    return append_function(work, out, fact.symbol, e);
}

/* ------------------------------------------------------------------ tidying up */

static size_t count_terms(const solve_terms *terms, uint32_t symbol) {
    size_t count = 0;
    for (const solve_term *t = terms->first; t != NULL; t = t->next) {
        count += symbol_of_term(t) == symbol;
    }
    return count;
}

/* Terms without a symbol become one. */
static ddt_status merge_constants(solve_work *work, solve_terms *terms) {
    solve_terms rest = {0};
    double constant = 0.0;
    if (count_terms(terms, SOLVE_NONE) < 2) {
        return DDT_OK;
    }
    for (const solve_term *t = terms->first; t != NULL; t = t->next) {
        bool is_constant = symbol_of_term(t) == SOLVE_NONE;
        constant += is_constant ? t->coefficient : 0.0;
        SOLVE_TRY(is_constant ? DDT_OK : append(work, &rest, t));
    }
    SOLVE_TRY(append_constant(work, &rest, constant));
    *terms = rest;
    return DDT_OK;
}

/* Terms in one and the same symbol become one function of it, unless there is one only. */
static ddt_status merge_symbol(solve_work *work, solve_terms *terms, uint32_t symbol) {
    if (count_terms(terms, symbol) < 2) {
        return DDT_OK;
    }
    solve_terms rest = {0};
    ddt_expr sum = ddt_expr_const(work->pool, 0.0);
    for (const solve_term *t = terms->first; t != NULL; t = t->next) {
        bool is_own = symbol_of_term(t) == symbol;
        sum = is_own ? ddt_expr_binary(work->pool, DDT_EXPR_ADD, sum, expression_of(work, t)) : sum;
        SOLVE_TRY(is_own ? DDT_OK : append(work, &rest, t));
    }
    SOLVE_TRY(solve_is_constant(work, sum, 0.0) ? DDT_OK : append_function(work, &rest, symbol, sum));
    *terms = rest;
    return DDT_OK;
}

/* Whether a factor is positive at both values of a symbol that has two: values. */
static ddt_status binary_values(solve_work *work, const solve_factor *f, double *values, bool *yes) {
    *yes = f->inner == NULL && work->symbols[f->symbol].level_count == 2;
    double *symbols = solve_alloc(work, work->symbol_count, sizeof *symbols);
    if (symbols == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t l = 0; l < 2 && *yes; l++) {
        symbols[f->symbol] = work->symbols[f->symbol].levels[l];
        values[l] = ddt_expr_eval(work->pool, f->expression, symbols, NULL);
        *yes = values[l] > 0.0 && isfinite(values[l]);
    }
    return DDT_OK;
}

/* A positive function of a symbol with two values is exp(a + b symbol): it merges with the other exponents. */
static ddt_status merge_binary(solve_work *work, solve_term *term) {
    for (size_t i = 0; i < term->factor_count;) {
        double values[2] = {1.0, 1.0};
        bool yes = false;
        uint32_t symbol = term->factors[i].symbol;
        SOLVE_TRY(binary_values(work, &term->factors[i], values, &yes));
        if (!yes) {
            i++;
            continue;
        }
        const solve_symbol *s = &work->symbols[symbol];
        double slope = log(values[1] / values[0]) / (s->levels[1] - s->levels[0]);
        term->coefficient *= values[0] * exp(-slope * s->levels[0]);
        term->factors[i] = term->factors[--term->factor_count];
        SOLVE_TRY(slope != 0.0 ? add_exponent(work, term, symbol, false, slope) : DDT_OK);
    }
    return DDT_OK;
}

/* symbol^1 alone is no exponential: a linear function costs no level. */
static ddt_status unmake_linear(const solve_work *work, solve_term *term) {
    if (term->exponent_count != 1 || !term->exponents[0].is_log || term->exponents[0].coefficient != 1.0) {
        return DDT_OK;
    }
    uint32_t symbol = term->exponents[0].symbol;
    term->exponent_count = 0;
    solve_factor factor = {.symbol = symbol, .expression = ddt_expr_symbol(work->pool, symbol), .power = 1.0};
    return factor.expression == DDT_EXPR_NONE ? solve_pool_failure(work) : add_factor(work, term, &factor);
}

static solve_factor *function_of(solve_term *term, uint32_t symbol) {
    for (size_t i = 0; i < term->factor_count; i++) {
        if (term->factors[i].inner == NULL && term->factors[i].symbol == symbol) {
            return &term->factors[i];
        }
    }
    return NULL;
}

/* x^a g(x) is one function of x: in x^3 / (c + x^3) neither part is as tame as the whole. */
static ddt_status fold_exponents(const solve_work *work, solve_term *term) {
    for (size_t i = 0; i < term->exponent_count;) {
        solve_factor *f = function_of(term, term->exponents[i].symbol);
        if (f == NULL || work->symbols[f->symbol].is_state) {
            i++;
            continue;
        }
        f->expression = ddt_expr_binary(work->pool, DDT_EXPR_MUL, f->expression, power_of(work, &term->exponents[i]));
        if (f->expression == DDT_EXPR_NONE) {
            return solve_pool_failure(work);
        }
        term->exponents[i] = term->exponents[--term->exponent_count];
    }
    return DDT_OK;
}

static ddt_status tidy_term(solve_work *work, solve_term *term) {
    if (symbol_of_term(term) == SOLVE_MANY && term->exponent_count > 0) {
        SOLVE_TRY(merge_binary(work, term));
    }
    SOLVE_TRY(unmake_linear(work, term));
    SOLVE_TRY(fold_exponents(work, term));
    uint32_t symbol = symbol_of_term(term);
    if (symbol == SOLVE_NONE || symbol == SOLVE_MANY || term->exponent_count == 0 || term->factor_count == 0) {
        return DDT_OK;
    }
    /* An exponential and functions of one symbol: one function. */
    double coefficient = term->coefficient;
    term->coefficient = 1.0;
    ddt_expr e = expression_of(work, term);
    if (e == DDT_EXPR_NONE) {
        return solve_pool_failure(work);
    }
    *term = (solve_term){.coefficient = coefficient, .factor_count = 1, .group = SOLVE_NONE, .next = term->next};
    term->factors[0] = (solve_factor){.symbol = symbol, .expression = e, .power = 1.0};
    return DDT_OK;
}

static ddt_status tidy(solve_work *work, solve_terms *terms);

static ddt_status tidy_factors(solve_work *work, const solve_term *term) {
    for (size_t i = 0; i < term->factor_count; i++) {
        const solve_factor *f = &term->factors[i];
        SOLVE_TRY(f->share != NULL ? tidy(work, &f->share->w) : f->inner != NULL ? tidy(work, f->inner) : DDT_OK);
    }
    return DDT_OK;
}

static ddt_status tidy(solve_work *work, solve_terms *terms) {
    SOLVE_TRY(merge_constants(work, terms));
    for (uint32_t s = 0; s < work->symbol_count; s++) {
        bool is_open = work->symbols[s].is_encrypted || work->symbols[s].is_dose || solve_is_varying(&work->symbols[s]);
        SOLVE_TRY(is_open ? merge_symbol(work, terms, s) : DDT_OK);
    }
    for (solve_term *t = terms->first; t != NULL; t = t->next) {
        SOLVE_TRY(tidy_term(work, t));
        SOLVE_TRY(tidy_factors(work, t));
    }
    return DDT_OK;
}

ddt_status solve_expand(solve_work *work, ddt_expr e, solve_terms *out) {
    *out = (solve_terms){0};
    SOLVE_TRY(expand(work, e, out));
    return tidy(work, out);
}
