/*
 * Bands by moments in the clear: the circuit against sums over CVODE's patients in double precision, and against the
 * exact percentiles of the same ensemble; plan files; refusals.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bands_test.h"
#include "file_test.h"

static const char *const oral =
    "m <- function() {\n"
    "  ini({ tka <- 0.4; tcl <- 1; tv <- 3.4; eta.ka ~ 0.2; eta.cl ~ 0.09; eta.v ~ 0.04 })\n"
    "  model({\n"
    "    ka <- exp(tka + eta.ka)\n"
    "    cl <- exp(tcl + eta.cl) * (WT / 70)^0.75\n"
    "    v <- exp(tv + eta.v) * WT / 70\n"
    "    d/dt(depot) <- -ka * depot\n"
    "    d/dt(central) <- ka * depot - cl / v * central\n"
    "    cp <- central / v\n"
    "    cp ~ prop(0.1)\n"
    "  })\n"
    "}\n";
static const char *const oral_table =
    "ID,TIME,AMT,EVID,WT\n"
    "1,0,.,0,60\n1,0,100,1,60\n1,1,.,0,60\n1,3,.,0,60\n1,8,.,0,60\n1,20,.,0,60\n"
    "2,0,150,1,90\n2,0.5,.,0,90\n2,12,.,0,90\n2,12,50,1,90\n2,14,.,0,90\n2,24,.,0,90\n";

/* ------------------------------------------------------------------ moments to percentiles */

static void test_transform(void **state) {
    (void)state;
    double last = -INFINITY;
    for (int i = 0; i <= 1000; i++) {
        const double u = ddt_bands_transform(i / 1000.0);
        assert_true(u > last && u > -1.0 && u < 1.01);
        last = u;
    }
}

/* Uniform draws of u: mean, variance and no skewness give what the expansion says, turned back by the transform. */
static void test_percentiles(void **state) {
    (void)state;
    const double z = 1.6448536269514722;
    double moments[3] = {0.1, 0.1 * 0.1 + 0.04, 0.1 * 0.1 * 0.1 + 3 * 0.1 * 0.04};
    double band[3];
    ddt_bands_of_moments(moments, band);
    assert_true(fabs(ddt_bands_transform(band[0]) - (0.1 - z * 0.2)) <= 1e-12);
    assert_true(fabs(ddt_bands_transform(band[1]) - (0.1)) <= 1e-12);
    assert_true(fabs(ddt_bands_transform(band[2]) - (0.1 + z * 0.2)) <= 1e-12);
    moments[2] += 0.5 * 0.2 * 0.2 * 0.2; /* skewed to the right: the median falls below the mean, the tails move up */
    double skewed[3];
    ddt_bands_of_moments(moments, skewed);
    assert_true(skewed[0] > band[0] && skewed[1] < band[1] && skewed[2] > band[2]);
    /* Noise: a variance below 0, a third moment of nothing. */
    const double noise[3] = {0.5, 0.2499, 7.0};
    ddt_bands_of_moments(noise, band);
    assert_true(band[0] == band[1] && band[1] == band[2]);
    const double wild[3] = {0.0, 0.01, -1.0};
    ddt_bands_of_moments(wild, band);
    assert_true(band[0] <= band[1] && band[1] <= band[2]);
}

/* ------------------------------------------------------------------ circuits */

static void check(const char *model, const char *table, const ddt_bands_options *options, double sums, double bands) {
    problem p;
    problem_parse(&p, model, table);
    bands_solve(&p, options);
    problem_run(&p, false);
    const double worst_sum = bands_moment_error(&p);
    const double worst_band = bands_percentile_error(&p);
    print_message("%zu patients, %s: moments from direct sums %.1e, bands from exact percentiles %.3f of the maximum\n",
                  ddt_solution_band_patients(p.solution), options->around ? "around" : "whole population", worst_sum,
                  worst_band);
    assert_true(worst_sum <= sums);
    assert_true(worst_band <= bands);
    problem_free(&p);
}

static void test_around(void **state) {
    (void)state;
    check(oral, oral_table, &(ddt_bands_options){.patients = 64, .around = true}, 1e-4, 0.08);
}

/* 50 are 64. */
static void test_population(void **state) {
    (void)state;
    check(oral, oral_table, &(ddt_bands_options){.patients = 50}, 1e-4, 0.08);
}

static void test_newton(void **state) {
    (void)state;
    const char *const saturable = "m <- function() {\n"
                                  "  ini({ vmax <- 8; km <- 4; v <- 30; eta.vmax ~ 0.04; eta.v ~ 0.03 })\n"
                                  "  model({\n"
                                  "    d/dt(central) <- -vmax * exp(eta.vmax) * (central / (v * exp(eta.v))) /\n"
                                  "      (km + central / (v * exp(eta.v)))\n"
                                  "    cp <- central / (v * exp(eta.v))\n"
                                  "    cp ~ add(1)\n"
                                  "  })\n"
                                  "}\n";
    const char *const table = "ID,TIME,AMT,EVID\n1,0,300,1\n1,1,.,0\n1,6,.,0\n1,12,.,0\n1,24,.,0\n";
    check(saturable, table, &(ddt_bands_options){.patients = 64, .around = true}, 1e-2, 0.05);
}

/* ------------------------------------------------------------------ files */

static void test_file(void **state) {
    (void)state;
    problem p;
    ddt_plan *plan = NULL;
    ddt_solution *read = NULL;
    problem_parse(&p, oral, oral_table);
    bands_solve(&p, &(ddt_bands_options){.patients = 16, .around = true});
    problem_run(&p, false);
    const bytes file = write_file(&p, &plan);
    assert_ok(p.ctx, read_file(p.ctx, &file, &read));
    assert_int_equal(ddt_solution_band_patients(read), 16);
    assert_true(ddt_solution_bands_around(read));
    assert_int_equal(ddt_solution_output_count(read), 3);
    assert_string_equal(ddt_solution_output_name(read, 2), "cp.p95");
    const ddt_circuit *circuit = ddt_solution_circuit(p.solution);
    const size_t slots = ddt_circuit_lanes(circuit) * ddt_circuit_block(circuit);
    double **inputs = test_rows(ddt_circuit_input_count(circuit), slots);
    assert_ok(p.ctx, ddt_solution_fill(p.ctx, read, p.model, p.events, inputs));
    for (size_t i = 0; i < ddt_circuit_input_count(circuit); i++) {
        assert_memory_equal(inputs[i], p.inputs[i], slots * sizeof **inputs);
    }
    double **values = test_rows(2, 64);
    ddt_solution_collect(read, (const double *const *)p.outputs, values);
    assert_memory_equal(values[0], p.values[0], (size_t)5 * 3 * sizeof **values);
    test_free_rows(values);
    test_free_rows(inputs);
    /* Every byte that is another is found, or the file still says something consistent. */
    for (size_t at = file.length / 2; at < file.length; at += 97) {
        file.data[at] ^= 0x41;
        ddt_solution *broken = NULL;
        if (read_file(p.ctx, &file, &broken) == DDT_OK) {
            ddt_solution_destroy(broken);
        }
        file.data[at] ^= 0x41;
    }
    free(file.data);
    ddt_solution_destroy(read);
    ddt_plan_destroy(plan);
    problem_free(&p);
}

/* ------------------------------------------------------------------ refusals */

static void refuse(const char *model, const char *table, const ddt_bands_options *options, ddt_status expected,
                   const char *says) {
    problem p;
    problem_parse(&p, model, table);
    assert_int_equal(ddt_solve_bands(p.ctx, p.model, p.events, options, &p.solution), expected);
    if (strstr(ddt_error_detail(p.ctx), says) == NULL) {
        fail_msg("'%s' does not say '%s'", ddt_error_detail(p.ctx), says);
    }
    assert_null(p.solution);
    problem_free(&p);
}

static void test_refusals(void **state) {
    (void)state;
    const char *const table = "ID,TIME,AMT,EVID\n1,0,100,1\n1,1,.,0\n1,3,.,0\n";
    const char *const fixed = "m <- function() {\n"
                              "  ini({ k <- 0.1 })\n"
                              "  model({\n    d/dt(a) <- -k * a\n    cp <- a / 10\n    cp ~ add(1)\n  })\n}\n";
    const char *const signed_output = "m <- function() {\n"
                                      "  ini({ k <- 0.5; eta.k ~ 0.04 })\n"
                                      "  model({\n    d/dt(a) <- -k * exp(eta.k) * a\n    change <- a / 10 - 5\n"
                                      "    change ~ add(1)\n  })\n}\n";
    refuse(oral, oral_table, &(ddt_bands_options){.patients = 15}, DDT_ERR_RANGE, "16 to 4096");
    refuse(oral, oral_table, &(ddt_bands_options){.patients = 5000}, DDT_ERR_RANGE, "not 5000");
    refuse(oral, oral_table, &(ddt_bands_options){.patients = 4096, .solve = {.draws = 8, .block_max = 1}},
           DDT_ERR_CAPACITY, "4096 virtual patients leave 1 slots");
    refuse(fixed, table, &(ddt_bands_options){.patients = 16}, DDT_ERR_UNSUPPORTED, "nothing that varies");
    refuse(signed_output, table, &(ddt_bands_options){.patients = 16}, DDT_ERR_UNSUPPORTED, "change can be negative");
}

static ddt_status solve_again(problem *p, const void *options) {
    return ddt_solve_bands(p->ctx, p->model, p->events, (const ddt_bands_options *)options, &p->solution);
}

static void test_memory(void **state) {
    (void)state;
    problem p;
    problem_parse(&p, oral, oral_table);
    const ddt_bands_options options = {.patients = 16, .around = true, .solve = {.draws = 8}};
    problem_solve_without_memory(&p, solve_again, &options);
    problem_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transform),  cmocka_unit_test(test_percentiles), cmocka_unit_test(test_around),
        cmocka_unit_test(test_population), cmocka_unit_test(test_newton),      cmocka_unit_test(test_file),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_memory),
    };
    cmocka_set_test_filter(getenv("DDT_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
