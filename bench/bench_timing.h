/* What the benchmarks share: medians, processor time, the peak of the multipliers. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_BENCH_TIMING_H
#define DDT_BENCH_TIMING_H

#include "ddt/base.h"

typedef struct bench_timing {
    double median_us;
    double best_us;
    double cpu_us; /* median of the processor time of all threads: what others on the machine disturb least */
} bench_timing;

/* One run after another, `work` handed through: at least runs_min of them and about `seconds`, after one to warm up. */
ddt_status bench_time(ddt_status (*run)(void *work), void *work, double seconds, size_t runs_min, bench_timing *out);

/* Seconds of one 512-bit 52-bit multiply-add when nothing waits for anything; 0 where the processor has none. */
double bench_multiply_add_s(void);

/* Multiply-adds of eight lanes that a transform of 2^log_n residues cannot do without: three a butterfly. */
double bench_ntt_multiply_adds(unsigned log_n);

/* Nanoseconds that a cache line takes from one thread to another and back: what two threads' meetings cost. 0: there is
 * only one. */
double bench_round_trip_ns(int threads);

#endif
