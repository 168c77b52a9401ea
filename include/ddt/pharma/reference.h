/*
 * ddt/pharma/reference.h - the plaintext oracle: CVODE on the model's own equations. Not used by the engine.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_PHARMA_REFERENCE_H
#define DDT_PHARMA_REFERENCE_H

#include "ddt/pharma/events.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Integrates one subject with SUNDIALS CVODE (BDF, rtol 1e-10), stopping at every event, and evaluates `count` expressions (outputs, states, any
 * expression in base symbols) at every observation record, after the record, in record order: values[observation * count + i]. All dosing conventions of
 * ddt/pharma/events.h, covariates by NONMEM's convention.
 */
DDT_MUST_CHECK ddt_status ddt_reference_simulate(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                                 size_t subject, const ddt_expr *expressions, size_t count,
                                                 double *values);

/*
 * A virtual population for calibration: draws etas from omega (clipped to +-3 standard deviations) and covariates uniformly from their ranges with a
 * deterministic generator; draw 0 is typical (etas 0, covariates at mid-range). symbols[]: one value per model symbol (STATE and TIME left 0).
 */
DDT_MUST_CHECK ddt_status ddt_population_draw(ddt_context *ctx, const ddt_model *model, uint64_t index,
                                              double *symbols);

#ifdef __cplusplus
}
#endif
#endif
