/*
 * Levels, and which of the places to refresh are used.
 *
 * Levels are given as late as possible, from the outputs back: what is needed at level r and rescaled on the way is
 * needed at r + 1 before. What is refreshed is needed at one fixed level, whatever its users want.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <string.h>

static bool want(int *needs, ddt_node node, int level) {
    bool more = needs[node] < level;
    needs[node] = more ? level : needs[node];
    return more;
}

static bool is_refreshed(const circuit_demand *d, const circuit_node *node) {
    return node->kind == NODE_REFRESH && (d->skipped == NULL || !d->skipped[node->index]);
}

static void want_operands(const circuit_demand *d, const circuit_node *node, int level, int *needs) {
    const circuit_graph *graph = d->graph;
    if (node->kind == NODE_ROTATION) {
        (void)want(needs, node->operand, level);
    } else if (node->kind == NODE_POLYNOMIAL) {
        int depth = (int)ddt_ckks_polynomial_depth(graph->polynomials[node->index].degree);
        (void)want(needs, node->operand, level + depth);
    } else if (node->kind == NODE_REFRESH) {
        (void)want(needs, node->operand, is_refreshed(d, node) ? (int)d->refresh_level : level);
    }
    for (size_t i = 0; i < node->product_count; i++) {
        (void)want(needs, graph->products[node->product_begin + i].a, level + 1);
        (void)want(needs, graph->products[node->product_begin + i].b, level + 1);
    }
    for (size_t i = 0; i < node->linear_count; i++) {
        const circuit_linear *term = &graph->linears[node->linear_begin + i];
        (void)want(needs, term->a, circuit_is_small_integer(term->c) ? level : level + 1);
    }
}

/* Outputs that become inputs are wanted at the level of those; true when that changed something. */
static bool want_carried(const circuit_demand *d, int *needs) {
    bool changed = false;
    for (size_t n = 0; n < d->graph->node_count; n++) {
        const circuit_node *node = &d->graph->nodes[n];
        for (size_t o = 0; node->kind == NODE_INPUT && o < d->circuit->output_count; o++) {
            if (d->circuit->outputs[o].carried == node->index) {
                changed |= want(needs, d->outputs[o], needs[n]);
            }
        }
    }
    return changed;
}

static int deepest(const circuit_graph *graph, const int *needs) {
    int depth = 0;
    for (size_t n = 0; n < graph->node_count; n++) {
        depth = needs[n] > depth ? needs[n] : depth;
    }
    return depth;
}

int circuit_assign_levels(const circuit_demand *d, int *needs) {
    const circuit_graph *graph = d->graph;
    int depth = 0;
    for (size_t n = 0; n < graph->node_count; n++) {
        needs[n] = graph->nodes[n].kind == NODE_INPUT ? 0 : LEVEL_DEAD;
    }
    for (size_t o = 0; o < d->circuit->output_count; o++) {
        bool carried = d->circuit->outputs[o].carried != CIRCUIT_NONE;
        (void)want(needs, d->outputs[o], carried ? 0 : (int)d->output_level);
    }
    do {
        for (size_t n = graph->node_count; n-- > 0;) {
            if (needs[n] != LEVEL_DEAD) {
                want_operands(d, &graph->nodes[n], needs[n], needs);
            }
        }
        depth = deepest(graph, needs);
    } while (depth <= DDT_CKKS_LEVELS_MAX && want_carried(d, needs));
    for (size_t n = 0; n < graph->node_count; n++) {
        if (needs[n] != LEVEL_DEAD && is_refreshed(d, &graph->nodes[n])) {
            needs[n] = depth;
        }
    }
    return depth;
}

/* ------------------------------------------------------------------ which to refresh */

/*
 * From the outputs back each refresh is dropped if the others, with all those before it still in place, keep the depth
 * within bounds: the one that stays is then the furthest from the outputs that will do.
 */
ddt_status circuit_choose_refreshes(ddt_context *ctx, const circuit_demand *demand, unsigned levels, bool *refreshed,
                                    bool *possible) {
    const circuit_graph *graph = demand->graph;
    size_t count = demand->circuit->graph.node_count;
    bool *skipped = ddt_calloc(count, sizeof *skipped);
    int *needs = ddt_alloc(graph->node_count, sizeof *needs);
    circuit_demand d = *demand;
    ddt_status status = DDT_OK;
    memset(refreshed, 0, count * sizeof *refreshed);
    *possible = false;
    if (skipped == NULL || needs == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while planning.");
    } else {
        d.skipped = skipped;
        *possible = circuit_assign_levels(&d, needs) <= (int)levels;
    }
    for (size_t n = graph->node_count; n-- > 0 && *possible;) {
        const circuit_node *node = &graph->nodes[n];
        if (node->kind == NODE_REFRESH) {
            skipped[node->index] = true;
            skipped[node->index] = circuit_assign_levels(&d, needs) <= (int)levels;
            refreshed[node->index] = !skipped[node->index];
        }
    }
    ddt_free(skipped);
    ddt_free(needs);
    return status;
}
