/* report.html: one standalone file for the physician and the modeller. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------ parts of the page */

static void error_tile(twin_text *text, const ddt_assessment *assessment) {
    const bool good = assessment->worst.total <= assessment->error_bar;
    twin_text_add(text, "<div class=\"tile\"><b class=\"%s\">", good ? "good" : "bad");
    twin_page_percent(text, assessment->worst.total);
    twin_text_add(text, "</b><span>largest error, of the output&rsquo;s maximum; ");
    twin_text_add(text, good ? "within the bar of " : "above the bar of ");
    twin_page_percent(text, assessment->error_bar);
    twin_text_add(text, "</span></div>");
}

static void engine_tile(twin_text *text, const ddt_twin_run *run) {
    twin_text_add(text, "<div class=\"tile\"><b>");
    twin_page_seconds(text, run->engine_s);
    twin_text_add(text, "</b><span>in the engine, %d thread%s</span></div>", run->threads,
                  run->threads == 1 ? "" : "s");
}

static void tiles(twin_text *text, const ddt_twin_outcome *outcome) {
    const ddt_plan_info *plan = &outcome->plan;
    const size_t subjects = outcome->profile->subject_count;
    twin_text_add(text, "<div class=\"tiles\">");
    if (outcome->assessment != NULL) {
        error_tile(text, outcome->assessment);
    }
    if (outcome->run->engine_s > 0) {
        engine_tile(text, outcome->run);
    }
    twin_text_add(text, "<div class=\"tile\"><b>%zu</b><span>subject%s, %zu requested times</span></div>", subjects,
                  subjects == 1 ? "" : "s", ddt_profile_requested_count(outcome->profile));
    twin_text_add(text,
                  "<div class=\"tile\"><b>%u bits</b><span>security; ring degree 2<sup>%u</sup>, log<sub>2</sub> QP "
                  "%.0f of %u allowed</span></div></div>\n",
                  plan->security_bits, plan->literal.log_n, plan->log2_qp, ddt_ckks_max_log_qp(plan->literal.log_n));
}

static void legend(twin_text *text, const ddt_twin_outcome *outcome) {
    twin_text_add(text,
                  "<p class=\"key\"><span><svg width=\"30\" height=\"8\"><path class=\"c-run\" d=\"M1 4h28\"/></svg>"
                  "computed under encryption</span>");
    if (outcome->assessment != NULL) {
        twin_text_add(text, "<span><svg width=\"30\" height=\"8\"><path class=\"c-ref\" d=\"M1 4h28\"/></svg>"
                            "CVODE in the clear</span>");
    }
    if (twin_has_measurements(outcome)) {
        twin_text_add(text,
                      "<span><svg width=\"10\" height=\"10\"><circle class=\"c-dv\" cx=\"5\" cy=\"5\" r=\"3\"/></svg>"
                      "measured</span>");
    }
    if (outcome->events != NULL) {
        twin_text_add(text, "<span><svg width=\"10\" height=\"10\"><path class=\"c-dose\" d=\"M5 9l-3.5 -7h7z\"/></svg>"
                            "dose</span>");
    }
    twin_text_add(text, "</p>\n");
}

static void curves(twin_text *text, const ddt_twin_outcome *outcome) {
    twin_text_add(text, "<section><h2>Concentrations by subject</h2>");
    legend(text, outcome);
    for (size_t o = 0; o < outcome->profile->output_count; o++) {
        twin_text_add(text, "<div class=\"panels\">\n");
        twin_svg_panels(text, outcome, o);
        twin_text_add(text, "</div>\n");
    }
    if (outcome->assessment != NULL) {
        twin_text_add(text,
                      "<p class=\"note\">Where the dashed line covers the solid one, the encrypted computation and the "
                      "reference agree within the width of the line.%s</p>",
                      twin_has_measurements(outcome)
                          ? " Distance from the measured points is the model&rsquo;s own misfit and has "
                            "nothing to do with encryption."
                          : "");
    }
    twin_text_add(text, "</section>\n");
}

/* Largest value and largest error of one subject and output. */
typedef struct subject_row {
    size_t peak;  /* observation of the highest encrypted value */
    double error; /* largest |encrypted - CVODE| */
    bool has_dv;
    double dv, dv_time_h, dv_value; /* the highest measurement, its time, the encrypted value there */
} subject_row;

static void row_measured(const ddt_twin_outcome *outcome, size_t output, size_t s, subject_row *row) {
    const ddt_profile *run = outcome->profile;
    const ddt_subject *subject = twin_subject(outcome, s);
    size_t k = 0;
    for (size_t r = 0; subject != NULL && r < subject->record_count; r++) {
        const ddt_record *record = &subject->records[r];
        if (!ddt_record_is_observation(record)) {
            continue;
        }
        if (record->has_dv && (!row->has_dv || record->dv > row->dv)) {
            row->has_dv = true;
            row->dv = record->dv;
            row->dv_time_h = record->time_h;
            row->dv_value = run->values[s][k * run->output_count + output];
        }
        k++;
    }
}

static subject_row make_row(const ddt_twin_outcome *outcome, size_t output, size_t s) {
    const ddt_profile *run = outcome->profile;
    subject_row row = {0};
    for (size_t k = 0; k < run->observation_counts[s]; k++) {
        const size_t i = k * run->output_count + output;
        if (run->values[s][i] > run->values[s][row.peak * run->output_count + output]) {
            row.peak = k;
        }
        if (outcome->assessment != NULL) {
            row.error = fmax(row.error, fabs(run->values[s][i] - outcome->assessment->reference.values[s][i]));
        }
    }
    row_measured(outcome, output, s, &row);
    return row;
}

/* A cell with a number and its unit, or a dash. */
static void cell(twin_text *text, bool known, double value, const char *unit) {
    twin_text_add(text, "<td class=\"n\">");
    if (known) {
        twin_page_with_unit(text, value, unit);
    } else {
        twin_text_add(text, "&ndash;");
    }
    twin_text_add(text, "</td>");
}

static void error_cells(twin_text *text, const ddt_twin_outcome *outcome, size_t output, double error,
                        const char *unit) {
    const double maximum = outcome->assessment->output_maximum[output];
    twin_text_add(text, "<td class=\"n\">");
    twin_page_scientific(text, error);
    twin_text_add(text, "&nbsp;");
    twin_text_escaped(text, unit);
    twin_text_add(text, "</td><td class=\"n\">");
    twin_page_percent(text, maximum > 0 ? error / maximum : error);
    twin_text_add(text, "</td>");
}

static void subject_table_head(twin_text *text, const char *output_name, bool measured, bool assessed) {
    twin_text_add(text, "<section><h2>Numbers by subject: ");
    twin_text_escaped(text, output_name);
    twin_text_add(text, "</h2><div class=\"scroll\"><table><tr><th>Subject</th><th class=\"n\">Highest computed</th>"
                        "<th class=\"n\">at</th>");
    if (measured) {
        twin_text_add(text, "<th class=\"n\">Highest measured</th><th class=\"n\">at</th>"
                            "<th class=\"n\">computed there</th>");
    }
    if (assessed) {
        twin_text_add(text, "<th class=\"n\">Largest error</th><th class=\"n\">of the output&rsquo;s maximum</th>");
    }
    twin_text_add(text, "</tr>\n");
}

static void subject_table(twin_text *text, const ddt_twin_outcome *outcome, size_t output) {
    const ddt_profile *run = outcome->profile;
    const bool measured = twin_has_measurements(outcome) && twin_output_is_measured(outcome->model, output);
    const char *unit = twin_output_unit(outcome->model, output);
    const char *time_unit = twin_time_unit(outcome->model);
    subject_table_head(text, run->output_names[output], measured, outcome->assessment != NULL);
    for (size_t s = 0; s < run->subject_count; s++) {
        const subject_row row = make_row(outcome, output, s);
        const bool any = run->observation_counts[s] > 0;
        twin_text_add(text, "<tr><td>");
        twin_text_escaped(text, run->subject_ids[s]);
        twin_text_add(text, "</td>");
        cell(text, any, any ? run->values[s][row.peak * run->output_count + output] : 0, unit);
        cell(text, any, any ? run->times_h[s][row.peak] : 0, time_unit);
        if (measured) {
            cell(text, row.has_dv, row.dv, unit);
            cell(text, row.has_dv, row.dv_time_h, time_unit);
            cell(text, row.has_dv, row.dv_value, unit);
        }
        if (outcome->assessment != NULL) {
            error_cells(text, outcome, output, row.error, unit);
        }
        twin_text_add(text, "</tr>\n");
    }
    twin_text_add(text, "</table></div></section>\n");
}

static void error_table(twin_text *text, const ddt_twin_outcome *outcome) {
    const ddt_assessment *assessment = outcome->assessment;
    const ddt_model *model = outcome->model;
    twin_text_add(text, "<section><h2>Where the error comes from</h2><div class=\"scroll\"><table><tr><th>Output</th>"
                        "<th class=\"n\">Maximum</th><th class=\"n\">Functions</th><th class=\"n\">Solver</th>"
                        "<th class=\"n\">Encryption</th><th class=\"n\">Total</th></tr>\n");
    for (size_t o = 0; o < assessment->output_count; o++) {
        const ddt_error_budget *budget = &assessment->per_output[o];
        const double parts[] = {budget->surrogate, budget->discretisation, budget->ckks, budget->total};
        twin_text_add(text, "<tr><td>");
        twin_text_escaped(text, assessment->reference.output_names[o]);
        twin_text_add(text, "</td><td class=\"n\">");
        twin_page_with_unit(text, assessment->output_maximum[o], twin_output_unit(model, o));
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            twin_text_add(text, "</td><td class=\"n\">");
            twin_page_percent(text, parts[i]);
        }
        twin_text_add(text, "</td></tr>\n");
    }
    twin_text_add(
        text, "</table></div><p class=\"note\">Largest difference over all subjects and times, of the output&rsquo;s "
              "maximum. Functions: polynomials in place of exp, log and powers. Solver: the same circuit with exact "
              "functions, against CVODE. Encryption: decrypted values against the same circuit in the clear. "
              "Total: decrypted values against CVODE.</p></section>\n");
}

ddt_status ddt_twin_write_report(ddt_context *ctx, const ddt_twin_outcome *outcome, const char *path) {
    twin_text text = {0};
    twin_page_begin(&text, outcome->model, outcome->run, "encrypted simulation",
                    "Drug concentrations computed under encryption");
    tiles(&text, outcome);
    curves(&text, outcome);
    for (size_t o = 0; o < outcome->profile->output_count; o++) {
        subject_table(&text, outcome, o);
    }
    if (outcome->assessment != NULL) {
        error_table(&text, outcome);
    }
    twin_text_add(&text, "<div class=\"two\">\n");
    twin_page_computation(&text, outcome);
    twin_page_costs(&text, outcome->run);
    twin_text_add(&text, "</div>\n");
    twin_page_who_sees_what(&text);
    twin_page_end(&text);
    return twin_text_write(ctx, &text, path);
}
