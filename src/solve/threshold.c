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
        if (symbol->is_threshold && symbol->base == i && symbol->origin == origin && symbol->threshold == threshold) {
            return i;
        }
    }
    return SOLVE_NONE;
}

static size_t threshold_count(const solve_work *work) {
    size_t count = 0;
    for (size_t i = 0; i < work->symbol_count; i++) {
        count += work->symbols[i].is_threshold && work->symbols[i].base == i;
    }
    return count;
}

/* The covariate's value in a role: the symbol that stands for it there. */
static uint32_t in_role(const solve_work *work, uint32_t base, solve_role role) {
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        if (work->symbols[i].base == base && work->symbols[i].role == role) {
            return i;
        }
    }
    return base;
}

/* One symbol for [the covariate `compared` >= threshold], which stands for `base` in the role of `compared`. */
static ddt_status add_symbol(solve_work *work, uint32_t compared, double threshold, uint32_t base) {
    enum { NAME_MAX_BYTES = 192 };
    uint32_t index = (uint32_t)work->symbol_count;
    const solve_symbol covariate = work->symbols[compared];
    char *name = solve_alloc(work, NAME_MAX_BYTES, 1);
    if (name == NULL) {
        return DDT_ERR_MEMORY;
    }
    (void)snprintf(name, NAME_MAX_BYTES, "%.140s >= %.6g", work->model->symbols[compared].name, threshold);
    work->own_model->symbol_count = ++work->symbol_count;
    ddt_symbol *declared = &work->own_model->symbols[index];
    *declared = work->own_model->symbols[compared];
    declared->name = name;
    declared->has_range = true;
    declared->range_low = 0.0;
    declared->range_high = 1.0;
    work->symbols[index] = (solve_symbol){.is_encrypted = true,
                                          .is_threshold = true,
                                          .threshold = threshold,
                                          .compared = compared,
                                          .origin = covariate.origin,
                                          .base = base,
                                          .changes = covariate.changes,
                                          .role = covariate.role,
                                          .high = 1.0,
                                          .level_count = 2,
                                          .levels = {0.0, 1.0}};
    return DDT_OK;
}

/* Of a covariate that changes within a subject: one for each role. */
static ddt_status add_threshold(solve_work *work, uint32_t origin, double threshold, uint32_t *out) {
    *out = (uint32_t)work->symbol_count;
    SOLVE_TRY(add_symbol(work, origin, threshold, *out));
    for (solve_role role = SOLVE_ROLE_PIECE; work->symbols[origin].changes && role <= SOLVE_ROLE_OBSERVATION; role++) {
        SOLVE_TRY(add_symbol(work, in_role(work, origin, role), threshold, *out));
    }
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

static bool compares(ddt_expr_op op) {
    return op == DDT_EXPR_LT || op == DDT_EXPR_LE || op == DDT_EXPR_MIN || op == DDT_EXPR_MAX || op == DDT_EXPR_ABS;
}

static ddt_status rewrite_one(solve_work *work, ddt_expr e, ddt_expr *out) {
    ddt_expr_node node = *ddt_expr_get(work->pool, e);
    uint32_t symbol = SOLVE_NONE;
    bool yes = false;
    *out = e;
    if (compares(node.op) && node.op != DDT_EXPR_LT && node.op != DDT_EXPR_LE) {
        SOLVE_TRY(is_open(work, e, &symbol, &yes));
        if (!yes) {
            return DDT_OK;
        }
    }
    switch (node.op) {
    case DDT_EXPR_LT:
    case DDT_EXPR_LE:
        return rewrite_comparison(work, e, out);
    case DDT_EXPR_MIN:
        return rewrite_choice(work, node.a, node.b, node.a, node.b, out);
    case DDT_EXPR_MAX:
        return rewrite_choice(work, node.a, node.b, node.b, node.a, out);
    case DDT_EXPR_ABS:
        return rewrite_choice(work, node.a, ddt_expr_const(work->pool, 0.0),
                              ddt_expr_unary(work->pool, DDT_EXPR_NEG, node.a), node.a, out);
    default:
        return DDT_OK;
    }
}

/*
 * Whether e depends on one continuous covariate and else on categories only, as min(SCR / k, 1) does with a k for each
 * sex; *category: one of those.
 */
static ddt_status find_category(solve_work *work, ddt_expr e, uint32_t *category) {
    bool *used = solve_alloc(work, work->symbol_count, sizeof *used);
    size_t others = 0;
    size_t continuous = 0;
    *category = SOLVE_NONE;
    if (used == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(ddt_expr_symbols(work->ctx, work->pool, &e, 1, used, work->symbol_count));
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        bool is_covariate = work->model->symbols[i].kind == DDT_SYMBOL_COVARIATE;
        bool is_category = used[i] && is_covariate && work->symbols[i].level_count > 0;
        continuous += used[i] && is_covariate && !is_category;
        others += used[i] && !is_covariate;
        *category = is_category ? i : *category;
    }
    *category = others == 0 && continuous == 1 ? *category : SOLVE_NONE;
    return DDT_OK;
}

/* Where the threshold depends on categories: a comparison for each level, chosen by the category. */
static ddt_status rewrite_levels(solve_work *work, ddt_expr e, uint32_t category, ddt_expr *out) {
    const size_t count = work->symbols[category].level_count;
    for (size_t l = count; l-- > 0;) {
        ddt_expr level = ddt_expr_const(work->pool, work->symbols[category].levels[l]);
        ddt_expr image = ddt_expr_substitute(work->pool, e, category, level);
        if (level == DDT_EXPR_NONE || image == DDT_EXPR_NONE) {
            return solve_pool_failure(work);
        }
        SOLVE_TRY(solve_threshold_rewrite(work, image, &image));
        ddt_expr is_level = ddt_expr_binary(work->pool, DDT_EXPR_EQ, ddt_expr_symbol(work->pool, category), level);
        *out = l + 1 == count ? image : ddt_expr_if(work->pool, is_level, image, *out);
    }
    return *out == DDT_EXPR_NONE ? solve_pool_failure(work) : DDT_OK;
}

ddt_status solve_threshold_rewrite(solve_work *work, ddt_expr e, ddt_expr *out) {
    uint32_t category = SOLVE_NONE;
    *out = e;
    if (!work->has_ranges || !compares(ddt_expr_get(work->pool, e)->op)) {
        return DDT_OK;
    }
    SOLVE_TRY(find_category(work, e, &category));
    return category == SOLVE_NONE ? rewrite_one(work, e, out) : rewrite_levels(work, e, category, out);
}

void solve_threshold_settle(const solve_work *work, double *symbols) {
    for (size_t i = 0; i < work->symbol_count; i++) {
        if (work->symbols[i].is_threshold) {
            symbols[i] = symbols[work->symbols[i].compared] >= work->symbols[i].threshold ? 1.0 : 0.0;
        }
    }
}
