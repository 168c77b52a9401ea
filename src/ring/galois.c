/* Galois automorphisms X -> X^g in the NTT domain. SPDX-License-Identifier: Apache-2.0 */
#include "ring_internal.h"

uint64_t ddt_ring_galois_rotation(const ddt_ring *ring, int64_t steps) {
    /* 5 has order N/2 modulo 2N; two's complement makes the mask right for negative steps too. */
    const uint64_t generator = 5;
    uint64_t mask = 2 * (uint64_t)ring->n - 1;
    uint64_t exponent = (uint64_t)steps & (ring->n / 2 - 1);
    uint64_t element = 1;
    for (uint64_t power = generator; exponent > 0; exponent >>= 1) {
        if (exponent & 1) {
            element = element * power & mask;
        }
        power = power * power & mask;
    }
    return element;
}

uint64_t ddt_ring_galois_conjugation(const ddt_ring *ring) { return 2 * (uint64_t)ring->n - 1; }

void ddt_ring_galois_permutation(const ddt_ring *ring, uint64_t galois, uint32_t *permutation) {
    /* Position j holds a(psi^e), e = 2 bitrev(j) + 1; the image holds a(psi^(g e)), which sits at bitrev((g e mod 2N -
     * 1) / 2). */
    uint64_t mask = 2 * (uint64_t)ring->n - 1;
    for (size_t k = 0; k < ring->n; k++) { /* k = bitrev(j) */
        uint64_t exponent = (2 * (uint64_t)k + 1) * galois & mask;
        permutation[ddt_bit_reverse(k, ring->log_n)] = (uint32_t)ddt_bit_reverse(exponent / 2, ring->log_n);
    }
}
