/*
 * Doses given before the regimen begins, at the time of the subject's last record. A target at @HOURS sees what is left
 * of them: a metric's functional of a dose of that age, with the dose's own infusion time. Like a regimen's, it is a
 * sum of exponentials at public times; its weights times the amounts, added up over the doses by the custodian, are an
 * encrypted input that takes the place of the public weights in columns of their own. Behind the sum over rows one
 * rotation adds what is left to the new regimen's metric.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_internal.h"

#include <string.h>

typedef struct past_dose {
    uint32_t record;
    double age_h, duration_h, repeat_h;
    double amount; /* the template's */
} past_dose;

typedef struct lane_past {
    past_dose *doses;
    size_t count;
} lane_past;

typedef struct recommend_history {
    lane_past *lanes;
    size_t lane_count;
    double amount_high; /* largest amount that may be */
    size_t shapes;      /* 1: columns of all shapes are alike */
    regimen_sum *sums;  /* lane x metric x shape: their times */
    double *scales;     /* metric x shape: largest value of the input, over lanes */
} history;

/* ------------------------------------------------------------------ doses */

static ddt_status refuse_dose(recommend_work *r, size_t subject, const ddt_dose *dose, const char *what) {
    const ddt_subject *s = &r->work.events->subjects[subject];
    return ddt_fail(r->work.ctx, DDT_ERR_UNSUPPORTED, "'%s', line %u: %s, which targets at given hours cannot count.",
                    r->work.events->path, s->records[dose->record].line, what);
}

static ddt_status take_dose(recommend_work *r, size_t subject, const ddt_dose *dose, double start_h, past_dose *out) {
    double lag_h = r->work.linear.lag_h[r->dosed_compartment];
    if (dose->compartment != r->dosed_compartment) {
        return refuse_dose(r, subject, dose, "this earlier dose went elsewhere than the new ones will");
    }
    if (dose->rate < 0.0 || (dose->amount == 0.0 && dose->rate > 0.0)) {
        return refuse_dose(r, subject, dose, "this earlier dose has a modelled rate or duration, or no end");
    }
    *out = (past_dose){.record = (uint32_t)dose->record,
                       .age_h = start_h - dose->time_h,
                       .duration_h = dose->duration_h,
                       .repeat_h = dose->steady_state != 0 ? dose->interval_h : 0.0,
                       .amount = dose->amount};
    return dose->steady_state != 0 && out->duration_h + lag_h > out->repeat_h
               ? refuse_dose(r, subject, dose, "this infusion at steady state is longer than its interval")
               : DDT_OK;
}

/* Doses of the last epoch before the regimen begins count, from the last steady state (SS 1) on. */
static double first_that_counts_h(const ddt_schedule *schedule, double start_h) {
    double first_h = -INFINITY;
    for (size_t d = 0; d < schedule->dose_count; d++) {
        const ddt_dose *dose = &schedule->doses[d];
        bool resets = dose->steady_state == 1 && dose->epoch + 1 == schedule->epoch_count && dose->time_h < start_h;
        first_h = resets ? fmax(first_h, dose->time_h) : first_h;
    }
    return first_h;
}

static bool counts(const ddt_schedule *schedule, const ddt_dose *dose, double first_h, double start_h) {
    const double same_time_h = 1e-9;
    return dose->epoch + 1 == schedule->epoch_count && dose->time_h >= first_h && dose->time_h < start_h - same_time_h;
}

static double start_of(const ddt_subject *subject) {
    return subject->record_count > 0 ? subject->records[subject->record_count - 1].time_h : 0.0;
}

static ddt_status find_lane(recommend_work *r, size_t subject, lane_past *out) {
    const ddt_schedule *schedule = &r->work.schedules[subject];
    double start_h = start_of(&r->work.events->subjects[subject]);
    double first_h = first_that_counts_h(schedule, start_h);
    out->doses = solve_alloc(&r->work, schedule->dose_count + 1, sizeof *out->doses);
    if (out->doses == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t d = 0; d < schedule->dose_count; d++) {
        const ddt_dose *dose = &schedule->doses[d];
        bool is_taken = counts(schedule, dose, first_h, start_h);
        SOLVE_TRY(is_taken ? take_dose(r, subject, dose, start_h, &out->doses[out->count++]) : DDT_OK);
    }
    return DDT_OK;
}

static bool sees_the_past(const recommend_work *r) {
    bool sees = false;
    for (size_t t = 0; t < r->options->targets.count; t++) {
        sees = sees || !r->options->targets.items[t].is_steady;
    }
    for (size_t t = 0; t < r->reports.count; t++) {
        sees = sees || !r->reports.items[t].is_steady;
    }
    return sees && r->course == NULL;
}

ddt_status recommend_history_find(recommend_work *r) {
    size_t subjects = r->work.events->subject_count;
    size_t doses = 0;
    if (!sees_the_past(r)) {
        return DDT_OK;
    }
    history *h = solve_alloc(&r->work, 1, sizeof *h);
    lane_past *lanes = solve_alloc(&r->work, subjects, sizeof *lanes);
    if (h == NULL || lanes == NULL) {
        return DDT_ERR_MEMORY;
    }
    *h = (history){.lanes = lanes, .lane_count = subjects};
    for (size_t s = 0; s < subjects; s++) {
        SOLVE_TRY(find_lane(r, s, &lanes[s]));
        doses += lanes[s].count;
        for (size_t d = 0; d < lanes[s].count; d++) {
            h->amount_high = fmax(h->amount_high, lanes[s].doses[d].amount);
        }
    }
    h->amount_high = solve_amount_high(h->amount_high);
    size_t records = 1;
    for (size_t s = 0; s < subjects; s++) {
        size_t own = r->work.events->subjects[s].record_count;
        records = own > records ? own : records;
    }
    r->record_amounts = solve_alloc(&r->work, records, sizeof *r->record_amounts);
    if (doses > 0 && r->options->product.per[0] != '\0') {
        return ddt_fail(r->work.ctx, DDT_ERR_UNSUPPORTED,
                        "Targets at given hours do not see earlier doses where new ones are per %s: leave one of them "
                        "out.",
                        r->options->product.per);
    }
    r->history = doses > 0 ? h : NULL;
    return r->record_amounts == NULL ? DDT_ERR_MEMORY : DDT_OK;
}

/* ------------------------------------------------------------------ functionals */

/* One earlier dose's part of what a column measures of a new regimen. */
static regimen_functional functional_of(const regimen_functional *column, const past_dose *dose) {
    const double never_h = 1e9;
    const double day_h = column->day;
    double begin_h = column->at_h - column->interval_h;
    regimen_functional f = {.kind = DDT_METRIC_TROUGH,
                            .interval_h = never_h,
                            .infusion_h = dose->duration_h,
                            .loading = 1.0,
                            .lag_h = column->lag_h,
                            .at_h = column->at_h};
    switch (column->kind) {
    case DDT_METRIC_AUC24:
        f.kind = DDT_METRIC_AUC_WINDOW;
        f.from_h = column->at_h - day_h;
        f.to_h = column->at_h;
        break;
    case DDT_METRIC_AUC_WINDOW:
        f.kind = DDT_METRIC_AUC_WINDOW;
        f.from_h = column->from_h;
        f.to_h = column->to_h;
        break;
    case DDT_METRIC_AVERAGE:
        f.kind = DDT_METRIC_AUC_WINDOW;
        f.from_h = begin_h;
        f.to_h = column->at_h;
        break;
    case DDT_METRIC_PEAK:
        f.at_h = begin_h + column->lag_h + column->infusion_h;
        break;
    case DDT_METRIC_TIME_ABOVE:
        f.at_h = begin_h + column->time_h;
        break;
    default:
        break;
    }
    f = regimen_earlier(&f, dose->age_h);
    f.repeat_h = dose->repeat_h;
    return f;
}

/* An average's area is divided by its interval. */
static double divisor_of(const regimen_functional *column) {
    return column->kind == DDT_METRIC_AVERAGE ? column->interval_h : 1.0;
}

static bool is_shape_alike(const recommend_work *r) {
    bool alike = true;
    for (size_t t = 0; t < r->figure_count; t++) {
        const ddt_recommend_target *target = r->metrics[t].target;
        bool is_alike = target->is_steady || target->kind == DDT_METRIC_AUC24 ||
                        target->kind == DDT_METRIC_AUC_WINDOW || target->kind == DDT_METRIC_TROUGH;
        alike = alike && is_alike;
    }
    return alike;
}

/* ------------------------------------------------------------------ sums */

static size_t column_index(const recommend_work *r, size_t metric, size_t shape) {
    size_t shapes = r->history->shapes;
    return metric * shapes + (shape < shapes ? shape : 0);
}

static regimen_sum *sum_of(const recommend_work *r, size_t lane, size_t metric, size_t shape) {
    return &r->history->sums[lane * r->metric_count * r->history->shapes + column_index(r, metric, shape)];
}

typedef struct column_fit {
    recommend_work *r;
    regimen_functional *doses;
    double *amounts, *weights; /* weights: dose x row */
    solve_history *table;
} column_fit;

/* Adds up the weights of doses of one record. */
static void keep_weights(const column_fit *c, size_t lane, size_t metric, size_t shape, double divisor) {
    const lane_past *past = &c->r->history->lanes[lane];
    solve_history_lane *to = &c->table->lanes[lane];
    const solve_history *h = c->table;
    for (size_t d = 0; d < past->count; d++) {
        size_t i = 0;
        while (to->records[i] != past->doses[d].record) {
            i++;
        }
        double *weights = to->weights + ((i * h->metrics + metric) * h->shapes + shape) * h->rows;
        for (size_t row = 0; row < h->rows; row++) {
            weights[row] += c->weights[d * h->rows + row] / divisor;
        }
    }
}

static ddt_status fit_column(const column_fit *c, size_t lane, size_t metric, size_t shape) {
    const double tolerance = 0.4 * c->r->work.options.tolerance;
    const double bad = 4.0 * c->r->work.options.tolerance;
    recommend_work *r = c->r;
    const lane_past *past = &r->history->lanes[lane];
    const recommend_column *column = &r->column[metric * r->shapes + shape];
    regimen_sum *sum = sum_of(r, lane, metric, shape);
    if (column->f.is_steady || past->count == 0) {
        *sum = (regimen_sum){.count = 1};
        return DDT_OK;
    }
    for (size_t d = 0; d < past->count; d++) {
        c->doses[d] = functional_of(&column->f, &past->doses[d]);
        c->amounts[d] = past->doses[d].amount;
    }
    double dose = recommend_dose(&r->options->product, r->doses / 2);
    double divisor = divisor_of(&column->f);
    regimen_past all = {past->count, c->doses, c->amounts, &column->f, dose * divisor};
    SOLVE_TRY(
        regimen_fit_past(r->work.ctx, &all, r->rate_low, r->rate_high, c->table->rows, tolerance, sum, c->weights));
    if (!(sum->error <= bad)) {
        return ddt_fail(r->work.ctx, DDT_ERR_UNSUPPORTED,
                        "Rates from %g to %g per time unit are too far apart for what is left of earlier doses.",
                        r->rate_low, r->rate_high);
    }
    keep_weights(c, lane, metric, shape, divisor);
    return DDT_OK;
}

/* One entry for each record. */
static ddt_status create_lane(recommend_work *r, size_t lane, const solve_history *h, solve_history_lane *out) {
    const lane_past *past = &r->history->lanes[lane];
    size_t per_record = h->metrics * h->shapes * h->rows;
    out->records = ddt_calloc(past->count + 1, sizeof *out->records);
    if (out->records == NULL) {
        return solve_no_memory(r->work.ctx);
    }
    for (size_t d = 0; d < past->count; d++) {
        size_t i = 0;
        while (i < out->record_count && out->records[i] != past->doses[d].record) {
            i++;
        }
        out->records[i] = past->doses[d].record;
        out->record_count += i == out->record_count;
    }
    out->weights = ddt_calloc(out->record_count * per_record + 1, sizeof *out->weights);
    return out->weights == NULL ? solve_no_memory(r->work.ctx) : DDT_OK;
}

static ddt_status create_table(recommend_work *r) {
    solve_history *h = ddt_calloc(1, sizeof *h);
    if (h == NULL) {
        return solve_no_memory(r->work.ctx);
    }
    r->work.solution->layout.history = h;
    *h = (solve_history){.points = r->points,
                         .row_slots = r->row_slots,
                         .metric_slots = r->metric_slots,
                         .shape_slots = r->shape_slots,
                         .rows = RECOMMEND_ROWS_MAX / 2,
                         .first_metric = r->metric_count,
                         .metrics = r->metric_count,
                         .shapes = r->history->shapes};
    h->lanes = ddt_calloc(r->history->lane_count, sizeof *h->lanes);
    if (h->lanes == NULL) {
        return solve_no_memory(r->work.ctx);
    }
    h->lane_count = r->history->lane_count;
    for (size_t l = 0; l < h->lane_count; l++) {
        SOLVE_TRY(create_lane(r, l, h, &h->lanes[l]));
    }
    return DDT_OK;
}

/* The largest value that a row of a lane's column can have. */
static double largest_value(const solve_history *h, const solve_history_lane *lane, size_t column, size_t row,
                            double amount) {
    size_t columns = h->metrics * h->shapes;
    double sum = 0.0;
    for (size_t i = 0; i < lane->record_count; i++) {
        sum += amount * fabs(lane->weights[(i * columns + column) * h->rows + row]);
    }
    return sum;
}

static void divide_column(const solve_history *h, const solve_history_lane *lane, size_t column, double scale) {
    size_t columns = h->metrics * h->shapes;
    for (size_t i = 0; i < lane->record_count; i++) {
        for (size_t row = 0; row < h->rows; row++) {
            lane->weights[(i * columns + column) * h->rows + row] /= scale;
        }
    }
}

/* Inputs of magnitude 1: each column by its own largest value, over lanes. */
static void scale_columns(recommend_work *r, const solve_history *h) {
    for (size_t c = 0; c < h->metrics * h->shapes; c++) {
        double largest = 0.0;
        for (size_t l = 0; l < h->lane_count; l++) {
            for (size_t row = 0; row < h->rows; row++) {
                largest = fmax(largest, largest_value(h, &h->lanes[l], c, row, r->history->amount_high));
            }
        }
        r->history->scales[c] = largest > 0.0 ? largest : 1.0;
        for (size_t l = 0; l < h->lane_count; l++) {
            divide_column(h, &h->lanes[l], c, r->history->scales[c]);
        }
    }
}

ddt_status recommend_history_fit(recommend_work *r) {
    solve_work *work = &r->work;
    history *h = r->history;
    column_fit c = {.r = r};
    size_t most = 1;
    h->shapes = is_shape_alike(r) || r->shapes == 0 ? 1 : r->shapes;
    for (size_t l = 0; l < h->lane_count; l++) {
        most = h->lanes[l].count > most ? h->lanes[l].count : most;
    }
    SOLVE_TRY(create_table(r));
    c.table = work->solution->layout.history;
    size_t columns = r->metric_count * h->shapes;
    h->sums = solve_alloc(work, h->lane_count * columns, sizeof *h->sums);
    h->scales = solve_alloc(work, columns, sizeof *h->scales);
    c.doses = solve_alloc(work, most, sizeof *c.doses);
    c.amounts = solve_alloc(work, most, sizeof *c.amounts);
    c.weights = solve_alloc(work, most * c.table->rows, sizeof *c.weights);
    if (h->sums == NULL || h->scales == NULL || c.doses == NULL || c.amounts == NULL || c.weights == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < h->lane_count * columns; i++) {
        SOLVE_TRY(fit_column(&c, i / columns, i % columns / h->shapes, i % h->shapes));
    }
    scale_columns(r, c.table);
    return DDT_OK;
}

/* ------------------------------------------------------------------ columns */

bool recommend_history_has(const recommend_work *r, const recommend_place *p) {
    return r->history != NULL && p->metric >= r->metric_count && p->metric < 2 * r->metric_count;
}

double recommend_history_time(const recommend_work *r, size_t lane, const recommend_place *p) {
    const regimen_sum *sum = sum_of(r, lane, p->metric - r->metric_count, p->shape);
    size_t i = p->row % (RECOMMEND_ROWS_MAX / 2);
    return i < sum->count ? sum->time_h[i] : sum->time_h[0];
}

double recommend_history_scale(const recommend_work *r, size_t metric, size_t shape) {
    return r->history == NULL ? 0.0 : r->history->scales[column_index(r, metric, shape)];
}

double recommend_history_factor(const recommend_work *r, const recommend_place *p) {
    if (!recommend_history_has(r, p)) {
        return 0.0;
    }
    return recommend_history_scale(r, p->metric - r->metric_count, p->shape) *
           r->work.solution->layout.outputs[0].scale / r->amplitude;
}

ddt_status recommend_history_add_input(recommend_work *r) {
    const double margin = 1.0 + 1e-9;
    solve_layout *layout = &r->work.solution->layout;
    solve_range *ranges = ddt_realloc(layout->ranges, layout->range_count, layout->range_count + 1, sizeof *ranges);
    layout->ranges = ranges == NULL ? layout->ranges : ranges;
    solve_input *inputs = ddt_realloc(layout->inputs, layout->input_count, layout->input_count + 1, sizeof *inputs);
    layout->inputs = inputs == NULL ? layout->inputs : inputs;
    if (ranges == NULL || inputs == NULL) {
        return solve_no_memory(r->work.ctx);
    }
    solve_input *input = &inputs[layout->input_count];
    *input = (solve_input){.name = ddt_strdup("earlier doses"),
                           .kind = SOLVE_INPUT_HISTORY,
                           .range = (uint32_t)layout->range_count,
                           .half = 1.0,
                           .bound = margin};
    layout->input_count += input->name != NULL;
    ranges[layout->range_count] = (solve_range){.name = ddt_strdup("AMT"), .high = r->history->amount_high};
    layout->range_count += ranges[layout->range_count].name != NULL;
    return input->name == NULL || layout->inputs[layout->input_count - 1].range + 1 != layout->range_count
               ? solve_no_memory(r->work.ctx)
               : DDT_OK;
}

/* ------------------------------------------------------------------ virtual patients */

double recommend_history_part(size_t sample) {
    const double least = 0.3;
    const double golden = 0.6180339887; /* spreads the parts evenly */
    double x = golden * (double)sample;
    return least + (1.0 - least) * (x - floor(x));
}

/* In parts of the template's own doses, of which the largest may be 1.25 times. */
static double amount_of(const recommend_work *r, const past_dose *dose, double part) {
    return fmin(dose->amount * solve_amount_high(1.0), r->history->amount_high) * part;
}

void recommend_history_fill(const recommend_work *r, size_t lane, double part, double *slots) {
    const solve_history *h = r->work.solution->layout.history;
    const lane_past *past = &r->history->lanes[lane];
    double *amounts = r->record_amounts;
    for (size_t d = 0; d < past->count; d++) {
        amounts[past->doses[d].record] = amount_of(r, &past->doses[d], part);
    }
    solve_history_fill(h, lane, amounts, slots);
}

void recommend_history_exact(recommend_work *r, size_t lane, double part, const solve_numbers *numbers,
                             double *values) {
    const lane_past *past = &r->history->lanes[lane];
    size_t alike = r->history->shapes == 1 ? r->shapes : 1; /* columns of one value */
    memset(values, 0, r->metric_count * r->shapes * sizeof *values);
    for (size_t c = 0; c < r->metric_count * r->shapes; c++) {
        const regimen_functional *column = &r->column[c].f;
        if (column->is_steady) {
            continue;
        }
        for (size_t d = 0; c % alike == 0 && d < past->count; d++) {
            regimen_functional f = functional_of(column, &past->doses[d]);
            values[c] += amount_of(r, &past->doses[d], part) / divisor_of(column) *
                         regimen_exact_value(r->exact, &f, numbers->a, numbers->gain, r->dosed,
                                             numbers->f[r->dosed_compartment]);
        }
        values[c] = c % alike == 0 ? values[c] : values[c - c % alike];
    }
}
