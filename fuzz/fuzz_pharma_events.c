/*
 * Event tables of any content for one model, the doses they expand to, grids, and for small tables the reference
 * solution. SPDX-License-Identifier: Apache-2.0
 */
#include "forge.h"

#include "ddt/pharma.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Two compartments, a covariate, a random effect, modelled rate and duration: every kind of column and of dose is
 * possible. */
static const char model_text[] = "m <- function() {\n"
                                 "  ini({ lcl <- 1; lv <- 2; eta.cl ~ 0.1 })\n"
                                 "  model({\n"
                                 "    cl <- exp(lcl + eta.cl) * (WT / 70)\n"
                                 "    d/dt(depot) <- -depot\n"
                                 "    d/dt(central) <- depot - cl / exp(lv) * central\n"
                                 "    f(depot) <- 0.8\n"
                                 "    alag(depot) <- 0.5\n"
                                 "    rate(central) <- WT\n"
                                 "    dur(central) <- 2\n"
                                 "  })\n"
                                 "}\n";

/* A dozen bytes of ADDL can ask for a million doses: larger tables would only be slower, and so would solving for many
 * doses. */
enum { TABLE_MAX_BYTES = 4096, SOLVED_DOSES = 32, SOLVED_RECORDS = 64, GRID_POINTS = 9 };

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static const ddt_model *shared_model(void) {
    static ddt_model *model = NULL;
    if (model == NULL && ddt_model_parse(forge_context(), model_text, strlen(model_text), "fuzz.R", &model) != DDT_OK) {
        abort();
    }
    return model;
}

/* What the schedule's contract says of doses and observations. */
static void check_schedule(const ddt_model *model, const ddt_subject *subject, const ddt_schedule *schedule) {
    for (size_t i = 0; i < schedule->dose_count; i++) {
        const ddt_dose *dose = &schedule->doses[i];
        require(dose->record < subject->record_count && dose->covariate_record < subject->record_count);
        require(dose->compartment < model->compartment_count && dose->epoch < schedule->epoch_count);
        require(isfinite(dose->time_h) && dose->time_h >= subject->records[dose->record].time_h);
        require(isfinite(dose->amount) && isfinite(dose->duration_h) && dose->duration_h >= 0.0);
    }
    for (size_t o = 0; o < schedule->observation_count; o++) {
        require(schedule->observations[o] < subject->record_count);
        for (size_t d = 0; d < schedule->dose_count; d++) {
            const ddt_dose *dose = &schedule->doses[d];
            bool later = dose->time_h > subject->records[schedule->observations[o]].time_h;
            require(!schedule->precedes[o * schedule->dose_count + d] ||
                    (!later && dose->epoch == schedule->observation_epoch[o]));
        }
    }
}

static void solve(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t subject) {
    double values[SOLVED_RECORDS];
    ddt_expr central = ddt_expr_symbol(model->pool, model->compartments[1].symbol);
    ddt_status status = ddt_reference_simulate(ctx, model, events, subject, &central, 1, values);
    require(ddt_status_exit_code(status) <= 1);
}

static void expand(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t subject) {
    ddt_schedule schedule;
    if (ddt_schedule_create(ctx, model, events, subject, &schedule) != DDT_OK) {
        require(schedule.doses == NULL);
        return;
    }
    check_schedule(model, &events->subjects[subject], &schedule);
    if (schedule.dose_count <= SOLVED_DOSES && events->subjects[subject].record_count <= SOLVED_RECORDS) {
        solve(ctx, model, events, subject);
    }
    ddt_schedule_destroy(&schedule);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const ddt_model *model = shared_model();
    ddt_context *ctx = forge_context();
    ddt_events *events = NULL;
    if (size > TABLE_MAX_BYTES ||
        ddt_events_parse(ctx, (const char *)data, size, "fuzz.csv", model, &events) != DDT_OK) {
        return 0;
    }
    for (size_t i = 0; i < events->subject_count; i++) {
        expand(ctx, model, events, i);
    }
    size_t before = events->record_count;
    if (ddt_events_add_points(ctx, events, GRID_POINTS) == DDT_OK) {
        require(events->record_count >= before);
        expand(ctx, model, events, events->subject_count - 1);
    }
    ddt_events_destroy(events);
    return 0;
}
