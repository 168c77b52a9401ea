/* Where files may go: not onto what a command reads, not onto keys, not onto what is somebody else's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "common.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that a command writes, beside what stands there already. */
typedef struct target {
    const char *option; /* -o or --plot */
    const char *path;
    bool is_ours; /* a file of this program (.ddt); else a table or a picture */
    bool is_folder;
    struct stat existing;
} target;

/* The folder that a path lies in; NULL when memory is short. */
static char *folder_of(const char *path) {
    char *slash = strrchr(path, '/');
    char *folder = ddt_strdup(slash == NULL ? "." : path);
    if (folder != NULL && slash != NULL) {
        folder[slash == path ? 1 : slash - path] = '\0';
    }
    return folder;
}

static bool is_file(const struct stat *existing, const char *path) {
    struct stat info;
    return path != NULL && stat(path, &info) == 0 && info.st_dev == existing->st_dev && info.st_ino == existing->st_ino;
}

/* Whether `path` lies in the folder `existing`. Where memory is short, no. */
static bool is_within(const struct stat *existing, const char *path) {
    char *folder = path == NULL ? NULL : folder_of(path);
    const bool is = is_file(existing, folder);
    ddt_free(folder);
    return is;
}

/* The command's input that a target would replace, itself or with the folder it lies in; NULL: none. */
static const char *replaced_input(const cli_command *command, const cli_arguments *a, const target *t) {
    /* A living twin's new state may take the old one's place. */
    const char *twin = (command->replaces & CLI_TWIN) != 0 ? NULL : a->twin;
    const char *const inputs[] = {a->positional, a->data, a->plan, a->eval_keys,      twin, a->result, a->model,
                                  a->grant,      a->to,   a->news, a->passphrase_file};
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        if (is_file(&t->existing, inputs[i]) || (t->is_folder && is_within(&t->existing, inputs[i]))) {
            return inputs[i];
        }
    }
    return NULL;
}

static bool is_key(ddt_wire_kind kind) {
    return ddt_wire_kind_is_secret(kind) || kind == DDT_WIRE_PUBLIC_KEY || kind == DDT_WIRE_EVAL_KEYS ||
           kind == DDT_WIRE_PHYSICIAN_PUBLIC;
}

/* Only a file of the same sort gives way: an earlier result, not a key and not what another program made. */
static ddt_status check_sort(ddt_context *ctx, const target *t) {
    ddt_wire_kind kind = DDT_WIRE_PLAN;
    const bool found_ours = ddt_wire_probe(ctx, t->path, &kind) == DDT_OK;
    ddt_context_clear(ctx);
    if (found_ours && is_key(kind)) {
        return ddt_fail(ctx, DDT_ERR_IO, "%s exists and is a key (%s); keys are never overwritten.", t->path,
                        ddt_wire_kind_name(kind));
    }
    if (found_ours && !t->is_ours) {
        return ddt_fail(ctx, DDT_ERR_IO, "%s exists and is a file of this program (%s); choose another name for %s.",
                        t->path, ddt_wire_kind_name(kind), t->option);
    }
    if (!found_ours && t->is_ours) {
        return ddt_fail(ctx, DDT_ERR_IO, "%s exists and is not a file of this program; choose another name for %s.",
                        t->path, t->option);
    }
    return DDT_OK;
}

/* Whether there is a folder for the file; what cannot be written is better known before hours of work than after. */
static ddt_status check_folder(ddt_context *ctx, const target *t) {
    char *folder = folder_of(t->path);
    if (folder == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short.");
    }
    ddt_status status = DDT_OK;
    if (access(folder, W_OK | X_OK) != 0) {
        status = ddt_fail(ctx, DDT_ERR_IO, "Cannot write '%s': %s.", t->path, strerror(errno));
    }
    ddt_free(folder);
    return status;
}

static ddt_status check_target(ddt_context *ctx, const cli_command *command, const cli_arguments *arguments,
                               target *t) {
    if (stat(t->path, &t->existing) != 0) {
        return t->is_folder ? DDT_OK : check_folder(ctx, t);
    }
    const char *input = replaced_input(command, arguments, t);
    if (input != NULL) {
        return ddt_fail(ctx, DDT_ERR_IO,
                        "%s would replace %s, which the command reads; choose another name for the output.", t->option,
                        input);
    }
    /* Folders and devices are refused where the file is made. */
    return !t->is_folder && S_ISREG(t->existing.st_mode) ? check_sort(ctx, t) : DDT_OK;
}

ddt_status cli_check_outputs(ddt_context *ctx, const cli_command *command, const cli_arguments *arguments) {
    ddt_status status = DDT_OK;
    if (arguments->out != NULL) {
        /* -o names a folder where its placeholder has no extension. */
        const char *extension = strrchr(command->out, '.');
        target out = {.option = "-o", .path = arguments->out, .is_folder = extension == NULL};
        out.is_ours = extension != NULL && strcmp(extension, ".ddt") == 0;
        status = check_target(ctx, command, arguments, &out);
    }
    if (status == DDT_OK && arguments->plot != NULL) {
        target plot = {.option = "--plot", .path = arguments->plot};
        status = check_target(ctx, command, arguments, &plot);
    }
    return status;
}
