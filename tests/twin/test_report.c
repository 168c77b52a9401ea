/* The report and the figure of outcomes made by hand: well-formed, standalone, safe with hostile names. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SUBJECTS = 3, POINTS = 40 };

static const char model_text[] = "odd <- function() {\n"
                                 "  description <- \"A <script>alert('x')</script> & \\\"quoted\\\" drug\"\n"
                                 "  units <- list(time = \"h\", dosing = \"mg\", concentration = \"mg/L\")\n"
                                 "  ini({\n    lke <- -1\n    eta.ke ~ 0.1\n    sd <- 0.1\n  })\n"
                                 "  model({\n    ke <- exp(lke + eta.ke)\n    d/dt(central) <- -ke * central\n"
                                 "    cp <- central / 10\n    cp ~ add(sd)\n  })\n}\n";

/* An outcome whose profile is an exponential decay and whose reference differs from it by `error`. */
typedef struct fixture {
    ddt_context *ctx;
    ddt_model *model;
    ddt_events *events;
    ddt_profile profile;
    ddt_assessment assessment;
    ddt_twin_run run;
    ddt_twin_outcome outcome;
} fixture;

static void fill_profile(fixture *f, ddt_profile *profile, double error) {
    *profile = (ddt_profile){.subject_count = SUBJECTS, .output_count = 1};
    profile->output_names = ddt_calloc(1, sizeof *profile->output_names);
    profile->output_names[0] = ddt_strdup("cp");
    profile->subject_ids = ddt_calloc(SUBJECTS, sizeof *profile->subject_ids);
    profile->observation_counts = ddt_calloc(SUBJECTS, sizeof *profile->observation_counts);
    profile->times_h = ddt_calloc(SUBJECTS, sizeof *profile->times_h);
    profile->requested = ddt_calloc(SUBJECTS, sizeof *profile->requested);
    profile->values = ddt_calloc(SUBJECTS, sizeof *profile->values);
    for (size_t s = 0; s < SUBJECTS; s++) {
        profile->subject_ids[s] = ddt_strdup(f->events->subjects[s].id);
        profile->observation_counts[s] = POINTS;
        profile->times_h[s] = ddt_calloc(POINTS, sizeof **profile->times_h);
        profile->requested[s] = ddt_calloc(POINTS, sizeof **profile->requested);
        profile->values[s] = ddt_calloc(POINTS, sizeof **profile->values);
        for (size_t k = 0; k < POINTS; k++) {
            profile->times_h[s][k] = (double)k;
            profile->requested[s][k] = k % 2 == 0;
            profile->values[s][k] = (double)(s + 1) * exp(-0.1 * (double)k) + error;
        }
    }
}

static char *make_table(void) {
    twin_text text = {0};
    twin_text_add(&text, "ID,TIME,AMT,EVID,DV\n");
    for (int s = 0; s < SUBJECTS; s++) {
        twin_text_add(&text, "%s,0,100,1,.\n", s == 0 ? "<i>1&2" : s == 1 ? "two" : "3");
        for (int k = 0; k < POINTS; k++) {
            twin_text_add(&text, "%s,%d,.,0,%d\n", s == 0 ? "<i>1&2" : s == 1 ? "two" : "3", k, POINTS - k);
        }
    }
    return text.data;
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    assert_int_equal(ddt_context_create(&f->ctx), DDT_OK);
    assert_int_equal(ddt_model_parse(f->ctx, model_text, sizeof model_text - 1, "odd.R", &f->model), DDT_OK);
    char *table = make_table();
    ddt_status status = ddt_events_parse(f->ctx, table, strlen(table), "table.csv", f->model, &f->events);
    if (status != DDT_OK) {
        fail_msg("%s", ddt_error_detail(f->ctx));
    }
    ddt_free(table);
    fill_profile(f, &f->profile, 0);
    fill_profile(f, &f->assessment.reference, 1e-4);
    f->assessment.output_count = 1;
    f->assessment.output_maximum = ddt_calloc(1, sizeof(double));
    f->assessment.output_maximum[0] = 3;
    f->assessment.per_output = ddt_calloc(1, sizeof(ddt_error_budget));
    f->assessment.per_output[0] = (ddt_error_budget){1e-6, 1e-9, 3.3e-5, 3.4e-5};
    f->assessment.worst = f->assessment.per_output[0];
    f->assessment.error_bar = 1e-3;
    f->assessment.measured = true;
    f->run = (ddt_twin_run){.engine_s = 1.5, .threads = 2, .kernels = "scalar", .eval_key_bytes = 12345678};
    f->outcome = (ddt_twin_outcome){
        .model = f->model, .events = f->events, .profile = &f->profile, .assessment = &f->assessment, .run = &f->run};
    f->outcome.plan.literal.log_n = 15;
    f->outcome.plan.security_bits = 128;
    f->outcome.solve.method = "superposition";
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    ddt_assessment_destroy(&f->assessment);
    ddt_profile_destroy(&f->profile);
    ddt_events_destroy(f->events);
    ddt_model_destroy(f->model);
    ddt_context_destroy(f->ctx);
    free(f);
    return 0;
}

/* ------------------------------------------------------------------ well-formed? */

static bool is_void(const char *name) {
    return strcmp(name, "meta") == 0 || strcmp(name, "br") == 0 || strcmp(name, "!doctype") == 0;
}

/* Every tag is closed, in order. */
static void check_nesting(const char *html) {
    enum { DEPTH = 64, NAME = 32 };
    char stack[DEPTH][NAME];
    size_t depth = 0;
    for (const char *tag = strchr(html, '<'); tag != NULL; tag = strchr(tag + 1, '<')) {
        const char *end = strchr(tag, '>');
        assert_non_null(end);
        char name[NAME] = "";
        const bool closing = tag[1] == '/';
        assert_int_equal(sscanf(tag + 1 + closing, "%31[a-zA-Z0-9!]", name), 1);
        if (closing) {
            assert_true(depth > 0);
            assert_string_equal(stack[--depth], name);
        } else if (end[-1] != '/' && !is_void(name)) {
            assert_true(depth < DEPTH);
            (void)snprintf(stack[depth++], NAME, "%s", name);
        }
        /* A style sheet may hold '>'. */
        tag = strcmp(name, "style") == 0 && !closing ? strstr(tag, "</style") - 1 : end;
    }
    assert_int_equal(depth, 0);
}

typedef ddt_status (*write_function)(ddt_context *ctx, const ddt_twin_outcome *outcome, const char *path);

static char *written(fixture *f, write_function write) {
    char path[] = "/tmp/ddt-report-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(write(f->ctx, &f->outcome, path), DDT_OK);
    char *text = NULL;
    size_t length = 0;
    assert_int_equal(ddt_read_text(f->ctx, path, 1 << 22, &text, &length), DDT_OK);
    (void)unlink(path);
    return text;
}

static size_t occurrences(const char *text, const char *what) {
    size_t count = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what)) {
        count++;
    }
    return count;
}

static void check_text(const char *text) {
    check_nesting(text);
    assert_null(strstr(text, "alert('x')"));
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "<i>1"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    assert_non_null(strstr(text, "&lt;i&gt;1&amp;2"));
}

static void test_report(void **state) {
    fixture *f = *state;
    char *html = written(f, ddt_twin_write_report);
    check_text(html);
    assert_null(strstr(html, "http:"));
    assert_null(strstr(html, "https:"));
    assert_int_equal(occurrences(html, "<svg class=\"panel\""), SUBJECTS);
    assert_int_equal(occurrences(html, "c-dv\" cx"), SUBJECTS * POINTS + 1);
    assert_int_equal(occurrences(html, "class=\"c-ref\" d=\"M"), SUBJECTS + 1);
    assert_non_null(strstr(html, "0.0034&nbsp;%"));
    assert_non_null(strstr(html, "within the bar of 0.1&nbsp;%"));
    ddt_free(html);
}

static void test_missed_bar(void **state) {
    fixture *f = *state;
    f->assessment.worst.total = 0.02;
    char *html = written(f, ddt_twin_write_report);
    assert_non_null(strstr(html, "<b class=\"bad\">2&nbsp;%"));
    assert_non_null(strstr(html, "above the bar"));
    ddt_free(html);
}

/* Numbers that are not finite are said to be so, and never pass for good. */
static void test_infinite_error(void **state) {
    fixture *f = *state;
    f->assessment.worst.total = INFINITY;
    f->assessment.per_output[0].ckks = NAN;
    char *html = written(f, ddt_twin_write_report);
    assert_int_equal(occurrences(html, "not finite"), 2);
    assert_null(strstr(html, "within the bar"));
    ddt_free(html);
    char *json = NULL;
    assert_int_equal(ddt_twin_summary(f->ctx, &f->outcome, &json), DDT_OK);
    assert_non_null(strstr(json, "\"total\": null"));
    ddt_free(json);
}

static void test_report_without_data(void **state) {
    fixture *f = *state;
    f->outcome.events = NULL;
    f->outcome.assessment = NULL;
    f->run = (ddt_twin_run){0};
    char *html = written(f, ddt_twin_write_report);
    check_text(html);
    assert_int_equal(occurrences(html, "<svg class=\"panel\""), SUBJECTS);
    assert_int_equal(occurrences(html, "class=\"c-ref\""), 0);
    assert_int_equal(occurrences(html, "class=\"c-dv\""), 0);
    assert_null(strstr(html, "in the engine"));
    ddt_free(html);
    char *json = NULL;
    assert_int_equal(ddt_twin_summary(f->ctx, &f->outcome, &json), DDT_OK);
    assert_non_null(strstr(json, "\"engine_seconds\": null"));
    assert_non_null(strstr(json, "\"surrogate\": null"));
    assert_non_null(strstr(json, "\"times\": 60"));
    ddt_free(json);
}

static void test_figure(void **state) {
    fixture *f = *state;
    char *svg = written(f, ddt_twin_write_figure);
    check_text(svg);
    assert_int_equal(strncmp(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\"", 39), 0);
    assert_int_equal(occurrences(svg, "Subject "), SUBJECTS);
    ddt_free(svg);
}

/* All values equal, zero or negative: axes still have a length. */
static void test_flat_curves(void **state) {
    fixture *f = *state;
    static const double levels[] = {0, -2, 1e-30, 1e30};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        for (size_t s = 0; s < SUBJECTS; s++) {
            for (size_t k = 0; k < POINTS; k++) {
                f->profile.values[s][k] = f->assessment.reference.values[s][k] = levels[i];
            }
        }
        char *html = written(f, ddt_twin_write_report);
        check_text(html);
        ddt_free(html);
    }
}

static void test_memory(void **state) {
    fixture *f = *state;
    static const write_function writers[] = {ddt_twin_write_report, ddt_twin_write_figure, ddt_twin_write_summary};
    for (size_t w = 0; w < sizeof writers / sizeof writers[0]; w++) {
        ddt_status status = DDT_ERR_MEMORY;
        for (uint64_t n = 0; status != DDT_OK; n++) {
            assert_true(n < 200);
            char path[] = "/tmp/ddt-report-XXXXXX";
            int fd = mkstemp(path);
            assert_true(fd >= 0);
            (void)close(fd);
            (void)ddt_alloc_fail_after(n);
            status = writers[w](f->ctx, &f->outcome, path);
            (void)ddt_alloc_fail_after(UINT64_MAX);
            assert_true(status == DDT_OK || status == DDT_ERR_MEMORY);
            (void)unlink(path);
            ddt_context_clear(f->ctx);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_report, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missed_bar, setup, teardown),
        cmocka_unit_test_setup_teardown(test_infinite_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_report_without_data, setup, teardown),
        cmocka_unit_test_setup_teardown(test_figure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flat_curves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
