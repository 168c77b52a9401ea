/* label: long */
/*
 * Under encryption, with secure parameters: theophylline, vancomycin and tacrolimus at 96 times a subject and more,
 * against CVODE.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "encrypted_test.h"

#define MODELS DDT_SOURCE_DIR "/models/"

/* A tenth of what the project asks for. */
static const double bar = 1e-4;

static void check(const char *model, const char *table) {
    problem p = {0};
    ddt_plan *plan = NULL;
    encrypted_keys k = {0};
    ddt_plan_info info;
    assert_ok(NULL, ddt_context_create(&p.ctx));
    assert_ok(p.ctx, ddt_model_read(p.ctx, model, &p.model));
    assert_ok(p.ctx, ddt_events_parse(p.ctx, table, strlen(table), "test.csv", p.model, &p.events));
    problem_solve(&p, NULL);
    ddt_plan_request request = {.target_error = 5e-5};
    assert_ok(p.ctx, ddt_plan_create(p.ctx, ddt_solution_circuit(p.solution), &request, &plan));
    ddt_plan_get_info(plan, &info);
    assert_int_equal(info.security_bits, 128);
    encrypted_make_keys(&p, plan, &k);
    problem_run(&p, false);
    double clear_error = problem_error(&p);
    double seconds = encrypted_run(&p, plan, &k);
    ddt_solution_collect(p.solution, (const double *const *)p.outputs, p.values);
    double error = problem_error(&p);
    print_message(
        "%s: depth %u, ring degree 2^%u, log2(QP) %.0f, %zu batches, %.2f s; error %.1e (%.1e in the clear)\n",
        strrchr(model, '/') + 1, info.depth, info.literal.log_n, info.log2_qp, info.batches, seconds, error,
        clear_error);
    assert_true(error <= bar);
    encrypted_destroy(&k);
    ddt_plan_destroy(plan);
    problem_free(&p);
}

static void test_theophylline(void **state) {
    (void)state;
    text table = {0};
    text_add(&table, "ID,TIME,AMT,EVID,eta.ka,eta.cl\n");
    for (int s = 1; s <= 12; s++) {
        text_add(&table, "%d,0,%.2f,1,%.2f,%.2f\n", s, 4.0 + 0.1 * s, 0.2 * (s - 6), 0.05 * (6 - s));
        for (int t = 1; t <= 96; t++) {
            text_add(&table, "%d,%.2f,.,0,%.2f,%.2f\n", s, 0.25 * t, 0.2 * (s - 6), 0.05 * (6 - s));
        }
    }
    check(MODELS "theophylline.R", table.data);
    text_free(&table);
}

static void test_vancomycin(void **state) {
    (void)state;
    text table = {0};
    text_add(&table, "ID,TIME,AMT,RATE,II,ADDL,EVID,WT,CRCL,eta_cl,eta_v2\n");
    for (int s = 1; s <= 4; s++) {
        char covariates[64];
        (void)snprintf(covariates, sizeof covariates, "%d,%d,%.2f,%.2f", 55 + 10 * s, 30 * s, 0.1 * s - 0.2,
                       0.5 * s - 1.0);
        text_add(&table, "%d,0,1000,1000,12,6,1,%s\n", s, covariates);
        for (int t = 1; t <= 96; t++) {
            text_add(&table, "%d,%.4f,.,.,.,.,0,%s\n", s, 0.875 * t, covariates);
        }
    }
    check(MODELS "vancomycin_thomson2009.R", table.data);
    text_free(&table);
}

static void test_tacrolimus(void **state) {
    (void)state;
    text table = {0};
    text_add(&table, "ID,TIME,AMT,II,ADDL,EVID,HCT,CYP3A5,FORMULATION,eta.cl\n");
    for (int s = 1; s <= 2; s++) {
        text_add(&table, "%d,0,4,12,3,1,%d,%d,%d,0.2\n", s, 25 + 5 * s, s % 2, s / 2);
        for (int t = 1; t <= 96; t++) {
            text_add(&table, "%d,%.2f,.,.,.,0,%d,%d,%d,0.2\n", s, 0.5 * t, 25 + 5 * s, s % 2, s / 2);
        }
    }
    check(MODELS "tacrolimus_woillard2011.R", table.data);
    text_free(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_theophylline),
        cmocka_unit_test(test_vancomycin),
        cmocka_unit_test(test_tacrolimus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
