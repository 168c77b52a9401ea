/* What the tests of ckks and custody share. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_TEST_CKKS_SUPPORT_H
#define DDT_TEST_CKKS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ddt/custody.h"

#include <complex.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fails with the sentence of the context. */
#define assert_ok(ctx, call)                                                                                           \
    do {                                                                                                               \
        const ddt_status assert_ok_status = (call);                                                                    \
        if (assert_ok_status != DDT_OK) {                                                                              \
            fail_msg("%s: %s", ddt_status_name(assert_ok_status), ddt_error_detail(ctx));                              \
        }                                                                                                              \
    } while (0)

/* The call must fail with this code; the recorded error is cleared. */
#define assert_fails(ctx, code, call)                                                                                  \
    do {                                                                                                               \
        const ddt_status assert_fails_status = (call);                                                                 \
        assert_string_equal(ddt_status_name(assert_fails_status), ddt_status_name(code));                              \
        ddt_context_clear(ctx);                                                                                        \
    } while (0)

/* ------------------------------------------------------------------ reproducible numbers (SplitMix64) */

static uint64_t test_state = 1;

static inline uint64_t test_random(void) {
    uint64_t z = (test_state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* Uniform in [-1, 1). */
static inline double test_uniform(void) { return (double)(int64_t)test_random() * 0x1p-63; }

static inline double complex test_complex(double re, double im) {
    double complex value = 0.0;
    ((double *)&value)[0] = re;
    ((double *)&value)[1] = im;
    return value;
}

/* Kinds of messages: random, zero, ones, alternating signs, a single slot, purely imaginary. */
enum { TEST_MESSAGES = 6 };

static inline void test_message(unsigned kind, size_t count, double complex *out) {
    for (size_t j = 0; j < count; j++) {
        /* In this order: compilers may evaluate arguments in any. */
        const double first = test_uniform();
        const double second = test_uniform();
        switch (kind) {
        case 0:
            out[j] = test_complex(first, second);
            break;
        case 1:
            out[j] = 0.0;
            break;
        case 2:
            out[j] = 1.0;
            break;
        case 3:
            out[j] = j % 2 == 0 ? 1.0 : -1.0;
            break;
        case 4:
            out[j] = j == count / 3 ? 1.0 : 0.0;
            break;
        default:
            out[j] = test_complex(0.0, first);
            break;
        }
    }
}

static inline double test_max_error(const double complex *a, const double complex *b, size_t count) {
    double largest = 0.0;
    for (size_t j = 0; j < count; j++) {
        const double error = cabs(a[j] - b[j]);
        if (!(error <= largest)) {
            largest = error; /* NaN too */
        }
    }
    return largest;
}

/* ------------------------------------------------------------------ a whole scheme */

typedef struct test_scheme {
    ddt_context *ctx;
    ddt_ckks_params *params;
    ddt_secret_key *secret;
    ddt_public_key public_key;
    ddt_eval_keys *keys;
    ddt_evaluator *ev;
    size_t slots;
} test_scheme;

static inline void test_add_key(test_scheme *t, uint64_t galois, unsigned top_level) {
    ddt_switch_key key;
    assert_ok(t->ctx, ddt_switch_key_generate(t->ctx, t->secret, galois, top_level, &key));
    assert_ok(t->ctx, ddt_eval_keys_add(t->ctx, t->keys, &key));
}

static inline void test_scheme_create(test_scheme *t, const ddt_ckks_literal *literal, const int64_t *rotations,
                                      size_t rotation_count, int threads) {
    memset(t, 0, sizeof *t);
    assert_int_equal(ddt_context_create(&t->ctx), DDT_OK);
    ddt_context_set_threads(t->ctx, threads);
    assert_ok(t->ctx, ddt_ckks_params_create_insecure_for_testing(t->ctx, literal, &t->params));
    assert_ok(t->ctx, ddt_secret_key_generate(t->ctx, t->params, &t->secret));
    assert_ok(t->ctx, ddt_public_key_generate(t->ctx, t->secret, &t->public_key));
    assert_ok(t->ctx, ddt_eval_keys_create(t->ctx, t->params, &t->keys));
    const ddt_ring *ring = ddt_ckks_params_ring(t->params);
    test_add_key(t, 0, literal->levels);
    test_add_key(t, ddt_ring_galois_conjugation(ring), literal->levels);
    for (size_t i = 0; i < rotation_count; i++) {
        test_add_key(t, ddt_ring_galois_rotation(ring, rotations[i]), literal->levels);
    }
    assert_ok(t->ctx, ddt_evaluator_create(t->ctx, t->params, t->keys, threads, &t->ev));
    t->slots = ddt_ckks_slots(t->params);
}

static inline void test_scheme_destroy(test_scheme *t) {
    ddt_evaluator_destroy(t->ev);
    ddt_eval_keys_destroy(t->keys);
    ddt_public_key_destroy(&t->public_key);
    ddt_secret_key_destroy(t->secret);
    ddt_ckks_params_destroy(t->params);
    ddt_context_destroy(t->ctx);
}

static inline double complex *test_slots(const test_scheme *t) {
    double complex *slots = ddt_calloc(t->slots, sizeof *slots);
    assert_non_null(slots);
    return slots;
}

static inline void test_encrypt_at(test_scheme *t, const double complex *message, unsigned level, double scale,
                                   ddt_ciphertext *out) {
    ddt_plaintext plain = {0};
    assert_ok(t->ctx, ddt_ckks_encode(t->ctx, t->params, message, t->slots, level, scale, &plain));
    assert_ok(t->ctx, ddt_encrypt_secret(t->ctx, t->secret, &plain, out));
    ddt_plaintext_destroy(&plain);
}

static inline void test_encrypt(test_scheme *t, const double complex *message, unsigned level, ddt_ciphertext *out) {
    test_encrypt_at(t, message, level, ddt_ckks_canonical_scale(t->params, level), out);
}

static inline void test_decrypt(test_scheme *t, const ddt_ciphertext *ct, double complex *out) {
    ddt_plaintext plain;
    assert_ok(t->ctx, ddt_decrypt(t->ctx, t->secret, ct, &plain));
    assert_ok(t->ctx, ddt_ckks_decode(t->ctx, t->params, &plain, out));
    ddt_plaintext_destroy(&plain);
}

/* The worst slot's error of a ciphertext against the expected message. */
static inline double test_error(test_scheme *t, const ddt_ciphertext *ct, const double complex *expected) {
    double complex *got = test_slots(t);
    test_decrypt(t, ct, got);
    const double error = test_max_error(got, expected, t->slots);
    ddt_free(got);
    return error;
}

#define assert_error_below(error, bound)                                                                               \
    do {                                                                                                               \
        const double assert_error_value = (error);                                                                     \
        if (!(assert_error_value <= (bound))) {                                                                        \
            fail_msg("error 2^%.2f is above the bound 2^%.2f", log2(assert_error_value), log2(bound));                 \
        }                                                                                                              \
    } while (0)

#endif
