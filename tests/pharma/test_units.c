/* Units. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "context_test.h"

#include <math.h>
#include <string.h>

#include "ddt/pharma/units.h"

static void converts(const char *from, const char *to, double factor) {
    double found = 0;
    ddt_context_clear(ctx);
    if (ddt_unit_factor(ctx, from, to, &found) != DDT_OK || fabs(found / factor - 1) > 1e-12) {
        fail_msg("%s to %s: %.17g, not %.17g (%s)", from, to, found, factor, ddt_error_detail(ctx));
    }
}

static void known_conversions(void **state) {
    (void)state;
    converts("ug/mL", "mg/L", 1);
    converts("ng/mL", "mg/L", 1e-3);
    converts("mg/dL", "mg/L", 10);
    converts("mg*h/L", "ug.min/mL", 60);
    converts("day", "h", 24);
    converts("d", "min", 1440);
    converts("wk", "week", 1);
    converts("a", "d", 365.25);
    converts("mo", "d", 30.4375);
    converts("mL/min", "L/h", 0.06);
    converts("L/h/kg", "mL/(min.kg)", 1000.0 / 60);
    converts("10^9/L", "10*12/L", 1e-3);
    converts("/mL", "1/L", 1000);
    converts("m^2", "cm2", 1e4);
    converts("m2", "dm^2", 100);
    converts("mm^2/h", "um2/s", 1e6 / 3600);
    converts("\xC2\xB5mol/L", "nmol/mL", 1);
    converts("%", "1", 0.01);
    converts("mV", "V", 1e-3);
    converts("k[IU]", "[iU]", 1000);
    converts("mg/{tablet}", "mg", 1);
    converts("L", "dm3", 1);
    converts("s-1", "/s", 1);
}

static void refuses(const char *text, const char *part) {
    ddt_unit unit = {.factor = 5};
    ddt_context_clear(ctx);
    assert_int_equal(ddt_unit_parse(ctx, text, &unit), DDT_ERR_DATA);
    assert_true(unit.factor == 0);
    if (strstr(ddt_error_detail(ctx), part) == NULL) {
        fail_msg("'%s' does not say '%s'", ddt_error_detail(ctx), part);
    }
}

static void nonsense_is_refused(void **state) {
    (void)state;
    refuses("", "missing");
    refuses("mg/", "missing");
    refuses("mcg/mL", "write ug for mcg");
    refuses("mg/hr", "write h for hr");
    refuses("IU/L", "write [IU] for IU");
    refuses("furlong", "'furlong' means nothing");
    refuses("mg per L", "does not belong");
    refuses("(mg/L", "closing bracket");
    refuses("mg)", "does not belong");
    refuses("m^", "number is missing");
    refuses("m99", "too large");
    refuses("{score", "not closed");
    refuses("0mg", "not positive");
    refuses("kmin", "means nothing");
    refuses("((((((((((((((((((g))))))))))))))))))", "too deep");
    double factor = 3;
    ddt_context_clear(ctx);
    assert_int_equal(ddt_unit_factor(ctx, "mg/L", "mg", &factor), DDT_ERR_DATA);
    assert_non_null(strstr(ddt_error_detail(ctx), "different things"));
    assert_int_equal(ddt_unit_factor(ctx, "umol/L", "ug/L", &factor), DDT_ERR_DATA);
    assert_true(factor == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_conversions), cmocka_unit_test(nonsense_is_refused)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
