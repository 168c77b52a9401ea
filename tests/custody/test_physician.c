/* A physician's keys and what is granted to them. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/custody/physician.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_LENGTH = 160 };

typedef struct fixture {
    ddt_context *ctx;
    char folder[PATH_LENGTH / 2];
    char secret[PATH_LENGTH], public[PATH_LENGTH], other_secret[PATH_LENGTH], other_public[PATH_LENGTH];
    char grant[PATH_LENGTH];
} fixture;

static fixture f;
static const char text[] = "{\"regimen\": \"1000 mg every 12 h\"}";

static void name(char out[PATH_LENGTH], const char *file) { (void)snprintf(out, PATH_LENGTH, "%s/%s", f.folder, file); }

static int setup(void **state) {
    (void)state;
    assert_int_equal(ddt_context_create(&f.ctx), DDT_OK);
    (void)snprintf(f.folder, sizeof f.folder, "%s", "/tmp/ddt_physician_XXXXXX");
    assert_non_null(mkdtemp(f.folder));
    name(f.secret, "secret.ddt");
    name(f.public, "public.ddt");
    name(f.other_secret, "other_secret.ddt");
    name(f.other_public, "other_public.ddt");
    name(f.grant, "grant.ddt");
    assert_int_equal(ddt_physician_keys_generate(f.ctx, f.secret, f.public, NULL, NULL), DDT_OK);
    assert_int_equal(ddt_physician_keys_generate(f.ctx, f.other_secret, f.other_public, NULL, NULL), DDT_OK);
    return 0;
}

static void remove_all(void) {
    const char *const files[] = {f.secret, f.public, f.other_secret, f.other_public, f.grant};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)unlink(files[i]);
    }
}

static int teardown(void **state) {
    (void)state;
    remove_all();
    assert_int_equal(rmdir(f.folder), 0);
    ddt_context_destroy(f.ctx);
    return 0;
}

static ddt_status open_grant(const char *secret, const char *passphrase) {
    char *opened = NULL;
    size_t length = 0;
    ddt_context_clear(f.ctx);
    const ddt_status status = ddt_grant_read(f.ctx, secret, passphrase, f.grant, &opened, &length);
    if (status == DDT_OK) {
        assert_int_equal(length, strlen(text));
        assert_string_equal(opened, text);
    } else {
        assert_null(opened);
    }
    ddt_grant_text_free(opened, length);
    return status;
}

static void grants_open_for_their_physician_only(void **state) {
    (void)state;
    assert_int_equal(ddt_grant_write(f.ctx, f.public, text, strlen(text), f.grant), DDT_OK);
    assert_int_equal(open_grant(f.secret, NULL), DDT_OK);
    assert_int_equal(open_grant(f.other_secret, NULL), DDT_ERR_MISMATCH);
    /* A passphrase for a key that has none does no harm. */
    assert_int_equal(open_grant(f.secret, "unneeded"), DDT_OK);
}

static void the_same_text_is_sealed_differently_each_time(void **state) {
    (void)state;
    ddt_digest first;
    ddt_digest second;
    assert_int_equal(ddt_grant_write(f.ctx, f.public, text, strlen(text), f.grant), DDT_OK);
    assert_int_equal(ddt_wire_file_digest(f.ctx, f.grant, DDT_WIRE_GRANT, &first), DDT_OK);
    assert_int_equal(ddt_grant_write(f.ctx, f.public, text, strlen(text), f.grant), DDT_OK);
    assert_int_equal(ddt_wire_file_digest(f.ctx, f.grant, DDT_WIRE_GRANT, &second), DDT_OK);
    assert_false(ddt_digest_equal(&first, &second));
}

static void the_id_is_the_same_from_both_halves(void **state) {
    (void)state;
    ddt_physician_id public_id;
    ddt_physician_id secret_id;
    ddt_physician_id other;
    assert_int_equal(ddt_physician_id_read(f.ctx, f.public, &public_id), DDT_OK);
    assert_int_equal(ddt_physician_id_read(f.ctx, f.secret, &secret_id), DDT_OK);
    assert_int_equal(ddt_physician_id_read(f.ctx, f.other_public, &other), DDT_OK);
    assert_true(ddt_digest_equal(&public_id, &secret_id));
    assert_false(ddt_digest_equal(&public_id, &other));
}

static void passphrases_wrap_the_key(void **state) {
    (void)state;
    char secret[PATH_LENGTH];
    char public[PATH_LENGTH];
    name(secret, "wrapped_secret.ddt");
    name(public, "wrapped_public.ddt");
    assert_int_equal(ddt_physician_keys_generate(f.ctx, secret, public, "correct horse", NULL), DDT_OK);
    assert_int_equal(ddt_grant_write(f.ctx, public, text, strlen(text), f.grant), DDT_OK);
    assert_int_equal(open_grant(secret, NULL), DDT_ERR_PASSPHRASE);
    assert_int_equal(open_grant(secret, "wrong horse"), DDT_ERR_PASSPHRASE);
    assert_int_equal(open_grant(secret, "correct horse"), DDT_OK);
    assert_int_equal(unlink(secret), 0);
    assert_int_equal(unlink(public), 0);
}

static void keys_are_private_and_never_overwritten(void **state) {
    (void)state;
    struct stat info;
    assert_int_equal(stat(f.secret, &info), 0);
    assert_int_equal(info.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO), S_IRUSR | S_IWUSR);
    assert_int_equal(ddt_physician_keys_generate(f.ctx, f.secret, f.public, NULL, NULL), DDT_ERR_SECURITY);
    assert_int_equal(chmod(f.secret, S_IRUSR | S_IWUSR | S_IRGRP), 0);
    assert_int_equal(ddt_grant_write(f.ctx, f.public, text, strlen(text), f.grant), DDT_OK);
    assert_int_equal(open_grant(f.secret, NULL), DDT_ERR_PERMISSION);
    assert_int_equal(chmod(f.secret, S_IRUSR | S_IWUSR), 0);
}

/* Every byte of a grant matters. */
static void altered_grants_do_not_open(void **state) {
    (void)state;
    assert_int_equal(ddt_grant_write(f.ctx, f.public, text, strlen(text), f.grant), DDT_OK);
    struct stat info;
    assert_int_equal(stat(f.grant, &info), 0);
    for (long at = 0; at < info.st_size; at++) {
        FILE *file = fopen(f.grant, "r+b");
        assert_non_null(file);
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        const int byte = fgetc(file);
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        assert_int_equal(fputc(byte ^ 1, file), byte ^ 1);
        assert_int_equal(fclose(file), 0);
        assert_int_not_equal(open_grant(f.secret, NULL), DDT_OK);
        file = fopen(f.grant, "r+b");
        assert_non_null(file);
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        assert_int_equal(fputc(byte, file), byte);
        assert_int_equal(fclose(file), 0);
    }
    assert_int_equal(open_grant(f.secret, NULL), DDT_OK);
}

static void other_files_are_refused(void **state) {
    (void)state;
    assert_int_equal(ddt_grant_write(f.ctx, f.secret, text, strlen(text), f.grant), DDT_ERR_MISMATCH);
    assert_int_equal(ddt_grant_write(f.ctx, f.public, text, strlen(text), f.grant), DDT_OK);
    assert_int_equal(open_grant(f.public, NULL), DDT_ERR_MISMATCH);
    assert_int_equal(ddt_grant_write(f.ctx, f.public, text, (size_t)DDT_GRANT_TEXT_MAX + 1, f.grant), DDT_ERR_CAPACITY);
}

static void failing_entropy_leaves_nothing(void **state) {
    (void)state;
    char secret[PATH_LENGTH];
    char public[PATH_LENGTH];
    name(secret, "failing_secret.ddt");
    name(public, "failing_public.ddt");
    ddt_entropy_fail(true);
    const ddt_status status = ddt_physician_keys_generate(f.ctx, secret, public, NULL, NULL);
    ddt_entropy_fail(false);
    assert_int_equal(status, DDT_ERR_ENTROPY);
    assert_int_not_equal(access(secret, F_OK), 0);
    assert_int_not_equal(access(public, F_OK), 0);
}

static void failing_allocations_leave_nothing(void **state) {
    (void)state;
    char secret[PATH_LENGTH];
    char public[PATH_LENGTH];
    name(secret, "failing_secret.ddt");
    name(public, "failing_public.ddt");
    ddt_status status = DDT_ERR_MEMORY;
    for (size_t n = 0; status != DDT_OK; n++) {
        ddt_context_clear(f.ctx);
        (void)ddt_alloc_fail_after(n);
        status = ddt_physician_keys_generate(f.ctx, secret, public, NULL, NULL);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_true(status == DDT_OK || status == DDT_ERR_MEMORY);
        assert_int_equal(access(secret, F_OK) == 0, status == DDT_OK);
        assert_int_equal(access(public, F_OK) == 0, status == DDT_OK);
    }
    status = DDT_ERR_MEMORY;
    for (size_t n = 0; status != DDT_OK; n++) {
        (void)unlink(f.grant);
        ddt_context_clear(f.ctx);
        (void)ddt_alloc_fail_after(n);
        status = ddt_grant_write(f.ctx, public, text, strlen(text), f.grant);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_int_equal(access(f.grant, F_OK) == 0, status == DDT_OK);
    }
    status = DDT_ERR_MEMORY;
    for (size_t n = 0; status != DDT_OK; n++) {
        (void)ddt_alloc_fail_after(n);
        status = open_grant(secret, NULL);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_true(status == DDT_OK || status == DDT_ERR_MEMORY);
    }
    assert_int_equal(unlink(secret), 0);
    assert_int_equal(unlink(public), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grants_open_for_their_physician_only),
        cmocka_unit_test(the_same_text_is_sealed_differently_each_time),
        cmocka_unit_test(the_id_is_the_same_from_both_halves),
        cmocka_unit_test(passphrases_wrap_the_key),
        cmocka_unit_test(keys_are_private_and_never_overwritten),
        cmocka_unit_test(altered_grants_do_not_open),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(failing_entropy_leaves_nothing),
        cmocka_unit_test(failing_allocations_leave_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
