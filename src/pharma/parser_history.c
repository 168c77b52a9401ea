/*
 * The time, and what the doses so far leave behind: tad(), tlast(), podo(), and transit() built on them (Savic et al.
 * 2007, J Pharmacokinet Pharmacodyn 34:711-726).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parser.h"

#include <stdio.h>
#include <string.h>

ddt_expr parser_time(parser *p, unsigned line) {
    ddt_model *model = p->model;
    for (size_t i = 0; i < model->symbol_count; i++) { /* t and time are one symbol */
        if (model->symbols[i].kind == DDT_SYMBOL_TIME) {
            return ddt_expr_symbol(model->pool, (uint32_t)i);
        }
    }
    uint32_t symbol = parser_add_named_symbol(p, parser_copy(p, "t", 1), DDT_SYMBOL_TIME, line);
    return symbol == NO_INDEX ? DDT_EXPR_NONE : ddt_expr_symbol(model->pool, symbol);
}

static ddt_expr history_symbol(parser *p, ddt_symbol_kind kind, uint32_t compartment, unsigned line) {
    ddt_model *model = p->model;
    for (size_t i = 0; i < model->symbol_count; i++) {
        if (model->symbols[i].kind == kind && model->symbols[i].compartment == compartment) {
            return ddt_expr_symbol(model->pool, (uint32_t)i);
        }
    }
    const char *what = kind == DDT_SYMBOL_LAST_DOSE_TIME ? "tlast" : "podo";
    const char *of = compartment == NO_INDEX ? "" : model->compartments[compartment].name;
    size_t room = strlen(what) + strlen(of) + sizeof "()";
    char *name = ddt_alloc(room, 1);
    if (name == NULL) {
        parser_out_of_memory(p);
        return DDT_EXPR_NONE;
    }
    (void)snprintf(name, room, "%s(%s)", what, of);
    uint32_t symbol = parser_add_named_symbol(p, name, kind, line);
    if (symbol == NO_INDEX) {
        return DDT_EXPR_NONE;
    }
    model->symbols[symbol].compartment = compartment;
    model->uses_dose_history = true;
    return ddt_expr_symbol(model->pool, symbol);
}

static bool is_text(const char *text, size_t length, const char *name) {
    return strlen(name) == length && memcmp(text, name, length) == 0;
}

ddt_expr parser_dose_history(parser *p, const char *what, size_t length, uint32_t compartment, unsigned line) {
    if (is_text(what, length, "podo")) {
        return history_symbol(p, DDT_SYMBOL_LAST_DOSE_AMOUNT, compartment, line);
    }
    ddt_expr last = history_symbol(p, DDT_SYMBOL_LAST_DOSE_TIME, compartment, line);
    if (is_text(what, length, "tlast")) {
        return last;
    }
    return ddt_expr_binary(p->model->pool, DDT_EXPR_SUB, parser_time(p, line), last);
}

/* ktr F D (ktr s)^n e^(-ktr s) / n! with ktr = (n + 1) / mtt and s = tad(): the rate at which the last dose comes out
 * of n transit steps. */
static ddt_expr transit_rate(parser *p, const ddt_expr *x, size_t n, unsigned line) {
    ddt_expr_pool *pool = p->model->pool;
    ddt_expr one = ddt_expr_const(pool, 1);
    ddt_expr steps = ddt_expr_binary(pool, DDT_EXPR_ADD, x[0], one);
    ddt_expr ktr = ddt_expr_binary(pool, DDT_EXPR_DIV, steps, x[1]);
    ddt_expr dose = parser_dose_history(p, "podo", strlen("podo"), p->derivative_of, line);
    ddt_expr since = parser_dose_history(p, "tad", strlen("tad"), p->derivative_of, line);
    /* Positive, so that its logarithm is a sum of logarithms; at the dose itself the rate is as near to 0 as matters.
     */
    const double least = 1e-9;
    since = ddt_expr_binary(pool, DDT_EXPR_MAX, since, ddt_expr_const(pool, least));
    ddt_expr passed = ddt_expr_binary(pool, DDT_EXPR_MUL, ktr, since);
    ddt_expr power = ddt_expr_binary(pool, DDT_EXPR_MUL, x[0], ddt_expr_unary(pool, DDT_EXPR_LOG, passed));
    ddt_expr logarithm = ddt_expr_binary(pool, DDT_EXPR_SUB, ddt_expr_binary(pool, DDT_EXPR_SUB, power, passed),
                                         ddt_expr_unary(pool, DDT_EXPR_LGAMMA, steps));
    ddt_expr available = n > 2 ? ddt_expr_binary(pool, DDT_EXPR_MUL, x[2], dose) : dose;
    return ddt_expr_binary(pool, DDT_EXPR_MUL, ddt_expr_binary(pool, DDT_EXPR_MUL, available, ktr),
                           ddt_expr_unary(pool, DDT_EXPR_EXP, logarithm));
}

/* The compartment named in tad(depot); NO_INDEX for tad(). */
static uint32_t read_compartment(parser *p) {
    const token *name = parser_peek(p);
    if (name->kind != TOKEN_NAME) {
        return NO_INDEX;
    }
    (void)parser_next(p);
    uint32_t index = parser_find_name(p, name->text, name->length);
    if (index == NO_INDEX || p->names[index].compartment == NO_INDEX) {
        parser_refuse_token(p, name, "no compartment has this name");
        return NO_INDEX;
    }
    return p->names[index].compartment;
}

bool parser_history_call(parser *p, const token *name, ddt_expr *value) {
    bool is_transit = token_is_name(name, "transit");
    if (!is_transit && !token_is_name(name, "tad") && !token_is_name(name, "tlast") && !token_is_name(name, "podo")) {
        return false;
    }
    *value = DDT_EXPR_NONE;
    if (is_transit) {
        ddt_expr x[ARGUMENTS_MAX];
        size_t n = parser_arguments(p, x);
        if (p->status == DDT_OK && n != 2 && n != 3) {
            parser_refuse_token(p, name,
                                "it takes the number of steps, the mean transit time, and perhaps a bioavailability");
        }
        *value = p->status == DDT_OK ? transit_rate(p, x, n, name->line) : DDT_EXPR_NONE;
        return true;
    }
    uint32_t compartment = read_compartment(p);
    parser_expect(p, ')', ")");
    if (p->status == DDT_OK) {
        *value = parser_dose_history(p, name->text, name->length, compartment, name->line);
    }
    return true;
}
