/*
 * What happened, as inputs of the circuit: for each support point the affine map of its amounts, the prediction of the
 * level, and the level's root. SPDX-License-Identifier: Apache-2.0
 */
#include "update_internal.h"

#include <string.h>

typedef struct stepper {
    ddt_context *ctx;
    const ddt_update *u;
    const ddt_model *model;
    const ddt_events *events;
    size_t subject;
    const update_timeline *timeline;
    const fit_residual *residuals;
    const update_level *levels; /* a level each */
    const uint32_t *level_outputs;
    update_walk walk;
    ddt_update_steps *out;
} stepper;

/* Whose etas a walk has. */
typedef struct own_point {
    const ddt_update *u;
    size_t point;
} own_point;

static void set_point(const void *user, double *symbols) {
    const own_point *own = user;
    update_set_etas(own->u, own->point, symbols);
}

static double *step_input(const stepper *s, size_t step, size_t input) {
    return s->out->inputs[step * s->out->input_count + input];
}

/* ------------------------------------------------------------------ one step of one point */

static void put_map(const stepper *s, size_t step, size_t j) {
    const ddt_update *u = s->u;
    const size_t n = u->states;
    for (size_t r = 0; r < n; r++) {
        double own = u->scale[r * u->points + j];
        for (size_t k = 0; k < n; k++) {
            step_input(s, step, update_column(k))[r * u->points + j] =
                s->walk.e[r * n + k] * u->scale[k * u->points + j] / own;
        }
        step_input(s, step, update_shift(u))[r * u->points + j] = s->walk.s[r] / own;
    }
}

/* The prediction from the amounts before, in [-1, 1], and the level's root. */
static void put_level(const stepper *s, size_t step, size_t level, size_t j) {
    const ddt_update *u = s->u;
    const size_t n = u->states;
    const uint32_t o = s->level_outputs[level];
    const double *gain = s->walk.numbers.gain + o * n;
    const double reach = u->reach[o * u->points + j];
    double shift = s->walk.numbers.offset[o];
    for (size_t k = 0; k < n; k++) {
        double row = 0.0;
        for (size_t i = 0; i < n; i++) {
            row += gain[i] * s->walk.e[i * n + k];
        }
        shift += gain[k] * s->walk.s[k];
        step_input(s, step, update_gain(u))[k * u->points + j] = 2.0 * row * u->scale[k * u->points + j] / reach;
    }
    update_root p;
    update_root_of(u, &s->levels[level], reach, &p);
    /* in one row: the sum over rows takes it once */
    double *offset = update_has_spare(u) ? step_input(s, step, update_gain(u)) + (n + 1) * u->points
                                         : step_input(s, step, update_offset(u));
    offset[j] = 2.0 * shift / reach - 1.0;
    double *root = step_input(s, step, update_root_input(u));
    for (size_t k = 0; k < UPDATE_COEFFICIENTS; k++) {
        root[update_coefficient_slot(u, k, j)] = p.c[k] / sqrt(u->log_scale);
    }
}

static void put_keep(const stepper *s, size_t step, bool has_level, double span_h) {
    const ddt_update *u = s->u;
    double keep = has_level ? 1.0 - 1.0 / u->memory : 1.0;
    keep *= u->half_life_h > 0.0 ? exp2(-span_h / u->half_life_h) : 1.0;
    for (size_t j = 0; j < u->points; j++) {
        step_input(s, step, update_column(0))[u->states * u->points + j] = keep;
    }
}

/* A point along the timeline; for the first one the factors that do not depend on points are put down too. */
static void walk_point(stepper *s, size_t j) {
    const own_point own = {s->u, j};
    size_t step = 0;
    double last_h = s->timeline->from_h;
    bool is_open = false;
    update_walk_start(&s->walk);
    for (size_t a = 0; a < s->timeline->count; a++) {
        const update_act *act = &s->timeline->acts[a];
        if (act->kind == UPDATE_LOOK) {
            continue;
        }
        update_walk_act(&s->walk, s->model, s->events, s->subject, act, set_point, &own);
        is_open = true;
        if (act->kind == UPDATE_LEVEL) {
            put_map(s, step, j);
            put_level(s, step, step, j);
            if (j == 0) {
                put_keep(s, step, true, act->time_h - last_h);
            }
            last_h = act->time_h;
            step++;
            is_open = false;
            update_walk_start(&s->walk);
        }
    }
    if (is_open) {
        put_map(s, step, j);
        if (j == 0) {
            put_keep(s, step, false, s->timeline->to_h - last_h);
        }
    }
}

/* ------------------------------------------------------------------ a table */

static bool ends_open(const update_timeline *t) {
    bool is_open = false;
    for (size_t a = 0; a < t->count; a++) {
        is_open = t->acts[a].kind == UPDATE_LEVEL ? false : is_open || t->acts[a].kind != UPDATE_LOOK;
    }
    return is_open;
}

static ddt_status allocate_steps(stepper *s) {
    ddt_update_steps *out = s->out;
    out->input_count = ddt_update_input_count(s->u);
    out->block = ddt_update_block(s->u);
    size_t count = s->timeline->level_count + ends_open(s->timeline);
    const ddt_subject *subject = &s->events->subjects[s->subject];
    if (count == 0) {
        return ddt_fail(s->ctx, DDT_ERR_DATA,
                        "'%s': nothing has happened to %s since the twin's clock: no time has gone by, and there is "
                        "neither a dose nor a level.",
                        s->events->path, subject->id);
    }
    if (count > DDT_UPDATE_STEPS_MAX) {
        return ddt_fail(s->ctx, DDT_ERR_CAPACITY, "'%s': %s has more than %d levels; cut the table into several.",
                        s->events->path, subject->id, DDT_UPDATE_STEPS_MAX);
    }
    out->inputs = ddt_calloc(count * out->input_count, sizeof *out->inputs);
    if (out->inputs == NULL) {
        return solve_no_memory(s->ctx);
    }
    out->count = count;
    out->rests = ends_open(s->timeline);
    for (size_t i = 0; i < count * out->input_count; i++) {
        out->inputs[i] = i % out->input_count == 0 ? NULL : ddt_calloc(out->block, sizeof **out->inputs);
        if (i % out->input_count != 0 && out->inputs[i] == NULL) {
            return solve_no_memory(s->ctx);
        }
    }
    return DDT_OK;
}

static double largest_reach(const ddt_update *u, uint32_t output) {
    double most = 0.0;
    for (size_t j = 0; j < u->points; j++) {
        most = fmax(most, u->reach[output * u->points + j]);
    }
    return most;
}

/* Where errors are only relative a level below a limit says next to nothing below it and much above: too sharp a bend
 * for a step. */
static ddt_status check_limit(const stepper *s, const ddt_record *record, const update_level *level, double highest) {
    const double error_max = 0.33; /* of the log likelihood */
    update_root root;
    update_root_of(s->u, level, highest, &root);
    const double error = update_root_error(s->u, level, highest, &root);
    return error <= error_max
               ? DDT_OK
               : ddt_fail(
                     s->ctx, DDT_ERR_UNSUPPORTED,
                     "'%s', line %u: with this residual error an update describes a level below the limit %.6g "
                     "only to within %.2g of its log likelihood, where %.2g is asked for; leave it out, or fit all "
                     "levels at once.",
                     s->events->path, record->line, level->value.y, error, error_max);
}

/* One level's output and objective. */
static ddt_status prepare_level(const stepper *s, const fit_residual *residuals, const ddt_record *record,
                                update_level *level, uint32_t *output) {
    fit_level_value value;
    SOLVE_TRY(fit_output_of(s->ctx, s->model, s->events, record, output));
    const fit_residual *r = &residuals[*output];
    const double highest = largest_reach(s->u, *output);
    SOLVE_TRY(fit_level_of(s->ctx, s->events, record, r, &value));
    const bool is_above_0 = fit_is_relative(r) || value.is_censored;
    if (!(record->dv <= highest) || record->dv < 0.0 || (is_above_0 && !(record->dv > 0.0))) {
        return ddt_fail(s->ctx, DDT_ERR_RANGE,
                        "'%s', line %u: %s is %.6g; the doses that the plan was made for reach levels from %s to %.6g.",
                        s->events->path, record->line, value.is_censored ? "the limit of quantification" : "DV",
                        record->dv, is_above_0 ? "just above 0" : "0", highest);
    }
    update_level_of(&value, highest, level);
    return value.is_censored ? check_limit(s, record, level, highest) : DDT_OK;
}

/* Residual errors of all outputs, each level's output and objective. */
static ddt_status prepare_levels(stepper *s, fit_residual *residuals, update_level *levels, uint32_t *outputs) {
    const ddt_subject *subject = &s->events->subjects[s->subject];
    size_t next = 0;
    for (size_t o = 0; o < s->model->output_count; o++) {
        SOLVE_TRY(fit_residual_of(s->ctx, s->model, &s->model->outputs[o], &residuals[o]));
    }
    for (size_t a = 0; a < s->timeline->count; a++) {
        const update_act *act = &s->timeline->acts[a];
        if (act->kind != UPDATE_LEVEL) {
            continue;
        }
        SOLVE_TRY(prepare_level(s, residuals, &subject->records[act->record], &levels[next], &outputs[next]));
        next++;
    }
    return DDT_OK;
}

/* What a step may at most take from a point: inputs beyond it would leave the range in which a twin is refreshed. */
static ddt_status check_penalties(const stepper *s) {
    const ddt_update *u = s->u;
    for (size_t step = 0; step < s->timeline->level_count; step++) {
        for (size_t j = 0; j < u->points; j++) {
            const update_root p = update_root_at(u, step_input(s, step, update_root_input(u)), j);
            double most = update_root_most(&p) * u->log_scale;
            if (u->penalty_max > 0.0 && !(most <= u->penalty_max)) {
                return ddt_fail(
                    s->ctx, DDT_ERR_RANGE,
                    "'%s': level %zu of %s is further from what the model can explain than the plan allows.",
                    s->events->path, step + 1, s->events->subjects[s->subject].id);
            }
        }
    }
    return DDT_OK;
}

static ddt_status fill_steps(stepper *s, const update_system *system) {
    SOLVE_TRY(allocate_steps(s));
    SOLVE_TRY(update_walk_create(s->ctx, system, s->model, &s->walk));
    ddt_status status = DDT_OK;
    for (size_t j = 0; j < s->u->points && status == DDT_OK; j++) {
        walk_point(s, j);
        status = j % UPDATE_POINTS_MIN == 0 ? ddt_progress(s->ctx, "steps", j, s->u->points) : DDT_OK;
    }
    update_walk_destroy(&s->walk);
    return status == DDT_OK ? check_penalties(s) : status;
}

static ddt_status fill_with(stepper *s, const update_system *system) {
    const size_t levels = s->timeline->level_count;
    fit_residual *residuals = ddt_calloc(s->model->output_count, sizeof *residuals);
    update_level *objectives = ddt_calloc(levels, sizeof *objectives);
    uint32_t *outputs = ddt_calloc(levels, sizeof *outputs);
    ddt_status status = residuals == NULL || objectives == NULL || outputs == NULL
                            ? solve_no_memory(s->ctx)
                            : prepare_levels(s, residuals, objectives, outputs);
    s->residuals = residuals;
    s->levels = objectives;
    s->level_outputs = outputs;
    if (status == DDT_OK) {
        status = fill_steps(s, system);
    }
    ddt_free(residuals);
    ddt_free(objectives);
    ddt_free(outputs);
    return status;
}

ddt_status ddt_update_fill(ddt_context *ctx, const ddt_update *update, const ddt_model *model, const ddt_events *events,
                           size_t subject, double since_h, ddt_update_steps *out) {
    update_system system = {0};
    update_timeline timeline = {0};
    stepper s = {.ctx = ctx,
                 .u = update,
                 .model = model,
                 .events = events,
                 .subject = subject,
                 .timeline = &timeline,
                 .out = out};
    *out = (ddt_update_steps){0};
    ddt_status status = update_timeline_open(ctx, update, model, events, subject, since_h, &system, &timeline);
    if (status == DDT_OK) {
        out->from_h = timeline.from_h;
        out->to_h = timeline.to_h;
        status = fill_with(&s, &system);
    }
    update_timeline_destroy(&timeline);
    update_system_destroy(&system);
    if (status != DDT_OK) {
        ddt_update_steps_destroy(out);
    }
    return status;
}

bool ddt_update_is_of_level(const ddt_update *update, size_t input) { return input >= update_gain(update); }

/* Values of patients: wiped. */
void ddt_update_steps_destroy(ddt_update_steps *steps) {
    for (size_t i = 0; steps->inputs != NULL && i < steps->count * steps->input_count; i++) {
        if (steps->inputs[i] != NULL) {
            memset(steps->inputs[i], 0, steps->block * sizeof **steps->inputs);
        }
        ddt_free(steps->inputs[i]);
    }
    ddt_free(steps->inputs);
    *steps = (ddt_update_steps){0};
}
