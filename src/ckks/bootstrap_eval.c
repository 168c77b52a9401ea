/* Bootstrapping: the steps. SPDX-License-Identifier: Apache-2.0 */
#include "bootstrap_internal.h"
#include "transform_internal.h"

#include <omp.h>
#include <string.h>

enum { PARTS = 2 };

static double complex imaginary_unit(double sign) {
    double complex value = 0.0;
    ((double *)&value)[1] = sign;
    return value;
}

/* ------------------------------------------------------------------ raising the modulus */

typedef struct raise_work {
    const ddt_bootstrapper *b;
    const ddt_encapsulation *keys;
    int threads;
    size_t special;        /* modulus index of p_0 */
    uint64_t *low[PARTS];  /* the ciphertext under the sparse secret modulo q_0, in coefficients */
    uint64_t *rest[PARTS]; /* of the switch back, modulo p_0, in coefficients */
    uint64_t *scratch;     /* RAISE_SCRATCH limbs a thread */
} raise_work;

enum { RAISE_SCRATCH = 3 };

/* From modulus `from` (coefficients, centred) to the NTT domain of modulus m. */
static void lift(const ddt_ckks_params *params, size_t from, size_t m, uint64_t *out, const uint64_t *in) {
    ddt_ring_change_modulus(params->ring, from, m, out, in);
    ddt_ring_ntt(params->ring, m, out);
}

/*
 * Under the sparse secret, modulo q_0: c + (c_1 (b, a) modulo q_0 p_0) / p_0. The result is in w->low, in coefficients.
 */
static void switch_to_sparse(const raise_work *w, const ddt_ciphertext *a) {
    const ddt_ckks_params *params = w->b->params;
    const ddt_ring *ring = params->ring;
    const size_t n = params->n;
    const uint64_t *c1 = ddt_ciphertext_limb(a, n, 1, 0);
    uint64_t *second = w->scratch;
    uint64_t *raised = w->scratch + n;
    uint64_t *product = w->scratch + 2 * n;
    const uint64_t *keys[PARTS] = {w->keys->to_sparse_b, w->keys->to_sparse_a};
    memcpy(second, c1, n * sizeof *second);
    ddt_ring_intt(ring, 0, second);
    lift(params, 0, w->special, raised, second);
    for (unsigned p = 0; p < PARTS; p++) {
        uint64_t *out = w->low[p];
        ddt_ring_mul(ring, w->special, product, raised, keys[p] + n);
        ddt_ring_intt(ring, w->special, product);
        lift(params, w->special, 0, second, product);
        ddt_ring_mul(ring, 0, out, c1, keys[p]);
        ddt_ring_sub_mul_scalar(ring, 0, out, out, second, w->b->p_inverse[0]);
        if (p == 0) {
            ddt_ring_add(ring, 0, out, out, ddt_ciphertext_limb(a, n, 0, 0));
        }
        ddt_ring_intt(ring, 0, out);
    }
}

/* Limb m of the raised ciphertext, back under the dense secret. */
static void raise_limb(const raise_work *w, size_t m, const ddt_ciphertext *out) {
    const ddt_ckks_params *params = w->b->params;
    const ddt_ring *ring = params->ring;
    const size_t n = params->n;
    uint64_t *raised = w->scratch + (size_t)omp_get_thread_num() * RAISE_SCRATCH * n;
    uint64_t *rest = raised + n;
    const uint64_t *keys[PARTS] = {w->keys->to_dense_b, w->keys->to_dense_a};
    lift(params, 0, m, raised, w->low[1]);
    for (unsigned p = 0; p < PARTS; p++) {
        uint64_t *limb = ddt_ciphertext_limb(out, n, p, (unsigned)m);
        ddt_ring_mul(ring, m, limb, raised, keys[p] + m * n);
        lift(params, w->special, m, rest, w->rest[p]);
        ddt_ring_sub_mul_scalar(ring, m, limb, limb, rest, w->b->p_inverse[m]);
    }
    uint64_t *limb = ddt_ciphertext_limb(out, n, 0, (unsigned)m);
    lift(params, 0, m, raised, w->low[0]);
    ddt_ring_add(ring, m, limb, limb, raised);
}

static void raise_all(const raise_work *w, const ddt_ciphertext *out) {
    const ddt_ckks_params *params = w->b->params;
    const size_t n = params->n;
    const size_t last = ((size_t)params->top + 1) * n; /* the limb of p_0 in the keys */
    const uint64_t *keys[PARTS] = {w->keys->to_dense_b + last, w->keys->to_dense_a + last};
    lift(params, 0, w->special, w->scratch, w->low[1]);
    for (unsigned p = 0; p < PARTS; p++) {
        ddt_ring_mul(params->ring, w->special, w->rest[p], w->scratch, keys[p]);
        ddt_ring_intt(params->ring, w->special, w->rest[p]);
    }
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t m = 0; m <= params->top; m++) {
        raise_limb(w, m, out);
    }
}

/*
 * a: level 0. out: top level; its message is (message + q_0 I) with a small integer polynomial I, in units of 1 / (q_0
 * range).
 */
static ddt_status raise_modulus(ddt_evaluator *ev, const ddt_bootstrapper *b, const ddt_ciphertext *a,
                                ddt_ciphertext *out) {
    const ddt_ckks_params *params = b->params;
    ddt_status status = ckks_arena_begin(ev, (size_t)2 * PARTS + RAISE_SCRATCH * (size_t)ev->threads);
    if (status != DDT_OK) {
        return status;
    }
    raise_work w = {.b = b,
                    .keys = ddt_eval_keys_encapsulation(ev->keys),
                    .threads = ev->threads,
                    .special = (size_t)params->top + 1};
    for (unsigned p = 0; p < PARTS; p++) {
        w.low[p] = ckks_arena_take(ev, 1);
        w.rest[p] = ckks_arena_take(ev, 1);
    }
    w.scratch = ckks_arena_take(ev, RAISE_SCRATCH * (size_t)ev->threads);
    switch_to_sparse(&w, a);
    raise_all(&w, out);
    ckks_set_result(out, params->top, PARTS, (double)ddt_ring_modulus(params->ring, 0) * b->range);
    return DDT_OK;
}

/* ------------------------------------------------------------------ modular reduction */

/* a = a - conj(a): i times twice its imaginary part; then without the i. */
static ddt_status take_imaginary(ddt_evaluator *ev, ddt_ciphertext *a) {
    ddt_ciphertext *conjugate = NULL;
    ddt_status status = ckks_pool_take(ev, a->level, &conjugate);
    if (status == DDT_OK) {
        status = ddt_eval_conjugate(ev, a, conjugate);
    }
    if (status == DDT_OK) {
        status = ddt_eval_sub(ev, a, conjugate, a);
    }
    if (conjugate != NULL) {
        ckks_pool_give(ev, conjugate);
    }
    return status == DDT_OK ? ddt_eval_mul_constant(ev, a, imaginary_unit(-1.0), 1.0, a) : status;
}

/*
 * a: i x / range, x = message / (q_0 / scale) + I; out: the message. exp(2 pi i x / 2^5) by a polynomial, squared five
 * times; the imaginary part is the sine. Unlike the doubling of real cosines, squaring has no angle at which errors are
 * amplified more than at others.
 */
static ddt_status reduce(ddt_evaluator *ev, const ddt_bootstrapper *b, ddt_ciphertext *a, ddt_ciphertext *out) {
    const double *arcsine = b->arcsine;
    const unsigned arcsine_degree = BOOT_ARCSINE_DEGREE;
    ddt_status status = ckks_chebyshev_turned(ev, a, b->exponential, BOOT_EXPONENTIAL_DEGREE, a);
    for (unsigned i = 0; i < BOOT_SQUARINGS && status == DDT_OK; i++) {
        status = ddt_eval_mul(ev, a, a, a);
    }
    if (status == DDT_OK) {
        status = take_imaginary(ev, a);
    }
    return status == DDT_OK ? ddt_eval_chebyshev(ev, a, &arcsine, &arcsine_degree, 1, &out) : status;
}

/* ------------------------------------------------------------------ the whole */

/* The ciphertexts of one bootstrap, all from the pool. */
typedef struct boot_work {
    ddt_evaluator *ev;
    const ddt_bootstrapper *b;
    ddt_ciphertext *low;   /* slots_levels and below */
    ddt_ciphertext *first; /* top and below */
    ddt_ciphertext *second;
} boot_work;

static ddt_status take_work(boot_work *w) {
    ddt_status status = ckks_pool_take(w->ev, w->b->slots_levels, &w->low);
    if (status == DDT_OK) {
        status = ckks_pool_take(w->ev, w->b->params->top, &w->first);
    }
    return status == DDT_OK ? ckks_pool_take(w->ev, boot_mod_level(w->b) + 1, &w->second) : status;
}

static void give_work(const boot_work *w) {
    const ddt_ciphertext *const taken[] = {w->low, w->first, w->second};
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        if (taken[i] != NULL) {
            ckks_pool_give(w->ev, taken[i]);
        }
    }
}

static ddt_status check_bootstrap(ddt_evaluator *ev, const ddt_bootstrapper *b, const ddt_ciphertext *a,
                                  const ddt_ciphertext *out) {
    ddt_status status = ckks_check_input(ev, "bootstrap", a);
    if (status == DDT_OK && (a->parts != 2 || a->level < b->slots_levels || b->params != ev->params)) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT,
                          "bootstrap: 2 parts at level %u or above are wanted, not %u at level %u.", b->slots_levels,
                          a->parts, a->level);
    }
    if (status == DDT_OK) {
        status = ckks_check_room(ev, "bootstrap", out, b->params->literal.levels, PARTS);
    }
    if (status == DDT_OK && ddt_eval_keys_encapsulation(ev->keys) == NULL) {
        status = ddt_fail(ev->ctx, DDT_ERR_KEY_MISSING, "bootstrap: the keys of the encapsulation are missing.");
    }
    return status;
}

ddt_status boot_lower(ddt_evaluator *ev, const ddt_bootstrapper *b, const ddt_ciphertext *a, ddt_ciphertext *out) {
    const double scale = b->params->scales[b->slots_levels];
    if (a->level > b->slots_levels) {
        return ddt_eval_adjust(ev, a, b->slots_levels, scale, out);
    }
    ddt_status status = ckks_check_scales(ev, "bootstrap", a->scale, scale);
    return status == DDT_OK ? ddt_eval_drop_level(ev, a, a->level, out) : status;
}

/* w->low -> w->first: (message / q_0 + I) / (2 range), at one level above the modular reduction, not yet rescaled. */
static ddt_status raise_and_transform(const boot_work *w) {
    ddt_evaluator *ev = w->ev;
    const ddt_bootstrapper *b = w->b;
    ddt_status status = DDT_OK;
    for (unsigned i = 0; i < b->slots_levels && status == DDT_OK; i++) {
        status = ddt_eval_transform(ev, b->to_coefficients[i], w->low, w->low);
    }
    if (status == DDT_OK) {
        status = raise_modulus(ev, b, w->low, w->first);
    }
    const unsigned last = b->coefficients_levels - 1;
    for (unsigned i = 0; i < last && status == DDT_OK; i++) {
        status = ddt_eval_transform(ev, b->to_slots[i], w->first, w->first);
    }
    if (status == DDT_OK) {
        status = transform_unscaled(ev, b->to_slots[last], w->first, w->first);
    }
    /* Sparse slots: the raised polynomial has junk, multiples of q_0, where the message has no coefficients. */
    const size_t slots = (size_t)1 << b->log_slots;
    const size_t copies = ev->params->n / 2 / slots;
    return status == DDT_OK && copies > 1 ? ddt_eval_inner_sum(ev, w->first, copies, (int64_t)slots, w->first) : status;
}

/*
 * w->first -> w->first and w->second: its real and imaginary parts, times 2 i. Rescaling comes last: where the scale is
 * still squared, the error of the conjugation vanishes.
 */
static ddt_status split(const boot_work *w) {
    ddt_evaluator *ev = w->ev;
    const double scale = w->b->params->scales[boot_mod_level(w->b)];
    ddt_ciphertext *difference = NULL;
    ddt_status status = ddt_eval_conjugate(ev, w->first, w->second);
    if (status == DDT_OK) {
        status = ckks_pool_take(ev, w->first->level, &difference);
    }
    if (status == DDT_OK) {
        status = ddt_eval_sub(ev, w->first, w->second, difference);
    }
    if (status == DDT_OK) {
        status = ddt_eval_add(ev, w->first, w->second, w->first);
    }
    if (status == DDT_OK) {
        status = ddt_eval_mul_constant(ev, w->first, imaginary_unit(1.0), 1.0, w->first);
    }
    if (status == DDT_OK) {
        status = ddt_eval_rescale(ev, difference, w->second);
    }
    if (status == DDT_OK) {
        status = ddt_eval_rescale(ev, w->first, w->first);
    }
    if (difference != NULL) {
        ckks_pool_give(ev, difference);
    }
    /* Equal up to the rounding of doubles. */
    w->first->scale = scale;
    w->second->scale = scale;
    return status;
}

/* w->first -> w->first: its real part, times 2 i. */
static ddt_status keep_real(const boot_work *w) {
    ddt_evaluator *ev = w->ev;
    ddt_status status = ddt_eval_conjugate(ev, w->first, w->second);
    if (status == DDT_OK) {
        status = ddt_eval_add(ev, w->first, w->second, w->first);
    }
    if (status == DDT_OK) {
        status = ddt_eval_mul_constant(ev, w->first, imaginary_unit(1.0), 1.0, w->first);
    }
    if (status == DDT_OK) {
        status = ddt_eval_rescale(ev, w->first, w->first);
    }
    w->first->scale = w->b->params->scales[boot_mod_level(w->b)];
    return status;
}

static ddt_status raise_and_split(const boot_work *w) {
    ddt_status status = raise_and_transform(w);
    return status == DDT_OK ? split(w) : status;
}

ddt_status ddt_eval_bootstrap(ddt_evaluator *ev, const ddt_bootstrapper *b, const ddt_ciphertext *a,
                              ddt_ciphertext *out) {
    boot_work w = {.ev = ev, .b = b};
    ddt_status status = check_bootstrap(ev, b, a, out);
    if (status != DDT_OK) {
        return status;
    }
    status = take_work(&w);
    if (status == DDT_OK) {
        status = boot_lower(ev, b, a, w.low);
    }
    if (status == DDT_OK) {
        status = raise_and_split(&w);
    }
    if (status == DDT_OK) {
        status = reduce(ev, b, w.first, w.first);
    }
    if (status == DDT_OK) {
        status = reduce(ev, b, w.second, w.second);
    }
    if (status == DDT_OK) {
        status = ddt_eval_mul_constant(ev, w.second, imaginary_unit(1.0), 1.0, w.second);
    }
    if (status == DDT_OK) {
        status = ddt_eval_add(ev, w.first, w.second, out);
    }
    give_work(&w);
    return status;
}

ddt_status ddt_eval_bootstrap_real(ddt_evaluator *ev, const ddt_bootstrapper *b, const ddt_ciphertext *a,
                                   ddt_ciphertext *out) {
    boot_work w = {.ev = ev, .b = b};
    ddt_status status = check_bootstrap(ev, b, a, out);
    if (status != DDT_OK) {
        return status;
    }
    status = take_work(&w);
    if (status == DDT_OK) {
        status = boot_lower(ev, b, a, w.low);
    }
    if (status == DDT_OK) {
        status = raise_and_transform(&w);
    }
    if (status == DDT_OK) {
        status = keep_real(&w);
    }
    if (status == DDT_OK) {
        status = reduce(ev, b, w.first, out);
    }
    give_work(&w);
    return status;
}

ddt_status ddt_eval_bootstrap_pair(ddt_evaluator *ev, const ddt_bootstrapper *b, const ddt_ciphertext *a,
                                   const ddt_ciphertext *second, ddt_ciphertext *out_a, ddt_ciphertext *out_b) {
    boot_work w = {.ev = ev, .b = b};
    ddt_ciphertext *sum = NULL;
    ddt_status status = check_bootstrap(ev, b, a, out_a);
    if (status == DDT_OK) {
        status = check_bootstrap(ev, b, second, out_b);
    }
    if (status != DDT_OK) {
        return status;
    }
    status = take_work(&w);
    if (status == DDT_OK) {
        status = ckks_pool_take(ev, a->level, &sum);
    }
    if (status == DDT_OK) {
        status = ddt_eval_mul_constant(ev, second, imaginary_unit(1.0), 1.0, sum);
    }
    if (status == DDT_OK) {
        status = ddt_eval_add(ev, a, sum, sum);
    }
    if (status == DDT_OK) {
        status = boot_lower(ev, b, sum, w.low);
    }
    if (sum != NULL) {
        ckks_pool_give(ev, sum);
    }
    if (status == DDT_OK) {
        status = raise_and_split(&w);
    }
    if (status == DDT_OK) {
        status = reduce(ev, b, w.first, out_a);
    }
    if (status == DDT_OK) {
        status = reduce(ev, b, w.second, out_b);
    }
    give_work(&w);
    return status;
}
