/*
 * The worst case of a plan's outputs: sensitivities times the largest noise of every operation.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * To first order the error of an output slot is a linear function of what each operation adds to each slot, and at most
 *
 *     sum over operations, sum over slots of |d output / d slot| x bound of the operation's noise,
 *
 * whatever signs and dependences those errors have. That sum is read off in one direction, for all slots of all values
 * at once: a sum of independent Cauchy variables with scales s_1, s_2, ... is a Cauchy variable of scale s_1 + s_2 +
 * ... exactly. So each operation adds Cauchy noise whose scale is its bound, tangents along a calibrated trajectory
 * carry it on, and the geometric mean of a few such runs estimates the scale, which is the sum of absolute values
 * (Indyk 2006 sketches norms so). Products of errors, and the curvature of polynomials, are further sources, bounded by
 * what was found for their operands: by induction over the program nothing is neglected.
 *
 * What encoding rounds is no noise: it depends on values and constants, not on keys, and the same program on encoded
 * values is what is compared with.
 *
 * What is assumed (docs/precision.md): bounds of single operations (ddt/ckks/bound.h), and that trajectories of the
 * calibration draws show the largest sensitivity but for a factor `trajectory_margin`.
 */
#include "plan.h"

#include "ddt/ckks/bound.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifndef M_PI
#define M_PI 3.14159265358979323846
#endif

enum {
    /* Failure of one operation's bound has a probability below 2^-128, of a bootstrap's below 2^-40. */
    TAIL_BITS = 128,
    REFRESH_TAIL_BITS = 40,
    GROUP_SLOTS = 512, /* of lanes that are worked on together, at least one lane */
    TABLE_BITS = 12,
    TABLE_SIZE = 1 << TABLE_BITS,
    DRAW_BITS = 16 /* of random bits for each look into the table */
};
/*
 * The geometric mean of n magnitudes of Cauchy variables is below 1/c of their scale with probability
 * min_p (c^-p / cos(p pi / 2))^n: 2^-48 for small programs, 2^-40 for large ones. What is lost is c, twice where errors
 * multiply: the smaller the program the more probes.
 */
typedef struct probe_count {
    size_t probes; /* a multiple of PRODUCT_MAX */
    double confidence;
} probe_count;
static const probe_count probe_counts[] = {{24, 16.0}, {96, 4.0}, {354, 2.0}};
enum { PROBE_COUNTS = sizeof probe_counts / sizeof probe_counts[0] };
enum { PRODUCT_MAX = 6 }; /* floats whose product a double holds */
/* Sensitivities may be this many times larger than along the trajectories that were looked at. */
static const double trajectory_margin = 4.0;
/* Slot operations, each for one probe, that a bound may take, but for few probes of one group of lanes of each draw. */
static const double bound_work = 5e8;

typedef struct worst_case {
    const ddt_plan *plan;
    const ddt_ckks_params *params;
    const ddt_circuit *circuit;
    const float *cauchy; /* TABLE_SIZE quantiles */
    double unit;         /* of the errors below, so that floats hold them */
    double refresh;      /* error of a bootstrap */
    probe_count count;
    bool public_key;
} worst_case;

/* One group of lanes of one draw. */
typedef struct probing {
    const worst_case *w;
    size_t first_lane; /* of the sample */
    size_t lanes;
    size_t slots;
    size_t probes;
    double *
        *values; /* of each value: `slots` numbers, then rows of as many floats: probes, bound of the error, value */
    uint32_t *uses;
    double **spare;
    size_t spare_count;
    double *scratch;   /* slots */
    double *amplitude; /* slots: what the operation adds at most, in units */
    uint64_t seed;     /* of this group */
    uint64_t random;   /* of a value: the same in whatever order instructions run */
    double largest;    /* of the outputs' bounds */
    bool short_of_memory;
} probing;

/* ------------------------------------------------------------------ bounds of operations */

/* By the parameters, which the plan may not have taken yet. */
static unsigned prime_level(const worst_case *w, unsigned level) {
    return plan_prime_level(ddt_ckks_params_literal(w->params), level);
}

static double scale_at(const worst_case *w, unsigned level) {
    return ddt_ckks_canonical_scale(w->params, prime_level(w, level));
}

static double rescaled(const worst_case *w, unsigned level) {
    return ddt_ckks_bound_rescale(w->params, 2, scale_at(w, level), TAIL_BITS);
}

/* Of an input that shares an upload (ddt/ckks/pack.h). */
static double unpacked(const worst_case *w, size_t input, double encrypted) {
    const unsigned stages = plan_is_carried(w->plan, input) ? 0 : w->plan->pack_stages;
    if (stages == 0) {
        return encrypted;
    }
    const unsigned level = plan_upload_level(w->plan);
    double switching = ddt_ckks_bound_key_switch(w->params, prime_level(w, level), scale_at(w, level), TAIL_BITS);
    double gain = ldexp(1.0, (int)stages);
    return gain * encrypted + (gain - 1.0) * switching;
}

/* Without what encoding rounds. */
static double fresh(const worst_case *w, size_t input) {
    double scale = scale_at(w, w->plan->levels[input]);
    double encoding = ddt_ckks_bound_encode(w->params, 0.0, scale);
    double encrypted = (w->public_key ? ddt_ckks_bound_fresh_public(w->params, 0.0, scale, TAIL_BITS)
                                      : ddt_ckks_bound_fresh_secret(w->params, 0.0, scale, TAIL_BITS)) -
                       encoding;
    return unpacked(w, input, encrypted);
}

static double combination_noise(const worst_case *w, const plan_instruction *i) {
    unsigned level = plan_result_level(w->plan, i);
    if (i->product_count > 0) {
        return ddt_ckks_bound_relinearise_rescale(w->params, prime_level(w, level + 1), scale_at(w, level), TAIL_BITS);
    }
    return i->scaled_count > 0 ? rescaled(w, level) : 0.0;
}

/* ------------------------------------------------------------------ buffers */

static float *row(const probing *s, double *value, size_t r) { return (float *)(value + s->slots) + r * s->slots; }

static size_t bound_row(const probing *s) { return s->probes; }
static size_t value_row(const probing *s) { return s->probes + 1; }

static const float *row_of(const probing *s, uint32_t value, size_t r) { return row(s, s->values[value], r); }

static double *take(probing *s) {
    double *buffer = s->spare_count > 0 ? s->spare[--s->spare_count]
                                        : ddt_alloc(s->slots, sizeof(double) + (s->probes + 2) * sizeof(float));
    s->short_of_memory |= buffer == NULL;
    return buffer;
}

static void give(probing *s, uint32_t value) {
    if (s->values[value] != NULL) {
        s->spare[s->spare_count++] = s->values[value];
        s->values[value] = NULL;
    }
}

static void release(void *user, uint32_t value) {
    probing *s = user;
    if (--s->uses[value] == 0) {
        give(s, value);
    }
}

static void expand(const probing *s, circuit_public p, double *out) {
    const circuit_pool *pool = &s->w->plan->pool;
    size_t samples = circuit_sample_lanes(pool->lanes, pool->block);
    for (size_t i = 0; i < s->lanes; i++) {
        size_t lane = circuit_sample_lane(pool->lanes, samples, s->first_lane + i);
        circuit_public_expand(pool->vectors, pool->block, p, lane, 1, out + i * pool->block);
    }
}

/* ------------------------------------------------------------------ Cauchy variables */

/* Middles of TABLE_SIZE equally probable intervals; the outermost two are drawn anew, with their tails. */
static void fill_cauchy(float *table) {
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        table[i] = (float)tan(M_PI * (((double)i + 0.5) / TABLE_SIZE - 0.5));
    }
}

static float cauchy(probing *s, size_t index) {
    if (index != 0 && index != TABLE_SIZE - 1) {
        return s->w->cauchy[index];
    }
    double tail = 1.0 / tan(M_PI * plan_uniform(&s->random) / TABLE_SIZE);
    return (float)(index == 0 ? -tail : tail);
}

static void add_probe(probing *s, float *out) {
    uint64_t bits = 0;
    for (size_t i = 0; i < s->slots; i++) {
        bits = i % (64 / DRAW_BITS) == 0 ? plan_random(&s->random) : bits >> DRAW_BITS;
        out[i] += (float)s->amplitude[i] * cauchy(s, (size_t)bits & (TABLE_SIZE - 1));
    }
}

/* The sum of absolute values that the probes of each slot stand for, from above. */
static void bound_errors(probing *s, double *value) {
    float *bound = row(s, value, bound_row(s));
    const double factor = trajectory_margin * s->w->count.confidence;
    memset(s->scratch, 0, s->slots * sizeof *s->scratch);
    for (size_t begin = 0; begin < s->probes; begin += PRODUCT_MAX) {
        for (size_t i = 0; i < s->slots; i++) {
            double product = 1.0;
            for (size_t r = begin; r < begin + PRODUCT_MAX; r++) {
                product *= (double)fabsf(row(s, value, r)[i]);
            }
            s->scratch[i] += log(product);
        }
    }
    for (size_t i = 0; i < s->slots; i++) {
        bound[i] = (float)(factor * exp(s->scratch[i] / (double)s->probes));
        row(s, value, value_row(s))[i] = (float)value[i];
    }
}

/* Adds the operation's own noise, s->amplitude. */
static void finish(probing *s, uint32_t name, double *value) {
    uint64_t mixed = s->seed + name;
    s->random = plan_random(&mixed);
    for (size_t r = 0; r < s->probes; r++) {
        add_probe(s, row(s, value, r));
    }
    bound_errors(s, value);
}

/* ------------------------------------------------------------------ instructions */

static void fill(double *out, size_t count, double number) {
    for (size_t i = 0; i < count; i++) {
        out[i] = number;
    }
}

static void add_row(float *out, const float *a, float k, size_t count) {
    for (size_t i = 0; i < count; i++) {
        out[i] += k * a[i];
    }
}

static void probe_product(probing *s, const plan_product *p, double *out) {
    const double *a = s->values[p->a];
    const double *b = s->values[p->b];
    const float *error_a = row_of(s, p->a, bound_row(s));
    const float *error_b = row_of(s, p->b, bound_row(s));
    const float *size_a = row_of(s, p->a, value_row(s));
    const float *size_b = row_of(s, p->b, value_row(s));
    const double second = abs(p->k) * s->w->unit;
    for (size_t i = 0; i < s->slots; i++) {
        out[i] += p->k * a[i] * b[i];
        s->amplitude[i] += second * (double)error_a[i] * (double)error_b[i];
    }
    for (size_t r = 0; r < s->probes; r++) {
        const float *tangent_a = row_of(s, p->a, r);
        const float *tangent_b = row_of(s, p->b, r);
        float *tangent = row(s, out, r);
        for (size_t i = 0; i < s->slots; i++) {
            tangent[i] += (float)p->k * (size_a[i] * tangent_b[i] + size_b[i] * tangent_a[i]);
        }
    }
}

static void probe_scaled(probing *s, const plan_scaled *term, double *out) {
    const double *a = s->values[term->a];
    expand(s, term->c, s->scratch);
    for (size_t i = 0; i < s->slots; i++) {
        out[i] += s->scratch[i] * a[i];
    }
    for (size_t r = 0; r < s->probes; r++) {
        const float *tangent_a = row_of(s, term->a, r);
        float *tangent = row(s, out, r);
        for (size_t i = 0; i < s->slots; i++) {
            tangent[i] += (float)s->scratch[i] * tangent_a[i];
        }
    }
}

static void probe_combination(probing *s, const plan_instruction *i, double *out) {
    const worst_case *w = s->w;
    const ddt_plan *plan = w->plan;
    fill(s->amplitude, s->slots, combination_noise(w, i) / w->unit);
    expand(s, i->offset, out);
    for (size_t t = 0; t < i->product_count; t++) {
        probe_product(s, &plan->products[i->product_begin + t], out);
    }
    for (size_t t = 0; t < i->scaled_count; t++) {
        probe_scaled(s, &plan->scaleds[i->scaled_begin + t], out);
    }
    for (size_t t = 0; t < i->exact_count; t++) {
        const plan_exact *e = &plan->exacts[i->exact_begin + t];
        for (size_t j = 0; j < s->slots; j++) {
            out[j] += e->k * s->values[e->a][j];
        }
        for (size_t r = 0; r < s->probes; r++) {
            add_row(row(s, out, r), row_of(s, e->a, r), (float)e->k, s->slots);
        }
    }
}

/* out += a, its errors too. */
static void probe_copy(probing *s, uint32_t a, double *out) {
    memcpy(out, s->values[a], s->slots * sizeof *out);
    for (size_t r = 0; r < s->probes; r++) {
        add_row(row(s, out, r), row_of(s, a, r), 1.0F, s->slots);
    }
}

static void probe_adjust(probing *s, const plan_instruction *i, double *out) {
    probe_copy(s, i->operand, out);
    fill(s->amplitude, s->slots, rescaled(s->w, plan_result_level(s->w->plan, i)) / s->w->unit);
}

static void probe_rotation(probing *s, const plan_instruction *i, size_t result, double *out) {
    const worst_case *w = s->w;
    const double *a = s->values[i->operand];
    unsigned level = w->plan->levels[i->operand];
    int64_t slots = (int64_t)s->slots;
    int64_t steps = w->plan->steps[i->detail_begin + result];
    size_t shift = (size_t)(((steps % slots) + slots) % slots);
    memcpy(out, a + shift, (s->slots - shift) * sizeof *out);
    memcpy(out + (s->slots - shift), a, shift * sizeof *out);
    for (size_t r = 0; r < s->probes; r++) {
        const float *from = row_of(s, i->operand, r);
        float *to = row(s, out, r);
        memcpy(to, from + shift, (s->slots - shift) * sizeof *to);
        memcpy(to + (s->slots - shift), from, shift * sizeof *to);
    }
    fill(s->amplitude, s->slots,
         ddt_ckks_bound_key_switch(w->params, prime_level(w, level), scale_at(w, level), TAIL_BITS) / w->unit);
}

/* What bounds p(x + e) - p(x) - p'(x) e: sizes of p, p' and p'' / 2 on [-1, 1]. */
typedef struct polynomial_sizes {
    double value;
    double slope;
    double curvature;
} polynomial_sizes;

static polynomial_sizes measure_polynomial(const double *coefficients, unsigned degree) {
    polynomial_sizes sizes = {0};
    for (unsigned k = 0; k <= degree; k++) {
        double square = (double)k * k;
        sizes.value += fabs(coefficients[k]);
        sizes.slope += fabs(coefficients[k]) * square;
        sizes.curvature += fabs(coefficients[k]) * square * (square - 1.0) / 6.0;
    }
    return sizes;
}

static double remainder_bound(const polynomial_sizes *sizes, double slope, double error) {
    double far = fmin(sizes->slope * error, 2.0 * sizes->value) + fabs(slope) * error;
    return fmin(sizes->curvature * error * error, far);
}

static void probe_polynomial(probing *s, const plan_instruction *i, size_t result, double *out) {
    const worst_case *w = s->w;
    const plan_polynomial *p = &w->plan->polynomials[i->detail_begin + result];
    const double *coefficients = w->plan->coefficients + p->begin;
    const float *error = row_of(s, i->operand, bound_row(s));
    unsigned level = w->plan->levels[i->operand];
    double derivative[CIRCUIT_DEGREE_MAX + 2];
    double own = ddt_ckks_bound_chebyshev_noise(w->params, prime_level(w, level), scale_at(w, level), coefficients,
                                                p->degree, TAIL_BITS);
    polynomial_sizes sizes = measure_polynomial(coefficients, p->degree);
    circuit_polynomial_derivative(coefficients, p->degree, derivative);
    circuit_polynomial_clear(coefficients, p->degree, s->values[i->operand], s->slots, out);
    circuit_polynomial_clear(derivative, p->degree - 1, s->values[i->operand], s->slots, s->scratch);
    for (size_t r = 0; r < s->probes; r++) {
        const float *from = row_of(s, i->operand, r);
        float *to = row(s, out, r);
        for (size_t j = 0; j < s->slots; j++) {
            to[j] = (float)s->scratch[j] * from[j];
        }
    }
    for (size_t j = 0; j < s->slots; j++) {
        s->amplitude[j] = (own + remainder_bound(&sizes, s->scratch[j], (double)error[j] * w->unit)) / w->unit;
    }
}

/*
 * A partner's imaginary part, which is noise as large as that of its real part, joins the real part of the other. Its
 * probes come from the next row: they are independent of those that they are added to, so that scales add up.
 */
static void probe_refresh(probing *s, const plan_instruction *i, size_t result, double *out) {
    probe_copy(s, result == 0 ? i->operand : i->partner, out);
    for (size_t r = 0; r < s->probes && i->partner != CIRCUIT_NONE; r++) {
        uint32_t other = result == 0 ? i->partner : i->operand;
        add_row(row(s, out, r), row_of(s, other, (r + 1) % s->probes), 1.0F, s->slots);
    }
    fill(s->amplitude, s->slots, s->w->refresh / s->w->unit);
}

static void probe_result(probing *s, const plan_instruction *i, size_t result, double *out) {
    memset(row(s, out, 0), 0, s->probes * s->slots * sizeof(float));
    switch (i->opcode) {
    case PLAN_ADJUST:
        probe_adjust(s, i, out);
        break;
    case PLAN_COMBINATION:
        probe_combination(s, i, out);
        break;
    case PLAN_ROTATION:
        probe_rotation(s, i, result, out);
        break;
    case PLAN_POLYNOMIAL:
        probe_polynomial(s, i, result, out);
        break;
    case PLAN_REFRESH:
        probe_refresh(s, i, result, out);
        break;
    }
    finish(s, i->first + (uint32_t)result, out);
}

/* ------------------------------------------------------------------ a run */

static void probe_instruction(probing *s, const plan_instruction *i) {
    for (size_t r = 0; r < i->results && !s->short_of_memory; r++) {
        uint32_t value = i->first + (uint32_t)r;
        double *out = take(s);
        if (out != NULL) {
            probe_result(s, i, r, out);
            s->values[value] = out;
            if (s->uses[value] == 0) {
                give(s, value);
            }
        }
    }
    if (!s->short_of_memory) {
        plan_operands(s->w->plan, i, release, s);
    }
}

static void probe_inputs(probing *s, const double *const *inputs) {
    const ddt_plan *plan = s->w->plan;
    for (size_t v = 0; v < plan->input_count && !s->short_of_memory; v++) {
        double *out = s->uses[v] == 0 ? NULL : take(s);
        if (out != NULL) {
            memcpy(out, inputs[v] + s->first_lane * plan->pool.block, s->slots * sizeof *out);
            memset(row(s, out, 0), 0, s->probes * s->slots * sizeof(float));
            fill(s->amplitude, s->slots, fresh(s->w, v) / s->w->unit);
            finish(s, (uint32_t)v, out);
        }
        s->values[v] = out;
    }
}

static void note_output(probing *s, uint32_t value) {
    const float *bound = row_of(s, value, bound_row(s));
    for (size_t i = 0; i < s->slots; i++) {
        s->largest = (double)bound[i] <= s->largest ? s->largest : (double)bound[i]; /* NaN sticks */
    }
}

static void run(probing *s, const double *const *inputs) {
    const ddt_plan *plan = s->w->plan;
    memcpy(s->uses, plan->use_counts, plan->value_count * sizeof *s->uses);
    probe_inputs(s, inputs);
    for (size_t i = 0; i < plan->instruction_count && !s->short_of_memory; i++) {
        probe_instruction(s, &plan->instructions[plan->order[i]]);
    }
    for (size_t o = 0; o < plan->output_count && !s->short_of_memory; o++) {
        note_output(s, plan->outputs[o].value);
    }
}

/* The largest bound of the outputs over a group of lanes of a draw; false when memory is short. */
static bool probe_group(const worst_case *w, size_t draw, size_t first_lane, size_t lanes, double *largest) {
    const ddt_plan *plan = w->plan;
    probing s = {.w = w, .first_lane = first_lane, .lanes = lanes, .slots = lanes * plan->pool.block};
    s.probes = w->count.probes;
    s.seed = ((uint64_t)draw << 56) + ((uint64_t)first_lane << 32);
    s.values = ddt_calloc(plan->value_count, sizeof *s.values);
    s.uses = ddt_alloc(plan->value_count, sizeof *s.uses);
    s.spare = ddt_calloc(plan->value_count, sizeof *s.spare);
    s.scratch = ddt_alloc(s.slots, sizeof *s.scratch);
    s.amplitude = ddt_alloc(s.slots, sizeof *s.amplitude);
    if (s.values == NULL || s.uses == NULL || s.spare == NULL || s.scratch == NULL || s.amplitude == NULL) {
        s.short_of_memory = true;
    } else {
        run(&s, (const double *const *)w->circuit->draws[draw]);
        for (size_t v = 0; v < plan->value_count; v++) {
            ddt_free(s.values[v]);
        }
        for (size_t i = 0; i < s.spare_count; i++) {
            ddt_free(s.spare[i]);
        }
    }
    ddt_free(s.values);
    ddt_free(s.uses);
    ddt_free(s.spare);
    ddt_free(s.scratch);
    ddt_free(s.amplitude);
    *largest = s.largest;
    return !s.short_of_memory;
}

/* ------------------------------------------------------------------ the whole */

/* Groups of lanes of all draws, evenly spaced over the samples: as many as the work allows, one of each draw at least.
 */
typedef struct group_list {
    size_t draws;
    size_t lanes;  /* of a group */
    size_t groups; /* of a draw, in all */
    size_t used;   /* of a draw */
    probe_count count;
} group_list;

static group_list choose_groups(const ddt_plan *plan, const ddt_circuit *circuit) {
    size_t samples = circuit_sample_lanes(plan->pool.lanes, plan->pool.block);
    group_list list = {.draws = circuit->draw_count == 0 ? 1 : circuit->draw_count};
    list.lanes = plan->pool.block >= GROUP_SLOTS ? 1 : GROUP_SLOTS / plan->pool.block;
    list.lanes = list.lanes < samples ? list.lanes : samples;
    list.groups = samples / list.lanes;
    double work = plan_work(plan) * (double)(list.lanes * plan->pool.block * list.draws);
    double most = fmax(bound_work / work, 1.0);
    list.count = probe_counts[0];
    for (size_t i = 1; i < PROBE_COUNTS && most >= (double)(probe_counts[i].probes * list.groups); i++) {
        list.count = probe_counts[i];
    }
    most = fmax(most / (double)list.count.probes, 1.0);
    list.used = most < (double)list.groups ? (size_t)most : list.groups;
    return list;
}

static bool probe_groups(worst_case *w, unsigned workers, double *largest) {
    const group_list list = choose_groups(w->plan, w->circuit);
    w->count = list.count;
    bool complete = true;
    double found = 0.0;
#pragma omp parallel for num_threads(workers) if (workers > 1) schedule(dynamic, 1)
    for (size_t g = 0; g < list.draws * list.used; g++) {
        double bound = 0.0;
        size_t at = g % list.used * list.groups / list.used;
        bool done = probe_group(w, g / list.used, at * list.lanes, list.lanes, &bound);
#pragma omp critical
        {
            complete &= done;
            found = bound <= found || isnan(found) ? found : bound;
        }
    }
    *largest = found;
    return complete;
}

ddt_status plan_worst_error(ddt_context *ctx, const ddt_plan *plan, const ddt_circuit *circuit,
                            const ddt_ckks_params *params, bool public_key, double *error) {
    float *table = ddt_alloc(TABLE_SIZE, sizeof *table);
    double largest = 0.0;
    worst_case w = {.plan = plan, .params = params, .circuit = circuit, .cauchy = table, .public_key = public_key};
    bool complete = table != NULL;
    if (complete) {
        fill_cauchy(table);
        w.unit = rescaled(&w, 0);
        w.refresh = plan_bootstraps(plan) == 0 ? 0.0 : ddt_ckks_bound_bootstrap(params, &plan->boot, REFRESH_TAIL_BITS);
        complete = probe_groups(&w, circuit_evaluation_workers(ctx), &largest);
    }
    ddt_free(table);
    /* Public outputs have no noise, but a rounding. */
    *error = isnan(largest) ? INFINITY : fmax(largest, 1.0) * w.unit;
    return complete ? DDT_OK : ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while bounding a plan's error.");
}
