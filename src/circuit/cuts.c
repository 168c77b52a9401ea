/*
 * Places to refresh where the builder has named none: cuts through the graph at one level each, as narrow as can be.
 *
 * A cut at level t refreshes each value that is made at t or above and used below. Values that come from inputs in a
 * few levels need no refresh, but that is seen later (circuit_choose_refreshes); here every crossing value counts.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <math.h>

/* A value may be this many times larger than calibration has seen. */
static const double bound_margin = 2.0;
/* What a value costs that cannot be refreshed because it is too large. */
static const double forbidden = 1e9;

double circuit_refresh_bound(const circuit_node *node) {
    double bound = node->kind == NODE_REFRESH ? node->value.constant : bound_margin * node->max;
    return isfinite(bound) && bound > 0.0 ? fmax(exp2(ceil(log2(bound))), 1.0) : bound == 0.0 ? 1.0 : INFINITY;
}

typedef struct cut_finder {
    const circuit_demand *demand;
    int depth;
    int *needs;    /* of each node */
    int *last_use; /* of each node: the lowest level of a user */
    double *width; /* of each level: what a cut there costs */
    double *total; /* of the best cuts down from there */
    int *below;    /* the next cut below, 0: none */
} cut_finder;

typedef struct use_state {
    cut_finder *f;
    int level;
} use_state;

static void note_use(void *user, ddt_node operand) {
    use_state *state = user;
    int *last = &state->f->last_use[operand];
    *last = state->level < *last ? state->level : *last;
}

static bool is_computed(const cut_finder *f, size_t n) {
    circuit_kind kind = f->demand->graph->nodes[n].kind;
    return f->needs[n] != LEVEL_DEAD && kind != NODE_INPUT && kind != NODE_PUBLIC;
}

static bool crosses(const cut_finder *f, size_t n, int level) {
    return is_computed(f, n) && f->last_use[n] < level && level <= f->needs[n];
}

static void measure(cut_finder *f) {
    const circuit_graph *graph = f->demand->graph;
    for (size_t n = 0; n < graph->node_count; n++) {
        f->last_use[n] = f->needs[n];
        if (f->needs[n] != LEVEL_DEAD) {
            use_state state = {.f = f, .level = f->needs[n]};
            circuit_node_operands(graph, (ddt_node)n, note_use, &state);
        }
    }
    for (size_t n = 0; n < graph->node_count; n++) {
        bool fits = circuit_refresh_bound(&graph->nodes[n]) <= CIRCUIT_REFRESH_MAX;
        for (int t = f->last_use[n] + 1; is_computed(f, n) && t <= f->needs[n]; t++) {
            f->width[t] += fits ? 1.0 : forbidden;
        }
    }
}

/* total[t]: the least sum of widths of a cut at t and of those below, no two further apart than the levels allow. */
static int choose(cut_finder *f, int levels, int gap) {
    int best = 0;
    for (int t = 1; t <= f->depth; t++) {
        f->total[t] = t <= levels ? 0.0 : INFINITY;
        f->below[t] = 0;
        for (int b = t > gap ? t - gap : 1; b < t; b++) {
            if (f->total[b] < f->total[t]) {
                f->total[t] = f->total[b];
                f->below[t] = b;
            }
        }
        f->total[t] += f->width[t];
        bool last = f->depth - t <= gap;
        if (last && (best == 0 || f->total[t] < f->total[best])) {
            best = t;
        }
    }
    return best != 0 && f->total[best] < forbidden ? best : 0;
}

static void find(cut_finder *f, unsigned levels, bool *refreshed, bool *found) {
    const circuit_graph *graph = f->demand->graph;
    int gap = (int)levels - (int)f->demand->refresh_level;
    measure(f);
    int cut = gap > 0 ? choose(f, (int)levels, gap) : 0;
    *found = cut != 0;
    for (; cut != 0; cut = f->below[cut]) {
        for (size_t n = 0; n < graph->node_count; n++) {
            refreshed[n] |= crosses(f, n, cut);
        }
    }
}

ddt_status circuit_find_cuts(ddt_context *ctx, const circuit_demand *demand, unsigned levels, bool *refreshed,
                             bool *found) {
    size_t count = demand->graph->node_count;
    cut_finder f = {.demand = demand};
    ddt_status status = DDT_OK;
    *found = false;
    f.needs = ddt_alloc(count, sizeof *f.needs);
    f.last_use = ddt_alloc(count, sizeof *f.last_use);
    f.depth = f.needs == NULL ? 0 : circuit_assign_levels(demand, f.needs);
    f.width = ddt_calloc((size_t)f.depth + 1, sizeof *f.width);
    f.total = ddt_calloc((size_t)f.depth + 1, sizeof *f.total);
    f.below = ddt_calloc((size_t)f.depth + 1, sizeof *f.below);
    for (size_t n = 0; n < count; n++) {
        refreshed[n] = false;
    }
    if (f.needs == NULL || f.last_use == NULL || f.width == NULL || f.total == NULL || f.below == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while planning.");
    } else {
        find(&f, levels, refreshed, found);
    }
    ddt_free(f.needs);
    ddt_free(f.last_use);
    ddt_free(f.width);
    ddt_free(f.total);
    ddt_free(f.below);
    return status;
}
