/*
 * The worst case of a plan's outputs: bounds of messages and errors carried through the program, errors added whatever
 * their sign.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include "ddt/ckks/bound.h"

#include <math.h>

/* Failure of one operation's bound has a probability below 2^-128. */
enum { TAIL_BITS = 128 };
/* Values may be this many times larger than calibration has seen. */
static const double message_margin = 2.0;

typedef struct worst_case {
    const ddt_plan *plan;
    const ddt_ckks_params *params;
    const double *maxima;
    ddt_ckks_bound *values;
} worst_case;

/* By the parameters, which the plan may not have taken yet. */
static unsigned prime_level(const worst_case *w, unsigned level) {
    return plan_prime_level(ddt_ckks_params_literal(w->params), level);
}

static double scale_at(const worst_case *w, unsigned level) {
    return ddt_ckks_canonical_scale(w->params, prime_level(w, level));
}

/* The scale at which a factor is encoded so that its product with a value at `from`, rescaled, is canonical at `to`. */
static double factor_scale(const worst_case *w, unsigned from, unsigned to) {
    double modulus = ddt_ckks_step_modulus(w->params, prime_level(w, to + 1));
    return scale_at(w, to) * modulus / scale_at(w, from);
}

static void add(ddt_ckks_bound *sum, ddt_ckks_bound term, double k) {
    *sum = ddt_ckks_bound_sum(*sum, (ddt_ckks_bound){fabs(k) * term.message, fabs(k) * term.error});
}

static ddt_ckks_bound encoded(const worst_case *w, circuit_public p, double scale) {
    double size = circuit_public_max(w->plan->pool.vectors, p);
    return (ddt_ckks_bound){size, p.vector == CIRCUIT_NONE ? ddt_ckks_bound_constant(size, scale)
                                                           : ddt_ckks_bound_encode(w->params, size, scale)};
}

static ddt_ckks_bound combination(const worst_case *w, const plan_instruction *i) {
    const ddt_plan *plan = w->plan;
    unsigned level = plan_result_level(plan, i);
    ddt_ckks_bound sum = {0.0, 0.0};
    for (size_t t = 0; t < i->product_count; t++) {
        const plan_product *p = &plan->products[i->product_begin + t];
        add(&sum, ddt_ckks_bound_product(w->values[p->a], w->values[p->b]), p->k);
    }
    for (size_t t = 0; t < i->scaled_count; t++) {
        const plan_scaled *s = &plan->scaleds[i->scaled_begin + t];
        ddt_ckks_bound factor = encoded(w, s->c, factor_scale(w, plan->levels[s->a], level));
        add(&sum, ddt_ckks_bound_product(w->values[s->a], factor), 1.0);
    }
    if (i->product_count > 0) {
        sum.error +=
            ddt_ckks_bound_relinearise_rescale(w->params, prime_level(w, level + 1), scale_at(w, level), TAIL_BITS);
    } else if (i->scaled_count > 0) {
        sum.error += ddt_ckks_bound_rescale(w->params, 2, scale_at(w, level), TAIL_BITS);
    }
    for (size_t t = 0; t < i->exact_count; t++) {
        const plan_exact *e = &plan->exacts[i->exact_begin + t];
        add(&sum, w->values[e->a], e->k);
    }
    if (!circuit_public_is(i->offset, 0.0)) {
        add(&sum, encoded(w, i->offset, scale_at(w, level)), 1.0);
    }
    return sum;
}

static ddt_ckks_bound adjusted(const worst_case *w, const plan_instruction *i) {
    unsigned level = plan_result_level(w->plan, i);
    double scale = factor_scale(w, w->plan->levels[i->operand], level);
    ddt_ckks_bound one = {1.0, ddt_ckks_bound_constant(1.0, scale)};
    ddt_ckks_bound result = ddt_ckks_bound_product(w->values[i->operand], one);
    result.error += ddt_ckks_bound_rescale(w->params, 2, scale_at(w, level), TAIL_BITS);
    return result;
}

static ddt_ckks_bound polynomial(const worst_case *w, const plan_instruction *i, size_t r) {
    const plan_polynomial *p = &w->plan->polynomials[i->detail_begin + r];
    const double *coefficients = w->plan->coefficients + p->begin;
    unsigned level = w->plan->levels[i->operand];
    ddt_ckks_bound result = {0.0, 0.0};
    for (unsigned k = 0; k <= p->degree; k++) {
        result.message += fabs(coefficients[k]);
    }
    result.error = ddt_ckks_bound_chebyshev(w->params, prime_level(w, level), scale_at(w, level), coefficients,
                                            p->degree, w->values[i->operand].error, TAIL_BITS);
    return result;
}

static ddt_ckks_bound result_bound(const worst_case *w, const plan_instruction *i, size_t r) {
    ddt_ckks_bound result = {INFINITY, INFINITY};
    switch (i->opcode) {
    case PLAN_ADJUST:
        return adjusted(w, i);
    case PLAN_COMBINATION:
        return combination(w, i);
    case PLAN_ROTATION:
        result = w->values[i->operand];
        result.error += ddt_ckks_bound_key_switch(w->params, prime_level(w, w->plan->levels[i->operand]),
                                                  scale_at(w, w->plan->levels[i->operand]), TAIL_BITS);
        return result;
    case PLAN_POLYNOMIAL:
        return polynomial(w, i, r);
    case PLAN_REFRESH:
        break; /* the room below has no worst case of a bootstrap */
    }
    return result;
}

static void bound_all(const worst_case *w, bool public_key) {
    const ddt_plan *plan = w->plan;
    for (size_t v = 0; v < plan->input_count; v++) {
        double size = plan->inputs[v].bound;
        double scale = scale_at(w, plan->levels[v]);
        w->values[v] =
            (ddt_ckks_bound){size, public_key ? ddt_ckks_bound_fresh_public(w->params, size, scale, TAIL_BITS)
                                              : ddt_ckks_bound_fresh_secret(w->params, size, scale, TAIL_BITS)};
    }
    for (size_t k = 0; k < plan->instruction_count; k++) {
        const plan_instruction *i = &plan->instructions[k];
        for (size_t r = 0; r < i->results; r++) {
            size_t v = i->first + r;
            w->values[v] = result_bound(w, i, r);
            w->values[v].message = fmin(w->values[v].message, message_margin * w->maxima[v]);
        }
    }
}

ddt_status plan_worst_error(ddt_context *ctx, const ddt_plan *plan, const ddt_circuit *circuit,
                            const ddt_ckks_params *params, bool public_key, double *error) {
    double *maxima = ddt_alloc(plan->value_count, sizeof *maxima);
    ddt_ckks_bound *values = ddt_calloc(plan->value_count, sizeof *values);
    ddt_status status = DDT_OK;
    *error = 0.0;
    if (maxima == NULL || values == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while bounding a plan's error.");
    } else {
        status = plan_measure(ctx, plan, circuit, maxima);
    }
    if (status == DDT_OK) {
        worst_case w = {.plan = plan, .params = params, .maxima = maxima, .values = values};
        bound_all(&w, public_key);
        for (size_t o = 0; o < plan->output_count; o++) {
            double e = values[plan->outputs[o].value].error;
            *error = e <= *error ? *error : isnan(e) ? INFINITY : e;
        }
    }
    ddt_free(maxima);
    ddt_free(values);
    return status;
}
