/*
 * A living twin under encryption: 20 updates one after the other, never decrypted in between by the engine's side,
 * against the same circuit in the clear and against the estimate from all levels at once.
 *
 * label: long
 * SPDX-License-Identifier: Apache-2.0
 */
#include "encrypted_test.h"
#include "update_test.h"

typedef struct life {
    ddt_context *ctx;
    ddt_model *model;
    ddt_update *update;
    ddt_plan *plan;
    const ddt_ckks_params *params;
    ddt_secret_key *secret;
    ddt_eval_keys *eval;
    ddt_ciphertext twin;
    double *clear, *decrypted, *slots;
    double complex *decoded;
    double clock_h;
} life;

static void make_keys(life *l) {
    assert_ok(l->ctx, ddt_plan_params(l->ctx, l->plan, &l->params));
    assert_ok(l->ctx, ddt_secret_key_generate(l->ctx, l->params, &l->secret));
    assert_ok(l->ctx, ddt_eval_keys_create(l->ctx, l->params, &l->eval));
    for (size_t i = 0; i < ddt_plan_key_count(l->plan); i++) {
        ddt_plan_key wanted = ddt_plan_get_key(l->plan, i);
        ddt_switch_key key;
        assert_ok(l->ctx, ddt_switch_key_generate(l->ctx, l->secret, wanted.galois, wanted.top_level, &key));
        assert_ok(l->ctx, ddt_eval_keys_add(l->ctx, l->eval, &key));
    }
    ddt_encapsulation encapsulation;
    assert_ok(l->ctx, ddt_encapsulation_generate(l->ctx, l->secret, &encapsulation));
    assert_ok(l->ctx, ddt_eval_keys_set_encapsulation(l->ctx, l->eval, &encapsulation));
    ddt_encapsulation_destroy(&encapsulation);
}

static void life_open(life *l, const update_patient *p) {
    ddt_plan_request request = ddt_update_request();
    ddt_events *template = update_patient_events(l->ctx, p, l->model, 0, 4);
    l->clock_h = NAN;
    assert_ok(l->ctx, ddt_update_create(l->ctx, l->model, template, NULL, &l->update));
    assert_ok(l->ctx, ddt_plan_create(l->ctx, ddt_update_circuit(l->update), &request, &l->plan));
    make_keys(l);
    size_t block = ddt_update_block(l->update);
    l->clear = calloc(block, sizeof *l->clear);
    l->decrypted = calloc(block, sizeof *l->decrypted);
    l->slots = calloc(ddt_ckks_slots(l->params), sizeof *l->slots);
    l->decoded = calloc(ddt_ckks_slots(l->params), sizeof *l->decoded);
    ddt_events_destroy(template);
}

static void life_close(life *l) {
    ddt_ciphertext_destroy(&l->twin);
    free(l->clear);
    free(l->decrypted);
    free(l->slots);
    free(l->decoded);
    ddt_eval_keys_destroy(l->eval);
    ddt_secret_key_destroy(l->secret);
    ddt_plan_destroy(l->plan);
    ddt_update_destroy(l->update);
    ddt_model_destroy(l->model);
    ddt_context_destroy(l->ctx);
}

static void encrypt(life *l, const double *values, size_t input, ddt_ciphertext *out) {
    const ddt_plan_input wanted = ddt_plan_get_input(l->plan, input);
    ddt_plaintext plaintext;
    ddt_plan_pack(l->plan, 0, values, l->slots);
    assert_ok(l->ctx, ddt_plaintext_create(l->ctx, l->params, wanted.level, &plaintext));
    assert_ok(l->ctx, ddt_ckks_encode_real(l->ctx, l->params, l->slots, ddt_ckks_slots(l->params), wanted.level,
                                           ddt_ckks_canonical_scale(l->params, wanted.level), &plaintext));
    assert_ok(l->ctx, ddt_encrypt_secret(l->ctx, l->secret, &plaintext, out));
    ddt_plaintext_destroy(&plaintext);
}

static void decrypt(life *l) {
    ddt_plaintext plaintext = {0};
    assert_ok(l->ctx, ddt_decrypt(l->ctx, l->secret, &l->twin, &plaintext));
    assert_ok(l->ctx, ddt_ckks_decode(l->ctx, l->params, &plaintext, l->decoded));
    for (size_t i = 0; i < ddt_ckks_slots(l->params); i++) {
        l->slots[i] = creal(l->decoded[i]);
    }
    ddt_plan_unpack(l->plan, 0, l->slots, l->decrypted);
    ddt_plaintext_destroy(&plaintext);
}

/* One step, encrypted and in the clear. */
static void life_step(life *l, double **inputs, size_t count) {
    ddt_ciphertext own[64] = {{0}};
    ddt_ciphertext next = {0};
    double *clear_next = calloc(ddt_update_block(l->update), sizeof *clear_next);
    inputs[0] = l->clear;
    assert_ok(l->ctx, ddt_circuit_run_clear(l->ctx, ddt_update_circuit(l->update), (const double *const *)inputs, false,
                                            &clear_next));
    inputs[0] = NULL;
    if (l->twin.parts == 0) {
        encrypt(l, l->clear, 0, &l->twin); /* a newborn: zeros */
    }
    own[0] = l->twin;
    for (size_t i = 1; i < count; i++) {
        encrypt(l, inputs[i], i, &own[i]);
    }
    assert_ok(l->ctx, ddt_plan_run(l->ctx, l->plan, l->eval, 0, own, &next));
    for (size_t i = 0; i < count; i++) {
        ddt_ciphertext_destroy(&own[i]);
    }
    l->twin = next;
    memcpy(l->clear, clear_next, ddt_update_block(l->update) * sizeof *clear_next);
    free(clear_next);
    decrypt(l);
}

typedef struct errors {
    double amount, likelihood, eta, clearance, level; /* eta: in standard deviations; level: relative to 30 mg/L */
} errors;

static void compare(life *l, const ddt_events *ahead, double largest_level, errors *e) {
    ddt_update_info info;
    ddt_update_estimate from[2];
    double predicted[2][4];
    double band[4 * DDT_UPDATE_BANDS];
    ddt_update_get_info(l->update, &info);
    *e = (errors){0};
    for (size_t s = 0; s < (info.states + 1) * info.points; s++) {
        double difference = fabs(l->decrypted[s] - l->clear[s]);
        double *worst = s < info.states * info.points ? &e->amount : &e->likelihood;
        *worst = fmax(*worst, difference);
    }
    e->likelihood *= info.log_scale;
    for (int side = 0; side < 2; side++) {
        assert_ok(l->ctx,
                  ddt_update_read_state(l->ctx, l->update, l->model, side == 0 ? l->clear : l->decrypted, &from[side]));
        assert_ok(l->ctx, ddt_update_predict(l->ctx, l->update, l->model, &from[side], ahead, 0, l->clock_h,
                                             predicted[side], band));
    }
    for (size_t i = 0; i < info.etas; i++) {
        e->eta = fmax(e->eta, fabs(from[0].eta[i] - from[1].eta[i]) / from[0].sd[i]);
    }
    e->clearance = fabs(exp(from[0].eta[0] - from[1].eta[0]) - 1.0);
    e->level = fabs(predicted[0][0] - predicted[1][0]) / largest_level;
    ddt_update_estimate_destroy(&from[0]);
    ddt_update_estimate_destroy(&from[1]);
}

static void test_twenty_updates(void **state) {
    (void)state;
    life l = {0};
    update_patient p;
    assert_ok(NULL, ddt_context_create(&l.ctx));
    assert_ok(l.ctx, ddt_model_read(l.ctx, update_patient_model, &l.model));
    double *symbols = calloc(l.model->symbol_count, sizeof *symbols);
    update_patient_draw(&p, l.model, 2, symbols);
    life_open(&l, &p);
    for (int i = 0; i < UPDATE_TEST_LEVELS; i++) {
        ddt_update_steps steps;
        ddt_events *one = update_patient_events(l.ctx, &p, l.model, i, 1);
        double started = ddt_clock_s();
        assert_ok(l.ctx, ddt_update_fill(l.ctx, l.update, l.model, one, 0, l.clock_h, &steps));
        assert_int_equal(steps.count, 1);
        life_step(&l, steps.inputs, steps.input_count);
        l.clock_h = steps.to_h;
        ddt_update_steps_destroy(&steps);
        ddt_events_destroy(one);
        ddt_events *ahead = NULL;
        text table = {0};
        text_add(&table, "%sp,%g,.,.,1,0,.,75,60\n", p.header, l.clock_h + 1.0);
        assert_ok(l.ctx, ddt_events_parse(l.ctx, table.data, table.length, "ahead.csv", l.model, &ahead));
        errors e;
        compare(&l, ahead, 30.0, &e);
        print_message("update %2d, %4.1f s: amounts %.1e of their scale, log likelihoods %.1e, etas %.1e sd, "
                      "clearance %.1e, level %.1e\n",
                      i + 1, ddt_clock_s() - started, e.amount, e.likelihood, e.eta, e.clearance, e.level);
        assert_true(e.amount < 1e-5 && e.eta < 0.05 && e.clearance < 0.01 && e.level < 1e-3);
        ddt_events_destroy(ahead);
        text_free(&table);
    }
    text_free(&p.all);
    free(symbols);
    life_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twenty_updates),
    };
    return cmocka_run_group_tests_name("update under encryption", tests, NULL, NULL);
}
