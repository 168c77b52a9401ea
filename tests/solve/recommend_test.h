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

#endif
