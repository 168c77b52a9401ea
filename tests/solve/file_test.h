/*
 * Plan files of this room, for tests: written to a file and read back.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_FILE_TEST_H
#define DDT_FILE_TEST_H

#include "solve_test.h"

#include <unistd.h>

typedef struct bytes {
    unsigned char *data;
    size_t length;
} bytes;

static inline bytes read_bytes(const char *path) {
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    assert_int_equal(fseek(in, 0, SEEK_END), 0);
    bytes b = {.length = (size_t)ftell(in)};
    rewind(in);
    b.data = malloc(b.length + 1);
    assert_int_equal(fread(b.data, 1, b.length, in), b.length);
    (void)fclose(in);
    return b;
}

static inline bytes write_file(problem *p, ddt_plan **plan) {
    char path[] = "/tmp/ddt_solve_file_XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    (void)close(descriptor);
    ddt_plan_request request = {.insecure_for_testing = true};
    assert_ok(p->ctx, ddt_plan_create(p->ctx, ddt_solution_circuit(p->solution), &request, plan));
    ddt_writer *writer = NULL;
    assert_ok(p->ctx, ddt_writer_open(p->ctx, path, DDT_WIRE_PLAN, false, &writer));
    assert_ok(p->ctx, ddt_plan_write(writer, *plan));
    assert_ok(p->ctx, ddt_solution_write(writer, p->solution));
    assert_ok(p->ctx, ddt_writer_commit(writer, NULL));
    bytes b = read_bytes(path);
    (void)unlink(path);
    return b;
}

static inline ddt_status read_file(ddt_context *ctx, const bytes *b, ddt_solution **out) {
    ddt_reader *reader = NULL;
    ddt_plan *plan = NULL;
    ddt_status status = ddt_reader_open_memory(ctx, b->data, b->length, DDT_WIRE_PLAN, &reader);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_plan_read(ctx, reader, &plan);
    if (status == DDT_OK) {
        status = ddt_solution_read(ctx, reader, plan, out);
    }
    if (status == DDT_OK) {
        status = ddt_reader_finish(reader);
        if (status != DDT_OK) {
            ddt_solution_destroy(*out);
            *out = NULL;
        }
    }
    ddt_reader_close(reader);
    ddt_plan_destroy(plan);
    return status;
}

/* A file with a byte damaged, or cut off, at this place is no file, and gives nothing. */
static inline void check_damaged_at(ddt_context *ctx, const bytes *b, size_t at) {
    ddt_solution *copy = NULL;
    b->data[at] ^= 0x20;
    ddt_context_clear(ctx);
    assert_int_not_equal(read_file(ctx, b, &copy), DDT_OK);
    assert_null(copy);
    b->data[at] ^= 0x20;
    bytes cut = {.data = b->data, .length = at};
    assert_int_not_equal(read_file(ctx, &cut, &copy), DDT_OK);
}

#endif
