/*
 * Metrics of a regimen in double precision, by matrix exponentials and linear systems: the oracle of the circuit. The
 * same formulas as for one rate (regimen.c), with -A in its place.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_internal.h"

#include <string.h>

static const double same_time_h = 1e-9;

struct regimen_exact {
    size_t n;
    const double *a;
    double *scratch, *e, *lu;        /* 3 n^2, n^2, n^2 */
    double *dose, *x, *sum, *result; /* n each */
};

ddt_status regimen_exact_create(solve_work *work, regimen_exact **out) {
    size_t n = work->linear.n;
    regimen_exact *exact = solve_alloc(work, 1, sizeof *exact);
    double *room = solve_alloc(work, 5 * n * n + 4 * n, sizeof *room);
    if (exact == NULL || room == NULL) {
        return DDT_ERR_MEMORY;
    }
    *exact = (regimen_exact){.n = n, .scratch = room, .e = room + 3 * n * n, .lu = room + 4 * n * n};
    exact->dose = room + 5 * n * n;
    exact->x = exact->dose + n;
    exact->sum = exact->x + n;
    exact->result = exact->sum + n;
    *out = exact;
    return DDT_OK;
}

/* ------------------------------------------------------------------ vectors */

/* x <- exp(A t) x */
static void decay(regimen_exact *m, double t, double *x) {
    if (t <= 0.0) {
        return;
    }
    solve_expm(m->a, m->n, t, m->scratch, m->e);
    for (size_t i = 0; i < m->n; i++) {
        m->scratch[i] = 0.0;
        for (size_t j = 0; j < m->n; j++) {
            m->scratch[i] += m->e[i * m->n + j] * x[j];
        }
    }
    memcpy(x, m->scratch, m->n * sizeof *x);
}

/* x <- lu^-1 x, not a number where lu is singular; lu is used up. */
static void eliminate(regimen_exact *m, double *x) {
    if (!solve_eliminate(m->lu, x, m->n)) {
        for (size_t i = 0; i < m->n; i++) {
            x[i] = NAN;
        }
    }
}

/* x <- (-A)^-1 x */
static void solve_rates(regimen_exact *m, double *x) {
    for (size_t i = 0; i < m->n * m->n; i++) {
        m->lu[i] = -m->a[i];
    }
    eliminate(m, x);
}

/* x <- (1 - exp(A interval))^-1 x */
static void repeat_for_ever(regimen_exact *m, double interval_h, double *x) {
    solve_expm(m->a, m->n, interval_h, m->scratch, m->e);
    for (size_t i = 0; i < m->n * m->n; i++) {
        m->lu[i] = (i % (m->n + 1) == 0 ? 1.0 : 0.0) - m->e[i];
    }
    eliminate(m, x);
}

/* x <- int_0^t exp(A s) ds x */
static void integrate(regimen_exact *m, double t, double *x) {
    double *later = m->result;
    memcpy(later, x, m->n * sizeof *x);
    decay(m, t, later);
    for (size_t i = 0; i < m->n; i++) {
        x[i] = t > 0.0 ? x[i] - later[i] : 0.0;
    }
    solve_rates(m, x);
}

/* ------------------------------------------------------------------ one dose */

/* m->x = the state t after a unit dose. */
static void after_dose(regimen_exact *m, const regimen_functional *f, double t) {
    double u = t - f->lag_h;
    memcpy(m->x, m->dose, m->n * sizeof *m->x);
    if (u < -same_time_h) {
        memset(m->x, 0, m->n * sizeof *m->x);
        return;
    }
    u = fmax(u, 0.0);
    double during = fmin(u, f->infusion_h);
    if (f->infusion_h > 0.0) {
        integrate(m, during, m->x);
        for (size_t i = 0; i < m->n; i++) {
            m->x[i] /= f->infusion_h;
        }
    }
    decay(m, u - during, m->x);
}

/* m->x = the integral of the state until t after a unit dose: what was given less what is there, over the rates. */
static void area_after_dose(regimen_exact *m, const regimen_functional *f, double t) {
    double u = t - f->lag_h;
    if (u <= 0.0) {
        memset(m->x, 0, m->n * sizeof *m->x);
        return;
    }
    double given = f->infusion_h > 0.0 ? fmin(1.0, u / f->infusion_h) : 1.0;
    after_dose(m, f, t);
    for (size_t i = 0; i < m->n; i++) {
        m->x[i] = given * m->dose[i] - m->x[i];
    }
    solve_rates(m, m->x);
}

static void add(regimen_exact *m, double factor) {
    for (size_t i = 0; i < m->n; i++) {
        m->sum[i] += factor * m->x[i];
    }
}

/* ------------------------------------------------------------------ courses */

/* Adds factor * (state or integral at t of the course). */
static void add_course(regimen_exact *m, const regimen_functional *f, double t, bool is_area, double factor) {
    for (size_t k = 0; (double)k * f->interval_h < t - same_time_h; k++) {
        double since = t - (double)k * f->interval_h;
        if (is_area) {
            area_after_dose(m, f, since);
        } else {
            after_dose(m, f, since);
        }
        add(m, factor * (k == 0 ? f->loading : 1.0));
    }
}

static void add_steady(regimen_exact *m, const regimen_functional *f, double t) {
    for (; t < f->lag_h + f->infusion_h - same_time_h; t += f->interval_h) {
        after_dose(m, f, t);
        add(m, 1.0);
    }
    after_dose(m, f, t);
    repeat_for_ever(m, f->interval_h, m->x);
    add(m, 1.0);
}

static void steady_state(regimen_exact *m, const regimen_functional *f) {
    if (f->kind == DDT_METRIC_AUC24 || f->kind == DDT_METRIC_AVERAGE) {
        memcpy(m->x, m->dose, m->n * sizeof *m->x);
        solve_rates(m, m->x);
        add(m, (f->kind == DDT_METRIC_AUC24 ? f->day : 1.0) / f->interval_h);
    } else if (f->kind == DDT_METRIC_PEAK) {
        add_steady(m, f, f->lag_h + f->infusion_h);
    } else {
        add_steady(m, f, f->kind == DDT_METRIC_TIME_ABOVE ? f->time_h : f->interval_h);
    }
}

static void at_time(regimen_exact *m, const regimen_functional *f) {
    double begin = f->at_h - f->interval_h;
    switch (f->kind) {
    case DDT_METRIC_AUC24:
        add_course(m, f, f->at_h, true, 1.0);
        add_course(m, f, f->at_h - f->day, true, -1.0);
        break;
    case DDT_METRIC_AUC_WINDOW:
        add_course(m, f, f->to_h, true, 1.0);
        add_course(m, f, f->from_h, true, -1.0);
        break;
    case DDT_METRIC_AVERAGE:
        add_course(m, f, f->at_h, true, 1.0 / f->interval_h);
        add_course(m, f, begin, true, -1.0 / f->interval_h);
        break;
    case DDT_METRIC_PEAK:
        add_course(m, f, begin + f->lag_h + f->infusion_h + 2.0 * same_time_h, false, 1.0);
        break;
    case DDT_METRIC_TIME_ABOVE:
        add_course(m, f, begin + f->time_h, false, 1.0);
        break;
    default:
        add_course(m, f, f->at_h, false, 1.0);
        break;
    }
}

static double value_of(regimen_exact *exact, const regimen_functional *f, const double *gain) {
    memset(exact->sum, 0, exact->n * sizeof *exact->sum);
    if (f->is_steady) {
        steady_state(exact, f);
    } else {
        at_time(exact, f);
    }
    double value = 0.0;
    for (size_t i = 0; i < exact->n; i++) {
        value += gain[i] * exact->sum[i];
    }
    return value;
}

double regimen_exact_value(regimen_exact *exact, const regimen_functional *f, const double *a, const double *gain,
                           size_t dosed, double bioavailability) {
    exact->a = a;
    memset(exact->dose, 0, exact->n * sizeof *exact->dose);
    exact->dose[dosed] = bioavailability;
    double value = value_of(exact, f, gain);
    if (f->repeat_h > 0.0) {
        regimen_functional before = regimen_earlier(f, f->repeat_h);
        repeat_for_ever(exact, f->repeat_h, exact->dose);
        value += value_of(exact, &before, gain);
    }
    return value;
}
