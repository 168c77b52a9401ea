/*
 * Recommendations by simulation: metrics against those of the linear way, against CVODE and against fine grids; points;
 * earlier doses; plan files; requests that are refused; memory that runs out.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "file_test.h"
#include "recommend_test.h"

/* Linear, doses into the measured compartment. */
static const char one_text[] = "one <- function() {\n  ini({\n    lk <- -1.5\n    eta.k ~ 0.04\n  })\n"
                               "  model({\n    d/dt(x) <- -exp(lk + eta.k) * (WT / 70)^0.75 * x\n    C <- x / WT\n"
                               "    C ~ prop(0.1)\n  })\n}\n";

/* Saturable elimination, a tissue, and cells that the drug keeps from growing. */
static const char effect_text[] =
    "effect <- function() {\n  units <- list(time = \"h\", dosing = \"mg\", concentration = \"mg/L\")\n"
    "  ini({\n    lvmax <- 2.5\n    lkm <- 1.6\n    lic <- 0.7\n    eta.vmax ~ 0.04\n    eta.ic ~ 0.04\n  })\n"
    "  model({\n    Cc <- central / 20\n    d/dt(central) <- -exp(lvmax + eta.vmax) * Cc / (exp(lkm) + Cc) - 0.1 * "
    "central + 0.05 * tissue\n"
    "    d/dt(tissue) <- 0.1 * central - 0.05 * tissue\n"
    "    d/dt(cells) <- 0.5 * (1 - Cc / (exp(lic + eta.ic) + Cc)) - 0.05 * cells\n    cells(0) <- 10\n"
    "    count <- cells\n    Cc ~ prop(0.1)\n    count ~ prop(0.1)\n  })\n}\n";
static const char effect_data[] = "ID,TIME,EVID,AMT,DV\n1,0,2,.,.\n2,0,1,40,.\n2,10,2,.,.\n";

static void request(problem *p, const char *targets, const char *product, bool is_point,
                    ddt_recommend_options *options) {
    *options = (ddt_recommend_options){.solve = {.draws = 40}, .point_estimate = is_point};
    recommend_request(p, targets, product, options);
}

/* ------------------------------------------------------------------ two ways */

/* A subject's values come from its own places and from no others: what a grant releases. */
static void check_places(problem *p, size_t subject) {
    const ddt_circuit *circuit = ddt_solution_circuit(p->solution);
    const size_t slots = ddt_circuit_lanes(circuit) * ddt_circuit_block(circuit);
    const size_t outputs = ddt_circuit_output_count(circuit);
    const size_t count = ddt_solution_observation_count(p->solution, 0) * ddt_solution_output_count(p->solution);
    double **places = test_rows(outputs, slots);
    double **altered = test_rows(outputs, slots);
    double **values = test_rows(ddt_solution_subject_count(p->solution), count);
    size_t marked = 0;
    assert_true(ddt_solution_places(p->solution, subject, places));
    for (size_t i = 0; i < outputs * slots; i++) {
        const bool is_own = places[i / slots][i % slots] > 0.0;
        altered[i / slots][i % slots] = is_own ? p->outputs[i / slots][i % slots] : 1e9;
        marked += is_own;
    }
    ddt_solution_collect(p->solution, (const double *const *)altered, values);
    assert_true(marked > 0 && marked < outputs * slots);
    assert_memory_equal(values[subject], p->values[subject], count * sizeof **values);
    test_free_rows(places);
    test_free_rows(altered);
    test_free_rows(values);
}

/* The metrics of a linear model, by sums of exponentials and by simulation. */
static void test_same_as_linear(void **state) {
    (void)state;
    static const char data[] = "ID,TIME,EVID,AMT,WT,eta.k\n7,0,1,100,70,0.1\n7,8,2,.,70,0.1\n8,3,2,.,55,-0.2\n";
    static const char product[] = "dose=60:120:60; interval=6,12; infusion=0,2; loading=1,2";
    enum { TARGETS = 6 };
    const double tolerance = 2e-3;
    problem linear;
    problem curves;
    ddt_recommend_options options;
    problem_parse(&linear, one_text, data);
    request(&linear,
            "auc24@36=4:8; auc6-30=4:8; trough@36=0.1:0.3; average@36=0.2:1; peak@36=0.5:2; fT>mic@36=0.5,mic=0.4",
            product, true, &options);
    recommend_solve(&linear, &options);
    problem_run(&linear, false);
    problem_parse(&curves, one_text, data);
    request(&curves,
            "auc24(C)@36=4:8; auc6-30(C)=4:8; trough(C)@36=0.1:0.3; average(C)@36=0.2:1; peak(C)@36=0.5:2; "
            "fT>mic(C)@36=0.5,mic=0.4",
            product, true, &options);
    recommend_solve(&curves, &options);
    assert_true(ddt_recommend_is_simulated(curves.solution) && !ddt_recommend_is_simulated(linear.solution));
    problem_run(&curves, false);
    const size_t outputs = ddt_solution_output_count(linear.solution);
    assert_int_equal(ddt_solution_output_count(curves.solution), outputs);
    assert_int_equal(ddt_solution_subject_count(curves.solution), 2);
    check_places(&linear, 0);
    check_places(&curves, 1);
    assert_string_equal(ddt_solution_subject_id(curves.solution, 1), "8");
    const size_t candidates = ddt_recommend_candidate_count(&options.product);
    assert_int_equal(ddt_solution_observation_count(curves.solution, 1), candidates);
    for (size_t i = 0; i < 2 * candidates; i++) {
        const double *a = linear.values[i / candidates] + i % candidates * outputs;
        const double *b = curves.values[i / candidates] + i % candidates * outputs;
        for (size_t t = 0; t < TARGETS; t++) {
            double allowed = t == TARGETS - 1 ? 0.06 : tolerance; /* a smooth step of 16 times there */
            if (!(fabs(a[t] - b[t]) <= allowed * fmax(fabs(a[t]), t == TARGETS - 1 ? 1.0 : 0.0))) {
                fail_msg("%s of candidate %zu: %g and %g", options.targets.items[t].name, i, a[t], b[t]);
            }
        }
    }
    problem_free(&linear);
    problem_free(&curves);
}

/* ------------------------------------------------------------------ effects */

static double **reference_rows(const problem *p) {
    size_t subjects = ddt_solution_subject_count(p->solution);
    return test_rows(subjects, ddt_solution_observation_count(p->solution, 0) * ddt_solution_output_count(p->solution));
}

/* Largest error of a column, relative to its largest value (probabilities: to 1). */
static double column_error(const problem *p, double *const *reference, size_t o) {
    size_t outputs = ddt_solution_output_count(p->solution);
    double error = 0.0;
    double largest = strcmp(ddt_solution_output_name(p->solution, o), "p_target") == 0 ? 1.0 : 0.0;
    for (size_t s = 0; s < ddt_solution_subject_count(p->solution); s++) {
        for (size_t c = 0; c < ddt_solution_observation_count(p->solution, s); c++) {
            double right = reference[s][c * outputs + o];
            double difference = fabs(p->values[s][c * outputs + o] - right);
            error = difference <= error ? error : difference;
            largest = fmax(largest, fabs(right));
        }
    }
    return largest > 0.0 ? error / largest : error;
}

static void check_reference(problem *p, double tolerance) {
    double **reference = reference_rows(p);
    assert_ok(p->ctx, ddt_recommend_reference(p->ctx, p->solution, p->model, p->events, reference));
    for (size_t o = 0; o < ddt_solution_output_count(p->solution); o++) {
        double error = column_error(p, reference, o);
        if (!(error <= tolerance)) {
            fail_msg("%s: error %g", ddt_solution_output_name(p->solution, o), error);
        }
    }
    test_free_rows(reference);
}

/* A saturable drug and its effect, over the population's points, with an earlier dose: the circuit against CVODE. */
static void test_effects(void **state) {
    (void)state;
    const double tolerance = 0.02;
    problem p;
    ddt_recommend_options options;
    problem_parse(&p, effect_text, effect_data);
    request(&p, "nadir(count)=4:; tox:max(Cc)=6; average@48=0.5:2; share(tissue)@48=0.1:; share(tissue/central)@48=1:",
            "dose=40:80:40; interval=12,24; infusion=1; cycles=4", false, &options);
    recommend_solve(&p, &options);
    assert_int_equal(ddt_solution_output_count(p.solution), 27); /* with percentiles of five metrics */
    assert_string_equal(ddt_solution_output_name(p.solution, 0), "nadir(count)");
    assert_string_equal(ddt_solution_output_name(p.solution, 7), "cost(nadir(count))");
    problem_run(&p, false);
    check_reference(&p, tolerance);
    problem_free(&p);
}

/* One candidate's course on a fine grid by CVODE. */
typedef struct fine {
    double lowest, highest, area, tissue, central;
} fine;

static fine fine_course(double dose, double interval_h, size_t doses, double until_h) {
    enum { STEPS = 4000, OUTPUTS = 4 };
    problem p;
    text data = {0};
    text_add(&data, "ID,TIME,EVID,AMT,RATE,DV\n");
    size_t next = 0;
    for (size_t i = 0; i <= STEPS; i++) {
        double t = until_h * (double)i / STEPS;
        text_add(&data, "1,%.10g,2,.,.,.\n", t);
        while (next < doses && (double)next * interval_h <= t + 1e-9) {
            text_add(&data, "1,%.10g,1,%g,%g,.\n", t, dose, dose);
            next++;
        }
    }
    problem_parse(&p, effect_text, data.data);
    static const char *const names[OUTPUTS] = {"count", "Cc", "tissue", "central"};
    assert_ok(p.ctx, ddt_model_select_outputs(p.ctx, p.model, names, OUTPUTS));
    ddt_expr e[OUTPUTS];
    for (size_t o = 0; o < OUTPUTS; o++) {
        e[o] = p.model->outputs[o].value;
    }
    double *values = calloc((STEPS + 1) * (size_t)OUTPUTS, sizeof *values);
    assert_ok(p.ctx, ddt_reference_simulate(p.ctx, p.model, p.events, 0, e, OUTPUTS, values));
    fine f = {.lowest = INFINITY};
    for (size_t i = 0; i <= STEPS; i++) {
        const double *v = values + i * OUTPUTS;
        double weight = (i == 0 || i == STEPS ? 0.5 : 1.0) * until_h / STEPS;
        f.lowest = fmin(f.lowest, v[0]);
        f.highest = fmax(f.highest, v[1]);
        f.area += weight * v[1];
        f.tissue += weight * v[2];
        f.central += weight * v[3];
    }
    free(values);
    text_free(&data);
    problem_free(&p);
    return f;
}

/* What is read off few nodes is what a fine grid shows: extremes by parabolas, areas by Gauss's nodes. */
static void test_fine_grid(void **state) {
    (void)state;
    static const char data[] = "ID,TIME,EVID,DV\n1,0,2,.\n";
    const double tolerance = 2e-3;
    problem p;
    ddt_recommend_options options;
    problem_parse(&p, effect_text, data);
    request(&p, "nadir(count)=4:; tox:max(Cc)=6; cumauc@48=20:90; share(tissue)@48=0.1:; share(tissue/central)@48=1:",
            "dose=60:60:20; interval=24; infusion=1; cycles=2", true, &options);
    recommend_solve(&p, &options);
    double **values = reference_rows(&p);
    assert_ok(p.ctx, ddt_recommend_reference(p.ctx, p.solution, p.model, p.events, values));
    fine f = fine_course(60.0, 24.0, 2, 48.0);
    const double right[] = {f.lowest, f.highest, f.area, f.tissue / (120.0 * 48.0), f.tissue / f.central};
    for (size_t t = 0; t < sizeof right / sizeof *right; t++) {
        if (!(fabs(values[0][t] / right[t] - 1.0) < tolerance)) {
            fail_msg("%s: %g, on a fine grid %g", options.targets.items[t].name, values[0][t], right[t]);
        }
    }
    test_free_rows(values);
    problem_free(&p);
}

/* What levels leave of a patient, by simulation and by the linear way: costs and probabilities over other points. */
static void test_posterior(void **state) {
    (void)state;
    static const char data[] =
        "ID,TIME,EVID,AMT,DV,WT,eta.k\n7,0,1,100,.,70,0.1\n7,4,0,.,0.7,70,0.1\n7,12,2,.,.,70,0.1\n";
    static const char product[] = "dose=40:160:40; interval=12";
    const double tolerance = 0.03;
    problem linear;
    problem curves;
    ddt_recommend_options options;
    problem_parse(&linear, one_text, data);
    request(&linear, "trough@24=0.1:0.3", product, false, &options);
    recommend_solve(&linear, &options);
    problem_run(&linear, false);
    problem_parse(&curves, one_text, data);
    request(&curves, "trough(C)@24=0.1:0.3", product, false, &options);
    recommend_solve(&curves, &options);
    problem_run(&curves, false);
    check_reference(&curves, 1e-3);
    const size_t outputs = ddt_solution_output_count(linear.solution);
    double spread = 0.0;
    for (size_t c = 0; c < ddt_recommend_candidate_count(&options.product); c++) {
        for (size_t o = 0; o < outputs; o++) {
            double a = linear.values[0][c * outputs + o];
            double b = curves.values[0][c * outputs + o];
            if (!(fabs(a - b) <= tolerance * fmax(1.0, fabs(a)))) {
                fail_msg("candidate %zu, %s: %g and %g", c, ddt_solution_output_name(linear.solution, o), a, b);
            }
        }
        double p = curves.values[0][c * outputs + 2];
        double certain = ddt_recommend_attained(&options.targets.items[0], curves.values[0][c * outputs]);
        spread = fmax(spread, fabs(p - certain));
    }
    assert_true(spread > 0.02); /* the posterior does say something */
    problem_free(&linear);
    problem_free(&curves);
}

/* ------------------------------------------------------------------ files */

static void small_request(problem *p) {
    static const char data[] = "ID,TIME,EVID,AMT,WT\n7,0,1,100,70\n7,8,2,.,70\n8,3,2,.,55\n";
    ddt_recommend_options options;
    problem_parse(p, one_text, data);
    request(p, "trough(C)@12=0.1:0.3; nadir=0.1", "dose=60:120:60; interval=12; infusion=1", false, &options);
    recommend_solve(p, &options);
}

/* What was written is read: the same inputs from the same data, the same table from the same outputs. */
static void check_round_trip(problem *p) {
    ddt_plan *plan = NULL;
    ddt_solution *copy = NULL;
    problem_run(p, false);
    bytes b = write_file(p, &plan);
    assert_ok(p->ctx, read_file(p->ctx, &b, &copy));
    assert_true(ddt_recommend_is_simulated(copy));
    const ddt_circuit *circuit = ddt_solution_circuit(p->solution);
    size_t slots = ddt_circuit_lanes(circuit) * ddt_circuit_block(circuit);
    size_t inputs = ddt_circuit_input_count(circuit);
    double **again = test_rows(inputs, slots);
    assert_ok(p->ctx, ddt_solution_fill(p->ctx, copy, p->model, p->events, again));
    for (size_t i = 0; i < inputs; i++) {
        assert_memory_equal(again[i], p->inputs[i], slots * sizeof(double));
    }
    double **values = reference_rows(p);
    ddt_solution_collect(copy, (const double *const *)p->outputs, values);
    for (size_t s = 0; s < ddt_solution_subject_count(copy); s++) {
        size_t count = ddt_solution_observation_count(copy, s) * ddt_solution_output_count(copy);
        assert_memory_equal(values[s], p->values[s], count * sizeof(double));
    }
    test_free_rows(values);
    test_free_rows(again);
    ddt_solution_destroy(copy);
    ddt_plan_destroy(plan);
    free(b.data);
}

static void test_round_trip(void **state) {
    (void)state;
    problem p;
    small_request(&p);
    check_round_trip(&p);
    problem_free(&p);
}

/* ------------------------------------------------------------------ what is sent */

static size_t amounts_sent(const ddt_circuit *circuit) {
    size_t count = 0;
    for (size_t i = 0; i < ddt_circuit_input_count(circuit); i++) {
        count += strncmp(ddt_circuit_input_name(circuit, i), "AMT", strlen("AMT")) == 0;
    }
    return count;
}

static void check_sent(const char *data, const char *product, size_t expected) {
    const double tolerance = 0.02;
    problem p;
    ddt_recommend_options options;
    problem_parse(&p, effect_text, data);
    request(&p, "max(Cc)=1:6", product, true, &options);
    recommend_solve(&p, &options);
    assert_int_equal(amounts_sent(ddt_solution_circuit(p.solution)), expected);
    check_round_trip(&p);
    check_reference(&p, tolerance);
    problem_free(&p);
}

/* Candidates' doses are the plan's: no ciphertext holds them. Earlier ones are the patient's. */
static void test_sent(void **state) {
    (void)state;
    static const char new_patient[] = "ID,TIME,EVID,eta.vmax\n1,0,2,0.1\n";
    static const char one_before[] = "ID,TIME,EVID,AMT,eta.vmax\n1,0,1,40,0.1\n1,10,2,.,0.1\n";
    check_sent(new_patient, "dose=40:80:40; interval=24; cycles=1", 0);
    check_sent(one_before, "dose=40:80:40; interval=24; cycles=1", 1);
    check_sent(one_before, "dose=40:80:40; interval=24; infusion=1; cycles=1", 1); /* the bolus before, no infusion */
}

static void test_damage(void **state) {
    (void)state;
    enum { STEPS = 150 };
    problem p;
    ddt_plan *plan = NULL;
    small_request(&p);
    bytes b = write_file(&p, &plan);
    for (size_t k = 0; k < STEPS; k++) {
        check_damaged_at(p.ctx, &b, b.length * k / STEPS);
    }
    ddt_plan_destroy(plan);
    free(b.data);
    problem_free(&p);
}

/* ------------------------------------------------------------------ refusals */

/* For grants: at the point estimate, whatever etas the data lack. */
static void test_grantable(void **state) {
    (void)state;
    problem p;
    ddt_recommend_options options;
    problem_parse(&p, effect_text, effect_data);
    request(&p, "nadir(count)@48=4:", "dose=40:80:40; interval=24", false, &options);
    options.metrics_only = true;
    recommend_solve(&p, &options);
    problem_run(&p, false);
    double **reference = reference_rows(&p);
    assert_ok(p.ctx, ddt_recommend_reference(p.ctx, p.solution, p.model, p.events, reference));
    assert_true(column_error(&p, reference, 0) <= 0.01);
    test_free_rows(reference);
    check_places(&p, 1);
    problem_free(&p);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *targets, *product, *says;
    } wrong[] = {
        {"average=1:2", "dose=40:80:40; interval=12", "at which time"},
        {"average@24=1:2", "dose=40:80:40; interval=12; per=WT", "per WT"},
        {"nadir(nothing)=1", "dose=40:80:40; interval=12", "nothing"},
        {"nadir(count)=1", "dose=40:80:40; interval=12; cmt=9", "compartment 9"},
        {"nadir(count)@100000=1", "dose=40:80:40; interval=12", "too many doses"},
    };
    problem p;
    problem_parse(&p, effect_text, effect_data);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ddt_recommend_options options;
        ddt_solution *out = NULL;
        ddt_context_clear(p.ctx);
        request(&p, wrong[i].targets, wrong[i].product, true, &options);
        assert_int_not_equal(ddt_solve_recommend(p.ctx, p.model, p.events, &options, &out), DDT_OK);
        assert_null(out);
        if (strstr(ddt_error_detail(p.ctx), wrong[i].says) == NULL) {
            fail_msg("'%s' gave '%s'", wrong[i].targets, ddt_error_detail(p.ctx));
        }
    }
    problem_free(&p);
}

/* A data set of another shape is refused, and other patients are not. */
static void test_other_data(void **state) {
    (void)state;
    static const char fewer[] = "ID,TIME,EVID,AMT,WT\n7,0,1,100,70\n7,8,2,.,70\n";
    static const char others[] = "ID,TIME,EVID,AMT,WT\na,0,1,90,60\na,8,2,.,60\nb,3,2,.,66\n";
    problem p;
    ddt_events *events = NULL;
    small_request(&p);
    assert_ok(p.ctx, ddt_events_parse(p.ctx, fewer, strlen(fewer), "fewer", p.model, &events));
    assert_int_equal(ddt_solution_fill(p.ctx, p.solution, p.model, events, p.inputs), DDT_ERR_MISMATCH);
    ddt_events_destroy(events);
    ddt_context_clear(p.ctx);
    assert_ok(p.ctx, ddt_events_parse(p.ctx, others, strlen(others), "others", p.model, &events));
    assert_ok(p.ctx, ddt_solution_fill(p.ctx, p.solution, p.model, events, p.inputs));
    ddt_events_destroy(events);
    problem_free(&p);
}

static void test_memory(void **state) {
    (void)state;
    problem p;
    small_request(&p);
    for (uint64_t k = 0; k < 320; k += 8) {
        ddt_recommend_options options;
        ddt_solution *out = NULL;
        ddt_context_clear(p.ctx);
        request(&p, "trough(C)@12=0.1:0.3; nadir=0.1", "dose=60:120:60; interval=12; infusion=1", false, &options);
        (void)ddt_alloc_fail_after(k);
        ddt_status status = ddt_solve_recommend(p.ctx, p.model, p.events, &options, &out);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_int_equal(status, DDT_ERR_MEMORY);
        assert_null(out);
    }
    for (uint64_t k = 0; k < 200; k += 7) {
        ddt_context_clear(p.ctx);
        (void)ddt_alloc_fail_after(k);
        ddt_status status = ddt_solution_fill(p.ctx, p.solution, p.model, p.events, p.inputs);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_true(status == DDT_OK || status == DDT_ERR_MEMORY);
    }
    assert_ok(p.ctx, ddt_solution_fill(p.ctx, p.solution, p.model, p.events, p.inputs));
    problem_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_posterior),  cmocka_unit_test(test_same_as_linear), cmocka_unit_test(test_effects),
        cmocka_unit_test(test_fine_grid),  cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_sent),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_grantable),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_other_data), cmocka_unit_test(test_memory),
    };
    cmocka_set_test_filter(getenv("DDT_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
