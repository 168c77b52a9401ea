/*
 * Facts for the first guess where covariates shape how levels answer to etas: the slopes of the predictions at etas of
 * 0, and the estimate of the model that is linear in the etas.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_internal.h"

#include <string.h>

/* up, down: predictions of a level where an eta is moved by +- FIT_SLOPE_STEP standard deviations. */
static double slope_of(const fit_residual *r, double up, double down) {
    const double limit = 30.0; /* a prediction of 0 has none */
    double slope = fit_residual_standardised(r, up, down) / (2.0 * FIT_SLOPE_STEP);
    return fmin(fmax(slope, -limit), limit);
}

ddt_status fit_find_slopes(const solve_fit *fit, const fit_lane *lane, fit_predict predict, void *user,
                           double *slopes) {
    double etas[FIT_ETAS_MAX] = {0};
    double up[FIT_LEVELS_MAX];
    double down[FIT_LEVELS_MAX];
    for (size_t i = 0; i < fit->eta_count; i++) {
        etas[i] = FIT_SLOPE_STEP * fit->eta_sd[i];
        SOLVE_TRY(predict(user, etas, up));
        etas[i] = -etas[i];
        SOLVE_TRY(predict(user, etas, down));
        etas[i] = 0.0;
        for (size_t k = 0; k < lane->level_count; k++) {
            slopes[k * fit->eta_count + i] = slope_of(&fit->residuals[lane->levels[k].output], up[k], down[k]);
        }
    }
    return DDT_OK;
}

/* (J'J + P)^-1 J' z in standard deviations, and what of z it leaves unexplained. */
static void first_order(const solve_fit *fit, size_t levels, const double *slopes, const double *z, double *etas,
                        double *rest, double *curvature) {
    size_t n = fit->eta_count;
    double gradient[FIT_ETAS_MAX] = {0};
    memcpy(curvature, fit->prior, n * n * sizeof *curvature);
    for (size_t k = 0; k < levels; k++) {
        for (size_t i = 0; i < n; i++) {
            gradient[i] += slopes[k * n + i] * z[k];
            for (size_t j = 0; j < n; j++) {
                curvature[i * n + j] += slopes[k * n + i] * slopes[k * n + j];
            }
        }
    }
    bool is_sound = fit_invert(curvature, n);
    for (size_t i = 0; i < n; i++) {
        etas[i] = 0.0;
        for (size_t j = 0; j < n && is_sound; j++) {
            etas[i] += curvature[i * n + j] * gradient[j];
        }
    }
    for (size_t k = 0; k < levels; k++) {
        rest[k] = z[k];
        for (size_t i = 0; i < n; i++) {
            rest[k] -= slopes[k * n + i] * etas[i];
        }
    }
}

size_t fit_slope_facts(const solve_fit *fit, size_t levels) {
    size_t n = fit->eta_count;
    return fit->has_slopes ? n + levels + levels * n + n * (n + 1) / 2 : 0;
}

/* The factor of the linear model's posterior covariance, and its products with the linear estimates. */
size_t fit_slope_terms(const solve_fit *fit, const fit_lane *lane) {
    size_t n = fit->eta_count;
    return fit->has_slopes && lane->level_count > 0 ? n * (n + 1) / 2 * (n + 1) : 0;
}

void fit_slope_features(const solve_fit *fit, const fit_lane *lane, const double *facts, double *features) {
    size_t n = fit->eta_count;
    const double *linear = facts + lane->level_count + fit->covariate_count + fit->sees_size;
    const double *factor = linear + n + lane->level_count * (n + 1);
    const double half = 0.5;
    for (size_t k = 0; k < n * (n + 1) / 2; k++) {
        for (size_t i = 0; i <= n; i++) {
            double x = i < n ? half * linear[i] : 1.0;
            *features++ = fmin(fmax(factor[k] * x, -1.0), 1.0);
        }
    }
}

/* Behind the other facts: the linear estimate, what it leaves, the slopes. */
void fit_slope_fill(const solve_fit *fit, const fit_lane *lane, const fit_seen *seen, double *facts) {
    const double limit = 30.0;
    const double of_etas = 2.0; /* where values are compressed, so that few patients do not take most of the range */
    const double of_rest = 3.0;
    const double of_slopes = 2.0;
    double z[FIT_LEVELS_MAX];
    double etas[FIT_ETAS_MAX];
    size_t n = fit->eta_count;
    size_t m = lane->level_count;
    for (size_t k = 0; k < m; k++) {
        const fit_residual *r = &fit->residuals[lane->levels[k].output];
        z[k] = fmin(fmax(fit_residual_standardised(r, fit_level_typical(&seen->levels[k]), seen->predicted[k]), -limit),
                    limit);
    }
    double covariance[FIT_ETAS_MAX * FIT_ETAS_MAX];
    double factor[FIT_ETAS_MAX * FIT_ETAS_MAX] = {0};
    first_order(fit, m, seen->slopes, z, etas, facts + n, covariance);
    fit_factorise(covariance, n, factor);
    for (size_t i = 0; i < n; i++) {
        facts[i] = asinh(etas[i] / of_etas);
    }
    for (size_t k = 0; k < m; k++) {
        facts[n + k] = asinh(facts[n + k] / of_rest);
    }
    for (size_t k = 0; k < m * n; k++) {
        facts[n + m + k] = asinh(seen->slopes[k] / of_slopes);
    }
    facts += n + m + m * n;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            *facts++ = factor[i * n + j];
        }
    }
}
