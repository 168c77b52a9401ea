/*
 * A fit as the first half of another circuit: its nodes against the fit alone, its inputs behind others, its nested
 * solution through a plan file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_test.h"

#include "fit_part.h"

#include <unistd.h>

static const char *const two_etas =
    "m <- function() { ini({ tcl <- 1.4; eta.cl ~ 0.09; eta.v ~ 0.05; add.sd <- 0.5; prop.sd <- 0.1 })\n"
    "model({ cl <- exp(tcl + eta.cl)\nv <- 30 * exp(eta.v)\nd/dt(central) <- -cl / v * central\ncp <- central / v\n"
    "cp ~ add(add.sd) + prop(prop.sd) }) }";

static const char *const two_levels = "ID,TIME,EVID,AMT,DV\n"
                                      "a,0,1,500,.\na,2,0,0,12.5\na,10,0,0,6.1\n"
                                      "b,0,1,400,.\nb,2,0,0,11.0\nb,10,0,0,2.2\n";

enum { ETAS = 2, WIDER = 4 };

/* An outer solution: one input of its own, outputs at every slot. */
static ddt_circuit *outer(problem *p, fit_part *part, size_t block, fit_part_nodes *nodes) {
    ddt_circuit *circuit = NULL;
    assert_ok(p->ctx, ddt_circuit_create(p->ctx, fit_part_lanes(part), block, &circuit));
    ddt_node own = ddt_circuit_input(circuit, "own", 1.0);
    assert_ok(p->ctx, fit_part_build(part, circuit, nodes));
    assert_int_equal(nodes->eta_count, ETAS);
    for (size_t i = 0; i < ETAS; i++) {
        ddt_circuit_output(circuit, i == 0 ? "first" : "second", ddt_circuit_add(circuit, own, nodes->eta[i]));
        ddt_circuit_output(circuit, i == 0 ? "factor 0" : "factor 1", nodes->factor[i][i]);
    }
    ddt_circuit_output(circuit, "factor 01", nodes->factor[1][0]);
    return circuit;
}

static void run(problem *p, const ddt_circuit *circuit, double *const *inputs, double **outputs) {
    assert_ok(p->ctx, ddt_circuit_run_clear(p->ctx, circuit, (const double *const *)inputs, false, outputs));
}

/* Estimates and covariances of the nodes are right in every slot of their lanes. */
static void check_nodes(problem *p, const fit_part_nodes *nodes, double **outputs, size_t block, double bar) {
    for (size_t s = 0; s < p->events->subject_count; s++) {
        double exact[ETAS];
        double covariance[ETAS * ETAS];
        assert_ok(p->ctx, ddt_fit_exact(p->ctx, p->model, p->events, s, 0.0, exact, covariance, NULL));
        for (size_t k = 0; k < block; k += 7) {
            size_t at = s * block + k;
            double l00 = outputs[1][at] * nodes->sd[0];
            double l11 = outputs[3][at] * nodes->sd[1];
            double l10 = outputs[4][at] * nodes->sd[1];
            assert_true(fabs(outputs[0][at] * nodes->sd[0] - exact[0]) <= bar);
            assert_true(fabs(outputs[2][at] * nodes->sd[1] - exact[1]) <= bar);
            assert_true(fabs(l00 * l00 / covariance[0] - 1.0) <= 0.1);
            assert_true(fabs((l10 * l10 + l11 * l11) / covariance[3] - 1.0) <= 0.1);
            assert_true(fabs(l00 * l10 - covariance[1]) <= 0.1 * sqrt(covariance[0] * covariance[3]));
        }
    }
}

static void check_steps(unsigned steps, double bar) {
    problem p;
    fit_part *part = NULL;
    fit_part_nodes nodes;
    ddt_events *events = NULL;
    problem_parse(&p, two_etas, two_levels);
    assert_ok(p.ctx, fit_part_open(p.ctx, p.model, p.events, NULL, steps, &part));
    for (size_t wider = 1; wider <= WIDER; wider *= WIDER) {
        size_t block = wider * fit_part_block(part);
        size_t slots = block * fit_part_lanes(part);
        ddt_circuit *circuit = outer(&p, part, block, &nodes);
        double **inputs = test_rows(1 + fit_part_input_count(part), slots);
        double **outputs = test_rows(5, slots);
        uint64_t violations = 0;
        fit_part_draw(part, 0, inputs + 1, NULL);
        assert_ok(p.ctx, ddt_circuit_calibrate(p.ctx, circuit, (const double *const *)inputs, &violations));
        if (wider == WIDER) {
            ddt_solution outermost = {.circuit = circuit, .part = fit_part_take(part)};
            assert_ok(p.ctx, ddt_solution_fill(p.ctx, outermost.part, p.model, p.events, inputs + 1));
            run(&p, circuit, inputs, outputs);
            check_nodes(&p, &nodes, outputs, block, bar);
            ddt_solution_destroy(outermost.part);
        }
        ddt_circuit_destroy(circuit);
        test_free_rows(inputs);
        test_free_rows(outputs);
    }
    ddt_events_destroy(events);
    fit_part_close(part);
    problem_free(&p);
}

static void test_step(void **state) {
    (void)state;
    check_steps(1, 0.01);
}

static void test_guess(void **state) {
    (void)state;
    check_steps(0, 0.02);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_step), cmocka_unit_test(test_guess)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
