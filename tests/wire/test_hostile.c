/* Files from outside: cut anywhere, changed anywhere, rearranged, or consistent and wrong. Each is refused with a
 * sentence of its own. SPDX-License-Identifier: Apache-2.0 */
#include "wire_test.h"

#include "format.h"

#include <math.h>
#include <sys/stat.h>

static void expect(scratch *s, ddt_status status, ddt_status wanted, const char *sentence) {
    assert_int_equal(status, wanted);
    assert_non_null(strstr(ddt_error_detail(s->ctx), sentence));
    ddt_context_clear(s->ctx);
}

static void test_every_truncation(void **state) {
    scratch *s = *state;
    size_t length = 0;
    assert_int_equal(sample_write(s->ctx, s->path, DDT_WIRE_TWIN), DDT_OK);
    uint8_t *bytes = slurp(s->path, &length);
    for (size_t cut = 0; cut < length; cut++) {
        /* A copy of exactly this size, so that a sanitizer sees a read past it. */
        uint8_t *part = malloc(cut + 1);
        assert_non_null(part);
        memcpy(part, bytes, cut);
        part = realloc(part, cut == 0 ? 1 : cut);
        assert_non_null(part);
        ddt_status status = sample_read_memory(s->ctx, part, cut, DDT_WIRE_TWIN);
        expect(s, status, cut == 0 ? DDT_ERR_FORMAT : DDT_ERR_CORRUPT, cut == 0 ? "empty" : "truncated");
        spill(s->path, part, cut);
        status = sample_read_file(s->ctx, s->path, DDT_WIRE_TWIN);
        expect(s, status, cut == 0 ? DDT_ERR_FORMAT : DDT_ERR_CORRUPT, s->path);
        free(part);
    }
    free(bytes);
}

static void test_every_change(void **state) {
    scratch *s = *state;
    size_t length = 0;
    assert_int_equal(sample_write(s->ctx, s->path, DDT_WIRE_TWIN), DDT_OK);
    uint8_t *bytes = slurp(s->path, &length);
    for (size_t at = 0; at < length; at++) {
        for (unsigned bit = 0; bit < 9; bit++) {
            uint8_t change = (uint8_t)(bit == 8 ? 0xFF : 1U << bit);
            bytes[at] ^= change;
            ddt_status status = sample_read_memory(s->ctx, bytes, length, DDT_WIRE_TWIN);
            bytes[at] ^= change;
            /* The first four bytes say whose file it is; everything after them is damage. */
            expect(s, status, at < 4 ? DDT_ERR_FORMAT : DDT_ERR_CORRUPT,
                   at < 4 ? "not a file of this program" : "damaged");
        }
    }
    assert_int_equal(sample_read_memory(s->ctx, bytes, length, DDT_WIRE_TWIN), DDT_OK);
    free(bytes);
}

/* Whole sections left out, doubled or exchanged, all with digests that match. */
static void test_rearranged(void **state) {
    scratch *s = *state;
    enum { A = 32, B = A + 16 + 43 + 32, C = B + 16 + 32, END = C + 16 + 86 + 32, SIZE = END + 48 };
    uint8_t other[2 * SIZE];
    size_t length = 0;
    assert_int_equal(sample_write(s->ctx, s->path, DDT_WIRE_TWIN), DDT_OK);
    uint8_t *bytes = slurp(s->path, &length);
    assert_int_equal(length, SIZE);
    /* without the second section */
    memcpy(other, bytes, B);
    memcpy(other + B, bytes + C, SIZE - C);
    expect(s, sample_read_memory(s->ctx, other, SIZE - (C - B), DDT_WIRE_TWIN), DDT_ERR_CORRUPT, "damaged");
    /* the second section twice */
    memcpy(other, bytes, C);
    memcpy(other + C, bytes + B, SIZE - B);
    expect(s, sample_read_memory(s->ctx, other, SIZE + (C - B), DDT_WIRE_TWIN), DDT_ERR_CORRUPT, "damaged");
    /* the end record early: sections lost at the end */
    memcpy(other, bytes, C);
    memcpy(other + C, bytes + END, SIZE - END);
    expect(s, sample_read_memory(s->ctx, other, C + SIZE - END, DDT_WIRE_TWIN), DDT_ERR_CORRUPT, "damaged");
    /* something after the end */
    memcpy(other, bytes, SIZE);
    other[SIZE] = 0;
    expect(s, sample_read_memory(s->ctx, other, SIZE + 1, DDT_WIRE_TWIN), DDT_ERR_CORRUPT, "bytes follow its end");
    free(bytes);
}

/* A section of another file of the same shape: its own digest matches, the chain does not. */
static void test_exchanged_between_files(void **state) {
    scratch *s = *state;
    enum { SIZE = 32 + 16 + 1 + 32 + 48, SECTION = 32 };
    uint8_t *bytes[2];
    uint8_t value = 0;
    for (uint8_t i = 0; i < 2; i++) {
        ddt_writer *writer = NULL;
        size_t length = 0;
        assert_int_equal(ddt_writer_open(s->ctx, s->path, DDT_WIRE_PLAN, false, &writer), DDT_OK);
        ddt_writer_begin(writer, "BYTE");
        ddt_writer_u8(writer, i);
        assert_int_equal(ddt_writer_end(writer), DDT_OK);
        assert_int_equal(ddt_writer_commit(writer, NULL), DDT_OK);
        bytes[i] = slurp(s->path, &length);
        assert_int_equal(length, SIZE);
    }
    memcpy(bytes[0] + SECTION, bytes[1] + SECTION, SIZE - 48 - SECTION);
    ddt_reader *reader = NULL;
    assert_int_equal(ddt_reader_open_memory(s->ctx, bytes[0], SIZE, DDT_WIRE_PLAN, &reader), DDT_OK);
    assert_int_equal(ddt_reader_begin(reader, "BYTE", 1), DDT_OK);
    assert_int_equal(ddt_reader_u8(reader, &value), DDT_OK);
    assert_int_equal(ddt_reader_end(reader), DDT_OK);
    expect(s, ddt_reader_finish(reader), DDT_ERR_CORRUPT, "do not belong together");
    ddt_reader_close(reader);
    free(bytes[0]);
    free(bytes[1]);
}

static void test_other_files(void **state) {
    scratch *s = *state;
    ddt_wire_kind kind = DDT_WIRE_PLAN;
    uint8_t header[WIRE_HEADER_BYTES];
    assert_int_equal(sample_write(s->ctx, s->path, DDT_WIRE_TWIN), DDT_OK);
    expect(s, sample_read_file(s->ctx, s->path, DDT_WIRE_PLAN), DDT_ERR_MISMATCH,
           "is a file of kind 'encrypted twin' where one of kind 'plan' is expected");
    expect(s, sample_read_file(s->ctx, "/nonexistent/file.ddt", DDT_WIRE_PLAN), DDT_ERR_IO, "/nonexistent/file.ddt");
    expect(s, sample_read_file(s->ctx, s->folder, DDT_WIRE_PLAN), DDT_ERR_IO, "not an ordinary file");
    expect(s, sample_read_file(s->ctx, "/dev/zero", DDT_WIRE_PLAN), DDT_ERR_IO, "not an ordinary file");
    spill(s->path, (const uint8_t *)"ID,TIME\n1,0\n", 12);
    expect(s, sample_read_file(s->ctx, s->path, DDT_WIRE_PLAN), DDT_ERR_FORMAT, "not a file of this program");
    expect(s, ddt_wire_probe(s->ctx, s->path, &kind), DDT_ERR_FORMAT, "not a file of this program");
    wire_header_encode(2, DDT_WIRE_TWIN, header);
    spill(s->path, header, sizeof header);
    expect(s, sample_read_file(s->ctx, s->path, DDT_WIRE_TWIN), DDT_ERR_VERSION, "version 2, newer than version 1");
    wire_header_encode(0, DDT_WIRE_TWIN, header);
    expect(s, sample_read_memory(s->ctx, header, sizeof header, DDT_WIRE_TWIN), DDT_ERR_VERSION, "older");
    wire_header_encode(1, (ddt_wire_kind)77, header);
    expect(s, sample_read_memory(s->ctx, header, sizeof header, DDT_WIRE_TWIN), DDT_ERR_FORMAT, "kind 77");
    wire_header_encode(1, DDT_WIRE_TWIN, header);
    header[4] = '\n';
    expect(s, sample_read_memory(s->ctx, header, sizeof header, DDT_WIRE_TWIN), DDT_ERR_CORRUPT, "transfer as text");
}

static void test_secret_key_permissions(void **state) {
    scratch *s = *state;
    struct stat info;
    assert_int_equal(sample_write(s->ctx, s->path, DDT_WIRE_SECRET_KEY), DDT_OK);
    assert_int_equal(stat(s->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(chmod(s->path, 0640), 0);
    expect(s, sample_read_file(s->ctx, s->path, DDT_WIRE_SECRET_KEY), DDT_ERR_PERMISSION, "chmod 600");
    assert_int_equal(chmod(s->path, 0400), 0);
    assert_int_equal(sample_read_file(s->ctx, s->path, DDT_WIRE_SECRET_KEY), DDT_OK);
}

/* A file whose digests are right and whose content is the attacker's: one section of these bytes. */
static ddt_reader *forged(scratch *s, const void *payload, size_t length) {
    ddt_writer *writer = NULL;
    ddt_reader *reader = NULL;
    assert_int_equal(ddt_writer_open(s->ctx, s->path, DDT_WIRE_PLAN, false, &writer), DDT_OK);
    ddt_writer_begin(writer, "EVIL");
    ddt_writer_bytes(writer, payload, length);
    assert_int_equal(ddt_writer_end(writer), DDT_OK);
    assert_int_equal(ddt_writer_commit(writer, NULL), DDT_OK);
    assert_int_equal(ddt_reader_open(s->ctx, s->path, DDT_WIRE_PLAN, &reader), DDT_OK);
    return reader;
}

static void test_forged_values(void **state) {
    scratch *s = *state;
    const double not_finite[] = {NAN, INFINITY, -INFINITY};
    char *text = NULL;
    size_t count = 9;
    uint64_t packed[2] = {9, 9};
    double number = 9;
    for (size_t i = 0; i < 3; i++) {
        ddt_reader *reader = forged(s, &not_finite[i], sizeof not_finite[i]);
        assert_int_equal(ddt_reader_begin(reader, "EVIL", 64), DDT_OK);
        expect(s, ddt_reader_f64(reader, &number), DDT_ERR_FORMAT, "not finite");
        assert_true(number == 0.0);
        ddt_reader_close(reader);
    }
    static const struct {
        const char *bytes;
        size_t length;
        const char *sentence;
    } texts[] = {{"\xff\xff\xff\xff"
                  "a",
                  5, "too long"},
                 {"\5\0\0\0abc", 7, "too short"},
                 {"\3\0\0\0a\0b", 7, "zero byte"}};
    for (size_t i = 0; i < 3; i++) {
        ddt_reader *reader = forged(s, texts[i].bytes, texts[i].length);
        assert_int_equal(ddt_reader_begin(reader, "EVIL", 64), DDT_OK);
        expect(s, ddt_reader_string(reader, 16, &text), DDT_ERR_FORMAT, texts[i].sentence);
        assert_null(text);
        ddt_reader_close(reader);
    }
    static const char *const counts[] = {"\xff\xff\xff\xff", "\2\0\0\0abc", "\x20\0\0\0"};
    static const size_t count_lengths[] = {4, 7, 4};
    for (size_t i = 0; i < 3; i++) {
        ddt_reader *reader = forged(s, counts[i], count_lengths[i]);
        assert_int_equal(ddt_reader_begin(reader, "EVIL", 64), DDT_OK);
        expect(s, ddt_reader_count(reader, i == 0 ? SIZE_MAX : 2, i == 0 ? SIZE_MAX : 31, &count), DDT_ERR_FORMAT,
               "count");
        assert_int_equal(count, 0);
        ddt_reader_close(reader);
    }
    ddt_reader *reader = forged(s, "\xff", 1);
    assert_int_equal(ddt_reader_begin(reader, "EVIL", 64), DDT_OK);
    expect(s, ddt_reader_packed(reader, packed, 2, 3), DDT_ERR_FORMAT, "padding");
    assert_true(packed[0] == 9 && packed[1] == 9);
    ddt_reader_close(reader);
}

static void test_forged_sections(void **state) {
    scratch *s = *state;
    uint8_t small = 0;
    ddt_reader *reader = forged(s, "abcd", 4);
    expect(s, ddt_reader_begin(reader, "GOOD", 64), DDT_ERR_FORMAT, "section 'EVIL' where 'GOOD' is expected");
    ddt_reader_close(reader);
    reader = forged(s, "abcd", 4);
    expect(s, ddt_reader_begin(reader, "EVIL", 3), DDT_ERR_FORMAT, "at most 3 are allowed");
    ddt_reader_close(reader);
    reader = forged(s, "abcd", 4);
    assert_int_equal(ddt_reader_begin(reader, "EVIL", 4), DDT_OK);
    assert_int_equal(ddt_reader_u8(reader, &small), DDT_OK);
    expect(s, ddt_reader_end(reader), DDT_ERR_FORMAT, "3 bytes too many");
    ddt_reader_close(reader);
    reader = forged(s, "abcd", 4);
    expect(s, ddt_reader_finish(reader), DDT_ERR_FORMAT, "where its end is expected");
    /* After a failure nothing more is read, and nothing stale is handed out. */
    small = 9;
    assert_int_equal(ddt_reader_u8(reader, &small), DDT_ERR_FORMAT);
    assert_int_equal(small, 0);
    ddt_reader_close(reader);
}

/* A length of 2^60 with a matching check: refused by what is left in the file, before anything is allocated. */
static void test_forged_length(void **state) {
    scratch *s = *state;
    uint8_t bytes[WIRE_HEADER_BYTES + WIRE_HEAD_BYTES + 64] = {0};
    static const uint64_t lengths[] = {UINT64_MAX, UINT64_MAX - 31, (uint64_t)1 << 60, 33};
    for (size_t i = 0; i < 4; i++) {
        ddt_reader *reader = NULL;
        wire_header_encode(DDT_WIRE_VERSION, DDT_WIRE_PLAN, bytes);
        wire_head_encode("HUGE", lengths[i], 0, bytes + WIRE_HEADER_BYTES);
        spill(s->path, bytes, sizeof bytes);
        assert_int_equal(ddt_reader_open(s->ctx, s->path, DDT_WIRE_PLAN, &reader), DDT_OK);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        expect(s, ddt_reader_begin(reader, "HUGE", SIZE_MAX), DDT_ERR_CORRUPT, "truncated");
        assert_int_equal(ddt_alloc_fail_after(UINT64_MAX), 0);
        ddt_reader_close(reader);
    }
}

/* The identity of a file: the last 32 bytes of it, and only when all of it is sound. */
static void test_identity(void **state) {
    scratch *s = *state;
    ddt_digest digest;
    ddt_reader *reader = NULL;
    size_t length = 0;
    assert_int_equal(sample_write(s->ctx, s->path, DDT_WIRE_PLAN), DDT_OK);
    uint8_t *bytes = slurp(s->path, &length);
    assert_int_equal(ddt_wire_file_digest(s->ctx, s->path, DDT_WIRE_PLAN, &digest), DDT_OK);
    assert_memory_equal(digest.bytes, bytes + length - sizeof digest, sizeof digest);
    assert_int_equal(ddt_reader_open_memory(s->ctx, bytes, length, DDT_WIRE_PLAN, &reader), DDT_OK);
    expect(s, ddt_reader_digest(reader, &digest), DDT_ERR_ARGUMENT, "before its end");
    assert_int_equal(sample_read(reader), DDT_OK);
    assert_int_equal(ddt_reader_digest(reader, &digest), DDT_OK);
    assert_memory_equal(digest.bytes, bytes + length - sizeof digest, sizeof digest);
    ddt_reader_close(reader);
    expect(s, ddt_wire_file_digest(s->ctx, s->path, DDT_WIRE_TWIN, &digest), DDT_ERR_MISMATCH, "plan");
    for (size_t at = 0; at < length; at += 5) {
        static const ddt_digest none;
        bytes[at] ^= 1;
        spill(s->path, bytes, length);
        bytes[at] ^= 1;
        assert_int_not_equal(ddt_wire_file_digest(s->ctx, s->path, DDT_WIRE_PLAN, &digest), DDT_OK);
        assert_true(ddt_digest_equal(&digest, &none));
    }
    free(bytes);
}

static void test_reader_misuse(void **state) {
    scratch *s = *state;
    uint8_t value = 0;
    uint64_t packed = 0;
    char tag[4];
    ddt_reader *reader = forged(s, "ab", 2);
    assert_string_equal(ddt_reader_path(reader), s->path);
    expect(s, ddt_reader_u8(reader, &value), DDT_ERR_ARGUMENT, "outside of any section");
    ddt_reader_close(reader);
    reader = forged(s, "ab", 2);
    expect(s, ddt_reader_end(reader), DDT_ERR_ARGUMENT, "without a beginning");
    ddt_reader_close(reader);
    reader = forged(s, "ab", 2);
    assert_int_equal(ddt_reader_begin(reader, "EVIL", 2), DDT_OK);
    expect(s, ddt_reader_peek(reader, tag), DDT_ERR_ARGUMENT, "inside another");
    ddt_reader_close(reader);
    reader = forged(s, "ab", 2);
    assert_int_equal(ddt_reader_begin(reader, "EVIL", 2), DDT_OK);
    expect(s, ddt_reader_packed(reader, &packed, 1, 65), DDT_ERR_ARGUMENT, "65 bits");
    ddt_reader_close(reader);
    ddt_reader_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_truncation, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_every_change, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_rearranged, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_exchanged_between_files, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_other_files, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_secret_key_permissions, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_forged_values, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_forged_sections, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_forged_length, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_identity, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_reader_misuse, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
