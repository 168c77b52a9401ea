/*
 * ddt/ckks/transform.h - public linear transforms of the slots that need few keys and little memory.
 *
 * (M z)_j = sum over diagonals d of values_d[j] z_{j+d}. Baby steps and giant steps with double hoisting (Bossuat,
 * Mouchet, Troncoso-Pastoriza, Hubaux 2021): the baby rotations share one decomposition of the input, and sums are
 * taken over Q and P before any division. The giant steps follow Horner's rule, result = S_0 + R(S_1 + R(S_2 + ...)),
 * so that evenly spaced giant steps share one rotation key. The matrices of bootstrapping are such transforms.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CKKS_TRANSFORM_H
#define DDT_CKKS_TRANSFORM_H

#include "ddt/ckks.h"
#include "ddt/ckks/bound.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One diagonal. index: any integer (taken as it is for the split into steps; a rotation knows it modulo the number of
 * slots). values: `period` of them, repeated over all slots; period a power of two up to the number of slots.
 */
typedef struct ddt_diagonal {
    int64_t index;
    const ddt_complex *values;
    size_t period;
} ddt_diagonal;

/*
 * level  of the input (at least ddt_ckks_step); the result is one rescale below
 * scale  of the encoded diagonals; the result's scale is the input's * scale / ddt_ckks_step_modulus
 * baby   number of baby steps, 0: chosen for speed; fewer baby steps need fewer keys
 */
typedef struct ddt_transform_shape {
    unsigned level;
    double scale;
    unsigned baby;
} ddt_transform_shape;

typedef struct ddt_transform ddt_transform;

/*
 * Encodes the diagonals over Q and P: (level + 1 + p_count) * 2 * period words for each. Errors: DDT_ERR_ARGUMENT
 * (shape, repeated index), DDT_ERR_RANGE, DDT_ERR_MEMORY. params must outlive the transform; the caller owns *out.
 */
DDT_MUST_CHECK ddt_status ddt_transform_create(ddt_context *ctx, const ddt_ckks_params *params,
                                               const ddt_diagonal *diagonals, size_t count,
                                               const ddt_transform_shape *shape, ddt_transform **out);
void ddt_transform_destroy(ddt_transform *transform);
/* The rotations whose keys (at the transform's level) it needs: writes up to `capacity`, returns how many there are. */
size_t ddt_transform_rotations(const ddt_transform *transform, int64_t *steps, size_t capacity);
unsigned ddt_transform_level(const ddt_transform *transform);
/* Memory of the encoded diagonals. */
size_t ddt_transform_bytes(const ddt_transform *transform);

/*
 * out = M a, rescaled. a: 2 parts at the transform's level or above (the limbs above are ignored). out may
 * alias a. Errors as in ddt/ckks.h.
 */
DDT_MUST_CHECK ddt_status ddt_eval_transform(ddt_evaluator *ev, const ddt_transform *transform, const ddt_ciphertext *a,
                                             ddt_ciphertext *out);

/*
 * The result's message and error where the input, at this scale, has those of `a` (worst case, ddt/ckks/bound.h), and
 * the root mean square of its error where the input's message and error have these (on average, as ddt_ckks_noise_*).
 */
ddt_ckks_bound ddt_ckks_bound_transform(const ddt_transform *transform, double scale, ddt_ckks_bound a,
                                        unsigned tail_bits);
double ddt_ckks_noise_transform(const ddt_transform *transform, double scale, double message_rms, double error_rms);

/*
 * Slot j of out = sum of slots j + k stride, k < count, count a power of two: log2(count) rotations by stride 2^i. With
 * the full number of slots every slot holds the sum of all; a negative stride spreads values instead (replication).
 */
DDT_MUST_CHECK ddt_status ddt_eval_inner_sum(ddt_evaluator *ev, const ddt_ciphertext *a, size_t count, int64_t stride,
                                             ddt_ciphertext *out);

#ifdef __cplusplus
}
#endif
#endif
