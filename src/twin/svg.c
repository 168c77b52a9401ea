/* Curves as SVG: the encrypted run, CVODE and what was measured. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <math.h>
#include <string.h>

/* A panel, in SVG units. */
enum {
    PANEL_WIDTH = 300,
    PANEL_HEIGHT = 200,
    MARGIN_LEFT = 42,
    MARGIN_RIGHT = 10,
    MARGIN_TOP = 26,
    MARGIN_BOTTOM = 34,
    FIGURE_COLUMNS = 4,
    FIGURE_GAP = 14,
    FIGURE_HEAD = 66
};

#define CURVE_HEADROOM 1.06 /* of the y axis above the highest value */

static const char *const style =
    ".c-bg{fill:#fff}.c-text{fill:#1c2733;font:11px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica "
    "Neue',sans-serif}"
    ".c-soft{fill:#5b6875}.c-title{font-weight:600;font-size:12px}.c-head{font-weight:600;font-size:17px}"
    ".c-end{text-anchor:end}.c-mid{text-anchor:middle}"
    ".c-axis{stroke:#9aa6b2;stroke-width:1;fill:none}.c-grid{stroke:#e6eaee;stroke-width:1;fill:none}"
    ".c-run{stroke:#2166c4;stroke-width:2.4;fill:none;stroke-linejoin:round}"
    ".c-ref{stroke:#f08c00;stroke-width:1.4;fill:none;stroke-dasharray:4 4;stroke-linejoin:round}"
    ".c-dv{fill:#fff;stroke:#1c2733;stroke-width:1.2}.c-dose{fill:#5b6875}"
    "@media (prefers-color-scheme:dark){.c-bg{fill:#14191f}.c-text{fill:#e6ebf0}.c-soft{fill:#9fb0c0}"
    ".c-axis{stroke:#5c6976}.c-grid{stroke:#27303a}.c-run{stroke:#5c9dff}.c-ref{stroke:#ffc069}"
    ".c-dv{fill:#14191f;stroke:#e6ebf0}.c-dose{fill:#9fb0c0}}";

const char *twin_svg_style(void) { return style; }

/* ------------------------------------------------------------------ axes */

typedef struct axis {
    double low, high, step;
} axis;

/* The step of 1, 2 or 5 times a power of ten that cuts the span into at most `parts`. */
static double round_step(double span, double parts) {
    const double raw = span / parts;
    const double power = pow(10, floor(log10(raw)));
    const double mantissas[] = {1, 2, 5, 10};
    for (size_t i = 0; i < sizeof mantissas / sizeof mantissas[0]; i++) {
        if (mantissas[i] * power >= raw * (1 - 1e-9)) {
            return mantissas[i] * power;
        }
    }
    return raw;
}

/* Hours read best in parts and multiples of days. */
static double hour_step(double span_h, double parts) {
    const double steps_h[] = {1, 2, 4, 6, 12, 24, 48, 72, 168, 336, 672};
    for (size_t i = 0; i < sizeof steps_h / sizeof steps_h[0]; i++) {
        if (steps_h[i] * parts >= span_h && span_h >= 2) {
            return steps_h[i];
        }
    }
    return round_step(span_h, parts);
}

static axis time_axis(const ddt_twin_outcome *outcome, size_t s) {
    enum { PARTS = 5 };
    const ddt_profile *profile = outcome->profile;
    const size_t count = profile->observation_counts[s];
    axis x = {.low = count > 0 ? profile->times_h[s][0] : 0, .high = count > 0 ? profile->times_h[s][count - 1] : 1};
    if (!(x.high > x.low)) {
        x.high = x.low + 1;
    }
    const bool hours = strcmp(twin_time_unit(outcome->model), "h") == 0;
    x.step = hours ? hour_step(x.high - x.low, PARTS) : round_step(x.high - x.low, PARTS);
    return x;
}

static void include(axis *y, double value) {
    y->low = fmin(y->low, value);
    y->high = fmax(y->high, value);
}

static void include_subject(const ddt_twin_outcome *outcome, size_t output, size_t s, axis *y) {
    const ddt_profile *run = outcome->profile;
    const ddt_subject *subject = twin_subject(outcome, s);
    const bool measured = subject != NULL && twin_output_is_measured(outcome->model, output);
    for (size_t k = 0; k < run->observation_counts[s]; k++) {
        const size_t i = k * run->output_count + output;
        include(y, run->values[s][i]);
        if (outcome->assessment != NULL) {
            include(y, outcome->assessment->reference.values[s][i]);
        }
    }
    for (size_t r = 0; measured && r < subject->record_count; r++) {
        if (subject->records[r].has_dv) {
            include(y, subject->records[r].dv);
        }
    }
}

/* The range of an output over all subjects. */
static axis common_axis(const ddt_twin_outcome *outcome, size_t output) {
    axis all = {0};
    for (size_t s = 0; s < outcome->profile->subject_count; s++) {
        include_subject(outcome, output, s, &all);
    }
    return all;
}

/* One scale for all subjects, so that panels compare; a subject far below the others gets its own. */
static axis value_axis(const ddt_twin_outcome *outcome, size_t output, size_t s, const axis *all) {
    enum { PARTS = 4 };
    const double own_scale_below = 0.25;
    const double noise = 0.01; /* what lies this little below zero draws no negative axis */
    axis own = {0};
    include_subject(outcome, output, s, &own);
    const bool small = fmax(own.high, -own.low) < own_scale_below * fmax(all->high, -all->low);
    axis y = small ? own : *all;
    y.low = y.low < -noise * y.high ? y.low : 0;
    y.high = y.high > y.low ? y.low + (y.high - y.low) * CURVE_HEADROOM : y.low + 1;
    y.step = round_step(y.high - y.low, PARTS);
    return y;
}

static double to_x(const axis *x, double value) {
    return MARGIN_LEFT + (value - x->low) / (x->high - x->low) * (PANEL_WIDTH - MARGIN_LEFT - MARGIN_RIGHT);
}

static double to_y(const axis *y, double value) {
    const double height = PANEL_HEIGHT - MARGIN_TOP - MARGIN_BOTTOM;
    return MARGIN_TOP + height - (value - y->low) / (y->high - y->low) * height;
}

static void draw_axes(twin_text *text, const axis *x, const axis *y, const char *time_unit) {
    const int bottom = PANEL_HEIGHT - MARGIN_BOTTOM;
    const int right = PANEL_WIDTH - MARGIN_RIGHT;
    const double slack = 1e-9;
    for (double v = ceil(y->low / y->step) * y->step; v <= y->high + slack * y->step; v += y->step) {
        twin_text_add(text, "<path class=\"c-grid\" d=\"M%d %.1fH%d\"/>", MARGIN_LEFT, to_y(y, v), right);
        twin_text_add(text, "<text class=\"c-text c-soft c-end\" x=\"%d\" y=\"%.1f\">%.4g</text>", MARGIN_LEFT - 6,
                      to_y(y, v) + 4, fabs(v) < slack * y->step ? 0.0 : v);
    }
    for (double v = ceil(x->low / x->step - slack) * x->step; v <= x->high + slack * x->step; v += x->step) {
        twin_text_add(text, "<path class=\"c-axis\" d=\"M%.1f %dv4\"/>", to_x(x, v), bottom);
        twin_text_add(text, "<text class=\"c-text c-soft c-mid\" x=\"%.1f\" y=\"%d\">%.4g</text>", to_x(x, v),
                      bottom + 15, fabs(v) < slack * x->step ? 0.0 : v);
    }
    twin_text_add(text, "<path class=\"c-axis\" d=\"M%d %dH%d\"/>", MARGIN_LEFT, bottom, right);
    twin_text_add(text, "<text class=\"c-text c-soft c-mid\" x=\"%d\" y=\"%d\">time (", (MARGIN_LEFT + right) / 2,
                  PANEL_HEIGHT - 5);
    twin_text_escaped(text, time_unit);
    twin_text_add(text, ")</text>");
}

/* ------------------------------------------------------------------ curves */

static void draw_curve(twin_text *text, const char *class, const ddt_profile *profile, size_t output, size_t s,
                       const axis *x, const axis *y) {
    if (profile->observation_counts[s] > 0 && isnan(profile->values[s][output])) {
        return; /* a fit left the subject out */
    }
    twin_text_add(text, "<path class=\"%s\" d=\"", class);
    for (size_t k = 0; k < profile->observation_counts[s]; k++) {
        const double value = profile->values[s][k * profile->output_count + output];
        twin_text_add(text, "%c%.1f %.1f", k == 0 ? 'M' : 'L', to_x(x, profile->times_h[s][k]), to_y(y, value));
    }
    twin_text_add(text, "\"/>");
}

static void draw_doses(twin_text *text, const ddt_subject *subject, const axis *x) {
    for (size_t r = 0; subject != NULL && r < subject->record_count; r++) {
        const ddt_record *record = &subject->records[r];
        if (!ddt_record_is_dose(record)) {
            continue;
        }
        for (unsigned j = 0; j <= record->additional; j++) {
            const double time = record->time_h + j * record->interval_h;
            if (time <= x->high) {
                twin_text_add(text, "<path class=\"c-dose\" d=\"M%.1f %dl-3.5 -7h7z\"/>", to_x(x, time),
                              MARGIN_TOP + 2);
            }
        }
    }
}

static void draw_measured(twin_text *text, const ddt_twin_outcome *outcome, size_t output, size_t s, const axis *x,
                          const axis *y) {
    const ddt_model *model = outcome->model;
    const ddt_subject *subject = twin_subject(outcome, s);
    if (subject == NULL || !twin_output_is_measured(model, output)) {
        return;
    }
    size_t k = 0;
    for (size_t r = 0; r < subject->record_count; r++) {
        const ddt_record *record = &subject->records[r];
        if (!ddt_record_is_observation(record)) {
            continue;
        }
        const double value = outcome->profile->values[s][k++ * outcome->profile->output_count + output];
        if (record->has_dv) {
            twin_text_add(text, "<circle class=\"c-dv\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>%.6g %s: measured %.4g",
                          to_x(x, record->time_h), to_y(y, record->dv), record->time_h, twin_time_unit(model),
                          record->dv);
            if (!isnan(value)) {
                twin_text_add(text, ", encrypted run %.4g", value);
            }
            twin_text_add(text, "</title></circle>");
        }
    }
}

/* Title and axes of one panel; its origin is the upper left corner. */
static void draw_panel(twin_text *text, const ddt_twin_outcome *outcome, size_t output, size_t s, const axis *all) {
    const ddt_model *model = outcome->model;
    const axis x = time_axis(outcome, s);
    const axis y = value_axis(outcome, output, s, all);
    const char *unit = twin_output_unit(model, output);
    twin_text_add(text, "<text class=\"c-text c-title\" x=\"%d\" y=\"14\">Subject ", MARGIN_LEFT);
    twin_text_escaped(text, outcome->profile->subject_ids[s]);
    twin_text_add(text, "</text><text class=\"c-text c-soft c-end\" x=\"%d\" y=\"14\">", PANEL_WIDTH - MARGIN_RIGHT);
    twin_text_escaped(text, outcome->profile->output_names[output]);
    if (unit[0] != '\0') {
        twin_text_add(text, " (");
        twin_text_escaped(text, unit);
        twin_text_add(text, ")");
    }
    twin_text_add(text, "</text>");
    draw_axes(text, &x, &y, twin_time_unit(model));
    draw_curve(text, "c-run", outcome->profile, output, s, &x, &y);
    if (outcome->assessment != NULL) {
        draw_curve(text, "c-ref", &outcome->assessment->reference, output, s, &x, &y);
    }
    draw_doses(text, twin_subject(outcome, s), &x);
    draw_measured(text, outcome, output, s, &x, &y);
}

void twin_svg_panels(twin_text *text, const ddt_twin_outcome *outcome, size_t output) {
    const axis all = common_axis(outcome, output);
    for (size_t s = 0; s < outcome->profile->subject_count; s++) {
        twin_text_add(text, "<svg class=\"panel\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Subject ",
                      PANEL_WIDTH, PANEL_HEIGHT);
        twin_text_escaped(text, outcome->profile->subject_ids[s]);
        twin_text_add(text, "\">");
        draw_panel(text, outcome, output, s, &all);
        twin_text_add(text, "</svg>\n");
    }
}

/* ------------------------------------------------------------------ the figure */

static void figure_legend(twin_text *text, const ddt_twin_outcome *outcome) {
    const ddt_model *model = outcome->model;
    twin_text_add(text, "<text class=\"c-text c-head\" x=\"20\" y=\"28\">");
    twin_text_escaped(text, model->description != NULL ? model->description : model->name);
    twin_text_add(text, "</text><g transform=\"translate(20 50)\"><path class=\"c-run\" d=\"M0 -4h26\"/>"
                        "<text class=\"c-text\" x=\"32\" y=\"0\">computed under encryption</text>"
                        "<path class=\"c-ref\" d=\"M200 -4h26\"/><text class=\"c-text\" x=\"232\" y=\"0\">CVODE in the "
                        "clear</text><circle class=\"c-dv\" cx=\"356\" cy=\"-4\" r=\"3\"/><text class=\"c-text\" "
                        "x=\"366\" y=\"0\">measured</text><path class=\"c-dose\" d=\"M446 0l-3.5 -7h7z\"/>"
                        "<text class=\"c-text\" x=\"456\" y=\"0\">dose</text></g>");
}

ddt_status ddt_twin_write_figure(ddt_context *ctx, const ddt_twin_outcome *outcome, const char *path) {
    const size_t outputs = outcome->profile->output_count;
    const size_t subjects = outcome->profile->subject_count;
    const size_t columns = subjects < FIGURE_COLUMNS ? subjects : FIGURE_COLUMNS;
    const size_t rows = (subjects + columns - 1) / columns;
    const size_t width = columns * (PANEL_WIDTH + FIGURE_GAP) + FIGURE_GAP;
    const size_t height = FIGURE_HEAD + outputs * rows * (PANEL_HEIGHT + FIGURE_GAP);
    twin_text text = {0};
    twin_text_add(&text,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %zu %zu\" width=\"%zu\" "
                  "height=\"%zu\"><style>%s</style><rect class=\"c-bg\" width=\"100%%\" height=\"100%%\"/>\n",
                  width, height, width, height, style);
    figure_legend(&text, outcome);
    for (size_t o = 0; o < outputs; o++) {
        const axis all = common_axis(outcome, o);
        for (size_t s = 0; s < subjects; s++) {
            twin_text_add(&text, "<g transform=\"translate(%zu %zu)\">",
                          FIGURE_GAP / 2 + s % columns * (PANEL_WIDTH + FIGURE_GAP),
                          FIGURE_HEAD + (o * rows + s / columns) * (PANEL_HEIGHT + FIGURE_GAP));
            draw_panel(&text, outcome, o, s, &all);
            twin_text_add(&text, "</g>\n");
        }
    }
    twin_text_add(&text, "</svg>\n");
    return twin_text_write(ctx, &text, path);
}
