/*
 * What the steps of making a layout share (layout.c: sources and columns of each subject; layout_lanes.c: lanes, slots
 * and amounts).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_LAYOUT_PLAN_H
#define DDT_SOLVE_LAYOUT_PLAN_H

#include "solve_internal.h"

/* A source of one subject, before it gets a row in some lanes. */
typedef struct source {
    solve_lane_source own;
    size_t dose; /* in the schedule; SIZE_MAX: start of an epoch */
    size_t epoch;
    double lag_low_h, lag_high_h;
    double duration_low_h, duration_high_h; /* 0 for a bolus */
    double from_h;                          /* cannot act before: the start of its piece */
    bool is_private;                        /* lag or duration depend on encrypted values */
    bool is_initial;                        /* start of an epoch: brings x(0), not only the constant input */
} source;

typedef struct source_list {
    source *items;
    size_t count, capacity;
} source_list;

/* One subject on its way into lanes. */
typedef struct subject_plan {
    source_list sources;
    solve_lane_column *columns;
    size_t *epochs; /* of the columns */
    size_t column_count;
    size_t segments; /* the most that a column looks back on */
    uint8_t *active; /* sources x columns */
} subject_plan;

typedef struct planner {
    solve_work *work;
    subject_plan *subjects;
    bool has_segments;
    double *most_at_rate;         /* per compartment: the largest amount with RATE -1 */
    double memory_of_h, memory_h; /* the last interval that solve_memory_h was asked for, and its answer */
} planner;

/* layout.c */
const ddt_record *layout_record(const planner *p, size_t subject, size_t record);
size_t layout_stride(const planner *p, size_t subject); /* of subject_plan.active */
/* layout_sources.c */
ddt_status layout_measure_rates(planner *p); /* before all layout_sources */
ddt_status layout_sources(planner *p, size_t subject);
/* layout_lanes.c */
ddt_status layout_lanes(planner *p);
ddt_status layout_dosings(planner *p);

#endif
