/* Measured noise against the formulas of ckks.h. With an argument it prints the table of docs/precision.md.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"

enum { ROUNDS = 6, STEPS = 8 };

static const char *const names[STEPS] = {"encode",      "encrypt, secret key",  "encrypt, public key",
                                         "rescale",     "rescale 3 parts",      "rotate",
                                         "relinearise", "relinearise + rescale"};

/* Shapes whose rotation noise is rounding, and (first prime of 50 bits over P) the digits' own. */
static const ddt_ckks_literal shapes[] = {
    {12, 5, 50, 45, 2},
    {13, 8, 50, 40, 3},
    {12, 9, 50, 49, 1},
    {11, 3, 50, 49, 4},
};

typedef struct noise_sums {
    double measured[STEPS];
    double predicted[STEPS];
    double worst[STEPS];
} noise_sums;

/* Adds the mean square and the worst square of got - expected, times scale^2. */
static void collect(const test_scheme *t, noise_sums *sums, unsigned step, const double complex *got,
                    const double complex *expected, double scale, double predicted) {
    double square = 0.0;
    for (size_t j = 0; j < t->slots; j++) {
        const double error = cabs(got[j] - expected[j]) * scale;
        square += error * error / (double)t->slots;
        sums->worst[step] = fmax(sums->worst[step], error);
    }
    sums->measured[step] += square / ROUNDS;
    sums->predicted[step] = predicted * scale;
}

static void collect_ciphertext(test_scheme *t, noise_sums *sums, unsigned step, const ddt_ciphertext *ct,
                               const double complex *expected, double predicted) {
    double complex *got = test_slots(t);
    test_decrypt(t, ct, got);
    collect(t, sums, step, got, expected, ct->scale, predicted);
    ddt_free(got);
}

static void measure_fresh(test_scheme *t, noise_sums *sums, const double complex *message, unsigned level) {
    const double scale = ddt_ckks_canonical_scale(t->params, level);
    double complex *got = test_slots(t);
    ddt_plaintext plain = {0};
    ddt_ciphertext ct;
    assert_ok(t->ctx, ddt_ckks_encode(t->ctx, t->params, message, t->slots, level, scale, &plain));
    assert_ok(t->ctx, ddt_ckks_decode(t->ctx, t->params, &plain, got));
    collect(t, sums, 0, got, message, scale, ddt_ckks_noise_encode(t->params, scale));
    assert_ok(t->ctx, ddt_encrypt_secret(t->ctx, t->secret, &plain, &ct));
    collect_ciphertext(t, sums, 1, &ct, message, ddt_ckks_noise_fresh_secret(t->params, scale));
    ddt_ciphertext_destroy(&ct);
    assert_ok(t->ctx, ddt_encrypt_public(t->ctx, t->params, &t->public_key, &plain, &ct));
    collect_ciphertext(t, sums, 2, &ct, message, ddt_ckks_noise_fresh_public(t->params, scale));
    ddt_ciphertext_destroy(&ct);
    ddt_plaintext_destroy(&plain);
    ddt_free(got);
}

/* The reference of each step is the decrypted input itself, so that only the step's own noise is seen. */
static void measure_steps(test_scheme *t, noise_sums *sums, const double complex *message, unsigned level) {
    const ddt_ckks_params *params = t->params;
    const double scale = ddt_ckks_canonical_scale(params, level);
    const double below = scale / (double)ddt_ckks_prime(params, level);
    double complex *input = test_slots(t);
    double complex *rotated = test_slots(t);
    ddt_ciphertext ct;
    ddt_ciphertext product;
    ddt_ciphertext out;
    test_encrypt_at(t, message, level, scale, &ct);
    assert_ok(t->ctx, ddt_ciphertext_create(t->ctx, params, level, 3, &product));
    assert_ok(t->ctx, ddt_ciphertext_create(t->ctx, params, level, 3, &out));
    test_decrypt(t, &ct, input);
    assert_ok(t->ctx, ddt_eval_rescale(t->ev, &ct, &out));
    collect_ciphertext(t, sums, 3, &out, input, ddt_ckks_noise_rescale(params, 2, below));
    assert_ok(t->ctx, ddt_eval_rotate(t->ev, &ct, 1, &out));
    for (size_t j = 0; j < t->slots; j++) {
        rotated[j] = input[(j + 1) % t->slots];
    }
    collect_ciphertext(t, sums, 5, &out, rotated, ddt_ckks_noise_key_switch(params, level, scale));
    /* A product at a small scale, so that the noise stays above double precision. */
    ddt_ciphertext_destroy(&ct);
    test_encrypt_at(t, message, level, 0x1p20, &ct);
    assert_ok(t->ctx, ddt_eval_tensor(t->ev, &ct, &ct, &product));
    test_decrypt(t, &product, input);
    assert_ok(t->ctx, ddt_eval_relinearise(t->ev, &product, &out));
    collect_ciphertext(t, sums, 6, &out, input, ddt_ckks_noise_key_switch(params, level, product.scale));
    const double after = product.scale / (double)ddt_ckks_prime(params, level);
    assert_ok(t->ctx, ddt_eval_rescale(t->ev, &product, &out));
    collect_ciphertext(t, sums, 4, &out, input, ddt_ckks_noise_rescale(params, 3, after));
    assert_ok(t->ctx, ddt_eval_relinearise_rescale(t->ev, &product, &out));
    collect_ciphertext(t, sums, 7, &out, input, ddt_ckks_noise_relinearise_rescale(params, level, after));
    ddt_ciphertext_destroy(&ct);
    ddt_ciphertext_destroy(&product);
    ddt_ciphertext_destroy(&out);
    ddt_free(input);
    ddt_free(rotated);
}

static void measure(const ddt_ckks_literal *literal, unsigned level, noise_sums *sums) {
    const int64_t rotation = 1;
    memset(sums, 0, sizeof *sums);
    for (unsigned round = 0; round < ROUNDS; round++) {
        test_scheme t;
        test_scheme_create(&t, literal, &rotation, 1, 1);
        double complex *message = test_slots(&t);
        test_message(0, t.slots, message);
        measure_fresh(&t, sums, message, level);
        measure_steps(&t, sums, message, level);
        ddt_free(message);
        test_scheme_destroy(&t);
    }
    for (unsigned step = 0; step < STEPS; step++) {
        sums->measured[step] = sqrt(sums->measured[step]);
    }
}

static void measured_is_predicted(void **state) {
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (unsigned low = 0; low < 2; low++) {
            noise_sums sums;
            measure(&shapes[s], shapes[s].levels - low * (shapes[s].levels / 2), &sums);
            for (unsigned step = 0; step < STEPS; step++) {
                const double ratio = sums.measured[step] / sums.predicted[step];
                if (!(ratio > 0.85 && ratio < 1.15)) {
                    fail_msg("shape %zu, %s: measured %g, predicted %g", s, names[step], sums.measured[step],
                             sums.predicted[step]);
                }
                /* Products of two (with s^2: three) Gaussians have tails exp(-2 x) and heavier. */
                assert_true(sums.worst[step] < (step == 4 ? 40.0 : 14.0) * sums.predicted[step]);
            }
        }
    }
}

/*
 * Digits that are not centred put a constant into key switching, all of it in slot 0: 4 to 8 bits there. Slot 0's error
 * over many keys and ciphertexts must be like any other's (its variance is proportional to |s|^2 in that slot, hence
 * the margin).
 */
static void slot_zero_is_like_the_others(void **state) {
    (void)state;
    enum { KEYS = 12, CIPHERTEXTS = 6 };
    const ddt_ckks_literal literal = {11, 8, 50, 45, 3};
    const int64_t rotation = 1;
    double square = 0.0;
    double predicted = 0.0;
    for (unsigned k = 0; k < KEYS; k++) {
        test_scheme t;
        test_scheme_create(&t, &literal, &rotation, 1, 1);
        double complex *message = test_slots(&t);
        double complex *before = test_slots(&t);
        double complex *after = test_slots(&t);
        for (unsigned c = 0; c < CIPHERTEXTS; c++) {
            ddt_ciphertext ct;
            test_message(0, t.slots, message);
            test_encrypt(&t, message, 8, &ct);
            test_decrypt(&t, &ct, before);
            assert_ok(t.ctx, ddt_eval_rotate(t.ev, &ct, 1, &ct));
            test_decrypt(&t, &ct, after);
            const double error = cabs(after[0] - before[1]);
            square += error * error / (KEYS * CIPHERTEXTS);
            predicted = ddt_ckks_noise_key_switch(t.params, 8, ct.scale);
            ddt_ciphertext_destroy(&ct);
        }
        ddt_free(message);
        ddt_free(before);
        ddt_free(after);
        test_scheme_destroy(&t);
    }
    assert_true(sqrt(square) < 2.5 * predicted);
}

static void print_table(const ddt_ckks_literal *literal) {
    noise_sums sums;
    measure(literal, literal->levels, &sums);
    printf("| 2^%u, %u x %u bits, %u special primes | measured | predicted | worst slot |\n|---|---|---|---|\n",
           literal->log_n, literal->levels, literal->scale_bits, literal->p_count);
    for (unsigned step = 0; step < STEPS; step++) {
        printf("| %s | %.2f | %.2f | %.2f |\n", names[step], log2(sums.measured[step]), log2(sums.predicted[step]),
               log2(sums.worst[step]));
    }
}

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1) {
        const ddt_ckks_literal secure[] = {{13, 2, 50, 40, 1}, {14, 7, 50, 45, 1}, {15, 15, 50, 45, 3}};
        for (size_t s = 0; s < sizeof secure / sizeof secure[0]; s++) {
            print_table(&secure[s]);
        }
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(measured_is_predicted),
                                       cmocka_unit_test(slot_zero_is_like_the_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
