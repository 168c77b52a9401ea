/* The header row of an event table. SPDX-License-Identifier: Apache-2.0 */
#include "events_reader.h"

#include <string.h>
#include <strings.h>

static const char *const column_names[DDT_COLUMN_COUNT] = {
#define COLUMN_NAME(name) #name,
    DDT_COLUMN_LIST(COLUMN_NAME)
#undef COLUMN_NAME
};

/*
 * Finds a column: its exact name first, else the same letters in another case. Two columns that fit equally well are
 * refused, for either could be the one that was meant.
 */
static ddt_status find_column(const ddt_events_reader *reader, const char *name, size_t *position) {
    size_t exact = DDT_COLUMN_ABSENT;
    size_t similar = DDT_COLUMN_ABSENT;
    bool two_exact = false;
    bool two_similar = false;
    for (size_t i = 0; i < reader->header_count; i++) {
        if (strcmp(reader->header[i], name) == 0) {
            two_exact = exact != DDT_COLUMN_ABSENT;
            exact = i;
        } else if (strcasecmp(reader->header[i], name) == 0) {
            two_similar = similar != DDT_COLUMN_ABSENT;
            similar = i;
        }
        if (two_exact) {
            break;
        }
    }
    *position = exact != DDT_COLUMN_ABSENT ? exact : similar;
    if (two_exact || (exact == DDT_COLUMN_ABSENT && two_similar)) {
        return ddt_fail(reader->ctx, DDT_ERR_DATA, "'%s', line %u: the column %s appears twice.", reader->name,
                        reader->csv.line, name);
    }
    return DDT_OK;
}

static ddt_status check_required(const ddt_events_reader *reader) {
    static const ddt_column required[] = {DDT_COLUMN_ID, DDT_COLUMN_TIME};
    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        if (reader->columns[required[i]] == DDT_COLUMN_ABSENT) {
            /* Tables of spreadsheets: one name for all columns, or with decimal commas some names around semicolons. */
            const bool is_other = reader->header_count == 1 || strpbrk(reader->header[0], ";\t") != NULL;
            const char *hint = is_other ? " (columns are separated by commas, decimals by a point)" : "";
            return ddt_fail(reader->ctx, DDT_ERR_DATA, "'%s', line %u: the header has no column %s%s.", reader->name,
                            reader->csv.line, column_names[required[i]], hint);
        }
    }
    return DDT_OK;
}

static bool is_data_symbol(const ddt_symbol *symbol) {
    return symbol->kind == DDT_SYMBOL_COVARIATE || symbol->kind == DDT_SYMBOL_ETA;
}

static ddt_status find_covariates(ddt_events_reader *reader) {
    const ddt_model *model = reader->model;
    ddt_events *events = reader->events;
    events->covariate_symbols = ddt_alloc(model->symbol_count, sizeof *events->covariate_symbols);
    reader->covariate_columns = ddt_alloc(model->symbol_count, sizeof *reader->covariate_columns);
    if (events->covariate_symbols == NULL || reader->covariate_columns == NULL) {
        return ddt_fail(reader->ctx, DDT_ERR_MEMORY, "Memory is short while reading '%s'.", reader->name);
    }
    for (size_t i = 0; i < model->symbol_count; i++) {
        const ddt_symbol *symbol = &model->symbols[i];
        if (!is_data_symbol(symbol)) {
            continue;
        }
        size_t position = DDT_COLUMN_ABSENT;
        ddt_status status = find_column(reader, symbol->name, &position);
        if (status != DDT_OK) {
            return status;
        }
        if (position == DDT_COLUMN_ABSENT && symbol->kind == DDT_SYMBOL_COVARIATE) {
            return ddt_fail(reader->ctx, DDT_ERR_DATA,
                            "'%s', line %u: the header has no column %s, a covariate of the model %s.", reader->name,
                            reader->csv.line, symbol->name, model->name == NULL ? "" : model->name);
        }
        if (position != DDT_COLUMN_ABSENT) {
            reader->covariate_columns[events->covariate_count] = position;
            events->covariate_symbols[events->covariate_count++] = (uint32_t)i;
        }
    }
    return DDT_OK;
}

/* A model's covariate may be called C: then the column holds it, and no comments. */
static void drop_comment_column(ddt_events_reader *reader) {
    for (size_t i = 0; i < reader->events->covariate_count; i++) {
        if (reader->covariate_columns[i] == reader->columns[DDT_COLUMN_C]) {
            reader->columns[DDT_COLUMN_C] = DDT_COLUMN_ABSENT;
        }
    }
}

ddt_status ddt_events_read_header(ddt_events_reader *reader) {
    bool more = false;
    ddt_status status = ddt_csv_next(&reader->csv, &more);
    if (status != DDT_OK) {
        return status;
    }
    if (!more) {
        return ddt_fail(reader->ctx, DDT_ERR_DATA, "'%s' is empty: it has no header row.", reader->name);
    }
    reader->header_count = reader->csv.field_count;
    reader->header = ddt_alloc(reader->header_count, sizeof *reader->header);
    if (reader->header == NULL) {
        return ddt_fail(reader->ctx, DDT_ERR_MEMORY, "Memory is short while reading '%s'.", reader->name);
    }
    memcpy(reader->header, reader->csv.fields, reader->header_count * sizeof *reader->header);
    for (size_t column = 0; column < DDT_COLUMN_COUNT; column++) {
        status = find_column(reader, column_names[column], &reader->columns[column]);
        if (status != DDT_OK) {
            return status;
        }
    }
    status = check_required(reader);
    if (status != DDT_OK) {
        return status;
    }
    status = find_covariates(reader);
    if (status == DDT_OK) {
        drop_comment_column(reader);
    }
    return status;
}
