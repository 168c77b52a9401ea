/*
 * Living twins in the clear: the sequential posterior against the estimate from all levels at once, amounts against
 * CVODE, files that are cut differently, refusals, plan files.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "update_test.h"

typedef struct life {
    ddt_context *ctx;
    ddt_model *model;
    ddt_update *update;
    double *twin;
    double clock_h;
} life;

static void life_open(life *l, const char *path, const char *table, const ddt_update_options *options) {
    ddt_events *events = NULL;
    *l = (life){.clock_h = NAN};
    assert_ok(NULL, ddt_context_create(&l->ctx));
    assert_ok(l->ctx, ddt_model_read(l->ctx, path, &l->model));
    assert_ok(l->ctx, ddt_events_parse(l->ctx, table, strlen(table), "template.csv", l->model, &events));
    assert_ok(l->ctx, ddt_update_create(l->ctx, l->model, events, options, &l->update));
    l->twin = calloc(ddt_update_block(l->update), sizeof *l->twin);
    ddt_events_destroy(events);
}

static void life_close(life *l) {
    free(l->twin);
    ddt_update_destroy(l->update);
    ddt_model_destroy(l->model);
    ddt_context_destroy(l->ctx);
}

static void life_begin(life *l) {
    memset(l->twin, 0, ddt_update_block(l->update) * sizeof *l->twin);
    l->clock_h = NAN;
}

/* The events through the circuit, in the clear. Returns the number of steps. */
static size_t life_step(life *l, const ddt_events *events) {
    ddt_update_steps steps;
    double *next = calloc(ddt_update_block(l->update), sizeof *next);
    assert_ok(l->ctx, ddt_update_fill(l->ctx, l->update, l->model, events, 0, l->clock_h, &steps));
    for (size_t s = 0; s < steps.count; s++) {
        double **inputs = steps.inputs + s * steps.input_count;
        inputs[0] = l->twin;
        assert_ok(l->ctx, ddt_circuit_run_clear(l->ctx, ddt_update_circuit(l->update), (const double *const *)inputs,
                                                false, &next));
        inputs[0] = NULL;
        memcpy(l->twin, next, ddt_update_block(l->update) * sizeof *next);
    }
    l->clock_h = steps.to_h;
    size_t count = steps.count;
    ddt_update_steps_destroy(&steps);
    free(next);
    return count;
}

static const char *const template_table = "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL\n"
                                          "t,0,1000,1000,1,1,.,75,80\nt,11.5,.,.,1,0,10,75,80\n"
                                          "t,12,1000,1000,1,1,.,75,80\nt,14.5,.,.,1,0,20,75,80\n"
                                          "t,24,1000,1000,1,1,.,75,80\nt,35.5,.,.,1,0,10,75,80\n"
                                          "t,36,1000,1000,1,1,.,75,80\nt,47.5,.,.,1,0,10,75,80\n";

/* How far the twin's estimate after each level is from that of all levels so far. */
static void test_batch(void **state) {
    (void)state;
    life l;
    ddt_update_options options = {.memory = 4096};
    life_open(&l, update_patient_model, template_table, &options);
    ddt_update_info info;
    ddt_update_get_info(l.update, &info);
    print_message("%zu points, log scale %g\n", info.points, info.log_scale);
    double *symbols = calloc(l.model->symbol_count, sizeof *symbols);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        update_patient p;
        update_patient_draw(&p, l.model, seed, symbols);
        life_begin(&l);
        for (int i = 0; i < (getenv("NL") ? atoi(getenv("NL")) : UPDATE_TEST_LEVELS); i++) {
            ddt_events *one = update_patient_events(l.ctx, &p, l.model, i, 1);
            ddt_events *all = update_patient_events(l.ctx, &p, l.model, 0, i + 1);
            ddt_update_estimate e;
            double eta[8];
            double covariance[64];
            assert_int_equal(life_step(&l, one), 1);
            assert_ok(l.ctx, ddt_update_read_state(l.ctx, l.update, l.model, l.twin, &e));
            assert_ok(l.ctx, ddt_fit_exact(l.ctx, l.model, all, 0, 1.0, eta, covariance, NULL));
            if (i < 1 || i == 4) {
                print_message("patient %d, %2d levels, %5.1f points:", (int)seed, i + 1, e.effective_points);
                for (size_t k = 0; k < e.eta_count; k++) {
                    print_message("  %+.4f (%+.4f) +- %.3f (%.3f)", e.eta[k], e.eta[k] - eta[k], e.sd[k],
                                  sqrt(covariance[k * e.eta_count + k]));
                }
                print_message("\n");
            }
            ddt_update_estimate_destroy(&e);
            ddt_events_destroy(one);
            ddt_events_destroy(all);
        }
        text_free(&p.all);
    }
    free(symbols);
    life_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch),
    };
    return cmocka_run_group_tests_name("update", tests, NULL, NULL);
}
