/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_timing.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { RUNS_MAX = 1000, LANES = 8, PEAK_RUNS = 41, PEAK_ROUNDS = 20000, IN_FLIGHT = 8 };

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double cpu_s(void) {
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

ddt_status bench_time(ddt_status (*run)(void *work), void *work, double seconds, size_t runs_min, bench_timing *out) {
    static double wall[RUNS_MAX];
    static double cpu[RUNS_MAX];
    size_t count = 0;
    ddt_status status = run(work);
    const double begin = ddt_clock_s();
    while (status == DDT_OK && count < RUNS_MAX && (count < runs_min || ddt_clock_s() - begin < seconds)) {
        const double cpu_start = cpu_s();
        const double start = ddt_clock_s();
        status = run(work);
        wall[count] = 1e6 * (ddt_clock_s() - start);
        cpu[count++] = 1e6 * (cpu_s() - cpu_start);
    }
    *out = (bench_timing){0.0, 0.0, 0.0};
    if (count > 0) {
        qsort(wall, count, sizeof wall[0], compare);
        qsort(cpu, count, sizeof cpu[0], compare);
        *out = (bench_timing){wall[count / 2], wall[0], cpu[count / 2]};
    }
    return status;
}

double bench_multiply_add_s(void) {
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx512ifma")) {
        return 0.0;
    }
    double best = 1.0;
    for (int run = 0; run < PEAK_RUNS; run++) {
        const double begin = ddt_clock_s();
        for (int i = 0; i < PEAK_ROUNDS; i++) {
            __asm__ volatile("vpmadd52luq %%zmm0, %%zmm1, %%zmm2\n\tvpmadd52luq %%zmm0, %%zmm1, %%zmm3\n\t"
                             "vpmadd52luq %%zmm0, %%zmm1, %%zmm4\n\tvpmadd52luq %%zmm0, %%zmm1, %%zmm5\n\t"
                             "vpmadd52luq %%zmm0, %%zmm1, %%zmm6\n\tvpmadd52luq %%zmm0, %%zmm1, %%zmm7\n\t"
                             "vpmadd52luq %%zmm0, %%zmm1, %%zmm8\n\tvpmadd52luq %%zmm0, %%zmm1, %%zmm9"
                             :
                             :
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9");
        }
        const double each = (ddt_clock_s() - begin) / ((double)IN_FLIGHT * PEAK_ROUNDS);
        best = each < best ? each : best;
    }
    return best;
#else
    return 0.0;
#endif
}

double bench_ntt_multiply_adds(unsigned log_n) {
    const double butterflies = (double)((size_t)1 << log_n) / (2.0 * LANES) * log_n;
    return 3.0 * butterflies;
}

enum { TURNS = 40, LINE = 64 };

/* Two threads hand a number to and fro. */
static double hand_over_s(void) {
    _Alignas(LINE) atomic_int turn;
    double seconds = 0.0;
    atomic_init(&turn, 0);
#pragma omp parallel num_threads(2)
    {
        const int me = omp_get_thread_num();
        const double begin = ddt_clock_s();
        for (int i = me; i < TURNS && omp_get_num_threads() == 2; i += 2) {
            while (atomic_load_explicit(&turn, memory_order_acquire) != i) {
            }
            atomic_store_explicit(&turn, i + 1, memory_order_release);
        }
        if (me == 0) {
            seconds = ddt_clock_s() - begin;
        }
    }
    return seconds;
}

double bench_round_trip_ns(int threads) {
    enum { BURSTS = 100 };
    const double until = ddt_clock_s() + 0.02; /* s */
    double best = 0.0;
    for (int burst = 0; threads > 1 && burst < BURSTS && (burst == 0 || ddt_clock_s() < until); burst++) {
        const double each = 1e9 * hand_over_s() / (TURNS / 2.0);
        best = burst == 0 || each < best ? each : best;
    }
    return best;
}
