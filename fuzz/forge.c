/* SPDX-License-Identifier: Apache-2.0 */
#include "forge.h"

#include "format.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ddt_context *forge_context(void) {
    static ddt_context *ctx = NULL;
    if (ctx == NULL) {
        if (ddt_context_create(&ctx) != DDT_OK) {
            abort();
        }
        ddt_context_set_threads(ctx, 1);
    }
    ddt_context_clear(ctx);
    return ctx;
}

static char folder[] = "/tmp/ddt_fuzz_XXXXXX";
static char paths[2][sizeof folder + 2];

static void remove_files(void) {
    (void)unlink(paths[0]);
    (void)unlink(paths[1]);
    (void)rmdir(folder);
}

const char *forge_file(unsigned number, const uint8_t *data, size_t size) {
    if (paths[0][0] == '\0') {
        if (mkdtemp(folder) == NULL || atexit(remove_files) != 0) {
            abort();
        }
        for (unsigned i = 0; i < 2; i++) {
            (void)snprintf(paths[i], sizeof paths[i], "%s/%u", folder, i);
        }
    }
    const int file = open(paths[number], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (file < 0 || write(file, data, size) != (ssize_t)size || close(file) != 0) {
        abort();
    }
    return paths[number];
}

uint8_t *forge_repair(const uint8_t *data, size_t size, ddt_wire_kind kind, size_t *length) {
    /* Every section of the copy stands for at least a head of the original, and grows it by at most one digest. */
    size_t sections_max = size / WIRE_HEAD_BYTES + 1;
    uint8_t *file = malloc(WIRE_HEADER_BYTES + size + sections_max * DDT_WIRE_DIGEST_BYTES + WIRE_END_BYTES);
    if (file == NULL) {
        return NULL;
    }
    wire_hash chain;
    ddt_digest digest;
    uint8_t *out = file;
    uint64_t sections = 0;
    size_t at = WIRE_HEADER_BYTES;
    wire_header_encode(DDT_WIRE_VERSION, kind, out);
    wire_hash_init(&chain);
    wire_hash_update(&chain, out, WIRE_HEADER_BYTES);
    out += WIRE_HEADER_BYTES;
    while (at < size && size - at >= WIRE_HEAD_BYTES && memcmp(data + at, wire_end_tag, WIRE_TAG_BYTES) != 0) {
        wire_hash hash;
        const char *tag = (const char *)data + at;
        uint64_t wanted = wire_load64(data + at + WIRE_HEAD_BYTES - sizeof wanted);
        at += WIRE_HEAD_BYTES;
        size_t payload = wanted < size - at ? (size_t)wanted : size - at;
        wire_head_encode(tag, payload, sections++, out);
        wire_hash_init(&hash);
        wire_hash_update(&hash, data + at, payload);
        wire_hash_update(&hash, out, WIRE_HEAD_BYTES);
        memcpy(out + WIRE_HEAD_BYTES, data + at, payload);
        wire_hash_final(&hash, &digest);
        out += WIRE_HEAD_BYTES + payload;
        memcpy(out, digest.bytes, sizeof digest.bytes);
        wire_hash_update(&chain, digest.bytes, sizeof digest.bytes);
        out += sizeof digest.bytes;
        at += payload;
        at += size - at < sizeof digest.bytes ? size - at : sizeof digest.bytes;
    }
    wire_head_encode(wire_end_tag, sections, sections, out);
    wire_hash_update(&chain, out, WIRE_HEAD_BYTES);
    wire_hash_final(&chain, &digest);
    memcpy(out + WIRE_HEAD_BYTES, digest.bytes, sizeof digest.bytes);
    *length = (size_t)(out - file) + WIRE_END_BYTES;
    return file;
}
