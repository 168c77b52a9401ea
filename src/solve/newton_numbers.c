/*
 * The virtual population in double precision: the solution of the discretised equations of each patient (implicit
 * trapezoidal rule, each step solved by Newton's method), polynomial guesses fitted to it, and the iterates that the
 * circuit will compute, for their ranges and errors.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "newton.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ small matrices */

/* Solves a x = b in place (b becomes x, count columns); a is destroyed. False when singular. */
static bool solve_small(double *a, double *b, size_t m, size_t count) {
    for (size_t k = 0; k < m; k++) {
        size_t pivot = k;
        for (size_t i = k + 1; i < m; i++) {
            pivot = fabs(a[i * m + k]) > fabs(a[pivot * m + k]) ? i : pivot;
        }
        if (!(fabs(a[pivot * m + k]) > 0.0)) {
            return false;
        }
        for (size_t j = 0; j < m && pivot != k; j++) {
            double kept = a[k * m + j];
            a[k * m + j] = a[pivot * m + j];
            a[pivot * m + j] = kept;
        }
        for (size_t j = 0; j < count && pivot != k; j++) {
            double kept = b[k * count + j];
            b[k * count + j] = b[pivot * count + j];
            b[pivot * count + j] = kept;
        }
        for (size_t i = 0; i < m; i++) {
            double factor = i == k ? 0.0 : a[i * m + k] / a[k * m + k];
            for (size_t j = k; j < m && factor != 0.0; j++) {
                a[i * m + j] -= factor * a[k * m + j];
            }
            for (size_t j = 0; j < count && factor != 0.0; j++) {
                b[i * count + j] -= factor * b[k * count + j];
            }
        }
    }
    for (size_t k = 0; k < m; k++) {
        for (size_t j = 0; j < count; j++) {
            b[k * count + j] /= a[k * m + k];
        }
    }
    return true;
}

/* ------------------------------------------------------------------ right-hand sides */

/* One patient at work. */
typedef struct patient {
    solve_work *work;
    solve_numbers numbers;
    double *symbols;                                                  /* with states */
    const double *amounts;                                            /* of its records */
    double *values;                                                   /* of the program */
    double *f, *f_before, *jacobian, *jacobian_before, *matrix, *rhs; /* m or m x m */
    double *scratch;                                                  /* scratch_count */
    double *outputs;                                                  /* 4 of each */
} patient;

enum { PATIENTS_MAX = 16 }; /* at work at once */

/* Of one step of a patient: 4 matrices and 3 vectors. */
static size_t scratch_count(size_t m) { return 4 * m * m + 3 * m; }

static ddt_status patient_create(solve_work *work, patient *out) {
    size_t m = work->newton->m;
    out->work = work;
    SOLVE_TRY(solve_numbers_create(work, &out->numbers));
    out->symbols = solve_alloc(work, work->symbol_count, sizeof(double));
    out->values = solve_alloc(work, 3 * (m + m * m) + 3 * m * m + 2 * m, sizeof(double));
    out->scratch = solve_alloc(work, scratch_count(m), sizeof(double));
    out->outputs = solve_alloc(work, 4 * work->model->output_count, sizeof(double));
    if (out->symbols == NULL || out->values == NULL || out->scratch == NULL || out->outputs == NULL) {
        return DDT_ERR_MEMORY;
    }
    out->f = out->values + m + m * m;
    out->f_before = out->f + m;
    out->rhs = out->f_before + m;
    out->jacobian = out->rhs + m;
    out->jacobian_before = out->jacobian + m * m;
    out->matrix = out->jacobian_before + m * m;
    return DDT_OK;
}

/* One for each thread; *count: how many. */
static ddt_status patients_create(solve_work *work, patient *out, int *count) {
    const int wanted = ddt_context_threads(work->ctx);
    *count = wanted < PATIENTS_MAX ? wanted : PATIENTS_MAX;
    for (int i = 0; i < *count; i++) {
        SOLVE_TRY(patient_create(work, &out[i]));
    }
    return DDT_OK;
}

static void patient_is(patient *who, const double *symbols) {
    memcpy(who->symbols, symbols, who->work->symbol_count * sizeof(double));
    solve_numbers_of(who->work, symbols, &who->numbers);
}

static void set_states(patient *who, const double *p, const double *z) {
    const solve_work *work = who->work;
    for (size_t i = 0; i < work->linear.n; i++) {
        size_t c = work->linear.compartment[i];
        if (c != SOLVE_UNIT) {
            size_t b = work->newton->block_of[i];
            who->symbols[work->model->compartments[c].symbol] = p[i] + (b == SIZE_MAX ? 0.0 : z[b]);
        }
    }
}

/* Amounts of a sample's records. */
static const double *amounts_of(const solve_newton *nw, size_t lane, size_t sample) {
    return nw->amounts + (lane * nw->samples + sample) * nw->record_room;
}

/* The times and last doses of a column, for what depends on them. */
static void set_time(patient *who, size_t lane, size_t k) {
    newton_set_column(who->work, lane, k, who->amounts, who->symbols);
}

/* f = A z + N(p + z) and its Jacobian. */
static void evaluate(patient *who, const double *p, const double *z, double *f, double *jacobian) {
    const solve_newton *nw = who->work->newton;
    size_t m = nw->m;
    size_t n = who->work->linear.n;
    set_states(who, p, z);
    ddt_expr_program_run(nw->program, who->symbols, who->values);
    for (size_t b = 0; b < m; b++) {
        f[b] = who->values[b];
        for (size_t c = 0; c < m; c++) {
            double a = who->numbers.a[nw->block[b] * n + nw->block[c]];
            jacobian[b * m + c] = a + who->values[m + b * m + c];
            f[b] += a * z[c];
        }
    }
}

/* One implicit step; z holds the value before it and gets the value after it. */
static void step(patient *who, double h, const double *p, double *z, double *start) {
    enum { TRIES = 30 };
    size_t m = who->work->newton->m;
    for (size_t b = 0; b < m; b++) {
        start[b] = z[b] + 0.5 * h * who->f_before[b];
    }
    for (int k = 0; k < TRIES; k++) {
        double change = 0.0;
        evaluate(who, p, z, who->f, who->jacobian);
        for (size_t b = 0; b < m; b++) {
            who->rhs[b] = start[b] + 0.5 * h * who->f[b] - z[b];
            for (size_t c = 0; c < m; c++) {
                who->matrix[b * m + c] = (b == c) - 0.5 * h * who->jacobian[b * m + c];
            }
        }
        if (!solve_small(who->matrix, who->rhs, m, 1)) {
            break;
        }
        for (size_t b = 0; b < m; b++) {
            z[b] += who->rhs[b];
            change = fmax(change, fabs(who->rhs[b]) / (1e-300 + fabs(z[b]) + fabs(start[b])));
        }
        const double converged = 1e-9; /* what is left is its square: nothing */
        if (change < converged) {
            break;
        }
    }
    evaluate(who, p, z, who->f, who->jacobian);
}

static void solve_patient(patient *who, size_t lane, const double *p, double *solution) {
    const solve_newton *nw = who->work->newton;
    const newton_grid *g = &nw->grids[lane];
    size_t m = nw->m;
    double *z = who->scratch;
    memset(z, 0, m * sizeof *z);
    for (size_t k = 0; k < g->count; k++) {
        set_time(who, lane, k);
        if (g->is_start[k]) {
            memset(z, 0, m * sizeof *z);
            evaluate(who, p + k * nw->n_states, z, who->f, who->jacobian);
        } else {
            step(who, g->step[k], p + k * nw->n_states, z, z + m);
        }
        memcpy(who->f_before, who->f, m * sizeof *z);
        memcpy(solution + k * m, z, m * sizeof *z);
    }
}

/* ------------------------------------------------------------------ amounts */

static double uniform(uint64_t *state) {
    *state = *state * 6364136223846793005U + 1442695040888963407U; /* Knuth's MMIX constants */
    return (double)(*state >> 11) / 9007199254740992.0;
}

/* The second number of the sequence: the first hardly differs where seeds hardly do. */
static double second_uniform(uint64_t *state) {
    (void)uniform(state);
    return uniform(state);
}

bool newton_knows_amount(const solve_work *work, size_t lane, const solve_lane_source *source, double *amount) {
    uint32_t subject = work->solution->layout.lanes[lane].subject;
    if (work->known_from == NULL || source->input == SOLVE_NONE || source->record == SOLVE_NONE ||
        work->newton->origin[subject][source->record] == SOLVE_NONE ||
        work->newton->origin[subject][source->record] < work->known_from[subject]) {
        return false;
    }
    if (amount != NULL) {
        *amount = work->events->subjects[subject].records[source->record].amount;
    }
    return true;
}

/* Amounts of a virtual patient's records: within the declared range, mostly near a level of the patient's own. */
static void draw_amounts(const solve_work *work, size_t lane, size_t sample, double *amounts) {
    const solve_newton *nw = work->newton;
    const solve_layout *layout = &work->solution->layout;
    const solve_lane *l = &layout->lanes[lane];
    const double own_part = 0.85;
    for (size_t row = 0; row < l->source_count; row++) {
        const solve_lane_source *source = &l->sources[row];
        if (source->input == SOLVE_NONE) {
            continue;
        }
        const solve_range *range = &layout->ranges[layout->inputs[source->input].range];
        double u = 0.5;
        if (sample >= work->draw_count && sample < nw->design_start) {
            u = (double)(sample & 1);
        } else if (sample > 0) {
            uint64_t state = sample + 1000003U * lane + (uint64_t)7919 * source->input;
            double level = second_uniform(&state);
            state ^= (uint64_t)nw->origin[l->subject][source->record] * 2654435761U;
            double of_record = second_uniform(&state);
            u = own_part * level + (1.0 - own_part) * of_record;
        }
        amounts[source->record] = range->low + u * (range->high - range->low);
        (void)newton_knows_amount(work, lane, source, &amounts[source->record]);
    }
}

static size_t record_room(const solve_work *work) {
    size_t most = 1;
    for (size_t s = 0; s < work->events->subject_count; s++) {
        most = work->events->subjects[s].record_count > most ? work->events->subjects[s].record_count : most;
    }
    return most;
}

/* ------------------------------------------------------------------ the population */

/* One virtual patient of a lane: its amounts, p and the solution. */
static void draw_sample(patient *who, size_t lane, size_t sample, solve_exact_buffers *buffers) {
    solve_work *work = who->work;
    solve_newton *nw = work->newton;
    double *amounts = nw->amounts + (lane * nw->samples + sample) * nw->record_room;
    double *p = nw->p + newton_at(nw, lane, sample, 0) * nw->n_states;
    patient_is(who, work->samples + sample * work->symbol_count);
    draw_amounts(work, lane, sample, amounts);
    who->amounts = amounts;
    solve_lane_exact(work, lane, &who->numbers, amounts, buffers);
    memcpy(p, buffers->states, nw->grids[lane].count * nw->n_states * sizeof *p);
    solve_patient(who, lane, p, nw->solution + newton_at(nw, lane, sample, 0) * nw->m);
}

ddt_status newton_population_of(solve_work *work, size_t samples) {
    solve_newton *nw = work->newton;
    nw->samples = samples;
    nw->n_states = work->linear.n;
    size_t places = nw->lanes * samples * nw->columns;
    nw->record_room = record_room(work);
    nw->p = solve_alloc(work, places * nw->n_states, sizeof(double));
    nw->solution = solve_alloc(work, places * nw->m, sizeof(double));
    nw->amounts = solve_alloc(work, nw->lanes * samples * nw->record_room, sizeof(double));
    patient who[PATIENTS_MAX];
    solve_exact_buffers buffers[PATIENTS_MAX];
    int threads = 0;
    if (nw->p == NULL || nw->solution == NULL || nw->amounts == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(patients_create(work, who, &threads));
    for (int i = 0; i < threads; i++) {
        SOLVE_TRY(solve_exact_create(work, &buffers[i]));
    }
    for (size_t lane = 0; lane < nw->lanes; lane++) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
        for (size_t s = 0; s < samples; s++) {
            draw_sample(&who[omp_get_thread_num()], lane, s, &buffers[omp_get_thread_num()]);
        }
        SOLVE_TRY(ddt_progress(work->ctx, "population", lane + 1, nw->lanes));
    }
    return DDT_OK;
}

ddt_status newton_trajectory(solve_work *work, size_t lane, const double *symbols, const double *amounts,
                             double *solution) {
    patient who;
    solve_exact_buffers buffers;
    SOLVE_TRY(patient_create(work, &who));
    SOLVE_TRY(solve_exact_create(work, &buffers));
    patient_is(&who, symbols);
    who.amounts = amounts;
    solve_lane_exact(work, lane, &who.numbers, amounts, &buffers);
    solve_patient(&who, lane, buffers.states, solution);
    return DDT_OK;
}

/* Outputs of a sample at a column with z as given. */
static void outputs_at(patient *who, size_t lane, size_t sample, size_t k, const double *z, double *values) {
    const solve_newton *nw = who->work->newton;
    who->amounts = amounts_of(nw, lane, sample);
    set_time(who, lane, k);
    set_states(who, nw->p + newton_at(nw, lane, sample, k) * nw->n_states, z + newton_at(nw, lane, sample, k) * nw->m);
    ddt_expr_program_run(who->work->output_program, who->symbols, values);
}

/* Outputs of one sample at the table's own observations. */
static void observe(patient *who, size_t lane, size_t sample, double *next) {
    const solve_work *work = who->work;
    const solve_newton *nw = work->newton;
    size_t subject = work->solution->layout.lanes[lane].subject;
    const solve_layout_subject *places = &work->solution->layout.subjects[subject];
    const ddt_schedule *schedule = &work->schedules[subject];
    patient_is(who, work->samples + sample * work->symbol_count);
    for (size_t o = 0; o < places->observation_count; o++) {
        if (nw->origin[subject][schedule->observations[o]] != SOLVE_NONE) {
            outputs_at(who, lane, sample, places->observations[o].column, nw->solution, next);
            next += work->model->output_count;
        }
    }
}

/* Outputs at the table's own observations: lanes x samples x room. */
ddt_status newton_observed(solve_work *work, size_t room, double *out) {
    const solve_newton *nw = work->newton;
    patient who;
    SOLVE_TRY(patient_create(work, &who));
    for (size_t i = 0; i < nw->lanes * nw->samples; i++) {
        observe(&who, i / nw->samples, i % nw->samples, out + i * room);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ where nodes are needed */

/* Adds |second divided difference of f| of one patient, relative to the largest |z| of each state, to the monitor. */
static void watch(const patient *who, size_t lane, const double *f, const double *z, double *monitor) {
    const solve_newton *nw = who->work->newton;
    const newton_grid *g = &nw->grids[lane];
    size_t m = nw->m;
    for (size_t b = 0; b < m; b++) {
        double largest = 0.0;
        for (size_t k = 0; k < g->count; k++) {
            largest = fmax(largest, fabs(z[k * m + b]));
        }
        for (size_t k = 1; k + 1 < g->count && largest > 0.0; k++) {
            double before = g->step[k];
            double after = g->step[k + 1];
            if (!(before > 0.0) || !(after > 0.0) || g->is_kink[k]) {
                continue;
            }
            double curvature =
                2.0 * ((f[(k + 1) * m + b] - f[k * m + b]) / after - (f[k * m + b] - f[(k - 1) * m + b]) / before) /
                (before + after);
            monitor[k] = fmax(monitor[k], fabs(curvature) / largest);
            monitor[k + 1] = fmax(monitor[k + 1], fabs(curvature) / largest);
        }
    }
}

ddt_status newton_monitor(solve_work *work) {
    solve_newton *nw = work->newton;
    patient who;
    SOLVE_TRY(patient_create(work, &who));
    nw->monitor_grids = nw->grids;
    nw->monitor = solve_alloc(work, nw->lanes, sizeof *nw->monitor);
    double *f = solve_alloc(work, nw->columns * nw->m, sizeof *f);
    if (nw->monitor == NULL || f == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t l = 0; l < nw->lanes; l++) {
        nw->monitor[l] = solve_alloc(work, nw->columns, sizeof **nw->monitor);
        if (nw->monitor[l] == NULL) {
            return DDT_ERR_MEMORY;
        }
        for (size_t s = 0; s < nw->samples; s++) {
            patient_is(&who, work->samples + s * work->symbol_count);
            who.amounts = amounts_of(nw, l, s);
            const double *z = nw->solution + newton_at(nw, l, s, 0) * nw->m;
            for (size_t k = 0; k < nw->grids[l].count; k++) {
                set_time(&who, l, k);
                evaluate(&who, nw->p + newton_at(nw, l, s, k) * nw->n_states, z + k * nw->m, f + k * nw->m,
                         who.jacobian);
            }
            watch(&who, l, f, z, nw->monitor[l]);
        }
    }
    return DDT_OK;
}

static void raise_norms(patient *who, size_t lane, size_t sample, double *largest) {
    const solve_newton *nw = who->work->newton;
    size_t m = nw->m;
    patient_is(who, who->work->samples + sample * who->work->symbol_count);
    who->amounts = amounts_of(nw, lane, sample);
    for (size_t k = 0; k < nw->grids[lane].count; k++) {
        size_t place = newton_at(nw, lane, sample, k);
        set_time(who, lane, k);
        evaluate(who, nw->p + place * nw->n_states, nw->solution + place * m, who->f, who->jacobian);
        for (size_t b = 0; b < m; b++) {
            largest[b] = fmax(largest[b], 0.5 * nw->grids[lane].step[k] * fabs(who->jacobian[b * m + b]));
        }
    }
}

ddt_status newton_step_norms(solve_work *work, double *largest) {
    const solve_newton *nw = work->newton;
    patient who;
    SOLVE_TRY(patient_create(work, &who));
    memset(largest, 0, nw->m * sizeof *largest);
    for (size_t i = 0; i < nw->lanes * nw->samples; i++) {
        raise_norms(&who, i / nw->samples, i % nw->samples, largest);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ scales */

static int compare_doubles(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

ddt_status newton_scales(solve_work *work) {
    solve_newton *nw = work->newton;
    size_t outputs = work->model->output_count;
    patient who;
    SOLVE_TRY(patient_create(work, &who));
    double *values = solve_alloc(work, outputs, sizeof *values);
    double *maxima = solve_alloc(work, outputs * work->draw_count, sizeof *maxima);
    work->output_scale = solve_alloc(work, outputs, sizeof *work->output_scale);
    if (values == NULL || maxima == NULL || work->output_scale == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t s = 0; s < work->draw_count; s++) {
        size_t l = s % nw->lanes;
        patient_is(&who, work->samples + s * work->symbol_count);
        for (size_t k = 0; k < nw->grids[l].count; k++) {
            outputs_at(&who, l, s, k, nw->solution, values);
            for (size_t o = 0; o < outputs; o++) {
                maxima[o * work->draw_count + s] = fmax(maxima[o * work->draw_count + s], fabs(values[o]));
            }
        }
    }
    for (size_t o = 0; o < outputs; o++) {
        qsort(maxima + o * work->draw_count, work->draw_count, sizeof *maxima, compare_doubles);
        double median = maxima[o * work->draw_count + work->draw_count / 2];
        work->output_scale[o] = median > 0.0 ? median : 1.0;
    }
    return DDT_OK;
}

/* Widens [*low, *high] by p + z of a linear state over the columns of one sample. */
static void add_extent(const solve_newton *nw, size_t state, const double *z, size_t lane, size_t sample, double *low,
                       double *high) {
    size_t b = nw->block_of[state];
    for (size_t k = 0; k < nw->grids[lane].count; k++) {
        size_t place = newton_at(nw, lane, sample, k);
        double x = nw->p[place * nw->n_states + state] + (b == SIZE_MAX ? 0.0 : z[place * nw->m + b]);
        *low = fmin(*low, x);
        *high = fmax(*high, x);
    }
}

/* The same over all lanes and the first samples. */
static void state_extent(const solve_newton *nw, size_t state, const double *z, size_t samples, double *low,
                         double *high) {
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t l = 0; l < nw->lanes; l++) {
        for (size_t s = 0; s < samples && s < nw->samples; s++) {
            add_extent(nw, state, z, l, s, low, high);
        }
    }
}

/* Scales of the block's states: the largest of them in the draws. */
void newton_state_scales(solve_work *work) {
    const solve_newton *nw = work->newton;
    for (size_t i = 0; i < work->linear.n; i++) {
        double low = 0.0;
        double high = 0.0;
        if (nw->block_of[i] == SIZE_MAX) {
            continue;
        }
        state_extent(nw, i, nw->solution, work->draw_count, &low, &high);
        double largest = fmax(fabs(low), fabs(high));
        work->state_scale[i] = isfinite(largest) && largest > 0.0 ? largest : work->state_scale[i];
    }
}

/* ------------------------------------------------------------------ ranges */

static const double *iterate_of(const solve_newton *nw, unsigned iteration) {
    return iteration == NEWTON_SOLUTION ? nw->solution : nw->iterate[iteration];
}

void newton_widen(double *low, double *high) {
    const double widening = 0.1; /* of the range, or of its logarithm, to either side */
    /* What never falls below 0 does not: a pole, as that of C / (C + K) at -K, may lie close behind it. */
    const double at_zero = 1e-9;
    const double below_zero = 1e-3;
    double span = *high - *low;
    double lower = *low - widening * span;
    *high += widening * span;
    if (*low > 0.0) {
        lower = fmax(lower, *low * pow(*low / *high, widening));
    } else if (*low >= -at_zero * span) {
        lower = -below_zero * span;
    }
    *low = lower;
    if (!(*low < *high)) {
        double margin = 1e-6 * fmax(1.0, fabs(*low));
        *low -= margin;
        *high += margin;
    }
}

void newton_set_ranges(solve_work *work, unsigned iteration) {
    solve_newton *nw = work->newton;
    nw->current = iteration;
    for (size_t i = 0; i < work->linear.n; i++) {
        size_t c = work->linear.compartment[i];
        double low = 0.0;
        double high = 0.0;
        if (c == SOLVE_UNIT) {
            continue;
        }
        state_extent(nw, i, iterate_of(nw, iteration), nw->samples, &low, &high);
        newton_widen(&low, &high);
        work->symbols[work->model->compartments[c].symbol].low = low;
        work->symbols[work->model->compartments[c].symbol].high = high;
    }
    solve_facts_reset(work);
}

ddt_status solve_newton_column_ranges(solve_work *work, ddt_expr e, double *low, double *high) {
    const solve_newton *nw = work->newton;
    const double *z = iterate_of(nw, nw->current);
    ddt_expr_program *program = NULL;
    patient who;
    SOLVE_TRY(patient_create(work, &who));
    SOLVE_TRY(ddt_expr_compile(work->ctx, work->pool, &e, 1, &program));
    for (size_t i = 0; i < nw->lanes * nw->columns; i++) {
        low[i] = INFINITY;
        high[i] = -INFINITY;
    }
    bool finite = true;
    for (size_t l = 0; l < nw->lanes; l++) {
        for (size_t s = 0; s < nw->samples; s++) {
            patient_is(&who, work->samples + s * work->symbol_count);
            for (size_t k = 0; k < nw->grids[l].count; k++) {
                size_t place = newton_at(nw, l, s, k);
                double value = 0.0;
                who.amounts = amounts_of(nw, l, s);
                set_time(&who, l, k);
                set_states(&who, nw->p + place * nw->n_states, z + place * nw->m);
                ddt_expr_program_run(program, who.symbols, &value);
                finite &= isfinite(value);
                low[l * nw->columns + k] = fmin(low[l * nw->columns + k], value);
                high[l * nw->columns + k] = fmax(high[l * nw->columns + k], value);
            }
        }
    }
    ddt_expr_program_destroy(program);
    return finite ? DDT_OK
                  : ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s': %s is not finite in the virtual population.",
                             work->model->path, solve_print(work, e));
}

ddt_status solve_newton_range(solve_work *work, ddt_expr e, double *low, double *high) {
    const solve_newton *nw = work->newton;
    size_t count = nw->lanes * nw->columns;
    double *lows = solve_alloc(work, 2 * count, sizeof *lows);
    if (lows == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(solve_newton_column_ranges(work, e, lows, lows + count));
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        *low = fmin(*low, lows[i]);
        *high = fmax(*high, lows[count + i]);
    }
    newton_widen(low, high);
    return DDT_OK;
}

/* ------------------------------------------------------------------ Newton's method over the whole trajectory */

static void identity(double *a, size_t m) {
    for (size_t i = 0; i < m * m; i++) {
        a[i] = i % (m + 1) == 0 ? 1.0 : 0.0;
    }
}

void newton_multiply(const double *a, const double *b, size_t m, double *out) {
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < m; j++) {
            double sum = 0.0;
            for (size_t k = 0; k < m; k++) {
                sum += a[i * m + k] * b[k * m + j];
            }
            out[i * m + j] = sum;
        }
    }
}

/* Exact transition F and gain G at one column: G = (I - h/2 J)^-1, F = G (I + h/2 J[t-1]), 0 at starts. */
static bool exact_step(patient *who, double h, bool is_start, double *f, double *g) {
    size_t m = who->work->newton->m;
    identity(who->matrix, m);
    identity(g, m);
    identity(f, m);
    for (size_t i = 0; i < m * m; i++) {
        who->matrix[i] -= 0.5 * h * who->jacobian[i];
        f[i] = is_start ? 0.0 : f[i] + 0.5 * h * who->jacobian_before[i];
    }
    memcpy(who->values, who->matrix, m * m * sizeof *who->matrix); /* solving destroys it */
    return solve_small(who->matrix, f, m, m) && solve_small(who->values, g, m, m);
}

static const char *block_name(const solve_work *work, size_t b) {
    return work->model->compartments[work->linear.compartment[work->newton->block[b]]].name;
}

/* Why the typical patient's step to column k cannot be taken: one equation's slope is no number, or all together are
 * singular. */
static ddt_status refuse_step(const patient *who, size_t lane, size_t k) {
    const solve_work *work = who->work;
    const newton_grid *grid = &work->newton->grids[lane];
    const size_t m = work->newton->m;
    for (size_t i = 0; i < m * m; i++) {
        if (!isfinite(who->jacobian[i])) {
            return ddt_fail(
                work->ctx, DDT_ERR_UNSUPPORTED,
                "'%s': at time %g the slope of d/dt(%s) in %s is not finite in the typical patient, as that "
                "of a root, of a power below 1 or of a logarithm is at zero; write the equation so that it "
                "stays smooth there, for example with a small positive number added to %s.",
                work->model->path, grid->time[k], block_name(work, i / m), block_name(work, i % m),
                block_name(work, i % m));
        }
    }
    size_t fastest = 0;
    for (size_t b = 1; b < m; b++) {
        fastest = who->jacobian[b * m + b] > who->jacobian[fastest * m + fastest] ? b : fastest;
    }
    return ddt_fail(
        work->ctx, DDT_ERR_UNSUPPORTED,
        "'%s': the implicit step of %g to time %g has no single solution in the typical patient, because "
        "d/dt(%s) grows with %s by %g per unit of time; ask for times closer together there (--grid), or lower the "
        "rate of that growth.",
        work->model->path, grid->step[k], grid->time[k], block_name(work, fastest), block_name(work, fastest),
        who->jacobian[fastest * m + fastest]);
}

/* F and G of the typical patient's linearised recursion on one lane. */
static ddt_status typical_lane(patient *who, size_t lane) {
    const solve_newton *nw = who->work->newton;
    const newton_grid *grid = &nw->grids[lane];
    size_t m = nw->m;
    who->amounts = amounts_of(nw, lane, 0);
    for (size_t k = 0; k < grid->count; k++) {
        size_t place = newton_at(nw, lane, 0, k);
        size_t at = (lane * nw->columns + k) * m * m;
        memcpy(who->jacobian_before, who->jacobian, m * m * sizeof(double));
        set_time(who, lane, k);
        evaluate(who, nw->p + place * nw->n_states, nw->solution + place * m, who->f, who->jacobian);
        if (!exact_step(who, grid->step[k], grid->is_start[k], nw->typical_f + at, nw->typical_g + at)) {
            return refuse_step(who, lane, k);
        }
    }
    return DDT_OK;
}

ddt_status newton_typical(solve_work *work) {
    solve_newton *nw = work->newton;
    size_t count = nw->lanes * nw->columns * nw->m * nw->m;
    nw->typical_f = solve_alloc(work, count, sizeof(double));
    nw->typical_g = solve_alloc(work, count, sizeof(double));
    patient who;
    SOLVE_TRY(patient_create(work, &who));
    if (nw->typical_f == NULL || nw->typical_g == NULL) {
        return DDT_ERR_MEMORY;
    }
    patient_is(&who, work->samples);
    for (size_t l = 0; l < nw->lanes; l++) {
        SOLVE_TRY(typical_lane(&who, l));
    }
    return DDT_OK;
}

/*
 * F and G of a patient's own Jacobian as the circuit has them. B = h/2 J; D: the diagonal entries of stiff states, or
 * of the only state: functions of one number, which the circuit approximates as closely as it likes. With E = (I -
 * D)^-1 and M = E (B - D), (I - B)^-1 = (I - M)^-1 E ~ (I + M + M^2) E; F = G (I + A), A = h/2 J of the column before.
 */
static void own_step(patient *who, double h, bool is_start, double *f, double *g, double *scratch) {
    const solve_newton *nw = who->work->newton;
    size_t m = nw->m;
    double *series = scratch;
    double *a = scratch + m * m;
    double inverse[NEWTON_OWN_MAX];
    identity(a, m);
    for (size_t b = 0; b < m; b++) {
        bool is_apart = m == 1 || nw->is_stiff[b];
        inverse[b] = is_apart ? 1.0 / (1.0 - 0.5 * h * who->jacobian[b * m + b]) : 1.0;
        for (size_t c = 0; c < m; c++) {
            size_t i = b * m + c;
            series[i] = b == c && is_apart ? 0.0 : inverse[b] * 0.5 * h * who->jacobian[i];
            a[i] = is_start ? 0.0 : a[i] + 0.5 * h * who->jacobian_before[i];
        }
    }
    newton_multiply(series, series, m, g);
    for (size_t b = 0; b < m; b++) {
        for (size_t c = 0; c < m; c++) {
            size_t i = b * m + c;
            g[i] = (g[i] + series[i] + (b == c ? 1.0 : 0.0)) * inverse[c];
        }
    }
    newton_multiply(g, a, m, f);
}

/* What the samples of one thread have shown. */
typedef struct iterated {
    double draw_errors[NEWTON_ITERATIONS_MAX + 1], corner_errors[NEWTON_ITERATIONS_MAX + 1];
    double step_low[NEWTON_ITERATIONS_MAX + 1][NEWTON_OWN_MAX]; /* ranges of h/2 J[b][b] */
    double step_high[NEWTON_ITERATIONS_MAX + 1][NEWTON_OWN_MAX];
} iterated;

static void note_steps(const patient *who, double h, double *low, double *high) {
    const size_t m = who->work->newton->m;
    for (size_t b = 0; b < m; b++) {
        double step = 0.5 * h * who->jacobian[b * m + b];
        low[b] = fmin(low[b], step);
        high[b] = fmax(high[b], step);
    }
}

static void iterate_patient(patient *who, size_t lane, size_t sample, unsigned iteration, const double *before,
                            double *after, iterated *seen) {
    const solve_newton *nw = who->work->newton;
    const newton_grid *grid = &nw->grids[lane];
    const size_t m = nw->m;
    double *scratch = who->scratch;
    memset(scratch, 0, scratch_count(m) * sizeof *scratch);
    double *own_f = scratch + 2 * m * m;
    double *own_g = own_f + m * m;
    double *delta = own_g + m * m;
    double *rho = delta + m;
    double *last = rho + m;
    who->amounts = amounts_of(nw, lane, sample);
    for (size_t k = 0; k < grid->count; k++) {
        size_t place = newton_at(nw, lane, sample, k);
        double h = grid->step[k];
        memcpy(who->f_before, who->f, m * sizeof(double));
        memcpy(who->jacobian_before, who->jacobian, m * m * sizeof(double));
        set_time(who, lane, k);
        evaluate(who, nw->p + place * nw->n_states, before + k * m, who->f, who->jacobian);
        for (size_t b = 0; b < m; b++) {
            rho[b] = -before[k * m + b];
            if (!grid->is_start[k]) {
                rho[b] += before[(k - 1) * m + b] + 0.5 * h * (who->f_before[b] + who->f[b]);
            }
        }
        const double *f = nw->typical_f + (lane * nw->columns + k) * m * m;
        const double *g = nw->typical_g + (lane * nw->columns + k) * m * m;
        if (!nw->variant.is_public) {
            note_steps(who, h, seen->step_low[iteration], seen->step_high[iteration]);
            own_step(who, h, grid->is_start[k], own_f, own_g, scratch);
            f = own_f;
            g = own_g;
        }
        memcpy(last, delta, m * sizeof *last);
        for (size_t b = 0; b < m; b++) {
            delta[b] = 0.0;
            for (size_t c = 0; c < m; c++) {
                delta[b] += f[b * m + c] * last[c] + g[b * m + c] * rho[c];
            }
            after[k * m + b] = before[k * m + b] + delta[b];
        }
    }
}

/* Largest error of an iterate's outputs, relative to the patient's own maximum of each. */
static double sample_error(patient *who, size_t lane, size_t sample, const double *z) {
    const double least = 0.05; /* of the typical maximum */
    const solve_work *work = who->work;
    const solve_newton *nw = work->newton;
    const size_t outputs = work->model->output_count;
    double *exact = who->outputs;
    double *found = exact + outputs;
    double *largest = found + outputs;
    double *error = largest + outputs;
    for (size_t o = 0; o < outputs; o++) {
        largest[o] = least * work->output_scale[o];
        error[o] = 0.0;
    }
    for (size_t k = 0; k < nw->grids[lane].count; k++) {
        outputs_at(who, lane, sample, k, nw->solution, exact);
        outputs_at(who, lane, sample, k, z, found);
        for (size_t o = 0; o < outputs; o++) {
            const double difference = fabs(found[o] - exact[o]);
            largest[o] = fmax(largest[o], fabs(exact[o]));
            error[o] = difference <= error[o] ? error[o] : difference; /* what is no number stays */
        }
    }
    double worst = 0.0;
    for (size_t o = 0; o < outputs; o++) {
        worst = error[o] / largest[o] <= worst ? worst : error[o] / largest[o];
    }
    return isnan(worst) ? INFINITY : worst; /* so that no later sample hides it */
}

/* Whether an iterate stays on one side of all poles, that on which the solution begins. */
static bool stays_inside(patient *who, size_t lane, size_t sample, const double *z) {
    const solve_newton *nw = who->work->newton;
    double side[NEWTON_DIVISORS_MAX] = {0};
    bool inside = true;
    who->amounts = amounts_of(nw, lane, sample);
    for (size_t k = 0; k < nw->grids[lane].count && inside && nw->divisor_count > 0; k++) {
        size_t place = newton_at(nw, lane, sample, k);
        set_time(who, lane, k);
        if (k == 0) {
            set_states(who, nw->p + place * nw->n_states, nw->solution + place * nw->m);
            (void)newton_same_side(nw, who->symbols, side);
        }
        set_states(who, nw->p + place * nw->n_states, z + place * nw->m);
        inside = newton_same_side(nw, who->symbols, side);
    }
    return inside;
}

static ddt_status iterates_create(solve_work *work, unsigned iterations) {
    solve_newton *nw = work->newton;
    size_t count = nw->lanes * nw->samples * nw->columns * nw->m;
    for (unsigned i = 0; i <= iterations; i++) {
        memset(nw->step_low[i], 0, sizeof nw->step_low[i]);
        memset(nw->step_high[i], 0, sizeof nw->step_high[i]);
        if (nw->iterate[i] == NULL) {
            nw->iterate[i] = solve_alloc(work, count, sizeof(double));
        }
        if (nw->iterate[i] == NULL) {
            return DDT_ERR_MEMORY;
        }
    }
    return DDT_OK;
}

/* The iterates of one sample, errors of each raised to theirs. */
static void iterate_sample(patient *who, size_t lane, size_t sample, double *values, iterated *seen) {
    solve_newton *nw = who->work->newton;
    const newton_variant v = nw->variant;
    const size_t offset = newton_at(nw, lane, sample, 0) * nw->m;
    double *errors = sample < who->work->draw_count ? seen->draw_errors : seen->corner_errors;
    bool inside = true;
    patient_is(who, who->work->samples + sample * who->work->symbol_count);
    newton_guess_of(who->work, lane, sample, values, nw->iterate[0] + offset);
    for (unsigned i = 0; i <= v.iterations; i++) {
        double error = inside ? sample_error(who, lane, sample, nw->iterate[i]) : INFINITY;
        errors[i] = error <= errors[i] ? errors[i] : error;
        if (i == v.iterations) {
            break;
        }
        inside = inside && stays_inside(who, lane, sample, nw->iterate[i]);
        iterate_patient(who, lane, sample, i, nw->iterate[i] + offset, nw->iterate[i + 1] + offset, seen);
    }
}

/* What one thread has seen joins what is known. */
static void gather(solve_newton *nw, const iterated *seen, double *draw_errors, double *corner_errors) {
    for (unsigned i = 0; i <= nw->variant.iterations; i++) {
        draw_errors[i] = seen->draw_errors[i] <= draw_errors[i] ? draw_errors[i] : seen->draw_errors[i];
        corner_errors[i] = seen->corner_errors[i] <= corner_errors[i] ? corner_errors[i] : seen->corner_errors[i];
        for (size_t b = 0; b < NEWTON_OWN_MAX; b++) {
            nw->step_low[i][b] = fmin(nw->step_low[i][b], seen->step_low[i][b]);
            nw->step_high[i][b] = fmax(nw->step_high[i][b], seen->step_high[i][b]);
        }
    }
}

ddt_status newton_iterate(solve_work *work, newton_variant variant, size_t stride, double *draw_errors,
                          double *corner_errors) {
    solve_newton *nw = work->newton;
    patient who[PATIENTS_MAX];
    int threads = 0;
    SOLVE_TRY(patients_create(work, who, &threads));
    SOLVE_TRY(iterates_create(work, variant.iterations));
    iterated *seen = solve_alloc(work, (size_t)threads, sizeof *seen);
    double *values = solve_alloc(work, (size_t)threads * NEWTON_TERMS_MAX, sizeof *values);
    if (seen == NULL || values == NULL) {
        return DDT_ERR_MEMORY;
    }
    nw->variant = variant;
    for (size_t lane = 0; lane < nw->lanes; lane++) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
        for (size_t sample = lane % stride; sample < nw->samples; sample += stride) {
            const int thread = omp_get_thread_num();
            iterate_sample(&who[thread], lane, sample, values + (size_t)thread * NEWTON_TERMS_MAX, &seen[thread]);
        }
        SOLVE_TRY(ddt_progress(work->ctx, "iterations", lane + 1, nw->lanes));
    }
    memset(draw_errors, 0, (variant.iterations + 1) * sizeof *draw_errors);
    memset(corner_errors, 0, (variant.iterations + 1) * sizeof *corner_errors);
    for (int i = 0; i < threads; i++) {
        gather(nw, &seen[i], draw_errors, corner_errors);
    }
    return DDT_OK;
}

ddt_status newton_compare(solve_work *work, size_t lane, size_t sample, double *const *outputs, double *error) {
    const double least = 0.05; /* of the typical maximum */
    const solve_newton *nw = work->newton;
    const solve_layout *layout = &work->solution->layout;
    double *values = solve_alloc(work, work->model->output_count, sizeof *values);
    patient who;
    SOLVE_TRY(patient_create(work, &who));
    if (values == NULL) {
        return DDT_ERR_MEMORY;
    }
    patient_is(&who, work->samples + sample * work->symbol_count);
    *error = 0.0;
    for (size_t o = 0; o < work->model->output_count; o++) {
        double largest = least * work->output_scale[o];
        double worst = 0.0;
        for (size_t k = 0; k < nw->grids[lane].count; k++) {
            outputs_at(&who, lane, sample, k, nw->solution, values);
            double found = outputs[o][lane * layout->rows * layout->columns + k] * layout->outputs[o].scale;
            largest = fmax(largest, fabs(values[o]));
            worst = fabs(found - values[o]) <= worst ? worst : fabs(found - values[o]);
        }
        *error = worst / largest <= *error ? *error : worst / largest;
    }
    return DDT_OK;
}

void newton_step_range(const solve_work *work, size_t b, double *low, double *high) {
    const solve_newton *nw = work->newton;
    double inverse_low = 1.0 - nw->step_high[nw->current][b]; /* of 1 - b, which stays positive */
    double inverse_high = 1.0 - nw->step_low[nw->current][b];
    newton_widen(&inverse_low, &inverse_high);
    *low = 1.0 - inverse_high;
    *high = 1.0 - inverse_low;
}
