/*
 * Recommendations for models that are not linear, and for targets on effects: every candidate of every patient is
 * simulated as a subject of its own (ddt_solve, docs/newton.md), its curve is decrypted, and the holder reads the
 * metrics off it. Doses and times of candidates are public, so that what approximates the model is made for each.
 *
 *   recommend_sheet.c        at which times a regimen is looked at, and metrics from the values there
 *   recommend_simulated.c    events of candidates
 *   recommend_curves.c       ddt_solve_recommend by simulation; inputs, results
 *   recommend_curves_file.c  the section "CURV" of a plan file
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_RECOMMEND_CURVES_H
#define DDT_SOLVE_RECOMMEND_CURVES_H

#include "recommend_units.h"

enum { CURVES_NODES_MAX = 4096, CURVES_POINTS_MAX = 64, CURVES_OUTPUTS_MAX = 2 * DDT_RECOMMEND_TARGETS_MAX };

/* When a regimen is looked at, from its start: just before what happens then, or just after. */
typedef struct curves_node {
    double time;
    bool is_after;
} curves_node;

/* What one target looks at: nodes in order of time, and what each counts in a sum (areas and single values). */
typedef struct curves_view {
    size_t count;
    uint32_t *nodes;
    double *weights;
} curves_view;

/* One shape of the product, with what all targets look at. */
typedef struct curves_sheet {
    recommend_shape shape;
    size_t dose_count;
    size_t node_count;
    curves_node *nodes;
    curves_view views[DDT_RECOMMEND_TARGETS_MAX];
} curves_sheet;

ddt_status curves_sheet_create(ddt_context *ctx, const ddt_recommend_targets *targets,
                               const ddt_recommend_product *product, size_t shape, curves_sheet *out);
void curves_sheet_destroy(curves_sheet *sheet);
/* A target's value of one curve: values[node * stride + output]; base: the output of the denominator, SIZE_MAX: doses
 * of this size. */
double curves_sheet_value(const curves_sheet *sheet, const ddt_recommend_target *target, size_t index, double dose,
                          const double *values, size_t stride, size_t output, size_t base);

/* What a solution keeps beside the layout of the simulated subjects. */
struct solve_curves {
    ddt_recommend_targets targets;
    ddt_recommend_product product;
    char *product_text; /* of a plan file */
    double dose_weight;
    unsigned compartment;                                                            /* 1-based */
    size_t output_of[DDT_RECOMMEND_TARGETS_MAX], base_of[DDT_RECOMMEND_TARGETS_MAX]; /* of the layout; SIZE_MAX: none */
    recommend_table table;
    size_t subject_count, candidate_count;
    char **ids;
    size_t shape_count;
    curves_sheet *sheets;
    /* Points that expectations run over, a power of two: values of etas that the data do not give. Each is a copy of
     * all simulated subjects in the blocks of their lanes (ddt_circuit_tile). One: none. */
    size_t point_count, eta_count;
    char *eta_names[RECOMMEND_ETAS_MAX];
    double *etas;      /* points x eta_count */
    double deviations; /* how far etas reach, in standard deviations */
    bool is_posterior; /* etas are standard normal numbers z: a patient's are estimate + L z, L L^T its covariance */
};

/* Sheets and names from targets and product. */
ddt_status recommend_curves_prepare(ddt_context *ctx, struct solve_curves *curves);
/* The solution's lanes, once for each point. */
ddt_status recommend_curves_copy(ddt_context *ctx, ddt_solution *solution, const ddt_model *model,
                                 const ddt_events *events);
size_t curves_simulated_count(const struct solve_curves *curves);
/*
 * The simulated subjects of a data set at one point, in the order subject, candidate. known_from (may be NULL): as many
 * numbers, the first record of the new regimen. Errors: DDT_ERR_MISMATCH (another number of subjects), DDT_ERR_MEMORY.
 */
ddt_status recommend_simulated_events(ddt_context *ctx, const struct solve_curves *curves, const ddt_model *model,
                                      const ddt_events *events, size_t point, ddt_events **out, size_t *known_from);
#endif
