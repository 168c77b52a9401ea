/* The NTT against its definition, against schoolbook products, against itself, in every kernel set.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ring_test.h"

static size_t bit_reverse(size_t i, unsigned bits) {
    size_t r = 0;
    for (unsigned b = 0; b < bits; b++) {
        r = 2 * r + ((i >> b) & 1);
    }
    return r;
}

/* The smallest primitive 2N-th root of unity, by exhaustion over the odd powers of one of them. */
static uint64_t smallest_root(uint64_t q, size_t n) {
    uint64_t root = 0;
    for (uint64_t g = 2; pow_mod(root, n, q) != q - 1; g++) {
        root = pow_mod(g, (q - 1) / (2 * n), q);
    }
    uint64_t smallest = root;
    for (size_t k = 1; k < 2 * n; k += 2) {
        uint64_t power = pow_mod(root, k, q);
        smallest = power < smallest ? power : smallest;
    }
    return smallest;
}

static uint64_t evaluate(const uint64_t *a, size_t n, uint64_t x, uint64_t q) {
    uint64_t sum = 0;
    for (size_t i = n; i-- > 0;) {
        sum = (mul_mod(sum, x, q) + a[i]) % q;
    }
    return sum;
}

static void check_definition(const ddt_ring *ring, size_t m, uint64_t *seed) {
    size_t n = ddt_ring_n(ring);
    uint64_t q = ddt_ring_modulus(ring, m);
    uint64_t psi = smallest_root(q, n);
    uint64_t *a = new_limb(n);
    uint64_t *b = new_limb(n);
    fill_random(a, n, q, seed);
    memcpy(b, a, n * sizeof *a);
    ddt_ring_ntt(ring, m, b);
    for (size_t j = 0; j < n; j++) {
        uint64_t point = pow_mod(psi, 2 * bit_reverse(j, ddt_ring_log_n(ring)) + 1, q);
        assert_true(b[j] == evaluate(a, n, point, q));
    }
    ddt_free(a);
    ddt_free(b);
}

static void test_definition(void **state) {
    (void)state;
    check_everywhere(4, 9, 1, check_definition);
}

static void schoolbook(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n, uint64_t q) {
    memset(out, 0, n * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            uint64_t product = mul_mod(a[i], b[j], q);
            size_t k = (i + j) % n;
            out[k] = i + j < n ? (out[k] + product) % q : (out[k] + q - product) % q;
        }
    }
}

static void check_product(const ddt_ring *ring, size_t m, uint64_t *seed) {
    size_t n = ddt_ring_n(ring);
    uint64_t q = ddt_ring_modulus(ring, m);
    uint64_t *a = new_limb(n);
    uint64_t *b = new_limb(n);
    uint64_t *expected = new_limb(n);
    fill_random(a, n, q, seed);
    fill_random(b, n, q, seed);
    schoolbook(expected, a, b, n, q);
    ddt_ring_ntt(ring, m, a);
    ddt_ring_ntt(ring, m, b);
    ddt_ring_mul(ring, m, a, a, b);
    ddt_ring_intt(ring, m, a);
    assert_limbs_equal(a, expected, n);
    ddt_free(a);
    ddt_free(b);
    ddt_free(expected);
}

static void test_product(void **state) {
    (void)state;
    check_everywhere(4, 9, 1, check_product);
}

/* Patterns that drive lazily reduced sums to their extremes: constant limbs of q-1, alternations, single coefficients.
 */
static void fill_pattern(uint64_t *a, size_t n, uint64_t q, unsigned pattern, uint64_t *seed) {
    fill_random(a, n, q, seed);
    for (size_t i = 0; i < n && pattern < 4; i++) {
        const uint64_t values[] = {q - 1, i % 2 ? q - 1 : 0, i == n - 1 ? q - 1 : 0, q / 2 + (i >> 3) % 2};
        a[i] = values[pattern];
    }
}

/* Transform, back, and the inverse of the same input; the scalar set's results are kept in reference[0..2N) and the
 * others compared. */
static void check_set(const ddt_ring *ring, size_t m, const uint64_t *a, uint64_t *b, uint64_t *reference, bool first) {
    size_t n = ddt_ring_n(ring);
    memcpy(b, a, n * sizeof *a);
    ddt_ring_ntt(ring, m, b);
    if (first) {
        memcpy(reference, b, n * sizeof *b);
    }
    for (size_t j = 0; first && j < n; j++) {
        assert_true(b[j] < ddt_ring_modulus(ring, m));
    }
    assert_limbs_equal(b, reference, n);
    ddt_ring_intt(ring, m, b);
    assert_limbs_equal(a, b, n);
    ddt_ring_intt(ring, m, b); /* its lazy bounds see the corners, too */
    if (first) {
        memcpy(reference + n, b, n * sizeof *b);
    }
    assert_limbs_equal(b, reference + n, n);
}

static void check_pattern(ddt_ring *const *rings, size_t m, unsigned pattern, uint64_t *seed) {
    size_t n = ddt_ring_n(rings[0]);
    uint64_t *a = new_limb(n);
    uint64_t *b = new_limb(n);
    uint64_t *reference = new_limb(2 * n);
    fill_pattern(a, n, ddt_ring_modulus(rings[0], m), pattern, seed);
    for (size_t set = 0; set < KERNEL_SETS; set++) {
        if (rings[set] != NULL) {
            check_set(rings[set], m, a, b, reference, set == 0);
        }
    }
    ddt_free(a);
    ddt_free(b);
    ddt_free(reference);
}

/* Scalar and vector kernels agree byte for byte, residues stay canonical, and the inverse undoes the transform. */
static void test_round_trip(void **state) {
    (void)state;
    enum { PATTERNS = 6, LOG_N_ALL_PATTERNS = 12 };
    for (unsigned log_n = DDT_RING_LOG_N_MIN; log_n <= DDT_RING_LOG_N_MAX; log_n++) {
        ddt_ring *rings[KERNEL_SETS] = {NULL};
        uint64_t seed = log_n;
        for (size_t set = 0; set < KERNEL_SETS; set++) {
            rings[set] = select_set(set) ? make_ring(log_n) : NULL;
        }
        for (size_t m = 0; m < MODULI; m++) {
            for (unsigned p = 0; p < PATTERNS && log_n <= LOG_N_ALL_PATTERNS; p++) {
                check_pattern(rings, m, p, &seed);
            }
            if (log_n > LOG_N_ALL_PATTERNS) {
                check_pattern(rings, m, (unsigned)m % PATTERNS, &seed);
            }
        }
        for (size_t set = 0; set < KERNEL_SETS; set++) {
            ddt_ring_destroy(rings[set]);
        }
    }
}

/* Several limbs at once are what they are one by one. */
static void check_many(const ddt_ring *ring, size_t m, uint64_t *seed) {
    enum { MANY = 3 };
    const size_t n = ddt_ring_n(ring);
    uint64_t *limbs[MANY];
    uint64_t *alone[MANY];
    for (size_t i = 0; i < MANY; i++) {
        limbs[i] = new_limb(n);
        alone[i] = new_limb(n);
        fill_random(limbs[i], n, ddt_ring_modulus(ring, m), seed);
        memcpy(alone[i], limbs[i], n * sizeof *limbs[i]);
        ddt_ring_ntt(ring, m, alone[i]);
    }
    for (size_t count = 0; count <= MANY; count++) {
        ddt_ring_ntt_many(ring, m, limbs, count);
        for (size_t i = 0; i < count; i++) {
            assert_memory_equal(limbs[i], alone[i], n * sizeof *limbs[i]);
        }
        ddt_ring_intt_many(ring, m, limbs, count);
    }
    ddt_ring_ntt_many(ring, m, limbs, MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_memory_equal(limbs[i], alone[i], n * sizeof *limbs[i]);
        ddt_free(limbs[i]);
        ddt_free(alone[i]);
    }
}

static void test_many(void **state) {
    (void)state;
    check_everywhere(4, 16, 1, check_many);
}

/* In two steps it is the same transform, and every part is seen once, in order, when it is done. */
enum { STEPPED = 3 };
typedef struct seen_parts {
    const ddt_ring *ring;
    uint64_t *const *limbs;
    uint64_t *const *alone;
    size_t count;
    size_t next;
} seen_parts;

static void see_part(void *work, size_t from) {
    seen_parts *s = work;
    const size_t part = ddt_ring_n(ddt_ring_part(s->ring));
    assert_int_equal(from, s->next);
    for (size_t i = 0; i < s->count; i++) {
        assert_memory_equal(s->limbs[i] + from, s->alone[i] + from, part * sizeof *s->limbs[i]);
        memset(s->limbs[i] + from, 0, part * sizeof *s->limbs[i]);
    }
    s->next += part;
}

static void check_steps(const ddt_ring *ring, size_t m, uint64_t *seed) {
    const size_t n = ddt_ring_n(ring);
    if (m % 3 != ddt_ring_log_n(ring) % 3) {
        return; /* every size of modulus with some degrees */
    }
    uint64_t *limbs[STEPPED];
    uint64_t *alone[STEPPED];
    assert_int_equal(n % ddt_ring_n(ddt_ring_part(ring)), 0);
    for (size_t i = 0; i < STEPPED; i++) {
        limbs[i] = new_limb(n);
        alone[i] = new_limb(n);
    }
    for (size_t count = 0; count <= STEPPED; count++) {
        const uint64_t *ahead[2] = {alone[0], alone[1]};
        seen_parts s = {ring, limbs, alone, count, 0};
        const ddt_ring_visitor visitor = {see_part, &s, ahead, count % 2 == 0 ? 0 : 2, false};
        for (size_t i = 0; i < count; i++) {
            fill_random(limbs[i], n, ddt_ring_modulus(ring, m), seed);
            memcpy(alone[i], limbs[i], n * sizeof *limbs[i]);
            ddt_ring_ntt(ring, m, alone[i]);
            ddt_ring_ntt_begin(ring, m, limbs[i]);
        }
        const size_t pieces = ddt_ring_pieces(ring);
        for (size_t piece = 0; piece < pieces; piece += count) { /* 0: all at once */
            const size_t end = count == 0 || piece + count > pieces ? pieces : piece + count;
            ddt_ring_ntt_finish_pieces(ring, m, limbs, count, &visitor, piece, end);
            assert_int_equal(s.next, n / pieces * end);
            piece = count == 0 ? pieces : piece;
        }
        assert_int_equal(s.next, n);
    }
    for (size_t i = 0; i < STEPPED; i++) {
        ddt_free(limbs[i]);
        ddt_free(alone[i]);
    }
}

static void test_steps(void **state) {
    (void)state;
    check_everywhere(4, 17, 1, check_steps);
}

/* From every modulus to every other, and the beginning of the transform in one: the same transforms. */
static void check_change(const ddt_ring *ring, size_t m, uint64_t *seed) {
    const size_t n = ddt_ring_n(ring);
    uint64_t *in = new_limb(n);
    uint64_t *out = new_limb(n);
    uint64_t *expected = new_limb(n);
    for (size_t from = 0; from < ddt_ring_count(ring); from++) {
        fill_random(in, n, ddt_ring_modulus(ring, from), seed);
        ddt_ring_change_modulus(ring, from, m, expected, in);
        ddt_ring_ntt(ring, m, expected);
        ddt_ring_change_begin(ring, from, m, out, in);
        ddt_ring_ntt_finish(ring, m, &out, 1, NULL);
        assert_limbs_equal(out, expected, n);
    }
    ddt_free(in);
    ddt_free(out);
    ddt_free(expected);
}

static void test_change(void **state) {
    (void)state;
    check_everywhere(8, 17, 3, check_change);
    check_everywhere(12, 13, 1, check_change);
}

/* Residues that are not reduced yet: an inner product of them is that of the reduced ones, to the byte. */
enum { LAZY = DDT_RING_DOT_LAZY + 2 };
typedef struct lazy_parts {
    const ddt_ring *part;
    size_t m;
    uint64_t *limbs[LAZY]; /* terms, then what is taken away */
    uint64_t *alone[LAZY]; /* the same, reduced */
    uint64_t *keys;        /* DDT_RING_DOT_LAZY + 2 limbs of parts */
    uint64_t *room;
    bool divides;
    bool lifts;
} lazy_parts;

static void lazy_product(const lazy_parts *s, uint64_t *const *limbs, size_t from, uint64_t *out) {
    const size_t n = ddt_ring_n(s->part);
    const uint64_t *a[DDT_RING_DOT_LAZY];
    const uint64_t *b0[DDT_RING_DOT_LAZY];
    const uint64_t *b1[DDT_RING_DOT_LAZY];
    for (size_t k = 0; k < DDT_RING_DOT_LAZY; k++) {
        a[k] = limbs[k] + from;
        b0[k] = s->keys + k * n;
        b1[k] = s->keys + (k + 1) * n;
    }
    const uint64_t *rest = s->divides ? limbs[DDT_RING_DOT_LAZY] + from : NULL;
    const uint64_t *left = s->lifts ? b0[0] : NULL;
    const ddt_ring_dot_end end = {.left = {left, b0[1]},
                                  .right = {b0[2], b0[3]},
                                  .factor = 3,
                                  .rest = {rest, limbs[DDT_RING_DOT_LAZY + 1] + from},
                                  .divisor = 5,
                                  .room = s->room};
    ddt_ring_dot2_end(s->part, s->m, out, out + n, a, b0, b1, DDT_RING_DOT_LAZY, &end);
}

static void see_lazy(void *work, size_t from) {
    const lazy_parts *s = work;
    const size_t n = ddt_ring_n(s->part);
    uint64_t *out = new_limb(4 * n);
    lazy_product(s, s->limbs, from, out);
    lazy_product(s, s->alone, from, out + 2 * n);
    assert_limbs_equal(out, out + 2 * n, 2 * n);
    ddt_free(out);
}

static void check_lazy(const ddt_ring *ring, size_t m, uint64_t *seed) {
    const size_t n = ddt_ring_n(ring);
    const uint64_t q = ddt_ring_modulus(ring, m);
    lazy_parts s = {.part = ddt_ring_part(ring), .m = m, .divides = *seed % 2 == 0, .lifts = *seed % 3 == 0};
    const size_t words = (DDT_RING_DOT_LAZY + 1) * ddt_ring_n(s.part);
    s.keys = new_limb(words);
    s.room = new_limb(DDT_RING_DOT_ROOM * ddt_ring_n(s.part));
    for (size_t j = 0; j < words; j++) {
        s.keys[j] = j % 2 == 0 ? q - 1 : random_residue(seed, q);
    }
    for (size_t i = 0; i < LAZY; i++) {
        s.limbs[i] = new_limb(n);
        s.alone[i] = new_limb(n);
        fill_random(s.limbs[i], n, q, seed);
        memcpy(s.alone[i], s.limbs[i], n * sizeof *s.limbs[i]);
        ddt_ring_ntt(ring, m, s.alone[i]);
        ddt_ring_ntt_begin(ring, m, s.limbs[i]);
    }
    const ddt_ring_visitor visitor = {.visit = see_lazy, .work = &s, .lazy = true};
    ddt_ring_ntt_finish(ring, m, s.limbs, LAZY, &visitor);
    for (size_t i = 0; i < LAZY; i++) {
        ddt_free(s.limbs[i]);
        ddt_free(s.alone[i]);
    }
    ddt_free(s.keys);
    ddt_free(s.room);
}

static void test_lazy(void **state) {
    (void)state;
    check_everywhere(8, 15, 1, check_lazy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition), cmocka_unit_test(test_product), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_many),       cmocka_unit_test(test_steps),   cmocka_unit_test(test_lazy),
        cmocka_unit_test(test_change),
    };
    return cmocka_run_group_tests(tests, make_context, free_context);
}
