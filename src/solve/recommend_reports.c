/*
 * Figures that are told beside the targets': what was asked for, or what a clinician asks first.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_internal.h"

#include <string.h>

static bool is_there(const ddt_recommend_targets *list, const char *name) {
    bool found = false;
    for (size_t i = 0; i < list->count; i++) {
        found = found || strcmp(list->items[i].name, name) == 0;
    }
    return found;
}

static bool peaks_at_end(const recommend_work *r) {
    const solve_linear *linear = &r->work.linear;
    return !solve_is_constant(&r->work, linear->outputs[0].gain[linear->state[r->dosed_compartment]], 0.0);
}

/* Whether a time ends a dosing interval of every candidate. */
static bool ends_intervals(const ddt_recommend_product *product, double at_h) {
    const double rounding = 1e-9;
    bool ends = true;
    for (size_t i = 0; i < product->interval_count; i++) {
        const double intervals = at_h / product->intervals_h[i];
        ends = ends && intervals > 1.0 - rounding && fabs(intervals - round(intervals)) < rounding * intervals;
    }
    return ends;
}

static bool is_possible(const recommend_work *r, const ddt_recommend_target *figure) {
    if (figure->kind == DDT_METRIC_AUC24) {
        return figure->is_steady || figure->at_h >= figure->day;
    }
    return (figure->is_steady || ends_intervals(&r->options->product, figure->at_h)) &&
           (figure->kind != DDT_METRIC_PEAK || peaks_at_end(r));
}

/* Area, trough and peak at the time that the first target looks at, as far as the model has them. */
static void add_usual(recommend_work *r) {
    static const struct {
        const char *name;
        ddt_metric_kind kind;
    } usual[] = {{"auc24", DDT_METRIC_AUC24}, {"trough", DDT_METRIC_TROUGH}, {"peak", DDT_METRIC_PEAK}};
    const ddt_recommend_target *first = &r->options->targets.items[0];
    const double at_h = first->kind == DDT_METRIC_AUC_WINDOW ? first->to_h : first->at_h;
    const bool is_steady = first->is_steady;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        ddt_recommend_target figure = {.kind = usual[i].kind,
                                       .is_steady = is_steady,
                                       .at_h = is_steady ? 0.0 : at_h,
                                       .to_h = is_steady ? 0.0 : at_h,
                                       .high = INFINITY,
                                       .weight = 1.0,
                                       .day = first->day};
        (void)snprintf(figure.name, sizeof figure.name, is_steady ? "%s" : "%s@%g", usual[i].name, at_h);
        if (is_possible(r, &figure) && !is_there(&r->options->targets, figure.name)) {
            r->reports.items[r->reports.count++] = figure;
        }
    }
}

/* What was asked for must be there. */
static ddt_status add_asked(recommend_work *r) {
    const ddt_recommend_targets *asked = &r->options->reports;
    for (size_t i = 0; i < asked->count; i++) {
        const ddt_recommend_target *figure = &asked->items[i];
        if (is_there(&r->options->targets, figure->name)) {
            continue;
        }
        const bool has_time = figure->is_steady || figure->kind == DDT_METRIC_AUC_WINDOW ||
                              figure->kind == DDT_METRIC_AUC24 || ends_intervals(&r->options->product, figure->at_h);
        if (!has_time || (figure->kind == DDT_METRIC_PEAK && !peaks_at_end(r))) {
            return ddt_fail(r->work.ctx, DDT_ERR_UNSUPPORTED, "%s cannot be reported: %s.", figure->name,
                            has_time ? "after absorption the time of the peak is the patient's own"
                                     : "its time is not the end of a dosing interval of every candidate");
        }
        r->reports.items[r->reports.count++] = *figure;
    }
    return DDT_OK;
}

ddt_status recommend_reports_find(recommend_work *r) {
    r->reports.count = 0;
    if (r->course != NULL) {
        return DDT_OK;
    }
    if (r->options->reports_usual && !r->omits_reports) {
        add_usual(r);
    }
    return r->options->reports_usual ? DDT_OK : add_asked(r);
}
