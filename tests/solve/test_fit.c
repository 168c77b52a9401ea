/*
 * Encrypted fits in the clear: the plaintext estimate against NONMEM's, the circuit against both; no levels, flattened
 * priors, plan files, refusals.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_test.h"

#include <unistd.h>

static const char *const one_eta =
    "m <- function() { ini({ tcl <- 1.4; eta.cl ~ 0.09; add.sd <- 0.5; prop.sd <- 0.1 })\n"
    "model({ cl <- exp(tcl + eta.cl)\nd/dt(central) <- -cl / 30 * central\ncp <- central / 30\n"
    "cp ~ add(add.sd) + prop(prop.sd) }) }";

static const char *const two_etas =
    "m <- function() { ini({ tcl <- 1.4; tv <- 3.4; eta.cl ~ 0.09; eta.v ~ 0.04; add.sd <- 0.5; prop.sd <- 0.1 })\n"
    "model({ cl <- exp(tcl + eta.cl)\nv <- exp(tv + eta.v)\nd/dt(central) <- -cl / v * central\ncp <- central / v\n"
    "cp ~ add(add.sd) + prop(prop.sd) }) }";

static const char *const two_levels = "ID,TIME,EVID,AMT,DV\n"
                                      "a,0,1,500,.\na,2,0,0,12.5\na,10,0,0,6.1\n"
                                      "b,0,1,400,.\nb,2,0,0,11.0\nb,10,0,0,2.2\n";

static void fit(problem *p, const ddt_fit_options *options) {
    assert_ok(p->ctx, ddt_solve_fit(p->ctx, p->model, p->events, options, &p->solution));
    problem_rows(p);
}

static void exact_row(problem *p, size_t s, double weight, size_t n, double *row) {
    double covariance[64];
    assert_ok(p->ctx, ddt_fit_exact(p->ctx, p->model, p->events, s, weight, row, covariance, NULL));
    for (size_t i = 0; i < n; i++) {
        row[n + i] = sqrt(covariance[i * n + i]);
    }
}

/* Estimates within `eta_bar`, standard deviations within 5 % of the exact ones. */
static void compare_exact(problem *p, double weight, double eta_bar) {
    double exact[2 * FIT_TEST_ETAS];
    size_t n = ddt_solution_output_count(p->solution) / 2;
    for (size_t s = 0; s < p->events->subject_count; s++) {
        exact_row(p, s, weight, n, exact);
        for (size_t i = 0; i < n; i++) {
            assert_true(fabs(p->values[s][i] - exact[i]) <= eta_bar);
            assert_true(fabs(p->values[s][n + i] / exact[n + i] - 1.0) <= 0.05);
        }
    }
}

/* ------------------------------------------------------------------ the plaintext estimate */

static void check_exact(const nonmem_run *run, size_t subjects) {
    problem p;
    run_read(&p, run, subjects);
    double **rows = test_rows(subjects, FIT_TEST_ETAS);
    for (size_t s = 0; s < subjects; s++) {
        assert_ok(p.ctx, ddt_fit_exact(p.ctx, p.model, p.events, s, 0.0, rows[s], NULL, NULL));
    }
    agreement a = run_compare(run, rows, subjects);
    assert_true(a.worst <= 1e-3);
    test_free_rows(rows);
    problem_free(&p);
}

/* Two subjects of each run: an estimate by CVODE takes half a second, in every build that runs the quick tests. */
static void test_exact_is_nonmem(void **state) {
    const size_t subjects = 2;
    (void)state;
    check_exact(&nonmem_001, subjects);
    check_exact(&nonmem_003, subjects);
    check_exact(&nonmem_301, subjects);
    check_exact(&nonmem_401, subjects);
}

/* ------------------------------------------------------------------ the circuit */

static void test_nonmem_subjects(void **state) {
    const size_t subjects = 4;
    problem p;
    (void)state;
    run_read(&p, &nonmem_001, subjects);
    fit(&p, NULL);
    assert_true(ddt_solution_is_fit(p.solution));
    assert_int_equal(ddt_solution_output_count(p.solution), 6);
    assert_string_equal(ddt_solution_output_name(p.solution, 0), "eta1");
    assert_string_equal(ddt_solution_output_name(p.solution, 3), "sd.eta1");
    assert_int_equal(ddt_solution_observation_count(p.solution, 0), 1);
    problem_run(&p, false);
    agreement a = run_compare(&nonmem_001, p.values, subjects);
    assert_int_equal(a.close, subjects);
    compare_exact(&p, 0.0, 0.01);
    problem_free(&p);
}

/* A lag of exp(eta). */
static void test_lagged_subjects(void **state) {
    const size_t subjects = 4;
    problem p;
    (void)state;
    run_read(&p, &nonmem_003, subjects);
    fit(&p, NULL);
    problem_run(&p, false);
    agreement a = run_compare(&nonmem_003, p.values, subjects);
    assert_int_equal(a.close, subjects);
    problem_free(&p);
}

/* Weight and sex that change at every record. */
static void test_changing_covariates(void **state) {
    const size_t subjects = 2;
    problem p;
    (void)state;
    run_read(&p, &nonmem_301, subjects);
    fit(&p, NULL);
    problem_run(&p, false);
    agreement a = run_compare(&nonmem_301, p.values, subjects);
    assert_int_equal(a.close, subjects);
    problem_free(&p);
}

/* The estimate with levels below 8 told as such: NONMEM's M3. */
static void test_censored_levels(void **state) {
    const char *const censored = "ID,TIME,EVID,AMT,DV,CENS\n"
                                 "a,0,1,500,.,0\na,2,0,0,12.5,0\na,10,0,0,8,1\n"
                                 "b,0,1,400,.,0\nb,2,0,0,11.0,0\nb,10,0,0,8,1\n";
    const char *const measured = "ID,TIME,EVID,AMT,DV\na,0,1,500,.\na,2,0,0,12.5\na,10,0,0,8\n";
    problem p;
    problem other;
    double as_censored = 0.0;
    double as_measured = 0.0;
    (void)state;
    problem_parse(&p, one_eta, censored);
    fit(&p, NULL);
    problem_run(&p, false);
    compare_exact(&p, 0.0, 0.01);
    assert_ok(p.ctx, ddt_fit_exact(p.ctx, p.model, p.events, 0, 0.0, &as_censored, NULL, NULL));
    problem_parse(&other, one_eta, measured);
    assert_ok(other.ctx, ddt_fit_exact(other.ctx, other.model, other.events, 0, 0.0, &as_measured, NULL, NULL));
    assert_true(as_censored > as_measured + 0.05); /* less is left, more is cleared */
    problem_free(&other);
    problem_free(&p);
}

/* M3's objective of one censored level, by the error function. */
static void test_censored_objective(void **state) {
    const char *const data = "ID,TIME,EVID,AMT,DV,CENS\na,0,1,500,.,0\na,10,0,0,8,1\n";
    problem p;
    double eta = 0.0;
    double objective = 0.0;
    double least = INFINITY;
    (void)state;
    problem_parse(&p, one_eta, data);
    assert_ok(p.ctx, ddt_fit_exact(p.ctx, p.model, p.events, 0, 0.0, &eta, NULL, &objective));
    for (int i = -1000; i <= 1000; i++) {
        double at = 1e-3 * i;
        double f = 500.0 / 30.0 * exp(-exp(1.4 + at) / 30.0 * 10.0);
        double u = (8.0 - f) / sqrt(0.25 + 0.01 * f * f);
        least = fmin(least, at * at / 0.09 - 2.0 * log(0.5 * erfc(-u / sqrt(2.0))));
    }
    assert_true(fabs(objective - least) <= 1e-4);
    problem_free(&p);
}

/* The objective of test_level_from_nowhere in closed form. */
static double far_objective(int hours, double cl, double v) {
    double sum = (cl * cl + v * v) / 0.25;
    for (int k = 1; k <= 2; k++) {
        double f = 1e5 * exp(-v) * exp(-0.25 * exp(cl - v) * hours * k);
        double variance = 225.0 + 0.16 * f * f;
        double d = (k == 1 ? 17300.0 : 5970.0) - f;
        sum += d * d / variance + log(variance);
    }
    return sum;
}

/* The typical patient has nothing left where this one has a thousand standard deviations: Newton's first step must not
 * leave the earth, and small damped steps must not end the search. */
static void test_level_from_nowhere(void **state) {
    const char *const model =
        "m <- function() { ini({ eta.cl ~ 0.25; eta.v ~ 0.25; prop.sd <- 0.4; add.sd <- 15 })\n"
        "model({ cl <- 5 * exp(eta.cl)\nv <- 20 * exp(eta.v)\nd/dt(central) <- -cl / v * central\n"
        "cp <- central / v\ncp ~ prop(prop.sd) + add(add.sd) }) }";
    const double step = 0.02;
    (void)state;
    for (int hours = 24; hours <= 60; hours += 3) {
        char data[256];
        problem p;
        double etas[2] = {0.0};
        double objective = 0.0;
        double least = INFINITY;
        (void)snprintf(data, sizeof data, "ID,TIME,EVID,AMT,DV\na,0,1,2000000,.\na,%d,0,0,17300\na,%d,0,0,5970\n",
                       hours, 2 * hours);
        problem_parse(&p, model, data);
        assert_ok(p.ctx, ddt_fit_exact(p.ctx, p.model, p.events, 0, 0.0, etas, NULL, &objective));
        for (int row = -200; row <= 200; row++) {
            for (int column = -200; column <= 200; column++) {
                least = fmin(least, far_objective(hours, step * row, step * column));
            }
        }
        assert_true(fabs(objective - least) <= 0.03); /* the grid's distance from the minimum */
        problem_free(&p);
    }
}

/* Two levels of one time, relative errors and both. */
static void test_repeated_levels(void **state) {
    const char *const data = "ID,TIME,EVID,AMT,DV\na,0,1,500,.\na,2,0,0,12.5\na,2,0,0,10.8\na,10,0,0,6.1\n"
                             "b,0,1,400,.\nb,2,0,0,11.0\nb,2,0,0,13.0\nb,10,0,0,2.2\n";
    const char *const relative =
        "m <- function() { ini({ tcl <- 1.4; eta.cl ~ 0.09; prop.sd <- 0.2 })\n"
        "model({ cl <- exp(tcl + eta.cl)\nd/dt(central) <- -cl / 30 * central\ncp <- central / 30\n"
        "cp ~ prop(prop.sd) }) }";
    const char *const models[] = {one_eta, relative};
    (void)state;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        problem p;
        problem_parse(&p, models[m], data);
        fit(&p, NULL);
        problem_run(&p, false);
        compare_exact(&p, 0.0, 0.01);
        problem_free(&p);
    }
}

static void test_combined_error(void **state) {
    problem p;
    (void)state;
    problem_parse(&p, one_eta, two_levels);
    fit(&p, NULL);
    problem_run(&p, false);
    compare_exact(&p, 0.0, 0.01);
    problem_free(&p);
}

static void test_flattened_prior(void **state) {
    const ddt_fit_options options = {.prior_weight = 0.25};
    problem p;
    (void)state;
    problem_parse(&p, one_eta, two_levels);
    fit(&p, &options);
    problem_run(&p, false);
    compare_exact(&p, 0.25, 0.01);
    problem_free(&p);
}

/* Without a prior that counts no guess is close enough. The sentence names it. */
static void test_vanishing_prior(void **state) {
    const ddt_fit_options options = {.prior_weight = 1e-9};
    problem p;
    (void)state;
    run_read(&p, &nonmem_001, 1);
    assert_int_equal(ddt_solve_fit(p.ctx, p.model, p.events, &options, &p.solution), DDT_ERR_UNSUPPORTED);
    assert_non_null(strstr(ddt_error_detail(p.ctx), "prior weight above 1e-09"));
    problem_free(&p);
}

static void test_no_levels(void **state) {
    problem p;
    (void)state;
    problem_parse(&p, one_eta, "ID,TIME,EVID,AMT,DV\na,0,1,500,.\na,2,0,0,.\nb,0,1,400,.\nb,2,0,0,11.0\n");
    fit(&p, NULL);
    problem_run(&p, false);
    assert_true(fabs(p.values[0][0]) <= 1e-3);
    assert_true(fabs(p.values[0][1] - 0.3) <= 1e-3);
    compare_exact(&p, 0.0, 0.01);
    problem_free(&p);
    /* and nothing is looked at of infusions */
    problem_parse(&p, one_eta, "ID,TIME,EVID,AMT,RATE,II,ADDL,DV\na,0,1,500,500,12,3,.\na,2,0,0,.,.,.,.\n");
    fit(&p, NULL);
    problem_run(&p, false);
    assert_true(fabs(p.values[0][0]) <= 1e-3);
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
    problem p;
    (void)state;
    problem_parse(&p, one_eta, "ID,TIME,EVID,AMT,DV\na,0,1,500,.\na,2,0,0,12.5\na,10,0,0,6.1\n");
    fit(&p, NULL);
    expect(&p, "ID,TIME,EVID,AMT,DV\na,0,1,500,.\na,2,0,0,.\na,10,0,0,6.1\n", DDT_ERR_MISMATCH, "no DV");
    expect(&p, "ID,TIME,EVID,AMT,DV\na,0,1,500,.\na,2,0,0,12.5\na,10,0,0,6100\n", DDT_ERR_RANGE, "outside its range");
    expect(&p, "ID,TIME,EVID,AMT,DV,CENS\na,0,1,500,.,0\na,2,0,0,12.5,0\na,10,0,0,6.1,1\n", DDT_ERR_MISMATCH,
           "template has no such level");
    expect(&p, "ID,TIME,EVID,AMT,DV,CENS\na,0,1,500,.,0\na,2,0,0,12.5,0\na,10,0,0,6.1,-1\n", DDT_ERR_UNSUPPORTED,
           "none above");
    problem_free(&p);
}

/* ------------------------------------------------------------------ who is left out */

static const char three_patients[] = "ID,TIME,EVID,AMT,DV\na,0,1,500,.\na,2,0,0,12.5\na,10,0,0,6.1\n"
                                     "b,0,1,400,.\nb,3,0,0,11.0\nc,0,1,450,.\nc,2,0,0,10.1\nc,9,0,0,6.9\n";
/* b's level is out of reach. */
static const char impossible_b[] = "ID,TIME,EVID,AMT,DV\na,0,1,500,.\na,2,0,0,12.5\na,10,0,0,6.1\n"
                                   "b,0,1,400,.\nb,3,0,0,11000\nc,0,1,450,.\nc,2,0,0,10.1\nc,9,0,0,6.9\n";

static ddt_status fill_served(problem *p, const char *data, ddt_left_out *left_out) {
    ddt_events *events = NULL;
    assert_ok(p->ctx, ddt_events_parse(p->ctx, data, strlen(data), "data.csv", p->model, &events));
    ddt_status status = ddt_solution_fill_served(p->ctx, p->solution, p->model, events, p->inputs, left_out);
    ddt_events_destroy(events);
    return status;
}

/* The slots that hold something else than 0 in any input. */
static size_t lane_values(const problem *p, size_t lane) {
    const ddt_circuit *circuit = ddt_solution_circuit(p->solution);
    const size_t block = ddt_circuit_block(circuit);
    size_t count = 0;
    for (size_t i = 0; i < ddt_circuit_input_count(circuit); i++) {
        for (size_t s = 0; s < block; s++) {
            count += p->inputs[i][lane * block + s] != 0.0;
        }
    }
    return count;
}

/* The others' estimates are what they are without him, bit for bit; nothing of his is in the slots. */
static void test_left_out(void **state) {
    problem p;
    double etas[3];
    ddt_left_out left_out;
    (void)state;
    problem_parse(&p, two_etas, three_patients);
    fit(&p, NULL);
    problem_run(&p, false);
    for (size_t s = 0; s < 3; s++) {
        etas[s] = p.values[s][0];
        assert_true(lane_values(&p, s) > 0);
    }
    assert_ok(p.ctx, fill_served(&p, impossible_b, &left_out));
    assert_int_equal(left_out.count, 1);
    assert_string_equal(left_out.subjects[0].id, "b");
    assert_null(ddt_left_out_reason(&left_out, 0));
    assert_non_null(strstr(ddt_left_out_reason(&left_out, 1), "'data.csv', line 6: DV of the subject b is 11000"));
    assert_string_equal(ddt_error_detail(p.ctx), "");
    ddt_left_out_destroy(&left_out);
    assert_true(lane_values(&p, 0) > 0);
    assert_int_equal(lane_values(&p, 1), 0);
    assert_ok(p.ctx, ddt_circuit_run_clear(p.ctx, ddt_solution_circuit(p.solution), (const double *const *)p.inputs,
                                           false, p.outputs));
    ddt_solution_collect(p.solution, (const double *const *)p.outputs, p.values);
    assert_true(p.values[0][0] == etas[0]);
    assert_true(fabs(p.values[1][0]) <= 1e-9); /* harmless: the typical patient */
    assert_true(p.values[2][0] == etas[2]);
    problem_free(&p);
}

/* A table that serves nobody, and one that is malformed, is refused whole. */
static void test_nobody_served(void **state) {
    problem p;
    ddt_left_out left_out;
    (void)state;
    problem_parse(&p, one_eta, three_patients);
    fit(&p, NULL);
    assert_int_equal(fill_served(&p,
                                 "ID,TIME,EVID,AMT,DV\na,0,1,500,.\na,2,0,0,1250\na,10,0,0,6.1\n"
                                 "b,0,1,4000,.\nb,3,0,0,11\nc,0,1,450,.\nc,2,0,0,10.1\nc,9,0,0,690\n",
                                 &left_out),
                     DDT_ERR_RANGE);
    assert_non_null(strstr(ddt_error_detail(p.ctx), "none of the 3 subjects"));
    assert_non_null(strstr(ddt_error_detail(p.ctx), "DV of the subject a"));
    assert_int_equal(left_out.count, 0);
    ddt_context_clear(p.ctx);
    assert_int_equal(fill_served(&p,
                                 "ID,TIME,EVID,AMT,DV\na,0,1,500,.\na,2,0,0,1250\na,10,0,0,6.1\n"
                                 "b,0,1,400,.\nb,3,0,0,.\nc,0,1,450,.\nc,2,0,0,10.1\nc,9,0,0,6.9\n",
                                 &left_out),
                     DDT_ERR_MISMATCH);
    assert_int_equal(left_out.count, 0);
    ddt_context_clear(p.ctx);
    problem_free(&p);
}

/* Whichever allocation fails: an error, or who is left out by name. */
static void test_left_out_memory(void **state) {
    problem p;
    ddt_left_out left_out;
    ddt_events *events = NULL;
    bool is_done = false;
    (void)state;
    problem_parse(&p, one_eta, three_patients);
    fit(&p, NULL);
    assert_ok(p.ctx, ddt_events_parse(p.ctx, impossible_b, strlen(impossible_b), "data.csv", p.model, &events));
    for (uint64_t n = 0; !is_done; n += n < 100 ? 1 : n / 8) {
        (void)ddt_alloc_fail_after(n);
        ddt_status status = ddt_solution_fill_served(p.ctx, p.solution, p.model, events, p.inputs, &left_out);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        is_done = status == DDT_OK;
        assert_true(is_done ? left_out.count == 1 : left_out.count == 0);
        ddt_left_out_destroy(&left_out);
        ddt_context_clear(p.ctx);
    }
    ddt_events_destroy(events);
    problem_free(&p);
}

/* What a custodian reads from a plan file fills the same inputs; cut and changed files are refused. */
static void test_file(void **state) {
    char path[] = "/tmp/ddt_fit_file_XXXXXX";
    problem p;
    ddt_plan *plan = NULL;
    ddt_plan *plan_copy = NULL;
    ddt_solution *copy = NULL;
    ddt_writer *writer = NULL;
    ddt_reader *reader = NULL;
    (void)state;
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    (void)close(descriptor);
    problem_parse(&p, two_etas, two_levels); /* copies along pairs, too */
    fit(&p, NULL);
    problem_run(&p, false);
    const ddt_plan_request request = {.insecure_for_testing = true, .target_error = DDT_FIT_TARGET_ERROR};
    assert_ok(p.ctx, ddt_plan_create(p.ctx, ddt_solution_circuit(p.solution), &request, &plan));
    assert_ok(p.ctx, ddt_writer_open(p.ctx, path, DDT_WIRE_PLAN, false, &writer));
    assert_ok(p.ctx, ddt_plan_write(writer, plan));
    assert_ok(p.ctx, ddt_solution_write(writer, p.solution));
    assert_ok(p.ctx, ddt_writer_commit(writer, NULL));
    assert_ok(p.ctx, ddt_reader_open(p.ctx, path, DDT_WIRE_PLAN, &reader));
    assert_ok(p.ctx, ddt_plan_read(p.ctx, reader, &plan_copy));
    assert_ok(p.ctx, ddt_solution_read(p.ctx, reader, plan_copy, &copy));
    assert_ok(p.ctx, ddt_reader_finish(reader));
    ddt_reader_close(reader);
    (void)unlink(path);
    assert_true(ddt_solution_is_fit(copy));
    const ddt_circuit *circuit = ddt_solution_circuit(p.solution);
    size_t slots = ddt_circuit_lanes(circuit) * ddt_circuit_block(circuit);
    double **again = test_rows(ddt_circuit_input_count(circuit), slots);
    assert_ok(p.ctx, ddt_solution_fill(p.ctx, copy, p.model, p.events, again));
    for (size_t i = 0; i < ddt_circuit_input_count(circuit); i++) {
        assert_memory_equal(again[i], p.inputs[i], slots * sizeof(double));
    }
    double first = p.values[1][0];
    ddt_solution_collect(copy, (const double *const *)p.outputs, p.values);
    assert_true(p.values[1][0] == first);
    test_free_rows(again);
    ddt_solution_destroy(copy);
    ddt_plan_destroy(plan_copy);
    ddt_plan_destroy(plan);
    problem_free(&p);
}

/* Whichever allocation fails: an error, nothing returned, nothing lost (the sanitizers look). */
static void test_no_memory(void **state) {
    problem p;
    (void)state;
    problem_parse(&p, one_eta, "ID,TIME,EVID,AMT,DV\na,0,1,500,.\na,2,0,0,12.5\n");
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

static void test_unsupported(void **state) {
    const char *const no_error = "m <- function() { ini({ eta.cl ~ 0.09 })\nmodel({ cl <- exp(eta.cl)\n"
                                 "d/dt(central) <- -cl / 30 * central\n }) }";
    problem p;
    (void)state;
    problem_parse(&p, no_error, "ID,TIME,EVID,AMT,DV\na,0,1,500,.\na,2,0,0,12.5\n");
    assert_int_equal(ddt_solve_fit(p.ctx, p.model, p.events, NULL, &p.solution), DDT_ERR_UNSUPPORTED);
    assert_null(p.solution);
    problem_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_is_nonmem),
        cmocka_unit_test(test_nonmem_subjects),
        cmocka_unit_test(test_lagged_subjects),
        cmocka_unit_test(test_combined_error),
        cmocka_unit_test(test_changing_covariates),
        cmocka_unit_test(test_censored_levels),
        cmocka_unit_test(test_censored_objective),
        cmocka_unit_test(test_level_from_nowhere),
        cmocka_unit_test(test_repeated_levels),
        cmocka_unit_test(test_flattened_prior),
        cmocka_unit_test(test_vanishing_prior),
        cmocka_unit_test(test_no_levels),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_nobody_served),
        cmocka_unit_test(test_left_out_memory),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
