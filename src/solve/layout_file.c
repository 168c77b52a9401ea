/*
 * The layout in a plan file: section "SOLV" (shape, ranges, inputs, outputs), "SUBJ" (subjects, their records'
 * structure, where their observations are), "LANE" (sources of each lane). docs/format.md has the bytes. Files from
 * outside are hostile: every index is checked.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_internal.h"
#include "section.h"
#include "solve_internal.h"

#include <string.h>

enum {
    SECTION_MAX_BYTES = 1 << 30,
    NAME_MAX_BYTES = 255,
    ID_MAX_BYTES = 24,
    RANGES_MAX = 4096,
    LANES_MAX = 1 << 24,
    METHOD_MAX_BYTES = 32,
    RECORD_BYTES = 4 * 8 + 5 * 4,
    PLACE_BYTES = 4 + 4 + 8,
    SEGMENT_BYTES = 8 + 4,
    SOURCE_BYTES = 5 * 4 + 2 * 8,
    SUBJECT_BYTES_MIN = 3 * 4
};

enum { FLAG_OMITS_F = 1, FLAG_PUBLIC = 2 }; /* of an input */

static const char *const methods[] = {"superposition", "newton", "surrogate"};

/* ------------------------------------------------------------------ writing */

static void write_shape(ddt_writer *w, const ddt_solution *solution) {
    const solve_layout *layout = &solution->layout;
    ddt_writer_u32(w, (uint32_t)layout->columns);
    ddt_writer_u32(w, (uint32_t)layout->rows);
    ddt_writer_u32(w, (uint32_t)layout->segments);
    ddt_writer_u32(w, layout->carries_forward);
    ddt_writer_u32(w, 0); /* inputs of a nested solution, of which there are none any more */
    ddt_writer_u32(w, (uint32_t)layout->lane_count);
    ddt_writer_string(w, solution->info.method);
    ddt_writer_u32(w, solution->info.iterations);
    ddt_writer_u32(w, (uint32_t)solution->info.grid);
    ddt_writer_u32(w, solution->info.has_private_times);
    ddt_writer_u32(w, solution->info.squarings);
    ddt_writer_u64(w, solution->info.states);
    ddt_writer_u64(w, solution->info.observations);
    ddt_writer_u64(w, solution->info.sources);
    ddt_writer_f64(w, solution->info.rate_max_per_h);
    ddt_writer_f64(w, solution->info.surrogate_error);
}

static void write_tables(ddt_writer *w, const solve_layout *layout) {
    ddt_writer_u32(w, (uint32_t)layout->range_count);
    for (size_t i = 0; i < layout->range_count; i++) {
        const solve_range *r = &layout->ranges[i];
        ddt_writer_string(w, r->name);
        ddt_writer_f64(w, r->low);
        ddt_writer_f64(w, r->high);
        ddt_writer_u32(w, (uint32_t)r->level_count);
        for (size_t l = 0; l < r->level_count; l++) {
            ddt_writer_f64(w, r->levels[l]);
        }
    }
    ddt_writer_u32(w, (uint32_t)layout->packed);
    ddt_writer_u32(w, layout->posterior != NULL);
    ddt_writer_u32(w, (uint32_t)layout->input_count);
    for (size_t i = 0; i < layout->input_count; i++) {
        const solve_input *input = &layout->inputs[i];
        ddt_writer_string(w, input->name);
        ddt_writer_u32(w, (uint32_t)input->kind);
        ddt_writer_u32(w, input->range);
        ddt_writer_f64(w, input->mid);
        ddt_writer_f64(w, input->half);
        ddt_writer_f64(w, input->bound);
        ddt_writer_f64(w, input->threshold);
        ddt_writer_u32(w, (uint32_t)input->role);
        ddt_writer_u32(w, (uint32_t)input->giving);
        ddt_writer_u32(w, input->compartment);
        ddt_writer_u32(w, (input->omits_f ? FLAG_OMITS_F : 0U) | (input->is_public ? FLAG_PUBLIC : 0U));
    }
    ddt_writer_u32(w, (uint32_t)layout->output_count);
    for (size_t i = 0; i < layout->output_count; i++) {
        ddt_writer_string(w, layout->outputs[i].name);
        ddt_writer_f64(w, layout->outputs[i].scale);
    }
}

static void write_record(ddt_writer *w, const solve_record *r) {
    ddt_writer_f64(w, r->time_h);
    ddt_writer_f64(w, r->interval_h);
    ddt_writer_f64(w, r->duration_h);
    ddt_writer_f64(w, r->fixed_amount);
    ddt_writer_u32(w, (uint32_t)r->evid);
    ddt_writer_u32(w, (uint32_t)r->rate_kind);
    ddt_writer_u32(w, (uint32_t)r->steady_state);
    ddt_writer_u32(w, r->compartment);
    ddt_writer_u32(w, r->additional);
}

static void write_subjects(ddt_writer *w, const solve_layout *layout) {
    ddt_writer_u32(w, (uint32_t)layout->subject_count);
    for (size_t s = 0; s < layout->subject_count; s++) {
        const solve_layout_subject *subject = &layout->subjects[s];
        ddt_writer_u32(w, (uint32_t)subject->record_count);
        for (size_t r = 0; r < subject->record_count; r++) {
            write_record(w, &subject->records[r]);
        }
        ddt_writer_u32(w, (uint32_t)subject->segment_count);
        for (size_t j = 0; j < subject->segment_count; j++) {
            ddt_writer_f64(w, subject->segments[j].end_h);
            ddt_writer_u32(w, subject->segments[j].record);
        }
        ddt_writer_u32(w, (uint32_t)subject->observation_count);
        for (size_t k = 0; k < subject->observation_count; k++) {
            ddt_writer_u32(w, subject->observations[k].lane);
            ddt_writer_u32(w, subject->observations[k].column);
            ddt_writer_f64(w, subject->observations[k].time_h);
        }
    }
}

static void write_source(ddt_writer *w, const solve_lane_source *source) {
    ddt_writer_u32(w, source->record);
    ddt_writer_u32(w, source->input);
    ddt_writer_u32(w, source->covariate_record);
    ddt_writer_u32(w, source->piece);
    ddt_writer_u32(w, source->past);
    ddt_writer_f64(w, source->time_h);
    ddt_writer_f64(w, source->duration_h);
}

static void write_column(ddt_writer *w, const solve_lane_column *column) {
    ddt_writer_f64(w, column->time_h);
    ddt_writer_u32(w, column->record);
    ddt_writer_u32(w, column->segment);
    ddt_writer_u32(w, column->segment_count);
}

static void write_lanes(ddt_writer *w, const solve_layout *layout) {
    for (size_t l = 0; l < layout->lane_count; l++) {
        const solve_lane *lane = &layout->lanes[l];
        ddt_writer_u32(w, lane->subject);
        ddt_writer_u32(w, (uint32_t)lane->source_count);
        ddt_writer_u32(w, (uint32_t)lane->column_count);
        for (size_t i = 0; i < lane->source_count; i++) {
            write_source(w, &lane->sources[i]);
        }
        for (size_t k = 0; k < lane->column_count; k++) {
            write_column(w, &lane->columns[k]);
        }
        ddt_writer_bytes(w, lane->active, lane->source_count * lane->column_count);
    }
}

ddt_status ddt_solution_write(ddt_writer *writer, const ddt_solution *solution) {
    ddt_writer_begin(writer, "SOLV");
    write_shape(writer, solution);
    write_tables(writer, &solution->layout);
    SOLVE_TRY(ddt_writer_end(writer));
    ddt_writer_begin(writer, "SUBJ");
    write_subjects(writer, &solution->layout);
    SOLVE_TRY(ddt_writer_end(writer));
    ddt_writer_begin(writer, "LANE");
    write_lanes(writer, &solution->layout);
    SOLVE_TRY(ddt_writer_end(writer));
    if (solution->layout.history != NULL) {
        SOLVE_TRY(solve_history_write(writer, solution->layout.history));
    }
    if (solution->layout.posterior != NULL) {
        SOLVE_TRY(solve_posterior_write(writer, solution->layout.posterior));
    }
    SOLVE_TRY(solution->curves == NULL ? DDT_OK : recommend_curves_write(writer, solution->curves));
    SOLVE_TRY(solution->units == NULL ? DDT_OK : recommend_units_write(writer, solution->units));
    SOLVE_TRY(solution->bands == NULL ? DDT_OK : solve_bands_write(writer, solution));
    return solution->fit == NULL ? DDT_OK : solve_fit_write(writer, solution);
}

/* ------------------------------------------------------------------ reading */

typedef struct parser {
    ddt_context *ctx;
    ddt_reader *reader;
    ddt_solution *solution;
    solve_layout *layout;
    uint32_t has_posterior;
} parser;

static ddt_status bad(const parser *p, const char *what) { return section_bad(p->ctx, p->reader, "layout", what); }

static ddt_status read_size64(const parser *p, size_t *out) {
    uint64_t value = 0;
    SOLVE_TRY(ddt_reader_u64(p->reader, &value));
    *out = (size_t)value;
    return DDT_OK;
}

static bool is_power_of_two(size_t x) { return x != 0 && (x & (x - 1)) == 0; }

static ddt_status read_method(const parser *p, ddt_solve_info *info) {
    char *name = NULL;
    SOLVE_TRY(ddt_reader_string(p->reader, METHOD_MAX_BYTES, &name));
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        info->method = strcmp(name, methods[i]) == 0 ? methods[i] : info->method;
    }
    ddt_free(name);
    uint32_t is_private = 0;
    SOLVE_TRY(ddt_reader_u32(p->reader, &info->iterations));
    SOLVE_TRY(section_size(p->reader, &info->grid));
    SOLVE_TRY(ddt_reader_u32(p->reader, &is_private));
    info->has_private_times = is_private != 0;
    return info->method == NULL || is_private > 1 ? bad(p, "it names a method that does not exist") : DDT_OK;
}

static ddt_status read_axes(parser *p, size_t *lanes) {
    solve_layout *layout = p->layout;
    uint32_t carries_forward = 0;
    uint32_t nested = 0;
    SOLVE_TRY(section_size(p->reader, &layout->columns));
    SOLVE_TRY(section_size(p->reader, &layout->rows));
    SOLVE_TRY(section_size(p->reader, &layout->segments));
    SOLVE_TRY(ddt_reader_u32(p->reader, &carries_forward));
    layout->carries_forward = carries_forward != 0;
    SOLVE_TRY(ddt_reader_u32(p->reader, &nested));
    return nested != 0 ? bad(p, "it has a nested solution") : section_size(p->reader, lanes);
}

static ddt_status read_info(const parser *p) {
    ddt_solve_info *info = &p->solution->info;
    uint32_t squarings = 0;
    SOLVE_TRY(read_method(p, info));
    SOLVE_TRY(ddt_reader_u32(p->reader, &squarings));
    SOLVE_TRY(read_size64(p, &info->states));
    SOLVE_TRY(read_size64(p, &info->observations));
    SOLVE_TRY(read_size64(p, &info->sources));
    SOLVE_TRY(ddt_reader_f64(p->reader, &info->rate_max_per_h));
    info->squarings = squarings;
    info->segments = p->layout->segments;
    return ddt_reader_f64(p->reader, &info->surrogate_error);
}

static ddt_status read_shape(parser *p, const ddt_plan *plan) {
    solve_layout *layout = p->layout;
    size_t lanes = 0;
    SOLVE_TRY(read_axes(p, &lanes));
    SOLVE_TRY(read_info(p));
    ddt_plan_info plan_info;
    ddt_plan_get_info(plan, &plan_info);
    size_t block = 0;
    if (!is_power_of_two(layout->columns) || !is_power_of_two(layout->rows) || !is_power_of_two(layout->segments) ||
        !ddt_size_mul(layout->columns, layout->rows, &block) || !ddt_size_mul(block, layout->segments, &block) ||
        block > plan_info.block || lanes != plan_info.lanes || lanes > LANES_MAX) {
        return bad(p, "its shape is not the circuit's");
    }
    layout->lane_slots = block < plan_info.block ? plan_info.block : 0;
    layout->lanes = ddt_calloc(lanes, sizeof *layout->lanes);
    if (layout->lanes == NULL) {
        return solve_no_memory(p->ctx);
    }
    layout->lane_count = lanes;
    return DDT_OK;
}

static ddt_status read_range(const parser *p, solve_range *range) {
    SOLVE_TRY(ddt_reader_string(p->reader, NAME_MAX_BYTES, &range->name));
    SOLVE_TRY(ddt_reader_f64(p->reader, &range->low));
    SOLVE_TRY(ddt_reader_f64(p->reader, &range->high));
    SOLVE_TRY(ddt_reader_count(p->reader, sizeof(double), SOLVE_LEVELS_MAX, &range->level_count));
    for (size_t l = 0; l < range->level_count; l++) {
        SOLVE_TRY(ddt_reader_f64(p->reader, &range->levels[l]));
    }
    return range->low <= range->high ? DDT_OK : bad(p, "a range is empty");
}

static ddt_status read_ranges(const parser *p) {
    const size_t least_bytes = 4 + 8 + 8 + 4;
    size_t count = 0;
    SOLVE_TRY(ddt_reader_count(p->reader, least_bytes, RANGES_MAX, &count));
    p->layout->ranges = ddt_calloc(count, sizeof *p->layout->ranges);
    if (p->layout->ranges == NULL) {
        return solve_no_memory(p->ctx);
    }
    p->layout->range_count = count;
    for (size_t i = 0; i < count; i++) {
        SOLVE_TRY(read_range(p, &p->layout->ranges[i]));
    }
    return DDT_OK;
}

/* Whether a table of earlier doses follows. */
static bool has_history(const solve_layout *layout) {
    return layout->input_count > 0 && layout->inputs[layout->input_count - 1].kind == SOLVE_INPUT_HISTORY;
}

static ddt_status read_input_fields(const parser *p, solve_input *input) {
    uint32_t kind = 0;
    uint32_t role = 0;
    uint32_t giving = 0;
    uint32_t flags = 0;
    SOLVE_TRY(ddt_reader_string(p->reader, NAME_MAX_BYTES, &input->name));
    SOLVE_TRY(ddt_reader_u32(p->reader, &kind));
    SOLVE_TRY(ddt_reader_u32(p->reader, &input->range));
    SOLVE_TRY(ddt_reader_f64(p->reader, &input->mid));
    SOLVE_TRY(ddt_reader_f64(p->reader, &input->half));
    SOLVE_TRY(ddt_reader_f64(p->reader, &input->bound));
    SOLVE_TRY(ddt_reader_f64(p->reader, &input->threshold));
    SOLVE_TRY(ddt_reader_u32(p->reader, &role));
    SOLVE_TRY(ddt_reader_u32(p->reader, &giving));
    SOLVE_TRY(ddt_reader_u32(p->reader, &input->compartment));
    SOLVE_TRY(ddt_reader_u32(p->reader, &flags));
    if (kind > SOLVE_INPUT_THRESHOLD || role > SOLVE_ROLE_OBSERVATION || giving > SOLVE_GIVING_CONSTANT_MODELLED ||
        flags > (FLAG_OMITS_F | FLAG_PUBLIC) ||
        ((flags & FLAG_PUBLIC) != 0 && (kind != SOLVE_INPUT_AMOUNT || p->layout->packed > 0))) {
        return bad(p, "an input is of a kind that does not exist");
    }
    input->kind = (solve_input_kind)kind;
    input->role = (solve_role)role;
    input->giving = (solve_giving)giving;
    input->omits_f = (flags & FLAG_OMITS_F) != 0;
    input->is_public = (flags & FLAG_PUBLIC) != 0;
    return DDT_OK;
}

/* Features come first, then all others in one. */
static ddt_status check_fit_name(const parser *p, const ddt_plan *plan, size_t index) {
    bool is_first = p->layout->inputs[index].kind == SOLVE_INPUT_FIT;
    for (size_t i = 0; i < index; i++) {
        is_first = is_first && p->layout->inputs[i].kind != SOLVE_INPUT_FIT;
    }
    if (SOLVE_FIT_VECTORS > ddt_plan_input_count(plan)) {
        return bad(p, "the circuit has another number of inputs");
    }
    const char *features = ddt_plan_get_input(plan, 0).name;
    const char *others = ddt_plan_get_input(plan, 1).name;
    bool is_right = features != NULL && others != NULL && strstr(others, SOLVE_PACKED_NAME) != NULL &&
                    (!is_first || strcmp(features, p->layout->inputs[index].name) == 0);
    return is_right ? DDT_OK : bad(p, "an input is not the circuit's");
}

/* The circuit has an input of this name where this one belongs. */
static ddt_status check_name(const parser *p, const ddt_plan *plan, size_t index, bool is_packed) {
    const solve_input *input = &p->layout->inputs[index];
    const size_t inputs = ddt_plan_input_count(plan);
    bool is_history = input->kind == SOLVE_INPUT_HISTORY;
    if (is_history && index + 1 != p->layout->input_count) {
        return bad(p, "earlier doses are not its last input");
    }
    if (p->layout->packed == SOLVE_PACKED_FIT) {
        return check_fit_name(p, plan, index);
    }
    size_t at = is_packed ? 0 : is_history ? inputs - 1 : solve_sent_before(p->layout, index);
    if (at >= inputs) {
        return bad(p, "the circuit has another number of inputs");
    }
    ddt_plan_input expected = ddt_plan_get_input(plan, at);
    const char *name = is_packed ? SOLVE_PACKED_NAME : input->name;
    return expected.name == NULL || strcmp(name, expected.name) != 0 ? bad(p, "an input is not the circuit's") : DDT_OK;
}

static ddt_status read_input(const parser *p, const ddt_plan *plan, size_t index) {
    solve_input *input = &p->layout->inputs[index];
    SOLVE_TRY(read_input_fields(p, input));
    bool is_packed = p->layout->packed > 0 && input->kind != SOLVE_INPUT_HISTORY;
    bool is_fit = p->layout->packed == SOLVE_PACKED_FIT;
    SOLVE_TRY(input->is_public ? DDT_OK : check_name(p, plan, index, is_packed));
    bool has_range = input->kind <= SOLVE_INPUT_AMOUNT || input->kind >= SOLVE_INPUT_FIT;
    if (input->range >= (has_range ? p->layout->range_count : 1) || !(input->half > 0.0)) {
        return bad(p, "an input is not the circuit's");
    }
    bool is_symbol = input->kind <= SOLVE_INPUT_LOG || input->kind == SOLVE_INPUT_THRESHOLD;
    if (is_packed && !is_fit && (!is_symbol || input->role != SOLVE_ROLE_SUBJECT)) {
        return bad(p, "an input that changes within a subject is packed");
    }
    if (input->kind == SOLVE_INPUT_LOG && !(p->layout->ranges[input->range].low > 0.0)) {
        return bad(p, "the logarithm of a range that is not positive is wanted");
    }
    return DDT_OK;
}

static ddt_status read_inputs(parser *p, const ddt_plan *plan) {
    const size_t least_bytes = 8 * 4 + 4 * 8;
    size_t count = 0;
    uint32_t packed = 0;
    SOLVE_TRY(ddt_reader_u32(p->reader, &packed));
    SOLVE_TRY(ddt_reader_u32(p->reader, &p->has_posterior));
    SOLVE_TRY(ddt_reader_count(p->reader, least_bytes, RANGES_MAX, &count));
    if (packed != SOLVE_PACKED_FIT && ((packed & (packed - 1)) != 0 || packed > SOLVE_PACKED_MAX)) {
        return bad(p, "its inputs are packed in a way that does not exist");
    }
    p->layout->packed = packed;
    p->layout->inputs = ddt_calloc(count, sizeof *p->layout->inputs);
    if (p->layout->inputs == NULL) {
        return solve_no_memory(p->ctx);
    }
    p->layout->input_count = count;
    for (size_t i = 0; i < count; i++) {
        SOLVE_TRY(read_input(p, plan, i));
    }
    size_t own = count - has_history(p->layout);
    if (packed > 0 && packed != SOLVE_PACKED_FIT && own > packed) {
        return bad(p, "its inputs are packed in a way that does not exist");
    }
    if (packed == SOLVE_PACKED_FIT && !solve_fit_expected(p->layout)) {
        return bad(p, "its inputs are packed in a way that does not exist");
    }
    size_t vectors = packed == SOLVE_PACKED_FIT ? SOLVE_FIT_VECTORS
                     : packed == 0              ? solve_sent_before(p->layout, count)
                                                : 1 + count - own;
    return vectors == ddt_plan_input_count(plan) ? DDT_OK : bad(p, "the circuit has another number of inputs");
}

static ddt_status read_outputs(const parser *p, const ddt_plan *plan) {
    const size_t least_bytes = 4 + 8;
    size_t count = 0;
    SOLVE_TRY(ddt_reader_count(p->reader, least_bytes, RANGES_MAX, &count));
    if (count != ddt_plan_output_count(plan)) {
        return bad(p, "the circuit has another number of outputs");
    }
    p->layout->outputs = ddt_calloc(count, sizeof *p->layout->outputs);
    if (p->layout->outputs == NULL) {
        return solve_no_memory(p->ctx);
    }
    p->layout->output_count = count;
    for (size_t i = 0; i < count; i++) {
        SOLVE_TRY(ddt_reader_string(p->reader, NAME_MAX_BYTES, &p->layout->outputs[i].name));
        SOLVE_TRY(ddt_reader_f64(p->reader, &p->layout->outputs[i].scale));
        if (strcmp(p->layout->outputs[i].name, ddt_plan_output_name(plan, i)) != 0) {
            return bad(p, "an output is not the circuit's");
        }
    }
    return DDT_OK;
}

static ddt_status read_record(const parser *p, solve_record *r) {
    uint32_t evid = 0;
    uint32_t rate_kind = 0;
    uint32_t steady_state = 0;
    SOLVE_TRY(ddt_reader_f64(p->reader, &r->time_h));
    SOLVE_TRY(ddt_reader_f64(p->reader, &r->interval_h));
    SOLVE_TRY(ddt_reader_f64(p->reader, &r->duration_h));
    SOLVE_TRY(ddt_reader_f64(p->reader, &r->fixed_amount));
    SOLVE_TRY(ddt_reader_u32(p->reader, &evid));
    SOLVE_TRY(ddt_reader_u32(p->reader, &rate_kind));
    SOLVE_TRY(ddt_reader_u32(p->reader, &steady_state));
    SOLVE_TRY(ddt_reader_u32(p->reader, &r->compartment));
    SOLVE_TRY(ddt_reader_u32(p->reader, &r->additional));
    r->evid = (int32_t)evid;
    r->rate_kind = (int32_t)rate_kind;
    r->steady_state = (int32_t)steady_state;
    return DDT_OK;
}

static ddt_status read_segments(const parser *p, solve_layout_subject *subject) {
    size_t count = 0;
    SOLVE_TRY(ddt_reader_count(p->reader, SEGMENT_BYTES, DDT_EVENTS_MAX_RECORDS, &count));
    subject->segments = ddt_calloc(count, sizeof *subject->segments);
    if (subject->segments == NULL) {
        return solve_no_memory(p->ctx);
    }
    subject->segment_count = count;
    for (size_t j = 0; j < count; j++) {
        SOLVE_TRY(ddt_reader_f64(p->reader, &subject->segments[j].end_h));
        SOLVE_TRY(ddt_reader_u32(p->reader, &subject->segments[j].record));
        if (subject->segments[j].record >= subject->record_count) {
            return bad(p, "a segment names a record that does not exist");
        }
    }
    return DDT_OK;
}

static ddt_status read_subject(const parser *p, solve_layout_subject *subject) {
    size_t count = 0;
    SOLVE_TRY(ddt_reader_count(p->reader, RECORD_BYTES, DDT_EVENTS_MAX_RECORDS, &count));
    subject->records = ddt_calloc(count, sizeof *subject->records);
    if (subject->records == NULL) {
        return solve_no_memory(p->ctx);
    }
    subject->record_count = count;
    for (size_t r = 0; r < count; r++) {
        SOLVE_TRY(read_record(p, &subject->records[r]));
    }
    SOLVE_TRY(read_segments(p, subject));
    SOLVE_TRY(ddt_reader_count(p->reader, PLACE_BYTES, DDT_EVENTS_MAX_RECORDS, &count));
    subject->observations = ddt_calloc(count, sizeof *subject->observations);
    if (subject->observations == NULL) {
        return solve_no_memory(p->ctx);
    }
    subject->observation_count = count;
    for (size_t k = 0; k < count; k++) {
        SOLVE_TRY(ddt_reader_u32(p->reader, &subject->observations[k].lane));
        SOLVE_TRY(ddt_reader_u32(p->reader, &subject->observations[k].column));
        SOLVE_TRY(ddt_reader_f64(p->reader, &subject->observations[k].time_h));
    }
    return DDT_OK;
}

static ddt_status read_subjects(const parser *p) {
    size_t count = 0;
    SOLVE_TRY(ddt_reader_count(p->reader, SUBJECT_BYTES_MIN, DDT_EVENTS_MAX_RECORDS, &count));
    p->layout->subjects = ddt_calloc(count, sizeof *p->layout->subjects);
    if (p->layout->subjects == NULL) {
        return solve_no_memory(p->ctx);
    }
    p->layout->subject_count = count;
    for (size_t s = 0; s < count; s++) {
        /* IDs stay with the custodian: a plan knows subjects by their place in the table. */
        char id[ID_MAX_BYTES];
        (void)snprintf(id, sizeof id, "%zu", s + 1);
        p->layout->subjects[s].id = ddt_strdup(id);
        if (p->layout->subjects[s].id == NULL) {
            return solve_no_memory(p->ctx);
        }
        SOLVE_TRY(read_subject(p, &p->layout->subjects[s]));
    }
    return DDT_OK;
}

static ddt_status read_source(const parser *p, const solve_lane *lane, solve_lane_source *source) {
    size_t records = p->layout->subjects[lane->subject].record_count;
    SOLVE_TRY(ddt_reader_u32(p->reader, &source->record));
    SOLVE_TRY(ddt_reader_u32(p->reader, &source->input));
    SOLVE_TRY(ddt_reader_u32(p->reader, &source->covariate_record));
    SOLVE_TRY(ddt_reader_u32(p->reader, &source->piece));
    SOLVE_TRY(ddt_reader_u32(p->reader, &source->past));
    SOLVE_TRY(ddt_reader_f64(p->reader, &source->time_h));
    SOLVE_TRY(ddt_reader_f64(p->reader, &source->duration_h));
    if (source->covariate_record >= records) {
        return bad(p, "a source names a record that does not exist");
    }
    if (source->input == SOLVE_NONE && source->record == SOLVE_NONE) {
        return DDT_OK;
    }
    if (source->input >= p->layout->input_count || p->layout->inputs[source->input].kind != SOLVE_INPUT_AMOUNT ||
        source->record >= records) {
        return bad(p, "a source names an input or a record that does not exist");
    }
    return DDT_OK;
}

static ddt_status read_column(const parser *p, const solve_lane *lane, solve_lane_column *column) {
    const solve_layout_subject *subject = &p->layout->subjects[lane->subject];
    SOLVE_TRY(ddt_reader_f64(p->reader, &column->time_h));
    SOLVE_TRY(ddt_reader_u32(p->reader, &column->record));
    SOLVE_TRY(ddt_reader_u32(p->reader, &column->segment));
    SOLVE_TRY(ddt_reader_u32(p->reader, &column->segment_count));
    return column->record >= subject->record_count || column->segment > subject->segment_count ||
                   column->segment_count > subject->segment_count - column->segment
               ? bad(p, "a column names a record or a segment that does not exist")
               : DDT_OK;
}

/* A piece of an infusion lies in a segment of each epoch's columns that it acts on. */
static ddt_status check_pieces(const parser *p, const solve_lane *lane) {
    for (size_t row = 0; row < lane->source_count; row++) {
        for (size_t k = 0; k < lane->column_count; k++) {
            uint32_t piece = lane->sources[row].piece;
            bool acts = lane->active[row * lane->column_count + k] != 0;
            if (acts && piece != SOLVE_NONE && piece >= lane->columns[k].segment_count) {
                return bad(p, "a source names a segment that does not exist");
            }
        }
    }
    return DDT_OK;
}

static ddt_status read_lane(const parser *p, solve_lane *lane) {
    SOLVE_TRY(ddt_reader_u32(p->reader, &lane->subject));
    SOLVE_TRY(ddt_reader_count(p->reader, SOURCE_BYTES, p->layout->rows, &lane->source_count));
    SOLVE_TRY(section_size(p->reader, &lane->column_count));
    if (lane->subject >= p->layout->subject_count || lane->column_count > p->layout->columns) {
        return bad(p, "a lane has a subject or columns that do not exist");
    }
    lane->sources = ddt_calloc(lane->source_count, sizeof *lane->sources);
    lane->columns = ddt_calloc(lane->column_count, sizeof *lane->columns);
    lane->active = ddt_calloc(lane->source_count * lane->column_count, 1);
    if (lane->sources == NULL || lane->columns == NULL || lane->active == NULL) {
        return solve_no_memory(p->ctx);
    }
    for (size_t i = 0; i < lane->source_count; i++) {
        SOLVE_TRY(read_source(p, lane, &lane->sources[i]));
    }
    for (size_t k = 0; k < lane->column_count; k++) {
        SOLVE_TRY(read_column(p, lane, &lane->columns[k]));
    }
    SOLVE_TRY(ddt_reader_bytes(p->reader, lane->active, lane->source_count * lane->column_count));
    return check_pieces(p, lane);
}

static ddt_status check_places(const parser *p) {
    for (size_t s = 0; s < p->layout->subject_count; s++) {
        const solve_layout_subject *subject = &p->layout->subjects[s];
        for (size_t k = 0; k < subject->observation_count; k++) {
            const solve_place *place = &subject->observations[k];
            if (place->lane >= p->layout->lane_count || p->layout->lanes[place->lane].subject != s ||
                place->column >= p->layout->lanes[place->lane].column_count) {
                return bad(p, "an observation lies in a slot that does not exist");
            }
        }
    }
    return DDT_OK;
}

static ddt_status read_tables(parser *p, const ddt_plan *plan) {
    SOLVE_TRY(ddt_reader_begin(p->reader, "SOLV", SECTION_MAX_BYTES));
    SOLVE_TRY(read_shape(p, plan));
    SOLVE_TRY(read_ranges(p));
    SOLVE_TRY(read_inputs(p, plan));
    SOLVE_TRY(read_outputs(p, plan));
    return ddt_reader_end(p->reader);
}

static ddt_status read_lanes(const parser *p) {
    for (size_t l = 0; l < p->layout->lane_count; l++) {
        SOLVE_TRY(read_lane(p, &p->layout->lanes[l]));
    }
    return DDT_OK;
}

static ddt_status read_structure(parser *p, const ddt_plan *plan) {
    SOLVE_TRY(read_tables(p, plan));
    SOLVE_TRY(ddt_reader_begin(p->reader, "SUBJ", SECTION_MAX_BYTES));
    SOLVE_TRY(read_subjects(p));
    SOLVE_TRY(ddt_reader_end(p->reader));
    SOLVE_TRY(ddt_reader_begin(p->reader, "LANE", SECTION_MAX_BYTES));
    SOLVE_TRY(read_lanes(p));
    SOLVE_TRY(ddt_reader_end(p->reader));
    p->solution->info.subjects = p->layout->subject_count;
    return check_places(p);
}

/* What only some solutions have: earlier doses, points of a posterior. */
static ddt_status read_extras(const parser *p) {
    if (has_history(p->layout)) {
        SOLVE_TRY(solve_history_read(p->ctx, p->reader, p->layout));
    }
    if (p->has_posterior != 0) {
        size_t slots = p->layout->rows * p->layout->columns; /* read_shape has seen that this is no overflow */
        SOLVE_TRY(p->has_posterior == 1 && p->layout->segments == 1 && p->layout->lane_slots == 0
                      ? solve_posterior_read(p->ctx, p->reader, slots, &p->layout->posterior)
                      : bad(p, "its points do not fill a lane"));
    }
    return DDT_OK;
}

/* Only candidates that are simulated come with doses of their own. */
static bool has_stray_public(const parser *p, bool is_curves) {
    const solve_layout *layout = p->layout;
    const bool has_public = solve_sent_before(layout, layout->input_count) < layout->input_count;
    return has_public && (!is_curves || layout->history != NULL || layout->posterior != NULL);
}

static ddt_status read_all(parser *p, const ddt_plan *plan) {
    SOLVE_TRY(read_structure(p, plan));
    SOLVE_TRY(read_extras(p));
    if (!solve_fit_expected(p->layout)) {
        char tag[4] = {0};
        SOLVE_TRY(ddt_reader_peek(p->reader, tag));
        const bool is_curves = memcmp(tag, "CURV", sizeof tag) == 0;
        if (has_stray_public(p, is_curves)) {
            return bad(p, "it lacks doses that are not sent");
        }
        if (is_curves) {
            return recommend_curves_read(p->ctx, p->reader, p->solution);
        }
        if (memcmp(tag, "UNIT", sizeof tag) == 0) {
            return recommend_units_read(p->ctx, p->reader, p->solution);
        }
        SOLVE_TRY(p->layout->lane_slots == 0 ? DDT_OK : ddt_reader_peek(p->reader, tag));
        if (memcmp(tag, "BAND", sizeof tag) == 0) {
            return solve_bands_read(p->ctx, p->reader, p->solution);
        }
        return p->layout->lane_slots == 0 ? DDT_OK : bad(p, "its shape is not the circuit's");
    }
    return has_stray_public(p, false) ? bad(p, "it lacks doses that are not sent")
                                      : solve_fit_read(p->ctx, p->reader, p->solution);
}

ddt_status ddt_solution_read(ddt_context *ctx, ddt_reader *reader, const ddt_plan *plan, ddt_solution **out) {
    ddt_solution *solution = ddt_calloc(1, sizeof *solution);
    if (solution == NULL) {
        return solve_no_memory(ctx);
    }
    parser p = {.ctx = ctx, .reader = reader, .solution = solution, .layout = &solution->layout};
    ddt_status status = read_all(&p, plan);
    if (status != DDT_OK) {
        ddt_solution_destroy(solution);
        return status;
    }
    *out = solution;
    return DDT_OK;
}
