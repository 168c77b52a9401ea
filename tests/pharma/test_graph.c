/* Compartments as a graph. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "context_test.h"

#include "ddt/pharma/graph.h"

#include "model_text.h"

static const ddt_graph_edge *find(const ddt_graph *graph, uint32_t from, uint32_t to) {
    for (size_t i = 0; i < graph->edge_count; i++) {
        if (graph->edges[i].from == from && graph->edges[i].to == to) {
            return &graph->edges[i];
        }
    }
    return NULL;
}

static void edges_of_equations(void **state) {
    (void)state;
    ddt_model *m = NULL;
    ddt_graph graph;
    assert_int_equal(model_from(ctx, "ka <- 2; cl <- 3; v <- 10; q <- 5; vp <- 20",
                                "d/dt(depot) <- -ka * depot\n"
                                "d/dt(central) <- ka * depot - (cl + q) / v * central + q / vp * peripheral\n"
                                "d/dt(peripheral) <- q / v * central - q / vp * peripheral\n"
                                "d/dt(response) <- 1 - response * central / (1 + central)\n"
                                "d/dt(clock) <- t * depot\n",
                                &m),
                     DDT_OK);
    assert_int_equal(ddt_graph_create(ctx, m, &graph), DDT_OK);
    assert_true(fabs(find(&graph, 0, 1)->rate - 2) < 1e-12);
    assert_true(fabs(find(&graph, 1, 2)->rate - 0.5) < 1e-12);
    assert_true(fabs(find(&graph, 2, 1)->rate - 0.25) < 1e-12);
    assert_true(fabs(find(&graph, 1, DDT_GRAPH_OUTSIDE)->rate - 0.3) < 1e-12);
    assert_null(find(&graph, 0, DDT_GRAPH_OUTSIDE));
    assert_null(find(&graph, 2, DDT_GRAPH_OUTSIDE));
    assert_null(find(&graph, 1, 0));
    assert_false(find(&graph, 1, 3)->is_linear);
    assert_true(isnan(find(&graph, 1, 3)->rate));
    assert_false(find(&graph, 0, 4)->is_linear);
    assert_int_equal(graph.edge_count, 6);
    ddt_graph_destroy(&graph);
    ddt_model_destroy(m);
}

/* Blood goes round: what flows into an organ comes out of it, and the liver alone eliminates. */
static void organs_of_a_whole_body_model(void **state) {
    (void)state;
    ddt_model *m = NULL;
    ddt_graph graph;
    assert_int_equal(ddt_model_read(ctx, DDT_SOURCE_DIR "/models/wbpbpk_jones2013.R", &m), DDT_OK);
    assert_int_equal(ddt_graph_create(ctx, m, &graph), DDT_OK);
    size_t out = 0;
    for (size_t i = 0; i < graph.edge_count; i++) {
        const ddt_graph_edge *edge = &graph.edges[i];
        assert_true(edge->is_linear && edge->rate > 0);
        if (edge->to == DDT_GRAPH_OUTSIDE) {
            assert_string_equal(m->compartments[edge->from].name, "liver");
            out++;
        }
    }
    assert_int_equal(out, 1);
    ddt_graph_destroy(&graph);
    ddt_model_destroy(m);
}

static void memory_failures(void **state) {
    (void)state;
    bool done = false;
    for (unsigned n = 0; !done && n < 200; n++) {
        ddt_model *m = NULL;
        ddt_graph graph;
        assert_int_equal(model_from(ctx, "k <- 1", "d/dt(a) <- -k * a\nd/dt(b) <- k * a * a - b\n", &m), DDT_OK);
        (void)ddt_alloc_fail_after(n);
        const ddt_status status = ddt_graph_create(ctx, m, &graph);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        done = status == DDT_OK;
        assert_true(done || status == DDT_ERR_MEMORY);
        assert_true(done || graph.edges == NULL);
        ddt_graph_destroy(&graph);
        ddt_model_destroy(m);
    }
    assert_true(done);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges_of_equations),
        cmocka_unit_test(organs_of_a_whole_body_model),
        cmocka_unit_test(memory_failures),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
