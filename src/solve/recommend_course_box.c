/*
 * Courses within bounds in numbers: each virtual patient's best doses, and the polynomials and steps that find them.
 *
 * A polynomial is that of a function with rounded corners. Rounding errs where a dose is near a bound, and bounds are
 * doses that can be given: what is a small part of a step below a bound is rounded to it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_course.h"

#include <limits.h>
#include <string.h>

#ifndef M_PI
#define M_PI 3.14159265358979323846
#endif

/* ------------------------------------------------------------------ one patient */

static const ddt_recommend_target *limit_target(const course *c, size_t k) {
    return &c->r->options->targets.items[c->limit[k]];
}

/* Weight of a limit at one point, in the equations' unit. */
static double limit_weight(const course *c, const course_patient *p, size_t k) {
    return p->factor * limit_target(c, k)->weight / (double)c->r->points;
}

static double dot(const course *c, const double *a, const double *b) {
    double sum = 0.0;
    for (size_t j = 0; j < c->doses; j++) {
        sum += a[j] * b[j];
    }
    return sum;
}

/* The cost divided by e / J. */
static double cost_of(const course *c, const course_patient *p, const double *x) {
    double moved[COURSE_SIDE];
    course_multiply(c, p->h, x, moved);
    double cost = p->constant + dot(c, x, moved) - 2.0 * dot(c, x, p->b);
    for (size_t i = 0; i < c->r->points * c->limit_count; i++) {
        double excess = fmax(dot(c, p->limits + i * COURSE_SIDE, x) - 1.0, 0.0);
        cost += limit_weight(c, p, i % c->limit_count) * excess * excess;
    }
    return cost;
}

/* Half the slope of the penalties along dose j, and the most that half their curvature can be. */
static double penalty_slope(const course *c, const course_patient *p, const double *excess, size_t j, double *bend) {
    double slope = 0.0;
    for (size_t i = 0; i < c->r->points * c->limit_count; i++) {
        double row = p->limits[i * COURSE_SIDE + j];
        double weight = limit_weight(c, p, i % c->limit_count);
        slope += weight * fmax(excess[i], 0.0) * row;
        *bend += weight * row * row;
    }
    return slope;
}

/* One dose at a time towards where the cost is least, until none moves: the cost is convex. excess: scratch. */
static void find_best(const course *c, course_patient *p, double *excess) {
    enum { ROUNDS_MAX = 20000 };
    const double still = 1e-9;
    const size_t rows = c->r->points * c->limit_count;
    double *x = p->best;
    double moved = INFINITY;
    for (size_t j = 0; j < c->doses; j++) {
        x[j] = c->box.low;
    }
    for (size_t i = 0; i < rows; i++) {
        excess[i] = dot(c, p->limits + i * COURSE_SIDE, x) - 1.0;
    }
    for (int round = 0; round < ROUNDS_MAX && moved > still; round++) {
        moved = 0.0;
        for (size_t j = 0; j < c->doses; j++) {
            double bend = p->h[j * COURSE_SIDE + j];
            double slope = penalty_slope(c, p, excess, j, &bend);
            slope += dot(c, p->h + j * COURSE_SIDE, x) - p->b[j];
            const double next = fmin(fmax(x[j] - slope / bend, c->box.low), c->box.high);
            for (size_t i = 0; i < rows; i++) {
                excess[i] += p->limits[i * COURSE_SIDE + j] * (next - x[j]);
            }
            moved = fmax(moved, fabs(next - x[j]));
            x[j] = next;
        }
    }
}

static ddt_status read_patients(course *c) {
    recommend_work *r = c->r;
    const size_t rows = r->points * c->limit_count;
    double *excess = solve_alloc(&r->work, rows + 1, sizeof *excess);
    c->patients = solve_alloc(&r->work, r->patient_count, sizeof *c->patients);
    if (excess == NULL || c->patients == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t s = 0; s < r->patient_count; s++) {
        course_patient *p = &c->patients[s];
        *p = (course_patient){.limits = solve_alloc(&r->work, rows * COURSE_SIDE + 1, sizeof *p->limits)};
        if (p->limits == NULL) {
            return DDT_ERR_MEMORY;
        }
        course_exact(c, s, p->h, p->b, p->limits);
        p->factor = (double)c->doses / course_effect(c, p->h);
        for (size_t t = 0; t < c->targets; t++) {
            p->constant += course_is_limit(c, t) ? 0.0 : p->factor * r->options->targets.items[t].weight;
        }
        course_normalise(c, p->h, p->b);
        find_best(c, p, excess);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ polynomials */

double course_evaluate(const course_polynomial *p, double x) {
    const double y = (x - p->mid) / p->half;
    double one = 0.0;
    double two = 0.0;
    for (unsigned k = p->degree; k > 0; k--) {
        const double next = 2.0 * y * one - two + p->coefficients[k];
        two = one;
        one = next;
    }
    return y * one - two + p->coefficients[0];
}

/* log(1 + exp(x)) without overflow. */
static double soft_plus(double x) { return fmax(x, 0.0) + log1p(exp(-fabs(x))); }

typedef struct corners {
    const course_box *box;
    bool is_hinge;
    double width;
} corners;

/* The function of rounded corners that a polynomial is made of. */
static double rounded(const corners *f, double x) {
    if (f->is_hinge) {
        return f->width * soft_plus(x / f->width);
    }
    const double over = f->width * soft_plus((x - f->box->high) / f->width);
    const double under = f->width * soft_plus((f->box->low - x) / f->width);
    return x - 2.0 * (over - under);
}

/* Interpolation of the function over low..high; corners as sharp as the degree can tell. */
static void make_polynomial(const course_box *box, bool is_hinge, double low, double high, unsigned degree,
                            course_polynomial *out) {
    const double sharpness = 0.35;
    const double count = degree + 1.0;
    double values[COURSE_DEGREE_MAX + 1];
    *out = (course_polynomial){.mid = 0.5 * (low + high), .half = 0.5 * (high - low), .degree = degree};
    const corners f = {box, is_hinge, sharpness * out->half / degree};
    for (unsigned j = 0; j <= degree; j++) {
        values[j] = rounded(&f, out->mid + out->half * cos(M_PI * (j + 0.5) / count));
    }
    for (unsigned k = 0; k <= degree; k++) {
        double sum = 0.0;
        for (unsigned j = 0; j <= degree; j++) {
            sum += values[j] * cos(M_PI * k * (j + 0.5) / count);
        }
        out->coefficients[k] = sum * (k == 0 ? 1.0 : 2.0) / count;
    }
}

/* The reflection as it is carried: 0 at 0, where slots hold nothing. */
static void make_reflection(course_box *box, double low, double high, unsigned degree) {
    course_polynomial *p = &box->reflect;
    make_polynomial(box, false, low, high, degree, p);
    for (unsigned k = 0; k <= degree; k++) {
        p->coefficients[k] /= p->half;
    }
    const double at_zero = course_evaluate(p, p->mid);
    box->zero = at_zero * p->half;
    p->coefficients[0] -= at_zero;
}

static double reflect(const course_box *box, double v) {
    return box->zero + box->reflect.half * course_evaluate(&box->reflect, v);
}

/* ------------------------------------------------------------------ steps */

/* What the arguments of the polynomials are seen to be. */
typedef struct spans {
    double low, high;           /* of v */
    double least_arg, most_arg; /* of metric / limit - 1 */
} spans;

typedef struct search {
    const course *c;
    const course_patient *p;
    double inverse[COURSE_SIDE * COURSE_SIDE]; /* of rho + H */
    bool is_exact;                             /* the functions themselves */
    double v[COURSE_SIDE], r[COURSE_SIDE];
    spans *seen;
} search;

static void run_begin(const course *c, const course_patient *p, bool is_exact, spans *seen, search *out) {
    const course_box *box = &c->box;
    const double start = 0.5 * (box->low + box->high);
    *out = (search){.c = c, .p = p, .is_exact = is_exact, .seen = seen};
    for (size_t j = 0; j < c->doses; j++) {
        double unit[COURSE_SIDE] = {0.0};
        unit[j] = 1.0;
        course_inverse(c, p->h, box->rho, box->doublings, unit, out->inverse + j * COURSE_SIDE); /* symmetric */
    }
    for (size_t j = 0; j < c->doses; j++) {
        out->v[j] = -start;
        for (size_t i = 0; i < c->doses; i++) {
            out->v[j] += 2.0 * out->inverse[j * COURSE_SIDE + i] * (box->rho * start + p->b[i]);
        }
    }
}

static void note(spans *seen, double low, double high, double least, double most) {
    seen->low = fmin(seen->low, low);
    seen->high = fmax(seen->high, high);
    seen->least_arg = fmin(seen->least_arg, least);
    seen->most_arg = fmax(seen->most_arg, most);
}

/* Reflections and doses of the present v. */
static void run_look(search *run, double *x) {
    const course_box *box = &run->c->box;
    for (size_t j = 0; j < run->c->doses; j++) {
        const double v = run->v[j];
        run->r[j] = run->is_exact ? 2.0 * fmin(fmax(v, box->low), box->high) - v : reflect(box, v);
        x[j] = 0.5 * (v + run->r[j]);
        note(run->seen, v, v, INFINITY, -INFINITY);
    }
}

/*
 * What slots behind the doses see instead of a metric, harmlessly: a part of its own sum, and of the next limit's (a
 * limit of its next metric is next to it).
 */
static void note_others(search *run, size_t z, size_t k, const double *x) {
    const course *c = run->c;
    const double *own = run->p->limits + (z * c->limit_count + k) * COURSE_SIDE;
    const bool has_next = k + 1 < c->limit_count && c->limit[k + 1] == c->limit[k] + 1;
    double sum = -1.0 + dot(c, own, x);
    for (size_t j = 0; j < c->doses; j++) {
        sum += (has_next ? own[COURSE_SIDE + j] * x[j] : 0.0) - own[j] * x[j];
        note(run->seen, INFINITY, -INFINITY, sum, sum);
    }
    note(run->seen, INFINITY, -INFINITY, -1.0, -1.0);
}

static void penalties(search *run, const double *x, double *g) {
    const course *c = run->c;
    const course_box *box = &c->box;
    for (size_t i = 0; i < c->r->points * c->limit_count; i++) {
        const double *row = run->p->limits + i * COURSE_SIDE;
        const double arg = dot(c, row, x) - 1.0;
        const double hinge = run->is_exact ? fmax(arg, 0.0) : course_evaluate(&box->hinge, arg);
        note(run->seen, INFINITY, -INFINITY, arg, arg);
        note_others(run, i / c->limit_count, i % c->limit_count, x);
        for (size_t j = 0; j < c->doses; j++) {
            g[j] += limit_weight(c, run->p, i % c->limit_count) * hinge * row[j];
        }
    }
}

static void run_step(search *run, const double *x) {
    const course *c = run->c;
    double g[COURSE_SIDE] = {0.0};
    double side[COURSE_SIDE];
    penalties(run, x, g);
    for (size_t j = 0; j < c->doses; j++) {
        side[j] = c->box.rho * run->r[j] - g[j] + run->p->b[j];
    }
    for (size_t j = 0; j < c->doses; j++) {
        run->v[j] = 2.0 * dot(c, run->inverse + j * COURSE_SIDE, side) - run->r[j];
    }
}

void course_box_iterate(const course *c, const course_patient *patient, double *x) {
    spans ignored = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    search run;
    run_begin(c, patient, false, &ignored, &run);
    run_look(&run, x);
    for (unsigned k = 0; k < c->box.steps; k++) {
        run_step(&run, x);
        run_look(&run, x);
    }
}

/* ------------------------------------------------------------------ the choice */

/*
 * Whether doses are as good as the best: of each dose a hundredth, or a part of what is left to where rounding goes
 * the other way; a third of a percent of the cost.
 */
static bool is_good(const course *c, const course_patient *p, const double *x) {
    const double of_dose = 0.01;
    const double of_way = 0.4;
    const double of_cost = 0.003;
    const double of_all = 1e-4; /* of the cost of no dose: where a cost is next to nothing */
    double cut[COURSE_SIDE];
    for (size_t j = 0; j < c->doses; j++) {
        const double best = p->best[j];
        const double steps = best / c->box.step;
        const double way = fabs(steps - floor(steps) - 0.5) * c->box.step;
        cut[j] = fmin(fmax(x[j], c->box.low), c->box.high);
        if (!(fabs(cut[j] - best) <= fmax(of_dose * best, of_way * way))) {
            return false;
        }
    }
    return cost_of(c, p, cut) <= (1.0 + of_cost) * cost_of(c, p, p->best) + of_all * p->constant;
}

/* Runs all virtual patients; fewest (NULL: not wanted): the least number of steps after which all are good. */
static void run_all(const course *c, bool is_exact, spans *seen, unsigned *fewest) {
    bool good[COURSE_STEPS_MAX + 1];
    memset(good, true, sizeof good);
    *seen = (spans){INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (size_t s = 0; s < c->r->patient_count; s++) {
        const bool counts = fewest != NULL && s < c->r->likely_count;
        double x[COURSE_SIDE] = {0.0};
        search run;
        run_begin(c, &c->patients[s], is_exact, seen, &run);
        run_look(&run, x);
        for (unsigned k = 1; k <= COURSE_STEPS_MAX; k++) {
            run_step(&run, x);
            run_look(&run, x);
            good[k] = good[k] && (!counts || is_good(c, &c->patients[s], x));
        }
    }
    for (unsigned k = COURSE_STEPS_MAX; fewest != NULL && k > 0; k--) {
        *fewest = good[k] ? k : *fewest;
    }
}

/* Whether the arguments stay where the polynomials hold, with room for patients that are no virtual ones. */
static bool is_inside(const course_polynomial *p, double low, double high) {
    const double room = 0.98;
    return low >= p->mid - room * p->half && high <= p->mid + room * p->half;
}

static unsigned depth_of(unsigned degree) {
    unsigned depth = 0;
    while ((1U << depth) <= degree) {
        depth++;
    }
    return depth;
}

/* What a choice costs under encryption: levels, and bootstraps that give some back. */
static double work_of(const course_box *box) {
    const double bootstrap = 10.0; /* as much work as so many levels */
    const unsigned inverse_levels = 1;
    const unsigned penalty_levels = 3;
    double levels = depth_of(box->reflect.degree) + inverse_levels + bootstrap;
    if (box->has_limits) {
        levels += depth_of(box->hinge.degree) + penalty_levels + bootstrap;
    }
    return levels * box->steps;
}

/* Tries polynomials of these degrees over what the exact steps have seen; keeps the best. */
static void try_degrees(course *c, const spans *seen, unsigned degree, unsigned hinge_degree, course_box *best) {
    const double margin = 0.05;
    const double room = margin * (seen->high - seen->low);
    const double arg_room = margin * (seen->most_arg - seen->least_arg);
    spans now;
    c->box.steps = UINT_MAX;
    make_reflection(&c->box, seen->low - room, seen->high + room, degree);
    if (c->box.has_limits) {
        make_polynomial(&c->box, true, seen->least_arg - arg_room, seen->most_arg + arg_room, hinge_degree,
                        &c->box.hinge);
    }
    run_all(c, false, &now, &c->box.steps);
    bool works = c->box.steps <= COURSE_STEPS_MAX && is_inside(&c->box.reflect, now.low, now.high) &&
                 (!c->box.has_limits || is_inside(&c->box.hinge, now.least_arg, now.most_arg));
    if (works && (best->steps == 0 || work_of(&c->box) < work_of(best))) {
        *best = c->box;
    }
}

static void try_rho(course *c, course_box *best) {
    /* What DDT_COURSE_LEVELS leave room for, with what follows until the next refresh. */
    static const unsigned degrees[] = {31, 63, 127, 255};
    const size_t hinge_degrees = 2;
    const double inverse_error = 1e-4;
    spans seen;
    c->box.doublings = 1;
    while (course_bound(c, c->box.rho, c->box.doublings) * inverse_error < 1.0) {
        c->box.doublings++;
    }
    run_all(c, true, &seen, NULL);
    for (size_t d = 0; d < sizeof degrees / sizeof *degrees; d++) {
        for (size_t h = 0; h < (c->box.has_limits ? hinge_degrees : 1); h++) {
            try_degrees(c, &seen, degrees[d], degrees[h], best);
        }
    }
}

ddt_status course_box_choose(course *c) {
    static const double factors[] = {1.0, 1.5, 2.0, 3.0, 5.0};
    course_box best = {0};
    SOLVE_TRY(read_patients(c));
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        c->box.rho = factors[i] * sqrt(c->curve_low * c->curve_high);
        try_rho(c, &best);
    }
    if (best.steps == 0) {
        const double unit = c->r->course->dose_high;
        return ddt_fail(c->r->work.ctx, DDT_ERR_UNSUPPORTED,
                        "The best doses between %g and %g are not found in %d steps for all patients of the model's "
                        "population: give %s, or other bounds.",
                        c->box.low * unit, c->box.high * unit, COURSE_STEPS_MAX,
                        c->box.has_limits ? "limits (tox:) less weight" : "changes between doses more weight");
    }
    c->box = best;
    return DDT_OK;
}
