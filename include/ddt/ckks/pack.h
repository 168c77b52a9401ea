/*
 * ddt/ckks/pack.h - several real vectors in one ciphertext, without a level.
 *
 * A ciphertext of N coefficients holds N/2 complex slots. Two real vectors are the real and imaginary parts of one
 * complex vector. Vectors that repeat with a period of N / (2 g) slots are polynomials in X^g, so that g complex ones
 * fit between each other: m_0 + X m_1 + ... + X^(g-1) m_{g-1}. Automorphisms that change the sign of X, of X^2, of X^4
 * ... and the conjugation bring them apart again, by sums and differences: one key switch for each vector but the
 * first, no product, no rescale.
 *
 * What is packed is divided by 2^stages, since each of the stages doubles the message. So an error e of the packed
 * ciphertext and errors s of the key switches become at most 2^stages e + (2^stages - 1) s.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CKKS_PACK_H
#define DDT_CKKS_PACK_H

#include "ddt/ckks.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DDT_CKKS_PACK_STAGES_MAX = 3, DDT_CKKS_PACK_MAX = 1 << DDT_CKKS_PACK_STAGES_MAX };

/* The least stages with 2^stages >= count; 0 for one vector or none. */
unsigned ddt_ckks_pack_stages(size_t count);
/* The most stages for vectors of that period (a power of two <= N/2). */
unsigned ddt_ckks_pack_stages_max(unsigned log_n, size_t period);
/* The Galois element of a stage (1..stages) when there are `stages`: the conjugation comes last. */
uint64_t ddt_ckks_pack_galois(unsigned log_n, unsigned stages, unsigned stage);

/* A vector to be packed: `period` values, and the level that it will be wanted at, with the canonical scale of it. */
typedef struct ddt_ckks_packed {
    const double *values;
    unsigned level;
} ddt_ckks_packed;

/*
 * *out: the plaintext of `count` vectors (1..DDT_CKKS_PACK_MAX) at `level`, at least theirs, labelled with its
 * canonical scale; it holds real vectors only when count is 1. *out as for ddt_ckks_encode. Errors: those of
 * ddt_ckks_encode; DDT_ERR_ARGUMENT (count, levels, a period too long for that many vectors).
 */
DDT_MUST_CHECK ddt_status ddt_ckks_pack(ddt_context *ctx, const ddt_ckks_params *params, const ddt_ckks_packed *vectors,
                                        size_t count, size_t period, unsigned level, ddt_plaintext *out);
/*
 * The vectors of such a ciphertext: out[k] has level levels[k] and its canonical scale, 2 parts; created here, and
 * nothing is left of them on failure. The evaluator has the keys of ddt_ckks_pack_galois at a's level.
 */
DDT_MUST_CHECK ddt_status ddt_eval_unpack(ddt_evaluator *ev, const ddt_ciphertext *a, const unsigned *levels,
                                          size_t count, ddt_ciphertext *out);

#ifdef __cplusplus
}
#endif
#endif
