/*
 * Fits of models that are not linear in their compartments (docs/fit.md): in place of the model the engine evaluates a
 * public polynomial of the etas for each level, trained in the clear on solutions of the model at the subject's own
 * times.
 *
 * With H the scale on which a level's residual standard deviation is 1 (a logarithm, where errors are relative), the
 * polynomial P_j is that of H(f_j(etas)) - H(f_j(0)): in the etas, within +- SURROGATE_WIDTH standard deviations, and
 * in a few directions of what doses and covariates do to the levels' slopes. Slot (row, column) of a lane holds term
 * `row` of level `column`; the last rows hold what the custodian knows of each level.
 *
 *   fit_surrogate.c          terms, polynomials, the custodian's inputs
 *   fit_surrogate_train.c    the layout; solutions of the model; polynomials; virtual patients
 *   fit_surrogate_circuit.c  terms and polynomials in a circuit
 *   fit_surrogate_file.c     the surrogate's section of a plan file
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_FIT_SURROGATE_H
#define DDT_FIT_SURROGATE_H

#include "fit_internal.h"

#define SURROGATE_WIDTH 3.0 /* of the etas that polynomials cover, in standard deviations */
#define SURROGATE_REACH 7.0 /* of a level's distance from its prediction that scores cover, likewise */

enum {
    SURROGATE_DIRECTIONS_MAX = 3,
    SURROGATE_VARIABLES_MAX = FIT_ETAS_MAX + SURROGATE_DIRECTIONS_MAX,
    SURROGATE_DEGREE_MAX = 8,
    SURROGATE_DIRECTION_WEIGHT = 2, /* of a direction's degree, where an eta's counts 1 */
    SURROGATE_ROWS = 512,
    SURROGATE_ROWS_MAX = 1 << 15,
    SURROGATE_SCORE_DEGREE = 15,
    SURROGATE_FIRST_SCORE = 1 + FIT_ETAS_MAX, /* rows from the end: the rest, its slopes, the score's coefficients */
    SURROGATE_EXTRAS = SURROGATE_FIRST_SCORE + SURROGATE_SCORE_DEGREE + 1
};

typedef struct surrogate_lane {
    size_t level_count, direction_count, term_count;
    unsigned degree;
    double *projection;   /* direction_count x (level_count x etas): slopes -> directions in [-1, 1] */
    double *centre;       /* direction_count: subtracted */
    double *coefficients; /* level_count x term_count */
    uint8_t *exponents;   /* term_count x (etas + directions): of Chebyshev polynomials */
} surrogate_lane;

struct fit_surrogate {
    size_t rows;
    bool has_scores;   /* scores are each level's own: sent; else public */
    double rest_unit;  /* of what the polynomial leaves of a level at the guess */
    double slope_unit; /* of what it leaves of the level's slopes there */
    double score_unit; /* of a score's coefficients */
    uint32_t patient_input, amount_range;
    surrogate_lane *lanes;
    size_t lane_count;
};

void fit_surrogate_destroy(struct fit_surrogate *surrogate);
/* Exponents of all terms up to the weighted degree; `out` NULL: only counts. */
size_t surrogate_terms(size_t etas, size_t directions, unsigned degree, uint8_t *out);
/* Directions, in [-1, 1], of slopes at etas of 0 (levels x etas, fit_slope). */
void surrogate_directions(const solve_fit *fit, const surrogate_lane *lane, const double *slopes, double *out);
/* All terms at etas (in standard deviations; clamped to what polynomials cover) and directions. */
void surrogate_values(const solve_fit *fit, const surrogate_lane *lane, const double *deviations,
                      const double *directions, double *terms);
/* The polynomials of all levels from the terms. */
void surrogate_changes(const surrogate_lane *lane, const double *terms, double *changes);
/* The score's polynomial of a level in t = z / SURROGATE_REACH, multiplied by 2 SURROGATE_REACH:
 * SURROGATE_SCORE_DEGREE + 1 coefficients. */
void surrogate_score(const fit_level_value *level, double *coefficients);

/* fit_residual.c: f at a distance `by` of f0 on the scale where residual standard deviations are 1. */
double fit_residual_moved(const fit_residual *r, double f0, double by);
/* The derivative of half of what a level adds to the objective with respect to that scale, at a distance of y. */
double fit_level_score_at(const fit_level_value *level, double by);

/* What the custodian knows once he has a guess. */
typedef struct surrogate_seen {
    const fit_level_value *levels;
    const double *slopes; /* at etas of 0 */
    const double *guess;  /* etas */
    const double *guess_slopes;
    const double *at_guess; /* predictions */
} surrogate_seen;

/* Slopes of all levels around `centre`, on the scale where residual standard deviations are 1, per standard deviation
 * of each eta: levels x etas. */
ddt_status surrogate_slopes(const solve_fit *fit, const fit_lane *lane, fit_predict predict, void *user,
                            const double *centre, double *slopes);
/* Derivatives of a lane's polynomials (level_count x term_count) with respect to an eta, in standard deviations. */
void surrogate_differentiate(const surrogate_lane *lane, size_t etas, size_t eta, const double *from, double *to);
/* Widens *rest and *slope to the largest rest of a patient and of its slopes. */
void surrogate_largest(const solve_fit *fit, size_t lane, const surrogate_seen *seen, double *rest, double *slope);
/* A level whose distance from its prediction at the guess scores do not cover, or the rest does not hold: level_count
 * when there is none. */
size_t surrogate_uncovered(const solve_fit *fit, size_t lane, const surrogate_seen *seen);
void surrogate_fill(const ddt_solution *solution, size_t lane, const surrogate_seen *seen, double *const *inputs);
/* Amounts of a subject's doses lie within their range. */
ddt_status surrogate_check_amounts(ddt_context *ctx, const ddt_solution *solution, const ddt_events *events,
                                   size_t subject);

/* ------------------------------------------------------------------ building */

/* Layout, training, inputs: what fit.c does for other models. */
ddt_status surrogate_prepare(fit_work *fw);
/* The polynomials of a lane, or those of another one with the same times. */
ddt_status surrogate_learn(fit_work *fw, size_t lane);
ddt_status surrogate_copy(fit_work *fw, size_t from, size_t to);
bool surrogate_alike(const fit_work *fw, size_t a, size_t b);
/* A virtual patient; those that are held out by the model itself. */
ddt_status surrogate_draw(fit_work *fw, size_t lane, size_t index, fit_sample *sample);
/* Predictions of a patient that was held out. */
ddt_status surrogate_predict(fit_work *fw, size_t lane, const fit_sample *sample, const double *etas,
                             double *predictions);
/* The seen part of a held-out patient. */
surrogate_seen surrogate_seen_of(const fit_sample *sample);

typedef struct surrogate_nodes {
    ddt_node x; /* (z / SURROGATE_REACH + 1) / 2, in the first `columns` slots of a lane */
    ddt_node slope[FIT_ETAS_MAX];
    ddt_node bend[FIT_ETAS_MAX][FIT_ETAS_MAX];
    ddt_node score[SURROGATE_SCORE_DEGREE + 1];
} surrogate_nodes;

/* deviations: etas / (SURROGATE_WIDTH sd) in all slots. */
ddt_status surrogate_expand(fit_work *fw, ddt_node patient, const ddt_node *deviations, surrogate_nodes *out);

ddt_status surrogate_write(ddt_writer *writer, const solve_fit *fit);
ddt_status surrogate_read(ddt_context *ctx, ddt_reader *reader, solve_fit *fit);
/* After the rest of the fit: shapes and inputs belong together. */
ddt_status surrogate_check(ddt_context *ctx, ddt_reader *reader, const ddt_solution *solution);

#endif
