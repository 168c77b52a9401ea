/* label: long */
/*
 * Ten thousand random circuits on small rings, and some hundreds with secure parameters: every decrypted slot lies
 * within
 * its worst-case bound. SPDX-License-Identifier: Apache-2.0
 */
#include "ckks/random_support.h"

static void run(const ddt_ckks_literal *literal, size_t circuits) {
    random_machine m;
    random_machine_create(&m, literal);
    while (m.circuits < circuits) {
        random_circuit(&m);
    }
    /* Where scales are so large that doubles hide the noise there is nothing to average. */
    const double mean = m.ratios == 0 ? 0.0 : m.log_ratios / (double)m.ratios;
    print_message("2^%u, %u levels of %u x %u bits%s: %zu circuits, %zu steps; largest error 2^%.1f of its bound; "
                  "%zu averages: measured over predicted 2^%.2f, spread %.2f bits\n",
                  literal->log_n, literal->levels, ddt_ckks_step(m.t.params), literal->scale_bits,
                  ddt_ckks_params_is_secure(m.t.params) ? " (secure)" : "", m.circuits, m.steps, log2(m.closest),
                  m.ratios, mean, m.ratios == 0 ? 0.0 : sqrt(m.log_squares / (double)m.ratios - mean * mean));
    assert_true(mean > -1.0 && mean < 0.6);
    random_machine_destroy(&m);
}

static void small_rings(void **state) {
    (void)state;
    static const ddt_ckks_literal shapes[] = {
        {10, 4, 50, 40, 2}, {10, 5, 45, 35, 1},       {10, 8, 50, 45, 3},       {11, 6, 50, 45, 3},
        {10, 3, 50, 46, 4}, {10, 7, 50, 30, 2, 0, 2}, {10, 5, 50, 42, 3, 0, 2}, {10, 12, 50, 38, 4},
    };
    enum { SHAPES = sizeof shapes / sizeof shapes[0], CIRCUITS = 10000 };
    for (size_t i = 0; i < SHAPES; i++) {
        run(&shapes[i], CIRCUITS / SHAPES);
    }
}

static void secure_rings(void **state) {
    (void)state;
    static const ddt_ckks_literal shapes[] = {{13, 2, 50, 40, 1}, {14, 6, 50, 45, 2}, {14, 5, 50, 45, 2, 0, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        run(&shapes[i], 150);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(small_rings), cmocka_unit_test(secure_rings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
