/* The engine's commands. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDTWIN_ENGINE_H
#define DDTWIN_ENGINE_H

#include "common.h"

/* run: plan, evaluation keys and twin -> result. */
DDT_MUST_CHECK ddt_status engine_run(ddt_context *ctx, const cli_arguments *arguments);
/* update: plan, evaluation keys, living twin and what happened since -> living twin. */
DDT_MUST_CHECK ddt_status engine_update(ddt_context *ctx, const cli_arguments *arguments);

/* ------------------------------------------------------------------ parts that both share */

/* All that one run holds. */
typedef struct engine {
    ddt_context *ctx;
    const cli_arguments *arguments;
    ddt_digest digest;
    ddt_plan *plan;
    ddt_plan_info info;
    const ddt_ckks_params *params;
    ddt_eval_keys *keys;
    size_t runs; /* batches or steps, for progress */
    double compute_s;
    uint64_t result_bytes;
} engine;

DDT_MUST_CHECK ddt_status engine_load_plan(engine *e);
DDT_MUST_CHECK ddt_status engine_load_keys(engine *e);
void engine_close(engine *e);
/* A heading must name our plan and announce these numbers. */
DDT_MUST_CHECK ddt_status engine_check_heading(engine *e, ddt_reader *reader, uint64_t batches, size_t items,
                                               const char *what);
/* The ciphertext of an input, as the plan wants it. */
DDT_MUST_CHECK ddt_status engine_read_input(engine *e, ddt_reader *reader, size_t index, ddt_ciphertext *out);
/* The ciphertexts of these inputs, 1 to ddt_plan_pack_count of them, out of the one that they share. On failure out has
 * nothing to free. */
DDT_MUST_CHECK ddt_status engine_read_upload(engine *e, ddt_reader *reader, const size_t *inputs, size_t count,
                                             ddt_ciphertext *out);
/* The note goes from file to file as it is. */
DDT_MUST_CHECK ddt_status engine_carry_note(engine *e, ddt_reader *reader, ddt_writer *writer);
/* Runs the plan once; run: which of e->runs this is, batch: of the plan. */
DDT_MUST_CHECK ddt_status engine_compute(engine *e, size_t run, size_t batch, const ddt_ciphertext *inputs,
                                         ddt_ciphertext *outputs);
void engine_free_ciphertexts(ddt_ciphertext *ciphertexts, size_t count);
/* What was done, as text or JSON; unit: "batches" or "steps". */
void engine_tell(const engine *e, double seconds, const char *unit);

#endif
