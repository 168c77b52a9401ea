/* Plan files: what is written comes back, what does not fit is refused. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char model_text[] =
    "decay <- function() {\n"
    "  units <- list(time = \"h\", dosing = \"mg\", concentration = \"mg/L\")\n"
    "  ini({\n    lke <- -1\n    lv <- 2\n    eta.ke ~ 0.04\n    sd <- 0.1\n  })\n"
    "  model({\n    ke <- exp(lke + eta.ke)\n    v <- exp(lv)\n"
    "    d/dt(central) <- -ke * central\n    cp <- central / v\n    cp ~ add(sd)\n  })\n}\n";
static const char table_text[] = "ID,TIME,AMT,EVID,DV,eta.ke\n"
                                 "a,0,100,1,.,0.1\na,1,.,0,8,0.1\na,3,.,0,4,0.1\n"
                                 "b,0,50,1,.,-0.2\nb,2.5,.,0,3,-0.2\n";

typedef struct fixture {
    ddt_context *ctx;
    char folder[32];
    char *model, *table, *plan;
    ddt_twin_problem *problem;
} fixture;

static ddt_twin_options options_of(const fixture *f) {
    static const ddt_setting settings[] = {{"lv", 2.5}};
    static const char *const outputs[] = {"cp", "central"};
    return (ddt_twin_options){.model_path = f->model,
                              .data_path = f->table,
                              .grid_h = 1,
                              .grid_points = 7,
                              .outputs = outputs,
                              .output_count = 2,
                              .settings = settings,
                              .setting_count = 1};
}

static void create(fixture *f) {
    const ddt_twin_options options = options_of(f);
    if (ddt_twin_problem_create(f->ctx, &options, &f->problem) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(f->ctx));
    }
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    (void)strcpy(f->folder, "/tmp/ddt-plan-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(ddt_context_create(&f->ctx), DDT_OK);
    f->model = twin_path_join(f->folder, "decay.R");
    f->table = twin_path_join(f->folder, "table.csv");
    f->plan = twin_path_join(f->folder, "plan.ddt");
    assert_int_equal(ddt_write_text(f->ctx, f->model, model_text, sizeof model_text - 1), DDT_OK);
    assert_int_equal(ddt_write_text(f->ctx, f->table, table_text, sizeof table_text - 1), DDT_OK);
    create(f);
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    (void)unlink(f->model);
    (void)unlink(f->table);
    (void)unlink(f->plan);
    assert_int_equal(rmdir(f->folder), 0); /* nothing else was left */
    ddt_twin_problem_destroy(f->problem);
    ddt_free(f->model);
    ddt_free(f->table);
    ddt_free(f->plan);
    ddt_context_destroy(f->ctx);
    free(f);
    return 0;
}

/* Data records, the --grid of 1 h and the report's seven points are told apart. */
static void test_requested(void **state) {
    const fixture *f = *state;
    static const bool first[] = {true, false, true, false, true, false, true};
    static const bool second[] = {true, false, false, true, false, false, true, false, true};
    const twin_recipe *recipe = &f->problem->recipe;
    const ddt_solution *solution = f->problem->solution;
    assert_int_equal(recipe->subject_count, 2);
    /* Subject a: 0 .. 3 by the hour, and by half an hour for the report. */
    assert_int_equal(recipe->observation_counts[0], sizeof first);
    assert_memory_equal(recipe->requested[0], first, sizeof first);
    for (size_t k = 0; k < sizeof first; k++) {
        assert_true(ddt_solution_observation_time(solution, 0, k) == 0.5 * (double)k);
    }
    /* Subject b: 0, 1, 2, 2.5 requested; multiples of 2.5 / 6 for the report. */
    size_t requested = 0;
    for (size_t k = 0; k < recipe->observation_counts[1]; k++) {
        const double time_h = ddt_solution_observation_time(solution, 1, k);
        const bool wanted = time_h == 0 || time_h == 1 || time_h == 2 || time_h == 2.5;
        assert_int_equal(recipe->requested[1][k], wanted);
        requested += wanted;
    }
    assert_int_equal(requested, 4);
    assert_int_equal(recipe->observation_counts[1], sizeof second);
    assert_memory_equal(recipe->requested[1], second, sizeof second);
}

static void test_round_trip(void **state) {
    fixture *f = *state;
    uint64_t bytes = 0;
    assert_int_equal(ddt_twin_problem_write(f->ctx, f->problem, f->plan, &bytes), DDT_OK);
    assert_true(bytes > sizeof model_text);
    ddt_twin_plan *plan = NULL;
    if (ddt_twin_plan_read(f->ctx, f->plan, &plan) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(f->ctx));
    }
    ddt_digest digest;
    assert_int_equal(ddt_wire_file_digest(f->ctx, f->plan, DDT_WIRE_PLAN, &digest), DDT_OK);
    assert_true(ddt_digest_equal(&digest, ddt_twin_plan_digest(plan)));
    assert_string_equal(ddt_twin_plan_model_name(plan), "decay.R"); /* not the folder it lay in */
    assert_string_equal(ddt_twin_plan_model_text(plan), model_text);
    assert_int_equal(plan->recipe.output_count, 2);
    assert_string_equal(plan->recipe.outputs[1], "central");
    assert_string_equal(plan->recipe.settings[0].name, "lv");
    assert_true(plan->recipe.settings[0].value == 2.5);
    assert_true(plan->recipe.grid_h == 1 && plan->recipe.grid_points == 7);
    for (size_t s = 0; s < 2; s++) {
        assert_memory_equal(plan->recipe.requested[s], f->problem->recipe.requested[s],
                            f->problem->recipe.observation_counts[s]);
    }
    ddt_model *model = NULL;
    assert_int_equal(ddt_twin_plan_model(f->ctx, plan, &model), DDT_OK);
    assert_int_equal(model->output_count, 2);
    ddt_model_destroy(model);
    assert_int_equal(ddt_twin_plan_check_model(f->ctx, plan, f->model), DDT_OK);
    assert_int_equal(ddt_twin_plan_check_model(f->ctx, plan, f->table), DDT_ERR_MISMATCH);
    assert_non_null(strstr(ddt_error_detail(f->ctx), f->plan));
    assert_non_null(strstr(ddt_error_detail(f->ctx), f->table));
    ddt_twin_plan_destroy(plan);
}

/* ------------------------------------------------------------------ sections that do not fit */

typedef void (*spoil_function)(twin_recipe *recipe);

static void spoil_subjects(twin_recipe *recipe) { recipe->subject_count = 1; }
static void spoil_observations(twin_recipe *recipe) { recipe->observation_counts[1]--; }
static void spoil_grid(twin_recipe *recipe) { recipe->grid_h = -1; }
static void spoil_infinite_grid(twin_recipe *recipe) { recipe->grid_h = 1.0 / 0.0; }
static void spoil_points(twin_recipe *recipe) { recipe->grid_points = TWIN_GRID_POINTS_MAX + 1; }

/* Writes a plan file whose MODL section was spoiled, and whose digests are right. */
static ddt_status write_spoiled(fixture *f, spoil_function spoil) {
    twin_recipe recipe = f->problem->recipe;
    size_t counts[2] = {recipe.observation_counts[0], recipe.observation_counts[1]};
    bool *flags = calloc(counts[1], 1);
    bool *requested[2] = {recipe.requested[0], flags};
    recipe.observation_counts = counts;
    recipe.requested = requested;
    spoil(&recipe);
    ddt_writer *writer = NULL;
    assert_int_equal(ddt_writer_open(f->ctx, f->plan, DDT_WIRE_PLAN, false, &writer), DDT_OK);
    assert_int_equal(ddt_plan_write(writer, f->problem->plan), DDT_OK);
    assert_int_equal(ddt_solution_write(writer, f->problem->solution), DDT_OK);
    ddt_status status = twin_recipe_write(writer, &recipe);
    if (status == DDT_OK) {
        status = ddt_writer_commit(writer, NULL);
    } else {
        ddt_writer_abort(writer);
    }
    free(flags);
    return status;
}

static void test_spoiled(void **state) {
    fixture *f = *state;
    static const spoil_function spoils[] = {spoil_subjects, spoil_observations, spoil_grid, spoil_infinite_grid,
                                            spoil_points};
    for (size_t i = 0; i < sizeof spoils / sizeof spoils[0]; i++) {
        ddt_twin_plan *plan = NULL;
        ddt_context_clear(f->ctx);
        assert_int_equal(write_spoiled(f, spoils[i]), DDT_OK);
        assert_int_equal(ddt_twin_plan_read(f->ctx, f->plan, &plan), DDT_ERR_FORMAT);
        assert_null(plan);
        assert_non_null(strstr(ddt_error_detail(f->ctx), f->plan));
    }
}

/* A flag of 2 is neither yes nor no; the section is written by hand, since no bool holds it. */
static void test_spoiled_flag(void **state) {
    fixture *f = *state;
    ddt_writer *writer = NULL;
    assert_int_equal(ddt_writer_open(f->ctx, f->plan, DDT_WIRE_PLAN, false, &writer), DDT_OK);
    assert_int_equal(ddt_plan_write(writer, f->problem->plan), DDT_OK);
    assert_int_equal(ddt_solution_write(writer, f->problem->solution), DDT_OK);
    ddt_writer_begin(writer, "MODL");
    ddt_writer_string(writer, "decay.R");
    ddt_writer_string(writer, model_text);
    ddt_writer_u32(writer, 0);
    ddt_writer_u32(writer, 0);
    ddt_writer_f64(writer, 0);
    ddt_writer_u64(writer, 0);
    ddt_writer_u32(writer, 2);
    for (size_t s = 0; s < 2; s++) {
        ddt_writer_u32(writer, (uint32_t)f->problem->recipe.observation_counts[s]);
        for (size_t k = 0; k < f->problem->recipe.observation_counts[s]; k++) {
            ddt_writer_u8(writer, s == 1 && k == 2 ? 2 : 1);
        }
    }
    assert_int_equal(ddt_writer_end(writer), DDT_OK);
    assert_int_equal(ddt_writer_commit(writer, NULL), DDT_OK);
    ddt_twin_plan *plan = NULL;
    assert_int_equal(ddt_twin_plan_read(f->ctx, f->plan, &plan), DDT_ERR_FORMAT);
    assert_null(plan);
}

/* ------------------------------------------------------------------ memory */

/* Every allocation fails once: the call says so, leaks nothing (under the address sanitizer) and leaves no file. */
static void test_memory_of_reading(void **state) {
    fixture *f = *state;
    assert_int_equal(ddt_twin_problem_write(f->ctx, f->problem, f->plan, NULL), DDT_OK);
    ddt_status status = DDT_ERR_MEMORY;
    for (uint64_t n = 0; status != DDT_OK; n++) {
        ddt_twin_plan *plan = NULL;
        ddt_context_clear(f->ctx);
        (void)ddt_alloc_fail_after(n);
        status = ddt_twin_plan_read(f->ctx, f->plan, &plan);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_true(status == DDT_OK || status == DDT_ERR_MEMORY);
        assert_int_equal(plan != NULL, status == DDT_OK);
        ddt_twin_plan_destroy(plan);
    }
}

static void test_memory_of_creating(void **state) {
    fixture *f = *state;
    const ddt_twin_options options = options_of(f);
    ddt_status status = DDT_ERR_MEMORY;
    /* Thousands of allocations: single steps at first, then ever wider ones. */
    for (uint64_t n = 0; status != DDT_OK; n += 1 + n / 8) {
        ddt_twin_problem *problem = NULL;
        ddt_context_clear(f->ctx);
        (void)ddt_alloc_fail_after(n);
        status = ddt_twin_problem_create(f->ctx, &options, &problem);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_true(status == DDT_OK || status == DDT_ERR_MEMORY);
        assert_int_equal(problem != NULL, status == DDT_OK);
        ddt_twin_problem_destroy(problem);
    }
}

static void test_bad_options(void **state) {
    fixture *f = *state;
    ddt_twin_problem *problem = NULL;
    ddt_twin_options options = options_of(f);
    options.grid_h = -1;
    assert_int_equal(ddt_twin_problem_create(f->ctx, &options, &problem), DDT_ERR_ARGUMENT);
    ddt_context_clear(f->ctx);
    options = options_of(f);
    options.grid_points = 1;
    assert_int_equal(ddt_twin_problem_create(f->ctx, &options, &problem), DDT_ERR_RANGE);
    ddt_context_clear(f->ctx);
    options = options_of(f);
    options.data_path = f->plan; /* not there */
    assert_int_equal(ddt_twin_problem_create(f->ctx, &options, &problem), DDT_ERR_IO);
    assert_null(problem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_requested, setup, teardown),
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spoiled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spoiled_flag, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_of_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_of_creating, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_options, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
