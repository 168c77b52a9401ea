/*
 * The fit's section of a plan file, "FITS", behind those of the layout. Files from outside are hostile: every index and
 * count is checked.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_surrogate.h"
#include "section.h"

#include <string.h>

enum { SECTION_MAX_BYTES = 1 << 30, LEVEL_BYTES = 3 * 4, FEATURES_MAX = 1 << 14, DEGREE_MAX = 63 };

bool solve_fit_expected(const solve_layout *layout) {
    return layout->input_count > 0 && layout->inputs[layout->input_count - 1].kind == SOLVE_INPUT_FIT;
}

/* ------------------------------------------------------------------ writing */

static void write_residual(ddt_writer *w, const solve_fit *fit, size_t o) {
    const fit_residual *r = &fit->residuals[o];
    ddt_writer_u32(w, (uint32_t)r->kind);
    ddt_writer_f64(w, r->additive);
    ddt_writer_f64(w, r->proportional);
    ddt_writer_f64(w, r->reach);
    ddt_writer_f64(w, r->pad);
    ddt_writer_u32(w, r->degree);
    ddt_writer_u32(w, r->is_public);
    ddt_writer_f64(w, r->limit);
    ddt_writer_u32(w, fit->inverse_input[o]);
    ddt_writer_f64(w, fit->score_scale[o]);
    ddt_writer_u32(w, fit->level_range[o]);
    bool has_scores = !r->is_public && fit->inverse_input[o] != SOLVE_NONE;
    for (unsigned k = 0; k <= r->degree && has_scores; k++) {
        ddt_writer_u32(w, fit->score_input[o][k]);
    }
}

static void write_lane(ddt_writer *w, const solve_fit *fit, const fit_lane *lane) {
    ddt_writer_u32(w, (uint32_t)lane->level_count);
    for (size_t k = 0; k < lane->level_count; k++) {
        ddt_writer_u32(w, lane->levels[k].record);
        ddt_writer_u32(w, lane->levels[k].output);
        ddt_writer_u32(w, lane->levels[k].column);
    }
    ddt_writer_u32(w, (uint32_t)lane->variable_count);
    ddt_writer_u32(w, lane->degree);
    for (size_t i = 0; i < lane->variable_count * fit_fact_count(fit, lane); i++) {
        ddt_writer_f64(w, lane->projection[i]);
    }
    for (size_t i = 0; i < lane->variable_count; i++) {
        ddt_writer_f64(w, lane->centre[i]);
    }
    for (size_t i = 0; i < fit->eta_count * fit_term_count(fit, lane); i++) {
        ddt_writer_f64(w, lane->guess[i]);
    }
}

ddt_status solve_fit_write(ddt_writer *writer, const ddt_solution *solution) {
    const solve_fit *fit = solution->fit;
    SOLVE_TRY(fit->surrogate != NULL ? surrogate_write(writer, fit) : DDT_OK);
    ddt_writer_begin(writer, "FITS");
    ddt_writer_u32(writer, (uint32_t)fit->eta_count);
    for (size_t i = 0; i < fit->eta_count; i++) {
        ddt_writer_f64(writer, fit->eta_limit[i]);
    }
    ddt_writer_u32(writer, (uint32_t)fit->feature_count);
    ddt_writer_u32(writer, fit->feature_input);
    ddt_writer_u32(writer, (uint32_t)fit->output_count);
    ddt_writer_u32(writer, fit->sees_size);
    ddt_writer_u32(writer, (uint32_t)fit->covariate_count);
    for (size_t c = 0; c < fit->covariate_count; c++) {
        ddt_writer_u32(writer, fit->covariates[c]);
    }
    ddt_writer_u32(writer, fit->has_slopes);
    ddt_writer_f64(writer, fit->gain_unit);
    for (size_t i = 0; i < fit->eta_count * (fit->eta_count + 1); i++) {
        ddt_writer_f64(writer, i < fit->eta_count ? fit->eta_sd[i] : fit->prior[i - fit->eta_count]);
    }
    for (size_t o = 0; o < fit->output_count; o++) {
        write_residual(writer, fit, o);
    }
    for (size_t l = 0; l < fit->lane_count; l++) {
        write_lane(writer, fit, &fit->lanes[l]);
    }
    return ddt_writer_end(writer);
}

/* ------------------------------------------------------------------ reading */

typedef struct parser {
    ddt_context *ctx;
    ddt_reader *reader;
    const solve_layout *layout;
    solve_fit *fit;
} parser;

static ddt_status bad(const parser *p, const char *what) { return section_bad(p->ctx, p->reader, "fit", what); }

static ddt_status check_fit_input(const parser *p, uint32_t index) {
    return index < p->layout->input_count && p->layout->inputs[index].kind == SOLVE_INPUT_FIT
               ? DDT_OK
               : bad(p, "it names an input that does not exist");
}

static ddt_status read_fit_input(const parser *p, uint32_t *index) {
    SOLVE_TRY(ddt_reader_u32(p->reader, index));
    return check_fit_input(p, *index);
}

static bool is_known(ddt_residual_kind kind) {
    return kind == DDT_RESIDUAL_ADDITIVE || kind == DDT_RESIDUAL_PROPORTIONAL || kind == DDT_RESIDUAL_COMBINED ||
           kind == DDT_RESIDUAL_LOG || kind == DDT_RESIDUAL_COMBINED_SD;
}

/* None where there is no step: features are the only input then. */
static ddt_status read_step_inputs(const parser *p, size_t o) {
    const fit_residual *r = &p->fit->residuals[o];
    if (p->fit->inverse_input[o] == SOLVE_NONE) {
        return DDT_OK;
    }
    SOLVE_TRY(check_fit_input(p, p->fit->inverse_input[o]));
    for (unsigned k = 0; k <= r->degree && !r->is_public; k++) {
        SOLVE_TRY(read_fit_input(p, &p->fit->score_input[o][k]));
    }
    return DDT_OK;
}

static ddt_status read_residual(const parser *p, size_t o) {
    fit_residual *r = &p->fit->residuals[o];
    uint32_t kind = 0;
    uint32_t is_public = 0;
    SOLVE_TRY(ddt_reader_u32(p->reader, &kind));
    SOLVE_TRY(ddt_reader_f64(p->reader, &r->additive));
    SOLVE_TRY(ddt_reader_f64(p->reader, &r->proportional));
    SOLVE_TRY(ddt_reader_f64(p->reader, &r->reach));
    SOLVE_TRY(ddt_reader_f64(p->reader, &r->pad));
    SOLVE_TRY(ddt_reader_u32(p->reader, &r->degree));
    SOLVE_TRY(ddt_reader_u32(p->reader, &is_public));
    SOLVE_TRY(ddt_reader_f64(p->reader, &r->limit));
    SOLVE_TRY(ddt_reader_u32(p->reader, &p->fit->inverse_input[o]));
    SOLVE_TRY(ddt_reader_f64(p->reader, &p->fit->score_scale[o]));
    SOLVE_TRY(ddt_reader_u32(p->reader, &p->fit->level_range[o]));
    r->kind = (ddt_residual_kind)kind;
    r->is_public = is_public != 0;
    if (!is_known(r->kind) || r->degree < 1 || r->degree > FIT_SCORE_MAX ||
        p->fit->level_range[o] >= p->layout->range_count) {
        return bad(p, "a residual error");
    }
    return read_step_inputs(p, o);
}

static ddt_status read_levels(const parser *p, size_t index) {
    fit_lane *lane = &p->fit->lanes[index];
    const solve_lane *of = &p->layout->lanes[index];
    SOLVE_TRY(ddt_reader_count(p->reader, LEVEL_BYTES, FIT_LEVELS_MAX, &lane->level_count));
    lane->levels = ddt_calloc(lane->level_count + 1, sizeof *lane->levels);
    if (lane->levels == NULL) {
        return solve_no_memory(p->ctx);
    }
    for (size_t k = 0; k < lane->level_count; k++) {
        fit_level *level = &lane->levels[k];
        SOLVE_TRY(ddt_reader_u32(p->reader, &level->record));
        SOLVE_TRY(ddt_reader_u32(p->reader, &level->output));
        SOLVE_TRY(ddt_reader_u32(p->reader, &level->column));
        if (level->record >= p->layout->subjects[of->subject].record_count || level->output >= p->fit->output_count ||
            level->column >= of->column_count || (k > 0 && level->record <= lane->levels[k - 1].record)) {
            return bad(p, "a level names a record, an output or a column that does not exist");
        }
    }
    return DDT_OK;
}

static ddt_status read_lane(const parser *p, size_t index) {
    fit_lane *lane = &p->fit->lanes[index];
    SOLVE_TRY(read_levels(p, index));
    uint32_t variables = 0;
    SOLVE_TRY(ddt_reader_u32(p->reader, &variables));
    SOLVE_TRY(ddt_reader_u32(p->reader, &lane->degree));
    lane->variable_count = variables;
    if (variables > FIT_VARIABLES_MAX || lane->degree > DEGREE_MAX ||
        fit_monomial_count(variables, lane->degree) + fit_slope_terms(p->fit, lane) +
                p->fit->eta_count * (p->fit->eta_count + 1) / 2 >
            p->fit->feature_count) {
        return bad(p, "features");
    }
    size_t facts = fit_fact_count(p->fit, lane);
    lane->projection = ddt_calloc(lane->variable_count * facts + 1, sizeof *lane->projection);
    lane->centre = ddt_calloc(lane->variable_count + 1, sizeof *lane->centre);
    if (lane->projection == NULL || lane->centre == NULL) {
        return solve_no_memory(p->ctx);
    }
    for (size_t i = 0; i < lane->variable_count * facts; i++) {
        SOLVE_TRY(ddt_reader_f64(p->reader, &lane->projection[i]));
    }
    for (size_t i = 0; i < lane->variable_count; i++) {
        SOLVE_TRY(ddt_reader_f64(p->reader, &lane->centre[i]));
    }
    size_t count = p->fit->eta_count * fit_term_count(p->fit, lane);
    lane->guess = ddt_calloc(count, sizeof *lane->guess);
    if (lane->guess == NULL) {
        return solve_no_memory(p->ctx);
    }
    for (size_t i = 0; i < count; i++) {
        SOLVE_TRY(ddt_reader_f64(p->reader, &lane->guess[i]));
    }
    return DDT_OK;
}

static ddt_status read_shape(const parser *p) {
    solve_fit *fit = p->fit;
    uint32_t etas = 0;
    uint32_t features = 0;
    uint32_t outputs = 0;
    SOLVE_TRY(ddt_reader_u32(p->reader, &etas));
    for (uint32_t i = 0; i < etas && etas <= FIT_ETAS_MAX; i++) {
        SOLVE_TRY(ddt_reader_f64(p->reader, &fit->eta_limit[i]));
    }
    SOLVE_TRY(ddt_reader_u32(p->reader, &features));
    SOLVE_TRY(read_fit_input(p, &fit->feature_input));
    SOLVE_TRY(ddt_reader_u32(p->reader, &outputs));
    size_t part = p->layout->segments * p->layout->rows * p->layout->columns;
    size_t block = p->layout->lane_slots != 0 ? p->layout->lane_slots : part;
    size_t copies = fit->surrogate != NULL ? 1 : fit_copy_count(etas);
    bool is_power = features != 0 && (features & (features - 1)) == 0;
    if (etas == 0 || etas > FIT_ETAS_MAX || !is_power || features > FEATURES_MAX || outputs == 0 ||
        outputs > FIT_OUTPUTS_MAX || block < features || part > block / copies ||
        (fit->surrogate != NULL && etas != fit->eta_count)) {
        return bad(p, "its shape");
    }
    fit->eta_count = etas;
    fit->copies = copies;
    fit->feature_count = features;
    fit->output_count = outputs;
    uint32_t sees_size = 0;
    SOLVE_TRY(ddt_reader_u32(p->reader, &sees_size));
    SOLVE_TRY(ddt_reader_count(p->reader, sizeof(uint32_t), FIT_COVARIATES_MAX, &fit->covariate_count));
    fit->sees_size = sees_size != 0;
    for (size_t c = 0; c < fit->covariate_count; c++) {
        SOLVE_TRY(ddt_reader_u32(p->reader, &fit->covariates[c]));
    }
    return DDT_OK;
}

static ddt_status read_prior(const parser *p) {
    solve_fit *fit = p->fit;
    uint32_t has_slopes = 0;
    SOLVE_TRY(ddt_reader_u32(p->reader, &has_slopes));
    fit->has_slopes = has_slopes != 0;
    SOLVE_TRY(ddt_reader_f64(p->reader, &fit->gain_unit));
    for (size_t i = 0; i < fit->eta_count * (fit->eta_count + 1); i++) {
        double *to = i < fit->eta_count ? &fit->eta_sd[i] : &fit->prior[i - fit->eta_count];
        SOLVE_TRY(ddt_reader_f64(p->reader, to));
    }
    return DDT_OK;
}

static ddt_status read_all(const parser *p) {
    SOLVE_TRY(ddt_reader_begin(p->reader, "FITS", SECTION_MAX_BYTES));
    SOLVE_TRY(read_shape(p));
    SOLVE_TRY(read_prior(p));
    for (size_t o = 0; o < p->fit->output_count; o++) {
        SOLVE_TRY(read_residual(p, o));
    }
    p->fit->lanes = ddt_calloc(p->layout->lane_count, sizeof *p->fit->lanes);
    if (p->fit->lanes == NULL) {
        return solve_no_memory(p->ctx);
    }
    p->fit->lane_count = p->layout->lane_count;
    for (size_t l = 0; l < p->fit->lane_count; l++) {
        SOLVE_TRY(read_lane(p, l));
    }
    return ddt_reader_end(p->reader);
}

ddt_status solve_fit_read(ddt_context *ctx, ddt_reader *reader, ddt_solution *solution) {
    solution->fit = ddt_calloc(1, sizeof *solution->fit);
    if (solution->fit == NULL) {
        return solve_no_memory(ctx);
    }
    char tag[4] = {0};
    SOLVE_TRY(ddt_reader_peek(reader, tag));
    bool is_surrogate = memcmp(tag, "SURR", sizeof tag) == 0;
    SOLVE_TRY(is_surrogate ? surrogate_read(ctx, reader, solution->fit) : DDT_OK);
    parser p = {.ctx = ctx, .reader = reader, .layout = &solution->layout, .fit = solution->fit};
    SOLVE_TRY(read_all(&p));
    return is_surrogate ? surrogate_check(ctx, reader, solution) : DDT_OK;
}
