/* Bootstrapping at small, insecure rings. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/bootstrap_support.h"

static void full_slots(void **state) {
    (void)state;
    static const ddt_ckks_literal literal = {11, 5, 50, 45, 4, 14};
    boot_fixture f;
    boot_fixture_create(&f, &literal, &(ddt_bootstrap_literal){0}, 1);
    for (unsigned kind = 0; kind < TEST_MESSAGES; kind++) {
        const boot_errors e = boot_check(&f, kind, 3);
        print_message("kind %u: mean %.2f bits, worst %.2f, rms %.2f\n", kind, e.mean_bits, e.worst_bits, e.rms_bits);
        assert_true(e.rms_bits > 23.0 && e.worst_bits > 20.0);
    }
    boot_fixture_destroy(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(full_slots)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
