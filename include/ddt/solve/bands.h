/*
 * ddt/solve/bands.h - bands of virtual patients where only the band may be released.
 *
 * A lane holds `patients` copies of a subject's program side by side, one for each virtual patient; the circuit itself
 * sums over them. Its outputs hold, for each observation and output, three moments of a transformed output and nothing
 * of any virtual patient: u = log(1 + 10 s), scaled to [-1, 1], as a polynomial of degree 7; s = output / (the largest
 * value that calibration has seen at that observation). Mean, variance and skewness of u give its percentiles 5, 50 and
 * 95 (Cornish and Fisher's expansion); the polynomial grows throughout, so that these are turned back exactly.
 * docs/population.md has the method, its error and the figures.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_BANDS_H
#define DDT_SOLVE_BANDS_H

#include "ddt/solve.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DDT_BANDS_PERCENTILES = 3, /* 5, 50 and 95 */
    DDT_BANDS_PATIENTS_USUAL = 256,
    DDT_BANDS_PATIENTS_MIN = 16,
    DDT_BANDS_PATIENTS_MAX = 4096
};

typedef struct ddt_bands_options {
    ddt_solve_options solve; /* block_max 0: what a ring of degree 2^16 has for each virtual patient */
    size_t patients;         /* virtual patients of each subject, rounded up to a power of two; 0: 256 */
    bool around;             /* covariates of the data; else those of the virtual patients */
} ddt_bands_options;

/*
 * ddt_solve for bands. Virtual patient v = 1, 2... of a subject has its doses and the etas of
 * ddt_population_patient(v) (etas that are columns of the data are not used) and, unless `around`, its covariates, the
 * same at all times. The solution is filled with the subjects' own data; ddt_solution_collect gives three outputs for
 * each of the model's: "NAME.p05", "NAME.p50" and "NAME.p95". Errors: those of ddt_solve; DDT_ERR_RANGE (too few or too
 * many patients), DDT_ERR_UNSUPPORTED (nothing varies; an output that can be negative), DDT_ERR_CAPACITY.
 */
DDT_MUST_CHECK ddt_status ddt_solve_bands(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                                          const ddt_bands_options *options, ddt_solution **out);
/* Virtual patients of each subject; 0: the solution is none of bands. */
size_t ddt_solution_band_patients(const ddt_solution *solution);
/* Whether their covariates are those of the data. */
bool ddt_solution_bands_around(const ddt_solution *solution);

/*
 * Percentiles from raw moments of u (mean, mean square, mean cube), as a share of the largest value: within [0, 1].
 * Moments that no distribution has (noise) are brought back to the nearest that one has.
 */
void ddt_bands_of_moments(const double moments[DDT_BANDS_PERCENTILES], double band[DDT_BANDS_PERCENTILES]);
/* u of a share s; its inverse is what the bands are turned back by. */
double ddt_bands_transform(double share);

#ifdef __cplusplus
}
#endif
#endif
