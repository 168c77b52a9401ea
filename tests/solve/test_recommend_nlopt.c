/* label: long */
/* needs: nlopt */
/*
 * Recommended regimens against a plaintext optimiser: 200 random patients in the clear. NLopt minimises the same cost
 * over a continuous dose for every interval and infusion time, with metrics from the closed form of two compartments;
 * its optimum is rounded to the better one of the product's neighbouring doses.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_encrypted_test.h"

#include "recommend_internal.h"

#include <nlopt.h>

enum { PATIENTS = 200, ENCRYPTED = 20, POINTS = 32, ETAS = 4 };

typedef struct patient {
    double weight, crcl;
} patient;

/* Thomson 2009. */
static two_compartments individual(const patient *p, const double *eta) {
    return two_compartments_of(2.99 * (1.0 + 0.0154 * (p->crcl - 66.0)) * exp(eta[0]), 0.675 * p->weight * exp(eta[1]),
                               2.28 * exp(eta[2]), 0.732 * p->weight * exp(eta[3]));
}

/* The posterior's points: the library's standard ones through the square root of omega. */
static void make_points(double eta[POINTS][ETAS]) {
    double z[POINTS * ETAS];
    const double a = sqrt(0.0729);
    const double b = 0.01 / a;
    recommend_standard_points(POINTS, ETAS, z);
    for (size_t i = 0; i < POINTS; i++) {
        const double *zi = z + i * ETAS;
        eta[i][0] = a * zi[0];
        eta[i][1] = b * zi[0] + sqrt(0.0225 - b * b) * zi[1];
        eta[i][2] = sqrt(0.2401) * zi[2];
        eta[i][3] = sqrt(1.69) * zi[3];
    }
}

typedef struct objective {
    const patient *patient;
    const ddt_recommend_targets *targets;
    double (*eta)[ETAS];
    double interval_h, infusion_h;
} objective;

static double expected_cost(const objective *o, double dose) {
    double cost = 0.0;
    for (size_t i = 0; i < POINTS; i++) {
        two_compartments m = individual(o->patient, o->eta[i]);
        for (size_t t = 0; t < o->targets->count; t++) {
            const ddt_recommend_target *target = &o->targets->items[t];
            double metric = target->kind == DDT_METRIC_AUC24 ? 24.0 / o->interval_h / m.cl
                                                             : steady_trough(&m, o->interval_h, o->infusion_h);
            cost += target->weight * ddt_recommend_target_cost(target, dose * metric) / POINTS;
        }
    }
    return cost;
}

static double call(unsigned n, const double *x, double *gradient, void *user) {
    (void)n;
    (void)gradient;
    return expected_cost(user, x[0]);
}

/* The best continuous dose: a global search, then a local one. */
static double optimal_dose(objective *o, double low, double high) {
    double dose = 0.5 * (low + high);
    double cost = 0.0;
    const nlopt_algorithm algorithms[] = {NLOPT_GN_DIRECT_L, NLOPT_LN_BOBYQA};
    for (size_t i = 0; i < 2; i++) {
        nlopt_opt opt = nlopt_create(algorithms[i], 1);
        assert_non_null(opt);
        assert_true(nlopt_set_min_objective(opt, call, o) > 0);
        assert_true(nlopt_set_lower_bounds1(opt, low) > 0 && nlopt_set_upper_bounds1(opt, high) > 0);
        assert_true(nlopt_set_maxeval(opt, 60) > 0 && nlopt_set_xtol_rel(opt, 1e-6) > 0);
        assert_true(nlopt_optimize(opt, &dose, &cost) > 0);
        nlopt_destroy(opt);
    }
    return dose;
}

typedef struct regimen {
    double dose, interval_h, infusion_h, cost;
    double continuous; /* before rounding */
} regimen;

/* The better one of the doses around the continuous optimum of one shape. */
static void try_shape(objective *o, const ddt_recommend_product *product, regimen *best) {
    double dose = optimal_dose(o, product->dose_low, product->dose_high);
    for (int up = 0; up < 2; up++) {
        double step = floor((dose - product->dose_low) / product->dose_step) + up;
        double rounded = fmin(product->dose_low + step * product->dose_step, product->dose_high);
        double cost = expected_cost(o, rounded);
        if (cost < best->cost) {
            *best = (regimen){rounded, o->interval_h, o->infusion_h, cost, dose};
        }
    }
}

static regimen oracle(objective *o, const ddt_recommend_product *product) {
    regimen best = {.cost = INFINITY};
    for (size_t i = 0; i < product->interval_count; i++) {
        for (size_t j = 0; j < product->infusion_count; j++) {
            o->interval_h = product->intervals_h[i];
            o->infusion_h = product->infusions_h[j];
            try_shape(o, product, &best);
        }
    }
    return best;
}

static void make_patients(problem *p, patient *patients, size_t count) {
    text table = {0};
    uint64_t seed = 2024;
    text_add(&table, "ID,TIME,EVID,WT,CRCL\n");
    for (size_t s = 0; s < count; s++) {
        patients[s] = (patient){test_uniform(&seed, 42.0, 135.0), test_uniform(&seed, 14.0, 175.0)};
        text_add(&table, "%zu,0,2,%.12g,%.12g\n", s + 1, patients[s].weight, patients[s].crcl);
    }
    assert_ok(NULL, ddt_context_create(&p->ctx));
    assert_ok(p->ctx, ddt_model_read(p->ctx, THOMSON, &p->model));
    assert_ok(p->ctx, ddt_events_parse(p->ctx, table.data, table.length, "patients", p->model, &p->events));
    text_free(&table);
}

/* How much more the first of the ranked candidates costs than the oracle's regimen; 0 where they are the same. */
static double excess_of(problem *p, const ddt_recommend_product *product, size_t subject, objective *o, size_t *order,
                        bool *is_same) {
    regimen best = oracle(o, product);
    assert_ok(p->ctx, ddt_recommend_rank(p->ctx, p->solution, subject, p->values[subject], product, 0.0, order));
    ddt_recommend_candidate found = ddt_recommend_candidate_at(product, order[0]);
    o->interval_h = found.interval_h;
    o->infusion_h = found.infusion_h;
    double excess = expected_cost(o, found.dose) / best.cost - 1.0;
    *is_same = found.dose == best.dose && found.interval_h == best.interval_h && found.infusion_h == best.infusion_h;
    if (!*is_same && excess > 0.005) {
        print_message("patient %zu: %g mg every %g h over %g h, oracle %g (%g) every %g h over %g h, cost %+.2f %%\n",
                      subject + 1, found.dose, found.interval_h, found.infusion_h, best.dose, best.continuous,
                      best.interval_h, best.infusion_h, 100.0 * excess);
    }
    return *is_same ? 0.0 : excess;
}

static void check(const char *targets, size_t patient_count, bool is_encrypted) {
    static patient patients[PATIENTS];
    static double eta[POINTS][ETAS];
    problem p = {0};
    ddt_recommend_options options = {0};
    size_t same = 0;
    double worst = 0.0;
    make_points(eta);
    make_patients(&p, patients, patient_count);
    recommend_request(&p, targets, "dose=250:2000:250; interval=8,12,24; infusion=1,2", &options);
    recommend_solve(&p, &options);
    assert_int_equal(ddt_circuit_block(ddt_solution_circuit(p.solution)) % POINTS, 0);
    problem_run(&p, false);
    if (is_encrypted) {
        recommend_run_encrypted(&p, (uint64_t)1 << 30);
    }
    size_t *order = calloc(ddt_recommend_candidate_count(&options.product), sizeof *order);
    assert_non_null(order);
    for (size_t s = 0; s < patient_count; s++) {
        objective o = {.patient = &patients[s], .targets = &options.targets, .eta = eta};
        bool is_same = false;
        worst = fmax(worst, excess_of(&p, &options.product, s, &o, order, &is_same));
        same += is_same;
    }
    print_message("%s: the same regimen in %zu of %zu patients; elsewhere the cost is at most %.2f %% higher\n",
                  targets, same, patient_count, 100.0 * worst);
    assert_true(worst <= 0.005);
    free(order);
    problem_free(&p);
}

static void test_two_targets(void **state) {
    (void)state;
    check("auc24=400:600; trough=10:20", PATIENTS, false);
}

static void test_limit(void **state) {
    (void)state;
    check("auc24=400:600; tox:trough=20,weight=2", PATIENTS, false);
}

static void test_aim(void **state) {
    (void)state;
    check("trough=15; auc24=:650,weight=0.5", PATIENTS, false);
}

/* ------------------------------------------------------------------ doses over a course */

enum { DOSES = 6, AIMS = 3 };

typedef struct course {
    double a[POINTS][AIMS][DOSES]; /* in units of the aim, for doses of dose_high */
    double limit[POINTS][DOSES];   /* the same of what is limited */
    double weight[AIMS], limit_weight;
    double change, amount;
} course;

/* What a dose at t does to a target, of one point. */
static double effect_of(const two_compartments *m, const ddt_recommend_target *target, double t, double infusion_h) {
    return target->kind == DDT_METRIC_AUC_WINDOW
               ? area_after_dose(m, target->to_h - t, infusion_h) - area_after_dose(m, target->from_h - t, infusion_h)
               : level_after_dose(m, target->at_h - t, infusion_h);
}

static void make_course(const patient *p, double eta[POINTS][ETAS], const ddt_course_options *options, course *out) {
    out->change = options->change_weight == 0.0 ? 0.1 : options->change_weight;
    out->amount = options->dose_weight;
    out->limit_weight = 0.0;
    memset(out->limit, 0, sizeof out->limit);
    for (size_t z = 0; z < POINTS; z++) {
        two_compartments m = individual(p, eta[z]);
        for (size_t j = 0; j < DOSES; j++) {
            for (size_t k = 0; k < AIMS; k++) {
                const ddt_recommend_target *target = &options->targets.items[k];
                double value = effect_of(&m, target, options->times_h[j], options->infusion_h);
                out->weight[k] = target->weight;
                out->a[z][k][j] = value * options->dose_high / sqrt(target->low * target->high);
            }
            if (options->targets.count > AIMS) {
                const ddt_recommend_target *limit = &options->targets.items[AIMS];
                double value = effect_of(&m, limit, options->times_h[j], options->infusion_h);
                out->limit_weight = limit->weight;
                out->limit[z][j] = value * options->dose_high / limit->high;
            }
        }
    }
}

/* One squared term of the cost: weight (row x - 1)^2. */
static double squared(const double *row, const double *x, double weight, bool is_limit, double *g) {
    double residual = -1.0;
    for (size_t j = 0; j < DOSES; j++) {
        residual += row[j] * x[j];
    }
    if (is_limit && residual <= 0.0) {
        return 0.0;
    }
    for (size_t j = 0; j < DOSES; j++) {
        g[j] += 2.0 * weight * residual * row[j];
    }
    return weight * residual * residual;
}

static double course_cost(const course *c, const double *x, double *gradient) {
    double cost = 0.0;
    double effect = 0.0;
    double g[DOSES] = {0.0};
    for (size_t z = 0; z < POINTS; z++) {
        for (size_t k = 0; k < AIMS; k++) {
            double sum = 0.0;
            for (size_t j = 0; j < DOSES; j++) {
                sum += c->a[z][k][j];
            }
            effect += c->weight[k] * sum * sum / POINTS;
            cost += squared(c->a[z][k], x, c->weight[k] / POINTS, false, g);
        }
        cost += squared(c->limit[z], x, c->limit_weight / POINTS, true, g);
    }
    for (size_t j = 0; j < DOSES; j++) {
        double amount = c->amount * effect / DOSES;
        double factor = c->change * effect / DOSES;
        double step = j == 0 ? 0.0 : x[j] - x[j - 1];
        cost += amount * x[j] * x[j] + factor * step * step;
        g[j] += 2.0 * amount * x[j] + 2.0 * factor * step;
        g[j == 0 ? 0 : j - 1] -= 2.0 * factor * step;
    }
    if (gradient != NULL) {
        memcpy(gradient, g, sizeof g);
    }
    return cost;
}

static double call_course(unsigned n, const double *x, double *gradient, void *user) {
    (void)n;
    return course_cost(user, x, gradient);
}

/* low, high: bounds of x; without any where high is infinite. */
static void optimal_course(course *c, double low, double high, double *x) {
    double cost = 0.0;
    nlopt_opt opt = nlopt_create(NLOPT_LD_LBFGS, DOSES);
    assert_non_null(opt);
    for (size_t j = 0; j < DOSES; j++) {
        x[j] = isfinite(high) ? 0.5 * (low + high) : 0.5;
    }
    if (isfinite(high)) {
        assert_true(nlopt_set_lower_bounds1(opt, low) > 0 && nlopt_set_upper_bounds1(opt, high) > 0);
    }
    assert_true(nlopt_set_min_objective(opt, call_course, c) > 0);
    assert_true(nlopt_set_maxeval(opt, 5000) > 0 && nlopt_set_ftol_rel(opt, 1e-13) > 0);
    (void)nlopt_optimize(opt, x, &cost); /* it may stop at its rounding error, which is what is wanted */
    double gradient[DOSES];
    (void)course_cost(c, x, gradient);
    for (size_t j = 0; j < DOSES; j++) {
        bool is_bound = (x[j] <= low && gradient[j] > 0.0) || (x[j] >= high && gradient[j] < 0.0);
        assert_true(is_bound || fabs(gradient[j]) < 1e-3);
    }
    nlopt_destroy(opt);
}

static size_t iterations_of(const problem *p) {
    ddt_solve_info info;
    ddt_solution_get_info(p->solution, &info);
    return info.iterations;
}

typedef struct score {
    size_t same, at_bounds, over_limit;
    double worst_cost;  /* of rounded doses that are not NLopt's, relative */
    double worst_exact; /* of all doses as they are, within the bounds */
    double worst_step;  /* of a dose, in steps */
} score;

/* One patient's doses against NLopt's with the same bounds. */
static void compare(const problem *p, size_t s, course *c, const ddt_course_options *options, score *out) {
    const double unit = options->dose_high;
    const double step = options->dose_step;
    const size_t outputs = ddt_solution_output_count(p->solution);
    double best[DOSES];
    double right[DOSES];
    double found[DOSES];
    double cut[DOSES];
    bool is_same = true;
    bool is_bound = false;
    optimal_course(c, options->is_bounded ? options->dose_low / unit : 0.0, options->is_bounded ? 1.0 : INFINITY, best);
    for (size_t j = 0; j < DOSES; j++) {
        const double dose = best[j] * unit;
        const double own = p->values[s][j * outputs];
        const double boundary = fabs(dose / step - floor(dose / step) - 0.5) * step;
        right[j] = ddt_course_round(options, dose) / unit;
        found[j] = ddt_course_round(options, own) / unit;
        cut[j] = options->is_bounded ? fmin(fmax(own, options->dose_low), unit) / unit : own / unit;
        is_same &= found[j] == right[j] || boundary < 0.01 * dose;
        is_bound |= options->is_bounded && (best[j] * unit < options->dose_low + 1e-9 || best[j] > 1.0 - 1e-9);
        out->worst_step = fmax(out->worst_step, fabs(cut[j] - best[j]) * unit / step);
    }
    const double excess = course_cost(c, found, NULL) / course_cost(c, right, NULL) - 1.0;
    out->same += is_same;
    out->at_bounds += is_bound;
    out->worst_cost = fmax(out->worst_cost, is_same ? 0.0 : excess);
    out->worst_exact = fmax(out->worst_exact, course_cost(c, cut, NULL) / course_cost(c, best, NULL) - 1.0);
    for (size_t z = 0, is_over = 0; z < POINTS; z++) {
        double ignored[DOSES] = {0.0};
        is_over |= squared(c->limit[z], best, 1.0, true, ignored) > 0.0;
        out->over_limit += z + 1 == POINTS && is_over;
    }
}

static void check_course(const char *targets, const ddt_course_options *wanted, size_t patient_count,
                         bool is_encrypted) {
    static patient patients[PATIENTS];
    static double eta[POINTS][ETAS];
    static course c;
    problem p = {0};
    score sum = {0};
    ddt_course_options options = *wanted;
    options.solve.block_max = 1 << 15;
    options.time_count = DOSES;
    options.infusion_h = 1.0;
    for (size_t j = 0; j < DOSES; j++) {
        options.times_h[j] = 12.0 * (double)j;
    }
    make_points(eta);
    make_patients(&p, patients, patient_count);
    assert_ok(p.ctx, ddt_recommend_parse_targets(p.ctx, targets, p.model, &options.targets));
    assert_ok(p.ctx, ddt_solve_course(p.ctx, p.model, p.events, &options, &p.solution));
    problem_rows(&p);
    assert_int_equal(ddt_circuit_block(ddt_solution_circuit(p.solution)), 1 << 15); /* all 32 points */
    problem_run(&p, false);
    if (is_encrypted) {
        const uint64_t most_key_bytes = (uint64_t)1 << 30;
        const ddt_plan_request request = {.target_error = options.is_bounded ? 3e-3 : 1e-3,
                                          .levels = options.is_bounded ? DDT_COURSE_LEVELS : 0,
                                          .key_limit = most_key_bytes};
        recommend_run_planned(&p, &request, most_key_bytes);
    }
    for (size_t s = 0; s < patient_count; s++) {
        make_course(&patients[s], eta, &options, &c);
        compare(&p, s, &c, &options, &sum);
    }
    print_message("%s, doses %g to %g by %g: %u steps; the same doses in %zu of %zu patients, the cost elsewhere at "
                  "most %.2f %% higher; before rounding the cost is at most %.3f %% higher, doses differ by at most "
                  "%.3f steps; at a bound %zu, above a limit %zu\n",
                  targets, options.is_bounded ? options.dose_low : 0.0,
                  options.is_bounded ? options.dose_high : INFINITY, options.dose_step, (unsigned)iterations_of(&p),
                  sum.same, patient_count, 100.0 * sum.worst_cost, 100.0 * sum.worst_exact, sum.worst_step,
                  sum.at_bounds, sum.over_limit);
    assert_true(sum.worst_cost <= 0.005);
    assert_true(sum.worst_exact <= 0.005);
    problem_free(&p);
}

static const char course_targets[] = "auc0-24=400:600; auc48-72=400:600; trough@72=15,weight=0.3";
static const char limited_targets[] =
    "auc0-24=400:600; auc48-72=400:600; trough@72=15,weight=0.3; tox:trough@60=18,weight=2";

static void test_course(void **state) {
    (void)state;
    const ddt_course_options options = {.dose_high = 2000.0, .dose_step = 250.0};
    check_course(course_targets, &options, PATIENTS, false);
}

static void test_course_bounds(void **state) {
    (void)state;
    ddt_course_options options = {.dose_high = 2000.0, .dose_step = 250.0, .is_bounded = true, .dose_low = 500.0};
    check_course(course_targets, &options, PATIENTS, false);
    options = (ddt_course_options){
        .dose_high = 1000.0, .dose_step = 250.0, .is_bounded = true, .dose_low = 250.0, .dose_weight = 0.02};
    check_course(course_targets, &options, PATIENTS, false);
}

static void test_course_limits(void **state) {
    (void)state;
    const ddt_course_options options = {.dose_high = 2000.0, .dose_step = 250.0, .is_bounded = true, .dose_low = 500.0};
    check_course(limited_targets, &options, PATIENTS, false);
}

static void test_course_bounds_encrypted(void **state) {
    (void)state;
    const ddt_course_options options = {.dose_high = 2000.0, .dose_step = 250.0, .is_bounded = true, .dose_low = 500.0};
    check_course(course_targets, &options, 2, true);
}

static void test_course_limits_encrypted(void **state) {
    (void)state;
    const ddt_course_options options = {.dose_high = 2000.0, .dose_step = 250.0, .is_bounded = true, .dose_low = 500.0};
    check_course(limited_targets, &options, 1, true);
}

static void test_course_encrypted(void **state) {
    (void)state;
    const ddt_course_options options = {.dose_high = 2000.0, .dose_step = 250.0};
    check_course(course_targets, &options, 2, true);
}

static void test_encrypted(void **state) {
    (void)state;
    check("auc24=400:600; trough=10:20", ENCRYPTED, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_targets),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_aim),
        cmocka_unit_test(test_course),
        cmocka_unit_test(test_course_bounds),
        cmocka_unit_test(test_course_limits),
        cmocka_unit_test(test_encrypted),
        cmocka_unit_test(test_course_encrypted),
        cmocka_unit_test(test_course_bounds_encrypted),
        cmocka_unit_test(test_course_limits_encrypted),
    };
    cmocka_set_test_filter(getenv("DDT_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
