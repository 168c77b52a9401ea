/* report.html: one standalone file for the physician and the modeller. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const page_style =
    ":root{color-scheme:light "
    "dark;--bg:#f4f6f8;--card:#fff;--ink:#1c2733;--soft:#5b6875;--line:#dde3e9;--accent:#2166c4;"
    "--good:#1a7f4b;--bad:#b3261e;--tint:#eef4fc}"
    "@media (prefers-color-scheme:dark){:root{--bg:#0e1216;--card:#14191f;--ink:#e6ebf0;--soft:#9fb0c0;--line:#27303a;"
    "--accent:#5c9dff;--good:#5fd39a;--bad:#ff8a80;--tint:#16202c}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"
    "'Segoe UI',Roboto,'Helvetica Neue',sans-serif}main{max-width:1200px;margin:0 auto;padding:32px 20px 48px}"
    "header p{margin:.2em 0;color:var(--soft)}h1{font-size:26px;line-height:1.25;margin:.1em 0 .3em}"
    "h2{font-size:18px;margin:0 0 "
    ".6em}.kicker{text-transform:uppercase;letter-spacing:.08em;font-size:12px;font-weight:600}"
    "section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:20px;margin-top:18px}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-top:18px}"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}"
    ".tile b{display:block;font-size:24px;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums}"
    ".tile span{color:var(--soft);font-size:13px}.good{color:var(--good)}.bad{color:var(--bad)}"
    ".panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(260px,1fr));gap:10px "
    "14px}.panel{width:100%;height:auto}"
    ".key{display:flex;flex-wrap:wrap;gap:6px 22px;color:var(--soft);font-size:13px;margin:0 0 10px}"
    ".key svg{vertical-align:middle;margin-right:6px}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
    "th,td{padding:6px 12px 6px 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}"
    "th{font-weight:600;font-size:13px;color:var(--soft)}td.n,th.n{text-align:right;white-space:nowrap}tr:last-child "
    "td{border-bottom:0}"
    ".two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:18px}.two "
    "section{margin-top:0}"
    "sub,sup{line-height:0}.two{margin-top:18px}.note{color:var(--soft);font-size:13px;margin:.8em 0 0}code{font:13px "
    "ui-monospace,Menlo,Consolas,"
    "monospace;overflow-wrap:anywhere}footer{color:var(--soft);font-size:13px;margin-top:22px}"
    "@media print{body{background:#fff}section,.tile{break-inside:avoid}}";

/* ------------------------------------------------------------------ numbers */

/* Two significant digits; powers of ten as people write them. */
static void add_scientific(twin_text *text, double value) {
    const double smallest_plain = 1e-3;
    if (!isfinite(value)) {
        twin_text_add(text, "not finite");
    } else if (value == 0 || (fabs(value) >= smallest_plain && fabs(value) < 1e4)) {
        twin_text_add(text, "%.2g", value);
    } else {
        int exponent = (int)floor(log10(fabs(value)));
        twin_text_add(text, "%.1f&thinsp;&times;&thinsp;10<sup>%s%d</sup>", value / pow(10, exponent),
                      exponent < 0 ? "&minus;" : "", abs(exponent));
    }
}

static void add_percent(twin_text *text, double fraction) {
    add_scientific(text, 100 * fraction);
    twin_text_add(text, "&nbsp;%%");
}

static void add_seconds(twin_text *text, double seconds) {
    const double minute_s = 60;
    if (seconds < 10) {
        twin_text_add(text, "%.2f&nbsp;s", seconds);
    } else if (seconds < 2 * minute_s) {
        twin_text_add(text, "%.1f&nbsp;s", seconds);
    } else {
        twin_text_add(text, "%.0f&nbsp;min %.0f&nbsp;s", floor(seconds / minute_s), fmod(seconds, minute_s));
    }
}

static void add_bytes(twin_text *text, uint64_t bytes) {
    const double kib = 1024;
    const double value = (double)bytes;
    if (value < kib * kib) {
        twin_text_add(text, "%.1f&nbsp;KiB", value / kib);
    } else if (value < kib * kib * kib) {
        twin_text_add(text, "%.1f&nbsp;MiB", value / kib / kib);
    } else {
        twin_text_add(text, "%.2f&nbsp;GiB", value / kib / kib / kib);
    }
}

static void add_with_unit(twin_text *text, double value, const char *unit) {
    twin_text_add(text, "%.4g", value);
    if (unit[0] != '\0') {
        twin_text_add(text, "&nbsp;");
        twin_text_escaped(text, unit);
    }
}

/* ------------------------------------------------------------------ parts of the page */

static void page_head(twin_text *text, const ddt_twin_outcome *outcome) {
    const ddt_model *model = outcome->model;
    twin_text_add(text, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src "
                        "'unsafe-inline'\"><title>");
    twin_text_escaped(text, model->name);
    twin_text_add(text, ": encrypted simulation</title><style>%s%s</style></head><body><main>\n", page_style,
                  twin_svg_style());
    twin_text_add(text, "<header><p class=\"kicker\">Drug concentrations computed under encryption</p><h1>");
    twin_text_escaped(text, model->description != NULL ? model->description : model->name);
    twin_text_add(text, "</h1>");
    if (model->reference != NULL) {
        twin_text_add(text, "<p>Model: ");
        twin_text_escaped(text, model->reference);
        twin_text_add(text, "</p>");
    }
    char date[32] = "";
    const time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc) != NULL) {
        (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &utc);
    }
    twin_text_add(text, "<p>%s &middot; plan <code>", date);
    for (size_t i = 0; i < DDT_WIRE_DIGEST_BYTES; i++) {
        twin_text_add(text, "%02x", outcome->run->plan_digest.bytes[i]);
    }
    twin_text_add(text, "</code></p></header>\n");
}

static void error_tile(twin_text *text, const ddt_assessment *assessment) {
    const bool good = assessment->worst.total <= assessment->error_bar;
    twin_text_add(text, "<div class=\"tile\"><b class=\"%s\">", good ? "good" : "bad");
    add_percent(text, assessment->worst.total);
    twin_text_add(text, "</b><span>largest error, of the output&rsquo;s maximum; ");
    twin_text_add(text, good ? "within the bar of " : "above the bar of ");
    add_percent(text, assessment->error_bar);
    twin_text_add(text, "</span></div>");
}

static void engine_tile(twin_text *text, const ddt_twin_run *run) {
    twin_text_add(text, "<div class=\"tile\"><b>");
    add_seconds(text, run->engine_s);
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
        if (!twin_is_observation(record)) {
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
        add_with_unit(text, value, unit);
    } else {
        twin_text_add(text, "&ndash;");
    }
    twin_text_add(text, "</td>");
}

static void error_cells(twin_text *text, const ddt_twin_outcome *outcome, size_t output, double error,
                        const char *unit) {
    const double maximum = outcome->assessment->output_maximum[output];
    twin_text_add(text, "<td class=\"n\">");
    add_scientific(text, error);
    twin_text_add(text, "&nbsp;");
    twin_text_escaped(text, unit);
    twin_text_add(text, "</td><td class=\"n\">");
    add_percent(text, maximum > 0 ? error / maximum : error);
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
        add_with_unit(text, assessment->output_maximum[o], twin_output_unit(model, o));
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            twin_text_add(text, "</td><td class=\"n\">");
            add_percent(text, parts[i]);
        }
        twin_text_add(text, "</td></tr>\n");
    }
    twin_text_add(
        text, "</table></div><p class=\"note\">Largest difference over all subjects and times, of the output&rsquo;s "
              "maximum. Functions: polynomials in place of exp, log and powers. Solver: the same circuit with exact "
              "functions, against CVODE. Encryption: decrypted values against the same circuit in the clear. "
              "Total: decrypted values against CVODE.</p></section>\n");
}

static void row_text(twin_text *text, const char *name, const char *value) {
    twin_text_add(text, "<tr><td>%s</td><td class=\"n\">", name);
    twin_text_escaped(text, value);
    twin_text_add(text, "</td></tr>\n");
}

static void row_count(twin_text *text, const char *name, uint64_t value) {
    twin_text_add(text, "<tr><td>%s</td><td class=\"n\">%llu</td></tr>\n", name, (unsigned long long)value);
}

/* Rows of what is not known are left out. */
static void row_bytes(twin_text *text, const char *name, uint64_t bytes) {
    if (bytes == 0) {
        return;
    }
    twin_text_add(text, "<tr><td>%s</td><td class=\"n\">", name);
    add_bytes(text, bytes);
    twin_text_add(text, "</td></tr>\n");
}

static void row_seconds(twin_text *text, const char *name, double seconds) {
    if (!(seconds > 0)) {
        return;
    }
    twin_text_add(text, "<tr><td>%s</td><td class=\"n\">", name);
    add_seconds(text, seconds);
    twin_text_add(text, "</td></tr>\n");
}

static void computation_table(twin_text *text, const ddt_twin_outcome *outcome) {
    const ddt_plan_info *plan = &outcome->plan;
    twin_text_add(text, "<section><h2>The computation</h2><table>\n");
    row_text(text, "Method", outcome->solve.method);
    row_count(text, "Compartments", outcome->solve.states);
    row_count(text, "Squarings of the matrix exponential", outcome->solve.squarings);
    twin_text_add(text, "<tr><td>Ring degree N</td><td class=\"n\">2<sup>%u</sup> = %lu</td></tr>\n",
                  plan->literal.log_n, 1UL << plan->literal.log_n);
    twin_text_add(text, "<tr><td>log<sub>2</sub> QP</td><td class=\"n\">%.1f (at most %u for 128 bits)</td></tr>\n",
                  plan->log2_qp, ddt_ckks_max_log_qp(plan->literal.log_n));
    row_count(text, "Depth (levels)", plan->depth);
    row_count(text, "Bootstraps", plan->bootstraps);
    row_count(text, "Batches of ciphertexts", plan->batches);
    row_count(text, "Multiplications a batch", plan->multiplications);
    row_count(text, "Rotations a batch", plan->rotations);
    if (outcome->run->kernels != NULL) {
        row_text(text, "Kernels", outcome->run->kernels);
    }
    twin_text_add(text, "</table></section>\n");
}

static void cost_table(twin_text *text, const ddt_twin_run *run) {
    twin_text_add(text, "<section><h2>Times and sizes</h2><table>\n");
    row_seconds(text, "Plan the model (custodian)", run->compile_s);
    row_seconds(text, "Make keys (custodian)", run->keygen_s);
    row_seconds(text, "Encrypt (custodian)", run->encrypt_s);
    row_seconds(text, "Compute (engine)", run->engine_s);
    row_seconds(text, "Decrypt (custodian)", run->decrypt_s);
    row_seconds(text, "Check against CVODE (custodian)", run->check_s);
    row_bytes(text, "Engine&rsquo;s memory at its peak", run->engine_peak_rss_bytes);
    row_bytes(text, "Evaluation keys", run->eval_key_bytes);
    row_bytes(text, "Encrypted twin", run->twin_bytes);
    row_bytes(text, "Encrypted result", run->result_bytes);
    twin_text_add(text, "</table></section>\n");
}

static void who_sees_what(twin_text *text) {
    twin_text_add(
        text,
        "<section><h2>Who saw what</h2><div class=\"scroll\"><table>"
        "<tr><th>Party</th><th>Held</th><th>Saw</th><th>Never had</th></tr>\n"
        "<tr><td>Custodian<br><code>ddtwin</code></td><td>data, secret key, this report</td><td>everything on this "
        "page</td><td></td></tr>\n"
        "<tr><td>Engine<br><code>ddtwin-engine</code>, a process of its own</td><td>plan, evaluation keys, encrypted "
        "twin, encrypted result</td><td>the model, record times and event types, declared "
        "ranges, sizes</td><td>secret key; names, doses, covariates, individual parameters, measurements, "
        "concentrations</td></tr></table></div>"
        "<p class=\"note\">This page holds patients&rsquo; values in the clear and belongs to the custodian. Do not "
        "send "
        "decrypted values back to the party that holds the ciphertexts: with both, the secret key can leak.</p>"
        "</section>\n");
}

ddt_status ddt_twin_write_report(ddt_context *ctx, const ddt_twin_outcome *outcome, const char *path) {
    twin_text text = {0};
    page_head(&text, outcome);
    tiles(&text, outcome);
    curves(&text, outcome);
    for (size_t o = 0; o < outcome->profile->output_count; o++) {
        subject_table(&text, outcome, o);
    }
    if (outcome->assessment != NULL) {
        error_table(&text, outcome);
    }
    twin_text_add(&text, "<div class=\"two\">\n");
    computation_table(&text, outcome);
    cost_table(&text, outcome->run);
    twin_text_add(&text, "</div>\n");
    who_sees_what(&text);
    twin_text_add(&text,
                  "<footer>Written by ddtwin. Research software, not a medical device: a physician decides.</footer>"
                  "</main></body></html>\n");
    return twin_text_write(ctx, &text, path);
}
