/*
 * ddt/pharma/events.h - NONMEM event tables.
 *
 * Columns (any order, names case-insensitive): ID TIME AMT RATE II ADDL SS CMT EVID MDV DV and covariates. "." and empty fields mean
 * missing. Comment lines start with # or have a filled column C. Conventions: NONMEM's, see docs/events.md. What cannot be run is refused with file,
 * line, column and value (DDT_ERR_DATA).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_PHARMA_EVENTS_H
#define DDT_PHARMA_EVENTS_H

#include "ddt/pharma/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One record of the table as read. */
typedef struct ddt_record {
    unsigned line;   /* in the file */
    double time_h;   /* in the model's time unit (hours unless the model says otherwise) */
    int evid;        /* 0 observation, 1 dose, 2 other, 3 reset, 4 reset and dose */
    double amount;
    double rate;     /* > 0, 0 bolus, -1 modelled rate, -2 modelled duration */
    double interval_h; /* II */
    unsigned additional; /* ADDL */
    int steady_state;    /* SS: 0, 1, 2 */
    unsigned compartment; /* 1-based; 0 = default */
    bool has_dv;
    double dv;
    size_t covariates; /* offset into ddt_subject.covariate_values: covariate_count values */
} ddt_record;

typedef struct ddt_subject {
    char *id;
    ddt_record *records;
    size_t record_count;
    double *covariate_values; /* record_count x covariate_count; missing values carried forward (first: backward) */
    bool covariates_constant;
} ddt_subject;

typedef struct ddt_events {
    char *path;
    ddt_subject *subjects;
    size_t subject_count;
    /* The data columns that are symbols of the model (covariates, and etas given as columns). */
    uint32_t *covariate_symbols;
    size_t covariate_count;
} ddt_events;

/*
 * Reads an event table for a model. Every COVARIATE symbol must be a column; ETA symbols may be (0 where absent). Errors name file, line and
 * column: missing column, text in a numeric field, decreasing times, an empty file, a value that is not finite, unknown compartment...
 */
DDT_MUST_CHECK ddt_status ddt_events_read(ddt_context *ctx, const char *path, const ddt_model *model, ddt_events **out);
DDT_MUST_CHECK ddt_status ddt_events_parse(ddt_context *ctx, const char *text, size_t length, const char *name,
                                           const ddt_model *model, ddt_events **out);
void ddt_events_destroy(ddt_events *events);
/* Adds EVID 2 records every `step` from each subject's first record to its last (--grid). */
DDT_MUST_CHECK ddt_status ddt_events_add_grid(ddt_context *ctx, ddt_events *events, double step_h);

/*
 * One dose after expansion of ADDL/II. Reset and time structure are public; amount is what the custodian encrypts.
 */
typedef struct ddt_dose {
    size_t record;        /* index of the record it comes from */
    double time_h;        /* without lag */
    unsigned compartment; /* 0-based */
    double amount;
    double duration_h;    /* infusion duration for F = 1; 0 for a bolus */
    double rate;          /* as in the record: > 0, 0, -1, -2 */
    int steady_state;     /* SS of the record */
    double interval_h;
    size_t epoch;         /* number of resets (EVID 3, 4) before it: doses reach observations of the same epoch only */
} ddt_dose;

typedef struct ddt_schedule {
    ddt_dose *doses;
    size_t dose_count;
    /* Observation records (EVID 0 and 2) in file order. */
    size_t *observations; /* record indices */
    size_t *observation_epoch;
    /* How many of doses[] (ordered as given) precede each observation in NONMEM's record order: a dose at the same time counts only when its record stands before. */
    bool *precedes; /* observation_count x dose_count */
    size_t observation_count;
    double *epoch_start_h; /* epoch_count: time of the first record or of the reset */
    size_t epoch_count;
} ddt_schedule;

/* Expands one subject's records. The caller frees with ddt_schedule_destroy. */
DDT_MUST_CHECK ddt_status ddt_schedule_create(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                              size_t subject, ddt_schedule *out);
void ddt_schedule_destroy(ddt_schedule *schedule);

#ifdef __cplusplus
}
#endif
#endif
