/* Rotations and conjugation. SPDX-License-Identifier: Apache-2.0 */
#include "keyswitch.h"

static ddt_status check_rotation(ddt_evaluator *ev, const char *operation, const ddt_ciphertext *a,
                                 const ddt_ciphertext *out) {
    ddt_status status = ckks_check_input(ev, operation, a);
    if (status == DDT_OK && a->parts != 2) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "%s: relinearise the product first.", operation);
    }
    return status == DDT_OK ? ckks_check_room(ev, operation, out, a->level, 2) : status;
}

static void automorphism_result(const ddt_ckks_params *params, const ddt_ciphertext *a, const ckks_key_entry *entry,
                                const ddt_ciphertext *out, ks_result *result) {
    const size_t n = params->n;
    *result = (ks_result){.add = {ddt_ciphertext_limb(a, n, 0, 0), NULL},
                          .permutation = entry->permutation,
                          .out = {ddt_ciphertext_limb(out, n, 0, 0), ddt_ciphertext_limb(out, n, 1, 0)}};
}

static ddt_status automorphism(ddt_evaluator *ev, const char *operation, const ddt_ciphertext *a, uint64_t galois,
                               ddt_ciphertext *out) {
    const ckks_key_entry *entry = NULL;
    ddt_status status = check_rotation(ev, operation, a, out);
    if (status == DDT_OK && galois == 1) {
        ckks_copy(ev, a, a->level, out);
        ckks_set_result(out, a->level, 2, a->scale);
        return DDT_OK;
    }
    if (status == DDT_OK) {
        status = ks_find_key(ev, operation, galois, a->level, &entry);
    }
    if (status == DDT_OK) {
        status = ckks_arena_begin(ev, ks_work_limbs(ev, a->level));
    }
    if (status != DDT_OK) {
        return status;
    }
    ks_work w;
    ks_result result;
    ks_work_take(ev, a->level, &w);
    automorphism_result(ev->params, a, entry, out, &result);
    const uint64_t *source = ddt_ciphertext_limb(a, ev->params->n, 1, 0);
    const ks_input input = {.key = &entry->key, .source = source};
    ks_decompose(&w, source);
    ks_switch(&w, &input, &result);
    ckks_set_result(out, a->level, 2, a->scale);
    return DDT_OK;
}

ddt_status ddt_eval_rotate(ddt_evaluator *ev, const ddt_ciphertext *a, int64_t steps, ddt_ciphertext *out) {
    return automorphism(ev, "rotate", a, ddt_ring_galois_rotation(ev->params->ring, steps), out);
}

ddt_status ddt_eval_conjugate(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_ciphertext *out) {
    return automorphism(ev, "conjugate", a, ddt_ring_galois_conjugation(ev->params->ring), out);
}

ddt_status ddt_eval_rotate_hoisted(ddt_evaluator *ev, const ddt_ciphertext *a, const int64_t *steps, size_t count,
                                   ddt_ciphertext *const *out) {
    const ddt_ckks_params *params = ev->params;
    const ckks_key_entry *entry = NULL;
    ddt_status status = DDT_OK;
    for (size_t r = 0; r < count && status == DDT_OK; r++) {
        const uint64_t galois = ddt_ring_galois_rotation(params->ring, steps[r]);
        status = check_rotation(ev, "rotate_hoisted", a, out[r]);
        if (status == DDT_OK && galois != 1) {
            status = ks_find_key(ev, "rotate_hoisted", galois, a->level, &entry);
        }
    }
    if (status == DDT_OK) {
        status = ckks_arena_begin(ev, ks_work_limbs(ev, a->level) + ks_rotations_limbs(ev, count));
    }
    if (status != DDT_OK) {
        return status;
    }
    ks_work w;
    ks_rotation rotations[KS_KEYS_MAX];
    size_t waiting = 0;
    ks_work_take(ev, a->level, &w);
    uint64_t *room = ckks_arena_take(ev, ks_rotations_limbs(ev, count));
    const uint64_t *source = ddt_ciphertext_limb(a, params->n, 1, 0);
    ks_decompose(&w, source);
    for (size_t r = 0; r < count; r++) {
        const uint64_t galois = ddt_ring_galois_rotation(params->ring, steps[r]);
        if (galois == 1) {
            ckks_copy(ev, a, a->level, out[r]);
        } else {
            entry = ckks_keys_entry(ev->keys, galois);
            rotations[waiting].key = &entry->key;
            automorphism_result(params, a, entry, out[r], &rotations[waiting++].result);
        }
        if (waiting == KS_KEYS_MAX || (r + 1 == count && waiting > 0)) {
            ks_rotate(&w, source, rotations, waiting, room);
            waiting = 0;
        }
        ckks_set_result(out[r], a->level, 2, a->scale);
    }
    return DDT_OK;
}
