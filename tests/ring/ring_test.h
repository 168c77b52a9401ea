/* What the ring's tests share: contexts, kernel sets, random residues biased to corners.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_TESTS_RING_TEST_H
#define DDT_TESTS_RING_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ddt/ring.h"

#include <string.h>

static const char *const all_kernel_sets[] = {"scalar", "avx2", "avx512ifma"};
enum { KERNEL_SETS = 3 };

static ddt_context *ctx = NULL;

static int make_context(void **state) {
    (void)state;
    return ddt_context_create(&ctx) == DDT_OK ? 0 : -1;
}

static int free_context(void **state) {
    (void)state;
    ddt_context_destroy(ctx);
    ctx = NULL;
    return 0;
}

/* Selects the kernel set of that index; false where the processor or the build lacks it. */
static inline bool select_set(size_t set) {
    ddt_status status = ddt_ring_select_kernels(ctx, all_kernel_sets[set]);
    ddt_context_clear(ctx);
    assert_true(status == DDT_OK || (status == DDT_ERR_UNSUPPORTED && set > 0));
    return status == DDT_OK;
}

/* SplitMix64: a fixed sequence, so that a failure repeats. */
static inline uint64_t next_random(uint64_t *seed) {
    uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Half of the residues are corners. */
static inline uint64_t random_residue(uint64_t *seed, uint64_t q) {
    const uint64_t corners[] = {0, 1, q - 1, q / 2, q / 2 + 1, q - 2, 2, q / 4};
    uint64_t r = next_random(seed);
    return r & 1 ? corners[(r >> 1) % (sizeof corners / sizeof corners[0])] : next_random(seed) % q;
}

static inline void fill_random(uint64_t *limb, size_t n, uint64_t q, uint64_t *seed) {
    for (size_t i = 0; i < n; i++) {
        limb[i] = random_residue(seed, q);
    }
}

static inline uint64_t *new_limb(size_t n) {
    uint64_t *limb = ddt_alloc(n, sizeof *limb);
    assert_non_null(limb);
    return limb;
}

/* Independent of the library: the compiler's own 128-bit remainder. */
__extension__ typedef unsigned __int128 wide;
static inline uint64_t mul_mod(uint64_t a, uint64_t b, uint64_t q) { return (uint64_t)((wide)a * b % q); }
static inline uint64_t pow_mod(uint64_t a, uint64_t e, uint64_t q) {
    uint64_t p = 1;
    for (; e > 0; e >>= 1, a = mul_mod(a, a, q)) {
        p = e & 1 ? mul_mod(p, a, q) : p;
    }
    return p;
}

/* Sizes of moduli that every test walks through; the last is the largest NTT prime below 2^50. */
static const double modulus_bits[] = {30, 33.5, 36, 40, 42.2, 45, 46, 46.99, 47.4, 48, 48.4, 48.9, 49.3, 49.99, 50};
enum { MODULI = sizeof modulus_bits / sizeof modulus_bits[0] };

static inline void make_moduli(unsigned log_n, uint64_t *moduli) {
    for (size_t i = 0; i < MODULI; i++) {
        assert_int_equal(ddt_ring_find_primes(ctx, log_n + 1, modulus_bits[i], 1, moduli, i, &moduli[i]), DDT_OK);
    }
}

static inline ddt_ring *make_ring(unsigned log_n) {
    uint64_t moduli[MODULI];
    make_moduli(log_n, moduli);
    ddt_ring *ring = NULL;
    assert_int_equal(ddt_ring_create(ctx, log_n, moduli, MODULI, &ring), DDT_OK);
    return ring;
}

/* Runs a check for every kernel set that the processor has, degrees 2^from, 2^(from + step) ... 2^to and every modulus
 * of the list. */
typedef void (*modulus_check)(const ddt_ring *ring, size_t m, uint64_t *seed);

static inline void check_all_moduli(const ddt_ring *ring, modulus_check check, uint64_t *seed) {
    for (size_t m = 0; m < MODULI; m++) {
        check(ring, m, seed);
    }
}

static inline void check_everywhere(unsigned from, unsigned to, unsigned step, modulus_check check) {
    uint64_t seed = to;
    for (size_t set = 0; set < KERNEL_SETS; set++) {
        for (unsigned log_n = from; select_set(set) && log_n <= to; log_n += step) {
            ddt_ring *ring = make_ring(log_n);
            check_all_moduli(ring, check, &seed);
            ddt_ring_destroy(ring);
        }
    }
}

static inline void assert_limbs_equal(const uint64_t *a, const uint64_t *b, size_t n) {
    assert_memory_equal(a, b, n * sizeof *a);
}

#endif
