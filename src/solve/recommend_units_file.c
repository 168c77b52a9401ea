/*
 * The section "UNIT" of a plan file: targets, figures and factors of unit responses. Files from outside are hostile:
 * every number is checked.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_units.h"
#include "section.h"

#include <string.h>

enum { SECTION_MAX_BYTES = 1 << 22, TEXT_MAX = 4096, TARGET_BYTES_MIN = 3 + 4 + 8 * 8, SIZES = 6 };

/* ------------------------------------------------------------------ targets, for both kinds of recommendations */

/* Infinities are no numbers of a file: an open upper end is 0. */
static void write_target(ddt_writer *w, const ddt_recommend_target *target) {
    ddt_writer_u8(w, (uint8_t)target->kind);
    ddt_writer_u8(w, target->is_steady);
    ddt_writer_u8(w, target->is_toxicity);
    const double numbers[] = {
        target->at_h, target->from_h, target->to_h, target->low, isfinite(target->high) ? target->high : 0.0,
        target->mic,  target->weight, target->day};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        ddt_writer_f64(w, numbers[i]);
    }
    ddt_writer_string(w, target->name);
}

void recommend_targets_write(ddt_writer *writer, const ddt_recommend_targets *targets) {
    ddt_writer_u32(writer, (uint32_t)targets->count);
    for (size_t t = 0; t < targets->count; t++) {
        write_target(writer, &targets->items[t]);
    }
}

static ddt_status bad(ddt_context *ctx, const ddt_reader *reader, const char *what) {
    return section_bad(ctx, reader, "list of candidates", what);
}

static bool is_sound(const ddt_recommend_target *target) {
    bool has_times = target->at_h >= 0.0 && target->from_h >= 0.0 && target->to_h >= 0.0 && target->day > 0.0;
    return has_times && target->low >= 0.0 && target->low <= target->high && target->weight > 0.0 && target->mic >= 0.0;
}

static ddt_status read_flags(ddt_context *ctx, ddt_reader *reader, ddt_recommend_target *target) {
    uint8_t kind = 0;
    uint8_t is_steady = 0;
    uint8_t is_toxicity = 0;
    SOLVE_TRY(ddt_reader_u8(reader, &kind));
    SOLVE_TRY(ddt_reader_u8(reader, &is_steady));
    SOLVE_TRY(ddt_reader_u8(reader, &is_toxicity));
    target->kind = (ddt_metric_kind)kind;
    target->is_steady = is_steady == 1;
    target->is_toxicity = is_toxicity == 1;
    return kind <= DDT_METRIC_SHARE && is_steady <= 1 && is_toxicity <= 1
               ? DDT_OK
               : bad(ctx, reader, "a target has an unknown kind");
}

static ddt_status read_target(ddt_context *ctx, ddt_reader *reader, ddt_recommend_target *target) {
    char *name = NULL;
    *target = (ddt_recommend_target){0};
    SOLVE_TRY(read_flags(ctx, reader, target));
    double *const numbers[] = {&target->at_h, &target->from_h, &target->to_h,   &target->low,
                               &target->high, &target->mic,    &target->weight, &target->day};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        SOLVE_TRY(ddt_reader_f64(reader, numbers[i]));
    }
    target->high = target->high == 0.0 ? INFINITY : target->high;
    SOLVE_TRY(is_sound(target) ? DDT_OK : bad(ctx, reader, "a target has no range"));
    SOLVE_TRY(ddt_reader_string(reader, sizeof target->name - 1, &name));
    (void)snprintf(target->name, sizeof target->name, "%s", name);
    ddt_free(name);
    return DDT_OK;
}

ddt_status recommend_targets_read(ddt_context *ctx, ddt_reader *reader, ddt_recommend_targets *out) {
    size_t count = 0;
    *out = (ddt_recommend_targets){0};
    SOLVE_TRY(ddt_reader_count(reader, TARGET_BYTES_MIN, DDT_RECOMMEND_TARGETS_MAX, &count));
    for (; out->count < count; out->count++) {
        SOLVE_TRY(read_target(ctx, reader, &out->items[out->count]));
    }
    return DDT_OK;
}

ddt_status recommend_product_read(ddt_context *ctx, ddt_reader *reader, ddt_recommend_product *out) {
    char *text = NULL;
    SOLVE_TRY(ddt_reader_string(reader, TEXT_MAX, &text));
    ddt_status status = ddt_recommend_parse_product(ctx, text, out);
    ddt_free(text);
    return status == DDT_ERR_USAGE ? bad(ctx, reader, "its product is none") : status;
}

/* ------------------------------------------------------------------ unit responses */

ddt_status recommend_units_write(ddt_writer *writer, const struct solve_units *units) {
    const size_t sizes[SIZES] = {units->points,      units->row_slots, units->columns,
                                 units->shape_slots, units->has_past,  units->has_costs};
    ddt_writer_begin(writer, "UNIT");
    for (size_t i = 0; i < SIZES; i++) {
        ddt_writer_u32(writer, (uint32_t)sizes[i]);
    }
    ddt_writer_f64(writer, units->dose_weight);
    ddt_writer_f64(writer, units->largest);
    ddt_writer_string(writer, units->product_text);
    recommend_targets_write(writer, &units->targets);
    recommend_targets_write(writer, &units->reports);
    for (size_t i = 0; i < units->column_count * units->shapes; i++) {
        ddt_writer_f64(writer, units->own[i]);
        ddt_writer_f64(writer, units->past[i]);
    }
    return ddt_writer_end(writer);
}

/* Every slot that a table reads must exist. */
static ddt_status check_sizes(ddt_context *ctx, ddt_reader *reader, const solve_layout *layout,
                              const struct solve_units *units) {
    const size_t costs = units->targets.count > 1 ? 2 + units->targets.count : 2;
    const uint64_t columns = (uint64_t)(units->has_past ? 2 : 1) * units->column_count * units->shape_slots;
    if (units->targets.count == 0 || units->points < 1 || units->points > UNITS_POINTS_MAX ||
        layout->output_count != 1 + (units->has_costs ? costs : 0)) {
        return bad(ctx, reader, "its outputs are no table");
    }
    if (layout->segments != 1 || (uint64_t)units->points * units->row_slots * units->columns != layout->columns ||
        units->shapes > units->shape_slots || columns > units->columns || layout->rows != 1 ||
        layout->lane_count != layout->subject_count) {
        return bad(ctx, reader, "its responses do not fill the lanes");
    }
    for (size_t s = 0; s < layout->subject_count; s++) {
        if (layout->subjects[s].observation_count != units->candidate_count || layout->lanes[s].subject != s) {
            return bad(ctx, reader, "its candidates are others");
        }
    }
    const size_t rows = units->has_costs ? recommend_dose_count(&units->product) : 1;
    return rows <= units->row_slots && units->dose_weight >= 0.0 && units->largest > 0.0
               ? DDT_OK
               : bad(ctx, reader, "its doses have no rows");
}

static ddt_status read_sizes(ddt_context *ctx, ddt_reader *reader, struct solve_units *units) {
    uint32_t sizes[SIZES] = {0};
    for (size_t i = 0; i < SIZES; i++) {
        SOLVE_TRY(ddt_reader_u32(reader, &sizes[i]));
    }
    SOLVE_TRY(sizes[4] <= 1 && sizes[SIZES - 1] <= 1 ? DDT_OK : bad(ctx, reader, "a flag is neither 0 nor 1"));
    units->points = sizes[0];
    units->row_slots = sizes[1];
    units->columns = sizes[2];
    units->shape_slots = sizes[3];
    units->has_past = sizes[4] == 1;
    units->has_costs = sizes[SIZES - 1] == 1;
    return DDT_OK;
}

static ddt_status read_all(ddt_context *ctx, ddt_reader *reader, const solve_layout *layout,
                           struct solve_units *units) {
    SOLVE_TRY(ddt_reader_begin(reader, "UNIT", SECTION_MAX_BYTES));
    SOLVE_TRY(read_sizes(ctx, reader, units));
    SOLVE_TRY(ddt_reader_f64(reader, &units->dose_weight));
    SOLVE_TRY(ddt_reader_f64(reader, &units->largest));
    SOLVE_TRY(recommend_product_read(ctx, reader, &units->product));
    SOLVE_TRY(recommend_targets_read(ctx, reader, &units->targets));
    SOLVE_TRY(recommend_targets_read(ctx, reader, &units->reports));
    SOLVE_TRY(recommend_units_prepare(ctx, units));
    SOLVE_TRY(check_sizes(ctx, reader, layout, units));
    for (size_t i = 0; i < units->column_count * units->shapes; i++) {
        SOLVE_TRY(ddt_reader_f64(reader, &units->own[i]));
        SOLVE_TRY(ddt_reader_f64(reader, &units->past[i]));
    }
    return ddt_reader_end(reader);
}

ddt_status recommend_units_read(ddt_context *ctx, ddt_reader *reader, ddt_solution *solution) {
    struct solve_units *units = ddt_calloc(1, sizeof *units);
    if (units == NULL) {
        return solve_no_memory(ctx);
    }
    solution->units = units; /* the solution's destructor frees it */
    return read_all(ctx, reader, &solution->layout, units);
}
