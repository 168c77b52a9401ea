/*
 * ddt/pharma/product.h - what a model file says of the drug's products (how doses can be given) and therapeutic
 * targets.
 *
 * Both stand beside ini and model, as lists that R readers of the file keep as metadata (docs/model-language.md):
 *
 *     products <- list(vial = list(route = "infusion", cmt = "central", step = 250, dose = c(250, 3000), ...))
 *     targets <- list(auc24 = list(range = c(400, 600), units = "mg*h/L", source = "..."))
 *
 * Amounts are in the model's dose unit, times in its time unit.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_PHARMA_PRODUCT_H
#define DDT_PHARMA_PRODUCT_H

#include "ddt/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DDT_PRODUCT_VALUES_MAX = 32, /* intervals, or infusion times, of one product */
    DDT_PRODUCTS_MAX = 32        /* products, or targets, of one model */
};

/* How a drug can be given. */
typedef struct ddt_product {
    char *name;
    char *description;    /* may be NULL */
    char *route;          /* "oral", "infusion", "bolus", "subcutaneous"...; may be NULL */
    char *source;         /* citation, may be NULL */
    uint32_t compartment; /* 0-based: where doses go; `depot`, else the first, where the file names none */
    double step;          /* doses are multiples of it, > 0 */
    double dose_low;      /* of one dose, > 0 */
    double dose_high;
    double daily_max;   /* all doses of 24 hours together; INFINITY where none is given */
    double rate_max;    /* of an infusion, amount per time unit; INFINITY where none is given */
    double loading_low; /* of a first dose; dose_low and dose_high where none are given */
    double loading_high;
    double *intervals; /* dosing intervals in use, increasing, > 0; none: a single dose */
    size_t interval_count;
    double *infusions; /* infusion times in use, increasing, >= 0 (0: a bolus); none: boluses only */
    size_t infusion_count;
    unsigned line; /* in the model file */
} ddt_product;

/* What treatment aims at: the measure, by the names that --target knows (auc24, trough, peak, average, fT>mic,
 * nadir...) */
typedef struct ddt_target {
    char *measure;
    char *output;      /* variable that is measured; the model's first output where the file names none */
    char *description; /* may be NULL: for whom, under which conditions */
    char *unit;        /* may be NULL */
    char *source;      /* citation, may be NULL */
    double low;        /* the range aimed at; -INFINITY or INFINITY where it is open */
    double high;
    double threshold; /* of measures that have one (fT>mic: the MIC); NAN without */
    unsigned line;
} ddt_target;

struct ddt_model;

/* The product of that name, the first one for NULL; NULL when the model has none. Owned by the model. */
const ddt_product *ddt_model_product(const struct ddt_model *model, const char *name);
/* The target of that measure, the first one for NULL; NULL when the model has none. Owned by the model. */
const ddt_target *ddt_model_target(const struct ddt_model *model, const char *measure);

/* A dose that the product can give: `amount` rounded to the nearest step (half up) within dose_low and dose_high, both
 * themselves taken inwards to multiples of the step. */
double ddt_product_round(const ddt_product *product, double amount);

#ifdef __cplusplus
}
#endif
#endif
