/* A virtual trial: what `check` runs when no data set is given. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <math.h>
#include <string.h>

enum {
    TRIAL_SUBJECTS = 8,      /* subject 1 is typical, the others are draws of the population */
    TRIAL_DOSES = 4,         /* one and three additional ones */
    TRIAL_OBSERVATIONS = 48, /* evenly over all dosing intervals */
    TRIAL_AMOUNT = 100       /* in the model's dose unit */
};

/* Dosing interval in the model's time unit: 12 h, 1 day or 1 week, by what the unit suggests. */
static double trial_interval(const ddt_model *model) {
    const char *unit = twin_time_unit(model);
    if (unit[0] == 'd' || unit[0] == 'D') {
        return 1;
    }
    return strncmp(unit, "min", 3) == 0 ? 12 * 60 : 12;
}

static void trial_header(twin_text *text, const ddt_model *model) {
    twin_text_add(text, "ID,TIME,AMT,II,ADDL,EVID");
    for (size_t i = 0; i < model->symbol_count; i++) {
        if (model->symbols[i].kind == DDT_SYMBOL_COVARIATE || model->symbols[i].kind == DDT_SYMBOL_ETA) {
            twin_text_raw(text, ",", 1);
            twin_text_csv(text, model->symbols[i].name);
        }
    }
    twin_text_raw(text, "\n", 1);
}

/* A value that data can have: of a discrete covariate one of its whole numbers, in turn; of others the draw. */
static double trial_value(const ddt_symbol *symbol, double drawn, unsigned subject) {
    if (!symbol->is_discrete || !symbol->has_range) {
        return drawn;
    }
    const double choices = floor(symbol->range_high) - ceil(symbol->range_low) + 1;
    return ceil(symbol->range_low) + (choices > 1 ? fmod(subject, choices) : 0);
}

static void trial_covariates(twin_text *text, const ddt_model *model, const double *symbols, unsigned subject) {
    for (size_t i = 0; i < model->symbol_count; i++) {
        if (model->symbols[i].kind == DDT_SYMBOL_COVARIATE || model->symbols[i].kind == DDT_SYMBOL_ETA) {
            twin_text_add(text, ",%.9g", trial_value(&model->symbols[i], symbols[i], subject));
        }
    }
    twin_text_raw(text, "\n", 1);
}

ddt_status twin_virtual_trial(ddt_context *ctx, const ddt_model *model, char **out, size_t *length) {
    twin_text text = {0};
    double *symbols = ddt_calloc(model->symbol_count, sizeof *symbols);
    if (symbols == NULL) {
        return twin_no_memory(ctx);
    }
    const double interval = trial_interval(model);
    ddt_status status = DDT_OK;
    trial_header(&text, model);
    for (unsigned s = 0; status == DDT_OK && s < TRIAL_SUBJECTS; s++) {
        status = ddt_population_draw(ctx, model, s, symbols);
        if (status != DDT_OK) {
            break;
        }
        twin_text_add(&text, "%u,0,%d,%.9g,%d,1", s + 1, TRIAL_AMOUNT, interval, TRIAL_DOSES - 1);
        trial_covariates(&text, model, symbols, s);
        for (int k = 1; k <= TRIAL_OBSERVATIONS; k++) {
            twin_text_add(&text, "%u,%.9g,.,.,.,2", s + 1, interval * TRIAL_DOSES * k / TRIAL_OBSERVATIONS);
            trial_covariates(&text, model, symbols, s);
        }
    }
    ddt_free(symbols);
    if (status == DDT_OK && text.failed) {
        status = twin_no_memory(ctx);
    }
    if (status != DDT_OK) {
        twin_text_destroy(&text);
        return status;
    }
    *out = text.data;
    *length = text.length;
    return DDT_OK;
}
