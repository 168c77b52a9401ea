/*
 * Iterated bootstrapping (Bae, Cheon, Cho, Kim, Kim 2022): the error of a first bootstrap is found at the bottom of the
 * chain, where the input still is, magnified, and bootstrapped too. SPDX-License-Identifier: Apache-2.0
 */
#include "bootstrap_internal.h"

#include <math.h>

/*
 * The error is magnified to 2^-6 root mean square. The largest of 2^16 slots is about eight times that; beyond 64 times
 * lies a slot with probability exp(-128).
 */
enum { ERROR_SPARE_BITS = 6 };

static unsigned magnified_bits(const ddt_ckks_params *params) {
    return (unsigned)(-log2(ddt_ckks_noise_bootstrap(params))) - ERROR_SPARE_BITS;
}

double ddt_ckks_noise_bootstrap_iterated(const ddt_ckks_params *params) {
    const double second = ldexp(ddt_ckks_noise_bootstrap(params), -(int)magnified_bits(params));
    /* At the bottom the first result comes down to the input's scale; at the top both results go down one level. */
    const unsigned levels = params->literal.levels;
    const double bottom = ddt_ckks_noise_rescale(params, 2, params->scales[0]);
    const double top = ddt_ckks_noise_rescale(params, 2, params->scales[levels - 1]);
    return sqrt(second * second + bottom * bottom + 2.0 * top * top);
}

typedef ddt_status (*boot_function)(ddt_evaluator *ev, const ddt_bootstrapper *b, const ddt_ciphertext *a,
                                    ddt_ciphertext *out);

typedef struct iterate_work {
    ddt_evaluator *ev;
    const ddt_bootstrapper *b;
    boot_function bootstrap;
    ddt_ciphertext *base;  /* the input at the lowest level */
    ddt_ciphertext *first; /* the result of the first bootstrap */
    ddt_ciphertext *rest;  /* its error */
} iterate_work;

static ddt_status take_work(iterate_work *w) {
    const unsigned low = w->b->slots_levels;
    const unsigned high = w->b->params->literal.levels;
    ddt_status status = ckks_pool_take(w->ev, low, &w->base);
    if (status == DDT_OK) {
        status = ckks_pool_take(w->ev, high, &w->first);
    }
    return status == DDT_OK ? ckks_pool_take(w->ev, high, &w->rest) : status;
}

static void give_work(const iterate_work *w) {
    const ddt_ciphertext *const taken[] = {w->base, w->first, w->rest};
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        if (taken[i] != NULL) {
            ckks_pool_give(w->ev, taken[i]);
        }
    }
}

/* rest = (base - first) 2^bits at the input level, bootstrapped. */
static ddt_status bootstrap_error(const iterate_work *w, double factor) {
    ddt_evaluator *ev = w->ev;
    const unsigned low = w->b->slots_levels;
    ddt_status status = ddt_eval_adjust(ev, w->first, low, ev->params->scales[low], w->rest);
    if (status == DDT_OK) {
        status = ddt_eval_sub(ev, w->base, w->rest, w->rest);
    }
    if (status == DDT_OK) {
        status = ddt_eval_mul_constant(ev, w->rest, factor, 1.0, w->rest);
    }
    return status == DDT_OK ? w->bootstrap(ev, w->b, w->rest, w->rest) : status;
}

/* out = first + rest / 2^bits, one level down. */
static ddt_status join(const iterate_work *w, double factor, ddt_ciphertext *out) {
    ddt_evaluator *ev = w->ev;
    const double *scales = ev->params->scales;
    const unsigned level = w->first->level;
    const double one = scales[level - 1] * ddt_ckks_step_modulus(ev->params, level) / scales[level];
    ddt_status status = ddt_eval_mul_constant(ev, w->rest, 1.0 / factor, one, w->rest);
    if (status == DDT_OK) {
        status = ddt_eval_rescale(ev, w->rest, w->rest);
    }
    if (status == DDT_OK) {
        w->rest->scale = scales[level - 1];
        status = ddt_eval_adjust(ev, w->first, level - 1, scales[level - 1], w->first);
    }
    return status == DDT_OK ? ddt_eval_add(ev, w->first, w->rest, out) : status;
}

static ddt_status check_iterated(ddt_evaluator *ev, const ddt_bootstrapper *b, const ddt_ciphertext *a,
                                 const ddt_ciphertext *out) {
    const ddt_ckks_params *params = ev->params;
    ddt_status status = ckks_check_input(ev, "bootstrap_iterated", a);
    if (status == DDT_OK && (b->params != params || params->literal.levels <= b->slots_levels)) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT,
                          "bootstrap_iterated: the result of a bootstrap is not above its input.");
    }
    if (status == DDT_OK && (a->parts != 2 || a->level < b->slots_levels)) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT,
                          "bootstrap_iterated: 2 parts at level %u or above are wanted, not %u at level %u.",
                          b->slots_levels, a->parts, a->level);
    }
    return status == DDT_OK ? ckks_check_room(ev, "bootstrap_iterated", out, params->literal.levels - 1, 2) : status;
}

static ddt_status iterate(iterate_work *w, const ddt_ciphertext *a, ddt_ciphertext *out) {
    ddt_evaluator *ev = w->ev;
    const double factor = ldexp(1.0, (int)magnified_bits(ev->params));
    ddt_status status = take_work(w);
    if (status == DDT_OK) {
        status = boot_lower(ev, w->b, a, w->base);
    }
    if (status == DDT_OK) {
        status = w->bootstrap(ev, w->b, w->base, w->first);
    }
    if (status == DDT_OK) {
        status = bootstrap_error(w, factor);
    }
    if (status == DDT_OK) {
        status = join(w, factor, out);
    }
    give_work(w);
    return status;
}

ddt_status ddt_eval_bootstrap_iterated(ddt_evaluator *ev, const ddt_bootstrapper *bootstrapper, const ddt_ciphertext *a,
                                       ddt_ciphertext *out) {
    iterate_work w = {.ev = ev, .b = bootstrapper, .bootstrap = ddt_eval_bootstrap};
    ddt_status status = check_iterated(ev, bootstrapper, a, out);
    return status == DDT_OK ? iterate(&w, a, out) : status;
}

ddt_status ddt_eval_bootstrap_iterated_real(ddt_evaluator *ev, const ddt_bootstrapper *bootstrapper,
                                            const ddt_ciphertext *a, ddt_ciphertext *out) {
    iterate_work w = {.ev = ev, .b = bootstrapper, .bootstrap = ddt_eval_bootstrap_real};
    ddt_status status = check_iterated(ev, bootstrapper, a, out);
    return status == DDT_OK ? iterate(&w, a, out) : status;
}
