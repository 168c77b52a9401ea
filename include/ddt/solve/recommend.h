/*
 * ddt/solve/recommend.h - what-if, ranking and P(target) of dosing regimens on encrypted patients.
 *
 * A candidate is a dose, an interval, an infusion time and a loading dose; the table of candidates is public. For every
 * subject one circuit computes, for all candidates at once, what the targets look at (AUC24, trough, peak ...), a cost
 * and the probability that the targets are attained. The result is an ordinary ddt_solution: plan, keys, encryption,
 * engine and decryption do not know what they compute. Observation = candidate: ddt_solution_observation_time is its
 * index (0, 1, ...), ddt_recommend_candidate_at tells what it is. docs/recommend.md has the method, the cost and its
 * accuracy.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_RECOMMEND_H
#define DDT_SOLVE_RECOMMEND_H

#include "ddt/solve.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DDT_RECOMMEND_TARGETS_MAX = 8,
    DDT_RECOMMEND_INTERVALS_MAX = 8,
    DDT_RECOMMEND_INFUSIONS_MAX = 8,
    DDT_RECOMMEND_LOADINGS_MAX = 4,
    DDT_RECOMMEND_CANDIDATES_MAX = 1024,
    DDT_RECOMMEND_NAME_BYTES = 48,
    DDT_COURSE_DOSES_MAX = 16
};

/* ------------------------------------------------------------------ targets */

typedef enum ddt_metric_kind {
    DDT_METRIC_AUC24,      /* area under the curve over 24 h */
    DDT_METRIC_AUC_WINDOW, /* over from_h to to_h after the regimen's start */
    DDT_METRIC_TROUGH,     /* just before the next dose */
    DDT_METRIC_PEAK,       /* at the end of the infusion, or just after a bolus into the measured compartment */
    DDT_METRIC_AVERAGE,    /* over the interval */
    DDT_METRIC_TIME_ABOVE, /* part of the interval with a concentration above `mic` */
    DDT_METRIC_LOWEST,     /* from the start to at_h, or over all cycles: a nadir */
    DDT_METRIC_HIGHEST,    /* likewise */
    DDT_METRIC_SHARE       /* area of `of` over that of `relative_to`, or over dose x time, from the start to at_h */
} ddt_metric_kind;

/*
 * One target. steady: at steady state; otherwise AUC24 is that of the 24 h that end at_h after the start, and the
 * others are those of the dosing interval that ends at at_h (which must be a multiple of every interval). low 0 or high
 * INFINITY: open to that side.
 */
typedef struct ddt_recommend_target {
    ddt_metric_kind kind;
    bool is_steady;
    double at_h;
    double from_h, to_h; /* AUC_WINDOW */
    double low, high;    /* in the model's units (h x concentration for areas) */
    double mic;          /* TIME_ABOVE */
    double weight;       /* in the cost; 1 by default */
    bool is_toxicity;    /* only a limit: counts in the cost, and in P(target) as the upper limit it is */
    char name[DDT_RECOMMEND_NAME_BYTES]; /* the output's name: "auc24", "trough@48" ... */
    /* The output, variable or compartment that is looked at; "": ddt_recommend_options.output. */
    char of[DDT_RECOMMEND_NAME_BYTES];
    char relative_to[DDT_RECOMMEND_NAME_BYTES]; /* SHARE: likewise, "": the doses given */
    double day;                                 /* in the model's time unit; 0: 24, hours */
} ddt_recommend_target;

typedef struct ddt_recommend_targets {
    size_t count;
    ddt_recommend_target items[DDT_RECOMMEND_TARGETS_MAX];
} ddt_recommend_targets;

/*
 * Reads a specification: targets separated by ';', each
 *
 *   ["tox:"] METRIC ["(" NAME ")"] ["@" TIME] "=" RANGE ["[" UNIT "]"] {"," KEY "=" VALUE}
 *
 *   METRIC  auc24 | auc<FROM>-<TO> | trough | peak | average | cumauc (with @TIME: from 0 to TIME) | fT>mic (or
 *           ft>mic) | nadir (or min) | max (both with @TIME: from 0 to TIME; else over all cycles) | share (with @TIME)
 *   NAME    an output, a variable or a compartment of the model instead of its first output; of a share also A/B, the
 *           area under A relative to that under B; share(A) is relative to the doses given, times TIME
 *   TIME    in the model's time unit, from the start of the regimen
 *   RANGE   LOW:HIGH | LOW: | :HIGH | VALUE (fT>mic, nadir, share: at least VALUE; max, tox: at most VALUE; else VALUE
 *           itself is the aim)
 *   UNIT    mass (ng ug mg g kg), amount of substance (nmol umol mmol mol) or [iU] / volume (mL dL L), areas with .h
 *           or *h behind or "h." before; converted to the model's units; without one the model's units are meant
 *   KEY     mic (fT>mic), weight
 *
 * For example "auc24=400:600", "trough=10:15; tox:peak=40, weight=2", "fT>mic=0.6,mic=2", "auc24@48=400:600[mg.h/L]",
 * "nadir(wbc)=1:2", "share(liver/central)@48=0.3:".
 * The model gives the concentration unit that units are converted to; NULL: units are refused. Every mistake is one
 * sentence that names the part of the text (DDT_ERR_USAGE). *out is untouched on failure.
 */
DDT_MUST_CHECK ddt_status ddt_recommend_parse_targets(ddt_context *ctx, const char *text, const ddt_model *model,
                                                      ddt_recommend_targets *out);

/*
 * Reads figures that are to be told beside the targets': a list such as "auc24,trough,peak@48" of metrics without
 * ranges, separated by commas; "none" or "": an empty one. Time above a threshold wants "fT>2", the threshold in the
 * model's unit. Errors as above.
 */
DDT_MUST_CHECK ddt_status ddt_recommend_parse_reports(ddt_context *ctx, const char *text, const ddt_model *model,
                                                      ddt_recommend_targets *out);

/* ------------------------------------------------------------------ candidates */

/* What can be given. Doses are low, low + step ... high (the model's dose unit, one administration). */
typedef struct ddt_recommend_product {
    double dose_low, dose_high, dose_step;
    double intervals_h[DDT_RECOMMEND_INTERVALS_MAX];
    size_t interval_count;
    double infusions_h[DDT_RECOMMEND_INFUSIONS_MAX]; /* 0: bolus or oral */
    size_t infusion_count;
    double loadings[DDT_RECOMMEND_LOADINGS_MAX]; /* first dose / maintenance dose; 1: no loading dose. None: {1} */
    size_t loading_count;
    double daily_max;     /* all doses of 24 h at most; 0: no limit */
    double rate_max;      /* dose / infusion time at most; 0: no limit */
    unsigned compartment; /* 1-based CMT; 0: the compartment that doses go to by default */
    /* A covariate that doses (and limits) are per unit of, "WT" for mg/kg: one table for patients of all sizes, whose
     * size stays encrypted. "": doses are as they stand. */
    char per[DDT_RECOMMEND_NAME_BYTES];
    unsigned cycles; /* doses that are given at all; 0: until the last time that a target looks at (one for nadirs) */
    double day;      /* in the model's time unit; 0: 24, hours */
    /* A course: doses of their own size at these times instead of candidates; none: course_count 0. */
    double course_h[DDT_COURSE_DOSES_MAX];
    size_t course_count;
    double change_weight, dose_weight; /* of a course (ddt_course_options) */
} ddt_recommend_product;

/*
 * Reads the same from text, for --product: "dose=250:2000:250; interval=8,12,24; infusion=1,2; loading=1,2;
 * rate=1000; daily=4500; cmt=1; per=WT; cycles=2; day=24". Keys may be left out: interval 24, infusion 0, loading 1.
 * "course=0,12,24; dose=500:2000:250; infusion=1; change=0.1; amount=0.02; rate=1000; cmt=1": a dose of its own size at
 * each time (ddt_solve_course), within dose's bounds.
 * One sentence for every mistake (DDT_ERR_USAGE): contradictory bounds, a step that is not positive, too many
 * candidates ...
 */
DDT_MUST_CHECK ddt_status ddt_recommend_parse_product(ddt_context *ctx, const char *text, ddt_recommend_product *out);

/* A day in the model's time unit, for products whose text does not say (24 where the model does not, either). */
double ddt_recommend_day(const ddt_model *model);

/* The text that ddt_recommend_parse_product reads as this product; *out belongs to the caller (ddt_free). */
DDT_MUST_CHECK ddt_status ddt_recommend_product_text(ddt_context *ctx, const ddt_recommend_product *product,
                                                     char **out);

/*
 * The model's own product (name NULL: its first) as candidates: doses from the lowest to the highest multiple of the
 * product's step, in a step that gives at most 17 of them, intervals and infusion times (evenly spread ones where there
 * are more than fit), no loading dose. Errors: DDT_ERR_MODEL when the model has no such product.
 */
DDT_MUST_CHECK ddt_status ddt_recommend_product_of(ddt_context *ctx, const ddt_model *model, const char *name,
                                                   ddt_recommend_product *out);

typedef struct ddt_recommend_candidate {
    double dose, interval_h, infusion_h;
    double loading; /* first dose / dose */
} ddt_recommend_candidate;

/* Candidates of a product: all shapes (interval x infusion x loading) x doses, doses fastest; those over rate_max
 * and with infusions longer than their interval are left out. */
size_t ddt_recommend_candidate_count(const ddt_recommend_product *product);
ddt_recommend_candidate ddt_recommend_candidate_at(const ddt_recommend_product *product, size_t index);

/* ------------------------------------------------------------------ cost */

/*
 * Cost of one target without its weight. Outside a range it is the square of what is missing of the lower limit (1 -
 * x/low), or of what is too much of the value (1 - high/x): 0.25 at half the lower and at twice the upper limit, at
 * most
 * 1. The corners at the limits are rounded over a relative width DDT_RECOMMEND_EDGE. Ranges with two limits c1, c2 add
 * DDT_RECOMMEND_CENTRE ((x - c) / (x + c))^2, c = sqrt(c1 c2), so that one value is the best. Where a single value c is
 * aimed at, the cost is DDT_RECOMMEND_AIM ((x - c) / (x + c))^2.
 */
#define DDT_RECOMMEND_EDGE 0.08
#define DDT_RECOMMEND_CENTRE 0.2
#define DDT_RECOMMEND_AIM 4.0
double ddt_recommend_target_cost(const ddt_recommend_target *target, double value);
/*
 * 1 inside, 0 outside, with edges smoothed over a relative width DDT_RECOMMEND_EDGE (a logistic function of log(value /
 * limit) / width): what P(target) averages over the posterior's points. A single value counts as attained within 20 %.
 */
double ddt_recommend_attained(const ddt_recommend_target *target, double value);

/* ------------------------------------------------------------------ the solution */

typedef struct ddt_recommend_options {
    ddt_solve_options solve;
    ddt_recommend_targets targets;
    ddt_recommend_product product;
    const char *output;  /* the model's output that targets look at; NULL: its first */
    bool point_estimate; /* no expectation: cost and P(target) at the etas given alone */
    /* Without costs under encryption: a program shallow enough to be flooded for release. The table is the same, made
     * of the unit responses when collecting. Simulated candidates: their curves, at the point estimate. */
    bool metrics_only;
    ddt_recommend_targets reports; /* told beside the targets; their ranges do not count */
    bool reports_usual; /* instead of `reports`: auc24, trough and peak at the first target's time, as far as the model
                           has them and they fit */
    double dose_weight; /* cost of (daily dose / largest daily dose among the candidates); 0: none */
} ddt_recommend_options;

/*
 * Builds and calibrates the circuit. `events` is the template, as for ddt_solve: covariates are encrypted, etas that
 * are columns are, too (a posteriori: the patient's own estimate); etas that are not columns are unknown: the
 * expectation runs over the population's distribution, around 0. Estimates may be as large as exp(eta) = 2.7, or two
 * standard deviations of omega, or what the template has, and no larger. Where all etas that vary are columns and the
 * data have levels (DV), the expectation runs over what these levels leave of each patient: the custodian sums up prior
 * and expected information at filling (ddt_fit_exact), and encrypts the etas of each point (inside the ranges above)
 * instead of one value. Without levels the estimates are taken as certain.
 *
 * The new regimen begins at the time of a subject's last record (of EVID 2, say), which takes the place of a dose at
 * that time. Doses of the subject's records before it are counted in targets @HOURS: their amounts are encrypted, times
 * and infusion times are public. Steady-state targets do not see them.
 *
 * Outputs, for each subject and candidate: the metrics of the targets at the point estimate, named as the targets;
 * "cost" (sum of weights x expected target costs, plus the dose's) and "p_target" (probability that all targets
 * hold, from 0 to 1 but for approximation errors; with point_estimate the smoothed indicator itself); where there
 * are several targets, "cost(NAME)" for each: any weighting, so the whole Pareto front, is a sum of these; figures that
 * are reported beside them; and, where expectations run over points, "NAME.p05", "NAME.p50" and "NAME.p95" of each
 * target and figure: percentiles of what the points stand for (ddt_recommend_points), by the mean and the variance of
 * their logarithms (parts of a time: of their values). Metrics, figures and percentiles are worked out when collecting,
 * from one ciphertext of unit responses at all points; cost, p_target and cost(NAME) are computed under encryption
 * unless metrics_only.
 *
 * Errors: those of ddt_solve; DDT_ERR_UNSUPPORTED for a model that is not linear, an encrypted lag, a peak after
 * absorption, earlier doses into another compartment or with modelled durations; DDT_ERR_ARGUMENT-free: contradictory
 * or unreachable requests are DDT_ERR_RANGE with one sentence, e.g. a target that no candidate reaches in any patient
 * of the virtual population.
 */
DDT_MUST_CHECK ddt_status ddt_solve_recommend(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                              const ddt_recommend_options *options, ddt_solution **out);

/*
 * Models that are not linear, effects as targets, nadirs and shares: candidates are simulated one by one
 * (docs/recommend.md), the curves are decrypted and ddt_solution_collect reads the table off them. For such a solution
 * (also one read from a plan file) ddt_recommend_reference makes the same table by CVODE: values[subject][candidate *
 * output_count + output]. Errors: those of ddt_reference_simulate; DDT_ERR_MISMATCH for any other solution.
 */
bool ddt_recommend_is_simulated(const ddt_solution *solution);
DDT_MUST_CHECK ddt_status ddt_recommend_reference(ddt_context *ctx, const ddt_solution *solution,
                                                  const ddt_model *model, const ddt_events *events,
                                                  double *const *values);

/*
 * How many points expectations and percentiles of a recommendation run over, 1: the estimate alone; *is_posterior
 * (NULL: not wanted): whether they are each patient's own posterior, not the population's distribution.
 */
size_t ddt_recommend_points(const ddt_solution *solution, bool *is_posterior);

/*
 * Unit responses as they are released (the output "response"): how many numbers one subject has, the largest that the
 * likely virtual patients show, and by what the circuit's numbers are multiplied; 1 is about what the typical patient
 * has. False where candidates are simulated, or costs are outputs.
 */
typedef struct ddt_recommend_responses {
    size_t count;
    double largest;
    double scale;
} ddt_recommend_responses;
bool ddt_recommend_get_responses(const ddt_solution *solution, ddt_recommend_responses *out);

/*
 * What rounding all responses to steps of `step` changes in a metric of a candidate; 0 for columns that are no linear
 * metrics, and for candidates that are simulated. `output` is one of ddt_solution_output_name.
 */
double ddt_recommend_response_step(const ddt_solution *solution, size_t candidate, size_t output, double step);

/*
 * The best candidate of a subject from collected values (values[candidate * output_count + output], output_count of the
 * solution; "cost" decides; among equals within a `tolerance` above 0 the smaller dose a day, then the interval nearest
 * to 12 h, then the shorter infusion): the holder of the decrypted table ranks. order: candidate_count indices, best
 * first. Errors: DDT_ERR_MEMORY, DDT_ERR_MISMATCH (no output "cost").
 */
DDT_MUST_CHECK ddt_status ddt_recommend_rank(ddt_context *ctx, const ddt_solution *solution, size_t subject,
                                             const double *values, const ddt_recommend_product *product,
                                             double tolerance, size_t *order);

/*
 * The Pareto front over all weightings of the targets: is_on_front[candidate] is true where no other candidate costs no
 * more by any target and less by one, costs in steps of `tolerance` (0: as they are). Of several targets their costs
 * are compared (cost(NAME)), of a single one its cost and the
 * dose a day. The weights do not matter; every weighting's best candidate is on the front but for `tolerance`. Errors:
 * those of ddt_recommend_rank.
 */
DDT_MUST_CHECK ddt_status ddt_recommend_pareto(ddt_context *ctx, const ddt_solution *solution, size_t subject,
                                               const double *values, const ddt_recommend_product *product,
                                               const ddt_recommend_targets *targets, double tolerance,
                                               bool *is_on_front);

/* ------------------------------------------------------------------ doses over a course */

/* DDT_COURSE_LEVELS: for ddt_plan_request.levels, within bounds: keys of a GiB. */
enum { DDT_COURSE_ITERATIONS_MAX = 24, DDT_COURSE_LEVELS = 12 };

/*
 * Doses at given times, each of its own size, that bring a course of treatment to its targets. Targets are numbers at
 * given times: auc24@HOURS, aucFROM-TO, cumauc@HOURS, trough@HOURS, here the concentration at that time just before a
 * dose, and peak@HOURS, that at the end of the last infusion that begins before; what is aimed at is the value, or the
 * geometric centre of LOW:HIGH. Limits of the same metrics (tox:) count where they are exceeded; they want bounds of
 * the doses.
 */
typedef struct ddt_course_options {
    ddt_solve_options solve;
    ddt_recommend_targets targets;
    const char *output; /* NULL: the model's first */
    double times_h[DDT_COURSE_DOSES_MAX];
    size_t time_count;
    double dose_high;     /* the largest dose: the unit of the search, and its bound where there are bounds */
    bool is_bounded;      /* doses lie between dose_low and dose_high */
    double dose_low;      /* bounds should be doses that can be given: multiples of the step */
    double dose_step;     /* of rounding, which the accuracy of a search within bounds is meant for */
    double infusion_h;    /* 0: bolus or oral */
    unsigned compartment; /* 1-based; 0: default */
    double change_weight; /* 0: 0.1 */
    double dose_weight;   /* 0: the amount does not count */
    unsigned iterations;  /* without bounds; 0: as many as bring the virtual population within 1 % */
    bool point_estimate;
} ddt_course_options;

/*
 * Minimises over the doses d, with x = d / dose_high and J doses,
 *
 *   mean over the points of sum_k weight_k (metric_k(x) / aim_k - 1)^2 + sum_l weight_l max(0, metric_l(x) / limit_l -
 *   1)^2, plus (e / J) (change_weight sum_j (x_j - x_(j-1))^2 + dose_weight sum_j x_j^2),
 *
 * where e is what the first sum's square grows by when all x grow from 0 to 1 (so that changes and amounts weigh the
 * same for every patient), under encryption, on encrypted numbers, with public bounds of the curvature from the virtual
 * population. Without bounds by Chebyshev's iteration from the best constant dose; within bounds by operator splitting
 * with polynomials for bounds and limits, whose degrees and number of steps are chosen so that every virtual patient's
 * doses round to the best ones (but for 1 % of a dose) and cost at most 0.5 % more; such programs are refreshed. One
 * row per dose (observation = dose, ddt_solution_observation_time its time): the output "dose" in the model's unit,
 * for ddt_course_round. Errors: those of ddt_solve_recommend; DDT_ERR_UNSUPPORTED where no steps do that.
 */
DDT_MUST_CHECK ddt_status ddt_solve_course(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                           const ddt_course_options *options, ddt_solution **out);

/* What a request asks of a course: its targets within the product's doses. DDT_ERR_USAGE where the product is none. */
DDT_MUST_CHECK ddt_status ddt_course_of(ddt_context *ctx, const ddt_recommend_options *options,
                                        ddt_course_options *out);

/* A decrypted dose in the product's steps, within the bounds where there are any. */
double ddt_course_round(const ddt_course_options *options, double dose);

#ifdef __cplusplus
}
#endif
#endif
