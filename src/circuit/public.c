/*
 * Public values: numbers and vectors known while building, folded, shrunk and shared.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "graph.h"

#include <math.h>
#include <string.h>

bool circuit_grow(void **items, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity) {
        return true;
    }
    size_t wanted = *capacity < 8 ? 8 : *capacity;
    if (*capacity >= 8 && !ddt_size_mul(*capacity, 2, &wanted)) {
        return false;
    }
    void *grown = ddt_realloc(*items, count, wanted, size);
    if (grown == NULL) {
        return false;
    }
    *items = grown;
    *capacity = wanted;
    return true;
}

bool circuit_is_small_integer(circuit_public p) {
    return p.vector == CIRCUIT_NONE && fabs(p.constant) <= CIRCUIT_INTEGER_MAX && p.constant == nearbyint(p.constant);
}

void circuit_pool_destroy(circuit_pool *pool) {
    for (size_t i = 0; i < pool->count; i++) {
        ddt_free(pool->vectors[i].values);
    }
    ddt_free(pool->vectors);
    *pool = (circuit_pool){.lanes = pool->lanes, .block = pool->block};
}

static bool repeats(const double *values, size_t count, size_t period) {
    for (size_t i = period; i < count; i++) {
        if (values[i] != values[i - period]) {
            return false;
        }
    }
    return true;
}

/*
 * The shortest form of the values: 1 when all are equal, else the fewest whole lanes after which they repeat. Patients
 * of one design have several lanes each and the same public values in them.
 */
static size_t shortest_period(const double *values, size_t count, size_t block) {
    if (repeats(values, count, 1)) {
        return 1;
    }
    const size_t lanes = count / block;
    for (size_t period = 1; 2 * period <= lanes; period++) {
        if (lanes % period == 0 && repeats(values, count, period * block)) {
            return period * block;
        }
    }
    return count;
}

static uint64_t hash_values(const double *values, size_t count) {
    uint64_t hash = 0x9e3779b97f4a7c15U ^ count;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = 0;
        double value = values[i] + 0.0; /* -0 and 0 are equal and must hash alike */
        memcpy(&bits, &value, sizeof bits);
        hash = (hash ^ bits) * 0xff51afd7ed558ccdU;
        hash ^= hash >> 32;
    }
    return hash;
}

static bool equal_values(const double *a, const double *b, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

static bool all_finite(const double *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

ddt_status circuit_pool_intern(ddt_context *ctx, circuit_pool *pool, const double *values, size_t count,
                               circuit_public *out) {
    if (!all_finite(values, count)) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "A public value of the circuit is not a finite number.");
    }
    size_t period = shortest_period(values, count, pool->block);
    if (period == 1) {
        *out = circuit_public_constant(values[0]);
        return DDT_OK;
    }
    uint64_t hash = hash_values(values, period);
    for (size_t i = 0; i < pool->count; i++) {
        const circuit_vector *vector = &pool->vectors[i];
        if (vector->hash == hash && vector->count == period && equal_values(vector->values, values, period)) {
            *out = (circuit_public){.constant = 0.0, .vector = (uint32_t)i};
            return DDT_OK;
        }
    }
    double *copy = NULL;
    if (pool->count >= CIRCUIT_NONE - 1 || !CIRCUIT_GROW(pool->vectors, pool->count, pool->capacity) ||
        (copy = ddt_alloc(period, sizeof *copy)) == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a public vector of %zu values.", period);
    }
    memcpy(copy, values, period * sizeof *copy);
    pool->vectors[pool->count] = (circuit_vector){.values = copy, .count = period, .hash = hash};
    *out = (circuit_public){.constant = 0.0, .vector = (uint32_t)pool->count++};
    return DDT_OK;
}

static bool tile_vector(const circuit_pool *pool, circuit_vector *vector, size_t copies) {
    size_t count = 0;
    double *values = ddt_size_mul(vector->count, copies, &count) ? ddt_alloc(count, sizeof *values) : NULL;
    if (values == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const size_t lane = i / (pool->block * copies);
        values[i] = vector->values[lane * pool->block + (i & (pool->block - 1))];
    }
    ddt_free(vector->values);
    *vector = (circuit_vector){.values = values, .count = count, .hash = hash_values(values, count)};
    return true;
}

ddt_status circuit_pool_tile(ddt_context *ctx, circuit_pool *pool, size_t copies) {
    for (size_t i = 0; i < pool->count; i++) {
        if (!tile_vector(pool, &pool->vectors[i], copies)) {
            return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for %zu copies of a circuit.", copies);
        }
    }
    pool->block *= copies;
    return DDT_OK;
}

static size_t public_count(const circuit_pool *pool, circuit_public p) {
    return p.vector == CIRCUIT_NONE ? 1 : pool->vectors[p.vector].count;
}

/* What values repeat after that repeat after a and after b. Both divide the slots of all lanes, so this does, too. */
static size_t common_period(size_t a, size_t b) {
    size_t divisor = a;
    for (size_t rest = b; rest != 0;) {
        const size_t next = divisor % rest;
        divisor = rest;
        rest = next;
    }
    return a / divisor * b;
}

static ddt_status combine(ddt_context *ctx, circuit_pool *pool, circuit_public a, circuit_public b, bool multiply,
                          circuit_public *out) {
    const size_t count_a = public_count(pool, a);
    const size_t count_b = public_count(pool, b);
    const double *x = a.vector == CIRCUIT_NONE ? &a.constant : pool->vectors[a.vector].values;
    const double *y = b.vector == CIRCUIT_NONE ? &b.constant : pool->vectors[b.vector].values;
    const size_t count = common_period(count_a, count_b);
    double single = 0.0;
    double *values = count == 1 ? &single : ddt_alloc(count, sizeof *values);
    if (values == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a public vector of %zu values.", count);
    }
    size_t at_a = 0;
    size_t at_b = 0;
    for (size_t i = 0; i < count; i++) {
        values[i] = multiply ? x[at_a] * y[at_b] : x[at_a] + y[at_b];
        at_a = at_a + 1 == count_a ? 0 : at_a + 1;
        at_b = at_b + 1 == count_b ? 0 : at_b + 1;
    }
    ddt_status status = circuit_pool_intern(ctx, pool, values, count, out);
    if (count != 1) {
        ddt_free(values);
    }
    return status;
}

ddt_status circuit_pool_add(ddt_context *ctx, circuit_pool *pool, circuit_public a, circuit_public b,
                            circuit_public *out) {
    if (circuit_public_is(a, 0.0) || circuit_public_is(b, 0.0)) {
        *out = circuit_public_is(a, 0.0) ? b : a;
        return DDT_OK;
    }
    return combine(ctx, pool, a, b, false, out);
}

ddt_status circuit_pool_mul(ddt_context *ctx, circuit_pool *pool, circuit_public a, circuit_public b,
                            circuit_public *out) {
    if (circuit_public_is(a, 1.0) || circuit_public_is(b, 1.0)) {
        *out = circuit_public_is(a, 1.0) ? b : a;
        return DDT_OK;
    }
    return combine(ctx, pool, a, b, true, out);
}

void circuit_public_expand(const circuit_vector *vectors, size_t block, circuit_public p, size_t lane_begin,
                           size_t lane_count, double *out) {
    if (p.vector == CIRCUIT_NONE) {
        for (size_t i = 0; i < lane_count * block; i++) {
            out[i] = p.constant;
        }
        return;
    }
    const circuit_vector *vector = &vectors[p.vector];
    const size_t period = vector->count / block;
    size_t at = lane_begin % period;
    while (lane_count > 0) {
        const size_t run = period - at < lane_count ? period - at : lane_count;
        memcpy(out, vector->values + at * block, run * block * sizeof *out);
        out += run * block;
        lane_count -= run;
        at = 0;
    }
}

double circuit_public_max(const circuit_vector *vectors, circuit_public p) {
    if (p.vector == CIRCUIT_NONE) {
        return fabs(p.constant);
    }
    double largest = 0.0;
    for (size_t i = 0; i < vectors[p.vector].count; i++) {
        largest = fmax(largest, fabs(vectors[p.vector].values[i]));
    }
    return largest;
}
