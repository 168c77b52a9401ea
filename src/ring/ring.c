/* Rings: creation, and the limb functions, which go straight to the ring's kernels. SPDX-License-Identifier: Apache-2.0
 */
#include "ring_internal.h"

#include "arith.h"

#include <string.h>

/* ------------------------------------------------------------------ creation */

static ddt_status check_modulus(ddt_context *ctx, unsigned log_n, const uint64_t *moduli, size_t i) {
    uint64_t q = moduli[i];
    if (q >> DDT_RING_MODULUS_BITS_MAX) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The modulus %llu has more than %d bits.", (unsigned long long)q,
                        DDT_RING_MODULUS_BITS_MAX);
    }
    if (q % (UINT64_C(2) << log_n) != 1) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The modulus %llu is not 1 mod 2^%u.", (unsigned long long)q, log_n + 1);
    }
    if (!ddt_is_prime(q)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The modulus %llu is not prime.", (unsigned long long)q);
    }
    for (size_t k = 0; k < i; k++) {
        if (moduli[k] == q) {
            return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The modulus %llu is given twice.", (unsigned long long)q);
        }
    }
    return DDT_OK;
}

/* The smallest primitive 2N-th root of unity: the smallest odd power of any of them. */
static uint64_t smallest_root(const ddt_modulus *modulus) {
    uint64_t order = UINT64_C(2) << modulus->log_n;
    uint64_t root = 0;
    for (uint64_t g = 2;; g++) {
        root = ddt_modulus_pow(modulus, g, (modulus->q - 1) / order);
        if (ddt_modulus_pow(modulus, root, order / 2) == modulus->q - 1) {
            break;
        }
    }
    uint64_t square = ddt_modulus_mul(modulus, root, root);
    uint64_t quotient = ddt_modulus_quotient(modulus, square, 64);
    uint64_t smallest = root;
    for (uint64_t power = root, k = 1; k < order / 2; k++) {
        power = ddt_reduce_once(ddt_shoup_lazy(power, square, quotient, modulus->q), modulus->q);
        smallest = power < smallest ? power : smallest;
    }
    return smallest;
}

/* roots[i] = psi^bitrev(i). */
static void fill_roots(const ddt_modulus *modulus, uint64_t *roots) {
    roots[0] = 1;
    /* Entry m + i of the block [m, 2m) is entry i times psi^(N / 2m): bit reversal puts the new bit at the bottom of
     * the exponent. */
    for (size_t m = 1; m < modulus->n; m *= 2) {
        uint64_t step = ddt_modulus_pow(modulus, modulus->psi, modulus->n / (2 * m));
        uint64_t quotient = ddt_modulus_quotient(modulus, step, 64);
        for (size_t i = 0; i < m; i++) {
            roots[m + i] = ddt_reduce_once(ddt_shoup_lazy(roots[i], step, quotient, modulus->q), modulus->q);
        }
    }
}

static void fill_modulus(const ddt_ring *ring, ddt_modulus *modulus, uint64_t *roots, uint64_t *tables) {
    modulus->psi = smallest_root(modulus);
    modulus->n_inverse = ddt_modulus_pow(modulus, modulus->n, modulus->q - 2);
    fill_roots(modulus, roots);
    ring->kernels->fill_tables(modulus, roots, tables);
    modulus->tables = tables;
}

static ddt_status allocate(ddt_context *ctx, ddt_ring *ring, size_t table_words, int threads, uint64_t **scratch) {
    size_t words = 0;
    ring->moduli = ddt_calloc(ring->count, sizeof *ring->moduli);
    ring->tables = ddt_size_mul(ring->count, table_words, &words) ? ddt_alloc(words, sizeof(uint64_t)) : NULL;
    *scratch = ddt_size_mul((size_t)threads, ring->n, &words) ? ddt_alloc(words, sizeof(uint64_t)) : NULL;
    if (ring->moduli == NULL || ring->tables == NULL || *scratch == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "There is no memory for the tables of %zu moduli of degree %zu.",
                        ring->count, ring->n);
    }
    return DDT_OK;
}

static ddt_status build(ddt_context *ctx, ddt_ring *ring, const uint64_t *moduli) {
    int threads = ddt_context_threads(ctx);
    if ((size_t)threads > ring->count) {
        threads = (int)ring->count;
    }
    size_t table_words = ring->kernels->table_words(ring->log_n);
    uint64_t *scratch = NULL;
    ddt_status status = allocate(ctx, ring, table_words, threads, &scratch);
    if (status == DDT_OK) {
        for (size_t i = 0; i < ring->count; i++) {
            ddt_modulus_init(&ring->moduli[i], moduli[i], ring->log_n);
        }
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (int t = 0; t < threads; t++) {
            for (size_t i = (size_t)t; i < ring->count; i += (size_t)threads) {
                fill_modulus(ring, &ring->moduli[i], scratch + (size_t)t * ring->n, ring->tables + i * table_words);
            }
        }
    }
    ddt_free(scratch);
    return status;
}

/* The ring of parts: the moduli without tables. */
static ddt_status build_parts(ddt_context *ctx, ddt_ring *ring) {
    ddt_ring *parts = ddt_calloc(1, sizeof *parts);
    ring->parts = parts;
    if (parts != NULL) {
        parts->moduli = ddt_calloc(ring->count, sizeof *parts->moduli);
    }
    if (parts == NULL || parts->moduli == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "There is no memory for a ring.");
    }
    parts->kernels = ring->kernels;
    parts->log_n = ring->log_n < DDT_RING_LOG_PART ? ring->log_n : DDT_RING_LOG_PART;
    parts->n = (size_t)1 << parts->log_n;
    parts->count = ring->count;
    for (size_t i = 0; i < ring->count; i++) {
        parts->moduli[i] = ring->moduli[i];
        parts->moduli[i].tables = NULL;
        parts->moduli[i].log_n = parts->log_n;
        parts->moduli[i].n = parts->n;
    }
    return DDT_OK;
}

ddt_status ddt_ring_create(ddt_context *ctx, unsigned log_n, const uint64_t *moduli, size_t count, ddt_ring **out) {
    if (log_n < DDT_RING_LOG_N_MIN || log_n > DDT_RING_LOG_N_MAX) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The ring degree 2^%u is not between 2^%d and 2^%d.", log_n,
                        DDT_RING_LOG_N_MIN, DDT_RING_LOG_N_MAX);
    }
    if (moduli == NULL || count == 0 || out == NULL) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A ring needs at least one modulus.");
    }
    for (size_t i = 0; i < count; i++) {
        ddt_status status = check_modulus(ctx, log_n, moduli, i);
        if (status != DDT_OK) {
            return status;
        }
    }
    const ddt_kernels *kernels = ddt_kernels_active(ctx);
    if (kernels == NULL) {
        return DDT_ERR_UNSUPPORTED;
    }
    ddt_ring *ring = ddt_calloc(1, sizeof *ring);
    if (ring == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "There is no memory for a ring.");
    }
    ring->kernels = kernels;
    ring->log_n = log_n;
    ring->n = (size_t)1 << log_n;
    ring->count = count;
    ddt_status status = build(ctx, ring, moduli);
    if (status == DDT_OK) {
        status = build_parts(ctx, ring);
    }
    if (status != DDT_OK) {
        ddt_ring_destroy(ring);
        return status;
    }
    *out = ring;
    return DDT_OK;
}

void ddt_ring_destroy(ddt_ring *ring) {
    if (ring != NULL) {
        ddt_ring_destroy(ring->parts);
        ddt_free(ring->moduli);
        ddt_free(ring->tables);
        ddt_free(ring);
    }
}

unsigned ddt_ring_log_n(const ddt_ring *ring) { return ring->log_n; }
size_t ddt_ring_n(const ddt_ring *ring) { return ring->n; }
size_t ddt_ring_count(const ddt_ring *ring) { return ring->count; }
uint64_t ddt_ring_modulus(const ddt_ring *ring, size_t m) { return ring->moduli[m].q; }

uint64_t ddt_ring_scalar_mul(const ddt_ring *ring, size_t m, uint64_t a, uint64_t b) {
    return ddt_modulus_mul(&ring->moduli[m], a, b);
}

uint64_t ddt_ring_scalar_pow(const ddt_ring *ring, size_t m, uint64_t a, uint64_t exponent) {
    return ddt_modulus_pow(&ring->moduli[m], a, exponent);
}

uint64_t ddt_ring_scalar_inverse(const ddt_ring *ring, size_t m, uint64_t a) {
    return ddt_modulus_pow(&ring->moduli[m], a, ring->moduli[m].q - 2);
}

/* ------------------------------------------------------------------ limbs */

void ddt_ring_ntt(const ddt_ring *ring, size_t m, uint64_t *a) { ring->kernels->ntt(&ring->moduli[m], a); }

void ddt_ring_intt(const ddt_ring *ring, size_t m, uint64_t *a) { ring->kernels->intt(&ring->moduli[m], a); }

void ddt_ring_ntt_many(const ddt_ring *ring, size_t m, uint64_t *const *limbs, size_t count) {
    if (ring->kernels->ntt_many != NULL) {
        ring->kernels->ntt_many(&ring->moduli[m], limbs, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        ring->kernels->ntt(&ring->moduli[m], limbs[i]);
    }
}

void ddt_ring_intt_many(const ddt_ring *ring, size_t m, uint64_t *const *limbs, size_t count) {
    if (ring->kernels->intt_many != NULL) {
        ring->kernels->intt_many(&ring->moduli[m], limbs, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        ring->kernels->intt(&ring->moduli[m], limbs[i]);
    }
}

const ddt_ring *ddt_ring_part(const ddt_ring *ring) { return ring->parts; }

void ddt_ring_ntt_begin(const ddt_ring *ring, size_t m, uint64_t *a) {
    if (ring_has_steps(ring)) {
        ring->kernels->ntt_begin(&ring->moduli[m], a);
    }
}

size_t ddt_ring_pieces(const ddt_ring *ring) {
    return ring_has_steps(ring) ? ring->kernels->ntt_pieces(&ring->moduli[0]) : 1;
}

void ddt_ring_ntt_finish_pieces(const ddt_ring *ring, size_t m, uint64_t *const *limbs, size_t count,
                                const ddt_ring_visitor *visitor, size_t first, size_t end) {
    if (first >= end) {
        return;
    }
    if (ring_has_steps(ring)) {
        ring->kernels->ntt_finish(&ring->moduli[m], limbs, count, visitor, first, end);
        return;
    }
    ddt_ring_ntt_many(ring, m, limbs, count);
    for (size_t from = 0; visitor != NULL && from < ring->n; from += ring->parts->n) {
        visitor->visit(visitor->work, from);
    }
}

void ddt_ring_ntt_finish(const ddt_ring *ring, size_t m, uint64_t *const *limbs, size_t count,
                         const ddt_ring_visitor *visitor) {
    ddt_ring_ntt_finish_pieces(ring, m, limbs, count, visitor, 0, ddt_ring_pieces(ring));
}

void ddt_ring_add(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    ring->kernels->add(&ring->moduli[m], out, a, b);
}

void ddt_ring_sub(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    ring->kernels->sub(&ring->moduli[m], out, a, b);
}

void ddt_ring_neg(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a) {
    ring->kernels->neg(&ring->moduli[m], out, a);
}

void ddt_ring_mul(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    ring->kernels->mul(&ring->moduli[m], out, a, b);
}

void ddt_ring_mul_add(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                      const uint64_t *b) {
    ring->kernels->mul_add(&ring->moduli[m], out, acc, a, b);
}

void ddt_ring_add_scalar(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, uint64_t s) {
    ring->kernels->add_scalar(&ring->moduli[m], out, a, s);
}

void ddt_ring_mul_scalar(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, uint64_t s) {
    ring->kernels->mul_scalar(&ring->moduli[m], out, a, s);
}

void ddt_ring_mul_scalar_add(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                             uint64_t s) {
    ring->kernels->mul_scalar_add(&ring->moduli[m], out, acc, a, s);
}

void ddt_ring_sub_mul_scalar(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, const uint64_t *b,
                             uint64_t s) {
    ring->kernels->sub_mul_scalar(&ring->moduli[m], out, a, b, s);
}

void ddt_ring_sub_mul_scalar_add(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, const uint64_t *b,
                                 uint64_t s, const uint64_t *acc) {
    ring->kernels->sub_mul_scalar_add(&ring->moduli[m], out, a, b, s, acc);
}

void ddt_ring_tensor(const ddt_ring *ring, size_t m, uint64_t *d0, uint64_t *d1, uint64_t *d2, const uint64_t *a0,
                     const uint64_t *a1, const uint64_t *b0, const uint64_t *b1) {
    ring->kernels->tensor(&ring->moduli[m], (uint64_t *const[3]){d0, d1, d2}, (const uint64_t *const[2]){a0, a1},
                          (const uint64_t *const[2]){b0, b1}, false);
}

void ddt_ring_tensor_add(const ddt_ring *ring, size_t m, uint64_t *d0, uint64_t *d1, uint64_t *d2, const uint64_t *a0,
                         const uint64_t *a1, const uint64_t *b0, const uint64_t *b1) {
    ring->kernels->tensor(&ring->moduli[m], (uint64_t *const[3]){d0, d1, d2}, (const uint64_t *const[2]){a0, a1},
                          (const uint64_t *const[2]){b0, b1}, true);
}

void ddt_ring_dot2(const ddt_ring *ring, size_t m, uint64_t *out0, uint64_t *out1, const uint64_t *const *a,
                   const uint64_t *const *b0, const uint64_t *const *b1, size_t count) {
    ring->kernels->dot2(&ring->moduli[m], out0, out1, a, b0, b1, count);
}

bool ddt_ring_dot_takes_products(const ddt_ring *ring) { return ring->kernels->dot2_end != NULL; }

/* The sums of an inner product without what is divided, one after the other, at `sums`. */
static void dot_sums(const ddt_ring *ring, const ddt_modulus *modulus, uint64_t *const sums[2],
                     const uint64_t *const *a, const uint64_t *const *b0, const uint64_t *const *b1, size_t count,
                     const ddt_ring_dot_end *end) {
    const ddt_kernels *kernels = ring->kernels;
    kernels->dot2(modulus, sums[0], sums[1], a, b0, b1, count);
    for (size_t p = 0; p < 2; p++) {
        if (end->sum[0] != NULL) {
            kernels->add(modulus, sums[p], sums[p], end->sum[p]);
        }
        if (end->addend[0] != NULL) {
            kernels->mul_scalar_add(modulus, sums[p], sums[p], end->addend[p], end->factor);
        }
    }
    if (end->left[0] == NULL) {
        return;
    }
    uint64_t *const products[3] = {end->room + 2 * ring->n, end->room + 3 * ring->n, end->room + 4 * ring->n};
    kernels->tensor(modulus, products, end->left, end->right, false);
    for (size_t p = 0; p < 2; p++) {
        kernels->mul_scalar_add(modulus, sums[p], sums[p], products[p], end->factor);
    }
}

void ddt_ring_dot2_end(const ddt_ring *ring, size_t m, uint64_t *out0, uint64_t *out1, const uint64_t *const *a,
                       const uint64_t *const *b0, const uint64_t *const *b1, size_t count,
                       const ddt_ring_dot_end *end) {
    const ddt_modulus *modulus = &ring->moduli[m];
    const ddt_kernels *kernels = ring->kernels;
    uint64_t *const out[2] = {out0, out1};
    if (kernels->dot2_end != NULL && count <= DDT_RING_DOT_SHORT) {
        kernels->dot2_end(modulus, out, a, b0, b1, count, end);
        return;
    }
    const bool divides = end->rest[0] != NULL;
    /* outputs may alias what is yet to be read */
    const bool apart = divides || end->left[0] != NULL || end->sum[0] != NULL;
    uint64_t *const sums[2] = {apart ? end->room : out0, apart ? end->room + ring->n : out1};
    dot_sums(ring, modulus, sums, a, b0, b1, count, end);
    for (size_t p = 0; p < 2 && apart; p++) {
        if (!divides) {
            memcpy(out[p], sums[p], ring->n * sizeof *out[p]);
        } else if (end->then[p] != NULL) {
            kernels->sub_mul_scalar_add(modulus, out[p], sums[p], end->rest[p], end->divisor, end->then[p]);
        } else {
            kernels->sub_mul_scalar(modulus, out[p], sums[p], end->rest[p], end->divisor);
        }
    }
}

void ddt_ring_change_modulus(const ddt_ring *ring, size_t from, size_t to, uint64_t *out, const uint64_t *in) {
    ring->kernels->change_modulus(&ring->moduli[from], &ring->moduli[to], out, in);
}

void ddt_ring_change_begin(const ddt_ring *ring, size_t from, size_t to, uint64_t *out, const uint64_t *in) {
    if (ring_has_steps(ring)) {
        ring->kernels->change_begin(&ring->moduli[from], &ring->moduli[to], out, in);
    } else {
        ring->kernels->change_modulus(&ring->moduli[from], &ring->moduli[to], out, in);
    }
}

void ddt_ring_from_signed(const ddt_ring *ring, size_t m, uint64_t *out, const int64_t *values) {
    ring->kernels->from_signed(&ring->moduli[m], out, values);
}

void ddt_ring_from_signed_mul(const ddt_ring *ring, size_t m, uint64_t *out, const int64_t *values, uint64_t s) {
    if (ring->kernels->from_signed_mul != NULL) {
        ring->kernels->from_signed_mul(&ring->moduli[m], out, values, s);
        return;
    }
    ring->kernels->from_signed(&ring->moduli[m], out, values);
    ring->kernels->mul_scalar(&ring->moduli[m], out, out, s);
}

void ddt_ring_permute(const ddt_ring *ring, uint64_t *out, const uint64_t *in, const uint32_t *permutation) {
    ring->kernels->permute(ring->n, out, in, permutation);
}

void ddt_ring_publish(const ddt_ring *ring, uint64_t *out, const uint64_t *in, size_t count) {
    enum { LINE_WORDS = 8 };
    const size_t line = LINE_WORDS * sizeof *out;
    if (ring->kernels->publish != NULL && count % LINE_WORDS == 0 && (uintptr_t)out % line == 0) {
        ring->kernels->publish(out, in, count);
    } else {
        memcpy(out, in, count * sizeof *out);
    }
}
