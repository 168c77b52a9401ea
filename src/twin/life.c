/* The custodian opens a living twin. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

static const char *const band_names[DDT_UPDATE_BANDS] = {"p05", "p50", "p95"};

void ddt_twin_life_destroy(ddt_twin_life *life) {
    ddt_free(life->id);
    ddt_update_estimate_destroy(&life->estimate);
    ddt_model_destroy(life->model);
    ddt_free(life->times_h);
    twin_wipe_free(life->predicted, life->row_count * life->output_count * sizeof *life->predicted);
    twin_wipe_free(life->band, life->row_count * life->output_count * DDT_UPDATE_BANDS * sizeof *life->band);
    *life = (ddt_twin_life){0};
}

/* ------------------------------------------------------------------ decryption */

static ddt_status decrypt_values(ddt_context *ctx, const ddt_twin_plan *plan, const ddt_ckks_params *params,
                                 const ddt_secret_key *secret, ddt_reader *reader, double *values) {
    ddt_ciphertext ciphertext = {0};
    ddt_plaintext plaintext = {0};
    const size_t slots = ddt_ckks_slots(params);
    double complex *decoded = ddt_calloc(slots, sizeof *decoded);
    double *real = ddt_calloc(slots, sizeof *real);
    ddt_status status = decoded == NULL || real == NULL ? twin_no_memory(ctx) : DDT_OK;
    if (status == DDT_OK) {
        status = ddt_ciphertext_read(ctx, reader, params, &ciphertext);
    }
    if (status == DDT_OK) {
        status = ddt_decrypt(ctx, secret, &ciphertext, &plaintext);
    }
    if (status == DDT_OK) {
        status = ddt_ckks_decode(ctx, params, &plaintext, decoded);
    }
    if (status == DDT_OK) {
        status = twin_real_parts(ctx, plan, decoded, ddt_reader_path(reader), real);
    }
    if (status == DDT_OK) {
        ddt_plan_unpack(plan->plan, 0, real, values);
    }
    twin_plaintext_wipe(params, &plaintext);
    ddt_ciphertext_destroy(&ciphertext);
    twin_wipe_free(decoded, slots * sizeof *decoded);
    twin_wipe_free(real, slots * sizeof *real);
    return status;
}

static ddt_status load_secret(ddt_context *ctx, ddt_twin_plan *plan, const twin_key_paths *paths,
                              const char *passphrase, const ddt_ckks_params **params, ddt_secret_key **secret) {
    ddt_digest digest;
    ddt_status status = ddt_plan_params(ctx, plan->plan, params);
    if (status == DDT_OK) {
        status = ddt_secret_key_load(ctx, paths->secret, *params, passphrase, secret, &digest);
    }
    return status == DDT_OK ? twin_check_key_plan(ctx, &digest, paths->secret, &plan->digest, paths->plan) : status;
}

static ddt_status read_life(ddt_context *ctx, ddt_twin_plan *plan, const twin_key_paths *paths, const char *passphrase,
                            ddt_reader *reader, ddt_twin_life *out, double *values) {
    const ddt_ckks_params *params = NULL;
    ddt_secret_key *secret = NULL;
    uint8_t *note = NULL;
    size_t length = 0;
    ddt_status status = twin_life_heading(ctx, plan, reader, &note, &length, &out->clock);
    if (status == DDT_OK) {
        status = load_secret(ctx, plan, paths, passphrase, &params, &secret);
    }
    if (status == DDT_OK) {
        status = decrypt_values(ctx, plan, params, secret, reader, values);
    }
    if (status == DDT_OK) {
        status = ddt_reader_finish(reader);
    }
    if (status == DDT_OK) {
        status = twin_life_identifier(ctx, secret, &plan->digest, note, length, ddt_reader_path(reader), &out->id);
    }
    if (status == DDT_OK && out->id == NULL) {
        out->id = ddt_strdup("1");
        status = out->id == NULL ? twin_no_memory(ctx) : DDT_OK;
    }
    ddt_secret_key_destroy(secret);
    ddt_free(note);
    return status;
}

/* ------------------------------------------------------------------ what comes next */

static ddt_status allocate_rows(ddt_context *ctx, const ddt_events *events, size_t subject, ddt_twin_life *out) {
    const ddt_subject *s = &events->subjects[subject];
    size_t count = 0;
    for (size_t r = 0; r < s->record_count; r++) {
        count += ddt_record_is_observation(&s->records[r]);
    }
    out->output_count = out->model->output_count;
    out->times_h = ddt_calloc(count, sizeof *out->times_h);
    out->predicted = ddt_calloc(count * out->output_count, sizeof *out->predicted);
    out->band = ddt_calloc(count * out->output_count * DDT_UPDATE_BANDS, sizeof *out->band);
    if (out->times_h == NULL || out->predicted == NULL || out->band == NULL) {
        return twin_no_memory(ctx);
    }
    for (size_t r = 0; r < s->record_count; r++) {
        if (ddt_record_is_observation(&s->records[r])) {
            out->times_h[out->row_count++] = s->records[r].time_h;
        }
    }
    return DDT_OK;
}

static ddt_status forecast(ddt_context *ctx, const ddt_twin_plan *plan, const char *data_path, const char *id,
                           ddt_twin_life *out) {
    ddt_events *events = NULL;
    size_t subject = 0;
    ddt_status status = twin_recipe_events(ctx, &plan->recipe, out->model, data_path, &events);
    if (status == DDT_OK) {
        status = twin_pick_subject(ctx, events, id, &subject);
    }
    if (status == DDT_OK) {
        status = allocate_rows(ctx, events, subject, out);
    }
    if (status == DDT_OK) {
        status = ddt_update_predict(ctx, plan->update, out->model, &out->estimate, events, subject, out->clock.to_h,
                                    out->predicted, out->band);
    }
    ddt_events_destroy(events);
    return status;
}

static ddt_status decrypt_life(ddt_context *ctx, ddt_twin_plan *plan, const twin_key_paths *paths,
                               const char *passphrase, const char *life_path, ddt_twin_life *out) {
    ddt_reader *reader = NULL;
    const size_t block = ddt_update_block(plan->update);
    double *values = ddt_calloc(block, sizeof *values);
    if (values == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_status status = ddt_reader_open(ctx, life_path, DDT_WIRE_LIFE, &reader);
    if (status == DDT_OK) {
        status = read_life(ctx, plan, paths, passphrase, reader, out, values);
    }
    ddt_reader_close(reader);
    if (status == DDT_OK) {
        status = ddt_twin_plan_model(ctx, plan, &out->model);
    }
    if (status == DDT_OK) {
        ddt_update_get_info(plan->update, &out->info);
        status = ddt_update_read_state(ctx, plan->update, out->model, values, &out->estimate);
    }
    twin_wipe_free(values, block * sizeof *values);
    return status;
}

ddt_status ddt_twin_decrypt_life(ddt_context *ctx, const char *keys_directory, const char *passphrase,
                                 const char *life_path, const char *data_path, const char *subject,
                                 ddt_twin_life *out) {
    ddt_twin_plan *plan = NULL;
    twin_key_paths paths = {0};
    *out = (ddt_twin_life){0};
    ddt_status status = twin_key_directory_open(ctx, keys_directory, &paths, &plan);
    if (status == DDT_OK) {
        status = twin_plan_check_kind(ctx, plan, true);
    }
    if (status == DDT_OK) {
        status = decrypt_life(ctx, plan, &paths, passphrase, life_path, out);
    }
    if (status == DDT_OK && data_path != NULL) {
        status = forecast(ctx, plan, data_path, subject, out);
    }
    ddt_twin_plan_destroy(plan);
    twin_key_paths_destroy(&paths);
    if (status != DDT_OK) {
        ddt_twin_life_destroy(out);
    }
    return status;
}

/* ------------------------------------------------------------------ files */

static ddt_status write_into(ddt_context *ctx, twin_text *text, const char *folder, const char *name) {
    char *path = twin_path_join(folder, name);
    if (path == NULL) {
        twin_text_destroy(text);
        return twin_no_memory(ctx);
    }
    ddt_status status = twin_text_write(ctx, text, path);
    ddt_free(path);
    return status;
}

static const char *eta_name(const ddt_twin_life *life, size_t i) {
    /* the etas that vary, in the model's order */
    for (size_t k = 0; k < life->model->eta_count; k++) {
        const ddt_symbol *symbol = &life->model->symbols[life->model->etas[k]];
        if (symbol->omega2 > 0.0 && i-- == 0) {
            return symbol->name;
        }
    }
    return "";
}

static ddt_status write_etas(ddt_context *ctx, const ddt_twin_life *life, const double *values, const char *folder,
                             const char *name) {
    twin_text text = {0};
    twin_text_add(&text, "ID");
    for (size_t i = 0; i < life->estimate.eta_count; i++) {
        twin_text_raw(&text, ",", 1);
        twin_text_csv(&text, eta_name(life, i));
    }
    twin_text_raw(&text, "\n", 1);
    twin_text_csv(&text, life->id);
    for (size_t i = 0; i < life->estimate.eta_count; i++) {
        twin_text_add(&text, ",%.9g", values[i]);
    }
    twin_text_raw(&text, "\n", 1);
    return write_into(ctx, &text, folder, name);
}

static ddt_status write_state(ddt_context *ctx, const ddt_twin_life *life, const char *folder) {
    twin_text text = {0};
    twin_text_add(&text, "COMPARTMENT,AMOUNT,P05,P50,P95\n");
    for (size_t i = 0; i < life->estimate.state_count; i++) {
        const double *band = life->estimate.amount_band[i];
        twin_text_csv(&text, life->model->compartments[i].name);
        twin_text_add(&text, ",%.9g,%.9g,%.9g,%.9g\n", life->estimate.amount[i], band[0], band[1], band[2]);
    }
    return write_into(ctx, &text, folder, "state.csv");
}

static ddt_status write_forecast(ddt_context *ctx, const ddt_twin_life *life, const char *folder) {
    twin_text text = {0};
    twin_text_add(&text, "ID,TIME");
    for (size_t o = 0; o < life->output_count; o++) {
        const char *name = life->model->outputs[o].name;
        twin_text_raw(&text, ",", 1);
        twin_text_csv(&text, name);
        for (int b = 0; b < DDT_UPDATE_BANDS; b++) {
            twin_text_add(&text, ",%s.%s", name, band_names[b]);
        }
    }
    twin_text_raw(&text, "\n", 1);
    for (size_t r = 0; r < life->row_count; r++) {
        twin_text_csv(&text, life->id);
        twin_text_raw(&text, ",", 1);
        twin_text_exact(&text, life->times_h[r]);
        for (size_t o = 0; o < life->output_count; o++) {
            const size_t at = r * life->output_count + o;
            twin_text_add(&text, ",%.9g", life->predicted[at]);
            for (int b = 0; b < DDT_UPDATE_BANDS; b++) {
                twin_text_add(&text, ",%.9g", life->band[at * DDT_UPDATE_BANDS + (size_t)b]);
            }
        }
        twin_text_raw(&text, "\n", 1);
    }
    return write_into(ctx, &text, folder, "forecast.csv");
}

static json_t *json_etas(const ddt_twin_life *life) {
    json_t *list = json_array();
    for (size_t i = 0; i < life->estimate.eta_count; i++) {
        (void)json_array_append_new(list, json_pack("{s:s, s:f, s:f}", "name", eta_name(life, i), "value",
                                                    life->estimate.eta[i], "sd", life->estimate.sd[i]));
    }
    return list;
}

static json_t *json_amounts(const ddt_twin_life *life) {
    json_t *list = json_array();
    for (size_t i = 0; i < life->estimate.state_count; i++) {
        const double *band = life->estimate.amount_band[i];
        (void)json_array_append_new(
            list, json_pack("{s:s, s:f, s:[f,f,f]}", "compartment", life->model->compartments[i].name, "amount",
                            life->estimate.amount[i], "p05_p50_p95", band[0], band[1], band[2]));
    }
    return list;
}

json_t *twin_life_json(const ddt_twin_life *life) {
    return json_pack(
        "{s:s, s:s, s:f, s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:o, s:o}", "id", life->id, "model", life->model->name,
        "clock", life->clock.to_h, "time_unit", life->model->time_unit == NULL ? "h" : life->model->time_unit,
        "updates", (json_int_t)life->clock.updates, "steps", (json_int_t)life->clock.steps, "points",
        (json_int_t)life->info.points, "effective_points", life->estimate.effective_points, "memory_levels",
        life->info.memory, "half_life", life->info.half_life_h, "etas", json_etas(life), "amounts", json_amounts(life));
}

ddt_status ddt_twin_life_json(ddt_context *ctx, const ddt_twin_life *life, char **json) {
    return twin_json_text(ctx, twin_life_json(life), json);
}

static ddt_status write_json(ddt_context *ctx, const ddt_twin_life *life, const char *folder) {
    char *json = NULL;
    twin_text text = {0};
    ddt_status status = ddt_twin_life_json(ctx, life, &json);
    if (status != DDT_OK) {
        return status;
    }
    twin_text_raw(&text, json, strlen(json));
    ddt_free(json);
    return write_into(ctx, &text, folder, "twin.json");
}

ddt_status ddt_twin_life_write(ddt_context *ctx, const ddt_twin_life *life, const char *folder) {
    ddt_status status = write_etas(ctx, life, life->estimate.eta, folder, "etas.csv");
    if (status == DDT_OK) {
        status = write_etas(ctx, life, life->estimate.sd, folder, "uncertainty.csv");
    }
    if (status == DDT_OK) {
        status = write_state(ctx, life, folder);
    }
    if (status == DDT_OK && life->row_count > 0) {
        status = write_forecast(ctx, life, folder);
    }
    return status == DDT_OK ? write_json(ctx, life, folder) : status;
}
