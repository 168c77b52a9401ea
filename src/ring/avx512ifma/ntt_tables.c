/* Twiddle tables of the IFMA NTT; the layout is in ntt.h. SPDX-License-Identifier: Apache-2.0 */
#include "ntt.h"

#include "../scalar/scalar_kernels.h"

ntt_plan ddt_avx512ifma_plan(unsigned log_n) {
    /* for log_n - LOG_TAIL = 2 ... 10 */
    static const unsigned char layers[][SWEEPS_MAX] = {{2, 0, 0}, {3, 0, 0}, {4, 0, 0}, {2, 3, 0}, {3, 3, 0},
                                                       {3, 4, 0}, {2, 3, 3}, {3, 3, 3}, {3, 3, 4}};
    ntt_plan plan = {0};
    size_t words = TABLE_HEAD_WORDS;
    size_t nodes = 1;
    for (size_t i = 0; i < SWEEPS_MAX; i++) {
        plan.layers[i] = layers[log_n - LOG_N_VECTOR][i];
        plan.sweep_at[i] = words;
        nodes <<= plan.layers[i];
        words += plan.layers[i] > 0 ? 2 * nodes : 0;
    }
    plan.tail_at = (words + LANES - 1) / LANES * LANES; /* whole cache lines */
    plan.words = plan.tail_at + nodes * TAIL_WORDS;
    return plan;
}

size_t ddt_avx512ifma_table_words(unsigned log_n) {
    return log_n < LOG_N_VECTOR ? ddt_scalar_table_words(log_n) : ddt_avx512ifma_plan(log_n).words;
}

vec ddt_avx512ifma_multiples(uint64_t q) {
    uint64_t multiples[LANES];
    for (uint64_t i = 0; i < LANES; i++) {
        multiples[i] = (i << MULTIPLE_BITS) / q * q;
    }
    return load(multiples);
}

static void put_pair(const ddt_modulus *modulus, uint64_t *pair, uint64_t w) {
    pair[0] = w;
    pair[1] = ddt_modulus_quotient(modulus, w, WORD_BITS);
}

/* The pairs of one group: `layers` layers below node `node` of the layer that has `nodes` nodes. Returns the next free
 * word. */
static uint64_t *put_group(const ddt_modulus *modulus, const uint64_t *roots, uint64_t *table, size_t nodes,
                           size_t node, unsigned layers) {
    for (unsigned layer = 0; layer < layers; layer++) {
        for (size_t i = 0; i < (size_t)1 << layer; i++, table += 2) {
            put_pair(modulus, table, roots[((nodes + node) << layer) + i]);
        }
    }
    table[0] = 0; /* padding, never read */
    table[1] = 0;
    return table + 2;
}

static void put_groups(const ddt_modulus *modulus, const uint64_t *roots, uint64_t *table, size_t nodes,
                       unsigned layers) {
    for (size_t node = 0; node < nodes; node++) {
        table = put_group(modulus, roots, table, nodes, node, layers);
    }
}

/* The last three layers of one block of 64: lane l works on the eight residues of node + l. */
static uint64_t *put_lanes(const ddt_modulus *modulus, const uint64_t *roots, uint64_t *table, size_t node) {
    for (unsigned layer = 0; layer < 3; layer++) {
        for (size_t i = 0; i < (size_t)1 << layer; i++, table += LANES) {
            for (size_t lane = 0; lane < LANES; lane++) {
                table[lane] = ddt_modulus_quotient(modulus, roots[((node + lane) << layer) + i], WORD_BITS);
            }
        }
    }
    return table;
}

void ddt_avx512ifma_fill_tables(const ddt_modulus *modulus, const uint64_t *roots, uint64_t *tables) {
    if (modulus->log_n < LOG_N_VECTOR) {
        ddt_scalar_fill_tables(modulus, roots, tables);
        return;
    }
    ntt_plan plan = ddt_avx512ifma_plan(modulus->log_n);
    for (size_t i = 0; i < plan.tail_at; i++) {
        tables[i] = 0;
    }
    put_pair(modulus, tables, modulus->n_inverse);
    put_pair(modulus, tables + 2, ddt_modulus_mul(modulus, roots[1], modulus->n_inverse));
    size_t nodes = 1;
    for (size_t i = 0; i < SWEEPS_MAX && plan.layers[i] > 0; i++) {
        put_groups(modulus, roots, tables + plan.sweep_at[i], nodes, plan.layers[i]);
        nodes <<= plan.layers[i];
    }
    uint64_t *table = tables + plan.tail_at;
    for (size_t node = 0; node < nodes; node++) {
        table = put_group(modulus, roots, table, nodes, node, 4);
        table = put_lanes(modulus, roots, table, TAIL_VECTORS * (nodes + node));
        table = put_lanes(modulus, roots, table, TAIL_VECTORS * (nodes + node) + LANES);
    }
}
