/*
 * A surrogate in a circuit. Every row of a lane holds one term: the product, over the variables, of a Chebyshev
 * polynomial of the row's own degree. One vector for each variable is made of masks and powers, the directions' factor
 * is the custodian's, and a polynomial or a derivative of it is a public vector times the terms, summed over the rows.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_surrogate.h"

#include <string.h>

typedef struct maker {
    fit_work *fw;
    const struct fit_surrogate *s;
    ddt_circuit *circuit;
    size_t lanes, rows, columns;
    double *vector;
    ddt_node patient, terms;
    ddt_node first_row;
} maker;

static double *slot_of(maker *mk, size_t lane, size_t row, size_t column) {
    return &mk->vector[(lane * mk->rows + row) * mk->columns + column];
}

static ddt_node take_vector(maker *mk) {
    ddt_node node = ddt_circuit_public(mk->circuit, mk->vector);
    memset(mk->vector, 0, mk->lanes * mk->rows * mk->columns * sizeof *mk->vector);
    return node;
}

/* ------------------------------------------------------------------ terms */

/* 1 in the rows whose term has this degree in this eta. */
static ddt_node rows_of_degree(maker *mk, size_t eta, unsigned degree) {
    for (size_t l = 0; l < mk->lanes; l++) {
        const surrogate_lane *lane = &mk->s->lanes[l];
        size_t variables = mk->fw->eta_count + lane->direction_count;
        for (size_t i = 0; i < lane->term_count; i++) {
            for (size_t c = 0; c < mk->columns && lane->exponents[i * variables + eta] == degree; c++) {
                *slot_of(mk, l, i, c) = 1.0;
            }
        }
    }
    return take_vector(mk);
}

static void chebyshev_basis(maker *mk, ddt_node t, unsigned degree, ddt_node *basis) {
    basis[0] = ddt_circuit_constant(mk->circuit, 1.0);
    basis[1] = t;
    for (unsigned k = 2; k <= degree; k++) {
        unsigned a = 1;
        while (2 * a < k) { /* T_(a+b) = 2 T_a T_b - T_(a-b), as shallow as possible */
            a *= 2;
        }
        unsigned b = k - a;
        ddt_node two = ddt_circuit_affine(mk->circuit, &basis[a], (const double[]){2.0}, 1, 0.0);
        ddt_node product = ddt_circuit_mul(mk->circuit, two, basis[b]);
        basis[k] = ddt_circuit_sub(mk->circuit, product, basis[a > b ? a - b : b - a]);
    }
}

static void make_terms(maker *mk, const ddt_node *deviations) {
    ddt_node factors[FIT_ETAS_MAX + 1];
    unsigned degree = 1;
    size_t count = 0;
    for (size_t l = 0; l < mk->lanes; l++) {
        degree = mk->s->lanes[l].degree > degree ? mk->s->lanes[l].degree : degree;
    }
    for (size_t i = 0; i < mk->fw->eta_count; i++) {
        ddt_node basis[SURROGATE_DEGREE_MAX + 1];
        ddt_node masks[SURROGATE_DEGREE_MAX + 1];
        chebyshev_basis(mk, deviations[i], degree, basis);
        for (unsigned k = 0; k <= degree; k++) {
            masks[k] = rows_of_degree(mk, i, k);
        }
        ddt_node own = ddt_circuit_dot(mk->circuit, basis + 1, masks + 1, degree);
        factors[count++] = ddt_circuit_add(mk->circuit, own, masks[0]);
    }
    factors[count++] = mk->patient;
    while (count > 1) { /* a tree of products */
        size_t kept = 0;
        for (size_t i = 0; i < count; i += 2) {
            factors[kept++] = i + 1 < count ? ddt_circuit_mul(mk->circuit, factors[i], factors[i + 1]) : factors[i];
        }
        count = kept;
    }
    mk->terms = factors[0];
}

/* ------------------------------------------------------------------ polynomials */

/* Sums of terms times coefficients in the first row, others 0: right in a lane's first `columns` slots. */
static ddt_node sum_terms(maker *mk) {
    ddt_node product = ddt_circuit_mul(mk->circuit, mk->terms, take_vector(mk));
    ddt_node sum = ddt_circuit_sum(mk->circuit, product, (int64_t)mk->columns, mk->rows);
    return ddt_circuit_mul(mk->circuit, sum, mk->first_row);
}

static void place(maker *mk, size_t l, const double *coefficients) {
    const surrogate_lane *lane = &mk->s->lanes[l];
    const double unit = 2.0 * SURROGATE_REACH; /* of x */
    for (size_t k = 0; k < lane->level_count; k++) {
        for (size_t i = 0; i < lane->term_count; i++) {
            *slot_of(mk, l, i, k) = coefficients[k * lane->term_count + i] / unit;
        }
    }
}

/* The polynomials (count 0), their derivatives by one eta or by two. */
static ddt_status polynomial(maker *mk, size_t count, const size_t *etas, ddt_node *out) {
    size_t room = (size_t)SURROGATE_ROWS * mk->columns;
    double *first = solve_alloc(mk->fw->work, 2 * room, sizeof *first);
    if (first == NULL) {
        return DDT_ERR_MEMORY;
    }
    double *second = first + room;
    for (size_t l = 0; l < mk->lanes; l++) {
        const surrogate_lane *lane = &mk->s->lanes[l];
        const double *now = lane->coefficients;
        for (size_t d = 0; d < count; d++) {
            double *next = d == 0 ? first : second;
            surrogate_differentiate(lane, mk->fw->eta_count, etas[d], now, next);
            now = next;
        }
        place(mk, l, now);
    }
    *out = sum_terms(mk);
    return ddt_circuit_status(mk->circuit);
}

/* ------------------------------------------------------------------ what the custodian knows of each level */

/* A row of the patient's input times `unit`, in the first row. */
static ddt_node patient_row(maker *mk, size_t row, double unit) {
    for (size_t l = 0; l < mk->lanes; l++) {
        for (size_t c = 0; c < mk->columns; c++) {
            *slot_of(mk, l, row, c) = unit;
        }
    }
    ddt_node own = ddt_circuit_mul(mk->circuit, mk->patient, take_vector(mk));
    return ddt_circuit_rotate(mk->circuit, own, (int64_t)(row * mk->columns));
}

static ddt_node public_score(maker *mk, unsigned k) {
    for (size_t l = 0; l < mk->lanes; l++) {
        const fit_lane *lane = &mk->fw->fit->lanes[l];
        for (size_t c = 0; c < lane->level_count; c++) {
            double coefficients[SURROGATE_SCORE_DEGREE + 1];
            surrogate_score(&(fit_level_value){1.0, &mk->fw->fit->residuals[lane->levels[c].output], false},
                            coefficients);
            *slot_of(mk, l, 0, c) = coefficients[k];
        }
    }
    return take_vector(mk);
}

static void make_scores(maker *mk, surrogate_nodes *out) {
    for (unsigned k = 0; k <= SURROGATE_SCORE_DEGREE; k++) {
        out->score[k] = mk->s->has_scores ? patient_row(mk, mk->rows - 1 - SURROGATE_FIRST_SCORE - k, mk->s->score_unit)
                                          : public_score(mk, k);
    }
}

static ddt_status make_bends(maker *mk, size_t i, surrogate_nodes *out) {
    for (size_t j = 0; j <= i; j++) {
        SOLVE_TRY(polynomial(mk, 2, (const size_t[]){i, j}, &out->bend[i][j]));
        out->bend[j][i] = out->bend[i][j];
    }
    return DDT_OK;
}

/* Polynomials and what they leave. */
static ddt_status make_polynomials(maker *mk, surrogate_nodes *out) {
    const double half = 0.5;
    ddt_node change = DDT_NODE_NONE;
    ddt_node slope = DDT_NODE_NONE;
    SOLVE_TRY(polynomial(mk, 0, NULL, &change));
    ddt_node rest = patient_row(mk, mk->rows - 1, half * mk->s->rest_unit / SURROGATE_REACH);
    out->x = ddt_circuit_affine(mk->circuit, (const ddt_node[]){change, rest}, (const double[]){1.0, 1.0}, 2, half);
    for (size_t i = 0; i < mk->fw->eta_count; i++) {
        SOLVE_TRY(polynomial(mk, 1, &i, &slope));
        rest = patient_row(mk, mk->rows - 2 - i, half * mk->s->slope_unit / SURROGATE_REACH);
        out->slope[i] = ddt_circuit_add(mk->circuit, slope, rest);
        SOLVE_TRY(make_bends(mk, i, out));
    }
    return DDT_OK;
}

ddt_status surrogate_expand(fit_work *fw, ddt_node patient, const ddt_node *deviations, surrogate_nodes *out) {
    const solve_layout *layout = &fw->work->solution->layout;
    maker mk = {.fw = fw,
                .s = fw->fit->surrogate,
                .circuit = fw->work->circuit,
                .lanes = layout->lane_count,
                .rows = layout->rows,
                .columns = layout->columns,
                .patient = patient};
    mk.vector = solve_alloc(fw->work, mk.lanes * mk.rows * mk.columns, sizeof *mk.vector);
    if (mk.vector == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t l = 0; l < mk.lanes; l++) {
        for (size_t c = 0; c < mk.columns; c++) {
            *slot_of(&mk, l, 0, c) = 1.0;
        }
    }
    mk.first_row = take_vector(&mk);
    make_terms(&mk, deviations);
    SOLVE_TRY(make_polynomials(&mk, out));
    make_scores(&mk, out);
    return ddt_circuit_status(mk.circuit);
}
