/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ddt/pharma/model.h"

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

static void dump(void **state) {
    (void)state;
    const char *files[] = {"theophylline.R", "vancomycin_thomson2009.R"};
    for (int i = 0; i < 2; i++) {
        char path[300];
        snprintf(path, sizeof path, "%s/models/%s", DDT_SOURCE_DIR, files[i]);
        ddt_model *m = NULL;
        ddt_status s = ddt_model_read(ctx, path, &m);
        if (s != DDT_OK) { printf("%s\n", ddt_error_detail(ctx)); }
        assert_int_equal(s, DDT_OK);
        const char *names[100];
        for (size_t k = 0; k < m->symbol_count; k++) { names[k] = m->symbols[k].name; printf("%s %d %g [%g %g]\n", names[k], m->symbols[k].kind, m->symbols[k].value, m->symbols[k].range_low, m->symbols[k].range_high); }
        for (size_t k = 0; k < m->compartment_count; k++) { char *t = ddt_expr_print(m->pool, m->compartments[k].derivative, names); printf("d/dt(%s) = %s\n", m->compartments[k].name, t); ddt_free(t); }
        for (size_t k = 0; k < m->output_count; k++) { char *t = ddt_expr_print(m->pool, m->outputs[k].value, names); printf("%s = %s; %d %g %g\n", m->outputs[k].name, t, m->outputs[k].residual, m->outputs[k].additive_sd, m->outputs[k].proportional_sd); ddt_free(t); }
        for (size_t k = 0; k < m->eta_count*m->eta_count; k++) printf("%g ", m->omega[k]);
        printf("\n%s|%s|%s|%s\n%s\n", m->name, m->time_unit, m->dose_unit, m->concentration_unit, m->reference);
        ddt_model_destroy(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(dump)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
