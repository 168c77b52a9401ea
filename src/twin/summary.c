/* summary.json. SPDX-License-Identifier: Apache-2.0 */
#include "json.h"
#include "twin_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *count(uint64_t value) { return json_integer((json_int_t)value); }

static json_t *budget_json(const ddt_error_budget *budget) {
    if (budget == NULL) {
        return json_pack("{s:n, s:n, s:n, s:n}", "surrogate", "discretisation", "ckks", "total");
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "surrogate", twin_json_number(budget->surrogate), "discretisation",
                     twin_json_number(budget->discretisation), "ckks", twin_json_number(budget->ckks), "total",
                     twin_json_number(budget->total));
}

static json_t *outputs_json(const ddt_twin_outcome *outcome) {
    const ddt_assessment *assessment = outcome->assessment;
    json_t *outputs = json_array();
    for (size_t o = 0; o < outcome->profile->output_count; o++) {
        const bool is_band = outcome->purpose == DDT_TWIN_BANDS;
        const bool has_unit = is_band || outcome->purpose == DDT_TWIN_SIMULATE;
        const char *unit = has_unit ? twin_output_unit(outcome->model, is_band ? o / DDT_BANDS_PERCENTILES : o) : "";
        json_t *output = json_pack("{s:s, s:s}", "name", outcome->profile->output_names[o], "unit", unit);
        twin_json_add(output, "maximum",
                      assessment == NULL ? json_null() : twin_json_number(assessment->output_maximum[o]));
        twin_json_add(output, "max_error", budget_json(assessment == NULL ? NULL : &assessment->per_output[o]));
        (void)json_array_append_new(outputs, output);
    }
    return outputs;
}

static void add_plan(json_t *root, const ddt_twin_outcome *outcome) {
    const ddt_plan_info *plan = &outcome->plan;
    const ddt_solve_info *solve = &outcome->solve;
    twin_json_add(root, "method", twin_json_string(solve->method));
    twin_json_add(root, "states", count(solve->states));
    twin_json_add(root, "sources", count(solve->sources));
    twin_json_add(root, "squarings", count(solve->squarings));
    twin_json_add(root, "ring_degree", count(UINT64_C(1) << plan->literal.log_n));
    twin_json_add(root, "log2_qp", twin_json_number(plan->log2_qp));
    twin_json_add(root, "security_bits", count(plan->security_bits));
    twin_json_add(root, "scale_bits", count(plan->literal.scale_bits));
    twin_json_add(root, "depth", count(plan->depth));
    twin_json_add(root, "bootstraps", count(plan->bootstraps));
    twin_json_add(root, "lanes", count(plan->lanes));
    twin_json_add(root, "block", count(plan->block));
    twin_json_add(root, "batches", count(plan->batches));
    twin_json_add(root, "multiplications", count(plan->multiplications));
    twin_json_add(root, "rotations", count(plan->rotations));
    twin_json_add(root, "rotation_keys", count(plan->rotation_keys));
    twin_json_add(root, "predicted_seconds_one_thread", twin_json_number(plan->predicted_seconds));
    twin_json_add(root, "predicted_engine_bytes", count(plan->engine_bytes));
    twin_json_add(root, "predicted_error", twin_json_number(plan->predicted_error));
    twin_json_add(root, "noise_bound", twin_json_number(plan->noise_bound));
}

/* A size that was measured, else the plan's prediction. */
static json_t *size_json(uint64_t measured, uint64_t predicted) { return count(measured > 0 ? measured : predicted); }

static void add_sizes(json_t *root, const ddt_twin_outcome *outcome) {
    const ddt_twin_run none = {0};
    const ddt_twin_run *run = outcome->run == NULL ? &none : outcome->run;
    twin_json_add(root, "eval_key_bytes", size_json(run->eval_key_bytes, outcome->plan.eval_key_bytes));
    twin_json_add(root, "twin_bytes", size_json(run->twin_bytes, outcome->plan.twin_bytes));
    twin_json_add(root, "result_bytes", size_json(run->result_bytes, outcome->plan.result_bytes));
}

/* Seconds of a step, or null where it did not run. */
static json_t *seconds(double value) { return value > 0 ? twin_json_number(value) : json_null(); }

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
    twin_json_add(root, "plan_digest", json_string(digest));
    twin_json_add(root, "plan_bytes", count(run->plan_bytes));
    twin_json_add(root, "engine_seconds", seconds(run->engine_s));
    twin_json_add(root, "engine_compute_seconds", seconds(run->engine_batch_s));
    twin_json_add(root, "engine_peak_rss_bytes",
                  run->engine_peak_rss_bytes > 0 ? count(run->engine_peak_rss_bytes) : json_null());
    twin_json_add(root, "seconds", seconds_json(run));
    twin_json_add(root, "kernels", twin_json_string(run->kernels));
    twin_json_add(root, "threads", json_integer(run->threads));
}

static json_t *left_out_json(const ddt_left_out *left_out) {
    json_t *list = json_array();
    for (size_t k = 0; k < left_out->count; k++) {
        json_t *subject = json_object();
        twin_json_add(subject, "id", twin_json_string(left_out->subjects[k].id));
        twin_json_add(subject, "reason", twin_json_string(left_out->subjects[k].reason));
        (void)json_array_append_new(list, subject);
    }
    return list;
}

json_t *twin_summary_json(const ddt_twin_outcome *outcome) {
    const ddt_model *model = outcome->model;
    const ddt_assessment *assessment = outcome->assessment;
    json_t *root = json_object();
    twin_json_add(root, "program", json_string("ddtwin"));
    twin_json_add(root, "measured", json_boolean(assessment != NULL && assessment->measured));
    twin_json_add(root, "model", twin_json_string(model->name));
    twin_json_add(root, "description", twin_json_string(model->description));
    twin_json_add(root, "reference", twin_json_string(model->reference));
    twin_json_add(root, "time_unit", json_string(twin_time_unit(model)));
    twin_json_add(root, "subjects", count(outcome->profile->subject_count));
    twin_json_add(root, "times", count(ddt_profile_requested_count(outcome->profile)));
    if (outcome->purpose == DDT_TWIN_FIT) {
        twin_json_add(root, "left_out", left_out_json(&outcome->profile->left_out));
    }
    add_plan(root, outcome);
    add_sizes(root, outcome);
    twin_json_add(root, "max_error", budget_json(assessment == NULL ? NULL : &assessment->worst));
    twin_json_add(root, "error_bar", assessment == NULL ? json_null() : twin_json_number(assessment->error_bar));
    const bool has_population = assessment != NULL && assessment->population_drawn > 0;
    twin_json_add(root, "population_outside",
                  has_population ? twin_json_number(assessment->population_outside) : json_null());
    twin_json_add(root, "population_drawn", has_population ? count(assessment->population_drawn) : json_null());
    twin_json_add(root, "outputs", outputs_json(outcome));
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
