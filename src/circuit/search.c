/*
 * The planner's search: ring degree, prime sizes and special primes.
 *
 * The instructions do not depend on the parameters, so the search is over numbers only. For each ring degree the noise,
 * simulated at one scale, says how large the scale must be (noise is proportional to 1 / scale); the largest output
 * says how large q_0; what the security table leaves goes to special primes, of which more make key switching cheaper
 * up to a point. The candidate with the least predicted time over all batches wins.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <math.h>
#include <string.h>

enum {
    LOG_N_MIN = 10,
    LOG_N_SECURE_MIN = 12,
    LOG_N_MAX = 17,
    SCALE_BITS_MIN = 26,
    SCALE_BITS_MAX = 49,
    SCALE_BITS_REFERENCE = 40,
    /* Calibration has seen some of the population: outputs may be this many times larger (2 bits), and one bit is the
       sign. */
    HEADROOM_BITS = 3,
    SCALE_TRIES = 4
};
static const double default_target_error = 1e-5;

typedef struct search {
    ddt_context *ctx;
    const ddt_circuit *circuit;
    ddt_plan_request request;
    ddt_plan *plan;
    unsigned depth;
    double largest_output;
    /* Over what was tried, for the message when nothing fits. */
    unsigned bits_wanted, log_n_wanted;
    bool headroom_missed;
    bool target_missed;
    double best_error;
} search;

typedef struct candidate {
    ddt_ckks_literal literal;
    double error;
    double seconds;
    bool found;
} candidate;

static unsigned headroom_bits(const search *s) {
    double magnitude = s->largest_output + 2.0 * s->request.target_error;
    double bits = magnitude > 0.0 ? ceil(log2(magnitude)) : 0.0;
    return HEADROOM_BITS + (unsigned)fmax(bits, 0.0);
}

/* Room above the scale in what holds an output: q_0, and q_1 too where outputs stay at level 1. */
static bool headroom_ok(const search *s, unsigned first_bits, unsigned scale_bits) {
    return first_bits + s->plan->output_level * scale_bits >= scale_bits + headroom_bits(s);
}

static unsigned nominal_bits(const ddt_ckks_literal *p) {
    return p->first_bits + p->levels * p->scale_bits + (unsigned)ceil(p->p_count * ddt_ckks_special_bits(p));
}

/* The bits that security allows; primes may lie a little above their nominal size. */
static unsigned allowed_bits(const search *s, unsigned log_n) {
    return s->request.insecure_for_testing ? UINT32_MAX : ddt_ckks_max_log_qp(log_n);
}

/* ------------------------------------------------------------------ scale */

static ddt_status predict(const search *s, const ddt_ckks_literal *literal, double *error) {
    return plan_predict_error(s->ctx, s->plan, s->circuit, literal, s->request.public_key_inputs, error);
}

/* The smallest scale that leaves enough primes of that size. */
static unsigned smallest_scale(unsigned log_n) {
    const unsigned spare_bits = 13;
    return log_n + spare_bits > SCALE_BITS_MIN ? log_n + spare_bits : SCALE_BITS_MIN;
}

/* The smallest scale at which the predicted error should meet the target, from one simulation: noise goes with 1 /
 * scale. */
static ddt_status estimate_scale(const search *s, unsigned log_n, unsigned *scale_bits) {
    double error = 0.0;
    ddt_ckks_literal literal = {.log_n = log_n,
                                .levels = s->depth,
                                .first_bits = DDT_RING_MODULUS_BITS_MAX,
                                .scale_bits = SCALE_BITS_REFERENCE,
                                .p_count = 2};
    *scale_bits = s->request.scale_bits;
    if (s->request.scale_bits != 0) {
        return DDT_OK;
    }
    ddt_status status = predict(s, &literal, &error);
    double excess = error > 0.0 ? log2(error / s->request.target_error) : -(double)SCALE_BITS_MAX;
    /* Not finite where noise overwhelmed the computation. */
    double wanted = isfinite(excess) ? ceil(SCALE_BITS_REFERENCE + excess) : SCALE_BITS_MAX;
    *scale_bits = (unsigned)fmin(fmax(wanted, smallest_scale(log_n)), SCALE_BITS_MAX);
    return status;
}

/* ------------------------------------------------------------------ candidates */

static void consider(const search *s, const ddt_ckks_literal *literal, candidate *best) {
    size_t room = ((size_t)1 << (literal->log_n - 1)) / s->plan->pool.block;
    size_t batches = (s->plan->pool.lanes + room - 1) / room;
    double seconds = (double)batches * plan_cost(s->plan, literal);
    if (!best->found || seconds < best->seconds) {
        *best = (candidate){.literal = *literal, .seconds = seconds, .found = true};
    }
}

/* The best number of special primes at one ring degree and scale. */
static void consider_scale(const search *s, unsigned log_n, unsigned scale_bits, candidate *best) {
    unsigned allowed = allowed_bits(s, log_n);
    for (unsigned p_count = 1; p_count <= DDT_CKKS_P_MAX && p_count <= s->depth + 1; p_count++) {
        /* The largest q_0 that fits: headroom costs nothing else. */
        for (unsigned first = DDT_RING_MODULUS_BITS_MAX; first >= scale_bits; first--) {
            ddt_ckks_literal literal = {
                .log_n = log_n, .levels = s->depth, .first_bits = first, .scale_bits = scale_bits, .p_count = p_count};
            if (headroom_ok(s, first, scale_bits) && nominal_bits(&literal) + 1 <= allowed) {
                consider(s, &literal, best);
                break;
            }
        }
    }
}

static void note_failure(search *s, unsigned log_n, unsigned scale_bits) {
    s->headroom_missed |= !headroom_ok(s, DDT_RING_MODULUS_BITS_MAX, scale_bits);
    s->log_n_wanted = log_n;
    s->bits_wanted = scale_bits + headroom_bits(s) + s->depth * scale_bits + DDT_RING_MODULUS_BITS_MAX;
}

/* False where even the smallest conceivable modulus is above the table. */
static bool can_fit(const search *s, unsigned log_n, unsigned scale_bits) {
    unsigned least = (s->depth + 1) * scale_bits + DDT_RING_MODULUS_BITS_MAX;
    return least <= allowed_bits(s, log_n) && s->plan->pool.block <= (size_t)1 << (log_n - 1);
}

/* The best candidate of one ring degree, with its error predicted for exactly its parameters. */
static ddt_status try_degree(search *s, unsigned log_n, unsigned *least_scale, candidate *out) {
    unsigned scale_bits = 0;
    unsigned floor_bits = s->request.scale_bits != 0 ? s->request.scale_bits : smallest_scale(log_n);
    floor_bits = *least_scale > floor_bits ? *least_scale : floor_bits;
    *out = (candidate){0};
    if (!can_fit(s, log_n, floor_bits)) {
        note_failure(s, log_n, floor_bits);
        return DDT_OK;
    }
    candidate last = {0};
    ddt_status status = estimate_scale(s, log_n, &scale_bits);
    for (unsigned tries = 0; status == DDT_OK && tries < SCALE_TRIES && scale_bits <= SCALE_BITS_MAX; tries++) {
        candidate best = {0};
        *least_scale = scale_bits; /* a larger ring is noisier: it needs at least as much */
        consider_scale(s, log_n, scale_bits, &best);
        if (!best.found) {
            note_failure(s, log_n, scale_bits);
            return DDT_OK;
        }
        status = predict(s, &best.literal, &best.error);
        if (status == DDT_OK && (best.error <= s->request.target_error || s->request.scale_bits != 0)) {
            *out = best;
            return DDT_OK;
        }
        s->target_missed = true;
        /* NaN where noise overwhelms the computation. */
        s->best_error = best.error < s->best_error ? best.error : s->best_error;
        last = best;
        scale_bits++;
    }
    if (status == DDT_OK && last.found && last.error <= s->request.accept_error) {
        *out = last; /* noisier than wanted, but the caller has said that this much is acceptable */
    }
    return status;
}

static ddt_status search_all(search *s, candidate *best) {
    unsigned least_scale = s->request.scale_bits == 0 ? SCALE_BITS_MIN : s->request.scale_bits;
    unsigned from = s->request.insecure_for_testing ? LOG_N_MIN : LOG_N_SECURE_MIN;
    unsigned to = LOG_N_MAX;
    if (s->request.log_n != 0) {
        from = s->request.log_n;
        to = s->request.log_n;
    }
    ddt_status status = DDT_OK;
    for (unsigned log_n = from; log_n <= to && status == DDT_OK; log_n++) {
        candidate found;
        status = try_degree(s, log_n, &least_scale, &found);
        if (status == DDT_OK && found.found && (!best->found || found.seconds < best->seconds)) {
            *best = found;
        }
        /* Twice the degree is more than twice the work: it pays only where it halves the batches. */
        size_t room = ((size_t)1 << (log_n - 1)) / s->plan->pool.block;
        if (found.found && room >= s->plan->pool.lanes) {
            break;
        }
    }
    return status;
}

/* ------------------------------------------------------------------ the whole */

static ddt_status fail_capacity(const search *s) {
    /* A ring that had room but too much noise says more than a smaller one that had no room. */
    if (s->target_missed) {
        return ddt_fail(s->ctx, DDT_ERR_CAPACITY,
                        "The target error %.3g cannot be met: over the circuit's %u levels noise grows to %.3g even at "
                        "scale 2^%d, the "
                        "largest; a larger target error, or a circuit that amplifies less, would help.",
                        s->request.target_error, s->depth, s->best_error, SCALE_BITS_MAX);
    }
    unsigned allowed = s->log_n_wanted == 0 ? 0 : ddt_ckks_max_log_qp(s->log_n_wanted);
    return ddt_fail(
        s->ctx, DDT_ERR_CAPACITY,
        "The circuit does not fit: its %u levels and outputs up to %.3g need a modulus of about %u bits, and ring "
        "degree 2^%u is secure up to %u; a larger ring, fewer levels, a larger target error or a smaller block "
        "would help.",
        s->depth, s->largest_output, s->bits_wanted, s->log_n_wanted, allowed);
}

static ddt_status build(search *s, unsigned output_level) {
    circuit_graph graph;
    ddt_node *outputs = ddt_alloc(s->circuit->output_count, sizeof *outputs);
    ddt_plan_destroy(s->plan);
    s->plan = plan_new();
    if (outputs == NULL || s->plan == NULL) {
        ddt_free(outputs);
        return ddt_fail(s->ctx, DDT_ERR_MEMORY, "Memory is short while planning.");
    }
    ddt_status status = circuit_optimise(s->ctx, s->circuit, &graph, outputs);
    if (status == DDT_OK) {
        status = circuit_lower(s->ctx, s->circuit, &graph, outputs, output_level, s->plan);
    }
    circuit_graph_clear(&graph);
    ddt_free(outputs);
    s->depth = plan_depth(s->plan);
    s->plan->insecure = s->request.insecure_for_testing;
    s->plan->literal.log_n = LOG_N_MAX;
    return status == DDT_OK ? plan_derive(s->ctx, s->plan) : status;
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
    if ((r->log_n != 0 && (r->log_n < least || r->log_n > LOG_N_MAX)) || r->output_level > 1 ||
        (r->scale_bits != 0 && (r->scale_bits < SCALE_BITS_MIN || r->scale_bits > SCALE_BITS_MAX)) ||
        !(r->target_error >= 0.0) || !isfinite(r->target_error) || !(r->accept_error >= 0.0)) {
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
    return DDT_OK;
}

/* Nominal sizes fit; the exact primes decide. Where they are a hair too large, a smaller q_0 makes room. */
static ddt_status settle(search *s, const candidate *best) {
    const ddt_ckks_params *params = NULL;
    ddt_plan *plan = s->plan;
    plan->literal = best->literal;
    plan->predicted_error = best->error;
    ddt_status status = plan_derive(s->ctx, plan);
    if (status == DDT_OK) {
        status = plan_check(s->ctx, plan);
    }
    return status == DDT_OK ? ddt_plan_params(s->ctx, plan, &params) : status;
}

static ddt_status make(search *s) {
    candidate best = {0};
    ddt_status status = measure_outputs(s);
    if (status == DDT_OK) {
        status = build(s, s->request.output_level);
    }
    if (status == DDT_OK) {
        status = search_all(s, &best);
    }
    if (status == DDT_OK && !best.found && s->headroom_missed && s->request.output_level == 0) {
        /* Outputs too large for q_0 alone stay one level higher. */
        status = build(s, 1);
        if (status == DDT_OK) {
            status = search_all(s, &best);
        }
    }
    if (status == DDT_OK && !best.found) {
        status = fail_capacity(s);
    }
    return status == DDT_OK ? settle(s, &best) : status;
}

ddt_status ddt_plan_create(ddt_context *ctx, const ddt_circuit *circuit, const ddt_plan_request *request,
                           ddt_plan **out) {
    search s = {.ctx = ctx, .circuit = circuit, .request = *request, .best_error = INFINITY};
    ddt_status status = check_request(ctx, circuit, request);
    if (s.request.target_error == 0.0) {
        s.request.target_error = default_target_error;
    }
    if (status == DDT_OK) {
        status = make(&s);
    }
    if (status != DDT_OK) {
        ddt_plan_destroy(s.plan);
        return status;
    }
    *out = s.plan;
    return DDT_OK;
}
