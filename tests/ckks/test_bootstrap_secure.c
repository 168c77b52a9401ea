/* label: long */
/* Bootstrapping with secure parameters at 2^16. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/bootstrap_support.h"

#include <sys/resource.h>

/* 12 levels, three of them for slots-to-coefficients: nine are left. */
static const ddt_ckks_literal secure = {16, 12, 50, 41, 9, 15};

/* Scales of 49 bits, for iterated bootstrapping: ten levels, of which six are left. */
static const ddt_ckks_literal secure_fine = {16, 10, 50, 49, 9, 15};

/* Design's bars: set-up with keys in seconds, evaluation keys and peak memory in GiB. */
static const double setup_s_max = 20.0;
static const double keys_gib_max = 3.0;
static const double peak_gib_max = 5.0;

/* Bytes of the keys on disk: residues packed to the size of their primes, one half a seed. */
static double file_gib(const boot_fixture *f) {
    enum { REQUESTS_MAX = 200 };
    ddt_key_request requests[REQUESTS_MAX];
    const ddt_ckks_params *params = f->t.params;
    const size_t count = ddt_bootstrap_key_requests(f->b, requests, REQUESTS_MAX);
    const size_t p_count = ddt_ckks_params_literal(params)->p_count;
    double bits = 0.0;
    assert_true(count <= REQUESTS_MAX);
    for (size_t i = 0; i < count; i++) {
        for (size_t m = 0; m < requests[i].top_level + 1 + p_count; m++) {
            const size_t at = m <= requests[i].top_level ? m : m - requests[i].top_level + ddt_ckks_top_level(params);
            const double size = ceil(log2((double)ddt_ring_modulus(ddt_ckks_params_ring(params), at)));
            bits += size * (double)ddt_ckks_n(params) * ddt_ckks_digits(params, requests[i].top_level);
        }
    }
    print_message("%zu switching keys\n", count);
    return bits / 8.0 / 0x1p30;
}

static void secure_fixture(boot_fixture *f, const ddt_ckks_literal *literal) {
    test_scheme *t = &f->t;
    memset(f, 0, sizeof *f);
    assert_int_equal(ddt_context_create(&t->ctx), DDT_OK);
    assert_ok(t->ctx, ddt_ckks_params_create(t->ctx, literal, &t->params)); /* refused if it were not secure */
    assert_ok(t->ctx, ddt_secret_key_generate(t->ctx, t->params, &t->secret));
    assert_ok(t->ctx, ddt_eval_keys_create(t->ctx, t->params, &t->keys));
    t->slots = ddt_ckks_slots(t->params);
    f->count = t->slots;
    f->message = test_slots(t);
    f->got = test_slots(t);
    struct rusage before;
    struct rusage after;
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    assert_ok(t->ctx, ddt_bootstrapper_create(t->ctx, t->params, &(ddt_bootstrap_literal){0}, &f->b));
    assert_ok(t->ctx, ddt_bootstrap_keys_generate(t->ctx, t->secret, f->b, t->keys));
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    /* Processor time of all threads: it does not depend on who else uses the machine. */
    const double setup_s = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
                           1e-6 * (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec);
    const double stored = file_gib(f);
    print_message(
        "set-up and keys: %.1f s of processor time, keys %.2f GiB stored, %.2f GiB in memory, matrices %.2f GiB\n",
        setup_s, stored, (double)ddt_eval_keys_bytes(t->keys) / 0x1p30, (double)ddt_bootstrapper_bytes(f->b) / 0x1p30);
    assert_true(setup_s <= 2.0 * setup_s_max && stored <= keys_gib_max);
    assert_ok(t->ctx, ddt_evaluator_create(t->ctx, t->params, t->keys, ddt_context_threads(t->ctx), &t->ev));
}

static void full_slots(void **state) {
    (void)state;
    boot_fixture f;
    test_scheme *t = &f.t;
    secure_fixture(&f, &secure);
    assert_int_equal(ddt_bootstrap_output_level(f.b) - ddt_bootstrap_input_level(f.b), 9);
    const double expected = -log2(ddt_ckks_noise_bootstrap(t->params));
    for (unsigned round = 0; round < 2; round++) {
        const boot_errors e = boot_check(&f, 0, 3 + 2 * round, round == 1);
        print_message("%s: mean %.2f bits, root mean square %.2f (predicted %.2f), worst %.2f\n",
                      round == 0 ? "complex" : "real", e.mean_bits, e.rms_bits, expected, e.worst_bits);
        assert_true(e.mean_bits >= 24.0 && e.worst_bits >= 21.0 && fabs(e.rms_bits - expected) < 1.2);
    }
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    print_message("peak memory: %.2f GiB\n", (double)usage.ru_maxrss / 0x1p20);
    assert_true((double)usage.ru_maxrss / 0x1p20 <= peak_gib_max);
    boot_fixture_destroy(&f);
}

/* Two bootstraps each: the precision of 49-bit scales. */
static void iterated(void **state) {
    (void)state;
    boot_fixture f;
    test_scheme *t = &f.t;
    secure_fixture(&f, &secure_fine);
    assert_int_equal(ddt_bootstrap_output_level(f.b) - 1 - ddt_bootstrap_input_level(f.b), 6);
    const double expected = -log2(ddt_ckks_noise_bootstrap_iterated(t->params));
    for (unsigned round = 0; round < 2; round++) {
        ddt_ciphertext a;
        ddt_ciphertext out;
        boot_encrypt(&f, 0, 3, round == 1, &a);
        boot_result(&f, &out);
        assert_ok(t->ctx, round == 1 ? ddt_eval_bootstrap_iterated_real(t->ev, f.b, &a, &out)
                                     : ddt_eval_bootstrap_iterated(t->ev, f.b, &a, &out));
        test_decrypt(t, &out, f.got);
        for (size_t j = 0; j < t->slots && round == 1; j++) {
            f.got[j] = creal(f.got[j]);
        }
        const boot_errors e = boot_measure(f.got, f.message, t->slots);
        print_message("iterated%s: mean %.2f bits, root mean square %.2f (predicted %.2f), worst %.2f\n",
                      round == 0 ? "" : ", real", e.mean_bits, e.rms_bits, expected, e.worst_bits);
        assert_true(e.rms_bits > expected - 1.0 && e.worst_bits > expected - 5.0);
        ddt_ciphertext_destroy(&a);
        ddt_ciphertext_destroy(&out);
    }
    boot_fixture_destroy(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(full_slots), cmocka_unit_test(iterated)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
