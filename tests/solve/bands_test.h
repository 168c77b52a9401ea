/*
 * Bands by moments against what is right: CVODE's virtual patients, their sums in double precision and their exact
 * percentiles.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_BANDS_TEST_H
#define DDT_BANDS_TEST_H

#include "solve_test.h"

#include "bands.h"
#include "ddt/pharma/population.h"

static inline void bands_solve(problem *p, const ddt_bands_options *options) {
    assert_ok(p->ctx, ddt_solve_bands(p->ctx, p->model, p->events, options, &p->solution));
    problem_rows(p);
}

/* values[(observation * outputs + output) * patients + patient] of one subject. */
static inline double *bands_ensemble(problem *p, size_t s) {
    const size_t patients = ddt_solution_band_patients(p->solution);
    const size_t outputs = p->model->output_count;
    const size_t points = ddt_solution_observation_count(p->solution, s) * outputs;
    double *symbols = calloc(p->model->symbol_count, sizeof *symbols);
    double *course = calloc(points, sizeof *course);
    double *all = calloc(points * patients, sizeof *all);
    ddt_expr *expressions = calloc(outputs, sizeof *expressions);
    for (size_t o = 0; o < outputs; o++) {
        expressions[o] = p->model->outputs[o].value;
    }
    for (size_t v = 0; v < patients; v++) {
        assert_ok(p->ctx, ddt_population_patient(p->ctx, p->model, v + 1, symbols));
        assert_ok(p->ctx,
                  ddt_reference_simulate_with(p->ctx, p->model, p->events, s, symbols,
                                              ddt_solution_bands_around(p->solution), expressions, outputs, course));
        for (size_t i = 0; i < points; i++) {
            all[i * patients + v] = course[i];
        }
    }
    free(symbols);
    free(course);
    free(expressions);
    return all;
}

/* The worst difference between the circuit's moments and the same sums over CVODE's patients. */
static inline double bands_moment_error(problem *p) {
    const solve_layout *layout = &p->solution->layout;
    const solve_bands *bands = p->solution->bands;
    const size_t block = layout->lane_slots;
    const size_t patients = bands->copies;
    double worst = 0.0;
    for (size_t s = 0; s < layout->subject_count; s++) {
        double *all = bands_ensemble(p, s);
        for (size_t i = 0; i < layout->subjects[s].observation_count * bands->output_count; i++) {
            const size_t o = i % bands->output_count;
            const solve_place *place = &layout->subjects[s].observations[i / bands->output_count];
            const double top = bands->tops[(place->lane * layout->columns + place->column) * bands->output_count + o];
            double right[BANDS_MOMENTS] = {0};
            for (size_t v = 0; v < patients; v++) {
                const double u = ddt_bands_transform(top > 0.0 ? all[i * patients + v] / top : 0.0);
                right[0] += u / (double)patients;
                right[1] += u * u / (double)patients;
                right[2] += u * u * u / (double)patients;
            }
            for (size_t m = 0; m < BANDS_MOMENTS; m++) {
                const double *output = p->outputs[o * BANDS_MOMENTS + m];
                worst = fmax(worst, fabs(output[place->lane * block + place->column] - right[m]));
            }
        }
        free(all);
    }
    return worst;
}

/* The worst difference from the exact percentiles of the ensemble, of each output's largest 95th percentile. */
static inline double bands_percentile_error(problem *p) {
    static const double probabilities[] = {0.05, 0.5, 0.95};
    const size_t patients = ddt_solution_band_patients(p->solution);
    double worst = 0.0;
    for (size_t s = 0; s < p->events->subject_count; s++) {
        const size_t points = ddt_solution_observation_count(p->solution, s) * p->model->output_count;
        double *all = bands_ensemble(p, s);
        double *error = calloc(p->model->output_count, sizeof *error);
        double *largest = calloc(p->model->output_count, sizeof *largest);
        for (size_t i = 0; i < points; i++) {
            const size_t o = i % p->model->output_count;
            double exact[3];
            ddt_percentiles(all + i * patients, patients, probabilities, 3, exact);
            largest[o] = fmax(largest[o], exact[2]);
            for (size_t b = 0; b < 3; b++) {
                const double found = p->values[s][i * 3 + b];
                error[o] = fmax(error[o], isfinite(found) ? fabs(found - exact[b]) : INFINITY);
            }
        }
        for (size_t o = 0; o < p->model->output_count; o++) {
            worst = fmax(worst, error[o] / largest[o]);
        }
        free(all);
        free(error);
        free(largest);
    }
    return worst;
}

#endif
