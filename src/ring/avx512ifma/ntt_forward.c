/*
 * Forward NTT with IFMA.
 *
 * Ranges. A butterfly takes x and y to x + t and x - t, t = y w in (-q, q), and wants y in [0, 2^52). The period
 * P = 1, 2, 4, 8, 16 for moduli of 50, 49, 48, 47 and at most 45 bits makes 4 P q < 2^52: residues are kept in
 * [0, 4 P q). Each layer widens the range by q on either side, so x is brought from [0, 4Pq) to [Pq, 3Pq), by a
 * subtraction, a minimum and an addition, in every P-th layer at the latest:
 * - P = 1: in every layer;
 * - P = 2: where an even number of layers is left;
 * - P = 4: in the first layer of a pass, which has at most four;
 * - P = 8: in the first layer of the tail only. At most ten layers come before it and start from [11q, 12q), so
 *   [q, 22q) reaches it; the tail's seven layers make [8q, 24q) into [q, 31q);
 * - P = 16: never. Seventeen layers make [17q, 18q) into [0, 35q).
 * The transform's first layer has x in [0, q) and adds a bias (Pq, 11q, 17q) in place of the reduction. Moduli of 46
 * bits have the period 8, too, because that leaves results below 2^51, from where [0, q) is nearer: see canonical().
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ntt.h"

#include "../scalar/scalar_kernels.h"

enum { EXACT_BITS = 46 }; /* the largest moduli with an exact quotient at the end */

typedef enum pass_kind { PASS_FIRST, PASS_MIDDLE, PASS_TAIL } pass_kind;

typedef enum range_step { RANGE_KEEP, RANGE_BIAS, RANGE_REDUCE } range_step;

typedef struct constants {
    vec q;
    vec inverse;  /* q^-1 mod 2^52 */
    vec step;     /* 2Pq */
    vec bias;     /* Pq, in the first pass the first bias */
    vec quotient; /* floor(2^52 / q), or, for at most 46 bits, ceil(2^(bits + 51) / q) */
    vec shift;    /* bits - 1 */
} constants;

/* The place of a pass in the transform; left: how many layers are left at its begin, or any number of that parity. */
typedef struct schedule {
    int period;
    pass_kind kind;
    unsigned left;
} schedule;

/* What layer `layer` of a pass does to x: see the head of the file. */
DDT_INLINE range_step range_of_layer(schedule s, unsigned layer) {
    if (s.kind == PASS_FIRST && layer == 0) {
        return RANGE_BIAS;
    }
    bool reduce = s.period == 1 || (s.period == 2 && (s.left + layer) % 2 == 0) || (s.period == 4 && layer == 0) ||
                  (s.period == 8 && layer == 0 && s.kind == PASS_TAIL);
    return reduce ? RANGE_REDUCE : RANGE_KEEP;
}

/* ------------------------------------------------------------------ butterflies */

/*
 * Two butterflies side by side, in assembly because the order of the instructions decides the speed: processors hand
 * consecutive instructions to alternating schedulers, and only pairs keep both multipliers busy. t is never formed:
 * with h = x + high(y W) and z = high(m q) the results are x' = h - z = x + t and 2x - x' = x - t.
 */
#define BUTTERFLY_REDUCE                                                                                               \
    "vpsubq %[step], %[x1], %[m1]\n\t"                                                                                 \
    "vpsubq %[step], %[x2], %[m2]\n\t"                                                                                 \
    "vpminuq %[m1], %[x1], %[x1]\n\t"                                                                                  \
    "vpminuq %[m2], %[x2], %[x2]\n\t"
#define BUTTERFLY_BIAS                                                                                                 \
    "vpaddq %[bias], %[x1], %[x1]\n\t"                                                                                 \
    "vpaddq %[bias], %[x2], %[x2]\n\t"
#define BUTTERFLY_CORE(broadcast, inverse_broadcast)                                                                   \
    "vmovdqa64 %[zero], %[m1]\n\t"                                                                                     \
    "vmovdqa64 %[zero], %[m2]\n\t"                                                                                     \
    "vpmadd52luq %[i1]" inverse_broadcast ", %[y1], %[m1]\n\t"                                                         \
    "vpmadd52luq %[i2]" inverse_broadcast ", %[y2], %[m2]\n\t"                                                         \
    "vpaddq %[x1], %[x1], %[d1]\n\t"                                                                                   \
    "vpaddq %[x2], %[x2], %[d2]\n\t"                                                                                   \
    "vpmadd52huq %[w1]" broadcast ", %[y1], %[x1]\n\t"                                                                 \
    "vpmadd52huq %[w2]" broadcast ", %[y2], %[x2]\n\t"                                                                 \
    "vmovdqa64 %[zero], %[y1]\n\t"                                                                                     \
    "vmovdqa64 %[zero], %[y2]\n\t"                                                                                     \
    "vpmadd52huq %[q], %[m1], %[y1]\n\t"                                                                               \
    "vpmadd52huq %[q], %[m2], %[y2]\n\t"                                                                               \
    "vpsubq %[y1], %[x1], %[x1]\n\t"                                                                                   \
    "vpsubq %[y2], %[x2], %[x2]\n\t"                                                                                   \
    "vpsubq %[x1], %[d1], %[y1]\n\t"                                                                                   \
    "vpsubq %[x2], %[d2], %[y2]\n\t"
#define BUTTERFLY_OPERANDS(...)                                                                                        \
    : [x1] "+v"(u1), [y1] "+v"(v1), [x2] "+v"(u2), [y2] "+v"(v2), [m1] "=&v"(m1), [m2] "=&v"(m2), [d1] "=&v"(d1),      \
      [d2] "=&v"(d2)                                                                                                   \
    : __VA_ARGS__, [q] "v"(c->q), [zero] "v"(zero()), [step] "v"(range == RANGE_REDUCE ? c->step : c->q),              \
      [bias] "v"(range != RANGE_KEEP ? c->bias : c->q)
#define ONE_TO_EIGHT "%{1to8%}"

#define BUTTERFLY_CASES(core, ...)                                                                                     \
    vec u1 = *x1, u2 = *x2, v1 = *y1, v2 = *y2, m1, m2, d1, d2;                                                        \
    if (range == RANGE_REDUCE) {                                                                                       \
        __asm__(BUTTERFLY_REDUCE BUTTERFLY_BIAS core BUTTERFLY_OPERANDS(__VA_ARGS__));                                 \
    } else if (range == RANGE_BIAS) {                                                                                  \
        __asm__(BUTTERFLY_BIAS core BUTTERFLY_OPERANDS(__VA_ARGS__));                                                  \
    } else {                                                                                                           \
        __asm__(core BUTTERFLY_OPERANDS(__VA_ARGS__));                                                                 \
    }                                                                                                                  \
    *x1 = u1, *x2 = u2, *y1 = v1, *y2 = v2

/* Butterflies (x1, y1) by the pair at t1 and (x2, y2) by the pair at t2. */
DDT_INLINE void butterflies(vec *x1, vec *y1, const uint64_t *t1, vec *x2, vec *y2, const uint64_t *t2,
                            const constants *c, range_step range) {
    BUTTERFLY_CASES(
        BUTTERFLY_CORE(ONE_TO_EIGHT, ONE_TO_EIGHT), [w1] "m"(t1[0]), [i1] "m"(t1[1]), [w2] "m"(t2[0]), [i2] "m"(t2[1]));
}

/* The same with twiddles for each lane. */
DDT_INLINE void lane_butterflies(vec *x1, vec *y1, lane_twiddle t1, vec *x2, vec *y2, lane_twiddle t2,
                                 const constants *c, range_step range) {
    BUTTERFLY_CASES(
        BUTTERFLY_CORE("", ""), [w1] "m"(*t1.w), [i1] "v"(t1.inverse), [w2] "m"(*t2.w), [i2] "v"(t2.inverse));
}

/* ------------------------------------------------------------------ groups: 2^k vectors in registers */

/* One layer on v[0..2 half): both halves by the one pair at t. */
DDT_INLINE void split(vec *v, int half, const uint64_t *t, const constants *c, range_step range) {
    butterflies(&v[0], &v[half], t, &v[1], &v[half + 1], t, c, range);
    if (half >= 4) {
        butterflies(&v[2], &v[half + 2], t, &v[3], &v[half + 3], t, c, range);
    }
    if (half >= 8) {
        butterflies(&v[4], &v[half + 4], t, &v[5], &v[half + 5], t, c, range);
        butterflies(&v[6], &v[half + 6], t, &v[7], &v[half + 7], t, c, range);
    }
}

/* The last layer of two neighbouring pairs of vectors. */
DDT_INLINE void split_pairs(vec *v, const uint64_t *t, const constants *c, range_step range) {
    butterflies(&v[0], &v[1], t, &v[2], &v[3], t + 2, c, range);
}

DDT_INLINE void group_4(vec *v, const uint64_t *t, const constants *c, schedule s) {
    split(v, 2, t, c, range_of_layer(s, 0));
    split_pairs(v, t + 2, c, range_of_layer(s, 1));
}

DDT_INLINE void group_8(vec *v, const uint64_t *t, const constants *c, schedule s) {
    split(v, 4, t, c, range_of_layer(s, 0));
    split(v, 2, t + 2, c, range_of_layer(s, 1));
    split(v + 4, 2, t + 4, c, range_of_layer(s, 1));
    split_pairs(v, t + 6, c, range_of_layer(s, 2));
    split_pairs(v + 4, t + 10, c, range_of_layer(s, 2));
}

DDT_INLINE void group_16(vec *v, const uint64_t *t, const constants *c, schedule s) {
    split(v, 8, t, c, range_of_layer(s, 0));
    split(v, 4, t + 2, c, range_of_layer(s, 1));
    split(v + 8, 4, t + 4, c, range_of_layer(s, 1));
    range_step third = range_of_layer(s, 2);
    split(v, 2, t + 6, c, third);
    split(v + 4, 2, t + 8, c, third);
    split(v + 8, 2, t + 10, c, third);
    split(v + 12, 2, t + 12, c, third);
    range_step fourth = range_of_layer(s, 3);
    split_pairs(v, t + 14, c, fourth);
    split_pairs(v + 4, t + 18, c, fourth);
    split_pairs(v + 8, t + 22, c, fourth);
    split_pairs(v + 12, t + 26, c, fourth);
}

/* `layers` layers on 2^layers vectors at a stride, in place. */
DDT_INLINE void run_group(uint64_t *a, size_t stride, unsigned layers, const uint64_t *t, const constants *c,
                          schedule s) {
    vec v[16];
    const size_t count = (size_t)1 << layers;
    DDT_UNROLL
    for (size_t k = 0; k < count; k++) {
        v[k] = load(a + k * stride);
    }
    if (layers == 4) {
        group_16(v, t, c, s);
    } else if (layers == 3) {
        group_8(v, t, c, s);
    } else {
        group_4(v, t, c, s);
    }
    DDT_UNROLL
    for (size_t k = 0; k < count; k++) {
        store(a + k * stride, v[k]);
    }
}

/* ------------------------------------------------------------------ the tail */

/*
 * Two vectors from [0, 4Pq) to [0, q).
 *
 * P = 1: two conditional subtractions.
 * Moduli of at most s = 46 bits: x < 35 * 2^45 or x < 31 * 2^46, in both cases below 2^51. With B = 2^(s+51) / q + d, 0
 * < d < 1, the error of x B / 2^(s+51), x d / 2^(s+51) < 2^51 / 2^(s+51) < 1 / q, is too small to carry x / q over an
 * integer: the quotient is exact. Others: floor(x floor(2^52 / q) / 2^52) is at most 1 too small, as x < 2^52.
 */
DDT_INLINE void canonical(vec *a, vec *b, const constants *c, int period, bool exact) {
    vec x = *a;
    vec y = *b;
    if (period == 1) {
        vec x_less = sub(x, c->step);
        vec y_less = sub(y, c->step);
        x = min(x, x_less);
        y = min(y, y_less);
    } else {
        vec e = add_high(zero(), x, c->quotient);
        vec f = add_high(zero(), y, c->quotient);
        if (exact) {
            e = _mm512_srlv_epi64(e, c->shift);
            f = _mm512_srlv_epi64(f, c->shift);
        }
        x = sub(x, add_low(zero(), e, c->q));
        y = sub(y, add_low(zero(), f, c->q));
    }
    if (!exact) {
        vec x_less = sub(x, c->q);
        vec y_less = sub(y, c->q);
        x = min(x, x_less);
        y = min(y, y_less);
    }
    *a = x;
    *b = y;
}

/* `count` butterflies of each of two blocks of 64, v and v + 8, in the transposed order, by the twiddles `at` of the
 * blocks. */
DDT_INLINE void lane_layer(vec *v, const uint64_t *t, size_t at, int x, int half, int count, const constants *c,
                           range_step range) {
    const lane_twiddle t1 = load_lane_twiddle(t, at, c->inverse);
    const lane_twiddle t2 = load_lane_twiddle(t, LANE_TWIDDLES + at, c->inverse);
    DDT_UNROLL
    for (int k = x; k < x + count; k++) {
        lane_butterflies(&v[k], &v[k + half], t1, &v[LANES + k], &v[LANES + k + half], t2, c, range);
    }
}

/* The last seven layers on 128 contiguous residues. */
DDT_INLINE void tail(uint64_t *a, const uint64_t *t, const constants *c, int period, bool exact) {
    vec v[TAIL_VECTORS];
    DDT_UNROLL
    for (size_t k = 0; k < TAIL_VECTORS; k++) {
        v[k] = load(a + k * LANES);
    }
    group_16(v, t, c, (schedule){period, PASS_TAIL, LOG_TAIL});
    transpose(v);
    transpose(v + LANES);
    t += TAIL_PAIR_WORDS;
    const schedule lanes = {period, PASS_MIDDLE, LANE_LAYERS};
    lane_layer(v, t, 0, 0, 4, 4, c, range_of_layer(lanes, 0));
    range_step second = range_of_layer(lanes, 1);
    lane_layer(v, t, 1, 0, 2, 2, c, second);
    lane_layer(v, t, 2, 4, 2, 2, c, second);
    range_step third = range_of_layer(lanes, 2);
    lane_layer(v, t, 3, 0, 1, 1, c, third);
    lane_layer(v, t, 4, 2, 1, 1, c, third);
    lane_layer(v, t, 5, 4, 1, 1, c, third);
    lane_layer(v, t, 6, 6, 1, 1, c, third);
    DDT_UNROLL
    for (size_t k = 0; k < LANES; k++) {
        canonical(&v[k], &v[LANES + k], c, period, exact);
    }
    transpose(v);
    transpose(v + LANES);
    DDT_UNROLL
    for (size_t k = 0; k < TAIL_VECTORS; k++) {
        store(a + k * LANES, v[k]);
    }
}

/* ------------------------------------------------------------------ passes */

typedef struct transform {
    ntt_plan plan;
    void (*tails)(const struct transform *job, uint64_t *a, size_t from, size_t size);
    const uint64_t *tables;
    constants first; /* constants of the first pass: its bias is another */
    constants rest;
} transform;

/* `layers` layers on the block of 2^layers parts of `part` residues at a. */
DDT_INLINE void sweep_layers(uint64_t *a, size_t part, unsigned layers, const uint64_t *t, const constants *c,
                             schedule s) {
    for (size_t j = 0; j < part; j += LANES) {
        run_group(a + j, part, layers, opaque(t), c, s);
    }
}

DDT_INLINE void sweep(uint64_t *a, size_t part, unsigned layers, const uint64_t *t, const constants *c, schedule s) {
    if (layers == 4) {
        sweep_layers(a, part, 4, t, c, s);
    } else if (layers == 3) {
        sweep_layers(a, part, 3, t, c, s);
    } else {
        sweep_layers(a, part, 2, t, c, s);
    }
}

/* A sweep with `left` layers left, whose parity the code for P = 2 has to know. */
DDT_INLINE void run_sweep(uint64_t *a, size_t part, unsigned layers, const uint64_t *t, const constants *c, int period,
                          pass_kind kind, unsigned left) {
    if (period == 2 && left % 2 != 0) {
        sweep(a, part, layers, t, c, (schedule){period, kind, 1});
    } else {
        sweep(a, part, layers, t, c, (schedule){period, kind, 0});
    }
}

/* The tails of the block of `size` residues that begins at residue `from`. */
DDT_INLINE void run_tails(const transform *job, uint64_t *a, size_t from, size_t size, int period, bool exact) {
    const uint64_t *t = job->tables + job->plan.tail_at + from / TAIL * TAIL_WORDS;
    for (size_t j = 0; j < size; j += TAIL, t += TAIL_WORDS) {
        fetch_ahead(t + PREFETCH_TAILS * TAIL_WORDS, TAIL_WORDS / LANES);
        tail(a + from + j, t, opaque(&job->rest), period, exact);
    }
}

/* The largest pieces of code: once for each size of moduli, and not once for each place that needs it. */
#define DDT_NOINLINE __attribute__((noinline))
#define DEFINE_TAILS(bits, period, exact)                                                                              \
    static DDT_NOINLINE void tails_##bits(const transform *job, uint64_t *a, size_t from, size_t size) {               \
        run_tails(job, a, from, size, period, exact);                                                                  \
    }
DEFINE_TAILS(50, 1, false)
DEFINE_TAILS(49, 2, false)
DEFINE_TAILS(48, 4, false)
DEFINE_TAILS(47, 8, false)
DEFINE_TAILS(46, 8, true)
DEFINE_TAILS(45, 16, true)

/* Everything after the first sweep on the block of `size` residues that is node `node` of it. */
DDT_INLINE void finish_block(const transform *job, uint64_t *a, size_t node, size_t size, int period) {
    const ntt_plan *plan = &job->plan;
    const unsigned second = plan->layers[1];
    const unsigned third = plan->layers[2];
    size_t from = node * size;
    if (second == 0) {
        job->tails(job, a, from, size);
        return;
    }
    size_t part = size >> second;
    run_sweep(a + from, part, second, job->tables + plan->sweep_at[1] + (node << (second + 1)), &job->rest, period,
              PASS_MIDDLE, LOG_TAIL + third + second);
    if (third == 0) {
        job->tails(job, a, from, size);
        return;
    }
    const uint64_t *t = job->tables + plan->sweep_at[2] + (node << (second + third + 1));
    for (size_t j = 0; j < size; j += part, t += (size_t)2 << third) {
        run_sweep(a + from + j, part >> third, third, t, &job->rest, period, PASS_MIDDLE, LOG_TAIL + third);
        job->tails(job, a, from + j, part);
    }
}

/* Limbs together: a part of the tables, more than the level-1 cache holds, serves all of them before the next one. */
DDT_INLINE void forward(transform *job, const ddt_modulus *modulus, uint64_t *const *limbs, size_t count, int period) {
    const uint64_t q = modulus->q;
    const uint64_t first_bias = period == 8 ? 11 : period == 16 ? 17 : (uint64_t)period;
    const bool exact = modulus->bits <= EXACT_BITS;
    job->plan = ddt_avx512ifma_plan(modulus->log_n);
    job->tables = modulus->tables;
    job->rest = (constants){.q = splat(q),
                            .inverse = splat(modulus->inverse_52),
                            .step = splat(2 * (uint64_t)period * q),
                            .bias = splat((uint64_t)period * q),
                            .quotient = splat(exact ? modulus->reciprocal_52 + 1 : (UINT64_C(1) << WORD_BITS) / q),
                            .shift = splat(modulus->bits - 1)};
    job->first = job->rest;
    job->first.bias = splat(first_bias * q);
    unsigned layers = job->plan.layers[0];
    size_t size = modulus->n >> layers;
    for (size_t i = 0; i < count; i++) {
        run_sweep(limbs[i], size, layers, modulus->tables + TABLE_HEAD_WORDS, &job->first, period, PASS_FIRST,
                  modulus->log_n);
    }
    for (size_t node = 0; node < (size_t)1 << layers; node++) {
        for (size_t i = 0; i < count; i++) {
            finish_block(job, limbs[i], node, size, period);
        }
    }
}

#define DEFINE_FORWARD(period)                                                                                         \
    static DDT_NOINLINE void forward_##period(transform *job, const ddt_modulus *modulus, uint64_t *const *limbs,      \
                                              size_t count) {                                                          \
        forward(job, modulus, limbs, count, period);                                                                   \
    }
DEFINE_FORWARD(1)
DEFINE_FORWARD(2)
DEFINE_FORWARD(4)
DEFINE_FORWARD(8)
DEFINE_FORWARD(16)

void ddt_avx512ifma_ntt_many(const ddt_modulus *modulus, uint64_t *const *limbs, size_t count) {
    transform job;
    if (modulus->log_n < LOG_N_VECTOR) {
        for (size_t i = 0; i < count; i++) {
            ddt_scalar_ntt(modulus, limbs[i]);
        }
    } else if (modulus->bits == 50) {
        job.tails = tails_50;
        forward_1(&job, modulus, limbs, count);
    } else if (modulus->bits == 49) {
        job.tails = tails_49;
        forward_2(&job, modulus, limbs, count);
    } else if (modulus->bits == 48) {
        job.tails = tails_48;
        forward_4(&job, modulus, limbs, count);
    } else if (modulus->bits >= 46) {
        job.tails = modulus->bits == 47 ? tails_47 : tails_46;
        forward_8(&job, modulus, limbs, count);
    } else {
        job.tails = tails_45;
        forward_16(&job, modulus, limbs, count);
    }
}

void ddt_avx512ifma_ntt(const ddt_modulus *modulus, uint64_t *a) { ddt_avx512ifma_ntt_many(modulus, &a, 1); }
