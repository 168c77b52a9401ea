/*
 * A plan in double precision, with or without the noise that CKKS would add.
 *
 * Formulas that carry a variance through the graph must assume that errors are independent; here the errors of one node
 * reach the output on many paths, and squares and sums of such correlated errors come out wrong, on the unsafe side. So
 * noise is drawn and carried along: every operation adds what noise.c says, and the difference at the outputs, over a
 * few runs on calibrated inputs, shows what is left of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <math.h>
#include <string.h>

#ifndef M_PI
#define M_PI 3.14159265358979323846
#endif

typedef struct simulation {
    const ddt_plan *plan;
    const noise_model *model; /* NULL: no noise */
    size_t samples;
    size_t slots; /* samples * block */
    double **values;
    uint32_t *uses;
    double **spare;
    size_t spare_count;
    double *scratch; /* slots */
    uint64_t random;
    bool short_of_memory;
} simulation;

/* ------------------------------------------------------------------ random numbers */

/* Box and Muller. */
static void fill_gaussian(double *table, uint64_t seed) {
    for (size_t i = 0; i < NOISE_TABLE_SIZE; i += 2) {
        double radius = sqrt(-2.0 * log(plan_uniform(&seed)));
        double angle = 2.0 * M_PI * plan_uniform(&seed);
        table[i] = radius * cos(angle);
        table[i + 1] = radius * sin(angle);
    }
}

static double draw(simulation *s) { return s->model->gaussian[plan_random(&s->random) & (NOISE_TABLE_SIZE - 1)]; }

static void add_noise(simulation *s, double deviation, double *out) {
    if (s->model == NULL) {
        return;
    }
    uint64_t r = plan_random(&s->random);
    size_t at = (size_t)r & (NOISE_TABLE_SIZE - 1);
    size_t stride = ((size_t)(r >> NOISE_TABLE_BITS) & (NOISE_TABLE_SIZE - 1)) | 1;
    for (size_t i = 0; i < s->slots; i++) {
        out[i] += deviation * s->model->gaussian[at];
        at = (at + stride) & (NOISE_TABLE_SIZE - 1);
    }
}

static double noise_of(const simulation *s, double deviation) { return s->model == NULL ? 0.0 : deviation; }

/* ------------------------------------------------------------------ buffers */

static double *take(simulation *s) {
    double *buffer = s->spare_count > 0 ? s->spare[--s->spare_count] : ddt_alloc(s->slots, sizeof *buffer);
    s->short_of_memory |= buffer == NULL;
    return buffer;
}

static void give(simulation *s, double *buffer) {
    if (buffer != NULL) {
        s->spare[s->spare_count++] = buffer;
    }
}

static void release(void *user, uint32_t value) {
    simulation *s = user;
    if (--s->uses[value] == 0) {
        give(s, s->values[value]);
        s->values[value] = NULL;
    }
}

static void expand(const simulation *s, circuit_public p, double *out) {
    const ddt_plan *plan = s->plan;
    for (size_t i = 0; i < s->samples; i++) {
        size_t lane = circuit_sample_lane(plan->pool.lanes, s->samples, i);
        circuit_public_expand(plan->pool.vectors, plan->pool.block, p, lane, 1, out + i * plan->pool.block);
    }
}

/* ------------------------------------------------------------------ instructions */

static void simulate_scaled(simulation *s, const plan_scaled *term, double *out) {
    const double *a = s->values[term->a];
    if (term->c.vector == CIRCUIT_NONE) {
        double c = term->c.constant + (s->model == NULL ? 0.0 : s->model->constant * draw(s));
        for (size_t i = 0; i < s->slots; i++) {
            out[i] += c * a[i];
        }
        return;
    }
    expand(s, term->c, s->scratch);
    add_noise(s, noise_of(s, s->model == NULL ? 0.0 : s->model->plain), s->scratch);
    for (size_t i = 0; i < s->slots; i++) {
        out[i] += s->scratch[i] * a[i];
    }
}

static void simulate_combination(simulation *s, const plan_instruction *instruction, double *out) {
    const ddt_plan *plan = s->plan;
    expand(s, instruction->offset, out);
    if (instruction->offset.vector != CIRCUIT_NONE && s->model != NULL) {
        add_noise(s, s->model->plain, out);
    }
    for (size_t begin = 0; begin < s->slots && instruction->product_count > 0; begin += CIRCUIT_TILE) {
        size_t count = s->slots - begin < CIRCUIT_TILE ? s->slots - begin : CIRCUIT_TILE;
        for (size_t t = 0; t < instruction->product_count; t++) {
            const plan_product *product = &plan->products[instruction->product_begin + t];
            circuit_add_product(product->k, s->values[product->a] + begin, s->values[product->b] + begin, count,
                                out + begin);
        }
    }
    for (size_t t = 0; t < instruction->scaled_count; t++) {
        simulate_scaled(s, &plan->scaleds[instruction->scaled_begin + t], out);
    }
    if (instruction->product_count + instruction->scaled_count > 0 && s->model != NULL) {
        add_noise(s, s->model->rescale, out);
    }
    for (size_t t = 0; t < instruction->exact_count; t++) {
        const plan_exact *exact = &plan->exacts[instruction->exact_begin + t];
        const double *a = s->values[exact->a];
        double k = exact->k;
        for (size_t i = 0; i < s->slots; i++) {
            out[i] += k * a[i];
        }
    }
}

static void simulate_rotation(simulation *s, const plan_instruction *instruction, size_t result, double *out) {
    const double *a = s->values[instruction->operand];
    int64_t slots = (int64_t)s->slots;
    int64_t steps = s->plan->steps[instruction->detail_begin + result];
    size_t shift = (size_t)(((steps % slots) + slots) % slots);
    memcpy(out, a + shift, (s->slots - shift) * sizeof *out);
    memcpy(out + (s->slots - shift), a, shift * sizeof *out);
    if (s->model != NULL) {
        add_noise(s, s->model->switching[s->plan->levels[instruction->operand]], out);
    }
}

/* ------------------------------------------------------------------ polynomials under noise */

/*
 * The Paterson-Stockmeyer recursion of the ckks room in double precision: powers and sums get the noise of their
 * rescale where they arise. The split into sums of at most `baby` terms need not be the same one; the noise hardly
 * depends on it.
 */
typedef struct noisy_polynomial {
    simulation *s;
    double *powers[CIRCUIT_DEGREE_MAX + 1];
    unsigned baby;
} noisy_polynomial;

static const double *get_power(noisy_polynomial *p, unsigned i) {
    simulation *s = p->s;
    if (p->powers[i] != NULL) {
        return p->powers[i];
    }
    const double *a = get_power(p, i / 2);
    const double *b = get_power(p, i - i / 2);
    double *out = take(s);
    if (a == NULL || b == NULL || out == NULL) {
        give(s, out);
        return NULL;
    }
    const double *x = p->powers[1];
    for (size_t j = 0; j < s->slots; j++) {
        out[j] = 2.0 * a[j] * b[j] - (i % 2 == 1 ? x[j] : 1.0);
    }
    add_noise(s, s->model->rescale, out);
    p->powers[i] = out;
    return out;
}

static unsigned highest_power(unsigned degree) {
    unsigned m = 1;
    while (2 * m <= degree) {
        m *= 2;
    }
    return m;
}

static void add_term(noisy_polynomial *p, double c, const double *power, double *out) {
    simulation *s = p->s;
    double rounded = c + s->model->constant * draw(s);
    for (size_t j = 0; j < s->slots; j++) {
        out[j] += rounded * power[j];
    }
}

/* out = the polynomial, with one rescale's noise on top of that of its parts. */
static void noisy_sum(noisy_polynomial *p, const double *coefficients, unsigned degree, double *out) {
    simulation *s = p->s;
    double rest[CIRCUIT_DEGREE_MAX + 1];
    double quotient[CIRCUIT_DEGREE_MAX + 1];
    memcpy(rest, coefficients, ((size_t)degree + 1) * sizeof *rest);
    memset(out, 0, s->slots * sizeof *out);
    while (degree >= p->baby) {
        unsigned m = highest_power(degree);
        quotient[0] = rest[m];
        for (unsigned j = m + 1; j <= degree; j++) {
            quotient[j - m] = 2.0 * rest[j];
            rest[2 * m - j] -= rest[j];
        }
        double *factor = take(s);
        const double *power = get_power(p, m);
        if (factor != NULL && power != NULL) {
            noisy_sum(p, quotient, degree - m, factor);
            for (size_t j = 0; j < s->slots; j++) {
                out[j] += factor[j] * power[j];
            }
        }
        give(s, factor);
        degree = m - 1;
    }
    for (unsigned k = 1; k <= degree; k++) {
        const double *power = rest[k] == 0.0 ? NULL : get_power(p, k);
        if (power != NULL) {
            add_term(p, rest[k], power, out);
        }
    }
    for (size_t j = 0; j < s->slots; j++) {
        out[j] += rest[0];
    }
    add_noise(s, s->model->rescale, out);
}

static unsigned choose_baby(unsigned degree) {
    unsigned baby = 2;
    while (baby * baby < degree + 1) {
        baby *= 2;
    }
    return baby;
}

static void simulate_polynomial(simulation *s, const plan_instruction *instruction, size_t result, double *out) {
    const plan_polynomial *polynomial = &s->plan->polynomials[instruction->detail_begin + result];
    const double *coefficients = s->plan->coefficients + polynomial->begin;
    double *x = s->values[instruction->operand];
    if (s->model == NULL) {
        circuit_polynomial_clear(coefficients, polynomial->degree, x, s->slots, out);
        return;
    }
    noisy_polynomial p = {.s = s, .baby = choose_baby(polynomial->degree)};
    p.powers[1] = x;
    noisy_sum(&p, coefficients, polynomial->degree, out);
    for (unsigned i = 2; i <= polynomial->degree; i++) {
        give(s, p.powers[i]);
    }
}

/* ------------------------------------------------------------------ the whole */

static void simulate_result(simulation *s, const plan_instruction *instruction, size_t result, double *out) {
    switch (instruction->opcode) {
    case PLAN_ADJUST:
        memcpy(out, s->values[instruction->operand], s->slots * sizeof *out);
        if (s->model != NULL) {
            add_noise(s, s->model->rescale, out);
        }
        break;
    case PLAN_COMBINATION:
        simulate_combination(s, instruction, out);
        break;
    case PLAN_ROTATION:
        simulate_rotation(s, instruction, result, out);
        break;
    case PLAN_POLYNOMIAL:
        simulate_polynomial(s, instruction, result, out);
        break;
    case PLAN_REFRESH:
        memcpy(out, s->values[result == 0 ? instruction->operand : instruction->partner], s->slots * sizeof *out);
        if (s->model != NULL) {
            add_noise(s, s->model->refresh, out);
        }
        break;
    }
}

static void simulate_instruction(simulation *s, const plan_instruction *instruction) {
    for (size_t r = 0; r < instruction->results && !s->short_of_memory; r++) {
        double *out = take(s);
        if (out == NULL) {
            return;
        }
        simulate_result(s, instruction, r, out);
        s->values[instruction->first + r] = out;
        if (s->uses[instruction->first + r] == 0) {
            give(s, out);
            s->values[instruction->first + r] = NULL;
        }
    }
    if (!s->short_of_memory) {
        plan_operands(s->plan, instruction, release, s);
    }
}

static void simulate_inputs(simulation *s, const double *const *inputs) {
    for (size_t i = 0; i < s->plan->input_count && !s->short_of_memory; i++) {
        double *out = s->uses[i] == 0 ? NULL : take(s);
        if (out != NULL) {
            memcpy(out, inputs[i], s->slots * sizeof *out);
            if (s->model != NULL) {
                add_noise(s, noise_model_input(s->model, s->plan, i), out);
            }
        }
        s->values[i] = out;
    }
}

static void run(simulation *s, uint64_t seed, const double *const *inputs, double *const *outputs) {
    const ddt_plan *plan = s->plan;
    memcpy(s->uses, plan->use_counts, plan->value_count * sizeof *s->uses);
    s->random = seed;
    simulate_inputs(s, inputs);
    for (size_t i = 0; i < plan->instruction_count && !s->short_of_memory; i++) {
        simulate_instruction(s, &plan->instructions[i]);
    }
    for (size_t o = 0; o < plan->output_count && !s->short_of_memory; o++) {
        memcpy(outputs[o], s->values[plan->outputs[o].value], s->slots * sizeof(double));
    }
}

ddt_status plan_simulate(ddt_context *ctx, const ddt_plan *plan, const noise_model *model, uint64_t seed,
                         size_t samples, const double *const *inputs, double *const *outputs) {
    simulation s = {.plan = plan, .model = model, .samples = samples, .slots = samples * plan->pool.block};
    size_t buffers = plan->value_count + 2 * ((size_t)CIRCUIT_DEGREE_MAX + 1);
    s.values = ddt_calloc(plan->value_count, sizeof *s.values);
    s.uses = ddt_alloc(plan->value_count, sizeof *s.uses);
    s.spare = ddt_calloc(buffers, sizeof *s.spare);
    s.scratch = ddt_alloc(s.slots, sizeof *s.scratch);
    if (s.values == NULL || s.uses == NULL || s.spare == NULL || s.scratch == NULL) {
        s.short_of_memory = true;
    } else {
        run(&s, seed, inputs, outputs);
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
    return s.short_of_memory ? ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while simulating a plan.") : DDT_OK;
}

/* ------------------------------------------------------------------ prediction */

enum {
    PREDICTION_RUNS_MAX = 8, /* on each draw */
    /* Fewer squares than this say too little about a variance: neighbouring slots are taken together then. */
    PREDICTION_SAMPLES = 8
};
/* Slot operations that a prediction may take, in all its runs together. */
static const double prediction_work = 4e8;

typedef struct prediction {
    ddt_context *ctx;
    const ddt_plan *plan;
    const noise_model *model;
    size_t samples;
    size_t slots;
    size_t runs;
    double **exact;
    double **noisy;
    double **squares;
} prediction;

static void free_rows(double **rows, size_t count) {
    for (size_t i = 0; rows != NULL && i < count; i++) {
        ddt_free(rows[i]);
    }
    ddt_free(rows);
}

static double **make_rows(size_t count, size_t slots) {
    double **rows = ddt_calloc(count, sizeof *rows);
    for (size_t i = 0; rows != NULL && i < count; i++) {
        rows[i] = ddt_calloc(slots, sizeof **rows);
        if (rows[i] == NULL) {
            free_rows(rows, count);
            return NULL;
        }
    }
    return rows;
}

/* Adds the squared noise of one run to squares. */
static ddt_status add_run(const prediction *p, uint64_t seed, const double *const *inputs, double *largest) {
    ddt_status status = plan_simulate(p->ctx, p->plan, p->model, seed, p->samples, inputs, p->noisy);
    for (size_t o = 0; status == DDT_OK && o < p->plan->output_count; o++) {
        for (size_t i = 0; i < p->slots; i++) {
            double error = fabs(p->noisy[o][i] - p->exact[o][i]);
            p->squares[o][i] += error * error;
            *largest = error <= *largest ? *largest : error; /* NaN sticks */
        }
    }
    return status;
}

/* The largest variance of a slot, from `runs` squares in each. */
static double largest_variance(const prediction *p) {
    size_t width = (PREDICTION_SAMPLES + p->runs - 1) / p->runs;
    double largest = 0.0;
    for (size_t o = 0; o < p->plan->output_count; o++) {
        for (size_t begin = 0; begin < p->slots; begin += width) {
            size_t end = begin + width < p->slots ? begin + width : p->slots;
            double sum = 0.0;
            for (size_t i = begin; i < end; i++) {
                sum += p->squares[o][i];
            }
            double variance = sum / (double)(p->runs * (end - begin));
            largest = variance <= largest ? largest : variance;
        }
    }
    return largest;
}

/*
 * Eight standard deviations of the noisiest slot on one draw of inputs, and not less than half more than any error that
 * was seen. Six would do for Gaussian errors, but what is rounded in c1 meets the secret, and the squared magnitude of
 * a slot of the secret is exponentially distributed: for a given key the errors over the slots have exponential tails.
 */
static ddt_status predict_draw(const prediction *p, const double *const *inputs, size_t draw_index, double *error) {
    const double deviations = 8.0;
    const double margin = 1.5;
    double largest = 0.0;
    ddt_status status = plan_simulate(p->ctx, p->plan, NULL, 0, p->samples, inputs, p->exact);
    for (size_t o = 0; o < p->plan->output_count; o++) {
        memset(p->squares[o], 0, p->slots * sizeof(double));
    }
    for (size_t r = 0; r < p->runs && status == DDT_OK; r++) {
        status = add_run(p, 1 + r + p->runs * draw_index, inputs, &largest);
    }
    if (status == DDT_OK) {
        double spread = deviations * sqrt(largest_variance(p));
        double predicted = spread > margin * largest ? spread : margin * largest;
        predicted = isnan(largest) ? largest : predicted;
        *error = predicted <= *error ? *error : predicted;
    }
    return status;
}

double plan_work(const ddt_plan *plan) {
    double coefficients = (double)plan->coefficient_count;
    return (double)(plan->value_count + plan->product_count + plan->scaled_count + plan->exact_count) + coefficients;
}

static size_t count_runs(const ddt_plan *plan, size_t slots, size_t draws) {
    double runs = prediction_work / (plan_work(plan) * (double)(slots * draws)) - 1.0;
    return runs > PREDICTION_RUNS_MAX ? PREDICTION_RUNS_MAX : runs < 1.0 ? 1 : (size_t)runs;
}

ddt_status plan_predict_error(ddt_context *ctx, const ddt_plan *plan, const ddt_circuit *circuit,
                              const ddt_ckks_literal *literal, bool public_key, double *error) {
    noise_model model;
    noise_model_fill(literal, public_key, &model);
    double *gaussian = ddt_alloc(NOISE_TABLE_SIZE, sizeof *gaussian);
    prediction p = {.ctx = ctx, .plan = plan, .model = &model};
    p.samples = circuit_sample_lanes(plan->pool.lanes, plan->pool.block);
    p.slots = p.samples * plan->pool.block;
    p.exact = make_rows(plan->output_count, p.slots);
    p.noisy = make_rows(plan->output_count, p.slots);
    p.squares = make_rows(plan->output_count, p.slots);
    ddt_status status = DDT_OK;
    *error = 0.0;
    if (gaussian == NULL || p.exact == NULL || p.noisy == NULL || p.squares == NULL) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short while predicting a plan's error.");
    } else {
        fill_gaussian(gaussian, 1);
        model.gaussian = gaussian;
    }
    /* Without inputs there is nothing to draw, but public outputs still carry the error of their encoding. */
    size_t draws = circuit->draw_count == 0 ? 1 : circuit->draw_count;
    p.runs = count_runs(plan, p.slots, draws);
    for (size_t d = 0; d < draws && status == DDT_OK; d++) {
        status = predict_draw(&p, (const double *const *)circuit->draws[d], d, error);
    }
    ddt_free(gaussian);
    free_rows(p.exact, plan->output_count);
    free_rows(p.noisy, plan->output_count);
    free_rows(p.squares, plan->output_count);
    return status;
}
