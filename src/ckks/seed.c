/* Uniform limbs from a seed. SPDX-License-Identifier: Apache-2.0 */
#include "ckks_internal.h"

#include <sodium.h>
#include <string.h>

_Static_assert(DDT_CKKS_SEED_BYTES == crypto_stream_chacha20_ietf_KEYBYTES, "a seed is a ChaCha20 key");

enum { BLOCK_WORDS = 8 }; /* of one ChaCha20 block */

static uint64_t load_le(const uint64_t *word) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(*word);
#else
    return *word;
#endif
}

/*
 * w mod q for any 64-bit w: the quotient from reciprocal = floor(2^64 / q) is at most one too small. Words at or above
 * the largest multiple of q below 2^64 are rejected, so the residue is exactly uniform.
 */
static size_t accept(uint64_t *limb, size_t filled, size_t n, const uint64_t *words, size_t count, uint64_t q) {
    const uint64_t reciprocal = UINT64_MAX / q;
    const uint64_t limit = q * reciprocal;
    for (size_t i = 0; i < count && filled < n; i++) {
        const uint64_t w = load_le(&words[i]);
        const uint64_t quotient = (uint64_t)(((unsigned __int128)w * reciprocal) >> 64);
        uint64_t residue = w - quotient * q;
        residue -= residue >= q ? q : 0;
        limb[filled] = residue; /* filled <= position of w: in-place expansion is safe */
        filled += w < limit ? 1 : 0;
    }
    return filled;
}

void ddt_ckks_expand_seed(const ddt_ckks_params *params, const uint8_t seed[DDT_CKKS_SEED_BYTES], uint32_t stream,
                          size_t m, uint64_t *limb) {
    const size_t n = params->n;
    const uint64_t q = ddt_ring_modulus(params->ring, m);
    uint8_t nonce[crypto_stream_chacha20_ietf_NONCEBYTES] = {0};
    for (unsigned i = 0; i < 4; i++) {
        nonce[i] = (uint8_t)(stream >> (8 * i));
        nonce[4 + i] = (uint8_t)(m >> (8 * i));
    }
    /* The key stream's 64-bit words in order; rejected ones are skipped. */
    (void)crypto_stream_chacha20_ietf((unsigned char *)limb, n * sizeof *limb, nonce, seed);
    size_t filled = accept(limb, 0, n, limb, n, q);
    uint64_t block[BLOCK_WORDS];
    for (uint32_t counter = (uint32_t)(n / BLOCK_WORDS); filled < n; counter++) {
        memset(block, 0, sizeof block);
        (void)crypto_stream_chacha20_ietf_xor_ic((unsigned char *)block, (const unsigned char *)block, sizeof block,
                                                 nonce, counter, seed);
        filled = accept(limb, filled, n, block, BLOCK_WORDS, q);
    }
}
