/*
 * Public linear maps of the slots with double hoisting (Bossuat, Mouchet, Troncoso-Pastoriza, Hubaux 2021).
 *
 * step = giant + baby, baby < size. With d' the diagonal of a step rotated back by its giant part,
 *
 *   result = sum over giants g of rotation_g (sum over babies b of d'_{g,b} * rotation_b(a)).
 *
 * The baby rotations share one decomposition and stay multiplied by P over all primes, so the inner sums need no
 * division; only their second parts are divided, to be switched by the giant rotations, whose results are again summed
 * before the one final division by P and the top prime.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "keyswitch.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { BABIES_MAX = 64 };

/* A baby rotation costs inner products, a giant one a whole key switch. */
static const double baby_cost = 0.3;
static const double giant_cost = 1.0;

typedef struct ddt_linear_term {
    size_t giant; /* index of the giant step */
    size_t baby;  /* index of the baby step */
    uint64_t *limbs;
} ddt_linear_term;

struct ddt_linear {
    const ddt_ckks_params *params;
    unsigned level;
    size_t terms_count;
    size_t babies_count;
    size_t giants_count;
    ddt_linear_term *terms; /* sorted by giant, then baby */
    size_t *babies;         /* sorted rotations; the first may be 0 */
    size_t *giants;         /* sorted; the first is always 0, its sum becomes the total */
};

/* ------------------------------------------------------------------ the split into babies and giants */

static int compare_sizes(const void *a, const void *b) {
    const size_t x = *(const size_t *)a;
    const size_t y = *(const size_t *)b;
    return (x > y) - (x < y);
}

static size_t normal_step(int64_t step, size_t slots) {
    const int64_t rest = step % (int64_t)slots;
    return (size_t)(rest < 0 ? rest + (int64_t)slots : rest);
}

/* Sorts and removes repetitions; returns how many are left. */
static size_t unique(size_t *values, size_t count) {
    size_t kept = 0;
    qsort(values, count, sizeof *values, compare_sizes);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || values[kept - 1] != values[i]) {
            values[kept++] = values[i];
        }
    }
    return kept;
}

/* babies and giants of all steps for a baby size; room for count each. */
static void split_steps(const int64_t *steps, size_t count, size_t slots, size_t size, size_t *babies,
                        size_t *baby_count, size_t *giants, size_t *giant_count) {
    for (size_t i = 0; i < count; i++) {
        const size_t step = normal_step(steps[i], slots);
        babies[i] = step % size;
        giants[i] = step - step % size;
    }
    *baby_count = unique(babies, count);
    *giant_count = unique(giants, count);
}

/* The baby size with the least cost, and its split. */
static size_t choose_size(const int64_t *steps, size_t count, size_t slots, size_t *babies, size_t *baby_count,
                          size_t *giants, size_t *giant_count) {
    size_t best = 1;
    double best_cost = INFINITY;
    for (size_t size = 1; size <= slots; size *= 2) {
        split_steps(steps, count, slots, size, babies, baby_count, giants, giant_count);
        /* Rotation by 0 is free. */
        const double cost = baby_cost * (double)(*baby_count - (babies[0] == 0)) +
                            giant_cost * (double)(*giant_count - (giants[0] == 0));
        if (cost < best_cost && *baby_count <= BABIES_MAX) {
            best_cost = cost;
            best = size;
        }
    }
    split_steps(steps, count, slots, best, babies, baby_count, giants, giant_count);
    return best;
}

ddt_status ddt_linear_rotations(ddt_context *ctx, const ddt_ckks_params *params, const int64_t *steps, size_t count,
                                int64_t *rotations, size_t *babies, size_t *total) {
    size_t baby_count = 0;
    size_t giant_count = 0;
    size_t found = 0;
    size_t *work = ddt_alloc(2 * count, sizeof *work);
    if (work == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short to split %zu steps.", count);
    }
    *babies = 0;
    *total = 0;
    if (count > 0) {
        (void)choose_size(steps, count, params->n / 2, work, &baby_count, work + count, &giant_count);
    }
    for (size_t i = 0; i < baby_count + giant_count; i++) {
        const size_t step = i < baby_count ? work[i] : work[count + i - baby_count];
        if (step != 0) {
            rotations[found++] = (int64_t)step;
        }
        *babies = i < baby_count ? found : *babies;
    }
    *total = found;
    ddt_free(work);
    return DDT_OK;
}

/* ------------------------------------------------------------------ construction */

static size_t index_of(const size_t *values, size_t count, size_t value) {
    size_t i = 0;
    while (i < count && values[i] != value) {
        i++;
    }
    return i;
}

static int compare_terms(const void *a, const void *b) {
    const ddt_linear_term *x = a;
    const ddt_linear_term *y = b;
    return x->giant != y->giant ? (x->giant > y->giant) - (x->giant < y->giant)
                                : (x->baby > y->baby) - (x->baby < y->baby);
}

static bool has_repetition(const ddt_linear *linear) {
    for (size_t i = 1; i < linear->terms_count; i++) {
        if (compare_terms(&linear->terms[i - 1], &linear->terms[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Encodes one diagonal, rotated back by its giant step. */
static ddt_status encode_term(ddt_context *ctx, const ddt_linear *linear, const double complex *diagonal, size_t giant,
                              size_t period, double complex *rotated, ddt_linear_term *term) {
    const ddt_ckks_params *params = linear->params;
    const size_t targets = (size_t)linear->level + 1 + params->literal.p_count;
    term->limbs = ddt_alloc(targets * params->n, sizeof *term->limbs);
    if (term->limbs == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a diagonal of a linear map.");
    }
    for (size_t j = 0; j < period; j++) {
        rotated[(j + giant) % period] = diagonal[j];
    }
    return ckks_encode_extended(ctx, params, rotated, period, linear->level, params->scales[linear->level],
                                term->limbs);
}

static ddt_status fill_terms(ddt_context *ctx, ddt_linear *linear, const int64_t *steps,
                             const double complex *const *diagonals, size_t period, size_t size) {
    const size_t slots = linear->params->n / 2;
    double complex *rotated = ddt_alloc(period, sizeof *rotated);
    ddt_status status = rotated == NULL ? ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a linear map.") : DDT_OK;
    for (size_t i = 0; i < linear->terms_count && status == DDT_OK; i++) {
        const size_t step = normal_step(steps[i], slots);
        const size_t giant = step - step % size;
        ddt_linear_term *term = &linear->terms[i];
        term->baby = index_of(linear->babies, linear->babies_count, step % size);
        term->giant = index_of(linear->giants, linear->giants_count, giant);
        status = encode_term(ctx, linear, diagonals[i], giant, period, rotated, term);
    }
    ddt_free(rotated);
    qsort(linear->terms, linear->terms_count, sizeof *linear->terms, compare_terms);
    if (status == DDT_OK && has_repetition(linear)) {
        status = ddt_fail(ctx, DDT_ERR_ARGUMENT, "A linear map has two diagonals for one step.");
    }
    return status;
}

ddt_status ddt_linear_create(ddt_context *ctx, const ddt_ckks_params *params, unsigned level, const int64_t *steps,
                             const double complex *const *diagonals, size_t count, size_t period, ddt_linear **out) {
    *out = NULL;
    if (level < 1 || level > params->top || count == 0 || count > params->n / 2) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A linear map of %zu diagonals at level %u is not possible.", count,
                        level);
    }
    ddt_linear *linear = ddt_calloc(1, sizeof *linear);
    if (linear == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a linear map.");
    }
    linear->params = params;
    linear->level = level;
    linear->terms = ddt_calloc(count, sizeof *linear->terms);
    linear->babies = ddt_calloc(count, sizeof *linear->babies);
    linear->giants = ddt_calloc(count + 1, sizeof *linear->giants);
    ddt_status status = DDT_OK;
    if (linear->terms == NULL || linear->babies == NULL || linear->giants == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a linear map.");
    } else {
        linear->terms_count = count;
        const size_t size = choose_size(steps, count, params->n / 2, linear->babies, &linear->babies_count,
                                        linear->giants, &linear->giants_count);
        if (linear->giants[0] != 0) {
            memmove(linear->giants + 1, linear->giants, linear->giants_count * sizeof *linear->giants);
            linear->giants[0] = 0;
            linear->giants_count++;
        }
        status = fill_terms(ctx, linear, steps, diagonals, period, size);
    }
    if (status != DDT_OK) {
        ddt_linear_destroy(linear);
        return status;
    }
    *out = linear;
    return DDT_OK;
}

void ddt_linear_destroy(ddt_linear *linear) {
    if (linear == NULL) {
        return;
    }
    for (size_t i = 0; linear->terms != NULL && i < linear->terms_count; i++) {
        ddt_free(linear->terms[i].limbs);
    }
    ddt_free(linear->terms);
    ddt_free(linear->babies);
    ddt_free(linear->giants);
    ddt_free(linear);
}

/* ------------------------------------------------------------------ evaluation */

typedef struct linear_work {
    const ddt_linear *linear;
    const ddt_ciphertext *a;
    ddt_evaluator *ev;
    ks_work ks;
    uint64_t *extended;
    uint64_t *sums;     /* giants * 2 * targets limbs, multiplied by P */
    uint64_t *quotient; /* level + 1 limbs: the second part of a sum, divided by P */
    uint64_t *rotated;  /* threads * (2 * babies + 2) limbs */
} linear_work;

static size_t rotated_limbs(const ddt_linear *linear) { return PARTS * (linear->babies_count + 1); }

static uint64_t *sum_limb(const linear_work *w, size_t giant, size_t part, size_t t) {
    return w->sums + ((giant * PARTS + part) * w->ks.targets + t) * w->ks.params->n;
}

static const ckks_key_entry *rotation_key(const linear_work *w, size_t step) {
    return ckks_keys_entry(w->ev->keys, ddt_ring_galois_rotation(w->ks.params->ring, (int64_t)step));
}

/*
 * P * rotation_b(a) modulo target t for baby b: out[0], out[1]. Returns false where it is zero (the unrotated
 * ciphertext modulo a P prime). plain: two limbs.
 */
static bool rotate_limb(const linear_work *w, size_t b, size_t t, uint64_t *const out[PARTS], uint64_t *plain) {
    const ddt_ckks_params *params = w->ks.params;
    const ddt_ring *ring = params->ring;
    const size_t n = params->n;
    const size_t step = w->linear->babies[b];
    const bool is_special = t > w->ks.level;
    if (step == 0) {
        for (unsigned p = 0; p < PARTS && !is_special; p++) {
            ddt_ring_mul_scalar(ring, t, out[p], ddt_ciphertext_limb(w->a, n, p, (unsigned)t), params->p_mod_q[t]);
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
    ddt_ring_permute(ring, out[0], plain, entry->permutation);
    ddt_ring_permute(ring, out[1], plain + n, entry->permutation);
    return true;
}

/* The rotations modulo one target that the inner sums are made of. */
typedef struct rotated_set {
    uint64_t *limbs[BABIES_MAX][PARTS];
    bool present[BABIES_MAX]; /* false: zero */
    uint64_t *partial;        /* two limbs */
} rotated_set;

/* Collects up to KS_DOT_TERMS products of giant `giant` from term *i on; returns how many. */
static size_t collect_terms(const linear_work *w, size_t giant, size_t t, const rotated_set *set, size_t *i,
                            const uint64_t **plain, const uint64_t **first, const uint64_t **second) {
    size_t count = 0;
    for (; *i < w->linear->terms_count && w->linear->terms[*i].giant == giant && count < KS_DOT_TERMS; ++*i) {
        const ddt_linear_term *term = &w->linear->terms[*i];
        if (set->present[term->baby]) {
            plain[count] = term->limbs + t * w->ks.params->n;
            first[count] = set->limbs[term->baby][0];
            second[count++] = set->limbs[term->baby][1];
        }
    }
    return count;
}

/* The inner sum of one giant modulo target t; its terms begin at *i. */
static void sum_giant(const linear_work *w, size_t giant, size_t t, const rotated_set *set, size_t *i) {
    const ddt_ring *ring = w->ks.params->ring;
    const size_t n = w->ks.params->n;
    const size_t m = ks_target_modulus(&w->ks, t);
    uint64_t *sums[PARTS] = {sum_limb(w, giant, 0, t), sum_limb(w, giant, 1, t)};
    bool started = false;
    while (*i < w->linear->terms_count && w->linear->terms[*i].giant == giant) {
        const uint64_t *plain[KS_DOT_TERMS];
        const uint64_t *first[KS_DOT_TERMS];
        const uint64_t *second[KS_DOT_TERMS];
        const size_t count = collect_terms(w, giant, t, set, i, plain, first, second);
        if (count == 0) {
            continue;
        }
        if (!started) {
            ddt_ring_dot2(ring, m, sums[0], sums[1], plain, first, second, count);
        } else {
            ddt_ring_dot2(ring, m, set->partial, set->partial + n, plain, first, second, count);
            ddt_ring_add(ring, m, sums[0], sums[0], set->partial);
            ddt_ring_add(ring, m, sums[1], sums[1], set->partial + n);
        }
        started = true;
    }
    for (unsigned p = 0; p < PARTS && !started; p++) {
        memset(sums[p], 0, n * sizeof(uint64_t));
    }
}

static void inner_sums(const linear_work *w) {
    const size_t n = w->ks.params->n;
    const size_t babies = w->linear->babies_count;
#pragma omp parallel for num_threads(w->ks.threads) if (w->ks.threads > 1) schedule(dynamic, 1)
    for (size_t t = 0; t < w->ks.targets; t++) {
        uint64_t *limbs = w->rotated + (size_t)omp_get_thread_num() * rotated_limbs(w->linear) * n;
        rotated_set set;
        set.partial = limbs + PARTS * babies * n;
        for (size_t b = 0; b < babies; b++) {
            set.limbs[b][0] = limbs + PARTS * b * n;
            set.limbs[b][1] = set.limbs[b][0] + n;
            set.present[b] = rotate_limb(w, b, t, set.limbs[b], set.partial);
        }
        size_t i = 0;
        for (size_t giant = 0; giant < w->linear->giants_count; giant++) {
            sum_giant(w, giant, t, &set, &i);
        }
    }
}

/* total += rotation of (acc + first part of the giant's sum): all modulo target t. */
static void add_rotated(const linear_work *w, size_t giant, const uint32_t *permutation, size_t t, uint64_t *limb) {
    const ddt_ring *ring = w->ks.params->ring;
    const size_t n = w->ks.params->n;
    const size_t m = ks_target_modulus(&w->ks, t);
    for (unsigned p = 0; p < PARTS; p++) {
        uint64_t *acc = w->ks.acc + (p * w->ks.targets + t) * n;
        uint64_t *total = sum_limb(w, 0, p, t);
        if (p == 0) {
            ddt_ring_add(ring, m, acc, acc, sum_limb(w, giant, 0, t));
        }
        ddt_ring_permute(ring, limb, acc, permutation);
        ddt_ring_add(ring, m, total, total, limb);
    }
}

static void rotate_sum(const linear_work *w, size_t giant) {
    const ckks_key_entry *entry = rotation_key(w, w->linear->giants[giant]);
    ks_work division = w->ks;
    ks_result result = {.first_part = 1, .out = {NULL, w->quotient}};
    division.acc = sum_limb(w, giant, 0, 0);
    ks_divide(&division, &result);
    ks_decompose(&w->ks, w->quotient);
    ks_accumulate(&w->ks, &entry->key, w->quotient, NULL);
#pragma omp parallel for num_threads(w->ks.threads) if (w->ks.threads > 1) schedule(static)
    for (size_t t = 0; t < w->ks.targets; t++) {
        add_rotated(w, giant, entry->permutation, t, ks_thread_scratch(&w->ks));
    }
}

static ddt_status check_keys(ddt_evaluator *ev, const ddt_linear *linear) {
    ddt_status status = DDT_OK;
    for (size_t i = 0; i < linear->babies_count + linear->giants_count && status == DDT_OK; i++) {
        const size_t step = i < linear->babies_count ? linear->babies[i] : linear->giants[i - linear->babies_count];
        const ckks_key_entry *entry = NULL;
        if (step != 0) {
            status = ks_find_key(ev, "linear", ddt_ring_galois_rotation(ev->params->ring, (int64_t)step), linear->level,
                                 &entry);
        }
    }
    return status;
}

static ddt_status check_linear(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_linear *linear,
                               const ddt_ciphertext *out) {
    ddt_status status = ckks_check_input(ev, "linear", a);
    if (status == DDT_OK && (a->parts != 2 || a->level != linear->level || linear->params != ev->params)) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "linear: the map is for 2 parts at level %u, not %u at level %u.",
                          linear->level, a->parts, a->level);
    }
    if (status == DDT_OK) {
        status = ckks_check_room(ev, "linear", out, linear->level - 1, 2);
    }
    return status == DDT_OK ? check_keys(ev, linear) : status;
}

ddt_status ddt_eval_linear(ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_linear *linear, ddt_ciphertext *out) {
    ddt_status status = check_linear(ev, a, linear, out);
    const size_t n = ev->params->n;
    const size_t targets = (size_t)linear->level + 1 + ev->params->literal.p_count;
    const size_t stored = ddt_ckks_digits(ev->params, linear->level) * targets;
    const size_t sums = linear->giants_count * PARTS * targets;
    const size_t rotated = (size_t)ev->threads * rotated_limbs(linear);
    if (status == DDT_OK) {
        status = ckks_arena_begin(ev, ks_work_limbs(ev, linear->level) + stored + sums + linear->level + 1 + rotated);
    }
    if (status != DDT_OK) {
        return status;
    }
    linear_work w = {.linear = linear, .a = a, .ev = ev};
    ks_work_take(ev, linear->level, &w.ks);
    w.extended = ckks_arena_take(ev, stored);
    w.sums = ckks_arena_take(ev, sums);
    w.quotient = ckks_arena_take(ev, (size_t)linear->level + 1);
    w.rotated = ckks_arena_take(ev, rotated);
    ks_decompose(&w.ks, ddt_ciphertext_limb(a, n, 1, 0));
    ks_extend_all(&w.ks, ddt_ciphertext_limb(a, n, 1, 0), w.extended);
    inner_sums(&w);
    for (size_t giant = 1; giant < linear->giants_count; giant++) {
        rotate_sum(&w, giant);
    }
    ks_result result = {.rescale = true, .out = {ddt_ciphertext_limb(out, n, 0, 0), ddt_ciphertext_limb(out, n, 1, 0)}};
    w.ks.acc = w.sums;
    ks_divide(&w.ks, &result);
    const double q = (double)ddt_ring_modulus(ev->params->ring, linear->level);
    ckks_set_result(out, linear->level - 1, 2, a->scale * ev->params->scales[linear->level] / q);
    return DDT_OK;
}
