/* A plan file as the custodian reads it: program, layout, recipe. What is read is whole. SPDX-License-Identifier: Apache-2.0 */
#include "forge.h"

#include "twin_internal.h"

#include <stdlib.h>

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/* Of a living twin: the model that the plan names and the twin's section need not belong together. */
static void check_life(ddt_context *ctx, const ddt_twin_plan *plan, const ddt_model *model) {
    static const char table[] = "ID,TIME,AMT,EVID,DV\n9,0,100,1,.\n9,0.5,.,0,11.0\n";
    ddt_events *events = NULL;
    ddt_update_steps steps;
    if (ddt_events_parse(ctx, table, sizeof table - 1, "fuzz.csv", model, &events) == DDT_OK &&
        ddt_update_fill(ctx, plan->update, model, events, 0, 0.0, &steps) == DDT_OK) {
        require(steps.block == ddt_update_block(plan->update));
        ddt_update_steps_destroy(&steps);
    }
    ddt_context_clear(ctx);
    ddt_events_destroy(events);
}

static void check_layout(ddt_context *ctx, const ddt_twin_plan *plan) {
    require(plan->recipe.subject_count == ddt_solution_subject_count(plan->solution));
    for (size_t s = 0; s < plan->recipe.subject_count; s++) {
        require(plan->recipe.observation_counts[s] == ddt_solution_observation_count(plan->solution, s));
    }
    ddt_profile profile;
    ddt_status status = twin_profile_create(ctx, plan->solution, &plan->recipe, &profile);
    require(status == DDT_OK || status == DDT_ERR_MEMORY);
    ddt_profile_destroy(&profile);
}

static void check_plan(ddt_context *ctx, const ddt_twin_plan *plan) {
    require((plan->solution == NULL) == (plan->update != NULL));
    if (plan->update == NULL) {
        check_layout(ctx, plan);
    }
    ddt_model *model = NULL;
    if (ddt_twin_plan_model(ctx, plan, &model) == DDT_OK) {
        require(model != NULL);
        if (plan->update != NULL) {
            check_life(ctx, plan, model);
        }
    }
    ddt_model_destroy(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t length = 0;
    uint8_t *bytes = forge_repair(data, size, DDT_WIRE_PLAN, &length);
    ddt_context *ctx = forge_context();
    ddt_reader *reader = NULL;
    ddt_twin_plan *plan = NULL;
    if (bytes != NULL && ddt_reader_open_memory(ctx, bytes, length, DDT_WIRE_PLAN, &reader) == DDT_OK &&
        twin_plan_read_sections(ctx, reader, &plan) == DDT_OK) {
        check_plan(ctx, plan);
    }
    ddt_twin_plan_destroy(plan);
    ddt_reader_close(reader);
    ddt_context_clear(ctx);
    free(bytes);
    return 0;
}
