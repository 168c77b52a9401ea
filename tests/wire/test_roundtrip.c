/* What is written is read back: every type, random files, packed values of every width, sections larger than the
 * buffers. SPDX-License-Identifier: Apache-2.0 */
#include "wire_test.h"

#include "format.h"

#include <math.h>
#include <sys/stat.h>

static uint64_t random_state = 0x2545F4914F6CDD1DU;

/* xorshift64: the same sequence on every run. */
static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void test_sample(void **state) {
    scratch *s = *state;
    for (int kind = DDT_WIRE_PLAN; kind <= DDT_WIRE_KIND_LAST; kind++) {
        ddt_wire_kind found = DDT_WIRE_PLAN;
        size_t length = 0;
        assert_int_equal(sample_write(s->ctx, s->path, (ddt_wire_kind)kind), DDT_OK);
        assert_int_equal(sample_read_file(s->ctx, s->path, (ddt_wire_kind)kind), DDT_OK);
        assert_int_equal(ddt_wire_probe(s->ctx, s->path, &found), DDT_OK);
        assert_int_equal(found, kind);
        uint8_t *bytes = slurp(s->path, &length);
        assert_int_equal(sample_read_memory(s->ctx, bytes, length, (ddt_wire_kind)kind), DDT_OK);
        free(bytes);
    }
}

/* Known answer: the bytes of the specification, so that files stay readable from one release to the next. */
static void test_known_bytes(void **state) {
    scratch *s = *state;
    size_t length = 0;
    ddt_digest digest;
    assert_int_equal(sample_write(s->ctx, s->path, DDT_WIRE_TWIN), DDT_OK);
    uint8_t *bytes = slurp(s->path, &length);
    assert_int_equal(length, 32 + (16 + 43 + 32) + (16 + 32) + (16 + 4 + 82 + 32) + 48);
    assert_memory_equal(bytes,
                        "\x89"
                        "DDT\r\n\x1a\n\1\0\0\0\5\0\0\0",
                        16);
    assert_memory_equal(bytes + 32, "PRMS", 4);
    assert_memory_equal(bytes + 40, "\x2b\0\0\0\0\0\0\0", 8);
    assert_memory_equal(bytes + 48,
                        "\7\xef\xbe\xad\xde\xfe\xff\xff\xff\xff\xff\xff\xff\xfb\xff\xff\xff\xff\xff\xff\xff", 21);
    /* The section's digest, computed independently of the writer's streaming: payload, then head. */
    uint8_t section[43 + 16];
    memcpy(section, bytes + 48, 43);
    memcpy(section + 43, bytes + 32, 16);
    ddt_digest_of(section, sizeof section, &digest);
    assert_memory_equal(bytes + 48 + 43, digest.bytes, sizeof digest.bytes);
    ddt_digest_of(bytes, length, &digest);
    /* Computed from the specification by a program of its own. */
    static const uint8_t whole[DDT_WIRE_DIGEST_BYTES] = {
        0xac, 0x5e, 0x05, 0x33, 0xd4, 0x4e, 0xad, 0x98, 0xd9, 0x68, 0xa1, 0x8f, 0xf4, 0xc7, 0xc5, 0x3c,
        0x97, 0xf2, 0x18, 0x82, 0x77, 0x28, 0xef, 0xb8, 0x55, 0xcf, 0xb7, 0x58, 0x39, 0x49, 0xb5, 0xb4};
    assert_memory_equal(digest.bytes, whole, sizeof whole);
    free(bytes);
}

/* One bit at a time: slow, plain, and sharing nothing with the code under test. */
static void pack_plainly(const uint64_t *values, size_t count, unsigned bits, uint8_t *bytes) {
    for (size_t i = 0; i < count * bits; i++) {
        if ((values[i / bits] >> (i % bits) & 1) != 0) {
            bytes[i / 8] = (uint8_t)(bytes[i / 8] | 1U << (i % 8));
        }
    }
}

static void test_packing_every_width(void **state) {
    (void)state;
    enum { COUNT_MAX = 200 };
    for (unsigned bits = 1; bits <= 64; bits++) {
        for (unsigned round = 0; round < 12; round++) {
            uint64_t values[COUNT_MAX];
            uint64_t back[COUNT_MAX + 1];
            uint8_t plain[COUNT_MAX * 8] = {0};
            uint8_t packed[COUNT_MAX * 8 + 1];
            size_t count = round < 4 ? round : (size_t)(next_random() % (COUNT_MAX + 1));
            size_t length = 0;
            for (size_t i = 0; i < count; i++) {
                uint64_t corner = next_random() % 4;
                values[i] = corner == 0 ? 0 : (corner == 1 ? UINT64_MAX : next_random());
                values[i] >>= 64 - bits;
            }
            assert_true(wire_packed_bytes(count, bits, &length));
            assert_int_equal(length, (count * bits + 7) / 8);
            packed[length] = 0xA5;
            back[count] = 0xA5;
            (void)wire_pack(values, count, bits, packed);
            pack_plainly(values, count, bits, plain);
            assert_memory_equal(packed, plain, length);
            wire_unpack(packed, count, bits, back);
            assert_memory_equal(back, values, count * sizeof *values);
            assert_true(packed[length] == 0xA5 && back[count] == 0xA5);
        }
    }
    size_t bytes = 0;
    assert_false(wire_packed_bytes(SIZE_MAX, 64, &bytes));
    assert_false(wire_packed_bytes(1, 0, &bytes));
    assert_false(wire_packed_bytes(1, 65, &bytes));
    assert_true(wire_packed_bytes(SIZE_MAX, 8, &bytes) && bytes == SIZE_MAX);
}

/* Sections of 2.5 buffers, of exactly one buffer, and packed blocks that straddle its end. */
static void test_large_sections(void **state) {
    scratch *s = *state;
    enum { COUNT = 2 * WIRE_PACK_BLOCK * 25 + 17, BITS = 50 };
    uint64_t *values = malloc(COUNT * sizeof *values);
    uint64_t *back = malloc(COUNT * sizeof *back);
    uint8_t *block = malloc(WIRE_CHUNK_BYTES);
    ddt_writer *writer = NULL;
    ddt_reader *reader = NULL;
    uint64_t size = 0;
    uint8_t odd = 0;
    struct stat info;
    assert_true(values != NULL && back != NULL && block != NULL);
    memset(block, 0x5A, WIRE_CHUNK_BYTES);
    for (size_t i = 0; i < COUNT; i++) {
        values[i] = next_random() >> (64 - BITS);
    }
    assert_int_equal(ddt_writer_open(s->ctx, s->path, DDT_WIRE_EVAL_KEYS, false, &writer), DDT_OK);
    for (int i = 0; i < 2; i++) {
        ddt_writer_begin(writer, "PACK");
        ddt_writer_u8(writer, 1);
        ddt_writer_packed(writer, values, COUNT, BITS);
        ddt_writer_bytes(writer, block, WIRE_CHUNK_BYTES);
        ddt_writer_u8(writer, 2);
        assert_int_equal(ddt_writer_end(writer), DDT_OK);
        ddt_writer_begin(writer, "FULL");
        ddt_writer_bytes(writer, block, WIRE_CHUNK_BYTES);
        assert_int_equal(ddt_writer_end(writer), DDT_OK);
    }
    assert_int_equal(ddt_writer_commit(writer, &size), DDT_OK);
    assert_int_equal(stat(s->path, &info), 0);
    assert_true((uint64_t)info.st_size == size);
    assert_int_equal(ddt_reader_open(s->ctx, s->path, DDT_WIRE_EVAL_KEYS, &reader), DDT_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ddt_reader_begin(reader, "PACK", SIZE_MAX), DDT_OK);
        assert_int_equal(ddt_reader_u8(reader, &odd), DDT_OK);
        assert_int_equal(ddt_reader_packed(reader, back, COUNT, BITS), DDT_OK);
        assert_memory_equal(values, back, COUNT * sizeof *values);
        memset(block, 0, WIRE_CHUNK_BYTES);
        assert_int_equal(ddt_reader_bytes(reader, block, WIRE_CHUNK_BYTES), DDT_OK);
        assert_true(block[0] == 0x5A && block[WIRE_CHUNK_BYTES - 1] == 0x5A);
        assert_int_equal(ddt_reader_u8(reader, &odd), DDT_OK);
        assert_int_equal(odd, 2);
        assert_int_equal(ddt_reader_end(reader), DDT_OK);
        assert_int_equal(ddt_reader_begin(reader, "FULL", WIRE_CHUNK_BYTES), DDT_OK);
        assert_int_equal(ddt_reader_bytes(reader, block, WIRE_CHUNK_BYTES), DDT_OK);
        assert_int_equal(ddt_reader_end(reader), DDT_OK);
    }
    assert_int_equal(ddt_reader_finish(reader), DDT_OK);
    ddt_reader_close(reader);
    free(values);
    free(back);
    free(block);
}

typedef struct field {
    unsigned type;
    uint64_t bits;
} field;

static void write_field(ddt_writer *writer, const field *f) {
    double number = (double)(int64_t)f->bits;
    switch (f->type) {
    case 0:
        ddt_writer_u8(writer, (uint8_t)f->bits);
        break;
    case 1:
        ddt_writer_u32(writer, (uint32_t)f->bits);
        break;
    case 2:
        ddt_writer_u64(writer, f->bits);
        break;
    case 3:
        ddt_writer_i64(writer, (int64_t)f->bits);
        break;
    default:
        ddt_writer_f64(writer, number);
        break;
    }
}

static void read_field(ddt_reader *reader, const field *f) {
    uint8_t u8 = 0;
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    int64_t i64 = 0;
    double f64 = 0;
    switch (f->type) {
    case 0:
        assert_int_equal(ddt_reader_u8(reader, &u8), DDT_OK);
        assert_int_equal(u8, (uint8_t)f->bits);
        break;
    case 1:
        assert_int_equal(ddt_reader_u32(reader, &u32), DDT_OK);
        assert_int_equal(u32, (uint32_t)f->bits);
        break;
    case 2:
        assert_int_equal(ddt_reader_u64(reader, &u64), DDT_OK);
        assert_true(u64 == f->bits);
        break;
    case 3:
        assert_int_equal(ddt_reader_i64(reader, &i64), DDT_OK);
        assert_true(i64 == (int64_t)f->bits);
        break;
    default:
        assert_int_equal(ddt_reader_f64(reader, &f64), DDT_OK);
        assert_true(f64 == (double)(int64_t)f->bits);
        break;
    }
}

static void test_random_files(void **state) {
    scratch *s = *state;
    enum { FILES = 40, FIELDS = 60 };
    for (int round = 0; round < FILES; round++) {
        field fields[FIELDS];
        size_t count = (size_t)(next_random() % (FIELDS + 1));
        for (size_t i = 0; i < count; i++) {
            fields[i] = (field){(unsigned)(next_random() % 5), next_random() >> (next_random() % 64)};
        }
        ddt_writer *writer = NULL;
        ddt_reader *reader = NULL;
        assert_int_equal(ddt_writer_open(s->ctx, s->path, DDT_WIRE_PLAN, false, &writer), DDT_OK);
        for (size_t i = 0; i < count; i++) {
            if (i % 7 == 0) {
                ddt_writer_begin(writer, "FLDS");
            }
            write_field(writer, &fields[i]);
            if (i % 7 == 6 || i + 1 == count) {
                assert_int_equal(ddt_writer_end(writer), DDT_OK);
            }
        }
        assert_int_equal(ddt_writer_commit(writer, NULL), DDT_OK);
        assert_int_equal(ddt_reader_open(s->ctx, s->path, DDT_WIRE_PLAN, &reader), DDT_OK);
        for (size_t i = 0; i < count; i++) {
            if (i % 7 == 0) {
                assert_int_equal(ddt_reader_begin(reader, "FLDS", 4096), DDT_OK);
            }
            read_field(reader, &fields[i]);
            if (i % 7 == 6 || i + 1 == count) {
                assert_int_equal(ddt_reader_end(reader), DDT_OK);
            }
        }
        assert_int_equal(ddt_reader_finish(reader), DDT_OK);
        ddt_reader_close(reader);
    }
}

static void test_heading(void **state) {
    scratch *s = *state;
    ddt_writer *writer = NULL;
    ddt_reader *reader = NULL;
    ddt_digest plan;
    ddt_digest found;
    uint64_t batches = 0;
    uint32_t items = 0;
    ddt_digest_of("plan", 4, &plan);
    assert_int_equal(ddt_writer_open(s->ctx, s->path, DDT_WIRE_TWIN, false, &writer), DDT_OK);
    assert_int_equal(ddt_writer_heading(writer, &plan, UINT64_MAX, 17), DDT_OK);
    assert_int_equal(ddt_writer_commit(writer, NULL), DDT_OK);
    assert_int_equal(ddt_reader_open(s->ctx, s->path, DDT_WIRE_TWIN, &reader), DDT_OK);
    assert_int_equal(ddt_reader_heading(reader, &found, &batches, &items), DDT_OK);
    assert_int_equal(ddt_reader_finish(reader), DDT_OK);
    ddt_reader_close(reader);
    assert_true(ddt_digest_equal(&plan, &found) && batches == UINT64_MAX && items == 17);
    /* Another section in its place hands out nothing. */
    assert_int_equal(sample_write(s->ctx, s->path, DDT_WIRE_TWIN), DDT_OK);
    assert_int_equal(ddt_reader_open(s->ctx, s->path, DDT_WIRE_TWIN, &reader), DDT_OK);
    assert_int_equal(ddt_reader_heading(reader, &found, &batches, &items), DDT_ERR_FORMAT);
    ddt_reader_close(reader);
    assert_true(batches == 0 && items == 0);
}

/* A clock comes back as it was; one that goes backwards, is not finite, or is at its end does not. */
static void test_clock(void **state) {
    scratch *s = *state;
    static const ddt_wire_clock clocks[] = {{1.5, 36.25, 3, 7, 0x28, true},
                                            {4.0, 3.0, 0, 1, 0, false},
                                            {NAN, NAN, 0, 1, 0, false},
                                            {0.0, INFINITY, 0, 1, 0, false},
                                            {1.0, 2.0, UINT64_MAX, 1, 0, false}};
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        ddt_writer *writer = NULL;
        ddt_reader *reader = NULL;
        ddt_wire_clock found;
        assert_int_equal(ddt_writer_open(s->ctx, s->path, DDT_WIRE_LIFE, false, &writer), DDT_OK);
        assert_int_equal(ddt_writer_clock(writer, &clocks[i]), DDT_OK);
        assert_int_equal(ddt_writer_commit(writer, NULL), DDT_OK);
        assert_int_equal(ddt_reader_open(s->ctx, s->path, DDT_WIRE_LIFE, &reader), DDT_OK);
        assert_int_equal(ddt_reader_clock(s->ctx, reader, &found), i == 0 ? DDT_OK : DDT_ERR_FORMAT);
        ddt_reader_close(reader);
        assert_true(i == 0 ? found.from_h == 1.5 && found.to_h == 36.25 : found.from_h == 0.0 && found.to_h == 0.0);
        assert_true(i == 0 ? found.updates == 3 && found.steps == 7 && found.absent == 0x28 && found.begins
                           : found.steps == 0);
    }
}

static void test_names_and_digests(void **state) {
    (void)state;
    /* BLAKE2b-256 of the empty string: RFC 7693's function with a 32-byte output. */
    static const uint8_t empty[DDT_WIRE_DIGEST_BYTES] = {
        0x0e, 0x57, 0x51, 0xc0, 0x26, 0xe5, 0x43, 0xb2, 0xe8, 0xab, 0x2e, 0xb0, 0x60, 0x99, 0xda, 0xa1,
        0xd1, 0xe5, 0xdf, 0x47, 0x77, 0x8f, 0x77, 0x87, 0xfa, 0xab, 0x45, 0xcd, 0xf1, 0x2f, 0xe3, 0xa8};
    ddt_digest a;
    ddt_digest b;
    ddt_digest_of("", 0, &a);
    assert_memory_equal(a.bytes, empty, sizeof empty);
    b = a;
    assert_true(ddt_digest_equal(&a, &b));
    b.bytes[31] ^= 1;
    assert_false(ddt_digest_equal(&a, &b));
    assert_string_equal(ddt_wire_kind_name(DDT_WIRE_SECRET_KEY), "secret key");
    for (int i = DDT_WIRE_PLAN; i <= DDT_WIRE_KIND_LAST; i++) {
        assert_string_not_equal(ddt_wire_kind_name((ddt_wire_kind)i), "unknown");
        for (int j = DDT_WIRE_PLAN; j < i; j++) {
            assert_string_not_equal(ddt_wire_kind_name((ddt_wire_kind)i), ddt_wire_kind_name((ddt_wire_kind)j));
        }
    }
    assert_string_equal(ddt_wire_kind_name((ddt_wire_kind)99), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sample, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_known_bytes, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_packing_every_width),
        cmocka_unit_test_setup_teardown(test_large_sections, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_random_files, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_heading, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_clock, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_names_and_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
