/*
 * Reading a model: the state shared by the parts of the parser (expressions, ini, model, linCmt). Functions note the
 * first error in parser.status and return; callers look there.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_PHARMA_PARSER_H
#define DDT_PHARMA_PARSER_H

#include "ddt/pharma/model.h"
#include "lexer.h"

/* What can be assigned under one name: a variable, and the properties of a compartment. */
typedef enum slot_kind {
    SLOT_VALUE,
    SLOT_DERIVATIVE,
    SLOT_INITIAL,
    SLOT_BIOAVAILABILITY,
    SLOT_LAG,
    SLOT_RATE,
    SLOT_DURATION,
    SLOT_COUNT
} slot_kind;

#define NO_INDEX UINT32_MAX

/* One name of the file, with everything it stands for. */
typedef struct name_entry {
    const char *text; /* in the file's text */
    uint32_t length;
    uint32_t hash;
    uint32_t symbol;      /* NO_INDEX: none */
    uint32_t compartment; /* NO_INDEX: none */
    bool is_assigned;     /* the model block assigns a variable of this name somewhere */
    uint32_t order;       /* rank of its first assignment, NO_INDEX: none yet */
    ddt_expr slots[SLOT_COUNT];
} name_entry;

/* An assignment that an if-block may have to take back. */
typedef struct change {
    uint32_t name;
    slot_kind slot;
    ddt_expr before;
} change;

/* A residual line, kept until all variables are known. */
typedef struct residual_line {
    uint32_t name; /* NO_INDEX: linCmt() */
    unsigned line;
    ddt_residual_kind kind;
    ddt_expr additive;
    ddt_expr proportional;
} residual_line;

/* The parameters that linCmt() reads: names, NO_INDEX where absent. */
typedef enum lincmt_form { LINCMT_NONE, LINCMT_CLEARANCE, LINCMT_MICRO, LINCMT_MACRO } lincmt_form;
typedef enum lincmt_role {
    ROLE_KA,
    ROLE_CL,
    ROLE_V,
    ROLE_VSS,
    ROLE_K,
    ROLE_K12,
    ROLE_K21,
    ROLE_K13,
    ROLE_K31,
    ROLE_Q_FIRST,
    ROLE_Q_SECOND,
    ROLE_VP_FIRST,
    ROLE_VP_SECOND,
    ROLE_ALPHA,
    ROLE_BETA,
    ROLE_GAMMA,
    ROLE_A,
    ROLE_B,
    ROLE_C,
    ROLE_AOB,
    ROLE_COUNT
} lincmt_role;

typedef struct lincmt {
    bool wanted;
    bool built;
    unsigned line;
    lincmt_form form;
    unsigned compartments; /* 1 to 3, without the depot */
    uint32_t roles[ROLE_COUNT];
    uint32_t depot; /* indices of model compartments, NO_INDEX where absent */
    uint32_t central;
    uint32_t peripheral[2];
    ddt_expr concentration;
} lincmt;

typedef struct parser {
    ddt_context *ctx;
    const char *file;
    const token *tokens;
    size_t token_count;
    size_t at;
    ddt_status status;
    unsigned depth;         /* of the recursion */
    bool in_ini;            /* names are not allowed there */
    uint32_t target;        /* the variable that the statement assigns, NO_INDEX: none */
    uint32_t derivative_of; /* the compartment whose d/dt() the statement gives, NO_INDEX: none */
    size_t covariate_data;  /* where the value of covariateData begins, 0: absent */
    bool has_time_unit;     /* units gives one */
    size_t products;        /* the same for products and targets */
    size_t targets;

    ddt_model *model;
    size_t symbol_capacity;
    size_t compartment_capacity;

    name_entry *names;
    size_t name_count;
    size_t name_capacity;
    uint32_t *name_table;
    size_t name_table_size;
    uint32_t assigned_count;

    change *changes;
    size_t change_count;
    size_t change_capacity;
    bool keep_changes; /* inside an if-block */

    residual_line *residuals;
    size_t residual_count;
    size_t residual_capacity;

    size_t break_capacity;
    char **kept; /* texts of names that the file does not contain */
    size_t kept_count;
    size_t kept_capacity;
    lincmt lincmt;
} parser;

/* Limits that no published model comes near. */
enum { COMPARTMENTS_MAX = 1024, ETAS_MAX = 256, ARGUMENTS_MAX = 64 };

/* ------------------------------------------------------------------ parser.c: tokens, names, errors */

const token *parser_peek(const parser *p);
const token *parser_peek_ahead(const parser *p, size_t ahead);
/* The current token; the parser moves on. */
const token *parser_next(parser *p);
/* Moves past an operator, or notes that it was expected. */
void parser_expect(parser *p, int op, const char *text);
void parser_skip_newlines(parser *p);
/* Moves past newlines and semicolons. */
void parser_skip_separators(parser *p);
/* Moves to the end of a statement, brackets counted. */
void parser_skip_statement(parser *p);
/* True at the end of a statement. */
bool parser_at_end_of_statement(const parser *p);
/* Reads statements, one a line, between curly brackets. */
void parser_block(parser *p, void (*statement)(parser *));

/* Notes "file:line: <construct> cannot be run: <reason>." The construct is a token of the file or any text. */
void parser_refuse(parser *p, unsigned line, const char *construct, size_t length, const char *reason);
void parser_refuse_token(parser *p, const token *t, const char *reason);
void parser_out_of_memory(parser *p);
/* Notes why a builder gave no expression, if there is none. */
void parser_check(parser *p, unsigned line, ddt_expr e);

/* The index of a name, NO_INDEX with the status set when memory is short. */
uint32_t parser_name(parser *p, const token *t);
uint32_t parser_find_name(const parser *p, const char *text, size_t length);
/* A terminated copy of a token's text; NULL with the status set when memory is short. */
char *parser_copy(parser *p, const char *text, size_t length);
/* Takes a text that names may point to until the parser ends; frees it and is false when memory is short. */
bool parser_keep(parser *p, char *text);
/* Adds a symbol for a name. NO_INDEX with the status set on failure. */
uint32_t parser_add_symbol(parser *p, uint32_t name, ddt_symbol_kind kind, unsigned line);
/* The same for a symbol that no name of the file stands for; takes the name, which may be NULL (then the status is set
 * already). */
uint32_t parser_add_named_symbol(parser *p, char *name, ddt_symbol_kind kind, unsigned line);
/* Adds a compartment and its state. The name may be one that the file does not contain (linCmt). */
uint32_t parser_add_compartment(parser *p, uint32_t name, unsigned line);
/* Sets a slot, remembering what was there while an if-block is read. */
void parser_assign(parser *p, uint32_t name, slot_kind slot, ddt_expr value);
/* The current value of a name: variable, symbol or constant; a new data column when it is none of these. */
ddt_expr parser_read_name(parser *p, uint32_t name, unsigned line);

/* Grows an array of the parser or its model by one element when it is full; false with the status set when memory is
 * short. */
bool parser_grow(parser *p, void **array, size_t count, size_t *capacity, size_t size);

/* ------------------------------------------------------------------ parser_expr.c */

/* An expression. Newlines end it outside of brackets, except after an operator. */
ddt_expr parser_expression(parser *p);
/* Arguments up to and with the closing bracket; returns their number. */
size_t parser_arguments(parser *p, ddt_expr arguments[ARGUMENTS_MAX]);
/* A call of a function of expressions; the name and the opening bracket are behind. */
ddt_expr parser_function(parser *p, const token *name);
/* An expression that must be a number (ini). */
double parser_constant(parser *p);

/* ------------------------------------------------------------------ parser_history.c: the time, and doses given so far
 */

ddt_expr parser_time(parser *p, unsigned line);
/* tad, tlast or podo of a compartment (NO_INDEX: of any). */
ddt_expr parser_dose_history(parser *p, const char *what, size_t length, uint32_t compartment, unsigned line);
/* A call of tad(), tlast(), podo() or transit(), behind its opening bracket; false when the name is none of them. */
bool parser_history_call(parser *p, const token *name, ddt_expr *value);

/* ------------------------------------------------------------------ the blocks of a file */

void parser_meta(parser *p, const token *name); /* description <- ..., units <- list(...): at the value */
void parser_ini(parser *p);                     /* at the opening brace */
void parser_model(parser *p);                   /* at the opening brace */
void parser_residual(parser *p, uint32_t name); /* behind the ~ */
/* The range that covariateData declares for a column; false: none. */
bool parser_declared_range(parser *p, const token *column, double *low, double *high);
void parser_time_unit(parser *p);      /* taken from the labels of rates where units gives none */
void parser_covariate_data(parser *p); /* applied when the columns are known */
void parser_products(parser *p);       /* products and targets, when the outputs are known */
void parser_products_free(ddt_model *model);

/* list(name = value, ...): enters it (false: there is none here), moves to the next named value (NULL at the end),
 * moves past one value, or reads one that is text: "..." or paste("...", "...") (NULL with the status set when memory
 * is short). */
bool parser_list_enter(parser *p);
const token *parser_list_next(parser *p);
void parser_list_skip(parser *p);
char *parser_list_text(parser *p);
bool token_text_is(const token *t, const char *text);
void parser_analyse(parser *p); /* what the finished expressions show: discrete columns, times of jumps */

/* linCmt(): chooses the parameters from the names of the file, before the model block is read. */
void lincmt_prepare(parser *p, size_t model_begin, size_t model_end);
/* Builds the equations at the first call and returns central / v. */
ddt_expr lincmt_call(parser *p, unsigned line);

#endif
