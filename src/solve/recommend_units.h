/*
 * Unit responses: what one dose adds to each figure of a regimen at each point that is taken for the patient. They are
 * the output "response" of a recommendation, all of them in one ciphertext: metrics are linear in the dose, so that the
 * holder has every candidate at every point from them, with what earlier doses leave. The table is made when
 * collecting: metrics at the estimate, their bands over the points and, where the circuit does not work them out under
 * encryption, costs and P(target).
 *
 *   recommend_units.c       the table
 *   recommend_units_file.c  the section "UNIT" of a plan file
 *   recommend_reports.c     figures that are told beside the targets'
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_RECOMMEND_UNITS_H
#define DDT_SOLVE_RECOMMEND_UNITS_H

#include "recommend_internal.h"

enum { UNITS_POINTS_MAX = 64, UNITS_NAME_BYTES = DDT_RECOMMEND_NAME_BYTES + 8 };

/* Columns of the table: targets, cost, p_target, cost(NAME), reports, percentiles. */
enum {
    UNITS_OUTPUTS_MAX =
        2 * DDT_RECOMMEND_TARGETS_MAX + 2 + DDT_RECOMMEND_TARGETS_MAX + RECOMMEND_BANDS * RECOMMEND_FIGURES_MAX
};

typedef struct recommend_table {
    size_t output_count;
    char names[UNITS_OUTPUTS_MAX][UNITS_NAME_BYTES];
} recommend_table;

/* The names of a table's columns; points 1: without percentiles. */
void recommend_table_create(const ddt_recommend_targets *targets, const ddt_recommend_targets *reports, size_t points,
                            recommend_table *out);
/*
 * A row from the figures at all points (figures[point * (targets + reports) + k], the first point the estimate): all
 * columns but for the doses' own cost.
 */
void recommend_table_row(const ddt_recommend_targets *targets, const ddt_recommend_targets *reports, size_t points,
                         const double *figures, double *row);
/* daily dose / largest daily dose among the candidates. */
double recommend_relative_daily(const ddt_recommend_product *product, size_t candidate);
/* Percentiles 5, 50 and 95 of what the values stand for; is_part: they lie between 0 and 1. */
void recommend_bands_of(const double *values, size_t count, bool is_part, double out[RECOMMEND_BANDS]);

struct solve_units {
    ddt_recommend_targets targets, reports;
    ddt_recommend_product product;
    char *product_text; /* of a plan file */
    double dose_weight;
    bool has_past; /* columns of earlier doses lie behind the new regimen's */
    /* cost, p_target and cost(NAME) are outputs behind "response", else they are worked out. Then responses are those
     * to the dose of each row, earlier doses included, else to one dose, in row 0. */
    bool has_costs;
    size_t points, row_slots, columns,
        shape_slots;             /* slot = (point * row_slots + row) * columns + column * shape_slots + shape */
    size_t shapes, column_count; /* of the new regimen; a time above a threshold has RECOMMEND_GRID */
    double *own, *past; /* column x shape: metric of one dose = own * response, earlier doses add past * response */
    double largest;     /* response of a likely virtual patient */
    size_t candidate_count;
    recommend_table table;
};

/* Names, candidates and room for factors, from what stands in *units. */
ddt_status recommend_units_prepare(ddt_context *ctx, struct solve_units *units);
/* Columns that the figure k (targets, then reports) takes. */
size_t recommend_figure_columns(const ddt_recommend_target *figure);
/* One row of the table, of the lane's part of the decoded outputs. */
void recommend_units_row(const struct solve_units *units, const solve_layout *layout, size_t candidate,
                         const double *const *outputs, double *row);

/* recommend_units_file.c; targets are shared with recommend_curves_file.c. */
void recommend_targets_write(ddt_writer *writer, const ddt_recommend_targets *targets);
ddt_status recommend_targets_read(ddt_context *ctx, ddt_reader *reader, ddt_recommend_targets *out);
ddt_status recommend_product_read(ddt_context *ctx, ddt_reader *reader, ddt_recommend_product *out);

#endif
