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
static const double compress_tolerance = 5e-4; /* 0.2 % of a metric at its target */
/* Sums over points are this many times the mean: noise adds up, too. */
static const double sum_size = 4.0;

/* ------------------------------------------------------------------ slots */

/* Slots that stand for nothing hold what another one holds: no value that no patient has may meet a polynomial. */
static const recommend_column *column_of(const recommend_work *r, const recommend_place *p) {
    size_t metric = p->metric < r->metric_count ? p->metric : 0;
    size_t shape = r->course != NULL ? p->shape % r->period : p->shape;
    shape = shape < r->shapes ? shape : 0;
    return &r->column[metric * r->shapes + shape];
}

static size_t target_of(const recommend_work *r, size_t metric) {
    size_t t = 0;
    while (t + 1 < r->figure_count && metric >= r->metrics[t].first + r->metrics[t].count) {
        t++;
    }
    return t;
}

/* Columns of targets; behind them are those that are only told. */
static size_t target_columns(const recommend_work *r) {
    const recommend_metric *last = &r->metrics[r->options->targets.count - 1];
    return last->first + last->count;
}

/* A function of the place whose user is the work itself. */
static ddt_node own_public(recommend_work *r, recommend_value value) { return recommend_public(r, value, r); }

static double weight_at(const void *user, const recommend_place *p) {
    const recommend_work *r = user;
    const recommend_column *c = column_of(r, p);
    size_t i = p->row % r->sum_rows;
    if (r->course != NULL && (p->metric >= r->metric_count || p->shape % r->period >= r->shapes)) {
        return 0.0;
    }
    if (recommend_history_has(r, p)) {
        return 0.0; /* the custodian's, encrypted */
    }
    return i < c->sum.count && !c->is_zero ? c->sum.weight[i] / c->norm * r->amplitude : 0.0;
}

double recommend_time_at(const recommend_work *r, size_t lane, size_t slot) {
    recommend_place p = recommend_place_of(r, slot);
    if (recommend_history_has(r, &p)) {
        return recommend_history_time(r, lane, &p);
    }
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

/*
 * Arguments of polynomials are carried on [-1, 1]: their maps are in public factors that are there anyway and in the
 * polynomials before, so that they cost no level. A carried y stands for mid + half y.
 */
typedef struct carried {
    double mid, half;
} carried;

static carried carried_between(double low, double high) { return (carried){0.5 * (low + high), 0.5 * (high - low)}; }

static const double below_range = -0.02; /* room for the errors of what comes before */

/* Of metrics in the unit of their target. */
static carried of_metrics(const recommend_work *r) {
    double most = 0.0;
    for (size_t t = 0; t < r->options->targets.count; t++) {
        most = fmax(most, r->metric_max[t]); /* other targets' columns meet a target's functions, too */
    }
    return carried_between(below_range, most);
}

double recommend_response_unit(const recommend_work *r, size_t figure) {
    return r->metrics[figure].unit * of_metrics(r).half;
}

/* Of x / (1 + x). */
static carried of_compressed(const recommend_work *r) {
    carried x = of_metrics(r);
    double most = x.mid + x.half;
    return carried_between(below_range, fmin(1.0, most / (1.0 + most) - below_range));
}

/* Of parts of an interval. */
static carried of_parts(void) { return carried_between(below_range, 1.0 - below_range); }

/* Dose of the row in units in which the metric is 1, as it is carried. */
static double dose_at(const void *user, const recommend_place *p) {
    const recommend_work *r = user;
    if (is_candidate(r, p) && recommend_history_has(r, p)) {
        double unit = r->metrics[target_of(r, p->metric - r->metric_count)].unit;
        return recommend_history_factor(r, p) / (unit * of_metrics(r).half);
    }
    if (!is_candidate(r, p) || p->metric >= r->metric_count) {
        return 0.0;
    }
    double factor = recommend_column_factor(r, column_of(r, p));
    double unit = r->metrics[target_of(r, p->metric)].unit * of_metrics(r).half;
    return recommend_dose(&r->options->product, p->row) * factor / unit;
}

/* Mean over the times of an interval, as it is carried. */
static double grid_weight_at(const void *user, const recommend_place *p) {
    const recommend_work *r = user;
    const recommend_metric *m = &r->metrics[target_of(r, p->metric)];
    return p->metric < target_columns(r) && m->count > 1 ? 1.0 / ((double)m->count * of_parts().half) : 0.0;
}

static double daily_cost_at(const void *user, const recommend_place *p) {
    const recommend_work *r = user;
    const ddt_recommend_product *product = &r->options->product;
    double largest = 0.0;
    for (size_t i = 0; i < r->shapes * r->doses; i++) {
        const bool is_allowed = recommend_is_allowed(product, i / r->doses, i % r->doses);
        largest = is_allowed ? fmax(largest, recommend_daily_dose(product, i / r->doses, i % r->doses)) : largest;
    }
    return is_candidate(r, p)
               ? sum_size * r->options->dose_weight * recommend_daily_dose(product, p->shape, p->row) / largest
               : 0.0;
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
    const carried *to = data;
    return (x / (1.0 + x) - to->mid) / to->half;
}

/* What is possible with degree 63 where that is more than what is wanted. */
static double possible_tolerance(const solve_function *f, double wanted) {
    enum { DEGREE = 63, CHECKS = 509 };
    double values[DEGREE + 1];
    double coefficients[DEGREE + 1];
    for (int j = 0; j <= DEGREE; j++) {
        values[j] = solve_function_eval(cos(M_PI * (j + 0.5) / (DEGREE + 1)), f);
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
        worst = fmax(worst, fabs(sum - solve_function_eval(cos(angle), f)));
    }
    const double slack = 1.2;
    return fmax(wanted, slack * worst);
}

/* call(x, data) of a carried x; data is the function's from now on. */
static ddt_status function_of(recommend_work *r, ddt_node y, carried x, double (*call)(double x, const void *data),
                              void *data, double tolerance, ddt_node *out) {
    solve_function *f = solve_function_create(&r->work, SOLVE_FUNCTION_CALL);
    if (f == NULL) {
        ddt_free(data);
        return DDT_ERR_MEMORY;
    }
    f->call = call;
    f->data = data;
    f->a = x.half;
    f->b = x.mid;
    tolerance = possible_tolerance(f, tolerance);
    *out = ddt_circuit_function(r->work.circuit, y, -1.0, 1.0, solve_function_eval, f, tolerance, NULL);
    return ddt_circuit_status(r->work.circuit);
}

static ddt_status target_node(recommend_work *r, size_t t, ddt_node y, carried x, bool is_compressed,
                              double (*value)(const ddt_recommend_target *target, double metric), double factor,
                              double tolerance, ddt_node *out) {
    target_function *data = ddt_alloc(1, sizeof *data);
    if (data == NULL) {
        return solve_no_memory(r->work.ctx);
    }
    *data = (target_function){r->options->targets.items[t], value, factor, is_compressed};
    return function_of(r, y, x, call_target, data, tolerance * factor, out);
}

/* x / (1 + x): 0 to 1, with the resolution where the target is. */
static ddt_status compress(recommend_work *r, ddt_node y, ddt_node *out) {
    carried *data = ddt_alloc(1, sizeof *data);
    if (data == NULL) {
        return solve_no_memory(r->work.ctx);
    }
    *data = of_compressed(r);
    return function_of(r, y, of_metrics(r), call_compress, data, compress_tolerance / data->half, out);
}

static ddt_node shifted(recommend_work *r, ddt_node y, double offset) {
    return ddt_circuit_affine(r->work.circuit, &y, (double[]){1.0}, 1, offset);
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
    ddt_node cost, attained;
} target_nodes;

/* Part of the interval above the MIC, carried: the mean of a smooth step over the interval's times. */
static ddt_status time_above(recommend_work *r, size_t t, ddt_node v, ddt_node *out) {
    ddt_node step = DDT_NODE_NONE;
    carried part = of_parts();
    SOLVE_TRY(target_node(r, t, v, of_compressed(r), true, attained_limit, 1.0, step_tolerance, &step));
    ddt_node masked = ddt_circuit_mul(r->work.circuit, step, own_public(r, grid_weight_at));
    ddt_node sum = ddt_circuit_sum(r->work.circuit, masked, (int64_t)r->shape_slots, r->metrics[t].count);
    *out = shifted(r, sum, -part.mid / part.half);
    return ddt_circuit_status(r->work.circuit);
}

/* v: x / (1 + x) of the metric, carried. */
static ddt_status build_target(recommend_work *r, size_t t, ddt_node v, target_nodes *out) {
    bool is_time = r->metrics[t].count > 1;
    ddt_node argument = v;
    carried of_argument = of_compressed(r);
    if (is_time) {
        SOLVE_TRY(time_above(r, t, v, &argument));
        of_argument = of_parts();
    }
    /* Weights and the mean's factor are in the polynomials: they cost no level there. */
    double part = sum_size / (double)r->points;
    SOLVE_TRY(target_node(r, t, argument, of_argument, !is_time, ddt_recommend_target_cost,
                          part * r->options->targets.items[t].weight, cost_tolerance, &out->cost));
    SOLVE_TRY(target_node(r, t, argument, of_argument, !is_time, ddt_recommend_attained, t == 0 ? part : 1.0,
                          step_tolerance, &out->attained));
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

/* In the table's order. */
static ddt_status cost_outputs(recommend_work *r, const target_nodes *nodes) {
    const ddt_recommend_targets *targets = &r->options->targets;
    ddt_node costs[DDT_RECOMMEND_TARGETS_MAX] = {0};
    ddt_node total = DDT_NODE_NONE;
    for (size_t t = 0; t < targets->count; t++) {
        costs[t] = expectation(r, nodes[t].cost);
        total = t == 0 ? costs[t] : ddt_circuit_add(r->work.circuit, total, costs[t]);
    }
    if (r->options->dose_weight > 0.0) {
        total = ddt_circuit_add(r->work.circuit, total, own_public(r, daily_cost_at));
    }
    SOLVE_TRY(recommend_add_output(r, "cost", total, 1.0 / sum_size));
    SOLVE_TRY(probability_output(r, nodes));
    for (size_t t = 0; t < targets->count && targets->count > 1; t++) {
        char name[DDT_RECOMMEND_NAME_BYTES + sizeof "cost()"];
        (void)snprintf(name, sizeof name, "cost(%s)", targets->items[t].name);
        SOLVE_TRY(recommend_add_output(r, name, costs[t], 1.0 / (sum_size * targets->items[t].weight)));
    }
    return DDT_OK;
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
    SOLVE_TRY(recommend_bind_inputs(r));
    work->dosings[0].node = own_public(r, weight_at);
    if (r->history != NULL) {
        ddt_node past = ddt_circuit_affine(work->circuit, &r->past_node, &r->amplitude, 1, 0.0);
        work->dosings[0].node = ddt_circuit_add(work->circuit, work->dosings[0].node, past);
    }
    work->has_nodes = true;
    work->sum_rows = r->sum_rows;
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

/* Responses to every dose, costs and probabilities of every candidate, from the unit responses y. */
static ddt_status build_costs(recommend_work *r, ddt_node y) {
    ddt_node v = DDT_NODE_NONE;
    target_nodes nodes[DDT_RECOMMEND_TARGETS_MAX] = {{0}};
    carried metrics = of_metrics(r);
    ddt_node x = ddt_circuit_mul(r->work.circuit, y, own_public(r, dose_at));
    if (r->history != NULL) {
        int64_t behind = (int64_t)(r->metric_count * r->shape_slots);
        x = ddt_circuit_add(r->work.circuit, x, ddt_circuit_rotate(r->work.circuit, x, behind));
    }
    SOLVE_TRY(recommend_add_output(r, "response", x, 1.0));
    x = shifted(r, x, -metrics.mid / metrics.half);
    SOLVE_TRY(compress(r, x, &v));
    for (size_t t = 0; t < r->options->targets.count; t++) {
        SOLVE_TRY(build_target(r, t, v, &nodes[t]));
    }
    return cost_outputs(r, nodes);
}

ddt_status recommend_build(recommend_work *r) {
    ddt_node y = DDT_NODE_NONE;
    SOLVE_TRY(recommend_unit_response(r, &y));
    if (r->options->metrics_only) {
        return recommend_add_output(r, "response", y, r->work.solution->layout.outputs[0].scale / r->amplitude);
    }
    return build_costs(r, y);
}
