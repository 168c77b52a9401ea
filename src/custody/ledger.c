/* The ledger of releases beside a secret key. SPDX-License-Identifier: Apache-2.0 */
#include "custody_internal.h"

#include "ddt/custody/release.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 16, SEAL_BYTES = 32, TEXT_MAX = 512, NUMBER_MAX = 24, OTHERS_MAY = 077, OTHERS_MAY_WRITE = 022 };

/* What binds a ledger to its key: derived from the secret, wiped after use except for the name. */
typedef struct binding {
    uint8_t seal_key[SEAL_BYTES];
    uint8_t name[NAME_BYTES];
    const ddt_digest *params;
    const ddt_digest *plan;
} binding;

static void bind_key(const ddt_secret_key *secret, const ddt_digest *plan, binding *out) {
    static const unsigned char purpose[] = "ddtwin release ledger 1";
    uint8_t derived[SEAL_BYTES + NAME_BYTES];
    (void)crypto_generichash(derived, sizeof derived, (const unsigned char *)secret->ternary,
                             ddt_ckks_n(secret->params), purpose, sizeof purpose);
    memcpy(out->seal_key, derived, SEAL_BYTES);
    memcpy(out->name, derived + SEAL_BYTES, NAME_BYTES);
    sodium_memzero(derived, sizeof derived);
    out->params = ddt_ckks_params_digest(secret->params);
    out->plan = plan;
}

/* ------------------------------------------------------------------ text */

/* The whole file; its last line seals all others. Returns the length. */
static size_t render(const binding *bound, const ddt_ledger_state *state, char text[TEXT_MAX]) {
    char name[2 * NAME_BYTES + 1];
    char params[2 * DDT_WIRE_DIGEST_BYTES + 1];
    char plan[2 * DDT_WIRE_DIGEST_BYTES + 1];
    char seal[2 * SEAL_BYTES + 1];
    uint8_t digest[SEAL_BYTES];
    (void)sodium_bin2hex(name, sizeof name, bound->name, NAME_BYTES);
    (void)sodium_bin2hex(params, sizeof params, bound->params->bytes, DDT_WIRE_DIGEST_BYTES);
    (void)sodium_bin2hex(plan, sizeof plan, bound->plan->bytes, DDT_WIRE_DIGEST_BYTES);
    const int body =
        snprintf(text, TEXT_MAX, "ddtwin release ledger 1\nkey %s\nparameters %s\nplan %s\nlimit %llu\nmade %llu\n",
                 name, params, plan, (unsigned long long)state->limit, (unsigned long long)state->made);
    (void)crypto_generichash(digest, sizeof digest, (const unsigned char *)text, (unsigned long long)body,
                             bound->seal_key, SEAL_BYTES);
    (void)sodium_bin2hex(seal, sizeof seal, digest, sizeof digest);
    const int tail = snprintf(text + body, TEXT_MAX - (size_t)body, "seal %s\n", seal);
    return (size_t)body + (size_t)tail;
}

static bool take_word(const char **at, const char *word) {
    const size_t length = strlen(word);
    if (strncmp(*at, word, length) != 0) {
        return false;
    }
    *at += length;
    return true;
}

/* "word value\n" */
static bool take_field(const char **at, const char *word, char *value, size_t room) {
    if (!take_word(at, word) || **at != ' ') {
        return false;
    }
    const size_t length = strcspn(*at + 1, "\n");
    if (length >= room || (*at)[1 + length] != '\n') {
        return false;
    }
    memcpy(value, *at + 1, length);
    value[length] = '\0';
    *at += length + 2;
    return true;
}

/* Canonical form is not checked here: the text is rendered again and compared. */
static bool take_number(const char **at, const char *word, uint64_t *number) {
    char digits[NUMBER_MAX];
    if (!take_field(at, word, digits, sizeof digits) || strspn(digits, "0123456789") != strlen(digits)) {
        return false;
    }
    *number = strtoull(digits, NULL, 10); /* overflow gives ULLONG_MAX, which renders differently or is too large */
    return true;
}

static bool same_hex(const char *hex, const uint8_t *bytes, size_t length) {
    char expected[2 * DDT_WIRE_DIGEST_BYTES + 1];
    (void)sodium_bin2hex(expected, sizeof expected, bytes, length);
    return strcmp(hex, expected) == 0;
}

static ddt_status parse(ddt_context *ctx, const char *path, const char *text, size_t length, const binding *bound,
                        ddt_ledger_state *state) {
    char name[TEXT_MAX];
    char params[TEXT_MAX];
    char plan[TEXT_MAX];
    char expected[TEXT_MAX];
    const char *at = text;
    if (!take_word(&at, "ddtwin release ledger 1\n") || !take_field(&at, "key", name, sizeof name) ||
        !take_field(&at, "parameters", params, sizeof params) || !take_field(&at, "plan", plan, sizeof plan) ||
        !take_number(&at, "limit", &state->limit) || !take_number(&at, "made", &state->made)) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' is not a ledger of releases.", path);
    }
    if (!same_hex(name, bound->name, NAME_BYTES) || !same_hex(params, bound->params->bytes, DDT_WIRE_DIGEST_BYTES) ||
        !same_hex(plan, bound->plan->bytes, DDT_WIRE_DIGEST_BYTES)) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "The ledger '%s' belongs to another key or plan.", path);
    }
    const size_t rendered = render(bound, state, expected);
    if (rendered != length || sodium_memcmp(text, expected, length) != 0 || state->limit == 0 ||
        state->limit > DDT_LEDGER_LIMIT_MAX || state->made > state->limit) {
        return ddt_fail(ctx, DDT_ERR_CORRUPT, "The ledger '%s' was altered or is damaged.", path);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ files */

/* Locks the folder: the file itself is replaced at every change, so that a lock on it would not hold. */
static ddt_status lock_folder(ddt_context *ctx, const char *path, int *lock) {
    struct stat info;
    char *folder = ddt_strdup(path);
    *lock = -1;
    if (folder == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for the ledger '%s'.", path);
    }
    char *slash = strrchr(folder, '/');
    if (slash != NULL) {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    const int descriptor = open(slash == NULL ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ddt_free(folder);
    if (descriptor < 0) {
        return ddt_fail(ctx, DDT_ERR_IO, "Cannot open the folder of the ledger '%s': %s.", path, strerror(errno));
    }
    int locked = -1;
    do {
        locked = flock(descriptor, LOCK_EX);
    } while (locked != 0 && errno == EINTR);
    ddt_status status = DDT_OK;
    if (locked != 0 || fstat(descriptor, &info) != 0) {
        status = ddt_fail(ctx, DDT_ERR_IO, "Cannot lock the folder of the ledger '%s': %s.", path, strerror(errno));
    } else if ((info.st_mode & OTHERS_MAY_WRITE) != 0 && (info.st_mode & S_ISVTX) == 0) {
        status = ddt_fail(ctx, DDT_ERR_PERMISSION, "Others may replace files in the folder of the ledger '%s'.", path);
    }
    if (status != DDT_OK) {
        (void)close(descriptor);
        return status;
    }
    *lock = descriptor;
    return DDT_OK;
}

static ddt_status check_file(ddt_context *ctx, const char *path, int descriptor) {
    struct stat info;
    if (fstat(descriptor, &info) != 0) {
        return ddt_fail(ctx, DDT_ERR_IO, "Cannot read the ledger '%s': %s.", path, strerror(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' is not a ledger of releases.", path);
    }
    if ((info.st_mode & OTHERS_MAY) != 0 || info.st_uid != geteuid()) {
        return ddt_fail(ctx, DDT_ERR_PERMISSION, "The ledger '%s' must belong to you alone (mode 0600).", path);
    }
    return DDT_OK;
}

/* text: at most TEXT_MAX bytes and a NUL. */
static ddt_status read_text(ddt_context *ctx, const char *path, char text[TEXT_MAX + 1], size_t *length) {
    const int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0 && errno == ELOOP) {
        return ddt_fail(ctx, DDT_ERR_PERMISSION, "The ledger '%s' is a link: it must be a file of its own.", path);
    }
    if (descriptor < 0) {
        return ddt_fail(ctx, DDT_ERR_IO, "Nothing is released without the ledger '%s': %s.", path, strerror(errno));
    }
    ddt_status status = check_file(ctx, path, descriptor);
    *length = 0;
    while (status == DDT_OK && *length < TEXT_MAX) {
        const ssize_t got = read(descriptor, text + *length, TEXT_MAX - *length);
        if (got == 0) {
            break;
        }
        if (got > 0) {
            *length += (size_t)got;
        } else if (errno != EINTR) {
            status = ddt_fail(ctx, DDT_ERR_IO, "Cannot read the ledger '%s': %s.", path, strerror(errno));
        }
    }
    (void)close(descriptor);
    text[*length] = '\0';
    return status;
}

static ddt_status load(ddt_context *ctx, const char *path, const binding *bound, ddt_ledger_state *state) {
    char text[TEXT_MAX + 1];
    size_t length = 0;
    const ddt_status status = read_text(ctx, path, text, &length);
    return status == DDT_OK ? parse(ctx, path, text, length, bound, state) : status;
}

static ddt_status store(ddt_context *ctx, const char *path, const binding *bound, const ddt_ledger_state *state) {
    char text[TEXT_MAX];
    ddt_file *file = NULL;
    const size_t length = render(bound, state, text);
    ddt_status status = ddt_file_create(ctx, path, true, &file);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_file_append(file, text, length);
    if (status != DDT_OK) {
        ddt_file_abort(file);
        return status;
    }
    return ddt_file_commit(file);
}

/* ------------------------------------------------------------------ what is done under the lock */

typedef ddt_status (*ledger_action)(ddt_context *ctx, const char *path, const binding *bound, ddt_ledger_state *state);

static ddt_status begin_ledger(ddt_context *ctx, const char *path, const binding *bound, ddt_ledger_state *state) {
    struct stat info;
    if (lstat(path, &info) == 0) {
        return ddt_fail(ctx, DDT_ERR_SECURITY, "'%s' exists: a ledger is never begun anew.", path);
    }
    return store(ctx, path, bound, state);
}

static ddt_status count_one(ddt_context *ctx, const char *path, const binding *bound, ddt_ledger_state *state) {
    ddt_status status = load(ctx, path, bound, state);
    if (status == DDT_OK && state->made >= state->limit) {
        status = ddt_fail(ctx, DDT_ERR_SECURITY, "The key has made %llu of %llu releases: make a new key.",
                          (unsigned long long)state->made, (unsigned long long)state->limit);
    }
    if (status == DDT_OK) {
        state->made++;
        status = store(ctx, path, bound, state);
    }
    return status;
}

static ddt_status with_lock(ddt_context *ctx, const char *path, const ddt_secret_key *secret, const ddt_digest *plan,
                            ledger_action action, ddt_ledger_state *state) {
    binding bound;
    int lock = -1;
    ddt_status status = lock_folder(ctx, path, &lock);
    if (status == DDT_OK) {
        bind_key(secret, plan, &bound);
        status = action(ctx, path, &bound, state);
        sodium_memzero(&bound, sizeof bound);
        (void)close(lock);
    }
    if (status != DDT_OK) {
        *state = (ddt_ledger_state){0};
    }
    return status;
}

ddt_status ddt_ledger_create(ddt_context *ctx, const char *path, const ddt_secret_key *secret, const ddt_digest *plan,
                             uint64_t limit) {
    ddt_ledger_state state = {limit, 0};
    if (limit == 0 || limit > DDT_LEDGER_LIMIT_MAX) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A key makes 1 to %d releases, not %llu.", DDT_LEDGER_LIMIT_MAX,
                        (unsigned long long)limit);
    }
    return with_lock(ctx, path, secret, plan, begin_ledger, &state);
}

ddt_status ddt_ledger_read(ddt_context *ctx, const char *path, const ddt_secret_key *secret, const ddt_digest *plan,
                           ddt_ledger_state *state) {
    return with_lock(ctx, path, secret, plan, load, state);
}

ddt_status ddt_ledger_take(ddt_context *ctx, const char *path, const ddt_secret_key *secret, const ddt_digest *plan,
                           ddt_ledger_state *state) {
    return with_lock(ctx, path, secret, plan, count_one, state);
}
