/* Expressions of the model language: operators and functions. SPDX-License-Identifier: Apache-2.0 */
#include "parser.h"

#include <math.h>
#include <string.h>

/* Precedence of R, weakest first. */
typedef enum precedence {
    BIND_NONE,
    BIND_OR,
    BIND_AND,
    BIND_NOT,
    BIND_COMPARE,
    BIND_SUM,
    BIND_PRODUCT,
    BIND_SPECIAL, /* %% %/% %in% */
    BIND_SIGN,
    BIND_POWER
} precedence;

static ddt_expr binary(parser *p, ddt_expr_op op, ddt_expr a, ddt_expr b) {
    return ddt_expr_binary(p->model->pool, op, a, b);
}
static ddt_expr unary(parser *p, ddt_expr_op op, ddt_expr a) { return ddt_expr_unary(p->model->pool, op, a); }
static ddt_expr number(parser *p, double value) { return ddt_expr_const(p->model->pool, value); }

/* ------------------------------------------------------------------ functions */

typedef ddt_expr (*function_builder)(parser *p, const ddt_expr *x, size_t n);

static ddt_expr build_log_base(parser *p, ddt_expr x, double base) {
    return binary(p, DDT_EXPR_DIV, unary(p, DDT_EXPR_LOG, x), number(p, log(base)));
}
static ddt_expr build_log2(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return build_log_base(p, x[0], 2);
}
static ddt_expr build_log10(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return build_log_base(p, x[0], 10);
}
static ddt_expr build_log(parser *p, const ddt_expr *x, size_t n) {
    ddt_expr value = unary(p, DDT_EXPR_LOG, x[0]);
    return n == 1 ? value : binary(p, DDT_EXPR_DIV, value, unary(p, DDT_EXPR_LOG, x[1]));
}
static ddt_expr build_log1p(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return unary(p, DDT_EXPR_LOG, binary(p, DDT_EXPR_ADD, number(p, 1), x[0]));
}
static ddt_expr build_expm1(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return binary(p, DDT_EXPR_SUB, unary(p, DDT_EXPR_EXP, x[0]), number(p, 1));
}
static ddt_expr build_pow(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return binary(p, DDT_EXPR_POW, x[0], x[1]);
}
static ddt_expr build_polygamma(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return binary(p, DDT_EXPR_POLYGAMMA, x[0], x[1]);
}
static ddt_expr build_digamma(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return binary(p, DDT_EXPR_POLYGAMMA, number(p, 0), x[0]);
}
static ddt_expr build_trigamma(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return binary(p, DDT_EXPR_POLYGAMMA, number(p, 1), x[0]);
}

static ddt_expr fold(parser *p, ddt_expr_op op, const ddt_expr *x, size_t n) {
    ddt_expr value = x[0];
    for (size_t i = 1; i < n; i++) {
        value = binary(p, op, value, x[i]);
    }
    return value;
}
static ddt_expr build_min(parser *p, const ddt_expr *x, size_t n) { return fold(p, DDT_EXPR_MIN, x, n); }
static ddt_expr build_max(parser *p, const ddt_expr *x, size_t n) { return fold(p, DDT_EXPR_MAX, x, n); }
static ddt_expr build_sum(parser *p, const ddt_expr *x, size_t n) { return fold(p, DDT_EXPR_ADD, x, n); }
static ddt_expr build_prod(parser *p, const ddt_expr *x, size_t n) { return fold(p, DDT_EXPR_MUL, x, n); }

/* expit(x) = 1 / (1 + exp(-x)); expit(x, low, high) = low + (high - low) expit(x). */
static ddt_expr build_expit(parser *p, const ddt_expr *x, size_t n) {
    ddt_expr decay = unary(p, DDT_EXPR_EXP, unary(p, DDT_EXPR_NEG, x[0]));
    ddt_expr value = binary(p, DDT_EXPR_DIV, number(p, 1), binary(p, DDT_EXPR_ADD, number(p, 1), decay));
    if (n == 1) {
        return value;
    }
    ddt_expr high = n > 2 ? x[2] : number(p, 1);
    return binary(p, DDT_EXPR_ADD, x[1], binary(p, DDT_EXPR_MUL, binary(p, DDT_EXPR_SUB, high, x[1]), value));
}

/* logit(x, low, high) = log((x - low) / (high - x)). */
static ddt_expr build_logit(parser *p, const ddt_expr *x, size_t n) {
    ddt_expr low = n > 1 ? x[1] : number(p, 0);
    ddt_expr high = n > 2 ? x[2] : number(p, 1);
    return unary(p, DDT_EXPR_LOG,
                 binary(p, DDT_EXPR_DIV, binary(p, DDT_EXPR_SUB, x[0], low), binary(p, DDT_EXPR_SUB, high, x[0])));
}

static ddt_expr build_factorial(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return unary(p, DDT_EXPR_GAMMA, binary(p, DDT_EXPR_ADD, x[0], number(p, 1)));
}
static ddt_expr build_lfactorial(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return unary(p, DDT_EXPR_LGAMMA, binary(p, DDT_EXPR_ADD, x[0], number(p, 1)));
}
static ddt_expr build_lgamma1p(parser *p, const ddt_expr *x, size_t n) { return build_lfactorial(p, x, n); }
static ddt_expr build_ceiling(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return unary(p, DDT_EXPR_NEG, unary(p, DDT_EXPR_FLOOR, unary(p, DDT_EXPR_NEG, x[0])));
}
static ddt_expr build_tan(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return binary(p, DDT_EXPR_DIV, unary(p, DDT_EXPR_SIN, x[0]), unary(p, DDT_EXPR_COS, x[0]));
}
static ddt_expr build_hyperbolic(parser *p, ddt_expr_op op, ddt_expr x) {
    ddt_expr up = unary(p, DDT_EXPR_EXP, x);
    ddt_expr down = unary(p, DDT_EXPR_EXP, unary(p, DDT_EXPR_NEG, x));
    return binary(p, DDT_EXPR_DIV, binary(p, op, up, down), number(p, 2));
}
static ddt_expr build_sinh(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return build_hyperbolic(p, DDT_EXPR_SUB, x[0]);
}
static ddt_expr build_cosh(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return build_hyperbolic(p, DDT_EXPR_ADD, x[0]);
}
static ddt_expr build_ifelse(parser *p, const ddt_expr *x, size_t n) {
    (void)n;
    return ddt_expr_if(p->model->pool, x[0], x[1], x[2]);
}

/* Functions of one operand that are operations themselves. */
static const struct {
    const char *name;
    ddt_expr_op op;
} operations[] = {{"exp", DDT_EXPR_EXP},         {"ln", DDT_EXPR_LOG},         {"sqrt", DDT_EXPR_SQRT},
                  {"abs", DDT_EXPR_ABS},         {"fabs", DDT_EXPR_ABS},       {"gamma", DDT_EXPR_GAMMA},
                  {"tgamma", DDT_EXPR_GAMMA},    {"gammafn", DDT_EXPR_GAMMA},  {"lgamma", DDT_EXPR_LGAMMA},
                  {"lgammafn", DDT_EXPR_LGAMMA}, {"gammaln", DDT_EXPR_LGAMMA}, {"sin", DDT_EXPR_SIN},
                  {"cos", DDT_EXPR_COS},         {"tanh", DDT_EXPR_TANH},      {"floor", DDT_EXPR_FLOOR}};

static const struct {
    const char *name;
    size_t least;
    size_t most;
    function_builder build;
} functions[] = {{"log", 1, 2, build_log},
                 {"log2", 1, 1, build_log2},
                 {"log10", 1, 1, build_log10},
                 {"log1p", 1, 1, build_log1p},
                 {"expm1", 1, 1, build_expm1},
                 {"pow", 2, 2, build_pow},
                 {"R_pow", 2, 2, build_pow},
                 {"R_pow_di", 2, 2, build_pow},
                 {"min", 1, ARGUMENTS_MAX, build_min},
                 {"max", 1, ARGUMENTS_MAX, build_max},
                 {"fmin", 2, 2, build_min},
                 {"fmax", 2, 2, build_max},
                 {"sum", 1, ARGUMENTS_MAX, build_sum},
                 {"prod", 1, ARGUMENTS_MAX, build_prod},
                 {"expit", 1, 3, build_expit},
                 {"inv_logit", 1, 1, build_expit},
                 {"logit", 1, 3, build_logit},
                 {"factorial", 1, 1, build_factorial},
                 {"lfactorial", 1, 1, build_lfactorial},
                 {"lgamma1p", 1, 1, build_lgamma1p},
                 {"ceiling", 1, 1, build_ceiling},
                 {"ceil", 1, 1, build_ceiling},
                 {"tan", 1, 1, build_tan},
                 {"sinh", 1, 1, build_sinh},
                 {"cosh", 1, 1, build_cosh},
                 {"digamma", 1, 1, build_digamma},
                 {"trigamma", 1, 1, build_trigamma},
                 {"polygamma", 2, 2, build_polygamma},
                 {"ifelse", 3, 3, build_ifelse}};

size_t parser_arguments(parser *p, ddt_expr arguments[ARGUMENTS_MAX]) {
    size_t n = 0;
    if (token_is(parser_peek(p), ')')) {
        (void)parser_next(p);
        return 0;
    }
    while (p->status == DDT_OK) {
        if (n == ARGUMENTS_MAX) {
            parser_refuse_token(p, parser_peek(p), "a function takes at most 64 arguments");
            break;
        }
        if (parser_peek(p)->kind == TOKEN_NAME && token_is(parser_peek_ahead(p, 1), '=')) {
            parser_refuse_token(p, parser_peek(p), "arguments are given by position, not by name");
            break;
        }
        arguments[n++] = parser_expression(p);
        if (token_is(parser_peek(p), ')')) {
            (void)parser_next(p);
            break;
        }
        parser_expect(p, ',', ") or ,");
    }
    return n;
}

ddt_expr parser_function(parser *p, const token *name) {
    ddt_expr x[ARGUMENTS_MAX];
    if (token_is_name(name, "linCmt") && !p->in_ini) {
        parser_skip_statement(p); /* up to the closing bracket: lincmt_prepare has read the names */
        parser_expect(p, ')', ")");
        return p->status == DDT_OK ? lincmt_call(p, name->line) : DDT_EXPR_NONE;
    }
    ddt_expr history = DDT_EXPR_NONE;
    if (!p->in_ini && parser_history_call(p, name, &history)) {
        return history;
    }
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (token_is_name(name, operations[i].name)) {
            size_t n = parser_arguments(p, x);
            if (p->status == DDT_OK && n != 1) {
                parser_refuse_token(p, name, "it takes one argument");
            }
            return p->status == DDT_OK ? unary(p, operations[i].op, x[0]) : DDT_EXPR_NONE;
        }
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (token_is_name(name, functions[i].name)) {
            size_t n = parser_arguments(p, x);
            if (p->status == DDT_OK && (n < functions[i].least || n > functions[i].most)) {
                parser_refuse_token(p, name, "it does not take that number of arguments");
            }
            return p->status == DDT_OK ? functions[i].build(p, x, n) : DDT_EXPR_NONE;
        }
    }
    parser_refuse(p, name->line, name->text, (size_t)name->length, "this function is not known");
    return DDT_EXPR_NONE;
}

/* ------------------------------------------------------------------ operators */

static precedence binding_of(const token *t) {
    if (t->kind != TOKEN_OPERATOR) {
        return BIND_NONE;
    }
    switch (t->op) {
    case OPERATOR_OR:
    case OPERATOR_BAR:
        return BIND_OR;
    case OPERATOR_AND:
        return BIND_AND;
    case OPERATOR_EQUAL:
    case OPERATOR_NOT_EQUAL:
    case OPERATOR_LESS_EQUAL:
    case OPERATOR_GREATER_EQUAL:
    case '<':
    case '>':
        return BIND_COMPARE;
    case '+':
    case '-':
        return BIND_SUM;
    case '*':
    case '/':
        return BIND_PRODUCT;
    case OPERATOR_MODULO:
    case OPERATOR_WHOLE_DIVISION:
    case OPERATOR_IN:
        return BIND_SPECIAL;
    case '^':
        return BIND_POWER;
    default:
        return BIND_NONE;
    }
}

static ddt_expr combine(parser *p, int op, ddt_expr a, ddt_expr b) {
    switch (op) {
    case OPERATOR_OR:
    case OPERATOR_BAR:
        return binary(p, DDT_EXPR_OR, a, b);
    case OPERATOR_AND:
        return binary(p, DDT_EXPR_AND, a, b);
    case OPERATOR_EQUAL:
        return binary(p, DDT_EXPR_EQ, a, b);
    case OPERATOR_NOT_EQUAL:
        return unary(p, DDT_EXPR_NOT, binary(p, DDT_EXPR_EQ, a, b));
    case OPERATOR_LESS_EQUAL:
        return binary(p, DDT_EXPR_LE, a, b);
    case OPERATOR_GREATER_EQUAL:
        return binary(p, DDT_EXPR_LE, b, a);
    case '<':
        return binary(p, DDT_EXPR_LT, a, b);
    case '>':
        return binary(p, DDT_EXPR_LT, b, a);
    case '+':
        return binary(p, DDT_EXPR_ADD, a, b);
    case '-':
        return binary(p, DDT_EXPR_SUB, a, b);
    case '*':
        return binary(p, DDT_EXPR_MUL, a, b);
    case '/':
        return binary(p, DDT_EXPR_DIV, a, b);
    case OPERATOR_WHOLE_DIVISION:
        return unary(p, DDT_EXPR_FLOOR, binary(p, DDT_EXPR_DIV, a, b));
    case OPERATOR_MODULO:
        return binary(p, DDT_EXPR_SUB, a,
                      binary(p, DDT_EXPR_MUL, b, unary(p, DDT_EXPR_FLOOR, binary(p, DDT_EXPR_DIV, a, b))));
    default:
        return binary(p, DDT_EXPR_POW, a, b);
    }
}

static ddt_expr parse_binary(parser *p, precedence least);

/* d/dt(x) read as a value: the right-hand side given so far. */
static ddt_expr read_derivative(parser *p, const token *name) {
    uint32_t index = parser_find_name(p, name->text, name->length);
    ddt_expr value = index == NO_INDEX ? DDT_EXPR_NONE : p->names[index].slots[SLOT_DERIVATIVE];
    if (value == DDT_EXPR_NONE && p->status == DDT_OK) {
        parser_refuse_token(p, name, "its d/dt() is read here before the line that gives it");
    }
    return value;
}

static ddt_expr parse_name(parser *p) {
    const token *name = parser_next(p);
    if (token_is_name(name, "d") && token_is(parser_peek(p), '/') && token_is_name(parser_peek_ahead(p, 1), "dt") &&
        token_is(parser_peek_ahead(p, 2), '(') && parser_peek_ahead(p, 3)->kind == TOKEN_NAME) {
        (void)parser_next(p);
        (void)parser_next(p);
        (void)parser_next(p);
        const token *state = parser_next(p);
        parser_expect(p, ')', ")");
        return read_derivative(p, state);
    }
    if (token_is(parser_peek(p), '(')) {
        (void)parser_next(p);
        return parser_function(p, name);
    }
    uint32_t index = parser_name(p, name);
    return index == NO_INDEX ? DDT_EXPR_NONE : parser_read_name(p, index, name->line);
}

static ddt_expr parse_primary(parser *p) {
    const token *now = parser_peek(p);
    if (now->kind == TOKEN_NUMBER) {
        (void)parser_next(p);
        return number(p, now->number);
    }
    if (now->kind == TOKEN_NAME) {
        return parse_name(p);
    }
    if (token_is(now, '(')) {
        (void)parser_next(p);
        ddt_expr value = parser_expression(p);
        parser_expect(p, ')', ")");
        return value;
    }
    parser_refuse_token(p, now,
                        now->kind == TOKEN_STRING ? "text is not a value that can be computed with"
                                                  : "a value was expected here");
    return DDT_EXPR_NONE;
}

static ddt_expr parse_unary(parser *p) {
    const token *now = parser_peek(p);
    if (token_is(now, '-')) {
        (void)parser_next(p);
        return unary(p, DDT_EXPR_NEG, parse_binary(p, BIND_SIGN));
    }
    if (token_is(now, '+')) {
        (void)parser_next(p);
        return parse_binary(p, BIND_SIGN);
    }
    if (token_is(now, '!')) {
        (void)parser_next(p);
        return unary(p, DDT_EXPR_NOT, parse_binary(p, BIND_NOT));
    }
    return parse_primary(p);
}

/* x %in% c(1, 2, 3) */
static ddt_expr parse_in(parser *p, ddt_expr x) {
    ddt_expr values[ARGUMENTS_MAX];
    const token *name = parser_next(p);
    if (!token_is_name(name, "c") || !token_is(parser_peek(p), '(')) {
        parser_refuse_token(p, name, "%in% takes a list c(...) on its right");
        return DDT_EXPR_NONE;
    }
    (void)parser_next(p);
    size_t n = parser_arguments(p, values);
    ddt_expr found = number(p, 0);
    for (size_t i = 0; i < n && p->status == DDT_OK; i++) {
        found = binary(p, DDT_EXPR_OR, found, binary(p, DDT_EXPR_EQ, x, values[i]));
    }
    return found;
}

static ddt_expr parse_binary(parser *p, precedence least) {
    if (++p->depth > NESTING_MAX) {
        parser_refuse_token(p, parser_peek(p), "expressions are nested too deep here");
        p->depth--;
        return DDT_EXPR_NONE;
    }
    ddt_expr left = parse_unary(p);
    while (p->status == DDT_OK) {
        const token *now = parser_peek(p);
        precedence binding = binding_of(now);
        bool is_level = p->in_ini && token_is(now, OPERATOR_BAR); /* eta ~ 0.1 | id */
        if (binding == BIND_NONE || binding < least || is_level) {
            break;
        }
        (void)parser_next(p);
        parser_skip_newlines(p);
        if (now->op == OPERATOR_IN) {
            left = parse_in(p, left);
        } else { /* the power alone groups from the right */
            ddt_expr right = parse_binary(p, binding == BIND_POWER ? BIND_SIGN : (precedence)(binding + 1));
            left = combine(p, now->op, left, right);
        }
        parser_check(p, now->line, left);
    }
    p->depth--;
    return p->status == DDT_OK ? left : DDT_EXPR_NONE;
}

ddt_expr parser_expression(parser *p) {
    unsigned line = parser_peek(p)->line;
    parser_skip_newlines(p);
    ddt_expr value = parse_binary(p, BIND_OR);
    parser_check(p, line, value);
    return value;
}

double parser_constant(parser *p) {
    const token *first = parser_peek(p);
    double value = NAN;
    ddt_expr e = parser_expression(p);
    if (p->status == DDT_OK && !ddt_expr_is_const(p->model->pool, e, &value)) {
        parser_refuse_token(p, first, "a number was expected here");
    }
    return value;
}
