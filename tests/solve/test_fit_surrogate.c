/*
 * Fits of models that are not linear in their compartments, in the clear: subjects of NONMEM's runs, the plaintext
 * estimate, plan files, refusals.
 *
 * Levels and NONMEM's estimates (FOCEI posthoc etas): subjects 1, 2 and 10 of runs 201 and 208 of the benchmark of MAP
 * estimates by Le Louedec et al. (CPT Pharmacometrics Syst Pharmacol 2021;10:1208).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "file_test.h"

#include "ddt/solve/fit.h"

#define SATURABLE                                                                                                      \
    "vmax <- 10000 * exp(eta1)\nvc <- 70 * exp(eta2)\nka <- exp(eta3)\nkm <- 2500 * exp(eta4)\n"                       \
    "cp <- central / vc\nd/dt(depot) <- -ka * depot\n"

static const char *const run_201 =
    "m <- function() { ini({ eta1 ~ 0.2; eta2 ~ 0.2; eta3 ~ 0.2; eta4 ~ 0.2; b <- 0.223606797749979 "
    "})\nmodel({\n" SATURABLE "d/dt(central) <- ka * depot - vmax * cp / (km + cp)\ncp ~ prop(b) }) }";
static const char *const data_201 = "ID,TIME,EVID,AMT,CMT,DV\n"
                                    "1,0,1,10000,1,.\n1,1.5,0,0,2,89.0049\n1,4.4,0,0,2,101.25\n1,7.1,0,0,2,67.5111\n"
                                    "1,24.6,0,0,2,10.4361\n"
                                    "2,0,1,10000,1,.\n2,25.9,0,0,2,58.9854\n"
                                    "10,0,1,60000,1,.\n10,24.6,0,0,2,677.703\n";
static const double etas_201[] = {0.380210629,  0.0694809291,  -0.0762717541,  -0.367663173, /* */
                                  -0.179461517, -0.0074933430, -0.00739881357, 0.174250097,  /* */
                                  -0.427633747, -0.264166510,  -0.0165044637,  0.349511845};

static const char *const run_208 =
    "m <- function() { ini({ eta1 ~ 0.2; eta2 ~ 0.2; eta3 ~ 0.2; eta4 ~ 0.2; eta5 ~ 0.2; b <- 0.223606797749979 })\n"
    "model({\n" SATURABLE
    "d/dt(central) <- ka * depot - vmax * cp / (km + cp) - 4 * exp(eta5) / vc * central\ncp ~ prop(b) }) }";
static const char *const data_208 = "ID,TIME,EVID,AMT,CMT,RATE,DV\n"
                                    "1,0,1,10000,2,10000,.\n1,1.5,0,0,2,0,103.098\n1,4.4,0,0,2,0,71.5697\n"
                                    "1,7.1,0,0,2,0,37.7641\n1,24.6,0,0,2,0,1.41567\n"
                                    "10,0,1,60000,2,60000,.\n10,24.6,0,0,2,0,132.111\n";
static const double etas_208[] = {0.421033607,  0.0557514336, 0.0, -0.407897514, 0.241685497, /* */
                                  -0.146550637, 0.137469037,  0.0, 0.131358269,  -0.180689266};

/* One level of a drug with saturable elimination, errors of both kinds. */
static const char *const both_errors =
    "m <- function() { ini({ eta.vm ~ 0.09; a <- 0.5; b <- 0.1 })\nmodel({ vm <- 30 * exp(eta.vm)\n"
    "cp <- central / 50\nd/dt(central) <- -vm * cp / (4 + cp)\ncp ~ add(a) + prop(b) }) }";
static const char *const two_levels = "ID,TIME,EVID,AMT,DV\na,0,1,400,.\na,2,0,0,7.1\na,12,0,0,3.4\n"
                                      "b,0,1,300,.\nb,2,0,0,4.4\nb,12,0,0,.\n";

static void fit(problem *p) {
    assert_ok(p->ctx, ddt_solve_fit(p->ctx, p->model, p->events, NULL, &p->solution));
    problem_rows(p);
    problem_run(p, false);
}

/* Both estimates of a subject. */
static void check_subject(problem *p, size_t s, const double *expected, size_t etas) {
    const double bar = 0.01;
    double exact[8];
    assert_ok(p->ctx, ddt_fit_exact(p->ctx, p->model, p->events, s, 0.0, exact, NULL, NULL));
    for (size_t i = 0; i < etas; i++) {
        assert_true(fabs(exact[i] - expected[i]) <= 0.1 * bar);
        assert_true(fabs(p->values[s][i] - expected[i]) <= bar);
    }
}

static void check_run(const char *model, const char *data, const double *expected, size_t etas) {
    problem p;
    problem_parse(&p, model, data);
    fit(&p);
    for (size_t s = 0; s < p.events->subject_count; s++) {
        check_subject(&p, s, expected + s * etas, etas);
    }
    problem_free(&p);
}

static void test_nonmem_201(void **state) {
    (void)state;
    check_run(run_201, data_201, etas_201, 4);
}

static void test_nonmem_208(void **state) {
    (void)state;
    check_run(run_208, data_208, etas_208, 5);
}

static void check_exact(problem *p, size_t s) {
    const double eta_bar = 0.01;
    const double sd_bar = 0.05;
    double exact = 0.0;
    double variance = 0.0;
    assert_ok(p->ctx, ddt_fit_exact(p->ctx, p->model, p->events, s, 0.0, &exact, &variance, NULL));
    assert_true(fabs(p->values[s][0] - exact) <= eta_bar);
    assert_true(fabs(p->values[s][1] - sqrt(variance)) <= sd_bar * sqrt(variance));
}

/* Scores that the custodian sends, and a subject with fewer levels. */
static void test_both_errors(void **state) {
    problem p;
    (void)state;
    problem_parse(&p, both_errors, two_levels);
    fit(&p);
    check_exact(&p, 0);
    check_exact(&p, 1);
    problem_free(&p);
}

/* A linear model whose doses times changes of a covariate are too many for a circuit of its own. */
static void test_many_doses(void **state) {
    enum { TIMES = 40, LEVELS = 2 };
    const char *const model =
        "m <- function() { ini({ eta.cl ~ 0.09; eta.v ~ 0.04; b <- 0.1 })\nmodel({\n"
        "cl <- 4 * WT / 70 * exp(eta.cl)\nv <- 30 * exp(eta.v)\nd/dt(central) <- -cl / v * central\n"
        "cp <- central / v\ncp ~ prop(b) }) }";
    static const char *const levels[LEVELS] = {"10.9", "41.8"};
    static const int level_at[LEVELS] = {1, 36};
    problem p;
    ddt_solve_info info;
    text table = {0};
    (void)state;
    text_add(&table, "ID,TIME,EVID,AMT,ADDL,II,DV,WT\na,0,1,100,99,0.5,.,70\n");
    for (int k = 1; k <= TIMES; k++) {
        const char *level = k == level_at[0] ? levels[0] : k == level_at[1] ? levels[1] : NULL;
        text_add(&table, "a,%g,%d,.,.,.,%s,%d\n", k + 0.25, level != NULL ? 0 : 2, level != NULL ? level : ".",
                 70 + k % 3);
    }
    problem_parse(&p, model, table.data);
    fit(&p);
    ddt_solution_get_info(p.solution, &info);
    assert_string_equal(info.method, "surrogate");
    double exact[2];
    assert_ok(p.ctx, ddt_fit_exact(p.ctx, p.model, p.events, 0, 0.0, exact, NULL, NULL));
    for (int i = 0; i < 2; i++) {
        assert_true(fabs(exact[i]) > 0.02); /* the levels are not the typical patient's */
        assert_true(fabs(p.values[0][i] - exact[i]) <= 0.002);
    }
    text_free(&table);
    problem_free(&p);
}

/* What a custodian reads from a plan file fills the same inputs; damaged files are refused. */
static void test_file(void **state) {
    problem p;
    ddt_plan *plan = NULL;
    ddt_solution *copy = NULL;
    (void)state;
    problem_parse(&p, both_errors, two_levels);
    fit(&p);
    bytes b = write_file(&p, &plan);
    assert_ok(p.ctx, read_file(p.ctx, &b, &copy));
    assert_true(ddt_solution_is_fit(copy));
    const ddt_circuit *circuit = ddt_solution_circuit(p.solution);
    size_t slots = ddt_circuit_lanes(circuit) * ddt_circuit_block(circuit);
    double **again = test_rows(ddt_circuit_input_count(circuit), slots);
    assert_ok(p.ctx, ddt_solution_fill(p.ctx, copy, p.model, p.events, again));
    for (size_t i = 0; i < ddt_circuit_input_count(circuit); i++) {
        assert_memory_equal(again[i], p.inputs[i], slots * sizeof(double));
    }
    ddt_solution_destroy(copy);
    for (size_t at = b.length / 2; at < b.length; at += b.length / 8) {
        check_damaged_at(p.ctx, &b, at);
    }
    test_free_rows(again);
    free(b.data);
    ddt_plan_destroy(plan);
    problem_free(&p);
}

static void expect(problem *p, const char *data, ddt_status status, const char *part) {
    ddt_events *events = NULL;
    assert_ok(p->ctx, ddt_events_parse(p->ctx, data, strlen(data), "data.csv", p->model, &events));
    assert_int_equal(ddt_solution_fill(p->ctx, p->solution, p->model, events, p->inputs), status);
    if (strstr(ddt_error_detail(p->ctx), part) == NULL) {
        fail_msg("'%s' does not tell '%s'", ddt_error_detail(p->ctx), part);
    }
    ddt_context_clear(p->ctx);
    ddt_events_destroy(events);
}

static void test_refusals(void **state) {
    const ddt_fit_options two_steps = {.iterations = 2};
    const char *const relative = "m <- function() { ini({ eta.vm ~ 0.09; b <- 0.1 })\nmodel({ vm <- 30 * exp(eta.vm)\n"
                                 "cp <- central / 50\nd/dt(central) <- -vm * cp / (4 + cp)\ncp ~ prop(b) }) }";
    problem p;
    (void)state;
    problem_parse(&p, both_errors, "ID,TIME,EVID,AMT,DV\na,0,1,400,.\na,2,0,0,7.1\n");
    fit(&p);
    expect(&p, "ID,TIME,EVID,AMT,DV\na,0,1,400,.\na,2,0,0,.\n", DDT_ERR_MISMATCH, "no DV");
    expect(&p, "ID,TIME,EVID,AMT,DV\na,0,1,4000,.\na,2,0,0,7.1\n", DDT_ERR_RANGE, "AMT of the subject a");
    expect(&p, "ID,TIME,EVID,AMT,DV\na,0,1,400,.\na,3,0,0,7.1\n", DDT_ERR_MISMATCH, "TIME");
    expect(&p, "ID,TIME,EVID,AMT,DV\na,0,1,400,.\na,2,0,0,7100\n", DDT_ERR_RANGE, "outside its range");
    problem_free(&p);
    problem_parse(&p, both_errors, two_levels);
    assert_int_equal(ddt_solve_fit(p.ctx, p.model, p.events, &two_steps, &p.solution), DDT_ERR_UNSUPPORTED);
    assert_non_null(strstr(ddt_error_detail(p.ctx), "take one step"));
    problem_free(&p);
    problem_parse(&p, relative, "ID,TIME,EVID,AMT,DV\na,0,0,0,7.1\na,1,1,400,.\na,2,0,0,7.1\n");
    assert_int_equal(ddt_solve_fit(p.ctx, p.model, p.events, NULL, &p.solution), DDT_ERR_UNSUPPORTED);
    assert_non_null(strstr(ddt_error_detail(p.ctx), "predicts 0"));
    assert_null(p.solution);
    problem_free(&p);
}

/* Whichever allocation fails: an error, nothing returned, nothing lost (the sanitizers look). */
static void test_no_memory(void **state) {
    problem p;
    (void)state;
    problem_parse(&p, both_errors, "ID,TIME,EVID,AMT,DV\na,0,1,400,.\na,2,0,0,7.1\n");
    for (uint64_t n = 0; n < 600; n = 2 * n + 1) {
        (void)ddt_alloc_fail_after(n);
        ddt_status status = ddt_solve_fit(p.ctx, p.model, p.events, NULL, &p.solution);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_int_equal(status, DDT_ERR_MEMORY);
        assert_null(p.solution);
        ddt_context_clear(p.ctx);
    }
    problem_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nonmem_201), cmocka_unit_test(test_nonmem_208), cmocka_unit_test(test_both_errors),
        cmocka_unit_test(test_many_doses), cmocka_unit_test(test_file),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
