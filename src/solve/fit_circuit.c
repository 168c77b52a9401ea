/*
 * The circuit of a fit.
 *
 * A lane is a patient; its slots hold several copies of the (dose, observation) slots of the superposition, one at the
 * current etas and two for each eta, moved up and down by a public step. One evaluation of the model therefore gives
 * the predictions and, by rotations, their derivatives. A step:
 *
 *   x = f / top, for all copies       superposition at encrypted etas, times the custodian's 1 / top
 *   gradient_i = sum over levels and outputs of (x_up,i - x_down,i) S(x) + prior
 *   etas = etas - K gradient          K: the regression's covariance, summed up from the same features as the guess
 *
 * Etas are kept in units of their standard deviations. Only slot 0 of a lane holds the new etas, all others 0 (what
 * rotations leave there would be magnified by scores and decide the plan's precision); a mask and rotations bring them
 * to all slots before the next step.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_internal.h"

#include <string.h>

typedef struct maker {
    fit_work *fw;
    solve_work *work;
    ddt_circuit *circuit;
    size_t lanes, block, columns;
    double *vector; /* lanes x block */
    ddt_node features;
    ddt_node inverse[FIT_OUTPUTS_MAX];
    ddt_node score_inputs[FIT_OUTPUTS_MAX][FIT_SCORE_MAX + 1];
    ddt_node etas[FIT_ETAS_MAX]; /* current, in standard deviations */
    ddt_node covariance[FIT_ETAS_MAX][FIT_ETAS_MAX];
} maker;

static ddt_node public_vector(maker *mk) { return ddt_circuit_public(mk->circuit, mk->vector); }

static void clear_vector(maker *mk) { memset(mk->vector, 0, mk->lanes * mk->block * sizeof *mk->vector); }

/* ------------------------------------------------------------------ inputs */

static void make_inputs(maker *mk) {
    solve_work *work = mk->work;
    const solve_layout *layout = &work->solution->layout;
    const solve_fit *fit = mk->fw->fit;
    ddt_node *nodes = solve_alloc(work, layout->input_count, sizeof *nodes);
    for (size_t i = 0; nodes != NULL && i < layout->input_count; i++) {
        nodes[i] = ddt_circuit_input(mk->circuit, layout->inputs[i].name, layout->inputs[i].bound);
    }
    if (nodes == NULL) {
        return;
    }
    size_t at = 0;
    for (size_t d = 0; d < work->dosing_count; d++) {
        work->dosings[d].node = nodes[at++];
    }
    for (size_t e = 0; e < work->encoding_count; e++) {
        if (work->model->symbols[work->encodings[e].symbol].kind != DDT_SYMBOL_ETA) {
            work->encodings[e].node = nodes[at++];
        }
    }
    mk->features = nodes[fit->feature_input];
    for (size_t o = 0; o < fit->output_count; o++) {
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

static void make_guess(maker *mk) {
    size_t n = mk->fw->eta_count;
    size_t at = n;
    for (size_t i = 0; i < n; i++) {
        mk->etas[i] = regression(mk, i);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i; j < n; j++) {
            mk->covariance[i][j] = mk->covariance[j][i] =
                ddt_circuit_mul(mk->circuit, regression(mk, at++), where_right(mk, false, 1.0));
        }
    }
}

/* ------------------------------------------------------------------ etas in all copies */

/* The copies' own steps of one eta, minus what the encoding subtracts, in the encoding's unit. */
static ddt_node copy_steps(maker *mk, size_t eta, const solve_encoding *e) {
    size_t copy_slots = fit_copy_slots(&mk->work->solution->layout);
    double step = FIT_STEP * mk->fw->sd[eta];
    for (size_t l = 0; l < mk->lanes; l++) {
        for (size_t s = 0; s < mk->block; s++) {
            size_t copy = s / copy_slots;
            double moved = copy == 1 + 2 * eta ? step : copy == 2 + 2 * eta ? -step : 0.0;
            mk->vector[l * mk->block + s] = (moved - e->mid) / e->half;
        }
    }
    return public_vector(mk);
}

static void bind_etas(maker *mk, bool is_guess) {
    solve_work *work = mk->work;
    for (size_t k = 0; k < work->encoding_count; k++) {
        solve_encoding *e = &work->encodings[k];
        for (size_t i = 0; i < mk->fw->eta_count; i++) {
            if (mk->fw->eta_symbols[i] == e->symbol) {
                ddt_node own =
                    ddt_circuit_mul(mk->circuit, mk->etas[i], where_right(mk, is_guess, mk->fw->sd[i] / e->half));
                own = is_guess ? own : ddt_circuit_sum(mk->circuit, own, -1, mk->block);
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

/* score / FIT_DIFFERENCE: derivatives are differences of copies. */
static ddt_node score(maker *mk, size_t o, ddt_node x) {
    const fit_residual *r = &mk->fw->fit->residuals[o];
    ddt_node t = ddt_circuit_affine(mk->circuit, &x, (const double[]){2.0}, 1, -1.0);
    if (r->is_public) {
        double coefficients[FIT_SCORE_MAX + 1];
        fit_residual_polynomial(r, 1.0, coefficients);
        for (unsigned k = 0; k <= r->degree; k++) {
            coefficients[k] /= FIT_DIFFERENCE;
        }
        return ddt_circuit_chebyshev(mk->circuit, t, coefficients, r->degree);
    }
    ddt_node basis[FIT_SCORE_MAX + 1];
    chebyshev_basis(mk, t, r->degree, basis);
    return ddt_circuit_dot(mk->circuit, basis, mk->score_inputs[o], r->degree + 1U);
}

/* ------------------------------------------------------------------ a step */

/* The gradient with respect to each eta (in standard deviations), without the prior; right in slot 0. */
static ddt_status level_gradient(maker *mk, ddt_node *gradient) {
    const solve_fit *fit = mk->fw->fit;
    size_t n = mk->fw->eta_count;
    int64_t copy_slots = (int64_t)fit_copy_slots(&mk->work->solution->layout);
    ddt_node up[FIT_ETAS_MAX][FIT_OUTPUTS_MAX];
    ddt_node scores[FIT_OUTPUTS_MAX];
    solve_value *values = solve_alloc(mk->work, fit->output_count, sizeof *values);
    if (values == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(solve_superpose_values(mk->work, values));
    for (size_t o = 0; o < fit->output_count; o++) {
        ddt_node x = ddt_circuit_mul(mk->circuit, values[o].node, mk->inverse[o]);
        scores[o] = score(mk, o, x);
        for (size_t i = 0; i < n; i++) {
            int64_t at = (int64_t)(1 + 2 * i) * copy_slots;
            up[i][o] = ddt_circuit_sub(mk->circuit, ddt_circuit_rotate(mk->circuit, x, at),
                                       ddt_circuit_rotate(mk->circuit, x, at + copy_slots));
        }
    }
    for (size_t i = 0; i < n; i++) {
        ddt_node products = ddt_circuit_dot(mk->circuit, up[i], scores, fit->output_count);
        gradient[i] = ddt_circuit_sum(mk->circuit, products, 1, mk->columns);
    }
    return ddt_circuit_status(mk->circuit);
}

static ddt_status newton_step(maker *mk, bool is_guess) {
    size_t n = mk->fw->eta_count;
    ddt_node gradient[FIT_ETAS_MAX];
    ddt_node moved[FIT_ETAS_MAX];
    bind_etas(mk, is_guess);
    for (size_t i = 0; i < n && is_guess; i++) {
        mk->etas[i] = ddt_circuit_mul(mk->circuit, mk->etas[i], where_right(mk, false, 1.0));
    }
    SOLVE_TRY(level_gradient(mk, gradient));
    for (size_t i = 0; i < n; i++) {
        double row[FIT_ETAS_MAX];
        for (size_t j = 0; j < n; j++) {
            row[j] = mk->fw->sd[i] * mk->fw->prior[i * n + j] * mk->fw->sd[j];
        }
        gradient[i] = ddt_circuit_add(mk->circuit, gradient[i], ddt_circuit_affine(mk->circuit, mk->etas, row, n, 0.0));
    }
    for (size_t i = 0; i < n; i++) {
        moved[i] =
            ddt_circuit_sub(mk->circuit, mk->etas[i], ddt_circuit_dot(mk->circuit, mk->covariance[i], gradient, n));
    }
    memcpy(mk->etas, moved, n * sizeof *moved);
    return ddt_circuit_status(mk->circuit);
}

ddt_status fit_build(fit_work *fw) {
    solve_work *work = fw->work;
    const solve_layout *layout = &work->solution->layout;
    maker mk = {.fw = fw,
                .work = work,
                .circuit = work->circuit,
                .lanes = layout->lane_count,
                .block = layout->lane_slots,
                .columns = layout->columns};
    size_t n = fw->eta_count;
    char name[256];
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
    for (size_t i = 0; i < n; i++) {
        ddt_circuit_output(mk.circuit, work->model->symbols[fw->eta_symbols[i]].name, mk.etas[i]);
    }
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(name, sizeof name, "sd.%.200s", work->model->symbols[fw->eta_symbols[i]].name);
        ddt_node sd = regression(&mk, n + n * (n + 1) / 2 + i);
        ddt_circuit_output(mk.circuit, name, ddt_circuit_mul(mk.circuit, sd, where_right(&mk, false, 1.0)));
    }
    return ddt_circuit_status(mk.circuit);
}
