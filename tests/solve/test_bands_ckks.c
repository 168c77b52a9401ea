/* label: long */
/*
 * Bands by moments under encryption, with secure parameters: the decrypted moments against the same circuit in the
 * clear and against sums over CVODE's patients, the bands against exact percentiles.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bands_test.h"
#include "encrypted_test.h"

/* What 256 virtual patients' moments are worth (docs/population.md), and what encryption may add. */
static const double bar_bands = 0.06;
static const double bar_encryption = 1e-4;

static void check(problem *given, const char *name, const ddt_bands_options *options) {
    problem p = *given;
    ddt_plan *plan = NULL;
    encrypted_keys k = {0};
    ddt_plan_info info;
    bands_solve(&p, options);
    const ddt_plan_request request = {.target_error = 2e-5};
    assert_ok(p.ctx, ddt_plan_create(p.ctx, ddt_solution_circuit(p.solution), &request, &plan));
    ddt_plan_get_info(plan, &info);
    assert_int_equal(info.security_bits, 128);
    encrypted_make_keys(&p, plan, &k);
    problem_run(&p, false);
    const size_t outputs = ddt_solution_output_count(p.solution);
    const size_t slots = info.lanes * info.block;
    double **clear = test_rows(outputs, slots);
    for (size_t o = 0; o < outputs; o++) {
        memcpy(clear[o], p.outputs[o], slots * sizeof **clear);
    }
    const double seconds = encrypted_run(&p, plan, &k);
    double noise = 0.0;
    double elsewhere = 0.0;
    for (size_t o = 0; o < outputs; o++) {
        for (size_t i = 0; i < slots; i++) {
            noise = fmax(noise, fabs(p.outputs[o][i] - clear[o][i]));
            elsewhere = clear[o][i] == 0.0 ? fmax(elsewhere, fabs(p.outputs[o][i])) : elsewhere;
        }
    }
    ddt_solution_collect(p.solution, (const double *const *)p.outputs, p.values);
    const double bands = bands_percentile_error(&p);
    print_message("%s: depth %u, ring degree 2^%u, %zu batches, %.2f s; moments: noise %.1e (%.1e where there is "
                  "nothing); bands within %.3f of the maximum\n",
                  name, info.depth, info.literal.log_n, info.batches, seconds, noise, elsewhere, bands);
    assert_true(noise <= bar_encryption);
    assert_true(bands <= bar_bands);
    test_free_rows(clear);
    encrypted_destroy(&k);
    ddt_plan_destroy(plan);
    problem_free(&p);
}

/* Twelve subjects in two batches. */
static void test_theophylline(void **state) {
    (void)state;
    problem p;
    problem_read(&p, DDT_SOURCE_DIR "/models/theophylline.R", DDT_SOURCE_DIR "/data/theophylline_events.csv");
    check(&p, "theophylline", &(ddt_bands_options){.patients = 256});
}

/* Michaelis and Menten's elimination, by Newton's method; weight is the patient's own. */
static void test_saturable(void **state) {
    (void)state;
    problem p;
    problem_parse(&p,
                  "m <- function() {\n"
                  "  ini({ vmax <- 8; km <- 4; v <- 30; eta.vmax ~ 0.04; eta.v ~ 0.03 })\n"
                  "  model({\n"
                  "    vi <- v * exp(eta.v) * WT / 70\n"
                  "    d/dt(central) <- -vmax * exp(eta.vmax) * (central / vi) / (km + central / vi)\n"
                  "    cp <- central / vi\n"
                  "    cp ~ add(1)\n"
                  "  })\n"
                  "}\n",
                  "ID,TIME,AMT,EVID,WT\n1,0,300,1,60\n1,1,.,0,60\n1,6,.,0,60\n1,12,.,0,60\n1,24,.,0,60\n");
    check(&p, "saturable elimination", &(ddt_bands_options){.patients = 256, .around = true});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_theophylline), cmocka_unit_test(test_saturable)};
    cmocka_set_test_filter(getenv("DDT_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
