/*
 * Living twins in the clear: the sequential posterior against the estimate from all levels at once, amounts against
 * CVODE, tables that are cut differently, predictions, drift, plan files, refusals, failing allocations.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "update_internal.h"
#include "update_test.h"

#include <unistd.h>

static const char *const template_table = "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL\n"
                                          "t,0,1000,1000,1,1,.,75,80\nt,11.5,.,.,1,0,10,75,80\n"
                                          "t,12,1000,1000,1,1,.,75,80\nt,14.5,.,.,1,0,20,75,80\n"
                                          "t,24,1000,1000,1,1,.,75,80\nt,35.5,.,.,1,0,10,75,80\n";

static void life_open(clear_life *l, const ddt_update_options *options) {
    *l = (clear_life){0};
    assert_ok(NULL, ddt_context_create(&l->ctx));
    assert_ok(l->ctx, ddt_model_read(l->ctx, update_patient_model, &l->model));
    clear_life_plan(l, template_table, options);
}

/* ------------------------------------------------------------------ against other ways */

/* Nothing forgotten: after each level the estimate is that of all levels so far, by another method (CVODE, Newton). */
static void test_batch(void **state) {
    (void)state;
    enum { LEVELS = 6 };
    clear_life l;
    update_patient p;
    ddt_update_options options = {.memory = 4096};
    double worst_clearance = 0.0;
    double worst_sd = 0.0;
    life_open(&l, &options);
    double *symbols = calloc(l.model->symbol_count, sizeof *symbols);
    for (uint64_t seed = 1; seed <= 2; seed++) {
        update_patient_draw(&p, l.model, seed, symbols);
        clear_life_begin(&l);
        for (int i = 0; i < LEVELS; i++) {
            ddt_events *one = update_patient_events(l.ctx, &p, l.model, i, 1);
            ddt_events *all = update_patient_events(l.ctx, &p, l.model, 0, i + 1);
            ddt_update_estimate e;
            double eta[DDT_UPDATE_ETAS_MAX];
            double covariance[DDT_UPDATE_ETAS_MAX * DDT_UPDATE_ETAS_MAX];
            assert_int_equal(clear_life_step(&l, one), 1);
            assert_ok(l.ctx, ddt_update_read_state(l.ctx, l.update, l.model, l.twin, &e));
            assert_ok(l.ctx, ddt_fit_exact(l.ctx, l.model, all, 0, 1.0, eta, covariance, NULL));
            worst_clearance = fmax(worst_clearance, fabs(e.eta[0] - eta[0]));
            for (size_t k = 0; k < e.eta_count; k++) {
                double sd = sqrt(covariance[k * e.eta_count + k]);
                worst_sd = fmax(worst_sd, fabs(e.eta[k] - eta[k]) / sd);
                assert_true(e.sd[k] > 0.6 * sd && e.sd[k] < 1.5 * sd);
            }
            ddt_update_estimate_destroy(&e);
            ddt_events_destroy(one);
            ddt_events_destroy(all);
        }
        text_free(&p.all);
    }
    print_message("worst difference from the estimate from all levels: %.4f in the clearance's eta, %.3f standard "
                  "deviations in any\n",
                  worst_clearance, worst_sd);
    assert_true(worst_clearance < 0.025 && worst_sd < 0.15);
    free(symbols);
    clear_life_close(&l);
}

/* The amounts at a point are those of a patient with its etas. */
/* Two tables one after the other, a level at the end of the first: amounts as CVODE has them at the last observation.
 */
static void check_amounts(const char *head, const char *first, const char *second, size_t observations, double end_h) {
    clear_life l;
    ddt_update_options options = {.points = 128};
    life_open(&l, &options);
    text all = {0};
    text part = {0};
    ddt_events *events = NULL;
    text_add(&all, "%s%s%s", head, first, second);
    text_add(&part, "%s%s", head, first);
    assert_int_equal(clear_life_step_text(&l, part.data), 1);
    part.length = 0;
    text_add(&part, "%s%s", head, second);
    assert_int_equal(clear_life_step_text(&l, part.data), 1); /* no level: a step all the same */
    assert_true(l.clock_h == end_h);
    assert_ok(l.ctx, ddt_events_parse(l.ctx, all.data, all.length, "all.csv", l.model, &events));
    double *symbols = calloc(l.model->symbol_count, sizeof *symbols);
    double *right = calloc(2 * observations, sizeof *right);
    const size_t points = l.update->points;
    for (size_t j = 0; j < points; j += 17) {
        ddt_expr amounts[2];
        for (size_t i = 0; i < 2; i++) {
            amounts[i] = ddt_expr_symbol(l.model->pool, l.model->compartments[i].symbol);
        }
        ddt_events_symbols(l.model, events, 0, 0, symbols);
        update_set_etas(l.update, j, symbols);
        assert_ok(l.ctx, ddt_reference_simulate_with(l.ctx, l.model, events, 0, symbols, true, amounts, 2, right));
        for (size_t i = 0; i < 2; i++) {
            double got = l.twin[i * points + j] * l.update->scale[i * points + j];
            assert_true(fabs(got - right[2 * (observations - 1) + i]) < 1e-6 * 900.0);
            assert_true(l.twin[i * points + j] >= 0.0 && l.twin[i * points + j] < 1.0);
        }
    }
    free(right);
    free(symbols);
    ddt_events_destroy(events);
    text_free(&all);
    text_free(&part);
    clear_life_close(&l);
}

static void test_amounts(void **state) {
    (void)state;
    check_amounts("ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL,II,ADDL\n",
                  "p,0,900,450,1,1,.,70,60,8,2\np,3,.,.,1,2,.,75,50,.,.\np,20,.,.,1,0,9,75,90,.,.\n",
                  "p,21,500,0,1,1,.,75,90,.,.\np,25,.,.,1,2,.,80,95,.,.\n", 3, 25.0);
}

/* A twin that begins at the steady state of infusions; a reset in the midst of one, and a steady state of boluses. */
static void test_steady(void **state) {
    (void)state;
    check_amounts("ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL,SS,II\n",
                  "p,0,900,450,1,1,.,70,60,1,12\np,9,.,.,1,0,9,75,90,.,.\n",
                  "p,12.5,800,400,1,1,.,75,90,.,.\np,13,.,.,1,3,.,75,90,.,.\np,13.5,400,200,1,1,.,75,80,.,.\n"
                  "p,20,.,.,1,2,.,80,80,.,.\n",
                  2, 20.0);
    check_amounts("ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL,SS,II\n",
                  "p,0,900,450,1,1,.,70,60,.,.\np,9,.,.,1,0,9,75,90,.,.\n",
                  "p,12.5,800,400,1,1,.,75,90,.,.\np,14,600,0,1,4,.,75,70,1,8\np,20,.,.,1,2,.,80,80,.,.\n", 2, 20.0);
}

/* One table or one for each level: the same twin. */
static void test_cuts(void **state) {
    (void)state;
    clear_life l;
    update_patient p;
    ddt_update_options options = {.points = 256, .half_life_h = 100.0};
    life_open(&l, &options);
    double *symbols = calloc(l.model->symbol_count, sizeof *symbols);
    update_patient_draw(&p, l.model, 3, symbols);
    ddt_events *all = update_patient_events(l.ctx, &p, l.model, 0, 4);
    assert_int_equal(clear_life_step(&l, all), 4);
    double *whole = calloc(ddt_update_block(l.update), sizeof *whole);
    memcpy(whole, l.twin, ddt_update_block(l.update) * sizeof *whole);
    clear_life_begin(&l);
    for (int i = 0; i < 4; i++) {
        ddt_events *one = update_patient_events(l.ctx, &p, l.model, i, 1);
        assert_int_equal(clear_life_step(&l, one), 1);
        ddt_events_destroy(one);
    }
    for (size_t s = 0; s < ddt_update_block(l.update); s++) {
        assert_true(fabs(whole[s] - l.twin[s]) < 1e-9);
    }
    free(whole);
    free(symbols);
    text_free(&p.all);
    ddt_events_destroy(all);
    clear_life_close(&l);
}

/* ------------------------------------------------------------------ what it says */

/* What comes next, at the maximum: CVODE's answer. Bands hold it, and narrow with levels. */
static void test_prediction(void **state) {
    (void)state;
    clear_life l;
    ddt_update_options options = {.points = 2048};
    life_open(&l, &options);
    static const char *const next = "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL\np,12,1000,1000,1,1,.,75,80\n"
                                    "p,14,.,.,1,0,.,75,80\np,23.5,.,.,1,0,.,75,80\n";
    static const char *const both = "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL\np,0,1000,1000,1,1,.,75,80\n"
                                    "p,11.5,.,.,1,0,14,75,80\np,12,1000,1000,1,1,.,75,80\n"
                                    "p,14,.,.,1,0,.,75,80\np,23.5,.,.,1,0,.,75,80\n";
    ddt_events *ahead = NULL;
    ddt_events *all = NULL;
    ddt_update_estimate e;
    double predicted[2];
    double band[2 * DDT_UPDATE_BANDS];
    double right[3];
    assert_ok(l.ctx, ddt_events_parse(l.ctx, next, strlen(next), "next.csv", l.model, &ahead));
    assert_ok(l.ctx, ddt_events_parse(l.ctx, both, strlen(both), "both.csv", l.model, &all));
    assert_int_equal(clear_life_step_text(&l, "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL\np,0,1000,1000,1,1,.,75,80\n"
                                              "p,11.5,.,.,1,0,14,75,80\n"),
                     1);
    assert_ok(l.ctx, ddt_update_read_state(l.ctx, l.update, l.model, l.twin, &e));
    assert_ok(l.ctx, ddt_update_predict(l.ctx, l.update, l.model, &e, ahead, 0, l.clock_h, predicted, band));
    double *symbols = calloc(l.model->symbol_count, sizeof *symbols);
    ddt_events_symbols(l.model, all, 0, 0, symbols);
    for (size_t i = 0; i < e.eta_count; i++) {
        symbols[l.update->eta_symbols[i]] = e.eta[i];
    }
    ddt_expr value = l.model->outputs[0].value;
    assert_ok(l.ctx, ddt_reference_simulate_with(l.ctx, l.model, all, 0, symbols, true, &value, 1, right));
    for (int i = 0; i < 2; i++) {
        assert_true(fabs(predicted[i] - right[i + 1]) < 1e-2 * right[1]); /* amounts are fitted, not simulated */
        assert_true(band[3 * i] < band[3 * i + 1] && band[3 * i + 1] < band[3 * i + 2]);
        assert_true(band[3 * i] < predicted[i] && predicted[i] < band[3 * i + 2]);
    }
    free(symbols);
    ddt_update_estimate_destroy(&e);
    ddt_events_destroy(ahead);
    ddt_events_destroy(all);
    clear_life_close(&l);
}

/* What a level said fades with levels, and with time where there is a half-life. */
static void test_drift(void **state) {
    (void)state;
    clear_life l;
    ddt_update_options options = {.points = 128, .memory = 8, .half_life_h = 24.0};
    life_open(&l, &options);
    assert_int_equal(clear_life_step_text(&l, "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL\np,0,1000,1000,1,1,.,75,80\n"
                                              "p,12,.,.,1,0,30,75,80\n"),
                     1);
    const size_t row = l.update->states * l.update->points;
    double *before = calloc(ddt_update_block(l.update), sizeof *before);
    memcpy(before, l.twin, ddt_update_block(l.update) * sizeof *before);
    assert_int_equal(clear_life_step_text(&l, "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL\np,36,.,.,1,2,.,75,80\n"), 1);
    for (size_t j = 0; j < l.update->points; j++) {
        assert_true(fabs(l.twin[row + j] - 0.5 * before[row + j]) < 1e-12);
    }
    free(before);
    clear_life_close(&l);
}

/* ------------------------------------------------------------------ files */

static void test_file(void **state) {
    (void)state;
    char path[] = "/tmp/ddt-update-XXXXXX";
    clear_life l;
    ddt_update_options options = {.points = 64};
    ddt_plan_request request = {.target_error = 1e-3, .insecure_for_testing = true};
    ddt_plan *plan = NULL;
    ddt_update *read = NULL;
    ddt_writer *writer = NULL;
    ddt_reader *reader = NULL;
    life_open(&l, &options);
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    (void)close(descriptor);
    assert_ok(l.ctx, ddt_plan_create(l.ctx, ddt_update_circuit(l.update), &request, &plan));
    assert_ok(l.ctx, ddt_writer_open(l.ctx, path, DDT_WIRE_PLAN, false, &writer));
    assert_ok(l.ctx, ddt_update_write(writer, l.update));
    assert_ok(l.ctx, ddt_writer_commit(writer, NULL));
    assert_ok(l.ctx, ddt_reader_open(l.ctx, path, DDT_WIRE_PLAN, &reader));
    assert_ok(l.ctx, ddt_update_read(l.ctx, reader, plan, &read));
    ddt_reader_close(reader);
    assert_null(ddt_update_circuit(read));
    assert_int_equal(ddt_update_block(read), ddt_update_block(l.update));
    assert_memory_equal(read->etas_of, l.update->etas_of, read->points * read->etas * sizeof(double));
    assert_memory_equal(read->reach, l.update->reach, read->points * sizeof(double));
    assert_true(read->log_scale == l.update->log_scale && read->range_count == 2);
    ddt_update_destroy(read);
    ddt_plan_destroy(plan);
    (void)remove(path);
    clear_life_close(&l);
}

/* ------------------------------------------------------------------ what next */

enum { ADVICE_START = 12, ADVICE_LOOKS = 20, ADVICE_SPAN = 24 };

/* Levels of one candidate under the twin's own estimate: `hours` after its begin, a day in steps of 1 / ADVICE_LOOKS.
 */
static void advice_levels(clear_life *l, const ddt_update_estimate *e, const ddt_recommend_candidate *c, double hours,
                          double *levels) {
    text table = {0};
    ddt_events *events = NULL;
    ddt_update_estimate one = *e;
    double band[(ADVICE_SPAN * ADVICE_LOOKS + 1) * DDT_UPDATE_BANDS];
    size_t given = 0;
    text_add(&table, "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL\n");
    for (int i = 0; i <= ADVICE_SPAN * ADVICE_LOOKS; i++) {
        /* just before what happens at the very time */
        const double at = hours - ADVICE_SPAN + (double)i / ADVICE_LOOKS - (i == 0 ? 0.0 : 1e-7);
        for (; (double)given * c->interval_h <= at; given++) {
            const double amount = c->dose * (given == 0 ? c->loading : 1.0);
            text_add(&table, "p,%.10g,%.10g,%.10g,1,1,.,75,80\n", ADVICE_START + (double)given * c->interval_h, amount,
                     amount / c->infusion_h);
        }
        text_add(&table, "p,%.12g,.,.,1,0,.,75,80\n", ADVICE_START + at);
    }
    one.sample_count = 1;
    assert_ok(l->ctx, ddt_events_parse(l->ctx, table.data, table.length, "course.csv", l->model, &events));
    assert_ok(l->ctx, ddt_update_predict(l->ctx, l->update, l->model, &one, events, 0, l->clock_h, levels, band));
    ddt_events_destroy(events);
    text_free(&table);
}

/* Metrics read off such levels: area of the day, lowest at the end, highest and mean of the last interval, part
 * above 15. */
static void advice_metrics(const double *levels, double interval_h, double *out) {
    const int last = ADVICE_SPAN * ADVICE_LOOKS;
    const int begin = last - (int)(interval_h * ADVICE_LOOKS);
    memset(out, 0, 5 * sizeof *out);
    out[1] = levels[last];
    for (int i = 1; i <= last; i++) {
        const double area = 0.5 * (levels[i] + levels[i - 1]) / ADVICE_LOOKS;
        out[0] += area;
        if (i > begin) {
            out[2] = fmax(out[2], levels[i]);
            out[3] += area / interval_h;
            out[4] += (levels[i] > 15.0) / interval_h / ADVICE_LOOKS;
        }
    }
}

static void check_advice(clear_life *l, const ddt_update_estimate *e, const char *targets_text, double hours) {
    static const char *const ahead = "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL\np,12,.,.,1,2,.,75,80\n";
    static const double tolerance[] = {2e-3, 2e-3, 2e-2, 2e-3, 0.05};
    double levels[ADVICE_SPAN * ADVICE_LOOKS + 1];
    double right[5];
    ddt_recommend_targets targets;
    ddt_recommend_product product;
    ddt_events *events = NULL;
    ddt_update_advice advice;
    assert_ok(l->ctx, ddt_recommend_parse_targets(l->ctx, targets_text, l->model, &targets));
    assert_ok(l->ctx, ddt_recommend_parse_product(
                          l->ctx, "dose=750:1250:250; interval=8,12; infusion=1,2; loading=1,1.5", &product));
    assert_ok(l->ctx, ddt_events_parse(l->ctx, ahead, strlen(ahead), "ahead.csv", l->model, &events));
    const ddt_update_wish wish = {&targets, &product};
    assert_ok(l->ctx, ddt_update_advise(l->ctx, l->update, l->model, e, events, 0, l->clock_h, &wish, &advice));
    assert_int_equal(advice.candidate_count, 24);
    assert_true(advice.start_h == ADVICE_START);
    for (size_t rank = 0; rank < advice.candidate_count; rank += 11) {
        const size_t i = advice.order[rank];
        const ddt_recommend_candidate c = ddt_recommend_candidate_at(&product, i);
        advice_levels(l, e, &c, hours, levels);
        advice_metrics(levels, c.interval_h, right);
        for (size_t t = 0; t < targets.count; t++) {
            const double *band = advice.band + (i * targets.count + t) * DDT_UPDATE_BANDS;
            const double metric = advice.metric[i * targets.count + t];
            if (!(fabs(metric - right[t]) <= tolerance[t] * fmax(fabs(right[t]), t == 4 ? 1.0 : 0.0))) {
                fail_msg("%g mg every %g h over %g h x %g: %s is %.6g, not %.6g", c.dose, c.interval_h, c.infusion_h,
                         c.loading, targets.items[t].name, metric, right[t]);
            }
            assert_true(band[0] <= band[1] && band[1] <= band[2]);
        }
        assert_true(rank == 0 || advice.cost[advice.order[rank - 1]] <= advice.cost[i]);
        assert_true(advice.p_target[i] >= 0.0 && advice.p_target[i] <= 1.0);
    }
    ddt_update_advice_destroy(&advice);
    ddt_events_destroy(events);
}

static void test_advice(void **state) {
    (void)state;
    clear_life l;
    ddt_update_options options = {.points = 1024};
    ddt_update_estimate e;
    life_open(&l, &options);
    (void)clear_life_step_text(
        &l, "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL\np,0,1000,1000,1,1,.,75,80\np,11.5,.,.,1,0,14,75,80\n");
    assert_ok(l.ctx, ddt_update_read_state(l.ctx, l.update, l.model, l.twin, &e));
    check_advice(&l, &e, "auc24@48=400:600; trough@48=10:15; peak@48=:40; average@48=15:25; fT>mic@48=0.9,mic=15",
                 48.0);
    /* a steady state: after three weeks */
    check_advice(&l, &e, "auc24=400:600; trough=10:15; peak=:40; average=15:25; fT>mic=0.9,mic=15", 504.0);
    ddt_update_estimate_destroy(&e);
    clear_life_close(&l);
}

/* ------------------------------------------------------------------ refusals */

static void refuse_news(clear_life *l, ddt_status status, const char *word, const char *table) {
    ddt_events *events = NULL;
    ddt_update_steps steps;
    assert_ok(l->ctx, ddt_events_parse(l->ctx, table, strlen(table), "news.csv", l->model, &events));
    assert_int_equal(ddt_update_fill(l->ctx, l->update, l->model, events, 0, l->clock_h, &steps), status);
    assert_null(steps.inputs);
    if (strstr(ddt_error_detail(l->ctx), word) == NULL) {
        fail_msg("'%s' does not name '%s'", ddt_error_detail(l->ctx), word);
    }
    ddt_context_clear(l->ctx);
    ddt_events_destroy(events);
}

static void test_bad_news(void **state) {
    (void)state;
    clear_life l;
    ddt_update_options options = {.points = 64};
    life_open(&l, &options);
    static const char *const head = "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL,SS,II\n";
    static const struct {
        ddt_status status;
        const char *word, *rows;
    } cases[] = {
        {DDT_ERR_RANGE, "line 2: AMT is 5000", "p,30,5000,1000,1,1,.,75,80,.,.\np,35,.,.,1,0,9,75,80,.,.\n"},
        {DDT_ERR_RANGE, "before the twin's clock", "p,3,.,.,1,0,9,75,80,.,.\n"},
        {DDT_ERR_RANGE, "CRCL is 500", "p,30,.,.,1,0,9,75,500,.,.\n"},
        {DDT_ERR_RANGE, "DV is 1e+06", "p,30,.,.,1,0,1000000,75,80,.,.\n"},
        {DDT_ERR_UNSUPPORTED, "on top of", "p,30,100,0,1,1,.,75,80,2,12\n"},
        {DDT_ERR_UNSUPPORTED, "longer than their interval", "p,30,1000,100,1,1,.,75,80,1,6\n"},
        {DDT_ERR_RANGE, "every 1", "p,30,1000,0,1,1,.,75,80,1,1\n"},
        {DDT_ERR_DATA, "nothing has happened", "p,12,.,.,1,2,.,75,80,.,.\n"},
        {DDT_ERR_RANGE, "come to",
         "p,30,1800,0,1,1,.,75,80,.,.\np,30,1800,0,1,1,.,75,80,.,.\np,30,1800,0,1,1,.,75,80,.,.\n"},
    };
    l.clock_h = 12.0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        text table = {0};
        text_add(&table, "%s%s", head, cases[i].rows);
        refuse_news(&l, cases[i].status, cases[i].word, table.data);
        text_free(&table);
    }
    clear_life_close(&l);
}

static void refuse_model(ddt_status status, const char *word, const char *body, const char *rows) {
    problem p;
    ddt_update *update = NULL;
    ddt_update_options options = {.points = 64};
    text model = {0};
    text table = {0};
    text_add(
        &model,
        "m <- function() { ini({ tcl <- 1.4; eta.cl ~ 0.09; sd <- 0.2 })\nmodel({ cl <- exp(tcl + eta.cl)\n%s }) }",
        body);
    text_add(&table, "ID,TIME,EVID,AMT,DV\n%s", rows);
    problem_parse(&p, model.data, table.data);
    assert_int_equal(ddt_update_create(p.ctx, p.model, p.events, &options, &update), status);
    if (strstr(ddt_error_detail(p.ctx), word) == NULL) {
        fail_msg("'%s' does not name '%s'", ddt_error_detail(p.ctx), word);
    }
    problem_free(&p);
    text_free(&model);
    text_free(&table);
}

static void test_bad_models(void **state) {
    (void)state;
    static const char *const rows = "a,0,1,500,.\na,2,0,0,12.5\n";
    static const char *const end = "cp <- c / 30\ncp ~ prop(sd)\n";
    static const struct {
        const char *word, *body;
    } cases[] = {
        {"not linear", "d/dt(c) <- -cl * c / (c + 3)\n"},
        {"initial value", "d/dt(c) <- -cl / 30 * c\nc(0) <- 5\n"},
        {"a lag", "d/dt(c) <- -cl / 30 * c\nalag(c) <- 0.5\n"},
        {"depends on time", "d/dt(c) <- -cl / 30 * c * (1 + 0.1 * t)\n"},
        {"modelled rate", "d/dt(c) <- -cl / 30 * c\nrate(c) <- 5\n"},
        {"never leaves", "d/dt(c) <- 0 * c\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        text body = {0};
        text_add(&body, "%s%s", cases[i].body, end);
        refuse_model(DDT_ERR_UNSUPPORTED, cases[i].word, body.data, rows);
        text_free(&body);
    }
    refuse_model(DDT_ERR_DATA, "no dose", "d/dt(c) <- -cl / 30 * c\ncp <- c / 30\ncp ~ prop(sd)\n", "a,2,0,0,12.5\n");
    refuse_model(DDT_ERR_UNSUPPORTED, "residual", "d/dt(c) <- -cl / 30 * c\n", rows);
}

static void test_bad_options(void **state) {
    (void)state;
    problem p;
    ddt_update *update = NULL;
    static const ddt_update_options cases[] = {{.points = 100}, {.points = 32}, {.memory = 1.0}, {.half_life_h = -1.0}};
    problem_read(&p, update_patient_model, DDT_SOURCE_DIR "/data/vancomycin_levels.csv");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(ddt_update_create(p.ctx, p.model, p.events, &cases[i], &update), DDT_ERR_USAGE);
        assert_null(update);
        ddt_context_clear(p.ctx);
    }
    problem_free(&p);
}

/* ------------------------------------------------------------------ memory */

/* A new model each time: its pool remembers that memory was short. */
static ddt_status make_and_read(uint64_t fail_after, uint64_t *used) {
    ddt_update_options options = {.points = 64, .draws = 1};
    problem p;
    ddt_update *update = NULL;
    ddt_update_estimate e = {0};
    double *twin = calloc((size_t)4 * 64, sizeof *twin);
    problem_read(&p, update_patient_model, DDT_SOURCE_DIR "/data/vancomycin_levels.csv");
    (void)ddt_alloc_fail_after(fail_after);
    ddt_status status = ddt_update_create(p.ctx, p.model, p.events, &options, &update);
    if (status == DDT_OK) {
        status = ddt_update_read_state(p.ctx, update, p.model, twin, &e);
    }
    *used = ddt_alloc_fail_after(UINT64_MAX);
    ddt_update_estimate_destroy(&e);
    ddt_update_destroy(update);
    problem_free(&p);
    free(twin);
    return status;
}

/* Memory that runs out at the n-th request: no advice, and nothing is left of it. */
static void test_memory_of_advice(void **state) {
    (void)state;
    static const char *const ahead = "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL\np,12,.,.,1,2,.,75,80\n";
    clear_life l;
    ddt_update_options options = {.points = 1024};
    ddt_update_estimate e;
    ddt_recommend_targets targets;
    ddt_recommend_product product;
    ddt_events *events = NULL;
    ddt_status status = DDT_ERR_MEMORY;
    unsigned failures = 0;
    life_open(&l, &options);
    (void)clear_life_step_text(
        &l, "ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL\np,0,1000,1000,1,1,.,75,80\np,11.5,.,.,1,0,14,75,80\n");
    assert_ok(l.ctx, ddt_update_read_state(l.ctx, l.update, l.model, l.twin, &e));
    assert_ok(l.ctx, ddt_recommend_parse_product(l.ctx, "dose=500:1000:500; interval=12", &product));
    assert_ok(l.ctx, ddt_events_parse(l.ctx, ahead, strlen(ahead), "ahead.csv", l.model, &events));
    const ddt_update_wish wish = {&targets, &product};
    /* What it is not for. */
    static const char *const bad[] = {"nadir=1:2", "auc24@12=400:600", "trough(peripheral)=1:2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ddt_update_advice advice;
        if (ddt_recommend_parse_targets(l.ctx, bad[i], l.model, &targets) == DDT_OK) {
            status = ddt_update_advise(l.ctx, l.update, l.model, &e, events, 0, l.clock_h, &wish, &advice);
            if (status != DDT_ERR_UNSUPPORTED && status != DDT_ERR_USAGE) {
                fail_msg("%s: %s: %s", bad[i], ddt_status_name(status), ddt_error_detail(l.ctx));
            }
            assert_null(advice.order);
        }
        ddt_context_clear(l.ctx);
    }
    ddt_update_advice none;
    assert_ok(l.ctx, ddt_recommend_parse_targets(l.ctx, "trough=10000:15000", l.model, &targets));
    assert_int_equal(ddt_update_advise(l.ctx, l.update, l.model, &e, events, 0, l.clock_h, &wish, &none),
                     DDT_ERR_RANGE);
    assert_non_null(strstr(ddt_error_detail(l.ctx), "trough is out of reach"));
    assert_null(none.order);
    ddt_context_clear(l.ctx);
    assert_ok(l.ctx, ddt_recommend_parse_targets(l.ctx, "trough=10:15", l.model, &targets));
    uint64_t total = UINT64_MAX;
    (void)ddt_alloc_fail_after(UINT64_MAX);
    for (uint64_t n = UINT64_MAX; n == UINT64_MAX || n < total; n = n == UINT64_MAX ? 0 : n + 1 + total / 50) {
        ddt_update_advice advice;
        (void)ddt_alloc_fail_after(n);
        status = ddt_update_advise(l.ctx, l.update, l.model, &e, events, 0, l.clock_h, &wish, &advice);
        const uint64_t used = ddt_alloc_fail_after(UINT64_MAX);
        total = n == UINT64_MAX ? used : total;
        assert_true((status == DDT_OK) == (n == UINT64_MAX) && (advice.order != NULL) == (status == DDT_OK));
        ddt_update_advice_destroy(&advice);
        ddt_context_clear(l.ctx);
        failures += status != DDT_OK;
    }
    assert_true(failures > 10);
    ddt_update_estimate_destroy(&e);
    ddt_events_destroy(events);
    clear_life_close(&l);
}

static void test_memory(void **state) {
    (void)state;
    uint64_t total = 0;
    uint64_t used = 0;
    assert_int_equal(make_and_read(UINT64_MAX, &total), DDT_OK);
    assert_true(total > 100);
    for (uint64_t n = 0; n < total; n += 1 + total / 100) {
        /* not always DDT_ERR_MEMORY: pools of expressions without memory say that an expression is none, or not affine
         */
        assert_int_not_equal(make_and_read(n, &used), DDT_OK);
    }
}

/* The bars of a hospital's vancomycin twin: keys of 1 GiB, 20 MB a patient and upload. */
static void test_sizes(void **state) {
    (void)state;
    const uint64_t key_bar = UINT64_C(1) << 30;
    const uint64_t upload_bar = 20000000;
    const uint64_t key_limits[] = {key_bar, 0};
    uint64_t key_bytes[2];
    ddt_context *ctx = NULL;
    ddt_model *model = NULL;
    ddt_update *update = NULL;
    update_patient p;
    assert_ok(NULL, ddt_context_create(&ctx));
    assert_ok(ctx, ddt_model_read(ctx, update_patient_model, &model));
    double *symbols = calloc(model->symbol_count, sizeof *symbols);
    update_patient_draw(&p, model, 1, symbols);
    ddt_events *template = update_patient_events(ctx, &p, model, 0, 4);
    assert_ok(ctx, ddt_update_create(ctx, model, template, NULL, &update));
    for (int limited = 0; limited < 2; limited++) {
        ddt_plan *plan = NULL;
        ddt_plan_info info;
        ddt_plan_request request = ddt_update_request();
        assert_int_equal(request.key_limit, key_bar);
        request.key_limit = key_limits[limited];
        assert_ok(ctx, ddt_plan_create(ctx, ddt_update_circuit(update), &request, &plan));
        ddt_plan_get_info(plan, &info);
        assert_int_equal(info.security_bits, 128);
        assert_true(info.twin_bytes <= upload_bar);
        key_bytes[limited] = info.eval_key_bytes;
        ddt_plan_destroy(plan);
    }
    assert_true(key_bytes[0] <= key_bar && key_bar < key_bytes[1]);
    ddt_events_destroy(template);
    text_free(&p.all);
    free(symbols);
    ddt_update_destroy(update);
    ddt_model_destroy(model);
    ddt_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_prediction),
        cmocka_unit_test(test_drift),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_bad_news),
        cmocka_unit_test(test_bad_models),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_of_advice),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_advice),
        cmocka_unit_test(test_steady),
    };
    return cmocka_run_group_tests_name("update", tests, NULL, NULL);
}
