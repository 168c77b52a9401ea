/*
 * Recommendations in plan files, with packed inputs, earlier doses and points of a posterior: a round trip, damaged
 * files; and memory that runs out.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "file_test.h"

#include "ddt/solve/recommend.h"

static const char model_text[] = "one <- function() {\n  ini({\n    lk <- -1.5\n    eta.k ~ 0.04\n  })\n"
                                 "  model({\n    d/dt(x) <- -exp(lk + eta.k) * (WT / 70)^0.75 * x\n    C <- x / WT\n"
                                 "    C ~ prop(0.1)\n  })\n}\n";
static const char table_text[] =
    "ID,TIME,AMT,RATE,EVID,DV,eta.k,WT\n"
    "7,0,100,50,1,.,0.1,70\n7,5,.,.,0,0.6,0.1,70\n7,8,50,0,1,.,0.1,70\n7,12,.,.,2,.,0.1,70\n"
    "8,0,80,40,1,.,-0.2,60\n8,3,.,.,0,0.9,-0.2,60\n";

static void request(problem *p, ddt_recommend_options *options) {
    *options = (ddt_recommend_options){.solve = {.block_max = 2048, .draws = 4}};
    assert_ok(p->ctx, ddt_recommend_parse_targets(p->ctx, "trough@24=0.2:1", p->model, &options->targets));
    assert_ok(p->ctx, ddt_recommend_parse_product(p->ctx, "dose=20:120:20;interval=12", &options->product));
}

static void solve_request(problem *p) {
    ddt_recommend_options options;
    problem_parse(p, model_text, table_text);
    request(p, &options);
    assert_ok(p->ctx, ddt_solve_recommend(p->ctx, p->model, p->events, &options, &p->solution));
    problem_rows(p);
}

/* What was written is read: the same inputs from the same data. */
static void test_round_trip(void **state) {
    (void)state;
    problem p;
    ddt_plan *plan = NULL;
    ddt_solution *copy = NULL;
    solve_request(&p);
    problem_run(&p, false);
    bytes b = write_file(&p, &plan);
    assert_ok(p.ctx, read_file(p.ctx, &b, &copy));
    const ddt_circuit *circuit = ddt_solution_circuit(p.solution);
    size_t slots = ddt_circuit_lanes(circuit) * ddt_circuit_block(circuit);
    size_t inputs = ddt_circuit_input_count(circuit);
    assert_int_equal(inputs, 2); /* the patient, earlier doses */
    double **again = test_rows(inputs, slots);
    assert_ok(p.ctx, ddt_solution_fill(p.ctx, copy, p.model, p.events, again));
    for (size_t i = 0; i < inputs; i++) {
        assert_memory_equal(again[i], p.inputs[i], slots * sizeof(double));
    }
    test_free_rows(again);
    ddt_solution_destroy(copy);
    ddt_plan_destroy(plan);
    free(b.data);
    problem_free(&p);
}

/* No damaged file is taken for a whole one, wherever it is damaged. */
static void test_damage(void **state) {
    (void)state;
    enum { STEPS = 150 };
    problem p;
    ddt_plan *plan = NULL;
    solve_request(&p);
    bytes b = write_file(&p, &plan);
    for (size_t k = 0; k < STEPS; k++) {
        check_damaged_at(p.ctx, &b, b.length * k / STEPS);
    }
    ddt_plan_destroy(plan);
    free(b.data);
    problem_free(&p);
}

/* Allocations of a request fail one after the other. */
static void test_memory(void **state) {
    (void)state;
    enum { ALL = 60, STRIDE = 97 };
    problem p;
    ddt_recommend_options options;
    problem_parse(&p, model_text, table_text);
    request(&p, &options);
    (void)ddt_alloc_fail_after(UINT64_MAX);
    assert_ok(p.ctx, ddt_solve_recommend(p.ctx, p.model, p.events, &options, &p.solution));
    uint64_t count = ddt_alloc_fail_after(UINT64_MAX);
    assert_true(count > ALL);
    for (uint64_t n = 0; n < count; n += n < ALL ? 1 : STRIDE) {
        ddt_solution *solution = NULL;
        ddt_context_clear(p.ctx);
        (void)ddt_alloc_fail_after(n);
        ddt_status status = ddt_solve_recommend(p.ctx, p.model, p.events, &options, &solution);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        if (status != DDT_ERR_MEMORY) {
            fail_msg("allocation %llu of %llu: %s %s", (unsigned long long)n, (unsigned long long)count,
                     ddt_status_name(status), ddt_error_detail(p.ctx));
        }
        assert_null(solution);
    }
    problem_free(&p);
}

/* The custodian's side. */
static void test_memory_of_fill(void **state) {
    (void)state;
    enum { FIRST = 10, PARTS = 20 };
    problem p;
    solve_request(&p);
    problem_run(&p, false);
    (void)ddt_alloc_fail_after(UINT64_MAX);
    assert_ok(p.ctx, ddt_solution_fill(p.ctx, p.solution, p.model, p.events, p.inputs));
    uint64_t count = ddt_alloc_fail_after(UINT64_MAX);
    assert_true(count > FIRST);
    for (uint64_t n = 0; n < count; n += n < FIRST ? 1 : count / PARTS) {
        ddt_context_clear(p.ctx);
        (void)ddt_alloc_fail_after(n);
        ddt_status status = ddt_solution_fill(p.ctx, p.solution, p.model, p.events, p.inputs);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_int_equal(status, DDT_ERR_MEMORY);
    }
    problem_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_damage),
                                       cmocka_unit_test(test_memory), cmocka_unit_test(test_memory_of_fill)};
    cmocka_set_test_filter(getenv("DDT_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
