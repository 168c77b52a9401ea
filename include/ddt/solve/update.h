/*
 * ddt/solve/update.h - a twin that lives: a patient's state and posterior, carried from measurement to measurement.
 *
 * The posterior over the etas is kept on a public set of support points ("multiple models", Jelliffe et al. 1998),
 * drawn from the prior. A living twin is one encrypted vector: for each point the amounts that a patient with these
 * etas has in the compartments now, and the logarithm of the point's likelihood. A step takes an encrypted affine map
 * of the amounts (what happened since: time, doses, covariates) and, if there is one, an encrypted level; the twin goes
 * from run to run without being decrypted and is refreshed by bootstrapping. docs/update.md has the method and what it
 * gives away; linear models only.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_UPDATE_H
#define DDT_SOLVE_UPDATE_H

#include "ddt/solve.h"
#include "ddt/solve/recommend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ddt_update ddt_update;

enum { DDT_UPDATE_ETAS_MAX = 8, DDT_UPDATE_STATES_MAX = 15, DDT_UPDATE_STEPS_MAX = 4096 };

typedef struct ddt_update_options {
    size_t points; /* support points, a power of two from 64 to 16384; 0: as many as fit a ring of 2^16, at most 8192 */
    double memory; /* each level makes what older levels say weigh 1 - 1 / memory as much; 0: 64. Shortened where levels
                      tell so much that the noise of refreshing would drown in it */
    double half_life_h; /* besides, it weighs half as much after that time (the model's unit); 0: no such drift */
    unsigned draws;     /* virtual patients for calibration; 0: 4 */
} ddt_update_options;

typedef struct ddt_update_info {
    size_t points, states, etas;
    double memory, half_life_h;
    double log_scale; /* log likelihood = value * log_scale */
} ddt_update_info;

/*
 * Builds and calibrates the circuit of one step. `events` is a typical patient's table: its doses (twice as much is
 * allowed), times and, where the model declares none, its covariates' ranges are what is planned for. The caller owns
 * *out. Errors: DDT_ERR_UNSUPPORTED with the construct (a model that is not linear in its amounts; lags, modelled rates
 * and durations; initial values; times in the equations; no etas or more than 8; more than 15 compartments; an output
 * without a residual error that a fit can use), DDT_ERR_DATA (no dose in the table), DDT_ERR_CAPACITY, DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status ddt_update_create(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                            const ddt_update_options *options, ddt_update **out);
void ddt_update_destroy(ddt_update *update);
/* Owned by the update; NULL where it was read from a plan file. */
const ddt_circuit *ddt_update_circuit(const ddt_update *update);
void ddt_update_get_info(const ddt_update *update, ddt_update_info *info);
/* What plans of updates should ask for. */
ddt_plan_request ddt_update_request(void);
/* The covariates' ranges, which the custodian enforces. */
size_t ddt_update_range_count(const ddt_update *update);
ddt_declared_range ddt_update_range(const ddt_update *update, size_t range);
const char *ddt_update_eta_name(const ddt_update *update, size_t eta);
/* Input 0 of the circuit and its only output are the twin; the others are a step's. */
size_t ddt_update_input_count(const ddt_update *update);
size_t ddt_update_block(const ddt_update *update);

/*
 * What happened to one subject since the twin's clock, as steps: one for each level, and one for what came after the
 * last level. inputs[step * input_count + i]: a block of values of input i; input 0, the twin, is NULL.
 */
typedef struct ddt_update_steps {
    size_t count, input_count, block;
    double **inputs;
    double from_h, to_h; /* the twin's clock before and after */
    bool rests;          /* the last step has no level: inputs of levels (ddt_update_is_of_level) are 0 in it */
} ddt_update_steps;
/* Whether an input of a step describes a level: 0 in steps without one. */
bool ddt_update_is_of_level(const ddt_update *update, size_t input);

/*
 * since_h: the twin's clock; NAN for a twin without a past, which starts at the first record. The clock afterwards is
 * the last record's time, or the end of the last infusion. Doses of ADDL beyond the last record are left out, as
 * everywhere. Errors: DDT_ERR_RANGE (line, value and bounds: a covariate, a dose larger or doses more frequent than
 * planned for, a level out of reach, a record before the clock), DDT_ERR_UNSUPPORTED (SS 2, steady states
 * of infusions that never end, modelled rates, levels above a limit, levels below one whose objective a step cannot
 * follow), DDT_ERR_DATA, DDT_ERR_MEMORY; *out is zero then.
 */
DDT_MUST_CHECK ddt_status ddt_update_fill(ddt_context *ctx, const ddt_update *update, const ddt_model *model,
                                          const ddt_events *events, size_t subject, double since_h,
                                          ddt_update_steps *out);
void ddt_update_steps_destroy(ddt_update_steps *steps);

/* ------------------------------------------------------------------ reading a decrypted twin */

enum { DDT_UPDATE_BANDS = 3 }; /* percentiles 5, 50 and 95 */

/* What a decrypted twin says. Arrays are owned by it. */
typedef struct ddt_update_estimate {
    size_t eta_count, state_count, sample_count;
    double eta[DDT_UPDATE_ETAS_MAX]; /* the maximum of the posterior */
    double sd[DDT_UPDATE_ETAS_MAX];
    double covariance[DDT_UPDATE_ETAS_MAX * DDT_UPDATE_ETAS_MAX];
    double amount[DDT_UPDATE_STATES_MAX]; /* in each compartment, at eta */
    double amount_band[DDT_UPDATE_STATES_MAX][DDT_UPDATE_BANDS];
    double effective_points; /* how many support points share the posterior */
    double *samples;         /* sample_count x (etas, amounts): of the posterior; the first is eta itself */
} ddt_update_estimate;

/* values: a block as decrypted. Errors: DDT_ERR_DATA (no twin's values), DDT_ERR_MEMORY; *out is zero then. */
DDT_MUST_CHECK ddt_status ddt_update_read_state(ddt_context *ctx, const ddt_update *update, const ddt_model *model,
                                                const double *values, ddt_update_estimate *out);
void ddt_update_estimate_destroy(ddt_update_estimate *estimate);

/*
 * Outputs ahead (or since): at every observation record of one subject's table, which goes on from since_h,
 * predicted[observation * output_count + output] at eta and band[(...) * DDT_UPDATE_BANDS + i]. Levels in the table are
 * not used. Errors: those of ddt_update_fill.
 */
DDT_MUST_CHECK ddt_status ddt_update_predict(ddt_context *ctx, const ddt_update *update, const ddt_model *model,
                                             const ddt_update_estimate *estimate, const ddt_events *events,
                                             size_t subject, double since_h, double *predicted, double *band);

/*
 * Regimens for this patient, compared by the holder of the decrypted twin: what the targets look at, at eta and in
 * bands (percentiles 5, 50 and 95 of 256 samples), for each candidate of the product; cost and probability over the
 * samples as ddt_recommend_target_cost and ddt_recommend_attained define them. Arrays are owned by it.
 */
typedef struct ddt_update_advice {
    size_t candidate_count, target_count;
    double start_h;   /* when the regimens begin */
    size_t *order;    /* candidates, the least cost first */
    double *cost;     /* of each candidate */
    double *p_target; /* likewise */
    double *metric;   /* candidate x target */
    double *band;     /* candidate x target x DDT_UPDATE_BANDS */
} ddt_update_advice;

typedef struct ddt_update_wish {
    const ddt_recommend_targets *targets;
    const ddt_recommend_product *product;
} ddt_update_wish;

/*
 * The table goes on from since_h; the regimen begins at its last record's time (doses before it count, except in
 * targets at steady state) under that record's covariates. Errors: those of ddt_update_fill but the levels';
 * DDT_ERR_UNSUPPORTED (targets of other kinds than auc24, auc, trough, peak, average and fT>mic, or of what is no
 * output of the model), DDT_ERR_USAGE, DDT_ERR_DATA (no column that doses are per unit of), DDT_ERR_RANGE (a target's
 * lower limit that no candidate reaches); *out is zero then.
 */
DDT_MUST_CHECK ddt_status ddt_update_advise(ddt_context *ctx, const ddt_update *update, const ddt_model *model,
                                            const ddt_update_estimate *estimate, const ddt_events *events,
                                            size_t subject, double since_h, const ddt_update_wish *wish,
                                            ddt_update_advice *out);
void ddt_update_advice_destroy(ddt_update_advice *advice);

/* ------------------------------------------------------------------ plan files */

/* The section "UPDT", behind the plan's. Reading is hostile-proof; the plan must be of the same shape. */
DDT_MUST_CHECK ddt_status ddt_update_write(ddt_writer *writer, const ddt_update *update);
DDT_MUST_CHECK ddt_status ddt_update_read(ddt_context *ctx, ddt_reader *reader, const ddt_plan *plan, ddt_update **out);

#ifdef __cplusplus
}
#endif
#endif
