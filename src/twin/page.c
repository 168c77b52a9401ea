/* What all reports share: the frame of the page, numbers, tables of the computation. SPDX-License-Identifier: Apache-2.0 */
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
void twin_page_scientific(twin_text *text, double value) {
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

void twin_page_percent(twin_text *text, double fraction) {
    twin_page_scientific(text, 100 * fraction);
    twin_text_add(text, "&nbsp;%%");
}

void twin_page_seconds(twin_text *text, double seconds) {
    const double minute_s = 60;
    if (seconds < 10) {
        twin_text_add(text, "%.2f&nbsp;s", seconds);
    } else if (seconds < 2 * minute_s) {
        twin_text_add(text, "%.1f&nbsp;s", seconds);
    } else {
        twin_text_add(text, "%.0f&nbsp;min %.0f&nbsp;s", floor(seconds / minute_s), fmod(seconds, minute_s));
    }
}

void twin_page_bytes(twin_text *text, uint64_t bytes) {
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

void twin_page_with_unit(twin_text *text, double value, const char *unit) {
    twin_text_add(text, "%.4g", value);
    if (unit[0] != '\0') {
        twin_text_add(text, "&nbsp;");
        twin_text_escaped(text, unit);
    }
}

/* ------------------------------------------------------------------ the frame */

void twin_page_begin(twin_text *text, const ddt_model *model, const ddt_twin_run *run, const char *title,
                     const char *kicker) {
    twin_text_add(text, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src "
                        "'unsafe-inline'\"><title>");
    twin_text_escaped(text, model->name);
    twin_text_add(text, ": %s</title><style>%s%s</style></head><body><main>\n", title, page_style, twin_svg_style());
    twin_text_add(text, "<header><p class=\"kicker\">%s</p><h1>", kicker);
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
        twin_text_add(text, "%02x", run->plan_digest.bytes[i]);
    }
    twin_text_add(text, "</code></p></header>\n");
}

void twin_page_end(twin_text *text) {
    twin_text_add(text,
                  "<footer>Written by ddtwin. Research software, not a medical device: a physician decides.</footer>"
                  "</main></body></html>\n");
}

/* ------------------------------------------------------------------ tables */

void twin_page_row_text(twin_text *text, const char *name, const char *value) {
    twin_text_add(text, "<tr><td>%s</td><td class=\"n\">", name);
    twin_text_escaped(text, value);
    twin_text_add(text, "</td></tr>\n");
}

void twin_page_row_count(twin_text *text, const char *name, uint64_t value) {
    twin_text_add(text, "<tr><td>%s</td><td class=\"n\">%llu</td></tr>\n", name, (unsigned long long)value);
}

/* Rows of what is not known are left out. */
void twin_page_row_bytes(twin_text *text, const char *name, uint64_t bytes) {
    if (bytes == 0) {
        return;
    }
    twin_text_add(text, "<tr><td>%s</td><td class=\"n\">", name);
    twin_page_bytes(text, bytes);
    twin_text_add(text, "</td></tr>\n");
}

void twin_page_row_seconds(twin_text *text, const char *name, double seconds) {
    if (!(seconds > 0)) {
        return;
    }
    twin_text_add(text, "<tr><td>%s</td><td class=\"n\">", name);
    twin_page_seconds(text, seconds);
    twin_text_add(text, "</td></tr>\n");
}

void twin_page_computation(twin_text *text, const ddt_twin_outcome *outcome) {
    const ddt_plan_info *plan = &outcome->plan;
    twin_text_add(text, "<section><h2>The computation</h2><table>\n");
    twin_page_row_text(text, "Method", outcome->solve.method);
    twin_page_row_count(text, "Compartments", outcome->solve.states);
    twin_page_row_count(text, "Squarings of the matrix exponential", outcome->solve.squarings);
    twin_text_add(text, "<tr><td>Ring degree N</td><td class=\"n\">2<sup>%u</sup> = %lu</td></tr>\n",
                  plan->literal.log_n, 1UL << plan->literal.log_n);
    twin_text_add(text, "<tr><td>log<sub>2</sub> QP</td><td class=\"n\">%.1f (at most %u for 128 bits)</td></tr>\n",
                  plan->log2_qp, ddt_ckks_max_log_qp(plan->literal.log_n));
    twin_page_row_count(text, "Depth (levels)", plan->depth);
    twin_page_row_count(text, "Bootstraps", plan->bootstraps);
    twin_page_row_count(text, "Batches of ciphertexts", plan->batches);
    twin_page_row_count(text, "Multiplications a batch", plan->multiplications);
    twin_page_row_count(text, "Rotations a batch", plan->rotations);
    if (outcome->run->kernels != NULL) {
        twin_page_row_text(text, "Kernels", outcome->run->kernels);
    }
    twin_text_add(text, "</table></section>\n");
}

void twin_page_costs(twin_text *text, const ddt_twin_run *run) {
    twin_text_add(text, "<section><h2>Times and sizes</h2><table>\n");
    twin_page_row_seconds(text, "Plan the model (custodian)", run->compile_s);
    twin_page_row_seconds(text, "Make keys (custodian)", run->keygen_s);
    twin_page_row_seconds(text, "Encrypt (custodian)", run->encrypt_s);
    twin_page_row_seconds(text, "Compute (engine)", run->engine_s);
    twin_page_row_seconds(text, "Decrypt (custodian)", run->decrypt_s);
    twin_page_row_seconds(text, "Check against CVODE (custodian)", run->check_s);
    twin_page_row_bytes(text, "Engine&rsquo;s memory at its peak", run->engine_peak_rss_bytes);
    twin_page_row_bytes(text, "Evaluation keys", run->eval_key_bytes);
    twin_page_row_bytes(text, "Encrypted twin", run->twin_bytes);
    twin_page_row_bytes(text, "Encrypted result", run->result_bytes);
    twin_text_add(text, "</table></section>\n");
}

void twin_page_who_sees_what(twin_text *text) {
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
