/* Status codes, context, memory, entropy.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ddt/base.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_status_texts(void **state) {
    (void)state;
    for (int i = 0; i < DDT_STATUS_COUNT; i++) {
        ddt_status status = (ddt_status)i;
        assert_true(strlen(ddt_status_text(status)) > 3);
        assert_memory_equal(ddt_status_name(status), "DDT_", 4);
        assert_in_range(ddt_status_exit_code(status), 0, 4);
        assert_true((ddt_status_exit_code(status) == 0) == (status == DDT_OK));
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(ddt_status_name(status), ddt_status_name((ddt_status)j));
            assert_string_not_equal(ddt_status_text(status), ddt_status_text((ddt_status)j));
        }
    }
    assert_string_equal(ddt_status_name(DDT_ERR_NO_SPACE), "DDT_ERR_NO_SPACE");
    assert_int_equal(ddt_status_exit_code(DDT_ERR_USAGE), 2);
    assert_int_equal(ddt_status_exit_code(DDT_ERR_SECURITY), 3);
    for (int i = 0; i < 2; i++) {
        ddt_status beyond = i == 0 ? DDT_STATUS_COUNT : (ddt_status)1000;
        assert_string_equal(ddt_status_text(beyond), "unknown status");
        assert_string_equal(ddt_status_name(beyond), "DDT_UNKNOWN");
        assert_int_equal(ddt_status_exit_code(beyond), 4);
    }
}

static void test_first_error_is_kept(void **state) {
    (void)state;
    ddt_context *ctx = NULL;
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    assert_string_equal(ddt_error_detail(ctx), "");
    assert_int_equal(ddt_error_status(ctx), DDT_OK);
    assert_int_equal(ddt_fail(ctx, DDT_ERR_DATA, "Line %d of '%s' is wrong.", 3, "a.csv"), DDT_ERR_DATA);
    assert_int_equal(ddt_fail(ctx, DDT_ERR_IO, "A consequence."), DDT_ERR_IO);
    assert_string_equal(ddt_error_detail(ctx), "Line 3 of 'a.csv' is wrong.");
    assert_int_equal(ddt_error_status(ctx), DDT_ERR_DATA);
    ddt_context_clear(ctx);
    assert_string_equal(ddt_error_detail(ctx), "");
    assert_int_equal(ddt_error_status(ctx), DDT_OK);
    ddt_context_destroy(ctx);
}

static void test_long_details_are_cut(void **state) {
    (void)state;
    enum { LONG = 5000 };
    static char text[LONG + 1];
    ddt_context *ctx = NULL;
    memset(text, 'x', LONG);
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    assert_int_equal(ddt_fail(ctx, DDT_ERR_DATA, "%s", text), DDT_ERR_DATA);
    assert_in_range(strlen(ddt_error_detail(ctx)), 100, LONG - 1);
    ddt_context_destroy(ctx);
}

static void test_no_context(void **state) {
    (void)state;
    assert_int_equal(ddt_fail(NULL, DDT_ERR_DATA, "Nobody hears this."), DDT_ERR_DATA);
    assert_string_equal(ddt_error_detail(NULL), "");
    assert_int_equal(ddt_error_status(NULL), DDT_OK);
    assert_int_equal(ddt_context_threads(NULL), 1);
    assert_int_equal(ddt_progress(NULL, "work", 1, 2), DDT_OK);
    ddt_context_clear(NULL);
    ddt_context_destroy(NULL);
}

typedef struct seen {
    ddt_context *ctx;
    uint64_t calls;
    uint64_t sum;
    bool go_on;
} seen;

static bool on_progress(void *user, const char *stage, uint64_t done, uint64_t total) {
    seen *s = user;
    assert_string_equal(stage, "work");
    assert_true(done <= total);
    s->calls++;
    s->sum += done;
    if (!s->go_on) {
        /* A callback may record why it stops. */
        (void)ddt_fail(s->ctx, DDT_ERR_CANCELLED, "The user pressed a key.");
    }
    return s->go_on;
}

static void test_progress(void **state) {
    (void)state;
    seen s = {NULL, 0, 0, true};
    assert_int_equal(ddt_context_create(&s.ctx), DDT_OK);
    assert_int_equal(ddt_progress(s.ctx, "work", 1, 2), DDT_OK);
    ddt_context_set_progress(s.ctx, on_progress, &s);
    assert_int_equal(ddt_progress(s.ctx, "work", 2, 3), DDT_OK);
    assert_int_equal(s.calls, 1);
    s.go_on = false;
    assert_int_equal(ddt_progress(s.ctx, "work", 3, 3), DDT_ERR_CANCELLED);
    assert_string_equal(ddt_error_detail(s.ctx), "The user pressed a key.");
    ddt_context_clear(s.ctx);
    ddt_context_set_progress(s.ctx, NULL, NULL);
    assert_int_equal(ddt_progress(s.ctx, "work", 3, 3), DDT_OK);
    ddt_context_destroy(s.ctx);
}

enum { THREADS = 4, STEPS = 500 };

static void *work(void *argument) {
    seen *s = argument;
    for (uint64_t i = 1; i <= STEPS; i++) {
        assert_int_equal(ddt_progress(s->ctx, "work", i, STEPS), DDT_OK);
        (void)ddt_fail(s->ctx, DDT_ERR_DATA, "Step %d.", (int)i);
        void *block = ddt_alloc(1, (size_t)i);
        assert_non_null(block);
        ddt_free(block);
    }
    return NULL;
}

/* Meant for the thread sanitizer; the sums hold without it. */
static void test_threads(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    seen s = {NULL, 0, 0, true};
    assert_int_equal(ddt_context_create(&s.ctx), DDT_OK);
    ddt_context_set_progress(s.ctx, on_progress, &s);
    (void)ddt_alloc_fail_after(UINT64_MAX);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, &s), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(s.calls, THREADS * STEPS);
    assert_int_equal(s.sum, THREADS * STEPS * (STEPS + 1) / 2);
    assert_int_equal(ddt_alloc_fail_after(UINT64_MAX), THREADS * STEPS);
    assert_string_equal(ddt_error_detail(s.ctx), "Step 1.");
    ddt_context_destroy(s.ctx);
}

static int threads_with(const char *text) {
    ddt_context *ctx = NULL;
    if (text == NULL) {
        assert_int_equal(unsetenv("OMP_NUM_THREADS"), 0);
    } else {
        assert_int_equal(setenv("OMP_NUM_THREADS", text, 1), 0);
    }
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    int threads = ddt_context_threads(ctx);
    ddt_context_destroy(ctx);
    return threads;
}

static void test_thread_counts(void **state) {
    (void)state;
    int by_default = threads_with(NULL);
    assert_true(by_default >= 1);
    assert_int_equal(threads_with("3"), 3);
    assert_int_equal(threads_with("5,2"), 5);
    static const char *const unusable[] = {"", "0", "-1", "many", "99999999999999999999"};
    for (size_t i = 0; i < sizeof unusable / sizeof *unusable; i++) {
        assert_int_equal(threads_with(unusable[i]), by_default);
    }
    ddt_context *ctx = NULL;
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    ddt_context_set_threads(ctx, 7);
    assert_int_equal(ddt_context_threads(ctx), 7);
    ddt_context_set_threads(ctx, 1000000);
    assert_int_equal(ddt_context_threads(ctx), 1024);
    ddt_context_set_threads(ctx, 0);
    assert_int_equal(ddt_context_threads(ctx), 1);
    ddt_context_destroy(ctx);
}

/* What a program sets at its start changes where memory comes from, and nothing else. */
static void test_memory_stays(void **state) {
    (void)state;
    enum { BLOCKS = 6, BYTES = 5 << 20 };
    uint8_t *blocks[BLOCKS];
    ddt_memory_stays();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < BLOCKS; i++) {
            blocks[i] = ddt_alloc(1, BYTES + (size_t)i * round);
            assert_non_null(blocks[i]);
            memset(blocks[i], (int)(round + i), BYTES);
        }
        for (unsigned i = 0; i < BLOCKS; i++) {
            assert_true(blocks[i][0] == round + i && blocks[i][BYTES - 1] == round + i);
            ddt_free(blocks[i]);
        }
        ddt_memory_give_back();
    }
}

static void test_allocation(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 100001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *zero = ddt_calloc(sizes[i], 1);
        uint8_t *block = ddt_alloc(1, sizes[i]);
        assert_true(zero != NULL && block != NULL && zero != block);
        assert_int_equal((uintptr_t)zero % 64, 0);
        assert_int_equal((uintptr_t)block % 64, 0);
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal(zero[j], 0);
            block[j] = (uint8_t)j;
        }
        ddt_free(zero);
        ddt_free(block);
    }
    /* More than the address space, by product, by rounding, and by the largest pointer difference. */
    assert_null(ddt_alloc(SIZE_MAX, 2));
    assert_null(ddt_alloc((size_t)1 << 32, (size_t)1 << 32));
    assert_null(ddt_alloc(SIZE_MAX, 1));
    assert_null(ddt_calloc(SIZE_MAX - 62, 1));
    assert_null(ddt_alloc((size_t)PTRDIFF_MAX + 1, 1));
    ddt_free(NULL);
}

static void test_reallocation(void **state) {
    (void)state;
    uint32_t *numbers = ddt_realloc(NULL, 0, 3, sizeof *numbers);
    assert_non_null(numbers);
    for (uint32_t i = 0; i < 3; i++) {
        numbers[i] = i + 1;
    }
    numbers = ddt_realloc(numbers, 3, 1000, sizeof *numbers);
    assert_true(numbers != NULL && numbers[0] == 1 && numbers[2] == 3);
    numbers = ddt_realloc(numbers, 1000, 2, sizeof *numbers);
    assert_true(numbers != NULL && numbers[1] == 2);
    /* A failure leaves the old block as it was. */
    assert_null(ddt_realloc(numbers, 2, SIZE_MAX, sizeof *numbers));
    (void)ddt_alloc_fail_after(0);
    assert_null(ddt_realloc(numbers, 2, 4, sizeof *numbers));
    (void)ddt_alloc_fail_after(UINT64_MAX);
    assert_int_equal(numbers[1], 2);
    ddt_free(numbers);
    char *copy = ddt_strdup("mg/L");
    assert_string_equal(copy, "mg/L");
    ddt_free(copy);
}

static void test_allocation_failures(void **state) {
    (void)state;
    ddt_context *ctx = NULL;
    (void)ddt_alloc_fail_after(2);
    void *a = ddt_alloc(1, 1);
    void *b = ddt_calloc(1, 1);
    assert_true(a != NULL && b != NULL);
    assert_null(ddt_alloc(1, 1));
    assert_null(ddt_calloc(1, 1));
    assert_null(ddt_strdup("x"));
    assert_int_equal(ddt_alloc_fail_after(0), 5);
    assert_int_equal(ddt_context_create(&ctx), DDT_ERR_MEMORY);
    assert_null(ctx);
    assert_int_equal(ddt_alloc_fail_after(UINT64_MAX), 1);
    ddt_free(a);
    ddt_free(b);
}

static void test_checked_sizes(void **state) {
    (void)state;
    size_t out = 7;
    assert_true(ddt_size_mul(SIZE_MAX / 3, 3, &out) && out == SIZE_MAX / 3 * 3);
    assert_false(ddt_size_mul(SIZE_MAX / 2 + 1, 2, &out));
    assert_true(ddt_size_mul(0, SIZE_MAX, &out) && out == 0);
    assert_true(ddt_size_add(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX);
    assert_false(ddt_size_add(SIZE_MAX, 1, &out));
}

static void test_entropy(void **state) {
    (void)state;
    enum { BYTES = 64 };
    static const uint8_t zero[BYTES];
    uint8_t a[BYTES] = {0};
    uint8_t b[BYTES] = {0};
    ddt_context *ctx = NULL;
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    assert_int_equal(ddt_entropy(ctx, a, sizeof a), DDT_OK);
    assert_int_equal(ddt_entropy(ctx, b, sizeof b), DDT_OK);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a, zero, sizeof a);
    assert_int_equal(ddt_entropy(ctx, a, 0), DDT_OK);
    /* A generator that fails leaves nothing that could be taken for random bytes. */
    ddt_entropy_fail(true);
    assert_int_equal(ddt_entropy(ctx, a, sizeof a), DDT_ERR_ENTROPY);
    assert_memory_equal(a, zero, sizeof a);
    assert_string_not_equal(ddt_error_detail(ctx), "");
    ddt_entropy_fail(false);
    assert_int_equal(ddt_entropy(NULL, a, sizeof a), DDT_OK);
    ddt_context_destroy(ctx);
}

/* Large blocks are kept and handed out again: always large enough, whole, aligned, zero where that was asked for, and
 * never to two owners. */
static void test_large_blocks(void **state) {
    (void)state;
    enum { BLOCKS = 7, ROUNDS = 40 };
    const size_t unit = (size_t)1 << 20;
    uint8_t *blocks[BLOCKS] = {NULL};
    size_t bytes[BLOCKS] = {0};
    uint32_t seed = 1;
    for (int round = 0; round < ROUNDS * BLOCKS; round++) {
        seed = seed * 1664525 + 1013904223;
        const size_t i = seed >> 8 & 0xff;
        const size_t at = i % BLOCKS;
        if (blocks[at] != NULL) {
            assert_int_equal(blocks[at][0], (int)at);
            assert_int_equal(blocks[at][bytes[at] - 1], (int)at);
            ddt_free(blocks[at]);
        }
        bytes[at] = (1 + (seed >> 16) % 5) * unit + (seed >> 20) % 1000;
        const bool cleared = (seed >> 24) % 2 == 0;
        blocks[at] = cleared ? ddt_calloc(bytes[at], 1) : ddt_alloc(bytes[at], 1);
        assert_non_null(blocks[at]);
        assert_int_equal((uintptr_t)blocks[at] % 64, 0);
        for (size_t k = 0; cleared && k < bytes[at]; k += 999) {
            assert_int_equal(blocks[at][k], 0);
        }
        memset(blocks[at], (int)at, bytes[at]);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        ddt_free(blocks[i]);
    }
}

static void test_clock(void **state) {
    (void)state;
    double before = ddt_clock_s();
    double after = ddt_clock_s();
    assert_true(before > 0 && after >= before && after - before < 60);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_texts),
        cmocka_unit_test(test_first_error_is_kept),
        cmocka_unit_test(test_long_details_are_cut),
        cmocka_unit_test(test_no_context),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_thread_counts),
        cmocka_unit_test(test_allocation),
        cmocka_unit_test(test_memory_stays),
        cmocka_unit_test(test_reallocation),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_checked_sizes),
        cmocka_unit_test(test_large_blocks),
        cmocka_unit_test(test_entropy),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
