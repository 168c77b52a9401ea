/* How good a run is: clear runs, CVODE and the decrypted values side by side. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include "ddt/pharma/population.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum { POPULATION_DRAWN = 4000 }; /* shares of half a percent to a tenth */

#define BAR_LINEAR 1e-3
#define BAR_NONLINEAR 1e-2
#define BAR_BANDS 1e-1 /* what three moments say of percentiles 5 to 95 of skewed populations: docs/population.md */

double twin_error_bar(const ddt_twin_problem *problem) {
    ddt_solve_info info;
    if (problem->recipe.purpose != DDT_TWIN_SIMULATE) {
        return problem->recipe.purpose == DDT_TWIN_BANDS ? BAR_BANDS : BAR_NONLINEAR;
    }
    ddt_solution_get_info(problem->solution, &info);
    return strcmp(info.method, "superposition") == 0 ? BAR_LINEAR : BAR_NONLINEAR;
}

void ddt_assessment_destroy(ddt_assessment *assessment) {
    ddt_profile_destroy(&assessment->reference);
    ddt_free(assessment->output_maximum);
    ddt_free(assessment->per_output);
    *assessment = (ddt_assessment){0};
}

/* The plaintext optimum: etas, then their standard deviations. */
static ddt_status fit_subject(ddt_context *ctx, const ddt_twin_problem *problem, size_t s, ddt_profile *reference) {
    const size_t etas = reference->output_count / 2;
    double *covariance = ddt_calloc(etas * etas, sizeof *covariance);
    if (covariance == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_status status = ddt_fit_exact(ctx, problem->model, problem->events, s, problem->recipe.prior_weight,
                                      reference->values[s], covariance, NULL);
    for (size_t i = 0; status == DDT_OK && i < etas; i++) {
        reference->values[s][etas + i] = sqrt(covariance[i * etas + i]);
    }
    ddt_free(covariance);
    return status;
}

static ddt_status run_fit_reference(ddt_context *ctx, const ddt_twin_problem *problem, const ddt_profile *exact,
                                    ddt_profile *reference) {
    ddt_status status = DDT_OK;
    for (size_t s = 0; status == DDT_OK && s < reference->subject_count; s++) {
        status = ddt_progress(ctx, "reference", s, reference->subject_count);
        if (status == DDT_OK && !twin_is_left_out(exact, s)) {
            status = fit_subject(ctx, problem, s, reference);
        }
    }
    return status == DDT_OK ? ddt_progress(ctx, "reference", reference->subject_count, reference->subject_count)
                            : status;
}

typedef struct curves {
    ddt_context *ctx;
    const ddt_twin_problem *problem;
    const ddt_expr *expressions;
    ddt_profile *reference;
    atomic_int status;  /* the first failure: subjects that have not begun are left out */
    atomic_size_t done; /* subjects */
} curves;

static void run_curve(curves *work, size_t s) {
    int ok = DDT_OK;
    if (atomic_load(&work->status) != DDT_OK) {
        return;
    }
    ddt_profile *reference = work->reference;
    ddt_status status = ddt_reference_simulate(work->ctx, work->problem->model, work->problem->events, s,
                                               work->expressions, reference->output_count, reference->values[s]);
    if (status == DDT_OK) {
        status = ddt_progress(work->ctx, "reference", atomic_fetch_add(&work->done, 1) + 1, reference->subject_count);
    }
    if (status != DDT_OK) {
        (void)atomic_compare_exchange_strong(&work->status, &ok, (int)status);
    }
}

/* The model's own equations by CVODE at the problem's observations, subjects side by side. */
static ddt_status run_curves(ddt_context *ctx, const ddt_twin_problem *problem, ddt_profile *reference) {
    const size_t count = reference->output_count;
    if (count != problem->model->output_count) {
        return ddt_fail(ctx, DDT_ERR_INTERNAL, "The layout has %zu outputs and the model %zu.", count,
                        problem->model->output_count);
    }
    ddt_expr *expressions = ddt_alloc(count, sizeof *expressions);
    if (expressions == NULL) {
        return twin_no_memory(ctx);
    }
    for (size_t o = 0; o < count; o++) {
        expressions[o] = problem->model->outputs[o].value;
    }
    curves work = {.ctx = ctx, .problem = problem, .expressions = expressions, .reference = reference};
    const int threads = ddt_context_threads(ctx);
    atomic_init(&work.status, DDT_OK);
    atomic_init(&work.done, 0);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 1)
    for (size_t s = 0; s < reference->subject_count; s++) {
        run_curve(&work, s);
    }
    ddt_free(expressions);
    return (ddt_status)atomic_load(&work.status);
}

/* Room for one subject's virtual patients. */
typedef struct ensemble {
    double *symbols; /* of a patient */
    double *course;  /* points */
    double *all;     /* points x patients */
    size_t points, patients;
} ensemble;

static ddt_status simulate_ensemble(ddt_context *ctx, const ddt_twin_problem *problem, size_t s,
                                    const ddt_expr *expressions, const ensemble *e) {
    const ddt_model *model = problem->model;
    const bool around = ddt_solution_bands_around(problem->solution);
    ddt_status status = DDT_OK;
    for (size_t v = 0; v < e->patients && status == DDT_OK; v++) {
        status = ddt_population_patient(ctx, model, v + 1, e->symbols);
        if (status == DDT_OK) {
            status = ddt_reference_simulate_with(ctx, model, problem->events, s, e->symbols, around, expressions,
                                                 model->output_count, e->course);
        }
        for (size_t i = 0; i < e->points && status == DDT_OK; i++) {
            e->all[i * e->patients + v] = e->course[i];
        }
    }
    return status;
}

/* Exact percentiles of one subject's virtual patients, each by CVODE. */
static ddt_status ensemble_bands(ddt_context *ctx, const ddt_twin_problem *problem, size_t s,
                                 const ddt_expr *expressions, double *band) {
    static const double probabilities[DDT_BANDS_PERCENTILES] = {0.05, 0.5, 0.95};
    ensemble e = {.points = ddt_solution_observation_count(problem->solution, s) * problem->model->output_count,
                  .patients = ddt_solution_band_patients(problem->solution)};
    size_t count = 0;
    ddt_status status = DDT_OK;
    e.symbols = ddt_calloc(problem->model->symbol_count, sizeof *e.symbols);
    e.course = ddt_calloc(e.points, sizeof *e.course);
    e.all = ddt_size_mul(e.points, e.patients, &count) ? ddt_calloc(count, sizeof *e.all) : NULL;
    if (e.symbols == NULL || e.course == NULL || e.all == NULL) {
        status = twin_no_memory(ctx);
    } else {
        status = simulate_ensemble(ctx, problem, s, expressions, &e);
        for (size_t i = 0; i < e.points && status == DDT_OK; i++) {
            ddt_percentiles(e.all + i * e.patients, e.patients, probabilities, DDT_BANDS_PERCENTILES,
                            band + i * DDT_BANDS_PERCENTILES);
        }
    }
    ddt_free(e.symbols);
    ddt_free(e.course);
    ddt_free(e.all);
    return status;
}

static ddt_status run_ensembles(ddt_context *ctx, const ddt_twin_problem *problem, ddt_profile *reference) {
    const ddt_model *model = problem->model;
    ddt_expr *expressions = ddt_calloc(model->output_count, sizeof *expressions);
    if (expressions == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_status status = DDT_OK;
    for (size_t o = 0; o < model->output_count; o++) {
        expressions[o] = model->outputs[o].value;
    }
    for (size_t s = 0; s < reference->subject_count && status == DDT_OK; s++) {
        status = ddt_progress(ctx, "reference", s, reference->subject_count);
        if (status == DDT_OK) {
            status = ensemble_bands(ctx, problem, s, expressions, reference->values[s]);
        }
    }
    ddt_free(expressions);
    return status == DDT_OK ? ddt_progress(ctx, "reference", reference->subject_count, reference->subject_count)
                            : status;
}

ddt_status ddt_twin_run_clear(ddt_context *ctx, const ddt_twin_problem *problem, bool exact, ddt_profile *out) {
    *out = (ddt_profile){0};
    const ddt_circuit *circuit = ddt_solution_circuit(problem->solution);
    const size_t lanes = ddt_circuit_lanes(circuit);
    const size_t block = ddt_circuit_block(circuit);
    const size_t count = ddt_circuit_output_count(circuit);
    double **outputs = twin_vectors_create(count, lanes, block);
    if (outputs == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_left_out left_out;
    ddt_status status = twin_run_clear(ctx, problem, exact, outputs, &left_out);
    if (status == DDT_OK) {
        status = twin_profile_create(ctx, problem->solution, &problem->recipe, out);
    }
    if (status == DDT_OK) {
        ddt_solution_collect(problem->solution, (const double *const *)outputs, out->values);
        twin_profile_leave_out(out, &left_out);
    }
    ddt_left_out_destroy(&left_out);
    twin_vectors_destroy(outputs, count, lanes, block);
    return status;
}

static bool same_shape(const ddt_profile *a, const ddt_profile *b) {
    if (a->subject_count != b->subject_count || a->output_count != b->output_count) {
        return false;
    }
    for (size_t s = 0; s < a->subject_count; s++) {
        if (a->observation_counts[s] != b->observation_counts[s]) {
            return false;
        }
    }
    return true;
}

/*
 * max |a - b| of one output over all subjects that are served and times; b NULL: max |a|. Not a number counts as
 * infinite, as a profile without values does: it never passes.
 */
static double largest_difference(const ddt_profile *a, const ddt_profile *b, size_t output) {
    if (a->values == NULL) {
        return INFINITY;
    }
    double largest = 0;
    for (size_t s = 0; s < a->subject_count; s++) {
        for (size_t k = 0; k < a->observation_counts[s] && !twin_is_left_out(a, s); k++) {
            const size_t i = k * a->output_count + output;
            const double difference = fabs(a->values[s][i] - (b == NULL ? 0 : b->values[s][i]));
            if (!(difference <= largest)) {
                largest = isnan(difference) ? INFINITY : difference;
            }
        }
    }
    return largest;
}

/* Both profiles are of one layout. */
static ddt_status copy_values(ddt_context *ctx, const ddt_profile *from, ddt_profile *to) {
    if (from->values == NULL || to->values == NULL) {
        return ddt_fail(ctx, DDT_ERR_INTERNAL, "There is no profile to compare with.");
    }
    for (size_t s = 0; s < to->subject_count; s++) {
        memcpy(to->values[s], from->values[s], to->observation_counts[s] * to->output_count * sizeof **to->values);
    }
    return DDT_OK;
}

static ddt_status run_reference(ddt_context *ctx, const ddt_twin_problem *problem, const ddt_profile *exact,
                                ddt_profile *reference) {
    switch (problem->recipe.purpose) {
    case DDT_TWIN_FIT:
        return run_fit_reference(ctx, problem, exact, reference);
    case DDT_TWIN_RECOMMEND:
        return ddt_recommend_is_simulated(problem->solution)
                   ? ddt_recommend_reference(ctx, problem->solution, problem->model, problem->events, reference->values)
                   : copy_values(ctx, exact, reference);
    case DDT_TWIN_BANDS:
        return run_ensembles(ctx, problem, reference);
    default:
        return run_curves(ctx, problem, reference);
    }
}

/* Costs and probabilities of recommendations are numbers of size 1, however small those of one table are. */
static double least_maximum(const char *output) {
    const bool is_cost = strcmp(output, "cost") == 0 || strncmp(output, "cost(", strlen("cost(")) == 0;
    return is_cost || strcmp(output, "p_target") == 0 ? 1 : 0;
}

static double relative(double error, double maximum) { return maximum > 0 ? error / maximum : error; }

static void widen(ddt_error_budget *worst, const ddt_error_budget *one) {
    worst->surrogate = fmax(worst->surrogate, one->surrogate);
    worst->discretisation = fmax(worst->discretisation, one->discretisation);
    worst->ckks = fmax(worst->ckks, one->ckks);
    worst->total = fmax(worst->total, one->total);
}

static void compare(const ddt_profile *exact, const ddt_profile *polynomial, const ddt_profile *decrypted,
                    double predicted_ckks, bool absolute, ddt_assessment *out) {
    for (size_t o = 0; o < out->output_count; o++) {
        const double least = least_maximum(out->reference.output_names[o]);
        const double maximum = absolute ? 1 : fmax(least, largest_difference(&out->reference, NULL, o));
        ddt_error_budget *budget = &out->per_output[o];
        out->output_maximum[o] = maximum;
        budget->surrogate = relative(largest_difference(polynomial, exact, o), maximum);
        budget->discretisation = relative(largest_difference(exact, &out->reference, o), maximum);
        if (decrypted != NULL) {
            budget->ckks = relative(largest_difference(decrypted, polynomial, o), maximum);
            budget->total = relative(largest_difference(decrypted, &out->reference, o), maximum);
        } else {
            budget->ckks = predicted_ckks;
            budget->total = relative(largest_difference(polynomial, &out->reference, o), maximum) + predicted_ckks;
        }
        /* A fit is judged by its etas: the first half of its outputs. */
        if (!absolute || o < out->output_count / 2) {
            widen(&out->worst, budget);
        }
    }
}

static ddt_status assess_into(ddt_context *ctx, const ddt_twin_problem *problem, const ddt_profile *decrypted,
                              const ddt_profile *clear, ddt_profile *exact, ddt_profile *polynomial,
                              ddt_assessment *out) {
    ddt_status status = twin_profile_create(ctx, problem->solution, &problem->recipe, &out->reference);
    if (status == DDT_OK) {
        status = ddt_twin_run_clear(ctx, problem, true, exact);
    }
    if (status == DDT_OK && clear == NULL) {
        status = ddt_twin_run_clear(ctx, problem, false, polynomial);
        clear = polynomial;
    }
    if (status == DDT_OK) {
        status = run_reference(ctx, problem, exact, &out->reference);
    }
    if (status != DDT_OK) {
        return status;
    }
    if (!same_shape(clear, &out->reference) || (decrypted != NULL && !same_shape(decrypted, &out->reference))) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "The profile is not one of this problem.");
    }
    out->output_count = out->reference.output_count;
    out->output_maximum = ddt_calloc(out->output_count, sizeof *out->output_maximum);
    out->per_output = ddt_calloc(out->output_count, sizeof *out->per_output);
    if (out->output_maximum == NULL || out->per_output == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_plan_info plan;
    ddt_solve_info solve;
    ddt_twin_problem_info(problem, &plan, &solve);
    out->measured = decrypted != NULL;
    out->error_bar = twin_error_bar(problem);
    compare(exact, clear, decrypted, plan.predicted_error / problem->circuit_scale,
            problem->recipe.purpose == DDT_TWIN_FIT, out);
    if (problem->recipe.purpose != DDT_TWIN_SIMULATE) {
        return DDT_OK;
    }
    out->population_drawn = POPULATION_DRAWN;
    return twin_population_outside(ctx, problem->model, problem->solution, POPULATION_DRAWN, &out->population_outside);
}

ddt_status ddt_twin_assess(ddt_context *ctx, const ddt_twin_problem *problem, const ddt_profile *decrypted,
                           const ddt_profile *clear, ddt_assessment *out) {
    ddt_profile exact = {0};
    ddt_profile polynomial = {0};
    *out = (ddt_assessment){0};
    ddt_status status = assess_into(ctx, problem, decrypted, clear, &exact, &polynomial, out);
    ddt_profile_destroy(&exact);
    ddt_profile_destroy(&polynomial);
    if (status != DDT_OK) {
        ddt_assessment_destroy(out);
    }
    return status;
}
