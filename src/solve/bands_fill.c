/*
 * Bands at the custodian's: data -> inputs with a virtual patient in every copy, moments -> percentiles, and the
 * section "BAND" of a plan file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bands.h"
#include "section.h"

#include <string.h>

enum { SECTION_MAX_BYTES = 1 << 30, NAME_MAX = 512 };

static const char *const percentile_names[DDT_BANDS_PERCENTILES] = {"p05", "p50", "p95"};

void solve_bands_destroy(solve_bands *bands) {
    if (bands == NULL) {
        return;
    }
    for (size_t i = 0; bands->names != NULL && i < bands->output_count * DDT_BANDS_PERCENTILES; i++) {
        ddt_free(bands->names[i]);
    }
    ddt_free(bands->names);
    ddt_free(bands->tops);
    ddt_free(bands);
}

size_t ddt_solution_band_patients(const ddt_solution *solution) {
    return solution->bands == NULL ? 0 : solution->bands->copies;
}

bool ddt_solution_bands_around(const ddt_solution *solution) {
    return solution->bands != NULL && solution->bands->around;
}

const char *solve_bands_name(const solve_bands *bands, size_t output) {
    return output < bands->output_count * DDT_BANDS_PERCENTILES ? bands->names[output] : "";
}

/* ------------------------------------------------------------------ filling */

static size_t part_of(const solve_layout *layout) { return layout->segments * layout->rows * layout->columns; }

static void scatter(const solve_layout *layout, size_t copies, size_t copy, double *const *from, double *const *to) {
    const size_t part = part_of(layout);
    for (size_t i = 0; i < layout->input_count; i++) {
        for (size_t l = 0; l < layout->lane_count; l++) {
            memcpy(to[i] + (l * copies + copy) * part, from[i] + l * part, part * sizeof **to);
        }
    }
}

static ddt_status fill_copies(ddt_context *ctx, const ddt_solution *one, const solve_bands *bands,
                              const ddt_model *model, bands_events *e, bands_change change, void *user,
                              double *const *room, double *const *inputs) {
    for (size_t v = 0; v < bands->copies; v++) {
        SOLVE_TRY(bands_events_set(ctx, e, bands->around, v + 1));
        if (change != NULL) {
            change(user, e, v);
        }
        SOLVE_TRY(ddt_solution_fill(ctx, one, model, &e->events, room));
        scatter(&one->layout, bands->copies, v, room, inputs);
    }
    return DDT_OK;
}

ddt_status bands_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model, const ddt_events *data,
                      bands_change change, void *user, double *const *inputs) {
    const solve_layout *layout = &solution->layout;
    const size_t slots = layout->lane_count * part_of(layout);
    ddt_solution one = *solution; /* the same lanes with one patient in each; it owns nothing */
    one.bands = NULL;
    one.layout.lane_slots = 0;
    bands_events e = {0};
    double **room = ddt_calloc(layout->input_count, sizeof *room);
    double *values = ddt_calloc(layout->input_count * slots, sizeof *values);
    ddt_status status = room == NULL || values == NULL ? solve_no_memory(ctx) : DDT_OK;
    for (size_t i = 0; i < layout->input_count && room != NULL && values != NULL; i++) {
        room[i] = values + i * slots;
    }
    if (status == DDT_OK) {
        status = bands_events_create(ctx, model, data, &e);
    }
    if (status == DDT_OK) {
        status = fill_copies(ctx, &one, solution->bands, model, &e, change, user, room, inputs);
    }
    bands_events_destroy(&e);
    if (values != NULL) {
        explicit_bzero(values, layout->input_count * slots * sizeof *values);
    }
    ddt_free(values);
    ddt_free(room);
    for (size_t i = 0; status != DDT_OK && i < layout->input_count; i++) {
        memset(inputs[i], 0, solution->bands->copies * slots * sizeof **inputs);
    }
    return status;
}

ddt_status solve_bands_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                            const ddt_events *events, double *const *inputs) {
    return bands_fill(ctx, solution, model, events, NULL, NULL, inputs);
}

/* ------------------------------------------------------------------ reading */

/* The percentiles of one output at one place. */
static void collect_place(const ddt_solution *solution, const double *const *outputs, const solve_place *place,
                          size_t o, double *band) {
    const solve_layout *layout = &solution->layout;
    const solve_bands *bands = solution->bands;
    const size_t at = place->lane * bands->copies * part_of(layout) + place->column;
    const double top = bands->tops[(place->lane * layout->columns + place->column) * bands->output_count + o];
    double moments[BANDS_MOMENTS];
    for (size_t m = 0; m < BANDS_MOMENTS; m++) {
        moments[m] = outputs[o * BANDS_MOMENTS + m][at];
    }
    ddt_bands_of_moments(moments, band);
    for (size_t i = 0; i < DDT_BANDS_PERCENTILES; i++) {
        band[i] *= top;
    }
}

void solve_bands_collect(const ddt_solution *solution, const double *const *outputs, double *const *values) {
    const size_t count = solution->bands->output_count;
    for (size_t s = 0; s < solution->layout.subject_count; s++) {
        const solve_layout_subject *subject = &solution->layout.subjects[s];
        for (size_t i = 0; i < subject->observation_count * count; i++) {
            collect_place(solution, outputs, &subject->observations[i / count], i % count,
                          values[s] + i * DDT_BANDS_PERCENTILES);
        }
    }
}

/* "Cc.mean" -> "Cc.p05"... */
ddt_status bands_name_outputs(ddt_context *ctx, const solve_layout *layout, solve_bands *bands) {
    char name[NAME_MAX];
    bands->names = ddt_calloc(bands->output_count * DDT_BANDS_PERCENTILES, sizeof *bands->names);
    for (size_t i = 0; bands->names != NULL && i < bands->output_count * DDT_BANDS_PERCENTILES; i++) {
        const char *own = layout->outputs[i].name;
        const char *dot = strrchr(own, '.');
        const int length = dot == NULL ? (int)strlen(own) : (int)(dot - own);
        (void)snprintf(name, sizeof name, "%.*s.%s", length, own, percentile_names[i % DDT_BANDS_PERCENTILES]);
        bands->names[i] = ddt_strdup(name);
        if (bands->names[i] == NULL) {
            return solve_no_memory(ctx);
        }
    }
    return bands->names == NULL ? solve_no_memory(ctx) : DDT_OK;
}

/* ------------------------------------------------------------------ the file */

static size_t top_count(const solve_layout *layout, const solve_bands *bands) {
    return layout->lane_count * layout->columns * bands->output_count;
}

ddt_status solve_bands_write(ddt_writer *writer, const ddt_solution *solution) {
    const solve_bands *bands = solution->bands;
    ddt_writer_begin(writer, "BAND");
    ddt_writer_u32(writer, (uint32_t)bands->copies);
    ddt_writer_u32(writer, bands->around);
    ddt_writer_u32(writer, (uint32_t)top_count(&solution->layout, bands));
    for (size_t i = 0; i < top_count(&solution->layout, bands); i++) {
        ddt_writer_f64(writer, bands->tops[i]);
    }
    return ddt_writer_end(writer);
}

static ddt_status bad(ddt_context *ctx, const ddt_reader *reader) {
    return section_bad(ctx, reader, "section of bands", "it does not fit the layout");
}

static ddt_status read_tops(ddt_context *ctx, ddt_reader *reader, const solve_layout *layout, solve_bands *bands) {
    size_t count = 0;
    SOLVE_TRY(ddt_reader_count(reader, sizeof(double), UINT32_MAX, &count)); /* no more than the section holds */
    if (count != top_count(layout, bands)) {
        return bad(ctx, reader);
    }
    bands->tops = ddt_calloc(count, sizeof *bands->tops);
    if (bands->tops == NULL) {
        return solve_no_memory(ctx);
    }
    for (size_t i = 0; i < count; i++) {
        SOLVE_TRY(ddt_reader_f64(reader, &bands->tops[i]));
        if (!(bands->tops[i] >= 0.0) || !isfinite(bands->tops[i])) {
            return bad(ctx, reader);
        }
    }
    return DDT_OK;
}

ddt_status solve_bands_read(ddt_context *ctx, ddt_reader *reader, ddt_solution *solution) {
    const solve_layout *layout = &solution->layout;
    uint32_t copies = 0;
    uint32_t around = 0;
    solve_bands *bands = ddt_calloc(1, sizeof *bands);
    if (bands == NULL) {
        return solve_no_memory(ctx);
    }
    solution->bands = bands;
    SOLVE_TRY(ddt_reader_begin(reader, "BAND", SECTION_MAX_BYTES));
    SOLVE_TRY(ddt_reader_u32(reader, &copies));
    SOLVE_TRY(ddt_reader_u32(reader, &around));
    const size_t part = part_of(layout);
    const bool fits = copies > 1 && copies <= DDT_BANDS_PATIENTS_MAX && layout->lane_slots / part == copies &&
                      layout->lane_slots % part == 0;
    if (!fits || around > 1 || layout->packed != 0 || layout->output_count % BANDS_MOMENTS != 0) {
        return bad(ctx, reader);
    }
    bands->copies = copies;
    bands->around = around == 1;
    bands->output_count = layout->output_count / BANDS_MOMENTS;
    SOLVE_TRY(bands_name_outputs(ctx, layout, bands));
    SOLVE_TRY(read_tops(ctx, reader, layout, bands));
    return ddt_reader_end(reader);
}
