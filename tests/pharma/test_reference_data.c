/*
 * The event tables in data/ run with their models, and say what their sources say.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ddt/pharma.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "context_test.h"

enum { PATH = 512 };

static ddt_model *model;
static ddt_events *events;

static int unload(void **state) {
    (void)state;
    ddt_events_destroy(events);
    ddt_model_destroy(model);
    events = NULL;
    model = NULL;
    return 0;
}

static void load(const char *model_name, const char *data_name) {
    char path[PATH];
    ddt_context_clear(ctx);
    (void)snprintf(path, sizeof path, "%s/models/%s.R", DDT_SOURCE_DIR, model_name);
    require(ddt_model_read(ctx, path, &model));
    (void)snprintf(path, sizeof path, "%s/data/%s_events.csv", DDT_SOURCE_DIR, data_name);
    require(ddt_events_read(ctx, path, model, &events));
}

/* Predictions of the model's first output; the caller frees. */
static double *predict(size_t subject) {
    double *values = calloc(events->subjects[subject].record_count, sizeof *values);
    if (values == NULL) {
        abort();
    }
    require(ddt_reference_simulate(ctx, model, events, subject, &model->outputs[0].value, 1, values));
    return values;
}

static void test_theophylline(void **state) {
    (void)state;
    load("theophylline", "theophylline");
    assert_int_equal(events->subject_count, 12);
    double squares = 0.0;
    size_t count = 0;
    for (size_t s = 0; s < events->subject_count; s++) {
        double *values = predict(s);
        size_t observation = 0;
        for (size_t i = 0; i < events->subjects[s].record_count; i++) {
            const ddt_record *record = &events->subjects[s].records[i];
            if (record->evid == 0) {
                assert_true(record->has_dv);
                squares += pow(record->dv - values[observation++], 2);
                count++;
            }
        }
        assert_int_equal(observation, 11);
        free(values);
    }
    /* The fit's residual standard deviation is 0.709: the individual curves lie a little closer than that. */
    assert_int_equal(count, 132);
    double residual = sqrt(squares / (double)count);
    assert_true(residual > 0.6 && residual < 0.709);
}

static void test_vancomycin(void **state) {
    (void)state;
    load("vancomycin_thomson2009", "vancomycin");
    assert_int_equal(events->subject_count, 4);
    for (size_t s = 0; s < events->subject_count; s++) {
        double *values = predict(s);
        double highest = 0.0;
        for (size_t i = 1; i < 30; i++) {
            assert_true(values[i] > 1.0);
            highest = fmax(highest, values[i]);
        }
        /* Clinical: peaks between 20 and 60 mg/L. */
        assert_true(highest > 20.0 && highest < 60.0);
        free(values);
    }
    /* The first patient has the regimen of the reference trajectory: its amount after the last infusion, in 47.25 L. */
    double *values = predict(0);
    size_t last = 0;
    for (size_t i = 0; i < events->subjects[0].record_count; i++) {
        if (events->subjects[0].records[i].evid == 0 && events->subjects[0].records[i].time_h < 73.5) {
            last++;
        }
    }
    assert_true(fabs(values[last - 1] * 47.25 - 1689.36509574) < 1e-4);
    free(values);
}

static void test_tacrolimus(void **state) {
    (void)state;
    load("tacrolimus_woillard2011", "tacrolimus");
    assert_int_equal(events->subject_count, 3);
    double troughs[3];
    for (size_t s = 0; s < 3; s++) {
        double *values = predict(s);
        size_t observations = 0;
        for (size_t i = 0; i < events->subjects[s].record_count; i++) {
            observations += events->subjects[s].records[i].evid == 0;
        }
        troughs[s] = values[observations - 1];
        assert_true(troughs[s] > 0.5 && troughs[s] < 20.0);
        if (s == 2) {
            /* Once daily from steady state on: every interval is the same. */
            assert_true(fabs(values[0] - troughs[2]) < 1e-6 * troughs[2]);
        }
        free(values);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_theophylline, unload),
        cmocka_unit_test_teardown(test_vancomycin, unload),
        cmocka_unit_test_teardown(test_tacrolimus, unload),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
