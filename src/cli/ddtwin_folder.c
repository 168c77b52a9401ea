/* Output folders that appear whole or not at all. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What we write into output folders: a folder that holds only these is ours. */
static const char *const our_files[] = {"profile.csv",     "summary.json",    "report.html",         "etas.csv",
                                        "individuals.csv", "uncertainty.csv", "recommendation.json", "candidates.csv",
                                        "twin.json",       "state.csv",       "forecast.csv",        "bands.csv",
                                        "regimens.csv",    "residuals.csv"};

char *ddtwin_join(ddt_context *ctx, const char *folder, const char *name) {
    const size_t length = strlen(folder) + strlen(name) + 2;
    char *path = ddt_alloc(length, 1);
    if (path == NULL) {
        (void)ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short.");
        return NULL;
    }
    (void)snprintf(path, length, "%s/%s", folder, name);
    return path;
}

static bool is_ours(const char *name) {
    for (size_t i = 0; i < sizeof our_files / sizeof our_files[0]; i++) {
        if (strcmp(name, our_files[i]) == 0) {
            return true;
        }
    }
    return false;
}

static ddt_status check_entries(ddt_context *ctx, const char *path, DIR *folder) {
    const struct dirent *entry = NULL;
    while ((entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && !is_ours(entry->d_name)) {
            return ddt_fail(ctx, DDT_ERR_IO, "The folder %s holds something else (%s); choose another one for -o.",
                            path, entry->d_name);
        }
    }
    return DDT_OK;
}

/* Whether results may go to `path`: nothing there, an empty folder, or one with earlier results. */
static ddt_status check_target(ddt_context *ctx, const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0) {
        return errno == ENOENT ? DDT_OK
                               : ddt_fail(ctx, DDT_ERR_IO, "%s cannot be looked at: %s.", path, strerror(errno));
    }
    DIR *folder = S_ISDIR(info.st_mode) ? opendir(path) : NULL;
    if (folder == NULL) {
        return ddt_fail(ctx, DDT_ERR_IO, "%s exists and is not a folder that can be read; choose another one for -o.",
                        path);
    }
    ddt_status status = check_entries(ctx, path, folder);
    (void)closedir(folder);
    return status;
}

/* Cuts the last part off a path: "a/b" -> "a", "a" -> ".", "/a" -> "/". There is room for two bytes. */
static void to_parent(char *path) {
    char *slash = strrchr(path, '/');
    if (slash == NULL) {
        path[0] = '.';
        path[1] = '\0';
    } else {
        slash[slash == path] = '\0';
    }
}

static void strip_slashes(char *path) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') {
        path[--length] = '\0';
    }
}

/* The nearest folder above `path` that exists: staging there is on the same file system, as a rename wants. */
static char *nearest_folder(const char *path) {
    const size_t room = strlen(path) + 2;
    char *above = ddt_alloc(room, 1);
    if (above == NULL) {
        return NULL;
    }
    (void)snprintf(above, room, "%s", path);
    struct stat info;
    do {
        to_parent(above);
    } while (strcmp(above, ".") != 0 && strcmp(above, "/") != 0 && stat(above, &info) != 0);
    return above;
}

static ddt_status make_staging(ddt_context *ctx, ddtwin_folder *folder) {
    char *above = nearest_folder(folder->path);
    folder->staging = above == NULL ? NULL : ddtwin_join(ctx, above, ".ddtwin-XXXXXX");
    if (folder->staging == NULL) {
        ddt_free(above);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short.");
    }
    if (mkdtemp(folder->staging) == NULL) {
        ddt_status status =
            ddt_fail(ctx, errno == ENOSPC ? DDT_ERR_NO_SPACE : DDT_ERR_IO,
                     "Nothing can be written to %s, where %s is to go: %s.", above, folder->path, strerror(errno));
        ddt_free(folder->staging);
        folder->staging = NULL;
        ddt_free(above);
        return status;
    }
    ddt_free(above);
    folder->files = ddtwin_join(ctx, folder->staging, "out");
    if (folder->files == NULL) {
        return DDT_ERR_MEMORY;
    }
    if (mkdir(folder->files, S_IRWXU | S_IRWXG | S_IRWXO) != 0) {
        return ddt_fail(ctx, DDT_ERR_IO, "%s cannot be made: %s.", folder->files, strerror(errno));
    }
    return DDT_OK;
}

ddt_status ddtwin_folder_open(ddt_context *ctx, const char *path, ddtwin_folder *out) {
    *out = (ddtwin_folder){.path = ddt_strdup(path)};
    if (out->path == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short.");
    }
    strip_slashes(out->path);
    ddt_status status = check_target(ctx, out->path);
    if (status == DDT_OK) {
        status = make_staging(ctx, out);
    }
    if (status != DDT_OK) {
        ddtwin_folder_close(out);
    }
    return status;
}

/* Makes the folders above `path`, as far as they are missing. */
static ddt_status make_parents(ddt_context *ctx, const char *path) {
    char *copy = ddt_strdup(path);
    if (copy == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short.");
    }
    ddt_status status = DDT_OK;
    for (char *slash = strchr(copy + 1, '/'); status == DDT_OK && slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, S_IRWXU | S_IRWXG | S_IRWXO) != 0 && errno != EEXIST) {
            status = ddt_fail(ctx, DDT_ERR_IO, "The folder %s cannot be made: %s.", copy, strerror(errno));
        }
        *slash = '/';
    }
    ddt_free(copy);
    return status;
}

ddt_status ddtwin_folder_commit(ddt_context *ctx, const ddtwin_folder *folder) {
    char *old = ddtwin_join(ctx, folder->staging, "old");
    ddt_status status = old == NULL ? DDT_ERR_MEMORY : check_target(ctx, folder->path);
    if (status == DDT_OK) {
        status = make_parents(ctx, folder->path);
    }
    if (status == DDT_OK) {
        /* Earlier results step aside into the staging folder, and come back if ours cannot take their place. */
        const bool had_old = rename(folder->path, old) == 0;
        if (rename(folder->files, folder->path) != 0) {
            status = ddt_fail(ctx, DDT_ERR_IO, "The results cannot be put at %s: %s.", folder->path, strerror(errno));
            if (had_old && rename(old, folder->path) != 0) {
                status = DDT_ERR_IO;
            }
        }
    }
    ddt_free(old);
    return status;
}

/* A key file's bytes are overwritten before it goes; on file systems that write elsewhere this is no more than good
 * will. */
static void overwrite(const char *path, off_t bytes) {
    static const char zeros[4096];
    const int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return;
    }
    while (bytes > 0) {
        const size_t chunk = bytes < (off_t)sizeof zeros ? (size_t)bytes : sizeof zeros;
        const ssize_t written = write(fd, zeros, chunk);
        if (written <= 0) {
            break;
        }
        bytes -= written;
    }
    (void)fsync(fd);
    (void)close(fd);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *position) {
    const char *name = path + position->base;
    if (type == FTW_F && strcmp(name, "secret.ddt") == 0) {
        overwrite(path, info->st_size);
    }
    (void)remove(path);
    return 0;
}

void ddtwin_folder_close(ddtwin_folder *folder) {
    enum { OPEN_FOLDERS = 8 };
    if (folder->staging != NULL) {
        (void)nftw(folder->staging, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
    }
    ddt_free(folder->path);
    ddt_free(folder->staging);
    ddt_free(folder->files);
    *folder = (ddtwin_folder){0};
}
