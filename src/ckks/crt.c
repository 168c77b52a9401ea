/*
 * Exact recombination of residues into centred integers, as doubles or as sums of two.
 *
 * Messages are far smaller than the modulus, so two limbs nearly always hold the whole value: it is recombined from q_0
 * and q_1 and its residues modulo every other prime are compared with the limbs given. If one coefficient disagrees,
 * every limb is recombined in multiword arithmetic. Either way the result is the centred representative modulo
 * q_0...q_l. SPDX-License-Identifier: Apache-2.0
 */
#include "ckks_internal.h"

#include <math.h>
#include <omp.h>
#include <sodium.h>
#include <string.h>

typedef unsigned __int128 u128;

enum { WORDS_MAX = 50 }; /* (DDT_CKKS_LEVELS_MAX + 1) * 50 bits, plus one word of headroom */

static int64_t centre(uint64_t residue, uint64_t q) {
    return residue > q / 2 ? (int64_t)residue - (int64_t)q : (int64_t)residue;
}

/* low[j] + q0 * high[j], high centred modulo q1: the centred value modulo q0 q1. */
static void combine_two(const ddt_ckks_params *params, const uint64_t *limbs, int64_t *low, int64_t *high, size_t n) {
    const ddt_ring *ring = params->ring;
    const uint64_t q0 = ddt_ring_modulus(ring, 0);
    const uint64_t q1 = ddt_ring_modulus(ring, 1);
    const uint64_t inverse = ddt_ring_scalar_inverse(ring, 1, q0 % q1);
    for (size_t j = 0; j < n; j++) {
        low[j] = centre(limbs[j], q0);
        /* |low| < 2^49 and q1 may be smaller than q0: reduce before subtracting. */
        int64_t difference = (int64_t)limbs[n + j] - low[j] % (int64_t)q1;
        difference += difference < 0 ? (int64_t)q1 : 0;
        difference -= difference >= (int64_t)q1 ? (int64_t)q1 : 0;
        high[j] = centre((uint64_t)((u128)(uint64_t)difference * inverse % q1), q1);
    }
}

static void to_coefficients(const ddt_ckks_params *params, const uint64_t *limb, size_t m, uint64_t *out) {
    memcpy(out, limb, params->n * sizeof *out);
    ddt_ring_intt(params->ring, m, out);
}

/* Whether limb m (NTT domain) holds low + q0 * high everywhere. work: three limbs. */
static bool agrees(const ddt_ckks_params *params, const uint64_t *limb, size_t m, const int64_t *low,
                   const int64_t *high, uint64_t *work) {
    const ddt_ring *ring = params->ring;
    const size_t n = params->n;
    const uint64_t q0 = ddt_ring_modulus(ring, 0) % ddt_ring_modulus(ring, m);
    ddt_ring_from_signed(ring, m, work, low);
    ddt_ring_from_signed(ring, m, work + n, high);
    ddt_ring_mul_scalar_add(ring, m, work, work, work + n, q0);
    to_coefficients(params, limb, m, work + 2 * n);
    return memcmp(work, work + 2 * n, n * sizeof *limb) == 0;
}

enum { AGREE_LIMBS = 3, SHORT_HIGH = 1 << 12 };

/* work: AGREE_LIMBS limbs a thread, at least two in all. */
static bool fits_two(const ddt_ckks_params *params, int threads, const uint64_t *limbs, unsigned level, int64_t *low,
                     int64_t *high, uint64_t *work) {
    const size_t n = params->n;
    bool fits = true;
    to_coefficients(params, limbs, 0, work);
    to_coefficients(params, limbs + n, 1, work + n);
    combine_two(params, work, low, high, n);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 1) reduction(&& : fits)
    for (unsigned m = 2; m <= level; m++) {
        fits =
            fits && agrees(params, limbs + m * n, m, low, high, work + AGREE_LIMBS * (size_t)omp_get_thread_num() * n);
    }
    return fits;
}

static void put_two(const ddt_ckks_params *params, const int64_t *low, const int64_t *high, double *out,
                    double *out_low) {
    const int64_t q0 = (int64_t)ddt_ring_modulus(params->ring, 0);
    for (size_t j = 0; j < params->n && out_low != NULL; j++) {
        const __int128 value = (__int128)q0 * high[j] + low[j];
        out[j] = (double)value;
        out_low[j] = (double)(value - (__int128)out[j]);
    }
    for (size_t j = 0; j < params->n && out_low == NULL; j++) {
        /* Most values fit 64 bits: |q0 high + low| < 2^50 2^12 + 2^49. */
        const bool short_value = high[j] >= -SHORT_HIGH && high[j] < SHORT_HIGH;
        out[j] = short_value ? (double)(q0 * high[j] + low[j]) : (double)((__int128)q0 * high[j] + low[j]);
    }
}

/* ------------------------------------------------------------------ any size */

typedef struct wide {
    size_t words;
    size_t count;
    uint64_t modulus[WORDS_MAX];
    uint64_t half[WORDS_MAX];
    uint64_t cofactor[DDT_CKKS_LEVELS_MAX + 1][WORDS_MAX]; /* Q / q_i */
    uint64_t inverse[DDT_CKKS_LEVELS_MAX + 1];             /* (Q / q_i)^-1 mod q_i */
} wide;

/* a += b * s */
static void wide_mul_add(uint64_t *a, const uint64_t *b, uint64_t s, size_t words) {
    u128 carry = 0;
    for (size_t w = 0; w < words; w++) {
        carry += (u128)b[w] * s + a[w];
        a[w] = (uint64_t)carry;
        carry >>= 64;
    }
}

static bool wide_less(const uint64_t *a, const uint64_t *b, size_t words) {
    for (size_t w = words; w-- > 0;) {
        if (a[w] != b[w]) {
            return a[w] < b[w];
        }
    }
    return false;
}

/* out = a - b */
static void wide_sub(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t words) {
    unsigned borrow = 0;
    for (size_t w = 0; w < words; w++) {
        const u128 t = (u128)a[w] - b[w] - borrow;
        out[w] = (uint64_t)t;
        borrow = (unsigned)(t >> 64) & 1;
    }
}

/* A number as the sum of two doubles. The two highest non-zero words hold at least 65 significant bits. */
typedef struct wide_value {
    double high;
    double low;
} wide_value;

static wide_value wide_double(const uint64_t *a, size_t words) {
    size_t top = words;
    while (top > 1 && a[top - 1] == 0) {
        top--;
    }
    const u128 head = top == 1 ? a[0] : ((u128)a[top - 1] << 64) | a[top - 2];
    const int exponent = top == 1 ? 0 : (int)(64 * (top - 2));
    const double high = (double)head;
    /* 2^128 itself, where the head is rounded up to it, does not fit the type. */
    const u128 back = high >= 0x1p128 ? 0 : (u128)high;
    const u128 difference = back > head || high >= 0x1p128 ? back - head : head - back;
    const double low = back > head || high >= 0x1p128 ? -(double)difference : (double)difference;
    return (wide_value){ldexp(high, exponent), ldexp(low, exponent)};
}

static void wide_setup(const ddt_ckks_params *params, unsigned level, wide *w) {
    memset(w, 0, sizeof *w);
    w->count = (size_t)level + 1;
    /* One bit beyond Q times the number of limbs. */
    w->words = (size_t)(params->log2_q[level] + 8.0) / 64 + 1;
    for (size_t i = 0; i < w->count; i++) {
        const uint64_t q = ddt_ring_modulus(params->ring, i);
        uint64_t residue = 1;
        w->cofactor[i][0] = 1;
        for (size_t k = 0; k < w->count; k++) {
            const uint64_t other = ddt_ring_modulus(params->ring, k);
            if (k != i) {
                uint64_t product[WORDS_MAX] = {0};
                wide_mul_add(product, w->cofactor[i], other, w->words);
                memcpy(w->cofactor[i], product, sizeof product);
                residue = ddt_ring_scalar_mul(params->ring, i, residue, other % q);
            }
        }
        w->inverse[i] = ddt_ring_scalar_inverse(params->ring, i, residue);
    }
    wide_mul_add(w->modulus, w->cofactor[0], ddt_ring_modulus(params->ring, 0), w->words);
    for (size_t k = 0; k < w->words; k++) {
        const uint64_t above = k + 1 < w->words ? w->modulus[k + 1] : 0;
        w->half[k] = (w->modulus[k] >> 1) | (above << 63);
    }
}

static wide_value wide_combine(const ddt_ckks_params *params, const wide *w, const uint64_t *limbs, size_t j) {
    uint64_t sum[WORDS_MAX] = {0};
    uint64_t rest[WORDS_MAX];
    for (size_t i = 0; i < w->count; i++) {
        const uint64_t y = ddt_ring_scalar_mul(params->ring, i, limbs[i * params->n + j], w->inverse[i]);
        wide_mul_add(sum, w->cofactor[i], y, w->words);
        /* Each term is below Q, so one subtraction keeps the sum there. */
        if (!wide_less(sum, w->modulus, w->words)) {
            wide_sub(sum, sum, w->modulus, w->words);
        }
    }
    if (wide_less(w->half, sum, w->words)) {
        wide_sub(rest, w->modulus, sum, w->words);
        const wide_value value = wide_double(rest, w->words);
        return (wide_value){-value.high, -value.low};
    }
    return wide_double(sum, w->words);
}

static ddt_status combine_all(ddt_context *ctx, const ddt_ckks_params *params, const uint64_t *limbs, unsigned level,
                              double *out, double *out_low) {
    const size_t n = params->n;
    wide *w = ddt_alloc(1, sizeof *w);
    uint64_t *work = ddt_alloc(((size_t)level + 1) * n, sizeof *work);
    if (w == NULL || work == NULL) {
        ddt_free(w);
        ddt_free(work);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short to recombine %u limbs.", level + 1);
    }
    wide_setup(params, level, w);
    const int threads = ddt_context_threads(ctx);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp for schedule(dynamic, 1)
        for (unsigned m = 0; m <= level; m++) {
            to_coefficients(params, limbs + m * n, m, work + m * n);
        }
#pragma omp for schedule(static)
        for (size_t j = 0; j < n; j++) {
            const wide_value value = wide_combine(params, w, work, j);
            out[j] = value.high;
            if (out_low != NULL) {
                out_low[j] = value.low;
            }
        }
    }
    ddt_free(w);
    sodium_memzero(work, ((size_t)level + 1) * n * sizeof *work);
    ddt_free(work);
    return DDT_OK;
}

static void centre_one(const ddt_ckks_params *params, const uint64_t *limb, uint64_t *work, double *out,
                       double *out_low) {
    const uint64_t q = ddt_ring_modulus(params->ring, 0);
    to_coefficients(params, limb, 0, work);
    for (size_t j = 0; j < params->n; j++) {
        out[j] = (double)centre(work[j], q);
    }
    if (out_low != NULL) {
        memset(out_low, 0, params->n * sizeof *out_low);
    }
}

ddt_status ckks_crt_centred(ddt_context *ctx, const ddt_ckks_params *params, const uint64_t *limbs, unsigned level,
                            double *out, double *out_low) {
    const size_t n = params->n;
    const int threads = ddt_context_threads(ctx);
    const size_t words = (2 + AGREE_LIMBS * (size_t)threads) * n;
    uint64_t *work = ddt_alloc(words, sizeof *work);
    if (work == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short to recombine %u limbs.", level + 1);
    }
    bool done = true;
    if (level == 0) {
        centre_one(params, limbs, work, out, out_low);
    } else {
        int64_t *low = (int64_t *)work;
        done = fits_two(params, threads, limbs, level, low, low + n, work + 2 * n);
        if (done) {
            put_two(params, low, low + n, out, out_low);
        }
    }
    sodium_memzero(work, words * sizeof *work); /* decrypted values */
    ddt_free(work);
    return done ? DDT_OK : combine_all(ctx, params, limbs, level, out, out_low);
}
