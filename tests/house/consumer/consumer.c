/* A program outside the tree: public headers and an installed library only.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ddt/base.h>
#include <ddt/wire.h>

#include <stdio.h>

int main(void) {
    ddt_context *ctx = NULL;
    if (ddt_context_create(&ctx) != DDT_OK) {
        return 1;
    }
    ddt_reader *reader = NULL;
    ddt_status status = ddt_reader_open_memory(ctx, "", 0, DDT_WIRE_PLAN, &reader);
    (void)printf("%s: %s\n", ddt_status_name(status), ddt_error_detail(ctx));
    ddt_context_destroy(ctx);
    return status == DDT_ERR_FORMAT ? 0 : 1;
}
