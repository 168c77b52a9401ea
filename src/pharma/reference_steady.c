/*
 * Steady states: the state that a regimen leads to when it has gone on for ever.
 *
 * A repeated dose has the fixed point of the map "state before one dose -> state before the next"; a constant infusion
 * the root of the right-hand side. Both are found by Newton's method with a Jacobian from differences: one step where
 * the model is linear, however slowly it accumulates, where repeating the dose would take hundreds of intervals.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "reference_private.h"

#include <math.h>
#include <string.h>

enum {
    WARM_UP = 4, /* doses given before Newton starts, to leave the initial state's neighbourhood */
    ROUNDS = 3,  /* of doses and Newton, with WARM_UP_GROWTH times more doses each time */
    WARM_UP_GROWTH = 8,
    NEWTON_MAX = 40,        /* Newton steps of a round */
    DOUBLINGS_MAX = 40,     /* of the time given to a constant infusion, from one time unit */
    INFUSIONS_MAX = 1000000 /* running at once at steady state */
};

/* A Newton step this small, relative to each state's size, is the last: what it leaves is smaller by the Jacobian's
 * relative error. */
static const double step_tolerance = 1e-6;
/* Differences for the Jacobian, relative to each state's size: well above the integration's error. */
static const double difference = 1e-3;
/*
 * A pivot below this part of the first is no more than the Jacobian's own error (that of the integration, or of
 * rounding): the direction has no restoring force. For a constant infusion pivots are rates, which may be far apart.
 */
static const double pivot_tolerance_doses = 1e-6;
static const double pivot_tolerance_infusion = 1e-11;
/* What may remain in a direction without restoring force (a compartment that nothing moves). */
static const double residual_tolerance = 1e-7;
/* What a Newton step leaves of a state that would become negative by more than rounding. */
static const double keep_fraction = 0.05;
static const double rounding = 1e-9;
/* A constant infusion's approach counts as over at this change per doubling of time: Newton does the rest. */
static const double settled = 1e-5;

typedef struct steady {
    const ddt_reference *r;
    const ddt_dose *dose;
    const ddt_given_dose *given;
    size_t n;
    double whole;  /* infusions that run over the entire interval */
    double rest_h; /* and the time for which one more runs after each dose */
    double *x, *fx, *trial, *sizes, *work, *start, *jacobian;
    size_t *column;
} steady;

static ddt_status fail_none(const steady *s) {
    return ddt_fail(s->r->ctx, DDT_ERR_MODEL,
                    "'%s', line %u: the model %s has no steady state under this dose for the subject %s.",
                    s->r->events->path, ddt_reference_subject(s->r)->records[s->dose->record].line, s->r->model->name,
                    ddt_reference_subject(s->r)->id);
}

/* ------------------------------------------------------------------ the map */

static void set_input(const steady *s, double infusions) {
    double *input = ddt_integrator_input(s->r->integrator);
    memset(input, 0, s->n * sizeof *input);
    input[s->dose->compartment] = infusions * s->given->rate;
}

static bool run(const steady *s, double from_h, double to_h, double infusions) {
    double reached_h = 0.0;
    set_input(s, infusions);
    ddt_integrator_restart(s->r->integrator, from_h);
    return ddt_reference_advance(s->r, to_h, to_h, &reached_h) == DDT_OK;
}

/* From just before a dose acts to `phase_h` after it; phase_h = II is just before the next. */
static bool follow(const steady *s, const double *from, double phase_h, double *to) {
    double *state = ddt_integrator_state(s->r->integrator);
    ddt_reference_note_dose(s->r, s->dose->compartment, 0.0, s->dose->amount);
    ddt_reference_set_breaks(s->r);
    memmove(state, from, s->n * sizeof *state);
    if (s->given->rate == 0.0) {
        state[s->dose->compartment] += s->given->amount;
    }
    double end_h = fmin(s->rest_h, phase_h);
    bool ok = run(s, 0.0, end_h, s->whole + 1.0) && run(s, end_h, phase_h, s->whole);
    memcpy(to, state, s->n * sizeof *to);
    return ok;
}

/* What must vanish: the change over one interval, or under a constant infusion the slope. */
static bool defect(const steady *s, const double *x, double *out) {
    if (s->given->is_constant) {
        set_input(s, 1.0);
        return ddt_integrator_slope(s->r->integrator, x, out);
    }
    if (!follow(s, x, s->dose->interval_h, out)) {
        return false;
    }
    for (size_t i = 0; i < s->n; i++) {
        out[i] -= x[i];
    }
    return true;
}

/* ------------------------------------------------------------------ Newton */

static void update_sizes(steady *s) {
    ddt_integrator_sizes(s->r->integrator, s->sizes, false);
    double largest = 0.0;
    for (size_t i = 0; i < s->n; i++) {
        largest = fmax(largest, s->sizes[i]);
    }
    for (size_t i = 0; i < s->n; i++) {
        /* A compartment that was never reached. */
        s->sizes[i] = s->sizes[i] > 0.0 ? s->sizes[i] : fmax(largest, 1.0);
    }
}

/* jacobian = d defect / d x in units of the sizes: entry (i, j) is for row i and column j. */
static bool find_jacobian(steady *s) {
    for (size_t j = 0; j < s->n; j++) {
        double delta = difference * s->sizes[j];
        memcpy(s->trial, s->x, s->n * sizeof *s->trial);
        s->trial[j] += delta;
        if (!defect(s, s->trial, s->work)) {
            return false;
        }
        for (size_t i = 0; i < s->n; i++) {
            s->jacobian[i * s->n + j] = (s->work[i] - s->fx[i]) / s->sizes[i] / difference;
        }
    }
    return true;
}

static void swap_entries(double *a, double *b) {
    double kept = *a;
    *a = *b;
    *b = kept;
}

/* Brings the largest entry of the lower right block to its corner. */
static double choose_pivot(steady *s, size_t k) {
    size_t best_row = k;
    size_t best_column = k;
    double best = -1.0;
    for (size_t i = k; i < s->n; i++) {
        for (size_t j = k; j < s->n; j++) {
            if (fabs(s->jacobian[i * s->n + j]) > best) {
                best = fabs(s->jacobian[i * s->n + j]);
                best_row = i;
                best_column = j;
            }
        }
    }
    for (size_t j = 0; j < s->n; j++) {
        swap_entries(&s->jacobian[k * s->n + j], &s->jacobian[best_row * s->n + j]);
    }
    for (size_t i = 0; i < s->n; i++) {
        swap_entries(&s->jacobian[i * s->n + k], &s->jacobian[i * s->n + best_column]);
    }
    swap_entries(&s->work[k], &s->work[best_row]);
    size_t kept = s->column[k];
    s->column[k] = s->column[best_column];
    s->column[best_column] = kept;
    return best;
}

/*
 * Solves jacobian * step = -defect by elimination with full pivoting; step (in s->trial) in units of the sizes. False
 * where a direction that the dose pushes has no restoring force: the state grows for ever.
 */
static bool solve_step(steady *s) {
    size_t n = s->n;
    size_t rank = 0;
    double first = 0.0;
    double pivot_tolerance = s->given->is_constant ? pivot_tolerance_infusion : pivot_tolerance_doses;
    for (size_t i = 0; i < n; i++) {
        s->work[i] = -s->fx[i] / s->sizes[i];
        s->column[i] = i;
    }
    for (; rank < n; rank++) {
        double pivot = choose_pivot(s, rank);
        first = rank == 0 ? pivot : first;
        if (!(pivot > pivot_tolerance * first)) {
            break;
        }
        for (size_t i = rank + 1; i < n; i++) {
            double factor = s->jacobian[i * n + rank] / s->jacobian[rank * n + rank];
            for (size_t j = rank; j < n; j++) {
                s->jacobian[i * n + j] -= factor * s->jacobian[rank * n + j];
            }
            s->work[i] -= factor * s->work[rank];
        }
    }
    for (size_t i = rank; i < n; i++) {
        if (!(fabs(s->work[i]) <= residual_tolerance * fmax(first, 1.0))) {
            return false;
        }
        s->work[i] = 0.0;
    }
    for (size_t i = rank; i-- > 0;) {
        for (size_t j = i + 1; j < rank; j++) {
            s->work[i] -= s->jacobian[i * n + j] * s->work[j];
        }
        s->work[i] /= s->jacobian[i * n + i];
    }
    for (size_t i = 0; i < n; i++) {
        s->trial[s->column[i]] = s->work[i];
    }
    return true;
}

/* The part of the step that leaves every state some of what it has: amounts do not become negative on the way. */
static double step_length(const steady *s) {
    double length = 1.0;
    for (size_t i = 0; i < s->n; i++) {
        double step = s->trial[i] * s->sizes[i];
        if (s->x[i] > 0.0 && s->x[i] + step < -rounding * s->sizes[i]) {
            length = fmin(length, (1.0 - keep_fraction) * s->x[i] / -step);
        }
    }
    return length;
}

/* Takes the step in s->trial; returns its size relative to the states' sizes. */
static double take_step(steady *s) {
    double length = step_length(s);
    double size = 0.0;
    for (size_t i = 0; i < s->n; i++) {
        size = fmax(size, fabs(s->trial[i]));
        s->x[i] += length * s->trial[i] * s->sizes[i];
    }
    return size;
}

/* The defect at x, and the sizes that the states have on its way (not those that they had on the way here). */
static bool measure(steady *s) {
    ddt_integrator_sizes(s->r->integrator, s->sizes, true);
    bool ok = defect(s, s->x, s->fx);
    update_sizes(s);
    return ok;
}

static bool newton(steady *s) {
    for (int i = 0; i < NEWTON_MAX; i++) {
        if (!measure(s) || !find_jacobian(s) || !solve_step(s)) {
            return false;
        }
        if (take_step(s) <= step_tolerance) {
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------ starting points */

static bool warm_up_doses(steady *s, int doses) {
    for (int i = 0; i < doses; i++) {
        if (!follow(s, s->x, s->dose->interval_h, s->x)) {
            return false;
        }
    }
    return true;
}

static bool warm_up_infusion(steady *s) {
    double *state = ddt_integrator_state(s->r->integrator);
    memcpy(state, s->x, s->n * sizeof *state);
    double from_h = 0.0;
    double to_h = 1.0;
    for (int i = 0; i < DOUBLINGS_MAX; i++) {
        if (!run(s, from_h, to_h, 1.0)) {
            return false;
        }
        double change = 0.0;
        update_sizes(s);
        for (size_t j = 0; j < s->n; j++) {
            change = fmax(change, fabs(state[j] - s->x[j]) / s->sizes[j]);
        }
        memcpy(s->x, state, s->n * sizeof *state);
        /* One time unit may be short: a few doublings at least. */
        if (i >= WARM_UP && change <= settled) {
            return true;
        }
        from_h = to_h;
        to_h *= 2.0;
    }
    return false;
}

/* Newton's differences want more than a loose tolerance of the whole solution. */
static double tolerance_of(const steady *s) {
    const double loosest = 1e-8;
    return s->r->rtol > 0.0 ? fmin(s->r->rtol, loosest) : ddt_reference_rtol;
}

/* Doses, then Newton; where that does not converge, many more doses first. */
static ddt_status search(steady *s) {
    int doses = WARM_UP;
    for (int round = 0; round < ROUNDS; round++, doses *= WARM_UP_GROWTH) {
        bool near = s->given->is_constant ? warm_up_infusion(s) : warm_up_doses(s, doses);
        if (!near || !measure(s)) {
            break;
        }
        ddt_status status =
            ddt_integrator_set_tolerance(s->r->integrator, tolerance_of(s), ddt_reference_atol_fraction, s->sizes);
        if (status != DDT_OK) {
            return status;
        }
        memcpy(s->start, s->x, s->n * sizeof *s->start);
        if (newton(s)) {
            return DDT_OK;
        }
        memcpy(s->x, s->start, s->n * sizeof *s->x);
    }
    return fail_none(s);
}

/* ------------------------------------------------------------------ conditions */

static bool is_kind(const steady *s, ddt_expr e, ddt_symbol_kind kind) {
    const ddt_expr_node *node = e == DDT_EXPR_NONE ? NULL : ddt_expr_get(s->r->model->pool, e);
    return node != NULL && node->op == DDT_EXPR_SYMBOL && s->r->model->symbols[node->symbol].kind == kind;
}

/* The time since the last dose of this regimen: the one form of time that comes back with every interval. */
static bool is_time_since_dose(const steady *s, const ddt_expr_node *node) {
    if (s->given->is_constant || node->op != DDT_EXPR_SUB || !is_kind(s, node->a, DDT_SYMBOL_TIME) ||
        !is_kind(s, node->b, DDT_SYMBOL_LAST_DOSE_TIME)) {
        return false;
    }
    uint32_t compartment = s->r->model->symbols[ddt_expr_get(s->r->model->pool, node->b)->symbol].compartment;
    return compartment == s->dose->compartment || compartment == UINT32_MAX;
}

/* Whether an equation sees any other time. */
static ddt_status find_time(const steady *s, ddt_expr e, bool *found) {
    ddt_expr *order = NULL;
    size_t count = 0;
    *found = is_kind(s, e, DDT_SYMBOL_TIME) || is_kind(s, e, DDT_SYMBOL_LAST_DOSE_TIME);
    ddt_status status = ddt_expr_topological(s->r->ctx, s->r->model->pool, &e, 1, &order, &count);
    for (size_t i = 0; status == DDT_OK && i < count; i++) {
        const ddt_expr_node *node = ddt_expr_get(s->r->model->pool, order[i]);
        const ddt_expr operands[] = {node->a, node->b, node->c};
        for (size_t k = 0; k < sizeof operands / sizeof *operands; k++) {
            bool is_time =
                is_kind(s, operands[k], DDT_SYMBOL_TIME) || is_kind(s, operands[k], DDT_SYMBOL_LAST_DOSE_TIME);
            *found = *found || (is_time && !is_time_since_dose(s, node));
        }
    }
    ddt_free(order);
    return status;
}

static ddt_status check_autonomous(const steady *s) {
    const ddt_model *model = s->r->model;
    for (size_t i = 0; i < s->n; i++) {
        bool found = false;
        ddt_status status = model->compartments[i].derivative == DDT_EXPR_NONE
                                ? DDT_OK
                                : find_time(s, model->compartments[i].derivative, &found);
        if (status == DDT_OK && found) {
            status = ddt_fail(s->r->ctx, DDT_ERR_UNSUPPORTED,
                              "'%s', line %u: the equation of %s depends on time; a steady state is not defined.",
                              s->r->events->path, ddt_reference_subject(s->r)->records[s->dose->record].line,
                              model->compartments[i].name);
        }
        if (status != DDT_OK) {
            return status;
        }
    }
    return DDT_OK;
}

/* SS 2 adds two states: that is the state under both regimens only where nothing but doses fills the compartments. */
static ddt_status check_additive(const steady *s) {
    memset(s->x, 0, s->n * sizeof *s->x);
    set_input(s, 0.0);
    bool is_finite = ddt_integrator_slope(s->r->integrator, s->x, s->fx);
    for (size_t i = 0; i < s->n; i++) {
        if (!is_finite || s->fx[i] != 0.0) {
            return ddt_fail(s->r->ctx, DDT_ERR_UNSUPPORTED,
                            "'%s', line %u: SS 2 adds amounts, but %s changes without any dose; use SS 1.",
                            s->r->events->path, ddt_reference_subject(s->r)->records[s->dose->record].line,
                            s->r->model->compartments[i].name);
        }
    }
    return DDT_OK;
}

static ddt_status set_overlap(steady *s) {
    s->whole = 0.0;
    s->rest_h = 0.0;
    if (s->given->rate == 0.0 || s->given->is_constant) {
        return DDT_OK;
    }
    double ratio = s->given->duration_h / s->dose->interval_h;
    if (ratio > INFUSIONS_MAX) {
        return ddt_fail(s->r->ctx, DDT_ERR_CAPACITY,
                        "'%s', line %u: more than %d infusions run at once at steady state.", s->r->events->path,
                        ddt_reference_subject(s->r)->records[s->dose->record].line, INFUSIONS_MAX);
    }
    /* An infusion as long as the interval but for rounding ends when the next begins. */
    s->whole = ddt_events_same_time(ratio, round(ratio)) ? round(ratio) : floor(ratio);
    s->rest_h = fmax(0.0, s->given->duration_h - s->whole * s->dose->interval_h);
    return DDT_OK;
}

static ddt_status find(steady *s, double *out) {
    ddt_status status = check_autonomous(s);
    if (status == DDT_OK) {
        status = set_overlap(s);
    }
    ddt_reference_forget_doses(s->r, 0.0);
    ddt_reference_set_symbols(s->r, s->dose->covariate_record);
    ddt_reference_set_breaks(s->r);
    if (status == DDT_OK) {
        status = s->dose->steady_state == 1 ? ddt_reference_initial(s->r, s->x) : check_additive(s);
    }
    if (status != DDT_OK) {
        return status;
    }
    ddt_integrator_sizes(s->r->integrator, s->sizes, true);
    memcpy(s->sizes, s->x, s->n * sizeof *s->sizes);
    s->sizes[s->dose->compartment] += s->given->amount + s->given->rate * s->dose->interval_h;
    /* First with a tolerance that any state's size allows, then with its own. */
    const double first_fraction = 1e-14;
    status = ddt_integrator_set_tolerance(s->r->integrator, tolerance_of(s), first_fraction, s->sizes);
    if (status == DDT_OK) {
        status = search(s);
    }
    if (status != DDT_OK) {
        return status;
    }
    /* With a lag the record stands at phase II - lag after the last dose that acted. */
    if (s->given->is_constant || s->given->lag_h == 0.0) {
        memcpy(out, s->x, s->n * sizeof *out);
        return DDT_OK;
    }
    return follow(s, s->x, s->dose->interval_h - s->given->lag_h, out) ? DDT_OK : fail_none(s);
}

static ddt_status allocate(steady *s) {
    const size_t vectors = 6;
    double *block = ddt_alloc(s->n * (s->n + vectors), sizeof *block);
    s->column = ddt_alloc(s->n, sizeof *s->column);
    s->x = block;
    if (block == NULL || s->column == NULL) {
        return ddt_fail(s->r->ctx, DDT_ERR_MEMORY, "Memory is short for a steady state.");
    }
    s->fx = block + s->n;
    s->trial = s->fx + s->n;
    s->sizes = s->trial + s->n;
    s->work = s->sizes + s->n;
    s->start = s->work + s->n;
    s->jacobian = s->start + s->n;
    return DDT_OK;
}

ddt_status ddt_reference_prepare_steady(const ddt_reference *r) {
    steady s = {.r = r, .n = r->model->compartment_count};
    ddt_status status = allocate(&s);
    for (size_t d = 0; d < r->schedule.dose_count && status == DDT_OK; d++) {
        s.dose = &r->schedule.doses[d];
        s.given = &r->doses[d];
        if (s.dose->steady_state != 0) {
            status = find(&s, r->steady + d * s.n);
        }
    }
    double *input = ddt_integrator_input(r->integrator);
    memset(input, 0, s.n * sizeof *input);
    ddt_free(s.x);
    ddt_free(s.column);
    return status;
}
