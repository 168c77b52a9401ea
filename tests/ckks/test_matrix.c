/* Matrix products in the slots against the clear. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"

enum { STEPS_MAX = 128 };

static void add_rotations(test_scheme *t, const int64_t *steps, size_t count, unsigned level) {
    assert_true(count <= STEPS_MAX);
    for (size_t i = 0; i < count; i++) {
        const uint64_t galois = ddt_ring_galois_rotation(ddt_ckks_params_ring(t->params), steps[i]);
        const ddt_switch_key *known = ddt_eval_keys_find(t->keys, galois);
        if (known == NULL || known->top_level < level) {
            test_add_key(t, galois, level);
        }
    }
}

static void multiply(size_t d, size_t count, const double *a, const double *b, double *out) {
    for (size_t m = 0; m < count; m++) {
        for (size_t e = 0; e < d * d; e++) {
            double sum = 0.0;
            for (size_t k = 0; k < d; k++) {
                sum += a[m * d * d + e / d * d + k] * b[m * d * d + k * d + e % d];
            }
            out[m * d * d + e] = sum;
        }
    }
}

static double compare(test_scheme *t, size_t d, size_t count, const ddt_ciphertext *ct, const double *expected) {
    double complex *slots = test_slots(t);
    double *got = ddt_calloc(count * d * d, sizeof *got);
    double largest = 0.0;
    test_decrypt(t, ct, slots);
    ddt_matrix_unpack(d, slots, count, got);
    for (size_t e = 0; e < count * d * d; e++) {
        largest = fmax(largest, fabs(got[e] - expected[e]));
    }
    ddt_free(slots);
    ddt_free(got);
    return largest;
}

/* ((A B) C, A (B C)): a product packed as the left and as the right factor of the next. */
static void chains(const ddt_ckks_literal *literal, size_t d, double bound) {
    test_scheme t;
    test_scheme_create(&t, literal, NULL, 0, 1);
    const unsigned step = ddt_ckks_step(t.params);
    const unsigned top = literal->levels;
    const size_t count = t.slots / (d * d * d);
    double *x[4];
    double complex *slots = test_slots(&t);
    ddt_ciphertext factors[4];
    ddt_ciphertext product;
    ddt_matrix_packer *packer = NULL;
    int64_t steps[STEPS_MAX];
    for (size_t f = 0; f < 4; f++) {
        x[f] = ddt_calloc(count * d * d, sizeof **x);
        for (size_t e = 0; e < count * d * d; e++) {
            x[f][e] = test_uniform() / (double)d;
        }
    }
    /* A left, B right, B left, C right; C and A two products' levels lower. */
    const size_t which[4] = {0, 1, 1, 2};
    for (size_t f = 0; f < 4; f++) {
        ddt_matrix_pack(f % 2 == 0 ? DDT_MATRIX_LEFT : DDT_MATRIX_RIGHT, d, x[which[f]], count, slots);
        test_encrypt(&t, slots, top, &factors[f]);
    }
    add_rotations(&t, steps, ddt_matrix_product_rotations(d, steps, STEPS_MAX), top);
    assert_ok(t.ctx, ddt_matrix_packer_create(t.ctx, t.params, d, top - step, &packer));
    for (ddt_matrix_side side = DDT_MATRIX_LEFT; side <= DDT_MATRIX_RIGHT; side++) {
        add_rotations(&t, steps, ddt_matrix_packer_rotations(packer, side, steps, STEPS_MAX), top - step);
        const bool left = side == DDT_MATRIX_LEFT;
        ddt_ciphertext *const first = &factors[left ? 0 : 2];
        assert_ok(t.ctx, ddt_ciphertext_create(t.ctx, t.params, top, 2, &product));
        assert_ok(t.ctx, ddt_eval_matrix_product(t.ev, d, first, first + 1, &product));
        multiply(d, count, x[left ? 0 : 1], x[left ? 1 : 2], x[3]);
        assert_error_below(compare(&t, d, count, &product, x[3]), bound);
        product.scale = ddt_ckks_canonical_scale(t.params, product.level);
        assert_ok(t.ctx, ddt_eval_matrix_pack(t.ev, packer, side, &product, &product));
        assert_int_equal(product.level, top - 2 * step);
        assert_true(product.scale == ddt_ckks_canonical_scale(t.params, product.level));
        ddt_ciphertext other;
        ddt_matrix_pack(left ? DDT_MATRIX_RIGHT : DDT_MATRIX_LEFT, d, x[left ? 2 : 0], count, slots);
        test_encrypt(&t, slots, product.level, &other);
        ddt_ciphertext last;
        assert_ok(t.ctx, ddt_ciphertext_create(t.ctx, t.params, top, 2, &last));
        assert_ok(t.ctx, ddt_eval_matrix_product(t.ev, d, left ? &product : &other, left ? &other : &product, &last));
        double *expected = ddt_calloc(count * d * d, sizeof *expected);
        multiply(d, count, left ? x[3] : x[0], left ? x[2] : x[3], expected);
        assert_error_below(compare(&t, d, count, &last, expected), bound);
        ddt_free(expected);
        ddt_ciphertext_destroy(&other);
        ddt_ciphertext_destroy(&last);
        ddt_ciphertext_destroy(&product);
    }
    ddt_matrix_packer_destroy(packer);
    for (size_t f = 0; f < 4; f++) {
        ddt_ciphertext_destroy(&factors[f]);
        ddt_free(x[f]);
    }
    ddt_free(slots);
    test_scheme_destroy(&t);
}

static void products(void **state) {
    (void)state;
    chains(&(ddt_ckks_literal){11, 3, 50, 45, 2}, 2, 0x1p-28);
    chains(&(ddt_ckks_literal){11, 4, 50, 45, 2}, 4, 0x1p-28);
    chains(&(ddt_ckks_literal){11, 3, 50, 45, 2}, 8, 0x1p-28);
    chains(&(ddt_ckks_literal){11, 7, 50, 40, 3, 0, 2}, 4, 0x1p-48);
}

static void refusals(void **state) {
    (void)state;
    test_scheme t;
    ddt_matrix_packer *packer = NULL;
    test_scheme_create(&t, &(ddt_ckks_literal){10, 2, 50, 45, 2}, NULL, 0, 1);
    const struct {
        size_t d;
        unsigned level;
    } bad[] = {{1, 1}, {3, 1}, {16, 1}, {32, 1}, {4, 0}, {4, 3}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_fails(t.ctx, DDT_ERR_ARGUMENT,
                     ddt_matrix_packer_create(t.ctx, t.params, bad[i].d, bad[i].level, &packer));
        assert_null(packer);
    }
    for (uint64_t after = 0; after < 200; after++) {
        (void)ddt_alloc_fail_after(after);
        const ddt_status status = ddt_matrix_packer_create(t.ctx, t.params, 2, 1, &packer);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        ddt_context_clear(t.ctx);
        assert_true(status == DDT_OK || (status == DDT_ERR_MEMORY && packer == NULL));
        ddt_matrix_packer_destroy(packer);
        packer = NULL;
    }
    test_scheme_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
