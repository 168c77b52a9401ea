/*
 * The canonical embedding: evaluation of a real polynomial at zeta^(5^j), as a complex transform of half its length
 * (the "special FFT" of Cheon, Kim, Kim, Song 2017). Roots are computed in double-double arithmetic from IEEE
 * operations alone and rounded once, so that every machine encodes to the same bytes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ckks_internal.h"
#include "dd.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------ roots */

/* roots[t] = exp(2 pi i t / order) for t in [0, order/8], order a power of two of at least 8. */
static void fill_octant(dd_complex *roots, size_t order) {
    dd_complex base[64];
    unsigned top = 2;
    base[top] = (dd_complex){{0.0, 0.0}, {1.0, 0.0}};
    for (; (size_t)1 << top < order; top++) {
        const dd one = {1.0, 0.0};
        const dd cosine = dd_sqrt(dd_half(dd_add(one, base[top].re)));
        base[top + 1] = (dd_complex){cosine, dd_div(dd_half(base[top].im), cosine)};
    }
    roots[0] = (dd_complex){{1.0, 0.0}, {0.0, 0.0}};
    for (size_t t = 1; t <= order / 8; t++) {
        const unsigned low = (unsigned)__builtin_ctzll(t);
        const dd_complex step = base[top - low];
        roots[t] = t == (size_t)1 << low ? step : dd_cmul(roots[t - ((size_t)1 << low)], step);
    }
}

/* exp(2 pi i t / order) from its octant by symmetry. */
static dd_complex octant_root(const dd_complex *roots, size_t order, size_t t) {
    const size_t quarter = order / 4;
    const size_t turn = t / quarter;
    const size_t rest = t % quarter;
    const bool swap = rest > order / 8;
    const dd_complex root = roots[swap ? quarter - rest : rest];
    const dd c = swap ? root.im : root.re;
    const dd s = swap ? root.re : root.im;
    const dd cosines[4] = {c, dd_neg(s), dd_neg(c), s};
    const dd sines[4] = {s, c, dd_neg(s), dd_neg(c)};
    return (dd_complex){cosines[turn], sines[turn]};
}

static void set_root(const ckks_fft *fft, size_t at, dd_complex root) {
    fft->re[at] = root.re.hi;
    fft->im[at] = root.im.hi;
    fft->re_low[at] = root.re.lo;
    fft->im_low[at] = root.im.lo;
}

ddt_status ckks_fft_create(ddt_context *ctx, size_t slots, ckks_fft *out) {
    const size_t order = 4 * slots;
    memset(out, 0, sizeof *out);
    dd_complex *roots = ddt_alloc(order / 8 + 1, sizeof *roots);
    out->slots = slots;
    out->re = ddt_alloc(slots, sizeof *out->re);
    out->im = ddt_alloc(slots, sizeof *out->im);
    out->re_low = ddt_alloc(slots, sizeof *out->re_low);
    out->im_low = ddt_alloc(slots, sizeof *out->im_low);
    out->reversed = ddt_alloc(slots, sizeof *out->reversed);
    if (roots == NULL || out->re == NULL || out->im == NULL || out->re_low == NULL || out->im_low == NULL ||
        out->reversed == NULL) {
        ddt_free(roots);
        ckks_fft_destroy(out);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for the roots of %zu slots.", slots);
    }
    fill_octant(roots, order);
    set_root(out, 0, (dd_complex){{1.0, 0.0}, {0.0, 0.0}});
    for (size_t half = 1; half < slots; half *= 2) {
        /* The stage of length 2 half multiplies by zeta_{8 half}^(5^j). */
        const size_t stage_order = 8 * half;
        size_t power = 1;
        for (size_t j = 0; j < half; j++) {
            set_root(out, half + j, octant_root(roots, order, power * (order / stage_order)));
            power = power * 5 % stage_order;
        }
    }
    ddt_free(roots);
    out->reversed[0] = 0;
    for (size_t j = 1; j < slots; j++) {
        out->reversed[j] = (out->reversed[j / 2] / 2) | (j % 2 == 1 ? (uint32_t)(slots / 2) : 0);
    }
    return DDT_OK;
}

void ckks_fft_destroy(ckks_fft *fft) {
    ddt_free(fft->re);
    ddt_free(fft->im);
    ddt_free(fft->re_low);
    ddt_free(fft->im_low);
    ddt_free(fft->reversed);
    memset(fft, 0, sizeof *fft);
}

/* ------------------------------------------------------------------ butterflies */

static void forward_block(double *restrict ar, double *restrict ai, double *restrict br, double *restrict bi,
                          const double *restrict wr, const double *restrict wi, size_t half) {
    for (size_t j = 0; j < half; j++) {
        const double vr = br[j] * wr[j] - bi[j] * wi[j];
        const double vi = br[j] * wi[j] + bi[j] * wr[j];
        const double ur = ar[j];
        const double ui = ai[j];
        ar[j] = ur + vr;
        ai[j] = ui + vi;
        br[j] = ur - vr;
        bi[j] = ui - vi;
    }
}

static void inverse_block(double *restrict ar, double *restrict ai, double *restrict br, double *restrict bi,
                          const double *restrict wr, const double *restrict wi, size_t half) {
    for (size_t j = 0; j < half; j++) {
        const double vr = ar[j] - br[j];
        const double vi = ai[j] - bi[j];
        ar[j] += br[j];
        ai[j] += bi[j];
        br[j] = vr * wr[j] + vi * wi[j];
        bi[j] = vi * wr[j] - vr * wi[j];
    }
}

void ckks_fft_forward(const ckks_fft *fft, double *re, double *im, size_t count) {
    for (size_t half = 1; half < count; half *= 2) {
        for (size_t i = 0; i < count; i += 2 * half) {
            forward_block(re + i, im + i, re + i + half, im + i + half, fft->re + half, fft->im + half, half);
        }
    }
}

void ckks_fft_inverse(const ckks_fft *fft, double *re, double *im, size_t count) {
    for (size_t half = count / 2; half >= 1; half /= 2) {
        for (size_t i = 0; i < count; i += 2 * half) {
            inverse_block(re + i, im + i, re + i + half, im + i + half, fft->re + half, fft->im + half, half);
        }
    }
}
