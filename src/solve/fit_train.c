/*
 * What a plan learns in the clear from virtual patients: for each subject's own times, polynomials that take the
 * levels' deviations from the population's prediction to the estimate, its covariance and its standard deviations. The
 * targets are exact estimates of simulated levels, so that few patients are enough.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_surrogate.h"

#include <string.h>

enum { SAMPLES_LEAST = 720, PER_TERM = 2, PER_TERM_WITH_SLOPES = 4, ATTEMPTS_MAX = 100 };

/* ------------------------------------------------------------------ random numbers */

double fit_uniform(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
}

/* Box and Muller, 1958; within +- limit. */
static double normal(uint64_t *state, double limit) {
    const double two_pi = 6.28318530717958647692;
    double z = sqrt(-2.0 * log(fit_uniform(state))) * cos(two_pi * fit_uniform(state));
    return fmin(fmax(z, -limit), limit);
}

/* ------------------------------------------------------------------ predictions */

void fit_lane_predict(fit_work *fw, size_t lane, const fit_sample *of, double *predictions) {
    const fit_lane *l = &fw->fit->lanes[lane];
    fit_vary_numbers(fw, lane, of->symbols, of->changes);
    solve_lane_exact(fw->work, lane, &fw->numbers, of->amounts, &fw->buffers);
    for (size_t k = 0; k < l->level_count; k++) {
        const fit_level *level = &l->levels[k];
        predictions[k] = fw->buffers.outputs[level->output * fw->work->solution->layout.columns + level->column];
    }
}

typedef struct patient {
    fit_work *fw;
    size_t lane;
    const fit_sample *sample;
} patient;

static ddt_status predict(void *user, const double *etas, double *predictions) {
    patient *who = user;
    if (who->fw->fit->surrogate != NULL) {
        return surrogate_predict(who->fw, who->lane, who->sample, etas, predictions);
    }
    for (size_t i = 0; i < who->fw->eta_count; i++) {
        who->sample->symbols[who->fw->eta_symbols[i]] = etas[i];
    }
    fit_lane_predict(who->fw, who->lane, who->sample, predictions);
    return DDT_OK;
}

/* ------------------------------------------------------------------ virtual patients */

void fit_draw_etas(const fit_work *fw, double wider, uint64_t *random, double *etas) {
    const double limit = 2.5;
    double z[FIT_ETAS_MAX];
    for (size_t i = 0; i < fw->eta_count; i++) {
        z[i] = wider * normal(random, limit);
    }
    for (size_t i = 0; i < fw->eta_count; i++) {
        etas[i] = 0.0;
        for (size_t j = 0; j <= i; j++) {
            etas[i] += fw->prior_factor[i * fw->eta_count + j] * z[j];
        }
        const solve_symbol *symbol = &fw->work->symbols[fw->eta_symbols[i]];
        etas[i] = fmin(fmax(etas[i], symbol->low), symbol->high);
    }
}

/* Doses of one patient are alike, those of different patients span what a template may hold. */
static void draw_amounts(const fit_work *fw, size_t lane, uint64_t *random, double *amounts) {
    const double smallest = 0.08;
    const double spread = 0.1;
    const solve_lane *l = &fw->work->solution->layout.lanes[lane];
    double part = exp(log(smallest) * fit_uniform(random)) / (1.0 + spread);
    for (size_t row = 0; row < l->source_count; row++) {
        if (l->sources[row].input != SOLVE_NONE) {
            double own = part * (1.0 + spread * (2.0 * fit_uniform(random) - 1.0));
            amounts[l->sources[row].record] = own * fw->work->dosings[l->sources[row].input].amount_high;
        }
    }
}

void fit_draw_level(const fit_residual *r, double f, uint64_t *random, fit_level_value *out) {
    const double limit = 3.5;
    const double least = 0.02; /* of the prediction: a level of 0 is one below quantification */
    double z = normal(random, limit);
    double y = r->kind == DDT_RESIDUAL_LOG ? f * exp(r->additive * z) : fmax(f + fit_residual_sd(r, f) * z, least * f);
    *out = (fit_level_value){fmax(y, r->limit), r, y < r->limit};
}

/* Where errors are relative a level is never 0: no dose has a lag that a level before it contradicts. */
static bool has_levels(const fit_work *fw, const fit_lane *lane, const double *f) {
    const double least = 1e-60; /* squares do not underflow */
    bool has_all = true;
    for (size_t k = 0; k < lane->level_count; k++) {
        has_all = has_all && (f[k] > least || !fit_is_relative(&fw->fit->residuals[lane->levels[k].output]));
    }
    return has_all;
}

/* What the custodian computes for etas of 0. */
static ddt_status predict_population(patient *who, fit_sample *sample) {
    const solve_fit *fit = who->fw->fit;
    const fit_lane *l = &fit->lanes[who->lane];
    const double etas[FIT_ETAS_MAX] = {0};
    SOLVE_TRY(fit->has_slopes ? fit_find_slopes(fit, l, predict, who, sample->slopes) : DDT_OK);
    return predict(who, etas, sample->predicted);
}

static fit_problem problem_of(patient *who, const fit_sample *sample) {
    fit_work *fw = who->fw;
    const fit_lane *l = &fw->fit->lanes[who->lane];
    return (fit_problem){.ctx = fw->work->ctx,
                         .eta_count = fw->eta_count,
                         .level_count = l->level_count,
                         .levels = sample->levels,
                         .prior = fw->prior,
                         .sd = fw->sd,
                         .predict = predict,
                         .user = who};
}

static ddt_status draw_sample(fit_work *fw, size_t lane, size_t index, fit_sample *sample) {
    if (fw->fit->surrogate != NULL) {
        return surrogate_draw(fw, lane, index, sample);
    }
    solve_work *work = fw->work;
    const fit_lane *l = &fw->fit->lanes[lane];
    uint64_t random = (uint64_t)index * 1000003U + lane * 7919U + 17U;
    double etas[FIT_ETAS_MAX];
    double f[FIT_LEVELS_MAX];
    size_t patient_of = (index * fw->fit->lane_count + lane) % work->draw_count;
    memcpy(sample->symbols, work->samples + patient_of * work->symbol_count,
           work->symbol_count * sizeof *sample->symbols);
    const double wider = 1.5; /* what regressions learn from: the population's tails, too */
    draw_amounts(fw, lane, &random, sample->amounts);
    size_t records = work->events->subjects[work->solution->layout.lanes[lane].subject].record_count;
    fit_vary_draw(fw, records, patient_of, fit_uniform, &random, sample->changes);
    patient who = {fw, lane, sample};
    bool is_measurable = false;
    for (int attempt = 0; attempt < ATTEMPTS_MAX && !is_measurable; attempt++) {
        fit_draw_etas(fw, index < fw->held_out ? 1.0 : wider, &random, etas);
        SOLVE_TRY(predict(&who, etas, f));
        is_measurable = has_levels(fw, l, f);
    }
    for (size_t k = 0; k < l->level_count; k++) {
        fit_draw_level(&fw->fit->residuals[l->levels[k].output], f[k], &random, &sample->levels[k]);
    }
    SOLVE_TRY(predict_population(&who, sample));
    fit_problem problem = problem_of(&who, sample);
    memset(sample->etas, 0, sizeof sample->etas);
    return fit_map(&problem, sample->etas, sample->covariance, NULL);
}

static ddt_status create_samples(fit_work *fw, size_t count, fit_sample **out) {
    size_t records = 1;
    for (size_t s = 0; s < fw->work->events->subject_count; s++) {
        size_t own = fw->work->events->subjects[s].record_count;
        records = own > records ? own : records;
    }
    *out = solve_alloc(fw->work, count, sizeof **out);
    for (size_t i = 0; *out != NULL && i < count; i++) {
        (*out)[i].symbols = solve_alloc(fw->work, fw->work->symbol_count, sizeof(double));
        (*out)[i].amounts = solve_alloc(fw->work, records, sizeof(double));
        (*out)[i].changes = solve_alloc(fw->work, records * (fw->changing_count + 1), sizeof(double));
        if ((*out)[i].symbols == NULL || (*out)[i].amounts == NULL || (*out)[i].changes == NULL) {
            return DDT_ERR_MEMORY;
        }
    }
    return *out == NULL ? DDT_ERR_MEMORY : DDT_OK;
}

/* ------------------------------------------------------------------ features */

size_t fit_monomial_count(size_t variables, unsigned degree) {
    size_t count = 1;
    for (unsigned d = 1; d <= degree; d++) {
        count = count * (variables + d) / d;
    }
    return count;
}

typedef struct monomials {
    double basis[FIT_VARIABLES_MAX][64]; /* Chebyshev polynomials of each variable */
    size_t variables, count, capacity;
    double *out;
} monomials;

static void add_monomials(monomials *m, size_t variable, unsigned degree, double product) {
    if (variable == m->variables) {
        if (m->count < m->capacity) {
            m->out[m->count++] = product;
        }
        return;
    }
    for (unsigned d = 0; d <= degree; d++) {
        add_monomials(m, variable + 1, degree - d, product * m->basis[variable][d]);
    }
}

size_t fit_fact_count(const solve_fit *fit, const fit_lane *lane) {
    return lane->level_count == 0
               ? 0
               : lane->level_count + fit->covariate_count + fit->sees_size + fit_slope_facts(fit, lane->level_count);
}

void fit_facts(const solve_fit *fit, const fit_lane *lane, const fit_seen *seen, double *facts) {
    const double tiny = 1e-9;
    double size = 0.0;
    for (size_t k = 0; k < lane->level_count; k++) {
        facts[k] = fit_residual_deviation(&fit->residuals[lane->levels[k].output], fit_level_typical(&seen->levels[k]),
                                          seen->predicted[k]);
        size += fmax(seen->predicted[k], 0.0);
    }
    if (lane->level_count > 0) {
        for (size_t c = 0; c < fit->covariate_count; c++) {
            facts[lane->level_count + c] = seen->symbols[fit->covariates[c]];
        }
        if (fit->sees_size) {
            facts[lane->level_count + fit->covariate_count] = log(fmax(size, tiny));
        }
        if (fit->has_slopes) {
            fit_slope_fill(fit, lane, seen, facts + lane->level_count + fit->covariate_count + fit->sees_size);
        }
    }
}

double fit_variable(const solve_fit *fit, const fit_lane *lane, size_t variable, const double *facts) {
    size_t count = fit_fact_count(fit, lane);
    double x = -lane->centre[variable];
    for (size_t k = 0; k < count; k++) {
        x += lane->projection[variable * count + k] * facts[k];
    }
    return x;
}

void fit_features(const solve_fit *fit, const fit_lane *lane, const double *facts, double *features) {
    monomials m = {.variables = lane->variable_count, .capacity = fit->feature_count, .out = features};
    memset(features, 0, fit->feature_count * sizeof *features);
    for (size_t v = 0; v < lane->variable_count; v++) {
        double x = fmin(fmax(fit_variable(fit, lane, v, facts), -1.0), 1.0);
        m.basis[v][0] = 1.0;
        m.basis[v][1] = x;
        for (unsigned d = 2; d <= lane->degree; d++) {
            m.basis[v][d] = 2.0 * x * m.basis[v][d - 1] - m.basis[v][d - 2];
        }
    }
    add_monomials(&m, 0, lane->degree, 1.0);
    if (fit->has_slopes && lane->level_count > 0) {
        fit_slope_features(fit, lane, facts, features + m.count);
    }
}

size_t fit_term_count(const solve_fit *fit, const fit_lane *lane) {
    return fit_monomial_count(lane->variable_count, lane->degree) + fit_slope_terms(fit, lane);
}

/* ------------------------------------------------------------------ least squares */

void fit_solve_normal(double *a, double *b, size_t count, size_t columns) {
    for (size_t j = 0; j < count; j++) {
        for (size_t k = 0; k < j; k++) {
            double factor = a[j * count + k];
            for (size_t i = j; i < count; i++) {
                a[i * count + j] -= a[i * count + k] * factor;
            }
        }
        double root = sqrt(fmax(a[j * count + j], 1e-300));
        for (size_t i = j; i < count; i++) {
            a[i * count + j] /= root;
        }
    }
    for (size_t c = 0; c < columns; c++) {
        for (size_t i = 0; i < count; i++) {
            for (size_t k = 0; k < i; k++) {
                b[i * columns + c] -= a[i * count + k] * b[k * columns + c];
            }
            b[i * columns + c] /= a[i * count + i];
        }
        for (size_t i = count; i-- > 0;) {
            for (size_t k = i + 1; k < count; k++) {
                b[i * columns + c] -= a[k * count + i] * b[k * columns + c];
            }
            b[i * columns + c] /= a[i * count + i];
        }
    }
}

/* The lower Cholesky factor of a matrix, in standard deviations, column by column. */
static void factor_targets(const fit_work *fw, const double *matrix, double *targets) {
    size_t n = fw->eta_count;
    double scaled[FIT_ETAS_MAX * FIT_ETAS_MAX] = {0};
    double factor[FIT_ETAS_MAX * FIT_ETAS_MAX];
    for (size_t i = 0; i < n * n; i++) {
        scaled[i] = matrix[i] / (fw->sd[i / n] * fw->sd[i % n]);
    }
    fit_factorise(scaled, n, factor);
    for (size_t k = 0; k < n; k++) {
        for (size_t i = k; i < n; i++) {
            *targets++ = factor[i * n + k];
        }
    }
}

static void targets_of(const fit_work *fw, const fit_sample *sample, double *targets) {
    size_t n = fw->eta_count;
    for (size_t i = 0; i < n; i++) {
        targets[i] = sample->etas[i] / fw->sd[i];
        targets[n + i] = sqrt(sample->covariance[i * n + i]) / fw->sd[i];
    }
    factor_targets(fw, sample->covariance, targets + 2 * n);
}

typedef struct learner {
    fit_work *fw;
    fit_sample *samples;
    size_t capacity, count;
    double *normal, *right, *rows, *targets;
} learner;

static void facts_of(const learner *t, size_t lane, const fit_sample *sample, double *facts) {
    const fit_seen seen = {sample->levels, sample->predicted, sample->slopes, sample->symbols};
    fit_facts(t->fw->fit, &t->fw->fit->lanes[lane], &seen, facts);
}

/* Centre and scale of a variable whose projection is known: [-1, 1] over the samples. */
static void scale_variable(learner *t, size_t lane, size_t v) {
    fit_lane *l = &t->fw->fit->lanes[lane];
    size_t count = fit_fact_count(t->fw->fit, l);
    double facts[FIT_FACTS_MAX] = {0};
    double *projection = l->projection + v * count;
    double low = INFINITY;
    double high = -INFINITY;
    for (size_t s = 0; s < t->count; s++) {
        double x = 0.0;
        facts_of(t, lane, &t->samples[s], facts);
        for (size_t k = 0; k < count; k++) {
            x += projection[k] * facts[k];
        }
        low = fmin(low, x);
        high = fmax(high, x);
    }
    double half = fmax(0.5 * (high - low), 1e-9);
    l->centre[v] = 0.5 * (low + high) / half;
    for (size_t k = 0; k < count; k++) {
        projection[k] /= half;
    }
}

/* With many levels: the combinations of them that tell most about each eta, by linear regression. Right-hand sides stay
 * in t->right: levels x etas. */
static void regress_levels(learner *t, size_t lane) {
    const double ridge = 1e-3;
    size_t n = t->fw->eta_count;
    size_t m = t->fw->fit->lanes[lane].level_count;
    double facts[FIT_FACTS_MAX] = {0};
    memset(t->normal, 0, m * m * sizeof *t->normal);
    memset(t->right, 0, m * n * sizeof *t->right);
    for (size_t s = 0; s < t->count; s++) {
        facts_of(t, lane, &t->samples[s], facts);
        for (size_t i = 0; i < m; i++) {
            for (size_t j = 0; j < m; j++) {
                t->normal[i * m + j] += facts[i] * facts[j];
            }
            for (size_t j = 0; j < n; j++) {
                t->right[i * n + j] += facts[i] * t->samples[s].etas[j] / t->fw->sd[j];
            }
        }
    }
    for (size_t i = 0; i < m; i++) {
        t->normal[i * m + i] += ridge * (double)t->count;
    }
    fit_solve_normal(t->normal, t->right, m, n);
}

/* The direction in which `width` facts from `first` on vary most beside the directions that are known already. */
static void principal(learner *t, size_t lane, size_t first, size_t width, size_t known, double *projection) {
    enum { TURNS = 60 };
    size_t count = fit_fact_count(t->fw->fit, &t->fw->fit->lanes[lane]);
    double *direction = projection + first;
    double next[FIT_FACTS_MAX];
    for (size_t i = 0; i < width; i++) {
        direction[i] = 1.0 + (double)(i % 3);
    }
    for (int turn = 0; turn < TURNS; turn++) {
        double norm = 0.0;
        for (size_t i = 0; i < width; i++) {
            next[i] = 0.0;
            for (size_t j = 0; j < width; j++) {
                next[i] += t->normal[i * width + j] * direction[j];
            }
        }
        for (size_t b = 1; b <= known; b++) {
            const double *other = projection - b * count + first;
            double along = 0.0;
            double length = 0.0;
            for (size_t i = 0; i < width; i++) {
                along += next[i] * other[i];
                length += other[i] * other[i];
            }
            for (size_t i = 0; i < width && length > 0.0; i++) {
                next[i] -= along / length * other[i];
            }
        }
        for (size_t i = 0; i < width; i++) {
            norm += next[i] * next[i];
        }
        for (size_t i = 0; i < width && norm > 0.0; i++) {
            direction[i] = next[i] / sqrt(norm);
        }
    }
}

/* Covariances of `width` facts from `first` on, in t->normal. */
static void covariances(learner *t, size_t lane, size_t first, size_t width) {
    double facts[FIT_FACTS_MAX] = {0};
    double *mean = t->right;
    memset(t->normal, 0, width * width * sizeof *t->normal);
    memset(mean, 0, width * sizeof *mean);
    for (size_t s = 0; s < t->count; s++) {
        facts_of(t, lane, &t->samples[s], facts);
        for (size_t i = 0; i < width; i++) {
            mean[i] += facts[first + i];
            for (size_t j = 0; j < width; j++) {
                t->normal[i * width + j] += facts[first + i] * facts[first + j];
            }
        }
    }
    for (size_t i = 0; i < width * width; i++) {
        t->normal[i] -= mean[i / width] * mean[i % width] / (double)t->count;
    }
}

/* How the variables of a lane with slopes are made up. */
typedef struct shape {
    size_t of_levels, rests, others, slopes;
    bool is_linear; /* of_levels are the linear estimates */
} shape;

static shape shape_of(const solve_fit *fit, const fit_lane *lane) {
    enum { RESTS = 2, SLOPES = 2 };
    size_t n = fit->eta_count;
    size_t m = lane->level_count;
    shape s = {.others = fit->covariate_count + fit->sees_size, .is_linear = m >= n};
    s.of_levels = m >= n ? n : m;
    s.rests = m <= n ? 0 : RESTS;
    s.slopes = SLOPES;
    return s;
}

static void make_slope_variables(learner *t, size_t lane) {
    const solve_fit *fit = t->fw->fit;
    fit_lane *l = &t->fw->fit->lanes[lane];
    size_t count = fit_fact_count(fit, l);
    size_t n = fit->eta_count;
    size_t m = l->level_count;
    shape s = shape_of(fit, l);
    double *projection = l->projection;
    size_t first = m + s.others;
    for (size_t v = 0; v < s.of_levels; v++, projection += count) {
        projection[s.is_linear ? first + v : v] = 1.0;
    }
    for (size_t v = 0; v < s.others; v++, projection += count) {
        projection[m + v] = 1.0;
    }
    covariances(t, lane, first + n, m);
    for (size_t v = 0; v < s.rests; v++, projection += count) {
        principal(t, lane, first + n, m, v, projection);
    }
    covariances(t, lane, first + n + m, m * n);
    for (size_t v = 0; v < s.slopes; v++, projection += count) {
        principal(t, lane, first + n + m, m * n, v, projection);
    }
    for (size_t v = 0; v < l->variable_count; v++) {
        scale_variable(t, lane, v);
    }
}

/* Levels (or combinations of them), then the other facts. */
static void make_variables(learner *t, size_t lane) {
    fit_lane *l = &t->fw->fit->lanes[lane];
    if (t->fw->fit->has_slopes) {
        make_slope_variables(t, lane);
        return;
    }
    size_t count = fit_fact_count(t->fw->fit, l);
    size_t others = count - l->level_count;
    size_t of_levels = l->variable_count - others;
    bool is_combined = of_levels < l->level_count;
    if (is_combined) {
        regress_levels(t, lane);
    }
    for (size_t v = 0; v < l->variable_count; v++) {
        double *projection = l->projection + v * count;
        if (v >= of_levels) {
            projection[l->level_count + v - of_levels] = 1.0;
        } else if (is_combined) {
            for (size_t k = 0; k < l->level_count; k++) {
                projection[k] = t->right[k * t->fw->eta_count + v];
            }
        } else {
            projection[v] = 1.0;
        }
        scale_variable(t, lane, v);
    }
}

/* Sum of the degrees of a lane's monomial; 0 for what is none. */
static unsigned monomial_degree(const fit_lane *lane, size_t index) {
    unsigned left = lane->degree;
    for (size_t v = 0; v < lane->variable_count; v++) {
        size_t skipped = 0;
        for (unsigned d = 0; d <= left; d++) {
            size_t of_others = fit_monomial_count(lane->variable_count - v - 1, left - d);
            if (index < skipped + of_others) {
                index -= skipped;
                left -= d;
                break;
            }
            skipped += of_others;
        }
    }
    return lane->degree - left;
}

/* With many variables, and where doses' sizes are one, high degrees are for what many patients ask for: between them,
 * and in corners where there are few, they would oscillate. Where errors are only relative there are no such corners.
 */
static double ridge_of(const solve_fit *fit, const fit_lane *lane, size_t index) {
    const double least = 1e-4;
    const double growing = fit->has_slopes ? 1e-6 : fit->sees_size ? 1e-5 : 0.0;
    const double power = fit->has_slopes ? 8.0 : 4.0;
    bool is_monomial = index < fit_monomial_count(lane->variable_count, lane->degree);
    double degree = is_monomial ? monomial_degree(lane, index) : 1.0;
    return least + growing * pow(degree, power);
}

static void add_rows(learner *t, size_t lane, size_t count, size_t columns) {
    const fit_lane *l = &t->fw->fit->lanes[lane];
    double facts[FIT_FACTS_MAX] = {0};
    memset(t->normal, 0, count * count * sizeof *t->normal);
    memset(t->right, 0, count * columns * sizeof *t->right);
    for (size_t s = 0; s < t->count; s++) {
        facts_of(t, lane, &t->samples[s], facts);
        fit_features(t->fw->fit, l, facts, t->rows);
        targets_of(t->fw, &t->samples[s], t->targets);
        for (size_t i = 0; i < count; i++) {
            double x = t->rows[i];
            for (size_t j = 0; j <= i; j++) {
                t->normal[i * count + j] += x * t->rows[j];
            }
            for (size_t c = 0; c < columns; c++) {
                t->right[i * columns + c] += x * t->targets[c];
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        t->normal[i * count + i] += ridge_of(t->fw->fit, l, i);
    }
}

static void learn_lane(learner *t, size_t lane) {
    fit_tables *tables = &t->fw->tables;
    const fit_lane *l = &t->fw->fit->lanes[lane];
    size_t features = t->fw->fit->feature_count;
    size_t count = fit_term_count(t->fw->fit, l);
    add_rows(t, lane, count, tables->count);
    fit_solve_normal(t->normal, t->right, count, tables->count);
    for (size_t r = 0; r < tables->count; r++) {
        double *to = tables->coefficients + (r * t->fw->fit->lane_count + lane) * features;
        for (size_t i = 0; i < count; i++) {
            to[i] = t->right[i * tables->count + r];
        }
    }
}

static ddt_status keep_guess(learner *t, size_t lane) {
    fit_work *fw = t->fw;
    fit_lane *l = &fw->fit->lanes[lane];
    size_t count = fit_term_count(fw->fit, l);
    l->guess = ddt_calloc(fw->eta_count * count, sizeof *l->guess);
    if (l->guess == NULL) {
        return solve_no_memory(fw->work->ctx);
    }
    for (size_t i = 0; i < fw->eta_count; i++) {
        const double *from = fw->tables.coefficients + (i * fw->fit->lane_count + lane) * fw->fit->feature_count;
        for (size_t k = 0; k < count; k++) {
            l->guess[i * count + k] = fw->sd[i] * from[k];
        }
    }
    return DDT_OK;
}

bool fit_guess(const solve_fit *fit, const fit_lane *lane, const double *features, double *etas) {
    size_t count = fit_term_count(fit, lane);
    bool is_inside = true;
    for (size_t i = 0; i < fit->eta_count; i++) {
        etas[i] = 0.0;
        for (size_t k = 0; k < count; k++) {
            etas[i] += lane->guess[i * count + k] * features[k];
        }
        is_inside = is_inside && fabs(etas[i]) <= fit->eta_limit[i];
    }
    return is_inside;
}

size_t fit_uncovered(const fit_lane *lane, const fit_level_value *levels, const double *predictions) {
    const double margin = 0.85; /* for the copies beside the guess */
    const double deviations =
        10.0; /* between level and guess, in standard deviations: no virtual patient has as many */
    size_t k = 0;
    for (; k < lane->level_count; k++) {
        const fit_residual *r = levels[k].residual;
        double sd = fit_residual_sd(r, fmax(predictions[k], levels[k].y));
        bool is_expected = levels[k].is_censored && predictions[k] <= levels[k].y;
        bool is_far = !is_expected && fabs(levels[k].y - predictions[k]) > deviations * sd;
        if (!(predictions[k] <= margin * fit_residual_top(r, levels[k].y)) || is_far) {
            break;
        }
    }
    return k;
}

/* Whether the circuit's polynomials hold for a patient: the custodian refuses others. */
static ddt_status cover_sample(learner *t, size_t lane, fit_sample *sample) {
    fit_work *fw = t->fw;
    const fit_lane *l = &fw->fit->lanes[lane];
    double facts[FIT_FACTS_MAX] = {0};
    double etas[FIT_ETAS_MAX] = {0};
    double f[FIT_LEVELS_MAX] = {0};
    facts_of(t, lane, sample, facts);
    fit_features(fw->fit, l, facts, t->rows);
    sample->is_covered = fit_guess(fw->fit, l, t->rows, etas);
    patient who = {fw, lane, sample};
    SOLVE_TRY(predict(&who, etas, f));
    memcpy(sample->guess, etas, sizeof etas);
    memcpy(sample->at_guess, f, sizeof f);
    if (fw->fit->surrogate != NULL) {
        SOLVE_TRY(surrogate_slopes(fw->fit, l, predict, &who, etas, sample->guess_slopes));
    }
    const surrogate_seen seen = surrogate_seen_of(sample);
    size_t uncovered =
        fw->fit->surrogate != NULL ? surrogate_uncovered(fw->fit, lane, &seen) : fit_uncovered(l, sample->levels, f);
    sample->is_covered = sample->is_covered && uncovered == l->level_count;
    fit_problem problem = problem_of(&who, sample);
    problem.step = FIT_GAIN_STEP;
    problem.has_scores = fw->fit->surrogate == NULL;
    problem.is_virtual = true;
    problem.has_kinks = fw->work->times.is_private;
    double left = 0.0;
    SOLVE_TRY(sample->is_covered ? fit_gain(&problem, etas, sample->gain, &left) : DDT_OK);
    sample->is_covered = sample->is_covered && left <= FIT_LEFT_MAX;
    return DDT_OK;
}

/* The highest degree whose monomials fit into the features. */
static ddt_status choose_features(fit_work *fw, fit_lane *l) {
    enum { DEGREE_MAX = 14 };
    size_t facts = fit_fact_count(fw->fit, l);
    size_t gain = fw->eta_count * (fw->eta_count + 1) / 2;
    size_t others = facts - l->level_count;
    size_t of_levels = facts <= FIT_VARIABLES_MAX ? l->level_count : fw->eta_count;
    l->variable_count = others + (of_levels < l->level_count ? of_levels : l->level_count);
    if (fw->fit->has_slopes && l->level_count > 0) {
        shape s = shape_of(fw->fit, l);
        l->variable_count = s.of_levels + s.others + s.rests + s.slopes;
    }
    if (!fw->fit->has_slopes && l->variable_count > FIT_VARIABLES_MAX) {
        l->variable_count = FIT_VARIABLES_MAX; /* of fewer combinations of levels */
    }
    size_t least = 1 + fit_slope_terms(fw->fit, l) + gain;
    if (l->variable_count > FIT_VARIABLES_MAX || least > fw->fit->feature_count) {
        return ddt_fail(fw->work->ctx, DDT_ERR_CAPACITY,
                        "'%s': %zu etas and %zu other facts are more than the first guess of a fit takes.",
                        fw->work->model->path, fw->eta_count, others);
    }
    l->degree = 0;
    while (l->degree < DEGREE_MAX && l->variable_count > 0 &&
           fit_monomial_count(l->variable_count, l->degree + 1) + fit_slope_terms(fw->fit, l) + gain <=
               fw->fit->feature_count) {
        l->degree++;
    }
    l->projection = ddt_calloc(l->variable_count * facts + 1, sizeof *l->projection);
    l->centre = ddt_calloc(l->variable_count + 1, sizeof *l->centre);
    return l->projection == NULL || l->centre == NULL ? solve_no_memory(fw->work->ctx) : DDT_OK;
}

/* ------------------------------------------------------------------ lanes of one structure */

static bool same_sources(const solve_lane *a, const solve_lane *b) {
    bool same = a->source_count == b->source_count && a->column_count == b->column_count;
    for (size_t r = 0; same && r < a->source_count; r++) {
        const solve_lane_source *x = &a->sources[r];
        const solve_lane_source *y = &b->sources[r];
        same = x->record == y->record && x->input == y->input && x->weight == y->weight &&
               x->covariate_record == y->covariate_record && x->piece == y->piece && x->past == y->past &&
               x->time_h == y->time_h && x->duration_h == y->duration_h;
    }
    return same && memcmp(a->active, b->active, a->source_count * a->column_count) == 0;
}

static bool same_columns(const solve_layout *layout, const solve_lane *a, const solve_lane *b) {
    bool same = true;
    for (size_t k = 0; same && k < a->column_count; k++) {
        const solve_lane_column *x = &a->columns[k];
        const solve_lane_column *y = &b->columns[k];
        same = x->time_h == y->time_h && x->record == y->record && x->segment_count == y->segment_count;
        for (size_t j = 0; same && j < x->segment_count; j++) {
            const solve_segment *u = &layout->subjects[a->subject].segments[x->segment + j];
            const solve_segment *v = &layout->subjects[b->subject].segments[y->segment + j];
            same = u->end_h == v->end_h && u->record == v->record;
        }
    }
    return same;
}

static bool same_times(const fit_work *fw, const double *times, size_t a, size_t b) {
    size_t slots = fit_copy_slots(&fw->work->solution->layout);
    return times == NULL || memcmp(times + a * slots, times + b * slots, slots * sizeof *times) == 0;
}

/* Whether what one lane has learned holds for the other: the same times, doses and levels. */
static bool is_alike(const fit_work *fw, size_t a, size_t b) {
    if (fw->fit->surrogate != NULL) {
        return surrogate_alike(fw, a, b);
    }
    const solve_layout *layout = &fw->work->solution->layout;
    const fit_lane *x = &fw->fit->lanes[a];
    const fit_lane *y = &fw->fit->lanes[b];
    const solve_times *times = &fw->work->times;
    return x->level_count == y->level_count && memcmp(x->levels, y->levels, x->level_count * sizeof *x->levels) == 0 &&
           same_sources(&layout->lanes[a], &layout->lanes[b]) &&
           same_columns(layout, &layout->lanes[a], &layout->lanes[b]) && same_times(fw, times->t2, a, b) &&
           same_times(fw, times->during, a, b) && same_times(fw, times->start, a, b) &&
           same_times(fw, times->unit, a, b);
}

static void copy_lane(learner *t, size_t from, size_t to) {
    fit_work *fw = t->fw;
    const fit_lane *a = &fw->fit->lanes[from];
    fit_lane *b = &fw->fit->lanes[to];
    size_t facts = fit_fact_count(fw->fit, a);
    size_t features = fw->fit->feature_count;
    memcpy(b->projection, a->projection, a->variable_count * facts * sizeof *b->projection);
    memcpy(b->centre, a->centre, a->variable_count * sizeof *b->centre);
    for (size_t r = 0; r < fw->tables.count; r++) {
        double *table = fw->tables.coefficients + r * fw->fit->lane_count * features;
        memcpy(table + to * features, table + from * features, features * sizeof *table);
    }
}

/* Draws patients, makes variables of their levels, and fits what is wanted of them. */
static ddt_status learn(learner *t, size_t lane) {
    const fit_lane *l = &t->fw->fit->lanes[lane];
    size_t count = fit_term_count(t->fw->fit, l);
    size_t wanted = (t->fw->fit->has_slopes ? PER_TERM_WITH_SLOPES : PER_TERM) * count;
    t->count = wanted > SAMPLES_LEAST ? wanted : SAMPLES_LEAST;
    for (size_t s = 0; s < t->count; s++) {
        SOLVE_TRY(draw_sample(t->fw, lane, s + t->fw->held_out, &t->samples[s]));
    }
    make_variables(t, lane);
    learn_lane(t, lane);
    return DDT_OK;
}

static ddt_status train_lane(learner *t, size_t lane) {
    fit_work *fw = t->fw;
    fit_lane *l = &fw->fit->lanes[lane];
    SOLVE_TRY(choose_features(fw, l));
    size_t like = 0;
    while (like < lane && !is_alike(fw, like, lane)) {
        like++;
    }
    if (fw->fit->surrogate != NULL) {
        SOLVE_TRY(like < lane ? surrogate_copy(fw, like, lane) : surrogate_learn(fw, lane));
    }
    if (like < lane) {
        copy_lane(t, like, lane);
    } else {
        SOLVE_TRY(learn(t, lane));
    }
    for (size_t s = 0; s < fw->held_out; s++) {
        SOLVE_TRY(draw_sample(fw, lane, s, &fw->samples[lane * fw->held_out + s]));
    }
    SOLVE_TRY(keep_guess(t, lane));
    for (size_t s = 0; s < fw->held_out; s++) {
        SOLVE_TRY(cover_sample(t, lane, &fw->samples[lane * fw->held_out + s]));
    }
    return ddt_progress(fw->work->ctx, "fit", lane + 1, fw->fit->lane_count);
}

ddt_status fit_train(fit_work *fw) {
    solve_work *work = fw->work;
    size_t n = fw->eta_count;
    size_t features = fw->fit->feature_count;
    learner t = {.fw = fw, .capacity = PER_TERM_WITH_SLOPES * features + SAMPLES_LEAST};
    fw->tables.count = 2 * n + n * (n + 1) / 2;
    fw->tables.coefficients = solve_alloc(work, fw->tables.count * fw->fit->lane_count * features, sizeof(double));
    SOLVE_TRY(create_samples(fw, t.capacity, &t.samples));
    SOLVE_TRY(create_samples(fw, fw->held_out * fw->fit->lane_count, &fw->samples));
    if (fw->fit->surrogate == NULL) {
        SOLVE_TRY(solve_numbers_create(work, &fw->numbers));
        SOLVE_TRY(solve_exact_create(work, &fw->buffers));
    }
    size_t room = features > FIT_LEVELS_MAX ? features : (size_t)FIT_LEVELS_MAX;
    t.normal = solve_alloc(work, room * room, sizeof(double));
    t.right = solve_alloc(work, room * (fw->tables.count + FIT_ETAS_MAX), sizeof(double));
    t.rows = solve_alloc(work, features, sizeof(double));
    t.targets = solve_alloc(work, fw->tables.count, sizeof(double));
    if (fw->tables.coefficients == NULL || t.normal == NULL || t.right == NULL || t.rows == NULL || t.targets == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t lane = 0; lane < fw->fit->lane_count; lane++) {
        SOLVE_TRY(train_lane(&t, lane));
    }
    return DDT_OK;
}
