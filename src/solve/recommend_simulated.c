/*
 * Candidates of patients as subjects of an event table: what a patient was given before, then the new regimen from the
 * time of the last record on, looked at when targets want it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_curves.h"

#include "fit_internal.h"

#include <string.h>

static const double same_time = 1e-9;

size_t curves_simulated_count(const struct solve_curves *curves) {
    return curves->subject_count * curves->candidate_count;
}

/* One simulated subject in the making. */
typedef struct making {
    ddt_context *ctx;
    const struct solve_curves *curves;
    const ddt_subject *from;
    ddt_subject *to;
    size_t own_columns, columns; /* of the data; with the etas that points give */
    const size_t *eta_column;    /* of each of them */
    const double *etas;
    double start;
} making;

/* A record with the covariates of record `like` of the data. */
static void put(making *m, ddt_record record, size_t like) {
    double *values = m->to->covariate_values + m->to->record_count * m->columns;
    memcpy(values, m->from->covariate_values + m->from->records[like].covariates, m->own_columns * sizeof *values);
    for (size_t i = 0; i < m->curves->eta_count; i++) {
        values[m->eta_column[i]] = m->etas[i];
    }
    record.covariates = m->to->record_count * m->columns;
    m->to->records[m->to->record_count++] = record;
}

/* Doses and resets before the new regimen; its last additional ones end there. */
static bool put_earlier(making *m, size_t index) {
    ddt_record record = m->from->records[index];
    if (ddt_record_is_observation(&record) || !(record.time_h < m->start - same_time)) {
        return false;
    }
    if (record.additional > 0 && record.interval_h > 0.0) {
        double left = ceil((m->start - record.time_h) / record.interval_h - same_time) - 1.0;
        record.additional = left < (double)record.additional ? (unsigned)fmax(left, 0.0) : record.additional;
    }
    record.has_dv = false;
    put(m, record, index);
    return true;
}

static void put_dose(making *m, const curves_sheet *sheet, double dose, size_t k) {
    double amount = dose * (k == 0 ? sheet->shape.loading : 1.0);
    put(m,
        (ddt_record){.time_h = m->start + (double)k * sheet->shape.interval_h,
                     .evid = DDT_EVID_DOSE,
                     .amount = amount,
                     .rate = sheet->shape.infusion_h > 0.0 ? amount / sheet->shape.infusion_h : 0.0,
                     .compartment = m->curves->compartment},
        m->from->record_count - 1);
}

/* A time that is a dose's but for rounding is the dose's. */
static double snapped(const curves_sheet *sheet, double time) {
    double dose_time = round(time / sheet->shape.interval_h) * sheet->shape.interval_h;
    return fabs(time - dose_time) < same_time ? dose_time : time;
}

/* Doses and looks in order of time; a look that is not `after` comes before the dose of its time. */
static void put_regimen(making *m, const curves_sheet *sheet, double dose) {
    size_t next = 0;
    for (size_t n = 0; n < sheet->node_count; n++) {
        const curves_node *node = &sheet->nodes[n];
        double limit = node->time + (node->is_after ? same_time : -same_time);
        while (next < sheet->dose_count && (double)next * sheet->shape.interval_h < limit) {
            put_dose(m, sheet, dose, next++);
        }
        put(m, (ddt_record){.time_h = m->start + snapped(sheet, node->time), .evid = DDT_EVID_OTHER},
            m->from->record_count - 1);
    }
}

static ddt_status make_subject(making *m, const char *id, const ddt_recommend_candidate *candidate,
                               const curves_sheet *sheet, size_t *known_from) {
    size_t room = m->from->record_count + sheet->node_count + sheet->dose_count;
    m->to->id = ddt_strdup(id);
    m->to->records = ddt_calloc(room, sizeof *m->to->records);
    m->to->covariate_values = ddt_calloc(room * m->columns, sizeof *m->to->covariate_values);
    if (m->to->id == NULL || m->to->records == NULL || m->to->covariate_values == NULL) {
        return solve_no_memory(m->ctx);
    }
    m->start = m->from->records[m->from->record_count - 1].time_h;
    for (size_t i = 0; i < m->from->record_count; i++) {
        (void)put_earlier(m, i);
    }
    if (known_from != NULL) {
        *known_from = m->to->record_count;
    }
    put_regimen(m, sheet, candidate->dose);
    m->to->covariates_constant = m->from->covariates_constant;
    return DDT_OK;
}

/* The columns of the data, and further ones for the points' etas. */
static ddt_status make_columns(ddt_context *ctx, const struct solve_curves *curves, const ddt_model *model,
                               const ddt_events *from, ddt_events *to, size_t *eta_column) {
    to->covariate_symbols = ddt_calloc(from->covariate_count + curves->eta_count, sizeof *to->covariate_symbols);
    if (to->covariate_symbols == NULL) {
        return solve_no_memory(ctx);
    }
    to->covariate_count = from->covariate_count;
    memcpy(to->covariate_symbols, from->covariate_symbols, from->covariate_count * sizeof *to->covariate_symbols);
    for (size_t i = 0; i < curves->eta_count; i++) {
        int64_t symbol = ddt_model_find_symbol(model, curves->eta_names[i]);
        size_t column = symbol < 0 ? SIZE_MAX : solve_column(from, (uint32_t)symbol);
        if (symbol < 0) {
            return ddt_fail(ctx, DDT_ERR_MISMATCH, "'%s' has no %s, which the plan was made for.", model->path,
                            curves->eta_names[i]);
        }
        if (column == SIZE_MAX) {
            column = to->covariate_count++;
            to->covariate_symbols[column] = (uint32_t)symbol;
        }
        eta_column[i] = column;
    }
    return DDT_OK;
}

static const curves_sheet *sheet_of(const struct solve_curves *curves, size_t candidate) {
    size_t shape = 0;
    size_t dose = 0;
    (void)recommend_locate(&curves->product, candidate, &shape, &dose);
    return &curves->sheets[shape];
}

static double eta_sd(const ddt_model *model, int64_t symbol) {
    for (size_t i = 0; i < model->eta_count; i++) {
        if (model->etas[i] == (uint32_t)symbol) {
            return sqrt(model->omega[i * model->eta_count + i]);
        }
    }
    return 0.0;
}

/*
 * Etas of a patient at a point: the point's own, or the patient's estimate and what its levels leave around it, by the
 * custodian's own sum in the clear (ddt_fit_exact), kept within the declared ranges.
 */
static ddt_status etas_of(ddt_context *ctx, const struct solve_curves *curves, const ddt_model *model,
                          const ddt_events *from, size_t subject, const size_t *eta_column, size_t point,
                          double *etas) {
    const size_t n = curves->eta_count;
    const double *z = curves->etas + point * n;
    double ignored[RECOMMEND_ETAS_MAX * RECOMMEND_ETAS_MAX];
    double covariance[RECOMMEND_ETAS_MAX * RECOMMEND_ETAS_MAX] = {0};
    double root[RECOMMEND_ETAS_MAX * RECOMMEND_ETAS_MAX] = {0};
    if (n > 0) {
        memcpy(etas, z, n * sizeof *etas);
    }
    if (!curves->is_posterior || n == 0) {
        return DDT_OK;
    }
    if (point > 0) { /* the first one is the centre */
        SOLVE_TRY(ddt_fit_exact(ctx, model, from, subject, 1.0, ignored, covariance, NULL));
        fit_factorise(covariance, n, root);
    }
    const ddt_subject *s = &from->subjects[subject];
    for (size_t i = 0; i < n; i++) {
        const int64_t symbol = ddt_model_find_symbol(model, curves->eta_names[i]);
        etas[i] = s->covariate_values[s->records[0].covariates + eta_column[i]];
        for (size_t k = 0; k <= i; k++) {
            etas[i] += root[i * n + k] * z[k];
        }
        const double reach = curves->deviations * eta_sd(model, symbol);
        etas[i] = fmin(fmax(etas[i], -reach), reach);
    }
    return DDT_OK;
}

/* All candidates of one patient. */
static ddt_status make_candidates(making *m, ddt_events *to, size_t subject, size_t *known_from) {
    const struct solve_curves *curves = m->curves;
    for (size_t k = 0; k < curves->candidate_count; k++) {
        const size_t i = subject * curves->candidate_count + k;
        const ddt_recommend_candidate c = ddt_recommend_candidate_at(&curves->product, k);
        m->to = &to->subjects[i];
        SOLVE_TRY(make_subject(m, m->from->id, &c, sheet_of(curves, k), known_from == NULL ? NULL : &known_from[i]));
        to->record_count += m->to->record_count;
    }
    return DDT_OK;
}

static ddt_status make_subjects(ddt_context *ctx, const struct solve_curves *curves, const ddt_model *model,
                                const ddt_events *from, size_t point, ddt_events *to, size_t *known_from) {
    size_t eta_column[RECOMMEND_ETAS_MAX] = {0};
    double etas[RECOMMEND_ETAS_MAX] = {0};
    SOLVE_TRY(make_columns(ctx, curves, model, from, to, eta_column));
    to->subject_count = curves_simulated_count(curves);
    to->subjects = ddt_calloc(to->subject_count, sizeof *to->subjects);
    to->path = ddt_strdup(from->path);
    if (to->subjects == NULL || to->path == NULL) {
        to->subject_count = to->subjects == NULL ? 0 : to->subject_count;
        return solve_no_memory(ctx);
    }
    to->carries_forward = from->carries_forward;
    for (size_t s = 0; s < from->subject_count; s++) {
        making m = {.ctx = ctx,
                    .curves = curves,
                    .from = &from->subjects[s],
                    .own_columns = from->covariate_count,
                    .columns = to->covariate_count,
                    .eta_column = eta_column,
                    .etas = etas};
        SOLVE_TRY(etas_of(ctx, curves, model, from, s, eta_column, point, etas));
        SOLVE_TRY(make_candidates(&m, to, s, known_from));
    }
    return DDT_OK;
}

ddt_status recommend_simulated_events(ddt_context *ctx, const struct solve_curves *curves, const ddt_model *model,
                                      const ddt_events *events, size_t point, ddt_events **out, size_t *known_from) {
    if (events->subject_count != curves->subject_count) {
        return ddt_fail(ctx, DDT_ERR_MISMATCH, "'%s' has %zu subjects, the plan was made for %zu.", events->path,
                        events->subject_count, curves->subject_count);
    }
    ddt_events *made = ddt_calloc(1, sizeof *made);
    if (made == NULL) {
        return solve_no_memory(ctx);
    }
    ddt_status status = make_subjects(ctx, curves, model, events, point, made, known_from);
    if (status != DDT_OK) {
        ddt_events_destroy(made);
        return status;
    }
    *out = made;
    return DDT_OK;
}
