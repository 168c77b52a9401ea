/* Linear transforms against the clear: all shapes at small rings, one larger. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"
#include "ddt/ckks/transform.h"

enum { DIAGONALS_MAX = 64, ROTATIONS_MAX = 128 };

typedef struct matrix {
    size_t count;
    ddt_diagonal diagonals[DIAGONALS_MAX];
    double complex *values[DIAGONALS_MAX];
} matrix;

/* Random diagonals at the given indices, of random periods unless fixed. */
static void matrix_random(matrix *m, const int64_t *indices, size_t count, size_t slots, size_t period) {
    m->count = count;
    for (size_t i = 0; i < count; i++) {
        const size_t p = period != 0 ? period : (size_t)1 << (test_random() % (1 + (unsigned)__builtin_ctzll(slots)));
        m->values[i] = ddt_calloc(p, sizeof(double complex));
        assert_non_null(m->values[i]);
        test_message(0, p, m->values[i]);
        m->diagonals[i] = (ddt_diagonal){indices[i], m->values[i], p};
    }
}

static void matrix_free(matrix *m) {
    for (size_t i = 0; i < m->count; i++) {
        ddt_free(m->values[i]);
    }
}

static void apply(const matrix *m, const double complex *in, size_t slots, double complex *out) {
    for (size_t j = 0; j < slots; j++) {
        out[j] = 0.0;
        for (size_t i = 0; i < m->count; i++) {
            const size_t from = (j + (size_t)(m->diagonals[i].index + (int64_t)slots)) % slots;
            out[j] += m->values[i][j % m->diagonals[i].period] * in[from];
        }
    }
}

static void add_rotations(test_scheme *t, const int64_t *steps, size_t count, unsigned level) {
    for (size_t i = 0; i < count; i++) {
        const uint64_t galois = ddt_ring_galois_rotation(ddt_ckks_params_ring(t->params), steps[i]);
        const ddt_switch_key *known = ddt_eval_keys_find(t->keys, galois);
        if (known == NULL || known->top_level < level) {
            test_add_key(t, galois, level);
        }
    }
}

static double rms(const double complex *a, const double complex *b, size_t count) {
    double squares = 0.0;
    for (size_t j = 0; j < count; j++) {
        const double size = cabs(a[j] - (b == NULL ? 0.0 : b[j]));
        squares += size * size / (double)count;
    }
    return sqrt(squares);
}

/* The error against its worst case and its average; messages are uniform in [-1, 1]^2. */
static void check_noise(test_scheme *t, const ddt_transform *transform, const ddt_ciphertext *a,
                        const ddt_ciphertext *out, const double complex *expected) {
    enum { TAIL_BITS = 40 };
    double complex *got = test_slots(t);
    const double worst = ddt_ckks_bound_fresh_secret(t->params, sqrt(2.0), a->scale, TAIL_BITS);
    const double fresh = ddt_ckks_noise_fresh_secret(t->params, a->scale);
    const ddt_ckks_bound bound =
        ddt_ckks_bound_transform(transform, a->scale, (ddt_ckks_bound){sqrt(2.0), worst}, TAIL_BITS);
    const double average = ddt_ckks_noise_transform(transform, a->scale, sqrt(2.0 / 3.0), fresh);
    test_decrypt(t, out, got);
    assert_error_below(test_max_error(got, expected, t->slots), bound.error);
    assert_true(bound.error < 0x1p16 * average); /* linear sums over up to 64 diagonals */
    const double measured = rms(got, expected, t->slots);
    if (!(measured > 0.5 * average && measured < 2.0 * average)) {
        fail_msg("measured 2^%.2f, predicted 2^%.2f", log2(measured), log2(average));
    }
    assert_true(rms(expected, NULL, t->slots) <= bound.message);
    ddt_free(got);
}

/* Transforms a random message and compares with the clear; the key list is exactly what is needed. */
static size_t check_matrix(test_scheme *t, const matrix *m, unsigned input_level, const ddt_transform_shape *shape) {
    ddt_transform *transform = NULL;
    ddt_ciphertext a;
    ddt_ciphertext out;
    int64_t steps[ROTATIONS_MAX];
    double complex *message = test_slots(t);
    double complex *expected = test_slots(t);
    test_message(0, t->slots, message);
    apply(m, message, t->slots, expected);
    assert_ok(t->ctx, ddt_transform_create(t->ctx, t->params, m->diagonals, m->count, shape, &transform));
    const size_t count = ddt_transform_rotations(transform, steps, ROTATIONS_MAX);
    assert_true(count <= ROTATIONS_MAX);
    test_encrypt(t, message, input_level, &a);
    assert_ok(t->ctx, ddt_ciphertext_create(t->ctx, t->params, shape->level - 1, 2, &out));
    add_rotations(t, steps, count, shape->level);
    assert_ok(t->ctx, ddt_eval_transform(t->ev, transform, &a, &out));
    assert_int_equal(out.level, shape->level - 1);
    assert_error_below(test_error(t, &out, expected), 0x1p-24);
    check_noise(t, transform, &a, &out, expected);
    /* In place, and without allocating. */
    (void)ddt_alloc_fail_after(0);
    assert_ok(t->ctx, ddt_eval_transform(t->ev, transform, &a, &a));
    assert_int_equal(ddt_alloc_fail_after(UINT64_MAX), 0);
    assert_error_below(test_error(t, &a, expected), 0x1p-24);
    ddt_ciphertext_destroy(&a);
    ddt_ciphertext_destroy(&out);
    ddt_transform_destroy(transform);
    ddt_free(message);
    ddt_free(expected);
    return count;
}

static void random_indices(int64_t *indices, size_t count, size_t slots) {
    /* Distinct: one in each of `count` stretches; negative ones too. */
    const int64_t stretch = (int64_t)(slots / count);
    for (size_t i = 0; i < count; i++) {
        indices[i] = (int64_t)i * stretch + (int64_t)(test_random() % (uint64_t)stretch) - (int64_t)slots / 2;
    }
}

static void sparse_and_dense(void **state) {
    (void)state;
    static const ddt_ckks_literal shapes[] = {
        {10, 3, 50, 45, 1}, {10, 5, 50, 40, 2}, {11, 4, 50, 45, 3, 2}, {12, 2, 50, 45, 2}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        test_scheme t;
        test_scheme_create(&t, &shapes[s], NULL, 0, 1 + (int)s % 2);
        for (unsigned round = 0; round < 6; round++) {
            static const size_t counts[] = {1, 2, 7, 16, 33, 64};
            int64_t indices[DIAGONALS_MAX];
            matrix m;
            random_indices(indices, counts[round], t.slots);
            if (round % 2 == 1) { /* evenly spaced around zero */
                for (size_t i = 0; i < counts[round]; i++) {
                    indices[i] = ((int64_t)i - (int64_t)counts[round] / 2) * 4;
                }
            }
            matrix_random(&m, indices, counts[round], t.slots, round % 3 == 0 ? t.slots : 0);
            const unsigned level = 1 + (unsigned)(test_random() % shapes[s].levels);
            const ddt_transform_shape shape = {level, 0x1p45, round == 5 ? 16 : 0};
            (void)check_matrix(&t, &m, shapes[s].levels, &shape);
            matrix_free(&m);
        }
        test_scheme_destroy(&t);
    }
}

/* 63 evenly spaced diagonals with 8 baby steps: 8 baby rotations (none by zero) and one for all giant steps. */
static void few_keys(void **state) {
    (void)state;
    static const ddt_ckks_literal literal = {11, 2, 50, 45, 2};
    test_scheme t;
    int64_t indices[DIAGONALS_MAX];
    matrix m;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    for (int64_t i = 0; i < 63; i++) {
        indices[i] = 8 * (i - 31);
    }
    matrix_random(&m, indices, 63, t.slots, 0);
    const ddt_transform_shape shape = {2, 0x1p45, 8};
    assert_int_equal(check_matrix(&t, &m, 2, &shape), 9);
    matrix_free(&m);
    for (int64_t i = 0; i < 63; i++) {
        indices[i] = 8 * i;
    }
    matrix_random(&m, indices, 63, t.slots, 0);
    assert_int_equal(check_matrix(&t, &m, 2, &shape), 8);
    matrix_free(&m);
    test_scheme_destroy(&t);
}

/* Diagonals of a short period take a share of a limb. */
static void memory(void **state) {
    (void)state;
    static const ddt_ckks_literal literal = {11, 16, 50, 40, 3};
    test_scheme t;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    const int64_t indices[] = {0, 1, 2, 3};
    for (unsigned level = 2; level <= 16; level += 14) {
        for (size_t period = 8; period <= t.slots; period *= t.slots / 8) {
            matrix m;
            ddt_transform *transform = NULL;
            const ddt_transform_shape shape = {level, 0x1p40, 0};
            matrix_random(&m, indices, 4, t.slots, period);
            assert_ok(t.ctx, ddt_transform_create(t.ctx, t.params, m.diagonals, 4, &shape, &transform));
            const size_t limbs = (size_t)level + 1 + literal.p_count;
            assert_int_equal(ddt_transform_bytes(transform), 4 * limbs * 2 * period * sizeof(uint64_t));
            ddt_transform_destroy(transform);
            (void)check_matrix(&t, &m, 16, &shape);
            matrix_free(&m);
        }
    }
    test_scheme_destroy(&t);
}

static void sums(void **state) {
    (void)state;
    static const ddt_ckks_literal literal = {10, 2, 50, 45, 2};
    const int64_t rotations[] = {3, 6, 12, -1, -2};
    test_scheme t;
    test_scheme_create(&t, &literal, rotations, 5, 1);
    double complex *message = test_slots(&t);
    double complex *expected = test_slots(&t);
    ddt_ciphertext a;
    test_message(0, t.slots, message);
    test_encrypt(&t, message, 2, &a);
    for (size_t j = 0; j < t.slots; j++) {
        expected[j] = 0.0;
        for (size_t k = 0; k < 8; k++) {
            expected[j] += message[(j + 3 * k) % t.slots];
        }
    }
    ddt_ciphertext out;
    assert_ok(t.ctx, ddt_ciphertext_create(t.ctx, t.params, 2, 2, &out));
    assert_ok(t.ctx, ddt_eval_inner_sum(t.ev, &a, 8, 3, &out));
    assert_error_below(test_error(&t, &out, expected), 0x1p-25);
    for (size_t j = 0; j < t.slots; j++) {
        expected[j] = 0.0;
        for (size_t k = 0; k < 4; k++) {
            expected[j] += message[(j + t.slots - k) % t.slots];
        }
    }
    assert_ok(t.ctx, ddt_eval_inner_sum(t.ev, &a, 4, -1, &a));
    assert_error_below(test_error(&t, &a, expected), 0x1p-25);
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_eval_inner_sum(t.ev, &a, 3, 1, &out));
    assert_fails(t.ctx, DDT_ERR_KEY_MISSING, ddt_eval_inner_sum(t.ev, &a, 2, 5, &out));
    ddt_ciphertext_destroy(&a);
    ddt_ciphertext_destroy(&out);
    ddt_free(message);
    ddt_free(expected);
    test_scheme_destroy(&t);
}

static void refusals(void **state) {
    (void)state;
    static const ddt_ckks_literal literal = {10, 2, 50, 45, 2};
    test_scheme t;
    ddt_transform *transform = NULL;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    const double complex one[2] = {1.0, 1.0};
    const double complex infinite[1] = {(double)INFINITY};
    const ddt_diagonal repeated[] = {{1, one, 1}, {1, one, 2}};
    const ddt_diagonal apart[] = {{-256, one, 1}, {256, one, 2}};
    const ddt_diagonal good[] = {{0, one, 1}, {5, one, 2}};
    const ddt_diagonal odd[] = {{0, one, 3}};
    const ddt_diagonal large[] = {{0, infinite, 1}};
    const ddt_transform_shape shape = {2, 0x1p45, 0};
    const ddt_transform_shape high = {3, 0x1p45, 0};
    const ddt_transform_shape low = {0, 0x1p45, 0};
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_transform_create(t.ctx, t.params, repeated, 2, &shape, &transform));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_transform_create(t.ctx, t.params, apart, 2, &shape, &transform));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_transform_create(t.ctx, t.params, good, 0, &shape, &transform));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_transform_create(t.ctx, t.params, odd, 1, &shape, &transform));
    assert_fails(t.ctx, DDT_ERR_RANGE, ddt_transform_create(t.ctx, t.params, large, 1, &shape, &transform));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_transform_create(t.ctx, t.params, good, 2, &high, &transform));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_transform_create(t.ctx, t.params, good, 2, &low, &transform));
    assert_null(transform);
    for (uint64_t n = 0;; n++) { /* every allocation fails once */
        (void)ddt_alloc_fail_after(n);
        const ddt_status status = ddt_transform_create(t.ctx, t.params, good, 2, &shape, &transform);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        ddt_context_clear(t.ctx);
        if (status == DDT_OK) {
            assert_true(n > 4);
            break;
        }
        assert_int_equal(status, DDT_ERR_MEMORY);
        assert_null(transform);
    }
    ddt_ciphertext a;
    double complex *message = test_slots(&t);
    test_encrypt(&t, message, 2, &a);
    assert_fails(t.ctx, DDT_ERR_KEY_MISSING, ddt_eval_transform(t.ev, transform, &a, &a));
    a.level = 1;
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_eval_transform(t.ev, transform, &a, &a));
    ddt_free(message);
    ddt_ciphertext_destroy(&a);
    ddt_transform_destroy(transform);
    test_scheme_destroy(&t);
}

/* A banded matrix at 2^14 with secure parameters. */
static void larger(void **state) {
    (void)state;
    static const ddt_ckks_literal literal = {14, 4, 50, 45, 3};
    test_scheme t;
    int64_t indices[31];
    matrix m;
    test_scheme_create(&t, &literal, NULL, 0, 2);
    assert_true(ddt_ckks_params_is_secure(t.params));
    for (int64_t i = 0; i < 31; i++) {
        indices[i] = 16 * (i - 15);
    }
    matrix_random(&m, indices, 31, t.slots, 0);
    const ddt_transform_shape shape = {4, ddt_ckks_canonical_scale(t.params, 4), 0};
    (void)check_matrix(&t, &m, 4, &shape);
    matrix_free(&m);
    test_scheme_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sparse_and_dense), cmocka_unit_test(few_keys),
                                       cmocka_unit_test(memory),           cmocka_unit_test(sums),
                                       cmocka_unit_test(refusals),         cmocka_unit_test(larger)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
