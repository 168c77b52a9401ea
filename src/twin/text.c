/* Growing text: CSV, SVG and HTML are written through it. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `extra` more bytes and a NUL. */
static bool text_reserve(twin_text *text, size_t extra) {
    size_t need = 0;
    if (text->failed || !ddt_size_add(text->length, extra, &need) || !ddt_size_add(need, 1, &need)) {
        text->failed = true;
        return false;
    }
    if (need <= text->capacity) {
        return true;
    }
    size_t capacity = text->capacity < 4096 ? 4096 : text->capacity;
    while (capacity < need) {
        if (!ddt_size_mul(capacity, 2, &capacity)) {
            text->failed = true;
            return false;
        }
    }
    char *data = ddt_realloc(text->data, text->length, capacity, 1);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void twin_text_raw(twin_text *text, const char *data, size_t length) {
    if (text_reserve(text, length)) {
        memcpy(text->data + text->length, data, length);
        text->length += length;
        text->data[text->length] = '\0';
    }
}

void twin_text_add(twin_text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        text->failed = true;
    } else if (text_reserve(text, (size_t)length)) {
        va_start(arguments, format);
        (void)vsnprintf(text->data + text->length, (size_t)length + 1, format, arguments);
        va_end(arguments);
        text->length += (size_t)length;
    }
}

void twin_text_escaped(twin_text *text, const char *data) {
    for (const char *c = data; *c != '\0'; c++) {
        switch (*c) {
        case '&':
            twin_text_raw(text, "&amp;", 5);
            break;
        case '<':
            twin_text_raw(text, "&lt;", 4);
            break;
        case '>':
            twin_text_raw(text, "&gt;", 4);
            break;
        case '"':
            twin_text_raw(text, "&quot;", 6);
            break;
        case '\'':
            twin_text_raw(text, "&#39;", 5);
            break;
        default:
            /* Control characters are not allowed in XML. */
            twin_text_raw(text, (unsigned char)*c < ' ' ? " " : c, 1);
        }
    }
}

void twin_text_csv(twin_text *text, const char *data) {
    if (strpbrk(data, ",\"\r\n") == NULL) {
        twin_text_raw(text, data, strlen(data));
        return;
    }
    twin_text_raw(text, "\"", 1);
    for (const char *c = data; *c != '\0'; c++) {
        twin_text_raw(text, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
    }
    twin_text_raw(text, "\"", 1);
}

void twin_text_exact(twin_text *text, double value) {
    enum { DIGITS_ALWAYS_EXACT_FROM_TEXT = 15, DIGITS_ALWAYS_EXACT = 17 };
    char buffer[40];
    for (int digits = DIGITS_ALWAYS_EXACT_FROM_TEXT; digits <= DIGITS_ALWAYS_EXACT; digits++) {
        (void)snprintf(buffer, sizeof buffer, "%.*g", digits, value);
        if (strtod(buffer, NULL) == value) {
            break;
        }
    }
    twin_text_raw(text, buffer, strlen(buffer));
}

void twin_text_destroy(twin_text *text) {
    twin_wipe_free(text->data, text->capacity);
    *text = (twin_text){0};
}

ddt_status twin_text_write(ddt_context *ctx, twin_text *text, const char *path) {
    ddt_status status = text->failed ? twin_no_memory(ctx) : ddt_write_text(ctx, path, text->data, text->length);
    twin_text_destroy(text);
    return status;
}
