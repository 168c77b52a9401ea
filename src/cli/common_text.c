/* JSON strings, digests and sizes as text. SPDX-License-Identifier: Apache-2.0 */
#include "common.h"

void cli_json_string(FILE *stream, const char *text) {
    (void)fputc('"', stream);
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            (void)fprintf(stream, "\\%c", *c);
        } else if (*c < ' ') {
            (void)fprintf(stream, "\\u%04x", *c);
        } else {
            (void)fputc(*c, stream);
        }
    }
    (void)fputc('"', stream);
}

void cli_digest_text(const ddt_digest *digest, char text[CLI_DIGEST_TEXT]) {
    enum { HEX_PER_BYTE = 2 };
    for (size_t i = 0; i < DDT_WIRE_DIGEST_BYTES; i++) {
        (void)snprintf(text + HEX_PER_BYTE * i, HEX_PER_BYTE + 1, "%02x", digest->bytes[i]);
    }
}

const char *cli_size_text(uint64_t bytes, char text[CLI_SIZE_TEXT]) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    const double step = 1024;
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= step && unit + 1 < sizeof units / sizeof units[0]) {
        value /= step;
        unit++;
    }
    (void)snprintf(text, CLI_SIZE_TEXT, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text;
}
