/* Products of small encrypted matrices. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/ckks/matrix.h"

#include "ckks_internal.h"
#include "ddt/ckks/transform.h"

#include <math.h>

enum { SIDES = 2 };

/* Scales that sums take as equal (ddt/ckks.h). */
static const double scale_tolerance = 0x1p-40;

struct ddt_matrix_packer {
    size_t d;
    double canonical; /* scale of a result whose input has the canonical scale */
    double input;
    ddt_transform *transforms[SIDES];
};

/* Where the entry lies, of those that slot (i, j, k) holds. */
static size_t entry(ddt_matrix_side side, size_t d, size_t i, size_t j, size_t k) {
    return side == DDT_MATRIX_LEFT ? i * d + k : k * d + j;
}

void ddt_matrix_pack(ddt_matrix_side side, size_t d, const double *values, size_t count, double complex *slots) {
    for (size_t s = 0; s < count * d * d * d; s++) {
        const size_t m = s / (d * d * d);
        slots[s] = values[m * d * d + entry(side, d, s / (d * d) % d, s / d % d, s % d)];
    }
}

void ddt_matrix_unpack(size_t d, const double complex *slots, size_t count, double *values) {
    for (size_t v = 0; v < count * d * d; v++) {
        values[v] = creal(slots[v * d]);
    }
}

/* ------------------------------------------------------------------ packing */

static bool is_size(const ddt_ckks_params *params, size_t d) {
    return d >= 2 && d <= DDT_MATRIX_D_MAX && (d & (d - 1)) == 0 && d * d * d <= params->n / 2;
}

/*
 * Slot (i, j, k) takes what lies at (entry, 0): for every k and every j (left) or i (right) another distance, d^2
 * diagonals in all, each with ones where that k and j or i are.
 */
static void fill_diagonals(ddt_matrix_side side, size_t d, double complex *values, ddt_diagonal *diagonals) {
    const size_t period = d * d * d;
    for (size_t s = 0; s < period; s++) {
        const size_t i = s / (d * d);
        const size_t j = s / d % d;
        const size_t k = s % d;
        const size_t which = k * d + (side == DDT_MATRIX_LEFT ? j : i);
        values[which * period + s] = 1.0;
        diagonals[which] =
            (ddt_diagonal){(int64_t)(entry(side, d, i, j, k) * d) - (int64_t)s, values + which * period, period};
    }
}

static ddt_status make_transform(ddt_context *ctx, const ddt_ckks_params *params, ddt_matrix_side side,
                                 const ddt_transform_shape *shape, ddt_matrix_packer *packer) {
    const size_t d = packer->d;
    ddt_diagonal diagonals[DDT_MATRIX_D_MAX * DDT_MATRIX_D_MAX];
    double complex *values = ddt_calloc(d * d * d * d * d, sizeof *values);
    if (values == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short to pack %zu x %zu matrices.", d, d);
    }
    fill_diagonals(side, d, values, diagonals);
    ddt_status status = ddt_transform_create(ctx, params, diagonals, d * d, shape, &packer->transforms[side]);
    ddt_free(values);
    return status;
}

ddt_status ddt_matrix_packer_create(ddt_context *ctx, const ddt_ckks_params *params, size_t d, unsigned level,
                                    ddt_matrix_packer **out) {
    *out = NULL;
    const unsigned step = ddt_ckks_step(params);
    if (!is_size(params, d) || level < step || level > params->literal.levels) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "%zu x %zu matrices cannot be packed at level %u.", d, d, level);
    }
    ddt_matrix_packer *packer = ddt_calloc(1, sizeof *packer);
    if (packer == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short to pack %zu x %zu matrices.", d, d);
    }
    packer->d = d;
    packer->input = params->scales[level];
    packer->canonical = params->scales[level - step];
    const ddt_transform_shape shape = {level, packer->canonical * ddt_ckks_step_modulus(params, level) / packer->input,
                                       0};
    ddt_status status = make_transform(ctx, params, DDT_MATRIX_LEFT, &shape, packer);
    if (status == DDT_OK) {
        status = make_transform(ctx, params, DDT_MATRIX_RIGHT, &shape, packer);
    }
    if (status != DDT_OK) {
        ddt_matrix_packer_destroy(packer);
        return status;
    }
    *out = packer;
    return DDT_OK;
}

void ddt_matrix_packer_destroy(ddt_matrix_packer *packer) {
    if (packer != NULL) {
        ddt_transform_destroy(packer->transforms[DDT_MATRIX_LEFT]);
        ddt_transform_destroy(packer->transforms[DDT_MATRIX_RIGHT]);
        ddt_free(packer);
    }
}

size_t ddt_matrix_product_rotations(size_t d, int64_t *steps, size_t capacity) {
    size_t count = 0;
    for (size_t step = 1; step < d; step *= 2, count++) {
        if (count < capacity) {
            steps[count] = (int64_t)step;
        }
    }
    return count;
}

size_t ddt_matrix_packer_rotations(const ddt_matrix_packer *packer, ddt_matrix_side side, int64_t *steps,
                                   size_t capacity) {
    return ddt_transform_rotations(packer->transforms[side], steps, capacity);
}

/* ------------------------------------------------------------------ evaluation */

ddt_status ddt_eval_matrix_product(ddt_evaluator *ev, size_t d, const ddt_ciphertext *left, const ddt_ciphertext *right,
                                   ddt_ciphertext *out) {
    if (!is_size(ev->params, d)) {
        return ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "matrix_product: %zu x %zu matrices do not fit.", d, d);
    }
    ddt_status status = ddt_eval_mul(ev, left, right, out);
    return status == DDT_OK ? ddt_eval_inner_sum(ev, out, d, 1, out) : status;
}

ddt_status ddt_eval_matrix_pack(ddt_evaluator *ev, const ddt_matrix_packer *packer, ddt_matrix_side side,
                                const ddt_ciphertext *a, ddt_ciphertext *out) {
    const bool canonical = fabs(a->scale / packer->input - 1.0) < scale_tolerance;
    ddt_status status = ddt_eval_transform(ev, packer->transforms[side], a, out);
    if (status == DDT_OK && canonical) {
        out->scale = packer->canonical; /* equal up to the rounding of doubles */
    }
    return status;
}
