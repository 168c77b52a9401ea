/*
 * Runs a fuzz target over the files of some folders: the driver of the ordinary tests, where no fuzzer is at hand. Each
 * file is also replayed cut to some lengths and with some bytes changed, always the same ones. An empty or missing
 * folder fails.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "forge.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, FILE_MAX_BYTES = 1 << 22, VARIANTS = 16 };

/* An exact copy, so that a sanitizer sees the first byte read past it. */
static void run_copy(const uint8_t *bytes, size_t length, size_t changed, uint8_t change) {
    uint8_t *copy = malloc(length == 0 ? 1 : length);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, bytes, length);
    if (changed < length) {
        copy[changed] ^= change;
    }
    (void)LLVMFuzzerTestOneInput(copy, length);
    free(copy);
}

static bool replay(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(FILE_MAX_BYTES);
    if (file == NULL || bytes == NULL) {
        (void)fprintf(stderr, "Cannot read '%s'.\n", path);
        return false;
    }
    size_t length = fread(bytes, 1, FILE_MAX_BYTES, file);
    (void)fclose(file);
    run_copy(bytes, length, length, 0);
    for (size_t i = 1; i <= VARIANTS && length > 0; i++) {
        /* Places spread by a multiplicative hash. */
        size_t place = (size_t)(i * 0x9E3779B97F4A7C15U >> 20) % length;
        run_copy(bytes, place, place, 0);
        run_copy(bytes, length, place, (uint8_t)(1U << (i % 8)));
        run_copy(bytes, length, place, 0xFF);
    }
    free(bytes);
    return true;
}

/* Every file of the folder; false, with a sentence, where there is none or one cannot be read. */
static bool replay_folder(const char *name) {
    char path[PATH_BYTES];
    size_t files = 0;
    bool read = true;
    DIR *folder = opendir(name);
    if (folder == NULL) {
        (void)fprintf(stderr, "Cannot open the folder '%s'.\n", name);
        return false;
    }
    for (struct dirent *entry = readdir(folder); entry != NULL && read; entry = readdir(folder)) {
        int written = snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
        if (entry->d_name[0] == '.' || written < 0 || (size_t)written >= sizeof path) {
            continue;
        }
        read = replay(path);
        files++;
    }
    (void)closedir(folder);
    (void)printf("%zu files of %s replayed\n", files, name);
    return read && files > 0;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s CORPUS-FOLDER...\n", argv[0]);
        return EXIT_FAILURE;
    }
    for (int i = 1; i < argc; i++) {
        if (!replay_folder(argv[i])) {
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}
