/*
 * Programs in copies side by side: each copy computes what the program did, sums over copies are sums over variants,
 * and a plan of it agrees.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "context_test.h"

#include "ddt/circuit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 3, BLOCK = 8, COPIES = 4, SLOTS = LANES * BLOCK };

/* Public vectors of one number, of one block and of all lanes; a rotation whose garbage a mask removes; a polynomial.
 */
static ddt_circuit *make(double *of_lanes) {
    ddt_circuit *circuit = NULL;
    double mask[SLOTS];
    const double coefficients[] = {0.1, 0.5, 0.0, -0.2};
    assert_int_equal(ddt_circuit_create(ctx, LANES, BLOCK, &circuit), DDT_OK);
    for (int i = 0; i < SLOTS; i++) {
        mask[i] = i % BLOCK < BLOCK / 2;
        const int lane = i / BLOCK;
        of_lanes[i] = 0.1 * (i % 5) - 0.05 * lane;
    }
    const ddt_node x = ddt_circuit_input(circuit, "x", 1.0);
    const ddt_node sum = ddt_circuit_sum(circuit, x, BLOCK / 2, 2);
    const ddt_node masked = ddt_circuit_mul(circuit, sum, ddt_circuit_public(circuit, mask));
    const ddt_node moved = ddt_circuit_mul(circuit, masked, ddt_circuit_public(circuit, of_lanes));
    ddt_circuit_output(circuit, "y", ddt_circuit_chebyshev(circuit, moved, coefficients, 3));
    assert_int_equal(ddt_circuit_status(circuit), DDT_OK);
    return circuit;
}

static void test_copies(void **state) {
    (void)state;
    double of_lanes[SLOTS];
    double x[COPIES][SLOTS];
    double y[COPIES][SLOTS];
    double wide_x[COPIES * SLOTS];
    double wide_y[COPIES * SLOTS];
    uint64_t violations = 0;
    ddt_circuit *circuit = make(of_lanes);
    for (int c = 0; c < COPIES; c++) {
        for (int i = 0; i < SLOTS; i++) {
            x[c][i] = sin(1.0 + 31.0 * c + i);
            wide_x[(i / BLOCK * COPIES + c) * BLOCK + i % BLOCK] = x[c][i];
        }
        const double *in[] = {x[c]};
        double *out[] = {y[c]};
        assert_int_equal(ddt_circuit_calibrate(ctx, circuit, in, &violations), DDT_OK);
        assert_int_equal(ddt_circuit_run_clear(ctx, circuit, in, false, out), DDT_OK);
    }
    assert_int_equal(ddt_circuit_tile(ctx, circuit, COPIES), DDT_OK);
    assert_int_equal(ddt_circuit_block(circuit), COPIES * BLOCK);
    assert_int_equal(ddt_circuit_lanes(circuit), LANES);
    ddt_node node = DDT_NODE_NONE;
    ddt_circuit_take_outputs(circuit, &node);
    assert_int_equal(ddt_circuit_output_count(circuit), 0);
    ddt_circuit_output(circuit, "y", node);
    ddt_circuit_output(circuit, "total", ddt_circuit_sum(circuit, node, BLOCK, COPIES));
    double total[COPIES * SLOTS];
    const double *in[] = {wide_x};
    double *out[] = {wide_y, total};
    assert_int_equal(ddt_circuit_calibrate(ctx, circuit, in, &violations), DDT_OK);
    assert_int_equal(ddt_circuit_run_clear(ctx, circuit, in, false, out), DDT_OK);
    for (int i = 0; i < SLOTS; i++) {
        double expected = 0.0;
        for (int c = 0; c < COPIES; c++) {
            assert_true(fabs(wide_y[(i / BLOCK * COPIES + c) * BLOCK + i % BLOCK] - y[c][i]) < 1e-15);
            expected += y[c][i];
        }
        assert_true(fabs(total[i / BLOCK * COPIES * BLOCK + i % BLOCK] - expected) < 1e-14);
    }
    /* It plans like any other. */
    ddt_plan *plan = NULL;
    ddt_plan_info info;
    const ddt_plan_request request = {.insecure_for_testing = true};
    assert_int_equal(ddt_plan_create(ctx, circuit, &request, &plan), DDT_OK);
    ddt_plan_get_info(plan, &info);
    assert_int_equal(info.block, COPIES * BLOCK);
    ddt_plan_destroy(plan);
    ddt_circuit_destroy(circuit);
}

static void test_refusals(void **state) {
    (void)state;
    double of_lanes[SLOTS];
    ddt_circuit *circuit = make(of_lanes);
    assert_int_equal(ddt_circuit_tile(ctx, circuit, 3), DDT_ERR_CAPACITY);
    ddt_context_clear(ctx);
    assert_int_equal(ddt_circuit_tile(ctx, circuit, 0), DDT_ERR_CAPACITY);
    ddt_context_clear(ctx);
    assert_int_equal(ddt_circuit_tile(ctx, circuit, ((size_t)1 << 17) / BLOCK), DDT_ERR_CAPACITY);
    ddt_context_clear(ctx);
    assert_int_equal(ddt_circuit_block(circuit), BLOCK);
    ddt_alloc_fail_after(0);
    const ddt_status status = ddt_circuit_tile(ctx, circuit, 2);
    ddt_alloc_fail_after(UINT64_MAX);
    assert_int_equal(status, DDT_ERR_MEMORY);
    assert_int_equal(ddt_circuit_status(circuit), DDT_ERR_MEMORY);
    ddt_context_clear(ctx);
    ddt_circuit_destroy(circuit);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_copies), cmocka_unit_test(test_refusals)};
    cmocka_set_test_filter(getenv("DDT_TEST_FILTER"));
    return cmocka_run_group_tests(tests, setup, teardown);
}
