/*
 * Recommendations in the clear: metrics against the reference table, CVODE and closed forms; requests that are refused;
 * ranking; plan files.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_test.h"

#include "ddt/solve/fit.h"

#include "recommend_internal.h"

/* ------------------------------------------------------------------ texts */

static void test_targets(void **state) {
    (void)state;
    ddt_context *ctx = NULL;
    ddt_model *model = NULL;
    ddt_recommend_targets t;
    assert_ok(NULL, ddt_context_create(&ctx));
    assert_ok(ctx, ddt_model_read(ctx, THOMSON, &model));
    assert_ok(ctx, ddt_recommend_parse_targets(
                       ctx,
                       " auc24@48 = 400:600 [mg.h/L], weight=2; tox:peak=40 ;fT>mic=0.6,mic=2;cumauc@96=:1000; "
                       "trough=10000:15000[ug/L]; auc24-48=4:6[g*h/L]",
                       model, &t));
    assert_int_equal(t.count, 6);
    assert_int_equal(t.items[0].kind, DDT_METRIC_AUC24);
    assert_false(t.items[0].is_steady);
    assert_true(t.items[0].at_h == 48.0 && t.items[0].weight == 2.0);
    assert_true(t.items[0].low == 400.0 && t.items[0].high == 600.0);
    assert_string_equal(t.items[0].name, "auc24@48");
    assert_true(t.items[1].is_toxicity && t.items[1].low == 0.0 && t.items[1].high == 40.0);
    assert_string_equal(t.items[1].name, "tox:peak");
    assert_true(t.items[2].kind == DDT_METRIC_TIME_ABOVE && t.items[2].mic == 2.0 && isinf(t.items[2].high));
    assert_true(t.items[3].kind == DDT_METRIC_AUC_WINDOW && t.items[3].from_h == 0.0 && t.items[3].to_h == 96.0);
    assert_true(fabs(t.items[4].low - 10.0) < 1e-12 && fabs(t.items[4].high - 15.0) < 1e-12);
    assert_true(fabs(t.items[5].low - 4000.0) < 1e-9 && t.items[5].from_h == 24.0 && t.items[5].to_h == 48.0);
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"", "No target"},
        {"auc24", "METRIC=RANGE"},
        {"nonsense=1:2", "no metric"},
        {"auc24=600:400", "contradictory"},
        {"auc24=:", "no limit"},
        {"auc24=a:b", "LOW:HIGH"},
        {"auc24=-1:5", "positive"},
        {"auc24=400:600[furlong/L]", "not a unit of drug concentrations"},
        {"auc24=400:600[mg/L]", "concentration"},
        {"trough=10:15[mg.h/L]", "area"},
        {"trough=10:15[mmol/L]", "cannot be converted"},
        {"trough=10:15[mg/L", "without ']'"},
        {"fT>mic=0.5", "mic=CONCENTRATION"},
        {"fT>mic=1.5,mic=2", "out of reach"},
        {"trough=10:15,mic=2", "not understood"},
        {"trough=10:15,weight=0", "positive"},
        {"trough@x=10:15", "a time behind"},
        {"auc24@12=10:15", "before the regimen"},
        {"cumauc=10:15", "@TIME"},
        {"trough=10:15;trough=12:15", "second target"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ddt_context_clear(ctx);
        assert_int_equal(ddt_recommend_parse_targets(ctx, wrong[i].text, model, &t), DDT_ERR_USAGE);
        if (strstr(ddt_error_detail(ctx), wrong[i].says) == NULL) {
            fail_msg("'%s' gave '%s'", wrong[i].text, ddt_error_detail(ctx));
        }
    }
    static const char *const unknown[] = {"fortnights", "teaspoon", "mmHg", "mg/furlong"};
    char *own = model->concentration_unit;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        char name[sizeof "fortnights"];
        (void)snprintf(name, sizeof name, "%s", unknown[i]);
        model->concentration_unit = name;
        assert_int_equal(ddt_recommend_parse_targets(ctx, "auc24=400:600", model, &t), DDT_ERR_DATA);
        assert_non_null(strstr(ddt_error_detail(ctx), "UCUM does not know"));
        assert_non_null(strstr(ddt_error_detail(ctx), unknown[i]));
    }
    model->concentration_unit = own;
    assert_int_equal(t.count, 6); /* untouched */
    ddt_model_destroy(model);
    ddt_context_destroy(ctx);
}

static void test_products(void **state) {
    (void)state;
    ddt_context *ctx = NULL;
    ddt_recommend_product p;
    assert_ok(NULL, ddt_context_create(&ctx));
    assert_ok(ctx, ddt_recommend_parse_product(
                       ctx, "dose=250:1000:250; interval=8, 12; infusion=0.5,1; loading=1,2; rate=1000; cmt=1", &p));
    /* 4 doses x 2 intervals x (0.5 h: up to 500 mg, loading doses up to 250 mg; 1 h: 1000 and 500) */
    assert_int_equal(ddt_recommend_candidate_count(&p), 2 * (2 + 1 + 4 + 2));
    ddt_recommend_candidate last = ddt_recommend_candidate_at(&p, ddt_recommend_candidate_count(&p) - 1);
    assert_true(last.dose == 500.0 && last.interval_h == 12.0 && last.infusion_h == 1.0 && last.loading == 2.0);
    assert_true(ddt_recommend_candidate_at(&p, 1000).dose == 0.0);
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"", "no doses"},
        {"dose=1000:250:250", "contradictory"},
        {"dose=250:1000:0", "step"},
        {"dose=0:1000:250", "positive"},
        {"dose=250:1000", "LOWEST:HIGHEST:STEP"},
        {"dose=1:10000:1", "more than"},
        {"dose=250:1000:250;interval=-8", "numbers"},
        {"dose=250:1000:250;interval=1,2,3,4,5,6,7,8,9", "more than 8"},
        {"dose=250:1000:250;frequency=3", "not understood"},
        {"dose=250:1000:250;interval=8;infusion=9", "No candidate"},
        {"dose=250:1000:250;rate=-1", "positive"},
        {"dose=250:1000:250;per=", "no covariate"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ddt_context_clear(ctx);
        assert_int_equal(ddt_recommend_parse_product(ctx, wrong[i].text, &p), DDT_ERR_USAGE);
        if (strstr(ddt_error_detail(ctx), wrong[i].says) == NULL) {
            fail_msg("'%s' gave '%s'", wrong[i].text, ddt_error_detail(ctx));
        }
    }
    ddt_context_destroy(ctx);
}

/* The product that a model file brings: nothing faster, larger or more often than it says. */
static void test_own_product(void **state) {
    (void)state;
    ddt_context *ctx = NULL;
    ddt_model *model = NULL;
    ddt_recommend_product p;
    assert_ok(NULL, ddt_context_create(&ctx));
    assert_ok(ctx, ddt_model_read(ctx, THOMSON, &model));
    const ddt_product *own = ddt_model_product(model, NULL);
    assert_non_null(own);
    assert_ok(ctx, ddt_recommend_product_of(ctx, model, NULL, &p));
    assert_true(ddt_recommend_candidate_count(&p) > 20);
    for (size_t i = 0; i < ddt_recommend_candidate_count(&p); i++) {
        ddt_recommend_candidate c = ddt_recommend_candidate_at(&p, i);
        assert_true(ddt_product_round(own, c.dose) == c.dose);
        assert_true(c.dose * 24.0 / c.interval_h <= own->daily_max * (1.0 + 1e-6));
        assert_true(c.dose <= own->rate_max * c.infusion_h * (1.0 + 1e-6));
    }
    ddt_recommend_product again;
    char *words = NULL;
    assert_ok(ctx, ddt_recommend_product_text(ctx, &p, &words));
    assert_ok(ctx, ddt_recommend_parse_product(ctx, words, &again));
    assert_memory_equal(again.intervals_h, p.intervals_h, sizeof p.intervals_h);
    assert_memory_equal(again.infusions_h, p.infusions_h, sizeof p.infusions_h);
    assert_int_equal(ddt_recommend_candidate_count(&again), ddt_recommend_candidate_count(&p));
    assert_true(again.dose_low == p.dose_low && again.dose_high == p.dose_high && again.dose_step == p.dose_step);
    assert_true(again.rate_max == p.rate_max && again.daily_max == p.daily_max && again.compartment == p.compartment);
    ddt_free(words);
    assert_int_equal(ddt_recommend_product_of(ctx, model, "nothing", &p), DDT_ERR_MODEL);
    ddt_model_destroy(model);
    ddt_context_destroy(ctx);
}

/* ------------------------------------------------------------------ sums of exponentials */

static regimen_functional random_functional(int k, uint64_t *seed) {
    regimen_functional f = {
        .day = 24.0, .kind = (ddt_metric_kind)(k % 6), .is_steady = k % 2 == 0, .loading = k % 4 == 1 ? 2.0 : 1.0};
    f.interval_h = 4.0 * (1.0 + floor(test_uniform(seed, 0.0, 6.0)));
    f.infusion_h = k % 3 == 0 ? 0.0 : test_uniform(seed, 0.2, 3.0);
    f.lag_h = k % 5 == 0 ? 0.5 : 0.0;
    f.at_h = f.interval_h * ceil(48.0 / f.interval_h);
    f.from_h = 12.0;
    f.to_h = 72.0;
    f.time_h = test_uniform(seed, 0.1, 0.9) * f.interval_h;
    f.is_steady &= f.kind != DDT_METRIC_AUC_WINDOW;
    return f;
}

static double sum_at(const regimen_sum *sum, double rate) {
    double found = 0.0;
    for (size_t j = 0; j < sum->count; j++) {
        found += sum->weight[j] * exp(-rate * sum->time_h[j]);
    }
    return found;
}

static void check_sum(const regimen_functional *f, uint64_t *seed) {
    regimen_sum sum;
    double low = exp(test_uniform(seed, log(5e-4), log(0.02)));
    assert_ok(NULL, regimen_fit(NULL, f, low, 2.0, 16, 1e-4, &sum));
    for (int i = 0; i < 50; i++) {
        double rate = low * pow(2.0 / low, test_uniform(seed, 0.0, 1.0));
        double right = regimen_of_rate(f, rate);
        assert_true(fabs(sum_at(&sum, rate) - right) <= 1.2 * sum.error * right);
    }
    assert_true(sum.error <= 1e-3);
}

/* Every functional against its own sum, at random rates. */
static void test_sums(void **state) {
    (void)state;
    uint64_t seed = 11;
    for (int k = 0; k < 60; k++) {
        regimen_functional f = random_functional(k, &seed);
        check_sum(&f, &seed);
    }
}

/* ------------------------------------------------------------------ the reference table */

static void check_table(const char *name, const char *path, const char *header, const char *extra) {
    table_problem t;
    table_problem_create(&t, name, path, header, extra);
    problem_run(&t.p, false);
    double worst = table_worst_error(&t);
    print_message("%s: worst relative error of AUC0-24, AUC24-48, AUC24 and trough over 30 regimens %.1e\n", name,
                  worst);
    assert_true(worst < 2e-3);
    problem_free(&t.p);
}

static void test_thomson(void **state) {
    (void)state;
    check_table("thomson2009", THOMSON, "ID,TIME,EVID,WT,CRCL\n", "");
}

static void test_goti(void **state) {
    (void)state;
    check_table("goti2018", GOTI, "ID,TIME,EVID,WT,CRCL,DIAL\n", ",0");
}

/* ------------------------------------------------------------------ points */

enum { PATIENTS = 6 };

typedef struct covariates {
    double weight, crcl;
} covariates;

/* Thomson 2009 with eta_cl 0.1, eta_v1 -0.1, eta_q 0; eta_v2 is unknown. */
static void expected_values(const covariates *patient, const ddt_recommend_candidate *r,
                            const ddt_recommend_targets *targets, const double *z, size_t points, double *cost,
                            double *attained) {
    *cost = 0.0;
    *attained = 0.0;
    for (size_t i = 0; i < points; i++) {
        two_compartments m = two_compartments_of(2.99 * (1.0 + 0.0154 * (patient->crcl - 66.0)) * exp(0.1),
                                                 0.675 * patient->weight * exp(-0.1), 2.28,
                                                 0.732 * patient->weight * exp(sqrt(1.69) * z[i]));
        const double metrics[DDT_RECOMMEND_TARGETS_MAX] = {r->dose * 24.0 / r->interval_h / m.cl,
                                                           r->dose * steady_trough(&m, r->interval_h, r->infusion_h),
                                                           r->dose * steady_peak(&m, r->interval_h, r->infusion_h)};
        double all = 1.0;
        for (size_t t = 0; t < targets->count; t++) {
            const ddt_recommend_target *target = &targets->items[t];
            *cost += target->weight * ddt_recommend_target_cost(target, metrics[t]) / (double)points;
            all *= ddt_recommend_attained(target, metrics[t]);
        }
        *attained += all / (double)points;
    }
}

static void read_patients(problem *p, covariates *patients) {
    text table = {0};
    uint64_t seed = 3;
    text_add(&table, "ID,TIME,EVID,WT,CRCL,eta_cl,eta_v1,eta_q\n");
    for (int s = 0; s < PATIENTS; s++) {
        patients[s] = (covariates){test_uniform(&seed, 45.0, 130.0), test_uniform(&seed, 20.0, 170.0)};
        text_add(&table, "%d,0,2,%.10g,%.10g,0.1,-0.1,0\n", s, patients[s].weight, patients[s].crcl);
    }
    assert_ok(NULL, ddt_context_create(&p->ctx));
    assert_ok(p->ctx, ddt_model_read(p->ctx, THOMSON, &p->model));
    assert_ok(p->ctx, ddt_events_parse(p->ctx, table.data, table.length, "table", p->model, &p->events));
    text_free(&table);
}

/* Costs and probabilities are means over the points, with metrics from the closed form. */
static void test_expectation(void **state) {
    (void)state;
    enum { BLOCK = 4096, POINTS = BLOCK / (32 * 8) }; /* rows x (targets, and one more, x shapes) */
    problem p = {0};
    covariates patients[PATIENTS];
    ddt_recommend_options options = {.solve.block_max = BLOCK};
    double z[POINTS] = {0.0};
    double worst_cost = 0.0;
    double worst_p = 0.0;
    read_patients(&p, patients);
    recommend_request(&p, "auc24=400:600; trough=10:20,weight=0.5; tox:peak=50",
                      "dose=500:1500:250; interval=8,12; infusion=1", &options);
    recommend_solve(&p, &options);
    problem_run(&p, false);
    recommend_standard_points(POINTS, 1, z);
    size_t outputs = ddt_solution_output_count(p.solution);
    for (size_t s = 0; s < PATIENTS; s++) {
        for (size_t c = 0; c < ddt_recommend_candidate_count(&options.product); c++) {
            ddt_recommend_candidate r = ddt_recommend_candidate_at(&options.product, c);
            const double *values = p.values[s] + c * outputs;
            double cost = 0.0;
            double attained = 0.0;
            expected_values(&patients[s], &r, &options.targets, z, POINTS, &cost, &attained);
            worst_cost = fmax(worst_cost, fabs(values[find_output(p.solution, "cost")] - cost));
            worst_p = fmax(worst_p, fabs(values[find_output(p.solution, "p_target")] - attained));
        }
    }
    print_message("expectations over %d points: error of the cost %.1e, of P(target) %.1e\n", POINTS, worst_cost,
                  worst_p);
    assert_true(worst_cost < 2e-3);
    assert_true(worst_p < 1e-2);
    problem_free(&p);
}

/* ------------------------------------------------------------------ estimates with levels */

enum { FITTED = 3, FITTED_ETAS = 4, FITTED_POINTS = 32 };

typedef struct fitted {
    covariates person;
    double etas[FITTED_ETAS], covariance[FITTED_ETAS * FITTED_ETAS];
} fitted;

/* Replaces the events. */
static void parse_table(problem *p, text *table) {
    ddt_events_destroy(p->events);
    p->events = NULL;
    assert_ok(p->ctx, ddt_events_parse(p->ctx, table->data, table->length, "table", p->model, &p->events));
    text_free(table);
}

static void estimate_subject(const problem *p, size_t subject, fitted *f) {
    assert_ok(p->ctx, ddt_fit_exact(p->ctx, p->model, p->events, subject, 1.0, f->etas, f->covariance, NULL));
}

/* Three patients as in data/vancomycin_levels.csv, with the estimates as columns. */
static void read_fitted(problem *p, fitted *people) {
    static const char *const records[] = {
        "a,0,1250,833.333,1,.,82,110", "a,12,1250,833.333,1,.,82,110", "a,24,1250,833.333,1,.,82,110",
        "a,27,.,.,0,21.8,82,110",      "a,35.5,.,.,0,6.6,82,110",      "b,0,1000,1000,1,.,70,66",
        "b,12,1000,1000,1,.,70,66",    "b,26.5,.,.,0,24.7,70,66",      "c,0,750,750,1,.,58,24",
        "c,24,750,750,1,.,58,24",      "c,50.5,.,.,0,26.6,58,24",      "c,71.5,.,.,0,13.1,58,24"};
    const size_t first[FITTED + 1] = {0, 5, 8, 12};
    const covariates whose[FITTED] = {{82.0, 110.0}, {70.0, 66.0}, {58.0, 24.0}};
    text table = {0};
    text with_etas = {0};
    text_add(&table, "ID,TIME,AMT,RATE,EVID,DV,WT,CRCL\n");
    text_add(&with_etas, "ID,TIME,AMT,RATE,EVID,DV,WT,CRCL,eta_cl,eta_v1,eta_q,eta_v2\n");
    for (size_t i = 0; i < first[FITTED]; i++) {
        text_add(&table, "%s\n", records[i]);
    }
    parse_table(p, &table);
    for (size_t s = 0; s < FITTED; s++) {
        people[s].person = whose[s];
        estimate_subject(p, s, &people[s]);
        for (size_t i = first[s]; i < first[s + 1]; i++) {
            const double *eta = people[s].etas;
            text_add(&with_etas, "%s,%.12g,%.12g,%.12g,%.12g\n", records[i], eta[0], eta[1], eta[2], eta[3]);
        }
    }
    parse_table(p, &with_etas);
}

/* Cholesky's factor. */
static void root_of(const double *a, size_t n, double *l) {
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = a[i * n + j];
            for (size_t k = 0; k < j; k++) {
                sum -= l[i * n + k] * l[j * n + k];
            }
            l[i * n + j] = i == j ? sqrt(sum) : sum / l[j * n + j];
        }
    }
}

static two_compartments at_point(const fitted *f, const double *root, const double *z) {
    /* Two deviations of omega, or a factor of e where that is more: but not beyond four deviations. */
    const double reach[FITTED_ETAS] = {1.0, 0.6, 1.0, 2.6};
    double eta[FITTED_ETAS];
    for (size_t i = 0; i < FITTED_ETAS; i++) {
        eta[i] = f->etas[i];
        for (size_t k = 0; k <= i; k++) {
            eta[i] += root[i * FITTED_ETAS + k] * z[k];
        }
        eta[i] = fmin(fmax(eta[i], -reach[i]), reach[i]);
    }
    return two_compartments_of(2.99 * (1.0 + 0.0154 * (f->person.crcl - 66.0)) * exp(eta[0]),
                               0.675 * f->person.weight * exp(eta[1]), 2.28 * exp(eta[2]),
                               0.732 * f->person.weight * exp(eta[3]));
}

/* Cost and P(target) are means over the posterior that the levels leave, point by point from the closed form. */
static void test_posterior(void **state) {
    (void)state;
    problem p = {0};
    fitted people[FITTED];
    ddt_recommend_options options = {0};
    assert_ok(NULL, ddt_context_create(&p.ctx));
    assert_ok(p.ctx, ddt_model_read(p.ctx, THOMSON, &p.model));
    double z[FITTED_POINTS * FITTED_ETAS];
    double worst_cost = 0.0;
    double worst_p = 0.0;
    read_fitted(&p, people);
    recommend_request(&p, "auc24=400:600; trough=10:20", "dose=500:1500:250; interval=8,12; infusion=1", &options);
    recommend_solve(&p, &options);
    problem_run(&p, false);
    recommend_standard_points(FITTED_POINTS, FITTED_ETAS, z);
    size_t outputs = ddt_solution_output_count(p.solution);
    for (size_t s = 0; s < FITTED; s++) {
        double root[FITTED_ETAS * FITTED_ETAS] = {0.0};
        root_of(people[s].covariance, FITTED_ETAS, root);
        for (size_t c = 0; c < ddt_recommend_candidate_count(&options.product); c++) {
            ddt_recommend_candidate r = ddt_recommend_candidate_at(&options.product, c);
            double cost = 0.0;
            double attained = 0.0;
            for (size_t i = 0; i < FITTED_POINTS; i++) {
                two_compartments m = at_point(&people[s], root, z + i * FITTED_ETAS);
                double auc = r.dose * 24.0 / r.interval_h / m.cl;
                double trough = r.dose * steady_trough(&m, r.interval_h, r.infusion_h);
                const ddt_recommend_target *t = options.targets.items;
                cost +=
                    (ddt_recommend_target_cost(&t[0], auc) + ddt_recommend_target_cost(&t[1], trough)) / FITTED_POINTS;
                attained += ddt_recommend_attained(&t[0], auc) * ddt_recommend_attained(&t[1], trough) / FITTED_POINTS;
            }
            const double *values = p.values[s] + c * outputs;
            worst_cost = fmax(worst_cost, fabs(values[find_output(p.solution, "cost")] - cost));
            worst_p = fmax(worst_p, fabs(values[find_output(p.solution, "p_target")] - attained));
        }
    }
    print_message("expectations over the posterior: error of the cost %.1e, of P(target) %.1e\n", worst_cost, worst_p);
    assert_true(worst_cost < 2e-3);
    assert_true(worst_p < 1e-2);
    problem_free(&p);
}

/* ------------------------------------------------------------------ what is released */

enum { RELEASED_DRAWS = 4000, RELEASED_FIGURES = 3 };
static const char *const released_names[RELEASED_FIGURES] = {"auc24", "trough", "peak"};

static double normal_draw(uint64_t *state) {
    double u[2];
    for (int i = 0; i < 2; i++) {
        *state = *state * 6364136223846793005U + 1442695040888963407U;
        u[i] = ((double)(*state >> 11) + 0.5) / 9007199254740992.0;
    }
    return sqrt(-2.0 * log(u[0])) * cos(2.0 * 3.14159265358979323846 * u[1]);
}

static int by_size(const void *left, const void *right) {
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

static void figures_of(const two_compartments *m, const ddt_recommend_candidate *r, double figures[RELEASED_FIGURES]) {
    figures[0] = r->dose * 24.0 / r->interval_h / m->cl;
    figures[1] = r->dose * steady_trough(m, r->interval_h, r->infusion_h);
    figures[2] = r->dose * steady_peak(m, r->interval_h, r->infusion_h);
}

/* What release does to a response: rounding, here without the noise. */
static void round_responses(const problem *p, double step) {
    const size_t slots =
        ddt_circuit_lanes(ddt_solution_circuit(p->solution)) * ddt_circuit_block(ddt_solution_circuit(p->solution));
    for (size_t i = 0; i < slots; i++) {
        p->outputs[0][i] = step * round(p->outputs[0][i] / step);
    }
}

/*
 * Unit responses at the points of each patient's posterior: figures at the estimate against closed forms, bands and
 * P(target) against thousands of draws of that posterior, and what rounding the responses may change.
 */
static void test_released(void **state) {
    (void)state;
    const double step = 0.02;
    problem p = {0};
    fitted people[FITTED];
    ddt_recommend_options options = {.metrics_only = true, .reports_usual = true};
    ddt_recommend_responses responses;
    bool is_posterior = false;
    double worst_figure = 0.0;
    double worst_band = 0.0;
    double worst_p = 0.0;
    double worst_rounding = 0.0;
    uint64_t random = 1;
    assert_ok(NULL, ddt_context_create(&p.ctx));
    assert_ok(p.ctx, ddt_model_read(p.ctx, THOMSON, &p.model));
    read_fitted(&p, people);
    recommend_request(&p, "auc24=400:600", "dose=500:1500:500; interval=8,12; infusion=1", &options);
    recommend_solve(&p, &options);
    problem_run(&p, false);
    assert_int_equal(ddt_circuit_output_count(ddt_solution_circuit(p.solution)), 1);
    assert_int_equal(ddt_recommend_points(p.solution, &is_posterior), 16);
    assert_true(is_posterior);
    assert_true(ddt_recommend_get_responses(p.solution, &responses));
    assert_int_equal(responses.count, 16 * RELEASED_FIGURES * 2); /* points, figures, intervals: not candidates */
    const size_t outputs = ddt_solution_output_count(p.solution);
    const size_t candidates = ddt_recommend_candidate_count(&options.product);
    double **rounded = test_rows(FITTED, candidates * outputs);
    round_responses(&p, step);
    ddt_solution_collect(p.solution, (const double *const *)p.outputs, rounded);
    double *draws = calloc((size_t)RELEASED_DRAWS * RELEASED_FIGURES, sizeof *draws);
    assert_non_null(draws);
    for (size_t s = 0; s < FITTED; s++) {
        double root[FITTED_ETAS * FITTED_ETAS] = {0.0};
        root_of(people[s].covariance, FITTED_ETAS, root);
        for (size_t c = 0; c < candidates; c++) {
            const ddt_recommend_candidate r = ddt_recommend_candidate_at(&options.product, c);
            const double *row = p.values[s] + c * outputs;
            double attained = 0.0;
            double z[FITTED_ETAS] = {0.0};
            double exact[RELEASED_FIGURES];
            double own[RELEASED_FIGURES];
            two_compartments m = at_point(&people[s], root, z);
            figures_of(&m, &r, exact);
            for (size_t d = 0; d < RELEASED_DRAWS; d++) {
                for (size_t i = 0; i < FITTED_ETAS; i++) {
                    z[i] = normal_draw(&random);
                }
                m = at_point(&people[s], root, z);
                figures_of(&m, &r, own);
                attained += ddt_recommend_attained(&options.targets.items[0], own[0]) / RELEASED_DRAWS;
                for (size_t k = 0; k < RELEASED_FIGURES; k++) {
                    draws[k * RELEASED_DRAWS + d] = own[k];
                }
            }
            worst_p = fmax(worst_p, fabs(row[find_output(p.solution, "p_target")] - attained));
            for (size_t k = 0; k < RELEASED_FIGURES; k++) {
                const size_t at = find_output(p.solution, released_names[k]);
                char name[32];
                (void)snprintf(name, sizeof name, "%s.p05", released_names[k]);
                const size_t band = find_output(p.solution, name);
                double *sorted = draws + k * RELEASED_DRAWS;
                qsort(sorted, RELEASED_DRAWS, sizeof *sorted, by_size);
                worst_figure = fmax(worst_figure, fabs(row[at] / exact[k] - 1.0));
                worst_band = fmax(worst_band, fabs(row[band] / sorted[RELEASED_DRAWS / 20] - 1.0));
                worst_band = fmax(worst_band, fabs(row[band + 2] / sorted[RELEASED_DRAWS / 20 * 19] - 1.0));
                const double allowed = ddt_recommend_response_step(p.solution, c, at, step);
                assert_true(allowed > 0.0);
                worst_rounding = fmax(worst_rounding, fabs(rounded[s][c * outputs + at] - row[at]) / allowed);
            }
        }
    }
    print_message("released: error of figures %.1e, of bands %.1e, of P(target) %.1e; rounding at most %.2f steps\n",
                  worst_figure, worst_band, worst_p, worst_rounding);
    assert_true(worst_figure < 2e-3);
    assert_true(worst_band < 0.1);
    assert_true(worst_p < 0.08);
    assert_true(worst_rounding <= 1.0);
    free(draws);
    test_free_rows(rounded);
    problem_free(&p);
}

/* ------------------------------------------------------------------ earlier doses */

enum { TREATED = 3 };

typedef struct treated {
    double weight, crcl, start_h;
    size_t count;
    double time_h[4], amount[4], infusion_h[4];
    double steady_h; /* the first dose is at steady state with this interval; 0: not */
} treated;

/* What is left of earlier doses and of the new ones at t hours after the new regimen's start; area: from there back. */
static double level_of(const treated *who, const two_compartments *m, const ddt_recommend_candidate *c, double t) {
    enum { PAST_MAX = 400 };
    double sum = 0.0;
    for (size_t d = 0; d < who->count; d++) {
        double age = who->start_h - who->time_h[d] + t;
        for (size_t k = 0; k == 0 || (d == 0 && who->steady_h > 0.0 && k < PAST_MAX); k++) {
            sum += who->amount[d] * level_after_dose(m, age + (double)k * who->steady_h, who->infusion_h[d]);
        }
    }
    for (size_t k = 0; (double)k * c->interval_h < t; k++) {
        sum +=
            c->dose * (k == 0 ? c->loading : 1.0) * level_after_dose(m, t - (double)k * c->interval_h, c->infusion_h);
    }
    return sum;
}

static double area_of(const treated *who, const two_compartments *m, const ddt_recommend_candidate *c, double from,
                      double to) {
    const int steps = 4000; /* midpoints: shares nothing with the solver's formulas */
    double sum = 0.0;
    for (int i = 0; i < steps; i++) {
        sum += level_of(who, m, c, from + (to - from) * (i + 0.5) / steps);
    }
    return sum * (to - from) / steps;
}

static void check_treated(const problem *p, const ddt_recommend_product *product, const treated *who, size_t s,
                          double *worst) {
    two_compartments m =
        two_compartments_of(2.99 * (1.0 + 0.0154 * (who->crcl - 66.0)), 0.675 * who->weight, 2.28, 0.732 * who->weight);
    for (size_t i = 0; i < ddt_recommend_candidate_count(product); i += 3) {
        ddt_recommend_candidate c = ddt_recommend_candidate_at(product, i);
        const double *values = p->values[s] + i * ddt_solution_output_count(p->solution);
        const double right[] = {level_of(who, &m, &c, 24.0), area_of(who, &m, &c, 24.0, 48.0),
                                area_of(who, &m, &c, 24.0 - c.interval_h, 24.0) / c.interval_h,
                                24.0 * c.dose / (c.interval_h * m.cl)};
        const char *names[] = {"trough@24", "auc24@48", "average@24", "auc24"};
        for (size_t k = 0; k < sizeof right / sizeof *right; k++) {
            double error = fabs(values[find_output(p->solution, names[k])] / right[k] - 1.0);
            *worst = error <= *worst ? *worst : error;
        }
    }
}

/* Infusions of other lengths, additional doses, a steady state, doses at the new regimen's start and before a reset. */
static void test_earlier_doses(void **state) {
    (void)state;
    problem p = {0};
    ddt_recommend_options options = {.point_estimate = true};
    double worst = 0.0;
    const char *table = "ID,TIME,AMT,RATE,II,ADDL,SS,EVID,WT,CRCL\n"
                        "1,0,1250,833.3333333,0,0,0,1,82,110\n1,12,1000,1000,0,0,0,1,82,110\n1,30,0,0,0,0,0,2,82,110\n"
                        "2,0,2000,0,0,0,0,1,60,40\n2,1,0,0,0,0,0,3,60,40\n2,2,750,750,8,2,0,1,60,40\n"
                        "2,26,500,500,0,0,0,1,60,40\n"
                        "3,0,500,500,12,0,1,1,70,66\n3,20,0,0,0,0,0,2,70,66\n";
    const treated people[TREATED] = {
        {82.0, 110.0, 30.0, 2, {0.0, 12.0}, {1250.0, 1000.0}, {1.5, 1.0}, 0.0},
        {60.0, 40.0, 26.0, 3, {2.0, 10.0, 18.0}, {750.0, 750.0, 750.0}, {1.0, 1.0, 1.0}, 0.0},
        {70.0, 66.0, 20.0, 1, {0.0}, {500.0}, {1.0}, 12.0},
    };
    assert_ok(NULL, ddt_context_create(&p.ctx));
    assert_ok(p.ctx, ddt_model_read(p.ctx, THOMSON, &p.model));
    assert_ok(p.ctx, ddt_events_parse(p.ctx, table, strlen(table), "table", p.model, &p.events));
    recommend_request(&p, "trough@24=10:20; auc24@48=400:600; average@24=15:30; auc24=400:600",
                      "dose=500:1500:250; interval=8,12; infusion=1,2; loading=1,1.5", &options);
    recommend_solve(&p, &options);
    problem_run(&p, false);
    for (size_t s = 0; s < TREATED; s++) {
        check_treated(&p, &options.product, &people[s], s, &worst);
    }
    print_message("targets at given hours after earlier doses: worst relative error %.1e\n", worst);
    assert_true(worst < 3e-3);
    problem_free(&p);
}

/* ------------------------------------------------------------------ doses per kg */

/* One table of doses per kg for patients of 45 to 130 kg. */
static void test_per_weight(void **state) {
    (void)state;
    problem p = {0};
    covariates patients[PATIENTS];
    ddt_recommend_options options = {.point_estimate = true};
    double worst = 0.0;
    read_patients(&p, patients);
    recommend_request(&p, "auc24=400:600; trough=10:20", "dose=5:25:5; interval=8,12; infusion=1; per=WT", &options);
    recommend_solve(&p, &options);
    problem_run(&p, false);
    for (size_t s = 0; s < PATIENTS; s++) {
        const double cl = 2.99 * (1.0 + 0.0154 * (patients[s].crcl - 66.0)) * exp(0.1);
        two_compartments m =
            two_compartments_of(cl, 0.675 * patients[s].weight * exp(-0.1), 2.28, 0.732 * patients[s].weight);
        for (size_t c = 0; c < ddt_recommend_candidate_count(&options.product); c++) {
            ddt_recommend_candidate r = ddt_recommend_candidate_at(&options.product, c);
            const double *values = p.values[s] + c * ddt_solution_output_count(p.solution);
            double dose = r.dose * patients[s].weight;
            double trough = dose * steady_trough(&m, r.interval_h, r.infusion_h);
            worst = fmax(worst, fabs(values[0] / (dose * 24.0 / (r.interval_h * cl)) - 1.0));
            worst = fmax(worst, fabs(values[1] / trough - 1.0));
        }
    }
    print_message("doses per kg: worst relative error %.1e\n", worst);
    assert_true(worst < 2e-3);
    problem_free(&p);
}

/* ------------------------------------------------------------------ refusals */

static void check_refused(const char *model, const char *table, const char *targets, const char *product,
                          ddt_status status, const char *says) {
    problem p = {0};
    ddt_recommend_options options = {.point_estimate = true};
    assert_ok(NULL, ddt_context_create(&p.ctx));
    assert_ok(p.ctx, ddt_model_read(p.ctx, model, &p.model));
    assert_ok(p.ctx, ddt_events_parse(p.ctx, table, strlen(table), "table", p.model, &p.events));
    recommend_request(&p, targets, product, &options);
    ddt_status found = ddt_solve_recommend(p.ctx, p.model, p.events, &options, &p.solution);
    if (found != status || strstr(ddt_error_detail(p.ctx), says) == NULL) {
        fail_msg("%s, %s: %s '%s'", targets, product, ddt_status_name(found), ddt_error_detail(p.ctx));
    }
    problem_free(&p);
}

static void test_refusals(void **state) {
    (void)state;
    const char *patient = "ID,TIME,EVID,WT,CRCL\n1,0,2,70,66\n";
    check_refused(THOMSON, patient, "auc24=400000:600000", "dose=250:1000:250", DDT_ERR_RANGE, "out of reach");
    check_refused(THOMSON, patient, "trough=0.001:0.002", "dose=250:1000:250", DDT_ERR_RANGE, "out of reach");
    check_refused(THOMSON, patient, "trough@20=10:20", "dose=250:1000:250;interval=8,12", DDT_ERR_RANGE, "not the end");
    check_refused(THOMSON, patient, "trough=10:20", "dose=250:1000:250;cmt=7", DDT_ERR_RANGE, "does not exist");
    check_refused(THOMSON, patient, "trough=10:20", "dose=5:10:5;per=AGE", DDT_ERR_RANGE, "no covariate AGE");
    check_refused(THOMSON, "ID,TIME,AMT,EVID,WT,CRCL\n1,0,500,1,70,66\n1,9,0,2,70,66\n", "trough@24=10:20",
                  "dose=5:10:5;interval=12;per=WT", DDT_ERR_UNSUPPORTED, "do not see earlier doses");
    check_refused(THOMSON, "ID,TIME,AMT,CMT,EVID,WT,CRCL\n1,0,500,2,1,70,66\n1,9,0,2,2,70,66\n", "trough@24=10:20",
                  "dose=250:1000:250;interval=12", DDT_ERR_UNSUPPORTED, "went elsewhere");
    check_refused(DDT_SOURCE_DIR "/models/phenytoin_yukawa1990.R", "ID,TIME,EVID,WT\n1,0,2,70\n", "trough=10:20",
                  "dose=50:400:50", DDT_ERR_UNSUPPORTED, "at which time");
    check_refused(DDT_SOURCE_DIR "/models/theophylline.R", "ID,TIME,EVID\n1,0,2\n", "average=10:20",
                  "dose=1:10:1;interval=12", DDT_ERR_DATA, "nothing to encrypt");
    check_refused(DDT_SOURCE_DIR "/models/theophylline.R", "ID,TIME,EVID,eta.cl\n1,0,2,0\n", "peak=10:20",
                  "dose=1:10:1;interval=12", DDT_ERR_UNSUPPORTED, "at which time");
}

/* ------------------------------------------------------------------ ranking */

static void test_rank(void **state) {
    (void)state;
    problem p = {0};
    ddt_recommend_options options = {.point_estimate = true};
    size_t order[16];
    const char *patient = "ID,TIME,EVID,WT,CRCL\n1,0,2,70,66\n";
    assert_ok(NULL, ddt_context_create(&p.ctx));
    assert_ok(p.ctx, ddt_model_read(p.ctx, THOMSON, &p.model));
    assert_ok(p.ctx, ddt_events_parse(p.ctx, patient, strlen(patient), "table", p.model, &p.events));
    recommend_request(&p, "auc24=400:600", "dose=500:1250:250; interval=8,12", &options);
    recommend_solve(&p, &options);
    problem_run(&p, false);
    assert_ok(p.ctx, ddt_recommend_rank(p.ctx, p.solution, 0, p.values[0], &options.product, 1e-3, order));
    ddt_recommend_candidate best = ddt_recommend_candidate_at(&options.product, order[0]);
    assert_true(best.dose * 24.0 / best.interval_h == 1500.0); /* 1500 mg / 2.99 L/h = 502 mg h/L */
    for (size_t i = 0; i + 1 < ddt_recommend_candidate_count(&options.product); i++) {
        size_t outputs = ddt_solution_output_count(p.solution);
        size_t cost = find_output(p.solution, "cost");
        assert_true(p.values[0][order[i] * outputs + cost] <= p.values[0][order[i + 1] * outputs + cost] + 2e-3);
    }
    ddt_recommend_product other = options.product;
    other.dose_high = 1000.0;
    assert_int_equal(ddt_recommend_rank(p.ctx, p.solution, 0, p.values[0], &other, 0.0, order), DDT_ERR_MISMATCH);
    problem_free(&p);
}

/* Every weighting's best candidate is on the front; what is not is beaten by one that is. */
static void test_pareto(void **state) {
    (void)state;
    enum { CANDIDATES_MAX = 64, WEIGHTINGS = 200 };
    const double tolerance = 1e-3;
    problem p = {0};
    bool front[CANDIDATES_MAX];
    uint64_t seed = 11;
    ddt_recommend_options options = {.point_estimate = true};
    const char *patient = "ID,TIME,EVID,WT,CRCL\n1,0,2,70,66\n";
    assert_ok(NULL, ddt_context_create(&p.ctx));
    assert_ok(p.ctx, ddt_model_read(p.ctx, THOMSON, &p.model));
    assert_ok(p.ctx, ddt_events_parse(p.ctx, patient, strlen(patient), "table", p.model, &p.events));
    recommend_request(&p, "auc24=400:600; trough=10:15; tox:peak=30", "dose=500:1500:250; interval=8,12,24", &options);
    recommend_solve(&p, &options);
    problem_run(&p, false);
    const size_t candidates = ddt_recommend_candidate_count(&options.product);
    const size_t outputs = ddt_solution_output_count(p.solution);
    size_t column[3] = {find_output(p.solution, "cost(auc24)"), find_output(p.solution, "cost(trough)"),
                        find_output(p.solution, "cost(tox:peak)")};
    assert_ok(p.ctx, ddt_recommend_pareto(p.ctx, p.solution, 0, p.values[0], &options.product, &options.targets,
                                          tolerance, front));
    size_t on_front = 0;
    for (size_t i = 0; i < candidates; i++) {
        on_front += front[i];
    }
    assert_true(on_front > 1 && on_front < candidates);
    for (size_t w = 0; w < WEIGHTINGS; w++) {
        double weights[3];
        double best = INFINITY;
        double best_on_front = INFINITY;
        for (size_t k = 0; k < 3; k++) {
            weights[k] = test_uniform(&seed, 0.01, 1.0);
        }
        for (size_t i = 0; i < candidates; i++) {
            double cost = 0.0;
            for (size_t k = 0; k < 3; k++) {
                cost += weights[k] * p.values[0][i * outputs + column[k]];
            }
            best = fmin(best, cost);
            best_on_front = front[i] ? fmin(best_on_front, cost) : best_on_front;
        }
        assert_true(best_on_front <= best + 3.0 * tolerance);
    }
    ddt_recommend_product other = options.product;
    other.dose_high = 1000.0;
    assert_int_equal(ddt_recommend_pareto(p.ctx, p.solution, 0, p.values[0], &other, &options.targets, 0.0, front),
                     DDT_ERR_MISMATCH);
    problem_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pareto),        cmocka_unit_test(test_targets),     cmocka_unit_test(test_products),
        cmocka_unit_test(test_own_product),   cmocka_unit_test(test_sums),        cmocka_unit_test(test_thomson),
        cmocka_unit_test(test_goti),          cmocka_unit_test(test_expectation), cmocka_unit_test(test_posterior),
        cmocka_unit_test(test_earlier_doses), cmocka_unit_test(test_per_weight),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_rank),          cmocka_unit_test(test_released),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
