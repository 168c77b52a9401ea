/* The forward NTT, for what begins it: see ntt_forward.c. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_RING_AVX512IFMA_NTT_FORWARD_H
#define DDT_RING_AVX512IFMA_NTT_FORWARD_H

#include "ntt.h"

typedef struct constants {
    vec multiples; /* to reduce by: see the head of the file */
    vec q;
    vec minus_q; /* mod 2^52 */
    vec one;
    vec bias;     /* R q */
    vec quotient; /* floor(2^52 / q), or, for at most 46 bits, ceil(2^(bits + 51) / q) */
    vec shift;    /* bits - 1 */
    vec mask;     /* 2^52 - 1 */
} constants;

/*
 * Streams to fetch into the level-2 cache, `chunk` lines several times in each tail: a tail keeps the multipliers busy,
 * not the memory. All lines of a tail at once fill the buffers that its own loads need.
 */
typedef struct fetching {
    const uint64_t *const *streams;
    size_t count;
    size_t chunk;
    size_t stream;
    size_t at;
    size_t end;
} fetching;

typedef struct transform {
    ntt_plan plan;
    void (*tails)(const struct transform *job, uint64_t *a, size_t from, size_t size, fetching *ahead);
    const uint64_t *tables;
    size_t n;
    unsigned log_n;
    unsigned bits;
    constants c;
} transform;

transform ddt_avx512ifma_forward(const ddt_modulus *modulus);

/* Rows of the first sweep: residue j, below N / rows, is joined with those N / rows apart. */
DDT_INLINE size_t forward_rows(unsigned log_n) { return (size_t)1 << ddt_avx512ifma_plan(log_n).layers[0]; }

/* The first sweep of residues [from, from + size) of each row. */
void ddt_avx512ifma_first_sweep(const transform *job, uint64_t *a, size_t from, size_t size);

#endif
