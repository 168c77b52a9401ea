/*
 * Element-wise limb functions with IFMA, two vectors at a time (see ntt_forward.c for why pairs; the smallest limb has
 * two vectors).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "avx512ifma_kernels.h"
#include "vector.h"

#include "../arith.h"

#include <string.h>

enum { PAIR = 2 * LANES, FETCHED = 4 * PAIR };

typedef struct two {
    vec a;
    vec b;
} two;

DDT_INLINE two load_two(const uint64_t *p) { return (two){load(p), load(p + LANES)}; }
DDT_INLINE void store_two(uint64_t *p, two v) {
    store(p, v.a);
    store(p + LANES, v.b);
}
DDT_INLINE two add_two(two x, two y) { return (two){add(x.a, y.a), add(x.b, y.b)}; }
DDT_INLINE two sub_two(two x, two y) { return (two){sub(x.a, y.a), sub(x.b, y.b)}; }
DDT_INLINE two min_two(two x, two y) { return (two){min(x.a, y.a), min(x.b, y.b)}; }
DDT_INLINE two low_two(two accumulator, two x, two y) {
    return (two){add_low(accumulator.a, x.a, y.a), add_low(accumulator.b, x.b, y.b)};
}
DDT_INLINE two high_two(two accumulator, two x, two y) {
    return (two){add_high(accumulator.a, x.a, y.a), add_high(accumulator.b, x.b, y.b)};
}
DDT_INLINE two splat_two(uint64_t x) { return (two){splat(x), splat(x)}; }
DDT_INLINE two zero_two(void) { return (two){zero(), zero()}; }
DDT_INLINE two reduce_two(two x, two s) { return min_two(x, sub_two(x, s)); }
/* (-q, q) to [0, q) */
DDT_INLINE two lift_two(two x, two q) { return min_two(x, add_two(x, q)); }

/* ------------------------------------------------------------------ sums */

void ddt_avx512ifma_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    const two q = splat_two(modulus->q);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += PAIR) {
        store_two(out + j, reduce_two(add_two(load_two(a + j), load_two(b + j)), q));
    }
}

void ddt_avx512ifma_sub(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    const two q = splat_two(modulus->q);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += PAIR) {
        store_two(out + j, lift_two(sub_two(load_two(a + j), load_two(b + j)), q));
    }
}

void ddt_avx512ifma_neg(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a) {
    const two q = splat_two(modulus->q);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += PAIR) {
        store_two(out + j, lift_two(sub_two(zero_two(), load_two(a + j)), q));
    }
}

void ddt_avx512ifma_add_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, uint64_t s) {
    const two q = splat_two(modulus->q);
    const two addend = splat_two(s);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += PAIR) {
        store_two(out + j, reduce_two(add_two(load_two(a + j), addend), q));
    }
}

/* ------------------------------------------------------------------ products with a scalar */

/* A constant factor in Montgomery form: see ntt.h. */
typedef struct factor {
    two w;
    two w_inverse;
    two q;
} factor;

static factor make_factor(const ddt_modulus *modulus, uint64_t s) {
    uint64_t w = ddt_modulus_mul(modulus, s, modulus->montgomery_52);
    return (factor){splat_two(w), splat_two(w * modulus->inverse_52 & WORD_MASK), splat_two(modulus->q)};
}

/* y s mod q in (-q, q) for y in [0, 2^52) */
DDT_INLINE two multiply(two y, const factor *f) {
    two m = low_two(zero_two(), y, f->w_inverse);
    two h = high_two(zero_two(), y, f->w);
    return sub_two(h, high_two(zero_two(), m, f->q));
}

void ddt_avx512ifma_mul_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, uint64_t s) {
    const factor f = make_factor(modulus, s);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += PAIR) {
        store_two(out + j, lift_two(multiply(load_two(a + j), &f), f.q));
    }
}

void ddt_avx512ifma_mul_scalar_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                                   uint64_t s) {
    const factor f = make_factor(modulus, s);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += PAIR) {
        two product = lift_two(multiply(load_two(a + j), &f), f.q);
        store_two(out + j, reduce_two(add_two(product, load_two(acc + j)), f.q));
    }
}

void ddt_avx512ifma_sub_mul_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b,
                                   uint64_t s) {
    const factor f = make_factor(modulus, s);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += PAIR) {
        two difference = add_two(sub_two(load_two(a + j), load_two(b + j)), f.q);
        store_two(out + j, lift_two(multiply(difference, &f), f.q));
    }
}

void ddt_avx512ifma_sub_mul_scalar_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b,
                                       uint64_t s, const uint64_t *acc) {
    const factor f = make_factor(modulus, s);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += PAIR) {
        two difference = add_two(sub_two(load_two(a + j), load_two(b + j)), f.q);
        two product = lift_two(multiply(difference, &f), f.q);
        store_two(out + j, reduce_two(add_two(product, load_two(acc + j)), f.q));
    }
}

/* ------------------------------------------------------------------ products of two limbs */

/*
 * Barrett reduction of x = a b < q^2, q of s bits. t = floor(x / 2^(s-1)) is the high word of (a 2^(52-s)) (2 b), both
 * below 2^52; with r = floor(2^(s+51) / q) the quotient estimate floor(t r / 2^52) is below x / q by less than 1 (t) +
 * 1/2 (r, as t < 2^(s+1) <= 2^51) + 1, so that the remainder is in [0, 2.5 q) and fits the low word.
 */
typedef struct barrett {
    two q;
    two twice_q;
    two reciprocal;
    vec left_shift; /* 52 - s */
    vec mask;
} barrett;

static barrett make_barrett(const ddt_modulus *modulus) {
    return (barrett){splat_two(modulus->q), splat_two(2 * modulus->q), splat_two(modulus->reciprocal_52),
                     splat(WORD_BITS - modulus->bits), splat(WORD_MASK)};
}

DDT_INLINE two shift_left(two a, const barrett *k) {
    return (two){_mm512_sllv_epi64(a.a, k->left_shift), _mm512_sllv_epi64(a.b, k->left_shift)};
}

/* a b + c mod q in [0, q), c in [0, q); shifted = a 2^(52-s), twice = 2 b: below 3.5 q < 2^52 before the last two
 * steps. */
DDT_INLINE two product(two a, two shifted, two b, two twice, two c, const barrett *k) {
    two t = high_two(zero_two(), shifted, twice);
    two low = low_two(c, a, b);
    two e = high_two(zero_two(), t, k->reciprocal);
    two r = sub_two(low, low_two(zero_two(), e, k->q));
    r.a = _mm512_and_si512(r.a, k->mask);
    r.b = _mm512_and_si512(r.b, k->mask);
    return reduce_two(reduce_two(r, k->twice_q), k->q);
}

void ddt_avx512ifma_mul(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    const barrett k = make_barrett(modulus);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += PAIR) {
        two x = load_two(a + j);
        two y = load_two(b + j);
        store_two(out + j, product(x, shift_left(x, &k), y, add_two(y, y), zero_two(), &k));
    }
}

void ddt_avx512ifma_mul_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                            const uint64_t *b) {
    const barrett k = make_barrett(modulus);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += PAIR) {
        two x = load_two(a + j);
        two y = load_two(b + j);
        store_two(out + j, product(x, shift_left(x, &k), y, add_two(y, y), load_two(acc + j), &k));
    }
}

/* ------------------------------------------------------------------ sums of products */

/*
 * Reduction of x = high 2^52 + low, sums of at most 16 products' words (and a residue in low): low < 2^57 and high plus
 * the carry from low below 2^52, because q <= 2^50 - 31 makes floor((q-1)^2 / 2^52) <= 2^48 - 16. (Or of at most four
 * products with lazy factors below 2^52, q < 2^49, whose high words are below q, and what is lifted.) One Montgomery
 * step divides by 2^52 and leaves (-q, 2^52); a product with the constant 2^52 undoes the division.
 */
typedef struct wide {
    factor undo;
    two inverse; /* q^-1 mod 2^52 */
} wide;

static wide make_wide(const ddt_modulus *modulus) {
    return (wide){make_factor(modulus, modulus->montgomery_52), splat_two(modulus->inverse_52)};
}

DDT_INLINE two reduce_wide(two low, two high, const wide *k) {
    two m = low_two(zero_two(), low, k->inverse);
    two carry = {_mm512_srli_epi64(low.a, WORD_BITS), _mm512_srli_epi64(low.b, WORD_BITS)};
    high = add_two(high, carry);
    two r = sub_two(high, high_two(zero_two(), m, k->undo.q));
    r = lift_two(r, k->undo.q); /* no longer negative, and still below 2^52 */
    return lift_two(multiply(r, &k->undo), k->undo.q);
}

void ddt_avx512ifma_tensor(const ddt_modulus *modulus, uint64_t *const d[3], const uint64_t *const a[2],
                           const uint64_t *const b[2], bool accumulate) {
    const barrett k = make_barrett(modulus);
    const wide w = make_wide(modulus);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += PAIR) {
        two a0 = load_two(a[0] + j);
        two a1 = load_two(a[1] + j);
        two b0 = load_two(b[0] + j);
        two b1 = load_two(b[1] + j);
        two c0 = accumulate ? load_two(d[0] + j) : zero_two();
        two c1 = accumulate ? load_two(d[1] + j) : zero_two();
        two c2 = accumulate ? load_two(d[2] + j) : zero_two();
        two low = low_two(low_two(c1, a0, b1), a1, b0);
        two high = high_two(high_two(zero_two(), a0, b1), a1, b0);
        store_two(d[0] + j, product(a0, shift_left(a0, &k), b0, add_two(b0, b0), c0, &k));
        store_two(d[2] + j, product(a1, shift_left(a1, &k), b1, add_two(b1, b1), c2, &k));
        store_two(d[1] + j, reduce_wide(low, high, &w));
    }
}

/* The words of the two sums of an inner product. */
typedef struct dot_sums {
    two low0;
    two low1;
    two high0;
    two high1;
} dot_sums;

/* Terms of an inner product. */
typedef struct dot_limbs {
    const uint64_t *const *a;
    const uint64_t *const *b0;
    const uint64_t *const *b1;
    size_t count;
} dot_limbs;

/* Terms [from, from + count). */
static dot_limbs some_terms(const dot_limbs *all, size_t from, size_t count) {
    return (dot_limbs){all->a + from, all->b0 + from, all->b1 + from, count};
}

/*
 * Into the level-1 cache what comes a few pairs later: the processor's own fetching follows an instruction, and here
 * one instruction reads the limbs of all terms in turn. For parts of limbs, which lie in the level-2 cache: whole limbs
 * that stream from memory lose by it.
 */
DDT_INLINE void fetch_later(const uint64_t *p) {
    __builtin_prefetch(p + FETCHED, 0, 3);
    __builtin_prefetch(p + FETCHED + LANES, 0, 3);
}

DDT_INLINE dot_sums dot_terms(dot_sums s, const dot_limbs *terms, size_t j, bool fetches) {
    for (size_t k = 0; k < terms->count; k++) {
        if (fetches) {
            fetch_later(terms->b0[k] + j);
            fetch_later(terms->b1[k] + j);
        }
        two x = load_two(terms->a[k] + j);
        two y0 = load_two(terms->b0[k] + j);
        two y1 = load_two(terms->b1[k] + j);
        s.low0 = low_two(s.low0, x, y0);
        s.low1 = low_two(s.low1, x, y1);
        s.high0 = high_two(s.high0, x, y0);
        s.high1 = high_two(s.high1, x, y1);
    }
    return s;
}

enum {
    DOT_GROUP = 4,           /* terms read side by side where there are more than DDT_RING_DOT_SHORT */
    DOT_PAGE_WORDS = 256,    /* residues whose sums wait in the level-1 cache between groups */
    DOT_SUM_WORDS = 4 * PAIR /* of one pair of vectors */
};

DDT_INLINE dot_sums load_sums(const uint64_t *at) {
    return (dot_sums){load_two(at), load_two(at + PAIR), load_two(at + (size_t)2 * PAIR),
                      load_two(at + (size_t)3 * PAIR)};
}

/* Adds terms to the sums of residues [from, from + size). */
static void dot_page(uint64_t *sums, const dot_limbs *terms, size_t from, size_t size) {
    for (size_t j = from; j < from + size; j += PAIR, sums += DOT_SUM_WORDS) {
        dot_sums s = dot_terms(load_sums(sums), terms, j, false);
        store_two(sums, s.low0);
        store_two(sums + PAIR, s.low1);
        store_two(sums + (size_t)2 * PAIR, s.high0);
        store_two(sums + (size_t)3 * PAIR, s.high1);
    }
}

/* The terms of residues [from, from + size), added to the sums where there are any, and reduced. */
DDT_INLINE void dot_finish(const wide *w, uint64_t *out0, uint64_t *out1, const uint64_t *sums, const dot_limbs *terms,
                           size_t from, size_t size) {
    for (size_t j = from; j < from + size; j += PAIR) {
        dot_sums s = {zero_two(), zero_two(), zero_two(), zero_two()};
        if (sums != NULL) {
            s = load_sums(sums);
            sums += DOT_SUM_WORDS;
        }
        s = dot_terms(s, terms, j, false);
        store_two(out0 + j, reduce_wide(s.low0, s.high0, w));
        store_two(out1 + j, reduce_wide(s.low1, s.high1, w));
    }
}

void ddt_avx512ifma_dot2(const ddt_modulus *modulus, uint64_t *out0, uint64_t *out1, const uint64_t *const *a,
                         const uint64_t *const *b0, const uint64_t *const *b1, size_t count) {
    _Alignas(64) uint64_t sums[4 * DOT_PAGE_WORDS];
    const wide w = make_wide(modulus);
    const dot_limbs all = {a, b0, b1, count};
    const size_t n = modulus->n;
    if (count <= DDT_RING_DOT_SHORT) {
        dot_finish(&w, out0, out1, NULL, &all, 0, n);
        return;
    }
    const size_t page = n < DOT_PAGE_WORDS ? n : DOT_PAGE_WORDS;
    const size_t rest = (count - 1) % DOT_GROUP + 1; /* terms of the last group */
    const dot_limbs last = some_terms(&all, count - rest, rest);
    for (size_t from = 0; from < n; from += page) {
        memset(sums, 0, 4 * page * sizeof sums[0]);
        for (size_t k = 0; k < count - rest; k += DOT_GROUP) {
            const dot_limbs terms = some_terms(&all, k, DOT_GROUP);
            dot_page(sums, &terms, from, page);
        }
        dot_finish(&w, out0, out1, sums, &last, from, page);
    }
}

/* Past the caches. */
DDT_INLINE void pass_two(uint64_t *p, two v) {
    _mm512_stream_si512((void *)p, v.a);
    _mm512_stream_si512((void *)(p + LANES), v.b);
}

/* What an inner product ends with, for one modulus. */
typedef struct dot_ending {
    wide w;
    factor lift;
    factor divide; /* by `divisor` 2^52, which undoes the Montgomery step */
    two lazy_bias; /* the smallest multiple of q that is at least 2^52 */
    two mask;      /* 2^52 - 1 */
    const ddt_ring_dot_end *end;
    enum { LIFTS_NOTHING, LIFTS_ADDENDS, LIFTS_TENSOR } lifts;
    bool passing;
    bool divides;
} dot_ending;

static dot_ending make_ending(const ddt_modulus *modulus, const ddt_ring_dot_end *end) {
    dot_ending e = {.w = make_wide(modulus), .end = end, .passing = end->passing, .divides = end->rest[0] != NULL};
    if (end->left[0] != NULL) {
        e.lifts = LIFTS_TENSOR;
        e.lift = make_factor(modulus, end->factor);
    } else if (end->addend[0] != NULL) {
        e.lifts = LIFTS_ADDENDS;
        e.lift.w = splat_two(end->factor);
    }
    if (e.divides) {
        const uint64_t reach = UINT64_C(1) << WORD_BITS;
        e.lazy_bias = splat_two((reach + modulus->q - 1) / modulus->q * modulus->q);
        e.mask = splat_two(WORD_MASK);
        e.divide = make_factor(modulus, ddt_modulus_mul(modulus, end->divisor, modulus->montgomery_52));
    }
    return e;
}

DDT_INLINE void add_product(two *low, two *high, two x, two y) {
    *low = low_two(*low, x, y);
    *high = high_two(*high, x, y);
}

/*
 * What is lifted, as more terms: an addend as it is, the first factor of a product multiplied by the factor and in (0,
 * 2q), so that it counts for two terms of the sixteen.
 */
DDT_INLINE dot_sums lift_terms(dot_sums s, const dot_ending *e, size_t j, int lifts) {
    const ddt_ring_dot_end *end = e->end;
    if (lifts == LIFTS_ADDENDS) {
        add_product(&s.low0, &s.high0, load_two(end->addend[0] + j), e->lift.w);
        add_product(&s.low1, &s.high1, load_two(end->addend[1] + j), e->lift.w);
    } else if (lifts == LIFTS_TENSOR) {
        for (size_t p = 0; p < 2; p++) {
            fetch_later(end->left[p] + j);
            fetch_later(end->right[p] + j);
        }
        const two x0 = add_two(multiply(load_two(end->left[0] + j), &e->lift), e->lift.q);
        const two x1 = add_two(multiply(load_two(end->left[1] + j), &e->lift), e->lift.q);
        const two y0 = load_two(end->right[0] + j);
        add_product(&s.low0, &s.high0, x0, y0);
        add_product(&s.low1, &s.high1, x0, load_two(end->right[1] + j));
        add_product(&s.low1, &s.high1, x1, y0);
    }
    return s;
}

/*
 * (S - rest) divisor + then for the words of S. rest may be lazy: what counts are its low 52 bits, and the low word of
 * S has room for a multiple of q that exceeds them. The Montgomery step leaves (0, 2^52), see reduce_wide; with up to
 * four terms of lazy digits, q below 2^49, high is at most 4q for these and 4 2^47 for what is lifted, and all in all
 * below 6q < 2^52.
 */
DDT_INLINE two divide_wide(two low, two high, const dot_ending *e, size_t part, size_t j) {
    const two q = e->w.undo.q;
    two rest = load_two(e->end->rest[part] + j);
    rest.a = _mm512_and_si512(rest.a, e->mask.a);
    rest.b = _mm512_and_si512(rest.b, e->mask.b);
    low = add_two(low, sub_two(e->lazy_bias, rest));
    const two m = low_two(zero_two(), low, e->w.inverse);
    const two carry = {_mm512_srli_epi64(low.a, WORD_BITS), _mm512_srli_epi64(low.b, WORD_BITS)};
    two r = sub_two(add_two(add_two(high, carry), q), high_two(zero_two(), m, q));
    r = lift_two(multiply(r, &e->divide), q);
    return e->end->then[part] == NULL ? r : reduce_two(add_two(r, load_two(e->end->then[part] + j)), q);
}

/* More terms, one after the other, reduce to the same residues. */
DDT_INLINE void dot_with_end(const dot_ending *e, uint64_t *const out[2], const dot_limbs *terms, size_t n, int lifts,
                             bool divides, bool passing, bool fetches) {
    for (size_t j = 0; j < n; j += PAIR) {
        dot_sums s = {zero_two(), zero_two(), zero_two(), zero_two()};
        if (e->end->sum[0] != NULL) {
            s.low0 = load_two(e->end->sum[0] + j);
            s.low1 = load_two(e->end->sum[1] + j);
        }
        s = lift_terms(dot_terms(s, terms, j, fetches), e, j, lifts);
        if (divides) {
            const two first = divide_wide(s.low0, s.high0, e, 0, j);
            const two second = divide_wide(s.low1, s.high1, e, 1, j);
            store_two(out[0] + j, first);
            store_two(out[1] + j, second);
        } else if (passing) {
            pass_two(out[0] + j, reduce_wide(s.low0, s.high0, &e->w));
            pass_two(out[1] + j, reduce_wide(s.low1, s.high1, &e->w));
        } else {
            store_two(out[0] + j, reduce_wide(s.low0, s.high0, &e->w));
            store_two(out[1] + j, reduce_wide(s.low1, s.high1, &e->w));
        }
    }
}

DDT_INLINE void dot_by_ending(const dot_ending *e, uint64_t *const out[2], const dot_limbs *terms, size_t n,
                              int lifts) {
    if (e->divides) {
        dot_with_end(e, out, terms, n, lifts, true, false, true);
    } else if (e->passing) {
        dot_with_end(e, out, terms, n, lifts, false, true, false);
    } else if (n <= DDT_RING_PART) {
        dot_with_end(e, out, terms, n, lifts, false, false, true);
    } else {
        dot_with_end(e, out, terms, n, lifts, false, false, false);
    }
}

void ddt_avx512ifma_dot2_end(const ddt_modulus *modulus, uint64_t *const out[2], const uint64_t *const *a,
                             const uint64_t *const *b0, const uint64_t *const *b1, size_t count,
                             const ddt_ring_dot_end *end) {
    const dot_ending e = make_ending(modulus, end);
    const dot_limbs terms = {a, b0, b1, count};
    if (e.lifts == LIFTS_TENSOR) {
        dot_by_ending(&e, out, &terms, modulus->n, LIFTS_TENSOR);
    } else if (e.lifts == LIFTS_ADDENDS) {
        dot_by_ending(&e, out, &terms, modulus->n, LIFTS_ADDENDS);
    } else {
        dot_by_ending(&e, out, &terms, modulus->n, LIFTS_NOTHING);
    }
    if (end->passing) {
        _mm_sfence(); /* other threads may read the outputs */
    }
}

/* ------------------------------------------------------------------ other moduli, other orders */

/*
 * x mod q for x < 2^52, the quotient estimated with floor(2^52 / q): too small by less than x / 2^52 + 1 < 2, hence the
 * remainder in [0, 2q).
 */
DDT_INLINE two reduce_word(two x, two quotient, two q) {
    two e = high_two(zero_two(), x, quotient);
    return reduce_two(sub_two(x, low_two(zero_two(), e, q)), q);
}

DDT_INLINE void change_modulus(const ddt_modulus *from, const ddt_modulus *to, uint64_t *out, const uint64_t *in,
                               bool lazy) {
    const uint64_t q_word = to->q;
    const two q = splat_two(q_word);
    const two quotient = splat_two((UINT64_C(1) << WORD_BITS) / q_word);
    const vec half = splat(from->q / 2);
    const vec minus_from = splat(q_word - from->q % q_word); /* a multiple of q_to less q_from */
    size_t n = from->n;
    for (size_t j = 0; j < n; j += PAIR) {
        two x = load_two(in + j);
        x.a = _mm512_mask_add_epi64(x.a, _mm512_cmpgt_epu64_mask(x.a, half), x.a, minus_from);
        x.b = _mm512_mask_add_epi64(x.b, _mm512_cmpgt_epu64_mask(x.b, half), x.b, minus_from);
        store_two(out + j, lazy ? x : reduce_word(x, quotient, q));
    }
}

void ddt_avx512ifma_change_modulus(const ddt_modulus *from, const ddt_modulus *to, uint64_t *out, const uint64_t *in) {
    change_modulus(from, to, out, in, false);
}

/* Without the reduction residues are below q_from + q_to, which the transform takes up to 5q: see ntt_forward.c. */
void ddt_avx512ifma_change_begin(const ddt_modulus *from, const ddt_modulus *to, uint64_t *out, const uint64_t *in) {
    enum { ROOMY_BITS = 46 };
    if (to->bits <= ROOMY_BITS && from->q <= 4 * to->q) {
        change_modulus(from, to, out, in, true);
    } else {
        change_modulus(from, to, out, in, false);
    }
    ddt_avx512ifma_ntt_begin(to, out);
}

void ddt_avx512ifma_from_signed(const ddt_modulus *modulus, uint64_t *out, const int64_t *values) {
    /* value + offset is below 2^64: its twelve high bits times 2^52 mod q, plus its low word, is reduced in two steps
     */
    const factor high_weight = make_factor(modulus, modulus->montgomery_52);
    const two q = splat_two(modulus->q);
    const two quotient = splat_two((UINT64_C(1) << WORD_BITS) / modulus->q);
    const two offset = splat_two(modulus->signed_offset);
    const vec mask = splat(WORD_MASK);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += PAIR) {
        two x = add_two(load_two((const uint64_t *)values + j), offset);
        two high = {_mm512_srli_epi64(x.a, WORD_BITS), _mm512_srli_epi64(x.b, WORD_BITS)};
        two low = {_mm512_and_si512(x.a, mask), _mm512_and_si512(x.b, mask)};
        two weighted = lift_two(multiply(high, &high_weight), q);
        store_two(out + j, reduce_two(add_two(weighted, reduce_word(low, quotient, q)), q));
    }
}

/* A value of at most 2^50 in magnitude plus the smallest multiple of q that is at least 2^50 is in [0, 2^52). */
void ddt_avx512ifma_from_signed_mul(const ddt_modulus *modulus, uint64_t *out, const int64_t *values, uint64_t s) {
    const uint64_t reach = UINT64_C(1) << DDT_RING_MODULUS_BITS_MAX;
    const factor f = make_factor(modulus, s);
    const two offset = splat_two((reach + modulus->q - 1) / modulus->q * modulus->q);
    size_t n = modulus->n;
    for (size_t j = 0; j < n; j += PAIR) {
        two x = add_two(load_two((const uint64_t *)values + j), offset);
        store_two(out + j, lift_two(multiply(x, &f), f.q));
    }
}

void ddt_avx512ifma_permute(size_t n, uint64_t *out, const uint64_t *in, const uint32_t *permutation) {
    /* a Galois permutation keeps aligned blocks of eight together: one load and one shuffle each */
    for (size_t j = 0; j < n; j += LANES) {
        vec index = _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)(const void *)(permutation + j)));
        const uint64_t *block = in + (permutation[j] & ~(uint32_t)(LANES - 1));
        store(out + j, _mm512_permutexvar_epi64(index, load(block)));
    }
}

void ddt_avx512ifma_publish(uint64_t *out, const uint64_t *in, size_t count) {
    for (size_t j = 0; j < count; j += LANES) {
        _mm512_stream_si512((void *)(out + j), load(in + j));
    }
    _mm_sfence();
}
