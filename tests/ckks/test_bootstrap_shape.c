/* What planners are told of bootstrapping before there are parameters. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/bootstrap_support.h"

#include "bootstrap_internal.h"

enum { REQUESTS_MAX = 256 };

static bool requested(const ddt_key_request *requests, size_t count, uint64_t galois, unsigned level) {
    for (size_t i = 0; i < count; i++) {
        if (requests[i].galois == galois && requests[i].top_level >= level) {
            return true;
        }
    }
    return false;
}

/* All rotations of a transform are among the requests; marks those. */
static void check_transform(const ddt_bootstrapper *b, const ddt_transform *transform, const ddt_key_request *requests,
                            size_t count, bool *used) {
    int64_t steps[REQUESTS_MAX];
    const size_t rotations = ddt_transform_rotations(transform, steps, REQUESTS_MAX);
    for (size_t i = 0; i < rotations; i++) {
        const uint64_t galois = ddt_ring_galois_rotation(b->params->ring, steps[i]);
        if (!requested(requests, count, galois, ddt_transform_level(transform))) {
            fail_msg("rotation by %lld at level %u is missing", (long long)steps[i], ddt_transform_level(transform));
        }
        for (size_t k = 0; k < count; k++) {
            used[k] = used[k] || requests[k].galois == galois;
        }
    }
}

static void check_shape(const ddt_ckks_literal *literal, const ddt_bootstrap_literal *boot) {
    test_scheme t;
    ddt_bootstrapper *b = NULL;
    ddt_key_request requests[REQUESTS_MAX];
    bool used[REQUESTS_MAX] = {false};
    test_scheme_create(&t, literal, NULL, 0, 1);
    const bool possible = ddt_bootstrap_is_possible(literal, boot);
    const ddt_status status = ddt_bootstrapper_create(t.ctx, t.params, boot, &b);
    assert_int_equal(possible, status == DDT_OK);
    const size_t count = ddt_bootstrap_wanted_keys(literal, boot, requests, REQUESTS_MAX);
    assert_true(count < REQUESTS_MAX && (count > 0) == possible);
    if (possible) {
        const unsigned mod_level = boot_mod_level(b);
        const ddt_ring *ring = t.params->ring;
        assert_true(requested(requests, count, 0, mod_level));
        assert_true(requested(requests, count, ddt_ring_galois_conjugation(ring), mod_level + 1));
        for (unsigned i = 0; i < b->slots_levels; i++) {
            check_transform(b, b->to_coefficients[i], requests, count, used);
        }
        for (unsigned i = 0; i < b->coefficients_levels; i++) {
            check_transform(b, b->to_slots[i], requests, count, used);
        }
        for (unsigned i = b->log_slots; i + 1 < literal->log_n; i++) {
            const uint64_t galois = ddt_ring_galois_rotation(ring, (int64_t)1 << i);
            assert_true(requested(requests, count, galois, mod_level + 1));
            for (size_t k = 0; k < count; k++) {
                used[k] = used[k] || requests[k].galois == galois;
            }
        }
        for (size_t k = 0; k < count; k++) { /* and none is asked for in vain */
            assert_true(used[k] || requests[k].galois == 0 || requests[k].galois == ddt_ring_galois_conjugation(ring));
        }
    }
    ddt_bootstrapper_destroy(b);
    test_scheme_destroy(&t);
}

static void shapes(void **state) {
    (void)state;
    for (unsigned log_slots = 0; log_slots <= 11; log_slots++) {
        for (unsigned slots_levels = 0; slots_levels <= 5; slots_levels++) {
            for (unsigned extra = 1; extra <= 6; extra++) {
                const ddt_ckks_literal literal = {11, 4, 50, 45, 4, DDT_BOOTSTRAP_MOD_LEVELS + extra};
                const ddt_bootstrap_literal boot = {log_slots, slots_levels, (log_slots + extra) % 3 == 0 ? 4 : 0};
                check_shape(&literal, &boot);
            }
        }
    }
}

static void noise(void **state) {
    (void)state;
    test_scheme t;
    const ddt_ckks_literal literal = {11, 4, 50, 45, 4, 14};
    test_scheme_create(&t, &literal, NULL, 0, 1);
    /* The rounding that the formula has by itself. */
    const double rounding = ddt_ckks_noise_rescale(t.params, 2, ldexp(1.0, 50));
    const double n = (double)ddt_ckks_n(t.params);
    assert_true(fabs(rounding * ldexp(1.0, 50) / sqrt(n / 12.0 * (1.0 + 2.0 * n / 3.0)) - 1.0) < 1e-9);
    assert_true(ddt_bootstrap_noise(17) > 1.5 * ddt_bootstrap_noise(16));
    assert_true(ddt_ckks_noise_bootstrap(t.params) > ddt_bootstrap_noise(11));
    assert_true(ddt_ckks_noise_bootstrap(t.params) < 1.01 * ddt_bootstrap_noise(11)); /* 45 bits: next to nothing */
    test_scheme_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes), cmocka_unit_test(noise)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
