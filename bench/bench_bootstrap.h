/* The bootstrapping benchmark of ddtwin-bench. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_BENCH_BOOTSTRAP_H
#define DDT_BENCH_BOOTSTRAP_H

#include "ddt/custody.h"

/* Names that bench_bootstrap knows; NULL at the end. */
extern const char *const bench_bootstrap_names[];

/*
 * Runs the named benchmark with secure parameters at 2^16 on `threads` threads for about `seconds` (at least three
 * times): "bootstrap" (all slots, complex), "bootstrap_real" (all slots), "bootstrap_sparse" (2^12 slots). Prints one
 * JSON object, behind a comma unless *first, or a line of text.
 */
ddt_status bench_bootstrap(ddt_context *ctx, const char *name, int threads, double seconds, bool json, bool *first);

#endif
