/*
 * The estimate in double precision: damped Newton steps on half of the objective, second derivatives of the predictions
 * by differences. Used for the virtual patients that the encrypted fit learns from, and as its plaintext counterpart.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_internal.h"

#include <string.h>

enum { EVALUATIONS_MAX = 1 + 2 * FIT_ETAS_MAX + FIT_ETAS_MAX * (FIT_ETAS_MAX - 1) / 2 };

/* Of differences, in standard deviations. */
static double step_of(const fit_problem *p) {
    const double usual = 2e-3;
    return p->step > 0.0 ? p->step : usual;
}

typedef struct expansion {
    double value;
    double gradient[FIT_ETAS_MAX];
    double hessian[FIT_ETAS_MAX * FIT_ETAS_MAX];
    double majorant[FIT_ETAS_MAX * FIT_ETAS_MAX]; /* of it, from slopes alone */
} expansion;

bool fit_invert(double *a, size_t n) {
    for (size_t p = 0; p < n; p++) {
        double pivot = a[p * n + p];
        if (!(pivot > 0.0) || !isfinite(pivot)) {
            return false;
        }
        a[p * n + p] = 1.0;
        for (size_t j = 0; j < n; j++) {
            a[p * n + j] /= pivot;
        }
        for (size_t i = 0; i < n; i++) {
            double factor = i == p ? 0.0 : a[i * n + p];
            if (i != p) {
                a[i * n + p] = 0.0;
            }
            for (size_t j = 0; j < n && i != p; j++) {
                a[i * n + j] -= factor * a[p * n + j];
            }
        }
    }
    return true;
}

static double prior_half(const fit_problem *p, const double *etas) {
    double sum = 0.0;
    for (size_t i = 0; i < p->eta_count; i++) {
        for (size_t j = 0; j < p->eta_count; j++) {
            sum += etas[i] * p->prior[i * p->eta_count + j] * etas[j];
        }
    }
    return 0.5 * sum;
}

static ddt_status value_at(const fit_problem *p, const double *etas, double *f, double *value) {
    SOLVE_TRY(p->predict(p->user, etas, f));
    *value = prior_half(p, etas);
    for (size_t k = 0; k < p->level_count; k++) {
        double half = 0.0;
        double score = 0.0;
        double curvature = 0.0;
        fit_level_half(&p->levels[k], f[k], &half, &score, &curvature);
        *value += half;
    }
    return DDT_OK;
}

static ddt_status predict_moved(const fit_problem *p, const double *etas, size_t i, double by_i, size_t j, double by_j,
                                double *f) {
    double moved[FIT_ETAS_MAX] = {0};
    memcpy(moved, etas, p->eta_count * sizeof *moved);
    moved[i] += by_i;
    moved[j] += by_j;
    return p->predict(p->user, moved, f);
}

static ddt_status predict_pairs(const fit_problem *p, const double *etas, const double *h,
                                double (*f)[FIT_LEVELS_MAX]) {
    ddt_status status = DDT_OK;
    for (size_t i = 0; i < p->eta_count; i++) {
        for (size_t j = i + 1; j < p->eta_count && status == DDT_OK; j++) {
            status = predict_moved(p, etas, i, h[i], j, h[j], *f++);
        }
    }
    return status;
}

/* Predictions at etas, etas +- h e_i, etas + h (e_i + e_j). */
static ddt_status evaluate_around(const fit_problem *p, const double *etas, const double *h,
                                  double (*f)[FIT_LEVELS_MAX]) {
    size_t n = p->eta_count;
    size_t at = 0;
    SOLVE_TRY(p->predict(p->user, etas, f[at++]));
    for (size_t i = 0; i < n; i++) {
        SOLVE_TRY(predict_moved(p, etas, i, h[i], i, 0.0, f[at++]));
        SOLVE_TRY(predict_moved(p, etas, i, -h[i], i, 0.0, f[at++]));
    }
    return predict_pairs(p, etas, h, f + at);
}

static ddt_status evaluate(const fit_problem *p, const double *etas, double (*f)[FIT_LEVELS_MAX]) {
    double h[FIT_ETAS_MAX];
    for (size_t i = 0; i < p->eta_count; i++) {
        h[i] = step_of(p) * p->sd[i];
    }
    return evaluate_around(p, etas, h, f);
}

static void add_level(const fit_problem *p, size_t k, double (*f)[FIT_LEVELS_MAX], expansion *out) {
    size_t n = p->eta_count;
    double half = 0.0;
    double score = 0.0;
    double curvature = 0.0;
    double slope[FIT_ETAS_MAX];
    fit_level_half(&p->levels[k], f[0][k], &half, &score, &curvature);
    out->value += half;
    double majorant = f[0][k] > 0.0 ? fit_level_majorant(&p->levels[k], f[0][k]) : 0.0;
    for (size_t i = 0; i < n; i++) {
        double h = step_of(p) * p->sd[i];
        slope[i] = (f[1 + 2 * i][k] - f[2 + 2 * i][k]) / (2.0 * h);
        out->gradient[i] += score * slope[i];
    }
    for (size_t i = 0; i < n * n; i++) {
        out->majorant[i] += majorant * slope[i / n] * slope[i % n];
    }
    size_t at = 1 + 2 * n;
    for (size_t i = 0; i < n; i++) {
        double h = step_of(p) * p->sd[i];
        double bend = (f[1 + 2 * i][k] - 2.0 * f[0][k] + f[2 + 2 * i][k]) / (h * h);
        out->hessian[i * n + i] += curvature * slope[i] * slope[i] + score * bend;
        for (size_t j = i + 1; j < n; j++, at++) {
            double g = step_of(p) * p->sd[j];
            /* f(+i+j) - f(+i) - f(+j) + f; its error of first order in h does not matter for a Newton step */
            double mixed = (f[at][k] - f[1 + 2 * i][k] - f[1 + 2 * j][k] + f[0][k]) / (h * g);
            double entry = curvature * slope[i] * slope[j] + score * mixed;
            out->hessian[i * n + j] += entry;
            out->hessian[j * n + i] += entry;
        }
    }
}

static void expand_from(const fit_problem *p, const double *etas, double (*f)[FIT_LEVELS_MAX], expansion *out) {
    size_t n = p->eta_count;
    memset(out, 0, sizeof *out);
    out->value = prior_half(p, etas);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            out->gradient[i] += p->prior[i * n + j] * etas[j];
            out->hessian[i * n + j] = out->majorant[i * n + j] = p->prior[i * n + j];
        }
    }
    for (size_t k = 0; k < p->level_count; k++) {
        add_level(p, k, f, out);
    }
}

static ddt_status expand(const fit_problem *p, const double *etas, expansion *out) {
    static _Thread_local double f[EVALUATIONS_MAX][FIT_LEVELS_MAX];
    SOLVE_TRY(evaluate(p, etas, f));
    expand_from(p, etas, f, out);
    return DDT_OK;
}

/* H + damping / sd^2 on the diagonal, inverted; false where it is not positive. */
static bool damped_inverse(const fit_problem *p, const expansion *e, double damping, double *inverse) {
    size_t n = p->eta_count;
    memcpy(inverse, e->hessian, n * n * sizeof *inverse);
    for (size_t i = 0; i < n; i++) {
        inverse[i * n + i] += damping / (p->sd[i] * p->sd[i]);
    }
    return fit_invert(inverse, n);
}

/* etas - inverse gradient; returns the largest move in standard deviations. */
static double newton_point(const fit_problem *p, const expansion *e, const double *inverse, const double *etas,
                           double *out) {
    double moved = 0.0;
    for (size_t i = 0; i < p->eta_count; i++) {
        double delta = 0.0;
        for (size_t j = 0; j < p->eta_count; j++) {
            delta -= inverse[i * p->eta_count + j] * e->gradient[j];
        }
        out[i] = etas[i] + delta;
        moved = fmax(moved, fabs(delta) / p->sd[i]);
    }
    return moved;
}

/* A step with this damping; *is_better false where the objective would rise. */
static ddt_status try_step(const fit_problem *p, const expansion *e, double damping, double *etas, double *moved,
                           bool *is_better) {
    const double rounding = 1e-10;
    /* Standard deviations of an eta: where a level far above 0 is predicted to be next to nothing, Newton's step would
     * lead to places from where there is no way back, and the objective would fall all the same. */
    const double longest = 5.0;
    double f[FIT_LEVELS_MAX];
    double inverse[FIT_ETAS_MAX * FIT_ETAS_MAX];
    double trial[FIT_ETAS_MAX];
    double value = INFINITY;
    *is_better = false;
    if (!damped_inverse(p, e, damping, inverse)) {
        return DDT_OK;
    }
    *moved = newton_point(p, e, inverse, etas, trial);
    if (!(*moved <= longest)) {
        return DDT_OK;
    }
    SOLVE_TRY(value_at(p, trial, f, &value));
    *is_better = value <= e->value + rounding * fmax(1.0, fabs(e->value));
    if (*is_better) {
        memcpy(etas, trial, p->eta_count * sizeof *etas);
    }
    return DDT_OK;
}

/* One step: *moved, the largest in standard deviations; 0 when no step improves. */
static ddt_status step(const fit_problem *p, const expansion *e, double *damping, double *etas, double *moved) {
    enum { TRIALS_MAX = 40 };
    const double growth = 4.0;
    const double least = 1e-2;
    for (int attempt = 0; attempt < TRIALS_MAX; attempt++) {
        bool is_better = false;
        SOLVE_TRY(try_step(p, e, *damping, etas, moved, &is_better));
        if (is_better) {
            *damping = *damping > least ? *damping / growth : 0.0;
            return DDT_OK;
        }
        *damping = fmax(growth * *damping, least);
    }
    *moved = 0.0;
    return DDT_OK;
}

/* Inverse of the prior and the sum of w grad f grad f', w the expected information. */
static ddt_status curvature_inverse(const fit_problem *p, const double *etas, double *out) {
    static _Thread_local double f[EVALUATIONS_MAX][FIT_LEVELS_MAX];
    size_t n = p->eta_count;
    double slope[FIT_ETAS_MAX];
    SOLVE_TRY(evaluate(p, etas, f));
    memcpy(out, p->prior, n * n * sizeof *out);
    for (size_t k = 0; k < p->level_count; k++) {
        const fit_level_value *level = &p->levels[k];
        double w = level->is_censored ? fmax(fit_level_majorant(level, f[0][k]), 0.0)
                                      : fit_residual_information(level->residual, f[0][k]);
        for (size_t i = 0; i < n; i++) {
            slope[i] = (f[1 + 2 * i][k] - f[2 + 2 * i][k]) / (2.0 * step_of(p) * p->sd[i]);
        }
        bool counts = f[0][k] > 0.0 && isfinite(w); /* what underflows tells nothing */
        for (size_t i = 0; counts && i < n; i++) {
            for (size_t j = 0; j < n; j++) {
                out[n * i + j] += w * slope[i] * slope[j];
            }
        }
    }
    if (!fit_invert(out, n)) {
        return ddt_fail(p->ctx, DDT_ERR_MODEL, "The information about a subject's etas is not positive.");
    }
    return DDT_OK;
}

/* Whether a - part * b is positive definite. */
static bool exceeds(const double *a, const double *b, double part, size_t n) {
    double difference[FIT_ETAS_MAX * FIT_ETAS_MAX];
    for (size_t i = 0; i < n * n; i++) {
        difference[i] = a[i] - part * b[i];
    }
    return fit_invert(difference, n);
}

/* A gain: the inverse of something between the observed curvature and the majorant (whose inverse never overshoots);
 * false where that is too flat for a guess that is only close. */
static bool gain_between(const fit_problem *p, const expansion *e, double observed, double *out) {
    size_t n = p->eta_count;
    for (size_t i = 0; i < n * n; i++) {
        out[i] = e->majorant[i] + observed * (e->hessian[i] - e->majorant[i]);
    }
    return (observed == 0.0 || exceeds(out, e->majorant, FIT_GAIN_LEAST, n)) && fit_invert(out, n);
}

/* The usual one. */
static bool gain_of(const fit_problem *p, const expansion *e, double *out) {
    const double most = 0.5; /* all of it serves guesses that are less close worse (run 401) */
    const double step = 0.25;
    bool is_found = false;
    for (double observed = most; observed >= 0.0 && !is_found; observed -= step) {
        is_found = gain_between(p, e, observed, out);
    }
    return is_found;
}

/* ------------------------------------------------------------------ the circuit's step, foreseen */

/* What the circuit's step makes of a level: its score with two derivatives, slopes and bends of its prediction. */
typedef struct step_level {
    double score[3];
    double slope[FIT_ETAS_MAX], bend[FIT_ETAS_MAX * FIT_ETAS_MAX];
} step_level;

static void exact_scores(const fit_level_value *level, double f, double *score) {
    const double small = 1e-4; /* of f: differences of the curvature */
    double value = 0.0;
    double ignored = 0.0;
    double above = 0.0;
    double below = 0.0;
    double h = small * f;
    fit_level_half(level, f + h, &value, &ignored, &above);
    fit_level_half(level, f - h, &value, &ignored, &below);
    fit_level_half(level, f, &value, &score[0], &score[1]);
    score[2] = h > 0.0 ? (above - below) / (2.0 * h) : 0.0;
}

/* The same of the polynomial that the circuit evaluates: sum c_k T_k(2 f / top - 1) / top. */
static void polynomial_scores(const fit_level_value *level, double f, double *score) {
    double coefficients[FIT_SCORE_MAX + 1];
    double top = fit_residual_top(level->residual, level->y);
    double t = 2.0 * f / top - 1.0;
    double basis[3][FIT_SCORE_MAX + 1] = {{1.0, t}, {0.0, 1.0}, {0.0, 0.0}}; /* T_k and two derivatives */
    fit_level_polynomial(level, top, coefficients);
    memset(score, 0, 3 * sizeof *score);
    for (unsigned k = 0; k <= level->residual->degree; k++) {
        for (unsigned d = 0; d < 3 && k >= 2; d++) {
            double lower = d > 0 ? basis[d - 1][k - 1] : 0.0;
            basis[d][k] = 2.0 * t * basis[d][k - 1] + 2.0 * d * lower - basis[d][k - 2];
        }
        for (unsigned d = 0; d < 3; d++) {
            score[d] += coefficients[k] * basis[d][k] / top * pow(2.0 / top, d);
        }
    }
}

static void step_level_of(const fit_problem *p, size_t k, const double *steps, double (*f)[FIT_LEVELS_MAX],
                          step_level *out) {
    size_t n = p->eta_count;
    if (p->has_scores) {
        polynomial_scores(&p->levels[k], f[0][k], out->score);
    } else {
        exact_scores(&p->levels[k], f[0][k], out->score);
    }
    size_t at = 1 + 2 * n;
    for (size_t i = 0; i < n; i++) {
        double h = steps[i];
        out->slope[i] = (f[1 + 2 * i][k] - f[2 + 2 * i][k]) / (2.0 * h);
        out->bend[i * n + i] = (f[1 + 2 * i][k] - 2.0 * f[0][k] + f[2 + 2 * i][k]) / (h * h);
        for (size_t j = i + 1; j < n; j++, at++) {
            out->bend[i * n + j] = out->bend[j * n + i] =
                (f[at][k] - f[1 + 2 * i][k] - f[1 + 2 * j][k] + f[0][k]) / (h * steps[j]);
        }
    }
}

/* The gradient at etas + d by the expansion at etas: as fit_circuit.c does it. */
static void distant_gradient(const fit_problem *p, const step_level *levels, const double *etas, const double *d,
                             double *gradient) {
    size_t n = p->eta_count;
    for (size_t i = 0; i < n; i++) {
        gradient[i] = 0.0;
        for (size_t j = 0; j < n; j++) {
            gradient[i] += p->prior[i * n + j] * (etas[j] + d[j]);
        }
    }
    for (size_t k = 0; k < p->level_count; k++) {
        const step_level *l = &levels[k];
        double turned[FIT_ETAS_MAX];
        double linear = 0.0;
        double quadratic = 0.0;
        for (size_t i = 0; i < n; i++) {
            turned[i] = 0.0;
            for (size_t j = 0; j < n; j++) {
                turned[i] += l->bend[i * n + j] * d[j];
            }
            linear += l->slope[i] * d[i];
            quadratic += turned[i] * d[i];
        }
        double first = l->score[0] + l->score[1] * linear;
        double score = l->score[0] + l->score[1] * (linear + 0.5 * quadratic) + 0.5 * l->score[2] * linear * linear;
        for (size_t i = 0; i < n; i++) {
            gradient[i] += l->slope[i] * score + turned[i] * first;
        }
    }
}

/* Where the two moves end. */
static void two_moves(const fit_problem *p, const step_level *levels, const double *etas, const double *gain,
                      double *out) {
    size_t n = p->eta_count;
    double d[FIT_ETAS_MAX] = {0};
    double gradient[FIT_ETAS_MAX];
    for (int move = 0; move < 2; move++) {
        distant_gradient(p, levels, etas, d, gradient);
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++) {
                d[i] -= gain[i * n + j] * gradient[j];
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = etas[i] + d[i];
    }
}

/* How far from the minimum these etas are, in standard deviations of the posterior. */
static ddt_status distance_left(const fit_problem *p, const double *etas, double *out) {
    expansion e;
    size_t n = p->eta_count;
    double inverse[FIT_ETAS_MAX * FIT_ETAS_MAX];
    SOLVE_TRY(expand(p, etas, &e));
    memcpy(inverse, e.majorant, n * n * sizeof *inverse);
    *out = 0.0;
    if (!fit_invert(inverse, n)) {
        *out = INFINITY;
        return DDT_OK;
    }
    for (size_t i = 0; i < n * n; i++) {
        *out += e.gradient[i / n] * inverse[i] * e.gradient[i % n];
    }
    *out = isfinite(*out) ? sqrt(fmax(*out, 0.0)) : INFINITY;
    return DDT_OK;
}

/* The expansion is no map of places that far away. */
static bool is_near(const fit_problem *p, const double *from, const double *to) {
    const double far = 4.0; /* standard deviations of an eta */
    bool near = true;
    for (size_t i = 0; i < p->eta_count; i++) {
        near = near && fabs(to[i] - from[i]) <= far * p->sd[i];
    }
    return near;
}

/* The objective where the two moves with a gain end; infinite where that is far off. */
static ddt_status value_after(const fit_problem *p, const step_level *levels, const double *etas, const double *gain,
                              double *to, double *value) {
    double f[FIT_LEVELS_MAX];
    two_moves(p, levels, etas, gain, to);
    *value = INFINITY;
    SOLVE_TRY(is_near(p, etas, to) ? value_at(p, to, f, value) : DDT_OK);
    *value = isfinite(*value) ? *value : INFINITY;
    return DDT_OK;
}

/* Where the usual gain would overshoot or fall short, the one of a few others after which the objective is least: parts
 * of inverses between the observed curvature's and the majorant's. *left: as distance_left after the step. */
static ddt_status careful_gain(const fit_problem *p, const expansion *e, const step_level *levels, const double *etas,
                               double *gain, double *left) {
    enum { PARTS = 6 };
    static const double shares[] = {1.0, 0.75, 0.5, 0.25, 0.0}; /* of what was observed */
    static const double parts[PARTS] = {1.0, 0.85, 0.7, 0.5, 0.3, 0.15};
    size_t n = p->eta_count;
    double own[FIT_ETAS_MAX * FIT_ETAS_MAX];
    double trial[FIT_ETAS_MAX * FIT_ETAS_MAX];
    double to[FIT_ETAS_MAX] = {0};
    double best[FIT_ETAS_MAX] = {0};
    double least = INFINITY;
    SOLVE_TRY(value_after(p, levels, etas, gain, best, &least));
    bool is_changed = false;
    /* Virtual patients calibrate ranges: more of the unlikely ones among them would cost all others precision. */
    const size_t first = p->is_virtual ? sizeof shares / sizeof *shares - 1 : 0;
    for (size_t k = first * PARTS; k < sizeof shares / sizeof *shares * PARTS; k++) {
        double value = INFINITY;
        if (!gain_between(p, e, shares[k / PARTS], own)) {
            continue;
        }
        for (size_t i = 0; i < n * n; i++) {
            trial[i] = parts[k % PARTS] * own[i];
        }
        SOLVE_TRY(value_after(p, levels, etas, trial, to, &value));
        if (value < least) {
            least = value;
            is_changed = true;
            memcpy(gain, trial, n * n * sizeof *gain);
            memcpy(best, to, n * sizeof *best);
        }
    }
    return is_changed ? distance_left(p, best, left) : DDT_OK;
}

static ddt_status choose_gain(const fit_problem *p, const double *etas, step_level *levels, double *gain,
                              double *left) {
    static _Thread_local double f[EVALUATIONS_MAX][FIT_LEVELS_MAX];
    const double good = p->is_virtual ? 0.05 : 0.02;
    double to[FIT_ETAS_MAX] = {0};
    expansion e;
    double steps[FIT_ETAS_MAX];
    for (size_t i = 0; i < p->eta_count; i++) {
        steps[i] = fit_copy_step(p->sd[i]);
    }
    SOLVE_TRY(evaluate_around(p, etas, steps, f));
    for (size_t k = 0; k < p->level_count; k++) {
        step_level_of(p, k, steps, f, &levels[k]);
    }
    SOLVE_TRY(evaluate(p, etas, f));
    expand_from(p, etas, f, &e);
    if (!gain_of(p, &e, gain)) {
        return ddt_fail(p->ctx, DDT_ERR_MODEL, "The information about a subject's etas is not positive.");
    }
    *left = p->has_kinks ? 0.0 : INFINITY;
    if (p->has_kinks) {
        return DDT_OK;
    }
    two_moves(p, levels, etas, gain, to);
    SOLVE_TRY(is_near(p, etas, to) ? distance_left(p, to, left) : DDT_OK);
    return *left <= good ? DDT_OK : careful_gain(p, &e, levels, etas, gain, left);
}

ddt_status fit_gain(const fit_problem *p, const double *etas, double *factor, double *left) {
    double gain[FIT_ETAS_MAX * FIT_ETAS_MAX] = {0};
    size_t n = p->eta_count;
    step_level *levels = ddt_calloc(p->level_count + 1, sizeof *levels);
    ddt_status status = levels == NULL ? solve_no_memory(p->ctx) : choose_gain(p, etas, levels, gain, left);
    ddt_free(levels);
    SOLVE_TRY(status);
    for (size_t i = 0; i < n * n; i++) {
        gain[i] /= p->sd[i / n] * p->sd[i % n];
    }
    memset(factor, 0, n * n * sizeof *factor);
    fit_factorise(gain, n, factor);
    return DDT_OK;
}

ddt_status fit_map(const fit_problem *p, double *etas, double *covariance, double *objective) {
    enum { STEPS_MAX = 60 };
    const double small = 1e-4; /* standard deviations: the next step squares it */
    expansion e;
    double damping = 0.0;
    double moved = 1.0;
    /* A damped step is small wherever it is: what ends the search is a small step without. */
    for (int k = 0; k < STEPS_MAX && (moved > small || (moved > 0.0 && damping > 0.0)); k++) {
        SOLVE_TRY(expand(p, etas, &e));
        SOLVE_TRY(step(p, &e, &damping, etas, &moved));
    }
    SOLVE_TRY(covariance != NULL ? curvature_inverse(p, etas, covariance) : DDT_OK);
    SOLVE_TRY(objective != NULL ? expand(p, etas, &e) : DDT_OK);
    if (objective != NULL) {
        *objective = 2.0 * e.value;
    }
    return DDT_OK;
}
