/*
 * The virtual population: how large metrics become, and how accurate the circuit is.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_units.h"

#include <string.h>

/* ------------------------------------------------------------------ exact values */

/* Metrics of one patient at one point, per unit of dose: values[column]. symbols is written. */
void recommend_exact_columns(recommend_work *r, size_t point, double *symbols, solve_numbers *numbers, double *values) {
    recommend_set_point(r, point, symbols);
    solve_numbers_of(&r->work, symbols, numbers);
    double f = numbers->f[r->dosed_compartment];
    for (size_t c = 0; c < r->metric_count * r->shapes; c++) {
        values[c] = r->column[c].is_zero
                        ? 0.0
                        : regimen_exact_value(r->exact, &r->column[c].f, numbers->a, numbers->gain, r->dosed, f);
    }
}

/* What one patient's columns hold at one point: a new regimen's, per unit of dose, and what earlier doses add. */
typedef struct column_values {
    double *own, *past; /* past: zeros where there is no history */
} column_values;

static ddt_status create_values(recommend_work *r, size_t points, column_values *out) {
    size_t count = points * r->metric_count * r->shapes;
    out->own = solve_alloc(&r->work, count, sizeof *out->own);
    out->past = solve_alloc(&r->work, count, sizeof *out->past);
    return out->own == NULL || out->past == NULL ? DDT_ERR_MEMORY : DDT_OK;
}

static column_values values_at(const recommend_work *r, const column_values *all, size_t point) {
    size_t first = point * r->metric_count * r->shapes;
    return (column_values){all->own + first, all->past + first};
}

/* A figure (a target's, or told beside them) for a dose, from the values of its columns. */
static double metric_of(const recommend_work *r, size_t t, size_t shape, double dose, const column_values *values) {
    const recommend_metric *m = &r->metrics[t];
    const ddt_recommend_target *target = m->target;
    if (target->kind != DDT_METRIC_TIME_ABOVE) {
        size_t c = m->first * r->shapes + shape;
        return dose * values->own[c] + values->past[c];
    }
    ddt_recommend_target limit = {.low = target->mic, .high = INFINITY};
    double part = 0.0;
    for (size_t g = 0; g < m->count; g++) {
        size_t c = (m->first + g) * r->shapes + shape;
        part += ddt_recommend_attained(&limit, dose * values->own[c] + values->past[c]) / (double)m->count;
    }
    return part;
}

/* ------------------------------------------------------------------ limits */

/* The largest dose of a shape, 0 where none is allowed. */
static double largest_dose(const recommend_work *r, size_t shape) {
    for (size_t d = r->doses; d-- > 0;) {
        if (recommend_is_allowed(&r->options->product, shape, d)) {
            return recommend_dose(&r->options->product, d);
        }
    }
    return 0.0;
}

/* What the virtual population shows of the targets. */
typedef struct limits {
    bool is_reached[DDT_RECOMMEND_TARGETS_MAX], is_above[DDT_RECOMMEND_TARGETS_MAX];
    double past_max[RECOMMEND_FIGURES_MAX]; /* of what earlier doses add, in the figure's unit */
    column_values values;
    double *symbols;
    solve_numbers numbers;
} limits;

static void widen_maxima(recommend_work *r, limits *l) {
    for (size_t t = 0; t < r->figure_count; t++) {
        const recommend_metric *m = &r->metrics[t];
        for (size_t c = m->first * r->shapes; c < (m->first + m->count) * r->shapes; c++) {
            double most = largest_dose(r, c % r->shapes);
            r->metric_max[t] = fmax(r->metric_max[t], most * l->values.own[c] / m->unit);
            l->past_max[t] = fmax(l->past_max[t], l->values.past[c] / m->unit);
        }
    }
}

/* Marks the targets that some candidate reaches in this patient. */
static void mark_reached(const recommend_work *r, limits *l) {
    const ddt_recommend_product *product = &r->options->product;
    for (size_t t = 0; t < r->options->targets.count; t++) {
        const ddt_recommend_target *target = &r->options->targets.items[t];
        double least = INFINITY;
        double most = 0.0;
        for (size_t s = 0; s < r->shapes; s++) {
            least = fmin(least, metric_of(r, t, s, recommend_dose(product, 0), &l->values));
            most = fmax(most, metric_of(r, t, s, largest_dose(r, s), &l->values));
        }
        l->is_above[t] |= least > target->high;
        l->is_reached[t] |= least <= target->high && most >= target->low;
    }
}

static void look_at_point(recommend_work *r, size_t point, limits *l) {
    recommend_exact_columns(r, point, l->symbols, &l->numbers, l->values.own);
    if (r->history == NULL) {
        widen_maxima(r, l);
        mark_reached(r, l);
    }
    for (size_t lane = 0; r->history != NULL && lane < r->work.solution->layout.lane_count; lane++) {
        recommend_history_exact(r, lane, 1.0, &l->numbers, l->values.past);
        widen_maxima(r, l);
        mark_reached(r, l);
    }
}

/*
 * What the typical patient has: the unit of a column's response. Troughs of long intervals are small beside the numbers
 * that they are sums of, whose noise they have all the same; in released responses the unit is the average
 * concentration where that is more: no clinician wants a trough to more digits than that.
 */
static void choose_norms(recommend_work *r, limits *l) {
    for (size_t c = 0; c < r->metric_count * r->shapes; c++) {
        regimen_functional average = r->column[c].f;
        const ddt_metric_kind kind = average.kind;
        double norm = l->values.own[c];
        if (r->options->metrics_only && (kind == DDT_METRIC_TROUGH || kind == DDT_METRIC_TIME_ABOVE)) {
            average.kind = DDT_METRIC_AVERAGE;
            norm = fmax(norm, regimen_exact_value(r->exact, &average, l->numbers.a, l->numbers.gain, r->dosed,
                                                  l->numbers.f[r->dosed_compartment]));
        }
        r->column[c].norm = norm;
    }
}

/* Of the point at hand; earlier doses' are at most the sum of what their inputs are scaled by. */
static void widen_responses(recommend_work *r, const limits *l) {
    for (size_t c = 0; c < r->metric_count * r->shapes; c++) {
        const double past = recommend_history_scale(r, c / r->shapes, c % r->shapes);
        const double norm = r->column[c].norm;
        r->response_max = fmax(r->response_max, norm > 0.0 ? fabs(l->values.own[c]) / norm : 0.0);
        r->response_max = fmax(r->response_max, past > 0.0 ? fabs(l->values.past[c]) / past : 0.0);
    }
}

static void look_at_patient(recommend_work *r, size_t patient, limits *l) {
    recommend_load(r, patient, l->symbols);
    for (size_t p = 0; p < r->points; p++) {
        look_at_point(r, p, l);
        if (patient == 0 && p == 0) {
            choose_norms(r, l);
        }
        if (patient < r->likely_count) {
            widen_responses(r, l);
        }
    }
}

ddt_status recommend_limits(recommend_work *r) {
    const double margin = 1.15;
    double most = 0.0;
    solve_work *work = &r->work;
    size_t targets = r->options->targets.count;
    limits l = {.symbols = solve_alloc(work, work->symbol_count, sizeof *l.symbols)};
    r->metric_max = solve_alloc(work, r->figure_count, sizeof *r->metric_max);
    if (l.symbols == NULL || r->metric_max == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(create_values(r, 1, &l.values));
    SOLVE_TRY(solve_numbers_create(work, &l.numbers));
    for (size_t s = 0; s < r->patient_count; s++) {
        look_at_patient(r, s, &l);
    }
    for (size_t t = 0; t < r->figure_count; t++) {
        r->metric_max[t] = margin * (r->metric_max[t] + l.past_max[t]);
        most = t < targets ? fmax(most, r->metric_max[t]) : most;
    }
    for (size_t t = targets; t < r->figure_count; t++) { /* they meet the targets' polynomials, too */
        r->metrics[t].unit = r->metric_max[t] > 0.0 ? r->metric_max[t] / most : 1.0;
        r->metric_max[t] = most;
    }
    for (size_t t = 0; t < targets; t++) {
        if (!l.is_reached[t]) {
            return ddt_fail(work->ctx, DDT_ERR_RANGE,
                            "The target %s is out of reach: %s doses give %s in every patient of the model's "
                            "population.",
                            r->options->targets.items[t].name, l.is_above[t] ? "the smallest" : "the largest",
                            l.is_above[t] ? "more" : "less");
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ the circuit's errors */

typedef struct trial {
    recommend_work *r;
    double **inputs, **outputs;
    size_t *sample;       /* per lane */
    column_values values; /* points x columns */
    double *symbols;
    solve_numbers numbers;
} trial;

static ddt_status create_trial(recommend_work *r, trial *t) {
    solve_work *work = &r->work;
    *t = (trial){.r = r};
    SOLVE_TRY(solve_vectors_create(work, solve_vector_count(&work->solution->layout), &t->inputs));
    SOLVE_TRY(solve_vectors_create(work, work->solution->layout.output_count, &t->outputs));
    t->sample = solve_alloc(work, work->solution->layout.lane_count, sizeof *t->sample);
    SOLVE_TRY(create_values(r, r->points, &t->values));
    t->symbols = solve_alloc(work, work->symbol_count, sizeof *t->symbols);
    SOLVE_TRY(solve_numbers_create(work, &t->numbers));
    return t->sample == NULL || t->symbols == NULL ? DDT_ERR_MEMORY : DDT_OK;
}

static void fill_lane(trial *t, size_t lane, size_t sample) {
    t->sample[lane] = sample;
    recommend_fill_lane(t->r, lane, sample, t->inputs);
}

/* A candidate's figures at all points, exactly. */
static void exact_figures(const trial *t, size_t shape, size_t dose_index, double *figures) {
    const recommend_work *r = t->r;
    const double dose = recommend_dose(&r->options->product, dose_index);
    for (size_t z = 0; z < r->points; z++) {
        const column_values values = values_at(r, &t->values, z);
        for (size_t k = 0; k < r->figure_count; k++) {
            figures[z * r->figure_count + k] = metric_of(r, k, shape, dose, &values);
        }
    }
}

static double at_least(double error, double worst) { return error <= worst ? worst : error; /* NaN stays */ }

/* The size below which a figure needs no relative accuracy. */
static double least_of(const recommend_work *r, size_t k) {
    const double part = 0.025; /* of the largest */
    double most = r->metric_max[k];
    for (size_t t = 0; k < r->options->targets.count && t < r->options->targets.count; t++) {
        most = fmax(most, r->metric_max[t]);
    }
    return part * (r->metrics[k].count > 1 ? 1.0 : most * r->metrics[k].unit);
}

/* Both rows of a candidate: what the circuit tells and what is true. */
static void compare_rows(trial *t, bool is_likely, const double *row, const double *exact) {
    const double time_part = 0.1; /* parts of an interval are counted in percents */
    recommend_work *r = t->r;
    double *metric_error = is_likely ? &r->metric_error : &r->corner_error;
    const size_t targets = r->options->targets.count;
    const size_t first_report = targets + 2 + (targets > 1 ? targets : 0);
    for (size_t k = 0; k < r->figure_count; k++) {
        const size_t at = k < targets ? k : first_report + k - targets;
        double error = fabs(row[at] - exact[at]) / fmax(fabs(exact[at]), least_of(r, k));
        error *= r->metrics[k].count > 1 ? time_part : 1.0;
        *metric_error = at_least(error, *metric_error);
    }
    if (is_likely) {
        r->cost_error = at_least(fabs(row[targets] - exact[targets]), r->cost_error);
        r->p_error = at_least(fabs(row[targets + 1] - exact[targets + 1]), r->p_error);
    }
}

static void compare_lane(trial *t, size_t lane) {
    recommend_work *r = t->r;
    const struct solve_units *units = r->work.solution->units;
    const solve_layout *layout = &r->work.solution->layout;
    const ddt_recommend_product *product = &r->options->product;
    const bool is_likely = t->sample[lane] / r->patient_stride < r->likely_count;
    const double *outputs[UNITS_OUTPUTS_MAX];
    double figures[UNITS_POINTS_MAX * RECOMMEND_FIGURES_MAX];
    double row[UNITS_OUTPUTS_MAX];
    double exact[UNITS_OUTPUTS_MAX];
    for (size_t o = 0; o < layout->output_count; o++) {
        outputs[o] = t->outputs[o] + lane * r->block;
    }
    recommend_load(r, t->sample[lane] / r->patient_stride, t->symbols);
    for (size_t z = 0; z < r->points; z++) {
        column_values values = values_at(r, &t->values, z);
        recommend_exact_columns(r, z, t->symbols, &t->numbers, values.own);
        if (r->history != NULL) {
            recommend_history_exact(r, lane, recommend_history_part(t->sample[lane]), &t->numbers, values.past);
        }
    }
    for (size_t c = 0; c < units->candidate_count; c++) {
        size_t shape = 0;
        size_t dose = 0;
        (void)recommend_locate(product, c, &shape, &dose);
        exact_figures(t, shape, dose, figures);
        recommend_table_row(&units->targets, &units->reports, r->points, figures, exact);
        exact[units->targets.count] += units->dose_weight * recommend_relative_daily(product, c);
        recommend_units_row(units, layout, c, outputs, row);
        compare_rows(t, is_likely, row, exact);
    }
}

/* Corners of all ranges at once, 2 deviations in every eta, do not occur: nothing may go wild there, that is all. */
bool recommend_is_accurate(const recommend_work *r) {
    const double corner_allowance = 1.0;
    return r->metric_error <= r->work.options.tolerance && r->corner_error <= corner_allowance;
}

ddt_status recommend_calibrate(recommend_work *r) {
    enum { ROUNDS_MIN = 2 };
    solve_work *work = &r->work;
    size_t lanes = work->solution->layout.lane_count;
    size_t rounds = (r->patient_count + lanes - 1) / lanes;
    rounds = rounds < ROUNDS_MIN ? ROUNDS_MIN : rounds;
    trial t;
    SOLVE_TRY(create_trial(r, &t));
    r->metric_error = r->cost_error = r->p_error = r->corner_error = 0.0;
    for (size_t k = 0; k < rounds; k++) {
        uint64_t violations = 0;
        for (size_t l = 0; l < lanes; l++) {
            fill_lane(&t, l, (k * lanes + l) % r->patient_count * r->patient_stride);
        }
        SOLVE_TRY(ddt_circuit_calibrate(work->ctx, work->circuit, (const double *const *)t.inputs, &violations));
        if (violations > 0) {
            r->metric_error = INFINITY; /* an approximation that is too loose: the next attempt is tighter */
            return DDT_OK;
        }
        SOLVE_TRY(ddt_circuit_run_clear(work->ctx, work->circuit, (const double *const *)t.inputs, false, t.outputs));
        for (size_t l = 0; l < lanes; l++) {
            compare_lane(&t, l);
        }
        if (!recommend_is_accurate(r)) {
            return DDT_OK; /* the next attempt is tighter */
        }
        SOLVE_TRY(ddt_progress(work->ctx, "solve", k + 1, rounds));
    }
    return DDT_OK;
}
