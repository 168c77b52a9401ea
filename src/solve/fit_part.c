/*
 * A fit inside a circuit under construction.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_part.h"

#include <string.h>

struct fit_part {
    solve_work work;
    ddt_fit_options options;
    fit_work *fw;    /* in the work's arena */
    double **inputs; /* likewise: of the layout, before they are packed */
};

static ddt_status finish(solve_work *work, void *user) {
    fit_part *part = user;
    if (work->newton != NULL) {
        return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                        "'%s': inside another circuit only models that are linear in their compartments can be "
                        "fitted.",
                        work->model->path);
    }
    SOLVE_TRY(fit_work_create(work, &part->fw));
    return fit_work_make(part->fw, &part->options);
}

static ddt_status check_lanes(const fit_part *part) {
    const solve_layout *layout = &part->work.solution->layout;
    for (size_t l = 0; l < layout->lane_count; l++) {
        if (layout->lanes[l].subject != l) {
            return ddt_fail(part->work.ctx, DDT_ERR_CAPACITY,
                            "'%s': the subject %s has more levels and doses than one part of a ciphertext takes.",
                            part->work.events->path, part->work.events->subjects[layout->lanes[l].subject].id);
        }
    }
    return DDT_OK;
}

/* The outer circuit may have inputs of the same columns. */
static ddt_status rename_inputs(fit_part *part) {
    char name[256];
    solve_layout *layout = &part->work.solution->layout;
    for (size_t i = 0; i < layout->input_count; i++) {
        (void)snprintf(name, sizeof name, "fit: %.240s", layout->inputs[i].name);
        char *own = ddt_strdup(name);
        if (own == NULL) {
            return solve_no_memory(part->work.ctx);
        }
        ddt_free(layout->inputs[i].name);
        layout->inputs[i].name = own;
    }
    return DDT_OK;
}

static ddt_status open_part(fit_part *part, const ddt_fit_options *options, unsigned steps) {
    SOLVE_TRY(fit_options_set(part->work.ctx, options, &part->options));
    SOLVE_TRY(solve_set_options(part->work.ctx, &part->options.solve, &part->work.options));
    part->options.iterations = steps;
    part->work.solution = ddt_calloc(1, sizeof *part->work.solution);
    if (part->work.solution == NULL) {
        return solve_no_memory(part->work.ctx);
    }
    SOLVE_TRY(solve_work_run(&part->work));
    SOLVE_TRY(rename_inputs(part));
    return check_lanes(part);
}

ddt_status fit_part_open(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                         const ddt_fit_options *options, unsigned steps, fit_part **out) {
    fit_part *part = ddt_calloc(1, sizeof *part);
    if (part == NULL) {
        return solve_no_memory(ctx);
    }
    part->work = (solve_work){.ctx = ctx, .model = model, .events = events, .finish = finish, .finish_user = part};
    part->work.fits = true;
    ddt_status status = open_part(part, options, steps);
    if (status != DDT_OK) {
        fit_part_close(part);
        return status;
    }
    *out = part;
    return DDT_OK;
}

void fit_part_close(fit_part *part) {
    if (part != NULL) {
        solve_work_clear(&part->work);
        ddt_solution_destroy(part->work.solution);
        ddt_free(part);
    }
}

size_t fit_part_block(const fit_part *part) { return part->fw->least_block; }

size_t fit_part_lanes(const fit_part *part) { return part->work.solution->layout.lane_count; }

size_t fit_part_rounds(const fit_part *part) { return part->fw->held_out; }

size_t fit_part_input_count(const fit_part *part) { return solve_vector_count(&part->work.solution->layout); }

ddt_status fit_part_build(fit_part *part, ddt_circuit *circuit, fit_part_nodes *out) {
    solve_work *work = &part->work;
    fit_work *fw = part->fw;
    fit_nodes nodes;
    if (ddt_circuit_block(circuit) < fw->least_block || ddt_circuit_lanes(circuit) != fit_part_lanes(part)) {
        return ddt_fail(work->ctx, DDT_ERR_ARGUMENT, "A fit of %zu lanes of %zu slots does not fit into %zu of %zu.",
                        fit_part_lanes(part), fw->least_block, ddt_circuit_lanes(circuit), ddt_circuit_block(circuit));
    }
    ddt_circuit_destroy(work->solution->circuit); /* that of the training's own trial */
    work->solution->circuit = NULL;
    work->circuit = circuit;
    SOLVE_TRY(fit_make_copies(fw, ddt_circuit_block(circuit)));
    SOLVE_TRY(solve_vectors_create(work, work->solution->layout.input_count, &part->inputs));
    SOLVE_TRY(fit_build(fw, &nodes));
    *out = (fit_part_nodes){.eta_count = fw->eta_count};
    for (size_t i = 0; i < fw->eta_count; i++) {
        out->symbols[i] = fw->eta_symbols[i];
        out->sd[i] = fw->sd[i];
        out->eta[i] = nodes.eta[i];
        for (size_t j = 0; j < fw->eta_count; j++) {
            out->factor[i][j] = j <= i ? nodes.factor[i][j] : DDT_NODE_NONE;
        }
    }
    return DDT_OK;
}

void fit_part_draw(const fit_part *part, size_t round, double *const *inputs, double *symbols) {
    fit_work *fw = part->fw;
    size_t count = part->work.model->symbol_count;
    const solve_layout *layout = &part->work.solution->layout;
    bool is_packed = layout->packed == SOLVE_PACKED_FIT;
    for (size_t l = 0; l < fit_part_lanes(part); l++) {
        const fit_sample *sample = fit_fill_virtual(fw, l, round, is_packed ? part->inputs : inputs);
        if (symbols != NULL) {
            memcpy(symbols + l * count, sample->symbols, count * sizeof *symbols);
            for (size_t i = 0; i < fw->eta_count; i++) {
                symbols[l * count + fw->eta_symbols[i]] = sample->etas[i];
            }
        }
    }
    if (is_packed) {
        fit_pack(layout, fw->fit, (const double *const *)part->inputs, inputs);
    }
}

ddt_solution *fit_part_take(fit_part *part) {
    ddt_solution *solution = part->work.solution;
    solve_layout *layout = &solution->layout;
    for (size_t o = 0; o < layout->output_count; o++) {
        ddt_free(layout->outputs[o].name);
    }
    layout->output_count = 0;
    part->work.solution = NULL;
    return solution;
}
