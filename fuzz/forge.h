/*
 * Containers whose digests are right, made from bytes where they are not: behind the digests lies what is worth
 * fuzzing. The corpora are ordinary files; a fuzzer changes them anywhere, and what its change broke in checks and
 * digests is mended before reading.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_FUZZ_FORGE_H
#define DDT_FUZZ_FORGE_H

#include "ddt/wire.h"

/* What every target defines: returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Walks `data` as a container, cuts lengths to what is there, and returns a copy of the given kind with matching
 * checks, digests and end record; *length is its size, the caller frees it with free(). NULL when memory is short.
 */
uint8_t *forge_repair(const uint8_t *data, size_t size, ddt_wire_kind kind, size_t *length);

/*
 * The bytes as a file of mode 0600 in a folder of this process's own, for readers that want a path; replaced by the
 * next call, removed at the end. number: 0 or 1, two files are kept apart.
 */
const char *forge_file(unsigned number, const uint8_t *data, size_t size);

/* A context of the process's own, without threads. */
ddt_context *forge_context(void);

#endif
