/* SPDX-License-Identifier: Apache-2.0 */
#include "ddt/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static ddt_status fail_write(ddt_context *ctx, const char *path, int error) {
    if (error == ENOSPC || error == EDQUOT) {
        return ddt_fail(ctx, DDT_ERR_NO_SPACE, "No space is left to write '%s'; nothing was changed.", path);
    }
    return ddt_fail(ctx, DDT_ERR_IO, "Cannot write '%s': %s.", path, strerror(error));
}

static int write_all(int file, const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(file, text, length);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return errno;
        }
        text += written;
        length -= (size_t)written;
    }
    return fsync(file) == 0 || errno == EINVAL ? 0 : errno;
}

ddt_status ddt_write_text(ddt_context *ctx, const char *path, const char *text, size_t length) {
    size_t room = strlen(path) + sizeof ".XXXXXX";
    char *temporary = ddt_alloc(room, 1);
    if (temporary == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while writing '%s'.", path);
    }
    (void)snprintf(temporary, room, "%s.XXXXXX", path);
    ddt_status status = DDT_OK;
    int file = mkstemp(temporary);
    if (file < 0) {
        status = fail_write(ctx, path, errno);
        ddt_free(temporary);
        return status;
    }
    int error = write_all(file, text, length);
    /* mkstemp gives 0600; reports are ordinary files, so give them what the umask allows. */
    mode_t mask = umask(0);
    (void)umask(mask);
    if (error == 0 && fchmod(file, 0666 & ~mask) != 0) {
        error = errno;
    }
    if (close(file) != 0 && error == 0) {
        error = errno;
    }
    if (error == 0 && rename(temporary, path) != 0) {
        error = errno;
    }
    if (error != 0) {
        (void)unlink(temporary);
        status = fail_write(ctx, path, error);
    }
    ddt_free(temporary);
    return status;
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
