/* What a rotation key takes: stored, in memory, to make. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double processor_s(void) {
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* 2^16 with 28 primes and three digits, as peers are compared: at most 55 MiB. */
static void one_rotation(void **state) {
    (void)state;
    const ddt_ckks_literal literal = {16, 27, 50, 45, 10};
    const double stored_mib_max = 55.0;
    char path[] = "/tmp/ddt_key_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    (void)close(file);
    ddt_context *ctx = NULL;
    ddt_ckks_params *params = NULL;
    ddt_secret_key *secret = NULL;
    ddt_switch_key key;
    ddt_switch_key back;
    ddt_writer *writer = NULL;
    ddt_reader *reader = NULL;
    struct stat info;
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    assert_ok(ctx, ddt_ckks_params_create(ctx, &literal, &params));
    assert_ok(ctx, ddt_secret_key_generate(ctx, params, &secret));
    const uint64_t galois = ddt_ring_galois_rotation(ddt_ckks_params_ring(params), 1);
    const double start = processor_s();
    assert_ok(ctx, ddt_switch_key_generate(ctx, secret, galois, literal.levels, &key));
    const double made = processor_s();
    assert_int_equal(key.digits, 3);
    assert_ok(ctx, ddt_writer_open(ctx, path, DDT_WIRE_EVAL_KEYS, false, &writer));
    assert_ok(ctx, ddt_switch_key_write(writer, params, &key));
    assert_ok(ctx, ddt_writer_commit(writer, NULL));
    assert_int_equal(stat(path, &info), 0);
    const double stored_mib = (double)info.st_size / 0x1p20;
    const size_t words = (size_t)key.digits * (literal.levels + 1 + literal.p_count) * ddt_ckks_n(params);
    print_message("one rotation key: %.1f MiB stored, %.1f MiB expanded, %.2f s of processor time to make\n",
                  stored_mib, 2.0 * (double)words * sizeof(uint64_t) / 0x1p20, made - start);
    assert_true(stored_mib <= stored_mib_max);
    /* What is not stored is expanded again, to the same. */
    assert_ok(ctx, ddt_reader_open(ctx, path, DDT_WIRE_EVAL_KEYS, &reader));
    assert_ok(ctx, ddt_switch_key_read(ctx, reader, params, &back));
    assert_memory_equal(back.a, key.a, words * sizeof(uint64_t));
    assert_memory_equal(back.b, key.b, words * sizeof(uint64_t));
    ddt_reader_close(reader);
    (void)unlink(path);
    ddt_switch_key_destroy(&key);
    ddt_switch_key_destroy(&back);
    ddt_secret_key_destroy(secret);
    ddt_ckks_params_destroy(params);
    ddt_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_rotation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
