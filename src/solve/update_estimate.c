/*
 * What a decrypted twin says. The custodian has the logarithm of the posterior at every support point, exactly but for
 * noise. Near its maximum a cubic polynomial is fitted to it, which gives the maximum and the curvature; amounts are
 * smooth in the etas and are fitted likewise.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "update_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    SAMPLES = 1024,
    DEGREE_MAX = 3,
    BASIS_MAX = 165 /* monomials of 8 etas up to that degree */
};

typedef struct ranked_point {
    double posterior;
    size_t point;
} ranked_point;

typedef struct surface {
    const ddt_update *u;
    const double *values;
    ranked_point *ranked; /* best first */
    size_t used;          /* points that are fitted to */
    unsigned degree;
    size_t basis;
    double centre[DDT_UPDATE_ETAS_MAX], width[DDT_UPDATE_ETAS_MAX];
    double *factor;  /* basis x basis: Cholesky factor of the normal equations */
    double *design;  /* used x basis */
    double *weights; /* used */
} surface;

/* ------------------------------------------------------------------ polynomials */

/* (n + degree) over degree: monomials of n variables. */
static size_t basis_count(size_t n, unsigned degree) {
    size_t count = 1;
    for (unsigned k = 1; k <= degree; k++) {
        count = count * (n + k) / k;
    }
    return count;
}

/* All monomials, those of each degree from those of the one before: times every variable not before the last one. */
static void basis_at(const surface *s, const double *etas, double *out) {
    const size_t n = s->u->etas;
    double z[DDT_UPDATE_ETAS_MAX];
    size_t last[BASIS_MAX];
    size_t from = 0;
    size_t count = 1;
    for (size_t i = 0; i < n; i++) {
        z[i] = (etas[i] - s->centre[i]) / s->width[i];
    }
    out[0] = 1.0;
    last[0] = 0;
    for (unsigned degree = 1; degree <= s->degree; degree++) {
        const size_t end = count;
        for (size_t m = from; m < end; m++) {
            for (size_t i = last[m]; i < n; i++) {
                last[count] = i;
                out[count++] = out[m] * z[i];
            }
        }
        from = end;
    }
}

static double polynomial(const surface *s, const double *coefficients, const double *etas) {
    double basis[BASIS_MAX];
    double sum = 0.0;
    basis_at(s, etas, basis);
    for (size_t i = 0; i < s->basis; i++) {
        sum += coefficients[i] * basis[i];
    }
    return sum;
}

/* ------------------------------------------------------------------ least squares */

/* Centre and width: of the points used, by weight. */
static void standardise(surface *s) {
    const size_t n = s->u->etas;
    for (size_t i = 0; i < n; i++) {
        double sum = 0.0;
        double mean = 0.0;
        double square = 0.0;
        for (size_t k = 0; k < s->used; k++) {
            double eta = s->u->etas_of[s->ranked[k].point * n + i];
            sum += s->weights[k];
            mean += s->weights[k] * eta;
            square += s->weights[k] * eta * eta;
        }
        mean /= sum;
        s->centre[i] = mean;
        s->width[i] = sqrt(fmax(square / sum - mean * mean, 1e-12));
    }
}

static bool factorise(double *a, size_t n) {
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = a[i * n + j];
            for (size_t k = 0; k < j; k++) {
                sum -= a[i * n + k] * a[j * n + k];
            }
            if (i == j && !(sum > 0.0)) {
                return false;
            }
            a[i * n + j] = i == j ? sqrt(sum) : sum / a[j * n + j];
        }
    }
    return true;
}

static bool prepare(surface *s, unsigned degree) {
    const double ridge = 1e-9;
    const size_t n = s->u->etas;
    s->degree = degree;
    s->basis = basis_count(n, degree);
    standardise(s);
    memset(s->factor, 0, s->basis * s->basis * sizeof *s->factor);
    for (size_t k = 0; k < s->used; k++) {
        double *row = s->design + k * s->basis;
        basis_at(s, s->u->etas_of + s->ranked[k].point * n, row);
        for (size_t i = 0; i < s->basis; i++) {
            for (size_t j = 0; j <= i; j++) {
                s->factor[i * s->basis + j] += s->weights[k] * row[i] * row[j];
            }
        }
    }
    for (size_t i = 0; i < s->basis; i++) {
        s->factor[i * s->basis + i] *= 1.0 + ridge;
    }
    return factorise(s->factor, s->basis);
}

/* coefficients of the least-squares fit to one number for each point used. */
static void fit_values(const surface *s, const double *values, double *coefficients) {
    const size_t m = s->basis;
    memset(coefficients, 0, m * sizeof *coefficients);
    for (size_t k = 0; k < s->used; k++) {
        for (size_t i = 0; i < m; i++) {
            coefficients[i] += s->weights[k] * values[k] * s->design[k * m + i];
        }
    }
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < i; j++) {
            coefficients[i] -= s->factor[i * m + j] * coefficients[j];
        }
        coefficients[i] /= s->factor[i * m + i];
    }
    for (size_t i = m; i-- > 0;) {
        for (size_t j = i + 1; j < m; j++) {
            coefficients[i] -= s->factor[j * m + i] * coefficients[j];
        }
        coefficients[i] /= s->factor[i * m + i];
    }
}

/* ------------------------------------------------------------------ the maximum */

/* Minus the Hessian of the fitted log posterior, and its gradient, by differences in units of the widths. */
static void differentiate(const surface *s, const double *coefficients, const double *etas, double *gradient,
                          double *curvature) {
    const double step = 1e-3;
    const size_t n = s->u->etas;
    double moved[DDT_UPDATE_ETAS_MAX];
    const double here = polynomial(s, coefficients, etas);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double corner[4];
            for (int c = 0; c < 4; c++) {
                memcpy(moved, etas, n * sizeof *moved);
                moved[i] += (c & 1 ? 1.0 : -1.0) * step * s->width[i];
                moved[j] += (c & 2 ? 1.0 : -1.0) * step * s->width[j];
                corner[c] = polynomial(s, coefficients, moved);
            }
            double h = step * step * s->width[i] * s->width[j];
            curvature[i * n + j] = curvature[j * n + i] = -(corner[3] - corner[1] - corner[2] + corner[0]) / (4.0 * h);
            if (i == j) {
                /* both moves are along one axis: corners are two steps apart, the middle ones are here */
                curvature[i * n + i] = -(corner[3] - 2.0 * here + corner[0]) / (4.0 * h);
                gradient[i] = (corner[3] - corner[0]) / (4.0 * step * s->width[i]);
            }
        }
    }
}

/* Newton's method from the centre; false where it leaves the points or finds no maximum. */
static bool climb(const surface *s, const double *coefficients, double *etas, double *covariance) {
    enum { STEPS = 30 };
    const double far = 4.0; /* widths */
    const size_t n = s->u->etas;
    double gradient[DDT_UPDATE_ETAS_MAX];
    memcpy(etas, s->centre, n * sizeof *etas);
    for (int step = 0; step < STEPS; step++) {
        differentiate(s, coefficients, etas, gradient, covariance);
        if (!fit_invert(covariance, n)) {
            return false;
        }
        for (size_t i = 0; i < n; i++) {
            double move = 0.0;
            for (size_t j = 0; j < n; j++) {
                move += covariance[i * n + j] * gradient[j];
            }
            etas[i] += fmin(fmax(move, -s->width[i]), s->width[i]);
            if (!(fabs(etas[i] - s->centre[i]) <= far * s->width[i])) {
                return false;
            }
        }
    }
    /* a maximum, not a saddle */
    double factor[DDT_UPDATE_ETAS_MAX * DDT_UPDATE_ETAS_MAX];
    memcpy(factor, covariance, n * n * sizeof *factor);
    return factorise(factor, n);
}

static int compare_points(const void *left, const void *right) {
    double a = ((const ranked_point *)left)->posterior;
    double b = ((const ranked_point *)right)->posterior;
    return a > b ? -1 : a < b;
}

/* The log posterior of all points, up to a constant. */
static void rank_points(surface *s) {
    const ddt_update *u = s->u;
    for (size_t j = 0; j < u->points; j++) {
        double sum = s->values[u->states * u->points + j] * u->log_scale;
        const double *etas = u->etas_of + j * u->etas;
        for (size_t i = 0; i < u->etas; i++) {
            for (size_t k = 0; k < u->etas; k++) {
                sum -= 0.5 * etas[i] * u->prior[i * u->etas + k] * etas[k];
            }
        }
        s->ranked[j] = (ranked_point){sum, j};
    }
    qsort(s->ranked, u->points, sizeof *s->ranked, compare_points);
}

/* Weights fall with the distance from the best as the posterior does, or (flatter below 1) more slowly. */
static void weigh(surface *s, double flatter) {
    for (size_t k = 0; k < s->used; k++) {
        s->weights[k] = exp(flatter * (s->ranked[k].posterior - s->ranked[0].posterior)) + 1e-6;
    }
}

/* buffer: room for a number a point. */
static bool find_maximum(surface *s, unsigned degree, double flatter, double *buffer, ddt_update_estimate *out) {
    enum { POINTS_PER_TERM = 10 }; /* few: close to the maximum; many: noise is averaged out */
    double coefficients[BASIS_MAX];
    size_t wanted = POINTS_PER_TERM * basis_count(s->u->etas, degree);
    s->used = wanted < s->u->points ? wanted : s->u->points;
    weigh(s, flatter);
    if (!prepare(s, degree)) {
        return false;
    }
    for (size_t k = 0; k < s->used; k++) {
        buffer[k] = s->ranked[k].posterior - s->ranked[0].posterior;
    }
    fit_values(s, buffer, coefficients);
    return climb(s, coefficients, out->eta, out->covariance);
}

/* ------------------------------------------------------------------ amounts and samples */

static void amounts_of_points(const surface *s, size_t state, double *out) {
    const ddt_update *u = s->u;
    for (size_t k = 0; k < s->used; k++) {
        size_t at = state * u->points + s->ranked[k].point;
        out[k] = s->values[at] * u->scale[at];
    }
}

static int compare_numbers(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* Samples of the normal approximation; the first is the maximum itself. */
static void draw_samples(const surface *s, ddt_update_estimate *out, const double *normal) {
    const size_t n = out->eta_count;
    const size_t width = n + out->state_count;
    double factor[DDT_UPDATE_ETAS_MAX * DDT_UPDATE_ETAS_MAX];
    memcpy(factor, out->covariance, n * n * sizeof *factor);
    bool has_factor = factorise(factor, n);
    for (size_t k = 0; k < out->sample_count; k++) {
        for (size_t i = 0; i < n; i++) {
            double move = 0.0;
            for (size_t j = 0; j <= i && k > 0 && has_factor; j++) {
                move += factor[i * n + j] * normal[k * n + j];
            }
            /* no further than the points that amounts were fitted to */
            double far = 3.0 * s->width[i];
            double eta = fmin(fmax(out->eta[i] + move, s->centre[i] - far), s->centre[i] + far);
            out->samples[k * width + i] = k == 0 ? out->eta[i] : eta;
        }
    }
}

static void sample_amounts(surface *s, ddt_update_estimate *out, double *buffer) {
    static const double probabilities[DDT_UPDATE_BANDS] = {0.05, 0.5, 0.95};
    const size_t width = out->eta_count + out->state_count;
    double coefficients[BASIS_MAX];
    for (size_t i = 0; i < out->state_count; i++) {
        amounts_of_points(s, i, buffer);
        fit_values(s, buffer, coefficients);
        for (size_t k = 0; k < out->sample_count; k++) {
            double *sample = out->samples + k * width;
            sample[out->eta_count + i] = fmax(polynomial(s, coefficients, sample), 0.0);
            buffer[k] = sample[out->eta_count + i];
        }
        out->amount[i] = out->samples[out->eta_count + i];
        qsort(buffer, out->sample_count, sizeof *buffer, compare_numbers);
        ddt_percentiles(buffer, out->sample_count, probabilities, DDT_UPDATE_BANDS, out->amount_band[i]);
    }
}

static double effective_points(const surface *s) {
    double sum = 0.0;
    double square = 0.0;
    for (size_t k = 0; k < s->u->points; k++) {
        double weight = exp(s->ranked[k].posterior - s->ranked[0].posterior);
        sum += weight;
        square += weight * weight;
    }
    return sum * sum / square;
}

/* ------------------------------------------------------------------ from beginning to end */

static ddt_status allocate(ddt_context *ctx, surface *s, double **normal, double **buffer, ddt_update_estimate *out) {
    const size_t points = s->u->points;
    const size_t basis = basis_count(s->u->etas, DEGREE_MAX);
    const size_t longest = points > SAMPLES ? points : SAMPLES;
    *out = (ddt_update_estimate){.eta_count = s->u->etas, .state_count = s->u->states, .sample_count = SAMPLES};
    s->ranked = ddt_calloc(points, sizeof *s->ranked);
    s->factor = ddt_calloc(basis * basis, sizeof *s->factor);
    s->design = ddt_calloc(points * basis, sizeof *s->design);
    s->weights = ddt_calloc(points, sizeof *s->weights);
    *normal = ddt_calloc(SAMPLES * s->u->etas, sizeof **normal);
    *buffer = ddt_calloc(longest, sizeof **buffer);
    out->samples = ddt_calloc(SAMPLES * (s->u->etas + s->u->states), sizeof *out->samples);
    bool enough = s->ranked != NULL && s->factor != NULL && s->design != NULL && s->weights != NULL &&
                  *normal != NULL && *buffer != NULL && out->samples != NULL;
    return enough ? DDT_OK : solve_no_memory(ctx);
}

static ddt_status read_surface(ddt_context *ctx, surface *s, const double *normal, double *buffer,
                               ddt_update_estimate *out) {
    rank_points(s);
    bool is_found = find_maximum(s, DEGREE_MAX, 1.0, buffer, out) || find_maximum(s, 2, 0.5, buffer, out) ||
                    find_maximum(s, 2, 0.1, buffer, out);
    if (!is_found) {
        return ddt_fail(ctx, DDT_ERR_DATA,
                        "The twin's values have no maximum: they are not a twin's, or its levels "
                        "contradict each other.");
    }
    for (size_t i = 0; i < out->eta_count; i++) {
        out->sd[i] = sqrt(out->covariance[i * out->eta_count + i]);
    }
    out->effective_points = effective_points(s);
    draw_samples(s, out, normal);
    sample_amounts(s, out, buffer);
    return DDT_OK;
}

ddt_status ddt_update_read_state(ddt_context *ctx, const ddt_update *update, const ddt_model *model,
                                 const double *values, ddt_update_estimate *out) {
    surface s = {.u = update, .values = values};
    double *normal = NULL;
    double *buffer = NULL;
    *out = (ddt_update_estimate){0};
    ddt_status status = update_check_model(ctx, update, model);
    if (status == DDT_OK) {
        status = allocate(ctx, &s, &normal, &buffer, out);
    }
    if (status == DDT_OK) {
        update_normal_points(SAMPLES, update->etas, normal);
        status = read_surface(ctx, &s, normal, buffer, out);
    }
    ddt_free(s.ranked);
    ddt_free(s.factor);
    ddt_free(s.design);
    ddt_free(s.weights);
    ddt_free(normal);
    ddt_free(buffer);
    if (status != DDT_OK) {
        ddt_update_estimate_destroy(out);
    }
    return status;
}

void ddt_update_estimate_destroy(ddt_update_estimate *estimate) {
    if (estimate->samples != NULL) {
        memset(estimate->samples, 0,
               estimate->sample_count * (estimate->eta_count + estimate->state_count) * sizeof *estimate->samples);
    }
    ddt_free(estimate->samples);
    *estimate = (ddt_update_estimate){0};
}

/* ------------------------------------------------------------------ ahead */

void update_set_own(const void *user, double *symbols) {
    const update_own_etas *own = user;
    for (size_t i = 0; i < own->u->etas; i++) {
        symbols[own->u->eta_symbols[i]] = own->etas[i];
    }
}

typedef struct oracle {
    const ddt_update *u;
    const ddt_model *model;
    const ddt_events *events;
    size_t subject;
    const update_timeline *timeline;
    const ddt_update_estimate *estimate;
    update_walk walk;
    double *values; /* rows x samples */
} oracle;

static void walk_sample(oracle *o, size_t k) {
    const size_t n = o->u->states;
    const double *sample = o->estimate->samples + k * (o->estimate->eta_count + n);
    const update_own_etas own = {o->u, sample};
    size_t row = 0;
    update_walk_start(&o->walk);
    memcpy(o->walk.s, sample + o->estimate->eta_count, n * sizeof *o->walk.s);
    for (size_t a = 0; a < o->timeline->count; a++) {
        const update_act *act = &o->timeline->acts[a];
        update_walk_act(&o->walk, o->model, o->events, o->subject, act, update_set_own, &own);
        if (act->kind != UPDATE_LEVEL && act->kind != UPDATE_LOOK) {
            continue;
        }
        for (size_t out = 0; out < o->u->outputs; out++) {
            double value = o->walk.numbers.offset[out];
            for (size_t i = 0; i < n; i++) {
                value += o->walk.numbers.gain[out * n + i] * o->walk.s[i];
            }
            o->values[(row * o->u->outputs + out) * o->estimate->sample_count + k] = value;
        }
        row++;
    }
}

static ddt_status predict_with(ddt_context *ctx, oracle *o, const update_system *system, double *predicted,
                               double *band) {
    static const double probabilities[DDT_UPDATE_BANDS] = {0.05, 0.5, 0.95};
    const size_t samples = o->estimate->sample_count;
    const size_t rows = o->timeline->look_count * o->u->outputs;
    o->values = ddt_calloc(rows * samples, sizeof *o->values);
    if (o->values == NULL) {
        return solve_no_memory(ctx);
    }
    ddt_status status = update_walk_create(ctx, system, o->model, &o->walk);
    for (size_t k = 0; status == DDT_OK && k < samples; k++) {
        walk_sample(o, k);
    }
    for (size_t r = 0; status == DDT_OK && r < rows; r++) {
        predicted[r] = o->values[r * samples];
        ddt_percentiles(o->values + r * samples, samples, probabilities, DDT_UPDATE_BANDS, band + r * DDT_UPDATE_BANDS);
    }
    update_walk_destroy(&o->walk);
    ddt_free(o->values);
    return status;
}

ddt_status ddt_update_predict(ddt_context *ctx, const ddt_update *update, const ddt_model *model,
                              const ddt_update_estimate *estimate, const ddt_events *events, size_t subject,
                              double since_h, double *predicted, double *band) {
    update_system system = {0};
    update_timeline timeline = {0};
    oracle o = {
        .u = update, .model = model, .events = events, .subject = subject, .timeline = &timeline, .estimate = estimate};
    ddt_status status = update_timeline_open(ctx, update, model, events, subject, since_h, &system, &timeline);
    if (status == DDT_OK) {
        status = predict_with(ctx, &o, &system, predicted, band);
    }
    update_timeline_destroy(&timeline);
    update_system_destroy(&system);
    return status;
}
