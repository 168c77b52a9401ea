/* Paths, vectors and wiped memory of the twin room. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

ddt_status twin_no_memory(ddt_context *ctx) {
    return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short; close other programs or use fewer subjects at once.");
}

void twin_wipe_free(void *block, size_t bytes) {
    if (block != NULL) {
        explicit_bzero(block, bytes);
        ddt_free(block);
    }
}

char *twin_path_join(const char *directory, const char *name) {
    const size_t room = strlen(directory) + strlen(name) + sizeof "/";
    char *path = ddt_alloc(room, 1);
    if (path != NULL) {
        (void)snprintf(path, room, "%s/%s", directory, name);
    }
    return path;
}

bool twin_path_exists(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
}

double **twin_vectors_create(size_t count, size_t lanes, size_t block) {
    size_t length = 0;
    if (!ddt_size_mul(lanes, block, &length)) {
        return NULL;
    }
    double **vectors = ddt_calloc(count, sizeof *vectors);
    for (size_t i = 0; vectors != NULL && i < count; i++) {
        vectors[i] = ddt_calloc(length, sizeof **vectors);
        if (vectors[i] == NULL) {
            twin_vectors_destroy(vectors, count, lanes, block);
            return NULL;
        }
    }
    return vectors;
}

void twin_vectors_destroy(double **vectors, size_t count, size_t lanes, size_t block) {
    for (size_t i = 0; vectors != NULL && i < count; i++) {
        twin_wipe_free(vectors[i], lanes * block * sizeof **vectors);
    }
    ddt_free(vectors);
}
