/* Operations without key switching that cost one pass over the limbs, and rescaling.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ckks_internal.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { ADJUST_SPARE_BITS = 7, CIPHERTEXT_PARTS_MAX = 3 };

typedef void (*limb_binary)(const ddt_ring *ring, size_t m, uint64_t *out, const uint64_t *a, const uint64_t *b);

static void copy_limb(const ddt_ckks_params *params, uint64_t *out, const uint64_t *in) {
    if (out != in) {
        memcpy(out, in, params->n * sizeof *out);
    }
}

void ckks_copy(const ddt_evaluator *ev, const ddt_ciphertext *a, unsigned level, ddt_ciphertext *out) {
    const size_t n = ev->params->n;
    for (unsigned p = 0; p < a->parts; p++) {
        for (unsigned i = 0; i <= level; i++) {
            copy_limb(ev->params, ddt_ciphertext_limb(out, n, p, i), ddt_ciphertext_limb(a, n, p, i));
        }
    }
}

/* A part that only one operand has: copied from a, or taken from b with the operation's sign. */
static void lone_part(const ddt_ckks_params *params, bool negate, unsigned m, uint64_t *out, const uint64_t *in) {
    if (negate) {
        ddt_ring_neg(params->ring, m, out, in);
    } else {
        copy_limb(params, out, in);
    }
}

static ddt_status add_or_sub(ddt_evaluator *ev, const char *operation, bool subtract, const ddt_ciphertext *a,
                             const ddt_ciphertext *b, ddt_ciphertext *out) {
    const unsigned parts = a->parts > b->parts ? a->parts : b->parts;
    ddt_status status = ckks_check_pair(ev, operation, a, b);
    if (status == DDT_OK) {
        status = ckks_check_scales(ev, operation, a->scale, b->scale);
    }
    if (status == DDT_OK) {
        status = ckks_check_room(ev, operation, out, a->level, parts);
    }
    if (status != DDT_OK) {
        return status;
    }
    const size_t n = ev->params->n;
    const unsigned limbs = a->level + 1;
    const limb_binary combine = subtract ? ddt_ring_sub : ddt_ring_add;
#pragma omp parallel for num_threads(ev->threads) if (ev->threads > 1) schedule(static)
    for (unsigned task = 0; task < parts * limbs; task++) {
        const unsigned p = task / limbs;
        const unsigned i = task % limbs;
        uint64_t *to = ddt_ciphertext_limb(out, n, p, i);
        if (p >= a->parts) {
            lone_part(ev->params, subtract, i, to, ddt_ciphertext_limb(b, n, p, i));
        } else if (p >= b->parts) {
            lone_part(ev->params, false, i, to, ddt_ciphertext_limb(a, n, p, i));
        } else {
            combine(ev->params->ring, i, to, ddt_ciphertext_limb(a, n, p, i), ddt_ciphertext_limb(b, n, p, i));
        }
    }
    ckks_set_result(out, a->level, parts, a->scale);
    return DDT_OK;
}

ddt_status ddt_eval_add(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_ciphertext *b, ddt_ciphertext *out) {
    return add_or_sub(ev, "add", false, a, b, out);
}

ddt_status ddt_eval_sub(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_ciphertext *b, ddt_ciphertext *out) {
    return add_or_sub(ev, "sub", true, a, b, out);
}

/* The checks of an operation with one ciphertext whose result has the same shape. */
static ddt_status check_unary(ddt_evaluator *ev, const char *operation, const ddt_ciphertext *a,
                              const ddt_ciphertext *out, unsigned level) {
    ddt_status status = ckks_check_input(ev, operation, a);
    return status == DDT_OK ? ckks_check_room(ev, operation, out, level, a->parts) : status;
}

ddt_status ddt_eval_neg(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_ciphertext *out) {
    ddt_status status = check_unary(ev, "neg", a, out, a->level);
    if (status != DDT_OK) {
        return status;
    }
    const size_t n = ev->params->n;
    const unsigned limbs = a->level + 1;
#pragma omp parallel for num_threads(ev->threads) if (ev->threads > 1) schedule(static)
    for (unsigned task = 0; task < a->parts * limbs; task++) {
        const unsigned p = task / limbs;
        const unsigned i = task % limbs;
        ddt_ring_neg(ev->params->ring, i, ddt_ciphertext_limb(out, n, p, i), ddt_ciphertext_limb(a, n, p, i));
    }
    ckks_set_result(out, a->level, a->parts, a->scale);
    return DDT_OK;
}

static ddt_status check_plain(ddt_evaluator *ev, const char *operation, const ddt_ciphertext *a,
                              const ddt_plaintext *p) {
    if (p->limbs == NULL || p->level < a->level || !(p->scale > 0.0)) {
        return ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "%s: the plaintext has level %u, the ciphertext %u.", operation,
                        p->level, a->level);
    }
    return DDT_OK;
}

ddt_status ddt_eval_add_plain(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_plaintext *p, ddt_ciphertext *out) {
    ddt_status status = check_unary(ev, "add_plain", a, out, a->level);
    if (status == DDT_OK) {
        status = check_plain(ev, "add_plain", a, p);
    }
    if (status == DDT_OK) {
        status = ckks_check_scales(ev, "add_plain", a->scale, p->scale);
    }
    if (status != DDT_OK) {
        return status;
    }
    const size_t n = ev->params->n;
    const unsigned limbs = a->level + 1;
#pragma omp parallel for num_threads(ev->threads) if (ev->threads > 1) schedule(static)
    for (unsigned task = 0; task < a->parts * limbs; task++) {
        const unsigned part = task / limbs;
        const unsigned i = task % limbs;
        uint64_t *to = ddt_ciphertext_limb(out, n, part, i);
        const uint64_t *from = ddt_ciphertext_limb(a, n, part, i);
        if (part == 0) {
            ddt_ring_add(ev->params->ring, i, to, from, p->limbs + i * n);
        } else {
            copy_limb(ev->params, to, from);
        }
    }
    ckks_set_result(out, a->level, a->parts, a->scale);
    return DDT_OK;
}

ddt_status ddt_eval_mul_plain(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_plaintext *p, ddt_ciphertext *out) {
    ddt_status status = check_unary(ev, "mul_plain", a, out, a->level);
    if (status == DDT_OK) {
        status = check_plain(ev, "mul_plain", a, p);
    }
    if (status != DDT_OK) {
        return status;
    }
    const size_t n = ev->params->n;
    const unsigned limbs = a->level + 1;
#pragma omp parallel for num_threads(ev->threads) if (ev->threads > 1) schedule(static)
    for (unsigned i = 0; i < limbs; i++) {
        for (unsigned part = 0; part < a->parts; part++) {
            ddt_ring_mul(ev->params->ring, i, ddt_ciphertext_limb(out, n, part, i), ddt_ciphertext_limb(a, n, part, i),
                         p->limbs + i * n);
        }
    }
    ckks_set_result(out, a->level, a->parts, a->scale * p->scale);
    return DDT_OK;
}

/* ------------------------------------------------------------------ constants */

/* c * scale rounded to a Gaussian integer that the modulus can hold. */
static ddt_status round_constant(ddt_evaluator *ev, const char *operation, double complex c, double scale,
                                 unsigned level, double *re, double *im) {
    *re = rint(creal(c) * scale);
    *im = rint(cimag(c) * scale);
    const double largest = fmax(fabs(*re), fabs(*im));
    if (!isfinite(creal(c)) || !isfinite(cimag(c)) || !isfinite(largest) ||
        (largest > 0.0 && log2(largest) >= ev->params->log2_q[level] - 1.0)) {
        return ddt_fail(ev->ctx, DDT_ERR_RANGE, "%s: the constant %g%+gi is too large at scale 2^%.1f and level %u.",
                        operation, creal(c), cimag(c), log2(scale), level);
    }
    return DDT_OK;
}

ddt_status ddt_eval_add_constant(ddt_evaluator *ev, const ddt_ciphertext *a, double complex c, ddt_ciphertext *out) {
    double re = 0.0;
    double im = 0.0;
    ddt_status status = check_unary(ev, "add_constant", a, out, a->level);
    if (status == DDT_OK) {
        status = round_constant(ev, "add_constant", c, a->scale, a->level, &re, &im);
    }
    if (status == DDT_OK) {
        status = ckks_arena_begin(ev, (size_t)ev->threads);
    }
    if (status != DDT_OK) {
        return status;
    }
    const ddt_ckks_params *params = ev->params;
    const size_t n = params->n;
    uint64_t *scratch = ckks_arena_take(ev, (size_t)ev->threads);
    const unsigned limbs = a->level + 1;
#pragma omp parallel for num_threads(ev->threads) if (ev->threads > 1) schedule(static)
    for (unsigned task = 0; task < a->parts * limbs; task++) {
        const unsigned p = task / limbs;
        const unsigned i = task % limbs;
        uint64_t *to = ddt_ciphertext_limb(out, n, p, i);
        const uint64_t *from = ddt_ciphertext_limb(a, n, p, i);
        if (p > 0) {
            copy_limb(params, to, from);
        } else if (im == 0.0) {
            ddt_ring_add_scalar(params->ring, i, to, from, ckks_double_residue(params->ring, i, re));
        } else {
            uint64_t *constant = scratch + (size_t)omp_get_thread_num() * n;
            ckks_fill_constant(params, i, re, im, constant);
            ddt_ring_add(params->ring, i, to, from, constant);
        }
    }
    ckks_set_result(out, a->level, a->parts, a->scale);
    return DDT_OK;
}

ddt_status ddt_eval_mul_constant(ddt_evaluator *ev, const ddt_ciphertext *a, double complex c, double constant_scale,
                                 ddt_ciphertext *out) {
    double re = 0.0;
    double im = 0.0;
    ddt_status status = check_unary(ev, "mul_constant", a, out, a->level);
    if (status == DDT_OK && !(constant_scale > 0.0 && isfinite(constant_scale))) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "mul_constant: the constant's scale is %g.", constant_scale);
    }
    if (status == DDT_OK) {
        status = round_constant(ev, "mul_constant", c, constant_scale, a->level, &re, &im);
    }
    if (status == DDT_OK) {
        status = ckks_arena_begin(ev, (size_t)ev->threads);
    }
    if (status != DDT_OK) {
        return status;
    }
    const ddt_ckks_params *params = ev->params;
    const size_t n = params->n;
    uint64_t *scratch = ckks_arena_take(ev, (size_t)ev->threads);
#pragma omp parallel for num_threads(ev->threads) if (ev->threads > 1) schedule(static)
    for (unsigned i = 0; i <= a->level; i++) {
        uint64_t *constant = scratch + (size_t)omp_get_thread_num() * n;
        const uint64_t real = ckks_double_residue(params->ring, i, re);
        if (im != 0.0) {
            ckks_fill_constant(params, i, re, im, constant);
        }
        for (unsigned p = 0; p < a->parts; p++) {
            uint64_t *to = ddt_ciphertext_limb(out, n, p, i);
            const uint64_t *from = ddt_ciphertext_limb(a, n, p, i);
            if (im == 0.0) {
                ddt_ring_mul_scalar(params->ring, i, to, from, real);
            } else {
                ddt_ring_mul(params->ring, i, to, from, constant);
            }
        }
    }
    ckks_set_result(out, a->level, a->parts, a->scale * constant_scale);
    return DDT_OK;
}

/* ------------------------------------------------------------------ levels */

ddt_status ddt_eval_drop_level(ddt_evaluator *ev, const ddt_ciphertext *a, unsigned level, ddt_ciphertext *out) {
    ddt_status status = check_unary(ev, "drop_level", a, out, level);
    if (status == DDT_OK && level > a->level) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "drop_level: level %u is above the input's %u.", level, a->level);
    }
    if (status != DDT_OK) {
        return status;
    }
    ckks_copy(ev, a, level, out);
    ckks_set_result(out, level, a->parts, a->scale);
    return DDT_OK;
}

/* One limb of a division by the top prime: out = (in - rest) inverse, all in NTT domain. */
typedef struct division {
    const ddt_ring *ring; /* of parts of limbs */
    unsigned parts;
    unsigned i;
    uint64_t inverse;
    uint64_t *rest[CIPHERTEXT_PARTS_MAX];
    const uint64_t *in[CIPHERTEXT_PARTS_MAX];
    uint64_t *out[CIPHERTEXT_PARTS_MAX];
} division;

static void divide_part(void *work, size_t from) {
    const division *d = work;
    for (unsigned p = 0; p < d->parts; p++) {
        ddt_ring_sub_mul_scalar(d->ring, d->i, d->out[p] + from, d->in[p] + from, d->rest[p] + from, d->inverse);
    }
}

/* Limb i of a / q_top; tops: the top limbs in the coefficient domain, room: a limb for each part, both at `stride`. */
static void divide_limb(const ddt_ckks_params *params, const ddt_ciphertext *a, const ddt_ciphertext *out, unsigned i,
                        const uint64_t *tops, uint64_t *room) {
    const ddt_ring *ring = params->ring;
    const size_t stride = ckks_limb_stride(params->n);
    const uint64_t *ahead[2 * CIPHERTEXT_PARTS_MAX];
    size_t count = 0;
    division d = {.ring = ddt_ring_part(ring),
                  .parts = a->parts,
                  .i = i,
                  .inverse = params->q_inverse[a->level * ((size_t)params->top + 1) + i]};
    for (unsigned p = 0; p < a->parts; p++) {
        d.rest[p] = room + p * stride;
        d.in[p] = ddt_ciphertext_limb(a, params->n, p, i);
        d.out[p] = ddt_ciphertext_limb(out, params->n, p, i);
        ahead[count++] = d.in[p];
        ahead[count++] = d.out[p]; /* what is written has to be read, too */
        ddt_ring_change_modulus(ring, a->level, i, d.rest[p], tops + p * stride);
        ddt_ring_ntt_begin(ring, i, d.rest[p]);
    }
    const ddt_ring_visitor visitor = {divide_part, &d, ahead, count, false};
    ddt_ring_ntt_finish(ring, i, d.rest, a->parts, &visitor);
}

ddt_status ckks_divide_top(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_ciphertext *out) {
    ddt_status status = ckks_check_room(ev, "rescale", out, a->level - 1, a->parts);
    if (status == DDT_OK) {
        status = ckks_arena_begin(ev, a->parts * (1 + (size_t)ev->threads));
    }
    if (status != DDT_OK) {
        return status;
    }
    const ddt_ckks_params *params = ev->params;
    const ddt_ring *ring = params->ring;
    const size_t n = params->n;
    const size_t stride = ckks_limb_stride(n);
    const unsigned top = a->level;
    uint64_t *tops = ckks_arena_take(ev, a->parts);
    uint64_t *scratch = ckks_arena_take(ev, a->parts * (size_t)ev->threads);
#pragma omp parallel for num_threads(ev->threads) if (ev->threads > 1) schedule(static)
    for (unsigned p = 0; p < a->parts; p++) {
        memcpy(tops + p * stride, ddt_ciphertext_limb(a, n, p, top), n * sizeof *tops);
        ddt_ring_intt(ring, top, tops + p * stride);
    }
#pragma omp parallel for num_threads(ev->threads) if (ev->threads > 1) schedule(static)
    for (unsigned i = 0; i < top; i++) {
        divide_limb(params, a, out, i, tops, scratch + (size_t)omp_get_thread_num() * a->parts * stride);
    }
    ckks_set_result(out, top - 1, a->parts, a->scale / (double)ddt_ring_modulus(ring, top));
    return DDT_OK;
}

ddt_status ddt_eval_rescale(ddt_evaluator *ev, const ddt_ciphertext *a, ddt_ciphertext *out) {
    const unsigned step = ddt_ckks_step(ev->params);
    ddt_status status = ckks_check_input(ev, "rescale", a);
    if (status == DDT_OK && a->level < step) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "rescale: no level is left below level %u.", a->level);
    }
    if (status == DDT_OK) {
        status = ckks_check_room(ev, "rescale", out, a->level - step, a->parts);
    }
    if (status != DDT_OK || step == 1) {
        return status == DDT_OK ? ckks_divide_top(ev, a, out) : status;
    }
    /* The result's room need not hold the level between. */
    ddt_ciphertext *between = NULL;
    status = ckks_pool_take(ev, a->level - 1, &between);
    if (status == DDT_OK) {
        status = ckks_divide_top(ev, a, between);
    }
    if (status == DDT_OK) {
        status = ckks_divide_top(ev, between, out);
    }
    if (between != NULL) {
        ckks_pool_give(ev, between);
    }
    return status;
}

ddt_status ddt_eval_adjust(ddt_evaluator *ev, const ddt_ciphertext *a, unsigned level, double scale,
                           ddt_ciphertext *out) {
    ddt_status status = check_unary(ev, "adjust", a, out, level);
    const unsigned step = ddt_ckks_step(ev->params);
    if (status == DDT_OK && (a->level < step || level > a->level - step || !(scale > 0.0))) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "adjust: level %u with scale %g is not below level %u.", level,
                          scale, a->level);
    }
    if (status != DDT_OK) {
        return status;
    }
    const double one = scale * ddt_ckks_step_modulus(ev->params, level + step) / a->scale;
    /* The rounding of `one` must vanish in the rounding error of the rescale. */
    if (!(one >= ldexp(1.0, (int)(step * (ev->params->literal.scale_bits - ADJUST_SPARE_BITS))))) {
        return ddt_fail(ev->ctx, DDT_ERR_ARGUMENT,
                        "adjust: from scale 2^%.2f to 2^%.2f the constant 1 would have only %.1f bits.", log2(a->scale),
                        log2(scale), log2(one));
    }
    ddt_ciphertext *product = NULL;
    status = ckks_pool_take(ev, level + step, &product);
    if (status == DDT_OK) {
        ddt_ciphertext dropped = *a;
        dropped.level = level + step;
        status = ddt_eval_mul_constant(ev, &dropped, 1.0, one, product);
    }
    if (status == DDT_OK) {
        status = ddt_eval_rescale(ev, product, out);
    }
    if (status == DDT_OK) {
        out->scale = scale;
    }
    ckks_pool_give(ev, product);
    return status;
}
