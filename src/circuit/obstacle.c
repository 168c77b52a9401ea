/* Why the planner's tries failed, told by the one that came nearest to a plan. SPDX-License-Identifier: Apache-2.0 */
#include "obstacle.h"

#include <stdio.h>

/* What is missing: where security is the limit, beyond it. */
static double excess(const obstacle *o) {
    return o->kind == OBSTACLE_MODULUS ? o->amount - (double)o->allowed : o->amount;
}

void obstacle_note(obstacle *nearest, const obstacle *next) {
    bool later = next->kind > nearest->kind;
    if (next->refreshes != nearest->refreshes) {
        later = next->refreshes || nearest->kind == OBSTACLE_NONE;
    } else if (next->kind == nearest->kind) {
        later = excess(next) < excess(nearest);
    }
    if (later) {
        *nearest = *next;
    }
}

static ddt_status fail_modulus(ddt_context *ctx, const obstacle *o, double largest_output) {
    char boot[48] = "";
    if (o->boot > 0) {
        (void)snprintf(boot, sizeof boot, " (refreshed), %u more of bootstrapping", o->boot);
    }
    return ddt_fail(
        ctx, DDT_ERR_CAPACITY,
        "The circuit does not fit: its %u levels%s and outputs up to %.3g need a modulus of about %.0f bits at scale "
        "2^%u, and ring degree 2^%u is secure up to %u; a larger ring, fewer levels, a larger target error or a "
        "smaller block would help.",
        o->depth, boot, largest_output, o->amount, o->scale, o->log_n, o->allowed);
}

ddt_status obstacle_fail(ddt_context *ctx, const obstacle *o, double largest_output, double most_key_bytes) {
    const double gib = 0x1p30;
    switch (o->kind) {
    case OBSTACLE_BLOCK:
        return ddt_fail(ctx, DDT_ERR_CAPACITY,
                        "The circuit does not fit: its blocks of %.0f slots are more than ring degree 2^%u has; a "
                        "smaller block or a larger ring would help.",
                        o->amount, o->log_n);
    case OBSTACLE_PRIMES:
        return ddt_fail(ctx, DDT_ERR_CAPACITY,
                        "The circuit does not fit: its %u levels, %u more of bootstrapping, take %.0f primes, and a "
                        "modulus may have %d; fewer levels would help.",
                        o->depth, o->boot, o->amount, DDT_CKKS_LEVELS_MAX + 1);
    case OBSTACLE_CUTS:
        return ddt_fail(ctx, DDT_ERR_CAPACITY,
                        "The circuit does not fit: at most %u levels are left beside bootstrapping in ring degree "
                        "2^%u, and the places where it may be refreshed lie further apart.",
                        o->depth, o->log_n);
    case OBSTACLE_HEADROOM:
        return ddt_fail(ctx, DDT_ERR_CAPACITY,
                        "The circuit does not fit: outputs up to %.3g take %.0f bits above the scale of 2^%u, more "
                        "than the lowest primes hold; outputs in other units would help.",
                        largest_output, o->amount, o->scale);
    case OBSTACLE_KEYS:
        return ddt_fail(ctx, DDT_ERR_CAPACITY,
                        "The circuit does not fit: refreshed, with %u levels at scale 2^%u in ring degree 2^%u, its "
                        "bootstraps need keys of %.1f GiB of memory, and %.0f are the limit; fewer levels or a larger "
                        "target error would help.",
                        o->depth, o->scale, o->log_n, o->amount / gib, most_key_bytes / gib);
    case OBSTACLE_MODULUS:
        return fail_modulus(ctx, o, largest_output);
    case OBSTACLE_NONE:
        break;
    }
    return ddt_fail(ctx, DDT_ERR_CAPACITY, "The circuit does not fit: no parameters were found for it.");
}
