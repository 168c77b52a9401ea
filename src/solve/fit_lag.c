/*
 * Lags that depend on etas, in a fit: when a dose starts to act is part of what is estimated. The circuit computes the
 * time since the onset, elapsed - lag, in every slot and copy; which doses have begun at all is decided by the first
 * guess (an encrypted 0 or 1 of each slot, made by the custodian), so that no polynomial has to follow the kink.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_internal.h"

#include <string.h>

static bool is_lagged(const solve_work *work, size_t compartment) { return isnan(work->linear.lag_h[compartment]); }

static ddt_status refuse(const solve_work *work, const char *what) {
    return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                    "'%s': when doses act depends on encrypted values, which a fit takes only as the lag of boluses "
                    "into one compartment, %s.",
                    work->model->path, what);
}

/* Before symbols are encoded: what the lag reads is encoded, too. */
ddt_status fit_lag_expand(solve_work *work) {
    size_t lagged = SIZE_MAX;
    for (size_t d = 0; d < work->dosing_count; d++) {
        size_t c = work->dosings[d].compartment;
        if (work->dosings[d].is_infusion) {
            return refuse(work, "without infusions");
        }
        if (!is_lagged(work, c) || (lagged != SIZE_MAX && lagged != c)) {
            return refuse(work, "without doses into others");
        }
        lagged = c;
    }
    if (work->solution->layout.segments > 1 || work->linear.has_initial || work->linear.has_unit) {
        return refuse(work, "without initial values, constant inputs and covariates that change");
    }
    work->extra_terms = solve_alloc(work, 1, sizeof *work->extra_terms);
    if (work->extra_terms == NULL) {
        return DDT_ERR_MEMORY;
    }
    work->extra_count = 1;
    return solve_expand(work, work->linear.lag[lagged], work->extra_terms);
}

/* Hours from each source to each observation, in place of the times that a lag would be taken off. */
void fit_lag_times(solve_work *work) {
    const solve_layout *layout = &work->solution->layout;
    size_t slots = layout->rows * layout->columns;
    for (size_t l = 0; l < layout->lane_count; l++) {
        const solve_lane *lane = &layout->lanes[l];
        for (size_t row = 0; row < lane->source_count; row++) {
            for (size_t k = 0; k < lane->column_count; k++) {
                bool acts = lane->active[row * lane->column_count + k] != 0;
                double elapsed_h = lane->columns[k].time_h - lane->sources[row].time_h;
                work->times.t2[l * slots + row * layout->columns + k] = acts ? fmax(0.0, elapsed_h) : 0.0;
            }
        }
    }
}

/* (elapsed - lag) / t2_max where the dose has begun, else 0. */
ddt_status solve_lagged_time(solve_work *work, solve_value *out) {
    solve_sum lag;
    solve_value hours;
    double unit = 1.0 / work->times.t2_max;
    SOLVE_TRY(solve_lower(work, work->extra_terms, &lag));
    SOLVE_TRY(solve_sum_node(work, &lag, -unit, 0.0, &hours));
    solve_value elapsed = solve_public(work, work->times.t2, unit);
    ddt_node since = ddt_circuit_add(work->circuit, elapsed.node, hours.node);
    *out = (solve_value){.node = ddt_circuit_mul(work->circuit, since, work->times.begun_node),
                         .depth = hours.depth + 1.0};
    return ddt_circuit_status(work->circuit);
}

/* Turns the times that solve_fill_doses has left in the input into 1 where a dose has begun. */
void fit_lag_mark(const solve_layout *layout, size_t lane_index, const solve_given *givens, double *input) {
    const solve_lane *lane = &layout->lanes[lane_index];
    size_t block = layout->lane_slots != 0 ? layout->lane_slots : fit_copy_slots(layout);
    double t2_h = 0.0;
    solve_slot slot = {.t2_h = &t2_h};
    for (size_t row = 0; row < lane->source_count; row++) {
        for (size_t k = 0; k < lane->column_count; k++) {
            solve_slot_of(layout, lane, row, &givens[row], k, &slot);
            input[lane_index * block + row * layout->columns + k] = slot.acts ? 1.0 : 0.0;
        }
    }
}

uint32_t fit_lag_input(const solve_layout *layout) {
    for (uint32_t i = 0; i < layout->input_count; i++) {
        if (layout->inputs[i].kind == SOLVE_INPUT_DECAY_TIME) {
            return i;
        }
    }
    return SOLVE_NONE;
}
