/*
 * A level for the engine: what it takes from a point's log likelihood is s(g)^2, where s is a cubic in the public
 * transform g of the prediction. The custodian fits s to the root of the level's own objective where that matters,
 * within about four standard deviations, the more the likelier. Signed roots of levels that were measured are close to
 * straight lines whatever the residual error. The objective of a level below a limit rises on one side only: there the
 * cubic stays close to 0 below the limit, which its square forgives, and rises above it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "update_internal.h"

#include <string.h>

static double half_objective(const fit_level_value *level, double f) {
    double value = 0.0;
    double score = 0.0;
    double curvature = 0.0;
    fit_level_half(level, f, &value, &score, &curvature);
    return value;
}

/* The prediction within (0, highest] that explains the level best: search on a grid, ever finer. */
static double best_prediction(const fit_level_value *level, double highest) {
    enum { POINTS = 64, ROUNDS = 8 };
    double low = 0.0;
    double high = highest;
    double best = highest;
    for (int round = 0; round < ROUNDS; round++) {
        double step = (high - low) / POINTS;
        double least = INFINITY;
        for (int i = 1; i <= POINTS; i++) {
            double value = half_objective(level, low + i * step);
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

/* Where the objective has risen to `limit` between `from`, where it is less, and `to`; `to` where it has not. */
static double edge(const fit_level_value *level, double from, double to, double limit) {
    enum { STEPS = 40 };
    if (half_objective(level, to) <= limit) {
        return to;
    }
    double inside = from;
    double outside = to;
    for (int i = 0; i < STEPS; i++) {
        double middle = 0.5 * (inside + outside);
        *(half_objective(level, middle) <= limit ? &inside : &outside) = middle;
    }
    return inside;
}

static double root_at(const update_level *level, double f) {
    if (level->value.is_censored) {
        return sqrt(fmax(half_objective(&level->value, f), 0.0));
    }
    double rise = fmax(half_objective(&level->value, f) - half_objective(&level->value, level->best), 0.0);
    return f < level->best ? -sqrt(rise) : sqrt(rise);
}

static const double risen = 8.0; /* four standard deviations */
static const double flatter =
    0.5; /* weights: the likelihood's square root; more of it below a limit, where a level is rarely unlikely */
static const double censored_flatter = 0.75;

static void take_measured(double highest, update_level *out) {
    const fit_level_value *level = &out->value;
    out->best = best_prediction(level, highest);
    const double limit = half_objective(level, out->best) + risen;
    const double low = edge(level, out->best, 0.0, limit);
    const double high = edge(level, out->best, highest, limit);
    for (int i = 0; i < UPDATE_LEVEL_POINTS; i++) {
        out->f[i] = low + (high - low) * i / (UPDATE_LEVEL_POINTS - 1);
        out->root[i] = root_at(out, out->f[i]);
        out->weight[i] = exp(-flatter * out->root[i] * out->root[i]);
    }
}

/*
 * Below a limit: predictions down to 0, which count less below a fifth of it, and those above as much as they are
 * likely. What counts is the error of s^2, 2 s times that of s.
 */
static void take_censored(double highest, update_level *out) {
    enum { NEAR_0 = 6 };
    const double lowest = 0.1;
    const double usual = 0.2;
    const double floor = 0.1; /* of s^2: where s is 0 its error's square counts */
    const double limit = out->value.y;
    const double high = edge(&out->value, limit, highest, risen);
    const double span = log(fmax(high, limit) / (lowest * limit));
    out->best = limit;
    for (int i = 0; i < UPDATE_LEVEL_POINTS; i++) {
        double part = i < NEAR_0 ? (double)i / NEAR_0 : exp(span * (i - NEAR_0) / (UPDATE_LEVEL_POINTS - 1 - NEAR_0));
        double f = lowest * limit * part;
        double far = usual / fmax(f / limit, lowest);
        out->f[i] = f;
        out->root[i] = root_at(out, f);
        double square = out->root[i] * out->root[i];
        out->weight[i] = (square + floor) * (exp(-censored_flatter * square) / (1.0 + far * far) + 1e-4);
    }
}

void update_level_of(const fit_level_value *value, double highest, update_level *out) {
    out->value = *value;
    if (value->is_censored) {
        take_censored(highest, out);
    } else {
        take_measured(highest, out);
    }
}

/* ------------------------------------------------------------------ the cubic */

/* What s is to be at t = 2 g - 1: the level's points, and behind them some that are to keep s from turning back. */
enum { OUTSIDE = 8, TARGETS = UPDATE_LEVEL_POINTS + OUTSIDE };
typedef struct targets {
    double t[TARGETS], root[TARGETS], weight[TARGETS];
    double low, high; /* of t, where the level's points lie */
} targets;

/* Least squares of a polynomial in (t - low) / (high - low); false where the points do not tell. */
static bool fit_polynomial(const targets *x, double outside, int degree, double *c) {
    enum { MOST = UPDATE_COEFFICIENTS };
    const double singular = 1e-13;
    double m[MOST][MOST + 1];
    const int count = degree + 1;
    memset(m, 0, sizeof m);
    for (size_t i = 0; i < TARGETS; i++) {
        const double d = (x->t[i] - x->low) / (x->high - x->low);
        const double basis[MOST] = {1.0, d, d * d, d * d * d};
        const double weight = x->weight[i] * (i < UPDATE_LEVEL_POINTS ? 1.0 : outside);
        for (int a = 0; a < count; a++) {
            for (int b = 0; b < count; b++) {
                m[a][b] += weight * basis[a] * basis[b];
            }
            m[a][MOST] += weight * basis[a] * x->root[i];
        }
    }
    for (int p = 0; p < count; p++) {
        if (!(m[p][p] > singular * m[0][0])) {
            return false;
        }
        for (int i = p + 1; i < count; i++) {
            double part = m[i][p] / m[p][p];
            for (int k = p; k <= MOST; k++) {
                m[i][k] -= part * m[p][k];
            }
        }
    }
    memset(c, 0, MOST * sizeof *c);
    for (int p = count; p-- > 0;) {
        c[p] = m[p][MOST];
        for (int k = p + 1; k < count; k++) {
            c[p] -= m[p][k] * c[k];
        }
        c[p] /= m[p][p];
    }
    return true;
}

static double cubic(const double *c, double t) { return ((c[3] * t + c[2]) * t + c[1]) * t + c[0]; }

/* From powers of (t - low) / width to powers of t: Horner's scheme of polynomials. */
static void expand(const double *from, double low, double width, double *c) {
    memset(c, 0, UPDATE_COEFFICIENTS * sizeof *c);
    for (int k = UPDATE_COEFFICIENTS; k-- > 0;) {
        for (int i = UPDATE_COEFFICIENTS; i-- > 0;) {
            c[i] = (-low * c[i] + (i > 0 ? c[i - 1] : 0.0)) / width;
        }
        c[0] += from[k];
    }
}

/* Whether s stays large beyond the level's points, as its square would else pardon predictions that it must not; s may
 * be anything below a limit. */
static bool stays_out(const update_root *p, const targets *x, bool is_censored) {
    enum { POINTS = 32 };
    const double least = 0.5; /* of s where the points end */
    const double top = cubic(p->c, x->high);
    const double bottom = cubic(p->c, x->low);
    for (int i = 0; i <= POINTS; i++) {
        double above = cubic(p->c, x->high + (1.0 - x->high) * i / POINTS);
        double below = cubic(p->c, x->low + (-1.0 - x->low) * i / POINTS);
        if (!(above >= least * top) || (!is_censored && !(below <= least * bottom))) {
            return false;
        }
    }
    return top >= 0.0;
}

static void find_targets(const ddt_update *u, const update_level *level, double reach, targets *x) {
    const double nearest = 0.5; /* of the reach: where a point is judged that comes nowhere near the level */
    const bool is_near = level->best <= reach || level->value.is_censored;
    double highest = 0.0;
    for (int i = 0; i < UPDATE_LEVEL_POINTS; i++) {
        double f = is_near ? level->f[i] : reach * (nearest + (1.0 - nearest) * i / (UPDATE_LEVEL_POINTS - 1));
        x->root[i] = is_near ? level->root[i] : root_at(level, f);
        x->weight[i] = !is_near ? 1.0 : f <= reach ? level->weight[i] : 0.0;
        x->t[i] = 2.0 * update_transform(u, fmin(f / reach, 1.0)) - 1.0;
        highest = f <= reach ? fmax(highest, f) : highest;
    }
    for (int i = 1; i <= OUTSIDE; i++) {
        double f = highest + (reach - highest) * i / OUTSIDE;
        x->root[UPDATE_LEVEL_POINTS + i - 1] = root_at(level, f);
        x->weight[UPDATE_LEVEL_POINTS + i - 1] = 1.0;
        x->t[UPDATE_LEVEL_POINTS + i - 1] = 2.0 * update_transform(u, f / reach) - 1.0;
    }
    x->low = x->t[0];
    x->high = fmax(2.0 * update_transform(u, highest / reach) - 1.0, x->low + 1e-3);
}

/* The polynomial of a degree, if it may be used. */
static bool try_degree(const targets *x, double outside, int degree, bool is_censored, update_root *out) {
    double c[UPDATE_COEFFICIENTS];
    if (!fit_polynomial(x, outside, degree, c)) {
        return false;
    }
    expand(c, x->low, x->high - x->low, out->c);
    return stays_out(out, x, is_censored);
}

/* A parabola or a line; where the points say too little, the line through their ends. */
static update_root plain_root(const update_level *level, double reach, const targets *x) {
    update_root root;
    if (try_degree(x, 0.0, 2, level->value.is_censored, &root) ||
        try_degree(x, 0.0, 1, level->value.is_censored, &root)) {
        return root;
    }
    const double last = root_at(level, fmin(reach, level->f[UPDATE_LEVEL_POINTS - 1]));
    const double slope = fmax(last - x->root[0], 0.0) / (x->high - x->low);
    return (update_root){{x->root[0] - slope * x->low, slope}};
}

void update_root_of(const ddt_update *u, const update_level *level, double reach, update_root *out) {
    static const double outside[] = {0.0, 1e-3, 1e-2}; /* weights of the points beyond */
    const double steepest = 2.0;                       /* of what a parabola takes where nothing is known of s */
    targets x;
    find_targets(u, level, reach, &x);
    const update_root plain = plain_root(level, reach, &x);
    const double allowed = u->penalty_max > 0.0 ? u->penalty_max : INFINITY;
    const double most = level->value.is_censored ? allowed : steepest * update_root_most(&plain);
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        if (try_degree(&x, outside[i], 3, level->value.is_censored, out) && update_root_most(out) <= most) {
            return;
        }
    }
    *out = plain;
}

update_root update_root_at(const ddt_update *u, const double *input, size_t point) {
    update_root p;
    for (size_t k = 0; k < UPDATE_COEFFICIENTS; k++) {
        p.c[k] = input[update_coefficient_slot(u, k, point)];
    }
    return p;
}

double update_root_most(const update_root *p) {
    enum { POINTS = 32 };
    double most = 0.0;
    for (int i = 0; i <= POINTS; i++) {
        most = fmax(most, fabs(cubic(p->c, 2.0 * i / POINTS - 1.0)));
    }
    return most * most;
}

double update_root_error(const ddt_update *u, const update_level *level, double reach, const update_root *p) {
    enum { POINTS = 40 };
    const double lowest = 0.25; /* of the limit */
    const double likely = 2.0;  /* of half the objective: two standard deviations */
    const double limit = level->value.y;
    const double high = edge(&level->value, limit, reach, likely);
    double worst = 0.0;
    for (int i = 0; i <= POINTS; i++) {
        double f = lowest * limit * pow(high / (lowest * limit), (double)i / POINTS);
        double s = cubic(p->c, 2.0 * update_transform(u, f / reach) - 1.0);
        worst = fmax(worst, fabs(s * s - half_objective(&level->value, f)));
    }
    return worst;
}
