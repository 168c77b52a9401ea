/*
 * Targets and products as a command line gives them: the first line is one, the second the other. What is accepted is
 * finite and within its limits. SPDX-License-Identifier: Apache-2.0
 */
#include "forge.h"

#include "ddt/solve/recommend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static void read_product(ddt_context *ctx, const char *text) {
    ddt_recommend_product product;
    if (ddt_recommend_parse_product(ctx, text, &product) != DDT_OK) {
        require(ddt_error_detail(ctx)[0] != '\0');
        return;
    }
    require(product.interval_count >= 1 && product.interval_count <= DDT_RECOMMEND_INTERVALS_MAX);
    /* None of these means the usual one. */
    require(product.infusion_count <= DDT_RECOMMEND_INFUSIONS_MAX);
    require(product.loading_count <= DDT_RECOMMEND_LOADINGS_MAX);
    require(isfinite(product.dose_low) && isfinite(product.dose_high) && product.dose_low <= product.dose_high);
    const size_t count = ddt_recommend_candidate_count(&product);
    for (size_t i = 0; i < count; i += count / 16 + 1) {
        const ddt_recommend_candidate c = ddt_recommend_candidate_at(&product, i);
        require(isfinite(c.dose) && c.interval_h > 0.0 && c.infusion_h >= 0.0 && c.loading > 0.0);
    }
}

static void read_targets(ddt_context *ctx, const char *text) {
    ddt_recommend_targets targets;
    if (ddt_recommend_parse_targets(ctx, text, NULL, &targets) != DDT_OK) {
        require(ddt_error_detail(ctx)[0] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ddt_context *ctx = forge_context();
    char *text = malloc(size + 2);
    require(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    text[size + 1] = '\0';
    char *second = text + strcspn(text, "\n");
    if (*second != '\0') {
        *second++ = '\0';
    }
    read_targets(ctx, text);
    ddt_context_clear(ctx);
    read_product(ctx, second);
    ddt_context_clear(ctx);
    free(text);
    return 0;
}
