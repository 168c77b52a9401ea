/*
 * ddt/twin.h - the steps of an encrypted simulation, file to file: what the commands call.
 *
 *   model + events  --compile-->  plan  --keygen-->  keys  --encrypt-->  twin  --(ddtwin-engine)-->  result
 * --decrypt-->  profile
 *
 * Files are atomic: a failed step leaves nothing behind. The engine's step is not here: it needs circuit alone (see
 * ddt_plan_run) so that `ddtwin-engine` links neither this room nor custody. docs/format.md has the sections of each
 * file, docs/commands.md the commands.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_TWIN_H
#define DDT_TWIN_H

#include "ddt/custody/physician.h"
#include "ddt/custody/release.h"
#include "ddt/solve/bands.h"
#include "ddt/solve/fit.h"
#include "ddt/solve/recommend.h"
#include "ddt/solve/update.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ddt_setting {
    const char *name;
    double value;
} ddt_setting;

/* What a twin is asked. */
typedef enum ddt_twin_purpose {
    DDT_TWIN_SIMULATE,  /* concentrations: a row for every observation */
    DDT_TWIN_FIT,       /* a patient's own parameters (ddt/solve/fit.h): a row for every subject */
    DDT_TWIN_RECOMMEND, /* candidate regimens (ddt/solve/recommend.h): a row for every candidate */
    DDT_TWIN_UPDATE,    /* a twin that lives (ddt/solve/update.h): see ddt_twin_encrypt_update */
    DDT_TWIN_BANDS      /* percentiles over virtual patients (ddt/solve/bands.h): a row for every observation */
} ddt_twin_purpose;

/* How a model and a data set become a problem: the options of check, compile, simulate, fit and recommend. */
typedef struct ddt_twin_options {
    ddt_twin_purpose purpose;
    double prior_weight; /* FIT: omega is divided by it; 0 is 1, below 1 a flattened prior */
    const char *target;  /* RECOMMEND: as ddt_recommend_parse_targets reads it */
    const char *product; /* RECOMMEND: as ddt_recommend_parse_product reads it */
    const char
        *report;    /* RECOMMEND: as ddt_recommend_parse_reports reads it; NULL: the usual if grantable, else none */
    bool grantable; /* RECOMMEND: for ddt_twin_grant: unit responses alone, precise enough to be flooded */
    ddt_update_options update; /* UPDATE */
    size_t patients;           /* BANDS: virtual patients of each subject; 0: 256 */
    bool around;               /* BANDS, and populations: around the data's covariates instead of drawn ones */
    const char *model_path;
    const char *data_path;      /* NULL: a virtual trial drawn from the model (ddtwin check without --data) */
    double grid_h;              /* --grid: adds EVID 2 records every grid_h; 0: none */
    size_t grid_points;         /* the report's own grid: this many points over each subject's span; 0: none */
    const char *const *outputs; /* --output; NULL: the model's */
    size_t output_count;
    const ddt_setting *settings; /* --param */
    size_t setting_count;
    bool carries_forward; /* covariates by last observation carried forward instead of NONMEM's convention */
    double target_error;  /* CKKS noise aimed at, relative to each output's maximum; 0: 1e-4 */
} ddt_twin_options;

/* Errors relative to each output's maximum over all subjects and times. */
typedef struct ddt_error_budget {
    double surrogate;      /* polynomials instead of functions: clear polynomial run - clear exact run */
    double discretisation; /* the solver's own: clear exact run - CVODE */
    double ckks;           /* encryption noise: decrypted - clear polynomial run */
    double total;          /* decrypted - CVODE */
} ddt_error_budget;

/* ------------------------------------------------------------------ problems */

/* A model, its events, their circuit and its plan. */
typedef struct ddt_twin_problem ddt_twin_problem;

/*
 * Reads model and data, solves, calibrates and plans. The caller owns *out. Progress stages "solve", "plan". Errors:
 * those of ddt_model_read, ddt_events_read, ddt_solve, ddt_plan_create; DDT_ERR_ARGUMENT for a negative grid.
 */
DDT_MUST_CHECK ddt_status ddt_twin_problem_create(ddt_context *ctx, const ddt_twin_options *options,
                                                  ddt_twin_problem **out);
void ddt_twin_problem_destroy(ddt_twin_problem *problem);
/* Parts of a problem, owned by it. */
const ddt_model *ddt_twin_problem_model(const ddt_twin_problem *problem);
const ddt_events *ddt_twin_problem_events(const ddt_twin_problem *problem);
const ddt_solution *ddt_twin_problem_solution(const ddt_twin_problem *problem);
void ddt_twin_problem_info(const ddt_twin_problem *problem, ddt_plan_info *plan, ddt_solve_info *solve);
/* Writes the plan file: plan, layout, model text and the options above. *bytes (may be NULL): its size. Errors: those
 * of ddt_writer. */
DDT_MUST_CHECK ddt_status ddt_twin_problem_write(ddt_context *ctx, const ddt_twin_problem *problem, const char *path,
                                                 uint64_t *bytes);

/* compile: ddt_twin_problem_create, then ddt_twin_problem_write; a plan of a living twin by ddt_update_create. */
DDT_MUST_CHECK ddt_status ddt_twin_compile(ddt_context *ctx, const ddt_twin_options *options, const char *plan_path);

/* ------------------------------------------------------------------ plan files */

/* A plan file as custodians read it. */
typedef struct ddt_twin_plan ddt_twin_plan;

/* Reads and checks a whole plan file. Errors: those of ddt_reader, and DDT_ERR_SECURITY for parameters that are not
 * 128-bit secure. */
DDT_MUST_CHECK ddt_status ddt_twin_plan_read(ddt_context *ctx, const char *path, ddt_twin_plan **out);
void ddt_twin_plan_destroy(ddt_twin_plan *plan);
ddt_twin_purpose ddt_twin_plan_purpose(const ddt_twin_plan *plan);
/* The digest of the plan file: it names the computation; keys, twins and results carry it. */
const ddt_digest *ddt_twin_plan_digest(const ddt_twin_plan *plan);
const ddt_plan *ddt_twin_plan_program(const ddt_twin_plan *plan);
/* NULL for a plan of a living twin, and the other way round. */
const ddt_solution *ddt_twin_plan_solution(const ddt_twin_plan *plan);
const ddt_update *ddt_twin_plan_update(const ddt_twin_plan *plan);
const char *ddt_twin_plan_model_name(const ddt_twin_plan *plan);
const char *ddt_twin_plan_model_text(const ddt_twin_plan *plan);
/* The plan's model with its parameters and outputs as compiled; the caller owns *out. */
DDT_MUST_CHECK ddt_status ddt_twin_plan_model(ddt_context *ctx, const ddt_twin_plan *plan, ddt_model **out);
/*
 * DDT_ERR_MISMATCH, naming both files, unless `plan` was made for the model in the file model_path (compared byte by
 * byte). A custodian who gets a plan from the service checks it so against the model that was agreed on.
 */
DDT_MUST_CHECK ddt_status ddt_twin_plan_check_model(ddt_context *ctx, const ddt_twin_plan *plan,
                                                    const char *model_path);

/* ------------------------------------------------------------------ steps of the custodian */

/* Releases in the life of a key: the limit of the ledger that keygen begins. A ciphertext is one. */
enum { DDT_TWIN_RELEASES = 256 };

/*
 * keygen: directory/secret.ddt, public.ddt, eval.ddt, ledger.txt, and plan.ddt, a copy of the plan. The directory is
 * created (0700) and must not hold keys. Keys stream to the file one by one. Progress stage "keys". passphrase NULL:
 * the secret key is not wrapped. *eval_bytes (may be NULL): size of eval.ddt.
 */
DDT_MUST_CHECK ddt_status ddt_twin_keygen(ddt_context *ctx, const char *plan_path, const char *directory,
                                          const char *passphrase, uint64_t *eval_bytes);
/*
 * encrypt: data -> twin file, with the secret key's seeded encryption where secret.ddt is there, else with public.ddt.
 * model_path may be NULL; otherwise the plan must be for that model. Progress stage "encrypt". *bytes (may be NULL):
 * size of the twin.
 */
DDT_MUST_CHECK ddt_status ddt_twin_encrypt(ddt_context *ctx, const char *plan_path, const char *keys_directory,
                                           const char *passphrase, const char *model_path, const char *data_path,
                                           const char *twin_path, uint64_t *bytes);
/*
 * The same for a table of which some subjects may be left out (ddt_solution_fill_served: fits alone; other plans refuse
 * a table whole). Who they are and why travels sealed beside the identifiers; the engine sees nothing of it. *left_out
 * is created here. Errors: DDT_ERR_RANGE also where somebody would be left out and there is no secret key to seal that
 * with.
 */
DDT_MUST_CHECK ddt_status ddt_twin_encrypt_served(ddt_context *ctx, const char *plan_path, const char *keys_directory,
                                                  const char *passphrase, const char *model_path, const char *data_path,
                                                  const char *twin_path, uint64_t *bytes, ddt_left_out *left_out);

/*
 * encrypt for a living twin: what happened to one subject since the twin's clock -> update file. life_path: the twin as
 * the engine has it, for its clock and, with the secret key, for whose it is (DDT_ERR_MISMATCH when the table is
 * another patient's); NULL: a new twin begins with this file. subject: NULL, the only one in the table. Progress stages
 * "steps", "encrypt".
 */
typedef struct ddt_twin_news {
    const char *plan_path, *keys_directory;
    const char *model_path; /* NULL, or the plan must be for that model */
    const char *life_path, *data_path, *subject;
} ddt_twin_news;
DDT_MUST_CHECK ddt_status ddt_twin_encrypt_update(ddt_context *ctx, const ddt_twin_news *news, const char *passphrase,
                                                  const char *update_path, uint64_t *bytes);

/* What a living twin says, decrypted. */
typedef struct ddt_twin_life {
    char *id; /* "1" where the identifier was not sealed */
    ddt_wire_clock clock;
    ddt_update_estimate estimate;
    ddt_model *model;
    ddt_update_info info;
    /* Where a table says what comes next: its observation records. */
    size_t row_count, output_count;
    double *times_h;
    double *predicted, *band; /* as ddt_update_predict gives them */
} ddt_twin_life;
/*
 * decrypt of a living twin. data_path: NULL, or what comes next (doses, and the times to predict); subject as above.
 * Errors: those of ddt_twin_decrypt and ddt_update_predict; *out is zero then.
 */
DDT_MUST_CHECK ddt_status ddt_twin_decrypt_life(ddt_context *ctx, const char *keys_directory, const char *passphrase,
                                                const char *life_path, const char *data_path, const char *subject,
                                                ddt_twin_life *out);
void ddt_twin_life_destroy(ddt_twin_life *life);
/* twin.json as text; the caller owns *json (ddt_free). */
DDT_MUST_CHECK ddt_status ddt_twin_life_json(ddt_context *ctx, const ddt_twin_life *life, char **json);
/* etas.csv, uncertainty.csv (as of a fit), state.csv (compartment, amount, p5, p50, p95), forecast.csv (time, outputs
 * with bands; with a table only) and twin.json go into a folder. */
DDT_MUST_CHECK ddt_status ddt_twin_life_write(ddt_context *ctx, const ddt_twin_life *life, const char *folder);

/* A profile, decrypted or computed in the clear: values[subject][observation * output_count + output]. */
typedef struct ddt_profile {
    size_t subject_count, output_count;
    char **output_names;
    char **subject_ids;
    size_t *observation_counts;
    double **times_h;
    bool **requested; /* false for points that only the report's grid asked for */
    double **values;
    ddt_left_out left_out; /* of fits: their values are not numbers */
} ddt_profile;
/* Frees what *profile owns and zeroes it; patients' values are wiped. */
void ddt_profile_destroy(ddt_profile *profile);
/* Observations that the user asked for, over all subjects. */
size_t ddt_profile_requested_count(const ddt_profile *profile);
/* decrypt: needs keys_directory/secret.ddt and plan.ddt. Progress stage "decrypt". *out is created here. */
DDT_MUST_CHECK ddt_status ddt_twin_decrypt(ddt_context *ctx, const char *keys_directory, const char *passphrase,
                                           const char *result_path, ddt_profile *out);
/* ID,TIME and one column an output; 9 significant digits, times as short as they are exact. Requested rows only. */
DDT_MUST_CHECK ddt_status ddt_profile_write_csv(ddt_context *ctx, const ddt_profile *profile, const char *path);

/* ------------------------------------------------------------------ how good it is */

/*
 * The problem's circuit on its own data in double precision: what decryption would give without noise. exact: with
 * functions instead of their polynomials. *out is created here; subjects have their own IDs. Errors: those of
 * ddt_solution_fill, DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status ddt_twin_run_clear(ddt_context *ctx, const ddt_twin_problem *problem, bool exact,
                                             ddt_profile *out);

typedef struct ddt_assessment {
    ddt_profile reference; /* CVODE on the model's own equations, the same points; of a fit the plaintext optimum; of a
                              recommendation the circuit in the clear */
    size_t output_count;
    double *output_maximum;       /* largest magnitude of the reference, per output; of a fit 1: errors are absolute */
    ddt_error_budget *per_output; /* relative to output_maximum */
    ddt_error_budget worst;       /* each entry the largest over outputs */
    bool measured;    /* false: no decrypted profile was given, ckks is the plan's prediction and total contains it */
    double error_bar; /* what total must not exceed: 1e-3 for linear models, 1e-2 for nonlinear ones and for etas */
    size_t population_drawn;   /* virtual patients behind population_outside; 0: none, as etas are not encrypted */
    double population_outside; /* share of them with at least one random effect (or covariate of declared range) outside
                                  the ranges that the custodian enforces */
} ddt_assessment;

/*
 * Compares a decrypted profile of the problem's own data (NULL: none) with clear runs and CVODE. clear: what
 * ddt_twin_run_clear gave without `exact`, where that is at hand (NULL: it is run here). Progress stage "reference".
 */
DDT_MUST_CHECK ddt_status ddt_twin_assess(ddt_context *ctx, const ddt_twin_problem *problem,
                                          const ddt_profile *decrypted, const ddt_profile *clear, ddt_assessment *out);
void ddt_assessment_destroy(ddt_assessment *assessment);

/* ------------------------------------------------------------------ telling it */

/* What one run of the chain took. Zero where it is not known. */
typedef struct ddt_twin_run {
    double compile_s, keygen_s, encrypt_s, engine_s, decrypt_s, check_s, total_s;
    double engine_batch_s; /* engine_s less reading keys and writing results */
    uint64_t engine_peak_rss_bytes;
    uint64_t plan_bytes, eval_key_bytes, twin_bytes, result_bytes;
    ddt_digest plan_digest;
    const char *kernels; /* of the engine */
    int threads;
} ddt_twin_run;

/* Everything that summary.json, report.html and the figure show. */
typedef struct ddt_twin_outcome {
    ddt_twin_purpose purpose;
    const ddt_model *model;
    const ddt_events *events; /* NULL: no doses and measurements are drawn */
    ddt_plan_info plan;
    ddt_solve_info solve;
    const ddt_profile *profile;       /* the decrypted values; for `check` the assessment's reference */
    const ddt_assessment *assessment; /* NULL: nothing is known about the error, and CVODE is not drawn */
    const ddt_twin_run *run;          /* NULL: nothing was run */
} ddt_twin_outcome;

/* The outcome's parts that a problem knows: all but profile, assessment and run. */
void ddt_twin_problem_outcome(const ddt_twin_problem *problem, ddt_twin_outcome *out);

/* ------------------------------------------------------------------ fits */

/*
 * etas.csv: ID and one column an eta, from the profile of a fit (without its standard deviations, or with these alone:
 * `deviations`). 9 significant digits. Here as in the tables below the fields of subjects who were left out are empty.
 */
DDT_MUST_CHECK ddt_status ddt_twin_write_etas(ddt_context *ctx, const ddt_profile *fit, bool deviations,
                                              const char *path);
/*
 * individuals.csv: ID and the model's individual parameters at each subject's estimate: its variables that depend on an
 * eta, but on no compartment and not on time; covariates as in the subject's first record. Computed in the clear by the
 * custodian, whose data and estimates they are. Errors: DDT_ERR_MISMATCH for a profile that is not one of this problem.
 */
DDT_MUST_CHECK ddt_status ddt_twin_write_individuals(ddt_context *ctx, const ddt_twin_problem *problem,
                                                     const ddt_profile *fit, const char *path);
/*
 * residuals.csv: ID, TIME, OUTPUT, DV, CENS, PREDICTION, RESIDUAL, OUTLIER of every level: what the subject's estimate
 * predicts, the standardised residual (ddt_fit_residuals), and 1 where that is beyond +-3. Likewise in the clear.
 */
DDT_MUST_CHECK ddt_status ddt_twin_write_residuals(ddt_context *ctx, const ddt_twin_problem *problem,
                                                   const ddt_profile *fit, const char *path);
/* The page of a fit: each subject's levels and the curve of its estimate (CVODE in the clear), etas with their
 * standard deviations, errors, costs. data_path: the problem's data. */
DDT_MUST_CHECK ddt_status ddt_twin_write_fit_report(ddt_context *ctx, const ddt_twin_problem *problem,
                                                    const ddt_twin_outcome *outcome, const char *data_path,
                                                    const char *path);

/* ------------------------------------------------------------------ recommendations */

/*
 * The regimens of a recommendation, ranked, and everything a reader needs beside them. ranking[s][0] is the best
 * candidate of subject s: the index of a row of the profile.
 */
typedef struct ddt_recommendation {
    ddt_recommend_targets targets;
    ddt_recommend_product product;
    size_t candidate_count, subject_count;
    size_t **ranking;
    bool **on_front;  /* per subject and candidate: on the Pareto front (ddt_recommend_pareto) */
    double tolerance; /* costs closer than this count as equal: then ddt_recommend_rank says which wins */
    const char *target_text, *product_text; /* as asked; they belong to the problem or plan */
    ddt_course_options course; /* of a course (time_count above 0): candidates are its doses, in their order */
} ddt_recommendation;

/* Ranks the candidates of a problem by a profile of it (decrypted, or of a run in the clear). Of doses per unit of a
 * covariate those come first that the subject can be given within 5 % of rounding (ddt_twin_given_dose). */
DDT_MUST_CHECK ddt_status ddt_twin_rank(ddt_context *ctx, const ddt_twin_problem *problem, const ddt_profile *profile,
                                        ddt_recommendation *out);
/* The same by a plan file; model: from ddt_twin_plan_model. */
DDT_MUST_CHECK ddt_status ddt_twin_plan_rank(ddt_context *ctx, const ddt_twin_plan *plan, const ddt_model *model,
                                             const ddt_profile *profile, ddt_recommendation *out);
void ddt_recommendation_destroy(ddt_recommendation *recommendation);
/* Whether the data have levels (DV) that a recommendation makes no use of, as no eta is a column. */
bool ddt_twin_ignores_levels(const ddt_twin_outcome *outcome);
/* "1000 mg every 12 h, infused over 1 h, first dose 2000 mg" into a caller's buffer. */
enum { DDT_REGIMEN_TEXT_MAX = 160 };
void ddt_twin_regimen_text(const ddt_model *model, const ddt_recommendation *recommendation, size_t candidate,
                           char text[DDT_REGIMEN_TEXT_MAX]);
/*
 * One dose for this subject. Where doses are per unit of a covariate (--product per=WT): times the subject's own,
 * rounded to the step of the model's product that is given in doses of that size; NAN where the outcome has no events.
 */
double ddt_twin_given_dose(const ddt_twin_outcome *outcome, const ddt_recommendation *recommendation, size_t subject,
                           size_t candidate);
/* Column of an output's 5th percentile in the profile of a recommendation; the 50th and 95th are the two behind it.
 * output_count where it has none. */
size_t ddt_twin_percentiles(const ddt_profile *profile, size_t output);
/* Whether a column is a percentile of another one. */
bool ddt_twin_is_percentile(const ddt_profile *profile, size_t output);
/* "0 h: 1500 mg, 12 h: 1000 mg": the doses of a subject's course in the product's steps. */
enum { DDT_COURSE_TEXT_MAX = 1024 };
void ddt_twin_course_text(const ddt_twin_outcome *outcome, const ddt_recommendation *recommendation, size_t subject,
                          char text[DDT_COURSE_TEXT_MAX]);
/* recommendation.json; docs/commands.md lists the fields. The caller owns *json (ddt_free). */
DDT_MUST_CHECK ddt_status ddt_twin_recommendation_json(ddt_context *ctx, const ddt_twin_outcome *outcome,
                                                       const ddt_recommendation *recommendation, char **json);
/* candidates.csv: ID, dose, interval, infusion, loading factor, then the outputs; a row for every candidate, best
 * first. */
DDT_MUST_CHECK ddt_status ddt_twin_write_candidates(ddt_context *ctx, const ddt_profile *profile,
                                                    const ddt_recommendation *recommendation, const char *path);
/* The page: the best regimens of each subject, targets, errors, costs, who saw what. */
DDT_MUST_CHECK ddt_status ddt_twin_write_recommendation_report(ddt_context *ctx, const ddt_twin_outcome *outcome,
                                                               const ddt_recommendation *recommendation,
                                                               const char *path);
/*
 * grant: releases the recommendation for one subject to a physician. The subject's slots of a result (of a plan that
 * recommends) go through ddt_release: masked, flooded, rounded to clinical steps, counted in the ledger; the ranking is
 * made from what was released; its text (JSON: docs/commands.md) is sealed for the physician. subject NULL: the only
 * one. Nothing else leaves. Errors: DDT_ERR_SECURITY where the plan's precision does not carry the flooding or the
 * ledger is spent; DDT_ERR_MISMATCH, DDT_ERR_DATA (no such subject), those of ddt_twin_decrypt and ddt_grant_write.
 */
DDT_MUST_CHECK ddt_status ddt_twin_grant(ddt_context *ctx, const char *keys_directory, const char *passphrase,
                                         const char *result_path, const char *subject, const char *physician_path,
                                         const char *grant_path, ddt_ledger_state *ledger);

/*
 * The texts of a recommendation's question. target NULL: the model's first target. product NULL: the model's first
 * product; a word without '=': the model's product of that name; else what --product takes, as it is. The caller owns
 * both texts (ddt_free); NULL on failure. DDT_ERR_MODEL where the model says nothing, or aims at what regimens cannot
 * be compared for.
 */
DDT_MUST_CHECK ddt_status ddt_twin_complete_question(ddt_context *ctx, const char *model_path, const char *target,
                                                     const char *product, char **target_out, char **product_out);

/* The summary as JSON text, NUL-terminated, owned by the caller (ddt_free). docs/commands.md lists the fields. */
DDT_MUST_CHECK ddt_status ddt_twin_summary(ddt_context *ctx, const ddt_twin_outcome *outcome, char **json);
DDT_MUST_CHECK ddt_status ddt_twin_write_summary(ddt_context *ctx, const ddt_twin_outcome *outcome, const char *path);
/*
 * Populations: an event table of 2 to DDT_POPULATION_MAX virtual patients under the regimen of the first subject in
 * options->data_path, their etas and covariates (ddt_population_patient, from draw 1 on; options->around: covariates
 * of that subject) as columns.
 */
DDT_MUST_CHECK ddt_status ddt_twin_population_table(ddt_context *ctx, const ddt_twin_options *options, size_t patients,
                                                    const char *path);
/* A table of the typical patient under the regimen of the virtual trial (ddt/twin/trial.h): where there are no data. */
DDT_MUST_CHECK ddt_status ddt_twin_typical_table(ddt_context *ctx, const ddt_twin_options *options, const char *path);
/*
 * What comes of the profile of a population (exact percentiles over its patients), or of bands (percentiles of moments,
 * for each subject): bands.csv (ID, TIME, percentiles 5, 50 and 95 of each output, METHOD) and a page that draws them.
 */
DDT_MUST_CHECK ddt_status ddt_twin_write_population(ddt_context *ctx, const ddt_twin_outcome *outcome,
                                                    const char *csv_path, const char *report_path);
/* One standalone HTML file: curves, errors, parameters, who sees what. */
DDT_MUST_CHECK ddt_status ddt_twin_write_report(ddt_context *ctx, const ddt_twin_outcome *outcome, const char *path);
/* The report's curves alone, as one SVG file. */
DDT_MUST_CHECK ddt_status ddt_twin_write_figure(ddt_context *ctx, const ddt_twin_outcome *outcome, const char *path);

#ifdef __cplusplus
}
#endif
#endif
