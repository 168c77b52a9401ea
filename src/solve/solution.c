/*
 * ddt_solve from beginning to end, and what a solution tells.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_internal.h"
#include "newton.h"
#include "solve_internal.h"

#include <string.h>

/* ------------------------------------------------------------------ expansions */

/* a[i] * b, each. */
static ddt_status expand_products(solve_work *work, const ddt_expr *a, size_t count, ddt_expr b, solve_terms *out) {
    for (size_t i = 0; i < count; i++) {
        SOLVE_TRY(solve_expand(work, ddt_expr_binary(work->pool, DDT_EXPR_MUL, a[i], b), &out[i]));
    }
    return DDT_OK;
}

/* In a fit whose durations are private the input holds amounts: shortest duration / duration makes them rates. */
static ddt_expr over_duration(solve_work *work, const solve_dosing *dosing, ddt_expr factor) {
    if (!work->fits || !work->times.is_private || dosing->giving != SOLVE_GIVING_MODELLED_DURATION) {
        return factor;
    }
    double shortest_h = dosing->amount_high / dosing->scale;
    factor = ddt_expr_binary(work->pool, DDT_EXPR_MUL, factor, ddt_expr_const(work->pool, shortest_h));
    return ddt_expr_binary(work->pool, DDT_EXPR_DIV, factor, work->linear.duration[dosing->compartment]);
}

/* The bioavailability of each dosing, 1 where the circuit does not multiply by it. */
static ddt_status dosing_factors(solve_work *work, ddt_expr **out) {
    *out = solve_alloc(work, work->dosing_count, sizeof **out);
    if (*out == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t d = 0; d < work->dosing_count; d++) {
        const solve_dosing *dosing = &work->dosings[d];
        (*out)[d] = over_duration(work, dosing,
                                  dosing->omits_f ? ddt_expr_const(work->pool, 1.0)
                                                  : work->linear.bioavailability[dosing->compartment]);
    }
    return DDT_OK;
}

static ddt_status expand_feeds(solve_work *work) {
    size_t n = work->linear.n;
    ddt_expr *factors = NULL;
    SOLVE_TRY(dosing_factors(work, &factors));
    work->f_terms = solve_alloc(work, work->feed_count * work->dosing_count, sizeof *work->f_terms);
    work->initial_terms = solve_alloc(work, work->feed_count * n, sizeof *work->initial_terms);
    if (work->f_terms == NULL || work->initial_terms == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t f = 0; f < work->feed_count; f++) {
        SOLVE_TRY(expand_products(work, factors, work->dosing_count, work->feed_folds[f],
                                  work->f_terms + f * work->dosing_count));
        SOLVE_TRY(expand_products(work, work->linear.initial, n, work->feed_folds[f], work->initial_terms + f * n));
    }
    return DDT_OK;
}

static ddt_status expand_list(solve_work *work, const ddt_expr *list, size_t count, solve_terms *out) {
    for (size_t i = 0; i < count; i++) {
        SOLVE_TRY(solve_expand(work, list[i], &out[i]));
    }
    return DDT_OK;
}

/* Rates under infusions, where they are those of other records. */
static ddt_status expand_pieces(solve_work *work) {
    size_t n = work->linear.n;
    work->piece_terms = work->a_terms;
    if (!solve_role_is_used(work, SOLVE_ROLE_PIECE) || !(work->times.during_max > 0.0)) {
        return DDT_OK;
    }
    work->piece_terms = solve_alloc(work, n * n, sizeof *work->piece_terms);
    return work->piece_terms == NULL ? DDT_ERR_MEMORY
                                     : expand_list(work, work->linear.a_piece, n * n, work->piece_terms);
}

static ddt_status expand_output(solve_work *work, size_t o) {
    size_t n = work->linear.n;
    const solve_linear_output *output = &work->linear.outputs[o];
    bool is_folded = work->feed_folds[work->feed_of_output[o]] != ddt_expr_const(work->pool, 1.0);
    if (output->is_linear && !is_folded) {
        SOLVE_TRY(expand_list(work, output->gain, n, work->gain_terms + o * n));
    }
    return solve_expand(work, output->is_linear ? output->offset : output->value, &work->offset_terms[o]);
}

ddt_status solve_expand_all(solve_work *work) {
    size_t n = work->linear.n;
    size_t outputs = work->model->output_count;
    work->a_terms = solve_alloc(work, n * n, sizeof *work->a_terms);
    work->gain_terms = solve_alloc(work, outputs * n, sizeof *work->gain_terms);
    work->offset_terms = solve_alloc(work, outputs, sizeof *work->offset_terms);
    if (work->a_terms == NULL || work->gain_terms == NULL || work->offset_terms == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(expand_list(work, work->linear.a, n * n, work->a_terms));
    SOLVE_TRY(expand_pieces(work));
    for (size_t o = 0; o < outputs; o++) {
        SOLVE_TRY(expand_output(work, o));
    }
    return expand_feeds(work);
}

/* ------------------------------------------------------------------ attempts */

static ddt_status attempt(solve_work *work, solve_errors *errors) {
    const solve_layout *layout = &work->solution->layout;
    ddt_circuit_destroy(work->solution->circuit);
    solve_functions_destroy(work->solution->functions);
    work->solution->circuit = NULL;
    work->solution->functions = NULL;
    SOLVE_TRY(ddt_circuit_create(work->ctx, layout->lane_count, layout->segments * layout->rows * layout->columns,
                                 &work->solution->circuit));
    work->circuit = work->solution->circuit;
    if (work->trial == NULL) {
        SOLVE_TRY(solve_trial_create(work));
    }
    SOLVE_TRY(solve_superpose(work));
    return solve_calibrate(work, errors);
}

static ddt_status choose_method(solve_work *work) {
    SOLVE_TRY(solve_resolvent_choose(work));
    return work->resolvent != NULL ? DDT_OK : solve_exponential_choose(work);
}

/* What the errors of an attempt ask of the next one. */
static ddt_status tighten(solve_work *work, const solve_errors *errors) {
    enum { CHECKS_MAX = 6 };
    const double tightening = 0.2;
    const double exponential_part = 0.6;
    const bool finite = isfinite(errors->corners) && isfinite(errors->draws);
    if (!finite && work->exponential_checks < CHECKS_MAX) {
        work->exponential_checks += 2; /* unstable between the times that were looked at */
        return choose_method(work);
    }
    if (errors->violations > 0) { /* what a state's errors did, or a function's: both shrink */
        work->tolerance *= tightening;
    }
    if (errors->violations > 0 || errors->exponential > exponential_part * work->options.tolerance) {
        work->exponential_tolerance *= tightening;
        return choose_method(work);
    }
    work->tolerance *= tightening;
    return DDT_OK;
}

/* What to do about outputs that polynomials do not follow. */
static ddt_status refuse_errors(solve_work *work, const solve_errors *errors) {
    const char *path = work->model->path;
    for (size_t o = 0; o < work->model->output_count; o++) {
        const solve_linear_output *output = &work->linear.outputs[o];
        solve_fact fact;
        SOLVE_TRY(solve_fact_of(work, output->value, &fact));
        if (fact.decides_on_state) {
            return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                            "'%s': the output %s decides on a compartment, which is encrypted (max, min, abs or a "
                            "comparison), and no polynomial follows such a bend: decide after decryption (--output).",
                            path, work->model->outputs[o].name);
        }
    }
    return ddt_fail(
        work->ctx, DDT_ERR_UNSUPPORTED,
        "'%s': the virtual population shows an error of %g of an output's maximum (%g at the corners of the "
        "declared ranges, %llu values beyond a function's range) where %g is wanted; narrow the ranges, or take roots, "
        "logarithms and other functions that are steep at 0 of the decrypted result (--output).",
        path, errors->draws, errors->corners, (unsigned long long)errors->violations, work->options.tolerance);
}

/*
 * Tolerances start loose and tighten until the outputs are as accurate as asked: how errors of parameters and of the
 * exponential reach the outputs (many doses add them up) is seen, not estimated, and no polynomial is longer than it
 * must be.
 */
static ddt_status build(solve_work *work) {
    enum { ATTEMPTS_MAX = 12 };
    const double loosest = 64.0;
    const double corner_allowance = 10.0; /* corners of all ranges at once are very rare patients */
    const double wanted = work->options.tolerance;
    solve_errors errors = {0};
    work->tolerance = loosest * wanted;
    for (int k = 0; k < ATTEMPTS_MAX; k++) {
        SOLVE_TRY(attempt(work, &errors));
        work->solution->info.surrogate_error = errors.draws;
        bool is_accurate = errors.draws <= wanted && errors.corners <= corner_allowance * wanted;
        if (is_accurate && errors.violations == 0) {
            return DDT_OK;
        }
        SOLVE_TRY(tighten(work, &errors));
    }
    return refuse_errors(work, &errors);
}

/* ------------------------------------------------------------------ steps */

static ddt_status name_outputs(solve_work *work) {
    solve_layout *layout = &work->solution->layout;
    layout->outputs = ddt_calloc(work->model->output_count, sizeof *layout->outputs);
    if (layout->outputs == NULL) {
        return solve_no_memory(work->ctx);
    }
    for (size_t o = 0; o < work->model->output_count; o++) {
        layout->outputs[o].name = ddt_strdup(work->model->outputs[o].name);
        if (layout->outputs[o].name == NULL) {
            return solve_no_memory(work->ctx);
        }
        layout->output_count = o + 1;
    }
    return DDT_OK;
}

static void fill_info(solve_work *work) {
    ddt_solve_info *info = &work->solution->info;
    info->method = work->newton != NULL ? "newton" : "superposition";
    info->iterations = work->newton != NULL ? work->newton->variant.iterations : 0;
    info->grid = work->newton != NULL ? work->newton->columns : 0;
    info->eta_deviations = work->newton != NULL ? work->eta_deviations : 0.0;
    info->segments = work->solution->layout.segments;
    info->has_private_times = work->times.is_private;
    info->states = work->linear.n;
    info->subjects = work->events->subject_count;
    info->squarings = work->decay.squarings;
    info->rate_max_per_h = work->rate_max;
}

static ddt_status check_column(solve_work *work, uint32_t symbol, size_t column) {
    for (size_t s = 0; s < work->events->subject_count; s++) {
        SOLVE_TRY(solve_check_covariates(work->ctx, work->model, work->events, s, symbol, column));
    }
    return DDT_OK;
}

/* Columns that the model uses must not change with time: where roles are not for. */
ddt_status solve_check_used_covariates(solve_work *work) {
    for (uint32_t i = 0; i < work->encoding_count; i++) {
        uint32_t symbol = work->symbols[work->encodings[i].symbol].origin;
        size_t column = solve_column(work->events, symbol);
        SOLVE_TRY(column != SIZE_MAX ? check_column(work, symbol, column) : DDT_OK);
    }
    return DDT_OK;
}

/* What lags, rates... read is declared and enforced although no input carries it. */
static ddt_status add_dosing_ranges(solve_work *work) {
    size_t compartments = work->model->compartment_count;
    const ddt_expr *lists[] = {work->linear.lag, work->linear.rate, work->linear.duration,
                               work->linear.bioavailability};
    bool *used = solve_alloc(work, work->symbol_count, sizeof *used);
    if (used == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t k = 0; k < sizeof lists / sizeof *lists && work->times.is_private; k++) {
        SOLVE_TRY(ddt_expr_symbols(work->ctx, work->pool, lists[k], compartments, used, work->symbol_count));
    }
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        uint32_t ignored = 0;
        SOLVE_TRY(used[i] ? solve_add_range(work, i, &ignored) : DDT_OK);
    }
    return DDT_OK;
}

static ddt_status prepare(solve_work *work) {
    SOLVE_TRY(solve_samples_create(work));
    SOLVE_TRY(solve_program_create(work));
    return solve_layout_create(work);
}

static ddt_status refuse_private_times(const solve_work *work) {
    return ddt_fail(
        work->ctx, DDT_ERR_UNSUPPORTED,
        "'%s': when doses act depends on encrypted values (alag, dur, rate, or f with a RATE), which is not "
        "supported here.",
        work->model->path);
}

/* A fit of a model that is not linear: the circuit has a surrogate in place of the model (fit_surrogate.h). */
static bool is_surrogate_fit(const solve_work *work) {
    return work->fits && (work->newton != NULL || work->by_surrogates);
}

/* The linear system in numbers, laid out in slots. */
static ddt_status read_problem(solve_work *work) {
    SOLVE_TRY(ddt_expr_pool_create(work->ctx, &work->pool));
    SOLVE_TRY(solve_symbols_create(work));
    SOLVE_TRY(solve_schedules_create(work));
    SOLVE_TRY(solve_linear_create(work));
    if (is_surrogate_fit(work)) {
        SOLVE_TRY(solve_samples_create(work));
        SOLVE_TRY(solve_keep_records(work));
        return name_outputs(work);
    }
    SOLVE_TRY(work->newton != NULL ? newton_prepare(work) : prepare(work));
    SOLVE_TRY(name_outputs(work));
    SOLVE_TRY(solve_scales(work));
    return work->newton != NULL ? newton_rescale(work) : DDT_OK;
}

/* What is encrypted, and how. */
static ddt_status encode_problem(solve_work *work) {
    SOLVE_TRY(solve_feeds_create(work));
    SOLVE_TRY(solve_expand_all(work));
    SOLVE_TRY(work->newton != NULL ? newton_expand(work) : DDT_OK);
    SOLVE_TRY(work->resolvent != NULL ? solve_resolvent_expand(work) : DDT_OK);
    if (work->fits && work->times.is_private && work->newton == NULL) {
        SOLVE_TRY(fit_lag_expand(work));
    }
    SOLVE_TRY(solve_encode(work));
    SOLVE_TRY(work->finish != NULL && !work->fits && work->times.is_private ? refuse_private_times(work) : DDT_OK);
    bool has_roles = work->newton == NULL && (work->finish == NULL || work->fits);
    SOLVE_TRY(has_roles ? DDT_OK : solve_check_used_covariates(work));
    SOLVE_TRY(add_dosing_ranges(work));
    return solve_time_inputs(work);
}

static ddt_status create_scratch(solve_work *work) {
    size_t slots = 0;
    const solve_layout *layout = &work->solution->layout;
    if (!ddt_size_mul(layout->lane_count, layout->segments * layout->rows * layout->columns, &slots)) {
        return solve_no_memory(work->ctx);
    }
    work->slots = solve_alloc(work, slots, sizeof *work->slots);
    work->state_values = solve_alloc(work, work->linear.n, sizeof *work->state_values);
    return work->slots == NULL || work->state_values == NULL ? DDT_ERR_MEMORY : DDT_OK;
}

ddt_status solve_work_run(solve_work *work) {
    const double exponential_part = 0.5; /* entries of the exponential, corners included; tightened where it shows */
    SOLVE_TRY(read_problem(work));
    if (is_surrogate_fit(work)) {
        SOLVE_TRY(work->finish(work, work->finish_user));
        fill_info(work);
        work->solution->info.method = "surrogate";
        return DDT_OK;
    }
    work->exponential_tolerance = exponential_part * work->options.tolerance;
    SOLVE_TRY(choose_method(work));
    SOLVE_TRY(encode_problem(work));
    work->precision_floor = 1.0 / fmax(1.0, work->rate_max * fmax(work->times.t2_max, work->times.during_max));
    SOLVE_TRY(create_scratch(work));
    if (work->finish != NULL) {
        SOLVE_TRY(work->finish(work, work->finish_user));
    } else {
        SOLVE_TRY(work->newton != NULL ? newton_solve(work) : build(work));
    }
    fill_info(work);
    return DDT_OK;
}

void solve_work_clear(solve_work *work) {
    for (size_t s = 0; work->schedules != NULL && s < work->events->subject_count; s++) {
        ddt_schedule_destroy(&work->schedules[s]);
    }
    ddt_expr_program_destroy(work->program);
    ddt_expr_program_destroy(work->output_program);
    if (work->newton != NULL) {
        ddt_expr_program_destroy(work->newton->divisors);
        ddt_expr_program_destroy(work->newton->program); /* the rest of it lies in the arena */
    }
    ddt_expr_pool_destroy(work->pool);
    ddt_free(work->facts);
    solve_arena_clear(&work->arena);
}

ddt_status solve_set_options(ddt_context *ctx, const ddt_solve_options *options, ddt_solve_options *out) {
    const double default_tolerance = 2e-5;
    const double default_margin = 0.2;
    *out = options == NULL ? (ddt_solve_options){0} : *options;
    out->tolerance = out->tolerance == 0.0 ? default_tolerance : out->tolerance;
    out->block_max = out->block_max == 0 ? SOLVE_BLOCK_DEFAULT : out->block_max;
    out->draws = out->draws == 0 ? SOLVE_DRAWS_DEFAULT : out->draws;
    out->range_margin = out->range_margin == 0.0 ? default_margin : out->range_margin;
    if (!(out->tolerance > 0.0) || !(out->tolerance < 1.0) || !(out->range_margin > 0.0)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The tolerance must lie between 0 and 1 and the range margin above 0.");
    }
    return DDT_OK;
}

ddt_status solve_work_solution(solve_work *work, ddt_solution **out) {
    work->solution = ddt_calloc(1, sizeof *work->solution);
    if (work->solution == NULL) {
        return solve_no_memory(work->ctx);
    }
    ddt_status status = solve_work_run(work);
    solve_work_clear(work);
    if (status != DDT_OK) {
        ddt_solution_destroy(work->solution);
        return status;
    }
    *out = work->solution;
    return DDT_OK;
}

ddt_status solve_run(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                     const ddt_solve_options *options, ddt_status (*finish)(solve_work *work, void *user), void *user,
                     ddt_solution **out) {
    solve_work work = {.ctx = ctx, .model = model, .events = events, .finish = finish, .finish_user = user};
    SOLVE_TRY(solve_set_options(ctx, options, &work.options));
    return solve_work_solution(&work, out);
}

ddt_status ddt_solve(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                     const ddt_solve_options *options, ddt_solution **out) {
    const double narrower = 2.0; /* standard deviations */
    solve_work work = {.ctx = ctx, .model = model, .events = events};
    SOLVE_TRY(solve_set_options(ctx, options, &work.options));
    ddt_status status = solve_work_solution(&work, out);
    if (status == DDT_ERR_UNSUPPORTED && work.wants_exponential) {
        ddt_context_clear(ctx);
        solve_work again = {.ctx = ctx, .model = model, .events = events, .avoids_resolvent = true};
        SOLVE_TRY(solve_set_options(ctx, options, &again.options));
        status = solve_work_solution(&again, out);
    }
    if (status == DDT_ERR_UNSUPPORTED && work.wants_narrower) {
        ddt_context_clear(ctx);
        solve_work again = {
            .ctx = ctx, .model = model, .events = events, .eta_deviations = narrower, .covers_template = true};
        SOLVE_TRY(solve_set_options(ctx, options, &again.options));
        status = solve_work_solution(&again, out);
    }
    return status;
}

/* ------------------------------------------------------------------ what a solution tells */

void ddt_solution_destroy(ddt_solution *solution) {
    if (solution != NULL) {
        ddt_circuit_destroy(solution->circuit);
        solve_functions_destroy(solution->functions);
        solve_layout_clear(&solution->layout);
        solve_fit_destroy(solution->fit);
        solve_bands_destroy(solution->bands);
        recommend_curves_destroy(solution->curves);
        recommend_units_destroy(solution->units);
        ddt_free(solution);
    }
}

const ddt_circuit *ddt_solution_circuit(const ddt_solution *solution) { return solution->circuit; }

void ddt_solution_get_info(const ddt_solution *solution, ddt_solve_info *info) { *info = solution->info; }

size_t ddt_solution_subject_count(const ddt_solution *solution) {
    return solution->curves != NULL ? recommend_curves_subjects(solution->curves) : solution->layout.subject_count;
}

const char *ddt_solution_subject_id(const ddt_solution *solution, size_t subject) {
    if (solution->curves != NULL) {
        return recommend_curves_id(solution->curves, subject);
    }
    return subject < solution->layout.subject_count ? solution->layout.subjects[subject].id : "";
}

size_t ddt_solution_observation_count(const ddt_solution *solution, size_t subject) {
    if (solution->curves != NULL) {
        return subject < ddt_solution_subject_count(solution) ? recommend_curves_candidates(solution->curves) : 0;
    }
    return subject < solution->layout.subject_count ? solution->layout.subjects[subject].observation_count : 0;
}

double ddt_solution_observation_time(const ddt_solution *solution, size_t subject, size_t observation) {
    if (observation >= ddt_solution_observation_count(solution, subject)) {
        return 0.0;
    }
    return solution->curves != NULL ? (double)observation
                                    : solution->layout.subjects[subject].observations[observation].time_h;
}

size_t ddt_solution_output_count(const ddt_solution *solution) {
    if (solution->units != NULL) {
        return recommend_units_output_count(solution->units);
    }
    return solution->curves != NULL ? recommend_curves_output_count(solution->curves) : solution->layout.output_count;
}

const char *ddt_solution_output_name(const ddt_solution *solution, size_t output) {
    if (solution->bands != NULL) {
        return solve_bands_name(solution->bands, output);
    }
    if (solution->curves != NULL) {
        return recommend_curves_output(solution->curves, output);
    }
    if (solution->units != NULL) {
        return recommend_units_output(solution->units, output);
    }
    return output < solution->layout.output_count ? solution->layout.outputs[output].name : "";
}

size_t ddt_solution_range_count(const ddt_solution *solution) { return solution->layout.range_count; }

ddt_declared_range ddt_solution_range(const ddt_solution *solution, size_t range) {
    if (range >= solution->layout.range_count) {
        return (ddt_declared_range){.name = ""};
    }
    const solve_range *r = &solution->layout.ranges[range];
    return (ddt_declared_range){.name = r->name, .low = r->low, .high = r->high};
}
