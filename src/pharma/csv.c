/* SPDX-License-Identifier: Apache-2.0 */
#include "csv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FIRST_CAPACITY = 32 };

ddt_status ddt_csv_open(ddt_context *ctx, const char *text, size_t length, const char *name, ddt_csv *out) {
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    const size_t mark_length = sizeof byte_order_mark - 1;
    if (length > DDT_CSV_MAX_BYTES) {
        return ddt_fail(ctx, DDT_ERR_DATA, "'%s' has %zu bytes; at most %d are read.", name, length, DDT_CSV_MAX_BYTES);
    }
    if (length > 0 && memchr(text, '\0', length) != NULL) {
        return ddt_fail(ctx, DDT_ERR_DATA, "'%s' is not a text file: it holds a zero byte.", name);
    }
    if (length >= mark_length && memcmp(text, byte_order_mark, mark_length) == 0) {
        text += mark_length;
        length -= mark_length;
    }
    ddt_csv csv = {.ctx = ctx, .name = name, .next_line = 1, .field_capacity = FIRST_CAPACITY};
    csv.text = ddt_alloc(length + 1, 1);
    csv.fields = ddt_alloc(csv.field_capacity, sizeof *csv.fields);
    if (csv.text == NULL || csv.fields == NULL) {
        ddt_csv_close(&csv);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while reading '%s'.", name);
    }
    if (length > 0) {
        memcpy(csv.text, text, length);
    }
    csv.text[length] = '\0';
    csv.cursor = csv.text;
    csv.end = csv.text + length;
    *out = csv;
    return DDT_OK;
}

void ddt_csv_close(ddt_csv *csv) {
    ddt_free(csv->text);
    ddt_free(csv->fields);
    *csv = (ddt_csv){0};
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static bool is_line_end(char c) { return c == '\n' || c == '\r' || c == '\0'; }

static void skip_line_end(ddt_csv *csv) {
    if (csv->cursor[0] == '\r' && csv->cursor[1] == '\n') {
        csv->cursor++;
    }
    if (csv->cursor < csv->end) {
        csv->cursor++;
    }
    csv->next_line++;
}

static ddt_status add_field(ddt_csv *csv, char *field) {
    if (csv->field_count == DDT_CSV_MAX_COLUMNS) {
        return ddt_fail(csv->ctx, DDT_ERR_DATA, "'%s', line %u: the row has more than %d fields.", csv->name, csv->line,
                        DDT_CSV_MAX_COLUMNS);
    }
    if (csv->field_count == csv->field_capacity) {
        char **grown = ddt_realloc(csv->fields, csv->field_count, 2 * csv->field_capacity, sizeof *grown);
        if (grown == NULL) {
            return ddt_fail(csv->ctx, DDT_ERR_MEMORY, "Memory is short while reading '%s'.", csv->name);
        }
        csv->fields = grown;
        csv->field_capacity *= 2;
    }
    csv->fields[csv->field_count++] = field;
    return DDT_OK;
}

/* The cursor stands on the opening quote; afterwards it stands behind the closing one. Writes the content from `field`
 * on. */
static ddt_status read_quoted(ddt_csv *csv, char **field_end) {
    char *out = csv->cursor;
    char *in = csv->cursor + 1;
    unsigned opened = csv->next_line;
    for (; in < csv->end; in++) {
        if (*in == '"') {
            if (in[1] != '"') {
                break;
            }
            in++;
        } else if (*in == '\n' || (*in == '\r' && in[1] != '\n')) {
            csv->next_line++;
        }
        *out++ = *in;
    }
    if (in >= csv->end) {
        return ddt_fail(csv->ctx, DDT_ERR_DATA, "'%s', line %u: a quoted field is not closed.", csv->name, opened);
    }
    in++;
    while (is_blank(*in)) {
        in++;
    }
    if (*in != ',' && !is_line_end(*in)) {
        return ddt_fail(csv->ctx, DDT_ERR_DATA, "'%s', line %u: text follows the closing quote of field %zu.",
                        csv->name, csv->next_line, csv->field_count + 1);
    }
    csv->cursor = in;
    *field_end = out;
    return DDT_OK;
}

/* Reads one field and terminates it; *last says whether the row ends with it. */
static ddt_status read_field(ddt_csv *csv, bool *last) {
    while (is_blank(*csv->cursor)) {
        csv->cursor++;
    }
    char *field = csv->cursor;
    char *field_end = NULL;
    if (*field == '"') {
        ddt_status status = read_quoted(csv, &field_end);
        if (status != DDT_OK) {
            return status;
        }
    } else {
        while (*csv->cursor != ',' && !is_line_end(*csv->cursor)) {
            csv->cursor++;
        }
        field_end = csv->cursor;
    }
    /* The zero may fall on the separator itself, so the separator is read first. */
    *last = *csv->cursor != ',';
    if (*last) {
        skip_line_end(csv);
    } else {
        csv->cursor++;
    }
    while (field_end > field && is_blank(field_end[-1])) {
        field_end--;
    }
    *field_end = '\0';
    return add_field(csv, field);
}

static bool is_empty_row(const ddt_csv *csv) {
    for (size_t i = 0; i < csv->field_count; i++) {
        if (csv->fields[i][0] != '\0') {
            return false;
        }
    }
    return true;
}

/* Skips a line that is blank or a comment; false when a row starts here. */
static bool skip_line(ddt_csv *csv) {
    const char *look = csv->cursor;
    while (is_blank(*look)) {
        look++;
    }
    if (*look != '#' && !is_line_end(*look)) {
        return false;
    }
    while (!is_line_end(*csv->cursor)) {
        csv->cursor++;
    }
    skip_line_end(csv);
    return true;
}

ddt_status ddt_csv_next(ddt_csv *csv, bool *more) {
    *more = false;
    while (csv->cursor < csv->end) {
        if (skip_line(csv)) {
            continue;
        }
        csv->line = csv->next_line;
        csv->field_count = 0;
        bool last = false;
        while (!last) {
            ddt_status status = read_field(csv, &last);
            if (status != DDT_OK) {
                return status;
            }
        }
        if (!is_empty_row(csv)) {
            *more = true;
            return DDT_OK;
        }
    }
    return DDT_OK;
}

/* Bytes of the UTF-8 character at p, 0 when it is broken (overlong, surrogate, beyond U+10FFFF or cut). */
static size_t utf8_length(const unsigned char *p) {
    static const unsigned low_of_length[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = p[0] < 0x80 ? 1 : p[0] >= 0xF8 ? 0 : p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : p[0] >= 0xC0 ? 2 : 0;
    if (length <= 1) {
        return length;
    }
    unsigned code = p[0] & (0x7FU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xC0U) != 0x80U) {
            return 0;
        }
        code = (code << 6) | (p[i] & 0x3FU);
    }
    bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
    return code < low_of_length[length] || is_surrogate || code > 0x10FFFF ? 0 : length;
}

static bool is_control(unsigned char c) { return c < 0x20 || c == 0x7F; }

bool ddt_csv_is_plain(const char *value) {
    const unsigned char *p = (const unsigned char *)value;
    while (*p != '\0') {
        size_t length = utf8_length(p);
        if (length == 0 || is_control(*p)) {
            return false;
        }
        p += length;
    }
    return true;
}

const char *ddt_csv_show(const char *value, char shown[DDT_CSV_SHOWN]) {
    static const char ellipsis[] = "...";
    const unsigned char *p = (const unsigned char *)value;
    size_t used = 0;
    while (*p != '\0') {
        size_t length = utf8_length(p);
        if (used + (length == 0 ? 1 : length) + sizeof ellipsis > DDT_CSV_SHOWN) {
            memcpy(shown + used, ellipsis, sizeof ellipsis);
            return shown;
        }
        if (length == 0 || is_control(*p)) {
            shown[used++] = '?';
            p++;
        } else {
            memcpy(shown + used, p, length);
            used += length;
            p += length;
        }
    }
    shown[used] = '\0';
    return shown;
}

static bool names_no_number(const char *field) {
    static const char *const words[] = {"inf", "infinity", "nan"};
    const char *word = field + (*field == '+' || *field == '-');
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(word, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

ddt_csv_kind ddt_csv_number(const char *field, double *value) {
    if (field[0] == '\0' || strcmp(field, ".") == 0) {
        return DDT_CSV_MISSING;
    }
    if (names_no_number(field)) {
        return DDT_CSV_NOT_FINITE;
    }
    /* strtod takes more than decimal numbers: hexadecimal, nan(...). In a locale with a decimal comma it stops early,
     * which is refused below. */
    if (field[strspn(field, "0123456789+-.eE")] != '\0') {
        return DDT_CSV_TEXT;
    }
    char *end = NULL;
    double number = strtod(field, &end);
    if (end == field || *end != '\0') {
        return DDT_CSV_TEXT;
    }
    if (!isfinite(number)) {
        return DDT_CSV_NOT_FINITE;
    }
    *value = number;
    return DDT_CSV_NUMBER;
}
