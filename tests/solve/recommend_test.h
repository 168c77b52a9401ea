/*
 * What the tests of recommendations share: a request becomes a solution; two compartments with an infusion by their
 * closed form, which shares nothing with the solver.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_RECOMMEND_TEST_H
#define DDT_RECOMMEND_TEST_H

#include "solve_test.h"

#include "ddt/solve/recommend.h"

#define THOMSON DDT_SOURCE_DIR "/models/vancomycin_thomson2009.R"
#define GOTI DDT_SOURCE_DIR "/models/vancomycin_goti2018.R"

static inline void recommend_request(problem *p, const char *targets, const char *product,
                                     ddt_recommend_options *options) {
    assert_ok(p->ctx, ddt_recommend_parse_targets(p->ctx, targets, p->model, &options->targets));
    assert_ok(p->ctx, ddt_recommend_parse_product(p->ctx, product, &options->product));
}

static inline void recommend_solve(problem *p, const ddt_recommend_options *options) {
    assert_ok(p->ctx, ddt_solve_recommend(p->ctx, p->model, p->events, options, &p->solution));
    problem_rows(p);
}

/* The candidate of a dose, interval and infusion time. */
static inline size_t find_candidate(const ddt_recommend_product *product, double dose, double interval_h,
                                    double infusion_h) {
    for (size_t i = 0; i < ddt_recommend_candidate_count(product); i++) {
        ddt_recommend_candidate c = ddt_recommend_candidate_at(product, i);
        if (c.dose == dose && c.interval_h == interval_h && c.infusion_h == infusion_h) {
            return i;
        }
    }
    fail_msg("no candidate %g mg every %g h over %g h", dose, interval_h, infusion_h);
    return 0;
}

static inline size_t find_output(const ddt_solution *solution, const char *name) {
    for (size_t o = 0; o < ddt_solution_output_count(solution); o++) {
        if (strcmp(ddt_solution_output_name(solution, o), name) == 0) {
            return o;
        }
    }
    fail_msg("no output %s", name);
    return 0;
}

/* ------------------------------------------------------------------ the reference table */

/* dose, interval, infusion, AUC0-24, AUC24-48, AUC24 and trough at steady state */
enum { TABLE_FIGURES = 4, TABLE_ROW = 3 + TABLE_FIGURES, TABLE_ROWS_MAX = 64 };

/* One model's patients of data/reference/vancomycin_auc24.csv, and their regimens among others. */
typedef struct table_problem {
    problem p;
    ddt_recommend_options options;
    size_t count;
    double rows[TABLE_ROWS_MAX][TABLE_ROW];
} table_problem;

static inline void table_read(table_problem *t, const char *name, const char *extra, text *events) {
    char line[512];
    FILE *file = fopen(DDT_SOURCE_DIR "/data/reference/vancomycin_auc24.csv", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL && t->count < TABLE_ROWS_MAX) {
        char model[32];
        double weight = 0.0;
        double crcl = 0.0;
        double *r = t->rows[t->count];
        if (sscanf(line, "%31[^,],%lf,%lf,%*f,%*f,%*f,%*f,%lf,%lf,%lf,%lf,%lf,%lf,%lf", model, &weight, &crcl, &r[0],
                   &r[1], &r[2], &r[3], &r[4], &r[5], &r[6]) == 3 + TABLE_ROW &&
            strcmp(model, name) == 0) {
            text_add(events, "%zu,0,2,%g,%g%s\n", ++t->count, weight, crcl, extra);
        }
    }
    (void)fclose(file);
}

/* header, extra: columns that the model wants beside weight and creatinine clearance. */
static inline void table_problem_create(table_problem *t, const char *name, const char *path, const char *header,
                                        const char *extra) {
    text events = {0};
    *t = (table_problem){.options.point_estimate = true};
    text_add(&events, "%s", header);
    table_read(t, name, extra, &events);
    assert_int_equal(t->count, 30);
    assert_ok(NULL, ddt_context_create(&t->p.ctx));
    assert_ok(t->p.ctx, ddt_model_read(t->p.ctx, path, &t->p.model));
    assert_ok(t->p.ctx, ddt_events_parse(t->p.ctx, events.data, events.length, "table", t->p.model, &t->p.events));
    recommend_request(&t->p, "auc0-24=400:600; auc24-48=400:600; auc24=400:600; trough=10:20",
                      "dose=750:1500:250; interval=8,12,24; infusion=1,1.5", &t->options);
    recommend_solve(&t->p, &t->options);
    text_free(&events);
}

/* The worst relative difference of the values collected from the table's. */
static inline double table_worst_error(const table_problem *t) {
    double worst = 0.0;
    for (size_t s = 0; s < t->count; s++) {
        const double *row = t->rows[s];
        size_t c = find_candidate(&t->options.product, row[0], row[1], row[2]);
        const double *values = t->p.values[s] + c * ddt_solution_output_count(t->p.solution);
        for (size_t o = 0; o < TABLE_FIGURES; o++) {
            double error = fabs(values[o] / row[3 + o] - 1.0);
            worst = error <= worst ? worst : error;
        }
    }
    return worst;
}

/* ------------------------------------------------------------------ closed forms */

/* Two compartments: concentration = sum over two rates of part * exp(-rate t) after a unit bolus. */
typedef struct two_compartments {
    double cl, v1, q, v2;
    double rate[2], part[2];
} two_compartments;

static inline two_compartments two_compartments_of(double cl, double v1, double q, double v2) {
    two_compartments m = {.cl = cl, .v1 = v1, .q = q, .v2 = v2};
    double sum = cl / v1 + q / v1 + q / v2;
    double product = cl / v1 * q / v2;
    double root = sqrt(sum * sum - 4.0 * product);
    m.rate[0] = 0.5 * (sum + root);
    m.rate[1] = product / m.rate[0];
    m.part[0] = (m.rate[0] - q / v2) / (m.rate[0] - m.rate[1]) / v1;
    m.part[1] = (q / v2 - m.rate[1]) / (m.rate[0] - m.rate[1]) / v1;
    return m;
}

/* Just before the next dose at steady state, of a unit dose. */
static inline double steady_trough(const two_compartments *m, double interval_h, double infusion_h) {
    double sum = 0.0;
    for (int i = 0; i < 2; i++) {
        double k = m->rate[i];
        double end = infusion_h > 0.0 ? -expm1(-k * infusion_h) / (k * infusion_h) : 1.0;
        sum += m->part[i] * end * exp(-k * (interval_h - infusion_h)) / -expm1(-k * interval_h);
    }
    return sum;
}

static inline double steady_peak(const two_compartments *m, double interval_h, double infusion_h) {
    double sum = 0.0;
    for (int i = 0; i < 2; i++) {
        double k = m->rate[i];
        double end = infusion_h > 0.0 ? -expm1(-k * infusion_h) / (k * infusion_h) : 1.0;
        sum += m->part[i] * end / -expm1(-k * interval_h);
    }
    return sum;
}

/* Area from a unit dose until t after it. */
static inline double area_after_dose(const two_compartments *m, double t, double infusion_h) {
    double sum = 0.0;
    for (int i = 0; i < 2 && t > 0.0; i++) {
        double k = m->rate[i];
        double during = fmin(t, infusion_h);
        /* int_0^t of 1/T int_0^min(s, T) exp(-k (s - u)) du ds */
        double area = (during + expm1(-k * during) / k) / k;
        area += -expm1(-k * during) / k * -expm1(-k * (t - during)) / k;
        sum += m->part[i] * area / infusion_h;
    }
    return sum;
}

/* Concentration t after a unit dose. */
static inline double level_after_dose(const two_compartments *m, double t, double infusion_h) {
    double sum = 0.0;
    for (int i = 0; i < 2 && t > 0.0; i++) {
        double k = m->rate[i];
        double during = fmin(t, infusion_h);
        sum += m->part[i] * -expm1(-k * during) / (k * infusion_h) * exp(-k * (t - during));
    }
    return sum;
}

#endif
