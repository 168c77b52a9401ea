/* Linear transforms of the slots: construction. SPDX-License-Identifier: Apache-2.0 */
#include "transform_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a baby step and a giant step cost, roughly, in key switches. */
static const double baby_cost = 0.25;
static const double giant_cost = 1.0;

/* ------------------------------------------------------------------ the split into steps */

static uint64_t gcd(uint64_t a, uint64_t b) {
    while (b != 0) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

typedef struct step_grid {
    int64_t offset; /* index = offset + stride * (giant * baby + small) */
    int64_t stride;
    int64_t extent; /* largest multiple of the stride */
} step_grid;

static step_grid find_steps(const ddt_diagonal *diagonals, size_t count) {
    int64_t least = diagonals[0].index;
    int64_t largest = least;
    uint64_t stride = 0;
    for (size_t i = 1; i < count; i++) {
        least = diagonals[i].index < least ? diagonals[i].index : least;
        largest = diagonals[i].index > largest ? diagonals[i].index : largest;
    }
    for (size_t i = 0; i < count; i++) {
        stride = gcd((uint64_t)(diagonals[i].index - least), stride);
    }
    step_grid s = {.offset = least, .stride = stride == 0 ? 1 : (int64_t)stride};
    /* Rotation by 0 needs no key: start from it where the first group of baby steps would hold it anyway. */
    if (least >= 0 && least % s.stride == 0 && least / s.stride < TRANSFORM_BABIES_MAX / 2) {
        s.offset = 0;
    }
    s.extent = (largest - s.offset) / s.stride;
    return s;
}

/* The number of distinct giant steps with this number of baby steps. */
static size_t count_giants(const ddt_diagonal *diagonals, size_t count, const step_grid *s, int64_t baby, bool *seen) {
    size_t giants = 0;
    memset(seen, 0, (size_t)(s->extent / baby + 1) * sizeof *seen);
    for (size_t i = 0; i < count; i++) {
        bool *mark = &seen[(diagonals[i].index - s->offset) / s->stride / baby];
        giants += *mark ? 0 : 1;
        *mark = true;
    }
    return giants;
}

static int64_t choose_baby(const ddt_diagonal *diagonals, size_t count, const step_grid *s, bool *seen) {
    int64_t best = 1;
    double best_cost = INFINITY;
    for (int64_t baby = 1; baby <= TRANSFORM_BABIES_MAX; baby *= 2) {
        const double cost =
            baby_cost * (double)baby + giant_cost * (double)count_giants(diagonals, count, s, baby, seen);
        if (cost < best_cost) {
            best_cost = cost;
            best = baby;
        }
    }
    return best;
}

/* ------------------------------------------------------------------ encoding */

typedef struct encoder {
    ddt_context *ctx;
    ddt_transform *transform;
    double complex *rotated; /* one diagonal */
    uint64_t *limbs;         /* all targets of one diagonal */
} encoder;

/* A polynomial in X^gap has the same value at `gap` neighbouring positions of the NTT domain. */
static void keep_runs(const encoder *e, transform_term *term) {
    const size_t n = e->transform->params->n;
    for (size_t t = 0; t < e->transform->targets; t++) {
        for (size_t j = 0; j < term->count; j++) {
            term->stored[t * term->count + j] = e->limbs[t * n + j * term->run];
        }
    }
}

static ddt_status encode_term(const encoder *e, const ddt_diagonal *diagonal, int64_t giant, transform_term *term) {
    ddt_transform *transform = e->transform;
    const size_t n = transform->params->n;
    const size_t period = diagonal->period;
    for (size_t j = 0; j < period; j++) {
        /* Rotated back by the giant step; the period is a power of two. */
        e->rotated[(j + (size_t)giant) & (period - 1)] = diagonal->values[j];
    }
    ddt_status status = ckks_encode_extended(e->ctx, transform->params, e->rotated, period, transform->level,
                                             transform->scale, e->limbs);
    if (status != DDT_OK) {
        return status;
    }
    term->run = (n / 2) >> __builtin_ctzll(period);
    term->count = 2 * period;
    term->stored = ddt_alloc(transform->targets * term->count, sizeof *term->stored);
    if (term->stored == NULL) {
        return ddt_fail(e->ctx, DDT_ERR_MEMORY, "Memory is short for a diagonal of a linear transform.");
    }
    keep_runs(e, term);
    return DDT_OK;
}

/* ------------------------------------------------------------------ construction */

static int compare_terms(const void *a, const void *b) {
    const transform_term *x = a;
    const transform_term *y = b;
    return x->giant != y->giant ? (x->giant > y->giant) - (x->giant < y->giant)
                                : (x->baby > y->baby) - (x->baby < y->baby);
}

static ddt_status check_shape(ddt_context *ctx, const ddt_ckks_params *params, const ddt_diagonal *diagonals,
                              size_t count, const ddt_transform_shape *shape) {
    const int64_t slots = (int64_t)(params->n / 2);
    int64_t least = slots;
    int64_t largest = -slots;
    if (shape->level < ddt_ckks_step(params) || shape->level > params->top || count == 0 || count > params->n ||
        shape->baby > TRANSFORM_BABIES_MAX || !(shape->scale > 0.0)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A transform of %zu diagonals at level %u is not possible.", count,
                        shape->level);
    }
    for (size_t i = 0; i < count; i++) {
        const size_t period = diagonals[i].period;
        const int64_t index = diagonals[i].index;
        if (period == 0 || (period & (period - 1)) != 0 || period > params->n / 2 || index > slots || index < -slots) {
            return ddt_fail(ctx, DDT_ERR_ARGUMENT, "Diagonal %lld with period %zu is not possible.", (long long)index,
                            period);
        }
        least = index < least ? index : least;
        largest = index > largest ? index : largest;
    }
    if (largest - least >= slots) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The diagonals %lld and %lld are further apart than there are slots.",
                        (long long)least, (long long)largest);
    }
    return DDT_OK;
}

/* Places of the terms, sorted; giants[] in increasing order. */
static ddt_status place_terms(ddt_context *ctx, const ddt_diagonal *diagonals, const step_grid *s, int64_t baby,
                              ddt_transform *transform) {
    for (size_t i = 0; i < transform->terms_count; i++) {
        const int64_t multiple = (diagonals[i].index - s->offset) / s->stride;
        transform->terms[i].source = i;
        transform->terms[i].baby = (size_t)(multiple % baby);
        transform->terms[i].giant = (size_t)(multiple / baby);
    }
    qsort(transform->terms, transform->terms_count, sizeof *transform->terms, compare_terms);
    for (int64_t b = 0; b < baby; b++) {
        transform->babies[b] = s->offset + b * s->stride;
    }
    transform->babies_count = (size_t)baby;
    size_t giants = 0;
    for (size_t i = 0; i < transform->terms_count; i++) {
        transform_term *term = &transform->terms[i];
        if (i > 0 && compare_terms(term - 1, term) == 0) {
            return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A transform has two diagonals of index %lld.",
                            (long long)diagonals[term->source].index);
        }
        const int64_t step = (int64_t)term->giant * baby * s->stride;
        if (giants == 0 || transform->giants[giants - 1] != step) {
            transform->giants[giants++] = step;
        }
    }
    transform->giants_count = giants;
    for (size_t i = 0, g = 0; i < transform->terms_count; i++) {
        const int64_t step = (int64_t)transform->terms[i].giant * baby * s->stride;
        g += transform->giants[g] == step ? 0 : 1;
        transform->terms[i].giant = g;
        transform->used[transform->terms[i].baby] = true;
    }
    return DDT_OK;
}

static void weigh(const ddt_diagonal *diagonals, size_t count, ddt_transform *transform) {
    for (size_t i = 0; i < count; i++) {
        double largest = 0.0;
        double squares = 0.0;
        for (size_t j = 0; j < diagonals[i].period; j++) {
            const double size = cabs(diagonals[i].values[j]);
            largest = fmax(largest, size);
            squares += size * size;
        }
        transform->weight += largest;
        transform->mean_square += squares / (double)diagonals[i].period;
    }
}

static ddt_status encode_terms(ddt_context *ctx, const ddt_diagonal *diagonals, ddt_transform *transform) {
    encoder e = {.ctx = ctx, .transform = transform};
    const size_t n = transform->params->n;
    e.rotated = ddt_alloc(n / 2, sizeof *e.rotated);
    e.limbs = ddt_alloc(transform->targets * n, sizeof *e.limbs);
    ddt_status status = DDT_OK;
    if (e.rotated == NULL || e.limbs == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short to encode a linear transform.");
    }
    for (size_t i = 0; i < transform->terms_count && status == DDT_OK; i++) {
        transform_term *term = &transform->terms[i];
        status = encode_term(&e, &diagonals[term->source], transform->giants[term->giant], term);
    }
    ddt_free(e.rotated);
    ddt_free(e.limbs);
    return status;
}

static ddt_status fill(ddt_context *ctx, const ddt_diagonal *diagonals, size_t count, unsigned wanted_baby,
                       ddt_transform *transform) {
    const step_grid s = find_steps(diagonals, count);
    bool *seen = ddt_alloc((size_t)s.extent + 1, sizeof *seen);
    transform->terms = ddt_calloc(count, sizeof *transform->terms);
    transform->giants = ddt_calloc(count, sizeof *transform->giants);
    ddt_status status = DDT_OK;
    if (seen == NULL || transform->terms == NULL || transform->giants == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a linear transform.");
    } else {
        transform->terms_count = count;
        const int64_t baby = wanted_baby != 0 ? (int64_t)wanted_baby : choose_baby(diagonals, count, &s, seen);
        status = place_terms(ctx, diagonals, &s, baby, transform);
    }
    ddt_free(seen);
    return status == DDT_OK ? encode_terms(ctx, diagonals, transform) : status;
}

static ddt_status make_block_ring(ddt_context *ctx, ddt_transform *transform) {
    const ddt_ckks_params *params = transform->params;
    uint64_t moduli[DDT_CKKS_LEVELS_MAX + 1 + DDT_CKKS_P_MAX];
    for (size_t m = 0; m < params->modulus_count; m++) {
        moduli[m] = ddt_ring_modulus(params->ring, m);
    }
    const unsigned log_block =
        params->literal.log_n < TRANSFORM_LOG_BLOCK ? params->literal.log_n : TRANSFORM_LOG_BLOCK;
    return ddt_ring_create(ctx, log_block, moduli, params->modulus_count, &transform->block_ring);
}

ddt_status ddt_transform_create(ddt_context *ctx, const ddt_ckks_params *params, const ddt_diagonal *diagonals,
                                size_t count, const ddt_transform_shape *shape, ddt_transform **out) {
    *out = NULL;
    ddt_status status = check_shape(ctx, params, diagonals, count, shape);
    if (status != DDT_OK) {
        return status;
    }
    ddt_transform *transform = ddt_calloc(1, sizeof *transform);
    if (transform == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a linear transform.");
    }
    transform->params = params;
    transform->level = shape->level;
    transform->scale = shape->scale;
    transform->targets = (size_t)shape->level + 1 + params->literal.p_count;
    weigh(diagonals, count, transform);
    status = make_block_ring(ctx, transform);
    if (status == DDT_OK) {
        status = fill(ctx, diagonals, count, shape->baby, transform);
    }
    if (status != DDT_OK) {
        ddt_transform_destroy(transform);
        return status;
    }
    *out = transform;
    return DDT_OK;
}

void ddt_transform_destroy(ddt_transform *transform) {
    if (transform == NULL) {
        return;
    }
    for (size_t i = 0; i < transform->terms_count; i++) {
        ddt_free(transform->terms[i].stored);
    }
    ddt_free(transform->terms);
    ddt_free(transform->giants);
    ddt_ring_destroy(transform->block_ring);
    ddt_free(transform);
}

/* ------------------------------------------------------------------ questions */

int64_t transform_giant_step(const ddt_transform *transform, size_t giant) {
    return transform->giants[giant] - (giant == 0 ? 0 : transform->giants[giant - 1]);
}

static size_t add_step(const ddt_transform *transform, int64_t step, int64_t *found, size_t count, size_t capacity) {
    const int64_t slots = (int64_t)(transform->params->n / 2);
    bool known = step % slots == 0;
    for (size_t i = 0; i < count && i < capacity; i++) {
        known = known || (found[i] - step) % slots == 0;
    }
    if (known) {
        return count;
    }
    if (count < capacity) {
        found[count] = step;
    }
    return count + 1;
}

size_t ddt_transform_rotations(const ddt_transform *transform, int64_t *steps, size_t capacity) {
    size_t count = 0;
    for (size_t b = 0; b < transform->babies_count; b++) {
        if (transform->used[b]) {
            count = add_step(transform, transform->babies[b], steps, count, capacity);
        }
    }
    for (size_t g = 0; g < transform->giants_count; g++) {
        count = add_step(transform, transform_giant_step(transform, g), steps, count, capacity);
    }
    return count;
}

unsigned ddt_transform_level(const ddt_transform *transform) { return transform->level; }

size_t ddt_transform_bytes(const ddt_transform *transform) {
    size_t words = 0;
    for (size_t i = 0; i < transform->terms_count; i++) {
        words += transform->targets * transform->terms[i].count;
    }
    return words * sizeof(uint64_t);
}

/* ------------------------------------------------------------------ noise */

/*
 * Three sources besides the input's error: the rounding of each diagonal meets the message; the baby rotations' key
 * switches are multiplied by the diagonals; and what comes after them, at the product's scale, the giant steps'
 * switches and the rounding of the last division.
 */
static double product_scale(const ddt_transform *transform, double scale) { return scale * transform->scale; }

static double scale_after(const ddt_transform *transform, double scale) {
    return product_scale(transform, scale) / ddt_ckks_step_modulus(transform->params, transform->level);
}

ddt_ckks_bound ddt_ckks_bound_transform(const ddt_transform *transform, double scale, ddt_ckks_bound a,
                                        unsigned tail_bits) {
    const ddt_ckks_params *params = transform->params;
    const double count = (double)transform->terms_count;
    const double rounding = count * ddt_ckks_bound_encode(params, transform->weight / count, transform->scale);
    const double babies =
        (transform->weight + rounding) * ddt_ckks_bound_key_switch(params, transform->level, scale, tail_bits);
    const double giants =
        (double)transform->giants_count *
        ddt_ckks_bound_key_switch(params, transform->level, product_scale(transform, scale), tail_bits);
    const double last = ddt_ckks_bound_rescale(params, 2, scale_after(transform, scale), tail_bits);
    return (ddt_ckks_bound){transform->weight * a.message,
                            transform->weight * a.error + (a.message + a.error) * rounding + babies + giants + last};
}

double ddt_ckks_noise_transform(const ddt_transform *transform, double scale, double message_rms, double error_rms) {
    const ddt_ckks_params *params = transform->params;
    const double rounding = message_rms * ddt_ckks_noise_encode(params, transform->scale);
    /* The sums are divided by P once, so the baby steps have no rounding of their own. */
    const double last = ddt_ckks_noise_rescale(params, 2, scale_after(transform, scale));
    const double switching = ddt_ckks_noise_key_switch(params, transform->level, scale);
    const double division = ddt_ckks_noise_rescale(params, 2, scale);
    const double babies = transform->mean_square * fmax(0.0, switching * switching - division * division);
    const double giant = ddt_ckks_noise_key_switch(params, transform->level, product_scale(transform, scale));
    return sqrt(transform->mean_square * error_rms * error_rms + (double)transform->terms_count * rounding * rounding +
                babies + (double)transform->giants_count * giant * giant + last * last);
}
