/*
 * Hybrid key switching (Han, Ki 2020), fused per output limb: each limb of the extended digits is made, used in the
 * inner product with the key and forgotten while it is in the cache. All digits of a limb share one lazy reduction.
 * Digits and the final rounding are centred. SPDX-License-Identifier: Apache-2.0
 */
#include "keyswitch.h"

#include <omp.h>
#include <string.h>

enum { SLICES = 16, GROUP_MAX = 2, DIGITS_MAX = DDT_CKKS_LEVELS_MAX + 1 };

/* Targets converted together, so that the source limbs are read once for both. One limb is read once anyway. */
static size_t group_size(const ddt_ckks_params *params) {
    return params->literal.p_count < GROUP_MAX ? params->literal.p_count : GROUP_MAX;
}

/*
 * Scratch of a thread: the converted digits of a group, whose place its roundings take over after the inner product;
 * the accumulators of a group; a partial sum for inner products in several parts.
 */
static size_t digit_limbs(const ddt_ckks_params *params, unsigned digits) {
    return group_size(params) * (digits < PARTS ? PARTS : digits);
}

static size_t scratch_limbs(const ddt_ckks_params *params, unsigned digits) {
    return digit_limbs(params, digits) + PARTS * group_size(params) + PARTS;
}

size_t ks_work_limbs(const ddt_evaluator *ev, unsigned level) {
    const unsigned digits = ddt_ckks_digits(ev->params, level);
    const size_t targets = (size_t)level + 1 + ev->params->literal.p_count;
    return (size_t)level + 1 + digits + PARTS + PARTS * targets +
           (size_t)ev->threads * scratch_limbs(ev->params, digits);
}

void ks_work_take(ddt_evaluator *ev, unsigned level, ks_work *w) {
    w->params = ev->params;
    w->threads = ev->threads;
    w->level = level;
    w->digits = ddt_ckks_digits(ev->params, level);
    w->targets = (size_t)level + 1 + ev->params->literal.p_count;
    w->group = group_size(ev->params);
    w->stride = ckks_limb_stride(ev->params->n);
    w->scratch_limbs = scratch_limbs(ev->params, w->digits);
    w->scaled = ckks_arena_take(ev, (size_t)level + 1);
    w->quotients = ckks_arena_take(ev, w->digits);
    w->part_quotients = ckks_arena_take(ev, PARTS);
    w->acc = ckks_arena_take(ev, PARTS * w->targets);
    w->scratch = ckks_arena_take(ev, (size_t)ev->threads * w->scratch_limbs);
}

uint64_t *ks_thread_scratch(const ks_work *w) {
    return w->scratch + (size_t)omp_get_thread_num() * w->scratch_limbs * w->stride;
}

static uint64_t *accumulator(const ks_work *w, unsigned part, size_t t) {
    return w->acc + (part * w->targets + t) * w->stride;
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

/* Splits coefficients [0, N) of all conversions into tasks. */
static void prepare_digits(const ks_work *w) {
    const size_t step = w->params->n / SLICES;
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(static)
    for (size_t task = 0; task < (size_t)w->digits * SLICES; task++) {
        const unsigned d = (unsigned)(task / SLICES);
        const size_t begin = task % SLICES * step;
        uint64_t *limbs[DDT_CKKS_P_MAX];
        if (digit_end(w, d) - digit_begin(w, d) == 1) {
            continue; /* convert_digit takes a single limb as it is */
        }
        for (unsigned i = digit_begin(w, d); i < digit_end(w, d); i++) {
            limbs[i - digit_begin(w, d)] = w->scaled + i * w->stride;
        }
        ddt_baseconv_prepare(digit_conversion(w, d), (const uint64_t *const *)limbs, limbs,
                             w->quotients + d * w->stride, begin, begin + step);
    }
}

/* source: level + 1 limbs in NTT domain, kept. */
void ks_decompose(const ks_work *w, const uint64_t *source) {
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t i = 0; i <= w->level; i++) {
        const size_t n = w->params->n;
        memcpy(w->scaled + i * w->stride, source + i * n, n * sizeof *source);
        ddt_ring_intt(w->params->ring, i, w->scaled + i * w->stride);
    }
    prepare_digits(w);
}

/* The residues of digit d modulo `used` targets, in the coefficient domain. */
static void convert_digit(const ks_work *w, unsigned d, const uint32_t *targets, const size_t *moduli, size_t used,
                          uint64_t *const *out) {
    const unsigned begin = digit_begin(w, d);
    const uint64_t *scaled[DDT_CKKS_P_MAX];
    if (digit_end(w, d) - begin == 1) {
        for (size_t k = 0; k < used; k++) {
            ddt_ring_change_modulus(w->params->ring, begin, moduli[k], out[k], w->scaled + begin * w->stride);
        }
        return;
    }
    for (unsigned i = begin; i < digit_end(w, d); i++) {
        scaled[i - begin] = w->scaled + i * w->stride;
    }
    ddt_baseconv_limbs(digit_conversion(w, d), targets, used, out, scaled, w->quotients + d * w->stride, 0,
                       w->params->n);
}

/* Consecutive targets. */
typedef struct target_group {
    size_t first;
    size_t count;
} target_group;

static size_t group_count(const ks_work *w, size_t targets) {
    return w->group == GROUP_MAX ? (targets + GROUP_MAX - 1) / GROUP_MAX : targets;
}

/* Group `index` of the targets from `begin` to `end`. */
static target_group make_group(const ks_work *w, size_t begin, size_t end, size_t index) {
    const size_t first = begin + index * w->group;
    return (target_group){first, end - first < w->group ? end - first : w->group};
}

static bool is_own(const ks_work *w, unsigned d, size_t t) { return t >= digit_begin(w, d) && t < digit_end(w, d); }

/* Digit d modulo the targets of a group, in the coefficient domain, except where a limb of the source itself is it. */
static void convert_group(const ks_work *w, unsigned d, target_group group, uint64_t *place) {
    uint32_t targets[GROUP_MAX];
    uint64_t *converted[GROUP_MAX];
    size_t moduli[GROUP_MAX];
    size_t used = 0;
    for (size_t g = 0; g < group.count; g++) {
        const size_t t = group.first + g;
        if (!is_own(w, d, t)) {
            targets[used] = (uint32_t)conversion_target(w, d, t);
            converted[used] = place + g * w->stride;
            moduli[used++] = ks_target_modulus(w, t);
        }
    }
    convert_digit(w, d, targets, moduli, used, converted);
}

/* All digits modulo the targets of a group in NTT domain; digit d from place + d * step limbs on. */
static void extend_group(const ks_work *w, target_group group, uint64_t *place, size_t step) {
    for (unsigned d = 0; d < w->digits; d++) {
        convert_group(w, d, group, place + d * step * w->stride);
    }
    for (size_t g = 0; g < group.count; g++) {
        const size_t t = group.first + g;
        uint64_t *converted[DIGITS_MAX];
        size_t used = 0;
        for (unsigned d = 0; d < w->digits; d++) {
            if (!is_own(w, d, t)) {
                converted[used++] = place + (d * step + g) * w->stride;
            }
        }
        ddt_ring_ntt_many(w->params->ring, ks_target_modulus(w, t), converted, used);
    }
}

/* Pointers to all digits modulo target t: limbs of the source, or place + d * step limbs. */
static void digit_pointers(const ks_work *w, const uint64_t *source, size_t t, const uint64_t *place, size_t step,
                           const uint64_t **digits) {
    for (unsigned d = 0; d < w->digits; d++) {
        digits[d] = is_own(w, d, t) ? source + t * w->params->n : place + d * step * w->stride;
    }
}

void ks_extend_all(const ks_work *w, uint64_t *extended) {
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t task = 0; task < group_count(w, w->targets); task++) {
        const target_group group = make_group(w, 0, w->targets, task);
        extend_group(w, group, extended + group.first * w->stride, w->targets);
    }
}

void ks_extended_digits(const ks_work *w, const uint64_t *source, const uint64_t *extended, size_t t,
                        const uint64_t **digits) {
    digit_pointers(w, source, t, extended + t * w->stride, w->targets, digits);
}

/* ------------------------------------------------------------------ inner product */

/* sums[0], sums[1] = the inner product of the digits modulo target t with the key. */
static void inner_product(const ks_work *w, const ddt_switch_key *key, size_t t, const uint64_t *const *digits,
                          uint64_t *const *sums, uint64_t *partial) {
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
            ddt_ring_dot2(w->params->ring, m, sums[0], sums[1], digits, b, a, count);
        } else {
            ddt_ring_dot2(w->params->ring, m, partial, partial + w->stride, digits + done, b, a, count);
            ddt_ring_add(w->params->ring, m, sums[0], sums[0], partial);
            ddt_ring_add(w->params->ring, m, sums[1], sums[1], partial + w->stride);
        }
    }
}

static uint64_t *scratch_accumulator(const ks_work *w, unsigned part, size_t g) {
    return ks_thread_scratch(w) + (digit_limbs(w->params, w->digits) + part * w->group + g) * w->stride;
}

/* The accumulators of one group; stored: in acc, otherwise in the scratch of the thread. */
static void accumulate_group(const ks_work *w, const ks_input *in, target_group group, bool stored) {
    uint64_t *place = ks_thread_scratch(w);
    uint64_t *partial = place + (digit_limbs(w->params, w->digits) + PARTS * w->group) * w->stride;
    const size_t n = w->params->n;
    if (in->extended == NULL) {
        extend_group(w, group, place, w->group);
    }
    for (size_t g = 0; g < group.count; g++) {
        const size_t t = group.first + g;
        const uint64_t *digits[DIGITS_MAX];
        uint64_t *sums[PARTS];
        for (unsigned p = 0; p < PARTS; p++) {
            sums[p] = stored ? accumulator(w, p, t) : scratch_accumulator(w, p, g);
        }
        if (in->extended == NULL) {
            digit_pointers(w, in->source, t, place + g * w->stride, w->group, digits);
        } else {
            ks_extended_digits(w, in->source, in->extended, t, digits);
        }
        inner_product(w, in->key, t, digits, sums, partial);
        for (unsigned p = 0; p < PARTS && t <= w->level && in->lift[p] != NULL; p++) {
            ddt_ring_mul_scalar_add(w->params->ring, t, sums[p], sums[p], in->lift[p] + t * n, w->params->p_mod_q[t]);
        }
    }
}

/* acc of targets begin..targets-1. */
static void accumulate_from(const ks_work *w, const ks_input *in, size_t begin) {
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t task = 0; task < group_count(w, w->targets - begin); task++) {
        accumulate_group(w, in, make_group(w, begin, w->targets, task), true);
    }
}

void ks_accumulate(const ks_work *w, const ks_input *in) { accumulate_from(w, in, 0); }

/* ------------------------------------------------------------------ division by P, or by P q_l */

static const ddt_baseconv *division_conversion(const ks_work *w, const ks_result *r) {
    return r->rescale ? w->params->down_rescale[w->level] : w->params->down;
}

static unsigned dividing_limbs(const ks_work *w, const ks_result *r, unsigned p, uint64_t **limbs) {
    const unsigned k = w->params->literal.p_count;
    for (unsigned j = 0; j < k; j++) {
        limbs[j] = accumulator(w, p, (size_t)w->level + 1 + j);
    }
    limbs[k] = accumulator(w, p, w->level);
    return r->rescale ? k + 1 : k;
}

static void prepare_division(const ks_work *w, const ks_result *r) {
    const size_t step = w->params->n / SLICES;
    const unsigned parts = PARTS - r->first_part;
    uint64_t *limbs[PARTS][DDT_CKKS_P_MAX + 1];
    unsigned count = 0;
    for (unsigned p = 0; p < PARTS; p++) {
        count = dividing_limbs(w, r, p, limbs[p]);
    }
    /* Both parts in one task, unless that leaves threads without one. */
    const unsigned together = count % (unsigned)w->threads == 0 ? parts : 1;
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (unsigned task = 0; task < parts * count / together; task++) {
        const unsigned j = task * together / parts;
        const size_t m = j < w->params->literal.p_count ? (size_t)w->params->top + 1 + j : w->level;
        const unsigned first = r->first_part + task * together % parts;
        uint64_t *pair[PARTS] = {limbs[first][j], limbs[PARTS - 1][j]};
        ddt_ring_intt_many(w->params->ring, m, pair, together);
    }
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(static)
    for (size_t task = 0; task < (size_t)parts * SLICES; task++) {
        const size_t p = r->first_part + task / SLICES;
        const size_t begin = task % SLICES * step;
        ddt_baseconv_prepare(division_conversion(w, r), (const uint64_t *const *)limbs[p], limbs[p],
                             w->part_quotients + p * w->stride, begin, begin + step);
    }
}

/* out limb i of part p = (acc - rest) / (P or P q_l) + add, permuted. rest: NTT domain, overwritten. */
static void finish_limb(const ks_work *w, const ks_result *r, unsigned p, size_t i, const uint64_t *acc,
                        uint64_t *rest) {
    const ddt_ring *ring = w->params->ring;
    const size_t n = w->params->n;
    uint64_t factor = w->params->p_inverse[i];
    if (r->rescale) {
        factor =
            ddt_ring_scalar_mul(ring, i, factor, w->params->q_inverse[w->level * ((size_t)w->params->top + 1) + i]);
    }
    uint64_t *out = r->out[p] + i * n;
    uint64_t *quotient = r->permutation == NULL ? out : rest;
    if (r->add[p] != NULL) {
        ddt_ring_sub_mul_scalar_add(ring, i, quotient, acc, rest, factor, r->add[p] + i * n);
    } else {
        ddt_ring_sub_mul_scalar(ring, i, quotient, acc, rest, factor);
    }
    if (r->permutation != NULL) {
        ddt_ring_permute(ring, out, rest, r->permutation);
    }
}

/* The results of one group from its accumulators, which are where accumulate_group leaves them. */
static void finish_group(const ks_work *w, const ks_result *r, target_group group, bool stored) {
    uint64_t *rest[GROUP_MAX][PARTS];
    uint32_t targets[GROUP_MAX];
    for (unsigned p = r->first_part; p < PARTS; p++) {
        uint64_t *limbs[DDT_CKKS_P_MAX + 1];
        uint64_t *converted[GROUP_MAX];
        (void)dividing_limbs(w, r, p, limbs);
        for (size_t g = 0; g < group.count; g++) {
            converted[g] = ks_thread_scratch(w) + (g * PARTS + p) * w->stride;
            rest[g][p] = converted[g];
            targets[g] = (uint32_t)(group.first + g);
        }
        ddt_baseconv_limbs(division_conversion(w, r), targets, group.count, converted, (const uint64_t *const *)limbs,
                           w->part_quotients + p * w->stride, 0, w->params->n);
    }
    for (size_t g = 0; g < group.count; g++) {
        const size_t t = group.first + g;
        ddt_ring_ntt_many(w->params->ring, t, rest[g] + r->first_part, PARTS - r->first_part);
        for (unsigned p = r->first_part; p < PARTS; p++) {
            finish_limb(w, r, p, t, stored ? accumulator(w, p, t) : scratch_accumulator(w, p, g), rest[g][p]);
        }
    }
}

/* The limbs of a result. */
static size_t result_limbs(const ks_work *w, const ks_result *r) {
    return r->rescale ? w->level : (size_t)w->level + 1;
}

void ks_divide(const ks_work *w, const ks_result *r) {
    const size_t limbs = result_limbs(w, r);
    prepare_division(w, r);
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t task = 0; task < group_count(w, limbs); task++) {
        finish_group(w, r, make_group(w, 0, limbs, task), true);
    }
}

/* ------------------------------------------------------------------ both at once */

/*
 * The first target whose accumulators are stored: those of the result's divisors must be, before any target can be
 * finished; as many more as give every thread as many groups. All of them where the sources of both conversions, which
 * every group reads, are more than the caches hold beside the key that streams through.
 */
static size_t first_stored(const ks_work *w, size_t limbs) {
    const size_t cached_bytes = (size_t)8 << 20;
    const size_t sources = w->level + 1 + PARTS * (w->targets - limbs);
    if (sources * w->params->n * sizeof(uint64_t) > cached_bytes) {
        return 0;
    }
    const size_t stored = w->targets - limbs;
    const size_t unit = (size_t)w->threads * w->group;
    const size_t even = w->threads == 1 ? stored : (stored + unit - 1) / unit * unit;
    return even < w->targets ? w->targets - even : 0;
}

void ks_switch(const ks_work *w, const ks_input *in, const ks_result *r) {
    const size_t limbs = result_limbs(w, r);
    const size_t stored = first_stored(w, limbs);
    const size_t fused = group_count(w, stored);
    accumulate_from(w, in, stored);
    prepare_division(w, r);
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t task = 0; task < fused + group_count(w, limbs - stored); task++) {
        const bool is_stored = task >= fused;
        const target_group group =
            is_stored ? make_group(w, stored, limbs, task - fused) : make_group(w, 0, stored, task);
        if (!is_stored) {
            accumulate_group(w, in, group, false);
        }
        finish_group(w, r, group, is_stored);
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
