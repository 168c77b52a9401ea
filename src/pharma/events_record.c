/* One row of an event table: its numbers, and everything that one record alone decides.
 * SPDX-License-Identifier: Apache-2.0 */
#include "events_reader.h"

#include <math.h>
#include <string.h>
#include <strings.h>

/* Beyond these no clinical quantity lies, and sums and products of such values stay far from overflow. */
static const double value_max = 1e15;
static const double time_max_h = 1e9;
static const double additional_max = 1e9;

enum { SS_MAX = 2 };

/* The numeric reserved columns of a row; 0 where missing. */
typedef struct row_values {
    double value[DDT_COLUMN_COUNT];
    bool present[DDT_COLUMN_COUNT];
} row_values;

const char *ddt_events_field(const ddt_events_reader *reader, ddt_column column) {
    size_t position = reader->columns[column];
    return position == DDT_COLUMN_ABSENT ? NULL : reader->csv.fields[position];
}

bool ddt_events_is_comment(const ddt_events_reader *reader) {
    size_t position = reader->columns[DDT_COLUMN_C];
    if (position == DDT_COLUMN_ABSENT || position >= reader->csv.field_count) {
        return false;
    }
    const char *field = reader->csv.fields[position];
    return field[0] != '\0' && strcmp(field, ".") != 0;
}

/* A sentence about the value in a column of the current row. */
static ddt_status fail_value(const ddt_events_reader *reader, size_t position, const char *problem) {
    char column[DDT_CSV_SHOWN];
    char value[DDT_CSV_SHOWN];
    return ddt_fail(reader->ctx, DDT_ERR_DATA, "'%s', line %u, column %s: '%s' %s.", reader->name, reader->csv.line,
                    ddt_csv_show(reader->header[position], column), ddt_csv_show(reader->csv.fields[position], value),
                    problem);
}

/* A sentence about a reserved column of the current row, which need not exist. */
static ddt_status fail_column(const ddt_events_reader *reader, ddt_column column, const char *problem) {
    const char *field = ddt_events_field(reader, column);
    if (field != NULL && field[0] != '\0' && strcmp(field, ".") != 0) {
        return fail_value(reader, reader->columns[column], problem);
    }
    return ddt_fail(reader->ctx, DDT_ERR_DATA, "'%s', line %u: %s.", reader->name, reader->csv.line, problem);
}

/* Reads a number; 0 where the field is missing. */
static ddt_status read_number(const ddt_events_reader *reader, size_t position, double limit, double *value,
                              bool *present) {
    double number = 0.0;
    *present = false;
    *value = 0.0;
    switch (ddt_csv_number(reader->csv.fields[position], &number)) {
    case DDT_CSV_MISSING:
        return DDT_OK;
    case DDT_CSV_TEXT:
        return fail_value(reader, position, "is not a number");
    case DDT_CSV_NOT_FINITE:
        return fail_value(reader, position, "is not finite");
    case DDT_CSV_NUMBER:
        break;
    }
    if (fabs(number) > limit) {
        return fail_value(reader, position, "is too large");
    }
    *value = number;
    *present = true;
    return DDT_OK;
}

static ddt_status read_values(const ddt_events_reader *reader, row_values *row) {
    static const ddt_column numeric[] = {DDT_COLUMN_TIME, DDT_COLUMN_AMT,  DDT_COLUMN_RATE, DDT_COLUMN_II,
                                         DDT_COLUMN_ADDL, DDT_COLUMN_SS,   DDT_COLUMN_EVID, DDT_COLUMN_MDV,
                                         DDT_COLUMN_DV,   DDT_COLUMN_CENS, DDT_COLUMN_LIMIT};
    *row = (row_values){0};
    for (size_t i = 0; i < sizeof numeric / sizeof *numeric; i++) {
        ddt_column column = numeric[i];
        if (reader->columns[column] == DDT_COLUMN_ABSENT) {
            continue;
        }
        double limit = column == DDT_COLUMN_TIME || column == DDT_COLUMN_II ? time_max_h : value_max;
        ddt_status status =
            read_number(reader, reader->columns[column], limit, &row->value[column], &row->present[column]);
        if (status != DDT_OK) {
            return status;
        }
    }
    return DDT_OK;
}

static bool is_whole(double value, double low, double high) {
    return value >= low && value <= high && value == floor(value);
}

/* Without an EVID, a record is a dose when it has an amount or starts a steady-state infusion, else an observation, or
 * of type 2 with MDV 1. */
static ddt_status read_event_type(const ddt_events_reader *reader, const row_values *row, int *evid) {
    if (row->present[DDT_COLUMN_EVID]) {
        if (!is_whole(row->value[DDT_COLUMN_EVID], DDT_EVID_OBSERVATION, DDT_EVID_RESET_DOSE)) {
            return fail_column(reader, DDT_COLUMN_EVID, "is not an event type (0, 1, 2, 3 or 4)");
        }
        *evid = (int)row->value[DDT_COLUMN_EVID];
        return DDT_OK;
    }
    bool is_dose =
        row->value[DDT_COLUMN_AMT] != 0.0 || (row->value[DDT_COLUMN_RATE] != 0.0 && row->value[DDT_COLUMN_SS] != 0.0);
    *evid = is_dose ? DDT_EVID_DOSE : row->value[DDT_COLUMN_MDV] != 0.0 ? DDT_EVID_OTHER : DDT_EVID_OBSERVATION;
    return DDT_OK;
}

static bool find_compartment(const ddt_model *model, const char *name, int (*compare)(const char *, const char *),
                             unsigned *compartment) {
    for (size_t i = 0; i < model->compartment_count; i++) {
        if (compare(model->compartments[i].name, name) == 0) {
            *compartment = (unsigned)(i + 1);
            return true;
        }
    }
    return false;
}

/* On an observation CMT may name the output that was measured: DV then belongs to it, and no compartment is meant. */
static bool names_output(const ddt_model *model, const char *name) {
    for (size_t i = 0; i < model->output_count; i++) {
        if (strcasecmp(model->outputs[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static ddt_status read_compartment(const ddt_events_reader *reader, ddt_record *record) {
    unsigned *compartment = &record->compartment;
    const char *field = ddt_events_field(reader, DDT_COLUMN_CMT);
    double number = 0.0;
    *compartment = 0;
    if (field == NULL) {
        return DDT_OK;
    }
    switch (ddt_csv_number(field, &number)) {
    case DDT_CSV_MISSING:
        return DDT_OK;
    case DDT_CSV_NUMBER:
        if (!is_whole(number, 0.0, (double)reader->model->compartment_count)) {
            return fail_column(reader, DDT_COLUMN_CMT, "is not a compartment of the model");
        }
        *compartment = (unsigned)number;
        return DDT_OK;
    case DDT_CSV_TEXT:
    case DDT_CSV_NOT_FINITE:
        break;
    }
    if (find_compartment(reader->model, field, strcmp, compartment) ||
        find_compartment(reader->model, field, strcasecmp, compartment) ||
        (!ddt_record_is_dose(record) && names_output(reader->model, field))) {
        return DDT_OK;
    }
    return fail_column(reader, DDT_COLUMN_CMT, "is not a compartment of the model");
}

/* NONMEM refuses dose items on other records too: they are most often a forgotten EVID. */
static ddt_status check_no_dose(const ddt_events_reader *reader, const row_values *row) {
    static const ddt_column items[] = {DDT_COLUMN_AMT, DDT_COLUMN_RATE, DDT_COLUMN_II, DDT_COLUMN_ADDL, DDT_COLUMN_SS};
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        if (row->value[items[i]] != 0.0) {
            return fail_column(reader, items[i], "stands on a record that is not a dose (EVID 0, 2 or 3)");
        }
    }
    return DDT_OK;
}

static ddt_status check_rate(const ddt_events_reader *reader, const ddt_record *record) {
    unsigned number = record->compartment == 0 ? reader->default_compartment : record->compartment;
    const ddt_compartment *compartment = &reader->model->compartments[number - 1];
    if (record->rate < 0.0 && record->rate != -1.0 && record->rate != -2.0) {
        return fail_column(reader, DDT_COLUMN_RATE, "is not a rate (positive, 0, -1 or -2)");
    }
    if (record->rate == -1.0 && compartment->rate == DDT_EXPR_NONE) {
        return fail_column(reader, DDT_COLUMN_RATE,
                           "asks for a modelled rate, but the model has no rate() of that compartment");
    }
    if (record->rate == -2.0 && compartment->duration == DDT_EXPR_NONE) {
        return fail_column(reader, DDT_COLUMN_RATE,
                           "asks for a modelled duration, but the model has no dur() of that compartment");
    }
    return DDT_OK;
}

/* Steady state with amount 0 and a rate: a constant infusion that ends at the record. */
static ddt_status check_steady_state(const ddt_events_reader *reader, const ddt_record *record) {
    bool is_constant = record->steady_state != 0 && record->amount == 0.0 && record->rate != 0.0;
    if (is_constant && record->rate == -2.0) {
        return fail_column(reader, DDT_COLUMN_RATE,
                           "gives a constant infusion at steady state a modelled duration: it has none");
    }
    if (is_constant && (record->interval_h != 0.0 || record->additional != 0)) {
        return fail_column(reader, record->additional != 0 ? DDT_COLUMN_ADDL : DDT_COLUMN_II,
                           "does not go with a constant infusion at steady state (AMT 0): it is not repeated");
    }
    if (record->steady_state != 0 && !is_constant && record->interval_h == 0.0) {
        return fail_column(reader, DDT_COLUMN_II, "a steady-state dose (SS) needs a positive interval in column II");
    }
    if (record->additional != 0 && record->interval_h == 0.0) {
        return fail_column(reader, DDT_COLUMN_II, "additional doses (ADDL) need a positive interval in column II");
    }
    return DDT_OK;
}

static ddt_status read_dose(const ddt_events_reader *reader, const row_values *row, ddt_record *record) {
    const double *value = row->value;
    if (!is_whole(value[DDT_COLUMN_ADDL], 0.0, additional_max)) {
        return fail_column(reader, DDT_COLUMN_ADDL, "is not a number of additional doses (a whole number, 0 or more)");
    }
    if (!is_whole(value[DDT_COLUMN_SS], 0.0, SS_MAX)) {
        return fail_column(reader, DDT_COLUMN_SS, "is not a steady-state item (0, 1 or 2)");
    }
    if (value[DDT_COLUMN_II] < 0.0) {
        return fail_column(reader, DDT_COLUMN_II, "is a negative interval");
    }
    if (value[DDT_COLUMN_AMT] < 0.0) {
        return fail_column(reader, DDT_COLUMN_AMT, "is a negative amount");
    }
    record->amount = value[DDT_COLUMN_AMT];
    record->rate = value[DDT_COLUMN_RATE];
    record->interval_h = value[DDT_COLUMN_II];
    record->additional = (unsigned)value[DDT_COLUMN_ADDL];
    record->steady_state = (int)value[DDT_COLUMN_SS];
    bool is_infusion_at_steady_state = record->steady_state != 0 && record->rate != 0.0;
    if (!row->present[DDT_COLUMN_AMT] && !is_infusion_at_steady_state) {
        return fail_column(reader, DDT_COLUMN_AMT, "the dose has no amount in column AMT");
    }
    if (reader->model->compartment_count == 0) {
        return fail_column(reader, DDT_COLUMN_CMT, "a dose needs a compartment, and the model has none");
    }
    ddt_status status = check_rate(reader, record);
    return status != DDT_OK ? status : check_steady_state(reader, record);
}

static ddt_status read_covariates(const ddt_events_reader *reader, double *covariates) {
    for (size_t i = 0; i < reader->events->covariate_count; i++) {
        bool present = false;
        ddt_status status = read_number(reader, reader->covariate_columns[i], value_max, &covariates[i], &present);
        if (status != DDT_OK) {
            return status;
        }
        if (!present) {
            covariates[i] = NAN;
        }
    }
    return DDT_OK;
}

/* DV, and whether it is a bound of what was measured: CENS 1, below it (and not below LIMIT); -1, above it. */
static ddt_status read_measurement(const ddt_events_reader *reader, const row_values *row, ddt_record *record) {
    record->has_dv =
        record->evid == DDT_EVID_OBSERVATION && row->present[DDT_COLUMN_DV] && row->value[DDT_COLUMN_MDV] == 0.0;
    if (!record->has_dv) {
        return DDT_OK;
    }
    record->dv = row->value[DDT_COLUMN_DV];
    if (!is_whole(row->value[DDT_COLUMN_CENS], -1, 1)) {
        return fail_column(reader, DDT_COLUMN_CENS, "is no kind of censoring (0, 1 or -1)");
    }
    record->censored = (int)row->value[DDT_COLUMN_CENS];
    record->has_limit = record->censored != 0 && row->present[DDT_COLUMN_LIMIT];
    record->limit = record->has_limit ? row->value[DDT_COLUMN_LIMIT] : 0;
    if (record->has_limit && !(record->censored * (record->dv - record->limit) > 0)) {
        return fail_column(reader, DDT_COLUMN_LIMIT,
                           record->censored > 0 ? "is not below the DV that it belongs to"
                                                : "is not above the DV that it belongs to");
    }
    return DDT_OK;
}

ddt_status ddt_events_read_record(const ddt_events_reader *reader, ddt_record *record, double *covariates) {
    if (reader->csv.field_count != reader->header_count) {
        return ddt_fail(reader->ctx, DDT_ERR_DATA, "'%s', line %u: the row has %zu fields, the header has %zu.",
                        reader->name, reader->csv.line, reader->csv.field_count, reader->header_count);
    }
    row_values row;
    *record = (ddt_record){.line = reader->csv.line};
    ddt_status status = read_values(reader, &row);
    if (status == DDT_OK && !row.present[DDT_COLUMN_TIME]) {
        status = fail_column(reader, DDT_COLUMN_TIME, "the record has no time in column TIME");
    }
    if (status == DDT_OK) {
        status = read_event_type(reader, &row, &record->evid);
    }
    if (status == DDT_OK) {
        status = read_compartment(reader, record);
    }
    if (status == DDT_OK) {
        status = ddt_record_is_dose(record) ? read_dose(reader, &row, record) : check_no_dose(reader, &row);
    }
    record->time_h = row.value[DDT_COLUMN_TIME];
    if (status == DDT_OK) {
        status = read_measurement(reader, &row, record);
    }
    return status != DDT_OK ? status : read_covariates(reader, covariates);
}
