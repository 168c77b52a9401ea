/* SPDX-License-Identifier: Apache-2.0 */
#include "ddt/base.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    ALIGNMENT = 64,
    /* Polynomials are swept limb by limb, a page table entry every 512 words: from this size on blocks ask for huge
       pages. */
    HUGE_PAGE = 1 << 21,
    HUGE_FROM = HUGE_PAGE
};

static atomic_uint_fast64_t allocations = 0;
static atomic_uint_fast64_t allocations_allowed = UINT64_MAX;

uint64_t ddt_alloc_fail_after(uint64_t n) {
    atomic_store(&allocations_allowed, n);
    return atomic_exchange(&allocations, 0);
}

bool ddt_size_mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }

bool ddt_size_add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }

/* A block of at least HUGE_FROM bytes. The advice may be ignored: it only costs time. */
static void *alloc_huge(size_t bytes) {
    void *block = NULL;
    if (posix_memalign(&block, HUGE_PAGE, bytes) != 0) {
        return NULL;
    }
#ifdef MADV_HUGEPAGE
    (void)madvise(block, bytes, MADV_HUGEPAGE);
#endif
    return block;
}

void *ddt_alloc(size_t count, size_t size) {
    size_t bytes = 0;
    size_t rounded = 0;
    if (!ddt_size_mul(count, size, &bytes) || !ddt_size_add(bytes, ALIGNMENT, &rounded) || rounded > PTRDIFF_MAX) {
        return NULL;
    }
    if (atomic_fetch_add(&allocations, 1) >= atomic_load(&allocations_allowed)) {
        return NULL;
    }
    if (bytes >= HUGE_FROM) {
        return alloc_huge(rounded);
    }
    /* aligned_alloc wants a multiple of the alignment; a zero size still yields a block of its own. */
    return aligned_alloc(ALIGNMENT, bytes == 0 ? ALIGNMENT : rounded - 1 - (rounded - 1) % ALIGNMENT);
}

void *ddt_calloc(size_t count, size_t size) {
    void *block = ddt_alloc(count, size);
    if (block != NULL) {
        memset(block, 0, count * size);
    }
    return block;
}

void *ddt_realloc(void *block, size_t old_count, size_t count, size_t size) {
    void *grown = ddt_alloc(count, size);
    if (grown == NULL) {
        return NULL;
    }
    size_t kept = old_count < count ? old_count : count;
    if (block != NULL && kept > 0) {
        memcpy(grown, block, kept * size);
    }
    ddt_free(block);
    return grown;
}

char *ddt_strdup(const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = ddt_alloc(bytes, 1);
    if (copy != NULL) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

void ddt_free(void *block) { free(block); }
