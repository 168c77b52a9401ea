/* Event tables of virtual patients: what a trial and a population share. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

static bool is_column(const ddt_model *model, size_t symbol) {
    return model->symbols[symbol].kind == DDT_SYMBOL_COVARIATE || model->symbols[symbol].kind == DDT_SYMBOL_ETA;
}

void twin_table_header(twin_text *text, const ddt_model *model) {
    twin_text_add(text, "ID,TIME,AMT,RATE,II,ADDL,SS,CMT,EVID");
    for (size_t i = 0; i < model->symbol_count; i++) {
        if (is_column(model, i)) {
            twin_text_raw(text, ",", 1);
            twin_text_csv(text, model->symbols[i].name);
        }
    }
    twin_text_raw(text, "\n", 1);
}

void twin_table_row(twin_text *text, const ddt_model *model, size_t id, const ddt_record *record,
                    const double *symbols) {
    const double numbers[] = {record->time_h, record->amount, record->rate, record->interval_h};
    twin_text_add(text, "%zu", id);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        twin_text_raw(text, ",", 1);
        twin_text_exact(text, numbers[i]);
    }
    /* Nothing was measured: observations are records of EVID 2. */
    twin_text_add(text, ",%u,%d,", record->additional, record->steady_state);
    if (record->compartment > 0) {
        twin_text_add(text, "%u", record->compartment);
    } else {
        twin_text_raw(text, ".", 1);
    }
    twin_text_add(text, ",%d", record->evid == 0 ? 2 : record->evid);
    for (size_t i = 0; i < model->symbol_count; i++) {
        if (is_column(model, i)) {
            twin_text_raw(text, ",", 1);
            twin_text_exact(text, symbols[i]);
        }
    }
    twin_text_raw(text, "\n", 1);
}
