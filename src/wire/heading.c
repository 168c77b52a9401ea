/* The sections with which keys, twins and results begin. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/wire.h"

#include <math.h>

enum { HEADING_BYTES = DDT_WIRE_DIGEST_BYTES + 8 + 4 };

ddt_status ddt_writer_heading(ddt_writer *writer, const ddt_digest *plan, uint64_t batches, uint32_t items) {
    ddt_writer_begin(writer, "HEAD");
    ddt_writer_bytes(writer, plan->bytes, sizeof plan->bytes);
    ddt_writer_u64(writer, batches);
    ddt_writer_u32(writer, items);
    return ddt_writer_end(writer);
}

ddt_status ddt_reader_heading(ddt_reader *reader, ddt_digest *plan, uint64_t *batches, uint32_t *items) {
    *plan = (ddt_digest){0};
    *batches = 0;
    *items = 0;
    ddt_status status = ddt_reader_begin(reader, "HEAD", HEADING_BYTES);
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, plan->bytes, sizeof plan->bytes);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u64(reader, batches);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u32(reader, items);
    }
    return status == DDT_OK ? ddt_reader_end(reader) : status;
}

ddt_status ddt_writer_note(ddt_writer *writer, const uint8_t *note, size_t length) {
    ddt_writer_begin(writer, "NOTE");
    ddt_writer_u32(writer, (uint32_t)length);
    ddt_writer_bytes(writer, note, length);
    return ddt_writer_end(writer);
}

static ddt_status read_note(ddt_context *ctx, ddt_reader *reader, uint8_t **note, size_t *length) {
    ddt_status status = ddt_reader_count(reader, 1, DDT_WIRE_NOTE_MAX, length);
    if (status != DDT_OK) {
        return status;
    }
    *note = ddt_alloc(*length, 1);
    if (*note == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for the note in '%s'.", ddt_reader_path(reader));
    }
    status = ddt_reader_bytes(reader, *note, *length);
    return status == DDT_OK ? ddt_reader_end(reader) : status;
}

ddt_status ddt_reader_note(ddt_context *ctx, ddt_reader *reader, uint8_t **note, size_t *length) {
    *note = NULL;
    *length = 0;
    ddt_status status = ddt_reader_begin(reader, "NOTE", DDT_WIRE_NOTE_MAX + sizeof(uint32_t));
    if (status == DDT_OK) {
        status = read_note(ctx, reader, note, length);
    }
    if (status != DDT_OK) {
        ddt_free(*note);
        *note = NULL;
        *length = 0;
    }
    return status;
}

enum { CLOCK_BYTES = 2 * 8 + 3 * 8 + 1 };

ddt_status ddt_writer_clock(ddt_writer *writer, const ddt_wire_clock *clock) {
    ddt_writer_begin(writer, "CLCK");
    ddt_writer_f64(writer, clock->from_h);
    ddt_writer_f64(writer, clock->to_h);
    ddt_writer_u64(writer, clock->updates);
    ddt_writer_u64(writer, clock->steps);
    ddt_writer_u64(writer, clock->absent);
    ddt_writer_u8(writer, clock->begins);
    return ddt_writer_end(writer);
}

static ddt_status read_clock(ddt_context *ctx, ddt_reader *reader, ddt_wire_clock *clock) {
    uint8_t begins = 0;
    ddt_status status = ddt_reader_f64(reader, &clock->from_h);
    if (status == DDT_OK) {
        status = ddt_reader_f64(reader, &clock->to_h);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u64(reader, &clock->updates);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u64(reader, &clock->steps);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u64(reader, &clock->absent);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u8(reader, &begins);
    }
    clock->begins = begins == 1;
    /* Counters go on from here. */
    bool is_sound = isfinite(clock->from_h) && isfinite(clock->to_h) && clock->to_h >= clock->from_h &&
                    clock->updates < UINT32_MAX && clock->steps < UINT32_MAX;
    if (status == DDT_OK && (begins > 1 || !is_sound)) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' holds a clock that no twin has.", ddt_reader_path(reader));
    }
    return status == DDT_OK ? ddt_reader_end(reader) : status;
}

ddt_status ddt_reader_clock(ddt_context *ctx, ddt_reader *reader, ddt_wire_clock *clock) {
    *clock = (ddt_wire_clock){0};
    ddt_status status = ddt_reader_begin(reader, "CLCK", CLOCK_BYTES);
    if (status == DDT_OK) {
        status = read_clock(ctx, reader, clock);
    }
    if (status != DDT_OK) {
        *clock = (ddt_wire_clock){0};
    }
    return status;
}
