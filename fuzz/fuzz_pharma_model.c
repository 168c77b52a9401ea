/* The model language on any text, and what the rest of the house does with a model. SPDX-License-Identifier: Apache-2.0 */
#include "forge.h"

#include "ddt/pharma.h"

#include <math.h>
#include <stdlib.h>

/* Models of more operations than this are only parsed: derivatives of a long chain take long, and find nothing new. */
enum { OPERATIONS_MAX = 2000 };

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/* A program and the evaluation of single expressions agree, NaN or not. */
static void evaluate(ddt_context *ctx, const ddt_model *model, const ddt_expr *list, size_t count) {
    ddt_expr_program *program = NULL;
    double *symbols = malloc((model->symbol_count + 1) * sizeof *symbols);
    double *values = malloc((count + 1) * sizeof *values);
    require(symbols != NULL && values != NULL);
    for (size_t i = 0; i < model->symbol_count; i++) {
        bool is_theta = model->symbols[i].kind == DDT_SYMBOL_THETA;
        symbols[i] = is_theta ? model->symbols[i].value : 1.0 + (double)i;
        require(!is_theta || isfinite(symbols[i]));
    }
    require(ddt_expr_compile(ctx, model->pool, list, count, &program) == DDT_OK);
    ddt_expr_program_run(program, symbols, values);
    for (size_t i = 0; i < count; i++) {
        double single = ddt_expr_eval(model->pool, list[i], symbols, NULL);
        require(single == values[i] || (isnan(single) && isnan(values[i])));
    }
    ddt_expr_program_destroy(program);
    free(symbols);
    free(values);
}

/* Derivatives exist and can be printed; an equation that is affine in the states has derivatives without states. */
static void differentiate(ddt_model *model, const char *const *names, const bool *is_state) {
    for (size_t i = 0; i < model->compartment_count && i < 4; i++) {
        ddt_expr e = model->compartments[i].derivative;
        for (size_t k = 0; k < model->compartment_count && k < 4; k++) {
            ddt_expr slope = ddt_expr_derivative(model->pool, e, model->compartments[k].symbol);
            require(slope != DDT_EXPR_NONE);
            if (ddt_expr_is_affine(model->pool, e, is_state, model->symbol_count)) {
                require(ddt_expr_degree(model->pool, slope, is_state, model->symbol_count) == 0);
            }
            char *text = ddt_expr_print(model->pool, slope, names);
            require(text != NULL);
            ddt_free(text);
        }
    }
}

static void use(ddt_context *ctx, ddt_model *model) {
    const char **names = malloc((model->symbol_count + 1) * sizeof *names);
    bool *is_state = malloc((model->symbol_count + 1) * sizeof *is_state);
    ddt_expr *list = malloc((model->compartment_count + model->output_count + 1) * sizeof *list);
    require(names != NULL && is_state != NULL && list != NULL);
    for (size_t i = 0; i < model->symbol_count; i++) {
        names[i] = model->symbols[i].name;
        is_state[i] = model->symbols[i].kind == DDT_SYMBOL_STATE;
        require(ddt_model_find_symbol(model, model->symbols[i].name) == (int64_t)i);
    }
    size_t count = 0;
    for (size_t i = 0; i < model->compartment_count; i++) {
        list[count++] = model->compartments[i].derivative;
        require(model->compartments[i].derivative != DDT_EXPR_NONE);
    }
    for (size_t i = 0; i < model->output_count; i++) {
        list[count++] = model->outputs[i].value;
    }
    if (ddt_expr_pool_count(model->pool) <= OPERATIONS_MAX) {
        evaluate(ctx, model, list, count);
        differentiate(model, names, is_state);
    }
    free(names);
    free(is_state);
    free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ddt_model *model = NULL;
    ddt_context *ctx = forge_context();
    if (ddt_model_parse(ctx, (const char *)data, size, "fuzz.R", &model) != DDT_OK) {
        require(model == NULL && ddt_error_detail(ctx)[0] != '\0');
        return 0;
    }
    /* What is accepted can be used: every name is found again, every compartment has a derivative. */
    require(model->output_count > 0 || model->compartment_count == 0);
    require(ddt_error_detail(ctx)[0] == '\0');
    use(ctx, model);
    ddt_model_destroy(model);
    return 0;
}
