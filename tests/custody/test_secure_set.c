/* The whole scheme once at a set that the security table admits. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"

static void secure_set(void **state) {
    (void)state;
    const ddt_ckks_literal literal = {14, 6, 50, 40, 2};
    const int64_t rotation = -5;
    test_scheme t;
    test_scheme_create(&t, &literal, &rotation, 1, 2);
    assert_true(ddt_ckks_params_is_secure(t.params));
    double complex *a = test_slots(&t);
    double complex *b = test_slots(&t);
    double complex *expected = test_slots(&t);
    test_message(0, t.slots, a);
    test_message(0, t.slots, b);
    ddt_plaintext plain = {0};
    ddt_ciphertext ca;
    ddt_ciphertext cb;
    ddt_ciphertext out;
    const double scale = ddt_ckks_canonical_scale(t.params, 6);
    assert_ok(t.ctx, ddt_ckks_encode(t.ctx, t.params, a, t.slots, 6, scale, &plain));
    assert_ok(t.ctx, ddt_encrypt_public(t.ctx, t.params, &t.public_key, &plain, &ca));
    assert_error_below(test_error(&t, &ca, a), 9.0 * ddt_ckks_noise_fresh_public(t.params, scale));
    test_encrypt(&t, b, 6, &cb);
    assert_ok(t.ctx, ddt_ciphertext_create(t.ctx, t.params, 6, 3, &out));
    assert_ok(t.ctx, ddt_eval_mul(t.ev, &ca, &cb, &out));
    assert_ok(t.ctx, ddt_eval_rotate(t.ev, &out, rotation, &out));
    assert_ok(t.ctx, ddt_eval_conjugate(t.ev, &out, &out));
    for (size_t j = 0; j < t.slots; j++) {
        const size_t from = (j + t.slots - 5) % t.slots;
        expected[j] = conj(a[from] * b[from]);
    }
    assert_error_below(test_error(&t, &out, expected), 12.0 * 1.5 * ddt_ckks_noise_fresh_public(t.params, scale));
    ddt_plaintext_destroy(&plain);
    ddt_ciphertext_destroy(&ca);
    ddt_ciphertext_destroy(&cb);
    ddt_ciphertext_destroy(&out);
    ddt_free(a);
    ddt_free(b);
    ddt_free(expected);
    test_scheme_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(secure_set)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
