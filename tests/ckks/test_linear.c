/* Linear maps against arithmetic in the clear. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"

enum { DIAGONALS_MAX = 80 };

typedef struct map {
    int64_t steps[DIAGONALS_MAX];
    double complex *diagonals[DIAGONALS_MAX];
    size_t count;
    size_t period;
} map;

/* kind 0: a band around the diagonal; 1: random steps; 2: multiples of a large stride; 3: a single step; 4: not the
 * main diagonal. */
static void map_create(const test_scheme *t, unsigned kind, size_t period, map *m) {
    const int64_t slots = (int64_t)t->slots;
    m->count = kind == 3 ? 1 : 5 + test_random() % 60;
    m->period = period;
    for (size_t i = 0; i < m->count; i++) {
        const int64_t k = (int64_t)i;
        switch (kind) {
        case 0:
            m->steps[i] = k - (int64_t)m->count / 2;
            break;
        case 1:
            m->steps[i] = (k * 37 + 11) % slots - (k % 2 == 0 ? slots : 0);
            break;
        case 2:
            m->steps[i] = -k * (slots / 128);
            break;
        default:
            m->steps[i] = 67 + k;
            break;
        }
        m->diagonals[i] = ddt_alloc(period, sizeof(double complex));
        assert_non_null(m->diagonals[i]);
        for (size_t j = 0; j < period; j++) {
            const double re = test_uniform();
            m->diagonals[i][j] = test_complex(re, test_uniform());
        }
    }
}

static void map_destroy(map *m) {
    for (size_t i = 0; i < m->count; i++) {
        ddt_free(m->diagonals[i]);
    }
}

static void map_apply(const test_scheme *t, const map *m, const double complex *a, double complex *out) {
    const int64_t slots = (int64_t)t->slots;
    for (int64_t j = 0; j < slots; j++) {
        out[j] = 0.0;
        for (size_t i = 0; i < m->count; i++) {
            out[j] += m->diagonals[i][(size_t)j % m->period] * a[((j + m->steps[i]) % slots + slots) % slots];
        }
    }
}

static void add_rotation_keys(test_scheme *t, const map *m, unsigned level, bool leave_one_out) {
    int64_t rotations[2 * DIAGONALS_MAX];
    size_t babies = 0;
    size_t total = 0;
    assert_ok(t->ctx, ddt_linear_rotations(t->ctx, t->params, m->steps, m->count, rotations, &babies, &total));
    assert_true(babies <= total && total <= m->count + 1);
    for (size_t i = 0; i + (leave_one_out ? 1 : 0) < total; i++) {
        test_add_key(t, ddt_ring_galois_rotation(ddt_ckks_params_ring(t->params), rotations[i]), level);
    }
}

static void check_map(const ddt_ckks_literal *literal, unsigned kind, int threads) {
    test_scheme t;
    map m;
    ddt_linear *linear = NULL;
    ddt_ciphertext ct;
    const unsigned level = literal->levels - kind % 2;
    test_scheme_create(&t, literal, NULL, 0, threads);
    map_create(&t, kind, kind == 2 ? 64 : t.slots, &m);
    double complex *a = test_slots(&t);
    double complex *expected = test_slots(&t);
    test_message(0, t.slots, a);
    test_encrypt(&t, a, level, &ct);
    assert_ok(t.ctx, ddt_linear_create(t.ctx, t.params, level, m.steps, (const double complex *const *)m.diagonals,
                                       m.count, m.period, &linear));
    assert_fails(t.ctx, DDT_ERR_KEY_MISSING, ddt_eval_linear(t.ev, &ct, linear, &ct));
    add_rotation_keys(&t, &m, level, false);
    map_apply(&t, &m, a, expected);
    for (unsigned repeat = 0; repeat < 2; repeat++) {
        ddt_ciphertext out;
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_ok(t.ctx, ddt_ciphertext_create(t.ctx, t.params, level - 1, 2, &out));
        (void)ddt_alloc_fail_after(repeat == 0 ? UINT64_MAX : 0); /* the second time nothing is allocated */
        assert_ok(t.ctx, ddt_eval_linear(t.ev, &ct, linear, &out));
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_int_equal(out.level, level - 1);
        assert_true(out.scale == ddt_ckks_canonical_scale(t.params, level - 1));
        assert_error_below(test_error(&t, &out, expected), ldexp((double)m.count + 8.0, 12) / out.scale);
        ddt_ciphertext_destroy(&out);
    }
    assert_ok(t.ctx, ddt_eval_linear(t.ev, &ct, linear, &ct)); /* in place */
    assert_error_below(test_error(&t, &ct, expected), ldexp((double)m.count + 8.0, 12) / ct.scale);
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_eval_linear(t.ev, &ct, linear, &ct)); /* a level too low */
    ddt_linear_destroy(linear);
    ddt_ciphertext_destroy(&ct);
    ddt_free(a);
    ddt_free(expected);
    map_destroy(&m);
    test_scheme_destroy(&t);
}

static void maps(void **state) {
    (void)state;
    const ddt_ckks_literal literals[] = {{10, 4, 50, 45, 2}, {11, 5, 50, 40, 1}, {10, 17, 50, 45, 1}};
    for (unsigned kind = 0; kind < 5; kind++) {
        for (size_t l = 0; l < sizeof literals / sizeof literals[0]; l++) {
            check_map(&literals[l], kind, 1 + (int)(kind + l) % 2);
        }
    }
}

static void refused(void **state) {
    (void)state;
    const ddt_ckks_literal literal = {10, 4, 50, 45, 2};
    test_scheme t;
    ddt_linear *linear = NULL;
    const double complex one[1] = {1.0};
    const double complex huge[1] = {1e30};
    const double complex *const diagonals[] = {one, one};
    const double complex *const large[] = {huge};
    const int64_t repeated[] = {3, 3 - 512};
    const int64_t steps[] = {3, 4};
    test_scheme_create(&t, &literal, NULL, 0, 1);
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_linear_create(t.ctx, t.params, 3, repeated, diagonals, 2, 1, &linear));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_linear_create(t.ctx, t.params, 0, steps, diagonals, 2, 1, &linear));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_linear_create(t.ctx, t.params, 5, steps, diagonals, 2, 1, &linear));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_linear_create(t.ctx, t.params, 3, steps, diagonals, 0, 1, &linear));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_linear_create(t.ctx, t.params, 3, steps, diagonals, 2, 3, &linear));
    assert_fails(t.ctx, DDT_ERR_RANGE, ddt_linear_create(t.ctx, t.params, 3, steps, large, 1, 1, &linear));
    assert_null(linear);
    for (uint64_t n = 0; linear == NULL; n++) {
        assert_true(n < 100);
        (void)ddt_alloc_fail_after(n);
        const ddt_status status = ddt_linear_create(t.ctx, t.params, 3, steps, diagonals, 2, 1, &linear);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_true(status == DDT_OK || status == DDT_ERR_MEMORY);
        ddt_context_clear(t.ctx);
    }
    ddt_linear_destroy(linear);
    test_scheme_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(maps), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
