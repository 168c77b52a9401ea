/*
 * One run of a plan on one batch: values, their memory, and the workers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CIRCUIT_ENGINE_H
#define DDT_CIRCUIT_ENGINE_H

#include "encode_cache.h"

#include <stdatomic.h>

/* What one thread needs to execute instructions: an evaluator and scratch, all with room for the top level. */
typedef struct engine_worker {
    ddt_evaluator *evaluator;
    ddt_ciphertext sum;  /* 3 parts */
    ddt_ciphertext term; /* 2 parts */
    ddt_plaintext plain;
    double *slots;
} engine_worker;

typedef struct engine_run {
    ddt_context *ctx;
    ddt_plan *plan;
    const ddt_ckks_params *params;
    const ddt_bootstrapper *bootstrapper;
    size_t batch;
    const ddt_ciphertext *inputs;
    ddt_ciphertext **values;    /* of each value; inputs are the caller's and stay NULL */
    atomic_uint_fast32_t *uses; /* still to come, of each value */
    pthread_mutex_t lock;       /* guards the free list */
    ddt_ciphertext **spare;
    size_t spare_count;
    atomic_int status; /* the first failure */
    atomic_uint_fast64_t done;
} engine_run;

static inline const ddt_ciphertext *engine_value(const engine_run *run, uint32_t value) {
    return value < run->plan->input_count ? &run->inputs[value] : run->values[value];
}

/* A ciphertext with room for 2 parts at the level, from the free list or new. */
DDT_MUST_CHECK ddt_status engine_take(engine_run *run, unsigned level, ddt_ciphertext **out);
void engine_give(engine_run *run, ddt_ciphertext *ciphertext);

/* Executes one instruction; its results are in run->values afterwards. */
DDT_MUST_CHECK ddt_status engine_execute(engine_run *run, engine_worker *worker, const plan_instruction *instruction);

#endif
