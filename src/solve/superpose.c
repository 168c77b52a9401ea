/*
 * The circuit of a linear model: every slot (source d, observation k) computes x = exp(A t2) (w + D' phi1(A D') r) for
 * its own times, then the sum over sources. Where an output is a multiple of one compartment, the multiple goes into
 * the sources, beside the exponential instead of behind it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

/* What flows into each state at its source, multiplied by `fold` (1, or an output's gain). */
typedef struct feed {
    ddt_expr fold;
    double unit;         /* the fed values are divided by it */
    solve_value *values; /* n */
    bool *exists;        /* n */
    bool forward;        /* how exp(A t) is applied: P (P v), or (P P) v */
    bool *rows;          /* n: states wanted */
    solve_value *inner;  /* n: P_(last-1) v, where built */
    bool *inner_built;
} feed;

typedef struct builder {
    solve_work *work;
    size_t n;
    solve_matrix decay, infusion;
    solve_segments transition;
    solve_sum *rates, *piece_rates; /* n x n */
    feed *feeds;
    size_t feed_count;
    size_t *feed_of;     /* per output */
    solve_value *states; /* n, of the rows wanted: where resolvents have solved the system; else NULL */
} builder;

/* ------------------------------------------------------------------ inputs and rates */

static void bind_nodes(solve_work *work) {
    const solve_layout *layout = &work->solution->layout;
    for (size_t i = 0; i < layout->input_count && !work->has_nodes; i++) {
        const solve_input *input = &layout->inputs[i];
        ddt_node node = input->is_public ? ddt_circuit_public(work->circuit, work->public_amounts[i])
                                         : ddt_circuit_input(work->circuit, input->name, input->bound);
        solve_input_kind kind = input->kind;
        if (i < work->dosing_count) {
            work->dosings[i].node = node;
        } else if (kind == SOLVE_INPUT_DECAY_TIME || kind == SOLVE_INPUT_INFUSION_TIME) {
            *(kind == SOLVE_INPUT_DECAY_TIME ? &work->times.t2_node : &work->times.during_node) = node;
        } else {
            work->encodings[i - work->dosing_count].node = node;
        }
    }
    for (size_t g = 0; g < work->group_count; g++) {
        work->groups[g].node = DDT_NODE_NONE;
    }
}

static ddt_status lower_matrix(const builder *b, const solve_terms *terms, solve_sum **out) {
    size_t entries = b->n * b->n;
    *out = solve_alloc(b->work, entries, sizeof **out);
    if (*out == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < entries; i++) {
        SOLVE_TRY(solve_lower(b->work, &terms[i], &(*out)[i]));
    }
    return DDT_OK;
}

/* Rates in scaled states: A_ij scale_j / scale_i. */
static ddt_status lower_rates(builder *b) {
    const solve_work *work = b->work;
    SOLVE_TRY(lower_matrix(b, work->a_terms, &b->rates));
    b->piece_rates = b->rates;
    return work->piece_terms != work->a_terms && work->times.during_max > 0.0
               ? lower_matrix(b, work->piece_terms, &b->piece_rates)
               : DDT_OK;
}

static void copy_rates(const builder *b, const solve_sum *rates, solve_matrix *m) {
    for (size_t i = 0; i < b->n; i++) {
        for (size_t j = 0; j < b->n; j++) {
            m->rates[i * m->n + j] = rates[i * b->n + j];
            m->factors[i * m->n + j] = b->work->state_scale[j] / b->work->state_scale[i];
        }
    }
}

/* Private times are an input: the vector's place is taken by a node. */
static void set_time(const solve_work *work, ddt_node node, double longest_h, solve_matrix *m) {
    if (work->times.is_private) {
        m->time = NULL;
        m->time_value = (solve_value){.node = node};
        m->time_unit = longest_h;
    }
}

/* The matrix with one more column for each way of infusing: a constant input into its compartment. */
static ddt_status make_infusion_matrix(builder *b) {
    solve_work *work = b->work;
    size_t m = b->n;
    for (size_t i = 0; i < work->dosing_count; i++) {
        m += work->dosings[i].is_infusion;
    }
    SOLVE_TRY(solve_matrix_create(work, &work->infusion, m, work->times.during, &b->infusion));
    set_time(work, work->times.during_node, work->times.during_max, &b->infusion);
    copy_rates(b, b->piece_rates, &b->infusion);
    for (size_t i = 0, column = b->n; i < work->dosing_count; i++) {
        if (!work->dosings[i].is_infusion) {
            continue;
        }
        size_t at = work->linear.state[work->dosings[i].compartment] * m + column++;
        solve_product *one = solve_alloc(work, 1, sizeof *one);
        if (one == NULL) {
            return DDT_ERR_MEMORY;
        }
        one->coefficient = 1.0;
        b->infusion.rates[at] = (solve_sum){1, one};
        b->infusion.factors[at] = 1.0 / work->times.during_max;
    }
    solve_matrix_structure(&b->infusion);
    return DDT_OK;
}

static ddt_status make_matrices(builder *b) {
    if (b->work->fits && b->work->times.is_private) {
        SOLVE_TRY(solve_lagged_times(b->work));
    }
    SOLVE_TRY(solve_matrix_create(b->work, &b->work->decay, b->n, b->work->times.t2, &b->decay));
    set_time(b->work, b->work->times.t2_node, b->work->times.t2_max, &b->decay);
    copy_rates(b, b->rates, &b->decay);
    solve_matrix_structure(&b->decay);
    SOLVE_TRY(solve_segments_create(b->work, &b->decay, &b->transition));
    return b->work->times.during_max > 0.0 ? make_infusion_matrix(b) : DDT_OK;
}

/* ------------------------------------------------------------------ sources */

/* The one state that an output is a multiple of, SIZE_MAX when there is none or several. */
static size_t single_state(const solve_work *work, size_t output) {
    const solve_linear_output *o = &work->linear.outputs[output];
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < work->linear.n && o->is_linear; i++) {
        if (!solve_is_constant(work, o->gain[i], 0.0)) {
            if (found != SIZE_MAX) {
                return SIZE_MAX;
            }
            found = i;
        }
    }
    return found;
}

static ddt_status add_feed_value(solve_work *work, feed *f, size_t state, solve_pairs *pairs) {
    if (pairs->count == 0) {
        return DDT_OK;
    }
    solve_value value;
    SOLVE_TRY(solve_pairs_node(work, pairs, &value));
    if (f->exists[state]) {
        value.node = ddt_circuit_add(work->circuit, f->values[state].node, value.node);
        value.depth = fmax(value.depth, f->values[state].depth);
    }
    f->values[state] = value;
    f->exists[state] = true;
    return ddt_circuit_status(work->circuit);
}

/* amount * F * fold / (scale of the compartment * unit) */
static ddt_status dose_pairs(solve_work *work, const feed *f, size_t output_feed, size_t dosing, double extra,
                             solve_pairs *pairs) {
    const solve_dosing *d = &work->dosings[dosing];
    size_t state = work->linear.state[d->compartment];
    solve_sum sum = {0};
    SOLVE_TRY(solve_lower(work, &work->f_terms[output_feed * work->dosing_count + dosing], &sum));
    return solve_sum_times(work, &sum, (solve_value){.node = d->node},
                           extra * d->scale / (work->state_scale[state] * f->unit), pairs);
}

static ddt_status add_bolus(builder *b, feed *f, size_t index, size_t dosing) {
    solve_pairs pairs = {0};
    SOLVE_TRY(dose_pairs(b->work, f, index, dosing, 1.0, &pairs));
    return add_feed_value(b->work, f, b->work->linear.state[b->work->dosings[dosing].compartment], &pairs);
}

/* rate * (column of exp of the augmented matrix) */
static ddt_status add_infusion(builder *b, feed *f, size_t index, size_t dosing) {
    solve_work *work = b->work;
    size_t column = b->n;
    if (!(work->times.during_max > 0.0)) {
        return DDT_OK; /* nothing is looked at during or after an infusion: a fit of a table without levels */
    }
    for (size_t i = 0; i < dosing; i++) {
        column += work->dosings[i].is_infusion;
    }
    solve_pairs rate_pairs = {0};
    solve_value rate;
    SOLVE_TRY(dose_pairs(work, f, index, dosing, work->times.during_max, &rate_pairs));
    if (rate_pairs.count == 0) {
        return DDT_OK;
    }
    SOLVE_TRY(solve_pairs_node(work, &rate_pairs, &rate));
    for (size_t i = 0; i < b->n; i++) {
        if (!solve_matrix_nonzero(&b->infusion, b->infusion.levels, i, column)) {
            continue;
        }
        solve_value entry;
        solve_pairs pairs = {0};
        SOLVE_TRY(solve_matrix_entry(&b->infusion, b->infusion.levels, i, column, &entry));
        SOLVE_TRY(solve_pairs_add(work, &pairs, entry, rate));
        SOLVE_TRY(add_feed_value(work, f, i, &pairs));
    }
    return DDT_OK;
}

/* Initial values, and the unit state, where an epoch starts. */
static ddt_status add_initial(builder *b, feed *f, size_t index) {
    solve_work *work = b->work;
    for (size_t i = 0; i < b->n; i++) {
        bool is_unit = work->linear.compartment[i] == SOLVE_UNIT;
        solve_sum sum = {0};
        solve_pairs pairs = {0};
        SOLVE_TRY(solve_lower(work, &work->initial_terms[index * b->n + i], &sum));
        SOLVE_TRY(solve_sum_pairs(work, &sum, is_unit ? work->times.unit : work->times.start,
                                  1.0 / (work->state_scale[i] * f->unit), &pairs));
        SOLVE_TRY(add_feed_value(work, f, i, &pairs));
    }
    return DDT_OK;
}

static ddt_status build_feed(builder *b, size_t index) {
    feed *f = &b->feeds[index];
    for (size_t d = 0; d < b->work->dosing_count; d++) {
        SOLVE_TRY(b->work->dosings[d].is_infusion ? add_infusion(b, f, index, d) : add_bolus(b, f, index, d));
    }
    return add_initial(b, f, index);
}

/* ------------------------------------------------------------------ which sources for which output */

/* Feeds are laid out once, before the first attempt, with the expressions they need. */
ddt_status solve_feeds_create(solve_work *work) {
    size_t outputs = work->model->output_count;
    work->feed_folds = solve_alloc(work, outputs + 1, sizeof *work->feed_folds);
    work->feed_of_output = solve_alloc(work, outputs, sizeof *work->feed_of_output);
    if (work->feed_folds == NULL || work->feed_of_output == NULL) {
        return DDT_ERR_MEMORY;
    }
    ddt_expr one = ddt_expr_const(work->pool, 1.0);
    for (size_t o = 0; o < outputs; o++) {
        size_t state = single_state(work, o);
        ddt_expr fold = state == SIZE_MAX ? one : work->linear.outputs[o].gain[state];
        fold = ddt_expr_is_const(work->pool, fold, NULL) || work->resolvent != NULL ? one : fold;
        size_t at = 0;
        while (at < work->feed_count && work->feed_folds[at] != fold) {
            at++;
        }
        work->feed_folds[at] = fold;
        work->feed_count = at == work->feed_count ? at + 1 : work->feed_count;
        work->feed_of_output[o] = at;
    }
    return work->feed_count > 0 ? DDT_OK : ddt_fail(work->ctx, DDT_ERR_MODEL, "'%s' has no output.", work->model->path);
}

/* The value that output `o` would have at magnitude 1 of its state. */
static double gain_constant(const solve_work *work, size_t o, size_t state) {
    double value = 1.0;
    return ddt_expr_is_const(work->pool, work->linear.outputs[o].gain[state], &value) ? value : 1.0;
}

static ddt_status make_feeds(builder *b) {
    solve_work *work = b->work;
    b->feed_count = work->feed_count;
    b->feeds = solve_alloc(work, b->feed_count, sizeof *b->feeds);
    if (b->feeds == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < b->feed_count; i++) {
        feed *f = &b->feeds[i];
        f->fold = work->feed_folds[i];
        f->unit = 1.0;
        f->values = solve_alloc(work, b->n, sizeof *f->values);
        f->exists = solve_alloc(work, b->n, sizeof *f->exists);
        f->rows = solve_alloc(work, b->n, sizeof *f->rows);
        f->inner = solve_alloc(work, b->n, sizeof *f->inner);
        f->inner_built = solve_alloc(work, b->n, sizeof *f->inner_built);
        if (f->values == NULL || f->exists == NULL || f->rows == NULL || f->inner == NULL || f->inner_built == NULL) {
            return DDT_ERR_MEMORY;
        }
    }
    for (size_t o = work->model->output_count; o-- > 0;) {
        feed *f = &b->feeds[work->feed_of_output[o]];
        size_t state = single_state(work, o);
        for (size_t i = 0; i < b->n; i++) {
            f->rows[i] |= i == state || (state == SIZE_MAX && work->linear.compartment[i] != SOLVE_UNIT);
        }
        if (state != SIZE_MAX && !solve_is_constant(work, f->fold, 1.0)) {
            /* The first output that uses the feed comes out with magnitude 1. */
            f->unit = work->output_scale[o] / work->state_scale[state];
        }
    }
    return DDT_OK;
}

/* Whether P (P v) needs fewer products than (P P) v. Across segments there is no choice. */
static void choose_direction(const builder *b, feed *f) {
    const solve_matrix *m = &b->decay;
    size_t forward = 0;
    size_t backward = 0;
    for (size_t k = 0; k < b->n; k++) {
        bool used = false;
        for (size_t i = 0; i < b->n; i++) {
            used |= f->rows[i] && solve_matrix_nonzero(m, m->levels - 1, i, k);
            backward += f->rows[i] && f->exists[k] && solve_matrix_nonzero(m, m->levels, i, k);
        }
        bool fed = false;
        for (size_t j = 0; j < b->n; j++) {
            fed |= f->exists[j] && solve_matrix_nonzero(m, m->levels - 1, k, j);
        }
        forward += used && fed;
    }
    f->forward = forward < backward || b->transition.rounds > 0;
}

/* ------------------------------------------------------------------ states */

/* u_k = (lower factor of the transition, times v)_k; *exists false where it is 0 by structure. */
static ddt_status inner_value(builder *b, feed *f, size_t k, solve_value *out, bool *exists) {
    solve_pairs pairs = {0};
    for (size_t j = 0; j < b->n && !f->inner_built[k]; j++) {
        solve_value entry;
        if (!f->exists[j] || !solve_segments_nonzero(&b->transition, k, j)) {
            continue;
        }
        SOLVE_TRY(solve_segments_entry(&b->transition, false, k, j, &entry));
        SOLVE_TRY(solve_pairs_add(b->work, &pairs, entry, f->values[j]));
    }
    if (!f->inner_built[k]) {
        f->inner_built[k] = true;
        f->inner[k].node = DDT_NODE_NONE;
        SOLVE_TRY(pairs.count > 0 ? solve_pairs_node(b->work, &pairs, &f->inner[k]) : DDT_OK);
    }
    *out = f->inner[k];
    *exists = f->inner[k].node != DDT_NODE_NONE;
    return DDT_OK;
}

/* What the last step adds to P_(last - 1) u in row i: (rest v)_i. Nothing after a plain squaring, nor across segments.
 */
static ddt_status last_step_pairs(builder *b, const feed *f, size_t i, solve_pairs *pairs) {
    for (size_t j = 0; j < b->n && b->transition.rounds == 0; j++) {
        solve_pairs rest = {0};
        solve_value value;
        SOLVE_TRY(f->exists[j] ? solve_matrix_rest(&b->decay, b->decay.levels, i, j, &rest) : DDT_OK);
        if (rest.count == 0) {
            continue;
        }
        SOLVE_TRY(solve_pairs_node(b->work, &rest, &value));
        SOLVE_TRY(solve_pairs_add(b->work, pairs, value, f->values[j]));
    }
    return DDT_OK;
}

/* (exp(A t) v)_i from the whole exponential. */
static ddt_status backward_value(builder *b, const feed *f, size_t i, solve_value *out) {
    solve_pairs pairs = {0};
    for (size_t j = 0; j < b->n; j++) {
        solve_value entry;
        if (!f->exists[j] || !solve_matrix_nonzero(&b->decay, b->decay.levels, i, j)) {
            continue;
        }
        SOLVE_TRY(solve_matrix_entry(&b->decay, b->decay.levels, i, j, &entry));
        SOLVE_TRY(solve_pairs_add(b->work, &pairs, entry, f->values[j]));
    }
    return solve_pairs_node(b->work, &pairs, out);
}

/* State i at the observation, from each source. */
static ddt_status state_value(builder *b, feed *f, size_t i, solve_value *out) {
    solve_pairs pairs = {0};
    if (b->states != NULL) {
        *out = b->states[i];
        return DDT_OK;
    }
    if (!f->forward) {
        return backward_value(b, f, i, out);
    }
    for (size_t k = 0; k < b->n; k++) {
        solve_value entry;
        solve_value inner;
        bool exists = false;
        SOLVE_TRY(solve_segments_nonzero(&b->transition, i, k) ? inner_value(b, f, k, &inner, &exists) : DDT_OK);
        if (!exists) {
            continue;
        }
        SOLVE_TRY(solve_segments_entry(&b->transition, true, i, k, &entry));
        SOLVE_TRY(solve_pairs_add(b->work, &pairs, entry, inner));
    }
    SOLVE_TRY(last_step_pairs(b, f, i, &pairs));
    return solve_pairs_node(b->work, &pairs, out);
}

static solve_value sum_over_sources(builder *b, solve_value value) {
    const solve_layout *layout = &b->work->solution->layout;
    size_t rows = b->work->sum_rows != 0 ? b->work->sum_rows : layout->rows;
    value.node = ddt_circuit_sum(b->work->circuit, value.node, (int64_t)layout->columns, rows);
    return value;
}

/* ------------------------------------------------------------------ outputs */

/* Row vector of an output over the states, times the transition's upper factor. */
static ddt_status output_row(builder *b, size_t o, const solve_sum *gains, size_t k, solve_value *out, bool *exists) {
    solve_pairs pairs = {0};
    for (size_t i = 0; i < b->n; i++) {
        solve_value entry;
        if (gains[i].count == 0 || !solve_segments_nonzero(&b->transition, i, k)) {
            continue;
        }
        SOLVE_TRY(solve_segments_entry(&b->transition, true, i, k, &entry));
        SOLVE_TRY(
            solve_sum_times(b->work, &gains[i], entry, b->work->state_scale[i] / b->work->output_scale[o], &pairs));
    }
    *exists = pairs.count > 0;
    return *exists ? solve_pairs_node(b->work, &pairs, out) : DDT_OK;
}

/* Multiples of states that are solved. */
static ddt_status output_of_states(builder *b, size_t o, solve_value *out) {
    solve_work *work = b->work;
    solve_pairs pairs = {0};
    for (size_t i = 0; i < b->n; i++) {
        solve_sum gain = {0};
        SOLVE_TRY(solve_lower(work, &work->gain_terms[o * b->n + i], &gain));
        double factor = work->state_scale[i] / work->output_scale[o];
        SOLVE_TRY(gain.count > 0 ? solve_sum_times(work, &gain, b->states[i], factor, &pairs) : DDT_OK);
    }
    work->solution->layout.outputs[o].scale = work->output_scale[o];
    return solve_pairs_node(work, &pairs, out);
}

/* An output that is a combination of several states: (gains P) (P v), and what the last step adds. */
static ddt_status combined_output(builder *b, size_t o, solve_value *out) {
    solve_work *work = b->work;
    feed *f = &b->feeds[work->feed_of_output[o]];
    solve_sum *gains = solve_alloc(work, b->n, sizeof *gains);
    solve_pairs pairs = {0};
    if (gains == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < b->n; i++) {
        SOLVE_TRY(solve_lower(work, &work->gain_terms[o * b->n + i], &gains[i]));
    }
    for (size_t k = 0; k < b->n; k++) {
        solve_value left;
        solve_value right;
        solve_value added;
        bool left_exists = false;
        bool right_exists = false;
        SOLVE_TRY(output_row(b, o, gains, k, &left, &left_exists));
        SOLVE_TRY(left_exists ? inner_value(b, f, k, &right, &right_exists) : DDT_OK);
        SOLVE_TRY(right_exists ? solve_pairs_add(work, &pairs, left, right) : DDT_OK);
        solve_pairs last = {0};
        SOLVE_TRY(gains[k].count > 0 ? last_step_pairs(b, f, k, &last) : DDT_OK);
        if (last.count == 0) {
            continue;
        }
        SOLVE_TRY(solve_pairs_node(work, &last, &added));
        SOLVE_TRY(solve_sum_times(work, &gains[k], added, work->state_scale[k] / work->output_scale[o], &pairs));
    }
    work->solution->layout.outputs[o].scale = work->output_scale[o];
    return solve_pairs_node(work, &pairs, out);
}

/* Rows beyond the first of a lane hold sums that mix lanes: functions are not made for those. They become the middle of
 * the state's range. */
static ddt_status keep_first_row(builder *b, size_t i, solve_value *value) {
    solve_work *work = b->work;
    const solve_layout *layout = &work->solution->layout;
    size_t part = layout->rows * layout->columns;
    size_t slots = layout->lane_count * layout->segments * part;
    if (layout->segments * layout->rows == 1) {
        return DDT_OK;
    }
    const solve_symbol *symbol = &work->symbols[work->model->compartments[work->linear.compartment[i]].symbol];
    double middle = 0.5 * (symbol->low + symbol->high) / work->state_scale[i];
    double *first = solve_alloc(work, 2 * slots, sizeof *first);
    if (first == NULL) {
        return DDT_ERR_MEMORY;
    }
    double *other = first + slots;
    for (size_t at = 0; at < slots; at++) {
        bool is_first = at % (layout->segments * part) < layout->columns;
        first[at] = is_first ? 1.0 : 0.0;
        other[at] = is_first ? 0.0 : middle;
    }
    value->node = ddt_circuit_mul(work->circuit, value->node, solve_public(work, first, 1.0).node);
    value->node = ddt_circuit_add(work->circuit, value->node, solve_public(work, other, 1.0).node);
    value->depth += 1.0;
    return ddt_circuit_status(work->circuit);
}

static bool reads_state(const solve_work *work, size_t output, size_t state) {
    size_t compartment = work->linear.compartment[state];
    return compartment != SOLVE_UNIT && ddt_expr_depends_on(work->pool, work->linear.outputs[output].value,
                                                            work->model->compartments[compartment].symbol);
}

/* An output that is not linear in the states: a function of them after the sum over sources. */
static ddt_status nonlinear_output(builder *b, size_t o, solve_value *out) {
    solve_work *work = b->work;
    feed *f = &b->feeds[work->feed_of_output[o]];
    for (size_t i = 0; i < b->n; i++) {
        if (!reads_state(work, o, i) || work->state_values[i].node != DDT_NODE_NONE) {
            continue;
        }
        solve_value value;
        SOLVE_TRY(state_value(b, f, i, &value));
        value = sum_over_sources(b, value);
        SOLVE_TRY(keep_first_row(b, i, &value));
        work->state_values[i] = value;
    }
    solve_sum sum = {0};
    SOLVE_TRY(solve_lower(work, &work->offset_terms[o], &sum));
    work->solution->layout.outputs[o].scale = work->output_scale[o];
    return solve_sum_node(work, &sum, 1.0 / work->output_scale[o], 0.0, out);
}

static ddt_status linear_output(builder *b, size_t o, solve_value *out) {
    solve_work *work = b->work;
    size_t state = single_state(work, o);
    solve_output *output = &work->solution->layout.outputs[o];
    solve_value value;
    if (b->states != NULL) {
        SOLVE_TRY(output_of_states(b, o, &value));
    } else if (state == SIZE_MAX) {
        SOLVE_TRY(combined_output(b, o, &value));
    } else {
        feed *f = &b->feeds[work->feed_of_output[o]];
        output->scale = work->state_scale[state] * f->unit * gain_constant(work, o, state);
        SOLVE_TRY(state_value(b, f, state, &value));
    }
    value = sum_over_sources(b, value);
    solve_sum offset = {0};
    solve_value shift;
    SOLVE_TRY(solve_lower(work, &work->offset_terms[o], &offset));
    if (offset.count > 0) {
        SOLVE_TRY(solve_sum_node(work, &offset, 1.0 / output->scale, 0.0, &shift));
        value.node = ddt_circuit_add(work->circuit, value.node, shift.node);
        value.depth = fmax(value.depth, shift.depth);
    }
    *out = value;
    return ddt_circuit_status(work->circuit);
}

static bool is_read(const solve_work *work, size_t i) {
    for (size_t o = 0; o < work->model->output_count; o++) {
        if (reads_state(work, o, i)) {
            return true;
        }
    }
    return false;
}

/* All outputs share one feed then. */
static ddt_status solve_by_resolvents(builder *b) {
    b->states = solve_alloc(b->work, b->n, sizeof *b->states);
    if (b->states == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(make_feeds(b));
    feed *f = &b->feeds[0];
    SOLVE_TRY(build_feed(b, 0));
    for (size_t i = 0; i < b->n; i++) {
        b->states[i].node = ddt_circuit_constant(b->work->circuit, 0.0);
        f->rows[i] = is_read(b->work, i);
    }
    return solve_resolvent_states(b->work, f->values, f->exists, f->rows, b->states);
}

static ddt_status make_feeds_of(builder *b) {
    solve_work *work = b->work;
    for (size_t i = 0; i < b->n; i++) {
        work->state_values[i].node = DDT_NODE_NONE;
    }
    bind_nodes(work);
    if (work->resolvent != NULL) {
        return solve_by_resolvents(b);
    }
    SOLVE_TRY(lower_rates(b));
    SOLVE_TRY(make_matrices(b));
    SOLVE_TRY(make_feeds(b));
    for (size_t i = 0; i < b->feed_count; i++) {
        SOLVE_TRY(build_feed(b, i));
        choose_direction(b, &b->feeds[i]);
    }
    return DDT_OK;
}

ddt_status solve_superpose_values(solve_work *work, solve_value *values) {
    builder b = {.work = work, .n = work->linear.n};
    SOLVE_TRY(make_feeds_of(&b));
    for (size_t o = 0; o < work->model->output_count; o++) {
        SOLVE_TRY(work->linear.outputs[o].is_linear ? linear_output(&b, o, &values[o])
                                                    : nonlinear_output(&b, o, &values[o]));
    }
    return ddt_circuit_status(work->circuit);
}

ddt_status solve_superpose(solve_work *work) {
    solve_value *values = solve_alloc(work, work->model->output_count, sizeof *values);
    if (values == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(solve_superpose_values(work, values));
    for (size_t o = 0; o < work->model->output_count; o++) {
        ddt_circuit_output(work->circuit, work->solution->layout.outputs[o].name, values[o].node);
    }
    return ddt_circuit_status(work->circuit);
}

ddt_status solve_superpose_states(solve_work *work, const bool *is_wanted) {
    builder b = {.work = work, .n = work->linear.n};
    SOLVE_TRY(make_feeds_of(&b));
    for (size_t i = 0; i < b.n; i++) {
        if (!is_wanted[i]) {
            continue;
        }
        solve_value value;
        SOLVE_TRY(state_value(&b, &b.feeds[0], i, &value));
        work->state_values[i] = sum_over_sources(&b, value);
    }
    return ddt_circuit_status(work->circuit);
}
