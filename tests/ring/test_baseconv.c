/* Base conversion against exact integers: a small big-number type of 32-bit digits, sharing nothing with the library.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ring_test.h"

enum { DIGITS = 208, FROM_MAX = 128 };

typedef struct big {
    uint32_t digit[DIGITS]; /* least significant first; two's complement is not used, values are not negative */
} big;

static void big_mul_small_add(big *x, uint64_t factor, const big *addend) {
    uint64_t carry = 0;
    const uint64_t low = factor & UINT32_MAX;
    const uint64_t high = factor >> 32;
    big out = {{0}};
    for (size_t i = 0; i < DIGITS; i++) {
        uint64_t sum = x->digit[i] * low + out.digit[i] + carry;
        out.digit[i] = (uint32_t)sum;
        carry = sum >> 32;
    }
    carry = 0;
    for (size_t i = 0; i + 1 < DIGITS; i++) {
        uint64_t sum = x->digit[i] * high + out.digit[i + 1] + carry;
        out.digit[i + 1] = (uint32_t)sum;
        carry = sum >> 32;
    }
    carry = 0;
    for (size_t i = 0; i < DIGITS; i++) {
        uint64_t sum = (uint64_t)out.digit[i] + (addend != NULL ? addend->digit[i] : 0) + carry;
        x->digit[i] = (uint32_t)sum;
        carry = sum >> 32;
    }
}

static int big_compare(const big *a, const big *b) {
    for (size_t i = DIGITS; i-- > 0;) {
        if (a->digit[i] != b->digit[i]) {
            return a->digit[i] < b->digit[i] ? -1 : 1;
        }
    }
    return 0;
}

static void big_sub(big *a, const big *b) {
    int64_t borrow = 0;
    for (size_t i = 0; i < DIGITS; i++) {
        int64_t difference = (int64_t)a->digit[i] - b->digit[i] + borrow;
        a->digit[i] = (uint32_t)difference;
        borrow = difference < 0 ? -1 : 0;
    }
}

static void big_halve(big *a) {
    for (size_t i = 0; i < DIGITS; i++) {
        a->digit[i] = (a->digit[i] >> 1) | (i + 1 < DIGITS ? a->digit[i + 1] << 31 : 0);
    }
}

static uint64_t big_mod(const big *a, uint64_t q) {
    wide r = 0;
    for (size_t i = DIGITS; i-- > 0;) {
        r = ((r << 32) | a->digit[i]) % q;
    }
    return (uint64_t)r;
}

typedef struct problem {
    ddt_ring *ring;
    size_t from_count;
    size_t to_count;
    uint32_t from[FROM_MAX];
    uint32_t to[MODULI];
    uint64_t *limbs[FROM_MAX];
    big product;
    big extreme; /* the number whose scaled residues are all q - 1: the largest sums there are */
} problem;

/* A random number below Q, uniform or at a corner: 0, 1, Q-1, near Q/2 on either side (a 2^-38th of Q away at least),
 * small, -small. */
static big random_number(const problem *p, uint64_t *seed) {
    big x = {{0}};
    uint64_t r = next_random(seed);
    big one = {{1}};
    big zero = {{0}};
    switch (r % 8) {
    case 0:
        return r & 8 ? (r & 16 ? one : zero) : p->extreme;
    case 1:
    case 2: { /* Q/2 +- Q/2^38 */
        big eps = p->product;
        for (int i = 0; i < 38; i++) {
            big_halve(&eps);
        }
        x = p->product;
        big_halve(&x);
        if (r % 8 == 1) {
            big_sub(&x, &eps);
        } else {
            big_mul_small_add(&x, 1, &eps);
        }
        return x;
    }
    case 3: /* -small */
        x = p->product;
        one.digit[0] = (uint32_t)(r >> 40) | 1;
        big_sub(&x, &one);
        return x;
    case 4:
        one.digit[0] = (uint32_t)(r >> 40);
        return big_compare(&one, &p->product) < 0 ? one : zero;
    default:
        break;
    }
    /* sum over k of a random residue times the product of the moduli before it: any number below Q */
    for (size_t k = p->from_count; k-- > 0;) {
        uint64_t q = ddt_ring_modulus(p->ring, p->from[k]);
        /* the leading digit is uniform: corners there would put x on the border Q/2, where either answer is right */
        uint64_t residue = k + 1 == p->from_count ? next_random(seed) % q : random_residue(seed, q);
        big digit = {{(uint32_t)residue, (uint32_t)(residue >> 32)}};
        big_mul_small_add(&x, q, &digit);
    }
    return x;
}

static uint64_t centred_residue(const problem *p, const big *x, uint64_t q) {
    big half = p->product;
    big_halve(&half);
    if (big_compare(x, &half) <= 0) {
        return big_mod(x, q);
    }
    big magnitude = p->product;
    big_sub(&magnitude, x);
    uint64_t r = big_mod(&magnitude, q);
    return r == 0 ? 0 : q - r;
}

/* Several targets at once, backwards and in uneven pieces, give the same bytes as one after the other. */
static void check_several_limbs(const problem *p, const ddt_baseconv *conversion, const uint64_t *const *ys,
                                const uint64_t *quotient) {
    size_t n = ddt_ring_n(p->ring);
    uint64_t *one = new_limb(n);
    uint64_t *out[MODULI];
    uint32_t targets[MODULI];
    for (size_t i = 0; i < p->to_count; i++) {
        out[i] = new_limb(n);
        targets[i] = (uint32_t)(p->to_count - 1 - i);
    }
    ddt_baseconv_limbs(conversion, targets, p->to_count, out, ys, quotient, 0, 8);
    ddt_baseconv_limbs(conversion, targets, p->to_count, out, ys, quotient, 8, n);
    for (size_t i = 0; i < p->to_count; i++) {
        ddt_baseconv_limb(conversion, targets[i], one, ys, quotient);
        assert_limbs_equal(out[i], one, n);
        ddt_free(out[i]);
    }
    ddt_free(one);
}

static void convert_and_check(const problem *p, const big *numbers) {
    size_t n = ddt_ring_n(p->ring);
    ddt_baseconv *conversion = NULL;
    assert_int_equal(ddt_baseconv_create(ctx, p->ring, p->from, p->from_count, p->to, p->to_count, &conversion),
                     DDT_OK);
    uint64_t *y = new_limb(p->from_count * n);
    uint64_t *quotient = new_limb(n);
    uint64_t *out = new_limb(n);
    uint64_t *ys[FROM_MAX];
    for (size_t k = 0; k < p->from_count; k++) {
        ys[k] = y + k * n;
    }
    ddt_baseconv_prepare(conversion, (const uint64_t *const *)p->limbs, ys, quotient, 0, n);
    for (size_t j = 0; j < p->to_count; j++) {
        ddt_baseconv_limb(conversion, j, out, (const uint64_t *const *)ys, quotient);
        for (size_t i = 0; i < n; i++) {
            assert_true(out[i] == centred_residue(p, &numbers[i], ddt_ring_modulus(p->ring, p->to[j])));
        }
    }
    check_several_limbs(p, conversion, (const uint64_t *const *)ys, quotient);
    /* In pieces and in place gives the same bytes. */
    for (size_t begin = 0; begin < n; begin += 8) {
        ddt_baseconv_prepare(conversion, (const uint64_t *const *)p->limbs, p->limbs, out, begin, begin + 8);
    }
    assert_limbs_equal(out, quotient, n);
    for (size_t k = 0; k < p->from_count; k++) {
        assert_limbs_equal(p->limbs[k], ys[k], n);
    }
    ddt_free(y);
    ddt_free(quotient);
    ddt_free(out);
    ddt_baseconv_destroy(conversion);
}

/* -sum_k Q / q_k mod Q */
static big extreme_number(const problem *p) {
    big x = p->product;
    for (size_t k = 0; k < p->from_count; k++) {
        big quotient = {{1}};
        for (size_t i = 0; i < p->from_count; i++) {
            if (i != k) {
                big_mul_small_add(&quotient, ddt_ring_modulus(p->ring, p->from[i]), NULL);
            }
        }
        big_sub(&x, &quotient);
    }
    return x;
}

static void check_conversion(problem *p, uint64_t *seed) {
    size_t n = ddt_ring_n(p->ring);
    p->product = (big){{1}};
    for (size_t k = 0; k < p->from_count; k++) {
        big_mul_small_add(&p->product, ddt_ring_modulus(p->ring, p->from[k]), NULL);
        p->limbs[k] = new_limb(n);
    }
    p->extreme = p->from_count > 1 ? extreme_number(p) : (big){{0}};
    big *numbers = ddt_alloc(n, sizeof *numbers);
    assert_non_null(numbers);
    for (size_t i = 0; i < n; i++) {
        numbers[i] = random_number(p, seed);
        for (size_t k = 0; k < p->from_count; k++) {
            p->limbs[k][i] = big_mod(&numbers[i], ddt_ring_modulus(p->ring, p->from[k]));
        }
    }
    convert_and_check(p, numbers);
    for (size_t k = 0; k < p->from_count; k++) {
        ddt_free(p->limbs[k]);
    }
    ddt_free(numbers);
}

/* Sources: `count` primes of mixed sizes; targets: the common list of moduli. */
static void check_count(unsigned log_n, size_t count, double bits, uint64_t *seed) {
    uint64_t moduli[MODULI + FROM_MAX];
    make_moduli(log_n, moduli);
    assert_int_equal(ddt_ring_find_primes(ctx, log_n + 1, bits, count, moduli, MODULI, moduli + MODULI), DDT_OK);
    problem p = {.from_count = count, .to_count = MODULI};
    assert_int_equal(ddt_ring_create(ctx, log_n, moduli, MODULI + count, &p.ring), DDT_OK);
    for (uint32_t i = 0; i < MODULI; i++) {
        p.to[i] = i;
    }
    for (uint32_t k = 0; k < count; k++) {
        /* every third source comes from the mixed list, and so is a target as well */
        p.from[k] = k % 3 == 2 && k < MODULI ? k : (uint32_t)MODULI + k;
    }
    check_conversion(&p, seed);
    ddt_ring_destroy(p.ring);
}

static void test_conversion(void **state) {
    (void)state;
    uint64_t seed = 8;
    for (size_t set = 0; set < KERNEL_SETS; set++) {
        const size_t counts[] = {1, 2, 3, 4, 5, 7, 8, 13, 14, 15, 16, 17, 23, 24, 25, 32, 33};
        for (size_t i = 0; select_set(set) && i < sizeof counts / sizeof counts[0]; i++) {
            const double bits[] = {30, 40, 45, 48, 50};
            for (size_t b = 0; b < sizeof bits / sizeof bits[0]; b++) {
                check_count(4 + (unsigned)((i + b) % 3), counts[i], bits[b], &seed);
            }
        }
    }
}

/* As many sources as there may be, of the largest size. */
static void test_many_sources(void **state) {
    (void)state;
    uint64_t seed = 9;
    for (size_t set = 0; set < KERNEL_SETS; set++) {
        for (size_t count = 64; select_set(set) && count <= FROM_MAX; count += 64) {
            check_count(4, count, 50, &seed);
        }
    }
}

/* The first half of limbs in NTT domain, in pieces: what it makes of the limbs and of as many others of their moduli.
 */
static void check_from_ntt(const problem *p, const ddt_baseconv *conversion) {
    const size_t n = ddt_ring_n(p->ring);
    uint64_t *expected = new_limb(n);
    uint64_t *quotient = new_limb(n);
    uint64_t *y[FROM_MAX];
    uint64_t *z[FROM_MAX];
    for (size_t k = 0; k < p->from_count; k++) {
        y[k] = new_limb(n);
        z[k] = new_limb(n);
        memcpy(z[k], p->limbs[k], n * sizeof *z[k]);
        ddt_ring_ntt(p->ring, p->from[k], z[k]);
        memcpy(y[k], z[k], n * sizeof *y[k]);
        uint64_t *const pair[2] = {y[k], z[k]};
        ddt_baseconv_intt(conversion, k, pair, 2);
    }
    ddt_baseconv_quotients(conversion, y, quotient, 0, n);
    for (size_t begin = 0; begin < n; begin += n / 2) {
        ddt_baseconv_quotients(conversion, z, expected, begin, begin + n / 2);
    }
    assert_limbs_equal(quotient, expected, n);
    for (size_t k = 0; k < p->from_count; k++) {
        assert_limbs_equal(y[k], z[k], n);
        memcpy(z[k], p->limbs[k], n * sizeof *z[k]);
    }
    ddt_baseconv_prepare(conversion, (const uint64_t *const *)z, z, expected, 0, n);
    assert_limbs_equal(quotient, expected, n);
    for (size_t k = 0; k < p->from_count; k++) {
        assert_limbs_equal(y[k], z[k], n);
        ddt_free(y[k]);
        ddt_free(z[k]);
    }
    ddt_free(expected);
    ddt_free(quotient);
}

/* Conversion and the beginning of the transform in one: the same transforms as one after the other. */
static void check_begun(const problem *p, const ddt_baseconv *conversion, size_t count) {
    const size_t n = ddt_ring_n(p->ring);
    uint64_t *quotient = new_limb(n);
    uint64_t *one = new_limb(n);
    uint64_t *out[MODULI];
    uint32_t targets[MODULI];
    ddt_baseconv_prepare(conversion, (const uint64_t *const *)p->limbs, p->limbs, quotient, 0, n);
    for (size_t i = 0; i < count; i++) {
        out[i] = new_limb(n);
        targets[i] = (uint32_t)(p->to_count - 1 - i);
    }
    ddt_baseconv_begin(conversion, targets, count, out, (const uint64_t *const *)p->limbs, quotient);
    for (size_t i = 0; i < count; i++) {
        ddt_baseconv_limb(conversion, targets[i], one, (const uint64_t *const *)p->limbs, quotient);
        ddt_ring_ntt(p->ring, p->to[targets[i]], one);
        ddt_ring_ntt_finish(p->ring, p->to[targets[i]], &out[i], 1, NULL);
        assert_limbs_equal(out[i], one, n);
        ddt_free(out[i]);
    }
    ddt_free(one);
    ddt_free(quotient);
}

static void check_begun_ring(unsigned log_n, size_t targets, size_t sources, double bits, uint64_t *seed) {
    enum { SOURCES_MAX = 17 };
    uint64_t moduli[MODULI + SOURCES_MAX];
    problem p = {.from_count = sources, .to_count = MODULI};
    ddt_baseconv *conversion = NULL;
    make_moduli(log_n, moduli);
    assert_int_equal(ddt_ring_find_primes(ctx, log_n + 1, bits, sources, moduli, MODULI, moduli + MODULI), DDT_OK);
    assert_int_equal(ddt_ring_create(ctx, log_n, moduli, MODULI + sources, &p.ring), DDT_OK);
    for (uint32_t i = 0; i < MODULI; i++) {
        p.to[i] = i;
    }
    for (uint32_t k = 0; k < sources; k++) {
        p.from[k] = (uint32_t)MODULI + k;
        p.limbs[k] = new_limb(ddt_ring_n(p.ring));
        fill_random(p.limbs[k], ddt_ring_n(p.ring), ddt_ring_modulus(p.ring, p.from[k]), seed);
    }
    assert_int_equal(ddt_baseconv_create(ctx, p.ring, p.from, sources, p.to, MODULI, &conversion), DDT_OK);
    check_from_ntt(&p, conversion);
    check_begun(&p, conversion, targets);
    for (size_t k = 0; k < sources; k++) {
        ddt_free(p.limbs[k]);
    }
    ddt_baseconv_destroy(conversion);
    ddt_ring_destroy(p.ring);
}

static void test_begun(void **state) {
    (void)state;
    uint64_t seed = 10;
    for (size_t set = 0; set < KERNEL_SETS; set++) {
        for (unsigned log_n = 4; select_set(set) && log_n <= 14; log_n += 2) {
            check_begun_ring(log_n, log_n % MODULI, 3, 45, &seed);
        }
    }
    /*
     * Of these only the last kernels do both at once; 13 targets are more than go together, 16 sources more than have
     * their quotients looked up, and four of 50 bits too many for residues that are not canonical.
     */
    if (select_set(KERNEL_SETS - 1)) {
        check_begun_ring(12, MODULI, 3, 50, &seed);
        check_begun_ring(13, MODULI, 4, 50, &seed);
        check_begun_ring(15, MODULI, 15, 45, &seed);
        check_begun_ring(14, MODULI, 16, 45, &seed);
        check_begun_ring(16, 13, 17, 45, &seed);
        check_begun_ring(17, 3, 2, 50, &seed);
    }
}

static void test_rejected(void **state) {
    (void)state;
    assert_true(select_set(0));
    ddt_ring *ring = make_ring(4);
    ddt_baseconv *conversion = NULL;
    const uint32_t good[] = {0, 1};
    const uint32_t repeated[] = {1, 1};
    const uint32_t unknown[] = {0, MODULI};
    assert_int_equal(ddt_baseconv_create(ctx, ring, repeated, 2, good, 2, &conversion), DDT_ERR_ARGUMENT);
    assert_int_equal(ddt_baseconv_create(ctx, ring, unknown, 2, good, 2, &conversion), DDT_ERR_ARGUMENT);
    assert_int_equal(ddt_baseconv_create(ctx, ring, good, 2, unknown, 2, &conversion), DDT_ERR_ARGUMENT);
    assert_int_equal(ddt_baseconv_create(ctx, ring, good, 0, good, 2, &conversion), DDT_ERR_ARGUMENT);
    assert_int_equal(ddt_baseconv_create(ctx, ring, good, 2, good, 0, &conversion), DDT_ERR_ARGUMENT);
    assert_null(conversion);
    for (uint64_t n = 0;; n++) {
        ddt_alloc_fail_after(n);
        ddt_status status = ddt_baseconv_create(ctx, ring, good, 2, good, 2, &conversion);
        ddt_alloc_fail_after(UINT64_MAX);
        if (status == DDT_OK) {
            assert_true(n >= 4);
            break;
        }
        assert_int_equal(status, DDT_ERR_MEMORY);
        assert_null(conversion);
    }
    ddt_baseconv_destroy(conversion);
    ddt_baseconv_destroy(NULL);
    ddt_ring_destroy(ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_conversion), cmocka_unit_test(test_many_sources),
                                       cmocka_unit_test(test_begun), cmocka_unit_test(test_rejected)};
    return cmocka_run_group_tests(tests, make_context, free_context);
}
