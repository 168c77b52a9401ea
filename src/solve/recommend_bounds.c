/*
 * Doses of a course within bounds: the holder of the decrypted equations minimises x'Hx/2 - b'x over a box.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_internal.h"

#include <string.h>

enum { SIDE = DDT_COURSE_DOSES_MAX };

typedef struct box_problem {
    size_t doses;
    double h[SIDE * SIDE], b[SIDE];
} box_problem;

/* Index of an output, SIZE_MAX where there is none of that name. */
static size_t output_of(const ddt_solution *solution, const char *name) {
    for (size_t o = 0; o < ddt_solution_output_count(solution); o++) {
        if (strcmp(ddt_solution_output_name(solution, o), name) == 0) {
            return o;
        }
    }
    return SIZE_MAX;
}

/* Diagonal s holds H[j][(j + s) mod period] at dose j. Both halves of H are computed: their mean is taken. */
static bool read_equations(const ddt_solution *solution, size_t subject, const double *values, box_problem *p) {
    const size_t outputs = ddt_solution_output_count(solution);
    const size_t right = output_of(solution, "b");
    *p = (box_problem){.doses = ddt_solution_observation_count(solution, subject)};
    if (right == SIZE_MAX || p->doses == 0 || p->doses > SIDE) {
        return false;
    }
    const size_t period = recommend_power_of_two(p->doses);
    for (size_t s = 0; s < period; s++) {
        char name[sizeof "h" + 2];
        (void)snprintf(name, sizeof name, "h%u", (unsigned)s % (2 * DDT_COURSE_DOSES_MAX));
        const size_t diagonal = output_of(solution, name);
        if (diagonal == SIZE_MAX) {
            return false;
        }
        for (size_t j = 0; j < p->doses; j++) {
            const size_t k = (j + s) % period;
            const double entry = k < p->doses ? 0.5 * values[j * outputs + diagonal] : 0.0;
            p->h[j * SIDE + (k < p->doses ? k : 0)] += entry;
            p->h[(k < p->doses ? k : 0) * SIDE + j] += entry;
        }
    }
    for (size_t j = 0; j < p->doses; j++) {
        p->b[j] = values[j * outputs + right];
    }
    return true;
}

/* One dose at a time to where the cost is least, until none moves: H is positive definite. */
static void descend(const box_problem *p, double low, double high, double *x) {
    enum { ROUNDS_MAX = 100000 };
    const double still = 1e-12;
    double moved = INFINITY;
    for (size_t i = 0; i < p->doses; i++) {
        x[i] = 0.5 * (low + high);
    }
    for (int round = 0; round < ROUNDS_MAX && moved > still; round++) {
        moved = 0.0;
        for (size_t i = 0; i < p->doses; i++) {
            double rest = p->b[i];
            for (size_t k = 0; k < p->doses; k++) {
                rest -= k == i ? 0.0 : p->h[i * SIDE + k] * x[k];
            }
            const double next = fmin(fmax(rest / p->h[i * SIDE + i], low), high);
            moved = fmax(moved, fabs(next - x[i]));
            x[i] = next;
        }
    }
}

ddt_status ddt_course_bounded(ddt_context *ctx, const ddt_solution *solution, size_t subject, const double *values,
                              double dose_high, double low, double high, double *doses) {
    box_problem p;
    double x[SIDE];
    if (!(dose_high > 0.0) || !(low >= 0.0) || !(low <= high) || !isfinite(high)) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "Doses cannot lie between %g and %g.", low, high);
    }
    bool is_course = read_equations(solution, subject, values, &p);
    for (size_t i = 0; is_course && i < p.doses; i++) {
        is_course = p.h[i * SIDE + i] > 0.0;
    }
    if (!is_course) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "The result is not that of a course of doses.");
    }
    descend(&p, low / dose_high, high / dose_high, x);
    for (size_t i = 0; i < p.doses; i++) {
        doses[i] = x[i] * dose_high;
    }
    return DDT_OK;
}
