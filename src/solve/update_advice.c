/*
 * What next: candidate regimens for the patient of a living twin, by whoever holds its key. Everything is linear in the
 * doses, so each sample of the posterior is carried forward twice for every shape of a regimen: without doses from the
 * amounts that are there, and with doses of 1 from nothing; all doses of the table follow from the two.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "update_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    SAMPLES = 256,
    CURVE = 49, /* times over an interval that peaks and times above a threshold are read off */
    KEPT = 12,  /* transitions of one sample and shape that come again */
    STATES_MAX = DDT_UPDATE_STATES_MAX + 3
};
static const double same_time = 1e-9;

/* x, the area under the output, 1 (what flows in for ever), the rate of an infusion. */
typedef struct course {
    size_t n, m; /* n + 3 */
    double system[STATES_MAX * STATES_MAX];
    double kept_span[KEPT];
    double kept[KEPT][STATES_MAX * STATES_MAX];
    size_t kept_count;
    double scratch[3 * STATES_MAX * STATES_MAX];
    const double *gain;
    double offset, bioavailability;
    size_t dosed;
} course;

typedef struct adviser {
    ddt_context *ctx;
    const ddt_update *u;
    const ddt_model *model;
    const ddt_update_estimate *estimate;
    const ddt_recommend_targets *targets;
    const ddt_recommend_product *product;
    size_t outputs[DDT_RECOMMEND_TARGETS_MAX]; /* of each target */
    size_t dosed;
    double size; /* what doses are per unit of, else 1 */
    update_walk walk;
    update_numbers numbers; /* of the current sample, where the regimen begins */
    size_t samples;
    double *values; /* candidate x target x sample */
    course c;
    ddt_update_advice *out;
} adviser;

/* ------------------------------------------------------------------ one stretch */

static void course_begin(course *c, const adviser *a, size_t output) {
    const size_t n = a->u->states;
    *c = (course){.n = n, .m = n + 3, .dosed = a->dosed};
    c->gain = a->numbers.gain + output * n;
    c->offset = a->numbers.offset[output];
    c->bioavailability = a->numbers.f[a->dosed];
    for (size_t i = 0; i < n; i++) {
        memcpy(c->system + i * c->m, a->numbers.a + i * n, n * sizeof *c->system);
        c->system[i * c->m + n + 1] = a->numbers.c[i];
    }
    c->system[a->dosed * c->m + n + 2] = 1.0;
    memcpy(c->system + n * c->m, c->gain, n * sizeof *c->system);
    c->system[n * c->m + n + 1] = c->offset;
}

/* exp(system span): the spans of a regimen are few and come again. */
static const double *transition(course *c, double span) {
    for (size_t i = 0; i < c->kept_count; i++) {
        if (fabs(c->kept_span[i] - span) <= same_time) {
            return c->kept[i];
        }
    }
    const size_t place = c->kept_count < KEPT ? c->kept_count++ : KEPT - 1;
    c->kept_span[place] = span;
    solve_expm(c->system, c->m, span, c->scratch, c->kept[place]);
    return c->kept[place];
}

static void advance(course *c, double span, double *z) {
    double next[STATES_MAX];
    if (span <= same_time) {
        return;
    }
    const double *e = transition(c, span);
    for (size_t i = 0; i < c->m; i++) {
        next[i] = 0.0;
        for (size_t j = 0; j < c->m; j++) {
            next[i] += e[i * c->m + j] * z[j];
        }
    }
    memcpy(z, next, c->m * sizeof *z);
}

static double level_of(const course *c, const double *z) {
    double sum = c->offset * z[c->n + 1];
    for (size_t i = 0; i < c->n; i++) {
        sum += c->gain[i] * z[i];
    }
    return sum;
}

/* ------------------------------------------------------------------ regimens */

/* A regimen under way: doses of `dose` (0 or 1) at 0, interval, 2 interval ... */
typedef struct march {
    course *c;
    const ddt_recommend_candidate *shape;
    double dose, now;
    size_t given;
    unsigned doses; /* at most; 0: without end */
    double z[STATES_MAX];
} march;

static double next_event(const march *m, double until) {
    const double start = (double)m->given * m->shape->interval_h;
    const double end = start - m->shape->interval_h + m->shape->infusion_h;
    double next = m->doses == 0 || m->given < m->doses ? fmin(start, until) : until;
    return m->z[m->c->n + 2] > 0.0 ? fmin(end, next) : next;
}

/* To a time; a dose at that very time is not given yet. */
static void march_to(march *m, double until) {
    while (m->now < until - same_time) {
        const double start = (double)m->given * m->shape->interval_h;
        const bool may_give = m->doses == 0 || m->given < m->doses;
        double *rate = &m->z[m->c->n + 2];
        if (*rate > 0.0 && m->now >= start - m->shape->interval_h + m->shape->infusion_h - same_time) {
            *rate = 0.0;
        }
        if (may_give && m->now >= start - same_time) {
            const double amount = m->dose * (m->given == 0 ? m->shape->loading : 1.0);
            if (m->shape->infusion_h > 0.0) {
                *rate = amount / m->shape->infusion_h;
            } else {
                m->z[m->c->dosed] += amount * m->c->bioavailability;
            }
            m->given++;
        }
        const double next = next_event(m, until);
        advance(m->c, next - m->now, m->z);
        m->now = next;
    }
}

/* z <- (1 - exp(A interval))^-1 z, so that an interval leads back to it; false where that does not exist. */
static bool settle(course *c, double interval, double *z) {
    double left[DDT_UPDATE_STATES_MAX * DDT_UPDATE_STATES_MAX];
    const double *e = transition(c, interval);
    for (size_t i = 0; i < c->n; i++) {
        for (size_t j = 0; j < c->n; j++) {
            left[i * c->n + j] = (i == j ? 1.0 : 0.0) - e[i * c->m + j];
        }
    }
    return solve_eliminate(left, z, c->n);
}

/* Where a march begins: from now on, or once it repeats itself. is_base: without doses. */
static void march_begin(march *m, course *c, const ddt_recommend_candidate *shape, const double *amounts, bool is_base,
                        const ddt_recommend_target *target, const ddt_recommend_product *product) {
    *m = (march){.c = c, .shape = shape, .dose = is_base ? 0.0 : 1.0};
    m->doses = target->is_steady ? 0 : product->cycles;
    m->z[c->n + 1] = is_base ? 1.0 : 0.0;
    if (!target->is_steady) {
        memcpy(m->z, amounts, is_base ? c->n * sizeof *amounts : 0);
        return;
    }
    ddt_recommend_candidate plain = *shape;
    plain.loading = 1.0;
    march first = *m;
    first.shape = &plain;
    march_to(&first, shape->interval_h);
    if (!settle(c, shape->interval_h, first.z)) {
        first.z[0] = NAN;
    }
    memcpy(m->z, first.z, c->n * sizeof *m->z);
    m->z[c->n] = 0.0;
}

/* What a target looks at: one number, or the levels over an interval. */
static bool wants_curve(ddt_metric_kind kind) { return kind == DDT_METRIC_PEAK || kind == DDT_METRIC_TIME_ABOVE; }

static void read_curve(march *m, double begin, double interval, double *out) {
    for (size_t g = 0; g < CURVE; g++) {
        /* the first just after the dose */
        const double least = 4.0 * same_time;
        march_to(m, begin + fmax(interval * (double)g / (CURVE - 1), least));
        out[g] = level_of(m->c, m->z);
    }
}

static double area_between(march *m, double from, double to) {
    march_to(m, from);
    const double before = m->z[m->c->n];
    march_to(m, to);
    return m->z[m->c->n] - before;
}

static void read_metric(march *m, const ddt_recommend_target *target, double *out) {
    ddt_recommend_candidate plain = *m->shape;
    const double interval = m->shape->interval_h;
    const double end = target->is_steady ? interval : target->at_h;
    const double day = target->day > 0.0 ? target->day : 24.0;
    if (target->is_steady) {
        plain.loading = 1.0;
        m->shape = &plain;
    }
    switch (target->kind) {
    case DDT_METRIC_AUC24:
        *out = target->is_steady ? area_between(m, 0.0, interval) * day / interval : area_between(m, end - day, end);
        break;
    case DDT_METRIC_AUC_WINDOW:
        *out = area_between(m, target->from_h, target->to_h);
        break;
    case DDT_METRIC_AVERAGE:
        *out = area_between(m, end - interval, end) / interval;
        break;
    case DDT_METRIC_PEAK:
    case DDT_METRIC_TIME_ABOVE:
        march_to(m, end - interval);
        read_curve(m, end - interval, interval, out);
        break;
    default:
        march_to(m, end);
        *out = level_of(m->c, m->z);
    }
}

static double metric_of(const ddt_recommend_target *target, const double *base, const double *unit, double dose) {
    double most = -INFINITY;
    size_t above = 0;
    if (!wants_curve(target->kind)) {
        return base[0] + dose * unit[0];
    }
    for (size_t g = 0; g < CURVE; g++) {
        const double level = base[g] + dose * unit[g];
        most = fmax(most, level);
        above += level > target->mic;
    }
    return target->kind == DDT_METRIC_PEAK ? most : (double)above / CURVE;
}

/* ------------------------------------------------------------------ all candidates */

static double dose_of(const adviser *a, const ddt_recommend_candidate *c) { return c->dose * a->size; }

static bool same_shape(const ddt_recommend_candidate *a, const ddt_recommend_candidate *b) {
    return a->interval_h == b->interval_h && a->infusion_h == b->infusion_h && a->loading == b->loading;
}

/* Doses run fastest: a new shape is worked out when it comes. */
static void sample_target(adviser *a, size_t sample, size_t t, const double *amounts) {
    const ddt_recommend_target *target = &a->targets->items[t];
    ddt_recommend_candidate last = {0};
    double base[CURVE] = {0};
    double unit[CURVE] = {0};
    for (size_t i = 0; i < a->out->candidate_count; i++) {
        const ddt_recommend_candidate candidate = ddt_recommend_candidate_at(a->product, i);
        if (i == 0 || !same_shape(&candidate, &last)) {
            march m;
            course_begin(&a->c, a, a->outputs[t]);
            march_begin(&m, &a->c, &candidate, amounts, true, target, a->product);
            read_metric(&m, target, base);
            march_begin(&m, &a->c, &candidate, amounts, false, target, a->product);
            read_metric(&m, target, unit);
            last = candidate;
        }
        a->values[(i * a->targets->count + t) * a->samples + sample] =
            metric_of(target, base, unit, dose_of(a, &candidate));
    }
}

static int compare_numbers(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* Cost and probability over the samples; then the percentiles, which sort them. */
static void sum_up(adviser *a, size_t candidate) {
    static const double probabilities[DDT_UPDATE_BANDS] = {0.05, 0.5, 0.95};
    const size_t targets = a->targets->count;
    double *values = a->values + candidate * targets * a->samples;
    double cost = 0.0;
    double attained = 0.0;
    for (size_t k = 0; k < a->samples; k++) {
        double all = 1.0;
        for (size_t t = 0; t < targets; t++) {
            const ddt_recommend_target *target = &a->targets->items[t];
            const double value = values[t * a->samples + k];
            cost += target->weight * ddt_recommend_target_cost(target, value);
            all *= ddt_recommend_attained(target, value);
        }
        attained += all;
    }
    a->out->cost[candidate] = cost / (double)a->samples;
    a->out->p_target[candidate] = attained / (double)a->samples;
    for (size_t t = 0; t < targets; t++) {
        double *own = values + t * a->samples;
        const size_t at = candidate * targets + t;
        a->out->metric[at] = own[0];
        qsort(own, a->samples, sizeof *own, compare_numbers);
        ddt_percentiles(own, a->samples, probabilities, DDT_UPDATE_BANDS, a->out->band + at * DDT_UPDATE_BANDS);
    }
}

/* The least cost first; of equals the smaller dose a day, the interval nearest to half a day, the shorter infusion. */
static bool is_before(const adviser *a, size_t i, size_t j) {
    const ddt_recommend_candidate p = ddt_recommend_candidate_at(a->product, i);
    const ddt_recommend_candidate q = ddt_recommend_candidate_at(a->product, j);
    const double half_day = 0.5 * (a->product->day > 0.0 ? a->product->day : 24.0);
    const double difference[] = {a->out->cost[i] - a->out->cost[j], p.dose / p.interval_h - q.dose / q.interval_h,
                                 fabs(p.interval_h - half_day) - fabs(q.interval_h - half_day),
                                 p.infusion_h - q.infusion_h};
    /* the same regimen's numbers reach here by different sums */
    const double scale[] = {a->out->cost[i], p.dose / p.interval_h, half_day, half_day};
    for (size_t k = 0; k < sizeof difference / sizeof difference[0]; k++) {
        if (fabs(difference[k]) > same_time * scale[k]) {
            return difference[k] < 0.0;
        }
    }
    return i < j;
}

static void rank(const adviser *a) {
    for (size_t i = 0; i < a->out->candidate_count; i++) {
        size_t place = i;
        for (; place > 0 && is_before(a, i, a->out->order[place - 1]); place--) {
            a->out->order[place] = a->out->order[place - 1];
        }
        a->out->order[place] = i;
    }
}

/* ------------------------------------------------------------------ checks */

static ddt_status check_target(adviser *a, size_t t) {
    const ddt_recommend_target *target = &a->targets->items[t];
    if (target->kind > DDT_METRIC_TIME_ABOVE) {
        return ddt_fail(a->ctx, DDT_ERR_UNSUPPORTED,
                        "%s: regimens for a living twin are compared by auc24, auc, trough, peak, average and fT>mic.",
                        target->name);
    }
    if (target->kind == DDT_METRIC_AUC24 && !target->is_steady &&
        target->at_h < (target->day > 0.0 ? target->day : 24)) {
        return ddt_fail(a->ctx, DDT_ERR_USAGE, "%s: a day's area is that of the day before the time: at least one day.",
                        target->name);
    }
    a->outputs[t] = 0;
    for (size_t o = 0; target->of[0] != '\0' && strcmp(a->model->outputs[a->outputs[t]].name, target->of) != 0; o++) {
        if (o + 1 >= a->model->output_count) {
            return ddt_fail(a->ctx, DDT_ERR_UNSUPPORTED, "%s: '%s' is not an output of '%s'.", target->name, target->of,
                            a->model->path);
        }
        a->outputs[t] = o + 1;
    }
    return DDT_OK;
}

static ddt_status check_product(adviser *a, const ddt_events *events, size_t subject) {
    const ddt_recommend_product *product = a->product;
    const ddt_subject *s = &events->subjects[subject];
    double part = 1.0;
    a->dosed = product->compartment > 0 ? product->compartment - 1 : 0;
    if (product->compartment > a->model->compartment_count) {
        return ddt_fail(a->ctx, DDT_ERR_USAGE, "'%s' has no compartment %u to dose.", a->model->path,
                        product->compartment);
    }
    const ddt_expr f = a->model->compartments[a->dosed].bioavailability;
    const bool is_whole = f == DDT_EXPR_NONE || (ddt_expr_is_const(a->model->pool, f, &part) && part == 1.0);
    for (size_t i = 0; i < product->infusion_count; i++) {
        if (product->infusions_h[i] > 0.0 && !is_whole) {
            return ddt_fail(a->ctx, DDT_ERR_UNSUPPORTED,
                            "Infusions into %s, which has a bioavailability, are not for a living twin.",
                            a->model->compartments[a->dosed].name);
        }
    }
    a->size = 1.0;
    for (size_t c = 0; product->per[0] != '\0' && c < events->covariate_count; c++) {
        if (strcmp(a->model->symbols[events->covariate_symbols[c]].name, product->per) == 0) {
            a->size = s->covariate_values[s->records[s->record_count - 1].covariates + c];
            return DDT_OK;
        }
    }
    return product->per[0] == '\0' ? DDT_OK
                                   : ddt_fail(a->ctx, DDT_ERR_DATA, "'%s' has no column %s, which doses are per.",
                                              events->path, product->per);
}

static ddt_status allocate(adviser *a) {
    ddt_update_advice *out = a->out;
    out->candidate_count = ddt_recommend_candidate_count(a->product);
    out->target_count = a->targets->count;
    const size_t cells = out->candidate_count * out->target_count;
    out->order = ddt_calloc(out->candidate_count, sizeof *out->order);
    out->cost = ddt_calloc(out->candidate_count, sizeof *out->cost);
    out->p_target = ddt_calloc(out->candidate_count, sizeof *out->p_target);
    out->metric = ddt_calloc(cells, sizeof *out->metric);
    out->band = ddt_calloc(cells * DDT_UPDATE_BANDS, sizeof *out->band);
    a->samples = a->estimate->sample_count < SAMPLES ? a->estimate->sample_count : SAMPLES;
    a->values = ddt_calloc(cells * a->samples, sizeof *a->values);
    bool enough = out->order != NULL && out->cost != NULL && out->p_target != NULL && out->metric != NULL &&
                  out->band != NULL && a->values != NULL;
    return enough ? DDT_OK : solve_no_memory(a->ctx);
}

/* Too little of a target under every candidate: no list of regimens would help. Too much may be what is there. */
static ddt_status check_reached(const adviser *a) {
    const ddt_update_advice *out = a->out;
    for (size_t t = 0; t < out->target_count; t++) {
        double most = 0.0;
        for (size_t i = 0; i < out->candidate_count; i++) {
            most = fmax(most, out->band[(i * out->target_count + t) * DDT_UPDATE_BANDS + DDT_UPDATE_BANDS - 1]);
        }
        const ddt_recommend_target *target = &a->targets->items[t];
        if (most < target->low) {
            return ddt_fail(
                a->ctx, DDT_ERR_RANGE,
                "The target %s is out of reach: it is to be at least %.6g, and of all regimens of the product "
                "none gives this patient more than %.6g (95th percentile).",
                target->name, target->low, most);
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ the whole */

/* A sample along what comes before the regimen, then the regimens. */
static void advise_sample(adviser *a, const ddt_events *events, size_t subject, const update_timeline *timeline,
                          size_t k) {
    double amounts[DDT_UPDATE_STATES_MAX];
    const double *sample = a->estimate->samples + k * (a->estimate->eta_count + a->u->states);
    const update_own_etas own = {a->u, sample};
    const update_act last = {.kind = UPDATE_LOOK, .record = events->subjects[subject].record_count - 1};
    update_walk_start(&a->walk);
    memcpy(a->walk.s, sample + a->estimate->eta_count, a->u->states * sizeof *amounts);
    for (size_t i = 0; i < timeline->count; i++) {
        update_walk_act(&a->walk, a->model, events, subject, &timeline->acts[i], update_set_own, &own);
    }
    update_walk_act(&a->walk, a->model, events, subject, &last, update_set_own, &own);
    memcpy(amounts, a->walk.s, a->u->states * sizeof *amounts);
    a->numbers = a->walk.numbers;
    for (size_t t = 0; t < a->targets->count; t++) {
        sample_target(a, k, t, amounts);
    }
}

static ddt_status advise_with(adviser *a, const update_system *system, const ddt_events *events, size_t subject,
                              const update_timeline *timeline) {
    ddt_status status = check_product(a, events, subject);
    for (size_t t = 0; status == DDT_OK && t < a->targets->count; t++) {
        status = check_target(a, t);
    }
    if (status == DDT_OK) {
        status = allocate(a);
    }
    if (status == DDT_OK) {
        status = update_walk_create(a->ctx, system, a->model, &a->walk);
    }
    for (size_t k = 0; status == DDT_OK && k < a->samples; k++) {
        advise_sample(a, events, subject, timeline, k);
        status = ddt_progress(a->ctx, "solve", k, a->samples);
    }
    for (size_t i = 0; status == DDT_OK && i < a->out->candidate_count; i++) {
        sum_up(a, i);
    }
    if (status == DDT_OK) {
        a->out->start_h = timeline->to_h;
        rank(a);
        status = check_reached(a);
    }
    return status;
}

ddt_status ddt_update_advise(ddt_context *ctx, const ddt_update *update, const ddt_model *model,
                             const ddt_update_estimate *estimate, const ddt_events *events, size_t subject,
                             double since_h, const ddt_update_wish *wish, ddt_update_advice *out) {
    update_system system = {0};
    update_timeline timeline = {0};
    adviser *a = ddt_calloc(1, sizeof *a);
    *out = (ddt_update_advice){0};
    if (a == NULL) {
        return solve_no_memory(ctx);
    }
    *a = (adviser){.ctx = ctx,
                   .u = update,
                   .model = model,
                   .estimate = estimate,
                   .targets = wish->targets,
                   .product = wish->product,
                   .out = out};
    ddt_status status = update_timeline_open(ctx, update, model, events, subject, since_h, &system, &timeline);
    if (status == DDT_OK) {
        status = advise_with(a, &system, events, subject, &timeline);
    }
    update_walk_destroy(&a->walk);
    update_timeline_destroy(&timeline);
    update_system_destroy(&system);
    ddt_free(a->values);
    ddt_free(a);
    if (status != DDT_OK) {
        ddt_update_advice_destroy(out);
    }
    return status;
}

void ddt_update_advice_destroy(ddt_update_advice *advice) {
    ddt_free(advice->order);
    ddt_free(advice->cost);
    ddt_free(advice->p_target);
    ddt_free(advice->metric);
    ddt_free(advice->band);
    *advice = (ddt_update_advice){0};
}
