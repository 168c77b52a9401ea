/* CVODE, or ERKStep, between two discontinuities. SPDX-License-Identifier: Apache-2.0 */
#include "expr_private.h"
#include "reference_private.h"

#include <cvode/cvode.h>
#include <math.h>
#include <nvector/nvector_serial.h>
#include <string.h>
#include <sunlinsol/sunlinsol_dense.h>
#include <sunmatrix/sunmatrix_dense.h>

/* Steps between two outputs: hundreds are usual, stiff nonlinear models take thousands. */
enum { STEPS_MAX = 500000 };

struct ddt_integrator {
    ddt_context *ctx;
    const ddt_model *model;
    size_t count; /* states */
    double *symbols;
    uint32_t time_symbol; /* DDT_EXPR_NONE where the model has none */
    ddt_expr_program *program;
    double *fixed;  /* its values that depend on neither state nor time, since the last restart */
    double *slopes; /* outputs of the program: those of compartments with an equation */
    size_t *slope_states;
    size_t slope_count;
    double *state;
    double *input;
    double *sizes;
    double time_h;
    double first_h; /* the times that the equations see: just inside the last restart and the next stop */
    double last_h;
    bool restart;
    SUNContext sunctx;
    void *cvode;
    ddt_explicit *explicit_method; /* NULL: CVODE alone */
    bool is_stiff;                 /* the explicit method has given up */
    double relative;
    double *absolute;    /* tolerances of the states */
    N_Vector y;          /* over `state` */
    N_Vector tolerances; /* over `absolute` */
    SUNMatrix jacobian;
    SUNLinearSolver solver;
};

/* ------------------------------------------------------------------ equations */

static bool run_program(ddt_integrator *in, const double *state, double lowest, double *slope) {
    for (size_t i = 0; i < in->count; i++) {
        in->symbols[in->model->compartments[i].symbol] = fmax(state[i], lowest);
        slope[i] = in->input[i];
    }
    ddt_expr_program_run_fixed(in->program, in->symbols, in->fixed, in->slopes);
    bool is_finite = true;
    for (size_t i = 0; i < in->slope_count; i++) {
        slope[in->slope_states[i]] += in->slopes[i];
        is_finite = is_finite && isfinite(in->slopes[i]);
    }
    return is_finite;
}

static bool slope_at(ddt_integrator *in, const double *state, double *slope) {
    for (size_t i = 0; i < in->count; i++) {
        in->sizes[i] = fmax(in->sizes[i], fabs(state[i]));
    }
    /*
     * An amount that decays to 0 may be off by the tolerance and so slightly negative, where powers and square roots
     * are not defined. The nearest state where they are is no further away than that tolerance.
     */
    return run_program(in, state, -INFINITY, slope) || run_program(in, state, 0.0, slope);
}

bool ddt_integrator_slope(ddt_integrator *in, const double *state, double *slope) {
    ddt_expr_program_fix(in->program, in->symbols, in->fixed);
    return slope_at(in, state, slope);
}

static int right_hand_side(realtype t, N_Vector y, N_Vector ydot, void *user) {
    ddt_integrator *in = user;
    if (in->time_symbol != DDT_EXPR_NONE) {
        in->symbols[in->time_symbol] = fmax(in->first_h, fmin(in->last_h, t));
    }
    /* 1: CVODE tries a smaller step. */
    return slope_at(in, NV_DATA_S(y), NV_DATA_S(ydot)) ? 0 : 1;
}

/* The explicit method's: only states that it reaches count as met. */
static bool explicit_slope(void *user, double time_h, const double *state, double *slope) {
    ddt_integrator *in = user;
    if (in->time_symbol != DDT_EXPR_NONE) {
        in->symbols[in->time_symbol] = fmax(in->first_h, fmin(in->last_h, time_h));
    }
    return run_program(in, state, -INFINITY, slope) || run_program(in, state, 0.0, slope);
}

static void note_state(void *user, const double *state) {
    ddt_integrator *in = user;
    for (size_t i = 0; i < in->count; i++) {
        in->sizes[i] = fmax(in->sizes[i], fabs(state[i]));
    }
}

void ddt_integrator_stay_silent(int code, const char *module, const char *function, char *text, void *user) {
    (void)code, (void)module, (void)function, (void)text, (void)user;
}

/* ------------------------------------------------------------------ life */

static ddt_status compile(ddt_integrator *in) {
    ddt_expr *expressions = ddt_alloc(in->count, sizeof *expressions);
    bool *is_varying = ddt_calloc(in->model->symbol_count, sizeof *is_varying);
    if (expressions == NULL || is_varying == NULL) {
        ddt_free(expressions);
        ddt_free(is_varying);
        return ddt_fail(in->ctx, DDT_ERR_MEMORY, "Memory is short for the reference solver.");
    }
    for (size_t i = 0; i < in->model->symbol_count; i++) {
        ddt_symbol_kind kind = in->model->symbols[i].kind;
        is_varying[i] = kind == DDT_SYMBOL_STATE || kind == DDT_SYMBOL_TIME;
    }
    for (size_t i = 0; i < in->count; i++) {
        ddt_expr derivative = in->model->compartments[i].derivative;
        if (derivative != DDT_EXPR_NONE) {
            expressions[in->slope_count] = derivative;
            in->slope_states[in->slope_count++] = i;
        }
    }
    ddt_status status =
        ddt_expr_compile_varying(in->ctx, in->model->pool, expressions, in->slope_count, is_varying, &in->program);
    ddt_free(expressions);
    ddt_free(is_varying);
    if (status == DDT_OK) {
        in->fixed = ddt_alloc(ddt_expr_program_fixed_count(in->program), sizeof *in->fixed);
        status =
            in->fixed != NULL ? DDT_OK : ddt_fail(in->ctx, DDT_ERR_MEMORY, "Memory is short for the reference solver.");
    }
    return status;
}

static ddt_status allocate(ddt_integrator *in) {
    in->slopes = ddt_alloc(in->count, sizeof *in->slopes);
    in->slope_states = ddt_alloc(in->count, sizeof *in->slope_states);
    in->state = ddt_calloc(in->count, sizeof *in->state);
    in->input = ddt_calloc(in->count, sizeof *in->input);
    in->sizes = ddt_calloc(in->count, sizeof *in->sizes);
    in->absolute = ddt_calloc(in->count, sizeof *in->absolute);
    if (in->slopes == NULL || in->slope_states == NULL || in->state == NULL || in->input == NULL || in->sizes == NULL ||
        in->absolute == NULL) {
        return ddt_fail(in->ctx, DDT_ERR_MEMORY, "Memory is short for the reference solver.");
    }
    in->relative = ddt_reference_rtol;
    for (size_t i = 0; i < in->count; i++) {
        in->absolute[i] = 1.0;
    }
    return DDT_OK;
}

static ddt_status create_cvode(ddt_integrator *in) {
    const char *problem = "Memory is short for the reference solver.";
    sunindextype n = (sunindextype)in->count;
    if (SUNContext_Create(NULL, &in->sunctx) != 0) {
        return ddt_fail(in->ctx, DDT_ERR_MEMORY, "%s", problem);
    }
    in->y = N_VMake_Serial(n, in->state, in->sunctx);
    in->tolerances = N_VMake_Serial(n, in->absolute, in->sunctx);
    in->jacobian = SUNDenseMatrix(n, n, in->sunctx);
    if (in->y == NULL || in->tolerances == NULL || in->jacobian == NULL) {
        return ddt_fail(in->ctx, DDT_ERR_MEMORY, "%s", problem);
    }
    in->solver = SUNLinSol_Dense(in->y, in->jacobian, in->sunctx);
    in->cvode = CVodeCreate(CV_BDF, in->sunctx);
    if (in->solver == NULL || in->cvode == NULL) {
        return ddt_fail(in->ctx, DDT_ERR_MEMORY, "%s", problem);
    }
    bool ok = CVodeSetErrHandlerFn(in->cvode, ddt_integrator_stay_silent, NULL) == CV_SUCCESS &&
              CVodeInit(in->cvode, right_hand_side, 0.0, in->y) == CV_SUCCESS &&
              CVodeSVtolerances(in->cvode, in->relative, in->tolerances) == CV_SUCCESS &&
              CVodeSetUserData(in->cvode, in) == CV_SUCCESS &&
              CVodeSetLinearSolver(in->cvode, in->solver, in->jacobian) == CV_SUCCESS &&
              CVodeSetMaxNumSteps(in->cvode, STEPS_MAX) == CV_SUCCESS;
    return ok ? DDT_OK : ddt_fail(in->ctx, DDT_ERR_MEMORY, "%s", problem);
}

ddt_status ddt_integrator_create(ddt_context *ctx, const ddt_model *model, double *symbols, ddt_integrator **out) {
    ddt_integrator *in = ddt_calloc(1, sizeof *in);
    if (in == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for the reference solver.");
    }
    in->ctx = ctx;
    in->model = model;
    in->count = model->compartment_count;
    in->symbols = symbols;
    in->time_symbol = DDT_EXPR_NONE;
    in->restart = true;
    for (size_t i = 0; i < model->symbol_count; i++) {
        if (model->symbols[i].kind == DDT_SYMBOL_TIME) {
            in->time_symbol = (uint32_t)i;
        }
    }
    ddt_status status = allocate(in);
    if (status == DDT_OK) {
        status = compile(in);
    }
    if (status != DDT_OK) {
        ddt_integrator_destroy(in);
        return status;
    }
    *out = in;
    return DDT_OK;
}

void ddt_integrator_destroy(ddt_integrator *in) {
    if (in == NULL) {
        return;
    }
    if (in->cvode != NULL) {
        CVodeFree(&in->cvode);
    }
    if (in->solver != NULL) {
        (void)SUNLinSolFree(in->solver);
    }
    if (in->jacobian != NULL) {
        SUNMatDestroy(in->jacobian);
    }
    if (in->y != NULL) {
        N_VDestroy(in->y);
    }
    if (in->tolerances != NULL) {
        N_VDestroy(in->tolerances);
    }
    if (in->sunctx != NULL) {
        (void)SUNContext_Free(&in->sunctx);
    }
    ddt_explicit_destroy(in->explicit_method);
    ddt_expr_program_destroy(in->program);
    ddt_free(in->absolute);
    ddt_free(in->fixed);
    ddt_free(in->slopes);
    ddt_free(in->slope_states);
    ddt_free(in->state);
    ddt_free(in->input);
    ddt_free(in->sizes);
    ddt_free(in);
}

/* ------------------------------------------------------------------ use */

ddt_status ddt_integrator_set_tolerance(ddt_integrator *in, double relative, double absolute_fraction,
                                        const double *sizes) {
    if (in->count == 0) {
        return DDT_OK;
    }
    double largest = 0.0;
    for (size_t i = 0; i < in->count; i++) {
        largest = fmax(largest, sizes[i]);
    }
    /* A state that was never seen to move is measured by the others. */
    double fallback = largest > 0.0 ? largest : 1.0;
    for (size_t i = 0; i < in->count; i++) {
        in->absolute[i] = absolute_fraction * (sizes[i] > 0.0 ? sizes[i] : fallback);
    }
    in->relative = relative;
    in->restart = true;
    if (in->cvode == NULL) {
        return DDT_OK; /* made when it is needed */
    }
    return CVodeSVtolerances(in->cvode, relative, in->tolerances) == CV_SUCCESS
               ? DDT_OK
               : ddt_fail(in->ctx, DDT_ERR_INTERNAL, "The reference solver refused its tolerances.");
}

double *ddt_integrator_state(ddt_integrator *in) { return in->state; }

double *ddt_integrator_input(ddt_integrator *in) { return in->input; }

double ddt_integrator_time(const ddt_integrator *in) { return in->time_h; }

void ddt_integrator_restart(ddt_integrator *in, double time_h) {
    in->time_h = time_h;
    in->restart = true;
}

void ddt_integrator_sizes(ddt_integrator *in, double *sizes, bool reset) {
    memcpy(sizes, in->sizes, in->count * sizeof *sizes);
    if (reset) {
        memset(in->sizes, 0, in->count * sizeof *in->sizes);
    }
}

/*
 * Equations may jump at either end (t < 5, t <= 5): seen from inside, they are smooth up to the ends. Where they are
 * smooth anyway the nearest other number makes no difference.
 */
static void set_ends(ddt_integrator *in, double stop_h) {
    in->first_h = in->restart ? nextafter(in->time_h, INFINITY) : in->first_h;
    in->last_h = nextafter(stop_h, -INFINITY);
}

static ddt_status prepare(ddt_integrator *in, double stop_h) {
    if (in->cvode == NULL) {
        in->restart = true;
        ddt_status status = create_cvode(in);
        if (status != DDT_OK) {
            return status;
        }
    }
    if (in->restart && CVodeReInit(in->cvode, in->time_h, in->y) != CV_SUCCESS) {
        return DDT_ERR_MODEL;
    }
    /*
     * Equations that read the time since a dose start flat and rise later: a first step from the slope alone may jump
     * over that. Small steps grow tenfold, and so meet it.
     */
    const double first_step = 1e-6;
    double step_h = in->model->uses_dose_history ? fmin(first_step, 0.5 * (stop_h - in->time_h)) : 0.0;
    if (in->restart && CVodeSetInitStep(in->cvode, step_h) != CV_SUCCESS) {
        return DDT_ERR_MODEL;
    }
    in->restart = false;
    return CVodeSetStopTime(in->cvode, stop_h) == CV_SUCCESS ? DDT_OK : DDT_ERR_MODEL;
}

static ddt_status advance_cvode(ddt_integrator *in, double time_h, double stop_h, double *reached_h) {
    ddt_status status = prepare(in, stop_h);
    if (status != DDT_OK) {
        return status;
    }
    realtype reached = in->time_h;
    int code = CVode(in->cvode, time_h, in->y, &reached, CV_NORMAL);
    *reached_h = reached;
    return code < 0 ? DDT_ERR_MODEL : DDT_OK;
}

/* Whether the explicit method has come to time_h; where it gives up CVODE takes over for good. */
static bool advance_explicit(ddt_integrator *in, double time_h) {
    const ddt_tolerance tolerance = {in->relative, in->absolute, note_state};
    if (in->explicit_method == NULL || in->is_stiff) {
        return false;
    }
    note_state(in, in->state);
    in->is_stiff = !ddt_explicit_advance(in->explicit_method, &tolerance, in->restart, &in->time_h, time_h, in->state);
    in->restart = in->is_stiff;
    return !in->is_stiff;
}

ddt_status ddt_integrator_prefer_explicit(ddt_integrator *in) {
    if (in->count > 0 && in->explicit_method == NULL && !in->model->uses_dose_history) {
        in->explicit_method = ddt_explicit_create(in->count, explicit_slope, in);
        if (in->explicit_method == NULL) {
            return ddt_fail(in->ctx, DDT_ERR_MEMORY, "Memory is short for the reference solver.");
        }
    }
    return DDT_OK;
}

ddt_status ddt_integrator_advance(ddt_integrator *in, double time_h, double stop_h, double *reached_h) {
    *reached_h = in->time_h;
    if (in->count == 0 || time_h <= in->time_h || ddt_events_same_time(time_h, in->time_h)) {
        in->time_h = fmax(time_h, in->time_h);
        return DDT_OK;
    }
    set_ends(in, stop_h);
    if (in->restart) { /* symbols may have changed */
        ddt_expr_program_fix(in->program, in->symbols, in->fixed);
    }
    ddt_status status = advance_explicit(in, time_h) ? DDT_OK : advance_cvode(in, time_h, stop_h, reached_h);
    if (status != DDT_OK) {
        return status;
    }
    for (size_t i = 0; i < in->count; i++) {
        if (!isfinite(in->state[i])) {
            return DDT_ERR_MODEL;
        }
    }
    in->time_h = time_h;
    return DDT_OK;
}
