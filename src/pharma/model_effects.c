/* Random effects of ini({...}): a + b ~ c(0.1, 0.01, 0.1). SPDX-License-Identifier: Apache-2.0 */
#include "model_ini.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool grow_omega(parser *p, size_t added) {
    ddt_model *model = p->model;
    size_t count = model->eta_count + added;
    double *omega = ddt_calloc(count * count, sizeof *omega);
    uint32_t *etas = ddt_realloc(model->etas, model->eta_count, count, sizeof *etas);
    if (etas != NULL) {
        model->etas = etas;
    }
    if (omega == NULL || etas == NULL) {
        ddt_free(omega);
        parser_out_of_memory(p);
        return false;
    }
    for (size_t i = 0; i < model->eta_count; i++) {
        for (size_t j = 0; j < model->eta_count; j++) {
            omega[i * count + j] = model->omega[i * model->eta_count + j];
        }
    }
    ddt_free(model->omega);
    model->omega = omega;
    return true;
}

/* The name of an effect must be new. */
static void check_new(parser *p, uint32_t name, unsigned line) {
    const name_entry *entry = &p->names[name];
    if (entry->symbol != NO_INDEX || entry->slots[SLOT_VALUE] != DDT_EXPR_NONE) {
        parser_refuse(p, line, entry->text, entry->length, "ini gives it twice");
    }
}

/* One effect: the symbol of a name, which must be new. */
static void add_eta(parser *p, uint32_t name, size_t at, unsigned line) {
    check_new(p, name, line);
    uint32_t symbol = p->status != DDT_OK ? NO_INDEX : parser_add_symbol(p, name, DDT_SYMBOL_ETA, line);
    if (symbol != NO_INDEX) {
        p->model->etas[at] = symbol;
    }
}

/* Element (i, j <= i) of a lower triangle given row by row. */
static double triangle(const ini_values *v, size_t i, size_t j) { return v->values[i * (i + 1) / 2 + j]; }

static double covariance(const ini_values *v, size_t i, size_t j) {
    if (v->cholesky) {
        double sum = 0;
        for (size_t k = 0; k <= j; k++) {
            sum += triangle(v, i, k) * triangle(v, j, k);
        }
        return sum;
    }
    double value = triangle(v, i, j);
    if (i == j) {
        return v->standard_deviations ? value * value : value;
    }
    if (v->correlations) {
        double di = triangle(v, i, i);
        double dj = triangle(v, j, j);
        return v->standard_deviations ? value * di * dj : value * sqrt(di) * sqrt(dj);
    }
    return value;
}

/*
 * Writes a block into omega: rows first..first+rows-1 of the triangle belong to the new etas, which follow the `first`
 * etas just before them (0 for a whole block; a single eta with a row c(cov, ..., variance) continues the block before
 * it).
 */
static void fill_omega(parser *p, const ini_values *v, size_t first, size_t rows, bool is_row) {
    ddt_model *model = p->model;
    size_t total = model->eta_count + rows;
    size_t base = model->eta_count - first;
    for (size_t i = first; i < first + rows; i++) {
        for (size_t j = 0; j <= i; j++) {
            double value = is_row ? v->values[j] : covariance(v, i, j);
            model->omega[(base + i) * total + base + j] = value;
            model->omega[(base + j) * total + base + i] = value;
        }
        model->symbols[model->etas[base + i]].omega2 = model->omega[(base + i) * total + base + i];
    }
    model->eta_count = total;
}

static void check_covariances(parser *p, size_t first, unsigned line) {
    const double slack = 1 + 1e-9; /* published matrices are rounded */
    const ddt_model *model = p->model;
    size_t n = model->eta_count;
    for (size_t i = first; i < n; i++) {
        const char *name = model->symbols[model->etas[i]].name;
        double variance = model->omega[i * n + i];
        if (!(variance >= 0) || !isfinite(variance)) {
            parser_refuse(p, line, name, strlen(name), "its variance is not a finite number of at least 0");
            return;
        }
        for (size_t j = 0; j < i; j++) {
            double value = model->omega[i * n + j];
            if (!(fabs(value) <= slack * sqrt(variance * model->omega[j * n + j]))) {
                parser_refuse(p, line, name, strlen(name), "its covariance is larger than its variances allow");
                return;
            }
        }
    }
}

/* ------------------------------------------------------------------ one block, once or for each occasion */

/* A statement a + b ~ values. */
typedef struct effects {
    const uint32_t *names;
    size_t count;
    ini_values v;
    bool is_row; /* one name with the row of a triangle */
    unsigned line;
} effects;

/* Makes etas of `names` (those of the statement, or of one occasion) and fills their part of omega. */
static void add_block(parser *p, const effects *e, const uint32_t *names) {
    size_t before = p->model->eta_count;
    if (before + e->count > ETAS_MAX) {
        parser_refuse(p, e->line, "~", 1, "a model has at most 256 random effects");
        return;
    }
    if (!grow_omega(p, e->count)) {
        return;
    }
    for (size_t i = 0; i < e->count && p->status == DDT_OK; i++) {
        add_eta(p, names[i], before + i, e->line);
    }
    if (p->status == DDT_OK) {
        fill_omega(p, &e->v, e->is_row ? e->v.count - 1 : 0, e->count, e->is_row);
        check_covariances(p, before, e->line);
    }
}

/* The name of an effect on one occasion: iov.cl_2. It lives in the parser, for the names of the file are not copied. */
static uint32_t occasion_name(parser *p, uint32_t name, unsigned occasion) {
    enum { DIGITS = 16 };
    size_t room = p->names[name].length + DIGITS;
    char *text = ddt_alloc(room, 1);
    if (text == NULL || !parser_keep(p, text)) {
        parser_out_of_memory(p);
        return NO_INDEX;
    }
    int length = snprintf(text, room, "%.*s_%u", (int)p->names[name].length, p->names[name].text, occasion);
    token t = {.kind = TOKEN_NAME, .text = text, .length = (uint32_t)length};
    return parser_name(p, &t);
}

/* The value of a name that varies by occasion: occasion == 1 ? e_1 : (occasion == 2 ? e_2 : ... 0). */
static void choose_by_occasion(parser *p, uint32_t name, ddt_expr column, unsigned occasion, uint32_t effect) {
    ddt_expr_pool *pool = p->model->pool;
    ddt_expr so_far = p->names[name].slots[SLOT_VALUE];
    ddt_expr here = ddt_expr_binary(pool, DDT_EXPR_EQ, column, ddt_expr_const(pool, occasion));
    ddt_expr value = ddt_expr_if(pool, here, ddt_expr_symbol(pool, p->names[effect].symbol),
                                 so_far == DDT_EXPR_NONE ? ddt_expr_const(pool, 0) : so_far);
    parser_check(p, 0, value);
    p->names[name].slots[SLOT_VALUE] = value;
}

static void add_occasion(parser *p, const effects *e, ddt_expr column, unsigned occasion) {
    uint32_t *names = ddt_alloc(e->count, sizeof *names);
    if (names == NULL) {
        parser_out_of_memory(p);
        return;
    }
    for (size_t i = 0; i < e->count && p->status == DDT_OK; i++) {
        names[i] = occasion_name(p, e->names[i], occasion);
    }
    if (p->status == DDT_OK) {
        add_block(p, e, names);
    }
    for (size_t i = 0; i < e->count && p->status == DDT_OK; i++) {
        choose_by_occasion(p, e->names[i], column, occasion, names[i]);
    }
    ddt_free(names);
}

/* a ~ variance | occ: one effect for each value that covariateData declares for the column, 1 to at most 64. */
static void add_occasions(parser *p, const effects *e, const token *column) {
    enum { OCCASIONS_MAX = 64 };
    double low = 0;
    double high = 0;
    bool declared = parser_declared_range(p, column, &low, &high);
    if (p->status == DDT_OK &&
        (!declared || low != 1 || !(high >= 1 && high <= OCCASIONS_MAX) || floor(high) < high || e->is_row)) {
        parser_refuse_token(p, column,
                            "effects by occasion need its number of occasions: range = c(1, n) in covariateData");
    }
    for (size_t i = 0; i < e->count && p->status == DDT_OK; i++) {
        check_new(p, e->names[i], e->line);
    }
    uint32_t index = p->status == DDT_OK ? parser_name(p, column) : NO_INDEX;
    if (index == NO_INDEX) {
        return;
    }
    bool in_ini = p->in_ini;
    p->in_ini = false; /* the level is a data column */
    ddt_expr value = parser_read_name(p, index, column->line);
    p->in_ini = in_ini;
    for (unsigned k = 1; k <= (unsigned)high && p->status == DDT_OK; k++) {
        add_occasion(p, e, value, k);
    }
}

static void read_values_and_level(parser *p, effects *e) {
    ini_read_values(p, &e->v);
    e->is_row = e->count == 1 && e->v.count > 1;
    bool fits = e->is_row ? e->v.count - 1 <= p->model->eta_count : e->v.count == e->count * (e->count + 1) / 2;
    if (p->status == DDT_OK && !fits) {
        parser_refuse(p, e->line, "~", 1,
                      "the number of values is not that of a lower triangle of the random effects named");
    }
    if (p->status != DDT_OK) {
        return;
    }
    if (!token_is(parser_peek(p), OPERATOR_BAR)) {
        add_block(p, e, e->names);
        return;
    }
    (void)parser_next(p);
    const token *level = parser_next(p);
    if (token_is_name(level, "id") || token_is_name(level, "ID")) {
        add_block(p, e, e->names);
    } else if (level->kind == TOKEN_NAME) {
        add_occasions(p, e, level);
    } else {
        parser_refuse_token(p, level, "the name of a data column was expected here");
    }
}

/* a + b + c ~ values */
void ini_read_effects(parser *p) {
    uint32_t *names = NULL;
    size_t count = 0;
    size_t capacity = 0;
    unsigned line = parser_peek(p)->line;
    while (p->status == DDT_OK) {
        const token *name = parser_next(p);
        if (name->kind != TOKEN_NAME) {
            parser_refuse_token(p, name, "the name of a random effect was expected here");
            break;
        }
        uint32_t index = parser_name(p, name);
        if (index != NO_INDEX && parser_grow(p, (void **)&names, count, &capacity, sizeof *names)) {
            names[count++] = index;
        }
        if (!token_is(parser_peek(p), '+')) {
            break;
        }
        (void)parser_next(p);
        parser_skip_newlines(p);
    }
    parser_expect(p, '~', "~");
    parser_skip_newlines(p);
    if (p->status == DDT_OK) {
        effects e = {.names = names, .count = count, .line = line};
        read_values_and_level(p, &e);
        ddt_free(e.v.values);
    }
    ddt_free(names);
}
