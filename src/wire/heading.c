/* The heading that ties keys, twins and results to their plan. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/wire.h"

enum { HEADING_BYTES = DDT_WIRE_DIGEST_BYTES + 8 + 4 };

ddt_status ddt_writer_heading(ddt_writer *writer, const ddt_digest *plan, uint64_t batches, uint32_t items) {
    ddt_writer_begin(writer, "HEAD");
    ddt_writer_bytes(writer, plan->bytes, sizeof plan->bytes);
    ddt_writer_u64(writer, batches);
    ddt_writer_u32(writer, items);
    return ddt_writer_end(writer);
}

ddt_status ddt_reader_heading(ddt_reader *reader, ddt_digest *plan, uint64_t *batches, uint32_t *items) {
    *plan = (ddt_digest){0};
    *batches = 0;
    *items = 0;
    ddt_status status = ddt_reader_begin(reader, "HEAD", HEADING_BYTES);
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, plan->bytes, sizeof plan->bytes);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u64(reader, batches);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u32(reader, items);
    }
    return status == DDT_OK ? ddt_reader_end(reader) : status;
}
