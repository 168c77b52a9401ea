/*
 * Base conversion with IFMA; the method is in ../baseconv.c.
 *
 * First half. y = x factor is a Montgomery product by a constant; one more multiplication adds y's share of the
 * quotient to a sum in registers.
 *
 * Second half. The sums of the low and of the high words of y_k F_k, F_k = factor 2^52 mod p, are kept apart. Because p
 * and q_k are at most 2^50 - 31 a high word is at most 2^48 - 16, and sixteen of them stay below 2^52. After sixteen
 * terms, and after every eighth from then on, the high sum is reduced to [0, 2p), which changes the whole by a multiple
 * of p: 2p + 8 (2^48 - 16) <= 2^52 - 190 leaves room for the carry from the low sum, at most 129. One Montgomery step
 * at the end takes the factor 2^52 away again, one Barrett step makes the residue canonical.
 *
 * With at most fifteen sources v is below sixteen, and its product with -Q F is looked up in two registers, one shuffle
 * instead of two multiplications: the low sum starts from it. A residue that goes into a transform need not be
 * canonical: see LAZY.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "avx512ifma_kernels.h"
#include "ntt_forward.h"
#include "vector.h"

#include "ddt/ring.h"

enum {
    PAGE_WORDS = 512, /* residues of a limb that the first half takes at a time */
    TILE_VECTORS = 4, /* of the second half, for each of two targets */
    SAFE_TERMS = 16,  /* before the high sum is reduced for the first time */
    MORE_TERMS = 8,   /* between reductions after that */
    LOOKED_UP = 15    /* sources at most, when the quotient's products are looked up */
};

/* ------------------------------------------------------------------ first half */

typedef struct source_constants {
    vec q;
    vec w; /* the factor in Montgomery form, see ntt.h */
    vec w_inverse;
    vec reciprocal;
    vec shift;
} source_constants;

static source_constants make_source(const ddt_baseconv_source *source) {
    const ddt_modulus *modulus = source->modulus;
    const uint64_t w = ddt_modulus_mul(modulus, source->factor, modulus->montgomery_52);
    return (source_constants){.q = splat(modulus->q),
                              .w = splat(w),
                              .w_inverse = splat(w * modulus->inverse_52 & WORD_MASK),
                              .reciprocal = splat(modulus->reciprocal_52),
                              .shift = splat(DDT_RING_MODULUS_BITS_MAX - modulus->bits)};
}

/*
 * Scales `together` source limbs, unless they are, and adds their shares of the quotient to the sums. Two limbs at a
 * time, a page of each: limbs often lie a power of two apart, where lines of many of them, and what the processor
 * fetches ahead, displace each other from the caches.
 */
DDT_INLINE void prepare_page(const ddt_baseconv_source *sources, size_t together, const uint64_t *const *in,
                             uint64_t *const *y, uint64_t *sums, size_t from, size_t count, bool scaled) {
    source_constants c[2];
    DDT_UNROLL
    for (size_t k = 0; k < together; k++) {
        c[k] = make_source(&sources[k]);
    }
    for (size_t j = 0; j < count; j += LANES) {
        vec x[2];
        vec high[2];
        vec sum = load(sums + j);
        DDT_UNROLL
        for (size_t k = 0; k < together; k++) {
            x[k] = load(in[k] + from + j);
            high[k] = add_low(zero(), x[k], c[k].w_inverse);
        }
        DDT_UNROLL
        for (size_t k = 0; k < together && !scaled; k++) {
            x[k] = sub(add_high(zero(), x[k], c[k].w), add_high(zero(), high[k], c[k].q));
        }
        DDT_UNROLL
        for (size_t k = 0; k < together && !scaled; k++) {
            x[k] = min(x[k], add(x[k], c[k].q)); /* (-q, q) to [0, q) */
            store(y[k] + from + j, x[k]);
        }
        DDT_UNROLL
        for (size_t k = 0; k < together; k++) {
            sum = add_high(sum, _mm512_sllv_epi64(x[k], c[k].shift), c[k].reciprocal);
        }
        store(sums + j, sum);
    }
}

/* The first half, or what is left of it when the limbs are scaled. */
DDT_INLINE void first_half(const ddt_baseconv_source *sources, size_t count, const uint64_t *const *in,
                           uint64_t *const *y, uint64_t *quotient, size_t begin, size_t end, bool scaled) {
    _Alignas(64) uint64_t sums[PAGE_WORDS];
    for (size_t from = begin; from < end; from += PAGE_WORDS) {
        size_t size = end - from > PAGE_WORDS ? PAGE_WORDS : end - from;
        for (size_t j = 0; j < size; j += LANES) {
            store(sums + j, splat(UINT64_C(1) << (DDT_BASECONV_FRACTION_BITS - 1)));
        }
        size_t k = 0;
        for (; k + 2 <= count; k += 2) {
            prepare_page(sources + k, 2, in + k, y + k, sums, from, size, scaled);
        }
        if (k < count) {
            prepare_page(sources + k, 1, in + k, y + k, sums, from, size, scaled);
        }
        for (size_t j = 0; j < size; j += LANES) {
            store(quotient + from + j, _mm512_srli_epi64(load(sums + j), DDT_BASECONV_FRACTION_BITS));
        }
    }
}

void ddt_avx512ifma_baseconv_prepare(const ddt_baseconv_source *sources, size_t count, const uint64_t *const *in,
                                     uint64_t *const *y, uint64_t *quotient, size_t begin, size_t end) {
    first_half(sources, count, in, y, quotient, begin, end, false);
}

void ddt_avx512ifma_baseconv_quotients(const ddt_baseconv_source *sources, size_t count, const uint64_t *const *y,
                                       uint64_t *quotient, size_t begin, size_t end) {
    uint64_t *const none[1] = {NULL};
    first_half(sources, count, y, none, quotient, begin, end, true);
}

/* ------------------------------------------------------------------ second half */

uint64_t ddt_avx512ifma_baseconv_factor(const ddt_modulus *to, uint64_t factor) {
    return ddt_modulus_mul(to, factor, to->montgomery_52);
}

/* The sums of one target over a tile. */
typedef struct tile {
    vec low[TILE_VECTORS];
    vec high[TILE_VECTORS];
} tile;

DDT_INLINE void start_tile(tile *sums, size_t vectors) {
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        sums->low[i] = zero();
        sums->high[i] = zero();
    }
}

/* The same, with the quotients' products. */
DDT_INLINE void start_from_quotients(tile *sums, const vec *quotients, const uint64_t *products, size_t vectors) {
    const vec few = load(products);
    const vec more = load(products + LANES);
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        sums->low[i] = _mm512_permutex2var_epi64(few, quotients[i], more);
        sums->high[i] = zero();
    }
}

DDT_INLINE void add_term(tile *sums, const vec *y, uint64_t factor, size_t vectors) {
    const vec f = splat(factor);
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        sums->low[i] = add_low(sums->low[i], y[i], f);
    }
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        sums->high[i] = add_high(sums->high[i], y[i], f);
    }
}

/* x - floor(x quotient / 2^52) q: in [0, 2q) for x < 2^52, quotient = floor(2^52 / q). */
DDT_INLINE vec reduce_lazily(vec x, vec quotient, vec q) {
    return sub(x, add_low(zero(), add_high(zero(), x, quotient), q));
}

/* What the second half leaves: [0, q), with and without a conditional subtraction, or [0, 2q). */
typedef enum ending { GENERAL, EXACT, LAZY } ending;

/* Constants of one target. */
typedef struct target_constants {
    uint64_t products[2 * LANES]; /* of the quotients 0, 1, 2, ... when they are looked up */
    vec q;
    vec minus_q;
    vec inverse;
    vec quotient;       /* floor(2^52 / q) */
    vec exact_quotient; /* ceil(2^(bits + 51) / q) */
    vec exact_shift;    /* bits - 1 */
    const uint64_t *factors;
    ending end;
} target_constants;

/*
 * The Montgomery step leaves u = r + q with u < 2q + (terms - 1) 2^(bits - 2), where terms counts the quotient's; the
 * exact quotient wants u < 2^51. (With more than sixteen terms the high sums are reduced on the way, and smaller.)
 */
static bool is_exact(const ddt_modulus *modulus, size_t terms) {
    const uint64_t limit = UINT64_C(1) << (WORD_BITS - 1);
    return 2 * modulus->q + (terms << (modulus->bits - 2)) < limit;
}

/*
 * LAZY: high(y_k F_k) < q_k q / 2^52, so that u < q + (sum of q_k) q / 2^52 + a carry of at most 16, which is below 2q
 * when the sources are narrow, their sum at most 3 2^50. The forward transform takes that: see ntt_forward.c.
 */
static target_constants make_target(const ddt_baseconv_target *target, size_t count, bool lazy) {
    const ddt_modulus *modulus = target->modulus;
    const ending canonical = is_exact(modulus, count + 1) ? EXACT : GENERAL;
    target_constants c = {.factors = target->factors,
                          .q = splat(modulus->q),
                          .minus_q = splat(0 - modulus->q),
                          .inverse = splat(modulus->inverse_52),
                          .quotient = splat((UINT64_C(1) << WORD_BITS) / modulus->q),
                          .exact_quotient = splat(modulus->reciprocal_52 + 1),
                          .exact_shift = splat(modulus->bits - 1),
                          .end = lazy ? LAZY : canonical};
    for (size_t i = 1; count <= LOOKED_UP && i <= count; i++) {
        const uint64_t product = c.products[i - 1] + target->factors[count];
        c.products[i] = product < modulus->q ? product : product - modulus->q;
    }
    return c;
}

DDT_INLINE void shrink_tile(tile *sums, const target_constants *c, size_t vectors) {
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        sums->high[i] = reduce_lazily(sums->high[i], c->quotient, c->q);
    }
}

/*
 * One Montgomery step, and the residue to [0, q). For u < 2^51 and B = 2^(bits + 51) / q + d, 0 < d < 1, the error u d
 * / 2^(bits + 51) < 1 / q of u B / 2^(bits + 51) cannot carry u / q over an integer: that quotient is exact. Otherwise
 * it is at most 1 too small.
 */
DDT_INLINE void finish_tile(const tile *sums, const target_constants *c, uint64_t *out, size_t vectors) {
    vec u[TILE_VECTORS];
    vec e[TILE_VECTORS];
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        u[i] = add(sums->high[i], _mm512_srli_epi64(sums->low[i], WORD_BITS));
        e[i] = add_low(zero(), sums->low[i], c->inverse);
    }
    if (c->end == LAZY) {
        DDT_UNROLL
        for (size_t i = 0; i < vectors; i++) {
            store(out + i * LANES, sub(u[i], add_high(c->minus_q, e[i], c->q)));
        }
    } else if (c->end == EXACT) {
        DDT_UNROLL
        for (size_t i = 0; i < vectors; i++) {
            u[i] = sub(u[i], add_high(c->minus_q, e[i], c->q)); /* in (0, 2^51) */
            e[i] = _mm512_srlv_epi64(add_high(zero(), u[i], c->exact_quotient), c->exact_shift);
            store(out + i * LANES, sub(u[i], add_low(zero(), e[i], c->q)));
        }
    } else {
        DDT_UNROLL
        for (size_t i = 0; i < vectors; i++) {
            vec r = sub(u[i], add_high(zero(), e[i], c->q));
            r = min(r, add(r, c->q)); /* (-q, 2^52) to [0, 2^52) */
            store(out + i * LANES, reduce_once(reduce_lazily(r, c->quotient, c->q), c->q));
        }
    }
}

/* The sources' terms of a tile from residue j on, added to the sums; `terms` of them. */
DDT_INLINE void add_terms(tile *sums, const target_constants *targets, size_t target_count, size_t terms,
                          const ddt_baseconv_inputs *in, size_t j, size_t vectors) {
    vec y[TILE_VECTORS];
    for (size_t k = 0; k < terms; k++) {
        const uint64_t *source = k < in->count ? in->y[k] : in->quotient;
        DDT_UNROLL
        for (size_t i = 0; i < vectors; i++) {
            y[i] = load(source + j + i * LANES);
        }
        DDT_UNROLL
        for (size_t t = 0; t < target_count; t++) {
            add_term(&sums[t], y, targets[t].factors[k], vectors);
        }
        if (k + 1 >= SAFE_TERMS && (k + 1 - SAFE_TERMS) % MORE_TERMS == 0) {
            DDT_UNROLL
            for (size_t t = 0; t < target_count; t++) {
                shrink_tile(&sums[t], &targets[t], vectors);
            }
        }
    }
}

DDT_INLINE void convert_tile(const target_constants *targets, size_t target_count, const ddt_baseconv_inputs *in,
                             uint64_t *const *out, size_t j, size_t vectors) {
    tile sums[DDT_BASECONV_TARGETS];
    vec quotients[TILE_VECTORS];
    const bool looks_up = in->count <= LOOKED_UP;
    DDT_UNROLL
    for (size_t i = 0; i < vectors; i++) {
        quotients[i] = load(in->quotient + j + i * LANES);
    }
    DDT_UNROLL
    for (size_t t = 0; t < target_count; t++) {
        if (looks_up) {
            start_from_quotients(&sums[t], quotients, targets[t].products, vectors);
        } else {
            start_tile(&sums[t], vectors);
        }
    }
    add_terms(sums, targets, target_count, looks_up ? in->count : in->count + 1, in, j, vectors);
    DDT_UNROLL
    for (size_t t = 0; t < target_count; t++) {
        finish_tile(&sums[t], &targets[t], out[t] + j, vectors);
    }
}

void ddt_avx512ifma_baseconv_limbs(const ddt_baseconv_target *targets, size_t target_count, size_t count,
                                   uint64_t *const *out, const uint64_t *const *y, const uint64_t *quotient,
                                   size_t begin, size_t end) {
    const ddt_baseconv_inputs in = {count, y, quotient, false};
    target_constants c[DDT_BASECONV_TARGETS];
    for (size_t t = 0; t < DDT_BASECONV_TARGETS; t++) {
        c[t] = make_target(&targets[t < target_count ? t : 0], count, false);
    }
    size_t j = begin;
    for (; end - j >= TILE_VECTORS * LANES; j += TILE_VECTORS * LANES) {
        if (target_count == 2) {
            convert_tile(c, 2, &in, out, j, TILE_VECTORS);
        } else {
            convert_tile(c, 1, &in, out, j, TILE_VECTORS);
        }
    }
    for (; j < end; j += LANES) {
        if (target_count == 2) {
            convert_tile(c, 2, &in, out, j, 1);
        } else {
            convert_tile(c, 1, &in, out, j, 1);
        }
    }
}

/*
 * The second half and the first sweep of the transform. Large limbs: in one, COLUMNS residues of every row at a time:
 * their sources stay in the level-2 cache for all targets, and each target's residues go through the sweep before they
 * leave it. COLUMNS is a page: on shorter stretches of this many limbs and rows the processor's own fetching is of no
 * use (a half longer at 32 residues). What comes next is fetched ahead all the same. Smaller limbs are still in that
 * cache when they have been converted to the end.
 */
enum { COLUMNS = 512, TILE = TILE_VECTORS * LANES, LOG_N_FUSED = 16 };

/* The sources of a tile from residue j on. */
DDT_INLINE void fetch_tile(const ddt_baseconv_inputs *in, size_t j) {
    for (size_t k = 0; k <= in->count; k++) {
        const uint64_t *source = (k < in->count ? in->y[k] : in->quotient) + j;
        DDT_UNROLL
        for (size_t i = 0; i < TILE_VECTORS; i++) {
            __builtin_prefetch(source + i * LANES, 0, 2);
        }
    }
}

/* Residues [from, from + COLUMNS) of one or two targets; those from `next` on are fetched (0: none). */
DDT_INLINE void convert_columns(const target_constants *targets, size_t target_count, const ddt_baseconv_inputs *in,
                                uint64_t *const *out, size_t from, size_t next) {
    for (size_t j = 0; j < COLUMNS; j += TILE) {
        if (next != 0) {
            fetch_tile(in, next + j);
        }
        convert_tile(targets, target_count, in, out, from + j, TILE_VECTORS);
    }
}

/* All targets at the columns from `column` on of rows of `row` residues. */
static void convert_rows(const target_constants *targets, size_t target_count, const ddt_baseconv_inputs *in,
                         uint64_t *const *out, size_t column, size_t row, size_t n) {
    for (size_t t = 0; t < target_count; t += DDT_BASECONV_TARGETS) {
        const size_t fetched = t == 0 && row < n && column + COLUMNS < row ? COLUMNS : 0;
        for (size_t j = column; j < n; j += row) {
            const size_t next = fetched == 0 ? 0 : j + fetched;
            if (target_count - t >= DDT_BASECONV_TARGETS) {
                convert_columns(targets + t, DDT_BASECONV_TARGETS, in, out + t, j, next);
            } else {
                convert_columns(targets + t, 1, in, out + t, j, next);
            }
        }
    }
}

void ddt_avx512ifma_baseconv_begin(const ddt_baseconv_target *targets, size_t target_count,
                                   const ddt_baseconv_inputs *in, uint64_t *const *out) {
    const size_t n = targets[0].modulus->n;
    const unsigned log_n = targets[0].modulus->log_n;
    target_constants c[DDT_BASECONV_TOGETHER];
    transform jobs[DDT_BASECONV_TOGETHER];
    for (size_t t = 0; t < target_count; t++) {
        c[t] = make_target(&targets[t], in->count, in->narrow && in->count <= LOOKED_UP);
        jobs[t] = ddt_avx512ifma_forward(targets[t].modulus);
    }
    const size_t row = n / forward_rows(log_n);
    const bool fused = log_n >= LOG_N_FUSED;
    for (size_t column = 0; column < (fused ? row : n); column += COLUMNS) {
        convert_rows(c, target_count, in, out, column, fused ? row : n, n);
        for (size_t t = 0; t < target_count && fused; t++) {
            ddt_avx512ifma_first_sweep(&jobs[t], out[t], column, COLUMNS);
        }
    }
    for (size_t t = 0; t < target_count && !fused; t++) {
        ddt_avx512ifma_first_sweep(&jobs[t], out[t], 0, row);
    }
}
