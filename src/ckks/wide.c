/*
 * The canonical embedding in double-double arithmetic, for scales whose coefficients a double does not hold: with
 * values of 53 bits in and out the transform's own error, below 2^-95 of the largest slot, never shows.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ckks_internal.h"
#include "dd.h"

static dd_complex load(const ckks_wide *v, size_t j) {
    return (dd_complex){{v->re[j], v->re_low[j]}, {v->im[j], v->im_low[j]}};
}

static void store(const ckks_wide *v, size_t j, dd_complex value) {
    v->re[j] = value.re.hi;
    v->re_low[j] = value.re.lo;
    v->im[j] = value.im.hi;
    v->im_low[j] = value.im.lo;
}

static dd_complex add(dd_complex a, dd_complex b) { return (dd_complex){dd_add(a.re, b.re), dd_add(a.im, b.im)}; }

static dd_complex sub(dd_complex a, dd_complex b) {
    return (dd_complex){dd_add(a.re, dd_neg(b.re)), dd_add(a.im, dd_neg(b.im))};
}

static dd_complex root(const ckks_fft *fft, size_t at, bool conjugate) {
    const dd im = {fft->im[at], fft->im_low[at]};
    return (dd_complex){{fft->re[at], fft->re_low[at]}, conjugate ? dd_neg(im) : im};
}

void ckks_wide_forward(const ckks_fft *fft, const ckks_wide *values, size_t count) {
    for (size_t half = 1; half < count; half *= 2) {
        for (size_t i = 0; i < count; i += 2 * half) {
            for (size_t j = i; j < i + half; j++) {
                const dd_complex a = load(values, j);
                const dd_complex b = dd_cmul(load(values, j + half), root(fft, half + j - i, false));
                store(values, j, add(a, b));
                store(values, j + half, sub(a, b));
            }
        }
    }
}

void ckks_wide_inverse(const ckks_fft *fft, const ckks_wide *values, size_t count) {
    for (size_t half = count / 2; half >= 1; half /= 2) {
        for (size_t i = 0; i < count; i += 2 * half) {
            for (size_t j = i; j < i + half; j++) {
                const dd_complex a = load(values, j);
                const dd_complex b = load(values, j + half);
                store(values, j, add(a, b));
                store(values, j + half, dd_cmul(sub(a, b), root(fft, half + j - i, true)));
            }
        }
    }
}
