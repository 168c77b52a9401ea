/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct ddt_reader {
    wire_hash chain_hash;
    ddt_context *ctx;
    char *path;
    const uint8_t *memory; /* the whole file, when it is read from memory; else NULL */
    int descriptor;
    uint64_t size;
    uint64_t offset; /* bytes of the file consumed */
    uint64_t sections;
    uint8_t *buffer; /* the open section of a file on disk; grows, is kept for the next section */
    size_t capacity;
    const uint8_t *payload; /* the open section */
    size_t length;
    size_t position;
    ddt_status status; /* the first failure: nothing is read after it */
    ddt_wire_kind kind;
    bool in_section;
    bool have_head; /* head holds the next section's */
    bool finished;
    ddt_digest chain; /* of the end record, once finished */
    uint8_t head[WIRE_HEAD_BYTES];
};

/* ------------------------------------------------------------------ bytes of the file */

static ddt_status stop(ddt_reader *reader, ddt_status status) {
    reader->status = status;
    return status;
}

static ddt_status stop_truncated(ddt_reader *reader) {
    return stop(reader, ddt_fail(reader->ctx, DDT_ERR_CORRUPT,
                                 "'%s' is truncated: it ends after %llu bytes; get a whole copy of it.", reader->path,
                                 (unsigned long long)reader->size));
}

static ddt_status stop_damaged(ddt_reader *reader, const char *what) {
    return stop(reader, ddt_fail(reader->ctx, DDT_ERR_CORRUPT, "'%s' is damaged: %s.", reader->path, what));
}

/* Reads the next `length` bytes; a file that is too short is truncated. */
static ddt_status take(ddt_reader *reader, uint8_t *out, size_t length) {
    if (length > reader->size - reader->offset) {
        return stop_truncated(reader);
    }
    if (reader->memory != NULL) {
        memcpy(out, reader->memory + reader->offset, length);
        reader->offset += length;
        return DDT_OK;
    }
    while (length > 0) {
        ssize_t got = read(reader->descriptor, out, length);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return stop(reader,
                        ddt_fail(reader->ctx, DDT_ERR_IO, "Cannot read '%s': %s.", reader->path, strerror(errno)));
        }
        if (got == 0) {
            reader->size = reader->offset; /* it shrank while it was read */
            return stop_truncated(reader);
        }
        out += got;
        length -= (size_t)got;
        reader->offset += (uint64_t)got;
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ opening and closing */

/* A signature is ours, cut short, damaged as by a transfer in text mode, or another file's. */
static ddt_status check_magic(ddt_reader *reader) {
    enum { STEM_BYTES = 4 }; /* what line-ending conversion leaves alone */
    uint8_t magic[WIRE_MAGIC_BYTES];
    size_t length = reader->size < sizeof magic ? (size_t)reader->size : sizeof magic;
    if (take(reader, magic, length) != DDT_OK) {
        return reader->status;
    }
    if (length > 0 && memcmp(magic, wire_magic, length) == 0) {
        return length == sizeof magic ? DDT_OK : stop_truncated(reader);
    }
    if (length >= STEM_BYTES && memcmp(magic, wire_magic, STEM_BYTES) == 0) {
        return stop_damaged(reader, "its signature has changed, as in a transfer as text");
    }
    return stop(reader, ddt_fail(reader->ctx, DDT_ERR_FORMAT, "'%s' is %s.", reader->path,
                                 length == 0 ? "empty" : "not a file of this program"));
}

static ddt_status read_header(ddt_reader *reader) {
    uint8_t header[WIRE_HEADER_BYTES];
    uint8_t expected[WIRE_HEADER_BYTES];
    if (check_magic(reader) != DDT_OK) {
        return reader->status;
    }
    memcpy(header, wire_magic, WIRE_MAGIC_BYTES);
    if (take(reader, header + WIRE_MAGIC_BYTES, sizeof header - WIRE_MAGIC_BYTES) != DDT_OK) {
        return reader->status;
    }
    uint32_t version = wire_load32(header + WIRE_MAGIC_BYTES);
    uint32_t kind = wire_load32(header + WIRE_MAGIC_BYTES + sizeof version);
    wire_header_encode(version, (ddt_wire_kind)kind, expected);
    if (memcmp(header, expected, sizeof header) != 0) {
        return stop_damaged(reader, "the digest of its header does not match");
    }
    if (version != DDT_WIRE_VERSION) {
        return stop(reader,
                    ddt_fail(reader->ctx, DDT_ERR_VERSION,
                             "'%s' has format version %lu, %s than version %d that this program reads.", reader->path,
                             (unsigned long)version, version > DDT_WIRE_VERSION ? "newer" : "older", DDT_WIRE_VERSION));
    }
    if (kind < DDT_WIRE_KIND_FIRST || kind > DDT_WIRE_KIND_LAST) {
        return stop(reader,
                    ddt_fail(reader->ctx, DDT_ERR_FORMAT, "'%s' is of kind %lu, which this program does not know.",
                             reader->path, (unsigned long)kind));
    }
    reader->kind = (ddt_wire_kind)kind;
    wire_hash_init(&reader->chain_hash);
    wire_hash_update(&reader->chain_hash, header, sizeof header);
    return DDT_OK;
}

static ddt_status check_kind(ddt_reader *reader, ddt_wire_kind kind) {
    if (reader->kind != kind) {
        return stop(reader, ddt_fail(reader->ctx, DDT_ERR_MISMATCH,
                                     "'%s' is a file of kind '%s' where one of kind '%s' is expected.", reader->path,
                                     ddt_wire_kind_name(reader->kind), ddt_wire_kind_name(kind)));
    }
    return DDT_OK;
}

static ddt_status new_reader(ddt_context *ctx, const char *path, ddt_reader **out) {
    ddt_reader *reader = ddt_calloc(1, sizeof *reader);
    char *copy = ddt_strdup(path);
    if (reader == NULL || copy == NULL) {
        ddt_free(reader);
        ddt_free(copy);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while reading '%s'.", path);
    }
    reader->ctx = ctx;
    reader->path = copy;
    reader->descriptor = -1;
    *out = reader;
    return DDT_OK;
}

static ddt_status open_descriptor(ddt_reader *reader) {
    struct stat info;
    /* Without O_NONBLOCK opening a pipe would wait for a writer. */
    reader->descriptor = open(reader->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (reader->descriptor < 0 || fstat(reader->descriptor, &info) != 0) {
        return ddt_fail(reader->ctx, DDT_ERR_IO, "Cannot open '%s': %s.", reader->path, strerror(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        return ddt_fail(reader->ctx, DDT_ERR_IO, "Cannot read '%s': it is not an ordinary file.", reader->path);
    }
    reader->size = (uint64_t)info.st_size;
    ddt_status status = read_header(reader);
    if (status == DDT_OK && ddt_wire_kind_is_secret(reader->kind) && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return ddt_fail(reader->ctx, DDT_ERR_PERMISSION,
                        "'%s' holds a secret key and can be opened by other users; make it private with chmod 600.",
                        reader->path);
    }
    return status;
}

static ddt_status open_file(ddt_context *ctx, const char *path, ddt_reader **out) {
    ddt_status status = new_reader(ctx, path, out);
    if (status == DDT_OK) {
        status = open_descriptor(*out);
        if (status != DDT_OK) {
            ddt_reader_close(*out);
            *out = NULL;
        }
    }
    return status;
}

ddt_status ddt_reader_open(ddt_context *ctx, const char *path, ddt_wire_kind kind, ddt_reader **out) {
    ddt_reader *reader = NULL;
    ddt_status status = open_file(ctx, path, &reader);
    if (status == DDT_OK) {
        status = check_kind(reader, kind);
    }
    if (status != DDT_OK) {
        ddt_reader_close(reader);
        return status;
    }
    *out = reader;
    return DDT_OK;
}

ddt_status ddt_reader_open_memory(ddt_context *ctx, const void *data, size_t length, ddt_wire_kind kind,
                                  ddt_reader **out) {
    static const uint8_t nothing[1] = {0};
    ddt_reader *reader = NULL;
    ddt_status status = new_reader(ctx, "memory", &reader);
    if (status != DDT_OK) {
        return status;
    }
    reader->memory = length == 0 ? nothing : data;
    reader->size = length;
    status = read_header(reader);
    if (status == DDT_OK) {
        status = check_kind(reader, kind);
    }
    if (status != DDT_OK) {
        ddt_reader_close(reader);
        return status;
    }
    *out = reader;
    return DDT_OK;
}

ddt_status ddt_wire_probe(ddt_context *ctx, const char *path, ddt_wire_kind *kind) {
    ddt_reader *reader = NULL;
    ddt_status status = open_file(ctx, path, &reader);
    if (status == DDT_OK) {
        *kind = reader->kind;
        ddt_reader_close(reader);
    }
    return status;
}

static void drop_buffer(ddt_reader *reader) {
    if (reader->buffer != NULL && ddt_wire_kind_is_secret(reader->kind)) {
        sodium_memzero(reader->buffer, reader->capacity);
    }
    ddt_free(reader->buffer);
    reader->buffer = NULL;
    reader->capacity = 0;
}

void ddt_reader_close(ddt_reader *reader) {
    if (reader == NULL) {
        return;
    }
    drop_buffer(reader);
    if (reader->descriptor >= 0) {
        (void)close(reader->descriptor);
    }
    ddt_free(reader->path);
    ddt_free(reader);
}

const char *ddt_reader_path(const ddt_reader *reader) { return reader->path; }

/* ------------------------------------------------------------------ sections */

/* The next head, checked: what it says about a length can be believed to be what was written. */
static ddt_status read_head(ddt_reader *reader) {
    uint8_t expected[WIRE_HEAD_BYTES];
    if (reader->status != DDT_OK || reader->have_head) {
        return reader->status;
    }
    if (reader->in_section) {
        return stop(reader, ddt_fail(reader->ctx, DDT_ERR_ARGUMENT, "A section of '%s' was begun inside another.",
                                     reader->path));
    }
    if (take(reader, reader->head, sizeof reader->head) != DDT_OK) {
        return reader->status;
    }
    uint64_t length = wire_load64(reader->head + WIRE_TAG_BYTES + sizeof(uint32_t));
    wire_head_encode((const char *)reader->head, length, reader->sections, expected);
    if (memcmp(reader->head, expected, sizeof expected) != 0) {
        return stop_damaged(reader, "the head of a section does not match its check");
    }
    if (!wire_tag_valid((const char *)reader->head)) {
        return stop(reader,
                    ddt_fail(reader->ctx, DDT_ERR_FORMAT, "'%s' has a section without a readable tag.", reader->path));
    }
    reader->have_head = true;
    return DDT_OK;
}

ddt_status ddt_reader_peek(ddt_reader *reader, char tag[4]) {
    memset(tag, 0, WIRE_TAG_BYTES);
    ddt_status status = read_head(reader);
    if (status == DDT_OK) {
        memcpy(tag, reader->head, WIRE_TAG_BYTES);
    }
    return status;
}

/* Compares the next section's tag and length to what the caller can take. */
static ddt_status check_head(ddt_reader *reader, const char tag[WIRE_TAG_BYTES], size_t max_bytes) {
    uint64_t length = wire_load64(reader->head + WIRE_TAG_BYTES + sizeof(uint32_t));
    uint64_t left = reader->size - reader->offset;
    if (memcmp(reader->head, tag, WIRE_TAG_BYTES) != 0) {
        return stop(reader, ddt_fail(reader->ctx, DDT_ERR_FORMAT, "'%s' has section '%.4s' where '%.4s' is expected.",
                                     reader->path, (const char *)reader->head, tag));
    }
    if (length > max_bytes) {
        return stop(reader, ddt_fail(reader->ctx, DDT_ERR_FORMAT,
                                     "Section '%.4s' of '%s' has %llu bytes; at most %zu are allowed.", tag,
                                     reader->path, (unsigned long long)length, max_bytes));
    }
    if (left < DDT_WIRE_DIGEST_BYTES || length > left - DDT_WIRE_DIGEST_BYTES) {
        return stop_truncated(reader);
    }
    return DDT_OK;
}

static ddt_status make_room(ddt_reader *reader, size_t length) {
    if (length <= reader->capacity && reader->buffer != NULL) {
        return DDT_OK;
    }
    /* The old section first: two large ones need not fit. */
    drop_buffer(reader);
    reader->buffer = ddt_alloc(length, 1);
    if (reader->buffer == NULL) {
        return stop(reader, ddt_fail(reader->ctx, DDT_ERR_MEMORY, "Memory is short: a section of '%s' takes %zu bytes.",
                                     reader->path, length));
    }
    reader->capacity = length;
    return DDT_OK;
}

/* Brings the payload into memory and hashes it, a chunk at a time while it is warm. */
static ddt_status load_payload(ddt_reader *reader, size_t length, wire_hash *hash) {
    if (reader->memory == NULL) {
        if (make_room(reader, length) != DDT_OK) {
            return reader->status;
        }
        reader->payload = reader->buffer;
    } else {
        reader->payload = reader->memory + reader->offset;
        reader->offset += length;
    }
    for (size_t done = 0; done < length;) {
        size_t part = length - done < WIRE_CHUNK_BYTES ? length - done : WIRE_CHUNK_BYTES;
        if (reader->memory == NULL && take(reader, reader->buffer + done, part) != DDT_OK) {
            return reader->status;
        }
        wire_hash_update(hash, reader->payload + done, part);
        done += part;
    }
    reader->length = length;
    reader->position = 0;
    return DDT_OK;
}

ddt_status ddt_reader_begin(ddt_reader *reader, const char tag[4], size_t max_bytes) {
    wire_hash hash;
    ddt_digest found;
    ddt_digest expected;
    if (read_head(reader) != DDT_OK || check_head(reader, tag, max_bytes) != DDT_OK) {
        return reader->status;
    }
    reader->have_head = false;
    wire_hash_init(&hash);
    size_t length = (size_t)wire_load64(reader->head + WIRE_TAG_BYTES + sizeof(uint32_t));
    if (load_payload(reader, length, &hash) != DDT_OK || take(reader, found.bytes, sizeof found.bytes) != DDT_OK) {
        return reader->status;
    }
    wire_hash_update(&hash, reader->head, sizeof reader->head);
    wire_hash_final(&hash, &expected);
    if (!ddt_digest_equal(&found, &expected)) {
        return stop(reader,
                    ddt_fail(reader->ctx, DDT_ERR_CORRUPT,
                             "'%s' is damaged: the digest of section '%.4s' does not match; get another copy of it.",
                             reader->path, tag));
    }
    wire_hash_update(&reader->chain_hash, found.bytes, sizeof found.bytes);
    reader->sections++;
    reader->in_section = true;
    return DDT_OK;
}

ddt_status ddt_reader_end(ddt_reader *reader) {
    if (reader->status != DDT_OK) {
        return reader->status;
    }
    if (!reader->in_section) {
        return stop(reader, ddt_fail(reader->ctx, DDT_ERR_ARGUMENT, "A section of '%s' was ended without a beginning.",
                                     reader->path));
    }
    if (reader->position != reader->length) {
        return stop(reader, ddt_fail(reader->ctx, DDT_ERR_FORMAT, "Section '%.4s' of '%s' has %zu bytes too many.",
                                     (const char *)reader->head, reader->path, reader->length - reader->position));
    }
    reader->in_section = false;
    return DDT_OK;
}

ddt_status ddt_reader_finish(ddt_reader *reader) {
    ddt_digest found;
    ddt_digest expected;
    if (read_head(reader) != DDT_OK) {
        return reader->status;
    }
    uint64_t count = wire_load64(reader->head + WIRE_TAG_BYTES + sizeof(uint32_t));
    if (memcmp(reader->head, wire_end_tag, WIRE_TAG_BYTES) != 0) {
        return stop(reader, ddt_fail(reader->ctx, DDT_ERR_FORMAT, "'%s' has section '%.4s' where its end is expected.",
                                     reader->path, (const char *)reader->head));
    }
    if (take(reader, found.bytes, sizeof found.bytes) != DDT_OK) {
        return reader->status;
    }
    wire_hash_update(&reader->chain_hash, reader->head, sizeof reader->head);
    wire_hash_final(&reader->chain_hash, &expected);
    if (count != reader->sections || !ddt_digest_equal(&found, &expected)) {
        return stop_damaged(reader, "its sections do not belong together");
    }
    if (reader->offset != reader->size) {
        return stop_damaged(reader, "bytes follow its end");
    }
    /* A finished reader reads no more: its chain is closed. */
    reader->have_head = false;
    reader->status = DDT_ERR_ARGUMENT;
    reader->chain = found;
    reader->finished = true;
    return DDT_OK;
}

ddt_status ddt_reader_digest(const ddt_reader *reader, ddt_digest *out) {
    memset(out, 0, sizeof *out);
    if (!reader->finished) {
        return ddt_fail(reader->ctx, DDT_ERR_ARGUMENT, "The digest of '%s' was asked for before its end was read.",
                        reader->path);
    }
    *out = reader->chain;
    return DDT_OK;
}

/* Reads every section for its digest's sake. */
static ddt_status verify_sections(ddt_reader *reader) {
    char tag[WIRE_TAG_BYTES];
    ddt_status status = ddt_reader_peek(reader, tag);
    while (status == DDT_OK && memcmp(tag, wire_end_tag, WIRE_TAG_BYTES) != 0) {
        status = ddt_reader_begin(reader, tag, SIZE_MAX);
        if (status == DDT_OK) {
            reader->in_section = false;
            status = ddt_reader_peek(reader, tag);
        }
    }
    return status == DDT_OK ? ddt_reader_finish(reader) : status;
}

ddt_status ddt_wire_file_digest(ddt_context *ctx, const char *path, ddt_wire_kind kind, ddt_digest *out) {
    ddt_reader *reader = NULL;
    memset(out, 0, sizeof *out);
    ddt_status status = ddt_reader_open(ctx, path, kind, &reader);
    if (status == DDT_OK) {
        status = verify_sections(reader);
    }
    if (status == DDT_OK) {
        status = ddt_reader_digest(reader, out);
    }
    ddt_reader_close(reader);
    return status;
}

/* ------------------------------------------------------------------ values */

/* The next `length` bytes of the open section, or NULL after a failure. */
static const uint8_t *next(ddt_reader *reader, size_t length) {
    if (reader->status != DDT_OK) {
        return NULL;
    }
    if (!reader->in_section) {
        (void)stop(reader, ddt_fail(reader->ctx, DDT_ERR_ARGUMENT, "A value of '%s' was read outside of any section.",
                                    reader->path));
        return NULL;
    }
    if (length > reader->length - reader->position) {
        (void)stop(reader,
                   ddt_fail(reader->ctx, DDT_ERR_FORMAT, "Section '%.4s' of '%s' is too short for what it should hold.",
                            (const char *)reader->head, reader->path));
        return NULL;
    }
    const uint8_t *bytes = reader->payload + reader->position;
    reader->position += length;
    return bytes;
}

static ddt_status stop_value(ddt_reader *reader, const char *what) {
    return stop(reader, ddt_fail(reader->ctx, DDT_ERR_FORMAT, "Section '%.4s' of '%s' holds %s.",
                                 (const char *)reader->head, reader->path, what));
}

ddt_status ddt_reader_u8(ddt_reader *reader, uint8_t *value) {
    const uint8_t *bytes = next(reader, sizeof *value);
    *value = bytes == NULL ? 0 : *bytes;
    return reader->status;
}

ddt_status ddt_reader_u32(ddt_reader *reader, uint32_t *value) {
    const uint8_t *bytes = next(reader, sizeof *value);
    *value = bytes == NULL ? 0 : wire_load32(bytes);
    return reader->status;
}

ddt_status ddt_reader_u64(ddt_reader *reader, uint64_t *value) {
    const uint8_t *bytes = next(reader, sizeof *value);
    *value = bytes == NULL ? 0 : wire_load64(bytes);
    return reader->status;
}

ddt_status ddt_reader_i64(ddt_reader *reader, int64_t *value) {
    uint64_t bits = 0;
    ddt_status status = ddt_reader_u64(reader, &bits);
    memcpy(value, &bits, sizeof *value);
    return status;
}

ddt_status ddt_reader_f64(ddt_reader *reader, double *value) {
    uint64_t bits = 0;
    double number = 0.0;
    ddt_status status = ddt_reader_u64(reader, &bits);
    memcpy(&number, &bits, sizeof number);
    *value = 0.0;
    if (status == DDT_OK && !isfinite(number)) {
        return stop_value(reader, "a number that is not finite");
    }
    *value = number;
    return status;
}

ddt_status ddt_reader_bytes(ddt_reader *reader, void *data, size_t length) {
    const uint8_t *bytes = next(reader, length);
    if (bytes != NULL && length > 0) {
        memcpy(data, bytes, length);
    }
    return reader->status;
}

ddt_status ddt_reader_string(ddt_reader *reader, size_t max_length, char **text) {
    uint32_t length = 0;
    ddt_status status = ddt_reader_u32(reader, &length);
    if (status != DDT_OK) {
        return status;
    }
    if (length > max_length) {
        return stop_value(reader, "a text that is too long");
    }
    const uint8_t *bytes = next(reader, length);
    if (bytes == NULL) {
        return reader->status;
    }
    if (memchr(bytes, '\0', length) != NULL) {
        return stop_value(reader, "a text with a zero byte");
    }
    char *copy = ddt_alloc((size_t)length + 1, 1);
    if (copy == NULL) {
        return stop(reader, ddt_fail(reader->ctx, DDT_ERR_MEMORY, "Memory is short while reading '%s'.", reader->path));
    }
    memcpy(copy, bytes, length);
    copy[length] = '\0';
    *text = copy;
    return DDT_OK;
}

ddt_status ddt_reader_packed(ddt_reader *reader, uint64_t *values, size_t count, unsigned bits) {
    size_t length = 0;
    if (reader->status != DDT_OK) {
        return reader->status;
    }
    if (!wire_packed_bytes(count, bits, &length)) {
        return stop(reader, ddt_fail(reader->ctx, DDT_ERR_ARGUMENT, "%zu values of %u bits cannot be read from '%s'.",
                                     count, bits, reader->path));
    }
    const uint8_t *bytes = next(reader, length);
    if (bytes == NULL || length == 0) {
        return reader->status;
    }
    unsigned last_bits = (unsigned)((count % 8 * bits) % 8);
    if (last_bits != 0 && bytes[length - 1] >> last_bits != 0) {
        return stop_value(reader, "padding that is not zero");
    }
    wire_unpack(bytes, count, bits, values);
    return DDT_OK;
}

ddt_status ddt_reader_count(ddt_reader *reader, size_t element_bytes, size_t max, size_t *count) {
    uint32_t found = 0;
    ddt_status status = ddt_reader_u32(reader, &found);
    *count = 0;
    if (status != DDT_OK) {
        return status;
    }
    size_t bytes = 0;
    if (found > max || !ddt_size_mul(found, element_bytes, &bytes) || bytes > reader->length - reader->position) {
        return stop_value(reader, "a count larger than allowed");
    }
    *count = found;
    return DDT_OK;
}
