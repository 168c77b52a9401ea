/* Records of type 2 on a regular grid. SPDX-License-Identifier: Apache-2.0 */
#include "events_reader.h"

#include <math.h>

static double grid_time(const ddt_subject *subject, size_t step, double step_h) {
    return subject->records[0].time_h + (double)step * step_h;
}

/* Steps of the grid from the first record to the last, both ends included; more than the limit may be returned, which
 * is then refused. */
static size_t grid_count(const ddt_subject *subject, double step_h) {
    double span_h = subject->records[subject->record_count - 1].time_h - subject->records[0].time_h;
    double steps = floor(span_h / step_h);
    if (steps > DDT_EVENTS_MAX_RECORDS) {
        return DDT_EVENTS_MAX_RECORDS + 1;
    }
    size_t count = (size_t)steps;
    if (ddt_events_same_time(grid_time(subject, count + 1, step_h),
                             subject->records[subject->record_count - 1].time_h)) {
        count++;
    }
    return count + 1;
}

/* Subject with its records and the grid merged. */
typedef struct merge {
    const ddt_subject *from;
    ddt_subject to;
    size_t stride; /* covariates of a record */
    bool carries_forward;
} merge;

static void put(merge *m, ddt_record record, size_t covariates_of) {
    double *values = m->to.covariate_values + m->to.record_count * m->stride;
    const double *source = m->from->covariate_values + m->from->records[covariates_of].covariates;
    for (size_t i = 0; i < m->stride; i++) {
        values[i] = source[i];
    }
    record.covariates = m->to.record_count * m->stride;
    m->to.records[m->to.record_count++] = record;
}

/*
 * A grid record between two records takes the covariates of the later one, whose interval it divides (of the earlier
 * one where values are carried forward); behind records of its own time it takes those of the last of them.
 */
static void merge_records(merge *m, double step_h, size_t steps) {
    const ddt_subject *from = m->from;
    size_t next = 0;
    for (size_t k = 0; k < steps; k++) {
        double time_h = grid_time(from, k, step_h);
        bool observed = false;
        bool shared = false;
        for (; next < from->record_count; next++) {
            const ddt_record *record = &from->records[next];
            bool same = ddt_events_same_time(record->time_h, time_h);
            if (record->time_h > time_h && !same) {
                break;
            }
            observed = observed || (same && ddt_record_is_observation(record));
            shared = shared || same;
            put(m, *record, next);
        }
        if (!observed) {
            double at_h = shared ? from->records[next - 1].time_h : time_h;
            bool of_earlier = shared || next == from->record_count || m->carries_forward;
            size_t covariates_of = of_earlier ? next - 1 : next;
            put(m, (ddt_record){.time_h = at_h, .evid = DDT_EVID_OTHER}, covariates_of);
        }
    }
    for (; next < from->record_count; next++) {
        put(m, from->records[next], next);
    }
}

/* The step of a subject: step_h, or where that is 0 the one that spreads `points` over the subject's own span. */
static double subject_step(const ddt_subject *subject, double step_h, size_t points) {
    if (step_h > 0.0) {
        return step_h;
    }
    double span_h = subject->records[subject->record_count - 1].time_h - subject->records[0].time_h;
    return span_h > 0.0 && points > 1 ? span_h / (double)(points - 1) : 1.0;
}

static ddt_status check_size(ddt_context *ctx, const ddt_events *events, double step_h, size_t points, size_t *total) {
    *total = events->record_count;
    for (size_t i = 0; i < events->subject_count; i++) {
        *total += grid_count(&events->subjects[i], subject_step(&events->subjects[i], step_h, points));
        if (*total > DDT_EVENTS_MAX_RECORDS) {
            return ddt_fail(ctx, DDT_ERR_CAPACITY, "The grid gives '%s' more than %d records; a wider step is needed.",
                            events->path, DDT_EVENTS_MAX_RECORDS);
        }
    }
    return DDT_OK;
}

static ddt_status merge_subject(ddt_context *ctx, const ddt_events *events, double step_h, size_t index,
                                ddt_subject *out) {
    const ddt_subject *from = &events->subjects[index];
    size_t steps = grid_count(from, step_h);
    size_t capacity = from->record_count + steps;
    merge m = {.from = from, .stride = events->covariate_count, .carries_forward = events->carries_forward};
    m.to.covariates_constant = from->covariates_constant;
    m.to.records = ddt_alloc(capacity, sizeof *m.to.records);
    m.to.covariate_values = ddt_alloc(capacity * m.stride, sizeof *m.to.covariate_values);
    if (m.to.records == NULL || m.to.covariate_values == NULL) {
        ddt_free(m.to.records);
        ddt_free(m.to.covariate_values);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for the grid of '%s'.", events->path);
    }
    merge_records(&m, step_h, steps);
    *out = m.to;
    return DDT_OK;
}

static ddt_status add_records(ddt_context *ctx, ddt_events *events, double step_h, size_t points) {
    size_t total = 0;
    ddt_status status = check_size(ctx, events, step_h, points, &total);
    if (status != DDT_OK) {
        return status;
    }
    /* All subjects first, so that a failure changes none. */
    ddt_subject *merged = ddt_calloc(events->subject_count, sizeof *merged);
    if (merged == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for the grid of '%s'.", events->path);
    }
    for (size_t i = 0; i < events->subject_count && status == DDT_OK; i++) {
        status = merge_subject(ctx, events, subject_step(&events->subjects[i], step_h, points), i, &merged[i]);
    }
    size_t record_count = 0;
    for (size_t i = 0; i < events->subject_count; i++) {
        if (status == DDT_OK) {
            ddt_subject old = events->subjects[i];
            merged[i].id = old.id;
            events->subjects[i] = merged[i];
            merged[i] = old;
            record_count += events->subjects[i].record_count;
        }
        ddt_free(merged[i].records);
        ddt_free(merged[i].covariate_values);
    }
    if (status == DDT_OK) {
        events->record_count = record_count;
    }
    ddt_free(merged);
    return status;
}

ddt_status ddt_events_add_grid(ddt_context *ctx, ddt_events *events, double step_h) {
    if (!isfinite(step_h) || step_h <= 0.0) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "The grid's step %.15g is not a positive number.", step_h);
    }
    return add_records(ctx, events, step_h, 0);
}

ddt_status ddt_events_add_points(ddt_context *ctx, ddt_events *events, size_t count) {
    if (count < 2) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "A grid of %zu points has no two ends.", count);
    }
    return add_records(ctx, events, 0.0, count);
}
