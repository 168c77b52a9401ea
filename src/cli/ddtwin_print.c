/* What check and simulate print on a terminal. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin.h"

#include <math.h>
#include <string.h>

static const char *unit_or_nothing(const char *unit) { return unit == NULL ? "" : unit; }

static const char *time_unit(const ddt_model *model) {
    return model->time_unit == NULL || model->time_unit[0] == '\0' ? "h" : model->time_unit;
}

ddt_status ddtwin_print_summary(ddt_context *ctx, const ddt_twin_outcome *outcome) {
    char *json = NULL;
    ddt_status status = ddt_twin_summary(ctx, outcome, &json);
    if (status == DDT_OK) {
        (void)printf("%s\n", json);
    }
    ddt_free(json);
    return status;
}

/* ------------------------------------------------------------------ check */

static void print_model(const ddt_twin_outcome *outcome) {
    const ddt_model *model = outcome->model;
    (void)printf("model        %s (%s)\n", model->name, model->path);
    if (model->description != NULL) {
        (void)printf("             %s\n", model->description);
    }
    if (model->reference != NULL) {
        (void)printf("             %s\n", model->reference);
    }
    (void)printf("method       %s: %zu states, %zu sources, %u squarings\n", outcome->solve.method,
                 outcome->solve.states, outcome->solve.sources, outcome->solve.squarings);
    (void)printf("data         %zu subjects, %zu times; outputs", outcome->profile->subject_count,
                 ddt_profile_requested_count(outcome->profile));
    for (size_t o = 0; o < outcome->profile->output_count; o++) {
        (void)printf("%s %s", o == 0 ? "" : ",", outcome->profile->output_names[o]);
    }
    (void)printf("\n");
}

static void print_ranges(const ddt_solution *solution) {
    for (size_t r = 0; r < ddt_solution_range_count(solution); r++) {
        const ddt_declared_range range = ddt_solution_range(solution, r);
        (void)printf("%-12s %s from %.6g to %.6g\n", r == 0 ? "encrypted" : "", range.name, range.low, range.high);
    }
}

/* Who cannot be encrypted. */
static void print_population(const ddt_twin_outcome *outcome) {
    const ddt_assessment *assessment = outcome->assessment;
    const double percent = 100;
    if (assessment->population_outside > 0) {
        (void)printf("population   %.2g %% of %zu virtual patients lie outside these ranges; the custodian refuses "
                     "their values\n",
                     percent * assessment->population_outside, assessment->population_drawn);
    } else if (assessment->population_drawn > 0) {
        (void)printf("population   none of %zu virtual patients lies outside these ranges\n",
                     assessment->population_drawn);
    }
    if (outcome->solve.eta_deviations > 0) {
        (void)printf(
            "             Newton's method did not converge on the usual ranges: random effects are taken within "
            "%g\n             standard deviations (and as far as the table's own reach)\n",
            outcome->solve.eta_deviations);
    }
}

static void print_plan(const ddt_plan_info *plan) {
    char keys[CLI_SIZE_TEXT];
    char twin[CLI_SIZE_TEXT];
    char result[CLI_SIZE_TEXT];
    (void)printf("circuit      depth %u, %zu multiplications, %zu rotations, %u bootstraps, %zu batch(es)\n",
                 plan->depth, plan->multiplications, plan->rotations, plan->bootstraps, plan->batches);
    (void)printf("security     %u bits: ring 2^%u, log2 QP %.1f of %u\n", plan->security_bits, plan->literal.log_n,
                 plan->log2_qp, ddt_ckks_max_log_qp(plan->literal.log_n));
    (void)printf("sizes        evaluation keys %s, twin %s, result %s (predicted)\n",
                 cli_size_text(plan->eval_key_bytes, keys), cli_size_text(plan->twin_bytes, twin),
                 cli_size_text(plan->result_bytes, result));
    (void)printf("engine       about %.2g s on one thread, %s of memory (predicted)\n", plan->predicted_seconds,
                 cli_size_text(plan->engine_bytes, twin));
}

static void print_budget(const char *name, const char *solver, const ddt_error_budget *budget) {
    const double percent = 100;
    (void)printf("error        %-10s functions %.2g %%, %s %.2g %%, encryption %.2g %%, total %.2g %% of its maximum\n",
                 name, percent * budget->surrogate, solver, percent * budget->discretisation, percent * budget->ckks,
                 percent * budget->total);
}

/* What a modeller can do about the largest part of an error that is too large. */
static void print_advice(const ddt_assessment *assessment) {
    const ddt_error_budget *worst = &assessment->worst;
    if (worst->surrogate >= worst->ckks && worst->surrogate >= worst->discretisation) {
        (void)printf(
            "             The polynomials miss it: declare narrower covariate ranges (covariateData), or smaller "
            "variances.\n");
    } else if (worst->discretisation >= worst->ckks) {
        (void)printf(
            "             The solver misses it: a value of the data lies far from the model's virtual population, or "
            "the\n             table uses an event that this method does not follow; try the subjects one by one.\n");
    } else {
        (void)printf(
            "             Encryption noise misses it: outputs of very different size share one plan; compute them in\n"
            "             separate runs with --output.\n");
    }
}

static void print_verdict(const ddt_assessment *assessment) {
    const double percent = 100;
    const bool good = assessment->worst.total <= assessment->error_bar;
    (void)printf("verdict      %s the bar of %.2g %%%s\n", good ? "within" : "ABOVE", percent * assessment->error_bar,
                 assessment->measured ? "" : " (encryption noise as predicted)");
    if (!good) {
        print_advice(assessment);
    }
}

static void print_errors(const ddt_twin_outcome *outcome) {
    for (size_t o = 0; o < outcome->assessment->output_count; o++) {
        print_budget(outcome->profile->output_names[o], outcome->purpose == DDT_TWIN_BANDS ? "moments" : "solver",
                     &outcome->assessment->per_output[o]);
    }
    print_verdict(outcome->assessment);
}

void ddtwin_print_check(const ddt_twin_outcome *outcome, const ddt_solution *solution) {
    print_model(outcome);
    print_ranges(solution);
    print_population(outcome);
    print_plan(&outcome->plan);
    print_errors(outcome);
}

/* ------------------------------------------------------------------ simulate */

/* What stands in a subject's line. */
typedef struct line {
    bool has_dv;
    double dv, dv_time_h, value; /* the highest measurement, or without one the highest computed value */
    double error;                /* largest |encrypted - CVODE| */
} line;

static line subject_line(const ddt_twin_outcome *outcome, size_t s) {
    const ddt_profile *profile = outcome->profile;
    const ddt_subject *subject = &outcome->events->subjects[s];
    line out = {.value = -INFINITY};
    size_t k = 0;
    for (size_t r = 0; r < subject->record_count; r++) {
        const ddt_record *record = &subject->records[r];
        if (!ddt_record_is_observation(record)) {
            continue;
        }
        const size_t i = k * profile->output_count;
        const double value = profile->values[s][i];
        const bool better = record->has_dv ? !out.has_dv || record->dv > out.dv : !out.has_dv && value > out.value;
        if (better) {
            out.has_dv = record->has_dv;
            out.dv = record->dv;
            out.dv_time_h = record->time_h;
            out.value = value;
        }
        out.error = fmax(out.error, fabs(value - outcome->assessment->reference.values[s][i]));
        k++;
    }
    return out;
}

static void print_subjects(const ddt_twin_outcome *outcome) {
    enum { LINES_MAX = 20 };
    const ddt_profile *profile = outcome->profile;
    const double maximum = outcome->assessment->output_maximum[0];
    const double percent = 100;
    const char *unit = unit_or_nothing(outcome->model->concentration_unit);
    (void)printf("%-10s %10s %14s %14s %16s   (%s, %s)\n", "subject", "time", "measured max", "encrypted",
                 "largest error", profile->output_names[0], unit);
    for (size_t s = 0; s < profile->subject_count && s < LINES_MAX; s++) {
        const line l = subject_line(outcome, s);
        char dv[32] = "-";
        if (l.has_dv) {
            (void)snprintf(dv, sizeof dv, "%.4g", l.dv);
        }
        (void)printf("%-10s %8.4g %s %14s %14.5g %14.2g %%\n", profile->subject_ids[s], l.dv_time_h,
                     time_unit(outcome->model), dv, l.value,
                     maximum > 0 ? percent * l.error / maximum : percent * l.error);
    }
    if (profile->subject_count > LINES_MAX) {
        (void)printf("... and %zu more in the report\n", profile->subject_count - LINES_MAX);
    }
}

static void print_costs(const ddt_twin_run *run) {
    char keys[CLI_SIZE_TEXT];
    char twin[CLI_SIZE_TEXT];
    char result[CLI_SIZE_TEXT];
    char memory[CLI_SIZE_TEXT];
    (void)printf("sizes        evaluation keys %s, twin %s, result %s; the engine's memory %s\n",
                 cli_size_text(run->eval_key_bytes, keys), cli_size_text(run->twin_bytes, twin),
                 cli_size_text(run->result_bytes, result), cli_size_text(run->engine_peak_rss_bytes, memory));
    (void)printf(
        "time         engine %.2f s (%d thread(s), %s); plan %.2f s, keys %.2f s, encrypt %.2f s, decrypt %.2f s\n",
        run->engine_s, run->threads, run->kernels, run->compile_s, run->keygen_s, run->encrypt_s, run->decrypt_s);
}

void ddtwin_print_simulation(const ddt_twin_outcome *outcome, const char *folder) {
    const ddt_twin_run *run = outcome->run;
    if (outcome->purpose == DDT_TWIN_BANDS) {
        (void)printf("bands        of %zu subject(s) from moments over virtual patients; errors are against the exact\n"
                     "             percentiles of the same patients (CVODE)\n",
                     outcome->profile->subject_count);
    } else {
        print_subjects(outcome);
    }
    (void)printf("\n");
    print_errors(outcome);
    (void)printf("security     %u bits: ring 2^%u, log2 QP %.1f of %u, depth %u, %u bootstraps\n",
                 outcome->plan.security_bits, outcome->plan.literal.log_n, outcome->plan.log2_qp,
                 ddt_ckks_max_log_qp(outcome->plan.literal.log_n), outcome->plan.depth, outcome->plan.bootstraps);
    if (run->kernels == NULL) {
        (void)printf("time         plan %.2f s; run in the clear\n", run->compile_s);
    } else {
        print_costs(run);
    }
    (void)printf("report       %s/report.html\n", folder);
}

/* ------------------------------------------------------------------ the curve as text */

enum { PLOT_WIDTH = 70, PLOT_HEIGHT = 14 };

typedef struct plot {
    char cells[PLOT_HEIGHT][PLOT_WIDTH + 1];
    double first_h, span_h, high;
} plot;

static void put(plot *p, double time_h, double value, char mark) {
    const double x = (time_h - p->first_h) / p->span_h * (PLOT_WIDTH - 1);
    const double y = value / p->high * (PLOT_HEIGHT - 1);
    if (x >= 0 && x < PLOT_WIDTH && y >= 0 && y < PLOT_HEIGHT) {
        p->cells[PLOT_HEIGHT - 1 - (int)lround(y)][(int)lround(x)] = mark;
    }
}

static void fill_plot(plot *p, const ddt_profile *profile, const ddt_subject *subject) {
    const size_t count = profile->observation_counts[0];
    memset(p->cells, ' ', sizeof p->cells);
    p->first_h = profile->times_h[0][0];
    p->span_h = profile->times_h[0][count - 1] - p->first_h;
    p->high = 0;
    for (size_t k = 0; k < count; k++) {
        p->high = fmax(p->high, profile->values[0][k * profile->output_count]);
    }
    for (size_t r = 0; r < subject->record_count; r++) {
        p->high = subject->records[r].has_dv ? fmax(p->high, subject->records[r].dv) : p->high;
    }
    p->span_h = p->span_h > 0 ? p->span_h : 1;
    p->high = p->high > 0 ? p->high : 1;
    for (size_t k = 0; k < count; k++) {
        put(p, profile->times_h[0][k], profile->values[0][k * profile->output_count], '*');
    }
    for (size_t r = 0; r < subject->record_count; r++) {
        if (subject->records[r].has_dv) {
            put(p, subject->records[r].time_h, subject->records[r].dv, 'o');
        }
    }
}

void ddtwin_print_plot(const ddt_twin_outcome *outcome) {
    const ddt_profile *profile = outcome->profile;
    if (profile->subject_count == 0 || profile->observation_counts[0] == 0) {
        return;
    }
    plot p;
    fill_plot(&p, profile, &outcome->events->subjects[0]);
    (void)printf("\nsubject %s: %s (%s); * computed under encryption, o measured\n", profile->subject_ids[0],
                 profile->output_names[0], unit_or_nothing(outcome->model->concentration_unit));
    for (int row = 0; row < PLOT_HEIGHT; row++) {
        p.cells[row][PLOT_WIDTH] = '\0';
        if (row == 0 || row == PLOT_HEIGHT - 1) {
            (void)printf("%8.3g |%s\n", row == 0 ? p.high : 0.0, p.cells[row]);
        } else {
            (void)printf("%8s |%s\n", "", p.cells[row]);
        }
    }
    (void)printf("%8s +", "");
    for (int column = 0; column < PLOT_WIDTH; column++) {
        (void)putchar('-');
    }
    (void)printf("\n%8s %-8.4g%*s%.4g %s\n", "", p.first_h, PLOT_WIDTH - 16, "", p.first_h + p.span_h,
                 time_unit(outcome->model));
}
