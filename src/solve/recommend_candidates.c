/*
 * The public table of candidates, and ranking them once their costs are decrypted.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_internal.h"

#include <stdlib.h>
#include <string.h>

static const double hours_a_day = 24.0;

double ddt_recommend_day(const ddt_model *model) {
    const char *unit = model == NULL || model->time_unit == NULL ? "h" : model->time_unit;
    double day = hours_a_day;
    ddt_context *quiet = NULL;
    if (ddt_context_create(&quiet) == DDT_OK && ddt_unit_factor(quiet, "d", unit, &day) != DDT_OK) {
        day = hours_a_day;
    }
    ddt_context_destroy(quiet);
    return day;
}

static double day_of(const ddt_recommend_product *product) { return product->day > 0.0 ? product->day : hours_a_day; }

size_t recommend_dose_count(const ddt_recommend_product *product) {
    const double rounding = 1e-9;
    return (size_t)(floor((product->dose_high - product->dose_low) / product->dose_step + rounding) + 1.0);
}

double recommend_dose(const ddt_recommend_product *product, size_t index) {
    return product->dose_low + (double)index * product->dose_step;
}

size_t recommend_shape_count(const ddt_recommend_product *product) {
    size_t infusions = product->infusion_count > 0 ? product->infusion_count : 1;
    size_t loadings = product->loading_count > 0 ? product->loading_count : 1;
    return product->interval_count * infusions * loadings;
}

/* Shapes: intervals slowest, loading doses fastest. */
recommend_shape recommend_shape_at(const ddt_recommend_product *product, size_t index) {
    size_t infusions = product->infusion_count > 0 ? product->infusion_count : 1;
    size_t loadings = product->loading_count > 0 ? product->loading_count : 1;
    recommend_shape shape = {.loading = 1.0};
    if (product->loading_count > 0) {
        shape.loading = product->loadings[index % loadings];
    }
    index /= loadings;
    if (product->infusion_count > 0) {
        shape.infusion_h = product->infusions_h[index % infusions];
    }
    shape.interval_h = product->intervals_h[index / infusions];
    return shape;
}

bool recommend_is_allowed(const ddt_recommend_product *product, size_t shape_index, size_t dose_index) {
    const double rounding = 1.0 + 1e-9;
    recommend_shape shape = recommend_shape_at(product, shape_index);
    double first = recommend_dose(product, dose_index) * fmax(1.0, shape.loading);
    double daily = recommend_daily_dose(product, shape_index, dose_index);
    return shape.infusion_h <= shape.interval_h &&
           (product->daily_max <= 0.0 || daily <= product->daily_max * rounding) &&
           (product->rate_max <= 0.0 || shape.infusion_h <= 0.0 ||
            first <= product->rate_max * shape.infusion_h * rounding);
}

/* Calls visit order: index -> (shape, dose); returns false beyond the last. */
static bool locate(const ddt_recommend_product *product, size_t index, size_t *shape, size_t *dose, size_t *count) {
    size_t doses = recommend_dose_count(product);
    size_t seen = 0;
    for (size_t s = 0; s < recommend_shape_count(product); s++) {
        for (size_t d = 0; d < doses; d++) {
            if (!recommend_is_allowed(product, s, d)) {
                continue;
            }
            if (seen == index) {
                *shape = s;
                *dose = d;
                return true;
            }
            seen++;
        }
    }
    *count = seen;
    return false;
}

size_t ddt_recommend_candidate_count(const ddt_recommend_product *product) {
    size_t shape = 0;
    size_t dose = 0;
    size_t count = 0;
    (void)locate(product, SIZE_MAX, &shape, &dose, &count);
    return count;
}

bool recommend_locate(const ddt_recommend_product *product, size_t index, size_t *shape, size_t *dose) {
    size_t count = 0;
    return locate(product, index, shape, dose, &count);
}

ddt_recommend_candidate ddt_recommend_candidate_at(const ddt_recommend_product *product, size_t index) {
    size_t shape_index = 0;
    size_t dose_index = 0;
    if (!recommend_locate(product, index, &shape_index, &dose_index)) {
        return (ddt_recommend_candidate){0};
    }
    recommend_shape shape = recommend_shape_at(product, shape_index);
    return (ddt_recommend_candidate){.dose = recommend_dose(product, dose_index),
                                     .interval_h = shape.interval_h,
                                     .infusion_h = shape.infusion_h,
                                     .loading = shape.loading};
}

double recommend_daily_dose(const ddt_recommend_product *product, size_t shape_index, size_t dose_index) {
    return recommend_dose(product, dose_index) * day_of(product) / recommend_shape_at(product, shape_index).interval_h;
}

/* At most `most` of the values, evenly spread, the ends among them. */
static size_t spread(const double *from, size_t count, size_t most, double *to) {
    size_t kept = count < most ? count : most;
    for (size_t i = 0; i < kept; i++) {
        to[i] = from[kept > 1 ? i * (count - 1) / (kept - 1) : 0];
    }
    return kept;
}

ddt_status ddt_recommend_product_of(ddt_context *ctx, const ddt_model *model, const char *name,
                                    ddt_recommend_product *out) {
    const double steps_most = 16.0;
    const ddt_product *product = ddt_model_product(model, name);
    if (product == NULL) {
        return ddt_fail(ctx, DDT_ERR_MODEL, "'%s' has no product %s: say what can be given.", model->path,
                        name == NULL ? "of its own" : name);
    }
    ddt_recommend_product found = {.dose_low = ceil(product->dose_low / product->step - 1e-9) * product->step,
                                   .dose_high = floor(product->dose_high / product->step + 1e-9) * product->step,
                                   .compartment = product->compartment + 1};
    double wider = ceil((found.dose_high - found.dose_low) / product->step / steps_most - 1e-9);
    found.dose_step = product->step * fmax(1.0, wider);
    found.day = ddt_recommend_day(model);
    found.rate_max = isfinite(product->rate_max) ? product->rate_max : 0.0;
    found.daily_max = isfinite(product->daily_max) ? product->daily_max : 0.0;
    found.interval_count =
        spread(product->intervals, product->interval_count, DDT_RECOMMEND_INTERVALS_MAX, found.intervals_h);
    found.infusion_count =
        spread(product->infusions, product->infusion_count, DDT_RECOMMEND_INFUSIONS_MAX, found.infusions_h);
    if (found.interval_count == 0) {
        found.intervals_h[0] = found.day;
        found.interval_count = 1;
    }
    SOLVE_TRY(recommend_check_product(ctx, &found));
    *out = found;
    return DDT_OK;
}

ddt_status recommend_check_product(ddt_context *ctx, const ddt_recommend_product *product) {
    if (!(product->dose_low > 0.0) || !isfinite(product->dose_high)) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "The lowest dose must be positive.");
    }
    if (product->dose_low > product->dose_high) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "The doses are contradictory: the lowest, %g, is above the highest, %g.",
                        product->dose_low, product->dose_high);
    }
    if (!(product->dose_step > 0.0)) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "The step between doses must be positive.");
    }
    if (product->interval_count == 0) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "The product has no dosing interval.");
    }
    for (size_t i = 0; i < product->interval_count; i++) {
        if (!(product->intervals_h[i] > 0.0)) {
            return ddt_fail(ctx, DDT_ERR_USAGE, "The dosing interval %g is not positive.", product->intervals_h[i]);
        }
    }
    double candidates = (product->dose_high - product->dose_low) / product->dose_step;
    if (!((candidates + 1.0) * (double)recommend_shape_count(product) < DDT_RECOMMEND_CANDIDATES_MAX + 1.0)) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "The product has more than %d candidates; take a larger step.",
                        DDT_RECOMMEND_CANDIDATES_MAX);
    }
    if (ddt_recommend_candidate_count(product) == 0) {
        return ddt_fail(ctx, DDT_ERR_USAGE,
                        "No candidate is left: every infusion is longer than its interval or faster than the rate "
                        "allows.");
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ ranking */

typedef struct ranked {
    double cost, daily, interval, infusion_h; /* interval: in days */
    size_t index;
} ranked;

static ranked ranked_of(const ddt_recommend_product *product, size_t index, double cost) {
    ddt_recommend_candidate c = ddt_recommend_candidate_at(product, index);
    return (ranked){cost, c.dose / c.interval_h, c.interval_h / day_of(product), c.infusion_h, index};
}

static int order_of(double a, double b) { return (a > b) - (a < b); }

static int by_index(const ranked *a, const ranked *b) { return (a->index > b->index) - (a->index < b->index); }

static int by_cost(const void *left, const void *right) {
    const ranked *a = left;
    const ranked *b = right;
    return a->cost != b->cost ? order_of(a->cost, b->cost) : by_index(a, b);
}

/* Among regimens that are as good as each other: the least drug a day, then the interval nearest to twice a day, then
 * the shortest infusion. */
static int by_burden(const void *left, const void *right) {
    const double twice_a_day = 0.5;
    const ranked *a = left;
    const ranked *b = right;
    if (fabs(a->daily - b->daily) > 1e-9 * b->daily) {
        return order_of(a->daily, b->daily);
    }
    if (a->interval != b->interval) {
        return order_of(fabs(log(a->interval / twice_a_day)), fabs(log(b->interval / twice_a_day)));
    }
    return a->infusion_h != b->infusion_h ? order_of(a->infusion_h, b->infusion_h) : by_index(a, b);
}

/* Best first; tolerance 0: by cost alone. */
static void rank_rows(ranked *rows, size_t count, double tolerance, size_t *order) {
    qsort(rows, count, sizeof *rows, by_cost);
    size_t equals = 0;
    while (equals < count && rows[equals].cost <= rows[0].cost + tolerance) {
        equals++;
    }
    if (tolerance > 0.0) {
        qsort(rows, equals, sizeof *rows, by_burden);
    }
    for (size_t i = 0; i < count; i++) {
        order[i] = rows[i].index;
    }
}

/* Index of an output, the number of outputs where there is none of that name. */
static size_t output_of(const ddt_solution *solution, const char *name) {
    size_t outputs = ddt_solution_output_count(solution);
    size_t o = 0;
    while (o < outputs && strcmp(ddt_solution_output_name(solution, o), name) != 0) {
        o++;
    }
    return o;
}

static ddt_status not_a_table(ddt_context *ctx) {
    return ddt_fail(ctx, DDT_ERR_MISMATCH, "The result is not a table of this product's candidates.");
}

ddt_status ddt_recommend_rank(ddt_context *ctx, const ddt_solution *solution, size_t subject, const double *values,
                              const ddt_recommend_product *product, double tolerance, size_t *order) {
    size_t count = ddt_solution_observation_count(solution, subject);
    size_t outputs = ddt_solution_output_count(solution);
    size_t cost = output_of(solution, "cost");
    if (cost == outputs || count != ddt_recommend_candidate_count(product)) {
        return not_a_table(ctx);
    }
    ranked *rows = ddt_calloc(count, sizeof *rows);
    if (rows == NULL) {
        return solve_no_memory(ctx);
    }
    for (size_t i = 0; i < count; i++) {
        rows[i] = ranked_of(product, i, values[i * outputs + cost]);
    }
    rank_rows(rows, count, tolerance, order);
    ddt_free(rows);
    return DDT_OK;
}

/* ------------------------------------------------------------------ the Pareto front */

enum { OBJECTIVES_MAX = DDT_RECOMMEND_TARGETS_MAX + 1 };

/* Where a target's cost is. */
static bool find_objective(const ddt_solution *solution, const ddt_recommend_targets *targets, size_t t,
                           size_t *column) {
    char name[DDT_RECOMMEND_NAME_BYTES + 8];
    (void)snprintf(name, sizeof name, "cost(%s)", targets->items[t].name);
    *column = output_of(solution, targets->count > 1 ? name : "cost");
    return *column < ddt_solution_output_count(solution);
}

/* Costs that noise cannot tell apart are the same: in steps of the tolerance, so that dominance is transitive. */
static double in_steps(double cost, double tolerance) {
    return tolerance > 0.0 ? tolerance * round(cost / tolerance) : cost;
}

/* objectives[candidate * OBJECTIVES_MAX + k], *count of them. */
static bool read_objectives(const ddt_solution *solution, size_t candidates, const double *values,
                            const ddt_recommend_product *product, const ddt_recommend_targets *targets,
                            double tolerance, double *objectives, size_t *count) {
    const size_t outputs = ddt_solution_output_count(solution);
    bool complete = true;
    for (size_t t = 0; t < targets->count && complete; t++) {
        size_t column = 0;
        complete = find_objective(solution, targets, t, &column);
        for (size_t i = 0; i < candidates && complete; i++) {
            objectives[i * OBJECTIVES_MAX + t] = in_steps(values[i * outputs + column], tolerance);
        }
    }
    *count = targets->count;
    if (targets->count == 1) {
        for (size_t i = 0; i < candidates; i++) {
            const ddt_recommend_candidate c = ddt_recommend_candidate_at(product, i);
            objectives[i * OBJECTIVES_MAX + 1] = c.dose / c.interval_h;
        }
        *count = 2;
    }
    return complete;
}

static bool dominates(const double *a, const double *b, size_t count) {
    bool is_better = false;
    bool is_worse = false;
    for (size_t k = 0; k < count; k++) {
        is_better = is_better || a[k] < b[k];
        is_worse = is_worse || a[k] > b[k];
    }
    return is_better && !is_worse;
}

ddt_status ddt_recommend_pareto(ddt_context *ctx, const ddt_solution *solution, size_t subject, const double *values,
                                const ddt_recommend_product *product, const ddt_recommend_targets *targets,
                                double tolerance, bool *is_on_front) {
    const size_t candidates = ddt_solution_observation_count(solution, subject);
    size_t count = 0;
    if (candidates != ddt_recommend_candidate_count(product)) {
        return not_a_table(ctx);
    }
    double *objectives = ddt_calloc(candidates * OBJECTIVES_MAX, sizeof *objectives);
    if (objectives == NULL) {
        return solve_no_memory(ctx);
    }
    const bool complete =
        read_objectives(solution, candidates, values, product, targets, tolerance, objectives, &count);
    for (size_t i = 0; i < candidates && complete; i++) {
        is_on_front[i] = true;
        for (size_t j = 0; j < candidates && is_on_front[i]; j++) {
            is_on_front[i] = !dominates(objectives + j * OBJECTIVES_MAX, objectives + i * OBJECTIVES_MAX, count);
        }
    }
    ddt_free(objectives);
    return complete ? DDT_OK : not_a_table(ctx);
}
