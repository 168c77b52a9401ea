/*
 * The surrogate's section of a plan file, "SURR", before the fit's. Files from outside are hostile: every count is
 * checked.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_surrogate.h"
#include "section.h"

enum { SECTION_MAX_BYTES = 1 << 30, LANES_MAX = 1 << 20, LANE_BYTES = 12 };

/* ------------------------------------------------------------------ writing */

static void write_numbers(ddt_writer *w, const double *numbers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ddt_writer_f64(w, numbers[i]);
    }
}

ddt_status surrogate_write(ddt_writer *writer, const solve_fit *fit) {
    const struct fit_surrogate *s = fit->surrogate;
    ddt_writer_begin(writer, "SURR");
    ddt_writer_u32(writer, s->has_scores);
    ddt_writer_f64(writer, s->rest_unit);
    ddt_writer_f64(writer, s->slope_unit);
    ddt_writer_f64(writer, s->score_unit);
    ddt_writer_u32(writer, s->patient_input);
    ddt_writer_u32(writer, s->amount_range);
    ddt_writer_u32(writer, (uint32_t)fit->eta_count);
    ddt_writer_u32(writer, (uint32_t)s->lane_count);
    for (size_t l = 0; l < s->lane_count; l++) {
        const surrogate_lane *lane = &s->lanes[l];
        ddt_writer_u32(writer, (uint32_t)lane->level_count);
        ddt_writer_u32(writer, (uint32_t)lane->direction_count);
        ddt_writer_u32(writer, lane->degree);
        write_numbers(writer, lane->projection, lane->direction_count * lane->level_count * fit->eta_count);
        write_numbers(writer, lane->centre, lane->direction_count);
        write_numbers(writer, lane->coefficients, lane->level_count * lane->term_count);
    }
    return ddt_writer_end(writer);
}

/* ------------------------------------------------------------------ reading */

static ddt_status bad(ddt_context *ctx, const ddt_reader *reader, const char *what) {
    return section_bad(ctx, reader, "surrogate of the fit", what);
}

static ddt_status read_lane(ddt_context *ctx, ddt_reader *reader, size_t etas, surrogate_lane *lane) {
    uint32_t levels = 0;
    uint32_t directions = 0;
    uint32_t degree = 0;
    SOLVE_TRY(ddt_reader_u32(reader, &levels));
    SOLVE_TRY(ddt_reader_u32(reader, &directions));
    SOLVE_TRY(ddt_reader_u32(reader, &degree));
    if (levels > FIT_LEVELS_MAX || directions > SURROGATE_DIRECTIONS_MAX || degree == 0 ||
        degree > SURROGATE_DEGREE_MAX) {
        return bad(ctx, reader, "a polynomial");
    }
    lane->level_count = levels;
    lane->direction_count = directions;
    lane->degree = degree;
    lane->term_count = surrogate_terms(etas, directions, degree, NULL);
    if (lane->term_count > SURROGATE_ROWS - SURROGATE_EXTRAS) {
        return bad(ctx, reader, "a polynomial of too many terms");
    }
    lane->projection = ddt_calloc((size_t)directions * levels * etas + 1, sizeof *lane->projection);
    lane->centre = ddt_calloc((size_t)directions + 1, sizeof *lane->centre);
    lane->coefficients = ddt_calloc(levels * lane->term_count + 1, sizeof *lane->coefficients);
    lane->exponents = ddt_calloc(lane->term_count * (etas + directions), sizeof *lane->exponents);
    if (lane->projection == NULL || lane->centre == NULL || lane->coefficients == NULL || lane->exponents == NULL) {
        return solve_no_memory(ctx);
    }
    (void)surrogate_terms(etas, directions, degree, lane->exponents);
    SOLVE_TRY(section_numbers(reader, lane->projection, (size_t)directions * levels * etas));
    SOLVE_TRY(section_numbers(reader, lane->centre, directions));
    return section_numbers(reader, lane->coefficients, levels * lane->term_count);
}

ddt_status surrogate_read(ddt_context *ctx, ddt_reader *reader, solve_fit *fit) {
    uint32_t has_scores = 0;
    uint32_t etas = 0;
    struct fit_surrogate *s = ddt_calloc(1, sizeof *s);
    if (s == NULL) {
        return solve_no_memory(ctx);
    }
    fit->surrogate = s;
    s->rows = SURROGATE_ROWS;
    SOLVE_TRY(ddt_reader_begin(reader, "SURR", SECTION_MAX_BYTES));
    SOLVE_TRY(ddt_reader_u32(reader, &has_scores));
    SOLVE_TRY(ddt_reader_f64(reader, &s->rest_unit));
    SOLVE_TRY(ddt_reader_f64(reader, &s->slope_unit));
    SOLVE_TRY(ddt_reader_f64(reader, &s->score_unit));
    SOLVE_TRY(ddt_reader_u32(reader, &s->patient_input));
    SOLVE_TRY(ddt_reader_u32(reader, &s->amount_range));
    SOLVE_TRY(ddt_reader_u32(reader, &etas));
    if (etas == 0 || etas > FIT_ETAS_MAX || !(s->rest_unit > 0.0) || !(s->slope_unit > 0.0) || !(s->score_unit > 0.0)) {
        return bad(ctx, reader, "its shape");
    }
    s->has_scores = has_scores != 0;
    fit->eta_count = etas;
    SOLVE_TRY(ddt_reader_count(reader, LANE_BYTES, LANES_MAX, &s->lane_count));
    s->lanes = ddt_calloc(s->lane_count, sizeof *s->lanes);
    if (s->lanes == NULL) {
        s->lane_count = 0;
        return solve_no_memory(ctx);
    }
    for (size_t l = 0; l < s->lane_count; l++) {
        SOLVE_TRY(read_lane(ctx, reader, etas, &s->lanes[l]));
    }
    return ddt_reader_end(reader);
}

ddt_status surrogate_check(ddt_context *ctx, ddt_reader *reader, const ddt_solution *solution) {
    const solve_fit *fit = solution->fit;
    const solve_layout *layout = &solution->layout;
    const struct fit_surrogate *s = fit->surrogate;
    bool is_right = layout->rows == s->rows && layout->segments == 1 && layout->packed == 0 &&
                    layout->lane_slots == 0 && s->lane_count == layout->lane_count && layout->input_count == 2 &&
                    s->patient_input == 1 && fit->feature_input == 0 && s->amount_range < layout->range_count &&
                    layout->inputs[1].kind == SOLVE_INPUT_FIT &&
                    layout->rows * layout->columns >= 2 * fit->feature_count;
    for (size_t l = 0; l < s->lane_count && is_right; l++) {
        is_right = s->lanes[l].level_count == fit->lanes[l].level_count && s->lanes[l].level_count <= layout->columns &&
                   layout->lanes[l].source_count == 0;
    }
    for (size_t o = 0; o < fit->output_count && is_right; o++) {
        is_right = fit->inverse_input[o] == SOLVE_NONE;
    }
    return is_right ? DDT_OK : bad(ctx, reader, "it is not that of the plan");
}
