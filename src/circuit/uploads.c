/*
 * What is sent for a run: input vectors that share ciphertexts, and how the engine takes them apart.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <sodium.h>
#include <string.h>

bool plan_is_carried(const ddt_plan *plan, size_t input) {
    bool carried = false;
    for (size_t o = 0; o < plan->output_count; o++) {
        carried |= plan->outputs[o].carried == input;
    }
    return carried;
}

unsigned plan_upload_level(const ddt_plan *plan) {
    unsigned level = 0;
    for (size_t i = 0; i < plan->input_count; i++) {
        level = plan->levels[i] > level && !plan_is_carried(plan, i) ? plan->levels[i] : level;
    }
    return level;
}

/* As many as the slots allow, but no more than there are vectors to send. A state that lives on takes any number of
 * them. */
unsigned plan_pack_stages_most(const ddt_plan *plan, unsigned log_n) {
    size_t own = 0;
    for (size_t i = 0; i < plan->input_count; i++) {
        own += !plan_is_carried(plan, i);
    }
    unsigned most = ddt_ckks_pack_stages_max(log_n, plan_lanes_per_batch(plan, log_n) * plan->pool.block);
    unsigned wanted = own < plan->input_count && own > 0 ? most : ddt_ckks_pack_stages(own);
    return wanted < most ? wanted : most;
}

size_t ddt_plan_pack_count(const ddt_plan *plan) { return (size_t)1 << plan->pack_stages; }

size_t ddt_plan_upload_count(const ddt_plan *plan, size_t vectors) {
    const size_t pack = ddt_plan_pack_count(plan);
    return (vectors + pack - 1) / pack;
}

void ddt_plan_upload_order(const ddt_plan *plan, size_t run, size_t *inputs) {
    size_t count = 0;
    for (unsigned level = plan_top_level(&plan->literal) + 1; level-- > 0;) {
        for (size_t i = 0; i < plan->input_count; i++) {
            if (plan->levels[i] == level) {
                size_t place = run % 2 == 0 ? count : plan->input_count - 1 - count;
                inputs[place] = i;
                count++;
            }
        }
    }
}

unsigned ddt_plan_upload_level(const ddt_plan *plan, const size_t *inputs, size_t count) {
    unsigned level = 0;
    for (size_t k = 0; k < count; k++) {
        level = plan->levels[inputs[k]] > level ? plan->levels[inputs[k]] : level;
    }
    return plan_prime_level(&plan->literal, level);
}

static ddt_status check_upload(ddt_context *ctx, const ddt_plan *plan, const size_t *inputs, size_t count) {
    bool is_good = plan->params != NULL && count >= 1 && count <= ddt_plan_pack_count(plan);
    for (size_t k = 0; is_good && k < count; k++) {
        is_good = inputs[k] < plan->input_count;
    }
    return is_good ? DDT_OK
                   : ddt_fail(ctx, DDT_ERR_ARGUMENT, "%zu inputs cannot share a ciphertext in this plan.", count);
}

ddt_status ddt_plan_encode_upload(ddt_context *ctx, const ddt_plan *plan, size_t batch, const size_t *inputs,
                                  const double *const *values, size_t count, ddt_plaintext *out) {
    const size_t slots = plan_slots(plan);
    const size_t period = plan->lanes_per_batch * plan->pool.block;
    ddt_ckks_packed vectors[DDT_CKKS_PACK_MAX] = {0};
    ddt_status status = check_upload(ctx, plan, inputs, count);
    if (status != DDT_OK) {
        return status;
    }
    double *packed = ddt_calloc(count * slots, sizeof *packed);
    if (packed == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for what is to be encrypted.");
    }
    for (size_t k = 0; k < count; k++) {
        ddt_plan_pack(plan, batch, values[k], packed + k * slots);
        vectors[k] = (ddt_ckks_packed){.values = packed + k * slots,
                                       .level = plan_prime_level(&plan->literal, plan->levels[inputs[k]])};
    }
    status = ddt_ckks_pack(ctx, plan->params, vectors, count, period, ddt_plan_upload_level(plan, inputs, count), out);
    sodium_memzero(packed, count * slots * sizeof *packed);
    ddt_free(packed);
    return status;
}

ddt_status ddt_plan_open_upload(ddt_context *ctx, ddt_plan *plan, const ddt_eval_keys *keys,
                                const ddt_ciphertext *upload, const size_t *inputs, size_t count, ddt_ciphertext *out) {
    const ddt_ckks_params *params = NULL;
    ddt_evaluator *evaluator = NULL;
    unsigned levels[DDT_CKKS_PACK_MAX];
    memset(out, 0, count * sizeof *out);
    ddt_status status = ddt_plan_params(ctx, plan, &params);
    if (status == DDT_OK) {
        status = check_upload(ctx, plan, inputs, count);
    }
    if (status != DDT_OK) {
        return status;
    }
    if (count == 1) {
        return ddt_ciphertext_copy(ctx, params, upload, &out[0]); /* as it was sent, with its seed */
    }
    for (size_t k = 0; k < count; k++) {
        levels[k] = plan_prime_level(&plan->literal, plan->levels[inputs[k]]);
    }
    status = ddt_evaluator_create(ctx, params, keys, ddt_context_threads(ctx), &evaluator);
    if (status == DDT_OK) {
        status = ddt_eval_unpack(evaluator, upload, levels, count, out);
    }
    ddt_evaluator_destroy(evaluator);
    return status;
}
