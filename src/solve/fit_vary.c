/*
 * Covariates that change with time, in a fit: virtual patients take values of their own at each record, independent or
 * close to one another, and the linear system of each record that a slot goes by.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_internal.h"

#include <string.h>

/* A symbol in use that stands for a covariate's value in some role; SOLVE_NONE where nothing reads it. */
static uint32_t used_role(const solve_work *work, uint32_t origin) {
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        if (work->symbols[i].origin == origin && work->symbols[i].changes && work->symbols[i].is_encrypted &&
            !work->symbols[i].is_threshold) {
            return i;
        }
    }
    return SOLVE_NONE;
}

static size_t most_records(const solve_work *work) {
    size_t most = 1;
    for (size_t s = 0; s < work->events->subject_count; s++) {
        size_t own = work->events->subjects[s].record_count;
        most = own > most ? own : most;
    }
    return most;
}

static ddt_status create_numbers(fit_work *fw) {
    solve_work *work = fw->work;
    fw->record_count = most_records(work);
    fw->of_record = solve_alloc(work, fw->record_count, sizeof *fw->of_record);
    fw->record_symbols = solve_alloc(work, fw->record_count * work->symbol_count, sizeof *fw->record_symbols);
    fw->is_needed = solve_alloc(work, fw->record_count, sizeof *fw->is_needed);
    if (fw->of_record == NULL || fw->record_symbols == NULL || fw->is_needed == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t r = 0; r < fw->record_count; r++) {
        SOLVE_TRY(solve_numbers_create(work, &fw->of_record[r]));
        fw->of_record[r].a_odd = fw->of_record[r].a; /* nothing is mirrored */
    }
    fw->needed_lane = SIZE_MAX;
    return DDT_OK;
}

ddt_status fit_vary_create(fit_work *fw) {
    solve_work *work = fw->work;
    fw->changing = solve_alloc(work, work->symbol_count, sizeof *fw->changing);
    fw->changing_role = solve_alloc(work, work->symbol_count, sizeof *fw->changing_role);
    if (fw->changing == NULL || fw->changing_role == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        uint32_t role = work->symbols[i].origin == i && work->symbols[i].changes ? used_role(work, i) : SOLVE_NONE;
        if (role != SOLVE_NONE) {
            fw->changing[fw->changing_count] = i;
            fw->changing_role[fw->changing_count++] = role;
        }
    }
    return fw->changing_count > 0 ? create_numbers(fw) : DDT_OK;
}

/* Half of the patients have values that have nothing to do with one another, the others vary less. */
void fit_vary_draw(const fit_work *fw, size_t records, size_t patient, double (*uniform)(uint64_t *), uint64_t *random,
                   double *changes) {
    const double half = 0.5;
    const solve_work *work = fw->work;
    double freedom = fw->changing_count == 0 || uniform(random) < half ? 1.0 : uniform(random);
    for (size_t r = 0; r < records && fw->changing_count > 0; r++) {
        size_t row = (size_t)(uniform(random) * (double)work->draw_count);
        const double *other = work->samples + row % work->draw_count * work->symbol_count;
        const double *base = work->samples + patient * work->symbol_count;
        for (size_t c = 0; c < fw->changing_count; c++) {
            uint32_t role = fw->changing_role[c];
            bool is_discrete = work->symbols[role].level_count > 0;
            double part = is_discrete ? (uniform(random) < freedom ? 1.0 : 0.0) : freedom;
            changes[r * fw->changing_count + c] = base[role] + part * (other[role] - base[role]);
        }
    }
}

/* Records whose values some slot of a lane takes. */
static void find_needed(fit_work *fw, size_t lane) {
    const solve_layout *layout = &fw->work->solution->layout;
    const solve_lane *l = &layout->lanes[lane];
    memset(fw->is_needed, 0, fw->record_count * sizeof *fw->is_needed);
    fw->is_needed[0] = true; /* of slots that nothing acts in */
    for (size_t row = 0; row < l->source_count; row++) {
        fw->is_needed[l->sources[row].covariate_record] = true;
    }
    for (size_t k = 0; k < l->column_count; k++) {
        const solve_lane_column *column = &l->columns[k];
        fw->is_needed[column->record] = true;
        for (size_t j = 0; j < column->segment_count; j++) {
            fw->is_needed[layout->subjects[l->subject].segments[column->segment + j].record] = true;
        }
    }
    fw->needed_lane = lane;
}

static void symbols_at(const fit_work *fw, const double *base, const double *changes, double *out) {
    const solve_work *work = fw->work;
    memcpy(out, base, work->symbol_count * sizeof *out);
    for (uint32_t i = 0; i < work->symbol_count; i++) {
        for (size_t c = 0; c < fw->changing_count && work->symbols[i].changes; c++) {
            out[i] = work->symbols[i].origin == fw->changing[c] ? changes[c] : out[i];
        }
    }
    solve_threshold_settle(work, out);
}

void fit_vary_numbers(fit_work *fw, size_t lane, const double *symbols, const double *changes) {
    fw->numbers.of_record = NULL;
    if (fw->changing_count == 0) {
        solve_numbers_of(fw->work, symbols, &fw->numbers);
        return;
    }
    if (fw->needed_lane != lane) {
        find_needed(fw, lane);
    }
    fw->numbers.symbols = symbols;
    fw->numbers.of_record = fw->of_record;
    for (size_t r = 0; r < fw->record_count; r++) {
        if (fw->is_needed[r]) {
            double *own = fw->record_symbols + r * fw->work->symbol_count;
            symbols_at(fw, symbols, changes + r * fw->changing_count, own);
            solve_numbers_of(fw->work, own, &fw->of_record[r]);
        }
    }
}

void fit_vary_fill(const fit_work *fw, size_t lane, size_t input, uint32_t symbol, const double *changes,
                   double *slots) {
    const solve_layout *layout = &fw->work->solution->layout;
    const solve_lane *l = &layout->lanes[lane];
    const solve_input *in = &layout->inputs[input];
    size_t c = 0;
    while (c + 1 < fw->changing_count && fw->changing[c] != fw->work->symbols[symbol].origin) {
        c++;
    }
    for (size_t at = 0; at < layout->lane_slots; at++) {
        size_t row = at / layout->columns % layout->rows;
        size_t segment = at / (layout->columns * layout->rows);
        uint32_t record = solve_record_for(layout, l, in->role, segment, row, at % layout->columns);
        double value = changes[record * fw->changing_count + c];
        value = in->kind == SOLVE_INPUT_THRESHOLD ? (value >= in->threshold ? 1.0 : 0.0) : value;
        slots[lane * layout->lane_slots + at] = solve_encode_value(in, value);
    }
}
