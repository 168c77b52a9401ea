/* What the tests of bootstrapping share. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_TEST_CKKS_BOOTSTRAP_SUPPORT_H
#define DDT_TEST_CKKS_BOOTSTRAP_SUPPORT_H

#include "ckks/support.h"

#include "bootstrap_internal.h"
#include "ddt/ckks/bound.h"

typedef struct boot_fixture {
    test_scheme t;
    ddt_bootstrapper *b;
    size_t count; /* of different slots */
    double complex *message;
    double complex *got;
} boot_fixture;

static inline void boot_fixture_create(boot_fixture *f, const ddt_ckks_literal *literal,
                                       const ddt_bootstrap_literal *boot, int threads) {
    test_scheme_create(&f->t, literal, NULL, 0, threads);
    assert_ok(f->t.ctx, ddt_bootstrapper_create(f->t.ctx, f->t.params, boot, &f->b));
    assert_ok(f->t.ctx, ddt_bootstrap_keys_generate(f->t.ctx, f->t.secret, f->b, f->t.keys));
    f->count = boot->log_slots == 0 ? f->t.slots : (size_t)1 << boot->log_slots;
    f->message = test_slots(&f->t);
    f->got = test_slots(&f->t);
}

static inline void boot_fixture_destroy(boot_fixture *f) {
    ddt_free(f->message);
    ddt_free(f->got);
    ddt_bootstrapper_destroy(f->b);
    test_scheme_destroy(&f->t);
}

/* Bits: minus the base-2 logarithm of the error, of its mean over the slots, its root mean square and its worst. */
typedef struct boot_errors {
    double mean_bits;
    double rms_bits;
    double worst_bits;
} boot_errors;

static inline boot_errors boot_measure(const double complex *a, const double complex *b, size_t count) {
    double logs = 0.0;
    double squares = 0.0;
    double worst = 0.0;
    for (size_t j = 0; j < count; j++) {
        const double error = cabs(a[j] - b[j]);
        logs += log2(fmax(error, 0x1p-60));
        squares += error * error;
        worst = error <= worst ? worst : error; /* NaN too */
    }
    return (boot_errors){-logs / (double)count, -0.5 * log2(squares / (double)count), -log2(worst)};
}

/* A message of this kind, repeated where there are fewer slots than N/2, encrypted at `level`. */
static inline void boot_encrypt(boot_fixture *f, unsigned kind, unsigned level, bool is_real, ddt_ciphertext *out) {
    test_message(kind, f->count, f->message);
    for (size_t j = 0; j < f->t.slots; j++) {
        f->message[j] = is_real ? creal(f->message[j % f->count]) : f->message[j % f->count];
    }
    test_encrypt(&f->t, f->message, level, out);
}

static inline void boot_result(boot_fixture *f, ddt_ciphertext *out) {
    assert_ok(f->t.ctx, ddt_ciphertext_create(f->t.ctx, f->t.params, ddt_bootstrap_output_level(f->b), 2, out));
}

/* No slot is worse than the bound, which lies within 2^14 of the root mean square. */
static inline void boot_assert_bound(const boot_fixture *f, boot_errors e) {
    enum { TAIL_BITS = 40 };
    const ddt_bootstrap_literal boot = {f->b->log_slots, f->b->slots_levels, f->b->baby};
    const double bound = -log2(ddt_ckks_bound_bootstrap(f->t.params, &boot, TAIL_BITS));
    if (!(e.worst_bits >= bound && bound >= -log2(ddt_ckks_noise_bootstrap(f->t.params)) - 14.0)) {
        fail_msg("root mean square %.2f bits, worst slot %.2f, bound %.2f", e.rms_bits, e.worst_bits, bound);
    }
}

/* Bootstraps a message of this kind from `level` and measures the error. */
static inline boot_errors boot_check(boot_fixture *f, unsigned kind, unsigned level, bool is_real) {
    ddt_ciphertext a;
    ddt_ciphertext out;
    boot_encrypt(f, kind, level, is_real, &a);
    boot_result(f, &out);
    assert_ok(f->t.ctx,
              is_real ? ddt_eval_bootstrap_real(f->t.ev, f->b, &a, &out) : ddt_eval_bootstrap(f->t.ev, f->b, &a, &out));
    assert_int_equal(out.level, ddt_bootstrap_output_level(f->b));
    assert_true(out.scale == ddt_ckks_canonical_scale(f->t.params, out.level));
    test_decrypt(&f->t, &out, f->got);
    for (size_t j = 0; j < f->t.slots && is_real; j++) {
        f->got[j] = creal(f->got[j]);
    }
    ddt_ciphertext_destroy(&a);
    ddt_ciphertext_destroy(&out);
    const boot_errors errors = boot_measure(f->got, f->message, f->t.slots);
    boot_assert_bound(f, errors);
    return errors;
}

#endif
