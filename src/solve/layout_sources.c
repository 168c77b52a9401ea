/*
 * The sources of a subject: doses, infusions (cut at the borders of segments), starts of epochs.
 *
 * A steady-state dose is what it means: the doses that went before it, as many as the slowest patient of the population
 * still feels. They are sources like all others, so that steady state costs slots but no depth.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "layout_plan.h"

#include <string.h>

/* Most doses that stand for a steady state. */
enum { STEADY_DOSES_MAX = 4096 };

static const double rate_modelled = -1.0;
static const double duration_modelled = -2.0;
static const double forgotten = 0.1;         /* of the tolerance */
static const double forgotten_in_fits = 3.0; /* levels have errors of their own, and the slowest patients decide */

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

static ddt_status refuse_dose(const planner *p, size_t subject, const ddt_dose *dose, const char *why) {
    const ddt_events *events = p->work->events;
    return ddt_fail(p->work->ctx, DDT_ERR_UNSUPPORTED, "'%s', line %u: the dose into %s of the subject %s %s.",
                    events->path, layout_record(p, subject, dose->record)->line,
                    p->work->model->compartments[dose->compartment].name, events->subjects[subject].id, why);
}

/* ------------------------------------------------------------------ lag, duration */

static bool is_constant_infusion(const ddt_dose *dose) {
    return dose->steady_state != 0 && dose->rate != 0.0 && dose->amount == 0.0;
}

/* The values that a lag, rate... takes within the declared ranges: finite and not negative. */
static ddt_status bounds_of(const planner *p, size_t subject, const ddt_dose *dose, ddt_expr e, const char *why,
                            double *low, double *high) {
    solve_fact fact;
    SOLVE_TRY(solve_fact_of(p->work, e, &fact));
    *low = fact.low;
    *high = fact.high;
    return isfinite(fact.low) && isfinite(fact.high) && fact.low >= 0.0 ? DDT_OK : refuse_dose(p, subject, dose, why);
}

static ddt_status lag_bounds(const planner *p, size_t subject, const ddt_dose *dose, source *item) {
    const solve_linear *linear = &p->work->linear;
    SOLVE_TRY(bounds_of(p, subject, dose, linear->lag[dose->compartment],
                        "has a lag that is negative or not bounded within the declared ranges", &item->lag_low_h,
                        &item->lag_high_h));
    item->is_private |= isnan(linear->lag_h[dose->compartment]);
    if (dose->steady_state != 0 && item->lag_low_h > (is_constant_infusion(dose) ? 0.0 : dose->interval_h)) {
        return refuse_dose(p, subject, dose, "is at steady state with a lag longer than its interval");
    }
    return DDT_OK;
}

ddt_status layout_measure_rates(planner *p) {
    p->most_at_rate = solve_alloc(p->work, p->work->model->compartment_count, sizeof *p->most_at_rate);
    if (p->most_at_rate == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t s = 0; s < p->work->events->subject_count; s++) {
        const ddt_schedule *schedule = &p->work->schedules[s];
        for (size_t d = 0; d < schedule->dose_count; d++) {
            const ddt_dose *dose = &schedule->doses[d];
            double *most = &p->most_at_rate[dose->compartment];
            *most = dose->rate == rate_modelled ? fmax(*most, dose->amount) : *most;
        }
    }
    return DDT_OK;
}

/* No amount given at a modelled rate may be larger: the end of its range. */
static double most_at_modelled_rate(const planner *p, size_t compartment) {
    return solve_amount_high(p->most_at_rate[compartment]);
}

/* F AMT / RATE; F AMT / rate(). */
static ddt_status rate_bounds(const planner *p, size_t subject, const ddt_dose *dose, source *item) {
    const solve_linear *linear = &p->work->linear;
    size_t c = dose->compartment;
    double f_low = 1.0;
    double f_high = 1.0;
    SOLVE_TRY(bounds_of(p, subject, dose, linear->bioavailability[c],
                        "has a bioavailability that is negative or not bounded within the declared ranges", &f_low,
                        &f_high));
    item->is_private |= f_low != f_high;
    if (dose->rate != rate_modelled) {
        item->duration_low_h = f_low * dose->duration_h;
        item->duration_high_h = f_high * dose->duration_h;
        return DDT_OK;
    }
    double low = 0.0;
    double high = 0.0;
    SOLVE_TRY(bounds_of(p, subject, dose, linear->rate[c], "has a rate that is negative or not bounded", &low, &high));
    if (!(low > 0.0)) {
        return refuse_dose(p, subject, dose, "has RATE -1, but the model gives no rate above 0");
    }
    bool is_fixed = p->work->newton != NULL && low == high;
    item->is_private |= !is_fixed;
    item->duration_low_h = is_fixed ? f_low * dose->amount / high : 0.0;
    item->duration_high_h = f_high * (is_fixed ? dose->amount : most_at_modelled_rate(p, c)) / low;
    return DDT_OK;
}

static ddt_status duration_bounds(const planner *p, size_t subject, const ddt_dose *dose, source *item) {
    const solve_linear *linear = &p->work->linear;
    if (dose->rate == 0.0 || is_constant_infusion(dose)) {
        return DDT_OK;
    }
    if (dose->rate != duration_modelled) {
        return rate_bounds(p, subject, dose, item);
    }
    SOLVE_TRY(bounds_of(p, subject, dose, linear->duration[dose->compartment],
                        "has a duration that is negative or not bounded", &item->duration_low_h,
                        &item->duration_high_h));
    item->is_private |= isnan(linear->modelled_duration_h[dose->compartment]);
    return item->duration_low_h > 0.0
               ? DDT_OK
               : refuse_dose(p, subject, dose, "has RATE -2, but the model gives no duration above 0");
}

/* ------------------------------------------------------------------ amounts */

static solve_giving giving_of(const ddt_dose *dose, const source *item) {
    if (is_constant_infusion(dose)) {
        return dose->rate == rate_modelled ? SOLVE_GIVING_CONSTANT_MODELLED : SOLVE_GIVING_CONSTANT;
    }
    double start_h = item->own.time_h + item->lag_low_h;
    if (dose->rate == 0.0 || (!item->is_private && solve_same_time(start_h, start_h + item->duration_high_h))) {
        return SOLVE_GIVING_BOLUS;
    }
    if (dose->rate == rate_modelled) {
        return SOLVE_GIVING_MODELLED_RATE;
    }
    return dose->rate == duration_modelled ? SOLVE_GIVING_MODELLED_DURATION : SOLVE_GIVING_RATE;
}

/* The input for doses into this compartment in this way. */
static ddt_status find_dosing(solve_work *work, size_t compartment, solve_giving giving, uint32_t *out) {
    enum { WAYS = SOLVE_GIVING_CONSTANT_MODELLED + 1 };
    for (size_t i = 0; i < work->dosing_count; i++) {
        if (work->dosings[i].compartment == compartment && work->dosings[i].giving == giving) {
            *out = (uint32_t)i;
            return DDT_OK;
        }
    }
    if (work->dosings == NULL) {
        work->dosings = solve_alloc(work, WAYS * work->model->compartment_count, sizeof *work->dosings);
        if (work->dosings == NULL) {
            return DDT_ERR_MEMORY;
        }
    }
    bool has_public_f = ddt_expr_is_const(work->pool, work->linear.bioavailability[compartment], NULL);
    *out = (uint32_t)work->dosing_count;
    work->dosings[work->dosing_count++] =
        (solve_dosing){.compartment = compartment,
                       .giving = giving,
                       .is_infusion = giving != SOLVE_GIVING_BOLUS,
                       .omits_f = (giving == SOLVE_GIVING_RATE && !has_public_f) ||
                                  (giving == SOLVE_GIVING_MODELLED_RATE && work->newton == NULL) ||
                                  giving == SOLVE_GIVING_CONSTANT || giving == SOLVE_GIVING_CONSTANT_MODELLED,
                       .input = *out};
    return DDT_OK;
}

/* The largest value of the input, for an amount (or rate) of 1; for modelled rates the largest value itself. */
static ddt_status weigh(const planner *p, const ddt_dose *dose, source *item) {
    const solve_dosing *dosing = &p->work->dosings[item->own.input];
    solve_fact rate;
    SOLVE_TRY(solve_fact_of(p->work, p->work->linear.rate[dose->compartment], &rate));
    switch (dosing->giving) {
    case SOLVE_GIVING_RATE:
        item->own.weight = 1.0 / (dosing->omits_f ? dose->duration_h : item->duration_low_h);
        break;
    case SOLVE_GIVING_MODELLED_DURATION:
        item->own.weight = 1.0 / item->duration_low_h;
        break;
    case SOLVE_GIVING_MODELLED_RATE:
        item->own.weight =
            item->is_private ? rate.high / most_at_modelled_rate(p, dose->compartment) : 1.0 / item->duration_low_h;
        break;
    case SOLVE_GIVING_CONSTANT_MODELLED:
        item->own.weight = rate.high;
        break;
    default:
        item->own.weight = 1.0;
        break;
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ steady state */

/* How long before a steady-state dose things still matter. */
static ddt_status steady_past_h(planner *p, size_t subject, const ddt_dose *dose, double *past_h) {
    double interval_h = is_constant_infusion(dose) ? 1.0 : dose->interval_h;
    if (!(interval_h > 0.0)) {
        return refuse_dose(p, subject, dose, "is at steady state without an interval II");
    }
    if (interval_h != p->memory_of_h) {
        double part = p->work->fits ? forgotten_in_fits : forgotten;
        SOLVE_TRY(solve_memory_h(p->work, interval_h, part * p->work->options.tolerance, &p->memory_h));
        p->memory_of_h = interval_h;
    }
    *past_h = p->memory_h;
    return DDT_OK;
}

/* How many doses before a steady-state dose still matter. */
static ddt_status steady_count(planner *p, size_t subject, const ddt_dose *dose, double duration_h, size_t *count) {
    *count = 0;
    if (dose->steady_state == 0 || is_constant_infusion(dose)) {
        return DDT_OK;
    }
    double past_h = 0.0;
    SOLVE_TRY(steady_past_h(p, subject, dose, &past_h));
    double needed = ceil((past_h + duration_h) / dose->interval_h);
    if (!(needed <= STEADY_DOSES_MAX)) {
        return refuse_dose(p, subject, dose,
                           "is at steady state, which the slowest virtual patients reach after too many doses");
    }
    *count = (size_t)needed;
    return DDT_OK;
}

/* ------------------------------------------------------------------ segments */

/* Up to time_h hold the values of a record: a segment of its own where they differ from those before. */
static void add_segment(const planner *p, size_t subject, size_t record, double time_h, size_t start,
                        solve_segment *out, size_t *count) {
    if (*count > start && !solve_roles_differ(p->work, subject, out[*count - 1].record, record)) {
        out[*count - 1].end_h = time_h;
    } else {
        out[(*count)++] = (solve_segment){time_h, (uint32_t)record};
    }
}

/* The segments of an epoch. A steady state that is added has one of no length: its past is that of a patient with the
 * record's own covariates. */
static void epoch_segments(const planner *p, size_t subject, size_t first, size_t end, solve_segment *out,
                           size_t *count) {
    size_t start = *count;
    if (layout_record(p, subject, first)->steady_state == 1) { /* what was before it had its covariates */
        out[(*count)++] = (solve_segment){layout_record(p, subject, first)->time_h, (uint32_t)first};
    }
    for (size_t r = first + 1; r < end; r++) {
        double time_h = layout_record(p, subject, r)->time_h;
        if (time_h > layout_record(p, subject, r - 1)->time_h) {
            add_segment(p, subject, ddt_events_in_force(p->work->events, r), time_h, start, out, count);
        }
        if (layout_record(p, subject, r)->steady_state != 0) {
            add_segment(p, subject, r, time_h, start, out, count);
        }
    }
    if (*count == start) {
        out[(*count)++] = (solve_segment){layout_record(p, subject, first)->time_h, (uint32_t)first};
    }
}

/* The segments of an epoch, as a part of the subject's list. */
typedef struct epoch_part {
    const solve_segment *first;
    uint32_t start, count;
} epoch_part;

static uint32_t segment_at(const epoch_part *part, double time_h) {
    uint32_t j = 0;
    while (j + 1 < part->count && part->first[j].end_h < time_h) {
        j++;
    }
    return j;
}

/* The segment whose covariates held in the past of a steady-state dose. */
static uint32_t past_of(const epoch_part *part, const ddt_dose *dose) {
    for (uint32_t j = 0; j < part->count; j++) {
        if (part->first[j].record == dose->record) {
            return j;
        }
    }
    return segment_at(part, dose->time_h);
}

static ddt_status make_segments(planner *p, size_t subject, epoch_part *parts) {
    const ddt_schedule *schedule = &p->work->schedules[subject];
    size_t records = p->work->events->subjects[subject].record_count;
    solve_layout_subject *s = &p->work->solution->layout.subjects[subject];
    s->segments = ddt_calloc(2 * records + schedule->epoch_count, sizeof *s->segments);
    if (s->segments == NULL) {
        return solve_no_memory(p->work->ctx);
    }
    for (size_t e = 0; e < schedule->epoch_count; e++) {
        size_t end = e + 1 < schedule->epoch_count ? schedule->epoch_record[e + 1] : records;
        uint32_t start = (uint32_t)s->segment_count;
        epoch_segments(p, subject, schedule->epoch_record[e], end, s->segments, &s->segment_count);
        parts[e] = (epoch_part){s->segments + start, start, (uint32_t)s->segment_count - start};
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ doses */

/* An infusion is one source for each segment that it can reach into. */
static ddt_status add_pieces(planner *p, size_t subject, const epoch_part *part, source item) {
    source_list *list = &p->subjects[subject].sources;
    bool is_infusion = item.own.input != SOLVE_NONE && p->work->dosings[item.own.input].is_infusion;
    if (!p->has_segments || !is_infusion) {
        return add_source(p, list, item);
    }
    double start_h = item.own.time_h + item.lag_low_h;
    double end_h = item.own.time_h + item.lag_high_h + item.duration_high_h;
    uint32_t past = item.own.past;
    uint32_t first = segment_at(part, start_h);
    first = first < past ? past : first;
    for (uint32_t j = first; j < part->count && (j == first || part->first[j - 1].end_h < end_h); j++) {
        item.own.piece = j;
        item.from_h = j > first ? part->first[j - 1].end_h : -INFINITY;
        SOLVE_TRY(add_source(p, list, item));
    }
    return DDT_OK;
}

static ddt_status add_dose(planner *p, size_t subject, const epoch_part *parts, size_t d) {
    const ddt_dose *dose = &p->work->schedules[subject].doses[d];
    const epoch_part *part = &parts[dose->epoch];
    source item = {.own = {.record = (uint32_t)dose->record,
                           .covariate_record = (uint32_t)dose->covariate_record,
                           .piece = SOLVE_NONE,
                           .time_h = dose->time_h},
                   .dose = d,
                   .epoch = dose->epoch,
                   .from_h = -INFINITY};
    if (p->work->linear.state[dose->compartment] == SIZE_MAX) {
        return DDT_OK; /* reaches no output */
    }
    SOLVE_TRY(lag_bounds(p, subject, dose, &item));
    SOLVE_TRY(duration_bounds(p, subject, dose, &item));
    if (item.is_private && p->work->newton != NULL) {
        return refuse_dose(p, subject, dose,
                           "has a lag, rate or duration that depends on encrypted values, which is not supported in "
                           "models that are not linear");
    }
    SOLVE_TRY(find_dosing(p->work, dose->compartment, giving_of(dose, &item), &item.own.input));
    if (!p->work->dosings[item.own.input].is_infusion) {
        item.duration_low_h = item.duration_high_h = 0.0;
    }
    SOLVE_TRY(weigh(p, dose, &item));
    size_t before = 0;
    SOLVE_TRY(steady_count(p, subject, dose, item.duration_high_h, &before));
    item.own.past = p->has_segments && dose->steady_state != 0 ? past_of(part, dose) : 0;
    if (is_constant_infusion(dose)) { /* it ends at its record */
        SOLVE_TRY(steady_past_h(p, subject, dose, &item.own.duration_h));
        item.duration_low_h = item.duration_high_h = item.own.duration_h;
        item.own.time_h -= item.own.duration_h;
        return add_pieces(p, subject, part, item);
    }
    for (size_t k = 0; k <= before; k++) {
        item.own.time_h = dose->time_h - (double)k * dose->interval_h;
        SOLVE_TRY(add_pieces(p, subject, part, item));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ epochs */

/* The dose of SS 1 that starts an epoch, or NULL. */
static const ddt_dose *steady_start(const planner *p, size_t subject, const ddt_schedule *schedule, size_t epoch) {
    size_t record = schedule->epoch_record[epoch];
    if (layout_record(p, subject, record)->steady_state != 1) {
        return NULL;
    }
    for (size_t d = 0; d < schedule->dose_count; d++) {
        if (schedule->doses[d].record == record && schedule->doses[d].steady_state == 1) {
            return &schedule->doses[d];
        }
    }
    return NULL;
}

/* After a steady state constant inputs have gone on for ever, and initial values are forgotten. */
static ddt_status add_epoch(planner *p, size_t subject, size_t e) {
    const ddt_schedule *schedule = &p->work->schedules[subject];
    const ddt_dose *steady = steady_start(p, subject, schedule, e);
    double past_h = 0.0;
    source item = {.own = {.record = SOLVE_NONE,
                           .input = SOLVE_NONE,
                           .covariate_record = (uint32_t)schedule->epoch_record[e],
                           .piece = SOLVE_NONE},
                   .dose = SIZE_MAX,
                   .epoch = e,
                   .from_h = -INFINITY,
                   .is_initial = steady == NULL};
    if (steady != NULL && !p->work->linear.has_unit) {
        return DDT_OK;
    }
    SOLVE_TRY(steady != NULL ? steady_past_h(p, subject, steady, &past_h) : DDT_OK);
    item.own.time_h = schedule->epoch_start_h[e] - past_h;
    return add_source(p, &p->subjects[subject].sources, item);
}

static ddt_status add_epochs(planner *p, size_t subject) {
    bool is_wanted = p->work->linear.has_unit || p->work->linear.has_initial;
    for (size_t e = 0; is_wanted && e < p->work->schedules[subject].epoch_count; e++) {
        SOLVE_TRY(add_epoch(p, subject, e));
    }
    return DDT_OK;
}

ddt_status layout_sources(planner *p, size_t subject) {
    const ddt_schedule *schedule = &p->work->schedules[subject];
    epoch_part *parts = solve_alloc(p->work, schedule->epoch_count, sizeof *parts);
    if (parts == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(p->has_segments ? make_segments(p, subject, parts) : DDT_OK);
    SOLVE_TRY(add_epochs(p, subject));
    for (size_t d = 0; d < schedule->dose_count; d++) {
        SOLVE_TRY(add_dose(p, subject, parts, d));
    }
    return DDT_OK;
}
