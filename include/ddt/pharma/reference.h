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
 * Integrates one subject with SUNDIALS CVODE (BDF, rtol 1e-10), stopping at every event, and evaluates `count`
 * expressions (outputs, states, any expression in base symbols) at every observation record, after the record, in
 * record order: values[observation * count + i], zeros on failure. All dosing conventions of ddt/pharma/events.h,
 * covariates by NONMEM's convention. Thread-safe for one model as long as nobody builds expressions in its pool.
 *
 * Errors: DDT_ERR_DATA (a lag longer than II at steady state, a modelled rate that is not positive...: file and line),
 * DDT_ERR_UNSUPPORTED (steady state of equations that depend on time, or SS 2 where compartments fill without doses; F,
 * lag, rate or duration depending on a state), DDT_ERR_MODEL (no steady state, or the integration fails: the subject
 * and the time), DDT_ERR_CAPACITY, DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status ddt_reference_simulate(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                                 size_t subject, const ddt_expr *expressions, size_t count,
                                                 double *values);

/*
 * The same with other values of the symbols (a fitted or a virtual patient): symbols[] has one value per model symbol
 * (STATE, TIME and LAST_DOSE are ignored) and stands for THETA, ETA and COVARIATE alike; with data_covariates the
 * data's COVARIATE columns win over symbols[]. ETA columns of the data are not used.
 */
DDT_MUST_CHECK ddt_status ddt_reference_simulate_with(ddt_context *ctx, const ddt_model *model,
                                                      const ddt_events *events, size_t subject, const double *symbols,
                                                      bool data_covariates, const ddt_expr *expressions, size_t count,
                                                      double *values);

/*
 * The same (with data_covariates) with another relative tolerance, for the many virtual patients of a training that
 * need less: rtol above 0, the absolute tolerances in proportion. SUNDIALS ARKODE (ERKStep, the explicit pair of
 * Dormand and Prince 1980) as long as the equations are not stiff and do not read the time since a dose, CVODE else.
 * rtol 0: the same as ddt_reference_simulate_with.
 */
DDT_MUST_CHECK ddt_status ddt_reference_simulate_to(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                                    size_t subject, const double *symbols, double rtol,
                                                    const ddt_expr *expressions, size_t count, double *values);

/* Values that a data column takes. */
typedef struct ddt_population_range {
    double low;
    double high;
    bool is_discrete; /* whole numbers only */
    bool is_assumed;  /* the model declares none */
} ddt_population_range;

/*
 * The range of a COVARIATE symbol: the declared one, else an assumption. In this order: 0 up to the largest number that
 * the model compares it with; 0 and 1 where its name or description says that it is a flag; an adult's range for
 * columns of a usual name (WT, AGE, CRCL, ...), if it holds the model's reference value; 0.7 to 1.4 of that value, the
 * number that the model divides the column by or subtracts; 0.8 to 1.25.
 */
ddt_population_range ddt_population_range_of(const ddt_model *model, uint32_t symbol);

/*
 * A virtual population for calibration: draws etas from omega (clipped to +-3 standard deviations) and covariates
 * uniformly from their ranges (ddt_population_range_of) with a deterministic generator; draw 0 is typical (etas 0,
 * covariates at mid-range). symbols[]: one value per model symbol (THETA as in the model, STATE and TIME 0). The
 * generator: SplitMix64 (Steele, Lea & Flood 2014) from a seed made of the index, uniforms of 53 bits, normals by the
 * polar method (Marsaglia & Bray 1964). Covariates are drawn in symbol order, then etas in model order.
 *
 * Errors: DDT_ERR_MODEL (omega is not a covariance matrix, a range is not one), DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status ddt_population_draw(ddt_context *ctx, const ddt_model *model, uint64_t index,
                                              double *symbols);
/* The same as data could hold it: a discrete covariate takes one of its whole numbers, each as often as the others. */
DDT_MUST_CHECK ddt_status ddt_population_patient(ddt_context *ctx, const ddt_model *model, uint64_t index,
                                                 double *symbols);

#ifdef __cplusplus
}
#endif
#endif
