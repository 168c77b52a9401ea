/* label: long */
/*
 * Recommendations for shipped models that are not linear, in the clear and under encryption: chemotherapy cycles
 * limited by a nadir, saturable elimination, an indirect response. Metrics are those of CVODE, the regimen is that of
 * CVODE.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_encrypted_test.h"

typedef struct effect_case {
    const char *name, *model, *events, *targets, *product;
    double tolerance; /* of metrics, of each one's largest value; of costs and probabilities, of 1 */
} effect_case;

static const effect_case cases[] = {
    {"paclitaxel", "friberg_paclitaxel", "ID,TIME,EVID\n1,0,2\n",
     "nadir(wbc)=1.5:3; cumauc(Cc)@1008=1:", "dose=200:400:100; interval=504; infusion=3; cycles=2", 0.01},
    {"paclitaxel, an estimate and an earlier cycle", "friberg_paclitaxel",
     "ID,TIME,EVID,AMT,RATE,DV,CMT,eta.circ0,eta.mtt,eta.slope\n1,0,1,350,116.6666667,.,1,0.1,0.1,-0.2\n"
     "1,240,0,.,.,3,3,0.1,0.1,-0.2\n1,504,2,.,.,.,1,0.1,0.1,-0.2\n",
     "nadir(wbc)@504=1.5:3", "dose=250:350:50; interval=504; infusion=3; cycles=1", 0.01},
    {"phenytoin", "phenytoin_yukawa1990", "ID,TIME,EVID,WT,eta.vmax,eta.km\n1,0,2,62,0.1,-0.2\n", "average@7=10:20",
     "dose=100:200:50; interval=0.5", 0.01},
    {"warfarin", "warfarin",
     "ID,TIME,EVID,eta.ktr,eta.ka,eta.cl,eta.v,eta.emax,eta.ec50,eta.kout,eta.e0\n"
     "1,0,2,0,0,0.1,0,0,0.1,0,0\n",
     "nadir(pca)@144=20:35", "dose=5:15:5; interval=24; cycles=6", 0.01},
};

static void check_column(const problem *p, double *const *reference, size_t o, double tolerance) {
    const char *name = ddt_solution_output_name(p->solution, o);
    const size_t outputs = ddt_solution_output_count(p->solution);
    double largest = strncmp(name, "cost", 4) == 0 || strcmp(name, "p_target") == 0 ? 1.0 : 0.0;
    double error = 0.0;
    for (size_t c = 0; c < ddt_solution_observation_count(p->solution, 0); c++) {
        double difference = fabs(p->values[0][c * outputs + o] - reference[0][c * outputs + o]);
        error = difference <= error ? error : difference;
        largest = fmax(largest, fabs(reference[0][c * outputs + o]));
    }
    print_message("  %-24s error %.1e of %.4g\n", name, error / largest, largest);
    assert_true(error <= tolerance * largest);
}

/* The same regimen as by CVODE, or one that costs as much. */
static void check_rank(problem *p, double *const *reference, const ddt_recommend_product *product) {
    size_t order[32];
    size_t right[32];
    const size_t outputs = ddt_solution_output_count(p->solution);
    const size_t cost = find_output(p->solution, "cost");
    assert_ok(p->ctx, ddt_recommend_rank(p->ctx, p->solution, 0, p->values[0], product, 0.0, order));
    assert_ok(p->ctx, ddt_recommend_rank(p->ctx, p->solution, 0, reference[0], product, 0.0, right));
    assert_true(reference[0][order[0] * outputs + cost] <= reference[0][right[0] * outputs + cost] + 5e-3);
}

static void check_values(problem *p, const ddt_recommend_product *product, double tolerance) {
    const size_t candidates = ddt_solution_observation_count(p->solution, 0);
    double **reference = test_rows(1, candidates * ddt_solution_output_count(p->solution));
    assert_ok(p->ctx, ddt_recommend_reference(p->ctx, p->solution, p->model, p->events, reference));
    for (size_t o = 0; o < ddt_solution_output_count(p->solution); o++) {
        check_column(p, reference, o, tolerance);
    }
    check_rank(p, reference, product);
    test_free_rows(reference);
}

static void check_case(const effect_case *c, bool is_encrypted) {
    char path[512];
    problem p = {0};
    ddt_recommend_options options = {0};
    (void)snprintf(path, sizeof path, DDT_SOURCE_DIR "/models/%s.R", c->model);
    print_message("%s\n", c->name);
    assert_ok(NULL, ddt_context_create(&p.ctx));
    assert_ok(p.ctx, ddt_model_read(p.ctx, path, &p.model));
    assert_ok(p.ctx, ddt_events_parse(p.ctx, c->events, strlen(c->events), "table", p.model, &p.events));
    recommend_request(&p, c->targets, c->product, &options);
    options.product.day = ddt_recommend_day(p.model);
    recommend_solve(&p, &options);
    problem_run(&p, false);
    check_values(&p, &options.product, c->tolerance);
    if (is_encrypted) {
        recommend_run_encrypted(&p, (uint64_t)1 << 30);
        check_values(&p, &options.product, c->tolerance);
    }
    problem_free(&p);
}

static void test_paclitaxel(void **state) {
    (void)state;
    check_case(&cases[0], true);
}
static void test_paclitaxel_estimate(void **state) {
    (void)state;
    check_case(&cases[1], false);
}
static void test_phenytoin(void **state) {
    (void)state;
    check_case(&cases[2], true);
}
static void test_warfarin(void **state) {
    (void)state;
    check_case(&cases[3], false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paclitaxel), cmocka_unit_test(test_paclitaxel_estimate),
                                       cmocka_unit_test(test_phenytoin), cmocka_unit_test(test_warfarin)};
    cmocka_set_test_filter(getenv("DDT_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
