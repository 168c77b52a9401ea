/*
 * Entries of an approximated matrix exponential as nodes, built only when asked for: P_0 = first z + shift, P_i =
 * P_(i-1)^2 + linear z + constant, then plain squarings. Structural zeros cost nothing, public entries (constants)
 * nothing under encryption.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

ddt_status solve_matrix_create(solve_work *work, const solve_exponential *exponential, size_t n, const double *time,
                               solve_matrix *out) {
    *out = (solve_matrix){.work = work, .exponential = exponential, .n = n, .time = time};
    out->levels = exponential->scheme->steps + exponential->squarings;
    out->rates = solve_alloc(work, n * n, sizeof *out->rates);
    out->factors = solve_alloc(work, n * n, sizeof *out->factors);
    out->entries = solve_alloc(work, (out->levels + 1) * n * n, sizeof *out->entries);
    out->is_built = solve_alloc(work, (out->levels + 1) * n * n, sizeof *out->is_built);
    out->is_nonzero = solve_alloc(work, (out->levels + 1) * n * n, sizeof *out->is_nonzero);
    return out->rates == NULL || out->factors == NULL || out->entries == NULL || out->is_built == NULL ||
                   out->is_nonzero == NULL
               ? DDT_ERR_MEMORY
               : DDT_OK;
}

/* now = before + before^2, of entries that are there or not. */
static void square_structure(const bool *before, size_t n, bool *now) {
    for (size_t at = 0; at < n * n; at++) {
        size_t i = at / n;
        size_t j = at % n;
        now[at] = before[at];
        for (size_t k = 0; k < n; k++) {
            now[at] |= before[i * n + k] && before[k * n + j];
        }
    }
}

/* Which entries of each P can differ from 0. */
void solve_matrix_structure(solve_matrix *m) {
    size_t n = m->n;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            m->is_nonzero[i * n + j] = i == j || m->rates[i * n + j].count > 0;
        }
    }
    for (size_t level = 1; level <= m->levels; level++) {
        square_structure(m->is_nonzero + (level - 1) * n * n, n, m->is_nonzero + level * n * n);
    }
}

bool solve_matrix_nonzero(const solve_matrix *m, size_t level, size_t i, size_t j) {
    return m->is_nonzero[(level * m->n + i) * m->n + j];
}

/* Adds coefficient * z_ij, where z is the matrix times each slot's time. */
static ddt_status add_rate(const solve_matrix *m, size_t i, size_t j, double coefficient, solve_pairs *pairs) {
    size_t at = i * m->n + j;
    if (coefficient == 0.0) {
        return DDT_OK;
    }
    double step = ldexp(coefficient, -(int)m->exponential->squarings);
    if (m->time != NULL) {
        return solve_sum_pairs(m->work, &m->rates[at], m->time, step * m->factors[at], pairs);
    }
    return solve_sum_times(m->work, &m->rates[at], m->time_value, step * m->time_unit * m->factors[at], pairs);
}

static ddt_status add_scaled(const solve_matrix *m, double coefficient, solve_value value, solve_pairs *pairs) {
    return coefficient == 0.0 ? DDT_OK : solve_pairs_add(m->work, pairs, value, solve_constant(m->work, coefficient));
}

/* Adds mix * (P_k)_ij. */
static ddt_status add_earlier(solve_matrix *m, size_t k, size_t i, size_t j, double mix, solve_pairs *pairs) {
    solve_value earlier;
    if (mix == 0.0 || !solve_matrix_nonzero(m, k, i, j)) {
        return DDT_OK;
    }
    SOLVE_TRY(solve_matrix_entry(m, k, i, j, &earlier));
    return add_scaled(m, mix, earlier, pairs);
}

ddt_status solve_matrix_rest(solve_matrix *m, size_t level, size_t i, size_t j, solve_pairs *pairs) {
    const solve_scheme *scheme = m->exponential->scheme;
    solve_value one = solve_constant(m->work, 1.0);
    if (level == 0) {
        SOLVE_TRY(add_rate(m, i, j, scheme->first, pairs));
        return i == j ? add_scaled(m, scheme->shift, one, pairs) : DDT_OK;
    }
    if (level > scheme->steps) {
        return DDT_OK;
    }
    SOLVE_TRY(add_rate(m, i, j, scheme->linear[level - 1], pairs));
    SOLVE_TRY(i == j ? add_scaled(m, scheme->constant[level - 1], one, pairs) : DDT_OK);
    for (size_t k = 1; k <= SOLVE_SCHEME_MIX_MAX && k + 1 < level; k++) {
        SOLVE_TRY(add_earlier(m, k, i, j, scheme->mix[level - 1][k - 1], pairs));
    }
    return DDT_OK;
}

/* Adds P_ik P_kj of a level. */
static ddt_status add_product(solve_matrix *m, size_t level, size_t i, size_t k, size_t j, solve_pairs *pairs) {
    solve_value a;
    solve_value b;
    SOLVE_TRY(solve_matrix_entry(m, level, i, k, &a));
    SOLVE_TRY(solve_matrix_entry(m, level, k, j, &b));
    return solve_pairs_add(m->work, pairs, a, b);
}

static ddt_status build(solve_matrix *m, size_t level, size_t i, size_t j, solve_value *out) {
    solve_pairs pairs = {0};
    for (size_t k = 0; level > 0 && k < m->n; k++) {
        bool both = solve_matrix_nonzero(m, level - 1, i, k) && solve_matrix_nonzero(m, level - 1, k, j);
        SOLVE_TRY(both ? add_product(m, level - 1, i, k, j, &pairs) : DDT_OK);
    }
    SOLVE_TRY(solve_matrix_rest(m, level, i, j, &pairs));
    SOLVE_TRY(solve_pairs_node(m->work, &pairs, out));
    if (m->work->refresh_bound > 0.0 && level > 0) {
        out->node = ddt_circuit_refresh(m->work->circuit, out->node, m->work->refresh_bound);
    }
    return ddt_circuit_status(m->work->circuit);
}

ddt_status solve_matrix_entry(solve_matrix *m, size_t level, size_t i, size_t j, solve_value *out) {
    size_t at = (level * m->n + i) * m->n + j;
    if (!m->is_built[at]) {
        SOLVE_TRY(build(m, level, i, j, &m->entries[at]));
        m->is_built[at] = true;
    }
    *out = m->entries[at];
    return DDT_OK;
}
