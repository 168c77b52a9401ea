/*
 * The pair of orders 5 and 4 of Dormand and Prince (J Comput Appl Math 1980;6:19), by SUNDIALS ARKODE's ERKStep, for
 * equations that are not stiff, where it needs a third of CVODE's time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "reference_private.h"

#include <arkode/arkode_erkstep.h>
#include <nvector/nvector_serial.h>
#include <string.h>

enum { STEPS_MAX = 1000 /* between two jumps: where more are wanted CVODE is faster */ };

struct ddt_explicit {
    size_t count;
    ddt_slope_fn slope;
    void *user;
    SUNContext sunctx;
    void *erk;
    N_Vector y; /* stages are computed here, too: the state only after a step that succeeds */
    N_Vector absolute;
    size_t step_count;
};

static int right_hand_side(realtype t, N_Vector y, N_Vector ydot, void *user) {
    const ddt_explicit *e = user;
    return e->slope(e->user, t, NV_DATA_S(y), NV_DATA_S(ydot)) ? 0 : 1; /* 1: ERKStep fails */
}

static bool create_vectors(ddt_explicit *e) {
    if (SUNContext_Create(NULL, &e->sunctx) != 0) {
        return false;
    }
    e->y = N_VNew_Serial((sunindextype)e->count, e->sunctx);
    /* All slopes of a stage in one call, in ERKStep's own vectors as well: it clones this one. */
    if (e->y == NULL || N_VEnableLinearCombination_Serial(e->y, SUNTRUE) != 0) {
        return false;
    }
    N_VConst(0.0, e->y);
    e->absolute = N_VClone(e->y);
    return e->absolute != NULL;
}

/*
 * The next step by the last one's error alone, as is usual with this pair: a third fewer steps than with ERKStep's
 * cautious defaults. Nothing is interpolated, but the state at the end is asked of the interpolation, which would
 * evaluate the equations from degree 4 on.
 */
static bool configure(ddt_explicit *e) {
    const double safety = 0.9;
    const int by_own_defaults = 1;
    const int by_order_5 = 1;
    return ERKStepSetErrHandlerFn(e->erk, ddt_integrator_stay_silent, NULL) == ARK_SUCCESS &&
           ERKStepSetUserData(e->erk, e) == ARK_SUCCESS &&
           ERKStepSetTableNum(e->erk, ARKODE_DORMAND_PRINCE_7_4_5) == ARK_SUCCESS &&
           ERKStepSetInterpolantDegree(e->erk, 1) == ARK_SUCCESS &&
           ERKStepSetAdaptivityMethod(e->erk, ARK_ADAPT_I, by_own_defaults, by_order_5, NULL) == ARK_SUCCESS &&
           ERKStepSetSafetyFactor(e->erk, safety) == ARK_SUCCESS && ERKStepSetErrorBias(e->erk, 1.0) == ARK_SUCCESS &&
           ERKStepSetFixedStepBounds(e->erk, 1.0, 1.0) == ARK_SUCCESS;
}

ddt_explicit *ddt_explicit_create(size_t count, ddt_slope_fn slope, void *user) {
    ddt_explicit *e = ddt_calloc(1, sizeof *e);
    if (e == NULL) {
        return NULL;
    }
    *e = (ddt_explicit){.count = count, .slope = slope, .user = user};
    if (create_vectors(e)) {
        e->erk = ERKStepCreate(right_hand_side, 0.0, e->y, e->sunctx);
    }
    if (e->erk == NULL || !configure(e)) {
        ddt_explicit_destroy(e);
        return NULL;
    }
    return e;
}

void ddt_explicit_destroy(ddt_explicit *e) {
    if (e == NULL) {
        return;
    }
    if (e->erk != NULL) {
        ERKStepFree(&e->erk);
    }
    if (e->y != NULL) {
        N_VDestroy(e->y);
    }
    if (e->absolute != NULL) {
        N_VDestroy(e->absolute);
    }
    if (e->sunctx != NULL) {
        (void)SUNContext_Free(&e->sunctx);
    }
    ddt_free(e);
}

/* The length of the first step is estimated anew: after a jump the last one may be far too long. */
static bool start(ddt_explicit *e, const ddt_tolerance *to, double time_h, const double *state) {
    e->step_count = 0;
    memcpy(NV_DATA_S(e->y), state, e->count * sizeof *state);
    memcpy(NV_DATA_S(e->absolute), to->absolute, e->count * sizeof *to->absolute);
    return ERKStepReset(e->erk, time_h, e->y) == ARK_SUCCESS && ERKStepSetInitStep(e->erk, 0.0) == ARK_SUCCESS &&
           ERKStepSVtolerances(e->erk, to->relative, e->absolute) == ARK_SUCCESS;
}

bool ddt_explicit_advance(ddt_explicit *e, const ddt_tolerance *to, bool starts, double *time_h, double end_h,
                          double *state) {
    if ((starts && !start(e, to, *time_h, state)) || ERKStepSetStopTime(e->erk, end_h) != ARK_SUCCESS) {
        return false;
    }
    while (*time_h < end_h) {
        realtype reached = *time_h; /* where a step fails: not the time of the one before */
        if (++e->step_count > STEPS_MAX || ERKStepEvolve(e->erk, end_h, e->y, &reached, ARK_ONE_STEP) < 0) {
            return false;
        }
        *time_h = reached;
        memcpy(state, NV_DATA_S(e->y), e->count * sizeof *state);
        to->note(e->user, state);
    }
    return true;
}
