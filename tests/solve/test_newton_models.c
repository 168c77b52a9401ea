/* label: long */
/*
 * An interaction, turnover, saturation and myelosuppression in the clear, against CVODE at every observation: within
 * half of the bar of 1 % of each output's maximum.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "newton_test.h"

static void test_interaction(void **state) {
    (void)state;
    check("ddi_midazolam", "midazolam_events", 2e-3);
}

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

/* A Michaelis constant far below the concentrations: solved with etas within two standard deviations, and the product's
 * one dose. */
static void test_sharp(void **state) {
    (void)state;
    const char *const table =
        "ID,TIME,AMT,EVID,CMT,II,ADDL,eta.vc,eta.ke,eta.ka,eta.vm,eta.mtt,WT\n"
        "1,0,300,1,1,14,3,0,0,0,0,0,80\n1,7,.,0,1,.,.,0,0,0,0,0,80\n1,13.9,.,0,1,.,.,0,0,0,0,0,80\n"
        "1,30,.,0,1,.,.,0,0,0,0,0,80\n1,56,.,0,1,.,.,0,0,0,0,0,80\n"
        "2,0,300,1,1,14,3,0.2,-0.3,0.4,0.3,0.4,110\n2,13.9,.,0,1,.,.,0.2,-0.3,0.4,0.3,0.4,110\n"
        "2,20,.,0,1,.,.,0.2,-0.3,0.4,0.3,0.4,110\n2,56,.,0,1,.,.,0.2,-0.3,0.4,0.3,0.4,110\n";
    check_table("dupilumab_kovalenko2020", table, 5e-3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interaction),      cmocka_unit_test(test_turnover), cmocka_unit_test(test_saturation),
        cmocka_unit_test(test_myelosuppression), cmocka_unit_test(test_sharp),
    };
    cmocka_set_test_filter(getenv("DDT_TEST_FILTER")); /* one of them, where time matters */
    return cmocka_run_group_tests(tests, setup, teardown);
}
