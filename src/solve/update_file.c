/*
 * The section "UPD2" of a plan file:
 *   u32 points, states, etas, outputs, degree; f64 memory, half life, log scale, penalty, spread;
 *   degree + 1 x f64 transform; states x (f64 largest dose, f64 doses a unit of time);
 *   count of ranges, each string column, f64 low, f64 high; etas x (string name, u32 symbol); etas^2 x f64 prior;
 *   points x etas x f64; states x points x f64 scales; outputs x points x f64 reaches.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "section.h"
#include "update_internal.h"

#include <string.h>

static void write_numbers(ddt_writer *writer, const double *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ddt_writer_f64(writer, values[i]);
    }
}

ddt_status ddt_update_write(ddt_writer *writer, const ddt_update *u) {
    ddt_writer_begin(writer, "UPD2");
    ddt_writer_u32(writer, (uint32_t)u->points);
    ddt_writer_u32(writer, (uint32_t)u->states);
    ddt_writer_u32(writer, (uint32_t)u->etas);
    ddt_writer_u32(writer, (uint32_t)u->outputs);
    ddt_writer_u32(writer, u->degree);
    write_numbers(writer, (const double[]){u->memory, u->half_life_h, u->log_scale, u->penalty_max, u->spread}, 5);
    write_numbers(writer, u->transform, u->degree + 1U);
    for (size_t i = 0; i < u->states; i++) {
        ddt_writer_f64(writer, u->dose_max[i]);
        ddt_writer_f64(writer, u->dose_rate_max[i]);
    }
    ddt_writer_u32(writer, (uint32_t)u->range_count);
    for (size_t i = 0; i < u->range_count; i++) {
        ddt_writer_string(writer, u->ranges[i].name);
        ddt_writer_f64(writer, u->ranges[i].low);
        ddt_writer_f64(writer, u->ranges[i].high);
    }
    for (size_t i = 0; i < u->etas; i++) {
        ddt_writer_string(writer, u->eta_names[i]);
        ddt_writer_u32(writer, u->eta_symbols[i]);
    }
    write_numbers(writer, u->prior, u->etas * u->etas);
    write_numbers(writer, u->etas_of, u->points * u->etas);
    write_numbers(writer, u->scale, u->states * u->points);
    write_numbers(writer, u->reach, u->outputs * u->points);
    return ddt_writer_end(writer);
}

static ddt_status bad(ddt_context *ctx, const ddt_reader *reader) {
    return ddt_fail(ctx, DDT_ERR_FORMAT, "%s does not hold a twin's plan that makes sense.", ddt_reader_path(reader));
}

/* Sizes, against their limits and the plan's shape. */
static ddt_status read_shape(ddt_context *ctx, ddt_reader *reader, const ddt_plan *plan, ddt_update *u) {
    uint32_t sizes[5];
    for (int i = 0; i < 5; i++) {
        SOLVE_TRY(ddt_reader_u32(reader, &sizes[i]));
    }
    u->points = sizes[0];
    u->states = sizes[1];
    u->etas = sizes[2];
    u->outputs = sizes[3];
    u->degree = sizes[4];
    bool is_sound = u->points >= UPDATE_POINTS_MIN && u->points <= UPDATE_POINTS_MAX && u->states >= 1 &&
                    u->states <= DDT_UPDATE_STATES_MAX && u->etas >= 1 && u->etas <= DDT_UPDATE_ETAS_MAX &&
                    u->outputs >= 1 && u->outputs <= FIT_OUTPUTS_MAX && u->degree >= 1 &&
                    u->degree <= UPDATE_DEGREE_MAX;
    if (!is_sound) {
        return bad(ctx, reader);
    }
    u->rows = update_rows(u->states);
    ddt_plan_info info;
    ddt_plan_get_info(plan, &info);
    bool fits = info.lanes == 1 && info.block == ddt_update_block(u) &&
                ddt_plan_input_count(plan) == ddt_update_input_count(u) && ddt_plan_output_count(plan) == 1 &&
                ddt_plan_get_output(plan, 0).carried == 0;
    return fits ? DDT_OK : bad(ctx, reader);
}

static bool all_finite(const double *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

static ddt_status read_limits(ddt_context *ctx, ddt_reader *reader, ddt_update *u) {
    double facts[5];
    SOLVE_TRY(section_numbers(reader, facts, 5));
    u->memory = facts[0];
    u->half_life_h = facts[1];
    u->log_scale = facts[2];
    u->penalty_max = facts[3];
    u->spread = facts[4];
    if (!all_finite(facts, 5) ||
        !(u->memory > 1.0 && u->half_life_h >= 0.0 && u->log_scale > 0.0 && u->penalty_max > 0.0 && u->spread > 0.0)) {
        return bad(ctx, reader);
    }
    SOLVE_TRY(section_numbers(reader, u->transform, u->degree + 1U));
    for (size_t i = 0; i < u->states; i++) {
        SOLVE_TRY(ddt_reader_f64(reader, &u->dose_max[i]));
        SOLVE_TRY(ddt_reader_f64(reader, &u->dose_rate_max[i]));
    }
    bool is_sound = all_finite(u->transform, u->degree + 1U) && all_finite(u->dose_max, u->states) &&
                    all_finite(u->dose_rate_max, u->states);
    return is_sound ? DDT_OK : bad(ctx, reader);
}

static ddt_status read_names(ddt_context *ctx, ddt_reader *reader, ddt_update *u) {
    enum { RANGE_BYTES_MIN = 20 };
    SOLVE_TRY(ddt_reader_count(reader, RANGE_BYTES_MIN, UPDATE_COVARIATES_MAX, &u->range_count));
    for (size_t i = 0; i < u->range_count; i++) {
        char *name = NULL;
        SOLVE_TRY(ddt_reader_string(reader, UPDATE_RANGE_NAME_MAX - 1, &name));
        (void)snprintf(u->ranges[i].name, sizeof u->ranges[i].name, "%s", name);
        ddt_free(name);
        SOLVE_TRY(ddt_reader_f64(reader, &u->ranges[i].low));
        SOLVE_TRY(ddt_reader_f64(reader, &u->ranges[i].high));
    }
    for (size_t i = 0; i < u->etas; i++) {
        SOLVE_TRY(ddt_reader_string(reader, UPDATE_RANGE_NAME_MAX, &u->eta_names[i]));
        SOLVE_TRY(ddt_reader_u32(reader, &u->eta_symbols[i]));
    }
    u->etas_of = ddt_calloc(u->points * u->etas, sizeof *u->etas_of);
    u->scale = ddt_calloc(u->states * u->points, sizeof *u->scale);
    u->reach = ddt_calloc(u->outputs * u->points, sizeof *u->reach);
    return u->etas_of == NULL || u->scale == NULL || u->reach == NULL ? solve_no_memory(ctx) : DDT_OK;
}

static bool all_positive(const double *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!(values[i] > 0.0) || !isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

static ddt_status read_fields(ddt_context *ctx, ddt_reader *reader, const ddt_plan *plan, ddt_update *u) {
    SOLVE_TRY(ddt_reader_begin(reader, "UPD2", SIZE_MAX));
    SOLVE_TRY(read_shape(ctx, reader, plan, u));
    SOLVE_TRY(read_limits(ctx, reader, u));
    SOLVE_TRY(read_names(ctx, reader, u));
    SOLVE_TRY(section_numbers(reader, u->prior, u->etas * u->etas));
    SOLVE_TRY(section_numbers(reader, u->etas_of, u->points * u->etas));
    SOLVE_TRY(section_numbers(reader, u->scale, u->states * u->points));
    SOLVE_TRY(section_numbers(reader, u->reach, u->outputs * u->points));
    bool is_sound = all_positive(u->scale, u->states * u->points) && all_positive(u->reach, u->outputs * u->points) &&
                    all_finite(u->prior, u->etas * u->etas) && all_finite(u->etas_of, u->points * u->etas);
    return is_sound ? ddt_reader_end(reader) : bad(ctx, reader);
}

ddt_status ddt_update_read(ddt_context *ctx, ddt_reader *reader, const ddt_plan *plan, ddt_update **out) {
    ddt_update *u = ddt_calloc(1, sizeof *u);
    if (u == NULL) {
        return solve_no_memory(ctx);
    }
    ddt_status status = read_fields(ctx, reader, plan, u);
    if (status != DDT_OK) {
        ddt_update_destroy(u);
        return status;
    }
    *out = u;
    return DDT_OK;
}
