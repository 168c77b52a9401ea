/* Relinearisation. SPDX-License-Identifier: Apache-2.0 */
#include "keyswitch.h"

/* A key for the relinearisation of what has some level, and room for that. */
static ddt_status begin(ddt_evaluator *ev, const char *operation, unsigned level, size_t more_limbs,
                        const ckks_key_entry **entry) {
    ddt_status status = ks_find_key(ev, operation, 0, level, entry);
    return status == DDT_OK ? ckks_arena_begin(ev, ks_work_limbs(ev, level) + more_limbs) : status;
}

/* Divides by P alone, or by P and the top prime. */
static ddt_status relinearise(ddt_evaluator *ev, const char *operation, bool rescale, const ddt_ciphertext *a,
                              ddt_ciphertext *out) {
    const ckks_key_entry *entry = NULL;
    ddt_status status = ckks_check_input(ev, operation, a);
    if (status == DDT_OK && (a->parts != 3 || (rescale && a->level == 0))) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "%s: %u parts at level %u cannot be taken.", operation, a->parts,
                          a->level);
    }
    if (status == DDT_OK) {
        status = ckks_check_room(ev, operation, out, rescale ? a->level - 1 : a->level, 2);
    }
    if (status == DDT_OK) {
        status = begin(ev, operation, a->level, 0, &entry);
    }
    if (status != DDT_OK) {
        return status;
    }
    const size_t n = ev->params->n;
    const unsigned level = a->level;
    ks_work w;
    ks_work_take(ev, level, &w);
    const uint64_t *source = ddt_ciphertext_limb(a, n, 2, 0);
    ks_result result = {.rescale = rescale,
                        .out = {ddt_ciphertext_limb(out, n, 0, 0), ddt_ciphertext_limb(out, n, 1, 0)}};
    ks_input input = {.key = &entry->key, .source = source};
    for (unsigned p = 0; p < PARTS; p++) {
        const uint64_t **where = rescale ? &input.lift[p] : &result.add[p];
        *where = ddt_ciphertext_limb(a, n, p, 0);
    }
    ks_decompose(&w, source);
    ks_switch(&w, &input, &result);
    const double scale = rescale ? a->scale / (double)ddt_ring_modulus(ev->params->ring, level) : a->scale;
    ckks_set_result(out, rescale ? level - 1 : level, 2, scale);
    return DDT_OK;
}

ddt_status ckks_mul_rescale(ddt_evaluator *ev, const char *operation, const ddt_ciphertext *a, const ddt_ciphertext *b,
                            ddt_ciphertext *out) {
    const ckks_key_entry *entry = NULL;
    const unsigned level = a->level;
    ddt_status status = DDT_OK;
    if (level == 0) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "%s: factors at level 0 cannot be taken.", operation);
    }
    if (status == DDT_OK) {
        status = ckks_check_room(ev, operation, out, level - 1, 2);
    }
    if (status == DDT_OK) {
        status = begin(ev, operation, level, (size_t)level + 1, &entry);
    }
    if (status != DDT_OK) {
        return status;
    }
    const size_t n = ev->params->n;
    ks_work w;
    ks_work_take(ev, level, &w);
    uint64_t *source = ckks_arena_take(ev, (size_t)level + 1);
    ks_input input = {.key = &entry->key, .source = source};
    ks_result result = {.rescale = true};
    for (unsigned p = 0; p < PARTS; p++) {
        input.left[p] = ddt_ciphertext_limb(a, n, p, 0);
        input.right[p] = ddt_ciphertext_limb(b, n, p, 0);
        result.out[p] = ddt_ciphertext_limb(out, n, p, 0);
    }
    const double scale = a->scale * b->scale / (double)ddt_ring_modulus(ev->params->ring, level);
    ks_decompose_product(&w, input.left[1], input.right[1], source);
    ks_switch(&w, &input, &result);
    ckks_set_result(out, level - 1, 2, scale);
    return DDT_OK;
}

ddt_status ddt_eval_relinearise(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_ciphertext *out) {
    return relinearise(ev, "relinearise", false, a, out);
}

ddt_status ddt_eval_relinearise_rescale(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_ciphertext *out) {
    const char *operation = "relinearise_rescale";
    if (ddt_ckks_step(ev->params) == 1) {
        return relinearise(ev, operation, true, a, out);
    }
    ddt_ciphertext *between = NULL;
    ddt_status status = ckks_check_input(ev, operation, a);
    if (status == DDT_OK && a->level < 2) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "%s: no level is left below level %u.", operation, a->level);
    }
    if (status == DDT_OK) {
        status = ckks_pool_take(ev, a->level - 1, &between);
    }
    if (status == DDT_OK) {
        status = relinearise(ev, operation, true, a, between);
    }
    if (status == DDT_OK) {
        status = ckks_divide_top(ev, between, out);
    }
    if (between != NULL) {
        ckks_pool_give(ev, between);
    }
    return status;
}
