/* The inside of a bootstrapper. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_CKKS_BOOTSTRAP_INTERNAL_H
#define DDT_CKKS_BOOTSTRAP_INTERNAL_H

#include "ckks_internal.h"
#include "ddt/ckks/bootstrap.h"
#include "ddt/ckks/transform.h"

enum {
    BOOT_STAGES_MAX = 5,
    BOOT_EXPONENTIAL_DEGREE = 15,
    BOOT_SQUARINGS = 5,
    BOOT_ARCSINE_DEGREE = 3,
    BOOT_LAYERS_MAX = 6, /* of one stage */
    BOOT_BABY = 8,       /* baby steps of a matrix, half of it for one with few diagonals */
    BOOT_FEW_DIAGONALS = 16,
    BOOT_SLOTS_LEVELS = 3
};

/*
 * The scale before the modulus is raised is q_0 / 169: the arcsine of degree 3 then leaves 2^-26, and a larger ratio
 * would amplify the error of the modular reduction (docs/bootstrapping.md).
 */
#define BOOT_MESSAGE_RATIO 169.0
/*
 * The exponential is interpolated where |quotient| <= 12, and the quotients are divided by this. Larger ones have a
 * probability of 2^-56 a slot; up to DDT_BOOTSTRAP_RANGE the polynomial still leaves 2^-16. A smaller range would make
 * the argument a little more precise, but beyond it T_8(quotient / range) multiplies rounding errors.
 */
#define BOOT_INTERPOLATED_RANGE (12.0 + 1.0 / 128.0)

/*
 * A factor of the transform between coefficients (bit-reversed, complex) and slots: butterfly layers low..high-1
 * merged. Diagonal k has index (least + k) * 2^low and values[k * period ...].
 */
typedef struct boot_matrix {
    unsigned low;
    unsigned high;
    size_t period;
    int64_t least;
    size_t count;
    double complex *values;
} boot_matrix;

struct ddt_bootstrapper {
    const ddt_ckks_params *params;
    unsigned log_slots;
    unsigned slots_levels;
    unsigned coefficients_levels;
    unsigned baby;
    double ratio; /* q_0 / scale of the message before the modulus is raised */
    double range; /* quotients by q_0 are divided by this */
    ddt_transform *to_coefficients[BOOT_STAGES_MAX];
    ddt_transform *to_slots[BOOT_STAGES_MAX];
    double exponential[BOOT_EXPONENTIAL_DEGREE + 1];
    double arcsine[BOOT_ARCSINE_DEGREE + 1];
    uint64_t p_inverse[DDT_CKKS_LEVELS_MAX + 1]; /* p_0^-1 mod q_i */
};

/* The level at which the modular reduction begins. */
unsigned boot_mod_level(const ddt_bootstrapper *bootstrapper);

/* bootstrap_eval.c: out = a at the lowest level that can be bootstrapped, with its canonical scale. */
ddt_status boot_lower(ddt_evaluator *ev, const ddt_bootstrapper *b, const ddt_ciphertext *a, ddt_ciphertext *out);

/* forward: coefficients -> slots; else back, each layer halved. */
ddt_status boot_matrix_create(ddt_context *ctx, const ckks_fft *fft, unsigned log_slots, unsigned low, unsigned high,
                              bool forward, boot_matrix *out);
void boot_matrix_destroy(boot_matrix *matrix);

/* Butterfly layers of each stage, from the smallest strides (bootstrap.c). */
void boot_split_layers(unsigned layers, unsigned stages, bool small_last, unsigned *sizes);

/* The polynomials of the modular reduction. */
void boot_fill_exponential(double range, double *coefficients);
void boot_fill_arcsine(double ratio, double *coefficients);
/* What the latter leaves of the message. */
double boot_arcsine_remainder(double ratio);

/* bootstrap_bound.c: log2 P(a sum of n independent uniform numbers of [-1/2, 1/2] exceeds `bound`). */
double boot_log2_tail(unsigned n, double bound);
/* No quotient of a bootstrap is larger, but with probability 2^-tail_bits; DDT_BOOTSTRAP_RANGE + 1: that cannot be
 * said. */
unsigned boot_largest_quotient(unsigned log_n, unsigned tail_bits);

#endif
