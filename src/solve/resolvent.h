/*
 * Inside of resolvent*.c: large linear systems without matrix products. SPDX-License-Identifier: Apache-2.0
 *
 * exp(z) on (-inf, 0] is nearly a constant and a few partial fractions c / (p - z); so exp(A t) v is a sum of solutions
 * of (p - A t) x = v, and those are found by elimination, which keeps the sparsity that powers of A lose.
 *
 *   resolvent.c         when, which poles; components and losses of the system
 *   resolvent_value.c   complex values: nodes of the circuit, a public scale, and the numbers of virtual patients
 *   resolvent_pivot.c   reciprocals
 *   resolvent_circuit.c elimination
 */
#ifndef DDT_SOLVE_RESOLVENT_H
#define DDT_SOLVE_RESOLVENT_H

#include "solve_internal.h"

#include <complex.h>

enum { RESOLVENT_POLES_MAX = 4 };

/* exp(-x) ~ constant + sum of 2 Re(residue / (pole + x)), x >= 0. */
typedef struct resolvent_poles {
    size_t count; /* one of each conjugate pair */
    double error, constant;
    double pole[RESOLVENT_POLES_MAX][2], residue[RESOLVENT_POLES_MAX][2]; /* real and imaginary parts */
} resolvent_poles;

extern const resolvent_poles resolvent_tables[];
extern const size_t resolvent_table_count;

/* Kept from choice to circuit. */
struct solve_resolvent {
    const resolvent_poles *poles;
    size_t *component; /* per state: those that feed each other; what is upstream has the smaller number */
    size_t component_count;
    size_t time_count, patient_count;
    double *times_h;        /* the different times of slots */
    uint32_t *time_of_slot; /* lanes x block */
    double *rates;          /* patients x n x n */
    /* Room for numbers, used again for each pole and attempt. */
    double complex **rooms;
    size_t room_count, room_capacity, rooms_used;
};
typedef struct solve_resolvent solve_resolvent;

/*
 * scale (re + i im). The scale is public, one for each time, and such that re and im are about 1; number is the value
 * of each virtual patient at each time.
 */
typedef struct resolvent_value {
    bool exists;            /* else 0 */
    ddt_node re, im;        /* im: DDT_NODE_NONE where real */
    double *scale;          /* times */
    double complex *number; /* times x patients */
} resolvent_value;

/* a b, or a alone. a is scaled where that is needed: the shallower one. */
typedef struct resolvent_term {
    const resolvent_value *a, *b;
} resolvent_term;

/* A value with room for its numbers, without nodes. */
ddt_status resolvent_create(solve_work *work, resolvent_value *out);
/* values[t], one for each time, as a public node. */
ddt_node resolvent_public(solve_work *work, const double *values);
ddt_status resolvent_product(solve_work *work, const resolvent_value *a, const resolvent_value *b,
                             resolvent_value *out);
ddt_status resolvent_sum(solve_work *work, const resolvent_term *terms, size_t count, resolvent_value *out);
/* (Sum of values[i]) coefficient[t] + offset[t] as two nodes. */
ddt_status resolvent_affine(solve_work *work, const resolvent_value *const *values, size_t count,
                            const double complex *coefficient, const double complex *offset, resolvent_value *out);
/* 1 / (sum of parts), for all virtual patients as accurate as work->exponential_tolerance asks. */
ddt_status resolvent_inverse(solve_work *work, const resolvent_value *const *parts, size_t count, resolvent_value *out);

#endif
