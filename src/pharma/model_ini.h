/* The parts of ini({...}). SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_PHARMA_MODEL_INI_H
#define DDT_PHARMA_MODEL_INI_H

#include "parser.h"

/* The values on the right of an assignment or of ~. */
typedef struct ini_values {
    double *values; /* ddt_free */
    size_t count;
    size_t capacity;
    bool fixed;
    bool standard_deviations; /* sd(): the diagonal holds standard deviations */
    bool correlations;        /* cor(): the rest holds correlations */
    bool cholesky;            /* chol(): the whole is a Cholesky factor */
} ini_values;

/* c(), fixed() and the like, nested; a plain expression otherwise. */
void ini_read_values(parser *p, ini_values *v);
/* a + b ~ values, at the first name. */
void ini_read_effects(parser *p);

#endif
