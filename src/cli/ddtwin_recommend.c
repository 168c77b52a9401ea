/* recommend: candidate regimens compared under encryption. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin.h"

#include <math.h>
#include <string.h>

static void print_error(const ddt_assessment *assessment) {
    const double percent = 100;
    (void)printf("error        %.2g %% of a number's maximum at most (functions %.2g %%, encryption %.2g %%%s)\n",
                 percent * assessment->worst.total, percent * assessment->worst.surrogate,
                 percent * assessment->worst.ckks, assessment->measured ? "" : ", predicted");
}

/* Of several targets: the regimens that are best by some weighting. */
static void print_front(const ddt_twin_outcome *outcome, const ddt_recommendation *r, size_t s) {
    size_t count = 0;
    for (size_t i = 0; i < r->candidate_count; i++) {
        count += r->on_front[s][i];
    }
    if (r->targets.count > 1) {
        (void)printf("%-12s %zu regimens on the Pareto front of the %zu targets\n", outcome->profile->subject_ids[s],
                     count, r->targets.count);
    }
}

/* What to do so that the patients' own levels count: estimates first, which become columns of the table. */
static void print_levels(const char *model, const char *data) {
    (void)printf(
        "levels       not used: the table has no eta columns, so every subject is taken for any of the population. "
        "Estimate etas, join them by ID (the first column) and recommend again:\n");
    (void)printf("  ddtwin fit %s --data %s -o etas\n", model, data);
    (void)printf("  awk -F, 'NR == FNR { id = $1; sub(/^[^,]*/, \"\"); eta[id] = $0; next } { print $0 eta[$1] }' "
                 "etas/etas.csv %s >with-etas.csv\n",
                 data);
    (void)printf("  ddtwin recommend %s --data with-etas.csv ...\n", model);
}

/* Columns of a row, with their percentiles 5 and 95. */
static void print_figures(const ddt_profile *profile, const double *row) {
    const char *separator = "";
    for (size_t o = 0; o < profile->output_count; o++) {
        const size_t band = ddt_twin_percentiles(profile, o);
        if (ddt_twin_is_percentile(profile, o)) {
            continue;
        }
        (void)printf("%s %s %.4g", separator, profile->output_names[o], row[o]);
        if (band < profile->output_count) {
            (void)printf(" (%.4g to %.4g)", row[band], row[band + 2]);
        }
        separator = ",";
    }
    (void)printf("\n");
}

static void print_course(const ddt_twin_outcome *outcome, const ddt_recommendation *r, size_t s) {
    char text[DDT_COURSE_TEXT_MAX];
    ddt_twin_course_text(outcome, r, s, text);
    (void)printf("%-12s %s\n", outcome->profile->subject_ids[s], text);
}

static void print_text(const cli_arguments *arguments, const ddt_twin_outcome *outcome, const ddt_recommendation *r,
                       const char *folder) {
    const ddt_profile *profile = outcome->profile;
    char regimen[DDT_REGIMEN_TEXT_MAX];
    for (size_t s = 0; s < r->subject_count; s++) {
        const size_t best = r->ranking[s][0];
        if (r->course.time_count > 0) {
            print_course(outcome, r, s);
            continue;
        }
        ddt_twin_regimen_text(outcome->model, r, best, regimen);
        (void)printf("%-12s %s;", profile->subject_ids[s], regimen);
        if (r->product.per[0] != '\0' && isfinite(ddt_twin_given_dose(outcome, r, s, best))) {
            (void)printf(" here %.6g %s;", ddt_twin_given_dose(outcome, r, s, best),
                         outcome->model->dose_unit == NULL ? "" : outcome->model->dose_unit);
        }
        print_figures(profile, profile->values[s] + best * profile->output_count);
        print_front(outcome, r, s);
    }
    (void)printf(r->course.time_count > 0 ? "doses        %zu for each subject\n"
                                          : "candidates   %zu for each subject\n",
                 r->candidate_count);
    if (ddt_twin_ignores_levels(outcome)) {
        print_levels(outcome->model->path, arguments->data);
    }
    if (outcome->assessment != NULL) {
        print_error(outcome->assessment);
    }
    (void)printf("circuit      depth %u, ring 2^%u, %u bits of security\n", outcome->plan.depth,
                 outcome->plan.literal.log_n, outcome->plan.security_bits);
    if (outcome->run->engine_s > 0) {
        (void)printf("engine       %.2f s\n", outcome->run->engine_s);
    }
    (void)printf("written      %s/recommendation.json, candidates.csv, report.html\n", folder);
}

static ddt_status write_json(ddt_context *ctx, const char *json, const char *path) {
    ddt_file *file = NULL;
    ddt_status status = ddt_file_create(ctx, path, false, &file);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_file_append(file, json, strlen(json));
    if (status == DDT_OK) {
        status = ddt_file_append(file, "\n", 1);
    }
    if (status != DDT_OK) {
        ddt_file_abort(file);
        return status;
    }
    return ddt_file_commit(file);
}

static ddt_status write_files(ddt_context *ctx, const ddtwin_folder *folder, const ddt_twin_outcome *outcome,
                              const ddt_recommendation *r, const char *json) {
    char *recommendation = ddtwin_join(ctx, folder->files, "recommendation.json");
    char *candidates = ddtwin_join(ctx, folder->files, "candidates.csv");
    char *report = ddtwin_join(ctx, folder->files, "report.html");
    ddt_status status = recommendation == NULL || candidates == NULL || report == NULL ? DDT_ERR_MEMORY : DDT_OK;
    if (status == DDT_OK) {
        status = write_json(ctx, json, recommendation);
    }
    if (status == DDT_OK) {
        status = ddt_twin_write_candidates(ctx, outcome->profile, r, candidates);
    }
    if (status == DDT_OK) {
        status = ddt_twin_write_recommendation_report(ctx, outcome, r, report);
    }
    ddt_free(recommendation);
    ddt_free(candidates);
    ddt_free(report);
    return status == DDT_OK ? ddtwin_folder_commit(ctx, folder) : status;
}

ddt_status ddtwin_write_recommendation(ddt_context *ctx, const cli_arguments *arguments, const ddtwin_folder *folder,
                                       const ddt_twin_outcome *outcome, const ddt_recommendation *r) {
    char *json = NULL;
    ddt_status status = ddt_twin_recommendation_json(ctx, outcome, r, &json);
    if (status == DDT_OK) {
        status = write_files(ctx, folder, outcome, r, json);
    }
    if (status == DDT_OK) {
        cli_progress_clear();
        if (arguments->json) {
            (void)printf("%s\n", json);
        } else {
            print_text(arguments, outcome, r, folder->path);
        }
    }
    ddt_free(json);
    return status;
}

static ddt_status conclude(ddtwin_chain *c, const cli_arguments *arguments, const ddt_profile *profile) {
    ddt_assessment assessment = {0};
    ddt_recommendation recommendation = {0};
    ddt_twin_outcome outcome;
    ddt_status status = ddt_twin_assess(c->ctx, c->problem, arguments->clear ? NULL : profile,
                                        arguments->clear ? profile : NULL, &assessment);
    if (status == DDT_OK) {
        status = ddt_twin_rank(c->ctx, c->problem, profile, &recommendation);
    }
    c->run.total_s = ddt_clock_s() - c->started_s;
    ddt_twin_problem_outcome(c->problem, &outcome);
    outcome.profile = profile;
    outcome.assessment = &assessment;
    outcome.run = &c->run;
    if (status == DDT_OK) {
        status = ddtwin_write_recommendation(c->ctx, arguments, &c->folder, &outcome, &recommendation);
    }
    ddt_recommendation_destroy(&recommendation);
    ddt_assessment_destroy(&assessment);
    return status;
}

static ddt_status run(ddt_context *ctx, const cli_arguments *arguments, const ddt_twin_options *options) {
    ddtwin_chain c;
    ddt_profile profile = {0};
    ddt_status status = ddtwin_chain_open(ctx, options, arguments->out, &c);
    if (status != DDT_OK) {
        return status;
    }
    status = arguments->clear ? ddtwin_chain_run_clear(&c, &profile) : ddtwin_chain_run(&c, arguments->data, &profile);
    if (status == DDT_OK) {
        status = conclude(&c, arguments, &profile);
    }
    ddt_profile_destroy(&profile);
    ddtwin_chain_close(&c);
    return status;
}

ddt_status ddtwin_ask(ddt_context *ctx, const cli_arguments *arguments, ddtwin_question *question,
                      ddt_twin_options *options) {
    *question = (ddtwin_question){0};
    options->purpose = DDT_TWIN_RECOMMEND;
    options->grantable = arguments->grantable;
    options->report = arguments->report;
    ddt_status status = ddt_twin_complete_question(ctx, arguments->positional, arguments->target, arguments->product,
                                                   &question->target, &question->product);
    options->target = question->target;
    options->product = question->product;
    return status;
}

void ddtwin_question_free(ddtwin_question *question) {
    ddt_free(question->target);
    ddt_free(question->product);
}

ddt_status ddtwin_recommend(ddt_context *ctx, const cli_arguments *arguments) {
    ddt_setting *settings = NULL;
    ddt_twin_options options;
    ddtwin_question question = {0};
    ddt_status status = ddtwin_options(ctx, arguments, 0, &settings, &options);
    if (status == DDT_OK) {
        status = ddtwin_ask(ctx, arguments, &question, &options);
    }
    if (status == DDT_OK) {
        status = run(ctx, arguments, &options);
    }
    ddtwin_question_free(&question);
    ddt_free(settings);
    return status;
}
