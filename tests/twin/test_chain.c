/* The custodian's steps with an engine in the same process. SPDX-License-Identifier: Apache-2.0 */
#include "chain.h"

#include <sys/stat.h>

static ddt_status keygen(chain *c, const char *passphrase) {
    return ddt_twin_keygen(c->ctx, c->plan, c->keys, passphrase, NULL);
}

static ddt_status encrypt(chain *c, const char *passphrase) {
    return ddt_twin_encrypt(c->ctx, c->plan, c->keys, passphrase, c->model, c->table, c->twin, NULL);
}

static void check_profile(const ddt_profile *profile) {
    assert_int_equal(profile->subject_count, 2);
    assert_string_equal(profile->subject_ids[0], "a");
    assert_int_equal(profile->output_count, 1);
    assert_string_equal(profile->output_names[0], "cp");
    assert_int_equal(ddt_profile_requested_count(profile), 3);
    for (size_t s = 0; s < profile->subject_count; s++) {
        assert_true(profile->observation_counts[s] >= 9);
        for (size_t k = 0; k < profile->observation_counts[s]; k++) {
            const double expected = chain_expected(s, profile->times_h[s][k]);
            assert_true(fabs(profile->values[s][k] - expected) <= 1e-3 * 100 / exp(2));
        }
    }
}

static void test_chain(void **state) {
    chain *c = *state;
    ddt_profile profile;
    assert_int_equal(keygen(c, NULL), DDT_OK);
    assert_int_equal(encrypt(c, NULL), DDT_OK);
    chain_engine(c);
    assert_int_equal(ddt_twin_decrypt(c->ctx, c->keys, NULL, c->result, &profile), DDT_OK);
    check_profile(&profile);
    ddt_profile_destroy(&profile);
    assert_null(profile.values);
}

static void test_passphrase(void **state) {
    chain *c = *state;
    ddt_profile profile;
    assert_int_equal(keygen(c, "a long passphrase"), DDT_OK);
    assert_int_equal(encrypt(c, NULL), DDT_ERR_PASSPHRASE);
    ddt_context_clear(c->ctx);
    assert_int_equal(encrypt(c, "another one"), DDT_ERR_PASSPHRASE);
    assert_false(twin_path_exists(c->twin));
    ddt_context_clear(c->ctx);
    assert_int_equal(encrypt(c, "a long passphrase"), DDT_OK);
    chain_engine(c);
    assert_int_equal(ddt_twin_decrypt(c->ctx, c->keys, "another one", c->result, &profile), DDT_ERR_PASSPHRASE);
    assert_null(profile.values);
    ddt_context_clear(c->ctx);
    assert_int_equal(ddt_twin_decrypt(c->ctx, c->keys, "a long passphrase", c->result, &profile), DDT_OK);
    check_profile(&profile);
    ddt_profile_destroy(&profile);
}

/* Keys are never overwritten, and what stood in the folder stays. */
static void test_existing_keys(void **state) {
    chain *c = *state;
    assert_int_equal(keygen(c, NULL), DDT_OK);
    ddt_digest before;
    ddt_digest after;
    assert_int_equal(ddt_wire_file_digest(c->ctx, c->eval, DDT_WIRE_EVAL_KEYS, &before), DDT_OK);
    assert_int_equal(keygen(c, NULL), DDT_ERR_IO);
    assert_int_equal(chain_entries(c->keys), 5);
    assert_int_equal(ddt_wire_file_digest(c->ctx, c->eval, DDT_WIRE_EVAL_KEYS, &after), DDT_OK);
    assert_true(ddt_digest_equal(&before, &after));
}

static void test_no_entropy(void **state) {
    chain *c = *state;
    ddt_entropy_fail(true);
    assert_int_equal(keygen(c, NULL), DDT_ERR_ENTROPY);
    ddt_entropy_fail(false);
    assert_false(twin_path_exists(c->keys));
    ddt_context_clear(c->ctx);
    assert_int_equal(keygen(c, NULL), DDT_OK);
    ddt_entropy_fail(true);
    assert_int_equal(encrypt(c, NULL), DDT_ERR_ENTROPY);
    ddt_entropy_fail(false);
    assert_false(twin_path_exists(c->twin));
}

/* The user interrupts: the step ends with that status and nothing is left. */
static bool stop_at_half(void *user, const char *stage, uint64_t done, uint64_t total) {
    (void)user;
    (void)stage;
    return 2 * done < total;
}

static void test_cancelled(void **state) {
    chain *c = *state;
    ddt_context_set_progress(c->ctx, stop_at_half, NULL);
    assert_int_equal(keygen(c, NULL), DDT_ERR_CANCELLED);
    assert_false(twin_path_exists(c->keys));
    ddt_context_set_progress(c->ctx, NULL, NULL);
    ddt_context_clear(c->ctx);
    assert_int_equal(keygen(c, NULL), DDT_OK);
    ddt_context_set_progress(c->ctx, stop_at_half, NULL);
    assert_int_equal(encrypt(c, NULL), DDT_ERR_CANCELLED);
    ddt_context_set_progress(c->ctx, NULL, NULL);
    assert_false(twin_path_exists(c->twin));
}

/* A folder that the user made himself is not removed when key generation fails in it. */
static void test_own_folder(void **state) {
    chain *c = *state;
    assert_int_equal(mkdir(c->keys, S_IRWXU), 0);
    ddt_entropy_fail(true);
    assert_int_equal(keygen(c, NULL), DDT_ERR_ENTROPY);
    ddt_entropy_fail(false);
    assert_int_equal(chain_entries(c->keys), 0);
    assert_true(twin_path_exists(c->keys));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_chain, chain_setup, chain_teardown),
        cmocka_unit_test_setup_teardown(test_passphrase, chain_setup, chain_teardown),
        cmocka_unit_test_setup_teardown(test_existing_keys, chain_setup, chain_teardown),
        cmocka_unit_test_setup_teardown(test_no_entropy, chain_setup, chain_teardown),
        cmocka_unit_test_setup_teardown(test_cancelled, chain_setup, chain_teardown),
        cmocka_unit_test_setup_teardown(test_own_folder, chain_setup, chain_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
