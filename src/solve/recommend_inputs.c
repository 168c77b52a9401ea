/*
 * What a recommendation reads: the patient's covariates and etas, packed into one ciphertext where there are several,
 * the points of the expectation, and other public vectors.
 *
 * Packed, slot s of a lane holds input s mod P. An input's own vector is put together from P - 1 rotations to each side
 * and public masks: one level, and a patient is one ciphertext instead of one for each covariate and eta.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_internal.h"

#include <string.h>

/* ------------------------------------------------------------------ slots */

recommend_place recommend_place_of(const recommend_work *r, size_t slot) {
    recommend_place p = {.shape = slot % r->shape_slots};
    slot /= r->shape_slots;
    p.metric = slot % r->metric_slots;
    slot /= r->metric_slots;
    p.row = slot % r->row_slots;
    p.point = slot / r->row_slots;
    return p;
}

/* The same values in every lane: those of work.slots' first one. */
static ddt_node repeat_lanes(recommend_work *r) {
    size_t lanes = ddt_circuit_lanes(r->work.circuit);
    for (size_t l = 1; l < lanes; l++) {
        memcpy(r->work.slots + l * r->block, r->work.slots, r->block * sizeof *r->work.slots);
    }
    return ddt_circuit_public(r->work.circuit, r->work.slots);
}

ddt_node recommend_public(recommend_work *r, recommend_value value, const void *user) {
    for (size_t slot = 0; slot < r->block; slot++) {
        recommend_place p = recommend_place_of(r, slot);
        r->work.slots[slot] = value(user, &p);
    }
    return repeat_lanes(r);
}

/* ------------------------------------------------------------------ layout */

/* The custodian encrypts no amounts and no etas that nobody knows. */
static void drop_free_inputs(recommend_work *r) {
    solve_layout *layout = &r->work.solution->layout;
    size_t kept = 0;
    for (size_t i = 0; i < layout->input_count; i++) {
        bool is_amount = i == 0;
        if (is_amount || recommend_free_of(r, r->work.encodings[i - 1].symbol) < r->free_count) {
            ddt_free(layout->inputs[i].name);
        } else {
            layout->inputs[kept++] = layout->inputs[i];
        }
    }
    layout->input_count = kept;
    size_t ranges = 0;
    for (size_t i = 0; i < layout->range_count; i++) {
        bool is_used = false;
        for (size_t k = 0; k < kept; k++) {
            is_used |= layout->inputs[k].range == i;
        }
        for (size_t k = 0; is_used && k < kept; k++) {
            layout->inputs[k].range = layout->inputs[k].range == i ? (uint32_t)ranges : layout->inputs[k].range;
        }
        if (is_used) {
            layout->ranges[ranges++] = layout->ranges[i];
        } else {
            ddt_free(layout->ranges[i].name);
        }
    }
    layout->range_count = ranges;
}

/* The unit dose's place among inputs and ranges, until they are dropped. */
static ddt_status add_amount(recommend_work *r) {
    solve_layout *layout = &r->work.solution->layout;
    layout->ranges = ddt_calloc(1, sizeof *layout->ranges);
    layout->inputs = ddt_calloc(1, sizeof *layout->inputs);
    if (layout->ranges == NULL || layout->inputs == NULL) {
        return solve_no_memory(r->work.ctx);
    }
    layout->range_count = layout->input_count = 1;
    layout->inputs[0] = (solve_input){.kind = SOLVE_INPUT_AMOUNT, .half = 1.0, .bound = 1.0};
    layout->ranges[0].name = ddt_strdup("AMT");
    layout->inputs[0].name = ddt_strdup("AMT");
    return layout->ranges[0].name == NULL || layout->inputs[0].name == NULL ? solve_no_memory(r->work.ctx) : DDT_OK;
}

ddt_status recommend_encode(recommend_work *r) {
    solve_work *work = &r->work;
    solve_layout *layout = &work->solution->layout;
    SOLVE_TRY(solve_feeds_create(work));
    SOLVE_TRY(solve_expand_all(work));
    SOLVE_TRY(add_amount(r));
    SOLVE_TRY(solve_encode(work));
    SOLVE_TRY(solve_check_used_covariates(work));
    drop_free_inputs(r);
    if (layout->input_count == 0) {
        return ddt_fail(work->ctx, DDT_ERR_DATA,
                        "'%s' tells nothing about its patients that '%s' could use: neither covariates nor etas; "
                        "there is nothing to encrypt%s.",
                        work->events->path, work->model->path,
                        recommend_has_levels(work->events)
                            ? "; to use its levels, estimate etas by ddtwin fit, join etas.csv to it by ID and "
                              "recommend again"
                            : "");
    }
    /* A level more, over two primes where results are flooded, and deep there where etas are many: keys would take GB.
     */
    const size_t most = r->options->metrics_only ? 4 : SOLVE_PACKED_MAX;
    size_t period = recommend_power_of_two(layout->input_count);
    layout->packed = period > 1 && period <= most && period <= r->block ? period : 0;
    return r->history != NULL ? recommend_history_add_input(r) : DDT_OK;
}

/* ------------------------------------------------------------------ points */

size_t recommend_free_of(const recommend_work *r, uint32_t symbol) {
    size_t i = 0;
    while (i < r->free_count && r->free_symbol[i] != symbol) {
        i++;
    }
    return i;
}

typedef struct free_eta {
    const recommend_work *r;
    const solve_encoding *encoding;
    size_t which;
} free_eta;

/* A free eta: its points, in the encoding's unit. */
static double eta_at(const void *user, const recommend_place *p) {
    const free_eta *f = user;
    size_t point = p->point < f->r->points ? p->point : 0;
    return (f->r->point_eta[point * f->r->free_count + f->which] - f->encoding->mid) / f->encoding->half;
}

/* ------------------------------------------------------------------ nodes */

typedef struct unpacker {
    ddt_node right[SOLVE_PACKED_MAX], left[SOLVE_PACKED_MAX]; /* rotations by 0, 1 ... P - 1 */
} unpacker;

/* By 0, sign, 2 sign ... put together from powers of two: few keys. */
static void rotations(recommend_work *r, ddt_node x, size_t count, int sign, ddt_node *out) {
    out[0] = x;
    for (size_t s = 1; s < count; s++) {
        size_t power = 1;
        while (2 * power <= s) {
            power *= 2;
        }
        out[s] = ddt_circuit_rotate(r->work.circuit, out[s - power], sign * (int64_t)power);
    }
}

/* 1 where slot s takes the packed value at s + offset for input `index`. */
static ddt_node mask_of(recommend_work *r, size_t index, int64_t offset) {
    size_t period = r->work.solution->layout.packed;
    for (size_t s = 0; s < r->block; s++) {
        r->work.slots[s] = (int64_t)(s % period) + offset == (int64_t)index ? 1.0 : 0.0;
    }
    return repeat_lanes(r);
}

static ddt_node unpacked(recommend_work *r, const unpacker *u, size_t index) {
    int64_t period = (int64_t)r->work.solution->layout.packed;
    ddt_node values[SOLVE_PACKED_MAX];
    ddt_node masks[SOLVE_PACKED_MAX];
    for (int64_t k = 0; k < period; k++) {
        int64_t offset = (int64_t)index - k; /* for slots that are k modulo the period */
        values[k] = offset >= 0 ? u->right[offset] : u->left[-offset];
        masks[k] = mask_of(r, index, offset);
    }
    return ddt_circuit_dot(r->work.circuit, values, masks, (size_t)period);
}

/* Inputs without that of earlier doses. */
static size_t own_inputs(const solve_layout *layout) { return layout->input_count - (layout->history != NULL); }

static double largest_bound(const solve_layout *layout) {
    double bound = 0.0;
    for (size_t i = 0; i < own_inputs(layout); i++) {
        bound = fmax(bound, layout->inputs[i].bound);
    }
    return bound;
}

ddt_status recommend_bind_inputs(recommend_work *r) {
    solve_work *work = &r->work;
    const solve_layout *layout = &work->solution->layout;
    unpacker u = {0};
    size_t next = 0;
    if (layout->packed > 0) {
        ddt_node x = ddt_circuit_input(work->circuit, SOLVE_PACKED_NAME, largest_bound(layout));
        rotations(r, x, own_inputs(layout), 1, u.right);
        rotations(r, x, layout->packed, -1, u.left);
    }
    for (size_t i = 0; i < work->encoding_count; i++) {
        solve_encoding *e = &work->encodings[i];
        free_eta f = {r, e, recommend_free_of(r, e->symbol)};
        if (f.which < r->free_count) {
            e->node = recommend_public(r, eta_at, &f);
        } else if (layout->packed > 0) {
            e->node = unpacked(r, &u, next++);
        } else {
            e->node = ddt_circuit_input(work->circuit, layout->inputs[next].name, layout->inputs[next].bound);
            next++;
        }
    }
    if (r->history != NULL) {
        const solve_input *past = &layout->inputs[layout->input_count - 1];
        r->past_node = ddt_circuit_input(work->circuit, past->name, past->bound);
    }
    return ddt_circuit_status(work->circuit);
}

/* The etas of a virtual patient's points. */
static void fill_points(recommend_work *r, size_t lane, size_t patient, double *const *inputs) {
    const solve_layout *layout = &r->work.solution->layout;
    double *symbols = r->scratch_symbols;
    recommend_load(r, patient, symbols);
    for (size_t point = 0; point < r->points; point++) {
        recommend_set_point(r, point, symbols);
        for (size_t i = 0; i < r->work.encoding_count; i++) { /* no eta is free: encodings are inputs */
            uint32_t symbol = r->work.encodings[i].symbol;
            double *slots = inputs[layout->packed > 0 ? 0 : i] + lane * r->block;
            solve_posterior_slots(layout, i, point, solve_encode_value(&layout->inputs[i], symbols[symbol]), slots);
        }
    }
}

void recommend_fill_lane(recommend_work *r, size_t lane, size_t sample, double *const *inputs) {
    const solve_work *work = &r->work;
    const solve_layout *layout = &work->solution->layout;
    const double *symbols = work->samples + sample * work->symbol_count;
    size_t next = 0;
    for (size_t i = 0; i < work->encoding_count; i++) {
        uint32_t symbol = work->encodings[i].symbol;
        if (recommend_free_of(r, symbol) == r->free_count) {
            double y = solve_encode_value(&layout->inputs[next], symbols[symbol]);
            if (layout->packed > 0) {
                solve_fill_packed(layout, lane, next, y, inputs[0]);
            } else {
                solve_fill_constant(layout, lane, y, inputs[next]);
            }
            next++;
        }
    }
    if (r->has_posterior) {
        fill_points(r, lane, sample / r->patient_stride, inputs);
    }
    if (r->history != NULL) {
        double *slots = inputs[solve_vector_count(layout) - 1] + lane * r->block;
        recommend_history_fill(r, lane, recommend_history_part(sample), slots);
    }
}
