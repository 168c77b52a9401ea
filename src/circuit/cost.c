/*
 * What a plan costs: counts of transforms, base conversions and passes over limbs, times what each takes. The constants
 * are one machine's (2 cores of 2024 with 512-bit vectors); the planner only compares plans with them, and on other
 * machines the ratios hold.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <math.h>
#include <string.h>

/* Nanoseconds for each coefficient (the transforms: for each coefficient and layer). */
static const double transform_ns = 0.115;
static const double conversion_ns = 0.115;
static const double inner_product_ns = 1.15; /* a digit times both halves of a key */
static const double pass_ns = 1.05;          /* memory, not arithmetic */
static const double encode_ns = 14.0;        /* without the transforms */

typedef struct cost_model {
    double n;
    double transform;
    unsigned p_count;
    const ddt_ckks_literal *literal;
} cost_model;

/* Levels here are those of primes. */
static double key_switch(const cost_model *m, unsigned level, bool rescale, unsigned results) {
    double limbs = level + 1.0;
    double special = m->p_count;
    unsigned digit_count = level / m->p_count + 1;
    double digits = digit_count;
    double targets = limbs + special;
    double decompose = limbs * m->transform + (digits * targets - limbs) * m->transform +
                       (targets - special) * limbs * conversion_ns * m->n + limbs * special * conversion_ns * m->n;
    double divided = special + (rescale ? plan_scale_primes(m->literal) : 0.0);
    double divide = 2.0 * (divided + limbs) * m->transform + 2.0 * limbs * divided * conversion_ns * m->n +
                    2.0 * limbs * pass_ns * m->n;
    double inner = digits * targets * inner_product_ns * m->n;
    return decompose + results * (inner + divide);
}

static double rescale(const cost_model *m, unsigned level) {
    return plan_scale_primes(m->literal) * 2.0 * (level + 1.0) * (m->transform + pass_ns * m->n);
}

static double passes(const cost_model *m, double limbs) { return limbs * pass_ns * m->n; }

static double encoding(const cost_model *m, unsigned level) {
    return encode_ns * m->n + (level + 1.0) * (m->transform + pass_ns * m->n);
}

/* ------------------------------------------------------------------ polynomials */

static void count_power(polynomial_work *w, unsigned i) {
    if (i > 1 && !w->made[i]) {
        w->made[i] = true;
        w->relinearisations++;
        count_power(w, i / 2);
        count_power(w, i - i / 2);
    }
}

/* p = q T_m + r, all r of one sum together: one relinearisation for the sum, and the q in their turn. */
static void count_sum(polynomial_work *w, unsigned degree, unsigned baby) {
    bool has_products = false;
    while (degree >= baby) {
        unsigned m = 1;
        while (2 * m <= degree) {
            m *= 2;
        }
        count_power(w, m);
        count_sum(w, degree - m, baby);
        has_products = true;
        degree = m - 1;
    }
    for (unsigned k = 2; k <= degree; k++) {
        count_power(w, k);
    }
    if (has_products) {
        w->relinearisations++;
    } else {
        w->rescales++;
    }
}

void plan_count_polynomials(const ddt_plan *plan, const plan_instruction *instruction, polynomial_work *best) {
    const double rescale_weight = 0.3;
    double best_cost = INFINITY;
    for (unsigned baby = 2; baby <= CIRCUIT_DEGREE_MAX + 1; baby *= 2) {
        polynomial_work work;
        memset(&work, 0, sizeof work);
        for (size_t r = 0; r < instruction->results; r++) {
            count_sum(&work, plan->polynomials[instruction->detail_begin + r].degree, baby);
        }
        double cost = work.relinearisations + rescale_weight * work.rescales;
        if (cost < best_cost) {
            best_cost = cost;
            *best = work;
        }
    }
}

static double polynomial_cost(const cost_model *m, const ddt_plan *plan, const plan_instruction *instruction) {
    polynomial_work work;
    plan_count_polynomials(plan, instruction, &work);
    unsigned top = plan->levels[instruction->operand];
    unsigned bottom = top;
    for (size_t r = 0; r < instruction->results; r++) {
        unsigned level = plan->levels[instruction->first + r];
        bottom = level < bottom ? level : bottom;
    }
    unsigned middle = plan_prime_level(m->literal, (top + bottom + 1) / 2);
    return work.relinearisations * (key_switch(m, middle, true, 1) + passes(m, 4.0 * (middle + 1.0))) +
           work.rescales * (rescale(m, middle) + passes(m, 4.0 * (middle + 1.0)));
}

/* ------------------------------------------------------------------ instructions */

static double combination_cost(const cost_model *m, const ddt_plan *plan, const plan_instruction *instruction) {
    unsigned level = plan_prime_level(m->literal, plan_result_level(plan, instruction));
    unsigned above = level + plan_scale_primes(m->literal);
    double limbs = above + 1.0;
    double total = passes(m, 3.0 * limbs * (double)instruction->product_count) +
                   passes(m, 2.0 * (limbs - 1.0) * (double)instruction->exact_count);
    for (size_t t = 0; t < instruction->scaled_count; t++) {
        bool vector = plan->scaleds[instruction->scaled_begin + t].c.vector != CIRCUIT_NONE;
        total += passes(m, 4.0 * limbs) + (vector ? encoding(m, above) : 0.0);
    }
    if (instruction->offset.vector != CIRCUIT_NONE) {
        total += encoding(m, level) + passes(m, limbs);
    }
    if (instruction->product_count > 0) {
        total += key_switch(m, above, true, 1);
    } else if (instruction->scaled_count > 0) {
        total += rescale(m, above);
    }
    return total;
}

/* ------------------------------------------------------------------ bootstraps */

/* A matrix of the homomorphic transforms: `layers` layers of butterflies, baby steps and a giant step each `baby`. */
static double matrix_cost(const cost_model *m, unsigned level, unsigned layers, unsigned wanted_baby) {
    enum { BABY = 8, FEW_DIAGONALS = 16 };
    unsigned diagonals = (2U << layers) - 1;
    unsigned baby = wanted_baby != 0 ? wanted_baby : diagonals > FEW_DIAGONALS ? BABY : BABY / 2;
    double giants = ceil((double)diagonals / baby);
    double targets = level + 1.0 + m->p_count;
    double inner = key_switch(m, level, false, 2) - key_switch(m, level, false, 1);
    return key_switch(m, level, false, 1) + (baby - 1.0) * 0.5 * inner + giants * key_switch(m, level, true, 1) +
           diagonals * passes(m, 2.0 * targets);
}

/* What the modular reduction takes of one part: key switches with rescale, from its first level to its last. */
static double reduction_cost(const cost_model *m, unsigned level) {
    /* The exponential, the squarings, a conjugation, the arcsine. */
    enum { SWITCHES = 7 + 5 + 1 + 2 };
    unsigned middle = level - DDT_BOOTSTRAP_MOD_LEVELS / 2;
    return SWITCHES * (key_switch(m, middle, true, 1) + passes(m, 4.0 * (middle + 1.0)));
}

static double refresh_cost(const cost_model *m, const ddt_ckks_literal *literal, const ddt_bootstrap_literal *boot,
                           size_t values) {
    unsigned log_slots = boot->log_slots == 0 ? literal->log_n - 1 : boot->log_slots;
    unsigned top = literal->levels + literal->boot_levels;
    unsigned stages = literal->boot_levels - DDT_BOOTSTRAP_MOD_LEVELS;
    unsigned mod_level = top - stages;
    double total = 0.0;
    for (unsigned i = 0; i < boot->slots_levels; i++) {
        total += matrix_cost(m, boot->slots_levels - i, (log_slots + i) / boot->slots_levels, boot->baby);
    }
    for (unsigned i = 0; i < stages; i++) {
        total += matrix_cost(m, top - i, (log_slots + i) / stages, boot->baby);
    }
    for (unsigned i = log_slots; i < literal->log_n; i++) {
        total += key_switch(m, mod_level + 1, false, 1); /* the conjugation, and the sum over repeated slots */
    }
    return total + (double)values * reduction_cost(m, mod_level);
}

double plan_cost(const ddt_plan *plan, const ddt_ckks_literal *literal) {
    const double ns = 1e-9;
    double n = ldexp(1.0, (int)literal->log_n);
    cost_model m = {
        .n = n, .transform = transform_ns * n * literal->log_n, .p_count = literal->p_count, .literal = literal};
    double total =
        plan->pack_stages == 0
            ? 0.0
            : (double)plan->input_count * key_switch(&m, plan_prime_level(literal, plan_upload_level(plan)), false, 1);
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const plan_instruction *instruction = &plan->instructions[i];
        unsigned level = plan_prime_level(literal, plan_result_level(plan, instruction));
        switch (instruction->opcode) {
        case PLAN_ADJUST:
            total += rescale(&m, level + 1) + passes(&m, 2.0 * (level + 2.0));
            break;
        case PLAN_COMBINATION:
            total += combination_cost(&m, plan, instruction);
            break;
        case PLAN_ROTATION:
            total += key_switch(&m, level, false, instruction->results);
            break;
        case PLAN_POLYNOMIAL:
            total += polynomial_cost(&m, plan, instruction);
            break;
        case PLAN_REFRESH:
            total += refresh_cost(&m, literal, &plan->boot, instruction->results);
            break;
        }
    }
    return total * ns;
}

size_t plan_bootstraps(const ddt_plan *plan) {
    size_t count = 0;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        count += plan->instructions[i].opcode == PLAN_REFRESH;
    }
    return count;
}

size_t plan_multiplications(const ddt_plan *plan) {
    size_t count = 0;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const plan_instruction *instruction = &plan->instructions[i];
        count += instruction->product_count;
        if (instruction->opcode == PLAN_POLYNOMIAL) {
            polynomial_work work;
            plan_count_polynomials(plan, instruction, &work);
            count += work.relinearisations;
        }
    }
    return count;
}
