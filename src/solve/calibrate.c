/*
 * The virtual population in numbers: scales of states and outputs before the circuit is built, magnitudes and errors of
 * the circuit afterwards.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

#include <stdlib.h>
#include <string.h>

static const double typical_amount = 0.8; /* of the largest: the template's own largest dose */

/* ------------------------------------------------------------------ states */

/* What a source can put into a state at most, for one patient. */
static double source_size(const solve_work *work, const solve_numbers *numbers, size_t state) {
    double size = fabs(numbers->initial[state]);
    for (size_t d = 0; d < work->dosing_count; d++) {
        const solve_dosing *dosing = &work->dosings[d];
        bool is_constant = dosing->giving == SOLVE_GIVING_CONSTANT || dosing->giving == SOLVE_GIVING_CONSTANT_MODELLED;
        if (work->linear.state[dosing->compartment] == state) {
            /* What a constant infusion adds up to: its rate over the rate of elimination. */
            double given = is_constant ? dosing->scale / fmax(fabs(numbers->a[state * (work->linear.n + 1)]),
                                                              1.0 / work->times.during_max)
                                       : numbers->f[dosing->compartment] * dosing->amount_high;
            size = fmax(size, given);
        }
    }
    return size;
}

static void widen_scales(solve_work *work, const double *e, const solve_numbers *numbers) {
    size_t n = work->linear.n;
    for (size_t j = 0; j < n; j++) {
        double size = source_size(work, numbers, j);
        for (size_t i = 0; i < n; i++) {
            work->state_scale[i] = fmax(work->state_scale[i], fabs(e[i * n + j]) * size);
        }
    }
}

/* The largest magnitude that one source gives each state, over the draws of the population and geometric times. */
ddt_status solve_scale_states(solve_work *work) {
    enum { TIMES = 24 };
    const double ratio = 1.7;
    size_t n = work->linear.n;
    double *e = solve_alloc(work, n * n, sizeof *e);
    double *scratch = solve_alloc(work, 3 * n * n, sizeof *scratch);
    work->state_scale = solve_alloc(work, n, sizeof *work->state_scale);
    work->state_low = solve_alloc(work, n, sizeof *work->state_low);
    work->state_high = solve_alloc(work, n, sizeof *work->state_high);
    if (e == NULL || scratch == NULL || work->state_scale == NULL || work->state_low == NULL ||
        work->state_high == NULL) {
        return DDT_ERR_MEMORY;
    }
    solve_numbers numbers;
    SOLVE_TRY(solve_numbers_create(work, &numbers));
    for (size_t s = 0; s < work->sample_count; s++) {
        solve_numbers_of(work, work->samples + s * work->symbol_count, &numbers);
        SOLVE_TRY(solve_numbers_check(work, &numbers));
        for (size_t i = 0; i < n; i++) {
            work->rate_max = fmax(work->rate_max, fabs(numbers.a[i * n + i]));
        }
        for (int k = 0; k < TIMES && s < work->draw_count; k++) {
            solve_expm(numbers.a, n, work->times.t2_max * pow(ratio, -k), scratch, e);
            widen_scales(work, e, &numbers);
        }
    }
    for (size_t i = 0; i < n; i++) {
        bool is_unit = work->linear.compartment[i] == SOLVE_UNIT;
        work->state_scale[i] = is_unit || !(work->state_scale[i] > 0.0) ? 1.0 : work->state_scale[i];
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ outputs */

static int compare_doubles(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Rounds of the trial: every patient once, each lane with several. */
static size_t round_count(const solve_work *work) {
    enum { ROUNDS_MIN = 2 };
    size_t lanes = work->solution->layout.lane_count;
    size_t rounds = (work->sample_count + lanes - 1) / lanes;
    return rounds < ROUNDS_MIN ? ROUNDS_MIN : rounds;
}

/* One amount for every record of the largest subject. */
static ddt_status create_amounts(solve_work *work, double **amounts) {
    size_t most = 0;
    for (size_t s = 0; s < work->events->subject_count; s++) {
        size_t count = work->events->subjects[s].record_count;
        most = count > most ? count : most;
    }
    *amounts = solve_alloc(work, most, sizeof **amounts);
    return *amounts == NULL ? DDT_ERR_MEMORY : DDT_OK;
}

/* Every record of a lane that a source names gets part * (its dosing's largest amount). */
static void set_amounts(const solve_work *work, size_t lane, double part, double *amounts) {
    const solve_lane *l = &work->solution->layout.lanes[lane];
    for (size_t row = 0; row < l->source_count; row++) {
        if (l->sources[row].input != SOLVE_NONE) {
            amounts[l->sources[row].record] = part * work->dosings[l->sources[row].input].amount_high;
        }
    }
}

static void widen_states(solve_work *work, size_t lane, const double *states) {
    size_t n = work->linear.n;
    for (size_t k = 0; k < work->solution->layout.lanes[lane].column_count; k++) {
        for (size_t i = 0; i < n; i++) {
            work->state_low[i] = fmin(work->state_low[i], states[k * n + i]);
            work->state_high[i] = fmax(work->state_high[i], states[k * n + i]);
        }
    }
}

/* Largest magnitude of each output for one patient, in maxima[output * draw_count + draw]. */
static void output_maxima(const solve_work *work, size_t lane, const double *outputs, size_t draw, double *maxima) {
    size_t columns = work->solution->layout.columns;
    for (size_t o = 0; o < work->model->output_count; o++) {
        double largest = 0.0;
        for (size_t k = 0; k < work->solution->layout.lanes[lane].column_count; k++) {
            double value = fabs(outputs[o * columns + k]);
            largest = isfinite(value) ? fmax(largest, value) : largest;
        }
        maxima[o * work->draw_count + draw] = largest;
    }
}

static ddt_status scale_outputs(solve_work *work) {
    const double state_margin = 1.25;
    const double below_zero = 1e-4;
    size_t outputs = work->model->output_count;
    double *amounts = NULL;
    double *maxima = solve_alloc(work, outputs * work->draw_count, sizeof *maxima);
    work->output_scale = solve_alloc(work, outputs, sizeof *work->output_scale);
    solve_exact_buffers buffers;
    solve_numbers numbers;
    if (maxima == NULL || work->output_scale == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(create_amounts(work, &amounts));
    SOLVE_TRY(solve_exact_create(work, &buffers));
    SOLVE_TRY(solve_numbers_create(work, &numbers));
    size_t lanes = work->solution->layout.lane_count;
    for (size_t r = 0; r < lanes * round_count(work); r++) { /* the pairs that the trial has */
        size_t s = r % work->sample_count;
        size_t lane = r % lanes;
        solve_numbers_of(work, work->samples + s * work->symbol_count, &numbers);
        set_amounts(work, lane, 1.0, amounts);
        solve_lane_exact(work, lane, &numbers, amounts, &buffers);
        widen_states(work, lane, buffers.states);
        if (r < work->draw_count) {
            set_amounts(work, lane, typical_amount, amounts);
            solve_lane_exact(work, lane, &numbers, amounts, &buffers);
            output_maxima(work, lane, buffers.outputs, s, maxima);
        }
    }
    for (size_t o = 0; o < outputs; o++) {
        double *of_output = maxima + o * work->draw_count;
        qsort(of_output, work->draw_count, sizeof *of_output, compare_doubles);
        double median = of_output[work->draw_count / 2];
        work->output_scale[o] = median > 0.0 ? median : 1.0;
    }
    for (size_t i = 0; i < work->linear.n; i++) {
        size_t c = work->linear.compartment[i];
        work->state_low[i] *= state_margin;
        work->state_high[i] *= state_margin;
        if (c != SOLVE_UNIT) {
            solve_symbol *symbol = &work->symbols[work->model->compartments[c].symbol];
            bool is_positive = work->state_low[i] >= 0.0; /* but for the circuit's own errors */
            symbol->low = is_positive ? -below_zero * work->state_high[i] : work->state_low[i];
            symbol->high = work->state_high[i] > work->state_low[i] ? work->state_high[i] : work->state_low[i] + 1.0;
        }
    }
    solve_facts_reset(work); /* intervals of the states are known now */
    return DDT_OK;
}

ddt_status solve_scales(solve_work *work) {
    SOLVE_TRY(solve_scale_states(work));
    return scale_outputs(work);
}

/* ------------------------------------------------------------------ the circuit */

/* Patients in all lanes, and room for one run. */
typedef struct trial {
    solve_work *work;
    double **inputs, **outputs;
    double **amounts; /* per lane */
    size_t *sample;   /* per lane */
    solve_exact_buffers buffers;
    solve_numbers numbers;
    uint64_t random;
    solve_errors errors;
} trial;

static double uniform(uint64_t *state) {
    /* A linear congruential generator (Knuth's MMIX constants): only the amounts of virtual doses depend on it. */
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (double)(*state >> 11) / 9007199254740992.0;
}

ddt_status solve_vectors_create(solve_work *work, size_t count, double ***out) {
    size_t slots = ddt_circuit_lanes(work->circuit) * ddt_circuit_block(work->circuit);
    *out = solve_alloc(work, count, sizeof **out);
    if (*out == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        (*out)[i] = solve_alloc(work, slots, sizeof ***out);
        if ((*out)[i] == NULL) {
            return DDT_ERR_MEMORY;
        }
    }
    return DDT_OK;
}

ddt_status solve_trial_create(solve_work *work) {
    trial *t = solve_alloc(work, 1, sizeof *t);
    if (t == NULL) {
        return DDT_ERR_MEMORY;
    }
    t->work = work;
    size_t lanes = work->solution->layout.lane_count;
    SOLVE_TRY(solve_vectors_create(work, work->solution->layout.input_count, &t->inputs));
    SOLVE_TRY(solve_vectors_create(work, work->model->output_count, &t->outputs));
    t->amounts = solve_alloc(work, lanes, sizeof *t->amounts);
    t->sample = solve_alloc(work, lanes, sizeof *t->sample);
    if (t->amounts == NULL || t->sample == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t l = 0; l < lanes; l++) {
        SOLVE_TRY(create_amounts(work, &t->amounts[l]));
    }
    SOLVE_TRY(solve_exact_create(work, &t->buffers));
    SOLVE_TRY(solve_numbers_create(work, &t->numbers));
    work->trial = t;
    return DDT_OK;
}

/* Full doses for every other patient, random ones for the rest. */
static void draw_amounts(trial *t, size_t lane, size_t sample) {
    set_amounts(t->work, lane, 1.0, t->amounts[lane]);
    const solve_lane *l = &t->work->solution->layout.lanes[lane];
    for (size_t row = 0; row < l->source_count && sample % 2 == 1; row++) {
        if (l->sources[row].input != SOLVE_NONE) {
            double high = t->work->dosings[l->sources[row].input].amount_high;
            t->amounts[lane][l->sources[row].record] = high * uniform(&t->random);
        }
    }
}

/* Covariates that rates depend on are mirrored in every other segment. */
static void fill_encoding(const trial *t, size_t lane, size_t encoding, const double *symbols,
                          const double *mirrored_symbols) {
    const solve_layout *layout = &t->work->solution->layout;
    const solve_encoding *e = &t->work->encodings[encoding];
    const solve_symbol *symbol = &t->work->symbols[e->symbol];
    size_t input = t->work->dosing_count + encoding;
    double own = solve_encode_value(&layout->inputs[input], symbols[e->symbol]);
    double mirrored = own;
    if (symbol->role == SOLVE_ROLE_SEGMENT) {
        mirrored = solve_encode_value(&layout->inputs[input], mirrored_symbols[e->symbol]);
    }
    size_t part = layout->rows * layout->columns;
    double *slots = t->inputs[input] + lane * layout->segments * part;
    for (size_t j = 0; j < layout->segments * part; j++) {
        slots[j] = j / part % 2 == 0 ? own : mirrored;
    }
}

static void fill_patient(trial *t, size_t lane, size_t sample) {
    const double *symbols = t->work->samples + sample * t->work->symbol_count;
    t->sample[lane] = sample;
    draw_amounts(t, lane, sample);
    solve_numbers_of(t->work, symbols, &t->numbers);
    solve_lane_givens(t->work, lane, &t->numbers, t->amounts[lane], t->buffers.givens);
    const double *mirrored = t->numbers.a_odd != t->numbers.a ? t->numbers.mirrored : symbols;
    for (size_t i = 0; i < t->work->encoding_count; i++) {
        fill_encoding(t, lane, i, symbols, mirrored);
    }
    solve_fill_doses(&t->work->solution->layout, lane, t->buffers.givens, t->buffers.t2_h, t->inputs);
}

/* Worst error of a lane, each output relative to this patient's own maximum (or a small part of the typical one). */
static double lane_error(trial *t, size_t lane) {
    const double least = 0.05; /* of the typical maximum */
    const solve_layout *layout = &t->work->solution->layout;
    size_t block = layout->segments * layout->rows * layout->columns;
    const solve_lane *l = &layout->lanes[lane];
    double worst = 0.0;
    solve_numbers_of(t->work, t->work->samples + t->sample[lane] * t->work->symbol_count, &t->numbers);
    solve_lane_exact(t->work, lane, &t->numbers, t->amounts[lane], &t->buffers);
    for (size_t o = 0; o < t->work->model->output_count; o++) {
        const double *exact = t->buffers.outputs + o * layout->columns;
        const double *found = t->outputs[o] + lane * block;
        double largest = least * t->work->output_scale[o];
        double error = 0.0;
        for (size_t k = 0; k < l->column_count; k++) {
            largest = fmax(largest, fabs(exact[k]));
            double difference = fabs(found[k] * layout->outputs[o].scale - exact[k]);
            error = difference <= error ? error : difference;
        }
        worst = error / largest <= worst ? worst : error / largest;
    }
    return isfinite(worst) ? worst : INFINITY;
}

static ddt_status run_round(trial *t, size_t round) {
    solve_work *work = t->work;
    size_t lanes = work->solution->layout.lane_count;
    uint64_t violations = 0;
    for (size_t l = 0; l < lanes; l++) {
        fill_patient(t, l, (round * lanes + l) % work->sample_count);
    }
    SOLVE_TRY(ddt_circuit_calibrate(work->ctx, work->circuit, (const double *const *)t->inputs, &violations));
    t->errors.violations += violations;
    enum { EXACT_ROUNDS = 4 }; /* one round in four tells the exponential's part of the error */
    for (int exact = round % EXACT_ROUNDS == 0 ? 1 : 0; exact >= 0; exact--) {
        SOLVE_TRY(
            ddt_circuit_run_clear(work->ctx, work->circuit, (const double *const *)t->inputs, exact == 1, t->outputs));
        for (size_t l = 0; l < lanes; l++) {
            bool is_draw = t->sample[l] < work->draw_count;
            double *worst = exact == 1 ? &t->errors.exponential : is_draw ? &t->errors.draws : &t->errors.corners;
            if (exact == 0 || is_draw) {
                *worst = fmax(*worst, lane_error(t, l));
            }
        }
    }
    return DDT_OK;
}

ddt_status solve_calibrate(solve_work *work, solve_errors *errors) {
    trial *t = work->trial;
    size_t rounds = round_count(work);
    t->random = 1;
    t->errors = (solve_errors){0};
    for (size_t r = 0; r < rounds; r++) {
        SOLVE_TRY(run_round(t, r));
        SOLVE_TRY(ddt_progress(work->ctx, "solve", r + 1, rounds));
    }
    *errors = t->errors;
    return DDT_OK;
}
