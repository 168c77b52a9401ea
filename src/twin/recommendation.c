/* What comes of a recommendation: the ranking, as JSON, table and page. SPDX-License-Identifier: Apache-2.0 */
#include "json.h"
#include "twin_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define RANK_TOLERANCE 1e-3 /* the noise that plans of recommendations aim at */

enum { SHOWN_MAX = 5 };

/* ------------------------------------------------------------------ doses per unit of a covariate */

/* To the step of the model's product that is given in doses of this size. */
static double rounded_dose(const ddt_model *model, double dose) {
    for (size_t i = 0; i < model->product_count; i++) {
        const ddt_product *product = &model->products[i];
        if (dose >= product->dose_low && dose <= product->dose_high) {
            return ddt_product_round(product, dose);
        }
    }
    return dose;
}

/* The subject's own value of the covariate that doses are per unit of, 1 where they are per none; NAN: not known. */
static double size_of(const ddt_model *model, const ddt_events *events, const ddt_recommend_product *product,
                      size_t subject) {
    const int64_t per = product->per[0] == '\0' ? -1 : ddt_model_find_symbol(model, product->per);
    if (per < 0 || events == NULL || subject >= events->subject_count) {
        return per < 0 ? 1 : NAN;
    }
    const ddt_subject *s = &events->subjects[subject];
    for (size_t i = 0; i < events->covariate_count && s->record_count > 0; i++) {
        if (events->covariate_symbols[i] == (uint32_t)per) {
            return s->covariate_values[s->records[0].covariates + i];
        }
    }
    return NAN;
}

double ddt_twin_given_dose(const ddt_twin_outcome *outcome, const ddt_recommendation *recommendation, size_t subject,
                           size_t candidate) {
    const ddt_recommend_product *product = &recommendation->product;
    const double dose = ddt_recommend_candidate_at(product, candidate).dose;
    const double own = dose * size_of(outcome->model, outcome->events, product, subject);
    return product->per[0] == '\0' ? dose : rounded_dose(outcome->model, own);
}

/* Candidates that this patient can be given without much rounding come first; their order is kept. */
static ddt_status put_givable_first(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t subject,
                                    const ddt_recommendation *r) {
    const double allowance = 0.05; /* of the dose */
    const double size = size_of(model, events, &r->product, subject);
    size_t *order = ddt_calloc(r->candidate_count, sizeof *order);
    size_t count = 0;
    if (order == NULL) {
        return twin_no_memory(ctx);
    }
    for (int wants = 1; wants >= 0; wants--) {
        for (size_t i = 0; i < r->candidate_count; i++) {
            const double own = size * ddt_recommend_candidate_at(&r->product, r->ranking[subject][i]).dose;
            const bool is_near = fabs(rounded_dose(model, own) - own) <= allowance * own;
            if (is_near == (wants == 1)) {
                order[count++] = r->ranking[subject][i];
            }
        }
    }
    memcpy(r->ranking[subject], order, r->candidate_count * sizeof *order);
    ddt_free(order);
    return DDT_OK;
}

/* ------------------------------------------------------------------ ranking */

void ddt_recommendation_destroy(ddt_recommendation *recommendation) {
    for (size_t s = 0; recommendation->ranking != NULL && s < recommendation->subject_count; s++) {
        ddt_free(recommendation->ranking[s]);
    }
    for (size_t s = 0; recommendation->on_front != NULL && s < recommendation->subject_count; s++) {
        ddt_free(recommendation->on_front[s]);
    }
    ddt_free(recommendation->ranking);
    ddt_free(recommendation->on_front);
    *recommendation = (ddt_recommendation){0};
}

/* Doses of a course are in their order. */
static void list_doses(size_t s, const ddt_recommendation *out) {
    for (size_t j = 0; j < out->candidate_count; j++) {
        out->ranking[s][j] = j;
    }
}

static ddt_status rank_subjects(ddt_context *ctx, const ddt_solution *solution, const ddt_profile *profile,
                                ddt_recommendation *out) {
    for (size_t s = 0; s < out->subject_count; s++) {
        out->ranking[s] = ddt_calloc(out->candidate_count, sizeof **out->ranking);
        out->on_front[s] = ddt_calloc(out->candidate_count, sizeof **out->on_front);
        if (out->ranking[s] == NULL || out->on_front[s] == NULL) {
            return twin_no_memory(ctx);
        }
        if (out->course.time_count > 0) {
            list_doses(s, out);
            continue;
        }
        ddt_status status =
            ddt_recommend_rank(ctx, solution, s, profile->values[s], &out->product, out->tolerance, out->ranking[s]);
        if (status == DDT_OK) {
            status = ddt_recommend_pareto(ctx, solution, s, profile->values[s], &out->product, &out->targets,
                                          out->tolerance, out->on_front[s]);
        }
        if (status != DDT_OK) {
            return status;
        }
    }
    return DDT_OK;
}

ddt_status twin_rank(ddt_context *ctx, const twin_recipe *recipe, const ddt_model *model, const ddt_solution *solution,
                     const ddt_profile *profile, ddt_recommendation *out) {
    ddt_recommend_options options;
    *out = (ddt_recommendation){0};
    if (recipe->purpose != DDT_TWIN_RECOMMEND) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "Only a recommendation can be ranked.");
    }
    ddt_status status = twin_recipe_recommendation(ctx, recipe, model, &options);
    if (status != DDT_OK) {
        return status;
    }
    *out = (ddt_recommendation){.targets = options.targets,
                                .product = options.product,
                                .target_text = recipe->target,
                                .product_text = recipe->product,
                                .candidate_count = ddt_recommend_candidate_count(&options.product),
                                .subject_count = profile->subject_count,
                                .tolerance = RANK_TOLERANCE};
    if (options.product.course_count > 0) {
        status = ddt_course_of(ctx, &options, &out->course);
        out->candidate_count = out->course.time_count;
    }
    out->ranking = ddt_calloc(out->subject_count, sizeof *out->ranking);
    out->on_front = ddt_calloc(out->subject_count, sizeof *out->on_front);
    if (status == DDT_OK) {
        status = out->ranking == NULL || out->on_front == NULL ? twin_no_memory(ctx)
                                                               : rank_subjects(ctx, solution, profile, out);
    }
    if (status != DDT_OK) {
        ddt_recommendation_destroy(out);
    }
    return status;
}

ddt_status ddt_twin_rank(ddt_context *ctx, const ddt_twin_problem *problem, const ddt_profile *profile,
                         ddt_recommendation *out) {
    ddt_status status = twin_rank(ctx, &problem->recipe, problem->model, problem->solution, profile, out);
    for (size_t s = 0; status == DDT_OK && out->product.per[0] != '\0' && s < out->subject_count; s++) {
        status = put_givable_first(ctx, problem->model, problem->events, s, out);
    }
    if (status != DDT_OK) {
        ddt_recommendation_destroy(out);
    }
    return status;
}

ddt_status ddt_twin_plan_rank(ddt_context *ctx, const ddt_twin_plan *plan, const ddt_model *model,
                              const ddt_profile *profile, ddt_recommendation *out) {
    return twin_rank(ctx, &plan->recipe, model, plan->solution, profile, out);
}

/* ------------------------------------------------------------------ regimens in words */

static const char *dose_unit(const ddt_model *model) { return model->dose_unit == NULL ? "" : model->dose_unit; }

/* "mg", or "mg/kg" where doses are per unit of a covariate. */
static void regimen_unit(const ddt_model *model, const ddt_recommend_product *product,
                         char unit[DDT_REGIMEN_TEXT_MAX]) {
    const int64_t per = product->per[0] == '\0' ? -1 : ddt_model_find_symbol(model, product->per);
    if (per < 0) {
        (void)snprintf(unit, DDT_REGIMEN_TEXT_MAX, "%s", dose_unit(model));
        return;
    }
    const char *of = model->symbols[per].unit;
    (void)snprintf(unit, DDT_REGIMEN_TEXT_MAX, "%s/%s", dose_unit(model), of == NULL ? product->per : of);
}

void ddt_twin_regimen_text(const ddt_model *model, const ddt_recommendation *recommendation, size_t candidate,
                           char text[DDT_REGIMEN_TEXT_MAX]) {
    const ddt_recommend_candidate c = ddt_recommend_candidate_at(&recommendation->product, candidate);
    char unit[DDT_REGIMEN_TEXT_MAX];
    const char *time = twin_time_unit(model);
    regimen_unit(model, &recommendation->product, unit);
    int used = snprintf(text, DDT_REGIMEN_TEXT_MAX, "%.6g %s every %.6g %s", c.dose, unit, c.interval_h, time);
    if (c.infusion_h > 0 && used < DDT_REGIMEN_TEXT_MAX) {
        used +=
            snprintf(text + used, (size_t)(DDT_REGIMEN_TEXT_MAX - used), ", infused over %.6g %s", c.infusion_h, time);
    }
    if (c.loading != 1 && used < DDT_REGIMEN_TEXT_MAX) {
        (void)snprintf(text + used, (size_t)(DDT_REGIMEN_TEXT_MAX - used), ", first dose %.6g %s", c.loading * c.dose,
                       unit);
    }
}

/* ------------------------------------------------------------------ from the model's file */

static ddt_status product_text(ddt_context *ctx, const ddt_model *model, const char *name, char **out) {
    ddt_recommend_product product;
    if (name == NULL && ddt_model_product(model, NULL) == NULL) {
        return ddt_fail(ctx, DDT_ERR_MODEL, "%s does not say how the drug is given: use --product.", model->path);
    }
    ddt_status status = ddt_recommend_product_of(ctx, model, name, &product);
    return status == DDT_OK ? ddt_recommend_product_text(ctx, &product, out) : status;
}

static void add_limits(twin_text *text, const ddt_target *target) {
    if (isfinite(target->low) && target->low > 0) {
        twin_text_add(text, "%.10g", target->low);
    }
    twin_text_add(text, ":");
    if (isfinite(target->high)) {
        twin_text_add(text, "%.10g", target->high);
    }
}

/* What the model aims at where regimens cannot be compared for it as it stands. */
static ddt_status refuse_measure(ddt_context *ctx, const ddt_model *model, const ddt_target *target) {
    if (strcmp(target->measure, "auc_cumulative") == 0) {
        return ddt_fail(
            ctx, DDT_ERR_MODEL,
            "%s aims at a cumulative AUC of %g to %g over a course: say how long, --target cumauc@HOURS=%g:%g.",
            model->path, target->low, target->high, target->low, target->high);
    }
    return ddt_fail(ctx, DDT_ERR_MODEL,
                    "%s aims at the %s of %s, which regimens cannot be compared for: use --target with auc24, trough, "
                    "peak, average, cumauc@HOURS or fT>mic.",
                    model->path, target->measure, target->output);
}

static bool is_comparable(const char *measure) {
    static const char *const known[] = {"auc24", "trough", "peak", "average", "fT>mic", "nadir"};
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        found = found || strcmp(measure, known[i]) == 0;
    }
    return found;
}

static ddt_status target_text(ddt_context *ctx, const ddt_model *model, char **out) {
    const ddt_target *target = ddt_model_target(model, NULL);
    twin_text text = {0};
    if (target == NULL) {
        return ddt_fail(ctx, DDT_ERR_MODEL, "%s does not say what treatment aims at: use --target.", model->path);
    }
    if (!is_comparable(target->measure)) {
        return refuse_measure(ctx, model, target);
    }
    const bool is_first = model->output_count > 0 && strcmp(target->output, model->outputs[0].name) == 0;
    twin_text_add(&text, "%s", target->measure);
    if (!is_first) {
        twin_text_add(&text, "(%s)", target->output);
    }
    twin_text_add(&text, "=");
    add_limits(&text, target);
    if (isfinite(target->threshold)) {
        twin_text_add(&text, ",mic=%.10g", target->threshold);
    }
    if (text.failed) {
        twin_text_destroy(&text);
        return twin_no_memory(ctx);
    }
    *out = text.data;
    return DDT_OK;
}

static bool is_specification(const char *product) { return product != NULL && strchr(product, '=') != NULL; }

static ddt_status copy_text(ddt_context *ctx, const char *text, char **out) {
    *out = ddt_strdup(text);
    return *out == NULL ? twin_no_memory(ctx) : DDT_OK;
}

ddt_status twin_complete_question(ddt_context *ctx, const ddt_model *model, const char *target, const char *product,
                                  char **target_out, char **product_out) {
    *target_out = *product_out = NULL;
    ddt_status status = target != NULL ? copy_text(ctx, target, target_out) : target_text(ctx, model, target_out);
    if (status == DDT_OK) {
        status = is_specification(product) ? copy_text(ctx, product, product_out)
                                           : product_text(ctx, model, product, product_out);
    }
    if (status != DDT_OK) {
        ddt_free(*target_out);
        *target_out = NULL;
    }
    return status;
}

ddt_status ddt_twin_complete_question(ddt_context *ctx, const char *model_path, const char *target, const char *product,
                                      char **target_out, char **product_out) {
    ddt_model *model = NULL;
    ddt_status status = DDT_OK;
    *target_out = *product_out = NULL;
    if (target == NULL || !is_specification(product)) {
        status = ddt_model_read(ctx, model_path, &model);
    }
    if (status == DDT_OK) {
        status = twin_complete_question(ctx, model, target, product, target_out, product_out);
    }
    ddt_model_destroy(model);
    return status;
}

/* ------------------------------------------------------------------ levels */

static bool has_levels(const ddt_events *events) {
    for (size_t s = 0; s < events->subject_count; s++) {
        for (size_t i = 0; i < events->subjects[s].record_count; i++) {
            if (events->subjects[s].records[i].has_dv) {
                return true;
            }
        }
    }
    return false;
}

bool ddt_twin_ignores_levels(const ddt_twin_outcome *outcome) {
    const ddt_events *events = outcome->events;
    bool has_etas = false;
    for (size_t i = 0; events != NULL && i < events->covariate_count; i++) {
        has_etas = has_etas || outcome->model->symbols[events->covariate_symbols[i]].kind == DDT_SYMBOL_ETA;
    }
    return events != NULL && !has_etas && has_levels(events);
}

/* ------------------------------------------------------------------ JSON */

static bool ends_with(const char *name, const char *end) {
    const size_t length = strlen(name);
    return length > strlen(end) && strcmp(name + length - strlen(end), end) == 0;
}

bool ddt_twin_is_percentile(const ddt_profile *profile, size_t output) {
    const char *name = profile->output_names[output];
    return ends_with(name, ".p05") || ends_with(name, ".p50") || ends_with(name, ".p95");
}

size_t ddt_twin_percentiles(const ddt_profile *profile, size_t output) {
    const char *name = profile->output_names[output];
    const size_t length = strlen(name);
    size_t o = 0;
    while (o + 2 < profile->output_count && !(strncmp(profile->output_names[o], name, length) == 0 &&
                                              strcmp(profile->output_names[o] + length, ".p05") == 0)) {
        o++;
    }
    return o + 2 < profile->output_count ? o : profile->output_count;
}

static double in_steps(double value, double step) { return step > 0 ? step * rint(value / step) : value; }

void twin_figures_json(json_t *object, const ddt_profile *profile, const double *row, const double *steps) {
    enum { PERCENTILES = 3 };
    json_t *bands = json_object();
    for (size_t o = 0; o < profile->output_count; o++) {
        if (ddt_twin_is_percentile(profile, o)) {
            continue;
        }
        const double step = steps == NULL ? 0 : steps[o];
        const size_t first = ddt_twin_percentiles(profile, o);
        twin_json_add(object, profile->output_names[o], twin_json_number(in_steps(row[o], step)));
        if (first < profile->output_count) {
            json_t *band = json_array();
            for (size_t b = 0; b < PERCENTILES; b++) {
                (void)json_array_append_new(band, twin_json_number(in_steps(row[first + b], step)));
            }
            twin_json_add(bands, profile->output_names[o], band);
        }
    }
    if (json_object_size(bands) > 0) {
        twin_json_add(object, "p05_p50_p95", bands);
    } else {
        json_decref(bands);
    }
}

json_t *twin_bands_json(const ddt_solution *solution) {
    bool is_posterior = false;
    const size_t points = ddt_recommend_points(solution, &is_posterior);
    return points == 1 ? json_null()
                       : json_pack("{s:I, s:s, s:[i, i]}", "points", (json_int_t)points, "of",
                                   is_posterior ? "posterior" : "population", "percent", 5, 95);
}

static json_t *candidate_json(const ddt_twin_outcome *outcome, const ddt_recommendation *r, size_t s,
                              size_t candidate) {
    const ddt_model *model = outcome->model;
    const ddt_profile *profile = outcome->profile;
    const ddt_recommend_candidate c = ddt_recommend_candidate_at(&r->product, candidate);
    char text[DDT_REGIMEN_TEXT_MAX];
    ddt_twin_regimen_text(model, r, candidate, text);
    json_t *out = json_pack("{s:s, s:f, s:f, s:f, s:f}", "regimen", text, "dose", c.dose, "interval_h", c.interval_h,
                            "infusion_h", c.infusion_h, "first_dose", c.loading * c.dose);
    if (r->product.per[0] != '\0') {
        twin_json_add(out, "dose_per", json_string(r->product.per));
        twin_json_add(out, "given_dose", twin_json_number(ddt_twin_given_dose(outcome, r, s, candidate)));
    }
    twin_figures_json(out, profile, profile->values[s] + candidate * profile->output_count, NULL);
    return out;
}

static json_t *subject_json(const ddt_twin_outcome *outcome, const ddt_recommendation *r, size_t s) {
    json_t *alternatives = json_array();
    for (size_t i = 1; i < r->candidate_count && i < SHOWN_MAX; i++) {
        (void)json_array_append_new(alternatives, candidate_json(outcome, r, s, r->ranking[s][i]));
    }
    json_t *front = json_array();
    for (size_t i = 0; i < r->candidate_count; i++) {
        if (r->on_front[s][r->ranking[s][i]]) {
            (void)json_array_append_new(front, candidate_json(outcome, r, s, r->ranking[s][i]));
        }
    }
    return json_pack("{s:s, s:o, s:o, s:o}", "id", outcome->profile->subject_ids[s], "recommended",
                     candidate_json(outcome, r, s, r->ranking[s][0]), "alternatives", alternatives, "pareto", front);
}

static json_t *subjects_json(const ddt_twin_outcome *outcome, const ddt_recommendation *r) {
    json_t *subjects = json_array();
    for (size_t s = 0; s < r->subject_count; s++) {
        (void)json_array_append_new(subjects, r->course.time_count > 0 ? twin_course_json(outcome, r, s)
                                                                       : subject_json(outcome, r, s));
    }
    return subjects;
}

ddt_status ddt_twin_recommendation_json(ddt_context *ctx, const ddt_twin_outcome *outcome,
                                        const ddt_recommendation *recommendation, char **json) {
    json_t *root = twin_summary_json(outcome);
    twin_json_add(root, "target", json_string(recommendation->target_text));
    twin_json_add(root, "product", json_string(recommendation->product_text));
    twin_json_add(root, "dose_unit", json_string(dose_unit(outcome->model)));
    twin_json_add(root, "candidates", json_integer((json_int_t)recommendation->candidate_count));
    twin_json_add(root, "levels_ignored", json_boolean(ddt_twin_ignores_levels(outcome)));
    twin_json_add(root, "recommendations", subjects_json(outcome, recommendation));
    return twin_json_text(ctx, root, json);
}

/* ------------------------------------------------------------------ table */

ddt_status ddt_twin_write_candidates(ddt_context *ctx, const ddt_profile *profile,
                                     const ddt_recommendation *recommendation, const char *path) {
    twin_text text = {0};
    if (recommendation->course.time_count > 0) {
        twin_course_table(&text, profile, recommendation);
        return twin_text_write(ctx, &text, path);
    }
    twin_text_add(&text, "ID,DOSE,INTERVAL,INFUSION,LOADING");
    for (size_t o = 0; o < profile->output_count; o++) {
        twin_text_raw(&text, ",", 1);
        twin_text_csv(&text, profile->output_names[o]);
    }
    twin_text_add(&text, ",PARETO\n");
    for (size_t s = 0; s < recommendation->subject_count; s++) {
        for (size_t i = 0; i < recommendation->candidate_count; i++) {
            const size_t candidate = recommendation->ranking[s][i];
            const ddt_recommend_candidate c = ddt_recommend_candidate_at(&recommendation->product, candidate);
            twin_text_csv(&text, profile->subject_ids[s]);
            twin_text_add(&text, ",%.9g,%.9g,%.9g,%.9g", c.dose, c.interval_h, c.infusion_h, c.loading);
            for (size_t o = 0; o < profile->output_count; o++) {
                twin_text_add(&text, ",%.9g", profile->values[s][candidate * profile->output_count + o]);
            }
            twin_text_add(&text, ",%d\n", recommendation->on_front[s][candidate] ? 1 : 0);
        }
    }
    return twin_text_write(ctx, &text, path);
}

/* ------------------------------------------------------------------ page */

static void subject_section(twin_text *text, const ddt_model *model, const ddt_profile *profile,
                            const ddt_recommendation *r, size_t s) {
    char regimen[DDT_REGIMEN_TEXT_MAX];
    ddt_twin_regimen_text(model, r, r->ranking[s][0], regimen);
    twin_text_add(text, "<section><h2>Subject ");
    twin_text_escaped(text, profile->subject_ids[s]);
    twin_text_add(text, ": ");
    twin_text_escaped(text, regimen);
    twin_text_add(text, "</h2><div class=\"scroll\"><table><tr><th>Rank</th><th>Regimen</th>");
    for (size_t o = 0; o < profile->output_count; o++) {
        twin_text_add(text, "<th class=\"n\">");
        twin_text_escaped(text, profile->output_names[o]);
        twin_text_add(text, "</th>");
    }
    twin_text_add(text, "</tr>\n");
    for (size_t i = 0; i < r->candidate_count; i++) {
        const size_t candidate = r->ranking[s][i];
        const bool is_front = r->on_front[s][candidate];
        if (i >= SHOWN_MAX && (!is_front || r->targets.count == 1)) {
            continue;
        }
        ddt_twin_regimen_text(model, r, candidate, regimen);
        twin_text_add(text, "<tr><td>%zu%s</td><td>", i + 1, is_front ? " &#9670;" : "");
        twin_text_escaped(text, regimen);
        twin_text_add(text, "</td>");
        for (size_t o = 0; o < profile->output_count; o++) {
            twin_text_add(text, "<td class=\"n\">%.4g</td>", profile->values[s][candidate * profile->output_count + o]);
        }
        twin_text_add(text, "</tr>\n");
    }
    twin_text_add(text, "</table></div>");
    twin_pareto_plot(text, profile, r, s);
    twin_text_add(text, "</section>\n");
}

static void request_section(twin_text *text, const ddt_twin_outcome *outcome, const ddt_recommendation *r) {
    twin_text_add(text, "<section><h2>What was asked</h2><table>\n");
    twin_page_row_text(text, "Target", r->target_text);
    twin_page_row_text(text, "What can be given", r->product_text);
    twin_page_row_count(text, r->course.time_count > 0 ? "Doses" : "Regimens compared for each subject",
                        r->candidate_count);
    if (ddt_twin_ignores_levels(outcome)) {
        twin_page_row_text(
            text, "Measured levels",
            "not used: estimate etas of them (ddtwin fit), join etas.csv to the table by ID, recommend again");
    }
    if (outcome->assessment != NULL) {
        twin_text_add(text, "<tr><td>Largest error of a number, of its maximum</td><td class=\"n\">");
        twin_page_percent(text, outcome->assessment->worst.total);
        twin_text_add(text, "</td></tr>\n");
    }
    if (r->course.time_count > 0) {
        twin_text_add(text, "</table><p class=\"note\">The doses together have the least expected distance from the "
                            "targets within their bounds; they were searched under encryption and are given in "
                            "steps.</p></section>\n");
        return;
    }
    twin_text_add(text,
                  "</table><p class=\"note\">The cost is the expected distance from the target over what is "
                  "not known of the patient; 0 is best. p_target is the probability that the target is met."
                  " Regimens marked &#9670; are on the Pareto front: no other is better by one target without "
                  "being worse by another%s.</p></section>\n",
                  r->targets.count == 1 ? " (of one target: without more drug a day)" : "");
}

ddt_status ddt_twin_write_recommendation_report(ddt_context *ctx, const ddt_twin_outcome *outcome,
                                                const ddt_recommendation *recommendation, const char *path) {
    twin_text text = {0};
    twin_page_begin(&text, outcome->model, outcome->run, "recommended regimens",
                    outcome->run->engine_s > 0 ? "Dosing regimens compared under encryption"
                                               : "Dosing regimens, the encrypted program run in the clear");
    for (size_t s = 0; s < recommendation->subject_count; s++) {
        if (recommendation->course.time_count > 0) {
            twin_course_section(&text, outcome, recommendation, s);
        } else {
            subject_section(&text, outcome->model, outcome->profile, recommendation, s);
        }
    }
    request_section(&text, outcome, recommendation);
    twin_text_add(&text, "<div class=\"two\">\n");
    twin_page_computation(&text, outcome);
    twin_page_costs(&text, outcome->run);
    twin_text_add(&text, "</div>\n");
    twin_page_who_sees_what(&text);
    twin_page_end(&text);
    return twin_text_write(ctx, &text, path);
}
