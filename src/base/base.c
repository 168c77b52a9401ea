/* SPDX-License-Identifier: Apache-2.0 */
#include "ddt/base.h"

#include <pthread.h>
#include <sched.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DETAIL_MAX = 1024, THREADS_MAX = 1024 };

struct ddt_context {
    pthread_mutex_t lock;
    /* Of its own, so that a progress callback may call ddt_fail. */
    pthread_mutex_t progress_lock;
    ddt_status status;
    char detail[DETAIL_MAX];
    int threads;
    bool is_scratch; /* files need not survive a power failure */
    ddt_progress_fn progress;
    void *progress_user;
};

enum { EXIT_INTERNAL = 4 };

static const struct {
    const char *name;
    int exit_code;
    const char *text;
} statuses[DDT_STATUS_COUNT] = {
#define ROW(name, exit_code, text) {#name, exit_code, text},
    DDT_STATUS_LIST(ROW)
#undef ROW
};

static bool known(ddt_status status) { return (unsigned)status < DDT_STATUS_COUNT; }

const char *ddt_status_text(ddt_status status) { return known(status) ? statuses[status].text : "unknown status"; }

const char *ddt_status_name(ddt_status status) { return known(status) ? statuses[status].name : "DDT_UNKNOWN"; }

int ddt_status_exit_code(ddt_status status) { return known(status) ? statuses[status].exit_code : EXIT_INTERNAL; }

static int default_threads(void) {
    const char *text = getenv("OMP_NUM_THREADS");
    if (text != NULL) {
        char *end = NULL;
        long wanted = strtol(text, &end, 10);
        if (end != text && wanted >= 1 && wanted <= THREADS_MAX) {
            return (int)wanted;
        }
    }
    /* What this process may run on: containers and taskset give less than the machine has. */
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) >= 1) {
        return CPU_COUNT(&allowed);
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : (online > THREADS_MAX ? THREADS_MAX : (int)online);
}

ddt_status ddt_context_create(ddt_context **out) {
    if (sodium_init() < 0) {
        return DDT_ERR_ENTROPY;
    }
    ddt_context *ctx = ddt_calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        return DDT_ERR_MEMORY;
    }
    if (pthread_mutex_init(&ctx->lock, NULL) != 0) {
        ddt_free(ctx);
        return DDT_ERR_MEMORY;
    }
    if (pthread_mutex_init(&ctx->progress_lock, NULL) != 0) {
        (void)pthread_mutex_destroy(&ctx->lock);
        ddt_free(ctx);
        return DDT_ERR_MEMORY;
    }
    ctx->threads = default_threads();
    *out = ctx;
    return DDT_OK;
}

void ddt_context_destroy(ddt_context *ctx) {
    if (ctx != NULL) {
        (void)pthread_mutex_destroy(&ctx->progress_lock);
        (void)pthread_mutex_destroy(&ctx->lock);
        ddt_free(ctx);
    }
}

#undef ddt_fail
ddt_status ddt_fail(ddt_context *ctx, ddt_status status, const char *format, ...) {
    if (ctx == NULL) {
        return status;
    }
    (void)pthread_mutex_lock(&ctx->lock);
    if (ctx->status == DDT_OK) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(ctx->detail, sizeof ctx->detail, format, arguments);
        va_end(arguments);
        ctx->status = status;
    }
    (void)pthread_mutex_unlock(&ctx->lock);
    return status;
}

const char *ddt_error_detail(const ddt_context *ctx) { return ctx == NULL ? "" : ctx->detail; }

ddt_status ddt_error_status(const ddt_context *ctx) { return ctx == NULL ? DDT_OK : ctx->status; }

void ddt_context_clear(ddt_context *ctx) {
    if (ctx != NULL) {
        (void)pthread_mutex_lock(&ctx->lock);
        ctx->status = DDT_OK;
        ctx->detail[0] = '\0';
        (void)pthread_mutex_unlock(&ctx->lock);
    }
}

void ddt_context_set_progress(ddt_context *ctx, ddt_progress_fn fn, void *user) {
    (void)pthread_mutex_lock(&ctx->progress_lock);
    ctx->progress = fn;
    ctx->progress_user = user;
    (void)pthread_mutex_unlock(&ctx->progress_lock);
}

ddt_status ddt_progress(ddt_context *ctx, const char *stage, uint64_t done, uint64_t total) {
    if (ctx == NULL) {
        return DDT_OK;
    }
    (void)pthread_mutex_lock(&ctx->progress_lock);
    bool go_on = ctx->progress == NULL || ctx->progress(ctx->progress_user, stage, done, total);
    (void)pthread_mutex_unlock(&ctx->progress_lock);
    return go_on ? DDT_OK : ddt_fail(ctx, DDT_ERR_CANCELLED, "The work was cancelled during %s.", stage);
}

int ddt_context_threads(const ddt_context *ctx) { return ctx == NULL ? 1 : ctx->threads; }

void ddt_context_set_threads(ddt_context *ctx, int threads) {
    ctx->threads = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
}

bool ddt_context_scratch_files(const ddt_context *ctx) { return ctx != NULL && ctx->is_scratch; }

void ddt_context_set_scratch_files(ddt_context *ctx, bool is_scratch) { ctx->is_scratch = is_scratch; }

double ddt_clock_s(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        return 0.0;
    }
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static atomic_bool entropy_fails = false;

void ddt_entropy_fail(bool fail) { atomic_store(&entropy_fails, fail); }

ddt_status ddt_entropy(ddt_context *ctx, void *buf, size_t n) {
    /* sodium_init is idempotent; its failure is the only one that libsodium reports rather than aborts on. */
    if (atomic_load(&entropy_fails) || sodium_init() < 0) {
        sodium_memzero(buf, n);
        return ddt_fail(ctx, DDT_ERR_ENTROPY, "The system's random number generator failed; nothing was generated.");
    }
    randombytes_buf(buf, n);
    return DDT_OK;
}
