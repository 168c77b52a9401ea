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
 * nonnegative, and so is a sum that leaves its group of layers wider than what groups are entered with. Up to there, n
 * sums in a row, lower bounds follow from the place of the residue: with r_i = 1 where it is low in the i-th layer to
 * come and -1 where it is high,
 *
 *     L = W / 2 (r_0 + r_1 + ... + r_(n-1)).
 *
 * The two terms of the i-th layer, sums of 2^i residues each, then differ by 2^i W, as they must, and the last sum has
 * the lower bound 0. All of that is known when the code is compiled. Lower bounds cost nothing where a residue is made:
 * a product's accumulator starts from one, a reduction leaves one. Only sums that leave a group unreduced need an
 * addition. The first layers of all, between lanes, have W = 1 and need L to be whole; see lower_bound().
 *
 * Reductions are either two multiply-adds (quotient and remainder, to a width of 2) or a shift, a look-up and a
 * subtraction (see ddt_avx512ifma_multiples(); the width is 2 where that is checked): the former where they are few,
 * where groups end and in the tails, which are full of shuffles, the latter where multipliers have no slot left.
 */
#include "ntt.h"

#include "../scalar/scalar_kernels.h"

#include <string.h>

/* How a size of moduli is treated. */
typedef struct form {
    int window; /* 2^52 / q is at least that */
    int entry;  /* width of residues that enter a group, but for the first */
    bool look_up;
} form;

enum { FRESH = 2 }; /* width of products and of what has been reduced */

enum { GROUP_LAYERS_MAX = 4, BOUNDS = 2 * GROUP_LAYERS_MAX + 1 };

/* What gives results of a group their lower bound. */
typedef struct destination {
    vec start;     /* to products */
    vec bias;      /* to sums */
    vec quotient;  /* to sums that are reduced, what their quotient starts from */
    vec multiples; /* or what is subtracted, by their three highest bits */
} destination;

typedef struct constants {
    vec minus_q; /* mod 2^52 */
    vec one;
    vec mask; /* 2^52 - 1 */
    vec q;
    vec quotient;                /* floor(2^52 / q) */
    destination within[BOUNDS];  /* a group: lower bounds -GROUP_LAYERS_MAX ... GROUP_LAYERS_MAX */
    destination between[BOUNDS]; /* groups: these times half the entry's width */
    destination rows[2];         /* of the tail's rows, by lane: the first eight rows and the last eight */
    uint64_t head[4];            /* pairs of the last layer: of 1/N for sums, of root/N for differences */
} constants;

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
                            const uint64_t *t2, const vec *start2, const constants *c) {
    RUN_BUTTERFLIES("%{1to8%}", [w1] "m"(t1[0]), [i1] "m"(t1[1]), [w2] "m"(t2[0]), [i2] "m"(t2[1]));
}

/* The same with twiddles for each lane. */
DDT_INLINE void lane_butterflies(vec *low1, vec *high1, twiddle t1, const vec *start1, vec *low2, vec *high2,
                                 twiddle t2, const vec *start2, const constants *c) {
    RUN_BUTTERFLIES("", [w1] "v"(t1.w), [i1] "v"(t1.quotient), [w2] "v"(t2.w), [i2] "v"(t2.quotient));
}

/* Two nonnegative sums to the lower bound and a width of 2. */
DDT_INLINE void reduce(vec *a, const destination *to_a, vec *b, const destination *to_b, const constants *c,
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

DDT_INLINE void reduce_one(vec *a, const destination *to, const constants *c, bool look_up) {
    if (look_up) {
        *a = sub(*a, _mm512_permutexvar_epi64(_mm512_srli_epi64(*a, MULTIPLE_BITS), to->multiples));
    } else {
        *a = add_low(*a, add_high(to->quotient, *a, c->quotient), c->minus_q);
    }
}

/* ------------------------------------------------------------------ ranges, all of it when compiled */

/*
 * How many sums in a row a residue of some width is part of, from layer `layer` of a group on, before one is reduced or
 * leaves. (Spelled out, not looped: these functions have to vanish when the code is compiled.)
 */
DDT_INLINE int sums_in_a_row(form f, int width, int layer, int layers) {
    const bool two = layer + 1 < layers && 4 * width <= f.window;
    const bool three = two && layer + 2 < layers && 8 * width <= f.window;
    const bool four = three && layer + 3 < layers && 16 * width <= f.window;
    return 1 + two + three + four;
}

/*
 * The lower bound, in q, of a residue that enters layer `layer` at a position. W = 1: the differences of n = 3 layers
 * are 2, 2 and 4 instead of 1, 2 and 4, those of n = 2 layers 1 and 2.
 */
DDT_INLINE int lower_bound(form f, int width, int position, int layer, int layers) {
    const int n = sums_in_a_row(f, width, layer, layers);
    const int bits = (position >> layer) & ((1 << n) - 1);
    if (width == 1 && n == 3) {
        return (1 - 2 * (bits & 1)) + (1 - ((bits >> 1) & 1) - (bits >> 2));
    }
    return width * (n - 2 * __builtin_popcount((unsigned)bits)) / 2;
}

/* Width of what layer `layer` makes at a position from residues of some width, when another layer follows. */
DDT_INLINE int next_width(form f, int width, int position, int layer) {
    const bool is_product = (position >> layer) % 2 == 0;
    return is_product || 4 * width > f.window ? FRESH : 2 * width;
}

/* Width of the sum that layer `layer` makes at a position. */
DDT_INLINE int sum_width(form f, int entry, int position, int layer) {
    int width = entry;
    width = layer > 0 ? next_width(f, width, position, 0) : width;
    width = layer > 1 ? next_width(f, width, position, 1) : width;
    width = layer > 2 ? next_width(f, width, position, 2) : width;
    return 2 * width;
}

/* ------------------------------------------------------------------ groups: 2^k vectors in registers */

/* What gives a position its lower bound for the layers after `layer` of the group. */
DDT_INLINE const destination *within_group(form f, int position, int layer, int layers, const constants *c) {
    return &c->within[GROUP_LAYERS_MAX + lower_bound(f, FRESH, position, layer + 1, layers)];
}

/* Whether the sum that layer `layer` of a group makes at a position is reduced. */
DDT_INLINE bool is_reduced(form f, int entry, int position, int layer, int layers) {
    const int width = sum_width(f, entry, position, layer);
    return layer + 1 < layers ? 2 * width > f.window : width > f.entry;
}

/*
 * Makes two sums of layer `layer`, at positions p and r, what the next layer or, in the last one, the next group wants.
 * to: what the group's last layer leaves.
 */
DDT_INLINE void settle_sums(form f, vec *v, int entry, int layer, int layers, int p, int r, const destination *to,
                            const constants *c) {
    const bool last = layer + 1 == layers;
    const destination *to_p = last ? to : within_group(f, p, layer, layers, c);
    const destination *to_r = last ? to : within_group(f, r, layer, layers, c);
    const bool reduce_p = is_reduced(f, entry, p, layer, layers);
    const bool reduce_r = is_reduced(f, entry, r, layer, layers);
    const bool look_up = f.look_up && !last; /* both kinds in turn leave neither shuffles nor multipliers idle */
    if (reduce_p && reduce_r) {
        reduce(&v[p], to_p, &v[r], to_r, c, look_up);
        return;
    }
    if (reduce_p) {
        reduce_one(&v[p], to_p, c, look_up);
    } else if (last) {
        v[p] = add(v[p], to->bias);
    }
    if (reduce_r) {
        reduce_one(&v[r], to_r, c, look_up);
    } else if (last) {
        v[r] = add(v[r], to->bias);
    }
}

/*
 * Which butterflies go side by side in step `step` of a layer of `count`: such whose sums are both reduced or both not,
 * as long as one of the next layers tells them apart; in the last layer, neighbours.
 */
DDT_INLINE int first_of_step(int step, int half, int count) { return half < count ? step : 2 * step; }
DDT_INLINE int second_of_step(int step, int half, int count) { return half < count ? step + count / 2 : 2 * step + 1; }

/* Butterflies n and m of layer `layer` of a group of `layers`; to: what the group's last layer leaves. */
DDT_INLINE void group_step(form f, vec *v, int layer, int layers, int n, int m, const uint64_t *t, const constants *c,
                           const destination *to) {
    const int half = 1 << layer;
    const uint64_t *pairs = t + 2 * ((1 << (layers - 1 - layer)) - 1);
    const int p = butterfly_position(n, half);
    const int r = butterfly_position(m, half);
    const bool last = layer + 1 == layers;
    const destination *to_p = last ? to : within_group(f, p, layer, layers, c);
    const destination *to_r = last ? to : within_group(f, r, layer, layers, c);
    butterflies(&v[p], &v[p + half], pairs + 2 * (n / half), &to_p->start, &v[r], &v[r + half], pairs + 2 * (m / half),
                &to_r->start, c);
    settle_sums(f, v, f.entry, layer, layers, p + half, r + half, to, c);
}

DDT_INLINE void group_layer(form f, vec *v, int layer, int layers, const uint64_t *t, const constants *c,
                            const destination *to) {
    const int half = 1 << layer;
    const int count = 1 << (layers - 1);
    DDT_UNROLL
    for (int i = 0; i < count / 2; i++) {
        group_step(f, v, layer, layers, first_of_step(i, half, count), second_of_step(i, half, count), t, c, to);
    }
}

/* The last layer of the transform on (low, high): the difference by root/N, the sum by 1/N, both to [0, q). */
DDT_INLINE void scale(vec *low, vec *high, const constants *c) {
    const uint64_t *head = c->head;
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

/* `layers` layers on 2^layers vectors at a stride, in place; `to` means nothing in the transform's last sweep. */
DDT_INLINE void run_group(form f, uint64_t *a, size_t stride, int layers, const uint64_t *t, const constants *c,
                          const destination *to, bool last_sweep) {
    vec v[16];
    const int half = 1 << (layers - 1);
    const size_t last = ((size_t)1 << layers) - 1;
    DDT_UNROLL
    for (size_t k = 0; k <= last; k++) {
        v[k] = load(a + (last - k) * stride);
    }
    group_layer(f, v, 0, layers, t, c, to);
    if (layers >= 3) {
        group_layer(f, v, 1, layers, t, c, to);
    }
    if (layers >= 4) {
        group_layer(f, v, 2, layers, t, c, to);
    }
    if (!last_sweep) {
        group_layer(f, v, layers - 1, layers, t, c, to);
    } else {
        DDT_UNROLL
        for (int k = 0; k < half; k++) {
            scale(&v[k], &v[k + half], c);
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

enum { ROW_LAYERS = 4 };

/* Gives the residues of a block that enter the first layer their lower bound. */
DDT_INLINE void enter_lanes(form f, vec *u, const constants *c) {
    DDT_UNROLL
    for (int p = 0; p < LANES; p++) {
        const int bound = lower_bound(f, 1, p, 0, LANE_LAYERS);
        u[p] = bound == 0 ? u[p] : add(u[p], c->within[GROUP_LAYERS_MAX + bound].bias);
    }
}

/* Step `step` of the first three layers on a block, transposed. */
DDT_INLINE void lane_step(form f, vec *u, int block, int step, const uint64_t *t, const constants *c) {
    const int layer = step / STEPS_A_LAYER;
    const int half = 1 << layer;
    const int n = first_of_step(step % STEPS_A_LAYER, half, LANES / 2);
    const int m = second_of_step(step % STEPS_A_LAYER, half, LANES / 2);
    const int p = butterfly_position(n, half);
    const int r = butterfly_position(m, half);
    const bool last = layer + 1 == LANE_LAYERS;
    const size_t at = (size_t)(block * LANE_TWIDDLES + (1 << (LANE_LAYERS - 1 - layer)) - 1);
    const twiddle t1 = load_lane_twiddle(t, at + (size_t)(n / half), c->one, c->q);
    const twiddle t2 = load_lane_twiddle(t, at + (size_t)(m / half), c->one, c->q);
    const destination *row = &c->rows[block];
    const destination *to_p = last ? row : within_group(f, p, layer, LANE_LAYERS, c);
    const destination *to_r = last ? row : within_group(f, r, layer, LANE_LAYERS, c);
    lane_butterflies(&u[p], &u[p + half], t1, &to_p->start, &u[r], &u[r + half], t2, &to_r->start, c);
    settle_sums(f, u, 1, layer, LANE_LAYERS, p + half, r + half, row, c);
}

/* Step `step` of the three layers after that on a block. */
DDT_INLINE void row_step(form f, vec *v, int block, int step, const uint64_t *t, const constants *c) {
    const int layer = step / STEPS_A_LAYER;
    const int first = block * LANES / 2;
    const int n = first_of_step(step % STEPS_A_LAYER, 1 << layer, LANES / 2);
    const int m = second_of_step(step % STEPS_A_LAYER, 1 << layer, LANES / 2);
    group_step(f, v, layer, ROW_LAYERS, first + n, first + m, t, c, c->rows);
}

/* The first seven layers on 128 contiguous residues. */
DDT_INLINE void tail(form f, uint64_t *a, const uint64_t *t, const constants *c, const destination *to) {
    const uint64_t *lanes = t + TAIL_PAIR_WORDS;
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
        lane_step(f, u, 0, i, lanes, c);
        transpose_step(v, i);
    }
    reverse(u);
    reverse(v);
    enter_lanes(f, v, c);
    DDT_UNROLL
    for (int i = 0; i < STEPS; i++) {
        lane_step(f, v, 1, i, lanes, c);
        transpose_step(u, i);
    }
    reverse(v);
    DDT_UNROLL
    for (int i = 0; i < STEPS; i++) {
        row_step(f, u, 0, i, t, c);
        transpose_step(v, i);
    }
    DDT_UNROLL
    for (int i = 0; i < STEPS; i++) {
        row_step(f, u, 1, i, t, c);
    }
    group_layer(f, u, ROW_LAYERS - 1, ROW_LAYERS, t, c, to);
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
DDT_INLINE const destination *between_groups(form f, size_t node, unsigned layers, const constants *c) {
    const int position = (int)(node % ((size_t)1 << GROUP_LAYERS_MAX));
    return &c->between[GROUP_LAYERS_MAX + lower_bound(f, f.entry, position, 0, (int)layers) / (f.entry / 2)];
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
        tail(f, a + at, t, c, between_groups(f, node, next_layers, c));
    }
}

DDT_INLINE void sweep_layers(form f, uint64_t *a, size_t part, int layers, const uint64_t *t, const constants *c,
                             const destination *to, bool last_sweep) {
    for (size_t j = 0; j < part; j += LANES) {
        run_group(f, a + j, part, layers, opaque(t), opaque(c), opaque(to), last_sweep);
    }
}

DDT_INLINE void sweep_block(form f, uint64_t *a, size_t part, unsigned layers, const uint64_t *t, const constants *c,
                            const destination *to, bool last_sweep) {
    if (layers == 4) {
        sweep_layers(f, a, part, 4, t, c, to, last_sweep);
    } else if (layers == 3) {
        sweep_layers(f, a, part, 3, t, c, to, last_sweep);
    } else {
        sweep_layers(f, a, part, 2, t, c, to, last_sweep);
    }
}

/* Layers before sweep `index`: their nodes are the parts that it works on. */
static unsigned depth_of(const inverse_job *job, size_t index) {
    unsigned depth = 0;
    for (size_t i = 0; i < index; i++) {
        depth += job->plan.layers[i];
    }
    return depth;
}

DDT_INLINE void run_sweep(form f, const inverse_job *job, uint64_t *a, size_t index, size_t node) {
    const unsigned layers = job->plan.layers[index];
    const unsigned depth = depth_of(job, index);
    const size_t mirrored = ((size_t)1 << depth) - 1 - node;
    const size_t span = job->n >> depth;
    const uint64_t *t = job->tables + job->plan.sweep_at[index] + (mirrored << (layers + 1));
    uint64_t *block = a + node * span;
    if (index == 0) {
        sweep_block(f, block, span >> layers, layers, t, &job->c, job->c.within, true);
        return;
    }
    const destination *to = between_groups(f, mirrored, job->plan.layers[index - 1], &job->c);
    sweep_block(f, block, span >> layers, layers, t, &job->c, to, false);
}

/* The pieces of code of one form. */
typedef struct passes {
    form f;
    void (*tails)(const inverse_job *job, uint64_t *a, size_t from, size_t size);
    void (*sweep)(const inverse_job *job, uint64_t *a, size_t index, size_t node);
} passes;

#define DEFINE_FORM(name, window, entry, look_up)                                                                      \
    static void tails_##name(const inverse_job *job, uint64_t *a, size_t from, size_t size) {                          \
        run_tails((form){window, entry, false}, job, a, from, size);                                                   \
    }                                                                                                                  \
    static void sweep_##name(const inverse_job *job, uint64_t *a, size_t index, size_t node) {                         \
        run_sweep((form){window, entry, look_up}, job, a, index, node);                                                \
    }                                                                                                                  \
    static const passes passes_##name = {{window, entry, look_up}, tails_##name, sweep_##name};
DEFINE_FORM(46, 64, 8, false)
DEFINE_FORM(48, 16, 4, false)
DEFINE_FORM(49, 8, FRESH, false)
DEFINE_FORM(49_look_up, 8, FRESH, true)
DEFINE_FORM(50, 4, FRESH, true)

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

static vec times(int factor, uint64_t q) { return splat((uint64_t)factor * q); }

static destination make_destination(uint64_t q, int lower) {
    const vec bias = times(lower, q);
    return (destination){times(lower + 1, q), bias, times(-lower, 1), sub(ddt_avx512ifma_multiples(q), bias)};
}

/* What gives lane i the lower bound of row i (plus eight, if last_rows) of a tail's group of sixteen. */
static destination make_rows(const passes *p, uint64_t q, bool last_rows) {
    uint64_t start[LANES];
    uint64_t bias[LANES];
    uint64_t quotient[LANES];
    for (int lane = 0; lane < LANES; lane++) {
        const int lower = lower_bound(p->f, p->f.entry, lane + (last_rows ? LANES : 0), 0, GROUP_LAYERS_MAX);
        start[lane] = (uint64_t)(lower + 1) * q;
        bias[lane] = (uint64_t)lower * q;
        quotient[lane] = (uint64_t)-lower;
    }
    return (destination){load(start), load(bias), load(quotient), zero()};
}

static inverse_job make_job(const ddt_modulus *modulus) {
    const uint64_t q = modulus->q;
    const passes *p = choose_passes(modulus);
    inverse_job job = {.plan = ddt_avx512ifma_plan(modulus->log_n),
                       .tables = modulus->tables,
                       .n = modulus->n,
                       .tails = p->tails,
                       .sweep = p->sweep};
    job.c.minus_q = splat((UINT64_C(1) << WORD_BITS) - q);
    job.c.one = splat(1);
    job.c.mask = splat(WORD_MASK);
    job.c.q = splat(q);
    job.c.quotient = splat((UINT64_C(1) << WORD_BITS) / q);
    for (int i = -GROUP_LAYERS_MAX; i <= GROUP_LAYERS_MAX; i++) {
        job.c.within[GROUP_LAYERS_MAX + i] = make_destination(q, i);
        job.c.between[GROUP_LAYERS_MAX + i] = make_destination(q, i * p->f.entry / 2);
    }
    job.c.rows[0] = make_rows(p, q, false);
    job.c.rows[1] = make_rows(p, q, true);
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
