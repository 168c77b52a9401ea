/* Event tables of any content for one model, and the doses they expand to. SPDX-License-Identifier: Apache-2.0 */
#include "forge.h"

#include "ddt/pharma.h"

#include <stdlib.h>
#include <string.h>

/* Two compartments, a covariate and a random effect: every kind of column is possible. */
static const char model_text[] = "m <- function() {\n"
                                 "  ini({ lcl <- 1; lv <- 2; eta.cl ~ 0.1 })\n"
                                 "  model({\n"
                                 "    cl <- exp(lcl + eta.cl) * (WT / 70)\n"
                                 "    d/dt(depot) <- -depot\n"
                                 "    d/dt(central) <- depot - cl / exp(lv) * central\n"
                                 "  })\n"
                                 "}\n";

/* A dozen bytes of ADDL can ask for a million doses: larger tables would only be slower. */
enum { TABLE_MAX_BYTES = 4096 };

static const ddt_model *shared_model(void) {
    static ddt_model *model = NULL;
    if (model == NULL && ddt_model_parse(forge_context(), model_text, strlen(model_text), "fuzz.R", &model) != DDT_OK) {
        abort();
    }
    return model;
}

static void expand(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t subject) {
    ddt_schedule schedule;
    if (ddt_schedule_create(ctx, model, events, subject, &schedule) != DDT_OK) {
        return;
    }
    for (size_t i = 0; i < schedule.dose_count; i++) {
        if (schedule.doses[i].record >= events->subjects[subject].record_count ||
            schedule.doses[i].compartment >= model->compartment_count ||
            schedule.doses[i].epoch >= schedule.epoch_count) {
            abort();
        }
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
    ddt_events_destroy(events);
    return 0;
}
