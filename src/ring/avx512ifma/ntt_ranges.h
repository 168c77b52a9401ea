/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which residues of an inverse transform are reduced where, and what multiples of q they carry: the arithmetic of the
 * ranges that ntt_inverse.c describes, without the residues. The kernels evaluate it when they are compiled; a test
 * follows it through whole transforms.
 */
#ifndef DDT_RING_AVX512IFMA_NTT_RANGES_H
#define DDT_RING_AVX512IFMA_NTT_RANGES_H

#include <stdbool.h>

#define DDT_RANGE static inline __attribute__((always_inline, const))

/* How a size of moduli is treated. */
typedef struct ntt_form {
    int window; /* 2^52 / q is at least that */
    int rows;   /* width of residues that enter a tail's rows */
    int narrow; /* width of residues that enter a group at narrow places */
    int wide;   /* and at wide ones; the same where there is one kind only */
} ntt_form;

#define NTT_FORM_46 ((ntt_form){64, 8, 8, 8}) /* and less */
#define NTT_FORM_48 ((ntt_form){16, 2, 2, 4}) /* and 47 */
#define NTT_FORM_49 ((ntt_form){8, 2, 2, 4})
#define NTT_FORM_50 ((ntt_form){4, 2, 2, 2})

enum { FRESH = 2 }; /* width of products and of what has been reduced */

enum { ROW_LAYERS = 4 };

/* The layers between lanes as a group of their own, which the rows follow. */
DDT_RANGE ntt_form ntt_lanes(ntt_form f) { return (ntt_form){f.window, f.rows, f.rows, f.rows}; }

/*
 * How many sums in a row a residue of some width is part of, from layer `layer` of a group on, before one is reduced or
 * leaves. (Spelled out, not looped: these functions have to vanish when the code is compiled.)
 */
DDT_RANGE int ntt_sums_in_a_row(ntt_form f, int width, int layer, int layers) {
    const bool two = layer + 1 < layers && 4 * width <= f.window;
    const bool three = two && layer + 2 < layers && 8 * width <= f.window;
    const bool four = three && layer + 3 < layers && 16 * width <= f.window;
    return 1 + two + three + four;
}

/*
 * The lower bound, in q, that a residue of some width at a position needs for the sums of its group that follow, from
 * layer `layer` on. W = 1 with three layers: the pairs of the first layer sum up to 3, -1, 1 and -3, which the lower
 * residue brings where that is positive and the upper one where it is negative.
 */
DDT_RANGE int ntt_lower_bound(ntt_form f, int width, int position, int layer, int layers) {
    const int n = ntt_sums_in_a_row(f, width, layer, layers);
    const int bits = (position >> layer) & ((1 << n) - 1);
    if (width == 1 && n == 3) {
        const int sum = (bits >> 1) == 0 ? 3 : (bits >> 1) == 1 ? -1 : (bits >> 1) == 2 ? 1 : -3;
        return (bits & 1) == (sum < 0) ? sum : 0;
    }
    return width * (n - 2 * __builtin_popcount((unsigned)bits)) / 2;
}

/* Width of what layer `layer` makes at a position from residues of some width, when another layer follows. */
DDT_RANGE int ntt_next_width(ntt_form f, int width, int position, int layer) {
    const bool is_product = (position >> layer) % 2 == 0;
    return is_product || 4 * width > f.window ? FRESH : 2 * width;
}

/* Width of the sum that layer `layer` makes at a position of a group that was entered with width `entry`. */
DDT_RANGE int ntt_sum_width(ntt_form f, int entry, int position, int layer) {
    int width = entry;
    width = layer > 0 ? ntt_next_width(f, width, position, 0) : width;
    width = layer > 1 ? ntt_next_width(f, width, position, 1) : width;
    width = layer > 2 ? ntt_next_width(f, width, position, 2) : width;
    return 2 * width;
}

/* Whether the sum that layer `layer` of a group makes at a position is reduced. */
DDT_RANGE bool ntt_is_reduced(ntt_form f, int entry, int position, int layer, int layers) {
    const int width = ntt_sum_width(f, entry, position, layer);
    return layer + 1 < layers ? 2 * width > f.window : width > f.wide;
}

DDT_RANGE bool ntt_leaves_wide(ntt_form f, int entry, int position, int layers) {
    const bool is_product = (position >> (layers - 1)) % 2 == 0;
    return !is_product && !ntt_is_reduced(f, entry, position, layers - 1, layers) &&
           ntt_sum_width(f, entry, position, layers - 1) > f.narrow;
}

/* Whether a position of a group is a wide place for the next one. widest: of the widths that the group is entered with.
 */
DDT_RANGE bool ntt_is_wide(ntt_form f, int widest, int position, int layers) {
    return ntt_leaves_wide(f, f.narrow, position, layers) || ntt_leaves_wide(f, widest, position, layers);
}

/*
 * Where a fresh residue of layer `layer` gets its lower bound from: `near`, what the sums of its own group need, plus
 * the part that the next group needs, divided by 2^halvings, as every sum on the way out doubles it (halvings < 0:
 * none, as the last of these sums is reduced). place: whether it leaves at a wide place.
 */
typedef struct ntt_target {
    int near;
    int halvings;
    bool place;
} ntt_target;

DDT_RANGE ntt_target ntt_target_of(ntt_form f, int widest, int position, int layer, int layers) {
    const int left = layers - 1 - layer;
    const int way_out = position | (((1 << left) - 1) << (layer + 1));
    const bool place = ntt_is_wide(f, widest, way_out, layers);
    if (left == 0) {
        return (ntt_target){0, 0, place};
    }
    const int n = ntt_sums_in_a_row(f, FRESH, layer + 1, layers);
    const bool leaves = n == left && (FRESH << n) <= f.wide;
    return (ntt_target){ntt_lower_bound(f, FRESH, position, layer + 1, layers), leaves ? n : -1, place};
}

#endif
