/*
 * Doses given before a recommendation begins, as the circuit reads them: in each slot the sum over these doses of AMT
 * times a public weight (recommend_history.c makes the weights). The custodian adds them up; the engine sees neither
 * amounts nor how many there are of which size.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_HISTORY_H
#define DDT_SOLVE_HISTORY_H

#include "ddt/solve.h"

struct solve_layout;

/* weights: [record][metric][shape][row]. */
typedef struct solve_history_lane {
    size_t record_count;
    uint32_t *records;
    double *weights;
} solve_history_lane;

/*
 * Slot = ((point * row_slots + row) * metric_slots + metric) * shape_slots + shape; metrics first_metric to
 * first_metric + metrics - 1 have a value, which repeats with the period `rows` along the rows. shapes 1: the same for
 * all shapes.
 */
typedef struct solve_history {
    size_t points, row_slots, metric_slots, shape_slots;
    size_t rows, first_metric, metrics, shapes;
    size_t lane_count;
    solve_history_lane *lanes;
} solve_history;

void solve_history_destroy(solve_history *history);
/* amounts: of each record of the lane's subject. slots: of the lane. */
void solve_history_fill(const solve_history *history, size_t lane, const double *amounts, double *slots);
DDT_MUST_CHECK ddt_status solve_history_write(ddt_writer *writer, const solve_history *history);
/* For a layout whose shape and records have been read. */
DDT_MUST_CHECK ddt_status solve_history_read(ddt_context *ctx, ddt_reader *reader, struct solve_layout *layout);

#endif
