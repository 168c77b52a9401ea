/* Units. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/pharma/units.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16, EXPONENT_MAX = 30, TEXT_SHOWN = 64 };

typedef struct atom {
    const char *name;
    ddt_unit unit;
    bool takes_prefix;
} atom;

/* clang-format off */
#define MASS {[DDT_DIMENSION_MASS] = 1}
#define SUBSTANCE {[DDT_DIMENSION_SUBSTANCE] = 1}
#define LENGTH {[DDT_DIMENSION_LENGTH] = 1}
#define VOLUME {[DDT_DIMENSION_LENGTH] = 3}
#define TIME {[DDT_DIMENSION_TIME] = 1}
#define ACTIVITY {[DDT_DIMENSION_ACTIVITY] = 1}
#define POTENTIAL {[DDT_DIMENSION_POTENTIAL] = 1}
#define NOTHING {0}
/* clang-format on */

/* Longer names first where one begins with another. A month and a year are UCUM's: 30.4375 and 365.25 days. */
static const atom atoms[] = {
    {"[IU]", {1, ACTIVITY}, true},     {"[iU]", {1, ACTIVITY}, true},   {"month", {2629800, TIME}, false},
    {"year", {31557600, TIME}, false}, {"week", {604800, TIME}, false}, {"day", {86400, TIME}, false},
    {"mol", {1, SUBSTANCE}, true},     {"min", {60, TIME}, false},      {"wk", {604800, TIME}, false},
    {"mo", {2629800, TIME}, false},    {"g", {1, MASS}, true},          {"L", {1e-3, VOLUME}, true},
    {"l", {1e-3, VOLUME}, true},       {"m", {1, LENGTH}, true},        {"s", {1, TIME}, true},
    {"V", {1, POTENTIAL}, true},       {"h", {3600, TIME}, false},      {"d", {86400, TIME}, false},
    {"a", {31557600, TIME}, false},    {"%", {1e-2, NOTHING}, false},
};

static const struct prefix {
    char letter;
    double factor;
} prefixes[] = {{'f', 1e-15}, {'p', 1e-12}, {'n', 1e-9}, {'u', 1e-6}, {'m', 1e-3},
                {'c', 1e-2},  {'d', 1e-1},  {'k', 1e3},  {'M', 1e6}};

/* What people write instead. */
static const struct slip {
    const char *wrong, *right;
} slips[] = {{"mcg", "ug"},   {"hrs", "h"},   {"hr", "h"},    {"hours", "h"}, {"hour", "h"},
             {"cc", "mL"},    {"IU", "[IU]"}, {"iu", "[IU]"}, {"days", "d"},  {"years", "a"},
             {"mins", "min"}, {"gm", "g"},    {"kgs", "kg"}};

typedef struct reader {
    ddt_context *ctx;
    const char *text; /* the whole of it, for messages */
    const char *at;
    unsigned depth;
} reader;

static ddt_status fail(const reader *r, const char *why) {
    return ddt_fail(r->ctx, DDT_ERR_DATA, "'%.*s' is not a unit that is known here: %s.", TEXT_SHOWN, r->text, why);
}

/* unit *= other^exponent */
static void multiply(ddt_unit *unit, const ddt_unit *other, int exponent) {
    unit->factor *= pow(other->factor, exponent);
    for (size_t i = 0; i < DDT_DIMENSION_COUNT; i++) {
        unit->power[i] += exponent * other->power[i];
    }
}

static bool name_matches(const char *name, const char *text, size_t length) {
    return strlen(name) == length && memcmp(name, text, length) == 0;
}

static bool find_atom(const char *text, size_t length, ddt_unit *out) {
    for (size_t i = 0; i < sizeof atoms / sizeof *atoms; i++) {
        if (name_matches(atoms[i].name, text, length)) {
            *out = atoms[i].unit;
            return true;
        }
    }
    for (size_t p = 0; length > 1 && p < sizeof prefixes / sizeof *prefixes; p++) {
        for (size_t i = 0; text[0] == prefixes[p].letter && i < sizeof atoms / sizeof *atoms; i++) {
            if (atoms[i].takes_prefix && name_matches(atoms[i].name, text + 1, length - 1)) {
                *out = atoms[i].unit;
                out->factor *= prefixes[p].factor;
                return true;
            }
        }
    }
    return false;
}

static ddt_status fail_name(const reader *r, const char *name, size_t length) {
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        if (name_matches(slips[i].wrong, name, length)) {
            return ddt_fail(r->ctx, DDT_ERR_DATA, "'%.*s' is not a unit that is known here: write %s for %s (UCUM).",
                            TEXT_SHOWN, r->text, slips[i].right, slips[i].wrong);
        }
    }
    const int shown = length < TEXT_SHOWN ? (int)length : TEXT_SHOWN;
    return ddt_fail(r->ctx, DDT_ERR_DATA,
                    "'%.*s' is not a unit that is known here: '%.*s' means nothing in UCUM's units of drugs.",
                    TEXT_SHOWN, r->text, shown, name);
}

/* A whole number behind a unit (m2, m^2, 10*9), 1 where there is none. */
static ddt_status read_exponent(reader *r, int *out) {
    *out = 1;
    const char *digits = *r->at == '^' ? r->at + 1 : r->at;
    const char *first = *digits == '-' || *digits == '+' ? digits + 1 : digits;
    if (!isdigit((unsigned char)*first)) {
        return r->at == digits ? DDT_OK : fail(r, "a number is missing behind ^");
    }
    char *end = NULL;
    const long value = strtol(digits, &end, 10);
    if (value < -EXPONENT_MAX || value > EXPONENT_MAX) {
        return fail(r, "an exponent is too large");
    }
    *out = (int)value;
    r->at = end;
    return DDT_OK;
}

/* 10*9, 10^9 or a plain number. */
static ddt_status read_number(reader *r, ddt_unit *out) {
    *out = (ddt_unit){.factor = 1};
    const bool is_power = strncmp(r->at, "10*", 3) == 0 || strncmp(r->at, "10^", 3) == 0;
    if (is_power) {
        int exponent = 0;
        r->at += 3;
        const ddt_status status = read_exponent(r, &exponent);
        out->factor = pow(10, exponent);
        return status;
    }
    char *end = NULL;
    out->factor = strtod(r->at, &end);
    r->at = end;
    return out->factor > 0 && isfinite(out->factor) ? DDT_OK : fail(r, "its number is not positive");
}

static ddt_status read_atom(reader *r, ddt_unit *out) {
    static const char micro_sign[] = "\xC2\xB5";
    static const char greek_mu[] = "\xCE\xBC";
    char name[TEXT_SHOWN];
    size_t length = 0;
    if (strncmp(r->at, micro_sign, 2) == 0 || strncmp(r->at, greek_mu, 2) == 0) {
        name[length++] = 'u';
        r->at += 2;
    }
    while (length < sizeof name - 1 && (isalpha((unsigned char)*r->at) || strchr("[]%", *r->at) != NULL) &&
           *r->at != '\0') {
        name[length++] = *r->at++;
    }
    if (length == 0) {
        return fail(r, *r->at == '\0' ? "a part of it is missing" : "it has a character that does not belong there");
    }
    return find_atom(name, length, out) ? DDT_OK : fail_name(r, name, length);
}

static ddt_status read_product(reader *r, ddt_unit *out);

static ddt_status read_component(reader *r, ddt_unit *out) {
    ddt_status status = DDT_OK;
    if (*r->at == '(') {
        r->at++;
        status = ++r->depth > DEPTH_MAX ? fail(r, "its brackets nest too deep") : read_product(r, out);
        if (status == DDT_OK && *r->at != ')') {
            status = fail(r, "a closing bracket is missing");
        }
        r->at += status == DDT_OK;
        r->depth--;
    } else if (isdigit((unsigned char)*r->at)) {
        status = read_number(r, out);
    } else if (*r->at == '{') {
        *out = (ddt_unit){.factor = 1};
    } else {
        int exponent = 1;
        ddt_unit unit = {0};
        status = read_atom(r, &unit);
        if (status == DDT_OK) {
            status = read_exponent(r, &exponent);
        }
        *out = (ddt_unit){.factor = 1};
        multiply(out, &unit, exponent);
    }
    if (status == DDT_OK && *r->at == '{') {
        const char *end = strchr(r->at, '}');
        status = end == NULL ? fail(r, "a brace is not closed") : DDT_OK;
        r->at = end == NULL ? r->at : end + 1;
    }
    return status;
}

static ddt_status read_product(reader *r, ddt_unit *out) {
    *out = (ddt_unit){.factor = 1};
    int sign = 1;
    if (*r->at == '/') {
        sign = -1;
        r->at++;
    }
    for (;;) {
        ddt_unit unit = {0};
        const ddt_status status = read_component(r, &unit);
        if (status != DDT_OK) {
            return status;
        }
        multiply(out, &unit, sign);
        if (*r->at != '/' && *r->at != '.' && *r->at != '*') {
            return DDT_OK;
        }
        sign = *r->at++ == '/' ? -1 : 1;
    }
}

ddt_status ddt_unit_parse(ddt_context *ctx, const char *text, ddt_unit *out) {
    reader r = {.ctx = ctx, .text = text, .at = text};
    ddt_status status = read_product(&r, out);
    if (status == DDT_OK && *r.at != '\0') {
        status = fail(&r, "it has a character that does not belong there");
    }
    if (status == DDT_OK && !(out->factor > 0 && isfinite(out->factor))) {
        status = fail(&r, "its size is out of bounds");
    }
    if (status != DDT_OK) {
        *out = (ddt_unit){0};
    }
    return status;
}

bool ddt_unit_same_kind(const ddt_unit *a, const ddt_unit *b) {
    return memcmp(a->power, b->power, sizeof a->power) == 0;
}

ddt_status ddt_unit_factor(ddt_context *ctx, const char *from, const char *to, double *factor) {
    ddt_unit a = {0};
    ddt_unit b = {0};
    ddt_status status = ddt_unit_parse(ctx, from, &a);
    if (status == DDT_OK) {
        status = ddt_unit_parse(ctx, to, &b);
    }
    if (status == DDT_OK && !ddt_unit_same_kind(&a, &b)) {
        status = ddt_fail(ctx, DDT_ERR_DATA, "'%.*s' cannot be given in '%.*s': they measure different things.",
                          TEXT_SHOWN, from, TEXT_SHOWN, to);
    }
    *factor = status == DDT_OK ? a.factor / b.factor : 0;
    return status;
}
