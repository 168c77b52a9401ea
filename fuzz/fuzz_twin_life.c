/*
 * Files of living twins as the custodian reads them before anything is decrypted: heading, sealed identifiers, clock;
 * as
 * a twin and as an update. SPDX-License-Identifier: Apache-2.0
 */
#include "forge.h"

#include "twin_internal.h"

#include <math.h>
#include <stdlib.h>

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static void read_as(const uint8_t *data, size_t size, ddt_wire_kind kind) {
    size_t length = 0;
    uint8_t *bytes = forge_repair(data, size, kind, &length);
    ddt_context *ctx = forge_context();
    ddt_reader *reader = NULL;
    ddt_digest digest;
    uint64_t batches = 0;
    uint32_t items = 0;
    uint8_t *note = NULL;
    size_t note_length = 0;
    ddt_wire_clock clock = {0};
    ddt_status status = bytes == NULL ? DDT_ERR_MEMORY : ddt_reader_open_memory(ctx, bytes, length, kind, &reader);
    if (status == DDT_OK) {
        status = ddt_reader_heading(reader, &digest, &batches, &items);
    }
    if (status == DDT_OK) {
        /* The plan that the file names: what follows is what matters here. */
        ddt_twin_plan plan = {.digest = digest};
        ddt_reader *again = NULL;
        require(ddt_reader_open_memory(ctx, bytes, length, kind, &again) == DDT_OK);
        if (twin_life_heading(ctx, &plan, again, &note, &note_length, &clock) == DDT_OK) {
            require(isfinite(clock.from_h) && isfinite(clock.to_h) && clock.from_h <= clock.to_h);
            require(batches == 1 && items == 1 && clock.updates < UINT64_MAX && clock.steps < UINT64_MAX);
        }
        ddt_reader_close(again);
    }
    ddt_reader_close(reader);
    ddt_context_clear(ctx);
    ddt_free(note);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_as(data, size, DDT_WIRE_LIFE);
    read_as(data, size, DDT_WIRE_UPDATE);
    return 0;
}
