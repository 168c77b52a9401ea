/*
 * csv.h - comma-separated text, row by row. Internal to the room.
 *
 * Quoted fields ("" inside means one quote) may hold commas and line ends. Lines end with LF, CRLF or CR; a UTF-8 byte
 * order mark is skipped. Blank lines, rows of empty fields and lines that start with # are skipped.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_PHARMA_CSV_H
#define DDT_PHARMA_CSV_H

#include "ddt/base.h"

enum {
    DDT_CSV_MAX_BYTES = 64 << 20,
    DDT_CSV_MAX_COLUMNS = 4096,
    DDT_CSV_SHOWN = 44 /* characters of a value that a message shows, with the ellipsis and the zero */
};

typedef struct ddt_csv {
    ddt_context *ctx;
    const char *name; /* of the file, for messages; not owned */
    char *text;       /* a copy, cut into fields in place */
    char *cursor;
    char *end;
    unsigned line;      /* where the current row starts, from 1 */
    unsigned next_line; /* where the cursor stands */
    char **fields;      /* of the current row: trimmed, zero-terminated, valid until ddt_csv_close */
    size_t field_count;
    size_t field_capacity;
} ddt_csv;

/* Errors: DDT_ERR_DATA (too large, a zero byte), DDT_ERR_MEMORY. On success the caller closes. */
DDT_MUST_CHECK ddt_status ddt_csv_open(ddt_context *ctx, const char *text, size_t length, const char *name,
                                       ddt_csv *out);
void ddt_csv_close(ddt_csv *csv);
/* Reads the next row into fields; *more is false after the last. Errors: DDT_ERR_DATA (a quote that is not closed...),
 * DDT_ERR_MEMORY. */
DDT_MUST_CHECK ddt_status ddt_csv_next(ddt_csv *csv, bool *more);

/* A value fit for a message: control characters and broken UTF-8 replaced, long ones cut. Returns shown. */
const char *ddt_csv_show(const char *value, char shown[DDT_CSV_SHOWN]);
/* Whether the text is valid UTF-8 without control characters. */
bool ddt_csv_is_plain(const char *value);

typedef enum ddt_csv_kind { DDT_CSV_NUMBER, DDT_CSV_MISSING, DDT_CSV_TEXT, DDT_CSV_NOT_FINITE } ddt_csv_kind;
/* Decimal numbers only (no hexadecimal, no D exponents); "" and "." are missing. */
ddt_csv_kind ddt_csv_number(const char *field, double *value);

#endif
