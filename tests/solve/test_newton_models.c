/* label: long */
/*
 * Turnover, saturation and myelosuppression in the clear, against CVODE at every observation: within half of the bar of
 * 1 % of each output's maximum.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "newton_test.h"

static void test_turnover(void **state) {
    (void)state;
    check("warfarin", "warfarin_events", 4e-3);
}

static void test_saturation(void **state) {
    (void)state;
    check("phenytoin_yukawa1990", "phenytoin_events", 5e-3);
}

/* Five states with feedback, by their logarithms. */
static void test_myelosuppression(void **state) {
    (void)state;
    check("friberg_paclitaxel", "friberg_events", 5e-3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turnover),
        cmocka_unit_test(test_saturation),
        cmocka_unit_test(test_myelosuppression),
    };
    cmocka_set_test_filter(getenv("DDT_TEST_FILTER")); /* one of them, where time matters */
    return cmocka_run_group_tests(tests, setup, teardown);
}
