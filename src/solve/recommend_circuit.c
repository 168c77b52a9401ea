/*
 * The circuit of recommendations: unit responses of all shapes at all points of the posterior, doses, costs,
 * expectations.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_internal.h"

#include <string.h>

#ifndef M_PI
#define M_PI 3.14159265358979323846
#endif

static const double cost_tolerance = 5e-4;
static const double step_tolerance = 2e-3;
static const double compress_tolerance = 2e-5;
/* Sums over points are this many times the mean: noise adds up, too. */
static const double sum_size = 4.0;

/* ------------------------------------------------------------------ slots */

recommend_place recommend_place_of(const recommend_work *r, size_t slot) {
    recommend_place p = {.shape = slot % r->shape_slots};
    slot /= r->shape_slots;
    p.metric = slot % r->metric_slots;
    slot /= r->metric_slots;
    p.row = slot % r->row_slots;
    p.point = slot / r->row_slots;
    return p;
}

/* Slots that stand for nothing hold what another one holds: no value that no patient has may meet a polynomial. */
static const recommend_column *column_of(const recommend_work *r, const recommend_place *p) {
    size_t metric = p->metric < r->metric_count ? p->metric : 0;
    size_t shape = r->course != NULL ? p->shape % r->period : p->shape;
    shape = shape < r->shapes ? shape : 0;
    return &r->column[metric * r->shapes + shape];
}

static size_t target_of(const recommend_work *r, size_t metric) {
    size_t t = 0;
    while (t + 1 < r->options->targets.count && metric >= r->metrics[t].first + r->metrics[t].count) {
        t++;
    }
    return t;
}

/* A public vector: a function of the place, the same in every lane. */
typedef double (*place_value)(const recommend_work *r, const recommend_place *p);

static solve_value public_vector(recommend_work *r, place_value value) {
    size_t lanes = ddt_circuit_lanes(r->work.circuit);
    for (size_t slot = 0; slot < r->block; slot++) {
        recommend_place p = recommend_place_of(r, slot);
        double v = value(r, &p);
        for (size_t l = 0; l < lanes; l++) {
            r->work.slots[l * r->block + slot] = v;
        }
    }
    return (solve_value){.node = ddt_circuit_public(r->work.circuit, r->work.slots)};
}

static double weight_at(const recommend_work *r, const recommend_place *p) {
    const recommend_column *c = column_of(r, p);
    size_t i = p->row % r->sum_rows;
    if (r->course != NULL && (p->metric >= r->metric_count || p->shape % r->period >= r->shapes)) {
        return 0.0;
    }
    return i < c->sum.count && !c->is_zero ? c->sum.weight[i] / c->norm * r->amplitude : 0.0;
}

double recommend_time_at(const recommend_work *r, size_t slot) {
    recommend_place p = recommend_place_of(r, slot);
    const recommend_column *c = column_of(r, &p);
    size_t i = p.row % r->sum_rows;
    return i < c->sum.count ? c->sum.time_h[i] : c->sum.time_h[0];
}

double recommend_column_factor(const recommend_work *r, const recommend_column *column) {
    return column->norm * r->work.solution->layout.outputs[0].scale / r->amplitude;
}

static bool is_candidate(const recommend_work *r, const recommend_place *p) {
    return p->row < r->doses && p->shape < r->shapes && recommend_is_allowed(&r->options->product, p->shape, p->row);
}

/* Dose of the row in units in which the metric is 1. */
static double dose_at(const recommend_work *r, const recommend_place *p) {
    if (!is_candidate(r, p) || p->metric >= r->metric_count) {
        return 0.0;
    }
    double factor = recommend_column_factor(r, column_of(r, p));
    return recommend_dose(&r->options->product, p->row) * factor / r->metrics[target_of(r, p->metric)].unit;
}

/* Mean over the times of an interval. */
static double grid_weight_at(const recommend_work *r, const recommend_place *p) {
    const recommend_metric *m = &r->metrics[target_of(r, p->metric)];
    return p->metric < r->metric_count && m->count > 1 ? 1.0 / (double)m->count : 0.0;
}

static double daily_cost_at(const recommend_work *r, const recommend_place *p) {
    const ddt_recommend_product *product = &r->options->product;
    double largest = 0.0;
    for (size_t s = 0; s < r->shapes; s++) {
        largest = fmax(largest, recommend_daily_dose(product, s, r->doses - 1));
    }
    return is_candidate(r, p)
               ? sum_size * r->options->dose_weight * recommend_daily_dose(product, p->shape, p->row) / largest
               : 0.0;
}

/* ------------------------------------------------------------------ inputs */

static size_t free_of(const recommend_work *r, uint32_t symbol) {
    size_t i = 0;
    while (i < r->free_count && r->free_symbol[i] != symbol) {
        i++;
    }
    return i;
}

/* A free eta: its points, in the encoding's unit. */
static ddt_node eta_node(recommend_work *r, const solve_encoding *e, size_t which) {
    size_t lanes = ddt_circuit_lanes(r->work.circuit);
    for (size_t slot = 0; slot < r->block; slot++) {
        size_t point = recommend_place_of(r, slot).point;
        point = point < r->points ? point : 0;
        for (size_t l = 0; l < lanes; l++) {
            r->work.slots[l * r->block + slot] = (r->point_eta[point * r->free_count + which] - e->mid) / e->half;
        }
    }
    return ddt_circuit_public(r->work.circuit, r->work.slots);
}

static ddt_status bind_inputs(recommend_work *r) {
    solve_work *work = &r->work;
    const solve_layout *layout = &work->solution->layout;
    size_t next = 0;
    for (size_t i = 0; i < work->encoding_count; i++) {
        solve_encoding *e = &work->encodings[i];
        size_t which = free_of(r, e->symbol);
        if (which < r->free_count) {
            e->node = eta_node(r, e, which);
        } else {
            e->node = ddt_circuit_input(work->circuit, layout->inputs[next].name, layout->inputs[next].bound);
            next++;
        }
    }
    work->dosings[0].node = public_vector(r, weight_at).node;
    work->has_nodes = true;
    work->sum_rows = r->sum_rows;
    return ddt_circuit_status(work->circuit);
}

/* ------------------------------------------------------------------ functions of a metric */

typedef struct target_function {
    ddt_recommend_target target;
    double (*value)(const ddt_recommend_target *target, double metric);
    double factor;
    bool is_compressed;
} target_function;

static double call_target(double x, const void *data) {
    const target_function *f = data;
    return f->factor * f->value(&f->target, f->is_compressed ? recommend_uncompress(&f->target, x) : x);
}

static double call_compress(double x, const void *data) {
    (void)data;
    return x / (1.0 + x);
}

/* What is possible with degree 63 where that is more than what is wanted. */
static double possible_tolerance(const solve_function *f, double low, double high, double wanted) {
    enum { DEGREE = 63, CHECKS = 509 };
    double values[DEGREE + 1];
    double coefficients[DEGREE + 1];
    for (int j = 0; j <= DEGREE; j++) {
        double x = cos(M_PI * (j + 0.5) / (DEGREE + 1));
        values[j] = solve_function_eval(0.5 * (low + high) + 0.5 * (high - low) * x, f);
    }
    for (int k = 0; k <= DEGREE; k++) {
        double sum = 0.0;
        for (int j = 0; j <= DEGREE; j++) {
            sum += values[j] * cos(M_PI * k * (j + 0.5) / (DEGREE + 1));
        }
        coefficients[k] = sum * (k == 0 ? 1.0 : 2.0) / (DEGREE + 1);
    }
    double worst = 0.0;
    for (int i = 0; i <= CHECKS; i++) {
        double angle = M_PI * i / CHECKS;
        double sum = 0.0;
        for (int k = 0; k <= DEGREE; k++) {
            sum += coefficients[k] * cos(k * angle);
        }
        double x = 0.5 * (low + high) + 0.5 * (high - low) * cos(angle);
        worst = fmax(worst, fabs(sum - solve_function_eval(x, f)));
    }
    const double slack = 1.2;
    return fmax(wanted, slack * worst);
}

static ddt_status function_of(recommend_work *r, ddt_node x, double low, double high, solve_function *f,
                              double tolerance, ddt_node *out) {
    tolerance = possible_tolerance(f, low, high, tolerance);
    *out = ddt_circuit_function(r->work.circuit, x, low, high, solve_function_eval, f, tolerance, NULL);
    return ddt_circuit_status(r->work.circuit);
}

static const double below_range = -0.02; /* room for the errors of what comes before */

static double largest_metric(const recommend_work *r) {
    double most = 0.0;
    for (size_t t = 0; t < r->options->targets.count; t++) {
        most = fmax(most, r->metric_max[t]);
    }
    return most;
}

static ddt_status target_node(recommend_work *r, size_t t, ddt_node x, bool is_compressed,
                              double (*value)(const ddt_recommend_target *target, double metric), double factor,
                              double tolerance, ddt_node *out) {
    const double above_range = 1.02;
    solve_function *f = solve_function_create(&r->work, SOLVE_FUNCTION_CALL);
    target_function *data = ddt_calloc(1, sizeof *data);
    if (f == NULL || data == NULL) {
        ddt_free(data);
        return solve_no_memory(r->work.ctx);
    }
    *data = (target_function){r->options->targets.items[t], value, factor, is_compressed};
    f->call = call_target;
    f->data = data;
    double most = largest_metric(r); /* other targets' columns meet this function, too */
    double high = is_compressed ? fmin(1.0, most / (1.0 + most) - below_range) : above_range;
    return function_of(r, x, below_range, high, f, tolerance * factor, out);
}

/* x / (1 + x): 0 to 1, with the resolution where the target is. */
static ddt_status compress(recommend_work *r, ddt_node x, ddt_node *out) {
    solve_function *f = solve_function_create(&r->work, SOLVE_FUNCTION_CALL);
    if (f == NULL) {
        return DDT_ERR_MEMORY;
    }
    f->call = call_compress;
    return function_of(r, x, below_range, largest_metric(r), f, compress_tolerance, out);
}

/* ------------------------------------------------------------------ targets */

/* Moves a target's metric to the first metric's columns. */
static ddt_node to_front(recommend_work *r, size_t t, ddt_node x) {
    size_t steps = r->metrics[t].first * r->shape_slots;
    return steps == 0 ? x : ddt_circuit_rotate(r->work.circuit, x, (int64_t)steps);
}

static double attained_limit(const ddt_recommend_target *target, double metric) {
    ddt_recommend_target limit = {.low = target->mic, .high = INFINITY};
    return ddt_recommend_attained(&limit, metric);
}

/* Nodes of one target, at the first metric's columns. */
typedef struct target_nodes {
    ddt_node metric, cost, attained;
} target_nodes;

/* Part of the interval above the MIC: the mean of a smooth step over the interval's times. */
static ddt_status time_above(recommend_work *r, size_t t, ddt_node v, ddt_node *out) {
    ddt_node step = DDT_NODE_NONE;
    SOLVE_TRY(target_node(r, t, v, true, attained_limit, 1.0, step_tolerance, &step));
    ddt_node masked = ddt_circuit_mul(r->work.circuit, step, public_vector(r, grid_weight_at).node);
    *out = ddt_circuit_sum(r->work.circuit, masked, (int64_t)r->shape_slots, r->metrics[t].count);
    return ddt_circuit_status(r->work.circuit);
}

static ddt_status build_target(recommend_work *r, size_t t, ddt_node x, ddt_node v, target_nodes *out) {
    bool is_time = r->metrics[t].count > 1;
    ddt_node metric = x;
    ddt_node argument = v;
    if (is_time) {
        SOLVE_TRY(time_above(r, t, v, &metric));
        argument = metric;
    }
    /* Weights and the mean's factor are in the polynomials: they cost no level there. */
    double part = sum_size / (double)r->points;
    SOLVE_TRY(target_node(r, t, argument, !is_time, ddt_recommend_target_cost,
                          part * r->options->targets.items[t].weight, cost_tolerance, &out->cost));
    SOLVE_TRY(target_node(r, t, argument, !is_time, ddt_recommend_attained, t == 0 ? part : 1.0, step_tolerance,
                          &out->attained));
    out->metric = to_front(r, t, metric);
    out->cost = to_front(r, t, out->cost);
    out->attained = to_front(r, t, out->attained);
    return ddt_circuit_status(r->work.circuit);
}

/* ------------------------------------------------------------------ outputs */

ddt_status recommend_add_output(recommend_work *r, const char *name, ddt_node node, double scale) {
    solve_layout *layout = &r->work.solution->layout;
    solve_output *output = &layout->outputs[layout->output_count];
    output->name = ddt_strdup(name);
    output->scale = scale;
    if (output->name == NULL) {
        return solve_no_memory(r->work.ctx);
    }
    layout->output_count++;
    ddt_circuit_output(r->work.circuit, name, node);
    return ddt_circuit_status(r->work.circuit);
}

/* sum_size times the mean over the points. */
static ddt_node expectation(recommend_work *r, ddt_node x) {
    return ddt_circuit_sum(r->work.circuit, x, (int64_t)(r->row_slots * r->columns), r->points);
}

static ddt_status cost_outputs(recommend_work *r, const target_nodes *nodes) {
    const ddt_recommend_targets *targets = &r->options->targets;
    ddt_node costs[DDT_RECOMMEND_TARGETS_MAX];
    ddt_node total = DDT_NODE_NONE;
    for (size_t t = 0; t < targets->count; t++) {
        costs[t] = expectation(r, nodes[t].cost);
        total = t == 0 ? costs[t] : ddt_circuit_add(r->work.circuit, total, costs[t]);
    }
    if (r->options->dose_weight > 0.0) {
        total = ddt_circuit_add(r->work.circuit, total, public_vector(r, daily_cost_at).node);
    }
    SOLVE_TRY(recommend_add_output(r, "cost", total, 1.0 / sum_size));
    for (size_t t = 0; t < targets->count && targets->count > 1; t++) {
        char name[DDT_RECOMMEND_NAME_BYTES + sizeof "cost()"];
        (void)snprintf(name, sizeof name, "cost(%s)", targets->items[t].name);
        SOLVE_TRY(recommend_add_output(r, name, costs[t], 1.0 / (sum_size * targets->items[t].weight)));
    }
    return DDT_OK;
}

static ddt_status probability_output(recommend_work *r, const target_nodes *nodes) {
    /* A balanced tree of products: depth log2. */
    ddt_node product[DDT_RECOMMEND_TARGETS_MAX] = {0};
    size_t count = r->options->targets.count;
    for (size_t t = 0; t < count; t++) {
        product[t] = nodes[t].attained;
    }
    while (count > 1) {
        for (size_t i = 0; i < count / 2; i++) {
            product[i] = ddt_circuit_mul(r->work.circuit, product[2 * i], product[2 * i + 1]);
        }
        if (count % 2 == 1) {
            product[count / 2] = product[count - 1];
        }
        count = (count + 1) / 2;
    }
    return recommend_add_output(r, "p_target", expectation(r, product[0]), 1.0 / sum_size);
}

void recommend_drop_outputs(solve_layout *layout) {
    for (size_t o = 0; o < layout->output_count; o++) {
        ddt_free(layout->outputs[o].name);
    }
    layout->output_count = 0;
}

static ddt_status build_unit_response(recommend_work *r, ddt_node *out) {
    solve_work *work = &r->work;
    solve_value y = {0};
    ddt_circuit_destroy(work->solution->circuit);
    solve_functions_destroy(work->solution->functions);
    work->solution->circuit = NULL;
    work->solution->functions = NULL;
    SOLVE_TRY(ddt_circuit_create(work->ctx, work->solution->layout.lane_count, r->block, &work->solution->circuit));
    work->circuit = work->solution->circuit;
    SOLVE_TRY(bind_inputs(r));
    SOLVE_TRY(solve_superpose_values(work, &y));
    *out = y.node;
    return DDT_OK;
}

ddt_status recommend_unit_response(recommend_work *r, ddt_node *out) {
    const double off = 1.01;
    const solve_layout *layout = &r->work.solution->layout;
    recommend_drop_outputs(&r->work.solution->layout);
    SOLVE_TRY(build_unit_response(r, out));
    double scale = layout->outputs[0].scale;
    if (scale / r->amplitude > off || r->amplitude / scale > off) { /* known only now */
        r->amplitude = scale;
        SOLVE_TRY(build_unit_response(r, out));
    }
    return DDT_OK;
}

ddt_status recommend_build(recommend_work *r) {
    ddt_node y = DDT_NODE_NONE;
    ddt_node v = DDT_NODE_NONE;
    target_nodes nodes[DDT_RECOMMEND_TARGETS_MAX] = {{0}};
    SOLVE_TRY(recommend_unit_response(r, &y));
    ddt_node x = ddt_circuit_mul(r->work.circuit, y, public_vector(r, dose_at).node);
    SOLVE_TRY(compress(r, x, &v));
    for (size_t t = 0; t < r->options->targets.count; t++) {
        SOLVE_TRY(build_target(r, t, x, v, &nodes[t]));
    }
    for (size_t t = 0; t < r->options->targets.count; t++) {
        const ddt_recommend_target *target = &r->options->targets.items[t];
        SOLVE_TRY(recommend_add_output(r, target->name, nodes[t].metric,
                                       target->kind == DDT_METRIC_TIME_ABOVE ? 1.0 : r->metrics[t].unit));
    }
    if (r->options->metrics_only) {
        return DDT_OK;
    }
    SOLVE_TRY(cost_outputs(r, nodes));
    return probability_output(r, nodes);
}
