/* ini({...}): population values, random effects, labels. SPDX-License-Identifier: Apache-2.0 */
#include "parser.h"

#include <math.h>
#include <string.h>

/* The values on the right of an assignment or of ~. */
typedef struct ini_values {
    double *values;
    size_t count;
    size_t capacity;
    bool fixed;
    bool standard_deviations; /* sd(): the diagonal holds standard deviations */
    bool correlations;        /* cor(): the rest holds correlations */
    bool cholesky;            /* chol(): the whole is a Cholesky factor */
} ini_values;

static void add_value(parser *p, ini_values *v, double value) {
    if (parser_grow(p, (void **)&v->values, v->count, &v->capacity, sizeof *v->values)) {
        v->values[v->count++] = value;
    }
}

static double logit(double x) { return log(x / (1 - x)); }
static double expit(double x) { return 1 / (1 + exp(-x)); }

/* log(c(1, 2, 3)): R applies a function to each element. */
static const struct {
    const char *name;
    double (*apply)(double);
} elementwise[] = {{"log", log}, {"exp", exp}, {"sqrt", sqrt}, {"log10", log10}, {"logit", logit}, {"expit", expit}};

static double (*elementwise_function(const parser *p))(double) {
    bool of_list = token_is(parser_peek_ahead(p, 1), '(') && token_is_name(parser_peek_ahead(p, 2), "c") &&
                   token_is(parser_peek_ahead(p, 3), '(');
    for (size_t i = 0; of_list && i < sizeof elementwise / sizeof elementwise[0]; i++) {
        if (token_is_name(parser_peek(p), elementwise[i].name)) {
            return elementwise[i].apply;
        }
    }
    return NULL;
}

/* c(), fixed() and the like, nested; a plain expression otherwise. */
static void read_values(parser *p, ini_values *v) {
    double (*apply)(double) = elementwise_function(p);
    if (apply != NULL) {
        size_t before = v->count;
        p->at += 2;
        read_values(p, v); /* the list itself: one level deeper only */
        parser_expect(p, ')', ")");
        for (size_t i = before; i < v->count; i++) {
            v->values[i] = apply(v->values[i]);
        }
        return;
    }
    static const char *const wrappers[] = {"c",   "fixed", "fix", "FIX", "FIXED", "unfix", "unfixed",
                                           "var", "cov",   "sd",  "cor", "chol",  "lotri"};
    const token *name = parser_peek(p);
    bool wraps = false;
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0]; i++) {
        wraps = wraps || token_is_name(name, wrappers[i]);
    }
    bool is_fix = wraps && (name->text[0] == 'f' || name->text[0] == 'F');
    if (!wraps || !token_is(parser_peek_ahead(p, 1), '(')) {
        if (is_fix) { /* the word alone: c(0, 1, 2, fixed) */
            (void)parser_next(p);
            v->fixed = true;
        } else {
            add_value(p, v, parser_constant(p));
        }
        return;
    }
    v->fixed = v->fixed || is_fix;
    v->standard_deviations = v->standard_deviations || token_is_name(name, "sd");
    v->correlations = v->correlations || token_is_name(name, "cor");
    v->cholesky = v->cholesky || token_is_name(name, "chol");
    if (++p->depth > NESTING_MAX) {
        parser_refuse_token(p, name, "it is nested too deep");
    }
    p->at += 2;
    while (p->status == DDT_OK) {
        read_values(p, v);
        if (token_is(parser_peek(p), ')')) {
            (void)parser_next(p);
            break;
        }
        parser_expect(p, ',', ") or ,");
    }
    p->depth--;
}

/* ------------------------------------------------------------------ theta */

static void read_theta(parser *p, const token *name) {
    uint32_t index = parser_name(p, name);
    if (index == NO_INDEX) {
        return;
    }
    if (p->names[index].symbol != NO_INDEX) {
        parser_refuse_token(p, name, "ini gives it twice");
        return;
    }
    ini_values v = {0};
    read_values(p, &v);
    if (p->status == DDT_OK && (v.count == 0 || v.count > 3)) {
        parser_refuse_token(p, name, "a parameter takes an estimate, or c(lower, estimate, upper)");
    }
    if (p->status == DDT_OK) {
        double estimate = v.values[v.count > 1 ? 1 : 0];
        double lower = v.count > 1 ? v.values[0] : -INFINITY;
        double upper = v.count > 2 ? v.values[2] : INFINITY;
        if (!isfinite(estimate) || !(lower <= estimate) || !(estimate <= upper)) {
            parser_refuse_token(p, name, "its estimate is not a finite number between its bounds");
        } else {
            uint32_t symbol = parser_add_symbol(p, index, DDT_SYMBOL_THETA, name->line);
            if (symbol != NO_INDEX) {
                ddt_symbol *theta = &p->model->symbols[symbol];
                theta->value = estimate;
                theta->lower = lower;
                theta->upper = upper;
                theta->is_fixed = v.fixed;
            }
        }
    }
    ddt_free(v.values);
}

/* ------------------------------------------------------------------ random effects */

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

static void add_etas(parser *p, const uint32_t *names, size_t count, unsigned line) {
    if (p->model->eta_count + count > ETAS_MAX) {
        parser_refuse(p, line, "~", 1, "a model has at most 256 random effects");
        return;
    }
    if (!grow_omega(p, count)) {
        return;
    }
    for (size_t i = 0; i < count && p->status == DDT_OK; i++) {
        const name_entry *entry = &p->names[names[i]];
        if (entry->symbol != NO_INDEX) {
            parser_refuse(p, line, entry->text, entry->length, "ini gives it twice");
            return;
        }
        uint32_t symbol = parser_add_symbol(p, names[i], DDT_SYMBOL_ETA, line);
        if (symbol != NO_INDEX) {
            p->model->etas[p->model->eta_count + i] = symbol;
        }
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

static void read_eta_values(parser *p, const uint32_t *names, size_t count, unsigned line) {
    ini_values v = {0};
    read_values(p, &v);
    size_t before = p->model->eta_count;
    bool is_row = count == 1 && v.count > 1;
    if (p->status == DDT_OK && (is_row ? v.count - 1 > before : v.count != count * (count + 1) / 2)) {
        parser_refuse(p, line, "~", 1,
                      "the number of values is not that of a lower triangle of the random effects named");
    }
    if (p->status == DDT_OK && token_is(parser_peek(p), OPERATOR_BAR)) {
        const token *level = parser_peek_ahead(p, 1);
        if (token_is_name(level, "id") || token_is_name(level, "ID")) {
            p->at += 2;
        } else {
            parser_refuse_token(p, level, "random effects vary by id only; write one effect per occasion instead");
        }
    }
    if (p->status == DDT_OK) {
        add_etas(p, names, count, line);
    }
    if (p->status == DDT_OK) {
        fill_omega(p, &v, is_row ? v.count - 1 : 0, count, is_row);
        check_covariances(p, before, line);
    }
    ddt_free(v.values);
}

/* a + b + c ~ values */
static void read_etas(parser *p) {
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
        read_eta_values(p, names, count, line);
    }
    ddt_free(names);
}

/* label("...") belongs to the parameter just before it. */
static void read_label(parser *p) {
    ddt_model *model = p->model;
    p->at += 2;
    const token *text = parser_next(p);
    if (text->kind != TOKEN_STRING || model->symbol_count == 0) {
        parser_refuse_token(p, text, "label() takes a text and follows a parameter");
        return;
    }
    ddt_symbol *symbol = &model->symbols[model->symbol_count - 1];
    ddt_free(symbol->label);
    symbol->label = parser_copy(p, text->text, text->length);
    parser_expect(p, ')', ")");
}

static void read_statement(parser *p) {
    const token *now = parser_peek(p);
    const token *next = parser_peek_ahead(p, 1);
    if (token_is_name(now, "label") && token_is(next, '(')) {
        read_label(p);
    } else if ((token_is_name(now, "backTransform") || token_is_name(now, "dfWishart")) && token_is(next, '(')) {
        parser_skip_statement(p);
    } else if (now->kind == TOKEN_NAME && token_is_assignment(next)) {
        p->at += 2;
        parser_skip_newlines(p);
        read_theta(p, now);
    } else if (now->kind == TOKEN_NAME) {
        read_etas(p);
    } else {
        parser_refuse_token(p, now, "ini takes lines like 'name <- value' and 'eta ~ variance'");
    }
}

void parser_ini(parser *p) {
    p->in_ini = true;
    parser_expect(p, '{', "{");
    parser_skip_separators(p);
    while (p->status == DDT_OK && !token_is(parser_peek(p), '}')) {
        read_statement(p);
        if (p->status == DDT_OK && !parser_at_end_of_statement(p)) {
            parser_refuse_token(p, parser_peek(p), "the line should end here");
        }
        parser_skip_separators(p);
    }
    parser_expect(p, '}', "}");
    p->in_ini = false;
}
