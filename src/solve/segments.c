/*
 * Rates that change from segment to segment: segment j of a block holds E_j = exp(A_j t_j), and the transition over
 * all of them is the product E_(J-1) ... E_1 E_0, in order, by doubling: each round multiplies what stands `reach`
 * segments further by what stands here. Only segment 0 of the result is of use. The last product is never formed: its
 * upper factor is applied to what the lower one makes of the sources. With one segment the same two factors are those
 * of the exponential's own last squaring.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

static size_t entry_at(const solve_segments *s, size_t round, size_t i, size_t j) {
    return (round * s->exponential->n + i) * s->exponential->n + j;
}

static void find_structure(solve_segments *s) {
    size_t n = s->exponential->n;
    for (size_t i = 0; i < n * n; i++) {
        s->is_nonzero[i] = solve_matrix_nonzero(s->exponential, s->exponential->levels, i / n, i % n);
    }
    for (size_t round = 1; round < s->rounds; round++) {
        const bool *before = s->is_nonzero + (round - 1) * n * n;
        for (size_t i = 0; i < n * n; i++) {
            bool *now = &s->is_nonzero[round * n * n + i];
            for (size_t k = 0; k < n; k++) {
                *now |= before[i / n * n + k] && before[k * n + i % n];
            }
        }
    }
}

ddt_status solve_segments_create(solve_work *work, solve_matrix *exponential, solve_segments *out) {
    const solve_layout *layout = &work->solution->layout;
    size_t count = exponential->n * exponential->n;
    *out = (solve_segments){.exponential = exponential, .stride = (int64_t)(layout->rows * layout->columns)};
    while ((size_t)1 << out->rounds < layout->segments) {
        out->rounds++;
    }
    if (out->rounds == 0) {
        return DDT_OK;
    }
    out->entries = solve_alloc(work, out->rounds * count, sizeof *out->entries);
    out->is_built = solve_alloc(work, out->rounds * count, sizeof *out->is_built);
    out->is_nonzero = solve_alloc(work, out->rounds * count, sizeof *out->is_nonzero);
    if (out->entries == NULL || out->is_built == NULL || out->is_nonzero == NULL) {
        return DDT_ERR_MEMORY;
    }
    find_structure(out);
    return DDT_OK;
}

static ddt_status entry_of(solve_segments *s, size_t round, size_t i, size_t j, solve_value *out);

/* An entry of the product of 2^round segments, 2^round segments further on. */
static ddt_status turned_entry(solve_segments *s, size_t round, size_t i, size_t k, solve_value *out) {
    SOLVE_TRY(entry_of(s, round, i, k, out));
    ddt_circuit *circuit = s->exponential->work->circuit;
    out->node = ddt_circuit_rotate(circuit, out->node, s->stride * ((int64_t)1 << round));
    return ddt_circuit_status(circuit);
}

/* Appends (product further on)_ik (product)_kj of the round before. Equal rotations are built once (hash-consing). */
static ddt_status add_product(solve_segments *s, size_t round, size_t i, size_t k, size_t j, solve_pairs *pairs) {
    solve_value later;
    solve_value earlier;
    SOLVE_TRY(turned_entry(s, round - 1, i, k, &later));
    SOLVE_TRY(entry_of(s, round - 1, k, j, &earlier));
    return solve_pairs_add(s->exponential->work, pairs, later, earlier);
}

static ddt_status build_entry(solve_segments *s, size_t round, size_t i, size_t j, solve_value *out) {
    solve_pairs pairs = {0};
    for (size_t k = 0; k < s->exponential->n; k++) {
        bool exists = s->is_nonzero[entry_at(s, round - 1, i, k)] && s->is_nonzero[entry_at(s, round - 1, k, j)];
        SOLVE_TRY(exists ? add_product(s, round, i, k, j, &pairs) : DDT_OK);
    }
    return solve_pairs_node(s->exponential->work, &pairs, out);
}

static ddt_status entry_of(solve_segments *s, size_t round, size_t i, size_t j, solve_value *out) {
    size_t at = entry_at(s, round, i, j);
    if (round == 0) {
        return solve_matrix_entry(s->exponential, s->exponential->levels, i, j, out);
    }
    if (!s->is_built[at]) {
        SOLVE_TRY(build_entry(s, round, i, j, &s->entries[at]));
        s->is_built[at] = true;
    }
    *out = s->entries[at];
    return DDT_OK;
}

ddt_status solve_segments_entry(solve_segments *s, bool is_upper, size_t i, size_t j, solve_value *out) {
    if (s->rounds == 0) {
        return solve_matrix_entry(s->exponential, s->exponential->levels - 1, i, j, out);
    }
    return is_upper ? turned_entry(s, s->rounds - 1, i, j, out) : entry_of(s, s->rounds - 1, i, j, out);
}

bool solve_segments_nonzero(const solve_segments *s, size_t i, size_t j) {
    return s->rounds == 0 ? solve_matrix_nonzero(s->exponential, s->exponential->levels - 1, i, j)
                          : s->is_nonzero[entry_at(s, s->rounds - 1, i, j)];
}
