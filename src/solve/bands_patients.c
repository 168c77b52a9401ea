/*
 * A custodian's data with a virtual patient in every subject's place: the same records, other etas and covariates.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bands.h"

#include <string.h>

static bool varies(const ddt_model *model, uint32_t symbol) {
    return model->symbols[symbol].kind == DDT_SYMBOL_ETA && model->symbols[symbol].omega2 > 0.0;
}

/* The data's columns, then one for each eta that has none. */
static bool find_columns(bands_events *e) {
    const ddt_model *model = e->model;
    ddt_events *events = &e->events;
    events->covariate_symbols = ddt_calloc(model->symbol_count, sizeof *events->covariate_symbols);
    e->columns = ddt_calloc(model->symbol_count, sizeof *e->columns);
    e->symbols = ddt_calloc(model->symbol_count, sizeof *e->symbols);
    if (events->covariate_symbols == NULL || e->columns == NULL || e->symbols == NULL) {
        return false;
    }
    for (size_t c = 0; c < e->data->covariate_count; c++) {
        events->covariate_symbols[c] = e->data->covariate_symbols[c];
    }
    for (uint32_t i = 0; i < model->symbol_count; i++) {
        e->columns[i] = solve_column(e->data, i);
        if (e->columns[i] == SIZE_MAX && varies(model, i)) {
            e->columns[i] = events->covariate_count;
            events->covariate_symbols[events->covariate_count++] = i;
        }
    }
    return true;
}

static bool copy_subject(const bands_events *e, const ddt_subject *from, ddt_subject *to) {
    const size_t columns = e->events.covariate_count;
    size_t values = 0;
    to->id = from->id;
    to->covariates_constant = false;
    to->records = ddt_calloc(from->record_count, sizeof *to->records);
    to->covariate_values =
        ddt_size_mul(from->record_count, columns, &values) ? ddt_calloc(values, sizeof *to->covariate_values) : NULL;
    if (to->records == NULL || to->covariate_values == NULL) {
        return false;
    }
    to->record_count = from->record_count;
    memcpy(to->records, from->records, from->record_count * sizeof *to->records);
    for (size_t r = 0; r < from->record_count; r++) {
        to->records[r].covariates = r * columns;
        memcpy(to->covariate_values + r * columns, from->covariate_values + from->records[r].covariates,
               e->data->covariate_count * sizeof *to->covariate_values);
    }
    return true;
}

ddt_status bands_events_create(ddt_context *ctx, const ddt_model *model, const ddt_events *data, bands_events *out) {
    *out = (bands_events){.events = *data, .model = model, .data = data};
    bool complete = find_columns(out);
    out->events.subjects = ddt_calloc(data->subject_count, sizeof *out->events.subjects);
    for (size_t s = 0; s < data->subject_count && complete; s++) {
        complete = out->events.subjects != NULL && copy_subject(out, &data->subjects[s], &out->events.subjects[s]);
    }
    if (!complete) {
        bands_events_destroy(out);
        return solve_no_memory(ctx);
    }
    return DDT_OK;
}

void bands_events_destroy(bands_events *e) {
    for (size_t s = 0; e->events.subjects != NULL && s < e->events.subject_count; s++) {
        ddt_free(e->events.subjects[s].records);
        ddt_free(e->events.subjects[s].covariate_values);
    }
    ddt_free(e->events.subjects);
    ddt_free(e->events.covariate_symbols);
    ddt_free(e->columns);
    ddt_free(e->symbols);
    *e = (bands_events){0};
}

void bands_events_put(bands_events *e, size_t subject, uint32_t symbol, double value) {
    const size_t column = e->columns[symbol];
    const size_t first = subject == SIZE_MAX ? 0 : subject;
    const size_t end = subject == SIZE_MAX ? e->events.subject_count : subject + 1;
    for (size_t s = first; s < end && column != SIZE_MAX; s++) {
        ddt_subject *of = &e->events.subjects[s];
        for (size_t r = 0; r < of->record_count; r++) {
            of->covariate_values[of->records[r].covariates + column] = value;
        }
    }
}

ddt_status bands_events_set(ddt_context *ctx, bands_events *e, bool around, uint64_t index) {
    SOLVE_TRY(ddt_population_patient(ctx, e->model, index, e->symbols));
    for (uint32_t i = 0; i < e->model->symbol_count; i++) {
        const ddt_symbol_kind kind = e->model->symbols[i].kind;
        if (kind == DDT_SYMBOL_ETA || (kind == DDT_SYMBOL_COVARIATE && !around)) {
            bands_events_put(e, SIZE_MAX, i, e->symbols[i]);
        }
    }
    return DDT_OK;
}
