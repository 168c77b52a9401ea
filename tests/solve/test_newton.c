/*
 * Models that are not linear, in the clear: an interaction against CVODE at every observation; refusals name the
 * reason. The larger models are in test_newton_models.c.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "newton_test.h"

static void test_interaction(void **state) {
    (void)state;
    check("ddi_midazolam", "midazolam_events", 2e-3);
}

/* What cannot be solved is refused, not solved badly. */
static void refused(const char *table, ddt_status expected, const char *words) {
    static const char text[] = "m <- function() {\n ini({\n lvm <- log(5)\n eta.vm ~ 0.04\n })\n model({\n"
                               " d/dt(a) <- -exp(lvm + eta.vm) * a / (10 + a)\n C <- a\n C ~ prop(0.1)\n })\n}\n";
    ddt_model *model = NULL;
    ddt_events *events = NULL;
    ddt_solution *solution = NULL;
    ok(ddt_model_parse(ctx, text, strlen(text), "m.R", &model));
    ok(ddt_events_parse(ctx, table, strlen(table), "m.csv", model, &events));
    assert_int_equal(ddt_solve(ctx, model, events, NULL, &solution), expected);
    assert_null(solution);
    if (strstr(ddt_error_detail(ctx), words) == NULL) {
        fail_msg("'%s' is not in: %s", words, ddt_error_detail(ctx));
    }
    ddt_context_clear(ctx);
    ddt_events_destroy(events);
    ddt_model_destroy(model);
}

static void test_refusals(void **state) {
    (void)state;
    refused("ID,TIME,AMT,EVID,CMT,II,SS\n1,0,100,1,a,12,1\n1,6,.,0,a,.,.\n", DDT_ERR_UNSUPPORTED, "steady state");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interaction),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
