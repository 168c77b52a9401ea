/*
 * ddt/solve.h - drug model + event table -> circuit.
 *
 * Linear models with constant coefficients are solved by superposition with time in the slots (docs/solve.md): slot
 * (source d, observation k) of a subject's lane holds the response at observation k to source d (a dose, an infusion,
 * an initial value, a constant input), x_kd = exp(A t2_kd) ( w_d + D'_kd phi1(A D'_kd) r_d ), A, w and
 * r encrypted, t2 and D' public or, where lags and durations depend on encrypted values, encrypted too; exp by scaling
 * and squaring in every slot at once, then one sum over sources. Exact at every observation time: no grid, no
 * interpolation, no discretisation error. Covariates that change with time: a product of such exponentials over
 * segments. Other models: docs/newton.md.
 *
 * A solution holds the circuit and the layout: which value of the data every slot of every input carries, and which
 * observation every slot of every output answers. Both travel in the plan file, so that the custodian needs only the
 * plan and the data.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_H
#define DDT_SOLVE_H

#include "ddt/circuit.h"
#include "ddt/pharma.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ddt_solution ddt_solution;

typedef struct ddt_solve_options {
    double tolerance;    /* surrogate error aimed at, relative to each output's maximum; 0: 2e-5 */
    size_t block_max;    /* most slots a lane may take; 0: 16384. Longer subjects are cut into several lanes */
    unsigned draws;      /* virtual patients for calibration; 0: 200 */
    double range_margin; /* covariates without declared range: the template's range widened by this fraction; 0: 0.2 */
} ddt_solve_options;

/* What `check` tells about a model. */
typedef struct ddt_solve_info {
    const char *method; /* "superposition" (linear models), "newton", or "surrogate" (fits of models that are not) */
    size_t states, subjects, observations, sources;
    size_t segments;       /* the most changes of covariates that an observation looks back on, as a power of two */
    unsigned iterations;   /* of Newton's method; 0 for linear models */
    size_t grid;           /* times a subject that it solves for; 0 likewise */
    double eta_deviations; /* random effects are encrypted within so many standard deviations where Newton's method only
                              converges on narrower ranges than usual; 0: the usual ones */
    bool has_private_times; /* lags, durations or modelled rates depend on encrypted values */
    unsigned squarings;     /* of the matrix exponential */
    double rate_max_per_h;  /* largest rate x horizon found in the virtual population is squarings' reason */
    double surrogate_error; /* predicted, relative to the outputs' maxima: worst over the virtual population, in the
                               clear */
} ddt_solve_info;

/*
 * Builds and calibrates the circuit for all subjects of `events` (the template: times, event types and doses' structure
 * are public; amounts, covariates, etas and DV are not used as constants, only for default ranges where the model
 * declares none). Where covariates change within a subject is public, too. Errors: DDT_ERR_UNSUPPORTED with the
 * construct and line (what Newton's method cannot solve; in models that are not linear: covariates that change, lags
 * and durations that depend on encrypted values), DDT_ERR_DATA, DDT_ERR_CAPACITY.
 */
DDT_MUST_CHECK ddt_status ddt_solve(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                    const ddt_solve_options *options, ddt_solution **out);
void ddt_solution_destroy(ddt_solution *solution);
/* NULL for a solution read from a plan file. */
const ddt_circuit *ddt_solution_circuit(const ddt_solution *solution);
void ddt_solution_get_info(const ddt_solution *solution, ddt_solve_info *info);

/* Subjects of the template. */
size_t ddt_solution_subject_count(const ddt_solution *solution);
/* The template's ID; for a solution read from a plan file the ordinal "1", "2"...: IDs do not travel. */
const char *ddt_solution_subject_id(const ddt_solution *solution, size_t subject);
size_t ddt_solution_observation_count(const ddt_solution *solution, size_t subject);
/* Time of an observation as in the table. */
double ddt_solution_observation_time(const ddt_solution *solution, size_t subject, size_t observation);
size_t ddt_solution_output_count(const ddt_solution *solution);
const char *ddt_solution_output_name(const ddt_solution *solution, size_t output);
/* The declared range of every encrypted symbol and of AMT, in the data's own units: what the custodian enforces. */
typedef struct ddt_declared_range {
    const char *name;
    double low, high;
} ddt_declared_range;
size_t ddt_solution_range_count(const ddt_solution *solution);
ddt_declared_range ddt_solution_range(const ddt_solution *solution, size_t range);

/*
 * Fills the circuit's inputs (inputs[i]: lanes x block doubles, input order of the circuit and of its plan) from a data
 * set with the template's structure: as many subjects, in their order, with the same times and event types
 * (DDT_ERR_MISMATCH otherwise, naming the line); IDs may differ. A value outside its declared range: DDT_ERR_RANGE
 * naming line, column, value and bounds.
 */
DDT_MUST_CHECK ddt_status ddt_solution_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                                            const ddt_events *events, double *const *inputs);

/* Subjects whom a plan does not serve, in their table's order. */
typedef struct ddt_left_out_subject {
    size_t subject;
    char *id, *reason; /* the reason is one sentence */
} ddt_left_out_subject;
typedef struct ddt_left_out {
    size_t count;
    ddt_left_out_subject *subjects;
} ddt_left_out;
/* Frees what *left_out owns and zeroes it. */
void ddt_left_out_destroy(ddt_left_out *left_out);
/* NULL for a subject who is served. */
const char *ddt_left_out_reason(const ddt_left_out *left_out, size_t subject);
/* Copies id and reason; a subject who is there already stays as he is. Errors: DDT_ERR_MEMORY. */
DDT_MUST_CHECK ddt_status ddt_left_out_add(ddt_context *ctx, ddt_left_out *left_out, size_t subject, const char *id,
                                           const char *reason);
/*
 * As ddt_solution_fill; but a fit goes on where DDT_ERR_RANGE concerns one subject alone: a value outside its declared
 * range, a level that the plan's polynomials do not cover, a step that would end far off. He is left out: his slots
 * hold zeros (the middle of each covariate's range, no dose, no level), and what the circuit makes of them means
 * nothing. Where that is everybody: DDT_ERR_RANGE. *left_out is created here, and empty on failure.
 */
DDT_MUST_CHECK ddt_status ddt_solution_fill_served(ddt_context *ctx, const ddt_solution *solution,
                                                   const ddt_model *model, const ddt_events *events,
                                                   double *const *inputs, ddt_left_out *left_out);
/*
 * Reads the circuit's outputs (outputs[o]: lanes x block) back: values[subject][observation * output_count + output],
 * in the outputs' own units. values[subject] has room for all its observations.
 */
void ddt_solution_collect(const ddt_solution *solution, const double *const *outputs, double *const *values);
/*
 * Where ddt_solution_collect reads the values of one subject: there scales[o] (lanes x block, one for each output of
 * the circuit) becomes what an output is multiplied by; other places stay as they are. False for bands, whose subjects
 * are not told apart so.
 */
bool ddt_solution_places(const ddt_solution *solution, size_t subject, double *const *scales);

/* The layout's sections of a plan file (after the plan's). Reading is hostile-proof; lanes and block must be the
 * plan's. */
DDT_MUST_CHECK ddt_status ddt_solution_write(ddt_writer *writer, const ddt_solution *solution);
DDT_MUST_CHECK ddt_status ddt_solution_read(ddt_context *ctx, ddt_reader *reader, const ddt_plan *plan,
                                            ddt_solution **out);

#ifdef __cplusplus
}
#endif
#endif
