/*
 * The programs that the planner's search chooses from: one without refreshes, and several with more and more of them on
 * fewer and fewer levels.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

enum {
    /* More bootstraps than this many times the fewest, and some, are never worth the levels that they save. */
    REFRESHES_FACTOR = 3,
    REFRESHES_MORE = 4
};

void program_list_clear(program_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        ddt_plan_destroy(list->plans[i]);
    }
    *list = (program_list){0};
}

static ddt_status fail_memory(ddt_context *ctx) {
    return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while planning.");
}

/* Lowers a graph to a new plan. *out stays NULL where there are not that many levels. */
static ddt_status lower(ddt_context *ctx, const circuit_demand *demand, int *depth, ddt_plan **out) {
    int *needs = ddt_alloc(demand->graph->node_count, sizeof *needs);
    if (needs == NULL) {
        return fail_memory(ctx);
    }
    *depth = circuit_assign_levels(demand, needs);
    bool possible = *depth <= DDT_CKKS_LEVELS_MAX;
    ddt_free(needs);
    ddt_plan *plan = possible ? plan_new() : NULL;
    if (plan == NULL) {
        return possible ? fail_memory(ctx) : DDT_OK;
    }
    plan->literal.log_n = PLAN_LOG_N_MAX;
    ddt_status status = circuit_lower(ctx, demand, plan);
    if (status == DDT_OK) {
        status = plan_derive(ctx, plan);
    }
    if (status != DDT_OK) {
        ddt_plan_destroy(plan);
        return status;
    }
    *out = plan;
    return DDT_OK;
}

/* A new plan with these refreshes. */
static ddt_status make_program(ddt_context *ctx, const ddt_circuit *circuit, const bool *refreshed,
                               const program_shape *shape, int *depth, ddt_plan **out) {
    circuit_graph graph;
    ddt_node *outputs = ddt_alloc(circuit->output_count, sizeof *outputs);
    if (outputs == NULL) {
        return fail_memory(ctx);
    }
    ddt_status status = circuit_optimise(ctx, circuit, refreshed, &graph, outputs);
    if (status == DDT_OK) {
        circuit_demand demand = {.circuit = circuit,
                                 .graph = &graph,
                                 .outputs = outputs,
                                 .output_level = shape->output_level,
                                 .refresh_level = shape->boot.slots_levels};
        status = lower(ctx, &demand, depth, out);
    }
    circuit_graph_clear(&graph);
    ddt_free(outputs);
    if (*out != NULL) {
        (*out)->insecure = shape->insecure;
        (*out)->boot = shape->boot;
    }
    return status;
}

ddt_status programs_make_plain(ddt_context *ctx, const ddt_circuit *circuit, const program_shape *shape,
                               program_list *list) {
    bool *refreshed = ddt_calloc(circuit->graph.node_count, sizeof *refreshed);
    program_list_clear(list);
    if (refreshed == NULL) {
        return fail_memory(ctx);
    }
    ddt_status status = make_program(ctx, circuit, refreshed, shape, &list->depth, &list->plans[0]);
    list->count = list->plans[0] != NULL ? 1 : 0;
    ddt_free(refreshed);
    return status;
}

/* Keeps a program; of those with equal numbers of bootstraps only the shallowest. False when there are enough. */
static bool keep(program_list *list, ddt_plan *plan) {
    size_t bootstraps = plan_bootstraps(plan);
    ddt_plan **last = list->count == 0 ? NULL : &list->plans[list->count - 1];
    if (bootstraps == 0) {
        ddt_plan_destroy(plan); /* the plain search has that one */
        return true;
    }
    if (last != NULL && plan_bootstraps(*last) == bootstraps) {
        ddt_plan_destroy(*last);
        *last = plan;
        return true;
    }
    list->plans[list->count++] = plan;
    return list->count < PROGRAMS_MAX &&
           bootstraps <= REFRESHES_FACTOR * plan_bootstraps(list->plans[0]) + REFRESHES_MORE;
}

static ddt_status make_shallower(ddt_context *ctx, const circuit_demand *demand, const program_shape *shape,
                                 bool *refreshed, program_list *list) {
    ddt_status status = DDT_OK;
    bool more = true;
    for (unsigned levels = shape->levels_max; more && levels > shape->boot.slots_levels && status == DDT_OK;) {
        ddt_plan *plan = NULL;
        status = circuit_choose_refreshes(ctx, demand, levels, refreshed, &more);
        if (status != DDT_OK || !more) {
            break;
        }
        status = make_program(ctx, demand->circuit, refreshed, shape, &list->depth, &plan);
        if (plan == NULL) {
            break;
        }
        unsigned depth = plan_depth(plan);
        more = keep(list, plan);
        levels = (depth < levels ? depth : levels) - 1;
    }
    return status;
}

/* From the places that the builder has named, all of them in the graph at first. */
static ddt_status make_from_marks(ddt_context *ctx, const ddt_circuit *circuit, const program_shape *shape,
                                  circuit_demand demand, bool *refreshed, ddt_node *outputs, program_list *list) {
    circuit_graph graph;
    for (size_t n = 0; n < circuit->graph.node_count; n++) {
        refreshed[n] = circuit->graph.nodes[n].kind == NODE_REFRESH;
    }
    ddt_status status = circuit_optimise(ctx, circuit, refreshed, &graph, outputs);
    if (status == DDT_OK) {
        demand.graph = &graph;
        status = make_shallower(ctx, &demand, shape, refreshed, list);
    }
    circuit_graph_clear(&graph);
    return status;
}

/* One program of at most `levels` from cuts that are found here; those that turn out to be needless are dropped. */
static ddt_status make_from_cuts(ddt_context *ctx, const ddt_circuit *circuit, const program_shape *shape,
                                 unsigned levels, circuit_demand demand, bool *refreshed, ddt_node *outputs,
                                 ddt_plan **plan) {
    circuit_graph graph;
    bool possible = false;
    for (size_t o = 0; o < circuit->output_count; o++) {
        outputs[o] = circuit->outputs[o].node;
    }
    demand.graph = &circuit->graph;
    ddt_status status = circuit_find_cuts(ctx, &demand, levels, refreshed, &possible);
    if (status != DDT_OK || !possible) {
        return status;
    }
    int depth = 0;
    status = circuit_optimise(ctx, circuit, refreshed, &graph, outputs);
    if (status == DDT_OK) {
        demand.graph = &graph;
        status = circuit_choose_refreshes(ctx, &demand, levels, refreshed, &possible);
    }
    circuit_graph_clear(&graph);
    return status == DDT_OK && possible ? make_program(ctx, circuit, refreshed, shape, &depth, plan) : status;
}

static ddt_status make_from_all_cuts(ddt_context *ctx, const ddt_circuit *circuit, const program_shape *shape,
                                     circuit_demand demand, bool *refreshed, ddt_node *outputs, program_list *list) {
    ddt_status status = DDT_OK;
    bool more = true;
    for (unsigned levels = shape->levels_max; more && levels > shape->boot.slots_levels + 1 && status == DDT_OK;
         levels -= 1 + levels / 8) {
        ddt_plan *plan = NULL;
        status = make_from_cuts(ctx, circuit, shape, levels, demand, refreshed, outputs, &plan);
        more = plan != NULL && keep(list, plan);
    }
    return status;
}

ddt_status programs_make_refreshed(ddt_context *ctx, const ddt_circuit *circuit, const program_shape *shape,
                                   program_list *list) {
    size_t count = circuit->graph.node_count;
    ddt_node *outputs = ddt_alloc(circuit->output_count, sizeof *outputs);
    bool *refreshed = ddt_alloc(count, sizeof *refreshed);
    bool marked = false;
    ddt_status status = outputs == NULL || refreshed == NULL ? fail_memory(ctx) : DDT_OK;
    circuit_demand demand = {.circuit = circuit,
                             .outputs = outputs,
                             .output_level = shape->output_level,
                             .refresh_level = shape->boot.slots_levels};
    program_list_clear(list);
    for (size_t n = 0; n < count; n++) {
        marked |= circuit->graph.nodes[n].kind == NODE_REFRESH;
    }
    if (status == DDT_OK) {
        status = marked ? make_from_marks(ctx, circuit, shape, demand, refreshed, outputs, list)
                        : make_from_all_cuts(ctx, circuit, shape, demand, refreshed, outputs, list);
    }
    ddt_free(outputs);
    ddt_free(refreshed);
    if (status != DDT_OK) {
        program_list_clear(list);
    }
    return status;
}
