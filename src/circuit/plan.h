/*
 * The lowered program: what a plan file holds and the engine runs.
 *
 * Values are numbered: the inputs first, then the results of the instructions in order. A value has a level (rescales
 * that are left), and always exactly the canonical scale of its level, so that no scale is ever stored. Instructions:
 *
 *   adjust       one value to a lower level
 *   combination  sum k a b + sum c d + sum m e + offset at level r: products of values at level r + 1 and scaled terms
 * c d of values above r share one relinearisation and one rescale; exact terms (small integers m) are added at level r
 *   rotation     one value by several steps (the decomposition is shared)
 *   polynomial   several polynomials of one value (the powers are shared)
 *   refresh      one value, or two at once, by bootstrapping; from the level that it wants to the top
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CIRCUIT_PLAN_H
#define DDT_CIRCUIT_PLAN_H

#include "graph.h"

#include <pthread.h>

enum {
    PLAN_VALUES_MAX = 1 << 22,
    PLAN_TERMS_MAX = 1 << 24,
    PLAN_VECTORS_MAX = 1 << 20,
    PLAN_NAMES_MAX = 1 << 16,
    /* Rotations of one value made at a time: their results are all alive at once. */
    PLAN_ROTATIONS_MAX = 32
};

typedef enum plan_opcode {
    PLAN_ADJUST = 1,
    PLAN_COMBINATION = 2,
    PLAN_ROTATION = 3,
    PLAN_POLYNOMIAL = 4,
    PLAN_REFRESH = 5
} plan_opcode;

typedef struct plan_product {
    uint32_t a;
    uint32_t b;
    int32_t k;
} plan_product;

typedef struct plan_scaled {
    uint32_t a;
    circuit_public c;
} plan_scaled;

typedef struct plan_exact {
    uint32_t a;
    int32_t k;
} plan_exact;

typedef struct plan_polynomial {
    size_t begin; /* first coefficient */
    unsigned degree;
} plan_polynomial;

typedef struct plan_instruction {
    plan_opcode opcode;
    uint32_t first;   /* first result */
    uint32_t results; /* number of results */
    uint32_t operand; /* adjust, rotation, polynomial, refresh */
    uint32_t partner; /* refresh: the second value, CIRCUIT_NONE: there is none */
    size_t product_begin, product_count;
    size_t scaled_begin, scaled_count;
    size_t exact_begin, exact_count;
    circuit_public offset;
    size_t detail_begin; /* rotation: steps; polynomial: polynomials; one for each result */
} plan_instruction;

typedef struct plan_input {
    char *name;
    double bound;
} plan_input;

typedef struct plan_output {
    char *name;
    uint32_t value;
    uint32_t carried; /* the input that it becomes in the next run, CIRCUIT_NONE: none */
} plan_output;

typedef struct plan_cache plan_cache;

struct ddt_plan {
    ddt_ckks_literal literal;
    ddt_bootstrap_literal boot; /* all zero where literal.boot_levels is */
    bool insecure;
    unsigned output_level;
    unsigned pack_stages; /* halvings that take an upload apart, 0: each input is a ciphertext (uploads.c) */
    double predicted_error;
    double noise_bound;
    circuit_pool pool; /* lanes, block, public vectors */

    plan_input *inputs;
    size_t input_count, input_capacity;
    plan_output *outputs;
    size_t output_count, output_capacity;
    uint8_t *levels; /* of each value */
    size_t value_count, value_capacity;
    plan_instruction *instructions;
    size_t instruction_count, instruction_capacity;
    plan_product *products;
    size_t product_count, product_capacity;
    plan_scaled *scaleds;
    size_t scaled_count, scaled_capacity;
    plan_exact *exacts;
    size_t exact_count, exact_capacity;
    int64_t *steps;
    size_t step_count, step_capacity;
    plan_polynomial *polynomials;
    size_t polynomial_count, polynomial_capacity;
    double *coefficients;
    size_t coefficient_count, coefficient_capacity;

    /* Derived from the above by plan_derive, never stored in files. */
    size_t lanes_per_batch, batches;
    ddt_plan_key *keys;
    size_t key_count, key_capacity;
    uint32_t *order;    /* instructions, wave by wave */
    size_t *wave_begin; /* wave_count + 1 entries into order */
    size_t wave_count;
    uint32_t *use_counts;  /* of each value, outputs included */
    uint64_t value_levels; /* levels + 1 of the ciphertexts that a run has at once, summed */

    ddt_ckks_params *params; /* created on first use, as the others */
    ddt_bootstrapper *bootstrapper;
    plan_cache *cache;
};

/* ------------------------------------------------------------------ life */

ddt_plan *plan_new(void);
/* Refuses anything that could make the engine fail otherwise than by a clean error; DDT_ERR_FORMAT with the reason. */
DDT_MUST_CHECK ddt_status plan_check(ddt_context *ctx, const ddt_plan *plan);
/* Computes batches, keys, waves and use counts of a checked plan. */
DDT_MUST_CHECK ddt_status plan_derive(ddt_context *ctx, ddt_plan *plan);
/* Fills order, wave_begin and wave_count from the program and the use counts; false when memory is short. */
bool plan_schedule(ddt_plan *plan);

/* Calls visit(user, value) for every operand of an instruction, repeated ones as often as they appear. */
void plan_operands(const ddt_plan *plan, const plan_instruction *instruction, void (*visit)(void *user, uint32_t value),
                   void *user);

/* The most stages that are of use, or possible, in a ring of that degree. */
unsigned plan_pack_stages_most(const ddt_plan *plan, unsigned log_n);
/* The highest level of an input that is encrypted for a run, and whether an input is one that an output becomes. */
unsigned plan_upload_level(const ddt_plan *plan);
bool plan_is_carried(const ddt_plan *plan, size_t input);
/* Lanes that share a ciphertext in a ring of that degree. */
size_t plan_lanes_per_batch(const ddt_plan *plan, unsigned log_n);

/* A rotation's steps reduced to the period of the packed slots, 1..period-1. */
int64_t plan_rotation(const ddt_plan *plan, int64_t steps);
/* The values of p in the slots of a batch: lanes_per_batch * block of them. */
void plan_pack_public(const ddt_plan *plan, size_t batch, circuit_public p, double *slots);

/*
 * A plan counts levels by rescales. With composite scaling (literal.scale_primes 2) each takes two primes, and level l
 * is that of prime 2 l + 1; otherwise the two are the same.
 */
static inline unsigned plan_prime_level(const ddt_ckks_literal *p, unsigned level) {
    return p->scale_primes == 2 ? 2 * level + 1 : level;
}
static inline unsigned plan_top_level(const ddt_ckks_literal *p) {
    return p->scale_primes == 2 ? (p->levels == 0 ? 0 : (p->levels - 1) / 2) : p->levels;
}
static inline unsigned plan_scale_primes(const ddt_ckks_literal *p) { return p->scale_primes == 2 ? 2 : 1; }
/* log2(QP) by the sizes of the primes in the literal; the primes themselves lie a hair beside them. */
double plan_nominal_bits(const ddt_ckks_literal *p);

static inline unsigned plan_result_level(const ddt_plan *plan, const plan_instruction *instruction) {
    return plan->levels[instruction->first];
}
/* The plan's bootstrapper, made on first use; *out is NULL in plans without. The parameters exist. */
DDT_MUST_CHECK ddt_status plan_bootstrapper(ddt_context *ctx, ddt_plan *plan, const ddt_bootstrapper **out);
static inline size_t plan_slots(const ddt_plan *plan) { return (size_t)1 << (plan->literal.log_n - 1); }

/* ------------------------------------------------------------------ making one */

/*
 * The optimiser: merges, shares and moves constants so that fewer levels and relinearisations are needed. outputs[o]
 * are nodes of `to`. refreshed[n], for nodes of the circuit: a NODE_REFRESH that is kept, while the others vanish; or
 * another node whose value is refreshed as soon as it is made.
 */
DDT_MUST_CHECK ddt_status circuit_optimise(ddt_context *ctx, const ddt_circuit *circuit, const bool *refreshed,
                                           circuit_graph *to, ddt_node *outputs);

#define LEVEL_DEAD (-1)

/* What levels follow from, besides the graph. */
typedef struct circuit_demand {
    const ddt_circuit *circuit;
    const circuit_graph *graph; /* the optimised one */
    const ddt_node *outputs;
    unsigned output_level;
    unsigned refresh_level; /* of what is about to be refreshed */
    const bool *skipped;    /* of nodes of the circuit: refreshes that count as nothing; may be NULL */
} circuit_demand;

/*
 * needs[n]: the level node n is computed at, LEVEL_DEAD when no output uses it. Inputs that nothing uses get level 0.
 * Returns the highest, which is where refreshed values come out; above DDT_CKKS_LEVELS_MAX where no levels would do.
 */
int circuit_assign_levels(const circuit_demand *demand, int *needs);

/*
 * Chooses as few refreshes as it can so that the depth is at most `levels`: refreshed[n] for nodes of the circuit.
 * `graph` has been optimised with all of them. *possible: there is such a choice.
 */
DDT_MUST_CHECK ddt_status circuit_choose_refreshes(ddt_context *ctx, const circuit_demand *demand, unsigned levels,
                                                   bool *refreshed, bool *possible);

/* The bound that a value is refreshed with: a power of two, at least 1. */
double circuit_refresh_bound(const circuit_node *node);
/*
 * Places to refresh for a depth of `levels` in the circuit's own graph (demand->graph), where the builder has named
 * none: refreshed[n] for its nodes. *found: there are such places.
 */
DDT_MUST_CHECK ddt_status circuit_find_cuts(ddt_context *ctx, const circuit_demand *demand, unsigned levels,
                                            bool *refreshed, bool *found);

/* Fills everything of the plan but literal, boot, insecure and predicted_error. Moves the public vectors in use. */
DDT_MUST_CHECK ddt_status circuit_lower(ddt_context *ctx, const circuit_demand *demand, ddt_plan *plan);
unsigned plan_depth(const ddt_plan *plan);

enum { PLAN_LOG_N_MAX = 17, PROGRAMS_MAX = 8 };

/* What a program is made for. */
typedef struct program_shape {
    unsigned output_level;
    unsigned levels_max;        /* with refreshes: the most levels */
    ddt_bootstrap_literal boot; /* slots_levels 0: without refreshes */
    bool insecure;
} program_shape;

typedef struct program_list {
    ddt_plan *plans[PROGRAMS_MAX];
    size_t count;
    int depth; /* that the last one tried would need */
} program_list;

void program_list_clear(program_list *list);
/* Both replace what the list held. No program where the circuit needs more levels than there can be. */
DDT_MUST_CHECK ddt_status programs_make_plain(ddt_context *ctx, const ddt_circuit *circuit, const program_shape *shape,
                                              program_list *list);
/* Programs with ever more bootstraps and ever fewer levels. Where the circuit names no places to refresh they are
 * found. */
DDT_MUST_CHECK ddt_status programs_make_refreshed(ddt_context *ctx, const ddt_circuit *circuit,
                                                  const program_shape *shape, program_list *list);

/* ------------------------------------------------------------------ prediction */

/* Draws are made once and reused from random places with random odd strides: a draw for each slot would take most of
 * the time. */
enum { NOISE_TABLE_BITS = 14, NOISE_TABLE_SIZE = 1 << NOISE_TABLE_BITS };

/* Noise of one operation, as standard deviations of the real part of a slot, in units of the message. */
typedef struct noise_model {
    double fresh;                              /* of an encryption, at any level */
    double rescale;                            /* of a rescale, with or without relinearisation */
    double plain;                              /* of an encoded vector, at the scale of ciphertexts */
    double constant;                           /* of an encoded constant, largest error */
    double refresh;                            /* of a bootstrap */
    double switching[DDT_CKKS_LEVELS_MAX + 1]; /* of a rotation at each level */
    const double *gaussian;                    /* NOISE_TABLE_SIZE draws, for plan_simulate */
} noise_model;
void noise_model_fill(const ddt_ckks_literal *literal, bool public_key, noise_model *model);
/* Of an input as the run gets it: encrypted, and taken out of an upload where it shares one. */
double noise_model_input(const noise_model *model, const ddt_plan *plan, size_t input);

/*
 * Runs the plan's instructions in double precision on `samples` lanes (evenly spaced): without noise when model is
 * NULL, else with Gaussian noise of that size added wherever CKKS adds some. inputs[i], outputs[o]: samples x block
 * values.
 */
DDT_MUST_CHECK ddt_status plan_simulate(ddt_context *ctx, const ddt_plan *plan, const noise_model *model, uint64_t seed,
                                        size_t samples, const double *const *inputs, double *const *outputs);
/* Eight standard deviations of the noisiest output slot, over the circuit's calibration draws. */
DDT_MUST_CHECK ddt_status plan_predict_error(ddt_context *ctx, const ddt_plan *plan, const ddt_circuit *circuit,
                                             const ddt_ckks_literal *literal, bool public_key, double *error);

/*
 * The worst case of |decrypted - exact| over all slots of all outputs: sensitivities along the calibration draws, with
 * a margin, times the bounds of ddt/ckks/bound.h. The plan has been derived (plan_derive).
 */
DDT_MUST_CHECK ddt_status plan_worst_error(ddt_context *ctx, const ddt_plan *plan, const ddt_circuit *circuit,
                                           const ddt_ckks_params *params, bool public_key, double *error);
/* Terms of all instructions: what a run in doubles takes for each slot. */
double plan_work(const ddt_plan *plan);

/* SplitMix64: draws of predictions, the same on every machine. */
static inline uint64_t plan_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}
/* In (0, 1). */
static inline double plan_uniform(uint64_t *state) { return ((double)(plan_random(state) >> 11) + 0.5) * 0x1p-53; }

/* Seconds of one batch on one thread with parameters `literal`. */
double plan_cost(const ddt_plan *plan, const ddt_ckks_literal *literal);
size_t plan_bootstraps(const ddt_plan *plan);
/* Products of ciphertexts, those inside polynomials included. */
size_t plan_multiplications(const ddt_plan *plan);
/* What a polynomial instruction takes. */
typedef struct polynomial_work {
    bool made[CIRCUIT_DEGREE_MAX + 1]; /* powers of the operand */
    unsigned relinearisations;
    unsigned rescales;
} polynomial_work;
void plan_count_polynomials(const ddt_plan *plan, const plan_instruction *instruction, polynomial_work *best);
/* Limbs of ciphertexts alive at once at most when instructions run one after the other in this order; `uses` is room
 * for a number for each value. */
uint64_t plan_peak_limbs(const ddt_plan *plan, const uint32_t *order, uint32_t *uses);
/* Fills value_levels of a plan that has an order; false when memory is short. */
bool plan_measure_values(ddt_plan *plan);
/* Bytes that a run with parameters p takes at most, evaluation keys and everything included. */
double plan_memory(const ddt_plan *plan, const ddt_ckks_literal *p);
/* The size of the keys' file with these parameters, which become the plan's. False where memory is short. */
bool plan_eval_key_bytes(ddt_plan *plan, const ddt_ckks_literal *p, uint64_t *bytes);

/* ------------------------------------------------------------------ running */

/* Freed ciphertexts that a run keeps for what comes next. More would only lie there while levels fall: where a program
 * has held many large values at once, that memory is wanted for the scratch of what follows. */
enum { PLAN_SPARE_MAX = 6 };

void plan_cache_destroy(plan_cache *cache);

#endif
