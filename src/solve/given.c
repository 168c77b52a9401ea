/*
 * What a source gives and when: the start, length and size of a dose from the patient's lag, bioavailability, rate and
 * duration, and the times that follow for each slot. The plan computes them for the virtual population, the custodian
 * for the patients: the only part of a model that is evaluated before encryption, because it decides what acts when.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

bool solve_same_time(double a, double b) {
    const double rounding = 1e-12;
    return fabs(a - b) <= rounding * fmax(1.0, fmax(fabs(a), fabs(b)));
}

double solve_quantity(const solve_input *input, const ddt_record *record) {
    return input->giving == SOLVE_GIVING_CONSTANT ? record->rate : record->amount;
}

static double duration_of(const solve_layout *layout, const solve_lane *lane, const solve_lane_source *source,
                          const solve_dose_parts *parts, double amount) {
    switch (layout->inputs[source->input].giving) {
    case SOLVE_GIVING_RATE:
        return parts->f * layout->subjects[lane->subject].records[source->record].duration_h;
    case SOLVE_GIVING_MODELLED_RATE:
        return parts->f * amount / parts->rate;
    case SOLVE_GIVING_MODELLED_DURATION:
        return parts->duration_h;
    case SOLVE_GIVING_CONSTANT:
    case SOLVE_GIVING_CONSTANT_MODELLED:
        return source->duration_h;
    default:
        return 0.0;
    }
}

solve_given solve_given_of(const solve_layout *layout, const solve_lane *lane, const solve_lane_source *source,
                           const solve_dose_parts *parts, double amount) {
    const solve_input *input = &layout->inputs[source->input];
    solve_given given = {.start_h = source->time_h + parts->lag_h,
                         .duration_h = duration_of(layout, lane, source, parts, amount)};
    if (input->giving == SOLVE_GIVING_BOLUS || input->giving == SOLVE_GIVING_CONSTANT) {
        given.value = amount;
    } else if (input->giving == SOLVE_GIVING_CONSTANT_MODELLED) {
        given.value = parts->rate;
    } else if (given.duration_h > 0.0) {
        given.value = amount / given.duration_h * (input->omits_f ? parts->f : 1.0);
    }
    return given;
}

uint32_t solve_last_dose(const solve_layout *layout, const solve_lane *lane, const solve_given *givens, size_t column,
                         uint32_t compartment) {
    uint32_t last = SOLVE_NONE;
    for (uint32_t row = 0; row < lane->source_count; row++) {
        const solve_lane_source *source = &lane->sources[row];
        bool counts = source->input != SOLVE_NONE && lane->active[row * lane->column_count + column] != 0 &&
                      (compartment == UINT32_MAX || layout->inputs[source->input].compartment == compartment);
        if (counts && (last == SOLVE_NONE || givens[row].start_h >= givens[last].start_h)) {
            last = row;
        }
    }
    return last;
}

/* ------------------------------------------------------------------ slots */

/* Segment `index` of a column's epoch for one source: what was before its past's segment belongs to that one. */
static void segment_bounds(const solve_layout *layout, const solve_lane *lane, const solve_lane_source *source,
                           const solve_lane_column *column, uint32_t index, double *from_h, double *to_h) {
    const solve_segment *segments = layout->subjects[lane->subject].segments + column->segment;
    *from_h = index <= source->past ? -INFINITY : segments[index - 1].end_h;
    *to_h = index + 1 == column->segment_count ? INFINITY : segments[index].end_h;
    if (index < source->past) {
        *to_h = -INFINITY;
    }
}

static void decay_times(const solve_layout *layout, const solve_lane *lane, const solve_lane_source *source,
                        const solve_lane_column *column, double from_h, double *t2_h) {
    for (uint32_t j = 0; j < column->segment_count && j < layout->segments; j++) {
        double low = 0.0;
        double high = 0.0;
        segment_bounds(layout, lane, source, column, j, &low, &high);
        t2_h[j] = fmax(0.0, fmin(high, column->time_h) - fmax(low, from_h));
    }
}

void solve_slot_of(const solve_layout *layout, const solve_lane *lane, size_t row, const solve_given *given,
                   size_t column_index, solve_slot *out) {
    const solve_lane_source *source = &lane->sources[row];
    const solve_lane_column *column = &lane->columns[column_index];
    for (size_t j = 0; j < layout->segments; j++) {
        out->t2_h[j] = 0.0;
    }
    out->during_h = 0.0;
    out->acts = lane->active[row * lane->column_count + column_index] != 0 &&
                (given->start_h <= column->time_h || solve_same_time(given->start_h, column->time_h));
    if (!out->acts) {
        return;
    }
    if (column->segment_count == 0) {
        double elapsed_h = fmax(0.0, column->time_h - given->start_h);
        out->during_h = fmin(elapsed_h, given->duration_h);
        out->t2_h[0] = elapsed_h - out->during_h;
        return;
    }
    double from_h = given->start_h;
    double to_h = given->start_h + given->duration_h;
    if (source->piece != SOLVE_NONE) {
        double low = 0.0;
        double high = 0.0;
        segment_bounds(layout, lane, source, column, source->piece, &low, &high);
        from_h = fmax(from_h, low);
        to_h = fmin(to_h, high);
        if (!(from_h < to_h) || from_h >= column->time_h) {
            out->acts = false;
            return;
        }
    }
    out->during_h = fmax(0.0, fmin(to_h, column->time_h) - from_h);
    decay_times(layout, lane, source, column, to_h, out->t2_h);
}
