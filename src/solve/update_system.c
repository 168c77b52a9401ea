/* A linear model in numbers: dx/dt = A x + c, outputs = gain x + offset. SPDX-License-Identifier: Apache-2.0 */
#include "update_internal.h"

#include <string.h>

typedef struct reader {
    ddt_context *ctx;
    const ddt_model *model;
    bool *in_set;   /* states */
    ddt_expr *list; /* what the program evaluates */
    size_t count;
} reader;

static ddt_status refuse(const reader *r, unsigned line, const char *what) {
    return ddt_fail(r->ctx, DDT_ERR_UNSUPPORTED, "'%s', line %u: %s; a twin that is updated needs a linear model.",
                    r->model->path, line, what);
}

/* Times and doses' history may not stand in an expression. */
static ddt_status check_symbols(const reader *r, ddt_expr e, unsigned line) {
    for (size_t i = 0; i < r->model->symbol_count; i++) {
        const ddt_symbol_kind kind = r->model->symbols[i].kind;
        bool is_forbidden =
            kind == DDT_SYMBOL_TIME || kind == DDT_SYMBOL_LAST_DOSE_TIME || kind == DDT_SYMBOL_LAST_DOSE_AMOUNT;
        if (is_forbidden && ddt_expr_depends_on(r->model->pool, e, (uint32_t)i)) {
            return refuse(r, line, "an equation depends on time");
        }
    }
    return DDT_OK;
}

static ddt_expr at_zero(const reader *r, ddt_expr e) {
    ddt_expr zero = ddt_expr_const(r->model->pool, 0.0);
    for (size_t j = 0; j < r->model->compartment_count; j++) {
        e = ddt_expr_substitute(r->model->pool, e, r->model->compartments[j].symbol, zero);
    }
    return e;
}

/* Its slopes in all states to `slopes`, its value without amounts to `rest`. */
static ddt_status take_affine(reader *r, ddt_expr e, unsigned line, ddt_expr *slopes, ddt_expr *rest) {
    SOLVE_TRY(check_symbols(r, e, line));
    if (!ddt_expr_is_affine(r->model->pool, e, r->in_set, r->model->symbol_count)) {
        return refuse(r, line, "an equation is not linear in the amounts");
    }
    for (size_t j = 0; j < r->model->compartment_count; j++) {
        slopes[j] = at_zero(r, ddt_expr_derivative(r->model->pool, e, r->model->compartments[j].symbol));
    }
    *rest = at_zero(r, e);
    return DDT_OK;
}

static bool is_number(const reader *r, ddt_expr e, double value) {
    double number = 0.0;
    return e == DDT_EXPR_NONE || (ddt_expr_is_const(r->model->pool, e, &number) && number == value);
}

static ddt_status check_compartment(const reader *r, const ddt_compartment *c) {
    if (!is_number(r, c->initial, 0.0)) {
        return refuse(r, c->line, "a compartment has an initial value");
    }
    if (!is_number(r, c->lag_h, 0.0)) {
        return refuse(r, c->line, "a compartment has a lag");
    }
    if (c->rate != DDT_EXPR_NONE || c->duration != DDT_EXPR_NONE) {
        return refuse(r, c->line, "a compartment has a modelled rate or duration");
    }
    return DDT_OK;
}

/* Order of the list: A, c, F, gains, offsets. */
static ddt_status read_system(reader *r) {
    const ddt_model *m = r->model;
    const size_t n = m->compartment_count;
    ddt_expr one = ddt_expr_const(m->pool, 1.0);
    ddt_expr *c = r->list + n * n;
    ddt_expr *f = c + n;
    ddt_expr *gain = f + n;
    ddt_expr *offset = gain + m->output_count * n;
    for (size_t i = 0; i < n; i++) {
        const ddt_compartment *compartment = &m->compartments[i];
        SOLVE_TRY(check_compartment(r, compartment));
        SOLVE_TRY(take_affine(r, compartment->derivative, compartment->line, r->list + i * n, &c[i]));
        f[i] = compartment->bioavailability == DDT_EXPR_NONE ? one : compartment->bioavailability;
        SOLVE_TRY(check_symbols(r, f[i], compartment->line));
    }
    for (size_t o = 0; o < m->output_count; o++) {
        SOLVE_TRY(take_affine(r, m->outputs[o].value, m->outputs[o].line, gain + o * n, &offset[o]));
    }
    return DDT_OK;
}

ddt_status update_system_create(ddt_context *ctx, const ddt_model *model, update_system *out) {
    const size_t n = model->compartment_count;
    const size_t count = n * n + 2 * n + model->output_count * (n + 1);
    *out = (update_system){.n = n, .outputs = model->output_count, .values = count};
    if (n == 0 || n > DDT_UPDATE_STATES_MAX) {
        return ddt_fail(ctx, DDT_ERR_UNSUPPORTED, "'%s' has %zu compartments; a twin that is updated has 1 to %d.",
                        model->path, n, DDT_UPDATE_STATES_MAX);
    }
    reader r = {.ctx = ctx, .model = model, .count = count};
    r.in_set = ddt_calloc(model->symbol_count, sizeof *r.in_set);
    r.list = ddt_calloc(count, sizeof *r.list);
    if (r.in_set == NULL || r.list == NULL) {
        ddt_free(r.in_set);
        ddt_free(r.list);
        return solve_no_memory(ctx);
    }
    for (size_t i = 0; i < model->symbol_count; i++) {
        r.in_set[i] = model->symbols[i].kind == DDT_SYMBOL_STATE;
    }
    ddt_status status = read_system(&r);
    if (ddt_expr_pool_status(model->pool) != DDT_OK) {
        status = ddt_fail(ctx, ddt_expr_pool_status(model->pool), "'%s' needs more expressions than there is room for.",
                          model->path);
    }
    if (status == DDT_OK) {
        status = ddt_expr_compile(ctx, model->pool, r.list, count, &out->program);
    }
    ddt_free(r.in_set);
    ddt_free(r.list);
    return status;
}

void update_system_destroy(update_system *system) {
    ddt_expr_program_destroy(system->program);
    *system = (update_system){0};
}

void update_system_numbers(const update_system *system, const double *symbols, double *block, update_numbers *out) {
    const size_t n = system->n;
    ddt_expr_program_run(system->program, symbols, block);
    out->a = block;
    out->c = block + n * n;
    out->f = out->c + n;
    out->gain = out->f + n;
    out->offset = out->gain + system->outputs * n;
}

/* ------------------------------------------------------------------ along a timeline */

ddt_status update_walk_create(ddt_context *ctx, const update_system *system, const ddt_model *model, update_walk *out) {
    const size_t n = system->n;
    const size_t m = n + 1;
    /* augmented matrix, its exponential, scratch of that; product and vector */
    const size_t scratch = 5 * m * m + n * n + n;
    *out = (update_walk){.system = system, .numbers_of = SIZE_MAX};
    out->block = ddt_calloc(system->values + n, sizeof *out->block); /* and rates of nothing */
    out->e = ddt_calloc(n * n + n, sizeof *out->e);
    out->scratch = ddt_calloc(scratch, sizeof *out->scratch);
    out->symbols = ddt_calloc(model->symbol_count, sizeof *out->symbols);
    if (out->block == NULL || out->e == NULL || out->scratch == NULL || out->symbols == NULL) {
        update_walk_destroy(out);
        return solve_no_memory(ctx);
    }
    out->s = out->e + n * n;
    return DDT_OK;
}

void update_walk_destroy(update_walk *walk) {
    ddt_free(walk->block);
    ddt_free(walk->e);
    ddt_free(walk->scratch);
    ddt_free(walk->symbols);
    *walk = (update_walk){0};
}

void update_walk_start(update_walk *walk) {
    const size_t n = walk->system->n;
    memset(walk->e, 0, (n * n + n) * sizeof *walk->e);
    for (size_t i = 0; i < n; i++) {
        walk->e[i * n + i] = 1.0;
    }
    walk->numbers_of = SIZE_MAX;
}

/* exp of the system with one more state that is 1 and holds what flows in. */
static void move(update_walk *walk, const update_act *act) {
    const size_t n = walk->system->n;
    const size_t m = n + 1;
    double *augmented = walk->scratch;
    double *transition = augmented + m * m;
    double *product = transition + 4 * m * m;
    double *sum = product + n * n;
    memset(augmented, 0, m * m * sizeof *augmented);
    for (size_t i = 0; i < n; i++) {
        memcpy(augmented + i * m, walk->numbers.a + i * n, n * sizeof *augmented);
        augmented[i * m + n] = walk->numbers.c[i] + act->rates[i];
    }
    solve_expm(augmented, m, act->span_h, transition + m * m, transition);
    for (size_t i = 0; i < n; i++) {
        sum[i] = transition[i * m + n];
        for (size_t j = 0; j < n; j++) {
            double entry = 0.0;
            for (size_t k = 0; k < n; k++) {
                entry += transition[i * m + k] * walk->e[k * n + j];
            }
            product[i * n + j] = entry;
            sum[i] += transition[i * m + j] * walk->s[j];
        }
    }
    memcpy(walk->e, product, (n * n + n) * sizeof *product);
}

static void forget(update_walk *walk) {
    const size_t n = walk->system->n;
    memset(walk->e, 0, (n * n + n) * sizeof *walk->e);
}

/*
 * Just before a dose that has been given for ever: x = E x + s over one interval, so x = (1 - E)^-1 s. It has no value
 * where drug never leaves, which a plan refuses.
 */
static void settle(update_walk *walk, const update_act *act) {
    const size_t n = walk->system->n;
    const double *none = walk->block + walk->system->values;
    update_act part = {.kind = UPDATE_MOVE, .span_h = act->infusion_h, .rates = act->rates};
    const size_t of = walk->numbers_of;
    update_walk_start(walk);
    walk->numbers_of = of;
    if (act->infusion_h > 0.0) {
        move(walk, &part);
    } else {
        walk->s[act->compartment] = act->amount * walk->numbers.f[act->compartment];
    }
    part.span_h = act->span_h - act->infusion_h;
    part.rates = none;
    if (part.span_h > 0.0) {
        move(walk, &part);
    }
    double *left = walk->scratch;
    for (size_t i = 0; i < n * n; i++) {
        left[i] = (i % (n + 1) == 0 ? 1.0 : 0.0) - walk->e[i];
    }
    if (!solve_eliminate(left, walk->s, n)) {
        walk->s[0] = NAN;
    }
    memset(walk->e, 0, n * n * sizeof *walk->e);
}

void update_walk_act(update_walk *walk, const ddt_model *model, const ddt_events *events, size_t subject,
                     const update_act *act, update_set set, const void *user) {
    if (walk->numbers_of != act->record) {
        ddt_events_symbols(model, events, subject, act->record, walk->symbols);
        set(user, walk->symbols);
        update_system_numbers(walk->system, walk->symbols, walk->block, &walk->numbers);
        walk->numbers_of = act->record;
    }
    if (act->kind == UPDATE_MOVE) {
        move(walk, act);
    } else if (act->kind == UPDATE_BOLUS) {
        walk->s[act->compartment] += act->amount * walk->numbers.f[act->compartment];
    } else if (act->kind == UPDATE_RESET) {
        forget(walk);
    } else if (act->kind == UPDATE_STEADY) {
        settle(walk, act);
    }
}
