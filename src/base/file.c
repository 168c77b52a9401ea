/* SPDX-License-Identifier: Apache-2.0 */
#include "ddt/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RANDOM_HEX = 16 };

struct ddt_file {
    ddt_context *ctx;
    char *path;
    char *temporary;
    uint64_t size;
    int descriptor;
};

static ddt_status fail_write(ddt_context *ctx, const char *path, int error) {
    if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
        return ddt_fail(ctx, DDT_ERR_NO_SPACE, "No space is left to write '%s' (%s); nothing was changed.", path,
                        strerror(error));
    }
    return ddt_fail(ctx, DDT_ERR_IO, "Cannot write '%s': %s.", path, strerror(error));
}

/* Renaming onto a folder fails only after all the work, and onto a device would replace the device: refuse both at
 * once. */
static ddt_status check_target(ddt_context *ctx, const char *path) {
    struct stat existing;
    if (path[0] == '\0') {
        return ddt_fail(ctx, DDT_ERR_IO, "Cannot write a file without a name.");
    }
    if (stat(path, &existing) == 0 && !S_ISREG(existing.st_mode)) {
        return ddt_fail(ctx, DDT_ERR_IO, "Cannot write '%s': it exists and is not an ordinary file.", path);
    }
    return DDT_OK;
}

static ddt_status open_temporary(ddt_file *file, bool is_secret) {
    uint64_t random = 0;
    ddt_status status = ddt_entropy(file->ctx, &random, sizeof random);
    if (status != DDT_OK) {
        return status;
    }
    size_t room = strlen(file->path) + sizeof ".tmp-" + RANDOM_HEX;
    file->temporary = ddt_alloc(room, 1);
    if (file->temporary == NULL) {
        return ddt_fail(file->ctx, DDT_ERR_MEMORY, "Memory is short while writing '%s'.", file->path);
    }
    (void)snprintf(file->temporary, room, "%s.tmp-%016llx", file->path, (unsigned long long)random);
    file->descriptor = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, is_secret ? 0600 : 0666);
    if (file->descriptor < 0) {
        status = fail_write(file->ctx, file->path, errno);
        /* Nothing was created, so nothing is to be removed. */
        ddt_free(file->temporary);
        file->temporary = NULL;
    }
    return status;
}

ddt_status ddt_file_create(ddt_context *ctx, const char *path, bool is_secret, ddt_file **out) {
    ddt_status status = check_target(ctx, path);
    if (status != DDT_OK) {
        return status;
    }
    ddt_file *file = ddt_calloc(1, sizeof *file);
    if (file == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while writing '%s'.", path);
    }
    file->ctx = ctx;
    file->descriptor = -1;
    file->path = ddt_strdup(path);
    if (file->path == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while writing '%s'.", path);
    } else {
        status = open_temporary(file, is_secret);
    }
    if (status != DDT_OK) {
        ddt_file_abort(file);
        return status;
    }
    *out = file;
    return DDT_OK;
}

ddt_status ddt_file_patch(ddt_file *file, uint64_t offset, const void *data, size_t length) {
    const char *bytes = data;
    while (length > 0) {
        ssize_t written = pwrite(file->descriptor, bytes, length, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return fail_write(file->ctx, file->path, errno);
        }
        bytes += written;
        offset += (uint64_t)written;
        length -= (size_t)written;
    }
    return DDT_OK;
}

ddt_status ddt_file_append(ddt_file *file, const void *data, size_t length) {
    ddt_status status = ddt_file_patch(file, file->size, data, length);
    if (status == DDT_OK) {
        file->size += length;
    }
    return status;
}

uint64_t ddt_file_size(const ddt_file *file) { return file->size; }

/* A rename survives a power failure only once its folder is synced. Best effort: some file systems refuse, and the file
 * is in place. */
static void sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    int folder = -1;
    if (slash == NULL) {
        folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } else {
        char *name = ddt_strdup(path);
        if (name != NULL) {
            name[slash == path ? 1 : slash - path] = '\0';
            folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        ddt_free(name);
    }
    if (folder >= 0) {
        (void)fsync(folder);
        (void)close(folder);
    }
}

ddt_status ddt_file_commit(ddt_file *file) {
    const bool is_scratch = ddt_context_scratch_files(file->ctx);
    /* EINVAL: the file system has nothing to sync to. */
    int error = is_scratch || fsync(file->descriptor) == 0 || errno == EINVAL ? 0 : errno;
    if (close(file->descriptor) != 0 && error == 0) {
        error = errno;
    }
    file->descriptor = -1;
    if (error == 0 && rename(file->temporary, file->path) != 0) {
        error = errno;
    }
    ddt_status status = DDT_OK;
    if (error == 0) {
        if (!is_scratch) {
            sync_folder(file->path);
        }
        ddt_free(file->temporary);
        file->temporary = NULL;
    } else {
        status = fail_write(file->ctx, file->path, error);
    }
    ddt_file_abort(file);
    return status;
}

void ddt_file_abort(ddt_file *file) {
    if (file == NULL) {
        return;
    }
    if (file->descriptor >= 0) {
        (void)close(file->descriptor);
    }
    if (file->temporary != NULL) {
        (void)unlink(file->temporary);
    }
    ddt_free(file->temporary);
    ddt_free(file->path);
    ddt_free(file);
}

ddt_status ddt_write_text(ddt_context *ctx, const char *path, const char *text, size_t length) {
    ddt_file *file = NULL;
    ddt_status status = ddt_file_create(ctx, path, false, &file);
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

static ddt_status read_stream(ddt_context *ctx, FILE *file, const char *path, size_t max_bytes, char **text,
                              size_t *length) {
    size_t capacity = 1 << 16;
    size_t used = 0;
    char *buffer = ddt_alloc(capacity, 1);
    while (buffer != NULL) {
        used += fread(buffer + used, 1, capacity - used - 1, file);
        if (ferror(file)) {
            ddt_free(buffer);
            return ddt_fail(ctx, DDT_ERR_IO, "Cannot read '%s': %s.", path, strerror(errno));
        }
        if (used > max_bytes) {
            ddt_free(buffer);
            return ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' is larger than the %zu bytes allowed.", path, max_bytes);
        }
        if (feof(file)) {
            break;
        }
        char *grown = ddt_realloc(buffer, used, capacity * 2, 1);
        if (grown == NULL) {
            ddt_free(buffer);
        }
        buffer = grown;
        capacity *= 2;
    }
    if (buffer == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while reading '%s'.", path);
    }
    if (memchr(buffer, '\0', used) != NULL) {
        ddt_free(buffer);
        return ddt_fail(ctx, DDT_ERR_FORMAT, "'%s' is not a text file: it holds a zero byte.", path);
    }
    buffer[used] = '\0';
    *text = buffer;
    *length = used;
    return DDT_OK;
}

ddt_status ddt_read_text(ddt_context *ctx, const char *path, size_t max_bytes, char **text, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return ddt_fail(ctx, DDT_ERR_IO, "Cannot open '%s': %s.", path, strerror(errno));
    }
    ddt_status status = read_stream(ctx, file, path, max_bytes, text, length);
    (void)fclose(file);
    return status;
}
