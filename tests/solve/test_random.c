/*
 * Random linear models (compartment graphs of 1 to 6 compartments, initial values, constant inputs, bioavailability,
 * lags) under random events (boluses, infusions, additional doses, resets, steady states) against CVODE.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_test.h"

enum { CASES = 24, SUBJECTS = 3, OBSERVATIONS = 12 };

typedef struct features {
    size_t n;
    bool has_initial, has_input, has_f, has_lag, has_reset, has_steady, has_infusion;
} features;

static features draw_features(uint64_t *random, size_t index) {
    features f = {.n = 1 + index % 6};
    f.has_initial = test_random(random) % 3 == 0;
    f.has_input = test_random(random) % 4 == 0;
    f.has_f = test_random(random) % 2 == 0;
    f.has_lag = test_random(random) % 3 == 0;
    f.has_infusion = test_random(random) % 2 == 0;
    f.has_reset = test_random(random) % 4 == 0;
    f.has_steady = test_random(random) % 3 == 0;
    return f;
}

/* Every compartment loses to the outside, and to some others; the last one is observed with others. */
static void write_model(text *t, uint64_t *random, const features *f) {
    size_t n = f->n;
    text_add(t, "random <- function() {\n  ini({\n    lv <- 2\n    eta.v ~ 0.04\n    eta.k ~ 0.09\n  })\n  model({\n");
    text_add(t, "    v <- exp(lv + eta.v) * (WT / 70)\n    s <- exp(eta.k) * (WT / 70)^(-0.25)\n");
    double rates[6][6] = {{0}};
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            bool chain = j == i + 1;
            rates[i][j] = i != j && (chain || test_random(random) % 4 == 0) ? exp(test_uniform(random, -3, 1)) : 0.0;
        }
        rates[i][i] = exp(test_uniform(random, -3, 0));
    }
    for (size_t i = 0; i < n; i++) {
        text_add(t, "    d/dt(x%zu) <- -%.6g * s * x%zu", i, rates[i][i], i);
        for (size_t j = 0; j < n; j++) {
            if (j != i) {
                text_add(t, rates[i][j] > 0 ? " - %.6g * s * x%zu" : "", rates[i][j], i);
                text_add(t, rates[j][i] > 0 ? " + %.6g * s * x%zu" : "", rates[j][i], j);
            }
        }
        text_add(t, f->has_input && i == 0 ? " + 3 * v\n" : "\n");
        text_add(t, f->has_initial && i + 1 == n ? "    x%zu(0) <- 20 * exp(eta.v)\n" : "", i);
    }
    text_add(t, f->has_f ? "    f(x0) <- expit(1 + eta.k)\n" : "");
    text_add(t, f->has_lag ? "    alag(x0) <- 0.4\n" : "");
    text_add(t, f->has_infusion ? "    dur(x0) <- 1.5\n" : "");
    text_add(t, "    cp <- x%zu / v\n    total <- x0 + 0.5 * x%zu * exp(eta.v)\n", n - 1, n - 1);
    text_add(t, "    cp ~ add(0.1)\n    total ~ add(0.1)\n  })\n}\n");
}

static void write_dose(text *t, uint64_t *random, const features *f, const char *id, const char *covariates,
                       double time_h, size_t index) {
    double amount = test_uniform(random, 20, 100);
    bool infusion = f->has_infusion && test_random(random) % 2 == 0;
    bool additional = test_random(random) % 2 == 0;
    int steady = f->has_steady && index == 1 ? (int)(1 + test_random(random) % 2) : 0;
    /* A constant input makes SS 2 meaningless: the baseline would be counted twice. */
    steady = f->has_input && steady == 2 ? 1 : steady;
    text_add(t, "%s,%.4g,%.5g,%d,%s,%d,%d,1,1,%s\n", id, time_h, amount, infusion ? -2 : 0,
             additional || steady != 0 ? "6" : ".", additional ? 2 : 0, steady, covariates);
}

static void write_table(text *t, uint64_t *random, const features *f) {
    text_add(t, "ID,TIME,AMT,RATE,II,ADDL,SS,CMT,EVID,WT,eta.v,eta.k\n");
    for (size_t s = 0; s < SUBJECTS; s++) {
        char id[8];
        char covariates[64];
        (void)snprintf(id, sizeof id, "%zu", s + 1);
        /* Drawn one by one: the order in which a call's arguments are evaluated is the compiler's. The last first, as
         * GCC does. */
        const double eta_k = test_uniform(random, -0.6, 0.6);
        const double eta_v = test_uniform(random, -0.5, 0.5);
        const double weight_kg = test_uniform(random, 50, 90);
        (void)snprintf(covariates, sizeof covariates, "%.4g,%.4g,%.4g", weight_kg, eta_v, eta_k);
        double time_h = 0.0;
        for (size_t k = 0; k < OBSERVATIONS; k++) {
            if (k % 4 == 0) {
                write_dose(t, random, f, id, covariates, time_h, k / 4);
            }
            if (f->has_reset && k == 6) {
                text_add(t, "%s,%.4g,.,.,.,.,.,1,3,%s\n", id, time_h, covariates);
            }
            time_h += test_random(random) % 5 == 0 ? 0.0 : 0.25 * (double)(1 + test_random(random) % 12);
            text_add(t, "%s,%.4g,.,.,.,.,.,1,0,%s\n", id, time_h, covariates);
        }
    }
}

static void run_case(uint64_t seed, size_t index) {
    uint64_t random = seed;
    features f = draw_features(&random, index);
    text model = {0};
    text table = {0};
    write_model(&model, &random, &f);
    write_table(&table, &random, &f);
    problem p;
    problem_parse(&p, model.data, table.data);
    ddt_solve_options options = {.tolerance = 1e-5, .draws = 60};
    ddt_status status = ddt_solve(p.ctx, p.model, p.events, &options, &p.solution);
    if (status != DDT_OK) {
        fail_msg("case %zu: %s\n%s\n%s", index, ddt_error_detail(p.ctx), model.data, table.data);
    }
    problem_rows(&p);
    problem_run(&p, false);
    double error = problem_error(&p);
    if (!(error <= 2e-5)) {
        fail_msg("case %zu: error %g\n%s\n%s", index, error, model.data, table.data);
    }
    problem_free(&p);
    text_free(&model);
    text_free(&table);
}

static void test_random_models(void **state) {
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        run_case(1000 + i, i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_models)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
