/* Problems: a model and its events become a circuit and a plan. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <math.h>

void ddt_twin_problem_destroy(ddt_twin_problem *problem) {
    if (problem == NULL) {
        return;
    }
    ddt_plan_destroy(problem->plan);
    ddt_solution_destroy(problem->solution);
    ddt_events_destroy(problem->events);
    ddt_model_destroy(problem->model);
    twin_recipe_destroy(&problem->recipe);
    ddt_free(problem);
}

const ddt_model *ddt_twin_problem_model(const ddt_twin_problem *problem) { return problem->model; }

const ddt_events *ddt_twin_problem_events(const ddt_twin_problem *problem) { return problem->events; }

const ddt_solution *ddt_twin_problem_solution(const ddt_twin_problem *problem) { return problem->solution; }

void ddt_twin_problem_info(const ddt_twin_problem *problem, ddt_plan_info *plan, ddt_solve_info *solve) {
    ddt_plan_get_info(problem->plan, plan);
    ddt_solution_get_info(problem->solution, solve);
}

void ddt_twin_problem_outcome(const ddt_twin_problem *problem, ddt_twin_outcome *out) {
    *out = (ddt_twin_outcome){.purpose = problem->recipe.purpose, .model = problem->model, .events = problem->events};
    ddt_twin_problem_info(problem, &out->plan, &out->solve);
}

ddt_status twin_run_clear(ddt_context *ctx, const ddt_twin_problem *problem, bool exact, double *const *outputs,
                          ddt_left_out *left_out) {
    const ddt_circuit *circuit = ddt_solution_circuit(problem->solution);
    const size_t lanes = ddt_circuit_lanes(circuit);
    const size_t block = ddt_circuit_block(circuit);
    const size_t count = ddt_circuit_input_count(circuit);
    double **inputs = twin_vectors_create(count, lanes, block);
    *left_out = (ddt_left_out){0};
    if (inputs == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_status status =
        ddt_solution_fill_served(ctx, problem->solution, problem->model, problem->events, inputs, left_out);
    if (status == DDT_OK) {
        status = ddt_circuit_run_clear(ctx, circuit, (const double *const *)inputs, exact, outputs);
    }
    if (status != DDT_OK) {
        ddt_left_out_destroy(left_out);
    }
    twin_vectors_destroy(inputs, count, lanes, block);
    return status;
}

/*
 * The plan's target is absolute and one for all outputs; ours is relative to each output's maximum. Only the power of
 * two of the scale is used, so that the plan, which the service sees, tells little about the template's values.
 */
static ddt_status problem_scale(ddt_context *ctx, ddt_twin_problem *problem) {
    if (problem->recipe.purpose != DDT_TWIN_SIMULATE && !ddt_recommend_is_simulated(problem->solution)) {
        problem->circuit_scale = 1; /* etas, costs and metrics are near 1 as the circuit computes them */
        return DDT_OK;
    }
    const ddt_circuit *circuit = ddt_solution_circuit(problem->solution);
    const size_t lanes = ddt_circuit_lanes(circuit);
    const size_t block = ddt_circuit_block(circuit);
    const size_t count = ddt_circuit_output_count(circuit);
    double **outputs = twin_vectors_create(count, lanes, block);
    if (outputs == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_left_out nobody; /* simulations refuse a table whole */
    ddt_status status = twin_run_clear(ctx, problem, false, outputs, &nobody);
    ddt_left_out_destroy(&nobody);
    double scale = 0;
    for (size_t o = 0; status == DDT_OK && o < count; o++) {
        double largest = 0;
        for (size_t i = 0; i < lanes * block; i++) {
            largest = fmax(largest, fabs(outputs[o][i]));
        }
        if (largest > 0 && (scale == 0 || largest < scale)) {
            scale = largest;
        }
    }
    twin_vectors_destroy(outputs, count, lanes, block);
    problem->circuit_scale = scale > 0 ? exp2(floor(log2(scale))) : 1;
    return status;
}

static double usual_error(ddt_twin_purpose purpose) {
    switch (purpose) {
    case DDT_TWIN_FIT:
        return DDT_FIT_TARGET_ERROR;
    case DDT_TWIN_RECOMMEND:
        return TWIN_TARGET_ERROR_REGIMEN;
    case DDT_TWIN_BANDS:
        return TWIN_TARGET_ERROR_BANDS;
    default:
        return TWIN_TARGET_ERROR_DEFAULT;
    }
}

/* The bound of the noise that leaves room for a release's steps (docs/security.md has the formula). */
static double bound_wanted(const ddt_solution *solution) {
    const double flooding = sqrt(12.0 * DDT_TWIN_RELEASES) * exp2(DDT_RELEASE_BITS_MIN / 2.0);
    const double grid = 1 + 0x1p-10;
    ddt_recommend_responses r;
    if (!ddt_recommend_get_responses(solution, &r)) {
        return TWIN_BOUND_GRANTABLE;
    }
    const double norm = TWIN_STEP_GRANTABLE / r.scale / DDT_RELEASE_STEP_STDS / flooding;
    const double decoding = 0x1p-47 * TWIN_RESPONSE_MARGIN * r.largest / r.scale;
    return fmax(norm / sqrt((double)r.count) / grid - decoding, TWIN_BOUND_GRANTABLE);
}

/* A search that is refreshed many times, on few levels: its keys would be many otherwise. */
static bool is_course(ddt_context *ctx, const ddt_twin_problem *problem) {
    ddt_recommend_options options = {0};
    return problem->recipe.purpose == DDT_TWIN_RECOMMEND &&
           twin_recipe_recommendation(ctx, &problem->recipe, problem->model, &options) == DDT_OK &&
           options.product.course_count > 0;
}

/*
 * Noise is aimed well below the bar of the total error. A circuit that amplifies noise too much for that may still come
 * below the bar: then `check` and the reports tell what is to be expected.
 */
static ddt_status problem_plan(ddt_context *ctx, double target_error, ddt_twin_problem *problem) {
    const uint64_t course_key_limit = UINT64_C(1) << 30;
    const double share_of_bar = 0.9;
    const double moments_accepted = 10; /* times the target: the bar of bands is about the method, not the moments */
    const double relative = target_error > 0 ? target_error : usual_error(problem->recipe.purpose);
    ddt_plan_request request = {.target_error = relative * problem->circuit_scale,
                                .memory_limit = TWIN_MEMORY_LIMIT,
                                .pack_log_n = DDT_PLAN_PACK_LOG_N};
    if (is_course(ctx, problem)) {
        request.levels = DDT_COURSE_LEVELS;
        request.key_limit = course_key_limit;
    }
    if (problem->recipe.grantable) {
        request.bound_target = bound_wanted(problem->solution);
    } else if (target_error == 0 && problem->recipe.purpose == DDT_TWIN_BANDS) {
        request.accept_error = moments_accepted * request.target_error;
    } else if (target_error == 0) {
        request.accept_error = share_of_bar * twin_error_bar(problem) * problem->circuit_scale;
    }
    return ddt_plan_create(ctx, ddt_solution_circuit(problem->solution), &request, &problem->plan);
}

static ddt_status problem_solve(ddt_context *ctx, const ddt_twin_options *asked, ddt_twin_problem *problem) {
    const ddt_model *model = problem->model;
    const ddt_events *events = problem->events;
    ddt_status status = DDT_OK;
    switch (problem->recipe.purpose) {
    case DDT_TWIN_FIT: {
        const ddt_fit_options options = {.prior_weight = problem->recipe.prior_weight};
        status = ddt_solve_fit(ctx, model, events, &options, &problem->solution);
        break;
    }
    case DDT_TWIN_RECOMMEND: {
        ddt_recommend_options options;
        status = twin_recipe_recommendation(ctx, &problem->recipe, model, &options);
        options.reports_usual = asked->report == NULL && problem->recipe.grantable;
        if (status == DDT_OK && asked->report != NULL) {
            status = ddt_recommend_parse_reports(ctx, asked->report, model, &options.reports);
        }
        if (status == DDT_OK) {
            status = ddt_solve_recommend(ctx, model, events, &options, &problem->solution);
        }
        break;
    }
    case DDT_TWIN_BANDS: {
        const ddt_bands_options options = {.patients = asked->patients, .around = asked->around};
        status = ddt_solve_bands(ctx, model, events, &options, &problem->solution);
        break;
    }
    default: {
        const ddt_solve_options options = {0};
        return ddt_solve(ctx, model, events, &options, &problem->solution);
    }
    }
    return status == DDT_OK ? twin_recipe_request_all(ctx, &problem->recipe, problem->solution) : status;
}

static ddt_status problem_build(ddt_context *ctx, const ddt_twin_options *options, ddt_twin_problem *problem) {
    ddt_status status = twin_recipe_create(ctx, options, &problem->recipe);
    if (status == DDT_OK) {
        status = twin_recipe_model(ctx, &problem->recipe, options->model_path, &problem->model);
    }
    if (status == DDT_OK) {
        status = twin_recipe_template(ctx, &problem->recipe, problem->model, options->data_path, &problem->events);
    }
    if (status == DDT_OK) {
        status = problem_solve(ctx, options, problem);
    }
    if (status == DDT_OK) {
        status = problem_scale(ctx, problem);
    }
    return status == DDT_OK ? problem_plan(ctx, options->target_error, problem) : status;
}

ddt_status ddt_twin_problem_create(ddt_context *ctx, const ddt_twin_options *options, ddt_twin_problem **out) {
    ddt_twin_problem *problem = ddt_calloc(1, sizeof *problem);
    if (problem == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_status status = problem_build(ctx, options, problem);
    if (status != DDT_OK) {
        ddt_twin_problem_destroy(problem);
        return status;
    }
    *out = problem;
    return DDT_OK;
}
