/*
 * Random circuits with three predictions at each step: the exact message in doubles, the worst case of the error and
 * its
 * average. SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_TEST_CKKS_RANDOM_SUPPORT_H
#define DDT_TEST_CKKS_RANDOM_SUPPORT_H

#include "ckks/support.h"

enum { RANDOM_VALUES = 3, RANDOM_STEPS = 12, RANDOM_TAIL_BITS = 40 };

/* Messages beyond this are not multiplied further: nothing may leave the modulus at level 0. */
static const double random_largest = 4.0;

typedef struct random_value {
    ddt_ciphertext ct;
    double complex *exact;
    ddt_ckks_bound bound;
    double mean_square; /* of the error, on average */
} random_value;

typedef struct random_machine {
    test_scheme t;
    ddt_ciphertext scratch;
    double complex *message;
    random_value values[RANDOM_VALUES];
    size_t circuits;
    size_t steps;
    size_t ratios;
    double closest;    /* error over bound, the largest met */
    double log_ratios; /* of measured over predicted average, summed */
    double log_squares;
} random_machine;

static const int64_t random_rotation = 5;

static inline void random_machine_create(random_machine *m, const ddt_ckks_literal *literal) {
    memset(m, 0, sizeof *m);
    test_scheme_create(&m->t, literal, &random_rotation, 1, 1);
    m->message = test_slots(&m->t);
    assert_ok(m->t.ctx, ddt_ciphertext_create(m->t.ctx, m->t.params, literal->levels, 3, &m->scratch));
    for (unsigned v = 0; v < RANDOM_VALUES; v++) {
        m->values[v].exact = test_slots(&m->t);
        assert_ok(m->t.ctx, ddt_ciphertext_create(m->t.ctx, m->t.params, literal->levels, 3, &m->values[v].ct));
    }
}

static inline void random_machine_destroy(random_machine *m) {
    for (unsigned v = 0; v < RANDOM_VALUES; v++) {
        ddt_free(m->values[v].exact);
        ddt_ciphertext_destroy(&m->values[v].ct);
    }
    ddt_ciphertext_destroy(&m->scratch);
    ddt_free(m->message);
    test_scheme_destroy(&m->t);
}

/* ------------------------------------------------------------------ what is known of a value */

static inline double random_mean_square(const random_machine *m, const double complex *values) {
    double sum = 0.0;
    for (size_t j = 0; j < m->t.slots; j++) {
        sum += creal(values[j]) * creal(values[j]) + cimag(values[j]) * cimag(values[j]);
    }
    return sum / (double)m->t.slots;
}

/* A step's own error joins a value. The oracle's own roundings are counted too. */
static inline void random_add_error(random_value *v, double worst, double average) {
    v->bound.error += worst + 0x1p-51 * v->bound.message;
    v->mean_square += average * average;
}

static inline void random_fresh(random_machine *m, random_value *v) {
    test_scheme *t = &m->t;
    const ddt_ckks_params *params = t->params;
    const unsigned level = ddt_ckks_levels(params);
    const double scale = ddt_ckks_canonical_scale(params, level);
    const bool with_public = test_random() % 2 == 0;
    ddt_plaintext plain = {0};
    test_message((unsigned)(test_random() % TEST_MESSAGES), t->slots, v->exact);
    assert_ok(t->ctx, ddt_ckks_encode(t->ctx, params, v->exact, t->slots, level, scale, &plain));
    ddt_ciphertext_destroy(&v->ct);
    ddt_ciphertext fresh;
    if (with_public) {
        assert_ok(t->ctx, ddt_encrypt_public(t->ctx, params, &t->public_key, &plain, &fresh));
    } else {
        assert_ok(t->ctx, ddt_encrypt_secret(t->ctx, t->secret, &plain, &fresh));
    }
    assert_ok(t->ctx, ddt_ciphertext_create(t->ctx, params, level, 3, &v->ct));
    assert_ok(t->ctx, ddt_eval_drop_level(t->ev, &fresh, level, &v->ct));
    ddt_ciphertext_destroy(&fresh);
    ddt_plaintext_destroy(&plain);
    v->bound = (ddt_ckks_bound){sqrt(2.0), 0.0};
    v->mean_square = 0.0;
    if (with_public) {
        random_add_error(v, ddt_ckks_bound_fresh_public(params, sqrt(2.0), scale, RANDOM_TAIL_BITS),
                         ddt_ckks_noise_fresh_public(params, scale));
    } else {
        random_add_error(v, ddt_ckks_bound_fresh_secret(params, sqrt(2.0), scale, RANDOM_TAIL_BITS),
                         ddt_ckks_noise_fresh_secret(params, scale));
    }
}

/* ------------------------------------------------------------------ steps */

static inline double random_rescale_scale(const random_machine *m, const random_value *v) {
    const ddt_ckks_params *params = m->t.params;
    const unsigned below = v->ct.level - ddt_ckks_step(params);
    return ddt_ckks_canonical_scale(params, below) * ddt_ckks_step_modulus(params, v->ct.level) / v->ct.scale;
}

static inline void random_adjust(random_machine *m, random_value *v, unsigned level) {
    const ddt_ckks_params *params = m->t.params;
    const double scale = ddt_ckks_canonical_scale(params, level);
    const double one = scale * ddt_ckks_step_modulus(params, level + ddt_ckks_step(params)) / v->ct.scale;
    assert_ok(m->t.ctx, ddt_eval_adjust(m->t.ev, &v->ct, level, scale, &v->ct));
    random_add_error(v,
                     ddt_ckks_bound_constant(1.0, one) * v->bound.message +
                         ddt_ckks_bound_rescale(params, 2, scale, RANDOM_TAIL_BITS),
                     ddt_ckks_noise_rescale(params, 2, scale));
}

/* Brings two values to one level. */
static inline void random_meet(random_machine *m, random_value *a, random_value *b) {
    if (a->ct.level > b->ct.level) {
        random_adjust(m, a, b->ct.level);
    } else if (b->ct.level > a->ct.level) {
        random_adjust(m, b, a->ct.level);
    }
}

static inline void random_sum(random_machine *m, random_value *a, random_value *b, bool subtract) {
    random_meet(m, a, b);
    if (subtract) {
        assert_ok(m->t.ctx, ddt_eval_sub(m->t.ev, &a->ct, &b->ct, &a->ct));
    } else {
        assert_ok(m->t.ctx, ddt_eval_add(m->t.ev, &a->ct, &b->ct, &a->ct));
    }
    for (size_t j = 0; j < m->t.slots; j++) {
        a->exact[j] += subtract ? -b->exact[j] : b->exact[j];
    }
    /* A value added to itself: amplitudes add. */
    a->mean_square = a == b ? (subtract ? 0.0 : 4.0 * a->mean_square) : a->mean_square + b->mean_square;
    a->bound = ddt_ckks_bound_sum(a->bound, b->bound);
    random_add_error(a, 0.0, 0.0);
}

/* What a product's average error comes from. */
static inline double random_product_square(const random_machine *m, const random_value *a, const random_value *b) {
    const double square =
        random_mean_square(m, a->exact) * b->mean_square + random_mean_square(m, b->exact) * a->mean_square;
    return a == b ? 2.0 * square : square;
}

/* One product, or the sum of two with one relinearisation; fused with the rescale or not. */
static inline void random_product(random_machine *m, random_value *a, random_value *b, bool twice, bool fused) {
    test_scheme *t = &m->t;
    random_meet(m, a, b);
    const unsigned level = a->ct.level;
    const unsigned below = level - ddt_ckks_step(t->params);
    const double product_scale = a->ct.scale * b->ct.scale;
    const double scale = ddt_ckks_canonical_scale(t->params, below);
    const double square = random_product_square(m, a, b);
    assert_ok(t->ctx, ddt_eval_tensor(t->ev, &a->ct, &b->ct, &m->scratch));
    if (twice) {
        assert_ok(t->ctx, ddt_eval_tensor_add(t->ev, &a->ct, &b->ct, &m->scratch));
    }
    double worst = 0.0;
    double average = 0.0;
    if (fused) {
        assert_ok(t->ctx, ddt_eval_relinearise_rescale(t->ev, &m->scratch, &a->ct));
        worst = ddt_ckks_bound_relinearise_rescale(t->params, level, scale, RANDOM_TAIL_BITS);
        average = ddt_ckks_noise_relinearise_rescale(t->params, level, scale);
    } else {
        assert_ok(t->ctx, ddt_eval_relinearise(t->ev, &m->scratch, &m->scratch));
        assert_ok(t->ctx, ddt_eval_rescale(t->ev, &m->scratch, &a->ct));
        worst = ddt_ckks_bound_key_switch(t->params, level, product_scale, RANDOM_TAIL_BITS) +
                ddt_ckks_bound_rescale(t->params, 2, scale, RANDOM_TAIL_BITS);
        average = hypot(ddt_ckks_noise_key_switch(t->params, level, product_scale),
                        ddt_ckks_noise_rescale(t->params, 2, scale));
    }
    const double factor = twice ? 2.0 : 1.0;
    a->bound = ddt_ckks_bound_product(a->bound, b->bound);
    a->bound.message *= factor;
    a->bound.error *= factor;
    a->mean_square = factor * factor * square;
    random_add_error(a, worst, average);
    for (size_t j = 0; j < t->slots; j++) {
        a->exact[j] *= factor * b->exact[j];
    }
}

/* The automorphism's switch: rotation (alone or hoisted) or conjugation. */
static inline void random_turn(random_machine *m, random_value *a, unsigned kind) {
    test_scheme *t = &m->t;
    ddt_ciphertext *const out[] = {&m->scratch};
    if (kind == 0) {
        assert_ok(t->ctx, ddt_eval_conjugate(t->ev, &a->ct, &a->ct));
    } else if (kind == 1) {
        assert_ok(t->ctx, ddt_eval_rotate(t->ev, &a->ct, random_rotation, &a->ct));
    } else {
        assert_ok(t->ctx, ddt_eval_rotate_hoisted(t->ev, &a->ct, &random_rotation, 1, out));
        assert_ok(t->ctx, ddt_eval_drop_level(t->ev, &m->scratch, m->scratch.level, &a->ct));
    }
    memcpy(m->message, a->exact, t->slots * sizeof *a->exact);
    for (size_t j = 0; j < t->slots; j++) {
        a->exact[j] = kind == 0 ? conj(m->message[j]) : m->message[(j + (size_t)random_rotation) % t->slots];
    }
    random_add_error(a, ddt_ckks_bound_key_switch(t->params, a->ct.level, a->ct.scale, RANDOM_TAIL_BITS),
                     ddt_ckks_noise_key_switch(t->params, a->ct.level, a->ct.scale));
}

static inline void random_add_public(random_machine *m, random_value *a, bool constant) {
    test_scheme *t = &m->t;
    ddt_plaintext plain = {0};
    test_message((unsigned)(test_random() % TEST_MESSAGES), t->slots, m->message);
    if (constant) {
        const double complex c = m->message[0];
        for (size_t j = 0; j < t->slots; j++) {
            m->message[j] = c;
        }
        assert_ok(t->ctx, ddt_eval_add_constant(t->ev, &a->ct, c, &a->ct));
        random_add_error(a, ddt_ckks_bound_constant(sqrt(2.0), a->ct.scale), sqrt(1.0 / 6.0) / a->ct.scale);
    } else {
        assert_ok(t->ctx, ddt_ckks_encode(t->ctx, t->params, m->message, t->slots, a->ct.level, a->ct.scale, &plain));
        assert_ok(t->ctx, ddt_eval_add_plain(t->ev, &a->ct, &plain, &a->ct));
        random_add_error(a, ddt_ckks_bound_encode(t->params, sqrt(2.0), a->ct.scale),
                         ddt_ckks_noise_encode(t->params, a->ct.scale));
    }
    for (size_t j = 0; j < t->slots; j++) {
        a->exact[j] += m->message[j];
    }
    a->bound.message += sqrt(2.0);
    random_add_error(a, 0.0, 0.0);
    ddt_plaintext_destroy(&plain);
}

/* Times a public message or a complex constant, and rescaled. */
static inline void random_mul_public(random_machine *m, random_value *a, bool constant) {
    test_scheme *t = &m->t;
    ddt_plaintext plain = {0};
    const double factor_scale = random_rescale_scale(m, a);
    ddt_ckks_bound factor = {sqrt(2.0), 0.0};
    double rounding = 0.0;
    test_message((unsigned)(test_random() % TEST_MESSAGES), t->slots, m->message);
    if (constant) {
        const double complex c = m->message[0];
        for (size_t j = 0; j < t->slots; j++) {
            m->message[j] = c;
        }
        assert_ok(t->ctx, ddt_eval_mul_constant(t->ev, &a->ct, c, factor_scale, &m->scratch));
        factor.error = ddt_ckks_bound_constant(sqrt(2.0), factor_scale);
        rounding = sqrt(1.0 / 6.0) / factor_scale;
    } else {
        assert_ok(t->ctx, ddt_ckks_encode(t->ctx, t->params, m->message, t->slots, a->ct.level, factor_scale, &plain));
        assert_ok(t->ctx, ddt_eval_mul_plain(t->ev, &a->ct, &plain, &m->scratch));
        factor.error = ddt_ckks_bound_encode(t->params, sqrt(2.0), factor_scale);
        rounding = ddt_ckks_noise_encode(t->params, factor_scale);
    }
    const double square = random_mean_square(m, a->exact) * rounding * rounding;
    a->mean_square = a->mean_square * random_mean_square(m, m->message) + square;
    a->bound = ddt_ckks_bound_product(a->bound, factor);
    assert_ok(t->ctx, ddt_eval_rescale(t->ev, &m->scratch, &a->ct));
    const double scale = ddt_ckks_canonical_scale(t->params, a->ct.level);
    a->ct.scale = scale; /* equal up to the last bit of a double */
    random_add_error(a, ddt_ckks_bound_rescale(t->params, 2, scale, RANDOM_TAIL_BITS),
                     ddt_ckks_noise_rescale(t->params, 2, scale));
    for (size_t j = 0; j < t->slots; j++) {
        a->exact[j] *= m->message[j];
    }
    ddt_plaintext_destroy(&plain);
}

static inline void random_step(random_machine *m) {
    random_value *a = &m->values[test_random() % RANDOM_VALUES];
    random_value *b = &m->values[test_random() % RANDOM_VALUES];
    const unsigned step = ddt_ckks_step(m->t.params);
    const unsigned lowest = a->ct.level < b->ct.level ? a->ct.level : b->ct.level;
    const bool may_grow = a->bound.message + b->bound.message <= random_largest;
    const bool may_multiply = lowest >= 2 * step - 1 && a->bound.message * b->bound.message <= random_largest / 2.0;
    const unsigned kind = (unsigned)(test_random() % 10);
    m->steps++;
    if (kind < 2 && may_grow) {
        random_sum(m, a, b, kind == 1);
    } else if (kind < 5 && may_multiply) {
        random_product(m, a, b, kind == 3, kind != 4);
    } else if (kind == 5 && a->bound.message + sqrt(2.0) <= random_largest) {
        random_add_public(m, a, test_random() % 2 == 0);
    } else if (kind == 6 && a->ct.level >= 2 * step - 1 && a->bound.message * sqrt(2.0) <= random_largest) {
        random_mul_public(m, a, test_random() % 2 == 0);
    } else if (kind == 7 && a->ct.level >= 2 * step - 1) {
        random_adjust(m, a, a->ct.level - step);
    } else if (kind == 8) {
        random_fresh(m, a);
    } else {
        random_turn(m, a, (unsigned)(test_random() % 3));
    }
}

/* One circuit: every value must decrypt within its bound, and its average is collected. */
static inline void random_circuit(random_machine *m) {
    for (unsigned v = 0; v < RANDOM_VALUES; v++) {
        random_fresh(m, &m->values[v]);
    }
    for (unsigned s = 0; s < RANDOM_STEPS; s++) {
        random_step(m);
    }
    for (unsigned v = 0; v < RANDOM_VALUES; v++) {
        random_value *value = &m->values[v];
        test_decrypt(&m->t, &value->ct, m->message);
        const double allowed =
            value->bound.error + ddt_ckks_bound_decode(value->bound.message + value->bound.error, value->ct.scale);
        double largest = 0.0;
        for (size_t j = 0; j < m->t.slots; j++) {
            m->message[j] -= value->exact[j];
            largest = fmax(largest, cabs(m->message[j]));
        }
        if (!(largest <= allowed)) {
            fail_msg("circuit %zu: error 2^%.2f is above the bound 2^%.2f", m->circuits, log2(largest), log2(allowed));
        }
        m->closest = fmax(m->closest, largest / allowed);
        /* A value subtracted from itself is a zero without noise. */
        const double measured = random_mean_square(m, m->message);
        if (value->mean_square > 0x1p-98 && measured > 0.0) {
            const double ratio = 0.5 * log2(measured / value->mean_square);
            m->ratios++;
            m->log_ratios += ratio;
            m->log_squares += ratio * ratio;
        }
    }
    m->circuits++;
}

#endif
