/*
 * The pair of orders 5 and 4 of Dormand and Prince (J Comput Appl Math 1980;6:19) for equations that are not stiff,
 * where it needs a tenth of CVODE's time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "reference_private.h"

#include <math.h>
#include <string.h>

enum {
    STAGES = 7,
    STEPS_MAX = 1000 /* between two jumps: where more are wanted CVODE is faster */
};

struct ddt_explicit {
    size_t count;
    ddt_slope_fn slope;
    void *user;
    double *stages; /* STAGES x count: slopes; the last of a step is the first of the next */
    double *trial;
    double step_h; /* the next one, as errors would have it */
    size_t step_count;
};

static const double nodes[STAGES] = {0.0, 1.0 / 5, 3.0 / 10, 4.0 / 5, 8.0 / 9, 1.0, 1.0};

/* The last row is the solution of order 5 as well. */
static const double weights[STAGES][STAGES - 1] = {
    {0.0},
    {1.0 / 5},
    {3.0 / 40, 9.0 / 40},
    {44.0 / 45, -56.0 / 15, 32.0 / 9},
    {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
    {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
    {35.0 / 384, 0.0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84},
};

/* Order 5 minus order 4. */
static const double difference[STAGES] = {71.0 / 57600,      0.0,        -71.0 / 16695, 71.0 / 1920,
                                          -17253.0 / 339200, 22.0 / 525, -1.0 / 40};

ddt_explicit *ddt_explicit_create(size_t count, ddt_slope_fn slope, void *user) {
    ddt_explicit *e = ddt_calloc(1, sizeof *e);
    if (e == NULL) {
        return NULL;
    }
    *e = (ddt_explicit){.count = count, .slope = slope, .user = user};
    e->stages = ddt_calloc((STAGES + 1) * count, sizeof *e->stages);
    if (e->stages == NULL) {
        ddt_free(e);
        return NULL;
    }
    e->trial = e->stages + STAGES * count;
    return e;
}

void ddt_explicit_destroy(ddt_explicit *e) {
    if (e != NULL) {
        ddt_free(e->stages);
        ddt_free(e);
    }
}

static double norm(const ddt_explicit *e, const ddt_tolerance *to, const double *state, const double *x) {
    double sum = 0.0;
    for (size_t i = 0; i < e->count; i++) {
        double part = x[i] / (to->absolute[i] + to->relative * fabs(state[i]));
        sum += part * part;
    }
    return sqrt(sum / (double)e->count);
}

/* A first step that changes the state by a small part of itself. */
static void first_step(ddt_explicit *e, const ddt_tolerance *to, const double *state, double span_h) {
    const double part = 0.01;
    const double least = 1e-6;
    double size = norm(e, to, state, state);
    double slope = norm(e, to, state, e->stages);
    e->step_h = slope > 0.0 ? part * fmax(size, 1.0) / slope : span_h;
    e->step_h = fmin(fmax(e->step_h, least * span_h), span_h);
}

/* The state after a step, in e->trial; false where the equations are not defined on the way. */
static bool try_step(ddt_explicit *e, double time_h, double step_h, const double *state) {
    for (size_t s = 1; s < STAGES; s++) {
        for (size_t i = 0; i < e->count; i++) {
            double sum = 0.0;
            for (size_t j = 0; j < s; j++) {
                sum += weights[s][j] * e->stages[j * e->count + i];
            }
            e->trial[i] = state[i] + step_h * sum;
        }
        if (!e->slope(e->user, time_h + nodes[s] * step_h, e->trial, e->stages + s * e->count)) {
            return false;
        }
    }
    return true;
}

static double error_of(const ddt_explicit *e, const ddt_tolerance *to, double step_h, const double *state) {
    double sum = 0.0;
    for (size_t i = 0; i < e->count; i++) {
        double own = 0.0;
        for (size_t s = 0; s < STAGES; s++) {
            own += difference[s] * e->stages[s * e->count + i];
        }
        own *= step_h / (to->absolute[i] + to->relative * fmax(fabs(state[i]), fabs(e->trial[i])));
        sum += own * own;
    }
    return sqrt(sum / (double)e->count);
}

/* How much longer the next step may be. */
static double growth(double error) {
    const double safety = 0.9;
    const double least = 0.2;
    const double most = 5.0;
    const double order = 5.0;
    return fmin(fmax(safety * pow(fmax(error, 1e-10), -1.0 / order), least), most);
}

bool ddt_explicit_advance(ddt_explicit *e, const ddt_tolerance *to, bool starts, double *time_h, double end_h,
                          double *state) {
    if (starts) {
        e->step_count = 0;
        if (!e->slope(e->user, *time_h, state, e->stages)) {
            return false;
        }
        first_step(e, to, state, end_h - *time_h);
    }
    while (*time_h < end_h) {
        bool is_last = *time_h + e->step_h >= end_h;
        double step_h = is_last ? end_h - *time_h : e->step_h;
        if (++e->step_count > STEPS_MAX || !(*time_h + 0.5 * step_h > *time_h)) {
            return false;
        }
        double error = try_step(e, *time_h, step_h, state) ? error_of(e, to, step_h, state) : INFINITY;
        double factor = isfinite(error) ? growth(error) : growth(INFINITY);
        if (!(error <= 1.0)) {
            e->step_h = factor * step_h;
            continue;
        }
        e->step_h = is_last ? fmax(e->step_h, factor * step_h) : factor * step_h;
        *time_h = is_last ? end_h : *time_h + step_h;
        memcpy(state, e->trial, e->count * sizeof *state);
        memcpy(e->stages, e->stages + (STAGES - 1) * e->count, e->count * sizeof *e->stages);
        to->note(e->user, state);
    }
    return true;
}
