/*
 * ddt/ckks/matrix.h - products of encrypted d x d matrices that lie in the slots of one ciphertext, many at a time.
 *
 * A matrix takes d^3 slots, so that a product is one multiplication and log2(d) rotations whatever d is: slot
 * ((m d + i) d + j) d + k of matrix m holds X[i][k] where X is to be the left factor and X[k][j] where it is the right
 * one. The product's entry [i][j] then lies at k = 0, and other slots hold sums that mean nothing; a linear transform
 * packs it as the next factor. d is a power of two, and N/2 / d^3 matrices are multiplied at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CKKS_MATRIX_H
#define DDT_CKKS_MATRIX_H

#include "ddt/ckks.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DDT_MATRIX_D_MAX = 16 };

typedef enum ddt_matrix_side { DDT_MATRIX_LEFT = 0, DDT_MATRIX_RIGHT = 1 } ddt_matrix_side;

/* values: `count` matrices, row-major. slots: count * d^3, to be encoded (count a power of two: repeated over all). */
void ddt_matrix_pack(ddt_matrix_side side, size_t d, const double *values, size_t count, ddt_complex *slots);
/* The matrices of a product from its slots. */
void ddt_matrix_unpack(size_t d, const ddt_complex *slots, size_t count, double *values);

/* The transforms that pack a product at `level` again; params must outlive them. The caller owns *out. */
typedef struct ddt_matrix_packer ddt_matrix_packer;
DDT_MUST_CHECK ddt_status ddt_matrix_packer_create(ddt_context *ctx, const ddt_ckks_params *params, size_t d,
                                                   unsigned level, ddt_matrix_packer **out);
void ddt_matrix_packer_destroy(ddt_matrix_packer *packer);
/*
 * The rotations that products of size d and packing need, the latter for one side: writes up to `capacity`, returns how
 * many there are.
 */
size_t ddt_matrix_product_rotations(size_t d, int64_t *steps, size_t capacity);
size_t ddt_matrix_packer_rotations(const ddt_matrix_packer *packer, ddt_matrix_side side, int64_t *steps,
                                   size_t capacity);

/* out = left * right, not packed, one rescale below. out aliases neither. Errors as in ddt/ckks.h. */
DDT_MUST_CHECK ddt_status ddt_eval_matrix_product(ddt_evaluator *ev, size_t d, const ddt_ciphertext *left,
                                                  const ddt_ciphertext *right, ddt_ciphertext *out);
/*
 * A product, packed as a factor, one rescale below, at the canonical scale if it had its own. a: at the packer's level.
 * out may alias a.
 */
DDT_MUST_CHECK ddt_status ddt_eval_matrix_pack(ddt_evaluator *ev, const ddt_matrix_packer *packer, ddt_matrix_side side,
                                               const ddt_ciphertext *a, ddt_ciphertext *out);

#ifdef __cplusplus
}
#endif
#endif
