/* Expressions as text. SPDX-License-Identifier: Apache-2.0 */
#include "expr_private.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1 << 20, FIRST_TEXT = 256, FIRST_WORK = 64, NUMBER_MAX = 40 };

/* Precedence of R, weakest first. */
typedef enum precedence {
    BIND_OR = 1,
    BIND_AND,
    BIND_NOT,
    BIND_COMPARE,
    BIND_SUM,
    BIND_PRODUCT,
    BIND_SIGN,
    BIND_POWER,
    BIND_ATOM
} precedence;

/* Work still to be written: a piece of text, or an expression in a place that needs at least `binding`. */
typedef struct work {
    const char *text;
    ddt_expr e;
    precedence binding;
} work;

typedef struct printer {
    const ddt_expr_pool *pool;
    const char *const *names;
    char *text;
    size_t length;
    size_t capacity;
    work *stack;
    size_t depth;
    size_t stack_capacity;
    bool failed;
} printer;

static void put(printer *p, const char *text) {
    size_t n = strlen(text);
    if (p->failed || p->length > TEXT_MAX) {
        return;
    }
    if (p->length + n + 1 > p->capacity) {
        size_t capacity = 2 * (p->length + n + 1);
        char *grown = ddt_realloc(p->text, p->length, capacity, 1);
        if (grown == NULL) {
            p->failed = true;
            return;
        }
        p->text = grown;
        p->capacity = capacity;
    }
    memcpy(p->text + p->length, text, n + 1);
    p->length += n;
}

static void push(printer *p, const char *text, ddt_expr e, precedence binding) {
    if (p->failed) {
        return;
    }
    if (p->depth == p->stack_capacity) {
        size_t capacity = p->stack_capacity == 0 ? FIRST_WORK : 2 * p->stack_capacity;
        work *grown = ddt_realloc(p->stack, p->depth, capacity, sizeof *grown);
        if (grown == NULL) {
            p->failed = true;
            return;
        }
        p->stack = grown;
        p->stack_capacity = capacity;
    }
    p->stack[p->depth++] = (work){.text = text, .e = e, .binding = binding};
}

static void push_text(printer *p, const char *text) { push(p, text, DDT_EXPR_NONE, BIND_OR); }

static void put_number(printer *p, double value) {
    char digits[NUMBER_MAX];
    if (isnan(value) || isinf(value)) {
        put(p, isnan(value) ? "NaN" : (value < 0 ? "-Inf" : "Inf"));
        return;
    }
    for (int precision = 15; precision <= 17; precision++) { /* the shortest text that reads back as the same double */
        (void)snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) {
            break;
        }
    }
    put(p, digits);
}

static precedence binding_of(const ddt_expr_node *node) {
    switch (node->op) {
    case DDT_EXPR_CONST:
        return node->value < 0 ? BIND_SIGN : BIND_ATOM;
    case DDT_EXPR_OR:
        return BIND_OR;
    case DDT_EXPR_AND:
        return BIND_AND;
    case DDT_EXPR_NOT:
        return BIND_NOT;
    case DDT_EXPR_LT:
    case DDT_EXPR_LE:
    case DDT_EXPR_EQ:
        return BIND_COMPARE;
    case DDT_EXPR_ADD:
    case DDT_EXPR_SUB:
        return BIND_SUM;
    case DDT_EXPR_MUL:
    case DDT_EXPR_DIV:
        return BIND_PRODUCT;
    case DDT_EXPR_NEG:
        return BIND_SIGN;
    case DDT_EXPR_POW:
        return BIND_POWER;
    default:
        return BIND_ATOM;
    }
}

static const char *spelling(ddt_expr_op op) {
    static const char *const texts[] = {
        [DDT_EXPR_ADD] = " + ",      [DDT_EXPR_SUB] = " - ",
        [DDT_EXPR_MUL] = " * ",      [DDT_EXPR_DIV] = " / ",
        [DDT_EXPR_NEG] = "-",        [DDT_EXPR_POW] = "^",
        [DDT_EXPR_EXP] = "exp(",     [DDT_EXPR_LOG] = "log(",
        [DDT_EXPR_SQRT] = "sqrt(",   [DDT_EXPR_ABS] = "abs(",
        [DDT_EXPR_MIN] = "min(",     [DDT_EXPR_MAX] = "max(",
        [DDT_EXPR_GAMMA] = "gamma(", [DDT_EXPR_LGAMMA] = "lgamma(",
        [DDT_EXPR_SIN] = "sin(",     [DDT_EXPR_COS] = "cos(",
        [DDT_EXPR_TANH] = "tanh(",   [DDT_EXPR_FLOOR] = "floor(",
        [DDT_EXPR_LT] = " < ",       [DDT_EXPR_LE] = " <= ",
        [DDT_EXPR_EQ] = " == ",      [DDT_EXPR_AND] = " && ",
        [DDT_EXPR_OR] = " || ",      [DDT_EXPR_NOT] = "!",
        [DDT_EXPR_IF] = "ifelse(",   [DDT_EXPR_POLYGAMMA] = "polygamma(",
    };
    return texts[op];
}

/* Pushed in reverse: what is pushed last is written first. */
static void expand(printer *p, const ddt_expr_node *node) {
    precedence own = binding_of(node);
    const char *text = spelling(node->op);
    if (node->op == DDT_EXPR_NEG || node->op == DDT_EXPR_NOT) {
        push(p, NULL, node->a, own);
        push_text(p, text);
    } else if (own == BIND_ATOM) {
        push_text(p, ")");
        ddt_expr operands[3] = {0};
        for (unsigned k = expr_operands(node, operands); k-- > 0;) {
            push(p, NULL, operands[k], BIND_OR);
            push_text(p, k > 0 ? ", " : text);
        }
    } else {
        /* Left-associative operators bracket an equal right side, the power an equal left side, comparisons both. */
        bool left_closed = node->op == DDT_EXPR_POW || own == BIND_COMPARE;
        bool right_closed = node->op != DDT_EXPR_POW;
        push(p, NULL, node->b, node->op == DDT_EXPR_POW ? BIND_SIGN : (right_closed ? (precedence)(own + 1) : own));
        push_text(p, text);
        push(p, NULL, node->a, left_closed ? (precedence)(own + 1) : own);
    }
}

static void print_one(printer *p, work item) {
    if (item.text != NULL) {
        put(p, item.text);
        return;
    }
    const ddt_expr_node *node = &p->pool->nodes[item.e];
    if (binding_of(node) < item.binding) {
        put(p, "(");
        push_text(p, ")");
    }
    if (node->op == DDT_EXPR_CONST) {
        put_number(p, node->value);
    } else if (node->op == DDT_EXPR_SYMBOL) {
        put(p, p->names[node->symbol]);
    } else {
        expand(p, node);
    }
}

char *ddt_expr_print(const ddt_expr_pool *pool, ddt_expr e, const char *const *names) {
    printer p = {.pool = pool, .names = names};
    if (expr_valid(pool, e)) {
        push(&p, NULL, e, BIND_OR);
    } else {
        push_text(&p, "(none)");
    }
    while (p.depth > 0 && !p.failed && p.length <= TEXT_MAX) {
        p.depth--;
        print_one(&p, p.stack[p.depth]);
    }
    if (p.length > TEXT_MAX && !p.failed) {
        static const char more[] = "...";
        p.length = TEXT_MAX - sizeof more;
        put(&p, more);
    }
    ddt_free(p.stack);
    if (p.failed) {
        ddt_free(p.text);
        return NULL;
    }
    return p.text;
}
