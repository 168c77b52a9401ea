/* check: the circuit in the clear against CVODE, before any key exists. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin.h"

static ddt_status tell(ddt_context *ctx, const cli_arguments *arguments, const ddt_twin_problem *problem,
                       const ddt_assessment *assessment) {
    ddt_twin_outcome outcome;
    ddt_twin_problem_outcome(problem, &outcome);
    outcome.profile = &assessment->reference;
    outcome.assessment = assessment;
    cli_progress_clear();
    if (!arguments->json) {
        ddtwin_print_check(&outcome, ddt_twin_problem_solution(problem));
        return DDT_OK;
    }
    return ddtwin_print_summary(ctx, &outcome);
}

ddt_status ddtwin_check(ddt_context *ctx, const cli_arguments *arguments) {
    ddt_setting *settings = NULL;
    ddt_twin_options options;
    ddt_twin_problem *problem = NULL;
    ddt_assessment assessment = {0};
    ddt_status status = ddtwin_options(ctx, arguments, DDTWIN_REPORT_POINTS, &settings, &options);
    if (status == DDT_OK) {
        status = ddt_twin_problem_create(ctx, &options, &problem);
    }
    if (status == DDT_OK) {
        status = ddt_twin_assess(ctx, problem, NULL, NULL, &assessment);
    }
    if (status == DDT_OK) {
        status = tell(ctx, arguments, problem, &assessment);
    }
    ddt_assessment_destroy(&assessment);
    ddt_twin_problem_destroy(problem);
    ddt_free(settings);
    return status;
}
