/* summary.json. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* JSON has no infinity: an error that is not finite becomes null. */
static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *count(uint64_t value) { return json_integer((json_int_t)value); }

static void add(json_t *object, const char *key, json_t *value) { (void)json_object_set_new(object, key, value); }

static json_t *text_or_null(const char *text) { return text == NULL ? json_null() : json_string(text); }

static json_t *budget_json(const ddt_error_budget *budget) {
    if (budget == NULL) {
        return json_pack("{s:n, s:n, s:n, s:n}", "surrogate", "discretisation", "ckks", "total");
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "surrogate", number(budget->surrogate), "discretisation",
                     number(budget->discretisation), "ckks", number(budget->ckks), "total", number(budget->total));
}

static json_t *outputs_json(const ddt_twin_outcome *outcome) {
    const ddt_assessment *assessment = outcome->assessment;
    json_t *outputs = json_array();
    for (size_t o = 0; o < outcome->profile->output_count; o++) {
        const bool is_band = outcome->purpose == DDT_TWIN_BANDS;
        const bool has_unit = is_band || outcome->purpose == DDT_TWIN_SIMULATE;
        const char *unit = has_unit ? twin_output_unit(outcome->model, is_band ? o / DDT_BANDS_PERCENTILES : o) : "";
        json_t *output = json_pack("{s:s, s:s}", "name", outcome->profile->output_names[o], "unit", unit);
        add(output, "maximum", assessment == NULL ? json_null() : number(assessment->output_maximum[o]));
        add(output, "max_error", budget_json(assessment == NULL ? NULL : &assessment->per_output[o]));
        (void)json_array_append_new(outputs, output);
    }
    return outputs;
}

static void add_plan(json_t *root, const ddt_twin_outcome *outcome) {
    const ddt_plan_info *plan = &outcome->plan;
    const ddt_solve_info *solve = &outcome->solve;
    add(root, "method", text_or_null(solve->method));
    add(root, "states", count(solve->states));
    add(root, "sources", count(solve->sources));
    add(root, "squarings", count(solve->squarings));
    add(root, "ring_degree", count(UINT64_C(1) << plan->literal.log_n));
    add(root, "log2_qp", number(plan->log2_qp));
    add(root, "security_bits", count(plan->security_bits));
    add(root, "scale_bits", count(plan->literal.scale_bits));
    add(root, "depth", count(plan->depth));
    add(root, "bootstraps", count(plan->bootstraps));
    add(root, "lanes", count(plan->lanes));
    add(root, "block", count(plan->block));
    add(root, "batches", count(plan->batches));
    add(root, "multiplications", count(plan->multiplications));
    add(root, "rotations", count(plan->rotations));
    add(root, "rotation_keys", count(plan->rotation_keys));
    add(root, "predicted_seconds_one_thread", number(plan->predicted_seconds));
    add(root, "predicted_engine_bytes", count(plan->engine_bytes));
    add(root, "predicted_error", number(plan->predicted_error));
    add(root, "noise_bound", number(plan->noise_bound));
}

/* A size that was measured, else the plan's prediction. */
static json_t *size_json(uint64_t measured, uint64_t predicted) { return count(measured > 0 ? measured : predicted); }

static void add_sizes(json_t *root, const ddt_twin_outcome *outcome) {
    const ddt_twin_run none = {0};
    const ddt_twin_run *run = outcome->run == NULL ? &none : outcome->run;
    add(root, "eval_key_bytes", size_json(run->eval_key_bytes, outcome->plan.eval_key_bytes));
    add(root, "twin_bytes", size_json(run->twin_bytes, outcome->plan.twin_bytes));
    add(root, "result_bytes", size_json(run->result_bytes, outcome->plan.result_bytes));
}

/* Seconds of a step, or null where it did not run. */
static json_t *seconds(double value) { return value > 0 ? number(value) : json_null(); }

static json_t *seconds_json(const ddt_twin_run *run) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "compile", seconds(run->compile_s), "keygen",
                     seconds(run->keygen_s), "encrypt", seconds(run->encrypt_s), "engine", seconds(run->engine_s),
                     "decrypt", seconds(run->decrypt_s), "check", seconds(run->check_s), "total",
                     seconds(run->total_s));
}

static void add_run(json_t *root, const ddt_twin_run *run) {
    enum { HEX_PER_BYTE = 2 };
    char digest[HEX_PER_BYTE * DDT_WIRE_DIGEST_BYTES + 1];
    for (size_t i = 0; i < DDT_WIRE_DIGEST_BYTES; i++) {
        (void)snprintf(digest + HEX_PER_BYTE * i, HEX_PER_BYTE + 1, "%02x", run->plan_digest.bytes[i]);
    }
    add(root, "plan_digest", json_string(digest));
    add(root, "plan_bytes", count(run->plan_bytes));
    add(root, "engine_seconds", seconds(run->engine_s));
    add(root, "engine_compute_seconds", seconds(run->engine_batch_s));
    add(root, "engine_peak_rss_bytes",
        run->engine_peak_rss_bytes > 0 ? count(run->engine_peak_rss_bytes) : json_null());
    add(root, "seconds", seconds_json(run));
    add(root, "kernels", text_or_null(run->kernels));
    add(root, "threads", json_integer(run->threads));
}

json_t *twin_summary_json(const ddt_twin_outcome *outcome) {
    const ddt_model *model = outcome->model;
    const ddt_assessment *assessment = outcome->assessment;
    json_t *root = json_object();
    add(root, "program", json_string("ddtwin"));
    add(root, "measured", json_boolean(assessment != NULL && assessment->measured));
    add(root, "model", text_or_null(model->name));
    add(root, "description", text_or_null(model->description));
    add(root, "reference", text_or_null(model->reference));
    add(root, "time_unit", json_string(twin_time_unit(model)));
    add(root, "subjects", count(outcome->profile->subject_count));
    add(root, "times", count(ddt_profile_requested_count(outcome->profile)));
    add_plan(root, outcome);
    add_sizes(root, outcome);
    add(root, "max_error", budget_json(assessment == NULL ? NULL : &assessment->worst));
    add(root, "error_bar", assessment == NULL ? json_null() : number(assessment->error_bar));
    const bool has_population = assessment != NULL && assessment->population_drawn > 0;
    add(root, "population_outside", has_population ? number(assessment->population_outside) : json_null());
    add(root, "population_drawn", has_population ? count(assessment->population_drawn) : json_null());
    add(root, "outputs", outputs_json(outcome));
    if (outcome->run != NULL) {
        add_run(root, outcome->run);
    }
    return root;
}

ddt_status twin_json_text(ddt_context *ctx, json_t *root, char **json) {
    enum { INDENT = 2, DIGITS = 9 };
    char *dumped = json_dumps(root, JSON_INDENT(INDENT) | JSON_REAL_PRECISION(DIGITS));
    json_decref(root);
    if (dumped == NULL) {
        return twin_no_memory(ctx);
    }
    *json = ddt_strdup(dumped);
    free(dumped);
    return *json == NULL ? twin_no_memory(ctx) : DDT_OK;
}

ddt_status ddt_twin_summary(ddt_context *ctx, const ddt_twin_outcome *outcome, char **json) {
    return twin_json_text(ctx, twin_summary_json(outcome), json);
}

ddt_status ddt_twin_write_summary(ddt_context *ctx, const ddt_twin_outcome *outcome, const char *path) {
    char *json = NULL;
    ddt_status status = ddt_twin_summary(ctx, outcome, &json);
    if (status != DDT_OK) {
        return status;
    }
    twin_text text = {0};
    twin_text_add(&text, "%s\n", json);
    ddt_free(json);
    return twin_text_write(ctx, &text, path);
}
