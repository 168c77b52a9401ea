/*
 * Double-double arithmetic (Dekker 1971) from IEEE additions and multiplications alone: a number is hi + lo, |lo| at
 * most half a unit in the last place of hi, about 106 bits. The same bits on every machine.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CKKS_DD_H
#define DDT_CKKS_DD_H

#include <math.h>

typedef struct dd {
    double hi;
    double lo;
} dd;

typedef struct dd_complex {
    dd re;
    dd im;
} dd_complex;

static inline dd dd_quick(double a, double b) {
    const double s = a + b;
    return (dd){s, b - (s - a)};
}

static inline dd dd_sum(double a, double b) {
    const double s = a + b;
    const double t = s - a;
    return (dd){s, (a - (s - t)) + (b - t)};
}

static inline dd dd_product(double a, double b) {
    const double splitter = 134217729.0; /* 2^27 + 1 */
    const double at = a * splitter;
    const double bt = b * splitter;
    const double ah = at - (at - a);
    const double bh = bt - (bt - b);
    const double al = a - ah;
    const double bl = b - bh;
    const double p = a * b;
    return (dd){p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

static inline dd dd_add(dd a, dd b) {
    const dd s = dd_sum(a.hi, b.hi);
    const dd t = dd_sum(a.lo, b.lo);
    const dd u = dd_quick(s.hi, s.lo + t.hi);
    return dd_quick(u.hi, u.lo + t.lo);
}

static inline dd dd_neg(dd a) { return (dd){-a.hi, -a.lo}; }

static inline dd dd_mul(dd a, dd b) {
    const dd p = dd_product(a.hi, b.hi);
    return dd_quick(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

static inline dd dd_half(dd a) { return (dd){0.5 * a.hi, 0.5 * a.lo}; }

/* One Newton step from the rounded quotient and root gives twice the digits. */
static inline dd dd_div(dd a, dd b) {
    const double q = a.hi / b.hi;
    const dd rest = dd_add(a, dd_neg(dd_mul((dd){q, 0.0}, b)));
    return dd_quick(q, rest.hi / b.hi);
}

static inline dd dd_sqrt(dd a) {
    const double r = sqrt(a.hi);
    const dd rest = dd_add(a, dd_neg(dd_product(r, r)));
    return dd_quick(r, rest.hi / (2.0 * r));
}

static inline dd_complex dd_cmul(dd_complex a, dd_complex b) {
    return (dd_complex){dd_add(dd_mul(a.re, b.re), dd_neg(dd_mul(a.im, b.im))),
                        dd_add(dd_mul(a.re, b.im), dd_mul(a.im, b.re))};
}

#endif
