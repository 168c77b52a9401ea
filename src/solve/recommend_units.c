/*
 * The table of a recommendation from unit responses.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_units.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ bands */

/*
 * A dozen or two points hardly have a 5th percentile of their own; they have a mean and a variance. Concentrations,
 * areas and effects are lognormal to good accuracy where parameters are; parts of a time, and values of which some are
 * not positive, are taken as normal and cut where they cannot be.
 */
void recommend_bands_of(const double *values, size_t count, bool is_part, double out[RECOMMEND_BANDS]) {
    static const double deviates[RECOMMEND_BANDS] = {-1.6448536269514722, 0.0, 1.6448536269514722};
    double mean = 0.0;
    double square = 0.0;
    bool is_log = !is_part;
    for (size_t i = 0; i < count; i++) {
        is_log = is_log && values[i] > 0.0;
    }
    for (size_t i = 0; i < count; i++) {
        const double x = is_log ? log(values[i]) : values[i];
        mean += x / (double)count;
        square += x * x / (double)count;
    }
    const double deviation = sqrt(fmax(0.0, square - mean * mean));
    for (size_t b = 0; b < RECOMMEND_BANDS; b++) {
        const double x = mean + deviates[b] * deviation;
        out[b] = is_log ? exp(x) : is_part ? fmin(fmax(x, 0.0), 1.0) : fmax(x, 0.0);
    }
}

/* ------------------------------------------------------------------ columns and rows of the table */

static const ddt_recommend_target *figure_of(const ddt_recommend_targets *targets, const ddt_recommend_targets *reports,
                                             size_t k) {
    return k < targets->count ? &targets->items[k] : &reports->items[k - targets->count];
}

static void add_name(recommend_table *table, const char *before, const char *name, const char *behind) {
    (void)snprintf(table->names[table->output_count++], UNITS_NAME_BYTES, "%s%s%s", before, name, behind);
}

void recommend_table_create(const ddt_recommend_targets *targets, const ddt_recommend_targets *reports, size_t points,
                            recommend_table *out) {
    static const char *const behind[RECOMMEND_BANDS] = {".p05", ".p50", ".p95"};
    out->output_count = 0;
    for (size_t t = 0; t < targets->count; t++) {
        add_name(out, "", targets->items[t].name, "");
    }
    add_name(out, "cost", "", "");
    add_name(out, "p_target", "", "");
    for (size_t t = 0; t < targets->count && targets->count > 1; t++) {
        add_name(out, "cost(", targets->items[t].name, ")");
    }
    for (size_t t = 0; t < reports->count; t++) {
        add_name(out, "", reports->items[t].name, "");
    }
    for (size_t k = 0; k < targets->count + reports->count && points > 1; k++) {
        for (size_t b = 0; b < RECOMMEND_BANDS; b++) {
            add_name(out, "", figure_of(targets, reports, k)->name, behind[b]);
        }
    }
}

/* The first column of what is told beside the targets: theirs, cost and p_target, and of several the cost of each stand
 * before it. */
static size_t first_report_column(const ddt_recommend_targets *targets) {
    return targets->count + 2 + (targets->count > 1 ? targets->count : 0);
}

static void add_costs(const ddt_recommend_targets *targets, double share, const double *figures, double *row) {
    const size_t count = targets->count;
    double attained = 1.0;
    for (size_t t = 0; t < count; t++) {
        const ddt_recommend_target *target = &targets->items[t];
        const double cost = share * ddt_recommend_target_cost(target, figures[t]);
        attained *= ddt_recommend_attained(target, figures[t]);
        row[count] += target->weight * cost;
        row[count + 2 + t] += count > 1 ? cost : 0.0;
    }
    row[count + 1] += share * attained;
}

void recommend_table_row(const ddt_recommend_targets *targets, const ddt_recommend_targets *reports, size_t points,
                         const double *figures, double *row) {
    const size_t count = targets->count + reports->count;
    const size_t first_report = first_report_column(targets);
    double values[UNITS_POINTS_MAX] = {0};
    memset(row + targets->count, 0, (first_report - targets->count) * sizeof *row);
    for (size_t p = 0; p < points; p++) {
        add_costs(targets, 1.0 / (double)points, figures + p * count, row);
    }
    for (size_t k = 0; k < count; k++) {
        row[k < targets->count ? k : first_report + k - targets->count] = figures[k];
        for (size_t p = 0; p < points && points > 1; p++) {
            values[p] = figures[p * count + k];
        }
        if (points > 1) {
            const ddt_metric_kind kind = figure_of(targets, reports, k)->kind;
            recommend_bands_of(values, points, kind == DDT_METRIC_TIME_ABOVE || kind == DDT_METRIC_SHARE,
                               row + first_report + reports->count + k * RECOMMEND_BANDS);
        }
    }
}

double recommend_relative_daily(const ddt_recommend_product *product, size_t candidate) {
    double largest = 0.0;
    const ddt_recommend_candidate own = ddt_recommend_candidate_at(product, candidate);
    for (size_t i = 0; i < ddt_recommend_candidate_count(product); i++) {
        const ddt_recommend_candidate c = ddt_recommend_candidate_at(product, i);
        largest = fmax(largest, c.dose / c.interval_h);
    }
    return own.dose / own.interval_h / largest;
}

/* ------------------------------------------------------------------ from responses */

size_t recommend_figure_columns(const ddt_recommend_target *figure) {
    return figure->kind == DDT_METRIC_TIME_ABOVE ? RECOMMEND_GRID : 1;
}

ddt_status recommend_units_prepare(ddt_context *ctx, struct solve_units *units) {
    units->shapes = recommend_shape_count(&units->product);
    units->candidate_count = ddt_recommend_candidate_count(&units->product);
    units->column_count = 0;
    for (size_t k = 0; k < units->targets.count + units->reports.count; k++) {
        units->column_count += recommend_figure_columns(figure_of(&units->targets, &units->reports, k));
    }
    recommend_table_create(&units->targets, &units->reports, units->points, &units->table);
    units->own = ddt_calloc(units->column_count * units->shapes, sizeof *units->own);
    units->past = ddt_calloc(units->column_count * units->shapes, sizeof *units->past);
    SOLVE_TRY(ddt_recommend_product_text(ctx, &units->product, &units->product_text));
    return units->own == NULL || units->past == NULL ? solve_no_memory(ctx) : DDT_OK;
}

void recommend_units_destroy(struct solve_units *units) {
    if (units != NULL) {
        ddt_free(units->own);
        ddt_free(units->past);
        ddt_free(units->product_text);
        ddt_free(units);
    }
}

static size_t slot_of(const struct solve_units *units, size_t point, size_t row, size_t column, size_t shape) {
    return (point * units->row_slots + row) * units->columns + column * units->shape_slots + shape;
}

/* The area of a day at steady state is dose x 24 / (interval x clearance) for every shape: the same unit response. */
static bool is_alike(const struct solve_units *units, const ddt_recommend_target *figure) {
    return figure->kind == DDT_METRIC_AUC24 && figure->is_steady && !units->has_costs;
}

/* Where a candidate is: the index of its dose, which may be a row, and the dose. */
typedef struct unit_place {
    size_t shape, row;
    double dose;
} unit_place;

/* The mean of what all shapes have at a point: less rounded than each. */
static double mean_response(const struct solve_units *units, size_t point, size_t column, const double *response) {
    double sum = 0.0;
    for (size_t s = 0; s < units->shapes; s++) {
        sum += response[slot_of(units, point, 0, column, s)] / (double)units->shapes;
    }
    return sum;
}

/* One column of a regimen at a point; response: of the lane, in its own unit. */
static double column_value(const struct solve_units *units, size_t point, size_t column, const unit_place *at,
                           bool alike, const double *response) {
    const size_t factor = column * units->shapes + at->shape;
    if (units->has_costs) {
        return units->own[factor] * response[slot_of(units, point, at->row, column, at->shape)];
    }
    const double own =
        alike ? mean_response(units, point, column, response) : response[slot_of(units, point, 0, column, at->shape)];
    double value = at->dose * units->own[factor] * own;
    if (units->has_past) {
        value += units->past[factor] * response[slot_of(units, point, 0, units->column_count + column, at->shape)];
    }
    return value;
}

static double figure_value(const struct solve_units *units, const ddt_recommend_target *figure, size_t point,
                           size_t first, const unit_place *at, double scale, const double *response) {
    const size_t columns = recommend_figure_columns(figure);
    const ddt_recommend_target limit = {.low = figure->mic, .high = INFINITY};
    double part = 0.0;
    if (columns == 1) {
        return scale * column_value(units, point, first, at, is_alike(units, figure), response);
    }
    for (size_t g = 0; g < columns; g++) {
        const double level = scale * column_value(units, point, first + g, at, false, response);
        part += ddt_recommend_attained(&limit, level) / (double)columns;
    }
    return part;
}

/* The columns that the circuit has worked out under encryption. */
static void read_costs(const struct solve_units *units, const solve_layout *layout, size_t slot,
                       const double *const *outputs, double *row) {
    for (size_t o = 1; o < layout->output_count; o++) {
        row[units->targets.count + o - 1] = outputs[o][slot] * layout->outputs[o].scale;
    }
}

void recommend_units_row(const struct solve_units *units, const solve_layout *layout, size_t candidate,
                         const double *const *outputs, double *row) {
    const size_t count = units->targets.count + units->reports.count;
    double figures[UNITS_POINTS_MAX * RECOMMEND_FIGURES_MAX] = {0};
    unit_place at = {0};
    (void)recommend_locate(&units->product, candidate, &at.shape, &at.row);
    at.dose = recommend_dose(&units->product, at.row);
    for (size_t p = 0; p < units->points; p++) {
        size_t first = 0;
        for (size_t k = 0; k < count; k++) {
            const ddt_recommend_target *figure = figure_of(&units->targets, &units->reports, k);
            figures[p * count + k] = figure_value(units, figure, p, first, &at, layout->outputs[0].scale, outputs[0]);
            first += recommend_figure_columns(figure);
        }
    }
    recommend_table_row(&units->targets, &units->reports, units->points, figures, row);
    if (units->has_costs) {
        read_costs(units, layout, at.row * units->columns + at.shape, outputs, row);
    } else if (units->dose_weight > 0.0) {
        row[units->targets.count] += units->dose_weight * recommend_relative_daily(&units->product, candidate);
    }
}

void recommend_units_collect(const ddt_solution *solution, const double *const *outputs, double *const *values) {
    const struct solve_units *units = solution->units;
    const solve_layout *layout = &solution->layout;
    const size_t block = units->points * units->row_slots * units->columns;
    const double *of_lane[UNITS_OUTPUTS_MAX] = {0};
    for (size_t s = 0; s < layout->subject_count; s++) {
        of_lane[0] = outputs[0] + s * block; /* the responses, which there always are */
        for (size_t o = 1; o < layout->output_count; o++) {
            of_lane[o] = outputs[o] + s * block;
        }
        for (size_t c = 0; c < units->candidate_count; c++) {
            recommend_units_row(units, layout, c, of_lane, values[s] + c * units->table.output_count);
        }
    }
}

void recommend_units_places(const ddt_solution *solution, size_t subject, double *const *scales) {
    const struct solve_units *units = solution->units;
    const solve_layout *layout = &solution->layout;
    const size_t first = subject * units->points * units->row_slots * units->columns;
    const size_t columns = (units->has_past ? 2 : 1) * units->column_count;
    for (size_t k = 0; k < units->candidate_count; k++) {
        size_t shape = 0;
        size_t row = 0;
        (void)recommend_locate(&units->product, k, &shape, &row);
        row = units->has_costs ? row : 0;
        for (size_t i = 0; i < units->points * columns; i++) {
            scales[0][first + slot_of(units, i / columns, row, i % columns, shape)] = layout->outputs[0].scale;
        }
        for (size_t o = 1; o < layout->output_count; o++) {
            scales[o][first + row * units->columns + shape] = layout->outputs[o].scale;
        }
    }
}

size_t recommend_units_output_count(const struct solve_units *units) { return units->table.output_count; }

const char *recommend_units_output(const struct solve_units *units, size_t output) {
    return output < units->table.output_count ? units->table.names[output] : "";
}

size_t ddt_recommend_points(const ddt_solution *solution, bool *is_posterior) {
    const bool own = solution->layout.posterior != NULL || recommend_curves_posterior(solution->curves);
    if (is_posterior != NULL) {
        *is_posterior = own;
    }
    return solution->units != NULL ? solution->units->points : recommend_curves_points(solution->curves);
}

bool ddt_recommend_get_responses(const ddt_solution *solution, ddt_recommend_responses *out) {
    const struct solve_units *units = solution->units;
    if (units == NULL || units->has_costs) {
        return false;
    }
    *out = (ddt_recommend_responses){.count = units->points * (units->has_past ? 2 : 1) * units->column_count *
                                              units->shapes,
                                     .largest = units->largest,
                                     .scale = solution->layout.outputs[0].scale};
    return true;
}

/* The figure that a column of the table tells, or whose percentile; the number of figures where it is none. */
static size_t figure_of_column(const struct solve_units *units, size_t output) {
    const size_t targets = units->targets.count;
    const size_t count = targets + units->reports.count;
    const size_t first_report = first_report_column(&units->targets);
    const size_t first_band = first_report + units->reports.count;
    if (output < targets) {
        return output;
    }
    if (output < first_report) {
        return count;
    }
    return output < first_band ? output - first_report + targets : (output - first_band) / RECOMMEND_BANDS;
}

double ddt_recommend_response_step(const ddt_solution *solution, size_t candidate, size_t output, double step) {
    const struct solve_units *units = solution->units;
    size_t shape = 0;
    size_t dose = 0;
    size_t column = 0;
    if (units == NULL || units->has_costs || output >= units->table.output_count ||
        candidate >= units->candidate_count) {
        return 0.0;
    }
    const size_t k = figure_of_column(units, output);
    if (k == units->targets.count + units->reports.count ||
        recommend_figure_columns(figure_of(&units->targets, &units->reports, k)) > 1) {
        return 0.0;
    }
    for (size_t i = 0; i < k; i++) {
        column += recommend_figure_columns(figure_of(&units->targets, &units->reports, i));
    }
    (void)recommend_locate(&units->product, candidate, &shape, &dose);
    const size_t factor = column * units->shapes + shape;
    step /= is_alike(units, figure_of(&units->targets, &units->reports, k)) ? sqrt((double)units->shapes) : 1.0;
    return step * (recommend_dose(&units->product, dose) * fabs(units->own[factor]) + fabs(units->past[factor]));
}
