/*
 * The order of the passes of the inverse NTT, common to its two forms: strict, for all moduli, and lazy, for moduli of
 * at most 46 bits.
 *
 * Everything runs backwards: the tails first, sweeps from the last to the first, and the vectors of a group are loaded
 * in the reverse order. That makes the mirrored twiddles (see ntt.h) come out in their natural order, and their minus
 * sign swaps the two residues of a difference: a butterfly takes (low, high), positions p and p + h of the reversed
 * group, to ((low - high) w, low + high).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_RING_AVX512IFMA_NTT_INVERSE_H
#define DDT_RING_AVX512IFMA_NTT_INVERSE_H

#include "ntt.h"

typedef struct inverse_job {
    ntt_plan plan;
    const uint64_t *tables;
    size_t n;
    const void *constants; /* of the form that runs */
    /* The tails of the block of `size` residues that begins at residue `from`. */
    void (*tails)(const struct inverse_job *job, uint64_t *a, size_t from, size_t size);
    /* Sweep `index` on node `node`; the last one, index 0, scales by 1/N and ends in [0, q). */
    void (*sweep)(const struct inverse_job *job, uint64_t *a, size_t index, size_t node);
} inverse_job;

/* Layers before sweep `index`: their nodes are the parts that it works on. */
static inline unsigned inverse_depth(const inverse_job *job, size_t index) {
    unsigned depth = 0;
    for (size_t i = 0; i < index; i++) {
        depth += job->plan.layers[i];
    }
    return depth;
}

/* The twiddles of node `node`, mirrored. */
static inline const uint64_t *inverse_twiddles(const inverse_job *job, size_t index, size_t node) {
    size_t nodes = (size_t)1 << inverse_depth(job, index);
    return job->tables + job->plan.sweep_at[index] + ((nodes - 1 - node) << (job->plan.layers[index] + 1));
}

/* Everything before the last sweep on its part `node`. */
static inline void inverse_part(const inverse_job *job, uint64_t *a, size_t node) {
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

/*
 * Runs all passes on `count` limbs; each part is finished as far as it goes before the next one, in all limbs, so that
 * its piece of the tables serves all of them.
 */
static inline void inverse_run(const inverse_job *job, uint64_t *const *limbs, size_t count) {
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

/* The form for moduli of at most LAZY_BITS bits. */
enum { LAZY_BITS = 46 };
void ddt_avx512ifma_intt_lazy(const ddt_modulus *modulus, uint64_t *const *limbs, size_t count);

DDT_INLINE void reverse(vec *v) {
    DDT_UNROLL
    for (int k = 0; k < LANES / 2; k++) {
        vec swap = v[k];
        v[k] = v[LANES - 1 - k];
        v[LANES - 1 - k] = swap;
    }
}

/*
 * The last layer of the transform on (low, high), low - high >= 0: the sum by 1/N, the difference by root/N (pairs at
 * head), both to [0, q). lift: a multiple of q that makes the sum nonnegative.
 */
DDT_INLINE void inverse_scale(vec *low, vec *high, const uint64_t *head, vec q, vec lift) {
    vec difference = sub(*low, *high);
    vec sum = add(add(*low, *high), lift);
    vec m = add_low(zero(), difference, splat(head[3]));
    vec n = add_low(zero(), sum, splat(head[1]));
    difference = add_high(zero(), difference, splat(head[2]));
    sum = add_high(zero(), sum, splat(head[0]));
    difference = sub(difference, add_high(zero(), m, q));
    sum = sub(sum, add_high(zero(), n, q));
    *low = min(difference, add(difference, q)); /* (-q, q) to [0, q) */
    *high = min(sum, add(sum, q));
}

#endif
