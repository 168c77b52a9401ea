/*
 * The search within bounds under encryption: the steps of recommend_course.h, each a place or two to refresh.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_course.h"

/* ------------------------------------------------------------------ public vectors */

/* 1 at the doses, on the first copy. */
static double dose_at(const void *user, const recommend_place *p) {
    const course *c = user;
    return course_is_complete(c, p) && p->shape < c->doses ? 1.0 : 0.0;
}

static ddt_node constant_doses(course *c, double value) {
    ddt_node one = recommend_public(c->r, dose_at, c);
    return ddt_circuit_affine(c->r->work.circuit, &one, &value, 1, 0.0);
}

/* What makes a response the argument of the hinge, without its constant. */
static double argument_unit_at(const void *user, const recommend_place *p) {
    const course *c = user;
    return course_is_limit(c, p->metric) && p->row == 0 ? 1.0 / c->box.hinge.half : 0.0;
}

/* What the hinge is multiplied by beside the response and J / (e half), for g / (rho reflect.half). */
static double gradient_unit_at(const void *user, const recommend_place *p) {
    const course *c = user;
    if (!course_is_limit(c, p->metric) || p->row > 0) {
        return 0.0;
    }
    const double weight = c->r->options->targets.items[p->metric].weight / (double)c->r->points;
    return weight * c->inverse_unit * course_half(c) / (c->box.rho * c->box.reflect.half);
}

/* ------------------------------------------------------------------ the linear part */

typedef struct search {
    course *c;
    ddt_node step[COURSE_SIDE]; /* 2 rho (rho + H)^-1 */
    ddt_node shift;             /* of each step */
    ddt_node start;
    ddt_node argument_response, gradient_response, inverse;
} search;

/* (rho + H)^-1 is a factor times prod_k (c_k + T_k). */
static void build_inverse(course *c, ddt_node *diagonal, ddt_node *product) {
    for (unsigned k = 0; k < c->box.doublings; k++) {
        ddt_node factor[COURSE_SIDE];
        course_shift(c, diagonal, 1.0, course_bound(c, c->box.rho, k), factor);
        if (k == 0) {
            for (size_t s = 0; s < c->r->period; s++) {
                product[s] = factor[s];
            }
        } else {
            course_matrix_product(c, product, factor, product);
        }
        if (k + 1 < c->box.doublings) {
            course_square(c, diagonal);
        }
    }
}

static ddt_node refresh(course *c, ddt_node x) { return ddt_circuit_refresh(c->r->work.circuit, x, 1.0); }

/* (2 (rho + H)^-1 (rho r + b) - r - reflect.mid) / reflect.half for a constant r. */
static ddt_node step_from(course *c, const ddt_node *product, const course_equations *q, double r) {
    ddt_circuit *circuit = c->r->work.circuit;
    const course_box *box = &c->box;
    const double scale = 2.0 * course_step_factor(c, box->rho, box->doublings) / box->reflect.half;
    ddt_node side = ddt_circuit_add(circuit, q->right, constant_doses(c, box->rho * r / course_half(c)));
    ddt_node parts[2] = {course_product(c, product, side), constant_doses(c, 1.0)};
    return ddt_circuit_affine(circuit, parts, (double[]){scale, -(r + box->reflect.mid) / box->reflect.half}, 2, 0.0);
}

static ddt_status build_search(course *c, search *s) {
    const double decay_bound = 4.0; /* of the entries of an exponential, and of what they are squared from */
    recommend_work *r = c->r;
    const course_box *box = &c->box;
    const double shift_bound = 4.0;
    const double step_bound = 2.0; /* 2 rho (rho + H)^-1 */
    ddt_node product[COURSE_SIDE] = {0};
    course_equations q = {0};
    r->work.refresh_bound = decay_bound;
    SOLVE_TRY(course_build_equations(c, &q));
    ddt_circuit *circuit = r->work.circuit;
    build_inverse(c, q.diagonal, product);
    const double scale = 2.0 * box->rho * course_step_factor(c, box->rho, box->doublings) / course_half(c);
    course_shift(c, product, scale, 0.0, s->step);
    for (size_t k = 0; k < r->period; k++) {
        s->step[k] = ddt_circuit_refresh(circuit, s->step[k], step_bound);
    }
    s->shift = ddt_circuit_refresh(circuit, step_from(c, product, &q, box->zero), shift_bound);
    s->start = step_from(c, product, &q, 0.5 * (box->low + box->high));
    s->inverse = q.inverse;
    if (box->has_limits) {
        s->argument_response = ddt_circuit_mul(circuit, q.response, recommend_public(r, argument_unit_at, c));
        s->gradient_response = ddt_circuit_mul(circuit, q.response, recommend_public(r, gradient_unit_at, c));
    }
    return ddt_circuit_status(circuit);
}

/* ------------------------------------------------------------------ steps */

static ddt_node reflection(const search *s, ddt_node u) {
    const course_polynomial *p = &s->c->box.reflect;
    return ddt_circuit_chebyshev(s->c->r->work.circuit, u, p->coefficients, p->degree);
}

/* The doses c(v) = (v + r) / 2, on the first copy. */
static ddt_node doses_of(const search *s, ddt_node u, ddt_node reflected) {
    course *c = s->c;
    const course_box *box = &c->box;
    ddt_node parts[3] = {u, reflected, constant_doses(c, 0.5 * (box->reflect.mid + box->zero))};
    const double half = 0.5 * box->reflect.half;
    return ddt_circuit_affine(c->r->work.circuit, parts, (double[]){half, half, 1.0}, 3, 0.0);
}

/* A vector of doses to all points and metrics. */
static ddt_node spread(course *c, ddt_node x) {
    recommend_work *r = c->r;
    ddt_circuit *circuit = r->work.circuit;
    x = course_on_both(c, x);
    for (size_t k = 1; k < r->metric_slots; k *= 2) {
        x = ddt_circuit_add(circuit, x, ddt_circuit_rotate(circuit, x, -(int64_t)(k * r->shape_slots)));
    }
    for (size_t k = 1; k < r->points; k *= 2) {
        x = ddt_circuit_add(circuit, x, ddt_circuit_rotate(circuit, x, -(int64_t)(k * r->row_slots * r->columns)));
    }
    return x;
}

/* g / (rho reflect.half) of the penalties, on the first copy. */
static ddt_node penalties(const search *s, ddt_node doses) {
    course *c = s->c;
    ddt_circuit *circuit = c->r->work.circuit;
    const course_polynomial *hinge = &c->box.hinge;
    ddt_node argument = ddt_circuit_mul(circuit, s->argument_response, spread(c, doses));
    argument = ddt_circuit_sum(circuit, argument, 1, c->r->period);
    argument = ddt_circuit_affine(circuit, &argument, (double[]){1.0}, 1, -(1.0 + hinge->mid) / hinge->half);
    ddt_node value = ddt_circuit_chebyshev(circuit, refresh(c, argument), hinge->coefficients, hinge->degree);
    ddt_node all = course_sum_all(c, ddt_circuit_mul(circuit, value, s->gradient_response));
    return ddt_circuit_mul(circuit, all, s->inverse);
}

ddt_status course_build_bounded(course *c) {
    search s = {.c = c};
    SOLVE_TRY(build_search(c, &s));
    ddt_circuit *circuit = c->r->work.circuit;
    ddt_node u = refresh(c, s.start);
    ddt_node reflected = reflection(&s, u);
    for (unsigned k = 0; k < c->box.steps; k++) {
        ddt_node side = reflected;
        if (c->box.has_limits) {
            side = ddt_circuit_sub(circuit, side, penalties(&s, doses_of(&s, u, reflected)));
        }
        ddt_node moved = course_product(c, s.step, side);
        u = refresh(c, ddt_circuit_add(circuit, ddt_circuit_sub(circuit, moved, reflected), s.shift));
        reflected = reflection(&s, u);
    }
    return recommend_add_output(c->r, "dose", doses_of(&s, u, reflected), c->r->course->dose_high);
}
