/* Products of ciphertexts. SPDX-License-Identifier: Apache-2.0 */
#include "ckks_internal.h"

void ckks_tensor_limb(const ddt_ckks_params *params, const ddt_ciphertext *a, const ddt_ciphertext *b, unsigned limb,
                      bool accumulate, const ddt_ciphertext *out) {
    const size_t n = params->n;
    const uint64_t *a0 = ddt_ciphertext_limb(a, n, 0, limb);
    const uint64_t *a1 = ddt_ciphertext_limb(a, n, 1, limb);
    const uint64_t *b0 = ddt_ciphertext_limb(b, n, 0, limb);
    const uint64_t *b1 = ddt_ciphertext_limb(b, n, 1, limb);
    uint64_t *d0 = ddt_ciphertext_limb(out, n, 0, limb);
    uint64_t *d1 = ddt_ciphertext_limb(out, n, 1, limb);
    uint64_t *d2 = ddt_ciphertext_limb(out, n, 2, limb);
    if (accumulate) {
        ddt_ring_tensor_add(params->ring, limb, d0, d1, d2, a0, a1, b0, b1);
    } else {
        ddt_ring_tensor(params->ring, limb, d0, d1, d2, a0, a1, b0, b1);
    }
}

static ddt_status check_factors(ddt_evaluator *ev, const char *operation, const ddt_ciphertext *a,
                                const ddt_ciphertext *b) {
    ddt_status status = ckks_check_pair(ev, operation, a, b);
    if (status == DDT_OK && (a->parts != 2 || b->parts != 2)) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "%s: relinearise the factors first.", operation);
    }
    return status;
}

static void tensor_limbs(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_ciphertext *b, bool accumulate,
                         const ddt_ciphertext *out) {
#pragma omp parallel for num_threads(ev->threads) if (ev->threads > 1) schedule(static)
    for (unsigned i = 0; i <= a->level; i++) {
        ckks_tensor_limb(ev->params, a, b, i, accumulate, out);
    }
}

ddt_status ddt_eval_tensor(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_ciphertext *b, ddt_ciphertext *out) {
    ddt_status status = check_factors(ev, "tensor", a, b);
    if (status == DDT_OK) {
        status = ckks_check_room(ev, "tensor", out, a->level, 3);
    }
    if (status == DDT_OK && (out->limbs == a->limbs || out->limbs == b->limbs)) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "tensor: the output may not be one of the factors.");
    }
    if (status != DDT_OK) {
        return status;
    }
    tensor_limbs(ev, a, b, false, out);
    ckks_set_result(out, a->level, 3, a->scale * b->scale);
    return DDT_OK;
}

ddt_status ddt_eval_tensor_add(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_ciphertext *b,
                               ddt_ciphertext *out) {
    ddt_status status = check_factors(ev, "tensor_add", a, b);
    if (status == DDT_OK) {
        status = ckks_check_pair(ev, "tensor_add", a, out);
    }
    if (status == DDT_OK && out->parts != 3) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "tensor_add: the sum has %u parts, not 3.", out->parts);
    }
    if (status == DDT_OK) {
        status = ckks_check_scales(ev, "tensor_add", a->scale * b->scale, out->scale);
    }
    if (status != DDT_OK) {
        return status;
    }
    tensor_limbs(ev, a, b, true, out);
    return DDT_OK;
}

/* With a product that is written, where more than one prime is taken off or the ring has no better way. */
static ddt_status multiply_apart(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_ciphertext *b,
                                 ddt_ciphertext *out) {
    ddt_ciphertext *product = NULL;
    ddt_status status = ckks_pool_take(ev, a->level, &product);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_eval_tensor(ev, a, b, product);
    if (status == DDT_OK) {
        status = ddt_eval_relinearise_rescale(ev, product, out);
    }
    ckks_pool_give(ev, product);
    return status;
}

ddt_status ddt_eval_mul(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_ciphertext *b, ddt_ciphertext *out) {
    const char *operation = "mul";
    const ddt_status status = check_factors(ev, operation, a, b);
    if (status != DDT_OK) {
        return status;
    }
    const bool at_once = ddt_ckks_step(ev->params) == 1 && ddt_ring_dot_takes_products(ev->params->ring);
    return at_once ? ckks_mul_rescale(ev, operation, a, b, out) : multiply_apart(ev, a, b, out);
}
