/* label: long */
/*
 * Under encryption, with secure parameters: theophylline, vancomycin and tacrolimus at 96 times a subject and more,
 * against CVODE.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_test.h"

#include "ddt/custody.h"

#define MODELS DDT_SOURCE_DIR "/models/"

/* A tenth of what the project asks for. */
static const double bar = 1e-4;

typedef struct keys {
    const ddt_ckks_params *params;
    ddt_secret_key *secret;
    ddt_eval_keys *eval;
} keys;

static void make_keys(problem *p, ddt_plan *plan, keys *k) {
    assert_ok(p->ctx, ddt_plan_params(p->ctx, plan, &k->params));
    assert_ok(p->ctx, ddt_secret_key_generate(p->ctx, k->params, &k->secret));
    assert_ok(p->ctx, ddt_eval_keys_create(p->ctx, k->params, &k->eval));
    for (size_t i = 0; i < ddt_plan_key_count(plan); i++) {
        ddt_plan_key wanted = ddt_plan_get_key(plan, i);
        ddt_switch_key key;
        assert_ok(p->ctx, ddt_switch_key_generate(p->ctx, k->secret, wanted.galois, wanted.top_level, &key));
        assert_ok(p->ctx, ddt_eval_keys_add(p->ctx, k->eval, &key));
    }
}

static void encrypt(problem *p, ddt_plan *plan, const keys *k, size_t batch, ddt_ciphertext *out) {
    size_t slots = ddt_ckks_slots(k->params);
    double *values = calloc(slots, sizeof *values);
    for (size_t i = 0; i < ddt_plan_input_count(plan); i++) {
        ddt_plaintext plain = {0};
        unsigned level = ddt_plan_get_input(plan, i).level;
        ddt_plan_pack(plan, batch, p->inputs[i], values);
        assert_ok(p->ctx, ddt_ckks_encode_real(p->ctx, k->params, values, slots, level,
                                               ddt_ckks_canonical_scale(k->params, level), &plain));
        assert_ok(p->ctx, ddt_encrypt_secret(p->ctx, k->secret, &plain, &out[i]));
        ddt_plaintext_destroy(&plain);
    }
    free(values);
}

static void decrypt(problem *p, ddt_plan *plan, const keys *k, size_t batch, const ddt_ciphertext *results) {
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

static double run(problem *p, ddt_plan *plan, const keys *k) {
    ddt_plan_info info;
    ddt_plan_get_info(plan, &info);
    size_t inputs = ddt_plan_input_count(plan);
    size_t outputs = ddt_plan_output_count(plan);
    double seconds = 0.0;
    for (size_t b = 0; b < info.batches; b++) {
        ddt_ciphertext *in = calloc(inputs + 1, sizeof *in);
        ddt_ciphertext *out = calloc(outputs + 1, sizeof *out);
        encrypt(p, plan, k, b, in);
        double start = ddt_clock_s();
        assert_ok(p->ctx, ddt_plan_run(p->ctx, plan, k->eval, b, in, out));
        seconds += ddt_clock_s() - start;
        decrypt(p, plan, k, b, out);
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

static void check(const char *model, const char *table) {
    problem p = {0};
    ddt_plan *plan = NULL;
    keys k = {0};
    ddt_plan_info info;
    assert_ok(NULL, ddt_context_create(&p.ctx));
    assert_ok(p.ctx, ddt_model_read(p.ctx, model, &p.model));
    assert_ok(p.ctx, ddt_events_parse(p.ctx, table, strlen(table), "test.csv", p.model, &p.events));
    problem_solve(&p, NULL);
    ddt_plan_request request = {.target_error = 5e-5};
    assert_ok(p.ctx, ddt_plan_create(p.ctx, ddt_solution_circuit(p.solution), &request, &plan));
    ddt_plan_get_info(plan, &info);
    assert_int_equal(info.security_bits, 128);
    make_keys(&p, plan, &k);
    problem_run(&p, false);
    double clear_error = problem_error(&p);
    double seconds = run(&p, plan, &k);
    ddt_solution_collect(p.solution, (const double *const *)p.outputs, p.values);
    double error = problem_error(&p);
    print_message(
        "%s: depth %u, ring degree 2^%u, log2(QP) %.0f, %zu batches, %.2f s; error %.1e (%.1e in the clear)\n",
        strrchr(model, '/') + 1, info.depth, info.literal.log_n, info.log2_qp, info.batches, seconds, error,
        clear_error);
    assert_true(error <= bar);
    ddt_eval_keys_destroy(k.eval);
    ddt_secret_key_destroy(k.secret);
    ddt_plan_destroy(plan);
    problem_free(&p);
}

static void test_theophylline(void **state) {
    (void)state;
    text table = {0};
    text_add(&table, "ID,TIME,AMT,EVID,eta.ka,eta.cl\n");
    for (int s = 1; s <= 12; s++) {
        text_add(&table, "%d,0,%.2f,1,%.2f,%.2f\n", s, 4.0 + 0.1 * s, 0.2 * (s - 6), 0.05 * (6 - s));
        for (int t = 1; t <= 96; t++) {
            text_add(&table, "%d,%.2f,.,0,%.2f,%.2f\n", s, 0.25 * t, 0.2 * (s - 6), 0.05 * (6 - s));
        }
    }
    check(MODELS "theophylline.R", table.data);
    text_free(&table);
}

static void test_vancomycin(void **state) {
    (void)state;
    text table = {0};
    text_add(&table, "ID,TIME,AMT,RATE,II,ADDL,EVID,WT,CRCL,eta_cl,eta_v2\n");
    for (int s = 1; s <= 4; s++) {
        char covariates[64];
        (void)snprintf(covariates, sizeof covariates, "%d,%d,%.2f,%.2f", 55 + 10 * s, 30 * s, 0.1 * s - 0.2,
                       0.5 * s - 1.0);
        text_add(&table, "%d,0,1000,1000,12,6,1,%s\n", s, covariates);
        for (int t = 1; t <= 96; t++) {
            text_add(&table, "%d,%.4f,.,.,.,.,0,%s\n", s, 0.875 * t, covariates);
        }
    }
    check(MODELS "vancomycin_thomson2009.R", table.data);
    text_free(&table);
}

static void test_tacrolimus(void **state) {
    (void)state;
    text table = {0};
    text_add(&table, "ID,TIME,AMT,II,ADDL,EVID,HCT,CYP3A5,FORMULATION,eta.cl\n");
    for (int s = 1; s <= 2; s++) {
        text_add(&table, "%d,0,4,12,3,1,%d,%d,%d,0.2\n", s, 25 + 5 * s, s % 2, s / 2);
        for (int t = 1; t <= 96; t++) {
            text_add(&table, "%d,%.2f,.,.,.,0,%d,%d,%d,0.2\n", s, 0.5 * t, 25 + 5 * s, s % 2, s / 2);
        }
    }
    check(MODELS "tacrolimus_woillard2011.R", table.data);
    text_free(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_theophylline),
        cmocka_unit_test(test_vancomycin),
        cmocka_unit_test(test_tacrolimus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
