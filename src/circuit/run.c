/*
 * Running a plan: wave by wave. Instructions of a wave do not depend on each other; they run one on each thread where
 * there are enough of them, else one after the other with all threads on the limbs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "engine.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* ------------------------------------------------------------------ memory of values */

static void destroy_value(ddt_ciphertext *ciphertext) {
    ddt_ciphertext_destroy(ciphertext);
    ddt_free(ciphertext);
}

static void drop_spare(engine_run *run) {
    ddt_ciphertext *spare = NULL;
    (void)pthread_mutex_lock(&run->lock);
    if (run->spare_count > 0) {
        spare = run->spare[--run->spare_count];
    }
    (void)pthread_mutex_unlock(&run->lock);
    destroy_value(spare);
}

ddt_status engine_take(engine_run *run, unsigned level, ddt_ciphertext **out) {
    ddt_ciphertext *best = NULL;
    size_t at = 0;
    (void)pthread_mutex_lock(&run->lock);
    for (size_t i = 0; i < run->spare_count; i++) {
        if (run->spare[i]->level_capacity >= level &&
            (best == NULL || run->spare[i]->level_capacity < best->level_capacity)) {
            best = run->spare[i];
            at = i;
        }
    }
    if (best != NULL) {
        run->spare[at] = run->spare[--run->spare_count];
    }
    (void)pthread_mutex_unlock(&run->lock);
    *out = best;
    if (best != NULL) {
        return DDT_OK;
    }
    drop_spare(run); /* what is too small would only lie there */
    ddt_ciphertext *made = ddt_calloc(1, sizeof *made);
    if (made == NULL) {
        return ddt_fail(run->ctx, DDT_ERR_MEMORY, "Memory is short for running a plan.");
    }
    ddt_status status = ddt_ciphertext_create(run->ctx, run->params, level, 2, made);
    if (status != DDT_OK) {
        ddt_free(made);
        return status;
    }
    *out = made;
    return DDT_OK;
}

void engine_give(engine_run *run, ddt_ciphertext *ciphertext) {
    (void)pthread_mutex_lock(&run->lock);
    bool is_kept = run->spare_count < PLAN_SPARE_MAX;
    if (is_kept) {
        run->spare[run->spare_count++] = ciphertext;
    }
    (void)pthread_mutex_unlock(&run->lock);
    if (!is_kept) {
        destroy_value(ciphertext);
    }
}

static void drop(engine_run *run, uint32_t value) {
    if (run->values[value] != NULL) {
        engine_give(run, run->values[value]);
        run->values[value] = NULL;
    }
}

static void release(void *user, uint32_t value) {
    engine_run *run = user;
    if (atomic_fetch_sub(&run->uses[value], 1) == 1) {
        drop(run, value);
    }
}

/* ------------------------------------------------------------------ workers */

static void destroy_worker(engine_worker *worker) {
    ddt_evaluator_destroy(worker->evaluator);
    ddt_ciphertext_destroy(&worker->sum);
    ddt_ciphertext_destroy(&worker->term);
    ddt_plaintext_destroy(&worker->plain);
    ddt_free(worker->slots);
}

static ddt_status create_worker(engine_run *run, const ddt_eval_keys *keys, int threads, engine_worker *worker) {
    unsigned top = ddt_ckks_levels(run->params);
    size_t period = run->plan->lanes_per_batch * run->plan->pool.block;
    ddt_status status = ddt_evaluator_create(run->ctx, run->params, keys, threads, &worker->evaluator);
    if (status == DDT_OK) {
        status = ddt_ciphertext_create(run->ctx, run->params, top, 3, &worker->sum);
    }
    if (status == DDT_OK) {
        status = ddt_ciphertext_create(run->ctx, run->params, top, 2, &worker->term);
    }
    if (status == DDT_OK) {
        status = ddt_plaintext_create(run->ctx, run->params, top, &worker->plain);
    }
    if (status == DDT_OK) {
        worker->slots = ddt_alloc(period, sizeof *worker->slots);
        if (worker->slots == NULL) {
            status = ddt_fail(run->ctx, DDT_ERR_MEMORY, "Memory is short for running a plan.");
        }
    }
    return status;
}

/* ------------------------------------------------------------------ waves */

static bool healthy(engine_run *run) { return atomic_load(&run->status) == DDT_OK; }

static void note(engine_run *run, ddt_status status) {
    int ok = DDT_OK;
    if (status != DDT_OK) {
        (void)atomic_compare_exchange_strong(&run->status, &ok, (int)status);
    }
}

static void run_one(engine_run *run, engine_worker *worker, const plan_instruction *instruction) {
    const ddt_plan *plan = run->plan;
    if (!healthy(run)) {
        return;
    }
    ddt_status status = engine_execute(run, worker, instruction);
    note(run, status);
    if (status != DDT_OK) {
        return;
    }
    plan_operands(plan, instruction, release, run);
    for (uint32_t v = instruction->first; v < instruction->first + instruction->results; v++) {
        if (plan->use_counts[v] == 0) {
            drop(run, v);
        }
    }
    uint64_t done = atomic_fetch_add(&run->done, 1) + 1;
    note(run, ddt_progress(run->ctx, "engine", (uint64_t)run->batch * plan->instruction_count + done,
                           (uint64_t)plan->batches * plan->instruction_count));
}

/*
 * How many instructions of a wave run side by side; the others take all threads one after the other. A few threads are
 * kept busy by the limbs of large rings, and side by side each instruction would want its own scratch memory.
 */
static size_t side_by_side(const ddt_plan *plan, size_t width, size_t threads) {
    enum { LIMB_THREADS_MAX = 4, LIMB_LOG_N = 15 };
    if (threads <= 1 || (threads <= LIMB_THREADS_MAX && plan->literal.log_n >= LIMB_LOG_N)) {
        return 0;
    }
    if (width < threads) {
        return 2 * width > threads ? width : 0;
    }
    size_t rest = width % threads;
    return 2 * rest > threads ? width : width - rest;
}

/* The most instructions that ever run side by side: so many workers of one thread are made. */
static size_t widest(const ddt_plan *plan, size_t threads) {
    size_t most = 0;
    for (size_t w = 0; w < plan->wave_count; w++) {
        size_t parallel = side_by_side(plan, plan->wave_begin[w + 1] - plan->wave_begin[w], threads);
        most = parallel > most ? parallel : most;
    }
    return most < threads ? most : threads;
}

/* workers[0..widest) have one thread each, workers[threads] has all. */
static void run_waves(engine_run *run, engine_worker *workers, int threads) {
    const ddt_plan *plan = run->plan;
    for (size_t w = 0; w < plan->wave_count && healthy(run); w++) {
        const uint32_t *order = plan->order + plan->wave_begin[w];
        size_t width = plan->wave_begin[w + 1] - plan->wave_begin[w];
        size_t parallel = side_by_side(plan, width, (size_t)threads);
        size_t team = parallel < (size_t)threads ? parallel : (size_t)threads;
#pragma omp parallel for num_threads(team) if (team > 1) schedule(dynamic, 1)
        for (size_t i = 0; i < parallel; i++) {
            run_one(run, &workers[omp_get_thread_num()], &plan->instructions[order[i]]);
        }
        for (size_t i = parallel; i < width; i++) {
            run_one(run, &workers[threads], &plan->instructions[order[i]]);
        }
    }
}

/* ------------------------------------------------------------------ a run */

static ddt_status check_inputs(const engine_run *run) {
    const double tolerance = 0x1p-40;
    const ddt_plan *plan = run->plan;
    for (size_t i = 0; i < plan->input_count; i++) {
        const ddt_ciphertext *ct = &run->inputs[i];
        unsigned level = plan_prime_level(&plan->literal, plan->levels[i]);
        double scale = ddt_ckks_canonical_scale(run->params, level);
        if (ct->limbs == NULL || ct->parts != 2 || ct->parts_capacity < 2 || ct->level != level ||
            ct->level_capacity < level || !(fabs(ct->scale - scale) <= tolerance * scale)) {
            return ddt_fail(run->ctx, DDT_ERR_MISMATCH,
                            "The ciphertext of input '%s' is not what the plan wants: level %u, %u parts and scale "
                            "2^%.6f instead of level %u, 2 parts and scale 2^%.6f.",
                            plan->inputs[i].name, ct->level, ct->parts, ct->scale > 0.0 ? log2(ct->scale) : 0.0, level,
                            log2(scale));
        }
    }
    return DDT_OK;
}

static ddt_status check_keys(ddt_context *ctx, const ddt_plan *plan, const ddt_eval_keys *keys) {
    for (size_t k = 0; k < plan->key_count; k++) {
        const ddt_switch_key *key = keys == NULL ? NULL : ddt_eval_keys_find(keys, plan->keys[k].galois);
        if (key == NULL || key->top_level < plan->keys[k].top_level) {
            return ddt_fail(ctx, DDT_ERR_KEY_MISSING,
                            "The computation needs the evaluation key for Galois element %llu at level %u; the keys "
                            "given do not have it.",
                            (unsigned long long)plan->keys[k].galois, plan->keys[k].top_level);
        }
    }
    if (plan->literal.boot_levels > 0 && (keys == NULL || ddt_eval_keys_encapsulation(keys) == NULL)) {
        return ddt_fail(ctx, DDT_ERR_KEY_MISSING,
                        "The computation refreshes values; the evaluation keys given cannot do that.");
    }
    return DDT_OK;
}

static ddt_status copy_outputs(const engine_run *run, ddt_ciphertext *outputs) {
    ddt_status status = DDT_OK;
    for (size_t o = 0; o < run->plan->output_count && status == DDT_OK; o++) {
        status =
            ddt_ciphertext_copy(run->ctx, run->params, engine_value(run, run->plan->outputs[o].value), &outputs[o]);
        outputs[o].has_seed = false;
    }
    for (size_t o = 0; o < run->plan->output_count && status != DDT_OK; o++) {
        ddt_ciphertext_destroy(&outputs[o]);
    }
    return status;
}

static ddt_status prepare(engine_run *run) {
    const ddt_plan *plan = run->plan;
    run->values = ddt_calloc(plan->value_count, sizeof(ddt_ciphertext *));
    run->uses = ddt_alloc(plan->value_count, sizeof *run->uses);
    run->spare = ddt_calloc(plan->value_count, sizeof(ddt_ciphertext *));
    if (run->values == NULL || run->uses == NULL || run->spare == NULL) {
        return ddt_fail(run->ctx, DDT_ERR_MEMORY, "Memory is short for running a plan.");
    }
    for (size_t v = 0; v < plan->value_count; v++) {
        atomic_init(&run->uses[v], plan->use_counts[v]);
    }
    return DDT_OK;
}

static void clean(engine_run *run) {
    for (size_t v = 0; run->values != NULL && v < run->plan->value_count; v++) {
        ddt_ciphertext_destroy(run->values[v]);
        ddt_free(run->values[v]);
    }
    for (size_t i = 0; i < run->spare_count; i++) {
        ddt_ciphertext_destroy(run->spare[i]);
        ddt_free(run->spare[i]);
    }
    ddt_free(run->values);
    ddt_free(run->uses);
    ddt_free(run->spare);
}

static ddt_status run_with_workers(engine_run *run, const ddt_eval_keys *keys, ddt_ciphertext *outputs) {
    int threads = ddt_context_threads(run->ctx);
    size_t singles = widest(run->plan, (size_t)threads);
    engine_worker *workers = ddt_calloc((size_t)threads + 1, sizeof *workers);
    ddt_status status =
        workers == NULL ? ddt_fail(run->ctx, DDT_ERR_MEMORY, "Memory is short for running a plan.") : prepare(run);
    for (size_t w = 0; w < singles && status == DDT_OK; w++) {
        status = create_worker(run, keys, 1, &workers[w]);
    }
    if (status == DDT_OK) {
        status = create_worker(run, keys, threads, &workers[threads]);
    }
    if (status == DDT_OK) {
        run_waves(run, workers, threads);
        status = (ddt_status)atomic_load(&run->status);
    }
    if (status == DDT_OK) {
        status = copy_outputs(run, outputs);
    }
    for (size_t w = 0; workers != NULL && w <= (size_t)threads; w++) {
        destroy_worker(&workers[w]);
    }
    ddt_free(workers);
    clean(run);
    return status;
}

ddt_status ddt_plan_run(ddt_context *ctx, ddt_plan *plan, const ddt_eval_keys *keys, size_t batch,
                        const ddt_ciphertext *inputs, ddt_ciphertext *outputs) {
    engine_run run = {.ctx = ctx, .plan = plan, .batch = batch, .inputs = inputs};
    memset(outputs, 0, plan->output_count * sizeof *outputs);
    if (batch >= plan->batches) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The plan has %zu batches; there is no batch %zu.", plan->batches,
                        batch);
    }
    ddt_status status = ddt_plan_params(ctx, plan, &run.params);
    if (status == DDT_OK) {
        status = check_inputs(&run);
    }
    if (status == DDT_OK) {
        status = check_keys(ctx, plan, keys);
    }
    if (status == DDT_OK) {
        status = plan_bootstrapper(ctx, plan, &run.bootstrapper);
    }
    if (status == DDT_OK) {
        status = plan_cache_begin(ctx, plan, batch);
    }
    if (status != DDT_OK) {
        return status;
    }
    if (pthread_mutex_init(&run.lock, NULL) != 0) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for running a plan.");
    }
    status = run_with_workers(&run, keys, outputs);
    (void)pthread_mutex_destroy(&run.lock);
    return status;
}
