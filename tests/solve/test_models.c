/*
 * The models of the repository in the clear: against CVODE and against the published trajectories.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_test.h"

#define MODELS DDT_SOURCE_DIR "/models/"
#define DATA DDT_SOURCE_DIR "/data/"
#define TRAJECTORIES DDT_SOURCE_DIR "/data/reference/trajectories/"

/* Better than asked for below: 1e-5 of the maximum. */
static const ddt_solve_options accurate = {.tolerance = 4e-6};

static void check_once(const char *model, const char *data, const ddt_solve_options *options, double bar) {
    problem p;
    problem_read(&p, model, data);
    problem_solve(&p, options);
    problem_run(&p, false);
    double error = problem_error(&p);
    ddt_solve_info info;
    ddt_solution_get_info(p.solution, &info);
    print_message("%s: %zu states, %u squarings, error %.1e (virtual population %.1e)\n", strrchr(model, '/') + 1,
                  info.states, info.squarings, error, info.surrogate_error);
    assert_true(error <= bar);
    assert_true(info.surrogate_error <= bar);
    assert_int_equal(info.subjects, p.events->subject_count);
    problem_free(&p);
}

static void check_data(const char *model, const char *data, double bar) {
    check_once(model, data, &accurate, bar);
    check_once(model, data, NULL, 2e-5); /* the default tolerance, with stabilised exponentials */
}

static void test_theophylline(void **state) {
    (void)state;
    check_data(MODELS "theophylline.R", DATA "theophylline_events.csv", 1e-5);
}

static void test_vancomycin(void **state) {
    (void)state;
    check_data(MODELS "vancomycin_thomson2009.R", DATA "vancomycin_events.csv", 1e-5);
}

static void test_tacrolimus(void **state) {
    (void)state;
    check_data(MODELS "tacrolimus_woillard2011.R", DATA "tacrolimus_events.csv", 1e-5);
}

/* One typical subject sampled at the times of a published trajectory, which has `columns` columns after the time. */
static void check_trajectory(const char *model, const char *file, const char *dose, const char *names,
                             const char *values, const char *outputs, size_t column, double scale, double bar) {
    enum { LINE = 512, ROWS = 512 };
    FILE *in = fopen(file, "r");
    assert_non_null(in);
    char line[LINE];
    assert_non_null(fgets(line, LINE, in));
    text table = {0};
    double right[ROWS];
    size_t count = 0;
    text_add(&table, "ID,TIME,AMT,RATE,II,ADDL,EVID%s\n1,0,%s%s\n", names, dose, values);
    while (fgets(line, LINE, in) != NULL) {
        char *rest = line;
        double time_h = strtod(rest, &rest);
        for (size_t c = 0; c <= column; c++) {
            right[count] = strtod(rest + 1, &rest);
        }
        count++;
        text_add(&table, "1,%.12g,.,.,.,.,0%s\n", time_h, values);
    }
    (void)fclose(in);
    problem p = {0};
    assert_ok(NULL, ddt_context_create(&p.ctx));
    assert_ok(p.ctx, ddt_model_read(p.ctx, model, &p.model));
    assert_ok(p.ctx, ddt_model_select_outputs(p.ctx, p.model, &outputs, 1));
    assert_ok(p.ctx, ddt_events_parse(p.ctx, table.data, table.length, "trajectory", p.model, &p.events));
    problem_solve(&p, &accurate);
    problem_run(&p, false);
    double largest = 0.0;
    double worst = 0.0;
    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(right[i] * scale));
        worst = fmax(worst, fabs(p.values[0][i] - right[i] * scale));
    }
    print_message("%s: %zu times, error %.1e\n", strrchr(file, '/') + 1, count, worst / largest);
    assert_true(worst <= bar * largest);
    text_free(&table);
    problem_free(&p);
}

static void test_trajectory_theophylline(void **state) {
    (void)state;
    /* Constants are rounded to four digits in the model and to seven in the trajectory. */
    check_trajectory(MODELS "theophylline.R", TRAJECTORIES "theophylline_1cpt_oral.csv", "4.02,.,.,.,1", "", "", "conc",
                     1, 1.0, 5e-5);
}

static void test_trajectory_vancomycin(void **state) {
    (void)state;
    check_trajectory(MODELS "vancomycin_thomson2009.R", TRAJECTORIES "vancomycin_thomson2009.csv", "1000,1000,12,6,1",
                     ",WT,CRCL", ",70,66", "central", 0, 1.0, 1e-5);
}

static void test_trajectory_tacrolimus(void **state) {
    (void)state;
    check_trajectory(MODELS "tacrolimus_woillard2011.R", TRAJECTORIES "tacrolimus_woillard2011.csv", "4,.,.,.,1",
                     ",HCT,CYP3A5,FORMULATION", ",35,0,1", "central", 3, 1.0, 1e-5);
}

static void test_other_models(void **state) {
    (void)state;
    static const char table[] = "ID,TIME,AMT,II,ADDL,EVID,WT,APGR,CRCL,DIAL\n"
                                "1,0,30,12,3,1,2.3,7,66,0\n1,1,.,.,.,2,2.3,7,66,0\n1,40,.,.,.,2,2.3,7,66,0\n"
                                "2,0,20,12,3,1,1.3,3,90,1\n2,10,.,.,.,2,1.3,3,90,1\n2,40,.,.,.,2,1.3,3,90,1\n";
    problem p = {0};
    assert_ok(NULL, ddt_context_create(&p.ctx));
    assert_ok(p.ctx, ddt_model_read(p.ctx, MODELS "phenobarbital_grasela1985.R", &p.model));
    assert_ok(p.ctx, ddt_events_parse(p.ctx, table, strlen(table), "test.csv", p.model, &p.events));
    problem_solve(&p, &accurate);
    problem_run(&p, false);
    assert_true(problem_error(&p) <= 1e-5);
    problem_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_theophylline),
        cmocka_unit_test(test_vancomycin),
        cmocka_unit_test(test_tacrolimus),
        cmocka_unit_test(test_trajectory_theophylline),
        cmocka_unit_test(test_trajectory_vancomycin),
        cmocka_unit_test(test_trajectory_tacrolimus),
        cmocka_unit_test(test_other_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
