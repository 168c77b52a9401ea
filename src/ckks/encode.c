/* Messages <-> plaintext polynomials. SPDX-License-Identifier: Apache-2.0 */
#include "ckks_internal.h"
#include "dd.h"

#include <math.h>
#include <sodium.h>
#include <string.h>

typedef struct encode_work {
    double *re;
    double *im;
    int64_t *low;  /* N signed coefficients */
    int64_t *high; /* NULL unless coefficients reach 2^62: value = high * 2^SPLIT_BITS + low */
    double *block;
    bool is_small; /* all of low below 2^SMALL_BITS in magnitude */
} encode_work;

enum { SPLIT_BITS = 60, DIRECT_BITS = 62, COEFFICIENT_BITS_MAX = 120, SMALL_BITS = 50 };

static bool is_wide(double scale) { return scale >= ldexp(1.0, DDT_CKKS_WIDE_BITS); }

static ddt_status work_create(ddt_context *ctx, size_t slots, encode_work *w) {
    w->block = ddt_alloc(6 * slots, sizeof *w->block);
    if (w->block == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short to encode %zu slots.", slots);
    }
    w->re = w->block;
    w->im = w->block + slots;
    w->low = (int64_t *)(w->block + 2 * slots);
    w->high = (int64_t *)(w->block + 4 * slots);
    return DDT_OK;
}

static ddt_status prepare_output(ddt_context *ctx, const ddt_ckks_params *params, unsigned level, double scale,
                                 ddt_plaintext *out) {
    if (level > params->top || !isfinite(scale) || scale <= 0.0) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "Cannot encode at level %u of %u with scale %g.", level, params->top,
                        scale);
    }
    if (out->limbs == NULL) {
        ddt_status status = ddt_plaintext_create(ctx, params, level, out);
        if (status != DDT_OK) {
            return status;
        }
    }
    if (out->level_capacity < level) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The plaintext has room for level %u, not for %u.", out->level_capacity,
                        level);
    }
    out->level = level;
    out->scale = scale;
    return DDT_OK;
}

/* Splits a rounded coefficient into high * 2^60 + low, exactly. */
static void split(double value, int64_t *high, int64_t *low) {
    const double unit = ldexp(1.0, SPLIT_BITS);
    const double top = rint(value / unit);
    *high = (int64_t)top;
    *low = (int64_t)(value - top * unit);
}

/*
 * The transform's output (bit-reversed, scaled by count) to signed coefficients: entry j is coefficient j gap, its
 * imaginary part coefficient N/2 + j gap. Returns false when one is too large.
 */
static bool round_coefficients(const ddt_ckks_params *params, encode_work *w, size_t count, double scale) {
    const size_t slots = params->n / 2;
    const size_t gap = slots / count;
    const unsigned shift = (unsigned)__builtin_ctzll(gap);
    const double factor = scale / (double)count;
    double largest = 0.0;
    for (size_t j = 0; j < count; j++) {
        largest = fmax(largest, fmax(fabs(w->re[j]), fabs(w->im[j])));
    }
    /* Negated, so that NaN is refused too. */
    if (!(largest * factor < ldexp(1.0, COEFFICIENT_BITS_MAX))) {
        return false;
    }
    const bool direct = largest * factor < ldexp(1.0, DIRECT_BITS) - 1.0;
    w->is_small = largest * factor < ldexp(1.0, SMALL_BITS) - 1.0;
    if (gap > 1) {
        memset(w->low, 0, 2 * slots * sizeof *w->low);
        memset(w->high, 0, 2 * slots * sizeof *w->high);
    }
    for (size_t j = 0; j < count; j++) {
        const size_t from = params->fft.reversed[j] >> shift;
        const double re = rint(w->re[from] * factor);
        const double im = rint(w->im[from] * factor);
        if (direct) {
            w->low[j * gap] = (int64_t)re;
            w->low[slots + j * gap] = (int64_t)im;
        } else {
            split(re, &w->high[j * gap], &w->low[j * gap]);
            split(im, &w->high[slots + j * gap], &w->low[slots + j * gap]);
        }
    }
    if (direct) {
        w->high = NULL;
    }
    return true;
}

static void fill_limb(const ddt_ckks_params *params, const encode_work *w, size_t m, uint64_t *limb) {
    const ddt_ring *ring = params->ring;
    if (w->is_small) {
        ddt_ring_from_signed_mul(ring, m, limb, w->low, 1);
    } else {
        ddt_ring_from_signed(ring, m, limb, w->low);
    }
    if (w->high != NULL) {
        const uint64_t q = ddt_ring_modulus(ring, m);
        const uint64_t unit = ((uint64_t)1 << SPLIT_BITS) % q;
        for (size_t j = 0; j < params->n; j++) {
            const int64_t rest = w->high[j] % (int64_t)q;
            const uint64_t residue = rest < 0 ? (uint64_t)(rest + (int64_t)q) : (uint64_t)rest;
            limb[j] = (limb[j] + ddt_ring_scalar_mul(ring, m, residue, unit)) % q;
        }
    }
    ddt_ring_ntt(ring, m, limb);
}

/* An integer of less than 120 bits, given as a sum of two doubles, in the two parts of encode_work. */
static void split_wide(double value, double rest, int64_t *high, int64_t *low) {
    const double whole = rint(value);
    const __int128 integer = (__int128)whole + (__int128)rint((value - whole) + rest);
    const __int128 half = (__int128)1 << (SPLIT_BITS - 1);
    const __int128 top = (integer + half) >> SPLIT_BITS; /* arithmetic: rounds down */
    *high = (int64_t)top;
    *low = (int64_t)(integer - top * ((__int128)1 << SPLIT_BITS));
}

/* As round_coefficients, of double-double numbers. */
static bool round_wide(const ddt_ckks_params *params, encode_work *w, const ckks_wide *values, size_t count,
                       double scale) {
    const size_t slots = params->n / 2;
    const size_t gap = slots / count;
    const unsigned shift = (unsigned)__builtin_ctzll(gap);
    const double factor = scale / (double)count; /* exact: a power of two */
    double largest = 0.0;
    for (size_t j = 0; j < count; j++) {
        largest = fmax(largest, fmax(fabs(values->re[j]), fabs(values->im[j])));
    }
    if (!(largest * factor < ldexp(1.0, COEFFICIENT_BITS_MAX))) {
        return false;
    }
    memset(w->low, 0, 2 * slots * sizeof *w->low);
    memset(w->high, 0, 2 * slots * sizeof *w->high);
    for (size_t j = 0; j < count; j++) {
        const size_t from = params->fft.reversed[j] >> shift;
        const dd re = dd_mul((dd){values->re[from], values->re_low[from]}, (dd){factor, 0.0});
        const dd im = dd_mul((dd){values->im[from], values->im_low[from]}, (dd){factor, 0.0});
        split_wide(re.hi, re.lo, &w->high[j * gap], &w->low[j * gap]);
        split_wide(im.hi, im.lo, &w->high[slots + j * gap], &w->low[slots + j * gap]);
    }
    return true;
}

/* w->re and w->im hold `count` slots. false: too large. */
static ddt_status wide_slots(ddt_context *ctx, const ddt_ckks_params *params, encode_work *w, size_t count,
                             double scale, bool *fits) {
    double *lows = ddt_calloc(2 * count, sizeof *lows);
    if (lows == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short to encode %zu slots.", count);
    }
    const ckks_wide values = {w->re, lows, w->im, lows + count};
    ckks_wide_inverse(&params->fft, &values, count);
    *fits = round_wide(params, w, &values, count, scale);
    ddt_free(lows);
    return DDT_OK;
}

/* w->re, w->im hold count slots; signed coefficients come out. */
static ddt_status transform_slots(ddt_context *ctx, const ddt_ckks_params *params, encode_work *w, size_t count,
                                  double scale) {
    for (size_t j = 0; j < count; j++) {
        if (!isfinite(w->re[j]) || !isfinite(w->im[j])) {
            return ddt_fail(ctx, DDT_ERR_RANGE, "Slot %zu is not a finite number.", j);
        }
    }
    bool fits = true;
    if (is_wide(scale)) {
        ddt_status status = wide_slots(ctx, params, w, count, scale, &fits);
        if (status != DDT_OK) {
            return status;
        }
    } else {
        ckks_fft_inverse(&params->fft, w->re, w->im, count);
        fits = round_coefficients(params, w, count, scale);
    }
    if (!fits) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "The message is too large to encode at scale 2^%.1f.", log2(scale));
    }
    return DDT_OK;
}

static ddt_status encode_slots(ddt_context *ctx, const ddt_ckks_params *params, encode_work *w, size_t count,
                               unsigned level, double scale, ddt_plaintext *out) {
    ddt_status status = transform_slots(ctx, params, w, count, scale);
    if (status == DDT_OK) {
        status = prepare_output(ctx, params, level, scale, out);
    }
    if (status != DDT_OK) {
        return status;
    }
    const int threads = ddt_context_threads(ctx);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 1)
    for (size_t m = 0; m <= level; m++) {
        fill_limb(params, w, m, out->limbs + m * params->n);
    }
    return DDT_OK;
}

static ddt_status check_count(ddt_context *ctx, const ddt_ckks_params *params, size_t count) {
    if (count == 0 || (count & (count - 1)) != 0 || count > params->n / 2) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "%zu values cannot be encoded: a power of two up to %zu is needed.",
                        count, params->n / 2);
    }
    return DDT_OK;
}

static ddt_status complex_work(ddt_context *ctx, const ddt_ckks_params *params, const double complex *values,
                               size_t count, encode_work *w) {
    ddt_status status = check_count(ctx, params, count);
    if (status == DDT_OK) {
        status = work_create(ctx, params->n / 2, w);
    }
    for (size_t j = 0; j < count && status == DDT_OK; j++) {
        w->re[j] = creal(values[j]);
        w->im[j] = cimag(values[j]);
    }
    return status;
}

ddt_status ddt_ckks_encode(ddt_context *ctx, const ddt_ckks_params *params, const double complex *values, size_t count,
                           unsigned level, double scale, ddt_plaintext *out) {
    encode_work w = {0};
    ddt_status status = complex_work(ctx, params, values, count, &w);
    if (status == DDT_OK) {
        status = encode_slots(ctx, params, &w, count, level, scale, out);
    }
    ddt_free(w.block);
    return status;
}

ddt_status ckks_encode_extended(ddt_context *ctx, const ddt_ckks_params *params, const double complex *values,
                                size_t count, unsigned level, double scale, uint64_t *limbs) {
    encode_work w = {0};
    ddt_status status = complex_work(ctx, params, values, count, &w);
    if (status == DDT_OK) {
        status = transform_slots(ctx, params, &w, count, scale);
    }
    const int threads = ddt_context_threads(ctx);
    const size_t targets = status == DDT_OK ? (size_t)level + 1 + params->literal.p_count : 0;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 1)
    for (size_t t = 0; t < targets; t++) {
        fill_limb(params, &w, t <= level ? t : t - level + params->top, limbs + t * params->n);
    }
    ddt_free(w.block);
    return status;
}

ddt_status ddt_ckks_encode_real(ddt_context *ctx, const ddt_ckks_params *params, const double *values, size_t count,
                                unsigned level, double scale, ddt_plaintext *out) {
    encode_work w = {0};
    ddt_status status = check_count(ctx, params, count);
    if (status == DDT_OK) {
        status = work_create(ctx, params->n / 2, &w);
    }
    if (status != DDT_OK) {
        return status;
    }
    memcpy(w.re, values, count * sizeof *values);
    memset(w.im, 0, count * sizeof *values);
    status = encode_slots(ctx, params, &w, count, level, scale, out);
    ddt_free(w.block);
    return status;
}

/* ------------------------------------------------------------------ decoding */

static void put_slots(const double *re, const double *im, size_t slots, double complex *values) {
    double *parts = (double *)values; /* C17 6.2.5: a complex is an array of two */
    for (size_t j = 0; j < slots; j++) {
        parts[2 * j] = re[j];
        parts[2 * j + 1] = im[j];
    }
}

/* work: N doubles. */
static void slots_from_coefficients(const ddt_ckks_params *params, const double *coefficients, double scale,
                                    double *work, double complex *values) {
    const size_t slots = params->n / 2;
    double *re = work;
    double *im = work + slots;
    for (size_t j = 0; j < slots; j++) {
        const size_t from = params->fft.reversed[j];
        re[j] = coefficients[from] / scale;
        im[j] = coefficients[slots + from] / scale;
    }
    ckks_fft_forward(&params->fft, re, im, slots);
    put_slots(re, im, slots, values);
}

/* The same of double-double coefficients, the low halves N after the high ones. work: 2 N doubles. */
static void slots_from_wide(const ddt_ckks_params *params, const double *coefficients, double scale, double *work,
                            double complex *values) {
    const size_t n = params->n;
    const size_t slots = n / 2;
    const ckks_wide out = {work, work + slots, work + n, work + n + slots};
    for (size_t j = 0; j < slots; j++) {
        const size_t at[2] = {params->fft.reversed[j], slots + params->fft.reversed[j]};
        const dd re = dd_div((dd){coefficients[at[0]], coefficients[n + at[0]]}, (dd){scale, 0.0});
        const dd im = dd_div((dd){coefficients[at[1]], coefficients[n + at[1]]}, (dd){scale, 0.0});
        out.re[j] = re.hi;
        out.re_low[j] = re.lo;
        out.im[j] = im.hi;
        out.im_low[j] = im.lo;
    }
    ckks_wide_forward(&params->fft, &out, slots);
    put_slots(out.re, out.im, slots, values);
}

ddt_status ddt_ckks_decode(ddt_context *ctx, const ddt_ckks_params *params, const ddt_plaintext *plaintext,
                           double complex *values) {
    const size_t n = params->n;
    if (plaintext->level > params->top || !(plaintext->scale > 0.0)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A plaintext at level %u with scale %g cannot be decoded.",
                        plaintext->level, plaintext->scale);
    }
    const bool wide = is_wide(plaintext->scale);
    const size_t doubles = (wide ? 4 : 2) * n;
    double *coefficients = ddt_alloc(doubles, sizeof *coefficients);
    if (coefficients == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short to decode %zu slots.", n / 2);
    }
    ddt_status status =
        ckks_crt_centred(ctx, params, plaintext->limbs, plaintext->level, coefficients, wide ? coefficients + n : NULL);
    if (status == DDT_OK && wide) {
        slots_from_wide(params, coefficients, plaintext->scale, coefficients + 2 * n, values);
    } else if (status == DDT_OK) {
        slots_from_coefficients(params, coefficients, plaintext->scale, coefficients + n, values);
    }
    /* Decrypted values. */
    sodium_memzero(coefficients, doubles * sizeof *coefficients);
    ddt_free(coefficients);
    return status;
}
