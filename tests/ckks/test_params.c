/* Parameters: the security table, primes, scales, digests, files. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"
#include "context_test.h"

#include <sodium.h>
#include <unistd.h>

/* ePrint 2024/463, 128 bits classical, uniform ternary secrets, sigma 3.2. */
static void table(void **state) {
    (void)state;
    const unsigned expected[] = {0, 25, 52, 106, 214, 430, 868, 1747, 3523, 0};
    for (unsigned log_n = 9; log_n <= 18; log_n++) {
        assert_int_equal(ddt_ckks_max_log_qp(log_n), expected[log_n - 9]);
    }
}

static void enforced(void **state) {
    (void)state;
    /* One prime too many at each ring degree: 50 + levels * 40 + 50. */
    const struct {
        unsigned log_n;
        unsigned levels;
    } largest[] = {{12, 0}, {13, 2}, {14, 8}, {15, 19}, {16, 41}};
    for (size_t i = 0; i < sizeof largest / sizeof largest[0]; i++) {
        ddt_ckks_literal literal = {largest[i].log_n, largest[i].levels, 50, 40, 1};
        ddt_ckks_params *params = NULL;
        assert_ok(ctx, ddt_ckks_params_create(ctx, &literal, &params));
        assert_true(ddt_ckks_params_is_secure(params));
        assert_true(ddt_ckks_log2_qp(params) <= ddt_ckks_max_log_qp(literal.log_n));
        ddt_ckks_params_destroy(params);
        literal.levels++;
        assert_int_equal(ddt_ckks_params_create(ctx, &literal, &params), DDT_ERR_SECURITY);
        assert_null(params);
        assert_non_null(strstr(ddt_error_detail(ctx), "128-bit"));
        ddt_context_clear(ctx);
        if (literal.log_n <= 14) {
            assert_ok(ctx, ddt_ckks_params_create_insecure_for_testing(ctx, &literal, &params));
            assert_false(ddt_ckks_params_is_secure(params));
            ddt_ckks_params_destroy(params);
        }
    }
}

static void impossible(void **state) {
    (void)state;
    const ddt_ckks_literal bad[] = {
        {9, 3, 50, 45, 1},  {18, 3, 50, 45, 1}, {12, 61, 50, 45, 1}, {12, 3, 51, 45, 1},  {12, 3, 50, 50, 1},
        {12, 3, 40, 45, 1}, {12, 3, 50, 19, 1}, {12, 3, 50, 45, 0},  {12, 3, 50, 45, 17},
    };
    ddt_ckks_params *params = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_fails(ctx, DDT_ERR_ARGUMENT, ddt_ckks_params_create_insecure_for_testing(ctx, &bad[i], &params));
        assert_null(params);
    }
    /* There are no primes of 20 bits that are 1 mod 2^18. */
    const ddt_ckks_literal scarce = {17, 10, 50, 20, 1};
    assert_fails(ctx, DDT_ERR_CAPACITY, ddt_ckks_params_create_insecure_for_testing(ctx, &scarce, &params));
}

static void check_chain(const ddt_ckks_literal *literal, double tolerance_bits) {
    ddt_ckks_params *params = NULL;
    assert_ok(ctx, ddt_ckks_params_create_insecure_for_testing(ctx, literal, &params));
    const ddt_ring *ring = ddt_ckks_params_ring(params);
    const double nominal = literal->scale_bits;
    double log2_qp = 0.0;
    double log2_p = 0.0;
    assert_int_equal(ddt_ring_count(ring), literal->levels + 1 + literal->p_count);
    assert_true(fabs(log2((double)ddt_ckks_prime(params, 0)) - literal->first_bits) < tolerance_bits);
    assert_true(ddt_ckks_canonical_scale(params, literal->levels) == ldexp(1.0, (int)literal->scale_bits));
    for (unsigned l = 0; l <= literal->levels; l++) {
        const double scale = ddt_ckks_canonical_scale(params, l);
        assert_true(fabs(log2(scale) - nominal) < tolerance_bits);
        assert_int_equal(ddt_ckks_digits(params, l), (l + literal->p_count) / literal->p_count);
        if (l > 0) {
            assert_true(fabs(log2((double)ddt_ckks_prime(params, l)) - nominal) < 2 * tolerance_bits);
            assert_true(ddt_ckks_canonical_scale(params, l - 1) == scale * scale / (double)ddt_ckks_prime(params, l));
        }
    }
    for (size_t a = 0; a < ddt_ring_count(ring); a++) {
        log2_qp += log2((double)ddt_ring_modulus(ring, a));
        for (size_t b = 0; b < a; b++) {
            assert_true(ddt_ring_modulus(ring, a) != ddt_ring_modulus(ring, b));
        }
        const double bits = log2((double)ddt_ring_modulus(ring, a));
        assert_true(a <= literal->levels || fabs(bits - ddt_ckks_special_bits(literal)) < tolerance_bits);
        log2_p += a <= literal->levels ? 0.0 : bits;
    }
    /* P exceeds every digit, except that one special prime of 50 bits cannot exceed a first prime of 50 bits. */
    const double digit = literal->first_bits + (literal->p_count - 1.0) * literal->scale_bits;
    assert_true(literal->p_count == 1 || log2_p >= digit + 0.9);
    assert_true(literal->p_count == 1 || log2_p <= digit + 6.0 + literal->p_count);
    assert_true(fabs(log2_qp - ddt_ckks_log2_qp(params)) < 1e-9);
    ddt_ckks_params_destroy(params);
}

/* Scales stay near nominal however long the chain: the primes undo the doubling of deviations. */
static void chains(void **state) {
    (void)state;
    const unsigned bits[] = {30, 35, 40, 45, 47, 49};
    for (size_t b = 0; b < sizeof bits / sizeof bits[0]; b++) {
        for (unsigned levels = 0; levels <= 60; levels += 12) {
            const ddt_ckks_literal literal = {10, levels, 50, bits[b], 1 + levels % 5};
            check_chain(&literal, bits[b] < 35 ? 0.01 : 0.001);
        }
    }
    const ddt_ckks_literal small = {10, 12, 30, 20, 2};
    check_chain(&small, 0.3);
    const ddt_ckks_literal equal = {12, 20, 40, 40, 3};
    check_chain(&equal, 0.001);
    const ddt_ckks_literal large = {16, 27, 50, 45, 10};
    check_chain(&large, 0.001);
}

static void digests(void **state) {
    (void)state;
    const ddt_ckks_literal literals[] = {
        {12, 5, 50, 45, 2}, {12, 5, 50, 45, 3}, {12, 6, 50, 45, 2}, {13, 5, 50, 45, 2}};
    ddt_digest first[4];
    for (unsigned repeat = 0; repeat < 2; repeat++) {
        for (size_t i = 0; i < 4; i++) {
            ddt_ckks_params *params = NULL;
            assert_ok(ctx, ddt_ckks_params_create_insecure_for_testing(ctx, &literals[i], &params));
            assert_memory_equal(ddt_ckks_params_literal(params), &literals[i], sizeof literals[i]);
            for (size_t k = 0; k < i && repeat == 0; k++) {
                assert_false(ddt_digest_equal(ddt_ckks_params_digest(params), &first[k]));
            }
            if (repeat == 0) {
                first[i] = *ddt_ckks_params_digest(params);
            } else {
                assert_true(ddt_digest_equal(ddt_ckks_params_digest(params), &first[i]));
            }
            ddt_ckks_params_destroy(params);
        }
    }
    /* Files carry this digest: it must never change for a literal. */
    char hex[2 * DDT_WIRE_DIGEST_BYTES + 1];
    (void)sodium_bin2hex(hex, sizeof hex, first[0].bytes, sizeof first[0].bytes);
    assert_string_equal(hex, "f0323f50d0913694e074b389d79d79e37a7dc55a73107c14271f2528886544c1");
}

static void literal_files(void **state) {
    (void)state;
    char path[] = "/tmp/ddt_params_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    (void)close(file);
    const ddt_ckks_literal literals[] = {{16, 27, 50, 45, 10}, {9, 27, 50, 45, 10}};
    for (size_t i = 0; i < 2; i++) {
        ddt_writer *writer = NULL;
        ddt_reader *reader = NULL;
        ddt_ckks_literal read = {0};
        assert_ok(ctx, ddt_writer_open(ctx, path, DDT_WIRE_PLAN, false, &writer));
        ddt_writer_begin(writer, "PRMS");
        ddt_ckks_write_literal(writer, &literals[i]);
        assert_ok(ctx, ddt_writer_end(writer));
        assert_ok(ctx, ddt_writer_commit(writer, NULL));
        assert_ok(ctx, ddt_reader_open(ctx, path, DDT_WIRE_PLAN, &reader));
        assert_ok(ctx, ddt_reader_begin(reader, "PRMS", 1000));
        assert_int_equal(ddt_ckks_read_literal(reader, &read), i == 0 ? DDT_OK : DDT_ERR_FORMAT);
        assert_true(i != 0 || memcmp(&read, &literals[0], sizeof read) == 0);
        ddt_reader_close(reader);
        ddt_context_clear(ctx);
    }
    (void)unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),  cmocka_unit_test(enforced), cmocka_unit_test(impossible),
        cmocka_unit_test(chains), cmocka_unit_test(digests),  cmocka_unit_test(literal_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
