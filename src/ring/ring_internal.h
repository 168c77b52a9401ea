/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_RING_INTERNAL_H
#define DDT_RING_INTERNAL_H

#include "ddt/ring.h"

#include "kernels.h"
#include "modulus.h"

struct ddt_ring {
    const ddt_kernels *kernels;
    unsigned log_n;
    size_t n;
    size_t count;
    ddt_modulus *moduli;
    uint64_t *tables;       /* one block for all moduli */
    struct ddt_ring *parts; /* see ddt_ring_part; NULL in one of those */
};

/* Whether its kernels take the transform in two steps. */
static inline bool ring_has_steps(const ddt_ring *ring) {
    return ring->kernels->ntt_begin != NULL && ring->n >= DDT_RING_STEPS_FROM;
}

#endif
