/* Encoding and decoding: the definition, precision, sparse messages, exact recombination, known bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"

#include <sodium.h>

typedef struct fixture {
    ddt_context *ctx;
    ddt_ckks_params *params;
    size_t n;
    size_t slots;
    double complex *message;
    double complex *got;
} fixture;

static void fixture_create(fixture *f, const ddt_ckks_literal *literal) {
    assert_int_equal(ddt_context_create(&f->ctx), DDT_OK);
    assert_ok(f->ctx, ddt_ckks_params_create_insecure_for_testing(f->ctx, literal, &f->params));
    f->n = ddt_ckks_n(f->params);
    f->slots = f->n / 2;
    f->message = ddt_alloc(f->slots, sizeof *f->message);
    f->got = ddt_alloc(f->slots, sizeof *f->got);
    assert_true(f->message != NULL && f->got != NULL);
}

static void fixture_destroy(fixture *f) {
    ddt_free(f->message);
    ddt_free(f->got);
    ddt_ckks_params_destroy(f->params);
    ddt_context_destroy(f->ctx);
}

/* Slot j is the polynomial at exp(i pi 5^j / N), evaluated term by term in long double. */
static void definition(void **state) {
    (void)state;
    const ddt_ckks_literal literal = {10, 1, 50, 40, 1};
    const long double pi = 3.14159265358979323846264338327950288L;
    fixture f;
    fixture_create(&f, &literal);
    ddt_plaintext plain = {0};
    test_message(0, f.slots, f.message);
    assert_ok(f.ctx, ddt_ckks_encode(f.ctx, f.params, f.message, f.slots, 0, 0x1p40, &plain));
    ddt_ring_intt(ddt_ckks_params_ring(f.params), 0, plain.limbs);
    const uint64_t q = ddt_ckks_prime(f.params, 0);
    uint64_t power = 1;
    for (size_t j = 0; j < f.slots; j++) {
        long double re = 0.0L;
        long double im = 0.0L;
        for (uint64_t k = 0; k < f.n; k++) {
            const int64_t c = plain.limbs[k] > q / 2 ? (int64_t)(plain.limbs[k] - q) : (int64_t)plain.limbs[k];
            const long double angle = pi * (long double)(power * k % (2 * f.n)) / (long double)f.n;
            re += (long double)c * cosl(angle);
            im += (long double)c * sinl(angle);
        }
        assert_true(cabs(test_complex((double)(re * 0x1p-40L), (double)(im * 0x1p-40L)) - f.message[j]) < 0x1p-33);
        power = power * 5 % (2 * f.n);
    }
    ddt_plaintext_destroy(&plain);
    fixture_destroy(&f);
}

/* The worst slot within seven times the rounding's root mean square, over sizes, levels, scales and messages. (A lone
   slot at a small scale does worse: the flat tops of its cosines round alike.) */
static void round_trips(void **state) {
    (void)state;
    const ddt_ckks_literal literals[] = {{10, 4, 50, 45, 1}, {13, 3, 49, 30, 2}, {15, 2, 50, 49, 1}};
    for (size_t l = 0; l < sizeof literals / sizeof literals[0]; l++) {
        fixture f;
        fixture_create(&f, &literals[l]);
        for (unsigned round = 0; round < 2 * TEST_MESSAGES; round++) {
            const unsigned level = (unsigned)(test_random() % (literals[l].levels + 1));
            const double scale = exp2(32.0 + 13.0 * fabs(test_uniform()));
            ddt_plaintext plain = {0};
            test_message(round % TEST_MESSAGES, f.slots, f.message);
            assert_ok(f.ctx, ddt_ckks_encode(f.ctx, f.params, f.message, f.slots, level, scale, &plain));
            assert_int_equal(plain.level, level);
            assert_true(plain.scale == scale);
            assert_ok(f.ctx, ddt_ckks_decode(f.ctx, f.params, &plain, f.got));
            assert_error_below(test_max_error(f.got, f.message, f.slots), 7.0 * ddt_ckks_noise_encode(f.params, scale));
            ddt_plaintext_destroy(&plain);
        }
        fixture_destroy(&f);
    }
}

/* At a scale where rounding vanishes what is left is the transform itself: within 2^-48 of the largest slot. */
static void transform_precision(void **state) {
    (void)state;
    const ddt_ckks_literal literals[] = {{12, 3, 50, 49, 1}, {16, 3, 50, 49, 1}, {17, 3, 50, 49, 1}};
    for (size_t l = 0; l < sizeof literals / sizeof literals[0]; l++) {
        fixture f;
        fixture_create(&f, &literals[l]);
        ddt_plaintext plain = {0};
        test_message(0, f.slots, f.message);
        assert_ok(f.ctx, ddt_ckks_encode(f.ctx, f.params, f.message, f.slots, 3, 0x1p80, &plain));
        assert_ok(f.ctx, ddt_ckks_decode(f.ctx, f.params, &plain, f.got));
        assert_error_below(test_max_error(f.got, f.message, f.slots), 0x1p-48);
        ddt_plaintext_destroy(&plain);
        fixture_destroy(&f);
    }
}

/* Values too large for two limbs are recombined from all of them; at scale 2^115 only doubles limit the result. */
static void many_limbs(void **state) {
    (void)state;
    const ddt_ckks_literal literals[] = {{10, 2, 50, 45, 1}, {10, 9, 45, 30, 1}, {11, 60, 50, 49, 16}};
    for (size_t l = 0; l < sizeof literals / sizeof literals[0]; l++) {
        fixture f;
        fixture_create(&f, &literals[l]);
        const unsigned top = literals[l].levels;
        for (unsigned kind = 0; kind < TEST_MESSAGES; kind++) {
            ddt_plaintext plain = {0};
            test_message(kind, f.slots, f.message);
            assert_ok(f.ctx, ddt_ckks_encode(f.ctx, f.params, f.message, f.slots, top, 0x1p115, &plain));
            assert_ok(f.ctx, ddt_ckks_decode(f.ctx, f.params, &plain, f.got));
            assert_error_below(test_max_error(f.got, f.message, f.slots), 0x1p-47);
            ddt_plaintext_destroy(&plain);
        }
        fixture_destroy(&f);
    }
}

/* Integers whose value is known, placed near the borders of the modulus by hand. */
static void centred_borders(void **state) {
    (void)state;
    const ddt_ckks_literal literal = {10, 3, 50, 45, 1};
    fixture f;
    fixture_create(&f, &literal);
    const ddt_ring *ring = ddt_ckks_params_ring(f.params);
    for (unsigned level = 0; level <= 3; level++) {
        ddt_plaintext plain;
        assert_ok(f.ctx, ddt_plaintext_create(f.ctx, f.params, level, &plain));
        plain.scale = 1.0;
        /* The constant (Q - 1) / 2 is the largest value; one more is the smallest. In each limb Q = 0, so (Q - 1) / 2 =
         * -1/2. */
        double largest = -0.5;
        for (unsigned sign = 0; sign < 2; sign++) {
            double modulus = 1.0;
            for (unsigned i = 0; i <= level; i++) {
                const uint64_t q = ddt_ckks_prime(f.params, i);
                const uint64_t half = sign == 0 ? (q - 1) / 2 : (q - 1) / 2 + 1;
                modulus *= (double)q;
                memset(plain.limbs + i * f.n, 0, f.n * sizeof(uint64_t));
                plain.limbs[i * f.n] = half;
                ddt_ring_ntt(ring, i, plain.limbs + i * f.n);
            }
            largest = sign == 0 ? modulus / 2.0 : -modulus / 2.0;
            assert_ok(f.ctx, ddt_ckks_decode(f.ctx, f.params, &plain, f.got));
            for (size_t j = 0; j < f.slots; j++) {
                assert_true(fabs(creal(f.got[j]) - largest) < fabs(largest) * 0x1p-48);
            }
        }
        ddt_plaintext_destroy(&plain);
    }
    fixture_destroy(&f);
}

/* count values are repeated cyclically: the same polynomial as the whole message, up to rounding. */
static void sparse_messages(void **state) {
    (void)state;
    const ddt_ckks_literal literal = {11, 2, 50, 45, 1};
    fixture f;
    fixture_create(&f, &literal);
    for (size_t count = 1; count <= f.slots; count *= 2) {
        ddt_plaintext plain = {0};
        double values[1024];
        for (size_t j = 0; j < count; j++) {
            values[j] = test_uniform();
        }
        for (size_t j = 0; j < f.slots; j++) {
            f.message[j] = values[j % count];
        }
        assert_ok(f.ctx, ddt_ckks_encode_real(f.ctx, f.params, values, count, 2, 0x1p45, &plain));
        assert_ok(f.ctx, ddt_ckks_decode(f.ctx, f.params, &plain, f.got));
        assert_error_below(test_max_error(f.got, f.message, f.slots), 7.0 * ddt_ckks_noise_encode(f.params, 0x1p45));
        assert_ok(f.ctx, ddt_ckks_encode(f.ctx, f.params, f.message, f.slots, 1, 0x1p45, &plain)); /* reused */
        assert_int_equal(plain.level, 1);
        ddt_plaintext_destroy(&plain);
    }
    fixture_destroy(&f);
}

static void refused(void **state) {
    (void)state;
    const ddt_ckks_literal literal = {10, 2, 50, 45, 1};
    fixture f;
    fixture_create(&f, &literal);
    ddt_plaintext plain;
    assert_ok(f.ctx, ddt_plaintext_create(f.ctx, f.params, 1, &plain));
    test_message(0, f.slots, f.message);
    assert_fails(f.ctx, DDT_ERR_ARGUMENT, ddt_ckks_encode(f.ctx, f.params, f.message, 3, 1, 0x1p40, &plain));
    assert_fails(f.ctx, DDT_ERR_ARGUMENT, ddt_ckks_encode(f.ctx, f.params, f.message, 0, 1, 0x1p40, &plain));
    assert_fails(f.ctx, DDT_ERR_ARGUMENT, ddt_ckks_encode(f.ctx, f.params, f.message, 2 * f.slots, 1, 0x1p40, &plain));
    assert_fails(f.ctx, DDT_ERR_ARGUMENT, ddt_ckks_encode(f.ctx, f.params, f.message, f.slots, 2, 0x1p40, &plain));
    assert_fails(f.ctx, DDT_ERR_ARGUMENT, ddt_ckks_encode(f.ctx, f.params, f.message, f.slots, 3, 0x1p40, &plain));
    assert_fails(f.ctx, DDT_ERR_ARGUMENT, ddt_ckks_encode(f.ctx, f.params, f.message, f.slots, 1, -1.0, &plain));
    assert_fails(f.ctx, DDT_ERR_RANGE, ddt_ckks_encode(f.ctx, f.params, f.message, f.slots, 1, 0x1p130, &plain));
    const double bad[] = {NAN, INFINITY, -INFINITY, 1e300};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        f.message[17] = bad[i];
        assert_fails(f.ctx, DDT_ERR_RANGE, ddt_ckks_encode(f.ctx, f.params, f.message, f.slots, 1, 0x1p40, &plain));
    }
    ddt_plaintext_destroy(&plain);
    fixture_destroy(&f);
}

static void digest_hex(const void *data, size_t length, char out[2 * DDT_WIRE_DIGEST_BYTES + 1]) {
    ddt_digest digest;
    ddt_digest_of(data, length, &digest);
    (void)sodium_bin2hex(out, 2 * DDT_WIRE_DIGEST_BYTES + 1, digest.bytes, sizeof digest.bytes);
}

/* Encoded bytes are the same on every machine, compiler and kernel set. */
static void known_bytes(void **state) {
    (void)state;
    const struct {
        ddt_ckks_literal literal;
        const char *digest;
    } known[] = {
        {{10, 3, 50, 45, 1}, "d3587ece78f11a430270f32eef1f4d316759c03f8419294cd0680766f6822d13"},
        {{14, 5, 50, 40, 2}, "5e45b29b49f75029a26b2427c418f204d988eefba189c7d40742cda5725d03bd"},
    };
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
        fixture f;
        fixture_create(&f, &known[k].literal);
        ddt_plaintext plain = {0};
        char hex[2 * DDT_WIRE_DIGEST_BYTES + 1];
        test_state = 2024;
        test_message(0, f.slots, f.message);
        assert_ok(f.ctx, ddt_ckks_encode(f.ctx, f.params, f.message, f.slots, known[k].literal.levels, 0x1p45, &plain));
        digest_hex(plain.limbs, ((size_t)plain.level + 1) * f.n * sizeof(uint64_t), hex);
        assert_string_equal(hex, known[k].digest);
        ddt_plaintext_destroy(&plain);
        fixture_destroy(&f);
    }
}

/* The expansion, written a second way: one word at a time by long division. */
static void seeds(void **state) {
    (void)state;
    const ddt_ckks_literal literal = {10, 3, 50, 20, 2};
    fixture f;
    fixture_create(&f, &literal);
    uint8_t seed[DDT_CKKS_SEED_BYTES];
    uint64_t *limb = ddt_alloc(f.n, sizeof *limb);
    uint64_t *words = ddt_alloc(2 * f.n, sizeof *words);
    assert_true(limb != NULL && words != NULL);
    for (unsigned round = 0; round < 24; round++) {
        const uint32_t stream = (uint32_t)test_random();
        const size_t m = round % ddt_ring_count(ddt_ckks_params_ring(f.params));
        const uint64_t q = ddt_ring_modulus(ddt_ckks_params_ring(f.params), m);
        for (size_t i = 0; i < sizeof seed; i++) {
            seed[i] = (uint8_t)test_random();
        }
        const uint8_t nonce[12] = {(uint8_t)stream, (uint8_t)(stream >> 8), (uint8_t)(stream >> 16),
                                   (uint8_t)(stream >> 24), (uint8_t)m};
        assert_int_equal(crypto_stream_chacha20_ietf((unsigned char *)words, 2 * f.n * 8, nonce, seed), 0);
        ddt_ckks_expand_seed(f.params, seed, stream, m, limb);
        double mean = 0.0;
        size_t at = 0;
        for (size_t j = 0; j < f.n; j++) {
            while (words[at] >= UINT64_MAX / q * q) {
                at++;
            }
            assert_true(limb[j] == words[at] % q);
            at++;
            mean += (double)limb[j] / (double)q / (double)f.n;
        }
        assert_true(fabs(mean - 0.5) < 0.06); /* 6.6 sigma of 1024 uniform numbers */
    }
    ddt_free(limb);
    ddt_free(words);
    fixture_destroy(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definition), cmocka_unit_test(round_trips),     cmocka_unit_test(transform_precision),
        cmocka_unit_test(many_limbs), cmocka_unit_test(centred_borders), cmocka_unit_test(sparse_messages),
        cmocka_unit_test(refused),    cmocka_unit_test(known_bytes),     cmocka_unit_test(seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
