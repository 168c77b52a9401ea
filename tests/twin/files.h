/*
 * Problems of every purpose with several subjects, covariates and etas, for tests that look at what stands in files.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_TEST_FILES_H
#define DDT_TEST_FILES_H

#include "chain.h"

typedef struct file_case {
    const char *name;
    ddt_twin_purpose purpose;
    const char *model_path, *data_path; /* NULL: the texts below */
    const char *model, *table;
    const char *target, *product;
} file_case;

/* Oral, two compartments, lag and bioavailability; four subjects of different designs. */
static const char files_linear_model[] =
    "oral <- function() {\n"
    "  units <- list(time = \"h\", dosing = \"mg\", concentration = \"mg/L\")\n"
    "  covariateData <- list(WT = list(description = \"weight\", units = \"kg\", range = c(40, 120)),\n"
    "    AGE = list(description = \"age\", units = \"years\", range = c(18, 90)))\n"
    "  ini({\n    lka <- 0.1\n    lcl <- 1\n    lv <- 3\n    lq <- 0.5\n    lv2 <- 3.2\n    lf <- -0.3\n"
    "    eta.ka ~ 0.09\n    eta.cl ~ 0.09\n    eta.v ~ 0.04\n    eta.f ~ 0.01\n    sd <- 0.1\n  })\n"
    "  model({\n    ka <- exp(lka + eta.ka)\n    cl <- exp(lcl + eta.cl) * (WT / 70)^0.75 * (1 - 0.004 * (AGE - 40))\n"
    "    v <- exp(lv + eta.v) * WT / 70\n    q <- exp(lq)\n    v2 <- exp(lv2)\n"
    "    d/dt(depot) <- -ka * depot\n"
    "    d/dt(central) <- ka * depot - (cl + q) / v * central + q / v2 * second\n"
    "    d/dt(second) <- q / v * central - q / v2 * second\n"
    "    f(depot) <- exp(lf + eta.f)\n    cp <- central / v\n    cp ~ prop(sd)\n  })\n}\n";
static const char files_linear_table[] = "ID,TIME,AMT,RATE,II,ADDL,CMT,EVID,DV,WT,AGE,eta.ka,eta.cl,eta.v,eta.f\n"
                                         "adult,0,100,.,12,2,depot,1,.,70,40,0.2,-0.3,0.1,0.05\n"
                                         "adult,1,.,.,.,.,central,0,1,70,40,0.2,-0.3,0.1,0.05\n"
                                         "adult,13.5,.,.,.,.,central,0,1,70,40,0.2,-0.3,0.1,0.05\n"
                                         "adult,30,.,.,.,.,central,0,1,70,40,0.2,-0.3,0.1,0.05\n"
                                         "light,0,80,.,.,.,depot,1,.,46,19,-0.4,0.25,-0.2,-0.1\n"
                                         "light,2,.,.,.,.,central,0,1,46,19,-0.4,0.25,-0.2,-0.1\n"
                                         "light,6,50,25,.,.,central,1,.,47,19,-0.4,0.25,-0.2,-0.1\n"
                                         "light,9,.,.,.,.,central,0,1,48,19,-0.4,0.25,-0.2,-0.1\n"
                                         "old,0.5,120,.,.,.,depot,1,.,95,85,0,0.5,0.3,0\n"
                                         "old,4,.,.,.,.,central,0,1,95,85,0,0.5,0.3,0\n"
                                         "none,0,.,.,.,.,central,0,1,60,50,0.1,0.1,0.1,0.1\n"
                                         "none,1,90,.,.,.,depot,1,.,60,50,0.1,0.1,0.1,0.1\n"
                                         "none,8,.,.,.,.,central,0,1,60,50,0.1,0.1,0.1,0.1\n";

/* Saturable elimination; three subjects, one of them with one dose less. */
static const char files_newton_model[] =
    "saturable <- function() {\n"
    "  units <- list(time = \"h\", dosing = \"mg\", concentration = \"mg/L\")\n"
    "  covariateData <- list(WT = list(description = \"weight\", units = \"kg\", range = c(50, 100)))\n"
    "  ini({\n    lvmax <- 1.5\n    lkm <- 1.6\n    lv <- 2\n    eta.vmax ~ 0.02\n    eta.v ~ 0.02\n    sd <- 0.1\n  "
    "})\n"
    "  model({\n    vmax <- exp(lvmax + eta.vmax) * WT / 70\n    km <- exp(lkm)\n    v <- exp(lv + eta.v)\n"
    "    cp <- central / v\n    d/dt(central) <- -vmax * cp / (km + cp)\n    cp ~ prop(sd)\n  })\n}\n";
static const char files_newton_table[] = "ID,TIME,AMT,EVID,DV,WT,eta.vmax,eta.v\n"
                                         "a,0,60,1,.,70,0.1,-0.1\na,2,.,0,1,70,0.1,-0.1\na,8,40,1,.,70,0.1,-0.1\n"
                                         "a,12,.,0,1,70,0.1,-0.1\nb,0,50,1,.,95,-0.2,0.15\nb,6,.,0,1,95,-0.2,0.15\n"
                                         "c,0,70,1,.,55,0,0\nc,5,30,1,.,55,0,0\nc,11,.,0,1,55,0,0\n";

#define FILES_VANCOMYCIN                                                                                               \
    .model_path = DDT_SOURCE_DIR "/models/vancomycin_thomson2009.R",                                                   \
    .data_path = DDT_SOURCE_DIR "/data/vancomycin_levels.csv"

static const file_case files_linear = {
    .name = "linear", .purpose = DDT_TWIN_SIMULATE, .model = files_linear_model, .table = files_linear_table};
static const file_case files_newton = {
    .name = "newton", .purpose = DDT_TWIN_SIMULATE, .model = files_newton_model, .table = files_newton_table};
static const file_case files_fit = {.name = "fit", .purpose = DDT_TWIN_FIT, FILES_VANCOMYCIN};
static const file_case files_recommend = {.name = "recommend",
                                          .purpose = DDT_TWIN_RECOMMEND,
                                          FILES_VANCOMYCIN,
                                          .target = "auc24=400:600",
                                          .product = "dose=500:1000:250; interval=8,12; infusion=1"};

static inline ddt_twin_options files_options(const chain *c, const file_case *one) {
    return (ddt_twin_options){.purpose = one->purpose,
                              .model_path = one->model_path == NULL ? c->model : one->model_path,
                              .data_path = one->data_path == NULL ? c->table : one->data_path,
                              .target = one->target,
                              .product = one->product,
                              .grid_points = one->purpose == DDT_TWIN_SIMULATE ? 25 : 0};
}

/* A folder with the case's model and table. */
static inline int files_setup(void **state, const file_case *one) {
    chain *c = calloc(1, sizeof *c);
    *state = c;
    chain_begin(c);
    const char *model = one->model == NULL ? "" : one->model;
    const char *table = one->table == NULL ? "" : one->table;
    assert_int_equal(ddt_write_text(c->ctx, c->model, model, strlen(model)), DDT_OK);
    assert_int_equal(ddt_write_text(c->ctx, c->table, table, strlen(table)), DDT_OK);
    return 0;
}

#endif
