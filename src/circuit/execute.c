/*
 * The instructions under CKKS.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "engine.h"

#include <string.h>

static unsigned prime_level(const engine_run *run, uint32_t value) {
    return plan_prime_level(&run->plan->literal, run->plan->levels[value]);
}

/* The same ciphertext without its limbs above `level`: nothing is copied. */
static ddt_ciphertext lowered_view(const ddt_ciphertext *a, unsigned level) {
    ddt_ciphertext view = *a;
    view.level = level;
    view.has_seed = false;
    return view;
}

/* ------------------------------------------------------------------ combinations */

/* The sum one rescale above the result, before that rescale. Levels here are those of primes. */
typedef struct leveled_sum {
    engine_run *run;
    engine_worker *worker;
    unsigned level; /* of the result */
    bool started;
} leveled_sum;

/* worker->sum += k a b */
static ddt_status add_product(leveled_sum *s, const plan_product *product) {
    engine_worker *w = s->worker;
    const ddt_ciphertext *a = engine_value(s->run, product->a);
    const ddt_ciphertext *b = engine_value(s->run, product->b);
    ddt_status status = DDT_OK;
    if (product->k == -1) {
        status = ddt_eval_neg(w->evaluator, a, &w->term);
    } else if (product->k != 1) {
        status = ddt_eval_mul_constant(w->evaluator, a, product->k, 1.0, &w->term);
    }
    if (product->k != 1) {
        a = &w->term;
    }
    if (status == DDT_OK) {
        status = s->started ? ddt_eval_tensor_add(w->evaluator, a, b, &w->sum)
                            : ddt_eval_tensor(w->evaluator, a, b, &w->sum);
    }
    s->started = true;
    return status;
}

/* worker->sum += c a, with c encoded at the scale that makes the rescaled sum canonical */
static ddt_status add_scaled(leveled_sum *s, const plan_scaled *term) {
    engine_run *run = s->run;
    engine_worker *w = s->worker;
    const ddt_ciphertext *value = engine_value(run, term->a);
    unsigned above = s->level + ddt_ckks_step(run->params);
    ddt_ciphertext a = lowered_view(value, above);
    ddt_ciphertext *out = s->started ? &w->term : &w->sum;
    double target = ddt_ckks_canonical_scale(run->params, s->level) * ddt_ckks_step_modulus(run->params, above);
    double scale = target / ddt_ckks_canonical_scale(run->params, value->level);
    ddt_status status = DDT_OK;
    if (term->c.vector == CIRCUIT_NONE) {
        status = ddt_eval_mul_constant(w->evaluator, &a, term->c.constant, scale, out);
    } else {
        const ddt_plaintext *plain = NULL;
        status =
            plan_cache_get(run->ctx, run->plan, run->batch, term->c.vector, above, scale, &w->plain, w->slots, &plain);
        if (status == DDT_OK) {
            status = ddt_eval_mul_plain(w->evaluator, &a, plain, out);
        }
    }
    if (status == DDT_OK && s->started) {
        status = ddt_eval_add(w->evaluator, &w->sum, &w->term, &w->sum);
    }
    s->started = true;
    return status;
}

/* out = the products and scaled terms, rescaled to the result's level. */
static ddt_status make_leveled(leveled_sum *s, const plan_instruction *instruction, ddt_ciphertext *out) {
    const ddt_plan *plan = s->run->plan;
    ddt_evaluator *evaluator = s->worker->evaluator;
    ddt_status status = DDT_OK;
    for (size_t t = 0; t < instruction->product_count && status == DDT_OK; t++) {
        status = add_product(s, &plan->products[instruction->product_begin + t]);
    }
    for (size_t t = 0; t < instruction->scaled_count && status == DDT_OK; t++) {
        status = add_scaled(s, &plan->scaleds[instruction->scaled_begin + t]);
    }
    if (status == DDT_OK) {
        status = s->worker->sum.parts == 3 ? ddt_eval_relinearise_rescale(evaluator, &s->worker->sum, out)
                                           : ddt_eval_rescale(evaluator, &s->worker->sum, out);
    }
    /* Canonical up to the rounding of doubles; pinned, so that nothing accumulates. */
    out->scale = ddt_ckks_canonical_scale(s->run->params, s->level);
    return status;
}

/* *sum (NULL: nothing yet) += k a; the first term is only pointed to. */
static ddt_status add_exact(engine_worker *w, const ddt_ciphertext *a, int32_t k, const ddt_ciphertext **sum,
                            ddt_ciphertext *out) {
    ddt_status status = DDT_OK;
    if (k != 1 && (k != -1 || *sum == NULL)) {
        ddt_ciphertext *product = *sum == NULL ? out : &w->term;
        status =
            k == -1 ? ddt_eval_neg(w->evaluator, a, product) : ddt_eval_mul_constant(w->evaluator, a, k, 1.0, product);
        a = product;
    }
    if (status != DDT_OK || *sum == NULL) {
        *sum = a;
        return status;
    }
    status = k == -1 ? ddt_eval_sub(w->evaluator, *sum, a, out) : ddt_eval_add(w->evaluator, *sum, a, out);
    *sum = out;
    return status;
}

static ddt_status encode_offset(engine_run *run, engine_worker *w, circuit_public offset, unsigned level,
                                const ddt_plaintext **out) {
    double scale = ddt_ckks_canonical_scale(run->params, level);
    if (offset.vector != CIRCUIT_NONE) {
        return plan_cache_get(run->ctx, run->plan, run->batch, offset.vector, level, scale, &w->plain, w->slots, out);
    }
    *out = &w->plain;
    return ddt_ckks_encode_real(run->ctx, run->params, &offset.constant, 1, level, scale, &w->plain);
}

/* An encryption of a public value without randomness: (m, 0). */
static ddt_status make_trivial(engine_run *run, engine_worker *w, circuit_public value, unsigned level,
                               ddt_ciphertext *out) {
    const ddt_plaintext *plain = NULL;
    ddt_status status = encode_offset(run, w, value, level, &plain);
    if (status != DDT_OK) {
        return status;
    }
    size_t n = ddt_ckks_n(run->params);
    size_t bytes = ((size_t)level + 1) * n * sizeof(uint64_t);
    memcpy(ddt_ciphertext_limb(out, n, 0, 0), plain->limbs, bytes);
    memset(ddt_ciphertext_limb(out, n, 1, 0), 0, bytes);
    out->level = level;
    out->parts = 2;
    out->scale = ddt_ckks_canonical_scale(run->params, level);
    out->has_seed = false;
    return DDT_OK;
}

static ddt_status add_offset(engine_run *run, engine_worker *w, circuit_public offset, const ddt_ciphertext **sum,
                             ddt_ciphertext *out) {
    const ddt_plaintext *plain = NULL;
    ddt_status status = DDT_OK;
    if (circuit_public_is(offset, 0.0)) {
        return DDT_OK;
    }
    if (offset.vector == CIRCUIT_NONE) {
        status = ddt_eval_add_constant(w->evaluator, *sum, offset.constant, out);
    } else {
        status = encode_offset(run, w, offset, (*sum)->level, &plain);
        if (status == DDT_OK) {
            status = ddt_eval_add_plain(w->evaluator, *sum, plain, out);
        }
    }
    *sum = out;
    return status;
}

static ddt_status execute_combination(engine_run *run, engine_worker *w, const plan_instruction *instruction,
                                      ddt_ciphertext *out) {
    unsigned level = prime_level(run, instruction->first);
    const ddt_ciphertext *sum = NULL;
    ddt_status status = DDT_OK;
    if (instruction->product_count + instruction->scaled_count + instruction->exact_count == 0) {
        return make_trivial(run, w, instruction->offset, level, out);
    }
    if (instruction->product_count + instruction->scaled_count > 0) {
        leveled_sum s = {.run = run, .worker = w, .level = level};
        status = make_leveled(&s, instruction, out);
        sum = out;
    }
    for (size_t t = 0; t < instruction->exact_count && status == DDT_OK; t++) {
        const plan_exact *exact = &run->plan->exacts[instruction->exact_begin + t];
        status = add_exact(w, engine_value(run, exact->a), exact->k, &sum, out);
    }
    if (status == DDT_OK) {
        status = sum == NULL ? DDT_ERR_INTERNAL : add_offset(run, w, instruction->offset, &sum, out);
    }
    if (status == DDT_OK && sum != out) {
        status = ddt_eval_drop_level(w->evaluator, sum, level, out);
    }
    return status;
}

/* ------------------------------------------------------------------ the others */

static ddt_status execute_rotation(engine_run *run, engine_worker *w, const plan_instruction *instruction,
                                   ddt_ciphertext *const *out) {
    int64_t steps[PLAN_ROTATIONS_MAX];
    const ddt_ciphertext *a = engine_value(run, instruction->operand);
    for (size_t r = 0; r < instruction->results; r++) {
        steps[r] = plan_rotation(run->plan, run->plan->steps[instruction->detail_begin + r]);
    }
    if (instruction->results == 1) {
        return ddt_eval_rotate(w->evaluator, a, steps[0], out[0]);
    }
    return ddt_eval_rotate_hoisted(w->evaluator, a, steps, instruction->results, out);
}

static ddt_status execute_polynomial(engine_run *run, engine_worker *w, const plan_instruction *instruction,
                                     ddt_ciphertext *const *out) {
    const double *coefficients[PLAN_ROTATIONS_MAX];
    unsigned degrees[PLAN_ROTATIONS_MAX];
    for (size_t r = 0; r < instruction->results; r++) {
        const plan_polynomial *p = &run->plan->polynomials[instruction->detail_begin + r];
        coefficients[r] = run->plan->coefficients + p->begin;
        degrees[r] = p->degree;
    }
    return ddt_eval_chebyshev(w->evaluator, engine_value(run, instruction->operand), coefficients, degrees,
                              instruction->results, out);
}

static ddt_status execute_refresh(engine_run *run, engine_worker *w, const plan_instruction *instruction,
                                  ddt_ciphertext *const *out) {
    const ddt_ciphertext *a = engine_value(run, instruction->operand);
    if (instruction->partner == CIRCUIT_NONE) {
        return ddt_eval_bootstrap_real(w->evaluator, run->bootstrapper, a, out[0]);
    }
    return ddt_eval_bootstrap_pair(w->evaluator, run->bootstrapper, a, engine_value(run, instruction->partner), out[0],
                                   out[1]);
}

static ddt_status execute(engine_run *run, engine_worker *w, const plan_instruction *instruction,
                          ddt_ciphertext *const *out) {
    unsigned level = prime_level(run, instruction->first);
    switch (instruction->opcode) {
    case PLAN_ADJUST:
        return ddt_eval_adjust(w->evaluator, engine_value(run, instruction->operand), level,
                               ddt_ckks_canonical_scale(run->params, level), out[0]);
    case PLAN_COMBINATION:
        return execute_combination(run, w, instruction, out[0]);
    case PLAN_ROTATION:
        return execute_rotation(run, w, instruction, out);
    case PLAN_POLYNOMIAL:
        return execute_polynomial(run, w, instruction, out);
    case PLAN_REFRESH:
        return execute_refresh(run, w, instruction, out);
    }
    return DDT_ERR_INTERNAL;
}

ddt_status engine_execute(engine_run *run, engine_worker *worker, const plan_instruction *instruction) {
    ddt_ciphertext *out[PLAN_ROTATIONS_MAX] = {0};
    ddt_status status = DDT_OK;
    for (size_t r = 0; r < instruction->results && status == DDT_OK; r++) {
        status = engine_take(run, prime_level(run, instruction->first + (uint32_t)r), &out[r]);
    }
    if (status == DDT_OK) {
        status = out[0] == NULL ? DDT_ERR_INTERNAL : execute(run, worker, instruction, out);
    }
    for (size_t r = 0; r < instruction->results; r++) {
        run->values[instruction->first + r] = out[r]; /* after a failure too: freed at the end of the run */
    }
    return status;
}
