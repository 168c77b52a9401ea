/* Automorphisms in the NTT domain against the same in the coefficient domain. SPDX-License-Identifier: Apache-2.0 */
#include "ring_test.h"

static void automorphism(uint64_t *out, const uint64_t *in, size_t n, uint64_t galois, uint64_t q) {
    for (size_t i = 0; i < n; i++) {
        size_t k = (size_t)(i * galois % (2 * n));
        out[k % n] = k < n ? in[i] : (q - in[i]) % q;
    }
}

static void check_automorphism(const ddt_ring *ring, uint64_t galois, uint64_t *seed) {
    size_t n = ddt_ring_n(ring);
    uint32_t *permutation = ddt_alloc(n, sizeof *permutation);
    assert_non_null(permutation);
    uint64_t *a = new_limb(n);
    uint64_t *b = new_limb(n);
    uint64_t *expected = new_limb(n);
    ddt_ring_galois_permutation(ring, galois, permutation);
    for (size_t m = 0; m < MODULI; m += 5) {
        uint64_t q = ddt_ring_modulus(ring, m);
        fill_random(a, n, q, seed);
        automorphism(expected, a, n, galois, q);
        ddt_ring_ntt(ring, m, a);
        ddt_ring_permute(ring, b, a, permutation);
        ddt_ring_intt(ring, m, b);
        assert_limbs_equal(b, expected, n);
    }
    ddt_free(permutation);
    ddt_free(a);
    ddt_free(b);
    ddt_free(expected);
}

static void test_automorphisms(void **state) {
    (void)state;
    uint64_t seed = 7;
    for (size_t set = 0; set < KERNEL_SETS; set++) {
        for (unsigned log_n = DDT_RING_LOG_N_MIN; select_set(set) && log_n <= 13; log_n += log_n < 8 ? 1 : 5) {
            ddt_ring *ring = make_ring(log_n);
            const int64_t steps[] = {0, 1, -1, 2, 3, 7, -13, (int64_t)ddt_ring_n(ring) / 4, INT64_MIN, INT64_MAX};
            check_automorphism(ring, ddt_ring_galois_conjugation(ring), &seed);
            for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
                check_automorphism(ring, ddt_ring_galois_rotation(ring, steps[i]), &seed);
            }
            for (size_t i = 0; i < 10; i++) {
                check_automorphism(ring, (next_random(&seed) | 1) % (2 * ddt_ring_n(ring)), &seed);
            }
            ddt_ring_destroy(ring);
        }
    }
}

/* Rotations compose: steps add up modulo N/2, and a rotation by N/2 is none. */
static void test_rotation_group(void **state) {
    (void)state;
    assert_true(select_set(0));
    ddt_ring *ring = make_ring(6);
    const int64_t slots = (int64_t)ddt_ring_n(ring) / 2;
    const uint64_t order = 2 * ddt_ring_n(ring);
    assert_int_equal(ddt_ring_galois_rotation(ring, 0), 1);
    assert_int_equal(ddt_ring_galois_rotation(ring, 1), 5);
    assert_int_equal(ddt_ring_galois_rotation(ring, slots), 1);
    for (int64_t s = -2 * slots; s <= 2 * slots; s++) {
        for (int64_t t = -5; t <= 5; t++) {
            assert_int_equal(ddt_ring_galois_rotation(ring, s) * ddt_ring_galois_rotation(ring, t) % order,
                             ddt_ring_galois_rotation(ring, s + t));
        }
    }
    ddt_ring_destroy(ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_automorphisms), cmocka_unit_test(test_rotation_group)};
    return cmocka_run_group_tests(tests, make_context, free_context);
}
