/* label: valgrind */
/*
 * No branch and no address depends on a secret: secret bytes are marked undefined for Valgrind's memcheck, which
 * reports every jump and every access that depends on one (Langley's ctgrind). Public are: key halves and ciphertexts
 * when they are finished, seeds, messages' sizes. Outside Valgrind this is an ordinary test of the same calls.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ckks/support.h"

#include "custody_internal.h"

#include <sodium.h>
#include <valgrind/memcheck.h>

static const ddt_ckks_literal literal = {10, 3, 50, 45, 2};

/* Seeds drawn into this object are public; all other entropy is secret. */
static const uint8_t *public_begin;
static size_t public_bytes;

static const char *tainting_name(void) { return "tainting"; }

static uint32_t tainting_word(void) { return 0; }

static void tainting_bytes(void *const buffer, const size_t size) {
    randombytes_sysrandom_implementation.buf(buffer, size);
    const uint8_t *at = buffer;
    if (at < public_begin || at >= public_begin + public_bytes) {
        (void)VALGRIND_MAKE_MEM_UNDEFINED(buffer, size);
    }
}

static void seeds_in(const void *object, size_t size) {
    public_begin = object;
    public_bytes = size;
}

static void publish(const void *data, size_t size) { (void)VALGRIND_MAKE_MEM_DEFINED(data, size); }

static void publish_ciphertext(const ddt_ckks_params *params, const ddt_ciphertext *ct) {
    publish(ct->limbs, ct->parts * ((size_t)ct->level_capacity + 1) * ddt_ckks_n(params) * sizeof(uint64_t));
}

static void keys(ddt_context *ctx, const ddt_ckks_params *params, const ddt_secret_key *secret) {
    const uint64_t galois[] = {0, 5, 2 * ddt_ckks_n(params) - 1};
    for (size_t g = 0; g < sizeof galois / sizeof galois[0]; g++) {
        ddt_switch_key key;
        seeds_in(&key, sizeof key);
        assert_ok(ctx, ddt_switch_key_generate(ctx, secret, galois[g], literal.levels, &key));
        ddt_switch_key_destroy(&key);
    }
    ddt_encapsulation encapsulation;
    seeds_in(&encapsulation, sizeof encapsulation);
    assert_ok(ctx, ddt_encapsulation_generate(ctx, secret, &encapsulation));
    ddt_encapsulation_destroy(&encapsulation);
}

static void encryptions(ddt_context *ctx, const ddt_ckks_params *params, const ddt_secret_key *secret,
                        const ddt_public_key *public_key, const ddt_plaintext *plain) {
    for (unsigned kind = 0; kind < 2; kind++) {
        ddt_ciphertext ct;
        ddt_plaintext opened;
        seeds_in(&ct, sizeof ct);
        assert_ok(ctx, kind == 0 ? ddt_encrypt_secret(ctx, secret, plain, &ct)
                                 : ddt_encrypt_public(ctx, params, public_key, plain, &ct));
        publish_ciphertext(params, &ct);
        assert_ok(ctx, ddt_decrypt(ctx, secret, &ct, &opened));
        ddt_ciphertext_destroy(&ct);
        ddt_plaintext_destroy(&opened);
    }
}

static void no_secret_decides(void **state) {
    (void)state;
    ddt_context *ctx = NULL;
    ddt_ckks_params *params = NULL;
    ddt_secret_key *secret = NULL;
    ddt_public_key public_key;
    ddt_plaintext plain = {0};
    double complex message[512];
    randombytes_implementation tainting = {
        .implementation_name = tainting_name, .random = tainting_word, .buf = tainting_bytes};
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    ddt_context_set_threads(ctx, 1);
    assert_ok(ctx, ddt_ckks_params_create_insecure_for_testing(ctx, &literal, &params));
    test_message(0, 512, message);
    assert_ok(ctx, ddt_ckks_encode(ctx, params, message, 512, literal.levels, 0x1p45, &plain));
    /* The message is secret too, once it is encoded. */
    (void)VALGRIND_MAKE_MEM_UNDEFINED(plain.limbs, (literal.levels + 1) * ddt_ckks_n(params) * sizeof(uint64_t));
    assert_int_equal(randombytes_set_implementation(&tainting), 0);
    assert_ok(ctx, ddt_secret_key_generate(ctx, params, &secret));
    if (RUNNING_ON_VALGRIND) {
        /* The taint must have arrived: an undefined byte is what VALGRIND_GET_VBITS shows as ones. */
        uint8_t bits = 0;
        (void)VALGRIND_GET_VBITS(secret->ternary, &bits, 1);
        assert_true(bits != 0);
    }
    seeds_in(&public_key, sizeof public_key);
    assert_ok(ctx, ddt_public_key_generate(ctx, secret, &public_key));
    publish(public_key.b, (literal.levels + 2) * ddt_ckks_n(params) * sizeof(uint64_t));
    keys(ctx, params, secret);
    encryptions(ctx, params, secret, &public_key, &plain);
    assert_int_equal(randombytes_set_implementation(&randombytes_sysrandom_implementation), 0);
    ddt_plaintext_destroy(&plain);
    ddt_public_key_destroy(&public_key);
    ddt_secret_key_destroy(secret);
    ddt_ckks_params_destroy(params);
    ddt_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_secret_decides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
