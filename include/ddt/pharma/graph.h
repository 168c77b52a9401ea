/*
 * ddt/pharma/graph.h - a model's compartments as a graph: the organs of a physiologically based model and what flows
 * between them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_PHARMA_GRAPH_H
#define DDT_PHARMA_GRAPH_H

#include "ddt/pharma/model.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DDT_GRAPH_OUTSIDE UINT32_MAX /* where what is eliminated goes */

/* The equation of `to` depends on the state of `from`. */
typedef struct ddt_graph_edge {
    uint32_t from;  /* compartments, 0-based */
    uint32_t to;    /* or DDT_GRAPH_OUTSIDE */
    bool is_linear; /* the dependence has a coefficient without states and time */
    double rate;    /* that coefficient in the typical patient (per time unit); NAN where it is not linear */
} ddt_graph_edge;

typedef struct ddt_graph {
    ddt_graph_edge *edges; /* by `from`, then by `to` */
    size_t edge_count;
} ddt_graph;

/*
 * The edges of a model. A linear edge to the outside is what a compartment loses beyond what its linear edges give to
 * others. The typical patient has etas 0 and covariates at the middle of their ranges (ddt_population_draw, index 0).
 * Builds expressions in the model's pool. The caller frees with ddt_graph_destroy. Errors: DDT_ERR_MEMORY,
 * DDT_ERR_CAPACITY (the pool is full), those of ddt_population_draw; *out is zero then.
 */
DDT_MUST_CHECK ddt_status ddt_graph_create(ddt_context *ctx, const ddt_model *model, ddt_graph *out);
void ddt_graph_destroy(ddt_graph *graph);

#ifdef __cplusplus
}
#endif
#endif
