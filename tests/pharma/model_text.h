/* Short model texts for tests. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_TESTS_PHARMA_MODEL_TEXT_H
#define DDT_TESTS_PHARMA_MODEL_TEXT_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ddt/pharma/model.h"

/* A model function around an ini block and a model block, one line per block: model lines begin at line 3. */
static inline ddt_status model_from(ddt_context *context, const char *ini, const char *block, ddt_model **out) {
    static char text[1 << 16];
    int n = snprintf(text, sizeof text, "m <- function() {\nini({ %s })\nmodel({\n%s\n})\n}\n", ini, block);
    return ddt_model_parse(context, text, (size_t)n, "m.R", out);
}

static inline ddt_expr variable_of(const ddt_model *model, const char *name) {
    for (size_t i = 0; i < model->variable_count; i++) {
        if (strcmp(model->variable_names[i], name) == 0) {
            return model->variables[i];
        }
    }
    return DDT_EXPR_NONE;
}

/* The values of all symbols: THETAs as in ini, everything else 0. Room for 64. */
static inline void default_values(const ddt_model *model, double values[64]) {
    for (size_t i = 0; i < 64; i++) {
        values[i] = i < model->symbol_count ? model->symbols[i].value : 0;
    }
}

static inline void set_value(const ddt_model *model, double values[64], const char *name, double value) {
    int64_t at = ddt_model_find_symbol(model, name);
    if (at >= 0) {
        values[at] = value;
    }
}

static inline double value_of(const ddt_model *model, ddt_expr e, const double *values) {
    return e == DDT_EXPR_NONE ? NAN : ddt_expr_eval(model->pool, e, values, NULL);
}

#endif
