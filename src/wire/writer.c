/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include <string.h>

struct ddt_writer {
    wire_hash section_hash;
    wire_hash chain_hash;
    ddt_context *ctx;
    ddt_file *file;
    char *path;
    uint8_t *buffer; /* payload not yet hashed and written */
    size_t used;
    uint64_t head_offset; /* where the open section's head stands in the file */
    uint64_t length;      /* payload of the open section that has left the buffer */
    uint64_t sections;
    ddt_status status; /* the first failure; everything later is a no-op */
    ddt_wire_kind kind;
    bool is_secret;
    bool in_section;
    char tag[WIRE_TAG_BYTES];
};

static void remember(ddt_writer *writer, ddt_status status) {
    if (writer->status == DDT_OK) {
        writer->status = status;
    }
}

static void append(ddt_writer *writer, const void *data, size_t length) {
    if (writer->status == DDT_OK) {
        remember(writer, ddt_file_append(writer->file, data, length));
    }
}

static void flush(ddt_writer *writer) {
    if (writer->used > 0) {
        append(writer, writer->buffer, writer->used);
        wire_hash_update(&writer->section_hash, writer->buffer, writer->used);
        writer->length += writer->used;
        writer->used = 0;
    }
}

static bool writable(ddt_writer *writer) {
    if (writer->status == DDT_OK && !writer->in_section) {
        remember(writer, ddt_fail(writer->ctx, DDT_ERR_ARGUMENT, "A value was written to '%s' outside of any section.",
                                  writer->path));
    }
    return writer->status == DDT_OK;
}

/* Room for `length` bytes (at most the buffer's size) at the buffer's end, or NULL after a failure. */
static uint8_t *reserve(ddt_writer *writer, size_t length) {
    if (!writable(writer)) {
        return NULL;
    }
    if (length > WIRE_CHUNK_BYTES - writer->used) {
        flush(writer);
    }
    uint8_t *place = writer->buffer + writer->used;
    writer->used += length;
    return writer->status == DDT_OK ? place : NULL;
}

static void release(ddt_writer *writer) {
    if (writer->buffer != NULL && writer->is_secret) {
        sodium_memzero(writer->buffer, WIRE_CHUNK_BYTES);
    }
    sodium_memzero(&writer->section_hash, sizeof writer->section_hash);
    ddt_free(writer->buffer);
    ddt_free(writer->path);
    ddt_free(writer);
}

void ddt_writer_abort(ddt_writer *writer) {
    if (writer != NULL) {
        ddt_file_abort(writer->file);
        release(writer);
    }
}

static ddt_status start_file(ddt_writer *writer, const char *path) {
    uint8_t header[WIRE_HEADER_BYTES];
    writer->path = ddt_strdup(path);
    writer->buffer = ddt_alloc(WIRE_CHUNK_BYTES, 1);
    if (writer->path == NULL || writer->buffer == NULL) {
        return ddt_fail(writer->ctx, DDT_ERR_MEMORY, "Memory is short while writing '%s'.", path);
    }
    ddt_status status = ddt_file_create(writer->ctx, path, writer->is_secret, &writer->file);
    if (status != DDT_OK) {
        return status;
    }
    wire_header_encode(DDT_WIRE_VERSION, writer->kind, header);
    wire_hash_init(&writer->chain_hash);
    wire_hash_update(&writer->chain_hash, header, sizeof header);
    return ddt_file_append(writer->file, header, sizeof header);
}

ddt_status ddt_writer_open(ddt_context *ctx, const char *path, ddt_wire_kind kind, bool is_secret, ddt_writer **out) {
    if ((int)kind < DDT_WIRE_KIND_FIRST || (int)kind > DDT_WIRE_KIND_LAST) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "'%s' cannot be written: %d is not a kind of file.", path, (int)kind);
    }
    ddt_writer *writer = ddt_calloc(1, sizeof *writer);
    if (writer == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while writing '%s'.", path);
    }
    writer->ctx = ctx;
    writer->kind = kind;
    writer->is_secret = is_secret;
    ddt_status status = start_file(writer, path);
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    *out = writer;
    return DDT_OK;
}

void ddt_writer_begin(ddt_writer *writer, const char tag[4]) {
    uint8_t head[WIRE_HEAD_BYTES] = {0};
    if (writer->status != DDT_OK) {
        return;
    }
    if (writer->in_section || !wire_tag_valid(tag) || memcmp(tag, wire_end_tag, WIRE_TAG_BYTES) == 0) {
        remember(writer, ddt_fail(writer->ctx, DDT_ERR_ARGUMENT, "A section of '%s' was begun %s.", writer->path,
                                  writer->in_section ? "inside another" : "with an unusable tag"));
        return;
    }
    memcpy(writer->tag, tag, WIRE_TAG_BYTES);
    writer->in_section = true;
    writer->length = 0;
    writer->head_offset = ddt_file_size(writer->file);
    wire_hash_init(&writer->section_hash);
    /* The length is not known yet: ddt_writer_end fills the head in. */
    append(writer, head, sizeof head);
}

void ddt_writer_u8(ddt_writer *writer, uint8_t value) {
    uint8_t *place = reserve(writer, sizeof value);
    if (place != NULL) {
        *place = value;
    }
}

void ddt_writer_u32(ddt_writer *writer, uint32_t value) {
    uint8_t *place = reserve(writer, sizeof value);
    if (place != NULL) {
        wire_store32(place, value);
    }
}

void ddt_writer_u64(ddt_writer *writer, uint64_t value) {
    uint8_t *place = reserve(writer, sizeof value);
    if (place != NULL) {
        wire_store64(place, value);
    }
}

void ddt_writer_i64(ddt_writer *writer, int64_t value) { ddt_writer_u64(writer, (uint64_t)value); }

void ddt_writer_f64(ddt_writer *writer, double value) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    ddt_writer_u64(writer, bits);
}

void ddt_writer_bytes(ddt_writer *writer, const void *data, size_t length) {
    const uint8_t *bytes = data;
    while (length > 0 && writable(writer)) {
        size_t part = length < WIRE_CHUNK_BYTES ? length : WIRE_CHUNK_BYTES;
        uint8_t *place = reserve(writer, part);
        if (place == NULL) {
            return;
        }
        memcpy(place, bytes, part);
        bytes += part;
        length -= part;
    }
}

void ddt_writer_string(ddt_writer *writer, const char *text) {
    size_t length = strlen(text);
    if (length > UINT32_MAX) {
        remember(writer, ddt_fail(writer->ctx, DDT_ERR_ARGUMENT, "A text of %zu bytes is too long for '%s'.", length,
                                  writer->path));
        return;
    }
    ddt_writer_u32(writer, (uint32_t)length);
    ddt_writer_bytes(writer, text, length);
}

void ddt_writer_packed(ddt_writer *writer, const uint64_t *values, size_t count, unsigned bits) {
    uint64_t any = 0;
    size_t bytes = 0;
    if (!wire_packed_bytes(count, bits, &bytes)) {
        remember(writer, ddt_fail(writer->ctx, DDT_ERR_ARGUMENT, "%zu values of %u bits cannot be packed into '%s'.",
                                  count, bits, writer->path));
        return;
    }
    while (count > 0) {
        size_t block = count < WIRE_PACK_BLOCK ? count : WIRE_PACK_BLOCK;
        uint8_t *place = wire_packed_bytes(block, bits, &bytes) ? reserve(writer, bytes) : NULL;
        if (place == NULL) {
            return;
        }
        any |= wire_pack(values, block, bits, place);
        values += block;
        count -= block;
    }
    if (bits < 64 && any >> bits != 0) {
        remember(writer, ddt_fail(writer->ctx, DDT_ERR_ARGUMENT, "A value of more than %u bits was packed into '%s'.",
                                  bits, writer->path));
    }
}

ddt_status ddt_writer_end(ddt_writer *writer) {
    uint8_t head[WIRE_HEAD_BYTES];
    ddt_digest digest;
    if (!writable(writer)) {
        return writer->status;
    }
    flush(writer);
    wire_head_encode(writer->tag, writer->length, writer->sections, head);
    wire_hash_update(&writer->section_hash, head, sizeof head);
    wire_hash_final(&writer->section_hash, &digest);
    wire_hash_update(&writer->chain_hash, digest.bytes, sizeof digest.bytes);
    append(writer, digest.bytes, sizeof digest.bytes);
    if (writer->status == DDT_OK) {
        remember(writer, ddt_file_patch(writer->file, writer->head_offset, head, sizeof head));
    }
    writer->sections++;
    writer->in_section = false;
    return writer->status;
}

static void append_end_record(ddt_writer *writer) {
    uint8_t end[WIRE_END_BYTES];
    ddt_digest digest;
    wire_head_encode(wire_end_tag, writer->sections, writer->sections, end);
    wire_hash_update(&writer->chain_hash, end, WIRE_HEAD_BYTES);
    wire_hash_final(&writer->chain_hash, &digest);
    memcpy(end + WIRE_HEAD_BYTES, digest.bytes, sizeof digest.bytes);
    append(writer, end, sizeof end);
}

ddt_status ddt_writer_commit(ddt_writer *writer, uint64_t *bytes) {
    if (writer->status == DDT_OK && writer->in_section) {
        remember(writer,
                 ddt_fail(writer->ctx, DDT_ERR_ARGUMENT, "'%s' was committed with a section open.", writer->path));
    }
    append_end_record(writer);
    ddt_status status = writer->status;
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    uint64_t size = ddt_file_size(writer->file);
    status = ddt_file_commit(writer->file);
    if (status == DDT_OK && bytes != NULL) {
        *bytes = size;
    }
    release(writer);
    return status;
}
