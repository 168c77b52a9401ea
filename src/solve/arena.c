/*
 * Memory that lives as long as one ddt_solve, and small helpers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

#include <string.h>

struct solve_arena_block {
    solve_arena_block *next;
    size_t used, size;
    max_align_t data[];
};

enum { BLOCK_BYTES = 1 << 16, ALIGNMENT = _Alignof(max_align_t) };

void *solve_arena_alloc(solve_arena *arena, size_t count, size_t size) {
    size_t bytes = 0;
    if (!ddt_size_mul(count, size, &bytes) || bytes > SIZE_MAX / 4) {
        return NULL;
    }
    bytes = (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT; /* at least one unit: pointers are unique */
    solve_arena_block *block = arena->blocks;
    if (block == NULL || block->size - block->used < bytes) {
        size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = ddt_alloc(1, sizeof *block + room);
        if (block == NULL) {
            return NULL;
        }
        *block = (solve_arena_block){.next = arena->blocks, .size = room};
        arena->blocks = block;
    }
    void *result = (unsigned char *)block->data + block->used;
    block->used += bytes;
    memset(result, 0, bytes);
    return result;
}

void solve_arena_clear(solve_arena *arena) {
    while (arena->blocks != NULL) {
        solve_arena_block *next = arena->blocks->next;
        ddt_free(arena->blocks);
        arena->blocks = next;
    }
}

ddt_status solve_no_memory(ddt_context *ctx) {
    return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while turning a model into a circuit.");
}

void *solve_alloc(solve_work *work, size_t count, size_t size) {
    void *result = solve_arena_alloc(&work->arena, count, size);
    if (result == NULL) {
        (void)solve_no_memory(work->ctx);
    }
    return result;
}

ddt_status solve_pool_failure(const solve_work *work) {
    if (ddt_expr_pool_status(work->pool) == DDT_ERR_CAPACITY) {
        return ddt_fail(work->ctx, DDT_ERR_CAPACITY,
                        "The model '%s' is too large: its derivatives need over %zu expressions.", work->model->path,
                        DDT_EXPR_POOL_MAX);
    }
    return solve_no_memory(work->ctx);
}

bool solve_is_floored(const solve_symbol *symbol) {
    const double below_zero = 2e-3;
    return symbol->is_state && symbol->low < 0.0 && symbol->low >= -below_zero * symbol->high;
}

bool solve_is_varying(const solve_symbol *symbol) { return symbol->is_state || symbol->is_time; }

bool solve_is_constant(const solve_work *work, ddt_expr e, double value) {
    double found = 0;
    return ddt_expr_is_const(work->pool, e, &found) && found == value;
}

const char *solve_print(solve_work *work, ddt_expr e) { return solve_print_from(work, work->pool, e); }

const char *solve_print_from(solve_work *work, const ddt_expr_pool *pool, ddt_expr e) {
    const size_t longest = 200; /* messages stay readable */
    size_t count = work->model->symbol_count;
    const char **names = solve_arena_alloc(&work->arena, count, sizeof *names);
    if (names == NULL) {
        return "?";
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = work->model->symbols[i].name;
    }
    char *text = ddt_expr_print(pool, e, names);
    if (text == NULL) {
        return "?";
    }
    const char *end = strlen(text) > longest ? "..." : "";
    size_t room = longest + sizeof "...";
    char *copy = solve_arena_alloc(&work->arena, room, 1);
    if (copy != NULL) {
        (void)snprintf(copy, room, "%.*s%s", (int)longest, text, end);
    }
    ddt_free(text);
    return copy == NULL ? "?" : copy;
}
