/*
 * Surrogates from beginning to end: the layout of a fit without the model's own slots, solutions of the model for
 * virtual patients, polynomials fitted to them, and patients to learn the first guess from.
 *
 * What doses and covariates may be is spanned by designs: each has doses, covariates, predictions and slopes at etas
 * of 0. Polynomials are fitted to solutions at many etas; the guess's patients are solved by the polynomials, which
 * is cheap, and those that are held out (to calibrate ranges and to tell errors) by the model itself.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_surrogate.h"

#include <string.h>

static const double training_rtol = 1e-6; /* of solutions: errors of levels do not reach 1e-4 of their residual */

enum { DESIGNS = 96, PATIENTS_PER_TERM = 6, PATIENTS_LEAST = 120, ATTEMPTS_MAX = 40 };

typedef struct surrogate_design {
    double *symbols;     /* symbol_count */
    ddt_record *records; /* with own amounts, up to the last level */
    double *covariates;  /* of all records */
    size_t record_count;
    double predicted[FIT_LEVELS_MAX];
    double slopes[FIT_LEVELS_MAX * FIT_ETAS_MAX];
    double directions[SURROGATE_DIRECTIONS_MAX + 1];
} surrogate_design;

struct surrogate_training {
    surrogate_design designs[DESIGNS];
    surrogate_design *held; /* lanes x held_out */
    double amount_low, amount_high;
    ddt_expr outputs[FIT_OUTPUTS_MAX];
    double *values; /* records x outputs */
    double *normal, *right, *terms;
};

/* ------------------------------------------------------------------ designs */

static size_t subject_of(const fit_work *fw, size_t lane) { return fw->work->solution->layout.lanes[lane].subject; }

static const ddt_subject *template_of(const fit_work *fw, size_t lane) {
    return &fw->work->events->subjects[subject_of(fw, lane)];
}

/* Records up to a lane's last level: what comes later tells nothing. */
static size_t records_needed(const fit_work *fw, size_t lane) {
    const fit_lane *l = &fw->fit->lanes[lane];
    return l->level_count == 0 ? 0 : (size_t)l->levels[l->level_count - 1].record + 1;
}

static void set_amount(ddt_record *to, const ddt_record *from, double amount) {
    to->amount = amount;
    to->rate = from->rate > 0.0 && from->amount > 0.0 ? amount * from->rate / from->amount : from->rate;
}

static double log_between(double low, double high, uint64_t *random) {
    return low > 0.0 ? low * exp(log(high / low) * fit_uniform(random)) : high * fit_uniform(random);
}

/* Half of the patients have the template's doses times a factor, the others are alike or, some of them, not. */
static void draw_amounts(const fit_work *fw, size_t lane, uint64_t *random, surrogate_design *d) {
    const double half = 0.5;
    const double alike = 0.8;
    const double spread = 0.1;
    const struct surrogate_training *t = fw->training;
    const ddt_record *from = template_of(fw, lane)->records;
    double least = INFINITY;
    double most = 0.0;
    for (size_t r = 0; r < d->record_count; r++) {
        least = ddt_record_is_dose(&from[r]) && from[r].amount > 0.0 ? fmin(least, from[r].amount) : least;
        most = ddt_record_is_dose(&from[r]) ? fmax(most, from[r].amount) : most;
    }
    bool is_scaled = fit_uniform(random) < half && most > 0.0;
    bool is_alike = fit_uniform(random) < alike;
    double factor = is_scaled ? log_between(t->amount_low / least, t->amount_high / most, random) : 1.0;
    double common = log_between(t->amount_low, t->amount_high, random);
    for (size_t r = 0; r < d->record_count; r++) {
        if (ddt_record_is_dose(&from[r])) {
            double own = common * (1.0 + spread * (2.0 * fit_uniform(random) - 1.0));
            own = is_alike ? own : log_between(t->amount_low, t->amount_high, random);
            own = is_scaled ? factor * from[r].amount : own;
            set_amount(&d->records[r], &from[r], fmin(fmax(own, t->amount_low), t->amount_high));
        }
    }
}

/* Columns that change in the template take another value at each record, half of them closer to one another. */
static void draw_covariates(const fit_work *fw, size_t base, uint64_t *random, surrogate_design *d) {
    const double half = 0.5;
    const solve_work *work = fw->work;
    const ddt_events *events = work->events;
    double freedom = fit_uniform(random) < half ? 1.0 : fit_uniform(random);
    const double *own = work->samples + base * work->symbol_count;
    for (size_t r = 0; r < d->record_count; r++) {
        size_t other_row = (size_t)(fit_uniform(random) * (double)work->draw_count) % work->draw_count;
        const double *other = work->samples + other_row * work->symbol_count;
        for (size_t c = 0; c < events->covariate_count; c++) {
            uint32_t symbol = events->covariate_symbols[c];
            const solve_symbol *s = &work->symbols[symbol];
            double part = s->level_count > 0 ? (fit_uniform(random) < freedom ? 1.0 : 0.0) : freedom;
            part = s->changes ? part : 0.0;
            d->covariates[d->records[r].covariates + c] = own[symbol] + part * (other[symbol] - own[symbol]);
        }
    }
    memcpy(d->symbols, own, work->symbol_count * sizeof *d->symbols);
    for (size_t i = 0; i < work->model->eta_count; i++) {
        d->symbols[work->model->etas[i]] = 0.0;
    }
    for (size_t c = 0; c < events->covariate_count && d->record_count > 0; c++) {
        if (work->model->symbols[events->covariate_symbols[c]].kind == DDT_SYMBOL_COVARIATE) {
            d->symbols[events->covariate_symbols[c]] = d->covariates[d->records[0].covariates + c];
        }
    }
}

static ddt_status create_design(fit_work *fw, surrogate_design *d) {
    size_t most = 1;
    for (size_t s = 0; s < fw->work->events->subject_count; s++) {
        size_t own = fw->work->events->subjects[s].record_count;
        most = own > most ? own : most;
    }
    d->symbols = solve_alloc(fw->work, fw->work->symbol_count, sizeof *d->symbols);
    d->records = solve_alloc(fw->work, most, sizeof *d->records);
    d->covariates = solve_alloc(fw->work, most * (fw->work->events->covariate_count + 1), sizeof *d->covariates);
    return d->symbols == NULL || d->records == NULL || d->covariates == NULL ? DDT_ERR_MEMORY : DDT_OK;
}

/* ------------------------------------------------------------------ solutions of the model */

static ddt_status simulate(fit_work *fw, size_t lane, const surrogate_design *d, const double *etas,
                           double *predictions) {
    const solve_work *work = fw->work;
    const fit_lane *l = &fw->fit->lanes[lane];
    size_t outputs = work->model->output_count;
    ddt_subject subject = *template_of(fw, lane);
    ddt_events events = *work->events;
    subject.records = d->records;
    subject.record_count = d->record_count;
    subject.covariate_values = d->covariates;
    subject.covariates_constant = false;
    events.subjects = &subject;
    events.subject_count = 1;
    for (size_t i = 0; i < fw->eta_count; i++) {
        d->symbols[fw->eta_symbols[i]] = etas[i];
    }
    ddt_status status = ddt_reference_simulate_to(work->ctx, work->model, &events, 0, d->symbols, training_rtol,
                                                  fw->training->outputs, outputs, fw->training->values);
    for (size_t k = 0; status == DDT_ERR_MODEL && k < l->level_count; k++) {
        predictions[k] = INFINITY; /* etas that no patient has: steps to them are not taken, draws repeated */
    }
    if (status != DDT_OK) {
        return status == DDT_ERR_MODEL ? DDT_OK : status;
    }
    for (size_t r = 0, observation = 0, k = 0; k < l->level_count; r++) {
        if (r == l->levels[k].record) {
            predictions[k] = fw->training->values[observation * outputs + l->levels[k].output];
            k++;
        }
        observation += ddt_record_is_observation(&d->records[r]);
    }
    return DDT_OK;
}

ddt_status surrogate_predict(fit_work *fw, size_t lane, const fit_sample *sample, const double *etas,
                             double *predictions) {
    return simulate(fw, lane, sample->design, etas, predictions);
}

/* Levels that errors are relative to are above 0. */
static bool has_levels(const fit_work *fw, size_t lane, const double *f) {
    const fit_lane *l = &fw->fit->lanes[lane];
    bool has_all = true;
    for (size_t k = 0; k < l->level_count; k++) {
        bool is_relative = fit_is_relative(&fw->fit->residuals[l->levels[k].output]);
        has_all = has_all && isfinite(f[k]) && (f[k] > 0.0 || !is_relative);
    }
    return has_all;
}

typedef struct patient {
    fit_work *fw;
    size_t lane;
    const surrogate_design *design;
    bool is_model; /* solved by the model, not by polynomials */
} patient;

static void polynomial_predict(const patient *who, const double *etas, double *predictions) {
    const fit_work *fw = who->fw;
    const fit_lane *l = &fw->fit->lanes[who->lane];
    const surrogate_lane *s = &fw->fit->surrogate->lanes[who->lane];
    double deviations[FIT_ETAS_MAX];
    double changes[FIT_LEVELS_MAX];
    for (size_t i = 0; i < fw->eta_count; i++) {
        deviations[i] = etas[i] / fw->sd[i];
    }
    surrogate_values(fw->fit, s, deviations, who->design->directions, fw->training->terms);
    surrogate_changes(s, fw->training->terms, changes);
    for (size_t k = 0; k < l->level_count; k++) {
        predictions[k] =
            fit_residual_moved(&fw->fit->residuals[l->levels[k].output], who->design->predicted[k], changes[k]);
    }
}

static ddt_status predict(void *user, const double *etas, double *predictions) {
    const patient *who = user;
    if (who->is_model) {
        return simulate(who->fw, who->lane, who->design, etas, predictions);
    }
    polynomial_predict(who, etas, predictions);
    return DDT_OK;
}

/* Predictions and slopes at etas of 0. */
static ddt_status solve_design(fit_work *fw, size_t lane, surrogate_design *d) {
    const double etas[FIT_ETAS_MAX] = {0};
    SOLVE_TRY(simulate(fw, lane, d, etas, d->predicted));
    if (!has_levels(fw, lane, d->predicted)) {
        const ddt_subject *s = template_of(fw, lane);
        return ddt_fail(fw->work->ctx, DDT_ERR_UNSUPPORTED,
                        "'%s': a level of the subject %s stands where the model predicts 0 and errors are relative.",
                        fw->work->events->path, s->id);
    }
    patient who = {fw, lane, d, true};
    return fit_find_slopes(fw->fit, &fw->fit->lanes[lane], predict, &who, d->slopes);
}

static ddt_status draw_design(fit_work *fw, size_t lane, size_t index, surrogate_design *d) {
    const ddt_subject *s = template_of(fw, lane);
    uint64_t random = (uint64_t)index * 1000003U + 29U;
    d->record_count = records_needed(fw, lane);
    memcpy(d->records, s->records, d->record_count * sizeof *d->records);
    for (size_t r = 0; r < d->record_count; r++) {
        d->records[r].covariates = r * fw->work->events->covariate_count;
    }
    draw_covariates(fw, index % fw->work->draw_count, &random, d);
    draw_amounts(fw, lane, &random, d);
    return fw->fit->lanes[lane].level_count == 0 ? DDT_OK : solve_design(fw, lane, d);
}

/* ------------------------------------------------------------------ directions */

/* Covariances of the designs' slopes, `count` x `count`, in t->normal. */
static void slope_covariances(const fit_work *fw, size_t count, double *matrix) {
    const struct surrogate_training *t = fw->training;
    double mean[FIT_LEVELS_MAX * FIT_ETAS_MAX] = {0};
    memset(matrix, 0, count * count * sizeof *matrix);
    for (size_t d = 0; d < DESIGNS; d++) {
        for (size_t i = 0; i < count; i++) {
            mean[i] += t->designs[d].slopes[i] / DESIGNS;
        }
    }
    for (size_t d = 0; d < DESIGNS; d++) {
        const double *x = t->designs[d].slopes;
        for (size_t i = 0; i < count; i++) {
            for (size_t j = 0; j < count; j++) {
                matrix[i * count + j] += (x[i] - mean[i]) * (x[j] - mean[j]) / DESIGNS;
            }
        }
    }
}

/* The direction of the largest variance, which it returns; the matrix loses it. */
static double take_principal(double *matrix, size_t count, double *direction) {
    enum { TURNS = 50 };
    double next[FIT_LEVELS_MAX * FIT_ETAS_MAX];
    double norm = 0.0;
    for (size_t i = 0; i < count; i++) {
        direction[i] = 1.0 + 0.1 * (double)(i % 7);
    }
    for (int turn = 0; turn < TURNS; turn++) {
        norm = 0.0;
        for (size_t i = 0; i < count; i++) {
            next[i] = 0.0;
            for (size_t j = 0; j < count; j++) {
                next[i] += matrix[i * count + j] * direction[j];
            }
            norm += next[i] * next[i];
        }
        norm = sqrt(norm);
        for (size_t i = 0; i < count && norm > 0.0; i++) {
            direction[i] = next[i] / norm;
        }
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            matrix[i * count + j] -= norm * direction[i] * direction[j];
        }
    }
    return norm;
}

/* The designs show a direction's range; directions get values in [-1, 1]. */
static void scale_direction(const fit_work *fw, surrogate_lane *l, size_t d) {
    const double margin = 1.05;
    size_t count = l->level_count * fw->eta_count;
    double *direction = l->projection + d * count;
    double low = INFINITY;
    double high = -INFINITY;
    for (size_t i = 0; i < DESIGNS; i++) {
        double x = 0.0;
        for (size_t k = 0; k < count; k++) {
            x += direction[k] * fw->training->designs[i].slopes[k];
        }
        low = fmin(low, x);
        high = fmax(high, x);
    }
    double half = margin * 0.5 * (high - low);
    l->centre[d] = 0.5 * (low + high) / half;
    for (size_t k = 0; k < count; k++) {
        direction[k] /= half;
    }
}

static ddt_status find_directions(fit_work *fw, surrogate_lane *l) {
    const double least = 0.03; /* standard deviation of the slopes along it, per level's and eta's own */
    size_t count = l->level_count * fw->eta_count;
    l->projection = ddt_calloc(SURROGATE_DIRECTIONS_MAX * count + 1, sizeof *l->projection);
    l->centre = ddt_calloc(SURROGATE_DIRECTIONS_MAX, sizeof *l->centre);
    double *matrix = solve_alloc(fw->work, count * count + 1, sizeof *matrix);
    if (l->projection == NULL || l->centre == NULL || matrix == NULL) {
        return solve_no_memory(fw->work->ctx);
    }
    slope_covariances(fw, count, matrix);
    l->direction_count = 0;
    while (count > 0 && l->direction_count < SURROGATE_DIRECTIONS_MAX) {
        double variance = take_principal(matrix, count, l->projection + l->direction_count * count);
        if (!(variance > least * least)) {
            break;
        }
        scale_direction(fw, l, l->direction_count++);
    }
    for (size_t i = 0; i < DESIGNS; i++) {
        surrogate_design *d = &fw->training->designs[i];
        surrogate_directions(fw->fit, l, d->slopes, d->directions);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ polynomials */

static ddt_status choose_terms(fit_work *fw, surrogate_lane *l) {
    const unsigned enough = 5; /* at the guess levels and slopes are exact: polynomials tell what bends */
    const size_t cheap = 200;  /* terms that more degrees may take */
    size_t room = fw->fit->surrogate->rows - SURROGATE_EXTRAS;
    size_t variables = fw->eta_count + l->direction_count;
    l->degree = 1;
    for (size_t next = 0; l->degree < SURROGATE_DEGREE_MAX; l->degree++) {
        next = surrogate_terms(fw->eta_count, l->direction_count, l->degree + 1, NULL);
        if (next > room || (l->degree >= enough && next > cheap)) {
            break;
        }
    }
    l->term_count = surrogate_terms(fw->eta_count, l->direction_count, l->degree, NULL);
    l->exponents = ddt_calloc(l->term_count * variables, sizeof *l->exponents);
    l->coefficients = ddt_calloc(l->level_count * l->term_count + 1, sizeof *l->coefficients);
    if (l->exponents == NULL || l->coefficients == NULL) {
        return solve_no_memory(fw->work->ctx);
    }
    (void)surrogate_terms(fw->eta_count, l->direction_count, l->degree, l->exponents);
    return DDT_OK;
}

/* The model at drawn etas: the changes of all levels. */
static ddt_status draw_changes(fit_work *fw, size_t lane, const surrogate_design *d, uint64_t *random,
                               double *deviations, double *changes) {
    const double wider = 1.35;
    const fit_lane *l = &fw->fit->lanes[lane];
    double etas[FIT_ETAS_MAX] = {0};
    double f[FIT_LEVELS_MAX] = {0};
    bool is_measurable = false;
    for (int attempt = 0; attempt < ATTEMPTS_MAX && !is_measurable; attempt++) {
        fit_draw_etas(fw, wider, random, etas);
        for (size_t i = 0; i < fw->eta_count; i++) {
            double limit = SURROGATE_WIDTH * fw->sd[i];
            etas[i] = fmin(fmax(etas[i], -limit), limit);
            deviations[i] = etas[i] / fw->sd[i];
        }
        SOLVE_TRY(simulate(fw, lane, d, etas, f));
        is_measurable = has_levels(fw, lane, f);
    }
    for (size_t k = 0; k < l->level_count; k++) {
        changes[k] = fit_residual_standardised(&fw->fit->residuals[l->levels[k].output], f[k], d->predicted[k]);
    }
    return DDT_OK;
}

/* Levels far from the population's count less: hardly any estimate is there. */
static double weight_of(const surrogate_lane *l, const double *changes) {
    const double far = 6.0; /* residual standard deviations */
    double largest = 0.0;
    for (size_t k = 0; k < l->level_count; k++) {
        largest = fmax(largest, fabs(changes[k]) / far);
    }
    return 1.0 / (1.0 + largest * largest);
}

static void add_equation(fit_work *fw, const surrogate_lane *l, const double *changes) {
    struct surrogate_training *t = fw->training;
    size_t count = l->term_count;
    double weight = weight_of(l, changes);
    for (size_t i = 0; i < count; i++) {
        double x = weight * t->terms[i];
        for (size_t j = 0; j <= i; j++) {
            t->normal[i * count + j] += x * t->terms[j];
        }
        for (size_t k = 0; k < l->level_count; k++) {
            t->right[i * l->level_count + k] += x * changes[k];
        }
    }
}

static ddt_status fit_polynomials(fit_work *fw, size_t lane) {
    const double ridge = 1e-6;
    surrogate_lane *l = &fw->fit->surrogate->lanes[lane];
    struct surrogate_training *t = fw->training;
    uint64_t random = 4711U;
    size_t count = l->term_count;
    size_t patients = PATIENTS_PER_TERM * count + PATIENTS_LEAST;
    double deviations[FIT_ETAS_MAX];
    double changes[FIT_LEVELS_MAX] = {0};
    memset(t->normal, 0, count * count * sizeof *t->normal);
    memset(t->right, 0, count * l->level_count * sizeof *t->right);
    for (size_t p = 0; p < patients; p++) {
        const surrogate_design *d = &t->designs[p % DESIGNS];
        SOLVE_TRY(draw_changes(fw, lane, d, &random, deviations, changes));
        surrogate_values(fw->fit, l, deviations, d->directions, t->terms);
        add_equation(fw, l, changes);
    }
    for (size_t i = 0; i < count; i++) {
        t->normal[i * count + i] += ridge * (double)patients;
    }
    fit_solve_normal(t->normal, t->right, count, l->level_count);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < l->level_count; k++) {
            l->coefficients[k * count + i] = t->right[i * l->level_count + k];
        }
    }
    return DDT_OK;
}

ddt_status surrogate_learn(fit_work *fw, size_t lane) {
    surrogate_lane *l = &fw->fit->surrogate->lanes[lane];
    for (size_t d = 0; d < DESIGNS; d++) {
        SOLVE_TRY(draw_design(fw, lane, d, &fw->training->designs[d]));
    }
    SOLVE_TRY(find_directions(fw, l));
    SOLVE_TRY(choose_terms(fw, l));
    return l->level_count == 0 ? DDT_OK : fit_polynomials(fw, lane);
}

ddt_status surrogate_copy(fit_work *fw, size_t from, size_t to) {
    const surrogate_lane *a = &fw->fit->surrogate->lanes[from];
    surrogate_lane *b = &fw->fit->surrogate->lanes[to];
    size_t facts = SURROGATE_DIRECTIONS_MAX * a->level_count * fw->eta_count + 1;
    b->direction_count = a->direction_count;
    SOLVE_TRY(choose_terms(fw, b));
    b->projection = ddt_calloc(facts, sizeof *b->projection);
    b->centre = ddt_calloc(SURROGATE_DIRECTIONS_MAX, sizeof *b->centre);
    if (b->projection == NULL || b->centre == NULL) {
        return solve_no_memory(fw->work->ctx);
    }
    memcpy(b->projection, a->projection, facts * sizeof *b->projection);
    memcpy(b->centre, a->centre, SURROGATE_DIRECTIONS_MAX * sizeof *b->centre);
    memcpy(b->coefficients, a->coefficients, a->level_count * a->term_count * sizeof *b->coefficients);
    return DDT_OK;
}

bool surrogate_alike(const fit_work *fw, size_t a, size_t b) {
    const fit_lane *x = &fw->fit->lanes[a];
    const fit_lane *y = &fw->fit->lanes[b];
    const solve_layout *layout = &fw->work->solution->layout;
    size_t count = records_needed(fw, a);
    bool same = x->level_count == y->level_count && count == records_needed(fw, b) &&
                memcmp(x->levels, y->levels, x->level_count * sizeof *x->levels) == 0;
    for (size_t r = 0; r < count && same; r++) {
        const solve_record *u = &layout->subjects[subject_of(fw, a)].records[r];
        const solve_record *v = &layout->subjects[subject_of(fw, b)].records[r];
        const ddt_record *m = &template_of(fw, a)->records[r];
        const ddt_record *n = &template_of(fw, b)->records[r];
        same = u->time_h == v->time_h && u->interval_h == v->interval_h && u->duration_h == v->duration_h &&
               u->evid == v->evid && u->rate_kind == v->rate_kind && u->steady_state == v->steady_state &&
               u->compartment == v->compartment && u->additional == v->additional && m->amount == n->amount;
    }
    return same;
}

/* ------------------------------------------------------------------ virtual patients */

surrogate_seen surrogate_seen_of(const fit_sample *sample) {
    return (surrogate_seen){.levels = sample->levels,
                            .slopes = sample->slopes,
                            .guess = sample->guess,
                            .guess_slopes = sample->guess_slopes,
                            .at_guess = sample->at_guess};
}

ddt_status surrogate_draw(fit_work *fw, size_t lane, size_t index, fit_sample *sample) {
    const double wider = 1.25;
    const fit_lane *l = &fw->fit->lanes[lane];
    struct surrogate_training *t = fw->training;
    bool is_held = index < fw->held_out;
    surrogate_design *d = is_held ? &t->held[lane * fw->held_out + index] : &t->designs[index % DESIGNS];
    uint64_t random = (uint64_t)index * 1000003U + 17U + (is_held ? 7919U * lane : 0U);
    double etas[FIT_ETAS_MAX];
    double f[FIT_LEVELS_MAX] = {0};
    if (is_held) {
        SOLVE_TRY(draw_design(fw, lane, DESIGNS + lane * fw->held_out + index, d));
    }
    patient who = {fw, lane, d, is_held};
    bool is_measurable = false;
    for (int attempt = 0; attempt < ATTEMPTS_MAX && !is_measurable; attempt++) {
        fit_draw_etas(fw, is_held ? 1.0 : wider, &random, etas);
        SOLVE_TRY(predict(&who, etas, f));
        is_measurable = has_levels(fw, lane, f);
    }
    for (size_t k = 0; k < l->level_count; k++) {
        fit_draw_level(&fw->fit->residuals[l->levels[k].output], f[k], &random, &sample->levels[k]);
    }
    sample->design = d;
    memcpy(sample->symbols, d->symbols, fw->work->symbol_count * sizeof *sample->symbols);
    memcpy(sample->predicted, d->predicted, sizeof d->predicted);
    memcpy(sample->slopes, d->slopes, sizeof d->slopes);
    memset(sample->etas, 0, sizeof sample->etas);
    fit_problem problem = {.ctx = fw->work->ctx,
                           .eta_count = fw->eta_count,
                           .level_count = l->level_count,
                           .levels = sample->levels,
                           .prior = fw->prior,
                           .sd = fw->sd,
                           .predict = predict,
                           .user = &who};
    who.is_model = false;
    SOLVE_TRY(fit_map(&problem, sample->etas, sample->covariance, NULL));
    who.is_model = is_held;
    problem.step = FIT_GAIN_STEP; /* the integrator's errors do not matter */
    return is_held ? fit_map(&problem, sample->etas, sample->covariance, NULL) : DDT_OK;
}

/* ------------------------------------------------------------------ the layout */

static ddt_status lane_levels(fit_work *fw, size_t lane) {
    const solve_work *work = fw->work;
    const ddt_subject *s = template_of(fw, lane);
    fit_lane *l = &fw->fit->lanes[lane];
    l->levels = ddt_calloc(s->record_count + 1, sizeof *l->levels);
    if (l->levels == NULL) {
        return solve_no_memory(work->ctx);
    }
    for (size_t r = 0; r < s->record_count; r++) {
        if (!s->records[r].has_dv) {
            continue;
        }
        if (l->level_count == FIT_LEVELS_MAX) {
            return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s': the subject %s has more than %d levels.",
                            work->events->path, s->id, FIT_LEVELS_MAX);
        }
        fit_level *level = &l->levels[l->level_count];
        *level = (fit_level){.record = (uint32_t)r, .column = (uint32_t)l->level_count};
        SOLVE_TRY(fit_output_of(work->ctx, work->model, work->events, &s->records[r], &level->output));
        l->level_count++;
    }
    return DDT_OK;
}

/* One column for each level, at least one; one row for each term. */
static ddt_status lane_columns(fit_work *fw, size_t lane) {
    const fit_lane *l = &fw->fit->lanes[lane];
    solve_layout *layout = &fw->work->solution->layout;
    const ddt_schedule *schedule = &fw->work->schedules[subject_of(fw, lane)];
    solve_lane *to = &layout->lanes[lane];
    to->column_count = l->level_count > 0 ? l->level_count : 1;
    to->columns = ddt_calloc(to->column_count, sizeof *to->columns);
    solve_layout_subject *s = &layout->subjects[subject_of(fw, lane)];
    s->observations = ddt_calloc(schedule->observation_count + 1, sizeof *s->observations);
    if (to->columns == NULL || s->observations == NULL) {
        return solve_no_memory(fw->work->ctx);
    }
    for (size_t k = 0; k < l->level_count; k++) {
        to->columns[k].record = l->levels[k].record;
        to->columns[k].time_h = template_of(fw, lane)->records[l->levels[k].record].time_h;
    }
    s->observation_count = schedule->observation_count;
    for (size_t k = 0; k < schedule->observation_count; k++) {
        const ddt_record *record = &template_of(fw, lane)->records[schedule->observations[k]];
        s->observations[k] = (solve_place){.lane = (uint32_t)lane, .time_h = record->time_h};
    }
    return DDT_OK;
}

static ddt_status make_lanes(fit_work *fw) {
    solve_layout *layout = &fw->work->solution->layout;
    size_t count = fw->work->events->subject_count;
    size_t most = 1;
    layout->lanes = ddt_calloc(count, sizeof *layout->lanes);
    fw->fit->lanes = ddt_calloc(count, sizeof *fw->fit->lanes);
    fw->fit->surrogate->lanes = ddt_calloc(count, sizeof *fw->fit->surrogate->lanes);
    if (layout->lanes == NULL || fw->fit->lanes == NULL || fw->fit->surrogate->lanes == NULL) {
        return solve_no_memory(fw->work->ctx);
    }
    layout->lane_count = fw->fit->lane_count = fw->fit->surrogate->lane_count = count;
    for (size_t l = 0; l < count; l++) {
        layout->lanes[l].subject = (uint32_t)l;
        SOLVE_TRY(lane_levels(fw, l));
        SOLVE_TRY(lane_columns(fw, l));
        size_t own = fw->fit->lanes[l].level_count;
        fw->fit->surrogate->lanes[l].level_count = own;
        most = own > most ? own : most;
    }
    layout->segments = 1;
    layout->rows = fw->fit->surrogate->rows = SURROGATE_ROWS;
    layout->columns = 1;
    while (layout->columns < most) {
        layout->columns *= 2;
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ ranges and room */

static void widen_amounts(struct surrogate_training *t, const ddt_subject *subject) {
    for (size_t r = 0; r < subject->record_count; r++) {
        if (ddt_record_is_dose(&subject->records[r])) {
            t->amount_low = fmin(t->amount_low, subject->records[r].amount);
            t->amount_high = fmax(t->amount_high, subject->records[r].amount);
        }
    }
}

/* Amounts of the template, widened: below half of the smallest they are refused. */
static ddt_status add_ranges(fit_work *fw) {
    const double low_part = 0.5;
    const solve_work *work = fw->work;
    struct surrogate_training *t = fw->training;
    uint32_t ignored = 0;
    t->amount_low = INFINITY;
    for (size_t s = 0; s < work->events->subject_count; s++) {
        widen_amounts(t, &work->events->subjects[s]);
    }
    t->amount_low = isfinite(t->amount_low) ? low_part * t->amount_low : 0.0;
    t->amount_high = solve_amount_high(t->amount_high);
    SOLVE_TRY(fit_add_range(fw, "AMT", t->amount_low, t->amount_high, &fw->fit->surrogate->amount_range));
    for (size_t c = 0; c < work->events->covariate_count; c++) {
        uint32_t symbol = work->events->covariate_symbols[c];
        bool is_covariate = work->model->symbols[symbol].kind == DDT_SYMBOL_COVARIATE;
        SOLVE_TRY(is_covariate ? solve_add_range(fw->work, symbol, &ignored) : DDT_OK);
    }
    return DDT_OK;
}

static ddt_status choose_room(fit_work *fw) {
    enum { BLOCK_MAX = 1 << 15, FEW_FACTS = 4, FEW_FEATURES = 256, FEATURES = 512 };
    solve_layout *layout = &fw->work->solution->layout;
    size_t facts = 0;
    for (size_t l = 0; l < fw->fit->lane_count; l++) {
        size_t own = fit_fact_count(fw->fit, &fw->fit->lanes[l]);
        facts = own > facts ? own : facts;
    }
    fw->fit->feature_count = facts <= FEW_FACTS ? FEW_FEATURES : FEATURES;
    while (layout->rows * layout->columns < 2 * fw->fit->feature_count) { /* half for the windows of sums */
        layout->columns *= 2;
    }
    fw->fit->copies = 1;
    for (size_t i = 0; i < fw->eta_count; i++) {
        fw->fit->eta_limit[i] = SURROGATE_WIDTH * fw->sd[i];
    }
    fw->least_block = layout->rows * layout->columns;
    layout->lane_slots = fw->least_block;
    return fw->least_block <= BLOCK_MAX
               ? DDT_OK
               : ddt_fail(fw->work->ctx, DDT_ERR_CAPACITY, "'%s': a subject has more levels than a ciphertext takes.",
                          fw->work->events->path);
}

/* Covariates and doses shape how levels answer to etas: the guess sees it where its variables and features suffice. */
static bool can_see_slopes(const fit_work *fw) {
    enum { PRINCIPAL = 4, ETAS = 8 }; /* of rests and slopes; factors of more etas would take all features */
    size_t most = 0;
    for (size_t l = 0; l < fw->fit->lane_count; l++) {
        size_t levels = fw->fit->lanes[l].level_count;
        size_t own = levels < fw->eta_count ? levels : fw->eta_count;
        most = own > most ? own : most;
    }
    size_t variables = most + fw->fit->covariate_count + fw->fit->sees_size + PRINCIPAL;
    return fw->fit->covariate_count > 0 && fw->eta_count <= ETAS && variables <= FIT_VARIABLES_MAX;
}

static ddt_status create_training(fit_work *fw) {
    solve_work *work = fw->work;
    const ddt_model *model = work->model;
    fw->training = solve_alloc(work, 1, sizeof *fw->training);
    if (fw->training == NULL) {
        return DDT_ERR_MEMORY;
    }
    struct surrogate_training *t = fw->training;
    for (size_t o = 0; o < model->output_count; o++) {
        t->outputs[o] = model->outputs[o].value;
    }
    size_t records = 1;
    for (size_t s = 0; s < work->events->subject_count; s++) {
        size_t own = work->events->subjects[s].record_count;
        records = own > records ? own : records;
    }
    t->values = solve_alloc(work, records * model->output_count, sizeof *t->values);
    t->normal = solve_alloc(work, (size_t)SURROGATE_ROWS * SURROGATE_ROWS, sizeof *t->normal);
    t->right = solve_alloc(work, (size_t)SURROGATE_ROWS * FIT_LEVELS_MAX, sizeof *t->right);
    t->terms = solve_alloc(work, SURROGATE_ROWS, sizeof *t->terms);
    size_t held = work->events->subject_count * fw->held_out;
    t->held = solve_alloc(work, held, sizeof *t->held);
    if (t->values == NULL || t->normal == NULL || t->right == NULL || t->terms == NULL || t->held == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t d = 0; d < DESIGNS; d++) {
        SOLVE_TRY(create_design(fw, &t->designs[d]));
    }
    for (size_t d = 0; d < held; d++) {
        SOLVE_TRY(create_design(fw, &t->held[d]));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ inputs */

/* The largest coefficient of a score over the range of levels. */
static double largest_score(const fit_residual *r, double low, double high) {
    enum { POINTS = 60 };
    const double margin = 1.05;
    double largest = 0.0;
    for (int i = 0; i <= POINTS; i++) {
        double part = (double)i / POINTS;
        fit_level_value level = {low + (high - low) * part * part, r, false};
        for (int censored = 0; censored <= (r->limit > 0.0 ? 1 : 0); censored++) {
            double coefficients[SURROGATE_SCORE_DEGREE + 1];
            level.is_censored = censored == 1;
            surrogate_score(&level, coefficients);
            for (unsigned k = 0; k <= SURROGATE_SCORE_DEGREE; k++) {
                largest = fmax(largest, margin * fabs(coefficients[k]));
            }
        }
    }
    return largest;
}

/* The largest rests of the patients held out, with a margin; patients beyond it are refused. */
static void find_units(fit_work *fw) {
    const double margin = 2.0;
    const double least = 0.5;
    struct fit_surrogate *s = fw->fit->surrogate;
    double rest = least;
    double slope = least;
    for (size_t i = 0; i < fw->fit->lane_count * fw->held_out; i++) {
        const surrogate_seen seen = surrogate_seen_of(&fw->samples[i]);
        if (fw->samples[i].is_covered) {
            surrogate_largest(fw->fit, i / fw->held_out, &seen, &rest, &slope);
        }
    }
    s->rest_unit = margin * rest;
    s->slope_unit = margin * slope;
}

static ddt_status add_inputs(fit_work *fw) {
    const double rounding = 1e-9;
    struct fit_surrogate *s = fw->fit->surrogate;
    double low = INFINITY;
    double high = 0.0;
    uint32_t range = 0;
    s->score_unit = 1.0;
    for (size_t o = 0; o < fw->fit->output_count; o++) {
        double own_low = 0.0;
        double own_high = 0.0;
        fit_level_extremes(fw, o, &own_low, &own_high);
        s->score_unit =
            s->has_scores ? fmax(s->score_unit, largest_score(&fw->fit->residuals[o], own_low, own_high)) : 1.0;
        low = fmin(low, own_low);
        high = fmax(high, own_high);
    }
    SOLVE_TRY(fit_add_range(fw, "DV", low, high, &range));
    for (size_t o = 0; o < fw->fit->output_count; o++) {
        fw->fit->level_range[o] = range;
        fw->fit->inverse_input[o] = SOLVE_NONE;
        fw->fit->residuals[o].is_public = false;
        fw->fit->residuals[o].degree = SURROGATE_SCORE_DEGREE;
    }
    find_units(fw);
    SOLVE_TRY(fit_add_input(fw, "features", s->amount_range, 1.0 + rounding, &fw->fit->feature_input));
    return fit_add_input(fw, "patient", range, 1.0 + rounding, &s->patient_input);
}

ddt_status surrogate_prepare(fit_work *fw) {
    enum { PATIENTS_HELD = 60, HELD_LEAST = 3 };
    if (fw->iterations > 1) {
        return ddt_fail(fw->work->ctx, DDT_ERR_UNSUPPORTED,
                        "'%s': fits of models that are not linear in their compartments take one step.",
                        fw->work->model->path);
    }
    fw->fit->surrogate = ddt_calloc(1, sizeof *fw->fit->surrogate);
    if (fw->fit->surrogate == NULL) {
        return solve_no_memory(fw->work->ctx);
    }
    fw->fit->sees_size = true;
    for (size_t o = 0; o < fw->fit->output_count; o++) {
        const fit_residual *r = &fw->fit->residuals[o];
        bool is_own = r->limit > 0.0 || r->kind == DDT_RESIDUAL_COMBINED || r->kind == DDT_RESIDUAL_COMBINED_SD;
        fw->fit->surrogate->has_scores = fw->fit->surrogate->has_scores || is_own;
    }
    /* Exact solutions cost most: with many subjects a few of each are as telling. */
    size_t held = (PATIENTS_HELD + fw->work->events->subject_count - 1) / fw->work->events->subject_count;
    fw->held_out = held < HELD_LEAST ? HELD_LEAST : held < fw->held_out ? held : fw->held_out;
    SOLVE_TRY(create_training(fw));
    SOLVE_TRY(make_lanes(fw));
    fw->fit->has_slopes = can_see_slopes(fw);
    SOLVE_TRY(add_ranges(fw));
    SOLVE_TRY(choose_room(fw));
    SOLVE_TRY(fit_train(fw));
    return add_inputs(fw);
}
