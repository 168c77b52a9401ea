/*
 * The planner's search: ring degree, prime sizes and special primes, and whether and how often to refresh.
 *
 * The instructions do not depend on the parameters, so the search is over numbers only. For each ring degree the noise,
 * simulated at one scale, says how large the scale must be (noise is proportional to 1 / scale); the largest output
 * says how large q_0; what the security table leaves goes to special primes, of which more make key switching cheaper
 * up to a point. The candidate with the least predicted time over all batches wins. Where the circuit has places to
 * refresh, there are several programs to choose from, for each ring degree that is too small without.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "obstacle.h"
#include "plan.h"

#include <math.h>
#include <string.h>

enum {
    LOG_N_MIN = 10,
    LOG_N_SECURE_MIN = 12,
    SCALE_BITS_MIN = 26,
    SCALE_BITS_MAX = 49,
    SCALE_BITS_REFERENCE = 40,
    /* Calibration has seen some of the population: outputs may be this many times larger (2 bits), and one bit is the
       sign. */
    HEADROOM_BITS = 3,
    SCALE_TRIES = 4
};
static const double default_target_error = 1e-5;
/* The engine holds all keys of bootstraps in memory. */
static const double boot_key_bytes_max = 8.0 * (1 << 30);

typedef struct candidate {
    ddt_plan *plan; /* one of the programs */
    ddt_ckks_literal literal;
    double error;
    double bound; /* of the noise, where the request wants one */
    double seconds;
    unsigned baby; /* baby steps of bootstraps' matrices */
    unsigned pack; /* stages of uploads */
    bool roomy;    /* within the limits of memory and keys */
    bool found;
} candidate;

typedef struct search {
    ddt_context *ctx;
    const ddt_circuit *circuit;
    ddt_plan_request request;
    unsigned output_level;
    unsigned scale_primes; /* 1, or 2: composite scaling */
    program_list programs; /* to choose from; they differ in depth */
    ddt_bootstrap_literal boot;
    bool has_refreshes; /* the circuit has places to refresh */
    double largest_output;
    /* Over what was tried, for the message when nothing fits. */
    unsigned depth;
    obstacle nearest;
    bool headroom_missed;
    bool target_missed;
    double best_error;
    unsigned best_error_bits; /* scale at which that was predicted */
    double best_bound;        /* where the target for it was missed, else 0 */
} search;

static unsigned headroom_bits(const search *s) {
    double magnitude = s->largest_output + 2.0 * s->request.target_error;
    double bits = magnitude > 0.0 ? ceil(log2(magnitude)) : 0.0;
    return HEADROOM_BITS + (unsigned)fmax(bits, 0.0);
}

/* Levels of primes for this many rescales. */
static unsigned prime_levels(const search *s, unsigned depth) {
    return plan_prime_level(&(ddt_ckks_literal){.scale_primes = s->scale_primes}, depth);
}

/* Room above the scale in what holds an output: q_0, and q_1 too where outputs stay at level 1. */
static bool headroom_ok(const search *s, unsigned first_bits, unsigned scale_bits) {
    unsigned level = prime_levels(s, s->output_level);
    return first_bits + level * scale_bits >= s->scale_primes * scale_bits + headroom_bits(s);
}

/* The bits that security allows; primes may lie a little above their nominal size. */
static unsigned allowed_bits(const search *s, unsigned log_n) {
    return s->request.insecure_for_testing ? UINT32_MAX : ddt_ckks_max_log_qp(log_n);
}

/* ------------------------------------------------------------------ scale */

/* The stages that are wanted before keys are counted. */
static unsigned wanted_pack(const search *s, const ddt_plan *plan, unsigned log_n) {
    const bool packs = s->request.pack_log_n > 0 && log_n >= s->request.pack_log_n;
    return packs && plan->pool.block <= (size_t)1 << (log_n - 1) ? plan_pack_stages_most(plan, log_n) : 0;
}

static ddt_status predict(const search *s, const ddt_plan *plan, const ddt_ckks_literal *literal, double *error) {
    return plan_predict_error(s->ctx, plan, s->circuit, literal, s->request.public_key_inputs, error);
}

/* The smallest scale that leaves enough primes of that size. */
static unsigned smallest_scale(unsigned log_n) {
    const unsigned spare_bits = 13;
    return log_n + spare_bits > SCALE_BITS_MIN ? log_n + spare_bits : SCALE_BITS_MIN;
}

/*
 * The scale from the errors at two scales: a part goes with 1 / scale, that of bootstraps stays. Beyond the scale at
 * which the two are equal more bits help little.
 */
static double scale_with_bootstraps(double target, double error, double finer, unsigned step_bits) {
    double gain = exp2(-2.0 * step_bits);
    double moving = fmax((error * error - finer * finer) / (1.0 - gain), 0.0);
    double fixed = fmax(error * error - moving, 0.0);
    double room = fmax(target * target - fixed, fixed);
    return SCALE_BITS_REFERENCE + (moving > 0.0 ? 0.5 * log2(moving / room) : -(double)SCALE_BITS_MAX);
}

/* The smallest scale at which the predicted error should meet the target: noise goes with 1 / scale. */
static ddt_status estimate_scale(const search *s, unsigned log_n, unsigned *scale_bits) {
    enum { STEP_BITS = 8 };
    double error = 0.0;
    ddt_plan *plan = s->programs.plans[0];
    plan->pack_stages = wanted_pack(s, plan, log_n);
    ddt_ckks_literal literal = {.log_n = log_n,
                                .levels = plan_depth(plan),
                                .first_bits = DDT_RING_MODULUS_BITS_MAX,
                                .scale_bits = SCALE_BITS_REFERENCE,
                                .p_count = 2};
    *scale_bits = s->request.scale_bits;
    if (s->request.scale_bits != 0) {
        return DDT_OK;
    }
    ddt_status status = predict(s, plan, &literal, &error);
    double excess = error > 0.0 ? log2(error / s->request.target_error) : -(double)SCALE_BITS_MAX;
    double wanted = SCALE_BITS_REFERENCE + excess;
    if (status == DDT_OK && s->boot.slots_levels > 0) {
        double finer = 0.0;
        literal.scale_bits += STEP_BITS;
        status = predict(s, plan, &literal, &finer);
        wanted = scale_with_bootstraps(s->request.target_error, error, finer, STEP_BITS);
    }
    /* Not finite where noise overwhelmed the computation. */
    wanted = isnan(wanted) ? SCALE_BITS_MAX : ceil(wanted / s->scale_primes);
    *scale_bits = (unsigned)fmin(fmax(wanted, smallest_scale(log_n)), SCALE_BITS_MAX);
    return status;
}

/* ------------------------------------------------------------------ candidates */

/*
 * As many inputs share a ciphertext as keys allow, which are large at the level of inputs: up to a GiB in all, or a
 * tenth more than there are anyway. Sets the plan's stages. False where memory is short.
 */
static bool choose_pack(const search *s, ddt_plan *plan, const ddt_ckks_literal *literal) {
    const double most_bytes = (double)(UINT64_C(1) << 30);
    const double more = 1.1;
    const unsigned wanted = wanted_pack(s, plan, literal->log_n);
    uint64_t least = 0;
    uint64_t bytes = 0;
    plan->pack_stages = 0;
    if (wanted == 0) {
        return true;
    }
    bool complete = plan_eval_key_bytes(plan, literal, &least);
    for (plan->pack_stages = wanted; complete && plan->pack_stages > 0; plan->pack_stages--) {
        complete = plan_eval_key_bytes(plan, literal, &bytes);
        if ((double)bytes <= fmax(most_bytes, more * (double)least)) {
            break;
        }
    }
    return complete;
}

/* What fits memory and keys comes first, then what takes less time. */
static bool is_better(const candidate *a, const candidate *b) {
    return !b->found || a->roomy > b->roomy || (a->roomy == b->roomy && a->seconds < b->seconds);
}

static void consider(const search *s, ddt_plan *plan, const ddt_ckks_literal *literal, unsigned baby, candidate *best) {
    size_t room = ((size_t)1 << (literal->log_n - 1)) / plan->pool.block;
    size_t batches = (plan->pool.lanes + room - 1) / room;
    candidate next = {.plan = plan, .literal = *literal, .baby = baby, .roomy = true, .found = true};
    uint64_t key_bytes = 0;
    plan->boot.baby = baby;
    next.found = choose_pack(s, plan, literal);
    next.pack = plan->pack_stages;
    next.seconds = (double)batches * plan_cost(plan, literal);
    if (s->request.memory_limit > 0) {
        next.roomy = plan_memory(plan, literal) <= (double)s->request.memory_limit;
    }
    if (s->request.key_limit > 0) {
        next.roomy = next.roomy && plan_eval_key_bytes(plan, literal, &key_bytes) && key_bytes <= s->request.key_limit;
    }
    if (next.found && is_better(&next, best)) {
        *best = next;
    }
}

/* Fewer baby steps need fewer keys and more time: only where keys are limited. */
static void consider_babies(const search *s, ddt_plan *plan, const ddt_ckks_literal *literal, candidate *best) {
    static const unsigned babies[] = {0, 4, 2};
    const size_t count = s->request.key_limit > 0 && literal->boot_levels > 0 ? sizeof babies / sizeof babies[0] : 1;
    for (size_t i = 0; i < count; i++) {
        consider(s, plan, literal, babies[i], best);
    }
}

/* In memory, all keys of bootstraps; infinite where there is no bootstrap with these parameters. */
static double boot_key_bytes(const search *s, const ddt_ckks_literal *literal) {
    enum { REQUESTS_MAX = 1024 };
    ddt_key_request requests[REQUESTS_MAX];
    double words = 0.0;
    size_t count = ddt_bootstrap_wanted_keys(literal, &s->boot, requests, REQUESTS_MAX);
    for (size_t i = 0; i < count && i < REQUESTS_MAX; i++) {
        unsigned limbs = requests[i].top_level + 1;
        unsigned digits = (limbs + literal->p_count - 1) / literal->p_count;
        words += 2.0 * digits * (limbs + literal->p_count);
    }
    return count > 0 && count <= REQUESTS_MAX ? ldexp(words * sizeof(uint64_t), (int)literal->log_n) : INFINITY;
}

static void note(search *s, const ddt_plan *plan, const ddt_ckks_literal *literal, obstacle_kind kind, double amount) {
    const obstacle next = {.kind = kind,
                           .refreshes = s->boot.slots_levels > 0,
                           .log_n = literal->log_n,
                           .depth = plan_depth(plan),
                           .boot = literal->boot_levels,
                           .scale = literal->scale_bits * plan_scale_primes(literal),
                           .amount = amount,
                           .allowed = allowed_bits(s, literal->log_n)};
    obstacle_note(&s->nearest, &next);
}

/* One program with one number of special primes: the largest q_0 that fits, as headroom costs nothing else. */
static void consider_size(search *s, ddt_plan *plan, ddt_ckks_literal literal, candidate *best) {
    unsigned allowed = allowed_bits(s, literal.log_n);
    unsigned least = literal.boot_levels > 0 ? DDT_RING_MODULUS_BITS_MAX : literal.scale_bits;
    double needed = 0.0;
    for (literal.first_bits = DDT_RING_MODULUS_BITS_MAX; literal.first_bits >= least; literal.first_bits--) {
        if (!headroom_ok(s, literal.first_bits, literal.scale_bits)) {
            break; /* nor with a smaller one */
        }
        needed = ceil(plan_nominal_bits(&literal)) + 1.0;
        if (needed <= allowed) {
            double bytes = literal.boot_levels == 0 ? 0.0 : boot_key_bytes(s, &literal);
            if (bytes <= boot_key_bytes_max) {
                consider_babies(s, plan, &literal, best);
            } else if (isfinite(bytes)) {
                note(s, plan, &literal, OBSTACLE_KEYS, bytes);
            }
            return;
        }
    }
    note(s, plan, &literal, needed > 0.0 ? OBSTACLE_MODULUS : OBSTACLE_HEADROOM,
         needed > 0.0 ? needed : headroom_bits(s));
}

/* The best number of special primes. */
static void consider_literal(search *s, ddt_plan *plan, ddt_ckks_literal literal, candidate *best) {
    unsigned limbs = literal.levels + literal.boot_levels + 1;
    if (limbs - 1 > DDT_CKKS_LEVELS_MAX) {
        note(s, plan, &literal, OBSTACLE_PRIMES, limbs);
        return;
    }
    for (unsigned p = 1; p <= DDT_CKKS_P_MAX && p <= limbs; p++) {
        literal.p_count = p;
        consider_size(s, plan, literal, best);
    }
}

/* The best program and number of levels of bootstrapping at one ring degree and scale. */
static void consider_scale(search *s, unsigned log_n, unsigned scale_bits, candidate *best) {
    /* Coefficients-to-slots in fewer levels takes more time. */
    enum { STAGES_MIN = 2, STAGES_MAX = 4 };
    for (size_t i = 0; i < s->programs.count; i++) {
        ddt_plan *plan = s->programs.plans[i];
        ddt_ckks_literal literal = {.log_n = log_n,
                                    .levels = prime_levels(s, plan_depth(plan)),
                                    .scale_bits = scale_bits,
                                    .scale_primes = s->scale_primes == 2 ? 2 : 0};
        if (s->boot.slots_levels == 0) {
            consider_literal(s, plan, literal, best);
            continue;
        }
        for (unsigned stages = STAGES_MIN; stages <= STAGES_MAX; stages++) {
            literal.boot_levels = DDT_BOOTSTRAP_MOD_LEVELS + stages;
            consider_literal(s, plan, literal, best);
        }
    }
}

/* False where even the smallest conceivable modulus is above the table. */
static bool can_fit(search *s, unsigned log_n, unsigned scale_bits) {
    const ddt_plan *plan = s->programs.plans[s->programs.count - 1];
    const ddt_ckks_literal literal = {.log_n = log_n,
                                      .levels = prime_levels(s, plan_depth(plan)),
                                      .scale_bits = scale_bits,
                                      .scale_primes = s->scale_primes == 2 ? 2 : 0};
    double least = (literal.levels + 1.0) * scale_bits + DDT_RING_MODULUS_BITS_MAX;
    if (s->circuit->graph.pool.block > (size_t)1 << (log_n - 1)) {
        note(s, plan, &literal, OBSTACLE_BLOCK, (double)s->circuit->graph.pool.block);
        return false;
    }
    if (least > allowed_bits(s, log_n)) {
        note(s, plan, &literal, OBSTACLE_MODULUS, least + headroom_bits(s));
        return false;
    }
    return true;
}

/*
 * Sets the candidate's bound of the noise. *short_bits: how many more bits of scale it needs to meet the targets for
 * the error and for the bound, 0: it meets both.
 */
static ddt_status judge(search *s, candidate *c, unsigned *short_bits) {
    const double error_target = s->request.target_error;
    const double bound_target = s->request.bound_target;
    ddt_ckks_params *params = NULL;
    *short_bits = 0;
    if (!(c->error <= error_target) && s->request.scale_bits == 0) {
        *short_bits = 1;
        s->target_missed = true;
        /* NaN where noise overwhelms the computation. */
        if (c->error < s->best_error || s->best_error_bits == 0) {
            s->best_error = c->error < s->best_error ? c->error : s->best_error;
            s->best_error_bits = s->scale_primes * c->literal.scale_bits;
        }
    }
    if (bound_target == 0.0) {
        return DDT_OK;
    }
    ddt_status status = s->request.insecure_for_testing
                            ? ddt_ckks_params_create_insecure_for_testing(s->ctx, &c->literal, &params)
                            : ddt_ckks_params_create(s->ctx, &c->literal, &params);
    if (status == DDT_OK) {
        status = plan_worst_error(s->ctx, c->plan, s->circuit, params, s->request.public_key_inputs, &c->bound);
    }
    ddt_ckks_params_destroy(params);
    if (status == DDT_OK && !(c->bound <= bound_target)) {
        double bits = ceil(log2(c->bound / bound_target) / s->scale_primes);
        *short_bits = (unsigned)fmin(fmax(bits, 1.0), SCALE_BITS_MAX);
        s->best_bound = c->bound;
    }
    return status;
}

/* The best candidate of one ring degree, with its error predicted for exactly its parameters. */
static ddt_status try_degree(search *s, unsigned log_n, unsigned *least_scale, candidate *out) {
    unsigned scale_bits = 0;
    unsigned floor_bits = s->request.scale_bits != 0 ? s->request.scale_bits : smallest_scale(log_n);
    floor_bits = *least_scale > floor_bits ? *least_scale : floor_bits;
    *out = (candidate){0};
    s->depth = plan_depth(s->programs.plans[s->programs.count - 1]);
    if (!can_fit(s, log_n, floor_bits)) {
        s->headroom_missed |= !headroom_ok(s, DDT_RING_MODULUS_BITS_MAX, floor_bits);
        return DDT_OK;
    }
    candidate last = {0};
    ddt_status status = estimate_scale(s, log_n, &scale_bits);
    for (unsigned tries = 0; status == DDT_OK && tries < SCALE_TRIES && scale_bits <= SCALE_BITS_MAX; tries++) {
        candidate best = {0};
        *least_scale = scale_bits; /* a larger ring is noisier: it needs at least as much */
        consider_scale(s, log_n, scale_bits, &best);
        if (!best.found) {
            s->headroom_missed |= !headroom_ok(s, DDT_RING_MODULUS_BITS_MAX, scale_bits);
            return DDT_OK;
        }
        unsigned short_bits = 0;
        best.plan->boot.baby = best.baby;
        best.plan->pack_stages = best.pack;
        status = predict(s, best.plan, &best.literal, &best.error);
        if (status == DDT_OK) {
            status = judge(s, &best, &short_bits);
        }
        if (status == DDT_OK && short_bits == 0) {
            *out = best;
            return DDT_OK;
        }
        last = best;
        scale_bits = s->request.scale_bits != 0 ? SCALE_BITS_MAX + 1 : scale_bits + short_bits;
    }
    if (status == DDT_OK && last.found && last.error <= s->request.accept_error &&
        (s->request.bound_target == 0.0 || last.bound <= s->request.bound_target)) {
        *out = last; /* noisier than wanted, but the caller has said that this much is acceptable */
    }
    return status;
}

typedef struct degree_range {
    unsigned from;
    unsigned to;
} degree_range;

static degree_range degrees(const search *s) {
    if (s->request.log_n != 0) {
        return (degree_range){s->request.log_n, s->request.log_n};
    }
    return (degree_range){s->request.insecure_for_testing ? LOG_N_MIN : LOG_N_SECURE_MIN, PLAN_LOG_N_MAX};
}

static bool all_lanes_fit(const search *s, unsigned log_n) {
    return ((size_t)1 << (log_n - 1)) / s->circuit->graph.pool.block >= s->circuit->graph.pool.lanes;
}

/* The best that was found becomes the owner of its program. */
static void take(search *s, const candidate *found, candidate *best) {
    if (!found->found || !is_better(found, best)) {
        return;
    }
    if (best->plan != found->plan) {
        ddt_plan_destroy(best->plan);
    }
    *best = *found;
    for (size_t i = 0; i < s->programs.count; i++) {
        if (s->programs.plans[i] == found->plan) {
            s->programs.plans[i] = s->programs.plans[--s->programs.count];
        }
    }
}

static ddt_status search_plain(search *s, candidate *best) {
    unsigned least_scale = s->request.scale_bits == 0 ? SCALE_BITS_MIN : s->request.scale_bits;
    const degree_range range = degrees(s);
    const program_shape shape = {.output_level = s->output_level, .insecure = s->request.insecure_for_testing};
    candidate winner = {0};
    s->boot = shape.boot;
    s->headroom_missed = false;
    ddt_status status = programs_make_plain(s->ctx, s->circuit, &shape, &s->programs);
    s->depth = (unsigned)s->programs.depth;
    if (status != DDT_OK || s->programs.count == 0 || prime_levels(s, s->depth) > DDT_CKKS_LEVELS_MAX ||
        (s->request.levels != 0 && plan_depth(s->programs.plans[0]) > s->request.levels)) {
        return status;
    }
    for (unsigned log_n = range.from; log_n <= range.to && status == DDT_OK; log_n++) {
        candidate found;
        status = try_degree(s, log_n, &least_scale, &found);
        if (status == DDT_OK && found.found && is_better(&found, &winner)) {
            winner = found;
        }
        /* Twice the degree is more than twice the work, and memory: it pays only where it halves the batches. */
        if (found.found && all_lanes_fit(s, log_n)) {
            break;
        }
    }
    take(s, &winner, best);
    return status;
}

/* ------------------------------------------------------------------ refreshing */

/* Messages repeat with the period of the packed lanes; matrices of 2^6 butterflies at most. */
static ddt_bootstrap_literal boot_shape(const search *s, unsigned log_n) {
    enum { LOG_SLOTS_MIN = 6, LAYERS = 5, SLOTS_LEVELS_MAX = 3 };
    unsigned log_slots = LOG_SLOTS_MIN;
    while (log_slots < log_n - 1 &&
           ((size_t)1 << log_slots) / s->circuit->graph.pool.block < s->circuit->graph.pool.lanes) {
        log_slots++;
    }
    unsigned levels = (log_slots + LAYERS - 1) / LAYERS;
    return (ddt_bootstrap_literal){.log_slots = log_slots,
                                   .slots_levels = levels > SLOTS_LEVELS_MAX ? SLOTS_LEVELS_MAX : levels};
}

/* The most levels of the user's that could fit. */
static unsigned most_levels(const search *s, unsigned log_n) {
    unsigned boot_levels = DDT_BOOTSTRAP_MOD_LEVELS + 2;
    unsigned most = DDT_CKKS_LEVELS_MAX - boot_levels;
    unsigned scale_bits = s->request.scale_bits != 0 ? s->request.scale_bits : smallest_scale(log_n);
    unsigned allowed = allowed_bits(s, log_n);
    unsigned taken = (boot_levels + 2) * DDT_RING_MODULUS_BITS_MAX;
    unsigned fit = allowed < taken ? 0 : (allowed - taken) / scale_bits;
    most = fit < most ? fit : most;
    return s->request.levels != 0 && s->request.levels < most ? s->request.levels : most;
}

static ddt_status try_refreshing(search *s, unsigned log_n, unsigned *least_scale, candidate *out) {
    program_shape shape = {.output_level = s->output_level,
                           .levels_max = most_levels(s, log_n),
                           .boot = boot_shape(s, log_n),
                           .insecure = s->request.insecure_for_testing};
    *out = (candidate){0};
    s->boot = shape.boot;
    if (s->circuit->graph.pool.block > (size_t)1 << (log_n - 1)) {
        return DDT_OK;
    }
    ddt_status status = programs_make_refreshed(s->ctx, s->circuit, &shape, &s->programs);
    if (status == DDT_OK && s->programs.count == 0 && shape.levels_max > shape.boot.slots_levels) {
        const obstacle next = {.kind = OBSTACLE_CUTS,
                               .refreshes = s->has_refreshes,
                               .log_n = log_n,
                               .depth = shape.levels_max,
                               .amount = -(double)shape.levels_max};
        obstacle_note(&s->nearest, &next);
    }
    return status == DDT_OK && s->programs.count > 0 ? try_degree(s, log_n, least_scale, out) : status;
}

/* Ring degrees that are too small without refreshes. */
static ddt_status search_refreshed(search *s, candidate *best) {
    unsigned least_scale = s->request.scale_bits == 0 ? SCALE_BITS_MIN : s->request.scale_bits;
    degree_range range = degrees(s);
    ddt_status status = DDT_OK;
    range.to = best->found && best->literal.log_n <= range.to ? best->literal.log_n - 1 : range.to;
    for (unsigned log_n = range.from; log_n <= range.to && status == DDT_OK; log_n++) {
        candidate found;
        status = try_refreshing(s, log_n, &least_scale, &found);
        if (status == DDT_OK) {
            bool enough = found.found && all_lanes_fit(s, log_n);
            take(s, &found, best);
            if (enough) {
                break;
            }
        }
    }
    return status;
}

static ddt_status search_both(search *s, candidate *best) {
    ddt_status status = search_plain(s, best);
    /* Without places that the builder has named, only where the depth does not fit otherwise. */
    bool wanted = s->has_refreshes || (!best->found && !s->target_missed && s->best_bound == 0.0);
    if (status == DDT_OK && wanted && s->scale_primes == 1) {
        status = search_refreshed(s, best);
    }
    return status;
}

static ddt_status search_all(search *s, candidate *best) {
    ddt_status status = search_both(s, best);
    if (status == DDT_OK && !best->found && s->headroom_missed && s->output_level == 0) {
        s->nearest = (obstacle){0};
        s->output_level = 1; /* outputs too large for q_0 alone stay one level higher */
        status = search_both(s, best);
    }
    return status;
}

/* ------------------------------------------------------------------ the whole */

static ddt_status fail_target(const search *s) {
    const obstacle *o = &s->nearest;
    /* One prime a level was too coarse, and two are too many. */
    if (s->scale_primes == 2 && s->best_error_bits <= SCALE_BITS_MAX && o->kind == OBSTACLE_MODULUS) {
        return ddt_fail(s->ctx, DDT_ERR_CAPACITY,
                        "The target error %.3g cannot be met: over the circuit's %u levels noise grows to %.3g at "
                        "scale 2^%u, and scales of two primes need a modulus of about %.0f bits where ring degree "
                        "2^%u is secure up to %u; a larger target error, or fewer levels, would help.",
                        s->request.target_error, s->depth, s->best_error, s->best_error_bits, o->amount, o->log_n,
                        o->allowed);
    }
    return ddt_fail(s->ctx, DDT_ERR_CAPACITY,
                    "The target error %.3g cannot be met: over the circuit's %u levels noise grows to %.3g even at "
                    "scale 2^%u; a larger target error, or a circuit that amplifies less, would help.",
                    s->request.target_error, s->depth, s->best_error, s->best_error_bits);
}

static ddt_status fail_capacity(const search *s) {
    if (s->depth > DDT_CKKS_LEVELS_MAX && s->nearest.kind == OBSTACLE_NONE) {
        return ddt_fail(s->ctx, DDT_ERR_CAPACITY, "The circuit does not fit: it needs more than %d levels, and %s.",
                        DDT_CKKS_LEVELS_MAX,
                        s->has_refreshes ? "the places where it may be refreshed lie too far apart"
                                         : "it has no places where it may be refreshed");
    }
    if (s->best_bound > 0.0) {
        return ddt_fail(
            s->ctx, DDT_ERR_CAPACITY,
            "The noise cannot be bounded by %.3g as wanted: the worst case over the circuit's %u levels was "
            "%.3g with the largest parameters that fit.",
            s->request.bound_target, s->depth, s->best_bound);
    }
    /* A ring that had room but too much noise says more than a smaller one that had no room. */
    return s->target_missed ? fail_target(s)
                            : obstacle_fail(s->ctx, &s->nearest, s->largest_output, boot_key_bytes_max);
}

static ddt_status check_request(ddt_context *ctx, const ddt_circuit *circuit, const ddt_plan_request *r) {
    if (circuit->graph.status != DDT_OK) {
        return ddt_fail(ctx, circuit->graph.status, "The circuit was not built without errors and cannot be planned.");
    }
    if (circuit->output_count == 0) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The circuit has no outputs.");
    }
    if (circuit->samples == 0) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The circuit has not been calibrated; run it on typical inputs first.");
    }
    unsigned least = r->insecure_for_testing ? LOG_N_MIN : LOG_N_SECURE_MIN;
    if ((r->log_n != 0 && (r->log_n < least || r->log_n > PLAN_LOG_N_MAX)) || r->output_level > 1 ||
        (r->scale_bits != 0 && (r->scale_bits < SCALE_BITS_MIN || r->scale_bits > SCALE_BITS_MAX)) ||
        r->pack_log_n > PLAN_LOG_N_MAX || !(r->target_error >= 0.0) || !isfinite(r->target_error) ||
        !(r->accept_error >= 0.0) || !(r->bound_target >= 0.0) || !isfinite(r->bound_target)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT,
                        "A plan with ring degree 2^%u, scale 2^%u, output level %u and target error %g cannot be made.",
                        r->log_n, r->scale_bits, r->output_level, r->target_error);
    }
    return DDT_OK;
}

static ddt_status measure_outputs(search *s) {
    for (size_t o = 0; o < s->circuit->output_count; o++) {
        const circuit_node *node = &s->circuit->graph.nodes[s->circuit->outputs[o].node];
        if (!isfinite(node->max)) {
            return ddt_fail(s->ctx, DDT_ERR_RANGE,
                            "Output '%s' of the circuit was not finite during calibration; a polynomial's argument has "
                            "left its range.",
                            s->circuit->outputs[o].name);
        }
        s->largest_output = fmax(s->largest_output, node->max);
    }
    for (size_t n = 0; n < s->circuit->graph.node_count; n++) {
        s->has_refreshes |= s->circuit->graph.nodes[n].kind == NODE_REFRESH;
    }
    return DDT_OK;
}

/* Nominal sizes fit; the exact primes decide. Where they are a hair too large, a smaller q_0 makes room. */
static ddt_status settle(search *s, const candidate *best) {
    const ddt_ckks_params *params = NULL;
    ddt_plan *plan = best->plan;
    if (plan == NULL) {
        return DDT_ERR_INTERNAL; /* make has seen to that */
    }
    plan->literal = best->literal;
    plan->boot.baby = best->baby;
    plan->pack_stages = best->pack;
    plan->predicted_error = best->error;
    ddt_status status = plan_derive(s->ctx, plan);
    if (status == DDT_OK) {
        status = plan_check(s->ctx, plan);
    }
    if (status == DDT_OK) {
        status = ddt_plan_params(s->ctx, plan, &params);
    }
    return status == DDT_OK
               ? plan_worst_error(s->ctx, plan, s->circuit, params, s->request.public_key_inputs, &plan->noise_bound)
               : status;
}

static ddt_status make(search *s, candidate *best) {
    s->scale_primes = 1;
    s->output_level = s->request.output_level;
    ddt_status status = measure_outputs(s);
    if (status == DDT_OK) {
        status = search_all(s, best);
    }
    /* One prime a level is too coarse; more room would not help. */
    bool coarse = s->target_missed || s->best_bound > 0.0;
    if (status == DDT_OK && !best->found && coarse && s->request.scale_bits == 0) {
        s->nearest = (obstacle){0};
        s->scale_primes = 2;
        s->output_level = 0; /* two primes already */
        status = search_all(s, best);
    }
    if (status == DDT_OK && best->plan == NULL) {
        status = fail_capacity(s);
    }
    return status == DDT_OK ? settle(s, best) : status;
}

ddt_status ddt_plan_create(ddt_context *ctx, const ddt_circuit *circuit, const ddt_plan_request *request,
                           ddt_plan **out) {
    search s = {.ctx = ctx, .circuit = circuit, .request = *request, .best_error = INFINITY};
    candidate best = {0};
    ddt_status status = check_request(ctx, circuit, request);
    if (s.request.target_error == 0.0) {
        s.request.target_error = default_target_error;
    }
    if (status == DDT_OK) {
        status = make(&s, &best);
    }
    program_list_clear(&s.programs);
    if (status != DDT_OK) {
        ddt_plan_destroy(best.plan);
        return status;
    }
    *out = best.plan;
    return DDT_OK;
}
