/* Evaluation keys: the container and the files. SPDX-License-Identifier: Apache-2.0 */
#include "ckks_internal.h"

#include <string.h>

ddt_status ddt_eval_keys_create(ddt_context *ctx, const ddt_ckks_params *params, ddt_eval_keys **out) {
    ddt_eval_keys *keys = ddt_calloc(1, sizeof *keys);
    *out = keys;
    if (keys == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for evaluation keys.");
    }
    keys->params = params;
    return DDT_OK;
}

static void entry_destroy(ckks_key_entry *entry) {
    if (entry != NULL) {
        ddt_switch_key_destroy(&entry->key);
        ddt_free(entry->permutation);
        ddt_free(entry);
    }
}

void ddt_eval_keys_destroy(ddt_eval_keys *keys) {
    if (keys == NULL) {
        return;
    }
    for (size_t i = 0; i < keys->count; i++) {
        entry_destroy(keys->entries[i]);
    }
    ddt_free(keys->entries);
    ddt_encapsulation_destroy(&keys->encapsulation);
    ddt_free(keys);
}

void ddt_switch_key_destroy(ddt_switch_key *key) {
    if (key != NULL) {
        ddt_free(key->b);
        ddt_free(key->a);
        memset(key, 0, sizeof *key);
    }
}

/* Index of the first entry whose Galois element is not below `galois`. */
static size_t lower_bound(const ddt_eval_keys *keys, uint64_t galois) {
    size_t low = 0;
    size_t high = keys->count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (keys->entries[middle]->key.galois < galois) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const ckks_key_entry *ckks_keys_entry(const ddt_eval_keys *keys, uint64_t galois) {
    const size_t i = keys == NULL ? 0 : lower_bound(keys, galois);
    return keys != NULL && i < keys->count && keys->entries[i]->key.galois == galois ? keys->entries[i] : NULL;
}

const ddt_switch_key *ddt_eval_keys_find(const ddt_eval_keys *keys, uint64_t galois) {
    const ckks_key_entry *entry = ckks_keys_entry(keys, galois);
    return entry == NULL ? NULL : &entry->key;
}

static ddt_status check_shape(ddt_context *ctx, const ddt_ckks_params *params, uint64_t galois, unsigned top_level,
                              unsigned digits) {
    const bool galois_ok = galois == 0 || (galois % 2 == 1 && galois < 2 * params->n);
    if (!galois_ok || top_level > params->top || digits != ddt_ckks_digits(params, top_level)) {
        return ddt_fail(
            ctx, DDT_ERR_ARGUMENT,
            "A switching key for Galois element %llu, level %u, with %u digits does not fit the parameters.",
            (unsigned long long)galois, top_level, digits);
    }
    return DDT_OK;
}

static ckks_key_entry *entry_create(const ddt_ckks_params *params, uint64_t galois) {
    ckks_key_entry *entry = ddt_calloc(1, sizeof *entry);
    if (entry == NULL || galois == 0) {
        return entry;
    }
    entry->permutation = ddt_alloc(params->n, sizeof *entry->permutation);
    if (entry->permutation == NULL) {
        ddt_free(entry);
        return NULL;
    }
    ddt_ring_galois_permutation(params->ring, galois, entry->permutation);
    return entry;
}

ddt_status ddt_eval_keys_add(ddt_context *ctx, ddt_eval_keys *keys, ddt_switch_key *key) {
    ddt_status status = check_shape(ctx, keys->params, key->galois, key->top_level, key->digits);
    if (status != DDT_OK) {
        return status;
    }
    if (key->a == NULL || key->b == NULL) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A switching key without its expanded halves cannot be used.");
    }
    ckks_key_entry *known = (ckks_key_entry *)(uintptr_t)ckks_keys_entry(keys, key->galois);
    if (known != NULL) {
        ddt_switch_key_destroy(&known->key);
        known->key = *key;
        memset(key, 0, sizeof *key);
        return DDT_OK;
    }
    ckks_key_entry *entry = entry_create(keys->params, key->galois);
    ckks_key_entry **grown =
        entry == NULL ? NULL : ddt_realloc(keys->entries, keys->count, keys->count + 1, sizeof(ckks_key_entry *));
    if (grown == NULL) {
        entry_destroy(entry);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for one more evaluation key.");
    }
    keys->entries = grown;
    const size_t at = lower_bound(keys, key->galois);
    memmove(grown + at + 1, grown + at, (keys->count - at) * sizeof(ckks_key_entry *));
    entry->key = *key;
    memset(key, 0, sizeof *key);
    grown[at] = entry;
    keys->count++;
    return DDT_OK;
}

static size_t key_limbs(const ddt_ckks_params *params, unsigned top_level) {
    return ddt_ckks_digits(params, top_level) * ((size_t)top_level + 1 + params->literal.p_count);
}

size_t ddt_eval_keys_bytes(const ddt_eval_keys *keys) {
    size_t bytes = ckks_encapsulation_bytes(keys);
    for (size_t i = 0; i < keys->count; i++) {
        bytes += 2 * key_limbs(keys->params, keys->entries[i]->key.top_level) * keys->params->n * sizeof(uint64_t);
    }
    return bytes;
}

/* ------------------------------------------------------------------ files */

/* The modulus index of limb i of a key: q_0..q_top, then the P primes. */
static size_t limb_modulus(const ddt_ckks_params *params, unsigned top_level, size_t i) {
    return i <= top_level ? i : i - top_level + params->top;
}

ddt_status ddt_switch_key_write(ddt_writer *writer, const ddt_ckks_params *params, const ddt_switch_key *key) {
    const size_t limbs = (size_t)key->top_level + 1 + params->literal.p_count;
    ddt_writer_begin(writer, "SKEY");
    ddt_writer_bytes(writer, params->digest.bytes, sizeof params->digest.bytes);
    ddt_writer_u64(writer, key->galois);
    ddt_writer_u32(writer, key->top_level);
    ddt_writer_u32(writer, key->digits);
    ddt_writer_bytes(writer, key->seed, sizeof key->seed);
    for (size_t d = 0; d < key->digits; d++) {
        for (size_t i = 0; i < limbs; i++) {
            const uint64_t q = ddt_ring_modulus(params->ring, limb_modulus(params, key->top_level, i));
            ddt_writer_packed(writer, key->b + (d * limbs + i) * params->n, params->n, ckks_modulus_bits(q));
        }
    }
    return ddt_writer_end(writer);
}

static ddt_status read_head(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params, ddt_switch_key *out) {
    uint32_t top_level = 0;
    uint32_t digits = 0;
    ddt_status status = ckks_read_digest(ctx, reader, params, "evaluation key");
    if (status == DDT_OK) {
        status = ddt_reader_u64(reader, &out->galois);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u32(reader, &top_level);
    }
    if (status == DDT_OK) {
        status = ddt_reader_u32(reader, &digits);
    }
    if (status == DDT_OK) {
        status = ddt_reader_bytes(reader, out->seed, sizeof out->seed);
    }
    if (status == DDT_OK && check_shape(NULL, params, out->galois, top_level, digits) != DDT_OK) {
        status = ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' holds an evaluation key of an impossible shape.",
                          ddt_reader_path(reader));
    }
    out->top_level = top_level;
    out->digits = digits;
    return status;
}

static ddt_status read_half(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params, ddt_switch_key *out) {
    const size_t limbs = (size_t)out->top_level + 1 + params->literal.p_count;
    ddt_status status = DDT_OK;
    for (size_t i = 0; i < key_limbs(params, out->top_level) && status == DDT_OK; i++) {
        const size_t m = limb_modulus(params, out->top_level, i % limbs);
        status = ckks_read_limb(ctx, reader, params, m, out->b + i * params->n);
    }
    return status == DDT_OK ? ddt_reader_end(reader) : status;
}

static ddt_status read_body(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params, ddt_switch_key *out) {
    const size_t n = params->n;
    const size_t limbs = (size_t)out->top_level + 1 + params->literal.p_count;
    const size_t all = key_limbs(params, out->top_level);
    out->b = ddt_alloc(all * n, sizeof *out->b);
    out->a = out->b == NULL ? NULL : ddt_alloc(all * n, sizeof *out->a);
    if (out->a == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for an evaluation key of %zu limbs.", 2 * all);
    }
    /* One thread unpacks the half that stands in the file, the others begin to expand the half that does not. */
    ddt_status status = DDT_OK;
    const int threads = ddt_context_threads(ctx);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp single nowait
        status = read_half(ctx, reader, params, out);
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < all; i++) {
            ddt_ckks_expand_seed(params, out->seed, (uint32_t)(i / limbs),
                                 limb_modulus(params, out->top_level, i % limbs), out->a + i * n);
        }
    }
    return status;
}

ddt_status ddt_switch_key_read(ddt_context *ctx, ddt_reader *reader, const ddt_ckks_params *params,
                               ddt_switch_key *out) {
    enum { HEAD_BYTES_MAX = 128 };
    memset(out, 0, sizeof *out);
    const size_t bytes = key_limbs(params, params->top) * params->n * sizeof(uint64_t);
    ddt_status status = ddt_reader_begin(reader, "SKEY", HEAD_BYTES_MAX + bytes);
    if (status == DDT_OK) {
        status = read_head(ctx, reader, params, out);
    }
    if (status == DDT_OK) {
        status = read_body(ctx, reader, params, out);
    }
    if (status != DDT_OK) {
        ddt_switch_key_destroy(out);
    }
    return status;
}
