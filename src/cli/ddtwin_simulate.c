/* simulate: the whole chain, a report at its end. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
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

/* The patients' own profiles where there are any, their bands, and a page of these in place of everyone's curves. */
ddt_status ddtwin_write_bands(ddt_context *ctx, const ddtwin_folder *folder, const ddt_twin_outcome *outcome) {
    char *profile = ddtwin_join(ctx, folder->files, "profile.csv");
    char *summary = ddtwin_join(ctx, folder->files, "summary.json");
    char *bands = ddtwin_join(ctx, folder->files, "bands.csv");
    char *report = ddtwin_join(ctx, folder->files, "report.html");
    ddt_status status = profile == NULL || summary == NULL || bands == NULL || report == NULL ? DDT_ERR_MEMORY : DDT_OK;
    if (status == DDT_OK && outcome->purpose != DDT_TWIN_BANDS) { /* of which the bands are all that there is */
        status = ddt_profile_write_csv(ctx, outcome->profile, profile);
    }
    if (status == DDT_OK) {
        status = ddt_twin_write_summary(ctx, outcome, summary);
    }
    if (status == DDT_OK) {
        status = ddt_twin_write_population(ctx, outcome, bands, report);
    }
    ddt_free(profile);
    ddt_free(summary);
    ddt_free(bands);
    ddt_free(report);
    return status == DDT_OK ? ddtwin_folder_commit(ctx, folder) : status;
}

static ddt_status write_all(const ddtwin_chain *c, const cli_arguments *arguments, const ddt_twin_outcome *outcome) {
    ddt_status status = DDT_OK;
    if (arguments->plot != NULL) {
        status = ddt_twin_write_figure(c->ctx, outcome, arguments->plot);
    }
    if (status == DDT_OK) {
        status = arguments->population > 0 ? ddtwin_write_bands(c->ctx, &c->folder, outcome)
                                           : ddtwin_write_results(c->ctx, &c->folder, outcome);
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
    ddt_status status = ddt_twin_assess(c->ctx, c->problem, arguments->clear ? NULL : profile,
                                        arguments->clear ? profile : NULL, &assessment);
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

static ddt_status simulate(ddt_context *ctx, const cli_arguments *arguments, const ddt_twin_options *options) {
    ddtwin_chain c;
    ddt_profile profile = {0};
    ddt_status status = ddtwin_chain_open(ctx, options, arguments->out, &c);
    if (status == DDT_OK) {
        status = arguments->clear ? ddtwin_chain_run_clear(&c, &profile)
                                  : ddtwin_chain_run(&c, options->data_path, &profile);
        if (status == DDT_OK) {
            status = conclude(&c, arguments, &profile);
        }
        ddt_profile_destroy(&profile);
        ddtwin_chain_close(&c);
    }
    return status;
}

/* ------------------------------------------------------------------ populations */

/* A private file for a table, its name from a template of mkstemp; the caller removes it and owns *path. */
static ddt_status private_file(ddt_context *ctx, const char *name, char **path) {
    const char *folder = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    *path = ddtwin_join(ctx, folder, name);
    if (*path == NULL) {
        return DDT_ERR_MEMORY;
    }
    int descriptor = mkstemp(*path);
    if (descriptor < 0) {
        ddt_status status = ddt_fail(ctx, DDT_ERR_IO, "Nothing can be written to %s: %s.", folder, strerror(errno));
        ddt_free(*path);
        *path = NULL;
        return status;
    }
    (void)close(descriptor);
    return DDT_OK;
}

static void remove_file(char *path) {
    if (path != NULL) {
        (void)unlink(path);
    }
    ddt_free(path);
}

/* Virtual patients in the place of the table's: their table is a private file that goes when we are done. */
static ddt_status simulate_patients(ddt_context *ctx, const cli_arguments *arguments, ddt_twin_options *options) {
    char *path = NULL;
    ddt_status status = private_file(ctx, "ddtwin-population-XXXXXX", &path);
    if (status == DDT_OK) {
        status = ddt_twin_population_table(ctx, options, (size_t)arguments->population, path);
    }
    if (status == DDT_OK) {
        options->data_path = path;
        status = simulate(ctx, arguments, options);
    }
    remove_file(path);
    return status;
}

/* Without a table: the typical patient under a usual regimen. */
static ddt_status simulate_population(ddt_context *ctx, const cli_arguments *arguments, ddt_twin_options *options) {
    char *typical = NULL;
    ddt_status status = DDT_OK;
    options->grid_points = 0; /* the report draws bands over the table's own times */
    options->around = arguments->around;
    if (options->data_path == NULL) {
        status = private_file(ctx, "ddtwin-virtual-trial-XXXXXX", &typical);
        if (status == DDT_OK) {
            status = ddt_twin_typical_table(ctx, options, typical);
        }
        options->data_path = typical;
    }
    if (status == DDT_OK && arguments->moments) {
        options->purpose = DDT_TWIN_BANDS;
        options->patients = (size_t)arguments->population;
        status = simulate(ctx, arguments, options);
    } else if (status == DDT_OK) {
        status = simulate_patients(ctx, arguments, options);
    }
    remove_file(typical);
    return status;
}

static ddt_status check_arguments(ddt_context *ctx, const cli_arguments *arguments) {
    if (arguments->population == 0 && (arguments->moments || arguments->around)) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "simulate: --moments and --around belong to --population.");
    }
    if (arguments->population == 0 && arguments->data == NULL) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "simulate: missing '--data'; only --population runs without a table.");
    }
    if (arguments->moments && (arguments->plot != NULL || arguments->terminal_plot)) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "simulate: bands by moments have no curves to plot; see DIR/report.html.");
    }
    return DDT_OK;
}

ddt_status ddtwin_simulate(ddt_context *ctx, const cli_arguments *arguments) {
    ddt_setting *settings = NULL;
    ddt_twin_options options;
    ddt_status status = check_arguments(ctx, arguments);
    if (status != DDT_OK) {
        return status;
    }
    status = ddtwin_options(ctx, arguments, DDTWIN_REPORT_POINTS, &settings, &options);
    if (status == DDT_OK) {
        status = arguments->population > 0 ? simulate_population(ctx, arguments, &options)
                                           : simulate(ctx, arguments, &options);
    }
    ddt_free(settings);
    return status;
}
