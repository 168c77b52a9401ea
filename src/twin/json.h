/* JSON as this room writes it. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_TWIN_JSON_H
#define DDT_TWIN_JSON_H

#include <jansson.h>
#include <math.h>

/* JSON has no infinity: a number that is not finite becomes null. */
static inline json_t *twin_json_number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static inline json_t *twin_json_string(const char *text) { return text == NULL ? json_null() : json_string(text); }

/* The object takes the value over. */
static inline void twin_json_add(json_t *object, const char *key, json_t *value) {
    (void)json_object_set_new(object, key, value);
}

#endif
