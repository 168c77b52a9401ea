/*
 * Lanes: how many columns a lane has, the rows of its sources, the times of its slots; ranges and inputs of amounts.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "layout_plan.h"

#include <string.h>

static const double amount_margin = 1.25;

/* Two significant digits, upwards: ranges tell no more of the template than that. */
double solve_round_up(double value) {
    if (!(value > 0.0)) {
        return value;
    }
    double unit = pow(10.0, floor(log10(value)) - 1.0);
    return ceil(value / unit - 1e-9) * unit;
}

double solve_amount_high(double largest) { return largest > 0.0 ? solve_round_up(amount_margin * largest) : 1.0; }

/* ------------------------------------------------------------------ shape */

static size_t power_of_two(size_t least) {
    size_t power = 1;
    while (power < least) {
        power *= 2;
    }
    return power;
}

static bool acts_in(const planner *p, size_t subject, size_t s, size_t first, size_t end) {
    const subject_plan *plan = &p->subjects[subject];
    for (size_t k = first; k < end; k++) {
        if (plan->active[s * layout_stride(p, subject) + k] != 0) {
            return true;
        }
    }
    return false;
}

/* Lanes and rows when lanes have at most `columns` columns. */
static void try_columns(const planner *p, size_t columns, size_t *lanes, size_t *rows) {
    *lanes = 0;
    *rows = 1;
    for (size_t subject = 0; subject < p->work->events->subject_count; subject++) {
        const subject_plan *plan = &p->subjects[subject];
        for (size_t first = 0; first < plan->column_count; first += columns) {
            size_t end = first + columns < plan->column_count ? first + columns : plan->column_count;
            size_t used = 0;
            for (size_t s = 0; s < plan->sources.count; s++) {
                used += acts_in(p, subject, s, first, end);
            }
            (*lanes)++;
            *rows = used > *rows ? used : *rows;
        }
    }
    *rows = power_of_two(*rows);
}

/* The number of columns a lane that takes the fewest slots in all; more columns where equal. */
static ddt_status choose_shape(planner *p) {
    solve_layout *layout = &p->work->solution->layout;
    size_t most = 1;
    size_t segments = 1;
    for (size_t s = 0; s < p->work->events->subject_count; s++) {
        most = p->subjects[s].column_count > most ? p->subjects[s].column_count : most;
        segments = p->subjects[s].segments > segments ? p->subjects[s].segments : segments;
    }
    layout->segments = power_of_two(segments);
    size_t best = SIZE_MAX;
    for (size_t columns = power_of_two(most); columns >= 1; columns /= 2) {
        size_t lanes = 0;
        size_t rows = 0;
        try_columns(p, columns, &lanes, &rows);
        size_t block = layout->segments * rows * columns;
        bool needs_whole = p->work->newton != NULL || p->work->finish != NULL; /* one lane a subject */
        bool is_whole = !needs_whole || columns >= most;
        if (is_whole && block <= p->work->options.block_max && lanes * block < best) {
            best = lanes * block;
            layout->columns = columns;
            layout->rows = rows;
            layout->lane_count = lanes;
        }
    }
    if (best == SIZE_MAX) {
        return ddt_fail(p->work->ctx, DDT_ERR_CAPACITY,
                        "'%s': a subject has more doses (times changes of covariates) than the %zu slots of a lane.",
                        p->work->events->path, p->work->options.block_max);
    }
    return best != 0 ? DDT_OK
                     : ddt_fail(p->work->ctx, DDT_ERR_DATA, "'%s' has no observation record (EVID 0 or 2).",
                                p->work->events->path);
}

/* ------------------------------------------------------------------ slots */

static double total_of(const solve_layout *layout, const solve_slot *slot) {
    double total = 0.0;
    for (size_t j = 0; j < layout->segments; j++) {
        total = fmax(total, slot->t2_h[j]);
    }
    return total;
}

/* The longest times that the patients' lags and durations allow. */
static void widen_times(const planner *p, const solve_lane *lane, size_t row, const source *s, size_t k,
                        solve_slot *slot) {
    const solve_layout *layout = &p->work->solution->layout;
    solve_times *times = &p->work->times;
    solve_given given = {.start_h = s->own.time_h + s->lag_low_h, .duration_h = s->duration_low_h};
    solve_slot_of(layout, lane, row, &given, k, slot);
    times->t2_max = fmax(times->t2_max, total_of(layout, slot));
    if (s->is_private) {
        /* A lag moves the border of an infusion into another segment: the end alone counts. */
        given.duration_h = 0.0;
        solve_lane_source whole = lane->sources[row];
        lane->sources[row].piece = SOLVE_NONE;
        solve_slot_of(layout, lane, row, &given, k, slot);
        lane->sources[row] = whole;
        times->t2_max = fmax(times->t2_max, total_of(layout, slot));
        given.duration_h = s->duration_high_h + s->lag_high_h - s->lag_low_h;
        solve_slot_of(layout, lane, row, &given, k, slot);
    }
    times->during_max = fmax(times->during_max, fmin(slot->during_h, s->duration_high_h));
    times->is_private |= s->is_private;
}

static void set_slot(const planner *p, size_t lane_index, size_t row, const source *s, size_t k, solve_slot *slot) {
    const solve_layout *layout = &p->work->solution->layout;
    const solve_lane *lane = &layout->lanes[lane_index];
    solve_times *times = &p->work->times;
    size_t block = layout->segments * layout->rows * layout->columns;
    size_t at = lane_index * block + row * layout->columns + k;
    widen_times(p, lane, row, s, k, slot);
    if (s->own.input == SOLVE_NONE) {
        times->unit[at] = 1.0;
        times->start[at] = s->is_initial ? 1.0 : 0.0;
    }
    if (s->is_private) {
        return;
    }
    solve_given given = {.start_h = s->own.time_h + s->lag_low_h, .duration_h = s->duration_low_h};
    solve_slot_of(layout, lane, row, &given, k, slot);
    times->during[at] = slot->during_h;
    for (size_t j = 0; j < layout->segments; j++) {
        times->t2[at + j * layout->rows * layout->columns] = slot->t2_h[j];
    }
}

static ddt_status create_lane(const planner *p, size_t subject, size_t first, size_t end, solve_lane *lane) {
    const solve_layout *layout = &p->work->solution->layout;
    *lane = (solve_lane){.subject = (uint32_t)subject, .column_count = end - first};
    lane->sources = ddt_calloc(layout->rows, sizeof *lane->sources);
    lane->columns = ddt_calloc(lane->column_count, sizeof *lane->columns);
    lane->active = ddt_calloc(layout->rows * lane->column_count, 1);
    if (lane->sources == NULL || lane->columns == NULL || lane->active == NULL) {
        return solve_no_memory(p->work->ctx);
    }
    memcpy(lane->columns, p->subjects[subject].columns + first, lane->column_count * sizeof *lane->columns);
    return DDT_OK;
}

static ddt_status fill_lane(planner *p, size_t subject, size_t first, size_t end, size_t lane_index) {
    const subject_plan *plan = &p->subjects[subject];
    solve_layout *layout = &p->work->solution->layout;
    solve_lane *lane = &layout->lanes[lane_index];
    solve_slot slot = {.t2_h = solve_alloc(p->work, layout->segments, sizeof(double))};
    if (slot.t2_h == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(create_lane(p, subject, first, end, lane));
    for (size_t s = 0; s < plan->sources.count; s++) {
        if (!acts_in(p, subject, s, first, end)) {
            continue;
        }
        size_t row = lane->source_count++;
        lane->sources[row] = plan->sources.items[s].own;
        for (size_t k = first; k < end; k++) {
            bool acts = plan->active[s * layout_stride(p, subject) + k] != 0;
            lane->active[row * lane->column_count + k - first] = acts;
            if (acts) {
                set_slot(p, lane_index, row, &plan->sources.items[s], k - first, &slot);
            }
        }
    }
    return DDT_OK;
}

static ddt_status create_times(const planner *p) {
    solve_layout *layout = &p->work->solution->layout;
    solve_times *times = &p->work->times;
    size_t slots = 0;
    if (!ddt_size_mul(layout->lane_count, layout->segments * layout->rows * layout->columns, &slots)) {
        return solve_no_memory(p->work->ctx);
    }
    layout->lanes = ddt_calloc(layout->lane_count, sizeof *layout->lanes);
    times->t2 = solve_alloc(p->work, slots, sizeof(double));
    times->during = solve_alloc(p->work, slots, sizeof(double));
    times->start = solve_alloc(p->work, slots, sizeof(double));
    times->unit = solve_alloc(p->work, slots, sizeof(double));
    if (layout->lanes == NULL || times->t2 == NULL || times->during == NULL || times->start == NULL ||
        times->unit == NULL) {
        layout->lane_count = layout->lanes == NULL ? 0 : layout->lane_count;
        return solve_no_memory(p->work->ctx);
    }
    return DDT_OK;
}

/* The lanes of a subject, from lane *next on. */
static ddt_status fill_subject(planner *p, size_t s, size_t *next) {
    const solve_layout *layout = &p->work->solution->layout;
    const solve_layout_subject *subject = &layout->subjects[s];
    for (size_t o = 0; o < subject->observation_count; o++) {
        subject->observations[o].lane = (uint32_t)(*next + subject->observations[o].column / layout->columns);
        subject->observations[o].column %= (uint32_t)layout->columns;
    }
    size_t count = p->subjects[s].column_count;
    for (size_t first = 0; first < count; first += layout->columns) {
        size_t end = first + layout->columns < count ? first + layout->columns : count;
        SOLVE_TRY(fill_lane(p, s, first, end, (*next)++));
    }
    return DDT_OK;
}

ddt_status layout_lanes(planner *p) {
    SOLVE_TRY(choose_shape(p));
    SOLVE_TRY(create_times(p));
    size_t lane = 0;
    for (size_t s = 0; s < p->work->events->subject_count; s++) {
        SOLVE_TRY(fill_subject(p, s, &lane));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ amounts */

/* The largest amount of each dosing, in the template, and the largest value for an amount of 1. */
static void measure_dosings(const planner *p, double *largest_weight) {
    const solve_layout *layout = &p->work->solution->layout;
    for (size_t l = 0; l < layout->lane_count; l++) {
        const solve_lane *lane = &layout->lanes[l];
        for (size_t row = 0; row < lane->source_count; row++) {
            const solve_lane_source *s = &lane->sources[row];
            if (s->input != SOLVE_NONE) {
                solve_dosing *dosing = &p->work->dosings[s->input];
                const ddt_record *record = layout_record(p, lane->subject, s->record);
                double amount = dosing->giving == SOLVE_GIVING_CONSTANT ? record->rate : record->amount;
                dosing->amount_high = fmax(dosing->amount_high, amount);
                largest_weight[s->input] = fmax(largest_weight[s->input], s->weight);
            }
        }
    }
}

static ddt_status name_dosing(const planner *p, const solve_dosing *dosing, char **name) {
    enum { NAME_MAX_BYTES = 192 };
    static const char *const ways[] = {
        [SOLVE_GIVING_BOLUS] = "",
        [SOLVE_GIVING_RATE] = ", infusion",
        [SOLVE_GIVING_MODELLED_RATE] = ", modelled rate",
        [SOLVE_GIVING_MODELLED_DURATION] = ", modelled duration",
        [SOLVE_GIVING_CONSTANT] = ", constant infusion",
        [SOLVE_GIVING_CONSTANT_MODELLED] = ", constant infusion at the modelled rate",
    };
    char text[NAME_MAX_BYTES];
    const char *column = dosing->giving == SOLVE_GIVING_CONSTANT ? "RATE" : "AMT";
    const char *compartment = p->work->model->compartments[dosing->compartment].name;
    if (p->work->dosing_count == 1) {
        (void)snprintf(text, sizeof text, "%s", column);
    } else {
        (void)snprintf(text, sizeof text, "%s(%.140s%s)", column, compartment, ways[dosing->giving]);
    }
    *name = ddt_strdup(text);
    return *name == NULL ? solve_no_memory(p->work->ctx) : DDT_OK;
}

static ddt_status finish_dosing(const planner *p, size_t i, double weight) {
    solve_layout *layout = &p->work->solution->layout;
    solve_dosing *dosing = &p->work->dosings[i];
    dosing->amount_high = solve_amount_high(dosing->amount_high);
    dosing->scale = dosing->amount_high * (weight > 0.0 ? weight : 1.0);
    layout->range_count = layout->input_count = i + 1;
    SOLVE_TRY(name_dosing(p, dosing, &layout->ranges[i].name));
    layout->ranges[i].high = dosing->amount_high;
    solve_input *input = &layout->inputs[i];
    *input = (solve_input){.kind = SOLVE_INPUT_AMOUNT,
                           .range = (uint32_t)i,
                           .half = dosing->scale,
                           .bound = 1.0 + 1e-9, /* durations that were rounded to be written */
                           .giving = dosing->giving,
                           .compartment = (uint32_t)dosing->compartment,
                           .omits_f = dosing->omits_f};
    return name_dosing(p, dosing, &input->name);
}

/* Amount inputs come first, in the order of the dosings, each with its own range. */
ddt_status layout_dosings(planner *p) {
    solve_work *work = p->work;
    solve_layout *layout = &work->solution->layout;
    double *weights = solve_alloc(work, work->dosing_count, sizeof *weights);
    layout->ranges = ddt_calloc(work->dosing_count, sizeof *layout->ranges);
    layout->inputs = ddt_calloc(work->dosing_count, sizeof *layout->inputs);
    if (weights == NULL || layout->ranges == NULL || layout->inputs == NULL) {
        return solve_no_memory(work->ctx);
    }
    measure_dosings(p, weights);
    for (size_t i = 0; i < work->dosing_count; i++) {
        SOLVE_TRY(finish_dosing(p, i, weights[i]));
    }
    for (size_t l = 0; l < layout->lane_count; l++) {
        for (size_t row = 0; row < layout->lanes[l].source_count; row++) {
            solve_lane_source *s = &layout->lanes[l].sources[row];
            s->weight /= s->input != SOLVE_NONE ? work->dosings[s->input].scale : 1.0;
        }
    }
    return DDT_OK;
}

ddt_status solve_time_inputs(solve_work *work) {
    enum { TIMES = 2 };
    solve_layout *layout = &work->solution->layout;
    if (!work->times.is_private) {
        return DDT_OK;
    }
    solve_input *inputs = ddt_realloc(layout->inputs, layout->input_count, layout->input_count + TIMES, sizeof *inputs);
    if (inputs == NULL) {
        return solve_no_memory(work->ctx);
    }
    layout->inputs = inputs;
    const double rounding = 1e-9;
    const struct {
        const char *name;
        solve_input_kind kind;
        double longest_h;
    } times[TIMES] = {{"time after doses", SOLVE_INPUT_DECAY_TIME, work->times.t2_max},
                      {"time under infusions", SOLVE_INPUT_INFUSION_TIME, work->times.during_max}};
    for (int i = 0; i < TIMES; i++) {
        if (!(times[i].longest_h > 0.0)) {
            continue;
        }
        solve_input input = {.name = ddt_strdup(times[i].name),
                             .kind = times[i].kind,
                             .half = times[i].longest_h,
                             .bound = 1.0 + rounding};
        if (input.name == NULL) {
            return solve_no_memory(work->ctx);
        }
        layout->inputs[layout->input_count++] = input;
    }
    return DDT_OK;
}
