/* What a model file says about itself: description, reference, units, covariateData.
 * SPDX-License-Identifier: Apache-2.0 */
#include "parser.h"

#include <string.h>

enum { TEXT_MAX = 1 << 16, UNIT_MAX = 64 };

/* Joins the texts of the tokens from `begin` to `end`: "..." or paste("...", "...") (with blanks), paste0 (without). */
static char *join_texts(parser *p, size_t begin, size_t end) {
    bool with_blanks = !token_is_name(&p->tokens[begin], "paste0");
    char *text = ddt_alloc(TEXT_MAX, 1);
    if (text == NULL) {
        parser_out_of_memory(p);
        return NULL;
    }
    size_t n = 0;
    for (size_t i = begin; i < end; i++) {
        const token *t = &p->tokens[i];
        bool is_argument = i > begin && token_is(&p->tokens[i - 1], '=') && t->kind == TOKEN_STRING; /* sep = " " */
        if (t->kind != TOKEN_STRING || is_argument) {
            continue;
        }
        if (with_blanks && n > 0 && n + 1 < TEXT_MAX) {
            text[n++] = ' ';
        }
        size_t room = TEXT_MAX - 1 - n;
        size_t length = t->length < room ? t->length : room;
        memcpy(text + n, t->text, length);
        n += length;
    }
    text[n] = '\0';
    char *fitted = ddt_strdup(text);
    ddt_free(text);
    if (fitted == NULL) {
        parser_out_of_memory(p);
    }
    return fitted;
}

/* The texts of a statement; ends at its end. */
static char *read_text(parser *p) {
    size_t begin = p->at;
    parser_skip_statement(p);
    return join_texts(p, begin, p->at);
}

static void replace(char **where, char *text) {
    ddt_free(*where);
    *where = text;
}

/* The field's spellings of an hour and a day become "h" and "day". */
static char *normal_time_unit(parser *p, const token *t) {
    static const char *const hours[] = {"h", "hr", "hrs", "hour", "hours"};
    static const char *const days[] = {"d", "day", "days"};
    for (size_t i = 0; i < sizeof hours / sizeof hours[0]; i++) {
        if (strlen(hours[i]) == t->length && memcmp(hours[i], t->text, t->length) == 0) {
            return parser_copy(p, "h", 1);
        }
    }
    for (size_t i = 0; i < sizeof days / sizeof days[0]; i++) {
        if (strlen(days[i]) == t->length && memcmp(days[i], t->text, t->length) == 0) {
            return parser_copy(p, "day", strlen("day"));
        }
    }
    return parser_copy(p, t->text, t->length < UNIT_MAX ? t->length : UNIT_MAX);
}

/* name = value of a list(...): moves to the value, or past one that has no name. False at the end of the list. */
const token *parser_list_next(parser *p) {
    while (p->status == DDT_OK) {
        const token *now = parser_peek(p);
        if (token_is(now, ')')) {
            (void)parser_next(p);
            return NULL;
        }
        if (token_is(now, ',') || now->kind == TOKEN_NEWLINE) {
            (void)parser_next(p);
            continue;
        }
        if ((now->kind == TOKEN_NAME || now->kind == TOKEN_STRING) && token_is(parser_peek_ahead(p, 1), '=')) {
            p->at += 2;
            return now;
        }
        if (now->kind == TOKEN_END) {
            return NULL;
        }
        (void)parser_next(p);
    }
    return NULL;
}

/* Moves past one value of a list: up to the comma or the bracket that ends it. */
void parser_list_skip(parser *p) {
    size_t depth = 0;
    for (;;) {
        const token *now = parser_peek(p);
        if (now->kind == TOKEN_END || (depth == 0 && (token_is(now, ',') || token_is(now, ')')))) {
            return;
        }
        if (token_is(now, '(') || token_is(now, '[') || token_is(now, '{')) {
            depth++;
        } else if (token_is(now, ')') || token_is(now, ']') || token_is(now, '}')) {
            depth--;
        }
        (void)parser_next(p);
    }
}

char *parser_list_text(parser *p) {
    size_t begin = p->at;
    parser_list_skip(p);
    return join_texts(p, begin, p->at);
}

bool token_text_is(const token *item, const char *name) {
    return strlen(name) == item->length && memcmp(item->text, name, item->length) == 0;
}

bool parser_list_enter(parser *p) {
    const token *name = parser_peek(p);
    if ((token_is_name(name, "list") || token_is_name(name, "c")) && token_is(parser_peek_ahead(p, 1), '(')) {
        p->at += 2;
        return true;
    }
    return false;
}

static void read_units(parser *p) {
    if (!parser_list_enter(p)) {
        parser_skip_statement(p);
        return;
    }
    for (const token *item = parser_list_next(p); item != NULL && p->status == DDT_OK; item = parser_list_next(p)) {
        const token *value = parser_peek(p);
        if (value->kind == TOKEN_STRING) {
            if (token_text_is(item, "time")) {
                replace(&p->model->time_unit, normal_time_unit(p, value));
                p->has_time_unit = true;
            } else if (token_text_is(item, "dosing")) {
                replace(&p->model->dose_unit, parser_copy(p, value->text, value->length));
            } else if (token_text_is(item, "concentration")) {
                replace(&p->model->concentration_unit, parser_copy(p, value->text, value->length));
            }
        }
        parser_list_skip(p);
    }
}

void parser_meta(parser *p, const token *name) {
    if (token_is_name(name, "description")) {
        replace(&p->model->description, read_text(p));
    } else if (token_is_name(name, "reference")) {
        replace(&p->model->reference, read_text(p));
    } else if (token_is_name(name, "units")) {
        read_units(p);
    } else if (token_is_name(name, "covariateData") || token_is_name(name, "covariates")) {
        p->covariate_data = p->at;
    } else if (token_is_name(name, "products")) {
        p->products = p->at;
    } else if (token_is_name(name, "targets")) {
        p->targets = p->at;
    }
    parser_skip_statement(p);
}

/* Labels such as "Elimination rate (1/d)" say what the time unit is where nothing else does. */
void parser_time_unit(parser *p) {
    size_t days = 0;
    size_t hours = 0;
    for (size_t i = 0; i < p->model->symbol_count; i++) {
        const char *label = p->model->symbols[i].label;
        if (label != NULL) {
            days += strstr(label, "/d)") != NULL || strstr(label, "/day") != NULL;
            hours += strstr(label, "/h)") != NULL || strstr(label, "/hr") != NULL || strstr(label, "/hour") != NULL;
        }
    }
    if (!p->has_time_unit && days > 0 && hours == 0) {
        replace(&p->model->time_unit, parser_copy(p, "day", strlen("day")));
    }
}

/* ------------------------------------------------------------------ covariateData */

/* range = c(low, high) */
static void read_range(parser *p, const token *covariate, ddt_symbol *symbol) {
    bool in_ini = p->in_ini;
    p->in_ini = true; /* numbers only */
    if (!parser_list_enter(p)) {
        parser_refuse_token(p, covariate, "its range is not c(low, high)");
    }
    double low = p->status == DDT_OK ? parser_constant(p) : 0;
    parser_expect(p, ',', ",");
    double high = p->status == DDT_OK ? parser_constant(p) : 0;
    parser_expect(p, ')', ")");
    p->in_ini = in_ini;
    if (p->status == DDT_OK && !(low <= high && high - low < 1e300)) {
        parser_refuse_token(p, covariate, "its range is empty or not finite");
    }
    symbol->has_range = true;
    symbol->range_low = low;
    symbol->range_high = high;
}

static void read_covariate(parser *p, const token *name) {
    uint32_t index = parser_find_name(p, name->text, name->length);
    uint32_t at = index == NO_INDEX ? NO_INDEX : p->names[index].symbol;
    if (at == NO_INDEX || p->model->symbols[at].kind != DDT_SYMBOL_COVARIATE) {
        parser_list_skip(p);
        return;
    }
    ddt_symbol *symbol = &p->model->symbols[at];
    if (!parser_list_enter(p)) {
        replace(&symbol->label, parser_list_text(p)); /* NAME = "description" */
        return;
    }
    for (const token *item = parser_list_next(p); item != NULL && p->status == DDT_OK; item = parser_list_next(p)) {
        const token *value = parser_peek(p);
        if (token_text_is(item, "range") && !token_is_name(value, "NULL")) {
            read_range(p, name, symbol);
        } else if (value->kind == TOKEN_STRING && token_text_is(item, "units")) {
            replace(&symbol->unit, parser_copy(p, value->text, value->length));
        } else if (value->kind == TOKEN_STRING && token_text_is(item, "type")) {
            symbol->is_discrete =
                symbol->is_discrete || token_text_is(value, "binary") || token_text_is(value, "categorical");
        } else if (value->kind == TOKEN_STRING && token_text_is(item, "description")) {
            replace(&symbol->label, parser_copy(p, value->text, value->length));
        }
        parser_list_skip(p);
    }
}

void parser_covariate_data(parser *p) {
    if (p->covariate_data == 0) {
        return;
    }
    p->at = p->covariate_data;
    if (!parser_list_enter(p)) {
        return;
    }
    for (const token *item = parser_list_next(p); item != NULL && p->status == DDT_OK; item = parser_list_next(p)) {
        read_covariate(p, item);
    }
}

/* Moves to the value that a list gives a name, the list's bracket just behind; false when it has none. */
static bool find_item(parser *p, const char *name, size_t length) {
    for (const token *item = parser_list_next(p); item != NULL && p->status == DDT_OK; item = parser_list_next(p)) {
        if (item->length == length && memcmp(item->text, name, length) == 0) {
            return true;
        }
        parser_list_skip(p);
    }
    return false;
}

bool parser_declared_range(parser *p, const token *column, double *low, double *high) {
    static const char range[] = "range";
    size_t before = p->at;
    ddt_symbol found = {.has_range = false};
    p->at = p->covariate_data;
    bool declared = p->covariate_data != 0 && parser_list_enter(p) && find_item(p, column->text, column->length);
    if (declared && parser_list_enter(p) && find_item(p, range, sizeof range - 1)) {
        read_range(p, column, &found);
    }
    p->at = before;
    *low = found.range_low;
    *high = found.range_high;
    return found.has_range;
}
