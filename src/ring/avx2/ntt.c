/*
 * Negacyclic NTT in double precision.
 *
 * Layers are taken two at a time (radix 4) down to blocks of 16, whose last four layers stay in registers around a 4 x
 * 4 transposition. Blocks that fit the level-1 cache are finished before the next one is begun. Between passes the limb
 * holds doubles.
 *
 * Ranges, for q < 2^50. A product t of y by a twiddle has |t| <= (1/2 + 2^-54 |y|) q, for |y| <= 4q <= 2^52.
 * - Forward, x and y become x + t and x - t. Residues begin in [0, q); the bound grows in two passes (four layers)
 * to 1.57, 2.17, 2.81, 3.48 q. In every second pass from then on, and in the last four layers, x is centred first, |x|
 * <= 0.51 q, while y may be as large as 3.5 q: the bound goes 1.23, 1.81, 2.43, 3.08 q.
 * - Inverse, low and high become (low - high) w and low + high. Residues begin a pass with |x| <= q (the first in [0,
 * q)); its two layers subtract at most 2q and 4q. The results that are sums in the second layer are at most 4q and 2 *
 * 0.63 q and are centred; products are below 3/4 q.
 *
 * Tables: w[i] = psi^bitrev(i), centred, for i in [0, N), then the ratios w[i] / q; the last layer of every block of 16
 * holds its even twiddles before its odd ones. The inverse reads them mirrored, see the IFMA kernels' ntt.h; entry 0,
 * which is no twiddle, holds 1/N.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "avx2_kernels.h"
#include "vector.h"

#include <stdbool.h>
#include <string.h>

enum {
    LOG_TAIL = 4,
    TAIL = 1 << LOG_TAIL,
    RADIX = 4,
    CACHED_WORDS = 4096, /* blocks of this size fit the level-1 cache */
};

/* ------------------------------------------------------------------ tables */

size_t ddt_avx2_table_words(unsigned log_n) { return (size_t)2 << log_n; }

static void put(uint64_t *table, size_t n, size_t i, uint64_t w, uint64_t q) {
    double centred = w > q / 2 ? -(double)(q - w) : (double)w;
    double ratio = centred / (double)q;
    memcpy(table + i, &centred, sizeof centred);
    memcpy(table + n + i, &ratio, sizeof ratio);
}

void ddt_avx2_fill_tables(const ddt_modulus *modulus, const uint64_t *roots, uint64_t *tables) {
    size_t n = modulus->n;
    put(tables, n, 0, modulus->n_inverse, modulus->q);
    for (size_t i = 1; i < n; i++) {
        size_t at = i;
        if (i >= n / 2) { /* the last layer, eight to a block: even ones first */
            size_t place = i % 8;
            at = i - place + place / 2 + (place % 2) * LANES;
        }
        put(tables, n, at, roots[i], modulus->q);
    }
}

/* ------------------------------------------------------------------ butterflies */

typedef struct constants {
    vec q;
    vec inverse;
    const uint64_t *w;
    const uint64_t *ratio;
} constants;

static constants make_constants(const ddt_modulus *modulus) {
    double q = (double)modulus->q;
    return (constants){splat(q), splat(1 / q), modulus->tables, modulus->tables + modulus->n};
}

DDT_INLINE multiplier broadcast(const constants *c, size_t i) {
    return (multiplier){_mm256_broadcast_sd((const double *)(const void *)(c->w + i)),
                        _mm256_broadcast_sd((const double *)(const void *)(c->ratio + i))};
}

DDT_INLINE multiplier lanes(const constants *c, size_t i) { return (multiplier){load(c->w + i), load(c->ratio + i)}; }

DDT_INLINE void butterfly(vec *x, vec *y, multiplier f, const constants *c) {
    vec t = multiply(*y, f.w, f.ratio, c->q);
    *y = sub(*x, t);
    *x = add(*x, t);
}

DDT_INLINE void inverse_butterfly(vec *low, vec *high, multiplier f, const constants *c) {
    vec difference = sub(*low, *high);
    *high = add(*low, *high);
    *low = multiply(difference, f.w, f.ratio, c->q);
}

/* Two layers on four vectors; the first by `first`, the second by `left` and `right`. */
DDT_INLINE void split(vec *v, multiplier first, multiplier left, multiplier right, const constants *c, bool centred) {
    if (centred) {
        v[0] = centre(v[0], c->q, c->inverse);
        v[1] = centre(v[1], c->q, c->inverse);
    }
    butterfly(&v[0], &v[2], first, c);
    butterfly(&v[1], &v[3], first, c);
    butterfly(&v[0], &v[1], left, c);
    butterfly(&v[2], &v[3], right, c);
}

/* The same backwards, on vectors in reverse order. */
DDT_INLINE void merge(vec *v, multiplier last, multiplier left, multiplier right, const constants *c) {
    inverse_butterfly(&v[0], &v[1], left, c);
    inverse_butterfly(&v[2], &v[3], right, c);
    inverse_butterfly(&v[0], &v[2], last, c);
    inverse_butterfly(&v[1], &v[3], last, c);
    v[2] = centre(v[2], c->q, c->inverse);
    v[3] = centre(v[3], c->q, c->inverse);
}

/* v[i] lane j <-> v[j] lane i */
DDT_INLINE void transpose(vec *v) {
    vec a = _mm256_unpacklo_pd(v[0], v[1]);
    vec b = _mm256_unpackhi_pd(v[0], v[1]);
    vec d = _mm256_unpacklo_pd(v[2], v[3]);
    vec e = _mm256_unpackhi_pd(v[2], v[3]);
    v[0] = _mm256_permute2f128_pd(a, d, 0x20);
    v[1] = _mm256_permute2f128_pd(b, e, 0x20);
    v[2] = _mm256_permute2f128_pd(a, d, 0x31);
    v[3] = _mm256_permute2f128_pd(b, e, 0x31);
}

DDT_INLINE words canonical(vec x, const constants *c) { return to_words(lift(centre(x, c->q, c->inverse), c->q)); }

/* ------------------------------------------------------------------ forward */

/* Two layers on `count` nodes from `node` on, of the layer that has `nodes` nodes; a: the first node's `size` residues.
 */
DDT_INLINE void forward_pass(uint64_t *a, size_t size, size_t nodes, size_t node, size_t count, const constants *c,
                             bool from_integers, bool centred) {
    size_t part = size / RADIX;
    for (size_t k = nodes + node; k < nodes + node + count; k++, a += size) {
        const multiplier first = broadcast(c, k);
        const multiplier left = broadcast(c, 2 * k);
        const multiplier right = broadcast(c, 2 * k + 1);
        for (size_t j = 0; j < part; j += LANES) {
            vec v[RADIX];
            DDT_UNROLL
            for (size_t i = 0; i < RADIX; i++) {
                v[i] = from_integers ? from_words(load_words(a + j + i * part)) : load(a + j + i * part);
            }
            split(v, first, left, right, c, centred);
            DDT_UNROLL
            for (size_t i = 0; i < RADIX; i++) {
                store(a + j + i * part, v[i]);
            }
        }
    }
}

/* The first layer alone, where the number of layers is odd. */
static void forward_single(uint64_t *a, size_t n, const constants *c) {
    const multiplier f = broadcast(c, 1);
    for (size_t j = 0; j < n / 2; j += LANES) {
        vec x = from_words(load_words(a + j));
        vec y = from_words(load_words(a + n / 2 + j));
        butterfly(&x, &y, f, c);
        store(a + j, x);
        store(a + n / 2 + j, y);
    }
}

/* The last four layers of the blocks of 16 in a[0..size), the first of which is number `block` of `blocks`. */
DDT_INLINE void forward_tails(uint64_t *a, size_t size, size_t blocks, size_t block, const constants *c,
                              bool from_integers) {
    for (size_t k = blocks + block; k < blocks + block + size / TAIL; k++, a += TAIL) {
        vec v[RADIX];
        DDT_UNROLL
        for (size_t i = 0; i < RADIX; i++) {
            v[i] = from_integers ? from_words(load_words(a + i * LANES)) : load(a + i * LANES);
        }
        split(v, broadcast(c, k), broadcast(c, 2 * k), broadcast(c, 2 * k + 1), c, true);
        transpose(v);
        split(v, lanes(c, 4 * k), lanes(c, 8 * k), lanes(c, 8 * k + LANES), c, false);
        transpose(v);
        DDT_UNROLL
        for (size_t i = 0; i < RADIX; i++) {
            store_words(a + i * LANES, canonical(v[i], c));
        }
    }
}

/* Everything that is left to do on node `node` of `nodes`; depth: passes done before. */
static void forward_block(uint64_t *a, size_t size, size_t nodes, size_t node, unsigned depth, const constants *c) {
    size_t count = 1;
    size_t left = size;
    for (; left > TAIL; left /= RADIX, count *= RADIX, depth++) {
        if (left > CACHED_WORDS && depth > 0 && count == RADIX) { /* leave the rest to the parts */
            for (size_t k = 0; k < count; k++) {
                forward_block(a + k * left, left, nodes * count, node * count + k, depth, c);
            }
            return;
        }
        if (depth % 2 == 0 && depth > 0) {
            forward_pass(a, left, nodes * count, node * count, count, c, false, true);
        } else {
            forward_pass(a, left, nodes * count, node * count, count, c, false, false);
        }
    }
    forward_tails(a, size, nodes * count, node * count, c, false);
}

void ddt_avx2_ntt(const ddt_modulus *modulus, uint64_t *a) {
    const constants c = make_constants(modulus);
    size_t n = modulus->n;
    if (n == TAIL) {
        forward_tails(a, n, 1, 0, &c, true);
        return;
    }
    size_t parts = modulus->log_n % 2 == 0 ? RADIX : 2;
    if (parts == RADIX) {
        forward_pass(a, n, 1, 0, 1, &c, true, false);
    } else {
        forward_single(a, n, &c);
    }
    for (size_t k = 0; k < parts; k++) {
        forward_block(a + k * (n / parts), n / parts, parts, k, 1, &c);
    }
}

/* ------------------------------------------------------------------ inverse */

/* Stores a result of the inverse; last: of its last layers, which scale by 1/N and end in integers. */
DDT_INLINE void store_result(uint64_t *out, vec x, multiplier scale, const constants *c, bool last) {
    if (last) {
        store_words(out, to_words(lift(multiply(x, scale.w, scale.ratio, c->q), c->q)));
    } else {
        store(out, x);
    }
}

/* Two layers backwards on `count` nodes; last: the transform's last two, which scale by 1/N and end in integers. */
DDT_INLINE void inverse_pass(uint64_t *a, size_t size, size_t nodes, size_t node, size_t count, const constants *c,
                             bool last) {
    size_t part = size / RADIX;
    const multiplier scale = broadcast(c, 0);
    for (size_t i = 0; i < count; i++, a += size) {
        size_t k = 2 * nodes - 1 - node - i; /* mirrored */
        const multiplier first = broadcast(c, k);
        const multiplier left = broadcast(c, 2 * k);
        const multiplier right = broadcast(c, 2 * k + 1);
        for (size_t j = 0; j < part; j += LANES) {
            vec v[RADIX];
            DDT_UNROLL
            for (size_t r = 0; r < RADIX; r++) {
                v[r] = load(a + j + (RADIX - 1 - r) * part);
            }
            merge(v, first, left, right, c);
            DDT_UNROLL
            for (size_t r = 0; r < RADIX; r++) {
                store_result(a + j + (RADIX - 1 - r) * part, v[r], scale, c, last);
            }
        }
    }
}

static void inverse_single(uint64_t *a, size_t n, const constants *c) {
    const multiplier f = broadcast(c, 1);
    const multiplier scale = broadcast(c, 0);
    for (size_t j = 0; j < n / 2; j += LANES) {
        vec high = load(a + j);
        vec low = load(a + n / 2 + j);
        inverse_butterfly(&low, &high, f, c);
        store_result(a + j, high, scale, c, true);
        store_result(a + n / 2 + j, low, scale, c, true);
    }
}

DDT_INLINE void reverse(vec *v) {
    vec swap = v[0];
    v[0] = v[3];
    v[3] = swap;
    swap = v[1];
    v[1] = v[2];
    v[2] = swap;
}

DDT_INLINE void inverse_tails(uint64_t *a, size_t size, size_t blocks, size_t block, const constants *c, bool last) {
    const multiplier scale = broadcast(c, 0);
    for (size_t i = 0; i < size / TAIL; i++, a += TAIL) {
        size_t k = 2 * blocks - 1 - block - i;
        vec v[RADIX];
        DDT_UNROLL
        for (size_t r = 0; r < RADIX; r++) {
            v[r] = from_words(load_words(a + (RADIX - 1 - r) * LANES));
        }
        transpose(v);
        reverse(v);
        merge(v, lanes(c, 4 * k), lanes(c, 8 * k), lanes(c, 8 * k + LANES), c);
        reverse(v);
        transpose(v);
        merge(v, broadcast(c, k), broadcast(c, 2 * k), broadcast(c, 2 * k + 1), c);
        DDT_UNROLL
        for (size_t r = 0; r < RADIX; r++) {
            store_result(a + (RADIX - 1 - r) * LANES, v[r], scale, c, last);
        }
    }
}

/* Everything below node `node` of `nodes`, and the node itself. */
static void inverse_block(uint64_t *a, size_t size, size_t nodes, size_t node, const constants *c) {
    if (size > CACHED_WORDS) {
        size_t part = size / RADIX;
        for (size_t k = 0; k < RADIX; k++) {
            inverse_block(a + k * part, part, nodes * RADIX, node * RADIX + k, c);
        }
        inverse_pass(a, size, nodes, node, 1, c, false);
        return;
    }
    size_t blocks = size / TAIL;
    inverse_tails(a, size, nodes * blocks, node * blocks, c, false);
    for (size_t block = (size_t)TAIL * RADIX; block <= size; block *= RADIX) {
        size_t count = size / block;
        inverse_pass(a, block, nodes * count, node * count, count, c, false);
    }
}

void ddt_avx2_intt(const ddt_modulus *modulus, uint64_t *a) {
    const constants c = make_constants(modulus);
    size_t n = modulus->n;
    if (n == TAIL) {
        inverse_tails(a, n, 1, 0, &c, true);
        return;
    }
    size_t parts = modulus->log_n % 2 == 0 ? RADIX : 2;
    for (size_t k = 0; k < parts; k++) {
        inverse_block(a + k * (n / parts), n / parts, parts, k, &c);
    }
    if (parts == RADIX) {
        inverse_pass(a, n, 1, 0, 1, &c, true);
    } else {
        inverse_single(a, n, &c);
    }
}
