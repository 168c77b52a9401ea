/*
 * Linear transforms of the slots: evaluation. Everything before a giant step is done one prime at a time: the baby
 * rotations of a limb are made, multiplied by all diagonals and forgotten. SPDX-License-Identifier: Apache-2.0
 */
#include "keyswitch.h"
#include "transform_internal.h"

#include <omp.h>
#include <string.h>

typedef struct transform_work {
    ddt_evaluator *ev;
    const ddt_transform *transform;
    const ddt_ciphertext *a;
    ks_work ks;
    uint64_t *extended; /* digits of the input modulo all targets */
    uint64_t *sums;     /* giants * 2 * targets limbs, multiplied by P */
    uint64_t *quotient; /* level + 1 limbs: the second part of a sum, divided by P */
    uint64_t *scratch;  /* scratch_limbs a thread */
} transform_work;

/* Baby rotations (two limbs each), two limbs of partial sums, the diagonals of one inner product. */
static size_t scratch_limbs(const ddt_transform *transform) {
    return PARTS * transform->babies_count + PARTS + DDT_RING_DOT_MAX;
}

static uint64_t *sum_limb(const transform_work *w, size_t giant, size_t part, size_t t) {
    return w->sums + ((giant * PARTS + part) * w->ks.targets + t) * w->ks.params->n;
}

static const ckks_key_entry *rotation_key(const transform_work *w, int64_t step) {
    return ckks_keys_entry(w->ev->keys, ddt_ring_galois_rotation(w->ks.params->ring, step));
}

/* ------------------------------------------------------------------ baby steps */

/*
 * P * rotation(a) modulo target t: out[0], out[1]. False where it is zero (the unrotated input modulo a P prime).
 * plain: two limbs.
 */
static bool rotate_limb(const transform_work *w, int64_t step, size_t t, uint64_t *out, uint64_t *plain) {
    const ddt_ckks_params *params = w->ks.params;
    const ddt_ring *ring = params->ring;
    const size_t n = params->n;
    const bool is_special = t > w->ks.level;
    if (ddt_ring_galois_rotation(ring, step) == 1) {
        for (unsigned p = 0; p < PARTS && !is_special; p++) {
            ddt_ring_mul_scalar(ring, t, out + p * n, ddt_ciphertext_limb(w->a, n, p, (unsigned)t), params->p_mod_q[t]);
        }
        return !is_special;
    }
    const uint64_t *digits[DDT_CKKS_LEVELS_MAX + 1];
    const ckks_key_entry *entry = rotation_key(w, step);
    ks_extended_digits(&w->ks, ddt_ciphertext_limb(w->a, n, 1, 0), w->extended, t, digits);
    ks_inner_product(&w->ks, &entry->key, t, digits, plain, plain + n,
                     ks_thread_scratch(&w->ks) + w->ks.digits * w->ks.group * n);
    if (!is_special) {
        ddt_ring_mul_scalar_add(ring, t, plain, plain, ddt_ciphertext_limb(w->a, n, 0, (unsigned)t),
                                params->p_mod_q[t]);
    }
    ddt_ring_permute(ring, out, plain, entry->permutation);
    ddt_ring_permute(ring, out + n, plain + n, entry->permutation);
    return true;
}

/* A diagonal modulo target t in NTT domain: stored so, or made in `limb`. */
static const uint64_t *diagonal_limb(const transform_work *w, const transform_term *term, size_t t, uint64_t *limb) {
    const size_t n = w->ks.params->n;
    if (term->is_coefficients) {
        const size_t m = ks_target_modulus(&w->ks, t);
        ddt_ring_change_modulus(w->ks.params->ring, 0, m, limb, term->stored);
        ddt_ring_ntt(w->ks.params->ring, m, limb);
        return limb;
    }
    if (term->run == 1) {
        return term->stored + t * n;
    }
    const uint64_t *values = term->stored + t * (n / term->run);
    for (size_t j = 0; j < n / term->run; j++) {
        for (size_t k = 0; k < term->run; k++) {
            limb[j * term->run + k] = values[j];
        }
    }
    return limb;
}

typedef struct limb_work {
    size_t t;
    uint64_t *rotated; /* baby b at 2 b N */
    bool present[TRANSFORM_BABIES_MAX];
    uint64_t *partial;   /* two limbs */
    uint64_t *diagonals; /* DDT_RING_DOT_MAX limbs */
} limb_work;

/* Adds up to DDT_RING_DOT_MAX terms from index i on, all of one giant step, to its sum. Returns the next index. */
static size_t add_terms(const transform_work *w, const limb_work *l, size_t i, bool *started) {
    const ddt_transform *transform = w->transform;
    const ddt_ring *ring = w->ks.params->ring;
    const size_t n = w->ks.params->n;
    const size_t m = ks_target_modulus(&w->ks, l->t);
    const size_t giant = transform->terms[i].giant;
    uint64_t *sums[PARTS] = {sum_limb(w, giant, 0, l->t), sum_limb(w, giant, 1, l->t)};
    const uint64_t *diagonals[DDT_RING_DOT_MAX];
    const uint64_t *first[DDT_RING_DOT_MAX];
    const uint64_t *second[DDT_RING_DOT_MAX];
    size_t count = 0;
    for (; i < transform->terms_count && transform->terms[i].giant == giant && count < DDT_RING_DOT_MAX; i++) {
        const transform_term *term = &transform->terms[i];
        if (l->present[term->baby]) {
            diagonals[count] = diagonal_limb(w, term, l->t, l->diagonals + count * n);
            first[count] = l->rotated + PARTS * term->baby * n;
            second[count] = first[count] + n;
            count++;
        }
    }
    if (count > 0 && !*started) {
        ddt_ring_dot2(ring, m, sums[0], sums[1], diagonals, first, second, count);
    } else if (count > 0) {
        ddt_ring_dot2(ring, m, l->partial, l->partial + n, diagonals, first, second, count);
        ddt_ring_add(ring, m, sums[0], sums[0], l->partial);
        ddt_ring_add(ring, m, sums[1], sums[1], l->partial + n);
    }
    *started = *started || count > 0;
    return i;
}

static void sum_limbs(const transform_work *w, const limb_work *l) {
    const ddt_transform *transform = w->transform;
    const size_t n = w->ks.params->n;
    size_t i = 0;
    for (size_t giant = 0; giant < transform->giants_count; giant++) {
        bool started = false;
        while (i < transform->terms_count && transform->terms[i].giant == giant) {
            i = add_terms(w, l, i, &started);
        }
        for (unsigned p = 0; p < PARTS && !started; p++) {
            memset(sum_limb(w, giant, p, l->t), 0, n * sizeof(uint64_t));
        }
    }
}

static void inner_sums(const transform_work *w) {
    const ddt_transform *transform = w->transform;
    const size_t n = w->ks.params->n;
#pragma omp parallel for num_threads(w->ks.threads) if (w->ks.threads > 1) schedule(dynamic, 1)
    for (size_t t = 0; t < w->ks.targets; t++) {
        limb_work l = {.t = t, .rotated = w->scratch + (size_t)omp_get_thread_num() * scratch_limbs(transform) * n};
        l.partial = l.rotated + PARTS * transform->babies_count * n;
        l.diagonals = l.partial + PARTS * n;
        for (size_t b = 0; b < transform->babies_count; b++) {
            l.present[b] =
                transform->used[b] && rotate_limb(w, transform->babies[b], t, l.rotated + PARTS * b * n, l.partial);
        }
        sum_limbs(w, &l);
    }
}

/* ------------------------------------------------------------------ giant steps */

/* The sum of `giant`, rotated by one step of Horner's rule: added to the sum below it, or in its place for the last. */
static void rotate_sum(const transform_work *w, size_t giant, int64_t step) {
    const ddt_ring *ring = w->ks.params->ring;
    const size_t n = w->ks.params->n;
    const ckks_key_entry *entry = rotation_key(w, step);
    ks_work division = w->ks;
    ks_result result = {.first_part = 1, .out = {NULL, w->quotient}};
    division.acc = sum_limb(w, giant, 0, 0);
    ks_divide(&division, &result);
    ks_decompose(&w->ks, w->quotient);
    ks_accumulate(&w->ks, &entry->key, w->quotient, NULL);
#pragma omp parallel for num_threads(w->ks.threads) if (w->ks.threads > 1) schedule(static)
    for (size_t t = 0; t < w->ks.targets; t++) {
        const size_t m = ks_target_modulus(&w->ks, t);
        uint64_t *limb = ks_thread_scratch(&w->ks);
        uint64_t *first = w->ks.acc + t * n;
        ddt_ring_add(ring, m, first, first, sum_limb(w, giant, 0, t));
        for (unsigned p = 0; p < PARTS; p++) {
            uint64_t *acc = w->ks.acc + (p * w->ks.targets + t) * n;
            if (giant == 0) {
                ddt_ring_permute(ring, sum_limb(w, 0, p, t), acc, entry->permutation);
            } else {
                uint64_t *below = sum_limb(w, giant - 1, p, t);
                ddt_ring_permute(ring, limb, acc, entry->permutation);
                ddt_ring_add(ring, m, below, below, limb);
            }
        }
    }
}

static void horner(const transform_work *w) {
    for (size_t giant = w->transform->giants_count; giant-- > 0;) {
        const int64_t step = transform_giant_step(w->transform, giant);
        if (ddt_ring_galois_rotation(w->ks.params->ring, step) != 1) {
            rotate_sum(w, giant, step);
        }
    }
}

/* ------------------------------------------------------------------ the whole */

static ddt_status check_keys(ddt_evaluator *ev, const ddt_transform *transform) {
    ddt_status status = DDT_OK;
    const size_t all = transform->babies_count + transform->giants_count;
    for (size_t i = 0; i < all && status == DDT_OK; i++) {
        const bool is_baby = i < transform->babies_count;
        const int64_t step =
            is_baby ? transform->babies[i] : transform_giant_step(transform, i - transform->babies_count);
        const uint64_t galois = ddt_ring_galois_rotation(ev->params->ring, step);
        const ckks_key_entry *entry = NULL;
        if (galois != 1 && (!is_baby || transform->used[i])) {
            status = ks_find_key(ev, "transform", galois, transform->level, &entry);
        }
    }
    return status;
}

static ddt_status check_transform(ddt_evaluator *ev, const ddt_transform *transform, const ddt_ciphertext *a,
                                  const ddt_ciphertext *out, unsigned out_level) {
    ddt_status status = ckks_check_input(ev, "transform", a);
    if (status == DDT_OK && (a->parts != 2 || a->level < transform->level || transform->params != ev->params)) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT,
                          "transform: 2 parts at level %u or above are wanted, not %u at level %u.", transform->level,
                          a->parts, a->level);
    }
    if (status == DDT_OK) {
        status = ckks_check_room(ev, "transform", out, out_level, PARTS);
    }
    return status == DDT_OK ? check_keys(ev, transform) : status;
}

static ddt_status evaluate(ddt_evaluator *ev, const ddt_transform *transform, const ddt_ciphertext *a, bool rescale,
                           ddt_ciphertext *out) {
    const size_t n = ev->params->n;
    const unsigned level = transform->level;
    const unsigned out_level = rescale ? level - 1 : level;
    ddt_status status = check_transform(ev, transform, a, out, out_level);
    const size_t stored = ddt_ckks_digits(ev->params, level) * transform->targets;
    const size_t sums = transform->giants_count * PARTS * transform->targets;
    const size_t scratch = (size_t)ev->threads * scratch_limbs(transform);
    if (status == DDT_OK) {
        status = ckks_arena_begin(ev, ks_work_limbs(ev, level) + stored + sums + level + 1 + scratch);
    }
    if (status != DDT_OK) {
        return status;
    }
    transform_work w = {.ev = ev, .transform = transform, .a = a};
    ks_work_take(ev, level, &w.ks);
    w.extended = ckks_arena_take(ev, stored);
    w.sums = ckks_arena_take(ev, sums);
    w.quotient = ckks_arena_take(ev, (size_t)level + 1);
    w.scratch = ckks_arena_take(ev, scratch);
    ks_decompose(&w.ks, ddt_ciphertext_limb(a, n, 1, 0));
    ks_extend_all(&w.ks, ddt_ciphertext_limb(a, n, 1, 0), w.extended);
    inner_sums(&w);
    horner(&w);
    ks_result result = {.rescale = rescale,
                        .out = {ddt_ciphertext_limb(out, n, 0, 0), ddt_ciphertext_limb(out, n, 1, 0)}};
    w.ks.acc = w.sums;
    const double divisor = rescale ? (double)ddt_ring_modulus(ev->params->ring, level) : 1.0;
    const double scale = a->scale * transform->scale / divisor;
    ks_divide(&w.ks, &result);
    ckks_set_result(out, out_level, PARTS, scale);
    return DDT_OK;
}

ddt_status ddt_eval_transform(ddt_evaluator *ev, const ddt_transform *transform, const ddt_ciphertext *a,
                              ddt_ciphertext *out) {
    return evaluate(ev, transform, a, true, out);
}

ddt_status transform_unscaled(ddt_evaluator *ev, const ddt_transform *transform, const ddt_ciphertext *a,
                              ddt_ciphertext *out) {
    return evaluate(ev, transform, a, false, out);
}

ddt_status ddt_eval_inner_sum(ddt_evaluator *ev, const ddt_ciphertext *a, size_t count, int64_t stride,
                              ddt_ciphertext *out) {
    ddt_ciphertext *turned = NULL;
    ddt_status status = ckks_check_input(ev, "inner_sum", a);
    if (status == DDT_OK && (a->parts != 2 || count == 0 || (count & (count - 1)) != 0 || count > ev->params->n / 2)) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "inner_sum: a sum of %zu slots of %u parts cannot be taken.",
                          count, a->parts);
    }
    if (status == DDT_OK) {
        status = ddt_eval_drop_level(ev, a, a->level, out);
    }
    if (status == DDT_OK) {
        status = ckks_pool_take(ev, out->level, &turned);
    }
    for (size_t done = 1; done < count && status == DDT_OK; done *= 2) {
        status = ddt_eval_rotate(ev, out, stride * (int64_t)done, turned);
        if (status == DDT_OK) {
            status = ddt_eval_add(ev, out, turned, out);
        }
    }
    if (turned != NULL) {
        ckks_pool_give(ev, turned);
    }
    return status;
}
