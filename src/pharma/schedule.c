/* Doses after expansion of ADDL and II, resets, and which dose acts before which observation.
 * SPDX-License-Identifier: Apache-2.0 */
#include "events_reader.h"

#include <string.h>

/* Entries of the table `precedes`: a quarter of a gigabyte. */
static const size_t table_max = (size_t)1 << 28;

typedef struct builder {
    ddt_context *ctx;
    const ddt_events *events;
    const ddt_subject *subject;
    unsigned default_compartment;
    size_t *record_epoch; /* of each record; a reset belongs to the epoch that it starts */
    ddt_schedule schedule;
} builder;

static bool is_reset(const ddt_record *record) {
    return record->evid == DDT_EVID_RESET || record->evid == DDT_EVID_RESET_DOSE ||
           (ddt_record_is_dose(record) && record->steady_state == 1);
}

static ddt_status fail_memory(const builder *b) {
    return ddt_fail(b->ctx, DDT_ERR_MEMORY, "Memory is short for the schedule of the subject %s of '%s'.",
                    b->subject->id, b->events->path);
}

static ddt_status find_epochs(builder *b) {
    const ddt_subject *subject = b->subject;
    ddt_schedule *s = &b->schedule;
    s->epoch_count = 1;
    for (size_t r = 0; r < subject->record_count; r++) {
        s->epoch_count += r > 0 && is_reset(&subject->records[r]);
        s->observation_count += ddt_record_is_observation(&subject->records[r]);
    }
    b->record_epoch = ddt_alloc(subject->record_count, sizeof *b->record_epoch);
    s->epoch_start_h = ddt_alloc(s->epoch_count, sizeof *s->epoch_start_h);
    s->epoch_record = ddt_alloc(s->epoch_count, sizeof *s->epoch_record);
    s->observations = ddt_alloc(s->observation_count, sizeof *s->observations);
    s->observation_epoch = ddt_alloc(s->observation_count, sizeof *s->observation_epoch);
    if (b->record_epoch == NULL || s->epoch_start_h == NULL || s->epoch_record == NULL || s->observations == NULL ||
        s->observation_epoch == NULL) {
        return fail_memory(b);
    }
    size_t epoch = 0;
    size_t observation = 0;
    for (size_t r = 0; r < subject->record_count; r++) {
        const ddt_record *record = &subject->records[r];
        bool starts = r > 0 && is_reset(record);
        epoch += starts;
        if (starts || r == 0) {
            s->epoch_start_h[epoch] = record->time_h;
            s->epoch_record[epoch] = r;
        }
        b->record_epoch[r] = epoch;
        if (ddt_record_is_observation(record)) {
            s->observations[observation] = r;
            s->observation_epoch[observation++] = epoch;
        }
    }
    return DDT_OK;
}

/* The last time at which a dose of this epoch can act before a record. */
static double epoch_end_h(const builder *b, size_t epoch) {
    const ddt_subject *subject = b->subject;
    return epoch + 1 < b->schedule.epoch_count ? b->schedule.epoch_start_h[epoch + 1]
                                               : subject->records[subject->record_count - 1].time_h;
}

/* Additional doses of a record that fall within its epoch. */
static size_t additional_count(const builder *b, size_t r) {
    const ddt_record *record = &b->subject->records[r];
    if (record->additional == 0) {
        return 0;
    }
    double end_h = epoch_end_h(b, b->record_epoch[r]);
    double reached = (end_h - record->time_h) / record->interval_h;
    size_t count = reached >= (double)record->additional ? record->additional : (size_t)reached;
    double next_h = record->time_h + (double)(count + 1) * record->interval_h;
    return count + (count < record->additional && ddt_events_same_time(next_h, end_h));
}

static ddt_status count_doses(builder *b, size_t *count) {
    *count = 0;
    for (size_t r = 0; r < b->subject->record_count; r++) {
        if (!ddt_record_is_dose(&b->subject->records[r])) {
            continue;
        }
        *count += 1 + additional_count(b, r);
        if (*count > DDT_SCHEDULE_MAX_DOSES) {
            return ddt_fail(b->ctx, DDT_ERR_CAPACITY, "'%s', line %u: the subject %s has more than %d doses.",
                            b->events->path, b->subject->records[r].line, b->subject->id, DDT_SCHEDULE_MAX_DOSES);
        }
    }
    return DDT_OK;
}

size_t ddt_events_in_force(const ddt_events *events, size_t record) {
    return events->carries_forward && record > 0 ? record - 1 : record;
}

/*
 * The first record at or after an additional dose: its covariates hold when the dose is given. Where the dose falls on
 * a record's time but for rounding, that time is taken, so that both are at exactly the same time.
 */
static void place_additional(const builder *b, size_t *search, ddt_dose *dose) {
    const ddt_subject *subject = b->subject;
    while (*search + 1 < subject->record_count && subject->records[*search].time_h < dose->time_h &&
           !ddt_events_same_time(subject->records[*search].time_h, dose->time_h)) {
        (*search)++;
    }
    bool is_at_record = ddt_events_same_time(subject->records[*search].time_h, dose->time_h);
    bool is_behind = subject->records[*search].time_h < dose->time_h;
    dose->covariate_record = is_at_record || is_behind ? *search : ddt_events_in_force(b->events, *search);
    if (is_at_record) {
        dose->time_h = subject->records[*search].time_h;
    }
}

static void expand_record(builder *b, size_t r) {
    const ddt_record *record = &b->subject->records[r];
    size_t count = additional_count(b, r);
    unsigned compartment = record->compartment == 0 ? b->default_compartment : record->compartment;
    size_t search = r;
    for (size_t k = 0; k <= count; k++) {
        ddt_dose dose = {.record = r,
                         .additional = (unsigned)k,
                         .time_h = record->time_h + (double)k * record->interval_h,
                         .compartment = compartment - 1,
                         .amount = record->amount,
                         .duration_h = record->rate > 0.0 ? record->amount / record->rate : 0.0,
                         .rate = record->rate,
                         .steady_state = k == 0 ? record->steady_state : 0,
                         .interval_h = record->interval_h,
                         .epoch = b->record_epoch[r],
                         .covariate_record = r};
        if (k > 0) {
            place_additional(b, &search, &dose);
        }
        b->schedule.doses[b->schedule.dose_count++] = dose;
    }
}

static ddt_status expand_doses(builder *b) {
    size_t count = 0;
    ddt_status status = count_doses(b, &count);
    if (status != DDT_OK) {
        return status;
    }
    b->schedule.doses = ddt_alloc(count, sizeof *b->schedule.doses);
    if (b->schedule.doses == NULL) {
        return fail_memory(b);
    }
    for (size_t r = 0; r < b->subject->record_count; r++) {
        if (ddt_record_is_dose(&b->subject->records[r])) {
            expand_record(b, r);
        }
    }
    return DDT_OK;
}

static ddt_status fill_precedes(builder *b) {
    ddt_schedule *s = &b->schedule;
    size_t entries = 0;
    if (!ddt_size_mul(s->observation_count, s->dose_count, &entries) || entries > table_max) {
        return ddt_fail(b->ctx, DDT_ERR_CAPACITY,
                        "The subject %s of '%s' has too many doses (%zu) and observations (%zu) for one schedule.",
                        b->subject->id, b->events->path, s->dose_count, s->observation_count);
    }
    s->precedes = ddt_alloc(entries, sizeof *s->precedes);
    if (s->precedes == NULL) {
        return fail_memory(b);
    }
    for (size_t o = 0; o < s->observation_count; o++) {
        double time_h = b->subject->records[s->observations[o]].time_h;
        for (size_t d = 0; d < s->dose_count; d++) {
            const ddt_dose *dose = &s->doses[d];
            /* Additional doses, which act before the records of their time, come from records further above. */
            bool first_at_same_time = dose->time_h == time_h && dose->record < s->observations[o];
            s->precedes[o * s->dose_count + d] =
                dose->epoch == s->observation_epoch[o] && (dose->time_h < time_h || first_at_same_time);
        }
    }
    return DDT_OK;
}

ddt_status ddt_schedule_create(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t subject,
                               ddt_schedule *out) {
    *out = (ddt_schedule){0};
    if (subject >= events->subject_count) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "There is no subject %zu in '%s'.", subject, events->path);
    }
    builder b = {.ctx = ctx,
                 .events = events,
                 .subject = &events->subjects[subject],
                 .default_compartment = ddt_events_default_compartment(model)};
    ddt_status status = find_epochs(&b);
    if (status == DDT_OK) {
        status = expand_doses(&b);
    }
    if (status == DDT_OK) {
        status = fill_precedes(&b);
    }
    ddt_free(b.record_epoch);
    if (status != DDT_OK) {
        ddt_schedule_destroy(&b.schedule);
        return status;
    }
    *out = b.schedule;
    return DDT_OK;
}

void ddt_schedule_destroy(ddt_schedule *schedule) {
    ddt_free(schedule->doses);
    ddt_free(schedule->observations);
    ddt_free(schedule->observation_epoch);
    ddt_free(schedule->precedes);
    ddt_free(schedule->epoch_start_h);
    ddt_free(schedule->epoch_record);
    *schedule = (ddt_schedule){0};
}
