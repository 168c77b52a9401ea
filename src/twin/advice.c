/* The custodian compares regimens for the patient of a living twin. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/twin/life.h"
#include "json.h"
#include "twin_internal.h"

#include <math.h>
#include <string.h>

static const char *const band_names[DDT_UPDATE_BANDS] = {"p05", "p50", "p95"};

/* ------------------------------------------------------------------ the question */

/* Texts to targets and product, of which the model may give the missing ones. */
static ddt_status read_wish(ddt_context *ctx, const ddt_model *model, const ddt_twin_wish *wish, ddt_twin_advice *out) {
    char *target = NULL;
    char *product = NULL;
    ddt_status status = twin_complete_question(ctx, model, wish->target, wish->product, &target, &product);
    if (status == DDT_OK) {
        status = ddt_recommend_parse_targets(ctx, target, model, &out->targets);
    }
    if (status == DDT_OK) {
        status = ddt_recommend_parse_product(ctx, product, &out->product);
    }
    if (status == DDT_OK && out->product.course_count > 0) {
        status = ddt_fail(ctx, DDT_ERR_USAGE, "A living twin compares regimens; courses of doses are for recommend.");
    }
    ddt_free(target);
    ddt_free(product);
    return status;
}

static ddt_status advise_with(ddt_context *ctx, const ddt_twin_plan *plan, const ddt_twin_life *life,
                              const ddt_twin_wish *wish, ddt_twin_advice *out) {
    ddt_events *events = NULL;
    size_t subject = 0;
    ddt_status status = read_wish(ctx, life->model, wish, out);
    if (status == DDT_OK) {
        status = twin_recipe_events(ctx, &plan->recipe, life->model, wish->data_path, &events);
    }
    if (status == DDT_OK) {
        status = twin_pick_subject(ctx, events, wish->subject, &subject);
    }
    if (status == DDT_OK) {
        const ddt_update_wish of = {&out->targets, &out->product};
        status = ddt_update_advise(ctx, plan->update, life->model, &life->estimate, events, subject, life->clock.to_h,
                                   &of, &out->table);
    }
    ddt_events_destroy(events);
    return status;
}

ddt_status ddt_twin_advise(ddt_context *ctx, const char *keys_directory, const ddt_twin_life *life,
                           const ddt_twin_wish *wish, ddt_twin_advice *out) {
    ddt_twin_plan *plan = NULL;
    twin_key_paths paths = {0};
    *out = (ddt_twin_advice){0};
    ddt_status status = twin_key_directory_open(ctx, keys_directory, &paths, &plan);
    if (status == DDT_OK) {
        status = twin_plan_check_kind(ctx, plan, true);
    }
    if (status == DDT_OK) {
        status = advise_with(ctx, plan, life, wish, out);
    }
    ddt_twin_plan_destroy(plan);
    twin_key_paths_destroy(&paths);
    if (status != DDT_OK) {
        ddt_twin_advice_destroy(out);
    }
    return status;
}

void ddt_twin_advice_destroy(ddt_twin_advice *advice) {
    ddt_update_advice_destroy(&advice->table);
    *advice = (ddt_twin_advice){0};
}

/* ------------------------------------------------------------------ JSON */

static json_t *band_json(const double *band) {
    json_t *out = json_array();
    for (size_t b = 0; b < DDT_UPDATE_BANDS; b++) {
        (void)json_array_append_new(out, twin_json_number(band[b]));
    }
    return out;
}

/* As a candidate of recommendation.json, and what is not known of each target's value. */
static json_t *candidate_json(const ddt_twin_life *life, const ddt_twin_advice *advice, size_t rank) {
    const ddt_update_advice *table = &advice->table;
    const size_t candidate = table->order[rank];
    const ddt_recommend_candidate c = ddt_recommend_candidate_at(&advice->product, candidate);
    char text[DDT_REGIMEN_TEXT_MAX];
    ddt_twin_advice_text(life, advice, candidate, text);
    json_t *out = json_pack("{s:s, s:f, s:f, s:f, s:f}", "regimen", text, "dose", c.dose, "interval_h", c.interval_h,
                            "infusion_h", c.infusion_h, "first_dose", c.loading * c.dose);
    json_t *bands = json_object();
    for (size_t t = 0; t < table->target_count; t++) {
        const size_t at = candidate * table->target_count + t;
        twin_json_add(out, advice->targets.items[t].name, twin_json_number(table->metric[at]));
        twin_json_add(bands, advice->targets.items[t].name, band_json(table->band + at * DDT_UPDATE_BANDS));
    }
    twin_json_add(out, "cost", twin_json_number(table->cost[candidate]));
    twin_json_add(out, "p_target", twin_json_number(table->p_target[candidate]));
    twin_json_add(out, "p05_p50_p95", bands);
    return out;
}

ddt_status ddt_twin_advice_json(ddt_context *ctx, const ddt_twin_life *life, const ddt_twin_advice *advice,
                                char **json) {
    json_t *root = twin_life_json(life);
    json_t *regimens = json_array();
    for (size_t rank = 0; rank < advice->table.candidate_count; rank++) {
        (void)json_array_append_new(regimens, candidate_json(life, advice, rank));
    }
    twin_json_add(root, "dose_unit", json_string(life->model->dose_unit == NULL ? "" : life->model->dose_unit));
    twin_json_add(root, "candidates", json_integer((json_int_t)advice->table.candidate_count));
    twin_json_add(root, "start", twin_json_number(advice->table.start_h));
    twin_json_add(root, "regimens", regimens);
    return twin_json_text(ctx, root, json);
}

/* ------------------------------------------------------------------ files and words */

void ddt_twin_advice_text(const ddt_twin_life *life, const ddt_twin_advice *advice, size_t candidate,
                          char text[DDT_REGIMEN_TEXT_MAX]) {
    const ddt_recommendation words = {.targets = advice->targets, .product = advice->product};
    ddt_twin_regimen_text(life->model, &words, candidate, text);
}

static void add_heading(twin_text *text, const ddt_twin_advice *advice) {
    twin_text_add(text, "ID,RANK,START,DOSE,INTERVAL,INFUSION,LOADING,COST,P_TARGET");
    for (size_t t = 0; t < advice->targets.count; t++) {
        twin_text_raw(text, ",", 1);
        twin_text_csv(text, advice->targets.items[t].name);
        for (size_t b = 0; b < DDT_UPDATE_BANDS; b++) {
            twin_text_add(text, ",%s.%s", advice->targets.items[t].name, band_names[b]);
        }
    }
    twin_text_raw(text, "\n", 1);
}

static void add_candidate(twin_text *text, const ddt_twin_life *life, const ddt_twin_advice *advice, size_t rank) {
    const ddt_update_advice *table = &advice->table;
    const size_t candidate = table->order[rank];
    const ddt_recommend_candidate c = ddt_recommend_candidate_at(&advice->product, candidate);
    twin_text_csv(text, life->id);
    twin_text_add(text, ",%zu,%.9g,%.9g,%.9g,%.9g,%.9g,%.6g,%.4f", rank + 1, table->start_h, c.dose, c.interval_h,
                  c.infusion_h, c.loading, table->cost[candidate], table->p_target[candidate]);
    for (size_t t = 0; t < table->target_count; t++) {
        const size_t at = candidate * table->target_count + t;
        twin_text_add(text, ",%.9g", table->metric[at]);
        for (size_t b = 0; b < DDT_UPDATE_BANDS; b++) {
            twin_text_add(text, ",%.9g", table->band[at * DDT_UPDATE_BANDS + b]);
        }
    }
    twin_text_raw(text, "\n", 1);
}

ddt_status ddt_twin_advice_write(ddt_context *ctx, const ddt_twin_life *life, const ddt_twin_advice *advice,
                                 const char *folder) {
    twin_text text = {0};
    char *path = twin_path_join(folder, "regimens.csv");
    if (path == NULL) {
        return twin_no_memory(ctx);
    }
    add_heading(&text, advice);
    for (size_t rank = 0; rank < advice->table.candidate_count; rank++) {
        add_candidate(&text, life, advice, rank);
    }
    ddt_status status = twin_text_write(ctx, &text, path);
    ddt_free(path);
    return status;
}
