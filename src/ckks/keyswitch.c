/*
 * Hybrid key switching (Han, Ki 2020), fused per output limb: each limb of the extended digits is made, used in the
 * inner product with the key and forgotten while it is in the cache. All digits of a limb share one lazy reduction.
 * Digits and the final rounding are centred. SPDX-License-Identifier: Apache-2.0
 */
#include "keyswitch.h"
#include "keyswitch_share.h"

#include <omp.h>
#include <string.h>

enum { MEASURE_EVERY = 3 /* key switches of a millisecond or more; it takes one microsecond */ };

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

/* Targets that threads share: fewer than there are threads; the digits of each, and what is taken away. */
static size_t shared_limbs(int threads, unsigned digits) {
    const size_t most = threads < KS_QUEUES ? (size_t)threads : KS_QUEUES;
    return (most - 1) * (digits + PARTS);
}

size_t ks_work_limbs(const ddt_evaluator *ev, unsigned level) {
    const unsigned digits = ddt_ckks_digits(ev->params, level);
    const size_t targets = (size_t)level + 1 + ev->params->literal.p_count;
    return (size_t)level + 1 + digits + PARTS + PARTS * targets + shared_limbs(ev->threads, digits) +
           (size_t)ev->threads * scratch_limbs(ev->params, digits);
}

void ks_work_take(ddt_evaluator *ev, unsigned level, ks_work *w) {
    w->params = ev->params;
    w->threads = ev->threads;
    w->apart = ev->caches.apart;
    w->caches = ev->threads > 1 && ev->caches.until == 0 ? &ev->caches : NULL;
    ev->caches.until -= ev->caches.until > 0 ? 1 : 0;
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
    w->shared = ckks_arena_take(ev, shared_limbs(ev->threads, w->digits));
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

static size_t slice_words(const ks_work *w) { return w->params->n / SLICES; }

/*
 * The slice that begins at `begin` of a conversion's quotients. Where threads have caches of their own, what all of
 * them read is made in scratch and then published.
 */
static void make_quotients(const ks_work *w, const ddt_baseconv *conversion, uint64_t *const *limbs,
                           uint64_t *quotients, size_t begin) {
    uint64_t *made = w->apart ? ks_thread_scratch(w) : quotients;
    ddt_baseconv_quotients(conversion, limbs, made, begin, begin + slice_words(w));
    if (w->apart) {
        ddt_ring_publish(w->params->ring, quotients + begin, made + begin, slice_words(w));
    }
}

/* The quotients of all digits' conversions: the coefficients that are this thread's. convert_digit takes a digit of a
 * single limb as it is. */
static void prepare_digits(const ks_work *w, ks_team team) {
    const size_t step = slice_words(w);
    const ks_range mine = ks_my_range(team, (size_t)w->digits * SLICES);
    for (size_t task = mine.begin; task < mine.end; task++) {
        const unsigned d = (unsigned)(task / SLICES);
        const size_t begin = task % SLICES * step;
        uint64_t *limbs[DDT_CKKS_P_MAX];
        if (digit_end(w, d) - digit_begin(w, d) == 1) {
            continue;
        }
        for (unsigned i = digit_begin(w, d); i < digit_end(w, d); i++) {
            limbs[i - digit_begin(w, d)] = w->scaled + i * w->stride;
        }
        make_quotients(w, digit_conversion(w, d), limbs, w->quotients + d * w->stride, begin);
    }
}

/* Limb i of a digit to the coefficient domain, for its conversion where there is one. */
static void invert_digit(const ks_work *w, size_t i, uint64_t *limb) {
    const unsigned d = (unsigned)i / w->params->literal.p_count;
    if (digit_end(w, d) - digit_begin(w, d) == 1) {
        ddt_ring_intt(w->params->ring, i, limb);
    } else {
        ddt_baseconv_intt(digit_conversion(w, d), i - digit_begin(w, d), &limb, 1);
    }
}

/* A cache line takes 50 to 100 ns from one core to another and back where they share a cache, 300 where they do not. */
static const double APART_S = 2e-7;

/* What is decomposed: left, or left times right, which is written to product. */
typedef struct decomposed {
    const uint64_t *left;
    const uint64_t *right; /* NULL: there is none */
    uint64_t *product;
} decomposed;

static void decompose_limb(const ks_work *w, const decomposed *what, size_t i) {
    const size_t n = w->params->n;
    uint64_t *published = w->scaled + i * w->stride;
    uint64_t *scaled = w->apart ? ks_thread_scratch(w) : published;
    if (what->right != NULL) {
        ddt_ring_mul(w->params->ring, i, scaled, what->left + i * n, what->right + i * n);
        memcpy(what->product + i * n, scaled, n * sizeof *scaled);
    } else {
        memcpy(scaled, what->left + i * n, n * sizeof *scaled);
    }
    invert_digit(w, i, scaled);
    if (w->apart) {
        ddt_ring_publish(w->params->ring, published, scaled, n);
    }
}

static void decompose(const ks_work *w, const decomposed *what) {
    ks_queues limbs;
    ks_meeting meeting;
    ks_queues_open(&limbs, w->threads);
    ks_meeting_open(&meeting);
#pragma omp parallel num_threads(w->threads) if (w->threads > 1)
    {
        const ks_team team = ks_my_team();
        ks_share share = {.queues = &limbs, .team = team, .end = w->level + (size_t)1, .most = 1};
        ks_group group;
        while (ks_take_group(&share, &group)) {
            decompose_limb(w, what, group.first);
        }
        if (w->params->literal.p_count > 1) {
#pragma omp barrier
            prepare_digits(w, team);
        }
        if (w->caches != NULL) {
            ks_meet(team, &meeting);
        }
    }
    if (w->caches != NULL && meeting.round_trip_s > 0.0) {
        w->caches->apart = meeting.round_trip_s > APART_S;
        w->caches->until = MEASURE_EVERY;
    }
}

void ks_decompose(const ks_work *w, const uint64_t *source) { decompose(w, &(decomposed){.left = source}); }

void ks_decompose_product(const ks_work *w, const uint64_t *a, const uint64_t *b, uint64_t *source) {
    decompose(w, &(decomposed){.left = a, .right = b, .product = source});
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

/* How many of `count` targets the threads finish together; none where transforms have no pieces. */
static size_t shared_targets(const ks_work *w, ks_team team, size_t count) {
    const size_t odd = ddt_ring_pieces(w->params->ring) > 1 ? count % team.threads : 0;
    return odd < KS_QUEUES ? odd : 0;
}

static bool is_own(const ks_work *w, unsigned d, size_t t) { return t >= digit_begin(w, d) && t < digit_end(w, d); }

/* Digit d modulo the targets of a group, its transforms begun, except where a limb of the source itself is it. */
static void convert_group(const ks_work *w, unsigned d, ks_group group, uint64_t *place) {
    uint32_t targets[GROUP_MAX];
    uint64_t *converted[GROUP_MAX];
    size_t moduli[GROUP_MAX];
    size_t used = 0;
    for (size_t g = 0; g < group.count; g++) {
        const size_t t = ks_group_target(group, g);
        if (!is_own(w, d, t)) {
            targets[used] = (uint32_t)conversion_target(w, d, t);
            converted[used] = place + g * w->stride;
            moduli[used++] = ks_target_modulus(w, t);
        }
    }
    convert_digit(w, d, targets, moduli, used, converted);
}

/* All digits modulo the targets of a group, their transforms begun; digit d from place + d * step limbs on. */
static void convert_digits(const ks_work *w, ks_group group, uint64_t *place, size_t step) {
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

/* All digits of the targets of a group, one target after the other. */
static void visit_group(const ks_work *w, const uint64_t *source, ks_group group, ks_visit visit, void *work) {
    uint64_t *scratch = ks_thread_scratch(w);
    convert_digits(w, group, scratch, w->group);
    for (size_t g = 0; g < group.count; g++) {
        const size_t t = ks_group_target(group, g);
        uint64_t *place = scratch + g * w->stride;
        uint64_t *converted[DIGITS_MAX];
        const uint64_t *digits[DIGITS_MAX];
        const size_t used = converted_digits(w, t, place, w->group, converted);
        ddt_ring_ntt_finish(w->params->ring, ks_target_modulus(w, t), converted, used, NULL);
        digit_pointers(w, source, t, place, w->group, digits);
        visit(work, t, digits);
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

/* Where a target's converted digits and what is taken away from its sums are. */
typedef struct target_place {
    uint64_t *digits;
    size_t step; /* limbs from one digit to the next */
    uint64_t *rest[PARTS];
} target_place;

/* Number g of a group, in this thread's scratch. */
static target_place group_place(const ks_work *w, size_t g) {
    uint64_t *scratch = ks_thread_scratch(w);
    target_place at = {.digits = scratch + g * w->stride, .step = w->group};
    for (unsigned p = 0; p < PARTS; p++) {
        at.rest[p] = scratch + (digit_limbs(w->params, w->digits) + p * w->group + g) * w->stride;
    }
    return at;
}

/* Number i of the targets that threads share. */
static target_place shared_place(const ks_work *w, size_t i) {
    uint64_t *place = w->shared + i * (w->digits + (size_t)PARTS) * w->stride;
    target_place at = {.digits = place, .step = 1};
    for (unsigned p = 0; p < PARTS; p++) {
        at.rest[p] = place + (w->digits + (size_t)p) * w->stride;
    }
    return at;
}

/*
 * The transforms of a target end, one after the other and each part given to the visitor. queue: of its pieces, for
 * those that threads share; NULL: all of it.
 */
static void finish_transforms(const ks_work *w, size_t t, uint64_t *const *limbs, size_t count,
                              const ddt_ring_visitor *visitor, ks_queue *queue) {
    const ddt_ring *ring = w->params->ring;
    const size_t m = ks_target_modulus(w, t);
    size_t piece = 0;
    if (queue == NULL) {
        ddt_ring_ntt_finish(ring, m, limbs, count, visitor);
        return;
    }
    while (ks_take_task(queue, ddt_ring_pieces(ring), &piece)) {
        ddt_ring_ntt_finish_pieces(ring, m, limbs, count, visitor, piece, piece + 1);
    }
}

/* The sums of a target for its only key, which is fetched ahead while the digits are transformed, part by part. */
static void accumulate_parts(target_work *s, const uint64_t *source, target_place at, ks_queue *queue) {
    const ks_work *w = s->w;
    const uint64_t *ahead[AHEAD_MAX];
    uint64_t *converted[DIGITS_MAX];
    const size_t used = converted_digits(w, s->t, at.digits, at.step, converted);
    digit_pointers(w, source, s->t, at.digits, at.step, s->digit);
    const ddt_ring_visitor visitor = {accumulate_part, s, ahead, read_ahead(&s->each[0], w->digits, ahead), true};
    finish_transforms(w, s->t, converted, used, &visitor, queue);
}

/*
 * The sums of a target for all keys. They follow one another, each limb at a stretch: part by part they are more
 * streams than the processor fetches ahead of (8 rotations took 7 % longer).
 */
static void accumulate_keys(target_work *s, const uint64_t *source, target_place at) {
    const ks_work *w = s->w;
    uint64_t *converted[DIGITS_MAX];
    const size_t used = converted_digits(w, s->t, at.digits, at.step, converted);
    digit_pointers(w, source, s->t, at.digits, at.step, s->digit);
    ddt_ring_ntt_finish(w->params->ring, s->m, converted, used, NULL);
    for (size_t k = 0; k < s->keys; k++) {
        accumulate_limb(s, &s->each[k], w->params->ring);
    }
}

typedef enum sums_place { IN_ACC, IN_OUT, IN_SCRATCH } sums_place;

/* The accumulators of one target, or of pieces of it: in acc, or in the place of what is taken away. */
static void accumulate_one(const ks_work *w, const ks_input *in, size_t t, target_place at, sums_place place_of_sums,
                           ks_queue *queue) {
    const bool stored = place_of_sums == IN_ACC;
    target_work s;
    open_target(w, t, 1, &s);
    open_accumulation(&s, in->key, &s.each[0]);
    lift_parts(&s, in, &s.each[0]);
    s.each[0].end.passing = stored && t < w->level && w->params->literal.log_n >= LOG_N_LARGE;
    for (unsigned p = 0; p < PARTS; p++) {
        s.each[0].sums[p] = stored ? accumulator(w, p, t) : at.rest[p];
    }
    accumulate_parts(&s, in->source, at, queue);
}

/* The accumulators of a group, handed over one target after the other. */
static void sum_group(const ks_work *w, const ks_input *in, ks_group group, ks_visit visit, void *work) {
    convert_digits(w, group, ks_thread_scratch(w), w->group);
    for (size_t g = 0; g < group.count; g++) {
        const size_t t = ks_group_target(group, g);
        const target_place at = group_place(w, g);
        accumulate_one(w, in, t, at, IN_SCRATCH, NULL);
        const uint64_t *const sums[PARTS] = {at.rest[0], at.rest[1]};
        visit(work, t, sums);
    }
}

/* All targets, one group after the other: their digits, or with an input the sums. */
static void share_targets(const ks_work *w, const uint64_t *source, const ks_input *in, ks_visit visit, void *work) {
    ks_queues queues;
    ks_queues_open(&queues, w->threads);
#pragma omp parallel num_threads(w->threads) if (w->threads > 1)
    {
        ks_share share = {.queues = &queues, .team = ks_my_team(), .end = w->targets, .most = w->group};
        ks_group group;
        while (ks_take_group(&share, &group)) {
            if (in == NULL) {
                visit_group(w, source, group, visit, work);
            } else {
                sum_group(w, in, group, visit, work);
            }
        }
    }
}

void ks_each_target(const ks_work *w, const uint64_t *source, ks_visit visit, void *work) {
    share_targets(w, source, NULL, visit, work);
}

void ks_accumulate_each(const ks_work *w, const ks_input *in, ks_visit visit, void *work) {
    share_targets(w, in->source, in, visit, work);
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
static void invert_divisors(const ks_work *w, const ks_result *r, ks_team team) {
    const unsigned parts = PARTS - r->first_part;
    uint64_t *limbs[PARTS][DDT_CKKS_P_MAX + 1];
    unsigned count = 0;
    for (unsigned p = 0; p < PARTS; p++) {
        count = dividing_limbs(w, r, p, limbs[p]);
    }
    /* Both parts in one task, unless that leaves threads without one. */
    const unsigned together = count % team.threads == 0 ? parts : 1;
    for (unsigned task = 0; task < parts * count / together; task++) {
        const unsigned j = task * together / parts;
        const unsigned first = r->first_part + task * together % parts;
        uint64_t *pair[PARTS] = {limbs[first][j], limbs[PARTS - 1][j]};
        if (ks_is_mine(team, task)) {
            ddt_baseconv_intt(division_conversion(w, r), j, pair, together);
        }
    }
}

static bool is_divisor(const ks_work *w, const ks_result *r, size_t t) {
    return t > w->level || (t == w->level && r->rescale);
}

/* Some parts of the sums of divisor t to the coefficient domain. */
static void invert_divisor(const ks_work *w, const ks_result *r, size_t t, uint64_t *const *limbs, size_t count) {
    const size_t source = t == w->level ? w->params->literal.p_count : t - w->level - 1;
    ddt_baseconv_intt(division_conversion(w, r), source, limbs, count);
}

/* Task `task` of SLICES * (the parts of the result): a slice of the first half of the conversion. */
static void prepare_slice(const ks_work *w, const ks_result *r, size_t task) {
    const unsigned p = r->first_part + (unsigned)(task / SLICES);
    const size_t begin = task % SLICES * slice_words(w);
    uint64_t *limbs[DDT_CKKS_P_MAX + 1];
    (void)dividing_limbs(w, r, p, limbs);
    make_quotients(w, division_conversion(w, r), limbs, w->part_quotients + p * w->stride, begin);
}

/* The quotients of the divisions. */
static void prepare_division(const ks_work *w, const ks_result *r, ks_team team) {
    const ks_range mine = ks_my_range(team, (size_t)(PARTS - r->first_part) * SLICES);
    for (size_t task = mine.begin; task < mine.end; task++) {
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
static void finish_target(const ks_work *w, finishing *f, ks_queue *queue) {
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
    finish_transforms(w, f->t, f->rest + r->first_part, PARTS - r->first_part, &visitor, queue);
}

/* The last step of a result that is permuted: part p of target t from its quotient. */
static void permute_part(const ks_work *w, const ks_result *r, size_t t, unsigned p, const uint64_t *quotient) {
    if (r->permutation != NULL) {
        ddt_ring_permute(w->params->ring, r->out[p] + t * w->params->n, quotient, r->permutation);
    }
}

static const uint64_t *sums_at(const ks_work *w, const ks_result *r, sums_place place, unsigned p, size_t t) {
    return place == IN_OUT ? r->out[p] + t * w->params->n : accumulator(w, p, t);
}

/*
 * What is taken away from the sums of a part before the division, modulo the targets of a group, the transforms begun:
 * target number g's at place + g * step limbs.
 */
static void convert_rest(const ks_work *w, const ks_result *r, unsigned p, ks_group group, uint64_t *place,
                         size_t step) {
    uint32_t targets[GROUP_MAX];
    uint64_t *limbs[DDT_CKKS_P_MAX + 1];
    uint64_t *converted[GROUP_MAX];
    (void)dividing_limbs(w, r, p, limbs);
    for (size_t g = 0; g < group.count; g++) {
        targets[g] = (uint32_t)ks_group_target(group, g);
        converted[g] = place + g * step * w->stride;
    }
    ddt_baseconv_begin(division_conversion(w, r), targets, group.count, converted, (const uint64_t *const *)limbs,
                       w->part_quotients + p * w->stride);
}

/* The results of one group from its accumulators. IN_OUT: only where there is a permutation. */
static void finish_group(const ks_work *w, const ks_result *r, ks_group group, sums_place place_of_sums) {
    finishing f[GROUP_MAX];
    for (size_t g = 0; g < group.count; g++) {
        f[g] = (finishing){.r = r, .t = ks_group_target(group, g)};
    }
    for (unsigned p = r->first_part; p < PARTS; p++) {
        uint64_t *place = ks_thread_scratch(w) + p * w->stride;
        convert_rest(w, r, p, group, place, PARTS);
        for (size_t g = 0; g < group.count; g++) {
            f[g].rest[p] = place + g * PARTS * w->stride;
            f[g].sums[p] = sums_at(w, r, place_of_sums, p, f[g].t);
        }
    }
    for (size_t g = 0; g < group.count; g++) {
        finish_target(w, &f[g], NULL);
        for (unsigned p = r->first_part; p < PARTS; p++) {
            permute_part(w, r, f[g].t, p, f[g].rest[p]);
        }
    }
}

/* The limbs of a result. */
static size_t result_limbs(const ks_work *w, const ks_result *r) {
    return r->rescale ? w->level : (size_t)w->level + 1;
}

/* ------------------------------------------------------------------ both at once */

/*
 * Whether a target is finished as soon as it is accumulated, so that only the accumulators of the divisors are stored.
 * Not where the sources of both conversions, which every group reads, are more than the caches hold beside the key that
 * streams through.
 */
static bool finishes_at_once(const ks_work *w, size_t limbs) {
    const size_t sources = w->level + 1 + PARTS * (w->targets - limbs);
    return sources * w->params->n * sizeof(uint64_t) <= CACHED_BYTES;
}

/* A key switch, or its end, as one of its threads sees it. */
typedef struct switching {
    const ks_work *w;
    const ks_input *in; /* NULL: the accumulators are ready */
    const ks_result *r;
    ks_team team;
    ks_queues *whole;  /* targets that one thread makes */
    ks_queues *pieces; /* of each of the others */
} switching;

/*
 * One target, or pieces of it, at once: its digits and what is taken away are transformed together, and each part of
 * them is multiplied with the key, divided and written (in its place, if it is to be permuted) while it is in the
 * nearest cache.
 */
static void switch_target(const switching *job, size_t t, target_place at, ks_queue *queue) {
    const ks_work *w = job->w;
    const ks_result *r = job->r;
    target_work s;
    accumulation *each = &s.each[0];
    uint64_t *converted[DIGITS_MAX + PARTS];
    const uint64_t *ahead[AHEAD_MAX];
    open_target(w, t, 1, &s);
    open_accumulation(&s, job->in->key, each);
    lift_parts(&s, job->in, each);
    take_limbs(each->end.then, r->add, t, w->params->n);
    each->end.divisor = division_factor(w, r, t);
    size_t used = converted_digits(w, t, at.digits, at.step, converted);
    digit_pointers(w, job->in->source, t, at.digits, at.step, s.digit);
    for (unsigned p = 0; p < PARTS; p++) {
        converted[used++] = at.rest[p];
        each->end.rest[p] = at.rest[p];
        each->sums[p] = r->permutation == NULL ? r->out[p] + t * w->params->n : at.rest[p];
    }
    const ddt_ring_visitor visitor = {accumulate_part, &s, ahead, read_ahead(each, w->digits, ahead), true};
    finish_transforms(w, t, converted, used, &visitor, queue);
}

/* The results of one group from the digits; the divisors' sums are ready. */
static void switch_group(const switching *job, ks_group group) {
    const ks_work *w = job->w;
    convert_digits(w, group, ks_thread_scratch(w), w->group);
    for (unsigned p = 0; p < PARTS; p++) {
        convert_rest(w, job->r, p, group, group_place(w, 0).rest[p], 1);
    }
    for (size_t g = 0; g < group.count; g++) {
        const size_t t = ks_group_target(group, g);
        const target_place at = group_place(w, g);
        switch_target(job, t, at, NULL);
        for (unsigned p = 0; p < PARTS; p++) {
            permute_part(w, job->r, t, p, at.rest[p]);
        }
    }
}

/* The digits of the shared targets begin, begin + 1, ... that are this thread's, their transforms begun. */
static void begin_digits(const switching *job, size_t begin, size_t shared) {
    const ks_work *w = job->w;
    for (size_t i = 0; i < shared; i++) {
        for (unsigned d = 0; d < w->digits; d++) {
            if (ks_is_mine(job->team, i + d)) {
                convert_group(w, d, (ks_group){begin + i, 1, 1}, shared_place(w, i).digits + d * w->stride);
            }
        }
    }
}

/* What is taken away from the shared targets 0, 1, ...: the parts that are this thread's, their transforms begun. */
static void begin_rest(const switching *job, size_t shared) {
    for (size_t i = 0; i < shared; i++) {
        for (unsigned p = job->r->first_part; p < PARTS; p++) {
            if (ks_is_mine(job->team, i + p)) {
                convert_rest(job->w, job->r, p, (ks_group){i, 1, 1}, shared_place(job->w, i).rest[p], 1);
            }
        }
    }
}

/* The accumulators of one target whose digits are in place. */
static void store_target(const switching *job, size_t t, target_place at) {
    const ks_work *w = job->w;
    if (!is_divisor(w, job->r, t)) {
        accumulate_one(w, job->in, t, at, IN_ACC, NULL);
        return;
    }
    uint64_t *const stored[PARTS] = {accumulator(w, 0, t), accumulator(w, 1, t)};
    uint64_t *const *sums = w->apart ? at.rest : stored;
    accumulate_one(w, job->in, t, at, w->apart ? IN_SCRATCH : IN_ACC, NULL);
    invert_divisor(w, job->r, t, sums, PARTS);
    for (unsigned p = 0; p < PARTS && w->apart; p++) {
        ddt_ring_publish(w->params->ring, stored[p], sums[p], w->params->n);
    }
}

/* The accumulators of the targets from `begin` on, those of the divisors in the coefficient domain. */
static void store_sums(const switching *job, size_t begin) {
    const ks_work *w = job->w;
    const size_t shared = shared_targets(w, job->team, w->targets - begin);
    ks_share share = {job->whole, job->team, begin + shared, w->targets, w->group, 0, 0};
    ks_group group;
    if (shared > 0) {
        begin_digits(job, begin, shared);
#pragma omp barrier
    }
    while (ks_take_group(&share, &group)) {
        convert_digits(w, group, ks_thread_scratch(w), w->group);
        for (size_t g = 0; g < group.count; g++) {
            store_target(job, ks_group_target(group, g), group_place(w, g));
        }
    }
    for (size_t i = 0; i < shared; i++) {
        accumulate_one(w, job->in, begin + i, shared_place(w, i), IN_ACC, &job->pieces->of[i]);
    }
    if (shared > 0) {
#pragma omp barrier
    }
    for (size_t task = 0; task < shared * PARTS; task++) {
        const size_t t = begin + task / PARTS;
        if (ks_is_mine(job->team, task) && is_divisor(w, job->r, t)) {
            uint64_t *sums = accumulator(w, (unsigned)(task % PARTS), t);
            uint64_t *made = ks_thread_scratch(w);
            memcpy(made, sums, w->params->n * sizeof *made);
            invert_divisor(w, job->r, t, &made, 1);
            ddt_ring_publish(w->params->ring, sums, made, w->params->n);
        }
    }
}

/* What this thread does for shared target t of the results. */
static void finish_shared(const switching *job, size_t t) {
    const ks_work *w = job->w;
    const target_place at = shared_place(w, t);
    if (job->in != NULL) {
        switch_target(job, t, at, &job->pieces->of[t]);
        return;
    }
    finishing f = {.r = job->r, .t = t};
    for (unsigned p = job->r->first_part; p < PARTS; p++) {
        f.rest[p] = at.rest[p];
        f.sums[p] = sums_at(w, job->r, IN_ACC, p, t);
    }
    finish_target(w, &f, &job->pieces->of[t]);
}

/* The results. The quotients of the division are ready. */
static void make_results(const switching *job) {
    const ks_work *w = job->w;
    const size_t limbs = result_limbs(w, job->r);
    const size_t shared = shared_targets(w, job->team, limbs);
    ks_share share = {job->whole, job->team, shared, limbs, w->group, 0, 0};
    ks_group group;
    if (shared > 0) {
        if (job->in != NULL) {
            begin_digits(job, 0, shared);
        }
        begin_rest(job, shared);
#pragma omp barrier
    }
    while (ks_take_group(&share, &group)) {
        if (job->in != NULL) {
            switch_group(job, group);
        } else {
            finish_group(w, job->r, group, IN_ACC);
        }
    }
    for (size_t t = 0; t < shared; t++) {
        finish_shared(job, t);
    }
    if (shared == 0 || job->r->permutation == NULL) {
        return;
    }
#pragma omp barrier
    for (size_t t = 0; t < shared; t++) {
        for (unsigned p = job->r->first_part; p < PARTS; p++) {
            if (ks_is_mine(job->team, t + p)) {
                permute_part(w, job->r, t, p, shared_place(w, t).rest[p]);
            }
        }
    }
}

void ks_divide(const ks_work *w, const ks_result *r) {
    ks_queues queues[2];
    ks_queues_open(&queues[0], w->threads);
    ks_queues_open(&queues[1], w->threads);
#pragma omp parallel num_threads(w->threads) if (w->threads > 1)
    {
        const switching job = {w, NULL, r, ks_my_team(), &queues[0], &queues[1]};
        invert_divisors(w, r, job.team);
#pragma omp barrier
        prepare_division(w, r, job.team);
#pragma omp barrier
        make_results(&job);
    }
}

void ks_switch(const ks_work *w, const ks_input *in, const ks_result *r) {
    const size_t limbs = result_limbs(w, r);
    const bool at_once = finishes_at_once(w, limbs);
    ks_queues queues[4];
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++) {
        ks_queues_open(&queues[i], w->threads);
    }
#pragma omp parallel num_threads(w->threads) if (w->threads > 1)
    {
        const ks_team team = ks_my_team();
        const switching sums = {w, in, r, team, &queues[0], &queues[1]};
        const switching results = {w, at_once ? in : NULL, r, team, &queues[2], &queues[3]};
        store_sums(&sums, at_once ? limbs : 0);
#pragma omp barrier
        prepare_division(w, r, team);
#pragma omp barrier
        make_results(&results);
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

/* Switches of the same digits with several keys, as one of their threads sees them. */
typedef struct rotating {
    const ks_work *w;
    const uint64_t *source;
    const ks_rotation *rotations;
    size_t count;
    uint64_t *room;
    ks_team team;
    ks_queues *sums;    /* targets of all keys */
    ks_queues *keys;    /* of each target that threads share */
    ks_queues *results; /* targets of one key after the other */
} rotating;

/*
 * Opens one target of all rotations: the special primes' sums go to their work, the others' to the results, past the
 * caches: they are not read soon.
 */
static void open_rotations(const rotating *job, size_t t, target_work *s) {
    const ks_work *w = job->w;
    open_target(w, t, job->count, s);
    for (size_t k = 0; k < job->count; k++) {
        const ks_work own = rotation_work(w, job->room, k);
        open_accumulation(s, job->rotations[k].key, &s->each[k]);
        s->each[k].end.passing = t <= w->level;
        for (unsigned p = 0; p < PARTS; p++) {
            s->each[k].sums[p] =
                t <= w->level ? job->rotations[k].result.out[p] + t * w->params->n : accumulator(&own, p, t);
        }
    }
}

/* A group of targets of all rotations. The special primes' sums are inverted at once. */
static void accumulate_rotations(const rotating *job, ks_group group) {
    const ks_work *w = job->w;
    convert_digits(w, group, ks_thread_scratch(w), w->group);
    for (size_t g = 0; g < group.count; g++) {
        target_work s;
        open_rotations(job, ks_group_target(group, g), &s);
        accumulate_keys(&s, job->source, group_place(w, g));
        for (size_t k = 0; k < job->count && s.t > w->level; k++) {
            ddt_baseconv_intt(w->params->down, s.t - w->level - 1, s.each[k].sums, PARTS);
        }
    }
}

/* The digits of shared target t that are this thread's. */
static void transform_shared(const rotating *job, size_t t) {
    const ks_work *w = job->w;
    for (unsigned d = 0; d < w->digits; d++) {
        uint64_t *place = shared_place(w, t).digits + d * w->stride;
        if (!is_own(w, d, t) && ks_is_mine(job->team, t + d)) {
            convert_group(w, d, (ks_group){t, 1, 1}, place);
            ddt_ring_ntt_finish(w->params->ring, t, &place, 1, NULL);
        }
    }
}

/* Shared target t, whose digits are ready: the keys that this thread takes. */
static void accumulate_shared(const rotating *job, size_t t) {
    const target_place at = shared_place(job->w, t);
    target_work s;
    size_t k = 0;
    open_rotations(job, t, &s);
    digit_pointers(job->w, job->source, t, at.digits, at.step, s.digit);
    while (ks_take_task(&job->keys->of[t], job->count, &k)) {
        accumulate_limb(&s, &s.each[k], job->w->params->ring);
    }
}

/* All sums of the rotations. Shared targets are no special primes. */
static void sum_rotations(const rotating *job) {
    const ks_work *w = job->w;
    const size_t odd = shared_targets(w, job->team, w->targets);
    const size_t shared = odd <= w->level ? odd : 0;
    ks_share share = {job->sums, job->team, shared, w->targets, w->group, 0, 0};
    ks_group group;
    for (size_t t = 0; t < shared; t++) {
        transform_shared(job, t);
    }
    if (shared > 0) {
#pragma omp barrier
    }
    while (ks_take_group(&share, &group)) {
        accumulate_rotations(job, group);
    }
    for (size_t t = 0; t < shared; t++) {
        accumulate_shared(job, t);
    }
}

/* The divisions of rotations [begin, end). */
static void divide_rotations(const rotating *job, size_t begin, size_t end) {
    const size_t slices = (size_t)PARTS * SLICES;
    const ks_range mine = ks_my_range(job->team, (end - begin) * slices);
    for (size_t task = begin * slices + mine.begin; task < begin * slices + mine.end; task++) {
        const ks_work own = rotation_work(job->w, job->room, task / slices);
        prepare_slice(&own, &job->rotations[task / slices].result, task % slices);
    }
#pragma omp barrier
    for (size_t k = begin; k < end; k++) {
        const ks_work own = rotation_work(job->w, job->room, k);
        ks_share share = {job->results, job->team, 0, job->w->level + (size_t)1, job->w->group, k, 0};
        ks_group group;
        while (ks_take_group(&share, &group)) {
            finish_group(&own, &job->rotations[k].result, group, IN_OUT);
        }
    }
}

/* The sources of the divisions that go on at the same time stay in the caches. */
static size_t divided_together(const ks_work *w) {
    const size_t each = (size_t)PARTS * w->params->literal.p_count * w->params->n * sizeof(uint64_t);
    return each < CACHED_BYTES ? CACHED_BYTES / each : 1;
}

void ks_rotate(const ks_work *w, const uint64_t *source, const ks_rotation *rotations, size_t count, uint64_t *room) {
    const size_t together = divided_together(w);
    ks_queues queues[3];
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++) {
        ks_queues_open(&queues[i], w->threads);
    }
#pragma omp parallel num_threads(w->threads) if (w->threads > 1)
    {
        const rotating job = {w, source, rotations, count, room, ks_my_team(), &queues[0], &queues[1], &queues[2]};
        sum_rotations(&job);
#pragma omp barrier
        for (size_t begin = 0; begin < count; begin += together) {
            divide_rotations(&job, begin, count - begin < together ? count : begin + together);
        }
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
