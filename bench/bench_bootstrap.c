/*
 * Times bootstrapping and measures what it costs and leaves: precision over all slots against the message, levels,
 * keys,
 * memory. SPDX-License-Identifier: Apache-2.0
 */
#include "bench_bootstrap.h"

#include "bench_timing.h"

#include <complex.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { RUNS_MIN = 3, SPARSE_LOG_SLOTS = 12 };

const char *const bench_bootstrap_names[] = {"bootstrap", "bootstrap_real", "bootstrap_sparse", NULL};

/* 12 levels of 41 bits, three of them for slots-to-coefficients; 15 levels of 50 bits above. */
static const ddt_ckks_literal parameters = {16, 12, 50, 41, 9, 15};

typedef struct work {
    ddt_context *ctx;
    bool is_real;
    ddt_bootstrap_literal literal;
    ddt_ckks_params *params;
    ddt_secret_key *secret;
    ddt_bootstrapper *bootstrapper;
    ddt_eval_keys *keys;
    ddt_evaluator *ev;
    size_t slots;
    double complex *message;
    double complex *decoded;
    ddt_ciphertext in;
    ddt_ciphertext out;
    double setup_s;
} work;

typedef struct result {
    bench_timing timing;
    double mean_bits;
    double worst_bits;
} result;

static ddt_status open_keys(work *w, int threads) {
    const double start = ddt_clock_s();
    ddt_status status = ddt_ckks_params_create(w->ctx, &parameters, &w->params);
    if (status == DDT_OK) {
        status = ddt_secret_key_generate(w->ctx, w->params, &w->secret);
    }
    if (status == DDT_OK) {
        status = ddt_bootstrapper_create(w->ctx, w->params, &w->literal, &w->bootstrapper);
    }
    if (status == DDT_OK) {
        status = ddt_eval_keys_create(w->ctx, w->params, &w->keys);
    }
    if (status == DDT_OK) {
        status = ddt_bootstrap_keys_generate(w->ctx, w->secret, w->bootstrapper, w->keys);
    }
    w->setup_s = ddt_clock_s() - start;
    return status == DDT_OK ? ddt_evaluator_create(w->ctx, w->params, w->keys, threads, &w->ev) : status;
}

/* Uniform in [-1, 1): SplitMix64. */
static double uniform(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (double)(int64_t)(z ^ (z >> 31)) * 0x1p-63;
}

static ddt_status open_data(work *w) {
    const unsigned level = ddt_bootstrap_input_level(w->bootstrapper);
    ddt_plaintext plain = {0};
    uint64_t state = 1;
    w->slots = w->literal.log_slots == 0 ? ddt_ckks_slots(w->params) : (size_t)1 << w->literal.log_slots;
    w->message = ddt_calloc(w->slots, sizeof *w->message);
    w->decoded = ddt_calloc(ddt_ckks_slots(w->params), sizeof *w->decoded);
    if (w->message == NULL || w->decoded == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t j = 0; j < w->slots; j++) {
        double *parts = (double *)&w->message[j];
        parts[0] = uniform(&state);
        parts[1] = w->is_real ? 0.0 : uniform(&state);
    }
    ddt_status status = ddt_ckks_encode(w->ctx, w->params, w->message, w->slots, level,
                                        ddt_ckks_canonical_scale(w->params, level), &plain);
    if (status == DDT_OK) {
        status = ddt_encrypt_secret(w->ctx, w->secret, &plain, &w->in);
    }
    ddt_plaintext_destroy(&plain);
    return status == DDT_OK
               ? ddt_ciphertext_create(w->ctx, w->params, ddt_bootstrap_output_level(w->bootstrapper), 2, &w->out)
               : status;
}

static ddt_status run(void *opaque) {
    work *w = opaque;
    return w->is_real ? ddt_eval_bootstrap_real(w->ev, w->bootstrapper, &w->in, &w->out)
                      : ddt_eval_bootstrap(w->ev, w->bootstrapper, &w->in, &w->out);
}

static ddt_status measure(work *w, double seconds, result *r) {
    ddt_status status = bench_time(run, w, seconds, RUNS_MIN, &r->timing);
    if (status != DDT_OK) {
        return status;
    }
    ddt_plaintext plain;
    status = ddt_decrypt(w->ctx, w->secret, &w->out, &plain);
    if (status == DDT_OK) {
        status = ddt_ckks_decode(w->ctx, w->params, &plain, w->decoded);
        ddt_plaintext_destroy(&plain);
    }
    const size_t all = ddt_ckks_slots(w->params);
    double logs = 0.0;
    double worst = 0.0;
    for (size_t j = 0; j < all; j++) {
        const double complex difference = w->decoded[j] - w->message[j % w->slots];
        const double error = w->is_real ? fabs(creal(difference)) : cabs(difference);
        logs += log2(error + 0x1p-60);
        worst = error > worst ? error : worst;
    }
    r->mean_bits = -logs / (double)all;
    r->worst_bits = -log2(worst);
    return status;
}

/* Seeded halves, packed to 50 bits: what a file of the keys takes. */
static size_t file_bytes(const work *w) { return ddt_eval_keys_bytes(w->keys) / 2 / 64 * 50; }

static void print(const work *w, const char *name, int threads, const result *r, bool json, bool *first) {
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    const size_t peak = (size_t)usage.ru_maxrss * 1024;
    const unsigned left = ddt_bootstrap_output_level(w->bootstrapper) - ddt_bootstrap_input_level(w->bootstrapper);
    if (json) {
        printf(
            "%s\n  {\"op\": \"%s\", \"log_n\": %u, \"slots\": %zu, \"threads\": %d, \"kernels\": \"%s\", "
            "\"levels_left\": %u, \"scale_bits\": %u, \"log2_qp\": %.1f, \"mean_bits\": %.2f, \"min_bits\": %.2f, "
            "\"eval_key_bytes\": %zu, \"eval_key_memory_bytes\": %zu, \"matrix_bytes\": %zu, \"peak_rss_bytes\": %zu, "
            "\"setup_s\": %.2f, \"median_us\": %.0f, \"best_us\": %.0f}",
            *first ? "" : ",", name, parameters.log_n, w->slots, threads, ddt_ring_kernels(), left,
            parameters.scale_bits, ddt_ckks_log2_qp(w->params), r->mean_bits, r->worst_bits, file_bytes(w),
            ddt_eval_keys_bytes(w->keys), ddt_bootstrapper_bytes(w->bootstrapper), peak, w->setup_s,
            r->timing.median_us, r->timing.best_us);
    } else {
        printf("%-18s 2^%u, %zu slots, %d threads, %s: %.3f s (best %.3f), %u levels of %u bits left, %.2f bits mean, "
               "%.2f worst, keys %.2f GiB, peak %.2f GiB, set-up %.1f s\n",
               name, parameters.log_n, w->slots, threads, ddt_ring_kernels(), 1e-6 * r->timing.median_us,
               1e-6 * r->timing.best_us, left, parameters.scale_bits, r->mean_bits, r->worst_bits,
               (double)file_bytes(w) / 0x1p30, (double)peak / 0x1p30, w->setup_s);
    }
    (void)fflush(stdout);
    *first = false;
}

static void close_work(work *w) {
    ddt_ciphertext_destroy(&w->in);
    ddt_ciphertext_destroy(&w->out);
    ddt_free(w->message);
    ddt_free(w->decoded);
    ddt_evaluator_destroy(w->ev);
    ddt_eval_keys_destroy(w->keys);
    ddt_bootstrapper_destroy(w->bootstrapper);
    ddt_secret_key_destroy(w->secret);
    ddt_ckks_params_destroy(w->params);
}

ddt_status bench_bootstrap(ddt_context *ctx, const char *name, int threads, double seconds, bool json, bool *first) {
    work w = {.ctx = ctx, .is_real = strcmp(name, "bootstrap_real") == 0};
    result r = {0};
    w.literal.log_slots = strcmp(name, "bootstrap_sparse") == 0 ? SPARSE_LOG_SLOTS : 0;
    ddt_status status = open_keys(&w, threads);
    if (status == DDT_OK) {
        status = open_data(&w);
    }
    if (status == DDT_OK) {
        status = measure(&w, seconds, &r);
    }
    if (status == DDT_OK) {
        print(&w, name, threads, &r, json, first);
    }
    close_work(&w);
    return status;
}
