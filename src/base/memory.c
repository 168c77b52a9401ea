/* SPDX-License-Identifier: Apache-2.0 */
#include "ddt/base.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

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

/*
 * Freed blocks of at least HUGE_FROM bytes, for the next ones of about their size. The system hands out zeroed pages: a
 * ciphertext of 28 MiB that lives for one operation costs milliseconds of that. Not where a sanitizer watches for the
 * use of freed memory, and not where the size of a block cannot be asked for.
 */
#if defined(__SANITIZE_ADDRESS__)
#define KEEPS_BLOCKS 0
#elif defined(__has_feature)
#define KEEPS_BLOCKS (!__has_feature(address_sanitizer) && !__has_feature(memory_sanitizer))
#else
#define KEEPS_BLOCKS 1
#endif

#if KEEPS_BLOCKS && defined(__GLIBC__)
enum { KEPT_BLOCKS = 4, KEPT_BYTES = 64 << 20 };

static struct {
    pthread_mutex_t lock;
    void *blocks[KEPT_BLOCKS]; /* the oldest first */
    size_t count;
    size_t bytes;
} freed = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *take_kept(size_t index) {
    void *block = freed.blocks[index];
    freed.bytes -= malloc_usable_size(block);
    freed.count--;
    memmove(&freed.blocks[index], &freed.blocks[index + 1], (freed.count - index) * sizeof freed.blocks[0]);
    return block;
}

/* A kept block of at least `bytes` bytes and not much more, or NULL. */
static void *reuse_block(size_t bytes) {
    void *block = NULL;
    (void)pthread_mutex_lock(&freed.lock);
    for (size_t i = freed.count; i-- > 0 && block == NULL;) {
        const size_t room = malloc_usable_size(freed.blocks[i]);
        if (room >= bytes && room - bytes <= bytes / 2) {
            block = take_kept(i);
        }
    }
    (void)pthread_mutex_unlock(&freed.lock);
    return block;
}

/* Keeps a block in place of older ones; false if it is too small or too large for that. */
static bool keep_block(void *block) {
    const size_t bytes = block == NULL ? 0 : malloc_usable_size(block);
    if (bytes < HUGE_FROM || bytes > KEPT_BYTES) {
        return false;
    }
    void *dropped[KEPT_BLOCKS];
    size_t count = 0;
    (void)pthread_mutex_lock(&freed.lock);
    while (freed.count == KEPT_BLOCKS || freed.bytes + bytes > KEPT_BYTES) {
        dropped[count++] = take_kept(0);
    }
    freed.blocks[freed.count++] = block;
    freed.bytes += bytes;
    (void)pthread_mutex_unlock(&freed.lock);
    while (count > 0) {
        free(dropped[--count]);
    }
    return true;
}
#else
static void *reuse_block(size_t bytes) {
    (void)bytes;
    return NULL;
}

static bool keep_block(void *block) {
    (void)block;
    return false;
}
#endif

/* A block of at least HUGE_FROM bytes. The advice may be ignored: it only costs time. */
static void *alloc_huge(size_t bytes) {
    void *block = reuse_block(bytes);
    if (block != NULL) {
        return block;
    }
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

void ddt_free(void *block) {
    if (!keep_block(block)) {
        free(block);
    }
}

void ddt_memory_stays(void) {
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_MAX, 0);
    (void)mallopt(M_TRIM_THRESHOLD, -1);
#endif
}

void ddt_memory_give_back(void) {
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
