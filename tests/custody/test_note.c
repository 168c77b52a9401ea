/* Notes of the key's owner to himself. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/custody.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { LENGTH = 300, SEALED = LENGTH + DDT_NOTE_EXTRA_BYTES };

typedef struct fixture {
    ddt_context *ctx;
    ddt_ckks_params *params;
    ddt_secret_key *mine, *other;
    ddt_digest plan, other_plan;
    uint8_t text[LENGTH];
} fixture;

static fixture f;

static int setup(void **state) {
    (void)state;
    const ddt_ckks_literal literal = {.log_n = 10, .levels = 1, .first_bits = 40, .scale_bits = 30, .p_count = 1};
    assert_int_equal(ddt_context_create(&f.ctx), DDT_OK);
    assert_int_equal(ddt_ckks_params_create_insecure_for_testing(f.ctx, &literal, &f.params), DDT_OK);
    assert_int_equal(ddt_secret_key_generate(f.ctx, f.params, &f.mine), DDT_OK);
    assert_int_equal(ddt_secret_key_generate(f.ctx, f.params, &f.other), DDT_OK);
    f.other_plan.bytes[7] = 1;
    for (size_t i = 0; i < LENGTH; i++) {
        f.text[i] = (uint8_t)(i * 7);
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    ddt_secret_key_destroy(f.mine);
    ddt_secret_key_destroy(f.other);
    ddt_ckks_params_destroy(f.params);
    ddt_context_destroy(f.ctx);
    return 0;
}

static bool is_zero(const uint8_t *data, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (data[i] != 0) {
            return false;
        }
    }
    return true;
}

static void refused(const ddt_secret_key *key, const ddt_digest *plan, const uint8_t *sealed, size_t length) {
    uint8_t back[LENGTH];
    memset(back, 1, sizeof back);
    ddt_context_clear(f.ctx);
    assert_int_equal(ddt_note_open(f.ctx, key, plan, sealed, length, back), DDT_ERR_CORRUPT);
    if (length >= DDT_NOTE_EXTRA_BYTES) {
        assert_true(is_zero(back, length - DDT_NOTE_EXTRA_BYTES));
    }
}

static void test_round_trip(void **state) {
    (void)state;
    for (size_t length = 0; length <= LENGTH; length += 75) {
        uint8_t sealed[SEALED];
        uint8_t again[SEALED];
        uint8_t back[LENGTH];
        assert_int_equal(ddt_note_seal(f.ctx, f.mine, &f.plan, f.text, length, sealed), DDT_OK);
        assert_int_equal(ddt_note_seal(f.ctx, f.mine, &f.plan, f.text, length, again), DDT_OK);
        assert_memory_not_equal(sealed, again, length + DDT_NOTE_EXTRA_BYTES);
        assert_int_equal(ddt_note_open(f.ctx, f.mine, &f.plan, sealed, length + DDT_NOTE_EXTRA_BYTES, back), DDT_OK);
        assert_memory_equal(back, f.text, length);
    }
}

static void test_refused(void **state) {
    (void)state;
    uint8_t sealed[SEALED];
    assert_int_equal(ddt_note_seal(f.ctx, f.mine, &f.plan, f.text, LENGTH, sealed), DDT_OK);
    refused(f.other, &f.plan, sealed, SEALED);
    refused(f.mine, &f.other_plan, sealed, SEALED);
    refused(f.mine, &f.plan, sealed, SEALED - 1);
    refused(f.mine, &f.plan, sealed, DDT_NOTE_EXTRA_BYTES);
    refused(f.mine, &f.plan, sealed, DDT_NOTE_EXTRA_BYTES - 1);
    refused(f.mine, &f.plan, sealed, 0);
    for (size_t i = 0; i < SEALED; i += 13) {
        sealed[i] ^= 0x40;
        refused(f.mine, &f.plan, sealed, SEALED);
        sealed[i] ^= 0x40;
    }
}

static void test_no_entropy(void **state) {
    (void)state;
    uint8_t sealed[SEALED];
    memset(sealed, 1, sizeof sealed);
    ddt_context_clear(f.ctx);
    ddt_entropy_fail(true);
    assert_int_equal(ddt_note_seal(f.ctx, f.mine, &f.plan, f.text, LENGTH, sealed), DDT_ERR_ENTROPY);
    ddt_entropy_fail(false);
    assert_true(is_zero(sealed, sizeof sealed));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_entropy),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
