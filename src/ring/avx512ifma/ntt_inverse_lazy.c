/*
 * Inverse NTT with IFMA, lazy form for moduli of at most 46 bits: see ntt_inverse.h for the order of things.
 *
 * Ranges. 64 q <= 2^52, so that most sums can grow unreduced; what has to be seen to is that low - high is never
 * negative. A residue carries the bias b (r_0 + r_1 + ... ) q for the layers that it still passes in its group: r_i = 1
 * where it is low in layer i, -1 where it is high. With |x| <= b q under the bias, low - high is at least 2 b q - 2 b q
 * = 0 in the first layer; sums keep the biases of the later layers, doubled as the bound is, so the same holds there.
 * In the last layer of k the difference is at most 2^(k+1) b q, which is at most 64 q for b = 4 in groups of two or
 * three layers and b = 2 in groups of four. A product in (-q, q) gets its bias for nothing, as what the subtracted sum
 * starts from: b = 1 within the group, the next group's b on the way out. A sum of the group's last layer gets its bias
 * by an addition; where it may exceed the next group's b q it is reduced to [-q, q) on the way.
 *
 * The first layers of all, between lanes, have residues in [0, q). There the bias is -(ones of the position) q: it
 * separates low and high by q, sums of 2^i residues by 2^i q.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ntt_inverse.h"

enum {
    BOUND_SHORT = 4,   /* b for groups of two or three layers */
    BOUND_LONG = 2,    /* b for groups of four */
    LANE_SUM_BIAS = 12 /* what the eight biases of the lanes' positions add up to, negated */
};

enum { MULTIPLES = 3 };

/* Where results of a group go: the bias for the next group, its negative, and q less the bias. */
typedef struct destination {
    vec bias;
    vec start;
    vec shrink_start;
} destination;

typedef struct constants {
    vec multiple[2 * MULTIPLES + 1]; /* multiple[MULTIPLES + i] = i q */
    vec q;
    vec inverse;         /* q^-1 mod 2^52 */
    vec quotient;        /* floor(2^52 / q) */
    vec lift[4];         /* 4q, 8q, 16q, 32q */
    vec lane_lift;       /* 12q */
    destination rows[2]; /* of the tail's rows, by lane: the first eight rows and the last eight */
} constants;

DDT_INLINE vec times_q(const constants *c, int factor) { return _mm512_mullo_epi64(c->q, _mm512_set1_epi64(factor)); }

static destination to_bias(vec bias, const constants *c) {
    return (destination){bias, sub(zero(), bias), sub(c->q, bias)};
}

/* ------------------------------------------------------------------ butterflies */

/* Two butterflies side by side; about the order of the instructions see ntt_forward.c. */
#define LAZY_BUTTERFLIES(broadcast)                                                                                    \
    "vpsubq %[h1], %[l1], %[d1]\n\t"                                                                                   \
    "vpsubq %[h2], %[l2], %[d2]\n\t"                                                                                   \
    "vmovdqa64 %[zero], %[m1]\n\t"                                                                                     \
    "vmovdqa64 %[zero], %[m2]\n\t"                                                                                     \
    "vpaddq %[h1], %[l1], %[h1]\n\t"                                                                                   \
    "vpaddq %[h2], %[l2], %[h2]\n\t"                                                                                   \
    "vpmadd52luq %[i1]" broadcast ", %[d1], %[m1]\n\t"                                                                 \
    "vpmadd52luq %[i2]" broadcast ", %[d2], %[m2]\n\t"                                                                 \
    "vmovdqa64 %[zero], %[l1]\n\t"                                                                                     \
    "vmovdqa64 %[zero], %[l2]\n\t"                                                                                     \
    "vpmadd52huq %[w1]" broadcast ", %[d1], %[l1]\n\t"                                                                 \
    "vpmadd52huq %[w2]" broadcast ", %[d2], %[l2]\n\t"                                                                 \
    "vmovdqa64 %[start1], %[d1]\n\t"                                                                                   \
    "vmovdqa64 %[start2], %[d2]\n\t"                                                                                   \
    "vpmadd52huq %[q], %[m1], %[d1]\n\t"                                                                               \
    "vpmadd52huq %[q], %[m2], %[d2]\n\t"                                                                               \
    "vpsubq %[d1], %[l1], %[l1]\n\t"                                                                                   \
    "vpsubq %[d2], %[l2], %[l2]\n\t"
#define LAZY_RUN(broadcast, ...)                                                                                       \
    vec u1 = *low1, u2 = *low2, v1 = *high1, v2 = *high2, m1, m2, d1, d2;                                              \
    __asm__(LAZY_BUTTERFLIES(broadcast)                                                                                \
            : [l1] "+v"(u1), [h1] "+v"(v1), [l2] "+v"(u2), [h2] "+v"(v2), [m1] "=&v"(m1), [m2] "=&v"(m2),              \
              [d1] "=&v"(d1), [d2] "=&v"(d2)                                                                           \
            : __VA_ARGS__, [start1] "m"(*start1), [start2] "m"(*start2), [q] "v"(c->q), [zero] "v"(zero()));           \
    *low1 = u1, *low2 = u2, *high1 = v1, *high2 = v2

/* Butterflies (low1, high1) by the pair at t1 and (low2, high2) by the pair at t2; products lose what lies at start. */
DDT_INLINE void butterflies(vec *low1, vec *high1, const uint64_t *t1, const vec *start1, vec *low2, vec *high2,
                            const uint64_t *t2, const vec *start2, const constants *c) {
    LAZY_RUN("%{1to8%}", [w1] "m"(t1[0]), [i1] "m"(t1[1]), [w2] "m"(t2[0]), [i2] "m"(t2[1]));
}

/* The same with twiddles for each lane. */
DDT_INLINE void lane_butterflies(vec *low1, vec *high1, lane_twiddle t1, const vec *start1, vec *low2, vec *high2,
                                 lane_twiddle t2, const vec *start2, const constants *c) {
    LAZY_RUN("", [w1] "m"(*t1.w), [i1] "v"(t1.inverse), [w2] "m"(*t2.w), [i2] "v"(t2.inverse));
}

/*
 * x in [-lift, lift] to [-q, q) plus the bias that shrink_start is q less. x + lift is at most 64 q, and the quotient
 * found for it at most 1 too small.
 */
DDT_INLINE vec shrink(vec x, vec lift, vec shrink_start, const constants *c) {
    vec lifted = add(x, lift);
    vec e = add_high(zero(), lifted, c->quotient);
    return sub(lifted, add_low(shrink_start, e, c->q));
}

DDT_INLINE vec lift_of(int bound, const constants *c) {
    return bound == 4 ? c->lift[0] : bound == 8 ? c->lift[1] : bound == 16 ? c->lift[2] : c->lift[3];
}

/* ------------------------------------------------------------------ groups: 2^k vectors in registers */

/* Position of the low residue of butterfly n in a layer with the distance `half`. */
DDT_INLINE int low_position(int n, int half) { return n / half * 2 * half + n % half; }

/* The sum of r_i of a position over the layers after `layer`, of `layers`. */
DDT_INLINE int later_bias(int position, int layer, int layers) {
    const int later = layers - 1 - layer;
    const int bits = (position >> (layer + 1)) & ((1 << later) - 1);
    return later - 2 * __builtin_popcount((unsigned)bits);
}

DDT_INLINE const vec *start_of(int position, int layer, int layers, const constants *c, const vec *last) {
    return layer + 1 == layers ? last : &c->multiple[MULTIPLES - later_bias(position, layer, layers)];
}

/* Layer `layer` of a group of `layers`; last: what the last layer's products start from. */
DDT_INLINE void merge_layer(vec *v, int layer, int layers, const uint64_t *t, const constants *c, const vec *last) {
    const int half = 1 << layer;
    const uint64_t *pairs = t + 2 * ((1 << (layers - 1 - layer)) - 1);
    const int count = 1 << (layers - 1);
    DDT_UNROLL
    for (int n = 0; n < count; n += 2) {
        const int p1 = low_position(n, half);
        const int p2 = low_position(n + 1, half);
        butterflies(&v[p1], &v[p1 + half], pairs + 2 * (n / half), start_of(p1, layer, layers, c, last), &v[p2],
                    &v[p2 + half], pairs + 2 * ((n + 1) / half), start_of(p2, layer, layers, c, last), c);
    }
}

/* The bound of the sum at a position: that of the last product on its way, or of the group's residues, doubled by each
 * sum since. */
DDT_INLINE int sum_bound(int position, int layers, int bound) {
    const unsigned from_the_top = (unsigned)position << (32 - layers);
    const int sums = __builtin_clz(~from_the_top); /* how many of the position's highest bits are ones */
    return (sums == layers ? bound : 1) << sums;
}

/* Gives the sums of a group's last layer their bias. */
DDT_INLINE void finish_sums(vec *v, int layers, int bound, const destination *to, int next_bound, const constants *c) {
    const int half = 1 << (layers - 1);
    DDT_UNROLL
    for (int p = half; p < 2 * half; p++) {
        const int largest = sum_bound(p, layers, bound);
        v[p] = largest > next_bound ? shrink(v[p], lift_of(largest, c), to->shrink_start, c) : add(v[p], to->bias);
    }
}

DDT_INLINE int group_bound(int layers) { return layers == 4 ? BOUND_LONG : BOUND_SHORT; }

DDT_INLINE void merge_group(vec *v, int layers, const uint64_t *t, const constants *c, const destination *to,
                            int next_bound) {
    merge_layer(v, 0, layers, t, c, &to->start);
    merge_layer(v, 1, layers, t, c, &to->start);
    if (layers >= 3) {
        merge_layer(v, 2, layers, t, c, &to->start);
    }
    if (layers >= 4) {
        merge_layer(v, 3, layers, t, c, &to->start);
    }
    finish_sums(v, layers, group_bound(layers), to, next_bound, c);
}

/* The transform's last group: its last layer scales instead. */
DDT_INLINE void merge_last_group(vec *v, int layers, const uint64_t *t, const constants *c) {
    const int half = 1 << (layers - 1);
    const vec lift = lift_of(2 * half * group_bound(layers), c);
    merge_layer(v, 0, layers, t, c, NULL);
    if (layers >= 3) {
        merge_layer(v, 1, layers, t, c, NULL);
    }
    if (layers >= 4) {
        merge_layer(v, 2, layers, t, c, NULL);
    }
    DDT_UNROLL
    for (int k = 0; k < half; k++) {
        inverse_scale(&v[k], &v[k + half], t - TABLE_HEAD_WORDS, c->q, lift);
    }
}

/* `layers` layers on 2^layers vectors at a stride, in place; to: NULL in the transform's last sweep. */
DDT_INLINE void run_group(uint64_t *a, size_t stride, int layers, const uint64_t *t, const constants *c,
                          const destination *to, bool last_sweep) {
    vec v[16];
    const size_t last = ((size_t)1 << layers) - 1;
    DDT_UNROLL
    for (size_t k = 0; k <= last; k++) {
        v[k] = load(a + (last - k) * stride);
    }
    if (last_sweep) {
        merge_last_group(v, layers, t, c);
    } else {
        merge_group(v, layers, t, c, to, BOUND_SHORT); /* only the tails come before a sweep of four layers */
    }
    DDT_UNROLL
    for (size_t k = 0; k <= last; k++) {
        store(a + (last - k) * stride, v[k]);
    }
}

/* ------------------------------------------------------------------ the tail */

/* One layer between lanes on two blocks of 64, u and v. */
DDT_INLINE void lane_layer(vec *u, vec *v, int layer, const uint64_t *t, const constants *c) {
    const int half = 1 << layer;
    const size_t first = ((size_t)1 << (LANE_LAYERS - 1 - layer)) - 1;
    DDT_UNROLL
    for (int n = 0; n < LANES / 2; n++) {
        const int p = low_position(n, half);
        const size_t at = first + (size_t)(n / half);
        const lane_twiddle t1 = load_lane_twiddle(t, at, c->inverse);
        const lane_twiddle t2 = load_lane_twiddle(t, LANE_TWIDDLES + at, c->inverse);
        const vec *start1 = start_of(p, layer, LANE_LAYERS, c, &c->rows[0].start);
        const vec *start2 = start_of(p, layer, LANE_LAYERS, c, &c->rows[1].start);
        lane_butterflies(&u[p], &u[p + half], t1, start1, &v[p], &v[p + half], t2, start2, c);
    }
}

/* The biases of the first layer: -(ones of the position) q. */
DDT_INLINE void enter_lanes(vec *v, const constants *c) {
    DDT_UNROLL
    for (int p = 1; p < LANES; p++) {
        const int ones = (p & 1) + ((p >> 1) & 1) + ((p >> 2) & 1);
        v[p] = sub(v[p], c->multiple[MULTIPLES + ones]);
    }
}

/* The bias of the rows for the sums of the lanes' last layer. The sum of all eight residues lies in [-12 q, -4 q). */
DDT_INLINE void leave_lanes(vec *v, const destination *rows, const constants *c) {
    v[4] = add(v[4], rows->bias);
    v[5] = add(v[5], rows->bias);
    v[6] = shrink(v[6], lift_of(4, c), rows->shrink_start, c);
    v[7] = shrink(v[7], c->lane_lift, rows->shrink_start, c);
}

/* The first seven layers on 128 contiguous residues. */
DDT_INLINE void tail(uint64_t *a, const uint64_t *table, const constants *c, const destination *to, int next_bound) {
    vec u[TAIL_VECTORS];
    vec *v = u + LANES;
    const uint64_t *t = table + TAIL_PAIR_WORDS;
    DDT_UNROLL
    for (size_t k = 0; k < TAIL_VECTORS; k++) {
        u[k] = load(a + (TAIL_VECTORS - 1 - k) * LANES);
    }
    transpose(u);
    transpose(v);
    reverse(u);
    reverse(v);
    enter_lanes(u, c);
    enter_lanes(v, c);
    lane_layer(u, v, 0, t, c);
    lane_layer(u, v, 1, t, c);
    lane_layer(u, v, 2, t, c);
    leave_lanes(u, &c->rows[0], c);
    leave_lanes(v, &c->rows[1], c);
    reverse(u);
    reverse(v);
    transpose(u);
    transpose(v);
    merge_group(u, 4, table, c, to, next_bound);
    DDT_UNROLL
    for (size_t k = 0; k < TAIL_VECTORS; k++) {
        store(a + (TAIL_VECTORS - 1 - k) * LANES, u[k]);
    }
}

/* ------------------------------------------------------------------ passes */

/* The destination of results of node `node` (mirrored) in the group of the next sweep, which has `layers` layers. */
DDT_INLINE destination make_destination(size_t node, unsigned layers, const constants *c) {
    const int bound = group_bound((int)layers);
    const int ones = __builtin_popcountll(node & (((size_t)1 << layers) - 1));
    const vec bias = times_q(c, bound * ((int)layers - 2 * ones));
    return to_bias(bias, c);
}

/* The last sweep there is: the one after the tails. */
static unsigned layers_after_tails(const inverse_job *job) {
    const unsigned *layers = job->plan.layers;
    return layers[2] != 0 ? layers[2] : layers[1] != 0 ? layers[1] : layers[0];
}

/* From the last tail to the first: the mirrored twiddles, the larger stream, are then read upwards. */
static void tails(const inverse_job *job, uint64_t *a, size_t from, size_t size) {
    const unsigned next_layers = layers_after_tails(job);
    size_t node = (job->n - from - size) / TAIL;
    const uint64_t *t = job->tables + job->plan.tail_at + node * TAIL_WORDS;
    for (size_t at = from + size - TAIL; node < (job->n - from) / TAIL; node++, t += TAIL_WORDS, at -= TAIL) {
        const constants *c = opaque(job->constants);
        const destination to = make_destination(node, next_layers, c);
        fetch_ahead(t + PREFETCH_TAILS * TAIL_WORDS, TAIL_WORDS / LANES);
        fetch_ahead(a + at - PREFETCH_TAILS * TAIL, TAIL_VECTORS);
        if (next_layers == 4) {
            tail(a + at, t, c, &to, BOUND_LONG);
        } else {
            tail(a + at, t, c, &to, BOUND_SHORT);
        }
    }
}

DDT_INLINE void sweep_layers(uint64_t *a, size_t part, int layers, const uint64_t *t, const constants *c,
                             const destination *to, bool last_sweep) {
    for (size_t j = 0; j < part; j += LANES) {
        run_group(a + j, part, layers, opaque(t), opaque(c), to, last_sweep);
    }
}

DDT_INLINE void sweep_block(uint64_t *a, size_t part, unsigned layers, const uint64_t *t, const constants *c,
                            const destination *to, bool last_sweep) {
    if (layers == 4) {
        sweep_layers(a, part, 4, t, c, to, last_sweep);
    } else if (layers == 3) {
        sweep_layers(a, part, 3, t, c, to, last_sweep);
    } else {
        sweep_layers(a, part, 2, t, c, to, last_sweep);
    }
}

static void sweep(const inverse_job *job, uint64_t *a, size_t index, size_t node) {
    const constants *c = job->constants;
    unsigned layers = job->plan.layers[index];
    unsigned depth = inverse_depth(job, index);
    size_t span = job->n >> depth;
    const uint64_t *t = inverse_twiddles(job, index, node);
    uint64_t *block = a + node * span;
    if (index == 0) {
        sweep_block(block, span >> layers, layers, t, c, NULL, true);
        return;
    }
    const destination to = make_destination(((size_t)1 << depth) - 1 - node, job->plan.layers[index - 1], c);
    sweep_block(block, span >> layers, layers, t, c, &to, false);
}

/* The bias of row `lane` (plus eight, if last_rows) of a tail's group of sixteen. */
static vec lane_bias(uint64_t q, bool last_rows) {
    long long bias[LANES];
    for (int lane = 0; lane < LANES; lane++) {
        const int ones = __builtin_popcount((unsigned)lane) + (last_rows ? 1 : 0);
        bias[lane] = BOUND_LONG * (4 - 2 * ones) * (long long)q;
    }
    return _mm512_set_epi64(bias[7], bias[6], bias[5], bias[4], bias[3], bias[2], bias[1], bias[0]);
}

void ddt_avx512ifma_intt_lazy(const ddt_modulus *modulus, uint64_t *const *limbs, size_t count) {
    constants c = {.q = splat(modulus->q),
                   .inverse = splat(modulus->inverse_52),
                   .quotient = splat((UINT64_C(1) << WORD_BITS) / modulus->q)};
    for (int i = -MULTIPLES; i <= MULTIPLES; i++) {
        c.multiple[MULTIPLES + i] = times_q(&c, i);
    }
    for (int i = 0; i < 4; i++) {
        c.lift[i] = times_q(&c, 4 << i);
    }
    c.lane_lift = times_q(&c, LANE_SUM_BIAS);
    c.rows[0] = to_bias(lane_bias(modulus->q, false), &c);
    c.rows[1] = to_bias(lane_bias(modulus->q, true), &c);
    const inverse_job job = {.plan = ddt_avx512ifma_plan(modulus->log_n),
                             .tables = modulus->tables,
                             .n = modulus->n,
                             .constants = &c,
                             .tails = tails,
                             .sweep = sweep};
    inverse_run(&job, limbs, count);
}
