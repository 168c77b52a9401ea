/*
 * The guess: z (or the logarithm of a saturable argument) at every column as a polynomial in the encrypted parameters
 * and in the mean amount given so far, fitted to the virtual population by least squares. Every fourth draw is left out
 * of the fit, so that the errors measured later are not those of the patients that the polynomial has seen (not where
 * a logarithm is fitted, with few terms for many patients).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "newton.h"

#include <omp.h>
#include <string.h>

enum {
    HELD_OUT = 4,
    SAMPLES_PER_TERM = 2,
    RELEVANCE_PATIENTS = 4,
    FACTOR_TOGETHER = 4,
    FIT_TOGETHER = 8 /* samples that pass the matrix of a fit at once: it is larger than the nearest caches */
};

static const double fit_work_max = 6e10;         /* about ten seconds */
static const double fit_work_max_again = 2.5e11; /* of the second attempt, on narrower ranges */
static const double irrelevant = 1e-6;           /* a symbol that moves z by less, relative to its largest value */

/* ------------------------------------------------------------------ patients */

/* Fractional part of (point + 1) / golden, golden the root of x^(dimensions + 1) = x + 1, to the power of dimension +
 * 1: Roberts' additive recurrence, spread evenly in any number of dimensions. */
static double spread(size_t point, size_t dimension, size_t dimensions) {
    enum { ROUNDS = 30 };
    double golden = 2.0;
    for (int k = 0; k < ROUNDS; k++) {
        golden = pow(1.0 + golden, 1.0 / ((double)dimensions + 1.0));
    }
    double step = pow(golden, -((double)dimension + 1.0));
    double place = 0.5 + (double)(point + 1) * step;
    return place - floor(place);
}

/* Closer together towards the ends of a range, as the points of a polynomial must be. */
static double design_value(const solve_symbol *symbol, double place) {
    if (symbol->level_count > 0) {
        return symbol->levels[(size_t)(place * (double)symbol->level_count)];
    }
    const double pi = 3.14159265358979323846;
    return 0.5 * (symbol->low + symbol->high) - 0.5 * (symbol->high - symbol->low) * cos(pi * place);
}

ddt_status newton_design(solve_work *work) {
    size_t width = work->symbol_count;
    size_t before = work->sample_count;
    size_t count = work->newton->argument == DDT_EXPR_NONE ? work->draw_count : 0; /* logarithms extrapolate well */
    size_t entries = 0;
    size_t dimensions = 1;
    if (!ddt_size_mul(before + count, width, &entries)) {
        return solve_no_memory(work->ctx);
    }
    double *samples = solve_alloc(work, entries, sizeof *samples);
    if (samples == NULL) {
        return DDT_ERR_MEMORY;
    }
    memcpy(samples, work->samples, before * width * sizeof *samples);
    for (size_t i = 0; i < width; i++) {
        dimensions += work->symbols[i].is_encrypted;
    }
    for (size_t s = 0; s < count; s++) {
        double *symbols = samples + (before + s) * width;
        memcpy(symbols, samples, width * sizeof *symbols);
        for (size_t i = 0, dimension = 0; i < width; i++) {
            if (work->symbols[i].is_encrypted) {
                symbols[i] = design_value(&work->symbols[i], spread(s, dimension++, dimensions));
            }
        }
        solve_threshold_settle(work, symbols);
    }
    work->samples = samples;
    work->newton->design_start = before;
    work->sample_count = before + count;
    return DDT_OK;
}

/* ------------------------------------------------------------------ doses */

/* Typical amounts of a lane's records, that of row `raised` (SIZE_MAX: none) at the top of its range. */
static void typical_amounts(const solve_work *work, size_t lane, size_t raised, double *amounts) {
    const solve_layout *layout = &work->solution->layout;
    const solve_lane *l = &layout->lanes[lane];
    memset(amounts, 0, work->newton->record_room * sizeof *amounts);
    for (size_t row = 0; row < l->source_count; row++) {
        if (l->sources[row].input != SOLVE_NONE) {
            const solve_range *range = &layout->ranges[layout->inputs[l->sources[row].input].range];
            amounts[l->sources[row].record] = row == raised ? range->high : 0.5 * (range->low + range->high);
            (void)newton_knows_amount(work, lane, &l->sources[row], &amounts[l->sources[row].record]);
        }
    }
}

static size_t slot_of(const solve_layout *layout, size_t lane, size_t row, size_t k) {
    return (lane * layout->rows + row) * layout->columns + k;
}

static bool is_active(const solve_lane *l, size_t row, uint32_t input, size_t k) {
    return l->sources[row].input == input && l->active[row * l->column_count + k] != 0;
}

static size_t rows_of_input(const solve_lane *l, uint32_t input) {
    size_t count = 0;
    for (size_t row = 0; row < l->source_count; row++) {
        count += l->sources[row].input == input;
    }
    return count;
}

/* Weights of the doses of one input at one column: they add up to 1, or to 0 before the first dose. */
static void normalise_weights(const solve_work *work, size_t lane, uint32_t input, size_t k, double *weights) {
    const solve_layout *layout = &work->solution->layout;
    const solve_lane *l = &layout->lanes[lane];
    double sum = 0.0;
    size_t active = 0;
    for (size_t row = 0; row < l->source_count; row++) {
        bool counts = is_active(l, row, input, k);
        sum += counts ? weights[slot_of(layout, lane, row, k)] : 0.0;
        active += counts;
    }
    for (size_t row = 0; row < l->source_count; row++) {
        double *w = &weights[slot_of(layout, lane, row, k)];
        if (l->sources[row].input == input) {
            *w = !is_active(l, row, input, k) ? 0.0 : sum > 0.0 ? *w / sum : 1.0 / (double)active;
        }
    }
}

/* Room for trajectories of single patients. */
typedef struct probe {
    double *symbols, *amounts, *z;
} probe;

/* How much z of one patient changes where one dose does. */
static ddt_status dose_sensitivity(solve_work *work, size_t lane, size_t row, const probe *p, double *weights) {
    const solve_newton *nw = work->newton;
    const solve_layout *layout = &work->solution->layout;
    const double *base = p->z;
    double *changed = p->z + nw->columns * nw->m;
    size_t count = nw->grids[lane].count;
    typical_amounts(work, lane, row, p->amounts);
    SOLVE_TRY(newton_trajectory(work, lane, p->symbols, p->amounts, changed));
    for (size_t b = 0; b < nw->m; b++) {
        double largest = 1e-300;
        for (size_t k = 0; k < count; k++) {
            largest = fmax(largest, fabs(base[k * nw->m + b]));
        }
        for (size_t k = 0; k < count; k++) {
            weights[slot_of(layout, lane, row, k)] += fabs(changed[k * nw->m + b] - base[k * nw->m + b]) / largest;
        }
    }
    return DDT_OK;
}

static void normalise_lane(const solve_work *work, size_t lane, double *weights) {
    for (uint32_t input = 0; input < work->dosing_count; input++) {
        for (size_t k = 0; k < work->newton->grids[lane].count; k++) {
            normalise_weights(work, lane, input, k, weights);
        }
    }
}

/* Whether the amount of a row is encrypted and not the only one of its kind. */
static bool is_one_of_several(const solve_work *work, size_t lane, size_t row) {
    const solve_lane *l = &work->solution->layout.lanes[lane];
    return l->sources[row].input != SOLVE_NONE && rows_of_input(l, l->sources[row].input) > 1 &&
           !newton_knows_amount(work, lane, &l->sources[row], NULL);
}

/* Weights of a lane's doses for the patient whose symbols the probe holds. The only dose of its kind needs none. */
static ddt_status weigh_lane(solve_work *work, size_t lane, const probe *p, double *weights) {
    solve_newton *nw = work->newton;
    const solve_lane *l = &work->solution->layout.lanes[lane];
    typical_amounts(work, lane, SIZE_MAX, p->amounts);
    SOLVE_TRY(newton_trajectory(work, lane, p->symbols, p->amounts, p->z));
    for (size_t row = 0; row < l->source_count; row++) {
        bool weighs = is_one_of_several(work, lane, row);
        SOLVE_TRY(weighs ? dose_sensitivity(work, lane, row, p, weights) : DDT_OK);
        nw->weighs_doses |= weighs;
    }
    normalise_lane(work, lane, weights);
    return DDT_OK;
}

static ddt_status probe_create(solve_work *work, probe *p) {
    const solve_newton *nw = work->newton;
    p->symbols = solve_alloc(work, work->symbol_count, sizeof(double));
    p->amounts = solve_alloc(work, nw->record_room, sizeof(double));
    p->z = solve_alloc(work, 2 * nw->columns * nw->m, sizeof(double));
    return p->symbols == NULL || p->amounts == NULL || p->z == NULL ? DDT_ERR_MEMORY : DDT_OK;
}

static ddt_status weigh_patient(solve_work *work, size_t sample, const probe *p, double *weights) {
    memcpy(p->symbols, work->samples + sample * work->symbol_count, work->symbol_count * sizeof *p->symbols);
    for (size_t lane = 0; lane < work->newton->lanes; lane++) {
        SOLVE_TRY(weigh_lane(work, lane, p, weights));
    }
    return DDT_OK;
}

/*
 * The direction in which the weights of the patients (patients x rows, those of the typical patient subtracted) differ
 * most: power iteration. It is taken out of them.
 */
static void main_direction(double *weights, size_t patients, size_t rows, double *direction) {
    enum { ROUNDS = 40 };
    double square = 0.0;
    for (size_t i = 0; i < rows; i++) {
        direction[i] = 1.0 + (double)i; /* of no particular direction */
    }
    for (int round = 0; round < ROUNDS; round++) {
        double next[NEWTON_ROWS_MAX] = {0};
        for (size_t p = 0; p < patients; p++) {
            double along = 0.0;
            for (size_t i = 0; i < rows; i++) {
                along += weights[p * rows + i] * direction[i];
            }
            for (size_t i = 0; i < rows; i++) {
                next[i] += along * weights[p * rows + i];
            }
        }
        square = 0.0;
        for (size_t i = 0; i < rows; i++) {
            square += next[i] * next[i];
        }
        for (size_t i = 0; i < rows; i++) {
            direction[i] = square > 1e-60 ? next[i] / sqrt(square) : 0.0;
        }
    }
    for (size_t p = 0; p < patients; p++) {
        double along = 0.0;
        for (size_t i = 0; i < rows; i++) {
            along += weights[p * rows + i] * direction[i];
        }
        for (size_t i = 0; i < rows; i++) {
            weights[p * rows + i] -= along * direction[i];
        }
    }
}

/* The contrasts of one input at one column, from the weights of several patients (all but the first). */
static void contrasts_at(const solve_work *work, size_t lane, uint32_t input, size_t k, double *const *weights) {
    solve_newton *nw = work->newton;
    const solve_layout *layout = &work->solution->layout;
    const solve_lane *l = &layout->lanes[lane];
    double differences[NEWTON_PATIENTS * NEWTON_ROWS_MAX];
    double direction[NEWTON_ROWS_MAX];
    size_t slots[NEWTON_ROWS_MAX];
    size_t rows = 0;
    for (size_t row = 0; row < l->source_count; row++) {
        if (is_active(l, row, input, k)) {
            slots[rows++] = slot_of(layout, lane, row, k);
        }
    }
    for (size_t p = 0; p < NEWTON_PATIENTS; p++) {
        for (size_t i = 0; i < rows; i++) {
            differences[p * rows + i] = weights[p][slots[i]] - nw->dose_weights[0][slots[i]];
        }
    }
    for (size_t c = 1; c <= NEWTON_CONTRASTS; c++) {
        main_direction(differences, NEWTON_PATIENTS, rows, direction);
        for (size_t i = 0; i < rows; i++) {
            nw->dose_weights[c][slots[i]] = direction[i];
        }
    }
}

static ddt_status make_contrasts(solve_work *work, const probe *p) {
    solve_newton *nw = work->newton;
    const solve_layout *layout = &work->solution->layout;
    double *weights[NEWTON_PATIENTS];
    for (size_t s = 0; s < NEWTON_PATIENTS; s++) {
        weights[s] = solve_alloc(work, nw->lanes * layout->rows * layout->columns, sizeof(double));
        if (weights[s] == NULL) {
            return DDT_ERR_MEMORY;
        }
        SOLVE_TRY(weigh_patient(work, s + 1, p, weights[s]));
        SOLVE_TRY(ddt_progress(work->ctx, "doses", s + 1, NEWTON_PATIENTS));
    }
    for (size_t lane = 0; lane < nw->lanes; lane++) {
        for (uint32_t input = 0; input < work->dosing_count; input++) {
            for (size_t k = 0; k < nw->grids[lane].count; k++) {
                contrasts_at(work, lane, input, k, weights);
            }
        }
    }
    return DDT_OK;
}

/*
 * Amounts enter the polynomial as one number for each way of dosing: their mean, weighted by what each dose still
 * matters for the typical patient. What doses do one by one is then right to first order. How long a dose matters
 * differs between patients: contrasts between earlier and later doses say the rest.
 */
static ddt_status weigh_doses(solve_work *work) {
    solve_newton *nw = work->newton;
    const solve_layout *layout = &work->solution->layout;
    probe p;
    for (size_t c = 0; c <= NEWTON_CONTRASTS; c++) {
        nw->dose_weights[c] = solve_alloc(work, nw->lanes * layout->rows * layout->columns, sizeof(double));
        if (nw->dose_weights[c] == NULL) {
            return DDT_ERR_MEMORY;
        }
    }
    SOLVE_TRY(probe_create(work, &p));
    nw->weighs_doses = false;
    SOLVE_TRY(weigh_patient(work, 0, &p, nw->dose_weights[0]));
    nw->has_contrasts = nw->weighs_doses && layout->rows <= NEWTON_ROWS_MAX && work->draw_count > NEWTON_PATIENTS;
    return nw->has_contrasts ? make_contrasts(work, &p) : DDT_OK;
}

/* The weighted mean of what was given so far, or a contrast; *any: something was. */
static double mean_amount(const solve_work *work, size_t lane, size_t sample, const newton_feature *feature, size_t k,
                          bool *any) {
    const solve_newton *nw = work->newton;
    const solve_layout *layout = &work->solution->layout;
    const solve_lane *l = &layout->lanes[lane];
    const double *amounts = nw->amounts + (lane * nw->samples + sample) * nw->record_room;
    double sum = 0.0;
    *any = false;
    for (size_t row = 0; row < l->source_count; row++) {
        if (is_active(l, row, feature->index, k)) {
            sum += amounts[l->sources[row].record] * l->sources[row].weight *
                   nw->dose_weights[feature->contrast][slot_of(layout, lane, row, k)];
            *any = true;
        }
    }
    return sum;
}

/* ------------------------------------------------------------------ features */

/* Multiplier of an input in an exponential, 0 where it takes no part. */
static double multiplier_in(const solve_work *work, const solve_group *group, uint32_t input) {
    for (size_t i = 0; i < group->count; i++) {
        if (group->parts[i].encoding + work->dosing_count == input) {
            return group->parts[i].multiplier;
        }
    }
    return 0.0;
}

static uint32_t symbol_of_input(const solve_work *work, uint32_t input) {
    return work->encodings[input - work->dosing_count].symbol;
}

/* The ratio of two inputs' multipliers in the first exponential that has both, 0 where none has; *always: in all. */
static double ratio_of(const solve_work *work, uint32_t input, uint32_t to, bool *always) {
    double ratio = 0.0;
    for (size_t g = 0; g < work->group_count && ratio == 0.0; g++) {
        double mine = multiplier_in(work, &work->groups[g], input);
        double other = multiplier_in(work, &work->groups[g], to);
        ratio = mine != 0.0 && other != 0.0 ? mine / other : 0.0;
    }
    *always = ratio != 0.0;
    for (size_t g = 0; g < work->group_count; g++) {
        *always &= multiplier_in(work, &work->groups[g], input) == ratio * multiplier_in(work, &work->groups[g], to);
    }
    return ratio;
}

/* Moves the symbol of an input by so much of what is encrypted. */
static void shift_symbol(const solve_work *work, uint32_t input, double by, double *symbols) {
    const solve_input *in = &work->solution->layout.inputs[input];
    double *value = &symbols[symbol_of_input(work, input)];
    *value = in->kind == SOLVE_INPUT_LOG ? *value * exp(by * in->half) : *value + by * in->half;
}

static double largest_difference(const double *a, const double *b, size_t count) {
    double largest = 1e-300;
    double difference = 0.0;
    for (size_t k = 0; k < count; k++) {
        largest = fmax(largest, fabs(a[k]));
        difference = fmax(difference, fabs(a[k] - b[k]));
    }
    return difference / largest;
}

/* Whether z stays where it is when `input` moves and `other` moves back by ratio times as much. */
static ddt_status balances(solve_work *work, uint32_t input, uint32_t other, double ratio, const probe *p, bool *yes) {
    const solve_newton *nw = work->newton;
    const double move = 0.2; /* of the input's bound */
    double by = move * work->solution->layout.inputs[input].bound / fmax(1.0, fabs(ratio));
    *yes = true;
    for (size_t s = 0; s < RELEVANCE_PATIENTS && s < work->draw_count && *yes; s++) {
        size_t lane = s % nw->lanes;
        double *moved = p->z + nw->columns * nw->m;
        memcpy(p->symbols, work->samples + s * work->symbol_count, work->symbol_count * sizeof *p->symbols);
        typical_amounts(work, lane, SIZE_MAX, p->amounts);
        SOLVE_TRY(newton_trajectory(work, lane, p->symbols, p->amounts, p->z));
        shift_symbol(work, input, by, p->symbols);
        shift_symbol(work, other, -ratio * by, p->symbols);
        SOLVE_TRY(newton_trajectory(work, lane, p->symbols, p->amounts, moved));
        *yes = largest_difference(p->z, moved, nw->grids[lane].count * nw->m) < irrelevant;
    }
    return DDT_OK;
}

/*
 * Symbols of which only a weighted sum moves z act as one, like a weight and an eta of one capacity. Which sum that may
 * be is told by an exponential that has both.
 */
static ddt_status joins(solve_work *work, uint32_t input, newton_feature *feature, const probe *p, bool *yes) {
    *yes = false;
    if (feature->is_amount || feature->count == NEWTON_PARTS_MAX || input < work->dosing_count) {
        return DDT_OK;
    }
    double ratio = ratio_of(work, input, feature->index, yes);
    if (ratio != 0.0 && work->newton->argument == DDT_EXPR_NONE) { /* else what is fitted is not z alone */
        SOLVE_TRY(balances(work, input, feature->index, ratio, p, yes));
    }
    if (*yes) {
        feature->inputs[feature->count] = input;
        feature->weights[feature->count++] = ratio;
    }
    return DDT_OK;
}

/* Whether an input needs no feature of its own: another encoding of the same symbol has one, or the doses' means speak
 * for it. */
static bool is_told(const solve_layout *layout, uint32_t input) {
    bool is_amount = layout->inputs[input].kind == SOLVE_INPUT_AMOUNT;
    bool told = layout->inputs[input].kind == SOLVE_INPUT_LAST_DOSE;
    for (uint32_t j = 0; j < input && !is_amount; j++) {
        told |= layout->inputs[j].kind != SOLVE_INPUT_AMOUNT && layout->inputs[j].range == layout->inputs[input].range;
    }
    return told;
}

static ddt_status add_feature(solve_work *work, uint32_t input, const probe *p) {
    solve_newton *nw = work->newton;
    bool joined = false;
    for (size_t f = 0; f < nw->feature_count && !joined; f++) {
        SOLVE_TRY(joins(work, input, &nw->features[f], p, &joined));
    }
    if (!joined && nw->feature_count < NEWTON_FEATURES_MAX) {
        nw->features[nw->feature_count++] =
            (newton_feature){.is_amount = work->solution->layout.inputs[input].kind == SOLVE_INPUT_AMOUNT,
                             .index = input,
                             .count = 1,
                             .inputs = {input},
                             .weights = {1.0}};
    }
    return DDT_OK;
}

bool newton_knows_input(const solve_work *work, uint32_t input) {
    const solve_layout *layout = &work->solution->layout;
    bool all = layout->inputs[input].kind == SOLVE_INPUT_AMOUNT;
    for (size_t l = 0; l < layout->lane_count && all; l++) {
        for (size_t row = 0; row < layout->lanes[l].source_count && all; row++) {
            const solve_lane_source *source = &layout->lanes[l].sources[row];
            all = source->input != input || newton_knows_amount(work, l, source, NULL);
        }
    }
    return all;
}

static ddt_status find_features(solve_work *work) {
    const solve_layout *layout = &work->solution->layout;
    probe p;
    SOLVE_TRY(probe_create(work, &p));
    work->newton->feature_count = 0;
    for (uint32_t i = 0; i < layout->input_count; i++) {
        SOLVE_TRY(is_told(layout, i) || newton_knows_input(work, i) ? DDT_OK : add_feature(work, i, &p));
    }
    return DDT_OK;
}

/* Contrasts of the doses of each kind. */
static void add_contrasts(solve_work *work) {
    solve_newton *nw = work->newton;
    size_t count = nw->feature_count;
    for (size_t f = 0; f < count && nw->has_contrasts; f++) {
        for (size_t c = 1; c <= NEWTON_CONTRASTS && nw->features[f].is_amount; c++) {
            if (nw->feature_count < NEWTON_FEATURES_MAX) {
                nw->features[nw->feature_count] = nw->features[f];
                nw->features[nw->feature_count++].contrast = c;
            }
        }
    }
}

/* Before it is moved to [-1, 1]. */
static double raw_feature(const solve_work *work, const newton_feature *feature, size_t lane, size_t sample, size_t k,
                          bool *any) {
    *any = true;
    if (feature->is_amount) {
        return mean_amount(work, lane, sample, feature, k, any);
    }
    double sum = 0.0;
    for (size_t i = 0; i < feature->count; i++) {
        uint32_t input = feature->inputs[i];
        double value = work->samples[sample * work->symbol_count + symbol_of_input(work, input)];
        sum += feature->weights[i] * solve_encode_value(&work->solution->layout.inputs[input], value);
    }
    return sum;
}

static double *features_at(const solve_newton *nw, size_t lane, size_t sample, size_t k) {
    return nw->feature_values + newton_at(nw, lane, sample, k) * NEWTON_FEATURES_MAX;
}

/* Values of a feature in one lane; the range of those that some dose or symbol stands behind. */
static void read_feature(const solve_work *work, size_t f, size_t lane, double *low, double *high) {
    const solve_newton *nw = work->newton;
    for (size_t s = 0; s < nw->samples; s++) {
        for (size_t k = 0; k < nw->grids[lane].count; k++) {
            bool any = false;
            double value = raw_feature(work, &nw->features[f], lane, s, k, &any);
            features_at(nw, lane, s, k)[f] = any ? value : NAN;
            *low = any ? fmin(*low, value) : *low;
            *high = any ? fmax(*high, value) : *high;
        }
    }
}

static void move_feature(const solve_newton *nw, size_t f, size_t lane) {
    for (size_t s = 0; s < nw->samples; s++) {
        for (size_t k = 0; k < nw->grids[lane].count; k++) {
            double *value = &features_at(nw, lane, s, k)[f];
            *value = isnan(*value) ? 0.0 : nw->features[f].factor * (*value - nw->features[f].mid);
        }
    }
}

/* Values of a feature in the whole population, moved to [-1, 1] by a factor that costs no level: an integer. */
static void measure_feature(solve_work *work, size_t f) {
    solve_newton *nw = work->newton;
    const double narrowest = 1e-6;
    double low = INFINITY;
    double high = -INFINITY;
    for (size_t l = 0; l < nw->lanes; l++) {
        read_feature(work, f, l, &low, &high);
    }
    double half = fmax(0.5 * (high - low), narrowest);
    nw->features[f].mid = low <= high ? 0.5 * (low + high) : 0.0;
    nw->features[f].factor = half > 1.0 ? 1.0 / half : floor(1.0 / half);
    for (size_t l = 0; l < nw->lanes; l++) {
        move_feature(nw, f, l);
    }
}

static void measure_features(solve_work *work) {
    for (size_t f = 0; f < work->newton->feature_count; f++) {
        measure_feature(work, f);
    }
}

/* ------------------------------------------------------------------ monomials */

/* A contrast counts as much as two other features: it is small where doses are alike. */
static unsigned weight_in_degree(const newton_feature *feature) { return feature->contrast > 0 ? 2 : 1; }

/* The monomial without its last feature: of a smaller degree, so it is there already. */
static size_t find_parent(const solve_newton *nw, const newton_monomial *of) {
    size_t p = 0;
    while (p < nw->monomial_count && !(nw->monomials[p].count + 1 == of->count &&
                                       memcmp(nw->monomials[p].features, of->features, nw->monomials[p].count) == 0)) {
        p++;
    }
    return p;
}

/* All monomials that add exactly `left` to the degree of a partial one. */
static bool add_monomials(solve_newton *nw, unsigned left, unsigned first, newton_monomial *partial) {
    if (left == 0) {
        if (nw->monomial_count == NEWTON_TERMS_MAX) {
            return false;
        }
        partial->parent = find_parent(nw, partial);
        nw->monomials[nw->monomial_count++] = *partial;
        return true;
    }
    for (unsigned f = first; f < nw->feature_count; f++) {
        unsigned weight = weight_in_degree(&nw->features[f]);
        if (weight > left) {
            continue;
        }
        partial->features[partial->count++] = (uint8_t)f;
        bool fits = add_monomials(nw, left - weight, f, partial);
        partial->count--;
        if (!fits) {
            return false;
        }
    }
    return true;
}

/* Values of all monomials for one sample and column. */
static void monomial_values(const solve_newton *nw, size_t lane, size_t sample, size_t k, double *values) {
    const double *features = features_at(nw, lane, sample, k);
    for (size_t t = 0; t < nw->monomial_count; t++) {
        const newton_monomial *of = &nw->monomials[t];
        values[t] = of->count == 0 ? 1.0 : values[of->parent] * features[of->features[of->count - 1]];
    }
}

/* ------------------------------------------------------------------ least squares */

/* Entries (i .. i + rows, j) of the root, which are independent: their sums run side by side. */
static void factorise_rows(double *a, size_t count, size_t i, size_t rows, size_t j) {
    double sums[FACTOR_TOGETHER] = {0};
    for (size_t r = 0; r < rows; r++) {
        sums[r] = a[(i + r) * count + j];
    }
    if (rows == FACTOR_TOGETHER) {
        for (size_t k = 0; k < j; k++) {
            for (size_t r = 0; r < FACTOR_TOGETHER; r++) {
                sums[r] -= a[(i + r) * count + k] * a[j * count + k];
            }
        }
    } else {
        for (size_t r = 0; r < rows; r++) {
            for (size_t k = 0; k < j; k++) {
                sums[r] -= a[(i + r) * count + k] * a[j * count + k];
            }
        }
    }
    for (size_t r = 0; r < rows; r++) {
        a[(i + r) * count + j] = i + r == j ? sqrt(fmax(sums[r], 1e-300)) : sums[r] / a[j * count + j];
    }
}

/* Cholesky: the lower triangle of a becomes its root. */
static void factorise(double *a, size_t count) {
    for (size_t j = 0; j < count; j++) {
        factorise_rows(a, count, j, 1, j);
        for (size_t i = j + 1; i < count; i += FACTOR_TOGETHER) {
            const size_t rows = count - i < FACTOR_TOGETHER ? count - i : FACTOR_TOGETHER;
            factorise_rows(a, count, i, rows, j);
        }
    }
}

/* b (count x columns) becomes the solution. */
static void substitute(const double *a, double *b, size_t count, size_t columns) {
    for (size_t c = 0; c < columns; c++) {
        for (size_t i = 0; i < count; i++) {
            double sum = b[i * columns + c];
            for (size_t k = 0; k < i; k++) {
                sum -= a[i * count + k] * b[k * columns + c];
            }
            b[i * columns + c] = sum / a[i * count + i];
        }
        for (size_t i = count; i-- > 0;) {
            double sum = b[i * columns + c];
            for (size_t k = i + 1; k < count; k++) {
                sum -= a[k * count + i] * b[k * columns + c];
            }
            b[i * columns + c] = sum / a[i * count + i];
        }
    }
}

static double sample_weight(const solve_work *work, size_t sample) {
    const double corner = 0.1;
    const double design = 0.3;
    if (sample >= work->draw_count) {
        return sample >= work->newton->design_start ? design : corner;
    }
    bool is_held_out = work->newton->argument == DDT_EXPR_NONE && sample % HELD_OUT == HELD_OUT - 1;
    return is_held_out ? 0.0 : 1.0;
}

/* y of the solution. */
static double log_of(const solve_newton *nw, size_t lane, size_t sample, size_t k) {
    size_t place = newton_at(nw, lane, sample, k);
    double x = nw->p[place * nw->n_states + nw->block[0]] + nw->solution[place];
    return log(fmax(1.0 + x / nw->inverse_values[sample], 1e-6));
}

static double target(const solve_newton *nw, size_t lane, size_t sample, size_t k, size_t b) {
    return nw->argument != DDT_EXPR_NONE ? log_of(nw, lane, sample, k)
                                         : nw->solution[newton_at(nw, lane, sample, k) * nw->m + b];
}

/* Whether the features of all samples are those of the column before. */
static bool same_features(const solve_newton *nw, size_t lane, size_t k) {
    for (size_t s = 0; k > 0 && s < nw->samples; s++) {
        if (memcmp(features_at(nw, lane, s, k), features_at(nw, lane, s, k - 1), nw->feature_count * sizeof(double)) !=
            0) {
            return false;
        }
    }
    return k > 0;
}

/* normal += values diag(weights) values^T of FIT_TOGETHER samples, lower triangle. */
static void add_squares(const double *values, const double *weights, size_t terms, double *normal) {
    for (size_t i = 0; i < terms; i++) {
        double scaled[FIT_TOGETHER];
        for (size_t s = 0; s < FIT_TOGETHER; s++) {
            scaled[s] = weights[s] * values[s * terms + i];
        }
        double *row = normal + i * terms;
        for (size_t j = 0; j <= i; j++) {
            double sum = row[j];
            for (size_t s = 0; s < FIT_TOGETHER; s++) {
                sum += scaled[s] * values[s * terms + j];
            }
            row[j] = sum;
        }
    }
}

/* values: room for FIT_TOGETHER samples. */
static void make_normal(const solve_work *work, size_t lane, size_t k, double *values, double *normal) {
    const double ridge = 1e-9;
    const solve_newton *nw = work->newton;
    size_t terms = nw->monomial_count;
    double weights[FIT_TOGETHER] = {0};
    size_t together = 0;
    memset(normal, 0, terms * terms * sizeof *normal);
    for (size_t s = 0; s < nw->samples; s++) {
        double weight = sample_weight(work, s);
        if (weight > 0.0) {
            monomial_values(nw, lane, s, k, values + together * terms);
            weights[together++] = weight;
        }
        if (together == FIT_TOGETHER) {
            add_squares(values, weights, terms, normal);
            memset(weights, 0, sizeof weights);
            together = 0;
        }
    }
    add_squares(values, weights, terms, normal); /* weights of 0 for those that are missing */
    for (size_t i = 0; i < terms; i++) {
        normal[i * terms + i] += ridge * (double)nw->samples;
    }
    factorise(normal, terms);
}

/* What one thread needs to fit columns. */
typedef struct fit_room {
    double *normal; /* terms x terms */
    double *values; /* FIT_TOGETHER x terms */
} fit_room;

/* One sample's part in the right-hand side of one column. */
static void add_targets(const solve_newton *nw, size_t lane, size_t s, size_t k, double weight, const double *values,
                        double *right) {
    for (size_t b = 0; b < nw->m; b++) {
        const double wanted = weight * target(nw, lane, s, k, b);
        for (size_t i = 0; i < nw->monomial_count; i++) {
            right[i * nw->m + b] += wanted * values[i];
        }
    }
}

/* Columns that share their matrix and all features. */
static void fit_columns(const solve_work *work, size_t lane, size_t first, size_t count, const fit_room *room) {
    const solve_newton *nw = work->newton;
    const size_t terms = nw->monomial_count;
    double *const right = nw->guess + (lane * nw->columns + first) * terms * nw->m;
    memset(right, 0, count * terms * nw->m * sizeof *right);
    for (size_t s = 0; s < nw->samples; s++) {
        const double weight = sample_weight(work, s);
        if (weight == 0.0) {
            continue;
        }
        monomial_values(nw, lane, s, first, room->values);
        for (size_t k = 0; k < count; k++) {
            add_targets(nw, lane, s, first + k, weight, room->values, right + k * terms * nw->m);
        }
    }
    for (size_t k = 0; k < count; k++) {
        substitute(room->normal, right + k * terms * nw->m, terms, nw->m);
    }
}

/* Operations of a fit. Where several doses make features differ from column to column, each column has its own matrix.
 */
static double fit_work(const solve_newton *nw) {
    double terms = (double)nw->monomial_count;
    double matrices = (double)nw->lanes * (nw->weighs_doses ? (double)nw->columns : 1.0);
    return 0.5 * matrices * (double)nw->samples * terms * terms;
}

/* At a start the solution is 0. */
static bool has_no_guess(const solve_newton *nw, size_t lane, size_t k) {
    return nw->grids[lane].is_start[k] && nw->argument == DDT_EXPR_NONE;
}

/* Column k of a lane and those behind it that share its matrix. */
static void fit_run(const solve_work *work, size_t lane, size_t k, const bool *shares, const fit_room *room) {
    enum { COLUMNS_TOGETHER = 16 }; /* what is summed up stays in the cache */
    const solve_newton *nw = work->newton;
    const size_t count = nw->grids[lane].count;
    make_normal(work, lane, k, room->values, room->normal);
    size_t last = k + 1;
    while (last < count && shares[last]) {
        last++;
    }
    while (k < last) {
        size_t next = k + 1;
        while (next < last && next - k < COLUMNS_TOGETHER && !has_no_guess(nw, lane, next)) {
            next++;
        }
        if (has_no_guess(nw, lane, k)) {
            next = k + 1;
            memset(nw->guess + (lane * nw->columns + k) * nw->monomial_count * nw->m, 0,
                   nw->monomial_count * nw->m * sizeof *nw->guess);
        } else {
            fit_columns(work, lane, k, next - k, room);
        }
        k = next;
    }
}

static ddt_status fit_rooms(solve_work *work, size_t count, fit_room *rooms) {
    const size_t terms = work->newton->monomial_count;
    for (size_t i = 0; i < count; i++) {
        rooms[i].normal = solve_alloc(work, terms * terms, sizeof(double));
        rooms[i].values = solve_alloc(work, FIT_TOGETHER * terms, sizeof(double));
        if (rooms[i].normal == NULL || rooms[i].values == NULL) {
            return DDT_ERR_MEMORY;
        }
        memset(rooms[i].values, 0, FIT_TOGETHER * terms * sizeof(double));
    }
    return DDT_OK;
}

/* Columns are independent but for the matrix that some share with the one before: the same for any number of threads.
 */
static ddt_status fit_lanes(solve_work *work) {
    enum { THREADS_MAX = 16 };
    const solve_newton *nw = work->newton;
    const int wanted = ddt_context_threads(work->ctx);
    const int threads = wanted < THREADS_MAX ? wanted : THREADS_MAX;
    fit_room rooms[THREADS_MAX];
    bool *shares = solve_alloc(work, nw->columns, sizeof *shares);
    if (shares == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(fit_rooms(work, (size_t)threads, rooms));
    for (size_t lane = 0; lane < nw->lanes; lane++) {
        const size_t count = nw->grids[lane].count;
        for (size_t k = 0; k < count; k++) {
            shares[k] = same_features(nw, lane, k);
        }
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
        for (size_t k = 0; k < count; k++) {
            if (!shares[k]) {
                fit_run(work, lane, k, shares, &rooms[omp_get_thread_num()]);
            }
        }
    }
    return DDT_OK;
}

/* Least squares over the population, column by column. Coefficients: lanes x columns x monomials x m. */
ddt_status newton_fit(solve_work *work, unsigned degree, bool *fits) {
    solve_newton *nw = work->newton;
    nw->monomial_count = 0;
    *fits = true;
    for (unsigned d = 0; d <= degree; d++) {
        newton_monomial none = {0};
        *fits = *fits && add_monomials(nw, d, 0, &none);
    }
    size_t terms = nw->monomial_count;
    const double most = work->covers_template ? fit_work_max_again : fit_work_max;
    *fits = *fits && terms * SAMPLES_PER_TERM <= nw->samples && fit_work(nw) <= most;
    if (!*fits) {
        return DDT_OK;
    }
    nw->guess = solve_alloc(work, nw->lanes * nw->columns * terms * nw->m, sizeof *nw->guess);
    return nw->guess == NULL ? DDT_ERR_MEMORY : fit_lanes(work);
}

/* ------------------------------------------------------------------ features that matter */

/* How far z of one patient moves, relative to its largest value, between the ends of an encrypted symbol's range. */
static ddt_status influence(solve_work *work, const newton_feature *feature, size_t lane, double *symbols,
                            double *amounts, double *z, double *worst) {
    const solve_newton *nw = work->newton;
    size_t count = nw->grids[lane].count * nw->m;
    double *moved = z + nw->columns * nw->m;
    for (size_t i = 0; i < feature->count; i++) {
        uint32_t symbol = symbol_of_input(work, feature->inputs[i]);
        double kept = symbols[symbol];
        typical_amounts(work, lane, SIZE_MAX, amounts);
        symbols[symbol] = work->symbols[symbol].low;
        SOLVE_TRY(newton_trajectory(work, lane, symbols, amounts, z));
        symbols[symbol] = work->symbols[symbol].high;
        SOLVE_TRY(newton_trajectory(work, lane, symbols, amounts, moved));
        symbols[symbol] = kept;
        *worst = fmax(*worst, largest_difference(z, moved, count));
    }
    return DDT_OK;
}

static ddt_status is_relevant(solve_work *work, const newton_feature *feature, const probe *p, bool *yes) {
    double worst = feature->is_amount || work->newton->argument != DDT_EXPR_NONE ? 1.0 : 0.0;
    for (size_t s = 0; s < RELEVANCE_PATIENTS && s < work->draw_count && worst < irrelevant; s++) {
        memcpy(p->symbols, work->samples + s * work->symbol_count, work->symbol_count * sizeof *p->symbols);
        SOLVE_TRY(influence(work, feature, s % work->newton->lanes, p->symbols, p->amounts, p->z, &worst));
    }
    *yes = worst >= irrelevant;
    return DDT_OK;
}

static ddt_status drop_features(solve_work *work) {
    solve_newton *nw = work->newton;
    probe p;
    SOLVE_TRY(probe_create(work, &p));
    size_t kept = 0;
    for (size_t f = 0; f < nw->feature_count; f++) {
        bool keeps = true;
        SOLVE_TRY(is_relevant(work, &nw->features[f], &p, &keeps));
        if (keeps) {
            nw->features[kept++] = nw->features[f];
        }
    }
    nw->feature_count = kept;
    return DDT_OK;
}

ddt_status newton_features(solve_work *work) {
    solve_newton *nw = work->newton;
    size_t places = nw->lanes * nw->samples * nw->columns;
    nw->log_guess = solve_alloc(work, places, sizeof(double));
    nw->inverse_values = solve_alloc(work, nw->samples, sizeof(double));
    nw->feature_values = solve_alloc(work, places * NEWTON_FEATURES_MAX, sizeof(double));
    if (nw->log_guess == NULL || nw->inverse_values == NULL || nw->feature_values == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t s = 0; s < nw->samples && nw->argument != DDT_EXPR_NONE; s++) {
        nw->inverse_values[s] =
            ddt_expr_eval(work->pool, nw->inverse_slope, work->samples + s * work->symbol_count, NULL);
    }
    SOLVE_TRY(weigh_doses(work));
    SOLVE_TRY(find_features(work));
    add_contrasts(work);
    SOLVE_TRY(drop_features(work));
    measure_features(work);
    return DDT_OK;
}

/* ------------------------------------------------------------------ values */

void newton_guess_of(const solve_work *work, size_t lane, size_t sample, double *values, double *out) {
    const solve_newton *nw = work->newton;
    size_t terms = nw->monomial_count;
    for (size_t k = 0; k < nw->grids[lane].count; k++) {
        const double *c = nw->guess + (lane * nw->columns + k) * terms * nw->m;
        monomial_values(nw, lane, sample, k, values);
        for (size_t b = 0; b < nw->m; b++) {
            double sum = 0.0;
            for (size_t t = 0; t < terms; t++) {
                sum += c[t * nw->m + b] * values[t];
            }
            out[k * nw->m + b] = sum;
            if (nw->argument != DDT_EXPR_NONE) {
                size_t place = newton_at(nw, lane, sample, k);
                nw->log_guess[place] = sum;
                out[k] = (exp(sum) - 1.0) * nw->inverse_values[sample] - nw->p[place * nw->n_states + nw->block[0]];
            }
        }
    }
}

/* The range of y over the population, and how it is scaled to [-1, 1]. */
void newton_log_range(solve_work *work) {
    solve_newton *nw = work->newton;
    double low = INFINITY;
    double high = -INFINITY;
    for (size_t l = 0; l < nw->lanes; l++) {
        for (size_t s = 0; s < nw->samples; s++) {
            for (size_t k = 0; k < nw->grids[l].count; k++) {
                low = fmin(low, nw->log_guess[newton_at(nw, l, s, k)]);
                high = fmax(high, nw->log_guess[newton_at(nw, l, s, k)]);
            }
        }
    }
    newton_widen(&low, &high);
    nw->log_mid = 0.5 * (low + high);
    nw->log_half = 0.5 * (high - low);
}

bool solve_newton_log(const solve_work *work, ddt_expr argument, solve_value *y, double *mid, double *half) {
    const solve_newton *nw = work->newton;
    if (nw == NULL || nw->current != 0 || nw->argument == DDT_EXPR_NONE || argument != nw->argument) {
        return false;
    }
    *y = nw->log_node;
    *mid = nw->log_mid;
    *half = nw->log_half;
    return true;
}
