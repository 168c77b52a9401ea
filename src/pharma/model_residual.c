/* Residual lines: Cc ~ prop(prop.sd) + add(add.sd). SPDX-License-Identifier: Apache-2.0 */
#include "parser.h"

#include <string.h>

/* What the terms of one line say. */
typedef struct terms {
    ddt_expr additive;
    ddt_expr proportional;
    ddt_expr logarithmic;
    bool first_form; /* combined1(): the standard deviations add up */
    bool other;      /* something that has no place in ddt_output */
} terms;

static bool is_any(const token *name, const char *const *list) {
    for (; *list != NULL; list++) {
        if (token_is_name(name, *list)) {
            return true;
        }
    }
    return false;
}

static const char *const additive_names[] = {"add", "norm", "dnorm", NULL};
static const char *const proportional_names[] = {"prop", NULL};
static const char *const logarithmic_names[] = {"lnorm", "logn", "dlnorm", "dlogn", NULL};
/* Known to nlmixr2, kept as "a residual of another kind": such an output can be simulated, but not fitted. */
static const char *const other_names[] = {
    "pow",   "powF",   "powT",   "propF",  "propT",       "boxCox",    "yeoJohnson", "logitNorm", "probitNorm",
    "tbs",   "tbsYj",  "t",      "dt",     "cauchy",      "dcauchy",   "var",        "cor",       "ar",
    "pois",  "dpois",  "binom",  "dbinom", "nbinom",      "dnbinom",   "nbinomMu",   "dnbinomMu", "beta",
    "dbeta", "chisq",  "dchisq", "exp",    "dexp",        "f",         "df",         "geom",      "dgeom",
    "hyper", "dhyper", "unif",   "dunif",  "weibull",     "dweibull",  "c",          "ordinal",   "ll",
    "n2ll",  "dt2",    "gamma",  "dgamma", "multinomial", "dmultinom", "alr",        NULL};

static void read_term(parser *p, terms *out) {
    const token *name = parser_next(p);
    ddt_expr x[ARGUMENTS_MAX];
    if (name->kind != TOKEN_NAME) {
        parser_refuse_token(p, name, "a residual line takes terms like add(add.sd) and prop(prop.sd)");
        return;
    }
    parser_expect(p, '(', "(");
    if (is_any(name, other_names)) { /* its arguments are of no use here */
        parser_skip_statement(p);
        parser_expect(p, ')', ")");
        out->other = true;
        return;
    }
    size_t n = p->status == DDT_OK ? parser_arguments(p, x) : 0;
    if (token_is_name(name, "combined1") || token_is_name(name, "combined2")) {
        out->first_form = token_is_name(name, "combined1");
        return;
    }
    ddt_expr *where = NULL;
    if (is_any(name, additive_names)) {
        where = &out->additive;
    } else if (is_any(name, proportional_names)) {
        where = &out->proportional;
    } else if (is_any(name, logarithmic_names)) {
        where = &out->logarithmic;
    }
    if (where == NULL || n != 1 || *where != DDT_EXPR_NONE) {
        parser_refuse_token(p, name,
                            where == NULL ? "this residual model is not known"
                                          : "a residual line takes it once, with one argument");
        return;
    }
    *where = x[0];
}

static ddt_residual_kind kind_of(const terms *t) {
    bool additive = t->additive != DDT_EXPR_NONE;
    bool proportional = t->proportional != DDT_EXPR_NONE;
    if (t->other || (t->logarithmic != DDT_EXPR_NONE && (additive || proportional))) {
        return DDT_RESIDUAL_OTHER;
    }
    if (t->logarithmic != DDT_EXPR_NONE) {
        return DDT_RESIDUAL_LOG;
    }
    if (additive && proportional) {
        return t->first_form ? DDT_RESIDUAL_COMBINED_SD : DDT_RESIDUAL_COMBINED;
    }
    return additive ? DDT_RESIDUAL_ADDITIVE : (proportional ? DDT_RESIDUAL_PROPORTIONAL : DDT_RESIDUAL_OTHER);
}

void parser_residual(parser *p, uint32_t name) {
    unsigned line = parser_peek(p)->line;
    terms t = {.additive = DDT_EXPR_NONE, .proportional = DDT_EXPR_NONE, .logarithmic = DDT_EXPR_NONE};
    if (p->keep_changes) {
        parser_refuse(p, line, "~", 1, "a residual line does not stand under a condition");
    }
    parser_skip_newlines(p);
    while (p->status == DDT_OK) {
        read_term(p, &t);
        if (!token_is(parser_peek(p), '+')) {
            break;
        }
        (void)parser_next(p);
        parser_skip_newlines(p);
    }
    if (p->status == DDT_OK && token_is(parser_peek(p), OPERATOR_BAR)) { /* | name of the endpoint: says nothing new */
        p->at++;
        if (parser_peek(p)->kind == TOKEN_NAME || parser_peek(p)->kind == TOKEN_STRING) {
            p->at++;
        }
    }
    if (p->status == DDT_OK &&
        parser_grow(p, (void **)&p->residuals, p->residual_count, &p->residual_capacity, sizeof *p->residuals)) {
        p->residuals[p->residual_count++] =
            (residual_line){.name = name,
                            .line = line,
                            .kind = kind_of(&t),
                            .additive = t.additive != DDT_EXPR_NONE ? t.additive : t.logarithmic,
                            .proportional = t.proportional};
    }
}
