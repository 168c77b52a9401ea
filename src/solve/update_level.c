/*
 * A level for the engine: what it takes from a point's log likelihood is s(g)^2, where s is a parabola in the public
 * transform g of the prediction. The custodian fits s to the signed root of the level's own objective where that
 * matters, within about four standard deviations, the more the likelier. Roots are close to straight lines whatever the
 * residual error, which is why so little will do.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "update_internal.h"

#include <string.h>

static double half_objective(const fit_residual *r, double y, double f) {
    double value = 0.0;
    double score = 0.0;
    double curvature = 0.0;
    fit_residual_half(r, y, f, &value, &score, &curvature);
    return value;
}

/* The prediction within (0, highest] that explains the level best: search on a grid, ever finer. */
static double best_prediction(const fit_residual *r, double y, double highest) {
    enum { POINTS = 64, ROUNDS = 8 };
    double low = 0.0;
    double high = highest;
    double best = highest;
    for (int round = 0; round < ROUNDS; round++) {
        double step = (high - low) / POINTS;
        double least = INFINITY;
        for (int i = 1; i <= POINTS; i++) {
            double value = half_objective(r, y, low + i * step);
            if (value < least) {
                least = value;
                best = low + i * step;
            }
        }
        low = fmax(best - step, 0.0);
        high = fmin(best + step, highest);
    }
    return best;
}

/* Where the objective has risen by `rise` between `from` (its least) and `to`; `to` where it does not. */
static double edge(const fit_residual *r, double y, double from, double to, double rise) {
    enum { STEPS = 40 };
    const double limit = half_objective(r, y, from) + rise;
    if (half_objective(r, y, to) <= limit) {
        return to;
    }
    double inside = from;
    double outside = to;
    for (int i = 0; i < STEPS; i++) {
        double middle = 0.5 * (inside + outside);
        *(half_objective(r, y, middle) <= limit ? &inside : &outside) = middle;
    }
    return inside;
}

static double signed_root(const fit_residual *r, double y, double best, double f) {
    double rise = fmax(half_objective(r, y, f) - half_objective(r, y, best), 0.0);
    return f < best ? -sqrt(rise) : sqrt(rise);
}

void update_level_of(const fit_residual *r, double y, double highest, update_level *out) {
    const double rise = 8.0;    /* four standard deviations */
    const double flatter = 0.5; /* weights: the likelihood's square root */
    out->y = y;
    out->best = best_prediction(r, y, highest);
    const double low = edge(r, y, out->best, 0.0, rise);
    const double high = edge(r, y, out->best, highest, rise);
    for (int i = 0; i < UPDATE_LEVEL_POINTS; i++) {
        out->f[i] = low + (high - low) * i / (UPDATE_LEVEL_POINTS - 1);
        out->root[i] = signed_root(r, y, out->best, out->f[i]);
        out->weight[i] = exp(-flatter * out->root[i] * out->root[i]);
    }
}

/* Least squares of a parabola in d, or of a line; false where the points do not tell. */
static bool fit_parabola(const double *d, const double *value, const double *weight, bool is_line, double *c) {
    const int count = is_line ? 2 : 3;
    double m[3][4];
    memset(m, 0, sizeof m);
    for (size_t i = 0; i < UPDATE_LEVEL_POINTS; i++) {
        const double basis[3] = {1.0, d[i], d[i] * d[i]};
        for (int a = 0; a < count; a++) {
            for (int b = 0; b < count; b++) {
                m[a][b] += weight[i] * basis[a] * basis[b];
            }
            m[a][3] += weight[i] * basis[a] * value[i];
        }
    }
    for (int p = 0; p < count; p++) {
        if (!(m[p][p] > 1e-12 * m[0][0])) {
            return false;
        }
        for (int i = p + 1; i < count; i++) {
            double part = m[i][p] / m[p][p];
            for (int k = p; k < 4; k++) {
                m[i][k] -= part * m[p][k];
            }
        }
    }
    c[2] = 0.0;
    for (int p = count; p-- > 0;) {
        c[p] = m[p][3];
        for (int k = p + 1; k < count; k++) {
            c[p] -= m[p][k] * c[k];
        }
        c[p] /= m[p][p];
    }
    return true;
}

/* Slope, root and bend of c0 + c1 d + c2 d^2 where it rises through 0; false where it does not, or would fall again
 * within [0, 1]. d = (g - origin) / width. */
static bool take_root(const double *c, double origin, double width, update_root *out) {
    const double least = 0.1; /* of 1 + bend (g - target) */
    double inside = c[1] * c[1] - 4.0 * c[2] * c[0];
    if (!(c[1] > 0.0) || !(inside > 0.0)) {
        return false;
    }
    double slope = sqrt(inside); /* at the root */
    double root = -2.0 * c[0] / (c[1] + slope);
    out->weight = slope / width;
    out->target = origin + root * width;
    out->bend = c[2] / slope / width;
    return 1.0 + out->bend * (0.0 - out->target) >= least && 1.0 + out->bend * (1.0 - out->target) >= least;
}

void update_root_of(const ddt_update *u, const fit_residual *r, const update_level *level, double reach,
                    update_root *out) {
    const double nearest = 0.5; /* of the reach: where a point is judged that comes nowhere near the level */
    double d[UPDATE_LEVEL_POINTS];
    double root[UPDATE_LEVEL_POINTS];
    double weight[UPDATE_LEVEL_POINTS];
    double c[3];
    bool is_near = level->best <= reach;
    double origin = update_transform(u, is_near ? level->best / reach : 1.0);
    double low = update_transform(u, is_near ? level->f[0] / reach : nearest);
    double width = fmax(origin - low, 1e-3);
    for (int i = 0; i < UPDATE_LEVEL_POINTS; i++) {
        double f = is_near ? level->f[i] : reach * (nearest + (1.0 - nearest) * i / (UPDATE_LEVEL_POINTS - 1));
        root[i] = is_near ? level->root[i] : signed_root(r, level->y, level->best, f);
        weight[i] = !is_near ? 1.0 : f <= reach ? level->weight[i] : 0.0;
        d[i] = (update_transform(u, fmin(f / reach, 1.0)) - origin) / width;
    }
    if (fit_parabola(d, root, weight, false, c) && take_root(c, origin, width, out)) {
        return;
    }
    if (!(fit_parabola(d, root, weight, true, c) && take_root(c, origin, width, out))) {
        /* too little to go by: a line through the two ends */
        double slope = (root[UPDATE_LEVEL_POINTS - 1] - root[0]) / (d[UPDATE_LEVEL_POINTS - 1] - d[0]);
        *out = (update_root){.weight = slope / width, .target = origin - root[0] / slope * width + d[0] * width};
    }
}

update_root update_root_at(const ddt_update *u, const double *input, size_t point) {
    return (update_root){.weight = input[update_part_slot(u, UPDATE_WEIGHT, point)],
                         .target = input[update_part_slot(u, UPDATE_TARGET, point)],
                         .bend = input[update_part_slot(u, UPDATE_BEND, point)]};
}

double update_root_most(const update_root *p) {
    double most = 0.0;
    for (int end = 0; end <= 1; end++) {
        double d = end - p->target;
        most = fmax(most, fabs(p->weight * d * (1.0 + p->bend * d)));
    }
    return most * most;
}
