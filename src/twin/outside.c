/* How much of the model's own population the declared ranges leave out. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include "ddt/pharma/population.h"

/* Draws are clipped at as many standard deviations as Newton's method takes: one on the border stands for those beyond.
 * A covariate is within by construction where the model declares its range, and unknown where it does not. */
static bool is_outside(const ddt_symbol *symbol, const ddt_declared_range *range, double value) {
    const double border = 1e-9 * (range->high - range->low);
    if (symbol->kind == DDT_SYMBOL_ETA) {
        return value <= range->low + border || value >= range->high - border;
    }
    return symbol->kind == DDT_SYMBOL_COVARIATE && symbol->has_range && (value < range->low || value > range->high);
}

static bool leaves_ranges(const ddt_model *model, const ddt_solution *solution, const double *symbols) {
    for (size_t r = 0; r < ddt_solution_range_count(solution); r++) {
        const ddt_declared_range range = ddt_solution_range(solution, r);
        const int64_t symbol = ddt_model_find_symbol(model, range.name); /* none of doses' amounts */
        if (symbol >= 0 && is_outside(&model->symbols[symbol], &range, symbols[symbol])) {
            return true;
        }
    }
    return false;
}

ddt_status twin_population_outside(ddt_context *ctx, const ddt_model *model, const ddt_solution *solution,
                                   size_t patients, double *share) {
    double *symbols = ddt_calloc(model->symbol_count, sizeof *symbols);
    if (symbols == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_status status = DDT_OK;
    size_t outside = 0;
    for (size_t k = 0; k < patients && status == DDT_OK; k++) {
        status = ddt_population_patient(ctx, model, k + 1, symbols); /* draw 0 is the typical patient */
        outside += status == DDT_OK && leaves_ranges(model, solution, symbols);
    }
    ddt_free(symbols);
    *share = (double)outside / (double)patients;
    return status;
}
