/* Why the planner's tries failed: what is told where nothing fits. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_CIRCUIT_OBSTACLE_H
#define DDT_CIRCUIT_OBSTACLE_H

#include "plan.h"

/* In the order in which a try meets them: the later, the nearer it came to a plan. */
typedef enum obstacle_kind {
    OBSTACLE_NONE,
    OBSTACLE_BLOCK,    /* more slots than the ring has */
    OBSTACLE_CUTS,     /* no places for refreshes on as few levels as the ring holds beside bootstrapping */
    OBSTACLE_PRIMES,   /* more primes than a chain may have */
    OBSTACLE_MODULUS,  /* more bits than are secure */
    OBSTACLE_HEADROOM, /* outputs larger than the lowest primes hold */
    OBSTACLE_KEYS      /* the keys of bootstraps are too large */
} obstacle_kind;

typedef struct obstacle {
    obstacle_kind kind;
    bool refreshes;   /* of a program with refreshes: what is too deep without them says less */
    unsigned log_n;   /* of the try */
    unsigned depth;   /* its program's levels; OBSTACLE_CUTS: the most there may be */
    unsigned boot;    /* levels of bootstrapping */
    unsigned scale;   /* bits */
    double amount;    /* slots, primes, bits or bytes that it needs; OBSTACLE_CUTS: minus the most levels */
    unsigned allowed; /* OBSTACLE_MODULUS: bits */
} obstacle;

/* Keeps the one that came nearest: the last kind, of these the one that misses its limit by least. */
void obstacle_note(obstacle *nearest, const obstacle *next);
/* DDT_ERR_CAPACITY, in a sentence. */
ddt_status obstacle_fail(ddt_context *ctx, const obstacle *o, double largest_output, double most_key_bytes);

#endif
