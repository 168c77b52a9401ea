/*
 * One context for all the tests of a program, made before the first and destroyed after the last: setup and
 * teardown are those of the group.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CONTEXT_TEST_H
#define DDT_CONTEXT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ddt/base.h"

static ddt_context *ctx;

static inline int setup(void **state) {
    (void)state;
    return ddt_context_create(&ctx) == DDT_OK ? 0 : -1;
}

static inline int teardown(void **state) {
    (void)state;
    ddt_context_destroy(ctx);
    return 0;
}

/* Fails the test with the context's sentence unless the call went well. */
static inline void require(ddt_status status) {
    if (status != DDT_OK) {
        fail_msg("%s: %s", ddt_status_name(status), ddt_error_detail(ctx));
    }
}

#endif
