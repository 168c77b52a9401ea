/*
 * Inside of recommendations.
 *
 *   recommend_text.c        targets and products as text
 *   recommend_candidates.c  the public table of candidates; ranking
 *   recommend_cost.c        costs and probabilities as functions of a metric
 *   regimen.c               what a metric asks of a regimen: a function of a rate, as a short sum of exponentials
 *   regimen_exact.c         the same metrics in numbers, by matrix exponentials: the oracle
 *   recommend_points.c      the posterior's points, ranges of rates
 *   recommend_inputs.c      what the circuit reads: packed inputs, points, public vectors
 *   recommend_history.c     doses given before
 *   recommend_reports.c     figures that are told beside the targets'
 *   recommend_circuit.c     the circuit
 *   recommend_units.h       what the holder makes of unit responses
 *   recommend_course.c      doses over a course
 *   recommend.c             ddt_solve_recommend from beginning to end
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_RECOMMEND_INTERNAL_H
#define DDT_SOLVE_RECOMMEND_INTERNAL_H

#include "ddt/solve/recommend.h"
#include "solve_internal.h"

enum {
    RECOMMEND_ROWS_MAX = 32, /* exponentials in a sum */
    RECOMMEND_GRID = 16,     /* times of an interval at which the concentration is compared with the MIC */
    RECOMMEND_SHAPES_MAX = 128,
    RECOMMEND_CYCLES_MAX = 1000,
    RECOMMEND_ETAS_MAX = 16,
    RECOMMEND_POSTERIOR_MAX = 8,                           /* of estimates with a posterior */
    RECOMMEND_FIGURES_MAX = 2 * DDT_RECOMMEND_TARGETS_MAX, /* targets and what is told beside them */
    RECOMMEND_BANDS = 3                                    /* percentiles 5, 50 and 95 */
};

/* ------------------------------------------------------------------ candidates */

typedef struct recommend_shape {
    double interval_h, infusion_h, loading;
} recommend_shape;

ddt_status recommend_check_product(ddt_context *ctx, const ddt_recommend_product *product);
size_t recommend_dose_count(const ddt_recommend_product *product);
double recommend_dose(const ddt_recommend_product *product, size_t index);
size_t recommend_shape_count(const ddt_recommend_product *product);
recommend_shape recommend_shape_at(const ddt_recommend_product *product, size_t index);
bool recommend_is_allowed(const ddt_recommend_product *product, size_t shape, size_t dose);
bool recommend_locate(const ddt_recommend_product *product, size_t index, size_t *shape, size_t *dose);
double recommend_daily_dose(const ddt_recommend_product *product, size_t shape, size_t dose);

/* ------------------------------------------------------------------ cost */

/* The concentration or area at which the normalised metric is 1: the limit, or the geometric centre of two. */
double recommend_unit(const ddt_recommend_target *target);
/* The same for what the circuit sees first: the concentration at the MIC where the target is a time above it. */
double recommend_scale(const ddt_recommend_target *target);
/* x / (1 + x) of a metric x in that unit, back to the metric's value. */
double recommend_uncompress(const ddt_recommend_target *target, double compressed);

/* ------------------------------------------------------------------ metrics of a regimen */

/* A number that depends linearly on the concentration's course under a regimen of unit doses. */
typedef struct regimen_functional {
    ddt_metric_kind kind; /* TIME_ABOVE: the concentration at `time_h` after the last dose */
    bool is_steady;
    double day; /* AUC24: how long that is */
    double at_h, from_h, to_h, time_h;
    double interval_h, infusion_h, loading, lag_h;
    double repeat_h; /* not steady: as many doses as there can be before, at this interval; 0: none */
} regimen_functional;

/* The same doses, given that much earlier; without those of repeat_h. */
regimen_functional regimen_earlier(const regimen_functional *f, double by_h);

/* For a compartment with one rate, per unit of dose: F(rate), so that the metric of a linear system is C F(-A) B. */
double regimen_of_rate(const regimen_functional *f, double rate);

/* F(rate) ~ sum_i weight_i exp(-rate time_i). */
typedef struct regimen_sum {
    size_t count;
    double time_h[RECOMMEND_ROWS_MAX], weight[RECOMMEND_ROWS_MAX];
    double error; /* relative, largest on the range of rates */
} regimen_sum;
ddt_status regimen_fit(ddt_context *ctx, const regimen_functional *f, double rate_low, double rate_high, size_t count,
                       double tolerance, regimen_sum *out);

/* What earlier doses add to a metric. */
typedef struct regimen_past {
    size_t count;
    const regimen_functional *doses;
    const double *amounts;          /* about: weights hold for all */
    const regimen_functional *next; /* errors are relative to the sum of all that and of this, so many times */
    double next_amount;
} regimen_past;
/* Times for all doses together (*out), and weights at these times for each: count of them, one dose behind the other.
 */
ddt_status regimen_fit_past(ddt_context *ctx, const regimen_past *past, double rate_low, double rate_high, size_t count,
                            double tolerance, regimen_sum *out, double *weights);

/* C F(-A) B in double precision. a: n x n. */
typedef struct regimen_exact regimen_exact;
ddt_status regimen_exact_create(solve_work *work, regimen_exact **out);
double regimen_exact_value(regimen_exact *exact, const regimen_functional *f, const double *a, const double *gain,
                           size_t dosed, double bioavailability);

/* ------------------------------------------------------------------ one ddt_solve_recommend */

/* One number of the regimen of one shape: a column of the block. */
typedef struct recommend_column {
    regimen_functional f;
    regimen_sum sum;
    double norm;  /* of the typical patient, per unit of dose */
    bool is_zero; /* a dose behind what is measured */
} recommend_column;

/* Where the metrics of a target, or of what is told beside them, lie. */
typedef struct recommend_metric {
    const ddt_recommend_target *target;
    size_t first, count; /* metric columns: one, or the times of an interval */
    double unit;         /* x = metric / unit */
} recommend_metric;

/*
 * Slot = (point * row_slots + row) * columns + metric * shape_slots + shape. Before the sum over rows a row is a time
 * of the sums of exponentials, repeated twice, so that every window of sum_rows rows holds all of them: behind the sum
 * the first sum_rows + 1 rows all hold the metric, and a row is a dose.
 */
typedef struct recommend_work {
    solve_work work;
    ddt_model model; /* with the one output that targets look at */
    const ddt_model *whole_model;
    ddt_output output;
    const ddt_recommend_options *options;
    const ddt_course_options *course; /* NULL: candidates */
    bool wants_curves;                /* refused here, but simulated candidates would do */
    size_t period;                    /* of the doses of a course along the shapes' axis */

    size_t free_count; /* etas that are not columns of the data */
    uint32_t free_symbol[RECOMMEND_ETAS_MAX];
    size_t free_index[RECOMMEND_ETAS_MAX]; /* in model.etas */

    /* Where the estimates of all etas are columns and there are levels: each patient has points of its own. */
    bool has_posterior;
    uint32_t posterior_symbol[RECOMMEND_ETAS_MAX];
    double base[RECOMMEND_ETAS_MAX], spread; /* of the virtual patient at hand */
    double *prior_root;                      /* lower triangular, of omega */
    double *scratch_symbols;

    size_t shapes, doses, points;
    size_t shape_slots, metric_count, metric_slots, sum_rows, row_slots, columns, block;
    ddt_recommend_targets reports; /* told beside the targets */
    bool omits_reports;            /* the usual ones do not fit */
    size_t figure_count;           /* targets, then reports */
    recommend_metric metrics[RECOMMEND_FIGURES_MAX];
    double *point_eta;                    /* points x free_count */
    size_t patient_count, patient_stride; /* virtual patient k is sample k * patient_stride */
    size_t likely_count;                  /* the others are corners of all ranges at once */
    double rate_low, rate_high;
    recommend_column *column; /* metric_count x shapes */
    size_t dosed;             /* state that doses go to */
    size_t dosed_compartment;
    double amplitude;                  /* weights are multiplied by it, so that the metrics' nodes have magnitude 1 */
    struct recommend_history *history; /* NULL: no earlier doses that a target could see */
    double *record_amounts;            /* of one subject's records, scratch */
    ddt_node past_node;                /* the input of earlier doses */
    double *metric_max;                /* per figure: of metric / unit over the virtual population */
    double response_max;               /* of a likely virtual patient */
    regimen_exact *exact;
    double metric_error, cost_error, p_error; /* of likely patients */
    double corner_error;                      /* of a metric at the corners of all ranges */
} recommend_work;

/* recommend_points.c */
/* count x dimensions standard normal numbers; the first and the last point are the centre. */
void recommend_standard_points(size_t count, size_t dimensions, double *z);
/* Lower triangular square root of the covariance of these etas (of model->etas). */
ddt_status recommend_covariance_root(ddt_context *ctx, const ddt_model *model, const size_t *index, size_t n,
                                     double *root);
ddt_status recommend_points_create(recommend_work *r);
/* Takes a virtual patient to hand: symbols are the sample's. */
void recommend_load(recommend_work *r, size_t patient, double *symbols);
/* Moves the symbols of the patient at hand to a point. */
void recommend_set_point(const recommend_work *r, size_t point, double *symbols);
ddt_status recommend_samples_create(recommend_work *r);
ddt_status recommend_rates(recommend_work *r);
/* recommend_inputs.c */
typedef struct recommend_place {
    size_t point, row, metric, shape;
} recommend_place;
recommend_place recommend_place_of(const recommend_work *r, size_t slot);
/* A public vector: a function of the place, the same in every lane. */
typedef double (*recommend_value)(const void *user, const recommend_place *place);
ddt_node recommend_public(recommend_work *r, recommend_value value, const void *user);
/* Index of a symbol among the free etas, free_count where it is none. */
size_t recommend_free_of(const recommend_work *r, uint32_t symbol);
ddt_status recommend_encode(recommend_work *r);
ddt_status recommend_bind_inputs(recommend_work *r);
/* Inputs of a lane for a virtual patient. */
void recommend_fill_lane(recommend_work *r, size_t lane, size_t sample, double *const *inputs);
/* recommend_history.c: what is left of earlier doses, in metric_count columns behind the metrics' own. */
/* Reads them; r->history stays NULL where no target sees any. */
ddt_status recommend_history_find(recommend_work *r);
/* Sums of exponentials and their weights; the layout's table. */
ddt_status recommend_history_fit(recommend_work *r);
ddt_status recommend_history_add_input(recommend_work *r);
/* Whether this is a history's column, and the time of its slot. */
bool recommend_history_has(const recommend_work *r, const recommend_place *p);
double recommend_history_time(const recommend_work *r, size_t lane, const recommend_place *p);
/* What a history's column is multiplied by to be its metric, without the response's own scale; 0 where there is none.
 */
double recommend_history_scale(const recommend_work *r, size_t metric, size_t shape);
/* The same with that scale; 0 for other columns. */
double recommend_history_factor(const recommend_work *r, const recommend_place *p);
/* A virtual patient's doses are `part` of the largest that may be; part of a sample. */
double recommend_history_part(size_t sample);
void recommend_history_fill(const recommend_work *r, size_t lane, double part, double *slots);
/* What earlier doses add, exactly: values[metric * shapes + shape]; numbers: of the patient. */
void recommend_history_exact(recommend_work *r, size_t lane, double part, const solve_numbers *numbers, double *values);
/* recommend_circuit.c */
/* Time of the exponential in a slot of a lane. */
double recommend_time_at(const recommend_work *r, size_t lane, size_t slot);
ddt_status recommend_build(recommend_work *r);
/* With costs: a figure in units of the output "response". */
double recommend_response_unit(const recommend_work *r, size_t figure);
ddt_status recommend_unit_response(recommend_work *r, ddt_node *out);
ddt_status recommend_add_output(recommend_work *r, const char *name, ddt_node node, double scale);
void recommend_drop_outputs(solve_layout *layout);
/* The factor that makes the unit response's node the metric per unit of dose. */
double recommend_column_factor(const recommend_work *r, const recommend_column *column);

size_t recommend_power_of_two(size_t least);
/* recommend_reports.c: fills r->reports, once the linear system is known. */
ddt_status recommend_reports_find(recommend_work *r);
/* recommend.c: everything before the circuit; build: the circuit and its checks. */
ddt_status recommend_run(ddt_context *ctx, const ddt_model *model, const ddt_events *events, recommend_work *r,
                         ddt_status (*build)(recommend_work *r), ddt_solution **out);
/* The compartment of the model's product; else depot, else the first. 1-based. */
unsigned recommend_default_compartment(const ddt_model *model);
bool recommend_has_levels(const ddt_events *events);
/* recommend_curves.c: candidates simulated one by one, recommend_curves.h. */
ddt_status recommend_curves_solve(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                  const ddt_recommend_options *options, ddt_solution **out);
/* recommend_course.c: what is asked of a product that is a course. */
ddt_status recommend_course_solve(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                  const ddt_recommend_options *options, ddt_solution **out);
/* recommend_check.c */
/* Metrics of one patient at one point, per unit of dose: values[column]. symbols is written. */
void recommend_exact_columns(recommend_work *r, size_t point, double *symbols, solve_numbers *numbers, double *values);
ddt_status recommend_limits(recommend_work *r);
ddt_status recommend_calibrate(recommend_work *r);
bool recommend_is_accurate(const recommend_work *r);

#endif
