/*
 * ddt/wire.h - the file format: one versioned container for plans, keys, twins and results.
 *
 * A file is a header, a sequence of sections and an end record. Every section carries its length and a BLAKE2b digest
 * that is checked before one byte of it is interpreted; the end record carries the count and a digest over all section
 * digests, so that truncation, reordering and bit flips are all found. Integers are little-endian, lengths are checked
 * against what is left before anything is allocated. Files from outside are hostile. docs/format.md specifies the
 * bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_WIRE_H
#define DDT_WIRE_H

#include "ddt/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DDT_WIRE_VERSION = 1, DDT_WIRE_DIGEST_BYTES = 32 };

typedef enum ddt_wire_kind {
    DDT_WIRE_PLAN = 1,
    DDT_WIRE_SECRET_KEY = 2,
    DDT_WIRE_PUBLIC_KEY = 3,
    DDT_WIRE_EVAL_KEYS = 4,
    DDT_WIRE_TWIN = 5,
    DDT_WIRE_RESULT = 6,
    DDT_WIRE_PHYSICIAN_KEY = 7, /* secret, too */
    DDT_WIRE_PHYSICIAN_PUBLIC = 8,
    DDT_WIRE_GRANT = 9,
    DDT_WIRE_UPDATE = 10, /* what happened to a patient, for a living twin */
    DDT_WIRE_LIFE = 11    /* a living twin */
} ddt_wire_kind;

enum { DDT_WIRE_KIND_FIRST = DDT_WIRE_PLAN, DDT_WIRE_KIND_LAST = DDT_WIRE_LIFE };

/* "plan", "secret key" ... for messages; "unknown" for others. */
const char *ddt_wire_kind_name(ddt_wire_kind kind);
/* Files of these kinds must be private: a reader refuses one that group or others may open. */
bool ddt_wire_kind_is_secret(ddt_wire_kind kind);

typedef struct ddt_digest {
    uint8_t bytes[DDT_WIRE_DIGEST_BYTES];
} ddt_digest;

/* In constant time. */
bool ddt_digest_equal(const ddt_digest *a, const ddt_digest *b);
/* BLAKE2b-256 of a block of memory. */
void ddt_digest_of(const void *data, size_t length, ddt_digest *out);

/* ------------------------------------------------------------------ writing */

typedef struct ddt_writer ddt_writer;

/*
 * Starts a file of a kind. The bytes go to a temporary file beside `path` (mode 0600 when is_secret, else by umask);
 * nothing appears under `path` until ddt_writer_commit. Errors: DDT_ERR_IO, DDT_ERR_NO_SPACE, DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status ddt_writer_open(ddt_context *ctx, const char *path, ddt_wire_kind kind, bool is_secret,
                                          ddt_writer **out);
/* Begins a section; tag is four ASCII characters, for example "PRMS". Sections do not nest. */
void ddt_writer_begin(ddt_writer *writer, const char tag[4]);
/* Values of the open section. A failure is remembered and reported by ddt_writer_end / commit; these calls need no
 * checks. */
void ddt_writer_u8(ddt_writer *writer, uint8_t value);
void ddt_writer_u32(ddt_writer *writer, uint32_t value);
void ddt_writer_u64(ddt_writer *writer, uint64_t value);
void ddt_writer_i64(ddt_writer *writer, int64_t value);
void ddt_writer_f64(ddt_writer *writer, double value);
void ddt_writer_bytes(ddt_writer *writer, const void *data, size_t length);
/* u32 length, then the bytes without NUL. */
void ddt_writer_string(ddt_writer *writer, const char *text);
/* `count` values of `bits` bits each (1..64), packed without gaps, padded to a byte: residues take 50 bits, not 64. */
void ddt_writer_packed(ddt_writer *writer, const uint64_t *values, size_t count, unsigned bits);
DDT_MUST_CHECK ddt_status ddt_writer_end(ddt_writer *writer);
/*
 * The section "HEAD" with which evaluation keys, twins and results begin: the digest of the plan file that they belong
 * to, the number of batches (0 for keys), and how many items follow (in each batch: inputs of a twin, outputs of a
 * result; in all: keys).
 */
DDT_MUST_CHECK ddt_status ddt_writer_heading(ddt_writer *writer, const ddt_digest *plan, uint64_t batches,
                                             uint32_t items);
/*
 * The section "NOTE" behind the heading of twins and results: bytes that only the custodian understands, sealed by
 * ddt_note_seal or empty; the engine carries them from the twin to the result. At most DDT_WIRE_NOTE_MAX bytes.
 */
enum { DDT_WIRE_NOTE_MAX = 1 << 24 };
DDT_MUST_CHECK ddt_status ddt_writer_note(ddt_writer *writer, const uint8_t *note, size_t length);
/*
 * The section "CLCK" behind the note of living twins and their updates: public. Of a twin: its clock (from_h and to_h
 * alike), how many updates it has had, how many steps in all. Of an update: the clock that it goes on from and the one
 * it leads to, how many updates the twin must have had, its steps; `begins`: it starts a new twin, from zeros;
 * `absent`: bit i says that input i of its last step is not sent, since it is 0 (a step without a level).
 */
typedef struct ddt_wire_clock {
    double from_h, to_h;
    uint64_t updates, steps;
    uint64_t absent;
    bool begins;
} ddt_wire_clock;
DDT_MUST_CHECK ddt_status ddt_writer_clock(ddt_writer *writer, const ddt_wire_clock *clock);
/* Writes the end record, syncs, renames into place, and frees the writer whatever happens. *bytes (may be NULL): the
 * file's size. */
DDT_MUST_CHECK ddt_status ddt_writer_commit(ddt_writer *writer, uint64_t *bytes);
/* Deletes the temporary file and frees the writer; NULL is allowed. */
void ddt_writer_abort(ddt_writer *writer);

/* ------------------------------------------------------------------ reading */

typedef struct ddt_reader ddt_reader;

/*
 * Opens a file and checks its header. Errors name the file: DDT_ERR_IO, DDT_ERR_FORMAT (not ours), DDT_ERR_VERSION,
 * DDT_ERR_MISMATCH (another kind than expected, both named), DDT_ERR_CORRUPT, DDT_ERR_PERMISSION (a secret key that
 * group or others may open). After a failure the reader reads nothing more: every later call returns the first failure,
 * and values read are zero.
 */
DDT_MUST_CHECK ddt_status ddt_reader_open(ddt_context *ctx, const char *path, ddt_wire_kind kind, ddt_reader **out);
/* Reads a file from memory, for fuzzing and for plans that travel inside others. `data` must outlive the reader. */
DDT_MUST_CHECK ddt_status ddt_reader_open_memory(ddt_context *ctx, const void *data, size_t length, ddt_wire_kind kind,
                                                 ddt_reader **out);
/* The kind of a file, for `info`. */
DDT_MUST_CHECK ddt_status ddt_wire_probe(ddt_context *ctx, const char *path, ddt_wire_kind *kind);

/*
 * Verifies a whole file, every section's digest and the end record, and returns its chained digest: the identity of a
 * plan. Errors: those of ddt_reader_open and DDT_ERR_CORRUPT. Holds one section in memory at a time.
 */
DDT_MUST_CHECK ddt_status ddt_wire_file_digest(ddt_context *ctx, const char *path, ddt_wire_kind kind, ddt_digest *out);

/*
 * Loads the next section into memory and checks its digest, its tag against `tag`. Sections of more than max_bytes are
 * refused before allocation. Errors: DDT_ERR_CORRUPT, DDT_ERR_FORMAT (another tag), DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status ddt_reader_begin(ddt_reader *reader, const char tag[4], size_t max_bytes);
/* Peeks the tag of the next section into tag[4]; "END " at the end. */
DDT_MUST_CHECK ddt_status ddt_reader_peek(ddt_reader *reader, char tag[4]);
DDT_MUST_CHECK ddt_status ddt_reader_u8(ddt_reader *reader, uint8_t *value);
DDT_MUST_CHECK ddt_status ddt_reader_u32(ddt_reader *reader, uint32_t *value);
DDT_MUST_CHECK ddt_status ddt_reader_u64(ddt_reader *reader, uint64_t *value);
DDT_MUST_CHECK ddt_status ddt_reader_i64(ddt_reader *reader, int64_t *value);
/* Finite values only: NaN and infinities are DDT_ERR_FORMAT. */
DDT_MUST_CHECK ddt_status ddt_reader_f64(ddt_reader *reader, double *value);
DDT_MUST_CHECK ddt_status ddt_reader_bytes(ddt_reader *reader, void *data, size_t length);
/* Allocates *text (ddt_free); at most max_length bytes, no NUL inside. */
DDT_MUST_CHECK ddt_status ddt_reader_string(ddt_reader *reader, size_t max_length, char **text);
DDT_MUST_CHECK ddt_status ddt_reader_packed(ddt_reader *reader, uint64_t *values, size_t count, unsigned bits);
/* A u32 count for an array of elements of at least element_bytes each: refused when more than max or than the section
 * can hold. */
DDT_MUST_CHECK ddt_status ddt_reader_count(ddt_reader *reader, size_t element_bytes, size_t max, size_t *count);
/* Reads the section "HEAD". Errors: those of ddt_reader_begin. */
DDT_MUST_CHECK ddt_status ddt_reader_heading(ddt_reader *reader, ddt_digest *plan, uint64_t *batches, uint32_t *items);
/* Reads the section "NOTE"; the caller owns *note (ddt_free), which is not NULL even when *length is 0. Errors: those
 * of ddt_reader_begin, DDT_ERR_MEMORY. */
DDT_MUST_CHECK ddt_status ddt_reader_note(ddt_context *ctx, ddt_reader *reader, uint8_t **note, size_t *length);
/* Reads the section "CLCK". Errors: those of ddt_reader_begin, DDT_ERR_FORMAT (a clock that no twin has: it goes
 * backwards, or is not finite). */
DDT_MUST_CHECK ddt_status ddt_reader_clock(ddt_context *ctx, ddt_reader *reader, ddt_wire_clock *clock);
/* Ends the section; bytes left over are DDT_ERR_FORMAT. */
DDT_MUST_CHECK ddt_status ddt_reader_end(ddt_reader *reader);
/* Checks the end record and that nothing follows it. */
DDT_MUST_CHECK ddt_status ddt_reader_finish(ddt_reader *reader);
/*
 * The chained digest of the end record, which names the file's whole content; valid after ddt_reader_finish, else
 * DDT_ERR_ARGUMENT.
 */
DDT_MUST_CHECK ddt_status ddt_reader_digest(const ddt_reader *reader, ddt_digest *out);
void ddt_reader_close(ddt_reader *reader);
/* The path given at opening, or "memory", for messages. */
const char *ddt_reader_path(const ddt_reader *reader);

#ifdef __cplusplus
}
#endif
#endif
