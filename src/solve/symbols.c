/*
 * Which symbols are encrypted, which values they may take, and the model's expressions with all public numbers put in.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

#include <float.h>
#include <string.h>

/* An eta lies within this many standard deviations; within more where the template shows more. */
static const double eta_deviations = 4.0;
static const double eta_deviations_max = 12.0;

size_t solve_column(const ddt_events *events, uint32_t symbol) {
    for (size_t c = 0; c < events->covariate_count; c++) {
        if (events->covariate_symbols[c] == symbol) {
            return c;
        }
    }
    return SIZE_MAX;
}

/* Calls visit for each value of a column in the table. */
static double column_extreme(const ddt_events *events, size_t column, double sign) {
    double extreme = -DBL_MAX;
    for (size_t s = 0; s < events->subject_count; s++) {
        const ddt_subject *subject = &events->subjects[s];
        for (size_t r = 0; r < subject->record_count; r++) {
            extreme = fmax(extreme, sign * subject->covariate_values[subject->records[r].covariates + column]);
        }
    }
    return sign * extreme;
}

static bool column_is_binary(const ddt_events *events, size_t column) {
    for (size_t s = 0; s < events->subject_count; s++) {
        const ddt_subject *subject = &events->subjects[s];
        for (size_t r = 0; r < subject->record_count; r++) {
            double value = subject->covariate_values[subject->records[r].covariates + column];
            if (value != 0.0 && value != 1.0) {
                return false;
            }
        }
    }
    return true;
}

/* ------------------------------------------------------------------ discrete covariates */

static void mark_compared(solve_work *work, ddt_expr e) {
    const ddt_expr_node *node = ddt_expr_get(work->pool, e);
    if (node != NULL && node->op == DDT_EXPR_SYMBOL) {
        work->symbols[node->symbol].is_compared = true;
    }
}

/* Covariates that the model compares with == or uses as a truth value take finitely many values. */
static void find_compared(solve_work *work) {
    for (size_t e = 0; e < ddt_expr_pool_count(work->pool); e++) {
        ddt_expr_node node = *ddt_expr_get(work->pool, (ddt_expr)e);
        switch (node.op) {
        case DDT_EXPR_EQ:
        case DDT_EXPR_AND:
        case DDT_EXPR_OR:
            mark_compared(work, node.a);
            mark_compared(work, node.b);
            break;
        case DDT_EXPR_NOT:
        case DDT_EXPR_IF:
            mark_compared(work, node.a);
            break;
        default:
            break;
        }
    }
}

static void add_level(solve_symbol *symbol, double value) {
    size_t at = 0;
    while (at < symbol->level_count && symbol->levels[at] < value) {
        at++;
    }
    if (symbol->level_count > SOLVE_LEVELS_MAX || (at < symbol->level_count && symbol->levels[at] == value)) {
        return;
    }
    if (symbol->level_count == SOLVE_LEVELS_MAX) {
        symbol->level_count++; /* too many: a mark that is read and reset by find_levels */
        return;
    }
    memmove(symbol->levels + at + 1, symbol->levels + at, (symbol->level_count - at) * sizeof *symbol->levels);
    symbol->levels[at] = value;
    symbol->level_count++;
}

/* Integers of the declared range, or the template's values, 0 and 1 among them where nothing speaks against it. */
static void find_levels(const ddt_events *events, size_t column, const ddt_symbol *declared, solve_symbol *symbol) {
    symbol->is_compared |= declared->is_discrete;
    bool binary = column_is_binary(events, column);
    bool unit_range = declared->has_range && declared->range_low == 0.0 && declared->range_high == 1.0;
    if (!symbol->is_compared && !(binary && (unit_range || !declared->has_range))) {
        return;
    }
    if (declared->has_range) {
        for (double v = ceil(declared->range_low); v <= declared->range_high && symbol->level_count <= SOLVE_LEVELS_MAX;
             v += 1.0) {
            add_level(symbol, v);
        }
    } else {
        if (binary) {
            add_level(symbol, 0.0);
            add_level(symbol, 1.0);
        }
        for (size_t s = 0; s < events->subject_count; s++) {
            const ddt_subject *subject = &events->subjects[s];
            for (size_t r = 0; r < subject->record_count; r++) {
                add_level(symbol, subject->covariate_values[subject->records[r].covariates + column]);
            }
        }
    }
    if (symbol->level_count > SOLVE_LEVELS_MAX || symbol->level_count < 2) {
        symbol->level_count = 0;
    }
}

/* ------------------------------------------------------------------ ranges */

static void eta_range(const solve_work *work, uint32_t index, solve_symbol *symbol) {
    double largest = 0.0;
    size_t column = solve_column(work->events, index);
    if (column != SIZE_MAX) {
        largest = fmax(column_extreme(work->events, column, 1.0), -column_extreme(work->events, column, -1.0));
    }
    symbol->shown = largest;
    double deviations = eta_deviations;
    while (deviations * symbol->sd < largest && deviations < eta_deviations_max) {
        deviations += 1.0;
    }
    symbol->low = -deviations * symbol->sd;
    symbol->high = deviations * symbol->sd;
}

/* The template's range, widened: by a factor where all values have one sign. */
static void default_range(const solve_work *work, size_t column, solve_symbol *symbol) {
    double margin = work->options.range_margin;
    double low = column_extreme(work->events, column, -1.0);
    double high = column_extreme(work->events, column, 1.0);
    double span = fmax(high - low, fmax(fabs(low), fabs(high)));
    symbol->low = low > 0.0 ? low / (1.0 + margin) : low < 0.0 ? low - margin * span : 0.0;
    symbol->high = high > 0.0 ? high * (1.0 + margin) : high < 0.0 ? high / (1.0 + margin) : 0.0;
    if (symbol->high <= symbol->low) {
        symbol->low = low - margin;
        symbol->high = high + margin;
    }
}

static ddt_status covariate_range(const solve_work *work, uint32_t index, solve_symbol *symbol) {
    const ddt_symbol *declared = &work->model->symbols[index];
    size_t column = solve_column(work->events, index);
    if (column == SIZE_MAX) {
        return ddt_fail(work->ctx, DDT_ERR_DATA, "'%s' has no column %s, a covariate of '%s'.", work->events->path,
                        declared->name, work->model->path);
    }
    find_levels(work->events, column, declared, symbol);
    if (symbol->level_count > 0) {
        symbol->low = symbol->levels[0];
        symbol->high = symbol->levels[symbol->level_count - 1];
    } else if (declared->has_range) {
        symbol->low = declared->range_low;
        symbol->high = declared->range_high;
    } else {
        default_range(work, column, symbol);
    }
    if (!(symbol->low < symbol->high) || !isfinite(symbol->low) || !isfinite(symbol->high)) {
        return ddt_fail(work->ctx, DDT_ERR_MODEL, "'%s': the range of the covariate %s, %g to %g, is empty.",
                        work->model->path, declared->name, symbol->low, symbol->high);
    }
    return DDT_OK;
}

static void time_range(const ddt_events *events, solve_symbol *symbol) {
    symbol->low = INFINITY;
    symbol->high = -INFINITY;
    for (size_t s = 0; s < events->subject_count; s++) {
        const ddt_subject *subject = &events->subjects[s];
        if (subject->record_count > 0) {
            symbol->low = fmin(symbol->low, subject->records[0].time_h);
            symbol->high = fmax(symbol->high, subject->records[subject->record_count - 1].time_h);
        }
    }
}

/* 0 before the first dose, else an AMT as large as the custodian may encrypt. */
static void last_dose_range(const ddt_events *events, solve_symbol *symbol) {
    double largest = 0.0;
    for (size_t s = 0; s < events->subject_count; s++) {
        const ddt_subject *subject = &events->subjects[s];
        for (size_t r = 0; r < subject->record_count; r++) {
            largest = fmax(largest, subject->records[r].amount);
        }
    }
    symbol->low = 0.0;
    symbol->high = solve_amount_high(largest);
}

/* Etas of variance 0 are the constant 0. */
static void mark_encrypted(solve_work *work) {
    const ddt_model *model = work->model;
    work->time_symbol = SOLVE_NONE;
    for (size_t i = 0; i < model->symbol_count; i++) {
        solve_symbol *symbol = &work->symbols[i];
        const ddt_symbol *declared = &model->symbols[i];
        symbol->is_state = declared->kind == DDT_SYMBOL_STATE;
        symbol->is_time = declared->kind == DDT_SYMBOL_TIME || declared->kind == DDT_SYMBOL_LAST_DOSE_TIME;
        symbol->is_dose = declared->kind == DDT_SYMBOL_LAST_DOSE_AMOUNT;
        if (symbol->is_time) {
            time_range(work->events, symbol);
            work->time_symbol = work->time_symbol == SOLVE_NONE ? (uint32_t)i : work->time_symbol;
        }
        if (symbol->is_dose) {
            last_dose_range(work->events, symbol);
        }
        symbol->sd = declared->kind == DDT_SYMBOL_ETA && declared->omega2 > 0.0 ? sqrt(declared->omega2) : 0.0;
        symbol->is_encrypted = declared->kind == DDT_SYMBOL_COVARIATE || symbol->sd > 0.0;
    }
}

/* ------------------------------------------------------------------ import */

static ddt_expr import_symbol(solve_work *work, uint32_t index) {
    const ddt_symbol *symbol = &work->model->symbols[index];
    if (symbol->kind == DDT_SYMBOL_THETA) {
        return ddt_expr_const(work->pool, symbol->value);
    }
    if (symbol->kind == DDT_SYMBOL_ETA && !work->symbols[index].is_encrypted) {
        return ddt_expr_const(work->pool, 0.0);
    }
    return ddt_expr_symbol(work->pool, index);
}

static ddt_expr import_node(solve_work *work, const ddt_expr_node *node, const ddt_expr *images) {
    if (node->op == DDT_EXPR_CONST) {
        return ddt_expr_const(work->pool, node->value);
    }
    if (node->op == DDT_EXPR_SYMBOL) {
        return import_symbol(work, node->symbol);
    }
    switch (ddt_expr_arity(node->op)) {
    case 1:
        return ddt_expr_unary(work->pool, node->op, images[node->a]);
    case 2:
        return ddt_expr_binary(work->pool, node->op, images[node->a], images[node->b]);
    default:
        return ddt_expr_if(work->pool, images[node->a], images[node->b], images[node->c]);
    }
}

ddt_status solve_import(solve_work *work, const ddt_expr *from, size_t count, ddt_expr *to) {
    const ddt_expr_pool *source = work->model->pool;
    ddt_expr *order = NULL;
    size_t order_count = 0;
    SOLVE_TRY(ddt_expr_topological(work->ctx, source, from, count, &order, &order_count));
    size_t limit = order_count > 0 ? (size_t)order[order_count - 1] + 1 : 1;
    ddt_expr *images = ddt_alloc(limit, sizeof *images);
    if (images == NULL) {
        ddt_free(order);
        return solve_no_memory(work->ctx);
    }
    ddt_status status = DDT_OK;
    for (size_t i = 0; i < order_count; i++) {
        images[order[i]] = import_node(work, ddt_expr_get(source, order[i]), images);
        if (status == DDT_OK && images[order[i]] != DDT_EXPR_NONE) {
            status = solve_threshold_rewrite(work, images[order[i]], &images[order[i]]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        to[i] = images[from[i]];
    }
    ddt_free(images);
    ddt_free(order);
    if (status == DDT_OK && ddt_expr_pool_status(work->pool) != DDT_OK) {
        status = solve_pool_failure(work);
    }
    return status;
}

/* Everything that the model says, so that comparisons anywhere in it are seen. */
static ddt_status import_all(solve_work *work) {
    const ddt_model *model = work->model;
    size_t count = 0;
    ddt_expr *all = solve_alloc(work, 6 * model->compartment_count + model->output_count + 1, sizeof *all);
    if (all == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < model->compartment_count; i++) {
        const ddt_compartment *c = &model->compartments[i];
        const ddt_expr parts[] = {c->derivative, c->initial, c->bioavailability, c->lag_h, c->rate, c->duration};
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
            if (parts[k] != DDT_EXPR_NONE) {
                all[count++] = parts[k];
            }
        }
    }
    for (size_t o = 0; o < model->output_count; o++) {
        all[count++] = model->outputs[o].value;
    }
    return solve_import(work, all, count, all);
}

static void take_range(const solve_symbol *origin, solve_symbol *symbol) {
    symbol->low = origin->low;
    symbol->high = origin->high;
    symbol->level_count = origin->level_count;
    memcpy(symbol->levels, origin->levels, sizeof symbol->levels);
}

static ddt_status find_range(solve_work *work, uint32_t i) {
    solve_symbol *symbol = &work->symbols[i];
    if (symbol->origin != i) { /* a role's: the origin stands before it */
        take_range(&work->symbols[symbol->origin], symbol);
        return DDT_OK;
    }
    if (work->model->symbols[i].kind == DDT_SYMBOL_ETA) {
        eta_range(work, i, symbol);
    }
    return work->model->symbols[i].kind == DDT_SYMBOL_COVARIATE ? covariate_range(work, i, symbol) : DDT_OK;
}

ddt_status solve_symbols_create(solve_work *work) {
    SOLVE_TRY(solve_roles_create(work));
    mark_encrypted(work);
    SOLVE_TRY(import_all(work));
    find_compared(work);
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        SOLVE_TRY(find_range(work, i));
    }
    solve_facts_reset(work); /* they were of symbols without ranges */
    work->has_ranges = true;
    SOLVE_TRY(import_all(work));
    work->is_complete = true;
    return DDT_OK;
}

ddt_status solve_check_covariates(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t subject,
                                  uint32_t symbol, size_t column) {
    const ddt_subject *s = &events->subjects[subject];
    double first = s->record_count > 0 ? s->covariate_values[s->records[0].covariates + column] : 0.0;
    for (size_t r = 1; r < s->record_count; r++) {
        double value = s->covariate_values[s->records[r].covariates + column];
        if (value != first) {
            size_t shown = r; /* nodes between the records given have no line */
            while (shown + 1 < s->record_count && s->records[shown].line == 0) {
                shown++;
            }
            return ddt_fail(
                ctx, DDT_ERR_UNSUPPORTED,
                "'%s', line %u: %s of the subject %s changes from %g to %g; this solution wants it to be constant.",
                events->path, s->records[shown].line, model->symbols[symbol].name, s->id, first, value);
        }
    }
    return DDT_OK;
}
