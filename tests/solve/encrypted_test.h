/*
 * A problem's circuit under encryption, for tests of this room: keys, encryption, every batch, decryption.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_ENCRYPTED_TEST_H
#define DDT_ENCRYPTED_TEST_H

#include "solve_test.h"

#include "ddt/custody.h"

/* p->inputs and p->outputs hold the circuit's inputs and outputs in the clear. */
typedef struct encrypted_keys {
    const ddt_ckks_params *params;
    ddt_secret_key *secret;
    ddt_eval_keys *eval;
} encrypted_keys;

static inline void encrypted_make_keys(problem *p, ddt_plan *plan, encrypted_keys *k) {
    assert_ok(p->ctx, ddt_plan_params(p->ctx, plan, &k->params));
    assert_ok(p->ctx, ddt_secret_key_generate(p->ctx, k->params, &k->secret));
    assert_ok(p->ctx, ddt_eval_keys_create(p->ctx, k->params, &k->eval));
    for (size_t i = 0; i < ddt_plan_key_count(plan); i++) {
        ddt_plan_key wanted = ddt_plan_get_key(plan, i);
        ddt_switch_key key;
        assert_ok(p->ctx, ddt_switch_key_generate(p->ctx, k->secret, wanted.galois, wanted.top_level, &key));
        assert_ok(p->ctx, ddt_eval_keys_add(p->ctx, k->eval, &key));
    }
    ddt_plan_info info;
    ddt_plan_get_info(plan, &info);
    if (info.literal.boot_levels > 0) {
        ddt_encapsulation encapsulation;
        assert_ok(p->ctx, ddt_encapsulation_generate(p->ctx, k->secret, &encapsulation));
        assert_ok(p->ctx, ddt_eval_keys_set_encapsulation(p->ctx, k->eval, &encapsulation));
        ddt_encapsulation_destroy(&encapsulation);
    }
}

/* One upload, as commands make and open it. */
static inline void encrypted_upload(problem *p, ddt_plan *plan, const encrypted_keys *k, size_t batch,
                                    const size_t *inputs, size_t count, ddt_ciphertext *out) {
    const double *values[DDT_CKKS_PACK_MAX] = {0};
    ddt_ciphertext piece[DDT_CKKS_PACK_MAX] = {0};
    ddt_plaintext plain = {0};
    ddt_ciphertext upload = {0};
    for (size_t i = 0; i < count; i++) {
        values[i] = p->inputs[inputs[i]];
    }
    assert_ok(p->ctx, ddt_plan_encode_upload(p->ctx, plan, batch, inputs, values, count, &plain));
    assert_ok(p->ctx, ddt_encrypt_secret(p->ctx, k->secret, &plain, &upload));
    assert_ok(p->ctx, ddt_plan_open_upload(p->ctx, plan, k->eval, &upload, inputs, count, piece));
    for (size_t i = 0; i < count; i++) {
        out[inputs[i]] = piece[i];
    }
    ddt_plaintext_destroy(&plain);
    ddt_ciphertext_destroy(&upload);
}

static inline void encrypted_inputs(problem *p, ddt_plan *plan, const encrypted_keys *k, size_t batch,
                                    ddt_ciphertext *out) {
    const size_t count = ddt_plan_input_count(plan);
    const size_t pack = ddt_plan_pack_count(plan);
    size_t *order = calloc(count + 1, sizeof *order);
    ddt_plan_upload_order(plan, 0, order);
    for (size_t first = 0; first < count; first += pack) {
        size_t left = count - first;
        encrypted_upload(p, plan, k, batch, order + first, left < pack ? left : pack, out);
    }
    free(order);
}

static inline void encrypted_outputs(problem *p, ddt_plan *plan, const encrypted_keys *k, size_t batch,
                                     const ddt_ciphertext *results) {
    size_t slots = ddt_ckks_slots(k->params);
    double complex *values = calloc(slots, sizeof *values);
    double *real = calloc(slots, sizeof *real);
    for (size_t o = 0; o < ddt_plan_output_count(plan); o++) {
        ddt_plaintext plain = {0};
        assert_ok(p->ctx, ddt_decrypt(p->ctx, k->secret, &results[o], &plain));
        assert_ok(p->ctx, ddt_ckks_decode(p->ctx, k->params, &plain, values));
        for (size_t s = 0; s < slots; s++) {
            real[s] = creal(values[s]);
        }
        ddt_plan_unpack(plan, batch, real, p->outputs[o]);
        ddt_plaintext_destroy(&plain);
    }
    free(values);
    free(real);
}

static inline double encrypted_run(problem *p, ddt_plan *plan, const encrypted_keys *k) {
    ddt_plan_info info;
    ddt_plan_get_info(plan, &info);
    size_t inputs = ddt_plan_input_count(plan);
    size_t outputs = ddt_plan_output_count(plan);
    double seconds = 0.0;
    for (size_t b = 0; b < info.batches; b++) {
        ddt_ciphertext *in = calloc(inputs + 1, sizeof *in);
        ddt_ciphertext *out = calloc(outputs + 1, sizeof *out);
        encrypted_inputs(p, plan, k, b, in);
        double start = ddt_clock_s();
        assert_ok(p->ctx, ddt_plan_run(p->ctx, plan, k->eval, b, in, out));
        seconds += ddt_clock_s() - start;
        encrypted_outputs(p, plan, k, b, out);
        for (size_t i = 0; i < inputs; i++) {
            ddt_ciphertext_destroy(&in[i]);
        }
        for (size_t i = 0; i < outputs; i++) {
            ddt_ciphertext_destroy(&out[i]);
        }
        free(in);
        free(out);
    }
    return seconds;
}

static inline void encrypted_destroy(encrypted_keys *k) {
    ddt_eval_keys_destroy(k->eval);
    ddt_secret_key_destroy(k->secret);
    *k = (encrypted_keys){0};
}

#endif
