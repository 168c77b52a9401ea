/* simulate: the whole chain on one machine, the engine as its own process. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files of the chain, all in the private staging folder. The engine's folder never holds a secret key. */
typedef struct chain {
    ddt_context *ctx;
    const cli_arguments *arguments;
    ddtwin_folder folder;
    char *engine, *keys;                             /* folders */
    char *plan, *twin, *result, *eval, *engine_eval; /* files */
    ddt_twin_problem *problem;
    ddtwin_engine_report engine_report;
    ddt_twin_run run;
} chain;

static ddt_status name_files(chain *c) {
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

static void free_names(chain *c) {
    char *const names[] = {c->engine, c->keys, c->plan, c->twin, c->result, c->eval, c->engine_eval};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ddt_free(names[i]);
    }
}

/* Seconds since *started_s, which becomes now. */
static double lap(double *started_s) {
    const double now_s = ddt_clock_s();
    const double elapsed_s = now_s - *started_s;
    *started_s = now_s;
    return elapsed_s;
}

static ddt_status make_problem(chain *c) {
    ddt_setting *settings = NULL;
    ddt_twin_options options;
    ddt_status status = ddtwin_options(c->ctx, c->arguments, DDTWIN_REPORT_POINTS, &settings, &options);
    if (status == DDT_OK) {
        status = ddt_twin_problem_create(c->ctx, &options, &c->problem);
    }
    if (status == DDT_OK) {
        status = ddt_twin_problem_write(c->ctx, c->problem, c->plan, &c->run.plan_bytes);
    }
    if (status == DDT_OK) {
        status = ddt_wire_file_digest(c->ctx, c->plan, DDT_WIRE_PLAN, &c->run.plan_digest);
    }
    ddt_free(settings);
    return status;
}

/* The custodian's side before the engine runs; at its end the engine's folder holds plan, evaluation keys and twin. */
static ddt_status prepare(chain *c) {
    double clock_s = ddt_clock_s();
    ddt_status status = make_problem(c);
    c->run.compile_s = lap(&clock_s);
    if (status == DDT_OK) {
        status = ddt_twin_keygen(c->ctx, c->plan, c->keys, NULL, &c->run.eval_key_bytes);
        c->run.keygen_s = lap(&clock_s);
    }
    if (status == DDT_OK) {
        status =
            ddt_twin_encrypt(c->ctx, c->plan, c->keys, NULL, NULL, c->arguments->data, c->twin, &c->run.twin_bytes);
        c->run.encrypt_s = lap(&clock_s);
    }
    if (status == DDT_OK && rename(c->eval, c->engine_eval) != 0) {
        status = ddt_fail(c->ctx, DDT_ERR_IO, "%s cannot be given to the engine: %s.", c->eval, strerror(errno));
    }
    return status;
}

static ddt_status compute(chain *c) {
    ddt_status status = ddtwin_run_engine(c->ctx, c->engine, &c->engine_report);
    c->run.engine_s = c->engine_report.seconds;
    c->run.engine_batch_s = c->engine_report.compute_seconds;
    c->run.engine_peak_rss_bytes = c->engine_report.peak_rss_bytes;
    c->run.result_bytes = c->engine_report.result_bytes;
    c->run.kernels = c->engine_report.kernels;
    c->run.threads = c->engine_report.threads;
    return status;
}

static ddt_status tell(chain *c, const ddt_twin_outcome *outcome) {
    cli_progress_clear();
    if (c->arguments->json) {
        char *json = NULL;
        ddt_status status = ddt_twin_summary(c->ctx, outcome, &json);
        if (status == DDT_OK) {
            (void)printf("%s\n", json);
        }
        ddt_free(json);
        return status;
    }
    ddtwin_print_simulation(outcome, c->folder.path);
    if (c->arguments->terminal_plot) {
        ddtwin_print_plot(outcome);
    }
    return DDT_OK;
}

static ddt_status write_all(chain *c, const ddt_twin_outcome *outcome) {
    ddt_status status = DDT_OK;
    if (c->arguments->plot != NULL) {
        status = ddt_twin_write_figure(c->ctx, outcome, c->arguments->plot);
    }
    if (status == DDT_OK) {
        status = ddtwin_write_results(c->ctx, &c->folder, outcome);
        if (status != DDT_OK && c->arguments->plot != NULL) {
            (void)unlink(c->arguments->plot);
        }
    }
    return status;
}

static ddt_status conclude(chain *c, double started_s) {
    ddt_profile profile = {0};
    ddt_assessment assessment = {0};
    ddt_twin_outcome outcome;
    double clock_s = ddt_clock_s();
    ddt_status status = ddt_twin_decrypt(c->ctx, c->keys, NULL, c->result, &profile);
    c->run.decrypt_s = lap(&clock_s);
    if (status == DDT_OK) {
        status = ddt_twin_assess(c->ctx, c->problem, &profile, &assessment);
        c->run.check_s = lap(&clock_s);
    }
    c->run.total_s = ddt_clock_s() - started_s;
    ddt_twin_problem_outcome(c->problem, &outcome);
    outcome.profile = &profile;
    outcome.assessment = &assessment;
    outcome.run = &c->run;
    if (status == DDT_OK) {
        status = write_all(c, &outcome);
    }
    if (status == DDT_OK) {
        status = tell(c, &outcome);
    }
    ddt_assessment_destroy(&assessment);
    ddt_profile_destroy(&profile);
    return status;
}

ddt_status ddtwin_simulate(ddt_context *ctx, const cli_arguments *arguments) {
    chain c = {.ctx = ctx, .arguments = arguments};
    const double started_s = ddt_clock_s();
    ddt_status status = ddtwin_folder_open(ctx, arguments->out, &c.folder);
    if (status != DDT_OK) {
        return status;
    }
    status = name_files(&c);
    if (status == DDT_OK) {
        status = prepare(&c);
    }
    if (status == DDT_OK) {
        status = compute(&c);
    }
    if (status == DDT_OK) {
        status = conclude(&c, started_s);
    }
    ddt_twin_problem_destroy(c.problem);
    free_names(&c);
    ddtwin_folder_close(&c.folder);
    return status;
}
