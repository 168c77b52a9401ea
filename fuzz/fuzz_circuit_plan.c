/* Plans behind matching digests: what is accepted can be described before it is run.
 * SPDX-License-Identifier: Apache-2.0 */
#include "forge.h"

#include "plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/* Everything that the custodian and the engine ask of a plan before they run it. */
static void describe(const ddt_plan *plan) {
    ddt_plan_info info;
    ddt_plan_get_info(plan, &info);
    require(!isnan(info.predicted_error) && !isnan(info.predicted_seconds));
    for (size_t i = 0; i < ddt_plan_input_count(plan); i++) {
        ddt_plan_input input = ddt_plan_get_input(plan, i);
        require(input.name != NULL && input.bound > 0 && isfinite(input.bound));
        for (size_t j = 0; j < i; j++) {
            require(strcmp(input.name, ddt_plan_get_input(plan, j).name) != 0);
        }
    }
    for (size_t i = 0; i < ddt_plan_output_count(plan); i++) {
        require(ddt_plan_output_name(plan, i) != NULL);
    }
    for (size_t i = 0; i < ddt_plan_key_count(plan); i++) {
        ddt_plan_key key = ddt_plan_get_key(plan, i);
        require(key.galois == 0 || key.galois % 2 == 1);
    }
}

/* Runs the program of a small plan in double precision: the walk of the engine, without its arithmetic. */
static void run(ddt_context *ctx, const ddt_plan *plan) {
    enum { SLOTS_MAX = 4096, WORK_MAX = 1 << 16 };
    size_t slots = plan->pool.lanes * plan->pool.block;
    size_t rows = plan->input_count + plan->output_count;
    if (slots > SLOTS_MAX || rows * slots > WORK_MAX || plan->value_count * slots > WORK_MAX) {
        return;
    }
    double *memory = calloc(rows * slots + 1, sizeof *memory);
    double **list = calloc(rows + 1, sizeof *list);
    if (memory != NULL && list != NULL) {
        for (size_t r = 0; r < rows; r++) {
            list[r] = memory + r * slots;
        }
        require(plan_simulate(ctx, plan, NULL, 0, plan->pool.lanes, (const double *const *)list,
                              list + plan->input_count) == DDT_OK);
    }
    free(memory);
    free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ddt_context *ctx = forge_context();
    ddt_reader *reader = NULL;
    ddt_plan *plan = NULL;
    size_t length = 0;
    uint8_t *file = forge_repair(data, size, DDT_WIRE_PLAN, &length);
    if (file == NULL) {
        return 0;
    }
    require(ddt_reader_open_memory(ctx, file, length, DDT_WIRE_PLAN, &reader) == DDT_OK);
    if (ddt_plan_read(ctx, reader, &plan) == DDT_OK) {
        describe(plan);
        run(ctx, plan);
        ddt_plan_destroy(plan);
    } else {
        require(plan == NULL && ddt_error_detail(ctx)[0] != '\0');
    }
    ddt_reader_close(reader);
    free(file);
    return 0;
}
