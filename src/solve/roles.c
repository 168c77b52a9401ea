/*
 * Covariates that change with time. A record's values hold over the interval that ends at it; doses go by their own
 * record, outputs by the observation's. One slot can therefore need several values of one covariate: of the segment,
 * of the piece of an infusion, of the dose, of the observation. Each such role gets a symbol of its own, so that the
 * rest of this room knows constant symbols only.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

#include <string.h>

static const struct {
    solve_role role;
    const char *suffix;
} extra_roles[] = {{SOLVE_ROLE_PIECE, "infusion"}, {SOLVE_ROLE_DOSE, "dose"}, {SOLVE_ROLE_OBSERVATION, "observation"}};

enum { EXTRA_ROLES = sizeof extra_roles / sizeof *extra_roles, NAME_MAX_BYTES = 192 };

double solve_mirrored(const solve_symbol *symbol, double value) {
    for (size_t l = 0; l < symbol->level_count; l++) {
        if (value == symbol->levels[l]) {
            return symbol->levels[symbol->level_count - 1 - l];
        }
    }
    return fmin(fmax(symbol->low + symbol->high - value, symbol->low), symbol->high);
}

void solve_mirror(const solve_work *work, const double *symbols, double *mirrored) {
    for (size_t i = 0; i < work->symbol_count; i++) {
        bool is_mirrored = work->symbols[i].role == SOLVE_ROLE_SEGMENT;
        mirrored[i] = is_mirrored ? solve_mirrored(&work->symbols[i], symbols[i]) : symbols[i];
    }
    solve_threshold_settle(work, mirrored);
}

static double value_at(const solve_work *work, size_t subject, size_t record, size_t column) {
    const ddt_subject *s = &work->events->subjects[subject];
    return s->covariate_values[s->records[record].covariates + column];
}

static bool column_changes(const solve_work *work, size_t column) {
    for (size_t s = 0; s < work->events->subject_count; s++) {
        for (size_t r = 1; r < work->events->subjects[s].record_count; r++) {
            if (value_at(work, s, r, column) != value_at(work, s, 0, column)) {
                return true;
            }
        }
    }
    return false;
}

static bool symbol_changes(const solve_work *work, uint32_t symbol) {
    size_t column = solve_column(work->events, symbol);
    return column != SIZE_MAX && work->model->symbols[symbol].kind == DDT_SYMBOL_COVARIATE &&
           column_changes(work, column);
}

static ddt_status add_role(solve_work *work, ddt_symbol *all, uint32_t origin, size_t role, uint32_t *next) {
    char *name = solve_alloc(work, NAME_MAX_BYTES, 1);
    if (name == NULL) {
        return DDT_ERR_MEMORY;
    }
    (void)snprintf(name, NAME_MAX_BYTES, "%.150s, %s", all[origin].name, extra_roles[role].suffix);
    all[*next] = all[origin];
    all[*next].name = name;
    work->symbols[*next].origin = origin;
    work->symbols[*next].base = origin;
    work->symbols[*next].role = extra_roles[role].role;
    work->symbols[*next].changes = true;
    (*next)++;
    return DDT_OK;
}

static ddt_status add_symbol_roles(solve_work *work, ddt_symbol *all, uint32_t origin, uint32_t *next) {
    for (size_t k = 0; k < EXTRA_ROLES; k++) {
        SOLVE_TRY(add_role(work, all, origin, k, next));
    }
    return DDT_OK;
}

/* What the model says of values between records agrees with how the table is read. */
static ddt_status check_between(const solve_work *work, uint32_t i) {
    const ddt_symbol *symbol = &work->model->symbols[i];
    const bool forward = work->events->carries_forward;
    if (symbol->between == DDT_BETWEEN_ANY || (symbol->between == DDT_BETWEEN_LOCF && forward) ||
        (symbol->between == DDT_BETWEEN_NOCB && !forward)) {
        return DDT_OK;
    }
    if (symbol->between == DDT_BETWEEN_LOCF || symbol->between == DDT_BETWEEN_NOCB) {
        return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                        "'%s': %s changes within a subject of '%s', and the model says %s(%s): values are to hold %s a "
                        "record (--covariates %s).",
                        work->model->path, symbol->name, work->events->path, forward ? "nocb" : "locf", symbol->name,
                        forward ? "up to" : "from", forward ? "nonmem" : "locf");
    }
    return ddt_fail(
        work->ctx, DDT_ERR_UNSUPPORTED,
        "'%s': %s changes within a subject of '%s', and the model wants values between its records (%s(%s)), "
        "which is not supported: give records close enough together, and locf(%s).",
        work->model->path, symbol->name, work->events->path,
        symbol->between == DDT_BETWEEN_LINEAR ? "linear" : "midpoint", symbol->name, symbol->name);
}

/* One symbol for each role of each covariate that changes, behind the model's own. */
static ddt_status add_roles(solve_work *work, ddt_symbol *all, uint32_t count, uint32_t *next) {
    *next = count;
    for (uint32_t i = 0; i < count; i++) {
        work->symbols[i].origin = i;
        work->symbols[i].base = i;
        work->symbols[i].changes = symbol_changes(work, i);
        work->symbols[i].role = work->symbols[i].changes ? SOLVE_ROLE_SEGMENT : SOLVE_ROLE_SUBJECT;
        SOLVE_TRY(work->symbols[i].changes ? check_between(work, i) : DDT_OK);
        SOLVE_TRY(work->symbols[i].changes ? add_symbol_roles(work, all, i, next) : DDT_OK);
    }
    return DDT_OK;
}

ddt_status solve_roles_create(solve_work *work) {
    const ddt_model *given = work->model;
    uint32_t count = (uint32_t)given->symbol_count;
    size_t most = (1 + EXTRA_ROLES) * ((size_t)count + SOLVE_THRESHOLDS_MAX);
    ddt_model *copy = solve_alloc(work, 1, sizeof *copy);
    ddt_symbol *all = solve_alloc(work, most, sizeof *all);
    work->symbols = solve_alloc(work, most, sizeof *work->symbols);
    if (copy == NULL || all == NULL || work->symbols == NULL) {
        return DDT_ERR_MEMORY;
    }
    if (count > 0) {
        memcpy(all, given->symbols, count * sizeof *all);
    }
    uint32_t next = 0;
    SOLVE_TRY(add_roles(work, all, count, &next));
    *copy = *given;
    copy->symbols = all;
    copy->symbol_count = next;
    work->model = copy;
    work->own_model = copy;
    work->symbol_count = next;
    return DDT_OK;
}

/* ------------------------------------------------------------------ expressions */

static ddt_status play(solve_work *work, solve_role role, ddt_expr *list, size_t count) {
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        const solve_symbol *symbol = &work->symbols[i];
        if (symbol->role != role || symbol->base == i) {
            continue;
        }
        ddt_expr image = ddt_expr_symbol(work->pool, i);
        for (size_t k = 0; k < count; k++) {
            list[k] = ddt_expr_substitute(work->pool, list[k], symbol->base, image);
            if (list[k] == DDT_EXPR_NONE) {
                return solve_pool_failure(work);
            }
        }
    }
    return DDT_OK;
}

static ddt_status marks_of(solve_work *work, const ddt_expr *list, size_t count, bool *marks) {
    return ddt_expr_symbols(work->ctx, work->pool, list, count, marks, work->symbol_count);
}

/* Which symbols some expression still reads; the others are nobody's business. */
static ddt_status forget_unused(solve_work *work) {
    const solve_linear *linear = &work->linear;
    size_t n = linear->n;
    size_t compartments = work->model->compartment_count;
    bool *used = solve_alloc(work, work->symbol_count, sizeof *used);
    if (used == NULL) {
        return DDT_ERR_MEMORY;
    }
    const struct {
        const ddt_expr *list;
        size_t count;
    } lists[] = {{linear->a, n * n},
                 {linear->a_piece, n * n},
                 {linear->initial, n},
                 {linear->bioavailability, compartments},
                 {linear->lag, compartments},
                 {linear->rate, compartments},
                 {linear->duration, compartments}};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        SOLVE_TRY(marks_of(work, lists[k].list, lists[k].count, used));
    }
    for (size_t o = 0; o < work->model->output_count; o++) {
        SOLVE_TRY(marks_of(work, &linear->outputs[o].value, 1, used));
    }
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        if (work->symbols[i].is_threshold && used[i]) { /* its values decide */
            used[work->symbols[i].compared] = true;
        }
    }
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        if (work->symbols[i].changes && !used[i]) {
            work->symbols[i].is_encrypted = false;
        }
    }
    return DDT_OK;
}

ddt_status solve_roles_apply(solve_work *work) {
    solve_linear *linear = &work->linear;
    size_t n = linear->n;
    size_t compartments = work->model->compartment_count;
    linear->a_piece = solve_alloc(work, n * n, sizeof *linear->a_piece);
    if (linear->a_piece == NULL) {
        return DDT_ERR_MEMORY;
    }
    if (n > 0) {
        memcpy(linear->a_piece, linear->a, n * n * sizeof *linear->a);
    }
    if (work->newton != NULL || work->by_surrogates) { /* nothing of the system is encoded record by record */
        return DDT_OK;
    }
    SOLVE_TRY(play(work, SOLVE_ROLE_PIECE, linear->a_piece, n * n));
    SOLVE_TRY(play(work, SOLVE_ROLE_DOSE, linear->initial, n));
    SOLVE_TRY(play(work, SOLVE_ROLE_DOSE, linear->bioavailability, compartments));
    SOLVE_TRY(play(work, SOLVE_ROLE_DOSE, linear->lag, compartments));
    SOLVE_TRY(play(work, SOLVE_ROLE_DOSE, linear->rate, compartments));
    SOLVE_TRY(play(work, SOLVE_ROLE_DOSE, linear->duration, compartments));
    for (size_t o = 0; o < work->model->output_count; o++) {
        SOLVE_TRY(play(work, SOLVE_ROLE_OBSERVATION, linear->outputs[o].gain, n));
        SOLVE_TRY(play(work, SOLVE_ROLE_OBSERVATION, &linear->outputs[o].offset, 1));
        SOLVE_TRY(play(work, SOLVE_ROLE_OBSERVATION, &linear->outputs[o].value, 1));
    }
    return forget_unused(work);
}

/* ------------------------------------------------------------------ questions */

bool solve_role_is_used(const solve_work *work, solve_role role) {
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        if (work->symbols[i].role == role && work->symbols[i].changes && work->symbols[i].is_encrypted) {
            return true;
        }
    }
    return false;
}

bool solve_roles_differ(const solve_work *work, size_t subject, size_t record_a, size_t record_b) {
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        if (work->symbols[i].role == SOLVE_ROLE_SEGMENT && work->symbols[i].is_encrypted) {
            size_t column = solve_column(work->events, work->symbols[i].origin);
            if (value_at(work, subject, record_a, column) != value_at(work, subject, record_b, column)) {
                return true;
            }
        }
    }
    return false;
}
