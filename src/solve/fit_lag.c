/*
 * Lags and durations that depend on etas, in a fit: when a dose starts and stops acting is part of what is estimated.
 * The circuit computes the times that the superposition wants in every slot and copy,
 *
 *   D' = r (elapsed - lag) + e D      under the infusion
 *   t2 = e (elapsed - lag - D)        after it, or after a bolus (D = 0)
 *
 * with r = 1 where the dose is running and e = 1 where it has ended: two encrypted bits of each slot that the custodian
 * makes from the first guess, so that no polynomial has to follow the kinks.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_internal.h"

#include <string.h>

enum { LAG, DURATION, PARTS }; /* of a dosing: work->extra_terms */

static ddt_status refuse(const solve_work *work, const char *what) {
    return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                    "'%s': when doses act depends on encrypted values, which a fit takes only without %s.",
                    work->model->path, what);
}

static bool has_private_f(const solve_work *work, const solve_dosing *d) {
    return !ddt_expr_is_const(work->pool, work->linear.bioavailability[d->compartment], NULL);
}

/* The duration is RATE's, times an encrypted bioavailability. */
static bool is_stretched(const solve_work *work, const solve_dosing *d) {
    return d->giving == SOLVE_GIVING_RATE && has_private_f(work, d);
}

/* What a dosing's times are made of, where it is encrypted; DDT_EXPR_NONE where public. */
static ddt_expr private_part(const solve_work *work, const solve_dosing *d, size_t part) {
    const solve_linear *linear = &work->linear;
    if (part == LAG) {
        return isnan(linear->lag_h[d->compartment]) ? linear->lag[d->compartment] : DDT_EXPR_NONE;
    }
    if (is_stretched(work, d)) {
        return linear->bioavailability[d->compartment];
    }
    bool is_private = d->giving == SOLVE_GIVING_MODELLED_DURATION && isnan(linear->modelled_duration_h[d->compartment]);
    return is_private ? linear->duration[d->compartment] : DDT_EXPR_NONE;
}

static ddt_status expand_dosing(solve_work *work, size_t d) {
    const solve_dosing *dosing = &work->dosings[d];
    if (dosing->is_infusion && dosing->giving != SOLVE_GIVING_RATE &&
        dosing->giving != SOLVE_GIVING_MODELLED_DURATION) {
        return refuse(work, "modelled rates (RATE -1) and constant infusions");
    }
    for (size_t part = 0; part < PARTS; part++) {
        ddt_expr e = private_part(work, dosing, part);
        SOLVE_TRY(e == DDT_EXPR_NONE ? DDT_OK : solve_expand(work, e, &work->extra_terms[PARTS * d + part]));
    }
    return DDT_OK;
}

/* Before symbols are encoded: what lags and durations read is encoded, too. */
ddt_status fit_lag_expand(solve_work *work) {
    work->extra_count = PARTS * work->dosing_count;
    work->extra_terms = solve_alloc(work, work->extra_count, sizeof *work->extra_terms);
    if (work->extra_terms == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t d = 0; d < work->dosing_count; d++) {
        SOLVE_TRY(expand_dosing(work, d));
    }
    return work->solution->layout.segments > 1 ? refuse(work, "covariates in rates that change with time") : DDT_OK;
}

/* ------------------------------------------------------------------ public times of slots */

/* A dose's duration where it is public, or what its bioavailability stretches. */
static double public_duration_h(const solve_work *work, const solve_lane *lane, const solve_lane_source *source) {
    if (source->input == SOLVE_NONE) {
        return 0.0;
    }
    const solve_dosing *d = &work->dosings[source->input];
    double f = 1.0;
    if (d->giving == SOLVE_GIVING_RATE) {
        bool is_public = ddt_expr_is_const(work->pool, work->linear.bioavailability[d->compartment], &f);
        return (is_public ? f : 1.0) *
               work->solution->layout.subjects[lane->subject].records[source->record].duration_h;
    }
    return private_part(work, d, DURATION) == DDT_EXPR_NONE ? work->linear.modelled_duration_h[d->compartment] : 0.0;
}

static double public_lag_h(const solve_work *work, const solve_lane_source *source) {
    double lag_h = source->input == SOLVE_NONE ? 0.0 : work->linear.lag_h[work->dosings[source->input].compartment];
    return isnan(lag_h) ? 0.0 : lag_h;
}

/* In place of t2 and D': hours from each source (and its public lag) to each observation, and public durations. */
void fit_lag_times(solve_work *work) {
    const solve_layout *layout = &work->solution->layout;
    size_t slots = layout->rows * layout->columns;
    for (size_t l = 0; l < layout->lane_count; l++) {
        const solve_lane *lane = &layout->lanes[l];
        for (size_t row = 0; row < lane->source_count; row++) {
            const solve_lane_source *source = &lane->sources[row];
            for (size_t k = 0; k < lane->column_count; k++) {
                bool acts = lane->active[row * lane->column_count + k] != 0;
                size_t at = l * slots + row * layout->columns + k;
                double elapsed_h = lane->columns[k].time_h - source->time_h - public_lag_h(work, source);
                work->times.t2[at] = acts ? fmax(0.0, elapsed_h) : 0.0;
                work->times.during[at] = acts ? public_duration_h(work, lane, source) : 0.0;
            }
        }
    }
}

/* ------------------------------------------------------------------ encrypted times */

/* 1 in the slots of a dosing's rows; of dosing_count: of rows that no dose feeds. NULL after recording an error. */
static double *rows_of(solve_work *work, size_t dosing) {
    const solve_layout *layout = &work->solution->layout;
    size_t part = fit_copy_slots(layout);
    size_t used = work->solution->fit->copies * part;
    double *mask = solve_alloc(work, layout->lane_count * layout->lane_slots, sizeof *mask);
    for (size_t l = 0; mask != NULL && l < layout->lane_count; l++) {
        const solve_lane *lane = &layout->lanes[l];
        for (size_t s = 0; s < used; s++) {
            size_t row = s % part / layout->columns;
            size_t input = row < lane->source_count ? lane->sources[row].input : SIZE_MAX;
            input = input == SOLVE_NONE ? work->dosing_count : input;
            mask[l * layout->lane_slots + s] = input == dosing ? 1.0 : 0.0;
        }
    }
    return mask;
}

/* Some row is fed by this dosing (or by no dose). */
static bool has_rows(const solve_work *work, size_t dosing) {
    const solve_layout *layout = &work->solution->layout;
    bool found = false;
    for (size_t l = 0; l < layout->lane_count; l++) {
        for (size_t row = 0; row < layout->lanes[l].source_count; row++) {
            uint32_t input = layout->lanes[l].sources[row].input;
            found = found || (input == SOLVE_NONE ? work->dosing_count : input) == dosing;
        }
    }
    return found;
}

/* A bit in the rows of one dosing; all rows where there is no other. */
static ddt_status bit_of(solve_work *work, ddt_node bit, size_t dosing, solve_value *out) {
    *out = (solve_value){.node = bit};
    if (work->dosing_count > 1 || has_rows(work, work->dosing_count)) {
        double *mask = rows_of(work, dosing);
        if (mask == NULL) {
            return DDT_ERR_MEMORY;
        }
        out->node = ddt_circuit_mul(work->circuit, bit, solve_public(work, mask, 1.0).node);
        out->depth = 1.0;
    }
    return DDT_OK;
}

/* *sum += factor * a part of a dosing's times. */
static ddt_status add_part(solve_work *work, size_t dosing, size_t part, double factor, solve_value *sum) {
    if (dosing == work->dosing_count) {
        return DDT_OK;
    }
    const solve_dosing *d = &work->dosings[dosing];
    solve_value hours = {.node = DDT_NODE_NONE};
    bool is_private = private_part(work, d, part) != DDT_EXPR_NONE;
    if (is_private) {
        solve_sum lowered;
        solve_pairs pairs = {0};
        bool is_stretch = part == DURATION && is_stretched(work, d);
        SOLVE_TRY(solve_lower(work, &work->extra_terms[PARTS * dosing + part], &lowered));
        SOLVE_TRY(is_stretch ? solve_sum_pairs(work, &lowered, work->times.during, factor, &pairs) : DDT_OK);
        SOLVE_TRY(is_stretch ? solve_pairs_node(work, &pairs, &hours)
                             : solve_sum_node(work, &lowered, factor, 0.0, &hours));
    } else if (part == DURATION && d->is_infusion) {
        hours = solve_public(work, work->times.during, factor);
    }
    if (hours.node != DDT_NODE_NONE) {
        sum->node = sum->node == DDT_NODE_NONE ? hours.node : ddt_circuit_add(work->circuit, sum->node, hours.node);
        sum->depth = fmax(sum->depth, hours.depth);
    }
    return DDT_OK;
}

static ddt_status add_product(solve_work *work, ddt_node bit, size_t dosing, solve_value hours, solve_pairs *pairs) {
    solve_value own;
    SOLVE_TRY(bit_of(work, bit, dosing, &own));
    return solve_pairs_add(work, pairs, own, hours);
}

static ddt_status add_dosing(solve_work *work, size_t dosing, solve_pairs *after, solve_pairs *under) {
    double unit = 1.0 / work->times.t2_max;
    solve_value hours = solve_public(work, work->times.t2, unit);
    SOLVE_TRY(add_part(work, dosing, LAG, -unit, &hours));
    SOLVE_TRY(add_part(work, dosing, DURATION, -unit, &hours));
    SOLVE_TRY(add_product(work, work->times.begun_node, dosing, hours, after));
    if (dosing == work->dosing_count || !work->dosings[dosing].is_infusion) {
        return DDT_OK;
    }
    unit = 1.0 / work->times.during_max;
    hours = solve_public(work, work->times.t2, unit);
    SOLVE_TRY(add_part(work, dosing, LAG, -unit, &hours));
    SOLVE_TRY(add_product(work, work->times.running_node, dosing, hours, under));
    hours = (solve_value){.node = DDT_NODE_NONE};
    SOLVE_TRY(add_part(work, dosing, DURATION, unit, &hours));
    return add_product(work, work->times.begun_node, dosing, hours, under);
}

ddt_status solve_lagged_times(solve_work *work) {
    solve_pairs after = {0};
    solve_pairs under = {0};
    solve_value hours;
    for (size_t d = 0; d <= work->dosing_count; d++) {
        SOLVE_TRY(has_rows(work, d) ? add_dosing(work, d, &after, &under) : DDT_OK);
    }
    SOLVE_TRY(solve_pairs_node(work, &after, &hours));
    work->times.t2_node = hours.node;
    if (under.count > 0) {
        SOLVE_TRY(solve_pairs_node(work, &under, &hours));
        work->times.during_node = hours.node;
    }
    return ddt_circuit_status(work->circuit);
}

/* ------------------------------------------------------------------ the custodian's bits */

static uint32_t input_of(const solve_layout *layout, solve_input_kind kind) {
    for (uint32_t i = 0; i < layout->input_count; i++) {
        if (layout->inputs[i].kind == kind) {
            return i;
        }
    }
    return SOLVE_NONE;
}

uint32_t fit_lag_input(const solve_layout *layout) { return input_of(layout, SOLVE_INPUT_DECAY_TIME); }

uint32_t fit_running_input(const solve_layout *layout) { return input_of(layout, SOLVE_INPUT_INFUSION_TIME); }

/* Turns the times that solve_fill_doses has left in the inputs into bits, and rates at modelled durations into what the
 * circuit divides by the duration. */
void fit_lag_mark(const solve_layout *layout, size_t lane_index, const solve_given *givens, double *const *inputs) {
    const solve_lane *lane = &layout->lanes[lane_index];
    size_t block = layout->lane_slots != 0 ? layout->lane_slots : fit_copy_slots(layout);
    uint32_t ended = fit_lag_input(layout);
    uint32_t running = fit_running_input(layout);
    double t2_h = 0.0;
    solve_slot slot = {.t2_h = &t2_h};
    for (size_t row = 0; row < lane->source_count; row++) {
        uint32_t amount = lane->sources[row].input;
        bool is_modelled = amount != SOLVE_NONE && layout->inputs[amount].giving == SOLVE_GIVING_MODELLED_DURATION;
        for (size_t k = 0; k < lane->column_count; k++) {
            size_t at = lane_index * block + row * layout->columns + k;
            solve_slot_of(layout, lane, row, &givens[row], k, &slot);
            bool runs = slot.acts && slot.during_h < givens[row].duration_h;
            inputs[ended][at] = slot.acts && !runs ? 1.0 : 0.0;
            if (running != SOLVE_NONE) {
                inputs[running][at] = runs ? 1.0 : 0.0;
            }
            if (is_modelled && slot.acts) {
                double most = layout->ranges[layout->inputs[amount].range].high;
                inputs[amount][at] = givens[row].value * givens[row].duration_h / most;
            }
        }
    }
}
