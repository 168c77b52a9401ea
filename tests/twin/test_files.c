/*
 * What a custodian reads from a plan file fills the circuit's inputs and reads its outputs as the problem does that the
 * file was made from: a number that is written wrongly is not seen by tests that stay inside the library.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "files.h"

static int setup_linear(void **state) { return files_setup(state, &files_linear); }
static int setup_newton(void **state) { return files_setup(state, &files_newton); }
static int setup_library(void **state) { return files_setup(state, &files_fit); }

typedef struct both {
    ddt_twin_problem *problem;
    ddt_twin_plan *plan;
} both;

static both make(chain *c, const file_case *one) {
    both b = {0};
    const ddt_twin_options options = files_options(c, one);
    if (ddt_twin_problem_create(c->ctx, &options, &b.problem) != DDT_OK) {
        fail_msg("%s: %s", one->name, ddt_error_detail(c->ctx));
    }
    assert_int_equal(ddt_twin_problem_write(c->ctx, b.problem, c->plan, NULL), DDT_OK);
    assert_int_equal(ddt_twin_plan_read(c->ctx, c->plan, &b.plan), DDT_OK);
    return b;
}

static void same_values(const double *a, const double *b, size_t count, size_t vector) {
    for (size_t k = 0; k < count; k++) {
        if (a[k] != b[k]) {
            fail_msg("vector %zu, value %zu: %g in the problem, %g by the file", vector, k, a[k], b[k]);
        }
    }
}

static void same_vectors(double *const *a, double *const *b, size_t count, size_t values) {
    for (size_t i = 0; i < count; i++) {
        same_values(a[i], b[i], values, i);
    }
}

/* The data's numbers in the circuit's inputs. */
static void compare_inputs(chain *c, const file_case *one, const both *b, const ddt_plan_info *info) {
    const size_t count = ddt_plan_input_count(b->plan->plan);
    const ddt_twin_options options = files_options(c, one);
    double **by_problem = twin_vectors_create(count, info->lanes, info->block);
    double **by_file = twin_vectors_create(count, info->lanes, info->block);
    ddt_model *model = NULL;
    ddt_events *events = NULL;
    assert_int_equal(ddt_circuit_input_count(ddt_solution_circuit(b->problem->solution)), count);
    assert_int_equal(ddt_solution_fill(c->ctx, b->problem->solution, b->problem->model, b->problem->events, by_problem),
                     DDT_OK);
    assert_int_equal(ddt_twin_plan_model(c->ctx, b->plan, &model), DDT_OK);
    assert_int_equal(twin_recipe_events(c->ctx, &b->plan->recipe, model, options.data_path, &events), DDT_OK);
    assert_int_equal(ddt_solution_fill(c->ctx, b->plan->solution, model, events, by_file), DDT_OK);
    same_vectors(by_problem, by_file, count, info->lanes * info->block);
    ddt_events_destroy(events);
    ddt_model_destroy(model);
    twin_vectors_destroy(by_problem, count, info->lanes, info->block);
    twin_vectors_destroy(by_file, count, info->lanes, info->block);
}

/* Any outputs, read into profiles; what a solution reads from which slot must not depend on where it comes from. */
static void compare_outputs(chain *c, const both *b, const ddt_plan_info *info) {
    const size_t count = ddt_plan_output_count(b->plan->plan);
    double **outputs = twin_vectors_create(count, info->lanes, info->block);
    ddt_profile by_problem = {0};
    ddt_profile by_file = {0};
    for (size_t o = 0; o < count; o++) {
        for (size_t k = 0; k < info->lanes * info->block; k++) {
            outputs[o][k] = sin((double)(k * count + o + 1));
        }
    }
    assert_int_equal(twin_profile_create(c->ctx, b->problem->solution, &b->problem->recipe, &by_problem), DDT_OK);
    assert_int_equal(twin_profile_create(c->ctx, b->plan->solution, &b->plan->recipe, &by_file), DDT_OK);
    ddt_solution_collect(b->problem->solution, (const double *const *)outputs, by_problem.values);
    ddt_solution_collect(b->plan->solution, (const double *const *)outputs, by_file.values);
    assert_true(by_file.subject_count > 1);
    assert_int_equal(by_problem.subject_count, by_file.subject_count);
    assert_int_equal(by_problem.output_count, by_file.output_count);
    for (size_t s = 0; s < by_file.subject_count; s++) {
        const size_t rows = by_file.observation_counts[s];
        assert_int_equal(by_problem.observation_counts[s], rows);
        same_values(by_problem.values[s], by_file.values[s], rows * by_file.output_count, s);
        same_values(by_problem.times_h[s], by_file.times_h[s], rows, s);
    }
    ddt_profile_destroy(&by_problem);
    ddt_profile_destroy(&by_file);
    twin_vectors_destroy(outputs, count, info->lanes, info->block);
}

static void compare(void **state, const file_case *one) {
    chain *c = *state;
    both b = make(c, one);
    ddt_plan_info info;
    ddt_plan_get_info(b.plan->plan, &info);
    compare_inputs(c, one, &b, &info);
    compare_outputs(c, &b, &info);
    ddt_twin_plan_destroy(b.plan);
    ddt_twin_problem_destroy(b.problem);
}

static void test_linear(void **state) { compare(state, &files_linear); }
static void test_newton(void **state) { compare(state, &files_newton); }
static void test_fit(void **state) { compare(state, &files_fit); }
static void test_recommend(void **state) { compare(state, &files_recommend); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_linear, setup_linear, chain_teardown),
        cmocka_unit_test_setup_teardown(test_newton, setup_newton, chain_teardown),
        cmocka_unit_test_setup_teardown(test_fit, setup_library, chain_teardown),
        cmocka_unit_test_setup_teardown(test_recommend, setup_library, chain_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
