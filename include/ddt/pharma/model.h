/*
 * ddt/pharma/model.h - drug models in the nlmixr2/rxode2 form.
 *
 * A model file holds `name <- function() { ... ini({...}) model({...}) }`. Reading it gives a symbol table and, for
 * each compartment, expressions in base symbols only: all assigned variables are inlined, conditions become IF
 * expressions, linCmt() becomes its differential equations. docs/model-language.md has the grammar. What cannot be run
 * is refused with line, construct and reason (DDT_ERR_MODEL).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_PHARMA_MODEL_H
#define DDT_PHARMA_MODEL_H

#include "ddt/pharma/expr.h"
#include "ddt/pharma/product.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ddt_symbol_kind {
    DDT_SYMBOL_THETA,     /* population parameter, public, value from ini or --param */
    DDT_SYMBOL_ETA,       /* between-subject random effect, encrypted */
    DDT_SYMBOL_COVARIATE, /* data column, encrypted */
    DDT_SYMBOL_STATE,     /* amount (or whatever the model says) in a compartment */
    DDT_SYMBOL_TIME,      /* t or time */
    /* What tad(), tlast(), podo() and transit() read: piecewise constant, set by a dose when it acts (behind its lag).
     */
    DDT_SYMBOL_LAST_DOSE_TIME,  /* public; before the first dose: the start of the epoch */
    DDT_SYMBOL_LAST_DOSE_AMOUNT /* encrypted: AMT, without F; before the first dose 0 */
} ddt_symbol_kind;

/* What the model says of a covariate's values between records: locf(x), nocb(x), linear(x), midpoint(x). */
typedef enum ddt_between_records {
    DDT_BETWEEN_ANY, /* nothing: as ddt_events.carries_forward */
    DDT_BETWEEN_LOCF,
    DDT_BETWEEN_NOCB,
    DDT_BETWEEN_LINEAR,
    DDT_BETWEEN_MIDPOINT
} ddt_between_records;

typedef struct ddt_symbol {
    char *name;
    ddt_symbol_kind kind;
    double value;  /* THETA: the estimate as written in ini (on ini's scale); ETA: 0 */
    double omega2; /* ETA: variance */
    double lower;  /* THETA: bounds of ini, -INFINITY and INFINITY where none are given */
    double upper;
    bool is_fixed;  /* THETA: fixed() or fix() */
    bool has_range; /* COVARIATE: declared by covariateData (range = c(low, high)) */
    double range_low;
    double range_high;
    bool is_discrete; /* COVARIATE: type = "binary" or "categorical", or compared with == or != in the model */
    ddt_between_records between; /* COVARIATE */
    char *unit;                  /* may be NULL */
    char *label;                 /* may be NULL */
    uint32_t compartment; /* STATE: its own; LAST_DOSE_*: whose doses count, UINT32_MAX for those of any compartment */
    unsigned line;        /* first seen in the model file */
} ddt_symbol;

/* Expressions of one compartment, in base symbols. DDT_EXPR_NONE where the model says nothing. */
typedef struct ddt_compartment {
    char *name;
    uint32_t symbol;          /* its STATE symbol */
    ddt_expr derivative;      /* d/dt */
    ddt_expr initial;         /* name(0) <- */
    ddt_expr bioavailability; /* f() */
    ddt_expr lag_h;           /* alag(), lag(): in the model's time unit */
    ddt_expr rate;            /* rate(): for RATE -1 */
    ddt_expr duration;        /* dur(): for RATE -2 */
    unsigned line;            /* of its d/dt(), or of linCmt() */
} ddt_compartment;

typedef enum ddt_residual_kind {
    DDT_RESIDUAL_NONE,
    DDT_RESIDUAL_ADDITIVE,
    DDT_RESIDUAL_PROPORTIONAL,
    DDT_RESIDUAL_COMBINED,    /* variance additive^2 + (proportional f)^2: nlmixr2's combined2(), its default */
    DDT_RESIDUAL_LOG,         /* lnorm: additive_sd is the standard deviation on the log scale */
    DDT_RESIDUAL_COMBINED_SD, /* combined1(): standard deviation additive + proportional f */
    DDT_RESIDUAL_OTHER /* a residual of nlmixr2 that is not modelled here: the output can be simulated, not fitted */
} ddt_residual_kind;

typedef struct ddt_output {
    char *name;
    ddt_expr value;
    ddt_residual_kind residual;
    double additive_sd; /* at the current THETAs (ddt_model_set_param keeps them up to date) */
    double proportional_sd;
    ddt_expr additive; /* the same as expressions of THETAs, DDT_EXPR_NONE where absent */
    ddt_expr proportional;
    unsigned line; /* of its residual line, of its compartment where there is none; 0 for a selected variable */
} ddt_output;

typedef struct ddt_model {
    char *name;               /* the function's name */
    char *path;               /* as given, for messages */
    char *description;        /* may be NULL */
    char *reference;          /* citation, may be NULL */
    char *time_unit;          /* from units list, "h" by default */
    char *dose_unit;          /* may be NULL */
    char *concentration_unit; /* may be NULL */
    ddt_expr_pool *pool;
    ddt_symbol *symbols;
    size_t symbol_count;
    ddt_compartment *compartments;
    size_t compartment_count;
    ddt_output *outputs; /* variables with a residual line; all compartments where there is none */
    size_t output_count;
    /* Every variable assigned in model({}), inlined: for --output and for individual parameters. */
    char **variable_names;
    ddt_expr *variables;
    size_t variable_count;
    double *omega;  /* eta_count x eta_count covariance, row-major, in the order of the ETA symbols */
    uint32_t *etas; /* symbol indices */
    size_t eta_count;
    /*
     * Times at which the equations may jump: mtime(x) <- value, and every value that t or tad() is compared with in the
     * model. Expressions without STATE and TIME; an integrator stops there.
     */
    ddt_expr *breaks;
    size_t break_count;
    bool uses_dose_history; /* there are LAST_DOSE symbols */
    ddt_product *products;  /* how the drug can be given, and what treatment aims at: ddt/pharma/product.h */
    size_t product_count;
    ddt_target *targets;
    size_t target_count;
} ddt_model;

/* Reads a model file (at most 1 MiB). The caller owns *out. Errors: DDT_ERR_IO, DDT_ERR_MODEL with file, line,
 * construct and reason. */
DDT_MUST_CHECK ddt_status ddt_model_read(ddt_context *ctx, const char *path, ddt_model **out);
/* The same from text; `name` stands for the file in messages. */
DDT_MUST_CHECK ddt_status ddt_model_parse(ddt_context *ctx, const char *text, size_t length, const char *name,
                                          ddt_model **out);
void ddt_model_destroy(ddt_model *model);

/* Symbol index by name, or -1. */
int64_t ddt_model_find_symbol(const ddt_model *model, const char *name);
/* Sets a THETA's value (--param NAME=VALUE). DDT_ERR_MODEL when there is none of that name, or the value is not finite.
 */
DDT_MUST_CHECK ddt_status ddt_model_set_param(ddt_context *ctx, ddt_model *model, const char *name, double value);
/* Replaces the outputs by the named variables or compartments (--output A,B). DDT_ERR_MODEL for an unknown name. */
DDT_MUST_CHECK ddt_status ddt_model_select_outputs(ddt_context *ctx, ddt_model *model, const char *const *names,
                                                   size_t count);

#ifdef __cplusplus
}
#endif
#endif
