/* Expressions: identities, derivatives, programs, substitution, text. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ddt/pharma/model.h"

enum { SYMBOLS = 4, RANDOM_EXPRESSIONS = 400, STEPS = 14 };

static ddt_context *ctx;
static ddt_expr_pool *pool;
static const char *const names[SYMBOLS] = {"a", "b", "x", "y"};

static int setup(void **state) {
    (void)state;
    return ddt_context_create(&ctx) == DDT_OK && ddt_expr_pool_create(ctx, &pool) == DDT_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    ddt_expr_pool_destroy(pool);
    ddt_context_destroy(ctx);
    return 0;
}

/* splitmix64: the same sequence on every machine. */
static uint64_t seed = 1;
static uint64_t next_random(void) {
    uint64_t z = (seed += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}
static double random_unit(void) { return (double)(next_random() >> 11) * 0x1p-53; }

static ddt_expr constant(double v) { return ddt_expr_const(pool, v); }
static ddt_expr symbol(uint32_t s) { return ddt_expr_symbol(pool, s); }
static ddt_expr bin(ddt_expr_op op, ddt_expr a, ddt_expr b) { return ddt_expr_binary(pool, op, a, b); }
static ddt_expr un(ddt_expr_op op, ddt_expr a) { return ddt_expr_unary(pool, op, a); }

static void equal_expressions_are_one(void **state) {
    (void)state;
    ddt_expr x = symbol(2);
    ddt_expr y = symbol(3);
    assert_int_equal(x, symbol(2));
    assert_int_equal(bin(DDT_EXPR_ADD, x, y), bin(DDT_EXPR_ADD, y, x));
    assert_int_equal(bin(DDT_EXPR_MUL, x, y), bin(DDT_EXPR_MUL, y, x));
    assert_int_not_equal(bin(DDT_EXPR_SUB, x, y), bin(DDT_EXPR_SUB, y, x));
    assert_int_equal(constant(0.0), constant(-0.0));
    assert_int_equal(constant(NAN), constant(-NAN));
}

static void exact_identities_hold(void **state) {
    (void)state;
    ddt_expr x = symbol(2);
    ddt_expr y = symbol(3);
    ddt_expr zero = constant(0);
    ddt_expr one = constant(1);
    assert_int_equal(bin(DDT_EXPR_ADD, x, zero), x);
    assert_int_equal(bin(DDT_EXPR_SUB, x, x), zero);
    assert_int_equal(bin(DDT_EXPR_SUB, zero, x), un(DDT_EXPR_NEG, x));
    assert_int_equal(bin(DDT_EXPR_MUL, one, x), x);
    assert_int_equal(bin(DDT_EXPR_MUL, zero, x), zero);
    assert_int_equal(bin(DDT_EXPR_DIV, x, one), x);
    assert_int_equal(bin(DDT_EXPR_DIV, zero, x), zero);
    assert_int_equal(bin(DDT_EXPR_POW, x, zero), one);
    assert_int_equal(bin(DDT_EXPR_POW, x, one), x);
    assert_int_equal(bin(DDT_EXPR_POW, x, constant(2)), bin(DDT_EXPR_MUL, x, x));
    assert_int_equal(bin(DDT_EXPR_POW, x, constant(0.5)), un(DDT_EXPR_SQRT, x));
    assert_int_equal(un(DDT_EXPR_EXP, un(DDT_EXPR_LOG, x)), x);
    assert_int_equal(un(DDT_EXPR_LOG, un(DDT_EXPR_EXP, x)), x);
    assert_int_equal(un(DDT_EXPR_NEG, un(DDT_EXPR_NEG, x)), x);
    assert_int_equal(bin(DDT_EXPR_ADD, x, un(DDT_EXPR_NEG, y)), bin(DDT_EXPR_SUB, x, y));
    assert_int_equal(bin(DDT_EXPR_MUL, un(DDT_EXPR_NEG, x), un(DDT_EXPR_NEG, y)), bin(DDT_EXPR_MUL, x, y));
    assert_int_equal(ddt_expr_if(pool, one, x, y), x);
    assert_int_equal(ddt_expr_if(pool, zero, x, y), y);
    assert_int_equal(ddt_expr_if(pool, bin(DDT_EXPR_LT, x, y), x, x), x);
    assert_int_equal(bin(DDT_EXPR_AND, bin(DDT_EXPR_LT, x, y), one), bin(DDT_EXPR_LT, x, y));
    assert_int_equal(bin(DDT_EXPR_OR, bin(DDT_EXPR_LT, x, y), one), one);
    double value = 0;
    assert_true(ddt_expr_is_const(pool, un(DDT_EXPR_EXP, zero), &value) && value == 1);
    assert_int_equal(bin(DDT_EXPR_DIV, x, x), one);
    assert_int_equal(bin(DDT_EXPR_DIV, bin(DDT_EXPR_MUL, x, y), y), x);
    assert_int_equal(bin(DDT_EXPR_DIV, bin(DDT_EXPR_MUL, x, y), x), y);
    /* 0/0 is 0, as in rxode2; 1/0 must not vanish. */
    assert_true(ddt_expr_eval(pool, bin(DDT_EXPR_DIV, zero, zero), NULL, NULL) == 0);
    assert_true(isinf(ddt_expr_eval(pool, bin(DDT_EXPR_DIV, one, zero), NULL, NULL)));
}

static void wrong_operands_give_none(void **state) {
    (void)state;
    assert_int_equal(un(DDT_EXPR_EXP, DDT_EXPR_NONE), DDT_EXPR_NONE);
    assert_int_equal(bin(DDT_EXPR_ADD, symbol(0), DDT_EXPR_NONE), DDT_EXPR_NONE);
    assert_int_equal(bin(DDT_EXPR_EXP, symbol(0), symbol(0)), DDT_EXPR_NONE);
    assert_int_equal(ddt_expr_if(pool, DDT_EXPR_NONE, symbol(0), symbol(0)), DDT_EXPR_NONE);
    assert_int_equal(ddt_expr_derivative(pool, DDT_EXPR_NONE, 0), DDT_EXPR_NONE);
    assert_null(ddt_expr_get(pool, DDT_EXPR_NONE));
    assert_true(isnan(ddt_expr_eval(pool, DDT_EXPR_NONE, NULL, NULL)));
}

/* A random expression that is smooth and tame for symbols in [0.5, 1.5], or with jumps when `any`. */
static ddt_expr random_expression(bool any) {
    ddt_expr made[STEPS + SYMBOLS];
    size_t count = 0;
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        made[count++] = symbol(i);
    }
    while (count < STEPS + SYMBOLS) {
        ddt_expr a = made[next_random() % count];
        ddt_expr b = made[next_random() % count];
        ddt_expr c = made[next_random() % count];
        ddt_expr positive = bin(DDT_EXPR_ADD, bin(DDT_EXPR_MUL, a, a), constant(0.5));
        ddt_expr e = DDT_EXPR_NONE;
        switch (next_random() % (any ? 22 : 15)) {
        case 0:
            e = bin(DDT_EXPR_ADD, a, b);
            break;
        case 1:
            e = bin(DDT_EXPR_SUB, a, b);
            break;
        case 2:
            e = bin(DDT_EXPR_MUL, a, b);
            break;
        case 3:
            e = bin(DDT_EXPR_DIV, b, positive);
            break;
        case 4:
            e = un(DDT_EXPR_NEG, a);
            break;
        case 5:
            e = un(DDT_EXPR_EXP, un(DDT_EXPR_NEG, positive));
            break;
        case 6:
            e = un(DDT_EXPR_LOG, positive);
            break;
        case 7:
            e = un(DDT_EXPR_SQRT, positive);
            break;
        case 8:
            e = un(DDT_EXPR_TANH, a);
            break;
        case 9:
            e = un(DDT_EXPR_SIN, a);
            break;
        case 10:
            e = un(DDT_EXPR_COS, a);
            break;
        case 11:
            e = bin(DDT_EXPR_POW, un(DDT_EXPR_SQRT, positive), un(DDT_EXPR_TANH, b));
            break;
        case 12:
            e = un(DDT_EXPR_LGAMMA, bin(DDT_EXPR_ADD, un(DDT_EXPR_TANH, a), constant(2)));
            break;
        case 13:
            e = constant(floor(4 * random_unit()) - 1);
            break;
        case 14:
            e = un(DDT_EXPR_GAMMA, bin(DDT_EXPR_ADD, un(DDT_EXPR_SIN, a), constant(2.5)));
            break;
        case 15:
            e = bin(DDT_EXPR_MIN, a, b);
            break;
        case 16:
            e = bin(DDT_EXPR_MAX, a, b);
            break;
        case 17:
            e = un(DDT_EXPR_ABS, a);
            break;
        case 18:
            e = ddt_expr_if(pool, bin(DDT_EXPR_LT, a, b), b, c);
            break;
        case 19:
            e = bin(DDT_EXPR_AND, bin(DDT_EXPR_LE, a, b), un(DDT_EXPR_NOT, c));
            break;
        case 20:
            e = bin(DDT_EXPR_OR, bin(DDT_EXPR_EQ, a, b), bin(DDT_EXPR_LT, b, c));
            break;
        default:
            e = un(DDT_EXPR_FLOOR, a);
            break;
        }
        assert_int_not_equal(e, DDT_EXPR_NONE);
        made[count++] = e;
    }
    return made[count - 1];
}

static void random_point(double at[SYMBOLS]) {
    for (size_t i = 0; i < SYMBOLS; i++) {
        at[i] = 0.5 + random_unit();
    }
}

/* Richardson's central difference, good to about 1e-9 on these functions. */
static double difference(ddt_expr e, double at[SYMBOLS], uint32_t s) {
    const double h = 1e-3;
    double slope[2] = {0};
    double before = at[s];
    for (int i = 0; i < 2; i++) {
        double step = i == 0 ? h : h / 2;
        at[s] = before + step;
        double up = ddt_expr_eval(pool, e, at, NULL);
        at[s] = before - step;
        double down = ddt_expr_eval(pool, e, at, NULL);
        slope[i] = (up - down) / (2 * step);
    }
    at[s] = before;
    return (4 * slope[1] - slope[0]) / 3;
}

static void derivatives_match_differences(void **state) {
    (void)state;
    size_t compared = 0;
    for (int k = 0; k < RANDOM_EXPRESSIONS; k++) {
        ddt_expr e = random_expression(false);
        double at[SYMBOLS];
        random_point(at);
        for (uint32_t s = 0; s < SYMBOLS; s++) {
            ddt_expr d = ddt_expr_derivative(pool, e, s);
            double exact = ddt_expr_eval(pool, d, at, NULL);
            double numeric = difference(e, at, s);
            double value = ddt_expr_eval(pool, e, at, NULL);
            double scale = 1 + fabs(exact) + fabs(value);
            if (!(scale < 1e3)) { /* such a function bends too much for a difference */
                continue;
            }
            compared++;
            assert_true(fabs(exact - numeric) < 1e-6 * scale);
            if (!ddt_expr_depends_on(pool, e, s)) {
                assert_int_equal(d, constant(0));
            }
        }
    }
    assert_true(compared > RANDOM_EXPRESSIONS);
}

static void derivatives_of_branches(void **state) {
    (void)state;
    ddt_expr x = symbol(2);
    ddt_expr y = symbol(3);
    double at[SYMBOLS] = {0, 0, -2, 3};
    assert_true(ddt_expr_eval(pool, ddt_expr_derivative(pool, un(DDT_EXPR_ABS, x), 2), at, NULL) == -1);
    ddt_expr low = bin(DDT_EXPR_MIN, x, y);
    assert_true(ddt_expr_eval(pool, ddt_expr_derivative(pool, low, 2), at, NULL) == 1);
    assert_true(ddt_expr_eval(pool, ddt_expr_derivative(pool, low, 3), at, NULL) == 0);
    ddt_expr choice = ddt_expr_if(pool, bin(DDT_EXPR_LT, x, y), bin(DDT_EXPR_MUL, x, x), y);
    assert_true(ddt_expr_eval(pool, ddt_expr_derivative(pool, choice, 2), at, NULL) == -4);
    assert_int_equal(ddt_expr_derivative(pool, bin(DDT_EXPR_LT, x, y), 2), constant(0));
    assert_int_equal(ddt_expr_derivative(pool, un(DDT_EXPR_FLOOR, x), 2), constant(0));
}

static bool same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

static void programs_agree_with_evaluation(void **state) {
    (void)state;
    enum { OUTPUTS = 5 };
    for (int k = 0; k < RANDOM_EXPRESSIONS / 4; k++) {
        ddt_expr list[OUTPUTS];
        for (int i = 0; i < OUTPUTS; i++) {
            list[i] = random_expression(true);
        }
        list[0] = symbol(1); /* an output that is no operation, and one given twice */
        list[1] = constant(7);
        list[4] = list[3];
        ddt_expr_program *program = NULL;
        assert_int_equal(ddt_expr_compile(ctx, pool, list, OUTPUTS, &program), DDT_OK);
        double *scratch = ddt_alloc(ddt_expr_pool_count(pool), sizeof *scratch);
        assert_non_null(scratch);
        for (int j = 0; j < 3; j++) {
            double at[SYMBOLS];
            double out[OUTPUTS];
            random_point(at);
            ddt_expr_program_run(program, at, out);
            for (int i = 0; i < OUTPUTS; i++) {
                assert_true(same(out[i], ddt_expr_eval(pool, list[i], at, NULL)));
                assert_true(same(out[i], ddt_expr_eval(pool, list[i], at, scratch)));
            }
        }
        ddt_free(scratch);
        ddt_expr_program_destroy(program);
    }
    ddt_expr_program *empty = NULL;
    assert_int_equal(ddt_expr_compile(ctx, pool, NULL, 0, &empty), DDT_OK);
    assert_int_equal(ddt_expr_program_length(empty), 0);
    ddt_expr_program_run(empty, NULL, NULL);
    ddt_expr_program_destroy(empty);
}

/* A sum of many different products that all stay alive: more registers than fit the stack. */
static void wide_programs_run(void **state) {
    (void)state;
    enum { WIDTH = 3000 };
    ddt_expr terms[WIDTH];
    for (int i = 0; i < WIDTH; i++) {
        terms[i] = un(DDT_EXPR_SIN, bin(DDT_EXPR_MUL, symbol(2), constant(i + 1)));
    }
    ddt_expr_program *program = NULL;
    assert_int_equal(ddt_expr_compile(ctx, pool, terms, WIDTH, &program), DDT_OK);
    double at[SYMBOLS] = {0, 0, 0.25, 0};
    double out[WIDTH];
    ddt_expr_program_run(program, at, out);
    for (int i = 0; i < WIDTH; i++) {
        assert_true(out[i] == sin(0.25 * (i + 1)));
    }
    (void)ddt_alloc_fail_after(0);
    ddt_expr_program_run(program, at, out);
    (void)ddt_alloc_fail_after(UINT64_MAX);
    assert_true(isnan(out[0]) && isnan(out[WIDTH - 1]));
    ddt_expr_program_destroy(program);
}

static void substitution_commutes_with_evaluation(void **state) {
    (void)state;
    for (int k = 0; k < RANDOM_EXPRESSIONS / 4; k++) {
        ddt_expr e = random_expression(false);
        ddt_expr r = random_expression(false);
        ddt_expr substituted = ddt_expr_substitute(pool, e, 2, r);
        double at[SYMBOLS];
        random_point(at);
        double direct = ddt_expr_eval(pool, substituted, at, NULL);
        at[2] = ddt_expr_eval(pool, r, at, NULL);
        double expected = ddt_expr_eval(pool, e, at, NULL);
        assert_true(same(direct, expected) || fabs(direct - expected) <= 1e-9 * (1 + fabs(expected)));
    }
    /* All at once, not one after another: x -> y, y -> x is a swap. */
    ddt_expr swap[SYMBOLS] = {DDT_EXPR_NONE, DDT_EXPR_NONE, symbol(3), symbol(2)};
    ddt_expr e = bin(DDT_EXPR_SUB, symbol(2), symbol(3));
    assert_int_equal(ddt_expr_substitute_all(pool, e, swap, SYMBOLS), bin(DDT_EXPR_SUB, symbol(3), symbol(2)));
}

static void symbols_and_degrees(void **state) {
    (void)state;
    ddt_expr a = symbol(0);
    ddt_expr x = symbol(2);
    ddt_expr y = symbol(3);
    const bool set[SYMBOLS] = {false, false, true, true};
    bool used[SYMBOLS] = {false};
    ddt_expr affine = bin(DDT_EXPR_ADD, bin(DDT_EXPR_MUL, un(DDT_EXPR_EXP, a), x), bin(DDT_EXPR_DIV, y, a));
    assert_int_equal(ddt_expr_symbols(ctx, pool, &affine, 1, used, SYMBOLS), DDT_OK);
    assert_true(used[0] && !used[1] && used[2] && used[3]);
    assert_true(ddt_expr_is_affine(pool, affine, set, SYMBOLS));
    assert_true(ddt_expr_is_affine(pool, un(DDT_EXPR_EXP, a), set, SYMBOLS));
    ddt_expr product = bin(DDT_EXPR_MUL, x, y);
    assert_int_equal(ddt_expr_degree(pool, product, set, SYMBOLS), 2);
    assert_false(ddt_expr_is_affine(pool, product, set, SYMBOLS));
    assert_int_equal(ddt_expr_degree(pool, bin(DDT_EXPR_POW, product, constant(3)), set, SYMBOLS), 6);
    assert_int_equal(ddt_expr_degree(pool, bin(DDT_EXPR_DIV, a, x), set, SYMBOLS), DDT_EXPR_NOT_POLYNOMIAL);
    assert_int_equal(ddt_expr_degree(pool, un(DDT_EXPR_EXP, x), set, SYMBOLS), DDT_EXPR_NOT_POLYNOMIAL);
    ddt_expr by_column = ddt_expr_if(pool, bin(DDT_EXPR_LT, a, constant(1)), x, y);
    assert_int_equal(ddt_expr_degree(pool, by_column, set, SYMBOLS), 1);
    ddt_expr by_state = ddt_expr_if(pool, bin(DDT_EXPR_LT, x, constant(1)), x, y);
    assert_int_equal(ddt_expr_degree(pool, by_state, set, SYMBOLS), DDT_EXPR_NOT_POLYNOMIAL);
    ddt_expr none = DDT_EXPR_NONE;
    assert_int_equal(ddt_expr_symbols(ctx, pool, &none, 1, used, SYMBOLS), DDT_ERR_ARGUMENT);
    ddt_context_clear(ctx);
}

/* What is printed reads back as the same expression: same pool, same index. */
static void text_reads_back(void **state) {
    (void)state;
    for (int k = 0; k < RANDOM_EXPRESSIONS / 2; k++) {
        ddt_expr e = random_expression(true);
        char *text = ddt_expr_print(pool, e, names);
        assert_non_null(text);
        size_t room = strlen(text) + 100;
        char *file = ddt_alloc(room, 1);
        assert_non_null(file);
        (void)snprintf(file, room, "m <- function() { model({ z <- %s }) }", text);
        ddt_model *model = NULL;
        assert_int_equal(ddt_model_parse(ctx, file, strlen(file), "text", &model), DDT_OK);
        const char *own[SYMBOLS];
        for (size_t i = 0; i < model->symbol_count; i++) {
            own[i] = model->symbols[i].name;
        }
        char *again = ddt_expr_print(model->pool, model->variables[0], own);
        assert_non_null(again);
        /* The two pools order commutative operands differently, so values are compared, bit by bit. */
        double at[SYMBOLS];
        double mapped[SYMBOLS];
        random_point(at);
        for (size_t i = 0; i < model->symbol_count; i++) {
            for (size_t j = 0; j < SYMBOLS; j++) {
                mapped[i] = strcmp(own[i], names[j]) == 0 ? at[j] : (j == 0 ? 0 : mapped[i]);
            }
        }
        assert_true(
            same(ddt_expr_eval(pool, e, at, NULL), ddt_expr_eval(model->pool, model->variables[0], mapped, NULL)));
        ddt_free(again);
        ddt_model_destroy(model);
        ddt_free(file);
        ddt_free(text);
    }
}

static void assert_prints(ddt_expr e, const char *expected) {
    char *text = ddt_expr_print(pool, e, names);
    assert_non_null(text);
    assert_string_equal(text, expected);
    ddt_free(text);
}

static void printing_brackets(void **state) {
    (void)state;
    ddt_expr a = symbol(0);
    ddt_expr b = symbol(1);
    assert_prints(bin(DDT_EXPR_SUB, a, bin(DDT_EXPR_SUB, b, a)), "a - (b - a)");
    assert_prints(bin(DDT_EXPR_POW, bin(DDT_EXPR_POW, a, b), b), "(a^b)^b");
    assert_prints(bin(DDT_EXPR_POW, a, bin(DDT_EXPR_POW, a, b)), "a^a^b");
    assert_prints(bin(DDT_EXPR_POW, constant(-2), b), "(-2)^b");
    assert_prints(bin(DDT_EXPR_POW, a, constant(-3)), "a^-3");
    assert_prints(bin(DDT_EXPR_DIV, a, bin(DDT_EXPR_MUL, a, b)), "a / (a * b)");
    assert_prints(un(DDT_EXPR_NOT, bin(DDT_EXPR_LT, a, b)), "!a < b");
    assert_prints(ddt_expr_if(pool, bin(DDT_EXPR_EQ, a, b), b, constant(0.1)), "ifelse(a == b, b, 0.1)");
    assert_prints(constant(0.1), "0.1");
    assert_prints(constant(1.0 / 3), "0.3333333333333333");
    assert_prints(DDT_EXPR_NONE, "(none)");
}

/* An expression as deep as a long file can make it: nothing here may recurse. */
static void depth_is_harmless(void **state) {
    (void)state;
    enum { DEPTH = 200000 };
    ddt_expr e = symbol(2);
    for (int i = 0; i < DEPTH; i++) {
        e = bin(DDT_EXPR_ADD, bin(DDT_EXPR_MUL, e, symbol(3)), constant(1));
    }
    double at[SYMBOLS] = {0, 0, 1, 0.5};
    assert_true(fabs(ddt_expr_eval(pool, e, at, NULL) - 2) < 1e-12); /* the fixed point of e/2 + 1 */
    ddt_expr d = ddt_expr_derivative(pool, e, 2);
    assert_int_not_equal(d, DDT_EXPR_NONE);
    assert_true(ddt_expr_eval(pool, d, at, NULL) == 0); /* 2^-200000 */
    char *text = ddt_expr_print(pool, e, names);
    assert_non_null(text);
    assert_true(strlen(text) < (1 << 20) + 100);
    ddt_free(text);
}

static void pools_end_at_their_limit(void **state) {
    (void)state;
    ddt_expr_pool *small = NULL;
    assert_int_equal(ddt_expr_pool_create(ctx, &small), DDT_OK);
    ddt_expr e = ddt_expr_symbol(small, 0);
    while (e != DDT_EXPR_NONE) {
        e = ddt_expr_binary(small, DDT_EXPR_POW, e, ddt_expr_symbol(small, 1));
        assert_true(ddt_expr_pool_count(small) <= DDT_EXPR_POOL_MAX);
    }
    assert_int_equal(ddt_expr_pool_count(small), DDT_EXPR_POOL_MAX);
    assert_int_equal(ddt_expr_pool_status(small), DDT_ERR_CAPACITY);
    ddt_expr_pool_destroy(small);
}

static void polygamma_has_its_known_values(void **state) {
    (void)state;
    const double euler = 0.57721566490153286061;
    const double pi = 3.14159265358979323846;
    const double apery = 1.20205690315959428540;
    assert_true(fabs(ddt_expr_apply(DDT_EXPR_POLYGAMMA, 0, 1, 0) + euler) < 1e-14);
    assert_true(fabs(ddt_expr_apply(DDT_EXPR_POLYGAMMA, 0, 0.5, 0) + euler + 2 * log(2)) < 1e-14);
    assert_true(fabs(ddt_expr_apply(DDT_EXPR_POLYGAMMA, 1, 1, 0) - pi * pi / 6) < 1e-14);
    assert_true(fabs(ddt_expr_apply(DDT_EXPR_POLYGAMMA, 2, 1, 0) + 2 * apery) < 1e-13);
    assert_true(isnan(ddt_expr_apply(DDT_EXPR_POLYGAMMA, 0, -1, 0)));
}

static void short_memory_is_reported(void **state) {
    (void)state;
    ddt_expr e = random_expression(true);
    double at[SYMBOLS];
    random_point(at);
    for (uint64_t n = 0; n < 12; n++) {
        ddt_expr_program *program = NULL;
        (void)ddt_alloc_fail_after(n);
        ddt_status status = ddt_expr_compile(ctx, pool, &e, 1, &program);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_true(status == DDT_OK || (status == DDT_ERR_MEMORY && program == NULL));
        ddt_expr_program_destroy(program);
        ddt_context_clear(ctx);
    }
    (void)ddt_alloc_fail_after(0);
    ddt_expr_pool *none = NULL;
    assert_int_equal(ddt_expr_pool_create(ctx, &none), DDT_ERR_MEMORY);
    assert_true(isnan(ddt_expr_eval(pool, e, at, NULL)));
    assert_int_equal(ddt_expr_derivative(pool, e, 0), DDT_EXPR_NONE);
    assert_int_equal(ddt_expr_substitute(pool, e, 0, e), DDT_EXPR_NONE);
    assert_null(ddt_expr_print(pool, e, names));
    (void)ddt_alloc_fail_after(UINT64_MAX);
    ddt_context_clear(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_expressions_are_one), cmocka_unit_test(exact_identities_hold),
        cmocka_unit_test(wrong_operands_give_none),  cmocka_unit_test(derivatives_match_differences),
        cmocka_unit_test(derivatives_of_branches),   cmocka_unit_test(programs_agree_with_evaluation),
        cmocka_unit_test(wide_programs_run),         cmocka_unit_test(substitution_commutes_with_evaluation),
        cmocka_unit_test(symbols_and_degrees),       cmocka_unit_test(text_reads_back),
        cmocka_unit_test(printing_brackets),         cmocka_unit_test(polygamma_has_its_known_values),
        cmocka_unit_test(short_memory_is_reported),  cmocka_unit_test(pools_end_at_their_limit),
        cmocka_unit_test(depth_is_harmless),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
