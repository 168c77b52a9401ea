/* Element-wise limb functions against 128-bit remainders, in every kernel set, with and without aliasing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ring_test.h"

enum { OPERATIONS = 10 };
#define TERMS ((size_t)DDT_RING_DOT_MAX)

static uint64_t expected_value(size_t op, uint64_t q, uint64_t c, uint64_t a, uint64_t b, uint64_t s) {
    switch (op) {
    case 0:
        return (a + b) % q;
    case 1:
        return (a + q - b) % q;
    case 2:
        return (q - a) % q;
    case 3:
        return mul_mod(a, b, q);
    case 4:
        return (mul_mod(a, b, q) + c) % q;
    case 5:
        return (a + s) % q;
    case 6:
        return mul_mod(a, s, q);
    case 7:
        return (mul_mod(a, s, q) + c) % q;
    case 8:
        return mul_mod((a + q - b) % q, s, q);
    default:
        return (mul_mod((a + q - b) % q, s, q) + c) % q;
    }
}

static void apply(size_t op, const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *c, const uint64_t *a,
                  const uint64_t *b, uint64_t s) {
    switch (op) {
    case 0:
        ddt_ring_add(ring, m, out, a, b);
        break;
    case 1:
        ddt_ring_sub(ring, m, out, a, b);
        break;
    case 2:
        ddt_ring_neg(ring, m, out, a);
        break;
    case 3:
        ddt_ring_mul(ring, m, out, a, b);
        break;
    case 4:
        ddt_ring_mul_add(ring, m, out, c, a, b);
        break;
    case 5:
        ddt_ring_add_scalar(ring, m, out, a, s);
        break;
    case 6:
        ddt_ring_mul_scalar(ring, m, out, a, s);
        break;
    case 7:
        ddt_ring_mul_scalar_add(ring, m, out, c, a, s);
        break;
    case 8:
        ddt_ring_sub_mul_scalar(ring, m, out, a, b, s);
        break;
    default:
        ddt_ring_sub_mul_scalar_add(ring, m, out, a, b, s, c);
        break;
    }
}

/* alias 0: none; 1: out is a; 2: out is b; 3: out is c; 4: a is b is out. */
static void check_operation(const ddt_ring *ring, size_t m, size_t op, unsigned alias, uint64_t *seed) {
    size_t n = ddt_ring_n(ring);
    uint64_t q = ddt_ring_modulus(ring, m);
    uint64_t *limbs[4];
    for (size_t i = 0; i < 4; i++) {
        limbs[i] = new_limb(n);
        fill_random(limbs[i], n, q, seed);
    }
    uint64_t *expected = new_limb(n);
    uint64_t *a = limbs[1];
    uint64_t *b = alias == 4 ? a : limbs[2];
    uint64_t s = random_residue(seed, q);
    for (size_t j = 0; j < n; j++) {
        expected[j] = expected_value(op, q, limbs[3][j], a[j], b[j], s);
    }
    uint64_t *out = alias == 4 ? a : limbs[alias];
    apply(op, ring, m, out, limbs[3], a, b, s);
    assert_limbs_equal(out, expected, n);
    for (size_t i = 0; i < 4; i++) {
        ddt_free(limbs[i]);
    }
    ddt_free(expected);
}

static void check_operations(const ddt_ring *ring, size_t m, uint64_t *seed) {
    for (size_t op = 0; op < OPERATIONS; op++) {
        for (unsigned alias = 0; alias < 5; alias++) {
            check_operation(ring, m, op, alias, seed);
        }
    }
}

static void test_operations(void **state) {
    (void)state;
    check_everywhere(4, 10, 3, check_operations);
}

/* What an inner product ends with: bits and thirds of a number below VARIANTS. */
enum { VARIANTS = 24 };
typedef struct variant {
    unsigned lifts; /* 0: nothing, 1: addends, 2: a tensor product */
    bool divides;
    bool more; /* past the caches; or something is added after the division */
    bool sums;
} variant;

static variant make_variant(unsigned number) {
    return (variant){number % 3, number / 3 % 2 == 1, number / 6 % 2 == 1, number / 12 == 1};
}

static uint64_t expected_end(const ddt_ring_dot_end *end, unsigned part, size_t j, uint64_t dot, uint64_t q) {
    wide sum = dot;
    if (end->sum[0] != NULL) {
        sum += end->sum[part][j];
    }
    if (end->addend[0] != NULL) {
        sum += mul_mod(end->addend[part][j], end->factor, q);
    }
    if (end->left[0] != NULL) {
        uint64_t product = mul_mod(end->left[0][j], end->right[part][j], q);
        product = part == 0 ? product : (product + mul_mod(end->left[1][j], end->right[0][j], q)) % q;
        sum += mul_mod(product, end->factor, q);
    }
    if (end->rest[0] == NULL) {
        return (uint64_t)(sum % q);
    }
    const uint64_t difference = (uint64_t)((sum + q - end->rest[part][j]) % q);
    return (mul_mod(difference, end->divisor, q) + (end->then[part] == NULL ? 0 : end->then[part][j])) % q;
}

/* Against the inner product alone, in place: the outputs are the sums and the factors on the left. */
static void check_dot_end(const ddt_ring *ring, size_t m, const uint64_t *const *a, const uint64_t *const *b0,
                          const uint64_t *const *b1, size_t count, variant v, const uint64_t *dot) {
    const size_t n = ddt_ring_n(ring);
    const uint64_t q = ddt_ring_modulus(ring, m);
    uint64_t *out = new_limb(2 * n);
    uint64_t *expected = new_limb(2 * n);
    uint64_t *room = new_limb(DDT_RING_DOT_ROOM * n);
    for (size_t j = 0; j < n; j++) {
        out[j] = b0[0][j];
        out[n + j] = a[0][j];
    }
    const ddt_ring_dot_end end = {.sum = {v.sums ? out : NULL, v.sums ? out + n : NULL},
                                  .addend = {v.lifts == 1 ? b1[0] : NULL, v.lifts == 1 ? a[0] : NULL},
                                  .left = {v.lifts == 2 ? out : NULL, v.lifts == 2 ? out + n : NULL},
                                  .right = {b1[0], b0[1]},
                                  .factor = q - 1 - count,
                                  .rest = {v.divides ? a[0] : NULL, v.divides ? b0[0] : NULL},
                                  .divisor = q - 1,
                                  .then = {v.divides && v.more ? out : NULL, NULL},
                                  .room = room,
                                  .passing = !v.divides && v.more};
    for (size_t j = 0; j < 2 * n; j++) {
        expected[j] = expected_end(&end, (unsigned)(j / n), j % n, dot[j], q);
    }
    ddt_ring_dot2_end(ring, m, out, out + n, a, b0, b1, count, &end);
    assert_limbs_equal(out, expected, 2 * n);
    ddt_free(out);
    ddt_free(expected);
    ddt_free(room);
}

/* Both factors at q-1 throughout: the largest sums there are. */
static void check_products(const ddt_ring *ring, size_t m, size_t count, bool extreme, uint64_t *seed) {
    size_t n = ddt_ring_n(ring);
    uint64_t q = ddt_ring_modulus(ring, m);
    uint64_t *limbs = new_limb(3 * TERMS * n);
    uint64_t *out = new_limb(2 * n);
    for (size_t i = 0; i < 3 * TERMS * n; i++) {
        limbs[i] = extreme ? q - 1 : random_residue(seed, q);
    }
    const uint64_t *a[TERMS];
    const uint64_t *b0[TERMS];
    const uint64_t *b1[TERMS];
    for (size_t k = 0; k < TERMS; k++) {
        a[k] = limbs + 3 * k * n;
        b0[k] = a[k] + n;
        b1[k] = b0[k] + n;
    }
    ddt_ring_dot2(ring, m, out, out + n, a, b0, b1, count);
    for (size_t j = 0; j < n; j++) {
        wide sum0 = 0;
        wide sum1 = 0;
        for (size_t k = 0; k < count; k++) {
            sum0 += (wide)a[k][j] * b0[k][j];
            sum1 += (wide)a[k][j] * b1[k][j];
        }
        assert_true(out[j] == (uint64_t)(sum0 % q));
        assert_true(out[n + j] == (uint64_t)(sum1 % q));
    }
    for (unsigned v = 0; v < VARIANTS && count < DDT_RING_DOT_MAX; v++) {
        check_dot_end(ring, m, a, b0, b1, count, make_variant(v), out);
    }
    ddt_free(limbs);
    ddt_free(out);
}

static void check_tensor(const ddt_ring *ring, size_t m, bool accumulate, bool extreme, uint64_t *seed) {
    size_t n = ddt_ring_n(ring);
    uint64_t q = ddt_ring_modulus(ring, m);
    uint64_t *limbs = new_limb(7 * n);
    uint64_t *expected = new_limb(3 * n);
    for (size_t i = 0; i < 7 * n; i++) {
        limbs[i] = extreme ? q - 1 : random_residue(seed, q);
    }
    uint64_t *d = limbs;
    const uint64_t *a = limbs + 3 * n;
    const uint64_t *b = limbs + 5 * n;
    for (size_t j = 0; j < n; j++) {
        const wide sums[] = {(wide)a[j] * b[j], (wide)a[j] * b[n + j] + (wide)a[n + j] * b[j],
                             (wide)a[n + j] * b[n + j]};
        for (size_t i = 0; i < 3; i++) {
            expected[i * n + j] = (uint64_t)((sums[i] + (accumulate ? d[i * n + j] : 0)) % q);
        }
    }
    if (accumulate) {
        ddt_ring_tensor_add(ring, m, d, d + n, d + 2 * n, a, a + n, b, b + n);
    } else {
        ddt_ring_tensor(ring, m, d, d + n, d + 2 * n, a, a + n, b, b + n);
    }
    assert_limbs_equal(d, expected, 3 * n);
    ddt_free(limbs);
    ddt_free(expected);
}

static void check_sums(const ddt_ring *ring, size_t m, uint64_t *seed) {
    for (size_t count = 1; count <= TERMS; count++) {
        check_products(ring, m, count, false, seed);
        check_products(ring, m, count, true, seed);
    }
    for (unsigned way = 0; way < 4; way++) {
        check_tensor(ring, m, way & 1, way & 2, seed);
    }
}

static void test_sums_of_products(void **state) {
    (void)state;
    check_everywhere(4, 10, 3, check_sums);
}

static void check_change(const ddt_ring *ring, size_t from, uint64_t *seed) {
    size_t n = ddt_ring_n(ring);
    uint64_t p = ddt_ring_modulus(ring, from);
    uint64_t *in = new_limb(n);
    uint64_t *out = new_limb(n);
    for (size_t to = 0; to < MODULI; to++) {
        uint64_t q = ddt_ring_modulus(ring, to);
        fill_random(in, n, p, seed);
        ddt_ring_change_modulus(ring, from, to, out, in);
        for (size_t j = 0; j < n; j++) {
            uint64_t expected = in[j] > p / 2 ? (q - (p - in[j]) % q) % q : in[j] % q;
            assert_true(out[j] == expected);
        }
        ddt_ring_change_modulus(ring, from, to, in, in);
        assert_limbs_equal(in, out, n);
    }
    ddt_free(in);
    ddt_free(out);
}

static void test_change_modulus(void **state) {
    (void)state;
    check_everywhere(4, 6, 1, check_change);
}

/* Any value below 2^62 in magnitude, of any size; half of them corners. */
static int64_t random_signed(uint64_t *seed, int64_t q) {
    const int64_t limit = (INT64_C(1) << 62) - 1;
    const int64_t corners[] = {0, 1, -1, limit, -limit, q, -q, q - 1, 1 - q, q / 2, -(q / 2), 2 * q, -2 * q};
    uint64_t r = next_random(seed);
    int64_t any = (int64_t)r >> (1 + r % 61);
    if (r & 128) {
        return corners[(r >> 8) % (sizeof corners / sizeof corners[0])];
    }
    return any > limit ? limit : (any < -limit ? -limit : any);
}

static void check_from_signed(const ddt_ring *ring, size_t m, uint64_t *seed) {
    size_t n = ddt_ring_n(ring);
    int64_t q = (int64_t)ddt_ring_modulus(ring, m);
    uint64_t *out = new_limb(n);
    int64_t *values = ddt_alloc(n, sizeof *values);
    assert_non_null(values);
    for (size_t j = 0; j < n; j++) {
        values[j] = random_signed(seed, q);
    }
    ddt_ring_from_signed(ring, m, out, values);
    for (size_t j = 0; j < n; j++) {
        int64_t remainder = values[j] % q;
        assert_true((int64_t)out[j] == (remainder < 0 ? remainder + q : remainder));
    }
    ddt_free(values);
    ddt_free(out);
}

static void check_from_signed_mul(const ddt_ring *ring, size_t m, uint64_t *seed) {
    const int64_t limit = INT64_C(1) << 50;
    const size_t n = ddt_ring_n(ring);
    const uint64_t q = ddt_ring_modulus(ring, m);
    const uint64_t factors[] = {0, 1, q - 1, next_random(seed) % q};
    uint64_t *out = new_limb(n);
    int64_t *values = ddt_alloc(n, sizeof *values);
    assert_non_null(values);
    for (size_t f = 0; f < sizeof factors / sizeof factors[0]; f++) {
        for (size_t j = 0; j < n; j++) {
            const int64_t any = random_signed(seed, (int64_t)q);
            values[j] = any > limit ? limit : (any < -limit ? -limit : any);
        }
        ddt_ring_from_signed_mul(ring, m, out, values, factors[f]);
        for (size_t j = 0; j < n; j++) {
            const int64_t remainder = values[j] % (int64_t)q;
            const uint64_t residue = (uint64_t)(remainder < 0 ? remainder + (int64_t)q : remainder);
            assert_true(out[j] == mul_mod(residue, factors[f], q));
        }
    }
    ddt_free(values);
    ddt_free(out);
}

static void test_from_signed(void **state) {
    (void)state;
    check_everywhere(4, 8, 1, check_from_signed_mul);
    check_everywhere(4, 8, 1, check_from_signed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_sums_of_products),
        cmocka_unit_test(test_change_modulus),
        cmocka_unit_test(test_from_signed),
    };
    return cmocka_run_group_tests(tests, make_context, free_context);
}
