/*
 * Encoded public vectors, kept between instructions and batches within a memory bound.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CIRCUIT_ENCODE_CACHE_H
#define DDT_CIRCUIT_ENCODE_CACHE_H

#include "plan.h"

/* What encoded vectors may take; beyond it they are encoded each time. */
#define PLAN_CACHE_BYTES_MAX (UINT64_C(512) << 20)

/* uses[v] += how often the program encodes vector v. */
void plan_count_vector_uses(const ddt_plan *plan, uint32_t *uses);

/* Makes the plan's cache on first use, and forgets what was encoded for another batch. Not while a run is under way. */
DDT_MUST_CHECK ddt_status plan_cache_begin(ddt_context *ctx, ddt_plan *plan, size_t batch);

/*
 * The vector encoded for this batch at (level, scale): *out points into the cache or to `scratch`, which has room for
 * the level and is overwritten. slots: room for lanes_per_batch * block values. Safe to call from several threads with
 * scratch and slots of their own.
 */
DDT_MUST_CHECK ddt_status plan_cache_get(ddt_context *ctx, ddt_plan *plan, size_t batch, uint32_t vector,
                                         unsigned level, double scale, ddt_plaintext *scratch, double *slots,
                                         const ddt_plaintext **out);

#endif
