/*
 * Random linear models (compartment graphs of 1 to 6 compartments, initial values, constant inputs, bioavailability,
 * lags) under random events (boluses, infusions, additional doses, resets, steady states) against CVODE. Then the same
 * with lags, durations, rates and bioavailabilities that depend on encrypted values, constant infusions, and covariates
 * that change with time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_test.h"

enum { CASES = 24, SUBJECTS = 3, OBSERVATIONS = 12, WAYS = 4 };

typedef struct features {
    size_t n;
    bool has_initial, has_input, has_f, has_lag, has_reset, has_steady, has_infusion;
    bool is_private, has_constant; /* times that depend on encrypted values; infusions that have gone on for ever */
    bool changes;                  /* weights differ from record to record */
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
    text_add(t, !f->has_lag ? "" : f->is_private ? "    alag(x0) <- 0.4 * exp(eta.k)\n" : "    alag(x0) <- 0.4\n");
    text_add(t, !f->has_infusion ? "" : f->is_private ? "    dur(x0) <- WT / 40\n" : "    dur(x0) <- 1.5\n");
    text_add(t, f->is_private ? "    rate(x0) <- 30 * exp(eta.v)\n" : "");
    text_add(t, "    cp <- x%zu / v\n    total <- x0 + 0.5 * x%zu * exp(eta.v)\n", n - 1, n - 1);
    text_add(t, "    cp ~ add(0.1)\n    total ~ add(0.1)\n  })\n}\n");
}

/* RATE of a dose: a bolus, the model's duration or rate, or a number. */
static double draw_rate(uint64_t *random, const features *f, double amount) {
    static const int ways[WAYS] = {0, -2, -1, 1};
    int way = f->is_private ? ways[test_random(random) % WAYS] : -2;
    bool infusion = f->has_infusion && test_random(random) % 2 == 0;
    return !infusion ? 0.0 : way == 1 ? amount / 2.5 : way;
}

static void write_dose(text *t, uint64_t *random, const features *f, const char *id, const char *covariates,
                       double time_h, size_t index) {
    double amount = test_uniform(random, 20, 100);
    double rate = draw_rate(random, f, amount);
    bool additional = test_random(random) % 2 == 0;
    int steady = f->has_steady && index == 1 ? (int)(1 + test_random(random) % 2) : 0;
    /* A constant input makes SS 2 meaningless: the baseline would be counted twice. */
    steady = f->has_input && steady == 2 ? 1 : steady;
    if (steady != 0 && f->has_constant && !f->has_lag) {
        text_add(t, "%s,%.4g,0,12.5,.,.,%d,1,1,%s\n", id, time_h, steady, covariates);
        return;
    }
    text_add(t, "%s,%.4g,%.5g,%.5g,%s,%d,%d,1,1,%s\n", id, time_h, amount, rate, additional || steady != 0 ? "6" : ".",
             additional ? 2 : 0, steady, covariates);
}

/* The columns WT, eta.v, eta.k of a record. */
static const char *draw_covariates(uint64_t *random, const features *f, double weight_kg, double eta_v, double eta_k,
                                   char *out, size_t size) {
    weight_kg = f->changes ? test_uniform(random, 50, 90) : weight_kg;
    (void)snprintf(out, size, "%.4g,%.4g,%.4g", weight_kg, eta_v, eta_k);
    return out;
}

static void write_table(text *t, uint64_t *random, const features *f) {
    text_add(t, "ID,TIME,AMT,RATE,II,ADDL,SS,CMT,EVID,WT,eta.v,eta.k\n");
    for (size_t s = 0; s < SUBJECTS; s++) {
        char id[8];
        char row[64];
        (void)snprintf(id, sizeof id, "%zu", s + 1);
        /* Drawn one by one: the order in which a call's arguments are evaluated is the compiler's. The last first, as
         * GCC does. */
        const double k = test_uniform(random, -0.6, 0.6);
        const double v = test_uniform(random, -0.5, 0.5);
        const double weight_kg = test_uniform(random, 50, 90);
        double time_h = 0.0;
        for (size_t o = 0; o < OBSERVATIONS; o++) {
            if (o % 4 == 0) {
                write_dose(t, random, f, id, draw_covariates(random, f, weight_kg, v, k, row, sizeof row), time_h,
                           o / 4);
            }
            if (f->has_reset && o == 6) {
                text_add(t, "%s,%.4g,.,.,.,.,.,1,3,%s\n", id, time_h,
                         draw_covariates(random, f, weight_kg, v, k, row, sizeof row));
            }
            time_h += test_random(random) % 5 == 0 ? 0.0 : 0.25 * (double)(1 + test_random(random) % 12);
            text_add(t, "%s,%.4g,.,.,.,.,.,1,0,%s\n", id, time_h,
                     draw_covariates(random, f, weight_kg, v, k, row, sizeof row));
        }
    }
}

static void run_case(uint64_t seed, size_t index, bool is_private, bool changes, bool carries_forward) {
    uint64_t random = seed;
    features f = draw_features(&random, index);
    f.is_private = is_private;
    f.has_constant = is_private && index % 2 == 0;
    f.changes = changes;
    text model = {0};
    text table = {0};
    write_model(&model, &random, &f);
    write_table(&table, &random, &f);
    problem p;
    problem_parse(&p, model.data, table.data);
    p.events->carries_forward = carries_forward;
    ddt_solve_options options = {.tolerance = 1e-5, .draws = 60};
    ddt_status status = ddt_solve(p.ctx, p.model, p.events, &options, &p.solution);
    if (status != DDT_OK) {
        fail_msg("case %zu: %s\n%s\n%s", index, ddt_error_detail(p.ctx), model.data, table.data);
    }
    problem_rows(&p);
    problem_run(&p, false);
    double error = problem_error(&p);
    if (!(error <= 2e-5)) {
        (void)fprintf(stderr, "%s\n%s", model.data, table.data); /* cmocka's messages are short */
        fail_msg("case %zu: error %g", index, error);
    }
    problem_free(&p);
    text_free(&model);
    text_free(&table);
}

static void test_random_models(void **state) {
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        run_case(1000 + i, i, false, false, false);
    }
}

static void test_private_times(void **state) {
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        run_case(2000 + i, i, true, false, false);
    }
}

static void test_changing_covariates(void **state) {
    (void)state;
    enum { CHANGING_CASES = 8, SIZES = 3 }; /* many slots each */
    for (size_t i = 0; i < CHANGING_CASES; i++) {
        run_case(3000 + i, i % SIZES, i % 2 == 1, true, i % 4 >= 2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_models), cmocka_unit_test(test_private_times),
                                       cmocka_unit_test(test_changing_covariates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
