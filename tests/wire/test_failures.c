/* What fails while a file is written or read leaves nothing behind: no memory, no space, no temporary file, no
 * half-written target. SPDX-License-Identifier: Apache-2.0 */
#include "wire_test.h"

#include "format.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void test_allocation_sweep_writing(void **state) {
    scratch *s = *state;
    ddt_status status = DDT_ERR_MEMORY;
    uint64_t tries = 0;
    for (; status != DDT_OK; tries++) {
        (void)ddt_alloc_fail_after(tries);
        status = sample_write(s->ctx, s->path, DDT_WIRE_PLAN);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        if (status != DDT_OK) {
            assert_int_equal(status, DDT_ERR_MEMORY);
            assert_int_equal(files_in(s->folder), 0);
            ddt_context_clear(s->ctx);
        }
        assert_true(tries < 32);
    }
    assert_true(tries > 4);
    assert_int_equal(sample_read_file(s->ctx, s->path, DDT_WIRE_PLAN), DDT_OK);
}

static void test_allocation_sweep_reading(void **state) {
    scratch *s = *state;
    ddt_status status = DDT_ERR_MEMORY;
    uint64_t tries = 0;
    assert_int_equal(sample_write(s->ctx, s->path, DDT_WIRE_PLAN), DDT_OK);
    for (; status != DDT_OK; tries++) {
        (void)ddt_alloc_fail_after(tries);
        status = sample_read_file(s->ctx, s->path, DDT_WIRE_PLAN);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_true(status == DDT_OK || status == DDT_ERR_MEMORY);
        ddt_context_clear(s->ctx);
        assert_true(tries < 32);
    }
    assert_true(tries > 3);
}

/* Writes `blocks` MiB and more in one section; the first failure, wherever it shows. */
static ddt_status write_blocks(scratch *s, size_t blocks) {
    static uint8_t block[WIRE_CHUNK_BYTES];
    ddt_writer *writer = NULL;
    ddt_status status = ddt_writer_open(s->ctx, s->path, DDT_WIRE_RESULT, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    ddt_writer_begin(writer, "DATA");
    for (size_t i = 0; i < blocks; i++) {
        ddt_writer_bytes(writer, block, sizeof block);
    }
    ddt_writer_u8(writer, 1);
    status = ddt_writer_end(writer);
    ddt_status at_commit = ddt_writer_commit(writer, NULL);
    /* A failure is kept: commit reports it again. */
    assert_true(status == DDT_OK || at_commit == status);
    return at_commit;
}

/* A file-size limit stands in for a full disk: write() fails part of the way, at every place a limit can fall. */
static void test_no_space(void **state) {
    scratch *s = *state;
    static const rlim_t limits[] = {0, 20, 40, 1 << 20, (1 << 20) + 48, (3 << 20) + 16, (3 << 20) + 60, (3 << 20) + 90};
    struct rlimit old;
    struct stat info;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    spill(s->path, (const uint8_t *)"before", 6);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit limit = {limits[i], old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        ddt_status status = write_blocks(s, 3);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(status, DDT_ERR_NO_SPACE);
        assert_non_null(strstr(ddt_error_detail(s->ctx), s->path));
        ddt_context_clear(s->ctx);
        /* Only the old file is there, and it is as it was. */
        assert_int_equal(files_in(s->folder), 1);
        assert_int_equal(stat(s->path, &info), 0);
        assert_int_equal(info.st_size, 6);
    }
    assert_int_equal(write_blocks(s, 3), DDT_OK);
}

static void test_targets_that_cannot_be(void **state) {
    scratch *s = *state;
    ddt_writer *writer = NULL;
    assert_int_equal(ddt_writer_open(s->ctx, s->folder, DDT_WIRE_PLAN, false, &writer), DDT_ERR_IO);
    assert_int_equal(ddt_writer_open(s->ctx, "/dev/full", DDT_WIRE_PLAN, false, &writer), DDT_ERR_IO);
    assert_int_equal(ddt_writer_open(s->ctx, "", DDT_WIRE_PLAN, false, &writer), DDT_ERR_IO);
    assert_int_equal(ddt_writer_open(s->ctx, "/nonexistent/plan.ddt", DDT_WIRE_PLAN, false, &writer), DDT_ERR_IO);
    assert_int_equal(ddt_writer_open(s->ctx, s->path, (ddt_wire_kind)0, false, &writer), DDT_ERR_ARGUMENT);
    ddt_entropy_fail(true);
    assert_int_equal(ddt_writer_open(s->ctx, s->path, DDT_WIRE_PLAN, false, &writer), DDT_ERR_ENTROPY);
    ddt_entropy_fail(false);
    assert_null(writer);
    assert_int_equal(files_in(s->folder), 0);
}

static void test_target_vanishes(void **state) {
    scratch *s = *state;
    char folder[128];
    char path[160];
    ddt_writer *writer = NULL;
    (void)snprintf(folder, sizeof folder, "%s/gone", s->folder);
    (void)snprintf(path, sizeof path, "%s/plan.ddt", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(ddt_writer_open(s->ctx, path, DDT_WIRE_PLAN, false, &writer), DDT_OK);
    /* The target becomes a folder while the file is written. */
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(ddt_writer_commit(writer, NULL), DDT_ERR_IO);
    assert_int_equal(files_in(folder), 1);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void misuse(scratch *s, int what) {
    uint64_t value = 8;
    ddt_writer *writer = NULL;
    assert_int_equal(ddt_writer_open(s->ctx, s->path, DDT_WIRE_PLAN, false, &writer), DDT_OK);
    switch (what) {
    case 0: /* a value outside a section */
        ddt_writer_u8(writer, 1);
        break;
    case 1: /* a section inside another */
        ddt_writer_begin(writer, "AAAA");
        ddt_writer_begin(writer, "BBBB");
        break;
    case 2: /* the tag of the end record */
        ddt_writer_begin(writer, "END ");
        break;
    case 3: /* a tag that cannot be printed */
        ddt_writer_begin(writer, "AA\nA");
        break;
    case 4: /* a value wider than its field */
        ddt_writer_begin(writer, "AAAA");
        ddt_writer_packed(writer, &value, 1, 3);
        break;
    case 5: /* a width that does not exist */
        ddt_writer_begin(writer, "AAAA");
        ddt_writer_packed(writer, &value, 1, 65);
        break;
    default: /* commit inside a section */
        ddt_writer_begin(writer, "AAAA");
        assert_int_equal(ddt_writer_commit(writer, NULL), DDT_ERR_ARGUMENT);
        return;
    }
    assert_int_equal(ddt_writer_end(writer), DDT_ERR_ARGUMENT);
    ddt_writer_begin(writer, "CCCC");
    assert_int_equal(ddt_writer_commit(writer, NULL), DDT_ERR_ARGUMENT);
}

static void test_writer_misuse(void **state) {
    scratch *s = *state;
    for (int what = 0; what <= 6; what++) {
        misuse(s, what);
        assert_true(ddt_error_detail(s->ctx)[0] != '\0');
        ddt_context_clear(s->ctx);
        assert_int_equal(files_in(s->folder), 0);
    }
}

static void test_abort_and_modes(void **state) {
    scratch *s = *state;
    struct stat info;
    ddt_writer *writer = NULL;
    ddt_writer_abort(NULL);
    assert_int_equal(ddt_writer_open(s->ctx, s->path, DDT_WIRE_PLAN, true, &writer), DDT_OK);
    /* Until the commit there is one temporary file and no target. */
    assert_int_equal(files_in(s->folder), 1);
    assert_int_not_equal(stat(s->path, &info), 0);
    ddt_writer_abort(writer);
    assert_int_equal(files_in(s->folder), 0);
    mode_t old = umask(027);
    assert_int_equal(sample_write(s->ctx, s->path, DDT_WIRE_PLAN), DDT_OK);
    (void)umask(old);
    assert_int_equal(stat(s->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    /* A secret file takes the place of an open one as a secret file. */
    assert_int_equal(sample_write(s->ctx, s->path, DDT_WIRE_SECRET_KEY), DDT_OK);
    assert_int_equal(stat(s->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

/* The file shrinks between opening and reading. */
static void test_shrinks_while_read(void **state) {
    scratch *s = *state;
    ddt_reader *reader = NULL;
    assert_int_equal(sample_write(s->ctx, s->path, DDT_WIRE_PLAN), DDT_OK);
    assert_int_equal(ddt_reader_open(s->ctx, s->path, DDT_WIRE_PLAN, &reader), DDT_OK);
    assert_int_equal(truncate(s->path, 60), 0);
    assert_int_equal(ddt_reader_begin(reader, "PRMS", 4096), DDT_ERR_CORRUPT);
    assert_non_null(strstr(ddt_error_detail(s->ctx), "ends after 60 bytes"));
    ddt_reader_close(reader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_allocation_sweep_writing, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_allocation_sweep_reading, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_no_space, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_targets_that_cannot_be, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_target_vanishes, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_writer_misuse, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_abort_and_modes, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_shrinks_while_read, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
