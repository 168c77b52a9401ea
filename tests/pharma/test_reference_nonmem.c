/*
 * The 29 dosing cases of data/reference/nonmem-events: every record agrees with NONMEM's printed five digits.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "hand_model.h"

#include <math.h>

#define FOLDER DDT_SOURCE_DIR "/data/reference/nonmem-events/"
enum { CASES = 29, RECORDS = 3837, LINE = 256 };

static void build(hand *h, ddt_context *ctx, ddt_expr *concentration) {
    hand_open(h, ctx);
    ddt_expr cl = hand_theta(h, "CL", 1.1);
    ddt_expr v = hand_theta(h, "V", 20.0);
    ddt_expr ka = hand_theta(h, "ka", 1.5);
    ddt_expr central = hand_oral(h, ka, hand_div(h, cl, v));
    ddt_compartment *c = &h->compartments[1];
    c->lag_h = hand_covariate(h, "LAGT");
    c->bioavailability = hand_covariate(h, "BIOAV");
    c->rate = hand_covariate(h, "RAT2");
    c->duration = hand_covariate(h, "DUR2");
    *concentration = hand_div(h, central, hand_div(h, v, hand_const(h, 1000.0)));
    assert_int_equal(h->model.compartment_count, 2);
}

/* NONMEM's lines: ID, TIME and CP of every record. */
static void read_line(FILE *file, double *id, double *time_h, double *cp) {
    char line[LINE];
    assert_non_null(fgets(line, sizeof line, file));
    assert_int_equal(sscanf(line, "%lf,%lf,%lf", id, time_h, cp), 3);
}

/* Half a unit of the fifth significant digit. */
static double half_digit(double value) {
    const double digits_behind_first = 4.0;
    return value == 0.0 ? 1e-9 : 0.5 * pow(10.0, floor(log10(fabs(value))) - digits_behind_first) * (1.0 + 1e-6);
}

static size_t check_subject(hand *h, const ddt_events *events, size_t s, ddt_expr concentration, FILE *nonmem) {
    const ddt_subject *subject = &events->subjects[s];
    double *values = calloc(subject->record_count, sizeof *values);
    assert_non_null(values);
    ddt_context_clear(h->ctx);
    ddt_status status = ddt_reference_simulate(h->ctx, &h->model, events, s, &concentration, 1, values);
    if (status != DDT_OK) {
        fail_msg("case %s: %s", subject->id, ddt_error_detail(h->ctx));
    }
    size_t observation = 0;
    size_t differing = 0;
    for (size_t i = 0; i < subject->record_count; i++) {
        double id = 0;
        double time_h = 0;
        double cp = 0;
        read_line(nonmem, &id, &time_h, &cp);
        assert_true(id == atof(subject->id) && time_h == subject->records[i].time_h);
        if (subject->records[i].evid != 0 && subject->records[i].evid != 2) {
            continue;
        }
        double ours = values[observation++];
        if (!(fabs(ours - cp) <= half_digit(cp))) {
            print_error("case %s, time %g: %.8g, NONMEM %.5g\n", subject->id, time_h, ours, cp);
            differing++;
        }
    }
    assert_true(observation > 0);
    assert_int_equal(differing, 0);
    free(values);
    return observation;
}

static void test_all_cases(void **state) {
    (void)state;
    ddt_context *ctx = NULL;
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    hand h;
    ddt_expr concentration = DDT_EXPR_NONE;
    build(&h, ctx, &concentration);
    ddt_events *events = NULL;
    if (ddt_events_read(ctx, FOLDER "nmtest1001_data.csv", &h.model, &events) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(ctx));
    }
    assert_int_equal(events->subject_count, CASES);
    assert_int_equal(events->record_count, RECORDS);
    FILE *nonmem = fopen(FOLDER "nmtest1001_nonmem.csv", "r");
    assert_non_null(nonmem);
    char header[LINE];
    assert_non_null(fgets(header, sizeof header, nonmem));
    size_t checked = 0;
    for (size_t s = 0; s < events->subject_count; s++) {
        checked += check_subject(&h, events, s, concentration, nonmem);
    }
    assert_true(checked > RECORDS - 2 * CASES);
    (void)fclose(nonmem);
    ddt_events_destroy(events);
    hand_close(&h);
    ddt_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
