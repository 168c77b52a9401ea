/*
 * A course under encryption: the equations, and the search without bounds.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_course.h"

#include <string.h>

#ifndef M_PI
#define M_PI 3.14159265358979323846
#endif

static const double reciprocal_high = 1.02; /* times effect_high: room for the errors of what comes before */

/* ------------------------------------------------------------------ the circuit */

bool course_is_limit(const course *c, size_t metric) {
    return metric < c->targets && c->r->options->targets.items[metric].is_toxicity;
}

double course_unit(const course *c, const recommend_place *p) {
    const recommend_work *r = c->r;
    const size_t dose = p->shape % r->period;
    if (p->metric >= c->targets || dose >= c->doses || p->row > 0) {
        return 0.0;
    }
    return recommend_column_factor(r, &r->column[p->metric * r->shapes + dose]) * r->course->dose_high /
           r->metrics[p->metric].unit;
}

/* The root of the weight of what is aimed at, and of inverse_unit: limits have none. */
static double weight_root(const course *c, size_t metric) {
    return metric < c->targets && !course_is_limit(c, metric)
               ? sqrt(c->inverse_unit * c->r->options->targets.items[metric].weight / (double)c->r->points)
               : 0.0;
}

static double response_unit_at(const void *user, const recommend_place *p) { return course_unit(user, p); }

static double aim_unit_at(const void *user, const recommend_place *p) {
    return p->row == 0 ? weight_root(user, p->metric) : 0.0;
}

/* Within bounds the program is refreshed where it is needed. */
static ddt_node refresh(course *c, ddt_node x, double bound) {
    return c->box.is_bounded ? ddt_circuit_refresh(c->r->work.circuit, x, bound) : x;
}

bool course_is_complete(const course *c, const recommend_place *p) {
    return p->point == 0 && p->row == 0 && p->metric == 0 && p->shape < c->r->period;
}

static double complete_at(const void *user, const recommend_place *p) {
    const course *c = user;
    return course_is_complete(c, p) ? 1.0 / (c->effect_high * c->inverse_unit) : 0.0;
}

static double elsewhere_at(const void *user, const recommend_place *p) {
    return course_is_complete(user, p) ? 0.0 : 1.0;
}

/* J / (e half), carried. */
static double result_at(const void *user, const recommend_place *p) {
    const course *c = user;
    return course_is_complete(c, p)
               ? (double)c->doses / (c->effect_high * reciprocal_high * course_half(c) * c->inverse_unit)
               : 0.0;
}

/* The identity's diagonal. */
static double one_at(const void *user, const recommend_place *p) {
    const course *c = user;
    return course_is_complete(c, p) && p->shape < c->doses ? 1.0 : 0.0;
}

ddt_node course_sum_all(course *c, ddt_node x) {
    recommend_work *r = c->r;
    x = ddt_circuit_sum(r->work.circuit, x, (int64_t)r->shape_slots, r->metric_slots);
    return ddt_circuit_sum(r->work.circuit, x, (int64_t)(r->row_slots * r->columns), r->points);
}

/* T_n(1 + more), for more >= 0. */
static double beyond_one(double n, double more) { return cosh(n * acosh(1.0 + more)); }

/*
 * 1 / x on [low, 1] in the coefficients of the argument (2 x - 1 - low) / (1 - low). Interpolation yields
 * (1 - T_n(y) / T_n(y0)) / x, where y0 belongs to x = 0: the least relative error of its degree. Returns the degree, 0
 * where none is enough.
 */
static unsigned reciprocal(double low, double relative, double *coefficients) {
    const double more = 2.0 * low / (1.0 - low);
    unsigned n = 16; /* one above the degree */
    while (n <= COURSE_DEGREE_MAX && beyond_one(n, more) * relative < 1.0) {
        n *= 2;
    }
    if (beyond_one(n, more) * relative < 1.0) {
        return 0;
    }
    for (unsigned k = 0; k < n; k++) {
        coefficients[k] = 0.0;
    }
    for (unsigned j = 0; j < n; j++) {
        const double angle = M_PI * (j + 0.5) / n;
        const double value = 2.0 / ((1.0 - low) * cos(angle) + 1.0 + low);
        for (unsigned k = 0; k < n; k++) {
            coefficients[k] += value * cos(k * angle) * (k == 0 ? 1.0 : 2.0) / n;
        }
    }
    return n - 1;
}

/* J / (e half) where sums are complete, 0 elsewhere; carried. */
static ddt_status effect_inverse(course *c, ddt_node a, ddt_node *out) {
    const double relative = 0.005; /* it scales both sides of the equations */
    double coefficients[COURSE_DEGREE_MAX + 1];
    recommend_work *r = c->r;
    ddt_circuit *circuit = r->work.circuit;
    const double low = c->effect_low / c->effect_high / (reciprocal_high * reciprocal_high);
    const unsigned degree = reciprocal(low, relative, coefficients);
    if (degree == 0) {
        return ddt_fail(r->work.ctx, DDT_ERR_UNSUPPORTED,
                        "'%s': doses do up to %.0f times as much in some patients as in others: narrow the ranges.",
                        r->work.model->path, sqrt(1.0 / low));
    }
    ddt_node all = ddt_circuit_sum(circuit, a, 1, r->period); /* what a constant dose does */
    ddt_node e = course_sum_all(c, ddt_circuit_mul(circuit, all, all));
    ddt_node part = ddt_circuit_mul(circuit, e, recommend_public(r, complete_at, c));
    ddt_node safe = ddt_circuit_add(circuit, part, recommend_public(r, elsewhere_at, c));
    const double scale = 2.0 / (reciprocal_high * (1.0 - low));
    ddt_node argument = ddt_circuit_affine(circuit, &safe, &scale, 1, -(1.0 + low) / (1.0 - low));
    ddt_node inverse = ddt_circuit_chebyshev(circuit, refresh(c, argument, 1.0), coefficients, degree);
    inverse = ddt_circuit_mul(circuit, inverse, recommend_public(r, result_at, c));
    *out = refresh(c, inverse, 1.0);
    return ddt_circuit_status(circuit);
}

/* What diagonal s of T_1 has beside the patient's part: (mid - the parts of changes and amounts) / half. */
static ddt_node public_diagonal(course *c, size_t s) {
    recommend_work *r = c->r;
    size_t lanes = ddt_circuit_lanes(r->work.circuit);
    memset(r->work.slots, 0, lanes * r->block * sizeof *r->work.slots);
    for (size_t j = 0; j < c->doses; j++) {
        size_t other = (j + s) % r->period;
        double entry = (s == 0 ? course_middle(c) - c->amount : 0.0) - c->change * course_change_entry(c, j, other);
        for (size_t l = 0; l < lanes && other < c->doses; l++) {
            r->work.slots[l * r->block + j] = entry / course_half(c);
        }
    }
    return ddt_circuit_public(r->work.circuit, r->work.slots);
}

ddt_node course_on_both(course *c, ddt_node x) {
    ddt_circuit *circuit = c->r->work.circuit;
    return ddt_circuit_add(circuit, x, ddt_circuit_rotate(circuit, x, -(int64_t)c->r->period));
}

/* Rotations by 0, 1 ... period - 1 along the doses' axis, put together from powers of two: few keys. */
static void rotate_all(course *c, ddt_node x, ddt_node *rotated) {
    rotated[0] = x;
    for (size_t s = 1; s < c->r->period; s++) {
        size_t power = 1;
        while (2 * power <= s) {
            power *= 2;
        }
        rotated[s] = ddt_circuit_rotate(c->r->work.circuit, rotated[s - power], (int64_t)power);
    }
}

ddt_node course_product(course *c, const ddt_node *diagonal, ddt_node x) {
    ddt_node shifted[COURSE_SIDE] = {0};
    rotate_all(c, course_on_both(c, x), shifted);
    return ddt_circuit_dot(c->r->work.circuit, diagonal, shifted, c->r->period);
}

ddt_status course_build_equations(course *c, course_equations *q) {
    const double matrix_bound = 2.0;
    recommend_work *r = c->r;
    ddt_node y = DDT_NODE_NONE;
    SOLVE_TRY(recommend_unit_response(r, &y));
    ddt_circuit *circuit = r->work.circuit;
    q->response = refresh(c, ddt_circuit_mul(circuit, y, recommend_public(r, response_unit_at, c)), c->response_high);
    ddt_node a = ddt_circuit_mul(circuit, q->response, recommend_public(r, aim_unit_at, c));
    ddt_node rotated[COURSE_SIDE] = {0};
    rotate_all(c, a, rotated);
    for (size_t s = 0; s < r->period; s++) {
        q->diagonal[s] = course_sum_all(c, ddt_circuit_mul(circuit, a, rotated[s]));
    }
    SOLVE_TRY(effect_inverse(c, a, &q->inverse));
    for (size_t s = 0; s < r->period; s++) {
        ddt_node own = ddt_circuit_mul(circuit, q->diagonal[s], q->inverse);
        q->diagonal[s] = refresh(c, ddt_circuit_sub(circuit, public_diagonal(c, s), own), matrix_bound);
    }
    q->sum = course_sum_all(c, ddt_circuit_mul(circuit, a, recommend_public(r, aim_unit_at, c)));
    q->right = refresh(c, ddt_circuit_mul(circuit, q->sum, q->inverse), c->right_high);
    return ddt_circuit_status(circuit);
}

/* The best constant dose, and what it leaves of the right side. */
static void build_start(course *c, const course_equations *q, ddt_node *start, ddt_node *residual) {
    ddt_circuit *circuit = c->r->work.circuit;
    ddt_node constant = ddt_circuit_sum(circuit, q->sum, 1, c->r->period);
    constant = ddt_circuit_affine(circuit, &constant, (double[]){course_half(c) / (double)c->doses}, 1, 0.0);
    *start = ddt_circuit_mul(circuit, constant, q->inverse);
    ddt_node moved = course_product(c, q->diagonal, *start);
    ddt_node parts[3] = {q->right, moved, *start};
    *residual = ddt_circuit_affine(circuit, parts, (double[]){1.0, 1.0, -course_middle(c) / course_half(c)}, 3, 0.0);
}

void course_matrix_product(course *c, const ddt_node *a, const ddt_node *b, ddt_node *out) {
    recommend_work *r = c->r;
    ddt_node shifted[COURSE_SIDE][COURSE_SIDE] = {{0}};
    ddt_node product[COURSE_SIDE] = {0};
    for (size_t u = 0; u < r->period; u++) {
        rotate_all(c, course_on_both(c, b[u]), shifted[u]);
    }
    for (size_t s = 0; s < r->period; s++) {
        ddt_node other[COURSE_SIDE];
        for (size_t t = 0; t < r->period; t++) {
            other[t] = shifted[(s + r->period - t) % r->period][t];
        }
        product[s] = ddt_circuit_dot(r->work.circuit, a, other, r->period);
    }
    memcpy(out, product, sizeof product);
}

void course_shift(course *c, const ddt_node *a, double scale, double factor, ddt_node *out) {
    for (size_t s = 0; s < c->r->period; s++) {
        ddt_node parts[2] = {a[s], recommend_public(c->r, one_at, c)};
        out[s] = ddt_circuit_affine(c->r->work.circuit, parts, (double[]){scale, factor}, s == 0 ? 2 : 1, 0.0);
    }
}

void course_square(course *c, ddt_node *diagonal) {
    course_matrix_product(c, diagonal, diagonal, diagonal);
    course_shift(c, diagonal, 2.0, -1.0, diagonal);
}

ddt_status course_build_open(course *c) {
    recommend_work *r = c->r;
    ddt_node start = DDT_NODE_NONE;
    ddt_node v = DDT_NODE_NONE;
    course_equations q = {0};
    SOLVE_TRY(course_build_equations(c, &q));
    ddt_circuit *circuit = r->work.circuit;
    build_start(c, &q, &start, &v);
    for (unsigned k = 0; k < c->doublings; k++) {
        ddt_node parts[2] = {v, course_product(c, q.diagonal, v)};
        v = ddt_circuit_affine(circuit, parts, (double[]){course_bound(c, 0.0, k), 1.0}, 2, 0.0);
        if (k + 1 < c->doublings) {
            course_square(c, q.diagonal);
        }
    }
    /* The result in units of the steps' factor: no level is spent on it. */
    double factor = course_step_factor(c, 0.0, c->doublings);
    start = ddt_circuit_affine(circuit, &start, (double[]){1.0 / factor}, 1, 0.0);
    return recommend_add_output(r, "dose", ddt_circuit_add(circuit, start, v), r->course->dose_high * factor);
}
