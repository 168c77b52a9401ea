/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include <string.h>

/* A byte above 127 and both line endings: a transfer as text changes the signature, and the reader can say so. */
const uint8_t wire_magic[WIRE_MAGIC_BYTES] = {0x89, 'D', 'D', 'T', '\r', '\n', 0x1a, '\n'};
const char wire_end_tag[WIRE_TAG_BYTES] = {'E', 'N', 'D', ' '};

enum { WORD_BITS = 64, WORD_BYTES = 8 };

const char *ddt_wire_kind_name(ddt_wire_kind kind) {
    switch (kind) {
    case DDT_WIRE_PLAN:
        return "plan";
    case DDT_WIRE_SECRET_KEY:
        return "secret key";
    case DDT_WIRE_PUBLIC_KEY:
        return "public key";
    case DDT_WIRE_EVAL_KEYS:
        return "evaluation keys";
    case DDT_WIRE_TWIN:
        return "encrypted twin";
    case DDT_WIRE_RESULT:
        return "encrypted result";
    case DDT_WIRE_PHYSICIAN_KEY:
        return "physician's secret key";
    case DDT_WIRE_PHYSICIAN_PUBLIC:
        return "physician's public key";
    case DDT_WIRE_GRANT:
        return "granted recommendation";
    case DDT_WIRE_UPDATE:
        return "update of a living twin";
    case DDT_WIRE_LIFE:
        return "living twin";
    }
    return "unknown";
}

bool ddt_wire_kind_is_secret(ddt_wire_kind kind) {
    return kind == DDT_WIRE_SECRET_KEY || kind == DDT_WIRE_PHYSICIAN_KEY;
}

bool ddt_digest_equal(const ddt_digest *a, const ddt_digest *b) {
    return sodium_memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

void ddt_digest_of(const void *data, size_t length, ddt_digest *out) {
    (void)crypto_generichash(out->bytes, sizeof out->bytes, data, length, NULL, 0);
}

void wire_hash_init(wire_hash *hash) { (void)crypto_generichash_init(hash, NULL, 0, DDT_WIRE_DIGEST_BYTES); }

void wire_hash_update(wire_hash *hash, const void *data, size_t length) {
    (void)crypto_generichash_update(hash, data, length);
}

void wire_hash_final(wire_hash *hash, ddt_digest *out) {
    (void)crypto_generichash_final(hash, out->bytes, sizeof out->bytes);
}

void wire_header_encode(uint32_t version, ddt_wire_kind kind, uint8_t header[WIRE_HEADER_BYTES]) {
    const size_t covered = WIRE_HEADER_BYTES - WIRE_HEADER_DIGEST_BYTES;
    ddt_digest digest;
    memcpy(header, wire_magic, WIRE_MAGIC_BYTES);
    wire_store32(header + WIRE_MAGIC_BYTES, version);
    wire_store32(header + WIRE_MAGIC_BYTES + sizeof version, (uint32_t)kind);
    ddt_digest_of(header, covered, &digest);
    memcpy(header + covered, digest.bytes, WIRE_HEADER_DIGEST_BYTES);
}

void wire_head_encode(const char tag[WIRE_TAG_BYTES], uint64_t length, uint64_t index, uint8_t head[WIRE_HEAD_BYTES]) {
    uint8_t covered[WIRE_TAG_BYTES + 2 * sizeof(uint64_t)];
    ddt_digest digest;
    memcpy(covered, tag, WIRE_TAG_BYTES);
    wire_store64(covered + WIRE_TAG_BYTES, length);
    wire_store64(covered + WIRE_TAG_BYTES + sizeof length, index);
    ddt_digest_of(covered, sizeof covered, &digest);
    memcpy(head, tag, WIRE_TAG_BYTES);
    memcpy(head + WIRE_TAG_BYTES, digest.bytes, sizeof(uint32_t));
    wire_store64(head + WIRE_TAG_BYTES + sizeof(uint32_t), length);
}

bool wire_tag_valid(const char tag[WIRE_TAG_BYTES]) {
    for (size_t i = 0; i < WIRE_TAG_BYTES; i++) {
        if (tag[i] < ' ' || tag[i] > '~') {
            return false;
        }
    }
    return true;
}

bool wire_packed_bytes(size_t count, unsigned bits, size_t *bytes) {
    if (bits < 1 || bits > WORD_BITS) {
        return false;
    }
    /* count = 8 q + r: q groups of `bits` bytes, then r values; no product larger than the result. */
    size_t groups = 0;
    size_t rest = (count % 8 * bits + 7) / 8;
    return ddt_size_mul(count / 8, bits, &groups) && ddt_size_add(groups, rest, bytes);
}

uint64_t wire_pack(const uint64_t *values, size_t count, unsigned bits, uint8_t *bytes) {
    uint64_t word = 0;
    uint64_t any = 0;
    unsigned fill = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t value = values[i];
        any |= value;
        word |= value << fill;
        fill += bits;
        if (fill >= WORD_BITS) {
            wire_store64(bytes, word);
            bytes += WORD_BYTES;
            fill -= WORD_BITS;
            /* What did not fit; two shifts, since a shift by 64 is undefined. */
            word = (value >> 1) >> (bits - fill - 1);
        }
    }
    for (; fill > 0; fill = fill > 8 ? fill - 8 : 0) {
        *bytes++ = (uint8_t)word;
        word >>= 8;
    }
    return any;
}

/* The last few values, which a whole word read at their place could overrun. */
static uint64_t unpack_tail(const uint8_t *bytes, size_t length, size_t index, unsigned bits) {
    uint64_t value = 0;
    for (unsigned done = 0; done < bits;) {
        size_t position = index * bits + done;
        unsigned offset = (unsigned)(position % 8);
        unsigned taken = bits - done < 8 - offset ? bits - done : 8 - offset;
        uint64_t byte = position / 8 < length ? bytes[position / 8] : 0;
        value |= (byte >> offset & ((1U << taken) - 1)) << done;
        done += taken;
    }
    return value;
}

void wire_unpack(const uint8_t *bytes, size_t count, unsigned bits, uint64_t *values) {
    size_t length = 0;
    if (!wire_packed_bytes(count, bits, &length)) {
        return;
    }
    const uint64_t mask = UINT64_MAX >> (WORD_BITS - bits);
    size_t whole_words = length / WORD_BYTES;
    uint64_t word = 0;
    unsigned left = 0; /* unread bits of word */
    size_t next = 0;   /* word to read next */
    size_t i = 0;
    for (; i < count; i++) {
        uint64_t value = word;
        if (left < bits) {
            if (next == whole_words) {
                break;
            }
            word = wire_load64(bytes + WORD_BYTES * next++);
            value |= word << left;
            unsigned used = bits - left;
            word = (word >> 1) >> (used - 1);
            left = WORD_BITS - used;
        } else {
            word = (word >> 1) >> (bits - 1);
            left -= bits;
        }
        values[i] = value & mask;
    }
    for (; i < count; i++) {
        values[i] = unpack_tail(bytes, length, i, bits);
    }
}
