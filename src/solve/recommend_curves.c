/*
 * Recommendations by simulation: the solution, its inputs, and the table from decrypted curves.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_curves.h"

#include <stdio.h>
#include <string.h>

static const double curve_tolerance = 2e-4; /* of a linear model's curves: a twentieth of what metrics may be wrong */

/* ------------------------------------------------------------------ what targets and product say */

size_t recommend_curves_subjects(const struct solve_curves *curves) { return curves->subject_count; }
size_t recommend_curves_candidates(const struct solve_curves *curves) { return curves->candidate_count; }
size_t recommend_curves_points(const struct solve_curves *curves) { return curves == NULL ? 1 : curves->point_count; }
bool recommend_curves_posterior(const struct solve_curves *curves) { return curves != NULL && curves->is_posterior; }
size_t recommend_curves_output_count(const struct solve_curves *curves) { return curves->table.output_count; }

const char *recommend_curves_id(const struct solve_curves *curves, size_t subject) {
    return subject < curves->subject_count ? curves->ids[subject] : "";
}

const char *recommend_curves_output(const struct solve_curves *curves, size_t output) {
    return output < curves->table.output_count ? curves->table.names[output] : "";
}

ddt_status recommend_curves_prepare(ddt_context *ctx, struct solve_curves *curves) {
    const ddt_recommend_targets none = {0};
    recommend_table_create(&curves->targets, &none, curves->point_count, &curves->table);
    SOLVE_TRY(ddt_recommend_product_text(ctx, &curves->product, &curves->product_text));
    curves->candidate_count = ddt_recommend_candidate_count(&curves->product);
    size_t shapes = recommend_shape_count(&curves->product);
    curves->sheets = ddt_calloc(shapes, sizeof *curves->sheets);
    if (curves->sheets == NULL) {
        return solve_no_memory(ctx);
    }
    for (; curves->shape_count < shapes; curves->shape_count++) {
        SOLVE_TRY(curves_sheet_create(ctx, &curves->targets, &curves->product, curves->shape_count,
                                      &curves->sheets[curves->shape_count]));
    }
    return DDT_OK;
}

void recommend_curves_destroy(struct solve_curves *curves) {
    if (curves == NULL) {
        return;
    }
    for (size_t i = 0; i < curves->shape_count; i++) {
        curves_sheet_destroy(&curves->sheets[i]);
    }
    for (size_t s = 0; curves->ids != NULL && s < curves->subject_count; s++) {
        ddt_free(curves->ids[s]);
    }
    for (size_t i = 0; i < curves->eta_count; i++) {
        ddt_free(curves->eta_names[i]);
    }
    ddt_free(curves->product_text);
    ddt_free(curves->sheets);
    ddt_free(curves->ids);
    ddt_free(curves->etas);
    ddt_free(curves);
}

/* ------------------------------------------------------------------ what is refused */

static ddt_status check_target(ddt_context *ctx, const ddt_model *model, const ddt_recommend_target *target) {
    bool is_course = target->kind == DDT_METRIC_LOWEST || target->kind == DDT_METRIC_HIGHEST;
    if (target->is_steady && !is_course) {
        return ddt_fail(ctx, DDT_ERR_UNSUPPORTED,
                        "The target %s at steady state: candidates of '%s' are simulated one by one, so say at which "
                        "time: %s@TIME.",
                        target->name, model->path, target->name);
    }
    return DDT_OK;
}

static ddt_status check_options(ddt_context *ctx, const ddt_model *model, const ddt_recommend_options *options) {
    if (options->product.per[0] != '\0') {
        return ddt_fail(ctx, DDT_ERR_UNSUPPORTED,
                        "Candidates of '%s' are simulated one by one: doses per %s are not supported then.",
                        model->path, options->product.per);
    }
    for (size_t t = 0; t < options->targets.count; t++) {
        SOLVE_TRY(check_target(ctx, model, &options->targets.items[t]));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ outputs */

/* The model with the outputs that targets look at as its own. */
typedef struct chosen {
    ddt_model model;
    ddt_output outputs[CURVES_OUTPUTS_MAX];
    size_t count;
} chosen;

static bool find_output(const ddt_model *model, const char *name, ddt_output *out) {
    *out = (ddt_output){.additive = DDT_EXPR_NONE, .proportional = DDT_EXPR_NONE, .value = DDT_EXPR_NONE};
    for (size_t i = 0; i < model->compartment_count; i++) {
        if (strcmp(model->compartments[i].name, name) == 0) {
            out->name = model->compartments[i].name;
            out->value = ddt_expr_symbol(model->pool, model->compartments[i].symbol);
        }
    }
    for (size_t i = 0; i < model->variable_count; i++) {
        if (strcmp(model->variable_names[i], name) == 0) {
            out->name = model->variable_names[i];
            out->value = model->variables[i];
        }
    }
    for (size_t i = 0; i < model->output_count; i++) {
        if (strcmp(model->outputs[i].name, name) == 0) {
            *out = model->outputs[i];
        }
    }
    return out->value != DDT_EXPR_NONE;
}

/* Index of an output among the chosen, added where it is not there. */
static ddt_status choose_output(ddt_context *ctx, const ddt_model *model, const char *name, chosen *c, size_t *index) {
    *index = 0;
    while (*index < c->count && strcmp(c->outputs[*index].name, name) != 0) {
        (*index)++;
    }
    if (*index < c->count) {
        return DDT_OK;
    }
    if (!find_output(model, name, &c->outputs[c->count])) {
        return ddt_fail(ctx, DDT_ERR_MODEL, "'%s' has no output, variable or compartment %s.", model->path, name);
    }
    c->count++;
    return DDT_OK;
}

static ddt_status choose_base(ddt_context *ctx, const ddt_model *model, const char *name, chosen *c, size_t *index) {
    *index = SIZE_MAX;
    return name[0] == '\0' ? DDT_OK : choose_output(ctx, model, name, c, index);
}

static ddt_status choose_outputs(ddt_context *ctx, const ddt_model *model, const ddt_recommend_options *options,
                                 struct solve_curves *curves, chosen *c) {
    const char *usual = options->output != NULL ? options->output : model->outputs[0].name;
    for (size_t t = 0; t < options->targets.count; t++) {
        const ddt_recommend_target *target = &options->targets.items[t];
        const char *of = target->of[0] != '\0' ? target->of : usual;
        SOLVE_TRY(choose_output(ctx, model, of, c, &curves->output_of[t]));
        SOLVE_TRY(choose_base(ctx, model, target->relative_to, c, &curves->base_of[t]));
    }
    c->model = *model;
    c->model.outputs = c->outputs;
    c->model.output_count = c->count;
    return DDT_OK;
}

/* ------------------------------------------------------------------ points */

/* Whether the estimates of all etas are columns and there are levels that they come from. */
static bool leaves_posterior(const ddt_model *model, const ddt_events *events) {
    bool all = model->eta_count > 0 && recommend_has_levels(events);
    for (size_t o = 0; o < model->output_count; o++) {
        all = all && model->outputs[o].residual != DDT_RESIDUAL_NONE;
    }
    for (size_t i = 0; i < model->eta_count; i++) {
        bool varies = model->omega[i * model->eta_count + i] > 0.0;
        all = all && (!varies || solve_column(events, model->etas[i]) != SIZE_MAX);
    }
    return all;
}

/* Etas that the data do not give, and values of them that stand for the population; or, where the data give all and the
 * levels behind them, standard normal numbers for each patient's own posterior. */
static ddt_status make_points(ddt_context *ctx, const ddt_model *model, const ddt_events *events, bool wants_points,
                              struct solve_curves *curves) {
    enum { POINTS = 8 };
    size_t index[RECOMMEND_ETAS_MAX];
    size_t n = 0;
    curves->point_count = 1;
    curves->is_posterior = wants_points && leaves_posterior(model, events);
    for (size_t i = 0; i < model->eta_count && wants_points; i++) {
        bool varies = model->omega[i * model->eta_count + i] > 0.0;
        bool is_unknown = curves->is_posterior || solve_column(events, model->etas[i]) == SIZE_MAX;
        if (varies && is_unknown && n < RECOMMEND_ETAS_MAX) {
            index[n++] = i;
        }
    }
    if (n == 0) {
        return DDT_OK;
    }
    curves->point_count = POINTS;
    double root[RECOMMEND_ETAS_MAX * RECOMMEND_ETAS_MAX] = {0};
    double z[POINTS * RECOMMEND_ETAS_MAX];
    SOLVE_TRY(recommend_covariance_root(ctx, model, index, n, root));
    recommend_standard_points(POINTS, n, z);
    curves->etas = ddt_calloc(POINTS * n, sizeof *curves->etas);
    if (curves->etas == NULL) {
        return solve_no_memory(ctx);
    }
    for (size_t i = 0; i < n; i++, curves->eta_count++) {
        curves->eta_names[i] = ddt_strdup(model->symbols[model->etas[index[i]]].name);
        if (curves->eta_names[i] == NULL) {
            return solve_no_memory(ctx);
        }
        for (size_t p = 0; p < POINTS; p++) {
            for (size_t k = 0; k <= i; k++) {
                double factor = curves->is_posterior ? (double)(i == k) : root[i * n + k];
                curves->etas[p * n + i] += factor * z[p * n + k];
            }
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ the solution */

static ddt_status keep_ids(ddt_context *ctx, const ddt_events *events, struct solve_curves *curves) {
    curves->ids = ddt_calloc(events->subject_count, sizeof *curves->ids);
    if (curves->ids == NULL) {
        return solve_no_memory(ctx);
    }
    curves->subject_count = events->subject_count;
    for (size_t s = 0; s < events->subject_count; s++) {
        curves->ids[s] = ddt_strdup(events->subjects[s].id);
        if (curves->ids[s] == NULL) {
            return solve_no_memory(ctx);
        }
    }
    return DDT_OK;
}

/* How far etas reach: the points do 2 deviations, estimates little more, or what the template has (not told exactly).
 */
static double deviations_of(const ddt_model *model, const ddt_events *events) {
    const double usual = 2.25;
    const double step = 0.5;
    double largest = usual;
    for (size_t i = 0; i < model->eta_count; i++) {
        const size_t column = solve_column(events, model->etas[i]);
        const double sd = sqrt(model->omega[i * model->eta_count + i]);
        for (size_t s = 0; column != SIZE_MAX && sd > 0.0 && s < events->subject_count; s++) {
            const ddt_subject *subject = &events->subjects[s];
            for (size_t r = 0; r < subject->record_count; r++) {
                double own = fabs(subject->covariate_values[subject->records[r].covariates + column]) / sd;
                largest = own > usual ? fmax(largest, ceil(own / step) * step) : largest;
            }
        }
    }
    return largest;
}

static ddt_status solve_simulated(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                  const ddt_recommend_options *options, const size_t *known_from, double deviations,
                                  ddt_solution **out) {
    solve_work work = {.ctx = ctx, .model = model, .events = events, .known_from = known_from};
    work.eta_deviations = deviations;
    ddt_solve_options solve = options->solve;
    solve.tolerance = solve.tolerance == 0.0 ? curve_tolerance : solve.tolerance;
    SOLVE_TRY(solve_set_options(ctx, &solve, &work.options));
    return solve_work_solution(&work, out);
}

static ddt_status simulate(ddt_context *ctx, const chosen *c, const ddt_events *events,
                           const ddt_recommend_options *options, struct solve_curves *curves, ddt_solution **out) {
    ddt_events *simulated = NULL;
    size_t *known_from = ddt_calloc(curves_simulated_count(curves), sizeof *known_from);
    ddt_status status = known_from == NULL ? solve_no_memory(ctx) : DDT_OK;
    if (status == DDT_OK) {
        status = recommend_simulated_events(ctx, curves, &c->model, events, 0, &simulated, known_from);
    }
    if (status == DDT_OK) {
        status = solve_simulated(ctx, &c->model, simulated, options, known_from, curves->deviations, out);
    }
    ddt_events_destroy(simulated);
    ddt_free(known_from);
    return status;
}

static ddt_status fill_curves(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                              const ddt_recommend_options *options, struct solve_curves *curves, chosen *c) {
    curves->targets = options->targets;
    curves->product = options->product;
    curves->product.day = curves->product.day > 0.0 ? curves->product.day : ddt_recommend_day(model);
    curves->dose_weight = options->dose_weight;
    curves->compartment =
        options->product.compartment > 0 ? options->product.compartment : recommend_default_compartment(model);
    if (curves->compartment > model->compartment_count) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "The product's compartment %u does not exist in '%s'.", curves->compartment,
                        model->path);
    }
    SOLVE_TRY(choose_outputs(ctx, model, options, curves, c));
    curves->deviations = deviations_of(model, events);
    SOLVE_TRY(make_points(ctx, model, events, !options->point_estimate && !options->metrics_only, curves));
    SOLVE_TRY(keep_ids(ctx, events, curves));
    return recommend_curves_prepare(ctx, curves);
}

ddt_status recommend_curves_solve(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                  const ddt_recommend_options *options, ddt_solution **out) {
    chosen c = {0};
    SOLVE_TRY(check_options(ctx, model, options));
    struct solve_curves *curves = ddt_calloc(1, sizeof *curves);
    if (curves == NULL) {
        return solve_no_memory(ctx);
    }
    ddt_solution *solution = NULL;
    ddt_status status = fill_curves(ctx, model, events, options, curves, &c);
    if (status == DDT_OK) {
        status = simulate(ctx, &c, events, options, curves, &solution);
    }
    if (status != DDT_OK) {
        recommend_curves_destroy(curves);
        return status;
    }
    solution->curves = curves;
    solution->info.subjects = curves->subject_count;
    solution->info.observations = curves->subject_count * curves->candidate_count;
    status = recommend_curves_copy(ctx, solution, &c.model, events);
    if (status != DDT_OK) {
        ddt_solution_destroy(solution);
        return status;
    }
    *out = solution;
    return DDT_OK;
}

/* ------------------------------------------------------------------ values */

/* What targets make of one curve of a candidate. */
static void read_curve(const struct solve_curves *curves, size_t candidate, const double *curve, size_t stride,
                       double *figures) {
    const ddt_recommend_candidate c = ddt_recommend_candidate_at(&curves->product, candidate);
    size_t shape = 0;
    size_t dose = 0;
    (void)recommend_locate(&curves->product, candidate, &shape, &dose);
    for (size_t t = 0; t < curves->targets.count; t++) {
        figures[t] = curves_sheet_value(&curves->sheets[shape], &curves->targets.items[t], t, c.dose, curve, stride,
                                        curves->output_of[t], curves->base_of[t]);
    }
}

/* Where the figures of one point of a simulated subject stand: point fastest but for the figures. */
static double *figures_at(const struct solve_curves *curves, double *all, size_t simulated, size_t point) {
    return all + (simulated * curves->point_count + point) * curves->targets.count;
}

/* The table from all figures. */
static void fill_table(const struct solve_curves *curves, double *figures, double *const *values) {
    const ddt_recommend_targets none = {0};
    for (size_t i = 0; i < curves_simulated_count(curves); i++) {
        const size_t candidate = i % curves->candidate_count;
        double *row = values[i / curves->candidate_count] + candidate * curves->table.output_count;
        recommend_table_row(&curves->targets, &none, curves->point_count, figures_at(curves, figures, i, 0), row);
        row[curves->targets.count] += curves->dose_weight > 0.0
                                          ? curves->dose_weight * recommend_relative_daily(&curves->product, candidate)
                                          : 0.0;
    }
}

/* Figures of all simulated subjects at all points; NULL when memory is short. */
static double *figures_create(const struct solve_curves *curves) {
    return ddt_calloc(curves_simulated_count(curves) * curves->point_count * curves->targets.count, sizeof(double));
}

static size_t part_of(const solve_layout *layout) { return layout->segments * layout->rows * layout->columns; }

/* The curves of one point. */
static void read_point(const ddt_solution *solution, size_t point, const double *const *outputs, double *const *rows,
                       double *figures) {
    const struct solve_curves *curves = solution->curves;
    const double *shifted[CURVES_OUTPUTS_MAX];
    for (size_t o = 0; o < solution->layout.output_count; o++) {
        shifted[o] = outputs[o] + point * part_of(&solution->layout);
    }
    solve_layout_collect(&solution->layout, shifted, rows);
    for (size_t i = 0; i < curves_simulated_count(curves); i++) {
        read_curve(curves, i % curves->candidate_count, rows[i], solution->layout.output_count,
                   figures_at(curves, figures, i, point));
    }
}

void recommend_curves_places(const ddt_solution *solution, size_t subject, double *const *scales) {
    const struct solve_curves *curves = solution->curves;
    const solve_layout *layout = &solution->layout;
    double *shifted[CURVES_OUTPUTS_MAX];
    for (size_t p = 0; p < curves->point_count; p++) {
        for (size_t o = 0; o < layout->output_count; o++) {
            shifted[o] = scales[o] + p * part_of(layout);
        }
        for (size_t c = 0; c < curves->candidate_count; c++) {
            solve_layout_places(layout, subject * curves->candidate_count + c, shifted);
        }
    }
}

/* NAN everywhere where memory is short: collecting has no errors. */
void recommend_curves_collect(const ddt_solution *solution, const double *const *outputs, double *const *values) {
    const struct solve_curves *curves = solution->curves;
    const solve_layout *layout = &solution->layout;
    size_t total = 0;
    for (size_t s = 0; s < layout->subject_count; s++) {
        total += layout->subjects[s].observation_count * layout->output_count;
    }
    double *all = ddt_alloc(total, sizeof *all);
    double **rows = ddt_calloc(layout->subject_count, sizeof *rows);
    double *figures = figures_create(curves);
    bool complete = all != NULL && rows != NULL && figures != NULL;
    for (size_t s = 0, next = 0; complete && s < layout->subject_count; s++) {
        rows[s] = all + next;
        next += layout->subjects[s].observation_count * layout->output_count;
    }
    for (size_t p = 0; complete && p < curves->point_count; p++) {
        read_point(solution, p, outputs, rows, figures);
    }
    if (complete) {
        fill_table(curves, figures, values);
    }
    for (size_t i = 0; !complete && i < curves->subject_count; i++) {
        for (size_t k = 0; k < curves->candidate_count * curves->table.output_count; k++) {
            values[i][k] = NAN;
        }
    }
    ddt_free(figures);
    ddt_free(rows);
    ddt_free(all);
}

/* ------------------------------------------------------------------ inputs */

/* One point's copies, from vectors of their own into the blocks. */
static void scatter(const ddt_solution *solution, size_t point, double *const *from, double *const *inputs) {
    const solve_layout *layout = &solution->layout;
    const size_t part = part_of(layout);
    for (size_t i = 0; i < solve_vector_count(layout); i++) {
        for (size_t l = 0; l < layout->lane_count; l++) {
            memcpy(inputs[i] + (l * solution->curves->point_count + point) * part, from[i] + l * part,
                   part * sizeof **from);
        }
    }
}

static void vectors_destroy(double **vectors, size_t count) {
    for (size_t i = 0; vectors != NULL && i < count; i++) {
        ddt_free(vectors[i]);
    }
    ddt_free(vectors);
}

/* Zero; NULL where memory is short. */
static double **vectors_create(size_t count, size_t slots) {
    double **vectors = ddt_calloc(count, sizeof *vectors);
    bool complete = vectors != NULL;
    for (size_t i = 0; complete && i < count; i++) {
        vectors[i] = ddt_calloc(slots, sizeof **vectors);
        complete = vectors[i] != NULL;
    }
    if (!complete) {
        vectors_destroy(vectors, count);
    }
    return complete ? vectors : NULL;
}

/* Changes the simulated subjects of a point before they are encrypted: virtual patients of calibrations. */
typedef void (*curves_change)(const ddt_solution *solution, const ddt_model *model, unsigned round,
                              ddt_events *simulated);

static ddt_status fill_points(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                              const ddt_events *events, curves_change change, unsigned round, double *const *parts,
                              double *const *inputs) {
    ddt_solution plain = *solution; /* its layout without copies */
    plain.layout.lane_slots = 0;
    for (size_t p = 0; p < solution->curves->point_count; p++) {
        ddt_events *simulated = NULL;
        SOLVE_TRY(recommend_simulated_events(ctx, solution->curves, model, events, p, &simulated, NULL));
        if (change != NULL) {
            change(solution, model, round, simulated);
        }
        ddt_status status = solve_layout_fill(ctx, &plain, model, simulated, parts);
        ddt_events_destroy(simulated);
        SOLVE_TRY(status);
        scatter(solution, p, parts, inputs);
    }
    return DDT_OK;
}

static ddt_status fill_changed(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                               const ddt_events *events, curves_change change, unsigned round, double *const *inputs) {
    const solve_layout *layout = &solution->layout;
    const size_t count = solve_vector_count(layout);
    const size_t slots = layout->lane_count * part_of(layout);
    double **parts = vectors_create(count, slots);
    if (parts == NULL) {
        return solve_no_memory(ctx);
    }
    ddt_status status = fill_points(ctx, solution, model, events, change, round, parts, inputs);
    for (size_t i = 0; status != DDT_OK && i < count; i++) {
        memset(inputs[i], 0, slots * solution->curves->point_count * sizeof **inputs);
    }
    vectors_destroy(parts, count);
    return status;
}

ddt_status recommend_curves_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                                 const ddt_events *events, double *const *inputs) {
    return fill_changed(ctx, solution, model, events, NULL, 0, inputs);
}

/* ------------------------------------------------------------------ points as copies */

static double uniform(uint64_t *state) {
    *state = *state * 6364136223846793005U + 1442695040888963407U; /* Knuth's MMIX constants */
    return (double)(*state >> 11) / 9007199254740992.0;
}

static void draw_column(ddt_events *events, size_t column, const solve_range *range, double part) {
    double value = range->low + part * (range->high - range->low);
    if (range->level_count > 0) {
        value = range->levels[(size_t)(part * (double)range->level_count)];
    }
    for (size_t s = 0; s < events->subject_count; s++) {
        for (size_t r = 0; r < events->subjects[s].record_count; r++) {
            events->subjects[s].covariate_values[r * events->covariate_count + column] = value;
        }
    }
}

/* Covariates and known etas anywhere in the middle of their ranges: noise is planned for no patient in particular. */
static void draw_patient(const ddt_solution *solution, const ddt_model *model, unsigned round, ddt_events *simulated) {
    const double middle = 0.8;
    uint64_t state = round + 1U;
    for (size_t i = 0; i < solution->layout.range_count; i++) {
        const solve_range *range = &solution->layout.ranges[i];
        const int64_t symbol = ddt_model_find_symbol(model, range->name);
        const size_t column = symbol < 0 ? SIZE_MAX : solve_column(simulated, (uint32_t)symbol);
        bool is_point = false;
        for (size_t k = 0; k < solution->curves->eta_count; k++) {
            is_point = is_point || strcmp(solution->curves->eta_names[k], range->name) == 0;
        }
        (void)uniform(&state);
        const double part = 0.5 + middle * (uniform(&state) - 0.5);
        if (column != SIZE_MAX && !is_point) {
            draw_column(simulated, column, range, part);
        }
    }
}

static ddt_status calibrate_points(ddt_context *ctx, ddt_solution *solution, const ddt_model *model,
                                   const ddt_events *events, double *const *inputs) {
    enum { ROUNDS = 3 };
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t violations = 0;
        SOLVE_TRY(fill_changed(ctx, solution, model, events, draw_patient, round, inputs));
        SOLVE_TRY(ddt_circuit_calibrate(ctx, solution->circuit, (const double *const *)inputs, &violations));
        if (violations > 0) {
            return ddt_fail(ctx, DDT_ERR_UNSUPPORTED,
                            "'%s': virtual patients leave the range of a function; narrow the covariates' ranges.",
                            model->path);
        }
    }
    return DDT_OK;
}

ddt_status recommend_curves_copy(ddt_context *ctx, ddt_solution *solution, const ddt_model *model,
                                 const ddt_events *events) {
    solve_layout *layout = &solution->layout;
    const size_t points = solution->curves->point_count;
    if (points == 1) {
        return DDT_OK;
    }
    SOLVE_TRY(ddt_circuit_tile(ctx, solution->circuit, points));
    layout->lane_slots = points * part_of(layout);
    double **inputs = vectors_create(solve_vector_count(layout), layout->lane_count * layout->lane_slots);
    if (inputs == NULL) {
        return solve_no_memory(ctx);
    }
    ddt_status status = calibrate_points(ctx, solution, model, events, inputs);
    vectors_destroy(inputs, solve_vector_count(layout));
    return status;
}

/* ------------------------------------------------------------------ by CVODE */

bool ddt_recommend_is_simulated(const ddt_solution *solution) { return solution->curves != NULL; }

static ddt_status reference_point(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                                  const ddt_events *simulated, size_t point, double *curve, double *figures) {
    const struct solve_curves *curves = solution->curves;
    const solve_layout *layout = &solution->layout;
    ddt_expr expressions[CURVES_OUTPUTS_MAX];
    for (size_t o = 0; o < layout->output_count; o++) {
        ddt_output output;
        if (!find_output(model, layout->outputs[o].name, &output)) {
            return ddt_fail(ctx, DDT_ERR_MISMATCH, "'%s' has no output %s.", model->path, layout->outputs[o].name);
        }
        expressions[o] = output.value;
    }
    for (size_t i = 0; i < curves_simulated_count(curves); i++) {
        SOLVE_TRY(ddt_reference_simulate(ctx, model, simulated, i, expressions, layout->output_count, curve));
        read_curve(curves, i % curves->candidate_count, curve, layout->output_count,
                   figures_at(curves, figures, i, point));
    }
    return DDT_OK;
}

ddt_status ddt_recommend_reference(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                                   const ddt_events *events, double *const *values) {
    const struct solve_curves *curves = solution->curves;
    ddt_status status = DDT_OK;
    size_t nodes = 0;
    if (curves == NULL) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "The candidates of this solution are not simulated.");
    }
    for (size_t i = 0; i < curves->shape_count; i++) {
        nodes = curves->sheets[i].node_count > nodes ? curves->sheets[i].node_count : nodes;
    }
    double *curve = ddt_calloc(nodes * solution->layout.output_count, sizeof *curve);
    double *figures = figures_create(curves);
    if (curve == NULL || figures == NULL) {
        ddt_free(curve);
        ddt_free(figures);
        return solve_no_memory(ctx);
    }
    for (size_t p = 0; p < curves->point_count && status == DDT_OK; p++) {
        ddt_events *simulated = NULL;
        status = recommend_simulated_events(ctx, curves, model, events, p, &simulated, NULL);
        if (status == DDT_OK) {
            status = reference_point(ctx, solution, model, simulated, p, curve, figures);
        }
        ddt_events_destroy(simulated);
    }
    if (status == DDT_OK) {
        fill_table(curves, figures, values);
    }
    ddt_free(figures);
    ddt_free(curve);
    return status;
}
