/*
 * Several real vectors in one ciphertext. Vector k stands at X^(k / 2), as real part where k is even and as imaginary
 * part where it is odd.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ddt/ckks/pack.h"

#include "ckks_internal.h"

#include <complex.h>
#include <math.h>
#include <sodium.h>
#include <string.h>

unsigned ddt_ckks_pack_stages(size_t count) {
    unsigned stages = 0;
    while (((size_t)1 << stages) < count) {
        stages++;
    }
    return stages;
}

unsigned ddt_ckks_pack_stages_max(unsigned log_n, size_t period) {
    unsigned stages = 1; /* real and imaginary part */
    while (stages < DDT_CKKS_PACK_STAGES_MAX && period << stages <= (size_t)1 << (log_n - 1)) {
        stages++;
    }
    return stages;
}

/* Slots by which a stage before the conjugation rotates: X^(2^(stage - 1)) changes its sign, and X^(2^stage) stays. */
static int64_t stage_steps(unsigned log_n, unsigned stage) { return (int64_t)1 << (log_n - 1 - stage); }

uint64_t ddt_ckks_pack_galois(unsigned log_n, unsigned stages, unsigned stage) {
    const uint64_t mask = ((uint64_t)2 << log_n) - 1;
    uint64_t galois = 5;
    if (stage >= stages) {
        return mask; /* the conjugation */
    }
    for (int64_t steps = 1; steps < stage_steps(log_n, stage); steps *= 2) {
        galois = galois * galois & mask;
    }
    return galois;
}

/* The NTT of X^exponent, or of minus X^(exponent - N) from N on. */
static void fill_monomial(const ddt_ckks_params *params, size_t m, size_t exponent, uint64_t *limb) {
    const size_t n = params->n;
    memset(limb, 0, n * sizeof *limb);
    limb[exponent % n] = exponent < n ? 1 : ddt_ring_modulus(params->ring, m) - 1;
    ddt_ring_ntt(params->ring, m, limb);
}

/* ------------------------------------------------------------------ packing */

static ddt_status check_vectors(ddt_context *ctx, const ddt_ckks_params *params, const ddt_ckks_packed *vectors,
                                size_t count, size_t period, unsigned level) {
    const unsigned log_n = params->literal.log_n;
    bool is_good = count >= 1 && count <= DDT_CKKS_PACK_MAX && level <= params->top && period >= 1 &&
                   (period & (period - 1)) == 0 && period <= params->n / 2 &&
                   ddt_ckks_pack_stages(count) <= ddt_ckks_pack_stages_max(log_n, period);
    for (size_t k = 0; is_good && k < count; k++) {
        is_good = vectors[k].level <= level;
    }
    return is_good ? DDT_OK
                   : ddt_fail(ctx, DDT_ERR_ARGUMENT,
                              "%zu vectors of period %zu cannot share one ciphertext of 2^%u coefficients at level %u.",
                              count, period, log_n, level);
}

/* What a value is multiplied by so that it has the canonical scale of its own level when limbs are dropped. */
static double factor_of(const ddt_ckks_params *params, const ddt_ckks_packed *vector, unsigned level) {
    return ddt_ckks_canonical_scale(params, vector->level) / ddt_ckks_canonical_scale(params, level);
}

static void fill_pair(const ddt_ckks_params *params, const ddt_ckks_packed *pair, size_t count, size_t period,
                      unsigned level, double complex *values) {
    const double real = factor_of(params, &pair[0], level);
    const double imaginary = count > 1 ? factor_of(params, &pair[1], level) : 0.0;
    for (size_t i = 0; i < period; i++) {
        values[i] = ckks_complex_of(real * pair[0].values[i], count > 1 ? imaginary * pair[1].values[i] : 0.0);
    }
}

/* out += X^exponent pair */
static void add_shifted(const ddt_ckks_params *params, const ddt_plaintext *pair, size_t exponent, unsigned level,
                        uint64_t *limb, const ddt_plaintext *out) {
    for (unsigned m = 0; m <= level; m++) {
        uint64_t *to = out->limbs + (size_t)m * params->n;
        fill_monomial(params, m, exponent, limb);
        ddt_ring_mul(params->ring, m, limb, limb, pair->limbs + (size_t)m * params->n);
        ddt_ring_add(params->ring, m, to, to, limb);
    }
}

typedef struct packer {
    double complex *values; /* a period */
    uint64_t *limb;
    ddt_plaintext pair;
} packer;

static ddt_status packer_create(ddt_context *ctx, const ddt_ckks_params *params, size_t period, unsigned level,
                                packer *p) {
    p->values = ddt_alloc(period, sizeof *p->values);
    p->limb = ddt_alloc(params->n, sizeof *p->limb);
    return p->values == NULL || p->limb == NULL ? ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short to pack vectors.")
                                                : ddt_plaintext_create(ctx, params, level, &p->pair);
}

/* What is encrypted is the custodian's own: nothing of it stays in memory. */
static void packer_destroy(const ddt_ckks_params *params, size_t period, packer *p) {
    if (p->values != NULL) {
        sodium_memzero(p->values, period * sizeof *p->values);
    }
    if (p->limb != NULL) {
        sodium_memzero(p->limb, params->n * sizeof *p->limb);
    }
    if (p->pair.limbs != NULL) {
        sodium_memzero(p->pair.limbs, ((size_t)p->pair.level_capacity + 1) * params->n * sizeof *p->pair.limbs);
    }
    ddt_free(p->values);
    ddt_free(p->limb);
    ddt_plaintext_destroy(&p->pair);
}

static ddt_status pack_pairs(ddt_context *ctx, const ddt_ckks_params *params, const ddt_ckks_packed *vectors,
                             size_t count, size_t period, unsigned level, packer *p, ddt_plaintext *out) {
    const double canonical = ddt_ckks_canonical_scale(params, level);
    const double scale = ldexp(canonical, -(int)ddt_ckks_pack_stages(count));
    ddt_status status = DDT_OK;
    for (size_t k = 0; status == DDT_OK && k < count; k += 2) {
        fill_pair(params, &vectors[k], count - k, period, level, p->values);
        status = ddt_ckks_encode(ctx, params, p->values, period, level, scale, k == 0 ? out : &p->pair);
        if (status == DDT_OK && k > 0) {
            add_shifted(params, &p->pair, k / 2, level, p->limb, out);
        }
    }
    out->scale = canonical;
    return status;
}

ddt_status ddt_ckks_pack(ddt_context *ctx, const ddt_ckks_params *params, const ddt_ckks_packed *vectors, size_t count,
                         size_t period, unsigned level, ddt_plaintext *out) {
    packer p = {0};
    ddt_status status = check_vectors(ctx, params, vectors, count, period, level);
    if (status != DDT_OK) {
        return status;
    }
    status = packer_create(ctx, params, period, level, &p);
    if (status == DDT_OK) {
        status = pack_pairs(ctx, params, vectors, count, period, level, &p, out);
    }
    packer_destroy(params, period, &p);
    return status;
}

/* ------------------------------------------------------------------ unpacking */

/* a *= X^-exponent */
static ddt_status divide_by_monomial(ddt_evaluator *ev, size_t exponent, ddt_ciphertext *a) {
    const ddt_ckks_params *params = ev->params;
    const size_t n = params->n;
    uint64_t *limb = ddt_alloc(n, sizeof *limb);
    if (limb == NULL) {
        return ddt_fail(ev->ctx, DDT_ERR_MEMORY, "Memory is short to unpack vectors.");
    }
    for (unsigned m = 0; m <= a->level; m++) {
        fill_monomial(params, m, 2 * n - exponent, limb);
        for (unsigned part = 0; part < 2; part++) {
            uint64_t *to = ddt_ciphertext_limb(a, n, part, m);
            ddt_ring_mul(params->ring, m, to, to, limb);
        }
    }
    ddt_free(limb);
    return DDT_OK;
}

/* even: what it and `turned` share, twice; odd (NULL: not wanted): how they differ. */
static ddt_status split(ddt_evaluator *ev, const ddt_ciphertext *turned, ddt_ciphertext *even, ddt_ciphertext *odd) {
    ddt_status status = odd == NULL ? DDT_OK : ddt_eval_sub(ev, even, turned, odd);
    return status == DDT_OK ? ddt_eval_add(ev, even, turned, even) : status;
}

static ddt_status create_at(ddt_evaluator *ev, unsigned level, ddt_ciphertext *out) {
    return ddt_ciphertext_create(ev->ctx, ev->params, level, 2, out);
}

/* work[j] of the pairs j below 2^(stage - 1) becomes work[j] and work[j + 2^(stage - 1)]. */
static ddt_status split_stage(ddt_evaluator *ev, unsigned stage, size_t pairs, ddt_ciphertext *turned,
                              ddt_ciphertext *work) {
    const size_t half = (size_t)1 << (stage - 1);
    const int64_t steps = stage_steps(ev->params->literal.log_n, stage);
    ddt_status status = DDT_OK;
    for (size_t j = 0; j < half && status == DDT_OK; j++) {
        ddt_ciphertext *odd = j + half < pairs ? &work[j + half] : NULL;
        status = odd == NULL ? DDT_OK : create_at(ev, turned->level_capacity, odd);
        if (status == DDT_OK) {
            status = ddt_eval_rotate(ev, &work[j], steps, turned);
        }
        if (status == DDT_OK) {
            status = split(ev, turned, &work[j], odd);
        }
        if (status == DDT_OK && odd != NULL) {
            status = divide_by_monomial(ev, half, odd);
        }
    }
    return status;
}

/* out = a at its own level, with no room for more. */
static ddt_status settle(ddt_evaluator *ev, const ddt_ciphertext *a, unsigned level, ddt_ciphertext *out) {
    ddt_status status = create_at(ev, level, out);
    if (status == DDT_OK) {
        status = ddt_eval_drop_level(ev, a, level, out);
    }
    out->scale = status == DDT_OK ? ddt_ckks_canonical_scale(ev->params, level) : 0.0;
    return status;
}

/* out[0] = the real part of a pair, out[1] the imaginary one. */
static ddt_status split_pair(ddt_evaluator *ev, ddt_ciphertext *pair, const unsigned *levels, size_t count,
                             ddt_ciphertext *turned, ddt_ciphertext *out) {
    ddt_ciphertext other = {0};
    ddt_status status = ddt_eval_conjugate(ev, pair, turned);
    if (status == DDT_OK && count > 1) {
        status = create_at(ev, pair->level, &other);
    }
    if (status == DDT_OK) {
        status = split(ev, turned, pair, count > 1 ? &other : NULL);
    }
    if (status == DDT_OK && count > 1) {
        status = ddt_eval_mul_constant(ev, &other, ckks_complex_of(0.0, -1.0), 1.0, &other);
    }
    if (status == DDT_OK) {
        status = settle(ev, pair, levels[0], &out[0]);
    }
    if (status == DDT_OK && count > 1) {
        status = settle(ev, &other, levels[1], &out[1]);
    }
    ddt_ciphertext_destroy(&other);
    return status;
}

static ddt_status unpack(ddt_evaluator *ev, const ddt_ciphertext *a, const unsigned *levels, size_t count,
                         ddt_ciphertext *turned, ddt_ciphertext *work, ddt_ciphertext *out) {
    const size_t pairs = (count + 1) / 2;
    const unsigned stages = ddt_ckks_pack_stages(count);
    ddt_status status = create_at(ev, a->level, &work[0]);
    if (status == DDT_OK) {
        status = ddt_eval_drop_level(ev, a, a->level, &work[0]);
    }
    for (unsigned stage = 1; stage < stages && status == DDT_OK; stage++) {
        status = split_stage(ev, stage, pairs, turned, work);
    }
    for (size_t j = 0; j < pairs && status == DDT_OK; j++) {
        const size_t left = count - 2 * j;
        status = split_pair(ev, &work[j], levels + 2 * j, left < 2 ? left : 2, turned, out + 2 * j);
    }
    return status;
}

static ddt_status check_unpacked(ddt_evaluator *ev, const ddt_ciphertext *a, const unsigned *levels, size_t count) {
    ddt_status status = ckks_check_input(ev, "unpack", a);
    bool is_good = count >= 1 && count <= DDT_CKKS_PACK_MAX && a->parts == 2;
    for (size_t k = 0; is_good && k < count; k++) {
        is_good = levels[k] <= a->level;
    }
    return status != DDT_OK || is_good
               ? status
               : ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "unpack: %zu vectors do not stand in this ciphertext.", count);
}

ddt_status ddt_eval_unpack(ddt_evaluator *ev, const ddt_ciphertext *a, const unsigned *levels, size_t count,
                           ddt_ciphertext *out) {
    enum { PAIRS_MAX = DDT_CKKS_PACK_MAX / 2 };
    ddt_ciphertext work[PAIRS_MAX] = {0};
    ddt_ciphertext turned = {0};
    memset(out, 0, count * sizeof *out);
    ddt_status status = check_unpacked(ev, a, levels, count);
    if (status != DDT_OK) {
        return status;
    }
    if (count == 1) {
        status = settle(ev, a, levels[0], &out[0]);
    } else {
        status = create_at(ev, a->level, &turned);
        if (status == DDT_OK) {
            status = unpack(ev, a, levels, count, &turned, work, out);
        }
    }
    ddt_ciphertext_destroy(&turned);
    for (size_t j = 0; j < PAIRS_MAX; j++) {
        ddt_ciphertext_destroy(&work[j]);
    }
    for (size_t k = 0; k < count && status != DDT_OK; k++) {
        ddt_ciphertext_destroy(&out[k]);
    }
    return status;
}
