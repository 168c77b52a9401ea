/*
 * Linear transforms of the slots: evaluation.
 *
 * Everything before a giant step is done one prime at a time and a few thousand positions of the NTT domain at a time:
 * the baby rotations of a block are made, multiplied by all diagonals while they are in the cache, and forgotten. That
 * works because an automorphism maps aligned blocks of the (bit-reversed) NTT domain to such blocks.
 * SPDX-License-Identifier: Apache-2.0
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
    uint64_t *sums;     /* (giants - 1) * 2 * targets limbs, multiplied by P: the first giant's are the accumulators */
    uint64_t *quotient; /* level + 1 limbs: the second part of a sum, divided by P */
    uint64_t *scratch;  /* scratch_limbs a thread */
    size_t block;       /* positions in a block */
} transform_work;

/* Of a thread: two limbs, of which one block is used at a time, and blocks for the rotations, sums and diagonals. */
static size_t scratch_limbs(const ddt_transform *transform) {
    const size_t blocks = PARTS * transform->babies_count + PARTS + DDT_RING_DOT_MAX;
    const size_t n = transform->params->n;
    return PARTS + (blocks * ddt_ring_n(transform->block_ring) + n - 1) / n;
}

static uint64_t *sum_limb(const transform_work *w, size_t giant, size_t part, size_t t) {
    uint64_t *sums = giant == 0 ? w->ks.acc : w->sums + (giant - 1) * PARTS * w->ks.targets * w->ks.stride;
    return sums + (part * w->ks.targets + t) * w->ks.stride;
}

static const ckks_key_entry *rotation_key(const transform_work *w, int64_t step) {
    return ckks_keys_entry(w->ev->keys, ddt_ring_galois_rotation(w->ks.params->ring, step));
}

/* ------------------------------------------------------------------ baby steps */

/* One target prime: what its blocks share. */
typedef struct limb_work {
    size_t t;
    size_t m;                                            /* its modulus index */
    const ckks_key_entry *entries[TRANSFORM_BABIES_MAX]; /* NULL: rotation by 0 */
    bool present[TRANSFORM_BABIES_MAX];                  /* used and not zero */
    const uint64_t *const *digits;
    uint64_t *plain;     /* two limbs: a sum before the automorphism, at its own place */
    uint64_t *rotated;   /* baby b at 2 b blocks */
    uint64_t *partial;   /* two blocks */
    uint64_t *diagonals; /* DDT_RING_DOT_MAX blocks */
} limb_work;

/* Inner product of digits and key over the block that begins at `from`. */
static void switch_block(const transform_work *w, const limb_work *l, const ddt_switch_key *key, size_t from) {
    const ddt_ring *ring = w->transform->block_ring;
    const size_t n = w->ks.params->n;
    const size_t stride = ((size_t)key->top_level + 1 + w->ks.params->literal.p_count) * n;
    const size_t limb = l->t <= w->ks.level ? l->t : l->t - w->ks.level + key->top_level;
    for (unsigned done = 0; done < w->ks.digits; done += DDT_RING_DOT_MAX) {
        const uint64_t *digits[DDT_RING_DOT_MAX];
        const uint64_t *b[DDT_RING_DOT_MAX];
        const uint64_t *a[DDT_RING_DOT_MAX];
        const unsigned left = w->ks.digits - done;
        const unsigned count = left < DDT_RING_DOT_MAX ? left : DDT_RING_DOT_MAX;
        for (unsigned d = 0; d < count; d++) {
            digits[d] = l->digits[done + d] + from;
            b[d] = key->b + (done + d) * stride + limb * n + from;
            a[d] = key->a + (done + d) * stride + limb * n + from;
        }
        uint64_t *sums[PARTS] = {l->plain + from, l->plain + n + from};
        if (done == 0) {
            ddt_ring_dot2(ring, l->m, sums[0], sums[1], digits, b, a, count);
        } else {
            uint64_t *partial[PARTS] = {l->partial, l->partial + w->block};
            ddt_ring_dot2(ring, l->m, partial[0], partial[1], digits, b, a, count);
            ddt_ring_add(ring, l->m, sums[0], sums[0], partial[0]);
            ddt_ring_add(ring, l->m, sums[1], sums[1], partial[1]);
        }
    }
}

/* P * rotation(a), the block that begins at `begin`, into out and the block behind it. */
static void rotate_block(const transform_work *w, const limb_work *l, const ckks_key_entry *entry, size_t begin,
                         uint64_t *out) {
    const ddt_ckks_params *params = w->ks.params;
    const ddt_ring *ring = w->transform->block_ring;
    const size_t n = params->n;
    if (entry == NULL) {
        for (unsigned p = 0; p < PARTS; p++) {
            ddt_ring_mul_scalar(ring, l->m, out + p * w->block, ddt_ciphertext_limb(w->a, n, p, (unsigned)l->t) + begin,
                                params->p_mod_q[l->t]);
        }
        return;
    }
    const size_t from = entry->permutation[begin] & ~(w->block - 1);
    switch_block(w, l, &entry->key, from);
    if (l->t <= w->ks.level) {
        uint64_t *first = l->plain + from;
        ddt_ring_mul_scalar_add(ring, l->m, first, first, ddt_ciphertext_limb(w->a, n, 0, (unsigned)l->t) + from,
                                params->p_mod_q[l->t]);
    }
    for (unsigned p = 0; p < PARTS; p++) {
        ddt_ring_permute(ring, out + p * w->block, l->plain + p * n, entry->permutation + begin);
    }
}

/* A power of two of equal words, a cache line at a time: the compiler does the rest. */
static void fill_run(uint64_t *out, size_t length, uint64_t value) {
    enum { LINE = 8 };
    const uint64_t line[LINE] = {value, value, value, value, value, value, value, value};
    if (length < LINE) {
        memcpy(out, line, length * sizeof *out);
        return;
    }
    for (size_t k = 0; k < length; k += LINE) {
        memcpy(out + k, line, sizeof line);
    }
}

/* The block of a diagonal: stored so, or its runs of equal values written out. */
static const uint64_t *diagonal_block(const transform_work *w, const transform_term *term, size_t t, size_t begin,
                                      uint64_t *block) {
    const uint64_t *values = term->stored + t * term->count + begin / term->run;
    if (term->run == 1) {
        return values;
    }
    const size_t length = term->run < w->block ? term->run : w->block;
    for (size_t j = 0; j < w->block; j += length) {
        fill_run(block + j, length, values[j / length]);
    }
    return block;
}

/* Adds up to DDT_RING_DOT_MAX terms from index i on, all of one giant step, to its sum. Returns the next index. */
static size_t add_terms(const transform_work *w, const limb_work *l, size_t i, size_t begin, bool *started) {
    const ddt_transform *transform = w->transform;
    const ddt_ring *ring = transform->block_ring;
    const size_t giant = transform->terms[i].giant;
    uint64_t *sums[PARTS] = {sum_limb(w, giant, 0, l->t) + begin, sum_limb(w, giant, 1, l->t) + begin};
    const uint64_t *diagonals[DDT_RING_DOT_MAX];
    const uint64_t *first[DDT_RING_DOT_MAX];
    const uint64_t *second[DDT_RING_DOT_MAX];
    size_t count = 0;
    for (; i < transform->terms_count && transform->terms[i].giant == giant && count < DDT_RING_DOT_MAX; i++) {
        const transform_term *term = &transform->terms[i];
        if (l->present[term->baby]) {
            diagonals[count] = diagonal_block(w, term, l->t, begin, l->diagonals + count * w->block);
            first[count] = l->rotated + PARTS * term->baby * w->block;
            second[count] = first[count] + w->block;
            count++;
        }
    }
    if (count > 0 && !*started) {
        ddt_ring_dot2(ring, l->m, sums[0], sums[1], diagonals, first, second, count);
    } else if (count > 0) {
        uint64_t *partial[PARTS] = {l->partial, l->partial + w->block};
        ddt_ring_dot2(ring, l->m, partial[0], partial[1], diagonals, first, second, count);
        ddt_ring_add(ring, l->m, sums[0], sums[0], partial[0]);
        ddt_ring_add(ring, l->m, sums[1], sums[1], partial[1]);
    }
    *started = *started || count > 0;
    return i;
}

static void sum_block(const transform_work *w, const limb_work *l, size_t begin) {
    const ddt_transform *transform = w->transform;
    size_t i = 0;
    for (size_t b = 0; b < transform->babies_count; b++) {
        if (l->present[b]) {
            rotate_block(w, l, l->entries[b], begin, l->rotated + PARTS * b * w->block);
        }
    }
    for (size_t giant = 0; giant < transform->giants_count; giant++) {
        bool started = false;
        while (i < transform->terms_count && transform->terms[i].giant == giant) {
            i = add_terms(w, l, i, begin, &started);
        }
        for (unsigned p = 0; p < PARTS && !started; p++) {
            memset(sum_limb(w, giant, p, l->t) + begin, 0, w->block * sizeof(uint64_t));
        }
    }
}

static uint64_t *thread_scratch(const transform_work *w) {
    return w->scratch + (size_t)omp_get_thread_num() * scratch_limbs(w->transform) * w->ks.stride;
}

static void sum_limbs(void *work, size_t t, const uint64_t *const *digits) {
    const transform_work *w = work;
    const ddt_transform *transform = w->transform;
    const size_t n = w->ks.params->n;
    limb_work l = {.t = t, .m = ks_target_modulus(&w->ks, t), .digits = digits, .plain = thread_scratch(w)};
    l.rotated = l.plain + PARTS * n;
    l.partial = l.rotated + PARTS * transform->babies_count * w->block;
    l.diagonals = l.partial + PARTS * w->block;
    for (size_t b = 0; b < transform->babies_count; b++) {
        const bool turns = ddt_ring_galois_rotation(w->ks.params->ring, transform->babies[b]) != 1;
        l.entries[b] = turns && transform->used[b] ? rotation_key(w, transform->babies[b]) : NULL;
        /* The input itself, times P, is zero modulo the special primes. */
        l.present[b] = transform->used[b] && (turns || t <= w->ks.level);
    }
    for (size_t begin = 0; begin < n; begin += w->block) {
        sum_block(w, &l, begin);
    }
}

/* ------------------------------------------------------------------ giant steps */

/* One step of Horner's rule. */
typedef struct horner_step {
    const transform_work *w;
    size_t giant;
    const uint32_t *permutation;
} horner_step;

/* The switched sum at target t, rotated: added to the sum below it, or in its place for the last. */
static void add_rotated(void *work, size_t t, const uint64_t *const *switched) {
    const horner_step *step = work;
    const transform_work *w = step->w;
    const ddt_ring *ring = w->ks.params->ring;
    const size_t m = ks_target_modulus(&w->ks, t);
    uint64_t *first = thread_scratch(w);
    uint64_t *rotated = first + w->ks.stride;
    ddt_ring_add(ring, m, first, switched[0], sum_limb(w, step->giant, 0, t));
    const uint64_t *parts[PARTS] = {first, switched[1]};
    for (unsigned p = 0; p < PARTS; p++) {
        if (step->giant == 0) {
            ddt_ring_permute(ring, sum_limb(w, 0, p, t), parts[p], step->permutation);
        } else {
            uint64_t *below = sum_limb(w, step->giant - 1, p, t);
            ddt_ring_permute(ring, rotated, parts[p], step->permutation);
            ddt_ring_add(ring, m, below, below, rotated);
        }
    }
}

static void rotate_sum(const transform_work *w, size_t giant, int64_t steps) {
    const ckks_key_entry *entry = rotation_key(w, steps);
    ks_work division = w->ks;
    ks_result result = {.first_part = 1, .out = {NULL, w->quotient}};
    division.acc = sum_limb(w, giant, 0, 0);
    ks_divide(&division, &result);
    ks_decompose(&w->ks, w->quotient);
    const ks_input input = {.key = &entry->key, .source = w->quotient};
    horner_step step = {w, giant, entry->permutation};
    ks_accumulate_each(&w->ks, &input, add_rotated, &step);
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
    const size_t sums = (transform->giants_count - 1) * PARTS * transform->targets;
    const size_t scratch = (size_t)ev->threads * scratch_limbs(transform);
    if (status == DDT_OK) {
        status = ckks_arena_begin(ev, ks_work_limbs(ev, level) + sums + level + 1 + scratch);
    }
    if (status != DDT_OK) {
        return status;
    }
    transform_work w = {.ev = ev, .transform = transform, .a = a, .block = ddt_ring_n(transform->block_ring)};
    ks_work_take(ev, level, &w.ks);
    w.sums = ckks_arena_take(ev, sums);
    w.quotient = ckks_arena_take(ev, (size_t)level + 1);
    w.scratch = ckks_arena_take(ev, scratch);
    ks_decompose(&w.ks, ddt_ciphertext_limb(a, n, 1, 0));
    ks_each_target(&w.ks, ddt_ciphertext_limb(a, n, 1, 0), sum_limbs, &w);
    horner(&w);
    ks_result result = {.rescale = rescale,
                        .out = {ddt_ciphertext_limb(out, n, 0, 0), ddt_ciphertext_limb(out, n, 1, 0)}};
    const double divisor = rescale ? (double)ddt_ring_modulus(ev->params->ring, level) : 1.0;
    const double scale = a->scale * transform->scale / divisor;
    ks_divide(&w.ks, &result);
    ckks_set_result(out, out_level, PARTS, scale);
    return DDT_OK;
}

ddt_status ddt_eval_transform(ddt_evaluator *ev, const ddt_transform *transform, const ddt_ciphertext *a,
                              ddt_ciphertext *out) {
    const unsigned step = ddt_ckks_step(ev->params);
    if (step == 1) {
        return evaluate(ev, transform, a, true, out);
    }
    ddt_ciphertext *between = NULL;
    ddt_status status = ckks_check_room(ev, "transform", out, transform->level - step, PARTS);
    if (status == DDT_OK) {
        status = ckks_pool_take(ev, transform->level - 1, &between);
    }
    if (status == DDT_OK) {
        status = evaluate(ev, transform, a, true, between);
    }
    if (status == DDT_OK) {
        status = ckks_divide_top(ev, between, out);
    }
    if (between != NULL) {
        ckks_pool_give(ev, between);
    }
    return status;
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
