/* Key files: round trips, modes, passphrases, damage, other parameters. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"

#include "custody_internal.h"

#include <sys/stat.h>
#include <unistd.h>

static const ddt_ckks_literal literal = {10, 3, 50, 45, 2};
static char folder[] = "/tmp/ddt_custody_XXXXXX";
static char path[64];

typedef struct fixture {
    test_scheme t;
    ddt_digest plan;
} fixture;

static void fixture_create(fixture *f) {
    test_scheme_create(&f->t, &literal, NULL, 0, 1);
    ddt_digest_of("a plan", 6, &f->plan);
}

static void assert_same_key(const fixture *f, const ddt_secret_key *read, const ddt_digest *plan) {
    assert_memory_equal(read->ternary, f->t.secret->ternary, ddt_ckks_n(f->t.params));
    assert_true(ddt_digest_equal(plan, &f->plan));
}

static mode_t mode_of(void) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 0777;
}

static void plain_files(void **state) {
    (void)state;
    fixture f;
    ddt_secret_key *read = NULL;
    ddt_digest plan;
    fixture_create(&f);
    assert_ok(f.t.ctx, ddt_secret_key_save(f.t.ctx, path, f.t.secret, &f.plan, NULL));
    assert_int_equal(mode_of(), 0600);
    assert_ok(f.t.ctx, ddt_secret_key_load(f.t.ctx, path, f.t.params, NULL, &read, &plan));
    assert_same_key(&f, read, &plan);
    ddt_secret_key_destroy(read);
    /* A passphrase that is not needed does no harm. */
    assert_ok(f.t.ctx, ddt_secret_key_load(f.t.ctx, path, f.t.params, "unused", &read, NULL));
    ddt_secret_key_destroy(read);
    const mode_t refused[] = {0640, 0604, 0660, 0610, 0601, 0644, 0777};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(chmod(path, refused[i]), 0);
        assert_fails(f.t.ctx, DDT_ERR_PERMISSION, ddt_secret_key_load(f.t.ctx, path, f.t.params, NULL, &read, &plan));
        assert_null(read);
    }
    assert_int_equal(chmod(path, 0400), 0);
    assert_ok(f.t.ctx, ddt_secret_key_load(f.t.ctx, path, f.t.params, NULL, &read, &plan));
    ddt_secret_key_destroy(read);
    /* Saving again over a file that others can read leaves a private one. */
    assert_int_equal(chmod(path, 0644), 0);
    assert_ok(f.t.ctx, ddt_secret_key_save(f.t.ctx, path, f.t.secret, &f.plan, NULL));
    assert_int_equal(mode_of(), 0600);
    assert_fails(f.t.ctx, DDT_ERR_IO, ddt_secret_key_load(f.t.ctx, "/nonexistent/x", f.t.params, NULL, &read, &plan));
    assert_fails(f.t.ctx, DDT_ERR_IO, ddt_secret_key_save(f.t.ctx, "/nonexistent/x", f.t.secret, &f.plan, NULL));
    test_scheme_destroy(&f.t);
}

static size_t find_bytes(const uint8_t *data, size_t length, const void *needle, size_t needle_length) {
    const uint8_t *found = memmem(data, length, needle, needle_length);
    return found == NULL ? SIZE_MAX : (size_t)(found - data);
}

static size_t slurp(uint8_t *out, size_t capacity) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t length = fread(out, 1, capacity, file);
    (void)fclose(file);
    return length;
}

static void spill(const uint8_t *data, size_t length) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    (void)fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
}

static void passphrases(void **state) {
    (void)state;
    fixture f;
    ddt_secret_key *read = NULL;
    ddt_digest plan;
    uint8_t plain[4096];
    uint8_t sealed[4096];
    fixture_create(&f);
    assert_ok(f.t.ctx, ddt_secret_key_save(f.t.ctx, path, f.t.secret, &f.plan, NULL));
    const size_t plain_length = slurp(plain, sizeof plain);
    assert_ok(f.t.ctx, ddt_secret_key_save(f.t.ctx, path, f.t.secret, &f.plan, "correct horse"));
    assert_int_equal(mode_of(), 0600);
    const size_t sealed_length = slurp(sealed, sizeof sealed);
    /* Nothing of the key's 256 bytes stands in the sealed file. */
    uint8_t packed[16];
    for (size_t i = 0; i < sizeof packed; i++) {
        const int8_t *c = f.t.secret->ternary + 4 * i;
        packed[i] = (uint8_t)((c[0] + 1) | (c[1] + 1) << 2 | (c[2] + 1) << 4 | (c[3] + 1) << 6);
    }
    assert_true(find_bytes(plain, plain_length, packed, sizeof packed) != SIZE_MAX);
    assert_true(find_bytes(sealed, sealed_length, packed, sizeof packed) == SIZE_MAX);
    assert_ok(f.t.ctx, ddt_secret_key_load(f.t.ctx, path, f.t.params, "correct horse", &read, &plan));
    assert_same_key(&f, read, &plan);
    ddt_secret_key_destroy(read);
    assert_fails(f.t.ctx, DDT_ERR_PASSPHRASE,
                 ddt_secret_key_load(f.t.ctx, path, f.t.params, "wrong horse", &read, &plan));
    assert_null(read);
    assert_fails(f.t.ctx, DDT_ERR_PASSPHRASE, ddt_secret_key_load(f.t.ctx, path, f.t.params, NULL, &read, &plan));
    assert_null(read);
    ddt_entropy_fail(true);
    assert_fails(f.t.ctx, DDT_ERR_ENTROPY, ddt_secret_key_save(f.t.ctx, path, f.t.secret, &f.plan, "x"));
    ddt_entropy_fail(false);
    test_scheme_destroy(&f.t);
}

static void damage(void **state) {
    (void)state;
    fixture f;
    ddt_secret_key *read = NULL;
    ddt_digest plan;
    uint8_t file[4096];
    fixture_create(&f);
    assert_ok(f.t.ctx, ddt_secret_key_save(f.t.ctx, path, f.t.secret, &f.plan, NULL));
    const size_t length = slurp(file, sizeof file);
    for (size_t i = 0; i < length; i += 3) {
        file[i] ^= (uint8_t)(1U << (i % 8));
        spill(file, length);
        assert_true(ddt_secret_key_load(f.t.ctx, path, f.t.params, NULL, &read, &plan) != DDT_OK);
        assert_null(read);
        file[i] ^= (uint8_t)(1U << (i % 8));
        spill(file, i);
        assert_true(ddt_secret_key_load(f.t.ctx, path, f.t.params, NULL, &read, &plan) != DDT_OK);
        assert_null(read);
        ddt_context_clear(f.t.ctx);
    }
    spill(file, length);
    assert_ok(f.t.ctx, ddt_secret_key_load(f.t.ctx, path, f.t.params, NULL, &read, &plan));
    ddt_secret_key_destroy(read);
    const ddt_ckks_literal other = {10, 2, 50, 45, 2};
    ddt_ckks_params *others = NULL;
    assert_ok(f.t.ctx, ddt_ckks_params_create_insecure_for_testing(f.t.ctx, &other, &others));
    assert_fails(f.t.ctx, DDT_ERR_MISMATCH, ddt_secret_key_load(f.t.ctx, path, others, NULL, &read, &plan));
    assert_null(read);
    ddt_ckks_params_destroy(others);
    test_scheme_destroy(&f.t);
}

/* Files with good digests that ask for the impossible. */
static void hostile(void **state) {
    (void)state;
    fixture f;
    fixture_create(&f);
    const struct {
        uint8_t wrapped;
        uint64_t ops;
        uint64_t mem;
        uint8_t filler;
    } cases[] = {{0, 0, 0, 0xff}, {2, 0, 0, 0}, {1, 1000000, 1 << 20, 0}, {1, 3, (uint64_t)1 << 50, 0}, {1, 0, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ddt_writer *writer = NULL;
        ddt_secret_key *read = NULL;
        uint8_t filler[512];
        memset(filler, cases[i].filler, sizeof filler);
        assert_ok(f.t.ctx, ddt_writer_open(f.t.ctx, path, DDT_WIRE_SECRET_KEY, true, &writer));
        ddt_writer_begin(writer, "PRMS");
        ddt_ckks_write_literal(writer, &literal);
        ddt_writer_bytes(writer, ddt_ckks_params_digest(f.t.params)->bytes, DDT_WIRE_DIGEST_BYTES);
        ddt_writer_bytes(writer, f.plan.bytes, DDT_WIRE_DIGEST_BYTES);
        assert_ok(f.t.ctx, ddt_writer_end(writer));
        ddt_writer_begin(writer, "SECR");
        ddt_writer_u8(writer, cases[i].wrapped);
        if (cases[i].wrapped == 1) {
            ddt_writer_u64(writer, cases[i].ops);
            ddt_writer_u64(writer, cases[i].mem);
            ddt_writer_bytes(writer, filler, 40);
            ddt_writer_bytes(writer, filler, 256 + 16);
        } else {
            ddt_writer_bytes(writer, filler, 256);
        }
        assert_ok(f.t.ctx, ddt_writer_end(writer));
        assert_ok(f.t.ctx, ddt_writer_commit(writer, NULL));
        assert_fails(f.t.ctx, DDT_ERR_FORMAT, ddt_secret_key_load(f.t.ctx, path, f.t.params, "p", &read, NULL));
        assert_null(read);
    }
    test_scheme_destroy(&f.t);
}

static void public_keys(void **state) {
    (void)state;
    fixture f;
    ddt_public_key read;
    ddt_digest plan;
    fixture_create(&f);
    const size_t bytes = 5 * ddt_ckks_n(f.t.params) * sizeof(uint64_t);
    assert_ok(f.t.ctx, ddt_public_key_save(f.t.ctx, path, f.t.params, &f.t.public_key, &f.plan));
    assert_ok(f.t.ctx, ddt_public_key_load(f.t.ctx, path, f.t.params, &read, &plan));
    assert_memory_equal(read.a, f.t.public_key.a, bytes);
    assert_memory_equal(read.b, f.t.public_key.b, bytes);
    assert_true(ddt_digest_equal(&plan, &f.plan));
    ddt_public_key_destroy(&read);
    const ddt_ckks_literal other = {10, 3, 50, 40, 2};
    ddt_ckks_params *others = NULL;
    assert_ok(f.t.ctx, ddt_ckks_params_create_insecure_for_testing(f.t.ctx, &other, &others));
    assert_fails(f.t.ctx, DDT_ERR_MISMATCH, ddt_public_key_load(f.t.ctx, path, others, &read, &plan));
    assert_null(read.b);
    ddt_ckks_params_destroy(others);
    ddt_secret_key *secret = NULL;
    assert_fails(f.t.ctx, DDT_ERR_MISMATCH, ddt_secret_key_load(f.t.ctx, path, f.t.params, NULL, &secret, &plan));
    assert_ok(f.t.ctx, ddt_secret_key_save(f.t.ctx, path, f.t.secret, &f.plan, NULL));
    assert_fails(f.t.ctx, DDT_ERR_MISMATCH, ddt_public_key_load(f.t.ctx, path, f.t.params, &read, &plan));
    test_scheme_destroy(&f.t);
}

static void memory_failures(void **state) {
    (void)state;
    fixture f;
    ddt_secret_key *read = NULL;
    ddt_public_key public_key;
    fixture_create(&f);
    bool done = false;
    for (uint64_t n = 0; !done; n++) {
        assert_true(n < 1000);
        (void)ddt_alloc_fail_after(n);
        ddt_status status = ddt_secret_key_save(f.t.ctx, path, f.t.secret, &f.plan, NULL);
        status = status != DDT_OK ? status : ddt_secret_key_load(f.t.ctx, path, f.t.params, NULL, &read, NULL);
        ddt_secret_key_destroy(read);
        read = NULL;
        status = status != DDT_OK ? status : ddt_public_key_save(f.t.ctx, path, f.t.params, &f.t.public_key, &f.plan);
        status = status != DDT_OK ? status : ddt_public_key_load(f.t.ctx, path, f.t.params, &public_key, NULL);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        done = status == DDT_OK;
        assert_true(done || status == DDT_ERR_MEMORY);
        ddt_context_clear(f.t.ctx);
    }
    ddt_public_key_destroy(&public_key);
    test_scheme_destroy(&f.t);
}

int main(void) {
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    (void)snprintf(path, sizeof path, "%s/key.ddt", folder);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_files), cmocka_unit_test(passphrases), cmocka_unit_test(damage),
        cmocka_unit_test(hostile),     cmocka_unit_test(public_keys), cmocka_unit_test(memory_failures),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    (void)rmdir(folder);
    return failed;
}
