/*
 * Earlier doses: data -> the input's slots, and the section "HIST" of a plan file. Files from outside are hostile:
 * every size and index is checked.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "history.h"

#include "section.h"
#include "solve_internal.h"

#include <string.h>

enum { SECTION_MAX_BYTES = 1 << 30, WEIGHTS_MAX = 1 << 26 };

void solve_history_destroy(solve_history *history) {
    if (history == NULL) {
        return;
    }
    for (size_t l = 0; history->lanes != NULL && l < history->lane_count; l++) {
        ddt_free(history->lanes[l].records);
        ddt_free(history->lanes[l].weights);
    }
    ddt_free(history->lanes);
    ddt_free(history);
}

/* ------------------------------------------------------------------ slots */

static double value_at(const solve_history *h, const solve_history_lane *lane, const double *amounts, size_t metric,
                       size_t shape, size_t row) {
    double sum = 0.0;
    for (size_t i = 0; i < lane->record_count; i++) {
        size_t at = ((i * h->metrics + metric) * h->shapes + shape) * h->rows + row;
        sum += amounts[lane->records[i]] * lane->weights[at];
    }
    return sum;
}

/* One metric's slots of one row, and of the rows that repeat it. */
static void fill_row(const solve_history *h, const solve_history_lane *lane, const double *amounts, size_t metric,
                     size_t row, double *slots) {
    size_t row_size = h->metric_slots * h->shape_slots;
    for (size_t s = 0; s < h->shape_slots; s++) {
        double value = value_at(h, lane, amounts, metric, s < h->shapes ? s : 0, row);
        for (size_t again = row; again < h->row_slots; again += h->rows) {
            slots[again * row_size + (h->first_metric + metric) * h->shape_slots + s] = value;
        }
    }
}

void solve_history_fill(const solve_history *history, size_t lane, const double *amounts, double *slots) {
    const solve_history *h = history;
    size_t size = h->row_slots * h->metric_slots * h->shape_slots;
    memset(slots, 0, size * sizeof *slots);
    for (size_t i = 0; i < h->rows * h->metrics; i++) {
        fill_row(h, &h->lanes[lane], amounts, i % h->metrics, i / h->metrics, slots);
    }
    for (size_t p = 1; p < h->points; p++) {
        memcpy(slots + p * size, slots, size * sizeof *slots);
    }
}

/* ------------------------------------------------------------------ the file */

ddt_status solve_history_write(ddt_writer *writer, const solve_history *history) {
    const solve_history *h = history;
    const size_t sizes[] = {h->points, h->row_slots,    h->metric_slots, h->shape_slots,
                            h->rows,   h->first_metric, h->metrics,      h->shapes};
    ddt_writer_begin(writer, "HIST");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ddt_writer_u32(writer, (uint32_t)sizes[i]);
    }
    for (size_t l = 0; l < h->lane_count; l++) {
        const solve_history_lane *lane = &h->lanes[l];
        ddt_writer_u32(writer, (uint32_t)lane->record_count);
        for (size_t i = 0; i < lane->record_count; i++) {
            ddt_writer_u32(writer, lane->records[i]);
        }
        for (size_t i = 0; i < lane->record_count * h->metrics * h->shapes * h->rows; i++) {
            ddt_writer_f64(writer, lane->weights[i]);
        }
    }
    return ddt_writer_end(writer);
}

static ddt_status bad(ddt_context *ctx, const ddt_reader *reader) {
    return section_bad(ctx, reader, "table of earlier doses", "it does not fit the layout");
}

static ddt_status read_sizes(ddt_context *ctx, ddt_reader *reader, const solve_layout *layout, solve_history *h) {
    size_t *const sizes[] = {&h->points, &h->row_slots,    &h->metric_slots, &h->shape_slots,
                             &h->rows,   &h->first_metric, &h->metrics,      &h->shapes};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        SOLVE_TRY(section_size(reader, sizes[i]));
    }
    size_t slots = 0;
    bool fits = ddt_size_mul(h->points, h->row_slots, &slots) && ddt_size_mul(slots, h->metric_slots, &slots) &&
                ddt_size_mul(slots, h->shape_slots, &slots) && slots == layout->rows * layout->columns &&
                layout->segments == 1 && layout->lane_slots == 0;
    bool is_sound = h->rows > 0 && h->row_slots % h->rows == 0 && h->metrics > 0 && h->shapes > 0 &&
                    h->shapes <= h->shape_slots && h->metrics <= h->metric_slots &&
                    h->first_metric <= h->metric_slots - h->metrics;
    return fits && is_sound ? DDT_OK : bad(ctx, reader);
}

static ddt_status read_lane(ddt_context *ctx, ddt_reader *reader, const solve_history *h, size_t most_records,
                            solve_history_lane *lane) {
    size_t weights = 0;
    size_t per_record = h->metrics * h->shapes * h->rows; /* at most the slots of a lane */
    SOLVE_TRY(ddt_reader_count(reader, sizeof(uint32_t), most_records, &lane->record_count));
    if (!ddt_size_mul(lane->record_count, per_record, &weights) || weights > WEIGHTS_MAX) {
        return bad(ctx, reader);
    }
    lane->records = ddt_calloc(lane->record_count + 1, sizeof *lane->records);
    lane->weights = ddt_calloc(weights + 1, sizeof *lane->weights);
    if (lane->records == NULL || lane->weights == NULL) {
        return solve_no_memory(ctx);
    }
    for (size_t i = 0; i < lane->record_count; i++) {
        SOLVE_TRY(ddt_reader_u32(reader, &lane->records[i]));
        if (lane->records[i] >= most_records) {
            return bad(ctx, reader);
        }
    }
    return section_numbers(reader, lane->weights, weights);
}

ddt_status solve_history_read(ddt_context *ctx, ddt_reader *reader, solve_layout *layout) {
    solve_history *h = ddt_calloc(1, sizeof *h);
    if (h == NULL) {
        return solve_no_memory(ctx);
    }
    layout->history = h;
    SOLVE_TRY(ddt_reader_begin(reader, "HIST", SECTION_MAX_BYTES));
    SOLVE_TRY(read_sizes(ctx, reader, layout, h));
    h->lanes = ddt_calloc(layout->lane_count, sizeof *h->lanes);
    if (h->lanes == NULL) {
        return solve_no_memory(ctx);
    }
    h->lane_count = layout->lane_count;
    for (size_t l = 0; l < h->lane_count; l++) {
        size_t records = layout->subjects[layout->lanes[l].subject].record_count;
        SOLVE_TRY(read_lane(ctx, reader, h, records, &h->lanes[l]));
    }
    return ddt_reader_end(reader);
}
