/* The keys of bootstrapping: what they hold, files, failures. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"

#include "ckks_internal.h"

#include <unistd.h>

static const ddt_ckks_literal literal = {10, 3, 50, 45, 4, 14};
static char path[] = "/tmp/ddt_bootstrap_keys_XXXXXX";

/*
 * b + a s = e + p_0 s' modulo q_0 q_1: with the (dense) secret key the sparse one is seen. It has 32 coefficients 1 or
 * -1, in other places every time.
 */
static void sparse_secret(test_scheme *t, const ddt_encapsulation *keys, int8_t *sparse) {
    const size_t n = ddt_ckks_n(t->params);
    ddt_ciphertext ct;
    ddt_plaintext plain;
    assert_ok(t->ctx, ddt_ciphertext_create(t->ctx, t->params, 1, 2, &ct));
    memcpy(ddt_ciphertext_limb(&ct, n, 0, 0), keys->to_dense_b, 2 * n * sizeof(uint64_t));
    memcpy(ddt_ciphertext_limb(&ct, n, 1, 0), keys->to_dense_a, 2 * n * sizeof(uint64_t));
    ct.scale = 1.0;
    assert_ok(t->ctx, ddt_decrypt(t->ctx, t->secret, &ct, &plain));
    double *coefficients = ddt_calloc(n, sizeof *coefficients);
    assert_ok(t->ctx, ckks_crt_centred(t->ctx, t->params, plain.limbs, 1, coefficients, NULL));
    const double p = (double)ddt_ring_modulus(t->params->ring, (size_t)t->params->top + 1);
    double squares = 0.0;
    for (size_t j = 0; j < n; j++) {
        sparse[j] = (int8_t)rint(coefficients[j] / p);
        const double error = coefficients[j] - p * sparse[j];
        if (!(fabs(error) <= 21.0)) { /* 21 pairs of bits */
            fail_msg("coefficient %zu is %.0f", j, coefficients[j]);
        }
        squares += error * error;
    }
    assert_true(fabs(squares / (double)n - 10.5) < 3.0); /* the errors of the key */
    ddt_free(coefficients);
    ddt_plaintext_destroy(&plain);
    ddt_ciphertext_destroy(&ct);
}

static void encapsulation(void **state) {
    (void)state;
    test_scheme t;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    const size_t n = ddt_ckks_n(t.params);
    int8_t *sparse[2] = {ddt_calloc(n, 1), ddt_calloc(n, 1)};
    int sum = 0;
    for (unsigned round = 0; round < 20; round++) {
        ddt_encapsulation keys;
        unsigned weight = 0;
        assert_ok(t.ctx, ddt_encapsulation_generate(t.ctx, t.secret, &keys));
        sparse_secret(&t, &keys, sparse[round % 2]);
        for (size_t j = 0; j < n; j++) {
            const int s = sparse[round % 2][j];
            assert_true(s >= -1 && s <= 1);
            weight += s != 0;
            sum += s;
        }
        assert_int_equal(weight, DDT_BOOTSTRAP_SPARSE_WEIGHT);
        assert_true(memcmp(sparse[0], sparse[1], n) != 0);
        ddt_encapsulation_destroy(&keys);
    }
    assert_true(abs(sum) < 6 * 26); /* 640 fair signs: six standard deviations */
    ddt_free(sparse[0]);
    ddt_free(sparse[1]);
    test_scheme_destroy(&t);
}

/*
 * Nothing under the sparse secret has a modulus above q_0 p_0: the key to it has those two limbs (b + a s' is small
 * only modulo them), and the modulus is within the limit of the security analysis. Everything else is under the dense
 * secret.
 */
static void sparse_modulus(void **state) {
    (void)state;
    static const ddt_ckks_literal large = {16, 12, 50, 41, 9, 15};
    ddt_context *ctx = NULL;
    ddt_ckks_params *params = NULL;
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    assert_ok(ctx, ddt_ckks_params_create(ctx, &large, &params));
    const double bits =
        log2((double)ddt_ckks_prime(params, 0)) + log2((double)ddt_ring_modulus(params->ring, (size_t)params->top + 1));
    assert_true(bits <= DDT_BOOTSTRAP_SPARSE_MODULUS_BITS_MAX);
    assert_int_equal(DDT_BOOTSTRAP_SPARSE_MODULUS_BITS_MAX, 100);
    assert_int_equal(DDT_BOOTSTRAP_SPARSE_WEIGHT, 32);
    /* The array holds two limbs, not one more: its size is what the allocator and the file know. */
    ddt_encapsulation keys;
    ddt_eval_keys *all = NULL;
    assert_ok(ctx, ddt_encapsulation_create(ctx, params, &keys));
    assert_ok(ctx, ddt_eval_keys_create(ctx, params, &all));
    assert_ok(ctx, ddt_eval_keys_set_encapsulation(ctx, all, &keys));
    assert_int_equal(ddt_eval_keys_bytes(all), 2 * (2 + (params->top + 2)) * ddt_ckks_n(params) * sizeof(uint64_t));
    ddt_eval_keys_destroy(all);
    /* The whole of QP is checked against the table, bootstrapping included. */
    assert_true(ddt_ckks_log2_qp(params) <= ddt_ckks_max_log_qp(16) && ddt_ckks_log2_qp(params) > 1700.0);
    ddt_ckks_params_destroy(params);
    ddt_ckks_literal above = large;
    above.boot_levels++;
    assert_fails(ctx, DDT_ERR_SECURITY, ddt_ckks_params_create(ctx, &above, &params));
    ddt_context_destroy(ctx);
}

/* ------------------------------------------------------------------ files */

static ddt_status read_back(test_scheme *t, const ddt_ckks_params *params, ddt_encapsulation *out) {
    ddt_reader *reader = NULL;
    ddt_status status = ddt_reader_open(t->ctx, path, DDT_WIRE_EVAL_KEYS, &reader);
    if (status == DDT_OK) {
        status = ddt_encapsulation_read(t->ctx, reader, params, out);
        if (status == DDT_OK) {
            status = ddt_reader_finish(reader);
        }
        ddt_reader_close(reader);
    }
    return status;
}

static void files(void **state) {
    (void)state;
    test_scheme t;
    ddt_encapsulation keys;
    ddt_encapsulation read;
    ddt_writer *writer = NULL;
    uint64_t bytes = 0;
    const int file = mkstemp(path);
    assert_true(file >= 0);
    (void)close(file);
    test_scheme_create(&t, &literal, NULL, 0, 1);
    const size_t n = ddt_ckks_n(t.params);
    assert_ok(t.ctx, ddt_encapsulation_generate(t.ctx, t.secret, &keys));
    assert_ok(t.ctx, ddt_writer_open(t.ctx, path, DDT_WIRE_EVAL_KEYS, false, &writer));
    assert_ok(t.ctx, ddt_encapsulation_write(writer, t.params, &keys));
    assert_ok(t.ctx, ddt_writer_commit(writer, &bytes));
    const size_t limbs = 2 + (size_t)t.params->top + 2;
    assert_in_range(bytes, limbs * n * 45 / 8, limbs * n * 50 / 8 + 1000); /* half of the key, packed */
    assert_ok(t.ctx, read_back(&t, t.params, &read));
    assert_memory_equal(read.to_sparse_b, keys.to_sparse_b, 2 * n * sizeof(uint64_t));
    assert_memory_equal(read.to_sparse_a, keys.to_sparse_a, 2 * n * sizeof(uint64_t));
    assert_memory_equal(read.to_dense_b, keys.to_dense_b, (limbs - 2) * n * sizeof(uint64_t));
    assert_memory_equal(read.to_dense_a, keys.to_dense_a, (limbs - 2) * n * sizeof(uint64_t));
    ddt_encapsulation_destroy(&read);
    /* Other parameters. */
    static const ddt_ckks_literal other = {10, 3, 50, 44, 4, 14};
    ddt_ckks_params *params = NULL;
    assert_ok(t.ctx, ddt_ckks_params_create_insecure_for_testing(t.ctx, &other, &params));
    assert_fails(t.ctx, DDT_ERR_MISMATCH, read_back(&t, params, &read));
    assert_null(read.to_dense_b);
    ddt_ckks_params_destroy(params);
    /* A residue that is not below its prime, in a file whose digests are right. */
    keys.to_dense_b[5] = ddt_ckks_prime(t.params, 0);
    assert_ok(t.ctx, ddt_writer_open(t.ctx, path, DDT_WIRE_EVAL_KEYS, false, &writer));
    assert_ok(t.ctx, ddt_encapsulation_write(writer, t.params, &keys));
    assert_ok(t.ctx, ddt_writer_commit(writer, NULL));
    assert_fails(t.ctx, DDT_ERR_FORMAT, read_back(&t, t.params, &read));
    ddt_encapsulation_destroy(&keys);
    test_scheme_destroy(&t);
    (void)unlink(path);
}

/* Literals without bootstrapping keep their bytes; with it they come back the same. */
static void literals(void **state) {
    (void)state;
    static const ddt_ckks_literal cases[] = {{14, 7, 50, 45, 1}, {16, 12, 50, 41, 9, 15}, {16, 40, 50, 41, 9, 21}};
    ddt_context *ctx = NULL;
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    char name[] = "/tmp/ddt_bootstrap_literal_XXXXXX";
    const int file = mkstemp(name);
    assert_true(file >= 0);
    (void)close(file);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ddt_writer *writer = NULL;
        ddt_reader *reader = NULL;
        ddt_ckks_literal read = {0};
        assert_ok(ctx, ddt_writer_open(ctx, name, DDT_WIRE_PLAN, false, &writer));
        ddt_writer_begin(writer, "TEST");
        ddt_ckks_write_literal(writer, &cases[i]);
        assert_ok(ctx, ddt_writer_end(writer));
        assert_ok(ctx, ddt_writer_commit(writer, NULL));
        for (unsigned pass = 0; pass < 2; pass++) {
            assert_ok(ctx, ddt_reader_open(ctx, name, DDT_WIRE_PLAN, &reader));
            assert_ok(ctx, ddt_reader_begin(reader, "TEST", 100));
            if (pass == 0 && cases[i].levels <= DDT_CKKS_LEVELS_MAX - cases[i].boot_levels) {
                assert_ok(ctx, ddt_ckks_read_literal(reader, &read));
                assert_memory_equal(&read, &cases[i], sizeof read);
            } else if (pass == 0) {
                assert_int_equal(ddt_ckks_read_literal(reader, &read), DDT_ERR_FORMAT); /* too many levels */
            } else if (cases[i].boot_levels == 0) {
                const unsigned words[] = {14, 7, 50, 45, 1};
                for (size_t k = 0; k < 5; k++) {
                    uint32_t word = 0;
                    assert_ok(ctx, ddt_reader_u32(reader, &word));
                    assert_int_equal(word, words[k]);
                }
            }
            ddt_reader_close(reader);
            ddt_context_clear(ctx);
        }
    }
    (void)unlink(name);
    ddt_context_destroy(ctx);
}

/* ------------------------------------------------------------------ failures */

static ddt_status everything(test_scheme *t) {
    ddt_bootstrapper *b = NULL;
    ddt_eval_keys *keys = NULL;
    ddt_evaluator *ev = NULL;
    ddt_ciphertext out = {0};
    ddt_ciphertext a = {0};
    ddt_status status = ddt_bootstrapper_create(t->ctx, t->params, &(ddt_bootstrap_literal){0, 3, 4}, &b);
    status = status != DDT_OK ? status : ddt_eval_keys_create(t->ctx, t->params, &keys);
    status = status != DDT_OK ? status : ddt_bootstrap_keys_generate(t->ctx, t->secret, b, keys);
    status = status != DDT_OK ? status : ddt_evaluator_create(t->ctx, t->params, keys, 1, &ev);
    status = status != DDT_OK ? status : ddt_ciphertext_create(t->ctx, t->params, 3, 2, &a);
    status = status != DDT_OK ? status : ddt_ciphertext_create(t->ctx, t->params, 3, 2, &out);
    if (status == DDT_OK) {
        memset(a.limbs, 0, 8 * ddt_ckks_n(t->params) * sizeof(uint64_t));
        a.scale = ddt_ckks_canonical_scale(t->params, 3);
        status = ddt_eval_bootstrap(ev, b, &a, &out);
    }
    status = status != DDT_OK ? status : ddt_eval_bootstrap_real(ev, b, &a, &out);
    ddt_ciphertext_destroy(&a);
    ddt_ciphertext_destroy(&out);
    ddt_evaluator_destroy(ev);
    ddt_eval_keys_destroy(keys);
    ddt_bootstrapper_destroy(b);
    return status;
}

/* Allocations fail, the first and then ever later ones; so does the source of entropy. Nothing is leaked (the sanitizer
 * build sees it) and the cause is named. */
static void failures(void **state) {
    (void)state;
    test_scheme t;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    (void)ddt_alloc_fail_after(UINT64_MAX);
    assert_ok(t.ctx, everything(&t));
    const uint64_t count = ddt_alloc_fail_after(UINT64_MAX);
    assert_true(count > 100);
    for (uint64_t n = 0; n < count; n += 1 + n / 8) {
        (void)ddt_alloc_fail_after(n);
        const ddt_status status = everything(&t);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_string_equal(ddt_status_name(status), ddt_status_name(DDT_ERR_MEMORY));
        ddt_context_clear(t.ctx);
    }
    ddt_entropy_fail(true);
    assert_fails(t.ctx, DDT_ERR_ENTROPY, everything(&t));
    ddt_entropy_fail(false);
    test_scheme_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(encapsulation), cmocka_unit_test(sparse_modulus),
                                       cmocka_unit_test(files), cmocka_unit_test(literals), cmocka_unit_test(failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
