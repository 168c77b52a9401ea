/*
 * ddt/pharma/units.h - units of doses, levels and times, in UCUM's notation.
 *
 * Known: g, mol, L (l), m, s, min, h, d, wk, mo, a, V, [IU] and %, with the prefixes f p n u m c d k M where they make
 * sense; numbers, 10*9 (10^9), exponents (m2, m^2), products by . or *, quotients by /, brackets and annotations
 * ({score}). Besides UCUM's own the words day, week, month and year, which model files use, and a leading "µ" for u.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_PHARMA_UNITS_H
#define DDT_PHARMA_UNITS_H

#include "ddt/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ddt_dimension {
    DDT_DIMENSION_MASS,
    DDT_DIMENSION_SUBSTANCE,
    DDT_DIMENSION_LENGTH, /* volumes are its third power */
    DDT_DIMENSION_TIME,
    DDT_DIMENSION_ACTIVITY,  /* international units */
    DDT_DIMENSION_POTENTIAL, /* of a particle's surface */
    DDT_DIMENSION_COUNT
} ddt_dimension;

/* A unit: factor times g, mol, m, s, [IU] and V to these powers. */
typedef struct ddt_unit {
    double factor;
    int power[DDT_DIMENSION_COUNT];
} ddt_unit;

/* Reads a unit. Errors: DDT_ERR_DATA, one sentence with the text, what is wrong with it and, for common slips (mcg, hr,
 * cc), what to write; *out is zero then. */
DDT_MUST_CHECK ddt_status ddt_unit_parse(ddt_context *ctx, const char *text, ddt_unit *out);
bool ddt_unit_same_kind(const ddt_unit *a, const ddt_unit *b);
/* The factor that takes a value in `from` to `to`. Errors: those of ddt_unit_parse; DDT_ERR_DATA when they measure
 * different things. */
DDT_MUST_CHECK ddt_status ddt_unit_factor(ddt_context *ctx, const char *from, const char *to, double *factor);

#ifdef __cplusplus
}
#endif
#endif
