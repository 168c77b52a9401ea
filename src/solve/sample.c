/*
 * The virtual population: draws from the model's omega and the covariates' ranges, and corners of the box of all
 * declared ranges (what the custodian may encrypt at most). And the linear system's numbers for one patient.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

#include <string.h>

enum {
    CORNER_SYMBOLS_MAX = 8, /* up to 2^8 joint corners, then random ones */
    JOINT_CORNERS_MAX = 1 << CORNER_SYMBOLS_MAX
};

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

/* ------------------------------------------------------------------ draws */

/* The model with every range filled in, so that the population's own generator draws covariates from ours. */
static ddt_status model_with_ranges(solve_work *work, ddt_model *copy) {
    *copy = *work->model;
    copy->symbols = solve_alloc(work, work->symbol_count, sizeof *copy->symbols);
    if (copy->symbols == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < work->symbol_count; i++) {
        copy->symbols[i] = work->model->symbols[i];
        if (copy->symbols[i].kind == DDT_SYMBOL_COVARIATE) {
            copy->symbols[i].has_range = true;
            copy->symbols[i].range_low = work->symbols[i].low;
            copy->symbols[i].range_high = work->symbols[i].high;
        }
    }
    return DDT_OK;
}

static double nearest_level(const solve_symbol *symbol, double value) {
    /* Equal parts of the range, so that every level is as likely as the others. */
    double part = (value - symbol->low) / (symbol->high - symbol->low) * (double)symbol->level_count;
    size_t level = part <= 0.0 ? 0 : (size_t)part;
    return symbol->levels[level < symbol->level_count ? level : symbol->level_count - 1];
}

static ddt_status draw(solve_work *work, const ddt_model *model, uint64_t index, double *symbols) {
    SOLVE_TRY(ddt_population_draw(work->ctx, model, index, symbols));
    for (size_t i = 0; i < work->symbol_count; i++) {
        const solve_symbol *symbol = &work->symbols[i];
        if (symbol->level_count > 0) {
            symbols[i] = nearest_level(symbol, symbols[i]);
        } else if (symbol->is_encrypted) {
            symbols[i] = fmin(fmax(symbols[i], symbol->low), symbol->high);
        }
    }
    solve_threshold_settle(work, symbols);
    return DDT_OK;
}

/* ------------------------------------------------------------------ corners */

static size_t encrypted_count(const solve_work *work) {
    size_t count = 0;
    for (size_t i = 0; i < work->symbol_count; i++) {
        count += work->symbols[i].is_encrypted;
    }
    return count;
}

/* Corner `index` of all symbols jointly: bits of the index, or of a random number when there are too many. */
static void joint_corner(const solve_work *work, uint64_t bits, double *symbols) {
    for (size_t i = 0, bit = 0; i < work->symbol_count; i++) {
        if (work->symbols[i].is_encrypted) {
            symbols[i] = (bits >> (bit & 63)) & 1 ? work->symbols[i].high : work->symbols[i].low;
            bit++;
        }
    }
}

static void add_corners(solve_work *work, size_t count, const double *typical, double *out) {
    size_t width = work->symbol_count;
    for (size_t i = 0; i < width; i++) {
        for (int side = 0; work->symbols[i].is_encrypted && side < 2; side++, out += width) {
            memcpy(out, typical, width * sizeof *out);
            out[i] = side == 0 ? work->symbols[i].low : work->symbols[i].high;
            solve_threshold_settle(work, out);
        }
    }
    uint64_t state = 1;
    size_t joint = count > CORNER_SYMBOLS_MAX ? JOINT_CORNERS_MAX : (size_t)1 << count;
    for (size_t c = 0; c < joint; c++, out += width) {
        memcpy(out, typical, width * sizeof *out);
        joint_corner(work, count > CORNER_SYMBOLS_MAX ? next_random(&state) : c, out);
        solve_threshold_settle(work, out);
    }
}

ddt_status solve_samples_create(solve_work *work) {
    size_t width = work->symbol_count;
    size_t count = encrypted_count(work);
    size_t joint = count > CORNER_SYMBOLS_MAX ? JOINT_CORNERS_MAX : (size_t)1 << count;
    work->draw_count = work->options.draws;
    work->sample_count = work->draw_count + 2 * count + joint;
    size_t entries = 0;
    if (!ddt_size_mul(work->sample_count, width, &entries)) {
        return solve_no_memory(work->ctx);
    }
    work->samples = solve_alloc(work, entries, sizeof *work->samples);
    if (work->samples == NULL) {
        return DDT_ERR_MEMORY;
    }
    ddt_model model;
    SOLVE_TRY(model_with_ranges(work, &model));
    for (size_t s = 0; s < work->draw_count; s++) {
        SOLVE_TRY(draw(work, &model, s, work->samples + s * width));
    }
    add_corners(work, count, work->samples, work->samples + work->draw_count * width);
    return DDT_OK;
}

/* ------------------------------------------------------------------ numbers of a patient */

static ddt_expr *append(ddt_expr *next, const ddt_expr *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        *next++ = list[i];
    }
    return next;
}

/* Order of the program's outputs: A, x(0), F, gains, offsets, A under infusions, lags, rates, durations. Gains and
 * offsets of outputs that are not linear are 0. */
ddt_status solve_program_create(solve_work *work) {
    const solve_linear *linear = &work->linear;
    size_t n = linear->n;
    size_t compartments = work->model->compartment_count;
    size_t outputs = work->model->output_count;
    size_t total = 2 * n * n + n + 4 * compartments + outputs * n + outputs;
    ddt_expr *all = solve_alloc(work, total, sizeof *all);
    ddt_expr *values = solve_alloc(work, outputs, sizeof *values);
    ddt_expr zero = ddt_expr_const(work->pool, 0.0);
    if (all == NULL || values == NULL) {
        return DDT_ERR_MEMORY;
    }
    ddt_expr *next = append(all, linear->a, n * n);
    next = append(next, linear->initial, n);
    next = append(next, linear->bioavailability, compartments);
    for (size_t o = 0; o < outputs; o++) {
        for (size_t i = 0; i < n; i++) {
            *next++ = linear->outputs[o].is_linear ? linear->outputs[o].gain[i] : zero;
        }
        values[o] = linear->outputs[o].value;
    }
    for (size_t o = 0; o < outputs; o++) {
        *next++ = linear->outputs[o].is_linear ? linear->outputs[o].offset : zero;
    }
    next = append(next, linear->a_piece, n * n);
    next = append(next, linear->lag, compartments);
    next = append(next, linear->rate, compartments);
    (void)append(next, linear->duration, compartments);
    work->program_outputs = total;
    SOLVE_TRY(ddt_expr_compile(work->ctx, work->pool, all, total, &work->program));
    return ddt_expr_compile(work->ctx, work->pool, values, outputs, &work->output_program);
}

ddt_status solve_numbers_create(solve_work *work, solve_numbers *out) {
    double *all = solve_alloc(work, work->program_outputs, sizeof *all);
    *out = (solve_numbers){.a = all};
    out->a_odd = all;
    if (solve_role_is_used(work, SOLVE_ROLE_SEGMENT)) {
        out->a_odd = solve_alloc(work, work->program_outputs, sizeof *out->a_odd);
        out->mirrored = solve_alloc(work, work->symbol_count, sizeof *out->mirrored);
    }
    if (all == NULL || out->a_odd == NULL || (out->a_odd != all && out->mirrored == NULL)) {
        return DDT_ERR_MEMORY;
    }
    size_t n = work->linear.n;
    size_t compartments = work->model->compartment_count;
    out->initial = out->a + n * n;
    out->f = out->initial + n;
    out->gain = out->f + compartments;
    out->offset = out->gain + work->model->output_count * n;
    out->a_piece = out->offset + work->model->output_count;
    out->lag_h = out->a_piece + n * n;
    out->rate = out->lag_h + compartments;
    out->duration_h = out->rate + compartments;
    return DDT_OK;
}

void solve_numbers_of(const solve_work *work, const double *symbols, solve_numbers *out) {
    ddt_expr_program_run(work->program, symbols, out->a);
    out->symbols = symbols;
    if (out->a_odd == out->a) {
        return;
    }
    solve_mirror(work, symbols, out->mirrored);
    ddt_expr_program_run(work->program, out->mirrored, out->a_odd);
}

ddt_status solve_numbers_check(const solve_work *work, const solve_numbers *numbers) {
    for (size_t i = 0; i < work->program_outputs; i++) {
        if (!isfinite(numbers->a[i])) {
            return ddt_fail(
                work->ctx, DDT_ERR_UNSUPPORTED,
                "'%s': a rate, initial value or output is not finite (division by zero, or the logarithm of a "
                "negative number) within the declared ranges; narrow them.",
                work->model->path);
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ a lane, exactly */

static const solve_numbers *numbers_at(const solve_numbers *numbers, uint32_t record) {
    return numbers->of_record == NULL ? numbers : &numbers->of_record[record];
}

void solve_lane_givens(const solve_work *work, size_t lane, const solve_numbers *numbers, const double *amounts,
                       solve_given *givens) {
    const solve_layout *layout = &work->solution->layout;
    const solve_lane *l = &layout->lanes[lane];
    for (size_t row = 0; row < l->source_count; row++) {
        const solve_lane_source *source = &l->sources[row];
        givens[row] = (solve_given){.start_h = source->time_h};
        if (source->input != SOLVE_NONE) {
            size_t c = layout->inputs[source->input].compartment;
            const solve_numbers *own = numbers_at(numbers, source->covariate_record);
            solve_dose_parts parts = {own->f[c], own->lag_h[c], own->rate[c], own->duration_h[c]};
            givens[row] = solve_given_of(layout, l, source, &parts, amounts[source->record]);
        }
    }
}

enum { STEP_CACHE = 32, INFUSION_CACHE = 8 };

/* Transition matrices of the last few steps: times are often equally spaced, segments those of all sources; and what
 * the last few infusions of rate 1 left behind. */
typedef struct step_cache {
    size_t n;
    double *matrices;  /* STEP_CACHE x n x n */
    double *infusions; /* INFUSION_CACHE x n */
    double *scratch;   /* 3 (n+1)^2 */
    const double *a[STEP_CACHE], *infusion_a[INFUSION_CACHE];
    double steps[STEP_CACHE], during[INFUSION_CACHE];
    size_t states[INFUSION_CACHE];
    size_t used, next, infusions_used, infusions_next;
} step_cache;

static size_t scratch_count(const solve_work *work) {
    size_t n = work->linear.n;
    /* cached matrices and vectors; augmented matrix, its exponential and their scratch; five vectors */
    return STEP_CACHE * n * n + INFUSION_CACHE * n + 5 * (n + 1) * (n + 1) + 5 * n;
}

/* Steps that differ by rounding: of one regimen, say. */
static bool is_step(double a, double b) {
    const double rounding = 1e-12;
    return fabs(a - b) <= rounding * fmax(a, b);
}

static const double *cached_step(step_cache *cache, const double *a, double step_h) {
    size_t n = cache->n;
    for (size_t i = 0; i < cache->used; i++) {
        if (cache->a[i] == a && is_step(cache->steps[i], step_h)) {
            return cache->matrices + i * n * n;
        }
    }
    size_t slot = cache->next;
    cache->next = (cache->next + 1) % STEP_CACHE;
    cache->used = cache->used < STEP_CACHE ? cache->used + 1 : STEP_CACHE;
    cache->steps[slot] = step_h;
    cache->a[slot] = a;
    solve_expm(a, n, step_h, cache->scratch, cache->matrices + slot * n * n);
    return cache->matrices + slot * n * n;
}

static void apply_step(step_cache *cache, const double *a, double step_h, double *x, double *work) {
    if (step_h == 0.0) {
        return;
    }
    const double *e = cached_step(cache, a, step_h);
    for (size_t i = 0; i < cache->n; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < cache->n; j++) {
            sum += e[i * cache->n + j] * x[j];
        }
        work[i] = sum;
    }
    memcpy(x, work, cache->n * sizeof *x);
}

/* D' phi1(A D') e_state: the last column of the exponential of the augmented matrix. */
static const double *after_unit_infusion(step_cache *cache, const double *a, size_t state, double during_h) {
    size_t n = cache->n;
    size_t m = n + 1;
    for (size_t i = 0; i < cache->infusions_used; i++) {
        if (cache->infusion_a[i] == a && cache->states[i] == state && is_step(cache->during[i], during_h)) {
            return cache->infusions + i * n;
        }
    }
    size_t slot = cache->infusions_next;
    cache->infusions_next = (cache->infusions_next + 1) % INFUSION_CACHE;
    cache->infusions_used = cache->infusions_used < INFUSION_CACHE ? cache->infusions_used + 1 : INFUSION_CACHE;
    cache->infusion_a[slot] = a;
    cache->states[slot] = state;
    cache->during[slot] = during_h;
    double *x = cache->infusions + slot * n;
    double *augmented = cache->scratch + 3 * m * m;
    double *result = augmented + m * m;
    memset(augmented, 0, m * m * sizeof *augmented);
    for (size_t i = 0; i < n; i++) {
        memcpy(augmented + i * m, a + i * n, n * sizeof *augmented);
    }
    augmented[state * m + n] = 1.0;
    solve_expm(augmented, m, during_h, cache->scratch, result);
    for (size_t i = 0; i < n; i++) {
        x[i] = result[i * m + n];
    }
    return x;
}

/* One lane on its way. */
typedef struct exact_lane {
    const solve_work *work;
    size_t lane;
    const solve_numbers *numbers;
    const solve_exact_buffers *buffers;
    step_cache cache;
    double *vectors; /* 4 n */
} exact_lane;

/* The state that source `row` leaves behind when its infusion, if it is one, has lasted during_h. */
static void source_start(exact_lane *e, size_t row, size_t column, double during_h, double *x) {
    const solve_work *work = e->work;
    const solve_layout *layout = &work->solution->layout;
    const solve_lane_source *source = &layout->lanes[e->lane].sources[row];
    size_t n = work->linear.n;
    memset(x, 0, n * sizeof *x);
    if (source->input == SOLVE_NONE) {
        size_t slot = (e->lane * layout->segments * layout->rows + row) * layout->columns + column;
        for (size_t i = 0; i < n; i++) {
            bool is_unit = work->linear.compartment[i] == SOLVE_UNIT;
            x[i] = numbers_at(e->numbers, source->covariate_record)->initial[i] *
                   (is_unit ? work->times.unit[slot] : work->times.start[slot]);
        }
        return;
    }
    const solve_dosing *dosing = &work->dosings[source->input];
    size_t state = work->linear.state[dosing->compartment];
    const solve_numbers *own = numbers_at(e->numbers, source->covariate_record);
    double feed = e->buffers->givens[row].value * (dosing->omits_f ? 1.0 : own->f[dosing->compartment]);
    if (dosing->is_infusion) {
        uint32_t record = solve_record_for(layout, &layout->lanes[e->lane], SOLVE_ROLE_PIECE, 0, row, column);
        const double *unit = after_unit_infusion(&e->cache, numbers_at(e->numbers, record)->a_piece, state, during_h);
        for (size_t i = 0; i < n; i++) {
            x[i] = feed * unit[i];
        }
    } else {
        x[state] = feed;
    }
}

/* A in a segment of a column. */
static const double *segment_rates(const exact_lane *e, size_t column, size_t segment) {
    const solve_layout *layout = &e->work->solution->layout;
    if (e->numbers->of_record != NULL) {
        const solve_lane *lane = &layout->lanes[e->lane];
        return e->numbers->of_record[solve_record_for(layout, lane, SOLVE_ROLE_SEGMENT, segment, 0, column)].a;
    }
    return segment % 2 == 0 ? e->numbers->a : e->numbers->a_odd;
}

static void add_state(const exact_lane *e, size_t column, const double *x) {
    size_t n = e->work->linear.n;
    for (size_t i = 0; i < n; i++) {
        e->buffers->states[column * n + i] += x[i];
    }
}

/* Without segments all sources of a column share one matrix: from the oldest to the newest, each step of a regimen is
 * the same, and one exponential serves them all. */
static size_t order_sources(exact_lane *e, size_t column) {
    const solve_layout *layout = &e->work->solution->layout;
    const solve_lane *lane = &layout->lanes[e->lane];
    solve_exact_source *order = e->buffers->order;
    solve_slot slot = {.t2_h = e->buffers->t2_h};
    size_t count = 0;
    for (size_t row = 0; row < lane->source_count; row++) {
        solve_slot_of(layout, lane, row, &e->buffers->givens[row], column, &slot);
        if (!slot.acts) {
            continue;
        }
        size_t at = count++;
        for (; at > 0 && order[at - 1].t2_h < slot.t2_h[0]; at--) {
            order[at] = order[at - 1];
        }
        order[at] = (solve_exact_source){row, slot.t2_h[0], slot.during_h};
    }
    return count;
}

/* Where a lane without segments is: the column before, its sources and its state. */
typedef struct walk {
    const double *a;           /* its rates; NULL at the first column */
    solve_exact_source *order; /* its sources */
    size_t count;
    double *x; /* n */
} walk;

/* Whether all that has happened since the column before is a step of *step_h and what new sources gave. */
static bool walks_on(const walk *w, const double *a, const solve_exact_source *order, size_t count, double *step_h) {
    const double rounding = 1e-12; /* of the times that are subtracted */
    if (w->a != a || w->count == 0 || count < w->count) {
        return false;
    }
    *step_h = order[0].t2_h - w->order[0].t2_h;
    bool same = *step_h >= 0.0;
    for (size_t s = 0; s < w->count && same; s++) {
        same = order[s].row == w->order[s].row && order[s].during_h == w->order[s].during_h &&
               fabs(order[s].t2_h - w->order[s].t2_h - *step_h) <= rounding * order[0].t2_h;
    }
    return same;
}

/* The sources from `first` on, from the oldest to the newest, at a column: x is what they leave there. */
static void chain_sources(exact_lane *e, size_t column, const double *a, size_t first, size_t count, double *x) {
    size_t n = e->work->linear.n;
    const solve_exact_source *order = e->buffers->order;
    double *start = e->vectors;
    memset(x, 0, n * sizeof *x);
    for (size_t s = first; s < count; s++) {
        double next_h = s + 1 < count ? order[s + 1].t2_h : 0.0;
        source_start(e, order[s].row, column, order[s].during_h, start);
        for (size_t i = 0; i < n; i++) {
            x[i] += start[i];
        }
        apply_step(&e->cache, a, order[s].t2_h - next_h, x, x + n);
    }
}

/* From the column before where that is possible: steps between columns are short, those since a dose are not. */
static void add_sources(exact_lane *e, size_t column, walk *w) {
    size_t n = e->work->linear.n;
    size_t count = order_sources(e, column);
    const double *a = segment_rates(e, column, 0);
    double *x = e->vectors + n;
    double step_h = 0.0;
    const bool goes_on = walks_on(w, a, e->buffers->order, count, &step_h);
    chain_sources(e, column, a, goes_on ? w->count : 0, count, x);
    if (goes_on) {
        if (!solve_expm_on(a, n, step_h, x + n, w->x)) {
            apply_step(&e->cache, a, step_h, w->x, x + n);
        }
        for (size_t i = 0; i < n; i++) {
            x[i] += w->x[i];
        }
    }
    memcpy(w->x, x, n * sizeof *x);
    memcpy(w->order, e->buffers->order, count * sizeof *w->order);
    w->count = count;
    w->a = a;
    add_state(e, column, x);
}

/* One source on its way through segments. */
static void add_source(exact_lane *e, size_t row) {
    const solve_layout *layout = &e->work->solution->layout;
    const solve_lane *lane = &layout->lanes[e->lane];
    size_t n = e->work->linear.n;
    double *start = e->vectors;
    double *x = start + n;
    double last_during = -1.0;
    solve_slot slot = {.t2_h = e->buffers->t2_h};
    for (size_t k = 0; k < lane->column_count; k++) {
        solve_slot_of(layout, lane, row, &e->buffers->givens[row], k, &slot);
        if (!slot.acts) {
            continue;
        }
        if (slot.during_h != last_during) {
            source_start(e, row, k, slot.during_h, start);
            last_during = slot.during_h;
        }
        memcpy(x, start, n * sizeof *x);
        for (size_t j = 0; j < layout->segments; j++) {
            apply_step(&e->cache, segment_rates(e, k, j), slot.t2_h[j], x, x + n);
        }
        add_state(e, k, x);
    }
}

/* outputs[output * columns + column] from the states of each column. symbols is a copy that may be written. */
static void read_outputs(const solve_work *work, const solve_lane *lane, const solve_numbers *numbers, double *symbols,
                         const double *states, double *values, double *out) {
    size_t n = work->linear.n;
    size_t outputs = work->model->output_count;
    for (size_t k = 0; k < lane->column_count; k++) {
        const double *own = numbers_at(numbers, lane->columns[k].record)->symbols;
        memcpy(symbols, own, work->symbol_count * sizeof *symbols);
        for (size_t i = 0; i < n; i++) {
            if (work->linear.compartment[i] != SOLVE_UNIT) {
                symbols[work->model->compartments[work->linear.compartment[i]].symbol] = states[k * n + i];
            }
        }
        if (work->time_symbol != SOLVE_NONE) {
            symbols[work->time_symbol] = lane->columns[k].time_h;
        }
        ddt_expr_program_run(work->output_program, symbols, values);
        for (size_t o = 0; o < outputs; o++) {
            out[o * work->solution->layout.columns + k] = values[o];
        }
    }
}

void solve_lane_exact(const solve_work *work, size_t lane, const solve_numbers *numbers, const double *amounts,
                      const solve_exact_buffers *buffers) {
    const solve_lane *l = &work->solution->layout.lanes[lane];
    size_t n = work->linear.n;
    exact_lane e = {.work = work, .lane = lane, .numbers = numbers, .buffers = buffers};
    e.cache = (step_cache){.n = n, .matrices = buffers->scratch};
    e.cache.infusions = e.cache.matrices + STEP_CACHE * n * n;
    e.cache.scratch = e.cache.infusions + INFUSION_CACHE * n;
    e.vectors = e.cache.scratch + 5 * (n + 1) * (n + 1);
    memset(buffers->states, 0, l->column_count * n * sizeof *buffers->states);
    solve_lane_givens(work, lane, numbers, amounts, buffers->givens);
    bool has_segments = work->solution->layout.segments > 1;
    for (size_t row = 0; row < l->source_count && has_segments; row++) {
        add_source(&e, row);
    }
    walk w = {.order = buffers->order + work->solution->layout.rows, .x = e.vectors + 4 * n};
    for (size_t k = 0; k < l->column_count && !has_segments; k++) {
        add_sources(&e, k, &w);
    }
    read_outputs(work, l, numbers, buffers->symbols, buffers->states, buffers->values, buffers->outputs);
}

ddt_status solve_exact_create(solve_work *work, solve_exact_buffers *out) {
    const solve_layout *layout = &work->solution->layout;
    size_t outputs = work->model->output_count;
    out->givens = solve_alloc(work, layout->rows, sizeof *out->givens);
    out->order = solve_alloc(work, 2 * layout->rows, sizeof *out->order);
    out->t2_h = solve_alloc(work, layout->segments, sizeof(double));
    out->scratch = solve_alloc(work, scratch_count(work), sizeof(double));
    out->states = solve_alloc(work, layout->columns * work->linear.n, sizeof(double));
    out->symbols = solve_alloc(work, work->symbol_count, sizeof(double));
    out->values = solve_alloc(work, outputs, sizeof(double));
    out->outputs = solve_alloc(work, outputs * layout->columns, sizeof(double));
    return out->givens == NULL || out->order == NULL || out->t2_h == NULL || out->scratch == NULL ||
                   out->states == NULL || out->symbols == NULL || out->values == NULL || out->outputs == NULL
               ? DDT_ERR_MEMORY
               : DDT_OK;
}

/* ------------------------------------------------------------------ memory of the system */

/* Largest entry of exp(A t) among compartments, relative to the largest at any earlier doubling. */
static double remaining(const solve_work *work, const double *e) {
    size_t n = work->linear.n;
    double largest = 0.0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            if (work->linear.compartment[i] != SOLVE_UNIT && work->linear.compartment[j] != SOLVE_UNIT) {
                largest = fmax(largest, fabs(e[i * n + j]));
            }
        }
    }
    return largest;
}

ddt_status solve_memory_h(solve_work *work, double interval_h, double fraction, double *memory_h) {
    enum { GROWTHS_MAX = 60 }; /* of 1.25: 650000 intervals */
    size_t n = work->linear.n;
    solve_numbers numbers;
    double *e = solve_alloc(work, n * n, sizeof *e);
    double *scratch = solve_alloc(work, 3 * n * n, sizeof *scratch);
    if (e == NULL || scratch == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(solve_numbers_create(work, &numbers));
    *memory_h = interval_h;
    for (size_t s = 0; s < work->draw_count; s++) {
        solve_numbers_of(work, work->samples + s * work->symbol_count, &numbers);
        solve_expm(numbers.a, n, interval_h, scratch, e);
        double reference = fmax(1.0, remaining(work, e));
        for (int growth = 0; growth < GROWTHS_MAX; growth++) {
            solve_expm(numbers.a, n, *memory_h, scratch, e);
            if (remaining(work, e) <= fraction * reference) {
                break;
            }
            *memory_h *= 1.25;
        }
    }
    return DDT_OK;
}
