/*
 * ddt/base.h - status codes, context, memory, entropy, threads.
 *
 * Every room stands on this one. A context carries what would otherwise be global: the text of the last error,
 * the number of threads, and the progress callback. Libraries never print and never exit: a failing function returns
 * one status from the list below and leaves the detail (file, line, value) in the context.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_BASE_H
#define DDT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DDT_MUST_CHECK __attribute__((warn_unused_result))
#define DDT_PRINTF(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#else
#define DDT_MUST_CHECK
#define DDT_PRINTF(format_index, first_argument)
#endif

/*
 * One code per cause. Columns: name, process exit code of a tool that stops on it, text.
 * Exit codes: 0 done, 1 bad input, 2 usage, 3 refused for security, 4 internal.
 */
#define DDT_STATUS_LIST(X)                                                                                             \
    X(DDT_OK, 0, "done")                                                                                               \
    X(DDT_ERR_USAGE, 2, "the command line is not understood")                                                          \
    X(DDT_ERR_ARGUMENT, 4, "a function was called with an argument outside its contract")                              \
    X(DDT_ERR_MEMORY, 4, "memory could not be allocated")                                                              \
    X(DDT_ERR_ENTROPY, 4, "the system's random number generator failed")                                               \
    X(DDT_ERR_INTERNAL, 4, "an internal check failed")                                                                 \
    X(DDT_ERR_IO, 1, "a file could not be read or written")                                                            \
    X(DDT_ERR_NO_SPACE, 1, "no space is left on the device")                                                           \
    X(DDT_ERR_FORMAT, 1, "a file is not in the expected format")                                                       \
    X(DDT_ERR_CORRUPT, 1, "a file is truncated or damaged")                                                            \
    X(DDT_ERR_VERSION, 1, "a file was written by an unsupported version")                                              \
    X(DDT_ERR_MISMATCH, 1, "two files do not belong together")                                                         \
    X(DDT_ERR_MODEL, 1, "the drug model cannot be used")                                                               \
    X(DDT_ERR_DATA, 1, "the data set cannot be used")                                                                  \
    X(DDT_ERR_RANGE, 1, "a value lies outside its declared range")                                                     \
    X(DDT_ERR_UNSUPPORTED, 1, "the request is valid but not supported")                                                \
    X(DDT_ERR_SECURITY, 3, "refused: the parameters are not secure")                                                   \
    X(DDT_ERR_PERMISSION, 3, "refused: a secret file is readable by others")                                           \
    X(DDT_ERR_PASSPHRASE, 3, "the passphrase does not open the key file")                                              \
    X(DDT_ERR_CAPACITY, 1, "the problem does not fit the largest supported parameters")                                \
    X(DDT_ERR_KEY_MISSING, 1, "an evaluation key that the computation needs is missing")                               \
    X(DDT_ERR_CANCELLED, 1, "the work was cancelled")

typedef enum ddt_status {
#define DDT_STATUS_ENUM(name, exit_code, text) name,
    DDT_STATUS_LIST(DDT_STATUS_ENUM)
#undef DDT_STATUS_ENUM
        DDT_STATUS_COUNT
} ddt_status;

/* The text of a status code, never NULL. */
const char *ddt_status_text(ddt_status status);
/* The enumerator's name, for machine-readable reports, never NULL. */
const char *ddt_status_name(ddt_status status);
/* The exit code of a command that stops on this status. */
int ddt_status_exit_code(ddt_status status);

/* ------------------------------------------------------------------ context */

typedef struct ddt_context ddt_context;

/*
 * Progress callback: `done` of `total` steps of `stage` are finished. Return false to cancel; the running function
 * then returns DDT_ERR_CANCELLED. Called from one thread at a time.
 */
typedef bool (*ddt_progress_fn)(void *user, const char *stage, uint64_t done, uint64_t total);

/*
 * Creates a context. Initialises libsodium. Threads default to OMP_NUM_THREADS or the processors available.
 * The caller owns *out and frees it with ddt_context_destroy. Errors: DDT_ERR_MEMORY, DDT_ERR_ENTROPY.
 */
DDT_MUST_CHECK ddt_status ddt_context_create(ddt_context **out);
void ddt_context_destroy(ddt_context *ctx);

/*
 * Records the detail of an error and returns `status`, so that a function can end with `return ddt_fail(...)`. The
 * text is one clear sentence naming the file, line or value. The first error since ddt_context_clear is kept: the
 * cause, not its consequences. ctx may be NULL. Thread-safe.
 */
ddt_status ddt_fail(ddt_context *ctx, ddt_status status, const char *format, ...) DDT_PRINTF(3, 4);
#ifdef __clang_analyzer__
/* The static analyser sees one file at a time: this tells it that what ddt_fail returns is what it was given. */
#define ddt_fail(ctx, status, ...) ((void)ddt_fail(ctx, status, __VA_ARGS__), (status))
#endif
/* The sentence of the recorded error, or "" when there is none. Valid until the next ddt_fail or ddt_context_clear. */
const char *ddt_error_detail(const ddt_context *ctx);
ddt_status ddt_error_status(const ddt_context *ctx);
void ddt_context_clear(ddt_context *ctx);

/* fn is called with `user` from then on; NULL for none. What user points to stays the caller's. */
void ddt_context_set_progress(ddt_context *ctx, ddt_progress_fn fn, void *user);
/* Reports progress; returns DDT_ERR_CANCELLED if the callback asked to stop, DDT_OK otherwise. Thread-safe. */
DDT_MUST_CHECK ddt_status ddt_progress(ddt_context *ctx, const char *stage, uint64_t done, uint64_t total);

/* Number of threads that parallel loops may use; at least 1. */
int ddt_context_threads(const ddt_context *ctx);
void ddt_context_set_threads(ddt_context *ctx, int threads);

/*
 * Whether files written from now on are scratch (default: no): they are complete when they appear under their names, as
 * all are, but are not flushed to the disk first. For folders that are removed before a command ends.
 */
bool ddt_context_scratch_files(const ddt_context *ctx);
void ddt_context_set_scratch_files(ddt_context *ctx, bool is_scratch);

/* Monotonic clock in seconds, for reporting durations. */
double ddt_clock_s(void);

/* ------------------------------------------------------------------ memory */

/*
 * Allocates count * size bytes, 64-byte aligned, uninitialised (ddt_alloc) or zero (ddt_calloc). Returns NULL when the
 * product overflows, is larger than PTRDIFF_MAX, or memory is short; a zero size yields a unique pointer. Not for
 * secrets: those live in custody. Free with ddt_free, which keeps up to 64 MiB of large blocks for the next allocations
 * of their size.
 */
DDT_MUST_CHECK void *ddt_alloc(size_t count, size_t size);
DDT_MUST_CHECK void *ddt_calloc(size_t count, size_t size);
/* Grows an array to `count` elements, keeping its first `old_count`; NULL on failure, the old block stays valid. */
DDT_MUST_CHECK void *ddt_realloc(void *block, size_t old_count, size_t count, size_t size);
DDT_MUST_CHECK char *ddt_strdup(const char *text);
void ddt_free(void *block);

/*
 * For programs, at their start: memory that was freed stays with the process for what it allocates next, large blocks
 * too. The system zeroes every page that it hands out, which took a third of an encrypted run. A setting of the whole
 * process, so that a library does not make it for its user; nothing where the C library has no such setting.
 */
void ddt_memory_stays(void);
/* Gives free memory back to the system after all: before another process needs it. */
void ddt_memory_give_back(void);

/* out = a * b or a + b; false on overflow. For sizes that come from files. */
DDT_MUST_CHECK bool ddt_size_mul(size_t a, size_t b, size_t *out);
DDT_MUST_CHECK bool ddt_size_add(size_t a, size_t b, size_t *out);

/*
 * Test hook: the (n+1)-th allocation from now and all later ones fail until called again with UINT64_MAX (the default).
 * Returns the number of allocations made since the last call.
 */
uint64_t ddt_alloc_fail_after(uint64_t n);

/* ------------------------------------------------------------------ entropy */

/* Fills buf with n bytes from the operating system's generator through libsodium. Errors: DDT_ERR_ENTROPY. */
DDT_MUST_CHECK ddt_status ddt_entropy(ddt_context *ctx, void *buf, size_t n);
/* Test hook: makes every later ddt_entropy fail (true) or work again (false). */
void ddt_entropy_fail(bool fail);

/* ------------------------------------------------------------------ files */

/*
 * An output file that appears whole or not at all: the bytes go to a temporary file beside `path`, which takes the
 * place of `path` on commit and is removed on abort. Not thread-safe.
 */
typedef struct ddt_file ddt_file;

/*
 * Starts a file, readable by its owner only when is_secret, else as the umask allows. An existing `path` must be an
 * ordinary file. Errors: DDT_ERR_IO, DDT_ERR_NO_SPACE, DDT_ERR_MEMORY, DDT_ERR_ENTROPY.
 */
DDT_MUST_CHECK ddt_status ddt_file_create(ddt_context *ctx, const char *path, bool is_secret, ddt_file **out);
/* Appends bytes, or overwrites bytes already written from `offset` on. Errors: DDT_ERR_IO, DDT_ERR_NO_SPACE. */
DDT_MUST_CHECK ddt_status ddt_file_append(ddt_file *file, const void *data, size_t length);
DDT_MUST_CHECK ddt_status ddt_file_patch(ddt_file *file, uint64_t offset, const void *data, size_t length);
/* Bytes appended so far. */
uint64_t ddt_file_size(const ddt_file *file);
/* Syncs, renames into place and frees the file; on failure the temporary file is gone and `path` is as it was. */
DDT_MUST_CHECK ddt_status ddt_file_commit(ddt_file *file);
/* Removes the temporary file and frees; NULL is allowed. */
void ddt_file_abort(ddt_file *file);

/* ------------------------------------------------------------------ text */

/* Writes a whole text file that appears whole or not at all (ddt_file). Errors: those of ddt_file. */
DDT_MUST_CHECK ddt_status ddt_write_text(ddt_context *ctx, const char *path, const char *text, size_t length);
/*
 * Reads a whole text file of at most max_bytes into *text (NUL-terminated, owned by the caller, ddt_free).
 * Errors: DDT_ERR_IO, DDT_ERR_FORMAT (too large, or a NUL byte inside), DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status ddt_read_text(ddt_context *ctx, const char *path, size_t max_bytes, char **text,
                                        size_t *length);

#ifdef __cplusplus
}
#endif
#endif
