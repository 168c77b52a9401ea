/*
 * Data -> inputs of the circuit, outputs -> values. All that a custodian needs besides the scheme itself.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_internal.h"
#include "solve_internal.h"

#include <string.h>

double solve_encode_value(const solve_input *input, double value) {
    return ((input->kind == SOLVE_INPUT_LOG ? log(value) : value) - input->mid) / input->half;
}

static size_t part_of(const solve_layout *layout) { return layout->rows * layout->columns; }
static size_t block_of(const solve_layout *layout) {
    return layout->lane_slots != 0 ? layout->lane_slots : layout->segments * part_of(layout);
}

void solve_fill_constant(const solve_layout *layout, size_t lane, double y, double *input) {
    size_t block = block_of(layout);
    for (size_t i = 0; i < block; i++) {
        input[lane * block + i] = y;
    }
}

void solve_fill_column(const solve_layout *layout, size_t lane, size_t column, double y, double *input) {
    for (size_t at = column; at < block_of(layout); at += layout->columns) {
        input[lane * block_of(layout) + at] = y;
    }
}

void solve_fill_packed(const solve_layout *layout, size_t lane, size_t index, double y, double *input) {
    size_t block = block_of(layout);
    for (size_t i = index; i < block; i += layout->packed) {
        input[lane * block + i] = y;
    }
}

size_t solve_sent_before(const solve_layout *layout, size_t index) {
    size_t count = 0;
    for (size_t i = 0; i < index; i++) {
        count += !layout->inputs[i].is_public;
    }
    return count;
}

void solve_sent_of(const solve_layout *layout, double *const *all, const double **sent) {
    for (size_t i = 0; i < layout->input_count; i++) {
        if (!layout->inputs[i].is_public) {
            *sent++ = all[i];
        }
    }
}

size_t solve_vector_count(const solve_layout *layout) {
    if (layout->packed == SOLVE_PACKED_FIT) {
        return SOLVE_FIT_VECTORS;
    }
    return layout->packed == 0 ? solve_sent_before(layout, layout->input_count) : layout->history == NULL ? 1 : 2;
}

static bool depends_on_doses(const solve_input *input) {
    return input->kind != SOLVE_INPUT_LINEAR && input->kind != SOLVE_INPUT_LOG && input->kind != SOLVE_INPUT_THRESHOLD;
}

static void clear_doses(const solve_layout *layout, size_t lane, double *const *inputs) {
    size_t block = block_of(layout);
    for (size_t i = 0; i < layout->input_count; i++) {
        if (depends_on_doses(&layout->inputs[i]) && layout->inputs[i].kind != SOLVE_INPUT_FIT) {
            memset(inputs[i] + lane * block, 0, block * sizeof(double));
        }
    }
}

/* at: the slot in segment 0. */
static void fill_times(const solve_layout *layout, const solve_slot *slot, size_t at, double *const *inputs) {
    for (size_t i = 0; i < layout->input_count; i++) {
        const solve_input *input = &layout->inputs[i];
        if (input->kind == SOLVE_INPUT_INFUSION_TIME) {
            inputs[i][at] = slot->during_h / input->half;
        } else if (input->kind == SOLVE_INPUT_DECAY_TIME) {
            for (size_t j = 0; j < layout->segments; j++) {
                inputs[i][at + j * part_of(layout)] = slot->t2_h[j] / input->half;
            }
        }
    }
}

void solve_fill_doses(const solve_layout *layout, size_t lane, const solve_given *givens, double *t2_h,
                      double *const *inputs) {
    const solve_lane *l = &layout->lanes[lane];
    solve_slot slot = {.t2_h = t2_h};
    clear_doses(layout, lane, inputs);
    for (size_t row = 0; row < l->source_count; row++) {
        uint32_t input = l->sources[row].input;
        for (size_t k = 0; k < l->column_count; k++) {
            size_t at = lane * block_of(layout) + row * layout->columns + k;
            solve_slot_of(layout, l, row, &givens[row], k, &slot);
            fill_times(layout, &slot, at, inputs);
            if (slot.acts && input != SOLVE_NONE) {
                inputs[input][at] = givens[row].value / layout->inputs[input].half;
            }
        }
    }
}

void solve_fill_amounts(const solve_layout *layout, size_t lane, const double *record_amounts, double *const *inputs) {
    const solve_lane *l = &layout->lanes[lane];
    clear_doses(layout, lane, inputs);
    for (size_t row = 0; row < l->source_count; row++) {
        const solve_lane_source *source = &l->sources[row];
        if (source->input == SOLVE_NONE) {
            continue;
        }
        double *slots = inputs[source->input] + lane * block_of(layout) + row * layout->columns;
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
    const double *etas;     /* instead of the data's, NULL without */
    ddt_left_out *left_out; /* NULL where nobody may be */
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
    found.fixed_amount = expected->fixed_amount < 0.0 ? -1.0 : found.fixed_amount;
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

static ddt_status check_records(const filler *f, const ddt_subject *subject, const solve_layout_subject *expected) {
    for (size_t r = 0; r < subject->record_count && r < expected->record_count; r++) {
        SOLVE_TRY(check_record(f, subject, &subject->records[r], &expected->records[r]));
    }
    return subject->record_count == expected->record_count
               ? DDT_OK
               : ddt_fail(f->ctx, DDT_ERR_MISMATCH,
                          "'%s': the subject %s has %zu records where the plan was made for %zu.", f->events->path,
                          subject->id, subject->record_count, expected->record_count);
}

static ddt_status check_structure(const filler *f) {
    const solve_layout *layout = f->layout;
    if (f->events->subject_count != layout->subject_count) {
        return ddt_fail(f->ctx, DDT_ERR_MISMATCH, "'%s' has %zu subjects where the plan was made for %zu.",
                        f->events->path, f->events->subject_count, layout->subject_count);
    }
    for (size_t s = 0; s < layout->subject_count; s++) {
        SOLVE_TRY(check_records(f, &f->events->subjects[s], &layout->subjects[s]));
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

/* ------------------------------------------------------------------ symbols */

/* A range's symbol and its column in the data, SIZE_MAX for an eta without one. */
typedef struct symbol_place {
    uint32_t symbol;
    size_t column;
} symbol_place;

static ddt_status find_symbol(const filler *f, const solve_range *range, symbol_place *out) {
    int64_t symbol = ddt_model_find_symbol(f->model, range->name);
    if (symbol < 0) {
        return ddt_fail(f->ctx, DDT_ERR_MISMATCH,
                        "'%s' has no %s, which the plan wants: it was made for another model.", f->model->path,
                        range->name);
    }
    *out = (symbol_place){(uint32_t)symbol, solve_column(f->events, (uint32_t)symbol)};
    if (out->column == SIZE_MAX && f->model->symbols[symbol].kind != DDT_SYMBOL_ETA) {
        return ddt_fail(f->ctx, DDT_ERR_DATA, "'%s' has no column %s.", f->events->path, range->name);
    }
    return DDT_OK;
}

static double value_at(const filler *f, size_t subject, size_t record, size_t column) {
    const ddt_subject *s = &f->events->subjects[subject];
    return column == SIZE_MAX || s->record_count == 0 ? 0.0
                                                      : s->covariate_values[s->records[record].covariates + column];
}

/* Whether a record's values hold over some time, or the past of a steady state, that ends by end_h. */
static bool is_in_force(const filler *f, const ddt_subject *data, size_t r, double end_h) {
    size_t end = f->layout->carries_forward ? r + 1 : r;
    bool has_time = end > 0 && end < data->record_count && data->records[end].time_h > data->records[end - 1].time_h &&
                    data->records[end].time_h <= end_h;
    return has_time || data->records[r].steady_state != 0;
}

/* The values that rates depend on change only where the plan was made for it. */
static ddt_status check_segments(const filler *f, const solve_range *range, size_t subject, size_t column) {
    const solve_layout_subject *s = &f->layout->subjects[subject];
    const ddt_subject *data = &f->events->subjects[subject];
    for (size_t j = 0; j < s->segment_count; j++) {
        uint32_t of = s->segments[j].record;
        double value = value_at(f, subject, of, column);
        size_t next = j + 1 < s->segment_count ? s->segments[j + 1].record : data->record_count;
        for (size_t r = of; r < next && data->records[r].time_h <= s->segments[j].end_h; r++) {
            if (is_in_force(f, data, r, s->segments[j].end_h) && value_at(f, subject, r, column) != value) {
                return ddt_fail(f->ctx, DDT_ERR_MISMATCH,
                                "'%s', line %u: %s of the subject %s changes from %.15g to %.15g, where the plan's "
                                "template has no change.",
                                f->events->path, data->records[r].line, range->name, data->id, value,
                                value_at(f, subject, r, column));
            }
        }
    }
    return DDT_OK;
}

uint32_t solve_record_for(const solve_layout *layout, const solve_lane *lane, solve_role role, size_t segment,
                          size_t row, size_t k) {
    const solve_segment *segments = layout->subjects[lane->subject].segments;
    const solve_lane_source *source = row < lane->source_count ? &lane->sources[row] : NULL;
    const solve_lane_column *column = k < lane->column_count ? &lane->columns[k] : NULL;
    switch (role) {
    case SOLVE_ROLE_SEGMENT:
        return column != NULL && segment < column->segment_count ? segments[column->segment + segment].record : 0;
    case SOLVE_ROLE_PIECE:
        return column != NULL && source != NULL && source->piece < column->segment_count
                   ? segments[column->segment + source->piece].record
                   : 0;
    case SOLVE_ROLE_DOSE:
        return source != NULL ? source->covariate_record : 0;
    case SOLVE_ROLE_OBSERVATION:
        return column != NULL ? column->record : 0;
    default:
        return 0;
    }
}

/* What stands for a covariate's value in an input. */
static double encoded(const solve_input *input, double value) {
    if (input->kind == SOLVE_INPUT_THRESHOLD) {
        value = value >= input->threshold ? 1.0 : 0.0;
    }
    return solve_encode_value(input, value);
}

static void fill_lane_symbol(const filler *f, const solve_input *input, size_t lane_index, size_t column,
                             double *values) {
    const solve_layout *layout = f->layout;
    const solve_lane *lane = &layout->lanes[lane_index];
    double *slots = values + lane_index * block_of(layout);
    for (size_t at = 0; at < block_of(layout); at++) {
        size_t row = at % part_of(layout) / layout->columns;
        uint32_t record = solve_record_for(layout, lane, input->role, at / part_of(layout), row, at % layout->columns);
        slots[at] = encoded(input, value_at(f, lane->subject, record, column));
    }
}

/* Every value that the data hold of a declared symbol lies within its range. */
static ddt_status check_values(const filler *f, const solve_range *range, size_t subject_index, size_t column) {
    const ddt_subject *subject = &f->events->subjects[subject_index];
    for (size_t r = 0; r < subject->record_count; r++) {
        SOLVE_TRY(check_range(f, range, subject, &subject->records[r], value_at(f, subject_index, r, column)));
    }
    return DDT_OK;
}

static ddt_status check_symbol(const filler *f, const solve_range *range, symbol_place *place) {
    SOLVE_TRY(find_symbol(f, range, place));
    for (size_t s = 0; s < f->events->subject_count && place->column != SIZE_MAX; s++) {
        SOLVE_TRY(solve_leave_out(f->ctx, f->left_out, f->events, s, check_values(f, range, s, place->column)));
    }
    return DDT_OK;
}

static ddt_status check_changes(const filler *f, const solve_input *input, symbol_place place, size_t subject) {
    if (place.column == SIZE_MAX || input->role == SOLVE_ROLE_DOSE || input->role == SOLVE_ROLE_OBSERVATION) {
        return DDT_OK;
    }
    return input->role == SOLVE_ROLE_SUBJECT
               ? solve_check_covariates(f->ctx, f->model, f->events, subject, place.symbol, place.column)
               : check_segments(f, &f->layout->ranges[input->range], subject, place.column);
}

static ddt_status fill_symbol(const filler *f, size_t index, double *const *inputs) {
    symbol_place place;
    const solve_layout *layout = f->layout;
    const solve_input *input = &layout->inputs[index];
    SOLVE_TRY(check_symbol(f, &layout->ranges[input->range], &place));
    for (size_t l = 0; l < layout->lane_count; l++) {
        size_t subject = layout->lanes[l].subject;
        SOLVE_TRY(check_changes(f, input, place, subject));
        if (layout->packed > 0) {
            double y = encoded(input, value_at(f, subject, 0, place.column));
            solve_fill_packed(layout, l, index, y, inputs[0]);
        } else {
            fill_lane_symbol(f, input, l, place.column, inputs[index]);
        }
    }
    return DDT_OK;
}

static ddt_status fill_symbols(const filler *f, double *const *inputs) {
    for (size_t i = 0; i < f->layout->input_count; i++) {
        SOLVE_TRY(depends_on_doses(&f->layout->inputs[i]) ? DDT_OK : fill_symbol(f, i, inputs));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ doses */

/* Lag, bioavailability... of one dose: the model's expressions at its covariates. */
static void parts_of(const filler *f, const solve_lane *lane, const solve_lane_source *source, double *symbols,
                     solve_dose_parts *out) {
    const ddt_compartment *c = &f->model->compartments[f->layout->inputs[source->input].compartment];
    ddt_events_symbols(f->model, f->events, lane->subject, source->covariate_record, symbols);
    for (size_t i = 0, k = 0; f->etas != NULL && i < f->model->eta_count; i++) {
        bool varies = f->model->symbols[f->model->etas[i]].omega2 > 0.0;
        symbols[f->model->etas[i]] = varies ? f->etas[k] : 0.0;
        k += varies;
    }
    const struct {
        ddt_expr e;
        double absent, *value;
    } parts[] = {{c->bioavailability, 1.0, &out->f},
                 {c->lag_h, 0.0, &out->lag_h},
                 {c->rate, 0.0, &out->rate},
                 {c->duration, 0.0, &out->duration_h}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i].value =
            parts[i].e == DDT_EXPR_NONE ? parts[i].absent : ddt_expr_eval(f->model->pool, parts[i].e, symbols, NULL);
    }
}

static ddt_status refuse_part(const filler *f, const solve_lane *lane, const solve_lane_source *source,
                              const char *what, double value) {
    const ddt_subject *subject = &f->events->subjects[lane->subject];
    return ddt_fail(f->ctx, DDT_ERR_DATA, "'%s', line %u: %s of the dose of the subject %s is %g.", f->events->path,
                    subject->records[source->record].line, what, subject->id, value);
}

static ddt_status check_parts(const filler *f, const solve_lane *lane, const solve_lane_source *source,
                              const solve_dose_parts *parts) {
    solve_giving giving = f->layout->inputs[source->input].giving;
    const ddt_record *record = &f->events->subjects[lane->subject].records[source->record];
    bool is_constant = giving == SOLVE_GIVING_CONSTANT || giving == SOLVE_GIVING_CONSTANT_MODELLED;
    bool needs_rate = giving == SOLVE_GIVING_MODELLED_RATE || giving == SOLVE_GIVING_CONSTANT_MODELLED;
    if (!(parts->lag_h >= 0.0) || !isfinite(parts->lag_h)) {
        return refuse_part(f, lane, source, "the lag", parts->lag_h);
    }
    if (record->steady_state != 0 && parts->lag_h > (is_constant ? 0.0 : record->interval_h)) {
        return refuse_part(f, lane, source, "the lag (longer than the interval at steady state)", parts->lag_h);
    }
    if (!(parts->f >= 0.0) || !isfinite(parts->f)) {
        return refuse_part(f, lane, source, "the bioavailability", parts->f);
    }
    if (needs_rate && !(parts->rate > 0.0 && isfinite(parts->rate))) {
        return refuse_part(f, lane, source, "the modelled rate", parts->rate);
    }
    if (giving == SOLVE_GIVING_MODELLED_DURATION && !(parts->duration_h > 0.0 && isfinite(parts->duration_h))) {
        return refuse_part(f, lane, source, "the modelled duration", parts->duration_h);
    }
    return DDT_OK;
}

static ddt_status give(const filler *f, size_t lane_index, double *symbols, solve_given *givens) {
    const solve_lane *lane = &f->layout->lanes[lane_index];
    const ddt_subject *subject = &f->events->subjects[lane->subject];
    for (size_t row = 0; row < lane->source_count; row++) {
        const solve_lane_source *source = &lane->sources[row];
        givens[row] = (solve_given){.start_h = source->time_h};
        if (source->input == SOLVE_NONE) {
            continue;
        }
        const solve_input *input = &f->layout->inputs[source->input];
        const ddt_record *record = &subject->records[source->record];
        if (input->compartment >= f->model->compartment_count) {
            return ddt_fail(f->ctx, DDT_ERR_MISMATCH,
                            "'%s' has no compartment %u, which the plan wants: it was made for another model.",
                            f->model->path, input->compartment + 1);
        }
        double amount = solve_quantity(input, record);
        solve_dose_parts parts;
        SOLVE_TRY(check_range(f, &f->layout->ranges[input->range], subject, record, amount));
        parts_of(f, lane, source, symbols, &parts);
        SOLVE_TRY(check_parts(f, lane, source, &parts));
        givens[row] = solve_given_of(f->layout, lane, source, &parts, amount);
    }
    return DDT_OK;
}

/* The last dose's AMT in all slots of each column. */
static void fill_last_doses(const filler *f, size_t lane_index, const solve_given *givens, double *const *inputs) {
    const solve_layout *layout = f->layout;
    const solve_lane *lane = &layout->lanes[lane_index];
    const ddt_subject *subject = &f->events->subjects[lane->subject];
    for (size_t i = 0; i < layout->input_count; i++) {
        const solve_input *input = &layout->inputs[i];
        for (size_t k = 0; k < lane->column_count && input->kind == SOLVE_INPUT_LAST_DOSE; k++) {
            uint32_t row = solve_last_dose(layout, lane, givens, k, input->compartment);
            double amount = row == SOLVE_NONE ? 0.0 : subject->records[lane->sources[row].record].amount;
            solve_fill_column(layout, lane_index, k, (amount - input->mid) / input->half, inputs[i]);
        }
    }
}

ddt_status solve_fill_data_doses(ddt_context *ctx, const solve_layout *layout, const ddt_model *model,
                                 const ddt_events *events, size_t lane, const double *etas, solve_given *givens,
                                 double *const *inputs) {
    filler f = {.ctx = ctx, .layout = layout, .model = model, .events = events, .etas = etas};
    double *symbols = ddt_calloc(model->symbol_count, sizeof *symbols);
    double *t2_h = ddt_calloc(layout->segments, sizeof *t2_h);
    ddt_status status = symbols == NULL || t2_h == NULL ? solve_no_memory(ctx) : give(&f, lane, symbols, givens);
    if (status == DDT_OK) {
        solve_fill_doses(layout, lane, givens, t2_h, inputs);
    }
    ddt_free(symbols);
    ddt_free(t2_h);
    return status;
}

static ddt_status fill_doses(const filler *f, double *const *inputs) {
    double *symbols = ddt_calloc(f->model->symbol_count, sizeof *symbols);
    double *t2_h = ddt_calloc(f->layout->segments, sizeof *t2_h);
    solve_given *givens = ddt_calloc(f->layout->rows, sizeof *givens);
    ddt_status status = symbols == NULL || t2_h == NULL || givens == NULL ? solve_no_memory(f->ctx) : DDT_OK;
    for (size_t l = 0; l < f->layout->lane_count && status == DDT_OK && givens != NULL; l++) {
        const size_t subject = f->layout->lanes[l].subject;
        if (solve_is_left_out(f->left_out, subject)) {
            continue;
        }
        status = solve_leave_out(f->ctx, f->left_out, f->events, subject, give(f, l, symbols, givens));
        if (status == DDT_OK && !solve_is_left_out(f->left_out, subject)) {
            solve_fill_doses(f->layout, l, givens, t2_h, inputs);
            fill_last_doses(f, l, givens, inputs);
        }
    }
    ddt_free(symbols);
    ddt_free(t2_h);
    ddt_free(givens);
    return status;
}

/* ------------------------------------------------------------------ doses before a recommendation */

static ddt_status fill_history(const filler *f, double *const *inputs) {
    const solve_layout *layout = f->layout;
    const solve_range *range = &layout->ranges[layout->inputs[layout->input_count - 1].range];
    double *values = inputs[solve_vector_count(layout) - 1];
    size_t most = 1;
    for (size_t s = 0; s < layout->subject_count; s++) {
        most = layout->subjects[s].record_count > most ? layout->subjects[s].record_count : most;
    }
    double *amounts = ddt_calloc(most, sizeof *amounts);
    ddt_status status = amounts == NULL ? solve_no_memory(f->ctx) : DDT_OK;
    for (size_t l = 0; l < layout->lane_count && status == DDT_OK && amounts != NULL; l++) {
        const ddt_subject *subject = &f->events->subjects[layout->lanes[l].subject];
        const solve_history_lane *lane = &layout->history->lanes[l];
        for (size_t i = 0; i < lane->record_count && status == DDT_OK; i++) {
            const ddt_record *record = &subject->records[lane->records[i]];
            amounts[lane->records[i]] = record->amount;
            status = check_range(f, range, subject, record, record->amount);
        }
        solve_history_fill(layout->history, l, amounts, values + l * block_of(layout));
    }
    ddt_free(amounts);
    return status;
}

/* Ranges of symbols that only lags, rates... read: they have no input. */
static ddt_status check_ranges(const filler *f) {
    for (size_t r = 0; r < f->layout->range_count; r++) {
        bool has_input = false;
        for (size_t i = 0; i < f->layout->input_count; i++) {
            const solve_input *input = &f->layout->inputs[i];
            has_input |= input->range == r && (input->kind <= SOLVE_INPUT_AMOUNT || input->kind >= SOLVE_INPUT_FIT);
        }
        symbol_place ignored;
        SOLVE_TRY(has_input ? DDT_OK : check_symbol(f, &f->layout->ranges[r], &ignored));
    }
    return DDT_OK;
}

ddt_status ddt_solution_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                             const ddt_events *events, double *const *inputs) {
    if (solution->bands != NULL) {
        return solve_bands_fill(ctx, solution, model, events, inputs);
    }
    return solution->curves != NULL ? recommend_curves_fill(ctx, solution, model, events, inputs)
                                    : solve_layout_fill(ctx, solution, model, events, inputs);
}

/* Nothing of those who are left out is sent. */
static void clear_left_out(const solve_layout *layout, const ddt_left_out *left_out, double *const *inputs) {
    for (size_t l = 0; l < layout->lane_count; l++) {
        for (size_t i = 0; i < layout->input_count && solve_is_left_out(left_out, layout->lanes[l].subject); i++) {
            memset(inputs[i] + l * block_of(layout), 0, block_of(layout) * sizeof(double));
        }
    }
}

static ddt_status fill_all(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                           const ddt_events *events, double *const *inputs, ddt_left_out *left_out) {
    const solve_layout *layout = &solution->layout;
    filler f = {.ctx = ctx, .layout = layout, .model = model, .events = events, .left_out = left_out};
    ddt_status status = check_structure(&f);
    if (status == DDT_OK) {
        status = check_ranges(&f);
    }
    if (status == DDT_OK) {
        status = fill_symbols(&f, inputs);
    }
    if (status == DDT_OK && layout->packed == 0 && layout->history == NULL && layout->posterior == NULL) {
        status = fill_doses(&f, inputs);
    }
    if (status == DDT_OK && layout->history != NULL) {
        status = fill_history(&f, inputs);
    }
    if (status == DDT_OK && layout->posterior != NULL) {
        status = solve_posterior_fill(ctx, solution, model, events, inputs);
    }
    if (status == DDT_OK && solution->fit != NULL) {
        status = solve_fit_fill(ctx, solution, model, events, inputs, left_out);
    }
    if (status == DDT_OK && left_out != NULL) {
        clear_left_out(layout, left_out, inputs);
    }
    return status;
}

/* Vectors of public amounts are filled, too, and forgotten: the circuit has them. */
static ddt_status fill_sent(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                            const ddt_events *events, double *const *inputs, ddt_left_out *left_out) {
    const solve_layout *layout = &solution->layout;
    double **all = ddt_calloc(layout->input_count, sizeof *all);
    double *public_ones = ddt_calloc(layout->lane_count * block_of(layout), sizeof *public_ones);
    ddt_status status = all == NULL || public_ones == NULL ? solve_no_memory(ctx) : DDT_OK;
    for (size_t i = 0; status == DDT_OK && all != NULL && i < layout->input_count; i++) {
        all[i] = layout->inputs[i].is_public ? public_ones : inputs[solve_sent_before(layout, i)];
    }
    if (status == DDT_OK) {
        status = fill_all(ctx, solution, model, events, all, left_out);
    }
    ddt_free(public_ones);
    ddt_free(all);
    return status;
}

ddt_status solve_layout_fill_served(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                                    const ddt_events *events, double *const *inputs, ddt_left_out *left_out) {
    const solve_layout *layout = &solution->layout;
    const bool sends_all = solve_sent_before(layout, layout->input_count) == layout->input_count;
    const size_t bytes = layout->lane_count * block_of(layout) * sizeof(double);
    if (layout->packed == SOLVE_PACKED_FIT) {
        return fit_pack_fill_served(ctx, solution, model, events, inputs, left_out);
    }
    if (layout->packed > 0) { /* slots of no input are 0 */
        memset(inputs[0], 0, bytes);
    }
    ddt_status status = sends_all ? fill_all(ctx, solution, model, events, inputs, left_out)
                                  : fill_sent(ctx, solution, model, events, inputs, left_out);
    for (size_t i = 0; status != DDT_OK && i < solve_vector_count(layout); i++) {
        memset(inputs[i], 0, bytes);
    }
    return status;
}

ddt_status solve_layout_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                             const ddt_events *events, double *const *inputs) {
    return solve_layout_fill_served(ctx, solution, model, events, inputs, NULL);
}

void ddt_solution_collect(const ddt_solution *solution, const double *const *outputs, double *const *values) {
    if (solution->bands != NULL) {
        solve_bands_collect(solution, outputs, values);
    } else if (solution->curves != NULL) {
        recommend_curves_collect(solution, outputs, values);
    } else if (solution->units != NULL) {
        recommend_units_collect(solution, outputs, values);
    } else {
        solve_layout_collect(&solution->layout, outputs, values);
    }
}

void solve_layout_collect(const solve_layout *layout, const double *const *outputs, double *const *values) {
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

bool ddt_solution_places(const ddt_solution *solution, size_t subject, double *const *scales) {
    if (solution->bands != NULL) {
        return false;
    }
    if (solution->curves != NULL) {
        recommend_curves_places(solution, subject, scales);
    } else if (solution->units != NULL) {
        recommend_units_places(solution, subject, scales);
    } else {
        solve_layout_places(&solution->layout, subject, scales);
    }
    return true;
}

void solve_layout_places(const solve_layout *layout, size_t subject, double *const *scales) {
    const size_t block = block_of(layout);
    for (size_t k = 0; k < layout->subjects[subject].observation_count; k++) {
        const solve_place *place = &layout->subjects[subject].observations[k];
        for (size_t o = 0; o < layout->output_count; o++) {
            scales[o][place->lane * block + place->column] = layout->outputs[o].scale;
        }
    }
}
