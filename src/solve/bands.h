/* Bands of virtual patients: what bands*.c share. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_SOLVE_BANDS_INTERNAL_H
#define DDT_SOLVE_BANDS_INTERNAL_H

#include "ddt/solve/bands.h"
#include "solve_internal.h"

enum {
    BANDS_MOMENTS = 3, /* mean, mean square, mean cube */
    BANDS_DEGREE = 7
};

struct solve_bands {
    size_t copies; /* a power of two: virtual patients of a subject */
    bool around;
    size_t output_count; /* of the model */
    char **names;        /* output_count x DDT_BANDS_PERCENTILES */
    /* lanes x columns x output_count, in the outputs' units: what a share of 1 stands for; 0: the output is 0 there */
    double *tops;
};

/* The transform's Chebyshev coefficients on x in [-1, 1], and x = slope * share + offset. */
extern const double bands_low_share;
void bands_polynomial(double coefficients[BANDS_DEGREE + 1]);
static inline double bands_slope(void) { return 2.0 / (1.0 - bands_low_share); }
static inline double bands_offset(void) { return -1.0 - bands_slope() * bands_low_share; }

/* bands_patients.c: a data set with the virtual patient of each subject in its place. */
typedef struct bands_events {
    ddt_events events; /* what is not copied belongs to the data */
    size_t *columns;   /* of each symbol of the model, SIZE_MAX: none */
    double *symbols;   /* of one patient */
    const ddt_model *model;
    const ddt_events *data;
} bands_events;
ddt_status bands_events_create(ddt_context *ctx, const ddt_model *model, const ddt_events *data, bands_events *out);
void bands_events_destroy(bands_events *e);
/* Etas, and unless `around` covariates, of ddt_population_patient(index); everything else as in the data. */
ddt_status bands_events_set(ddt_context *ctx, bands_events *e, bool around, uint64_t index);
/* The value of one symbol in all records of one subject, of SIZE_MAX: all subjects. */
void bands_events_put(bands_events *e, size_t subject, uint32_t symbol, double value);

/* bands_fill.c: `change` (may be NULL) sees each virtual patient before it is filled in. */
typedef void (*bands_change)(void *user, bands_events *e, size_t patient);
ddt_status bands_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model, const ddt_events *data,
                      bands_change change, void *user, double *const *inputs);
ddt_status bands_name_outputs(ddt_context *ctx, const solve_layout *layout, solve_bands *bands);

#endif
