/*
 * Living twins on the custodian's side: their plans, and what happened to a patient as an encrypted update.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "twin_internal.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------ compile */

static ddt_status write_plan(ddt_context *ctx, const ddt_plan *plan, const ddt_update *update,
                             const twin_recipe *recipe, const char *path) {
    ddt_writer *writer = NULL;
    ddt_status status = ddt_writer_open(ctx, path, DDT_WIRE_PLAN, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_plan_write(writer, plan);
    if (status == DDT_OK) {
        status = ddt_update_write(writer, update);
    }
    if (status == DDT_OK) {
        status = twin_recipe_write(writer, recipe);
    }
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    return ddt_writer_commit(writer, NULL);
}

ddt_status twin_update_compile(ddt_context *ctx, const ddt_twin_options *options, const char *plan_path) {
    twin_recipe recipe;
    ddt_model *model = NULL;
    ddt_events *events = NULL;
    ddt_update *update = NULL;
    ddt_plan *plan = NULL;
    ddt_status status = twin_recipe_create(ctx, options, &recipe);
    if (status == DDT_OK) {
        status = twin_recipe_model(ctx, &recipe, options->model_path, &model);
    }
    if (status == DDT_OK) {
        status = twin_recipe_events(ctx, &recipe, model, options->data_path, &events);
    }
    if (status == DDT_OK) {
        status = ddt_update_create(ctx, model, events, &options->update, &update);
    }
    if (status == DDT_OK) {
        const ddt_plan_request request = ddt_update_request();
        status = ddt_plan_create(ctx, ddt_update_circuit(update), &request, &plan);
    }
    if (status == DDT_OK) {
        status = write_plan(ctx, plan, update, &recipe, plan_path);
    }
    ddt_plan_destroy(plan);
    ddt_update_destroy(update);
    ddt_events_destroy(events);
    ddt_model_destroy(model);
    twin_recipe_destroy(&recipe);
    return status;
}

/* ------------------------------------------------------------------ subjects */

ddt_status twin_pick_subject(ddt_context *ctx, const ddt_events *events, const char *id, size_t *out) {
    *out = 0;
    if (id == NULL && events->subject_count == 1) {
        return DDT_OK;
    }
    for (size_t s = 0; id != NULL && s < events->subject_count; s++) {
        if (strcmp(events->subjects[s].id, id) == 0) {
            *out = s;
            return DDT_OK;
        }
    }
    if (id != NULL) {
        return ddt_fail(ctx, DDT_ERR_DATA, "'%s' has no subject %s.", events->path, id);
    }
    return ddt_fail(ctx, DDT_ERR_USAGE, "'%s' has %zu subjects and a twin is one patient's; --subject says which.",
                    events->path, events->subject_count);
}

/* ------------------------------------------------------------------ the twin before */

ddt_status twin_life_heading(ddt_context *ctx, const ddt_twin_plan *plan, ddt_reader *reader, uint8_t **note,
                             size_t *note_length, ddt_wire_clock *clock) {
    ddt_digest digest;
    uint64_t batches = 0;
    uint32_t items = 0;
    ddt_status status = ddt_reader_heading(reader, &digest, &batches, &items);
    if (status == DDT_OK && !ddt_digest_equal(&digest, &plan->digest)) {
        status =
            ddt_fail(ctx, DDT_ERR_MISMATCH, "%s lives by another plan than %s.", ddt_reader_path(reader), plan->path);
    }
    if (status == DDT_OK && (batches != 1 || items != 1)) {
        status = ddt_fail(ctx, DDT_ERR_FORMAT, "%s does not hold what its plan carries.", ddt_reader_path(reader));
    }
    if (status == DDT_OK) {
        status = ddt_reader_note(ctx, reader, note, note_length);
    }
    return status == DDT_OK ? ddt_reader_clock(ctx, reader, clock) : status;
}

/* The identifier in a note; NULL without a secret key or a note. The caller owns *id. */
ddt_status twin_life_identifier(ddt_context *ctx, const ddt_secret_key *secret, const ddt_digest *plan,
                                const uint8_t *note, size_t note_length, const char *path, char **id) {
    ddt_profile one = {.subject_count = 1};
    *id = NULL;
    if (secret == NULL || note_length == 0) {
        return DDT_OK;
    }
    if (!twin_profile_allocate(&one) || !twin_profile_allocate_subject(&one, 0, "1", 0)) {
        ddt_profile_destroy(&one);
        return twin_no_memory(ctx);
    }
    ddt_status status = twin_identifiers_apply(ctx, secret, plan, note, note_length, path, &one);
    if (status == DDT_OK) {
        *id = one.subject_ids[0];
        one.subject_ids[0] = NULL;
    }
    ddt_profile_destroy(&one);
    return status;
}

/* What an update goes on from. */
typedef struct before {
    ddt_wire_clock clock;
    uint8_t *note;
    size_t note_length;
} before;

static ddt_status read_before(ddt_context *ctx, const ddt_twin_plan *plan, const char *path, before *out) {
    ddt_reader *reader = NULL;
    ddt_status status = ddt_reader_open(ctx, path, DDT_WIRE_LIFE, &reader);
    if (status == DDT_OK) {
        status = twin_life_heading(ctx, plan, reader, &out->note, &out->note_length, &out->clock);
        ddt_reader_close(reader);
    }
    return status;
}

/* ------------------------------------------------------------------ encrypt */

typedef struct updater {
    ddt_context *ctx;
    ddt_twin_plan *plan;
    const char *life_path, *data_path, *path;
    ddt_model *model;
    ddt_events *events;
    size_t subject;
    before before;
    ddt_update_steps steps;
    twin_encryptor keys;
} updater;

/* Another patient's data would spoil the twin for good. */
static ddt_status check_patient(const updater *u) {
    char *id = NULL;
    ddt_status status = twin_life_identifier(u->ctx, u->keys.secret, &u->plan->digest, u->before.note,
                                             u->before.note_length, u->life_path, &id);
    if (status == DDT_OK && id != NULL && strcmp(id, u->events->subjects[u->subject].id) != 0) {
        status = ddt_fail(u->ctx, DDT_ERR_MISMATCH, "%s is another patient's twin than %s in '%s'.", u->life_path,
                          u->events->subjects[u->subject].id, u->data_path);
    }
    ddt_free(id);
    return status;
}

static ddt_status write_note(const updater *u, ddt_writer *writer) {
    ddt_events one = *u->events;
    one.subjects = &u->events->subjects[u->subject];
    one.subject_count = 1;
    return twin_identifiers_write(u->ctx, &one, NULL, u->keys.secret, &u->plan->digest, writer);
}

/* The twin is with the engine, or begins as zeros there; what a last step without a level would say of one is 0. */
static bool is_sent(const updater *u, size_t step, size_t input) {
    const bool is_last = step + 1 == u->steps.count;
    return input > 0 && !(is_last && u->steps.rests && ddt_update_is_of_level(u->plan->update, input));
}

static uint64_t absent_inputs(const updater *u) {
    uint64_t absent = 0;
    for (size_t i = 1; i < u->steps.input_count; i++) {
        absent |= is_sent(u, u->steps.count - 1, i) ? 0 : UINT64_C(1) << i;
    }
    return absent;
}

/* The vectors that are sent, step by step. */
typedef struct sent_list {
    size_t *inputs;
    const double **values;
    size_t count;
} sent_list;

static void list_step(const updater *u, size_t step, size_t *order, sent_list *list) {
    const size_t inputs = u->steps.input_count;
    ddt_plan_upload_order(u->plan->plan, step, order);
    for (size_t k = 0; k < inputs; k++) {
        if (is_sent(u, step, order[k])) {
            list->inputs[list->count] = order[k];
            list->values[list->count++] = u->steps.inputs[step * inputs + order[k]];
        }
    }
}

static bool list_sent(const updater *u, sent_list *list) {
    const size_t inputs = u->steps.input_count;
    const size_t total = u->steps.count * inputs;
    size_t *order = ddt_alloc(inputs, sizeof *order);
    list->inputs = ddt_alloc(total, sizeof *list->inputs);
    list->values = ddt_alloc(total, sizeof *list->values);
    bool complete = order != NULL && list->inputs != NULL && list->values != NULL;
    for (size_t step = 0; complete && step < u->steps.count; step++) {
        list_step(u, step, order, list);
    }
    ddt_free(order);
    return complete;
}

/* Steps share ciphertexts: however few vectors each has, only the last ciphertext is not full. */
static ddt_status write_steps(const updater *u, const sent_list *list, ddt_plaintext *plaintext, ddt_writer *writer) {
    const size_t pack = ddt_plan_pack_count(u->plan->plan);
    ddt_status status = DDT_OK;
    for (size_t k = 0; status == DDT_OK && k < list->count; k += pack) {
        const size_t left = list->count - k;
        const twin_upload upload = {
            .inputs = list->inputs + k, .values = list->values + k, .count = left < pack ? left : pack};
        status = ddt_progress(u->ctx, "encrypt", k, list->count);
        if (status == DDT_OK) {
            status = twin_encrypt_upload(u->ctx, u->plan->plan, &u->keys, &upload, plaintext, writer);
        }
    }
    return status == DDT_OK ? ddt_progress(u->ctx, "encrypt", list->count, list->count) : status;
}

static ddt_status write_body(const updater *u, ddt_writer *writer) {
    sent_list list = {0};
    ddt_plaintext plaintext = {0};
    ddt_status status = list_sent(u, &list)
                            ? ddt_plaintext_create(u->ctx, u->keys.params, ddt_ckks_levels(u->keys.params), &plaintext)
                            : twin_no_memory(u->ctx);
    if (status == DDT_OK) {
        status = write_steps(u, &list, &plaintext, writer);
    }
    twin_plaintext_wipe(u->keys.params, &plaintext);
    ddt_free(list.inputs);
    ddt_free((void *)list.values);
    return status;
}

static ddt_status write_update(const updater *u, uint64_t *bytes) {
    ddt_writer *writer = NULL;
    const ddt_wire_clock clock = {.from_h = u->steps.from_h,
                                  .to_h = u->steps.to_h,
                                  .updates = u->before.clock.updates,
                                  .steps = u->steps.count,
                                  .absent = absent_inputs(u),
                                  .begins = u->life_path == NULL};
    ddt_status status = ddt_writer_open(u->ctx, u->path, DDT_WIRE_UPDATE, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_writer_heading(writer, &u->plan->digest, u->steps.count, (uint32_t)(u->steps.input_count - 1));
    if (status == DDT_OK) {
        status = write_note(u, writer);
    }
    if (status == DDT_OK) {
        status = ddt_writer_clock(writer, &clock);
    }
    if (status == DDT_OK) {
        status = write_body(u, writer);
    }
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    return ddt_writer_commit(writer, bytes);
}

static ddt_status prepare(updater *u, const char *subject) {
    ddt_status status = ddt_twin_plan_model(u->ctx, u->plan, &u->model);
    if (status == DDT_OK) {
        status = twin_recipe_events(u->ctx, &u->plan->recipe, u->model, u->data_path, &u->events);
    }
    if (status == DDT_OK) {
        status = twin_pick_subject(u->ctx, u->events, subject, &u->subject);
    }
    if (status == DDT_OK && u->life_path != NULL) {
        status = read_before(u->ctx, u->plan, u->life_path, &u->before);
    }
    if (status == DDT_OK) {
        status = ddt_update_fill(u->ctx, u->plan->update, u->model, u->events, u->subject,
                                 u->life_path == NULL ? NAN : u->before.clock.to_h, &u->steps);
    }
    return status;
}

static ddt_status encrypt_with(updater *u, const twin_key_paths *paths, const char *passphrase, const char *subject,
                               uint64_t *bytes) {
    ddt_status status = twin_plan_check_kind(u->ctx, u->plan, true);
    if (status == DDT_OK) {
        status = twin_encryptor_open(u->ctx, u->plan, paths, passphrase, &u->keys);
    }
    if (status == DDT_OK) {
        status = prepare(u, subject);
    }
    if (status == DDT_OK) {
        status = check_patient(u);
    }
    if (status == DDT_OK) {
        status = write_update(u, bytes);
    }
    ddt_update_steps_destroy(&u->steps);
    twin_encryptor_close(&u->keys);
    ddt_free(u->before.note);
    ddt_events_destroy(u->events);
    ddt_model_destroy(u->model);
    return status;
}

ddt_status ddt_twin_encrypt_update(ddt_context *ctx, const ddt_twin_news *news, const char *passphrase,
                                   const char *update_path, uint64_t *bytes) {
    updater u = {.ctx = ctx, .life_path = news->life_path, .data_path = news->data_path, .path = update_path};
    twin_key_paths paths = {0};
    ddt_status status = twin_key_paths_create(ctx, news->keys_directory, &paths);
    if (status == DDT_OK) {
        status = ddt_twin_plan_read(ctx, news->plan_path, &u.plan);
    }
    if (status == DDT_OK && news->model_path != NULL) {
        status = ddt_twin_plan_check_model(ctx, u.plan, news->model_path);
    }
    if (status == DDT_OK) {
        status = encrypt_with(&u, &paths, passphrase, news->subject, bytes);
    }
    ddt_twin_plan_destroy(u.plan);
    twin_key_paths_destroy(&paths);
    return status;
}
