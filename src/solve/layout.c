/*
 * The layout: which source (dose, infusion, start of an epoch) and which observation meet in which slot of which lane,
 * and the times of each slot.
 *
 * A steady-state dose is what it means: the doses that went before it, as many as the slowest patient of the population
 * still feels. They are sources like all others, so that steady state costs slots but no depth.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

#include <string.h>

/* Most doses that stand for a steady state. */
enum { STEADY_DOSES_MAX = 4096 };

static const double amount_margin = 1.25;
static const double rate_modelled = -1.0;
static const double duration_modelled = -2.0;

/* A source of one subject, before it gets a row in some lanes. */
typedef struct source {
    uint32_t record;
    uint32_t dosing; /* SOLVE_NONE: start of an epoch */
    size_t dose;     /* in the schedule */
    size_t epoch;
    double time_h;     /* when it acts, lag included */
    double duration_h; /* 0 for a bolus */
    bool by_time; /* acts before observations at or after its time; otherwise before those that its record precedes */
    bool is_initial; /* start of an epoch: brings x(0), not only the constant input */
} source;

typedef struct source_list {
    source *items;
    size_t count, capacity;
} source_list;

typedef struct column {
    double time_h;
    size_t epoch;
    size_t observation; /* the first of those that share the column */
} column;

/* One subject on its way into lanes. */
typedef struct subject_plan {
    source_list sources;
    column *columns;
    size_t column_count;
    uint8_t *active; /* sources x columns */
} subject_plan;

typedef struct planner {
    solve_work *work;
    subject_plan *subjects;
} planner;

static bool same_time(double a, double b) {
    const double rounding = 1e-12;
    return fabs(a - b) <= rounding * fmax(1.0, fmax(fabs(a), fabs(b)));
}

/* Two significant digits, upwards: ranges tell no more of the template than that. */
double solve_round_up(double value) {
    if (!(value > 0.0)) {
        return value;
    }
    double unit = pow(10.0, floor(log10(value)) - 1.0);
    return ceil(value / unit - 1e-9) * unit;
}

/* ------------------------------------------------------------------ sources */

static ddt_status add_source(planner *p, source_list *list, source item) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 16 : 2 * list->capacity;
        source *items = solve_alloc(p->work, capacity, sizeof *items);
        if (items == NULL) {
            return DDT_ERR_MEMORY;
        }
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof *items);
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return DDT_OK;
}

static const ddt_record *record_of(const planner *p, size_t subject, size_t record) {
    return &p->work->events->subjects[subject].records[record];
}

static ddt_status refuse_dose(const planner *p, size_t subject, const ddt_dose *dose, const char *why) {
    const ddt_events *events = p->work->events;
    return ddt_fail(p->work->ctx, DDT_ERR_UNSUPPORTED, "'%s', line %u: the dose into %s of the subject %s %s.",
                    events->path, record_of(p, subject, dose->record)->line,
                    p->work->model->compartments[dose->compartment].name, events->subjects[subject].id, why);
}

/* How long the infusion lasts; 0 for a bolus. */
static ddt_status infusion_duration(const planner *p, size_t subject, const ddt_dose *dose, double *duration_h) {
    const solve_linear *linear = &p->work->linear;
    size_t c = dose->compartment;
    double f = 1.0;
    *duration_h = 0.0;
    if (dose->rate == 0.0) {
        return DDT_OK;
    }
    if (dose->steady_state != 0 && dose->amount == 0.0) {
        return refuse_dose(p, subject, dose, "is a constant infusion at steady state, which is not supported");
    }
    if (dose->rate == duration_modelled) {
        *duration_h = linear->modelled_duration_h[c];
        return *duration_h > 0.0 ? DDT_OK
                                 : refuse_dose(p, subject, dose, "has RATE -2, but the model gives no duration");
    }
    if (!ddt_expr_is_const(p->work->pool, linear->bioavailability[c], &f)) {
        return refuse_dose(p, subject, dose,
                           "has a RATE and an encrypted bioavailability: its duration would depend on it");
    }
    if (dose->rate == rate_modelled) {
        if (!(linear->modelled_rate[c] > 0.0)) {
            return refuse_dose(p, subject, dose, "has RATE -1, but the model gives no rate");
        }
        *duration_h = f * dose->amount / linear->modelled_rate[c];
    } else {
        *duration_h = f * dose->duration_h;
    }
    return DDT_OK;
}

/* The input for doses into this compartment in this way. */
static ddt_status find_dosing(solve_work *work, size_t compartment, bool is_infusion, uint32_t *out) {
    for (size_t i = 0; i < work->dosing_count; i++) {
        if (work->dosings[i].compartment == compartment && work->dosings[i].is_infusion == is_infusion) {
            *out = (uint32_t)i;
            return DDT_OK;
        }
    }
    if (work->dosings == NULL) {
        work->dosings = solve_alloc(work, 2 * work->model->compartment_count, sizeof *work->dosings);
        if (work->dosings == NULL) {
            return DDT_ERR_MEMORY;
        }
    }
    *out = (uint32_t)work->dosing_count;
    work->dosings[work->dosing_count++] =
        (solve_dosing){.compartment = compartment, .is_infusion = is_infusion, .input = *out};
    return DDT_OK;
}

/* How many doses before a steady-state dose still matter. */
static ddt_status steady_count(planner *p, size_t subject, const ddt_dose *dose, double duration_h, size_t *count) {
    *count = 0;
    if (dose->steady_state == 0) {
        return DDT_OK;
    }
    const double forgotten = 0.1; /* of the tolerance */
    double memory_h = 0.0;
    if (!(dose->interval_h > 0.0)) {
        return refuse_dose(p, subject, dose, "is at steady state without an interval II");
    }
    SOLVE_TRY(solve_memory_h(p->work, dose->interval_h, forgotten * p->work->options.tolerance, &memory_h));
    double needed = ceil((memory_h + duration_h) / dose->interval_h);
    if (!(needed <= STEADY_DOSES_MAX)) {
        return refuse_dose(p, subject, dose,
                           "is at steady state, which the slowest virtual patients reach after too many doses");
    }
    *count = (size_t)needed;
    return DDT_OK;
}

static ddt_status add_dose(planner *p, size_t subject, const ddt_schedule *schedule, size_t d) {
    const ddt_dose *dose = &schedule->doses[d];
    const solve_linear *linear = &p->work->linear;
    if (linear->state[dose->compartment] == SIZE_MAX) {
        return DDT_OK; /* reaches no output */
    }
    double lag_h = linear->lag_h[dose->compartment];
    if (dose->steady_state != 0 && lag_h > dose->interval_h) {
        return refuse_dose(p, subject, dose, "is at steady state with a lag longer than its interval");
    }
    source item = {.record = (uint32_t)dose->record, .dose = d, .epoch = dose->epoch};
    SOLVE_TRY(infusion_duration(p, subject, dose, &item.duration_h));
    if (same_time(dose->time_h + lag_h + item.duration_h, dose->time_h + lag_h)) {
        item.duration_h = 0.0;
    }
    SOLVE_TRY(find_dosing(p->work, dose->compartment, item.duration_h > 0.0, &item.dosing));
    size_t before = 0;
    SOLVE_TRY(steady_count(p, subject, dose, item.duration_h, &before));
    for (size_t k = 0; k <= before; k++) {
        item.time_h = dose->time_h + lag_h - (double)k * dose->interval_h;
        item.by_time = k == 0 && lag_h > 0.0;
        SOLVE_TRY(add_source(p, &p->subjects[subject].sources, item));
    }
    return DDT_OK;
}

/* The dose of SS 1 that starts an epoch, or NULL. */
static const ddt_dose *steady_start(const planner *p, size_t subject, const ddt_schedule *schedule, size_t epoch) {
    size_t record = schedule->epoch_record[epoch];
    if (record_of(p, subject, record)->steady_state != 1) {
        return NULL;
    }
    for (size_t d = 0; d < schedule->dose_count; d++) {
        if (schedule->doses[d].record == record && schedule->doses[d].steady_state == 1) {
            return &schedule->doses[d];
        }
    }
    return NULL;
}

static ddt_status add_epochs(planner *p, size_t subject, const ddt_schedule *schedule) {
    const solve_linear *linear = &p->work->linear;
    for (size_t e = 0; e < schedule->epoch_count && (linear->has_unit || linear->has_initial); e++) {
        source item = {.record = SOLVE_NONE,
                       .dosing = SOLVE_NONE,
                       .epoch = e,
                       .time_h = schedule->epoch_start_h[e],
                       .by_time = true,
                       .is_initial = true};
        const ddt_dose *steady = steady_start(p, subject, schedule, e);
        if (steady != NULL) { /* constant inputs have gone on for ever; initial values are forgotten */
            if (!linear->has_unit) {
                continue;
            }
            size_t before = 0;
            SOLVE_TRY(steady_count(p, subject, steady, 0.0, &before));
            item.time_h -= (double)before * steady->interval_h;
            item.is_initial = false;
        }
        SOLVE_TRY(add_source(p, &p->subjects[subject].sources, item));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ columns */

static bool acts_before(const planner *p, size_t subject, const ddt_schedule *schedule, const source *s, size_t o) {
    if (schedule->observation_epoch[o] != s->epoch) {
        return false;
    }
    double time_h = record_of(p, subject, schedule->observations[o])->time_h;
    if (s->by_time) {
        return s->time_h <= time_h || same_time(s->time_h, time_h);
    }
    return schedule->precedes[o * schedule->dose_count + s->dose];
}

/* Same time, same epoch, same sources: the same values. */
static bool shares_column(const subject_plan *plan, size_t k, const uint8_t *acts, size_t stride, double time_h,
                          size_t epoch) {
    if (plan->columns[k].time_h != time_h || plan->columns[k].epoch != epoch) {
        return false;
    }
    for (size_t s = 0; s < plan->sources.count; s++) {
        if (plan->active[s * stride + k] != acts[s]) {
            return false;
        }
    }
    return true;
}

/* Observations become columns, in file order (times never decrease). */
static ddt_status make_columns(planner *p, size_t subject, const ddt_schedule *schedule) {
    subject_plan *plan = &p->subjects[subject];
    size_t stride = schedule->observation_count;
    size_t entries = 0;
    if (!ddt_size_mul(stride, plan->sources.count, &entries)) {
        return solve_no_memory(p->work->ctx);
    }
    plan->columns = solve_alloc(p->work, stride, sizeof *plan->columns);
    uint8_t *table = solve_alloc(p->work, entries, 1);
    uint8_t *acts = solve_alloc(p->work, plan->sources.count, 1);
    solve_place *places = ddt_calloc(stride, sizeof *places);
    p->work->solution->layout.subjects[subject].observations = places;
    if (plan->columns == NULL || table == NULL || acts == NULL || places == NULL) {
        return solve_no_memory(p->work->ctx);
    }
    plan->active = table;
    for (size_t o = 0; o < stride; o++) {
        double time_h = record_of(p, subject, schedule->observations[o])->time_h;
        for (size_t s = 0; s < plan->sources.count; s++) {
            acts[s] = acts_before(p, subject, schedule, &plan->sources.items[s], o);
        }
        size_t k = plan->column_count;
        if (k == 0 || !shares_column(plan, k - 1, acts, stride, time_h, schedule->observation_epoch[o])) {
            plan->columns[k] = (column){time_h, schedule->observation_epoch[o], o};
            for (size_t s = 0; s < plan->sources.count; s++) {
                table[s * stride + k] = acts[s];
            }
            plan->column_count++;
        }
        places[o] = (solve_place){.column = (uint32_t)(plan->column_count - 1), .time_h = time_h};
    }
    p->work->solution->layout.subjects[subject].observation_count = stride;
    return DDT_OK;
}

/* ------------------------------------------------------------------ lanes */

static size_t power_of_two(size_t least) {
    size_t power = 1;
    while (power < least) {
        power *= 2;
    }
    return power;
}

static size_t stride_of(const planner *p, size_t subject) { return p->work->schedules[subject].observation_count; }

static bool acts_in(const planner *p, size_t subject, size_t s, size_t first, size_t end) {
    const subject_plan *plan = &p->subjects[subject];
    for (size_t k = first; k < end; k++) {
        if (plan->active[s * stride_of(p, subject) + k] != 0) {
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
    for (size_t s = 0; s < p->work->events->subject_count; s++) {
        most = p->subjects[s].column_count > most ? p->subjects[s].column_count : most;
    }
    size_t best = SIZE_MAX;
    for (size_t columns = power_of_two(most); columns >= 1; columns /= 2) {
        size_t lanes = 0;
        size_t rows = 0;
        try_columns(p, columns, &lanes, &rows);
        bool is_whole = p->work->newton == NULL || columns >= most; /* recursions in time need one lane a subject */
        if (is_whole && rows * columns <= p->work->options.block_max && lanes * rows * columns < best) {
            best = lanes * rows * columns;
            layout->columns = columns;
            layout->rows = rows;
            layout->lane_count = lanes;
        }
    }
    if (best == SIZE_MAX) {
        return ddt_fail(p->work->ctx, DDT_ERR_CAPACITY, "'%s': a subject has more doses than the %zu slots of a lane.",
                        p->work->events->path, p->work->options.block_max);
    }
    if (best == 0) {
        return ddt_fail(p->work->ctx, DDT_ERR_DATA, "'%s' has no observation record (EVID 0 or 2).",
                        p->work->events->path);
    }
    return DDT_OK;
}

static void set_slot(const planner *p, const source *s, const column *k, size_t slot) {
    solve_times *times = &p->work->times;
    double elapsed_h = fmax(0.0, k->time_h - s->time_h);
    times->during[slot] = fmin(elapsed_h, s->duration_h);
    times->t2[slot] = elapsed_h - times->during[slot];
    times->t2_max = fmax(times->t2_max, times->t2[slot]);
    times->during_max = fmax(times->during_max, times->during[slot]);
    if (s->dosing == SOLVE_NONE) {
        times->unit[slot] = 1.0;
        times->start[slot] = s->is_initial ? 1.0 : 0.0;
    }
}

static ddt_status fill_lane(planner *p, size_t subject, size_t first, size_t end, size_t lane_index) {
    const subject_plan *plan = &p->subjects[subject];
    solve_layout *layout = &p->work->solution->layout;
    solve_lane *lane = &layout->lanes[lane_index];
    *lane = (solve_lane){.subject = (uint32_t)subject, .column_count = end - first};
    lane->sources = ddt_calloc(layout->rows, sizeof *lane->sources);
    lane->active = ddt_calloc(layout->rows * lane->column_count, 1);
    if (lane->sources == NULL || lane->active == NULL) {
        return solve_no_memory(p->work->ctx);
    }
    for (size_t s = 0; s < plan->sources.count; s++) {
        if (!acts_in(p, subject, s, first, end)) {
            continue;
        }
        const source *item = &plan->sources.items[s];
        size_t row = lane->source_count++;
        /* The weight of an infusion is 1 / duration here; finish_dosings makes it relative to the input's scale. */
        lane->sources[row] =
            (solve_lane_source){item->record, item->dosing, item->duration_h > 0.0 ? 1.0 / item->duration_h : 1.0};
        for (size_t k = first; k < end; k++) {
            bool acts = plan->active[s * stride_of(p, subject) + k] != 0;
            lane->active[row * lane->column_count + k - first] = acts;
            if (acts) {
                size_t slot = (lane_index * layout->rows + row) * layout->columns + k - first;
                set_slot(p, item, &plan->columns[k], slot);
            }
        }
    }
    return DDT_OK;
}

static ddt_status fill_lanes(planner *p) {
    solve_layout *layout = &p->work->solution->layout;
    size_t slots = 0;
    size_t block = layout->rows * layout->columns;
    solve_times *times = &p->work->times;
    if (!ddt_size_mul(layout->lane_count, block, &slots)) {
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
    size_t lane = 0;
    for (size_t s = 0; s < p->work->events->subject_count; s++) {
        solve_layout_subject *subject = &layout->subjects[s];
        for (size_t o = 0; o < subject->observation_count; o++) {
            subject->observations[o].lane = (uint32_t)(lane + subject->observations[o].column / layout->columns);
            subject->observations[o].column %= (uint32_t)layout->columns;
        }
        size_t count = p->subjects[s].column_count;
        for (size_t first = 0; first < count; first += layout->columns) {
            size_t end = first + layout->columns < count ? first + layout->columns : count;
            SOLVE_TRY(fill_lane(p, s, first, end, lane++));
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ amounts and records */

/* The largest amount of each dosing, in the template, and the largest 1 / duration. */
static void measure_dosings(const planner *p, double *largest_weight) {
    const solve_layout *layout = &p->work->solution->layout;
    for (size_t l = 0; l < layout->lane_count; l++) {
        const solve_lane *lane = &layout->lanes[l];
        for (size_t row = 0; row < lane->source_count; row++) {
            const solve_lane_source *s = &lane->sources[row];
            if (s->input != SOLVE_NONE) {
                solve_dosing *dosing = &p->work->dosings[s->input];
                double amount = record_of(p, lane->subject, s->record)->amount;
                dosing->amount_high = fmax(dosing->amount_high, amount);
                largest_weight[s->input] = fmax(largest_weight[s->input], s->weight);
            }
        }
    }
}

static ddt_status name_dosing(const planner *p, const solve_dosing *dosing, char **name) {
    enum { NAME_MAX_BYTES = 192 };
    char text[NAME_MAX_BYTES];
    const char *compartment = p->work->model->compartments[dosing->compartment].name;
    if (p->work->dosing_count == 1) {
        (void)snprintf(text, sizeof text, "AMT");
    } else {
        (void)snprintf(text, sizeof text, "AMT(%.150s%s)", compartment, dosing->is_infusion ? ", infusion" : "");
    }
    *name = ddt_strdup(text);
    return *name == NULL ? solve_no_memory(p->work->ctx) : DDT_OK;
}

/* Amount inputs come first, in the order of the dosings, each with its own range. */
static ddt_status finish_dosings(planner *p) {
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
        solve_dosing *dosing = &work->dosings[i];
        dosing->amount_high = dosing->amount_high > 0.0 ? solve_round_up(amount_margin * dosing->amount_high) : 1.0;
        weights[i] = weights[i] > 0.0 ? weights[i] : 1.0;
        dosing->scale = dosing->amount_high * weights[i];
        layout->range_count = layout->input_count = i + 1;
        SOLVE_TRY(name_dosing(p, dosing, &layout->ranges[i].name));
        layout->ranges[i].high = dosing->amount_high;
        SOLVE_TRY(name_dosing(p, dosing, &layout->inputs[i].name));
        layout->inputs[i].kind = SOLVE_INPUT_AMOUNT;
        layout->inputs[i].range = (uint32_t)i;
        layout->inputs[i].half = 1.0;
        layout->inputs[i].bound = 1.0;
    }
    for (size_t l = 0; l < layout->lane_count; l++) {
        for (size_t row = 0; row < layout->lanes[l].source_count; row++) {
            solve_lane_source *s = &layout->lanes[l].sources[row];
            if (s->input != SOLVE_NONE) {
                s->weight /= work->dosings[s->input].scale;
            }
        }
    }
    return DDT_OK;
}

void solve_record_of(const ddt_record *from, solve_record *to) {
    *to = (solve_record){.time_h = from->time_h,
                         .interval_h = from->interval_h,
                         .duration_h = from->rate > 0.0 ? from->amount / from->rate : 0.0,
                         .fixed_amount = from->rate == rate_modelled ? from->amount : -1.0,
                         .evid = from->evid,
                         .rate_kind = from->rate > 0.0 ? 1 : (int32_t)from->rate,
                         .steady_state = from->steady_state,
                         .compartment = from->compartment,
                         .additional = from->additional};
}

static ddt_status keep_records(solve_work *work) {
    solve_layout *layout = &work->solution->layout;
    const ddt_events *events = work->events;
    layout->subjects = ddt_calloc(events->subject_count, sizeof *layout->subjects);
    if (layout->subjects == NULL) {
        return solve_no_memory(work->ctx);
    }
    layout->subject_count = events->subject_count;
    for (size_t s = 0; s < events->subject_count; s++) {
        solve_layout_subject *subject = &layout->subjects[s];
        size_t count = events->subjects[s].record_count;
        subject->id = ddt_strdup(events->subjects[s].id);
        subject->records = ddt_calloc(count, sizeof *subject->records);
        if (subject->id == NULL || subject->records == NULL) {
            return solve_no_memory(work->ctx);
        }
        subject->record_count = count;
        for (size_t r = 0; r < count; r++) {
            solve_record_of(&events->subjects[s].records[r], &subject->records[r]);
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ all */

ddt_status solve_schedules_create(solve_work *work) {
    size_t count = work->events->subject_count;
    work->schedules = solve_alloc(work, count, sizeof *work->schedules);
    work->is_dosed = solve_alloc(work, work->model->compartment_count, sizeof *work->is_dosed);
    if (work->schedules == NULL || work->is_dosed == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t s = 0; s < count; s++) {
        SOLVE_TRY(ddt_schedule_create(work->ctx, work->model, work->events, s, &work->schedules[s]));
        for (size_t d = 0; d < work->schedules[s].dose_count; d++) {
            work->is_dosed[work->schedules[s].doses[d].compartment] = true;
        }
    }
    return DDT_OK;
}

ddt_status solve_layout_create(solve_work *work) {
    planner p = {.work = work};
    size_t count = work->events->subject_count;
    p.subjects = solve_alloc(work, count, sizeof *p.subjects);
    if (p.subjects == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(keep_records(work));
    for (size_t s = 0; s < count; s++) {
        const ddt_schedule *schedule = &work->schedules[s];
        SOLVE_TRY(add_epochs(&p, s, schedule));
        for (size_t d = 0; d < schedule->dose_count; d++) {
            SOLVE_TRY(add_dose(&p, s, schedule, d));
        }
        SOLVE_TRY(make_columns(&p, s, schedule));
        work->solution->info.observations += schedule->observation_count;
        work->solution->info.sources += p.subjects[s].sources.count;
    }
    SOLVE_TRY(choose_shape(&p));
    SOLVE_TRY(fill_lanes(&p));
    return finish_dosings(&p);
}

static void lane_clear(solve_lane *lane) {
    ddt_free(lane->sources);
    ddt_free(lane->active);
}

void solve_layout_clear(solve_layout *layout) {
    for (size_t i = 0; i < layout->range_count; i++) {
        ddt_free(layout->ranges[i].name);
    }
    for (size_t i = 0; i < layout->input_count; i++) {
        ddt_free(layout->inputs[i].name);
    }
    for (size_t i = 0; i < layout->output_count; i++) {
        ddt_free(layout->outputs[i].name);
    }
    for (size_t i = 0; i < layout->subject_count; i++) {
        ddt_free(layout->subjects[i].id);
        ddt_free(layout->subjects[i].records);
        ddt_free(layout->subjects[i].observations);
    }
    for (size_t i = 0; layout->lanes != NULL && i < layout->lane_count; i++) {
        lane_clear(&layout->lanes[i]);
    }
    ddt_free(layout->ranges);
    ddt_free(layout->inputs);
    ddt_free(layout->outputs);
    ddt_free(layout->subjects);
    ddt_free(layout->lanes);
    *layout = (solve_layout){0};
}
