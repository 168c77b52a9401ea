/* Whether the lazily reduced residues of the IFMA kernels' inverse transforms keep within what the multipliers take:
 * intervals of all residues, followed through every layer by the kernels' own rules. No AVX-512 is needed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ring_test.h"

#include "avx512ifma/ntt_ranges.h"

#include <stdlib.h>

enum {
    LANE_LAYERS = 3,
    LOG_TAIL = LANE_LAYERS + ROW_LAYERS,
    SWEEPS_MAX = 3,
    GROUPS_MAX = 2 + SWEEPS_MAX,
    LOG_N_MAX = 17
};
enum { BOUND_MAX = 12 }; /* as in ntt_inverse.c */

/* In multiples of the modulus: residues are in [from, to) times q. */
typedef struct interval {
    int from;
    int to;
} interval;

/* A group of layers: those that join places that differ in bits first ... first + layers - 1. */
typedef struct layer_group {
    ntt_form f;
    int first;
    int layers;
    int widest;
} layer_group;

typedef struct transform {
    ntt_form f;
    layer_group groups[GROUPS_MAX];
    size_t count;
    int log_n;
    interval *residues;
} transform;

static int position(const layer_group *g, size_t x) { return (int)((x >> g->first) & ((1U << g->layers) - 1)); }

/* The width that group i is entered with at a place, as the kernels see it. */
static int entry_width(const transform *t, size_t i, size_t x) {
    if (i < 2) {
        return i == 0 ? 1 : t->f.rows;
    }
    const layer_group *before = &t->groups[i - 1];
    return ntt_is_wide(t->f, before->widest, position(before, x), before->layers) ? t->f.wide : t->f.narrow;
}

/* What the group after group i needs of residues that enter it at a place of one of two kinds. */
static int next_bound(const transform *t, size_t i, size_t x, bool at_wide) {
    if (i + 1 == t->count) {
        return 0; /* scaling takes sums from 0 on */
    }
    const layer_group *next = &t->groups[i + 1];
    const int width = i == 0 ? t->f.rows : at_wide ? t->f.wide : t->f.narrow;
    return ntt_lower_bound(t->f, width, position(next, x), 0, next->layers);
}

/* What a product or a reduced sum becomes. */
static interval fresh(const transform *t, size_t i, int layer, size_t x) {
    const layer_group *g = &t->groups[i];
    const ntt_target at = ntt_target_of(g->f, g->widest, position(g, x), layer, g->layers);
    int bound = at.near;
    if (at.halvings >= 0) {
        const int next = next_bound(t, i, x, at.place);
        assert_int_equal(next % (1 << at.halvings), 0);
        bound += next / (1 << at.halvings);
    }
    assert_true(-BOUND_MAX <= bound && bound <= BOUND_MAX);
    return (interval){bound, bound + FRESH};
}

static void check_butterfly(const transform *t, size_t i, int layer, size_t x, size_t y) {
    const layer_group *g = &t->groups[i];
    const interval low = t->residues[x];
    const interval high = t->residues[y];
    const interval sum = {low.from + high.from, low.to + high.to};
    const bool last = i + 1 == t->count && layer + 1 == g->layers;
    assert_true(low.from >= high.to);
    assert_true(low.to - high.from <= t->f.window);
    t->residues[x] = fresh(t, i, layer, x);
    t->residues[y] = sum;
    if (last || ntt_is_reduced(g->f, entry_width(t, i, y), position(g, y), layer, g->layers)) {
        assert_true(sum.from >= 0);
        assert_true(sum.to <= t->f.window);
        t->residues[y] = fresh(t, i, layer, y);
    } else if (i == 0 && layer + 1 == g->layers && position(g, y) == (1 << g->layers) - 1) {
        const int bias = next_bound(t, i, y, false); /* see leave_lanes() */
        t->residues[y] = (interval){sum.from + bias, sum.to + bias};
    }
}

/* Lanes, rows, and the sweeps backwards, the last one of `layers` first. */
static void set_groups(transform *t, ntt_form f, const int *layers, size_t sweeps) {
    t->f = f;
    t->groups[0] = (layer_group){ntt_lanes(f), 0, LANE_LAYERS, f.rows};
    t->groups[1] = (layer_group){f, LANE_LAYERS, ROW_LAYERS, f.rows};
    t->count = 2;
    t->log_n = LOG_TAIL;
    for (size_t s = sweeps; s-- > 0;) {
        t->groups[t->count++] = (layer_group){f, t->log_n, layers[s], f.wide};
        t->log_n += layers[s];
    }
}

static void check_layer(const transform *t, size_t i, int layer) {
    const size_t half = (size_t)1 << (t->groups[i].first + layer);
    for (size_t x = 0; x < (size_t)1 << t->log_n; x++) {
        if ((x & half) == 0) {
            check_butterfly(t, i, layer, x, x + half);
        }
    }
}

static void check_transform(ntt_form f, const int *layers, size_t sweeps) {
    transform t;
    set_groups(&t, f, layers, sweeps);
    if (t.log_n > LOG_N_MAX) {
        return;
    }
    const size_t n = (size_t)1 << t.log_n;
    t.residues = malloc(n * sizeof *t.residues);
    assert_non_null(t.residues);
    for (size_t x = 0; x < n; x++) {
        const int bound = ntt_lower_bound(f, 1, position(&t.groups[0], x), 0, LANE_LAYERS);
        t.residues[x] = (interval){bound, bound + 1};
    }
    for (size_t i = 0; i < t.count; i++) {
        for (int layer = 0; layer < t.groups[i].layers; layer++) {
            check_layer(&t, i, layer);
        }
    }
    free(t.residues);
}

/* Every way to cut layers into sweeps of two to four that the degrees have room for. */
static void check_form(ntt_form f) {
    int layers[SWEEPS_MAX];
    for (layers[0] = 2; layers[0] <= 4; layers[0]++) {
        check_transform(f, layers, 1);
        for (layers[1] = 2; layers[1] <= 4; layers[1]++) {
            check_transform(f, layers, 2);
            for (layers[2] = 2; layers[2] <= 4; layers[2]++) {
                check_transform(f, layers, 3);
            }
        }
    }
}

static void test_46(void **state) {
    (void)state;
    check_form(NTT_FORM_46);
}
static void test_48(void **state) {
    (void)state;
    check_form(NTT_FORM_48);
}
static void test_49(void **state) {
    (void)state;
    check_form(NTT_FORM_49);
}
static void test_50(void **state) {
    (void)state;
    check_form(NTT_FORM_50);
}

/* Reduced sums of a layer. */
static size_t count_reduced(const transform *t, size_t i, int layer) {
    const layer_group *g = &t->groups[i];
    const size_t half = (size_t)1 << (g->first + layer);
    size_t reduced = 0;
    for (size_t x = 0; x < (size_t)1 << t->log_n; x++) {
        reduced += (x & half) != 0 && ntt_is_reduced(g->f, entry_width(t, i, x), position(g, x), layer, g->layers);
    }
    return reduced;
}

/* A third of the sums and no more is reduced with a window of 8, where one width would take half of them. The last
 * layer's are scaled. */
static void test_share(void **state) {
    (void)state;
    const int layers[] = {3, 3, 3};
    transform t;
    set_groups(&t, NTT_FORM_49, layers, SWEEPS_MAX);
    size_t reduced = 0;
    for (size_t i = 0; i < t.count; i++) {
        for (int layer = 0; layer < t.groups[i].layers - (i + 1 == t.count ? 1 : 0); layer++) {
            reduced += count_reduced(&t, i, layer);
        }
    }
    const size_t sums = (size_t)(t.log_n - 1) << (t.log_n - 1);
    assert_true(3 * reduced <= sums);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_46), cmocka_unit_test(test_48),    cmocka_unit_test(test_49),
        cmocka_unit_test(test_50), cmocka_unit_test(test_share),
    };
    return cmocka_run_group_tests(tests, make_context, free_context);
}
