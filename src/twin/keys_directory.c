/* Key directories: what lies in them, and whether it belongs to a plan. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <string.h>

void twin_key_paths_destroy(twin_key_paths *paths) {
    ddt_free(paths->secret);
    ddt_free(paths->public);
    ddt_free(paths->eval);
    ddt_free(paths->plan);
    ddt_free(paths->ledger);
    *paths = (twin_key_paths){0};
}

ddt_status twin_key_paths_create(ddt_context *ctx, const char *directory, twin_key_paths *out) {
    *out = (twin_key_paths){.secret = twin_path_join(directory, TWIN_FILE_SECRET),
                            .public = twin_path_join(directory, TWIN_FILE_PUBLIC),
                            .eval = twin_path_join(directory, TWIN_FILE_EVAL),
                            .plan = twin_path_join(directory, TWIN_FILE_PLAN),
                            .ledger = twin_path_join(directory, TWIN_FILE_LEDGER)};
    if (out->secret == NULL || out->public == NULL || out->eval == NULL || out->plan == NULL || out->ledger == NULL) {
        twin_key_paths_destroy(out);
        return twin_no_memory(ctx);
    }
    return DDT_OK;
}

ddt_status twin_key_directory_open(ddt_context *ctx, const char *directory, twin_key_paths *paths,
                                   ddt_twin_plan **plan) {
    *plan = NULL;
    ddt_status status = twin_key_paths_create(ctx, directory, paths);
    if (status == DDT_OK) {
        status = ddt_twin_plan_read(ctx, paths->plan, plan);
        if (status != DDT_OK) {
            twin_key_paths_destroy(paths);
        }
    }
    return status;
}

ddt_status twin_check_key_plan(ddt_context *ctx, const ddt_digest *key_plan, const char *key_path,
                               const ddt_digest *plan, const char *plan_path) {
    if (!ddt_digest_equal(key_plan, plan)) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "%s was made for another plan than %s.", key_path, plan_path);
    }
    return DDT_OK;
}

void twin_plaintext_wipe(const ddt_ckks_params *params, ddt_plaintext *plaintext) {
    if (plaintext->limbs != NULL) {
        explicit_bzero(plaintext->limbs, (plaintext->level_capacity + 1) * ddt_ckks_n(params) * sizeof(uint64_t));
    }
    ddt_plaintext_destroy(plaintext);
}
