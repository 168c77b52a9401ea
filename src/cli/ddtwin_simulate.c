/* simulate: the whole chain, a report at its end. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin.h"

#include <unistd.h>

static ddt_status tell(const ddtwin_chain *c, const cli_arguments *arguments, const ddt_twin_outcome *outcome) {
    cli_progress_clear();
    if (arguments->json) {
        return ddtwin_print_summary(c->ctx, outcome);
    }
    ddtwin_print_simulation(outcome, c->folder.path);
    if (arguments->terminal_plot) {
        ddtwin_print_plot(outcome);
    }
    return DDT_OK;
}

static ddt_status write_all(const ddtwin_chain *c, const cli_arguments *arguments, const ddt_twin_outcome *outcome) {
    ddt_status status = DDT_OK;
    if (arguments->plot != NULL) {
        status = ddt_twin_write_figure(c->ctx, outcome, arguments->plot);
    }
    if (status == DDT_OK) {
        status = ddtwin_write_results(c->ctx, &c->folder, outcome);
        if (status != DDT_OK && arguments->plot != NULL) {
            (void)unlink(arguments->plot);
        }
    }
    return status;
}

/* Compares with CVODE, writes and tells. */
static ddt_status conclude(ddtwin_chain *c, const cli_arguments *arguments, const ddt_profile *profile) {
    ddt_assessment assessment = {0};
    ddt_twin_outcome outcome;
    const double clock_s = ddt_clock_s();
    ddt_status status = ddt_twin_assess(c->ctx, c->problem, profile, NULL, &assessment);
    c->run.check_s = ddt_clock_s() - clock_s;
    c->run.total_s = ddt_clock_s() - c->started_s;
    ddt_twin_problem_outcome(c->problem, &outcome);
    outcome.profile = profile;
    outcome.assessment = &assessment;
    outcome.run = &c->run;
    if (status == DDT_OK) {
        status = write_all(c, arguments, &outcome);
    }
    if (status == DDT_OK) {
        status = tell(c, arguments, &outcome);
    }
    ddt_assessment_destroy(&assessment);
    return status;
}

ddt_status ddtwin_simulate(ddt_context *ctx, const cli_arguments *arguments) {
    ddt_setting *settings = NULL;
    ddt_twin_options options;
    ddtwin_chain c;
    ddt_profile profile = {0};
    ddt_status status = ddtwin_options(ctx, arguments, DDTWIN_REPORT_POINTS, &settings, &options);
    if (status == DDT_OK) {
        status = ddtwin_chain_open(ctx, &options, arguments->out, &c);
    }
    if (status == DDT_OK) {
        status = ddtwin_chain_run(&c, arguments->data, &profile);
        if (status == DDT_OK) {
            status = conclude(&c, arguments, &profile);
        }
        ddt_profile_destroy(&profile);
        ddtwin_chain_close(&c);
    }
    ddt_free(settings);
    return status;
}
