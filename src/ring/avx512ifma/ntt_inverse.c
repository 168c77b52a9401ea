/*
 * Inverse NTT with IFMA, strict form: see ntt_inverse.h for the order of things.
 *
 * Ranges. A butterfly wants low in [0, 2q) and high in [-2q, 0): then low - high lies in [0, 4q), which is below 2^52,
 * and low + high in
 * [-2q, 2q) is brought into [0, 2q) or [-2q, 0) by one addition and one minimum or maximum of unsigned words, where
 * negative numbers are huge. The product in (-q, q) gets the bias q or -q. Which of the two ranges a result needs is
 * known when it is made: it is the parity of its node in the next layer. The first layer has both in [0, q) and adds q
 * to the difference.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ntt_inverse.h"

#include "../scalar/scalar_kernels.h"

/*
 * What the next layer does with the results of two butterflies: it takes both as low, both as high, the first's as low
 * and the second's as high, or (after the lanes' layers, before the transposition) even lanes as low and odd lanes as
 * high.
 */
typedef enum role { ROLE_LOW, ROLE_HIGH, ROLE_LOW_HIGH, ROLE_LANES } role;

typedef struct constants {
    vec q;
    vec minus_q;
    vec twice_q;
    vec inverse;       /* q^-1 mod 2^52 */
    vec lane_start;    /* -q in even lanes, q in odd ones */
    vec lane_subtract; /* 0 in even lanes, 2q in odd ones */
} constants;

/* ------------------------------------------------------------------ butterflies */

/* Two butterflies side by side; about the order of the instructions see ntt_forward.c. */
#define DIFFERENCES                                                                                                    \
    "vpsubq %[h1], %[l1], %[d1]\n\t"                                                                                   \
    "vpsubq %[h2], %[l2], %[d2]\n\t"                                                                                   \
    "vpaddq %[h1], %[l1], %[h1]\n\t"                                                                                   \
    "vpaddq %[h2], %[l2], %[h2]\n\t"
#define DIFFERENCE_BIAS                                                                                                \
    "vpaddq %[q], %[d1], %[d1]\n\t"                                                                                    \
    "vpaddq %[q], %[d2], %[d2]\n\t"
#define QUOTIENTS(broadcast)                                                                                           \
    "vmovdqa64 %[zero], %[m1]\n\t"                                                                                     \
    "vmovdqa64 %[zero], %[m2]\n\t"                                                                                     \
    "vpmadd52luq %[i1]" broadcast ", %[d1], %[m1]\n\t"                                                                 \
    "vpmadd52luq %[i2]" broadcast ", %[d2], %[m2]\n\t"
#define SUMS_LOW                                                                                                       \
    "vpaddq %[twice], %[h1], %[l1]\n\t"                                                                                \
    "vpaddq %[twice], %[h2], %[l2]\n\t"                                                                                \
    "vpminuq %[l1], %[h1], %[h1]\n\t"                                                                                  \
    "vpminuq %[l2], %[h2], %[h2]\n\t"
#define SUMS_HIGH                                                                                                      \
    "vpsubq %[twice], %[h1], %[l1]\n\t"                                                                                \
    "vpsubq %[twice], %[h2], %[l2]\n\t"                                                                                \
    "vpmaxuq %[l1], %[h1], %[h1]\n\t"                                                                                  \
    "vpmaxuq %[l2], %[h2], %[h2]\n\t"
#define SUMS_LOW_HIGH                                                                                                  \
    "vpaddq %[twice], %[h1], %[l1]\n\t"                                                                                \
    "vpsubq %[twice], %[h2], %[l2]\n\t"                                                                                \
    "vpminuq %[l1], %[h1], %[h1]\n\t"                                                                                  \
    "vpmaxuq %[l2], %[h2], %[h2]\n\t"
#define SUMS_LANES                                                                                                     \
    SUMS_LOW                                                                                                           \
    "vpsubq %[lanes], %[h1], %[h1]\n\t"                                                                                \
    "vpsubq %[lanes], %[h2], %[h2]\n\t"
#define FIRST_SUMS_HIGH                                                                                                \
    "vpsubq %[twice], %[h1], %[h1]\n\t"                                                                                \
    "vpsubq %[twice], %[h2], %[h2]\n\t"
#define PRODUCTS(broadcast)                                                                                            \
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
/* Subtracting z - q leaves the product in (0, 2q), subtracting z + q in (-2q, 0). */
#define OPERANDS(...)                                                                                                  \
    : [l1] "+v"(u1), [h1] "+v"(v1), [l2] "+v"(u2), [h2] "+v"(v2), [m1] "=&v"(m1), [m2] "=&v"(m2), [d1] "=&v"(d1),      \
      [d2] "=&v"(d2)                                                                                                   \
    : __VA_ARGS__, [q] "v"(c->q), [twice] "v"(c->twice_q), [zero] "v"(zero()),                                         \
      [start1] "v"(out == ROLE_LANES  ? c->lane_start                                                                  \
                   : out == ROLE_HIGH ? c->q                                                                           \
                                      : c->minus_q),                                                                   \
      [start2] "v"(out == ROLE_LANES ? c->lane_start                                                                   \
                   : out == ROLE_LOW ? c->minus_q                                                                      \
                                     : c->q),                                                                          \
      [lanes] "v"(out == ROLE_LANES ? c->lane_subtract : c->q)
#define CASES(broadcast, ...)                                                                                          \
    vec u1 = *low1, u2 = *low2, v1 = *high1, v2 = *high2, m1, m2, d1, d2;                                              \
    if (out == ROLE_LOW) {                                                                                             \
        __asm__(DIFFERENCES QUOTIENTS(broadcast) SUMS_LOW PRODUCTS(broadcast) OPERANDS(__VA_ARGS__));                  \
    } else if (out == ROLE_HIGH) {                                                                                     \
        __asm__(DIFFERENCES QUOTIENTS(broadcast) SUMS_HIGH PRODUCTS(broadcast) OPERANDS(__VA_ARGS__));                 \
    } else if (out == ROLE_LOW_HIGH) {                                                                                 \
        __asm__(DIFFERENCES QUOTIENTS(broadcast) SUMS_LOW_HIGH PRODUCTS(broadcast) OPERANDS(__VA_ARGS__));             \
    } else {                                                                                                           \
        __asm__(DIFFERENCES QUOTIENTS(broadcast) SUMS_LANES PRODUCTS(broadcast) OPERANDS(__VA_ARGS__));                \
    }                                                                                                                  \
    *low1 = u1, *low2 = u2, *high1 = v1, *high2 = v2
#define FIRST_CASES(...)                                                                                               \
    vec u1 = *low1, u2 = *low2, v1 = *high1, v2 = *high2, m1, m2, d1, d2;                                              \
    if (out == ROLE_LOW) {                                                                                             \
        __asm__(DIFFERENCES DIFFERENCE_BIAS QUOTIENTS("") PRODUCTS("") OPERANDS(__VA_ARGS__));                         \
    } else {                                                                                                           \
        __asm__(DIFFERENCES DIFFERENCE_BIAS QUOTIENTS("") FIRST_SUMS_HIGH PRODUCTS("") OPERANDS(__VA_ARGS__));         \
    }                                                                                                                  \
    *low1 = u1, *low2 = u2, *high1 = v1, *high2 = v2

/* Butterflies (low1, high1) by the pair at t1 and (low2, high2) by the pair at t2. */
DDT_INLINE void butterflies(vec *low1, vec *high1, const uint64_t *t1, vec *low2, vec *high2, const uint64_t *t2,
                            const constants *c, role out) {
    CASES("%{1to8%}", [w1] "m"(t1[0]), [i1] "m"(t1[1]), [w2] "m"(t2[0]), [i2] "m"(t2[1]));
}

/* The same with twiddles for each lane. */
DDT_INLINE void lane_butterflies(vec *low1, vec *high1, lane_twiddle t1, vec *low2, vec *high2, lane_twiddle t2,
                                 const constants *c, role out) {
    CASES("", [w1] "m"(*t1.w), [i1] "v"(t1.inverse), [w2] "m"(*t2.w), [i2] "v"(t2.inverse));
}

/* The same from residues in [0, q), in the first layer of all. */
DDT_INLINE void first_butterflies(vec *low1, vec *high1, lane_twiddle t1, vec *low2, vec *high2, lane_twiddle t2,
                                  const constants *c, role out) {
    FIRST_CASES([w1] "m"(*t1.w), [i1] "v"(t1.inverse), [w2] "m"(*t2.w), [i2] "v"(t2.inverse));
}

/* ------------------------------------------------------------------ groups: 2^k vectors in registers */

/* The first layer of a group, on two neighbouring pairs of vectors. */
DDT_INLINE void merge_pairs(vec *v, const uint64_t *t, const constants *c) {
    butterflies(&v[0], &v[1], t, &v[2], &v[3], t + 2, c, ROLE_LOW_HIGH);
}

/* One layer on v[0..2 half) by the one pair at t. */
DDT_INLINE void merge(vec *v, int half, const uint64_t *t, const constants *c, role out) {
    butterflies(&v[0], &v[half], t, &v[1], &v[half + 1], t, c, out);
    if (half >= 4) {
        butterflies(&v[2], &v[half + 2], t, &v[3], &v[half + 3], t, c, out);
    }
    if (half >= 8) {
        butterflies(&v[4], &v[half + 4], t, &v[5], &v[half + 5], t, c, out);
        butterflies(&v[6], &v[half + 6], t, &v[7], &v[half + 7], t, c, out);
    }
}

/* All layers of a group but the last. */
DDT_INLINE void merge_parts(vec *v, unsigned layers, const uint64_t *t, const constants *c) {
    if (layers == 4) {
        merge_pairs(v, t + 14, c);
        merge_pairs(v + 4, t + 18, c);
        merge_pairs(v + 8, t + 22, c);
        merge_pairs(v + 12, t + 26, c);
        merge(v, 2, t + 6, c, ROLE_LOW);
        merge(v + 4, 2, t + 8, c, ROLE_HIGH);
        merge(v + 8, 2, t + 10, c, ROLE_LOW);
        merge(v + 12, 2, t + 12, c, ROLE_HIGH);
        merge(v, 4, t + 2, c, ROLE_LOW);
        merge(v + 8, 4, t + 4, c, ROLE_HIGH);
    } else if (layers == 3) {
        merge_pairs(v, t + 6, c);
        merge_pairs(v + 4, t + 10, c);
        merge(v, 2, t + 2, c, ROLE_LOW);
        merge(v + 4, 2, t + 4, c, ROLE_HIGH);
    } else {
        merge_pairs(v, t + 2, c);
    }
}

/* `layers` layers on 2^layers vectors at a stride, in place; last_sweep: the transform ends with it. */
DDT_INLINE void run_group(uint64_t *a, size_t stride, unsigned layers, const uint64_t *t, const constants *c,
                          bool last_sweep, role out) {
    vec v[16];
    const size_t last = ((size_t)1 << layers) - 1;
    DDT_UNROLL
    for (size_t k = 0; k <= last; k++) {
        v[k] = load(a + (last - k) * stride);
    }
    merge_parts(v, layers, t, c);
    if (!last_sweep) {
        merge(v, 1 << (layers - 1), t, c, out);
    } else {
        DDT_UNROLL
        for (size_t k = 0; k <= last / 2; k++) {
            inverse_scale(&v[k], &v[k + last / 2 + 1], t - TABLE_HEAD_WORDS, c->q, c->twice_q);
        }
    }
    DDT_UNROLL
    for (size_t k = 0; k <= last; k++) {
        store(a + (last - k) * stride, v[k]);
    }
}

/* ------------------------------------------------------------------ the tail */

/* `count` butterflies of each of two blocks of 64, u and u + 8, in the transposed order, by the twiddles `at` of the
 * blocks. */
DDT_INLINE void lane_layer(vec *u, const uint64_t *t, size_t at, int x, int half, int count, const constants *c,
                           role out) {
    const lane_twiddle t1 = load_lane_twiddle(t, at, c->inverse);
    const lane_twiddle t2 = load_lane_twiddle(t, LANE_TWIDDLES + at, c->inverse);
    DDT_UNROLL
    for (int k = x; k < x + count; k++) {
        if (half == 1) {
            first_butterflies(&u[k], &u[k + 1], t1, &u[LANES + k], &u[LANES + k + 1], t2, c, out);
        } else {
            lane_butterflies(&u[k], &u[k + half], t1, &u[LANES + k], &u[LANES + k + half], t2, c, out);
        }
    }
}

/* The first seven layers on 128 contiguous residues. */
DDT_INLINE void tail(uint64_t *a, const uint64_t *table, const constants *c, role out) {
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
    lane_layer(u, t, 3, 0, 1, 1, c, ROLE_LOW);
    lane_layer(u, t, 4, 2, 1, 1, c, ROLE_HIGH);
    lane_layer(u, t, 5, 4, 1, 1, c, ROLE_LOW);
    lane_layer(u, t, 6, 6, 1, 1, c, ROLE_HIGH);
    lane_layer(u, t, 1, 0, 2, 2, c, ROLE_LOW);
    lane_layer(u, t, 2, 4, 2, 2, c, ROLE_HIGH);
    lane_layer(u, t, 0, 0, 4, 4, c, ROLE_LANES);
    reverse(u);
    reverse(v);
    transpose(u);
    transpose(v);
    merge_parts(u, 4, table, c);
    merge(u, 8, table, c, out);
    DDT_UNROLL
    for (size_t k = 0; k < TAIL_VECTORS; k++) {
        store(a + (TAIL_VECTORS - 1 - k) * LANES, u[k]);
    }
}

/* ------------------------------------------------------------------ passes */

/*
 * From the last tail to the first: the mirrored twiddles, the larger stream, are then read upwards. Two at a time: the
 * left one is high in the layer that follows.
 */
static void tails(const inverse_job *job, uint64_t *a, size_t from, size_t size) {
    const uint64_t *t = job->tables + job->plan.tail_at + (job->n - from - size) / TAIL * TAIL_WORDS;
    for (size_t end = from + size; end > from; end -= (size_t)2 * TAIL, t += (size_t)2 * TAIL_WORDS) {
        fetch_ahead(t + PREFETCH_TAILS * TAIL_WORDS, (size_t)2 * TAIL_WORDS / LANES);
        fetch_ahead(a + end - (PREFETCH_TAILS + 2) * TAIL, (size_t)2 * TAIL_VECTORS);
        tail(a + end - TAIL, t, opaque(job->constants), ROLE_LOW);
        tail(a + end - (size_t)2 * TAIL, t + TAIL_WORDS, opaque(job->constants), ROLE_HIGH);
    }
}

DDT_INLINE void sweep_layers(uint64_t *a, size_t part, unsigned layers, const uint64_t *t, const constants *c,
                             bool last_sweep, role out) {
    for (size_t j = 0; j < part; j += LANES) {
        run_group(a + j, part, layers, opaque(t), opaque(c), last_sweep, out);
    }
}

/* `layers` layers on the block of 2^layers parts of `part` residues at a. */
DDT_INLINE void sweep_block(uint64_t *a, size_t part, unsigned layers, const uint64_t *t, const constants *c,
                            bool last_sweep, role out) {
    if (layers == 4) {
        sweep_layers(a, part, 4, t, c, last_sweep, out);
    } else if (layers == 3) {
        sweep_layers(a, part, 3, t, c, last_sweep, out);
    } else {
        sweep_layers(a, part, 2, t, c, last_sweep, out);
    }
}

/* An even node is odd in the mirrored order, and so high in the layer that follows. */
static void sweep(const inverse_job *job, uint64_t *a, size_t index, size_t node) {
    const constants *c = job->constants;
    unsigned layers = job->plan.layers[index];
    size_t span = job->n >> inverse_depth(job, index);
    const uint64_t *t = inverse_twiddles(job, index, node);
    uint64_t *block = a + node * span;
    if (index == 0) {
        sweep_block(block, span >> layers, layers, t, c, true, ROLE_LOW);
    } else if (node % 2 == 0) {
        sweep_block(block, span >> layers, layers, t, c, false, ROLE_HIGH);
    } else {
        sweep_block(block, span >> layers, layers, t, c, false, ROLE_LOW);
    }
}

static void intt_strict(const ddt_modulus *modulus, uint64_t *const *limbs, size_t count) {
    const long long q = (long long)modulus->q;
    const constants c = {.q = splat(modulus->q),
                         .minus_q = splat(0 - modulus->q),
                         .twice_q = splat(2 * modulus->q),
                         .inverse = splat(modulus->inverse_52),
                         .lane_start = _mm512_set_epi64(q, -q, q, -q, q, -q, q, -q),
                         .lane_subtract = _mm512_set_epi64(2 * q, 0, 2 * q, 0, 2 * q, 0, 2 * q, 0)};
    const inverse_job job = {.plan = ddt_avx512ifma_plan(modulus->log_n),
                             .tables = modulus->tables,
                             .n = modulus->n,
                             .constants = &c,
                             .tails = tails,
                             .sweep = sweep};
    inverse_run(&job, limbs, count);
}

void ddt_avx512ifma_intt_many(const ddt_modulus *modulus, uint64_t *const *limbs, size_t count) {
    if (modulus->log_n >= LOG_N_VECTOR) {
        if (modulus->bits <= LAZY_BITS) {
            ddt_avx512ifma_intt_lazy(modulus, limbs, count);
        } else {
            intt_strict(modulus, limbs, count);
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        ddt_scalar_intt(modulus, limbs[i]);
    }
}

void ddt_avx512ifma_intt(const ddt_modulus *modulus, uint64_t *a) { ddt_avx512ifma_intt_many(modulus, &a, 1); }
