/*
 * Every number of threads gives the same bytes: at odd and even numbers of limbs and special primes, where targets are
 * shared by pieces, whether or not threads have caches of their own, with more threads than targets, and from a region
 * that gets fewer threads than it asks for.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ckks_internal.h"

#include "ckks/support.h"

#include <limits.h>
#include <omp.h>

enum { ROTATIONS = 3, OPERATIONS = 6, OUTPUTS = OPERATIONS + ROTATIONS, TEAMS = 4 };

static const int64_t steps[ROTATIONS] = {1, -3, 0};
static const int teams[TEAMS] = {2, 3, 5, 23};

typedef struct outputs {
    ddt_ciphertext of[OUTPUTS];
} outputs;

static void outputs_create(test_scheme *t, outputs *out) {
    for (size_t i = 0; i < OUTPUTS; i++) {
        assert_ok(t->ctx, ddt_ciphertext_create(t->ctx, t->params, ddt_ckks_levels(t->params), 3, &out->of[i]));
    }
}

static void outputs_destroy(outputs *out) {
    for (size_t i = 0; i < OUTPUTS; i++) {
        ddt_ciphertext_destroy(&out->of[i]);
    }
}

/* Every operation that switches keys, also in place. */
static void compute(test_scheme *t, ddt_evaluator *ev, const ddt_ciphertext *a, const ddt_ciphertext *b, outputs *out) {
    ddt_ciphertext *const hoisted[ROTATIONS] = {&out->of[OPERATIONS], &out->of[OPERATIONS + 1],
                                                &out->of[OPERATIONS + 2]};
    ddt_ciphertext *o = out->of;
    assert_ok(t->ctx, ddt_eval_mul(ev, a, b, &o[0]));
    assert_ok(t->ctx, ddt_eval_rotate(ev, a, steps[0], &o[1]));
    assert_ok(t->ctx, ddt_eval_tensor(ev, a, b, &o[2]));
    assert_ok(t->ctx, ddt_eval_relinearise(ev, &o[2], &o[3]));
    assert_ok(t->ctx, ddt_eval_conjugate(ev, b, &o[4]));
    assert_ok(t->ctx, ddt_eval_conjugate(ev, &o[4], &o[4]));
    assert_ok(t->ctx, ddt_eval_add(ev, a, a, &o[5]));
    assert_ok(t->ctx, ddt_eval_mul(ev, &o[5], b, &o[5]));
    assert_ok(t->ctx, ddt_eval_rotate_hoisted(ev, a, steps, ROTATIONS, hoisted));
}

static void check_same(const test_scheme *t, const outputs *a, const outputs *b, int threads) {
    const size_t n = ddt_ckks_n(t->params);
    for (size_t i = 0; i < OUTPUTS; i++) {
        const ddt_ciphertext *x = &a->of[i];
        const ddt_ciphertext *y = &b->of[i];
        assert_int_equal(x->level, y->level);
        assert_int_equal(x->parts, y->parts);
        for (unsigned p = 0; p < x->parts; p++) {
            const size_t bytes = (x->level + (size_t)1) * n * sizeof(uint64_t);
            if (memcmp(ddt_ciphertext_limb(x, n, p, 0), ddt_ciphertext_limb(y, n, p, 0), bytes) != 0) {
                fail_msg("output %zu, part %u, level %u differs with %d threads", i, p, x->level, threads);
            }
        }
    }
}

static void check_literal(const ddt_ckks_literal *literal) {
    test_scheme t;
    outputs one;
    outputs many;
    ddt_ciphertext a;
    ddt_ciphertext b;
    ddt_evaluator *evs[TEAMS];
    test_scheme_create(&t, literal, steps, ROTATIONS - 1, 1);
    double complex *message = test_slots(&t);
    outputs_create(&t, &one);
    outputs_create(&t, &many);
    for (size_t i = 0; i < TEAMS; i++) {
        assert_ok(t.ctx, ddt_evaluator_create(t.ctx, t.params, t.keys, teams[i], &evs[i]));
    }
    for (unsigned level = 1; level <= literal->levels; level++) {
        const double scale = ddt_ckks_canonical_scale(t.params, level);
        test_message(0, t.slots, message);
        test_encrypt_at(&t, message, level, scale, &a);
        test_message(0, t.slots, message);
        test_encrypt_at(&t, message, level, scale, &b);
        compute(&t, t.ev, &a, &b, &one);
        for (size_t i = 0; i < 2 * TEAMS; i++) {
            ddt_evaluator *ev = evs[i % TEAMS];
            ev->caches = (ckks_caches){.apart = i < TEAMS, .until = UINT_MAX};
            compute(&t, ev, &a, &b, &many);
            check_same(&t, &one, &many, teams[i % TEAMS]);
            ev->caches.until = 0;
        }
        const int most = omp_get_max_active_levels();
        omp_set_max_active_levels(0);       /* regions get one thread, whatever they ask for */
        compute(&t, evs[1], &a, &b, &many); /* measures where its threads are, too */
        omp_set_max_active_levels(most);
        check_same(&t, &one, &many, 1);
        ddt_ciphertext_destroy(&a);
        ddt_ciphertext_destroy(&b);
    }
    for (size_t i = 0; i < TEAMS; i++) {
        ddt_evaluator_destroy(evs[i]);
    }
    outputs_destroy(&one);
    outputs_destroy(&many);
    ddt_free(message);
    test_scheme_destroy(&t);
}

static void single_digits(void **state) {
    (void)state;
    check_literal(&(ddt_ckks_literal){.log_n = 12, .levels = 6, .first_bits = 50, .scale_bits = 45, .p_count = 1});
}

static void wide_digits(void **state) {
    (void)state;
    check_literal(&(ddt_ckks_literal){.log_n = 12, .levels = 7, .first_bits = 50, .scale_bits = 45, .p_count = 3});
}

/* Rings too small for transforms in pieces. */
static void small_ring(void **state) {
    (void)state;
    check_literal(&(ddt_ckks_literal){.log_n = 11, .levels = 4, .first_bits = 50, .scale_bits = 45, .p_count = 2});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_digits),
        cmocka_unit_test(wide_digits),
        cmocka_unit_test(small_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
