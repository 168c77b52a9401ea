/* What is assumed of columns without a declared range. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "context_test.h"

#include "ddt/pharma/population.h"

#include "model_text.h"

static const char model_text_of_columns[] =
    "m <- function() {\n"
    "covariateData <- list(A = list(range = c(3, 4)), FED = '1 = fed, 0 = fasted', STAGE = 'stage 10 = worst',\n"
    "  TABLET = '1 for tablets, 0 for solution')\n"
    "ini({ k <- 1 })\n"
    "model({\n"
    "z <- A + FED + TABLET + (WT / 70)^2 + (wt - 1) + AGE - 28 + (CRCL / 900) + ALB + STAGE / 2 + vc + SEX\n"
    "if (GROUP == 3) { z <- z + 1 }\n"
    "d/dt(x) <- -k * x * z\n"
    "})\n}\n";

static void range_is(const ddt_model *model, const char *name, double low, double high, bool discrete, bool assumed) {
    const int64_t at = ddt_model_find_symbol(model, name);
    assert_true(at >= 0);
    const ddt_population_range range = ddt_population_range_of(model, (uint32_t)at);
    if (fabs(range.low - low) > 1e-12 || fabs(range.high - high) > 1e-12 || range.is_discrete != discrete ||
        range.is_assumed != assumed) {
        fail_msg("%s: %g to %g, discrete %d, assumed %d", name, range.low, range.high, range.is_discrete,
                 range.is_assumed);
    }
}

static void assumptions(void **state) {
    (void)state;
    ddt_model *m = NULL;
    assert_int_equal(ddt_model_parse(ctx, model_text_of_columns, sizeof model_text_of_columns - 1, "m.R", &m), DDT_OK);
    range_is(m, "A", 3, 4, false, false);
    range_is(m, "FED", 0, 1, true, true);
    range_is(m, "TABLET", 0, 1, true, true);
    range_is(m, "SEX", 0, 1, true, true);
    range_is(m, "GROUP", 0, 3, true, true);
    range_is(m, "WT", 50, 100, false, true);
    range_is(m, "wt", 0.7, 1.4, false, true);    /* its reference value is no adult's */
    range_is(m, "CRCL", 630, 1260, false, true); /* in another unit */
    range_is(m, "ALB", 30, 50, false, true);
    range_is(m, "STAGE", 1.4, 2.8, false, true); /* no flag: "10 =" is not "1 =" */
    range_is(m, "vc", 0.8, 1.25, false, true);
    double values[64] = {0};
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(ddt_population_draw(ctx, m, i, values), DDT_OK);
        for (uint32_t s = 0; s < m->symbol_count; s++) {
            if (m->symbols[s].kind == DDT_SYMBOL_COVARIATE) {
                const ddt_population_range range = ddt_population_range_of(m, s);
                assert_true(values[s] >= range.low && values[s] <= range.high);
            }
        }
    }
    ddt_model_destroy(m);
}

static void percentiles_are_r_type_7(void **state) {
    (void)state;
    double values[] = {5, 1, 4, 2, 3};
    const double p[] = {0, 0.05, 0.5, 0.9, 1};
    double out[5];
    ddt_percentiles(values, 5, p, 5, out);
    const double expected[] = {1, 1.2, 3, 4.6, 5};
    for (size_t i = 0; i < 5; i++) {
        assert_true(fabs(out[i] - expected[i]) < 1e-14);
    }
    double one = 7;
    ddt_percentiles(&one, 1, p, 5, out);
    assert_true(out[0] == 7 && out[4] == 7);
}

enum { PATIENTS = 60, TIMES = 3 };

/* Bands of a bolus model against its formula on the same draws, for the population and around one patient. */
static void bands_of(const ddt_population_options *options, const double *centre, double sd_scale) {
    static const char table[] = "ID,TIME,AMT,WT\n1,0,100,80\n1,1,.,80\n1,4,.,80\n1,9,.,80\n";
    static const double times[TIMES] = {1, 4, 9};
    static const double p[] = {0.05, 0.5, 0.95};
    ddt_model *m = NULL;
    ddt_events *events = NULL;
    assert_int_equal(model_from(ctx, "k <- 0.1; eta.k ~ 0.09", "d/dt(x) <- -k * exp(eta.k) * WT / 70 * x", &m), DDT_OK);
    assert_int_equal(ddt_events_parse(ctx, table, sizeof table - 1, "t.csv", m, &events), DDT_OK);
    const ddt_expr x = ddt_expr_symbol(m->pool, m->compartments[0].symbol);
    double bands[TIMES * 3];
    assert_int_equal(ddt_population_bands(ctx, m, events, 0, options, &x, 1, bands), DDT_OK);
    const int64_t eta = ddt_model_find_symbol(m, "eta.k");
    const int64_t weight = ddt_model_find_symbol(m, "WT");
    for (size_t t = 0; t < TIMES; t++) {
        double values[PATIENTS];
        double expected[3];
        for (uint64_t i = 0; i < PATIENTS; i++) {
            double symbols[64];
            assert_int_equal(ddt_population_draw(ctx, m, i + 1, symbols), DDT_OK);
            const double e = symbols[eta] * sd_scale + (centre == NULL ? 0 : centre[0]);
            const double w = centre == NULL ? symbols[weight] : centre[1];
            values[i] = 100 * exp(-0.1 * exp(e) * w / 70 * times[t]);
        }
        ddt_percentiles(values, PATIENTS, p, 3, expected);
        for (size_t i = 0; i < 3; i++) {
            assert_true(fabs(bands[t * 3 + i] / expected[i] - 1) < 1e-7);
        }
    }
    ddt_events_destroy(events);
    ddt_model_destroy(m);
}

static void bands_are_those_of_the_draws(void **state) {
    (void)state;
    const ddt_population_options whole = {.patients = PATIENTS};
    bands_of(&whole, NULL, 1);
    double centre[64] = {0};
    ddt_model *m = NULL;
    assert_int_equal(model_from(ctx, "k <- 0.1; eta.k ~ 0.09", "d/dt(x) <- -k * exp(eta.k) * WT / 70 * x", &m), DDT_OK);
    centre[ddt_model_find_symbol(m, "eta.k")] = 0.4;
    centre[ddt_model_find_symbol(m, "WT")] = 55;
    ddt_model_destroy(m);
    const double posterior = 0.01; /* a third of the population's standard deviation */
    const double at[] = {0.4, 55};
    const ddt_population_options around = {.patients = PATIENTS, .centre = centre, .covariance = &posterior};
    bands_of(&around, at, 1.0 / 3);
}

static void bands_refuse_nonsense(void **state) {
    (void)state;
    static const char table[] = "ID,TIME,AMT\n1,0,100\n1,1,.\n";
    ddt_model *m = NULL;
    ddt_events *events = NULL;
    double band[2] = {1, 1};
    assert_int_equal(model_from(ctx, "k <- 0.1; eta.k ~ 0.09", "d/dt(x) <- -k * exp(eta.k) * x", &m), DDT_OK);
    assert_int_equal(ddt_events_parse(ctx, table, sizeof table - 1, "t.csv", m, &events), DDT_OK);
    const ddt_expr x = ddt_expr_symbol(m->pool, m->compartments[0].symbol);
    const double p[] = {0.5, 1.5};
    const ddt_population_options beyond = {.probabilities = p, .probability_count = 2};
    const ddt_population_options many = {
        .patients = DDT_POPULATION_MAX + 1, .probabilities = p, .probability_count = 1};
    const ddt_population_options usual = {.probabilities = p, .probability_count = 1};
    assert_int_equal(ddt_population_bands(ctx, m, events, 0, &beyond, &x, 1, band), DDT_ERR_ARGUMENT);
    assert_true(band[0] == 0 && band[1] == 0);
    assert_int_equal(ddt_population_bands(ctx, m, events, 0, &many, &x, 1, band), DDT_ERR_ARGUMENT);
    (void)ddt_alloc_fail_after(0);
    assert_int_equal(ddt_population_bands(ctx, m, events, 0, &usual, &x, 1, band), DDT_ERR_MEMORY);
    (void)ddt_alloc_fail_after(UINT64_MAX);
    ddt_events_destroy(events);
    ddt_model_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assumptions),
        cmocka_unit_test(percentiles_are_r_type_7),
        cmocka_unit_test(bands_are_those_of_the_draws),
        cmocka_unit_test(bands_refuse_nonsense),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
