/*
 * Models that are not linear, from the grid to the circuit. The variants (whose Jacobian, how good a guess, how many
 * iterations) are tried in double precision on the virtual population, the shallowest first; the first that meets the
 * tolerance is built.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "newton.h"

#include <limits.h>
#include <string.h>

static const double grid_tolerance = 2e-3;      /* discretisation, of each output's maximum */
static const double grid_tolerance_most = 7e-3; /* with the most columns */
static const double iteration_tolerance = 4e-3; /* what the iterations leave */
static const double lenient_tolerance = 6.5e-3; /* where that saves many levels */
static const double corner_allowance = 10.0;    /* corners of all ranges at once are very rare patients */
static const double linear_tolerance = 1e-4;    /* of the linear part */
static const double function_tolerance = 3e-3;  /* polynomials start with it and tighten */
static const double eta_deviations = 3.0;
static const double amount_low = 0.5; /* of the smallest amount in the template */

enum {
    COLUMNS_MIN = 64,
    COLUMNS_MAX = 1024,
    GRID_SAMPLES = 24,
    DRAWS_DEFAULT = 600,
    OWN_PRODUCTS_MAX = 30, /* of a product of two transition matrices: 27 for three states that are all coupled */
    BLOCK_DEFAULT = 65536,
    BLOCK_TRIED = 1 << 24, /* of grids that are only measured */
    OWN_COLUMNS = 512
};

/* ------------------------------------------------------------------ preparation */

/* Etas lie within 3 standard deviations, or as many as the caller says, where the template shows no more. */
static void narrow_etas(solve_work *work) {
    const double template_shows_more = 4.5;
    const double slack = 1.01;
    const double deviations = work->eta_deviations > 0.0 ? work->eta_deviations : eta_deviations;
    for (size_t i = 0; i < work->symbol_count; i++) {
        solve_symbol *symbol = &work->symbols[i];
        if (work->model->symbols[i].kind == DDT_SYMBOL_ETA && symbol->sd > 0.0 &&
            symbol->high < template_shows_more * symbol->sd) {
            double most = fmax(deviations * symbol->sd, work->covers_template ? slack * symbol->shown : 0.0);
            symbol->low = fmax(symbol->low, -most);
            symbol->high = fmin(symbol->high, most);
        }
    }
}

typedef struct extent {
    double low, high;
} extent;

/* The amounts of one dosing in the template; infinite where it has none. */
static extent template_amounts(const solve_work *work, size_t dosing) {
    const solve_layout *layout = &work->solution->layout;
    extent e = {INFINITY, -INFINITY};
    for (size_t l = 0; l < layout->lane_count; l++) {
        const solve_lane *lane = &layout->lanes[l];
        const ddt_record *records = work->events->subjects[lane->subject].records;
        for (size_t row = 0; row < lane->source_count; row++) {
            if (lane->sources[row].input == dosing) {
                e.low = fmin(e.low, records[lane->sources[row].record].amount);
                e.high = fmax(e.high, records[lane->sources[row].record].amount);
            }
        }
    }
    return e;
}

/* Of a product that comes in one dose only. */
static bool has_one_dose(const solve_work *work) {
    const ddt_product *product = ddt_model_product(work->model, NULL);
    return product != NULL && product->dose_low == product->dose_high;
}

/*
 * Amounts below half of the smallest in the template are refused: iterates are calibrated on what is likely. Where the
 * model's product comes in one dose only, amounts hardly differ from the template's.
 */
static void narrow_amounts(solve_work *work) {
    const double nearly = 0.05;
    const bool is_fixed = has_one_dose(work);
    for (size_t i = 0; i < work->dosing_count; i++) {
        solve_range *range = &work->solution->layout.ranges[i];
        const extent amounts = template_amounts(work, i);
        if (isfinite(amounts.low)) {
            range->low = -solve_round_up(-(is_fixed ? 1.0 - nearly : amount_low) * amounts.low);
            range->high = is_fixed ? fmin(range->high, solve_round_up((1.0 + nearly) * amounts.high)) : range->high;
        }
    }
}

static ddt_status try_columns(solve_work *work, size_t columns, size_t samples) {
    SOLVE_TRY(newton_grid_create(work, columns));
    narrow_amounts(work);
    return newton_population_of(work, samples);
}

/* A grid that no circuit will have: it may be larger than a ciphertext. */
static ddt_status measure_columns(solve_work *work, size_t columns) {
    size_t block_max = work->options.block_max;
    work->options.block_max = BLOCK_TRIED;
    ddt_status status = try_columns(work, columns, GRID_SAMPLES);
    work->options.block_max = block_max;
    return status;
}

static size_t observed_room(const solve_work *work) {
    size_t most = 1;
    for (size_t s = 0; s < work->newton->own_events->subject_count; s++) {
        size_t count = work->newton->own_events->subjects[s].record_count;
        most = count > most ? count : most;
    }
    return most * work->model->output_count;
}

/* Largest difference of two grids' outputs, relative to each patient's maximum; the trapezoidal rule has order 2. */
static double grid_difference(const solve_work *work, const double *coarse, const double *fine, size_t room) {
    const solve_newton *nw = work->newton;
    size_t outputs = work->model->output_count;
    double worst = 0.0;
    for (size_t i = 0; i < nw->lanes * nw->samples; i++) {
        for (size_t o = 0; o < outputs; o++) {
            double largest = 0.0;
            double error = 0.0;
            for (size_t k = o; k < room; k += outputs) {
                largest = fmax(largest, fabs(fine[i * room + k]));
                error = fmax(error, fabs(fine[i * room + k] - coarse[i * room + k]));
            }
            worst = largest > 0.0 && isfinite(error) ? fmax(worst, error / largest) : worst;
        }
    }
    const double second_order = 4.0 / 3.0;
    return second_order * worst;
}

static const double step_short = 0.25; /* h/2 |J[b][b]| up to which a series inverts I - h/2 J */

/* Whether steps are short enough for the patient's own Jacobian, should the block be small enough for it. */
static ddt_status short_enough(solve_work *work, bool *yes) {
    enum { BLOCK_MAX = 3 }; /* of larger blocks only stiff states count, on the grid that accuracy asks for */
    const solve_newton *nw = work->newton;
    double norms[NEWTON_OWN_MAX];
    *yes = true;
    if (nw->m == 1 || nw->m > BLOCK_MAX || nw->columns >= OWN_COLUMNS) {
        return DDT_OK;
    }
    SOLVE_TRY(newton_step_norms(work, norms));
    for (size_t b = 0; b < nw->m; b++) {
        *yes &= norms[b] <= step_short;
    }
    return DDT_OK;
}

/* States of the block whose diagonal entry of I - h/2 J is inverted by itself. */
static ddt_status find_stiff(solve_work *work) {
    solve_newton *nw = work->newton;
    double norms[NEWTON_OWN_MAX];
    if (nw->m > NEWTON_OWN_MAX) {
        return DDT_OK;
    }
    SOLVE_TRY(newton_step_norms(work, norms));
    for (size_t b = 0; b < nw->m; b++) {
        nw->is_stiff[b] = norms[b] > step_short;
    }
    return DDT_OK;
}

/* The fewest columns that are accurate enough; *columns: what `error` was measured of. */
static ddt_status find_columns(solve_work *work, size_t room, size_t *columns, double *error) {
    solve_newton *nw = work->newton;
    double *before = NULL;
    size_t last = 0;
    bool is_short = true; /* steps of the grid before */
    *error = INFINITY;
    for (size_t next = COLUMNS_MIN; next <= (size_t)2 * COLUMNS_MAX && !(*error <= grid_tolerance); next = 2 * last) {
        SOLVE_TRY(measure_columns(work, next));
        double *now = solve_alloc(work, nw->lanes * nw->samples * room, sizeof *now);
        if (now == NULL) {
            return DDT_ERR_MEMORY;
        }
        SOLVE_TRY(newton_observed(work, room, now));
        *error = before == NULL ? INFINITY : grid_difference(work, before, now, room);
        *error = is_short ? *error : INFINITY;
        *columns = last;
        SOLVE_TRY(short_enough(work, &is_short));
        before = now;
        last = nw->columns > next ? nw->columns : next;
    }
    return DDT_OK;
}

static ddt_status choose_grid(solve_work *work) {
    solve_newton *nw = work->newton;
    size_t columns = 0;
    SOLVE_TRY(measure_columns(work, COLUMNS_MAX));
    SOLVE_TRY(newton_monitor(work));
    SOLVE_TRY(find_columns(work, observed_room(work), &columns, &nw->discretisation_error));
    if (!(nw->discretisation_error <= grid_tolerance_most)) {
        return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                        "'%s': with %d times a subject the discretisation error is still %g of an output's maximum.",
                        work->model->path, COLUMNS_MAX, nw->discretisation_error);
    }
    SOLVE_TRY(try_columns(work, columns, work->sample_count));
    return find_stiff(work);
}

ddt_status newton_prepare(solve_work *work) {
    solve_newton *nw = work->newton;
    nw->own_events = work->events;
    work->options.tolerance = fmax(work->options.tolerance, linear_tolerance);
    for (size_t o = 0; o < work->model->output_count; o++) {
        work->linear.outputs[o].is_linear = false; /* outputs are functions of x, after the iterations */
    }
    if (work->options.block_max == SOLVE_BLOCK_DEFAULT) {
        work->options.block_max = BLOCK_DEFAULT;
    }
    if (work->options.draws == SOLVE_DRAWS_DEFAULT) {
        work->options.draws = DRAWS_DEFAULT;
    }
    narrow_etas(work);
    SOLVE_TRY(newton_block_create(work));
    SOLVE_TRY(newton_history_create(work));
    SOLVE_TRY(solve_samples_create(work));
    SOLVE_TRY(newton_design(work));
    SOLVE_TRY(solve_program_create(work));
    return choose_grid(work);
}

ddt_status newton_rescale(solve_work *work) {
    SOLVE_TRY(newton_scales(work));
    newton_state_scales(work);
    newton_set_ranges(work, NEWTON_SOLUTION);
    return DDT_OK;
}

/* ------------------------------------------------------------------ expansions */

/* Expands one entry of the Jacobian; *yes becomes false where it has too many terms. */
static ddt_status expand_entry(solve_work *work, ddt_expr e, solve_terms *out, bool *yes) {
    ddt_status status = solve_expand(work, e, out);
    if (status == DDT_ERR_UNSUPPORTED) {
        ddt_context_clear(work->ctx);
        *yes = false;
        status = DDT_OK;
    }
    return status;
}

/* Products of encrypted numbers in a product of two transition matrices: what a round of the scan costs. */
static size_t own_products(const solve_work *work) {
    const solve_newton *nw = work->newton;
    size_t m = nw->m;
    bool reaches[NEWTON_OWN_MAX][NEWTON_OWN_MAX];
    for (size_t i = 0; i < m * m; i++) {
        bool is_rate = work->linear.is_nonzero[nw->block[i / m] * work->linear.n + nw->block[i % m]];
        reaches[i / m][i % m] = i / m == i % m || is_rate || !solve_is_constant(work, nw->jacobian[i], 0.0);
    }
    for (size_t i = 0; i < m * m * m; i++) { /* Warshall's closure: k, the place between, is the slowest */
        size_t k = i / (m * m);
        size_t from = i / m % m;
        reaches[from][i % m] |= reaches[from][k] && reaches[k][i % m];
    }
    size_t count = 0;
    for (size_t i = 0; i < m * m * m; i++) {
        count += reaches[i / (m * m)][i / m % m] && reaches[i / m % m][i % m];
    }
    return count;
}

/* The patient's own Jacobian is out of the question where its entries have too many terms, or products too many. */
static ddt_status expand_jacobian(solve_work *work) {
    solve_newton *nw = work->newton;
    size_t count = nw->m * nw->m;
    nw->may_own = nw->m <= NEWTON_OWN_MAX && own_products(work) <= OWN_PRODUCTS_MAX;
    for (size_t i = 0; i < count && nw->may_own; i++) {
        SOLVE_TRY(expand_entry(work, nw->jacobian[i], &nw->jacobian_terms[i], &nw->may_own));
    }
    for (size_t i = 0; i < count && !nw->may_own; i++) {
        nw->jacobian_terms[i] = (solve_terms){0};
    }
    return DDT_OK;
}

/* N and the linear rates of one state of the block. */
static ddt_status expand_state(solve_work *work, size_t b) {
    const solve_newton *nw = work->newton;
    size_t n = work->linear.n;
    SOLVE_TRY(solve_expand(work, nw->n[b], &nw->n_terms[b]));
    for (size_t c = 0; c < nw->m; c++) {
        ddt_expr rate = work->linear.a[nw->block[b] * n + nw->block[c]];
        SOLVE_TRY(solve_expand(work, rate, &nw->rate_terms[b * nw->m + c]));
    }
    return DDT_OK;
}

ddt_status newton_expand(solve_work *work) {
    solve_newton *nw = work->newton;
    size_t m = nw->m;
    nw->n_terms = solve_alloc(work, m + 2 * m * m + 1, sizeof *nw->n_terms);
    if (nw->n_terms == NULL) {
        return DDT_ERR_MEMORY;
    }
    nw->jacobian_terms = nw->n_terms + m;
    nw->rate_terms = nw->jacobian_terms + m * m;
    for (size_t b = 0; b < m; b++) {
        SOLVE_TRY(expand_state(work, b));
    }
    SOLVE_TRY(expand_jacobian(work));
    nw->inverse_terms = nw->rate_terms + m * m;
    if (nw->argument != DDT_EXPR_NONE) {
        SOLVE_TRY(solve_expand(work, nw->inverse_slope, nw->inverse_terms));
    }
    work->extra_terms = nw->n_terms;
    work->extra_count = m + 2 * m * m + 1;
    return DDT_OK;
}

/* ------------------------------------------------------------------ the cheapest variant */

unsigned newton_ceil_log2(unsigned x) {
    unsigned levels = 0;
    while ((1U << levels) < x) {
        levels++;
    }
    return levels;
}

/* Depth of an iteration beyond what all variants share: stages, and products of the Jacobian. */
static unsigned iteration_depth(const solve_work *work, newton_variant v) {
    const unsigned right_hand_side = 9; /* a function of a state, typically */
    unsigned rounds = 0;
    for (size_t reach = 1; reach < work->newton->columns; reach *= v.is_public ? NEWTON_RADIX : 2) {
        rounds++;
    }
    return v.iterations * (right_hand_side + rounds + (v.is_public ? 0 : 2)) + newton_ceil_log2(v.degree);
}

/* The best variant so far, within one tolerance. */
typedef struct candidate {
    double tolerance;
    newton_variant best;
    unsigned depth; /* UINT_MAX: none yet */
} candidate;

typedef struct choice {
    candidate strict, lenient;
    double smallest; /* error of any variant */
    size_t stride;   /* every stride-th sample is tried */
} choice;

static void consider(const solve_work *work, newton_variant v, double error, candidate *c) {
    unsigned depth = iteration_depth(work, v);
    if (error <= c->tolerance && depth < c->depth) {
        c->best = v;
        c->depth = depth;
    }
}

/* More error than is usual is accepted for many levels only: a smaller ring, or several bootstraps less. */
static const candidate *preferred(const choice *c) {
    const unsigned many = 8;
    return c->lenient.depth != UINT_MAX && (c->strict.depth == UINT_MAX || c->lenient.depth + many <= c->strict.depth)
               ? &c->lenient
               : &c->strict;
}

/* All numbers of iterations for one guess and one kind of Jacobian. */
static ddt_status try_iterations(solve_work *work, newton_variant v, choice *c) {
    double draws[NEWTON_ITERATIONS_MAX + 1];
    double corners[NEWTON_ITERATIONS_MAX + 1];
    unsigned most = 0;
    for (unsigned i = 1; i <= NEWTON_ITERATIONS_MAX; i++) {
        v.iterations = i;
        most = iteration_depth(work, v) < c->strict.depth ? i : most;
    }
    v.iterations = most;
    SOLVE_TRY(newton_iterate(work, v, c->stride, draws, corners));
    for (unsigned i = v.is_public ? 0 : 1; i <= most; i++) {
        double error = fmax(draws[i], corners[i] / corner_allowance);
        v.iterations = i;
        c->smallest = fmin(c->smallest, error);
        consider(work, v, error, &c->strict);
        consider(work, v, error, &c->lenient);
    }
    return DDT_OK;
}

/* One kind of Jacobian with the guess of one degree, where that may be the shallowest. */
static ddt_status try_jacobian(solve_work *work, newton_variant v, choice *c) {
    bool may_be_best = iteration_depth(work, v) < c->strict.depth && (v.is_public || work->newton->may_own);
    return may_be_best ? try_iterations(work, v, c) : DDT_OK;
}

static ddt_status try_jacobians(solve_work *work, unsigned degree, choice *c) {
    SOLVE_TRY(try_jacobian(work, (newton_variant){.is_public = true, .degree = degree}, c));
    return try_jacobian(work, (newton_variant){.is_public = false, .degree = degree}, c);
}

static ddt_status try_variants(solve_work *work, choice *c) {
    for (unsigned degree = 0; degree <= NEWTON_DEGREE_MAX; degree++) {
        newton_variant least = {.is_public = true, .degree = degree};
        bool fits = false;
        if (iteration_depth(work, least) >= c->strict.depth) {
            break;
        }
        SOLVE_TRY(newton_fit(work, degree, &fits));
        SOLVE_TRY(fits ? try_jacobians(work, degree, c) : DDT_OK);
        SOLVE_TRY(ddt_progress(work->ctx, "variants", degree + 1, NEWTON_DEGREE_MAX + 1));
    }
    return DDT_OK;
}

/* The error of a variant over the whole population; its iterates stay. */
static ddt_status confirm(solve_work *work, newton_variant v, double *error) {
    double draws[NEWTON_ITERATIONS_MAX + 1];
    double corners[NEWTON_ITERATIONS_MAX + 1];
    bool fits = false;
    SOLVE_TRY(newton_fit(work, v.degree, &fits));
    SOLVE_TRY(newton_iterate(work, v, 1, draws, corners));
    *error = fmax(draws[v.iterations], corners[v.iterations] / corner_allowance);
    return DDT_OK;
}

/* Some of the virtual population finds the variant, all of it must confirm the choice. */
static ddt_status choose_variant(solve_work *work) {
    enum { FIRST_STRIDE = 4 };
    const double hopeless = 0.5;
    double error = INFINITY;
    choice c = {.smallest = INFINITY};
    for (size_t stride = FIRST_STRIDE; stride > 0 && !(error <= lenient_tolerance); stride /= FIRST_STRIDE) {
        c = (choice){.strict = {.tolerance = iteration_tolerance, .depth = UINT_MAX},
                     .lenient = {.tolerance = lenient_tolerance, .depth = UINT_MAX},
                     .smallest = INFINITY,
                     .stride = stride};
        SOLVE_TRY(try_variants(work, &c));
        if (preferred(&c)->depth == UINT_MAX) {
            break;
        }
        SOLVE_TRY(confirm(work, preferred(&c)->best, &error));
    }
    if (!(error <= lenient_tolerance)) {
        work->wants_narrower = c.smallest <= hopeless;
        return ddt_fail(
            work->ctx, DDT_ERR_UNSUPPORTED,
            "'%s': Newton's method in time with up to %d iterations leaves %g of an output's maximum in the "
            "virtual population, where %g is wanted; narrow the ranges.",
            work->model->path, NEWTON_ITERATIONS_MAX, c.smallest, lenient_tolerance);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ the circuit */

static ddt_status attempt(solve_work *work, double *draw_error, double *corner_error) {
    const solve_layout *layout = &work->solution->layout;
    ddt_circuit_destroy(work->solution->circuit);
    solve_functions_destroy(work->solution->functions);
    work->solution->circuit = NULL;
    work->solution->functions = NULL;
    SOLVE_TRY(
        ddt_circuit_create(work->ctx, layout->lane_count, layout->rows * layout->columns, &work->solution->circuit));
    work->circuit = work->solution->circuit;
    SOLVE_TRY(newton_build(work));
    return newton_calibrate(work, draw_error, corner_error);
}

ddt_status newton_solve(solve_work *work) {
    enum { ATTEMPTS_MAX = 6 };
    const double tightening = 0.1;
    const double wanted = 8e-3; /* the iterations' error and the functions' */
    double draw_error = INFINITY;
    double corner_error = INFINITY;
    SOLVE_TRY(newton_features(work));
    SOLVE_TRY(newton_typical(work));
    SOLVE_TRY(choose_variant(work));
    newton_log_range(work);
    work->tolerance = function_tolerance;
    for (int k = 0; k < ATTEMPTS_MAX; k++, work->tolerance *= tightening) {
        SOLVE_TRY(attempt(work, &draw_error, &corner_error));
        if (work->newton->violations == 0 && fmax(draw_error, corner_error / corner_allowance) <= wanted) {
            break;
        }
    }
    work->solution->info.surrogate_error = draw_error;
    work->wants_narrower = true;
    if (work->newton->violations > 0 || !(fmax(draw_error, corner_error / corner_allowance) <= wanted)) {
        return ddt_fail(
            work->ctx, DDT_ERR_UNSUPPORTED,
            "'%s': the virtual population shows an error of %g of an output's maximum (%g at the corners of "
            "the declared ranges, %llu values beyond a function's range) where %g is wanted; narrow the ranges.",
            work->model->path, draw_error, corner_error, (unsigned long long)work->newton->violations, wanted);
    }
    newton_layout_finish(work);
    return DDT_OK;
}
