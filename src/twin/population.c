/*
 * Populations under encryption: virtual patients as an event table, and the bands of their decrypted profile.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "twin_internal.h"

#include "ddt/pharma/population.h"

#include <math.h>
#include <string.h>

enum { BANDS = 3 };

static const double probabilities[BANDS] = {0.05, 0.5, 0.95};

/* ------------------------------------------------------------------ the table */

static bool is_column(const ddt_model *model, size_t symbol) {
    return model->symbols[symbol].kind == DDT_SYMBOL_COVARIATE || model->symbols[symbol].kind == DDT_SYMBOL_ETA;
}

static void table_header(twin_text *text, const ddt_model *model) {
    twin_text_add(text, "ID,TIME,AMT,RATE,II,ADDL,SS,CMT,EVID,MDV");
    for (size_t i = 0; i < model->symbol_count; i++) {
        if (is_column(model, i)) {
            twin_text_raw(text, ",", 1);
            twin_text_csv(text, model->symbols[i].name);
        }
    }
    twin_text_raw(text, "\n", 1);
}

static void table_patient(twin_text *text, const ddt_model *model, const ddt_subject *regimen, size_t patient,
                          const double *symbols) {
    for (size_t r = 0; r < regimen->record_count; r++) {
        const ddt_record *record = &regimen->records[r];
        twin_text_add(text, "%zu,", patient);
        twin_text_exact(text, record->time_h);
        twin_text_raw(text, ",", 1);
        twin_text_exact(text, record->amount);
        twin_text_raw(text, ",", 1);
        twin_text_exact(text, record->rate);
        twin_text_raw(text, ",", 1);
        twin_text_exact(text, record->interval_h);
        twin_text_add(text, ",%u,%d,%u,%d,1", record->additional, record->steady_state, record->compartment,
                      record->evid == 0 ? 2 : record->evid);
        for (size_t i = 0; i < model->symbol_count; i++) {
            if (is_column(model, i)) {
                twin_text_raw(text, ",", 1);
                twin_text_exact(text, symbols[i]);
            }
        }
        twin_text_raw(text, "\n", 1);
    }
}

static ddt_status table_of(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t patients,
                           twin_text *text) {
    double *symbols = ddt_calloc(model->symbol_count, sizeof *symbols);
    if (symbols == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_status status = DDT_OK;
    table_header(text, model);
    for (size_t k = 0; status == DDT_OK && k < patients; k++) {
        /* the draws but for the typical patient, who is no draw */
        status = ddt_population_draw(ctx, model, k + 1, symbols);
        if (status == DDT_OK) {
            table_patient(text, model, &events->subjects[0], k + 1, symbols);
        }
    }
    ddt_free(symbols);
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
        status = table_of(ctx, model, events, patients, &text);
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

/* bands[(k * outputs + o) * BANDS + i]; all subjects of the profile have the same times. */
static ddt_status find_bands(ddt_context *ctx, const ddt_profile *profile, double **out) {
    const size_t count = profile->observation_counts[0];
    const size_t outputs = profile->output_count;
    double *bands = ddt_calloc(count * outputs * BANDS, sizeof *bands);
    double *values = ddt_calloc(profile->subject_count, sizeof *values);
    if (bands == NULL || values == NULL) {
        ddt_free(bands);
        ddt_free(values);
        return twin_no_memory(ctx);
    }
    for (size_t at = 0; at < count * outputs; at++) {
        for (size_t s = 0; s < profile->subject_count; s++) {
            values[s] = profile->values[s][at];
        }
        ddt_percentiles(values, profile->subject_count, probabilities, BANDS, bands + at * BANDS);
    }
    ddt_free(values);
    *out = bands;
    return DDT_OK;
}

static ddt_status check_population(ddt_context *ctx, const ddt_profile *profile) {
    for (size_t s = 0; s < profile->subject_count; s++) {
        if (profile->observation_counts[s] != profile->observation_counts[0]) {
            return ddt_fail(ctx, DDT_ERR_MISMATCH, "The patients of a population have the same times; these have not.");
        }
    }
    return profile->subject_count > 0 ? DDT_OK : ddt_fail(ctx, DDT_ERR_MISMATCH, "There is no patient.");
}

static void write_csv(twin_text *text, const ddt_profile *profile, const double *bands) {
    static const char *const names[BANDS] = {"p05", "p50", "p95"};
    twin_text_add(text, "TIME");
    for (size_t o = 0; o < profile->output_count; o++) {
        for (size_t b = 0; b < BANDS; b++) {
            twin_text_raw(text, ",", 1);
            twin_text_csv(text, profile->output_names[o]);
            twin_text_add(text, ".%s", names[b]);
        }
    }
    twin_text_raw(text, "\n", 1);
    for (size_t k = 0; k < profile->observation_counts[0]; k++) {
        twin_text_exact(text, profile->times_h[0][k]);
        for (size_t i = 0; i < profile->output_count * BANDS; i++) {
            twin_text_add(text, ",%.9g", bands[k * profile->output_count * BANDS + i]);
        }
        twin_text_raw(text, "\n", 1);
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

static void draw_bands(twin_text *text, const ddt_twin_outcome *outcome, const double *bands, size_t o) {
    const ddt_profile *profile = outcome->profile;
    const size_t count = profile->observation_counts[0];
    const size_t stride = profile->output_count * BANDS;
    const double *own = bands + o * BANDS;
    frame f = {.from_h = profile->times_h[0][0], .to_h = profile->times_h[0][count - 1], .top = 1e-300};
    for (size_t k = 0; k < count; k++) {
        f.top = fmax(f.top, own[k * stride + BANDS - 1]);
    }
    twin_text_add(text,
                  "<svg class=\"panel\" viewBox=\"0 0 %d %d\" role=\"img\"><polygon fill=\"currentColor\" "
                  "fill-opacity=\"0.15\" points=\"",
                  WIDTH, HEIGHT);
    for (size_t k = 0; k < count; k++) {
        add_point(text, &f, profile->times_h[0][k], own[k * stride + BANDS - 1]);
    }
    for (size_t k = count; k-- > 0;) {
        add_point(text, &f, profile->times_h[0][k], own[k * stride]);
    }
    twin_text_add(text, "\"/><polyline fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\" points=\"");
    for (size_t k = 0; k < count; k++) {
        add_point(text, &f, profile->times_h[0][k], own[k * stride + 1]);
    }
    twin_text_add(text, "\"/><text x=\"%d\" y=\"20\">", MARGIN);
    twin_text_escaped(text, profile->output_names[o]);
    twin_text_add(text, ", 0 to %.4g ", f.top);
    twin_text_escaped(text, twin_output_unit(outcome->model, o));
    twin_text_add(text, "</text><text x=\"%d\" y=\"%d\">%.4g to %.4g ", MARGIN, HEIGHT - 16, f.from_h, f.to_h);
    twin_text_escaped(text, twin_time_unit(outcome->model));
    twin_text_add(text, "</text></svg>\n");
}

static void write_page(twin_text *text, const ddt_twin_outcome *outcome, const double *bands) {
    twin_page_begin(text, outcome->model, outcome->run, "population", "A population simulated under encryption");
    twin_text_add(text,
                  "<section><h2>Bands</h2><p class=\"key\">%zu virtual patients, drawn from the model's random effects "
                  "and its covariates' ranges. Line: median; area: percentiles 5 to 95, exact, from the decrypted "
                  "patients.</p><div class=\"panels\">\n",
                  outcome->profile->subject_count);
    for (size_t o = 0; o < outcome->profile->output_count; o++) {
        draw_bands(text, outcome, bands, o);
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
    double *bands = NULL;
    ddt_status status = check_population(ctx, outcome->profile);
    if (status == DDT_OK) {
        status = find_bands(ctx, outcome->profile, &bands);
    }
    if (status != DDT_OK) {
        return status;
    }
    write_csv(&csv, outcome->profile, bands);
    write_page(&page, outcome, bands);
    ddt_free(bands);
    status = twin_text_write(ctx, &csv, csv_path);
    if (status != DDT_OK) {
        twin_text_destroy(&page);
        return status;
    }
    return twin_text_write(ctx, &page, report_path);
}
