/* SPDX-License-Identifier: Apache-2.0 */
#include "ddt/pharma/events.h"

#include "events_reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FIRST_CAPACITY = 16 };

bool ddt_events_same_time(double a_h, double b_h) {
    /* Sums of a few terms err by a few units in the last place (2e-16); clocks are never this fine. */
    static const double rounding = 1e-12;
    double size = fmax(fabs(a_h), fabs(b_h));
    return fabs(a_h - b_h) <= rounding * fmax(size, 1.0);
}

void ddt_events_destroy(ddt_events *events) {
    if (events == NULL) {
        return;
    }
    for (size_t i = 0; i < events->subject_count; i++) {
        ddt_free(events->subjects[i].id);
        ddt_free(events->subjects[i].records);
        ddt_free(events->subjects[i].covariate_values);
    }
    ddt_free(events->subjects);
    ddt_free(events->covariate_symbols);
    ddt_free(events->path);
    ddt_free(events);
}

void ddt_events_symbols(const ddt_model *model, const ddt_events *events, size_t subject, size_t record,
                        double *symbols) {
    const ddt_subject *who = &events->subjects[subject];
    for (size_t i = 0; i < model->symbol_count; i++) {
        symbols[i] = model->symbols[i].kind == DDT_SYMBOL_THETA  ? model->symbols[i].value
                     : model->symbols[i].kind == DDT_SYMBOL_TIME ? who->records[record].time_h
                                                                 : 0.0;
    }
    const double *covariates = who->covariate_values + who->records[record].covariates;
    for (size_t i = 0; i < events->covariate_count; i++) {
        symbols[events->covariate_symbols[i]] = covariates[i];
    }
}

/* ------------------------------------------------------------------ reading */

static ddt_status fail_memory(const ddt_events_reader *reader) {
    return ddt_fail(reader->ctx, DDT_ERR_MEMORY, "Memory is short while reading '%s'.", reader->name);
}

/* The block with room for `wanted` elements, NULL when memory is short: the old one stays valid then. */
static void *reserve(void *block, size_t used, size_t wanted, size_t *capacity, size_t size) {
    if (block != NULL && wanted <= *capacity) {
        return block;
    }
    size_t grown_capacity = FIRST_CAPACITY;
    while (grown_capacity < wanted) {
        grown_capacity *= 2;
    }
    void *grown = ddt_realloc(block, used, grown_capacity, size);
    if (grown != NULL) {
        *capacity = grown_capacity;
    }
    return grown;
}

static ddt_status check_id(const ddt_events_reader *reader, const char *id) {
    char shown[DDT_CSV_SHOWN];
    if (id[0] == '\0' || strcmp(id, ".") == 0) {
        return ddt_fail(reader->ctx, DDT_ERR_DATA, "'%s', line %u, column ID: the record has no ID.", reader->name,
                        reader->csv.line);
    }
    if (strlen(id) > DDT_EVENTS_MAX_ID) {
        return ddt_fail(reader->ctx, DDT_ERR_DATA, "'%s', line %u, column ID: '%s' is longer than %d bytes.",
                        reader->name, reader->csv.line, ddt_csv_show(id, shown), DDT_EVENTS_MAX_ID);
    }
    if (!ddt_csv_is_plain(id)) {
        return ddt_fail(reader->ctx, DDT_ERR_DATA,
                        "'%s', line %u, column ID: '%s' holds a control character or is not UTF-8.", reader->name,
                        reader->csv.line, ddt_csv_show(id, shown));
    }
    return DDT_OK;
}

/* Missing values: the last one known, and before the first one the first. An eta without any value is 0. */
static ddt_status fill_covariate(const ddt_events_reader *reader, ddt_subject *subject, size_t covariate) {
    const ddt_events *events = reader->events;
    const ddt_symbol *symbol = &reader->model->symbols[events->covariate_symbols[covariate]];
    size_t stride = events->covariate_count;
    double *values = subject->covariate_values + covariate;
    size_t first = 0;
    while (first < subject->record_count && isnan(values[first * stride])) {
        first++;
    }
    if (first == subject->record_count && symbol->kind == DDT_SYMBOL_COVARIATE) {
        return ddt_fail(reader->ctx, DDT_ERR_DATA, "'%s', line %u, column %s: the subject %s has no value of it.",
                        reader->name, subject->records[0].line, symbol->name, subject->id);
    }
    double last = first == subject->record_count ? 0.0 : values[first * stride];
    double start = last;
    for (size_t i = 0; i < subject->record_count; i++) {
        if (!isnan(values[i * stride])) {
            last = values[i * stride];
        }
        values[i * stride] = last;
        subject->covariates_constant = subject->covariates_constant && last == start;
    }
    return DDT_OK;
}

static ddt_status finish_subject(ddt_events_reader *reader) {
    ddt_events *events = reader->events;
    if (events->subject_count == 0) {
        return DDT_OK;
    }
    ddt_subject *subject = &events->subjects[events->subject_count - 1];
    subject->covariates_constant = true;
    for (size_t i = 0; i < events->covariate_count; i++) {
        ddt_status status = fill_covariate(reader, subject, i);
        if (status != DDT_OK) {
            return status;
        }
    }
    return DDT_OK;
}

static ddt_status start_subject(ddt_events_reader *reader, const char *id) {
    ddt_status status = check_id(reader, id);
    if (status == DDT_OK) {
        status = finish_subject(reader);
    }
    if (status != DDT_OK) {
        return status;
    }
    ddt_events *events = reader->events;
    ddt_subject *grown = reserve(events->subjects, events->subject_count, events->subject_count + 1,
                                 &reader->subject_capacity, sizeof *grown);
    if (grown == NULL) {
        return fail_memory(reader);
    }
    events->subjects = grown;
    ddt_subject subject = {.id = ddt_strdup(id)};
    if (subject.id == NULL) {
        return fail_memory(reader);
    }
    events->subjects[events->subject_count++] = subject;
    reader->record_capacity = 0;
    reader->covariate_capacity = 0;
    return DDT_OK;
}

static ddt_status check_order(const ddt_events_reader *reader, const ddt_subject *subject, const ddt_record *record) {
    if (subject->record_count == 0 || record->time_h >= subject->records[subject->record_count - 1].time_h) {
        return DDT_OK;
    }
    const ddt_record *before = &subject->records[subject->record_count - 1];
    return ddt_fail(reader->ctx, DDT_ERR_DATA,
                    "'%s', line %u, column TIME: '%.15g' is earlier than '%.15g' on line %u of the same subject %s.",
                    reader->name, record->line, record->time_h, before->time_h, before->line, subject->id);
}

static ddt_status add_record(ddt_events_reader *reader) {
    ddt_events *events = reader->events;
    ddt_subject *subject = &events->subjects[events->subject_count - 1];
    size_t covariates = subject->record_count * events->covariate_count;
    if (events->record_count == DDT_EVENTS_MAX_RECORDS) {
        return ddt_fail(reader->ctx, DDT_ERR_DATA, "'%s', line %u: the table has more than %d records.", reader->name,
                        reader->csv.line, DDT_EVENTS_MAX_RECORDS);
    }
    ddt_record *records = reserve(subject->records, subject->record_count, subject->record_count + 1,
                                  &reader->record_capacity, sizeof *records);
    if (records == NULL) {
        return fail_memory(reader);
    }
    subject->records = records;
    double *values = reserve(subject->covariate_values, covariates, covariates + events->covariate_count,
                             &reader->covariate_capacity, sizeof *values);
    if (values == NULL) {
        return fail_memory(reader);
    }
    subject->covariate_values = values;
    ddt_record record;
    ddt_status status = ddt_events_read_record(reader, &record, values + covariates);
    if (status == DDT_OK) {
        status = check_order(reader, subject, &record);
    }
    if (status == DDT_OK) {
        record.covariates = covariates;
        subject->records[subject->record_count++] = record;
        events->record_count++;
    }
    return status;
}

static ddt_status read_row(ddt_events_reader *reader) {
    const ddt_events *events = reader->events;
    /* A row may be shorter than the header; ID must exist before it is looked at. */
    if (reader->csv.field_count <= reader->columns[DDT_COLUMN_ID]) {
        return ddt_fail(reader->ctx, DDT_ERR_DATA, "'%s', line %u: the row has %zu fields, the header has %zu.",
                        reader->name, reader->csv.line, reader->csv.field_count, reader->header_count);
    }
    const char *id = ddt_events_field(reader, DDT_COLUMN_ID);
    bool is_new = events->subject_count == 0 || strcmp(events->subjects[events->subject_count - 1].id, id) != 0;
    ddt_status status = is_new ? start_subject(reader, id) : DDT_OK;
    return status != DDT_OK ? status : add_record(reader);
}

typedef struct id_line {
    const char *id;
    unsigned line; /* of the subject's first record */
} id_line;

static int compare_ids(const void *a, const void *b) {
    const id_line *first = a;
    const id_line *second = b;
    int order = strcmp(first->id, second->id);
    return order != 0 ? order : (first->line > second->line) - (first->line < second->line);
}

/* NONMEM takes an ID that comes back for a new individual. Here results are named by ID, and most often the table was
 * not sorted. */
static ddt_status check_ids_once(const ddt_events_reader *reader) {
    const ddt_events *events = reader->events;
    id_line *order = ddt_alloc(events->subject_count, sizeof *order);
    if (order == NULL) {
        return fail_memory(reader);
    }
    for (size_t i = 0; i < events->subject_count; i++) {
        order[i] = (id_line){.id = events->subjects[i].id, .line = events->subjects[i].records[0].line};
    }
    qsort(order, events->subject_count, sizeof *order, compare_ids);
    ddt_status status = DDT_OK;
    for (size_t i = 1; i < events->subject_count && status == DDT_OK; i++) {
        if (strcmp(order[i - 1].id, order[i].id) == 0) {
            status = ddt_fail(reader->ctx, DDT_ERR_DATA,
                              "'%s', line %u, column ID: '%s' comes back after another ID; sort the records by ID.",
                              reader->name, order[i].line, order[i].id);
        }
    }
    ddt_free(order);
    return status;
}

static ddt_status read_rows(ddt_events_reader *reader) {
    for (;;) {
        bool more = false;
        ddt_status status = ddt_csv_next(&reader->csv, &more);
        if (status != DDT_OK) {
            return status;
        }
        if (!more) {
            break;
        }
        if (ddt_events_is_comment(reader)) {
            continue;
        }
        status = read_row(reader);
        if (status != DDT_OK) {
            return status;
        }
    }
    if (reader->events->subject_count == 0) {
        return ddt_fail(reader->ctx, DDT_ERR_DATA, "'%s' has a header and no records.", reader->name);
    }
    ddt_status status = finish_subject(reader);
    return status != DDT_OK ? status : check_ids_once(reader);
}

unsigned ddt_events_default_compartment(const ddt_model *model) {
    for (size_t i = 0; i < model->compartment_count; i++) {
        if (strcasecmp(model->compartments[i].name, "depot") == 0) {
            return (unsigned)(i + 1);
        }
    }
    return 1;
}

ddt_status ddt_events_parse(ddt_context *ctx, const char *text, size_t length, const char *name, const ddt_model *model,
                            ddt_events **out) {
    ddt_events_reader reader = {
        .ctx = ctx, .name = name, .model = model, .default_compartment = ddt_events_default_compartment(model)};
    ddt_status status = ddt_csv_open(ctx, text, length, name, &reader.csv);
    if (status != DDT_OK) {
        return status;
    }
    reader.events = ddt_calloc(1, sizeof *reader.events);
    if (reader.events != NULL) {
        reader.events->path = ddt_strdup(name);
    }
    if (reader.events == NULL || reader.events->path == NULL) {
        status = fail_memory(&reader);
    }
    if (status == DDT_OK) {
        status = ddt_events_read_header(&reader);
    }
    if (status == DDT_OK) {
        status = read_rows(&reader);
    }
    ddt_csv_close(&reader.csv);
    ddt_free(reader.header);
    ddt_free(reader.covariate_columns);
    if (status != DDT_OK) {
        ddt_events_destroy(reader.events);
        return status;
    }
    *out = reader.events;
    return DDT_OK;
}

ddt_status ddt_events_read(ddt_context *ctx, const char *path, const ddt_model *model, ddt_events **out) {
    char *text = NULL;
    size_t length = 0;
    ddt_status status = ddt_read_text(ctx, path, DDT_EVENTS_MAX_BYTES, &text, &length);
    if (status == DDT_OK) {
        status = ddt_events_parse(ctx, text, length, path, model, out);
    }
    ddt_free(text);
    return status;
}
