/*
 * cli_find_values FILE WORD...: whether any of the words stands in the file: as text, and where it is a number as 8
 * bytes of a double or of an integer, in either order of bytes. Exit code 0 and a line for each one found; 1: none.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 64, PATTERNS_OF_A_WORD = 4, PATTERN_MAX = 64, CHUNK = 1 << 20 };

typedef struct pattern {
    uint8_t bytes[PATTERN_MAX];
    size_t length;
    const char *word;
    bool found;
} pattern;

static pattern patterns[WORDS_MAX * PATTERNS_OF_A_WORD];
static size_t pattern_count;

static void add(const char *word, const void *bytes, size_t length) {
    pattern *p = &patterns[pattern_count++];
    *p = (pattern){.word = word, .length = length};
    memcpy(p->bytes, bytes, length);
}

static void add_both_ways(const char *word, const void *bytes) {
    uint8_t turned[sizeof(double)];
    for (size_t i = 0; i < sizeof turned; i++) {
        turned[i] = ((const uint8_t *)bytes)[sizeof turned - 1 - i];
    }
    add(word, bytes, sizeof turned);
    add(word, turned, sizeof turned);
}

static void add_word(const char *word) {
    char *end = NULL;
    const double value = strtod(word, &end);
    add(word, word, strlen(word));
    if (*end == '\0' && end != word) {
        add_both_ways(word, &value);
    }
}

/* Chunks overlap by the longest pattern. */
static void search(FILE *file) {
    static uint8_t buffer[PATTERN_MAX + CHUNK];
    size_t kept = 0;
    size_t got = 0;
    while ((got = fread(buffer + kept, 1, CHUNK, file)) > 0) {
        const size_t length = kept + got;
        for (size_t i = 0; i < pattern_count; i++) {
            patterns[i].found |= memmem(buffer, length, patterns[i].bytes, patterns[i].length) != NULL;
        }
        kept = length < PATTERN_MAX ? length : PATTERN_MAX;
        memmove(buffer, buffer + length - kept, kept);
    }
}

int main(int argc, char **argv) {
    enum { FAILED = 2 };
    bool any = false;
    FILE *file = argc > 2 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL || argc - 2 > WORDS_MAX) {
        (void)fprintf(stderr, "usage: cli_find_values FILE WORD...\n");
        return FAILED;
    }
    for (int i = 2; i < argc; i++) {
        if (strlen(argv[i]) > PATTERN_MAX) {
            return FAILED;
        }
        add_word(argv[i]);
    }
    search(file);
    (void)fclose(file);
    for (size_t i = 0; i < pattern_count; i++) {
        if (patterns[i].found) {
            (void)printf("%s holds %s\n", argv[1], patterns[i].word);
            any = true;
        }
    }
    return any ? 0 : 1;
}
