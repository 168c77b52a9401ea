/*
 * A fit inside a circuit under construction: what recommendations and updates build on. The estimate's nodes stay in
 * the circuit, so that nobody decrypts etas on the way.
 *
 *   fit_part_open     trains; the virtual patients are drawn
 *   fit_part_build    adds the fit's inputs behind those that the circuit has, and gives the nodes; as often as wanted
 *   fit_part_draw     inputs and truth of virtual patients, for the calibration of the whole circuit
 *   fit_part_take     the nested solution: ddt_solution.part of the outer one, which then fills, writes, reads and
 *                     destroys it with itself
 *   fit_part_close    the rest
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_FIT_PART_H
#define DDT_SOLVE_FIT_PART_H

#include "fit_internal.h"

typedef struct fit_part fit_part;

/* Right in all slots of a lane; in units of sd[]. */
typedef struct fit_part_nodes {
    size_t eta_count;
    uint32_t symbols[FIT_ETAS_MAX]; /* in the model */
    double sd[FIT_ETAS_MAX];
    ddt_node eta[FIT_ETAS_MAX];
    /* lower Cholesky factor of the posterior's covariance: a point of the posterior is eta + factor z. Two levels below
     * fresh inputs. DDT_NODE_NONE above the diagonal. */
    ddt_node factor[FIT_ETAS_MAX][FIT_ETAS_MAX];
} fit_part_nodes;

/*
 * events: the template; one lane for each subject, in their order (DDT_ERR_CAPACITY where a subject takes several).
 * steps: Newton steps behind the first guess; 0: the guess alone, 2 levels deep. options may be NULL; its iterations
 * are not read. Errors: those of ddt_solve_fit.
 */
ddt_status fit_part_open(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                         const ddt_fit_options *options, unsigned steps, fit_part **out);
void fit_part_close(fit_part *part);
/* The fewest slots of a lane, a power of two; larger powers of two are as good. */
size_t fit_part_block(const fit_part *part);
size_t fit_part_lanes(const fit_part *part);
/* Rounds of virtual patients that fit_part_draw has. */
size_t fit_part_rounds(const fit_part *part);
size_t fit_part_input_count(const fit_part *part);
/* The circuit has fit_part_lanes lanes; its block is at least fit_part_block. Functions that the circuit points to
 * belong to the nested solution. */
ddt_status fit_part_build(fit_part *part, ddt_circuit *circuit, fit_part_nodes *out);
/*
 * After fit_part_build: fills the part's own inputs (lanes x block of that circuit) with the patients of a round;
 * symbols (may be NULL): lanes x the model's symbols, covariates and, as etas, the exact estimates.
 */
void fit_part_draw(const fit_part *part, size_t round, double *const *inputs, double *symbols);
/* Once, after the last fit_part_build. */
ddt_solution *fit_part_take(fit_part *part);

#endif
