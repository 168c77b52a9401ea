/*
 * Courses from the request to the program.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_course.h"

#include <string.h>

static const double default_change = 0.1;

/* ------------------------------------------------------------------ bounds over the virtual population */

static ddt_status find_norms(course *c) {
    recommend_work *r = c->r;
    memcpy(c->symbols, r->work.samples, r->work.symbol_count * sizeof *c->symbols);
    recommend_exact_columns(r, 0, c->symbols, &c->numbers, c->values);
    for (size_t i = 0; i < r->metric_count * r->shapes; i++) {
        r->column[i].norm = r->column[i].is_zero ? 1.0 : c->values[i];
    }
    for (size_t k = 0; k < c->targets; k++) {
        double sum = 0.0;
        for (size_t j = 0; j < r->shapes; j++) {
            sum += c->values[k * r->shapes + j];
        }
        if (!(sum > 0.0)) {
            return ddt_fail(r->work.ctx, DDT_ERR_RANGE, "The target %s is out of reach: no dose is given before it.",
                            r->options->targets.items[k].name);
        }
    }
    return DDT_OK;
}

/* What responses of all points may be. */
static void find_responses(course *c) {
    const double margin = 1.5;
    const recommend_work *r = c->r;
    c->response_high = 1.0;
    for (size_t s = 0; s < r->patient_count; s++) {
        recommend_load(c->r, s, c->symbols);
        for (size_t z = 0; z < r->points; z++) {
            recommend_exact_columns(c->r, z, c->symbols, &c->numbers, c->values);
            for (size_t i = 0; i < c->targets * r->shapes; i++) {
                const double unit = r->course->dose_high / r->metrics[i / r->shapes].unit;
                c->response_high = fmax(c->response_high, margin * unit * fabs(c->values[i]));
            }
        }
    }
}

static void find_bounds(course *c) {
    const double margin = 1.1;
    double h[COURSE_SIDE * COURSE_SIDE];
    double b[COURSE_SIDE];
    c->effect_low = c->curve_low = INFINITY;
    c->effect_high = c->curve_high = c->right_high = 0.0;
    for (size_t s = 0; s < c->r->patient_count; s++) {
        course_exact(c, s, h, b, NULL);
        double effect = course_effect(c, h);
        c->effect_low = fmin(c->effect_low, effect / margin);
        c->effect_high = fmax(c->effect_high, effect * margin);
        course_normalise(c, h, b);
        double high = course_largest_eigenvalue(c, h, 0.0, 1.0);
        for (size_t j = 0; j < c->doses; j++) {
            c->right_high = fmax(c->right_high, fabs(b[j]));
        }
        double low = high - course_largest_eigenvalue(c, h, high, -1.0);
        c->curve_high = fmax(c->curve_high, high * margin);
        c->curve_low = fmin(c->curve_low, fmax(low, 1e-3) / margin);
    }
    c->right_high *= 2.0 * margin / course_half(c);
    if (c->box.is_bounded) {
        c->inverse_unit = margin * (double)c->doses / (c->effect_low * course_half(c));
    }
}

/* How far the steps end from the minimum, as a part of the largest dose: the worst virtual patient. */
static double distance_left(course *c) {
    double h[COURSE_SIDE * COURSE_SIDE];
    double b[COURSE_SIDE];
    double x[COURSE_SIDE];
    double best[COURSE_SIDE];
    double worst = 0.0;
    for (size_t s = 0; s < c->r->patient_count; s++) {
        double size = 0.0;
        course_exact(c, s, h, b, NULL);
        course_normalise(c, h, b);
        course_iterate(c, h, b, x);
        course_solve(c, h, b, best);
        for (size_t i = 0; i < c->doses; i++) {
            size = fmax(size, fabs(best[i]));
        }
        for (size_t i = 0; i < c->doses; i++) {
            worst = fmax(worst, fabs(x[i] - best[i]) / size);
        }
    }
    return worst;
}

/* As many as were asked for, or as bring all virtual patients' doses near the minimum. */
static void choose_doublings(course *c) {
    const double good = 0.006;
    const unsigned wanted = c->r->course->iterations;
    const unsigned most = wanted > 0 ? wanted : DDT_COURSE_ITERATIONS_MAX;
    c->doublings = 1;
    while ((1U << c->doublings) < most && (wanted > 0 || distance_left(c) > good)) {
        c->doublings++;
    }
}

/* ------------------------------------------------------------------ its accuracy */

/* What the program should yield for a virtual patient. */
static void expected_doses(course *c, size_t patient, double *x) {
    double h[COURSE_SIDE * COURSE_SIDE];
    double b[COURSE_SIDE];
    if (c->box.is_bounded) {
        course_box_iterate(c, &c->patients[patient], x);
        return;
    }
    course_exact(c, patient, h, b, NULL);
    course_normalise(c, h, b);
    course_iterate(c, h, b, x);
}

/* The largest error of a patient's doses, as a part of the largest dose. */
static double error_of(course *c, size_t patient, const double *found, double scale) {
    double x[COURSE_SIDE];
    double size = 0.0;
    double worst = 0.0;
    expected_doses(c, patient, x);
    for (size_t i = 0; i < c->doses; i++) {
        size = fmax(size, fabs(x[i]));
    }
    for (size_t i = 0; i < c->doses; i++) {
        const double error = fabs(found[i] * scale - x[i]) / size;
        worst = error <= worst ? worst : error;
    }
    return worst;
}

static ddt_status run_patients(course *c, double **inputs, double **outputs, double *worst) {
    recommend_work *r = c->r;
    solve_work *work = &r->work;
    size_t lanes = work->solution->layout.lane_count;
    size_t rounds = (r->patient_count + lanes - 1) / lanes;
    double scale = work->solution->layout.outputs[0].scale / r->course->dose_high;
    *worst = 0.0;
    for (size_t k = 0; k < rounds; k++) {
        uint64_t violations = 0;
        for (size_t l = 0; l < lanes; l++) {
            recommend_fill_lane(r, l, (k * lanes + l) % r->patient_count * r->patient_stride, inputs);
        }
        SOLVE_TRY(ddt_circuit_calibrate(work->ctx, work->circuit, (const double *const *)inputs, &violations));
        SOLVE_TRY(ddt_circuit_run_clear(work->ctx, work->circuit, (const double *const *)inputs, false, outputs));
        for (size_t l = 0; l < lanes; l++) {
            double error = error_of(c, (k * lanes + l) % r->patient_count, outputs[0] + l * r->block, scale);
            error = violations > 0 ? INFINITY : error;
            *worst = error <= *worst ? *worst : error;
        }
        SOLVE_TRY(ddt_progress(work->ctx, "solve", k + 1, rounds));
    }
    return DDT_OK;
}

static ddt_status create_course(recommend_work *r, course *c) {
    const ddt_course_options *options = r->course;
    *c = (course){.r = r,
                  .doses = r->shapes,
                  .targets = r->options->targets.count,
                  .amount = options->dose_weight,
                  .inverse_unit = 1.0};
    c->change = options->change_weight == 0.0 ? default_change : options->change_weight;
    c->box = (course_box){.is_bounded = options->is_bounded,
                          .low = options->dose_low / options->dose_high,
                          .high = 1.0,
                          .step = options->dose_step / options->dose_high};
    for (size_t t = 0; t < c->targets; t++) {
        if (course_is_limit(c, t)) {
            c->limit[c->limit_count++] = t;
        }
    }
    c->box.has_limits = c->limit_count > 0;
    c->values = solve_alloc(&r->work, r->metric_count * r->shapes, sizeof *c->values);
    c->symbols = solve_alloc(&r->work, r->work.symbol_count, sizeof *c->symbols);
    SOLVE_TRY(solve_numbers_create(&r->work, &c->numbers));
    return c->values == NULL || c->symbols == NULL ? DDT_ERR_MEMORY : DDT_OK;
}

/* The search's steps, from the virtual population. */
static ddt_status choose_search(course *c) {
    SOLVE_TRY(find_norms(c));
    find_bounds(c);
    if (c->box.is_bounded) {
        find_responses(c);
        return course_box_choose(c);
    }
    choose_doublings(c);
    return DDT_OK;
}

static ddt_status build_course(recommend_work *r) {
    enum { ATTEMPTS_MAX = 5 };
    const double tightening = 0.2;
    const double allowance = 5.0; /* doses are rounded to some percent */
    solve_work *work = &r->work;
    course c;
    SOLVE_TRY(create_course(r, &c));
    SOLVE_TRY(choose_search(&c));
    work->tolerance = work->options.tolerance;
    for (int k = 0; k < ATTEMPTS_MAX; k++) {
        double **inputs = NULL;
        double **outputs = NULL;
        SOLVE_TRY(c.box.is_bounded ? course_build_bounded(&c) : course_build_open(&c));
        SOLVE_TRY(solve_vectors_create(work, solve_vector_count(&work->solution->layout), &inputs));
        SOLVE_TRY(solve_vectors_create(work, work->solution->layout.output_count, &outputs));
        SOLVE_TRY(run_patients(&c, inputs, outputs, &r->metric_error));
        if (r->metric_error <= allowance * work->options.tolerance) {
            work->solution->info.iterations = c.box.is_bounded ? c.box.steps : 1U << c.doublings;
            return DDT_OK;
        }
        work->tolerance *= tightening;
        work->exponential_tolerance *= tightening;
        SOLVE_TRY(solve_exponential_choose(work));
    }
    return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                    "'%s': the virtual population's doses have an error of %g where %g is wanted; narrow the ranges.",
                    work->model->path, r->metric_error, allowance * work->options.tolerance);
}

/* ------------------------------------------------------------------ the request */

static ddt_status check_course(ddt_context *ctx, const ddt_course_options *options) {
    if (options->time_count == 0 || options->time_count > DDT_COURSE_DOSES_MAX) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "A course has 1 to %d doses, not %zu.", DDT_COURSE_DOSES_MAX,
                        options->time_count);
    }
    for (size_t i = 0; i < options->time_count; i++) {
        if (!(options->times_h[i] >= (i == 0 ? 0.0 : options->times_h[i - 1]))) {
            return ddt_fail(ctx, DDT_ERR_RANGE, "The times of the doses decrease at %g h.", options->times_h[i]);
        }
    }
    if (!(options->dose_high > 0.0) || !(options->infusion_h >= 0.0) || !(options->change_weight >= 0.0) ||
        !(options->dose_weight >= 0.0) || options->iterations > DDT_COURSE_ITERATIONS_MAX) {
        return ddt_fail(
            ctx, DDT_ERR_RANGE,
            "The course's largest dose (%g), infusion time (%g h), weights of changes and doses (%g, %g) or "
            "number of iterations (%u) is not possible.",
            options->dose_high, options->infusion_h, options->change_weight, options->dose_weight, options->iterations);
    }
    if (options->targets.count == 0 || options->targets.count > DDT_RECOMMEND_TARGETS_MAX) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "A course wants 1 to %d targets.", DDT_RECOMMEND_TARGETS_MAX);
    }
    size_t aims = 0;
    for (size_t t = 0; t < options->targets.count; t++) {
        const ddt_recommend_target *target = &options->targets.items[t];
        const bool is_known = target->kind == DDT_METRIC_AUC24 || target->kind == DDT_METRIC_AUC_WINDOW ||
                              target->kind == DDT_METRIC_TROUGH || target->kind == DDT_METRIC_PEAK;
        const bool is_range = target->low > 0.0 && isfinite(target->high);
        if (!is_known || target->is_steady || target->of[0] != '\0' || !(target->is_toxicity || is_range)) {
            return ddt_fail(
                ctx, DDT_ERR_UNSUPPORTED,
                "The target %s: a course wants a value or LOW:HIGH of auc24@HOURS, aucFROM-TO, cumauc@HOURS, "
                "trough@HOURS or peak@HOURS, and limits (tox:) of them.",
                target->name);
        }
        aims += !target->is_toxicity;
    }
    if (aims == 0 || (aims < options->targets.count && !options->is_bounded)) {
        return ddt_fail(ctx, DDT_ERR_RANGE,
                        aims == 0 ? "A course wants a target that is no limit (tox:)."
                                  : "A course with limits (tox:) wants bounds of its doses.");
    }
    return DDT_OK;
}

static ddt_status check_bounds(ddt_context *ctx, const ddt_course_options *options) {
    const double low = options->dose_low;
    const double high = options->dose_high;
    if (options->is_bounded && !(low >= 0.0 && low < high && isfinite(high))) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "Doses cannot lie between %g and %g.", low, high);
    }
    return options->is_bounded && !(options->dose_step > 0.0 && options->dose_step <= high - low)
               ? ddt_fail(ctx, DDT_ERR_RANGE, "Doses between %g and %g cannot be rounded to steps of %g.", low, high,
                          options->dose_step)
               : DDT_OK;
}

ddt_status ddt_solve_course(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                            const ddt_course_options *options, ddt_solution **out) {
    SOLVE_TRY(check_course(ctx, options));
    SOLVE_TRY(check_bounds(ctx, options));
    ddt_recommend_options request = {.solve = options->solve,
                                     .targets = options->targets,
                                     .output = options->output,
                                     .point_estimate = options->point_estimate};
    request.product = (ddt_recommend_product){.dose_low = options->dose_high,
                                              .dose_high = options->dose_high,
                                              .dose_step = options->dose_high,
                                              .compartment = options->compartment};
    recommend_work r = {.options = &request, .course = options};
    return recommend_run(ctx, model, events, &r, build_course, out);
}

double ddt_course_round(const ddt_course_options *options, double dose) {
    const double rounded = options->dose_step > 0.0 ? round(dose / options->dose_step) * options->dose_step : dose;
    return options->is_bounded ? fmin(fmax(rounded, options->dose_low), options->dose_high) : fmax(rounded, 0.0);
}

ddt_status ddt_course_of(ddt_context *ctx, const ddt_recommend_options *options, ddt_course_options *out) {
    const double rounding = 1e-9;
    const ddt_recommend_product *product = &options->product;
    *out = (ddt_course_options){.solve = options->solve,
                                .targets = options->targets,
                                .output = options->output,
                                .time_count = product->course_count,
                                .dose_high = product->dose_high,
                                .is_bounded = true,
                                .dose_low = product->dose_low,
                                .dose_step = product->dose_step,
                                .infusion_h = product->infusion_count > 0 ? product->infusions_h[0] : 0.0,
                                .compartment = product->compartment,
                                .change_weight = product->change_weight,
                                .dose_weight = product->dose_weight,
                                .point_estimate = options->point_estimate};
    if (product->course_count == 0) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "What can be given is no course of doses.");
    }
    if (options->metrics_only) {
        return ddt_fail(ctx, DDT_ERR_UNSUPPORTED,
                        "The doses of a course come from refreshed ciphertexts, which are too noisy to be granted.");
    }
    memcpy(out->times_h, product->course_h, sizeof out->times_h);
    if (product->rate_max > 0.0 && out->infusion_h > 0.0) {
        const double most = fmin(product->dose_high, product->rate_max * out->infusion_h);
        out->dose_high =
            product->dose_low + floor((most - product->dose_low) / product->dose_step + rounding) * product->dose_step;
    }
    return DDT_OK;
}

ddt_status recommend_course_solve(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                  const ddt_recommend_options *options, ddt_solution **out) {
    ddt_course_options asked;
    SOLVE_TRY(ddt_course_of(ctx, options, &asked));
    return ddt_solve_course(ctx, model, events, &asked, out);
}
