/*
 * ddt/twin.h - the steps of an encrypted simulation, file to file: what the commands call.
 *
 * Files are atomic: a failed step leaves nothing behind. The engine's step is not here: it needs circuit alone (see ddt_plan_run) so that
 * `ddtwin-engine` links neither this room nor custody.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_TWIN_H
#define DDT_TWIN_H

#include "ddt/custody.h"
#include "ddt/solve.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ddt_setting {
    const char *name;
    double value;
} ddt_setting;

/* How a model and a data set become a problem: the options of check, compile and simulate. */
typedef struct ddt_twin_options {
    const char *model_path;
    const char *data_path;
    double grid_h;               /* --grid: adds EVID 2 records every grid_h; 0: none */
    size_t grid_points;          /* the report's own grid: this many points over each subject's span; 0: none */
    const char *const *outputs;  /* --output; NULL: the model's */
    size_t output_count;
    const ddt_setting *settings; /* --param */
    size_t setting_count;
    double target_error;         /* relative to each output's maximum; 0: 1e-4 */
} ddt_twin_options;

/* Errors relative to each output's maximum over all subjects and times. */
typedef struct ddt_error_budget {
    double surrogate, discretisation, ckks, total;
} ddt_error_budget;

/* compile: writes a plan file holding the plan, the layout and the model's text. */
DDT_MUST_CHECK ddt_status ddt_twin_compile(ddt_context *ctx, const ddt_twin_options *options, const char *plan_path);
/* keygen: directory/secret.ddt, public.ddt, eval.ddt; the directory is created (0700) and must not hold keys. Keys stream to the file. */
DDT_MUST_CHECK ddt_status ddt_twin_keygen(ddt_context *ctx, const char *plan_path, const char *directory,
                                          const char *passphrase);
/* encrypt: data -> twin file, with the secret key's seeded encryption where secret.ddt is there, else with public.ddt. */
DDT_MUST_CHECK ddt_status ddt_twin_encrypt(ddt_context *ctx, const char *plan_path, const char *keys_directory,
                                           const char *passphrase, const char *data_path, const char *twin_path);

/* A decrypted result: values[subject][observation * output_count + output]. */
typedef struct ddt_profile {
    size_t subject_count, output_count;
    char **output_names;
    char **subject_ids;
    size_t *observation_counts;
    double **times_h;
    bool **requested; /* false for points that only the report's grid asked for */
    double **values;
} ddt_profile;
void ddt_profile_destroy(ddt_profile *profile);
DDT_MUST_CHECK ddt_status ddt_twin_decrypt(ddt_context *ctx, const char *keys_directory, const char *passphrase,
                                           const char *result_path, ddt_profile *out);
/* ID,TIME and one column an output; 9 significant digits. */
DDT_MUST_CHECK ddt_status ddt_profile_write_csv(ddt_context *ctx, const ddt_profile *profile, const char *path);

#ifdef __cplusplus
}
#endif
#endif
