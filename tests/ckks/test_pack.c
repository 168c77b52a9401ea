/*
 * Several real vectors in one ciphertext: each comes back, at its own level and scale, with an error below the bound.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support.h"

#include "ddt/ckks/bound.h"
#include "ddt/ckks/pack.h"

enum { LOG_N = 10, TAIL_BITS = 40, TOP = 6 };

static const ddt_ckks_literal simple = {
    .log_n = LOG_N, .levels = TOP, .first_bits = 49, .scale_bits = 40, .p_count = 2};
static const ddt_ckks_literal composite = {
    .log_n = LOG_N, .levels = TOP + 1, .first_bits = 49, .scale_bits = 45, .p_count = 3, .scale_primes = 2};

static void create(const ddt_ckks_literal *literal, test_scheme *t) {
    const int64_t rotations[] = {1 << (LOG_N - 2), 1 << (LOG_N - 3)}; /* a half and a quarter of the slots */
    test_scheme_create(t, literal, rotations, 2, 2);
}

/* `count` vectors of one period at mixed levels. */
typedef struct trial {
    size_t count, period;
    double *values[DDT_CKKS_PACK_MAX];
    unsigned levels[DDT_CKKS_PACK_MAX];
    unsigned top;
} trial;

static trial trial_create(const test_scheme *t, size_t count, size_t period) {
    trial r = {.count = count, .period = period};
    const unsigned step = ddt_ckks_step(t->params);
    for (size_t k = 0; k < count; k++) {
        r.values[k] = calloc(period, sizeof **r.values);
        r.levels[k] = step - 1 + step * (unsigned)(test_random() % (TOP / step));
        r.top = r.levels[k] > r.top ? r.levels[k] : r.top;
        for (size_t i = 0; i < period; i++) {
            r.values[k][i] = k % 3 == 2 ? (double)(i % 2) : test_uniform();
        }
    }
    return r;
}

static void trial_destroy(trial *r) {
    for (size_t k = 0; k < r->count; k++) {
        free(r->values[k]);
    }
}

static void pack(test_scheme *t, const trial *r, ddt_plaintext *out) {
    ddt_ckks_packed vectors[DDT_CKKS_PACK_MAX];
    for (size_t k = 0; k < r->count; k++) {
        vectors[k] = (ddt_ckks_packed){.values = r->values[k], .level = r->levels[k]};
    }
    assert_ok(t->ctx, ddt_ckks_pack(t->ctx, t->params, vectors, r->count, r->period, r->top, out));
}

static void encrypt(test_scheme *t, const trial *r, bool public_key, ddt_ciphertext *out) {
    ddt_plaintext plain = {0};
    pack(t, r, &plain);
    assert_ok(t->ctx, public_key ? ddt_encrypt_public(t->ctx, t->params, &t->public_key, &plain, out)
                                 : ddt_encrypt_secret(t->ctx, t->secret, &plain, out));
    ddt_plaintext_destroy(&plain);
}

/* Largest error of what comes out, as docs and header bound it: at the smallest scale of all levels. */
static double bound_of(const test_scheme *t, const trial *r, bool public_key) {
    const double scale = ddt_ckks_canonical_scale(t->params, r->top);
    const double gain = ldexp(1.0, (int)ddt_ckks_pack_stages(r->count));
    const double fresh = public_key ? ddt_ckks_bound_fresh_public(t->params, 1.0, scale, TAIL_BITS)
                                    : ddt_ckks_bound_fresh_secret(t->params, 1.0, scale, TAIL_BITS);
    const double switching = ddt_ckks_bound_key_switch(t->params, r->top, scale, TAIL_BITS);
    const double decoding = 0x1p-44;
    return 1.01 * (gain * fresh + (gain - 1.0) * switching) + decoding;
}

static void check_vector(test_scheme *t, const trial *r, size_t k, const ddt_ciphertext *out, double bound) {
    double complex *expected = test_slots(t);
    for (size_t i = 0; i < t->slots; i++) {
        expected[i] = r->values[k][i % r->period];
    }
    assert_int_equal(out->level, r->levels[k]);
    assert_int_equal(out->parts, 2);
    assert_true(out->scale == ddt_ckks_canonical_scale(t->params, out->level));
    assert_error_below(test_error(t, out, expected), bound);
    ddt_free(expected);
}

static void check_trial(test_scheme *t, size_t count, size_t period, bool public_key) {
    trial r = trial_create(t, count, period);
    ddt_ciphertext packed = {0};
    ddt_ciphertext out[DDT_CKKS_PACK_MAX] = {0};
    encrypt(t, &r, public_key, &packed);
    assert_int_equal(packed.level, r.top);
    assert_int_equal(packed.has_seed, !public_key);
    assert_ok(t->ctx, ddt_eval_unpack(t->ev, &packed, r.levels, count, out));
    const double bound = bound_of(t, &r, public_key);
    for (size_t k = 0; k < count; k++) {
        check_vector(t, &r, k, &out[k], bound);
        ddt_ciphertext_destroy(&out[k]);
    }
    ddt_ciphertext_destroy(&packed);
    trial_destroy(&r);
}

/* Every period that has room for so many. */
static void check_count(test_scheme *t, size_t count) {
    for (size_t period = 1; period <= t->slots; period *= 4) {
        if (ddt_ckks_pack_stages(count) <= ddt_ckks_pack_stages_max(LOG_N, period)) {
            check_trial(t, count, period, (count + period) % 2 == 0);
        }
    }
}

/* Every count, both keys, one and two primes a level. */
static void test_all_come_back(void **state) {
    (void)state;
    const ddt_ckks_literal *literals[] = {&simple, &composite};
    for (size_t l = 0; l < 2; l++) {
        test_scheme t;
        create(literals[l], &t);
        for (size_t count = 1; count <= DDT_CKKS_PACK_MAX; count++) {
            check_count(&t, count);
        }
        test_scheme_destroy(&t);
    }
}

/* A vector's own limbs: the stages' keys are those of rotations by a half, a quarter, ... and the conjugation. */
static void test_keys(void **state) {
    (void)state;
    test_scheme t;
    create(&simple, &t);
    const ddt_ring *ring = ddt_ckks_params_ring(t.params);
    for (unsigned stages = 1; stages <= DDT_CKKS_PACK_STAGES_MAX; stages++) {
        for (unsigned stage = 1; stage < stages; stage++) {
            assert_true(ddt_ckks_pack_galois(LOG_N, stages, stage) ==
                        ddt_ring_galois_rotation(ring, (int64_t)(t.slots >> stage)));
        }
        assert_true(ddt_ckks_pack_galois(LOG_N, stages, stages) == ddt_ring_galois_conjugation(ring));
    }
    test_scheme_destroy(&t);
}

static void test_refused(void **state) {
    (void)state;
    test_scheme t;
    create(&simple, &t);
    trial r = trial_create(&t, 3, t.slots);
    ddt_ckks_packed vectors[DDT_CKKS_PACK_MAX + 1] = {0};
    ddt_plaintext plain = {0};
    ddt_ciphertext upload = {0};
    ddt_ciphertext out[DDT_CKKS_PACK_MAX] = {0};
    for (size_t k = 0; k <= DDT_CKKS_PACK_MAX; k++) {
        vectors[k] = (ddt_ckks_packed){.values = r.values[0], .level = r.levels[0]};
    }
    /* No room: three vectors of all slots, too many of a short period, a level above the upload's. */
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_ckks_pack(t.ctx, t.params, vectors, 3, t.slots, TOP, &plain));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT,
                 ddt_ckks_pack(t.ctx, t.params, vectors, DDT_CKKS_PACK_MAX + 1, 1, TOP, &plain));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_ckks_pack(t.ctx, t.params, vectors, 0, 1, TOP, &plain));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_ckks_pack(t.ctx, t.params, vectors, 2, 3, TOP, &plain));
    vectors[1].level = TOP;
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_ckks_pack(t.ctx, t.params, vectors, 2, 1, TOP - 1, &plain));
    assert_ok(t.ctx, ddt_ckks_pack(t.ctx, t.params, vectors, 2, 1, TOP, &plain));
    assert_ok(t.ctx, ddt_encrypt_secret(t.ctx, t.secret, &plain, &upload));
    const unsigned above[] = {TOP + 1, 0};
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_eval_unpack(t.ev, &upload, above, 2, out));
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_eval_unpack(t.ev, &upload, above, 0, out));
    ddt_plaintext_destroy(&plain);
    ddt_ciphertext_destroy(&upload);
    trial_destroy(&r);
    test_scheme_destroy(&t);
}

/* Wherever memory fails, nothing is left behind. */
static void test_memory(void **state) {
    (void)state;
    test_scheme t;
    create(&simple, &t);
    trial r = trial_create(&t, DDT_CKKS_PACK_MAX, 1);
    ddt_ciphertext upload = {0};
    encrypt(&t, &r, false, &upload);
    ddt_status status = DDT_ERR_MEMORY;
    for (uint64_t after = 0; status == DDT_ERR_MEMORY; after++) {
        ddt_ciphertext out[DDT_CKKS_PACK_MAX] = {0};
        (void)ddt_alloc_fail_after(after);
        status = ddt_eval_unpack(t.ev, &upload, r.levels, r.count, out);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        for (size_t k = 0; k < r.count; k++) {
            assert_true(status == DDT_OK || out[k].limbs == NULL);
            ddt_ciphertext_destroy(&out[k]);
        }
        ddt_context_clear(t.ctx);
    }
    assert_int_equal(status, DDT_OK);
    ddt_ciphertext_destroy(&upload);
    trial_destroy(&r);
    test_scheme_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_come_back), cmocka_unit_test(test_keys),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
