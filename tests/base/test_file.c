/* Text files read whole, and files that appear whole or not at all.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ddt/base.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct scratch {
    ddt_context *ctx;
    char folder[64];
    char path[96];
} scratch;

static int setup(void **state) {
    scratch *s = calloc(1, sizeof *s);
    assert_non_null(s);
    (void)snprintf(s->folder, sizeof s->folder, "/tmp/ddt-base-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    (void)snprintf(s->path, sizeof s->path, "%s/report.csv", s->folder);
    assert_int_equal(ddt_context_create(&s->ctx), DDT_OK);
    *state = s;
    return 0;
}

static size_t files_in(const char *folder) {
    size_t count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(dir);
    return count;
}

static int teardown(void **state) {
    scratch *s = *state;
    (void)unlink(s->path);
    assert_int_equal(files_in(s->folder), 0);
    (void)rmdir(s->folder);
    ddt_context_destroy(s->ctx);
    free(s);
    return 0;
}

static void expect_text(scratch *s, const char *wanted, size_t wanted_length) {
    char *text = NULL;
    size_t length = 0;
    assert_int_equal(ddt_read_text(s->ctx, s->path, 1 << 20, &text, &length), DDT_OK);
    assert_int_equal(length, wanted_length);
    assert_memory_equal(text, wanted, length);
    assert_int_equal(text[length], '\0');
    ddt_free(text);
}

/* Lengths around the reader's buffer, which grows by doubling. */
static void test_lengths(void **state) {
    scratch *s = *state;
    static const size_t lengths[] = {0, 1, 65534, 65535, 65536, 131071, 131072, 400000};
    char *text = malloc(400000);
    assert_non_null(text);
    memset(text, 'a', 400000);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(ddt_write_text(s->ctx, s->path, text, lengths[i]), DDT_OK);
        expect_text(s, text, lengths[i]);
    }
    free(text);
}

static void test_modes(void **state) {
    scratch *s = *state;
    struct stat info;
    ddt_file *file = NULL;
    mode_t old = umask(022);
    assert_int_equal(ddt_write_text(s->ctx, s->path, "a", 1), DDT_OK);
    (void)umask(old);
    assert_int_equal(stat(s->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0644);
    old = umask(0);
    assert_int_equal(ddt_file_create(s->ctx, s->path, true, &file), DDT_OK);
    (void)umask(old);
    assert_int_equal(ddt_file_append(file, "secret", 6), DDT_OK);
    expect_text(s, "a", 1);
    assert_int_equal(ddt_file_commit(file), DDT_OK);
    assert_int_equal(stat(s->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void test_append_and_patch(void **state) {
    scratch *s = *state;
    ddt_file *file = NULL;
    assert_int_equal(ddt_file_create(s->ctx, s->path, false, &file), DDT_OK);
    assert_int_equal(ddt_file_append(file, "........", 8), DDT_OK);
    assert_int_equal(ddt_file_patch(file, 2, "ab", 2), DDT_OK);
    assert_int_equal(ddt_file_append(file, "end", 3), DDT_OK);
    assert_int_equal(ddt_file_append(file, "", 0), DDT_OK);
    assert_int_equal(ddt_file_size(file), 11);
    assert_int_equal(ddt_file_commit(file), DDT_OK);
    expect_text(s, "..ab....end", 11);
    assert_int_equal(ddt_file_create(s->ctx, s->path, false, &file), DDT_OK);
    assert_int_equal(ddt_file_append(file, "other", 5), DDT_OK);
    ddt_file_abort(file);
    expect_text(s, "..ab....end", 11);
    ddt_file_abort(NULL);
}

/* Scratch files are flushed to no disk, but are whole, replace what was there and count as all others do. */
static void test_scratch_files(void **state) {
    scratch *s = *state;
    assert_false(ddt_context_scratch_files(s->ctx));
    assert_false(ddt_context_scratch_files(NULL));
    assert_int_equal(ddt_write_text(s->ctx, s->path, "old and longer", 14), DDT_OK);
    ddt_context_set_scratch_files(s->ctx, true);
    assert_true(ddt_context_scratch_files(s->ctx));
    assert_int_equal(ddt_write_text(s->ctx, s->path, "new", 3), DDT_OK);
    expect_text(s, "new", 3);
    assert_int_equal(files_in(s->folder), 1);
    assert_int_equal(ddt_write_text(s->ctx, "/nowhere/file", "new", 3), DDT_ERR_IO);
    ddt_context_set_scratch_files(s->ctx, false);
    assert_false(ddt_context_scratch_files(s->ctx));
}

static void test_file_in_this_folder(void **state) {
    scratch *s = *state;
    char *here = getcwd(NULL, 0);
    assert_non_null(here);
    assert_int_equal(chdir(s->folder), 0);
    ddt_status status = ddt_write_text(s->ctx, "report.csv", "b", 1);
    assert_int_equal(chdir(here), 0);
    free(here);
    assert_int_equal(status, DDT_OK);
    expect_text(s, "b", 1);
}

static void test_no_space(void **state) {
    scratch *s = *state;
    static char text[5000];
    struct rlimit old;
    memset(text, 'x', sizeof text);
    assert_int_equal(ddt_write_text(s->ctx, s->path, "before", 6), DDT_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    struct rlimit limit = {4096, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ddt_status status = ddt_write_text(s->ctx, s->path, text, sizeof text);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(status, DDT_ERR_NO_SPACE);
    assert_non_null(strstr(ddt_error_detail(s->ctx), s->path));
    assert_int_equal(files_in(s->folder), 1);
    expect_text(s, "before", 6);
}

static void test_refusals(void **state) {
    scratch *s = *state;
    char *text = NULL;
    size_t length = 0;
    static const char *const not_writable[] = {"", "/dev/null", "/nonexistent/a.csv", "/tmp"};
    for (size_t i = 0; i < sizeof not_writable / sizeof *not_writable; i++) {
        ddt_context_clear(s->ctx);
        assert_int_equal(ddt_write_text(s->ctx, not_writable[i], "a", 1), DDT_ERR_IO);
        assert_string_not_equal(ddt_error_detail(s->ctx), "");
    }
    static const char *const not_readable[] = {"", "/nonexistent/a.csv", "/tmp"};
    for (size_t i = 0; i < sizeof not_readable / sizeof *not_readable; i++) {
        ddt_context_clear(s->ctx);
        assert_int_equal(ddt_read_text(s->ctx, not_readable[i], 100, &text, &length), DDT_ERR_IO);
        assert_non_null(strstr(ddt_error_detail(s->ctx), not_readable[i]));
    }
    ddt_context_clear(s->ctx);
    assert_int_equal(ddt_write_text(s->ctx, s->path, "ab\0cd", 5), DDT_OK);
    assert_int_equal(ddt_read_text(s->ctx, s->path, 100, &text, &length), DDT_ERR_FORMAT);
    assert_non_null(strstr(ddt_error_detail(s->ctx), "zero byte"));
    ddt_context_clear(s->ctx);
    assert_int_equal(ddt_read_text(s->ctx, s->path, 4, &text, &length), DDT_ERR_FORMAT);
    assert_non_null(strstr(ddt_error_detail(s->ctx), "larger than the 4 bytes"));
    ddt_context_clear(s->ctx);
    /* An endless file ends at the limit. */
    assert_int_equal(ddt_read_text(s->ctx, "/dev/zero", 1 << 20, &text, &length), DDT_ERR_FORMAT);
    assert_null(text);
    ddt_entropy_fail(true);
    ddt_context_clear(s->ctx);
    assert_int_equal(ddt_write_text(s->ctx, s->path, "a", 1), DDT_ERR_ENTROPY);
    ddt_entropy_fail(false);
}

static void test_allocation_failures(void **state) {
    scratch *s = *state;
    char *text = NULL;
    size_t length = 0;
    static char large[200000];
    memset(large, 'y', sizeof large);
    ddt_status status = DDT_ERR_MEMORY;
    for (uint64_t tries = 0; status != DDT_OK; tries++) {
        assert_true(tries < 16);
        (void)ddt_alloc_fail_after(tries);
        status = ddt_write_text(s->ctx, s->path, large, sizeof large);
        uint64_t made = ddt_alloc_fail_after(UINT64_MAX);
        assert_true(status == DDT_ERR_MEMORY || (status == DDT_OK && made >= 3));
        assert_int_equal(files_in(s->folder), status == DDT_OK ? 1 : 0);
    }
    status = DDT_ERR_MEMORY;
    for (uint64_t tries = 0; status != DDT_OK; tries++) {
        assert_true(tries < 16 && text == NULL);
        (void)ddt_alloc_fail_after(tries);
        status = ddt_read_text(s->ctx, s->path, 1 << 20, &text, &length);
        uint64_t made = ddt_alloc_fail_after(UINT64_MAX);
        assert_true(status == DDT_ERR_MEMORY || (status == DDT_OK && made >= 3));
    }
    ddt_free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lengths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_append_and_patch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scratch_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_in_this_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_space, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_allocation_failures, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
