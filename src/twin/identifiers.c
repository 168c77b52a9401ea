/*
 * Whose twin it is: the subjects' identifiers do not travel in the plan. They go with the twin and come back with the
 * result, sealed for the owner of the secret key.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "twin_internal.h"

#include <string.h>

/* Lengths are rounded up, so that they tell little about the identifiers; there is as much room for reasons whether
 * somebody was left out or not. */
enum { PADDING = 256, REASON_BYTES = 512 };

/* Cuts a text where it is too long, not inside a character of UTF-8. */
static size_t reason_length(const char *reason) {
    const unsigned char leading_bits = 0xC0;
    const unsigned char continues = 0x80;
    size_t length = strlen(reason);
    if (length >= REASON_BYTES) {
        length = REASON_BYTES - 1;
        while (length > 0 && ((unsigned char)reason[length] & leading_bits) == continues) {
            length--;
        }
    }
    return length;
}

/* Appends `bytes` of a text and a zero byte; returns the end. */
static char *append(char *end, const char *text, size_t bytes) {
    if (bytes > 0) {
        memcpy(end, text, bytes);
    }
    return end + bytes + 1; /* the buffer began as zeros */
}

/* The note's text, each part with its zero byte: identifiers; where subjects may be left out, why each of them was,
 * empty for who is served; padding. NULL when memory is short. */
static char *join(const ddt_events *events, const ddt_left_out *left_out, size_t *length) {
    size_t used = left_out == NULL ? 0 : events->subject_count * REASON_BYTES;
    for (size_t s = 0; s < events->subject_count; s++) {
        used += strlen(events->subjects[s].id) + 1;
    }
    *length = (used + PADDING - 1) / PADDING * PADDING;
    char *text = ddt_calloc(*length, 1);
    char *end = text;
    for (size_t s = 0; text != NULL && s < events->subject_count; s++) {
        end = append(end, events->subjects[s].id, strlen(events->subjects[s].id));
    }
    for (size_t s = 0; text != NULL && left_out != NULL && s < events->subject_count; s++) {
        const char *reason = ddt_left_out_reason(left_out, s);
        end = append(end, reason, reason == NULL ? 0 : reason_length(reason));
    }
    return text;
}

ddt_status twin_identifiers_write(ddt_context *ctx, const ddt_events *events, const ddt_left_out *left_out,
                                  const ddt_secret_key *secret, const ddt_digest *plan, ddt_writer *writer) {
    if (secret == NULL) {
        return ddt_writer_note(writer, (const uint8_t *)"", 0);
    }
    size_t length = 0;
    char *text = join(events, left_out, &length);
    uint8_t *sealed = ddt_alloc(length + DDT_NOTE_EXTRA_BYTES, 1);
    ddt_status status = DDT_OK;
    if (text == NULL || sealed == NULL) {
        status = twin_no_memory(ctx);
    } else if (length + DDT_NOTE_EXTRA_BYTES > DDT_WIRE_NOTE_MAX) {
        status =
            ddt_fail(ctx, DDT_ERR_CAPACITY, "The subjects' identifiers take more than %d bytes.", DDT_WIRE_NOTE_MAX);
    } else {
        status = ddt_note_seal(ctx, secret, plan, text, length, sealed);
    }
    if (status == DDT_OK) {
        status = ddt_writer_note(writer, sealed, length + DDT_NOTE_EXTRA_BYTES);
    }
    twin_wipe_free(text, length);
    ddt_free(sealed);
    return status;
}

/* Cuts the text into one identifier for each subject of the profile. *position: behind the last. */
static ddt_status split(ddt_context *ctx, const char *text, size_t length, const char *path, ddt_profile *profile,
                        size_t *position) {
    for (size_t s = 0; s < profile->subject_count; s++) {
        const char *end = *position < length ? memchr(text + *position, '\0', length - *position) : NULL;
        if (end == NULL || end == text + *position) {
            return ddt_fail(ctx, DDT_ERR_FORMAT, "%s does not name each of its %zu subjects.", path,
                            profile->subject_count);
        }
        char *id = ddt_strdup(text + *position);
        if (id == NULL) {
            return twin_no_memory(ctx);
        }
        ddt_free(profile->subject_ids[s]);
        profile->subject_ids[s] = id;
        *position = (size_t)(end - text) + 1;
    }
    return DDT_OK;
}

/* What follows the identifiers: why each subject was left out. Notes of plans that leave nobody out have zero bytes
 * there, or end. */
static ddt_status leave_out(ddt_context *ctx, const char *text, size_t length, size_t position, ddt_profile *profile) {
    ddt_left_out left_out = {0};
    ddt_status status = DDT_OK;
    for (size_t s = 0; s < profile->subject_count && position < length && status == DDT_OK; s++) {
        const char *end = memchr(text + position, '\0', length - position);
        if (end == NULL) {
            break;
        }
        if (end != text + position) {
            status = ddt_left_out_add(ctx, &left_out, s, profile->subject_ids[s], text + position);
        }
        position = (size_t)(end - text) + 1;
    }
    if (status == DDT_OK) {
        twin_profile_leave_out(profile, &left_out);
    }
    ddt_left_out_destroy(&left_out);
    return status;
}

ddt_status twin_identifiers_apply(ddt_context *ctx, const ddt_secret_key *secret, const ddt_digest *plan,
                                  const uint8_t *note, size_t note_length, const char *path, ddt_profile *profile) {
    if (note_length == 0) {
        return DDT_OK; /* encrypted with the public key: the subjects keep their numbers */
    }
    const size_t length = note_length > DDT_NOTE_EXTRA_BYTES ? note_length - DDT_NOTE_EXTRA_BYTES : 0;
    char *text = ddt_calloc(length, 1);
    if (text == NULL) {
        return twin_no_memory(ctx);
    }
    ddt_status status = ddt_note_open(ctx, secret, plan, note, note_length, text);
    if (status == DDT_OK) {
        size_t position = 0;
        status = split(ctx, text, length, path, profile, &position);
        status = status == DDT_OK ? leave_out(ctx, text, length, position, profile) : status;
    }
    twin_wipe_free(text, length);
    return status;
}
