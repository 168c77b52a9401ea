/* A few random circuits of every shape; test_random_long has ten thousand. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/random_support.h"

static void within_bounds(void **state) {
    (void)state;
    enum { CIRCUITS = 40 };
    static const ddt_ckks_literal shapes[] = {
        {10, 4, 50, 40, 2}, {10, 5, 45, 35, 1}, {11, 6, 50, 45, 3}, {10, 7, 50, 30, 2, 0, 2}, {10, 5, 50, 42, 3, 0, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        random_machine m;
        random_machine_create(&m, &shapes[i]);
        while (m.circuits < CIRCUITS) {
            random_circuit(&m);
        }
        /* Where scales are so large that doubles hide the noise there is nothing to average. */
        const double mean = m.ratios == 0 ? 0.0 : m.log_ratios / (double)m.ratios;
        /* Measured over predicted average; sums of dependent values make single circuits differ. */
        if (!(mean > -1.0 && mean < 0.6)) {
            fail_msg("shape %zu: the average error is 2^%.2f of the prediction", i, mean);
        }
        random_machine_destroy(&m);
    }
}

/* Bounds are worth having: above the average, and not by more than the formulas say. */
static void bounds_and_averages(void **state) {
    (void)state;
    ddt_context *ctx = NULL;
    ddt_ckks_params *params = NULL;
    const ddt_ckks_literal literal = {15, 15, 50, 45, 3};
    const double scale = 0x1p45;
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    assert_ok(ctx, ddt_ckks_params_create(ctx, &literal, &params));
    const double averages[] = {
        ddt_ckks_noise_fresh_secret(params, scale),   ddt_ckks_noise_fresh_public(params, scale),
        ddt_ckks_noise_rescale(params, 2, scale),     ddt_ckks_noise_rescale(params, 3, scale),
        ddt_ckks_noise_key_switch(params, 15, scale), ddt_ckks_noise_relinearise_rescale(params, 15, scale)};
    const char *const names[] = {"secret",          "public",     "rescale",
                                 "rescale 3 parts", "key switch", "relinearise + rescale"};
    const unsigned tails[] = {40, 64, 128, 0};
    for (size_t k = 0; k < sizeof tails / sizeof tails[0]; k++) {
        const unsigned t = tails[k];
        const double bounds[] = {ddt_ckks_bound_fresh_secret(params, 1.0, scale, t),
                                 ddt_ckks_bound_fresh_public(params, 1.0, scale, t),
                                 ddt_ckks_bound_rescale(params, 2, scale, t),
                                 ddt_ckks_bound_rescale(params, 3, scale, t),
                                 ddt_ckks_bound_key_switch(params, 15, scale, t),
                                 ddt_ckks_bound_relinearise_rescale(params, 15, scale, t)};
        for (size_t i = 0; i < sizeof averages / sizeof averages[0]; i++) {
            const double bits = log2(bounds[i] / averages[i]);
            print_message("tail %u, %s: average 2^%.1f, bound 2^%.1f above it\n", t, names[i],
                          log2(averages[i] * scale), bits);
            assert_true(bits > 2.0 && bits < (t == 0 ? 32.0 : 16.0));
        }
    }
    ddt_ckks_params_destroy(params);
    ddt_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(within_bounds), cmocka_unit_test(bounds_and_averages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
