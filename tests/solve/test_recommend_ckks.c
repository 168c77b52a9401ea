/* label: long */
/*
 * The reference table of vancomycin regimens under encryption: areas and troughs of 30 patients with 24 regimens each.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_encrypted_test.h"

static void check_table(const char *name, const char *path, const char *header, const char *extra) {
    const double bar = 5e-3;
    table_problem t;
    table_problem_create(&t, name, path, header, extra);
    problem_run(&t.p, false);
    double clear = table_worst_error(&t);
    recommend_run_encrypted(&t.p, (uint64_t)1 << 30);
    double worst = table_worst_error(&t);
    print_message("%s: worst relative error over %zu patients %.1e, in the clear %.1e\n", name, t.count, worst, clear);
    assert_true(worst < bar);
    problem_free(&t.p);
}

static void test_thomson(void **state) {
    (void)state;
    check_table("thomson2009", THOMSON, "ID,TIME,EVID,WT,CRCL\n", "");
}

static void test_goti(void **state) {
    (void)state;
    check_table("goti2018", GOTI, "ID,TIME,EVID,WT,CRCL,DIAL\n", ",0");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_thomson), cmocka_unit_test(test_goti)};
    cmocka_set_test_filter(getenv("DDT_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
