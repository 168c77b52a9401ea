/* Plan files: plan, layout, recipe. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <string.h>

ddt_status ddt_twin_problem_write(ddt_context *ctx, const ddt_twin_problem *problem, const char *path,
                                  uint64_t *bytes) {
    ddt_writer *writer = NULL;
    ddt_status status = ddt_writer_open(ctx, path, DDT_WIRE_PLAN, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_plan_write(writer, problem->plan);
    if (status == DDT_OK) {
        status = ddt_solution_write(writer, problem->solution);
    }
    if (status == DDT_OK) {
        status = twin_recipe_write(writer, &problem->recipe);
    }
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    return ddt_writer_commit(writer, bytes);
}

ddt_status ddt_twin_compile(ddt_context *ctx, const ddt_twin_options *options, const char *plan_path) {
    ddt_twin_problem *problem = NULL;
    if (options->purpose == DDT_TWIN_UPDATE) {
        return twin_update_compile(ctx, options, plan_path);
    }
    ddt_status status = ddt_twin_problem_create(ctx, options, &problem);
    if (status == DDT_OK) {
        status = ddt_twin_problem_write(ctx, problem, plan_path, NULL);
    }
    ddt_twin_problem_destroy(problem);
    return status;
}

/* ------------------------------------------------------------------ reading */

void ddt_twin_plan_destroy(ddt_twin_plan *plan) {
    if (plan == NULL) {
        return;
    }
    twin_recipe_destroy(&plan->recipe);
    ddt_solution_destroy(plan->solution);
    ddt_update_destroy(plan->update);
    ddt_plan_destroy(plan->plan);
    ddt_free(plan->path);
    ddt_free(plan);
}

const ddt_digest *ddt_twin_plan_digest(const ddt_twin_plan *plan) { return &plan->digest; }

ddt_twin_purpose ddt_twin_plan_purpose(const ddt_twin_plan *plan) { return plan->recipe.purpose; }

const ddt_plan *ddt_twin_plan_program(const ddt_twin_plan *plan) { return plan->plan; }

const ddt_solution *ddt_twin_plan_solution(const ddt_twin_plan *plan) { return plan->solution; }

const ddt_update *ddt_twin_plan_update(const ddt_twin_plan *plan) { return plan->update; }

ddt_status twin_plan_check_kind(ddt_context *ctx, const ddt_twin_plan *plan, bool wants_update) {
    if (wants_update == (plan->update != NULL)) {
        return DDT_OK;
    }
    return ddt_fail(ctx, DDT_ERR_MISMATCH,
                    wants_update ? "%s is not a plan of a living twin; ddtwin compile --for update makes one."
                                 : "%s is a plan of a living twin, which is updated and not run.",
                    plan->path);
}

const char *ddt_twin_plan_model_name(const ddt_twin_plan *plan) { return plan->recipe.model_name; }

const char *ddt_twin_plan_model_text(const ddt_twin_plan *plan) { return plan->recipe.model_text; }

ddt_status ddt_twin_plan_model(ddt_context *ctx, const ddt_twin_plan *plan, ddt_model **out) {
    return twin_recipe_model(ctx, &plan->recipe, plan->recipe.model_name, out);
}

static ddt_status plan_read_sections(ddt_context *ctx, ddt_reader *reader, ddt_twin_plan *plan) {
    ddt_status status = ddt_plan_read(ctx, reader, &plan->plan);
    if (status == DDT_OK) {
        ddt_plan_info info;
        ddt_plan_get_info(plan->plan, &info);
        if (info.security_bits == 0) {
            return ddt_fail(ctx, DDT_ERR_SECURITY, "%s has parameters made for testing, which do not protect data.",
                            plan->path);
        }
        char tag[4] = {0};
        status = ddt_reader_peek(reader, tag);
        if (status == DDT_OK) {
            status = memcmp(tag, "UPD2", sizeof tag) == 0 ? ddt_update_read(ctx, reader, plan->plan, &plan->update)
                                                          : ddt_solution_read(ctx, reader, plan->plan, &plan->solution);
        }
    }
    if (status == DDT_OK) {
        status = twin_recipe_read(ctx, reader, plan->solution, &plan->recipe);
    }
    if (status == DDT_OK && (plan->update != NULL) != (plan->recipe.purpose == DDT_TWIN_UPDATE)) {
        status = ddt_fail(ctx, DDT_ERR_FORMAT, "%s says different things about its purpose.", plan->path);
    }
    if (status == DDT_OK && plan->solution != NULL &&
        (ddt_solution_band_patients(plan->solution) > 0) != (plan->recipe.purpose == DDT_TWIN_BANDS)) {
        status = ddt_fail(ctx, DDT_ERR_FORMAT, "%s says different things about its bands.", plan->path);
    }
    if (status == DDT_OK) {
        status = ddt_reader_finish(reader);
    }
    return status == DDT_OK ? ddt_reader_digest(reader, &plan->digest) : status;
}

ddt_status twin_plan_read_sections(ddt_context *ctx, ddt_reader *reader, ddt_twin_plan **out) {
    ddt_twin_plan *plan = ddt_calloc(1, sizeof *plan);
    if (plan != NULL) {
        plan->path = ddt_strdup(ddt_reader_path(reader));
    }
    ddt_status status =
        plan == NULL || plan->path == NULL ? twin_no_memory(ctx) : plan_read_sections(ctx, reader, plan);
    if (status != DDT_OK) {
        ddt_twin_plan_destroy(plan);
        return status;
    }
    *out = plan;
    return DDT_OK;
}

ddt_status ddt_twin_plan_read(ddt_context *ctx, const char *path, ddt_twin_plan **out) {
    ddt_reader *reader = NULL;
    ddt_status status = ddt_reader_open(ctx, path, DDT_WIRE_PLAN, &reader);
    if (status == DDT_OK) {
        status = twin_plan_read_sections(ctx, reader, out);
    }
    ddt_reader_close(reader);
    return status;
}

ddt_status ddt_twin_plan_check_model(ddt_context *ctx, const ddt_twin_plan *plan, const char *model_path) {
    char *text = NULL;
    size_t length = 0;
    ddt_status status = ddt_read_text(ctx, model_path, TWIN_MODEL_TEXT_MAX, &text, &length);
    if (status != DDT_OK) {
        return status;
    }
    if (length != plan->recipe.model_length || memcmp(text, plan->recipe.model_text, length) != 0) {
        status = ddt_fail(ctx, DDT_ERR_MISMATCH, "%s was made for another model (%s) than the one in %s.", plan->path,
                          plan->recipe.model_name, model_path);
    }
    ddt_free(text);
    return status;
}

ddt_status twin_result_heading(ddt_context *ctx, const ddt_twin_plan *plan, const char *plan_path, ddt_reader *reader,
                               uint8_t **note, size_t *note_length) {
    ddt_plan_info info;
    ddt_digest digest;
    uint64_t batches = 0;
    uint32_t outputs = 0;
    ddt_status status = ddt_reader_heading(reader, &digest, &batches, &outputs);
    if (status == DDT_OK) {
        status = twin_plan_check_kind(ctx, plan, false);
    }
    if (status != DDT_OK) {
        return status;
    }
    if (!ddt_digest_equal(&digest, &plan->digest)) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "%s was computed with another plan than %s.", ddt_reader_path(reader),
                        plan_path);
    }
    ddt_plan_get_info(plan->plan, &info);
    if (batches != info.batches || outputs != ddt_plan_output_count(plan->plan)) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "%s does not hold as many results as its plan has.",
                        ddt_reader_path(reader));
    }
    return ddt_reader_note(ctx, reader, note, note_length);
}
