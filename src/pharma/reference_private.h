/*
 * reference_private.h - the parts of the plaintext solver. Internal to the room.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_PHARMA_REFERENCE_PRIVATE_H
#define DDT_PHARMA_REFERENCE_PRIVATE_H

#include "ddt/pharma/reference.h"
#include "events_reader.h"

/* ------------------------------------------------------------------ integrator */

/* The model's equations with constant inputs, between two discontinuities. */
typedef struct ddt_integrator ddt_integrator;

/*
 * symbols[] belongs to the caller, who keeps its THETA, ETA and COVARIATE entries up to date; the integrator writes
 * STATE and TIME. Errors: DDT_ERR_MEMORY, DDT_ERR_INTERNAL.
 */
DDT_MUST_CHECK ddt_status ddt_integrator_create(ddt_context *ctx, const ddt_model *model, double *symbols,
                                                ddt_integrator **out);
void ddt_integrator_destroy(ddt_integrator *integrator);
/* Relative tolerance, and for each state the largest size that its absolute tolerance refers to. */
DDT_MUST_CHECK ddt_status ddt_integrator_set_tolerance(ddt_integrator *integrator, double relative,
                                                       double absolute_fraction, const double *sizes);
/* The state vector; whoever changes it, the inputs, the time or a symbol calls ddt_integrator_restart. */
double *ddt_integrator_state(ddt_integrator *integrator);
/* Input into each compartment, amount per time unit. */
double *ddt_integrator_input(ddt_integrator *integrator);
double ddt_integrator_time(const ddt_integrator *integrator);
/* Something jumps at time_h: the next advance starts afresh. */
void ddt_integrator_restart(ddt_integrator *integrator, double time_h);
/*
 * Integrates to time_h. The equations are not looked at past stop_h >= time_h, where the next discontinuity may lie.
 * Errors: DDT_ERR_MODEL (without a recorded sentence: the caller knows the subject), with *reached_h set.
 */
DDT_MUST_CHECK ddt_status ddt_integrator_advance(ddt_integrator *integrator, double time_h, double stop_h,
                                                 double *reached_h);
/* Right-hand side at a state, inputs included. False when it is not finite. */
DDT_MUST_CHECK bool ddt_integrator_slope(ddt_integrator *integrator, const double *state, double *slope);
/*
 * From the next advance on: steps of an explicit method where the equations are not stiff, CVODE from where they are.
 * For the many solutions of a fit, which take CVODE three times as long.
 */
DDT_MUST_CHECK ddt_status ddt_integrator_prefer_explicit(ddt_integrator *integrator);
/* The largest |state| met in any evaluation since the last call with reset. */
void ddt_integrator_sizes(ddt_integrator *integrator, double *sizes, bool reset);
/* SUNDIALS would print its messages: an error handler that does not. */
void ddt_integrator_stay_silent(int code, const char *module, const char *function, char *text, void *user);

/* ------------------------------------------------------------------ an explicit method: ERKStep of SUNDIALS */

/* The right-hand side; false where it is not finite. */
typedef bool (*ddt_slope_fn)(void *user, double time_h, const double *state, double *slope);

/* What errors of a step are measured by; note() is told every state that has been reached. */
typedef struct ddt_tolerance {
    double relative;
    const double *absolute;
    void (*note)(void *user, const double *state);
} ddt_tolerance;

typedef struct ddt_explicit ddt_explicit;

/* NULL when memory is short. */
DDT_MUST_CHECK ddt_explicit *ddt_explicit_create(size_t count, ddt_slope_fn slope, void *user);
void ddt_explicit_destroy(ddt_explicit *e);
/*
 * From *time_h to end_h; `starts` where the state or the equations have jumped. False where so many steps are wanted
 * that another method is better: *time_h and state are those of the last step.
 */
DDT_MUST_CHECK bool ddt_explicit_advance(ddt_explicit *e, const ddt_tolerance *tolerance, bool starts, double *time_h,
                                         double end_h, double *state);

/* ------------------------------------------------------------------ doses */

/* A dose with this patient's lag, bioavailability, rate and duration. */
typedef struct ddt_given_dose {
    double act_h; /* time + lag; a record's time when within rounding of it */
    double lag_h;
    double amount;     /* F included; 0 for a constant infusion */
    double rate;       /* 0 for a bolus */
    double duration_h; /* 0 for a bolus */
    bool is_constant;  /* steady-state infusion that ends at the record */
} ddt_given_dose;

/* What a model may say of a compartment besides its equation. */
typedef enum ddt_part {
    DDT_PART_INITIAL,
    DDT_PART_BIOAVAILABILITY,
    DDT_PART_LAG,
    DDT_PART_RATE,
    DDT_PART_DURATION,
    DDT_PART_COUNT
} ddt_part;

/* What a simulation works on. */
typedef struct ddt_reference {
    ddt_context *ctx;
    const ddt_model *model;
    const ddt_events *events;
    size_t subject;
    const double *base;   /* values of symbols, or NULL: the model's and the data's */
    bool data_covariates; /* with base: whether the data's covariates win */
    double rtol;          /* of the integrator, which may be an explicit one; 0: ddt_reference_rtol, CVODE */
    double *symbols;
    /*
     * The parts of all compartments and the breaks as one program, and where each part's value stands (SIZE_MAX: the
     * model says nothing).
     */
    ddt_expr_program *parts;
    double *part_values;
    size_t part_count;   /* the breaks' values stand behind as many */
    double *break_h;     /* model->break_count */
    size_t *part_places; /* compartment_count x DDT_PART_COUNT */
    double *history;     /* symbol_count: what the LAST_DOSE symbols hold now */
    ddt_schedule schedule;
    ddt_given_dose *doses; /* schedule.dose_count */
    double *steady;        /* schedule.dose_count x compartment_count, rows of doses with SS */
    ddt_integrator *integrator;
} ddt_reference;

const ddt_subject *ddt_reference_subject(const ddt_reference *r);
/* Sets the symbols to their values over the interval that ends at a record; STATE 0, TIME the record's, LAST_DOSE as
 * noted. */
void ddt_reference_set_symbols(const ddt_reference *r, size_t record);
/* No dose has acted since start_h, in r->history and in the symbols. */
void ddt_reference_forget_doses(const ddt_reference *r, double start_h);
/* A dose into a compartment acts, or begins to: in r->history and in the symbols. */
void ddt_reference_note_dose(const ddt_reference *r, unsigned compartment, double time_h, double amount);
/* Initial values of the compartments with the symbols as set. Errors: DDT_ERR_MODEL. */
DDT_MUST_CHECK ddt_status ddt_reference_initial(const ddt_reference *r, double *state);
/* The expression of a part, DDT_EXPR_NONE where the model says nothing. */
ddt_expr ddt_reference_part(const ddt_model *model, size_t compartment, ddt_part part);
/* Compiles the parts and the breaks. Errors: DDT_ERR_MEMORY, DDT_ERR_UNSUPPORTED (a part depends on a state). */
DDT_MUST_CHECK ddt_status ddt_reference_compile_parts(ddt_reference *r);
/* Evaluates the model's breaks for the symbols as set: before an advance, and when a symbol that they depend on has
 * changed. */
void ddt_reference_set_breaks(const ddt_reference *r);
/* ddt_integrator_advance, starting afresh at every break on the way. */
DDT_MUST_CHECK ddt_status ddt_reference_advance(const ddt_reference *r, double time_h, double stop_h,
                                                double *reached_h);
/* Fills r->doses. Errors: DDT_ERR_DATA, DDT_ERR_UNSUPPORTED. */
DDT_MUST_CHECK ddt_status ddt_reference_prepare_doses(const ddt_reference *r);
/* Fills r->steady, where a dose has SS. Errors: DDT_ERR_UNSUPPORTED, DDT_ERR_MODEL, DDT_ERR_MEMORY. */
DDT_MUST_CHECK ddt_status ddt_reference_prepare_steady(const ddt_reference *r);

/* Infusions of a steady-state regimen that still run at the record: the k-th before it (k from 1) ends at act - k II +
 * duration. */
double ddt_reference_residual_end_h(const ddt_reference *r, size_t dose, size_t k);

/* Tolerances: CVODE's relative one, and the absolute one as a fraction of a state's size. */
static const double ddt_reference_rtol = 1e-10;
static const double ddt_reference_atol_fraction = 1e-12;

#endif
