/*
 * Terms and polynomials of a surrogate, and what the custodian encrypts for it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_surrogate.h"

#include <string.h>

void fit_surrogate_destroy(struct fit_surrogate *surrogate) {
    for (size_t l = 0; surrogate != NULL && l < surrogate->lane_count; l++) {
        ddt_free(surrogate->lanes[l].projection);
        ddt_free(surrogate->lanes[l].centre);
        ddt_free(surrogate->lanes[l].coefficients);
        ddt_free(surrogate->lanes[l].exponents);
    }
    if (surrogate != NULL) {
        ddt_free(surrogate->lanes);
        ddt_free(surrogate);
    }
}

/* ------------------------------------------------------------------ terms */

typedef struct enumeration {
    size_t etas, variables, count;
    uint8_t now[SURROGATE_VARIABLES_MAX];
    uint8_t *out;
} enumeration;

static void enumerate(enumeration *e, size_t variable, unsigned left) {
    if (variable == e->variables) {
        if (e->out != NULL) {
            memcpy(e->out + e->count * e->variables, e->now, e->variables);
        }
        e->count++;
        return;
    }
    unsigned weight = variable < e->etas ? 1 : SURROGATE_DIRECTION_WEIGHT;
    for (unsigned d = 0; d * weight <= left; d++) {
        e->now[variable] = (uint8_t)d;
        enumerate(e, variable + 1, left - d * weight);
    }
}

size_t surrogate_terms(size_t etas, size_t directions, unsigned degree, uint8_t *out) {
    enumeration e = {.etas = etas, .variables = etas + directions, .out = out};
    enumerate(&e, 0, degree);
    return e.count;
}

void surrogate_directions(const solve_fit *fit, const surrogate_lane *lane, const double *slopes, double *out) {
    size_t facts = lane->level_count * fit->eta_count;
    for (size_t d = 0; d < lane->direction_count; d++) {
        double x = -lane->centre[d];
        for (size_t k = 0; k < facts; k++) {
            x += lane->projection[d * facts + k] * slopes[k];
        }
        out[d] = fmin(fmax(x, -1.0), 1.0);
    }
}

typedef double basis[SURROGATE_VARIABLES_MAX][SURROGATE_DEGREE_MAX + 1];

static void fill_basis(double x, unsigned degree, double *out) {
    out[0] = 1.0;
    out[1] = x;
    for (unsigned k = 2; k <= degree; k++) {
        out[k] = 2.0 * x * out[k - 1] - out[k - 2];
    }
}

/* In the order of enumerate, with the products so far. */
static double *multiply(const surrogate_lane *lane, size_t etas, const basis b, size_t variable, unsigned left,
                        double product, double *out) {
    if (variable == etas + lane->direction_count) {
        *out = product;
        return out + 1;
    }
    unsigned weight = variable < etas ? 1 : SURROGATE_DIRECTION_WEIGHT;
    for (unsigned d = 0; d * weight <= left; d++) {
        out = multiply(lane, etas, b, variable + 1, left - d * weight, product * b[variable][d], out);
    }
    return out;
}

void surrogate_values(const solve_fit *fit, const surrogate_lane *lane, const double *deviations,
                      const double *directions, double *terms) {
    basis b = {{0}};
    for (size_t i = 0; i < fit->eta_count; i++) {
        double x = deviations != NULL ? fmin(fmax(deviations[i] / SURROGATE_WIDTH, -1.0), 1.0) : 1.0;
        fill_basis(x, SURROGATE_DEGREE_MAX, b[i]);
        for (unsigned k = 0; k <= SURROGATE_DEGREE_MAX && deviations == NULL; k++) {
            b[i][k] = 1.0; /* the directions' factor alone */
        }
    }
    for (size_t d = 0; d < lane->direction_count; d++) {
        fill_basis(directions[d], SURROGATE_DEGREE_MAX, b[fit->eta_count + d]);
    }
    (void)multiply(lane, fit->eta_count, (const double(*)[SURROGATE_DEGREE_MAX + 1]) b, 0, lane->degree, 1.0, terms);
}

void surrogate_changes(const surrogate_lane *lane, const double *terms, double *changes) {
    for (size_t k = 0; k < lane->level_count; k++) {
        const double *c = lane->coefficients + k * lane->term_count;
        changes[k] = 0.0;
        for (size_t i = 0; i < lane->term_count; i++) {
            changes[k] += c[i] * terms[i];
        }
    }
}

/* ------------------------------------------------------------------ scores */

void surrogate_score(const fit_level_value *level, double *coefficients) {
    enum { NODES = 64 };
    const double pi = 3.14159265358979323846;
    memset(coefficients, 0, (SURROGATE_SCORE_DEGREE + 1) * sizeof *coefficients);
    for (int i = 0; i < NODES; i++) {
        double angle = pi * (i + 0.5) / NODES;
        double score = 2.0 * SURROGATE_REACH * fit_level_score_at(level, SURROGATE_REACH * cos(angle));
        for (unsigned k = 0; k <= SURROGATE_SCORE_DEGREE; k++) {
            coefficients[k] += (k == 0 ? 1.0 : 2.0) / NODES * score * cos(k * angle);
        }
    }
}

/* ------------------------------------------------------------------ the custodian's part */

/* z at the guess, and what of it the polynomials do not tell. */
static void find_rests(const solve_fit *fit, size_t lane, const surrogate_seen *seen, const double *terms,
                       double *distances, double *rests) {
    const surrogate_lane *l = &fit->surrogate->lanes[lane];
    surrogate_changes(l, terms, rests);
    for (size_t k = 0; k < l->level_count; k++) {
        const fit_level_value *level = &seen->levels[k];
        distances[k] = -fit_residual_standardised(level->residual, level->y, seen->at_guess[k]);
        rests[k] = distances[k] - rests[k];
    }
}

typedef struct guessed {
    double directions[SURROGATE_DIRECTIONS_MAX + 1];
    double terms[SURROGATE_ROWS];
    double distances[FIT_LEVELS_MAX], rests[FIT_LEVELS_MAX];
} guessed;

static void look(const solve_fit *fit, size_t lane, const surrogate_seen *seen, guessed *out) {
    const surrogate_lane *l = &fit->surrogate->lanes[lane];
    double deviations[FIT_ETAS_MAX] = {0};
    for (size_t i = 0; i < fit->eta_count; i++) {
        deviations[i] = seen->guess[i] / fit->eta_sd[i];
    }
    surrogate_directions(fit, l, seen->slopes, out->directions);
    surrogate_values(fit, l, deviations, out->directions, out->terms);
    find_rests(fit, lane, seen, out->terms, out->distances, out->rests);
}

size_t surrogate_uncovered(const solve_fit *fit, size_t lane, const surrogate_seen *seen) {
    const double margin = 0.9;
    guessed g = {0};
    look(fit, lane, seen, &g);
    size_t k = 0;
    size_t count = fit->surrogate->lanes[lane].level_count;
    for (; k < count; k++) {
        bool is_in_reach = fabs(g.distances[k]) <= margin * SURROGATE_REACH;
        bool is_held = !(fit->surrogate->rest_unit > 0.0) || fabs(g.rests[k]) <= fit->surrogate->rest_unit;
        if (!is_in_reach || !is_held) {
            break;
        }
    }
    return k;
}

void surrogate_fill(const ddt_solution *solution, size_t lane, const surrogate_seen *seen, double *const *inputs) {
    const solve_layout *layout = &solution->layout;
    const solve_fit *fit = solution->fit;
    const struct fit_surrogate *s = fit->surrogate;
    const surrogate_lane *l = &s->lanes[lane];
    size_t columns = layout->columns;
    size_t block = layout->rows * columns;
    double *patient = inputs[s->patient_input] + lane * block;
    guessed g = {0};
    look(fit, lane, seen, &g);
    surrogate_values(fit, l, NULL, g.directions, g.terms);
    memset(patient, 0, block * sizeof *patient);
    for (size_t i = 0; i < l->term_count * columns; i++) {
        patient[i] = g.terms[i / columns];
    }
    for (size_t k = 0; k < l->level_count; k++) {
        double coefficients[SURROGATE_SCORE_DEGREE + 1];
        patient[(s->rows - 1) * columns + k] = fmin(fmax(g.rests[k] / s->rest_unit, -1.0), 1.0);
        surrogate_score(&seen->levels[k], coefficients);
        for (unsigned d = 0; d <= SURROGATE_SCORE_DEGREE && s->has_scores; d++) {
            double part = coefficients[d] / s->score_unit;
            patient[(s->rows - 2 - d) * columns + k] = fmin(fmax(part, -1.0), 1.0);
        }
    }
}

ddt_status surrogate_check_amounts(ddt_context *ctx, const ddt_solution *solution, const ddt_events *events,
                                   size_t subject) {
    const solve_range *range = &solution->layout.ranges[solution->fit->surrogate->amount_range];
    const ddt_subject *s = &events->subjects[subject];
    for (size_t r = 0; r < s->record_count; r++) {
        const ddt_record *record = &s->records[r];
        bool is_dose = record->evid == 1 || record->evid == 4;
        if (is_dose && !(record->amount >= range->low && record->amount <= range->high)) {
            return ddt_fail(ctx, DDT_ERR_RANGE,
                            "'%s', line %u: AMT of the subject %s is %.15g, outside its range %.15g to %.15g.",
                            events->path, record->line, s->id, record->amount, range->low, range->high);
        }
    }
    return DDT_OK;
}
