/*
 * Layouts: subjects cut into lanes, shared columns, ranges enforced, data of another structure refused, what cannot be
 * solved refused with its line.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_test.h"

static const char model_text[] = "one <- function() {\n"
                                 "  covariateData <- list(WT = list(range = c(40, 120)))\n"
                                 "  ini({\n    lk <- -1.5\n    lv <- 3\n    eta.k ~ 0.04\n  })\n"
                                 "  model({\n    k <- exp(lk + eta.k)\n    v <- exp(lv) * (WT / 70)\n"
                                 "    d/dt(depot) <- -0.8 * depot\n    d/dt(central) <- 0.8 * depot - k * central\n"
                                 "    cp <- central / v\n    cp ~ add(0.1)\n  })\n}\n";

static const char table_text[] =
    "ID,TIME,AMT,EVID,CMT,WT,eta.k\n"
    "a,0,100,1,1,70,0.1\na,1,.,0,2,70,0.1\na,1,.,2,2,70,0.1\na,2,50,1,1,70,0.1\na,2,.,0,2,70,0.1\na,5,.,0,2,70,0.1\n"
    "b,0,80,1,1,50,-0.2\nb,3,.,0,2,50,-0.2\n";

/* ------------------------------------------------------------------ lanes */

/* The same values however a subject is cut. */
static void test_chunks(void **state) {
    (void)state;
    text table = {0};
    text_add(&table, "ID,TIME,AMT,II,ADDL,EVID,CMT,WT\n1,0,100,6,5,1,1,70\n");
    for (int k = 1; k <= 60; k++) {
        text_add(&table, "1,%d,.,.,.,0,2,70\n", k);
    }
    double whole[60] = {0};
    for (size_t block = 4096; block >= 8; block /= 8) {
        problem p;
        problem_parse(&p, model_text, table.data);
        ddt_solve_options options = {.block_max = block, .draws = 30};
        problem_solve(&p, &options);
        problem_run(&p, false);
        const ddt_circuit *circuit = ddt_solution_circuit(p.solution);
        assert_true(ddt_circuit_block(circuit) <= block);
        for (int k = 0; k < 60; k++) {
            if (block == 4096) {
                whole[k] = p.values[0][k];
            }
            assert_true(fabs(p.values[0][k] - whole[k]) <= 1e-4 * whole[0]);
            assert_true(ddt_solution_observation_time(p.solution, 0, (size_t)k) == k + 1);
        }
        assert_true(problem_error(&p) < 3e-5);
        problem_free(&p);
    }
    text_free(&table);
}

static void test_no_room(void **state) {
    (void)state;
    problem p;
    problem_parse(&p, model_text, "ID,TIME,AMT,II,ADDL,EVID,CMT,WT\n1,0,100,1,9,1,1,70\n1,10,.,.,.,0,2,70\n");
    ddt_solve_options options = {.block_max = 8, .draws = 10};
    assert_int_equal(ddt_solve(p.ctx, p.model, p.events, &options, &p.solution), DDT_ERR_CAPACITY);
    problem_free(&p);
}

static void test_getters(void **state) {
    (void)state;
    problem p;
    problem_parse(&p, model_text, table_text);
    problem_solve(&p, NULL);
    assert_int_equal(ddt_solution_subject_count(p.solution), 2);
    assert_string_equal(ddt_solution_subject_id(p.solution, 1), "b");
    assert_int_equal(ddt_solution_observation_count(p.solution, 0), 4);
    assert_int_equal(ddt_solution_output_count(p.solution), 1);
    assert_string_equal(ddt_solution_output_name(p.solution, 0), "cp");
    problem_run(&p, false);
    assert_true(p.values[0][0] == p.values[0][1]); /* EVID 0 and 2 at one time share a column */
    assert_true(problem_error(&p) < 2e-5);
    bool has_weight = false;
    for (size_t r = 0; r < ddt_solution_range_count(p.solution); r++) {
        ddt_declared_range range = ddt_solution_range(p.solution, r);
        if (strcmp(range.name, "WT") == 0) {
            has_weight = true;
            assert_true(range.low == 40 && range.high == 120);
        }
    }
    assert_true(has_weight);
    problem_free(&p);
}

/* ------------------------------------------------------------------ filling */

static char *replaced(const char *from, const char *what, const char *by) {
    const char *at = strstr(from, what);
    assert_non_null(at);
    char *copy = malloc(strlen(from) + strlen(by) + 1);
    (void)sprintf(copy, "%.*s%s%s", (int)(at - from), from, by, at + strlen(what));
    return copy;
}

static void expect_fill(const char *what, const char *by, ddt_status expected, const char *word) {
    problem p;
    problem_parse(&p, model_text, table_text);
    problem_solve(&p, NULL);
    char *changed = replaced(table_text, what, by);
    ddt_events *events = NULL;
    assert_ok(p.ctx, ddt_events_parse(p.ctx, changed, strlen(changed), "other.csv", p.model, &events));
    ddt_context_clear(p.ctx);
    p.inputs[0][0] = 1.0;
    ddt_status status = ddt_solution_fill(p.ctx, p.solution, p.model, events, p.inputs);
    if (status != expected || strstr(ddt_error_detail(p.ctx), word) == NULL) {
        fail_msg("%s -> %s: %s %s", what, by, ddt_status_name(status), ddt_error_detail(p.ctx));
    }
    assert_true(expected == DDT_OK || p.inputs[0][0] == 0.0);
    ddt_events_destroy(events);
    free(changed);
    problem_free(&p);
}

static void test_fill(void **state) {
    (void)state;
    expect_fill("a,0,100,", "a,0,110,", DDT_OK, ""); /* another amount */
    expect_fill("b,0,80,1,1,50,-0.2\nb,3,.,0,2,50,", "b,0,80,1,1,90,-0.2\nb,3,.,0,2,90,", DDT_OK, "");
    expect_fill("a,5,", "a,6,", DDT_ERR_MISMATCH, "line 7"); /* another time */
    expect_fill("a,1,.,0", "a,1,.,2", DDT_ERR_MISMATCH, "line 3");
    expect_fill("b,3,.,0,2,50,-0.2\n", "", DDT_ERR_MISMATCH, "records");
    expect_fill("a,0,100,", "a,0,1000,", DDT_ERR_RANGE, "1000");
    expect_fill("b,0,80,1,1,50,-0.2\nb,3,.,0,2,50,", "b,0,80,1,1,30,-0.2\nb,3,.,0,2,30,", DDT_ERR_RANGE, "WT");
    expect_fill("b,0,80,1,1,50,-0.2\nb,3,.,0,2,50,-0.2", "b,0,80,1,1,50,-2\nb,3,.,0,2,50,-2", DDT_ERR_RANGE, "eta.k");
    expect_fill("b,3,.,0,2,50,", "b,3,.,0,2,60,", DDT_ERR_UNSUPPORTED, "line 9");
}

/* ------------------------------------------------------------------ refusals */

static void expect_refusal(const char *body, const char *table, ddt_status expected, const char *word) {
    text model = {0};
    text_add(
        &model,
        "m <- function() {\n  ini({\n    k <- 0.2\n    eta.k ~ 0.04\n    eta.l ~ 0.04\n  })\n  model({\n%s  })\n}\n",
        body);
    problem p;
    problem_parse(&p, model.data, table);
    ddt_solve_options options = {.draws = 20};
    ddt_context_clear(p.ctx);
    ddt_status status = ddt_solve(p.ctx, p.model, p.events, &options, &p.solution);
    if (status != expected || strstr(ddt_error_detail(p.ctx), word) == NULL) {
        fail_msg("%s: %s %s", body, ddt_status_name(status), ddt_error_detail(p.ctx));
    }
    problem_free(&p);
    text_free(&model);
}

static void test_refusals(void **state) {
    (void)state;
    static const char plain[] = "ID,TIME,AMT,EVID\n1,0,10,1\n1,1,.,0\n";
    expect_refusal("    d/dt(x) <- -k * x\n    alag(x) <- eta.l\n    x ~ add(1)\n", plain, DDT_ERR_UNSUPPORTED,
                   "a lag that is negative");
    expect_refusal("    d/dt(x) <- -k * x / (10 + x)\n    alag(x) <- exp(eta.l)\n    x ~ add(1)\n", plain,
                   DDT_ERR_UNSUPPORTED, "depends on encrypted values");
    expect_refusal("    d/dt(x) <- -k * x\n    alag(x) <- t\n    x ~ add(1)\n", plain, DDT_ERR_UNSUPPORTED, "alag(x)");
    expect_refusal("    d/dt(x) <- -k * exp(eta.k) * x\n    dur(x) <- 1 + eta.l * 10\n    x ~ add(1)\n",
                   "ID,TIME,AMT,RATE,EVID\n1,0,10,-2,1\n1,1,.,.,0\n", DDT_ERR_UNSUPPORTED, "line 2");
    expect_refusal("    d/dt(x) <- -k * exp(eta.k) * x\n    alag(x) <- 8 + eta.l\n    x ~ add(1)\n",
                   "ID,TIME,AMT,EVID,SS,II\n1,0,10,1,1,6\n1,1,.,0,.,.\n", DDT_ERR_UNSUPPORTED,
                   "longer than its interval");
    expect_refusal("    d/dt(x) <- -k * exp(eta.k) * x\n    x ~ add(1)\n", "ID,TIME,AMT,EVID\n1,0,10,1\n", DDT_ERR_DATA,
                   "no observation");
    expect_refusal("    d/dt(x) <- -k * exp(eta.k) * ifelse(eta.l > 0, 1, 2) * x\n    x ~ add(1)\n", plain,
                   DDT_ERR_UNSUPPORTED, "");
    static const char changing[] = "ID,TIME,AMT,EVID,eta.k,CR\n1,0,10,1,0,90\n1,1,.,0,0,50.5\n1,2,.,0,0,70\n";
    expect_refusal("    d/dt(x) <- -k * exp(eta.k) * ifelse(CR < 60, 1, 2) * x / (10 + x)\n    x ~ add(1)\n", changing,
                   DDT_ERR_UNSUPPORTED, "line 3: CR of the subject 1 changes");
    expect_refusal("    linear(CR)\n    d/dt(x) <- -k * exp(eta.k) * CR * x\n    x ~ add(1)\n", changing,
                   DDT_ERR_UNSUPPORTED, "wants values between its records (linear(CR))");
    expect_refusal("    locf(CR)\n    d/dt(x) <- -k * exp(eta.k) * CR * x\n    x ~ add(1)\n", changing,
                   DDT_ERR_UNSUPPORTED, "--covariates locf");
    expect_refusal("    d/dt(x) <- -k * exp(eta.k) * max(x - 1, 0)\n    x ~ add(1)\n", plain, DDT_ERR_UNSUPPORTED,
                   "d/dt(x) decides on a compartment");
    expect_refusal("    d/dt(x) <- -k * exp(eta.k) * x\n    y <- max(x - 1, 0)\n    y ~ add(1)\n", plain,
                   DDT_ERR_UNSUPPORTED, "the output y decides on a compartment");
    expect_refusal("    d/dt(x) <- -k * exp(eta.k) * x\n    y <- log(x)\n    y ~ add(1)\n", plain, DDT_ERR_UNSUPPORTED,
                   "is not finite where its compartments are 0");
    expect_refusal("    d/dt(x) <- -k * exp(eta.k) * CR * x / (10 + x)\n    x ~ add(1)\n", changing,
                   DDT_ERR_UNSUPPORTED, "line 3: CR of the subject 1 changes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks), cmocka_unit_test(test_no_room),  cmocka_unit_test(test_getters),
        cmocka_unit_test(test_fill),   cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
