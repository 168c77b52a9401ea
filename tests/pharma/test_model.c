/* The model language: what is accepted, what it means, what is refused. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "context_test.h"

#include "model_text.h"

static ddt_model *model(const char *ini, const char *block) {
    ddt_model *m = NULL;
    ddt_context_clear(ctx);
    if (model_from(ctx, ini, block, &m) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(ctx));
    }
    return m;
}

/* The value of variable z of a model block, with a = 2, b = 3 and columns c = 5 and t = 7. */
static double z_of(const char *block) {
    ddt_model *m = model("a <- 2; b <- 3", block);
    double values[64];
    default_values(m, values);
    set_value(m, values, "c", 5);
    set_value(m, values, "t", 7);
    set_value(m, values, "time", 7);
    double z = value_of(m, variable_of(m, "z"), values);
    ddt_model_destroy(m);
    return z;
}

#define ASSERT_Z(block, expected)                                                                                      \
    do {                                                                                                               \
        double z_found = z_of(block);                                                                                  \
        double z_wanted = (expected);                                                                                  \
        if (!(fabs(z_found - z_wanted) <= 1e-14 * fabs(z_wanted))) {                                                   \
            fail_msg("%s gives %.17g, not %.17g", block, z_found, z_wanted);                                           \
        }                                                                                                              \
    } while (0)

/* ------------------------------------------------------------------ expressions */

static void operators_bind_as_in_r(void **state) {
    (void)state;
    ASSERT_Z("z <- a + b * c", 17);
    ASSERT_Z("z <- (a + b) * c", 25);
    ASSERT_Z("z = a - b - c", -6);
    ASSERT_Z("z <- c / a / b", 5.0 / 2 / 3);
    ASSERT_Z("z <- -a^2", -4);
    ASSERT_Z("z <- a^b^a", 512);
    ASSERT_Z("z <- a**b", 8);
    ASSERT_Z("z <- a^-b", 0.125);
    ASSERT_Z("z <- -a * -b", 6);
    ASSERT_Z("z <- 2^-1 * 4", 2);
    ASSERT_Z("z <- c %% b", 2);
    ASSERT_Z("z <- -c %% b", 1);
    ASSERT_Z("z <- c %/% b", 1);
    ASSERT_Z("z <- a * c %% b", 4);
    ASSERT_Z("z <- 1e3 + .5 + 2L + 1.5E-1", 1002.65);
    ASSERT_Z("z <- t + a", 9);
    ASSERT_Z("z <- time + t", 14);
    ASSERT_Z("z <- pi", 3.14159265358979323846);
    ASSERT_Z("z <-a -\n b", -1);
    ASSERT_Z("z <- (a\n + b)", 5);
}

static void comparisons_and_logic(void **state) {
    (void)state;
    ASSERT_Z("z <- (a < b) + (b <= 3) + (a > b) + (b >= 4) + (a == 2) + (b != 3)", 3);
    ASSERT_Z("z <- a < b && b < c", 1);
    ASSERT_Z("z <- a > b || b > c", 0);
    ASSERT_Z("z <- !a == b", 1); /* not (a == b) */
    ASSERT_Z("z <- !(a < b) | c == 5 & b == 3", 1);
    ASSERT_Z("z <- c %in% c(1, 5, 9)", 1);
    ASSERT_Z("z <- a %in% c(1, 5, 9)", 0);
    ASSERT_Z("z <- ifelse(c > 4, a, b)", 2);
}

static void functions_have_their_values(void **state) {
    (void)state;
    ASSERT_Z("z <- exp(a) + log(b) + ln(b)", exp(2) + log(3) + log(3));
    ASSERT_Z("z <- log10(c)", log10(5));
    ASSERT_Z("z <- log2(c)", log2(5));
    ASSERT_Z("z <- log(c, a)", log(5) / log(2));
    ASSERT_Z("z <- log1p(a) + expm1(b)", log1p(2) + expm1(3));
    ASSERT_Z("z <- sqrt(c) + abs(a - b)", sqrt(5) + 1);
    ASSERT_Z("z <- min(a, b, c) + max(a, b, c)", 7);
    ASSERT_Z("z <- pow(a, b)", 8);
    ASSERT_Z("z <- expit(a)", 1 / (1 + exp(-2.0)));
    ASSERT_Z("z <- expit(a, 1, 4)", 1 + 3 / (1 + exp(-2.0)));
    ASSERT_Z("z <- logit(1 / a)", 0);
    ASSERT_Z("z <- logit(a, 1, 5)", log(1.0 / 3));
    ASSERT_Z("z <- gamma(c) + lgamma(c) + factorial(b) + lfactorial(b)", 24 + lgamma(5) + 6 + lgamma(4));
    ASSERT_Z("z <- tanh(a) + sin(a) + cos(a) + tan(a)", tanh(2) + sin(2) + cos(2) + tan(2));
    ASSERT_Z("z <- sinh(a) + cosh(a)", sinh(2) + cosh(2));
    ASSERT_Z("z <- floor(c / a) + ceiling(c / a)", 5);
    ASSERT_Z("z <- sum(a, b, c) * prod(a, b)", 60);
}

/* ------------------------------------------------------------------ statements */

static void variables_are_assigned_in_order(void **state) {
    (void)state;
    ASSERT_Z("y <- a; z <- y + 1; y <- b", 3);
    ASSERT_Z("z <- a\nz <- z * z\nz <- z + 1", 5);
    ASSERT_Z("a <- a * 10; z <- a", 20); /* a variable may take a parameter's name */
    ASSERT_Z("c <- c / 10; z <- c", 0.5);
    ASSERT_Z("`my name` <- a; z <- `my name` + 1", 3);
}

static void conditions_become_values(void **state) {
    (void)state;
    ASSERT_Z("if (c > 4) { z <- a } else { z <- b }", 2);
    ASSERT_Z("if (c < 4) z <- a else z <- b", 3);
    ASSERT_Z("z <- 1\nif (c < 4) {\n z <- a\n}", 1);
    ASSERT_Z("if (c < 4) {\n z <- a\n} else if (c < 6) {\n z <- b\n} else {\n z <- c\n}", 3);
    ASSERT_Z("if (c < 4) {\n z <- a\n}\nelse {\n z <- b }", 3);
    ASSERT_Z("y <- 1; if (a == 2) { y <- y + 1; if (b == 3) { y <- y * 10 } }\nz <- y", 20);
    ASSERT_Z("if (c == 4) y <- a\nif (c == 5) y <- b\nz <- y", 3);
    ASSERT_Z("y <- 1; if (c == 5) { y <- 2; y <- y + 5 } else { y <- 3; w <- 1 }\nz <- y", 7);
    ASSERT_Z("if (c < 4) a <- 100\nz <- a", 2); /* else the parameter itself */
}

static void compartments_and_their_properties(void **state) {
    (void)state;
    ddt_model *m =
        model("ka <- 1; cl <- 2; v <- 4; tlag <- 0.5", "d/dt(depot) <- -ka * depot\n"
                                                       "d/dt(central) = ka * depot - cl / v * central\n"
                                                       "depot(0) <- 3; f(depot) <- 0.8; alag(depot) <- tlag\n"
                                                       "rate(central) <- 10; dur(central) <- v; lag(central) <- 2\n"
                                                       "if (WT > 70) { F(central) <- 0.5 }\n"
                                                       "cp <- central / v; slope <- d/dt(depot)\n"
                                                       "cp ~ add(0.1)");
    double values[64];
    default_values(m, values);
    set_value(m, values, "depot", 6);
    set_value(m, values, "central", 8);
    set_value(m, values, "WT", 80);
    assert_int_equal(m->compartment_count, 2);
    const ddt_compartment *depot = &m->compartments[0];
    const ddt_compartment *central = &m->compartments[1];
    assert_string_equal(depot->name, "depot");
    assert_int_equal(depot->line, 4);
    assert_true(value_of(m, depot->derivative, values) == -6);
    assert_true(value_of(m, central->derivative, values) == 2);
    assert_true(value_of(m, depot->initial, values) == 3);
    assert_true(value_of(m, depot->bioavailability, values) == 0.8);
    assert_true(value_of(m, depot->lag_h, values) == 0.5);
    assert_int_equal(depot->rate, DDT_EXPR_NONE);
    assert_true(value_of(m, central->rate, values) == 10);
    assert_true(value_of(m, central->duration, values) == 4);
    assert_true(value_of(m, central->lag_h, values) == 2);
    assert_true(value_of(m, central->bioavailability, values) == 0.5);
    set_value(m, values, "WT", 60);
    assert_true(value_of(m, central->bioavailability, values) == 1);
    assert_true(value_of(m, variable_of(m, "slope"), values) == -6);
    assert_int_equal(m->symbols[central->symbol].kind, DDT_SYMBOL_STATE);
    ddt_model_destroy(m);
}

static void compartments_are_numbered_in_order(void **state) {
    (void)state;
    ddt_model *m = model("k <- 1", "cmt(b); cmt(a)\nx <- a + b\nd/dt(a) <- k * b; d / dt (c) <- -k * c; d/dt(b) <- -x");
    assert_int_equal(m->compartment_count, 3);
    assert_string_equal(m->compartments[0].name, "b");
    assert_string_equal(m->compartments[1].name, "a");
    assert_string_equal(m->compartments[2].name, "c");
    assert_int_equal(m->output_count, 3); /* no residual line: all compartments */
    assert_string_equal(m->outputs[2].name, "c");
    ddt_model_destroy(m);
}

/* ------------------------------------------------------------------ ini */

static const ddt_symbol *symbol(const ddt_model *m, const char *name) {
    int64_t at = ddt_model_find_symbol(m, name);
    assert_true(at >= 0);
    return &m->symbols[at];
}

static void ini_gives_parameters(void **state) {
    (void)state;
    ddt_model *m = model("lcl <- log(4); label(\"log CL\"); tv = c(1, 2, 3); x <- fixed(-1.5)\n"
                         "y <- c(0, fix(0.5)); q <- c(-Inf, 7, Inf, fixed); lw <- log(c(1, 2, 4)); add.sd <- c(0, 1)\n"
                         "n <- 2 * 3^2 - exp(0)",
                         "z <- lcl + tv + x + y + q + lw + add.sd + n");
    assert_true(symbol(m, "lcl")->value == log(4));
    assert_string_equal(symbol(m, "lcl")->label, "log CL");
    assert_int_equal(symbol(m, "lcl")->kind, DDT_SYMBOL_THETA);
    assert_false(symbol(m, "lcl")->is_fixed);
    assert_true(symbol(m, "tv")->value == 2 && symbol(m, "tv")->lower == 1 && symbol(m, "tv")->upper == 3);
    assert_true(symbol(m, "x")->value == -1.5 && symbol(m, "x")->is_fixed);
    assert_true(symbol(m, "y")->value == 0.5 && symbol(m, "y")->is_fixed && symbol(m, "y")->lower == 0);
    assert_true(symbol(m, "q")->value == 7 && symbol(m, "q")->is_fixed && isinf(symbol(m, "q")->upper));
    assert_true(symbol(m, "lw")->value == log(2) && symbol(m, "lw")->lower == 0);
    assert_true(symbol(m, "n")->value == 17);
    ddt_model_destroy(m);
}

static void assert_omega(const ddt_model *m, const double *expected) {
    for (size_t i = 0; i < m->eta_count * m->eta_count; i++) {
        if (!(fabs(m->omega[i] - expected[i]) < 1e-15)) {
            fail_msg("omega[%zu] is %.17g, not %.17g", i, m->omega[i], expected[i]);
        }
    }
}

static void ini_gives_random_effects(void **state) {
    (void)state;
    ddt_model *m = model("e1 ~ 0.1; e2 + e3 ~ c(0.2,\n 0.05, 0.3); e4 ~ fix(0.4); e5 ~ sd(0.5); e6 ~ 0.6 | id",
                         "z <- e1 + e2 + e3 + e4 + e5 + e6");
    assert_int_equal(m->eta_count, 6);
    const double expected[36] = {0.1, 0, 0, 0,   0, 0, 0, 0.2, 0.05, 0, 0,    0, 0, 0.05, 0.3, 0, 0, 0,
                                 0,   0, 0, 0.4, 0, 0, 0, 0,   0,    0, 0.25, 0, 0, 0,    0,   0, 0, 0.6};
    assert_omega(m, expected);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(m->symbols[m->etas[i]].kind, DDT_SYMBOL_ETA);
        assert_true(m->symbols[m->etas[i]].omega2 == expected[i * 6 + i]);
    }
    ddt_model_destroy(m);

    m = model("e1 ~ 4; e2 ~ c(1, 9)", "z <- e1 + e2"); /* a row that continues the block before it */
    assert_omega(m, (const double[]){4, 1, 1, 9});
    ddt_model_destroy(m);
    m = model("e1 + e2 ~ sd(cor(2, 0.5, 3))", "z <- e1 + e2");
    assert_omega(m, (const double[]){4, 3, 3, 9});
    ddt_model_destroy(m);
    m = model("e1 + e2 ~ cor(4, 0.5, 9)", "z <- e1 + e2");
    assert_omega(m, (const double[]){4, 3, 3, 9});
    ddt_model_destroy(m);
    m = model("e1 + e2 ~ chol(2, 1, 3)", "z <- e1 + e2");
    assert_omega(m, (const double[]){4, 2, 2, 10});
    ddt_model_destroy(m);
}

static void effects_may_vary_by_occasion(void **state) {
    (void)state;
    static const char text[] =
        "m <- function() {\n"
        "  covariateData <- list(WT = list(range = c(1, 9)), occ = list(units = '', range = c(1, 3)))\n"
        "  ini({ e ~ 0.5; a + b ~ c(0.1, 0.02, 0.2) | occ; g ~ 0.3 | id })\n"
        "  model({ z <- e + 10 * a + 100 * b + WT + g })\n"
        "}";
    ddt_model *m = NULL;
    assert_int_equal(ddt_model_parse(ctx, text, sizeof text - 1, "m.R", &m), DDT_OK);
    assert_int_equal(m->eta_count, 8);
    static const char *const names[] = {"e", "a_1", "b_1", "a_2", "b_2", "a_3", "b_3", "g"};
    double expected[64] = {0};
    for (size_t i = 0; i < 8; i++) {
        assert_string_equal(m->symbols[m->etas[i]].name, names[i]);
        expected[9 * i] = names[i][0] == 'a' ? 0.1 : (names[i][0] == 'b' ? 0.2 : (names[i][0] == 'e' ? 0.5 : 0.3));
        if (names[i][0] == 'a') {
            expected[9 * i + 1] = expected[9 * i + 8] = 0.02;
        }
    }
    assert_omega(m, expected);
    assert_int_equal(symbol(m, "occ")->kind, DDT_SYMBOL_COVARIATE);
    assert_true(symbol(m, "occ")->is_discrete);
    double values[64];
    default_values(m, values);
    for (unsigned occasion = 1; occasion <= 4; occasion++) {
        for (size_t i = 0; i < 8; i++) {
            values[m->etas[i]] = (double)(i + 1);
        }
        set_value(m, values, "occ", occasion);
        double wanted = occasion > 3 ? 9 : 1 + 10 * (2.0 * occasion) + 100 * (2.0 * occasion + 1) + 8;
        assert_true(value_of(m, variable_of(m, "z"), values) == wanted);
    }
    ddt_model_destroy(m);
}

/* ------------------------------------------------------------------ residuals and outputs */

static void residual_lines_make_outputs(void **state) {
    (void)state;
    ddt_model *m = model("p.sd <- 0.1; a.sd <- 2",
                         "d/dt(x) <- -x\n"
                         "y1 <- x; y2 <- 2 * x; y3 <- x; y4 <- x; y5 <- x; y6 <- x; y7 <- x; sd7 <- x * p.sd\n"
                         "y1 ~ prop(p.sd)\ny2 ~ add(a.sd) + prop(p.sd)\ny3 ~ lnorm(p.sd) | end\n"
                         "y4 ~ add(a.sd) + prop(p.sd) + combined1()\ny5 ~ add(2 * a.sd)\ny6 ~ pow(p.sd, 0.5)\n"
                         "y7 ~ add(sd7)\nx ~ prop(p.sd) + add(a.sd) + combined2()");
    static const struct {
        const char *name;
        ddt_residual_kind kind;
        double additive;
        double proportional;
    } expected[] = {{"y1", DDT_RESIDUAL_PROPORTIONAL, 0, 0.1}, {"y2", DDT_RESIDUAL_COMBINED, 2, 0.1},
                    {"y3", DDT_RESIDUAL_LOG, 0.1, 0},          {"y4", DDT_RESIDUAL_COMBINED_SD, 2, 0.1},
                    {"y5", DDT_RESIDUAL_ADDITIVE, 4, 0},       {"y6", DDT_RESIDUAL_OTHER, 0, 0},
                    {"y7", DDT_RESIDUAL_OTHER, 0, 0},          {"x", DDT_RESIDUAL_COMBINED, 2, 0.1}};
    assert_int_equal(m->output_count, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_string_equal(m->outputs[i].name, expected[i].name);
        assert_int_equal(m->outputs[i].residual, expected[i].kind);
        assert_true(m->outputs[i].additive_sd == expected[i].additive);
        assert_true(m->outputs[i].proportional_sd == expected[i].proportional);
    }
    assert_int_equal(m->outputs[0].line, 6);
    assert_int_equal(ddt_model_set_param(ctx, m, "a.sd", 3), DDT_OK);
    assert_true(m->outputs[4].additive_sd == 6);
    assert_int_equal(ddt_model_set_param(ctx, m, "nothing", 3), DDT_ERR_MODEL);
    assert_int_equal(ddt_model_set_param(ctx, m, "x", 3), DDT_ERR_MODEL);
    assert_int_equal(ddt_model_set_param(ctx, m, "a.sd", INFINITY), DDT_ERR_MODEL);
    ddt_context_clear(ctx);
    ddt_model_destroy(m);
}

static void outputs_can_be_chosen(void **state) {
    (void)state;
    ddt_model *m = model("k <- 1; s <- 0.2", "d/dt(x) <- -k * x; y <- x / 2; w <- 3; y ~ prop(s)");
    assert_int_equal(ddt_model_select_outputs(ctx, m, (const char *const[]){"w", "y", "x"}, 3), DDT_OK);
    assert_int_equal(m->output_count, 3);
    assert_int_equal(m->outputs[0].residual, DDT_RESIDUAL_NONE);
    assert_int_equal(m->outputs[1].residual, DDT_RESIDUAL_PROPORTIONAL);
    assert_true(m->outputs[1].proportional_sd == 0.2);
    assert_int_equal(m->outputs[2].value, ddt_expr_symbol(m->pool, m->compartments[0].symbol));
    assert_int_equal(ddt_model_select_outputs(ctx, m, (const char *const[]){"nothing"}, 1), DDT_ERR_MODEL);
    assert_non_null(strstr(ddt_error_detail(ctx), "nothing"));
    assert_int_equal(m->output_count, 3);
    assert_int_equal(ddt_model_select_outputs(ctx, m, NULL, 0), DDT_ERR_MODEL);
    ddt_context_clear(ctx);
    ddt_model_destroy(m);
}

/* ------------------------------------------------------------------ the file around the blocks */

static void metadata_is_read(void **state) {
    (void)state;
    static const char text[] = "\xEF\xBB\xBF# a comment with 'quotes' and { brackets\r\n"
                               "library(nlmixr2)\r\n"
                               "my.model <- function() {\r\n"
                               "  description <- 'Says: \"what\"'\r\n"
                               "  reference <- paste('First.', \"Second.\", sep = ' ')\r\n"
                               "  units <- list(time = 'hours', dosing = \"mg\", concentration = 'ng/mL')\r\n"
                               "  population <- list(n = 5L, notes = c('a', 'b'), f = function(x) { x })\r\n"
                               "  covariateData <- list(\r\n"
                               "    WT = list(description = 'weight', units = 'kg', type = 'continuous', range = c(40, "
                               "12 * 10), ref = NULL),\r\n"
                               "    SEX = list(units = '(binary)', type = 'binary'),\r\n"
                               "    UNUSED = list(range = c(1, 2)))\r\n"
                               "  ini({ cl <- 1 })\r\n"
                               "  model({\r\n    d/dt(x) <- -cl * WT * x * (1 + SEX) # end\r\n  })\r\n"
                               "}\r\n";
    ddt_model *m = NULL;
    assert_int_equal(ddt_model_parse(ctx, text, sizeof text - 1, "dir/f.R", &m), DDT_OK);
    assert_string_equal(m->name, "my.model");
    assert_string_equal(m->path, "dir/f.R");
    assert_string_equal(m->description, "Says: \"what\"");
    assert_string_equal(m->reference, "First. Second.");
    assert_string_equal(m->time_unit, "h");
    assert_string_equal(m->dose_unit, "mg");
    assert_string_equal(m->concentration_unit, "ng/mL");
    const ddt_symbol *weight = symbol(m, "WT");
    assert_int_equal(weight->kind, DDT_SYMBOL_COVARIATE);
    assert_true(weight->has_range && weight->range_low == 40 && weight->range_high == 120);
    assert_string_equal(weight->unit, "kg");
    assert_string_equal(weight->label, "weight");
    assert_false(weight->is_discrete);
    assert_true(symbol(m, "SEX")->is_discrete);
    assert_false(symbol(m, "SEX")->has_range);
    assert_true(ddt_model_find_symbol(m, "UNUSED") == -1);
    ddt_model_destroy(m);
}

static void anonymous_functions_and_missing_ini(void **state) {
    (void)state;
    static const char text[] = "function() {\n model({ x <- 1 + WT }) }";
    ddt_model *m = NULL;
    assert_int_equal(ddt_model_parse(ctx, text, sizeof text - 1, "dir/f.R", &m), DDT_OK);
    assert_string_equal(m->name, "dir/f.R");
    assert_string_equal(m->time_unit, "h");
    assert_null(m->reference);
    assert_int_equal(m->compartment_count, 0);
    ddt_model_destroy(m);
}

static void columns_and_breaks_are_analysed(void **state) {
    (void)state;
    ddt_model *m =
        model("tau <- 3; k <- 1", "mtime(stop) <- 2 * tau\nr <- 0; if (t < stop) r <- 1; if (time >= 24) r <- 2\n"
                                  "if (SEX == 1) r <- r * 2\nif (WT > 50) r <- r * 3\nd/dt(x) <- r - k * x");
    assert_int_equal(m->break_count, 2);
    double values[64];
    default_values(m, values);
    assert_true(value_of(m, m->breaks[0], values) == 6);
    assert_true(value_of(m, m->breaks[1], values) == 24);
    assert_true(symbol(m, "SEX")->is_discrete);
    assert_false(symbol(m, "WT")->is_discrete);
    ddt_model_destroy(m);
}

/* ------------------------------------------------------------------ refusals */

static void refusals_name_line_and_reason(void **state) {
    (void)state;
    static const struct {
        const char *ini;
        const char *block;
        const char *message; /* NULL: any message */
    } cases[] = {
        {"", "x <- foo(1)", "m.R:4: foo cannot be run: this function is not known."},
        {"", "x <- exp(1, 2)", "m.R:4: exp cannot be run: it takes one argument."},
        {"", "x <- pow(1)", "m.R:4: pow cannot be run: it does not take that number of arguments."},
        {"", "y <- 1\nx <- y +", "m.R:6: } cannot be run: a value was expected here."},
        {"", "x <- (1 + 2", NULL},
        {"", "x <- 1 2", "m.R:4: 2 cannot be run: the line should end here."},
        {"", "x <- \"text\"", "m.R:4: text cannot be run: text is not a value that can be computed with."},
        {"", "d/dt(x) <- y; y <- 1", "m.R:4: y cannot be run: it is read here before the line that assigns it."},
        {"", "f(depot) <- 1; x <- 2", "m.R:4: depot cannot be run: no compartment has this name."},
        {"", "x(0) <- 1", "m.R:4: x cannot be run: no compartment has this name."},
        {"", "d/dt(x) <- -x; x <- 3", "m.R:4: x cannot be run: a compartment is not assigned; its change is d/dt()."},
        {"x <- 1", "d/dt(x) <- -x",
         "m.R:4: x cannot be run: the name is a parameter already and cannot be a compartment."},
        {"", "while (1) x <- 1", NULL},
        {"", "x <- tafd", "m.R:4: tafd cannot be run: this value of the event table cannot be read by a model."},
        {"", "x <- tad(y)", "m.R:4: y cannot be run: no compartment has this name."},
        {"", "x <- 1; y ~ add(1)", "m.R:4: y cannot be run: its residual line names no variable of the model."},
        {"", "x <- 1; x ~ nonsense(1)", "m.R:4: nonsense cannot be run: this residual model is not known."},
        {"", "x <- 1; x ~ add(1); x ~ prop(1)", "m.R:4: x cannot be run: it has two residual lines."},
        {"", "x <- 1; if (x) { x ~ add(1) }", NULL},
        {"", "if (W > 1) { d/dt(x) <- -x }",
         "m.R:4: x cannot be run: its equation, rate or duration is given under a condition and not otherwise."},
        {"", "nonsense(x) <- 1; d/dt(x) <- 1",
         "m.R:4: nonsense cannot be run: a line that begins with this call is not known."},
        {"", "k <- 2; locf(k); d/dt(x) <- -k * x", "m.R:4: k cannot be run: this line takes data columns."},
        {"", "linear(3); d/dt(x) <- -x", "m.R:4: 3 cannot be run: this line takes data columns."},
        {"", "nocb(W; d/dt(x) <- -W * x", NULL},
        {"", "", "m.R:1: the model cannot be run: it computes nothing."},
        {"", "x <- linCmt()", NULL},
        {"", "x <- y[1]", NULL},
        {"", "mtime(a) <- t; x <- a", NULL},
        {"a <- b", "x <- 1", "m.R:2: b cannot be run: ini takes numbers, and this name is not one."},
        {"a <- 1; a <- 2", "x <- 1", "m.R:2: a cannot be run: ini gives it twice."},
        {"a <- 1; a ~ 2", "x <- 1", "m.R:2: a cannot be run: ini gives it twice."},
        {"a <- c(3, 2)", "x <- 1", "m.R:2: a cannot be run: its estimate is not a finite number between its bounds."},
        {"a <- c(1, 2, 3, 4)", "x <- 1", NULL},
        {"a <- log(-1)", "x <- 1", NULL},
        {"e ~ -1", "x <- 1", "m.R:2: e cannot be run: its variance is not a finite number of at least 0."},
        {"e + f ~ c(1, 2)", "x <- 1", NULL},
        {"e + f ~ c(1, 2, 1)", "x <- 1", "m.R:2: f cannot be run: its covariance is larger than its variances allow."},
        {"e ~ 1 | occ", "x <- 1",
         "m.R:2: occ cannot be run: effects by occasion need its number of occasions: range = c(1, n) in "
         "covariateData."},
        {"e_1 ~ 1; e ~ 1 | occ", "x <- 1", NULL},
        {"1 <- 2", "x <- 1", NULL},
        {"label(\"a\")", "x <- 1", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ddt_model *m = NULL;
        ddt_context_clear(ctx);
        if (model_from(ctx, cases[i].ini, cases[i].block, &m) != DDT_ERR_MODEL) {
            fail_msg("ini({%s}) model({%s}) is not refused: %s", cases[i].ini, cases[i].block, ddt_error_detail(ctx));
        }
        assert_null(m);
        if (cases[i].message != NULL) {
            assert_string_equal(ddt_error_detail(ctx), cases[i].message);
        } else {
            assert_non_null(strstr(ddt_error_detail(ctx), "m.R:"));
        }
    }
    ddt_context_clear(ctx);
}

static void refuse_file(const char *text, size_t length, const char *part) {
    ddt_model *m = NULL;
    ddt_context_clear(ctx);
    assert_int_equal(ddt_model_parse(ctx, text, length, "m.R", &m), DDT_ERR_MODEL);
    assert_null(m);
    if (strstr(ddt_error_detail(ctx), part) == NULL) {
        fail_msg("'%s' does not say '%s'", ddt_error_detail(ctx), part);
    }
    ddt_context_clear(ctx);
}

static void broken_files_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *part;
    } cases[] = {{"", "has no 'name <- function()"},
                 {"x <- 5\n", "has no 'name <- function()"},
                 {"m <- function() { }", "no model({...})"},
                 {"m <- function() { model({ x <- 1 })", "is still open"},
                 {"m <- function() { model({ x <- 1 ) }", "no matching"},
                 {"m <- function() { model({ x <- 'a })}", "never ends"},
                 {"m <- function() { model({ x <- 1 \x01 })}", "has no place in a model"},
                 {"m <- function() { model({ x <- \xC3\xA9 })}", "has no place in a model"},
                 {"m <- function() { model({ `tlast(x)` <- 1 })}", "in backticks"},
                 {"m <- function() { model({ x <- 1.2.3 })}", "cannot be read"},
                 {"m <- function() { model({ x <- 12abc })}", "cannot be read"},
                 {"m <- function() { model({ x <- 1 }); model({ y <- 2 }) }", "twice"},
                 {"m <- function() { covariateData <- list(W = list(range = c(2, 1)))\n model({ x <- W }) }", "range"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        refuse_file(cases[i].text, strlen(cases[i].text), cases[i].part);
    }
    ddt_model *m = NULL;
    assert_int_equal(ddt_model_read(ctx, "/nowhere/x.R", &m), DDT_ERR_IO);
    ddt_context_clear(ctx);
}

/* Files that try to exhaust the stack or the memory. */
static void hostile_sizes_are_refused(void **state) {
    (void)state;
    enum { SIZE = 1 << 20 };
    char *text = ddt_alloc(SIZE + 1, 1);
    assert_non_null(text);
    static const char head[] = "m <- function() { model({ x <- ";
    static const char *const repeated[] = {"(", "-", "!", "a^", "exp(", "if (a) ", "a+(", "c(", "{"};
    for (size_t k = 0; k < sizeof repeated / sizeof repeated[0]; k++) {
        size_t n = sizeof head - 1;
        memcpy(text, head, n);
        while (n + 10 < SIZE) {
            memcpy(text + n, repeated[k], strlen(repeated[k]));
            n += strlen(repeated[k]);
        }
        refuse_file(text, n, "m.R");
    }
    memset(text, ' ', SIZE + 1);
    refuse_file(text, SIZE + 1, "1 MiB");
    /* Squaring a sum again and again doubles nothing here: equal expressions are one. */
    size_t n = (size_t)snprintf(text, SIZE, "m <- function() { model({ x <- a + b\n");
    for (int i = 0; i < 2000; i++) {
        n += (size_t)snprintf(text + n, SIZE - n, "x <- x * x + x\n");
    }
    n += (size_t)snprintf(text + n, SIZE - n, "}) }");
    ddt_model *m = NULL;
    assert_int_equal(ddt_model_parse(ctx, text, n, "m.R", &m), DDT_OK);
    assert_true(ddt_expr_pool_count(m->pool) < 5000);
    ddt_model_destroy(m);
    ddt_free(text);
}

/* ------------------------------------------------------------------ memory and mutations */

static const char *const files[] = {"theophylline.R",
                                    "vancomycin_thomson2009.R",
                                    "vancomycin_goti2018.R",
                                    "tacrolimus_woillard2011.R",
                                    "warfarin.R",
                                    "phenytoin_yukawa1990.R",
                                    "phenobarbital_grasela1985.R",
                                    "friberg_paclitaxel.R",
                                    "tmdd_qss.R",
                                    "dupilumab_kovalenko2020.R",
                                    "ddi_midazolam.R",
                                    "wbpbpk_jones2013.R"};

static char *read_model_text(const char *file, size_t *length) {
    char path[512];
    char *text = NULL;
    (void)snprintf(path, sizeof path, "%s/models/%s", DDT_SOURCE_DIR, file);
    assert_int_equal(ddt_read_text(ctx, path, 1 << 20, &text, length), DDT_OK);
    return text;
}

/* What the house promises of each model: a citation, units, a range for every column, a residual for every output. */
static void shipped_models_are_complete(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof files / sizeof files[0]; k++) {
        char path[512];
        ddt_model *m = NULL;
        (void)snprintf(path, sizeof path, "%s/models/%s", DDT_SOURCE_DIR, files[k]);
        if (ddt_model_read(ctx, path, &m) != DDT_OK) {
            fail_msg("%s", ddt_error_detail(ctx));
        }
        bool cited = m->reference != NULL && strlen(m->reference) > 40 && m->description != NULL;
        bool has_units = m->dose_unit != NULL && m->concentration_unit != NULL;
        if (!cited || !has_units || m->eta_count == 0 || strncmp(m->name, files[k], strlen(m->name)) != 0) {
            fail_msg("%s lacks a description, reference, units, effects or its file's name", files[k]);
        }
        for (size_t i = 0; i < m->symbol_count; i++) {
            const ddt_symbol *s = &m->symbols[i];
            bool fine = s->kind == DDT_SYMBOL_THETA ? s->label != NULL : true;
            if (s->kind == DDT_SYMBOL_COVARIATE) {
                fine = s->has_range && s->unit != NULL && s->label != NULL;
            }
            if (!fine) {
                fail_msg("%s: %s lacks a label or a range", files[k], s->name);
            }
        }
        for (size_t i = 0; i < m->output_count; i++) {
            assert_true(m->outputs[i].residual != DDT_RESIDUAL_NONE && m->outputs[i].residual != DDT_RESIDUAL_OTHER);
        }
        ddt_model_destroy(m);
    }
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof files / sizeof files[0]; k++) {
        size_t length = 0;
        char *text = read_model_text(files[k], &length);
        ddt_status status = DDT_ERR_MEMORY;
        for (uint64_t n = 0; status != DDT_OK; n++) {
            ddt_model *m = NULL;
            (void)ddt_alloc_fail_after(n);
            status = ddt_model_parse(ctx, text, length, files[k], &m);
            (void)ddt_alloc_fail_after(UINT64_MAX);
            assert_true(status == DDT_ERR_MEMORY || status == DDT_OK);
            assert_true((status == DDT_OK) == (m != NULL));
            ddt_model_destroy(m);
            ddt_context_clear(ctx);
        }
        ddt_free(text);
    }
}

static uint64_t seed = 1;
static uint64_t next_random(void) {
    uint64_t z = (seed += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

/* Deletes, copies and replaces pieces of a text; what comes out is read or refused, never more. */
static size_t mutate(char *text, size_t length, size_t room) {
    static const char *const pieces[] = {
        "(", ")",  "{",  "}",    "~",   "<-",       "d/dt(", "linCmt()", "if (",      "else",
        ",", "^",  "-",  "1e99", "ka",  "central",  "\n",    ";",        "c(",        "\"",
        "#", "|",  "cl", "f(",   "0)",  "function", "ini(",  "model({",  "fix(",      "'",
        "q", "vp", "&",  "%in%", "tad", "mtime(",   "==",    "list(",    "range = c("};
    for (uint64_t k = 1 + next_random() % 4; k > 0 && length > 2; k--) {
        size_t from = next_random() % length;
        size_t n = next_random() % (length - from);
        n = n < 40 ? n : 40;
        if (next_random() % 3 == 0) {
            memmove(text + from, text + from + n, length - from - n);
            length -= n;
            continue;
        }
        const char *piece = pieces[next_random() % (sizeof pieces / sizeof pieces[0])];
        size_t added = next_random() % 2 == 0 ? strlen(piece) : n;
        if (length + added > room) {
            continue;
        }
        memmove(text + from + added, text + from, length - from);
        if (added == strlen(piece)) {
            memcpy(text + from, piece, added);
        }
        length += added;
    }
    return length;
}

static void mutated_files_do_no_harm(void **state) {
    (void)state;
    enum { ROOM = 1 << 14, ROUNDS = 600 };
    size_t accepted = 0;
    for (size_t k = 0; k < sizeof files / sizeof files[0]; k++) {
        size_t length = 0;
        char *text = read_model_text(files[k], &length);
        char *changed = ddt_alloc(ROOM, 1);
        assert_non_null(changed);
        for (int i = 0; i < ROUNDS; i++) {
            memcpy(changed, text, length);
            size_t n = mutate(changed, length, ROOM);
            ddt_model *m = NULL;
            ddt_status status = ddt_model_parse(ctx, changed, n, "mutated.R", &m);
            assert_true(status == DDT_OK || status == DDT_ERR_MODEL);
            assert_true((status == DDT_OK) == (ddt_error_detail(ctx)[0] == '\0'));
            accepted += status == DDT_OK;
            ddt_model_destroy(m);
            ddt_context_clear(ctx);
        }
        ddt_free(changed);
        ddt_free(text);
    }
    assert_true(accepted > 0); /* changes in comments and numbers are harmless */
}

static void time_unit_from_labels(void **state) {
    (void)state;
    ddt_model *m = model("k <- 1; label('Elimination rate (1/d)')", "d/dt(x) <- -k * x");
    assert_string_equal(m->time_unit, "day");
    ddt_model_destroy(m);
    m = model("k <- 1; label('Rate (1/d)'); v <- 1; label('Clearance (L/h)')", "d/dt(x) <- -k * v * x");
    assert_string_equal(m->time_unit, "h");
    ddt_model_destroy(m);
    m = model("k <- 1; label('Rate')", "d/dt(x) <- -k * x");
    assert_string_equal(m->time_unit, "h");
    ddt_model_destroy(m);
    static const char given[] = "m <- function() {\nunits <- list(time = 'h')\nini({ k <- 1; label('Rate (1/d)') })\n"
                                "model({ d/dt(x) <- -k * x })\n}\n";
    m = NULL;
    assert_int_equal(ddt_model_parse(ctx, given, sizeof given - 1, "m.R", &m), DDT_OK);
    assert_string_equal(m->time_unit, "h");
    ddt_model_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_unit_from_labels),
        cmocka_unit_test(operators_bind_as_in_r),
        cmocka_unit_test(comparisons_and_logic),
        cmocka_unit_test(functions_have_their_values),
        cmocka_unit_test(variables_are_assigned_in_order),
        cmocka_unit_test(conditions_become_values),
        cmocka_unit_test(compartments_and_their_properties),
        cmocka_unit_test(compartments_are_numbered_in_order),
        cmocka_unit_test(ini_gives_parameters),
        cmocka_unit_test(ini_gives_random_effects),
        cmocka_unit_test(effects_may_vary_by_occasion),
        cmocka_unit_test(residual_lines_make_outputs),
        cmocka_unit_test(outputs_can_be_chosen),
        cmocka_unit_test(metadata_is_read),
        cmocka_unit_test(anonymous_functions_and_missing_ini),
        cmocka_unit_test(columns_and_breaks_are_analysed),
        cmocka_unit_test(refusals_name_line_and_reason),
        cmocka_unit_test(broken_files_are_refused),
        cmocka_unit_test(hostile_sizes_are_refused),
        cmocka_unit_test(shipped_models_are_complete),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(mutated_files_do_no_harm),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
