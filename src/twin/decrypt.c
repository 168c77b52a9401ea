/* The custodian decrypts a result. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <math.h>

/* What decryption needs at hand, and its buffers. */
typedef struct decryptor {
    const ddt_twin_plan *plan;
    const ddt_ckks_params *params;
    ddt_secret_key *secret;
    double complex *decoded; /* N/2 */
    double *slots;           /* N/2 */
    double **outputs;        /* lanes x block, one an output */
    uint8_t *note;           /* the sealed identifiers */
    size_t note_length;
    ddt_plan_info info;
} decryptor;

static void decryptor_close(decryptor *d) {
    ddt_secret_key_destroy(d->secret);
    if (d->params != NULL) {
        twin_wipe_free(d->decoded, ddt_ckks_slots(d->params) * sizeof *d->decoded);
        twin_wipe_free(d->slots, ddt_ckks_slots(d->params) * sizeof *d->slots);
    }
    ddt_free(d->note);
    twin_vectors_destroy(d->outputs, ddt_plan_output_count(d->plan->plan), d->info.lanes, d->info.block);
}

static ddt_status decryptor_open(ddt_context *ctx, ddt_twin_plan *plan, const twin_key_paths *paths,
                                 const char *passphrase, decryptor *d) {
    *d = (decryptor){.plan = plan};
    ddt_plan_get_info(plan->plan, &d->info);
    ddt_status status = ddt_plan_params(ctx, plan->plan, &d->params);
    if (status != DDT_OK) {
        return status;
    }
    d->decoded = ddt_calloc(ddt_ckks_slots(d->params), sizeof *d->decoded);
    d->slots = ddt_calloc(ddt_ckks_slots(d->params), sizeof *d->slots);
    d->outputs = twin_vectors_create(ddt_plan_output_count(plan->plan), d->info.lanes, d->info.block);
    if (d->decoded == NULL || d->slots == NULL || d->outputs == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_digest digest;
    status = ddt_secret_key_load(ctx, paths->secret, d->params, passphrase, &d->secret, &digest);
    return status == DDT_OK ? twin_check_key_plan(ctx, &digest, paths->secret, &plan->digest, paths->plan) : status;
}

/*
 * Our circuits compute real numbers: what stands in the imaginary parts is noise of the size that the plan predicts.
 * Values far above it mean that the result was not computed for this key, or not by this plan.
 */
ddt_status twin_real_parts(ddt_context *ctx, const ddt_twin_plan *plan, const double complex *decoded, const char *path,
                           double *out) {
    ddt_plan_info info;
    ddt_plan_get_info(plan->plan, &info);
    const double tolerance = fmax(1e3 * info.predicted_error, 1e-3);
    const size_t slots = (size_t)1 << (info.literal.log_n - 1);
    for (size_t i = 0; i < slots; i++) {
        if (!(fabs(cimag(decoded[i])) <= tolerance) || !isfinite(creal(decoded[i]))) {
            return ddt_fail(ctx, DDT_ERR_CORRUPT,
                            "%s does not decrypt to a result: it was made with other keys or was "
                            "not computed by its plan.",
                            path);
        }
        out[i] = creal(decoded[i]);
    }
    return DDT_OK;
}

static ddt_status decrypt_ciphertext(ddt_context *ctx, decryptor *d, ddt_reader *reader, const char *result_path) {
    ddt_ciphertext ciphertext = {0};
    ddt_plaintext plaintext = {0};
    ddt_status status = ddt_ciphertext_read(ctx, reader, d->params, &ciphertext);
    if (status == DDT_OK) {
        status = ddt_decrypt(ctx, d->secret, &ciphertext, &plaintext);
    }
    if (status == DDT_OK) {
        status = ddt_ckks_decode(ctx, d->params, &plaintext, d->decoded);
    }
    if (status == DDT_OK) {
        status = twin_real_parts(ctx, d->plan, d->decoded, result_path, d->slots);
    }
    twin_plaintext_wipe(d->params, &plaintext);
    ddt_ciphertext_destroy(&ciphertext);
    return status;
}

static ddt_status decrypt_result(ddt_context *ctx, decryptor *d, ddt_reader *reader, const char *plan_path) {
    const size_t output_count = ddt_plan_output_count(d->plan->plan);
    const size_t total = d->info.batches * output_count;
    ddt_status status = twin_result_heading(ctx, d->plan, plan_path, reader, &d->note, &d->note_length);
    for (size_t k = 0; status == DDT_OK && k < total; k++) {
        status = ddt_progress(ctx, "decrypt", k, total);
        if (status == DDT_OK) {
            status = decrypt_ciphertext(ctx, d, reader, ddt_reader_path(reader));
        }
        if (status == DDT_OK) {
            ddt_plan_unpack(d->plan->plan, k / output_count, d->slots, d->outputs[k % output_count]);
        }
    }
    if (status == DDT_OK) {
        status = ddt_progress(ctx, "decrypt", total, total);
    }
    return status == DDT_OK ? ddt_reader_finish(reader) : status;
}

/* The profile of decrypted outputs, under the subjects' own names. */
static ddt_status make_profile(ddt_context *ctx, const decryptor *d, const char *result_path, ddt_profile *out) {
    const ddt_twin_plan *plan = d->plan;
    ddt_status status = twin_profile_create(ctx, plan->solution, &plan->recipe, out);
    if (status != DDT_OK) {
        return status;
    }
    ddt_solution_collect(plan->solution, (const double *const *)d->outputs, out->values);
    status = twin_identifiers_apply(ctx, d->secret, &plan->digest, d->note, d->note_length, result_path, out);
    if (status != DDT_OK) {
        ddt_profile_destroy(out);
    }
    return status;
}

static ddt_status decrypt_with_plan(ddt_context *ctx, ddt_twin_plan *plan, const twin_key_paths *paths,
                                    const char *passphrase, const char *result_path, ddt_profile *out) {
    decryptor d;
    ddt_reader *reader = NULL;
    ddt_status status = ddt_reader_open(ctx, result_path, DDT_WIRE_RESULT, &reader);
    if (status != DDT_OK) {
        return status;
    }
    status = decryptor_open(ctx, plan, paths, passphrase, &d);
    if (status == DDT_OK) {
        status = decrypt_result(ctx, &d, reader, paths->plan);
    }
    if (status == DDT_OK) {
        status = make_profile(ctx, &d, result_path, out);
    }
    decryptor_close(&d);
    ddt_reader_close(reader);
    return status;
}

ddt_status ddt_twin_decrypt(ddt_context *ctx, const char *keys_directory, const char *passphrase,
                            const char *result_path, ddt_profile *out) {
    ddt_twin_plan *plan = NULL;
    twin_key_paths paths = {0};
    *out = (ddt_profile){0};
    ddt_status status = twin_key_directory_open(ctx, keys_directory, &paths, &plan);
    if (status == DDT_OK) {
        status = decrypt_with_plan(ctx, plan, &paths, passphrase, result_path, out);
    }
    ddt_twin_plan_destroy(plan);
    twin_key_paths_destroy(&paths);
    return status;
}
