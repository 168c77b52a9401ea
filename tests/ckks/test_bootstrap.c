/* Bootstrapping at small, insecure rings. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/bootstrap_support.h"

/* Levels: the user's, and 11 + those of coefficients-to-slots. */
static const ddt_ckks_literal small = {11, 5, 50, 45, 4, 14};

/* The root mean square is what ddt_ckks_noise_bootstrap says, within a bit; the worst slot within 2.5 bits of it. */
static void assert_errors(const boot_fixture *f, unsigned kind, boot_errors e) {
    const double expected = -log2(ddt_ckks_noise_bootstrap(f->t.params));
    if (!(e.rms_bits > expected - 0.5 && e.worst_bits > expected - 2.5 && e.mean_bits > expected - 0.5)) {
        fail_msg("message %u: mean %.2f bits, root mean square %.2f, worst %.2f, expected %.2f", kind, e.mean_bits,
                 e.rms_bits, e.worst_bits, expected);
    }
    if (kind == 0 && e.rms_bits > expected + 1.0) {
        fail_msg("the prediction of %.2f bits is not what is measured, %.2f", expected, e.rms_bits);
    }
}

static void messages(void **state) {
    (void)state;
    boot_fixture f;
    boot_fixture_create(&f, &small, &(ddt_bootstrap_literal){0}, 1);
    assert_int_equal(ddt_bootstrap_input_level(f.b), 3);
    assert_int_equal(ddt_bootstrap_output_level(f.b), 5);
    for (unsigned kind = 0; kind < TEST_MESSAGES; kind++) {
        assert_errors(&f, kind, boot_check(&f, kind, 3 + kind % 3, false));
        assert_errors(&f, kind, boot_check(&f, kind, 3, true));
    }
    boot_fixture_destroy(&f);
}

/* Small scales: the roundings there are most of the error, and predicted. */
static void small_scales(void **state) {
    (void)state;
    static const ddt_bootstrap_literal shapes[] = {{6, 2, 0}, {0, 3, 0}};
    for (unsigned scale_bits = 30; scale_bits <= 36; scale_bits += 3) {
        const ddt_ckks_literal literal = {11, 5, 50, scale_bits, 4, 14};
        boot_fixture f;
        boot_fixture_create(&f, &literal, &shapes[scale_bits % 2], 1);
        const boot_errors e = boot_check(&f, 0, ddt_bootstrap_input_level(f.b), false);
        const double expected = -log2(ddt_ckks_noise_bootstrap(f.t.params));
        if (fabs(e.rms_bits - expected) > 0.5) {
            fail_msg("scale 2^%u: measured %.2f bits, predicted %.2f", scale_bits, e.rms_bits, expected);
        }
        boot_fixture_destroy(&f);
    }
}

/* Other numbers of levels, of baby steps, of slots, of threads. */
static void shapes(void **state) {
    (void)state;
    static const struct {
        ddt_ckks_literal literal;
        ddt_bootstrap_literal boot;
        int threads;
    } cases[] = {
        {{10, 3, 50, 40, 3, 13}, {0, 2, 0}, 1},  {{12, 4, 50, 42, 5, 15}, {0, 4, 4}, 2},
        {{11, 6, 50, 45, 9, 14}, {0, 3, 16}, 1}, {{11, 4, 50, 45, 1, 16}, {7, 3, 0}, 1},
        {{12, 3, 50, 41, 4, 14}, {10, 3, 0}, 2}, {{10, 3, 50, 45, 4, 13}, {5, 1, 1}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        boot_fixture f;
        boot_fixture_create(&f, &cases[i].literal, &cases[i].boot, cases[i].threads);
        const unsigned level = ddt_bootstrap_input_level(f.b);
        assert_int_equal(level, cases[i].boot.slots_levels);
        const boot_errors e = boot_check(&f, 0, level, i % 2 == 1);
        if (!(e.rms_bits > 25.0 && e.worst_bits > 22.5)) {
            fail_msg("case %zu: root mean square %.2f bits, worst %.2f", i, e.rms_bits, e.worst_bits);
        }
        boot_fixture_destroy(&f);
    }
}

/* The refreshed ciphertext is as good as a fresh one: compute, bootstrap again, many times. */
static void repeatedly(void **state) {
    (void)state;
    boot_fixture f;
    ddt_ciphertext a;
    boot_fixture_create(&f, &small, &(ddt_bootstrap_literal){0}, 1);
    boot_encrypt(&f, 0, 5, false, &a);
    double complex *expected = test_slots(&f.t);
    memcpy(expected, f.message, f.t.slots * sizeof *expected);
    const double error = ddt_ckks_noise_bootstrap(f.t.params);
    for (unsigned round = 1; round <= 6; round++) {
        /* z -> z^2 / 2 + z / 2 - 1/4 stays where real and imaginary parts are at most 1. */
        ddt_ciphertext square;
        boot_result(&f, &square);
        assert_ok(f.t.ctx, ddt_eval_mul(f.t.ev, &a, &a, &square));
        assert_ok(f.t.ctx, ddt_eval_drop_level(f.t.ev, &a, 4, &a));
        a.scale = square.scale; /* both canonical: equal up to the last bit */
        assert_ok(f.t.ctx, ddt_eval_sub(f.t.ev, &square, &a, &square));
        for (size_t j = 0; j < f.t.slots; j++) {
            expected[j] = expected[j] * expected[j] - expected[j];
        }
        /* |z^2 - z| can reach 2 sqrt(2): scale it down by 1/4 with the level that is left. */
        ddt_ciphertext quarter;
        boot_result(&f, &quarter);
        assert_ok(f.t.ctx,
                  ddt_eval_mul_constant(f.t.ev, &square, 0.25, (double)ddt_ckks_prime(f.t.params, 4), &quarter));
        assert_ok(f.t.ctx, ddt_eval_rescale(f.t.ev, &quarter, &quarter));
        for (size_t j = 0; j < f.t.slots; j++) {
            expected[j] *= 0.25;
        }
        const double scale = ddt_ckks_canonical_scale(f.t.params, 3);
        const double drift = scale / quarter.scale;
        quarter.scale = scale; /* the message is multiplied by the ratio */
        ddt_ciphertext fresh;
        boot_result(&f, &fresh);
        assert_ok(f.t.ctx, ddt_eval_bootstrap(f.t.ev, f.b, &quarter, &fresh));
        for (size_t j = 0; j < f.t.slots; j++) {
            expected[j] /= drift;
        }
        assert_error_below(test_error(&f.t, &fresh, expected), 8.0 * error);
        ddt_ciphertext_destroy(&square);
        ddt_ciphertext_destroy(&quarter);
        ddt_ciphertext_destroy(&a);
        a = fresh;
    }
    ddt_ciphertext_destroy(&a);
    ddt_free(expected);
    boot_fixture_destroy(&f);
}

/* Two real messages in one bootstrap. */
static void pairs(void **state) {
    (void)state;
    boot_fixture f;
    ddt_ciphertext in[2];
    ddt_ciphertext out[2];
    double complex *messages[2];
    boot_fixture_create(&f, &small, &(ddt_bootstrap_literal){0}, 1);
    for (unsigned i = 0; i < 2; i++) {
        messages[i] = test_slots(&f.t);
        boot_encrypt(&f, 0, 4, true, &in[i]);
        memcpy(messages[i], f.message, f.t.slots * sizeof *f.message);
        boot_result(&f, &out[i]);
    }
    assert_ok(f.t.ctx, ddt_eval_bootstrap_pair(f.t.ev, f.b, &in[0], &in[1], &out[0], &out[1]));
    for (unsigned i = 0; i < 2; i++) {
        assert_error_below(test_error(&f.t, &out[i], messages[i]), 0x1p-24);
        ddt_ciphertext_destroy(&in[i]);
        ddt_ciphertext_destroy(&out[i]);
        ddt_free(messages[i]);
    }
    boot_fixture_destroy(&f);
}

/* Bootstrapped twice: the error is that of a few roundings at 2^49. */
static void iterated(void **state) {
    (void)state;
    static const ddt_ckks_literal fine = {11, 5, 50, 49, 4, 14};
    boot_fixture f;
    ddt_ciphertext a;
    ddt_ciphertext out;
    boot_fixture_create(&f, &fine, &(ddt_bootstrap_literal){0}, 1);
    const double expected = -log2(ddt_ckks_noise_bootstrap_iterated(f.t.params));
    assert_true(expected > 36.0);
    for (unsigned round = 0; round < 2 * TEST_MESSAGES; round++) {
        const bool is_real = round % 2 == 1;
        boot_encrypt(&f, round / 2, 3 + round % 3, is_real, &a);
        boot_result(&f, &out);
        assert_ok(f.t.ctx, is_real ? ddt_eval_bootstrap_iterated_real(f.t.ev, f.b, &a, &out)
                                   : ddt_eval_bootstrap_iterated(f.t.ev, f.b, &a, &out));
        assert_int_equal(out.level, ddt_bootstrap_output_level(f.b) - 1);
        assert_true(out.scale == ddt_ckks_canonical_scale(f.t.params, out.level));
        test_decrypt(&f.t, &out, f.got);
        for (size_t j = 0; j < f.t.slots && is_real; j++) {
            f.got[j] = creal(f.got[j]);
        }
        const boot_errors e = boot_measure(f.got, f.message, f.t.slots);
        print_message("iterated, message %u%s: root mean square %.2f bits (predicted %.2f), worst %.2f\n", round / 2,
                      is_real ? ", real" : "", e.rms_bits, expected, e.worst_bits);
        /* An input above the lowest level has one rounding more. */
        assert_true(e.rms_bits > expected - 1.0 && e.rms_bits < expected + 2.0 && e.worst_bits > expected - 5.0);
        ddt_ciphertext_destroy(&a);
        ddt_ciphertext_destroy(&out);
    }
    boot_fixture_destroy(&f);
}

/* The same bytes with one thread and with two; nothing is allocated once it has run; in place. */
static void hot_path(void **state) {
    (void)state;
    boot_fixture f;
    ddt_evaluator *ev = NULL;
    ddt_ciphertext a;
    ddt_ciphertext out[2];
    boot_fixture_create(&f, &small, &(ddt_bootstrap_literal){0}, 2);
    boot_encrypt(&f, 0, 5, false, &a);
    boot_result(&f, &out[0]);
    boot_result(&f, &out[1]);
    assert_ok(f.t.ctx, ddt_evaluator_create(f.t.ctx, f.t.params, f.t.keys, 1, &ev));
    assert_ok(f.t.ctx, ddt_eval_bootstrap(ev, f.b, &a, &out[0]));
    assert_ok(f.t.ctx, ddt_eval_bootstrap(f.t.ev, f.b, &a, &out[1]));
    const size_t bytes = 2 * 6 * ddt_ckks_n(f.t.params) * sizeof(uint64_t);
    assert_memory_equal(out[0].limbs, out[1].limbs, bytes);
    (void)ddt_alloc_fail_after(0);
    assert_ok(f.t.ctx, ddt_eval_bootstrap(ev, f.b, &a, &a));
    assert_int_equal(ddt_alloc_fail_after(UINT64_MAX), 0);
    assert_memory_equal(out[0].limbs, a.limbs, bytes);
    ddt_evaluator_destroy(ev);
    ddt_ciphertext_destroy(&a);
    ddt_ciphertext_destroy(&out[0]);
    ddt_ciphertext_destroy(&out[1]);
    boot_fixture_destroy(&f);
}

static void refusals(void **state) {
    (void)state;
    boot_fixture f;
    ddt_bootstrapper *b = NULL;
    ddt_ciphertext a;
    ddt_ciphertext out;
    boot_fixture_create(&f, &small, &(ddt_bootstrap_literal){0}, 1);
    ddt_context *ctx = f.t.ctx;
    static const ddt_bootstrap_literal bad[] = {{11, 0, 0}, {0, 5, 0}, {0, 1, 0}, {0, 0, 32}, {2, 3, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_fails(ctx, DDT_ERR_ARGUMENT, ddt_bootstrapper_create(ctx, f.t.params, &bad[i], &b));
        assert_null(b);
    }
    static const ddt_ckks_literal chains[] = {
        {11, 5, 50, 45, 4}, {11, 5, 50, 45, 4, 12}, {11, 2, 50, 45, 4, 14}, {11, 5, 49, 45, 4, 14}};
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
        ddt_ckks_params *params = NULL;
        assert_ok(ctx, ddt_ckks_params_create_insecure_for_testing(ctx, &chains[i], &params));
        assert_fails(ctx, DDT_ERR_ARGUMENT, ddt_bootstrapper_create(ctx, params, &(ddt_bootstrap_literal){0}, &b));
        ddt_ckks_params_destroy(params);
    }
    boot_encrypt(&f, 0, 3, false, &a);
    boot_result(&f, &out);
    a.scale *= 1.0 + 0x1p-30;
    assert_fails(ctx, DDT_ERR_ARGUMENT, ddt_eval_bootstrap(f.t.ev, f.b, &a, &out));
    a.scale = ddt_ckks_canonical_scale(f.t.params, 3);
    a.level = 2;
    assert_fails(ctx, DDT_ERR_ARGUMENT, ddt_eval_bootstrap(f.t.ev, f.b, &a, &out));
    a.level = 3;
    assert_fails(ctx, DDT_ERR_ARGUMENT, ddt_eval_bootstrap(f.t.ev, f.b, &a, &a)); /* no room */
    /* Every missing key is named. */
    ddt_key_request requests[200];
    const size_t count = ddt_bootstrap_key_requests(f.b, requests, 200);
    assert_true(count > 20 && count <= 200);
    ddt_eval_keys *keys = NULL;
    ddt_evaluator *ev = NULL;
    assert_ok(ctx, ddt_eval_keys_create(ctx, f.t.params, &keys));
    assert_ok(ctx, ddt_evaluator_create(ctx, f.t.params, keys, 1, &ev));
    assert_fails(ctx, DDT_ERR_KEY_MISSING, ddt_eval_bootstrap(ev, f.b, &a, &out));
    ddt_encapsulation encapsulation;
    assert_ok(ctx, ddt_encapsulation_generate(ctx, f.t.secret, &encapsulation));
    assert_ok(ctx, ddt_eval_keys_set_encapsulation(ctx, keys, &encapsulation));
    for (size_t i = 0; i < count; i++) {
        ddt_switch_key key;
        assert_fails(ctx, DDT_ERR_KEY_MISSING, ddt_eval_bootstrap(ev, f.b, &a, &out));
        assert_ok(ctx, ddt_switch_key_generate(ctx, f.t.secret, requests[i].galois, requests[i].top_level, &key));
        assert_ok(ctx, ddt_eval_keys_add(ctx, keys, &key));
    }
    assert_ok(ctx, ddt_eval_bootstrap(ev, f.b, &a, &out));
    ddt_evaluator_destroy(ev);
    ddt_eval_keys_destroy(keys);
    ddt_ciphertext_destroy(&a);
    ddt_ciphertext_destroy(&out);
    boot_fixture_destroy(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(messages), cmocka_unit_test(small_scales),
                                       cmocka_unit_test(shapes),   cmocka_unit_test(repeatedly),
                                       cmocka_unit_test(pairs),    cmocka_unit_test(iterated),
                                       cmocka_unit_test(hot_path), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
