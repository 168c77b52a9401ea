/*
 * Event tables: reading, refusing, expanding. The models here are symbol tables only; no equation is needed to read a
 * table. SPDX-License-Identifier: Apache-2.0
 */
#include "ddt/pharma/events.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "context_test.h"

/* A model with a depot and a central compartment (which has rate() and dur()), covariates WT and CRCL, one eta. */
static char name_depot[] = "depot", name_central[] = "central", name_wt[] = "WT", name_crcl[] = "CRCL";
static char name_eta[] = "eta.cl", name_theta[] = "lcl", name_t[] = "t", name_cp[] = "cp", name_model[] = "test";
static ddt_symbol symbols[] = {
    {.name = name_theta, .kind = DDT_SYMBOL_THETA, .value = 1.5},
    {.name = name_eta, .kind = DDT_SYMBOL_ETA},
    {.name = name_wt, .kind = DDT_SYMBOL_COVARIATE},
    {.name = name_crcl, .kind = DDT_SYMBOL_COVARIATE},
    {.name = name_depot, .kind = DDT_SYMBOL_STATE},
    {.name = name_central, .kind = DDT_SYMBOL_STATE},
    {.name = name_t, .kind = DDT_SYMBOL_TIME},
};
enum { THETA, ETA, WT, CRCL, DEPOT, CENTRAL, TIME, SYMBOLS };
static ddt_compartment compartments[] = {
    {.name = name_central, .symbol = CENTRAL, .rate = 0, .duration = 0},
    {.name = name_depot, .symbol = DEPOT, .rate = DDT_EXPR_NONE, .duration = DDT_EXPR_NONE},
};
static ddt_output outputs[] = {{.name = name_cp}};
static const ddt_model full_model = {.name = name_model,
                                     .symbols = symbols,
                                     .symbol_count = SYMBOLS,
                                     .compartments = compartments,
                                     .compartment_count = 2,
                                     .outputs = outputs,
                                     .output_count = 1};
/* The same without covariates and etas. */
static const ddt_model bare_model = {.name = name_model,
                                     .symbols = symbols,
                                     .symbol_count = 1,
                                     .compartments = compartments,
                                     .compartment_count = 2,
                                     .outputs = outputs,
                                     .output_count = 1};

static ddt_events *read_ok(const ddt_model *model, const char *text) {
    ddt_events *events = NULL;
    ddt_context_clear(ctx);
    ddt_status status = ddt_events_parse(ctx, text, strlen(text), "t.csv", model, &events);
    if (status != DDT_OK) {
        print_error("%s\n", ddt_error_detail(ctx));
    }
    assert_int_equal(status, DDT_OK);
    assert_non_null(events);
    return events;
}

static void refuse(const ddt_model *model, const char *text, const char *const *parts) {
    ddt_events *events = NULL;
    ddt_context_clear(ctx);
    assert_int_equal(ddt_events_parse(ctx, text, strlen(text), "t.csv", model, &events), DDT_ERR_DATA);
    assert_null(events);
    const char *detail = ddt_error_detail(ctx);
    assert_non_null(strstr(detail, "'t.csv'"));
    for (size_t i = 0; parts[i] != NULL; i++) {
        if (strstr(detail, parts[i]) == NULL) {
            fail_msg("'%s' is not in: %s", parts[i], detail);
        }
    }
    assert_int_equal(detail[strlen(detail) - 1], '.');
}

#define REFUSE(model, text, ...) refuse(model, text, (const char *const[]){__VA_ARGS__, NULL})

/* ------------------------------------------------------------------ reading */

static void test_reads_a_plain_table(void **state) {
    (void)state;
    ddt_events *events = read_ok(&full_model, "ID,TIME,AMT,RATE,II,ADDL,SS,CMT,EVID,MDV,DV,WT,CRCL,eta.cl\n"
                                              "A,0,100,50,12,3,1,1,1,1,.,70,90,0.25\n"
                                              "A,1.5,0,0,0,0,0,0,0,0,3.25,70,90,0.25\n"
                                              "B,-2,.,.,.,.,.,central,2,,,60,50,.\n");
    assert_int_equal(events->subject_count, 2);
    assert_int_equal(events->record_count, 3);
    assert_int_equal(events->covariate_count, 3);
    assert_int_equal(events->covariate_symbols[0], ETA);
    const ddt_subject *a = &events->subjects[0];
    assert_string_equal(a->id, "A");
    assert_int_equal(a->record_count, 2);
    assert_true(a->covariates_constant);
    const ddt_record *dose = &a->records[0];
    assert_int_equal(dose->line, 2);
    assert_int_equal(dose->evid, 1);
    assert_true(dose->amount == 100 && dose->rate == 50 && dose->interval_h == 12 && dose->time_h == 0);
    assert_int_equal(dose->additional, 3);
    assert_int_equal(dose->steady_state, 1);
    assert_int_equal(dose->compartment, 1);
    assert_false(dose->has_dv);
    assert_true(a->records[1].has_dv && a->records[1].dv == 3.25 && a->records[1].time_h == 1.5);
    assert_true(events->subjects[1].records[0].time_h == -2 && events->subjects[1].records[0].evid == 2);
    double values[SYMBOLS];
    ddt_events_destroy(events);
    events = read_ok(&full_model, "ID,TIME,WT,CRCL,ETA.CL\n1,3,70,90,0.5\n");
    ddt_events_symbols(&full_model, events, 0, 0, values);
    assert_true(values[THETA] == 1.5 && values[ETA] == 0.5 && values[WT] == 70 && values[CRCL] == 90);
    assert_true(values[DEPOT] == 0 && values[TIME] == 3);
    ddt_events_destroy(events);
}

static void test_accepts_every_dress_of_csv(void **state) {
    (void)state;
    static const char *const dresses[] = {
        "id,Time,amt,evid\n7,0,10,1\n7,1,.,0\n",
        "ID,TIME,AMT,EVID\r\n7,0,10,1\r\n7,1,.,0\r\n",
        "ID,TIME,AMT,EVID\r7,0,10,1\r7,1,.,0",
        "\xEF\xBB\xBFID,TIME,AMT,EVID\n7,0,10,1\n7,1,.,0",
        "\"ID\",\"TIME\",\"AMT\",\"EVID\"\n\"7\",\"0\",\"10\",\"1\"\n\"7\",\"1\",\".\",\"0\"\n",
        "# a comment\n\nID , TIME,\tAMT ,EVID\n\n  7 ,0 , 1e1,1\n# another, with a comma\n,,,\n7, +1.0,,0\n   \n",
        "EVID,AMT,NOTE,TIME,ID\n1,10.,\"a, \"\"b\"\"\nand c\",0,7\n0,0,,1.,7\n",
        "C,ID,TIME,AMT,EVID\n.,7,0,10,1\nC,7,text,to,skip\nx\n,7,1,0,0\n",
    };
    for (size_t i = 0; i < sizeof dresses / sizeof *dresses; i++) {
        ddt_events *events = read_ok(&bare_model, dresses[i]);
        assert_int_equal(events->subject_count, 1);
        const ddt_subject *subject = &events->subjects[0];
        assert_string_equal(subject->id, "7");
        assert_int_equal(subject->record_count, 2);
        assert_true(subject->records[0].amount == 10 && subject->records[0].evid == 1);
        assert_true(subject->records[1].time_h == 1 && subject->records[1].evid == 0);
        ddt_events_destroy(events);
    }
}

static void test_derives_missing_items(void **state) {
    (void)state;
    ddt_events *events = read_ok(&bare_model, "ID,TIME,AMT,RATE,SS,MDV,DV,CMT\n"
                                              "1,0,10,.,.,.,.,.\n"
                                              "1,1,.,.,.,0,2.5,CP\n"
                                              "1,2,.,.,.,1,2.5,DEPOT\n"
                                              "1,3,0,5,1,.,.,2\n"
                                              "1,4,.,.,.,.,.,0\n");
    const ddt_record *r = events->subjects[0].records;
    assert_int_equal(r[0].evid, 1);
    assert_int_equal(r[1].evid, 0);
    assert_true(r[1].has_dv && r[1].compartment == 0);
    assert_int_equal(r[2].evid, 2);
    assert_true(!r[2].has_dv && r[2].compartment == 2);
    assert_int_equal(r[3].evid, 1);
    assert_true(!r[4].has_dv && r[4].evid == 0);
    ddt_events_destroy(events);
    events = read_ok(&bare_model, "ID,TIME,EVID,DV,MDV\n1,0,0,5,1\n1,0,0,5,0\n1,0,0,.,0\n1,0,3,5,.\n");
    r = events->subjects[0].records;
    assert_true(!r[0].has_dv && r[1].has_dv && !r[2].has_dv && !r[3].has_dv);
    ddt_events_destroy(events);
}

static void test_fills_covariates(void **state) {
    (void)state;
    ddt_events *events = read_ok(&full_model, "ID,TIME,WT,CRCL,eta.cl\n"
                                              "1,0,.,90,.\n1,1,70,.,.\n1,2,.,80,.\n1,3,75,.,.\n"
                                              "2,0,50,60,.\n2,1,.,60,0.5\n");
    assert_int_equal(events->covariate_count, 3);
    /* Order: symbols of the model: eta.cl, WT, CRCL. */
    static const double first[4][3] = {{0, 70, 90}, {0, 70, 90}, {0, 70, 80}, {0, 75, 80}};
    static const double second[2][3] = {{0.5, 50, 60}, {0.5, 50, 60}};
    assert_memory_equal(events->subjects[0].covariate_values, first, sizeof first);
    assert_memory_equal(events->subjects[1].covariate_values, second, sizeof second);
    assert_false(events->subjects[0].covariates_constant);
    assert_true(events->subjects[1].covariates_constant);
    assert_int_equal(events->subjects[0].records[3].covariates, 9);
    ddt_events_destroy(events);
    /* Two columns that differ in case: the model's own spelling wins. */
    events = read_ok(&full_model, "ID,TIME,wt,WT,crcl\n1,0,1,2,3\n");
    assert_true(events->subjects[0].covariate_values[0] == 2 && events->subjects[0].covariate_values[1] == 3);
    ddt_events_destroy(events);
}

/* ------------------------------------------------------------------ refusing */

static void test_refuses_bad_tables(void **state) {
    (void)state;
    const ddt_model *m = &bare_model;
    REFUSE(m, "", "is empty");
    REFUSE(m, "# only a comment\n\n", "is empty");
    REFUSE(m, "ID,TIME\n", "header and no records");
    REFUSE(m, "TIME,AMT\n0,1\n", "line 1", "no column ID");
    REFUSE(m, "ID,AMT\n1,1\n", "line 1", "no column TIME");
    REFUSE(m, "ID;TIME\n1;0\n", "line 1", "no column ID", "commas");
    REFUSE(m, "ID,TIME,amt,Amt\n1,0,1,1\n", "line 1", "AMT", "twice");
    REFUSE(m, "ID,TIME,TIME\n1,0,1\n", "line 1", "TIME", "twice");
    REFUSE(&full_model, "ID,TIME,WT\n1,0,70\n", "line 1", "no column CRCL", "covariate");
    REFUSE(&full_model, "ID,TIME,WT,CRCL\n1,0,70,.\n1,1,70,\n", "line 2", "column CRCL", "no value");
    REFUSE(m, "ID,TIME\n1\n", "line 2", "1 fields", "2");
    REFUSE(m, "TIME,ID\n1\n", "line 2", "1 fields", "2");
    REFUSE(m, "ID,TIME\n1,0,3\n", "line 2", "3 fields", "2");
    REFUSE(m, "ID,TIME\n1,\"0\n", "line 2", "not closed");
    REFUSE(m, "ID,TIME\n1,\"0\"x\n", "line 2", "closing quote");
    REFUSE(m, "ID,TIME\n1,0\n2,0\n1,1\n", "line 4", "'1'", "comes back");
    REFUSE(m, "ID,TIME\n.,0\n", "line 2", "column ID");
    REFUSE(m, "ID,TIME\n1,0\n,1\n", "line 3", "column ID");
    REFUSE(m, "ID,TIME\n\x01,0\n", "line 2", "column ID", "'?'");
    static const char *const broken[] = {
        "\xC0\x80", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80",
        "\x80",     "\xE2\x82",     "a\x7F"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "ID,TIME\n%s,0\n", broken[i]);
        REFUSE(m, text, "line 2", "column ID", "UTF-8");
    }
    ddt_events_destroy(read_ok(m, "ID,TIME\n\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80,0\n"));
    REFUSE(m, "ID,TIME\n\xC3(,0\n", "line 2", "column ID", "UTF-8");
    REFUSE(m, "ID,TIME\n1,2\n1,1.5\n", "line 3", "column TIME", "'1.5'", "'2'", "line 2", "subject 1");
}

static void test_refuses_bad_values(void **state) {
    (void)state;
    const ddt_model *m = &bare_model;
    REFUSE(m, "ID,TIME\n1,noon\n", "line 2", "column TIME", "'noon'", "not a number");
    REFUSE(m, "ID,time\n1,10:30\n", "line 2", "column time", "'10:30'", "not a number");
    REFUSE(m, "ID,TIME\n1,.\n", "line 2", "TIME");
    REFUSE(m, "ID,TIME\n1,inf\n", "line 2", "column TIME", "'inf'", "not finite");
    REFUSE(m, "ID,TIME\n1,-NaN\n", "'-NaN'", "not finite");
    REFUSE(m, "ID,TIME,DV\n1,0,1e999\n", "column DV", "'1e999'", "not finite");
    REFUSE(m, "ID,TIME,DV\n1,0,0x10\n", "column DV", "'0x10'", "not a number");
    REFUSE(m, "ID,TIME,DV\n1,0,1d3\n", "column DV", "'1d3'", "not a number");
    REFUSE(m, "ID,TIME,DV\n1,0,1 2\n", "column DV", "'1 2'", "not a number");
    REFUSE(m, "ID,TIME,DV\n1,0,--1\n", "column DV", "not a number");
    REFUSE(m, "ID,TIME,DV\n1,0,NA\n", "column DV", "'NA'", "not a number");
    REFUSE(m, "ID,TIME,DV\n1,0,1e16\n", "column DV", "too large");
    REFUSE(m, "ID,TIME\n1,1e10\n", "column TIME", "too large");
    REFUSE(&full_model, "ID,TIME,WT,CRCL\n1,0,heavy,90\n", "line 2", "column WT", "'heavy'", "not a number");
    REFUSE(&full_model, "ID,TIME,WT,CRCL,eta.cl\n1,0,70,90,nan\n", "line 2", "column eta.cl", "'nan'", "not finite");
    static const char *const evids[] = {"5", "-1", "0.5", "1e9"};
    for (size_t i = 0; i < sizeof evids / sizeof *evids; i++) {
        char text[64];
        char quoted[16];
        (void)snprintf(text, sizeof text, "ID,TIME,EVID\n1,0,%s\n", evids[i]);
        (void)snprintf(quoted, sizeof quoted, "'%s'", evids[i]);
        REFUSE(m, text, "line 2", "column EVID", quoted, "event type");
    }
}

static void test_refuses_bad_doses(void **state) {
    (void)state;
    const ddt_model *m = &bare_model;
    REFUSE(m, "ID,TIME,EVID\n1,0,1\n", "line 2", "AMT");
    REFUSE(m, "ID,TIME,EVID,AMT\n1,0,4,.\n", "line 2", "AMT");
    REFUSE(m, "ID,TIME,EVID,AMT\n1,0,1,-5\n", "line 2", "column AMT", "'-5'", "negative");
    REFUSE(m, "ID,TIME,EVID,AMT\n1,0,0,5\n", "line 2", "column AMT", "'5'", "not a dose");
    REFUSE(m, "ID,TIME,EVID,SS,II\n1,0,3,1,0\n", "line 2", "column SS", "not a dose");
    REFUSE(m, "ID,TIME,AMT,CMT\n1,0,5,3\n", "line 2", "column CMT", "'3'");
    REFUSE(m, "ID,TIME,AMT,CMT\n1,0,5,-1\n", "line 2", "column CMT", "'-1'");
    REFUSE(m, "ID,TIME,AMT,CMT\n1,0,5,1.5\n", "line 2", "column CMT", "'1.5'");
    REFUSE(m, "ID,TIME,AMT,CMT\n1,0,5,liver\n", "line 2", "column CMT", "'liver'");
    REFUSE(m, "ID,TIME,AMT,CMT\n1,0,5,cp\n", "line 2", "column CMT", "'cp'");
    REFUSE(m, "ID,TIME,CMT\n1,0,liver\n", "line 2", "column CMT", "'liver'");
    REFUSE(m, "ID,TIME,AMT,ADDL,II\n1,0,5,-1,12\n", "line 2", "column ADDL", "'-1'");
    REFUSE(m, "ID,TIME,AMT,ADDL,II\n1,0,5,1.5,12\n", "line 2", "column ADDL", "'1.5'");
    REFUSE(m, "ID,TIME,AMT,ADDL,II\n1,0,5,2,.\n", "line 2", "ADDL", "II");
    REFUSE(m, "ID,TIME,AMT,ADDL,II\n1,0,5,2,-12\n", "line 2", "column II", "'-12'", "negative");
    REFUSE(m, "ID,TIME,AMT,SS,II\n1,0,5,1,0\n", "line 2", "column II", "SS");
    REFUSE(m, "ID,TIME,AMT,SS\n1,0,5,1\n", "line 2", "SS", "II");
    REFUSE(m, "ID,TIME,AMT,SS,II\n1,0,5,3,12\n", "line 2", "column SS", "'3'");
    REFUSE(m, "ID,TIME,AMT,RATE\n1,0,5,-3\n", "line 2", "column RATE", "'-3'");
    REFUSE(m, "ID,TIME,AMT,RATE,CMT\n1,0,5,-1,2\n", "line 2", "column RATE", "'-1'", "rate()");
    REFUSE(m, "ID,TIME,AMT,RATE,CMT\n1,0,5,-2,depot\n", "line 2", "column RATE", "'-2'", "dur()");
    /* Without CMT the dose goes to the depot, here compartment 2, which has neither. */
    REFUSE(m, "ID,TIME,AMT,RATE\n1,0,5,-2\n", "line 2", "dur()");
    REFUSE(m, "ID,TIME,EVID,AMT,RATE,SS,CMT\n1,0,1,0,-2,1,1\n", "line 2", "column RATE", "constant infusion");
    REFUSE(m, "ID,TIME,EVID,AMT,RATE,SS,CMT,II\n1,0,1,0,5,1,1,12\n", "line 2", "column II", "constant infusion");
    ddt_events_destroy(read_ok(m, "ID,TIME,EVID,AMT,RATE,SS,CMT\n1,0,1,.,5,1,1\n1,0,1,0,-1,1,1\n1,0,1,7,-2,0,1\n"));
    ddt_events_destroy(read_ok(m, "ID,TIME,EVID,AMT\n1,0,1,0\n"));
}

static void test_messages_are_harmless(void **state) {
    (void)state;
    /* Control characters, broken UTF-8 and long values do not reach a terminal. */
    char text[4096] = "ID,TIME\n1,";
    memset(text + strlen(text), 'x', 3000);
    REFUSE(&bare_model, text, "xxx...'");
    assert_true(strlen(ddt_error_detail(ctx)) < 200);
    REFUSE(&bare_model, "ID,TIME\n1,\x1b[31m\xff\n", "'?[31m?'");
    REFUSE(&bare_model, "ID,TIME\n1,\xc3\xa9\n", "'\xc3\xa9'");
}

static void test_refuses_too_much(void **state) {
    (void)state;
    ddt_events *events = NULL;
    ddt_context_clear(ctx);
    assert_int_equal(ddt_events_parse(ctx, "ID,TIME\n1,0\0", 12, "t.csv", &bare_model, &events), DDT_ERR_DATA);
    assert_non_null(strstr(ddt_error_detail(ctx), "zero byte"));
    ddt_context_clear(ctx);
    /* The size is looked at before the text. */
    assert_int_equal(ddt_events_parse(ctx, "ID", ((size_t)64 << 20) + 1, "t.csv", &bare_model, &events), DDT_ERR_DATA);
    assert_non_null(strstr(ddt_error_detail(ctx), "at most"));
    const size_t columns = 5000;
    char *text = calloc(columns + 32, 1);
    assert_non_null(text);
    memset(text, ',', columns);
    memcpy(text, "ID,TIME", 7);
    REFUSE(&bare_model, text, "line 1", "4096");
    free(text);
    const size_t rows = DDT_EVENTS_MAX_RECORDS + 1;
    text = malloc(rows * 4 + 16);
    assert_non_null(text);
    memcpy(text, "ID,TIME\n", 8);
    for (size_t i = 0; i < rows; i++) {
        memcpy(text + 8 + 4 * i, "1,0\n", 4);
    }
    text[8 + 4 * rows] = '\0';
    REFUSE(&bare_model, text, "line 1000002", "1000000 records");
    free(text);
    ddt_context_clear(ctx);
    assert_int_equal(ddt_events_read(ctx, "/nonexistent/t.csv", &bare_model, &events), DDT_ERR_IO);
    assert_null(events);
}

/* ------------------------------------------------------------------ schedule */

static ddt_schedule schedule_of(const ddt_model *model, const ddt_events *events, size_t subject) {
    ddt_schedule schedule;
    ddt_context_clear(ctx);
    ddt_status status = ddt_schedule_create(ctx, model, events, subject, &schedule);
    if (status != DDT_OK) {
        print_error("%s\n", ddt_error_detail(ctx));
    }
    assert_int_equal(status, DDT_OK);
    return schedule;
}

/* The table as text: a row an observation, 1 where the dose precedes. */
static void check_precedes(const ddt_schedule *s, const char *expected) {
    char text[256] = "";
    for (size_t o = 0; o < s->observation_count; o++) {
        for (size_t d = 0; d < s->dose_count; d++) {
            strcat(text, s->precedes[o * s->dose_count + d] ? "1" : "0");
        }
        strcat(text, " ");
    }
    assert_string_equal(text, expected);
}

static void test_expands_additional_doses(void **state) {
    (void)state;
    ddt_events *events = read_ok(&bare_model, "ID,TIME,AMT,RATE,II,ADDL,CMT,EVID\n"
                                              "1,0,.,.,.,.,.,0\n"
                                              "1,0,100,50,12,9,1,1\n"
                                              "1,0,.,.,.,.,.,0\n"
                                              "1,11,.,.,.,.,.,2\n"
                                              "1,12,.,.,.,.,.,0\n"
                                              "1,12,7,.,.,.,.,1\n"
                                              "1,24,.,.,.,.,.,0\n"
                                              "1,30,.,.,.,.,.,0\n");
    ddt_schedule s = schedule_of(&bare_model, events, 0);
    assert_int_equal(s.epoch_count, 1);
    assert_true(s.epoch_start_h[0] == 0);
    assert_int_equal(s.observation_count, 6);
    /* Doses at 0, 12, 24 (those later reach no record), and the second record's at 12. */
    assert_int_equal(s.dose_count, 4);
    static const double times[] = {0, 12, 24, 12};
    for (size_t d = 0; d < 4; d++) {
        assert_true(s.doses[d].time_h == times[d]);
    }
    assert_true(s.doses[1].duration_h == 2 && s.doses[1].rate == 50 && s.doses[1].amount == 100);
    assert_int_equal(s.doses[1].compartment, 0);
    assert_int_equal(s.doses[1].additional, 1);
    assert_int_equal(s.doses[1].covariate_record, 4);
    assert_int_equal(s.doses[3].compartment, 1); /* the depot */
    /* Before its record; after; 11 h; an additional dose at its own time counts; then all. */
    check_precedes(&s, "0000 1000 1000 1100 1111 1111 ");
    ddt_schedule_destroy(&s);
    assert_null(s.doses);
    ddt_events_destroy(events);
}

static void test_rounding_does_not_split_times(void **state) {
    (void)state;
    /* 0.1 + 2 * 0.1 is not the double 0.3. */
    ddt_events *events =
        read_ok(&bare_model, "ID,TIME,AMT,II,ADDL,EVID\n1,0.1,1,0.1,2,1\n1,0.2,.,.,.,0\n1,0.3,.,.,.,0\n");
    ddt_schedule s = schedule_of(&bare_model, events, 0);
    assert_int_equal(s.dose_count, 3);
    assert_true(s.doses[2].time_h == 0.3);
    check_precedes(&s, "110 111 ");
    ddt_schedule_destroy(&s);
    ddt_events_destroy(events);
}

static void test_epochs(void **state) {
    (void)state;
    ddt_events *events = read_ok(&bare_model, "ID,TIME,AMT,II,ADDL,SS,EVID\n"
                                              "1,0,10,6,9,.,4\n" /* a reset on the first record is no second epoch */
                                              "1,6,.,.,.,.,0\n"
                                              "1,12,.,.,.,.,3\n" /* the dose at 12 acts before it and is gone */
                                              "1,12,.,.,.,.,0\n"
                                              "1,13,5,.,.,.,1\n"
                                              "1,14,.,.,.,.,0\n"
                                              "1,15,20,8,1,1,1\n" /* steady state forgets */
                                              "1,15,.,.,.,.,0\n"
                                              "1,16,1,8,.,2,1\n" /* this one adds */
                                              "1,30,.,.,.,.,0\n");
    ddt_schedule s = schedule_of(&bare_model, events, 0);
    assert_int_equal(s.epoch_count, 3);
    assert_true(s.epoch_start_h[0] == 0 && s.epoch_start_h[1] == 12 && s.epoch_start_h[2] == 15);
    assert_int_equal(s.epoch_record[1], 2);
    assert_int_equal(s.epoch_record[2], 6);
    /* 0, 6, 12 | 13 | 15, 23, 16 */
    assert_int_equal(s.dose_count, 7);
    static const size_t epochs[] = {0, 0, 0, 1, 2, 2, 2};
    static const int steady[] = {0, 0, 0, 0, 1, 0, 2};
    for (size_t d = 0; d < 7; d++) {
        assert_int_equal(s.doses[d].epoch, epochs[d]);
        assert_int_equal(s.doses[d].steady_state, steady[d]);
    }
    static const size_t observed[] = {0, 1, 1, 2, 2};
    for (size_t o = 0; o < 5; o++) {
        assert_int_equal(s.observation_epoch[o], observed[o]);
    }
    check_precedes(&s, "1100000 0000000 0001000 0000100 0000111 ");
    ddt_schedule_destroy(&s);
    ddt_events_destroy(events);
}

static void test_schedule_limits(void **state) {
    (void)state;
    ddt_events *events = read_ok(&bare_model, "ID,TIME,AMT,II,ADDL\n1,0,1,1e-9,1e9\n1,1e5,.,.,.\n");
    ddt_schedule s;
    ddt_context_clear(ctx);
    assert_int_equal(ddt_schedule_create(ctx, &bare_model, events, 0, &s), DDT_ERR_CAPACITY);
    assert_non_null(strstr(ddt_error_detail(ctx), "line 2"));
    assert_null(s.doses);
    assert_int_equal(ddt_schedule_create(ctx, &bare_model, events, 1, &s), DDT_ERR_ARGUMENT);
    ddt_events_destroy(events);
    /* A thousand million additional doses of which few fall within the records. */
    events = read_ok(&bare_model, "ID,TIME,AMT,II,ADDL\n1,0,1,12,1e9\n1,100,.,.,.\n");
    s = schedule_of(&bare_model, events, 0);
    assert_int_equal(s.dose_count, 9);
    ddt_schedule_destroy(&s);
    ddt_events_destroy(events);
    events = read_ok(&bare_model, "ID,TIME\n1,5\n");
    s = schedule_of(&bare_model, events, 0);
    assert_true(s.dose_count == 0 && s.observation_count == 1 && s.epoch_count == 1);
    ddt_schedule_destroy(&s);
    ddt_events_destroy(events);
}

/* ------------------------------------------------------------------ grid */

static void test_grid(void **state) {
    (void)state;
    ddt_events *events = read_ok(&full_model, "ID,TIME,AMT,EVID,WT,CRCL\n"
                                              "1,0,10,1,70,90\n1,0.3,.,0,71,90\n1,0.5,5,1,72,90\n1,1.05,.,0,73,90\n"
                                              "2,4,.,0,60,80\n");
    ddt_context_clear(ctx);
    assert_int_equal(ddt_events_add_grid(ctx, events, 0.1), DDT_OK);
    /* 0 .. 1.0 by 0.1, less the 0.3 observed; subject 2 has one observed time. */
    const ddt_subject *subject = &events->subjects[0];
    assert_int_equal(subject->record_count, 4 + 10);
    assert_int_equal(events->record_count, 15);
    assert_int_equal(events->subjects[1].record_count, 1);
    static const double times[] = {0, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.05};
    static const int evids[] = {1, 2, 2, 2, 0, 2, 1, 2, 2, 2, 2, 2, 2, 0};
    static const double weights[] = {70, 70, 71, 71, 71, 72, 72, 72, 73, 73, 73, 73, 73, 73};
    for (size_t i = 0; i < 14; i++) {
        const ddt_record *r = &subject->records[i];
        assert_true(fabs(r->time_h - times[i]) < 1e-12);
        assert_int_equal(r->evid, evids[i]);
        assert_true(subject->covariate_values[r->covariates] == weights[i]);
        assert_int_equal(r->line == 0, evids[i] == 2);
    }
    assert_true(subject->records[7].time_h == 0.5);
    ddt_events_destroy(events);
    events = read_ok(&bare_model, "ID,TIME\n1,0\n1,0.3\n");
    assert_int_equal(ddt_events_add_grid(ctx, events, 0.1), DDT_OK);
    assert_int_equal(events->record_count, 4);
    static const double bad[] = {0.0, -1.0, NAN, INFINITY};
    for (size_t i = 0; i < 4; i++) {
        ddt_context_clear(ctx);
        assert_int_equal(ddt_events_add_grid(ctx, events, bad[i]), DDT_ERR_RANGE);
    }
    ddt_context_clear(ctx);
    assert_int_equal(ddt_events_add_grid(ctx, events, 1e-7), DDT_ERR_CAPACITY);
    ddt_context_clear(ctx);
    assert_int_equal(ddt_events_add_grid(ctx, events, 1e-300), DDT_ERR_CAPACITY);
    assert_int_equal(events->record_count, 4);
    ddt_events_destroy(events);
}

static void test_points(void **state) {
    (void)state;
    ddt_events *events = read_ok(&bare_model, "ID,TIME\n1,0\n1,10\n2,4\n3,0\n3,5\n3,20\n");
    ddt_context_clear(ctx);
    assert_int_equal(ddt_events_add_points(ctx, events, 1), DDT_ERR_RANGE);
    ddt_context_clear(ctx);
    assert_int_equal(ddt_events_add_points(ctx, events, 5), DDT_OK);
    /* Each subject's own span; the observed times are not doubled, and one time alone stays alone. */
    static const double first[] = {0, 2.5, 5, 7.5, 10};
    static const double third[] = {0, 5, 10, 15, 20};
    assert_int_equal(events->subjects[0].record_count, 5);
    assert_int_equal(events->subjects[1].record_count, 1);
    assert_int_equal(events->subjects[2].record_count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_true(events->subjects[0].records[i].time_h == first[i]);
        assert_true(events->subjects[2].records[i].time_h == third[i]);
    }
    ddt_events_destroy(events);
}

/* ------------------------------------------------------------------ memory */

static void test_allocation_failures(void **state) {
    (void)state;
    static const char text[] = "ID,TIME,AMT,II,ADDL,EVID,WT,CRCL\n"
                               "1,0,10,12,3,1,70,90\n1,30,.,.,.,0,70,90\n2,0,10,.,.,1,60,80\n2,5,.,.,.,0,60,80\n";
    ddt_status status = DDT_ERR_MEMORY;
    uint64_t n = 0;
    for (; status != DDT_OK; n++) {
        ddt_events *events = NULL;
        ddt_schedule schedule = {0};
        ddt_context_clear(ctx);
        (void)ddt_alloc_fail_after(n);
        status = ddt_events_parse(ctx, text, sizeof text - 1, "t.csv", &full_model, &events);
        assert_int_equal(events == NULL, status != DDT_OK);
        if (status == DDT_OK) {
            status = ddt_events_add_grid(ctx, events, 1.0);
            assert_int_equal(events->record_count, status == DDT_OK ? 4 + 30 + 5 : 4);
        }
        if (status == DDT_OK) {
            status = ddt_schedule_create(ctx, &full_model, events, 0, &schedule);
        }
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_true(status == DDT_OK || status == DDT_ERR_MEMORY);
        assert_true(status == DDT_OK || schedule.doses == NULL);
        ddt_schedule_destroy(&schedule);
        ddt_events_destroy(events);
    }
    assert_true(n > 20);
}

static void test_levels_beyond_quantification(void **state) {
    (void)state;
    ddt_events *events = read_ok(&bare_model, "ID,TIME,EVID,DV,CENS,LIMIT,MDV\n"
                                              "1,0,0,5,0,.,0\n1,1,0,0.5,1,.,0\n1,2,0,0.5,1,0,0\n1,3,0,80,-1,100,0\n"
                                              "1,4,0,0.5,1,0,1\n1,5,0,7,.,3,0\n");
    const ddt_record *r = events->subjects[0].records;
    assert_true(r[0].has_dv && r[0].censored == 0 && !r[0].has_limit);
    assert_true(r[1].has_dv && r[1].dv == 0.5 && r[1].censored == 1 && !r[1].has_limit);
    assert_true(r[2].censored == 1 && r[2].has_limit && r[2].limit == 0);
    assert_true(r[3].censored == -1 && r[3].has_limit && r[3].limit == 100);
    assert_true(!r[4].has_dv && r[4].censored == 0 && !r[4].has_limit);
    assert_true(r[5].dv == 7 && r[5].censored == 0 && !r[5].has_limit); /* LIMIT says nothing of a measured level */
    ddt_events_destroy(events);
    REFUSE(&bare_model, "ID,TIME,EVID,DV,CENS\n1,0,0,5,2\n", "CENS", "2", "line 2");
    REFUSE(&bare_model, "ID,TIME,EVID,DV,CENS\n1,0,0,5,0.5\n", "CENS", "line 2");
    REFUSE(&bare_model, "ID,TIME,EVID,DV,CENS,LIMIT\n1,0,0,5,1,6\n", "LIMIT", "6", "line 2");
    REFUSE(&bare_model, "ID,TIME,EVID,DV,CENS,LIMIT\n1,0,0,5,-1,5\n", "LIMIT", "line 2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_a_plain_table),
        cmocka_unit_test(test_accepts_every_dress_of_csv),
        cmocka_unit_test(test_derives_missing_items),
        cmocka_unit_test(test_levels_beyond_quantification),
        cmocka_unit_test(test_fills_covariates),
        cmocka_unit_test(test_refuses_bad_tables),
        cmocka_unit_test(test_refuses_bad_values),
        cmocka_unit_test(test_refuses_bad_doses),
        cmocka_unit_test(test_messages_are_harmless),
        cmocka_unit_test(test_refuses_too_much),
        cmocka_unit_test(test_expands_additional_doses),
        cmocka_unit_test(test_rounding_does_not_split_times),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_schedule_limits),
        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
