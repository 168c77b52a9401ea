/*
 * Forward NTT with IFMA.
 *
 * Ranges. A butterfly takes x and y to x + t and x - t, t = y w in [-q, q), and wants y in [0, 2^52). Each layer widens
 * the range by q on either side. With M = 2^52 / q, x is brought into [R q, (R + 1 + M / 8) q) before a layer when
 * fewer than R layers have gone since, or at the beginning, where x in [0, q) gets the bias R q; so R + 1 + M / 8 + R
 * <= M is what has to hold, and nothing ever is negative:
 * - 50 bits, M > 4: in every layer, R = 1;
 * - 49 bits, M > 8: every third layer, where 3, 6, 9, ... layers are left, R = 3;
 * - 48 bits, M > 16: where 6 and 12 are left, R = 6;
 * - 47 bits, M > 32: where 13 are left, R = 13;
 * - 46 bits, M > 64: where 10 are left, R = 10, which leaves results below 2^51: see canonical();
 * - at most 45 bits, M > 128: never. R = 17, and seventeen layers make [17q, 18q) into [0, 35q), which is below 2^51,
 * too.
 * x may also begin in [0, 2q), from a base conversion, which leaves room everywhere: at the beginning of 50 bits R + 2
 * + 1 <= M, of 49 bits R + 2 + 3 <= M; of 48 bits with at most six layers before a reduction R + 2 + 6 <= M, and so on.
 * At most 46 bits take [0, 5q) from a change of modulus: R + 5 + 17 is far below 64.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ntt_forward.h"

#include "../scalar/scalar_kernels.h"

enum {
    EXACT_BITS = 46, /* the largest moduli with an exact quotient at the end */
    LAZY_BITS = 49   /* the largest ones whose residues may stay below 2^52, see ddt_ring_visitor */
};

/* What the tails leave: [0, q), by either way of canonical(), or whatever the layers made. */
typedef enum ending { END_GENERAL, END_EXACT, END_LAZY } ending;

typedef enum range_step { RANGE_KEEP, RANGE_BIAS, RANGE_REDUCE } range_step;

/* What a pass does to ranges: the layers (bits of a mask) in which x is reduced; the first pass begins with the bias.
 */
typedef struct schedule {
    bool first;
    unsigned reduced;
} schedule;

DDT_INLINE range_step range_of_layer(schedule s, unsigned layer) {
    if (s.first && layer == 0) {
        return RANGE_BIAS;
    }
    return (s.reduced >> layer) % 2 != 0 ? RANGE_REDUCE : RANGE_KEEP;
}

/* ------------------------------------------------------------------ butterflies */

/*
 * Two butterflies side by side, in assembly because the order of the instructions decides the speed: processors hand
 * consecutive instructions to alternating schedulers, and only pairs keep both multipliers busy. t is never formed:
 * both its parts are accumulated onto x, and the other result is 2x less that.
 */
#define BUTTERFLY_REDUCE                                                                                               \
    "vpsrlq %[bits], %[x1], %[m1]\n\t"                                                                                 \
    "vpsrlq %[bits], %[x2], %[m2]\n\t"                                                                                 \
    "vpermq %[multiples], %[m1], %[m1]\n\t"                                                                            \
    "vpermq %[multiples], %[m2], %[m2]\n\t"                                                                            \
    "vpsubq %[m1], %[x1], %[x1]\n\t"                                                                                   \
    "vpsubq %[m2], %[x2], %[x2]\n\t"
#define BUTTERFLY_BIAS                                                                                                 \
    "vpaddq %[bias], %[x1], %[x1]\n\t"                                                                                 \
    "vpaddq %[bias], %[x2], %[x2]\n\t"
#define BUTTERFLY_CORE(broadcast)                                                                                      \
    "vmovdqa64 %[one], %[m1]\n\t"                                                                                      \
    "vmovdqa64 %[one], %[m2]\n\t"                                                                                      \
    "vpmadd52huq %[i1]" broadcast ", %[y1], %[m1]\n\t"                                                                 \
    "vpmadd52huq %[i2]" broadcast ", %[y2], %[m2]\n\t"                                                                 \
    "vpaddq %[x1], %[x1], %[d1]\n\t"                                                                                   \
    "vpaddq %[x2], %[x2], %[d2]\n\t"                                                                                   \
    "vpmadd52luq %[w1]" broadcast ", %[y1], %[x1]\n\t"                                                                 \
    "vpmadd52luq %[w2]" broadcast ", %[y2], %[x2]\n\t"                                                                 \
    "vpmadd52luq %[minus], %[m1], %[x1]\n\t"                                                                           \
    "vpmadd52luq %[minus], %[m2], %[x2]\n\t"                                                                           \
    "vpsubq %[x1], %[d1], %[y1]\n\t"                                                                                   \
    "vpsubq %[x2], %[d2], %[y2]\n\t"
#define BUTTERFLY_OPERANDS(...)                                                                                        \
    : [x1] "+v"(u1), [y1] "+v"(v1), [x2] "+v"(u2), [y2] "+v"(v2), [m1] "=&v"(m1), [m2] "=&v"(m2), [d1] "=&v"(d1),      \
      [d2] "=&v"(d2)                                                                                                   \
    : __VA_ARGS__, [minus] "v"(c->minus_q), [one] "v"(c->one), [bits] "i"(MULTIPLE_BITS),                              \
      [multiples] "v"(range == RANGE_REDUCE ? c->multiples : c->one),                                                  \
      [bias] "v"(range == RANGE_BIAS ? c->bias : c->one)
#define ONE_TO_EIGHT "%{1to8%}"

#define BUTTERFLY_CASES(core, ...)                                                                                     \
    vec u1 = *x1, u2 = *x2, v1 = *y1, v2 = *y2, m1, m2, d1, d2;                                                        \
    if (range == RANGE_REDUCE) {                                                                                       \
        __asm__(BUTTERFLY_REDUCE core BUTTERFLY_OPERANDS(__VA_ARGS__));                                                \
    } else if (range == RANGE_BIAS) {                                                                                  \
        __asm__(BUTTERFLY_BIAS core BUTTERFLY_OPERANDS(__VA_ARGS__));                                                  \
    } else {                                                                                                           \
        __asm__(core BUTTERFLY_OPERANDS(__VA_ARGS__));                                                                 \
    }                                                                                                                  \
    *x1 = u1, *x2 = u2, *y1 = v1, *y2 = v2

/* Butterflies (x1, y1) by the pair at t1 and (x2, y2) by the pair at t2. */
DDT_INLINE void butterflies(vec *x1, vec *y1, const uint64_t *t1, vec *x2, vec *y2, const uint64_t *t2,
                            const constants *c, range_step range) {
    BUTTERFLY_CASES(BUTTERFLY_CORE(ONE_TO_EIGHT), [w1] "m"(t1[0]), [i1] "m"(t1[1]), [w2] "m"(t2[0]), [i2] "m"(t2[1]));
}

/* The same with twiddles for each lane. */
DDT_INLINE void lane_butterflies(vec *x1, vec *y1, twiddle t1, vec *x2, vec *y2, twiddle t2, const constants *c,
                                 range_step range) {
    BUTTERFLY_CASES(BUTTERFLY_CORE(""), [w1] "v"(t1.w), [i1] "v"(t1.quotient), [w2] "v"(t2.w), [i2] "v"(t2.quotient));
}

/* ------------------------------------------------------------------ groups: 2^k vectors in registers */

/* Butterflies n and n + 1 of layer `layer` of a group of `layers`. */
DDT_INLINE void group_step(vec *v, int layers, int layer, int n, const uint64_t *t, const constants *c, schedule s) {
    const int half = 1 << (layers - 1 - layer);
    const int p1 = butterfly_position(n, half);
    const int p2 = butterfly_position(n + 1, half);
    const uint64_t *pairs = t + 2 * ((1 << layer) - 1);
    butterflies(&v[p1], &v[p1 + half], pairs + 2 * (n / half), &v[p2], &v[p2 + half], pairs + 2 * ((n + 1) / half), c,
                range_of_layer(s, (unsigned)layer));
}

DDT_INLINE void group_layer(vec *v, int layers, int layer, const uint64_t *t, const constants *c, schedule s) {
    DDT_UNROLL
    for (int n = 0; n < 1 << (layers - 1); n += 2) {
        group_step(v, layers, layer, n, t, c, s);
    }
}

/* `layers` layers on 2^layers vectors at a stride, in place. */
DDT_INLINE void run_group(uint64_t *a, size_t stride, int layers, const uint64_t *t, const constants *c, schedule s) {
    vec v[16];
    const size_t count = (size_t)1 << layers;
    DDT_UNROLL
    for (size_t k = 0; k < count; k++) {
        v[k] = load(a + k * stride);
    }
    group_layer(v, layers, 0, t, c, s);
    group_layer(v, layers, 1, t, c, s);
    if (layers >= 3) {
        group_layer(v, layers, 2, t, c, s);
    }
    if (layers >= 4) {
        group_layer(v, layers, 3, t, c, s);
    }
    DDT_UNROLL
    for (size_t k = 0; k < count; k++) {
        store(a + k * stride, v[k]);
    }
}

/* ------------------------------------------------------------------ the tail */

/*
 * Two vectors from [0, 2^52) to [0, q).
 *
 * Moduli of at most s = 46 bits: x < 35 * 2^45 or x < 29 * 2^46 (M = 64; less where M is larger), in both cases below
 * 2^51. With B = 2^(s+51) / q + d, 0 < d < 1, the error of x B / 2^(s+51), x d / 2^(s+51) < 2^51 / 2^(s+51) < 1 / q, is
 * too small to carry x / q over an integer: the quotient is exact. Others: floor(x floor(2^52 / q) / 2^52) is at most 1
 * too small, as x < 2^52.
 */
DDT_INLINE void canonical(vec *a, vec *b, const constants *c, ending end) {
    const bool exact = end == END_EXACT;
    if (end == END_LAZY) {
        return;
    }
    vec e = add_high(zero(), *a, c->quotient);
    vec f = add_high(zero(), *b, c->quotient);
    if (exact) {
        e = _mm512_srlv_epi64(e, c->shift);
        f = _mm512_srlv_epi64(f, c->shift);
    }
    vec x = add_low(*a, e, c->minus_q);
    vec y = add_low(*b, f, c->minus_q);
    x = _mm512_and_si512(x, c->mask);
    y = _mm512_and_si512(y, c->mask);
    *a = exact ? x : reduce_once(x, c->q);
    *b = exact ? y : reduce_once(y, c->q);
}

enum { BLOCKS = TAIL_VECTORS / LANES, ROW_LAYERS = 4 };

/* Step `step` of the second to the fourth layer on a block. */
DDT_INLINE void row_step(vec *v, int block, int step, const uint64_t *t, const constants *c, schedule s) {
    group_step(v, ROW_LAYERS, 1 + step / STEPS_A_LAYER, block * LANES / 2 + step % STEPS_A_LAYER * 2, t, c, s);
}

/* Step `step` of the last three layers on a block, transposed. */
DDT_INLINE void lane_step(vec *v, int block, int step, const uint64_t *t, const constants *c, schedule s) {
    const int layer = step / STEPS_A_LAYER;
    const int half = LANES / 2 >> layer;
    const int n = step % STEPS_A_LAYER * 2;
    const size_t at = (size_t)(block * LANE_TWIDDLES + (1 << layer) - 1);
    const twiddle t1 = load_lane_twiddle(t, at + (size_t)(n / half), c->one, c->q);
    const twiddle t2 = load_lane_twiddle(t, at + (size_t)((n + 1) / half), c->one, c->q);
    vec *x1 = v + block * LANES + butterfly_position(n, half);
    vec *x2 = v + block * LANES + butterfly_position(n + 1, half);
    lane_butterflies(x1, x1 + half, t1, x2, x2 + half, t2, c, range_of_layer(s, (unsigned)(ROW_LAYERS + layer)));
}

/* Step `step` of the end of a block. */
DDT_INLINE void canonical_step(vec *v, int block, int step, const constants *c, ending end) {
    if (step < LANES / 2) {
        vec *pair = v + block * LANES + 2 * step;
        canonical(&pair[0], &pair[1], c, end);
    }
}

enum { TAIL_FETCHES = 6 }; /* calls in tail() */

DDT_INLINE void fetch_streams(fetching *ahead) {
    for (size_t i = 0; i < ahead->chunk && ahead->at < ahead->end; i++) {
        __builtin_prefetch(ahead->streams[ahead->stream] + ahead->at, 0, 2);
        if (++ahead->stream == ahead->count) {
            ahead->stream = 0;
            ahead->at += LANES;
        }
    }
}

/* The last seven layers on 128 contiguous residues. */
DDT_INLINE void tail(uint64_t *a, const uint64_t *t, const constants *c, fetching *ahead, unsigned reduced,
                     ending end) {
    const schedule s = {false, reduced};
    const uint64_t *lanes = t + TAIL_PAIR_WORDS;
    vec v[TAIL_VECTORS];
    vec *w = v + LANES;
    DDT_UNROLL
    for (size_t k = 0; k < TAIL_VECTORS; k++) {
        v[k] = load(a + k * LANES);
    }
    fetch_streams(ahead);
    group_layer(v, ROW_LAYERS, 0, t, c, s);
    fetch_streams(ahead);
    DDT_UNROLL
    for (int i = 0; i < STEPS; i++) {
        row_step(v, 0, i, t, c, s);
    }
    fetch_streams(ahead);
    DDT_UNROLL
    for (int i = 0; i < STEPS; i++) {
        row_step(v, 1, i, t, c, s);
        transpose_step(v, i);
    }
    fetch_streams(ahead);
    DDT_UNROLL
    for (int i = 0; i < STEPS; i++) {
        lane_step(v, 0, i, lanes, c, s);
        transpose_step(w, i);
    }
    fetch_streams(ahead);
    DDT_UNROLL
    for (int i = 0; i < STEPS; i++) {
        lane_step(v, 1, i, lanes, c, s);
        canonical_step(v, 0, i, c, end);
    }
    transpose(v);
    DDT_UNROLL
    for (size_t k = 0; k < LANES; k++) {
        store(a + k * LANES, v[k]);
    }
    fetch_streams(ahead);
    DDT_UNROLL
    for (int i = 0; i < STEPS; i++) {
        canonical_step(v, 1, i, c, end);
    }
    transpose(w);
    DDT_UNROLL
    for (size_t k = LANES; k < TAIL_VECTORS; k++) {
        store(a + k * LANES, v[k]);
    }
}

/* ------------------------------------------------------------------ passes */

/* The largest pieces of code: not once for each place that needs them. */
#define DDT_NOINLINE __attribute__((noinline))

enum { EVERY_LAYER = 0x7f };

/* Whether x is reduced where `left` layers are left: see the head of the file. */
DDT_INLINE bool reduced_at(unsigned bits, unsigned left) {
    return bits == 50 || (bits == 49 && left % 3 == 0) || (bits == 48 && (left == 6 || left == 12)) ||
           (bits == 47 && left == 13) || (bits == 46 && left == 10);
}

/* The layers of a pass in which x is reduced, when `left` layers are left at its beginning. */
DDT_INLINE unsigned reduced_layers(unsigned bits, unsigned layers, unsigned left) {
    unsigned mask = 0;
    for (unsigned i = 0; i < layers; i++) {
        mask |= reduced_at(bits, left - i) ? 1U << i : 0;
    }
    return mask;
}

/* `layers` layers on the first `size` residues of each of 2^layers parts of `part` residues at a. */
DDT_INLINE void sweep_layers(uint64_t *a, size_t size, size_t part, int layers, const uint64_t *t, const constants *c,
                             schedule s) {
    const constants here = *c; /* a copy stays in registers; what c points to might be stored to */
    for (size_t j = 0; j < size; j += LANES) {
        run_group(a + j, part, layers, opaque(t), &here, s);
    }
}

/* Sweeps but for the 50-bit ones reduce in one of their first three layers at most. */
DDT_INLINE void sweep_reduced(uint64_t *a, size_t size, size_t part, int layers, const uint64_t *t, const constants *c,
                              bool first, unsigned reduced) {
    if (reduced == 0) {
        sweep_layers(a, size, part, layers, t, c, (schedule){first, 0});
    } else if (reduced == 1) {
        sweep_layers(a, size, part, layers, t, c, (schedule){first, 1});
    } else if (reduced == 2) {
        sweep_layers(a, size, part, layers, t, c, (schedule){first, 2});
    } else if (reduced == 4) {
        sweep_layers(a, size, part, layers, t, c, (schedule){first, 4});
    } else {
        sweep_layers(a, size, part, layers, t, c, (schedule){first, EVERY_LAYER});
    }
}

DDT_INLINE void sweep(const transform *job, uint64_t *a, size_t size, size_t part, unsigned layers, const uint64_t *t,
                      bool first, unsigned left) {
    const unsigned biased = first ? 1 : 0; /* in place of a reduction in the first layer */
    const unsigned reduced = reduced_layers(job->bits, layers, left) & ~biased;
    if (layers == 4) {
        sweep_reduced(a, size, part, 4, t, &job->c, first, reduced);
    } else if (layers == 3) {
        sweep_reduced(a, size, part, 3, t, &job->c, first, reduced);
    } else {
        sweep_reduced(a, size, part, 2, t, &job->c, first, reduced);
    }
}

/* The first sweep: the whole limb is one block. */
void ddt_avx512ifma_first_sweep(const transform *job, uint64_t *a, size_t from, size_t size) {
    const unsigned layers = job->plan.layers[0];
    sweep(job, a + from, size, job->n >> layers, layers, job->tables + TABLE_HEAD_WORDS, true, job->log_n);
}

static DDT_NOINLINE void later_sweep(const transform *job, uint64_t *a, size_t part, unsigned layers, const uint64_t *t,
                                     unsigned left) {
    sweep(job, a, part, part, layers, t, false, left);
}

/* The tails of the block of `size` residues that begins at residue `from`. */
DDT_INLINE void run_tails(const transform *job, uint64_t *a, size_t from, size_t size, fetching *ahead,
                          unsigned reduced, ending end) {
    const uint64_t *t = job->tables + job->plan.tail_at + from / TAIL * TAIL_WORDS;
    for (size_t j = 0; j < size; j += TAIL, t += TAIL_WORDS) {
        fetch_ahead(t + PREFETCH_TAILS * TAIL_WORDS, TAIL_WORDS / LANES);
        tail(a + from + j, t, opaque(&job->c), ahead, reduced, end);
    }
}

#define DEFINE_TAILS(name, bits, end)                                                                                  \
    static DDT_NOINLINE void tails_##name(const transform *job, uint64_t *a, size_t from, size_t size,                 \
                                          fetching *ahead) {                                                           \
        run_tails(job, a, from, size, ahead, reduced_layers(bits, LOG_TAIL, LOG_TAIL), end);                           \
    }
DEFINE_TAILS(50, 50, END_GENERAL)
DEFINE_TAILS(49, 49, END_GENERAL)
DEFINE_TAILS(48, 48, END_GENERAL)
DEFINE_TAILS(47, 47, END_GENERAL)
DEFINE_TAILS(46, 46, END_EXACT)
DEFINE_TAILS(lazy_49, 49, END_LAZY)
DEFINE_TAILS(lazy_48, 48, END_LAZY)
DEFINE_TAILS(lazy_47, 47, END_LAZY) /* and less: none is reduced in a tail */

/* Limbs that are transformed together, and who wants to see their parts (NULL: nobody). */
typedef struct limb_set {
    uint64_t *const *limbs;
    size_t count;
    const ddt_ring_visitor *visitor;
} limb_set;

/* The lines that come with each tail so that those of a part, of every stream, have come with those of all limbs. */
static fetching fetch_part(const limb_set *set, size_t begin, size_t end) {
    const size_t times = TAIL_FETCHES * (DDT_RING_PART / TAIL) * set->count;
    const size_t lines = DDT_RING_PART / LANES * set->visitor->ahead_count;
    return (fetching){.streams = set->visitor->ahead,
                      .count = set->visitor->ahead_count,
                      .chunk = lines == 0 || times == 0 ? 0 : (lines + times - 1) / times,
                      .at = begin,
                      .end = end};
}

/* The tails of the block of `size` residues from `from` on. */
static void finish_tails(const transform *job, const limb_set *set, size_t from, size_t size) {
    fetching ahead = {0};
    if (set->visitor == NULL) {
        for (size_t i = 0; i < set->count; i++) {
            job->tails(job, set->limbs[i], from, size, &ahead);
        }
        return;
    }
    for (size_t part = from; part < from + size; part += DDT_RING_PART) {
        const size_t next = part + DDT_RING_PART;
        ahead = fetch_part(set, next, next < job->n ? next + DDT_RING_PART : next);
        for (size_t i = 0; i < set->count; i++) {
            job->tails(job, set->limbs[i], part, DDT_RING_PART, &ahead);
        }
        set->visitor->visit(set->visitor->work, part);
    }
}

static void later_sweeps(const transform *job, const limb_set *set, size_t from, size_t part, unsigned layers,
                         const uint64_t *t, unsigned left) {
    for (size_t i = 0; i < set->count; i++) {
        later_sweep(job, set->limbs[i] + from, part, layers, t, left);
    }
}

/* Everything after the first sweep on the block of `size` residues that is node `node` of it. */
static void finish_block(const transform *job, const limb_set *set, size_t node, size_t size) {
    const ntt_plan *plan = &job->plan;
    const unsigned second = plan->layers[1];
    const unsigned third = plan->layers[2];
    const size_t from = node * size;
    if (second == 0) {
        finish_tails(job, set, from, size);
        return;
    }
    const size_t part = size >> second;
    later_sweeps(job, set, from, part, second, job->tables + plan->sweep_at[1] + (node << (second + 1)),
                 LOG_TAIL + third + second);
    if (third == 0) {
        finish_tails(job, set, from, size);
        return;
    }
    const uint64_t *t = job->tables + plan->sweep_at[2] + (node << (second + third + 1));
    for (size_t j = 0; j < size; j += part, t += (size_t)2 << third) {
        later_sweeps(job, set, from + j, part >> third, third, t, LOG_TAIL + third);
        finish_tails(job, set, from + j, part);
    }
}

transform ddt_avx512ifma_forward(const ddt_modulus *modulus) {
    static const unsigned char bias[] = {17, 10, 13, 6, 3, 1}; /* R for at most 45, 46, ... 50 bits */
    const uint64_t q = modulus->q;
    const bool exact = modulus->bits <= EXACT_BITS;
    const unsigned class = modulus->bits < 45 ? 0 : modulus->bits - 45;
    transform job = {.plan = ddt_avx512ifma_plan(modulus->log_n),
                     .tables = modulus->tables,
                     .n = modulus->n,
                     .log_n = modulus->log_n,
                     .bits = modulus->bits};
    static void (*const tails[])(const transform *, uint64_t *, size_t, size_t,
                                 fetching *) = {tails_46, tails_46, tails_47, tails_48, tails_49, tails_50};
    job.tails = tails[class];
    job.c = (constants){.q = splat(q),
                        .minus_q = splat(((uint64_t)1 << WORD_BITS) - q),
                        .one = splat(1),
                        .bias = splat(bias[class] * q),
                        .quotient = splat(exact ? modulus->reciprocal_52 + 1 : (UINT64_C(1) << WORD_BITS) / q),
                        .shift = splat(modulus->bits - 1),
                        .mask = splat(WORD_MASK)};
    job.c.multiples = sub(ddt_avx512ifma_multiples(q), job.c.bias);
    return job;
}

/*
 * Nodes [first, end) of the first sweep. Limbs together: a part of the tables, more than the level-1 cache holds,
 * serves all of them before the next one.
 */
static void finish_limbs(const transform *job, const limb_set *set, size_t first, size_t end) {
    const size_t size = job->n / forward_rows(job->log_n);
    for (size_t node = first; node < end; node++) {
        finish_block(job, set, node, size);
    }
}

void ddt_avx512ifma_ntt_many(const ddt_modulus *modulus, uint64_t *const *limbs, size_t count) {
    if (modulus->log_n < LOG_N_VECTOR) {
        for (size_t i = 0; i < count; i++) {
            ddt_scalar_ntt(modulus, limbs[i]);
        }
        return;
    }
    const transform job = ddt_avx512ifma_forward(modulus);
    const limb_set set = {limbs, count, NULL};
    for (size_t i = 0; i < count; i++) {
        ddt_avx512ifma_first_sweep(&job, limbs[i], 0, job.n / forward_rows(job.log_n));
    }
    finish_limbs(&job, &set, 0, forward_rows(job.log_n));
}

void ddt_avx512ifma_ntt(const ddt_modulus *modulus, uint64_t *a) { ddt_avx512ifma_ntt_many(modulus, &a, 1); }

void ddt_avx512ifma_ntt_begin(const ddt_modulus *modulus, uint64_t *a) {
    const transform job = ddt_avx512ifma_forward(modulus);
    ddt_avx512ifma_first_sweep(&job, a, 0, job.n / forward_rows(job.log_n));
}

size_t ddt_avx512ifma_ntt_pieces(const ddt_modulus *modulus) { return forward_rows(modulus->log_n); }

void ddt_avx512ifma_ntt_finish(const ddt_modulus *modulus, uint64_t *const *limbs, size_t count,
                               const ddt_ring_visitor *visitor, size_t first, size_t end) {
    transform job = ddt_avx512ifma_forward(modulus);
    const limb_set set = {limbs, count, visitor};
    if (visitor != NULL && visitor->lazy && modulus->bits <= LAZY_BITS) {
        job.tails = modulus->bits == LAZY_BITS ? tails_lazy_49 : modulus->bits == 48 ? tails_lazy_48 : tails_lazy_47;
    }
    finish_limbs(&job, &set, first, end);
}
