/*
 * Negacyclic NTT, portable: radix-2 layers on 64-bit words with lazily reduced residues (Harvey 2014).
 *
 * A multiplication by a twiddle accepts any 64-bit word and returns [0, 2q). Forward, a layer adds at most 2q to every
 * residue: after 17 layers they are below q + 34 q < 2^56. Inverse, sums double: they are reduced when the next
 * doubling would leave no room.
 *
 * Tables: for i in [1, N) the pair psi^bitrev(i), its quotient by q; then the same for the inverses; then N^-1 and the
 * last inverse twiddle divided by N.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "scalar_kernels.h"

#include "../arith.h"

static void store_pair(const ddt_modulus *modulus, uint64_t *table, size_t i, uint64_t w) {
    table[2 * i] = w;
    table[2 * i + 1] = ddt_modulus_quotient(modulus, w, 64);
}

size_t ddt_scalar_table_words(unsigned log_n) { return (size_t)4 << log_n; }

void ddt_scalar_fill_tables(const ddt_modulus *modulus, const uint64_t *roots, uint64_t *tables) {
    size_t n = modulus->n;
    uint64_t *inverse = tables + 2 * n;
    for (size_t m = 1; m < n; m *= 2) {
        for (size_t i = 0; i < m; i++) {
            store_pair(modulus, tables, m + i, roots[m + i]);
            /* psi^N = -1 makes the inverses the negatives of the same layer, backwards. */
            store_pair(modulus, inverse, m + i, modulus->q - roots[2 * m - 1 - i]);
        }
    }
    /* Entry 0 of neither table is a twiddle: they carry the scaling of the inverse's last layer. */
    store_pair(modulus, tables, 0, modulus->n_inverse);
    store_pair(modulus, inverse, 0, ddt_modulus_mul(modulus, inverse[2], modulus->n_inverse));
}

void ddt_scalar_ntt(const ddt_modulus *modulus, uint64_t *a) {
    const uint64_t q = modulus->q;
    const uint64_t *table = modulus->tables;
    size_t n = modulus->n;
    for (size_t m = 1, t = n / 2; m < n; m *= 2, t /= 2) {
        for (size_t i = 0; i < m; i++) {
            uint64_t w = table[2 * (m + i)];
            uint64_t quotient = table[2 * (m + i) + 1];
            uint64_t *x = a + 2 * i * t;
            uint64_t *y = x + t;
            for (size_t j = 0; j < t; j++) {
                uint64_t product = ddt_shoup_lazy(y[j], w, quotient, q);
                uint64_t sum = x[j];
                x[j] = sum + product;
                y[j] = sum + 2 * q - product;
            }
        }
    }
    for (size_t j = 0; j < n; j++) {
        a[j] = ddt_reduce_64(a[j], q, modulus->reciprocal_64);
    }
}

/* One inverse layer of t butterflies; bound: a multiple of q that no residue exceeds. */
static void inverse_group(uint64_t *x, size_t t, const uint64_t *pair, uint64_t q, uint64_t bound) {
    uint64_t *y = x + t;
    for (size_t j = 0; j < t; j++) {
        uint64_t difference = x[j] + bound - y[j];
        x[j] += y[j];
        y[j] = ddt_shoup_lazy(difference, pair[0], pair[1], q);
    }
}

static void reduce_all(const ddt_modulus *modulus, uint64_t *a) {
    for (size_t j = 0; j < modulus->n; j++) {
        a[j] = ddt_reduce_64(a[j], modulus->q, modulus->reciprocal_64);
    }
}

void ddt_scalar_intt(const ddt_modulus *modulus, uint64_t *a) {
    const uint64_t bound_max = UINT64_C(1) << 62; /* x + bound - y stays below 2^63 */
    const uint64_t q = modulus->q;
    size_t n = modulus->n;
    const uint64_t *scale = modulus->tables;
    const uint64_t *table = modulus->tables + 2 * n;
    uint64_t bound = 2 * q; /* also bounds the products of the first layer */
    for (size_t m = n / 2, t = 1; m > 1; m /= 2, t *= 2) {
        for (size_t i = 0; i < m; i++) {
            inverse_group(a + 2 * i * t, t, table + 2 * (m + i), q, bound);
        }
        bound *= 2;
        if (bound > bound_max / 2) {
            reduce_all(modulus, a);
            bound = 2 * q;
        }
    }
    /* The last layer multiplies the sums by 1/N and the differences by w/N. */
    uint64_t *y = a + n / 2;
    for (size_t j = 0; j < n / 2; j++) {
        uint64_t difference = a[j] + bound - y[j];
        a[j] = ddt_reduce_once(ddt_shoup_lazy(a[j] + y[j], scale[0], scale[1], q), q);
        y[j] = ddt_reduce_once(ddt_shoup_lazy(difference, table[0], table[1], q), q);
    }
}
