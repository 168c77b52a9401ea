/*
 * What readers of a plan's sections share. SPDX-License-Identifier: Apache-2.0
 */
#include "section.h"

ddt_status section_bad(ddt_context *ctx, const ddt_reader *reader, const char *part, const char *what) {
    return ddt_fail(ctx, DDT_ERR_FORMAT, "'%s': the %s of the plan is inconsistent: %s.", ddt_reader_path(reader), part,
                    what);
}

ddt_status section_size(ddt_reader *reader, size_t *out) {
    uint32_t value = 0;
    ddt_status status = ddt_reader_u32(reader, &value);
    *out = value;
    return status;
}

ddt_status section_numbers(ddt_reader *reader, double *values, size_t count) {
    ddt_status status = DDT_OK;
    for (size_t i = 0; i < count && status == DDT_OK; i++) {
        status = ddt_reader_f64(reader, &values[i]);
    }
    return status;
}
