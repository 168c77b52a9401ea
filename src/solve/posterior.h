/*
 * What is not known of a patient behind his estimates: the points that an expectation runs over differ between patients
 * where the estimates are columns of the data and the data have the levels that they come from. The custodian, who has
 * estimates and levels, encrypts the etas of each point instead of one value for all.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_POSTERIOR_H
#define DDT_SOLVE_POSTERIOR_H

#include "ddt/solve.h"

struct solve_layout;

/* Point p lies in slots p * point_slots to (p + 1) * point_slots - 1. z: points x eta_count standard normal numbers. */
typedef struct solve_posterior {
    size_t points, point_slots, eta_count;
    double *z;
} solve_posterior;

void solve_posterior_destroy(solve_posterior *posterior);
/*
 * The etas of a point: mean + factor z, within low to high. factor: lower triangular, eta_count x eta_count.
 */
void solve_posterior_point(const solve_posterior *posterior, size_t point, const double *mean, const double *factor,
                           const double *low, const double *high, double *etas);
/* One input's slots of a lane at one point. */
void solve_posterior_slots(const struct solve_layout *layout, size_t index, size_t point, double y, double *slots);
/* Replaces the etas in inputs that have been filled. */
DDT_MUST_CHECK ddt_status solve_posterior_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                                               const ddt_events *events, double *const *inputs);
DDT_MUST_CHECK ddt_status solve_posterior_write(ddt_writer *writer, const solve_posterior *posterior);
/* Whether such a table follows is told by a flag of the layout; for one whose shape has been read. */
DDT_MUST_CHECK ddt_status solve_posterior_read(ddt_context *ctx, ddt_reader *reader, size_t lane_slots,
                                               solve_posterior **out);

#endif
