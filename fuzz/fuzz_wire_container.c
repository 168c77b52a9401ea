/* The reader on bytes as they come: header, heads, digests, end record.
 * SPDX-License-Identifier: Apache-2.0 */
#include "forge.h"

#include <stdlib.h>
#include <string.h>

/* Reads sections of one byte to the end or the first failure; what lies inside larger ones is the work of
 * fuzz_wire_values. */
static void walk(ddt_reader *reader) {
    char tag[4];
    uint8_t byte = 0;
    while (ddt_reader_peek(reader, tag) == DDT_OK) {
        if (memcmp(tag, "END ", sizeof tag) == 0) {
            ddt_digest digest;
            if (ddt_reader_finish(reader) == DDT_OK && ddt_reader_digest(reader, &digest) != DDT_OK) {
                abort();
            }
            return;
        }
        if (ddt_reader_begin(reader, tag, SIZE_MAX) != DDT_OK) {
            return;
        }
        if (ddt_reader_u8(reader, &byte) != DDT_OK || ddt_reader_end(reader) != DDT_OK) {
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int kind = DDT_WIRE_PLAN; kind <= DDT_WIRE_KIND_LAST; kind++) {
        ddt_reader *reader = NULL;
        if (ddt_reader_open_memory(forge_context(), data, size, (ddt_wire_kind)kind, &reader) == DDT_OK) {
            walk(reader);
            ddt_reader_close(reader);
        }
    }
    return 0;
}
