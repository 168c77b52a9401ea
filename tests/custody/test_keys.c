/* Secret randomness, keys and encryption: distributions, known answers, entropy failure, misuse.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"

#include "custody_internal.h"

#include <sodium.h>

static const ddt_ckks_literal literal = {10, 3, 50, 45, 2};

/* ------------------------------------------------------------------ deterministic entropy, for known answers */

static uint64_t entropy_counter;

static const char *entropy_name(void) { return "test"; }

static uint32_t entropy_word(void) {
    uint32_t word = 0;
    randombytes_buf(&word, sizeof word);
    return word;
}

static void entropy_bytes(void *const buffer, const size_t size) {
    uint8_t seed[randombytes_SEEDBYTES] = "known answers";
    entropy_counter++;
    for (size_t i = 0; i < 8; i++) {
        seed[24 + i] = (uint8_t)(entropy_counter >> (8 * i));
    }
    randombytes_buf_deterministic(buffer, size, seed);
}

static void use_known_entropy(void) {
    static randombytes_implementation known = {
        .implementation_name = entropy_name, .random = entropy_word, .buf = entropy_bytes};
    entropy_counter = 0;
    assert_int_equal(randombytes_set_implementation(&known), 0);
}

static void use_system_entropy(void) {
    assert_int_equal(randombytes_set_implementation(&randombytes_sysrandom_implementation), 0);
}

static void digest_update(crypto_generichash_state *hash, const void *data, size_t length) {
    assert_int_equal(crypto_generichash_update(hash, data, length), 0);
}

/* Every byte custody produces from known entropy: they change only with the format of keys and ciphertexts. */
static void known_answers(void **state) {
    (void)state;
    use_known_entropy();
    const int64_t rotation = 3;
    test_scheme t;
    test_scheme_create(&t, &literal, &rotation, 1, 2);
    const size_t limb = ddt_ckks_n(t.params) * sizeof(uint64_t);
    double complex *message = test_slots(&t);
    ddt_plaintext plain = {0};
    ddt_ciphertext secret;
    ddt_ciphertext public;
    crypto_generichash_state hash;
    uint8_t digest[32];
    char hex[65];
    test_state = 7;
    test_message(0, t.slots, message);
    assert_ok(t.ctx, ddt_ckks_encode(t.ctx, t.params, message, t.slots, 3, 0x1p45, &plain));
    assert_ok(t.ctx, ddt_encrypt_secret(t.ctx, t.secret, &plain, &secret));
    assert_ok(t.ctx, ddt_encrypt_public(t.ctx, t.params, &t.public_key, &plain, &public));
    use_system_entropy();
    assert_int_equal(crypto_generichash_init(&hash, NULL, 0, sizeof digest), 0);
    digest_update(&hash, t.secret->ternary, ddt_ckks_n(t.params));
    digest_update(&hash, t.public_key.b, 5 * limb);
    const uint64_t galois[] = {0, ddt_ring_galois_rotation(ddt_ckks_params_ring(t.params), rotation)};
    for (size_t g = 0; g < 2; g++) {
        const ddt_switch_key *key = ddt_eval_keys_find(t.keys, galois[g]);
        digest_update(&hash, key->b, 2 * 6 * limb);
        digest_update(&hash, key->a, 2 * 6 * limb);
    }
    digest_update(&hash, secret.limbs, 8 * limb);
    digest_update(&hash, public.limbs, 8 * limb);
    assert_int_equal(crypto_generichash_final(&hash, digest, sizeof digest), 0);
    (void)sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
    assert_string_equal(hex, "654eaa7c1e01a2a5385eab57ba7195473df847d3c849b00484a60452622b3412");
    ddt_plaintext_destroy(&plain);
    ddt_ciphertext_destroy(&secret);
    ddt_ciphertext_destroy(&public);
    ddt_free(message);
    test_scheme_destroy(&t);
}

/* ------------------------------------------------------------------ distributions */

enum { SAMPLES = 1 << 20 };

/* Exact probability of the value v: binomial(42, 21 + v) / 2^42. */
static double error_probability(int v) {
    double p = 1.0;
    for (int k = 1; k <= 21 + v; k++) {
        p *= (double)(42 - k + 1) / (double)k;
    }
    return ldexp(p, -42);
}

static double chi_square(const size_t *counts, int from, int to, double (*probability)(int value)) {
    double sum = 0.0;
    for (int v = from; v <= to; v++) {
        const double expected = SAMPLES * probability(v);
        const double difference = (double)counts[v - from] - expected;
        sum += difference * difference / expected;
    }
    return sum;
}

static double ternary_probability(int v) {
    (void)v;
    return 1.0 / 3.0;
}

static void distributions(void **state) {
    (void)state;
    ddt_context *ctx = NULL;
    custody_scratch *scratch = NULL;
    custody_random *random = NULL;
    size_t errors[43] = {0};
    size_t ternary[3] = {0};
    double square = 0.0;
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    assert_ok(ctx, custody_scratch_create(ctx, CUSTODY_RANDOM_WORDS + SAMPLES, &scratch));
    assert_ok(ctx, custody_random_create(ctx, scratch, &random));
    int64_t *values = (int64_t *)custody_scratch_take(scratch, SAMPLES);
    custody_sample_error(random, SAMPLES, values);
    for (size_t j = 0; j < SAMPLES; j++) {
        assert_true(values[j] >= -21 && values[j] <= 21);
        errors[values[j] + 21]++;
        square += (double)(values[j] * values[j]) / SAMPLES;
    }
    /* Variance 21/2, so sigma is 3.24: at least the 3.2 of the security table. */
    assert_true(fabs(square - 10.5) < 0.1);
    /* 23 cells of at least 80 expected: chi-square with 22 degrees of freedom exceeds 70 with probability 1e-6. */
    assert_true(chi_square(errors + 21 - 11, -11, 11, error_probability) < 75.0);
    custody_sample_ternary(random, SAMPLES, values);
    for (size_t j = 0; j < SAMPLES; j++) {
        assert_true(values[j] >= -1 && values[j] <= 1);
        ternary[values[j] + 1]++;
    }
    assert_true(chi_square(ternary, -1, 1, ternary_probability) < 30.0);
    /* Streams do not repeat. */
    const int64_t first = values[0] + 3 * values[1] + 9 * values[2] + 27 * values[3];
    unsigned repeats = 0;
    for (unsigned i = 0; i < 40; i++) {
        custody_sample_ternary(random, 4, values);
        repeats += values[0] + 3 * values[1] + 9 * values[2] + 27 * values[3] == first;
    }
    assert_true(repeats < 10);
    custody_scratch_destroy(scratch);
    ddt_context_destroy(ctx);
}

static void secret_keys(void **state) {
    (void)state;
    ddt_context *ctx = NULL;
    ddt_ckks_params *params = NULL;
    ddt_secret_key *a = NULL;
    ddt_secret_key *b = NULL;
    const ddt_ckks_literal large = {14, 3, 50, 45, 1};
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    assert_ok(ctx, ddt_ckks_params_create(ctx, &large, &params));
    assert_ok(ctx, ddt_secret_key_generate(ctx, params, &a));
    assert_ok(ctx, ddt_secret_key_generate(ctx, params, &b));
    size_t counts[3] = {0};
    size_t equal = 0;
    for (size_t j = 0; j < 1 << 14; j++) {
        assert_true(a->ternary[j] >= -1 && a->ternary[j] <= 1);
        counts[a->ternary[j] + 1]++;
        equal += a->ternary[j] == b->ternary[j];
    }
    for (size_t v = 0; v < 3; v++) {
        assert_true(fabs((double)counts[v] - 16384.0 / 3.0) < 400.0); /* 6.6 sigma */
    }
    assert_true(fabs((double)equal - 16384.0 / 3.0) < 400.0);
    ddt_secret_key_destroy(a);
    ddt_secret_key_destroy(b);
    ddt_ckks_params_destroy(params);
    ddt_context_destroy(ctx);
}

/* ------------------------------------------------------------------ failures */

/* Without entropy nothing is made, and what was made of it is gone. */
static void entropy_failure(void **state) {
    (void)state;
    test_scheme t;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    double complex *message = test_slots(&t);
    ddt_plaintext plain = {0};
    ddt_secret_key *secret = NULL;
    ddt_public_key public_key;
    ddt_switch_key switch_key;
    ddt_ciphertext ct;
    assert_ok(t.ctx, ddt_ckks_encode(t.ctx, t.params, message, t.slots, 3, 0x1p45, &plain));
    ddt_entropy_fail(true);
    assert_fails(t.ctx, DDT_ERR_ENTROPY, ddt_secret_key_generate(t.ctx, t.params, &secret));
    assert_null(secret);
    assert_fails(t.ctx, DDT_ERR_ENTROPY, ddt_public_key_generate(t.ctx, t.secret, &public_key));
    assert_true(public_key.a == NULL && public_key.b == NULL);
    assert_fails(t.ctx, DDT_ERR_ENTROPY, ddt_switch_key_generate(t.ctx, t.secret, 0, 3, &switch_key));
    assert_true(switch_key.a == NULL && switch_key.b == NULL);
    assert_fails(t.ctx, DDT_ERR_ENTROPY, ddt_encrypt_secret(t.ctx, t.secret, &plain, &ct));
    assert_null(ct.limbs);
    assert_fails(t.ctx, DDT_ERR_ENTROPY, ddt_encrypt_public(t.ctx, t.params, &t.public_key, &plain, &ct));
    assert_null(ct.limbs);
    ddt_entropy_fail(false);
    ddt_plaintext_destroy(&plain);
    ddt_free(message);
    test_scheme_destroy(&t);
}

static void wrong_arguments(void **state) {
    (void)state;
    test_scheme t;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    ddt_switch_key key;
    ddt_ciphertext ct = {0};
    ddt_plaintext plain = {0};
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_switch_key_generate(t.ctx, t.secret, 0, 4, &key));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_switch_key_generate(t.ctx, t.secret, 2, 3, &key));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_switch_key_generate(t.ctx, t.secret, 2049, 3, &key));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_encrypt_secret(t.ctx, t.secret, &plain, &ct));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_encrypt_public(t.ctx, t.params, &t.public_key, &plain, &ct));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_decrypt(t.ctx, t.secret, &ct, &plain));
    test_scheme_destroy(&t);
}

/* Another key decrypts to noise: |error| is of the modulus' order, not the scale's. */
static void wrong_key(void **state) {
    (void)state;
    test_scheme t;
    ddt_secret_key *other = NULL;
    ddt_ciphertext ct;
    ddt_plaintext plain;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    double complex *message = test_slots(&t);
    double complex *got = test_slots(&t);
    test_encrypt(&t, message, 1, &ct);
    assert_ok(t.ctx, ddt_secret_key_generate(t.ctx, t.params, &other));
    assert_ok(t.ctx, ddt_decrypt(t.ctx, other, &ct, &plain));
    assert_ok(t.ctx, ddt_ckks_decode(t.ctx, t.params, &plain, got));
    double mean = 0.0;
    for (size_t j = 0; j < t.slots; j++) {
        mean += cabs(got[j]) / (double)t.slots;
    }
    assert_true(mean > 0x1p45);
    ddt_plaintext_destroy(&plain);
    ddt_ciphertext_destroy(&ct);
    ddt_secret_key_destroy(other);
    ddt_free(message);
    ddt_free(got);
    test_scheme_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),   cmocka_unit_test(distributions),   cmocka_unit_test(secret_keys),
        cmocka_unit_test(entropy_failure), cmocka_unit_test(wrong_arguments), cmocka_unit_test(wrong_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
