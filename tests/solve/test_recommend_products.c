/* label: long */
/*
 * The products of the shipped models: regimens are compared, with costs and probabilities that agree with exact ones,
 * or the request is refused in one sentence.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_test.h"

typedef struct product_case {
    const char *model, *events, *target;
    ddt_status status;
    const char *says; /* in the refusal */
} product_case;

static const product_case cases[] = {
    {"vancomycin_thomson2009", "ID,TIME,EVID,WT,CRCL\n1,0,2,70,66\n", "auc24=400:600", DDT_OK, NULL},
    {"vancomycin_goti2018", "ID,TIME,EVID,WT,CRCL,DIAL\n1,0,2,70,66,0\n", "auc24=400:600", DDT_OK, NULL},
    {"tacrolimus_woillard2011", "ID,TIME,EVID,HCT,CYP3A5,FORMULATION\n1,0,2,35,0,1\n2,0,2,40,1,1\n", "trough=5:10",
     DDT_OK, NULL},
    {"busulfan_choe2012", "ID,TIME,EVID,WT,SEXF\n1,0,2,60,1\n2,0,2,80,0\n", "cumauc@96=78:101", DDT_OK, NULL},
    {"theophylline", "ID,TIME,EVID,eta.ka,eta.cl,eta.v\n1,0,2,0.1,0.1,0\n", "average=10:15", DDT_OK, NULL},
    {"theophylline", "ID,TIME,EVID,eta.ka,eta.cl,eta.v\n1,0,2,0.1,0.1,0\n", "peak=10:15", DDT_ERR_UNSUPPORTED,
     "at which time"},
    {"theophylline", "ID,TIME,EVID,eta.ka,eta.cl,eta.v\n1,0,2,0.1,0.1,0\n", "peak@48=10:15", DDT_OK, NULL},
    {"phenobarbital_grasela1985", "ID,TIME,EVID,WT,APGR\n1,0,2,1.2,6\n2,0,2,2,4\n", "trough=15:40", DDT_OK, NULL},
    {"quinidine_fattinger1991", "ID,TIME,EVID,CRCL,SEVERE\n1,0,2,80,0\n2,0,2,40,1\n", "trough=2:5", DDT_OK, NULL},
    {"phenytoin_yukawa1990", "ID,TIME,EVID,WT\n1,0,2,70\n", "average=10:20", DDT_ERR_UNSUPPORTED, "at which time"},
    {"friberg_paclitaxel", "ID,TIME,EVID\n1,0,2\n", "trough=1:2", DDT_ERR_UNSUPPORTED, "at which time"},
};

/* Every candidate has a cost from 0 on and a probability, within their errors. */
static void check_values(problem *p, const ddt_recommend_product *product) {
    const double rounding = 0.02;
    problem_rows(p);
    problem_run(p, false);
    size_t outputs = ddt_solution_output_count(p->solution);
    size_t cost = find_output(p->solution, "cost");
    size_t probability = find_output(p->solution, "p_target");
    for (size_t s = 0; s < ddt_solution_subject_count(p->solution); s++) {
        double best = INFINITY;
        for (size_t c = 0; c < ddt_recommend_candidate_count(product); c++) {
            const double *values = p->values[s] + c * outputs;
            assert_true(values[0] > 0.0 && isfinite(values[0]));
            assert_true(values[probability] > -rounding && values[probability] < 1.0 + rounding);
            assert_true(values[cost] > -rounding);
            best = fmin(best, values[cost]);
        }
        assert_true(best < 0.5);
    }
}

static void check_case(const product_case *c) {
    problem p = {0};
    char path[512];
    ddt_recommend_options options = {0};
    (void)snprintf(path, sizeof path, DDT_SOURCE_DIR "/models/%s.R", c->model);
    assert_ok(NULL, ddt_context_create(&p.ctx));
    assert_ok(p.ctx, ddt_model_read(p.ctx, path, &p.model));
    assert_ok(p.ctx, ddt_events_parse(p.ctx, c->events, strlen(c->events), "table", p.model, &p.events));
    assert_ok(p.ctx, ddt_recommend_parse_targets(p.ctx, c->target, p.model, &options.targets));
    assert_ok(p.ctx, ddt_recommend_product_of(p.ctx, p.model, NULL, &options.product));
    ddt_status status = ddt_solve_recommend(p.ctx, p.model, p.events, &options, &p.solution);
    if (status != c->status || (c->says != NULL && strstr(ddt_error_detail(p.ctx), c->says) == NULL)) {
        fail_msg("%s, %s: %s '%s'", c->model, c->target, ddt_status_name(status), ddt_error_detail(p.ctx));
    }
    if (status == DDT_OK) {
        check_values(&p, &options.product);
    }
    problem_free(&p);
}

static void test_products(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case(&cases[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
