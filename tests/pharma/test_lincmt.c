/* linCmt(): every parameterisation of one model gives the same equations. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "context_test.h"

#include "model_text.h"

/* The model that the parameterisations describe, as rate constants. */
typedef struct rates {
    double ka, v, k10, k12, k21, k13, k31;
} rates;

static const rates truth = {.ka = 1.3, .v = 12, .k10 = 0.25, .k12 = 0.4, .k21 = 0.15, .k13 = 0.2, .k31 = 0.02};

static bool near(double a, double b) { return fabs(a - b) <= 1e-12 * (1 + fabs(b)); }

static size_t compartment(const ddt_model *m, const char *name) {
    for (size_t i = 0; i < m->compartment_count; i++) {
        if (strcmp(m->compartments[i].name, name) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* d(derivative of row)/d(column): an entry of the rate matrix. */
static double entry(ddt_model *m, const char *row, const char *column, const double *values) {
    size_t r = compartment(m, row);
    size_t c = compartment(m, column);
    if (r == SIZE_MAX || c == SIZE_MAX) {
        return NAN;
    }
    ddt_expr slope = ddt_expr_derivative(m->pool, m->compartments[r].derivative, m->compartments[c].symbol);
    return value_of(m, slope, values);
}

/* Checks a model block that computes y <- linCmt(): `compartments` of them, with or without a depot. */
static void check(const char *block, unsigned compartments, bool has_depot) {
    ddt_model *m = NULL;
    ddt_context_clear(ctx);
    if (model_from(ctx, "", block, &m) != DDT_OK) {
        fail_msg("%s: %s", block, ddt_error_detail(ctx));
    }
    double values[64];
    default_values(m, values);
    bool fine = m->compartment_count == compartments + (has_depot ? 1 : 0);
    double leaving = truth.k10 + (compartments > 1 ? truth.k12 : 0) + (compartments > 2 ? truth.k13 : 0);
    fine = fine && near(entry(m, "central", "central", values), -leaving);
    if (has_depot) {
        fine = fine && compartment(m, "depot") == 0 && near(entry(m, "depot", "depot", values), -truth.ka) &&
               near(entry(m, "central", "depot", values), truth.ka);
    }
    if (compartments > 1) {
        fine = fine && near(entry(m, "peripheral1", "central", values), truth.k12) &&
               near(entry(m, "central", "peripheral1", values), truth.k21) &&
               near(entry(m, "peripheral1", "peripheral1", values), -truth.k21);
    }
    if (compartments > 2) {
        fine = fine && near(entry(m, "peripheral2", "central", values), truth.k13) &&
               near(entry(m, "central", "peripheral2", values), truth.k31) &&
               near(entry(m, "peripheral2", "peripheral2", values), -truth.k31);
    }
    set_value(m, values, "central", 3);
    fine = fine && near(value_of(m, variable_of(m, "y"), values), 3 / truth.v);
    ddt_model_destroy(m);
    if (!fine) {
        fail_msg("wrong equations from %s", block);
    }
}

#define CHECK(compartments, has_depot, ...)                                                                            \
    do {                                                                                                               \
        char block_text[1024];                                                                                         \
        (void)snprintf(block_text, sizeof block_text, __VA_ARGS__);                                                    \
        check(block_text, compartments, has_depot);                                                                    \
    } while (0)

static void clearances(void **state) {
    (void)state;
    const rates *r = &truth;
    double cl = r->k10 * r->v;
    double q = r->k12 * r->v;
    double vp = q / r->k21;
    double q2 = r->k13 * r->v;
    double vp2 = q2 / r->k31;
    CHECK(1, false, "cl <- %.17g; v <- %.17g; y <- linCmt()", cl, r->v);
    CHECK(1, true, "CL <- %.17g; Vc <- %.17g; KA <- %.17g; y <- linCmt()", cl, r->v, r->ka);
    CHECK(1, true, "cl <- %.17g; v2 <- %.17g; ka <- %.17g; y <- linCmt()", cl, r->v, r->ka);
    CHECK(2, false, "cl <- %.17g; vc <- %.17g; q <- %.17g; vp <- %.17g; y <- linCmt()", cl, r->v, q, vp);
    CHECK(2, true, "cl <- %.17g; v1 <- %.17g; q <- %.17g; v2 <- %.17g; ka <- %.17g; y <- linCmt()", cl, r->v, q, vp,
          r->ka);
    CHECK(2, true, "cl <- %.17g; v2 <- %.17g; q <- %.17g; v3 <- %.17g; ka <- %.17g; y <- linCmt()", cl, r->v, q, vp,
          r->ka);
    CHECK(2, false, "cl <- %.17g; v <- %.17g; cld <- %.17g; vt <- %.17g; y <- linCmt()", cl, r->v, q, vp);
    CHECK(2, false, "cl <- %.17g; v <- %.17g; q <- %.17g; vss <- %.17g; y <- linCmt()", cl, r->v, q, r->v + vp);
    CHECK(3, false, "cl <- %.17g; v <- %.17g; q <- %.17g; vp <- %.17g; q2 <- %.17g; vp2 <- %.17g; y <- linCmt()", cl,
          r->v, q, vp, q2, vp2);
    CHECK(3, true,
          "cl <- %.17g; v1 <- %.17g; q1 <- %.17g; v2 <- %.17g; q2 <- %.17g; v3 <- %.17g; ka <- %.17g; y <- linCmt()",
          cl, r->v, q, vp, q2, vp2, r->ka);
    CHECK(3, true,
          "cl <- %.17g; v2 <- %.17g; q3 <- %.17g; v3 <- %.17g; q4 <- %.17g; v4 <- %.17g; ka <- %.17g; y <- linCmt()",
          cl, r->v, q, vp, q2, vp2, r->ka);
}

static void rate_constants(void **state) {
    (void)state;
    const rates *r = &truth;
    CHECK(1, true, "ka <- %.17g; k <- %.17g; v <- %.17g; y <- linCmt()", r->ka, r->k10, r->v);
    CHECK(1, false, "kel <- %.17g; v <- %.17g; y <- linCmt()", r->k10, r->v);
    CHECK(2, true, "ka <- %.17g; k10 <- %.17g; vc <- %.17g; k12 <- %.17g; k21 <- %.17g; y <- linCmt()", r->ka, r->k10,
          r->v, r->k12, r->k21);
    CHECK(3, false, "ke <- %.17g; v <- %.17g; k12 <- %.17g; k21 <- %.17g; k13 <- %.17g; k31 <- %.17g; y <- linCmt()",
          r->k10, r->v, r->k12, r->k21, r->k13, r->k31);
}

/* Roots of the characteristic polynomial of a model with 2 or 3 compartments, largest first, by bisection between its
 * poles. */
static double characteristic(double s, unsigned n) {
    const rates *r = &truth;
    double out = r->k10 + r->k12 * s / (s - r->k21); /* sum of flows out of the central compartment at rate s */
    return (n > 2 ? out + r->k13 * s / (s - r->k31) : out) - s;
}

static double bisect(double low, double high, unsigned n) {
    bool rising = characteristic(low, n) < 0;
    for (int i = 0; i < 200; i++) {
        double middle = 0.5 * (low + high);
        if ((characteristic(middle, n) < 0) == rising) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return 0.5 * (low + high);
}

static void exponents(void **state) {
    (void)state;
    const rates *r = &truth;
    const double tiny = 1e-13;
    CHECK(1, true, "alpha <- %.17g; v <- %.17g; ka <- %.17g; y <- linCmt()", r->k10, r->v, r->ka);
    CHECK(1, false, "alpha <- %.17g; a <- %.17g; y <- linCmt()", r->k10, 1 / r->v);
    double alpha = bisect(r->k21 + tiny, 10, 2);
    double beta = bisect(tiny, r->k21 - tiny, 2);
    double a = (alpha - r->k21) / (r->v * (alpha - beta));
    double b = (r->k21 - beta) / (r->v * (alpha - beta));
    CHECK(2, false, "alpha <- %.17g; beta <- %.17g; k21 <- %.17g; v <- %.17g; y <- linCmt()", alpha, beta, r->k21,
          r->v);
    CHECK(2, true, "alpha <- %.17g; beta <- %.17g; aob <- %.17g; v <- %.17g; ka <- %.17g; y <- linCmt()", alpha, beta,
          a / b, r->v, r->ka);
    CHECK(2, false, "alpha <- %.17g; beta <- %.17g; A <- %.17g; B <- %.17g; y <- linCmt()", alpha, beta, a, b);
    double x = bisect(r->k21 + tiny, 10, 3);
    double y = bisect(r->k31 + tiny, r->k21 - tiny, 3);
    double z = bisect(tiny, r->k31 - tiny, 3);
    double ax = (r->k21 - x) * (r->k31 - x) / ((y - x) * (z - x) * r->v);
    double ay = (r->k21 - y) * (r->k31 - y) / ((x - y) * (z - y) * r->v);
    double az = (r->k21 - z) * (r->k31 - z) / ((x - z) * (y - z) * r->v);
    CHECK(3, false,
          "alpha <- %.17g; beta <- %.17g; gamma <- %.17g; k21 <- %.17g; k31 <- %.17g; v <- %.17g; y <- linCmt()", x, y,
          z, r->k21, r->k31, r->v);
    CHECK(
        3, true,
        "alpha <- %.17g; beta <- %.17g; gamma <- %.17g; a <- %.17g; b <- %.17g; c <- %.17g; ka <- %.17g; y <- linCmt()",
        x, y, z, ax, ay, az, r->ka);
}

static void choice_of_names(void **state) {
    (void)state;
    const rates *r = &truth;
    double cl = r->k10 * r->v;
    /* The names in the brackets are the only ones read. */
    CHECK(1, false, "cl <- %.17g; v <- %.17g; ka <- 9; q <- 1; y <- linCmt(cl, v)", cl, r->v);
    /* Other variables of similar names do not disturb; properties of its compartments can be given. */
    CHECK(1, true,
          "cl <- %.17g; v <- %.17g; ka <- %.17g; beta <- 3; k <- 5; y <- linCmt()\nf(depot) <- 0.5; central(0) <- 1",
          cl, r->v, r->ka);
}

static void thetas_equations_and_residuals(void **state) {
    (void)state;
    ddt_model *m = NULL;
    assert_int_equal(model_from(ctx, "cl <- 3; v <- 12; s <- 0.1; ke0 <- 2",
                                "d/dt(effect) <- ke0 * (linCmt() - effect)\nlinCmt() ~ prop(s)\neffect ~ add(s)", &m),
                     DDT_OK);
    assert_int_equal(m->compartment_count, 2);
    assert_string_equal(m->compartments[0].name, "effect"); /* the compartments of linCmt() come last, as in rxode2 */
    assert_string_equal(m->compartments[1].name, "central");
    assert_int_equal(m->output_count, 2);
    assert_string_equal(m->outputs[0].name, "linCmt");
    ddt_model_destroy(m);
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *block;
        const char *part;
    } cases[] = {{"y <- linCmt()", "it needs parameters named cl and v"},
                 {"cl <- 1; y <- linCmt()", "needs a central volume"},
                 {"cl <- 1; v <- 1; q <- 2; y <- linCmt()", "needs its peripheral volume"},
                 {"k <- 1; v <- 1; k12 <- 2; y <- linCmt()", "k12 goes with k21"},
                 {"alpha <- 1; beta <- 2; v <- 1; y <- linCmt()", "alpha, beta, gamma need"},
                 {"cl <- 1; y <- linCmt(); v <- 2", "before the line that assigns it"},
                 {"cl <- 1; v <- 2; y <- linCmt(3)", "takes names of parameters"},
                 {"cl <- 1; v <- 2; if (W > 1) { y <- linCmt() }", "does not stand under a condition"},
                 {"cl <- 1; v <- 2; d/dt(central) <- -central; y <- linCmt()", "the model has one already"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ddt_model *m = NULL;
        ddt_context_clear(ctx);
        assert_int_equal(model_from(ctx, "", cases[i].block, &m), DDT_ERR_MODEL);
        if (strstr(ddt_error_detail(ctx), cases[i].part) == NULL) {
            fail_msg("%s: %s", cases[i].block, ddt_error_detail(ctx));
        }
    }
    ddt_context_clear(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clearances),
        cmocka_unit_test(rate_constants),
        cmocka_unit_test(exponents),
        cmocka_unit_test(choice_of_names),
        cmocka_unit_test(thetas_equations_and_residuals),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
