/* The evaluator: scratch memory and the checks that every operation shares. SPDX-License-Identifier: Apache-2.0 */
#include "ckks_internal.h"

#include <math.h>
#include <string.h>

enum { THREADS_MAX = 1024, POOL_PARTS = 3 };

ddt_status ddt_evaluator_create(ddt_context *ctx, const ddt_ckks_params *params, const ddt_eval_keys *keys, int threads,
                                ddt_evaluator **out) {
    *out = NULL;
    if (threads < 1 || threads > THREADS_MAX) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "An evaluator cannot use %d threads.", threads);
    }
    if (keys != NULL && keys->params != params) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "The evaluation keys belong to other parameters.");
    }
    ddt_evaluator *ev = ddt_calloc(1, sizeof *ev);
    if (ev == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for an evaluator.");
    }
    ev->ctx = ctx;
    ev->params = params;
    ev->keys = keys;
    ev->threads = threads;
    *out = ev;
    return DDT_OK;
}

static void free_pool(ckks_pool *pool) {
    for (size_t i = 0; i < pool->count; i++) {
        ddt_ciphertext_destroy(&pool->items[i]->ciphertext);
        ddt_free(pool->items[i]);
    }
    ddt_free(pool->items);
    memset(pool, 0, sizeof *pool);
}

void ddt_evaluator_destroy(ddt_evaluator *evaluator) {
    if (evaluator != NULL) {
        free_pool(&evaluator->pool);
        ddt_free(evaluator->arena.block);
        ddt_free(evaluator);
    }
}

/* ------------------------------------------------------------------ scratch */

size_t ckks_limb_stride(size_t n) {
    enum { PAGE_WORDS = 512, LINE_WORDS = 8, FROM = 1 << 12 };
    return n < FROM ? n : n + PAGE_WORDS + LINE_WORDS;
}

ddt_status ckks_arena_begin(ddt_evaluator *ev, size_t limbs) {
    const size_t words = limbs * ckks_limb_stride(ev->params->n);
    ev->arena.used = 0;
    if (words <= ev->arena.capacity) {
        return DDT_OK;
    }
    ddt_free(ev->arena.block);
    ev->arena.block = ddt_alloc(words, sizeof *ev->arena.block);
    ev->arena.capacity = ev->arena.block == NULL ? 0 : words;
    return ev->arena.block != NULL ? DDT_OK
                                   : ddt_fail(ev->ctx, DDT_ERR_MEMORY,
                                              "Memory is short for the scratch of an evaluator (%zu limbs).", limbs);
}

uint64_t *ckks_arena_take(ddt_evaluator *ev, size_t limbs) {
    uint64_t *taken = ev->arena.block + ev->arena.used;
    ev->arena.used += limbs * ckks_limb_stride(ev->params->n);
    return taken;
}

/* The free item with the least room that is enough; NULL when there is none. */
static ckks_pool_item *best_fit(const ckks_pool *pool, unsigned level) {
    ckks_pool_item *best = NULL;
    for (size_t i = 0; i < pool->count; i++) {
        ckks_pool_item *item = pool->items[i];
        if (!item->taken && item->ciphertext.level_capacity >= level &&
            (best == NULL || item->ciphertext.level_capacity < best->ciphertext.level_capacity)) {
            best = item;
        }
    }
    return best;
}

ddt_status ckks_pool_take(ddt_evaluator *ev, unsigned level, ddt_ciphertext **out) {
    ckks_pool *pool = &ev->pool;
    ckks_pool_item *item = best_fit(pool, level);
    *out = NULL;
    if (item == NULL) {
        ckks_pool_item **grown = ddt_realloc(pool->items, pool->count, pool->count + 1, sizeof(ckks_pool_item *));
        if (grown == NULL) {
            return ddt_fail(ev->ctx, DDT_ERR_MEMORY, "Memory is short for an intermediate ciphertext.");
        }
        pool->items = grown;
        item = ddt_calloc(1, sizeof *item);
        if (item == NULL) {
            return ddt_fail(ev->ctx, DDT_ERR_MEMORY, "Memory is short for an intermediate ciphertext.");
        }
        ddt_status status = ddt_ciphertext_create(ev->ctx, ev->params, level, POOL_PARTS, &item->ciphertext);
        if (status != DDT_OK) {
            ddt_free(item);
            return status;
        }
        grown[pool->count++] = item;
    }
    item->taken = true;
    *out = &item->ciphertext;
    return DDT_OK;
}

void ckks_pool_give(ddt_evaluator *ev, const ddt_ciphertext *ciphertext) {
    for (size_t i = 0; i < ev->pool.count; i++) {
        if (&ev->pool.items[i]->ciphertext == ciphertext) {
            ev->pool.items[i]->taken = false;
        }
    }
}

/* ------------------------------------------------------------------ checks */

ddt_status ckks_check_input(ddt_evaluator *ev, const char *operation, const ddt_ciphertext *a) {
    if (a->limbs == NULL || a->parts < 2 || a->parts > a->parts_capacity || a->level > a->level_capacity ||
        a->level > ev->params->top || !(a->scale > 0.0)) {
        return ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "%s: the input is not a ciphertext (level %u, %u parts, scale %g).",
                        operation, a->level, a->parts, a->scale);
    }
    return DDT_OK;
}

ddt_status ckks_check_room(ddt_evaluator *ev, const char *operation, const ddt_ciphertext *out, unsigned level,
                           unsigned parts) {
    if (out->limbs == NULL || out->level_capacity < level || out->parts_capacity < parts) {
        return ddt_fail(ev->ctx, DDT_ERR_ARGUMENT,
                        "%s: the output has room for %u parts at level %u, but %u parts at level %u are needed.",
                        operation, out->parts_capacity, out->level_capacity, parts, level);
    }
    return DDT_OK;
}

ddt_status ckks_check_pair(ddt_evaluator *ev, const char *operation, const ddt_ciphertext *a, const ddt_ciphertext *b) {
    ddt_status status = ckks_check_input(ev, operation, a);
    if (status == DDT_OK) {
        status = ckks_check_input(ev, operation, b);
    }
    if (status == DDT_OK && a->level != b->level) {
        status = ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "%s: the levels %u and %u differ.", operation, a->level, b->level);
    }
    return status;
}

ddt_status ckks_check_scales(ddt_evaluator *ev, const char *operation, double a, double b) {
    const double tolerance = 0x1p-40;
    if (!(fabs(a - b) <= tolerance * fabs(a))) {
        return ddt_fail(ev->ctx, DDT_ERR_ARGUMENT, "%s: the scales 2^%.12f and 2^%.12f differ.", operation, log2(a),
                        log2(b));
    }
    return DDT_OK;
}

void ckks_set_result(ddt_ciphertext *out, unsigned level, unsigned parts, double scale) {
    out->level = level;
    out->parts = parts;
    out->scale = scale;
    out->has_seed = false;
}
