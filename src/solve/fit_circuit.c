/*
 * The circuit of a fit.
 *
 * A lane is a patient; its slots hold several copies of the (dose, observation) slots of the superposition: one at the
 * current etas, two for each eta, moved up and down by a public step, and one for each pair of etas, both moved up. One
 * evaluation of the model therefore gives the predictions and, by rotations, their first and second derivatives J and
 * T. A step:
 *
 *   x = f / top, for all copies       superposition at encrypted etas, times the custodian's 1 / top
 *   g_i = sum over levels and outputs of J_i S(x) + prior
 *   d = -K g                          K = L L', L: the regression's factor of the posterior's covariance
 *   d = d - K g(d)                    g(d): the gradient of the objective's expansion to third order, from J, T, S, S',
 * S''
 *
 * The second line of d mends what K is wrong by and what is not quadratic: it needs no further evaluation of the model.
 * Etas are kept in units of their standard deviations. Only slot 0 of a lane holds the new etas, all others 0 (what
 * rotations leave there would be magnified by scores and decide the plan's precision); a mask and rotations bring them
 * to all slots before the next step.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_surrogate.h"

#include <string.h>

typedef struct maker {
    fit_work *fw;
    solve_work *work;
    ddt_circuit *circuit;
    size_t lanes, block, columns;
    size_t outputs; /* scores: one for each output of the model; one for all levels of a surrogate */
    double *vector; /* lanes x block */
    ddt_node features;
    ddt_node patient; /* of a surrogate */
    ddt_node inverse[FIT_OUTPUTS_MAX];
    ddt_node score_inputs[FIT_OUTPUTS_MAX][FIT_SCORE_MAX + 1];
    ddt_node etas[FIT_ETAS_MAX]; /* current, in standard deviations */
    ddt_node gain[FIT_ETAS_MAX][FIT_ETAS_MAX];
} maker;

/* What one evaluation of the model tells, in the first copy's columns: per standard deviation of an eta. */
typedef struct expansion {
    ddt_node slope[FIT_ETAS_MAX][FIT_OUTPUTS_MAX];
    ddt_node bend[FIT_ETAS_MAX][FIT_ETAS_MAX][FIT_OUTPUTS_MAX];
    ddt_node score[3][FIT_OUTPUTS_MAX]; /* of x, and its first two derivatives */
} expansion;

static ddt_node public_vector(maker *mk) { return ddt_circuit_public(mk->circuit, mk->vector); }

static void clear_vector(maker *mk) { memset(mk->vector, 0, mk->lanes * mk->block * sizeof *mk->vector); }

/* ------------------------------------------------------------------ inputs */

/* `factor` in some slots of the regions of an item. */
static void mark_regions(maker *mk, size_t first, size_t step, size_t regions, size_t slot, size_t wide) {
    size_t part = fit_copy_slots(&mk->work->solution->layout);
    clear_vector(mk);
    for (size_t l = 0; l < mk->lanes; l++) {
        for (size_t c = first; c < regions; c += step) {
            for (size_t s = 0; s < wide; s++) {
                mk->vector[l * mk->block + c * part + slot + s] = 1.0;
            }
        }
    }
}

/* x rotated by `steps`, one power of two after the other: keys that the superposition has anyway. */
static ddt_node rotate_by_powers(maker *mk, ddt_node x, size_t steps) {
    for (size_t power = mk->block; power > 0; power /= 2) {
        x = (steps & power) != 0 ? ddt_circuit_rotate(mk->circuit, x, (int64_t)power) : x;
    }
    return x;
}

/* An input that all copies read, or a score's coefficient, which the first one does. */
static ddt_node unpack_input(maker *mk, ddt_node packed, uint32_t input) {
    const solve_layout *layout = &mk->work->solution->layout;
    const solve_fit *fit = mk->fw->fit;
    size_t part = fit_copy_slots(layout);
    fit_place place = fit_place_of(layout, fit, input);
    if (place.is_score) {
        ddt_node moved = rotate_by_powers(mk, packed, place.item * part + place.row * layout->columns);
        mark_regions(mk, 0, 1, 1, 0, layout->columns);
        return ddt_circuit_mul(mk->circuit, moved, public_vector(mk));
    }
    mark_regions(mk, place.item, place.items, mk->block / part, 0, part);
    ddt_node own = ddt_circuit_mul(mk->circuit, packed, public_vector(mk));
    own = ddt_circuit_sum(mk->circuit, own, (int64_t)part, place.items);
    if (layout->inputs[input].kind != SOLVE_INPUT_FIT) {
        return own;
    }
    mark_regions(mk, 0, 1, fit->copies, 0, part); /* behind the copies another lane's levels would count */
    return ddt_circuit_mul(mk->circuit, own, public_vector(mk));
}

static void unpack_inputs(maker *mk, ddt_node *nodes) {
    const solve_layout *layout = &mk->work->solution->layout;
    const char *features = layout->inputs[mk->fw->fit->feature_input].name;
    double bound = 0.0;
    char name[64];
    for (uint32_t i = 0; i < layout->input_count; i++) {
        bound = i == mk->fw->fit->feature_input ? bound : fmax(bound, layout->inputs[i].bound);
    }
    const char *colon = strrchr(features, ' '); /* of a part: its prefix */
    (void)snprintf(name, sizeof name, "%.*s" SOLVE_PACKED_NAME, colon == NULL ? 0 : (int)(colon + 1 - features),
                   features);
    ddt_node packed = ddt_circuit_input(mk->circuit, name, bound);
    for (uint32_t i = 0; i < layout->input_count; i++) {
        nodes[i] = i == mk->fw->fit->feature_input ? nodes[i] : unpack_input(mk, packed, i);
    }
}

static void make_inputs(maker *mk) {
    solve_work *work = mk->work;
    const solve_layout *layout = &work->solution->layout;
    const solve_fit *fit = mk->fw->fit;
    ddt_node *nodes = solve_alloc(work, layout->input_count, sizeof *nodes);
    if (nodes == NULL) {
        return;
    }
    nodes[fit->feature_input] = ddt_circuit_input(mk->circuit, layout->inputs[fit->feature_input].name,
                                                  layout->inputs[fit->feature_input].bound);
    if (layout->packed == SOLVE_PACKED_FIT) {
        unpack_inputs(mk, nodes);
    }
    size_t at = 0;
    mk->features = nodes[fit->feature_input];
    if (fit->surrogate != NULL) {
        const solve_input *patient = &layout->inputs[fit->surrogate->patient_input];
        mk->patient = ddt_circuit_input(mk->circuit, patient->name, patient->bound);
        return;
    }
    for (size_t d = 0; d < work->dosing_count && mk->fw->iterations > 0; d++) {
        work->dosings[d].node = nodes[at++];
    }
    for (size_t e = 0; e < work->encoding_count && mk->fw->iterations > 0; e++) {
        if (work->model->symbols[work->encodings[e].symbol].kind != DDT_SYMBOL_ETA) {
            work->encodings[e].node = nodes[at++];
        }
    }
    uint32_t begun = fit_lag_input(layout);
    uint32_t running = fit_running_input(layout);
    work->times.begun_node = begun == SOLVE_NONE ? DDT_NODE_NONE : nodes[begun];
    work->times.running_node = running == SOLVE_NONE ? DDT_NODE_NONE : nodes[running];
    for (size_t o = 0; o < fit->output_count && mk->fw->iterations > 0; o++) {
        mk->inverse[o] = nodes[fit->inverse_input[o]];
        for (unsigned k = 0; k <= fit->residuals[o].degree && !fit->residuals[o].is_public; k++) {
            mk->score_inputs[o][k] = nodes[fit->score_input[o][k]];
        }
    }
}

/* `factor` where the current etas are right: in all copies at first, in slot 0 later. */
static ddt_node where_right(maker *mk, bool is_guess, double factor) {
    size_t right = is_guess ? mk->fw->fit->copies * fit_copy_slots(&mk->work->solution->layout) : 1;
    clear_vector(mk);
    right = is_guess && right > mk->block / 2 ? mk->block / 2 : right; /* spread_guess does the rest */
    for (size_t l = 0; l < mk->lanes; l++) {
        for (size_t s = 0; s < right; s++) {
            mk->vector[l * mk->block + s] = factor;
        }
    }
    return public_vector(mk);
}

/* ------------------------------------------------------------------ regressions */

/* A regression's value, right in the first block - feature_count + 1 slots of each lane. */
static ddt_node regression(maker *mk, size_t index) {
    size_t features = mk->fw->fit->feature_count;
    for (size_t l = 0; l < mk->lanes; l++) {
        const double *from = mk->fw->tables.coefficients + (index * mk->lanes + l) * features;
        for (size_t s = 0; s < mk->block; s++) {
            mk->vector[l * mk->block + s] = from[s % features];
        }
    }
    ddt_node product = ddt_circuit_mul(mk->circuit, mk->features, public_vector(mk));
    return ddt_circuit_sum(mk->circuit, product, 1, features);
}

/* An entry of the gain's factor in slot 0: the features hold it. */
static ddt_node gain_entry(maker *mk, size_t i, size_t j) {
    const solve_fit *fit = mk->fw->fit;
    clear_vector(mk);
    for (size_t l = 0; l < mk->lanes; l++) {
        mk->vector[l * mk->block + fit_gain_feature(fit, i, j)] = fit->gain_unit;
    }
    ddt_node entry = ddt_circuit_mul(mk->circuit, mk->features, public_vector(mk));
    return ddt_circuit_rotate(mk->circuit, entry, (int64_t)fit_gain_feature(fit, i, j));
}

static void make_guess(maker *mk) {
    size_t n = mk->fw->eta_count;
    ddt_node factor[FIT_ETAS_MAX][FIT_ETAS_MAX]; /* [column][row] of L, in slot 0 */
    for (size_t i = 0; i < n; i++) {
        mk->etas[i] = regression(mk, i);
    }
    for (size_t k = 0; k < n; k++) {
        for (size_t i = k; i < n; i++) {
            factor[i][k] = gain_entry(mk, i, k);
        }
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i; j < n; j++) {
            mk->gain[i][j] = mk->gain[j][i] = ddt_circuit_dot(mk->circuit, factor[i], factor[j], i + 1);
        }
    }
}

/* ------------------------------------------------------------------ etas in all copies */

/* The copies' own steps of one eta, minus what the encoding subtracts, in the encoding's unit. */
static ddt_node copy_steps(maker *mk, size_t eta, const solve_encoding *e) {
    size_t copy_slots = fit_copy_slots(&mk->work->solution->layout);
    double step = fit_copy_step(mk->fw->sd[eta]);
    for (size_t l = 0; l < mk->lanes; l++) {
        for (size_t s = 0; s < mk->block; s++) {
            size_t copy = s / copy_slots;
            double moved = step * fit_copy_move(mk->fw->eta_count, copy, eta);
            mk->vector[l * mk->block + s] = (moved - e->mid) / e->half;
        }
    }
    return public_vector(mk);
}

/* The guess is right where a whole period of features follows: the upper half of a lane takes it from the lower one. */
static ddt_node spread_guess(maker *mk, ddt_node lower) {
    size_t used = mk->fw->fit->copies * fit_copy_slots(&mk->work->solution->layout);
    return used <= mk->block / 2
               ? lower
               : ddt_circuit_add(mk->circuit, lower, ddt_circuit_rotate(mk->circuit, lower, -(int64_t)(mk->block / 2)));
}

static void bind_etas(maker *mk, bool is_guess) {
    solve_work *work = mk->work;
    for (size_t k = 0; k < work->encoding_count; k++) {
        solve_encoding *e = &work->encodings[k];
        for (size_t i = 0; i < mk->fw->eta_count; i++) {
            if (mk->fw->eta_symbols[i] == e->symbol) {
                ddt_node own =
                    ddt_circuit_mul(mk->circuit, mk->etas[i], where_right(mk, is_guess, mk->fw->sd[i] / e->half));
                own = is_guess ? spread_guess(mk, own) : ddt_circuit_sum(mk->circuit, own, -1, mk->block);
                e->node = ddt_circuit_add(mk->circuit, own, copy_steps(mk, i, e));
            }
        }
    }
}

/* ------------------------------------------------------------------ scores */

static void chebyshev_basis(maker *mk, ddt_node t, unsigned degree, ddt_node *basis) {
    basis[0] = ddt_circuit_constant(mk->circuit, 1.0);
    basis[1] = t;
    for (unsigned k = 2; k <= degree; k++) {
        /* T_(a+b) = 2 T_a T_b - T_(a-b), as shallow as possible */
        unsigned a = 1;
        while (2 * a < k) {
            a *= 2;
        }
        unsigned b = k - a;
        ddt_node two = ddt_circuit_affine(mk->circuit, &basis[a], (const double[]){2.0}, 1, 0.0);
        ddt_node product = ddt_circuit_mul(mk->circuit, two, basis[b]);
        basis[k] = ddt_circuit_sub(mk->circuit, product, basis[a > b ? a - b : b - a]);
    }
}

/* The derivative of a series in t = 2 x - 1 with respect to x: out, with one coefficient less. */
static void differentiate(const double *coefficients, unsigned degree, double *out) {
    double above[2] = {0.0, 0.0};
    for (unsigned k = degree; k-- > 0;) {
        double now = above[1] + 4.0 * (k + 1) * coefficients[k + 1];
        above[1] = above[0];
        above[0] = now;
        out[k] = k == 0 ? 0.5 * now : now;
    }
}

/* The same on nodes: linear in the coefficients. */
static void differentiate_nodes(maker *mk, const ddt_node *coefficients, unsigned degree, ddt_node *out) {
    for (unsigned k = 0; k < degree; k++) {
        ddt_node terms[FIT_SCORE_MAX + 1];
        double factors[FIT_SCORE_MAX + 1];
        size_t count = 0;
        for (unsigned j = k + 1; j <= degree; j += 2) {
            terms[count] = coefficients[j];
            factors[count++] = (k == 0 ? 2.0 : 4.0) * j;
        }
        out[k] = ddt_circuit_affine(mk->circuit, terms, factors, count, 0.0);
    }
}

/* The score and its derivatives: polynomials of x that are public, or the custodian's. */
static void make_scores(maker *mk, size_t o, ddt_node x, expansion *e) {
    const fit_residual *r = &mk->fw->fit->residuals[o];
    ddt_node t = ddt_circuit_affine(mk->circuit, &x, (const double[]){2.0}, 1, -1.0);
    double numbers[2][FIT_SCORE_MAX + 1];
    ddt_node nodes[2][FIT_SCORE_MAX + 1] = {{0}};
    ddt_node basis[FIT_SCORE_MAX + 1];
    if (r->is_public) {
        fit_level_polynomial(&(fit_level_value){1.0, r, false}, fit_residual_top(r, 1.0), numbers[0]);
    } else {
        memcpy(nodes[0], mk->score_inputs[o], sizeof nodes[0]);
        chebyshev_basis(mk, t, r->degree, basis);
    }
    for (unsigned d = 0; d <= FIT_EXPANSION; d++) {
        if (d > r->degree) {
            e->score[d][o] = ddt_circuit_constant(mk->circuit, 0.0);
        } else if (r->is_public) {
            e->score[d][o] = ddt_circuit_chebyshev(mk->circuit, t, numbers[d % 2], r->degree - d);
            differentiate(numbers[d % 2], r->degree - d, numbers[(d + 1) % 2]);
        } else {
            e->score[d][o] = ddt_circuit_dot(mk->circuit, basis, nodes[d % 2], r->degree - d + 1U);
            differentiate_nodes(mk, nodes[d % 2], r->degree - d, nodes[(d + 1) % 2]);
        }
    }
}

/* ------------------------------------------------------------------ derivatives of the predictions */

static ddt_node copy_of(maker *mk, ddt_node x, size_t copy) {
    return ddt_circuit_rotate(mk->circuit, x, (int64_t)(copy * fit_copy_slots(&mk->work->solution->layout)));
}

/* J and T from differences of copies; the first copy's columns are right. */
static void make_derivatives(maker *mk, size_t o, ddt_node x, expansion *e) {
    size_t n = mk->fw->eta_count;
    ddt_node up[FIT_ETAS_MAX];
    double per_sd[FIT_ETAS_MAX]; /* 1 / step */
    for (size_t i = 0; i < n; i++) {
        per_sd[i] = mk->fw->sd[i] / fit_copy_step(mk->fw->sd[i]);
    }
    for (size_t i = 0; i < n; i++) {
        const double first = 0.5 * per_sd[i];
        const double second = per_sd[i] * per_sd[i];
        up[i] = copy_of(mk, x, 1 + 2 * i);
        ddt_node down = copy_of(mk, x, 2 + 2 * i);
        e->slope[i][o] =
            ddt_circuit_affine(mk->circuit, (const ddt_node[]){up[i], down}, (const double[]){first, -first}, 2, 0.0);
        e->bend[i][i][o] = ddt_circuit_affine(mk->circuit, (const ddt_node[]){up[i], down, x},
                                              (const double[]){second, second, -2.0 * second}, 3, 0.0);
    }
    for (size_t i = 0, copy = 1 + 2 * n; i < n; i++) {
        for (size_t j = i + 1; j < n; j++, copy++) {
            const double second = per_sd[i] * per_sd[j];
            e->bend[i][j][o] = e->bend[j][i][o] =
                ddt_circuit_affine(mk->circuit, (const ddt_node[]){copy_of(mk, x, copy), up[i], up[j], x},
                                   (const double[]){second, -second, -second, second}, 4, 0.0);
        }
    }
}

/* ------------------------------------------------------------------ a step */

/* Scores are wanted in the first copy only: what moved copies hold may lie outside the polynomial's interval. */
static ddt_node centre_only(maker *mk, ddt_node inverse) {
    clear_vector(mk);
    for (size_t l = 0; l < mk->lanes; l++) {
        for (size_t k = 0; k < mk->columns; k++) {
            mk->vector[l * mk->block + k] = 1.0;
        }
    }
    return ddt_circuit_mul(mk->circuit, inverse, public_vector(mk));
}

/* From the surrogate's polynomials at the current etas. */
static ddt_status expand_surrogate(maker *mk, bool is_guess, expansion *e) {
    ddt_node deviations[FIT_ETAS_MAX];
    surrogate_nodes *nodes = solve_alloc(mk->work, 1, sizeof *nodes);
    if (nodes == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < mk->fw->eta_count; i++) {
        ddt_node own = ddt_circuit_mul(mk->circuit, mk->etas[i], where_right(mk, is_guess, 1.0 / SURROGATE_WIDTH));
        deviations[i] = is_guess ? spread_guess(mk, own) : ddt_circuit_sum(mk->circuit, own, -1, mk->block);
    }
    SOLVE_TRY(surrogate_expand(mk->fw, mk->patient, deviations, nodes));
    memcpy(mk->score_inputs[0], nodes->score, sizeof nodes->score);
    make_scores(mk, 0, nodes->x, e);
    for (size_t i = 0; i < mk->fw->eta_count; i++) {
        e->slope[i][0] = nodes->slope[i];
        for (size_t j = 0; j < mk->fw->eta_count; j++) {
            e->bend[i][j][0] = nodes->bend[i][j];
        }
    }
    return ddt_circuit_status(mk->circuit);
}

static ddt_status expand(maker *mk, expansion *e) {
    const solve_fit *fit = mk->fw->fit;
    solve_value *values = solve_alloc(mk->work, fit->output_count, sizeof *values);
    if (values == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(solve_superpose_values(mk->work, values));
    for (size_t o = 0; o < fit->output_count; o++) {
        ddt_node x = ddt_circuit_mul(mk->circuit, values[o].node, mk->inverse[o]);
        make_scores(mk, o, ddt_circuit_mul(mk->circuit, values[o].node, centre_only(mk, mk->inverse[o])), e);
        make_derivatives(mk, o, x, e);
    }
    return ddt_circuit_status(mk->circuit);
}

/* gradient_i = sum over the columns of products_i, and the prior at these etas; right in slot 0. */
static void finish_gradient(maker *mk, const ddt_node *products, const ddt_node *etas, ddt_node *gradient) {
    size_t n = mk->fw->eta_count;
    for (size_t i = 0; i < n; i++) {
        double row[FIT_ETAS_MAX];
        for (size_t j = 0; j < n; j++) {
            row[j] = mk->fw->sd[i] * mk->fw->prior[i * n + j] * mk->fw->sd[j];
        }
        ddt_node levels = ddt_circuit_sum(mk->circuit, products[i], 1, mk->columns);
        gradient[i] = ddt_circuit_add(mk->circuit, levels, ddt_circuit_affine(mk->circuit, etas, row, n, 0.0));
    }
}

static void move(maker *mk, const ddt_node *gradient, ddt_node *etas) {
    size_t n = mk->fw->eta_count;
    for (size_t i = 0; i < n; i++) {
        etas[i] = ddt_circuit_sub(mk->circuit, etas[i], ddt_circuit_dot(mk->circuit, mk->gain[i], gradient, n));
    }
}

/* What the expansion gives at a distance d (in slots 0 to columns - 1) of its centre. */
typedef struct distant {
    ddt_node slope[FIT_ETAS_MAX][FIT_OUTPUTS_MAX]; /* sum_j T_ij d_j */
    ddt_node score[FIT_OUTPUTS_MAX];               /* S + S' (J d + d T d / 2) + S'' (J d)^2 / 2 */
    ddt_node first[FIT_OUTPUTS_MAX];               /* S + S' J d */
} distant;

static void go_distant(maker *mk, const expansion *e, const ddt_node *d, size_t o, distant *out) {
    size_t n = mk->fw->eta_count;
    ddt_circuit *c = mk->circuit;
    ddt_node factors[FIT_ETAS_MAX];
    ddt_node slopes[FIT_ETAS_MAX];
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            factors[j] = e->bend[i][j][o];
        }
        out->slope[i][o] = ddt_circuit_dot(c, factors, d, n);
    }
    for (size_t i = 0; i < n; i++) {
        factors[i] = e->slope[i][o];
        slopes[i] = out->slope[i][o];
    }
    ddt_node linear = ddt_circuit_dot(c, factors, d, n);
    ddt_node quadratic = ddt_circuit_dot(c, slopes, d, n);
    ddt_node moved = ddt_circuit_affine(c, (const ddt_node[]){linear, quadratic}, (const double[]){1.0, 0.5}, 2, 0.0);
    ddt_node half = ddt_circuit_affine(c, &linear, (const double[]){0.5}, 1, 0.0);
    ddt_node square = ddt_circuit_mul(c, half, linear);
    ddt_node change =
        ddt_circuit_dot(c, (const ddt_node[]){e->score[1][o], e->score[2][o]}, (const ddt_node[]){moved, square}, 2);
    out->score[o] = ddt_circuit_add(c, e->score[0][o], change);
    out->first[o] = ddt_circuit_add(c, e->score[0][o], ddt_circuit_mul(c, e->score[1][o], linear));
}

/* The gradient at `etas` from the expansion at `centre`. */
static void distant_gradient(maker *mk, const expansion *e, const ddt_node *centre, const ddt_node *etas,
                             ddt_node *gradient) {
    size_t n = mk->fw->eta_count;
    size_t outputs = mk->outputs;
    ddt_node d[FIT_ETAS_MAX];
    ddt_node products[FIT_ETAS_MAX] = {0};
    distant far = {0};
    for (size_t i = 0; i < n; i++) {
        d[i] = ddt_circuit_sum(mk->circuit, ddt_circuit_sub(mk->circuit, etas[i], centre[i]), -1, mk->columns);
    }
    for (size_t o = 0; o < outputs; o++) {
        go_distant(mk, e, d, o, &far);
    }
    for (size_t i = 0; i < n; i++) {
        ddt_node a[2 * FIT_OUTPUTS_MAX];
        ddt_node b[2 * FIT_OUTPUTS_MAX];
        for (size_t o = 0; o < outputs; o++) {
            a[2 * o] = e->slope[i][o];
            b[2 * o] = far.score[o];
            a[2 * o + 1] = far.slope[i][o];
            b[2 * o + 1] = far.first[o];
        }
        products[i] = ddt_circuit_dot(mk->circuit, a, b, 2 * outputs);
    }
    finish_gradient(mk, products, etas, gradient);
}

static ddt_status newton_step(maker *mk, bool is_guess) {
    size_t n = mk->fw->eta_count;
    expansion *e = solve_alloc(mk->work, 1, sizeof *e);
    ddt_node centre[FIT_ETAS_MAX];
    ddt_node gradient[FIT_ETAS_MAX];
    ddt_node products[FIT_ETAS_MAX] = {0};
    if (e == NULL) {
        return DDT_ERR_MEMORY;
    }
    const bool is_surrogate = mk->fw->fit->surrogate != NULL;
    bind_etas(mk, is_guess);
    SOLVE_TRY(is_surrogate ? expand_surrogate(mk, is_guess, e) : DDT_OK);
    for (size_t i = 0; i < n && is_guess; i++) {
        mk->etas[i] = ddt_circuit_mul(mk->circuit, mk->etas[i], where_right(mk, false, 1.0));
    }
    memcpy(centre, mk->etas, sizeof centre);
    SOLVE_TRY(is_surrogate ? DDT_OK : expand(mk, e));
    for (size_t i = 0; i < n; i++) {
        products[i] = ddt_circuit_dot(mk->circuit, e->slope[i], e->score[0], mk->outputs);
    }
    finish_gradient(mk, products, mk->etas, gradient);
    move(mk, gradient, mk->etas);
    distant_gradient(mk, e, centre, mk->etas, gradient);
    move(mk, gradient, mk->etas);
    return ddt_circuit_status(mk->circuit);
}

static void add_outputs(maker *mk) {
    char name[256];
    size_t n = mk->fw->eta_count;
    const ddt_model *model = mk->work->model;
    for (size_t i = 0; i < n; i++) {
        ddt_circuit_output(mk->circuit, model->symbols[mk->fw->eta_symbols[i]].name, mk->etas[i]);
    }
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(name, sizeof name, "sd.%.200s", model->symbols[mk->fw->eta_symbols[i]].name);
        ddt_node sd = regression(mk, n + i);
        ddt_circuit_output(mk->circuit, name, ddt_circuit_mul(mk->circuit, sd, where_right(mk, false, 1.0)));
    }
}

/* A regression in all slots of its lane. */
static ddt_node everywhere(maker *mk, ddt_node value) {
    size_t half = mk->block / 2;
    clear_vector(mk);
    for (size_t s = 0; s < mk->lanes * mk->block; s++) {
        mk->vector[s] = s % mk->block < half ? 1.0 : 0.0;
    }
    ddt_node lower = ddt_circuit_mul(mk->circuit, value, public_vector(mk));
    return ddt_circuit_add(mk->circuit, lower, ddt_circuit_rotate(mk->circuit, lower, -(int64_t)half));
}

static void give_nodes(maker *mk, fit_nodes *out) {
    size_t n = mk->fw->eta_count;
    size_t at = 2 * n;
    for (size_t i = 0; i < n; i++) {
        out->eta[i] = mk->fw->iterations == 0 ? everywhere(mk, mk->etas[i])
                                              : ddt_circuit_sum(mk->circuit, mk->etas[i], -1, mk->block);
    }
    for (size_t k = 0; k < n; k++) {
        for (size_t i = k; i < n; i++) {
            out->factor[i][k] = everywhere(mk, regression(mk, at++));
        }
    }
}

ddt_status fit_build(fit_work *fw, fit_nodes *nodes) {
    solve_work *work = fw->work;
    const solve_layout *layout = &work->solution->layout;
    maker mk = {.fw = fw,
                .work = work,
                .circuit = work->circuit,
                .lanes = layout->lane_count,
                .block = layout->lane_slots,
                .columns = layout->columns,
                .outputs = fw->fit->surrogate != NULL ? 1 : fw->fit->output_count};
    mk.vector = solve_alloc(work, mk.lanes * mk.block, sizeof *mk.vector);
    if (mk.vector == NULL) {
        return DDT_ERR_MEMORY;
    }
    make_inputs(&mk);
    SOLVE_TRY(ddt_circuit_status(work->circuit));
    make_guess(&mk);
    for (unsigned k = 0; k < fw->iterations; k++) {
        SOLVE_TRY(newton_step(&mk, k == 0));
    }
    if (nodes != NULL) {
        give_nodes(&mk, nodes);
        return ddt_circuit_status(mk.circuit);
    }
    for (size_t i = 0; i < fw->eta_count && fw->iterations == 0; i++) {
        mk.etas[i] = ddt_circuit_mul(mk.circuit, mk.etas[i], where_right(&mk, false, 1.0));
    }
    add_outputs(&mk);
    return ddt_circuit_status(mk.circuit);
}
