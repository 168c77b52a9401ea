/* What is assumed of columns without a declared range. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ddt/pharma/reference.h"

#include "model_text.h"

static ddt_context *ctx;

static int setup(void **state) {
    (void)state;
    return ddt_context_create(&ctx) == DDT_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    ddt_context_destroy(ctx);
    return 0;
}

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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(assumptions)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
