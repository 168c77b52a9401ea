/*
 * ddt_solve_bands: a solution in as many copies as there are virtual patients, and moments over them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bands.h"

#include <string.h>

enum {
    SLOTS_USUAL = 1 << 15, /* of a ring of degree 2^16 */
    SLOTS_MAX = 1 << 16    /* 2^17 */
};

typedef struct bands_work {
    ddt_context *ctx;
    const ddt_model *model;
    const ddt_events *data;
    ddt_solution *solution;
    solve_bands *bands;
    ddt_circuit *circuit;
    double **inputs; /* of the copies */
    double **values; /* of the outputs, likewise */
    double *largest; /* as bands->tops */
    size_t block, part;
    uint64_t random;
} bands_work;

/* What calibration sees beside the data themselves. */
typedef enum round_kind { ROUND_OWN, ROUND_CORNERS, ROUND_INSIDE, ROUNDS } round_kind;

typedef struct change {
    bands_work *work;
    round_kind kind;
} change;

/* ------------------------------------------------------------------ other patients than the template's */

/* A linear congruential generator (Knuth's MMIX constants): only what calibration looks at depends on it. */
static double uniform(uint64_t *state) {
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (double)(*state >> 11) * 0x1p-53;
}

/* Some value within a range: one of its ends, or anything between them. */
static double pick(bands_work *b, const solve_range *range, round_kind kind) {
    const double part = uniform(&b->random);
    if (range->level_count > 0) {
        return range->levels[(size_t)(part * (double)range->level_count)];
    }
    if (kind == ROUND_CORNERS) {
        return part < 0.5 ? range->low : range->high;
    }
    return range->low + part * (range->high - range->low);
}

static const solve_range *range_of(const solve_layout *layout, const char *name) {
    for (size_t i = 0; i < layout->range_count; i++) {
        if (strcmp(layout->ranges[i].name, name) == 0) {
            return &layout->ranges[i];
        }
    }
    return NULL;
}

static void change_covariates(bands_work *b, bands_events *e, round_kind kind) {
    for (uint32_t i = 0; i < b->model->symbol_count; i++) {
        const solve_range *range = range_of(&b->solution->layout, b->model->symbols[i].name);
        for (size_t s = 0; s < e->events.subject_count && range != NULL; s++) {
            if (b->model->symbols[i].kind == DDT_SYMBOL_COVARIATE) {
                bands_events_put(e, s, i, pick(b, range, kind));
            }
        }
    }
}

/* Doses as large as the custodian may encrypt, or half of that. */
static void change_amounts(const bands_work *b, bands_events *e, double part) {
    const solve_layout *layout = &b->solution->layout;
    for (size_t l = 0; l < layout->lane_count; l++) {
        const solve_lane *lane = &layout->lanes[l];
        const solve_layout_subject *subject = &layout->subjects[lane->subject];
        for (size_t i = 0; i < lane->source_count; i++) {
            const solve_lane_source *source = &lane->sources[i];
            if (source->input == SOLVE_NONE || subject->records[source->record].fixed_amount >= 0.0) {
                continue;
            }
            const solve_input *input = &layout->inputs[source->input];
            const ddt_record *own = &b->data->subjects[lane->subject].records[source->record];
            ddt_record *record = &e->events.subjects[lane->subject].records[source->record];
            const double quantity = solve_quantity(input, own);
            const double factor = quantity > 0.0 ? part * layout->ranges[input->range].high / quantity : 1.0;
            record->amount = factor * own->amount;
            record->rate = own->rate > 0.0 ? factor * own->rate : own->rate;
        }
    }
}

static void change_patient(void *user, bands_events *e, size_t patient) {
    change *c = user;
    (void)patient;
    if (c->kind != ROUND_OWN) {
        change_amounts(c->work, e, c->kind == ROUND_CORNERS ? 1.0 : 0.5);
    }
    if (c->kind != ROUND_OWN && c->work->bands->around) {
        change_covariates(c->work, e, c->kind);
    }
}

static ddt_status fill_round(bands_work *b, round_kind kind) {
    change c = {.work = b, .kind = kind};
    b->random = (uint64_t)kind + 1;
    return bands_fill(b->ctx, b->solution, b->model, b->data, change_patient, &c, b->inputs);
}

/* ------------------------------------------------------------------ how large outputs get */

static size_t top_index(const bands_work *b, const solve_place *place, size_t o) {
    return (place->lane * b->solution->layout.columns + place->column) * b->bands->output_count + o;
}

static ddt_status widen_place(bands_work *b, const solve_place *place, size_t o, double *lowest) {
    const double scale = b->solution->layout.outputs[o].scale;
    double *top = &b->largest[top_index(b, place, o)];
    for (size_t v = 0; v < b->bands->copies; v++) {
        const double value = b->values[o][place->lane * b->block + v * b->part + place->column] * scale;
        if (!isfinite(value)) {
            return ddt_fail(b->ctx, DDT_ERR_UNSUPPORTED, "'%s': %s is not finite for a virtual patient.",
                            b->model->path, b->solution->layout.outputs[o].name);
        }
        *top = fmax(*top, value);
        *lowest = fmin(*lowest, value);
    }
    return DDT_OK;
}

/*
 * tops of one subject's output: the largest values seen, with a margin. Where an output is small beside its maximum the
 * circuit's errors are not: shares are of no less than a part of the maximum there.
 */
static ddt_status set_tops(bands_work *b, size_t s, size_t o, double lowest) {
    const double margin = 1.1;
    const double zero = 1e-6;
    const double errors = 20.0; /* the surrogate's error, this many times */
    const double least = 0.03;
    const double most = 0.1;
    const solve_layout_subject *subject = &b->solution->layout.subjects[s];
    const double floor_part = fmin(most, fmax(least, errors * b->solution->info.surrogate_error));
    double maximum = 0.0;
    for (size_t k = 0; k < subject->observation_count; k++) {
        maximum = fmax(maximum, b->largest[top_index(b, &subject->observations[k], o)]);
    }
    if (lowest < bands_low_share * floor_part * maximum * margin) {
        return ddt_fail(b->ctx, DDT_ERR_UNSUPPORTED,
                        "'%s': %s can be negative (%.3g), and bands by moments need an output that cannot; take "
                        "--population without --moments, or another output.",
                        b->model->path, b->solution->layout.outputs[o].name, lowest);
    }
    for (size_t k = 0; k < subject->observation_count; k++) {
        const size_t i = top_index(b, &subject->observations[k], o);
        const double top = fmax(b->largest[i], floor_part * maximum);
        b->bands->tops[i] = b->largest[i] <= zero * maximum ? 0.0 : margin * top;
    }
    return DDT_OK;
}

static ddt_status find_tops(bands_work *b) {
    const solve_layout *layout = &b->solution->layout;
    double *lowest = ddt_calloc(layout->subject_count * b->bands->output_count, sizeof *lowest);
    ddt_status status = lowest == NULL ? solve_no_memory(b->ctx) : DDT_OK;
    for (int r = 0; r < ROUNDS && status == DDT_OK; r++) {
        status = fill_round(b, (round_kind)r);
        if (status == DDT_OK) {
            status = ddt_circuit_run_clear(b->ctx, b->circuit, (const double *const *)b->inputs, false, b->values);
        }
        for (size_t s = 0; s < layout->subject_count; s++) {
            const solve_layout_subject *subject = &layout->subjects[s];
            for (size_t i = 0; i < subject->observation_count * b->bands->output_count && status == DDT_OK; i++) {
                const size_t o = i % b->bands->output_count;
                status = widen_place(b, &subject->observations[i / b->bands->output_count], o,
                                     &lowest[s * b->bands->output_count + o]);
            }
        }
    }
    for (size_t i = 0; i < layout->subject_count * b->bands->output_count && status == DDT_OK; i++) {
        status = set_tops(b, i / b->bands->output_count, i % b->bands->output_count, lowest[i]);
    }
    ddt_free(lowest);
    return status;
}

/* ------------------------------------------------------------------ moments */

/* What a share of an output is made of, in all copies; and where the moments stand, in the first. */
static void public_vectors(const bands_work *b, size_t o, double *factor, double *mask) {
    const solve_layout *layout = &b->solution->layout;
    memset(factor, 0, layout->lane_count * b->block * sizeof *factor);
    memset(mask, 0, layout->lane_count * b->block * sizeof *mask);
    for (size_t s = 0; s < layout->subject_count; s++) {
        for (size_t k = 0; k < layout->subjects[s].observation_count; k++) {
            const solve_place *place = &layout->subjects[s].observations[k];
            const double top = b->bands->tops[top_index(b, place, o)];
            const size_t at = place->lane * b->block + place->column;
            mask[at] = 1.0 / (double)b->bands->copies;
            for (size_t v = 0; v < b->bands->copies && top > 0.0; v++) {
                factor[at + v * b->part] = bands_slope() * layout->outputs[o].scale / top;
            }
        }
    }
}

static ddt_status add_moments(bands_work *b, ddt_node output, size_t o, double *room) {
    static const char *const names[BANDS_MOMENTS] = {"mean", "square", "cube"};
    ddt_circuit *circuit = b->circuit;
    const size_t slots = b->solution->layout.lane_count * b->block;
    double coefficients[BANDS_DEGREE + 1];
    char name[DDT_EVENTS_MAX_ID];
    bands_polynomial(coefficients);
    public_vectors(b, o, room, room + slots);
    const ddt_node share = ddt_circuit_mul(circuit, output, ddt_circuit_public(circuit, room));
    const ddt_node x = ddt_circuit_affine(circuit, &share, (double[]){1.0}, 1, bands_offset());
    ddt_node power[BANDS_MOMENTS];
    power[0] = ddt_circuit_chebyshev(circuit, x, coefficients, BANDS_DEGREE);
    power[1] = ddt_circuit_mul(circuit, power[0], power[0]);
    power[2] = ddt_circuit_mul(circuit, power[1], power[0]);
    const ddt_node mask = ddt_circuit_public(circuit, room + slots);
    for (size_t m = 0; m < BANDS_MOMENTS; m++) {
        const ddt_node sum = ddt_circuit_sum(circuit, power[m], (int64_t)b->part, b->bands->copies);
        (void)snprintf(name, sizeof name, "%s.%s", b->model->outputs[o].name, names[m]);
        ddt_circuit_output(circuit, name, ddt_circuit_mul(circuit, sum, mask));
    }
    return ddt_circuit_status(circuit);
}

/* The layout's outputs are the circuit's again. */
static ddt_status rename_outputs(bands_work *b) {
    solve_layout *layout = &b->solution->layout;
    const size_t count = b->bands->output_count * BANDS_MOMENTS;
    solve_output *outputs = ddt_calloc(count, sizeof *outputs);
    if (outputs == NULL) {
        return solve_no_memory(b->ctx);
    }
    for (size_t o = 0; o < layout->output_count; o++) {
        ddt_free(layout->outputs[o].name);
    }
    ddt_free(layout->outputs);
    layout->outputs = outputs;
    for (layout->output_count = 0; layout->output_count < count; layout->output_count++) {
        solve_output *output = &outputs[layout->output_count];
        *output =
            (solve_output){.name = ddt_strdup(ddt_circuit_output_name(b->circuit, layout->output_count)), .scale = 1.0};
        if (output->name == NULL) {
            return solve_no_memory(b->ctx);
        }
    }
    return bands_name_outputs(b->ctx, layout, b->bands);
}

static ddt_status build_moments(bands_work *b) {
    const size_t slots = b->solution->layout.lane_count * b->block;
    ddt_node *outputs = ddt_calloc(b->bands->output_count, sizeof *outputs);
    double *room = ddt_calloc(2 * slots, sizeof *room);
    if (outputs == NULL || room == NULL) {
        ddt_free(outputs);
        ddt_free(room);
        return solve_no_memory(b->ctx);
    }
    ddt_status status = DDT_OK;
    ddt_circuit_take_outputs(b->circuit, outputs);
    for (size_t o = 0; o < b->bands->output_count && status == DDT_OK; o++) {
        status = add_moments(b, outputs[o], o, room);
    }
    ddt_free(outputs);
    ddt_free(room);
    return status == DDT_OK ? rename_outputs(b) : status;
}

static ddt_status calibrate(bands_work *b) {
    uint64_t total = 0;
    for (int r = ROUNDS - 1; r >= 0; r--) {
        uint64_t violations = 0;
        SOLVE_TRY(fill_round(b, (round_kind)r));
        SOLVE_TRY(ddt_circuit_calibrate(b->ctx, b->circuit, (const double *const *)b->inputs, &violations));
        total += violations;
        SOLVE_TRY(ddt_progress(b->ctx, "solve", (uint64_t)(ROUNDS - r), ROUNDS));
    }
    return total == 0 ? DDT_OK
                      : ddt_fail(b->ctx, DDT_ERR_UNSUPPORTED,
                                 "'%s': virtual patients leave the range of a function (%llu values); narrow the "
                                 "covariates' ranges.",
                                 b->model->path, (unsigned long long)total);
}

/* ------------------------------------------------------------------ from beginning to end */

static void vectors_destroy(double **vectors, size_t count) {
    for (size_t i = 0; vectors != NULL && i < count; i++) {
        ddt_free(vectors[i]);
    }
    ddt_free(vectors);
}

static ddt_status vectors_create(ddt_context *ctx, size_t count, size_t slots, double ***out) {
    double **vectors = ddt_calloc(count, sizeof *vectors);
    bool complete = vectors != NULL;
    for (size_t i = 0; i < count && complete; i++) {
        vectors[i] = ddt_calloc(slots, sizeof **vectors);
        complete = vectors[i] != NULL;
    }
    if (!complete) {
        vectors_destroy(vectors, count);
        return solve_no_memory(ctx);
    }
    *out = vectors;
    return DDT_OK;
}

static ddt_status with_vectors(bands_work *b, size_t slots) {
    const size_t inputs = b->solution->layout.input_count;
    const size_t outputs = b->bands->output_count;
    ddt_status status = vectors_create(b->ctx, inputs, slots, &b->inputs);
    status = status == DDT_OK ? vectors_create(b->ctx, outputs, slots, &b->values) : status;
    status = status == DDT_OK ? find_tops(b) : status;
    vectors_destroy(b->values, outputs);
    status = status == DDT_OK ? build_moments(b) : status;
    status = status == DDT_OK ? calibrate(b) : status;
    vectors_destroy(b->inputs, inputs);
    return status;
}

static ddt_status make_bands(bands_work *b, size_t copies, bool around) {
    solve_layout *layout = &b->solution->layout;
    size_t slots = 0;
    b->bands = ddt_calloc(1, sizeof *b->bands);
    if (b->bands == NULL) {
        return solve_no_memory(b->ctx);
    }
    b->solution->bands = b->bands;
    *b->bands = (solve_bands){.copies = copies, .around = around, .output_count = layout->output_count};
    b->circuit = b->solution->circuit;
    b->part = layout->segments * layout->rows * layout->columns;
    b->block = copies * b->part;
    const size_t places = layout->lane_count * layout->columns * layout->output_count;
    b->bands->tops = ddt_calloc(places, sizeof *b->bands->tops);
    b->largest = ddt_calloc(places, sizeof *b->largest);
    if (b->bands->tops == NULL || b->largest == NULL || !ddt_size_mul(layout->lane_count, b->block, &slots)) {
        return solve_no_memory(b->ctx);
    }
    SOLVE_TRY(ddt_circuit_tile(b->ctx, b->circuit, copies));
    layout->lane_slots = b->block;
    return with_vectors(b, slots);
}

/* The model with what is assumed of covariates declared: virtual patients have any value of these ranges. */
static ddt_status declare_ranges(ddt_context *ctx, ddt_model *model) {
    ddt_symbol *symbols = ddt_calloc(model->symbol_count, sizeof *symbols);
    if (symbols == NULL) {
        return solve_no_memory(ctx);
    }
    memcpy(symbols, model->symbols, model->symbol_count * sizeof *symbols);
    for (uint32_t i = 0; i < model->symbol_count; i++) {
        if (symbols[i].kind == DDT_SYMBOL_COVARIATE && !symbols[i].has_range) {
            const ddt_population_range range = ddt_population_range_of(model, i);
            symbols[i].has_range = true;
            symbols[i].range_low = range.low;
            symbols[i].range_high = range.high;
            symbols[i].is_discrete = range.is_discrete;
        }
    }
    model->symbols = symbols;
    return DDT_OK;
}

/* The solution of one patient in each lane. The template's is the typical one where covariates are drawn. */
static ddt_status solve_one(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                            const ddt_solve_options *options, bool around, ddt_solution **out) {
    bands_events typical;
    ddt_model own = *model;
    SOLVE_TRY(around ? DDT_OK : declare_ranges(ctx, &own));
    ddt_status status = bands_events_create(ctx, model, events, &typical);
    if (status == DDT_OK) {
        status = bands_events_set(ctx, &typical, around, 0);
        if (status == DDT_OK) {
            status = ddt_solve(ctx, &own, &typical.events, options, out);
        }
        bands_events_destroy(&typical);
    }
    if (!around) {
        ddt_free(own.symbols);
    }
    return status;
}

/* Virtual patients share a ring's slots: where those of the usual ring are too few for a subject, the largest's. */
static ddt_status solve_lanes(bands_work *b, ddt_solve_options *options, size_t copies, bool around) {
    const bool is_given = options->block_max != 0;
    options->block_max = is_given ? options->block_max : SLOTS_USUAL / copies;
    ddt_status status = solve_one(b->ctx, b->model, b->data, options, around, &b->solution);
    if (status == DDT_ERR_CAPACITY && !is_given) {
        ddt_context_clear(b->ctx);
        options->block_max = SLOTS_MAX / copies;
        status = solve_one(b->ctx, b->model, b->data, options, around, &b->solution);
    }
    if (status != DDT_ERR_CAPACITY) {
        return status;
    }
    ddt_context_clear(b->ctx);
    return ddt_fail(b->ctx, DDT_ERR_CAPACITY,
                    "'%s': %zu virtual patients leave %zu slots to each of them, too few for a subject's doses and "
                    "observations; take fewer patients.",
                    b->data->path, copies, options->block_max);
}

static ddt_status check_request(ddt_context *ctx, const ddt_model *model, const ddt_bands_options *options,
                                size_t *copies) {
    const size_t wanted = options->patients == 0 ? DDT_BANDS_PATIENTS_USUAL : options->patients;
    bool varies = false;
    if (wanted < DDT_BANDS_PATIENTS_MIN || wanted > DDT_BANDS_PATIENTS_MAX) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "Bands by moments take %d to %d virtual patients, not %zu.",
                        DDT_BANDS_PATIENTS_MIN, DDT_BANDS_PATIENTS_MAX, wanted);
    }
    for (size_t i = 0; i < model->symbol_count; i++) {
        varies |= model->symbols[i].kind == DDT_SYMBOL_ETA && model->symbols[i].omega2 > 0.0;
        varies |= model->symbols[i].kind == DDT_SYMBOL_COVARIATE && !options->around;
    }
    for (*copies = 1; *copies < wanted; *copies *= 2) {
    }
    return varies ? DDT_OK
                  : ddt_fail(ctx, DDT_ERR_UNSUPPORTED, "'%s' has nothing that varies between virtual patients.",
                             model->path);
}

ddt_status ddt_solve_bands(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                           const ddt_bands_options *options, ddt_solution **out) {
    size_t copies = 0;
    ddt_solve_options solve = options->solve;
    bands_work b = {.ctx = ctx, .model = model, .data = events};
    SOLVE_TRY(check_request(ctx, model, options, &copies));
    SOLVE_TRY(solve_lanes(&b, &solve, copies, options->around));
    const ddt_status status = make_bands(&b, copies, options->around);
    ddt_free(b.largest);
    if (status != DDT_OK) {
        ddt_solution_destroy(b.solution);
        return status;
    }
    *out = b.solution;
    return DDT_OK;
}
