/*
 * When the curve of a candidate is looked at, and what targets make of it.
 *
 * Areas are sums over Gauss-Legendre nodes of every piece between two things that happen (a dose, an infusion's end);
 * lowest and highest values come from evenly spaced nodes and a parabola through the best three of one piece.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_curves.h"

#include <stdlib.h>
#include <string.h>

static const double same_time = 1e-9;

/* ------------------------------------------------------------------ a list in the making */

typedef struct view_list {
    ddt_context *ctx;
    const curves_sheet *sheet;
    size_t count, capacity;
    curves_node *nodes;
    double *weights;
} view_list;

static ddt_status list_add(view_list *list, double time, bool is_after, double weight) {
    if (!(time >= -same_time)) {
        return ddt_fail(list->ctx, DDT_ERR_RANGE, "A target looks at what was before the regimen's start.");
    }
    if (list->count == list->capacity) {
        return ddt_fail(list->ctx, DDT_ERR_CAPACITY, "A target looks at a candidate more than %zu times.",
                        list->capacity);
    }
    list->nodes[list->count] = (curves_node){time, is_after};
    list->weights[list->count++] = weight;
    return DDT_OK;
}

/* Something starts or ends: doses, and ends of infusions. */
static double event_time(const curves_sheet *sheet, size_t index) {
    bool is_end = sheet->shape.infusion_h > 0.0 && index % 2 == 1;
    size_t dose = sheet->shape.infusion_h > 0.0 ? index / 2 : index;
    return (double)dose * sheet->shape.interval_h + (is_end ? sheet->shape.infusion_h : 0.0);
}

static size_t event_count(const curves_sheet *sheet) {
    return sheet->shape.infusion_h > 0.0 ? 2 * sheet->dose_count : sheet->dose_count;
}

static bool is_dose_time(const curves_sheet *sheet, double time) {
    double dose = round(time / sheet->shape.interval_h);
    return dose < (double)sheet->dose_count && fabs(time - dose * sheet->shape.interval_h) < same_time;
}

/* The end of the piece that begins at `from`, at most `to`. */
static double piece_end(const curves_sheet *sheet, double from, double to) {
    double end = to;
    for (size_t i = 0; i < event_count(sheet); i++) {
        double time = event_time(sheet, i);
        end = time > from + same_time ? fmin(end, time) : end;
    }
    return end;
}

static size_t piece_count(const curves_sheet *sheet, double from, double to) {
    size_t count = 0;
    for (; from < to - same_time; from = piece_end(sheet, from, to)) {
        count++;
    }
    return count;
}

/* ------------------------------------------------------------------ what targets look at */

static ddt_status add_gauss(view_list *list, double from, double to, double factor) {
    static const double nodes[] = {-0.9324695142031521, -0.6612093864662645, -0.2386191860831969,
                                   0.2386191860831969,  0.6612093864662645,  0.9324695142031521};
    static const double weights[] = {0.1713244923791704, 0.3607615730481386, 0.4679139345726910,
                                     0.4679139345726910, 0.3607615730481386, 0.1713244923791704};
    const double half = 0.5 * (to - from);
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        SOLVE_TRY(list_add(list, from + half * (1.0 + nodes[i]), false, factor * half * weights[i]));
    }
    return DDT_OK;
}

/* factor times the area from one time to another. Fast processes come first in a piece: few pieces are cut there. */
static ddt_status add_area(view_list *list, double from, double to, double factor) {
    enum { CUT_PIECES_MAX = 8 };
    const double early = 0.125;
    const bool cuts = piece_count(list->sheet, from, to) <= CUT_PIECES_MAX;
    while (from < to - same_time) {
        double end = piece_end(list->sheet, from, to);
        double cut = cuts ? from + early * (end - from) : from;
        SOLVE_TRY(cuts ? add_gauss(list, from, cut, factor) : DDT_OK);
        SOLVE_TRY(add_gauss(list, cut, end, factor));
        from = end;
    }
    return DDT_OK;
}

/* Both ends of a piece and nodes evenly between them. */
static ddt_status add_piece(view_list *list, double from, double end, size_t steps) {
    SOLVE_TRY(list_add(list, from, is_dose_time(list->sheet, from), 0.0));
    for (size_t k = 1; k < steps; k++) {
        SOLVE_TRY(list_add(list, from + (end - from) * (double)k / (double)steps, false, 0.0));
    }
    return list_add(list, end, false, 0.0);
}

static ddt_status add_range(view_list *list, double from, double to) {
    const double budget = 40.0;
    const double length = to - from;
    while (from < to - same_time) {
        double end = piece_end(list->sheet, from, to);
        SOLVE_TRY(add_piece(list, from, end, (size_t)fmax(2.0, round(budget * (end - from) / length))));
        from = end;
    }
    return DDT_OK;
}

/* The end of what a target looks at. */
static double target_end(const ddt_recommend_target *target, const ddt_recommend_product *product,
                         const recommend_shape *shape) {
    double cycles = product->cycles > 0 ? product->cycles : 1.0;
    if (target->is_steady) {
        return cycles * shape->interval_h;
    }
    return target->kind == DDT_METRIC_AUC_WINDOW ? target->to_h : target->at_h;
}

static ddt_status add_target(view_list *list, const ddt_recommend_target *target, double end) {
    const double interval = list->sheet->shape.interval_h;
    const double hours_a_day = 24.0;
    switch (target->kind) {
    case DDT_METRIC_AUC24:
        return add_area(list, end - (target->day > 0.0 ? target->day : hours_a_day), end, 1.0);
    case DDT_METRIC_AUC_WINDOW:
        return add_area(list, target->from_h, end, 1.0);
    case DDT_METRIC_SHARE:
        return add_area(list, 0.0, end, 1.0);
    case DDT_METRIC_AVERAGE:
        return add_area(list, end - interval, end, 1.0 / interval);
    case DDT_METRIC_TROUGH:
        return list_add(list, end, false, 1.0);
    case DDT_METRIC_LOWEST:
    case DDT_METRIC_HIGHEST:
        return add_range(list, 0.0, end);
    case DDT_METRIC_PEAK:
    case DDT_METRIC_TIME_ABOVE:
        break;
    }
    return add_range(list, end - interval, end);
}

/* ------------------------------------------------------------------ a sheet */

static int by_time(const void *left, const void *right) {
    const curves_node *a = left;
    const curves_node *b = right;
    if (fabs(a->time - b->time) > same_time) {
        return a->time < b->time ? -1 : 1;
    }
    return (int)a->is_after - (int)b->is_after;
}

/* Adds a target's nodes to the sheet's (sorted and merged later) and to its view. */
static ddt_status keep_view(view_list *list, curves_sheet *sheet, size_t t) {
    curves_view *view = &sheet->views[t];
    size_t room = sheet->node_count + list->count;
    curves_node *nodes = ddt_realloc(sheet->nodes, sheet->node_count, room, sizeof *nodes);
    if (nodes == NULL) {
        return solve_no_memory(list->ctx);
    }
    sheet->nodes = nodes;
    memcpy(nodes + sheet->node_count, list->nodes, list->count * sizeof *nodes);
    sheet->node_count = room;
    view->nodes = ddt_calloc(list->count, sizeof *view->nodes);
    view->weights = ddt_calloc(list->count, sizeof *view->weights);
    if (view->nodes == NULL || view->weights == NULL) {
        return solve_no_memory(list->ctx);
    }
    memcpy(view->weights, list->weights, list->count * sizeof *view->weights);
    view->count = list->count;
    return DDT_OK;
}

static void merge_nodes(curves_sheet *sheet) {
    size_t kept = 0;
    qsort(sheet->nodes, sheet->node_count, sizeof *sheet->nodes, by_time);
    for (size_t i = 0; i < sheet->node_count; i++) {
        if (kept == 0 || by_time(&sheet->nodes[kept - 1], &sheet->nodes[i]) != 0) {
            sheet->nodes[kept++] = sheet->nodes[i];
        }
    }
    sheet->node_count = kept;
}

/* Where a view's nodes have gone; all: as they were added. */
static void find_nodes(curves_sheet *sheet, const curves_node *all) {
    for (size_t t = 0; t < DDT_RECOMMEND_TARGETS_MAX; t++) {
        curves_view *view = &sheet->views[t];
        for (size_t i = 0; i < view->count; i++, all++) {
            const curves_node *at = bsearch(all, sheet->nodes, sheet->node_count, sizeof *at, by_time);
            view->nodes[i] = (uint32_t)(at - sheet->nodes);
        }
    }
}

static ddt_status fill_sheet(view_list *list, const ddt_recommend_targets *targets,
                             const ddt_recommend_product *product, curves_sheet *sheet) {
    double end = 0.0;
    for (size_t t = 0; t < targets->count; t++) {
        end = fmax(end, target_end(&targets->items[t], product, &sheet->shape));
    }
    double doses = ceil(end / sheet->shape.interval_h - same_time);
    if (!(doses < (double)RECOMMEND_CYCLES_MAX)) {
        return ddt_fail(list->ctx, DDT_ERR_RANGE, "Targets look %g ahead, which is too many doses every %g.", end,
                        sheet->shape.interval_h);
    }
    sheet->dose_count = doses < 1.0 ? 1 : (size_t)doses;
    if (product->cycles > 0 && product->cycles < sheet->dose_count) {
        sheet->dose_count = product->cycles;
    }
    for (size_t t = 0; t < targets->count; t++) {
        list->count = 0;
        SOLVE_TRY(add_target(list, &targets->items[t], target_end(&targets->items[t], product, &sheet->shape)));
        if (list->count == 0) {
            return ddt_fail(list->ctx, DDT_ERR_RANGE, "The target %s looks at no time.", targets->items[t].name);
        }
        SOLVE_TRY(keep_view(list, sheet, t));
    }
    curves_node *all = ddt_alloc(sheet->node_count, sizeof *all);
    if (all == NULL) {
        return solve_no_memory(list->ctx);
    }
    memcpy(all, sheet->nodes, sheet->node_count * sizeof *all);
    merge_nodes(sheet);
    find_nodes(sheet, all);
    ddt_free(all);
    return DDT_OK;
}

ddt_status curves_sheet_create(ddt_context *ctx, const ddt_recommend_targets *targets,
                               const ddt_recommend_product *product, size_t shape, curves_sheet *out) {
    *out = (curves_sheet){.shape = recommend_shape_at(product, shape)};
    view_list list = {.ctx = ctx, .sheet = out, .capacity = CURVES_NODES_MAX};
    list.nodes = ddt_alloc(list.capacity, sizeof *list.nodes);
    list.weights = ddt_alloc(list.capacity, sizeof *list.weights);
    ddt_status status =
        list.nodes == NULL || list.weights == NULL ? solve_no_memory(ctx) : fill_sheet(&list, targets, product, out);
    ddt_free(list.nodes);
    ddt_free(list.weights);
    if (status != DDT_OK) {
        curves_sheet_destroy(out);
    }
    return status;
}

void curves_sheet_destroy(curves_sheet *sheet) {
    for (size_t t = 0; t < DDT_RECOMMEND_TARGETS_MAX; t++) {
        ddt_free(sheet->views[t].nodes);
        ddt_free(sheet->views[t].weights);
    }
    ddt_free(sheet->nodes);
    *sheet = (curves_sheet){0};
}

/* ------------------------------------------------------------------ values */

/* One output along a view. */
typedef struct curve {
    const curves_sheet *sheet;
    const curves_view *view;
    const double *values;
    size_t stride, output;
} curve;

static double value_at(const curve *c, size_t i) { return c->values[c->view->nodes[i] * c->stride + c->output]; }
static double time_at(const curve *c, size_t i) { return c->sheet->nodes[c->view->nodes[i]].time; }

/* Whether two nodes that follow each other are of one piece: between pieces the same time stands twice. */
static bool is_step(const curve *c, size_t i) {
    return i + 1 < c->view->count && time_at(c, i + 1) > time_at(c, i) + same_time;
}

static double weighted_sum(const curve *c) {
    double sum = 0.0;
    for (size_t i = 0; i < c->view->count; i++) {
        sum += c->view->weights[i] * value_at(c, i);
    }
    return sum;
}

/* sign 1: the highest value, -1: the lowest; a parabola through the best node and its neighbours, if of one piece. */
static double extreme(const curve *c, double sign) {
    size_t best = 0;
    for (size_t i = 1; i < c->view->count; i++) {
        best = sign * value_at(c, i) > sign * value_at(c, best) ? i : best;
    }
    double top = value_at(c, best);
    if (best == 0 || !is_step(c, best - 1) || !is_step(c, best)) {
        return top;
    }
    double before = time_at(c, best) - time_at(c, best - 1);
    double after = time_at(c, best + 1) - time_at(c, best);
    double left = (top - value_at(c, best - 1)) / before; /* slopes */
    double right = (value_at(c, best + 1) - top) / after;
    double curvature = (right - left) / (before + after);
    if (!(sign * curvature < 0.0)) {
        return top;
    }
    double slope = (left * after + right * before) / (before + after);
    return top - 0.25 * slope * slope / curvature;
}

/* The part of a step that lies above a threshold, where values change exponentially (or, at 0, evenly). */
static double part_above(double a, double b, double threshold) {
    if (a >= threshold && b >= threshold) {
        return 1.0;
    }
    if (a < threshold && b < threshold) {
        return 0.0;
    }
    bool is_positive = a > 0.0 && b > 0.0;
    double whole = is_positive ? log(b / a) : b - a;
    double until = is_positive ? log(threshold / a) : threshold - a;
    double part = until / whole;
    return a >= threshold ? part : 1.0 - part;
}

static double time_above(const curve *c, double threshold) {
    double sum = 0.0;
    double length = 0.0;
    for (size_t i = 0; i + 1 < c->view->count; i++) {
        double step = is_step(c, i) ? time_at(c, i + 1) - time_at(c, i) : 0.0;
        sum += step > 0.0 ? step * part_above(value_at(c, i), value_at(c, i + 1), threshold) : 0.0;
        length += step;
    }
    return length > 0.0 ? sum / length : 0.0;
}

static double given_until(const curves_sheet *sheet, double dose, double time) {
    double given = 0.0;
    for (size_t k = 0; k < sheet->dose_count; k++) {
        bool counts = (double)k * sheet->shape.interval_h < time - same_time;
        given += counts ? dose * (k == 0 ? sheet->shape.loading : 1.0) : 0.0;
    }
    return given;
}

double curves_sheet_value(const curves_sheet *sheet, const ddt_recommend_target *target, size_t index, double dose,
                          const double *values, size_t stride, size_t output, size_t base) {
    const curve c = {sheet, &sheet->views[index], values, stride, output};
    switch (target->kind) {
    case DDT_METRIC_LOWEST:
        return extreme(&c, -1.0);
    case DDT_METRIC_HIGHEST:
    case DDT_METRIC_PEAK:
        return extreme(&c, 1.0);
    case DDT_METRIC_TIME_ABOVE:
        return time_above(&c, target->mic);
    case DDT_METRIC_SHARE: {
        const curve other = {sheet, &sheet->views[index], values, stride, base == SIZE_MAX ? output : base};
        double whole = base == SIZE_MAX ? given_until(sheet, dose, target->at_h) * target->at_h : weighted_sum(&other);
        return whole > 0.0 ? weighted_sum(&c) / whole : 0.0;
    }
    default:
        return weighted_sum(&c);
    }
}
