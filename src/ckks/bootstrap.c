/* Bootstrapping: what is computed once. SPDX-License-Identifier: Apache-2.0 */
#include "bootstrap_internal.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/* Messages may exceed 1 by this factor. */
static const double message_margin = 1.03125;

/* ------------------------------------------------------------------ polynomials */

/* Coefficient k of the Chebyshev interpolant of sin or asin of scale * x on [-1, 1]. */
static double interpolate(double (*function)(double), double scale, unsigned k) {
    enum { NODES = 64 };
    double sum = 0.0;
    for (unsigned i = 0; i < NODES; i++) {
        const double angle = pi * (i + 0.5) / NODES;
        sum += function(scale * cos(angle)) * cos(k * angle);
    }
    return 2.0 * sum / NODES;
}

void boot_fill_exponential(double range, double *coefficients) {
    const double frequency = 2.0 * pi * range / (1 << BOOT_SQUARINGS);
    for (unsigned k = 0; k <= BOOT_EXPONENTIAL_DEGREE; k++) {
        coefficients[k] = interpolate(k % 2 == 0 ? cos : sin, frequency, k);
    }
    coefficients[0] *= 0.5;
}

/* ratio / (2 pi) asin(y / 2) for y = 2 sin(2 pi m / ratio), in Chebyshev polynomials of y itself. */
void boot_fill_arcsine(double ratio, double *coefficients) {
    const double largest = sin(2.0 * pi * message_margin / ratio);
    const double first = interpolate(asin, largest, 1);
    const double third = interpolate(asin, largest, 3);
    const double cube = 0.5 * third / (largest * largest * largest); /* of y^3 */
    const double line = 0.5 * (first - 3.0 * third) / largest;
    coefficients[0] = 0.0;
    coefficients[1] = (line + 0.75 * cube) * ratio / (2.0 * pi);
    coefficients[2] = 0.0;
    coefficients[3] = 0.25 * cube * ratio / (2.0 * pi);
}

double boot_arcsine_remainder(double ratio) {
    enum { TERMS = 16 };
    const double largest = sin(2.0 * pi * message_margin / ratio);
    double sum = 0.0;
    for (unsigned k = BOOT_ARCSINE_DEGREE + 2; k < TERMS; k += 2) {
        sum += fabs(interpolate(asin, largest, k));
    }
    return sum * ratio / (2.0 * pi);
}

/* ------------------------------------------------------------------ stages */

unsigned boot_mod_level(const ddt_bootstrapper *b) { return b->params->top - b->coefficients_levels; }

/*
 * Butterfly layers of each stage, from the smallest strides. The stage of the largest strides wraps around and has half
 * the diagonals of the others, but its diagonals are long: it gets the smaller share where the levels are many
 * (coefficients to slots) and the larger one where they are few.
 */
void boot_split_layers(unsigned layers, unsigned stages, bool small_last, unsigned *sizes) {
    for (unsigned i = 0; i < stages; i++) {
        const unsigned place = small_last ? i : stages - 1 - i;
        sizes[i] = layers / stages + (place < layers % stages ? 1 : 0);
    }
}

/* A stage of the chain of transforms, in the order in which they are applied. */
typedef struct boot_stage {
    boot_matrix matrix;
    unsigned level;
    double scale;
    ddt_transform **out;
} boot_stage;

static ddt_status make_matrices(ddt_context *ctx, const ddt_bootstrapper *b, boot_stage *stages) {
    unsigned sizes[BOOT_STAGES_MAX];
    ddt_status status = DDT_OK;
    unsigned low = 0;
    boot_split_layers(b->log_slots, b->slots_levels, false, sizes);
    for (unsigned i = 0; i < b->slots_levels && status == DDT_OK; i++) {
        status = boot_matrix_create(ctx, &b->params->fft, b->log_slots, low, low + sizes[i], true, &stages[i].matrix);
        low += sizes[i];
    }
    boot_split_layers(b->log_slots, b->coefficients_levels, true, sizes);
    unsigned high = b->log_slots;
    for (unsigned i = 0; i < b->coefficients_levels && status == DDT_OK; i++) {
        const unsigned size = sizes[b->coefficients_levels - 1 - i];
        status = boot_matrix_create(ctx, &b->params->fft, b->log_slots, high - size, high, false,
                                    &stages[b->slots_levels + i].matrix);
        high -= size;
    }
    return status;
}

/*
 * Levels and scales. Slots-to-coefficients follows the canonical scales and ends at q_0 / ratio. Coefficients-to-slots
 * starts from integers whose unit is 1 / (q_0 range) and ends, for z / 2 (the rest is in z + conj(z)), at the canonical
 * scale where the modular reduction begins. Its diagonals are rounded at the scales set here: their entries get equal
 * sizes in all stages, which makes the sum of the rounding errors least.
 */
static void set_scales(ddt_bootstrapper *b, boot_stage *stages) {
    const ddt_ckks_params *params = b->params;
    const double q0 = (double)ddt_ring_modulus(params->ring, 0);
    for (unsigned i = 0; i < b->slots_levels; i++) {
        const unsigned level = b->slots_levels - i;
        const double after = level == 1 ? q0 / b->ratio : params->scales[level - 1];
        stages[i].level = level;
        stages[i].scale = after * (double)ddt_ring_modulus(params->ring, level) / params->scales[level];
        stages[i].out = &b->to_coefficients[i];
    }
    /* The whole factor, in equal shares but for the size of the entries, 2^-layers. */
    const double copies = (double)(params->n / 2 >> b->log_slots);
    const double whole = 0.5 * params->scales[boot_mod_level(b)] / (q0 * b->range * copies);
    const double share = log2(whole) - b->log_slots;
    for (unsigned i = 0; i < b->coefficients_levels; i++) {
        boot_stage *stage = &stages[b->slots_levels + i];
        const double layers = stage->matrix.high - stage->matrix.low;
        stage->level = params->top - i;
        stage->scale = (double)ddt_ring_modulus(params->ring, stage->level);
        stage->scale *= exp2(share / b->coefficients_levels + layers);
        stage->out = &b->to_slots[i];
    }
}

/*
 * Encodes a stage whose result is rotated by -turn: diagonal d becomes diagonal d + offset with its values rotated by
 * -turn.
 */
static ddt_status encode_stage(ddt_context *ctx, const ddt_bootstrapper *b, const boot_stage *stage, int64_t turn,
                               int64_t offset) {
    const boot_matrix *m = &stage->matrix;
    ddt_diagonal diagonals[2 << BOOT_LAYERS_MAX];
    double complex *values = ddt_alloc(m->count * m->period, sizeof *values);
    if (values == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a matrix of bootstrapping.");
    }
    for (size_t k = 0; k < m->count; k++) {
        double complex *to = values + k * m->period;
        for (size_t j = 0; j < m->period; j++) {
            to[(j + (size_t)turn) & (m->period - 1)] = m->values[k * m->period + j];
        }
        const int64_t index = (m->least + (int64_t)k) * ((int64_t)1 << m->low) + offset;
        diagonals[k] = (ddt_diagonal){index, to, m->period};
    }
    const unsigned few = m->count > BOOT_FEW_DIAGONALS ? BOOT_BABY : BOOT_BABY / 2;
    const ddt_transform_shape shape = {stage->level, stage->scale, b->baby == 0 ? few : b->baby};
    ddt_status status = ddt_transform_create(ctx, b->params, diagonals, m->count, &shape, stage->out);
    ddt_free(values);
    return status;
}

/*
 * A matrix with diagonals -r..r is one with diagonals 0..2r after a rotation by -r, and saves the key of a first baby
 * step that is not 0. All those rotations are moved to the front, through the matrices before (and through raising the
 * modulus, which commutes with rotations), and join the first matrix of all, whose level is so low that its baby steps
 * may start anywhere.
 */
static ddt_status encode_stages(ddt_context *ctx, const ddt_bootstrapper *b, const boot_stage *stages) {
    const unsigned count = b->slots_levels + b->coefficients_levels;
    const int64_t slots = (int64_t)1 << b->log_slots;
    int64_t turn = 0;
    ddt_status status = DDT_OK;
    for (unsigned i = count; i-- > 0 && status == DDT_OK;) {
        const boot_matrix *m = &stages[i].matrix;
        const int64_t own = -m->least * ((int64_t)1 << m->low);
        if (i > 0) {
            status = encode_stage(ctx, b, &stages[i], turn, own);
            turn = (turn + own) % slots;
        } else {
            /* Either way the same modulo the slots; diagonals may not lie further out. */
            status = encode_stage(ctx, b, &stages[i], turn, turn > slots / 2 ? slots - turn : -turn);
        }
    }
    return status;
}

/* ------------------------------------------------------------------ creation */

static ddt_status check_literal(ddt_context *ctx, const ddt_ckks_params *params, const ddt_bootstrapper *b) {
    const ddt_ckks_literal *p = &params->literal;
    const unsigned log_slots_max = p->log_n - 1;
    if (p->boot_levels < DDT_BOOTSTRAP_MOD_LEVELS + 2 || b->coefficients_levels > BOOT_STAGES_MAX ||
        p->first_bits != DDT_RING_MODULUS_BITS_MAX || p->levels < b->slots_levels) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT,
                        "Bootstrapping wants %d to %d levels of its own and a first prime of %d bits, not %u and %u.",
                        DDT_BOOTSTRAP_MOD_LEVELS + 2, DDT_BOOTSTRAP_MOD_LEVELS + BOOT_STAGES_MAX,
                        DDT_RING_MODULUS_BITS_MAX, p->boot_levels, p->first_bits);
    }
    const unsigned most = b->slots_levels > b->coefficients_levels ? b->slots_levels : b->coefficients_levels;
    const unsigned fewest = b->slots_levels < b->coefficients_levels ? b->slots_levels : b->coefficients_levels;
    if (b->log_slots > log_slots_max || b->log_slots < most || b->slots_levels > BOOT_STAGES_MAX - 1 ||
        b->log_slots > fewest * BOOT_LAYERS_MAX || b->baby > DDT_RING_DOT_MAX) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT,
                        "Bootstrapping of 2^%u slots with %u levels of slots-to-coefficients is not possible.",
                        b->log_slots, b->slots_levels);
    }
    return DDT_OK;
}

static ddt_status make_stages(ddt_context *ctx, ddt_bootstrapper *b) {
    boot_stage stages[2 * BOOT_STAGES_MAX] = {0};
    ddt_status status = make_matrices(ctx, b, stages);
    if (status == DDT_OK) {
        set_scales(b, stages);
        status = encode_stages(ctx, b, stages);
    }
    for (unsigned i = 0; i < 2 * BOOT_STAGES_MAX; i++) {
        boot_matrix_destroy(&stages[i].matrix);
    }
    return status;
}

ddt_status ddt_bootstrapper_create(ddt_context *ctx, const ddt_ckks_params *params,
                                   const ddt_bootstrap_literal *literal, ddt_bootstrapper **out) {
    *out = NULL;
    ddt_bootstrapper *b = ddt_calloc(1, sizeof *b);
    if (b == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a bootstrapper.");
    }
    b->params = params;
    b->log_slots = literal->log_slots == 0 ? params->literal.log_n - 1 : literal->log_slots;
    b->slots_levels = literal->slots_levels == 0 ? BOOT_SLOTS_LEVELS : literal->slots_levels;
    b->coefficients_levels = params->literal.boot_levels - DDT_BOOTSTRAP_MOD_LEVELS;
    b->baby = literal->baby;
    b->ratio = BOOT_MESSAGE_RATIO;
    b->range = BOOT_INTERPOLATED_RANGE;
    ddt_status status = check_literal(ctx, params, b);
    if (status == DDT_OK) {
        const size_t special = (size_t)params->top + 1;
        for (unsigned i = 0; i <= params->top; i++) {
            const uint64_t p = ddt_ring_modulus(params->ring, special) % ddt_ring_modulus(params->ring, i);
            b->p_inverse[i] = ddt_ring_scalar_inverse(params->ring, i, p);
        }
        boot_fill_exponential(b->range, b->exponential);
        boot_fill_arcsine(b->ratio, b->arcsine);
        status = make_stages(ctx, b);
    }
    if (status != DDT_OK) {
        ddt_bootstrapper_destroy(b);
        return status;
    }
    *out = b;
    return DDT_OK;
}

void ddt_bootstrapper_destroy(ddt_bootstrapper *b) {
    if (b != NULL) {
        for (unsigned i = 0; i < BOOT_STAGES_MAX; i++) {
            ddt_transform_destroy(b->to_coefficients[i]);
            ddt_transform_destroy(b->to_slots[i]);
        }
        ddt_free(b);
    }
}

/* ------------------------------------------------------------------ questions */

size_t ddt_bootstrapper_bytes(const ddt_bootstrapper *b) {
    size_t bytes = sizeof *b;
    for (unsigned i = 0; i < b->slots_levels; i++) {
        bytes += ddt_transform_bytes(b->to_coefficients[i]);
    }
    for (unsigned i = 0; i < b->coefficients_levels; i++) {
        bytes += ddt_transform_bytes(b->to_slots[i]);
    }
    return bytes;
}

unsigned ddt_bootstrap_input_level(const ddt_bootstrapper *b) { return b->slots_levels; }

unsigned ddt_bootstrap_output_level(const ddt_bootstrapper *b) { return b->params->literal.levels; }

size_t ddt_bootstrap_key_requests(const ddt_bootstrapper *b, ddt_key_request *requests, size_t capacity) {
    const ddt_bootstrap_literal literal = {.log_slots = b->log_slots, .slots_levels = b->slots_levels, .baby = b->baby};
    return ddt_bootstrap_wanted_keys(&b->params->literal, &literal, requests, capacity);
}

/* ------------------------------------------------------------------ noise */

/*
 * Roundings at the user's scale: one of each part after the arcsine, and what those within slots-to-coefficients come
 * to in the slots. Measured 4.2 to 4.5 with two and three matrices, sparse and full slots; tests/ckks/test_bootstrap.c.
 */
static const double scale_roundings = 4.5;

double ddt_bootstrap_noise(unsigned log_n) {
    /* The error of the two polynomials (2^-26.5), and how often the roundings of each step come through
     * (docs/bootstrapping.md). */
    const double approximation = 1.05e-8;
    const double base = 2.2;
    double squared = 0.5 * BOOT_INTERPOLATED_RANGE * BOOT_INTERPOLATED_RANGE;
    for (unsigned i = 0; i <= BOOT_SQUARINGS; i++) {
        const double gain = ldexp(i == 0 ? base : 1.0, (int)(BOOT_SQUARINGS - i)) / (2.0 * pi);
        squared += 0.5 * gain * gain;
    }
    /* Rounding of (c_0, c_1) under a uniform ternary secret, at the scale of bootstrapping's levels. */
    const double n = ldexp(1.0, (int)log_n);
    const double rounding = sqrt(n / 12.0 * (1.0 + 2.0 * n / 3.0)) / ldexp(1.0, DDT_RING_MODULUS_BITS_MAX);
    const double noise = BOOT_MESSAGE_RATIO * rounding * sqrt(2.0 * squared);
    return sqrt(noise * noise + approximation * approximation);
}

double ddt_bootstrap_noise_at(unsigned log_n, double rounding) {
    const double fixed = ddt_bootstrap_noise(log_n);
    return sqrt(fixed * fixed + scale_roundings * rounding * rounding);
}

double ddt_ckks_noise_bootstrap(const ddt_ckks_params *params) {
    const double scale = params->scales[params->literal.levels];
    return ddt_bootstrap_noise_at(params->literal.log_n, ddt_ckks_noise_rescale(params, 2, scale));
}
