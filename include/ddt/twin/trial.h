/*
 * ddt/twin/trial.h - the virtual trial that a model is checked with when there are no data.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_TWIN_TRIAL_H
#define DDT_TWIN_TRIAL_H

#include "ddt/pharma/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * An event table (ddt/pharma/events.h) of eight subjects, the first typical and the others drawn from the population
 * (ddt_population_draw), each with four doses and 48 observations. Doses are the middle of the first product's, at its
 * middle interval and infusion time; without a product 100 of the dose unit every 12 h (or day, by the model's time
 * unit). Where the typical patient would explode or meet a pole, amounts or intervals are halved. The caller frees
 * *text with ddt_free. Errors: those of ddt_population_draw, DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status ddt_twin_virtual_trial(ddt_context *ctx, const ddt_model *model, char **text, size_t *length);

#ifdef __cplusplus
}
#endif
#endif
