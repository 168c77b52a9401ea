/*
 * Times the ring's limb functions on one thread and prints one JSON object a line: medians, the best, and for the
 * kernels that are bound by 52-bit multiply-adds the share of that unit's peak, which is measured in the same run (so
 * that the clock cancels out).
 *
 * usage: bench_ring [log_n ...]     default 14 15 16; DDT_KERNELS chooses the kernel set
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bench_timing.h"

#include "ddt/ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 41, LIMBS = 16, BITS = 4, LANES = 8 };

static const double bit_sizes[BITS] = {45, 48, 49, 50};

typedef struct bench {
    ddt_ring *ring;
    ddt_baseconv *conversion;
    size_t n;
    size_t m; /* modulus in use */
    uint64_t *limb[3 * LIMBS];
    uint64_t *quotient;
    uint32_t *permutation;
    int64_t *values;
    double peak_s; /* seconds of one vector multiply-add, 0 where the processor has none */
} bench;

typedef struct job {
    const bench *b;
    void (*run)(const bench *);
} job;

static ddt_status run_job(void *work) {
    const job *j = work;
    j->run(j->b);
    return DDT_OK;
}

/* multiply_adds: 52-bit multiply-adds of eight lanes that one run needs at least, 0 where memory is the bound. */
static void measure(const bench *b, const char *what, double multiply_adds, void (*run)(const bench *)) {
    job j = {b, run};
    bench_timing t;
    (void)bench_time(run_job, &j, 0.0, RUNS, &t); /* run_job cannot fail */
    printf("{\"what\": \"%s\", \"kernels\": \"%s\", \"log_n\": %u, \"bits\": %.1f, ", what, ddt_ring_kernels(),
           ddt_ring_log_n(b->ring), bit_sizes[b->m]);
    printf("\"median_us\": %.2f, \"best_us\": %.2f, \"cpu_us\": %.2f", t.median_us, t.best_us, t.cpu_us);
    if (multiply_adds > 0 && b->peak_s > 0) {
        printf(", \"share_of_ifma_peak\": %.3f", multiply_adds * b->peak_s / (1e-6 * t.median_us));
    }
    printf("}\n");
}

static void run_ntt(const bench *b) { ddt_ring_ntt(b->ring, b->m, b->limb[0]); }
static void run_intt(const bench *b) { ddt_ring_intt(b->ring, b->m, b->limb[0]); }
static void run_add(const bench *b) { ddt_ring_add(b->ring, b->m, b->limb[2], b->limb[0], b->limb[1]); }
static void run_mul(const bench *b) { ddt_ring_mul(b->ring, b->m, b->limb[2], b->limb[0], b->limb[1]); }
static void run_mul_add(const bench *b) {
    ddt_ring_mul_add(b->ring, b->m, b->limb[2], b->limb[2], b->limb[0], b->limb[1]);
}
static void run_mul_scalar(const bench *b) { ddt_ring_mul_scalar(b->ring, b->m, b->limb[2], b->limb[0], 12345); }
static void run_sub_mul_scalar(const bench *b) {
    ddt_ring_sub_mul_scalar(b->ring, b->m, b->limb[2], b->limb[0], b->limb[1], 12345);
}
static void run_tensor(const bench *b) {
    ddt_ring_tensor(b->ring, b->m, b->limb[4], b->limb[5], b->limb[6], b->limb[0], b->limb[1], b->limb[2], b->limb[3]);
}
static void run_dot2(const bench *b) {
    const uint64_t *const *limbs = (const uint64_t *const *)b->limb;
    ddt_ring_dot2(b->ring, b->m, b->limb[0], b->limb[1], limbs + 2, limbs + 5, limbs + 8, 3);
}
static void run_permute(const bench *b) { ddt_ring_permute(b->ring, b->limb[1], b->limb[0], b->permutation); }
static void run_change_modulus(const bench *b) {
    ddt_ring_change_modulus(b->ring, b->m, (b->m + 1) % BITS, b->limb[1], b->limb[0]);
}
static void run_from_signed(const bench *b) { ddt_ring_from_signed(b->ring, b->m, b->limb[1], b->values); }
static void run_prepare(const bench *b) {
    ddt_baseconv_prepare(b->conversion, (const uint64_t *const *)(b->limb + LIMBS), b->limb + LIMBS, b->quotient, 0,
                         b->n);
}
static void run_limb(const bench *b) {
    ddt_baseconv_limb(b->conversion, b->m, b->limb[0], (const uint64_t *const *)(b->limb + LIMBS), b->quotient);
}
static void run_limbs(const bench *b) {
    const uint32_t targets[2] = {0, 1};
    ddt_baseconv_limbs(b->conversion, targets, 2, b->limb, (const uint64_t *const *)(b->limb + LIMBS), b->quotient, 0,
                       b->n);
}

static void measure_all(bench *b) {
    double vectors = (double)b->n / LANES;
    double transform = bench_ntt_multiply_adds(ddt_ring_log_n(b->ring));
    for (b->m = 0; b->m < BITS; b->m++) {
        measure(b, "ntt", transform, run_ntt);
        measure(b, "intt", transform, run_intt);
    }
    b->m = 0;
    measure(b, "add", 0, run_add);
    measure(b, "mul", 0, run_mul);
    measure(b, "mul_add", 0, run_mul_add);
    measure(b, "mul_scalar", 0, run_mul_scalar);
    measure(b, "sub_mul_scalar", 0, run_sub_mul_scalar);
    measure(b, "tensor", 0, run_tensor);
    measure(b, "dot2, 3 terms", 0, run_dot2);
    measure(b, "permute", 0, run_permute);
    measure(b, "change_modulus", 0, run_change_modulus);
    measure(b, "from_signed", 0, run_from_signed);
    measure(b, "baseconv_prepare, 14 limbs", 4.0 * 14 * vectors, run_prepare);
    measure(b, "baseconv_limb, 14 -> 1", 2.0 * 15 * vectors, run_limb);
    measure(b, "baseconv_limbs, 14 -> 2", 2.0 * 2 * 15 * vectors, run_limbs);
}

static ddt_status set_up(ddt_context *ctx, unsigned log_n, bench *b) {
    enum { SOURCES = 14 };
    uint64_t moduli[BITS + SOURCES];
    uint32_t from[SOURCES];
    const uint32_t to[BITS] = {0, 1, 2, 3};
    for (size_t i = 0; i < BITS; i++) {
        /* a little below the power of two: the name says the size of the residues */
        ddt_status status = ddt_ring_find_primes(ctx, log_n + 1, i + 1 < BITS ? bit_sizes[i] - 0.01 : bit_sizes[i], 1,
                                                 moduli, i, &moduli[i]);
        if (status != DDT_OK) {
            return status;
        }
    }
    ddt_status status = ddt_ring_find_primes(ctx, log_n + 1, 50, SOURCES, moduli, BITS, moduli + BITS);
    if (status == DDT_OK) {
        status = ddt_ring_create(ctx, log_n, moduli, BITS + SOURCES, &b->ring);
    }
    for (uint32_t k = 0; k < SOURCES; k++) {
        from[k] = BITS + k;
    }
    if (status == DDT_OK) {
        status = ddt_baseconv_create(ctx, b->ring, from, SOURCES, to, BITS, &b->conversion);
    }
    return status;
}

static bool fill(bench *b) {
    b->n = ddt_ring_n(b->ring);
    b->quotient = ddt_calloc(b->n, sizeof *b->quotient);
    b->permutation = ddt_calloc(b->n, sizeof *b->permutation);
    b->values = ddt_calloc(b->n, sizeof *b->values);
    bool complete = b->quotient != NULL && b->permutation != NULL && b->values != NULL;
    for (size_t i = 0; i < sizeof b->limb / sizeof b->limb[0]; i++) {
        b->limb[i] = ddt_calloc(b->n, sizeof *b->limb[i]);
        for (size_t j = 0; b->limb[i] != NULL && j < b->n; j++) {
            b->limb[i][j] = (j * UINT64_C(0x9e3779b97f4a7c15) + i) >> 20; /* below 2^44: a residue of every modulus */
        }
        complete = complete && b->limb[i] != NULL;
    }
    if (complete) {
        ddt_ring_galois_permutation(b->ring, ddt_ring_galois_rotation(b->ring, 1), b->permutation);
    }
    return complete;
}

static void tear_down(bench *b) {
    for (size_t i = 0; i < sizeof b->limb / sizeof b->limb[0]; i++) {
        ddt_free(b->limb[i]);
    }
    ddt_free(b->quotient);
    ddt_free(b->permutation);
    ddt_free(b->values);
    ddt_baseconv_destroy(b->conversion);
    ddt_ring_destroy(b->ring);
}

static int run_degree(ddt_context *ctx, unsigned log_n, double peak_s) {
    bench b = {.peak_s = peak_s};
    double begin = ddt_clock_s();
    ddt_status status = set_up(ctx, log_n, &b);
    double created = ddt_clock_s() - begin;
    if (status != DDT_OK || !fill(&b)) {
        fprintf(stderr, "bench_ring: %s %s\n", ddt_status_text(status), ddt_error_detail(ctx));
        tear_down(&b);
        return 1;
    }
    printf("{\"what\": \"create, %zu moduli\", \"kernels\": \"%s\", \"log_n\": %u, \"seconds\": %.4f}\n",
           ddt_ring_count(b.ring), ddt_ring_kernels(), log_n, created);
    measure_all(&b);
    tear_down(&b);
    return 0;
}

int main(int argc, char **argv) {
    static const unsigned defaults[] = {14, 15, 16};
    ddt_context *ctx = NULL;
    for (int i = 1; i < argc; i++) {
        if (strspn(argv[i], "0123456789") != strlen(argv[i])) {
            const bool is_help = strcmp(argv[i], "--help") == 0;
            (void)fprintf(is_help ? stdout : stderr,
                          "usage: bench_ring [log_n ...]: times the arithmetic at these ring degrees (14 15 16), as "
                          "JSON; DDT_KERNELS chooses the kernels.\n");
            return is_help ? 0 : 2;
        }
    }
    if (ddt_context_create(&ctx) != DDT_OK) {
        return 1;
    }
    double peak_s = bench_multiply_add_s();
    printf("{\"what\": \"peak\", \"ifma_512_per_second\": %.3e}\n", peak_s > 0 ? 1 / peak_s : 0);
    int failed = 0;
    size_t count = argc > 1 ? (size_t)argc - 1 : sizeof defaults / sizeof defaults[0];
    for (size_t i = 0; i < count && failed == 0; i++) {
        failed = run_degree(ctx, argc > 1 ? (unsigned)strtoul(argv[i + 1], NULL, 10) : defaults[i], peak_s);
    }
    ddt_context_destroy(ctx);
    return failed;
}
