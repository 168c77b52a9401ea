/* The inside of a linear transform. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_CKKS_TRANSFORM_INTERNAL_H
#define DDT_CKKS_TRANSFORM_INTERNAL_H

#include "ckks_internal.h"
#include "ddt/ckks/transform.h"

enum { TRANSFORM_BABIES_MAX = 32, TRANSFORM_LOG_BLOCK = 11 };

typedef struct transform_term {
    size_t source; /* index of the caller's diagonal */
    size_t giant;
    size_t baby;
    size_t run;       /* equal neighbours in the NTT domain: one of each run is stored */
    size_t count;     /* runs of a limb */
    uint64_t *stored; /* count values of each target */
} transform_term;

struct ddt_transform {
    const ddt_ckks_params *params;
    ddt_ring *block_ring; /* the same moduli for shorter limbs: element-wise work on blocks of the NTT domain */
    unsigned level;
    double scale;
    size_t targets;
    /* Over all diagonals, for the noise: sums of the largest values and of the mean squares. */
    double weight;
    double mean_square;
    size_t terms_count;
    transform_term *terms; /* sorted by giant, then baby */
    size_t babies_count;
    int64_t babies[TRANSFORM_BABIES_MAX];
    bool used[TRANSFORM_BABIES_MAX];
    size_t giants_count;
    int64_t *giants; /* increasing */
};

/* As ddt_eval_transform, but not rescaled: out has the transform's level, and the scale is multiplied by its own. */
ddt_status transform_unscaled(ddt_evaluator *ev, const ddt_transform *transform, const ddt_ciphertext *a,
                              ddt_ciphertext *out);

/* The rotation that follows the sum of this giant step in Horner's rule. */
int64_t transform_giant_step(const ddt_transform *transform, size_t giant);

#endif
