/*
 * events_reader.h - the parts of reading an event table. Internal to the room.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_PHARMA_EVENTS_READER_H
#define DDT_PHARMA_EVENTS_READER_H

#include "csv.h"
#include "ddt/pharma/events.h"

/* The reserved columns. */
#define DDT_COLUMN_LIST(X)                                                                                             \
    X(ID) X(TIME) X(AMT) X(RATE) X(II) X(ADDL) X(SS) X(CMT) X(EVID) X(MDV) X(DV) X(CENS) X(LIMIT) X(C)

typedef enum ddt_column {
#define DDT_COLUMN_ENUM(name) DDT_COLUMN_##name,
    DDT_COLUMN_LIST(DDT_COLUMN_ENUM)
#undef DDT_COLUMN_ENUM
        DDT_COLUMN_COUNT
} ddt_column;

#define DDT_COLUMN_ABSENT SIZE_MAX

typedef struct ddt_events_reader {
    ddt_context *ctx;
    const char *name; /* of the file */
    const ddt_model *model;
    ddt_csv csv;
    size_t header_count;
    char **header;                    /* header_count names inside the csv's text */
    size_t columns[DDT_COLUMN_COUNT]; /* position or DDT_COLUMN_ABSENT */
    size_t *covariate_columns;        /* position of each of events->covariate_symbols */
    unsigned default_compartment;     /* 1-based */
    ddt_events *events;
    size_t subject_capacity;
    size_t record_capacity;    /* of the current subject */
    size_t covariate_capacity; /* values, of the current subject */
} ddt_events_reader;

/* Reads the header row and finds the columns. Errors: DDT_ERR_DATA, DDT_ERR_MEMORY. */
DDT_MUST_CHECK ddt_status ddt_events_read_header(ddt_events_reader *reader);

/* Reads the current row, its covariates (NAN where missing) and checks everything that one record alone decides.
 * Errors: DDT_ERR_DATA. */
DDT_MUST_CHECK ddt_status ddt_events_read_record(const ddt_events_reader *reader, ddt_record *record,
                                                 double *covariates);

/* Whether the current row is a comment: its column C is filled. */
bool ddt_events_is_comment(const ddt_events_reader *reader);

/* The field of a reserved column in the current row, NULL where the table lacks the column. */
const char *ddt_events_field(const ddt_events_reader *reader, ddt_column column);

/* Where doses without CMT go, 1-based: the depot where there is one, else compartment 1. */
unsigned ddt_events_default_compartment(const ddt_model *model);

/* The times count as equal: they differ by no more than rounding of sums such as t + k II. */
bool ddt_events_same_time(double a_h, double b_h);

#endif
