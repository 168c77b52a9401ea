/* fit: patients' own parameters, estimated under encryption. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin.h"

static void print_estimates(const ddt_profile *fit) {
    const size_t etas = fit->output_count / 2;
    enum { SUBJECTS_SHOWN = 20 };
    (void)printf("%-12s", "subject");
    for (size_t i = 0; i < etas; i++) {
        (void)printf(" %20s", fit->output_names[i]);
    }
    (void)printf("\n");
    for (size_t s = 0; s < fit->subject_count && s < SUBJECTS_SHOWN; s++) {
        const bool is_left_out = ddt_left_out_reason(&fit->left_out, s) != NULL;
        (void)printf("%-12s%s", fit->subject_ids[s], is_left_out ? " left out" : "");
        for (size_t i = 0; i < etas && !is_left_out; i++) {
            (void)printf("    %7.3f +- %6.3f", fit->values[s][i], fit->values[s][etas + i]);
        }
        (void)printf("\n");
    }
    if (fit->subject_count > SUBJECTS_SHOWN) {
        (void)printf("... and %zu more\n", fit->subject_count - SUBJECTS_SHOWN);
    }
}

static void print_text(const ddt_twin_outcome *outcome, const char *folder) {
    const ddt_assessment *assessment = outcome->assessment;
    print_estimates(outcome->profile);
    (void)printf("difference   of etas from the optimum in the clear: %.2g at most (the bar is %.2g)\n",
                 assessment->worst.total, assessment->error_bar);
    (void)printf("             functions %.2g, method %.2g, encryption %.2g%s\n", assessment->worst.surrogate,
                 assessment->worst.discretisation, assessment->worst.ckks, assessment->measured ? "" : " (predicted)");
    (void)printf("circuit      depth %u, ring 2^%u, %u bits of security\n", outcome->plan.depth,
                 outcome->plan.literal.log_n, outcome->plan.security_bits);
    if (outcome->run->engine_s > 0) {
        (void)printf("engine       %.2f s\n", outcome->run->engine_s);
    }
    (void)printf(
        "written      %s/etas.csv, individuals.csv, uncertainty.csv, residuals.csv, summary.json, report.html\n",
        folder);
}

ddt_status ddtwin_write_etas(ddt_context *ctx, const ddtwin_folder *folder, const ddt_twin_outcome *outcome) {
    char *etas = ddtwin_join(ctx, folder->files, "etas.csv");
    char *deviations = ddtwin_join(ctx, folder->files, "uncertainty.csv");
    char *summary = ddtwin_join(ctx, folder->files, "summary.json");
    ddt_status status = etas == NULL || deviations == NULL || summary == NULL ? DDT_ERR_MEMORY : DDT_OK;
    if (status == DDT_OK) {
        status = ddt_twin_write_etas(ctx, outcome->profile, false, etas);
    }
    if (status == DDT_OK) {
        status = ddt_twin_write_etas(ctx, outcome->profile, true, deviations);
    }
    if (status == DDT_OK) {
        status = ddt_twin_write_summary(ctx, outcome, summary);
    }
    ddt_free(etas);
    ddt_free(deviations);
    ddt_free(summary);
    return status;
}

static ddt_status write_files(const ddtwin_chain *c, const cli_arguments *arguments, const ddt_twin_outcome *outcome) {
    char *individuals = ddtwin_join(c->ctx, c->folder.files, "individuals.csv");
    char *residuals = ddtwin_join(c->ctx, c->folder.files, "residuals.csv");
    char *report = ddtwin_join(c->ctx, c->folder.files, "report.html");
    ddt_status status = individuals == NULL || residuals == NULL || report == NULL ? DDT_ERR_MEMORY : DDT_OK;
    if (status == DDT_OK) {
        status = ddtwin_write_etas(c->ctx, &c->folder, outcome);
    }
    if (status == DDT_OK) {
        status = ddt_twin_write_individuals(c->ctx, c->problem, outcome->profile, individuals);
    }
    if (status == DDT_OK) {
        status = ddt_twin_write_residuals(c->ctx, c->problem, outcome->profile, residuals);
    }
    if (status == DDT_OK) {
        status = ddt_twin_write_fit_report(c->ctx, c->problem, outcome, arguments->data, report);
    }
    ddt_free(individuals);
    ddt_free(residuals);
    ddt_free(report);
    return status == DDT_OK ? ddtwin_folder_commit(c->ctx, &c->folder) : status;
}

void ddtwin_tell_left_out(const ddt_left_out *left_out) {
    cli_progress_clear();
    for (size_t k = 0; k < left_out->count; k++) {
        (void)fprintf(stderr, "ddtwin: The subject %s is left out. %s\n", left_out->subjects[k].id,
                      left_out->subjects[k].reason);
    }
}

static ddt_status tell(const ddtwin_chain *c, const cli_arguments *arguments, const ddt_twin_outcome *outcome) {
    ddtwin_tell_left_out(&outcome->profile->left_out);
    if (!arguments->json) {
        print_text(outcome, c->folder.path);
        return DDT_OK;
    }
    return ddtwin_print_summary(c->ctx, outcome);
}

/* Compares with the optimum in the clear, writes and tells. */
static ddt_status conclude(ddtwin_chain *c, const cli_arguments *arguments, const ddt_profile *fit) {
    ddt_assessment assessment = {0};
    ddt_twin_outcome outcome;
    const double clock_s = ddt_clock_s();
    ddt_status status =
        ddt_twin_assess(c->ctx, c->problem, arguments->clear ? NULL : fit, arguments->clear ? fit : NULL, &assessment);
    c->run.check_s = ddt_clock_s() - clock_s;
    c->run.total_s = ddt_clock_s() - c->started_s;
    ddt_twin_problem_outcome(c->problem, &outcome);
    outcome.profile = fit;
    outcome.assessment = &assessment;
    outcome.run = &c->run;
    if (status == DDT_OK) {
        status = write_files(c, arguments, &outcome);
    }
    if (status == DDT_OK) {
        status = tell(c, arguments, &outcome);
    }
    ddt_assessment_destroy(&assessment);
    return status;
}

ddt_status ddtwin_fit(ddt_context *ctx, const cli_arguments *arguments) {
    ddt_setting *settings = NULL;
    ddt_twin_options options;
    ddtwin_chain c;
    ddt_profile fit = {0};
    ddt_status status = ddtwin_options(ctx, arguments, 0, &settings, &options);
    if (status == DDT_OK) {
        options.purpose = DDT_TWIN_FIT;
        options.prior_weight = arguments->prior;
        status = ddtwin_chain_open(ctx, &options, arguments->out, &c);
    }
    if (status == DDT_OK) {
        status = arguments->clear ? ddtwin_chain_run_clear(&c, &fit) : ddtwin_chain_run(&c, arguments->data, &fit);
        if (status == DDT_OK) {
            status = conclude(&c, arguments, &fit);
        }
        ddt_profile_destroy(&fit);
        ddtwin_chain_close(&c);
    }
    ddt_free(settings);
    return status;
}
