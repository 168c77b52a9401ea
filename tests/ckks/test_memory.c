/* Every allocation of every function fails once: a clean error, nothing leaked (the sanitizer build sees leaks).
 * SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"

static const ddt_ckks_literal literal = {10, 4, 50, 45, 2};
static const int64_t rotation = 1;

/* Runs `step` with the n-th allocation failing, for all n until it succeeds. */
static void sweep(ddt_context *ctx, const char *name, ddt_status (*step)(void *data), void *data) {
    for (uint64_t n = 0; n < 1000; n++) {
        (void)ddt_alloc_fail_after(n);
        const ddt_status status = step(data);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        ddt_context_clear(ctx);
        if (status == DDT_OK) {
            assert_true(n > 0);
            return;
        }
        if (status != DDT_ERR_MEMORY) {
            fail_msg("%s, allocation %u: %s", name, (unsigned)n, ddt_status_name(status));
        }
    }
    fail_msg("%s never succeeds", name);
}

typedef struct material {
    test_scheme t;
    ddt_plaintext plain;
    ddt_ciphertext ct;
    double complex *message;
} material;

static ddt_status make_params(void *data) {
    material *m = data;
    ddt_ckks_params *params = NULL;
    const ddt_status status = ddt_ckks_params_create_insecure_for_testing(m->t.ctx, &literal, &params);
    assert_true((status == DDT_OK) == (params != NULL));
    ddt_ckks_params_destroy(params);
    return status;
}

static ddt_status encode(void *data) {
    material *m = data;
    ddt_plaintext plain = {0};
    const ddt_status status = ddt_ckks_encode(m->t.ctx, m->t.params, m->message, m->t.slots, 2, 0x1p45, &plain);
    ddt_plaintext_destroy(&plain);
    return status;
}

static ddt_status decode(void *data) {
    material *m = data;
    return ddt_ckks_decode(m->t.ctx, m->t.params, &m->plain, m->message);
}

static ddt_status copy(void *data) {
    material *m = data;
    ddt_ciphertext out;
    const ddt_status status = ddt_ciphertext_copy(m->t.ctx, m->t.params, &m->ct, &out);
    ddt_ciphertext_destroy(&out);
    return status;
}

static ddt_status secret_key(void *data) {
    material *m = data;
    ddt_secret_key *key = NULL;
    const ddt_status status = ddt_secret_key_generate(m->t.ctx, m->t.params, &key);
    assert_true((status == DDT_OK) == (key != NULL));
    ddt_secret_key_destroy(key);
    return status;
}

static ddt_status public_key(void *data) {
    material *m = data;
    ddt_public_key key;
    const ddt_status status = ddt_public_key_generate(m->t.ctx, m->t.secret, &key);
    assert_true((status == DDT_OK) == (key.b != NULL));
    ddt_public_key_destroy(&key);
    return status;
}

static ddt_status switch_key(void *data) {
    material *m = data;
    ddt_switch_key key;
    ddt_eval_keys *keys = NULL;
    ddt_status status = ddt_eval_keys_create(m->t.ctx, m->t.params, &keys);
    if (status == DDT_OK) {
        status = ddt_switch_key_generate(m->t.ctx, m->t.secret, 5, 3, &key);
        if (status == DDT_OK) {
            status = ddt_eval_keys_add(m->t.ctx, keys, &key);
            ddt_switch_key_destroy(&key);
        }
    }
    ddt_eval_keys_destroy(keys);
    return status;
}

static ddt_status encrypt(void *data) {
    material *m = data;
    ddt_ciphertext a;
    ddt_ciphertext b = {0};
    ddt_plaintext out = {0};
    ddt_status status = ddt_encrypt_secret(m->t.ctx, m->t.secret, &m->plain, &a);
    if (status == DDT_OK) {
        status = ddt_encrypt_public(m->t.ctx, m->t.params, &m->t.public_key, &m->plain, &b);
    }
    if (status == DDT_OK) {
        status = ddt_decrypt(m->t.ctx, m->t.secret, &b, &out);
    }
    ddt_ciphertext_destroy(&a);
    ddt_ciphertext_destroy(&b);
    ddt_plaintext_destroy(&out);
    return status;
}

/* All operations with a fresh evaluator, so that its scratch is allocated again. */
static ddt_status operations(void *data) {
    material *m = data;
    ddt_evaluator *ev = NULL;
    ddt_ciphertext out = {0};
    ddt_ciphertext *outs = &out;
    const double c[] = {0.1, 0.2, 0.3, 0.4, 0.1, 0.2, 0.3, 0.4};
    const double *coefficients = c;
    const unsigned degree = 7;
    ddt_status status = ddt_evaluator_create(m->t.ctx, m->t.params, m->t.keys, 1, &ev);
    status = status != DDT_OK ? status : ddt_ciphertext_create(m->t.ctx, m->t.params, 4, 3, &out);
    status = status != DDT_OK ? status : ddt_eval_add_constant(ev, &m->ct, 1.0, &out);
    status = status != DDT_OK ? status : ddt_eval_rescale(ev, &m->ct, &out);
    status = status != DDT_OK ? status : ddt_eval_adjust(ev, &m->ct, 1, m->ct.scale, &out);
    status = status != DDT_OK ? status : ddt_eval_mul(ev, &m->ct, &m->ct, &out);
    status = status != DDT_OK ? status : ddt_eval_rotate(ev, &m->ct, 1, &out);
    status = status != DDT_OK ? status : ddt_eval_rotate_hoisted(ev, &m->ct, &rotation, 1, &outs);
    status = status != DDT_OK ? status : ddt_eval_chebyshev(ev, &m->ct, &coefficients, &degree, 1, &outs);
    ddt_ciphertext_destroy(&out);
    ddt_evaluator_destroy(ev);
    return status;
}

/* Once an operation has run at a level, running it again allocates nothing. */
static void hot_paths(material *m) {
    ddt_ciphertext out;
    ddt_ciphertext *outs = &out;
    const double c[] = {0.1, 0.2, 0.3, 0.4, 0.1, 0.2, 0.3, 0.4};
    const double *coefficients = c;
    const unsigned degree = 7;
    assert_ok(m->t.ctx, ddt_ciphertext_create(m->t.ctx, m->t.params, 4, 3, &out));
    for (unsigned round = 0; round < 2; round++) {
        (void)ddt_alloc_fail_after(round == 0 ? UINT64_MAX : 0);
        assert_ok(m->t.ctx, ddt_eval_rotate_hoisted(m->t.ev, &m->ct, &rotation, 1, &outs));
        assert_ok(m->t.ctx, ddt_eval_mul(m->t.ev, &m->ct, &m->ct, &out));
        assert_ok(m->t.ctx, ddt_eval_rotate(m->t.ev, &m->ct, 1, &out));
        assert_ok(m->t.ctx, ddt_eval_rescale(m->t.ev, &m->ct, &out));
        assert_ok(m->t.ctx, ddt_eval_adjust(m->t.ev, &m->ct, 1, m->ct.scale, &out));
        assert_ok(m->t.ctx, ddt_eval_add(m->t.ev, &m->ct, &m->ct, &out));
        assert_ok(m->t.ctx, ddt_eval_mul_plain(m->t.ev, &m->ct, &m->plain, &out));
        assert_ok(m->t.ctx, ddt_eval_mul_constant(m->t.ev, &m->ct, 0.5, 0x1p45, &out));
        assert_ok(m->t.ctx, ddt_eval_chebyshev(m->t.ev, &m->ct, &coefficients, &degree, 1, &outs));
    }
    assert_int_equal(ddt_alloc_fail_after(UINT64_MAX), 0);
    ddt_ciphertext_destroy(&out);
}

static void every_allocation(void **state) {
    (void)state;
    const struct {
        const char *name;
        ddt_status (*step)(void *data);
    } steps[] = {
        {"params", make_params}, {"encode", encode},         {"decode", decode},         {"copy", copy},
        {"secret", secret_key},  {"public key", public_key}, {"switch key", switch_key}, {"encrypt", encrypt},
        {"ops", operations},
    };
    material m;
    test_scheme_create(&m.t, &literal, &rotation, 1, 1);
    m.message = test_slots(&m.t);
    m.plain = (ddt_plaintext){0};
    test_message(0, m.t.slots, m.message);
    assert_ok(m.t.ctx, ddt_ckks_encode(m.t.ctx, m.t.params, m.message, m.t.slots, 4, 0x1p45, &m.plain));
    assert_ok(m.t.ctx, ddt_encrypt_secret(m.t.ctx, m.t.secret, &m.plain, &m.ct));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        sweep(m.t.ctx, steps[i].name, steps[i].step, &m);
    }
    hot_paths(&m);
    ddt_plaintext_destroy(&m.plain);
    ddt_ciphertext_destroy(&m.ct);
    ddt_free(m.message);
    test_scheme_destroy(&m.t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
