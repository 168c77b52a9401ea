/*
 * ddt/twin/life.h - what next for the patient of a living twin: regimens compared by the holder of the key.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_TWIN_LIFE_H
#define DDT_TWIN_LIFE_H

#include "ddt/twin.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ddt_twin_advice {
    ddt_recommend_targets targets;
    ddt_recommend_product product;
    ddt_update_advice table; /* candidates of `product` by `targets` */
} ddt_twin_advice;

/* What a regimen is compared for. */
typedef struct ddt_twin_wish {
    const char *data_path;        /* what comes before the regimen, which begins at its last record's time */
    const char *subject;          /* as for ddt_twin_decrypt_life */
    const char *target, *product; /* as for ddt_twin_complete_question */
} ddt_twin_wish;

/*
 * For a twin that ddt_twin_decrypt_life has opened with the keys of the same folder. Errors: those of
 * ddt_twin_complete_question, ddt_recommend_parse_targets, ddt_recommend_parse_product and ddt_update_advise; *out is
 * zero then.
 */
DDT_MUST_CHECK ddt_status ddt_twin_advise(ddt_context *ctx, const char *keys_directory, const ddt_twin_life *life,
                                          const ddt_twin_wish *wish, ddt_twin_advice *out);
void ddt_twin_advice_destroy(ddt_twin_advice *advice);
/* regimens.csv into a folder: a row for each candidate, the best first; docs/commands.md names the columns. */
DDT_MUST_CHECK ddt_status ddt_twin_advice_write(ddt_context *ctx, const ddt_twin_life *life,
                                                const ddt_twin_advice *advice, const char *folder);
/* What ddt_twin_life_json gives with all candidates besides (dose_unit, candidates, start, regimens: the best first, of
 * the shape of recommendation.json); docs/commands.md names the fields. The caller owns *json (ddt_free). */
DDT_MUST_CHECK ddt_status ddt_twin_advice_json(ddt_context *ctx, const ddt_twin_life *life,
                                               const ddt_twin_advice *advice, char **json);
/* One candidate in words. */
void ddt_twin_advice_text(const ddt_twin_life *life, const ddt_twin_advice *advice, size_t candidate,
                          char text[DDT_REGIMEN_TEXT_MAX]);

#ifdef __cplusplus
}
#endif
#endif
