/*
 * Comparisons of a continuous covariate (AGE > 65), and min, max and abs, which compare, too. No polynomial follows a
 * jump; but who encrypts knows on which side of it a patient is. Each such comparison becomes a symbol of its own that
 * is 0 or 1 and is encrypted beside the covariate.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

/* ------------------------------------------------------------------ where the comparison changes */

typedef struct scan {
    const solve_work *work;
    ddt_expr e;
    uint32_t symbol;
    double *symbols;
} scan;

static bool holds_at(const scan *s, double value) {
    s->symbols[s->symbol] = value;
    return ddt_expr_eval(s->work->pool, s->e, s->symbols, NULL) != 0.0;
}

/* How often the comparison changes over the covariate's range; *low and *high enclose the last change. */
static size_t find_change(const scan *s, double *low, double *high) {
    enum { POINTS = 1024 };
    const solve_symbol *symbol = &s->work->symbols[s->symbol];
    size_t changes = 0;
    double before = symbol->low;
    for (int k = 1; k <= POINTS; k++) {
        double at = symbol->low + (symbol->high - symbol->low) * k / POINTS;
        if (holds_at(s, at) != holds_at(s, before)) {
            changes++;
            *low = before;
            *high = at;
        }
        before = at;
    }
    return changes;
}

/* The smallest number at which the comparison is what it is at `high`. */
static double bisect(const scan *s, double low, double high) {
    bool after = holds_at(s, high);
    double middle = low + 0.5 * (high - low);
    while (middle > low && middle < high) {
        if (holds_at(s, middle) == after) {
            high = middle;
        } else {
            low = middle;
        }
        middle = low + 0.5 * (high - low);
    }
    return high;
}

/* ------------------------------------------------------------------ symbols */

static uint32_t find_threshold(const solve_work *work, uint32_t origin, double threshold) {
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        const solve_symbol *symbol = &work->symbols[i];
        if (symbol->is_threshold && symbol->origin == origin && symbol->threshold == threshold) {
            return i;
        }
    }
    return SOLVE_NONE;
}

static size_t threshold_count(const solve_work *work) {
    size_t count = 0;
    for (size_t i = 0; i < work->symbol_count; i++) {
        count += work->symbols[i].is_threshold;
    }
    return count;
}

static ddt_status add_threshold(solve_work *work, uint32_t origin, double threshold, uint32_t *out) {
    enum { NAME_MAX_BYTES = 192 };
    char *name = solve_alloc(work, NAME_MAX_BYTES, 1);
    if (name == NULL) {
        return DDT_ERR_MEMORY;
    }
    (void)snprintf(name, NAME_MAX_BYTES, "%.140s >= %.6g", work->model->symbols[origin].name, threshold);
    *out = (uint32_t)work->symbol_count++;
    work->own_model->symbol_count = work->symbol_count;
    ddt_symbol *declared = &work->own_model->symbols[*out];
    *declared = work->own_model->symbols[origin];
    declared->name = name;
    declared->has_range = true;
    declared->range_low = 0.0;
    declared->range_high = 1.0;
    work->symbols[*out] = (solve_symbol){.is_encrypted = true,
                                         .is_threshold = true,
                                         .threshold = threshold,
                                         .origin = origin,
                                         .role = SOLVE_ROLE_SUBJECT,
                                         .high = 1.0,
                                         .level_count = 2,
                                         .levels = {0.0, 1.0}};
    return DDT_OK;
}

/* Whether e is undecided within the range of the one covariate that it depends on. */
static ddt_status is_open(solve_work *work, ddt_expr e, uint32_t *symbol, bool *yes) {
    solve_fact fact;
    *yes = false;
    SOLVE_TRY(solve_fact_of(work, e, &fact));
    *symbol = fact.symbol;
    if (fact.low == fact.high || fact.symbol >= work->symbol_count) {
        return DDT_OK;
    }
    const solve_symbol *s = &work->symbols[fact.symbol];
    *yes = work->model->symbols[fact.symbol].kind == DDT_SYMBOL_COVARIATE && s->level_count == 0;
    return DDT_OK;
}

/* On which side of a threshold a patient is, is encrypted once, not for every interval. */
static ddt_status refuse_changing(solve_work *work, ddt_expr e, uint32_t symbol) {
    const char *name = work->model->symbols[symbol].name;
    return ddt_fail(
        work->ctx, DDT_ERR_UNSUPPORTED,
        "'%s': %s compares %s, which changes within a subject of '%s': make the comparison a column of 0 and "
        "1 of its own, and the model read that.",
        work->model->path, solve_print(work, e), name, work->events->path);
}

/* A comparison as a symbol, or as 1 - a symbol. */
static ddt_status rewrite_comparison(solve_work *work, ddt_expr e, ddt_expr *out) {
    scan s = {.work = work, .e = e, .symbols = solve_alloc(work, work->symbol_count, sizeof(double))};
    bool yes = false;
    double low = 0.0;
    double high = 0.0;
    *out = e;
    if (s.symbols == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(is_open(work, e, &s.symbol, &yes));
    if (!yes || find_change(&s, &low, &high) != 1) {
        return DDT_OK;
    }
    if (work->symbols[s.symbol].changes) {
        return refuse_changing(work, e, s.symbol);
    }
    double threshold = bisect(&s, low, high);
    bool rises = holds_at(&s, high);
    uint32_t symbol = find_threshold(work, s.symbol, threshold);
    bool is_full = work->is_complete || threshold_count(work) == SOLVE_THRESHOLDS_MAX;
    if (symbol == SOLVE_NONE && is_full) {
        return DDT_OK;
    }
    SOLVE_TRY(symbol == SOLVE_NONE ? add_threshold(work, s.symbol, threshold, &symbol) : DDT_OK);
    *out = ddt_expr_symbol(work->pool, symbol);
    *out = rises ? *out : ddt_expr_binary(work->pool, DDT_EXPR_SUB, ddt_expr_const(work->pool, 1.0), *out);
    return *out == DDT_EXPR_NONE ? solve_pool_failure(work) : DDT_OK;
}

/* [a < b] first + [not] second */
static ddt_status rewrite_choice(solve_work *work, ddt_expr a, ddt_expr b, ddt_expr first, ddt_expr second,
                                 ddt_expr *out) {
    ddt_expr before = ddt_expr_binary(work->pool, DDT_EXPR_LT, a, b);
    ddt_expr condition = before;
    if (before == DDT_EXPR_NONE) {
        return solve_pool_failure(work);
    }
    SOLVE_TRY(rewrite_comparison(work, before, &condition));
    if (condition != before) {
        *out = ddt_expr_if(work->pool, condition, first, second);
    }
    return *out == DDT_EXPR_NONE ? solve_pool_failure(work) : DDT_OK;
}

ddt_status solve_threshold_rewrite(solve_work *work, ddt_expr e, ddt_expr *out) {
    *out = e;
    if (!work->has_ranges) {
        return DDT_OK;
    }
    ddt_expr_node node = *ddt_expr_get(work->pool, e);
    uint32_t symbol = SOLVE_NONE;
    bool yes = false;
    switch (node.op) {
    case DDT_EXPR_LT:
    case DDT_EXPR_LE:
        return rewrite_comparison(work, e, out);
    case DDT_EXPR_MIN:
    case DDT_EXPR_MAX:
        SOLVE_TRY(is_open(work, e, &symbol, &yes));
        return !yes                      ? DDT_OK
               : node.op == DDT_EXPR_MIN ? rewrite_choice(work, node.a, node.b, node.a, node.b, out)
                                         : rewrite_choice(work, node.a, node.b, node.b, node.a, out);
    case DDT_EXPR_ABS:
        SOLVE_TRY(is_open(work, e, &symbol, &yes));
        return yes ? rewrite_choice(work, node.a, ddt_expr_const(work->pool, 0.0),
                                    ddt_expr_unary(work->pool, DDT_EXPR_NEG, node.a), node.a, out)
                   : DDT_OK;
    default:
        return DDT_OK;
    }
}

void solve_threshold_settle(const solve_work *work, double *symbols) {
    for (size_t i = 0; i < work->symbol_count; i++) {
        if (work->symbols[i].is_threshold) {
            symbols[i] = symbols[work->symbols[i].origin] >= work->symbols[i].threshold ? 1.0 : 0.0;
        }
    }
}
