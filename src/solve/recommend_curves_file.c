/*
 * The section "CURV" of a plan file: targets, product and points of candidates that are simulated. Files from outside
 * are hostile: every number is checked.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_curves.h"
#include "section.h"

#include <string.h>

enum { SECTION_MAX_BYTES = 1 << 20 };

/* ------------------------------------------------------------------ writing */

ddt_status recommend_curves_write(ddt_writer *writer, const struct solve_curves *curves) {
    ddt_writer_begin(writer, "CURV");
    ddt_writer_string(writer, curves->product_text);
    ddt_writer_u32(writer, curves->compartment);
    ddt_writer_f64(writer, curves->dose_weight);
    recommend_targets_write(writer, &curves->targets);
    for (size_t t = 0; t < curves->targets.count; t++) {
        ddt_writer_u32(writer, (uint32_t)curves->output_of[t]);
        ddt_writer_u32(writer, curves->base_of[t] == SIZE_MAX ? SOLVE_NONE : (uint32_t)curves->base_of[t]);
    }
    ddt_writer_u32(writer, (uint32_t)curves->subject_count);
    ddt_writer_u8(writer, curves->is_posterior);
    ddt_writer_f64(writer, curves->deviations);
    ddt_writer_u32(writer, (uint32_t)curves->point_count);
    ddt_writer_u32(writer, (uint32_t)curves->eta_count);
    for (size_t i = 0; i < curves->eta_count; i++) {
        ddt_writer_string(writer, curves->eta_names[i]);
    }
    for (size_t i = 0; i < curves->point_count * curves->eta_count; i++) {
        ddt_writer_f64(writer, curves->etas[i]);
    }
    return ddt_writer_end(writer);
}

/* ------------------------------------------------------------------ reading */

typedef struct parser {
    ddt_context *ctx;
    ddt_reader *reader;
    ddt_solution *solution;
    struct solve_curves *curves;
} parser;

static ddt_status bad(const parser *p, const char *what) {
    return section_bad(p->ctx, p->reader, "list of candidates", what);
}

static ddt_status read_output(const parser *p, bool may_be_none, size_t *out) {
    SOLVE_TRY(section_size(p->reader, out));
    if (may_be_none && *out == SOLVE_NONE) {
        *out = SIZE_MAX;
        return DDT_OK;
    }
    return *out < p->solution->layout.output_count ? DDT_OK : bad(p, "a target names an output that does not exist");
}

static ddt_status read_points(const parser *p) {
    struct solve_curves *curves = p->curves;
    size_t count = 0;
    uint8_t is_posterior = 0;
    SOLVE_TRY(ddt_reader_u8(p->reader, &is_posterior));
    SOLVE_TRY(ddt_reader_f64(p->reader, &curves->deviations));
    SOLVE_TRY(is_posterior <= 1 && curves->deviations > 0.0 ? DDT_OK : bad(p, "its points are of an unknown kind"));
    curves->is_posterior = is_posterior == 1;
    SOLVE_TRY(section_size(p->reader, &curves->point_count));
    SOLVE_TRY(ddt_reader_count(p->reader, 4, RECOMMEND_ETAS_MAX, &count));
    if (curves->point_count < 1 || curves->point_count > CURVES_POINTS_MAX) {
        return bad(p, "there are too many points");
    }
    for (; curves->eta_count < count; curves->eta_count++) {
        SOLVE_TRY(ddt_reader_string(p->reader, DDT_RECOMMEND_NAME_BYTES - 1, &curves->eta_names[curves->eta_count]));
    }
    curves->etas = ddt_calloc(curves->point_count * count, sizeof *curves->etas);
    if (curves->etas == NULL) {
        return solve_no_memory(p->ctx);
    }
    for (size_t i = 0; i < curves->point_count * count; i++) {
        SOLVE_TRY(ddt_reader_f64(p->reader, &curves->etas[i]));
    }
    return DDT_OK;
}

/* IDs do not travel: ordinals. */
static ddt_status number_subjects(const parser *p, size_t count) {
    enum { ID_BYTES = 24 };
    char id[ID_BYTES];
    p->curves->ids = ddt_calloc(count, sizeof *p->curves->ids);
    if (p->curves->ids == NULL) {
        return solve_no_memory(p->ctx);
    }
    p->curves->subject_count = count;
    for (size_t s = 0; s < count; s++) {
        (void)snprintf(id, sizeof id, "%zu", s + 1);
        p->curves->ids[s] = ddt_strdup(id);
        if (p->curves->ids[s] == NULL) {
            return solve_no_memory(p->ctx);
        }
    }
    return DDT_OK;
}

/* The simulated subjects must be those of the layout, and so must be when each is looked at. */
static ddt_status check_subjects(const parser *p) {
    const struct solve_curves *curves = p->curves;
    const solve_layout *layout = &p->solution->layout;
    for (size_t s = 0; s < layout->subject_count; s++) {
        size_t shape = 0;
        size_t dose = 0;
        (void)recommend_locate(&curves->product, s % curves->candidate_count, &shape, &dose);
        if (layout->subjects[s].observation_count != curves->sheets[shape].node_count) {
            return bad(p, "its targets look at other times");
        }
    }
    return DDT_OK;
}

static ddt_status read_wishes(const parser *p) {
    size_t compartment = 0;
    SOLVE_TRY(recommend_product_read(p->ctx, p->reader, &p->curves->product));
    SOLVE_TRY(section_size(p->reader, &compartment));
    p->curves->compartment = (unsigned)compartment;
    SOLVE_TRY(ddt_reader_f64(p->reader, &p->curves->dose_weight));
    SOLVE_TRY(recommend_targets_read(p->ctx, p->reader, &p->curves->targets));
    for (size_t t = 0; t < p->curves->targets.count; t++) {
        SOLVE_TRY(read_output(p, false, &p->curves->output_of[t]));
        SOLVE_TRY(read_output(p, true, &p->curves->base_of[t]));
    }
    return DDT_OK;
}

static ddt_status read_all(const parser *p) {
    size_t subjects = 0;
    SOLVE_TRY(ddt_reader_begin(p->reader, "CURV", SECTION_MAX_BYTES));
    SOLVE_TRY(read_wishes(p));
    SOLVE_TRY(section_size(p->reader, &subjects));
    SOLVE_TRY(read_points(p));
    SOLVE_TRY(ddt_reader_end(p->reader));
    SOLVE_TRY(recommend_curves_prepare(p->ctx, p->curves));
    const solve_layout *layout = &p->solution->layout;
    const size_t part = layout->segments * layout->rows * layout->columns;
    if (p->curves->point_count != (layout->lane_slots == 0 ? 1 : layout->lane_slots / part)) {
        return bad(p, "its points do not fill the lanes");
    }
    size_t each = p->curves->candidate_count;
    if (p->curves->targets.count == 0 || each == 0 || p->solution->layout.subject_count % each != 0 ||
        p->solution->layout.subject_count / each != subjects) {
        return bad(p, "it has other subjects");
    }
    SOLVE_TRY(number_subjects(p, subjects));
    return check_subjects(p);
}

ddt_status recommend_curves_read(ddt_context *ctx, ddt_reader *reader, ddt_solution *solution) {
    parser p = {.ctx = ctx, .reader = reader, .solution = solution};
    p.curves = ddt_calloc(1, sizeof *p.curves);
    if (p.curves == NULL) {
        return solve_no_memory(ctx);
    }
    solution->curves = p.curves; /* the solution's destructor frees it */
    return read_all(&p);
}
