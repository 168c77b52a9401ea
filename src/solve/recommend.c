/*
 * ddt_solve_recommend from beginning to end.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_units.h"

#include <string.h>

/* ------------------------------------------------------------------ the request */

static ddt_status check_target(ddt_context *ctx, const ddt_recommend_target *target,
                               const ddt_recommend_product *product) {
    const double rounding = 1e-9;
    bool ends = !target->is_steady && (target->kind == DDT_METRIC_TROUGH || target->kind == DDT_METRIC_PEAK ||
                                       target->kind == DDT_METRIC_AVERAGE || target->kind == DDT_METRIC_TIME_ABOVE);
    for (size_t i = 0; ends && i < product->interval_count; i++) {
        double intervals = target->at_h / product->intervals_h[i];
        if (!(intervals > 1.0 - rounding) || fabs(intervals - round(intervals)) > rounding * intervals) {
            return ddt_fail(ctx, DDT_ERR_RANGE, "The target %s: %g h is not the end of a dosing interval of %g h.",
                            target->name, target->at_h, product->intervals_h[i]);
        }
    }
    if (!(target->low <= target->high) || !(target->high > 0.0) || !(target->weight > 0.0)) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "The target %s is contradictory: %g to %g, weight %g.", target->name,
                        target->low, target->high, target->weight);
    }
    return DDT_OK;
}

static ddt_status check_request(ddt_context *ctx, const ddt_recommend_options *options) {
    if (options->targets.count == 0 || options->targets.count > DDT_RECOMMEND_TARGETS_MAX) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "A recommendation wants one to %d targets, not %zu.",
                        DDT_RECOMMEND_TARGETS_MAX, options->targets.count);
    }
    SOLVE_TRY(recommend_check_product(ctx, &options->product));
    for (size_t t = 0; t < options->targets.count; t++) {
        SOLVE_TRY(check_target(ctx, &options->targets.items[t], &options->product));
    }
    if (recommend_shape_count(&options->product) > RECOMMEND_SHAPES_MAX) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "More than %d combinations of interval, infusion and loading dose.",
                        RECOMMEND_SHAPES_MAX);
    }
    return DDT_OK;
}

/* The model with the output that targets look at as its only one. */
static ddt_status choose_output(recommend_work *r, const ddt_model *model) {
    size_t o = 0;
    const char *name = r->options->output;
    while (name != NULL && o < model->output_count && strcmp(model->outputs[o].name, name) != 0) {
        o++;
    }
    if (o >= model->output_count) {
        return ddt_fail(r->work.ctx, DDT_ERR_MODEL, "'%s' has no output %s.", model->path, name == NULL ? "" : name);
    }
    r->output = model->outputs[o];
    r->whole_model = model;
    r->model = *model;
    r->model.outputs = &r->output;
    r->model.output_count = 1;
    r->work.model = &r->model;
    return DDT_OK;
}

/* ------------------------------------------------------------------ the linear system */

/* Etas that the data do not give: unknown, or 0 where only the point estimate counts. */
static ddt_status find_free_etas(recommend_work *r) {
    const ddt_model *model = r->work.model;
    for (size_t i = 0; i < model->eta_count; i++) {
        solve_symbol *symbol = &r->work.symbols[model->etas[i]];
        if (!symbol->is_encrypted || solve_column(r->work.events, model->etas[i]) != SIZE_MAX) {
            continue;
        }
        if (r->options->point_estimate) {
            symbol->is_encrypted = false;
            continue;
        }
        if (r->free_count == RECOMMEND_ETAS_MAX) {
            return ddt_fail(r->work.ctx, DDT_ERR_UNSUPPORTED, "'%s' has more than %d etas without a column.",
                            model->path, RECOMMEND_ETAS_MAX);
        }
        symbol->is_known = true;
        r->free_symbol[r->free_count] = model->etas[i];
        r->free_index[r->free_count++] = i;
    }
    return DDT_OK;
}

bool recommend_has_levels(const ddt_events *events) {
    bool found = false;
    for (size_t s = 0; s < events->subject_count; s++) {
        for (size_t i = 0; i < events->subjects[s].record_count; i++) {
            found = found || events->subjects[s].records[i].has_dv;
        }
    }
    return found;
}

/* Estimates with the levels that they come from leave a posterior, which the custodian can sum up. */
static ddt_status find_posterior(recommend_work *r) {
    solve_work *work = &r->work;
    const ddt_model *model = work->model;
    size_t count = 0;
    bool is_certain = r->options->point_estimate || r->course != NULL;
    bool is_known = !is_certain && r->free_count == 0 && recommend_has_levels(work->events);
    for (size_t o = 0; o < r->whole_model->output_count; o++) {
        is_known = is_known && r->whole_model->outputs[o].residual != DDT_RESIDUAL_NONE;
    }
    for (size_t i = 0; i < model->eta_count && is_known; i++) {
        if (work->symbols[model->etas[i]].is_encrypted) {
            is_known = count < RECOMMEND_POSTERIOR_MAX;
            r->posterior_symbol[count] = model->etas[i];
            r->free_index[count++] = i;
        }
    }
    r->has_posterior = is_known && count > 0;
    if (!r->has_posterior) {
        return DDT_OK;
    }
    solve_posterior *p = ddt_calloc(1, sizeof *p);
    if (p == NULL) {
        return solve_no_memory(work->ctx);
    }
    work->solution->layout.posterior = p;
    p->eta_count = count;
    return DDT_OK;
}

/* The largest magnitude of a column of the data. */
static double largest_of(const ddt_events *events, size_t column) {
    double largest = 0.0;
    for (size_t s = 0; s < events->subject_count; s++) {
        const ddt_subject *subject = &events->subjects[s];
        for (size_t i = 0; i < subject->record_count; i++) {
            largest = fmax(largest, fabs(subject->covariate_values[subject->records[i].covariates + column]));
        }
    }
    return largest;
}

/*
 * Estimates lie nearer to 0 than etas do, so that four deviations are too wide a range where omega is large: rates over
 * a factor of a million, which steady states under encryption would have to cover. A factor of 2.7 of the parameter, or
 * 2 deviations where that is more, or what the template itself has.
 */
static void narrow_estimates(recommend_work *r) {
    const double usual = 1.0; /* exp(1) = 2.7 */
    const double deviations = 2.0;
    const double step = 0.5; /* deviations: the template's own values are not told exactly */
    const ddt_model *model = r->work.model;
    for (size_t i = 0; i < model->eta_count; i++) {
        solve_symbol *symbol = &r->work.symbols[model->etas[i]];
        size_t column = solve_column(r->work.events, model->etas[i]);
        if (!symbol->is_encrypted || column == SIZE_MAX) {
            continue;
        }
        double own = ceil(largest_of(r->work.events, column) / (step * symbol->sd)) * step * symbol->sd;
        double reach = fmax(fmax(usual, deviations * symbol->sd), own);
        symbol->high = fmin(symbol->high, reach);
        symbol->low = -symbol->high;
    }
}

unsigned recommend_default_compartment(const ddt_model *model) {
    const ddt_product *product = ddt_model_product(model, NULL);
    if (product != NULL) {
        return product->compartment + 1;
    }
    for (unsigned c = 0; c < model->compartment_count; c++) {
        if (strcmp(model->compartments[c].name, "depot") == 0) {
            return c + 1;
        }
    }
    return 1;
}

static ddt_status find_dosing(recommend_work *r) {
    const ddt_model *model = r->work.model;
    unsigned number = r->options->product.compartment;
    number = number == 0 ? recommend_default_compartment(model) : number;
    if (number == 0 || number > model->compartment_count) {
        return ddt_fail(r->work.ctx, DDT_ERR_RANGE, "The product's compartment %u does not exist in '%s'.", number,
                        model->path);
    }
    r->dosed_compartment = number - 1;
    memset(r->work.is_dosed, 0, model->compartment_count * sizeof *r->work.is_dosed);
    r->work.is_dosed[r->dosed_compartment] = true;
    return DDT_OK;
}

/* Doses per unit of a covariate: what is given is that many times larger, as bioavailability would make it. */
static ddt_status scale_doses(recommend_work *r) {
    solve_work *work = &r->work;
    const char *name = r->options->product.per;
    if (name[0] == '\0') {
        return DDT_OK;
    }
    int64_t symbol = ddt_model_find_symbol(work->model, name);
    if (symbol < 0 || work->model->symbols[symbol].kind != DDT_SYMBOL_COVARIATE) {
        return ddt_fail(work->ctx, DDT_ERR_RANGE, "'%s' has no covariate %s that doses could be given per unit of.",
                        work->model->path, name);
    }
    if (!(work->symbols[symbol].low > 0.0)) {
        return ddt_fail(work->ctx, DDT_ERR_RANGE, "Doses per %s need a covariate that is positive.", name);
    }
    ddt_expr *f = &work->linear.bioavailability[r->dosed_compartment];
    *f = ddt_expr_binary(work->pool, DDT_EXPR_MUL, *f, ddt_expr_symbol(work->pool, (uint32_t)symbol));
    return *f == DDT_EXPR_NONE ? solve_pool_failure(work) : DDT_OK;
}

/* One dosing of unit amount, given as boluses: infusions are in the sums of exponentials. */
static ddt_status make_dosing(recommend_work *r) {
    solve_work *work = &r->work;
    work->dosings = solve_alloc(work, 1, sizeof *work->dosings);
    if (work->dosings == NULL) {
        return DDT_ERR_MEMORY;
    }
    work->dosings[0] = (solve_dosing){.compartment = r->dosed_compartment, .amount_high = 1.0, .scale = 1.0};
    work->dosing_count = 1;
    r->dosed = work->linear.state[r->dosed_compartment];
    return DDT_OK;
}

static ddt_status check_linear(recommend_work *r) {
    const solve_work *work = &r->work;
    const solve_linear *linear = &work->linear;
    const char *path = work->model->path;
    if (work->newton != NULL || !linear->outputs[0].is_linear) {
        r->wants_curves = true;
        return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s' is not linear in its compartments.", path);
    }
    if (linear->state[r->dosed_compartment] == SIZE_MAX) {
        return ddt_fail(work->ctx, DDT_ERR_RANGE, "'%s': doses into %s do not reach the output %s.", path,
                        work->model->compartments[r->dosed_compartment].name, work->model->outputs[0].name);
    }
    if (linear->has_unit || linear->has_initial || !solve_is_constant(work, linear->outputs[0].offset, 0.0)) {
        r->wants_curves = true;
        return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                        "'%s': %s has a part that does not come from doses, which targets cannot be set for.", path,
                        work->model->outputs[0].name);
    }
    if (!isfinite(linear->lag_h[r->dosed_compartment])) {
        r->wants_curves = true;
        return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                        "'%s': the lag of %s is encrypted, which recommendations do not support.", path,
                        work->model->compartments[r->dosed_compartment].name);
    }
    for (size_t t = 0; t < r->options->targets.count; t++) {
        if (r->options->targets.items[t].kind == DDT_METRIC_PEAK &&
            solve_is_constant(work, linear->outputs[0].gain[linear->state[r->dosed_compartment]], 0.0)) {
            r->wants_curves = true;
            return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                            "The target %s: after absorption the time of the peak is the patient's own; peaks are "
                            "supported for doses into the measured compartment.",
                            r->options->targets.items[t].name);
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ shape */

size_t recommend_power_of_two(size_t least) {
    size_t power = 1;
    while (power < least) {
        power *= 2;
    }
    return power;
}

static void place_metrics(recommend_work *r) {
    const size_t targets = r->options->targets.count;
    r->figure_count = targets + r->reports.count;
    r->metric_count = 0;
    for (size_t k = 0; k < r->figure_count; k++) {
        recommend_metric *metric = &r->metrics[k];
        metric->target = k < targets ? &r->options->targets.items[k] : &r->reports.items[k - targets];
        metric->first = r->metric_count;
        metric->count = recommend_figure_columns(metric->target);
        metric->unit = k < targets ? recommend_scale(metric->target) : 1.0;
        r->metric_count += metric->count;
    }
}

static void course_shape(recommend_work *r) {
    place_metrics(r);
    r->shapes = r->course->time_count;
    r->doses = 1;
    r->period = recommend_power_of_two(r->shapes);
    r->shape_slots = 2 * r->period;
    r->metric_slots = recommend_power_of_two(r->metric_count);
    r->sum_rows = RECOMMEND_ROWS_MAX / 2;
    r->row_slots = r->sum_rows;
    r->columns = r->shape_slots * r->metric_slots;
}

static void candidate_shape(recommend_work *r) {
    size_t sum_rows = RECOMMEND_ROWS_MAX / 2;
    place_metrics(r);
    r->shapes = recommend_shape_count(&r->options->product);
    r->doses = recommend_dose_count(&r->options->product);
    r->shape_slots = recommend_power_of_two(r->shapes);
    r->metric_slots = recommend_power_of_two((r->history != NULL ? 2 : 1) * r->metric_count);
    r->sum_rows = sum_rows;
    if (!r->options->metrics_only) { /* a row becomes a dose: there must be enough of them behind the sum */
        r->sum_rows = recommend_power_of_two(r->doses > sum_rows + 1 ? r->doses - 1 : sum_rows);
    }
    r->row_slots = (r->options->metrics_only ? 1 : 2) * r->sum_rows;
    r->columns = r->shape_slots * r->metric_slots;
}

/*
 * As many points as the block holds, up to a limit: more make P(target) smoother at no cost in depth. Where results are
 * released more numbers want more flooding, and a block that is a quarter of the slots lets the inputs of a patient
 * share a ciphertext.
 */
static ddt_status choose_shape(recommend_work *r) {
    enum { POINTS_MAX = 32, POINTS_RELEASED = 16, POINTS_MIN = 8 };
    const size_t most = r->work.options.block_max / (r->options->metrics_only ? 4 : 1);
    const size_t usual = r->options->metrics_only ? POINTS_RELEASED : POINTS_MAX;
    if (r->course != NULL) {
        course_shape(r);
    } else {
        candidate_shape(r);
    }
    size_t unit = r->row_slots * r->columns;
    r->points = r->free_count > 0 || r->has_posterior ? usual : 1;
    while (r->points > POINTS_MIN && r->points * unit > most) {
        r->points /= 2;
    }
    r->block = r->points * unit;
    if (r->block > r->work.options.block_max && r->options->reports_usual && r->reports.count > 0) {
        r->omits_reports = true;
        SOLVE_TRY(recommend_reports_find(r));
        return choose_shape(r);
    }
    if (r->block > r->work.options.block_max) {
        return ddt_fail(r->work.ctx, DDT_ERR_CAPACITY,
                        "%zu doses, %zu shapes and %zu metrics at %zu points need %zu slots of the %zu of a lane; take "
                        "fewer candidates.",
                        r->doses, r->shapes, r->metric_count, r->points, r->block, r->work.options.block_max);
    }
    return DDT_OK;
}

static ddt_status make_layout(recommend_work *r) {
    solve_layout *layout = &r->work.solution->layout;
    size_t candidates = r->course != NULL ? r->shapes : ddt_recommend_candidate_count(&r->options->product);
    SOLVE_TRY(solve_keep_records(&r->work));
    layout->columns = r->columns;
    layout->segments = 1;
    layout->rows = r->points * r->row_slots;
    layout->lanes = ddt_calloc(layout->subject_count, sizeof *layout->lanes);
    layout->outputs = ddt_calloc(2 * DDT_RECOMMEND_TARGETS_MAX + 2, sizeof *layout->outputs);
    if (layout->lanes == NULL || layout->outputs == NULL) {
        return solve_no_memory(r->work.ctx);
    }
    layout->lane_count = layout->subject_count;
    for (size_t s = 0; s < layout->subject_count; s++) {
        layout->lanes[s].subject = (uint32_t)s;
        solve_place *places = ddt_calloc(candidates, sizeof *places);
        if (places == NULL) {
            return solve_no_memory(r->work.ctx);
        }
        layout->subjects[s].observations = places;
        layout->subjects[s].observation_count = candidates;
        for (size_t c = 0; c < candidates; c++) {
            size_t shape = c;
            size_t dose = 0;
            if (r->course == NULL) {
                (void)recommend_locate(&r->options->product, c, &shape, &dose);
            }
            dose = r->options->metrics_only ? 0 : dose; /* costs lie in the rows of their doses */
            places[c] = (solve_place){(uint32_t)s, (uint32_t)(dose * r->columns + shape),
                                      r->course != NULL ? r->course->times_h[c] : (double)c};
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ columns */

static double day_of(const ddt_recommend_target *target) {
    const double hours_a_day = 24.0;
    return target->day > 0.0 ? target->day : hours_a_day;
}

static regimen_functional functional_of(const recommend_work *r, size_t t, size_t grid, const recommend_shape *shape) {
    const ddt_recommend_target *target = r->metrics[t].target;
    return (regimen_functional){.kind = target->kind,
                                .is_steady = target->is_steady,
                                .day = day_of(target),
                                .at_h = target->at_h,
                                .from_h = target->from_h,
                                .to_h = target->to_h,
                                .time_h = ((double)grid + 0.5) / (double)r->metrics[t].count * shape->interval_h,
                                .interval_h = shape->interval_h,
                                .infusion_h = shape->infusion_h,
                                .loading = shape->loading,
                                .lag_h = r->work.linear.lag_h[r->dosed_compartment]};
}

/* When a course's concentration is looked at: at a time, or at the end of the last infusion that begins before it. */
static double course_time(const recommend_work *r, const ddt_recommend_target *target) {
    const double behind_h = 1e-6; /* a bolus is there just after it is given */
    double at_h = r->course->times_h[0];
    if (target->kind != DDT_METRIC_PEAK) {
        return target->at_h;
    }
    for (size_t j = 0; j < r->shapes; j++) {
        at_h = r->course->times_h[j] < target->at_h ? r->course->times_h[j] : at_h;
    }
    return at_h + r->work.linear.lag_h[r->dosed_compartment] + fmax(r->course->infusion_h, behind_h);
}

/* One dose of a course: a regimen whose next dose never comes, seen from the dose's own time. */
static regimen_functional course_functional(const recommend_work *r, size_t t, size_t dose, bool *is_zero) {
    const double never_h = 1e9;
    const ddt_recommend_target *target = &r->options->targets.items[t];
    const double day_h = day_of(target);
    double start_h = r->course->times_h[dose];
    regimen_functional f = {.kind = DDT_METRIC_AUC_WINDOW,
                            .interval_h = never_h,
                            .infusion_h = r->course->infusion_h,
                            .loading = 1.0,
                            .lag_h = r->work.linear.lag_h[r->dosed_compartment]};
    double from_h = target->kind == DDT_METRIC_AUC24 ? target->at_h - day_h : target->from_h;
    double to_h = target->kind == DDT_METRIC_AUC24 ? target->at_h : target->to_h;
    f.from_h = fmax(0.0, from_h - start_h);
    f.to_h = to_h - start_h;
    if (target->kind == DDT_METRIC_TROUGH || target->kind == DDT_METRIC_PEAK) {
        f.kind = DDT_METRIC_TROUGH;
        f.at_h = f.to_h = course_time(r, target) - start_h;
    }
    *is_zero = f.to_h <= f.lag_h;
    return f;
}

static ddt_status fit_column(recommend_work *r, size_t t, size_t grid, size_t shape_index) {
    const double tolerance = 0.4 * r->work.options.tolerance;
    const double bad = 4.0 * r->work.options.tolerance;
    recommend_shape shape = {0};
    recommend_column *column = &r->column[(r->metrics[t].first + grid) * r->shapes + shape_index];
    if (r->course != NULL) {
        column->f = course_functional(r, t, shape_index, &column->is_zero);
    } else {
        shape = recommend_shape_at(&r->options->product, shape_index);
        column->f = functional_of(r, t, grid, &shape);
    }
    column->norm = 1.0;
    if (column->is_zero) {
        return DDT_OK;
    }
    if (column->f.lag_h + column->f.infusion_h > column->f.interval_h) {
        return ddt_fail(r->work.ctx, DDT_ERR_RANGE, "An infusion of %g h with a lag of %g h does not fit into %g h.",
                        shape.infusion_h, column->f.lag_h, shape.interval_h);
    }
    SOLVE_TRY(regimen_fit(r->work.ctx, &column->f, r->rate_low, r->rate_high, RECOMMEND_ROWS_MAX / 2, tolerance,
                          &column->sum));
    if (!(column->sum.error <= bad)) {
        return ddt_fail(r->work.ctx, DDT_ERR_UNSUPPORTED,
                        "The target %s: rates from %g to %g per time unit are too far apart for its sums.",
                        r->metrics[t].target->name, r->rate_low, r->rate_high);
    }
    return DDT_OK;
}

static ddt_status fit_target(recommend_work *r, size_t t) {
    for (size_t i = 0; i < r->metrics[t].count * r->shapes; i++) {
        SOLVE_TRY(fit_column(r, t, i / r->shapes, i % r->shapes));
    }
    return DDT_OK;
}

static ddt_status make_columns(recommend_work *r) {
    r->column = solve_alloc(&r->work, r->metric_count * r->shapes, sizeof *r->column);
    if (r->column == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t t = 0; t < r->figure_count; t++) {
        SOLVE_TRY(fit_target(r, t));
    }
    return DDT_OK;
}

static ddt_status make_times(recommend_work *r) {
    solve_times *times = &r->work.times;
    size_t slots = 0;
    if (!ddt_size_mul(r->work.solution->layout.lane_count, r->block, &slots)) {
        return solve_no_memory(r->work.ctx);
    }
    times->t2 = solve_alloc(&r->work, slots, sizeof(double));
    times->during = solve_alloc(&r->work, slots, sizeof(double));
    times->start = solve_alloc(&r->work, slots, sizeof(double));
    times->unit = solve_alloc(&r->work, slots, sizeof(double));
    r->work.slots = solve_alloc(&r->work, slots, sizeof(double));
    r->work.state_values = solve_alloc(&r->work, r->work.linear.n, sizeof *r->work.state_values);
    if (times->t2 == NULL || times->during == NULL || times->start == NULL || times->unit == NULL ||
        r->work.slots == NULL || r->work.state_values == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < slots; i++) {
        times->t2[i] = recommend_time_at(r, i / r->block, i % r->block);
        times->t2_max = fmax(times->t2_max, times->t2[i]);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ attempts */

/* Where metrics reach from far below their targets to far above, no polynomial tells apart what lies near them. */
static ddt_status check_costs(recommend_work *r) {
    const double cost_most = 0.02;
    const double probability_most = 0.05;
    double weight = 0.0;
    double largest = 0.0;
    for (size_t t = 0; t < r->options->targets.count; t++) {
        weight += r->options->targets.items[t].weight;
        largest = fmax(largest, r->metric_max[t]);
    }
    return r->cost_error <= cost_most * weight && r->p_error <= probability_most
               ? DDT_OK
               : ddt_fail(r->work.ctx, DDT_ERR_RANGE,
                          "The doses give up to %.3g times what is aimed at in some patient of the model's population, "
                          "which is too wide a range to compare regimens in: take fewer or smaller doses, or doses per "
                          "unit of a covariate (per=WT).",
                          largest);
}

static ddt_status build_all(recommend_work *r) {
    enum { ATTEMPTS_MAX = 8 };
    const double loosest = 4.0;
    const double tightening = 0.3;
    solve_work *work = &r->work;
    const double wanted = work->options.tolerance;
    work->tolerance = loosest * wanted;
    for (int k = 0; k < ATTEMPTS_MAX; k++) {
        SOLVE_TRY(recommend_build(r));
        SOLVE_TRY(recommend_calibrate(r));
        if (recommend_is_accurate(r)) {
            return check_costs(r);
        }
        work->tolerance *= tightening;
        work->exponential_tolerance *= tightening;
        SOLVE_TRY(solve_exponential_choose(work));
    }
    return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                    "'%s': the virtual population shows an error of %g of a metric where %g is wanted; narrow the "
                    "ranges.",
                    work->model->path, r->metric_error, wanted);
}

/* Slots are read and filled one by one from here on: a lane is one row. */
static ddt_status finish_layout(recommend_work *r) {
    solve_layout *layout = &r->work.solution->layout;
    layout->columns = r->block;
    layout->rows = 1;
    for (size_t l = 0; l < layout->lane_count; l++) {
        layout->lanes[l].column_count = r->block;
        layout->lanes[l].sources = ddt_calloc(1, sizeof *layout->lanes[l].sources);
        layout->lanes[l].columns = ddt_calloc(r->block, sizeof *layout->lanes[l].columns);
        layout->lanes[l].active = ddt_calloc(1, 1);
        if (layout->lanes[l].sources == NULL || layout->lanes[l].columns == NULL || layout->lanes[l].active == NULL) {
            return solve_no_memory(r->work.ctx);
        }
    }
    return DDT_OK;
}

static size_t work_rows(const recommend_work *r) { return r->work.solution->layout.subjects[0].observation_count; }

static void fill_info(recommend_work *r) {
    ddt_solve_info *info = &r->work.solution->info;
    info->method = "superposition";
    info->segments = 1;
    info->states = r->work.linear.n;
    info->subjects = r->work.events->subject_count;
    info->observations = info->subjects * work_rows(r);
    info->sources = r->sum_rows;
    info->squarings = r->work.decay.squarings;
    info->rate_max_per_h = r->work.rate_max;
    info->surrogate_error = r->metric_error;
}

static ddt_status linear_system(recommend_work *r) {
    solve_work *work = &r->work;
    SOLVE_TRY(ddt_expr_pool_create(work->ctx, &work->pool));
    SOLVE_TRY(solve_symbols_create(work));
    SOLVE_TRY(find_free_etas(r));
    narrow_estimates(r);
    SOLVE_TRY(find_posterior(r));
    SOLVE_TRY(solve_schedules_create(work));
    SOLVE_TRY(find_dosing(r));
    SOLVE_TRY(solve_linear_create(work));
    SOLVE_TRY(check_linear(r));
    SOLVE_TRY(recommend_reports_find(r));
    SOLVE_TRY(recommend_history_find(r));
    SOLVE_TRY(scale_doses(r));
    return make_dosing(r);
}

/* What the holder needs to make a table of the responses. */
static ddt_status keep_units(recommend_work *r) {
    struct solve_units *units = ddt_calloc(1, sizeof *units);
    if (units == NULL) {
        return solve_no_memory(r->work.ctx);
    }
    r->work.solution->units = units;
    *units = (struct solve_units){.targets = r->options->targets,
                                  .reports = r->reports,
                                  .product = r->options->product,
                                  .dose_weight = r->options->dose_weight,
                                  .has_past = r->history != NULL && r->options->metrics_only,
                                  .has_costs = !r->options->metrics_only,
                                  .points = r->points,
                                  .row_slots = r->row_slots,
                                  .columns = r->columns,
                                  .shape_slots = r->shape_slots,
                                  .largest = r->response_max};
    SOLVE_TRY(recommend_units_prepare(r->work.ctx, units));
    for (size_t k = 0; k < r->figure_count; k++) {
        const recommend_metric *m = &r->metrics[k];
        for (size_t c = m->first * r->shapes; c < (m->first + m->count) * r->shapes; c++) {
            units->own[c] = units->has_costs ? recommend_response_unit(r, k) : r->column[c].norm;
            units->past[c] = recommend_history_scale(r, c / r->shapes, c % r->shapes);
        }
    }
    return DDT_OK;
}

static ddt_status population(recommend_work *r) {
    SOLVE_TRY(choose_shape(r));
    SOLVE_TRY(recommend_points_create(r));
    SOLVE_TRY(recommend_samples_create(r));
    SOLVE_TRY(solve_program_create(&r->work));
    SOLVE_TRY(recommend_rates(r));
    SOLVE_TRY(regimen_exact_create(&r->work, &r->exact));
    SOLVE_TRY(make_layout(r));
    SOLVE_TRY(make_columns(r));
    SOLVE_TRY(r->history != NULL ? recommend_history_fit(r) : DDT_OK);
    SOLVE_TRY(make_times(r));
    if (r->course != NULL) {
        return DDT_OK;
    }
    SOLVE_TRY(recommend_limits(r));
    return keep_units(r);
}

static ddt_status scales(recommend_work *r) {
    const double exponential_part = 0.05; /* sums of exponentials have large weights */
    solve_work *work = &r->work;
    SOLVE_TRY(solve_scale_states(work));
    work->output_scale = solve_alloc(work, 1, sizeof *work->output_scale);
    if (work->output_scale == NULL) {
        return DDT_ERR_MEMORY;
    }
    work->output_scale[0] = 1.0;
    r->amplitude = 1.0;
    work->exponential_tolerance = exponential_part * work->options.tolerance;
    work->precision_floor = 1.0 / fmax(1.0, work->rate_max * work->times.t2_max);
    return solve_exponential_choose(work);
}

static ddt_status solve_all(recommend_work *r, ddt_status (*build)(recommend_work *r)) {
    SOLVE_TRY(linear_system(r));
    SOLVE_TRY(population(r));
    SOLVE_TRY(scales(r));
    SOLVE_TRY(recommend_encode(r));
    SOLVE_TRY(build(r));
    fill_info(r);
    return finish_layout(r);
}

ddt_status recommend_run(ddt_context *ctx, const ddt_model *model, const ddt_events *events, recommend_work *r,
                         ddt_status (*build)(recommend_work *r), ddt_solution **out) {
    const double default_tolerance = 1e-3; /* of a metric: a fifth of what the project asks for */
    const unsigned default_draws = 40;     /* each of them at all points */
    const size_t default_block = 1 << 15;  /* the slots of a ring of degree 2^16 */
    ddt_solve_options solve = r->options->solve;
    solve.tolerance = solve.tolerance == 0.0 ? default_tolerance : solve.tolerance;
    solve.draws = solve.draws == 0 ? default_draws : solve.draws;
    solve.block_max = solve.block_max == 0 ? default_block : solve.block_max;
    r->work.ctx = ctx;
    r->work.events = events;
    SOLVE_TRY(solve_set_options(ctx, &solve, &r->work.options));
    SOLVE_TRY(choose_output(r, model));
    r->work.solution = ddt_calloc(1, sizeof *r->work.solution);
    if (r->work.solution == NULL) {
        return solve_no_memory(ctx);
    }
    ddt_status status = solve_all(r, build);
    solve_work_clear(&r->work);
    if (status != DDT_OK) {
        ddt_solution_destroy(r->work.solution);
        return status;
    }
    *out = r->work.solution;
    return DDT_OK;
}

/* Whether some target looks at more than the one linear output that sums of exponentials serve. */
static bool looks_at_curves(const ddt_recommend_options *options) {
    bool found = options->product.cycles > 0;
    for (size_t t = 0; t < options->targets.count; t++) {
        const ddt_recommend_target *target = &options->targets.items[t];
        found = found || target->of[0] != '\0' || target->kind == DDT_METRIC_LOWEST ||
                target->kind == DDT_METRIC_HIGHEST || target->kind == DDT_METRIC_SHARE;
    }
    return found;
}

ddt_status ddt_solve_recommend(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                               const ddt_recommend_options *options, ddt_solution **out) {
    recommend_work r = {.options = options};
    if (options->product.course_count > 0) {
        return recommend_course_solve(ctx, model, events, options, out);
    }
    SOLVE_TRY(check_request(ctx, options));
    if (looks_at_curves(options)) {
        return recommend_curves_solve(ctx, model, events, options, out);
    }
    ddt_status status = recommend_run(ctx, model, events, &r, build_all, out);
    if (status == DDT_ERR_UNSUPPORTED && r.wants_curves) {
        ddt_context_clear(ctx);
        status = recommend_curves_solve(ctx, model, events, options, out);
    }
    return status;
}
