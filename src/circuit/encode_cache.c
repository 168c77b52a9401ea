/* SPDX-License-Identifier: Apache-2.0 */
#include "encode_cache.h"

#include <string.h>

typedef struct cache_entry {
    struct cache_entry *next;
    size_t batch;
    unsigned level;
    double scale;
    ddt_plaintext plaintext;
} cache_entry;

struct plan_cache {
    pthread_mutex_t lock;
    cache_entry **heads; /* of each vector */
    uint32_t *uses;      /* of each vector in the program */
    size_t vector_count;
    uint64_t bytes;
};

static void destroy_entry(cache_entry *entry) {
    ddt_plaintext_destroy(&entry->plaintext);
    ddt_free(entry);
}

void plan_cache_destroy(plan_cache *cache) {
    if (cache == NULL) {
        return;
    }
    for (size_t v = 0; v < cache->vector_count; v++) {
        while (cache->heads[v] != NULL) {
            cache_entry *entry = cache->heads[v];
            cache->heads[v] = entry->next;
            destroy_entry(entry);
        }
    }
    (void)pthread_mutex_destroy(&cache->lock);
    ddt_free(cache->heads);
    ddt_free(cache->uses);
    ddt_free(cache);
}

void plan_count_vector_uses(const ddt_plan *plan, uint32_t *uses) {
    for (size_t t = 0; t < plan->scaled_count; t++) {
        if (plan->scaleds[t].c.vector != CIRCUIT_NONE) {
            uses[plan->scaleds[t].c.vector]++;
        }
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        if (plan->instructions[i].offset.vector != CIRCUIT_NONE) {
            uses[plan->instructions[i].offset.vector]++;
        }
    }
}

static plan_cache *create(const ddt_plan *plan) {
    plan_cache *cache = ddt_calloc(1, sizeof *cache);
    if (cache == NULL) {
        return NULL;
    }
    cache->vector_count = plan->pool.count;
    cache->heads = ddt_calloc(plan->pool.count, sizeof(cache_entry *));
    cache->uses = ddt_calloc(plan->pool.count, sizeof *cache->uses);
    if (cache->heads == NULL || cache->uses == NULL || pthread_mutex_init(&cache->lock, NULL) != 0) {
        ddt_free(cache->heads);
        ddt_free(cache->uses);
        ddt_free(cache);
        return NULL;
    }
    plan_count_vector_uses(plan, cache->uses);
    return cache;
}

static bool is_shared(const ddt_plan *plan, uint32_t vector) {
    return plan->pool.vectors[vector].count == plan->pool.block;
}

static uint64_t plaintext_bytes(const ddt_plan *plan, unsigned level) {
    return ((uint64_t)level + 1) * sizeof(uint64_t) << plan->literal.log_n;
}

ddt_status plan_cache_begin(ddt_context *ctx, ddt_plan *plan, size_t batch) {
    if (plan->cache == NULL) {
        plan->cache = create(plan);
        if (plan->cache == NULL) {
            return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for running a plan.");
        }
    }
    plan_cache *cache = plan->cache;
    for (size_t v = 0; v < cache->vector_count; v++) {
        for (cache_entry **link = &cache->heads[v]; *link != NULL;) {
            cache_entry *entry = *link;
            if (is_shared(plan, (uint32_t)v) || entry->batch == batch) {
                link = &entry->next;
                continue;
            }
            *link = entry->next;
            cache->bytes -= plaintext_bytes(plan, entry->level);
            destroy_entry(entry);
        }
    }
    return DDT_OK;
}

static const cache_entry *find(const plan_cache *cache, uint32_t vector, unsigned level, double scale) {
    const cache_entry *entry = cache->heads[vector];
    while (entry != NULL && (entry->level != level || entry->scale != scale)) {
        entry = entry->next;
    }
    return entry;
}

static ddt_status encode(ddt_context *ctx, const ddt_plan *plan, size_t batch, uint32_t vector, unsigned level,
                         double scale, double *slots, ddt_plaintext *out) {
    const circuit_vector *values = &plan->pool.vectors[vector];
    if (values->count == plan->pool.block) {
        /* The encoder repeats a block over all slots, and a short message is cheaper to encode. */
        return ddt_ckks_encode_real(ctx, plan->params, values->values, values->count, level, scale, out);
    }
    plan_pack_public(plan, batch, (circuit_public){.constant = 0.0, .vector = vector}, slots);
    return ddt_ckks_encode_real(ctx, plan->params, slots, plan->lanes_per_batch * plan->pool.block, level, scale, out);
}

/* True, with room reserved, when the vector will be wanted again and fits. */
static bool reserve(const ddt_plan *plan, plan_cache *cache, uint32_t vector, unsigned level) {
    bool again = cache->uses[vector] > 1 || (is_shared(plan, vector) && plan->batches > 1);
    uint64_t bytes = plaintext_bytes(plan, level);
    if (!again || cache->bytes + bytes > PLAN_CACHE_BYTES_MAX) {
        return false;
    }
    cache->bytes += bytes;
    return true;
}

/* Encodes into a new entry. Without memory for it the caller encodes into its scratch. */
static cache_entry *new_entry(const ddt_plan *plan, size_t batch, uint32_t vector, unsigned level, double scale,
                              double *slots) {
    cache_entry *entry = ddt_calloc(1, sizeof *entry);
    if (entry == NULL) {
        return NULL;
    }
    entry->batch = batch;
    entry->level = level;
    entry->scale = scale;
    if (encode(NULL, plan, batch, vector, level, scale, slots, &entry->plaintext) != DDT_OK) {
        destroy_entry(entry);
        return NULL;
    }
    return entry;
}

ddt_status plan_cache_get(ddt_context *ctx, ddt_plan *plan, size_t batch, uint32_t vector, unsigned level, double scale,
                          ddt_plaintext *scratch, double *slots, const ddt_plaintext **out) {
    plan_cache *cache = plan->cache;
    (void)pthread_mutex_lock(&cache->lock);
    const cache_entry *found = find(cache, vector, level, scale);
    bool room = found == NULL && reserve(plan, cache, vector, level);
    (void)pthread_mutex_unlock(&cache->lock);
    if (found != NULL) {
        *out = &found->plaintext;
        return DDT_OK;
    }
    cache_entry *entry = room ? new_entry(plan, batch, vector, level, scale, slots) : NULL;
    if (room) {
        (void)pthread_mutex_lock(&cache->lock);
        if (entry == NULL) {
            cache->bytes -= plaintext_bytes(plan, level);
        } else {
            /* Another thread may have encoded the same meanwhile; two copies do no harm. */
            entry->next = cache->heads[vector];
            cache->heads[vector] = entry;
        }
        (void)pthread_mutex_unlock(&cache->lock);
    }
    if (entry != NULL) {
        *out = &entry->plaintext;
        return DDT_OK;
    }
    *out = scratch;
    return encode(ctx, plan, batch, vector, level, scale, slots, scratch);
}
