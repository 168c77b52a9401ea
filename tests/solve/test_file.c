/*
 * The layout in a plan file: a round trip, damaged files, another circuit's plan; and memory that runs out.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "file_test.h"

static const char model_text[] = "one <- function() {\n  ini({\n    lk <- -1.5\n    eta.k ~ 0.04\n  })\n"
                                 "  model({\n    k <- exp(lk + eta.k)\n    d/dt(x) <- 2 - k * x\n    x(0) <- 5\n"
                                 "    x ~ add(0.1)\n  })\n}\n";
static const char table_text[] =
    "ID,TIME,AMT,RATE,EVID,eta.k,WT\n"
    "7,0,100,50,1,0.1,70\n7,1,.,.,0,0.1,70\n7,2,50,0,1,0.1,70\n7,2,.,.,0,0.1,70\n7,5,.,.,0,0.1,70\n"
    "8,0,80,40,1,-0.2,60\n8,3,.,.,0,-0.2,60\n";

/* Lags and durations that are encrypted, rates that change with time, an infusion across a change. */
static const char changing_model[] =
    "one <- function() {\n  ini({\n    lk <- -1.5\n    eta.k ~ 0.04\n  })\n"
    "  model({\n    d/dt(x) <- -exp(lk + eta.k) * (WT / 70) * x\n    alag(x) <- 0.3 * exp(eta.k)\n"
    "    f(x) <- exp(-eta.k)\n    C <- x / WT\n    C ~ add(0.1)\n  })\n}\n";
static const char changing_table[] =
    "ID,TIME,AMT,RATE,EVID,eta.k,WT\n"
    "7,0,100,50,1,0.1,70\n7,1,.,.,0,0.1,65\n7,2,50,0,1,0.1,72\n7,2,.,.,0,0.1,70\n7,5,.,.,0,0.1,71\n"
    "8,0,80,40,1,-0.2,60\n8,3,.,.,0,-0.2,60\n";

/* What was written is read: the same inputs from the same data, the same values, the same facts. */
static void check_copy(problem *p, const ddt_solution *copy) {
    assert_null(ddt_solution_circuit(copy));
    assert_string_equal(ddt_solution_subject_id(copy, 0), "1"); /* IDs do not travel */
    const ddt_circuit *circuit = ddt_solution_circuit(p->solution);
    size_t slots = ddt_circuit_lanes(circuit) * ddt_circuit_block(circuit);
    size_t inputs = ddt_circuit_input_count(circuit);
    double **again = test_rows(inputs, slots);
    assert_ok(p->ctx, ddt_solution_fill(p->ctx, copy, p->model, p->events, again));
    for (size_t i = 0; i < inputs; i++) {
        assert_memory_equal(again[i], p->inputs[i], slots * sizeof(double));
    }
    double first = p->values[1][0];
    p->values[1][0] = 0.0;
    ddt_solution_collect(copy, (const double *const *)p->outputs, p->values);
    assert_true(p->values[1][0] == first);
    test_free_rows(again);
}

static void check_round_trip(const char *model, const char *table, double bar, const ddt_solve_info *expected) {
    problem p;
    ddt_plan *plan = NULL;
    ddt_solution *copy = NULL;
    ddt_solve_info info;
    ddt_solve_info made;
    problem_parse(&p, model, table);
    problem_solve(&p, NULL);
    problem_run(&p, false);
    assert_true(problem_error(&p) < bar);
    bytes b = write_file(&p, &plan);
    assert_ok(p.ctx, read_file(p.ctx, &b, &copy));
    check_copy(&p, copy);
    ddt_solution_get_info(p.solution, &made);
    ddt_solution_get_info(copy, &info);
    assert_string_equal(info.method, expected->method);
    assert_int_equal(info.subjects, expected->subjects);
    assert_int_equal(info.observations, expected->observations);
    assert_int_equal(info.segments, expected->segments);
    assert_int_equal(info.has_private_times, expected->has_private_times);
    assert_int_equal(info.iterations, made.iterations);
    assert_int_equal(info.grid, made.grid);
    assert_true(info.grid > 0 || strcmp(info.method, "newton") != 0);
    assert_true(info.surrogate_error == made.surrogate_error);
    ddt_solution_destroy(copy);
    ddt_plan_destroy(plan);
    free(b.data);
    problem_free(&p);
}

static void test_round_trip(void **state) {
    (void)state;
    check_round_trip(model_text, table_text, 2e-5,
                     &(ddt_solve_info){.method = "superposition", .subjects = 2, .observations = 4, .segments = 1});
}

static void test_private_and_changing(void **state) {
    (void)state;
    check_round_trip(
        changing_model, changing_table, 2e-5,
        &(ddt_solve_info){
            .method = "superposition", .subjects = 2, .observations = 4, .segments = 4, .has_private_times = true});
}

/* A model that is not linear, with a covariate that its rates and its dose depend on. */
static void test_newton(void **state) {
    (void)state;
    check_round_trip("mm <- function() {\n  ini({\n    lvm <- log(5)\n    eta.vm ~ 0.04\n  })\n"
                     "  model({\n    d/dt(a) <- -exp(lvm + eta.vm) * (WT / 70) * a / (100 + a)\n    f(a) <- 70 / WT\n"
                     "    C <- a / WT\n    C ~ prop(0.1)\n  })\n}\n",
                     "ID,TIME,AMT,EVID,eta.vm,WT\n1,0,100,1,0.1,72\n1,2,.,0,0.1,72\n1,6,50,1,0.1,72\n1,9,.,0,0.1,72\n"
                     "2,0,80,1,-0.1,66\n2,5,.,0,-0.1,66\n",
                     3e-3, &(ddt_solve_info){.method = "newton", .subjects = 2, .observations = 3, .segments = 1});
}

static void test_damage(void **state) {
    (void)state;
    problem p;
    ddt_plan *plan = NULL;
    problem_parse(&p, model_text, table_text);
    problem_solve(&p, NULL);
    bytes b = write_file(&p, &plan);
    for (size_t at = 0; at < b.length; at += 101) {
        check_damaged_at(p.ctx, &b, at);
    }
    ddt_plan_destroy(plan);
    free(b.data);
    problem_free(&p);
}

/* Every allocation of a solve, a fill, and a round trip fails once. */
static void check_memory(const char *model, const char *table) {
    enum { STRIDE = 7 };
    problem p;
    problem_parse(&p, model, table);
    ddt_solve_options options = {.draws = 4, .tolerance = 1e-4};
    (void)ddt_alloc_fail_after(UINT64_MAX);
    assert_ok(p.ctx, ddt_solve(p.ctx, p.model, p.events, &options, &p.solution));
    uint64_t count = ddt_alloc_fail_after(UINT64_MAX);
    ddt_solution_destroy(p.solution);
    p.solution = NULL;
    assert_true(count > 50);
    for (uint64_t n = 0; n < count; n += n < 200 ? 1 : STRIDE) {
        ddt_context_clear(p.ctx);
        (void)ddt_alloc_fail_after(n);
        ddt_solution *solution = NULL;
        ddt_status status = ddt_solve(p.ctx, p.model, p.events, &options, &solution);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        if (status != DDT_ERR_MEMORY) {
            fail_msg("allocation %llu of %llu: %s %s", (unsigned long long)n, (unsigned long long)count,
                     ddt_status_name(status), ddt_error_detail(p.ctx));
        }
        assert_null(solution);
    }
    problem_free(&p);
}

static void test_memory(void **state) {
    (void)state;
    check_memory(model_text, table_text);
    check_memory(changing_model, changing_table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_private_and_changing),
        cmocka_unit_test(test_newton),     cmocka_unit_test(test_damage),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
