/*
 * What every column knows besides the states: the time, when the last doses acted, and, encrypted, their amounts. And
 * where the equations jump: mtime(), and times that the model compares with.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "newton.h"

/* ------------------------------------------------------------------ symbols */

static bool is_history(const solve_symbol *symbol, ddt_symbol_kind kind) {
    return symbol->is_dose || (symbol->is_time && kind == DDT_SYMBOL_LAST_DOSE_TIME);
}

/* Breaks that encrypted values decide are left out: conditions on them are refused where they are expanded. */
static ddt_status find_breaks(solve_work *work) {
    solve_newton *nw = work->newton;
    size_t count = work->model->break_count;
    nw->breaks = solve_alloc(work, count, sizeof *nw->breaks);
    if (nw->breaks == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(solve_import(work, work->model->breaks, count, nw->breaks));
    for (size_t i = 0; i < count; i++) {
        solve_fact fact;
        SOLVE_TRY(solve_fact_of(work, nw->breaks[i], &fact));
        if (fact.symbol == SOLVE_NONE || fact.symbol == work->time_symbol) {
            nw->breaks[nw->break_count++] = nw->breaks[i];
        }
    }
    return DDT_OK;
}

ddt_status newton_history_create(solve_work *work) {
    solve_newton *nw = work->newton;
    nw->history = solve_alloc(work, work->symbol_count, sizeof *nw->history);
    if (nw->history == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        if (is_history(&work->symbols[i], work->model->symbols[i].kind)) {
            nw->history[nw->history_count++] = i;
        }
    }
    return find_breaks(work);
}

void newton_breaks_after(const solve_work *work, uint32_t compartment, double start_h, double *out_h) {
    const solve_newton *nw = work->newton;
    for (size_t i = 0; i < nw->break_count; i++) {
        ddt_expr e = nw->breaks[i];
        bool is_own = compartment == UINT32_MAX;
        for (size_t h = 0; h < nw->history_count; h++) {
            uint32_t symbol = nw->history[h];
            uint32_t of = work->model->symbols[symbol].compartment;
            bool reads = ddt_expr_depends_on(work->pool, e, symbol);
            is_own |= reads && (of == UINT32_MAX || of == compartment);
            e = reads ? ddt_expr_substitute(work->pool, e, symbol, ddt_expr_const(work->pool, start_h)) : e;
        }
        out_h[i] = NAN;
        if (is_own) {
            (void)ddt_expr_is_const(work->pool, e, &out_h[i]);
        }
    }
}

/* ------------------------------------------------------------------ columns */

/* The last dose at a column, its lag (which is public) included. */
static uint32_t last_row(const solve_work *work, const solve_lane *lane, size_t k, uint32_t compartment,
                         solve_given *givens) {
    const solve_layout *layout = &work->solution->layout;
    for (size_t row = 0; row < lane->source_count; row++) {
        const solve_lane_source *source = &lane->sources[row];
        givens[row].start_h = source->time_h;
        if (source->input != SOLVE_NONE) {
            givens[row].start_h += work->linear.lag_h[work->dosings[source->input].compartment];
        }
    }
    return solve_last_dose(layout, lane, givens, k, compartment);
}

ddt_status newton_history_of_grid(solve_work *work, size_t lane) {
    const solve_newton *nw = work->newton;
    const solve_lane *l = &work->solution->layout.lanes[lane];
    newton_grid *g = &work->newton->grids[lane];
    g->last_time = solve_alloc(work, g->count * nw->history_count + 1, sizeof *g->last_time);
    g->last_record = solve_alloc(work, g->count * nw->history_count + 1, sizeof *g->last_record);
    solve_given *givens = solve_alloc(work, l->source_count + 1, sizeof *givens);
    if (g->last_time == NULL || g->last_record == NULL || givens == NULL) {
        return DDT_ERR_MEMORY;
    }
    double start_h = 0.0;
    for (size_t k = 0; k < g->count; k++) {
        start_h = g->is_start[k] ? g->time[k] : start_h;
        for (size_t h = 0; h < nw->history_count; h++) {
            size_t at = k * nw->history_count + h;
            uint32_t compartment = work->model->symbols[nw->history[h]].compartment;
            uint32_t row = last_row(work, l, k, compartment, givens);
            g->last_time[at] = row == SOLVE_NONE ? start_h : givens[row].start_h;
            g->last_record[at] = row == SOLVE_NONE ? SOLVE_NONE : l->sources[row].record;
        }
    }
    return DDT_OK;
}

void newton_set_column(const solve_work *work, size_t lane, size_t k, const double *amounts, double *symbols) {
    const solve_newton *nw = work->newton;
    const newton_grid *g = &nw->grids[lane];
    for (size_t i = 0; i < work->symbol_count; i++) {
        if (work->symbols[i].is_time) {
            symbols[i] = g->time[k];
        }
    }
    for (size_t h = 0; h < nw->history_count; h++) {
        size_t at = k * nw->history_count + h;
        uint32_t record = g->last_record[at];
        if (work->symbols[nw->history[h]].is_time) {
            symbols[nw->history[h]] = g->last_time[at];
        } else {
            symbols[nw->history[h]] = record == SOLVE_NONE || amounts == NULL ? 0.0 : amounts[record];
        }
    }
}

void newton_fill_last_dose(const solve_work *work, size_t lane, const double *amounts, uint32_t symbol, size_t input,
                           double *values) {
    const solve_newton *nw = work->newton;
    const solve_layout *layout = &work->solution->layout;
    const solve_input *in = &layout->inputs[input];
    const newton_grid *g = &nw->grids[lane];
    for (size_t h = 0; h < nw->history_count; h++) {
        for (size_t k = 0; k < g->count && nw->history[h] == symbol; k++) {
            uint32_t record = g->last_record[k * nw->history_count + h];
            double amount = record == SOLVE_NONE ? 0.0 : amounts[record];
            solve_fill_column(layout, lane, k, (amount - in->mid) / in->half, values);
        }
    }
}

/* ------------------------------------------------------------------ what has died away */

ddt_status solve_newton_window(solve_work *work, ddt_expr e, double *low, double *high, double *shift) {
    const double negligible = -12.0; /* logarithm of what is left of the largest value: 6e-6 */
    const double widening = 0.05;
    const double above = 0.5; /* exp() of the range's upper end is the scale: little more than the largest value */
    const solve_newton *nw = work->newton;
    const solve_layout *layout = &work->solution->layout;
    size_t count = nw->lanes * nw->columns;
    double *lows = solve_alloc(work, 2 * count, sizeof *lows);
    if (lows == NULL) {
        return DDT_ERR_MEMORY;
    }
    const double *highs = lows + count;
    SOLVE_TRY(solve_newton_column_ranges(work, e, lows, lows + count));
    double peak = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        peak = fmax(peak, highs[i]);
    }
    *low = INFINITY;
    *high = peak;
    for (size_t l = 0; l < nw->lanes; l++) {
        for (size_t k = 0; k < nw->grids[l].count; k++) {
            size_t at = l * nw->columns + k;
            double missing = fmax(0.0, peak + negligible - highs[at]);
            *low = fmin(*low, lows[at] + missing);
            for (size_t row = 0; row < layout->rows; row++) {
                shift[(l * layout->rows + row) * layout->columns + k] = missing;
            }
        }
    }
    *low -= widening * (peak - *low);
    *high = peak + above;
    return DDT_OK;
}
