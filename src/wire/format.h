/*
 * The bytes of a container, shared by the writer and the reader; docs/format.md is the specification.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_WIRE_FORMAT_H
#define DDT_WIRE_FORMAT_H

#include "ddt/wire.h"

#include <sodium.h>

enum {
    WIRE_MAGIC_BYTES = 8,
    WIRE_HEADER_DIGEST_BYTES = 16,
    WIRE_HEADER_BYTES = 32, /* magic, u32 version, u32 kind, header digest */
    WIRE_HEAD_BYTES = 16,   /* tag, u32 check, u64 length or, in the end record, count */
    WIRE_END_BYTES = 48,    /* head and chained digest */
    WIRE_TAG_BYTES = 4,
    WIRE_CHUNK_BYTES =
        1 << 20, /* what is hashed and moved at a time: large enough for the disk, small enough for the cache */
    /* Packed values go through in blocks of this many: a multiple of 64, so that every block but the last fills whole
       words. */
    WIRE_PACK_BLOCK = 4096
};

extern const uint8_t wire_magic[WIRE_MAGIC_BYTES];
/* The tag of the end record; no section may carry it. */
extern const char wire_end_tag[WIRE_TAG_BYTES];

/* The first 16 bytes of every version's file are magic, version and kind; the digest covers them. */
void wire_header_encode(uint32_t version, ddt_wire_kind kind, uint8_t header[WIRE_HEADER_BYTES]);

/* A head: its check binds tag, length and the section's place in the file, so that damage to a length is not taken for
 * truncation. */
void wire_head_encode(const char tag[WIRE_TAG_BYTES], uint64_t length, uint64_t index, uint8_t head[WIRE_HEAD_BYTES]);

/* Digest over a section: its payload, then its head. */
typedef crypto_generichash_state wire_hash;
void wire_hash_init(wire_hash *hash);
void wire_hash_update(wire_hash *hash, const void *data, size_t length);
void wire_hash_final(wire_hash *hash, ddt_digest *out);

/* True when all four characters are printable ASCII. */
bool wire_tag_valid(const char tag[WIRE_TAG_BYTES]);

/* Bytes of `count` packed values; false when bits is not in 1..64 or the size overflows. */
bool wire_packed_bytes(size_t count, unsigned bits, size_t *bytes);
/* Packs or unpacks `count` values, least significant bit first; the last byte is padded with zero bits. Packing returns
 * the OR of all values. */
uint64_t wire_pack(const uint64_t *values, size_t count, unsigned bits, uint8_t *bytes);
void wire_unpack(const uint8_t *bytes, size_t count, unsigned bits, uint64_t *values);

static inline void wire_store32(uint8_t *bytes, uint32_t value) {
    for (unsigned i = 0; i < sizeof value; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static inline void wire_store64(uint8_t *bytes, uint64_t value) {
    for (unsigned i = 0; i < sizeof value; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static inline uint32_t wire_load32(const uint8_t *bytes) {
    uint32_t value = 0;
    for (unsigned i = 0; i < sizeof value; i++) {
        value |= (uint32_t)bytes[i] << (8 * i);
    }
    return value;
}

static inline uint64_t wire_load64(const uint8_t *bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < sizeof value; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

#endif
