/* label: long */
/*
 * A published model of 28 states, its rates over seven decades, under encryption with secure parameters: doses, weights
 * and random effects encrypted, every output against CVODE.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "encrypted_test.h"

/* A tenth of what the project asks for. */
static const double bar = 1e-4;

static void write_mice(text *t) {
    static const double times_h[] = {0.1, 0.5, 1, 2, 4, 8, 12, 24, 26, 36, 48, 72, 120, 336};
    text_add(t, "ID,TIME,AMT,II,ADDL,CMT,EVID,BW,eta.up,eta.pa,eta.ka\n");
    for (int s = 1; s <= 2; s++) {
        double x = s == 1 ? 0.3 : -0.4;
        text_add(t, "%d,0,0.1,24,2,lumen,1,%g,%g,%g,%g\n", s, 0.018 + 0.005 * s, x, -0.7 * x, 0.5 * x);
        for (size_t k = 0; k < sizeof times_h / sizeof *times_h; k++) {
            text_add(t, "%d,%g,.,.,.,.,0,%g,%g,%g,%g\n", s, times_h[k], 0.018 + 0.005 * s, x, -0.7 * x, 0.5 * x);
        }
    }
}

static void test_mice(void **state) {
    (void)state;
    text table = {0};
    problem p = {0};
    ddt_plan *plan = NULL;
    encrypted_keys k = {0};
    ddt_plan_info info;
    ddt_solve_info solved;
    write_mice(&table);
    assert_ok(NULL, ddt_context_create(&p.ctx));
    assert_ok(p.ctx, ddt_model_read(p.ctx, DDT_SOURCE_DIR "/models/nanoparticle_chen2024.R", &p.model));
    assert_ok(p.ctx, ddt_events_parse(p.ctx, table.data, strlen(table.data), "test.csv", p.model, &p.events));
    problem_solve(&p, NULL);
    ddt_solution_get_info(p.solution, &solved);
    assert_int_equal(solved.states, 28);
    assert_int_equal(solved.squarings, 0);
    ddt_plan_request request = {.target_error = 5e-5};
    assert_ok(p.ctx, ddt_plan_create(p.ctx, ddt_solution_circuit(p.solution), &request, &plan));
    ddt_plan_get_info(plan, &info);
    assert_int_equal(info.security_bits, 128);
    assert_true(info.engine_bytes < (uint64_t)12 << 30);
    problem_run(&p, false);
    double clear_error = problem_error(&p);
    encrypted_make_keys(&p, plan, &k);
    double seconds = encrypted_run(&p, plan, &k);
    ddt_solution_collect(p.solution, (const double *const *)p.outputs, p.values);
    double error = problem_error(&p);
    print_message("depth %u, ring degree 2^%u, %zu products, %.1f s; error %.1e (%.1e in the clear)\n", info.depth,
                  info.literal.log_n, info.multiplications, seconds, error, clear_error);
    assert_true(error <= bar);
    encrypted_destroy(&k);
    ddt_plan_destroy(plan);
    problem_free(&p);
    text_free(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
