/*
 * The linear system behind a model, symbolically: dx/dt = A x + c with A and c free of states and time, x(0), outputs.
 * Only states that an output needs and that something reaches are kept. Everything else is refused with the place and
 * the reason.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

#include <string.h>

/* The system of all compartments, before irrelevant ones are dropped. */
typedef struct full_system {
    size_t count;
    ddt_expr *rhs, *initial;
    ddt_expr *outputs;
    ddt_expr *a;     /* count x count */
    ddt_expr *input; /* rhs at x = 0 */
    bool *is_needed, *is_reached;
} full_system;

static unsigned line_of(const solve_work *work, size_t compartment) {
    return work->model->compartments[compartment].line;
}

static const char *name_of(const solve_work *work, size_t compartment) {
    return work->model->compartments[compartment].name;
}

static uint32_t symbol_of(const solve_work *work, size_t compartment) {
    return work->model->compartments[compartment].symbol;
}

/* e with every state replaced by 0. */
static ddt_expr at_zero(solve_work *work, ddt_expr e, const bool *which) {
    ddt_expr zero = ddt_expr_const(work->pool, 0.0);
    for (size_t i = 0; i < work->model->compartment_count && e != DDT_EXPR_NONE; i++) {
        if (which == NULL || which[i]) {
            e = ddt_expr_substitute(work->pool, e, symbol_of(work, i), zero);
        }
    }
    return e;
}

/* ------------------------------------------------------------------ reading the model */

static ddt_status import_optional(solve_work *work, ddt_expr from, double absent, ddt_expr *to) {
    if (from == DDT_EXPR_NONE) {
        *to = ddt_expr_const(work->pool, absent);
        return *to == DDT_EXPR_NONE ? solve_pool_failure(work) : DDT_OK;
    }
    return solve_import(work, &from, 1, to);
}

static ddt_status import_system(solve_work *work, full_system *full) {
    const ddt_model *model = work->model;
    size_t n = model->compartment_count;
    full->count = n;
    full->rhs = solve_alloc(work, n, sizeof *full->rhs);
    full->initial = solve_alloc(work, n, sizeof *full->initial);
    full->input = solve_alloc(work, n, sizeof *full->input);
    full->a = solve_alloc(work, n * n, sizeof *full->a);
    full->outputs = solve_alloc(work, model->output_count, sizeof *full->outputs);
    full->is_needed = solve_alloc(work, n, sizeof(bool));
    full->is_reached = solve_alloc(work, n, sizeof(bool));
    if (full->rhs == NULL || full->initial == NULL || full->input == NULL || full->a == NULL || full->outputs == NULL ||
        full->is_needed == NULL || full->is_reached == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        SOLVE_TRY(import_optional(work, model->compartments[i].derivative, 0.0, &full->rhs[i]));
        SOLVE_TRY(import_optional(work, model->compartments[i].initial, 0.0, &full->initial[i]));
    }
    for (size_t o = 0; o < model->output_count; o++) {
        SOLVE_TRY(import_optional(work, model->outputs[o].value, 0.0, &full->outputs[o]));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ which states matter */

/* Whether one of the symbols used is of the last dose into a compartment: then its doses must be known. */
static bool is_last_dosed(const solve_work *work, const bool *used, size_t compartment) {
    for (size_t i = 0; i < work->model->symbol_count && work->is_dosed[compartment]; i++) {
        const ddt_symbol *symbol = &work->model->symbols[i];
        bool is_history = symbol->kind == DDT_SYMBOL_LAST_DOSE_TIME || symbol->kind == DDT_SYMBOL_LAST_DOSE_AMOUNT;
        if (used[i] && is_history && (symbol->compartment == UINT32_MAX || symbol->compartment == compartment)) {
            return true;
        }
    }
    return false;
}

/* Marks the states that an expression reads. Returns whether a new one was found in *found. */
static ddt_status mark_states(solve_work *work, ddt_expr e, bool *marks, bool *found) {
    bool *used = solve_alloc(work, work->symbol_count, sizeof *used);
    if (used == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(ddt_expr_symbols(work->ctx, work->pool, &e, 1, used, work->symbol_count));
    for (size_t j = 0; j < work->model->compartment_count; j++) {
        if ((used[symbol_of(work, j)] || is_last_dosed(work, used, j)) && !marks[j]) {
            marks[j] = true;
            *found = true;
        }
    }
    return DDT_OK;
}

/* What needed states read is needed. */
static ddt_status grow_needed(solve_work *work, full_system *full, bool *grows) {
    for (size_t i = 0; i < full->count; i++) {
        SOLVE_TRY(full->is_needed[i] ? mark_states(work, full->rhs[i], full->is_needed, grows) : DDT_OK);
    }
    return DDT_OK;
}

static ddt_status find_needed(solve_work *work, full_system *full) {
    bool grows = false;
    for (size_t o = 0; o < work->model->output_count; o++) {
        SOLVE_TRY(mark_states(work, full->outputs[o], full->is_needed, &grows));
    }
    do {
        grows = false;
        SOLVE_TRY(grow_needed(work, full, &grows));
    } while (grows);
    return DDT_OK;
}

static bool is_fed(const solve_work *work, const full_system *full, size_t i) {
    for (size_t j = 0; j < full->count; j++) {
        if (full->is_reached[j] && !solve_is_constant(work, full->a[i * full->count + j], 0.0)) {
            return true;
        }
    }
    return false;
}

static void find_reached(solve_work *work, full_system *full) {
    for (size_t i = 0; i < full->count; i++) {
        full->is_reached[i] = full->is_needed[i] && (work->is_dosed[i] || solve_newton_forces(work, i) ||
                                                     !solve_is_constant(work, full->initial[i], 0.0) ||
                                                     !solve_is_constant(work, full->input[i], 0.0));
    }
    bool grows = true;
    while (grows) {
        grows = false;
        for (size_t i = 0; i < full->count; i++) {
            if (full->is_needed[i] && !full->is_reached[i] && is_fed(work, full, i)) {
                full->is_reached[i] = true;
                grows = true;
            }
        }
    }
}

/* ------------------------------------------------------------------ linearity */

/* The first additive part of e that is not affine in the states, in the model's own pool. */
static ddt_expr nonlinear_part(const ddt_model *model, ddt_expr e, const bool *is_state) {
    const ddt_expr_node *node = ddt_expr_get(model->pool, e);
    if (ddt_expr_is_affine(model->pool, e, is_state, model->symbol_count)) {
        return DDT_EXPR_NONE;
    }
    if (node->op == DDT_EXPR_NEG) {
        return nonlinear_part(model, node->a, is_state);
    }
    if (node->op == DDT_EXPR_ADD || node->op == DDT_EXPR_SUB) {
        ddt_expr right = node->b;
        ddt_expr found = nonlinear_part(model, node->a, is_state);
        return found != DDT_EXPR_NONE ? found : nonlinear_part(model, right, is_state);
    }
    return e;
}

static ddt_status refuse_nonlinear(solve_work *work, size_t i) {
    const ddt_model *model = work->model;
    bool *is_state = solve_alloc(work, work->symbol_count, sizeof *is_state);
    if (is_state == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t s = 0; s < work->symbol_count; s++) {
        is_state[s] = work->symbols[s].is_state;
    }
    ddt_expr part = nonlinear_part(model, model->compartments[i].derivative, is_state);
    part = part == DDT_EXPR_NONE ? model->compartments[i].derivative : part;
    return ddt_fail(
        work->ctx, DDT_ERR_UNSUPPORTED,
        "'%s', line %u: d/dt(%s) is neither linear in the compartments nor smooth (%s), and an output depends on it "
        "(--output selects outputs).",
        model->path, line_of(work, i), name_of(work, i), solve_print_from(work, model->pool, part));
}

/* The innermost operation of e that jumps or bends with a compartment, DDT_EXPR_NONE where e has none. */
static ddt_status find_decision(solve_work *work, ddt_expr e, ddt_expr *found) {
    ddt_expr *order = NULL;
    size_t count = 0;
    *found = DDT_EXPR_NONE;
    SOLVE_TRY(ddt_expr_topological(work->ctx, work->pool, &e, 1, &order, &count));
    ddt_status status = DDT_OK;
    for (size_t k = 0; k < count && *found == DDT_EXPR_NONE && status == DDT_OK; k++) {
        solve_fact fact = {0};
        status = solve_fact_of(work, order[k], &fact);
        *found = fact.decides_on_state ? order[k] : DDT_EXPR_NONE;
    }
    ddt_free(order);
    return status;
}

static ddt_status refuse_decision(solve_work *work, size_t i, ddt_expr rhs) {
    ddt_expr decision = DDT_EXPR_NONE;
    SOLVE_TRY(find_decision(work, rhs, &decision));
    return ddt_fail(
        work->ctx, DDT_ERR_UNSUPPORTED,
        "'%s', line %u: d/dt(%s) decides on a compartment (%s), which is encrypted: no polynomial follows such a jump "
        "or bend; a smooth form does, such as C^10 / (K^10 + C^10) for C > K.",
        work->model->path, line_of(work, i), name_of(work, i), solve_print(work, decision));
}

static ddt_status check_coefficient(solve_work *work, size_t i, ddt_expr term) {
    solve_fact fact;
    SOLVE_TRY(solve_fact_of(work, term, &fact));
    if (fact.has_state) {
        return refuse_nonlinear(work, i);
    }
    if (fact.has_time) {
        return ddt_fail(
            work->ctx, DDT_ERR_UNSUPPORTED,
            "'%s', line %u: d/dt(%s) has a coefficient that depends on time, %s; only constant coefficients are "
            "supported.",
            work->model->path, line_of(work, i), name_of(work, i), solve_print(work, term));
    }
    return DDT_OK;
}

/* Row i of A, and what flows into compartment i at x = 0. */
static ddt_status find_row(solve_work *work, full_system *full, size_t i) {
    solve_fact fact;
    SOLVE_TRY(solve_fact_of(work, full->rhs[i], &fact));
    if (fact.decides_on_state) { /* its derivative would hide the jump */
        return refuse_decision(work, i, full->rhs[i]);
    }
    for (size_t j = 0; j < full->count; j++) {
        if (!full->is_needed[j]) {
            continue;
        }
        ddt_expr rate = ddt_expr_derivative(work->pool, full->rhs[i], symbol_of(work, j));
        SOLVE_TRY(check_coefficient(work, i, rate));
        full->a[i * full->count + j] = rate;
    }
    full->input[i] = at_zero(work, full->rhs[i], NULL);
    return check_coefficient(work, i, full->input[i]);
}

static ddt_status find_rates(solve_work *work, full_system *full) {
    for (size_t i = 0; i < full->count; i++) {
        full->input[i] = ddt_expr_const(work->pool, 0.0);
        for (size_t j = 0; j < full->count; j++) {
            full->a[i * full->count + j] = full->input[i];
        }
        SOLVE_TRY(full->is_needed[i] ? find_row(work, full, i) : DDT_OK);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ the relevant part */

static ddt_status allocate_linear(solve_work *work, const full_system *full) {
    solve_linear *linear = &work->linear;
    size_t compartments = full->count;
    linear->n = 0;
    linear->state = solve_alloc(work, compartments, sizeof *linear->state);
    linear->compartment = solve_alloc(work, compartments + 1, sizeof *linear->compartment);
    linear->outputs = solve_alloc(work, work->model->output_count, sizeof *linear->outputs);
    if (linear->state == NULL || linear->compartment == NULL || linear->outputs == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < compartments; i++) {
        linear->state[i] = SIZE_MAX;
        if (full->is_reached[i]) {
            linear->state[i] = linear->n;
            linear->compartment[linear->n++] = i;
            linear->has_unit |= !solve_is_constant(work, full->input[i], 0.0);
        }
    }
    if (linear->has_unit) {
        linear->compartment[linear->n++] = SOLVE_UNIT;
    }
    size_t n = linear->n;
    linear->a = solve_alloc(work, n * n, sizeof *linear->a);
    linear->is_nonzero = solve_alloc(work, n * n, sizeof *linear->is_nonzero);
    linear->initial = solve_alloc(work, n, sizeof *linear->initial);
    return linear->a == NULL || linear->is_nonzero == NULL || linear->initial == NULL ? DDT_ERR_MEMORY : DDT_OK;
}

static ddt_expr entry_of(const solve_work *work, const full_system *full, size_t i, size_t j) {
    const solve_linear *linear = &work->linear;
    size_t row = linear->compartment[i];
    size_t column = linear->compartment[j];
    if (row == SOLVE_UNIT) {
        return ddt_expr_const(work->pool, 0.0);
    }
    return column == SOLVE_UNIT ? full->input[row] : full->a[row * full->count + column];
}

static ddt_status fill_linear(solve_work *work, const full_system *full) {
    solve_linear *linear = &work->linear;
    size_t n = linear->n;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            linear->a[i * n + j] = entry_of(work, full, i, j);
            linear->is_nonzero[i * n + j] = !solve_is_constant(work, linear->a[i * n + j], 0.0);
        }
        if (linear->compartment[i] == SOLVE_UNIT) {
            linear->initial[i] = ddt_expr_const(work->pool, 1.0);
            continue;
        }
        size_t c = linear->compartment[i];
        linear->initial[i] = full->initial[c];
        solve_fact fact;
        SOLVE_TRY(solve_fact_of(work, full->initial[c], &fact));
        if (fact.has_state || fact.has_time) {
            return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s', line %u: %s(0) depends on a compartment or on time.",
                            work->model->path, line_of(work, c), name_of(work, c));
        }
        linear->has_initial |= !solve_is_constant(work, full->initial[c], 0.0);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ outputs */

/* Where the equations do not read the last dose, its columns are not kept. */
static ddt_status check_output(solve_work *work, size_t o, ddt_expr value) {
    for (uint32_t i = 0; i < work->symbol_count && work->newton == NULL; i++) {
        bool is_history =
            work->symbols[i].is_dose || (work->symbols[i].is_time && work->model->symbols[i].kind != DDT_SYMBOL_TIME);
        if (is_history && ddt_expr_depends_on(work->pool, value, i)) {
            return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                            "'%s': the output %s reads the last dose (%s), which is supported where the equations are "
                            "not linear or depend on time, but not here.",
                            work->model->path, work->model->outputs[o].name, work->model->symbols[i].name);
        }
    }
    return DDT_OK;
}

static ddt_status make_output(solve_work *work, const full_system *full, size_t o) {
    solve_linear *linear = &work->linear;
    solve_linear_output *output = &linear->outputs[o];
    bool *dropped = solve_alloc(work, full->count, sizeof *dropped);
    output->gain = solve_alloc(work, linear->n, sizeof *output->gain);
    if (dropped == NULL || output->gain == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < full->count; i++) {
        dropped[i] = !full->is_reached[i];
    }
    output->value = at_zero(work, full->outputs[o], dropped);
    solve_fact fact;
    SOLVE_TRY(solve_fact_of(work, output->value, &fact));
    SOLVE_TRY(check_output(work, o, output->value));
    output->is_linear = !fact.decides_on_state && !fact.has_time;
    for (size_t i = 0; i < linear->n; i++) {
        size_t c = linear->compartment[i];
        output->gain[i] = c == SOLVE_UNIT ? ddt_expr_const(work->pool, 0.0)
                                          : ddt_expr_derivative(work->pool, output->value, symbol_of(work, c));
        SOLVE_TRY(solve_fact_of(work, output->gain[i], &fact));
        output->is_linear &= !fact.has_state;
    }
    output->offset = at_zero(work, output->value, NULL);
    if (!output->is_linear && work->newton == NULL) {
        SOLVE_TRY(solve_rewrite_saturations(work, output->value, &output->value));
    }
    return output->offset == DDT_EXPR_NONE ? solve_pool_failure(work) : DDT_OK;
}

/* ------------------------------------------------------------------ dosing parameters */

/* What decides when a dose acts: free of states and time. *number: its value where it is public, else NAN. */
static ddt_status dosing_part(solve_work *work, size_t compartment, ddt_expr from, double absent, const char *what,
                              ddt_expr *out, double *number) {
    solve_fact fact;
    SOLVE_TRY(import_optional(work, from, absent, out));
    SOLVE_TRY(solve_fact_of(work, *out, &fact));
    if (fact.has_state || fact.has_time) {
        return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s', line %u: %s(%s) depends on a compartment or on time.",
                        work->model->path, line_of(work, compartment), what, name_of(work, compartment));
    }
    *number = NAN;
    bool is_public = ddt_expr_is_const(work->pool, *out, number);
    if (is_public && (!isfinite(*number) || *number < 0.0)) {
        return ddt_fail(work->ctx, DDT_ERR_MODEL, "'%s', line %u: %s(%s) is %g.", work->model->path,
                        line_of(work, compartment), what, name_of(work, compartment), *number);
    }
    return DDT_OK;
}

static ddt_status dosing_parameters(solve_work *work) {
    const ddt_model *model = work->model;
    solve_linear *linear = &work->linear;
    size_t count = model->compartment_count;
    ddt_expr **const lists[] = {&linear->bioavailability, &linear->lag, &linear->duration, &linear->rate};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        *lists[k] = solve_alloc(work, count, sizeof **lists[k]);
        if (*lists[k] == NULL) {
            return DDT_ERR_MEMORY;
        }
    }
    linear->lag_h = solve_alloc(work, count, sizeof *linear->lag_h);
    linear->modelled_duration_h = solve_alloc(work, count, sizeof *linear->modelled_duration_h);
    linear->modelled_rate = solve_alloc(work, count, sizeof *linear->modelled_rate);
    if (linear->lag_h == NULL || linear->modelled_duration_h == NULL || linear->modelled_rate == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        const ddt_compartment *c = &model->compartments[i];
        bool is_used = work->is_dosed[i] && linear->state[i] != SIZE_MAX;
        double ignored = 0.0;
        SOLVE_TRY(dosing_part(work, i, is_used ? c->bioavailability : DDT_EXPR_NONE, 1.0, "f",
                              &linear->bioavailability[i], &ignored));
        SOLVE_TRY(
            dosing_part(work, i, is_used ? c->lag_h : DDT_EXPR_NONE, 0.0, "alag", &linear->lag[i], &linear->lag_h[i]));
        SOLVE_TRY(dosing_part(work, i, is_used ? c->duration : DDT_EXPR_NONE, 0.0, "dur", &linear->duration[i],
                              &linear->modelled_duration_h[i]));
        SOLVE_TRY(dosing_part(work, i, is_used ? c->rate : DDT_EXPR_NONE, 0.0, "rate", &linear->rate[i],
                              &linear->modelled_rate[i]));
    }
    return DDT_OK;
}

ddt_status solve_linear_create(solve_work *work) {
    full_system full = {0};
    SOLVE_TRY(import_system(work, &full));
    SOLVE_TRY(find_needed(work, &full));
    SOLVE_TRY(solve_newton_logarithms(work, full.count, full.rhs, full.initial, full.outputs, full.is_needed));
    SOLVE_TRY(solve_newton_split(work, full.count, full.rhs, full.is_needed));
    SOLVE_TRY(find_rates(work, &full));
    find_reached(work, &full);
    SOLVE_TRY(allocate_linear(work, &full));
    SOLVE_TRY(fill_linear(work, &full));
    for (size_t o = 0; o < work->model->output_count; o++) {
        SOLVE_TRY(make_output(work, &full, o));
    }
    SOLVE_TRY(dosing_parameters(work));
    return solve_roles_apply(work);
}
