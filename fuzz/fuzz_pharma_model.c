/* The model language on any text. SPDX-License-Identifier: Apache-2.0 */
#include "forge.h"

#include "ddt/pharma.h"

#include <stdlib.h>

static void require(bool holds) {
    if (!holds) {
        abort();
    }
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
    for (size_t i = 0; i < model->symbol_count; i++) {
        require(ddt_model_find_symbol(model, model->symbols[i].name) == (int64_t)i);
    }
    for (size_t i = 0; i < model->compartment_count; i++) {
        require(model->compartments[i].derivative != DDT_EXPR_NONE);
    }
    ddt_model_destroy(model);
    return 0;
}
