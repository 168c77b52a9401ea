/*
 * How each symbol is encrypted. A symbol may be encrypted more than once: as its value, mapped to [-1, 1], and, for the
 * exponentials in which it takes part, as its value or logarithm in a unit in which all its coefficients are small
 * integers. Then the exponents are sums that cost no level.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    UNIT_PARTS_MAX = 4,  /* the smallest coefficient is 1 to 4 units */
    MULTIPLIER_MAX = 16, /* and the largest 16 */
    STRETCH_MAX = 4
};

static double symbol_mid(const solve_work *work, uint32_t symbol, bool is_log) {
    const solve_symbol *s = &work->symbols[symbol];
    return is_log ? 0.5 * (log(s->low) + log(s->high)) : 0.5 * (s->low + s->high);
}

static double symbol_half(const solve_work *work, uint32_t symbol, bool is_log) {
    const solve_symbol *s = &work->symbols[symbol];
    return is_log ? 0.5 * (log(s->high) - log(s->low)) : 0.5 * (s->high - s->low);
}

static ddt_status add_encoding(solve_work *work, solve_encoding encoding, uint32_t *index) {
    if (work->encoding_count == work->encoding_capacity) {
        size_t capacity = work->encoding_capacity == 0 ? 16 : 2 * work->encoding_capacity;
        solve_encoding *grown = solve_alloc(work, capacity, sizeof *grown);
        if (grown == NULL) {
            return DDT_ERR_MEMORY;
        }
        if (work->encoding_count > 0) {
            memcpy(grown, work->encodings, work->encoding_count * sizeof *grown);
        }
        work->encodings = grown;
        work->encoding_capacity = capacity;
    }
    encoding.node = DDT_NODE_NONE;
    *index = (uint32_t)work->encoding_count;
    work->encodings[work->encoding_count++] = encoding;
    return DDT_OK;
}

uint32_t solve_encoding_whole(const solve_work *work, uint32_t symbol, bool is_log) {
    double half = symbol_half(work, symbol, is_log);
    for (uint32_t i = 0; i < work->encoding_count; i++) {
        const solve_encoding *e = &work->encodings[i];
        if (e->symbol == symbol && e->is_log == is_log && fabs(e->half - half) <= 1e-12 * half) {
            return i;
        }
    }
    return SOLVE_NONE;
}

/* ------------------------------------------------------------------ exponentials */

static int compare_exponents(const void *left, const void *right) {
    const solve_exponent *a = left;
    const solve_exponent *b = right;
    if (a->symbol != b->symbol) {
        return a->symbol < b->symbol ? -1 : 1;
    }
    return (int)a->is_log - (int)b->is_log;
}

static bool same_exponents(const solve_group *group, const solve_term *term) {
    if (group->count != term->exponent_count) {
        return false;
    }
    for (size_t i = 0; i < group->count; i++) {
        const solve_exponent *a = &group->exponents[i];
        const solve_exponent *b = &term->exponents[i];
        const double rounding = 1e-13;
        if (a->symbol != b->symbol || a->is_log != b->is_log ||
            fabs(a->coefficient - b->coefficient) > rounding * fabs(a->coefficient)) {
            return false;
        }
    }
    return true;
}

static ddt_status add_group(solve_work *work, const solve_term *term, uint32_t *index) {
    if (work->group_count == work->group_capacity) {
        size_t capacity = work->group_capacity == 0 ? 16 : 2 * work->group_capacity;
        solve_group *grown = solve_alloc(work, capacity, sizeof *grown);
        if (grown == NULL) {
            return DDT_ERR_MEMORY;
        }
        if (work->group_count > 0) {
            memcpy(grown, work->groups, work->group_count * sizeof *grown);
        }
        work->groups = grown;
        work->group_capacity = capacity;
    }
    solve_group *group = &work->groups[work->group_count];
    *group = (solve_group){.count = term->exponent_count, .stretch = 1, .node = DDT_NODE_NONE};
    for (size_t i = 0; i < term->exponent_count; i++) {
        const solve_exponent *x = &term->exponents[i];
        group->exponents[i] = *x;
        group->parts[i].encoding = SOLVE_NONE;
        if (work->symbols[x->symbol].is_state) { /* its range changes from iterate to iterate */
            group->has_state = true;
            continue;
        }
        group->centre += x->coefficient * symbol_mid(work, x->symbol, x->is_log);
        /* What is public is no part of the polynomial's argument; some reach is needed where all is. */
        const double known_part = 1e-3;
        double half = symbol_half(work, x->symbol, x->is_log);
        group->reach += fabs(x->coefficient) * (work->symbols[x->symbol].is_known ? known_part * half : half);
    }
    *index = (uint32_t)work->group_count++;
    return DDT_OK;
}

static ddt_status place_term(solve_work *work, solve_term *term) {
    term->group = SOLVE_NONE;
    if (term->exponent_count == 0) {
        return DDT_OK;
    }
    qsort(term->exponents, term->exponent_count, sizeof *term->exponents, compare_exponents);
    for (uint32_t g = 0; g < work->group_count; g++) {
        if (same_exponents(&work->groups[g], term)) {
            term->group = g;
            return DDT_OK;
        }
    }
    return add_group(work, term, &term->group);
}

/* ------------------------------------------------------------------ units */

/* The multiplier of a coefficient in a unit, 0 when it is not a small integer. */
static int multiplier_of(double coefficient, double unit) {
    const double rounding = 1e-9;
    double ratio = coefficient / unit;
    double nearest = round(ratio);
    return fabs(nearest) <= MULTIPLIER_MAX && fabs(ratio - nearest) <= rounding * fabs(ratio) ? (int)nearest : 0;
}

/* The part of a group that is this symbol and has no encoding yet, or NULL. */
static const solve_exponent *open_part(const solve_group *group, const solve_exponent *like, size_t *part) {
    for (size_t i = 0; i < group->count; i++) {
        if (group->exponents[i].symbol == like->symbol && group->exponents[i].is_log == like->is_log &&
            group->parts[i].encoding == SOLVE_NONE) {
            *part = i;
            return &group->exponents[i];
        }
    }
    return NULL;
}

/* The unit that suits most of the coefficients of a symbol, with the smallest of them 1 to 4 units. */
static double choose_unit(const solve_work *work, const solve_exponent *like) {
    double smallest = INFINITY;
    size_t part = 0;
    for (size_t g = 0; g < work->group_count; g++) {
        const solve_exponent *x = open_part(&work->groups[g], like, &part);
        smallest = x != NULL ? fmin(smallest, fabs(x->coefficient)) : smallest;
    }
    double best = smallest;
    size_t best_count = 0;
    for (int parts = 1; parts <= UNIT_PARTS_MAX; parts++) {
        size_t count = 0;
        for (size_t g = 0; g < work->group_count; g++) {
            const solve_exponent *x = open_part(&work->groups[g], like, &part);
            count += x != NULL && multiplier_of(x->coefficient, smallest / parts) != 0;
        }
        if (count > best_count) {
            best_count = count;
            best = smallest / parts;
        }
    }
    return best;
}

/* Encodings for one symbol (or its logarithm): one for each family of commensurable coefficients. `half` holds the unit
 * for now. */
static ddt_status encode_symbol(solve_work *work, const solve_exponent *like) {
    double unit = choose_unit(work, like);
    uint32_t index = 0;
    solve_encoding encoding = {.symbol = like->symbol,
                               .is_log = like->is_log,
                               .mid = symbol_mid(work, like->symbol, like->is_log),
                               .half = unit};
    SOLVE_TRY(add_encoding(work, encoding, &index));
    for (size_t g = 0; g < work->group_count; g++) {
        size_t part = 0;
        const solve_exponent *x = open_part(&work->groups[g], like, &part);
        int multiplier = x == NULL ? 0 : multiplier_of(x->coefficient, unit);
        if (multiplier != 0) {
            work->groups[g].parts[part] = (solve_group_part){index, multiplier};
        }
    }
    return DDT_OK;
}

/* One part after another; a family of coefficients that is not the part's own leaves it open for the next. */
static ddt_status encode_part(solve_work *work, const solve_group_part *part, const solve_exponent *like) {
    while (part->encoding == SOLVE_NONE) {
        SOLVE_TRY(encode_symbol(work, like));
    }
    return DDT_OK;
}

static ddt_status encode_group(solve_work *work, size_t g) {
    for (size_t i = 0; i < work->groups[g].count; i++) {
        solve_exponent like = work->groups[g].exponents[i];
        bool is_open = !work->symbols[like.symbol].is_state;
        SOLVE_TRY(is_open ? encode_part(work, &work->groups[g].parts[i], &like) : DDT_OK);
    }
    return DDT_OK;
}

static ddt_status encode_groups(solve_work *work) {
    for (size_t g = 0; g < work->group_count; g++) {
        SOLVE_TRY(encode_group(work, g));
    }
    return DDT_OK;
}

static bool shares_encoding(const solve_group *a, const solve_group *b) {
    for (size_t i = 0; i < a->count; i++) {
        for (size_t j = 0; j < b->count; j++) {
            if (a->parts[i].encoding != SOLVE_NONE && a->parts[i].encoding == b->parts[j].encoding) {
                return true;
            }
        }
    }
    return false;
}

/* Takes the widest domain of those that a group shares an encoding with. */
static bool widen_domain(const solve_work *work, solve_group *group) {
    bool changes = false;
    for (size_t h = 0; h < work->group_count; h++) {
        const solve_group *other = &work->groups[h];
        if (other->domain > group->domain && shares_encoding(group, other)) {
            group->domain = other->domain;
            changes = true;
        }
    }
    return changes;
}

/* Exponentials that share an encoding share the scale of their arguments: that of the widest. */
static void set_domains(solve_work *work) {
    for (size_t g = 0; g < work->group_count; g++) {
        work->groups[g].domain = work->groups[g].reach;
    }
    bool changes = true;
    while (changes) {
        changes = false;
        for (size_t g = 0; g < work->group_count; g++) {
            changes |= widen_domain(work, &work->groups[g]);
        }
    }
    for (size_t g = 0; g < work->group_count; g++) {
        solve_group *group = &work->groups[g];
        double ratio = group->reach > 0.0 ? group->domain / group->reach : 1.0;
        int stretch = (int)fmin(floor(ratio * (1.0 + 1e-12)), STRETCH_MAX);
        group->stretch = stretch > 1 ? stretch : 1;
    }
}

static void finish_encodings(solve_work *work) {
    for (uint32_t i = 0; i < work->encoding_count; i++) {
        solve_encoding *e = &work->encodings[i];
        double domain = 0.0;
        for (size_t g = 0; g < work->group_count; g++) {
            for (size_t k = 0; k < work->groups[g].count; k++) {
                domain = work->groups[g].parts[k].encoding == i ? work->groups[g].domain : domain;
            }
        }
        e->half = domain / e->half; /* it held the unit */
        e->bound = symbol_half(work, e->symbol, e->is_log) / e->half;
    }
}

/* ------------------------------------------------------------------ walks over all terms */

typedef ddt_status (*term_visitor)(solve_work *work, solve_term *term);

static ddt_status visit_terms(solve_work *work, const solve_terms *terms, term_visitor visit);

static ddt_status visit_term(solve_work *work, solve_term *term, term_visitor visit) {
    SOLVE_TRY(visit(work, term));
    for (size_t i = 0; i < term->factor_count; i++) {
        const solve_factor *f = &term->factors[i];
        const solve_terms *inner = f->share != NULL ? &f->share->w : f->inner;
        SOLVE_TRY(inner != NULL ? visit_terms(work, inner, visit) : DDT_OK);
    }
    return DDT_OK;
}

static ddt_status visit_terms(solve_work *work, const solve_terms *terms, term_visitor visit) {
    for (solve_term *t = terms->first; t != NULL; t = t->next) {
        SOLVE_TRY(visit_term(work, t, visit));
    }
    return DDT_OK;
}

static ddt_status visit_list(solve_work *work, const solve_terms *terms, size_t count, term_visitor visit) {
    for (size_t i = 0; i < count; i++) {
        SOLVE_TRY(visit_terms(work, &terms[i], visit));
    }
    return DDT_OK;
}

static ddt_status visit_all(solve_work *work, term_visitor visit) {
    size_t n = work->linear.n;
    size_t outputs = work->model->output_count;
    const struct {
        solve_terms *terms;
        size_t count;
    } lists[] = {{work->a_terms, n * n},
                 {work->piece_terms, work->piece_terms != work->a_terms ? n * n : 0},
                 {work->initial_terms, work->feed_count * n},
                 {work->f_terms, work->feed_count * work->dosing_count},
                 {work->gain_terms, outputs * n},
                 {work->offset_terms, outputs},
                 {work->extra_terms, work->extra_count}};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        SOLVE_TRY(visit_list(work, lists[k].terms, lists[k].count, visit));
    }
    return DDT_OK;
}

static ddt_status encode_functions(solve_work *work, solve_term *term) {
    for (size_t i = 0; i < term->factor_count; i++) {
        solve_factor *factor = &term->factors[i];
        uint32_t symbol = factor->symbol;
        if (factor->inner != NULL || solve_is_varying(&work->symbols[symbol])) {
            continue;
        }
        SOLVE_TRY(solve_prefers_log(work, factor, &factor->is_log));
        if (solve_encoding_whole(work, symbol, factor->is_log) != SOLVE_NONE) {
            continue;
        }
        uint32_t index = 0;
        solve_encoding encoding = {.symbol = symbol,
                                   .is_log = factor->is_log,
                                   .mid = symbol_mid(work, symbol, factor->is_log),
                                   .half = symbol_half(work, symbol, factor->is_log),
                                   .bound = 1.0};
        SOLVE_TRY(add_encoding(work, encoding, &index));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ inputs and ranges */

ddt_status solve_add_range(solve_work *work, uint32_t symbol, uint32_t *index) {
    solve_layout *layout = &work->solution->layout;
    const char *name = work->model->symbols[work->symbols[symbol].origin].name;
    for (size_t r = work->dosing_count; r < layout->range_count; r++) {
        if (strcmp(layout->ranges[r].name, name) == 0) {
            *index = (uint32_t)r;
            return DDT_OK;
        }
    }
    solve_range *ranges = ddt_realloc(layout->ranges, layout->range_count, layout->range_count + 1, sizeof *ranges);
    if (ranges == NULL) {
        return solve_no_memory(work->ctx);
    }
    layout->ranges = ranges;
    const solve_symbol *s = &work->symbols[work->symbols[symbol].origin];
    solve_range range = {.name = ddt_strdup(name), .low = s->low, .high = s->high, .level_count = s->level_count};
    if (range.name == NULL) {
        return solve_no_memory(work->ctx);
    }
    memcpy(range.levels, s->levels, sizeof range.levels);
    *index = (uint32_t)layout->range_count;
    layout->ranges[layout->range_count++] = range;
    return DDT_OK;
}

static ddt_status input_name(const solve_work *work, uint32_t index, char **name) {
    enum { NAME_MAX_BYTES = 224 };
    char text[NAME_MAX_BYTES];
    const solve_encoding *e = &work->encodings[index];
    unsigned before = 0;
    for (uint32_t i = 0; i < index; i++) {
        before += work->encodings[i].symbol == e->symbol && work->encodings[i].is_log == e->is_log;
    }
    const char *symbol = work->model->symbols[e->symbol].name;
    int length = snprintf(text, sizeof text, e->is_log ? "log(%.180s)" : "%.180s", symbol);
    if (before > 0 && length > 0) {
        (void)snprintf(text + length, sizeof text - (size_t)length, " [%u]", before + 1);
    }
    *name = ddt_strdup(text);
    return *name == NULL ? solve_no_memory(work->ctx) : DDT_OK;
}

static solve_input_kind kind_of(const solve_symbol *symbol, const solve_encoding *e) {
    if (symbol->is_dose) {
        return SOLVE_INPUT_LAST_DOSE;
    }
    if (symbol->is_threshold) {
        return SOLVE_INPUT_THRESHOLD;
    }
    return e->is_log ? SOLVE_INPUT_LOG : SOLVE_INPUT_LINEAR;
}

static ddt_status make_inputs(solve_work *work) {
    solve_layout *layout = &work->solution->layout;
    size_t count = layout->input_count + work->encoding_count;
    solve_input *inputs = ddt_realloc(layout->inputs, layout->input_count, count, sizeof *inputs);
    if (inputs == NULL) {
        return solve_no_memory(work->ctx);
    }
    layout->inputs = inputs;
    for (uint32_t i = 0; i < work->encoding_count; i++) {
        const solve_encoding *e = &work->encodings[i];
        const solve_symbol *symbol = &work->symbols[e->symbol];
        solve_input input = {.kind = kind_of(symbol, e),
                             .threshold = symbol->threshold,
                             .compartment = symbol->is_dose ? work->model->symbols[e->symbol].compartment : 0,
                             .mid = e->mid,
                             .half = e->half,
                             .role = symbol->role,
                             .bound = e->bound * (1.0 + 1e-9)}; /* rounding of (value - mid) / half at the ends */
        SOLVE_TRY(solve_add_range(work, e->symbol, &input.range));
        SOLVE_TRY(input_name(work, i, &input.name));
        layout->inputs[layout->input_count++] = input;
    }
    return DDT_OK;
}

ddt_status solve_encode(solve_work *work) {
    SOLVE_TRY(visit_all(work, place_term));
    SOLVE_TRY(encode_groups(work));
    set_domains(work);
    finish_encodings(work);
    SOLVE_TRY(visit_all(work, encode_functions));
    return make_inputs(work);
}
