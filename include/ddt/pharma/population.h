/*
 * ddt/pharma/population.h - populations in the clear: virtual patients under one regimen, and their bands.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_PHARMA_POPULATION_H
#define DDT_PHARMA_POPULATION_H

#include "ddt/pharma/reference.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DDT_POPULATION_MAX = 100000 /* patients of one run */ };

/*
 * The percentiles of `count` >= 1 values at probability[0..n), each within [0, 1]: linear between the order statistics
 * (R's type 7), as the key owner takes them from a decrypted ensemble. Sorts the values.
 */
void ddt_percentiles(double *values, size_t count, const double *probabilities, size_t n, double *out);

typedef struct ddt_population_options {
    size_t patients; /* 1 to DDT_POPULATION_MAX; 0: 200 */
    uint64_t first; /* of the draws (ddt_population_draw) that are taken; 0: from 1, which leaves out the typical one */
    const double *centre;     /* one value per symbol: patients around this one, whose covariates all have; NULL: of the
                                 whole population, with drawn covariates */
    const double *covariance; /* eta_count x eta_count, of the etas around the centre; NULL: the model's omega */
    bool data_covariates;     /* covariates from the table instead */
    const double *probabilities; /* of the bands; NULL: 0.05, 0.5, 0.95 */
    size_t probability_count;    /* 3 for those */
} ddt_population_options;

/*
 * Bands of `count` expressions at every observation of one subject's regimen over virtual patients:
 * bands[(observation * count + expression) * probability_count + i] for probability i. Exact percentiles of the
 * simulated patients; residual error is not added. options may be NULL. Errors: DDT_ERR_ARGUMENT (too many patients, a
 * probability outside [0, 1]), those of ddt_population_draw and ddt_reference_simulate; zeros then.
 */
DDT_MUST_CHECK ddt_status ddt_population_bands(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                               size_t subject, const ddt_population_options *options,
                                               const ddt_expr *expressions, size_t count, double *bands);

#ifdef __cplusplus
}
#endif
#endif
