/* Tokens of the model language. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_PHARMA_LEXER_H
#define DDT_PHARMA_LEXER_H

#include "ddt/base.h"

typedef enum token_kind {
    TOKEN_END,
    TOKEN_NEWLINE, /* only where a statement can end: not inside ( ) and [ ] */
    TOKEN_NUMBER,
    TOKEN_STRING, /* text and length without the quotes, escapes as written */
    TOKEN_NAME,
    TOKEN_OPERATOR
} token_kind;

/* Operators of one character are their own code; the others have these. */
typedef enum token_operator {
    OPERATOR_ASSIGN = 256, /* <- */
    OPERATOR_EQUAL,
    OPERATOR_NOT_EQUAL,
    OPERATOR_LESS_EQUAL,
    OPERATOR_GREATER_EQUAL,
    OPERATOR_AND, /* & and && */
    OPERATOR_OR,  /* | | and || */
    OPERATOR_MODULO,
    OPERATOR_WHOLE_DIVISION, /* %/% */
    OPERATOR_IN,             /* %in% */
    OPERATOR_BAR             /* a single |: a condition of a residual line, otherwise OPERATOR_OR */
} token_operator;

typedef struct token {
    token_kind kind;
    unsigned line;
    const char *text; /* in the file's text, not terminated */
    uint32_t length;
    int op;        /* OPERATOR */
    double number; /* NUMBER */
} token;

/* Brackets nest at most this deep; so do operands and statements (parser.h). */
enum { NESTING_MAX = 200 };

/*
 * Splits a text into tokens, the last one TOKEN_END. The tokens point into `text`; the array is the caller's
 * (ddt_free). Errors: DDT_ERR_MODEL with file and line, DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status lexer_run(ddt_context *ctx, const char *file, const char *text, size_t length, token **out,
                                    size_t *count);

bool token_is(const token *t, int op);
bool token_is_name(const token *t, const char *name);
/* <- or = */
bool token_is_assignment(const token *t);

#endif
