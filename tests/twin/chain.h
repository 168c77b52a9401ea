/* A small problem and its files, for tests of the whole chain inside one process. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_TEST_CHAIN_H
#define DDT_TEST_CHAIN_H

#include "twin_internal.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char chain_model[] =
    "decay <- function() {\n"
    "  units <- list(time = \"h\", dosing = \"mg\", concentration = \"mg/L\")\n"
    "  ini({\n    lke <- -1\n    lv <- 2\n    eta.ke ~ 0.04\n    sd <- 0.1\n  })\n"
    "  model({\n    ke <- exp(lke + eta.ke)\n    v <- exp(lv)\n"
    "    d/dt(central) <- -ke * central\n    cp <- central / v\n    cp ~ add(sd)\n  })\n}\n";
static const char chain_table[] = "ID,TIME,AMT,EVID,DV,eta.ke\n"
                                  "a,0,100,1,.,0.1\na,1,.,0,8,0.1\na,3,.,0,4,0.1\n"
                                  "b,0,50,1,.,-0.2\nb,2.5,.,0,3,-0.2\n";

typedef struct chain {
    ddt_context *ctx;
    char folder[32];
    char *model, *table, *plan, *keys, *eval, *twin, *result;
} chain;

static inline char *chain_path(const chain *c, const char *name) {
    char *path = twin_path_join(c->folder, name);
    assert_non_null(path);
    return path;
}

/* A folder of its own and the names of what comes into it. */
static inline void chain_begin(chain *c) {
    (void)strcpy(c->folder, "/tmp/ddt-chain-XXXXXX");
    assert_non_null(mkdtemp(c->folder));
    assert_int_equal(ddt_context_create(&c->ctx), DDT_OK);
    c->model = chain_path(c, "decay.R");
    c->table = chain_path(c, "table.csv");
    c->plan = chain_path(c, "plan.ddt");
    c->keys = chain_path(c, "keys");
    c->eval = chain_path(c, "keys/eval.ddt");
    c->twin = chain_path(c, "twin.ddt");
    c->result = chain_path(c, "result.ddt");
}

/* Model, table and plan. */
static inline int chain_setup(void **state) {
    chain *c = calloc(1, sizeof *c);
    *state = c;
    chain_begin(c);
    assert_int_equal(ddt_write_text(c->ctx, c->model, chain_model, sizeof chain_model - 1), DDT_OK);
    assert_int_equal(ddt_write_text(c->ctx, c->table, chain_table, sizeof chain_table - 1), DDT_OK);
    const ddt_twin_options options = {.model_path = c->model, .data_path = c->table, .grid_points = 9};
    assert_int_equal(ddt_twin_compile(c->ctx, &options, c->plan), DDT_OK);
    return 0;
}

static inline size_t chain_entries(const char *folder) {
    size_t count = 0;
    DIR *entries = opendir(folder);
    for (struct dirent *entry = entries == NULL ? NULL : readdir(entries); entry != NULL; entry = readdir(entries)) {
        count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
    }
    if (entries != NULL) {
        (void)closedir(entries);
    }
    return count;
}

static inline void chain_remove_keys(const chain *c) {
    static const char *const files[] = {"keys/secret.ddt", "keys/public.ddt", "keys/eval.ddt", "keys/plan.ddt",
                                        "keys/ledger.txt"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *path = chain_path(c, files[i]);
        (void)unlink(path);
        ddt_free(path);
    }
    (void)rmdir(c->keys);
}

static inline int chain_teardown(void **state) {
    chain *c = *state;
    chain_remove_keys(c);
    char *const paths[] = {c->model, c->table, c->plan, c->twin, c->result, c->keys, c->eval};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        (void)unlink(paths[i]);
        ddt_free(paths[i]);
    }
    assert_int_equal(rmdir(c->folder), 0); /* nothing else was left */
    ddt_context_destroy(c->ctx);
    free(c);
    return 0;
}

/* ------------------------------------------------------------------ the engine's step */

static inline ddt_status chain_read_keys(chain *c, const ddt_plan *plan, const ddt_ckks_params *params,
                                         ddt_eval_keys *keys) {
    ddt_reader *reader = NULL;
    ddt_digest digest;
    uint64_t batches = 0;
    uint32_t items = 0;
    ddt_status status = ddt_reader_open(c->ctx, c->eval, DDT_WIRE_EVAL_KEYS, &reader);
    if (status == DDT_OK) {
        status = ddt_reader_heading(reader, &digest, &batches, &items);
    }
    for (size_t i = 0; status == DDT_OK && i < ddt_plan_key_count(plan); i++) {
        ddt_switch_key key = {0};
        status = ddt_switch_key_read(c->ctx, reader, params, &key);
        if (status == DDT_OK) {
            status = ddt_eval_keys_add(c->ctx, keys, &key);
        }
        ddt_switch_key_destroy(&key);
    }
    if (status == DDT_OK && ddt_ckks_params_literal(params)->boot_levels > 0) {
        ddt_encapsulation encapsulation = {0};
        status = ddt_encapsulation_read(c->ctx, reader, params, &encapsulation);
        if (status == DDT_OK) {
            status = ddt_eval_keys_set_encapsulation(c->ctx, keys, &encapsulation);
        }
        ddt_encapsulation_destroy(&encapsulation);
    }
    ddt_reader_close(reader);
    return status;
}

static inline ddt_status chain_read_inputs(chain *c, ddt_plan *plan, const ddt_ckks_params *params,
                                           const ddt_eval_keys *keys, ddt_reader *reader, ddt_ciphertext *in) {
    const size_t count = ddt_plan_input_count(plan);
    const size_t pack = ddt_plan_pack_count(plan);
    size_t *order = calloc(count + 1, sizeof *order);
    ddt_status status = DDT_OK;
    ddt_plan_upload_order(plan, 0, order);
    for (size_t first = 0; status == DDT_OK && first < count; first += pack) {
        const size_t size = count - first < pack ? count - first : pack;
        ddt_ciphertext piece[DDT_CKKS_PACK_MAX] = {0};
        ddt_ciphertext upload = {0};
        status = ddt_ciphertext_read(c->ctx, reader, params, &upload);
        if (status == DDT_OK) {
            status = ddt_plan_open_upload(c->ctx, plan, keys, &upload, order + first, size, piece);
        }
        for (size_t k = 0; status == DDT_OK && k < size; k++) {
            in[order[first + k]] = piece[k];
        }
        ddt_ciphertext_destroy(&upload);
    }
    free(order);
    return status;
}

static inline ddt_status chain_run_batches(chain *c, ddt_plan *plan, const ddt_ckks_params *params,
                                           const ddt_eval_keys *keys, ddt_reader *reader, ddt_writer *writer) {
    const size_t inputs = ddt_plan_input_count(plan);
    const size_t outputs = ddt_plan_output_count(plan);
    ddt_ciphertext *in = calloc(inputs, sizeof *in);
    ddt_ciphertext *out = calloc(outputs, sizeof *out);
    ddt_plan_info info;
    ddt_plan_get_info(plan, &info);
    ddt_status status = DDT_OK;
    for (size_t batch = 0; status == DDT_OK && batch < info.batches; batch++) {
        status = chain_read_inputs(c, plan, params, keys, reader, in);
        if (status == DDT_OK) {
            status = ddt_plan_run(c->ctx, plan, keys, batch, in, out);
        }
        for (size_t o = 0; status == DDT_OK && o < outputs; o++) {
            status = ddt_ciphertext_write(writer, params, &out[o]);
        }
        for (size_t i = 0; i < inputs; i++) {
            ddt_ciphertext_destroy(&in[i]);
        }
        for (size_t o = 0; o < outputs; o++) {
            ddt_ciphertext_destroy(&out[o]);
        }
    }
    free(in);
    free(out);
    return status;
}

/* What ddtwin-engine does, in a few lines. */
static inline void chain_engine(chain *c) {
    ddt_twin_plan *plan = NULL;
    const ddt_ckks_params *params = NULL;
    ddt_eval_keys *keys = NULL;
    ddt_reader *reader = NULL;
    ddt_writer *writer = NULL;
    ddt_digest digest;
    uint64_t batches = 0;
    uint32_t items = 0;
    assert_int_equal(ddt_twin_plan_read(c->ctx, c->plan, &plan), DDT_OK);
    assert_int_equal(ddt_plan_params(c->ctx, plan->plan, &params), DDT_OK);
    assert_int_equal(ddt_eval_keys_create(c->ctx, params, &keys), DDT_OK);
    assert_int_equal(chain_read_keys(c, plan->plan, params, keys), DDT_OK);
    assert_int_equal(ddt_reader_open(c->ctx, c->twin, DDT_WIRE_TWIN, &reader), DDT_OK);
    assert_int_equal(ddt_reader_heading(reader, &digest, &batches, &items), DDT_OK);
    assert_int_equal(ddt_writer_open(c->ctx, c->result, DDT_WIRE_RESULT, false, &writer), DDT_OK);
    assert_int_equal(ddt_writer_heading(writer, &plan->digest, batches, (uint32_t)ddt_plan_output_count(plan->plan)),
                     DDT_OK);
    uint8_t *note = NULL;
    size_t note_length = 0;
    assert_int_equal(ddt_reader_note(c->ctx, reader, &note, &note_length), DDT_OK);
    assert_int_equal(ddt_writer_note(writer, note, note_length), DDT_OK);
    ddt_free(note);
    assert_int_equal(chain_run_batches(c, plan->plan, params, keys, reader, writer), DDT_OK);
    assert_int_equal(ddt_writer_commit(writer, NULL), DDT_OK);
    ddt_reader_close(reader);
    ddt_eval_keys_destroy(keys);
    ddt_twin_plan_destroy(plan);
}

/* dose / v exp(-ke t), by hand. */
static inline double chain_expected(size_t subject, double time_h) {
    const double dose_mg = subject == 0 ? 100 : 50;
    const double eta = subject == 0 ? 0.1 : -0.2;
    return dose_mg / exp(2) * exp(-exp(-1 + eta) * time_h);
}

#endif
