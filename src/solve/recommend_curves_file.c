/*
 * The section "CURV" of a plan file: targets, product and points of candidates that are simulated. Files from outside
 * are hostile: every number is checked.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_curves.h"

#include <string.h>

enum { SECTION_MAX_BYTES = 1 << 20, TEXT_MAX = 4096, TARGET_BYTES_MIN = 3 * 4 + 8 * 8 };

/* ------------------------------------------------------------------ writing */

/* Infinities are no numbers of a file: an open upper end is 0. */
static void write_target(ddt_writer *w, const struct solve_curves *curves, size_t t) {
    const ddt_recommend_target *target = &curves->targets.items[t];
    ddt_writer_u8(w, (uint8_t)target->kind);
    ddt_writer_u8(w, target->is_steady);
    ddt_writer_u8(w, target->is_toxicity);
    const double numbers[] = {
        target->at_h, target->from_h, target->to_h, target->low, isfinite(target->high) ? target->high : 0.0,
        target->mic,  target->weight, target->day};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        ddt_writer_f64(w, numbers[i]);
    }
    ddt_writer_string(w, target->name);
    ddt_writer_u32(w, (uint32_t)curves->output_of[t]);
    ddt_writer_u32(w, curves->base_of[t] == SIZE_MAX ? SOLVE_NONE : (uint32_t)curves->base_of[t]);
}

ddt_status recommend_curves_write(ddt_writer *writer, const struct solve_curves *curves) {
    ddt_writer_begin(writer, "CURV");
    ddt_writer_string(writer, curves->product_text);
    ddt_writer_u32(writer, curves->compartment);
    ddt_writer_f64(writer, curves->dose_weight);
    ddt_writer_u32(writer, (uint32_t)curves->targets.count);
    for (size_t t = 0; t < curves->targets.count; t++) {
        write_target(writer, curves, t);
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
    return ddt_fail(p->ctx, DDT_ERR_FORMAT, "'%s': the candidates of the plan are inconsistent: %s.",
                    ddt_reader_path(p->reader), what);
}

static ddt_status read_u32(const parser *p, size_t *out) {
    uint32_t value = 0;
    SOLVE_TRY(ddt_reader_u32(p->reader, &value));
    *out = value;
    return DDT_OK;
}

static ddt_status read_name(const parser *p, char to[DDT_RECOMMEND_NAME_BYTES]) {
    char *text = NULL;
    SOLVE_TRY(ddt_reader_string(p->reader, DDT_RECOMMEND_NAME_BYTES - 1, &text));
    (void)snprintf(to, DDT_RECOMMEND_NAME_BYTES, "%s", text);
    ddt_free(text);
    return DDT_OK;
}

static ddt_status read_product(const parser *p) {
    char *text = NULL;
    size_t compartment = 0;
    SOLVE_TRY(ddt_reader_string(p->reader, TEXT_MAX, &text));
    ddt_status status = ddt_recommend_parse_product(p->ctx, text, &p->curves->product);
    ddt_free(text);
    if (status != DDT_OK) {
        return status == DDT_ERR_USAGE ? bad(p, "its product is none") : status;
    }
    SOLVE_TRY(read_u32(p, &compartment));
    p->curves->compartment = (unsigned)compartment;
    return ddt_reader_f64(p->reader, &p->curves->dose_weight);
}

static bool is_sound(const ddt_recommend_target *target) {
    bool has_times = target->at_h >= 0.0 && target->from_h >= 0.0 && target->to_h >= 0.0 && target->day > 0.0;
    return has_times && target->low >= 0.0 && target->low <= target->high && target->weight > 0.0;
}

static ddt_status read_flags(const parser *p, ddt_recommend_target *target) {
    uint8_t kind = 0;
    uint8_t is_steady = 0;
    uint8_t is_toxicity = 0;
    SOLVE_TRY(ddt_reader_u8(p->reader, &kind));
    SOLVE_TRY(ddt_reader_u8(p->reader, &is_steady));
    SOLVE_TRY(ddt_reader_u8(p->reader, &is_toxicity));
    target->kind = (ddt_metric_kind)kind;
    target->is_steady = is_steady == 1;
    target->is_toxicity = is_toxicity == 1;
    return kind <= DDT_METRIC_SHARE && is_steady <= 1 && is_toxicity <= 1 ? DDT_OK
                                                                          : bad(p, "a target has an unknown kind");
}

static ddt_status read_output(const parser *p, bool may_be_none, size_t *out) {
    SOLVE_TRY(read_u32(p, out));
    if (may_be_none && *out == SOLVE_NONE) {
        *out = SIZE_MAX;
        return DDT_OK;
    }
    return *out < p->solution->layout.output_count ? DDT_OK : bad(p, "a target names an output that does not exist");
}

static ddt_status read_target(const parser *p, size_t t) {
    ddt_recommend_target *target = &p->curves->targets.items[t];
    SOLVE_TRY(read_flags(p, target));
    double *const numbers[] = {&target->at_h, &target->from_h, &target->to_h,   &target->low,
                               &target->high, &target->mic,    &target->weight, &target->day};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        SOLVE_TRY(ddt_reader_f64(p->reader, numbers[i]));
    }
    target->high = target->high == 0.0 ? INFINITY : target->high;
    SOLVE_TRY(is_sound(target) ? DDT_OK : bad(p, "a target has no range"));
    SOLVE_TRY(read_name(p, target->name));
    SOLVE_TRY(read_output(p, false, &p->curves->output_of[t]));
    return read_output(p, true, &p->curves->base_of[t]);
}

static ddt_status read_points(const parser *p) {
    struct solve_curves *curves = p->curves;
    size_t count = 0;
    uint8_t is_posterior = 0;
    SOLVE_TRY(ddt_reader_u8(p->reader, &is_posterior));
    SOLVE_TRY(ddt_reader_f64(p->reader, &curves->deviations));
    SOLVE_TRY(is_posterior <= 1 && curves->deviations > 0.0 ? DDT_OK : bad(p, "its points are of an unknown kind"));
    curves->is_posterior = is_posterior == 1;
    SOLVE_TRY(read_u32(p, &curves->point_count));
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

static ddt_status read_all(const parser *p) {
    size_t subjects = 0;
    SOLVE_TRY(ddt_reader_begin(p->reader, "CURV", SECTION_MAX_BYTES));
    SOLVE_TRY(read_product(p));
    SOLVE_TRY(ddt_reader_count(p->reader, TARGET_BYTES_MIN, DDT_RECOMMEND_TARGETS_MAX, &p->curves->targets.count));
    for (size_t t = 0; t < p->curves->targets.count; t++) {
        SOLVE_TRY(read_target(p, t));
    }
    SOLVE_TRY(read_u32(p, &subjects));
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
