/* Tokens of the model language. SPDX-License-Identifier: Apache-2.0 */
#include "lexer.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_TOKENS = 1024, NUMBER_TEXT_MAX = 64, LAST_ASCII = 0x7E };

typedef struct lexer {
    ddt_context *ctx;
    const char *file;
    const char *text;
    size_t length;
    size_t at;
    unsigned line;
    token *tokens;
    size_t count;
    size_t capacity;
    char brackets[NESTING_MAX];
    size_t depth;
} lexer;

bool token_is(const token *t, int op) { return t->kind == TOKEN_OPERATOR && t->op == op; }

bool token_is_name(const token *t, const char *name) {
    return t->kind == TOKEN_NAME && strlen(name) == t->length && memcmp(t->text, name, t->length) == 0;
}

bool token_is_assignment(const token *t) { return token_is(t, OPERATOR_ASSIGN) || token_is(t, '='); }

static char look(const lexer *l, size_t ahead) { return l->at + ahead < l->length ? l->text[l->at + ahead] : '\0'; }

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_name_part(char c) { return is_letter(c) || is_digit(c) || c == '_' || c == '.'; }

static ddt_status add(lexer *l, token_kind kind, size_t start, size_t end, int op) {
    if (l->count == l->capacity) {
        size_t capacity = l->capacity == 0 ? FIRST_TOKENS : 2 * l->capacity;
        token *grown = ddt_realloc(l->tokens, l->count, capacity, sizeof *grown);
        if (grown == NULL) {
            return ddt_fail(l->ctx, DDT_ERR_MEMORY, "No memory to read %s.", l->file);
        }
        l->tokens = grown;
        l->capacity = capacity;
    }
    l->tokens[l->count++] =
        (token){.kind = kind, .line = l->line, .text = l->text + start, .length = (uint32_t)(end - start), .op = op};
    return DDT_OK;
}

static ddt_status read_number(lexer *l) {
    size_t start = l->at;
    while (is_digit(look(l, 0)) || look(l, 0) == '.') {
        l->at++;
    }
    if (look(l, 0) == 'e' || look(l, 0) == 'E') {
        size_t sign = look(l, 1) == '+' || look(l, 1) == '-' ? 1 : 0;
        if (is_digit(look(l, 1 + sign))) {
            l->at += 1 + sign;
            while (is_digit(look(l, 0))) {
                l->at++;
            }
        }
    }
    char digits[NUMBER_TEXT_MAX];
    size_t length = l->at - start;
    char *end = NULL;
    double value = 0;
    if (length < sizeof digits) {
        memcpy(digits, l->text + start, length);
        digits[length] = '\0';
        value = strtod(digits, &end);
    }
    if (end == NULL || *end != '\0' || is_name_part(look(l, look(l, 0) == 'L' ? 1 : 0))) {
        return ddt_fail(l->ctx, DDT_ERR_MODEL, "%s:%u: the number '%.*s' cannot be read.", l->file, l->line,
                        (int)(length < sizeof digits ? length : sizeof digits), l->text + start);
    }
    if (look(l, 0) == 'L') { /* 1L: an integer of R */
        l->at++;
    }
    ddt_status status = add(l, TOKEN_NUMBER, start, l->at, 0);
    if (status == DDT_OK) {
        l->tokens[l->count - 1].number = value;
    }
    return status;
}

/* A quoted string, or a name in backticks. */
static ddt_status read_quoted(lexer *l, char quote) {
    unsigned first_line = l->line;
    size_t start = ++l->at;
    while (l->at < l->length && l->text[l->at] != quote) {
        if (l->text[l->at] == '\n') {
            l->line++;
        }
        l->at += l->text[l->at] == '\\' && l->at + 1 < l->length ? 2 : 1;
    }
    if (l->at >= l->length) {
        return ddt_fail(l->ctx, DDT_ERR_MODEL, "%s:%u: the text that begins here never ends: %c is missing.", l->file,
                        first_line, quote);
    }
    bool is_name = quote == '`';
    if (is_name &&
        (l->at == start || memchr(l->text + start, '(', l->at - start) != NULL)) { /* kept for tlast(x), podo(x) */
        return ddt_fail(l->ctx, DDT_ERR_MODEL, "%s:%u: a name in backticks is empty or holds a bracket.", l->file,
                        first_line);
    }
    ddt_status status = add(l, is_name ? TOKEN_NAME : TOKEN_STRING, start, l->at, 0);
    l->at++;
    return status;
}

static ddt_status bracket(lexer *l, char c) {
    if (c == '(' || c == '[' || c == '{') {
        if (l->depth == NESTING_MAX) {
            return ddt_fail(l->ctx, DDT_ERR_MODEL, "%s:%u: brackets are nested more than %d deep.", l->file, l->line,
                            NESTING_MAX);
        }
        l->brackets[l->depth++] = c;
        return DDT_OK;
    }
    char wanted = c == ')' ? '(' : (c == ']' ? '[' : '{');
    if (l->depth == 0 || l->brackets[l->depth - 1] != wanted) {
        return ddt_fail(l->ctx, DDT_ERR_MODEL, "%s:%u: '%c' has no matching '%c'.", l->file, l->line, c, wanted);
    }
    l->depth--;
    return DDT_OK;
}

/* Operators of several characters, longest first. */
static const struct {
    const char *text;
    int op;
} long_operators[] = {
    {"%in%", OPERATOR_IN},
    {"%/%", OPERATOR_WHOLE_DIVISION},
    {"%%", OPERATOR_MODULO},
    {"<-", OPERATOR_ASSIGN},
    {"==", OPERATOR_EQUAL},
    {"!=", OPERATOR_NOT_EQUAL},
    {"<=", OPERATOR_LESS_EQUAL},
    {">=", OPERATOR_GREATER_EQUAL},
    {"&&", OPERATOR_AND},
    {"||", OPERATOR_OR},
    {"**", '^'},
    {"&", OPERATOR_AND},
    {"|", OPERATOR_BAR},
};

static ddt_status read_operator(lexer *l) {
    for (size_t i = 0; i < sizeof long_operators / sizeof long_operators[0]; i++) {
        size_t n = strlen(long_operators[i].text);
        if (l->length - l->at >= n && memcmp(l->text + l->at, long_operators[i].text, n) == 0) {
            l->at += n;
            return add(l, TOKEN_OPERATOR, l->at - n, l->at, long_operators[i].op);
        }
    }
    char c = look(l, 0);
    if (c == '\0' || strchr("+-*/^(){}[],;=~<>!:$?@", c) == NULL) {
        bool printable = c > ' ' && c <= LAST_ASCII;
        return ddt_fail(l->ctx, DDT_ERR_MODEL, "%s:%u: the character '%c' (code %u) has no place in a model.", l->file,
                        l->line, printable ? c : '?', (unsigned)(unsigned char)c);
    }
    ddt_status status = strchr("(){}[]", c) != NULL ? bracket(l, c) : DDT_OK;
    if (status != DDT_OK) {
        return status;
    }
    l->at++;
    return add(l, TOKEN_OPERATOR, l->at - 1, l->at, c);
}

static ddt_status read_name(lexer *l) {
    size_t start = l->at;
    while (is_name_part(look(l, 0))) {
        l->at++;
    }
    return add(l, TOKEN_NAME, start, l->at, 0);
}

static ddt_status read_one(lexer *l) {
    char c = l->text[l->at];
    if (c == '\n') {
        bool ends = l->depth == 0 || l->brackets[l->depth - 1] == '{';
        ddt_status status = ends ? add(l, TOKEN_NEWLINE, l->at, l->at + 1, 0) : DDT_OK;
        l->line++;
        l->at++;
        return status;
    }
    if (c == ' ' || c == '\t' || c == '\r' || c == '\f') {
        l->at++;
        return DDT_OK;
    }
    if (c == '#') {
        while (l->at < l->length && l->text[l->at] != '\n') {
            l->at++;
        }
        return DDT_OK;
    }
    if (is_digit(c) || (c == '.' && is_digit(look(l, 1)))) {
        return read_number(l);
    }
    if (is_letter(c) || c == '.' || c == '_') {
        return read_name(l);
    }
    if (c == '"' || c == '\'' || c == '`') {
        return read_quoted(l, c);
    }
    return read_operator(l);
}

ddt_status lexer_run(ddt_context *ctx, const char *file, const char *text, size_t length, token **out, size_t *count) {
    static const char mark[] = "\xEF\xBB\xBF"; /* a byte order mark that editors leave behind */
    lexer l = {.ctx = ctx, .file = file, .text = text, .length = length, .line = 1};
    if (length >= sizeof mark - 1 && memcmp(text, mark, sizeof mark - 1) == 0) {
        l.at = sizeof mark - 1;
    }
    ddt_status status = DDT_OK;
    while (status == DDT_OK && l.at < length) {
        status = read_one(&l);
    }
    if (status == DDT_OK && l.depth > 0) {
        status = ddt_fail(ctx, DDT_ERR_MODEL, "%s:%u: the file ends while a '%c' is still open.", file, l.line,
                          l.brackets[l.depth - 1]);
    }
    if (status == DDT_OK) {
        status = add(&l, TOKEN_END, length, length, 0);
    }
    if (status != DDT_OK) {
        ddt_free(l.tokens);
        return status;
    }
    *out = l.tokens;
    *count = l.count;
    return DDT_OK;
}
