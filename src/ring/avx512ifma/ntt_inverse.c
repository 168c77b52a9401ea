/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inverse NTT with IFMA.
 *
 * Order. Everything runs backwards: the tails first, sweeps from the last to the first, and the vectors of a group are
 * loaded in the reverse order. That makes the mirrored twiddles (see ntt.h) come out in their natural order, and their
 * minus sign swaps the two residues of a difference: a butterfly takes (low, high), positions p and p + h of the
 * reversed group, to ((low - high) w, low + high).
 *
 * Ranges. A product lies in [-q, q) and starts afresh; a sum is twice as wide as its terms. Say that a residue has the
 * width W and the lower bound L when it lies in [L q, (L + W) q). Both terms of a butterfly have the same W, and their
 * lower bounds differ by at least W, low's being the larger: then low - high is never negative and stays below 2W q,
 * which must not exceed M = 2^52 / q, the window. A sum that the next layer could not take is reduced, which wants it
 * nonnegative. Up to there, n sums in a row, lower bounds follow from the place of the residue: with r_i = 1 where it
 * is low in the i-th layer to come and -1 where it is high,
 *
 *     L = W / 2 (r_0 + r_1 + ... + r_(n-1)).
 *
 * The two terms of the i-th layer, sums of 2^i residues each, then differ by 2^i W, as they must, and the last sum has
 * the lower bound 0. All of that is known when the code is compiled, and costs nothing: a product's accumulator starts
 * from its lower bound, and a reduction leaves one. Where sums leave a group of layers unreduced, what the next group
 * needs of them is put into what they are sums of, over 2, 4, ... Only the sum of all residues of a lane has nothing to
 * put it into, and is added to. The first layers of all, between lanes, have W = 1 and need L to be whole.
 *
 * Groups are entered with one width, or with two, which depend on the place in the group before: code for the narrow
 * ones and for the wide ones. Two widths leave the optimum: with M = 8 every second sum in a row is reduced, a third of
 * all, where a single width takes half of them. ntt_ranges.h has the rules; tests/ring/test_ranges.c follows them
 * through whole transforms.
 *
 * Reductions are either two multiply-adds (quotient and remainder, to a width of 2) or a shift, a look-up and a
 * subtraction (see ddt_avx512ifma_multiples(); the width is 2 where that is checked): the former where they are few,
 * where groups end and in the tails, which are full of shuffles, the latter where multipliers have no slot left.
 */
#include "ntt.h"
#include "ntt_ranges.h"

#include "../scalar/scalar_kernels.h"

#include <string.h>

typedef ntt_form form;

enum { GROUP_LAYERS_MAX = 4, BOUND_MAX = 12, BOUNDS = 2 * BOUND_MAX + 1 };

/* What gives results of a group their lower bound. */
typedef struct destination {
    vec start;     /* to products */
    vec quotient;  /* to sums that are reduced, what their quotient starts from */
    vec multiples; /* or what is subtracted, by their three highest bits */
} destination;

typedef struct basics {
    vec minus_q; /* mod 2^52 */
    vec one;
    vec mask; /* 2^52 - 1 */
    vec q;
    vec quotient; /* floor(2^52 / q) */
} basics;

/* Destinations of the layers between lanes, whose results get different lower bounds in each lane. */
typedef struct lane_destinations {
    destination whole;
    destination halves[3];
    destination quarters[5];
    vec bias;
} lane_destinations;

typedef struct constants {
    basics b;
    destination within[BOUNDS]; /* lower bounds -BOUND_MAX ... BOUND_MAX */
    lane_destinations lanes[2]; /* the tail's first eight rows and its last eight */
    uint64_t head[4];           /* pairs of the last layer: of 1/N for sums, of root/N for differences */
} constants;

/* Where results of a group get their lower bounds from, see ntt_target_of(): indices are these bounds, by place. */
typedef struct targets {
    const destination *near;
    const destination *whole[2];
    const destination *half[2];
    const destination *quarter[2];
} targets;

/* ------------------------------------------------------------------ butterflies */

/* Two butterflies side by side; about the order of the instructions see ntt_forward.c. */
#define BUTTERFLIES(broadcast)                                                                                         \
    "vpsubq %[h1], %[l1], %[d1]\n\t"                                                                                   \
    "vpsubq %[h2], %[l2], %[d2]\n\t"                                                                                   \
    "vmovdqa64 %[one], %[m1]\n\t"                                                                                      \
    "vmovdqa64 %[one], %[m2]\n\t"                                                                                      \
    "vpaddq %[h1], %[l1], %[h1]\n\t"                                                                                   \
    "vpaddq %[h2], %[l2], %[h2]\n\t"                                                                                   \
    "vpmadd52huq %[i1]" broadcast ", %[d1], %[m1]\n\t"                                                                 \
    "vpmadd52huq %[i2]" broadcast ", %[d2], %[m2]\n\t"                                                                 \
    "vmovdqa64 %[start1], %[l1]\n\t"                                                                                   \
    "vmovdqa64 %[start2], %[l2]\n\t"                                                                                   \
    "vpmadd52luq %[w1]" broadcast ", %[d1], %[l1]\n\t"                                                                 \
    "vpmadd52luq %[w2]" broadcast ", %[d2], %[l2]\n\t"                                                                 \
    "vpmadd52luq %[minus], %[m1], %[l1]\n\t"                                                                           \
    "vpmadd52luq %[minus], %[m2], %[l2]\n\t"
#define RUN_BUTTERFLIES(broadcast, ...)                                                                                \
    vec u1 = *low1, u2 = *low2, v1 = *high1, v2 = *high2, m1, m2, d1, d2;                                              \
    __asm__(                                                                                                           \
        BUTTERFLIES(broadcast)                                                                                         \
        : [l1] "+v"(u1), [h1] "+v"(v1), [l2] "+v"(u2), [h2] "+v"(v2), [m1] "=&v"(m1), [m2] "=&v"(m2), [d1] "=&v"(d1),  \
          [d2] "=&v"(d2)                                                                                               \
        : __VA_ARGS__, [start1] "vm"(*start1), [start2] "vm"(*start2), [minus] "v"(c->minus_q), [one] "v"(c->one));    \
    *low1 = u1, *low2 = u2, *high1 = v1, *high2 = v2

/* Butterflies (low1, high1) by the pair at t1 and (low2, high2) by the pair at t2; products are added to start. */
DDT_INLINE void butterflies(vec *low1, vec *high1, const uint64_t *t1, const vec *start1, vec *low2, vec *high2,
                            const uint64_t *t2, const vec *start2, const basics *c) {
    RUN_BUTTERFLIES("%{1to8%}", [w1] "m"(t1[0]), [i1] "m"(t1[1]), [w2] "m"(t2[0]), [i2] "m"(t2[1]));
}

/* The same with twiddles for each lane. */
DDT_INLINE void lane_butterflies(vec *low1, vec *high1, twiddle t1, const vec *start1, vec *low2, vec *high2,
                                 twiddle t2, const vec *start2, const basics *c) {
    RUN_BUTTERFLIES("", [w1] "v"(t1.w), [i1] "v"(t1.quotient), [w2] "v"(t2.w), [i2] "v"(t2.quotient));
}

/* Two nonnegative sums to the lower bound and a width of 2. */
DDT_INLINE void reduce(vec *a, const destination *to_a, vec *b, const destination *to_b, const basics *c,
                       bool look_up) {
    vec x = *a, y = *b, e, f;
    if (look_up) {
        __asm__("vpsrlq %[bits], %[x], %[e]\n\t"
                "vpsrlq %[bits], %[y], %[f]\n\t"
                "vpermq %[to_x], %[e], %[e]\n\t"
                "vpermq %[to_y], %[f], %[f]\n\t"
                "vpsubq %[e], %[x], %[x]\n\t"
                "vpsubq %[f], %[y], %[y]\n\t"
                : [x] "+v"(x), [y] "+v"(y), [e] "=&v"(e), [f] "=&v"(f)
                : [to_x] "m"(to_a->multiples), [to_y] "m"(to_b->multiples), [bits] "i"(MULTIPLE_BITS));
    } else {
        __asm__("vmovdqa64 %[to_x], %[e]\n\t"
                "vmovdqa64 %[to_y], %[f]\n\t"
                "vpmadd52huq %[quotient], %[x], %[e]\n\t"
                "vpmadd52huq %[quotient], %[y], %[f]\n\t"
                "vpmadd52luq %[minus], %[e], %[x]\n\t"
                "vpmadd52luq %[minus], %[f], %[y]\n\t"
                : [x] "+v"(x), [y] "+v"(y), [e] "=&v"(e), [f] "=&v"(f)
                : [to_x] "m"(to_a->quotient), [to_y] "m"(to_b->quotient), [quotient] "v"(c->quotient),
                  [minus] "v"(c->minus_q));
    }
    *a = x;
    *b = y;
}

DDT_INLINE void reduce_one(vec *a, const destination *to, const basics *c, bool look_up) {
    if (look_up) {
        *a = sub(*a, _mm512_permutexvar_epi64(_mm512_srli_epi64(*a, MULTIPLE_BITS), to->multiples));
    } else {
        *a = add_low(*a, add_high(to->quotient, *a, c->quotient), c->minus_q);
    }
}

/* ------------------------------------------------------------------ groups: 2^k vectors in registers */

/* A loop keeps what products start from in registers, the rest stays in memory. */
typedef struct exits {
    targets products;
    targets sums;
} exits;

/* A group: its layers, the width it is entered with, and the widest that it may be. */
typedef struct group {
    form f;
    int layers;
    int entry;
    int widest;
    bool look_up;
} group;

/* What gives a position its lower bound for what follows layer `layer` of the group. */
DDT_INLINE const destination *target(group g, int position, int layer, const targets *to) {
    const ntt_target at = ntt_target_of(g.f, g.widest, position, layer, g.layers);
    return (at.halvings < 0    ? to->near
            : at.halvings == 0 ? to->whole[at.place]
            : at.halvings == 1 ? to->half[at.place]
                               : to->quarter[at.place]) +
           at.near;
}

/* Makes two sums of layer `layer`, at positions p and r, what the next layer or the next group wants. */
DDT_INLINE void settle_sums(group g, vec *v, int layer, int p, int r, const exits *to, const basics *c) {
    const bool reduce_p = ntt_is_reduced(g.f, g.entry, p, layer, g.layers);
    const bool reduce_r = ntt_is_reduced(g.f, g.entry, r, layer, g.layers);
    /* both kinds in turn leave neither shuffles nor multipliers idle */
    const bool look_up = g.look_up && layer + 1 < g.layers;
    if (reduce_p && reduce_r) {
        reduce(&v[p], target(g, p, layer, &to->sums), &v[r], target(g, r, layer, &to->sums), c, look_up);
    } else if (reduce_p) {
        reduce_one(&v[p], target(g, p, layer, &to->sums), c, look_up);
    } else if (reduce_r) {
        reduce_one(&v[r], target(g, r, layer, &to->sums), c, look_up);
    }
}

/*
 * Which butterflies go side by side in step `step` of a layer of `count`: such whose sums are both reduced or both not,
 * as long as one of the next layers tells them apart; in the last layer, neighbours.
 */
DDT_INLINE int first_of_step(int step, int half, int count) { return half < count ? step : 2 * step; }
DDT_INLINE int second_of_step(int step, int half, int count) { return half < count ? step + count / 2 : 2 * step + 1; }

/* Butterflies n and m of layer `layer` of a group. */
DDT_INLINE void group_step(group g, vec *v, int layer, int n, int m, const uint64_t *t, const basics *c,
                           const exits *to) {
    const int half = 1 << layer;
    const uint64_t *pairs = t + 2 * ((1 << (g.layers - 1 - layer)) - 1);
    const int p = butterfly_position(n, half);
    const int r = butterfly_position(m, half);
    butterflies(&v[p], &v[p + half], pairs + 2 * (n / half), &target(g, p, layer, &to->products)->start, &v[r],
                &v[r + half], pairs + 2 * (m / half), &target(g, r, layer, &to->products)->start, c);
    settle_sums(g, v, layer, p + half, r + half, to, c);
}

DDT_INLINE void group_layer(group g, vec *v, int layer, const uint64_t *t, const basics *c, const exits *to) {
    const int half = 1 << layer;
    const int count = 1 << (g.layers - 1);
    DDT_UNROLL
    for (int i = 0; i < count / 2; i++) {
        group_step(g, v, layer, first_of_step(i, half, count), second_of_step(i, half, count), t, c, to);
    }
}

/* The last layer of the transform on (low, high): the difference by root/N, the sum by 1/N, both to [0, q). */
DDT_INLINE void scale(vec *low, vec *high, const uint64_t *head, const basics *c) {
    vec x = *low, y = *high, d, s, m, n;
    __asm__("vpsubq %[y], %[x], %[d]\n\t"
            "vpaddq %[y], %[x], %[s]\n\t"
            "vpxorq %[m], %[m], %[m]\n\t"
            "vpxorq %[n], %[n], %[n]\n\t"
            "vpmadd52huq %[i1]%{1to8%}, %[d], %[m]\n\t"
            "vpmadd52huq %[i2]%{1to8%}, %[s], %[n]\n\t"
            "vpxorq %[x], %[x], %[x]\n\t"
            "vpxorq %[y], %[y], %[y]\n\t"
            "vpmadd52luq %[w1]%{1to8%}, %[d], %[x]\n\t"
            "vpmadd52luq %[w2]%{1to8%}, %[s], %[y]\n\t"
            "vpmadd52luq %[minus], %[m], %[x]\n\t"
            "vpmadd52luq %[minus], %[n], %[y]\n\t"
            "vpandq %[mask], %[x], %[x]\n\t"
            "vpandq %[mask], %[y], %[y]\n\t"
            "vpsubq %[q], %[x], %[m]\n\t"
            "vpsubq %[q], %[y], %[n]\n\t"
            "vpminuq %[m], %[x], %[x]\n\t"
            "vpminuq %[n], %[y], %[y]\n\t"
            : [x] "+v"(x), [y] "+v"(y), [d] "=&v"(d), [s] "=&v"(s), [m] "=&v"(m), [n] "=&v"(n)
            : [w2] "m"(head[0]), [i2] "m"(head[1]), [w1] "m"(head[2]), [i1] "m"(head[3]), [q] "v"(c->q),
              [minus] "v"(c->minus_q), [mask] "v"(c->mask));
    *low = x;
    *high = y;
}

/* A group of vectors at a stride, in place; head: of the transform's last sweep, NULL in others. */
DDT_INLINE void run_group(group g, uint64_t *a, size_t stride, const uint64_t *t, const basics *c, const exits *to,
                          const uint64_t *head) {
    vec v[16];
    const int half = 1 << (g.layers - 1);
    const size_t last = ((size_t)1 << g.layers) - 1;
    DDT_UNROLL
    for (size_t k = 0; k <= last; k++) {
        v[k] = load(a + (last - k) * stride);
    }
    group_layer(g, v, 0, t, c, to);
    if (g.layers >= 3) {
        group_layer(g, v, 1, t, c, to);
    }
    if (g.layers >= 4) {
        group_layer(g, v, 2, t, c, to);
    }
    if (head == NULL) {
        group_layer(g, v, g.layers - 1, t, c, to);
    } else {
        DDT_UNROLL
        for (int k = 0; k < half; k++) {
            scale(&v[k], &v[k + half], head, c);
        }
    }
    DDT_UNROLL
    for (size_t k = 0; k <= last; k++) {
        store(a + (last - k) * stride, v[k]);
    }
}

/* ------------------------------------------------------------------ the tail */

DDT_INLINE void reverse(vec *v) {
    DDT_UNROLL
    for (int k = 0; k < LANES / 2; k++) {
        vec swap = v[k];
        v[k] = v[LANES - 1 - k];
        v[LANES - 1 - k] = swap;
    }
}

DDT_INLINE group lane_group(form f) { return (group){ntt_lanes(f), LANE_LAYERS, 1, f.rows, false}; }
DDT_INLINE group row_group(form f) { return (group){f, ROW_LAYERS, f.rows, f.rows, false}; }

/* Gives the residues of a block that enter the first layer their lower bound. */
DDT_INLINE void enter_lanes(form f, vec *u, const constants *c) {
    DDT_UNROLL
    for (int p = 0; p < LANES; p++) {
        const int bound = ntt_lower_bound(f, 1, p, 0, LANE_LAYERS);
        u[p] = bound == 0 ? u[p] : add(u[p], c->within[BOUND_MAX + bound - 1].start);
    }
}

/* Step `step` of the first three layers on a block, transposed. */
DDT_INLINE void lane_step(form f, vec *u, int block, int step, const uint64_t *t, const constants *c, const exits *to) {
    const group g = lane_group(f);
    const int layer = step / STEPS_A_LAYER;
    const int half = 1 << layer;
    const int n = first_of_step(step % STEPS_A_LAYER, half, LANES / 2);
    const int m = second_of_step(step % STEPS_A_LAYER, half, LANES / 2);
    const int p = butterfly_position(n, half);
    const int r = butterfly_position(m, half);
    const size_t at = (size_t)(block * LANE_TWIDDLES + (1 << (LANE_LAYERS - 1 - layer)) - 1);
    const twiddle t1 = load_lane_twiddle(t, at + (size_t)(n / half), c->b.one, c->b.q);
    const twiddle t2 = load_lane_twiddle(t, at + (size_t)(m / half), c->b.one, c->b.q);
    lane_butterflies(&u[p], &u[p + half], t1, &target(g, p, layer, &to->products)->start, &u[r], &u[r + half], t2,
                     &target(g, r, layer, &to->products)->start, &c->b);
    settle_sums(g, u, layer, p + half, r + half, to, &c->b);
}

/* The sum of all of a lane's residues was never made anew: where it is not reduced it still has a lower bound of 0. */
DDT_INLINE void leave_lanes(form f, vec *u, const lane_destinations *c) {
    const int all = LANES - 1;
    if (!ntt_is_reduced(ntt_lanes(f), 1, all, LANE_LAYERS - 1, LANE_LAYERS)) {
        u[all] = add(u[all], c->bias);
    }
}

/* Step `step` of the three layers after that on a block. */
DDT_INLINE void row_step(form f, vec *v, int block, int step, const uint64_t *t, const constants *c, const exits *to) {
    const int layer = step / STEPS_A_LAYER;
    const int first = block * LANES / 2;
    const int n = first_of_step(step % STEPS_A_LAYER, 1 << layer, LANES / 2);
    const int m = second_of_step(step % STEPS_A_LAYER, 1 << layer, LANES / 2);
    group_step(row_group(f), v, layer, first + n, first + m, t, &c->b, to);
}

DDT_INLINE targets lane_targets(const constants *c, int block) {
    const lane_destinations *lanes = &c->lanes[block];
    return (targets){c->within + BOUND_MAX, {&lanes->whole}, {lanes->halves + 1}, {lanes->quarters + 2}};
}

/* The first seven layers on 128 contiguous residues. */
DDT_INLINE void tail(form f, uint64_t *a, const uint64_t *t, const constants *c, const targets *to_) {
    const uint64_t *lanes = t + TAIL_PAIR_WORDS;
    const targets r0 = lane_targets(c, 0), r1 = lane_targets(c, 1);
    const exits to_rows[] = {{r0, r0}, {r1, r1}};
    const exits too = {*to_, *to_};
    const exits *to = &too;
    vec u[TAIL_VECTORS];
    vec *v = u + LANES;
    DDT_UNROLL
    for (size_t k = 0; k < TAIL_VECTORS; k++) {
        u[k] = load(a + (TAIL_VECTORS - 1 - k) * LANES);
    }
    transpose(u);
    reverse(u);
    enter_lanes(f, u, c);
    DDT_UNROLL
    for (int i = 0; i < STEPS; i++) {
        lane_step(f, u, 0, i, lanes, c, &to_rows[0]);
        transpose_step(v, i);
    }
    leave_lanes(f, u, &c->lanes[0]);
    reverse(u);
    reverse(v);
    enter_lanes(f, v, c);
    DDT_UNROLL
    for (int i = 0; i < STEPS; i++) {
        lane_step(f, v, 1, i, lanes, c, &to_rows[1]);
        transpose_step(u, i);
    }
    leave_lanes(f, v, &c->lanes[1]);
    reverse(v);
    DDT_UNROLL
    for (int i = 0; i < STEPS; i++) {
        row_step(f, u, 0, i, t, c, to);
        transpose_step(v, i);
    }
    DDT_UNROLL
    for (int i = 0; i < STEPS; i++) {
        row_step(f, u, 1, i, t, c, to);
    }
    group_layer(row_group(f), u, ROW_LAYERS - 1, t, &c->b, to);
    DDT_UNROLL
    for (size_t k = 0; k < TAIL_VECTORS; k++) {
        store(a + (TAIL_VECTORS - 1 - k) * LANES, u[k]);
    }
}

/* ------------------------------------------------------------------ passes */

/* A transform of moduli of one form. */
typedef struct inverse_job {
    constants c;
    ntt_plan plan;
    const uint64_t *tables;
    size_t n;
    /* The tails of the block of `size` residues that begins at residue `from`. */
    void (*tails)(const struct inverse_job *job, uint64_t *a, size_t from, size_t size);
    /* Sweep `index` on node `node`; the last one, index 0, scales by 1/N and ends in [0, q). */
    void (*sweep)(const struct inverse_job *job, uint64_t *a, size_t index, size_t node);
} inverse_job;

/* Where results of node `node` (mirrored) go in the group of the next sweep, which has `layers` layers. */
DDT_INLINE targets between_groups(form f, size_t node, unsigned layers, const constants *c) {
    const int position = (int)(node % ((size_t)1 << GROUP_LAYERS_MAX));
    const int narrow = ntt_lower_bound(f, f.narrow, position, 0, (int)layers);
    const int wide = ntt_lower_bound(f, f.wide, position, 0, (int)layers);
    const destination *near = c->within + BOUND_MAX;
    return (targets){
        near, {near + narrow, near + wide}, {near + narrow / 2, near + wide / 2}, {near + narrow / 4, near + wide / 4}};
}

/* The last sweep there is: the one after the tails. */
static unsigned layers_after_tails(const inverse_job *job) {
    const unsigned *layers = job->plan.layers;
    return layers[2] != 0 ? layers[2] : layers[1] != 0 ? layers[1] : layers[0];
}

/* From the last tail to the first: the mirrored twiddles, the larger stream, are then read upwards. */
DDT_INLINE void run_tails(form f, const inverse_job *job, uint64_t *a, size_t from, size_t size) {
    const unsigned next_layers = layers_after_tails(job);
    size_t node = (job->n - from - size) / TAIL;
    const uint64_t *t = job->tables + job->plan.tail_at + node * TAIL_WORDS;
    for (size_t at = from + size - TAIL; node < (job->n - from) / TAIL; node++, t += TAIL_WORDS, at -= TAIL) {
        const constants *c = opaque(&job->c);
        fetch_ahead(t + PREFETCH_TAILS * TAIL_WORDS, TAIL_WORDS / LANES);
        fetch_ahead(a + at - PREFETCH_TAILS * TAIL, TAIL_VECTORS);
        const targets to = between_groups(f, node, next_layers, c);
        tail(f, a + at, t, c, &to);
    }
}

/* Copies for a loop, which end up in registers. */
typedef struct near_by {
    destination near[5];
    destination whole[2];
    destination half[2][3];
    destination quarter[2][5];
} near_by;

DDT_INLINE void copy_starts(destination *copy, const destination *from, int reach) {
    DDT_UNROLL
    for (int i = -reach; i <= reach; i++) {
        copy[reach + i].start = from[i].start;
    }
}

DDT_INLINE targets bring_near(near_by *here, const targets *to) {
    copy_starts(here->near, to->near, 2);
    DDT_UNROLL
    for (int i = 0; i < 2; i++) {
        here->whole[i].start = to->whole[i]->start;
        copy_starts(here->half[i], to->half[i], 1);
        copy_starts(here->quarter[i], to->quarter[i], 2);
    }
    return (targets){here->near + 2,
                     {&here->whole[0], &here->whole[1]},
                     {here->half[0] + 1, here->half[1] + 1},
                     {here->quarter[0] + 2, here->quarter[1] + 2}};
}

/* The wide places of a sweep's parts: bit i for residues i `chunk` ... (i + 1) `chunk` - 1. */
typedef struct places {
    unsigned log_chunk;
    unsigned wide;
} places;

/* A sweep on one node. */
typedef struct sweep {
    size_t part;
    places at;
    const uint64_t *t;
    const constants *c;
    targets to;
    const uint64_t *head; /* of the transform's last sweep, NULL in others */
} sweep;

DDT_INLINE void sweep_layers(form f, bool look_up, int layers, const sweep *s, uint64_t *a) {
    const group narrow = {f, layers, f.narrow, f.wide, look_up};
    const group wide = {f, layers, f.wide, f.wide, look_up};
    const basics b = s->c->b;
    near_by here;
    /* sixteen vectors leave no registers for copies */
    const bool few = layers < GROUP_LAYERS_MAX;
    const exits kept = {few ? bring_near(&here, &s->to) : s->to, s->to};
    const size_t part = s->part;
    for (size_t j = 0; j < part; j += LANES) {
        const exits *to = few ? &kept : opaque(&kept);
        if (f.wide != f.narrow && (s->at.wide >> (j >> s->at.log_chunk)) % 2 != 0) {
            run_group(wide, a + j, part, opaque(s->t), &b, to, s->head);
        } else {
            run_group(narrow, a + j, part, opaque(s->t), &b, to, s->head);
        }
    }
}

DDT_INLINE void sweep_block(form f, bool look_up, unsigned layers, const sweep *s, uint64_t *a) {
    if (layers == 4) {
        sweep_layers(f, look_up, 4, s, a);
    } else if (layers == 3) {
        sweep_layers(f, look_up, 3, s, a);
    } else {
        sweep_layers(f, look_up, 2, s, a);
    }
}

/* Places after a group of `layers` layers whose parts were `chunk` residues. */
DDT_INLINE places places_after(form f, int widest, int layers, size_t part) {
    const int count = 1 << layers;
    unsigned wide = 0;
    DDT_UNROLL
    for (int i = 0; i < count; i++) {
        wide |= (unsigned)ntt_is_wide(f, widest, count - 1 - i, layers) << i;
    }
    return (places){(unsigned)__builtin_ctzll(part) - (unsigned)layers, wide};
}

/* Places of sweep `index`, whose parts are `part` residues. */
DDT_INLINE places places_of(form f, const inverse_job *job, size_t index, size_t part) {
    const unsigned layers = index + 1 < SWEEPS_MAX ? job->plan.layers[index + 1] : 0;
    if (f.narrow == f.wide) {
        return (places){0, 0};
    }
    if (layers == 0) {
        return places_after(f, f.rows, ROW_LAYERS, part);
    }
    return layers == 4   ? places_after(f, f.wide, 4, part)
           : layers == 3 ? places_after(f, f.wide, 3, part)
                         : places_after(f, f.wide, 2, part);
}

/* Layers before sweep `index`: their nodes are the parts that it works on. */
static unsigned depth_of(const inverse_job *job, size_t index) {
    unsigned depth = 0;
    for (size_t i = 0; i < index; i++) {
        depth += job->plan.layers[i];
    }
    return depth;
}

DDT_INLINE void run_sweep(form f, bool look_up, const inverse_job *job, uint64_t *a, size_t index, size_t node) {
    const unsigned layers = job->plan.layers[index];
    const unsigned depth = depth_of(job, index);
    const size_t mirrored = ((size_t)1 << depth) - 1 - node;
    const size_t span = job->n >> depth;
    const uint64_t *t = job->tables + job->plan.sweep_at[index] + (mirrored << (layers + 1));
    const size_t part = span >> layers;
    sweep s = {.part = part, .at = places_of(f, job, index, part), .t = t, .c = &job->c};
    if (index == 0) {
        /* nothing follows: scaling takes sums with a lower bound of 0 */
        const destination *near = job->c.within + BOUND_MAX;
        s.to = (targets){near, {near, near}, {near, near}, {near, near}};
        s.head = job->c.head;
        sweep_block(f, look_up, layers, &s, a);
        return;
    }
    s.to = between_groups(f, mirrored, job->plan.layers[index - 1], &job->c);
    sweep_block(f, look_up, layers, &s, a + node * span);
}

/* ------------------------------------------------------------------ constants */

DDT_INLINE destination make_destination(uint64_t q, vec multiples, int lower) {
    return (destination){splat((uint64_t)(lower + 1) * q), splat((uint64_t)-lower),
                         sub(multiples, splat((uint64_t)lower * q))};
}

/* What gives lane i the lower bound of row i (and `first`) of a tail's group over 2^halvings, and `lower`. */
DDT_INLINE destination make_lanes(form f, uint64_t q, int first, int halvings, int lower) {
    uint64_t start[LANES];
    uint64_t quotient[LANES];
    for (int lane = 0; lane < LANES; lane++) {
        const int bound = ntt_lower_bound(f, f.rows, first + lane, 0, ROW_LAYERS) / (1 << halvings) + lower;
        start[lane] = (uint64_t)(bound + 1) * q;
        quotient[lane] = (uint64_t)-bound;
    }
    return (destination){load(start), load(quotient), zero()};
}

DDT_INLINE lane_destinations make_lane_destinations(form f, uint64_t q, int first) {
    lane_destinations to = {.whole = make_lanes(f, q, first, 0, 0)};
    for (int i = -1; i <= 1 && FRESH << 1 <= f.rows; i++) {
        to.halves[1 + i] = make_lanes(f, q, first, 1, i);
    }
    for (int i = -2; i <= 2 && FRESH << 2 <= f.rows; i++) {
        to.quarters[2 + i] = make_lanes(f, q, first, 2, i);
    }
    to.bias = sub(to.whole.start, splat(q));
    return to;
}

DDT_INLINE void fill_constants(form f, constants *c, uint64_t q) {
    const int reach = f.wide == 8 ? BOUND_MAX : BOUND_MAX / 2;
    const vec multiples = ddt_avx512ifma_multiples(q);
    c->b = (basics){.minus_q = splat((UINT64_C(1) << WORD_BITS) - q),
                    .one = splat(1),
                    .mask = splat(WORD_MASK),
                    .q = splat(q),
                    .quotient = splat((UINT64_C(1) << WORD_BITS) / q)};
    for (int i = -reach; i <= reach; i++) {
        c->within[BOUND_MAX + i] = make_destination(q, multiples, i);
    }
    c->lanes[0] = make_lane_destinations(f, q, 0);
    c->lanes[1] = make_lane_destinations(f, q, LANES);
}

/* The pieces of code of one form. */
typedef struct passes {
    void (*fill)(constants *c, uint64_t q);
    void (*tails)(const inverse_job *job, uint64_t *a, size_t from, size_t size);
    void (*sweep)(const inverse_job *job, uint64_t *a, size_t index, size_t node);
} passes;

#define DEFINE_FORM(name, f, look_up)                                                                                  \
    static void tails_##name(const inverse_job *job, uint64_t *a, size_t from, size_t size) {                          \
        run_tails(f, job, a, from, size);                                                                              \
    }                                                                                                                  \
    static void sweep_##name(const inverse_job *job, uint64_t *a, size_t index, size_t node) {                         \
        run_sweep(f, look_up, job, a, index, node);                                                                    \
    }                                                                                                                  \
    static void fill_##name(constants *c, uint64_t q) { fill_constants(f, c, q); }                                     \
    static const passes passes_##name = {fill_##name, tails_##name, sweep_##name};
DEFINE_FORM(46, NTT_FORM_46, false)
DEFINE_FORM(48, NTT_FORM_48, false)
DEFINE_FORM(49, NTT_FORM_49, false)
DEFINE_FORM(49_look_up, NTT_FORM_49, true)
DEFINE_FORM(50, NTT_FORM_50, true)

/* Whether a look-up leaves [0, 2q): always for 50 bits, where 2^49 < q, and for others where 2^49 is little more than a
 * multiple of q. */
static bool look_up_is_fine(uint64_t q) {
    uint64_t most = 0;
    for (uint64_t i = 0; i < LANES; i++) {
        const uint64_t rest = (i << MULTIPLE_BITS) % q;
        most = rest > most ? rest : most;
    }
    return most + (UINT64_C(1) << MULTIPLE_BITS) <= 2 * q;
}

static const passes *choose_passes(const ddt_modulus *modulus) {
    switch (modulus->bits) {
    case 50:
        return &passes_50;
    case 49:
        return look_up_is_fine(modulus->q) ? &passes_49_look_up : &passes_49;
    case 48:
    case 47:
        return &passes_48;
    default:
        return &passes_46;
    }
}

static inverse_job make_job(const ddt_modulus *modulus) {
    const uint64_t q = modulus->q;
    const passes *p = choose_passes(modulus);
    inverse_job job = {.plan = ddt_avx512ifma_plan(modulus->log_n),
                       .tables = modulus->tables,
                       .n = modulus->n,
                       .tails = p->tails,
                       .sweep = p->sweep};
    p->fill(&job.c, q);
    memcpy(job.c.head, modulus->tables, sizeof job.c.head);
    return job;
}

/* A constant factor of the results costs nothing: the last layer multiplies anyway. */
static void scale_job(inverse_job *job, const ddt_modulus *modulus, uint64_t factor) {
    for (size_t i = 0; i < sizeof job->c.head / sizeof job->c.head[0]; i += 2) {
        const uint64_t w = ddt_modulus_mul(modulus, job->c.head[i], factor);
        job->c.head[i] = w;
        job->c.head[i + 1] = ddt_modulus_quotient(modulus, w, WORD_BITS);
    }
}

/* Everything before the last sweep on its part `node`. */
static void inverse_part(const inverse_job *job, uint64_t *a, size_t node) {
    const unsigned *layers = job->plan.layers;
    const size_t size = job->n >> layers[0];
    const size_t parts = layers[2] == 0 ? 1 : (size_t)1 << layers[1];
    for (size_t k = node * parts; k < (node + 1) * parts; k++) {
        job->tails(job, a, k * (size / parts), size / parts);
        if (layers[2] != 0) {
            job->sweep(job, a, 2, k);
        }
    }
    job->sweep(job, a, 1, node);
}

/* Each part is finished as far as it goes before the next one, in all limbs, so that its piece of the tables serves all
 * of them. */
static void inverse_run(const inverse_job *job, uint64_t *const *limbs, size_t count) {
    const unsigned *layers = job->plan.layers;
    for (size_t node = 0; layers[1] != 0 && node < (size_t)1 << layers[0]; node++) {
        for (size_t i = 0; i < count; i++) {
            inverse_part(job, limbs[i], node);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (layers[1] == 0) {
            job->tails(job, limbs[i], 0, job->n);
        }
        job->sweep(job, limbs[i], 0, 0);
    }
}

void ddt_avx512ifma_intt_many(const ddt_modulus *modulus, uint64_t *const *limbs, size_t count) {
    if (modulus->log_n >= LOG_N_VECTOR) {
        const inverse_job job = make_job(modulus);
        inverse_run(&job, limbs, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        ddt_scalar_intt(modulus, limbs[i]);
    }
}

void ddt_avx512ifma_intt_scaled(const ddt_modulus *modulus, uint64_t *const *limbs, size_t count, uint64_t factor) {
    if (modulus->log_n >= LOG_N_VECTOR) {
        inverse_job job = make_job(modulus);
        scale_job(&job, modulus, factor);
        inverse_run(&job, limbs, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        ddt_scalar_intt(modulus, limbs[i]);
        ddt_avx512ifma_mul_scalar(modulus, limbs[i], limbs[i], factor);
    }
}

void ddt_avx512ifma_intt(const ddt_modulus *modulus, uint64_t *a) { ddt_avx512ifma_intt_many(modulus, &a, 1); }
