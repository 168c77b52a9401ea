/* The Pareto front of a recommendation as a figure. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PLOT_WIDTH = 420, PLOT_HEIGHT = 260, PLOT_LEFT = 56, PLOT_BOTTOM = 42, PLOT_TOP = 14, PLOT_RIGHT = 14 };

/* The column of a target's cost, output_count where there is none. */
static size_t cost_column(const ddt_profile *profile, const ddt_recommend_target *target) {
    char name[DDT_RECOMMEND_NAME_BYTES + 8];
    (void)snprintf(name, sizeof name, "cost(%s)", target->name);
    size_t o = 0;
    while (o < profile->output_count && strcmp(profile->output_names[o], name) != 0) {
        o++;
    }
    return o;
}

typedef struct cost_axis {
    const char *name;
    size_t column;
    double low, high; /* of all candidates */
} cost_axis;

static double cost_of(const ddt_profile *profile, size_t s, size_t candidate, const cost_axis *axis) {
    return profile->values[s][candidate * profile->output_count + axis->column];
}

static cost_axis axis_of(const ddt_profile *profile, const ddt_recommendation *r, size_t s, size_t target) {
    cost_axis axis = {.name = r->targets.items[target].name,
                      .column = cost_column(profile, &r->targets.items[target]),
                      .low = INFINITY,
                      .high = -INFINITY};
    for (size_t i = 0; axis.column < profile->output_count && i < r->candidate_count; i++) {
        const double cost = cost_of(profile, s, i, &axis);
        axis.low = fmin(axis.low, cost);
        axis.high = fmax(axis.high, cost);
    }
    return axis;
}

/* The two targets whose costs differ most between candidates; false where there are no two. */
static bool choose_axes(const ddt_profile *profile, const ddt_recommendation *r, size_t s, cost_axis axes[2]) {
    size_t count = 0;
    for (size_t t = 0; t < r->targets.count; t++) {
        cost_axis axis = axis_of(profile, r, s, t);
        const double spread = axis.high - axis.low;
        if (!(spread > 0) || !isfinite(spread)) {
            continue;
        }
        if (count < 2) {
            axes[count++] = axis;
        } else {
            const size_t least = axes[0].high - axes[0].low < axes[1].high - axes[1].low ? 0 : 1;
            axes[least] = spread > axes[least].high - axes[least].low ? axis : axes[least];
        }
    }
    return count == 2;
}

static double place(const cost_axis *axis, double cost, double from, double to) {
    return from + (to - from) * (cost - axis->low) / (axis->high - axis->low);
}

static void draw_points(twin_text *text, const ddt_profile *profile, const ddt_recommendation *r, size_t s,
                        const cost_axis axes[2]) {
    for (size_t pass = 0; pass < 2; pass++) { /* the front above the others */
        for (size_t i = 0; i < r->candidate_count; i++) {
            if (r->on_front[s][i] != (pass == 1)) {
                continue;
            }
            const double x = place(&axes[0], cost_of(profile, s, i, &axes[0]), PLOT_LEFT, PLOT_WIDTH - PLOT_RIGHT);
            const double y = place(&axes[1], cost_of(profile, s, i, &axes[1]), PLOT_HEIGHT - PLOT_BOTTOM, PLOT_TOP);
            twin_text_add(text, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"/>",
                          pass == 1 ? "c-run" : "c-axis", x, y, pass == 1 ? "4" : "2.5");
        }
    }
}

/* What is 0 but for rounding is told as 0. */
static double end_of(double cost) {
    const double nothing = 1e-6;
    return fabs(cost) < nothing ? 0 : cost;
}

static void draw_label(twin_text *text, const cost_axis *axis, const char *place_text) {
    twin_text_add(text, "<text class=\"c-text c-mid\" %s>cost of ", place_text);
    twin_text_escaped(text, axis->name);
    twin_text_add(text, "</text>");
}

void twin_pareto_plot(twin_text *text, const ddt_profile *profile, const ddt_recommendation *r, size_t subject) {
    cost_axis axes[2];
    if (!choose_axes(profile, r, subject, axes)) {
        return;
    }
    twin_text_add(text, "<svg class=\"panel\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Pareto front\">",
                  PLOT_WIDTH, PLOT_HEIGHT);
    twin_text_add(text, "<path class=\"c-axis\" d=\"M%d %dV%dH%d\"/>", PLOT_LEFT, PLOT_TOP, PLOT_HEIGHT - PLOT_BOTTOM,
                  PLOT_WIDTH - PLOT_RIGHT);
    twin_text_add(text,
                  "<text class=\"c-text c-end\" x=\"%d\" y=\"%d\">%.2g</text>"
                  "<text class=\"c-text c-end\" x=\"%d\" y=\"%d\">%.2g</text>"
                  "<text class=\"c-text\" x=\"%d\" y=\"%d\">%.2g</text>"
                  "<text class=\"c-text c-end\" x=\"%d\" y=\"%d\">%.2g</text>",
                  PLOT_LEFT - 4, PLOT_TOP + 8, axes[1].high, PLOT_LEFT - 4, PLOT_HEIGHT - PLOT_BOTTOM,
                  end_of(axes[1].low), PLOT_LEFT, PLOT_HEIGHT - PLOT_BOTTOM + 14, end_of(axes[0].low),
                  PLOT_WIDTH - PLOT_RIGHT, PLOT_HEIGHT - PLOT_BOTTOM + 14, axes[0].high);
    draw_label(text, &axes[0], "x=\"235\" y=\"250\"");
    draw_label(text, &axes[1], "transform=\"translate(14 120) rotate(-90)\"");
    draw_points(text, profile, r, subject, axes);
    twin_text_add(text, "</svg>");
}
