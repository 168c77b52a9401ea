/* The custodian makes keys for a plan. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include "ddt/custody/release.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Makes the directory (0700), or takes an existing one that holds no keys yet. */
static ddt_status keygen_directory(ddt_context *ctx, const char *directory, const twin_key_paths *paths, bool *made) {
    *made = mkdir(directory, S_IRWXU) == 0;
    if (*made) {
        return DDT_OK;
    }
    if (errno != EEXIST) {
        return ddt_fail(ctx, DDT_ERR_IO, "The key directory %s cannot be made: %s.", directory, strerror(errno));
    }
    const char *const files[] = {paths->secret, paths->public, paths->eval, paths->plan, paths->ledger};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (twin_path_exists(files[i])) {
            return ddt_fail(ctx, DDT_ERR_IO, "%s exists already; keys are never overwritten.", files[i]);
        }
    }
    return DDT_OK;
}

/* What bootstrapping needs besides switching keys, where the plan has any. */
static ddt_status write_encapsulation(ddt_context *ctx, const ddt_ckks_params *params, const ddt_secret_key *secret,
                                      ddt_writer *writer) {
    if (ddt_ckks_params_literal(params)->boot_levels == 0) {
        return DDT_OK;
    }
    ddt_encapsulation encapsulation;
    ddt_status status = ddt_encapsulation_generate(ctx, secret, &encapsulation);
    if (status == DDT_OK) {
        status = ddt_encapsulation_write(writer, params, &encapsulation);
        ddt_encapsulation_destroy(&encapsulation);
    }
    return status;
}

/* A key on its way to the file, by a thread of its own while the next one is made. */
typedef struct outgoing {
    ddt_writer *writer;
    const ddt_ckks_params *params;
    ddt_switch_key key;
    pthread_t thread;
    ddt_status status; /* of what was written */
    bool is_running;
} outgoing;

static void *write_key(void *user) {
    outgoing *o = user;
    o->status = ddt_switch_key_write(o->writer, o->params, &o->key);
    ddt_switch_key_destroy(&o->key);
    return NULL;
}

static ddt_status wait_for_key(outgoing *o) {
    if (o->is_running) {
        (void)pthread_join(o->thread, NULL);
        o->is_running = false;
    }
    return o->status;
}

/* Takes the key, when the one before is written. Where no thread is to be had it is written at once. */
static ddt_status send_key(outgoing *o, ddt_switch_key *key) {
    ddt_status status = wait_for_key(o);
    if (status != DDT_OK) {
        return status;
    }
    o->key = *key;
    *key = (ddt_switch_key){0};
    o->is_running = pthread_create(&o->thread, NULL, write_key, o) == 0;
    if (!o->is_running) {
        (void)write_key(o);
    }
    return DDT_OK;
}

/* Two keys in memory at a time: one is made, the one before it written. */
static ddt_status write_switch_keys(ddt_context *ctx, const ddt_plan *plan, const ddt_ckks_params *params,
                                    const ddt_secret_key *secret, ddt_writer *writer) {
    const size_t count = ddt_plan_key_count(plan);
    outgoing o = {.writer = writer, .params = params};
    ddt_status status = DDT_OK;
    for (size_t i = 0; status == DDT_OK && i < count; i++) {
        ddt_plan_key wanted = ddt_plan_get_key(plan, i);
        ddt_switch_key key = {0};
        status = ddt_progress(ctx, "keys", i, count);
        if (status == DDT_OK) {
            status = ddt_switch_key_generate(ctx, secret, wanted.galois, wanted.top_level, &key);
        }
        if (status == DDT_OK) {
            status = send_key(&o, &key);
        }
        ddt_switch_key_destroy(&key);
    }
    const ddt_status last = wait_for_key(&o);
    return status == DDT_OK ? last : status;
}

static ddt_status write_eval_keys(ddt_context *ctx, const ddt_twin_plan *plan, const ddt_ckks_params *params,
                                  const ddt_secret_key *secret, const char *path, uint64_t *bytes) {
    ddt_writer *writer = NULL;
    ddt_status status = ddt_writer_open(ctx, path, DDT_WIRE_EVAL_KEYS, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    const size_t count = ddt_plan_key_count(plan->plan);
    status = ddt_writer_heading(writer, &plan->digest, 0, (uint32_t)count);
    if (status == DDT_OK) {
        status = write_switch_keys(ctx, plan->plan, params, secret, writer);
    }
    if (status == DDT_OK) {
        status = write_encapsulation(ctx, params, secret, writer);
    }
    if (status == DDT_OK) {
        status = ddt_progress(ctx, "keys", count, count);
    }
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    return ddt_writer_commit(writer, bytes);
}

static ddt_status write_public_key(ddt_context *ctx, const ddt_ckks_params *params, const ddt_secret_key *secret,
                                   const ddt_digest *plan, const char *path) {
    ddt_public_key key = {0};
    ddt_status status = ddt_public_key_generate(ctx, secret, &key);
    if (status == DDT_OK) {
        status = ddt_public_key_save(ctx, path, params, &key, plan);
    }
    ddt_public_key_destroy(&key);
    return status;
}

static ddt_status copy_bytes(ddt_context *ctx, FILE *from, const char *from_path, ddt_file *to) {
    enum { CHUNK = 1 << 16 };
    uint8_t *chunk = ddt_alloc(CHUNK, 1);
    if (chunk == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_status status = DDT_OK;
    size_t length = 0;
    while (status == DDT_OK && (length = fread(chunk, 1, CHUNK, from)) > 0) {
        status = ddt_file_append(to, chunk, length);
    }
    if (status == DDT_OK && ferror(from)) {
        status = ddt_fail(ctx, DDT_ERR_IO, "%s cannot be read: %s.", from_path, strerror(errno));
    }
    ddt_free(chunk);
    return status;
}

static ddt_status copy_file(ddt_context *ctx, const char *from_path, const char *to_path) {
    FILE *from = fopen(from_path, "rb");
    if (from == NULL) {
        return ddt_fail(ctx, DDT_ERR_IO, "%s cannot be opened: %s.", from_path, strerror(errno));
    }
    ddt_file *to = NULL;
    ddt_status status = ddt_file_create(ctx, to_path, false, &to);
    if (status == DDT_OK) {
        status = copy_bytes(ctx, from, from_path, to);
        if (status == DDT_OK) {
            status = ddt_file_commit(to);
        } else {
            ddt_file_abort(to);
        }
    }
    (void)fclose(from);
    return status;
}

/* decrypt has only the keys and the result: the plan travels with the keys. */
static ddt_status copy_plan(ddt_context *ctx, const ddt_twin_plan *plan, const char *path) {
    ddt_digest digest;
    ddt_status status = copy_file(ctx, plan->path, path);
    if (status == DDT_OK) {
        status = ddt_wire_file_digest(ctx, path, DDT_WIRE_PLAN, &digest);
    }
    if (status == DDT_OK && !ddt_digest_equal(&digest, &plan->digest)) {
        status = ddt_fail(ctx, DDT_ERR_IO, "%s changed while keys were made for it.", plan->path);
    }
    return status;
}

/* The secret key comes last: a directory that holds one is complete. */
static ddt_status keygen_files(ddt_context *ctx, const ddt_twin_plan *plan, const ddt_ckks_params *params,
                               const twin_key_paths *paths, const char *passphrase, uint64_t *eval_bytes) {
    ddt_secret_key *secret = NULL;
    ddt_status status = ddt_secret_key_generate(ctx, params, &secret);
    if (status == DDT_OK) {
        status = copy_plan(ctx, plan, paths->plan);
    }
    if (status == DDT_OK) {
        status = write_eval_keys(ctx, plan, params, secret, paths->eval, eval_bytes);
    }
    if (status == DDT_OK) {
        status = write_public_key(ctx, params, secret, &plan->digest, paths->public);
    }
    if (status == DDT_OK) {
        status = ddt_ledger_create(ctx, paths->ledger, secret, &plan->digest, DDT_TWIN_RELEASES);
    }
    if (status == DDT_OK) {
        status = ddt_secret_key_save(ctx, paths->secret, secret, &plan->digest, passphrase);
    }
    ddt_secret_key_destroy(secret);
    return status;
}

static void keygen_undo(const char *directory, const twin_key_paths *paths, bool made) {
    (void)unlink(paths->secret);
    (void)unlink(paths->public);
    (void)unlink(paths->eval);
    (void)unlink(paths->plan);
    (void)unlink(paths->ledger);
    if (made) {
        (void)rmdir(directory);
    }
}

ddt_status ddt_twin_keygen(ddt_context *ctx, const char *plan_path, const char *directory, const char *passphrase,
                           uint64_t *eval_bytes) {
    ddt_twin_plan *plan = NULL;
    const ddt_ckks_params *params = NULL;
    twin_key_paths paths = {0};
    ddt_status status = ddt_twin_plan_read(ctx, plan_path, &plan);
    if (status == DDT_OK) {
        status = ddt_plan_params(ctx, plan->plan, &params);
    }
    if (status == DDT_OK) {
        status = twin_key_paths_create(ctx, directory, &paths);
    }
    if (status == DDT_OK) {
        bool made = false;
        status = keygen_directory(ctx, directory, &paths, &made);
        if (status == DDT_OK) {
            status = keygen_files(ctx, plan, params, &paths, passphrase, eval_bytes);
            if (status != DDT_OK) {
                keygen_undo(directory, &paths, made);
            }
        }
    }
    twin_key_paths_destroy(&paths);
    ddt_twin_plan_destroy(plan);
    return status;
}
