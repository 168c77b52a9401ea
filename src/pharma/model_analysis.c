/* What the expressions of a finished model show about its symbols. SPDX-License-Identifier: Apache-2.0 */
#include "parser.h"

/* Every expression of the model in one list (ddt_free); NULL with the status set when memory is short. */
static ddt_expr *all_expressions(parser *p, size_t *count) {
    enum { PER_COMPARTMENT = 6 };
    const ddt_model *model = p->model;
    size_t most = PER_COMPARTMENT * model->compartment_count + model->output_count + model->variable_count;
    ddt_expr *list = ddt_alloc(most, sizeof *list);
    if (list == NULL) {
        parser_out_of_memory(p);
        return NULL;
    }
    size_t n = 0;
    for (size_t i = 0; i < model->compartment_count; i++) {
        const ddt_compartment *c = &model->compartments[i];
        const ddt_expr parts[PER_COMPARTMENT] = {c->derivative, c->initial, c->bioavailability,
                                                 c->lag_h,      c->rate,    c->duration};
        for (size_t k = 0; k < PER_COMPARTMENT; k++) {
            if (parts[k] != DDT_EXPR_NONE) {
                list[n++] = parts[k];
            }
        }
    }
    for (size_t i = 0; i < model->output_count; i++) {
        list[n++] = model->outputs[i].value;
    }
    for (size_t i = 0; i < model->variable_count; i++) {
        list[n++] = model->variables[i];
    }
    *count = n;
    return list;
}

static const ddt_symbol *symbol_of(const ddt_model *model, ddt_expr e) {
    const ddt_expr_node *node = ddt_expr_get(model->pool, e);
    return node->op == DDT_EXPR_SYMBOL ? &model->symbols[node->symbol] : NULL;
}

/* A column that is compared for equality has separate values. */
static void note_discrete(ddt_model *model, ddt_expr e) {
    const ddt_expr_node *node = ddt_expr_get(model->pool, e);
    if (node->op == DDT_EXPR_SYMBOL && model->symbols[node->symbol].kind == DDT_SYMBOL_COVARIATE) {
        model->symbols[node->symbol].is_discrete = true;
    }
}

/* Neither states nor the time: such a value can be computed before the integration. */
static bool is_known_ahead(parser *p, ddt_expr e) {
    const ddt_model *model = p->model;
    parser_check(p, 1, e);
    if (p->status != DDT_OK) {
        return false;
    }
    bool *used = ddt_calloc(model->symbol_count, sizeof *used);
    if (used == NULL) {
        parser_out_of_memory(p);
        return false;
    }
    bool known = ddt_expr_symbols(p->ctx, model->pool, &e, 1, used, model->symbol_count) == DDT_OK;
    for (size_t i = 0; i < model->symbol_count && known; i++) {
        known = !used[i] || (model->symbols[i].kind != DDT_SYMBOL_STATE && model->symbols[i].kind != DDT_SYMBOL_TIME);
    }
    ddt_free(used);
    return known;
}

static void add_break(parser *p, ddt_expr value) {
    ddt_model *model = p->model;
    for (size_t i = 0; i < model->break_count; i++) {
        if (model->breaks[i] == value) {
            return;
        }
    }
    if (is_known_ahead(p, value) &&
        parser_grow(p, (void **)&model->breaks, model->break_count, &p->break_capacity, sizeof *model->breaks)) {
        model->breaks[model->break_count++] = value;
    }
}

/* What is added to t on one side of a comparison: 0 for t itself, minus the last dose's time for tad(). False: no
 * clock. */
static bool clock_offset(parser *p, ddt_expr e, ddt_expr *start) {
    const ddt_symbol *symbol = symbol_of(p->model, e);
    if (symbol != NULL) {
        *start = ddt_expr_const(p->model->pool, 0);
        return symbol->kind == DDT_SYMBOL_TIME;
    }
    const ddt_expr_node node = *ddt_expr_get(p->model->pool, e);
    if (node.op != DDT_EXPR_SUB) {
        return false;
    }
    symbol = symbol_of(p->model, node.a);
    *start = node.b;
    return symbol != NULL && symbol->kind == DDT_SYMBOL_TIME;
}

/* t < value, tad() < value and the like: the jump comes at the clock's start plus the value. */
static void note_time_comparison(parser *p, ddt_expr a, ddt_expr b) {
    ddt_expr start = DDT_EXPR_NONE;
    if (clock_offset(p, a, &start)) {
        add_break(p, ddt_expr_binary(p->model->pool, DDT_EXPR_ADD, start, b));
    } else if (clock_offset(p, b, &start)) {
        add_break(p, ddt_expr_binary(p->model->pool, DDT_EXPR_ADD, start, a));
    }
}

static void check_mtimes(parser *p) {
    for (size_t i = 0; i < p->model->break_count && p->status == DDT_OK; i++) {
        if (!is_known_ahead(p, p->model->breaks[i])) {
            static const char construct[] = "mtime()";
            parser_refuse(p, 1, construct, sizeof construct - 1, "its value depends on the time or on a compartment");
        }
    }
}

void parser_analyse(parser *p) {
    size_t count = 0;
    size_t order_count = 0;
    ddt_expr *order = NULL;
    check_mtimes(p);
    ddt_expr *list = p->status == DDT_OK ? all_expressions(p, &count) : NULL;
    if (list == NULL) {
        return;
    }
    p->status = ddt_expr_topological(p->ctx, p->model->pool, list, count, &order, &order_count);
    ddt_free(list);
    for (size_t i = 0; i < order_count && p->status == DDT_OK; i++) {
        const ddt_expr_node node = *ddt_expr_get(p->model->pool, order[i]); /* a copy: breaks are built meanwhile */
        if (node.op == DDT_EXPR_EQ) {
            note_discrete(p->model, node.a);
            note_discrete(p->model, node.b);
        }
        if (node.op == DDT_EXPR_EQ || node.op == DDT_EXPR_LT || node.op == DDT_EXPR_LE) {
            note_time_comparison(p, node.a, node.b);
        }
    }
    ddt_free(order);
}
