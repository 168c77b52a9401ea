/* The custodian's steps when memory runs short, at every stage. SPDX-License-Identifier: Apache-2.0 */
/* label: long */
#include "chain.h"

typedef ddt_status (*step)(chain *c);

static ddt_status keygen(chain *c) { return ddt_twin_keygen(c->ctx, c->plan, c->keys, NULL, NULL); }

static ddt_status encrypt(chain *c) {
    return ddt_twin_encrypt(c->ctx, c->plan, c->keys, NULL, NULL, c->table, c->twin, NULL);
}

static ddt_status decrypt(chain *c) {
    ddt_profile profile;
    ddt_status status = ddt_twin_decrypt(c->ctx, c->keys, NULL, c->result, &profile);
    assert_int_equal(profile.values != NULL, status == DDT_OK);
    ddt_profile_destroy(&profile);
    return status;
}

/* Runs a step with ever later failures of allocation until it succeeds; each failure leaves the folder as it was. */
static void exhaust(chain *c, step run) {
    const size_t before = chain_entries(c->folder);
    ddt_status status = DDT_ERR_MEMORY;
    for (uint64_t n = 0; status != DDT_OK; n += 1 + n / 16) {
        ddt_context_clear(c->ctx);
        (void)ddt_alloc_fail_after(n);
        status = run(c);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_true(status == DDT_OK || status == DDT_ERR_MEMORY);
        if (status != DDT_OK) {
            assert_int_equal(chain_entries(c->folder), before);
        }
    }
}

static void test_memory(void **state) {
    chain *c = *state;
    exhaust(c, keygen);
    exhaust(c, encrypt);
    chain_engine(c);
    exhaust(c, decrypt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_memory, chain_setup, chain_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
