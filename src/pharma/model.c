/* A drug model: reading a file, and what can be asked of it. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/pharma/model.h"
#include "parser.h"

#include <math.h>
#include <string.h>

enum { FILE_MAX = 1 << 20 };

/* ------------------------------------------------------------------ the file as a whole */

/* name <- function() { ... }: moves to the opening brace. The name may be missing, then the file's name serves. */
static void enter_function(parser *p) {
    for (;;) {
        parser_skip_separators(p);
        const token *now = parser_peek(p);
        if (now->kind == TOKEN_END) {
            if (p->status == DDT_OK) {
                p->status =
                    ddt_fail(p->ctx, DDT_ERR_MODEL,
                             "%s is not a model: it has no 'name <- function() { ini({...}) model({...}) }'.", p->file);
            }
            return;
        }
        const token *name = now->kind == TOKEN_NAME && token_is_assignment(parser_peek_ahead(p, 1)) ? now : NULL;
        size_t to_function = name != NULL ? 2 : 0;
        if (token_is_name(parser_peek_ahead(p, to_function), "function")) {
            p->at += to_function + 1;
            parser_expect(p, '(', "(");
            parser_expect(p, ')', ")");
            parser_skip_newlines(p);
            p->model->name =
                name != NULL ? parser_copy(p, name->text, name->length) : parser_copy(p, p->file, strlen(p->file));
            parser_expect(p, '{', "{");
            return;
        }
        size_t before = p->at;
        parser_skip_statement(p); /* library(...), comments in quotes and the like */
        if (p->at == before) {
            parser_refuse_token(p, now, "a model file holds 'name <- function() {...}'");
            return;
        }
    }
}

/* Where the blocks of the function begin; 0: absent. */
typedef struct blocks {
    size_t ini;
    size_t model;
} blocks;

/* One statement of the function: a block is noted and skipped, the rest is read. */
static void read_function_statement(parser *p, blocks *b) {
    const token *now = parser_peek(p);
    const token *next = parser_peek_ahead(p, 1);
    bool is_ini = token_is_name(now, "ini");
    if (now->kind == TOKEN_NAME && token_is_assignment(next)) {
        p->at += 2;
        parser_skip_newlines(p);
        parser_meta(p, now);
    } else if ((is_ini || token_is_name(now, "model")) && token_is(next, '(')) {
        size_t *where = is_ini ? &b->ini : &b->model;
        if (*where != 0) {
            parser_refuse_token(p, now, "the file has this block twice");
            return;
        }
        *where = p->at + 2;
        parser_skip_statement(p);
    } else if (now->kind == TOKEN_NAME || now->kind == TOKEN_STRING) {
        parser_skip_statement(p);
    } else {
        parser_refuse_token(p, now, "a model function holds ini({...}), model({...}) and lines like 'name <- value'");
    }
}

static void read_file(parser *p) {
    blocks b = {0};
    enter_function(p);
    if (p->status != DDT_OK) {
        return;
    }
    parser_skip_separators(p);
    while (p->status == DDT_OK && !token_is(parser_peek(p), '}')) {
        read_function_statement(p, &b);
        parser_skip_separators(p);
    }
    if (p->status == DDT_OK && b.model == 0) {
        parser_refuse_token(p, parser_peek(p), "the function has no model({...})");
    }
    if (p->status == DDT_OK && b.ini != 0) {
        p->at = b.ini;
        parser_skip_newlines(p);
        parser_ini(p);
    }
    if (p->status == DDT_OK) {
        p->at = b.model;
        parser_skip_newlines(p);
        parser_model(p);
    }
}

/* ------------------------------------------------------------------ from slots to the model */

static void finish_compartments(parser *p) {
    for (size_t i = 0; i < p->name_count; i++) {
        const name_entry *entry = &p->names[i];
        if (entry->compartment == NO_INDEX) {
            continue;
        }
        ddt_compartment *c = &p->model->compartments[entry->compartment];
        ddt_expr derivative = entry->slots[SLOT_DERIVATIVE];
        c->derivative = derivative != DDT_EXPR_NONE ? derivative : ddt_expr_const(p->model->pool, 0); /* cmt(x) alone */
        c->initial = entry->slots[SLOT_INITIAL];
        c->bioavailability = entry->slots[SLOT_BIOAVAILABILITY];
        c->lag_h = entry->slots[SLOT_LAG];
        c->rate = entry->slots[SLOT_RATE];
        c->duration = entry->slots[SLOT_DURATION];
        parser_check(p, 1, c->derivative);
    }
}

static void finish_variables(parser *p) {
    ddt_model *model = p->model;
    model->variable_names = ddt_calloc(p->assigned_count, sizeof *model->variable_names);
    model->variables = ddt_alloc(p->assigned_count, sizeof *model->variables);
    if (model->variable_names == NULL || model->variables == NULL) {
        parser_out_of_memory(p);
        return;
    }
    model->variable_count = p->assigned_count; /* the names are NULL until set: destroy can cope */
    for (size_t i = 0; i < p->name_count && p->status == DDT_OK; i++) {
        const name_entry *entry = &p->names[i];
        if (entry->order != NO_INDEX) {
            model->variable_names[entry->order] = parser_copy(p, entry->text, entry->length);
            model->variables[entry->order] = entry->slots[SLOT_VALUE];
        }
    }
}

static bool only_thetas(const parser *p, ddt_expr e) {
    const ddt_model *model = p->model;
    bool *used = ddt_calloc(model->symbol_count, sizeof *used);
    bool fine = used != NULL && ddt_expr_symbols(p->ctx, model->pool, &e, 1, used, model->symbol_count) == DDT_OK;
    for (size_t i = 0; i < model->symbol_count && fine; i++) {
        fine = !used[i] || model->symbols[i].kind == DDT_SYMBOL_THETA;
    }
    ddt_free(used);
    return fine;
}

static void finish_output(parser *p, const residual_line *line, ddt_output *output) {
    static const char of_lincmt[] = "linCmt";
    const name_entry *entry = line->name == NO_INDEX ? NULL : &p->names[line->name];
    ddt_expr value = p->lincmt.concentration;
    if (entry != NULL) {
        value = entry->slots[SLOT_VALUE];
        if (value == DDT_EXPR_NONE && entry->compartment != NO_INDEX) {
            value = ddt_expr_symbol(p->model->pool, p->model->compartments[entry->compartment].symbol);
        }
        if (value == DDT_EXPR_NONE) {
            parser_refuse(p, line->line, entry->text, entry->length,
                          "its residual line names no variable of the model");
            return;
        }
    }
    output->name =
        entry != NULL ? parser_copy(p, entry->text, entry->length) : parser_copy(p, of_lincmt, sizeof of_lincmt - 1);
    output->value = value;
    output->residual = line->kind;
    output->line = line->line;
    output->additive = line->additive;
    output->proportional = line->proportional;
    bool fine = (line->additive == DDT_EXPR_NONE || only_thetas(p, line->additive)) &&
                (line->proportional == DDT_EXPR_NONE || only_thetas(p, line->proportional));
    if (!fine || line->kind == DDT_RESIDUAL_OTHER) {
        output->residual = DDT_RESIDUAL_OTHER;
        output->additive = DDT_EXPR_NONE;
        output->proportional = DDT_EXPR_NONE;
    }
}

static void finish_outputs(parser *p) {
    ddt_model *model = p->model;
    size_t count = p->residual_count > 0 ? p->residual_count : model->compartment_count;
    model->outputs = ddt_calloc(count, sizeof *model->outputs);
    if (model->outputs == NULL) {
        parser_out_of_memory(p);
        return;
    }
    model->output_count = count;
    for (size_t i = 0; i < count && p->status == DDT_OK; i++) {
        ddt_output *output = &model->outputs[i];
        output->additive = output->proportional = DDT_EXPR_NONE;
        if (p->residual_count > 0) {
            finish_output(p, &p->residuals[i], output);
        } else {
            const ddt_compartment *c = &model->compartments[i];
            output->name = parser_copy(p, c->name, strlen(c->name));
            output->value = ddt_expr_symbol(model->pool, c->symbol);
            output->line = c->line;
        }
        for (size_t j = 0; j < i && p->status == DDT_OK; j++) {
            if (strcmp(model->outputs[j].name, output->name) == 0) {
                parser_refuse(p, p->residuals[i].line, output->name, strlen(output->name), "it has two residual lines");
            }
        }
    }
}

/* Residual standard deviations at the current THETAs. */
static ddt_status update_residuals(ddt_context *ctx, ddt_model *model) {
    double *values = ddt_calloc(model->symbol_count, sizeof *values);
    if (values == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "No memory for the residuals of a model.");
    }
    for (size_t i = 0; i < model->symbol_count; i++) {
        values[i] = model->symbols[i].value;
    }
    for (size_t i = 0; i < model->output_count; i++) {
        ddt_output *output = &model->outputs[i];
        bool additive = output->additive != DDT_EXPR_NONE;
        bool proportional = output->proportional != DDT_EXPR_NONE;
        output->additive_sd = additive ? ddt_expr_eval(model->pool, output->additive, values, NULL) : 0;
        output->proportional_sd = proportional ? ddt_expr_eval(model->pool, output->proportional, values, NULL) : 0;
    }
    ddt_free(values);
    return DDT_OK;
}

static void finish(parser *p) {
    static const char nothing[] = "the model";
    if (p->model->compartment_count == 0 && p->assigned_count == 0) {
        parser_refuse(p, 1, nothing, sizeof nothing - 1, "it computes nothing");
    }
    if (p->lincmt.wanted && !p->lincmt.built && p->status == DDT_OK) {
        parser_refuse(p, p->lincmt.line, "linCmt()", strlen("linCmt()"), "it is never computed");
    }
    if (p->status == DDT_OK) {
        finish_compartments(p);
    }
    if (p->status == DDT_OK) {
        finish_variables(p);
    }
    if (p->status == DDT_OK) {
        finish_outputs(p);
    }
    if (p->status == DDT_OK) {
        parser_covariate_data(p);
    }
    if (p->status == DDT_OK) {
        parser_products(p);
    }
    if (p->status == DDT_OK) {
        parser_time_unit(p);
    }
    if (p->status == DDT_OK) {
        parser_analyse(p);
    }
    if (p->status == DDT_OK) {
        p->status = update_residuals(p->ctx, p->model);
    }
}

/* ------------------------------------------------------------------ public */

static void parser_free(parser *p) {
    ddt_free(p->names);
    ddt_free(p->name_table);
    ddt_free(p->changes);
    ddt_free(p->residuals);
    for (size_t i = 0; i < p->kept_count; i++) {
        ddt_free(p->kept[i]);
    }
    ddt_free(p->kept);
}

static ddt_status start_model(parser *p) {
    p->model = ddt_calloc(1, sizeof *p->model);
    if (p->model == NULL) {
        return ddt_fail(p->ctx, DDT_ERR_MEMORY, "No memory to read %s.", p->file);
    }
    p->model->path = parser_copy(p, p->file, strlen(p->file));
    p->model->time_unit = parser_copy(p, "h", 1);
    return p->status != DDT_OK ? p->status : ddt_expr_pool_create(p->ctx, &p->model->pool);
}

ddt_status ddt_model_parse(ddt_context *ctx, const char *text, size_t length, const char *name, ddt_model **out) {
    if (length > FILE_MAX) {
        return ddt_fail(ctx, DDT_ERR_MODEL, "%s: a model file has at most 1 MiB, this one has %zu bytes.", name,
                        length);
    }
    token *tokens = NULL;
    parser p = {.ctx = ctx, .file = name, .target = NO_INDEX, .derivative_of = NO_INDEX};
    p.lincmt.concentration = DDT_EXPR_NONE;
    ddt_status status = lexer_run(ctx, name, text, length, &tokens, &p.token_count);
    if (status != DDT_OK) {
        return status;
    }
    p.tokens = tokens;
    p.status = start_model(&p);
    if (p.status == DDT_OK) {
        read_file(&p);
    }
    if (p.status == DDT_OK) {
        finish(&p);
    }
    parser_free(&p);
    ddt_free(tokens);
    if (p.status != DDT_OK) {
        ddt_model_destroy(p.model);
        return p.status;
    }
    *out = p.model;
    return DDT_OK;
}

ddt_status ddt_model_read(ddt_context *ctx, const char *path, ddt_model **out) {
    char *text = NULL;
    size_t length = 0;
    ddt_status status = ddt_read_text(ctx, path, FILE_MAX, &text, &length);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_model_parse(ctx, text, length, path, out);
    ddt_free(text);
    return status;
}

static void outputs_free(ddt_output *outputs, size_t count) {
    for (size_t i = 0; outputs != NULL && i < count; i++) {
        ddt_free(outputs[i].name);
    }
    ddt_free(outputs);
}

void ddt_model_destroy(ddt_model *model) {
    if (model == NULL) {
        return;
    }
    for (size_t i = 0; i < model->symbol_count; i++) {
        ddt_free(model->symbols[i].name);
        ddt_free(model->symbols[i].unit);
        ddt_free(model->symbols[i].label);
    }
    for (size_t i = 0; i < model->compartment_count; i++) {
        ddt_free(model->compartments[i].name);
    }
    for (size_t i = 0; i < model->variable_count; i++) {
        ddt_free(model->variable_names[i]);
    }
    outputs_free(model->outputs, model->output_count);
    parser_products_free(model);
    char *texts[] = {model->name,      model->path,      model->description,       model->reference,
                     model->time_unit, model->dose_unit, model->concentration_unit};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ddt_free(texts[i]);
    }
    ddt_expr_pool_destroy(model->pool);
    ddt_free(model->symbols);
    ddt_free(model->compartments);
    ddt_free(model->variable_names);
    ddt_free(model->variables);
    ddt_free(model->omega);
    ddt_free(model->breaks);
    ddt_free(model->etas);
    ddt_free(model);
}

int64_t ddt_model_find_symbol(const ddt_model *model, const char *name) {
    for (size_t i = 0; i < model->symbol_count; i++) {
        if (strcmp(model->symbols[i].name, name) == 0) {
            return (int64_t)i;
        }
    }
    return -1;
}

ddt_status ddt_model_set_param(ddt_context *ctx, ddt_model *model, const char *name, double value) {
    int64_t at = ddt_model_find_symbol(model, name);
    if (at < 0 || model->symbols[at].kind != DDT_SYMBOL_THETA) {
        return ddt_fail(ctx, DDT_ERR_MODEL, "%s: the model has no parameter named '%s' in its ini.", model->path, name);
    }
    if (!isfinite(value)) {
        return ddt_fail(ctx, DDT_ERR_MODEL, "%s: the value of '%s' must be a finite number.", model->path, name);
    }
    double before = model->symbols[at].value;
    model->symbols[at].value = value;
    ddt_status status = update_residuals(ctx, model);
    if (status != DDT_OK) {
        model->symbols[at].value = before;
    }
    return status;
}

/* The value that a name stands for: an output, a variable or a compartment. */
static ddt_expr find_value(const ddt_model *model, const char *name, const ddt_output **output) {
    *output = NULL;
    for (size_t i = 0; i < model->output_count; i++) {
        if (strcmp(model->outputs[i].name, name) == 0) {
            *output = &model->outputs[i];
            return model->outputs[i].value;
        }
    }
    for (size_t i = 0; i < model->variable_count; i++) {
        if (strcmp(model->variable_names[i], name) == 0) {
            return model->variables[i];
        }
    }
    for (size_t i = 0; i < model->compartment_count; i++) {
        if (strcmp(model->compartments[i].name, name) == 0) {
            return ddt_expr_symbol(model->pool, model->compartments[i].symbol);
        }
    }
    return DDT_EXPR_NONE;
}

ddt_status ddt_model_select_outputs(ddt_context *ctx, ddt_model *model, const char *const *names, size_t count) {
    if (count == 0) {
        return ddt_fail(ctx, DDT_ERR_MODEL, "%s: no output is named.", model->path);
    }
    ddt_output *outputs = ddt_calloc(count, sizeof *outputs);
    ddt_status status = outputs == NULL ? ddt_fail(ctx, DDT_ERR_MEMORY, "No memory for %zu outputs.", count) : DDT_OK;
    for (size_t i = 0; i < count && status == DDT_OK; i++) {
        const ddt_output *known = NULL;
        ddt_expr value = find_value(model, names[i], &known);
        if (value == DDT_EXPR_NONE) {
            status = ddt_fail(ctx, DDT_ERR_MODEL, "%s: the model has no variable or compartment named '%s'.",
                              model->path, names[i]);
            break;
        }
        outputs[i] = known != NULL ? *known : (ddt_output){.additive = DDT_EXPR_NONE, .proportional = DDT_EXPR_NONE};
        outputs[i].value = value;
        outputs[i].name = ddt_strdup(names[i]);
        if (outputs[i].name == NULL) {
            status = ddt_fail(ctx, DDT_ERR_MEMORY, "No memory for %zu outputs.", count);
        }
    }
    if (status != DDT_OK) {
        outputs_free(outputs, count);
        return status;
    }
    outputs_free(model->outputs, model->output_count);
    model->outputs = outputs;
    model->output_count = count;
    return DDT_OK;
}
