/* model({...}): statements, conditions, properties of compartments. SPDX-License-Identifier: Apache-2.0 */
#include "parser.h"

#include <string.h>

static void read_statement(parser *p);

/* ------------------------------------------------------------------ assignments */

/* "= value", "<- value" and, where the left side leaves no doubt, "~ value". */
static ddt_expr read_assigned(parser *p, bool tilde_allowed) {
    const token *now = parser_peek(p);
    if (!token_is_assignment(now) && !(tilde_allowed && token_is(now, '~'))) {
        parser_expect(p, OPERATOR_ASSIGN, "<-");
        return DDT_EXPR_NONE;
    }
    (void)parser_next(p);
    parser_skip_newlines(p);
    return parser_expression(p);
}

static void assign_property(parser *p, const token *state, slot_kind slot) {
    uint32_t name = parser_find_name(p, state->text, state->length);
    if (name == NO_INDEX || p->names[name].compartment == NO_INDEX) {
        parser_refuse_token(p, state, "no compartment has this name");
        return;
    }
    unsigned line = state->line;
    p->derivative_of = slot == SLOT_DERIVATIVE ? p->names[name].compartment : NO_INDEX;
    ddt_expr value = read_assigned(p, slot == SLOT_DERIVATIVE);
    p->derivative_of = NO_INDEX;
    if (p->status != DDT_OK) {
        return;
    }
    bool from_lincmt =
        slot == SLOT_DERIVATIVE && p->lincmt.wanted &&
        (p->names[name].compartment == p->lincmt.depot || p->names[name].compartment == p->lincmt.central);
    if (from_lincmt) {
        parser_refuse(p, line, state->text, state->length, "linCmt() gives this compartment's equation already");
        return;
    }
    parser_assign(p, name, slot, value);
}

/* d/dt(x) <- ...: true when the statement is one. */
static bool read_derivative_line(parser *p) {
    if (!token_is_name(parser_peek(p), "d") || !token_is(parser_peek_ahead(p, 1), '/') ||
        !token_is_name(parser_peek_ahead(p, 2), "dt") || !token_is(parser_peek_ahead(p, 3), '(')) {
        return false;
    }
    p->at += 4;
    const token *state = parser_next(p);
    parser_expect(p, ')', ")");
    if (p->status == DDT_OK) {
        assign_property(p, state, SLOT_DERIVATIVE);
    }
    return true;
}

static const struct {
    const char *name;
    slot_kind slot;
} properties[] = {{"f", SLOT_BIOAVAILABILITY}, {"F", SLOT_BIOAVAILABILITY}, {"alag", SLOT_LAG},
                  {"lag", SLOT_LAG},           {"rate", SLOT_RATE},         {"dur", SLOT_DURATION}};

/* Statements of rxode2 that say nothing about the equations. */
static const char *const ignored[] = {"dvid", "params", "param", "label", "print", "printf", "Rprintf"};

static bool is_any(const token *name, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (token_is_name(name, list[i])) {
            return true;
        }
    }
    return false;
}

/* mtime(x) <- value: a variable whose value is a time at which the solver stops. */
static void read_mtime(parser *p, const token *name) {
    ddt_model *model = p->model;
    uint32_t index = parser_name(p, name);
    p->at += 3;
    ddt_expr value = read_assigned(p, true);
    if (p->status != DDT_OK || index == NO_INDEX ||
        !parser_grow(p, (void **)&model->breaks, model->break_count, &p->break_capacity, sizeof *model->breaks)) {
        return;
    }
    if (p->keep_changes) {
        parser_refuse_token(p, name, "mtime() does not stand under a condition");
        return;
    }
    model->breaks[model->break_count++] = value;
    parser_assign(p, index, SLOT_VALUE, value);
}

static const struct {
    const char *name;
    ddt_between_records between;
} interpolations[] = {{"locf", DDT_BETWEEN_LOCF},
                      {"nocb", DDT_BETWEEN_NOCB},
                      {"linear", DDT_BETWEEN_LINEAR},
                      {"midpoint", DDT_BETWEEN_MIDPOINT}};

/* The rest of locf(x, y): data columns and how their values hold between records. */
static void read_interpolation(parser *p, ddt_between_records between) {
    const token *last = NULL;
    do {
        (void)parser_next(p); /* the bracket, or a comma */
        const token *column = parser_next(p);
        uint32_t index = column->kind == TOKEN_NAME ? parser_name(p, column) : NO_INDEX;
        double number = 0.0;
        ddt_expr e = index == NO_INDEX ? DDT_EXPR_NONE : parser_read_name(p, index, column->line);
        bool is_symbol = p->status == DDT_OK && e != DDT_EXPR_NONE && !ddt_expr_is_const(p->model->pool, e, &number) &&
                         ddt_expr_get(p->model->pool, e)->op == DDT_EXPR_SYMBOL;
        ddt_symbol *symbol = is_symbol ? &p->model->symbols[ddt_expr_get(p->model->pool, e)->symbol] : NULL;
        if (symbol == NULL || symbol->kind != DDT_SYMBOL_COVARIATE) {
            parser_refuse_token(p, column, "this line takes data columns"); /* where nothing else was refused */
            return;
        }
        symbol->between = between;
        last = parser_peek(p);
    } while (token_is(last, ','));
    parser_expect(p, ')', ")");
}

/* f(x) <- ..., x(0) <- ..., cmt(x), linCmt() ~ ...: the current token is a name with a bracket behind it. */
static void read_call_line(parser *p) {
    const token *name = parser_next(p);
    const token *argument = parser_peek_ahead(p, 1);
    if (token_is_name(name, "linCmt")) {
        (void)parser_next(p);
        (void)parser_function(p, name);
        if (p->status == DDT_OK && !parser_at_end_of_statement(p)) {
            parser_expect(p, '~', "~");
            parser_residual(p, NO_INDEX);
        }
        return;
    }
    if (is_any(name, ignored, sizeof ignored / sizeof ignored[0])) {
        parser_skip_statement(p);
        return;
    }
    if (token_is_name(name, "cmt")) { /* known since the file was scanned for compartments */
        parser_skip_statement(p);
        return;
    }
    bool closes = token_is(parser_peek_ahead(p, 2), ')');
    if (closes && argument->kind == TOKEN_NAME && token_is_name(name, "mtime")) {
        read_mtime(p, argument);
        return;
    }
    if (closes && argument->kind == TOKEN_NUMBER && argument->number == 0) {
        p->at += 3;
        assign_property(p, name, SLOT_INITIAL);
        return;
    }
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++) {
        if (closes && argument->kind == TOKEN_NAME && token_is_name(name, properties[i].name)) {
            p->at += 3;
            assign_property(p, argument, properties[i].slot);
            return;
        }
    }
    for (size_t i = 0; i < sizeof interpolations / sizeof interpolations[0]; i++) {
        if (token_is_name(name, interpolations[i].name)) {
            read_interpolation(p, interpolations[i].between);
            return;
        }
    }
    parser_refuse_token(p, name, "a line that begins with this call is not known");
}

static void read_variable_line(parser *p) {
    const token *name = parser_next(p);
    uint32_t index = parser_name(p, name);
    if (index == NO_INDEX) {
        return;
    }
    if (token_is(parser_peek(p), '~')) {
        (void)parser_next(p);
        parser_residual(p, index);
        return;
    }
    if (p->names[index].compartment != NO_INDEX) {
        parser_refuse_token(p, name, "a compartment is not assigned; its change is d/dt()");
        return;
    }
    p->target = index;
    ddt_expr value = read_assigned(p, false);
    p->target = NO_INDEX;
    if (p->status == DDT_OK) {
        parser_assign(p, index, SLOT_VALUE, value);
    }
}

/* ------------------------------------------------------------------ if */

/* Takes the changes of one branch back; their values so far go to values[], one a change. */
static void take_back(parser *p, size_t from, ddt_expr *values) {
    for (size_t i = p->change_count; i-- > from;) {
        const change *now = &p->changes[i];
        values[i - from] = p->names[now->name].slots[now->slot];
        p->names[now->name].slots[now->slot] = now->before;
    }
}

/* What a slot holds where a branch does not set it. DDT_EXPR_NONE: anything will do. */
static ddt_expr value_without(parser *p, const name_entry *entry, slot_kind slot) {
    ddt_expr_pool *pool = p->model->pool;
    if (entry->slots[slot] != DDT_EXPR_NONE) {
        return entry->slots[slot];
    }
    switch (slot) {
    case SLOT_VALUE:
        return entry->symbol == NO_INDEX ? DDT_EXPR_NONE : ddt_expr_symbol(pool, entry->symbol);
    case SLOT_BIOAVAILABILITY:
        return ddt_expr_const(pool, 1);
    case SLOT_INITIAL:
    case SLOT_LAG:
        return ddt_expr_const(pool, 0);
    default:
        return DDT_EXPR_NONE;
    }
}

static void merge_one(parser *p, ddt_expr condition, const change *c, ddt_expr in_then, ddt_expr in_else,
                      unsigned line) {
    const name_entry *entry = &p->names[c->name];
    if (in_then == DDT_EXPR_NONE || in_else == DDT_EXPR_NONE) {
        if (c->slot != SLOT_VALUE) {
            parser_refuse(p, line, entry->text, entry->length,
                          "its equation, rate or duration is given under a condition and not otherwise");
            return;
        }
        /* Defined on one side only: where the condition fails nothing may depend on it, so one value serves. */
        parser_assign(p, c->name, c->slot, in_then == DDT_EXPR_NONE ? in_else : in_then);
        return;
    }
    ddt_expr merged = ddt_expr_if(p->model->pool, condition, in_then, in_else);
    parser_check(p, line, merged);
    parser_assign(p, c->name, c->slot, merged);
}

typedef struct branch {
    change *changes;
    ddt_expr *values;
    size_t count;
} branch;

static void branch_free(branch *b) {
    ddt_free(b->changes);
    ddt_free(b->values);
}

/* One branch: { ... } or a single statement. What it assigned is taken back and kept in *out. */
static void read_branch(parser *p, branch *out) {
    bool outer = p->keep_changes;
    size_t from = p->change_count;
    p->keep_changes = true;
    parser_skip_newlines(p);
    read_statement(p);
    size_t count = p->change_count - from;
    out->changes = ddt_alloc(count, sizeof *out->changes);
    out->values = ddt_alloc(count, sizeof *out->values);
    if (out->changes == NULL || out->values == NULL) {
        parser_out_of_memory(p);
    } else {
        out->count = count;
        take_back(p, from, out->values);
        if (count > 0) {
            memcpy(out->changes, p->changes + from, count * sizeof *out->changes);
        }
        p->change_count = from;
    }
    p->keep_changes = outer;
}

/* Puts the assignments of a branch in force again, in their order: the last one of a slot wins. */
static void replay(parser *p, const branch *b) {
    for (size_t i = 0; i < b->count; i++) {
        p->names[b->changes[i].name].slots[b->changes[i].slot] = b->values[i];
    }
}

static void undo(parser *p, const branch *b) {
    for (size_t i = b->count; i-- > 0;) {
        p->names[b->changes[i].name].slots[b->changes[i].slot] = b->changes[i].before;
    }
}

static const change *change_of(const branch *first, const branch *second, size_t i) {
    return i < first->count ? &first->changes[i] : &second->changes[i - first->count];
}

/* Joins what the two branches assigned. */
static void merge(parser *p, ddt_expr condition, const branch *then_branch, const branch *else_branch, unsigned line) {
    size_t total = then_branch->count + else_branch->count;
    ddt_expr *then_values = ddt_alloc(total, sizeof *then_values);
    ddt_expr *else_values = ddt_alloc(total, sizeof *else_values);
    if (then_values == NULL || else_values == NULL) {
        parser_out_of_memory(p);
        total = 0;
    }
    for (int side = 0; side < 2 && total > 0; side++) {
        const branch *now = side == 0 ? then_branch : else_branch;
        replay(p, now);
        for (size_t i = 0; i < total; i++) {
            const change *c = change_of(then_branch, else_branch, i);
            (side == 0 ? then_values : else_values)[i] = value_without(p, &p->names[c->name], c->slot);
        }
        undo(p, now);
    }
    for (size_t i = 0; i < total && p->status == DDT_OK; i++) {
        merge_one(p, condition, change_of(then_branch, else_branch, i), then_values[i], else_values[i], line);
    }
    ddt_free(then_values);
    ddt_free(else_values);
}

static void read_if(parser *p) {
    const token *start = parser_next(p);
    branch then_branch = {0};
    branch else_branch = {0};
    parser_expect(p, '(', "(");
    ddt_expr condition = p->status == DDT_OK ? parser_expression(p) : DDT_EXPR_NONE;
    parser_expect(p, ')', ")");
    if (p->status == DDT_OK) {
        read_branch(p, &then_branch);
    }
    size_t after = p->at;
    parser_skip_separators(p);
    if (p->status == DDT_OK && token_is_name(parser_peek(p), "else")) {
        (void)parser_next(p);
        read_branch(p, &else_branch);
    } else {
        p->at = after;
    }
    if (p->status == DDT_OK) {
        merge(p, condition, &then_branch, &else_branch, start->line);
    }
    branch_free(&then_branch);
    branch_free(&else_branch);
}

static void read_statement(parser *p) {
    const token *now = parser_peek(p);
    const token *next = parser_peek_ahead(p, 1);
    if (++p->depth > NESTING_MAX) {
        parser_refuse_token(p, now, "it is nested too deep");
    } else if (token_is(now, '{')) {
        parser_block(p, read_statement);
    } else if (token_is_name(now, "if") && token_is(next, '(')) {
        read_if(p);
    } else if (is_any(now, (const char *const[]){"while", "for", "repeat", "function"}, 4)) {
        parser_refuse_token(p, now,
                            "loops and functions would make the equations depend on data in a way that has no circuit");
    } else if (read_derivative_line(p)) {
        /* done */
    } else if (now->kind == TOKEN_NAME && token_is(next, '(')) {
        read_call_line(p);
    } else if (now->kind == TOKEN_NAME) {
        read_variable_line(p);
    } else if (now->kind == TOKEN_STRING) {
        (void)parser_next(p);
    } else {
        parser_refuse_token(p, now, "a line of a model cannot begin like this");
    }
    p->depth--;
}

/* ------------------------------------------------------------------ what must be known before reading */

static const token *token_at(const parser *p, size_t i) {
    return &p->tokens[i < p->token_count - 1 ? i : p->token_count - 1];
}

/* The compartment that a statement at token i declares: d/dt(x) <- or cmt(x); NULL when it is something else. */
static const token *declared_compartment(const parser *p, size_t i) {
    const token *t = token_at(p, i);
    if (token_is_name(t, "cmt") && token_is(token_at(p, i + 1), '(') && token_is(token_at(p, i + 3), ')')) {
        const token *state = token_at(p, i + 2);
        return state->kind == TOKEN_NAME ? state : NULL;
    }
    if (token_is_name(t, "d") && token_is(token_at(p, i + 1), '/') && token_is_name(token_at(p, i + 2), "dt") &&
        token_is(token_at(p, i + 3), '(') && token_is(token_at(p, i + 5), ')')) {
        const token *state = token_at(p, i + 4);
        const token *sign = token_at(p, i + 6);
        bool assigned = token_is_assignment(sign) || token_is(sign, '~');
        return assigned && state->kind == TOKEN_NAME ? state : NULL;
    }
    return NULL;
}

/* Notes which names are assigned and which are compartments, over the tokens of the model block. */
static void scan(parser *p, size_t begin, size_t end) {
    size_t depth = 0; /* of ( and [: what is inside is no statement */
    for (size_t i = begin; i < end && p->status == DDT_OK; i++) {
        const token *t = &p->tokens[i];
        if (token_is(t, '(') || token_is(t, '[')) {
            depth++;
        } else if (token_is(t, ')') || token_is(t, ']')) {
            depth = depth > 0 ? depth - 1 : 0;
        }
        if (depth != 0 || t->kind != TOKEN_NAME) {
            continue;
        }
        const token *state = declared_compartment(p, i);
        uint32_t name = NO_INDEX;
        if (state != NULL) {
            name = parser_name(p, state);
            if (name != NO_INDEX) {
                (void)parser_add_compartment(p, name, state->line);
            }
            continue;
        }
        bool is_mtime = token_is_name(t, "mtime") && token_is(token_at(p, i + 1), '(') &&
                        token_at(p, i + 2)->kind == TOKEN_NAME && token_is(token_at(p, i + 3), ')');
        if (is_mtime || token_is_assignment(token_at(p, i + 1))) {
            name = parser_name(p, is_mtime ? token_at(p, i + 2) : t);
            if (name != NO_INDEX) {
                p->names[name].is_assigned = true;
            }
        }
    }
}

static size_t end_of_block(const parser *p) {
    size_t depth = 0;
    for (size_t i = p->at; i < p->token_count; i++) {
        if (token_is(&p->tokens[i], '{')) {
            depth++;
        } else if (token_is(&p->tokens[i], '}') && --depth == 0) {
            return i;
        }
    }
    return p->token_count - 1;
}

void parser_model(parser *p) {
    size_t begin = p->at;
    size_t end = end_of_block(p);
    scan(p, begin, end);
    if (p->status == DDT_OK) {
        lincmt_prepare(p, begin, end);
    }
    if (p->status == DDT_OK) {
        parser_block(p, read_statement);
    }
}
