/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the forward and the inverse NTT share: how the layers are cut into passes, and where the twiddles of each pass
 * lie.
 *
 * A transform of 2^log_n residues is cut into passes, each of which does two to four layers in registers and goes over
 * its block once: up to three sweeps with butterflies between whole cache lines at a stride, then the tail, the last
 * seven layers on 128 contiguous residues: four layers between vectors, an 8 x 8 transposition, three layers between
 * lanes. After a sweep its parts are finished one by one, so that later passes find their block in a nearer cache.
 * Sweeps at strides of 4 KiB and more do three layers, not four: lines at such strides share a set of the level-1
 * cache, which holds eight.
 *
 * A twiddle w is stored as the pair w, W = floor(w 2^52 / q) (Shoup). For y in [0, 2^52) the quotient Q = high(y W) of
 * y w by q is at most 2 too small, so t = y w - (Q + 1) q lies in [-q, q). The multipliers read the low 52 bits of a
 * factor and nothing else, so that t is needed modulo 2^52 only: low(y w) + low((Q + 1) (2^52 - q)), two multiply-adds
 * onto whatever t is to be added to, without a carry or a mask. Residues therefore carry arbitrary bits above the 52nd;
 * "x in [0, 2^52)" speaks of the lower ones. What compares residues must clear those bits first.
 *
 * Twiddles of single lanes are stored as W alone: w 2^52 = W q + r with 0 < r < q (2^52 divides no multiple of w by
 * less than q), hence w = high(W q) + 1, one more multiply-add.
 *
 * The inverse reads the same tables backwards: psi^N = -1 makes the inverse of the twiddle at place i of a layer the
 * negative of the one at the mirrored place.
 */
#ifndef DDT_RING_AVX512IFMA_NTT_H
#define DDT_RING_AVX512IFMA_NTT_H

#include "avx512ifma_kernels.h"
#include "vector.h"

enum {
    LOG_N_VECTOR = 9, /* smaller degrees run the scalar kernels */
    LOG_TAIL = 7,
    TAIL = 1 << LOG_TAIL,
    TAIL_VECTORS = TAIL / LANES,
    LANE_LAYERS = 3,
    LANE_TWIDDLES = 7, /* vectors of twiddles of the last three layers on eight residues */
    TAIL_PAIR_WORDS = 2 * TAIL_VECTORS,
    TAIL_WORDS = TAIL_PAIR_WORDS + 2 * LANE_TWIDDLES * LANES,
    TABLE_HEAD_WORDS = 8, /* the pairs of 1/N and of (root of the first layer)/N */
    SWEEPS_MAX = 3,
    MULTIPLE_BITS = WORD_BITS - 3 /* see ddt_avx512ifma_multiples() */
};

/*
 * Layers of each sweep (0: there is none), and the word offsets of the twiddles. A group of 2^k vectors has 2^k - 1
 * pairs, in the order of the layers, and takes the room of 2^k.
 */
typedef struct ntt_plan {
    unsigned layers[SWEEPS_MAX];
    size_t sweep_at[SWEEPS_MAX];
    size_t tail_at;
    size_t words;
} ntt_plan;

ntt_plan ddt_avx512ifma_plan(unsigned log_n);

/*
 * floor(i 2^49 / q) q for i = 0 ... 7: what to take away from x in [0, 2^52) by its three highest bits, to bring it
 * into [0, 2^49 + q). A shift, a look-up in a register and a subtraction, whatever the bits above the 52nd are.
 */
vec ddt_avx512ifma_multiples(uint64_t q);

/*
 * Fetches `lines` cache lines from p on, up to PREFETCH_TAILS tails ahead of their use. A tail computes for hundreds of
 * cycles between its loads, too long for the processor to fetch ahead of by itself: with tables in memory an inverse
 * transform of 2^16 residues took 2.3 times as long.
 */
enum { PREFETCH_TAILS = 2 };
DDT_INLINE void fetch_ahead(const uint64_t *p, size_t lines) {
    DDT_UNROLL
    for (size_t i = 0; i < lines; i++) {
        __builtin_prefetch(p + i * LANES, 0, 2);
    }
}

/* A twiddle in registers. */
typedef struct twiddle {
    vec w;
    vec quotient;
} twiddle;

/* A twiddle for each lane: W in memory, w made from it. */
DDT_INLINE twiddle load_lane_twiddle(const uint64_t *t, size_t at, vec one, vec q) {
    const vec quotient = load(t + at * LANES);
    return (twiddle){add_high(one, quotient, q), quotient};
}

/* Position of the first residue of butterfly n in a layer whose butterflies join residues `half` apart. */
DDT_INLINE int butterfly_position(int n, int half) { return n / half * 2 * half + n % half; }

/*
 * A tail's work comes in two kinds, butterflies, which want multipliers, and transpositions, which want shuffles. Done
 * one after the other, each leaves idle what the other needs, and a processor does not look ahead far enough to mend
 * that. So tails are two blocks of eight vectors, one of which is transposed while the other goes through its layers:
 * everything comes in STEPS steps for a block, a step of the one and then a step of the other.
 */
enum { STEPS = 6, STEPS_A_LAYER = 2 };

#define EXCHANGE(low, high)                                                                                            \
    do {                                                                                                               \
        vec swap_1 = low(v[a1], v[b1]);                                                                                \
        vec swap_2 = low(v[a2], v[b2]);                                                                                \
        v[b1] = high(v[a1], v[b1]);                                                                                    \
        v[b2] = high(v[a2], v[b2]);                                                                                    \
        v[a1] = swap_1;                                                                                                \
        v[a2] = swap_2;                                                                                                \
    } while (0)
/* The even and the odd 128-bit pieces of both operands. */
#define EVEN_PIECES(a, b) _mm512_shuffle_i64x2(a, b, 0x88)
#define ODD_PIECES(a, b) _mm512_shuffle_i64x2(a, b, 0xdd)

/* Step `step` of v[i] lane j <-> v[j] lane i: neighbours, those two apart, those four apart. */
DDT_INLINE void transpose_step(vec *v, int step) {
    const int half = 1 << (step / STEPS_A_LAYER);
    const int n = step % STEPS_A_LAYER * 2;
    const int a1 = butterfly_position(n, half), b1 = a1 + half;
    const int a2 = butterfly_position(n + 1, half), b2 = a2 + half;
    if (half == 1) {
        EXCHANGE(_mm512_unpacklo_epi64, _mm512_unpackhi_epi64);
    } else {
        EXCHANGE(EVEN_PIECES, ODD_PIECES);
    }
}

DDT_INLINE void transpose(vec *v) {
    DDT_UNROLL
    for (int i = 0; i < STEPS; i++) {
        transpose_step(v, i);
    }
}

#endif
