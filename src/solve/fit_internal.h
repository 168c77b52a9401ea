/*
 * Inside of the encrypted fit (docs/fit.md).
 *
 *   fit_residual.c  residual models: objective of one level, its score as a polynomial
 *   fit_map.c       the estimate in double precision, by Newton's method; fit_exact.c with the reference solver
 *   fit_train.c     virtual patients, their estimates, and the public regressions made from them
 *   fit_circuit.c   the circuit; fit.c ddt_solve_fit from beginning to end
 *   fit_lag.c       lags that depend on etas; fit_vary.c covariates that change; fit_slopes.c slopes as facts
 *   fit_surrogate.h models that are not linear in their compartments
 *   fit_fill.c      data -> inputs; fit_file.c the fit's section of a plan file
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_FIT_INTERNAL_H
#define DDT_SOLVE_FIT_INTERNAL_H

#include "ddt/solve/fit.h"
#include "solve_internal.h"

#define FIT_STEP 0.2        /* of a moved copy, in standard deviations */
#define FIT_STEP_SD 0.5     /* at most: predictions bend with the eta, however wide its prior */
#define FIT_SLOPE_STEP 0.1  /* of the slopes that a guess sees, likewise */
#define FIT_GAIN_STEP 0.02  /* of the differences behind a gain: the reference solver's errors do not matter */
#define FIT_LEFT_MAX 4.0    /* of the distance to the minimum after a step: beyond it slots would leave their ranges */
#define FIT_LEFT_SERVED 1.0 /* likewise: beyond it the custodian is told that the plan does not serve a subject */
#define FIT_GAIN_LEAST 0.4  /* of the majorant: what is flatter is no curvature to divide by */

/* Of the reference solver: below what the differences behind Newton's steps ask for. */
static const double fit_rtol = 1e-9;

enum {
    FIT_ETAS_MAX = 12,
    FIT_LEVELS_MAX = 64,    /* of one subject */
    FIT_VARIABLES_MAX = 10, /* of the first guess's polynomial */
    FIT_OUTPUTS_MAX = 8,
    FIT_COVARIATES_MAX = 6, /* that the first guess looks at */
    FIT_FACTS_MAX = FIT_LEVELS_MAX * (FIT_ETAS_MAX + 2) + FIT_COVARIATES_MAX + 1 + FIT_ETAS_MAX +
                    FIT_ETAS_MAX * (FIT_ETAS_MAX + 1) / 2,
    FIT_SCORE_MAX = 31, /* degree of a score's polynomial */
    FIT_EXPANSION = 2   /* derivatives of the score that a step uses */
};

/* ------------------------------------------------------------------ residual models */

typedef struct fit_residual {
    ddt_residual_kind kind;
    double additive, proportional; /* standard deviations */
    double reach, pad;             /* predictions considered for a level y: 0 to reach y + pad */
    unsigned degree;               /* of the score's polynomial */
    bool is_public;                /* the polynomial is the same for all levels */
    double limit;                  /* of quantification, where the template has levels below one; else 0 */
} fit_residual;

ddt_status fit_residual_of(ddt_context *ctx, const ddt_model *model, const ddt_output *output, fit_residual *out);
/* Half of what a level adds to the objective, and its two derivatives with respect to the prediction f. */
void fit_residual_half(const fit_residual *r, double y, double f, double *value, double *score, double *curvature);
/* What a level is expected to tell about its prediction (Fisher's information). */
double fit_residual_information(const fit_residual *r, double f);
/* No additive part: predictions and levels are above 0. */
static inline bool fit_is_relative(const fit_residual *r) {
    return r->kind == DDT_RESIDUAL_PROPORTIONAL || r->kind == DDT_RESIDUAL_LOG;
}
/* Standard deviation of a level whose prediction is f. */
double fit_residual_sd(const fit_residual *r, double f);
/* The largest prediction that the score's polynomial of a level covers. */
double fit_residual_top(const fit_residual *r, double y);
/* Differences between level and prediction in units of about one residual standard deviation. */
double fit_residual_standardised(const fit_residual *r, double y, double predicted);
/* A level's deviation from the population's prediction: what the first guess is made from. */
double fit_residual_deviation(const fit_residual *r, double y, double predicted);

/* ------------------------------------------------------------------ the estimate in the clear */

typedef struct fit_level_value {
    double y;
    const fit_residual *residual;
    bool is_censored; /* the level lies below y */
} fit_level_value;

/* fit_residual_half for a level, measured or not. */
void fit_level_half(const fit_level_value *level, double f, double *value, double *score, double *curvature);
/* A curvature that is never small, for steps that must not overshoot. */
double fit_level_majorant(const fit_level_value *level, double f);
/* top * score(f) as a Chebyshev polynomial of 2 f / top - 1; top: fit_residual_top, or more. coefficients: degree + 1.
 */
void fit_level_polynomial(const fit_level_value *level, double top, double *coefficients);
/* Its largest error where an estimate may end, in units of 1 / standard deviation. */
double fit_level_polynomial_error(const fit_level_value *level);
/* What stands for a level in the first guess, and in differences from it. */
double fit_level_typical(const fit_level_value *level);
/* A record's DV as a level; refuses CENS -1 and LIMIT. */
ddt_status fit_level_of(ddt_context *ctx, const ddt_events *events, const ddt_record *record, const fit_residual *r,
                        fit_level_value *out);

/* Predictions of all levels at `etas`. */
typedef ddt_status (*fit_predict)(void *user, const double *etas, double *predictions);

typedef struct fit_problem {
    ddt_context *ctx;
    size_t eta_count, level_count;
    const fit_level_value *levels;
    const double *prior; /* Omega^-1, eta_count x eta_count */
    const double *sd;    /* of each eta: the unit of steps */
    double step;         /* of differences, in these units; 0: 2e-3 */
    bool has_scores;     /* the step goes by the scores' polynomials */
    bool is_virtual;     /* fewer gains to choose from */
    bool has_kinks;      /* of lags and durations, which the circuit does not see: its step is not foreseen */
    fit_predict predict;
    void *user;
} fit_problem;

/*
 * Minimises the objective from `etas` on by damped Newton steps with second differences. Each of the others may be
 * NULL: covariance, the inverse of the expected information and the prior (eta_count x eta_count).
 */
ddt_status fit_map(const fit_problem *problem, double *etas, double *covariance, double *objective);
/* Lower Cholesky factor, in standard deviations, of the gain by which a gradient at `etas` is multiplied for a step:
 * eta_count x eta_count; smaller where the step would overshoot. *left: where the step ends, in standard deviations of
 * the posterior from the minimum; FIT_LEFT_MAX is too far. */
ddt_status fit_gain(const fit_problem *problem, const double *etas, double *factor, double *left);
/* Inverse of a symmetric positive matrix in place; false when it is none. n <= FIT_ETAS_MAX. */
bool fit_invert(double *a, size_t n);
/* Lower Cholesky factor; what is not positive for rounding is 0. The upper triangle of l is left alone. */
void fit_factorise(const double *a, size_t n, double *l);

/*
 * The etas that vary: symbols, standard deviations, inverse covariance times the prior's weight, Cholesky factor of the
 * covariance. Arrays of FIT_ETAS_MAX or its square.
 */
ddt_status fit_prior(ddt_context *ctx, const ddt_model *model, double weight, uint32_t *symbols, size_t *count,
                     double *sd, double *prior, double *factor);
/* The output that a record measures. */
ddt_status fit_output_of(ddt_context *ctx, const ddt_model *model, const ddt_events *events, const ddt_record *record,
                         uint32_t *out);

/* ------------------------------------------------------------------ what a plan keeps */

/* One level of a subject. */
typedef struct fit_level {
    uint32_t record, output, column;
} fit_level;

typedef struct fit_lane {
    fit_level *levels;
    size_t level_count;
    size_t variable_count;
    unsigned degree;
    double *projection; /* variable_count x facts: facts -> variables in [-1, 1] */
    double *centre;     /* variable_count: subtracted */
    double *guess;      /* eta_count x monomials: the first guess, as the engine will compute it */
} fit_lane;

typedef struct solve_fit {
    size_t eta_count, copies;
    double eta_limit[FIT_ETAS_MAX]; /* largest magnitude of a guess */
    size_t covariate_count;
    uint32_t covariates[FIT_COVARIATES_MAX];   /* symbols */
    bool sees_size;                            /* doses matter beside deviations: errors are not only relative */
    bool has_slopes;                           /* facts of fit_slopes.c: covariates change with time */
    double prior[FIT_ETAS_MAX * FIT_ETAS_MAX]; /* Omega^-1 times the weight, in standard deviations */
    double eta_sd[FIT_ETAS_MAX];
    double gain_unit;     /* of the gain's factor among the features: the largest entry that there can be */
    size_t feature_count; /* features repeat in the slots with this period, a power of two */
    size_t output_count;  /* of the model */
    fit_residual residuals[FIT_OUTPUTS_MAX];
    uint32_t feature_input;
    uint32_t inverse_input[FIT_OUTPUTS_MAX];                  /* 1 / top of each level */
    uint32_t score_input[FIT_OUTPUTS_MAX][FIT_SCORE_MAX + 1]; /* SOLVE_NONE where public */
    double score_scale[FIT_OUTPUTS_MAX];
    uint32_t level_range[FIT_OUTPUTS_MAX]; /* range of DV */
    fit_lane *lanes;
    size_t lane_count;
    struct fit_surrogate *surrogate; /* in place of the model where that is not linear; else NULL (fit_surrogate.h) */
} solve_fit;

void solve_fit_destroy(solve_fit *fit);
/* What is known of a patient: levels, their predictions for etas of 0, slopes of these (levels x etas, fit_slope), and
 * the values of symbols. */
typedef struct fit_seen {
    const fit_level_value *levels;
    const double *predicted, *slopes, *symbols;
} fit_seen;

/* What the first guess of a lane looks at: levels' deviations, then covariates and the doses' size, then slopes. */
size_t fit_fact_count(const solve_fit *fit, const fit_lane *lane);
void fit_facts(const solve_fit *fit, const fit_lane *lane, const fit_seen *seen, double *facts);
/* Slopes of the levels' standardised predictions at etas of 0: slopes[level * etas + eta]. */
ddt_status fit_find_slopes(const solve_fit *fit, const fit_lane *lane, fit_predict predict, void *user, double *slopes);
size_t fit_slope_facts(const solve_fit *fit, size_t levels);
void fit_slope_fill(const solve_fit *fit, const fit_lane *lane, const fit_seen *seen, double *facts);
/* Features of a lane from its facts; feature_count values, zeros behind the last monomial. */
void fit_features(const solve_fit *fit, const fit_lane *lane, const double *facts, double *features);
/* One variable of the guess's polynomials; [-1, 1] in the virtual population. */
double fit_variable(const solve_fit *fit, const fit_lane *lane, size_t variable, const double *facts);
size_t fit_monomial_count(size_t variables, unsigned degree);
/* Monomials, and what fit_slope_features adds. */
size_t fit_term_count(const solve_fit *fit, const fit_lane *lane);
size_t fit_slope_terms(const solve_fit *fit, const fit_lane *lane);
void fit_slope_features(const solve_fit *fit, const fit_lane *lane, const double *facts, double *features);
/* The first guess of a lane; false where it lies outside the etas' ranges. */
bool fit_guess(const solve_fit *fit, const fit_lane *lane, const double *features, double *etas);
/* The first level whose prediction lies outside what its score's polynomial covers; level_count when there is none. */
size_t fit_uncovered(const fit_lane *lane, const fit_level_value *levels, const double *predictions);

/* fit_pack.c: where an input stands in the second vector. */
typedef struct fit_place {
    size_t item, items; /* of this many, a power of two */
    size_t row;
    bool is_score;
} fit_place;
fit_place fit_place_of(const solve_layout *layout, const solve_fit *fit, uint32_t input);
bool fit_is_score(const solve_fit *fit, uint32_t input);
/* Regions that a lane must have for `inputs` inputs beside those of levels. */
size_t fit_pack_regions(const solve_layout *layout, const solve_fit *fit, size_t inputs);
void fit_pack(const solve_layout *layout, const solve_fit *fit, const double *const *inputs, double *const *vectors);

/* fill.c: solve_layout_fill, of which subjects may be left out. left_out: NULL where nobody may be. */
ddt_status solve_layout_fill_served(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                                    const ddt_events *events, double *const *inputs, ddt_left_out *left_out);
/* left_out.c: notes a subject whom DDT_ERR_RANGE concerns and goes on (DDT_OK); any other status as it is. */
ddt_status solve_leave_out(ddt_context *ctx, ddt_left_out *left_out, const ddt_events *events, size_t subject,
                           ddt_status status);
bool solve_is_left_out(const ddt_left_out *left_out, size_t subject);
ddt_status fit_pack_fill_served(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                                const ddt_events *events, double *const *vectors, ddt_left_out *left_out);

ddt_status solve_fit_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                          const ddt_events *events, double *const *inputs, ddt_left_out *left_out);
/* One lane's inputs behind amounts and covariates. */
void fit_fill_lane(const ddt_solution *solution, size_t lane, const fit_seen *seen, double *const *inputs);
/* The gain's factor behind it, which goes by the guess. */
void fit_fill_gain(const ddt_solution *solution, size_t lane, const double *factor, double *const *inputs);
/* Where entry (i, j) of the gain's factor stands among the features: the last of a period. */
static inline size_t fit_gain_feature(const solve_fit *fit, size_t i, size_t j) {
    return fit->feature_count - 1 - i * (i + 1) / 2 - j;
}
ddt_status solve_fit_write(ddt_writer *writer, const ddt_solution *solution);
ddt_status solve_fit_read(ddt_context *ctx, ddt_reader *reader, ddt_solution *solution);
/* Whether a layout read from a file is followed by a fit. */
bool solve_fit_expected(const solve_layout *layout);
/* The centre, two along each eta, one along both of each pair. */
static inline size_t fit_copy_count(size_t eta_count) { return 1 + 2 * eta_count + eta_count * (eta_count - 1) / 2; }
/* How far a copy is moved along an eta, in steps: the centre, up and down along each, up along both of each pair. */
double fit_copy_move(size_t eta_count, size_t copy, size_t eta);
/* Such a step, in the eta's unit. */
static inline double fit_copy_step(double sd) { return FIT_STEP * fmin(sd, FIT_STEP_SD); }
/* Slots of one copy: segments x rows x columns. */
static inline size_t fit_copy_slots(const solve_layout *layout) {
    return layout->segments * layout->rows * layout->columns;
}

/* ------------------------------------------------------------------ building */

enum { FIT_TRAINING_MAX = 4000 };

/* One virtual patient of a lane. */
typedef struct fit_sample {
    double *symbols, *amounts; /* symbol_count, record_count */
    double *changes;           /* record_count x changing_count */
    fit_level_value levels[FIT_LEVELS_MAX];
    double predicted[FIT_LEVELS_MAX];
    double slopes[FIT_LEVELS_MAX * FIT_ETAS_MAX];
    double etas[FIT_ETAS_MAX]; /* the estimate */
    double covariance[FIT_ETAS_MAX * FIT_ETAS_MAX];
    double gain[FIT_ETAS_MAX * FIT_ETAS_MAX]; /* its factor, at the guess */
    bool is_covered;
    const struct surrogate_design *design; /* fit_surrogate_train.c: doses and covariates */
    double guess[FIT_ETAS_MAX], at_guess[FIT_LEVELS_MAX];
    double guess_slopes[FIT_LEVELS_MAX * FIT_ETAS_MAX];
} fit_sample;

/* Public regressions: lane-major tables of feature_count coefficients. */
typedef struct fit_tables {
    size_t count;         /* regressions: etas, standard deviations, factor of the covariance */
    double *coefficients; /* [regression][lane][feature] */
} fit_tables;

typedef struct fit_work {
    solve_work *work;
    solve_fit *fit;
    unsigned iterations;
    size_t eta_count;
    uint32_t eta_symbols[FIT_ETAS_MAX];
    double sd[FIT_ETAS_MAX];
    double prior[FIT_ETAS_MAX * FIT_ETAS_MAX];        /* Omega^-1 times the weight */
    double prior_factor[FIT_ETAS_MAX * FIT_ETAS_MAX]; /* Cholesky factor of Omega */
    size_t held_out;                                  /* samples per lane that the regressions do not see */
    fit_sample *samples;                              /* lanes x held_out */
    fit_tables tables;
    solve_numbers numbers;
    solve_exact_buffers buffers;
    size_t least_block;
    size_t repeats;    /* the most levels of one output at one time */
    solve_times times; /* of one copy */

    /* fit_vary.c */
    size_t changing_count;
    uint32_t *changing, *changing_role; /* the model's symbols; a role of each that is in use */
    size_t record_count;
    solve_numbers *of_record;
    double *record_symbols; /* record_count x symbol_count */
    bool *is_needed;        /* of the records of needed_lane */
    size_t needed_lane;

    struct surrogate_training *training; /* fit_surrogate_train.c */
} fit_work;

/* The estimate inside a circuit, right in all slots of its lane; factor: of the covariance, below the diagonal. */
typedef struct fit_nodes {
    ddt_node eta[FIT_ETAS_MAX];
    ddt_node factor[FIT_ETAS_MAX][FIT_ETAS_MAX];
} fit_nodes;

ddt_status fit_options_set(ddt_context *ctx, const ddt_fit_options *options, ddt_fit_options *out);
ddt_status fit_work_create(solve_work *work, fit_work **out);
/* Training, and the circuit with its outputs, calibrated. options->iterations may be 0 here: the guess alone. */
ddt_status fit_work_make(fit_work *fw, const ddt_fit_options *options);
/* The copies' times in lanes of `block` slots. */
ddt_status fit_make_copies(fit_work *fw, size_t block);
/* The inputs of a lane for the virtual patient of a round. */
const fit_sample *fit_fill_virtual(fit_work *fw, size_t lane, size_t round, double *const *inputs);

/* fit_vary.c */
ddt_status fit_vary_create(fit_work *fw);
/* Values of the covariates that change, for each record. */
void fit_vary_draw(const fit_work *fw, size_t records, size_t patient, double (*uniform)(uint64_t *), uint64_t *random,
                   double *changes);
/* The linear systems of a patient, in fw->numbers. */
void fit_vary_numbers(fit_work *fw, size_t lane, const double *symbols, const double *changes);
/* One covariate's input for a virtual patient. */
void fit_vary_fill(const fit_work *fw, size_t lane, size_t input, uint32_t symbol, const double *changes,
                   double *slots);

/* fit_lag.c */
void fit_lag_times(solve_work *work);
void fit_lag_mark(const solve_layout *layout, size_t lane, const solve_given *givens, double *const *inputs);
/* The bits that fit_lag_mark writes: where doses have ended (or begun, boluses), where they are running. SOLVE_NONE
 * without. */
uint32_t fit_lag_input(const solve_layout *layout);
uint32_t fit_running_input(const solve_layout *layout);
/* What the model reads, from the first copy into all others. */
void fit_repeat_copies(const solve_layout *layout, const solve_fit *fit, size_t lane, double *const *inputs);

ddt_status fit_train(fit_work *fw);
/* SplitMix64 (Steele, Lea, Flood 2014), in (0, 1). */
double fit_uniform(uint64_t *state);
/* Etas of a virtual patient, `wider` than the population; the level that it shows. */
void fit_draw_etas(const fit_work *fw, double wider, uint64_t *random, double *etas);
void fit_draw_level(const fit_residual *r, double f, uint64_t *random, fit_level_value *out);
/* a x = b for `columns` right-hand sides by Cholesky's method, in place; a: count x count, b: count x columns. */
void fit_solve_normal(double *a, double *b, size_t count, size_t columns);
/* fit.c: another input, another range. */
ddt_status fit_add_input(fit_work *fw, const char *name, uint32_t range, double bound, uint32_t *index);
ddt_status fit_add_range(fit_work *fw, const char *name, double low, double high, uint32_t *index);
/* What levels of an output the virtual population has shown, widened. */
void fit_level_extremes(const fit_work *fw, size_t output, double *low, double *high);
/* Appends the fit to work->circuit; nodes NULL: with outputs. */
ddt_status fit_build(fit_work *fw, fit_nodes *nodes);
/* Predictions of a lane's levels for a patient. */
void fit_lane_predict(fit_work *fw, size_t lane, const fit_sample *of, double *predictions);

#endif
