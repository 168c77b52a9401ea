/*
 * Recommendations under encryption, for tests.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_RECOMMEND_ENCRYPTED_TEST_H
#define DDT_RECOMMEND_ENCRYPTED_TEST_H

#include "encrypted_test.h"
#include "recommend_test.h"

/* Runs under encryption what problem_run has run in the clear. */
static inline void recommend_run_planned(problem *p, const ddt_plan_request *request, uint64_t most_key_bytes) {
    ddt_plan *plan = NULL;
    ddt_plan_info info;
    encrypted_keys k = {0};
    assert_ok(p->ctx, ddt_plan_create(p->ctx, ddt_solution_circuit(p->solution), request, &plan));
    ddt_plan_get_info(plan, &info);
    assert_int_equal(info.security_bits, 128);
    encrypted_make_keys(p, plan, &k);
    double seconds = encrypted_run(p, plan, &k);
    ddt_solution_collect(p->solution, (const double *const *)p->outputs, p->values);
    print_message("ring degree 2^%u, depth %u, %u bootstraps, evaluation keys %.0f MB, %zu patients in a batch, %.1f "
                  "MB of ciphertexts "
                  "a batch, %.1f s a batch\n",
                  info.literal.log_n, info.depth, info.bootstraps, (double)info.eval_key_bytes / 1e6,
                  info.lanes_per_batch, (double)info.twin_bytes / 1e6 / (double)info.batches,
                  seconds / (double)info.batches);
    assert_true(info.eval_key_bytes <= most_key_bytes);
    encrypted_destroy(&k);
    ddt_plan_destroy(plan);
}

static inline void recommend_run_encrypted(problem *p, uint64_t most_key_bytes) {
    const ddt_plan_request request = {.target_error = 1e-3};
    recommend_run_planned(p, &request, most_key_bytes);
}

#endif
