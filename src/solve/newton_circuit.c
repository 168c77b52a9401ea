/*
 * The circuit of a model that is not linear: p by superposition, a polynomial guess of z in the encrypted parameters
 * and amounts, then Newton's method over the whole trajectory at once. The linearised recursion
 *     delta[t] = F[t] delta[t-1] + G[t] rho[t]
 * is solved by doubling (Hillis and Steele 1986) where F is encrypted, by a few public stages of radix 8 where it is
 * public. F is 0 where an epoch starts: neither another lane's values nor those before a reset can flow in.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "newton.h"

#include <limits.h>
#include <string.h>

typedef struct maker {
    solve_work *work;
    solve_newton *nw;
    size_t m, rows, columns, lanes;
    double *half_step, *half_next; /* lanes x block: h/2 of the step to this column, of the step from it */
    double *inside;                /* 1 except where an epoch starts */
    solve_value *p;                /* per linear state */
    solve_value *z;                /* m */
    solve_value *features;
} maker;

static double *slot_of(const maker *mk, double *vector, size_t lane, size_t row, size_t k) {
    return vector + (lane * mk->rows + row) * mk->columns + k;
}

/* ------------------------------------------------------------------ public vectors */

static ddt_status make_vectors(maker *mk) {
    size_t slots = mk->lanes * mk->rows * mk->columns;
    mk->half_step = solve_alloc(mk->work, slots, sizeof(double));
    mk->half_next = solve_alloc(mk->work, slots, sizeof(double));
    mk->inside = solve_alloc(mk->work, slots, sizeof(double));
    if (mk->half_step == NULL || mk->half_next == NULL || mk->inside == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t l = 0; l < mk->lanes; l++) {
        const newton_grid *g = &mk->nw->grids[l];
        for (size_t r = 0; r < mk->rows; r++) {
            for (size_t k = 0; k < g->count; k++) {
                *slot_of(mk, mk->half_step, l, r, k) = 0.5 * g->step[k];
                *slot_of(mk, mk->half_next, l, r, k) = k + 1 < g->count ? 0.5 * g->step[k + 1] : 0.0;
                *slot_of(mk, mk->inside, l, r, k) = g->is_start[k] ? 0.0 : 1.0;
            }
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ values */

static solve_value none(void) { return (solve_value){.node = DDT_NODE_NONE}; }

static bool exists(solve_value v) { return v.node != DDT_NODE_NONE; }

static solve_value rotated(maker *mk, solve_value v, size_t steps) {
    v.node = ddt_circuit_rotate(mk->work->circuit, v.node, -(int64_t)steps);
    return v;
}

static ddt_status add_pair(maker *mk, solve_pairs *pairs, solve_value a, solve_value b) {
    return exists(a) && exists(b) ? solve_pairs_add(mk->work, pairs, a, b) : DDT_OK;
}

static solve_value one(maker *mk) { return solve_constant(mk->work, 1.0); }

static ddt_status finish(maker *mk, const solve_pairs *pairs, solve_value *out) {
    *out = none();
    return pairs->count == 0 ? DDT_OK : solve_pairs_node(mk->work, pairs, out);
}

/* Row 0 of each lane in all of its rows: the others hold sums that mix lanes. */
static ddt_status spread_rows(maker *mk, solve_value *value) {
    if (mk->rows == 1 || ddt_circuit_is_public(mk->work->circuit, value->node)) {
        return DDT_OK;
    }
    double *mask = solve_alloc(mk->work, mk->lanes * mk->rows * mk->columns, sizeof *mask);
    if (mask == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t l = 0; l < mk->lanes; l++) {
        for (size_t k = 0; k < mk->columns; k++) {
            *slot_of(mk, mask, l, 0, k) = 1.0;
        }
    }
    value->node = ddt_circuit_mul(mk->work->circuit, value->node, solve_public(mk->work, mask, 1.0).node);
    value->node = ddt_circuit_sum(mk->work->circuit, value->node, -(int64_t)mk->columns, mk->rows);
    value->depth += 1.0;
    return ddt_circuit_status(mk->work->circuit);
}

/* Appends vector * factor * (terms) * node (node may be none: 1). */
static ddt_status add_terms(maker *mk, const solve_terms *terms, const double *vector, double factor, solve_value node,
                            solve_pairs *pairs) {
    solve_sum sum = {0};
    SOLVE_TRY(solve_lower(mk->work, terms, &sum));
    for (size_t i = 0; i < sum.count && exists(node); i++) {
        sum.products[i].values[sum.products[i].count++] = node;
    }
    return solve_sum_pairs(mk->work, &sum, vector, factor, pairs);
}

ddt_status solve_newton_time_factor(solve_work *work, ddt_expr e, solve_product *product) {
    const solve_newton *nw = work->newton;
    const solve_layout *layout = &work->solution->layout;
    double *symbols = solve_alloc(work, work->symbol_count, sizeof *symbols);
    double *vector = work->slots;
    double largest = 0.0;
    size_t block = layout->rows * layout->columns;
    if (symbols == NULL) {
        return DDT_ERR_MEMORY;
    }
    memset(vector, 0, layout->lane_count * block * sizeof *vector);
    for (size_t l = 0; l < layout->lane_count; l++) {
        for (size_t k = 0; k < nw->grids[l].count; k++) {
            newton_set_column(work, l, k, NULL, symbols);
            double value = ddt_expr_eval(work->pool, e, symbols, NULL);
            if (!isfinite(value)) {
                return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s': %s is not finite at time %g.", work->model->path,
                                solve_print(work, e), nw->grids[l].time[k]);
            }
            largest = fmax(largest, fabs(value));
            for (size_t r = 0; r < layout->rows; r++) {
                vector[l * block + r * layout->columns + k] = value;
            }
        }
    }
    product->coefficient *= largest;
    for (size_t i = 0; i < layout->lane_count * block && largest > 0.0; i++) {
        vector[i] /= largest;
    }
    product->values[product->count++] = (solve_value){.node = ddt_circuit_public(work->circuit, vector)};
    return ddt_circuit_status(work->circuit);
}

/* ------------------------------------------------------------------ the guess */

/* factor * weight of each dose at each column: weighted and moved to [-1, 1] in one product. */
static solve_value dose_weights(maker *mk, const newton_feature *feature) {
    double *vector = mk->work->slots;
    size_t count = mk->lanes * mk->rows * mk->columns;
    for (size_t i = 0; i < count; i++) {
        vector[i] = feature->factor * mk->nw->dose_weights[feature->contrast][i];
    }
    return (solve_value){.node = ddt_circuit_public(mk->work->circuit, vector)};
}

/* factor * mid where some dose of the feature has been given, else 0. */
static solve_value dose_middle(maker *mk, const newton_feature *feature) {
    const solve_layout *layout = &mk->work->solution->layout;
    double *middle = mk->work->slots;
    memset(middle, 0, mk->lanes * mk->rows * mk->columns * sizeof *middle);
    for (size_t l = 0; l < mk->lanes; l++) {
        const solve_lane *lane = &layout->lanes[l];
        for (size_t i = 0; i < lane->source_count * mk->nw->grids[l].count; i++) {
            size_t row = i / mk->nw->grids[l].count;
            size_t k = i % mk->nw->grids[l].count;
            bool is_given =
                lane->sources[row].input == feature->index && lane->active[row * lane->column_count + k] != 0;
            for (size_t r = 0; r < mk->rows && is_given; r++) {
                *slot_of(mk, middle, l, r, k) = feature->factor * feature->mid;
            }
        }
    }
    return (solve_value){.node = ddt_circuit_public(mk->work->circuit, middle)};
}

/* A weighted mean of a dosing's amounts, or a contrast between them, moved to [-1, 1]. */
static ddt_status amount_feature(maker *mk, const newton_feature *feature, solve_value *v) {
    solve_work *work = mk->work;
    v->node = work->dosings[feature->index].node;
    if (mk->nw->weighs_doses) {
        v->node = ddt_circuit_mul(work->circuit, v->node, dose_weights(mk, feature).node);
        v->depth += 1.0;
    } else {
        v->node = ddt_circuit_affine(work->circuit, &v->node, &feature->factor, 1, 0.0);
    }
    v->node = ddt_circuit_sum(work->circuit, v->node, (int64_t)mk->columns, mk->rows);
    SOLVE_TRY(spread_rows(mk, v));
    v->node = ddt_circuit_sub(work->circuit, v->node, dose_middle(mk, feature).node);
    return ddt_circuit_status(work->circuit);
}

static ddt_status symbol_feature(maker *mk, const newton_feature *feature, solve_value *v) {
    const solve_work *work = mk->work;
    ddt_node nodes[NEWTON_PARTS_MAX];
    double factors[NEWTON_PARTS_MAX];
    bool is_free = true;
    for (size_t i = 0; i < feature->count; i++) {
        nodes[i] = work->encodings[feature->inputs[i] - work->dosing_count].node;
        factors[i] = feature->factor * feature->weights[i];
        is_free &= factors[i] == floor(factors[i]) && fabs(factors[i]) <= SOLVE_INTEGER_MAX;
    }
    v->node = ddt_circuit_affine(work->circuit, nodes, factors, feature->count, -feature->factor * feature->mid);
    v->depth = is_free ? 0.0 : 1.0;
    return ddt_circuit_status(work->circuit);
}

static ddt_status make_features(maker *mk) {
    solve_work *work = mk->work;
    mk->features = solve_alloc(work, mk->nw->feature_count + 1, sizeof *mk->features);
    if (mk->features == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t f = 0; f < mk->nw->feature_count; f++) {
        const newton_feature *feature = &mk->nw->features[f];
        SOLVE_TRY(feature->is_amount ? amount_feature(mk, feature, &mk->features[f])
                                     : symbol_feature(mk, feature, &mk->features[f]));
    }
    return ddt_circuit_status(work->circuit);
}

static solve_value coefficient(maker *mk, size_t term, size_t b) {
    const solve_newton *nw = mk->nw;
    double scale = nw->argument != DDT_EXPR_NONE ? nw->log_half : mk->work->state_scale[nw->block[b]];
    double *vector = mk->work->slots;
    memset(vector, 0, mk->lanes * mk->rows * mk->columns * sizeof *vector);
    for (size_t l = 0; l < mk->lanes; l++) {
        for (size_t k = 0; k < nw->grids[l].count; k++) {
            double c = nw->guess[((l * nw->columns + k) * nw->monomial_count + term) * nw->m + b];
            c = nw->argument != DDT_EXPR_NONE && term == 0 ? c - nw->log_mid : c;
            for (size_t r = 0; r < mk->rows; r++) {
                *slot_of(mk, vector, l, r, k) = c / scale;
            }
        }
    }
    return (solve_value){.node = ddt_circuit_public(mk->work->circuit, vector)};
}

/* The halves of a monomial are monomials: what they share is computed once. */
static solve_value monomial_node(maker *mk, const uint8_t *features, unsigned count) {
    if (count < 2) {
        return count == 0 ? one(mk) : mk->features[features[0]];
    }
    unsigned first = 1;
    while (2 * first < count) {
        first *= 2;
    }
    solve_value a = monomial_node(mk, features, first);
    solve_value b = monomial_node(mk, features + first, count - first);
    return (solve_value){.node = ddt_circuit_mul(mk->work->circuit, a.node, b.node),
                         .depth = 1.0 + fmax(a.depth, b.depth)};
}

/* z = (exp(y) - 1) / slope - p */
static ddt_status leave_logarithm(maker *mk) {
    solve_newton *nw = mk->nw;
    solve_work *work = mk->work;
    nw->log_node = mk->z[0];
    nw->current = 0;
    solve_product power = {.coefficient = 1.0};
    solve_value e = none();
    solve_pairs exponential = {0};
    SOLVE_TRY(solve_lower_power(work, nw->argument, 1.0, &power));
    for (size_t i = 0; i < power.count; i++) {
        SOLVE_TRY(solve_pairs_add(work, &exponential, power.values[i], solve_constant(work, power.coefficient)));
    }
    SOLVE_TRY(solve_pairs_add(work, &exponential, solve_constant(work, -1.0), one(mk)));
    SOLVE_TRY(finish(mk, &exponential, &e));
    solve_pairs pairs = {0};
    SOLVE_TRY(add_terms(mk, nw->inverse_terms, NULL, 1.0 / work->state_scale[nw->block[0]], e, &pairs));
    SOLVE_TRY(solve_pairs_add(work, &pairs, mk->p[nw->block[0]], solve_constant(work, -1.0)));
    return finish(mk, &pairs, &mk->z[0]);
}

/*
 * A polynomial in the features is sum_outer outer * (polynomial of lower degree), and so on inside: few values are
 * alive at once, however many terms there are. How many features the inner polynomial has at most where the whole has
 * `most`: the shallowest split, and of these the one with the fewest outer monomials.
 */
static unsigned inner_features(unsigned most) {
    unsigned depth[NEWTON_DEGREE_MAX + 1] = {0, 1};
    unsigned split[NEWTON_DEGREE_MAX + 1] = {0};
    for (unsigned n = 2; n <= most; n++) {
        depth[n] = UINT_MAX;
        for (unsigned k = 1; k < n; k++) {
            unsigned outer = newton_ceil_log2(n - k);
            unsigned whole = 1 + (depth[k] > outer ? depth[k] : outer);
            split[n] = whole <= depth[n] ? k : split[n];
            depth[n] = whole <= depth[n] ? whole : depth[n];
        }
    }
    return split[most];
}

/* Terms of a guess that have their first features, `from` of them, in common. */
typedef struct terms_of {
    const size_t *items;
    size_t count;
    unsigned from;
} terms_of;

/* How many features of a term behind the common ones go into the outer monomial. */
static unsigned outer_features(const maker *mk, size_t term, unsigned from, unsigned inner) {
    unsigned left = mk->nw->monomials[term].count - from;
    return left > inner ? left - inner : 0;
}

/* Those of the terms from the first on that share its outer monomial; they are marked as done. None if it is. */
static terms_of group_of(const maker *mk, terms_of all, size_t first, unsigned inner, bool *done, size_t *members) {
    const newton_monomial *monomials = mk->nw->monomials;
    const uint8_t *outer = monomials[all.items[first]].features + all.from;
    unsigned length = outer_features(mk, all.items[first], all.from, inner);
    terms_of group = {.items = members, .from = all.from + length};
    for (size_t i = first; i < all.count && (i > first || !done[first]); i++) {
        size_t t = all.items[i];
        if (!done[i] && outer_features(mk, t, all.from, inner) == length &&
            memcmp(monomials[t].features + all.from, outer, length) == 0) {
            done[i] = true;
            members[group.count++] = t;
        }
    }
    return group;
}

static unsigned most_features(const maker *mk, terms_of terms) {
    unsigned most = 0;
    for (size_t i = 0; i < terms.count; i++) {
        unsigned left = mk->nw->monomials[terms.items[i]].count - terms.from;
        most = left > most ? left : most;
    }
    return most;
}

/* Terms of one feature or none behind the common ones. */
static ddt_status affine_sum(maker *mk, size_t b, terms_of terms, solve_value *out) {
    solve_pairs pairs = {0};
    for (size_t i = 0; i < terms.count; i++) {
        const newton_monomial *m = &mk->nw->monomials[terms.items[i]];
        SOLVE_TRY(solve_pairs_add(mk->work, &pairs, monomial_node(mk, m->features + terms.from, m->count - terms.from),
                                  coefficient(mk, terms.items[i], b)));
    }
    return finish(mk, &pairs, out);
}

static ddt_status polynomial(maker *mk, size_t b, terms_of terms, solve_value *out);

/* Appends outer * (inner polynomial) for the terms that share the outer monomial of the first of them. */
static ddt_status add_group(maker *mk, size_t b, terms_of terms, size_t first, terms_of group, solve_pairs *pairs) {
    solve_value sum;
    if (group.count == 0) {
        return DDT_OK; /* they have been added */
    }
    const uint8_t *outer = mk->nw->monomials[terms.items[first]].features + terms.from;
    SOLVE_TRY(polynomial(mk, b, group, &sum));
    return solve_pairs_add(mk->work, pairs, monomial_node(mk, outer, group.from - terms.from), sum);
}

/* The sum of terms of state b without their common features: degrees shrink, so this ends. */
static ddt_status polynomial(maker *mk, size_t b, terms_of terms, solve_value *out) {
    unsigned most = most_features(mk, terms);
    if (most <= 1) {
        return affine_sum(mk, b, terms, out);
    }
    unsigned inner = inner_features(most);
    solve_pairs pairs = {0};
    bool *done = solve_alloc(mk->work, terms.count, sizeof *done);
    size_t *members = solve_alloc(mk->work, terms.count, sizeof *members);
    if (done == NULL || members == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < terms.count; i++) {
        SOLVE_TRY(add_group(mk, b, terms, i, group_of(mk, terms, i, inner, done, members), &pairs));
    }
    return finish(mk, &pairs, out);
}

static ddt_status make_guess(maker *mk) {
    const solve_newton *nw = mk->nw;
    size_t *all = solve_alloc(mk->work, nw->monomial_count, sizeof *all);
    if (all == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t t = 0; t < nw->monomial_count; t++) {
        all[t] = t;
    }
    SOLVE_TRY(make_features(mk));
    for (size_t b = 0; b < mk->m; b++) {
        SOLVE_TRY(polynomial(mk, b, (terms_of){.items = all, .count = nw->monomial_count}, &mk->z[b]));
    }
    return nw->argument == DDT_EXPR_NONE ? DDT_OK : leave_logarithm(mk);
}

/* ------------------------------------------------------------------ right-hand side and Jacobian */

/* x = p + z, bound to the states for the functions of them; ranges of this iterate. */
static void bind_states(maker *mk, unsigned iteration) {
    solve_work *work = mk->work;
    newton_set_ranges(work, iteration);
    work->iterate_stamp++;
    for (size_t i = 0; i < work->linear.n; i++) {
        size_t b = mk->nw->block_of[i];
        work->state_values[i] = mk->p[i];
        if (b != SIZE_MAX && exists(mk->p[i])) {
            work->state_values[i].node = ddt_circuit_add(work->circuit, mk->p[i].node, mk->z[b].node);
            work->state_values[i].depth = fmax(mk->p[i].depth, mk->z[b].depth);
        }
    }
}

static double scale_of(const maker *mk, size_t b) { return mk->work->state_scale[mk->nw->block[b]]; }

/* vector * f_b, f = A z + N(p + z), in scaled states. */
static ddt_status add_force(maker *mk, size_t b, const double *vector, solve_pairs *pairs) {
    size_t m = mk->m;
    for (size_t c = 0; c < m; c++) {
        SOLVE_TRY(
            add_terms(mk, &mk->nw->rate_terms[b * m + c], vector, scale_of(mk, c) / scale_of(mk, b), mk->z[c], pairs));
    }
    return add_terms(mk, &mk->nw->n_terms[b], vector, 1.0 / scale_of(mk, b), none(), pairs);
}

static ddt_status weighted_jacobian(maker *mk, size_t b, size_t c, const double *vector, solve_value *out) {
    solve_pairs pairs = {0};
    double factor = scale_of(mk, c) / scale_of(mk, b);
    SOLVE_TRY(add_terms(mk, &mk->nw->rate_terms[b * mk->m + c], vector, factor, none(), &pairs));
    SOLVE_TRY(add_terms(mk, &mk->nw->jacobian_terms[b * mk->m + c], vector, factor, none(), &pairs));
    return finish(mk, &pairs, out);
}

/* rho[t] = z[t-1] - z[t] + h/2 (f[t-1] + f[t]); -z[t] where an epoch starts. */
static ddt_status make_residual(maker *mk, solve_value *rho) {
    solve_work *work = mk->work;
    solve_value inside = solve_public(work, mk->inside, 1.0);
    for (size_t b = 0; b < mk->m; b++) {
        solve_pairs now = {0};
        solve_pairs before = {0};
        solve_value from_before;
        SOLVE_TRY(add_force(mk, b, mk->half_next, &before));
        SOLVE_TRY(finish(mk, &before, &from_before));
        SOLVE_TRY(add_force(mk, b, mk->half_step, &now));
        SOLVE_TRY(solve_pairs_add(work, &now, rotated(mk, mk->z[b], 1), inside));
        SOLVE_TRY(solve_pairs_add(work, &now, mk->z[b], solve_constant(work, -1.0)));
        SOLVE_TRY(finish(mk, &now, &rho[b]));
        if (exists(from_before)) {
            rho[b].node = ddt_circuit_add(work->circuit, rho[b].node, rotated(mk, from_before, 1).node);
            rho[b].depth = fmax(rho[b].depth, from_before.depth);
        }
    }
    return ddt_circuit_status(work->circuit);
}

/* ------------------------------------------------------------------ the patient's own Jacobian */

/* Entry (i, j) of a product of matrices, b with so many columns. */
static ddt_status multiply_entry(maker *mk, const solve_value *row, const solve_value *b, size_t columns,
                                 solve_value *out) {
    solve_pairs pairs = {0};
    for (size_t k = 0; k < mk->m; k++) {
        SOLVE_TRY(add_pair(mk, &pairs, row[k], b[k * columns]));
    }
    return finish(mk, &pairs, out);
}

static ddt_status multiply(maker *mk, const solve_value *a, const solve_value *b, size_t columns, solve_value *out) {
    for (size_t i = 0; i < mk->m * columns; i++) {
        SOLVE_TRY(multiply_entry(mk, a + i / columns * mk->m, b + i % columns, columns, &out[i]));
    }
    return DDT_OK;
}

static solve_value sum_of(maker *mk, solve_value a, solve_value b) {
    if (!exists(a) || !exists(b)) {
        return exists(a) ? a : b;
    }
    return (solve_value){.node = ddt_circuit_add(mk->work->circuit, a.node, b.node), .depth = fmax(a.depth, b.depth)};
}

/* 1 / (1 - b), b: h/2 J of a state with itself over the population. */
static ddt_status own_inverse(maker *mk, size_t state, solve_value b, solve_value *out) {
    double low = 0.0;
    double high = 0.0;
    solve_value x;
    newton_step_range(mk->work, state, &low, &high);
    double half = 0.5 * (high - low);
    double mid = 0.5 * (high + low);
    x.node = ddt_circuit_affine(mk->work->circuit, &b.node, (double[]){1.0 / half}, 1, -mid / half);
    x.depth = b.depth + 1.0;
    return solve_lower_inverse(mk->work, x, 1.0 - mid, -half, out);
}

static solve_value product_of(maker *mk, solve_value a, solve_value b) {
    if (!exists(a) || !exists(b)) {
        return none();
    }
    return (solve_value){.node = ddt_circuit_mul(mk->work->circuit, a.node, b.node),
                         .depth = 1.0 + fmax(a.depth, b.depth)};
}

/* B = h/2 J, and A = I + h/2 J[t-1]; A = 0 at starts. */
static ddt_status own_jacobians(maker *mk, solve_value *b, solve_value *a) {
    size_t m = mk->m;
    for (size_t i = 0; i < m * m; i++) {
        SOLVE_TRY(weighted_jacobian(mk, i / m, i % m, mk->half_step, &b[i]));
        SOLVE_TRY(weighted_jacobian(mk, i / m, i % m, mk->half_next, &a[i]));
        a[i] = exists(a[i]) ? rotated(mk, a[i], 1) : a[i];
        if (i % (m + 1) == 0) {
            a[i] = sum_of(mk, a[i], solve_public(mk->work, mk->inside, 1.0));
        }
    }
    return DDT_OK;
}

/* Row k of B without the diagonal entry of a stiff state, over 1 - that entry; *inverse: 1 over it, none where it is 1.
 */
static ddt_status own_row(maker *mk, size_t k, solve_value *b, solve_value *inverse) {
    size_t m = mk->m;
    solve_value *diagonal = &b[k * (m + 1)];
    *inverse = none();
    if ((m > 1 && !mk->nw->is_stiff[k]) || !exists(*diagonal)) {
        return DDT_OK;
    }
    SOLVE_TRY(own_inverse(mk, k, *diagonal, inverse));
    *diagonal = none();
    for (size_t c = 0; c < m; c++) {
        b[k * m + c] = product_of(mk, *inverse, b[k * m + c]);
    }
    return DDT_OK;
}

/* G = (I + M + M^2) E and F = G A: see own_step() of newton_numbers.c. */
static ddt_status own_matrices(maker *mk, solve_value *f, solve_value *g) {
    size_t m = mk->m;
    solve_value *b = solve_alloc(mk->work, 2 * m * m + m, sizeof *b);
    if (b == NULL) {
        return DDT_ERR_MEMORY;
    }
    solve_value *a = b + m * m;
    solve_value *inverse = a + m * m;
    SOLVE_TRY(own_jacobians(mk, b, a));
    for (size_t k = 0; k < m; k++) {
        SOLVE_TRY(own_row(mk, k, b, &inverse[k]));
    }
    SOLVE_TRY(multiply(mk, b, b, m, g));
    for (size_t i = 0; i < m * m; i++) {
        solve_value scale = inverse[i % m];
        g[i] = sum_of(mk, g[i], b[i]);
        g[i] = exists(scale) && exists(g[i]) ? product_of(mk, g[i], scale) : g[i];
        g[i] = i % (m + 1) == 0 ? sum_of(mk, g[i], exists(scale) ? scale : one(mk)) : g[i];
    }
    return multiply(mk, g, a, m, f);
}

static void rotate_all(maker *mk, const solve_value *values, size_t count, size_t steps, solve_value *out) {
    for (size_t i = 0; i < count; i++) {
        out[i] = exists(values[i]) ? rotated(mk, values[i], steps) : values[i];
    }
}

/* A round of the scan: g over twice the reach, F too where another round follows. */
static ddt_status own_round(maker *mk, size_t reach, solve_value *f, solve_value *g, solve_value *scratch) {
    size_t m = mk->m;
    solve_value *moved = scratch;
    solve_value *product = scratch + m * m;
    rotate_all(mk, g, m, reach, moved);
    SOLVE_TRY(multiply(mk, f, moved, 1, product));
    for (size_t i = 0; i < m; i++) {
        g[i] = sum_of(mk, g[i], product[i]);
    }
    if (2 * reach < mk->columns) {
        rotate_all(mk, f, m * m, reach, moved);
        SOLVE_TRY(multiply(mk, f, moved, m, product));
        memcpy(f, product, m * m * sizeof *f);
    }
    return DDT_OK;
}

/* delta[t] = F[t] delta[t-1] + g[t] for all t: log2(columns) rounds. */
static ddt_status own_scan(maker *mk, solve_value *f, solve_value *g) {
    solve_value *scratch = solve_alloc(mk->work, 2 * mk->m * mk->m, sizeof *scratch);
    if (scratch == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t reach = 1; reach < mk->columns; reach *= 2) {
        SOLVE_TRY(own_round(mk, reach, f, g, scratch));
    }
    return ddt_circuit_status(mk->work->circuit);
}

static ddt_status own_correction(maker *mk, const solve_value *rho, solve_value *delta) {
    size_t m = mk->m;
    solve_value *f = solve_alloc(mk->work, 2 * m * m, sizeof *f);
    if (f == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(own_matrices(mk, f, f + m * m));
    SOLVE_TRY(multiply(mk, f + m * m, rho, 1, delta));
    return own_scan(mk, f, delta);
}

/* ------------------------------------------------------------------ the typical patient's Jacobian */

/* Entry (i, j) of a matrix per lane and column, in scaled states, as a public vector; none where it is 0 everywhere. */
static solve_value matrix_vector(maker *mk, const double *matrices, size_t i, size_t j) {
    const solve_newton *nw = mk->nw;
    size_t m = mk->m;
    bool any = false;
    double *vector = mk->work->slots;
    memset(vector, 0, mk->lanes * mk->rows * mk->columns * sizeof *vector);
    for (size_t l = 0; l < mk->lanes; l++) {
        for (size_t k = 0; k < nw->grids[l].count; k++) {
            double entry = matrices[(l * nw->columns + k) * m * m + i * m + j] * scale_of(mk, j) / scale_of(mk, i);
            any |= entry != 0.0;
            for (size_t r = 0; r < mk->rows; r++) {
                *slot_of(mk, vector, l, r, k) = entry;
            }
        }
    }
    return any ? (solve_value){.node = ddt_circuit_public(mk->work->circuit, vector)} : none();
}

/* out[t] = left[t] right[t - shift] (0 where that leaves the lane). */
static void shifted_product(const maker *mk, const double *left, const double *right, size_t shift, double *out) {
    size_t m = mk->m;
    for (size_t l = 0; l < mk->lanes; l++) {
        for (size_t k = 0; k < mk->columns; k++) {
            double *to = out + (l * mk->columns + k) * m * m;
            memset(to, 0, m * m * sizeof *to);
            if (k < shift) {
                continue;
            }
            const double *a = left + (l * mk->columns + k) * m * m;
            const double *b = right + (l * mk->columns + k - shift) * m * m;
            newton_multiply(a, b, m, to);
        }
    }
}

/* The matrices of a stage, each lanes x columns x m x m. */
typedef struct stage {
    double *product;   /* of the last k powers */
    double *next;      /* room for the next product */
    double *with_gain; /* room for the product and the gain */
    const double *gain;
} stage;

static ddt_status stage_create(const maker *mk, const double *gain, stage *out) {
    size_t m = mk->m;
    size_t count = mk->lanes * mk->columns * m * m;
    out->product = solve_alloc(mk->work, 3 * count, sizeof *out->product);
    if (out->product == NULL) {
        return DDT_ERR_MEMORY;
    }
    out->next = out->product + count;
    out->with_gain = out->next + count;
    out->gain = gain;
    for (size_t i = 0; i < count; i++) {
        out->product[i] = i % (m * m) % (m + 1) == 0 ? 1.0 : 0.0;
    }
    return DDT_OK;
}

/* Appends P_k[t] in[t - shift] for all states. */
static ddt_status add_stage_terms(maker *mk, const stage *s, size_t shift, const solve_value *value,
                                  solve_pairs *pairs) {
    size_t m = mk->m;
    const double *used = s->product;
    if (s->gain != NULL) {
        shifted_product(mk, s->product, s->gain, shift, s->with_gain);
        used = s->with_gain;
    }
    for (size_t i = 0; i < m * m; i++) {
        solve_value moved = shift == 0 ? value[i / m] : rotated(mk, value[i / m], shift);
        SOLVE_TRY(add_pair(mk, &pairs[i % m], matrix_vector(mk, used, i % m, i / m), moved));
    }
    return DDT_OK;
}

/*
 * A stage: out[t] = sum_{k < radix} P_k[t] in[t - k stride], P_k[t] = product of the last k `power`s. Where `gain` is
 * given (the first stage), in is multiplied by it first. *power becomes the product over the whole radix.
 */
static ddt_status typical_stage(maker *mk, size_t stride, size_t radix, double *power, const double *gain,
                                solve_value *value) {
    size_t bytes = mk->lanes * mk->columns * mk->m * mk->m * sizeof(double);
    stage s;
    solve_pairs *pairs = solve_alloc(mk->work, mk->m, sizeof *pairs);
    SOLVE_TRY(stage_create(mk, gain, &s));
    if (pairs == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t k = 0; k < radix; k++) {
        SOLVE_TRY(add_stage_terms(mk, &s, k * stride, value, pairs));
        shifted_product(mk, s.product, power, k * stride, s.next);
        memcpy(s.product, s.next, bytes);
    }
    memcpy(power, s.product, bytes);
    for (size_t i = 0; i < mk->m; i++) {
        SOLVE_TRY(finish(mk, &pairs[i], &value[i]));
    }
    return ddt_circuit_status(mk->work->circuit);
}

static ddt_status typical_correction(maker *mk, const solve_value *rho, solve_value *delta) {
    size_t count = mk->lanes * mk->columns * mk->m * mk->m;
    double *power = solve_alloc(mk->work, count, sizeof *power);
    if (power == NULL) {
        return DDT_ERR_MEMORY;
    }
    memcpy(power, mk->nw->typical_f, count * sizeof *power);
    memcpy(delta, rho, mk->m * sizeof *rho);
    const double *gain = mk->nw->typical_g;
    for (size_t stride = 1; stride < mk->columns;) {
        size_t radix = mk->columns / stride < NEWTON_RADIX ? mk->columns / stride : NEWTON_RADIX;
        SOLVE_TRY(typical_stage(mk, stride, radix, power, gain, delta));
        gain = NULL;
        stride *= radix;
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ iterations and outputs */

static ddt_status iterate(maker *mk, unsigned iteration) {
    solve_value *rho = solve_alloc(mk->work, 2 * mk->m, sizeof *rho);
    solve_value *delta = rho + mk->m;
    if (rho == NULL) {
        return DDT_ERR_MEMORY;
    }
    bind_states(mk, iteration);
    SOLVE_TRY(make_residual(mk, rho));
    SOLVE_TRY(mk->nw->variant.is_public ? typical_correction(mk, rho, delta) : own_correction(mk, rho, delta));
    for (size_t b = 0; b < mk->m; b++) {
        mk->z[b] = sum_of(mk, mk->z[b], delta[b]);
    }
    return ddt_circuit_status(mk->work->circuit);
}

static ddt_status make_outputs(maker *mk) {
    solve_work *work = mk->work;
    bind_states(mk, mk->nw->variant.iterations);
    for (size_t o = 0; o < work->model->output_count; o++) {
        solve_sum sum = {0};
        solve_value value;
        SOLVE_TRY(solve_lower(work, &work->offset_terms[o], &sum));
        SOLVE_TRY(solve_sum_node(work, &sum, 1.0 / work->output_scale[o], 0.0, &value));
        work->solution->layout.outputs[o].scale = work->output_scale[o];
        ddt_circuit_output(work->circuit, work->solution->layout.outputs[o].name, value.node);
    }
    return ddt_circuit_status(work->circuit);
}

/* p of each state by superposition, in all rows of a lane. */
static ddt_status make_linear_part(maker *mk) {
    SOLVE_TRY(solve_superpose_states(mk->work, mk->nw->is_wanted));
    for (size_t i = 0; i < mk->work->linear.n; i++) {
        mk->p[i] = mk->work->state_values[i];
        SOLVE_TRY(exists(mk->p[i]) ? spread_rows(mk, &mk->p[i]) : DDT_OK);
    }
    return DDT_OK;
}

static ddt_status make_solution(maker *mk) {
    SOLVE_TRY(make_guess(mk));
    for (unsigned i = 0; i < mk->nw->variant.iterations; i++) {
        SOLVE_TRY(iterate(mk, i));
    }
    return make_outputs(mk);
}

/* Modelled rates, durations and private times make what is given depend on the patient. */
static bool gives_amounts(const solve_work *work, const solve_input *input) {
    const bool is_plain = input->giving == SOLVE_GIVING_BOLUS || input->giving == SOLVE_GIVING_RATE;
    return is_plain && !input->omits_f && !work->times.is_private;
}

/* Doses that are the plan's own, where something else is encrypted: public vectors, no inputs. */
static ddt_status publish_doses(solve_work *work) {
    solve_layout *layout = &work->solution->layout;
    if (work->known_from == NULL || layout->input_count == work->dosing_count) {
        return DDT_OK;
    }
    double *amounts = solve_alloc(work, work->newton->record_room, sizeof *amounts);
    if (amounts == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(solve_vectors_create(work, layout->input_count, &work->public_amounts));
    for (size_t l = 0; l < layout->lane_count; l++) {
        const solve_lane *lane = &layout->lanes[l];
        memset(amounts, 0, work->newton->record_room * sizeof *amounts);
        for (size_t row = 0; row < lane->source_count; row++) {
            if (lane->sources[row].input != SOLVE_NONE) {
                (void)newton_knows_amount(work, l, &lane->sources[row], &amounts[lane->sources[row].record]);
            }
        }
        solve_fill_amounts(layout, l, amounts, work->public_amounts);
    }
    for (uint32_t i = 0; i < work->dosing_count; i++) {
        layout->inputs[i].is_public = newton_knows_input(work, i) && gives_amounts(work, &layout->inputs[i]);
    }
    return DDT_OK;
}

ddt_status newton_build(solve_work *work) {
    const double own_floor = 0.1; /* functions of states matter absolutely, not relatively */
    const solve_layout *layout = &work->solution->layout;
    maker mk = {.work = work,
                .nw = work->newton,
                .m = work->newton->m,
                .rows = layout->rows,
                .columns = layout->columns,
                .lanes = layout->lane_count};
    mk.p = solve_alloc(work, work->linear.n, sizeof *mk.p);
    mk.z = solve_alloc(work, mk.m, sizeof *mk.z);
    if (mk.p == NULL || mk.z == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(publish_doses(work));
    SOLVE_TRY(make_vectors(&mk));
    SOLVE_TRY(make_linear_part(&mk));
    double floor = work->precision_floor;
    work->precision_floor = fmax(floor, own_floor);
    ddt_status status = make_solution(&mk);
    work->precision_floor = floor;
    return status;
}

/* ------------------------------------------------------------------ calibration */

static void fill_sample(solve_work *work, size_t lane, size_t sample, double **inputs) {
    const solve_newton *nw = work->newton;
    const solve_layout *layout = &work->solution->layout;
    const double *symbols = work->samples + sample * work->symbol_count;
    const double *amounts = nw->amounts + (lane * nw->samples + sample) * nw->record_room;
    solve_fill_amounts(layout, lane, amounts, inputs);
    for (uint32_t i = 0; i < work->encoding_count; i++) {
        size_t input = work->dosing_count + i;
        if (layout->inputs[input].kind == SOLVE_INPUT_LAST_DOSE) {
            newton_fill_last_dose(work, lane, amounts, work->encodings[i].symbol, input, inputs[input]);
            continue;
        }
        solve_fill_constant(layout, lane,
                            solve_encode_value(&layout->inputs[input], symbols[work->encodings[i].symbol]),
                            inputs[input]);
    }
}

/* Inputs and outputs of the circuit in the clear, and the largest errors so far. */
typedef struct calibration {
    double **inputs, **outputs;
    const double **sent; /* those of the inputs that the circuit has */
    double draw_error, corner_error;
    uint64_t outside; /* values beyond a function's range */
} calibration;

/* One run: lane l holds sample r + l. */
static ddt_status calibrate_once(solve_work *work, size_t r, calibration *c) {
    const solve_newton *nw = work->newton;
    const solve_layout *layout = &work->solution->layout;
    uint64_t violations = 0;
    for (size_t l = 0; l < nw->lanes; l++) {
        fill_sample(work, l, (r + l) % nw->samples, c->inputs);
    }
    solve_sent_of(layout, c->inputs, c->sent);
    SOLVE_TRY(ddt_circuit_calibrate(work->ctx, work->circuit, c->sent, &violations));
    SOLVE_TRY(ddt_circuit_run_clear(work->ctx, work->circuit, c->sent, false, c->outputs));
    c->outside += violations;
    for (size_t l = 0; l < nw->lanes; l++) {
        size_t sample = (r + l) % nw->samples;
        double error = 0.0;
        SOLVE_TRY(newton_compare(work, l, sample, c->outputs, &error));
        double *worst = sample < work->draw_count ? &c->draw_error : &c->corner_error;
        *worst = error <= *worst ? *worst : error;
    }
    return DDT_OK;
}

ddt_status newton_calibrate(solve_work *work, double *draw_error, double *corner_error) {
    enum { ROUNDS_MAX = 64 };
    solve_newton *nw = work->newton;
    calibration c = {0};
    SOLVE_TRY(solve_vectors_create(work, work->solution->layout.input_count, &c.inputs));
    SOLVE_TRY(solve_vectors_create(work, work->model->output_count, &c.outputs));
    c.sent = solve_alloc(work, work->solution->layout.input_count + 1, sizeof *c.sent);
    if (c.sent == NULL) {
        return DDT_ERR_MEMORY;
    }
    size_t stride = nw->samples > ROUNDS_MAX ? nw->samples / ROUNDS_MAX : 1;
    for (size_t r = 0; r < nw->samples; r += stride) {
        SOLVE_TRY(calibrate_once(work, r, &c));
        SOLVE_TRY(ddt_progress(work->ctx, "solve", r + 1, nw->samples));
    }
    nw->violations = c.outside;
    *draw_error = c.draw_error;
    *corner_error = c.corner_error;
    return DDT_OK;
}
