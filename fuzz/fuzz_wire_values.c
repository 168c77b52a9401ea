/* The values behind matching digests: every section is a program of reads, one opcode byte each, over its own bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "forge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES_MAX = 256, TEXT_MAX = 100 };

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static ddt_status read_scalar(ddt_reader *reader, uint8_t opcode) {
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    int64_t i64 = 0;
    double f64 = 0;
    ddt_status status = DDT_OK;
    switch (opcode % 4) {
    case 0:
        return ddt_reader_u32(reader, &u32);
    case 1:
        return ddt_reader_u64(reader, &u64);
    case 2:
        return ddt_reader_i64(reader, &i64);
    default:
        status = ddt_reader_f64(reader, &f64);
        require(isfinite(f64));
        return status;
    }
}

static ddt_status read_many(ddt_reader *reader, uint8_t opcode) {
    uint64_t values[VALUES_MAX];
    uint8_t bytes[VALUES_MAX];
    char *text = NULL;
    size_t count = 0;
    uint8_t argument = 0;
    ddt_status status = ddt_reader_u8(reader, &argument);
    if (status != DDT_OK) {
        return status;
    }
    switch (opcode % 4) {
    case 0:
        return ddt_reader_packed(reader, values, argument, opcode / 4U);
    case 1:
        return ddt_reader_bytes(reader, bytes, argument);
    case 2:
        status = ddt_reader_string(reader, TEXT_MAX, &text);
        require(status == DDT_OK ? text != NULL && strlen(text) <= TEXT_MAX : text == NULL);
        ddt_free(text);
        return status;
    default:
        status = ddt_reader_count(reader, argument, VALUES_MAX, &count);
        require(count <= VALUES_MAX);
        return status == DDT_OK ? ddt_reader_packed(reader, values, count, 8) : status;
    }
}

static void walk(ddt_reader *reader) {
    char tag[4];
    uint8_t opcode = 0;
    while (ddt_reader_peek(reader, tag) == DDT_OK && memcmp(tag, "END ", sizeof tag) != 0) {
        if (ddt_reader_begin(reader, tag, SIZE_MAX) != DDT_OK) {
            return;
        }
        ddt_status status = DDT_OK;
        while (status == DDT_OK && ddt_reader_u8(reader, &opcode) == DDT_OK && opcode != 0) {
            status = opcode < 128 ? read_scalar(reader, opcode) : read_many(reader, (uint8_t)(opcode - 128));
        }
        if (ddt_reader_end(reader) != DDT_OK) {
            return;
        }
    }
    ddt_digest digest;
    if (ddt_reader_finish(reader) == DDT_OK) {
        require(ddt_reader_digest(reader, &digest) == DDT_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t length = 0;
    ddt_reader *reader = NULL;
    uint8_t *file = forge_repair(data, size, DDT_WIRE_PLAN, &length);
    if (file == NULL) {
        return 0;
    }
    /* What forge_repair makes is a container: the header at least is always accepted. */
    require(ddt_reader_open_memory(forge_context(), file, length, DDT_WIRE_PLAN, &reader) == DDT_OK);
    walk(reader);
    ddt_reader_close(reader);
    free(file);
    return 0;
}
