/* label: long */
/* Bootstrapping with secure parameters at 2^16. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/bootstrap_support.h"

#include <sys/resource.h>

/* 12 levels, three of them for slots-to-coefficients: nine are left. */
static const ddt_ckks_literal secure = {16, 12, 50, 41, 9, 15};

static void full_slots(void **state) {
    (void)state;
    boot_fixture f = {0};
    test_scheme *t = &f.t;
    assert_int_equal(ddt_context_create(&t->ctx), DDT_OK);
    assert_ok(t->ctx, ddt_ckks_params_create(t->ctx, &secure, &t->params)); /* refused if it were not secure */
    assert_ok(t->ctx, ddt_secret_key_generate(t->ctx, t->params, &t->secret));
    assert_ok(t->ctx, ddt_eval_keys_create(t->ctx, t->params, &t->keys));
    t->slots = ddt_ckks_slots(t->params);
    f.count = t->slots;
    f.message = test_slots(t);
    f.got = test_slots(t);
    const double start = ddt_clock_s();
    assert_ok(t->ctx, ddt_bootstrapper_create(t->ctx, t->params, &(ddt_bootstrap_literal){0}, &f.b));
    assert_ok(t->ctx, ddt_bootstrap_keys_generate(t->ctx, t->secret, f.b, t->keys));
    print_message("set-up and keys: %.1f s, %.0f MiB of keys, %.0f MiB of matrices\n", ddt_clock_s() - start,
                  (double)ddt_eval_keys_bytes(t->keys) / 0x1p20, (double)ddt_bootstrapper_bytes(f.b) / 0x1p20);
    assert_ok(t->ctx, ddt_evaluator_create(t->ctx, t->params, t->keys, ddt_context_threads(t->ctx), &t->ev));
    assert_int_equal(ddt_bootstrap_output_level(f.b) - ddt_bootstrap_input_level(f.b), 9);
    const double expected = -log2(ddt_ckks_noise_bootstrap(t->params));
    for (unsigned round = 0; round < 2; round++) {
        const boot_errors e = boot_check(&f, 0, 3 + 2 * round, round == 1);
        print_message("%s: mean %.2f bits, root mean square %.2f (predicted %.2f), worst %.2f\n",
                      round == 0 ? "complex" : "real", e.mean_bits, e.rms_bits, expected, e.worst_bits);
        assert_true(e.mean_bits >= 24.0 && e.worst_bits >= 21.0 && fabs(e.rms_bits - expected) < 1.2);
    }
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    print_message("peak memory: %.2f GiB\n", (double)usage.ru_maxrss / 0x1p20);
    boot_fixture_destroy(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(full_slots)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
