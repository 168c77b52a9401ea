/*
 * The whole chain on one machine, the engine as its own process: what simulate, fit and recommend share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ddtwin.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static ddt_status name_files(ddtwin_chain *c) {
    c->engine = ddtwin_join(c->ctx, c->folder.staging, "engine");
    c->keys = ddtwin_join(c->ctx, c->folder.staging, "keys");
    if (c->engine == NULL || c->keys == NULL) {
        return DDT_ERR_MEMORY;
    }
    c->plan = ddtwin_join(c->ctx, c->engine, "plan.ddt");
    c->twin = ddtwin_join(c->ctx, c->engine, "twin.ddt");
    c->result = ddtwin_join(c->ctx, c->engine, "result.ddt");
    c->engine_eval = ddtwin_join(c->ctx, c->engine, "eval.ddt");
    c->eval = ddtwin_join(c->ctx, c->keys, "eval.ddt");
    if (c->plan == NULL || c->twin == NULL || c->result == NULL || c->engine_eval == NULL || c->eval == NULL) {
        return DDT_ERR_MEMORY;
    }
    if (mkdir(c->engine, S_IRWXU) != 0) {
        return ddt_fail(c->ctx, DDT_ERR_IO, "%s cannot be made: %s.", c->engine, strerror(errno));
    }
    return DDT_OK;
}

/* Seconds since *started_s, which becomes now. */
static double lap(double *started_s) {
    const double now_s = ddt_clock_s();
    const double elapsed_s = now_s - *started_s;
    *started_s = now_s;
    return elapsed_s;
}

static ddt_status make_problem(ddtwin_chain *c, const ddt_twin_options *options) {
    double clock_s = ddt_clock_s();
    ddt_status status = ddt_twin_problem_create(c->ctx, options, &c->problem);
    if (status == DDT_OK) {
        status = ddt_twin_problem_write(c->ctx, c->problem, c->plan, &c->run.plan_bytes);
    }
    if (status == DDT_OK) {
        status = ddt_wire_file_digest(c->ctx, c->plan, DDT_WIRE_PLAN, &c->run.plan_digest);
    }
    c->run.compile_s = lap(&clock_s);
    return status;
}

ddt_status ddtwin_chain_open(ddt_context *ctx, const ddt_twin_options *options, const char *folder, ddtwin_chain *out) {
    *out = (ddtwin_chain){.ctx = ctx, .started_s = ddt_clock_s()};
    ddt_status status = ddtwin_folder_open(ctx, folder, &out->folder);
    if (status != DDT_OK) {
        return status;
    }
    status = name_files(out);
    ddt_context_set_scratch_files(ctx, true); /* plan, keys and twin go with the folder */
    if (status == DDT_OK) {
        status = make_problem(out, options);
    }
    ddt_context_set_scratch_files(ctx, false);
    if (status != DDT_OK) {
        ddtwin_chain_close(out);
    }
    return status;
}

/* The custodian's side before the engine runs; at its end the engine's folder holds plan, evaluation keys and twin. */
static ddt_status prepare(ddtwin_chain *c, const char *data) {
    double clock_s = ddt_clock_s();
    ddt_context_set_scratch_files(c->ctx, true);
    ddt_status status = ddt_twin_keygen(c->ctx, c->plan, c->keys, NULL, &c->run.eval_key_bytes);
    c->run.keygen_s = lap(&clock_s);
    if (status == DDT_OK) {
        ddt_left_out left_out; /* decryption names them again */
        status =
            ddt_twin_encrypt_served(c->ctx, c->plan, c->keys, NULL, NULL, data, c->twin, &c->run.twin_bytes, &left_out);
        ddt_left_out_destroy(&left_out);
        c->run.encrypt_s = lap(&clock_s);
    }
    ddt_context_set_scratch_files(c->ctx, false);
    if (status == DDT_OK && rename(c->eval, c->engine_eval) != 0) {
        status = ddt_fail(c->ctx, DDT_ERR_IO, "%s cannot be given to the engine: %s.", c->eval, strerror(errno));
    }
    return status;
}

static ddt_status compute(ddtwin_chain *c) {
    ddt_memory_give_back();
    ddt_status status = ddtwin_run_engine(c->ctx, c->engine, &c->engine_report);
    c->run.engine_s = c->engine_report.seconds;
    c->run.engine_batch_s = c->engine_report.compute_seconds;
    c->run.engine_peak_rss_bytes = c->engine_report.peak_rss_bytes;
    c->run.result_bytes = c->engine_report.result_bytes;
    c->run.kernels = c->engine_report.kernels;
    c->run.threads = c->engine_report.threads;
    return status;
}

ddt_status ddtwin_chain_run(ddtwin_chain *c, const char *data, ddt_profile *out) {
    *out = (ddt_profile){0};
    ddt_status status = prepare(c, data);
    if (status == DDT_OK) {
        status = compute(c);
    }
    double clock_s = ddt_clock_s();
    if (status == DDT_OK) {
        status = ddt_twin_decrypt(c->ctx, c->keys, NULL, c->result, out);
    }
    c->run.decrypt_s = lap(&clock_s);
    c->run.total_s = clock_s - c->started_s;
    return status;
}

ddt_status ddtwin_chain_run_clear(ddtwin_chain *c, ddt_profile *out) {
    ddt_status status = ddt_twin_run_clear(c->ctx, c->problem, false, out);
    c->run.total_s = ddt_clock_s() - c->started_s;
    return status;
}

void ddtwin_chain_close(ddtwin_chain *c) {
    char *const names[] = {c->engine, c->keys, c->plan, c->twin, c->result, c->eval, c->engine_eval};
    ddt_twin_problem_destroy(c->problem);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ddt_free(names[i]);
    }
    ddtwin_folder_close(&c->folder);
}
