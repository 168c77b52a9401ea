/* Which kernel set runs. SPDX-License-Identifier: Apache-2.0 */
#include "ring_internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Best first. */
static const ddt_kernels *const kernel_sets[] = {
#ifdef DDT_HAVE_X86_KERNELS
    &ddt_kernels_avx512ifma,
    &ddt_kernels_avx2,
#endif
    &ddt_kernels_scalar,
};

static const size_t kernel_set_count = sizeof kernel_sets / sizeof kernel_sets[0];

static _Atomic(const ddt_kernels *) active = NULL;

static const ddt_kernels *best_set(void) {
    for (size_t i = 0; i + 1 < kernel_set_count; i++) {
        if (kernel_sets[i]->supported()) {
            return kernel_sets[i];
        }
    }
    return &ddt_kernels_scalar;
}

static ddt_status find_set(ddt_context *ctx, const char *name, const ddt_kernels **out) {
    for (size_t i = 0; i < kernel_set_count; i++) {
        if (strcmp(kernel_sets[i]->name, name) == 0) {
            if (!kernel_sets[i]->supported()) {
                return ddt_fail(ctx, DDT_ERR_UNSUPPORTED, "This processor cannot run the %s kernels.", name);
            }
            *out = kernel_sets[i];
            return DDT_OK;
        }
    }
    if (strcmp(name, "avx2") == 0 || strcmp(name, "avx512ifma") == 0) {
        return ddt_fail(ctx, DDT_ERR_UNSUPPORTED, "This build has no %s kernels.", name);
    }
    return ddt_fail(ctx, DDT_ERR_USAGE, "There are no kernels called \"%s\": scalar, avx2, avx512ifma.", name);
}

ddt_status ddt_ring_select_kernels(ddt_context *ctx, const char *name) {
    const ddt_kernels *chosen = NULL;
    if (name == NULL) {
        name = getenv("DDT_KERNELS");
    }
    if (name == NULL || *name == '\0') {
        chosen = best_set();
    } else {
        ddt_status status = find_set(ctx, name, &chosen);
        if (status != DDT_OK) {
            return status;
        }
    }
    atomic_store(&active, chosen);
    return DDT_OK;
}

const ddt_kernels *ddt_kernels_active(ddt_context *ctx) {
    const ddt_kernels *chosen = atomic_load(&active);
    if (chosen == NULL && ddt_ring_select_kernels(ctx, NULL) == DDT_OK) {
        chosen = atomic_load(&active);
    }
    return chosen;
}

const char *ddt_ring_kernels(void) {
    const ddt_kernels *chosen = ddt_kernels_active(NULL);
    return chosen == NULL ? "none" : chosen->name;
}
