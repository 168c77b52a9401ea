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
 * A twiddle w is stored as the pair W = w 2^52 mod q, W' = W q^-1 mod 2^52 (Montgomery form): for y in [0, 2^52) and m
 * = y W' mod 2^52 the products m q and y W agree modulo 2^52, hence (y W - m q) / 2^52 = high(y W) - high(m q),
 * exactly; it is y w mod q and lies in (-q, q), because 0 <= high(y W) < q and 0 <= high(m q) < q. Twiddles of single
 * lanes are stored without W', which costs one multiplication to make.
 *
 * The inverse reads the same tables backwards: psi^N = -1 makes the inverse of the twiddle at place i of a layer the
 * negative of the one at the mirrored place.
 *
 * SPDX-License-Identifier: Apache-2.0
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

/* A twiddle for each lane: W in memory, W' made from it. */
typedef struct lane_twiddle {
    const vec *w;
    vec inverse;
} lane_twiddle;

DDT_INLINE lane_twiddle load_lane_twiddle(const uint64_t *t, size_t at, vec inverse) {
    const vec *w = (const vec *)(const void *)(t + at * LANES);
    return (lane_twiddle){w, add_low(zero(), inverse, *w)};
}

/* v[i] lane j <-> v[j] lane i */
DDT_INLINE void transpose(vec *v) {
    vec a0 = _mm512_unpacklo_epi64(v[0], v[1]);
    vec a1 = _mm512_unpackhi_epi64(v[0], v[1]);
    vec a2 = _mm512_unpacklo_epi64(v[2], v[3]);
    vec a3 = _mm512_unpackhi_epi64(v[2], v[3]);
    vec a4 = _mm512_unpacklo_epi64(v[4], v[5]);
    vec a5 = _mm512_unpackhi_epi64(v[4], v[5]);
    vec a6 = _mm512_unpacklo_epi64(v[6], v[7]);
    vec a7 = _mm512_unpackhi_epi64(v[6], v[7]);
    /* 0x88 takes the even 128-bit pieces of both operands, 0xdd the odd ones */
    vec b0 = _mm512_shuffle_i64x2(a0, a2, 0x88);
    vec b1 = _mm512_shuffle_i64x2(a1, a3, 0x88);
    vec b2 = _mm512_shuffle_i64x2(a0, a2, 0xdd);
    vec b3 = _mm512_shuffle_i64x2(a1, a3, 0xdd);
    vec b4 = _mm512_shuffle_i64x2(a4, a6, 0x88);
    vec b5 = _mm512_shuffle_i64x2(a5, a7, 0x88);
    vec b6 = _mm512_shuffle_i64x2(a4, a6, 0xdd);
    vec b7 = _mm512_shuffle_i64x2(a5, a7, 0xdd);
    v[0] = _mm512_shuffle_i64x2(b0, b4, 0x88);
    v[1] = _mm512_shuffle_i64x2(b1, b5, 0x88);
    v[2] = _mm512_shuffle_i64x2(b2, b6, 0x88);
    v[3] = _mm512_shuffle_i64x2(b3, b7, 0x88);
    v[4] = _mm512_shuffle_i64x2(b0, b4, 0xdd);
    v[5] = _mm512_shuffle_i64x2(b1, b5, 0xdd);
    v[6] = _mm512_shuffle_i64x2(b2, b6, 0xdd);
    v[7] = _mm512_shuffle_i64x2(b3, b7, 0xdd);
}

#endif
