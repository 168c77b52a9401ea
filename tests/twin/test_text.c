/* Texts, CSV fields, exact numbers, profiles as files. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_growth(void **state) {
    (void)state;
    twin_text text = {0};
    for (int i = 0; i < 5000; i++) {
        twin_text_add(&text, "%d,", i);
    }
    assert_false(text.failed);
    assert_int_equal(strlen(text.data), text.length);
    assert_string_equal(text.data + text.length - 5, "4999,");
    twin_text_destroy(&text);
    assert_null(text.data);
}

static void test_escaping(void **state) {
    (void)state;
    twin_text text = {0};
    twin_text_escaped(&text, "<b a='1' c=\"2\">&\x01</b>");
    assert_string_equal(text.data, "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp; &lt;/b&gt;");
    twin_text_destroy(&text);
}

static void test_csv_fields(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"plain", "plain"}, {"", ""}, {"a,b", "\"a,b\""}, {"say \"a\"", "\"say \"\"a\"\"\""}, {"x\ny", "\"x\ny\""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        twin_text text = {0};
        twin_text_add(&text, "%s", "");
        twin_text_csv(&text, cases[i][0]);
        assert_string_equal(text.data, cases[i][1]);
        twin_text_destroy(&text);
    }
}

/* Every double comes back, and common times look as people wrote them. */
static void test_exact_numbers(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } known[] = {{0, "0"},       {0.57, "0.57"},   {24.37, "24.37"}, {1.0 / 3, "0.3333333333333333"},
                 {-2.5, "-2.5"}, {1e300, "1e+300"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        twin_text text = {0};
        twin_text_exact(&text, known[i].value);
        assert_string_equal(text.data, known[i].text);
        twin_text_destroy(&text);
    }
    uint64_t bits = 1;
    for (int i = 0; i < 20000; i++) {
        double value = 0;
        bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        memcpy(&value, &bits, sizeof value);
        if (value != value || value - value != 0) {
            continue; /* not finite */
        }
        twin_text text = {0};
        twin_text_exact(&text, value);
        assert_true(strtod(text.data, NULL) == value);
        twin_text_destroy(&text);
    }
}

static void test_memory(void **state) {
    (void)state;
    enum { GROWTHS = 3 }; /* 14 KB in blocks of 4, 8 and 16 KiB */
    for (uint64_t n = 0; n <= GROWTHS; n++) {
        twin_text text = {0};
        (void)ddt_alloc_fail_after(n);
        for (int i = 0; i < 3000; i++) {
            twin_text_add(&text, "%d,", i);
        }
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_int_equal(text.failed, n < GROWTHS);
        ddt_context *ctx = NULL;
        assert_int_equal(ddt_context_create(&ctx), DDT_OK);
        char path[] = "/tmp/ddt-text-XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        (void)close(fd);
        assert_int_equal(twin_text_write(ctx, &text, path), n < GROWTHS ? DDT_ERR_MEMORY : DDT_OK);
        assert_null(text.data);
        (void)unlink(path);
        ddt_context_destroy(ctx);
    }
}

static void test_profile_csv(void **state) {
    (void)state;
    ddt_context *ctx = NULL;
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    char *names[] = {"Cc", "effect"};
    char *ids[] = {"1", "A,B"};
    size_t counts[] = {2, 2};
    double times_1[] = {0.25, 1.5};
    double times_2[] = {0, 24.37};
    double *times[] = {times_1, times_2};
    bool requested_1[] = {true, false};
    bool requested_2[] = {true, true};
    bool *requested[] = {requested_1, requested_2};
    double values_1[] = {1.23456789012, 2, 3, 4};
    double values_2[] = {0, -1e-12, 5, 6};
    double *values[] = {values_1, values_2};
    const ddt_profile profile = {2, 2, names, ids, counts, times, requested, values};
    assert_int_equal(ddt_profile_requested_count(&profile), 3);
    char path[] = "/tmp/ddt-profile-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(ddt_profile_write_csv(ctx, &profile, path), DDT_OK);
    char *text = NULL;
    size_t length = 0;
    assert_int_equal(ddt_read_text(ctx, path, 4096, &text, &length), DDT_OK);
    assert_string_equal(text, "ID,TIME,Cc,effect\n1,0.25,1.23456789,2\n\"A,B\",0,0,-1e-12\n\"A,B\",24.37,5,6\n");
    ddt_free(text);
    (void)unlink(path);
    ddt_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth),        cmocka_unit_test(test_escaping), cmocka_unit_test(test_csv_fields),
        cmocka_unit_test(test_exact_numbers), cmocka_unit_test(test_memory),   cmocka_unit_test(test_profile_csv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
