/* The factors of the homomorphic discrete Fourier transform, as diagonals. SPDX-License-Identifier: Apache-2.0 */
#include "bootstrap_internal.h"

#include <string.h>

/* Entry of a butterfly layer of half-length h at row j: the factor of z_{j+e}, e = 0 or the one neighbour's offset. */
typedef struct butterfly_row {
    double complex own;
    double complex other;
    bool other_is_above; /* the neighbour is z_{j+h}, else z_{j-h} */
} butterfly_row;

/*
 * Forward: (a, b) -> (a + w b, a - w b). Back, halved: (a, b) -> ((a + b) / 2, conj(w) (a - b) / 2).
 */
static butterfly_row layer_row(const ckks_fft *fft, bool forward, size_t half, size_t j) {
    const size_t place = j % (2 * half);
    const bool is_low = place < half;
    const size_t root = half + (is_low ? place : place - half);
    const double complex w = ckks_complex_of(fft->re[root], forward ? fft->im[root] : -fft->im[root]);
    if (forward) {
        return (butterfly_row){is_low ? 1.0 : -w, is_low ? w : 1.0, is_low};
    }
    return (butterfly_row){is_low ? 0.5 : -0.5 * w, is_low ? 0.5 : 0.5 * w, is_low};
}

/* next = layer * current; diagonals -reach..reach in steps of 2^low. */
static void apply_layer(const ckks_fft *fft, const boot_matrix *m, bool forward, unsigned layer, int64_t reach,
                        const double complex *current, double complex *next) {
    const size_t half = (size_t)1 << layer;
    const int64_t shift = (int64_t)(half >> m->low);
    memset(next, 0, (size_t)(2 * reach + 1) * m->period * sizeof *next);
    for (size_t j = 0; j < m->period; j++) {
        const butterfly_row row = layer_row(fft, forward, half, j);
        const size_t other = row.other_is_above ? j + half : j - half;
        const int64_t moved = row.other_is_above ? shift : -shift;
        for (int64_t k = -reach; k <= reach; k++) {
            const size_t at = (size_t)(k + reach) * m->period;
            next[at + j] += row.own * current[at + j];
            if (k - moved >= -reach && k - moved <= reach) {
                next[at + j] += row.other * current[(size_t)(k - moved + reach) * m->period + other];
            }
        }
    }
}

/* Where the matrix spans all slots, indices are equal modulo 2^(high - low): the negative ones are added to the others.
 */
static void fold(boot_matrix *m, int64_t reach) {
    const size_t turn = (size_t)reach + 1;
    double complex *kept = m->values + (size_t)reach * m->period;
    for (size_t i = 0; i < (size_t)reach * m->period; i++) {
        kept[m->period + i] += m->values[i];
    }
    memmove(m->values, kept, turn * m->period * sizeof *kept);
    m->least = 0;
    m->count = turn;
}

ddt_status boot_matrix_create(ddt_context *ctx, const ckks_fft *fft, unsigned log_slots, unsigned low, unsigned high,
                              bool forward, boot_matrix *out) {
    const int64_t reach = ((int64_t)1 << (high - low)) - 1;
    *out = (boot_matrix){.low = low, .high = high, .period = (size_t)1 << high, .least = -reach};
    out->count = (size_t)(2 * reach + 1);
    double complex *current = ddt_calloc(out->count * out->period, sizeof *current);
    double complex *next = ddt_alloc(out->count * out->period, sizeof *next);
    if (current == NULL || next == NULL) {
        ddt_free(current);
        ddt_free(next);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a matrix of bootstrapping.");
    }
    for (size_t j = 0; j < out->period; j++) {
        current[(size_t)reach * out->period + j] = 1.0;
    }
    for (unsigned i = low; i < high; i++) {
        apply_layer(fft, out, forward, forward ? i : high - 1 - (i - low), reach, current, next);
        double complex *swap = current;
        current = next;
        next = swap;
    }
    ddt_free(next);
    out->values = current;
    if (high == log_slots) {
        fold(out, reach);
    }
    return DDT_OK;
}

void boot_matrix_destroy(boot_matrix *matrix) {
    ddt_free(matrix->values);
    memset(matrix, 0, sizeof *matrix);
}
