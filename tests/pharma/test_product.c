/* Products and targets that model files state. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "context_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ddt/pharma/model.h"

static ddt_status parse(const char *lists, ddt_model **out) {
    char text[4096];
    const int n = snprintf(text, sizeof text,
                           "m <- function() {\n%s\nini({ k <- 1 })\nmodel({\n d/dt(gut) <- -k * gut\n"
                           " d/dt(blood) <- k * gut - k * blood\n Cc <- blood\n Cc ~ add(k)\n})\n}\n",
                           lists);
    ddt_context_clear(ctx);
    return ddt_model_parse(ctx, text, (size_t)n, "m.R", out);
}

static ddt_model *model(const char *lists) {
    ddt_model *m = NULL;
    if (parse(lists, &m) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(ctx));
    }
    return m;
}

static void products_are_read(void **state) {
    (void)state;
    ddt_model *m =
        model("products <- list(\n"
              "  vial = list(route = 'infusion', cmt = 'blood', step = 250, dose = c(500, 3000), daily = 6000,\n"
              "    rate = 1000, loading = c(1000, 3000), interval = c(8, 12,\n 24), infusion = c(1, 2),\n"
              "    description = paste('a', 'b'), source = 'somewhere'),\n"
              "  tablet = list(step = 0.5, dose = c(0.5, 10))\n)");
    assert_int_equal(m->product_count, 2);
    const ddt_product *vial = ddt_model_product(m, NULL);
    assert_string_equal(vial->name, "vial");
    assert_string_equal(vial->route, "infusion");
    assert_string_equal(vial->description, "a b");
    assert_string_equal(vial->source, "somewhere");
    assert_int_equal(vial->compartment, 1);
    assert_true(vial->step == 250 && vial->dose_low == 500 && vial->dose_high == 3000);
    assert_true(vial->daily_max == 6000 && vial->rate_max == 1000);
    assert_true(vial->loading_low == 1000 && vial->loading_high == 3000);
    assert_int_equal(vial->interval_count, 3);
    assert_true(vial->intervals[0] == 8 && vial->intervals[2] == 24);
    assert_int_equal(vial->infusion_count, 2);
    assert_true(vial->infusions[1] == 2);
    assert_int_equal(vial->line, 3);
    const ddt_product *tablet = ddt_model_product(m, "tablet");
    assert_int_equal(tablet->compartment, 0);
    assert_true(isinf(tablet->daily_max) && isinf(tablet->rate_max));
    assert_true(tablet->loading_low == 0.5 && tablet->loading_high == 10);
    assert_int_equal(tablet->interval_count, 0);
    assert_null(tablet->route);
    assert_null(ddt_model_product(m, "syrup"));
    ddt_model_destroy(m);
}

static void targets_are_read(void **state) {
    (void)state;
    ddt_model *m =
        model("targets <- list(\n"
              "  auc24 = list(range = c(400, 600), units = 'mg*h/L', source = 'guideline'),\n"
              "  'fT>mic' = list(range = c(0.6, Inf), threshold = 2, output = 'blood', description = 'free'))");
    assert_int_equal(m->target_count, 2);
    const ddt_target *auc = ddt_model_target(m, "auc24");
    assert_string_equal(auc->output, "Cc");
    assert_string_equal(auc->unit, "mg*h/L");
    assert_true(auc->low == 400 && auc->high == 600 && isnan(auc->threshold));
    const ddt_target *time_above = ddt_model_target(m, "fT>mic");
    assert_string_equal(time_above->output, "blood");
    assert_true(time_above->low == 0.6 && isinf(time_above->high) && time_above->threshold == 2);
    assert_ptr_equal(ddt_model_target(m, NULL), auc);
    assert_null(ddt_model_target(m, "trough"));
    ddt_model_destroy(m);
}

static void other_metadata_is_left_alone(void **state) {
    (void)state;
    ddt_model *m = model("targets <- 'IL-13'\nproducts <- list(a = 'vial', b = 3)\n");
    assert_int_equal(m->product_count + m->target_count, 0);
    assert_null(ddt_model_product(m, NULL));
    assert_null(ddt_model_target(m, NULL));
    ddt_model_destroy(m);
}

static void refused(const char *lists, const char *part) {
    ddt_model *m = NULL;
    assert_int_equal(parse(lists, &m), DDT_ERR_MODEL);
    assert_null(m);
    if (strstr(ddt_error_detail(ctx), part) == NULL) {
        fail_msg("'%s' does not say '%s'", ddt_error_detail(ctx), part);
    }
}

static void nonsense_is_refused(void **state) {
    (void)state;
    refused("products <- list(a = list(step = 1))", "must be given and positive");
    refused("products <- list(a = list(step = -1, dose = c(1, 2)))", "must be given and positive");
    refused("products <- list(a = list(step = 5, dose = c(1, 2)))", "no multiple");
    refused("products <- list(a = list(step = 1, dose = c(3, 2)))", "range is empty");
    refused("products <- list(a = list(step = 1, dose = c(1, 2, 3)))", "too many values");
    refused("products <- list(a = list(step = 1, dose = c(1, 2), interval = c(12, 8)))", "increasing");
    refused("products <- list(a = list(step = 1, dose = c(1, 2), interval = 0))", "increasing");
    refused("products <- list(a = list(step = 1, dose = c(1, 2), cmt = 'brain'))", "no compartment");
    refused("products <- list(a = list(stop = 1))", "no such entry");
    refused("products <- list(a = list(step = x))", "m.R:2");
    refused("targets <- list(auc24 = list(units = 'h'))", "no range");
    refused("targets <- list(auc24 = list(range = c(1, 2), output = 'Cb'))", "no variable or compartment");
    refused("targets <- list(auc24 = list(low = 1))", "no such entry");
}

static void doses_are_rounded_to_what_can_be_given(void **state) {
    (void)state;
    const ddt_product product = {.step = 0.1, .dose_low = 0.25, .dose_high = 0.75};
    const double amounts[] = {-1, 0, 0.29, 0.349, 0.35001, 0.5, 0.74, 100};
    const double given[] = {0.3, 0.3, 0.3, 0.3, 0.4, 0.5, 0.7, 0.7};
    for (size_t i = 0; i < sizeof amounts / sizeof amounts[0]; i++) {
        assert_true(fabs(ddt_product_round(&product, amounts[i]) - given[i]) < 1e-12);
    }
}

static void memory_failures_leave_nothing(void **state) {
    (void)state;
    const char *lists = "products <- list(a = list(route = 'oral', step = 1, dose = c(1, 2), interval = c(8, 12)))\n"
                        "targets <- list(trough = list(range = c(1, 2), source = paste('a', 'b')))";
    bool done = false;
    for (unsigned n = 0; !done && n < 1000; n++) {
        ddt_model *m = NULL;
        (void)ddt_alloc_fail_after(n);
        const ddt_status status = parse(lists, &m);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        done = status == DDT_OK;
        assert_true(done || status == DDT_ERR_MEMORY);
        assert_true(done || m == NULL);
        ddt_model_destroy(m);
    }
    assert_true(done);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_read),
        cmocka_unit_test(targets_are_read),
        cmocka_unit_test(other_metadata_is_left_alone),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(doses_are_rounded_to_what_can_be_given),
        cmocka_unit_test(memory_failures_leave_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
