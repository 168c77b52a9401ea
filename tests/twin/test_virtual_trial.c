/* The virtual trial: products' regimens, and models that would explode. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "context_test.h"

#include <stdio.h>
#include <string.h>

#include "ddt/pharma/events.h"
#include "ddt/twin/trial.h"

/* The trial of a model; the caller destroys both. */
static ddt_events *trial_of(const char *lists, const char *block, ddt_model **model) {
    char text[2048];
    char *table = NULL;
    size_t length = 0;
    ddt_events *events = NULL;
    const int n =
        snprintf(text, sizeof text,
                 "m <- function() {\n%s\nini({ k <- 0.1; v <- 10; eta ~ 0.04 })\nmodel({\n%s\n})\n}\n", lists, block);
    ddt_context_clear(ctx);
    if (ddt_model_parse(ctx, text, (size_t)n, "m.R", model) != DDT_OK ||
        ddt_twin_virtual_trial(ctx, *model, &table, &length) != DDT_OK ||
        ddt_events_parse(ctx, table, length, "trial", *model, &events) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(ctx));
    }
    ddt_free(table);
    return events;
}

/* The first record of the first subject of a model's trial. */
static ddt_record dose_of(const char *lists, const char *block) {
    ddt_model *model = NULL;
    ddt_events *events = trial_of(lists, block, &model);
    const ddt_record dose = events->subjects[0].records[0];
    assert_int_equal(events->subject_count, 8);
    ddt_events_destroy(events);
    ddt_model_destroy(model);
    return dose;
}

static const char *const decay = "d/dt(central) <- -k * exp(eta) * central";

static void usual_doses(void **state) {
    (void)state;
    ddt_record dose = dose_of("", decay);
    assert_true(dose.amount == 100 && dose.interval_h == 12 && dose.rate == 0 && dose.additional == 3);
    dose = dose_of("units <- list(time = 'day')", decay);
    assert_true(dose.interval_h == 1);
    dose = dose_of("", "d/dt(central) <- k * depot - k * central\nd/dt(depot) <- -k * depot");
    assert_int_equal(dose.compartment, 2);
    dose = dose_of("", "d/dt(central) <- -k * central\ndur(central) <- 2");
    assert_true(dose.rate == -2);
}

static void doses_of_a_product(void **state) {
    (void)state;
    const ddt_record dose = dose_of("products <- list(vial = list(route = 'infusion', cmt = 'central', step = 50,\n"
                                    " dose = c(100, 420), interval = c(6, 8, 24), infusion = c(1, 2)))",
                                    decay);
    assert_true(dose.amount == 250 && dose.interval_h == 8 && dose.rate == 125);
}

static void a_response_gets_no_doses(void **state) {
    (void)state;
    const ddt_record first = dose_of("", "d/dt(tumour) <- -k * tumour\ntumour(0) <- 5");
    assert_int_equal(first.evid, 2);
}

static void explosions_shorten_the_trial(void **state) {
    (void)state;
    /* dT/dt = T^3 from 1: infinite at 0.5. */
    const ddt_record first = dose_of("", "d/dt(tumour) <- tumour^3\ntumour(0) <- 1");
    assert_int_equal(first.evid, 2);
    ddt_model *model = NULL;
    ddt_events *events = trial_of("", "d/dt(tumour) <- tumour^3\ntumour(0) <- 1", &model);
    const ddt_subject *subject = &events->subjects[0];
    const double end = subject->records[subject->record_count - 1].time_h;
    assert_true(end < 0.5 && end > 0.1);
    ddt_events_destroy(events);
    ddt_model_destroy(model);
}

static void poles_lower_the_dose(void **state) {
    (void)state;
    /* 1 / (2 - C), and C falls from 10 to 0.3 after the usual dose: at most 20 may be given, and half of that for the
     * others' sake. */
    const ddt_record dose =
        dose_of("", "C <- central / v\nd/dt(central) <- -3 * k * central\nd/dt(effect) <- C / (2 - C) - k * effect");
    assert_true(dose.amount > 1 && dose.amount <= 10 && dose.interval_h == 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_doses),
        cmocka_unit_test(doses_of_a_product),
        cmocka_unit_test(a_response_gets_no_doses),
        cmocka_unit_test(explosions_shorten_the_trial),
        cmocka_unit_test(poles_lower_the_dose),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
