/*
 * Residual models: what a level adds to the objective, and the score (its derivative with respect to the prediction) as
 * a polynomial that the custodian makes for each level, or that is public where only f / y matters.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_surrogate.h"

#include <string.h>

static double variance(const fit_residual *r, double f, double *slope, double *bend) {
    double a = r->additive;
    double b = r->proportional;
    *slope = 0.0;
    *bend = 0.0;
    switch (r->kind) {
    case DDT_RESIDUAL_PROPORTIONAL:
        *slope = 2.0 * b * b * f;
        *bend = 2.0 * b * b;
        return b * b * f * f;
    case DDT_RESIDUAL_COMBINED:
        *slope = 2.0 * b * b * f;
        *bend = 2.0 * b * b;
        return a * a + b * b * f * f;
    case DDT_RESIDUAL_COMBINED_SD:
        *slope = 2.0 * b * (a + b * f);
        *bend = 2.0 * b * b;
        return (a + b * f) * (a + b * f);
    default:
        return a * a;
    }
}

static void log_half(const fit_residual *r, double y, double f, double *value, double *score, double *curvature) {
    double w = 1.0 / (r->additive * r->additive);
    double d = log(f / y);
    *value = 0.5 * d * d * w + log(r->additive);
    *score = w * d / f;
    *curvature = w * (1.0 - d) / (f * f);
}

void fit_residual_half(const fit_residual *r, double y, double f, double *value, double *score, double *curvature) {
    const double tiny = 1e-9; /* predictions of 0: the objective is not defined there */
    f = fmax(f, tiny * fmax(fabs(y), 1.0));
    if (r->kind == DDT_RESIDUAL_LOG) {
        log_half(r, y, f, value, score, curvature);
        return;
    }
    double slope = 0.0;
    double bend = 0.0;
    double v = variance(r, f, &slope, &bend);
    double d = y - f;
    double p = slope / v;
    double q = bend / v;
    /* h = (d^2 / v + log v) / 2 */
    *value = 0.5 * (d * d / v + log(v));
    *score = -d / v - 0.5 * d * d * p / v + 0.5 * p;
    *curvature = 1.0 / v + 2.0 * d * p / v + d * d / v * (p * p - 0.5 * q) + 0.5 * (q - p * p);
}

double fit_residual_information(const fit_residual *r, double f) {
    double slope = 0.0;
    double bend = 0.0;
    if (r->kind == DDT_RESIDUAL_LOG) {
        return 1.0 / (r->additive * r->additive * f * f);
    }
    double v = variance(r, f, &slope, &bend);
    return 1.0 / v + 0.5 * slope * slope / (v * v);
}

double fit_residual_sd(const fit_residual *r, double f) {
    double slope = 0.0;
    double bend = 0.0;
    return r->kind == DDT_RESIDUAL_LOG ? r->additive * f : sqrt(variance(r, f, &slope, &bend));
}

double fit_residual_top(const fit_residual *r, double y) { return r->reach * fmax(y, 0.0) + r->pad; }

double fit_residual_standardised(const fit_residual *r, double y, double predicted) {
    const double tiny = 1e-12;
    double a = r->additive;
    double b = r->proportional;
    y = fmax(y, 0.0);
    predicted = fmax(predicted, 0.0);
    switch (r->kind) {
    case DDT_RESIDUAL_PROPORTIONAL:
        return log(fmax(y, tiny) / fmax(predicted, tiny)) / b;
    case DDT_RESIDUAL_LOG:
        return log(fmax(y, tiny) / fmax(predicted, tiny)) / a;
    case DDT_RESIDUAL_COMBINED:
        return (asinh(b * y / a) - asinh(b * predicted / a)) / b;
    case DDT_RESIDUAL_COMBINED_SD:
        return (log(a + b * y) - log(a + b * predicted)) / b;
    default:
        return (y - predicted) / a;
    }
}

double fit_residual_moved(const fit_residual *r, double f0, double by) {
    double a = r->additive;
    double b = r->proportional;
    switch (r->kind) {
    case DDT_RESIDUAL_PROPORTIONAL:
        return f0 * exp(b * by);
    case DDT_RESIDUAL_LOG:
        return f0 * exp(a * by);
    case DDT_RESIDUAL_COMBINED:
        return a / b * sinh(asinh(b * f0 / a) + b * by);
    case DDT_RESIDUAL_COMBINED_SD:
        return ((a + b * f0) * exp(b * by) - a) / b;
    default:
        return f0 + a * by;
    }
}

double fit_residual_deviation(const fit_residual *r, double y, double predicted) {
    const double compression = 6.0; /* far from what is typical, estimates move with the logarithm of the deviation */
    return asinh(fit_residual_standardised(r, y, predicted) / compression);
}

/* ------------------------------------------------------------------ levels below a limit */

/* (y - f) / sd(f), on the logarithmic scale where errors are, and its slope. */
static double distance(const fit_residual *r, double y, double f, double *slope) {
    double of_variance = 0.0;
    double bend = 0.0;
    if (r->kind == DDT_RESIDUAL_LOG) {
        *slope = -1.0 / (r->additive * f);
        return log(y / f) / r->additive;
    }
    double v = variance(r, f, &of_variance, &bend);
    double sd = sqrt(v);
    *slope = -1.0 / sd - 0.5 * (y - f) * of_variance / (v * sd);
    return (y - f) / sd;
}

/* log of the normal distribution's Phi(u), and its derivative. */
static double log_phi(double u, double *slope) {
    const double far = -30.0; /* Phi is 0 in double precision not much further */
    const double two_pi = 6.28318530717958647692;
    if (u < far) {
        *slope = -u - 1.0 / u;
        return -0.5 * u * u - log(-u * sqrt(two_pi));
    }
    double phi = 0.5 * erfc(-u * sqrt(0.5));
    *slope = exp(-0.5 * u * u) / sqrt(two_pi) / phi;
    return log(phi);
}

/* -log of the probability that a level lies below y: NONMEM's M3 (Beal 2001). */
static void censored_half(const fit_residual *r, double y, double f, double *value, double *score, double *curvature) {
    const double tiny = 1e-9;
    const double small = 1e-5; /* of f: differences of the slope of u */
    double lambda = 0.0;
    double slope = 0.0;
    double above = 0.0;
    double below = 0.0;
    f = fmax(f, tiny * fmax(y, 1.0));
    double u = distance(r, y, f, &slope);
    (void)distance(r, y, f * (1.0 + small), &above);
    (void)distance(r, y, f * (1.0 - small), &below);
    *value = -log_phi(u, &lambda);
    *score = -lambda * slope;
    *curvature = lambda * (u + lambda) * slope * slope - lambda * (above - below) / (2.0 * small * f);
}

void fit_level_half(const fit_level_value *level, double f, double *value, double *score, double *curvature) {
    if (level->is_censored) {
        censored_half(level->residual, level->y, f, value, score, curvature);
    } else {
        fit_residual_half(level->residual, level->y, f, value, score, curvature);
    }
}

double fit_level_score_at(const fit_level_value *level, double by) {
    const fit_residual *r = level->residual;
    double value = 0.0;
    double score = 0.0;
    double slope = 0.0;
    double f = fit_residual_moved(r, fmax(level->y, 0.0), by);
    if (level->is_censored) {
        censored_half(r, level->y, f, &value, &score, &slope);
        return score * fit_residual_sd(r, fmax(f, 0.0));
    }
    if (r->kind == DDT_RESIDUAL_LOG || r->kind == DDT_RESIDUAL_ADDITIVE) {
        return by;
    }
    /* As in fit_residual_half, but smooth below predictions of 0, too, where polynomials pass through. */
    double bend = 0.0;
    double v = variance(r, f, &slope, &bend);
    double d = level->y - f;
    return sqrt(v) * (-d / v - 0.5 * d * d * slope / (v * v) + 0.5 * slope / v);
}

double fit_level_majorant(const fit_level_value *level, double f) {
    const double least = 0.7; /* of the information: observed curvatures may be negative */
    const fit_residual *r = level->residual;
    double value = 0.0;
    double score = 0.0;
    double curvature = 0.0;
    fit_level_half(level, f, &value, &score, &curvature);
    /* Where errors are relative, predictions are closest to linear in the etas on the logarithmic scale. */
    double observed = fit_is_relative(r) ? curvature + score / f : curvature;
    return fmax(observed, level->is_censored ? 0.0 : least * fit_residual_information(r, f));
}

double fit_level_typical(const fit_level_value *level) {
    const double half = 0.5;
    return level->is_censored ? half * level->y : level->y;
}

ddt_status fit_level_of(ddt_context *ctx, const ddt_events *events, const ddt_record *record, const fit_residual *r,
                        fit_level_value *out) {
    if (record->censored < 0 || (record->censored != 0 && record->has_limit)) {
        return ddt_fail(
            ctx, DDT_ERR_UNSUPPORTED,
            "'%s', line %u: levels below a limit of quantification (CENS 1) without LIMIT can be used here, "
            "none above one.",
            events->path, record->line);
    }
    *out = (fit_level_value){record->dv, r, record->censored > 0};
    return DDT_OK;
}

/* ------------------------------------------------------------------ polynomials */

/* How much the score's error counts at a prediction: less the further it lies below the level, where the score is steep
 * and an estimate never ends. */
static double plausibility(const fit_level_value *level, double f) {
    const double outlier = 2.3; /* standard deviations */
    const double decay = 2.2;
    bool is_below = f < level->y && !level->is_censored;
    double deviation = is_below ? fit_residual_standardised(level->residual, level->y, f) : 0.0;
    return deviation <= outlier ? 1.0 : exp(-decay * (deviation - outlier));
}

typedef struct normal_equations {
    double a[FIT_SCORE_MAX + 1][FIT_SCORE_MAX + 2];
} normal_equations;

static void add_equation(normal_equations *e, size_t count, double t, double weight, double value) {
    double basis[FIT_SCORE_MAX + 1];
    basis[0] = 1.0;
    basis[1] = t;
    for (size_t k = 2; k < count; k++) {
        basis[k] = 2.0 * t * basis[k - 1] - basis[k - 2];
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            e->a[i][j] += weight * basis[i] * basis[j];
        }
        e->a[i][count] += weight * basis[i] * value;
    }
}

static void solve_equations(normal_equations *e, size_t count, double *x) {
    const double ridge = 1e-10; /* where no prediction counts, coefficients stay small */
    for (size_t i = 0; i < count; i++) {
        e->a[i][i] *= 1.0 + ridge;
    }
    for (size_t p = 0; p < count; p++) {
        for (size_t row = p + 1; row < count; row++) {
            double factor = e->a[row][p] / e->a[p][p];
            for (size_t k = p; k <= count; k++) {
                e->a[row][k] -= factor * e->a[p][k];
            }
        }
    }
    for (size_t p = count; p-- > 0;) {
        double sum = e->a[p][count];
        for (size_t k = p + 1; k < count; k++) {
            sum -= e->a[p][k] * x[k];
        }
        x[p] = sum / e->a[p][p];
    }
}

void fit_level_polynomial(const fit_level_value *level, double top, double *coefficients) {
    enum { NODES = 400 };
    const fit_residual *r = level->residual;
    const double pi = 3.14159265358979323846;
    normal_equations e;
    size_t count = r->degree + 1;
    memset(&e, 0, sizeof e);
    for (int i = 0; i < NODES; i++) {
        double t = cos(pi * (i + 0.5) / NODES);
        double f = 0.5 * (t + 1.0) * top;
        double value = 0.0;
        double score = 0.0;
        double curvature = 0.0;
        fit_level_half(level, f, &value, &score, &curvature);
        double sd = fit_residual_sd(r, f);
        double weight = sd / top * plausibility(level, f); /* errors of the score in units of 1 / sd */
        add_equation(&e, count, t, weight * weight, top * score);
    }
    solve_equations(&e, count, coefficients);
}

double fit_level_polynomial_error(const fit_level_value *level) {
    enum { POINTS = 200 };
    const double likely = 0.5; /* plausibility */
    const double deviations = 4.0;
    double coefficients[FIT_SCORE_MAX + 1];
    const fit_residual *r = level->residual;
    double top = fit_residual_top(r, level->y);
    double worst = 0.0;
    fit_level_polynomial(level, top, coefficients);
    for (int i = 1; i < POINTS; i++) {
        double value = 0.0;
        double score = 0.0;
        double curvature = 0.0;
        double f = top * i / POINTS;
        double t = 2.0 * i / POINTS - 1.0;
        double next = 0.0;
        double after = 0.0;
        for (unsigned k = r->degree; k > 0; k--) { /* Clenshaw */
            double now = 2.0 * t * next - after + coefficients[k];
            after = next;
            next = now;
        }
        fit_level_half(level, f, &value, &score, &curvature);
        double sd = fit_residual_sd(r, f);
        bool counts = plausibility(level, f) >= likely && fabs(f - level->y) <= deviations * sd;
        double error = fabs((t * next - after + coefficients[0]) / top - score) * sd;
        worst = counts ? fmax(worst, error) : worst;
    }
    return worst;
}

ddt_status fit_residual_of(ddt_context *ctx, const ddt_model *model, const ddt_output *output, fit_residual *out) {
    const double reach_min = 2.5;
    const double least = 0.2;   /* of its prediction that a level is */
    const double extreme = 3.5; /* standard deviations */
    const double margin = 1.3;
    const double pad_sd = 8.0; /* and below 0 in as many standard deviations */
    const unsigned mild = 15;
    *out = (fit_residual){.kind = output->residual,
                          .additive = output->additive_sd,
                          .proportional = output->proportional_sd,
                          .degree = FIT_SCORE_MAX,
                          .is_public = true};
    bool needs_additive = true;
    bool needs_proportional = false;
    switch (output->residual) {
    case DDT_RESIDUAL_PROPORTIONAL:
        needs_additive = false;
        needs_proportional = true;
        break;
    case DDT_RESIDUAL_LOG:
        break;
    case DDT_RESIDUAL_ADDITIVE:
        out->degree = 1;
        out->is_public = false;
        break;
    case DDT_RESIDUAL_COMBINED:
    case DDT_RESIDUAL_COMBINED_SD:
        needs_proportional = true;
        out->degree = mild;
        out->is_public = false;
        break;
    default:
        return ddt_fail(ctx, DDT_ERR_UNSUPPORTED,
                        "'%s', line %u: the output %s has no residual error that a fit can use (add, prop, both, or "
                        "lnorm).",
                        model->path, output->line, output->name);
    }
    if ((needs_additive && !(out->additive > 0.0)) || (needs_proportional && !(out->proportional > 0.0))) {
        return ddt_fail(ctx, DDT_ERR_UNSUPPORTED, "'%s', line %u: the residual error of %s is 0; a fit needs it above.",
                        model->path, output->line, output->name);
    }
    double below =
        output->residual == DDT_RESIDUAL_LOG ? exp(-extreme * out->additive) : 1.0 - extreme * out->proportional;
    out->reach = fmax(margin / fmax(below, least), reach_min);
    out->pad = out->is_public ? 0.0 : pad_sd * out->additive;
    return DDT_OK;
}
