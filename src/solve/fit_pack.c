/*
 * A fit's inputs in two ciphertexts: the features, and "patient", which holds all others. A lane of it consists of
 * regions, each as long as a copy; region c holds item c modulo the number of items (a power of two). An item is an
 * input that every copy reads, or as many coefficients of scores as a region has rows: only the first copy reads these.
 * A mask keeps the regions of one item, and a sum over as many regions as there are items puts it into every copy.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_internal.h"

#include <string.h>

static size_t rows_of(const solve_layout *layout) { return layout->segments * layout->rows; }

bool fit_is_score(const solve_fit *fit, uint32_t input) {
    for (size_t o = 0; o < fit->output_count; o++) {
        const fit_residual *r = &fit->residuals[o];
        for (unsigned k = 0; k <= r->degree && !r->is_public && fit->inverse_input[o] != SOLVE_NONE; k++) {
            if (fit->score_input[o][k] == input) {
                return true;
            }
        }
    }
    return false;
}

fit_place fit_place_of(const solve_layout *layout, const solve_fit *fit, uint32_t input) {
    fit_place place = {.is_score = fit_is_score(fit, input)};
    size_t scores = 0;
    size_t whole = 0;
    size_t before = 0;
    for (uint32_t i = 0; i < layout->input_count; i++) {
        bool is_score = fit_is_score(fit, i);
        whole += !is_score && i != fit->feature_input;
        scores += is_score;
        before += i < input && is_score == place.is_score && i != fit->feature_input;
    }
    place.item = place.is_score ? whole + before / rows_of(layout) : before;
    place.row = place.is_score ? before % rows_of(layout) : 0;
    size_t items = whole + (scores + rows_of(layout) - 1) / rows_of(layout);
    place.items = 1;
    while (place.items < items) {
        place.items *= 2;
    }
    return place;
}

size_t fit_pack_regions(const solve_layout *layout, const solve_fit *fit, size_t inputs) {
    size_t scores = 0;
    for (size_t o = 0; o < fit->output_count; o++) {
        scores += fit->residuals[o].is_public ? 0 : FIT_SCORE_MAX + 1;
    }
    size_t items = inputs + fit->output_count + (scores + rows_of(layout) - 1) / rows_of(layout);
    size_t count = 1;
    while (count < items) {
        count *= 2;
    }
    return fit->copies + count - 1; /* the last copy finds all items in the regions from its own on */
}

/* vectors: features and all others, from one vector for each of the layout's inputs. */
void fit_pack(const solve_layout *layout, const solve_fit *fit, const double *const *inputs, double *const *vectors) {
    size_t block = layout->lane_slots;
    size_t part = fit_copy_slots(layout);
    memcpy(vectors[0], inputs[fit->feature_input], layout->lane_count * block * sizeof **vectors);
    memset(vectors[1], 0, layout->lane_count * block * sizeof **vectors);
    for (uint32_t i = 0; i < layout->input_count; i++) {
        if (i == fit->feature_input) {
            continue;
        }
        fit_place place = fit_place_of(layout, fit, i);
        size_t wide = place.is_score ? layout->columns : part;
        for (size_t l = 0; l < layout->lane_count; l++) {
            for (size_t c = place.item; c < block / part; c += place.items) {
                memcpy(vectors[1] + l * block + c * part + place.row * layout->columns, inputs[i] + l * block,
                       wide * sizeof **vectors);
            }
        }
    }
}

ddt_status fit_pack_fill_served(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                                const ddt_events *events, double *const *vectors, ddt_left_out *left_out) {
    ddt_solution plain = *solution;
    const solve_layout *layout = &solution->layout;
    size_t slots = layout->lane_count * layout->lane_slots;
    plain.layout.packed = 0;
    double **inputs = ddt_calloc(layout->input_count, sizeof *inputs);
    ddt_status status = inputs == NULL ? solve_no_memory(ctx) : DDT_OK;
    for (size_t i = 0; inputs != NULL && i < layout->input_count && status == DDT_OK; i++) {
        inputs[i] = ddt_calloc(slots, sizeof **inputs);
        status = inputs[i] == NULL ? solve_no_memory(ctx) : DDT_OK;
    }
    if (status == DDT_OK && inputs != NULL) {
        status = solve_layout_fill_served(ctx, &plain, model, events, inputs, left_out);
    }
    if (status == DDT_OK && inputs != NULL) {
        fit_pack(layout, solution->fit, (const double *const *)inputs, vectors);
    }
    for (size_t i = 0; inputs != NULL && i < layout->input_count; i++) {
        ddt_free(inputs[i]);
    }
    ddt_free(inputs);
    for (size_t v = 0; v < SOLVE_FIT_VECTORS && status != DDT_OK; v++) {
        memset(vectors[v], 0, slots * sizeof **vectors);
    }
    return status;
}
