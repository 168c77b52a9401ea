/* Tokens, names, symbols and errors of the model parser. SPDX-License-Identifier: Apache-2.0 */
#include "parser.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_NAMES = 64, CONSTRUCT_SHOWN = 60, LAST_ASCII = 0x7E };

/* ------------------------------------------------------------------ tokens */

const token *parser_peek_ahead(const parser *p, size_t ahead) {
    size_t last = p->token_count - 1;
    return &p->tokens[p->at + ahead < last ? p->at + ahead : last];
}

const token *parser_peek(const parser *p) { return parser_peek_ahead(p, 0); }

const token *parser_next(parser *p) {
    const token *now = parser_peek(p);
    if (p->at + 1 < p->token_count) {
        p->at++;
    }
    return now;
}

void parser_expect(parser *p, int op, const char *text) {
    if (token_is(parser_peek(p), op)) {
        (void)parser_next(p);
        return;
    }
    char reason[CONSTRUCT_SHOWN];
    (void)snprintf(reason, sizeof reason, "'%s' was expected here", text);
    parser_refuse_token(p, parser_peek(p), reason);
}

void parser_skip_newlines(parser *p) {
    while (parser_peek(p)->kind == TOKEN_NEWLINE) {
        (void)parser_next(p);
    }
}

void parser_skip_separators(parser *p) {
    while (parser_peek(p)->kind == TOKEN_NEWLINE || token_is(parser_peek(p), ';')) {
        (void)parser_next(p);
    }
}

bool parser_at_end_of_statement(const parser *p) {
    const token *now = parser_peek(p);
    return now->kind == TOKEN_END || now->kind == TOKEN_NEWLINE || token_is(now, ';') || token_is(now, '}');
}

void parser_block(parser *p, void (*statement)(parser *)) {
    parser_expect(p, '{', "{");
    parser_skip_separators(p);
    while (p->status == DDT_OK && !token_is(parser_peek(p), '}')) {
        statement(p);
        if (p->status == DDT_OK && !parser_at_end_of_statement(p)) {
            parser_refuse_token(p, parser_peek(p), "the line should end here");
        }
        parser_skip_separators(p);
    }
    parser_expect(p, '}', "}");
}

void parser_skip_statement(parser *p) {
    size_t depth = 0;
    for (;;) {
        const token *now = parser_peek(p);
        if (now->kind == TOKEN_END || (depth == 0 && parser_at_end_of_statement(p))) {
            return;
        }
        if (token_is(now, '(') || token_is(now, '[') || token_is(now, '{')) {
            depth++;
        } else if (token_is(now, ')') || token_is(now, ']') || token_is(now, '}')) {
            if (depth == 0) {
                return;
            }
            depth--;
        }
        (void)parser_next(p);
    }
}

/* ------------------------------------------------------------------ errors */

void parser_refuse(parser *p, unsigned line, const char *construct, size_t length, const char *reason) {
    if (p->status != DDT_OK) {
        return;
    }
    static const char more[] = "...";
    char shown[CONSTRUCT_SHOWN + sizeof more];
    size_t n = length < CONSTRUCT_SHOWN ? length : CONSTRUCT_SHOWN;
    for (size_t i = 0; i < n; i++) { /* a hostile file must not steer the terminal */
        shown[i] = construct[i] >= ' ' && construct[i] <= LAST_ASCII ? construct[i] : '?';
    }
    shown[n] = '\0';
    if (n < length) {
        memcpy(shown + n, more, sizeof more);
    }
    p->status = ddt_fail(p->ctx, DDT_ERR_MODEL, "%s:%u: %s cannot be run: %s.", p->file, line, shown, reason);
}

void parser_refuse_token(parser *p, const token *t, const char *reason) {
    static const char end[] = "the end of the file";
    static const char newline[] = "the end of the line";
    if (t->kind == TOKEN_END) {
        parser_refuse(p, t->line, end, sizeof end - 1, reason);
    } else if (t->kind == TOKEN_NEWLINE) {
        parser_refuse(p, t->line, newline, sizeof newline - 1, reason);
    } else {
        parser_refuse(p, t->line, t->text, t->length, reason);
    }
}

void parser_out_of_memory(parser *p) {
    if (p->status == DDT_OK) {
        p->status = ddt_fail(p->ctx, DDT_ERR_MEMORY, "No memory to read %s.", p->file);
    }
}

void parser_check(parser *p, unsigned line, ddt_expr e) {
    if (p->status != DDT_OK || e != DDT_EXPR_NONE) {
        return;
    }
    if (ddt_expr_pool_status(p->model->pool) == DDT_ERR_CAPACITY) {
        static const char construct[] = "the model";
        parser_refuse(p, line, construct, sizeof construct - 1, "it needs more than a million operations");
    } else {
        parser_out_of_memory(p);
    }
}

bool parser_grow(parser *p, void **array, size_t count, size_t *capacity, size_t size) {
    enum { FIRST_CAPACITY = 16 };
    if (count < *capacity) {
        return true;
    }
    size_t grown_capacity = *capacity == 0 ? FIRST_CAPACITY : 2 * *capacity;
    void *grown = ddt_realloc(*array, count, grown_capacity, size);
    if (grown == NULL) {
        parser_out_of_memory(p);
        return false;
    }
    *array = grown;
    *capacity = grown_capacity;
    return true;
}

char *parser_copy(parser *p, const char *text, size_t length) {
    char *copy = ddt_alloc(length + 1, 1);
    if (copy == NULL) {
        parser_out_of_memory(p);
        return NULL;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

bool parser_keep(parser *p, char *text) {
    if (!parser_grow(p, (void **)&p->kept, p->kept_count, &p->kept_capacity, sizeof *p->kept)) {
        ddt_free(text);
        return false;
    }
    p->kept[p->kept_count++] = text;
    return true;
}

/* ------------------------------------------------------------------ names */

static uint32_t name_hash(const char *text, size_t length) {
    uint32_t h = 2166136261U; /* FNV-1a */
    for (size_t i = 0; i < length; i++) {
        h = (h ^ (unsigned char)text[i]) * 16777619U;
    }
    return h;
}

static size_t name_place(const parser *p, const char *text, size_t length, uint32_t hash) {
    size_t place = hash & (p->name_table_size - 1);
    while (p->name_table[place] != NO_INDEX) {
        const name_entry *entry = &p->names[p->name_table[place]];
        if (entry->hash == hash && entry->length == length && memcmp(entry->text, text, length) == 0) {
            break;
        }
        place = (place + 1) & (p->name_table_size - 1);
    }
    return place;
}

uint32_t parser_find_name(const parser *p, const char *text, size_t length) {
    return p->name_table_size == 0 ? NO_INDEX : p->name_table[name_place(p, text, length, name_hash(text, length))];
}

static bool grow_names(parser *p) {
    size_t capacity = p->name_capacity == 0 ? FIRST_NAMES : 2 * p->name_capacity;
    size_t table_size = 2 * capacity;
    uint32_t *table = ddt_alloc(table_size, sizeof *table);
    name_entry *names = table == NULL ? NULL : ddt_realloc(p->names, p->name_count, capacity, sizeof *names);
    if (names == NULL) {
        ddt_free(table);
        parser_out_of_memory(p);
        return false;
    }
    ddt_free(p->name_table);
    p->names = names;
    p->name_capacity = capacity;
    p->name_table = table;
    p->name_table_size = table_size;
    for (size_t i = 0; i < table_size; i++) {
        table[i] = NO_INDEX;
    }
    for (size_t i = 0; i < p->name_count; i++) {
        table[name_place(p, names[i].text, names[i].length, names[i].hash)] = (uint32_t)i;
    }
    return true;
}

uint32_t parser_name(parser *p, const token *t) {
    if (p->name_count == p->name_capacity && !grow_names(p)) {
        return NO_INDEX;
    }
    uint32_t hash = name_hash(t->text, t->length);
    size_t place = name_place(p, t->text, t->length, hash);
    if (p->name_table[place] == NO_INDEX) {
        name_entry entry = {.text = t->text,
                            .length = t->length,
                            .hash = hash,
                            .symbol = NO_INDEX,
                            .compartment = NO_INDEX,
                            .order = NO_INDEX};
        for (size_t i = 0; i < SLOT_COUNT; i++) {
            entry.slots[i] = DDT_EXPR_NONE;
        }
        p->name_table[place] = (uint32_t)p->name_count;
        p->names[p->name_count++] = entry;
    }
    return p->name_table[place];
}

uint32_t parser_add_named_symbol(parser *p, char *name, ddt_symbol_kind kind, unsigned line) {
    ddt_model *model = p->model;
    if (name == NULL ||
        !parser_grow(p, (void **)&model->symbols, model->symbol_count, &p->symbol_capacity, sizeof *model->symbols)) {
        ddt_free(name);
        return NO_INDEX;
    }
    model->symbols[model->symbol_count] = (ddt_symbol){
        .name = name, .kind = kind, .lower = -INFINITY, .upper = INFINITY, .compartment = NO_INDEX, .line = line};
    return (uint32_t)model->symbol_count++;
}

uint32_t parser_add_symbol(parser *p, uint32_t name, ddt_symbol_kind kind, unsigned line) {
    char *text = parser_copy(p, p->names[name].text, p->names[name].length);
    uint32_t symbol = parser_add_named_symbol(p, text, kind, line);
    p->names[name].symbol = symbol;
    return symbol;
}

uint32_t parser_add_compartment(parser *p, uint32_t name, unsigned line) {
    ddt_model *model = p->model;
    const name_entry *entry = &p->names[name];
    if (entry->compartment != NO_INDEX) {
        return entry->compartment;
    }
    if (entry->symbol != NO_INDEX) {
        parser_refuse(p, line, entry->text, entry->length,
                      "the name is a parameter already and cannot be a compartment");
        return NO_INDEX;
    }
    if (model->compartment_count == COMPARTMENTS_MAX) {
        parser_refuse(p, line, entry->text, entry->length, "a model has at most 1024 compartments");
        return NO_INDEX;
    }
    if (!parser_grow(p, (void **)&model->compartments, model->compartment_count, &p->compartment_capacity,
                     sizeof *model->compartments)) {
        return NO_INDEX;
    }
    char *text = parser_copy(p, entry->text, entry->length);
    if (text == NULL) {
        return NO_INDEX;
    }
    uint32_t compartment = (uint32_t)model->compartment_count;
    model->compartments[model->compartment_count++] = (ddt_compartment){.name = text,
                                                                        .derivative = DDT_EXPR_NONE,
                                                                        .initial = DDT_EXPR_NONE,
                                                                        .bioavailability = DDT_EXPR_NONE,
                                                                        .lag_h = DDT_EXPR_NONE,
                                                                        .rate = DDT_EXPR_NONE,
                                                                        .duration = DDT_EXPR_NONE,
                                                                        .line = line};
    p->names[name].compartment = compartment;
    uint32_t symbol = parser_add_symbol(p, name, DDT_SYMBOL_STATE, line);
    if (symbol != NO_INDEX) {
        model->symbols[symbol].compartment = compartment;
    }
    model->compartments[compartment].symbol = symbol;
    return compartment;
}

void parser_assign(parser *p, uint32_t name, slot_kind slot, ddt_expr value) {
    name_entry *entry = &p->names[name];
    if (p->keep_changes) {
        if (!parser_grow(p, (void **)&p->changes, p->change_count, &p->change_capacity, sizeof *p->changes)) {
            return;
        }
        p->changes[p->change_count++] = (change){.name = name, .slot = slot, .before = entry->slots[slot]};
    }
    if (slot == SLOT_VALUE && entry->order == NO_INDEX) {
        entry->order = p->assigned_count++;
    }
    entry->slots[slot] = value;
}

/* ------------------------------------------------------------------ reading a name */

static const struct {
    const char *name;
    double value;
} constants[] = {{"pi", 3.14159265358979323846},
                 {"M_PI", 3.14159265358979323846},
                 {"M_E", 2.71828182845904523536},
                 {"M_LN2", 0.693147180559945309417},
                 {"M_LN10", 2.30258509299404568402},
                 {"Inf", INFINITY},
                 {"NaN", NAN}};

static const char *const reserved[] = {"tafd",   "dosenum", "NA",   "NULL", "TRUE", "FALSE",  "CMT",
                                       "cmt",    "DVID",    "dvid", "EVID", "evid", "newind", "NEWIND",
                                       "rxFlag", "AMT",     "amt",  "DV",   "dv",   "ID",     "id"};

static ddt_expr read_constant(parser *p, const name_entry *entry, bool *found) {
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        if (strlen(constants[i].name) == entry->length && memcmp(constants[i].name, entry->text, entry->length) == 0) {
            *found = true;
            return ddt_expr_const(p->model->pool, constants[i].value);
        }
    }
    *found = false;
    return DDT_EXPR_NONE;
}

static bool entry_is(const name_entry *entry, const char *text) {
    return strlen(text) == entry->length && memcmp(text, entry->text, entry->length) == 0;
}

/* A name that the file does not define: the time, a constant, or a data column. */
static ddt_expr read_unknown(parser *p, uint32_t name, unsigned line) {
    const name_entry *entry = &p->names[name];
    bool found = false;
    ddt_expr value = read_constant(p, entry, &found);
    if (found) {
        return value;
    }
    if (p->in_ini) {
        parser_refuse(p, line, entry->text, entry->length, "ini takes numbers, and this name is not one");
        return DDT_EXPR_NONE;
    }
    if (entry->is_assigned && p->target != name) {
        parser_refuse(p, line, entry->text, entry->length, "it is read here before the line that assigns it");
        return DDT_EXPR_NONE;
    }
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (entry_is(entry, reserved[i])) {
            parser_refuse(p, line, entry->text, entry->length,
                          "this value of the event table cannot be read by a model");
            return DDT_EXPR_NONE;
        }
    }
    if (entry_is(entry, "t") || entry_is(entry, "time") || entry_is(entry, "TIME")) {
        return parser_time(p, line);
    }
    if (entry_is(entry, "tad") || entry_is(entry, "tlast") || entry_is(entry, "podo")) {
        return parser_dose_history(p, entry->text, entry->length, NO_INDEX, line);
    }
    uint32_t symbol = parser_add_symbol(p, name, DDT_SYMBOL_COVARIATE, line);
    return symbol == NO_INDEX ? DDT_EXPR_NONE : ddt_expr_symbol(p->model->pool, symbol);
}

ddt_expr parser_read_name(parser *p, uint32_t name, unsigned line) {
    const name_entry *entry = &p->names[name];
    if (!p->in_ini && entry->slots[SLOT_VALUE] != DDT_EXPR_NONE) {
        return entry->slots[SLOT_VALUE];
    }
    if (!p->in_ini && entry->symbol != NO_INDEX) {
        return ddt_expr_symbol(p->model->pool, entry->symbol);
    }
    return read_unknown(p, name, line);
}
