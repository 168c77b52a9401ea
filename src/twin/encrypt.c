/* The custodian encrypts a data set for a plan. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <math.h>

void twin_encryptor_close(twin_encryptor *keys) {
    ddt_secret_key_destroy(keys->secret);
    if (keys->has_public) {
        ddt_public_key_destroy(&keys->public);
    }
    *keys = (twin_encryptor){0};
}

/*
 * Which plan a key was made for is looked at first, in a way that needs neither parameters nor passphrase: the copy of
 * the plan beside the key.
 */
static ddt_status check_keys_directory(ddt_context *ctx, const twin_key_paths *paths, const ddt_twin_plan *plan) {
    if (!twin_path_exists(paths->plan)) {
        return DDT_OK; /* a directory with public.ddt alone: the key itself carries the digest */
    }
    ddt_digest digest;
    ddt_status status = ddt_wire_file_digest(ctx, paths->plan, DDT_WIRE_PLAN, &digest);
    return status == DDT_OK ? twin_check_key_plan(ctx, &digest, paths->plan, &plan->digest, plan->path) : status;
}

static ddt_status load_keys(ddt_context *ctx, const ddt_twin_plan *plan, const twin_key_paths *paths,
                            const char *passphrase, twin_encryptor *keys) {
    ddt_digest digest;
    if (twin_path_exists(paths->secret)) {
        ddt_status status = ddt_secret_key_load(ctx, paths->secret, keys->params, passphrase, &keys->secret, &digest);
        return status == DDT_OK ? twin_check_key_plan(ctx, &digest, paths->secret, &plan->digest, plan->path) : status;
    }
    if (!twin_path_exists(paths->public)) {
        return ddt_fail(ctx, DDT_ERR_IO, "There is neither %s nor %s to encrypt with.", paths->secret, paths->public);
    }
    ddt_status status = ddt_public_key_load(ctx, paths->public, keys->params, &keys->public, &digest);
    keys->has_public = status == DDT_OK;
    return status == DDT_OK ? twin_check_key_plan(ctx, &digest, paths->public, &plan->digest, plan->path) : status;
}

ddt_status twin_encryptor_open(ddt_context *ctx, const ddt_twin_plan *plan, const twin_key_paths *paths,
                               const char *passphrase, twin_encryptor *out) {
    *out = (twin_encryptor){0};
    ddt_status status = check_keys_directory(ctx, paths, plan);
    if (status == DDT_OK) {
        status = ddt_plan_params(ctx, plan->plan, &out->params);
    }
    if (status == DDT_OK) {
        status = load_keys(ctx, plan, paths, passphrase, out);
    }
    if (status != DDT_OK) {
        twin_encryptor_close(out);
    }
    return status;
}

/* Checked here as well as by the layout: nothing above an input's bound is ever encrypted. */
static ddt_status check_bound(ddt_context *ctx, const ddt_plan_input *input, const double *slots, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!(fabs(slots[i]) <= input->bound)) {
            return ddt_fail(ctx, DDT_ERR_RANGE, "A value of %s is %g, outside the plan's bound of %g.", input->name,
                            slots[i], input->bound);
        }
    }
    return DDT_OK;
}

static ddt_status encrypt_plaintext(ddt_context *ctx, const twin_encryptor *keys, const ddt_plaintext *plaintext,
                                    ddt_writer *writer) {
    ddt_ciphertext ciphertext = {0};
    ddt_status status = keys->secret != NULL
                            ? ddt_encrypt_secret(ctx, keys->secret, plaintext, &ciphertext)
                            : ddt_encrypt_public(ctx, keys->params, &keys->public, plaintext, &ciphertext);
    if (status == DDT_OK) {
        status = ddt_ciphertext_write(writer, keys->params, &ciphertext);
    }
    ddt_ciphertext_destroy(&ciphertext);
    return status;
}

ddt_status twin_encrypt_upload(ddt_context *ctx, const ddt_plan *plan, const twin_encryptor *keys,
                               const twin_upload *upload, ddt_plaintext *plaintext, ddt_writer *writer) {
    ddt_plan_info info;
    ddt_plan_get_info(plan, &info);
    ddt_status status = DDT_OK;
    for (size_t k = 0; status == DDT_OK && k < upload->count; k++) {
        const ddt_plan_input input = ddt_plan_get_input(plan, upload->inputs[k]);
        status = check_bound(ctx, &input, upload->values[k], info.lanes * info.block);
    }
    if (status == DDT_OK) {
        status =
            ddt_plan_encode_upload(ctx, plan, upload->batch, upload->inputs, upload->values, upload->count, plaintext);
    }
    return status == DDT_OK ? encrypt_plaintext(ctx, keys, plaintext, writer) : status;
}

/* Upload `index` of a batch: a piece of the plan's list of inputs. */
static ddt_status encrypt_piece(ddt_context *ctx, const ddt_plan *plan, const twin_encryptor *keys,
                                const double *const *inputs, const size_t *order, size_t batch, size_t index,
                                ddt_plaintext *plaintext, ddt_writer *writer) {
    const size_t count = ddt_plan_input_count(plan);
    const size_t pack = ddt_plan_pack_count(plan);
    const size_t first = index * pack;
    const double *values[DDT_CKKS_PACK_MAX] = {0};
    twin_upload upload = {.batch = batch, .inputs = order + first, .values = values};
    for (; upload.count < pack && first + upload.count < count; upload.count++) {
        values[upload.count] = inputs[order[first + upload.count]];
    }
    return twin_encrypt_upload(ctx, plan, keys, &upload, plaintext, writer);
}

static ddt_status encrypt_batches(ddt_context *ctx, const ddt_twin_plan *plan, const twin_encryptor *keys,
                                  const double *const *inputs, ddt_writer *writer) {
    ddt_plan_info info;
    ddt_plan_get_info(plan->plan, &info);
    const size_t input_count = ddt_plan_input_count(plan->plan);
    const size_t count = ddt_plan_upload_count(plan->plan, input_count);
    const size_t total = info.batches * count;
    size_t *order = ddt_alloc(input_count, sizeof *order);
    if (order == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_plan_upload_order(plan->plan, 0, order);
    ddt_plaintext plaintext = {0};
    ddt_status status = ddt_plaintext_create(ctx, keys->params, ddt_ckks_levels(keys->params), &plaintext);
    for (size_t k = 0; status == DDT_OK && k < total; k++) {
        status = ddt_progress(ctx, "encrypt", k, total);
        if (status == DDT_OK) {
            status = encrypt_piece(ctx, plan->plan, keys, inputs, order, k / count, k % count, &plaintext, writer);
        }
    }
    if (status == DDT_OK) {
        status = ddt_progress(ctx, "encrypt", total, total);
    }
    twin_plaintext_wipe(keys->params, &plaintext);
    ddt_free(order);
    return status;
}

static ddt_status write_twin(ddt_context *ctx, const ddt_twin_plan *plan, const twin_encryptor *keys,
                             const ddt_events *events, const ddt_left_out *left_out, const double *const *inputs,
                             const char *path, uint64_t *bytes) {
    ddt_plan_info info;
    ddt_plan_get_info(plan->plan, &info);
    ddt_writer *writer = NULL;
    ddt_status status = ddt_writer_open(ctx, path, DDT_WIRE_TWIN, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    const size_t uploads = ddt_plan_upload_count(plan->plan, ddt_plan_input_count(plan->plan));
    status = ddt_writer_heading(writer, &plan->digest, info.batches, (uint32_t)uploads);
    if (status == DDT_OK) {
        status = twin_identifiers_write(ctx, events, left_out, keys->secret, &plan->digest, writer);
    }
    if (status == DDT_OK) {
        status = encrypt_batches(ctx, plan, keys, inputs, writer);
    }
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    return ddt_writer_commit(writer, bytes);
}

/* The circuit's inputs from the data: nothing is encrypted before all of them are checked. The caller owns *events.
 * left_out: NULL where nobody may be. */
static ddt_status fill_inputs(ddt_context *ctx, const ddt_twin_plan *plan, const char *data_path, ddt_events **events,
                              double *const *inputs, ddt_left_out *left_out) {
    ddt_model *model = NULL;
    ddt_status status = ddt_twin_plan_model(ctx, plan, &model);
    if (status == DDT_OK) {
        status = twin_recipe_events(ctx, &plan->recipe, model, data_path, events);
    }
    if (status == DDT_OK) {
        status = left_out == NULL ? ddt_solution_fill(ctx, plan->solution, model, *events, inputs)
                                  : ddt_solution_fill_served(ctx, plan->solution, model, *events, inputs, left_out);
    }
    ddt_model_destroy(model);
    return status;
}

/* With the public key alone there is no seal, and who decrypts would take a number for the estimate of somebody who was
 * left out. */
static ddt_status check_sealed(ddt_context *ctx, const twin_encryptor *keys, const ddt_left_out *left_out) {
    if (left_out == NULL || left_out->count == 0 || keys->secret != NULL) {
        return DDT_OK;
    }
    return ddt_fail(ctx, DDT_ERR_RANGE, "%s Without the secret key nobody can be left out of a table.",
                    left_out->subjects[0].reason);
}

static ddt_status encrypt_with_plan(ddt_context *ctx, ddt_twin_plan *plan, const twin_key_paths *paths,
                                    const char *passphrase, const char *data_path, const char *twin_path,
                                    uint64_t *bytes, ddt_left_out *left_out) {
    ddt_plan_info info;
    ddt_plan_get_info(plan->plan, &info);
    const size_t input_count = ddt_plan_input_count(plan->plan);
    ddt_events *events = NULL;
    double **inputs = twin_vectors_create(input_count, info.lanes, info.block);
    if (inputs == NULL) {
        return twin_no_memory(ctx);
    }
    twin_encryptor keys = {0};
    ddt_status status = twin_plan_check_kind(ctx, plan, false);
    if (status == DDT_OK) {
        status = check_keys_directory(ctx, paths, plan);
    }
    if (status == DDT_OK) {
        status = fill_inputs(ctx, plan, data_path, &events, inputs, left_out);
    }
    if (status == DDT_OK) {
        status = twin_encryptor_open(ctx, plan, paths, passphrase, &keys);
    }
    if (status == DDT_OK) {
        status = check_sealed(ctx, &keys, left_out);
    }
    if (status == DDT_OK) {
        const ddt_left_out *noted = ddt_solution_is_fit(plan->solution) ? left_out : NULL;
        status = write_twin(ctx, plan, &keys, events, noted, (const double *const *)inputs, twin_path, bytes);
    }
    twin_encryptor_close(&keys);
    ddt_events_destroy(events);
    twin_vectors_destroy(inputs, input_count, info.lanes, info.block);
    return status;
}

static ddt_status encrypt_table(ddt_context *ctx, const char *plan_path, const char *keys_directory,
                                const char *passphrase, const char *model_path, const char *data_path,
                                const char *twin_path, uint64_t *bytes, ddt_left_out *left_out) {
    ddt_twin_plan *plan = NULL;
    twin_key_paths paths = {0};
    ddt_status status = twin_key_paths_create(ctx, keys_directory, &paths);
    if (status == DDT_OK) {
        status = ddt_twin_plan_read(ctx, plan_path, &plan);
    }
    if (status == DDT_OK && model_path != NULL) {
        status = ddt_twin_plan_check_model(ctx, plan, model_path);
    }
    if (status == DDT_OK) {
        status = encrypt_with_plan(ctx, plan, &paths, passphrase, data_path, twin_path, bytes, left_out);
    }
    ddt_twin_plan_destroy(plan);
    twin_key_paths_destroy(&paths);
    return status;
}

ddt_status ddt_twin_encrypt(ddt_context *ctx, const char *plan_path, const char *keys_directory, const char *passphrase,
                            const char *model_path, const char *data_path, const char *twin_path, uint64_t *bytes) {
    return encrypt_table(ctx, plan_path, keys_directory, passphrase, model_path, data_path, twin_path, bytes, NULL);
}

ddt_status ddt_twin_encrypt_served(ddt_context *ctx, const char *plan_path, const char *keys_directory,
                                   const char *passphrase, const char *model_path, const char *data_path,
                                   const char *twin_path, uint64_t *bytes, ddt_left_out *left_out) {
    *left_out = (ddt_left_out){0};
    ddt_status status =
        encrypt_table(ctx, plan_path, keys_directory, passphrase, model_path, data_path, twin_path, bytes, left_out);
    if (status != DDT_OK) {
        ddt_left_out_destroy(left_out);
    }
    return status;
}
