/*
 * Complex values under encryption: two nodes, a public scale for each time, and beside them the same value in numbers
 * for some virtual patients, from which scales are taken.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "resolvent.h"

/* ------------------------------------------------------------------ room */

static ddt_status grow_rooms(solve_work *work) {
    solve_resolvent *r = work->resolvent;
    enum { ROOMS_MIN = 64 };
    if (r->room_count < r->room_capacity) {
        return DDT_OK;
    }
    size_t capacity = r->room_capacity == 0 ? ROOMS_MIN : 2 * r->room_capacity;
    double complex **grown = solve_alloc(work, capacity, sizeof *grown);
    if (grown == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < r->room_count; i++) {
        grown[i] = r->rooms[i];
    }
    r->rooms = grown;
    r->room_capacity = capacity;
    return DDT_OK;
}

ddt_status resolvent_create(solve_work *work, resolvent_value *out) {
    solve_resolvent *r = work->resolvent;
    *out = (resolvent_value){.exists = true, .re = DDT_NODE_NONE, .im = DDT_NODE_NONE};
    out->scale = solve_alloc(work, r->time_count, sizeof *out->scale);
    if (out->scale == NULL) {
        return DDT_ERR_MEMORY;
    }
    if (r->rooms_used == r->room_count) {
        SOLVE_TRY(grow_rooms(work));
        double complex *room = solve_alloc(work, r->time_count * r->patient_count, sizeof *room);
        if (room == NULL) {
            return DDT_ERR_MEMORY;
        }
        r->rooms[r->room_count++] = room;
    }
    out->number = r->rooms[r->rooms_used++];
    return DDT_OK;
}

/* ------------------------------------------------------------------ nodes */

ddt_node resolvent_public(solve_work *work, const double *values) {
    const solve_resolvent *r = work->resolvent;
    bool is_constant = true;
    for (size_t t = 1; t < r->time_count; t++) {
        is_constant &= values[t] == values[0];
    }
    if (is_constant) {
        return ddt_circuit_constant(work->circuit, values[0]);
    }
    size_t slots = ddt_circuit_lanes(work->circuit) * ddt_circuit_block(work->circuit);
    for (size_t s = 0; s < slots; s++) {
        work->slots[s] = values[r->time_of_slot[s]];
    }
    return ddt_circuit_public(work->circuit, work->slots);
}

/* a b - c d, or a b + c d; NONE: that product is 0. */
static ddt_node two_products(ddt_circuit *circuit, ddt_node a, ddt_node b, ddt_node c, ddt_node d, bool is_sum) {
    bool has_second = c != DDT_NODE_NONE && d != DDT_NODE_NONE;
    bool has_first = a != DDT_NODE_NONE && b != DDT_NODE_NONE;
    if (!has_second) {
        return has_first ? ddt_circuit_mul(circuit, a, b) : DDT_NODE_NONE;
    }
    ddt_node second = ddt_circuit_mul(circuit, c, d);
    if (!has_first) {
        return is_sum ? second : ddt_circuit_neg(circuit, second);
    }
    ddt_node first = ddt_circuit_mul(circuit, a, b);
    return is_sum ? ddt_circuit_add(circuit, first, second) : ddt_circuit_sub(circuit, first, second);
}

ddt_status resolvent_product(solve_work *work, const resolvent_value *a, const resolvent_value *b,
                             resolvent_value *out) {
    const solve_resolvent *r = work->resolvent;
    resolvent_value product;
    SOLVE_TRY(resolvent_create(work, &product));
    for (size_t t = 0; t < r->time_count; t++) {
        product.scale[t] = a->scale[t] * b->scale[t];
    }
    for (size_t i = 0; i < r->time_count * r->patient_count; i++) {
        product.number[i] = a->number[i] * b->number[i];
    }
    product.re = two_products(work->circuit, a->re, b->re, a->im, b->im, false);
    product.im = two_products(work->circuit, a->re, b->im, a->im, b->re, true);
    *out = product;
    return ddt_circuit_status(work->circuit);
}

/* ------------------------------------------------------------------ sums */

/* Numbers of the sum, and a scale that the largest of them has at each time. */
static void sum_numbers(const solve_resolvent *r, const resolvent_term *terms, size_t count, resolvent_value *out) {
    for (size_t t = 0; t < r->time_count; t++) {
        double largest = 0.0;
        for (size_t p = 0; p < r->patient_count; p++) {
            size_t at = t * r->patient_count + p;
            double complex sum = 0.0;
            for (size_t k = 0; k < count; k++) {
                sum += terms[k].a->number[at] * (terms[k].b != NULL ? terms[k].b->number[at] : 1.0);
            }
            out->number[at] = sum;
            largest = fmax(largest, cabs(sum));
        }
        out->scale[t] = isfinite(largest) ? largest : 1.0; /* 0 at time 0: nothing flows, and noise does not count */
    }
}

static ddt_status add_pair(solve_work *work, solve_pairs *pairs, ddt_node a, ddt_node b) {
    if (a == DDT_NODE_NONE || b == DDT_NODE_NONE) {
        return DDT_OK;
    }
    return solve_pairs_add(work, pairs, (solve_value){.node = a}, (solve_value){.node = b});
}

static ddt_node times_public(solve_work *work, ddt_node a, const double *values) {
    return a == DDT_NODE_NONE ? a : ddt_circuit_mul(work->circuit, a, resolvent_public(work, values));
}

static ddt_status add_term(solve_work *work, const resolvent_term *term, double *ratio, solve_pairs *re,
                           solve_pairs *im) {
    const resolvent_value *a = term->a;
    const resolvent_value *b = term->b;
    if (b == NULL) {
        ddt_node factor = resolvent_public(work, ratio);
        SOLVE_TRY(add_pair(work, re, a->re, factor));
        return add_pair(work, im, a->im, factor);
    }
    ddt_node a_re = times_public(work, a->re, ratio);
    ddt_node a_im = times_public(work, a->im, ratio);
    SOLVE_TRY(add_pair(work, re, a_re, b->re));
    SOLVE_TRY(add_pair(work, im, a_re, b->im));
    SOLVE_TRY(add_pair(work, im, a_im, b->re));
    return a_im == DDT_NODE_NONE ? DDT_OK : add_pair(work, re, ddt_circuit_neg(work->circuit, a_im), b->im);
}

static ddt_status pairs_node(solve_work *work, const solve_pairs *pairs, ddt_node *out) {
    solve_value value = {.node = DDT_NODE_NONE};
    SOLVE_TRY(pairs->count > 0 ? solve_pairs_node(work, pairs, &value) : DDT_OK);
    *out = value.node;
    return DDT_OK;
}

ddt_status resolvent_sum(solve_work *work, const resolvent_term *terms, size_t count, resolvent_value *out) {
    const solve_resolvent *r = work->resolvent;
    if (count == 1) { /* its own scale will do */
        resolvent_value only = *terms[0].a;
        SOLVE_TRY(terms[0].b != NULL ? resolvent_product(work, terms[0].a, terms[0].b, &only) : DDT_OK);
        *out = only;
        return DDT_OK;
    }
    resolvent_value sum;
    solve_pairs re = {0};
    solve_pairs im = {0};
    double *ratio = solve_alloc(work, r->time_count, sizeof *ratio);
    SOLVE_TRY(resolvent_create(work, &sum));
    if (ratio == NULL) {
        return DDT_ERR_MEMORY;
    }
    sum_numbers(r, terms, count, &sum);
    for (size_t k = 0; k < count; k++) {
        for (size_t t = 0; t < r->time_count; t++) {
            double scale = terms[k].a->scale[t] * (terms[k].b != NULL ? terms[k].b->scale[t] : 1.0);
            ratio[t] = sum.scale[t] > 0.0 ? scale / sum.scale[t] : 0.0;
        }
        SOLVE_TRY(add_term(work, &terms[k], ratio, &re, &im));
    }
    SOLVE_TRY(pairs_node(work, &re, &sum.re));
    SOLVE_TRY(pairs_node(work, &im, &sum.im));
    *out = sum;
    return ddt_circuit_status(work->circuit);
}

/* ------------------------------------------------------------------ affine maps with complex coefficients */

static void split(const solve_resolvent *r, const double complex *values, const double *scale, double *re, double *im) {
    for (size_t t = 0; t < r->time_count; t++) {
        re[t] = creal(values[t]) * (scale != NULL ? scale[t] : 1.0);
        im[t] = cimag(values[t]) * (scale != NULL ? scale[t] : 1.0);
    }
}

/* Adds value (c_re + i c_im). */
static ddt_status add_multiple(solve_work *work, const resolvent_value *value, ddt_node c_re, ddt_node c_im,
                               solve_pairs *re, solve_pairs *im) {
    SOLVE_TRY(add_pair(work, re, value->re, c_re));
    SOLVE_TRY(add_pair(work, im, value->re, c_im));
    SOLVE_TRY(add_pair(work, im, value->im, c_re));
    return value->im == DDT_NODE_NONE ? DDT_OK : add_pair(work, re, value->im, ddt_circuit_neg(work->circuit, c_im));
}

ddt_status resolvent_affine(solve_work *work, const resolvent_value *const *values, size_t count,
                            const double complex *coefficient, const double complex *offset, resolvent_value *out) {
    const solve_resolvent *r = work->resolvent;
    double *re = solve_alloc(work, 2 * r->time_count, sizeof *re);
    solve_pairs re_pairs = {0};
    solve_pairs im_pairs = {0};
    if (re == NULL) {
        return DDT_ERR_MEMORY;
    }
    double *im = re + r->time_count;
    for (size_t k = 0; k < count; k++) {
        split(r, coefficient, values[k]->scale, re, im);
        SOLVE_TRY(add_multiple(work, values[k], resolvent_public(work, re), resolvent_public(work, im), &re_pairs,
                               &im_pairs));
    }
    split(r, offset, NULL, re, im);
    ddt_node one = ddt_circuit_constant(work->circuit, 1.0);
    SOLVE_TRY(add_pair(work, &re_pairs, resolvent_public(work, re), one));
    SOLVE_TRY(add_pair(work, &im_pairs, resolvent_public(work, im), one));
    SOLVE_TRY(pairs_node(work, &re_pairs, &out->re));
    return pairs_node(work, &im_pairs, &out->im);
}
