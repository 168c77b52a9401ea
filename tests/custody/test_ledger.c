/* The ledger of releases: limits, concurrency, crashes, edits, permissions, no space. SPDX-License-Identifier: Apache-2.0 */
#include "ckks/support.h"

#include "custody_internal.h"

#include "ddt/custody/release.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const ddt_ckks_literal literal = {10, 3, 50, 45, 2};
static char folder[] = "/tmp/ddt_ledger_XXXXXX";
static char path[64];

typedef struct fixture {
    ddt_context *ctx;
    ddt_ckks_params *params;
    ddt_secret_key *secret;
    ddt_digest plan;
} fixture;

static void fixture_create(fixture *f, uint64_t limit) {
    assert_int_equal(ddt_context_create(&f->ctx), DDT_OK);
    ddt_context_set_threads(f->ctx, 1); /* children are forked */
    assert_ok(f->ctx, ddt_ckks_params_create_insecure_for_testing(f->ctx, &literal, &f->params));
    assert_ok(f->ctx, ddt_secret_key_generate(f->ctx, f->params, &f->secret));
    ddt_digest_of("a plan", 6, &f->plan);
    (void)unlink(path);
    assert_ok(f->ctx, ddt_ledger_create(f->ctx, path, f->secret, &f->plan, limit));
}

static void fixture_destroy(fixture *f) {
    ddt_secret_key_destroy(f->secret);
    ddt_ckks_params_destroy(f->params);
    ddt_context_destroy(f->ctx);
}

static ddt_status take(const fixture *f) {
    ddt_ledger_state state;
    return ddt_ledger_take(f->ctx, path, f->secret, &f->plan, &state);
}

static void assert_made(const fixture *f, uint64_t made, uint64_t limit) {
    ddt_ledger_state state;
    assert_ok(f->ctx, ddt_ledger_read(f->ctx, path, f->secret, &f->plan, &state));
    assert_int_equal(state.made, made);
    assert_int_equal(state.limit, limit);
}

static mode_t mode_of(void) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 0777;
}

static void limits(void **unused) {
    (void)unused;
    fixture f;
    ddt_ledger_state state;
    fixture_create(&f, 3);
    assert_int_equal(mode_of(), 0600);
    for (uint64_t made = 1; made <= 3; made++) {
        assert_ok(f.ctx, ddt_ledger_take(f.ctx, path, f.secret, &f.plan, &state));
        assert_int_equal(state.made, made);
        assert_int_equal(mode_of(), 0600);
        assert_made(&f, made, 3);
    }
    assert_int_equal(ddt_ledger_take(f.ctx, path, f.secret, &f.plan, &state), DDT_ERR_SECURITY);
    assert_string_equal(ddt_error_detail(f.ctx), "The key has made 3 of 3 releases: make a new key.");
    assert_int_equal(state.made + state.limit, 0);
    ddt_context_clear(f.ctx);
    assert_made(&f, 3, 3);
    /* A ledger is never begun anew over another. */
    assert_fails(f.ctx, DDT_ERR_SECURITY, ddt_ledger_create(f.ctx, path, f.secret, &f.plan, 10));
    assert_made(&f, 3, 3);
    assert_int_equal(unlink(path), 0);
    assert_fails(f.ctx, DDT_ERR_IO, take(&f));
    assert_fails(f.ctx, DDT_ERR_ARGUMENT, ddt_ledger_create(f.ctx, path, f.secret, &f.plan, 0));
    assert_fails(f.ctx, DDT_ERR_ARGUMENT,
                 ddt_ledger_create(f.ctx, path, f.secret, &f.plan, (uint64_t)DDT_LEDGER_LIMIT_MAX + 1));
    assert_fails(f.ctx, DDT_ERR_IO, ddt_ledger_create(f.ctx, "/tmp/no/such/folder", f.secret, &f.plan, 1));
    fixture_destroy(&f);
}

/* ------------------------------------------------------------------ processes */

enum { CHILDREN = 4, TAKES = 10, SHARED_LIMIT = 33 };

/* Exit status: releases that were granted; 200 and more: something other than a spent ledger was wrong. */
static void take_in_child(const fixture *f) {
    int granted = 0;
    for (unsigned i = 0; i < TAKES; i++) {
        const ddt_status status = take(f);
        if (status != DDT_OK && status != DDT_ERR_SECURITY) {
            _exit(200);
        }
        granted += status == DDT_OK;
    }
    _exit(granted);
}

static void concurrency(void **unused) {
    (void)unused;
    fixture f;
    pid_t children[CHILDREN];
    int granted = 0;
    fixture_create(&f, SHARED_LIMIT);
    for (unsigned i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            take_in_child(&f);
        }
    }
    for (unsigned i = 0; i < CHILDREN; i++) {
        int status = 0;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= TAKES);
        granted += WEXITSTATUS(status);
    }
    assert_int_equal(granted, SHARED_LIMIT);
    assert_made(&f, SHARED_LIMIT, SHARED_LIMIT);
    fixture_destroy(&f);
}

/* A process that "releases" a byte after each count is killed at any moment: no release may be missing in the count. */
static void crash(void **unused) {
    (void)unused;
    fixture f;
    uint64_t released = 0;
    enum { ROUNDS = 6, LIMIT = 1 << 20 };
    fixture_create(&f, LIMIT);
    for (unsigned round = 0; round < ROUNDS; round++) {
        int ends[2];
        char bytes[64];
        assert_int_equal(pipe(ends), 0);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            while (take(&f) == DDT_OK && write(ends[1], "r", 1) == 1) {
            }
            _exit(1);
        }
        (void)close(ends[1]);
        for (unsigned i = 0; i <= round; i++) {
            assert_int_equal(read(ends[0], bytes, 1), 1);
            released++;
        }
        (void)usleep(1000 * round);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        for (ssize_t got = 1; got > 0;) {
            got = read(ends[0], bytes, sizeof bytes);
            released += got > 0 ? (uint64_t)got : 0;
        }
        (void)close(ends[0]);
    }
    ddt_ledger_state state;
    assert_ok(f.ctx, ddt_ledger_read(f.ctx, path, f.secret, &f.plan, &state));
    assert_true(state.made >= released);
    assert_true(state.made <= released + ROUNDS); /* at most one wasted by each crash */
    assert_ok(f.ctx, take(&f));
    fixture_destroy(&f);
}

static size_t files_in_folder(void) {
    size_t count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        count += entry->d_name[0] != '.';
    }
    assert_int_equal(closedir(dir), 0);
    return count;
}

static void no_space(void **unused) {
    (void)unused;
    fixture f;
    struct rlimit before;
    fixture_create(&f, 5);
    assert_ok(f.ctx, take(&f));
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = {.rlim_cur = 100, .rlim_max = before.rlim_max};
    const size_t files = files_in_folder();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const ddt_status status = take(&f);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, DDT_ERR_NO_SPACE);
    ddt_context_clear(f.ctx);
    assert_int_equal(files_in_folder(), files);
    assert_made(&f, 1, 5);
    fixture_destroy(&f);
}

/* ------------------------------------------------------------------ hostile files */

typedef struct bytes {
    char data[1024];
    size_t length;
} bytes;

static void load_bytes(bytes *out) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    out->length = fread(out->data, 1, sizeof out->data, file);
    assert_int_equal(fclose(file), 0);
}

static void store_bytes(const bytes *in) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(in->data, 1, in->length, file), in->length);
    assert_int_equal(fclose(file), 0);
}

static bool is_refused(fixture *f) {
    const ddt_status status = take(f);
    ddt_context_clear(f->ctx);
    return status == DDT_ERR_CORRUPT || status == DDT_ERR_FORMAT || status == DDT_ERR_MISMATCH;
}

static void edits(void **unused) {
    (void)unused;
    fixture f;
    bytes good;
    fixture_create(&f, 7);
    assert_ok(f.ctx, take(&f));
    load_bytes(&good);
    for (size_t i = 0; i < good.length; i++) {
        bytes bad = good;
        bad.data[i] = (char)(bad.data[i] ^ 1);
        store_bytes(&bad);
        assert_true(is_refused(&f));
        bad = good;
        bad.length = i;
        store_bytes(&bad);
        assert_true(is_refused(&f));
    }
    bytes longer = good;
    longer.data[longer.length++] = '\n';
    store_bytes(&longer);
    assert_true(is_refused(&f));
    memset(longer.data, 'a', sizeof longer.data);
    longer.length = sizeof longer.data;
    store_bytes(&longer);
    assert_true(is_refused(&f));
    /* The edit that matters. */
    bytes fewer = good;
    char *made = strstr(fewer.data, "made 1");
    assert_non_null(made);
    made[5] = '0';
    store_bytes(&fewer);
    assert_fails(f.ctx, DDT_ERR_CORRUPT, take(&f));
    store_bytes(&good);
    assert_made(&f, 1, 7);
    fixture_destroy(&f);
}

static void others(void **unused) {
    (void)unused;
    fixture f;
    ddt_secret_key *other = NULL;
    ddt_digest plan;
    ddt_ledger_state state;
    fixture_create(&f, 7);
    ddt_digest_of("another", 7, &plan);
    assert_ok(f.ctx, ddt_secret_key_generate(f.ctx, f.params, &other));
    assert_fails(f.ctx, DDT_ERR_MISMATCH, ddt_ledger_take(f.ctx, path, other, &f.plan, &state));
    assert_fails(f.ctx, DDT_ERR_MISMATCH, ddt_ledger_take(f.ctx, path, f.secret, &plan, &state));
    const mode_t refused[] = {0640, 0604, 0660, 0601, 0644};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(chmod(path, refused[i]), 0);
        assert_fails(f.ctx, DDT_ERR_PERMISSION, take(&f));
    }
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    assert_fails(f.ctx, DDT_ERR_PERMISSION, take(&f));
    assert_int_equal(chmod(folder, 0700), 0);
    char moved[80];
    (void)snprintf(moved, sizeof moved, "%s/moved", folder);
    assert_int_equal(rename(path, moved), 0);
    assert_int_equal(symlink(moved, path), 0);
    assert_fails(f.ctx, DDT_ERR_PERMISSION, take(&f));
    assert_fails(f.ctx, DDT_ERR_SECURITY, ddt_ledger_create(f.ctx, path, f.secret, &f.plan, 1));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_fails(f.ctx, DDT_ERR_FORMAT, take(&f));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_fails(f.ctx, DDT_ERR_FORMAT, take(&f));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(moved, path), 0);
    assert_made(&f, 0, 7);
    ddt_secret_key_destroy(other);
    fixture_destroy(&f);
}

static void short_resources(void **unused) {
    (void)unused;
    fixture f;
    fixture_create(&f, 100);
    (void)ddt_alloc_fail_after(UINT64_MAX);
    assert_ok(f.ctx, take(&f));
    const uint64_t allocations = ddt_alloc_fail_after(UINT64_MAX);
    assert_true(allocations > 0);
    for (uint64_t n = 0; n < allocations; n++) {
        (void)ddt_alloc_fail_after(n);
        const ddt_status status = take(&f);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        ddt_context_clear(f.ctx);
        /* Syncing the folder is best effort: the count is on disk when memory for its name is short. */
        assert_true(status == DDT_ERR_MEMORY || status == DDT_OK);
        assert_int_equal(status == DDT_OK, n + 1 == allocations);
    }
    assert_made(&f, 2, 100);
    ddt_entropy_fail(true);
    const ddt_status status = take(&f);
    ddt_entropy_fail(false);
    assert_int_equal(status, DDT_ERR_ENTROPY);
    ddt_context_clear(f.ctx);
    assert_made(&f, 2, 100);
    fixture_destroy(&f);
}

static int open_folder(void **unused) {
    (void)unused;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/ledger.ddt", folder);
    return 0;
}

/* Killed writers leave temporary files: that is what they are for. */
static int close_folder(void **unused) {
    (void)unused;
    DIR *dir = opendir(folder);
    for (const struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL; entry = readdir(dir)) {
        char name[320];
        (void)snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
        (void)unlink(name);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits),          cmocka_unit_test(concurrency), cmocka_unit_test(crash),
        cmocka_unit_test(no_space),        cmocka_unit_test(edits),       cmocka_unit_test(others),
        cmocka_unit_test(short_resources),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
