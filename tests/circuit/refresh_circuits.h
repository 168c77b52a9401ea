/* Circuits that need refreshing. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_REFRESH_CIRCUITS_H
#define DDT_REFRESH_CIRCUITS_H

#include "circuit_test.h"

enum { REFRESH_LANES = 3, REFRESH_BLOCK = 8, REFRESH_SLOTS = REFRESH_LANES * REFRESH_BLOCK };

static inline double **refresh_inputs(size_t count) {
    uint64_t random = 11;
    return test_random_rows(&random, count, REFRESH_SLOTS, 1.0);
}

/*
 * Chains of x -> bound (x / bound)^2 - bound / 2 and the like, a level for each step. bound 0: no places to refresh;
 * negative: one at each tenth step only; otherwise one at each.
 */
static inline ddt_circuit *refresh_chains(ddt_context *ctx, unsigned steps, size_t chains, double bound) {
    ddt_circuit *c = NULL;
    double size = bound > 0.0 ? bound : 1.0;
    assert_ok(ctx, ddt_circuit_create(ctx, REFRESH_LANES, REFRESH_BLOCK, &c));
    ddt_node x[4];
    for (size_t k = 0; k < chains; k++) {
        char name[32];
        (void)snprintf(name, sizeof name, "x%zu", k);
        x[k] = ddt_circuit_input(c, name, 1.0);
    }
    for (unsigned i = 0; i < steps; i++) {
        for (size_t k = 0; k < chains; k++) {
            /* 0.9 x (1 - |x|)-like: x y - x + 1/4 with y the rotated x stays within [-size, size]. */
            ddt_node y = ddt_circuit_rotate(c, x[k], i % 2 == 0 ? 1 : -1);
            ddt_node half = ddt_circuit_affine(c, &y, (double[]){0.5 / size}, 1, 0.0);
            ddt_node product = ddt_circuit_mul(c, x[k], half);
            x[k] = ddt_circuit_affine(c, &product, (double[]){-1.0}, 1, 0.5 * size);
            if (bound > 0.0 || (bound < 0.0 && i % 10 == 9)) {
                x[k] = ddt_circuit_refresh(c, x[k], size);
            }
        }
    }
    for (size_t k = 0; k < chains; k++) {
        char name[32];
        (void)snprintf(name, sizeof name, "y%zu", k);
        ddt_circuit_output(c, name, x[k]);
    }
    assert_ok(ctx, ddt_circuit_status(c));
    return c;
}

/* state' = state + (measurement - state) / 4 - state^3 / 8: a state that lives on and is refreshed as it comes in. */
static inline ddt_circuit *refresh_updates(ddt_context *ctx) {
    ddt_circuit *c = NULL;
    assert_ok(ctx, ddt_circuit_create(ctx, REFRESH_LANES, REFRESH_BLOCK, &c));
    ddt_node state = ddt_circuit_refresh(c, ddt_circuit_input(c, "state", 1.0), 1.0);
    ddt_node measurement = ddt_circuit_input(c, "measurement", 1.0);
    ddt_node square = ddt_circuit_mul(c, state, state);
    ddt_node cube = ddt_circuit_mul(c, square, state);
    ddt_node next =
        ddt_circuit_affine(c, (ddt_node[]){state, measurement, cube}, (double[]){0.75, 0.25, -0.125}, 3, 0.0);
    ddt_circuit_output(c, "square", square);
    ddt_circuit_output(c, "next", next);
    ddt_circuit_carry(c, "next", "state");
    assert_ok(ctx, ddt_circuit_status(c));
    return c;
}

#endif
