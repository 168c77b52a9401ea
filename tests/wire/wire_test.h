/*
 * Helpers of the wire tests: a folder of their own, whole files in memory, and a sample container.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef WIRE_TEST_H
#define WIRE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ddt/wire.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct scratch {
    ddt_context *ctx;
    char folder[64];
    char path[96];
} scratch;

static inline int scratch_setup(void **state) {
    scratch *s = calloc(1, sizeof *s);
    assert_non_null(s);
    (void)snprintf(s->folder, sizeof s->folder, "/tmp/ddt-wire-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    (void)snprintf(s->path, sizeof s->path, "%s/file.ddt", s->folder);
    assert_int_equal(ddt_context_create(&s->ctx), DDT_OK);
    *state = s;
    return 0;
}

static inline size_t files_in(const char *folder) {
    size_t count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(dir);
    return count;
}

static inline int scratch_teardown(void **state) {
    scratch *s = *state;
    (void)unlink(s->path);
    assert_int_equal(files_in(s->folder), 0);
    (void)rmdir(s->folder);
    ddt_context_destroy(s->ctx);
    free(s);
    return 0;
}

static inline uint8_t *slurp(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t *bytes = malloc(1U << 20);
    assert_non_null(bytes);
    *length = fread(bytes, 1, 1U << 20, file);
    assert_int_equal(fclose(file), 0);
    return bytes;
}

static inline void spill(const char *path, const uint8_t *bytes, size_t length) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

#define SAMPLE_TEXT "vancomycin"
enum { SAMPLE_PACKED = 13, SAMPLE_BITS = 50 };

static inline uint64_t sample_value(size_t i) { return (i * 0x9E3779B97F4A7C15U) >> (64 - SAMPLE_BITS); }

/* Three sections, one of them empty. Returns the first failure. */
static inline ddt_status sample_write(ddt_context *ctx, const char *path, ddt_wire_kind kind) {
    uint64_t values[SAMPLE_PACKED];
    for (size_t i = 0; i < SAMPLE_PACKED; i++) {
        values[i] = sample_value(i);
    }
    ddt_writer *writer = NULL;
    ddt_status status = ddt_writer_open(ctx, path, kind, ddt_wire_kind_is_secret(kind), &writer);
    if (status != DDT_OK) {
        return status;
    }
    ddt_writer_begin(writer, "PRMS");
    ddt_writer_u8(writer, 7);
    ddt_writer_u32(writer, 0xDEADBEEFU);
    ddt_writer_u64(writer, UINT64_MAX - 1);
    ddt_writer_i64(writer, -5);
    ddt_writer_f64(writer, 2.5);
    ddt_writer_string(writer, SAMPLE_TEXT);
    status = ddt_writer_end(writer);
    ddt_writer_begin(writer, "NONE");
    status = status != DDT_OK ? status : ddt_writer_end(writer);
    ddt_writer_begin(writer, "POLY");
    ddt_writer_u32(writer, SAMPLE_PACKED);
    ddt_writer_packed(writer, values, SAMPLE_PACKED, SAMPLE_BITS);
    status = status != DDT_OK ? status : ddt_writer_end(writer);
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    return ddt_writer_commit(writer, NULL);
}

static inline ddt_status sample_read_numbers(ddt_reader *reader) {
    uint8_t u8 = 0;
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    int64_t i64 = 0;
    double f64 = 0;
    char *text = NULL;
    ddt_status status = DDT_OK;
    if ((status = ddt_reader_begin(reader, "PRMS", 4096)) != DDT_OK ||
        (status = ddt_reader_u8(reader, &u8)) != DDT_OK || (status = ddt_reader_u32(reader, &u32)) != DDT_OK ||
        (status = ddt_reader_u64(reader, &u64)) != DDT_OK || (status = ddt_reader_i64(reader, &i64)) != DDT_OK ||
        (status = ddt_reader_f64(reader, &f64)) != DDT_OK ||
        (status = ddt_reader_string(reader, 64, &text)) != DDT_OK) {
        return status;
    }
    assert_int_equal(u8, 7);
    assert_int_equal(u32, 0xDEADBEEFU);
    assert_true(u64 == UINT64_MAX - 1 && i64 == -5 && f64 == 2.5);
    assert_string_equal(text, SAMPLE_TEXT);
    ddt_free(text);
    return ddt_reader_end(reader);
}

/* Reads what sample_write wrote, checking every value; returns the first failure. */
static inline ddt_status sample_read(ddt_reader *reader) {
    uint64_t values[SAMPLE_PACKED];
    size_t count = 0;
    char tag[4];
    ddt_status status = sample_read_numbers(reader);
    if (status != DDT_OK || (status = ddt_reader_peek(reader, tag)) != DDT_OK) {
        return status;
    }
    assert_memory_equal(tag, "NONE", 4);
    if ((status = ddt_reader_begin(reader, "NONE", 0)) != DDT_OK || (status = ddt_reader_end(reader)) != DDT_OK ||
        (status = ddt_reader_begin(reader, "POLY", 4096)) != DDT_OK ||
        (status = ddt_reader_count(reader, 6, SAMPLE_PACKED, &count)) != DDT_OK) {
        return status;
    }
    assert_int_equal(count, SAMPLE_PACKED);
    if ((status = ddt_reader_packed(reader, values, count, SAMPLE_BITS)) != DDT_OK ||
        (status = ddt_reader_end(reader)) != DDT_OK || (status = ddt_reader_peek(reader, tag)) != DDT_OK) {
        return status;
    }
    assert_memory_equal(tag, "END ", 4);
    for (size_t i = 0; i < count; i++) {
        assert_true(values[i] == sample_value(i));
    }
    return ddt_reader_finish(reader);
}

static inline ddt_status sample_read_memory(ddt_context *ctx, const void *data, size_t length, ddt_wire_kind kind) {
    ddt_reader *reader = NULL;
    ddt_status status = ddt_reader_open_memory(ctx, data, length, kind, &reader);
    if (status == DDT_OK) {
        status = sample_read(reader);
        ddt_reader_close(reader);
    }
    return status;
}

static inline ddt_status sample_read_file(ddt_context *ctx, const char *path, ddt_wire_kind kind) {
    ddt_reader *reader = NULL;
    ddt_status status = ddt_reader_open(ctx, path, kind, &reader);
    if (status == DDT_OK) {
        status = sample_read(reader);
        ddt_reader_close(reader);
    }
    return status;
}

#endif
