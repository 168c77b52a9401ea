/*
 * Data -> inputs of the circuit, outputs -> values. All that a custodian needs besides the scheme itself.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

#include <string.h>

double solve_encode_value(const solve_input *input, double value) {
    return ((input->kind == SOLVE_INPUT_LOG ? log(value) : value) - input->mid) / input->half;
}

static size_t block_of(const solve_layout *layout) { return layout->rows * layout->columns; }

void solve_fill_constant(const solve_layout *layout, size_t lane, double y, double *input) {
    size_t block = block_of(layout);
    for (size_t i = 0; i < block; i++) {
        input[lane * block + i] = y;
    }
}

void solve_fill_amounts(const solve_layout *layout, size_t lane, const double *record_amounts, double *const *inputs) {
    const solve_lane *l = &layout->lanes[lane];
    size_t block = block_of(layout);
    for (size_t i = 0; i < layout->input_count; i++) {
        if (layout->inputs[i].kind == SOLVE_INPUT_AMOUNT) {
            memset(inputs[i] + lane * block, 0, block * sizeof(double));
        }
    }
    for (size_t row = 0; row < l->source_count; row++) {
        const solve_lane_source *source = &l->sources[row];
        if (source->input == SOLVE_NONE) {
            continue;
        }
        double *slots = inputs[source->input] + lane * block + row * layout->columns;
        for (size_t k = 0; k < l->column_count; k++) {
            slots[k] =
                l->active[row * l->column_count + k] != 0 ? record_amounts[source->record] * source->weight : 0.0;
        }
    }
}

/* ------------------------------------------------------------------ structure */

typedef struct filler {
    ddt_context *ctx;
    const solve_layout *layout;
    const ddt_model *model;
    const ddt_events *events;
} filler;

static ddt_status mismatch(const filler *f, const ddt_subject *subject, const ddt_record *record, const char *what,
                           double value, double expected) {
    return ddt_fail(
        f->ctx, DDT_ERR_MISMATCH,
        "'%s', line %u: %s of the subject %s is %.15g where the plan was made for %.15g; times and event types must "
        "be those of the template.",
        f->events->path, record->line, what, subject->id, value, expected);
}

static bool nearly(double a, double b, double rounding) { return fabs(a - b) <= rounding * fmax(fabs(a), fabs(b)); }

static ddt_status check_record(const filler *f, const ddt_subject *subject, const ddt_record *record,
                               const solve_record *expected) {
    const double rounding = 1e-9;
    const double duration_rounding = 1e-4; /* AMT / RATE of numbers that were rounded to be written */
    solve_record found;
    solve_record_of(record, &found);
    const struct {
        const char *what;
        double value, expected, rounding;
    } checks[] = {
        {"TIME", found.time_h, expected->time_h, rounding},
        {"EVID", found.evid, expected->evid, 0.0},
        {"CMT", found.compartment, expected->compartment, 0.0},
        {"II", found.interval_h, expected->interval_h, rounding},
        {"ADDL", found.additional, expected->additional, 0.0},
        {"SS", found.steady_state, expected->steady_state, 0.0},
        {"the kind of RATE", found.rate_kind, expected->rate_kind, 0.0},
        {"the infusion's duration AMT / RATE", found.duration_h, expected->duration_h, duration_rounding},
        {"AMT with RATE -1", found.fixed_amount, expected->fixed_amount, rounding},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        if (!nearly(checks[i].value, checks[i].expected, checks[i].rounding)) {
            return mismatch(f, subject, record, checks[i].what, checks[i].value, checks[i].expected);
        }
    }
    return DDT_OK;
}

static ddt_status check_structure(const filler *f) {
    const solve_layout *layout = f->layout;
    if (f->events->subject_count != layout->subject_count) {
        return ddt_fail(f->ctx, DDT_ERR_MISMATCH, "'%s' has %zu subjects where the plan was made for %zu.",
                        f->events->path, f->events->subject_count, layout->subject_count);
    }
    for (size_t s = 0; s < layout->subject_count; s++) {
        const ddt_subject *subject = &f->events->subjects[s];
        const solve_layout_subject *expected = &layout->subjects[s];
        for (size_t r = 0; r < subject->record_count && r < expected->record_count; r++) {
            SOLVE_TRY(check_record(f, subject, &subject->records[r], &expected->records[r]));
        }
        if (subject->record_count != expected->record_count) {
            return ddt_fail(f->ctx, DDT_ERR_MISMATCH,
                            "'%s': the subject %s has %zu records where the plan was made for %zu.", f->events->path,
                            subject->id, subject->record_count, expected->record_count);
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ values */

static ddt_status check_range(const filler *f, const solve_range *range, const ddt_subject *subject,
                              const ddt_record *record, double value) {
    const double rounding = 1e-12;
    double slack = rounding * fmax(fabs(range->low), fabs(range->high));
    if (!(value >= range->low - slack && value <= range->high + slack)) {
        return ddt_fail(f->ctx, DDT_ERR_RANGE,
                        "'%s', line %u: %s of the subject %s is %.15g, outside its range %.15g to %.15g.",
                        f->events->path, record->line, range->name, subject->id, value, range->low, range->high);
    }
    for (size_t l = 0; l < range->level_count; l++) {
        if (value == range->levels[l]) {
            return DDT_OK;
        }
    }
    return range->level_count == 0
               ? DDT_OK
               : ddt_fail(f->ctx, DDT_ERR_RANGE,
                          "'%s', line %u: %s of the subject %s is %.15g, not one of its %zu values.", f->events->path,
                          record->line, range->name, subject->id, value, range->level_count);
}

/* The value of a symbol for a subject: a constant column, or 0 for an eta without one. */
static ddt_status symbol_value(const filler *f, const solve_range *range, size_t s, double *value) {
    const ddt_subject *subject = &f->events->subjects[s];
    int64_t symbol = ddt_model_find_symbol(f->model, range->name);
    if (symbol < 0) {
        return ddt_fail(f->ctx, DDT_ERR_MISMATCH,
                        "'%s' has no %s, which the plan wants: it was made for another model.", f->model->path,
                        range->name);
    }
    *value = 0.0;
    for (size_t c = 0; c < f->events->covariate_count; c++) {
        if (f->events->covariate_symbols[c] == (uint32_t)symbol && subject->record_count > 0) {
            SOLVE_TRY(solve_check_covariates(f->ctx, f->model, f->events, s, (uint32_t)symbol, c));
            *value = subject->covariate_values[subject->records[0].covariates + c];
            return check_range(f, range, subject, &subject->records[0], *value);
        }
    }
    if (f->model->symbols[symbol].kind != DDT_SYMBOL_ETA) {
        return ddt_fail(f->ctx, DDT_ERR_DATA, "'%s' has no column %s.", f->events->path, range->name);
    }
    return DDT_OK;
}

static ddt_status fill_symbols(const filler *f, double *const *inputs) {
    for (size_t i = 0; i < f->layout->input_count; i++) {
        const solve_input *input = &f->layout->inputs[i];
        for (size_t l = 0; input->kind != SOLVE_INPUT_AMOUNT && l < f->layout->lane_count; l++) {
            double value = 0.0;
            SOLVE_TRY(symbol_value(f, &f->layout->ranges[input->range], f->layout->lanes[l].subject, &value));
            solve_fill_constant(f->layout, l, solve_encode_value(input, value), inputs[i]);
        }
    }
    return DDT_OK;
}

static ddt_status fill_doses(const filler *f, double *const *inputs) {
    for (size_t l = 0; l < f->layout->lane_count; l++) {
        const solve_lane *lane = &f->layout->lanes[l];
        const ddt_subject *subject = &f->events->subjects[lane->subject];
        double *amounts = ddt_calloc(subject->record_count, sizeof *amounts);
        if (amounts == NULL) {
            return solve_no_memory(f->ctx);
        }
        ddt_status status = DDT_OK;
        for (size_t row = 0; row < lane->source_count && status == DDT_OK; row++) {
            const solve_lane_source *source = &lane->sources[row];
            if (source->input != SOLVE_NONE) {
                const ddt_record *record = &subject->records[source->record];
                amounts[source->record] = record->amount;
                status = check_range(f, &f->layout->ranges[f->layout->inputs[source->input].range], subject, record,
                                     record->amount);
            }
        }
        if (status == DDT_OK) {
            solve_fill_amounts(f->layout, l, amounts, inputs);
        }
        ddt_free(amounts);
        SOLVE_TRY(status);
    }
    return DDT_OK;
}

ddt_status ddt_solution_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                             const ddt_events *events, double *const *inputs) {
    const solve_layout *layout = &solution->layout;
    filler f = {.ctx = ctx, .layout = layout, .model = model, .events = events};
    ddt_status status = check_structure(&f);
    if (status == DDT_OK) {
        status = fill_symbols(&f, inputs);
    }
    if (status == DDT_OK) {
        status = fill_doses(&f, inputs);
    }
    for (size_t i = 0; status != DDT_OK && i < layout->input_count; i++) {
        memset(inputs[i], 0, layout->lane_count * block_of(layout) * sizeof(double));
    }
    return status;
}

void ddt_solution_collect(const ddt_solution *solution, const double *const *outputs, double *const *values) {
    const solve_layout *layout = &solution->layout;
    size_t block = block_of(layout);
    for (size_t s = 0; s < layout->subject_count; s++) {
        for (size_t k = 0; k < layout->subjects[s].observation_count; k++) {
            const solve_place *place = &layout->subjects[s].observations[k];
            for (size_t o = 0; o < layout->output_count; o++) {
                values[s][k * layout->output_count + o] =
                    outputs[o][place->lane * block + place->column] * layout->outputs[o].scale;
            }
        }
    }
}
