/*
 * Hybrid key switching (Han, Ki 2020), fused per output limb: each limb of the extended digits is made, used in the
 * inner product with the key and forgotten while it is in the cache. All digits of a limb share one lazy reduction.
 * Digits and the final rounding are centred. SPDX-License-Identifier: Apache-2.0
 */
#include "keyswitch.h"

#include <omp.h>
#include <string.h>

enum { SLICES = 16, GROUP_MAX = 4, GROUP_SMALL = 2, LOG_N_LARGE = 16, DIGITS_MAX = DDT_CKKS_LEVELS_MAX + 1 };

/*
 * Targets converted together, so that the source limbs are read once for all of them. One limb is read once anyway.
 * Large limbs do not fit the nearer caches, not even two; reading their sources less often is what counts then.
 */
static size_t group_size(const ddt_ckks_params *params) {
    const size_t most = params->literal.log_n >= LOG_N_LARGE ? GROUP_MAX : GROUP_SMALL;
    return params->literal.p_count < most ? params->literal.p_count : most;
}

/*
 * Scratch of a thread: the converted digits of a group; its accumulators, or what is taken away from them; a partial
 * sum for inner products in several pieces; room for their end.
 */
static size_t digit_limbs(const ddt_ckks_params *params, unsigned digits) {
    return group_size(params) * (digits < PARTS ? PARTS : digits);
}

static size_t scratch_limbs(const ddt_ckks_params *params, unsigned digits) {
    return digit_limbs(params, digits) + PARTS * group_size(params) + PARTS + DDT_RING_DOT_ROOM;
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
    w->first = 0;
    w->scratch = ckks_arena_take(ev, (size_t)ev->threads * w->scratch_limbs);
}

uint64_t *ks_thread_scratch(const ks_work *w) {
    return w->scratch + (size_t)omp_get_thread_num() * w->scratch_limbs * w->stride;
}

static uint64_t *accumulator(const ks_work *w, unsigned part, size_t t) {
    return w->acc + (part * (w->targets - w->first) + t - w->first) * w->stride;
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
        ddt_baseconv_quotients(digit_conversion(w, d), limbs, w->quotients + d * w->stride, begin, begin + step);
    }
}

/* Limb i of a digit to the coefficient domain, for its conversion where there is one. */
static void invert_digit(const ks_work *w, size_t i) {
    const unsigned d = (unsigned)i / w->params->literal.p_count;
    uint64_t *limb = w->scaled + i * w->stride;
    if (digit_end(w, d) - digit_begin(w, d) == 1) {
        ddt_ring_intt(w->params->ring, i, limb);
    } else {
        ddt_baseconv_intt(digit_conversion(w, d), i - digit_begin(w, d), &limb, 1);
    }
}

/* source: level + 1 limbs in NTT domain, kept. */
void ks_decompose(const ks_work *w, const uint64_t *source) {
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t i = 0; i <= w->level; i++) {
        const size_t n = w->params->n;
        memcpy(w->scaled + i * w->stride, source + i * n, n * sizeof *source);
        invert_digit(w, i);
    }
    prepare_digits(w);
}

void ks_decompose_product(const ks_work *w, const uint64_t *a, const uint64_t *b, uint64_t *source) {
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t i = 0; i <= w->level; i++) {
        const size_t n = w->params->n;
        uint64_t *scaled = w->scaled + i * w->stride;
        ddt_ring_mul(w->params->ring, i, scaled, a + i * n, b + i * n);
        memcpy(source + i * n, scaled, n * sizeof *source);
        invert_digit(w, i);
    }
    prepare_digits(w);
}

/* The residues of digit d modulo `used` targets, their transforms begun. */
static void convert_digit(const ks_work *w, unsigned d, const uint32_t *targets, const size_t *moduli, size_t used,
                          uint64_t *const *out) {
    const unsigned begin = digit_begin(w, d);
    const uint64_t *scaled[DDT_CKKS_P_MAX];
    if (digit_end(w, d) - begin == 1) {
        for (size_t k = 0; k < used; k++) {
            ddt_ring_change_begin(w->params->ring, begin, moduli[k], out[k], w->scaled + begin * w->stride);
        }
        return;
    }
    for (unsigned i = begin; i < digit_end(w, d); i++) {
        scaled[i - begin] = w->scaled + i * w->stride;
    }
    ddt_baseconv_begin(digit_conversion(w, d), targets, used, out, scaled, w->quotients + d * w->stride);
}

/* Consecutive targets. */
typedef struct target_group {
    size_t first;
    size_t count;
} target_group;

/* The groups of so many targets: as many for every thread. */
static size_t group_count(const ks_work *w, size_t targets) {
    const size_t threads = (size_t)w->threads;
    const size_t fewest = w->group > 1 ? (targets + w->group - 1) / w->group : targets;
    const size_t even = threads > 1 ? (fewest + threads - 1) / threads * threads : fewest;
    return even < targets ? even : targets;
}

/* Group `index` of the targets from `begin` to `end`: of full size for one thread, of the same size for several. */
static target_group make_group(const ks_work *w, size_t begin, size_t end, size_t index) {
    const size_t targets = end - begin;
    const size_t groups = group_count(w, targets);
    size_t from = index * w->group;
    size_t to = from + w->group < targets ? from + w->group : targets;
    if (w->threads > 1) {
        from = targets * index / groups;
        to = targets * (index + 1) / groups;
    }
    return (target_group){begin + from, to - from};
}

static bool is_own(const ks_work *w, unsigned d, size_t t) { return t >= digit_begin(w, d) && t < digit_end(w, d); }

/* Digit d modulo the targets of a group, its transforms begun, except where a limb of the source itself is it. */
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

/* All digits modulo the targets of a group, their transforms begun; digit d from place + d * step limbs on. */
static void convert_digits(const ks_work *w, target_group group, uint64_t *place, size_t step) {
    for (unsigned d = 0; d < w->digits; d++) {
        convert_group(w, d, group, place + d * step * w->stride);
    }
}

/* The digits modulo target t that come from conversions, at place + d * step limbs. Returns their number. */
static size_t converted_digits(const ks_work *w, size_t t, uint64_t *place, size_t step, uint64_t **converted) {
    size_t used = 0;
    for (unsigned d = 0; d < w->digits; d++) {
        if (!is_own(w, d, t)) {
            converted[used++] = place + d * step * w->stride;
        }
    }
    return used;
}

/* Pointers to all digits modulo target t: limbs of the source, or place + d * step limbs. */
static void digit_pointers(const ks_work *w, const uint64_t *source, size_t t, const uint64_t *place, size_t step,
                           const uint64_t **digits) {
    for (unsigned d = 0; d < w->digits; d++) {
        digits[d] = is_own(w, d, t) ? source + t * w->params->n : place + d * step * w->stride;
    }
}

void ks_each_target(const ks_work *w, const uint64_t *source, ks_visit visit, void *work) {
    const size_t groups = group_count(w, w->targets);
    /* The special primes first, as in ks_rotate. */
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t task = 0; task < groups; task++) {
        const target_group group = make_group(w, 0, w->targets, groups - 1 - task);
        convert_digits(w, group, ks_thread_scratch(w), w->group);
        for (size_t g = 0; g < group.count; g++) {
            const size_t t = group.first + g;
            uint64_t *place = ks_thread_scratch(w) + g * w->stride;
            uint64_t *converted[DIGITS_MAX];
            const uint64_t *digits[DIGITS_MAX];
            const size_t used = converted_digits(w, t, place, w->group, converted);
            ddt_ring_ntt_finish(w->params->ring, ks_target_modulus(w, t), converted, used, NULL);
            digit_pointers(w, source, t, place, w->group, digits);
            visit(work, t, digits);
        }
    }
}

/* ------------------------------------------------------------------ inner product */

enum { AHEAD_ENDS = 12, AHEAD_MAX = 32, CACHED_BYTES = 8 << 20 };

/*
 * What is accumulated for one target and one key: digits times key, and how that ends: with lifted parts and, where the
 * result is made at once, its division.
 */
typedef struct accumulation {
    const uint64_t *b[DIGITS_MAX];
    const uint64_t *a[DIGITS_MAX];
    ddt_ring_dot_end end;
    uint64_t *sums[PARTS];
} accumulation;

/* All accumulations of one target: its digits, and what they are multiplied with. */
typedef struct target_work {
    const ks_work *w;
    size_t t;
    size_t m;
    const uint64_t *digit[DIGITS_MAX];
    size_t keys;
    accumulation each[KS_KEYS_MAX];
    uint64_t *partial; /* two limbs, and then the room of an inner product's end */
} target_work;

static void move_pair(const uint64_t **pair, size_t from) {
    for (unsigned p = 0; p < PARTS; p++) {
        pair[p] = pair[p] == NULL ? NULL : pair[p] + from;
    }
}

/* The end of an inner product at the positions from `from` on. */
static ddt_ring_dot_end end_from(const accumulation *each, size_t from) {
    ddt_ring_dot_end end = each->end;
    move_pair(end.addend, from);
    move_pair(end.left, from);
    move_pair(end.right, from);
    move_pair(end.rest, from);
    move_pair(end.then, from);
    return end;
}

/* The sums of one key at the positions from `from` on that are a limb of `ring`; more than KS_DOT_TERMS by pieces. */
static void accumulate_key(const target_work *s, const accumulation *each, const ddt_ring *ring, size_t from) {
    ddt_ring_dot_end end = end_from(each, from);
    const uint64_t *digit[DIGITS_MAX];
    const uint64_t *b[DIGITS_MAX];
    const uint64_t *a[DIGITS_MAX];
    for (unsigned d = 0; d < s->w->digits; d++) {
        digit[d] = s->digit[d] + from;
        b[d] = each->b[d] + from;
        a[d] = each->a[d] + from;
    }
    unsigned done = 0;
    for (; s->w->digits - done > KS_DOT_TERMS; done += KS_DOT_TERMS) {
        const ddt_ring_dot_end piece = {.sum = {end.sum[0], end.sum[1]}, .room = end.room};
        end.passing = false; /* several pieces leave the sums in the caches as it is */
        end.sum[0] = s->partial;
        end.sum[1] = s->partial + s->w->stride;
        ddt_ring_dot2_end(ring, s->m, s->partial, s->partial + s->w->stride, digit + done, b + done, a + done,
                          KS_DOT_TERMS, &piece);
    }
    ddt_ring_dot2_end(ring, s->m, each->sums[0] + from, each->sums[1] + from, digit + done, b + done, a + done,
                      s->w->digits - done, &end);
}

/*
 * The same for a whole limb, one of many that stream from memory: the sums of a piece are added afterwards, because two
 * more streams within it are too many (6 % of 8 hoisted rotations at 2^14).
 */
static void accumulate_limb(const target_work *s, const accumulation *each, const ddt_ring *ring) {
    const unsigned digits = s->w->digits;
    ddt_ring_dot_end end = each->end;
    end.passing = end.passing && digits <= KS_DOT_TERMS;
    ddt_ring_dot2_end(ring, s->m, each->sums[0], each->sums[1], s->digit, each->b, each->a,
                      digits < KS_DOT_TERMS ? digits : KS_DOT_TERMS, &end);
    for (unsigned done = KS_DOT_TERMS; done < digits; done += KS_DOT_TERMS) {
        const unsigned left = digits - done;
        uint64_t *const partial[PARTS] = {s->partial, s->partial + s->w->stride};
        ddt_ring_dot2(ring, s->m, partial[0], partial[1], s->digit + done, each->b + done, each->a + done,
                      left < KS_DOT_TERMS ? left : KS_DOT_TERMS);
        for (unsigned p = 0; p < PARTS; p++) {
            ddt_ring_add(ring, s->m, each->sums[p], each->sums[p], partial[p]);
        }
    }
}

static void accumulate_part(void *work, size_t from) {
    const target_work *s = work;
    accumulate_key(s, &s->each[0], ddt_ring_part(s->w->params->ring), from);
}

/* Everything but the accumulations and the digits. */
static void open_target(const ks_work *w, size_t t, size_t keys, target_work *s) {
    s->w = w;
    s->t = t;
    s->m = ks_target_modulus(w, t);
    s->keys = keys;
    s->partial = ks_thread_scratch(w) + (digit_limbs(w->params, w->digits) + PARTS * w->group) * w->stride;
}

/* The limbs of a key for target t. */
static void open_accumulation(const target_work *s, const ddt_switch_key *key, accumulation *each) {
    const ks_work *w = s->w;
    const size_t n = w->params->n;
    const size_t stride = ((size_t)key->top_level + 1 + w->params->literal.p_count) * n;
    const size_t limb = (s->t <= w->level ? s->t : s->t - w->level + key->top_level) * n;
    for (unsigned d = 0; d < w->digits; d++) {
        each->b[d] = key->b + d * stride + limb;
        each->a[d] = key->a + d * stride + limb;
    }
    each->end = (ddt_ring_dot_end){.room = s->partial + PARTS * w->stride};
}

/* Limb t of both parts, or of neither. */
static void take_limbs(const uint64_t **limbs, const uint64_t *const *parts, size_t t, size_t n) {
    for (unsigned p = 0; p < PARTS; p++) {
        limbs[p] = parts[p] == NULL ? NULL : parts[p] + t * n;
    }
}

/* What an input lifts: nothing for the special primes, where its products with P vanish. */
static void lift_parts(const target_work *s, const ks_input *in, accumulation *each) {
    const ks_work *w = s->w;
    if (s->t <= w->level) {
        each->end.factor = w->params->p_mod_q[s->t];
        take_limbs(each->end.addend, in->lift, s->t, w->params->n);
        take_limbs(each->end.left, in->left, s->t, w->params->n);
        take_limbs(each->end.right, in->right, s->t, w->params->n);
    }
}

/* What an accumulation reads that comes from memory. Returns the number of limbs. */
static size_t read_ahead(const accumulation *each, unsigned digits, const uint64_t **ahead) {
    size_t count = 0;
    for (unsigned d = 0; d < digits && count + (size_t)AHEAD_ENDS <= AHEAD_MAX; d++) {
        ahead[count++] = each->b[d];
        ahead[count++] = each->a[d];
    }
    const ddt_ring_dot_end *end = &each->end;
    for (unsigned p = 0; p < PARTS; p++) {
        const uint64_t *const more[] = {end->addend[p], end->left[p], end->right[p], end->then[p],
                                        end->rest[p] == NULL ? NULL : each->sums[p]}; /* what is written, too */
        for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
            if (more[i] != NULL) {
                ahead[count++] = more[i];
            }
        }
    }
    return count;
}

/*
 * The sums of target number g of a group, whose converted digits are in this thread's scratch. A single key is fetched
 * ahead while the digits are transformed, part by part. Several keys follow one another, each limb at a stretch: part
 * by part they are more streams than the processor fetches ahead of (8 rotations took 7 % longer).
 */
static void accumulate_target(target_work *s, const uint64_t *source, size_t g) {
    const ks_work *w = s->w;
    const ddt_ring *ring = w->params->ring;
    uint64_t *place = ks_thread_scratch(w) + g * w->stride;
    const uint64_t *ahead[AHEAD_MAX];
    uint64_t *converted[DIGITS_MAX];
    const size_t used = converted_digits(w, s->t, place, w->group, converted);
    digit_pointers(w, source, s->t, place, w->group, s->digit);
    if (s->keys == 1) {
        const size_t count = read_ahead(&s->each[0], w->digits, ahead);
        const ddt_ring_visitor visitor = {accumulate_part, s, ahead, count, true};
        ddt_ring_ntt_finish(ring, s->m, converted, used, &visitor);
        return;
    }
    ddt_ring_ntt_finish(ring, s->m, converted, used, NULL);
    for (size_t k = 0; k < s->keys; k++) {
        accumulate_limb(s, &s->each[k], ring);
    }
}

static uint64_t *scratch_accumulator(const ks_work *w, unsigned part, size_t g) {
    return ks_thread_scratch(w) + (digit_limbs(w->params, w->digits) + part * w->group + g) * w->stride;
}

/* The accumulators of one group; stored: in acc, otherwise in the scratch of the thread. */
static void accumulate_group(const ks_work *w, const ks_input *in, target_group group, bool stored) {
    convert_digits(w, group, ks_thread_scratch(w), w->group);
    for (size_t g = 0; g < group.count; g++) {
        target_work s;
        open_target(w, group.first + g, 1, &s);
        open_accumulation(&s, in->key, &s.each[0]);
        lift_parts(&s, in, &s.each[0]);
        s.each[0].end.passing = stored && s.t < w->level && w->params->literal.log_n >= LOG_N_LARGE;
        for (unsigned p = 0; p < PARTS; p++) {
            s.each[0].sums[p] = stored ? accumulator(w, p, s.t) : scratch_accumulator(w, p, g);
        }
        accumulate_target(&s, in->source, g);
    }
}

/* acc of targets begin..targets-1. */
static void accumulate_from(const ks_work *w, const ks_input *in, size_t begin) {
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t task = 0; task < group_count(w, w->targets - begin); task++) {
        accumulate_group(w, in, make_group(w, begin, w->targets, task), true);
    }
}

void ks_accumulate_each(const ks_work *w, const ks_input *in, ks_visit visit, void *work) {
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t task = 0; task < group_count(w, w->targets); task++) {
        const target_group group = make_group(w, 0, w->targets, task);
        accumulate_group(w, in, group, false);
        for (size_t g = 0; g < group.count; g++) {
            const uint64_t *const sums[PARTS] = {scratch_accumulator(w, 0, g), scratch_accumulator(w, 1, g)};
            visit(work, group.first + g, sums);
        }
    }
}

/* ------------------------------------------------------------------ division by P, or by P q_l */

static const ddt_baseconv *division_conversion(const ks_work *w, const ks_result *r) {
    return r->rescale ? w->params->down_rescale[w->level] : w->params->down;
}

static unsigned dividing_limbs(const ks_work *w, const ks_result *r, unsigned p, uint64_t **limbs) {
    const unsigned k = w->params->literal.p_count;
    for (unsigned j = 0; j < k; j++) {
        limbs[j] = accumulator(w, p, (size_t)w->level + 1 + j);
    }
    if (r->rescale) {
        limbs[k] = accumulator(w, p, w->level);
    }
    return r->rescale ? k + 1 : k;
}

/* The divisors' accumulators to the coefficient domain. */
static void invert_divisors(const ks_work *w, const ks_result *r) {
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
        const unsigned first = r->first_part + task * together % parts;
        uint64_t *pair[PARTS] = {limbs[first][j], limbs[PARTS - 1][j]};
        ddt_baseconv_intt(division_conversion(w, r), j, pair, together);
    }
}

/* Task `task` of SLICES * (the parts of the result): a slice of the first half of the conversion. */
static void prepare_slice(const ks_work *w, const ks_result *r, size_t task) {
    const size_t step = w->params->n / SLICES;
    const unsigned p = r->first_part + (unsigned)(task / SLICES);
    const size_t begin = task % SLICES * step;
    uint64_t *limbs[DDT_CKKS_P_MAX + 1];
    (void)dividing_limbs(w, r, p, limbs);
    ddt_baseconv_quotients(division_conversion(w, r), limbs, w->part_quotients + p * w->stride, begin, begin + step);
}

static void prepare_division(const ks_work *w, const ks_result *r) {
    invert_divisors(w, r);
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(static)
    for (size_t task = 0; task < (size_t)(PARTS - r->first_part) * SLICES; task++) {
        prepare_slice(w, r, task);
    }
}

/* What finishes a limb: out = (sums - rest) / (P or P q_l) + add, permuted. rest: NTT domain, overwritten. */
typedef struct finishing {
    const ddt_ring *ring; /* of parts of limbs */
    const ks_result *r;
    size_t t;
    uint64_t factor;
    const uint64_t *sums[PARTS];
    const uint64_t *add[PARTS];
    uint64_t *rest[PARTS];
    uint64_t *quotient[PARTS]; /* rest, or the output itself where nothing is permuted */
} finishing;

static void finish_part(void *work, size_t from) {
    const finishing *f = work;
    for (unsigned p = f->r->first_part; p < PARTS; p++) {
        const uint64_t *sums = f->sums[p] + from;
        const uint64_t *rest = f->rest[p] + from;
        uint64_t *quotient = f->quotient[p] + from;
        if (f->add[p] != NULL) {
            ddt_ring_sub_mul_scalar_add(f->ring, f->t, quotient, sums, rest, f->factor, f->add[p] + from);
        } else {
            ddt_ring_sub_mul_scalar(f->ring, f->t, quotient, sums, rest, f->factor);
        }
    }
}

/* 1 / P modulo q_t, or 1 / (P q_l). */
static uint64_t division_factor(const ks_work *w, const ks_result *r, size_t t) {
    const ddt_ckks_params *params = w->params;
    const uint64_t factor = params->p_inverse[t];
    return r->rescale ? ddt_ring_scalar_mul(params->ring, t, factor,
                                            params->q_inverse[w->level * ((size_t)params->top + 1) + t])
                      : factor;
}

/* Target f->t from its converted divisors' sums, their transforms begun. */
static void finish_target(const ks_work *w, finishing *f) {
    const ks_result *r = f->r;
    const size_t limb = f->t * w->params->n;
    const uint64_t *ahead[3 * PARTS];
    size_t count = 0;
    f->ring = ddt_ring_part(w->params->ring);
    f->factor = division_factor(w, r, f->t);
    for (unsigned p = r->first_part; p < PARTS; p++) {
        f->quotient[p] = r->permutation == NULL ? r->out[p] + limb : f->rest[p];
        f->add[p] = r->add[p] == NULL ? NULL : r->add[p] + limb;
        ahead[count++] = f->sums[p];
        if (f->add[p] != NULL) {
            ahead[count++] = f->add[p];
        }
        ahead[count++] = r->out[p] + limb; /* what is written has to be read, too */
    }
    const ddt_ring_visitor visitor = {finish_part, f, ahead, count, false};
    ddt_ring_ntt_finish(w->params->ring, f->t, f->rest + r->first_part, PARTS - r->first_part, &visitor);
    for (unsigned p = r->first_part; p < PARTS && r->permutation != NULL; p++) {
        ddt_ring_permute(w->params->ring, r->out[p] + limb, f->rest[p], r->permutation);
    }
}

typedef enum sums_place { IN_ACC, IN_OUT } sums_place;

static const uint64_t *sums_at(const ks_work *w, const ks_result *r, sums_place place, unsigned p, target_group group,
                               size_t g) {
    const size_t t = group.first + g;
    return place == IN_OUT ? r->out[p] + t * w->params->n : accumulator(w, p, t);
}

/*
 * What is taken away from the sums of a part before the division, modulo the targets of a group, the transforms begun:
 * target number g's at place + g * step limbs.
 */
static void convert_rest(const ks_work *w, const ks_result *r, unsigned p, target_group group, uint64_t *place,
                         size_t step) {
    uint32_t targets[GROUP_MAX];
    uint64_t *limbs[DDT_CKKS_P_MAX + 1];
    uint64_t *converted[GROUP_MAX];
    (void)dividing_limbs(w, r, p, limbs);
    for (size_t g = 0; g < group.count; g++) {
        targets[g] = (uint32_t)(group.first + g);
        converted[g] = place + g * step * w->stride;
    }
    ddt_baseconv_begin(division_conversion(w, r), targets, group.count, converted, (const uint64_t *const *)limbs,
                       w->part_quotients + p * w->stride);
}

/* The results of one group from its accumulators. IN_OUT: only where there is a permutation. */
static void finish_group(const ks_work *w, const ks_result *r, target_group group, sums_place place_of_sums) {
    finishing f[GROUP_MAX];
    for (size_t g = 0; g < group.count; g++) {
        f[g] = (finishing){.r = r, .t = group.first + g};
    }
    for (unsigned p = r->first_part; p < PARTS; p++) {
        uint64_t *place = ks_thread_scratch(w) + p * w->stride;
        convert_rest(w, r, p, group, place, PARTS);
        for (size_t g = 0; g < group.count; g++) {
            f[g].rest[p] = place + g * PARTS * w->stride;
            f[g].sums[p] = sums_at(w, r, place_of_sums, p, group, g);
        }
    }
    for (size_t g = 0; g < group.count; g++) {
        finish_target(w, &f[g]);
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
        finish_group(w, r, make_group(w, 0, limbs, task), IN_ACC);
    }
}

/* ------------------------------------------------------------------ both at once */

/*
 * The first target whose accumulators are stored: those of the result's divisors must be, before any target can be
 * finished; as many more as give every thread as many groups. All of them where the sources of both conversions, which
 * every group reads, are more than the caches hold beside the key that streams through.
 */
static size_t first_stored(const ks_work *w, size_t limbs) {
    const size_t sources = w->level + 1 + PARTS * (w->targets - limbs);
    if (sources * w->params->n * sizeof(uint64_t) > CACHED_BYTES) {
        return 0;
    }
    const size_t stored = w->targets - limbs;
    const size_t unit = (size_t)w->threads * w->group;
    const size_t even = w->threads == 1 ? stored : (stored + unit - 1) / unit * unit;
    return even < w->targets ? w->targets - even : 0;
}

/*
 * One target of a group at once: its digits and what is taken away are transformed together, and each part of them is
 * multiplied with the key, divided and written while it is in the nearest cache.
 */
static void switch_target(const ks_work *w, const ks_input *in, const ks_result *r, target_group group, size_t g) {
    target_work s;
    accumulation *each = &s.each[0];
    uint64_t *place = ks_thread_scratch(w) + g * w->stride;
    uint64_t *converted[DIGITS_MAX + PARTS];
    const uint64_t *ahead[AHEAD_MAX];
    open_target(w, group.first + g, 1, &s);
    open_accumulation(&s, in->key, each);
    lift_parts(&s, in, each);
    take_limbs(each->end.then, r->add, s.t, w->params->n);
    each->end.divisor = division_factor(w, r, s.t);
    size_t used = converted_digits(w, s.t, place, w->group, converted);
    digit_pointers(w, in->source, s.t, place, w->group, s.digit);
    for (unsigned p = 0; p < PARTS; p++) {
        uint64_t *rest = scratch_accumulator(w, p, g);
        converted[used++] = rest;
        each->end.rest[p] = rest;
        each->sums[p] = r->permutation == NULL ? r->out[p] + s.t * w->params->n : rest;
    }
    const ddt_ring_visitor visitor = {accumulate_part, &s, ahead, read_ahead(each, w->digits, ahead), true};
    ddt_ring_ntt_finish(w->params->ring, s.m, converted, used, &visitor);
    for (unsigned p = 0; p < PARTS && r->permutation != NULL; p++) {
        ddt_ring_permute(w->params->ring, r->out[p] + s.t * w->params->n, each->sums[p], r->permutation);
    }
}

/* The results of one group from the digits; the divisors' sums are ready. */
static void switch_group(const ks_work *w, const ks_input *in, const ks_result *r, target_group group) {
    convert_digits(w, group, ks_thread_scratch(w), w->group);
    for (unsigned p = 0; p < PARTS; p++) {
        convert_rest(w, r, p, group, scratch_accumulator(w, p, 0), 1);
    }
    for (size_t g = 0; g < group.count; g++) {
        switch_target(w, in, r, group, g);
    }
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
        if (is_stored) {
            finish_group(w, r, group, IN_ACC);
        } else {
            switch_group(w, in, r, group);
        }
    }
}

/* ------------------------------------------------------------------ several keys */

size_t ks_rotations_limbs(const ddt_evaluator *ev, size_t count) {
    const size_t together = count < KS_KEYS_MAX ? count : KS_KEYS_MAX;
    return together * PARTS * (ev->params->literal.p_count + (size_t)1);
}

/* The work of rotation k alone: its accumulators of the special primes, and its quotients. */
static ks_work rotation_work(const ks_work *w, uint64_t *room, size_t k) {
    const size_t specials = w->params->literal.p_count;
    ks_work own = *w;
    own.first = w->level + (size_t)1;
    own.acc = room + k * PARTS * (specials + 1) * w->stride;
    own.part_quotients = own.acc + PARTS * specials * w->stride;
    return own;
}

/* One target of all rotations: the special primes' sums in their work, inverted; the others' in the results. */
static void accumulate_rotations(const ks_work *w, const uint64_t *source, const ks_rotation *rotations, size_t count,
                                 uint64_t *room, target_group group, size_t g) {
    target_work s;
    open_target(w, group.first + g, count, &s);
    for (size_t k = 0; k < count; k++) {
        const ks_work own = rotation_work(w, room, k);
        open_accumulation(&s, rotations[k].key, &s.each[k]);
        s.each[k].end.passing = s.t <= w->level;
        for (unsigned p = 0; p < PARTS; p++) {
            s.each[k].sums[p] =
                s.t <= w->level ? rotations[k].result.out[p] + s.t * w->params->n : accumulator(&own, p, s.t);
        }
    }
    accumulate_target(&s, source, g);
    for (size_t k = 0; k < count && s.t > w->level; k++) {
        ddt_baseconv_intt(w->params->down, s.t - w->level - 1, s.each[k].sums, PARTS);
    }
}

/* The divisions of rotations [begin, end). */
static void divide_rotations(const ks_work *w, const ks_rotation *rotations, size_t begin, size_t end, uint64_t *room) {
    const size_t slices = (size_t)PARTS * SLICES;
    const size_t groups = group_count(w, w->level + (size_t)1);
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(static)
    for (size_t task = begin * slices; task < end * slices; task++) {
        const ks_work own = rotation_work(w, room, task / slices);
        prepare_slice(&own, &rotations[task / slices].result, task % slices);
    }
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t task = begin * groups; task < end * groups; task++) {
        const ks_work own = rotation_work(w, room, task / groups);
        finish_group(&own, &rotations[task / groups].result, make_group(w, 0, w->level + (size_t)1, task % groups),
                     IN_OUT);
    }
}

/* The sources of the divisions that go on at the same time stay in the caches. */
static size_t divided_together(const ks_work *w) {
    const size_t each = (size_t)PARTS * w->params->literal.p_count * w->params->n * sizeof(uint64_t);
    return each < CACHED_BYTES ? CACHED_BYTES / each : 1;
}

void ks_rotate(const ks_work *w, const uint64_t *source, const ks_rotation *rotations, size_t count, uint64_t *room) {
    const size_t together = divided_together(w);
    /* The special primes first: they take longer, and threads should end together. */
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (size_t task = 0; task < group_count(w, w->targets); task++) {
        const target_group group = make_group(w, 0, w->targets, group_count(w, w->targets) - 1 - task);
        convert_digits(w, group, ks_thread_scratch(w), w->group);
        for (size_t g = 0; g < group.count; g++) {
            accumulate_rotations(w, source, rotations, count, room, group, g);
        }
    }
    for (size_t begin = 0; begin < count; begin += together) {
        divide_rotations(w, rotations, begin, count - begin < together ? count : begin + together, room);
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
