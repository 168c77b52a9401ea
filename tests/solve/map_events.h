/*
 * Two runs of data/reference/map with NONMEM's own etas as columns, for the tests in the clear and under encryption.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_MAP_EVENTS_H
#define DDT_MAP_EVENTS_H

#include "solve_test.h"

#define MAP_FOLDER DDT_SOURCE_DIR "/data/reference/map/"

enum { MAP_LINE = 512 };

#define MAP_ORAL                                                                                                       \
    "d/dt(depot) <- -exp(ETA3) * depot\nd/dt(central) <- exp(ETA3) * depot - cl / v * central\ncp <- central / v\n"

static inline const char *map_model(const char *run) {
    return strcmp(run, "run003") == 0
               ? "m <- function() { ini({ ETA1 ~ 0.2; ETA2 ~ 0.2; ETA3 ~ 0.2; ETA4 ~ 0.2 })\nmodel({\n"
                 "cl <- 4 * exp(ETA1)\nv <- 70 * exp(ETA2)\n" MAP_ORAL "alag(depot) <- exp(ETA4)\ncp ~ prop(0.2)\n}) }"
               : "m <- function() { ini({ ETA1 ~ 0.2; ETA2 ~ 0.2; ETA3 ~ 0.2 })\nmodel({\n"
                 "cl <- 4 * exp(ETA1) * (BW / 75)^1.5 * 0.75^SEX\nv <- 70 * exp(ETA2)\n" MAP_ORAL
                 "cp ~ prop(0.2)\n}) }";
}

static inline FILE *map_file(const char *what, const char *run, char *header) {
    char path[MAP_LINE];
    (void)snprintf(path, sizeof path, MAP_FOLDER "%s_%s.csv", what, run);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(header, MAP_LINE, file));
    header[strcspn(header, "\r\n")] = 0;
    return file;
}

/* Each record of the data with its subject's etas behind it. */
static inline void map_table(const char *run, text *table) {
    char data_header[MAP_LINE];
    char eta_header[MAP_LINE];
    char row[MAP_LINE];
    char etas[MAP_LINE] = "";
    FILE *data = map_file("data", run, data_header);
    FILE *eta = map_file("nonmem_eta", run, eta_header);
    text_add(table, "%s%s\n", data_header, strchr(eta_header, ','));
    while (fgets(row, sizeof row, data) != NULL) {
        row[strcspn(row, "\r\n")] = 0;
        while (etas[0] == 0 || strtol(etas, NULL, 10) != strtol(row, NULL, 10)) {
            assert_non_null(fgets(etas, sizeof etas, eta));
            etas[strcspn(etas, "\r\n")] = 0;
        }
        text_add(table, "%s%s\n", row, strchr(etas, ','));
    }
    (void)fclose(data);
    (void)fclose(eta);
}

static inline void map_open(problem *p, const char *run) {
    text table = {0};
    map_table(run, &table);
    problem_parse(p, map_model(run), table.data);
    text_free(&table);
}

/* The largest difference from NONMEM's individual predictions, relative to each subject's largest. */
static inline double map_compare(const problem *p, const char *run) {
    char line[MAP_LINE];
    FILE *file = map_file("nonmem_pred", run, line);
    double worst = 0.0;
    for (size_t s = 0; s < p->events->subject_count; s++) {
        const ddt_subject *subject = &p->events->subjects[s];
        size_t observation = 0;
        double largest = 0.0;
        double error = 0.0;
        for (size_t r = 0; r < subject->record_count; r++) {
            double row[7]; /* ID TIME EVID CMT DV PRED IPRED */
            assert_non_null(fgets(line, sizeof line, file));
            assert_int_equal(sscanf(line, "%lf,%lf,%lf,%lf,%lf,%lf,%lf", &row[0], &row[1], &row[2], &row[3], &row[4],
                                    &row[5], &row[6]),
                             7);
            assert_true(row[0] == atof(subject->id) && row[1] == subject->records[r].time_h);
            if (subject->records[r].evid == 0) {
                double difference = fabs(p->values[s][observation++] - row[6]);
                error = difference <= error ? error : difference;
                largest = fmax(largest, row[6]);
            }
        }
        assert_true(observation > 0 && largest > 0.0);
        worst = error / largest <= worst ? worst : error / largest;
    }
    (void)fclose(file);
    return worst;
}

#endif
