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

static double within(double x) { return fmin(fmax(x, -1.0), 1.0); }

void surrogate_directions(const solve_fit *fit, const surrogate_lane *lane, const double *slopes, double *out) {
    size_t facts = lane->level_count * fit->eta_count;
    for (size_t d = 0; d < lane->direction_count; d++) {
        double x = -lane->centre[d];
        for (size_t k = 0; k < facts; k++) {
            x += lane->projection[d * facts + k] * slopes[k];
        }
        out[d] = within(x);
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
        double x = deviations != NULL ? within(deviations[i] / SURROGATE_WIDTH) : 1.0;
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

/* ------------------------------------------------------------------ slopes */

static size_t find_term(const surrogate_lane *lane, size_t variables, const uint8_t *exponents) {
    size_t i = 0;
    while (i < lane->term_count && memcmp(lane->exponents + i * variables, exponents, variables) != 0) {
        i++;
    }
    return i;
}

/* The derivative of one term of all levels: T_k' = 2 k (T_(k-1) + T_(k-3) + ...), T_0 by half. */
static void differentiate_term(const surrogate_lane *lane, size_t variables, size_t eta, size_t term,
                               const double *from, double *to) {
    uint8_t exponents[SURROGATE_VARIABLES_MAX];
    memcpy(exponents, lane->exponents + term * variables, variables);
    unsigned degree = exponents[eta];
    for (unsigned step = 1; step <= degree; step += 2) {
        exponents[eta] = (uint8_t)(degree - step);
        size_t at = find_term(lane, variables, exponents);
        double factor = (step == degree ? 1.0 : 2.0) * degree / SURROGATE_WIDTH;
        for (size_t k = 0; k < lane->level_count && at < lane->term_count; k++) {
            to[k * lane->term_count + at] += factor * from[k * lane->term_count + term];
        }
    }
}

void surrogate_differentiate(const surrogate_lane *lane, size_t etas, size_t eta, const double *from, double *to) {
    memset(to, 0, lane->level_count * lane->term_count * sizeof *to);
    for (size_t i = 0; i < lane->term_count; i++) {
        differentiate_term(lane, etas + lane->direction_count, eta, i, from, to);
    }
}

ddt_status surrogate_slopes(const solve_fit *fit, const fit_lane *lane, fit_predict predict, void *user,
                            const double *centre, double *slopes) {
    double etas[FIT_ETAS_MAX] = {0};
    double up[FIT_LEVELS_MAX] = {0};
    double down[FIT_LEVELS_MAX] = {0};
    memcpy(etas, centre, fit->eta_count * sizeof *etas);
    for (size_t i = 0; i < fit->eta_count; i++) {
        etas[i] = centre[i] + FIT_GAIN_STEP * fit->eta_sd[i];
        SOLVE_TRY(predict(user, etas, up));
        etas[i] = centre[i] - FIT_GAIN_STEP * fit->eta_sd[i];
        SOLVE_TRY(predict(user, etas, down));
        etas[i] = centre[i];
        for (size_t k = 0; k < lane->level_count; k++) {
            const fit_residual *r = &fit->residuals[lane->levels[k].output];
            slopes[k * fit->eta_count + i] = fit_residual_standardised(r, up[k], down[k]) / (2.0 * FIT_GAIN_STEP);
        }
    }
    return DDT_OK;
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

/* What a guess is for the surrogate: z, and what of it and of its slopes the polynomials do not tell. */
typedef struct guessed {
    double directions[SURROGATE_DIRECTIONS_MAX + 1];
    double terms[SURROGATE_ROWS];
    double distances[FIT_LEVELS_MAX], rests[FIT_LEVELS_MAX];
    double slope_rests[FIT_LEVELS_MAX * FIT_ETAS_MAX];
} guessed;

static void look(const solve_fit *fit, size_t lane, const surrogate_seen *seen, guessed *out) {
    static _Thread_local double derivatives[FIT_LEVELS_MAX * SURROGATE_ROWS];
    const surrogate_lane *l = &fit->surrogate->lanes[lane];
    surrogate_lane derived = *l;
    double changes[FIT_LEVELS_MAX] = {0};
    double deviations[FIT_ETAS_MAX] = {0};
    for (size_t i = 0; i < fit->eta_count; i++) {
        deviations[i] = seen->guess[i] / fit->eta_sd[i];
    }
    surrogate_directions(fit, l, seen->slopes, out->directions);
    surrogate_values(fit, l, deviations, out->directions, out->terms);
    surrogate_changes(l, out->terms, changes);
    for (size_t k = 0; k < l->level_count; k++) {
        const fit_level_value *level = &seen->levels[k];
        out->distances[k] = -fit_residual_standardised(level->residual, level->y, seen->at_guess[k]);
        out->rests[k] = out->distances[k] - changes[k];
    }
    derived.coefficients = derivatives;
    for (size_t i = 0; i < fit->eta_count; i++) {
        surrogate_differentiate(l, fit->eta_count, i, l->coefficients, derivatives);
        surrogate_changes(&derived, out->terms, changes);
        for (size_t k = 0; k < l->level_count; k++) {
            size_t at = k * fit->eta_count + i;
            out->slope_rests[at] = seen->guess_slopes[at] - changes[k];
        }
    }
}

void surrogate_largest(const solve_fit *fit, size_t lane, const surrogate_seen *seen, double *rest, double *slope) {
    guessed g = {0};
    look(fit, lane, seen, &g);
    for (size_t k = 0; k < fit->surrogate->lanes[lane].level_count; k++) {
        *rest = fmax(*rest, fabs(g.rests[k]));
        for (size_t i = 0; i < fit->eta_count; i++) {
            *slope = fmax(*slope, fabs(g.slope_rests[k * fit->eta_count + i]));
        }
    }
}

size_t surrogate_uncovered(const solve_fit *fit, size_t lane, const surrogate_seen *seen) {
    const double margin = 0.9;
    guessed g = {0};
    look(fit, lane, seen, &g);
    const struct fit_surrogate *s = fit->surrogate;
    size_t count = s->lanes[lane].level_count;
    for (size_t k = 0; k < count; k++) {
        double slope = 0.0;
        for (size_t i = 0; i < fit->eta_count; i++) {
            slope = fmax(slope, fabs(g.slope_rests[k * fit->eta_count + i]));
        }
        bool is_held = !(s->rest_unit > 0.0) || (fabs(g.rests[k]) <= s->rest_unit && slope <= s->slope_unit);
        if (!(fabs(g.distances[k]) <= margin * SURROGATE_REACH) || !is_held) {
            return k;
        }
    }
    return count;
}

static void fill_level(const solve_fit *fit, const surrogate_seen *seen, const guessed *g, size_t k, size_t columns,
                       double *patient) {
    const struct fit_surrogate *s = fit->surrogate;
    double coefficients[SURROGATE_SCORE_DEGREE + 1];
    patient[(s->rows - 1) * columns + k] = within(g->rests[k] / s->rest_unit);
    for (size_t i = 0; i < fit->eta_count; i++) {
        patient[(s->rows - 2 - i) * columns + k] = within(g->slope_rests[k * fit->eta_count + i] / s->slope_unit);
    }
    surrogate_score(&seen->levels[k], coefficients);
    for (unsigned d = 0; d <= SURROGATE_SCORE_DEGREE && s->has_scores; d++) {
        patient[(s->rows - 1 - SURROGATE_FIRST_SCORE - d) * columns + k] = within(coefficients[d] / s->score_unit);
    }
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
        fill_level(fit, seen, &g, k, columns, patient);
    }
}

ddt_status surrogate_check_amounts(ddt_context *ctx, const ddt_solution *solution, const ddt_events *events,
                                   size_t subject) {
    const solve_range *range = &solution->layout.ranges[solution->fit->surrogate->amount_range];
    const ddt_subject *s = &events->subjects[subject];
    for (size_t r = 0; r < s->record_count; r++) {
        const ddt_record *record = &s->records[r];
        if (ddt_record_is_dose(record) && !(record->amount >= range->low && record->amount <= range->high)) {
            return ddt_fail(ctx, DDT_ERR_RANGE,
                            "'%s', line %u: AMT of the subject %s is %.15g, outside its range %.15g to %.15g.",
                            events->path, record->line, s->id, record->amount, range->low, range->high);
        }
    }
    return DDT_OK;
}
