/*
 * Courses of doses within bounds: against a search of the same cost from closed forms, one dose at a time; what is
 * refused; short memory. test_recommend_nlopt.c has more patients, NLopt and encryption.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_test.h"

enum { DOSES = 3, TERMS = 3 };

static const char *const patients = "ID,TIME,EVID,WT,CRCL\n1,0,2,80,70\n2,0,2,60,30\n3,0,2,100,130\n";
static const double weight_kg[] = {80.0, 60.0, 100.0};
static const double crcl[] = {70.0, 30.0, 130.0};

static const char *const targets = "auc0-24=400:600; auc24-48=400:600,weight=0.5; tox:trough@24=15";
static const char *const product = "course=0,12,24; dose=250:1500:250; infusion=1; change=0.2; amount=0.05";

static void read_patients(problem *p, const char *table) {
    assert_ok(NULL, ddt_context_create(&p->ctx));
    assert_ok(p->ctx, ddt_model_read(p->ctx, THOMSON, &p->model));
    assert_ok(p->ctx, ddt_events_parse(p->ctx, table, strlen(table), "patients", p->model, &p->events));
}

/* What doses of dose_high do, in units of the targets. */
/* When the limit looks: at a trough, or at the end of the infusion before. */
static double limit_time(const ddt_course_options *o) {
    const ddt_recommend_target *t = &o->targets.items[TERMS - 1];
    return t->kind == DDT_METRIC_PEAK ? 12.0 + o->infusion_h : t->at_h;
}

static void rows_of(size_t s, const ddt_course_options *o, double rows[TERMS][DOSES]) {
    two_compartments m =
        two_compartments_of(2.99 * (1.0 + 0.0154 * (crcl[s] - 66.0)), 0.675 * weight_kg[s], 2.28, 0.732 * weight_kg[s]);
    for (size_t j = 0; j < DOSES; j++) {
        for (size_t k = 0; k < TERMS; k++) {
            const ddt_recommend_target *t = &o->targets.items[k];
            const double from = o->times_h[j];
            const double unit = k == 2 ? t->high : sqrt(t->low * t->high);
            const double value = k == 2 ? level_after_dose(&m, limit_time(o) - from, o->infusion_h)
                                        : area_after_dose(&m, t->to_h - from, o->infusion_h) -
                                              area_after_dose(&m, t->from_h - from, o->infusion_h);
            rows[k][j] = value * o->dose_high / unit;
        }
    }
}

static double cost_of(const ddt_course_options *o, double rows[TERMS][DOSES], const double *x) {
    double cost = 0.0;
    double effect = 0.0;
    for (size_t k = 0; k < TERMS; k++) {
        double value = -1.0;
        double all = 0.0;
        for (size_t j = 0; j < DOSES; j++) {
            value += rows[k][j] * x[j];
            all += rows[k][j];
        }
        cost += o->targets.items[k].weight * (k == 2 ? fmax(value, 0.0) * fmax(value, 0.0) : value * value);
        effect += k == 2 ? 0.0 : o->targets.items[k].weight * all * all;
    }
    for (size_t j = 0; j < DOSES; j++) {
        const double step = j == 0 ? 0.0 : x[j] - x[j - 1];
        cost += effect / DOSES * (o->change_weight * step * step + o->dose_weight * x[j] * x[j]);
    }
    return cost;
}

/* The best doses by ever smaller moves of one dose or two. */
static void search(const ddt_course_options *o, double rows[TERMS][DOSES], double *x) {
    const double low = o->dose_low / o->dose_high;
    for (size_t j = 0; j < DOSES; j++) {
        x[j] = 0.5 * (low + 1.0);
    }
    for (double size = 0.25; size > 1e-7;) {
        double best = cost_of(o, rows, x);
        bool moved = false;
        for (int move = 0; move < 27; move++) {
            const int signs[DOSES] = {move % 3 - 1, move / 3 % 3 - 1, move / 9 - 1};
            double next[DOSES];
            for (size_t j = 0; j < DOSES; j++) {
                next[j] = fmin(fmax(x[j] + signs[j] * size, low), 1.0);
            }
            const double cost = cost_of(o, rows, next);
            if (cost < best) {
                best = cost;
                memcpy(x, next, sizeof next);
                moved = true;
            }
        }
        size = moved ? size : 0.5 * size;
    }
}

static void check_bounds(const char *asked) {
    problem p = {0};
    ddt_recommend_options options = {.point_estimate = true};
    ddt_course_options course;
    read_patients(&p, patients);
    recommend_request(&p, asked, product, &options);
    recommend_solve(&p, &options);
    problem_run(&p, false);
    assert_ok(p.ctx, ddt_course_of(p.ctx, &options, &course));
    assert_int_equal(course.time_count, DOSES);
    bool limit_matters = false;
    for (size_t s = 0; s < 3; s++) {
        double rows[TERMS][DOSES];
        double best[DOSES];
        double found[DOSES];
        rows_of(s, &course, rows);
        search(&course, rows, best);
        limit_matters |= rows[2][0] * best[0] + rows[2][1] * best[1] + rows[2][2] * best[2] > 1.0;
        for (size_t j = 0; j < DOSES; j++) {
            const double dose = p.values[s][j * ddt_solution_output_count(p.solution)];
            found[j] = fmin(fmax(dose, course.dose_low), course.dose_high) / course.dose_high;
            assert_true(fabs(found[j] - best[j]) * course.dose_high < 0.2 * course.dose_step);
            assert_true(ddt_course_round(&course, dose) >= 250.0 && ddt_course_round(&course, dose) <= 1500.0);
        }
        assert_true(cost_of(&course, rows, found) <= 1.005 * cost_of(&course, rows, best) + 1e-4);
    }
    assert_true(limit_matters);
    assert_true(ddt_course_round(&course, 1e6) == 1500.0 && ddt_course_round(&course, -3.0) == 250.0);
    assert_true(ddt_course_round(&course, 620.0) == 500.0 && ddt_course_round(&course, 630.0) == 750.0);
    problem_free(&p);
}

static void test_bounds(void **state) {
    (void)state;
    check_bounds("auc0-24=400:600; auc24-48=400:600,weight=0.5; tox:trough@24=15");
    check_bounds("auc0-24=400:600; auc24-48=400:600,weight=0.5; tox:peak@24=35,weight=0.2");
}

static void refuse_text(const char *asked, const char *part) {
    ddt_context *ctx = NULL;
    ddt_recommend_product found;
    assert_ok(NULL, ddt_context_create(&ctx));
    assert_int_equal(ddt_recommend_parse_product(ctx, asked, &found), DDT_ERR_USAGE);
    assert_non_null(strstr(ddt_error_detail(ctx), part));
    ddt_context_destroy(ctx);
}

static void refuse(const char *asked, const char *given, bool is_released, ddt_status status, const char *part) {
    problem p = {0};
    ddt_recommend_options options = {.point_estimate = true, .metrics_only = is_released};
    read_patients(&p, patients);
    recommend_request(&p, asked, given, &options);
    assert_int_equal(ddt_solve_recommend(p.ctx, p.model, p.events, &options, &p.solution), status);
    assert_null(p.solution);
    assert_non_null(strstr(ddt_error_detail(p.ctx), part));
    problem_free(&p);
}

static void test_refused(void **state) {
    (void)state;
    refuse_text("course=0,12; dose=1000:500:250", "contradictory");
    refuse_text("course=0,12; interval=12; dose=250:500:250", "times of its own");
    refuse_text("course=0,x; dose=250:500:250", "not a list");
    refuse_text("change=1; dose=250:500:250", "are for courses");
    refuse(targets, "course=0,12; dose=500:600:250", false, DDT_ERR_RANGE, "cannot be rounded to steps of 250");
    refuse(targets, "course=0,12; dose=500:500:250", false, DDT_ERR_RANGE, "cannot lie between 500 and 500");
    refuse(targets, "course=12,0; dose=250:500:250", false, DDT_ERR_RANGE, "decrease at 0 h");
    refuse("tox:trough@24=12", "course=0,12; dose=250:500:250", false, DDT_ERR_RANGE, "a target that is no limit");
    refuse("auc24=400:600", "course=0,12; dose=250:500:250", false, DDT_ERR_UNSUPPORTED, "a course wants");
    refuse("auc0-24=400:600", "course=30,42; dose=250:500:250", false, DDT_ERR_RANGE, "out of reach");
    refuse("auc0-24=400:600", "course=0,12; dose=250:500:250", true, DDT_ERR_UNSUPPORTED, "granted");
}

static void test_text(void **state) {
    (void)state;
    ddt_context *ctx = NULL;
    ddt_recommend_product found;
    ddt_recommend_product again;
    char *written = NULL;
    assert_ok(NULL, ddt_context_create(&ctx));
    assert_ok(ctx, ddt_recommend_parse_product(ctx, product, &found));
    assert_ok(ctx, ddt_recommend_product_text(ctx, &found, &written));
    assert_ok(ctx, ddt_recommend_parse_product(ctx, written, &again));
    assert_int_equal(again.course_count, DOSES);
    assert_memory_equal(again.course_h, found.course_h, sizeof found.course_h);
    assert_true(again.change_weight == 0.2 && again.dose_weight == 0.05);
    ddt_free(written);
    ddt_context_destroy(ctx);
}

static ddt_status solve_again(problem *p, const void *options) {
    return ddt_solve_recommend(p->ctx, p->model, p->events, (const ddt_recommend_options *)options, &p->solution);
}

static void test_memory(void **state) {
    (void)state;
    problem p = {0};
    ddt_recommend_options options = {.point_estimate = true, .solve = {.draws = 4}};
    read_patients(&p, "ID,TIME,EVID,WT,CRCL\n1,0,2,80,70\n");
    recommend_request(&p, "auc0-24=400:600", "course=0,12; dose=250:1500:250", &options);
    problem_solve_without_memory(&p, solve_again, &options);
    problem_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
