/*
 * Reciprocals of pivots. In a system of compartments every pivot is a sum of products of rates, all of one sign: over
 * the virtual population it varies no more than the rates do, however stiff the system is. So a public first guess w,
 * one for each time, leaves e = 1 - w d well below 1, and w (1 + e) (1 + e^2) (1 + e^4)... is the reciprocal. Before
 * each squaring the values are centred again: e becomes 1 - s (1 - e^2) with a public s, which is what Chebyshev's
 * polynomials do on an interval, and halves the number of squarings where ranges are wide.
 *
 * The circuit computes E = a e, with a so chosen that all factors are absorbed into the first affine map: E <- E^2 + b.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "resolvent.h"

enum { STEPS_MAX = 9 };

static const double safety = 0.25; /* patients between the virtual ones */

/* The chain in numbers. */
typedef struct chain {
    size_t steps;
    double complex *guess;             /* times: w */
    double complex *centre[STEPS_MAX]; /* times: s of each step */
    double complex *weight[STEPS_MAX]; /* times: a of each step */
    double complex *rest;              /* times x patients: e */
} chain;

/* The middle of the values at time t: of the box that contains them. */
static double complex middle(const solve_resolvent *r, const double complex *values, size_t t) {
    double re[2] = {INFINITY, -INFINITY};
    double im[2] = {INFINITY, -INFINITY};
    for (size_t p = 0; p < r->patient_count; p++) {
        double complex v = values[t * r->patient_count + p];
        re[0] = fmin(re[0], creal(v));
        re[1] = fmax(re[1], creal(v));
        im[0] = fmin(im[0], cimag(v));
        im[1] = fmax(im[1], cimag(v));
    }
    return 0.5 * (re[0] + re[1]) + 0.5 * (im[0] + im[1]) * I;
}

/* values <- 1 - values / middle at each time; factor[t] = 1 / middle. Returns the largest magnitude. */
static double centre(const solve_resolvent *r, double complex *values, double complex *factor) {
    double largest = 0.0;
    for (size_t t = 0; t < r->time_count; t++) {
        factor[t] = 1.0 / middle(r, values, t);
        for (size_t p = 0; p < r->patient_count; p++) {
            double complex *v = &values[t * r->patient_count + p];
            *v = 1.0 - *v * factor[t];
            double magnitude = cabs(*v);
            largest = magnitude <= largest ? largest : magnitude;
        }
    }
    return isfinite(largest) ? largest : INFINITY;
}

static ddt_status allocate_chain(solve_work *work, chain *c) {
    const solve_resolvent *r = work->resolvent;
    resolvent_value room;
    SOLVE_TRY(resolvent_create(work, &room));
    c->rest = room.number;
    c->guess = solve_alloc(work, (1 + 2 * STEPS_MAX) * r->time_count, sizeof *c->guess);
    for (size_t j = 0; j < STEPS_MAX && c->guess != NULL; j++) {
        c->centre[j] = c->guess + (1 + j) * r->time_count;
        c->weight[j] = c->guess + (1 + STEPS_MAX + j) * r->time_count;
    }
    return c->guess == NULL ? DDT_ERR_MEMORY : DDT_OK;
}

static ddt_status find_chain(solve_work *work, const double complex *pivot, chain *c) {
    const solve_resolvent *r = work->resolvent;
    size_t count = r->time_count * r->patient_count;
    SOLVE_TRY(allocate_chain(work, c));
    for (size_t i = 0; i < count; i++) {
        c->rest[i] = pivot[i];
    }
    double largest = centre(r, c->rest, c->guess);
    for (c->steps = 0; largest > safety * work->exponential_tolerance; c->steps++) {
        if (c->steps == STEPS_MAX || !(largest < INFINITY)) {
            work->wants_exponential = true;
            return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                            "'%s': the ranges of the rates are too wide for an elimination.", work->model->path);
        }
        for (size_t i = 0; i < count; i++) {
            c->rest[i] = 1.0 - c->rest[i] * c->rest[i];
        }
        largest = centre(r, c->rest, c->centre[c->steps]);
    }
    for (size_t t = 0; t < r->time_count && c->steps > 0; t++) {
        c->weight[c->steps - 1][t] = 1.0;
        for (size_t j = c->steps - 1; j > 0; j--) {
            c->weight[j - 1][t] = csqrt(c->weight[j][t] * c->centre[j - 1][t]);
        }
    }
    return DDT_OK;
}

/* What multiplies the product of all (a + E), split into a positive scale and a direction. */
static void split_factor(const solve_resolvent *r, const chain *c, double *scale, double complex *direction) {
    for (size_t t = 0; t < r->time_count; t++) {
        double complex factor = c->guess[t];
        for (size_t j = 0; j < c->steps; j++) {
            factor *= c->centre[j][t] / c->weight[j][t];
        }
        scale[t] = cabs(factor);
        direction[t] = factor / scale[t];
    }
}

/* z <- z^2 + b */
static void square_nodes(solve_work *work, resolvent_value *z, ddt_node b_re, ddt_node b_im) {
    ddt_circuit *circuit = work->circuit;
    ddt_node cross = ddt_circuit_mul(circuit, z->re, z->im);
    ddt_node re =
        ddt_circuit_sub(circuit, ddt_circuit_mul(circuit, z->re, z->re), ddt_circuit_mul(circuit, z->im, z->im));
    z->re = ddt_circuit_add(circuit, re, b_re);
    z->im = ddt_circuit_add(circuit, ddt_circuit_add(circuit, cross, cross), b_im);
}

/* product <- product (z + a) */
static void multiply_nodes(solve_work *work, const resolvent_value *z, ddt_node a_re, ddt_node a_im,
                           resolvent_value *product) {
    ddt_circuit *circuit = work->circuit;
    ddt_node re = ddt_circuit_add(circuit, z->re, a_re);
    ddt_node im = ddt_circuit_add(circuit, z->im, a_im);
    ddt_node p_re = product->re;
    product->re =
        ddt_circuit_sub(circuit, ddt_circuit_mul(circuit, p_re, re), ddt_circuit_mul(circuit, product->im, im));
    product->im =
        ddt_circuit_add(circuit, ddt_circuit_mul(circuit, p_re, im), ddt_circuit_mul(circuit, product->im, re));
}

static void public_nodes(solve_work *work, const double complex *values, double *scratch, ddt_node *re, ddt_node *im) {
    size_t count = work->resolvent->time_count;
    for (size_t t = 0; t < count; t++) {
        scratch[t] = creal(values[t]);
    }
    *re = resolvent_public(work, scratch);
    for (size_t t = 0; t < count; t++) {
        scratch[t] = cimag(values[t]);
    }
    *im = resolvent_public(work, scratch);
}

/* factor (offset - a w d), or just the factor where there is no step. */
static ddt_status first_map(solve_work *work, const resolvent_value *const *parts, size_t count, const chain *c,
                            const double complex *factor, double offset, resolvent_value *out) {
    const solve_resolvent *r = work->resolvent;
    double complex *numbers = solve_alloc(work, 2 * r->time_count, sizeof *numbers);
    if (numbers == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t t = 0; t < r->time_count; t++) {
        double complex a = c->steps > 0 ? c->weight[0][t] * factor[t] : factor[t];
        numbers[t] = -a * c->guess[t];
        numbers[r->time_count + t] = c->steps > 0 ? offset * a : a;
    }
    return resolvent_affine(work, parts, c->steps > 0 ? count : 0, numbers, numbers + r->time_count, out);
}

static ddt_status build_nodes(solve_work *work, const resolvent_value *const *parts, size_t count, const chain *c,
                              const double complex *direction, resolvent_value *out) {
    const solve_resolvent *r = work->resolvent;
    double complex *numbers = solve_alloc(work, 2 * r->time_count, sizeof *numbers);
    double *scratch = solve_alloc(work, r->time_count, sizeof *scratch);
    resolvent_value z = {.re = DDT_NODE_NONE, .im = DDT_NODE_NONE};
    if (numbers == NULL || scratch == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(first_map(work, parts, count, c, direction, 2.0, out)); /* a + E = 2 a - a w d */
    for (size_t t = 0; t < r->time_count; t++) {
        numbers[t] = 1.0;
    }
    SOLVE_TRY(c->steps > 1 ? first_map(work, parts, count, c, numbers, 1.0, &z) : DDT_OK);
    for (size_t j = 1; j < c->steps; j++) {
        ddt_node re = DDT_NODE_NONE;
        ddt_node im = DDT_NODE_NONE;
        for (size_t t = 0; t < r->time_count; t++) {
            numbers[t] = c->weight[j][t] * (1.0 - c->centre[j - 1][t]);
        }
        public_nodes(work, numbers, scratch, &re, &im);
        square_nodes(work, &z, re, im);
        public_nodes(work, c->weight[j], scratch, &re, &im);
        multiply_nodes(work, &z, re, im, out);
    }
    return ddt_circuit_status(work->circuit);
}

ddt_status resolvent_inverse(solve_work *work, const resolvent_value *const *parts, size_t count,
                             resolvent_value *out) {
    const solve_resolvent *r = work->resolvent;
    resolvent_value inverse;
    chain c = {0};
    SOLVE_TRY(resolvent_create(work, &inverse));
    double complex *direction = solve_alloc(work, r->time_count, sizeof *direction);
    if (direction == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < r->time_count * r->patient_count; i++) {
        inverse.number[i] = 0.0;
        for (size_t k = 0; k < count; k++) {
            inverse.number[i] += parts[k]->number[i];
        }
    }
    SOLVE_TRY(find_chain(work, inverse.number, &c));
    for (size_t i = 0; i < r->time_count * r->patient_count; i++) {
        inverse.number[i] = (1.0 - c.rest[i]) / inverse.number[i];
    }
    split_factor(r, &c, inverse.scale, direction);
    SOLVE_TRY(build_nodes(work, parts, count, &c, direction, &inverse));
    *out = inverse;
    return DDT_OK;
}
