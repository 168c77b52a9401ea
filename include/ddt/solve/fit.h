/*
 * ddt/solve/fit.h - encrypted maximum a posteriori estimation of a patient's etas (docs/fit.md).
 *
 * The estimate minimises NONMEM's objective sum((y - f)^2 / v + log v) + eta' Omega^-1 eta over the levels y (records
 * of EVID 0 with a DV and without MDV 1) of all outputs of the model; v by each output's residual line. A level below a
 * limit of quantification (CENS 1, the limit in DV) adds -2 log of the probability of that (M3). A fit is an
 * ordinary ddt_solution: circuit -> plan -> keys -> encryption -> engine -> decryption, with the same files; the engine
 * does not know that it is one. Iterations, polynomials and start values are fixed by the plan.
 *
 * Rows and outputs: one row per subject (ddt_solution_observation_count is 1), outputs named as the model's etas that
 * vary (omega above 0), in the model's order, then "sd.<eta>", the posterior standard deviation of each.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_FIT_H
#define DDT_SOLVE_FIT_H

#include "ddt/solve.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What plans of fits should ask for (ddt_plan_request.target_error): outputs are in standard deviations of their eta.
 */
#define DDT_FIT_TARGET_ERROR 4e-3

typedef struct ddt_fit_options {
    ddt_solve_options solve; /* tolerance 0: 1e-4, enough for etas within 0.01 */
    unsigned iterations; /* steps behind the first guess, 1 to 3; 0: 1. Each costs about 30 levels. 1 where a model is
                          not linear in its compartments */
    double prior_weight; /* Omega is divided by it: 1 (also 0) is NONMEM's objective, below 1 a flattened prior */
} ddt_fit_options;

/*
 * Builds and calibrates the fit for all subjects of `events`: the template. As for ddt_solve its values are used for
 * default ranges only; ETA columns are ignored. Which output a level belongs to: the only one, or the one that reads
 * the record's compartment (CMT). Which records have a DV is public: data must have them where the template has.
 * Subjects whose observation records have none get etas of 0 and the prior's standard deviations. A solution made here
 * is filled, collected, written and read by the functions of ddt/solve.h. Models that are not linear in their
 * compartments get a public polynomial of each level in place of the model (docs/fit.md); the data's custodian solves
 * the model at the first guess. Errors: those of ddt_solve; DDT_ERR_UNSUPPORTED where that polynomial is not close;
 * DDT_ERR_UNSUPPORTED also for lags and durations that depend on encrypted values together with modelled rates,
 * constant infusions or rates that change with time, for CENS -1 and LIMIT, for an output without residual line, a
 * model without etas, and more than 12 of them; DDT_ERR_DATA for an observation whose CMT names no output.
 */
DDT_MUST_CHECK ddt_status ddt_solve_fit(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                        const ddt_fit_options *options, ddt_solution **out);

/*
 * The plaintext counterpart: the estimate of one subject by Newton's method, predictions by the reference solver
 * (1e-9). etas: as many as outputs named by an eta above; covariance (may be NULL, row-major): the inverse of prior and
 * expected information; *objective (may be NULL): NONMEM's, without its constant. prior_weight as in the options. Any
 * model that ddt_reference_simulate takes. It starts from etas of 0; an objective with two valleys may have a lower
 * one. Errors: those of ddt_reference_simulate and the fit's DDT_ERR_UNSUPPORTED.
 */
DDT_MUST_CHECK ddt_status ddt_fit_exact(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                        size_t subject, double prior_weight, double *etas, double *covariance,
                                        double *objective);

/* A level beside what a patient's etas predict. */
typedef struct ddt_fit_residual {
    size_t record; /* of the subject */
    size_t output; /* of the model */
    double prediction;
    /* (DV - prediction) / residual standard deviation, of log(DV / prediction) for log-normal errors; below a limit of
     * quantification 0 where the prediction is below it, too, else the limit's. */
    double residual;
} ddt_fit_residual;

/*
 * The levels of one subject at its etas (as many as outputs named by an eta), in the order of records; residuals:
 * record_count of them, *count are filled. In the clear, by CVODE: for who holds data and estimates. Errors: those of
 * ddt_fit_exact.
 */
DDT_MUST_CHECK ddt_status ddt_fit_residuals(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                            size_t subject, const double *etas, ddt_fit_residual *residuals,
                                            size_t *count);

/* Whether a solution (also one read from a plan file) is a fit. */
bool ddt_solution_is_fit(const ddt_solution *solution);

#ifdef __cplusplus
}
#endif
#endif
