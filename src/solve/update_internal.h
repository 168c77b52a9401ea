/*
 * Inside of the living twin (docs/update.md).
 *
 *   update_system.c    the model as dx/dt = A x + c, its numbers for one set of symbols
 *   update_points.c    support points, what amounts and predictions each can reach, the transform of predictions
 *   update_timeline.c  one subject's records in the order in which they act
 *   update_steps.c     timeline -> inputs of each step
 *   update_level.c     a level -> a cubic in the transformed prediction
 *   update_circuit.c   the circuit, calibration, ddt_update_create
 *   update_estimate.c  a decrypted twin -> etas, amounts, predictions
 *   update_advice.c    and candidate regimens
 *   update_file.c      the section of a plan file
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_UPDATE_INTERNAL_H
#define DDT_SOLVE_UPDATE_INTERNAL_H

#include "ddt/solve/update.h"
#include "fit_internal.h"

enum {
    UPDATE_POINTS_MIN = 64,
    UPDATE_POINTS_MAX = 16384,
    UPDATE_COVARIATES_MAX = 16,
    UPDATE_DEGREE = 15, /* of the transform: four levels */
    UPDATE_DEGREE_MAX = 31,
    UPDATE_RANGE_NAME_MAX = 256,
    UPDATE_COEFFICIENTS = 4, /* a level's cubic */
    UPDATE_INPUTS_MAX = DDT_UPDATE_STATES_MAX + 5
};

/* ------------------------------------------------------------------ the model in numbers */

typedef struct update_system {
    size_t n, outputs;
    ddt_expr_program *program;
    size_t values; /* that the program gives */
} update_system;

/* Of one patient; they point into one block of update_system.values doubles. */
typedef struct update_numbers {
    const double *a;             /* n x n */
    const double *c;             /* n: constant inputs */
    const double *f;             /* n: bioavailabilities */
    const double *gain, *offset; /* outputs x n, outputs */
} update_numbers;

/* Errors: DDT_ERR_UNSUPPORTED with line and construct. */
ddt_status update_system_create(ddt_context *ctx, const ddt_model *model, update_system *out);
void update_system_destroy(update_system *system);
void update_system_numbers(const update_system *system, const double *symbols, double *block, update_numbers *out);

/* ------------------------------------------------------------------ what a plan keeps */

typedef struct update_range {
    char name[UPDATE_RANGE_NAME_MAX]; /* of the column */
    double low, high;
} update_range;

struct ddt_update {
    ddt_circuit *circuit; /* NULL when read from a file */
    size_t points, rows, states, etas;
    char *eta_names[DDT_UPDATE_ETAS_MAX];
    uint32_t eta_symbols[DDT_UPDATE_ETAS_MAX];
    double spread; /* points are drawn with this many times the prior's standard deviations */
    double memory, half_life_h, log_scale;
    double penalty_max;                          /* the most that one level may take from a point's log likelihood */
    double *etas_of;                             /* points x etas */
    double *scale;                               /* states x points: amounts = value * scale */
    double *reach;                               /* outputs x points: predictions lie in [0, reach] */
    size_t outputs;                              /* of the model */
    unsigned degree;                             /* of the transform */
    double transform[UPDATE_DEGREE_MAX + 1];     /* Chebyshev coefficients over [-1, 1] */
    double dose_max[DDT_UPDATE_STATES_MAX];      /* each compartment's largest single dose, 0: none */
    double dose_rate_max[DDT_UPDATE_STATES_MAX]; /* and what it may get on average, a unit of time */
    size_t range_count;
    update_range ranges[UPDATE_COVARIATES_MAX];
    double prior[DDT_UPDATE_ETAS_MAX * DDT_UPDATE_ETAS_MAX]; /* Omega^-1 */
};

/* Inputs of a step: the twin, the matrix of the amounts column by column, and these. */
static inline size_t update_column(size_t k) { return 1 + k; }
static inline size_t update_shift(const ddt_update *u) { return 1 + u->states; }
static inline size_t update_gain(const ddt_update *u) { return 2 + u->states; }
static inline size_t update_root_input(const ddt_update *u) { return 3 + u->states; }
static inline size_t update_offset(const ddt_update *u) { return 4 + u->states; } /* without a spare row only */

/* Rows of a block: the amounts, the likelihood, and, if there is one to spare, a row that may hold ones. */
static inline size_t update_rows(size_t states) {
    size_t rows = UPDATE_COEFFICIENTS;
    while (rows < states + 1) {
        rows *= 2;
    }
    return rows;
}
static inline bool update_has_spare(const ddt_update *u) { return u->rows > u->states + 1; }

/* Each coefficient of what describes a level in a row of its own, the first in the likelihoods'. */
static inline size_t update_coefficient_slot(const ddt_update *u, size_t k, size_t point) {
    return (u->states + k) % u->rows * u->points + point;
}

/* DDT_ERR_MISMATCH unless the model has the update's etas, compartments and outputs. */
ddt_status update_check_model(ddt_context *ctx, const ddt_update *u, const ddt_model *model);

/* ------------------------------------------------------------------ update_points.c */

/* Standard normal points of a low-discrepancy sequence (Roberts' generalised golden ratio); count x dimension. */
void update_normal_points(size_t count, size_t dimension, double *out);
ddt_status update_points_create(ddt_context *ctx, const ddt_model *model, ddt_update *u);
/* Scales and reaches, from the ranges of covariates and doses. */
ddt_status update_reaches(ddt_context *ctx, const ddt_model *model, const update_system *system, ddt_update *u);
/* The transform and its value for a prediction that is `part` of the reach. */
void update_transform_create(ddt_update *u);
double update_transform(const ddt_update *u, double part);
/* Symbols of a point: covariates as in `symbols`, etas those of the point. */
void update_set_etas(const ddt_update *u, size_t point, double *symbols);

/* ------------------------------------------------------------------ update_timeline.c */

typedef enum update_act_kind {
    UPDATE_MOVE,
    UPDATE_BOLUS,
    UPDATE_LEVEL,
    UPDATE_LOOK,
    UPDATE_RESET, /* nothing is left */
    UPDATE_STEADY /* what was given for ever is all there is */
} update_act_kind;

typedef struct update_act {
    update_act_kind kind;
    double time_h, span_h; /* MOVE: the end and the length; STEADY: the interval */
    size_t record;         /* MOVE: whose covariates hold; BOLUS, STEADY: whose F; LEVEL, LOOK: itself */
    size_t compartment;
    double amount;     /* BOLUS, STEADY */
    double infusion_h; /* STEADY; 0: boluses */
    const double
        *rates; /* MOVE: what flows into each compartment; STEADY: during an infusion; into the timeline's block */
} update_act;

typedef struct update_timeline {
    update_act *acts;
    size_t count, level_count, look_count;
    double *rates;
    double from_h, to_h;
} update_timeline;

/*
 * The model's system and a subject's timeline, both zero before. Checks everything that ddt_update_fill checks but the
 * levels' reach. The caller destroys both, after a failure too.
 */
ddt_status update_timeline_open(ddt_context *ctx, const ddt_update *u, const ddt_model *model, const ddt_events *events,
                                size_t subject, double since_h, update_system *system, update_timeline *out);
void update_timeline_destroy(update_timeline *timeline);
/* DDT_ERR_RANGE: this value of a covariate. */
ddt_status update_fail_range(ddt_context *ctx, const ddt_events *events, unsigned line, const update_range *range,
                             double value);

/* ------------------------------------------------------------------ one patient along a timeline */

/* x = E x0 + s so far. */
typedef struct update_walk {
    const update_system *system;
    double *block;   /* of numbers */
    double *e, *s;   /* n x n, n */
    double *scratch; /* see update_walk_create */
    double *symbols;
    update_numbers numbers;
    size_t numbers_of; /* the record that numbers hold, SIZE_MAX: none */
} update_walk;

ddt_status update_walk_create(ddt_context *ctx, const update_system *system, const ddt_model *model, update_walk *out);
void update_walk_destroy(update_walk *walk);
void update_walk_start(update_walk *walk);
/* symbols of every record: record_count x symbol_count, the covariates of the table. set: puts the patient's own in. */
typedef void (*update_set)(const void *user, double *symbols);
/* After it walk->numbers are those in force at the act. */
void update_walk_act(update_walk *walk, const ddt_model *model, const ddt_events *events, size_t subject,
                     const update_act *act, update_set set, const void *user);

/* A set for ddt_update_estimate's samples: the etas are given. */
typedef struct update_own_etas {
    const ddt_update *u;
    const double *etas;
} update_own_etas;
void update_set_own(const void *user, double *symbols);

/* ------------------------------------------------------------------ update_level.c */

/*
 * A level, half of whose objective rises by s(f)^2 above its least: the root s at predictions f that matter, signed
 * where the level was measured. Below a limit (NONMEM's M3) s^2 is -log of the probability of a level below it.
 */
enum { UPDATE_LEVEL_POINTS = 33 };
typedef struct update_level {
    fit_level_value value;
    double best; /* the prediction that explains it best; of a level below a limit the limit */
    double f[UPDATE_LEVEL_POINTS], root[UPDATE_LEVEL_POINTS], weight[UPDATE_LEVEL_POINTS];
} update_level;
void update_level_of(const fit_level_value *value, double highest, update_level *out);
/* s = c0 + c1 t + c2 t^2 + c3 t^3, t = 2 g - 1, g the transform of predictions up to a reach. */
typedef struct update_root {
    double c[UPDATE_COEFFICIENTS];
} update_root;
void update_root_of(const ddt_update *u, const update_level *level, double reach, update_root *out);
/* Of a level below a limit: the largest error of s^2 from a quarter of the limit to where the level is unlikely. */
double update_root_error(const ddt_update *u, const update_level *level, double reach, const update_root *p);
/* The largest s^2 within the reach. */
double update_root_most(const update_root *p);
/* A point's root in an input that describes a level, which is in units of the root of the likelihoods' scale. */
update_root update_root_at(const ddt_update *u, const double *input, size_t point);

#endif
