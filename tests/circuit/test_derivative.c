/*
 * Derivatives: against finite differences, forward against reverse, known answers, and under CKKS.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "circuit_random.h"

enum { LANES = 3, BLOCK = 8, SLOTS = LANES * BLOCK };

static const char *const direction_names[RANDOM_INPUTS] = {"da", "db", "dc"};

/* A random circuit's inputs and, behind them, directions and a seed. */
typedef struct problem {
    random_circuit r;
    ddt_node inputs[RANDOM_INPUTS];
    ddt_node directions[RANDOM_INPUTS];
    ddt_node seed;
    double **values; /* inputs, directions, seed */
} problem;

static void make_problem(ddt_context *ctx, uint64_t seed, problem *p) {
    random_circuit_make(ctx, &p->r, seed, LANES, BLOCK, 14, 12);
    p->values = test_random_rows(&p->r.random, 2 * RANDOM_INPUTS + 1, SLOTS, 1.0);
    for (size_t i = 0; i < RANDOM_INPUTS; i++) {
        p->inputs[i] = p->r.nodes[i].node;
        memcpy(p->values[i], p->r.inputs[i], SLOTS * sizeof(double));
        p->directions[i] = ddt_circuit_input(p->r.circuit, direction_names[i], 1.0);
    }
    p->seed = ddt_circuit_input(p->r.circuit, "seed", 1.0);
    /* Zero where the first output depends on what crossed a border. */
    const random_node *y = &p->r.nodes[p->r.outputs[0]];
    for (size_t s = 0; s < SLOTS; s++) {
        p->values[2 * RANDOM_INPUTS][s] *= y->valid[s] ? 1.0 : 0.0;
    }
}

static void free_problem(problem *p) {
    test_free_rows(p->values);
    random_circuit_free(&p->r);
}

static double largest(const double *values, size_t count) {
    double most = 0.0;
    for (size_t i = 0; i < count; i++) {
        most = fmax(most, fabs(values[i]));
    }
    return most;
}

static void check_close(uint64_t seed, const double *got, const double *expected, const bool *valid, double tolerance) {
    double size = 1.0 + largest(expected, SLOTS);
    for (size_t s = 0; s < SLOTS; s++) {
        if ((valid == NULL || valid[s]) && !(fabs(got[s] - expected[s]) <= tolerance * size)) {
            fail_msg("seed %llu, slot %zu: %.12g instead of %.12g", (unsigned long long)seed, s, got[s], expected[s]);
        }
    }
}

/* The outputs at inputs + step * directions. */
static void run_moved(ddt_context *ctx, const problem *p, double step, bool exact, double **out) {
    double **moved = test_rows(2 * RANDOM_INPUTS + 1, SLOTS);
    for (size_t i = 0; i < 2 * RANDOM_INPUTS + 1; i++) {
        for (size_t s = 0; s < SLOTS; s++) {
            moved[i][s] = p->values[i][s] + (i < RANDOM_INPUTS ? step * p->values[i + RANDOM_INPUTS][s] : 0.0);
        }
    }
    assert_ok(ctx, ddt_circuit_run_clear(ctx, p->r.circuit, TEST_CONST(moved), exact, out));
    test_free_rows(moved);
}

static void check_differences(ddt_context *ctx, uint64_t seed, const problem *p, size_t rows, bool exact,
                              double *const *got) {
    const double step = 1e-5;
    double **up = test_rows(rows, SLOTS);
    double **down = test_rows(rows, SLOTS);
    run_moved(ctx, p, step, exact, up);
    run_moved(ctx, p, -step, exact, down);
    for (size_t o = 0; o < p->r.output_count; o++) {
        for (size_t s = 0; s < SLOTS; s++) {
            up[o][s] = (up[o][s] - down[o][s]) / (2.0 * step);
        }
        check_close(seed, got[p->r.output_count + o], up[o], NULL, 2e-6);
    }
    test_free_rows(up);
    test_free_rows(down);
}

static double dot(const double *a, const double *b) {
    double sum = 0.0;
    for (size_t s = 0; s < SLOTS; s++) {
        sum += a[s] * b[s];
    }
    return sum;
}

/* Outputs, their tangents, and the gradient of the first. */
static size_t add_derivatives(problem *p) {
    ddt_node y[RANDOM_OUTPUTS_MAX] = {0};
    ddt_node tangents[RANDOM_OUTPUTS_MAX];
    ddt_node gradient[RANDOM_INPUTS];
    size_t count = p->r.output_count;
    for (size_t o = 0; o < count; o++) {
        y[o] = p->r.nodes[p->r.outputs[o]].node;
    }
    ddt_circuit_tangents(p->r.circuit, p->inputs, p->directions, RANDOM_INPUTS, y, count, tangents);
    ddt_circuit_gradient(p->r.circuit, y[0], p->seed, p->inputs, RANDOM_INPUTS, gradient);
    for (size_t o = 0; o < count; o++) {
        char name[32];
        (void)snprintf(name, sizeof name, "tangent%zu", o);
        ddt_circuit_output(p->r.circuit, name, tangents[o]);
    }
    for (size_t i = 0; i < RANDOM_INPUTS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "gradient%zu", i);
        ddt_circuit_output(p->r.circuit, name, gradient[i]);
    }
    return 2 * count + RANDOM_INPUTS;
}

/* J v by finite differences, and <w, J v> = <J' w, v>. */
static void test_random_circuits(void **state) {
    ddt_context *ctx = *state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        problem p;
        make_problem(ctx, seed, &p);
        size_t rows = add_derivatives(&p);
        assert_ok(ctx, ddt_circuit_status(p.r.circuit));
        double **got = test_rows(rows, SLOTS);
        for (int exact = 0; exact < 2; exact++) {
            assert_ok(ctx, ddt_circuit_run_clear(ctx, p.r.circuit, TEST_CONST(p.values), exact != 0, got));
            check_differences(ctx, seed, &p, rows, exact != 0, got);
            double forward = dot(p.values[2 * RANDOM_INPUTS], got[p.r.output_count]);
            double reverse = 0.0;
            double size = 1.0;
            for (size_t i = 0; i < RANDOM_INPUTS; i++) {
                double term = dot(got[2 * p.r.output_count + i], p.values[RANDOM_INPUTS + i]);
                reverse += term;
                size += fabs(term);
            }
            if (!(fabs(forward - reverse) <= 1e-9 * size)) {
                fail_msg("seed %llu: %.15g forward, %.15g reverse", (unsigned long long)seed, forward, reverse);
            }
        }
        test_free_rows(got);
        free_problem(&p);
    }
}

/* The optimiser and the lowering keep the values of derivatives; a plan of both directions under CKKS. */
static void test_planned(void **state) {
    ddt_context *ctx = *state;
    unsigned encrypted = 0;
    for (uint64_t seed = 500; seed < 540; seed++) {
        problem p;
        make_problem(ctx, seed, &p);
        size_t rows = add_derivatives(&p);
        double **expected = test_rows(rows, SLOTS);
        double **got = test_rows(rows, SLOTS);
        assert_ok(ctx, ddt_circuit_run_clear(ctx, p.r.circuit, TEST_CONST(p.values), false, expected));
        assert_ok(ctx, ddt_circuit_calibrate(ctx, p.r.circuit, TEST_CONST(p.values), NULL));
        ddt_plan_request request = {.target_error = 1e-3, .accept_error = 1.0, .insecure_for_testing = true};
        ddt_plan *plan = NULL;
        assert_ok(ctx, ddt_plan_create(ctx, p.r.circuit, &request, &plan));
        assert_ok(ctx, plan_simulate(ctx, plan, NULL, 0, LANES, TEST_CONST(p.values), got));
        for (size_t o = 0; o < rows; o++) {
            bool own = o < p.r.output_count || o >= 2 * p.r.output_count;
            const bool *valid = o < p.r.output_count ? p.r.nodes[p.r.outputs[o]].valid
                                : own                ? NULL
                                                     : p.r.nodes[p.r.outputs[o - p.r.output_count]].valid;
            check_close(seed, got[o], expected[o], valid, 1e-9);
        }
        if (plan_depth(plan) <= 10 && encrypted < 3) {
            test_keys keys;
            test_keys_make(ctx, plan, &keys);
            test_run(ctx, plan, &keys, p.values, got);
            for (size_t i = 2 * p.r.output_count; i < rows; i++) {
                check_close(seed, got[i], expected[i], NULL, plan->predicted_error);
            }
            test_keys_free(&keys);
            encrypted++;
        }
        ddt_plan_destroy(plan);
        test_free_rows(got);
        test_free_rows(expected);
        free_problem(&p);
    }
    assert_int_equal(encrypted, 3);
}

static double sine(double x, const void *user) {
    (void)user;
    return sin(x);
}

/* Nodes that are computed, cuts, zeros, doubled x, second derivatives. */
static void test_known(void **state) {
    ddt_context *ctx = *state;
    ddt_circuit *c = NULL;
    assert_ok(ctx, ddt_circuit_create(ctx, 1, 4, &c));
    ddt_node x = ddt_circuit_input(c, "x", 1.0);
    ddt_node z = ddt_circuit_input(c, "z", 1.0);
    ddt_node one = ddt_circuit_constant(c, 1.0);
    ddt_node zero = ddt_circuit_constant(c, 0.0);
    ddt_node m = ddt_circuit_affine(c, &x, (double[]){3.0}, 1, 0.5);
    ddt_node y = ddt_circuit_dot(c, (ddt_node[]){m, x}, (ddt_node[]){m, one}, 2); /* m^2 + x */
    ddt_node both[2] = {m, x};
    ddt_node ones[2] = {one, one};
    ddt_node got[2];
    /* dy/dm = 2 m; dy/dx = 1 with m cut. */
    ddt_circuit_gradient(c, y, one, both, 2, got);
    assert_int_equal(got[0], ddt_circuit_affine(c, &m, (double[]){2.0}, 1, 0.0));
    assert_int_equal(got[1], one);
    ddt_circuit_tangents(c, both, ones, 2, &y, 1, got);
    assert_int_equal(got[0], ddt_circuit_affine(c, &m, (double[]){2.0}, 1, 1.0));
    ddt_circuit_tangents(c, &x, ones, 1, &y, 1, got);
    assert_int_equal(got[0], ddt_circuit_affine(c, &m, (double[]){6.0}, 1, 1.0));
    /* An x that appears twice; an x that is y; what does not depend on x makes nothing. */
    ddt_circuit_tangents(c, (ddt_node[]){x, x}, (ddt_node[]){z, one}, 2, &x, 1, got);
    assert_int_equal(got[0], ddt_circuit_affine(c, &z, (double[]){1.0}, 1, 1.0));
    size_t before = ddt_circuit_node_count(c);
    ddt_circuit_tangents(c, &z, ones, 1, (ddt_node[]){y, one}, 2, got);
    assert_true(got[0] == zero && got[1] == zero);
    ddt_circuit_gradient(c, y, z, (ddt_node[]){y, z}, 2, got);
    assert_true(got[0] == z && got[1] == zero);
    ddt_circuit_gradient(c, y, zero, both, 2, got);
    assert_true(got[0] == zero && got[1] == zero);
    assert_int_equal(ddt_circuit_node_count(c), before);
    /* Chebyshev: T_3' = 3 U_2 = 3 T_0 + 6 T_2, exactly; T_1' is the number 1. */
    ddt_node t3 = ddt_circuit_chebyshev(c, x, (double[]){0, 0, 0, 1}, 3);
    ddt_circuit_tangents(c, &x, ones, 1, &t3, 1, got);
    assert_int_equal(got[0], ddt_circuit_chebyshev(c, x, (double[]){3, 0, 6}, 2));
    assert_ok(ctx, ddt_circuit_status(c));
    ddt_circuit_tangents(c, (ddt_node[]){DDT_NODE_NONE}, ones, 1, &t3, 1, got);
    assert_int_equal(got[0], DDT_NODE_NONE);
    assert_int_equal(ddt_circuit_status(c), DDT_ERR_ARGUMENT);
    ddt_circuit_destroy(c);
}

/* Derivatives of a function, exact and of its polynomial, up to both ends of the range. */
static void test_function(void **state) {
    ddt_context *ctx = *state;
    enum { POINTS = 256, ORDERS = 4 };
    const double range = 2.0;
    ddt_circuit *c = NULL;
    assert_ok(ctx, ddt_circuit_create(ctx, 1, POINTS, &c));
    ddt_node x = ddt_circuit_input(c, "x", range);
    ddt_node one = ddt_circuit_constant(c, 1.0);
    ddt_node d[ORDERS] = {ddt_circuit_function(c, x, -range, range, sine, NULL, 1e-12, NULL)};
    ddt_circuit_output(c, "f", d[0]);
    for (size_t k = 1; k < ORDERS; k++) {
        const char *names[] = {"f", "f1", "f2", "f3"};
        ddt_circuit_tangents(c, &x, &one, 1, &d[k - 1], 1, &d[k]);
        ddt_circuit_output(c, names[k], d[k]);
    }
    assert_ok(ctx, ddt_circuit_status(c));
    double **in = test_rows(1, POINTS);
    double **out = test_rows(ORDERS, POINTS);
    for (size_t s = 0; s < POINTS; s++) {
        in[0][s] = range * (2.0 * (double)s / (POINTS - 1) - 1.0);
    }
    static const double tolerances[2][ORDERS] = {{1e-12, 1e-10, 1e-8, 1e-6}, {1e-15, 1e-10, 1e-8, 1e-6}};
    for (int exact = 0; exact < 2; exact++) {
        assert_ok(ctx, ddt_circuit_run_clear(ctx, c, TEST_CONST(in), exact != 0, out));
        for (size_t s = 0; s < POINTS; s++) {
            double expected[ORDERS] = {sin(in[0][s]), cos(in[0][s]), -sin(in[0][s]), -cos(in[0][s])};
            for (size_t k = 0; k < ORDERS; k++) {
                assert_true(fabs(out[k][s] - expected[k]) <= tolerances[exact][k]);
            }
        }
    }
    test_free_rows(in);
    test_free_rows(out);
    ddt_circuit_destroy(c);
}

/* The gradient with respect to a trajectory of a masked sum over times: opposite rotations, exact at borders. */
static void test_borders(void **state) {
    ddt_context *ctx = *state;
    ddt_circuit *c = NULL;
    assert_ok(ctx, ddt_circuit_create(ctx, LANES, BLOCK, &c));
    double first[SLOTS];
    for (size_t s = 0; s < SLOTS; s++) {
        first[s] = s % BLOCK == 0 ? 1.0 + (double)(s / BLOCK) : 0.0;
    }
    ddt_node x = ddt_circuit_input(c, "x", 1.0);
    ddt_node total = ddt_circuit_sum(c, ddt_circuit_mul(c, x, x), 1, BLOCK);
    ddt_node gradient = DDT_NODE_NONE;
    ddt_circuit_gradient(c, total, ddt_circuit_public(c, first), &x, 1, &gradient);
    ddt_circuit_output(c, "gradient", gradient);
    uint64_t random = 7;
    double **in = test_random_rows(&random, 1, SLOTS, 1.0);
    double **out = test_rows(1, SLOTS);
    assert_ok(ctx, ddt_circuit_run_clear(ctx, c, TEST_CONST(in), false, out));
    for (size_t s = 0; s < SLOTS; s++) {
        assert_true(fabs(out[0][s] - 2.0 * in[0][s] * (1.0 + (double)(s / BLOCK))) < 1e-14);
    }
    test_free_rows(in);
    test_free_rows(out);
    ddt_circuit_destroy(c);
}

static ddt_status build_all(ddt_context *ctx) {
    ddt_circuit *c = NULL;
    ddt_status status = ddt_circuit_create(ctx, 2, 4, &c);
    if (status != DDT_OK) {
        return status;
    }
    const double weights[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    ddt_node x = ddt_circuit_input(c, "x", 1.0);
    ddt_node y = ddt_circuit_input(c, "y", 1.0);
    ddt_node w = ddt_circuit_public(c, weights);
    ddt_node f = ddt_circuit_function(c, x, -1.0, 1.0, sine, NULL, 1e-3, NULL);
    ddt_node g = ddt_circuit_dot(c, (ddt_node[]){f, ddt_circuit_rotate(c, f, 1), w}, (ddt_node[]){y, f, x}, 3);
    ddt_node got[2] = {0, 0};
    ddt_circuit_tangents(c, (ddt_node[]){x, y}, (ddt_node[]){w, y}, 2, &g, 1, got);
    ddt_circuit_gradient(c, g, w, (ddt_node[]){x, y}, 2, got);
    status = ddt_circuit_status(c);
    assert_true(status == DDT_OK || got[0] == DDT_NODE_NONE || got[1] == DDT_NODE_NONE);
    ddt_circuit_destroy(c);
    return status;
}

static void test_memory(void **state) {
    ddt_context *ctx = *state;
    bool finished = false;
    for (uint64_t i = 0; !finished; i++) {
        ddt_context_clear(ctx);
        (void)ddt_alloc_fail_after(i);
        ddt_status status = build_all(ctx);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        finished = status == DDT_OK;
        assert_true(finished || status == DDT_ERR_MEMORY);
        assert_true(i < 10000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_known, clear_errors),   cmocka_unit_test_setup(test_function, clear_errors),
        cmocka_unit_test_setup(test_borders, clear_errors), cmocka_unit_test_setup(test_random_circuits, clear_errors),
        cmocka_unit_test_setup(test_planned, clear_errors), cmocka_unit_test_setup(test_memory, clear_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
