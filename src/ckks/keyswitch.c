/*
 * Hybrid key switching (Han, Ki 2020), fused per output limb: each limb of the extended digits is made, used in the
 * inner product with the key and forgotten while it is in the cache. All digits of a limb share one lazy reduction.
 * Digits and the final rounding are centred. SPDX-License-Identifier: Apache-2.0
 */
#include "keyswitch.h"

#include <omp.h>
#include <string.h>

enum { SLICES = 16, GROUP_MAX = 2 };

static size_t group_size(const ddt_ckks_params *params) {
    return params->literal.p_count < GROUP_MAX ? params->literal.p_count : GROUP_MAX;
}

/* scratch per thread: the converted digits of a group, and a partial sum where there are more digits than one inner
 * product takes. */
static size_t scratch_limbs(const ddt_ckks_params *params, unsigned digits) {
    return group_size(params) * digits + (digits > KS_DOT_TERMS ? PARTS : 0);
}

static size_t quotient_limbs(unsigned digits) { return digits < PARTS ? PARTS : digits; }

size_t ks_work_limbs(const ddt_evaluator *ev, unsigned level) {
    const unsigned digits = ddt_ckks_digits(ev->params, level);
    const size_t targets = (size_t)level + 1 + ev->params->literal.p_count;
    return (size_t)level + 1 + quotient_limbs(digits) + PARTS * targets +
           (size_t)ev->threads * scratch_limbs(ev->params, digits);
}

void ks_work_take(ddt_evaluator *ev, unsigned level, ks_work *w) {
    w->params = ev->params;
    w->threads = ev->threads;
    w->level = level;
    w->digits = ddt_ckks_digits(ev->params, level);
    w->targets = (size_t)level + 1 + ev->params->literal.p_count;
    w->group = group_size(ev->params);
    w->scratch_limbs = scratch_limbs(ev->params, w->digits);
    w->scaled = ckks_arena_take(ev, (size_t)level + 1);
    w->quotients = ckks_arena_take(ev, quotient_limbs(w->digits));
    w->acc = ckks_arena_take(ev, PARTS * w->targets);
    w->scratch = ckks_arena_take(ev, (size_t)ev->threads * w->scratch_limbs);
}

uint64_t *ks_thread_scratch(const ks_work *w) {
    return w->scratch + (size_t)omp_get_thread_num() * w->scratch_limbs * w->params->n;
}

size_t ks_target_modulus(const ks_work *w, size_t t) { return t <= w->level ? t : t - w->level + w->params->top; }

/* ------------------------------------------------------------------ decomposition */

static unsigned digit_begin(const ks_work *w, unsigned d) { return d * w->params->literal.p_count; }

static unsigned digit_end(const ks_work *w, unsigned d) {
    const unsigned end = (d + 1) * w->params->literal.p_count;
    return end > w->level + 1 ? w->level + 1 : end;
}

static bool digit_is_whole(const ks_work *w, unsigned d) {
    return (d + 1) * w->params->literal.p_count <= w->level + 1;
}

static const ddt_baseconv *digit_conversion(const ks_work *w, unsigned d) {
    return digit_is_whole(w, d) ? w->params->whole[d] : w->params->part[w->level];
}

/* The index of target t among the targets of digit d's conversion. */
static size_t conversion_target(const ks_work *w, unsigned d, size_t t) {
    const size_t begin = digit_begin(w, d);
    if (t < begin) {
        return t;
    }
    if (t <= w->level) {
        return t - w->params->literal.p_count;
    }
    const size_t special = t - w->level - 1;
    return special + (digit_is_whole(w, d) ? (size_t)w->params->top + 1 - w->params->literal.p_count : begin);
}

/* Splits coefficients [0, N) of `groups` conversions into tasks. */
static void prepare_digits(const ks_work *w) {
    const size_t n = w->params->n;
    const size_t step = n / SLICES;
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(static)
    for (size_t task = 0; task < (size_t)w->digits * SLICES; task++) {
        const unsigned d = (unsigned)(task / SLICES);
        const size_t begin = task % SLICES * step;
        uint64_t *limbs[DDT_CKKS_P_MAX];
        if (digit_end(w, d) - digit_begin(w, d) == 1) {
            continue; /* convert_digit takes a single limb as it is */
        }
        for (unsigned i = digit_begin(w, d); i < digit_end(w, d); i++) {
            limbs[i - digit_begin(w, d)] = w->scaled + i * n;
        }
        ddt_baseconv_prepare(digit_conversion(w, d), (const uint64_t *const *)limbs, limbs, w->quotients + d * n, begin,
                             begin + step);
    }
}

/* source: level + 1 limbs in NTT domain, kept. */
void ks_decompose(const ks_work *w, const uint64_t *source) {
    const size_t n = w->params->n;
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t i = 0; i <= w->level; i++) {
        memcpy(w->scaled + i * n, source + i * n, n * sizeof *source);
        ddt_ring_intt(w->params->ring, i, w->scaled + i * n);
    }
    prepare_digits(w);
}

/* The residues of digit d modulo `used` targets, in the coefficient domain. */
static void convert_digit(const ks_work *w, unsigned d, const uint32_t *targets, const size_t *moduli, size_t used,
                          uint64_t *const *out) {
    const size_t n = w->params->n;
    const unsigned begin = digit_begin(w, d);
    const uint64_t *scaled[DDT_CKKS_P_MAX];
    if (digit_end(w, d) - begin == 1) {
        for (size_t k = 0; k < used; k++) {
            ddt_ring_change_modulus(w->params->ring, begin, moduli[k], out[k], w->scaled + begin * n);
        }
        return;
    }
    for (unsigned i = begin; i < digit_end(w, d); i++) {
        scaled[i - begin] = w->scaled + i * n;
    }
    ddt_baseconv_limbs(digit_conversion(w, d), targets, used, out, scaled, w->quotients + d * n, 0, n);
}

/*
 * Digit d modulo targets first..first+count-1 in NTT domain: limbs[g] becomes a limb of the source itself, or scratch +
 * g limbs with the converted residues.
 */
static void extend_digit(const ks_work *w, const uint64_t *source, unsigned d, size_t first, size_t count,
                         uint64_t *scratch, const uint64_t **limbs) {
    const size_t n = w->params->n;
    uint32_t targets[GROUP_MAX];
    uint64_t *converted[GROUP_MAX];
    size_t moduli[GROUP_MAX];
    size_t used = 0;
    for (size_t g = 0; g < count; g++) {
        const size_t t = first + g;
        if (t >= digit_begin(w, d) && t < digit_end(w, d)) {
            limbs[g] = source + t * n;
            continue;
        }
        limbs[g] = scratch + g * n;
        targets[used] = (uint32_t)conversion_target(w, d, t);
        converted[used] = scratch + g * n;
        moduli[used++] = ks_target_modulus(w, t);
    }
    convert_digit(w, d, targets, moduli, used, converted);
    for (size_t k = 0; k < used; k++) {
        ddt_ring_ntt(w->params->ring, moduli[k], converted[k]);
    }
}

/* ------------------------------------------------------------------ inner product */

void ks_inner_product(const ks_work *w, const ddt_switch_key *key, size_t t, const uint64_t *const *digits,
                      uint64_t *out0, uint64_t *out1, uint64_t *partial) {
    const size_t n = w->params->n;
    const size_t stride = ((size_t)key->top_level + 1 + w->params->literal.p_count) * n;
    const size_t limb = t <= w->level ? t : t - w->level + key->top_level;
    const size_t m = ks_target_modulus(w, t);
    for (unsigned done = 0; done < w->digits; done += KS_DOT_TERMS) {
        const uint64_t *b[KS_DOT_TERMS];
        const uint64_t *a[KS_DOT_TERMS];
        const unsigned count = w->digits - done < KS_DOT_TERMS ? w->digits - done : KS_DOT_TERMS;
        for (unsigned d = 0; d < count; d++) {
            b[d] = key->b + (done + d) * stride + limb * n;
            a[d] = key->a + (done + d) * stride + limb * n;
        }
        if (done == 0) {
            ddt_ring_dot2(w->params->ring, m, out0, out1, digits, b, a, count);
        } else {
            ddt_ring_dot2(w->params->ring, m, partial, partial + n, digits + done, b, a, count);
            ddt_ring_add(w->params->ring, m, out0, out0, partial);
            ddt_ring_add(w->params->ring, m, out1, out1, partial + n);
        }
    }
}

/* lift[part] (may be NULL): limbs added to the accumulators times P, so that they share the division that follows. */
static void lift_part(const ks_work *w, size_t t, const uint64_t *const *lift) {
    const size_t n = w->params->n;
    for (unsigned p = 0; p < PARTS && t <= w->level && lift != NULL; p++) {
        uint64_t *acc = w->acc + (p * w->targets + t) * n;
        ddt_ring_mul_scalar_add(w->params->ring, t, acc, acc, lift[p] + t * n, w->params->p_mod_q[t]);
    }
}

static size_t group_count(const ks_work *w, size_t limbs) { return (limbs + w->group - 1) / w->group; }

/* The number of limbs in the group that begins at `first`. */
static size_t group_length(const ks_work *w, size_t first, size_t limbs) {
    return limbs - first < w->group ? limbs - first : w->group;
}

static void accumulate_group(const ks_work *w, const ddt_switch_key *key, const uint64_t *source,
                             const uint64_t *const *lift, size_t first) {
    const size_t n = w->params->n;
    const size_t count = group_length(w, first, w->targets);
    uint64_t *scratch = ks_thread_scratch(w);
    const uint64_t *limbs[DDT_CKKS_LEVELS_MAX + 1][GROUP_MAX];
    for (unsigned d = 0; d < w->digits; d++) {
        extend_digit(w, source, d, first, count, scratch + d * w->group * n, limbs[d]);
    }
    for (size_t g = 0; g < count; g++) {
        const uint64_t *digits[DDT_CKKS_LEVELS_MAX + 1];
        for (unsigned d = 0; d < w->digits; d++) {
            digits[d] = limbs[d][g];
        }
        const size_t t = first + g;
        ks_inner_product(w, key, t, digits, w->acc + t * n, w->acc + (w->targets + t) * n,
                         scratch + w->digits * w->group * n);
        lift_part(w, first + g, lift);
    }
}

void ks_accumulate(const ks_work *w, const ddt_switch_key *key, const uint64_t *source, const uint64_t *const *lift) {
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t task = 0; task < group_count(w, w->targets); task++) {
        accumulate_group(w, key, source, lift, task * w->group);
    }
}

/* ------------------------------------------------------------------ division by P, or by P q_l */

static unsigned dividing_limbs(const ks_work *w, const ks_result *r, unsigned p, uint64_t **limbs) {
    const size_t n = w->params->n;
    const unsigned k = w->params->literal.p_count;
    uint64_t *acc = w->acc + p * w->targets * n;
    for (unsigned j = 0; j < k; j++) {
        limbs[j] = acc + ((size_t)w->level + 1 + j) * n;
    }
    limbs[k] = acc + w->level * n;
    return r->rescale ? k + 1 : k;
}

static void prepare_division(const ks_work *w, const ks_result *r, const ddt_baseconv *conversion) {
    const size_t n = w->params->n;
    const size_t step = n / SLICES;
    const unsigned parts = PARTS - r->first_part;
    uint64_t *limbs[PARTS][DDT_CKKS_P_MAX + 1];
    unsigned count = 0;
    for (unsigned p = 0; p < PARTS; p++) {
        count = dividing_limbs(w, r, p, limbs[p]);
    }
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (unsigned task = 0; task < parts * count; task++) {
        const unsigned j = task / parts;
        const size_t m = j < w->params->literal.p_count ? (size_t)w->params->top + 1 + j : w->level;
        ddt_ring_intt(w->params->ring, m, limbs[r->first_part + task % parts][j]);
    }
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(static)
    for (size_t task = 0; task < (size_t)parts * SLICES; task++) {
        const size_t p = r->first_part + task / SLICES;
        const size_t begin = task % SLICES * step;
        ddt_baseconv_prepare(conversion, (const uint64_t *const *)limbs[p], limbs[p], w->quotients + p * n, begin,
                             begin + step);
    }
}

/* out limb i of part p = (acc - rest) / (P or P q_l) + add, permuted. rest: NTT domain, overwritten. */
static void finish_limb(const ks_work *w, const ks_result *r, unsigned p, size_t i, uint64_t *rest) {
    const ddt_ring *ring = w->params->ring;
    const size_t n = w->params->n;
    uint64_t factor = w->params->p_inverse[i];
    if (r->rescale) {
        factor =
            ddt_ring_scalar_mul(ring, i, factor, w->params->q_inverse[w->level * ((size_t)w->params->top + 1) + i]);
    }
    const uint64_t *acc = w->acc + (p * w->targets + i) * n;
    uint64_t *out = r->out[p] + i * n;
    uint64_t *quotient = r->add[p] == NULL && r->permutation == NULL ? out : rest;
    ddt_ring_sub_mul_scalar(ring, i, quotient, acc, rest, factor);
    if (r->add[p] != NULL) {
        ddt_ring_add(ring, i, r->permutation == NULL ? out : rest, rest, r->add[p] + i * n);
    }
    if (r->permutation != NULL) {
        ddt_ring_permute(ring, out, rest, r->permutation);
    }
}

static void finish_group(const ks_work *w, const ks_result *r, const ddt_baseconv *conversion, unsigned p, size_t first,
                         size_t count) {
    const size_t n = w->params->n;
    uint64_t *limbs[DDT_CKKS_P_MAX + 1];
    uint64_t *rest[GROUP_MAX];
    uint32_t targets[GROUP_MAX];
    (void)dividing_limbs(w, r, p, limbs);
    for (size_t g = 0; g < count; g++) {
        rest[g] = ks_thread_scratch(w) + g * n;
        targets[g] = (uint32_t)(first + g);
    }
    ddt_baseconv_limbs(conversion, targets, count, rest, (const uint64_t *const *)limbs, w->quotients + p * n, 0, n);
    for (size_t g = 0; g < count; g++) {
        ddt_ring_ntt(w->params->ring, first + g, rest[g]);
        finish_limb(w, r, p, first + g, rest[g]);
    }
}

void ks_divide(const ks_work *w, const ks_result *r) {
    const ddt_baseconv *conversion = r->rescale ? w->params->down_rescale[w->level] : w->params->down;
    const size_t limbs = r->rescale ? w->level : (size_t)w->level + 1;
    const size_t groups = group_count(w, limbs);
    prepare_division(w, r, conversion);
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t task = r->first_part * groups; task < PARTS * groups; task++) {
        const size_t first = task % groups * w->group;
        finish_group(w, r, conversion, (unsigned)(task / groups), first, group_length(w, first, limbs));
    }
}

/* All extended digits: extended[(d * targets + t) * N]. Limbs of the source itself are not copied. */
void ks_extend_all(const ks_work *w, const uint64_t *source, uint64_t *extended) {
    const size_t n = w->params->n;
    const size_t groups = group_count(w, w->targets);
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t task = 0; task < w->digits * groups; task++) {
        const unsigned d = (unsigned)(task / groups);
        const size_t first = task % groups * w->group;
        const uint64_t *limbs[GROUP_MAX];
        extend_digit(w, source, d, first, group_length(w, first, w->targets), extended + (d * w->targets + first) * n,
                     limbs);
    }
}

void ks_extended_digits(const ks_work *w, const uint64_t *source, const uint64_t *extended, size_t t,
                        const uint64_t **digits) {
    const size_t n = w->params->n;
    for (unsigned d = 0; d < w->digits; d++) {
        const bool own = t >= digit_begin(w, d) && t < digit_end(w, d);
        digits[d] = own ? source + t * n : extended + (d * w->targets + t) * n;
    }
}

void ks_accumulate_extended(const ks_work *w, const ddt_switch_key *key, const uint64_t *source,
                            const uint64_t *extended) {
    const size_t n = w->params->n;
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t t = 0; t < w->targets; t++) {
        const uint64_t *digits[DDT_CKKS_LEVELS_MAX + 1];
        ks_extended_digits(w, source, extended, t, digits);
        ks_inner_product(w, key, t, digits, w->acc + t * n, w->acc + (w->targets + t) * n,
                         ks_thread_scratch(w) + w->digits * w->group * n);
    }
}

ddt_status ks_find_key(ddt_evaluator *ev, const char *operation, uint64_t galois, unsigned level,
                       const ckks_key_entry **out) {
    *out = ckks_keys_entry(ev->keys, galois);
    if (*out == NULL) {
        return ddt_fail(ev->ctx, DDT_ERR_KEY_MISSING, "%s: the key for Galois element %llu is missing.", operation,
                        (unsigned long long)galois);
    }
    if ((*out)->key.top_level < level) {
        return ddt_fail(ev->ctx, DDT_ERR_KEY_MISSING,
                        "%s: the key for Galois element %llu serves levels up to %u, not %u.", operation,
                        (unsigned long long)galois, (*out)->key.top_level, level);
    }
    return DDT_OK;
}
