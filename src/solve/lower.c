/*
 * Sums of products become nodes of the circuit. Every node has magnitude about 1: what is larger or smaller goes into
 * public coefficients, which are folded into public vectors wherever one takes part in the product.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "solve_internal.h"

#include <limits.h>
#include <string.h>

#ifndef M_PI
#define M_PI 3.14159265358979323846
#endif

/* ------------------------------------------------------------------ functions */

static double interpolate_levels(const solve_function *f, double value) {
    double sum = 0.0;
    for (size_t i = 0; i < f->level_count; i++) {
        double term = f->values[i];
        for (size_t j = 0; j < f->level_count; j++) {
            if (j != i) {
                term *= (value - f->levels[j]) / (f->levels[i] - f->levels[j]);
            }
        }
        sum += term;
    }
    return sum;
}

double solve_function_eval(double x, const void *function) {
    const solve_function *f = function;
    double argument = f->b + f->a * x;
    double value = 0.0;
    switch (f->kind) {
    case SOLVE_FUNCTION_EXP:
        return f->scale * exp(argument);
    case SOLVE_FUNCTION_EXPRESSION:
        argument = f->is_log ? exp(argument) : f->is_floored ? fmax(argument, 0.0) : argument;
        ddt_expr_program_run(f->program, &argument, &value);
        return f->scale * value;
    case SOLVE_FUNCTION_LEVELS:
        return f->scale * interpolate_levels(f, argument);
    case SOLVE_FUNCTION_OUTER:
        if (f->op == DDT_EXPR_POW) {
            return f->scale * pow(f->is_floored ? fmax(argument, 0.0) : argument, f->power);
        }
        return f->scale * ddt_expr_apply(f->op, f->op == DDT_EXPR_EXP ? f->power * argument : argument, 0.0, 0.0);
    case SOLVE_FUNCTION_CALL:
        return f->scale * f->call(argument, f->data);
    }
    return NAN;
}

void solve_functions_destroy(solve_function *first) {
    while (first != NULL) {
        solve_function *next = first->next;
        ddt_expr_program_destroy(first->program);
        ddt_free(first->data);
        ddt_free(first);
        first = next;
    }
}

solve_function *solve_function_create(solve_work *work, solve_function_kind kind) {
    solve_function *f = ddt_calloc(1, sizeof *f);
    if (f == NULL) {
        (void)solve_no_memory(work->ctx);
        return NULL;
    }
    f->kind = kind;
    f->a = 1.0;
    f->scale = 1.0;
    f->power = 1.0;
    f->next = work->solution->functions;
    work->solution->functions = f;
    return f;
}

/* ------------------------------------------------------------------ polynomials */

/*
 * Levels of the polynomial that is close enough: sums of magnitudes of the Chebyshev coefficients beyond each of the
 * degrees 1, 3, 7 ... 127 bound its error. Where degree 127 is not close enough, *tolerance becomes what it reaches:
 * whether that will do is seen when the whole circuit is measured.
 */
static unsigned polynomial_levels(const solve_function *f, double *tolerance) {
    enum { POINTS = 512, LEVELS_MAX = 7 };
    const double margin = 2.5; /* interpolation doubles the truncation error at most */
    double values[POINTS];
    for (unsigned j = 0; j < POINTS; j++) {
        values[j] = solve_function_eval(cos(M_PI * (j + 0.5) / POINTS), f);
        if (!isfinite(values[j])) {
            return 0;
        }
    }
    double tail = 0.0;
    for (unsigned k = POINTS / 2 - 1; k > 0; k--) {
        double sum = 0.0;
        for (unsigned j = 0; j < POINTS; j++) {
            sum += values[j] * cos(M_PI * (double)(k * (2 * j + 1) % (4 * POINTS)) / (2.0 * POINTS));
        }
        tail += fabs(2.0 * sum / POINTS);
        if (k >= 1U << LEVELS_MAX) {
            *tolerance = fmax(*tolerance, margin * tail);
        } else if (tail > *tolerance) {
            unsigned levels = 1;
            while ((1U << levels) <= k) {
                levels++;
            }
            return levels;
        }
    }
    return 1;
}

static ddt_status function_node(solve_work *work, solve_value x, const solve_function *f, double tolerance,
                                const char *what, solve_value *out) {
    const double rounding = 1e-13; /* of the polynomials themselves */
    tolerance = fmax(tolerance, rounding);
    const double worst = 0.02; /* of the function's magnitude: no better polynomial is worth trying */
    unsigned levels = polynomial_levels(f, &tolerance);
    if (levels == 0 || tolerance > fmax(worst, work->tolerance)) {
        return ddt_fail(
            work->ctx, DDT_ERR_UNSUPPORTED,
            "'%s': %s is not finite or too steep on the declared ranges for a polynomial of degree 127; narrow the "
            "ranges.",
            work->model->path, what);
    }
    out->node = ddt_circuit_function(work->circuit, x.node, -1.0, 1.0, solve_function_eval, f, tolerance, NULL);
    out->depth = x.depth + levels;
    return ddt_circuit_status(work->circuit);
}

/* Values on a grid over [-1, 1]: extremes, and whether the function is a straight line. */
typedef struct shape {
    double low, high;
    double offset, slope; /* of the line through the ends */
    bool is_line;
} shape;

static bool measure(const solve_function *f, shape *out) {
    enum { POINTS = 65 };
    double values[POINTS];
    *out = (shape){.low = INFINITY, .high = -INFINITY, .is_line = true};
    for (int j = 0; j < POINTS; j++) {
        values[j] = solve_function_eval(-1.0 + 2.0 * j / (POINTS - 1), f);
        if (!isfinite(values[j])) {
            return false;
        }
        out->low = fmin(out->low, values[j]);
        out->high = fmax(out->high, values[j]);
    }
    out->offset = 0.5 * (values[0] + values[POINTS - 1]);
    out->slope = 0.5 * (values[POINTS - 1] - values[0]);
    const double rounding = 1e-13;
    double size = fmax(fabs(out->low), fabs(out->high));
    for (int j = 0; j < POINTS; j++) {
        double line = out->offset + out->slope * (-1.0 + 2.0 * j / (POINTS - 1));
        out->is_line &= fabs(values[j] - line) <= rounding * size;
    }
    return true;
}

/* How accurate a function of largest magnitude 1 must be: relative to its small values, but not beyond what matters. */
static double tolerance_of(const solve_work *work, double ratio) {
    return work->tolerance * fmax(ratio, work->precision_floor);
}

/* Multiplies the product by f(x); f is made to have magnitude 1 at most. */
ddt_status solve_multiply_function(solve_work *work, solve_function *f, solve_value x, const char *what,
                                   solve_product *product) {
    shape s;
    if (!measure(f, &s)) {
        return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s': %s is not finite on the declared ranges.",
                        work->model->path, what);
    }
    double size = fmax(fabs(s.low), fabs(s.high));
    solve_value *value = &product->values[product->count];
    if (s.is_line && s.low == s.high) {
        product->coefficient *= s.low;
        return DDT_OK;
    }
    if (s.is_line) {
        /* y + offset / slope costs no level. Where the slope is small that is large: then one level. */
        const double free_offset_max = 8.0;
        bool is_free = fabs(s.offset) <= free_offset_max * fabs(s.slope);
        double unit = is_free ? s.slope : size;
        value->node = ddt_circuit_affine(work->circuit, &x.node, (double[]){s.slope / unit}, 1, s.offset / unit);
        value->depth = x.depth + (is_free ? 0.0 : 1.0);
        product->coefficient *= unit;
        product->count++;
        return ddt_circuit_status(work->circuit);
    }
    f->scale /= size;
    product->coefficient *= size;
    double smallest = s.low <= 0.0 && s.high >= 0.0 ? 0.0 : fmin(fabs(s.low), fabs(s.high));
    product->count++;
    return function_node(work, x, f, tolerance_of(work, smallest / size), what, value);
}

/* ------------------------------------------------------------------ factors */

/* The range of a symbol, or of its logarithm. */
static void symbol_span(const solve_symbol *symbol, bool is_log, double *mid, double *half) {
    double low = is_log ? log(symbol->low) : symbol->low;
    double high = is_log ? log(symbol->high) : symbol->high;
    *mid = 0.5 * (low + high);
    *half = 0.5 * (high - low);
}

static ddt_status state_of_symbol(const solve_work *work, uint32_t symbol, size_t *state) {
    for (size_t i = 0; i < work->linear.n; i++) {
        size_t c = work->linear.compartment[i];
        if (c != SOLVE_UNIT && work->model->compartments[c].symbol == symbol) {
            *state = i;
            return DDT_OK;
        }
    }
    return ddt_fail(work->ctx, DDT_ERR_INTERNAL, "A compartment of '%s' has no value.", work->model->path);
}

static ddt_status symbol_value(solve_work *work, const solve_factor *factor, solve_value *x, double *mid,
                               double *half) {
    uint32_t symbol = factor->symbol;
    const solve_symbol *s = &work->symbols[symbol];
    symbol_span(s, factor->is_log, mid, half);
    if (!s->is_state) {
        x->node = work->encodings[solve_encoding_whole(work, symbol, factor->is_log)].node;
        x->depth = 0.0;
        return DDT_OK;
    }
    size_t i = 0;
    SOLVE_TRY(state_of_symbol(work, symbol, &i));
    x->node = ddt_circuit_affine(work->circuit, &work->state_values[i].node, (double[]){work->state_scale[i] / *half},
                                 1, -*mid / *half);
    x->depth = work->state_values[i].depth + 1.0;
    return ddt_circuit_status(work->circuit);
}

/* The function of one symbol that an expression is. */
static ddt_status expression_function(solve_work *work, const solve_factor *factor, double mid, double half,
                                      solve_function **out) {
    const solve_symbol *s = &work->symbols[factor->symbol];
    solve_function *f =
        solve_function_create(work, s->level_count > 0 ? SOLVE_FUNCTION_LEVELS : SOLVE_FUNCTION_EXPRESSION);
    if (f == NULL) {
        return DDT_ERR_MEMORY;
    }
    f->a = half;
    f->b = mid;
    f->is_log = factor->is_log;
    /* Programs read their one symbol at index 0. */
    ddt_expr argument = ddt_expr_symbol(work->pool, 0);
    ddt_expr e = ddt_expr_substitute(work->pool, factor->expression, factor->symbol, argument);
    if (e == DDT_EXPR_NONE) {
        return solve_pool_failure(work);
    }
    SOLVE_TRY(ddt_expr_compile(work->ctx, work->pool, &e, 1, &f->program));
    f->is_floored = solve_is_floored(s) && !isfinite(solve_function_eval(-1.0, f));
    f->level_count = s->level_count;
    for (size_t l = 0; l < s->level_count; l++) {
        f->levels[l] = s->levels[l];
        ddt_expr_program_run(f->program, &s->levels[l], &f->values[l]);
    }
    *out = f;
    return DDT_OK;
}

/* Fewest levels of a polynomial for a function of one symbol, read from its value or from its logarithm. */
static ddt_status levels_from(solve_work *work, solve_factor factor, bool is_log, unsigned *levels) {
    const double part = 0.05; /* of the tolerance, typically, after some tightening */
    double mid = 0.0;
    double half = 1.0;
    double tolerance = part * work->options.tolerance;
    double wanted = tolerance;
    shape s;
    solve_function *f = NULL;
    factor.is_log = is_log;
    symbol_span(&work->symbols[factor.symbol], is_log, &mid, &half);
    SOLVE_TRY(expression_function(work, &factor, mid, half, &f));
    *levels = UINT_MAX;
    if (f != NULL && measure(f, &s)) {
        f->scale /= fmax(fabs(s.low), fabs(s.high));
        *levels = s.is_line ? 0 : polynomial_levels(f, &tolerance);
        *levels = tolerance > wanted ? UINT_MAX - 1 : *levels;
    }
    return DDT_OK;
}

ddt_status solve_prefers_log(solve_work *work, const solve_factor *factor, bool *yes) {
    const double wide = 3.0; /* ratio of the ends of a range */
    const solve_symbol *s = &work->symbols[factor->symbol];
    unsigned levels[2] = {0, 0};
    *yes = false;
    if (s->is_state || s->is_dose || s->level_count > 0 || !(s->low > 0.0) || s->high < wide * s->low) {
        return DDT_OK;
    }
    for (int k = 0; k < 2; k++) {
        SOLVE_TRY(levels_from(work, *factor, k == 1, &levels[k]));
    }
    *yes = levels[1] < levels[0];
    return DDT_OK;
}

/* A function of time at each observation, in all rows. */
static ddt_status observation_time_factor(solve_work *work, ddt_expr e, solve_product *product) {
    const solve_layout *layout = &work->solution->layout;
    size_t block = layout->segments * layout->rows * layout->columns;
    double *symbols = solve_alloc(work, work->symbol_count, sizeof *symbols);
    double *vector = solve_alloc(work, layout->lane_count * block, sizeof *vector);
    double largest = 0.0;
    if (symbols == NULL || vector == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t l = 0; l < layout->lane_count; l++) {
        for (size_t k = 0; k < layout->lanes[l].column_count; k++) {
            symbols[work->time_symbol] = layout->lanes[l].columns[k].time_h;
            double value = ddt_expr_eval(work->pool, e, symbols, NULL);
            if (!isfinite(value)) {
                return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s': %s is not finite at time %g.", work->model->path,
                                solve_print(work, e), symbols[work->time_symbol]);
            }
            largest = fmax(largest, fabs(value));
            for (size_t at = k; at < block; at += layout->columns) {
                vector[l * block + at] = value;
            }
        }
    }
    product->coefficient *= largest;
    product->values[product->count++] = solve_public(work, vector, largest > 0.0 ? 1.0 / largest : 1.0);
    return ddt_circuit_status(work->circuit);
}

/* A logarithm, or a negative power, of what is 0 before the first dose has no value there. */
static ddt_status check_finite(solve_work *work, const solve_function *f, ddt_expr e, const char *op) {
    shape s;
    solve_fact fact;
    SOLVE_TRY(solve_fact_of(work, e, &fact));
    if (!fact.has_state || work->newton != NULL || measure(f, &s)) {
        return DDT_OK;
    }
    return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                    "'%s': %s%s is not finite where its compartments are 0, as they are before the first dose; take it "
                    "of the decrypted result (--output selects outputs; a residual on the log scale is lnorm(), and an "
                    "encrypted power of a concentration is the exponential of its logarithm).",
                    work->model->path, op, solve_print(work, e));
}

static ddt_status lower_symbol_factor(solve_work *work, const solve_factor *factor, solve_product *product) {
    solve_value x;
    if (work->symbols[factor->symbol].is_time) {
        return work->newton != NULL ? solve_newton_time_factor(work, factor->expression, product)
                                    : observation_time_factor(work, factor->expression, product);
    }
    double mid = 0.0;
    double half = 1.0;
    solve_function *f = NULL;
    SOLVE_TRY(symbol_value(work, factor, &x, &mid, &half));
    SOLVE_TRY(expression_function(work, factor, mid, half, &f));
    if (f == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(check_finite(work, f, factor->expression, ""));
    return solve_multiply_function(work, f, x, solve_print(work, factor->expression), product);
}

static ddt_status interval_range(solve_work *work, ddt_expr e, solve_fact fact, double *low, double *high) {
    const double slack = 0.01; /* the argument itself is approximated */
    if (!isfinite(fact.low) || !isfinite(fact.high)) {
        return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s': the range of %s is not bounded by the declared ranges.",
                        work->model->path, solve_print(work, e));
    }
    double margin = slack * (fact.high - fact.low) + 1e-6 * fmax(1.0, fabs(fact.low));
    *low = fact.low > 0.0 ? fact.low * (1.0 - slack) : fact.low - margin;
    *high = fact.high + margin;
    return DDT_OK;
}

/* The values that the argument of an outer function takes: where interval arithmetic is loose, over the virtual
 * population, widened. */
static ddt_status argument_range(solve_work *work, ddt_expr e, double *low, double *high) {
    const double widening = 0.25; /* of the range, or of its logarithm, to either side */
    solve_fact fact;
    SOLVE_TRY(solve_fact_of(work, e, &fact));
    if ((fact.has_state || fact.has_time) && work->newton != NULL) {
        return solve_newton_range(work, e, low, high);
    }
    if (fact.has_state || fact.has_time) { /* samples are of neither: their ranges must do */
        return interval_range(work, e, fact, low, high);
    }
    double seen_low = INFINITY;
    double seen_high = -INFINITY;
    for (size_t s = 0; s < work->sample_count; s++) {
        double value = ddt_expr_eval(work->pool, e, work->samples + s * work->symbol_count, NULL);
        seen_low = fmin(seen_low, value);
        seen_high = fmax(seen_high, value);
        if (!isfinite(value)) {
            return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s': %s is not finite on the declared ranges.",
                            work->model->path, solve_print(work, e));
        }
    }
    *low = fact.low;
    *high = fact.high;
    double span = widening * (seen_high - seen_low);
    double ratio = seen_low > 0.0 ? pow(seen_high / seen_low, widening) : 1.0;
    *low = fmax(fact.low, seen_low > 0.0 ? seen_low / ratio : seen_low - span);
    *high = fmin(fact.high, seen_low > 0.0 ? seen_high * ratio : seen_high + span);
    if (!isfinite(*low) || !isfinite(*high)) {
        return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s': the range of %s is not bounded by the declared ranges.",
                        work->model->path, solve_print(work, e));
    }
    /* The argument itself is approximated: its bounds need some slack. Positive ones stay positive. */
    const double slack = 0.01;
    *low -= slack * (*low > 0.0 ? *low : *high - *low);
    *high += slack * fmax(fabs(*high), *high - *low);
    if (*low >= *high) {
        double margin = 1e-6 * fmax(1.0, fabs(*low));
        *low -= margin;
        *high += margin;
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ steep reciprocals */

/*
 * 1 / u for u between low and high, positive but far apart (concentrations far above a Michaelis constant). With
 * y(u) from [low, high] to [1, -1] and e = T_n(y(u)) / T_n(y(0)), (1 - e) / u is a polynomial: that of degree n - 1
 * with the least relative error, |e| <= 1 / T_n(y(0)) < 1. And 1 / u = (1 - e) / u * (1 + e) (1 + e^2) (1 + e^4) ... :
 * a level for each factor, and no number on the way is large.
 */
enum { RECIPROCAL_DEGREE = 127, RECIPROCAL_FACTORS_MAX = 8 };

/* T_n(y), |y| >= 1. */
static double chebyshev_outside(unsigned n, double y) { return cosh(n * acosh(y)); }

/* Chebyshev coefficients of numerator (1 - e) / u in x, u = mid + half x, from its values at the roots of T_{n+1}. */
static void reciprocal_coefficients(double mid, double half, double numerator, double defect, double *out) {
    enum { POINTS = RECIPROCAL_DEGREE + 1 };
    double values[POINTS];
    for (unsigned j = 0; j < POINTS; j++) {
        double angle = M_PI * (j + 0.5) / POINTS;
        values[j] = numerator * (1.0 - defect * cos(RECIPROCAL_DEGREE * angle)) / (mid + half * cos(angle));
    }
    for (unsigned k = 0; k < POINTS; k++) {
        double sum = 0.0;
        for (unsigned j = 0; j < POINTS; j++) {
            sum += values[j] * cos(M_PI * k * (j + 0.5) / POINTS);
        }
        out[k] = (k == 0 ? 1.0 : 2.0) * sum / POINTS;
    }
}

/* numerator / u, u = mid + half x. */
static ddt_status steep_inverse(solve_work *work, solve_value x, double mid, double half, double numerator,
                                solve_value *out) {
    const double levels = 7.0;
    const double part = 0.05; /* of the outputs' tolerance: what a run with exact functions does not show */
    const double wanted = fmin(work->tolerance, part * work->options.tolerance);
    ddt_circuit *circuit = work->circuit;
    double coefficients[RECIPROCAL_DEGREE + 1] = {0.0};
    /* y(u) is -x or x, and n odd. */
    double left = 1.0 / chebyshev_outside(RECIPROCAL_DEGREE, mid / fabs(half));
    double defect_factor = half > 0.0 ? -left : left;
    coefficients[RECIPROCAL_DEGREE] = defect_factor;
    ddt_node defect = ddt_circuit_chebyshev(circuit, x.node, coefficients, RECIPROCAL_DEGREE);
    reciprocal_coefficients(mid, half, numerator, defect_factor, coefficients);
    out->node = ddt_circuit_chebyshev(circuit, x.node, coefficients, RECIPROCAL_DEGREE);
    out->depth = x.depth + levels;
    for (unsigned k = 0; k < RECIPROCAL_FACTORS_MAX && left > wanted; k++, left *= left) {
        ddt_node factor = ddt_circuit_affine(circuit, &defect, (double[]){1.0}, 1, 1.0);
        out->node = ddt_circuit_mul(circuit, out->node, factor);
        defect = ddt_circuit_mul(circuit, defect, defect);
        out->depth += 1.0;
    }
    return ddt_circuit_status(circuit);
}

/* The ratio of the ends at which degree 127 leaves a few per cent of a reciprocal; of a linear model's outputs less is
 * left. */
static const double steep_ratio = 1000.0;
static const double steep_ratio_linear = 300.0;
static const double room_below = 0.25; /* the argument has errors: what a steep reciprocal bears below its range */

/* Whether a power of what lies between low and high is one of a reciprocal, and steeper than polynomials can be. */
static bool is_steep(const solve_work *work, const solve_factor *factor, double low, double high) {
    const double most = 3.0;
    double n = -factor->power;
    bool is_reciprocal = factor->op == DDT_EXPR_POW && n >= 1.0 && n <= most && n == floor(n);
    return is_reciprocal && low > 0.0 && pow(high / low, n) > (work->newton == NULL ? steep_ratio_linear : steep_ratio);
}

ddt_status solve_lower_inverse(solve_work *work, solve_value x, double offset, double slope, solve_value *out) {
    if (offset + fabs(slope) > steep_ratio * (offset - fabs(slope)) && offset > fabs(slope)) {
        return steep_inverse(work, x, offset, slope, 1.0, out);
    }
    solve_function *f = solve_function_create(work, SOLVE_FUNCTION_OUTER);
    if (f == NULL) {
        return DDT_ERR_MEMORY;
    }
    f->op = DDT_EXPR_POW;
    f->power = -1.0;
    f->a = slope;
    f->b = offset;
    return function_node(work, x, f, work->tolerance, "the inverse of a step", out);
}

ddt_status solve_lower_power(solve_work *work, ddt_expr argument, double power, solve_product *product) {
    solve_value y;
    double mid = 0.0;
    double half = 0.0;
    solve_function *f = solve_function_create(work, SOLVE_FUNCTION_EXP);
    if (f == NULL || !solve_newton_log(work, argument, &y, &mid, &half)) {
        return DDT_ERR_MEMORY;
    }
    f->a = power * half;
    f->b = power * mid;
    return solve_multiply_function(work, f, y, "an exponential", product);
}

/* exp(e) of what depends on time: where it has died away, the argument is moved to where the polynomial is made for. */
static ddt_status windowed_argument(solve_work *work, const solve_factor *factor, solve_sum *inner, solve_value *x,
                                    double *mid, double *half) {
    const solve_layout *layout = &work->solution->layout;
    double low = 0.0;
    double high = 0.0;
    double *shift = solve_alloc(work, layout->lane_count * layout->rows * layout->columns, sizeof *shift);
    if (shift == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(solve_newton_window(work, factor->expression, &low, &high, shift));
    *half = 0.5 * (high - low);
    *mid = 0.5 * (high + low);
    solve_pairs pairs = {0};
    SOLVE_TRY(solve_sum_pairs(work, inner, NULL, 1.0 / *half, &pairs));
    SOLVE_TRY(solve_pairs_add(work, &pairs, solve_constant(work, -*mid / *half), solve_constant(work, 1.0)));
    SOLVE_TRY(solve_pairs_node(work, &pairs, x));
    x->node = ddt_circuit_add(work->circuit, x->node, solve_public(work, shift, 1.0 / *half).node);
    return ddt_circuit_status(work->circuit);
}

/* The argument of an outer function, on [-1, 1]: argument = mid + half x. */
static ddt_status outer_argument(solve_work *work, const solve_factor *factor, solve_value *x, double *mid,
                                 double *half) {
    solve_sum inner = {0};
    solve_fact fact;
    double low = 0.0;
    double high = 0.0;
    SOLVE_TRY(solve_lower(work, factor->inner, &inner));
    SOLVE_TRY(solve_fact_of(work, factor->expression, &fact));
    if (work->newton != NULL && factor->op == DDT_EXPR_EXP && fact.has_time && factor->power > 0.0) {
        return windowed_argument(work, factor, &inner, x, mid, half);
    }
    SOLVE_TRY(argument_range(work, factor->expression, &low, &high));
    low = is_steep(work, factor, low, high) ? room_below * low : low; /* a small part of a wide range */
    *half = 0.5 * (high - low);
    *mid = 0.5 * (high + low);
    return solve_sum_node(work, &inner, 1.0 / *half, -*mid / *half, x);
}

static ddt_status multiply_steep(solve_work *work, const solve_factor *factor, solve_value x, double mid, double half,
                                 solve_product *product) {
    solve_value inverse;
    SOLVE_TRY(steep_inverse(work, x, mid, half, mid - half, &inverse));
    for (double n = -factor->power; n > 0.0; n -= 1.0) {
        product->coefficient /= mid - half;
        product->values[product->count++] = inverse;
    }
    return ddt_circuit_status(work->circuit);
}

static ddt_status lower_outer_factor(solve_work *work, const solve_factor *factor, solve_product *product) {
    solve_value logarithm;
    double ignored = 0.0;
    if (factor->share != NULL) {
        return solve_share_lower(work, factor, product);
    }
    if (factor->op == DDT_EXPR_POW && solve_newton_log(work, factor->expression, &logarithm, &ignored, &ignored)) {
        return solve_lower_power(work, factor->expression, factor->power, product);
    }
    double mid = 0.0;
    double half = 1.0;
    solve_value x;
    SOLVE_TRY(outer_argument(work, factor, &x, &mid, &half));
    if (is_steep(work, factor, mid - half, mid + half)) {
        return multiply_steep(work, factor, x, mid, half, product);
    }
    solve_function *f = solve_function_create(work, SOLVE_FUNCTION_OUTER);
    if (f == NULL) {
        return DDT_ERR_MEMORY;
    }
    f->op = factor->op;
    f->power = factor->power;
    f->a = half;
    f->b = mid;
    /* The slack of a range may reach below 0, where the model's own values, and such powers, do not. */
    f->is_floored = factor->op == DDT_EXPR_POW && factor->power > 0.0 && factor->power != floor(factor->power);
    SOLVE_TRY(check_finite(work, f, factor->expression, factor->op == DDT_EXPR_LOG ? "the logarithm of " : ""));
    return solve_multiply_function(work, f, x, solve_print(work, factor->expression), product);
}

/* ------------------------------------------------------------------ exponentials */

/* exp(a x + b) of a group's argument; public where x is. */
static ddt_status exponential_node(solve_work *work, const solve_group *group, ddt_node x, double b, double tolerance,
                                   solve_value *out) {
    solve_function *f = solve_function_create(work, SOLVE_FUNCTION_EXP);
    if (f == NULL) {
        return DDT_ERR_MEMORY;
    }
    f->a = group->domain / group->stretch;
    f->b = b;
    return function_node(work, (solve_value){.node = x}, f, tolerance, "an exponential", out);
}

/* Public parts of the exponent become a public factor, so that the polynomial covers the encrypted ones only. */
static ddt_status group_node(solve_work *work, solve_group *group) {
    if (group->node != DDT_NODE_NONE) {
        return DDT_OK;
    }
    ddt_node nodes[2][SOLVE_EXPONENTS_MAX];
    double factors[2][SOLVE_EXPONENTS_MAX];
    size_t counts[2] = {0, 0};
    for (size_t i = 0; i < group->count; i++) {
        ddt_node node = work->encodings[group->parts[i].encoding].node;
        bool is_known = ddt_circuit_is_public(work->circuit, node);
        nodes[is_known][counts[is_known]] = node;
        factors[is_known][counts[is_known]++] = (double)(group->parts[i].multiplier * group->stretch);
    }
    double tolerance = tolerance_of(work, exp(-2.0 * group->reach));
    ddt_node x = ddt_circuit_affine(work->circuit, nodes[0], factors[0], counts[0], 0.0);
    solve_value value = {0};
    SOLVE_TRY(exponential_node(work, group, x, -group->reach, tolerance, &value));
    group->node = value.node;
    group->depth = counts[0] > 0 ? value.depth : 0.0;
    group->known = DDT_NODE_NONE;
    if (counts[1] > 0) {
        ddt_node known = ddt_circuit_affine(work->circuit, nodes[1], factors[1], counts[1], 0.0);
        SOLVE_TRY(exponential_node(work, group, known, 0.0, tolerance, &value));
        group->known = value.node;
    }
    return DDT_OK;
}

/* The exponent of a group in which states take part, as an expression. */
static ddt_expr exponent_expression(const solve_work *work, const solve_group *group) {
    ddt_expr_pool *pool = work->pool;
    ddt_expr sum = ddt_expr_const(pool, 0.0);
    for (size_t i = 0; i < group->count; i++) {
        const solve_exponent *x = &group->exponents[i];
        ddt_expr symbol = ddt_expr_symbol(pool, x->symbol);
        symbol = x->is_log ? ddt_expr_unary(pool, DDT_EXPR_LOG, symbol) : symbol;
        ddt_expr part = ddt_expr_binary(pool, DDT_EXPR_MUL, ddt_expr_const(pool, x->coefficient), symbol);
        sum = ddt_expr_binary(pool, DDT_EXPR_ADD, sum, part);
    }
    return sum;
}

/* exp(sum of exponents), states among them, at the current iterate. */
static ddt_status state_group_node(solve_work *work, solve_group *group) {
    if (group->node != DDT_NODE_NONE && group->stamp == work->iterate_stamp) {
        return DDT_OK;
    }
    double low = 0.0;
    double high = 0.0;
    SOLVE_TRY(solve_newton_range(work, exponent_expression(work, group), &low, &high));
    double mid = 0.5 * (low + high);
    double half = 0.5 * (high - low);
    double offset = -mid;
    ddt_node nodes[SOLVE_EXPONENTS_MAX];
    double factors[SOLVE_EXPONENTS_MAX];
    solve_value x = {.depth = 0.0};
    for (size_t i = 0; i < group->count; i++) {
        double c = group->exponents[i].coefficient;
        if (group->parts[i].encoding != SOLVE_NONE) {
            const solve_encoding *e = &work->encodings[group->parts[i].encoding];
            nodes[i] = e->node;
            factors[i] = c * e->half / half;
            offset += c * e->mid;
            continue;
        }
        size_t state = 0;
        SOLVE_TRY(state_of_symbol(work, group->exponents[i].symbol, &state));
        nodes[i] = work->state_values[state].node;
        factors[i] = c * work->state_scale[state] / half;
        x.depth = fmax(x.depth, work->state_values[state].depth);
    }
    x.node = ddt_circuit_affine(work->circuit, nodes, factors, group->count, offset / half);
    x.depth += 1.0;
    solve_function *f = solve_function_create(work, SOLVE_FUNCTION_EXP);
    if (f == NULL) {
        return DDT_ERR_MEMORY;
    }
    f->a = half;
    f->b = mid;
    solve_product product = {.coefficient = 1.0};
    SOLVE_TRY(solve_multiply_function(work, f, x, "an exponential", &product));
    solve_value value = product.count > 0 ? product.values[0] : solve_constant(work, 1.0);
    group->coefficient = product.coefficient;
    group->known = DDT_NODE_NONE;
    group->node = value.node;
    group->depth = value.depth;
    group->stamp = work->iterate_stamp;
    return ddt_circuit_status(work->circuit);
}

static ddt_status lower_term(solve_work *work, const solve_term *term, solve_product *product) {
    *product = (solve_product){.coefficient = term->coefficient};
    if (term->group != SOLVE_NONE) {
        solve_group *group = &work->groups[term->group];
        SOLVE_TRY(group->has_state ? state_group_node(work, group) : group_node(work, group));
        product->coefficient *= group->has_state ? group->coefficient : exp(group->centre + group->reach);
        product->values[product->count++] = (solve_value){group->node, group->depth};
        if (group->known != DDT_NODE_NONE) {
            product->values[product->count++] = (solve_value){.node = group->known};
        }
    }
    for (size_t i = 0; i < term->factor_count; i++) {
        SOLVE_TRY(term->factors[i].inner == NULL ? lower_symbol_factor(work, &term->factors[i], product)
                                                 : lower_outer_factor(work, &term->factors[i], product));
    }
    return DDT_OK;
}

ddt_status solve_lower(solve_work *work, const solve_terms *terms, solve_sum *out) {
    out->count = 0;
    out->products = solve_alloc(work, terms->count, sizeof *out->products);
    if (out->products == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (const solve_term *t = terms->first; t != NULL; t = t->next) {
        SOLVE_TRY(lower_term(work, t, &out->products[out->count++]));
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ products */

ddt_status solve_pairs_add(solve_work *work, solve_pairs *pairs, solve_value a, solve_value b) {
    if (pairs->count == pairs->capacity) {
        size_t capacity = pairs->capacity == 0 ? 16 : 2 * pairs->capacity;
        ddt_node *left = solve_alloc(work, capacity, sizeof *left);
        ddt_node *right = solve_alloc(work, capacity, sizeof *right);
        if (left == NULL || right == NULL) {
            return DDT_ERR_MEMORY;
        }
        if (pairs->count > 0) {
            memcpy(left, pairs->a, pairs->count * sizeof *left);
            memcpy(right, pairs->b, pairs->count * sizeof *right);
        }
        pairs->a = left;
        pairs->b = right;
        pairs->capacity = capacity;
    }
    pairs->a[pairs->count] = a.node;
    pairs->b[pairs->count++] = b.node;
    pairs->depth = fmax(pairs->depth, 1.0 + fmax(a.depth, b.depth));
    return DDT_OK;
}

ddt_status solve_pairs_node(solve_work *work, const solve_pairs *pairs, solve_value *out) {
    out->node = ddt_circuit_dot(work->circuit, pairs->a, pairs->b, pairs->count);
    out->depth = pairs->depth;
    return ddt_circuit_status(work->circuit);
}

solve_value solve_constant(solve_work *work, double value) {
    return (solve_value){.node = ddt_circuit_constant(work->circuit, value)};
}

solve_value solve_public(solve_work *work, const double *vector, double factor) {
    size_t count = ddt_circuit_lanes(work->circuit) * ddt_circuit_block(work->circuit);
    for (size_t i = 0; i < count; i++) {
        work->slots[i] = factor * vector[i];
    }
    return (solve_value){.node = ddt_circuit_public(work->circuit, work->slots)};
}

/* Moves the two shallowest values to the end. */
static void sort_by_depth(solve_value *values, size_t count) {
    for (size_t i = 1; i < count; i++) {
        for (size_t j = i; j > 0 && values[j - 1].depth < values[j].depth; j--) {
            solve_value kept = values[j];
            values[j] = values[j - 1];
            values[j - 1] = kept;
        }
    }
}

/* The product of all values as one last pair, the shallow ones multiplied first. */
static ddt_status product_pair(solve_work *work, solve_value *values, size_t count, solve_pairs *pairs) {
    while (count > 2) {
        sort_by_depth(values, count);
        solve_value *a = &values[count - 2];
        const solve_value *b = &values[count - 1];
        a->node = ddt_circuit_mul(work->circuit, a->node, b->node);
        a->depth = 1.0 + fmax(a->depth, b->depth);
        count--;
    }
    return solve_pairs_add(work, pairs, values[0], count == 2 ? values[1] : solve_constant(work, 1.0));
}

ddt_status solve_sum_pairs(solve_work *work, const solve_sum *sum, const double *vector, double factor,
                           solve_pairs *pairs) {
    for (size_t i = 0; i < sum->count; i++) {
        const solve_product *p = &sum->products[i];
        solve_value values[SOLVE_FACTORS_MAX + 4];
        memcpy(values, p->values, p->count * sizeof *values);
        size_t count = p->count;
        double coefficient = factor * p->coefficient;
        if (vector != NULL) {
            values[count++] = solve_public(work, vector, coefficient);
        } else if (coefficient != 1.0 || count == 0) {
            values[count++] = solve_constant(work, coefficient);
        }
        SOLVE_TRY(product_pair(work, values, count, pairs));
    }
    return ddt_circuit_status(work->circuit);
}

ddt_status solve_sum_times(solve_work *work, const solve_sum *sum, solve_value value, double factor,
                           solve_pairs *pairs) {
    solve_sum copy = {.count = sum->count, .products = solve_alloc(work, sum->count, sizeof *copy.products)};
    if (copy.products == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t i = 0; i < sum->count; i++) {
        copy.products[i] = sum->products[i];
        copy.products[i].values[copy.products[i].count++] = value;
    }
    return solve_sum_pairs(work, &copy, NULL, factor, pairs);
}

ddt_status solve_sum_node(solve_work *work, const solve_sum *sum, double factor, double offset, solve_value *out) {
    solve_pairs pairs = {0};
    SOLVE_TRY(solve_sum_pairs(work, sum, NULL, factor, &pairs));
    if (offset != 0.0) {
        SOLVE_TRY(solve_pairs_add(work, &pairs, solve_constant(work, offset), solve_constant(work, 1.0)));
    }
    return solve_pairs_node(work, &pairs, out);
}
