/*
 * Populations under encryption: virtual patients as an event table, and the bands of their decrypted profile.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "twin_internal.h"

#include "ddt/pharma/population.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BANDS = 3 };

static const double probabilities[BANDS] = {0.05, 0.5, 0.95};
static const char *const band_names[BANDS] = {"p05", "p50", "p95"};

/* ------------------------------------------------------------------ the table */

/* around: the covariates of the record in the data in place of those drawn. */
static void set_covariates(const ddt_model *model, const ddt_events *events, size_t record, double *symbols) {
    const ddt_subject *subject = &events->subjects[0];
    for (size_t c = 0; c < events->covariate_count; c++) {
        const uint32_t symbol = events->covariate_symbols[c];
        if (model->symbols[symbol].kind == DDT_SYMBOL_COVARIATE) {
            symbols[symbol] = subject->covariate_values[subject->records[record].covariates + c];
        }
    }
}

static ddt_status table_of(ddt_context *ctx, const ddt_model *model, const ddt_events *events, bool around,
                           size_t patients, twin_text *text) {
    const ddt_subject *regimen = &events->subjects[0];
    double *symbols = ddt_calloc(model->symbol_count, sizeof *symbols);
    if (symbols == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_status status = DDT_OK;
    twin_table_header(text, model);
    for (size_t k = 0; status == DDT_OK && k < patients; k++) {
        /* the draws but for the typical patient, who is no draw */
        status = ddt_population_patient(ctx, model, k + 1, symbols);
        for (size_t r = 0; status == DDT_OK && r < regimen->record_count; r++) {
            if (around) {
                set_covariates(model, events, r, symbols);
            }
            twin_table_row(text, model, k + 1, &regimen->records[r], symbols);
        }
    }
    ddt_free(symbols);
    return status;
}

ddt_status ddt_twin_typical_table(ddt_context *ctx, const ddt_twin_options *options, const char *path) {
    twin_recipe recipe;
    ddt_model *model = NULL;
    twin_text text = {0};
    char *table = NULL;
    size_t length = 0;
    ddt_status status = twin_recipe_create(ctx, options, &recipe);
    if (status == DDT_OK) {
        status = twin_recipe_model(ctx, &recipe, options->model_path, &model);
    }
    if (status == DDT_OK) {
        status = twin_virtual_trial(ctx, model, 1, &table, &length);
    }
    if (status == DDT_OK) {
        twin_text_raw(&text, table, length);
        status = twin_text_write(ctx, &text, path);
    }
    ddt_free(table);
    ddt_model_destroy(model);
    twin_recipe_destroy(&recipe);
    return status;
}

ddt_status ddt_twin_population_table(ddt_context *ctx, const ddt_twin_options *options, size_t patients,
                                     const char *path) {
    twin_recipe recipe;
    ddt_model *model = NULL;
    ddt_events *events = NULL;
    twin_text text = {0};
    ddt_status status = twin_recipe_create(ctx, options, &recipe);
    if (status == DDT_OK) {
        status = twin_recipe_model(ctx, &recipe, options->model_path, &model);
    }
    if (status == DDT_OK) {
        status = ddt_events_read(ctx, options->data_path, model, &events);
    }
    if (status == DDT_OK && (patients < 2 || patients > DDT_POPULATION_MAX)) {
        status = ddt_fail(ctx, DDT_ERR_USAGE, "A population has 2 to %d virtual patients, not %zu.", DDT_POPULATION_MAX,
                          patients);
    }
    if (status == DDT_OK) {
        status = table_of(ctx, model, events, options->around, patients, &text);
    }
    if (status == DDT_OK) {
        status = twin_text_write(ctx, &text, path);
    } else {
        twin_text_destroy(&text);
    }
    ddt_events_destroy(events);
    ddt_model_destroy(model);
    twin_recipe_destroy(&recipe);
    return status;
}

/* ------------------------------------------------------------------ bands */

static bool by_moments(const ddt_twin_outcome *outcome) { return outcome->purpose == DDT_TWIN_BANDS; }

static ddt_status check_population(ddt_context *ctx, const ddt_profile *profile) {
    for (size_t s = 0; s < profile->subject_count; s++) {
        if (profile->observation_counts[s] != profile->observation_counts[0]) {
            return ddt_fail(ctx, DDT_ERR_MISMATCH, "The patients of a population have the same times; these have not.");
        }
    }
    return profile->subject_count > 0 ? DDT_OK : ddt_fail(ctx, DDT_ERR_MISMATCH, "There is no patient.");
}

/* The only subject of *out has three outputs for each of the profile's. */
static bool allocate_bands(const ddt_profile *profile, ddt_profile *out) {
    enum { NAME_MAX = 512 };
    char name[NAME_MAX];
    *out = (ddt_profile){.subject_count = 1, .output_count = BANDS * profile->output_count};
    bool complete =
        twin_profile_allocate(out) && twin_profile_allocate_subject(out, 0, "1", profile->observation_counts[0]);
    for (size_t i = 0; complete && i < out->output_count; i++) {
        (void)snprintf(name, sizeof name, "%s.%s", profile->output_names[i / BANDS], band_names[i % BANDS]);
        out->output_names[i] = ddt_strdup(name);
        complete = out->output_names[i] != NULL;
    }
    for (size_t k = 0; complete && k < profile->observation_counts[0]; k++) {
        out->times_h[0][k] = profile->times_h[0][k];
        out->requested[0][k] = true;
    }
    return complete;
}

/* The percentiles of the profile's subjects, who have the same times. */
static ddt_status find_bands(ddt_context *ctx, const ddt_profile *profile, ddt_profile *out) {
    ddt_status status = check_population(ctx, profile);
    if (status != DDT_OK) {
        return status;
    }
    double *values = ddt_calloc(profile->subject_count, sizeof *values);
    if (!allocate_bands(profile, out) || values == NULL) {
        ddt_free(values);
        ddt_profile_destroy(out);
        return twin_no_memory(ctx);
    }
    for (size_t at = 0; at < profile->observation_counts[0] * profile->output_count; at++) {
        for (size_t s = 0; s < profile->subject_count; s++) {
            values[s] = profile->values[s][at];
        }
        ddt_percentiles(values, profile->subject_count, probabilities, BANDS, out->values[0] + at * BANDS);
    }
    ddt_free(values);
    return DDT_OK;
}

static void write_csv(twin_text *text, const ddt_profile *bands, const char *method) {
    twin_text_add(text, "ID,TIME");
    for (size_t o = 0; o < bands->output_count; o++) {
        twin_text_raw(text, ",", 1);
        twin_text_csv(text, bands->output_names[o]);
    }
    twin_text_add(text, ",METHOD\n");
    for (size_t s = 0; s < bands->subject_count; s++) {
        for (size_t k = 0; k < bands->observation_counts[s]; k++) {
            twin_text_csv(text, bands->subject_ids[s]);
            twin_text_raw(text, ",", 1);
            twin_text_exact(text, bands->times_h[s][k]);
            for (size_t o = 0; o < bands->output_count; o++) {
                twin_text_add(text, ",%.9g", bands->values[s][k * bands->output_count + o]);
            }
            twin_text_add(text, ",%s\n", method);
        }
    }
}

/* ------------------------------------------------------------------ the page */

enum { WIDTH = 640, HEIGHT = 300, MARGIN = 48 };

typedef struct frame {
    double from_h, to_h, top;
} frame;

static void add_point(twin_text *text, const frame *f, double time_h, double value) {
    const double x = MARGIN + (WIDTH - 2 * MARGIN) * (time_h - f->from_h) / fmax(f->to_h - f->from_h, 1e-12);
    const double y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * value / f->top;
    twin_text_add(text, "%.1f,%.1f ", x, y);
}

/* One output of one subject: bands->output_count is BANDS times the outputs. */
static void draw_bands(twin_text *text, const ddt_model *model, const ddt_profile *bands, size_t subject, size_t o) {
    const size_t count = bands->observation_counts[subject];
    const size_t stride = bands->output_count;
    const double *own = bands->values[subject] + o * BANDS;
    const double *times_h = bands->times_h[subject];
    const char *name = bands->output_names[o * BANDS];
    if (count == 0) {
        return;
    }
    frame f = {.from_h = times_h[0], .to_h = times_h[count - 1], .top = 1e-300};
    for (size_t k = 0; k < count; k++) {
        f.top = fmax(f.top, own[k * stride + BANDS - 1]);
    }
    twin_text_add(text,
                  "<svg class=\"panel\" viewBox=\"0 0 %d %d\" role=\"img\"><polygon fill=\"currentColor\" "
                  "fill-opacity=\"0.15\" points=\"",
                  WIDTH, HEIGHT);
    for (size_t k = 0; k < count; k++) {
        add_point(text, &f, times_h[k], own[k * stride + BANDS - 1]);
    }
    for (size_t k = count; k-- > 0;) {
        add_point(text, &f, times_h[k], own[k * stride]);
    }
    twin_text_add(text, "\"/><polyline fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\" points=\"");
    for (size_t k = 0; k < count; k++) {
        add_point(text, &f, times_h[k], own[k * stride + 1]);
    }
    twin_text_add(text, "\"/><text x=\"%d\" y=\"20\">", MARGIN);
    if (bands->subject_count > 1) {
        twin_text_escaped(text, bands->subject_ids[subject]);
        twin_text_add(text, ": ");
    }
    char *output = ddt_strdup(name);
    if (output != NULL && strrchr(output, '.') != NULL) {
        *strrchr(output, '.') = '\0';
    }
    twin_text_escaped(text, output == NULL ? name : output);
    ddt_free(output);
    twin_text_add(text, ", 0 to %.4g ", f.top);
    twin_text_escaped(text, twin_output_unit(model, o));
    twin_text_add(text, "</text><text x=\"%d\" y=\"%d\">%.4g to %.4g ", MARGIN, HEIGHT - 16, f.from_h, f.to_h);
    twin_text_escaped(text, twin_time_unit(model));
    twin_text_add(text, "</text></svg>\n");
}

static void say_method(twin_text *text, const ddt_twin_outcome *outcome) {
    const char *const whose = "drawn from the model's random effects and covariates (docs/population.md)";
    if (by_moments(outcome)) {
        twin_text_add(text,
                      "Virtual patients around each subject, %s. Line: median; area: percentiles 5 to 95. The result "
                      "held three moments of each output over the virtual patients and nothing of any of them; the "
                      "percentiles are Cornish and Fisher's of these moments.",
                      whose);
    } else {
        twin_text_add(text,
                      "%zu virtual patients, %s. Line: median; area: percentiles 5 to 95, exact, from the decrypted "
                      "patients.",
                      outcome->profile->subject_count, whose);
    }
}

static void write_page(twin_text *text, const ddt_twin_outcome *outcome, const ddt_profile *bands) {
    twin_page_begin(text, outcome->model, outcome->run, "population", "A population simulated under encryption");
    twin_text_add(text, "<section><h2>Bands</h2><p class=\"key\">");
    say_method(text, outcome);
    twin_text_add(text, "</p><div class=\"panels\">\n");
    for (size_t s = 0; s < bands->subject_count; s++) {
        for (size_t o = 0; o < bands->output_count / BANDS; o++) {
            draw_bands(text, outcome->model, bands, s, o);
        }
    }
    twin_text_add(text, "</div></section>\n<div class=\"two\">\n");
    twin_page_computation(text, outcome);
    twin_page_costs(text, outcome->run);
    twin_text_add(text, "</div>\n");
    twin_page_who_sees_what(text);
    twin_page_end(text);
}

ddt_status ddt_twin_write_population(ddt_context *ctx, const ddt_twin_outcome *outcome, const char *csv_path,
                                     const char *report_path) {
    twin_text csv = {0};
    twin_text page = {0};
    ddt_profile own = {0};
    const ddt_profile *bands = by_moments(outcome) ? outcome->profile : &own;
    ddt_status status = by_moments(outcome) ? DDT_OK : find_bands(ctx, outcome->profile, &own);
    if (status != DDT_OK) {
        return status;
    }
    write_csv(&csv, bands, by_moments(outcome) ? "moments" : "percentiles");
    write_page(&page, outcome, bands);
    ddt_profile_destroy(&own);
    status = twin_text_write(ctx, &csv, csv_path);
    if (status != DDT_OK) {
        twin_text_destroy(&page);
        return status;
    }
    return twin_text_write(ctx, &page, report_path);
}
