/* Composite scaling: scales over two primes. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"

#include <sys/stat.h>
#include <unistd.h>

/* Scales of 2^54, whose noise is just large enough to be seen in doubles, and of 2^80 and 2^90. */
static const ddt_ckks_literal visible = {12, 7, 50, 27, 2, 0, 2};
static const ddt_ckks_literal fine = {11, 9, 50, 40, 3, 0, 2};
static const ddt_ckks_literal finest = {11, 5, 50, 45, 1, 0, 2};

/* Messages in [-1, 1] are doubles: sums of a few roundings of 2^-53 remain however large the scale. */
static const double double_error = 0x1p-51;

static double rms_error(test_scheme *t, const ddt_ciphertext *ct, const double complex *expected) {
    double complex *got = test_slots(t);
    double square = 0.0;
    test_decrypt(t, ct, got);
    for (size_t j = 0; j < t->slots; j++) {
        const double error = cabs(got[j] - expected[j]);
        square += error * error / (double)t->slots;
    }
    ddt_free(got);
    return sqrt(square);
}

static void scales(void **state) {
    (void)state;
    const ddt_ckks_literal *const literals[] = {&visible, &fine, &finest};
    ddt_context *ctx = NULL;
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    for (size_t i = 0; i < 3; i++) {
        const ddt_ckks_literal *p = literals[i];
        ddt_ckks_params *params = NULL;
        assert_ok(ctx, ddt_ckks_params_create_insecure_for_testing(ctx, p, &params));
        assert_int_equal(ddt_ckks_step(params), 2);
        assert_true(ddt_ckks_canonical_scale(params, p->levels) == ldexp(1.0, (int)(2 * p->scale_bits)));
        for (unsigned l = p->levels; l >= 3; l -= 2) {
            const double s = ddt_ckks_canonical_scale(params, l);
            const double product = (double)ddt_ckks_prime(params, l) * (double)ddt_ckks_prime(params, l - 1);
            assert_true(ddt_ckks_step_modulus(params, l) == product);
            assert_true(fabs(ddt_ckks_canonical_scale(params, l - 2) / (s * s / product) - 1.0) < 0x1p-50);
            assert_true(fabs(log2(s) - 2.0 * p->scale_bits) < 0.01);
            assert_true(ddt_ckks_canonical_scale(params, l - 1) == s);
        }
        ddt_ckks_params_destroy(params);
    }
    const ddt_ckks_literal bad[] = {
        {11, 8, 50, 40, 3, 0, 2}, {11, 9, 50, 40, 3, 14, 2}, {11, 9, 50, 40, 3, 0, 3}, {11, 0, 50, 40, 3, 0, 2}};
    static const char *const says[] = {"odd number", "cannot be bootstrapped", "one prime or two", "odd number"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ddt_ckks_params *params = NULL;
        assert_int_equal(ddt_ckks_params_create_insecure_for_testing(ctx, &bad[i], &params), DDT_ERR_ARGUMENT);
        assert_non_null(strstr(ddt_error_detail(ctx), says[i]));
        ddt_context_clear(ctx);
    }
    /* The security table counts all primes. */
    const ddt_ckks_literal large = {13, 5, 50, 40, 1, 0, 2};
    ddt_ckks_params *params = NULL;
    assert_fails(ctx, DDT_ERR_SECURITY, ddt_ckks_params_create(ctx, &large, &params));
    ddt_context_destroy(ctx);
}

/* What is encoded comes back to the last bit or two. */
static void encoding(void **state) {
    (void)state;
    test_scheme t;
    test_scheme_create(&t, &finest, NULL, 0, 1);
    double complex *message = test_slots(&t);
    double complex *got = test_slots(&t);
    for (unsigned kind = 0; kind < TEST_MESSAGES; kind++) {
        for (size_t count = 1; count <= t.slots; count *= 4) {
            ddt_plaintext plain = {0};
            test_message(kind, count, message);
            assert_ok(t.ctx, ddt_ckks_encode(t.ctx, t.params, message, count, 3, 0x1p90, &plain));
            assert_ok(t.ctx, ddt_ckks_decode(t.ctx, t.params, &plain, got));
            for (size_t j = 0; j < t.slots; j++) {
                assert_true(cabs(got[j] - message[j % count]) <= 0x1p-52 * cabs(message[j % count]) + 0x1p-80);
            }
            ddt_plaintext_destroy(&plain);
        }
    }
    ddt_plaintext plain = {0};
    message[0] = 0x1p31;
    assert_fails(t.ctx, DDT_ERR_RANGE, ddt_ckks_encode(t.ctx, t.params, message, 1, 3, 0x1p90, &plain));
    ddt_plaintext_destroy(&plain);
    ddt_free(message);
    ddt_free(got);
    test_scheme_destroy(&t);
}

/* Expected of each operation, and its rounding: the formulas hold where noise shows. */
static void check(test_scheme *t, const char *what, const ddt_ciphertext *ct, const double complex *expected,
                  double noise) {
    const double rms = rms_error(t, ct, expected);
    if (!(rms <= 1.3 * noise + 0x1p-52 && (noise < 0x1p-48 || rms >= 0.7 * noise))) {
        fail_msg("%s: error 2^%.2f, predicted 2^%.2f", what, log2(rms), log2(noise));
    }
    assert_error_below(test_error(t, ct, expected), 14.0 * noise + double_error);
}

static void operations_of(const ddt_ckks_literal *literal, int threads) {
    test_scheme t;
    const int64_t rotation = 3;
    test_scheme_create(&t, literal, &rotation, 1, threads);
    const ddt_ckks_params *params = t.params;
    const unsigned top = literal->levels;
    const double scale = ddt_ckks_canonical_scale(params, top);
    const double below = ddt_ckks_canonical_scale(params, top - 2);
    double complex *x = test_slots(&t);
    double complex *y = test_slots(&t);
    double complex *want = test_slots(&t);
    ddt_ciphertext a;
    ddt_ciphertext b;
    ddt_ciphertext out;
    test_message(0, t.slots, x);
    test_message(0, t.slots, y);
    test_encrypt(&t, x, top, &a);
    test_encrypt(&t, y, top, &b);
    assert_ok(t.ctx, ddt_ciphertext_create(t.ctx, params, top, 3, &out));
    const double fresh = ddt_ckks_noise_fresh_secret(params, scale);
    check(&t, "encrypt", &a, x, fresh);
    assert_ok(t.ctx, ddt_eval_rotate(t.ev, &a, rotation, &out));
    for (size_t j = 0; j < t.slots; j++) {
        want[j] = x[(j + (size_t)rotation) % t.slots];
    }
    check(&t, "rotate", &out, want, hypot(fresh, ddt_ckks_noise_key_switch(params, top, scale)));
    assert_ok(t.ctx, ddt_eval_mul(t.ev, &a, &b, &out));
    assert_int_equal(out.level, top - 2);
    assert_true(fabs(out.scale / below - 1.0) < 0x1p-50);
    double square = 0.0;
    for (size_t j = 0; j < t.slots; j++) {
        want[j] = x[j] * y[j];
        square += (cabs(x[j]) * cabs(x[j]) + cabs(y[j]) * cabs(y[j])) / (double)t.slots;
    }
    check(&t, "mul", &out, want, hypot(fresh * sqrt(square), ddt_ckks_noise_relinearise_rescale(params, top, below)));
    /* In place; from a level to one far below, at its canonical scale. */
    assert_ok(t.ctx, ddt_eval_adjust(t.ev, &a, 1, ddt_ckks_canonical_scale(params, 1), &a));
    check(&t, "adjust", &a, x, hypot(fresh, ddt_ckks_noise_rescale(params, 2, a.scale)));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_eval_rescale(t.ev, &a, &out));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_eval_adjust(t.ev, &a, 0, a.scale, &out));
    ddt_ciphertext_destroy(&a);
    ddt_ciphertext_destroy(&b);
    ddt_ciphertext_destroy(&out);
    ddt_free(x);
    ddt_free(y);
    ddt_free(want);
    test_scheme_destroy(&t);
}

static void operations(void **state) {
    (void)state;
    operations_of(&visible, 1);
    operations_of(&fine, 2);
    operations_of(&finest, 1);
}

/* A polynomial of degree 15 in four rescales, one of degree 5 in three, and a transform. */
static void programs(void **state) {
    (void)state;
    test_scheme t;
    const int64_t rotations[] = {1, 2, 4};
    test_scheme_create(&t, &fine, rotations, 3, 1);
    double first[16];
    double second[6];
    for (size_t k = 0; k < 16; k++) {
        first[k] = test_uniform();
        second[k % 6] = test_uniform();
    }
    const double *const coefficients[] = {first, second};
    const unsigned degrees[] = {15, 5};
    double *values = ddt_calloc(t.slots, sizeof *values);
    double complex *x = test_slots(&t);
    double complex *want[2] = {test_slots(&t), test_slots(&t)};
    for (size_t j = 0; j < t.slots; j++) {
        values[j] = test_uniform();
        x[j] = values[j];
        for (unsigned p = 0; p < 2; p++) {
            double previous = 1.0;
            double current = values[j];
            want[p][j] = coefficients[p][0] + coefficients[p][1] * current;
            for (unsigned k = 2; k <= degrees[p]; k++) {
                const double next = 2.0 * values[j] * current - previous;
                previous = current;
                current = next;
                want[p][j] += coefficients[p][k] * next;
            }
        }
    }
    ddt_ciphertext a;
    ddt_ciphertext results[2];
    ddt_ciphertext *const out[] = {&results[0], &results[1]};
    test_encrypt(&t, x, 9, &a);
    for (unsigned p = 0; p < 2; p++) {
        assert_ok(t.ctx, ddt_ciphertext_create(t.ctx, t.params, 9, 2, &results[p]));
    }
    assert_ok(t.ctx, ddt_eval_chebyshev(t.ev, &a, coefficients, degrees, 2, out));
    for (unsigned p = 0; p < 2; p++) {
        assert_int_equal(results[p].level, p == 0 ? 1 : 3);
        assert_true(results[p].scale == ddt_ckks_canonical_scale(t.params, results[p].level));
        /* Doubles of size 8 in the sums of the oracle, and constants of 53 bits. */
        assert_error_below(test_error(&t, &results[p], want[p]), 0x1p-46);
    }
    const ddt_diagonal diagonals[] = {{0, want[0], 4}, {1, x, t.slots}, {3, want[1], t.slots}};
    const ddt_transform_shape shape = {9, ddt_ckks_step_modulus(t.params, 9), 2};
    ddt_transform *transform = NULL;
    assert_ok(t.ctx, ddt_transform_create(t.ctx, t.params, diagonals, 3, &shape, &transform));
    double complex *sum = test_slots(&t);
    for (size_t j = 0; j < t.slots; j++) {
        sum[j] = want[0][j % 4] * x[j] + x[j] * x[(j + 1) % t.slots] + want[1][j] * x[(j + 3) % t.slots];
    }
    assert_ok(t.ctx, ddt_eval_transform(t.ev, transform, &a, &a));
    assert_int_equal(a.level, 7);
    assert_error_below(test_error(&t, &a, sum), 0x1p-46);
    ddt_transform_destroy(transform);
    ddt_ciphertext_destroy(&a);
    for (unsigned p = 0; p < 2; p++) {
        ddt_ciphertext_destroy(&results[p]);
        ddt_free(want[p]);
    }
    ddt_free(x);
    ddt_free(sum);
    ddt_free(values);
    test_scheme_destroy(&t);
}

/* The literal and a ciphertext, written and read again. */
static void files(void **state) {
    (void)state;
    char path[] = "/tmp/ddt_composite_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    (void)close(file);
    test_scheme t;
    test_scheme_create(&t, &finest, NULL, 0, 1);
    double complex *x = test_slots(&t);
    ddt_ciphertext a;
    ddt_ciphertext back;
    ddt_writer *writer = NULL;
    ddt_reader *reader = NULL;
    ddt_ckks_literal literal;
    test_message(0, t.slots, x);
    test_encrypt(&t, x, 5, &a);
    assert_ok(t.ctx, ddt_writer_open(t.ctx, path, DDT_WIRE_TWIN, false, &writer));
    ddt_writer_begin(writer, "PRMS");
    ddt_ckks_write_literal(writer, &finest);
    assert_ok(t.ctx, ddt_writer_end(writer));
    assert_ok(t.ctx, ddt_ciphertext_write(writer, t.params, &a));
    assert_ok(t.ctx, ddt_writer_commit(writer, NULL));
    assert_ok(t.ctx, ddt_reader_open(t.ctx, path, DDT_WIRE_TWIN, &reader));
    assert_ok(t.ctx, ddt_reader_begin(reader, "PRMS", 64));
    assert_ok(t.ctx, ddt_ckks_read_literal(reader, &literal));
    assert_memory_equal(&literal, &finest, sizeof literal);
    assert_ok(t.ctx, ddt_reader_end(reader));
    assert_ok(t.ctx, ddt_ciphertext_read(t.ctx, reader, t.params, &back));
    assert_ok(t.ctx, ddt_reader_finish(reader));
    assert_error_below(test_error(&t, &back, x), double_error);
    ddt_reader_close(reader);
    (void)unlink(path);
    ddt_ciphertext_destroy(&a);
    ddt_ciphertext_destroy(&back);
    ddt_free(x);
    test_scheme_destroy(&t);
}

/* Once warm, nothing is allocated, and outputs need room for their own level only. */
static void hot_path(void **state) {
    (void)state;
    test_scheme t;
    test_scheme_create(&t, &fine, NULL, 0, 1);
    double complex *x = test_slots(&t);
    ddt_ciphertext a;
    ddt_ciphertext out;
    test_message(0, t.slots, x);
    test_encrypt(&t, x, 9, &a);
    assert_ok(t.ctx, ddt_ciphertext_create(t.ctx, t.params, 7, 2, &out));
    for (unsigned round = 0; round < 2; round++) {
        (void)ddt_alloc_fail_after(round == 0 ? UINT64_MAX : 0);
        assert_ok(t.ctx, ddt_eval_mul(t.ev, &a, &a, &out));
        assert_ok(t.ctx, ddt_eval_rescale(t.ev, &a, &out));
        assert_ok(t.ctx, ddt_eval_adjust(t.ev, &a, 7, ddt_ckks_canonical_scale(t.params, 7), &out));
    }
    (void)ddt_alloc_fail_after(UINT64_MAX);
    ddt_ciphertext_destroy(&a);
    ddt_ciphertext_destroy(&out);
    ddt_free(x);
    test_scheme_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(scales),     cmocka_unit_test(encoding),
                                       cmocka_unit_test(operations), cmocka_unit_test(programs),
                                       cmocka_unit_test(files),      cmocka_unit_test(hot_path)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
