/*
 * ddt/pharma/events.h - NONMEM event tables.
 *
 * Columns (any order, names case-insensitive): ID TIME AMT RATE II ADDL SS CMT EVID MDV DV and covariates; others are
 * ignored. "." and empty fields mean missing. Comment lines start with # or have a filled column C. Conventions:
 * NONMEM's, see docs/events.md. What cannot be run is refused with file, line, column and value (DDT_ERR_DATA).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_PHARMA_EVENTS_H
#define DDT_PHARMA_EVENTS_H

#include "ddt/pharma/model.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DDT_EVENTS_MAX_BYTES = 64 << 20,  /* of a table */
    DDT_EVENTS_MAX_RECORDS = 1000000, /* of a table, grid records included */
    DDT_SCHEDULE_MAX_DOSES = 1000000, /* of a subject, after expansion of ADDL */
    DDT_EVENTS_MAX_ID = 128           /* bytes of an ID */
};

/* One record of the table as read. */
typedef struct ddt_record {
    unsigned line;        /* in the file; 0 for a grid record */
    double time_h;        /* in the model's time unit (hours unless the model says otherwise) */
    int evid;             /* 0 observation, 1 dose, 2 other, 3 reset, 4 reset and dose */
    double amount;        /* >= 0 */
    double rate;          /* > 0, 0 bolus, -1 modelled rate, -2 modelled duration */
    double interval_h;    /* II */
    unsigned additional;  /* ADDL */
    int steady_state;     /* SS: 0, 1, 2 */
    unsigned compartment; /* 1-based; 0 = default */
    bool has_dv;          /* an observation (EVID 0) with a DV and without MDV 1 */
    double dv;            /* 0 without one */
    int censored;         /* CENS of a DV: 0 measured, 1 the value lies below dv, -1 above it */
    bool has_limit;       /* censored, and LIMIT gives the other end of where the value lies */
    double limit;         /* 0 without one */
    size_t covariates;    /* offset into ddt_subject.covariate_values: covariate_count values */
} ddt_record;

/* What a record's evid can be. */
enum { DDT_EVID_OBSERVATION = 0, DDT_EVID_DOSE = 1, DDT_EVID_OTHER = 2, DDT_EVID_RESET = 3, DDT_EVID_RESET_DOSE = 4 };

/* Whether a record gives a dose. */
static inline bool ddt_record_is_dose(const ddt_record *record) {
    return record->evid == DDT_EVID_DOSE || record->evid == DDT_EVID_RESET_DOSE;
}

/* Whether a record is a row of the profile: an observation, or a record of type 2. */
static inline bool ddt_record_is_observation(const ddt_record *record) {
    return record->evid == DDT_EVID_OBSERVATION || record->evid == DDT_EVID_OTHER;
}

typedef struct ddt_subject {
    char *id;
    ddt_record *records;
    size_t record_count;
    /*
     * record_count x covariate_count; missing values carried forward (the first ones: backward). A record's values hold
     * over the interval that ends at it (NONMEM's convention), or see ddt_events.carries_forward.
     */
    double *covariate_values;
    bool covariates_constant;
} ddt_subject;

typedef struct ddt_events {
    char *path;
    ddt_subject *subjects;
    size_t subject_count;
    /* The data columns that are symbols of the model (covariates, and etas given as columns). */
    uint32_t *covariate_symbols;
    size_t covariate_count;
    size_t record_count; /* of all subjects */
    /*
     * Covariates between records: false (as read), NONMEM's convention, a record's values hold over the interval that
     * ends at it; true, last observation carried forward, they hold from it on to the next record. To be set before
     * a grid is added and the events are used; schedules, ddt_solve and the reference solver go by it.
     */
    bool carries_forward;
} ddt_events;

/* The record whose covariates are in force over the interval that ends at a record. */
size_t ddt_events_in_force(const ddt_events *events, size_t record);

/*
 * Reads an event table for a model. Every COVARIATE symbol must be a column; ETA symbols may be (0 where absent).
 * Errors name file, line and column: missing column, text in a numeric field, decreasing times, an empty file, a value
 * that is not finite, unknown compartment, an ID that comes back after another ID... Errors: DDT_ERR_IO, DDT_ERR_DATA,
 * DDT_ERR_MEMORY. The caller owns *out, which is untouched on failure.
 */
DDT_MUST_CHECK ddt_status ddt_events_read(ddt_context *ctx, const char *path, const ddt_model *model, ddt_events **out);
DDT_MUST_CHECK ddt_status ddt_events_parse(ddt_context *ctx, const char *text, size_t length, const char *name,
                                           const ddt_model *model, ddt_events **out);
void ddt_events_destroy(ddt_events *events);
/*
 * Adds EVID 2 records every `step_h` from each subject's first record to its last (--grid), except where an observation
 * (EVID 0 or 2) stands at that time. A grid record stands behind the records of its time and leaves the covariates of
 * every interval as they were. Errors: DDT_ERR_RANGE (the step is not positive), DDT_ERR_CAPACITY (more than
 * DDT_EVENTS_MAX_RECORDS), DDT_ERR_MEMORY; the events are unchanged on failure.
 */
DDT_MUST_CHECK ddt_status ddt_events_add_grid(ddt_context *ctx, ddt_events *events, double step_h);
/*
 * The same with `count` >= 2 points evenly from each subject's first record to its last, each subject having its own
 * step. Errors: those of ddt_events_add_grid.
 */
DDT_MUST_CHECK ddt_status ddt_events_add_points(ddt_context *ctx, ddt_events *events, size_t count);

/*
 * Values of the model's symbols at a record: symbols[symbol_count] = THETA as in the model, ETA and COVARIATE from the
 * data's columns (ETA 0 without one), STATE and LAST_DOSE 0, TIME the record's time.
 */
void ddt_events_symbols(const ddt_model *model, const ddt_events *events, size_t subject, size_t record,
                        double *symbols);

/*
 * One dose after expansion of ADDL/II. Reset and time structure are public; amount is what the custodian encrypts.
 */
typedef struct ddt_dose {
    size_t record;        /* index of the record it comes from */
    unsigned additional;  /* 0 the record's own dose, k its k-th additional one */
    double time_h;        /* without lag; exactly a record's time when within rounding of it */
    unsigned compartment; /* 0-based */
    double amount;
    double duration_h;       /* infusion duration for F = 1 where RATE > 0; else 0 (a bolus, or modelled) */
    double rate;             /* as in the record: > 0, 0, -1, -2 */
    int steady_state;        /* SS of the record; 0 for an additional dose */
    double interval_h;       /* II */
    size_t epoch;            /* number of resets before it: doses reach observations of the same epoch only */
    size_t covariate_record; /* its F, lag, rate and duration use the covariates of this record: its own, or for an
                                additional dose the first at or after it (the last before it, or the one at its
                                time, where values are carried forward) */
} ddt_dose;

/*
 * An epoch starts with the first record, with every EVID 3 or 4, and with every dose of SS 1 (which forgets what came
 * before, pending doses included). A reset on the first record starts no second epoch. At the start of an epoch the
 * compartments hold their initial values or, where its first dose has SS 1, that dose's steady state.
 */
typedef struct ddt_schedule {
    /* By record, then additional doses in time order. Doses that cannot reach a record (past the last record or the
     * next reset) are left out. */
    ddt_dose *doses;
    size_t dose_count;
    /* Observation records (EVID 0 and 2) in file order. */
    size_t *observations; /* record indices */
    size_t *observation_epoch;
    /*
     * observation_count x dose_count: whether the dose acts before the observation if its lag is 0. Same epoch, and:
     * its time is earlier; or equal and its record stands before the observation; or equal and it is an additional dose
     * (NONMEM gives those before the records of their time). A dose with a lag acts before the observation when time_h
     * + lag <= the observation's time.
     */
    bool *precedes;
    size_t observation_count;
    double *epoch_start_h; /* epoch_count: time of the first record or of the reset */
    size_t *epoch_record;  /* epoch_count: the first record, or the one that resets */
    size_t epoch_count;
} ddt_schedule;

/*
 * Expands one subject's records. The caller frees with ddt_schedule_destroy. Errors: DDT_ERR_CAPACITY (too many doses),
 * DDT_ERR_MEMORY; *out is zero then.
 */
DDT_MUST_CHECK ddt_status ddt_schedule_create(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                              size_t subject, ddt_schedule *out);
void ddt_schedule_destroy(ddt_schedule *schedule);

#ifdef __cplusplus
}
#endif
#endif
