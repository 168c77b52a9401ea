/* The heading and the note of keys, twins and results. SPDX-License-Identifier: Apache-2.0 */
#include "forge.h"

#include <stdlib.h>

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ddt_context *ctx = forge_context();
    ddt_reader *reader = NULL;
    ddt_digest plan;
    uint64_t batches = 0;
    uint32_t items = 0;
    uint8_t *note = NULL;
    size_t note_length = 0;
    size_t length = 0;
    uint8_t *file = forge_repair(data, size, DDT_WIRE_TWIN, &length);
    if (file == NULL) {
        return 0;
    }
    require(ddt_reader_open_memory(ctx, file, length, DDT_WIRE_TWIN, &reader) == DDT_OK);
    if (ddt_reader_heading(reader, &plan, &batches, &items) == DDT_OK) {
        if (ddt_reader_note(ctx, reader, &note, &note_length) == DDT_OK) {
            require(note_length <= DDT_WIRE_NOTE_MAX && (note != NULL || note_length == 0));
        } else {
            require(note == NULL);
        }
    }
    ddt_free(note);
    ddt_reader_close(reader);
    free(file);
    return 0;
}
