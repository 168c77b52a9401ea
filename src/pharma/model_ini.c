/* ini({...}): population values, random effects, labels. SPDX-License-Identifier: Apache-2.0 */
#include "model_ini.h"

#include <math.h>
#include <string.h>

static void add_value(parser *p, ini_values *v, double value) {
    if (parser_grow(p, (void **)&v->values, v->count, &v->capacity, sizeof *v->values)) {
        v->values[v->count++] = value;
    }
}

static double logit(double x) { return log(x / (1 - x)); }
static double expit(double x) { return 1 / (1 + exp(-x)); }

/* log(c(1, 2, 3)): R applies a function to each element. */
static const struct {
    const char *name;
    double (*apply)(double);
} elementwise[] = {{"log", log}, {"exp", exp}, {"sqrt", sqrt}, {"log10", log10}, {"logit", logit}, {"expit", expit}};

static double (*elementwise_function(const parser *p))(double) {
    bool of_list = token_is(parser_peek_ahead(p, 1), '(') && token_is_name(parser_peek_ahead(p, 2), "c") &&
                   token_is(parser_peek_ahead(p, 3), '(');
    for (size_t i = 0; of_list && i < sizeof elementwise / sizeof elementwise[0]; i++) {
        if (token_is_name(parser_peek(p), elementwise[i].name)) {
            return elementwise[i].apply;
        }
    }
    return NULL;
}

/* c(), fixed() and the like, nested; a plain expression otherwise. */
void ini_read_values(parser *p, ini_values *v) {
    double (*apply)(double) = elementwise_function(p);
    if (apply != NULL) {
        size_t before = v->count;
        p->at += 2;
        ini_read_values(p, v); /* the list itself: one level deeper only */
        parser_expect(p, ')', ")");
        for (size_t i = before; i < v->count; i++) {
            v->values[i] = apply(v->values[i]);
        }
        return;
    }
    static const char *const wrappers[] = {"c",   "fixed", "fix", "FIX", "FIXED", "unfix", "unfixed",
                                           "var", "cov",   "sd",  "cor", "chol",  "lotri"};
    const token *name = parser_peek(p);
    bool wraps = false;
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0]; i++) {
        wraps = wraps || token_is_name(name, wrappers[i]);
    }
    bool is_fix = wraps && (name->text[0] == 'f' || name->text[0] == 'F');
    if (!wraps || !token_is(parser_peek_ahead(p, 1), '(')) {
        if (is_fix) { /* the word alone: c(0, 1, 2, fixed) */
            (void)parser_next(p);
            v->fixed = true;
        } else {
            add_value(p, v, parser_constant(p));
        }
        return;
    }
    v->fixed = v->fixed || is_fix;
    v->standard_deviations = v->standard_deviations || token_is_name(name, "sd");
    v->correlations = v->correlations || token_is_name(name, "cor");
    v->cholesky = v->cholesky || token_is_name(name, "chol");
    if (++p->depth > NESTING_MAX) {
        parser_refuse_token(p, name, "it is nested too deep");
    }
    p->at += 2;
    while (p->status == DDT_OK) {
        ini_read_values(p, v);
        if (token_is(parser_peek(p), ')')) {
            (void)parser_next(p);
            break;
        }
        parser_expect(p, ',', ") or ,");
    }
    p->depth--;
}

/* ------------------------------------------------------------------ theta */

static void read_theta(parser *p, const token *name) {
    uint32_t index = parser_name(p, name);
    if (index == NO_INDEX) {
        return;
    }
    if (p->names[index].symbol != NO_INDEX || p->names[index].slots[SLOT_VALUE] != DDT_EXPR_NONE) {
        parser_refuse_token(p, name, "ini gives it twice");
        return;
    }
    ini_values v = {0};
    ini_read_values(p, &v);
    if (p->status == DDT_OK && (v.count == 0 || v.count > 3)) {
        parser_refuse_token(p, name, "a parameter takes an estimate, or c(lower, estimate, upper)");
    }
    if (p->status == DDT_OK) {
        double estimate = v.values[v.count > 1 ? 1 : 0];
        double lower = v.count > 1 ? v.values[0] : -INFINITY;
        double upper = v.count > 2 ? v.values[2] : INFINITY;
        if (!isfinite(estimate) || !(lower <= estimate) || !(estimate <= upper)) {
            parser_refuse_token(p, name, "its estimate is not a finite number between its bounds");
        } else {
            uint32_t symbol = parser_add_symbol(p, index, DDT_SYMBOL_THETA, name->line);
            if (symbol != NO_INDEX) {
                ddt_symbol *theta = &p->model->symbols[symbol];
                theta->value = estimate;
                theta->lower = lower;
                theta->upper = upper;
                theta->is_fixed = v.fixed;
            }
        }
    }
    ddt_free(v.values);
}

/* ------------------------------------------------------------------ statements */

/* label("...") belongs to the parameter just before it. */
static void read_label(parser *p) {
    ddt_model *model = p->model;
    p->at += 2;
    const token *text = parser_next(p);
    if (text->kind != TOKEN_STRING || model->symbol_count == 0) {
        parser_refuse_token(p, text, "label() takes a text and follows a parameter");
        return;
    }
    ddt_symbol *symbol = &model->symbols[model->symbol_count - 1];
    ddt_free(symbol->label);
    symbol->label = parser_copy(p, text->text, text->length);
    parser_expect(p, ')', ")");
}

static void read_statement(parser *p) {
    const token *now = parser_peek(p);
    const token *next = parser_peek_ahead(p, 1);
    if (token_is_name(now, "label") && token_is(next, '(')) {
        read_label(p);
    } else if ((token_is_name(now, "backTransform") || token_is_name(now, "dfWishart")) && token_is(next, '(')) {
        parser_skip_statement(p);
    } else if (now->kind == TOKEN_NAME && token_is_assignment(next)) {
        p->at += 2;
        parser_skip_newlines(p);
        read_theta(p, now);
    } else if (now->kind == TOKEN_NAME) {
        ini_read_effects(p);
    } else {
        parser_refuse_token(p, now, "ini takes lines like 'name <- value' and 'eta ~ variance'");
    }
}

void parser_ini(parser *p) {
    p->in_ini = true;
    parser_block(p, read_statement);
    p->in_ini = false;
}
