/*
 * Levels below a limit of quantification in living twins: the parameters of a step against -log Phi, and the estimate
 * after several levels, some of them below a limit, against the M3 estimate by another method (CVODE, Newton).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "update_internal.h"
#include "update_test.h"

static const char *const model_text = "m <- function() {\n  ini({\n    eta.cl ~ 0.16\n    eta.v ~ 0.06\n%s  })\n"
                                      "  model({\n    cl <- 4 * exp(eta.cl)\n    v <- 30 * exp(eta.v)\n"
                                      "    d/dt(depot) <- -0.9 * depot\n"
                                      "    d/dt(central) <- 0.9 * depot - cl / v * central\n"
                                      "    cp <- central / v\n    cp ~ %s\n  })\n}\n";

static const char *const template_text = "ID,TIME,AMT,CMT,EVID,DV\nt,0,500,1,1,.\nt,3,.,2,0,10\nt,11.5,.,2,0,4\n"
                                         "t,24,500,1,1,.\nt,47,.,2,0,1\n";

typedef struct variant {
    const char *name, *ini, *error;
    double limit;            /* of quantification */
    double mode_bar, sd_bar; /* of the estimate, in its standard deviations; of these, relative */
} variant;

static void open_variant(clear_life *l, const variant *v, size_t points) {
    text model = {0};
    ddt_update_options options = {.memory = 4096, .points = points};
    *l = (clear_life){0};
    assert_ok(NULL, ddt_context_create(&l->ctx));
    text_add(&model, model_text, v->ini, v->error);
    assert_ok(l->ctx, ddt_model_parse(l->ctx, model.data, model.length, "m.R", &l->model));
    clear_life_plan(l, template_text, &options);
    text_free(&model);
}

enum { LEVELS = 5 };

/* Two doses, levels at 3, 11, 22, 27 and 47 h, those below the limit as such. Returns how many these are. */
static size_t write_table(const double *levels, double limit, text *table) {
    enum { DOSE_BEFORE = 3 };
    static const double times_h[LEVELS] = {3.0, 11.0, 22.0, 27.0, 47.0};
    size_t below = 0;
    table->length = 0;
    text_add(table, "ID,TIME,AMT,CMT,EVID,DV,CENS\np,0,500,1,1,.,0\n");
    for (int i = 0; i < LEVELS; i++) {
        const bool is_below = levels[i] < limit;
        below += is_below;
        text_add(table, "%sp,%g,.,2,0,%.6g,%d\n", i == DOSE_BEFORE ? "p,24,500,1,1,.,0\n" : "", times_h[i],
                 fmax(levels[i], limit), is_below);
    }
    return below;
}

static size_t write_patient(clear_life *l, const variant *v, uint64_t seed, text *table) {
    double levels[LEVELS] = {1.0, 1.0, 1.0, 1.0, 1.0};
    double *symbols = calloc(l->model->symbol_count, sizeof *symbols);
    uint64_t random = seed;
    ddt_events *events = NULL;
    fit_residual r;
    const ddt_expr value = l->model->outputs[0].value;
    (void)write_table(levels, 0.0, table);
    assert_ok(l->ctx, ddt_events_parse(l->ctx, table->data, table->length, "p.csv", l->model, &events));
    assert_ok(l->ctx, ddt_population_draw(l->ctx, l->model, seed, symbols));
    assert_ok(l->ctx, ddt_reference_simulate_with(l->ctx, l->model, events, 0, symbols, true, &value, 1, levels));
    assert_ok(l->ctx, fit_residual_of(l->ctx, l->model, &l->model->outputs[0], &r));
    for (int i = 0; i < LEVELS; i++) {
        levels[i] = fmax(levels[i] + fit_residual_sd(&r, levels[i]) * update_normal(&random), 0.05 * levels[i]);
    }
    ddt_events_destroy(events);
    free(symbols);
    return write_table(levels, v->limit, table);
}

/* The estimate's distance from that of all levels at once. */
static void compare(clear_life *l, const variant *v, uint64_t seed, double *mode, double *sd, size_t *below) {
    text table = {0};
    ddt_events *events = NULL;
    ddt_update_estimate e;
    double eta[DDT_UPDATE_ETAS_MAX];
    double covariance[DDT_UPDATE_ETAS_MAX * DDT_UPDATE_ETAS_MAX];
    *below += write_patient(l, v, seed, &table);
    assert_ok(l->ctx, ddt_events_parse(l->ctx, table.data, table.length, "p.csv", l->model, &events));
    clear_life_begin(l);
    assert_int_equal(clear_life_step(l, events), LEVELS);
    assert_ok(l->ctx, ddt_update_read_state(l->ctx, l->update, l->model, l->twin, &e));
    assert_ok(l->ctx, ddt_fit_exact(l->ctx, l->model, events, 0, 1.0, eta, covariance, NULL));
    for (size_t k = 0; k < e.eta_count; k++) {
        double own = sqrt(covariance[k * e.eta_count + k]);
        *mode = fmax(*mode, fabs(e.eta[k] - eta[k]) / own);
        *sd = fmax(*sd, fabs(e.sd[k] / own - 1.0));
    }
    ddt_update_estimate_destroy(&e);
    ddt_events_destroy(events);
    text_free(&table);
}

static void test_against_m3(void **state) {
    (void)state;
    static const variant variants[] = {
        {"additive", "    a.sd <- 0.5\n", "add(a.sd)", 1.5, 0.2, 0.15},
        {"combined", "    a.sd <- 0.3\n    b.sd <- 0.15\n", "add(a.sd) + prop(b.sd)", 1.5, 0.2, 0.15},
        {"combined, low limit", "    a.sd <- 0.1\n    b.sd <- 0.2\n", "add(a.sd) + prop(b.sd)", 0.5, 0.3, 0.2},
        {"proportional", "    b.sd <- 0.2\n", "prop(b.sd)", 2.0, 0.4, 0.5},
        {"log-normal", "    a.sd <- 0.25\n", "lnorm(a.sd)", 2.0, 0.1, 0.15},
    };
    enum { PATIENTS = 3 };
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        clear_life l;
        double mode = 0.0;
        double sd = 0.0;
        size_t below = 0;
        open_variant(&l, &variants[i], 1024);
        for (uint64_t seed = 1; seed <= PATIENTS; seed++) {
            compare(&l, &variants[i], seed, &mode, &sd, &below);
        }
        print_message("%s: %zu of %d levels below the limit; estimates within %.3f standard deviations, these within "
                      "%.0f %%\n",
                      variants[i].name, below, LEVELS * PATIENTS, mode, 100.0 * sd);
        assert_true(below >= 2 && mode < variants[i].mode_bar && sd < variants[i].sd_bar);
        clear_life_close(&l);
    }
}

static void refuse(clear_life *l, ddt_status status, const char *word, const char *row) {
    ddt_events *events = NULL;
    ddt_update_steps steps;
    text table = {0};
    text_add(&table, "ID,TIME,AMT,CMT,EVID,DV,CENS,LIMIT\np,0,500,1,1,.,0,.\n%s\n", row);
    assert_ok(l->ctx, ddt_events_parse(l->ctx, table.data, table.length, "p.csv", l->model, &events));
    assert_int_equal(ddt_update_fill(l->ctx, l->update, l->model, events, 0, NAN, &steps), status);
    if (strstr(ddt_error_detail(l->ctx), word) == NULL) {
        fail_msg("'%s' does not name '%s'", ddt_error_detail(l->ctx), word);
    }
    assert_null(steps.inputs);
    ddt_context_clear(l->ctx);
    ddt_events_destroy(events);
    text_free(&table);
}

/* What a step cannot say is refused; a level far below its limit tells points hardly apart. */
static void test_refused(void **state) {
    (void)state;
    static const variant relative = {"proportional", "    b.sd <- 0.1\n", "prop(b.sd)", 2.0, 0.0, 0.0};
    static const variant additive = {"additive", "    a.sd <- 0.5\n", "add(a.sd)", 1.5, 0.0, 0.0};
    clear_life l;
    open_variant(&l, &relative, 64);
    refuse(&l, DDT_ERR_UNSUPPORTED, "line 3: with this residual error", "p,11,.,2,0,2,1,.");
    clear_life_close(&l);
    open_variant(&l, &additive, 64);
    refuse(&l, DDT_ERR_UNSUPPORTED, "line 3", "p,11,.,2,0,2,-1,.");
    refuse(&l, DDT_ERR_UNSUPPORTED, "LIMIT", "p,11,.,2,0,2,1,0.5");
    refuse(&l, DDT_ERR_RANGE, "line 3: the limit of quantification is 0", "p,11,.,2,0,0,1,.");
    refuse(&l, DDT_ERR_RANGE, "line 3: the limit of quantification is 1e+06", "p,11,.,2,0,1e6,1,.");
    assert_int_equal(clear_life_step_text(&l, "ID,TIME,AMT,CMT,EVID,DV,CENS\np,0,5,1,1,.,0\np,11,.,2,0,3,1\n"), 1);
    double low = INFINITY;
    double high = -INFINITY;
    for (size_t j = 0; j < l.update->points; j++) {
        const double value = l.twin[l.update->states * l.update->points + j] * l.update->log_scale;
        low = fmin(low, value);
        high = fmax(high, value);
    }
    assert_true(high - low < 0.5); /* predictions near 0, six standard deviations below the limit: the cubic's error */
    clear_life_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_m3),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("update_limits", tests, NULL, NULL);
}
