/*
 * What comes of a fit: tables of etas and individual parameters, and a page. SPDX-License-Identifier: Apache-2.0
 */
#include "twin_internal.h"

#include <math.h>
#include <string.h>

/* A fit's outputs are the etas, then as many standard deviations. */
static size_t eta_count(const ddt_profile *fit) { return fit->output_count / 2; }

/* One field of a table behind its comma. */
static void add_field(twin_text *text, bool is_empty, double value) {
    twin_text_raw(text, ",", 1);
    if (!is_empty) {
        twin_text_add(text, "%.9g", value);
    }
}

ddt_status ddt_twin_write_etas(ddt_context *ctx, const ddt_profile *fit, bool deviations, const char *path) {
    twin_text text = {0};
    const size_t first = deviations ? eta_count(fit) : 0;
    twin_text_add(&text, "ID");
    for (size_t i = 0; i < eta_count(fit); i++) {
        twin_text_raw(&text, ",", 1);
        twin_text_csv(&text, fit->output_names[first + i]);
    }
    twin_text_raw(&text, "\n", 1);
    for (size_t s = 0; s < fit->subject_count; s++) {
        twin_text_csv(&text, fit->subject_ids[s]);
        for (size_t i = 0; i < eta_count(fit); i++) {
            add_field(&text, twin_is_left_out(fit, s), fit->values[s][first + i]);
        }
        twin_text_raw(&text, "\n", 1);
    }
    return twin_text_write(ctx, &text, path);
}

/* ------------------------------------------------------------------ individual parameters */

/* Values of the model's symbols at subject s's estimate. symbols: symbol_count. */
static ddt_status symbols_at(ddt_context *ctx, const ddt_model *model, const ddt_events *events, const ddt_profile *fit,
                             size_t s, double *symbols) {
    ddt_events_symbols(model, events, s, 0, symbols);
    for (size_t i = 0; i < eta_count(fit); i++) {
        const int64_t symbol = ddt_model_find_symbol(model, fit->output_names[i]);
        if (symbol < 0) {
            return ddt_fail(ctx, DDT_ERR_MISMATCH, "The model has no random effect '%s'.", fit->output_names[i]);
        }
        symbols[symbol] = fit->values[s][i];
    }
    return DDT_OK;
}

/* Depends on an eta, and on nothing that changes with time. */
static bool is_parameter(const ddt_model *model, ddt_expr e) {
    bool individual = false;
    if (e == DDT_EXPR_NONE) {
        return false;
    }
    for (size_t i = 0; i < model->symbol_count; i++) {
        const ddt_symbol_kind kind = model->symbols[i].kind;
        if (kind != DDT_SYMBOL_THETA && kind != DDT_SYMBOL_COVARIATE &&
            ddt_expr_depends_on(model->pool, e, (uint32_t)i)) {
            if (kind != DDT_SYMBOL_ETA) {
                return false;
            }
            individual = true;
        }
    }
    return individual;
}

/* The model's individual parameters: indices into its variables. *count of them; NULL when memory is short. */
static size_t *parameters_of(const ddt_model *model, size_t *count) {
    size_t *list = ddt_alloc(model->variable_count, sizeof *list);
    *count = 0;
    for (size_t i = 0; list != NULL && i < model->variable_count; i++) {
        if (is_parameter(model, model->variables[i])) {
            list[(*count)++] = i;
        }
    }
    return list;
}

static ddt_status individual_rows(ddt_context *ctx, const ddt_twin_problem *problem, const ddt_profile *fit,
                                  const size_t *parameters, size_t count, double *symbols, twin_text *text) {
    const ddt_model *model = problem->model;
    for (size_t s = 0; s < fit->subject_count; s++) {
        ddt_status status = symbols_at(ctx, model, problem->events, fit, s, symbols);
        if (status != DDT_OK) {
            return status;
        }
        twin_text_csv(text, fit->subject_ids[s]);
        for (size_t i = 0; i < count; i++) {
            add_field(text, twin_is_left_out(fit, s),
                      ddt_expr_eval(model->pool, model->variables[parameters[i]], symbols, NULL));
        }
        twin_text_raw(text, "\n", 1);
    }
    return DDT_OK;
}

static ddt_status check_fit(ddt_context *ctx, const ddt_twin_problem *problem, const ddt_profile *fit) {
    if (problem->recipe.purpose != DDT_TWIN_FIT || fit->subject_count != problem->events->subject_count) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "These estimates are not of this problem.");
    }
    return DDT_OK;
}

ddt_status ddt_twin_write_individuals(ddt_context *ctx, const ddt_twin_problem *problem, const ddt_profile *fit,
                                      const char *path) {
    const ddt_model *model = problem->model;
    size_t count = 0;
    twin_text text = {0};
    ddt_status status = check_fit(ctx, problem, fit);
    if (status != DDT_OK) {
        return status;
    }
    size_t *parameters = parameters_of(model, &count);
    double *symbols = ddt_calloc(model->symbol_count, sizeof *symbols);
    if (parameters == NULL || symbols == NULL) {
        status = twin_no_memory(ctx);
    } else {
        twin_text_add(&text, "ID");
        for (size_t i = 0; i < count; i++) {
            twin_text_raw(&text, ",", 1);
            twin_text_csv(&text, model->variable_names[parameters[i]]);
        }
        twin_text_raw(&text, "\n", 1);
        status = individual_rows(ctx, problem, fit, parameters, count, symbols, &text);
    }
    ddt_free(parameters);
    twin_wipe_free(symbols, model->symbol_count * sizeof *symbols);
    if (status != DDT_OK) {
        twin_text_destroy(&text);
        return status;
    }
    return twin_text_write(ctx, &text, path);
}

/* ------------------------------------------------------------------ levels */

static void residual_row(const ddt_twin_problem *problem, const ddt_subject *subject, const ddt_fit_residual *r,
                         bool is_left_out, twin_text *text) {
    const double outlier = 3.0; /* standard deviations */
    const ddt_record *record = &subject->records[r->record];
    twin_text_csv(text, subject->id);
    twin_text_raw(text, ",", 1);
    twin_text_exact(text, record->time_h);
    twin_text_raw(text, ",", 1);
    twin_text_csv(text, problem->model->outputs[r->output].name);
    twin_text_add(text, ",%.9g,%d", record->dv, record->censored);
    if (is_left_out) {
        twin_text_add(text, ",,,\n");
    } else {
        twin_text_add(text, ",%.9g,%.4f,%d\n", r->prediction, r->residual, fabs(r->residual) > outlier);
    }
}

static ddt_status residual_rows(ddt_context *ctx, const ddt_twin_problem *problem, const ddt_profile *fit, size_t s,
                                twin_text *text) {
    const ddt_subject *subject = &problem->events->subjects[s];
    size_t count = 0;
    ddt_fit_residual *residuals = ddt_calloc(subject->record_count + 1, sizeof *residuals);
    double *nothing = ddt_calloc(fit->output_count, sizeof *nothing);
    if (residuals == NULL || nothing == NULL) {
        ddt_free(residuals);
        ddt_free(nothing);
        return twin_no_memory(ctx);
    }
    /* Which records are levels is the same at any etas. */
    const bool is_left_out = twin_is_left_out(fit, s);
    ddt_status status = ddt_fit_residuals(ctx, problem->model, problem->events, s,
                                          is_left_out ? nothing : fit->values[s], residuals, &count);
    for (size_t k = 0; k < count && status == DDT_OK; k++) {
        residual_row(problem, subject, &residuals[k], is_left_out, text);
    }
    ddt_free(nothing);
    twin_wipe_free(residuals, (subject->record_count + 1) * sizeof *residuals);
    return status;
}

ddt_status ddt_twin_write_residuals(ddt_context *ctx, const ddt_twin_problem *problem, const ddt_profile *fit,
                                    const char *path) {
    twin_text text = {0};
    ddt_status status = check_fit(ctx, problem, fit);
    twin_text_add(&text, "ID,TIME,OUTPUT,DV,CENS,PREDICTION,RESIDUAL,OUTLIER\n");
    for (size_t s = 0; s < fit->subject_count && status == DDT_OK; s++) {
        status = residual_rows(ctx, problem, fit, s, &text);
    }
    if (status != DDT_OK) {
        twin_text_destroy(&text);
        return status;
    }
    return twin_text_write(ctx, &text, path);
}

/* ------------------------------------------------------------------ the page */

/* Curves of all subjects at their estimates and at the population's typical values, by CVODE. */
typedef struct fitted {
    ddt_events *events; /* the data with the report's grid */
    ddt_profile own, typical;
} fitted;

static void fitted_destroy(fitted *f) {
    ddt_profile_destroy(&f->own);
    ddt_profile_destroy(&f->typical);
    ddt_events_destroy(f->events);
}

static size_t observation_count(const ddt_subject *subject) {
    size_t count = 0;
    for (size_t r = 0; r < subject->record_count; r++) {
        count += ddt_record_is_observation(&subject->records[r]);
    }
    return count;
}

static bool curve_subject(const ddt_subject *subject, size_t s, ddt_profile *profile) {
    const size_t count = observation_count(subject);
    if (!twin_profile_allocate_subject(profile, s, subject->id, count)) {
        return false;
    }
    size_t k = 0;
    for (size_t r = 0; r < subject->record_count; r++) {
        if (ddt_record_is_observation(&subject->records[r])) {
            profile->times_h[s][k++] = subject->records[r].time_h;
        }
    }
    return true;
}

/* An empty profile of the model's outputs at the events' observations. */
static ddt_status curves_create(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                ddt_profile *profile) {
    const size_t subjects = events->subject_count;
    *profile = (ddt_profile){.subject_count = subjects, .output_count = model->output_count};
    bool enough = twin_profile_allocate(profile);
    for (size_t o = 0; enough && o < model->output_count; o++) {
        profile->output_names[o] = ddt_strdup(model->outputs[o].name);
        enough = profile->output_names[o] != NULL;
    }
    for (size_t s = 0; enough && s < subjects; s++) {
        enough = curve_subject(&events->subjects[s], s, profile);
    }
    return enough ? DDT_OK : twin_no_memory(ctx);
}

static ddt_status simulate_subject(ddt_context *ctx, const ddt_model *model, const ddt_expr *expressions,
                                   const ddt_profile *fit, size_t s, double *symbols, fitted *f) {
    const bool is_left_out = twin_is_left_out(fit, s);
    ddt_status status = symbols_at(ctx, model, f->events, fit, s, symbols);
    if (status == DDT_OK && !is_left_out) {
        status = ddt_reference_simulate_with(ctx, model, f->events, s, symbols, true, expressions, model->output_count,
                                             f->own.values[s]);
    }
    for (size_t i = 0; is_left_out && i < f->own.observation_counts[s] * f->own.output_count; i++) {
        f->own.values[s][i] = NAN;
    }
    for (size_t i = 0; i < eta_count(fit) && status == DDT_OK; i++) {
        symbols[ddt_model_find_symbol(model, fit->output_names[i])] = 0;
    }
    if (status == DDT_OK) {
        status = ddt_reference_simulate_with(ctx, model, f->events, s, symbols, true, expressions, model->output_count,
                                             f->typical.values[s]);
    }
    return status;
}

static ddt_status simulate_all(ddt_context *ctx, const ddt_model *model, const ddt_profile *fit, fitted *f) {
    ddt_expr *expressions = ddt_alloc(model->output_count, sizeof *expressions);
    double *symbols = ddt_calloc(model->symbol_count, sizeof *symbols);
    ddt_status status = DDT_OK;
    if (expressions == NULL || symbols == NULL) {
        ddt_free(expressions);
        ddt_free(symbols);
        return twin_no_memory(ctx);
    }
    for (size_t o = 0; o < model->output_count; o++) {
        expressions[o] = model->outputs[o].value;
    }
    for (size_t s = 0; status == DDT_OK && s < fit->subject_count; s++) {
        status = ddt_progress(ctx, "curves", s, fit->subject_count);
        if (status == DDT_OK) {
            status = simulate_subject(ctx, model, expressions, fit, s, symbols, f);
        }
    }
    ddt_free(expressions);
    twin_wipe_free(symbols, model->symbol_count * sizeof *symbols);
    return status == DDT_OK ? ddt_progress(ctx, "curves", fit->subject_count, fit->subject_count) : status;
}

static ddt_status fitted_create(ddt_context *ctx, const ddt_twin_problem *problem, const ddt_profile *fit,
                                const char *data_path, fitted *f) {
    enum { CURVE_POINTS = 97 };
    ddt_status status = ddt_events_read(ctx, data_path, problem->model, &f->events);
    if (status == DDT_OK) {
        status = ddt_events_add_points(ctx, f->events, CURVE_POINTS);
    }
    if (status == DDT_OK) {
        status = curves_create(ctx, problem->model, f->events, &f->own);
    }
    if (status == DDT_OK) {
        status = curves_create(ctx, problem->model, f->events, &f->typical);
    }
    return status == DDT_OK ? simulate_all(ctx, problem->model, fit, f) : status;
}

static void left_out_row(twin_text *text, const ddt_profile *fit, size_t s, size_t columns) {
    twin_text_add(text, "<tr><td>");
    twin_text_escaped(text, fit->subject_ids[s]);
    twin_text_add(text, "</td><td colspan=\"%zu\">left out: ", columns);
    twin_text_escaped(text, ddt_left_out_reason(&fit->left_out, s));
    twin_text_add(text, "</td></tr>\n");
}

static void estimate_row(twin_text *text, const ddt_profile *fit, size_t s, const ddt_assessment *assessment) {
    const size_t etas = eta_count(fit);
    double largest = 0;
    if (twin_is_left_out(fit, s)) {
        left_out_row(text, fit, s, assessment == NULL ? etas : etas + 1);
        return;
    }
    twin_text_add(text, "<tr><td>");
    twin_text_escaped(text, fit->subject_ids[s]);
    twin_text_add(text, "</td>");
    for (size_t i = 0; i < etas; i++) {
        const double eta = fit->values[s][i];
        twin_text_add(text, "<td class=\"n\">%.3f &plusmn; %.3f</td>", eta, fit->values[s][etas + i]);
        largest = assessment == NULL ? 0 : fmax(largest, fabs(eta - assessment->reference.values[s][i]));
    }
    if (assessment != NULL) {
        twin_text_add(text, "<td class=\"n\">%.5f</td>", largest);
    }
    twin_text_add(text, "</tr>\n");
}

static void estimate_table(twin_text *text, const ddt_profile *fit, const ddt_assessment *assessment) {
    const size_t etas = eta_count(fit);
    twin_text_add(text, "<section><h2>Individual estimates</h2><div class=\"scroll\"><table><tr><th>Subject</th>");
    for (size_t i = 0; i < etas; i++) {
        twin_text_add(text, "<th class=\"n\">");
        twin_text_escaped(text, fit->output_names[i]);
        twin_text_add(text, " &plusmn; sd</th>");
    }
    twin_text_add(text, "%s</tr>\n", assessment == NULL ? "" : "<th class=\"n\">largest difference</th>");
    for (size_t s = 0; s < fit->subject_count; s++) {
        estimate_row(text, fit, s, assessment);
    }
    twin_text_add(text, "</table></div><p class=\"note\">Estimated under encryption from encrypted levels, doses and "
                        "covariates: the maximum of the posterior and its standard deviation. ");
    twin_text_add(text, assessment == NULL
                            ? "</p></section>\n"
                            : "The difference is that to the optimum found in the clear.</p></section>\n");
}

static void error_tiles(twin_text *text, const ddt_twin_outcome *outcome) {
    const ddt_assessment *assessment = outcome->assessment;
    twin_text_add(text, "<div class=\"tiles\">");
    if (assessment != NULL) {
        const bool good = assessment->worst.total <= assessment->error_bar;
        twin_text_add(text,
                      "<div class=\"tile\"><b class=\"%s\">%.4f</b><span>largest difference of an eta from the "
                      "optimum in the clear; the bar is %.2g</span></div>",
                      good ? "good" : "bad", assessment->worst.total, assessment->error_bar);
    }
    twin_text_add(text, "<div class=\"tile\"><b>%zu</b><span>subject%s</span></div>", outcome->profile->subject_count,
                  outcome->profile->subject_count == 1 ? "" : "s");
    if (outcome->run->engine_s > 0) {
        twin_text_add(text, "<div class=\"tile\"><b>");
        twin_page_seconds(text, outcome->run->engine_s);
        twin_text_add(text, "</b><span>in the engine</span></div>");
    }
    twin_text_add(text, "</div>\n");
}

static void fit_page(twin_text *text, const ddt_twin_problem *problem, const ddt_twin_outcome *outcome,
                     const fitted *f) {
    /* The drawing's two curves: each subject's own, and the population's typical one in place of a reference. */
    ddt_assessment typical = {.reference = f->typical};
    ddt_twin_outcome drawing = *outcome;
    drawing.profile = &f->own;
    drawing.assessment = &typical;
    drawing.events = f->events;
    twin_page_begin(text, problem->model, outcome->run, "individual estimates",
                    outcome->run->engine_s > 0 ? "Individual parameters estimated under encryption"
                                               : "Individual parameters, the encrypted program run in the clear");
    error_tiles(text, outcome);
    twin_text_add(text, "<section><h2>Levels and curves</h2><p class=\"key\">Solid: the curve of the patient&rsquo;s "
                        "own estimate. Dashed: the typical patient with these covariates. Circles: measured. Curves "
                        "are drawn by CVODE in the clear from the decrypted estimates.</p>");
    for (size_t o = 0; o < problem->model->output_count; o++) {
        twin_text_add(text, "<div class=\"panels\">\n");
        twin_svg_panels(text, &drawing, o);
        twin_text_add(text, "</div>\n");
    }
    twin_text_add(text, "</section>\n");
    estimate_table(text, outcome->profile, outcome->assessment);
    twin_text_add(text, "<div class=\"two\">\n");
    twin_page_computation(text, outcome);
    twin_page_costs(text, outcome->run);
    twin_text_add(text, "</div>\n");
    twin_page_who_sees_what(text);
    twin_page_end(text);
}

ddt_status ddt_twin_write_fit_report(ddt_context *ctx, const ddt_twin_problem *problem, const ddt_twin_outcome *outcome,
                                     const char *data_path, const char *path) {
    fitted f = {0};
    ddt_status status = check_fit(ctx, problem, outcome->profile);
    if (status == DDT_OK) {
        status = fitted_create(ctx, problem, outcome->profile, data_path, &f);
    }
    if (status == DDT_OK) {
        twin_text text = {0};
        fit_page(&text, problem, outcome, &f);
        status = twin_text_write(ctx, &text, path);
    }
    fitted_destroy(&f);
    return status;
}
